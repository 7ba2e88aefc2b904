#include "actors/feed/pages.h"

#include <stdlib.h>

#include "actors/feed/statements.h"
#include "base/clock.h"
#include "base/log.h"

/* What makes two requests the same. */
struct page_key {
    bool thumbnails;
    enum item_filter filter;
    uint32_t limit;
    struct cursor behind; /* only items behind this place */
};

struct reader {
    struct reader *next;
    struct ask *ask;
};

struct readers {
    struct reader *first, **end;
};

/* Everybody who wants one page now. At most one query is under way for it; who comes meanwhile waits for the next one. */
struct page {
    struct page *next;
    struct pages *pages;
    struct page_key key;
    struct readers waiting; /* for a query that has not begun */
    struct readers served;  /* by the one that is under way */
};

struct pages {
    struct loop *loop;
    struct pg *pg;
    struct urls *urls;
    struct cursors *cursors;
    struct page *first;
    struct loop_timer begin; /* set for the end of the turn in which readers came */
    /* Of the page that is being answered: its rows, its items as they are encoded, their URLs, and the two encoded forms. */
    struct item_row rows[LIMIT_PAGE_ITEMS];
    struct feed_item items[LIMIT_PAGE_ITEMS];
    struct buffer url_bytes, shared, own;
};

static void readers_add(struct readers *readers, struct reader *reader) {
    reader->next = NULL;
    *(readers->first != NULL ? readers->end : &readers->first) = reader;
    readers->end = &reader->next;
}

static bool same(const struct page_key *a, const struct page_key *b) {
    return a->thumbnails == b->thumbnails && a->filter == b->filter && a->limit == b->limit &&
           a->behind.updated_at_us == b->behind.updated_at_us && a->behind.id == b->behind.id;
}

/* ---- the answer ---- */

static void encode(const struct pages *pages, size_t count, struct text next_cursor, struct buffer *out) {
    struct feed_page page = {.items = pages->items, .items_count = count, .next_cursor = next_cursor};
    buffer_clear(out);
    proto_encode(&proto_record_feed_page, &page, out);
}

/* Set `editable` as this caller sees the items. Does the caller own any? */
static bool mark_own(struct pages *pages, size_t count, struct text email) {
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        pages->items[i].editable = item_row_owned_by(&pages->rows[i], email);
        any = any || pages->items[i].editable;
    }
    return any;
}

/* Rows into items with URLs. An item whose URL cannot be made is left out rather than all the others with it. */
static size_t fill(struct pages *pages, const struct page *page, const struct pg_result *result, size_t row_count) {
    size_t ends[LIMIT_PAGE_ITEMS] = {0}, count = 0;
    int64_t real_us = clock_real_us();
    buffer_clear(&pages->url_bytes);
    for (size_t i = 0; i < row_count; i++) {
        struct item_row *row = &pages->rows[count];
        size_t begin = pages->url_bytes.size;
        item_row_read(result, i, row);
        bool good = page->key.thumbnails ? urls_thumbnail(pages->urls, row->image_id, &pages->url_bytes)
                                         : urls_original(pages->urls, row->image_id, real_us, &pages->url_bytes);
        if (!good) {
            log_printf(LOG_LEVEL_WARN, "url_impossible", "item %llu is left out", (unsigned long long)row->item.id);
            pages->url_bytes.size = begin;
            continue;
        }
        pages->items[count] = row->item;
        ends[count++] = pages->url_bytes.size;
    }
    for (size_t i = 0, begin = 0; i < count; begin = ends[i++])
        pages->items[i].url = (struct text){pages->url_bytes.data + begin, ends[i] - begin};
    return count;
}

/* One more row than the page holds was asked for: it tells whether there is a next page. */
static struct text next_cursor(const struct pages *pages, const struct page *page, const struct pg_result *result,
                               char out[LIMIT_CURSOR_BYTES + 1]) {
    if (result->row_count <= page->key.limit)
        return (struct text){0};
    struct cursor last = {pg_time_us(result, page->key.limit - 1, 5), pg_int4(result, page->key.limit - 1, 0)};
    return (struct text){out, cursor_encode(pages->cursors, &last, out)};
}

static void reply(struct ask *ask, const struct buffer *encoded) {
    if (buffer_ok(encoded))
        ask_reply_encoded(ask, buffer_text(encoded));
    else
        ask_fail(ask, ERROR_internal, "the page cannot be encoded");
}

static void answer(struct pages *pages, const struct page *page, const struct pg_result *result, struct reader *reader) {
    char cursor[LIMIT_CURSOR_BYTES + 1], last_email[LIMIT_EMAIL_BYTES + 1] = "";
    size_t row_count = result->row_count < page->key.limit ? result->row_count : page->key.limit;
    struct text next = next_cursor(pages, page, result, cursor);
    size_t count = fill(pages, page, result, row_count);
    encode(pages, count, next, &pages->shared);
    for (struct reader *after; reader != NULL; reader = after) {
        struct text email = reader->ask->caller.user_id != 0 ? reader->ask->caller.email : (struct text){0};
        after = reader->next; /* the reader is in its ask's arena */
        if (page->key.thumbnails || email.size == 0) {
            reply(reader->ask, &pages->shared);
        } else if (*last_email != '\0' && text_equal(email, text_from(last_email))) {
            reply(reader->ask, &pages->own);
        } else if (!mark_own(pages, count, email)) {
            reply(reader->ask, &pages->shared);
        } else {
            encode(pages, count, next, &pages->own);
            if (!text_copy(email, last_email, sizeof last_email))
                *last_email = '\0';
            reply(reader->ask, &pages->own);
        }
    }
}

/* ---- the query ---- */

static void page_free(struct page *page) {
    struct page **at = &page->pages->first;
    while (*at != page)
        at = &(*at)->next;
    *at = page->next;
    free(page);
}

static void page_begin(struct page *page);

static void page_done(void *context, const struct pg_result *result) {
    struct page *page = context;
    struct reader *reader = page->served.first;
    enum error error = statement_error(result);
    page->served = (struct readers){0};
    if (error == OK)
        answer(page->pages, page, result, reader);
    for (struct reader *after; error != OK && reader != NULL; reader = after) {
        after = reader->next;
        ask_fail(reader->ask, error, NULL);
    }
    if (page->waiting.first != NULL)
        page_begin(page);
    else
        page_free(page);
}

static void page_begin(struct page *page) {
    static const enum statement statements[] = {
        [FILTER_ALL] = STATEMENT_PAGE_ALL, [FILTER_READY] = STATEMENT_PAGE_READY, [FILTER_PENDING] = STATEMENT_PAGE_PENDING};
    const struct pg_value values[] = {pg_timestamp_value(page->key.behind.updated_at_us), pg_int4_value(page->key.behind.id),
                                      pg_int8_value((int64_t)page->key.limit + 1)};
    int64_t deadline_us = 0;
    page->served = page->waiting;
    page->waiting = (struct readers){0};
    for (const struct reader *reader = page->served.first; reader != NULL; reader = reader->next)
        if (reader->ask->deadline_us > deadline_us)
            deadline_us = reader->ask->deadline_us;
    pg_query(page->pages->pg, statements[page->key.filter], values, 3, deadline_us, page_done, page);
}

static void begin_waiting(struct loop_timer *timer) {
    struct pages *pages = timer->context;
    for (struct page *page = pages->first; page != NULL; page = page->next)
        if (page->served.first == NULL)
            page_begin(page);
}

/* ---- for everybody ---- */

struct pages *pages_new(struct loop *loop, struct pg *pg, struct urls *urls, struct cursors *cursors) {
    struct pages *pages = calloc(1, sizeof *pages);
    if (pages == NULL)
        return NULL;
    pages->loop = loop;
    pages->pg = pg;
    pages->urls = urls;
    pages->cursors = cursors;
    pages->begin = (struct loop_timer){.fire = begin_waiting, .context = pages};
    pages->url_bytes.limit_bytes = (size_t)LIMIT_PAGE_ITEMS * (LIMIT_URL_BYTES + LIMIT_OBJECT_KEY_BYTES) * 2;
    return pages;
}

void pages_free(struct pages *pages) {
    if (pages == NULL)
        return;
    loop_timer_clear(&pages->begin);
    for (struct page *page; (page = pages->first) != NULL;) {
        for (struct reader *reader = page->waiting.first, *after; reader != NULL; reader = after) {
            after = reader->next;
            ask_fail(reader->ask, ERROR_draining, NULL);
        }
        page_free(page);
    }
    buffer_free(&pages->url_bytes);
    buffer_free(&pages->shared);
    buffer_free(&pages->own);
    free(pages);
}

/* False: the cursor is none of ours. */
static bool key_of(struct pages *pages, const struct feed_list_request *request, bool thumbnails, struct page_key *ret_key) {
    struct page_key key = {.thumbnails = thumbnails,
                           .filter = request->state != 0 ? request->state : FILTER_ALL,
                           .limit = DEFAULT_PAGE_ITEMS,
                           .behind = {PG_TIME_INFINITY, INT32_MAX}};
    if (request->limit != 0)
        key.limit = request->limit < LIMIT_PAGE_ITEMS ? (uint32_t)request->limit : LIMIT_PAGE_ITEMS;
    if (request->before != 0)
        key.behind = (struct cursor){request->before, INT32_MIN}; /* no item of that very time is behind it */
    if (request->cursor.data != NULL && !cursor_decode(pages->cursors, request->cursor, &key.behind))
        return false;
    *ret_key = key;
    return true;
}

static struct page *page_of(struct pages *pages, const struct page_key *key) {
    for (struct page *page = pages->first; page != NULL; page = page->next)
        if (same(&page->key, key))
            return page;
    struct page *page = calloc(1, sizeof *page);
    if (page == NULL)
        return NULL;
    *page = (struct page){.next = pages->first, .pages = pages, .key = *key};
    pages->first = page;
    return page;
}

void pages_read(struct pages *pages, struct ask *ask, const struct feed_list_request *request, bool thumbnails) {
    struct page_key key;
    struct reader *reader = arena_alloc(&ask->arena, sizeof *reader);
    if (!key_of(pages, request, thumbnails, &key)) {
        ask_fail(ask, ERROR_cursor_malformed, NULL);
        return;
    }
    struct page *page = reader != NULL ? page_of(pages, &key) : NULL;
    if (page == NULL) {
        ask_fail(ask, ERROR_busy, "out of memory");
        return;
    }
    reader->ask = ask;
    readers_add(&page->waiting, reader);
    if (page->served.first == NULL) /* at the end of the turn, so that all who came in it take part */
        loop_timer_set(pages->loop, &pages->begin, loop_now_us(pages->loop));
}
