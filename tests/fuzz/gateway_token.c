/* An Authorization header: nobody gets in by one that we did not make. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/cors.h"
#include "gateway/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct token_cache *cache;
    struct text header = {(const char *)data, size};
    struct token_caller caller;
    bool remembered;
    if (cache == NULL)
        cache = token_cache_new(TEXT("a key that no input of this fuzz target knows"));
    assert(cache != NULL);
    enum error error = token_check(cache, AUTH_REQUIRED, header, 1, 1, 1, &caller, &remembered);
    assert(error == ERROR_token_malformed || error == ERROR_token_rejected);
    assert(caller.user_id == 0 && !remembered);
    if (cors_allows("*", header))
        for (size_t i = 0; i < size; i++)
            assert(data[i] > ' ' && data[i] < 0x7f);
    (void)cors_allowed_headers(header);
    return 0;
}
