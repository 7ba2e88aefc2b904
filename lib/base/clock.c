#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id) {
    struct timespec now;
    (void)clock_gettime(id, &now);
    return now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void) {
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_real_us(void) {
    return read_clock(CLOCK_REALTIME);
}

#define YEAR_0000_US (INT64_C(-62167219200) * US_PER_S)
#define YEAR_9999_US (INT64_C(253402300799) * US_PER_S + 999999)

static char *put_digits(char *at, unsigned value, int count) {
    for (int i = count - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + count;
}

struct date {
    unsigned year, month, day;
};

/*
 * The date of a day since 1970-01-01, from year 0 on. Years are counted from March, so that the leap day is their last;
 * 400 of them, an era, have 146097 days.
 */
static struct date date_of(int64_t days) {
    unsigned shifted = (unsigned)(days + 719468 + 146097); /* since 1 March of the year -400 */
    unsigned era = shifted / 146097, day_of_era = shifted % 146097;
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */
    struct date date = {.day = day_of_year - (153 * month + 2) / 5 + 1, .month = month < 10 ? month + 3 : month - 9};
    date.year = year_of_era + 400 * era - 400 + (date.month <= 2);
    return date;
}

/* By hand, since pages are full of times and printf would be a seventh of the gateway's work. */
void rfc3339_format(int64_t time_us, char out[RFC3339_BYTES]) {
    time_us = time_us < YEAR_0000_US ? YEAR_0000_US : time_us > YEAR_9999_US ? YEAR_9999_US : time_us;
    int64_t fraction = time_us % US_PER_S;
    int64_t seconds = time_us / US_PER_S;
    if (fraction < 0) {
        fraction += US_PER_S;
        seconds--;
    }
    int64_t days = seconds / 86400, second = seconds % 86400;
    if (second < 0) {
        second += 86400;
        days--;
    }
    struct date date = date_of(days);
    char *at = put_digits(out, date.year, 4);
    *at++ = '-';
    at = put_digits(at, date.month, 2);
    *at++ = '-';
    at = put_digits(at, date.day, 2);
    *at++ = 'T';
    at = put_digits(at, (unsigned)(second / 3600), 2);
    *at++ = ':';
    at = put_digits(at, (unsigned)(second / 60 % 60), 2);
    *at++ = ':';
    at = put_digits(at, (unsigned)(second % 60), 2);
    *at++ = '.';
    at = put_digits(at, (unsigned)fraction, 6);
    *at++ = 'Z';
    *at = '\0';
}

struct reader {
    struct text text;
    size_t at;
    bool failed;
};

static char next(struct reader *reader) {
    if (reader->at < reader->text.size)
        return reader->text.data[reader->at++];
    reader->failed = true;
    return '\0';
}

static int digits(struct reader *reader, int count) {
    int value = 0;
    while (count-- > 0) {
        char c = next(reader);
        if (c < '0' || c > '9')
            reader->failed = true;
        value = value * 10 + (c - '0');
    }
    return reader->failed ? 0 : value;
}

static void expect(struct reader *reader, const char *any_of) {
    char c = next(reader);
    if (c == '\0' || strchr(any_of, c) == NULL)
        reader->failed = true;
}

static int64_t fraction_us(struct reader *reader) {
    int64_t value = 0, weight = US_PER_S / 10;
    int count = 0;
    if (reader->at >= reader->text.size || reader->text.data[reader->at] != '.')
        return 0;
    reader->at++;
    for (; reader->at < reader->text.size; reader->at++, count++, weight /= 10) {
        char c = reader->text.data[reader->at];
        if (c < '0' || c > '9')
            break;
        value += (c - '0') * weight;
    }
    if (count == 0 || count > 9)
        reader->failed = true;
    return value;
}

static int64_t offset_s(struct reader *reader) {
    char sign = next(reader);
    if (sign == 'Z' || sign == 'z')
        return 0;
    int hours = digits(reader, 2);
    expect(reader, ":");
    int minutes = digits(reader, 2);
    if ((sign != '+' && sign != '-') || hours > 23 || minutes > 59)
        reader->failed = true;
    int64_t offset = hours * 3600 + minutes * 60;
    return sign == '-' ? -offset : offset;
}

static int days_in_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool rfc3339_parse(struct text text, int64_t *ret_time_us) {
    struct reader reader = {.text = text};
    struct tm tm = {0};
    int year = digits(&reader, 4);
    expect(&reader, "-");
    int month = digits(&reader, 2);
    expect(&reader, "-");
    tm.tm_mday = digits(&reader, 2);
    expect(&reader, "Tt ");
    tm.tm_hour = digits(&reader, 2);
    expect(&reader, ":");
    tm.tm_min = digits(&reader, 2);
    expect(&reader, ":");
    tm.tm_sec = digits(&reader, 2);
    int64_t fraction = fraction_us(&reader);
    int64_t offset = offset_s(&reader);
    if (reader.failed || reader.at != text.size || month < 1 || month > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > days_in_month(year, month) || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    *ret_time_us = ((int64_t)timegm(&tm) - offset) * US_PER_S + fraction;
    return true;
}
