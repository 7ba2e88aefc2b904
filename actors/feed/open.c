#include "actors/feed/open.h"

#include <stdlib.h>

#include "actors/feed/feed.h"
#include "actors/feed/statements.h"
#include "base/clock.h"
#include "base/log.h"

#define QUERIES_MAX 1024 /* four for each ask at most: the credit is less */
#define DELETIONS_AT_A_TIME 16

static void database_changed(void *context, bool available, const char *reason) {
    const struct feed *feed = context;
    if (!available) {
        log_event(LOG_LEVEL_WARN, "database_lost", "reason", reason, NULL);
        return;
    }
    log_event(LOG_LEVEL_INFO, "database_connected", NULL);
    if (feed->outbox != NULL)
        outbox_wake(feed->outbox);
}

/* NULL, or what is wrong (static text). */
static const char *open_database(struct feed *feed, const struct settings *settings) {
    struct buffer connection = {0};
    const char *problem = "out of memory";
    bool known = settings_database(settings, &connection);
    buffer_append(&connection, "", 1);
    if (known && buffer_ok(&connection)) {
        const struct pg_options options = {.connection = connection.data,
                                           .application = "pixbus-feed",
                                           .connections = (unsigned)settings->database_connections,
                                           .statements = feed_statements,
                                           .statement_count = STATEMENT_COUNT,
                                           .queue_max = QUERIES_MAX,
                                           .connect_timeout_us = settings->database_timeout_ms * US_PER_MS,
                                           .query_timeout_us = settings->database_timeout_ms * US_PER_MS,
                                           .changed = database_changed,
                                           .context = feed};
        feed->pg = pg_open(feed->loop, &options, &problem);
    }
    if (connection.data != NULL)
        explicit_bzero(connection.data, connection.size); /* it may hold the password */
    buffer_free(&connection);
    return feed->pg != NULL ? NULL : problem;
}

static struct s3_client *open_storage(struct loop *loop, const struct settings *settings) {
    const struct s3_client_options options = {.loop = loop,
                                              .endpoint = settings->s3_endpoint,
                                              .credentials = {.region = settings->aws_region,
                                                              .access_key_id = settings->access_key_id,
                                                              .secret_access_key = settings->secret_access_key,
                                                              .session_token = settings->session_token},
                                              .in_flight_max = DELETIONS_AT_A_TIME,
                                              .queue_max = DELETIONS_AT_A_TIME};
    return s3_client_open(&options);
}

/* NULL, or what is wrong (static text). */
static const char *open_parts(struct feed *feed, const struct settings *settings) {
    const char *problem = NULL;
    feed->media_bucket = text_from(settings->media_bucket);
    feed->thumbnails_bucket = text_from(settings->thumbnails_bucket);
    feed->urls = urls_new(settings, &problem);
    if (feed->urls == NULL)
        return problem;
    problem = open_database(feed, settings);
    if (problem != NULL)
        return problem;
    feed->cursors = cursors_new(text_from(settings->secret_access_key));
    feed->s3 = open_storage(feed->loop, settings);
    if (feed->cursors == NULL || feed->s3 == NULL)
        return "out of memory";
    feed->pages = pages_new(feed->loop, feed->pg, feed->urls, feed->cursors);
    feed->lookups = lookups_new(feed->loop, feed->pg, feed->urls);
    feed->outbox = outbox_new(feed->loop, feed->pg, feed->s3);
    return feed->pages != NULL && feed->lookups != NULL && feed->outbox != NULL ? NULL : "out of memory";
}

/* First what calls back, then who is called. */
void feed_close(void *application) {
    struct feed *feed = application;
    if (feed == NULL)
        return;
    s3_client_close(feed->s3);
    pg_close(feed->pg);
    outbox_free(feed->outbox);
    lookups_free(feed->lookups);
    pages_free(feed->pages);
    cursors_free(feed->cursors);
    urls_free(feed->urls);
    free(feed);
}

bool feed_open(struct actor *actor, void **ret_application) {
    struct feed *feed = calloc(1, sizeof *feed);
    const char *problem = "out of memory";
    if (feed != NULL) {
        feed->loop = actor_loop(actor);
        problem = open_parts(feed, actor_settings(actor));
    }
    if (problem != NULL) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "reason", problem, NULL);
        feed_close(feed);
        return false;
    }
    *ret_application = feed;
    return true;
}
