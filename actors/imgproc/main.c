#include "actors/imgproc/actor.h"

int main(int argc, char **argv) {
    return actor_main(&imgproc_actor, argc, argv);
}
