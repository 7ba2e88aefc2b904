#include "actors/store/condition.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void http_date_format(int64_t time_us, char out[HTTP_DATE_BYTES]) {
    time_t seconds = (time_t)(time_us / US_PER_S);
    struct tm tm = {0};
    char text[80];
    (void)gmtime_r(&seconds, &tm);
    (void)snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                   (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
    (void)snprintf(out, HTTP_DATE_BYTES, "%.29s", text);
}

static bool two_digits(const char *text, int maximum, int *ret_number) {
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return false;
    *ret_number = (text[0] - '0') * 10 + (text[1] - '0');
    return *ret_number <= maximum;
}

bool http_date_parse(struct text text, int64_t *ret_time_us) {
    static const char form[] = "Ddd, 00 Mmm 0000 00:00:00 GMT";
    struct tm tm = {.tm_mon = -1};
    int century, year;
    if (text.size != sizeof form - 1)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (strchr(", :GMT", form[i]) != NULL && !(i >= 8 && i <= 10) && text.data[i] != form[i])
            return false;
    for (int month = 0; month < 12; month++)
        if (memcmp(text.data + 8, months[month], 3) == 0)
            tm.tm_mon = month;
    if (tm.tm_mon < 0 || !two_digits(text.data + 5, 31, &tm.tm_mday) || !two_digits(text.data + 12, 99, &century) ||
        !two_digits(text.data + 14, 99, &year) || !two_digits(text.data + 17, 23, &tm.tm_hour) ||
        !two_digits(text.data + 20, 59, &tm.tm_min) || !two_digits(text.data + 23, 60, &tm.tm_sec) || tm.tm_mday == 0)
        return false;
    tm.tm_year = century * 100 + year - 1900;
    *ret_time_us = (int64_t)timegm(&tm) * US_PER_S;
    return true;
}

static struct text trim(struct text text) {
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static struct text unquote(struct text tag) {
    if (tag.size >= 2 && tag.data[0] == '"' && tag.data[tag.size - 1] == '"')
        return (struct text){tag.data + 1, tag.size - 2};
    return tag; /* some clients leave the quotes out */
}

/* Is the tag in the list (or is the list "*")? A weak tag matches only when `weak` comparison is asked for. */
static bool list_has(struct text list, struct text etag, bool weak) {
    while (list.size > 0) {
        const char *comma = memchr(list.data, ',', list.size);
        struct text tag = {list.data, comma != NULL ? (size_t)(comma - list.data) : list.size};
        list.data += tag.size + (comma != NULL);
        list.size -= tag.size + (comma != NULL);
        tag = trim(tag);
        if (text_equal(tag, TEXT("*")))
            return true;
        bool is_weak = text_starts_with(tag, TEXT("W/"));
        if (is_weak)
            tag = (struct text){tag.data + 2, tag.size - 2};
        if ((weak || !is_weak) && text_equal(unquote(tag), etag))
            return true;
    }
    return false;
}

static bool modified_after(int64_t modified_us, int64_t time_us) {
    return modified_us / US_PER_S > time_us / US_PER_S;
}

enum condition_result conditions_check(const struct conditions *conditions, struct text etag, int64_t modified_us) {
    int64_t time_us;
    if (conditions->if_match.data != NULL) {
        if (!list_has(conditions->if_match, etag, false))
            return CONDITION_FAILED;
    } else if (conditions->if_unmodified_since.data != NULL && http_date_parse(conditions->if_unmodified_since, &time_us) &&
               modified_after(modified_us, time_us)) {
        return CONDITION_FAILED;
    }
    if (conditions->if_none_match.data != NULL)
        return list_has(conditions->if_none_match, etag, true) ? CONDITION_NOT_MODIFIED : CONDITION_HOLDS;
    if (conditions->if_modified_since.data != NULL && http_date_parse(conditions->if_modified_since, &time_us) &&
        !modified_after(modified_us, time_us))
        return CONDITION_NOT_MODIFIED;
    return CONDITION_HOLDS;
}

bool conditions_allow_range(const struct conditions *conditions, struct text etag, int64_t modified_us) {
    int64_t time_us;
    struct text validator = trim(conditions->if_range);
    if (validator.data == NULL)
        return true;
    if (http_date_parse(validator, &time_us))
        return modified_us / US_PER_S == time_us / US_PER_S;
    return !text_starts_with(validator, TEXT("W/")) && text_equal(unquote(validator), etag);
}

enum range_result range_parse(struct text header, uint64_t size, uint64_t *ret_first, uint64_t *ret_last) {
    uint64_t first, last = UINT64_MAX;
    if (header.data == NULL || header.size < 6 || !text_equal_ignoring_case((struct text){header.data, 6}, TEXT("bytes=")))
        return RANGE_NONE;
    struct text range = trim((struct text){header.data + 6, header.size - 6});
    const char *dash = range.size > 0 ? memchr(range.data, '-', range.size) : NULL;
    if (dash == NULL)
        return RANGE_NONE;
    struct text from = {range.data, (size_t)(dash - range.data)}, to = {dash + 1, range.size - from.size - 1};
    if (to.size > 0 && !text_to_u64(to, &last))
        return RANGE_NONE;
    if (from.size == 0) { /* the last so many bytes */
        if (to.size == 0)
            return RANGE_NONE;
        if (last == 0 || size == 0)
            return RANGE_UNSATISFIABLE;
        *ret_first = last < size ? size - last : 0;
        *ret_last = size - 1;
        return RANGE_GIVEN;
    }
    if (!text_to_u64(from, &first) || last < first)
        return RANGE_NONE;
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    *ret_first = first;
    *ret_last = last < size ? last : size - 1;
    return RANGE_GIVEN;
}
