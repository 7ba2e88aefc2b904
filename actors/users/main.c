#include "actors/users/actor.h"

int main(int argc, char **argv) {
    return actor_main(&users_actor, argc, argv);
}
