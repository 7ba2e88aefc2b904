#include "actors/feed/actor.h"

int main(int argc, char **argv) {
    return actor_main(&feed_actor, argc, argv);
}
