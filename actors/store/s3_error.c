#include "actors/store/s3_error.h"

struct description {
    const char *name;
    int status;
    const char *text;
};

static const struct description table[] = {
    [S3_OK] = {"OK", 200, ""},
#define S3_ERROR(name, status, text) [S3_##name] = {#name, status, text},
#include "actors/store/s3_error.def"
#undef S3_ERROR
};

int s3_error_status(enum s3_error error) {
    return table[error].status;
}

const char *s3_error_name(enum s3_error error) {
    /* S3 calls an expired presigned URL "AccessDenied"; only the text differs. */
    return error == S3_ExpiredToken ? table[S3_AccessDenied].name : table[error].name;
}

enum s3_error s3_error_of_status(int status) {
    switch (status) {
    case 400: return S3_BadRequest;
    case 403: return S3_AccessDenied;
    case 404: return S3_NoSuchKey;
    case 405: return S3_MethodNotAllowed;
    case 408: return S3_RequestTimeout;
    case 411: return S3_MissingContentLength;
    case 412: return S3_PreconditionFailed;
    case 413: return S3_EntityTooLarge;
    case 414: return S3_URITooLong;
    case 416: return S3_InvalidRange;
    case 431:
    case 494: /* nginx's own, for a header that is too large */ return S3_RequestHeaderSectionTooLarge;
    case 501: return S3_NotImplemented;
    case 503: return S3_ServiceUnavailable;
    default: return status >= 400 && status < 500 ? S3_BadRequest : S3_InternalError;
    }
}

void s3_error_write(enum s3_error error, struct text resource, struct text request_id, struct buffer *out) {
    buffer_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>",
                  s3_error_name(error), table[error].text);
    if (resource.data != NULL) {
        buffer_append_text(out, TEXT("<Resource>"));
        xml_write_text(resource, out);
        buffer_append_text(out, TEXT("</Resource>"));
    }
    if (request_id.size > 0)
        buffer_printf(out, "<RequestId>%.*s</RequestId>", TEXT_ARGUMENTS(request_id));
    buffer_append_text(out, TEXT("</Error>\n"));
}

void xml_write_text(struct text text, struct buffer *out) {
    bool utf8 = text_is_utf8(text);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '&')
            buffer_append_text(out, TEXT("&amp;"));
        else if (byte == '<')
            buffer_append_text(out, TEXT("&lt;"));
        else if (byte == '>')
            buffer_append_text(out, TEXT("&gt;"));
        else if (byte == '"')
            buffer_append_text(out, TEXT("&quot;"));
        else if (byte == '\t' || byte == '\n' || byte == '\r')
            buffer_printf(out, "&#%u;", byte);
        else if (byte < 0x20 || (byte >= 0x80 && !utf8))
            buffer_append_text(out, TEXT("\xEF\xBF\xBD"));
        else
            buffer_append(out, text.data + i, 1);
    }
}
