/*
 * token.h: bearer tokens. JSON Web Tokens (RFC 7519) signed with HS256 (RFC 7518, section 3.2), which one service issues and
 * another verifies with the same key. The algorithm, the issuer, the audience and the kind are fixed here and never taken
 * from a token (RFC 8725, sections 3.1, 3.8, 3.9 and 3.12).
 *
 * Claims: sub (the email as registered), uid (the account's number), iat, exp, jti (random), iss and aud ("pixbus"),
 * kind ("access"). Nothing that is secret: anybody who holds a token can read it.
 *
 * There is no state: any thread may call these functions at any time.
 */
#ifndef PIXBUS_AUTH_TOKEN_H
#define PIXBUS_AUTH_TOKEN_H

#include <stdint.h>

#include "base/limits.h"
#include "base/text.h"

#define TOKEN_KEY_BYTES_MIN 32              /* RFC 7518, section 3.2: at least as long as the hash */
#define TOKEN_LIFETIME_S_MAX 31536000       /* a token that expires later than this from now was not made by us */
#define TOKEN_SKEW_S 300                    /* by which clocks of our machines may differ for that limit */
#define TOKEN_ID_BYTES 33                   /* 32 hexadecimal digits and a NUL */
#define TOKEN_BYTES (LIMIT_TOKEN_BYTES + 1) /* of a buffer for one, with a NUL */

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_MALFORMED, /* not a token at all: not three canonical base64url parts of which two hold objects, or too long */
    TOKEN_REJECTED,  /* a token, but not one of ours that is valid now; also if memory runs out */
};

struct token_claims {
    uint64_t user_id;
    char email[LIMIT_EMAIL_BYTES + 1]; /* as registered */
    int64_t issued_us, expires_us;     /* real time; a token carries whole seconds */
    char id[TOKEN_ID_BYTES];           /* jti; set by token_issue() */
};

/*
 * Make a token of user_id, email, issued_us and expires_us with a new id. `key` has at least TOKEN_KEY_BYTES_MIN bytes.
 * False if memory is exhausted or the token would be longer than LIMIT_TOKEN_BYTES; `ret_token` is then untouched.
 */
[[gnu::warn_unused_result]] bool token_issue(struct text key, const struct token_claims *claims, char ret_token[TOKEN_BYTES]);

/*
 * Is this a token that token_issue() made with this key, valid at real time `now_us`? It must be before its exp and not
 * before its nbf, if it has one. `ret_claims` is untouched unless it is good.
 */
[[gnu::warn_unused_result]] enum token_verdict token_verify(struct text key, struct text token, int64_t now_us,
                                                            struct token_claims *ret_claims);

#endif
