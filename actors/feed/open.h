/* open.h: opens and closes what the feed actor works with, by the settings. */
#ifndef PIXBUS_FEED_OPEN_H
#define PIXBUS_FEED_OPEN_H

#include "bus/actor.h"

/* For the actor's description. */
bool feed_open(struct actor *actor, void **ret_application);
void feed_close(void *application);

#endif
