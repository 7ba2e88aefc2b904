/*
 * secrets.h: the secrets of one machine, made once and kept in a file of mode 0600 with the form of a .env file:
 * JWT_SECRET for tokens, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the embedded store.
 */
#ifndef PIXBUS_CTL_SECRETS_H
#define PIXBUS_CTL_SECRETS_H

#include "base/buffer.h"

struct secrets {
    char token_secret[513];
    char access_key_id[129];
    char secret_access_key[257];
};

/*
 * Read the file, or make it. False with `problem` if it cannot be read, was tampered with (a value is missing, or others
 * than its owner may read it), or cannot be made.
 */
[[gnu::warn_unused_result]] bool secrets_load(const char *path, struct secrets *ret_secrets, struct buffer *problem);

#endif
