#include "actors/store/request.h"

#include "actors/store/percent.h"

/* Parts of S3 that are reached by a parameter's presence, and that the store does not have. */
static const char *const not_implemented[] = {
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "versioning",
    "versions",
    "website",
    "response-content-encoding",
    "response-content-language",
    "response-expires",
};

/* Take the next parameter off the front. */
static bool next_parameter(struct text *rest, struct text *ret_name, struct text *ret_value) {
    while (rest->size > 0 && rest->data[0] == '&') {
        rest->data++;
        rest->size--;
    }
    if (rest->size == 0)
        return false;
    const char *end = memchr(rest->data, '&', rest->size);
    struct text parameter = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->size};
    const char *equals = memchr(parameter.data, '=', parameter.size);
    size_t name_size = equals != NULL ? (size_t)(equals - parameter.data) : parameter.size;
    *ret_name = (struct text){parameter.data, name_size};
    *ret_value = equals != NULL ? (struct text){equals + 1, parameter.size - name_size - 1} : TEXT("");
    rest->data += parameter.size;
    rest->size -= parameter.size;
    return true;
}

bool s3_query_find(struct text query, struct text name, struct text *ret_value) {
    struct text rest = query, found, value;
    while (next_parameter(&rest, &found, &value)) {
        if (text_equal(found, name)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* Decode into the request's own memory. */
static bool keep(struct s3_request *request, struct text encoded, bool plus_is_blank, struct text *ret_text) {
    size_t size;
    char *place = request->text + request->text_bytes;
    if (!percent_decode(encoded, plus_is_blank, place, sizeof request->text - request->text_bytes, &size))
        return false;
    *ret_text = (struct text){place, size};
    request->text_bytes += size;
    return true;
}

static enum s3_error parse_path(struct s3_request *request) {
    struct text path = request->path;
    if (path.size == 0 || path.data[0] != '/')
        return S3_InvalidURI;
    path.data++;
    path.size--;
    const char *slash = path.size > 0 ? memchr(path.data, '/', path.size) : NULL;
    struct text bucket = {path.data, slash != NULL ? (size_t)(slash - path.data) : path.size};
    if (bucket.size == 0)
        return path.size == 0 ? S3_OK : S3_InvalidURI;
    if (bucket.size > LIMIT_BUCKET_BYTES || !keep(request, bucket, false, &request->bucket) || !text_is_utf8(request->bucket))
        return S3_InvalidURI;
    if (slash == NULL || slash + 1 == path.data + path.size)
        return S3_OK;
    struct text key = {slash + 1, path.size - bucket.size - 1};
    if (key.size > 3 * LIMIT_OBJECT_KEY_BYTES)
        return S3_KeyTooLongError;
    if (!keep(request, key, false, &request->key))
        return S3_InvalidURI;
    if (request->key.size > LIMIT_OBJECT_KEY_BYTES)
        return S3_KeyTooLongError;
    return text_is_utf8(request->key) ? S3_OK : S3_InvalidURI;
}

static enum s3_error parse_number(struct text value, uint64_t minimum, uint64_t maximum, unsigned *ret_number) {
    uint64_t number;
    if (!text_to_u64(value, &number) || number < minimum || number > maximum)
        return S3_InvalidArgument;
    *ret_number = (unsigned)number;
    return S3_OK;
}

static enum s3_error keep_text(struct s3_request *request, struct text value, struct text *ret_text) {
    if (!keep(request, value, true, ret_text))
        return S3_InvalidArgument;
    return ret_text->size <= LIMIT_OBJECT_KEY_BYTES && text_is_utf8(*ret_text) ? S3_OK : S3_InvalidArgument;
}

/* One that is printed into a header. */
static enum s3_error keep_header(struct s3_request *request, struct text value, struct text *ret_text) {
    enum s3_error error = keep_text(request, value, ret_text);
    for (size_t i = 0; error == S3_OK && i < ret_text->size; i++)
        if ((unsigned char)ret_text->data[i] < ' ' || ret_text->data[i] == 0x7f)
            error = S3_InvalidArgument;
    return error;
}

static enum s3_error parse_list(struct s3_request *request) {
    struct text value;
    enum s3_error error = S3_OK;
    request->max_keys = S3_LIST_MAX;
    if (s3_query_find(request->query, TEXT("max-keys"), &value))
        error = parse_number(value, 0, INT32_MAX, &request->max_keys);
    if (request->max_keys > S3_LIST_MAX)
        request->max_keys = S3_LIST_MAX;
    if (error == S3_OK && s3_query_find(request->query, TEXT("prefix"), &value))
        error = keep_text(request, value, &request->prefix);
    if (error == S3_OK && s3_query_find(request->query, TEXT("delimiter"), &value))
        error = keep_text(request, value, &request->delimiter);
    if (error == S3_OK && s3_query_find(request->query, TEXT("start-after"), &value))
        error = keep_text(request, value, &request->after);
    /* A token is where the last page ended, so it is later than the start. */
    if (error == S3_OK && s3_query_find(request->query, TEXT("continuation-token"), &value)) {
        error = keep_text(request, value, &request->after);
        if (request->after.size == 0)
            error = S3_InvalidArgument;
    }
    if (error == S3_OK && s3_query_find(request->query, TEXT("encoding-type"), &value)) {
        request->encode_keys = text_equal(value, TEXT("url"));
        error = request->encode_keys ? S3_OK : S3_InvalidArgument;
    }
    return error;
}

static enum s3_error parse_multipart(struct s3_request *request) {
    struct text id, part;
    uint8_t bytes[(S3_UPLOAD_ID_BYTES - 1) / 2];
    if (!s3_query_find(request->query, TEXT("uploadId"), &id) || !hex_decode(id, bytes, sizeof bytes))
        return S3_NoSuchUpload;
    hex_encode(bytes, sizeof bytes, request->upload_id);
    if (request->operation != S3_OPERATION_UPLOAD_PART)
        return S3_OK;
    if (!s3_query_find(request->query, TEXT("partNumber"), &part))
        return S3_InvalidArgument;
    return parse_number(part, 1, S3_PARTS_MAX, &request->part);
}

static enum s3_error bucket_operation(struct text method, struct s3_request *request) {
    struct text value;
    if (text_equal(method, TEXT("HEAD"))) {
        request->operation = S3_OPERATION_HEAD_BUCKET;
        return S3_OK;
    }
    if (text_equal(method, TEXT("PUT"))) {
        request->operation = S3_OPERATION_CREATE_BUCKET;
        return S3_OK;
    }
    if (!text_equal(method, TEXT("GET")))
        return text_equal(method, TEXT("DELETE")) || text_equal(method, TEXT("POST")) ? S3_NotImplemented : S3_MethodNotAllowed;
    if (s3_query_find(request->query, TEXT("location"), &value)) {
        request->operation = S3_OPERATION_BUCKET_LOCATION;
        return S3_OK;
    }
    if (!s3_query_find(request->query, TEXT("list-type"), &value) || !text_equal(value, TEXT("2")) ||
        s3_query_find(request->query, TEXT("uploads"), &value))
        return S3_NotImplemented;
    request->operation = S3_OPERATION_LIST_OBJECTS;
    return parse_list(request);
}

static enum s3_error get_operation(struct s3_request *request) {
    struct text value;
    enum s3_error error = S3_OK;
    if (s3_query_find(request->query, TEXT("uploadId"), &value) || s3_query_find(request->query, TEXT("partNumber"), &value))
        return S3_NotImplemented;
    request->operation = S3_OPERATION_GET_OBJECT;
    if (s3_query_find(request->query, TEXT("response-content-type"), &value))
        error = keep_header(request, value, &request->response_type);
    if (error == S3_OK && s3_query_find(request->query, TEXT("response-content-disposition"), &value))
        error = keep_header(request, value, &request->response_disposition);
    if (error == S3_OK && s3_query_find(request->query, TEXT("response-cache-control"), &value))
        error = keep_header(request, value, &request->response_cache_control);
    return error;
}

static enum s3_error object_operation(struct text method, struct s3_request *request) {
    struct text value;
    bool has_upload = s3_query_find(request->query, TEXT("uploadId"), &value);
    if (text_equal(method, TEXT("GET")))
        return get_operation(request);
    if (text_equal(method, TEXT("HEAD"))) {
        request->operation = S3_OPERATION_HEAD_OBJECT;
        return S3_OK;
    }
    if (text_equal(method, TEXT("PUT"))) {
        request->operation = has_upload ? S3_OPERATION_UPLOAD_PART : S3_OPERATION_PUT_OBJECT;
        return has_upload ? parse_multipart(request) : S3_OK;
    }
    if (text_equal(method, TEXT("DELETE"))) {
        request->operation = has_upload ? S3_OPERATION_ABORT_UPLOAD : S3_OPERATION_DELETE_OBJECT;
        return has_upload ? parse_multipart(request) : S3_OK;
    }
    if (!text_equal(method, TEXT("POST")))
        return S3_MethodNotAllowed;
    if (s3_query_find(request->query, TEXT("uploads"), &value)) {
        request->operation = S3_OPERATION_CREATE_UPLOAD;
        return S3_OK;
    }
    if (!has_upload)
        return S3_NotImplemented;
    request->operation = S3_OPERATION_COMPLETE_UPLOAD;
    return parse_multipart(request);
}

static enum s3_error check_query(const struct s3_request *request) {
    struct text rest = request->query, name, value;
    while (next_parameter(&rest, &name, &value)) {
        for (size_t i = 0; i < sizeof not_implemented / sizeof not_implemented[0]; i++)
            if (text_equal(name, text_from(not_implemented[i])))
                return S3_NotImplemented;
        if (text_equal(name, TEXT("versionId")) && !text_equal(value, TEXT("null")))
            return S3_NotImplemented;
    }
    return S3_OK;
}

enum s3_error s3_request_parse(struct text method, struct text target, struct s3_request *ret_request) {
    const char *mark = target.size > 0 ? memchr(target.data, '?', target.size) : NULL;
    memset(ret_request, 0, offsetof(struct s3_request, text));
    ret_request->path = (struct text){target.data, mark != NULL ? (size_t)(mark - target.data) : target.size};
    if (mark != NULL)
        ret_request->query = (struct text){mark + 1, target.size - ret_request->path.size - 1};
    enum s3_error error = parse_path(ret_request);
    if (error != S3_OK)
        return error;
    if (text_equal(method, TEXT("OPTIONS"))) {
        ret_request->operation = S3_OPERATION_PREFLIGHT;
        return S3_OK;
    }
    error = check_query(ret_request);
    if (error != S3_OK)
        return error;
    if (ret_request->key.data != NULL)
        return object_operation(method, ret_request);
    if (ret_request->bucket.data != NULL)
        return bucket_operation(method, ret_request);
    ret_request->operation = S3_OPERATION_LIST_BUCKETS;
    return text_equal(method, TEXT("GET")) ? S3_OK : S3_MethodNotAllowed;
}
