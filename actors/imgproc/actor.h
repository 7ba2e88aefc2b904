/* actor.h: the actor as main() starts it. */
#ifndef PIXBUS_IMGPROC_ACTOR_H
#define PIXBUS_IMGPROC_ACTOR_H

#include "bus/actor.h"

extern const struct actor_description imgproc_actor;

#endif
