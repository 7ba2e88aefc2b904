/*
 * sigv4_parts.h: what the files of the signer share. Not for others.
 */
#ifndef PIXBUS_AWS_SIGV4_PARTS_H
#define PIXBUS_AWS_SIGV4_PARTS_H

#include "aws/sigv4.h"

#define SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGV4_DAY_BYTES 9        /* 20130524 */
#define SIGV4_DATE_BYTES 17      /* 20130524T000000Z */
#define SIGV4_PREFIX "AWS4"      /* of the secret, in the first step of the key chain */
#define SIGV4_SIGNATURE_BYTES 65 /* hexadecimal */

struct sigv4_signer {
    char region[64], access_key_id[129], session_token[2049];
    char secret[sizeof SIGV4_PREFIX + 256];
    bool has_session_token;

    /* Of the day that `hmac` is keyed for; "" before the first. */
    char day[SIGV4_DAY_BYTES];
    char scope[128];             /* 20130524/us-east-1/s3/aws4_request */
    struct buffer credential;    /* access key id and scope, percent-encoded for a query */
    struct buffer encoded_token; /* session token, percent-encoded for a query */

    int64_t second; /* since 1970, that `date` is the text of */
    char date[SIGV4_DATE_BYTES];

    struct digest *sha256;
    struct hmac *hmac;
    struct buffer canonical, query, names; /* for one call each */
};

/* Set signer->date to the second of `now_us`, and the key to its day. False when memory is exhausted. */
[[gnu::warn_unused_result]] bool sigv4_set_now(struct sigv4_signer *signer, int64_t now_us);

/* Key the signer for a day. False when memory is exhausted. */
[[gnu::warn_unused_result]] bool sigv4_set_day(struct sigv4_signer *signer, const char day[SIGV4_DAY_BYTES]);

/* The signature of signer->canonical with `date`, whose day is set. */
void sigv4_compute(struct sigv4_signer *signer, const char date[SIGV4_DATE_BYTES], char ret_signature[SIGV4_SIGNATURE_BYTES]);

/* Percent-encode as SigV4 does: all but A-Z a-z 0-9 - _ . ~, and '/' if asked. */
void sigv4_encode(struct buffer *out, struct text text, bool keep_slash);

/* Bring percent-encoded text into SigV4's own encoding. False at a malformed escape. */
[[gnu::warn_unused_result]] bool sigv4_normalise(struct buffer *out, struct text encoded, bool keep_slash);

/* Decode into a NUL-terminated string. False at a malformed escape, a NUL, or if it does not fit. */
[[gnu::warn_unused_result]] bool sigv4_decode(struct text encoded, char *out, size_t out_size);

/* Byte by byte, as by strcmp. */
int sigv4_compare(struct text a, struct text b);

struct sigv4_headers {
    struct sigv4_header header[SIGV4_HEADERS_MAX]; /* sorted by name */
    size_t count;
};

/* False when there are too many. */
[[gnu::warn_unused_result]] bool sigv4_insert_header(struct sigv4_headers *headers, struct sigv4_header header);

/* Append the names, each once, with `separator` between them. */
void sigv4_append_names(struct buffer *out, const struct sigv4_headers *headers, struct text separator);

/* Append a header's value as it is signed: trimmed, each run of blanks one space. */
void sigv4_append_value(struct buffer *out, struct text value);

struct sigv4_parameter {
    struct text name, value; /* in SigV4's encoding */
};

struct sigv4_query {
    struct sigv4_parameter parameter[SIGV4_QUERY_MAX]; /* sorted */
    size_t count;
};

/* Split and sort a query as received. Its texts are in signer->query. False if malformed or too long. */
[[gnu::warn_unused_result]] bool sigv4_parse_query(struct sigv4_signer *signer, struct text query, struct sigv4_query *ret_query);

/* The value of the parameter; absent if there is none, or more than one (then *ret_count says so; it may be NULL). */
struct text sigv4_find_parameter(const struct sigv4_query *query, struct text name, size_t *ret_count);

/*
 * Make signer->canonical. `names` is the list of signed headers as it is signed ("host;x-amz-date"); a parameter
 * X-Amz-Signature is left out. False if a named header is missing, or the path is malformed, or it gets too long.
 */
[[gnu::warn_unused_result]] bool sigv4_canonical(struct sigv4_signer *signer, const struct sigv4_request *request,
                                                 const struct sigv4_query *query, struct text names, struct text payload);

/* The next of a list separated by `separator`, taken off its front. False at the end of the list. */
[[gnu::warn_unused_result]] bool sigv4_next(struct text *list, char separator, struct text *ret_part);

#endif
