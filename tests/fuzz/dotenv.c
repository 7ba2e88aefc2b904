/* The .env parser: whatever the file holds, names are names, values end with their line, and problems come as lines. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dotenv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *context, const char *name, const char *value) {
    size_t *count = context;
    assert(*name != '\0' && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name));
    (void)strlen(value); /* it ends */
    *count += 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buffer problem = {0};
    size_t count = 0;
    bool good = dotenv_parse((struct text){(const char *)data, size}, check, &count, &problem);
    assert(good == (problem.size == 0));
    assert(count <= size);
    assert(good || problem.data[problem.size - 1] == '\n');
    buffer_free(&problem);
    return 0;
}
