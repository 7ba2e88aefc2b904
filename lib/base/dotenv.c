#include "base/dotenv.h"

#include "base/limits.h"

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_name_character(char c, bool first) {
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (!first && c >= '0' && c <= '9');
}

static struct text skip(struct text text, size_t size) {
    return (struct text){text.data + size, text.size - size};
}

static struct text skip_blanks(struct text text) {
    while (text.size > 0 && is_blank(*text.data))
        text = skip(text, 1);
    return text;
}

/* What may follow a closing quote: nothing, or a comment behind a blank. */
static bool is_end(struct text rest) {
    struct text after = skip_blanks(rest);
    return after.size == 0 || (*after.data == '#' && after.size < rest.size);
}

static const char *parse_single_quoted(struct text rest, struct buffer *value) {
    const char *end = memchr(rest.data, '\'', rest.size);
    if (end == NULL)
        return "the single quote is not closed on its line";
    buffer_append(value, rest.data, (size_t)(end - rest.data));
    return is_end(skip(rest, (size_t)(end - rest.data) + 1)) ? NULL : "nothing but a comment may follow the closing quote";
}

static const char *parse_double_quoted(struct text rest, struct buffer *value) {
    for (; rest.size > 0; rest = skip(rest, 1)) {
        char c = *rest.data;
        if (c == '"')
            return is_end(skip(rest, 1)) ? NULL : "nothing but a comment may follow the closing quote";
        if (c == '\\' && rest.size > 1) {
            char escaped = rest.data[1];
            if (memchr("\"\\$`", escaped, 4) != NULL)
                c = escaped;
            else if (escaped == 'n')
                c = '\n';
            else if (escaped == 't')
                c = '\t';
            else if (escaped == 'r')
                c = '\r';
            if (c != '\\' || escaped == '\\') /* an unknown escape keeps its backslash */
                rest = skip(rest, 1);
        }
        buffer_append(value, &c, 1);
    }
    return "the double quote is not closed on its line";
}

static const char *parse_bare(struct text rest, struct buffer *value) {
    size_t size = 0;
    while (size < rest.size && !(rest.data[size] == '#' && (size == 0 || is_blank(rest.data[size - 1]))))
        size++;
    while (size > 0 && is_blank(rest.data[size - 1]))
        size--;
    buffer_append(value, rest.data, size);
    return NULL;
}

/* NULL when the line is well-formed; `name` stays empty when it says nothing. */
static const char *parse_line(struct text line, struct buffer *name, struct buffer *value) {
    const char *problem;
    size_t size = 0;
    line = skip_blanks(line);
    if (line.size == 0 || *line.data == '#')
        return NULL;
    if (memchr(line.data, '\0', line.size) != NULL)
        return "it holds a NUL byte";
    if (text_starts_with(line, TEXT("export")) && line.size > 6 && is_blank(line.data[6]))
        line = skip_blanks(skip(line, 6));
    while (size < line.size && is_name_character(line.data[size], size == 0))
        size++;
    if (size == 0 || size == line.size || line.data[size] != '=')
        return "expected NAME=value, the name of letters, digits and '_', without blanks around '='";
    if (size > LIMIT_DOTENV_NAME_BYTES)
        return "the name is too long";
    buffer_append(name, line.data, size);
    line = skip(line, size + 1);
    if (line.size > 0 && *line.data == '\'')
        problem = parse_single_quoted(skip(line, 1), value);
    else if (line.size > 0 && *line.data == '"')
        problem = parse_double_quoted(skip(line, 1), value);
    else
        problem = parse_bare(skip_blanks(line), value);
    buffer_append(name, "", 1);
    buffer_append(value, "", 1);
    return problem == NULL && (!buffer_ok(name) || !buffer_ok(value)) ? "there is no memory for it" : problem;
}

bool dotenv_parse(struct text file, void (*set)(void *context, const char *name, const char *value), void *context,
                  struct buffer *problem) {
    struct buffer name = {0}, value = {0};
    bool good = true;
    if (text_starts_with(file, TEXT("\xef\xbb\xbf"))) /* a byte order mark, as some editors leave it */
        file = skip(file, 3);
    for (unsigned number = 1; file.size > 0; number++) {
        const char *end = memchr(file.data, '\n', file.size);
        struct text line = {file.data, end != NULL ? (size_t)(end - file.data) : file.size};
        file = skip(file, line.size + (end != NULL));
        if (line.size > 0 && line.data[line.size - 1] == '\r')
            line.size--;
        buffer_clear(&name);
        buffer_clear(&value);
        const char *wrong = parse_line(line, &name, &value);
        if (wrong != NULL) {
            buffer_printf(problem, ".env, line %u: %s\n", number, wrong);
            good = false;
        } else if (name.size > 0) {
            set(context, name.data, value.data);
        }
    }
    if (value.data != NULL)
        explicit_bzero(value.data, value.capacity); /* a secret may have been among them */
    buffer_free(&name);
    buffer_free(&value);
    return good;
}
