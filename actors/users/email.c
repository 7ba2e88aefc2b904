#include "actors/users/email.h"

/* Is the code point in UTF-8 at `s`, of at least two bytes, a control, a blank or invisible? */
static bool is_hidden(const unsigned char *s) {
    static const char *const hidden[] = {
        "\u00a0", "\u00ad", "\u1680", "\u180e", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007",
        "\u2008", "\u2009", "\u200a", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202b",
        "\u202c", "\u202d", "\u202e", "\u202f", "\u205f", "\u2060", "\u2066", "\u2067", "\u2068", "\u2069", "\u3000", "\ufeff"};
    if (s[0] == 0xc2 && s[1] < 0xa0) /* C1 controls: U+0080 to U+009F */
        return true;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (memcmp(s, hidden[i], strlen(hidden[i])) == 0)
            return true;
    return false;
}

/* Of well-formed UTF-8: neither blanks nor controls of any kind? */
static bool is_visible(struct text text) {
    const unsigned char *s = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.size; i++) {
        if (s[i] <= ' ' || s[i] == 0x7f)
            return false;
        if (s[i] >= 0xc2 && is_hidden(s + i)) /* a first byte, so its sequence is all there */
            return false;
    }
    return true;
}

static bool is_label_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || (unsigned char)c >= 0x80;
}

/* Labels between single dots; none begins or ends with a hyphen. */
static bool is_domain(struct text domain) {
    size_t label = 0; /* bytes so far */
    for (size_t i = 0; i < domain.size; i++) {
        char c = domain.data[i];
        bool last = i + 1 == domain.size || domain.data[i + 1] == '.';
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            continue;
        }
        if (!is_label_character(c) || (c == '-' && (label == 0 || last)) || ++label > EMAIL_LABEL_BYTES_MAX)
            return false;
    }
    return label > 0;
}

bool email_valid(struct text email) {
    const char *at = email.size > 0 ? memchr(email.data, '@', email.size) : NULL;
    struct text local, domain;
    if (at == NULL || email.size > LIMIT_EMAIL_BYTES || !text_is_utf8(email))
        return false;
    local = (struct text){email.data, (size_t)(at - email.data)};
    domain = (struct text){at + 1, email.size - local.size - 1};
    return local.size >= 1 && local.size <= EMAIL_LOCAL_BYTES_MAX && is_visible(email) && is_domain(domain);
}
