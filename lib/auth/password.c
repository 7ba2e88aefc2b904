#include "auth/password.h"

#include <argon2.h>
#include <stdlib.h>

#include "base/random.h"

bool password_cost_valid(const struct password_cost *cost) {
    return cost->lanes >= 1 && cost->lanes <= PASSWORD_LANES_MAX && cost->passes >= 1 && cost->passes <= PASSWORD_PASSES_MAX &&
           cost->memory_kib >= PASSWORD_MEMORY_KIB_MIN * cost->lanes && cost->memory_kib <= PASSWORD_MEMORY_KIB_MAX;
}

bool password_hash(const struct password_cost *cost, struct text password, char ret_phc[PASSWORD_PHC_BYTES]) {
    uint8_t salt[PASSWORD_SALT_BYTES];
    char phc[PASSWORD_PHC_BYTES];
    int error;
    assert(password_cost_valid(cost) && password.size <= LIMIT_PASSWORD_BYTES);
    assert(argon2_encodedlen(cost->passes, cost->memory_kib, cost->lanes, sizeof salt, PASSWORD_DIGEST_BYTES, Argon2_id) <=
           sizeof phc);
    random_bytes(salt, sizeof salt);
    error = argon2id_hash_encoded(cost->passes, cost->memory_kib, cost->lanes, password.data, password.size, salt, sizeof salt,
                                  PASSWORD_DIGEST_BYTES, phc, sizeof phc);
    if (error == ARGON2_OK)
        memcpy(ret_phc, phc, sizeof phc);
    explicit_bzero(phc, sizeof phc);
    return error == ARGON2_OK;
}

/* Take `prefix` off the front of `rest`. */
static bool take(struct text *rest, struct text prefix) {
    if (!text_starts_with(*rest, prefix))
        return false;
    rest->data += prefix.size;
    rest->size -= prefix.size;
    return true;
}

/* Take a decimal number of at most 10 digits, without leading zeros, off the front. */
static bool take_number(struct text *rest, uint32_t *ret_value) {
    struct text digits = {rest->data, 0};
    uint64_t value;
    while (digits.size < rest->size && rest->data[digits.size] >= '0' && rest->data[digits.size] <= '9')
        digits.size++;
    if (digits.size == 0 || digits.size > 10 || (digits.size > 1 && digits.data[0] == '0') || !text_to_u64(digits, &value) ||
        value > UINT32_MAX)
        return false;
    *ret_value = (uint32_t)value;
    return take(rest, digits);
}

/* A stored string taken apart. The salt and the hash are base64 without padding. */
struct phc {
    struct password_cost cost;
    struct text salt, digest;
};

static bool parse(struct text string, struct phc *ret_phc) {
    struct text rest = string;
    struct phc phc = {0};
    const char *dollar;
    if (string.data == NULL || string.size > PASSWORD_PHC_BYTES_MAX || memchr(string.data, '\0', string.size) != NULL)
        return false;
    if (!take(&rest, TEXT("$argon2id$v=19$m=")) || !take_number(&rest, &phc.cost.memory_kib) || !take(&rest, TEXT(",t=")) ||
        !take_number(&rest, &phc.cost.passes) || !take(&rest, TEXT(",p=")) || !take_number(&rest, &phc.cost.lanes) ||
        !take(&rest, TEXT("$")))
        return false;
    dollar = memchr(rest.data, '$', rest.size);
    if (dollar == NULL)
        return false;
    phc.salt = (struct text){rest.data, (size_t)(dollar - rest.data)};
    phc.digest = (struct text){dollar + 1, rest.size - phc.salt.size - 1};
    if (!password_cost_valid(&phc.cost))
        return false;
    *ret_phc = phc;
    return true;
}

enum password_verdict password_verify(struct text phc, struct text password) {
    char string[PASSWORD_PHC_BYTES_MAX + 1];
    struct phc parsed;
    int error;
    assert(password.size <= LIMIT_PASSWORD_BYTES);
    if (!parse(phc, &parsed) || !text_copy(phc, string, sizeof string))
        return PASSWORD_UNUSABLE;
    /* The library compares in constant time, and wipes what it allocates. */
    error = argon2id_verify(string, password.data, password.size);
    explicit_bzero(string, sizeof string);
    switch (error) {
    case ARGON2_OK: return PASSWORD_MATCHES;
    case ARGON2_VERIFY_MISMATCH: return PASSWORD_DIFFERS;
    case ARGON2_MEMORY_ALLOCATION_ERROR:
    case ARGON2_THREAD_FAIL: return PASSWORD_NO_MEMORY;
    default: return PASSWORD_UNUSABLE;
    }
}

bool password_cost_of(struct text phc, struct password_cost *ret_cost) {
    struct phc parsed;
    if (!parse(phc, &parsed))
        return false;
    *ret_cost = parsed.cost;
    return true;
}

/* Characters of base64 without padding. */
static size_t base64_characters(size_t bytes) {
    return (bytes * 4 + 2) / 3;
}

bool password_needs_rehash(struct text phc, const struct password_cost *today) {
    struct phc parsed;
    return parse(phc, &parsed) &&
           (parsed.cost.memory_kib != today->memory_kib || parsed.cost.passes != today->passes ||
            parsed.cost.lanes != today->lanes || parsed.salt.size != base64_characters(PASSWORD_SALT_BYTES) ||
            parsed.digest.size != base64_characters(PASSWORD_DIGEST_BYTES));
}

/* Take as long as `memory_kib` blocks filled `passes` times. Running out of memory only makes it shorter. */
static void spend(uint32_t memory_kib, const struct password_cost *today, struct text password) {
    static const uint8_t salt[PASSWORD_SALT_BYTES];
    uint8_t digest[PASSWORD_DIGEST_BYTES];
    if (memory_kib < PASSWORD_MEMORY_KIB_MIN * today->lanes)
        return;
    (void)argon2id_hash_raw(today->passes, memory_kib, today->lanes, password.data, password.size, salt, sizeof salt, digest,
                            sizeof digest);
    explicit_bzero(digest, sizeof digest);
}

enum password_verdict password_verify_evenly(struct text phc, struct text password, const struct password_cost *today) {
    enum password_verdict verdict = password_verify(phc, password);
    uint64_t due = (uint64_t)today->memory_kib * today->passes, spent = 0;
    struct password_cost cost;
    assert(password_cost_valid(today));
    if (verdict == PASSWORD_MATCHES || verdict == PASSWORD_NO_MEMORY)
        return verdict;
    /* The time goes with the blocks that are filled: medians of wrong passwords for old and new hashes are within 3 %. */
    if (verdict == PASSWORD_DIFFERS && password_cost_of(phc, &cost))
        spent = (uint64_t)cost.memory_kib * cost.passes;
    if (spent < due)
        spend((uint32_t)((due - spent) / today->passes), today, password);
    return verdict;
}
