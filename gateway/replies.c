#include "gateway/replies.h"

#include <stdlib.h>

struct remembered {
    const struct route *route; /* NULL: nothing */
    struct buffer query, reply, json, link;
};

struct replies {
    size_t oldest;
    struct remembered remembered[REPLIES_REMEMBERED];
};

struct replies *replies_new(void) {
    return calloc(1, sizeof(struct replies));
}

void replies_free(struct replies *replies) {
    if (replies == NULL)
        return;
    for (size_t i = 0; i < REPLIES_REMEMBERED; i++) {
        struct remembered *one = &replies->remembered[i];
        buffer_free(&one->query);
        buffer_free(&one->reply);
        buffer_free(&one->json);
        buffer_free(&one->link);
    }
    free(replies);
}

static const struct remembered *find(const struct replies *replies, const struct route *route, struct text query,
                                     struct text reply) {
    for (size_t i = 0; i < REPLIES_REMEMBERED; i++) {
        const struct remembered *one = &replies->remembered[i];
        if (one->route == route && text_equal(buffer_text(&one->query), query) && text_equal(buffer_text(&one->reply), reply))
            return one;
    }
    return NULL;
}

static void keep(struct buffer *buffer, struct text text) {
    buffer->limit_bytes = REPLIES_BYTES_MAX;
    buffer_clear(buffer);
    buffer_append_text(buffer, text);
}

static void remember(struct replies *replies, const struct route *route, struct text query, struct text reply, struct text json,
                     struct text link) {
    struct remembered *one = &replies->remembered[replies->oldest];
    replies->oldest = (replies->oldest + 1) % REPLIES_REMEMBERED;
    keep(&one->query, query);
    keep(&one->reply, reply);
    keep(&one->json, json);
    keep(&one->link, link);
    bool whole = buffer_ok(&one->query) && buffer_ok(&one->reply) && buffer_ok(&one->json) && buffer_ok(&one->link);
    one->route = whole ? route : NULL;
}

enum error replies_translate(struct replies *replies, const struct route *route, struct text query, struct text reply,
                             struct arena *arena, struct buffer *json, struct buffer *link) {
    size_t json_begin = json->size, link_begin = link->size;
    if (route->list == NULL) /* one item: translating it costs no more than remembering it */
        return translate_reply(route, query, reply, arena, json, link);
    const struct remembered *one = find(replies, route, query, reply);
    if (one != NULL) {
        buffer_append_text(json, buffer_text(&one->json));
        buffer_append_text(link, buffer_text(&one->link));
        return buffer_ok(json) && buffer_ok(link) ? OK : ERROR_internal;
    }
    enum error error = translate_reply(route, query, reply, arena, json, link);
    if (error == OK && json->size - json_begin <= REPLIES_BYTES_MAX)
        remember(replies, route, query, reply, (struct text){buffer_text(json).data + json_begin, json->size - json_begin},
                 (struct text){buffer_text(link).data + link_begin, link->size - link_begin});
    return error;
}
