/* actor.h: the users actor, for its main() and for tests. */
#ifndef PIXBUS_USERS_ACTOR_H
#define PIXBUS_USERS_ACTOR_H

#include "bus/actor.h"

extern const struct actor_description users_actor;

#endif
