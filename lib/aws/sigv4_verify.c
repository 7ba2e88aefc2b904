/* Verification. Everything is refused that a correct signer would not have made; the signature is compared last. */
#include <time.h>

#include "aws/sigv4_parts.h"
#include "base/clock.h"

/* What a request says of its signature. Texts point into the request or into the signer's query. */
struct claim {
    bool presigned;
    char credential[256]; /* key id/day/region/service/terminator */
    char date[SIGV4_DATE_BYTES];
    char signed_headers[SIGV4_SIGNED_HEADERS_BYTES];
    char payload[SIGV4_PAYLOAD_BYTES];
    char token[2049]; /* "": none */
    struct text signature;
    uint64_t expires_s; /* presigned only */
};

static struct text find_header(const struct sigv4_request *request, struct text name, size_t *ret_count) {
    struct text value = {0};
    *ret_count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        if (!text_equal_ignoring_case(request->headers[i].name, name))
            continue;
        value = request->headers[i].value;
        ++*ret_count;
    }
    return value;
}

/* 20130524T000000Z */
static bool parse_date(const char *date, int64_t *ret_time_us) {
    static const char shape[] = "ddddddddTddddddZ";
    int part[6] = {0};
    static const int digits[] = {4, 2, 2, 2, 2, 2};
    for (size_t i = 0; i < sizeof shape; i++)
        if (shape[i] == 'd' ? date[i] < '0' || date[i] > '9' : date[i] != shape[i])
            return false;
    const char *at = date;
    for (size_t i = 0; i < 6; i++)
        for (int k = 0; k < digits[i]; at++) {
            if (*at == 'T')
                continue;
            part[i] = part[i] * 10 + (*at - '0');
            k++;
        }
    struct tm tm = {.tm_year = part[0] - 1900,
                    .tm_mon = part[1] - 1,
                    .tm_mday = part[2],
                    .tm_hour = part[3],
                    .tm_min = part[4],
                    .tm_sec = part[5]};
    if (part[0] < 1970 || part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31 || part[3] > 23 || part[4] > 59 ||
        part[5] > 60)
        return false;
    *ret_time_us = (int64_t)timegm(&tm) * US_PER_S;
    return true;
}

static bool is_signature(struct text text) {
    if (text.size != SIGV4_SIGNATURE_BYTES - 1)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') || (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return false;
    return true;
}

static bool get_parameter(const struct sigv4_query *query, struct text name, char *out, size_t out_size) {
    struct text value = sigv4_find_parameter(query, name, NULL);
    return value.data != NULL && sigv4_decode(value, out, out_size);
}

static bool read_presigned(const struct sigv4_query *query, struct claim *ret_claim) {
    char algorithm[32], expires[16];
    size_t count;
    if (!get_parameter(query, TEXT("X-Amz-Algorithm"), algorithm, sizeof algorithm) || strcmp(algorithm, SIGV4_ALGORITHM) != 0 ||
        !get_parameter(query, TEXT("X-Amz-Credential"), ret_claim->credential, sizeof ret_claim->credential) ||
        !get_parameter(query, TEXT("X-Amz-Date"), ret_claim->date, sizeof ret_claim->date) ||
        !get_parameter(query, TEXT("X-Amz-SignedHeaders"), ret_claim->signed_headers, sizeof ret_claim->signed_headers) ||
        !get_parameter(query, TEXT("X-Amz-Expires"), expires, sizeof expires) ||
        !text_to_u64(text_from(expires), &ret_claim->expires_s) || ret_claim->expires_s < 1 ||
        ret_claim->expires_s > SIGV4_EXPIRES_MAX_S)
        return false;
    (void)sigv4_find_parameter(query, TEXT("X-Amz-Security-Token"), &count);
    if (count != 0 && !get_parameter(query, TEXT("X-Amz-Security-Token"), ret_claim->token, sizeof ret_claim->token))
        return false;
    /* Some signers move the payload's hash into the query; then it is what they signed. */
    (void)sigv4_find_parameter(query, TEXT("X-Amz-Content-Sha256"), &count);
    if (count == 0)
        memcpy(ret_claim->payload, SIGV4_UNSIGNED_PAYLOAD, sizeof SIGV4_UNSIGNED_PAYLOAD);
    else if (!get_parameter(query, TEXT("X-Amz-Content-Sha256"), ret_claim->payload, sizeof ret_claim->payload))
        return false;
    ret_claim->presigned = true;
    ret_claim->signature = sigv4_find_parameter(query, TEXT("X-Amz-Signature"), NULL);
    return is_signature(ret_claim->signature);
}

static struct text trim(struct text text) {
    while (text.size > 0 && text.data[0] == ' ')
        text = (struct text){text.data + 1, text.size - 1};
    while (text.size > 0 && text.data[text.size - 1] == ' ')
        text.size--;
    return text;
}

/* AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=… */
static bool read_authorization(struct text header, struct claim *ret_claim) {
    struct text part, name, credential = {0}, signed_headers = {0};
    header = trim(header);
    if (!text_starts_with(header, TEXT(SIGV4_ALGORITHM " ")))
        return false;
    header = (struct text){header.data + sizeof SIGV4_ALGORITHM, header.size - sizeof SIGV4_ALGORITHM};
    while (sigv4_next(&header, ',', &part)) {
        struct text value = trim(part), *place;
        if (!sigv4_next(&value, '=', &name) || value.data == NULL)
            return false;
        if (text_equal(name, TEXT("Credential")))
            place = &credential;
        else if (text_equal(name, TEXT("SignedHeaders")))
            place = &signed_headers;
        else if (text_equal(name, TEXT("Signature")))
            place = &ret_claim->signature;
        else
            return false;
        if (place->data != NULL)
            return false;
        *place = value;
    }
    return credential.data != NULL && signed_headers.data != NULL && is_signature(ret_claim->signature) &&
           text_copy(credential, ret_claim->credential, sizeof ret_claim->credential) &&
           text_copy(signed_headers, ret_claim->signed_headers, sizeof ret_claim->signed_headers);
}

static bool read_headers(const struct sigv4_request *request, struct text authorization, struct claim *ret_claim) {
    size_t dates, payloads, tokens;
    struct text date = find_header(request, TEXT("x-amz-date"), &dates);
    struct text payload = find_header(request, TEXT("x-amz-content-sha256"), &payloads);
    struct text token = find_header(request, TEXT("x-amz-security-token"), &tokens);
    return read_authorization(authorization, ret_claim) && dates == 1 && payloads == 1 && tokens <= 1 &&
           text_copy(trim(date), ret_claim->date, sizeof ret_claim->date) &&
           text_copy(trim(payload), ret_claim->payload, sizeof ret_claim->payload) &&
           (tokens == 0 || text_copy(trim(token), ret_claim->token, sizeof ret_claim->token));
}

/* Sorted, lower case, each once, with host. */
static bool names_are_canonical(const char *names) {
    struct text list = text_from(names), name, before = TEXT("");
    bool host = false;
    while (sigv4_next(&list, ';', &name)) {
        if (name.size == 0 || sigv4_compare(before, name) >= 0)
            return false;
        for (size_t i = 0; i < name.size; i++)
            if (name.data[i] <= ' ' || name.data[i] >= 0x7f || (name.data[i] >= 'A' && name.data[i] <= 'Z'))
                return false;
        host |= text_equal(name, TEXT("host"));
        before = name;
    }
    return host;
}

static bool is_signed(const char *names, struct text wanted) {
    struct text list = text_from(names), name;
    while (sigv4_next(&list, ';', &name))
        if (text_equal_ignoring_case(name, wanted))
            return true;
    return false;
}

/* S3 refuses x-amz-* headers that nobody signed: they would change what the request means. */
static bool amazon_headers_are_signed(const struct sigv4_request *request, const char *names) {
    for (size_t i = 0; i < request->header_count; i++) {
        struct text name = request->headers[i].name;
        if (name.size >= 6 && text_equal_ignoring_case((struct text){name.data, 6}, TEXT("x-amz-")) && !is_signed(names, name))
            return false;
    }
    return true;
}

/* key id/20130524/us-east-1/s3/aws4_request; the key id may hold slashes. */
static enum sigv4_result check_credential(struct sigv4_signer *signer, const struct claim *claim) {
    struct text credential = text_from(claim->credential), id = text_from(signer->access_key_id);
    struct text scope = {0};
    unsigned slashes = 0;
    for (size_t i = credential.size; i > 0 && slashes < 4; i--) {
        if (credential.data[i - 1] != '/')
            continue;
        scope = (struct text){credential.data + i, credential.size - i};
        slashes++;
    }
    if (slashes < 4 || scope.size < SIGV4_DAY_BYTES || memcmp(scope.data, claim->date, SIGV4_DAY_BYTES - 1) != 0)
        return SIGV4_MALFORMED;
    if (!text_equal((struct text){credential.data, credential.size - scope.size - 1}, id))
        return SIGV4_UNKNOWN_KEY;
    size_t token_size = strlen(claim->token);
    if (token_size != strlen(signer->session_token) || !crypto_equal(claim->token, signer->session_token, token_size))
        return SIGV4_UNKNOWN_KEY;
    char day[SIGV4_DAY_BYTES] = "";
    memcpy(day, claim->date, SIGV4_DAY_BYTES - 1);
    if (!sigv4_set_day(signer, day) || !text_equal(scope, text_from(signer->scope)))
        return SIGV4_MALFORMED;
    return SIGV4_OK;
}

static enum sigv4_result check_time(const struct claim *claim, int64_t now_us) {
    int64_t signed_us;
    if (!parse_date(claim->date, &signed_us))
        return SIGV4_MALFORMED;
    if (signed_us > now_us + SIGV4_SKEW_MAX_S * US_PER_S)
        return SIGV4_NOT_YET_VALID;
    if (claim->presigned)
        return now_us >= signed_us + (int64_t)claim->expires_s * US_PER_S ? SIGV4_EXPIRED : SIGV4_OK;
    return signed_us < now_us - SIGV4_SKEW_MAX_S * US_PER_S ? SIGV4_NOT_YET_VALID : SIGV4_OK;
}

static enum sigv4_result read_claim(const struct sigv4_request *request, const struct sigv4_query *query,
                                    struct claim *ret_claim) {
    size_t authorizations, signatures, algorithms, credentials;
    struct text authorization = find_header(request, TEXT("authorization"), &authorizations);
    (void)sigv4_find_parameter(query, TEXT("X-Amz-Signature"), &signatures);
    (void)sigv4_find_parameter(query, TEXT("X-Amz-Algorithm"), &algorithms);
    (void)sigv4_find_parameter(query, TEXT("X-Amz-Credential"), &credentials);
    bool presigned = signatures + algorithms + credentials > 0;
    if (authorizations == 0 && !presigned)
        return SIGV4_MISSING;
    if (authorizations + (presigned ? 1 : 0) != 1)
        return SIGV4_MALFORMED;
    if (presigned ? !read_presigned(query, ret_claim) : !read_headers(request, authorization, ret_claim))
        return SIGV4_MALFORMED;
    return SIGV4_OK;
}

enum sigv4_result sigv4_verify(struct sigv4_signer *signer, const struct sigv4_request *request, int64_t now_us,
                               struct sigv4_verified *ret_verified) {
    struct sigv4_query query;
    struct claim claim = {0};
    char signature[SIGV4_SIGNATURE_BYTES];
    size_t hosts;
    if (!sigv4_parse_query(signer, request->query, &query))
        return SIGV4_MALFORMED;
    enum sigv4_result result = read_claim(request, &query, &claim);
    if (result != SIGV4_OK)
        return result;
    (void)find_header(request, TEXT("host"), &hosts);
    if (hosts != 1 || !names_are_canonical(claim.signed_headers) || !amazon_headers_are_signed(request, claim.signed_headers))
        return SIGV4_MALFORMED;
    result = check_time(&claim, now_us);
    if (result == SIGV4_OK)
        result = check_credential(signer, &claim);
    if (result != SIGV4_OK)
        return result;
    if (!sigv4_canonical(signer, request, &query, text_from(claim.signed_headers), text_from(claim.payload)))
        return SIGV4_MISMATCH;
    sigv4_compute(signer, claim.date, signature);
    if (!crypto_equal(signature, claim.signature.data, SIGV4_SIGNATURE_BYTES - 1))
        return SIGV4_MISMATCH;
    if (ret_verified != NULL) {
        ret_verified->presigned = claim.presigned;
        memcpy(ret_verified->payload_sha256, claim.payload, sizeof claim.payload);
        memcpy(ret_verified->signed_headers, claim.signed_headers, sizeof claim.signed_headers);
    }
    return SIGV4_OK;
}
