/* actor.h: the feed actor's description, for its main() and for tests that call its handlers. */
#ifndef PIXBUS_FEED_ACTOR_H
#define PIXBUS_FEED_ACTOR_H

#include "bus/actor.h"

extern const struct actor_description feed_actor;

#endif
