/*
 * password.h: argon2id (RFC 9106) hashes of passwords in the PHC string format, as
 * $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
 *
 * Each call takes as long and as much memory as its cost says: call it in a pool of threads, never on an event loop.
 * There is no state: any thread may call these functions at any time. The caller wipes the passwords it holds.
 */
#ifndef PIXBUS_AUTH_PASSWORD_H
#define PIXBUS_AUTH_PASSWORD_H

#include "base/limits.h"
#include "base/text.h"

struct password_cost {
    uint32_t memory_kib, passes, lanes;
};

/*
 * What a stored hash may cost: all that the settings allow to make. A string that asks for more was not made by us, and
 * is refused before anything is allocated.
 */
#define PASSWORD_MEMORY_KIB_MIN 8 /* for each lane */
#define PASSWORD_MEMORY_KIB_MAX 1048576
#define PASSWORD_PASSES_MAX 16
#define PASSWORD_LANES_MAX 16

#define PASSWORD_SALT_BYTES 16
#define PASSWORD_DIGEST_BYTES 32
#define PASSWORD_PHC_BYTES 128     /* of a buffer for the longest string that we make, with a NUL */
#define PASSWORD_PHC_BYTES_MAX 255 /* longest string that is looked at */

enum password_verdict {
    PASSWORD_MATCHES,
    PASSWORD_DIFFERS,
    PASSWORD_UNUSABLE,  /* the stored string is no argon2id hash, or costs more than the limits */
    PASSWORD_NO_MEMORY, /* for this cost, now */
};

/* Is this cost within the limits, and one that argon2 takes? */
[[gnu::warn_unused_result]] bool password_cost_valid(const struct password_cost *cost);

/*
 * Hash with a random salt. `cost` is valid, `password` has at most LIMIT_PASSWORD_BYTES. False if memory is exhausted;
 * `ret_phc` is then untouched.
 */
[[gnu::warn_unused_result]] bool password_hash(const struct password_cost *cost, struct text password,
                                               char ret_phc[PASSWORD_PHC_BYTES]);

/* Does the password match the stored string? Takes as long for a wrong password as for the right one. */
[[gnu::warn_unused_result]] enum password_verdict password_verify(struct text phc, struct text password);

/* The cost that a stored string names. False if it is unusable. */
[[gnu::warn_unused_result]] bool password_cost_of(struct text phc, struct password_cost *ret_cost);

/* Is a usable string of another cost, salt length or hash length than password_hash() would make today? */
[[gnu::warn_unused_result]] bool password_needs_rehash(struct text phc, const struct password_cost *today);

/*
 * password_verify(), but what does not match always takes as long as checking a hash of today's cost: a string that is
 * absent or unusable, and the rest of the time for one that costs less.
 */
[[gnu::warn_unused_result]] enum password_verdict password_verify_evenly(struct text phc, struct text password,
                                                                         const struct password_cost *today);

#endif
