/* Tokens from strangers: without the key nothing is good, whatever the bytes, and what is refused leaves no trace. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/token.h"
#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* The corpus holds tokens of another key that are otherwise good at this time. */
    const int64_t now_us = INT64_C(1700001800) * US_PER_S;
    struct token_claims claims = {.user_id = 1};
    enum token_verdict verdict = token_verify(TEXT("fedcba9876543210fedcba9876543210"), (struct text){(const char *)data, size},
                                              now_us, &claims);
    assert(verdict == TOKEN_MALFORMED || verdict == TOKEN_REJECTED);
    assert(claims.user_id == 1 && claims.email[0] == '\0');
    assert(size <= LIMIT_TOKEN_BYTES || verdict == TOKEN_MALFORMED);
    return 0;
}
