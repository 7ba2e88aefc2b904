/*
 * Prints MESSAGES.md, the reference of all messages, records and errors, from the tables. `ctest -R messages_md` compares
 * it with the file in the tree.
 */
#include <inttypes.h>
#include <stdio.h>

#include "proto/proto.h"

static const char *const kinds[] = {
    [PROTO_UINT] = "number",        [PROTO_BOOL] = "boolean", [PROTO_TIME] = "time",   [PROTO_TEXT] = "text",
    [PROTO_SECRET] = "secret text", [PROTO_ENUM] = "one of",  [PROTO_LIST] = "list of"};
static const char *const lanes[] = {
    [LANE_CONTROL] = "control", [LANE_INTERACTIVE] = "interactive", [LANE_BACKGROUND] = "background"};

static void print_type(const struct proto_field *field) {
    (void)printf("%s", kinds[field->kind]);
    switch (field->kind) {
    case PROTO_UINT:
        if (field->maximum == INT64_MAX)
            (void)printf(", %" PRIu64 " and more", field->minimum);
        else
            (void)printf(", %" PRIu64 " to %" PRIu64, field->minimum, field->maximum);
        break;
    case PROTO_TEXT:
    case PROTO_SECRET: (void)printf(", %" PRIu64 " to %" PRIu64 " bytes", field->minimum, field->maximum); break;
    case PROTO_ENUM:
        for (size_t i = 0; i < field->values->count; i++)
            (void)printf("%s `%s` (%u)", i > 0 ? "," : "", field->values->values[i].name, field->values->values[i].number);
        break;
    case PROTO_LIST: (void)printf(" `%s`, at most %" PRIu64, field->item->name, field->maximum); break;
    case PROTO_BOOL:
    case PROTO_TIME: break;
    }
}

static void print_record(const struct proto_record *record) {
    (void)printf("\n### %s\n\n%s.\n", record->name, record->doc);
    if (record->field_count == 0)
        return;
    (void)printf("\n| field | type | | if missing or malformed | what it is |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < record->field_count; i++) {
        const struct proto_field *field = &record->fields[i];
        (void)printf("| %s | ", field->name);
        print_type(field);
        (void)printf(" | %s | %s | %s |\n", field->presence == PROTO_REQUIRED ? "required" : "optional",
                     error_describe(field->error)->name, field->doc);
    }
}

int main(void) {
    (void)printf("# Messages\n\nMade from the tables in this folder by `proto/document.c` (`./dev docs`); do not edit.\n\n"
                 "| number | message | service | request | reply | sent again? | lane | deadline | what it does |\n"
                 "|---|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < proto_message_count; i++) {
        const struct proto_message *message = &proto_message_table[i];
        (void)printf("| %u | %s | %s | [%s](#%s) | [%s](#%s) | %s | %s | %" PRId64 " ms | %s |\n", message->number, message->name,
                     message->service.data, message->request->name, message->request->name, message->reply->name,
                     message->reply->name, message->safety == PROTO_IDEMPOTENT ? "yes" : "no", lanes[message->lane],
                     message->deadline_ms, message->doc);
    }
    (void)printf("\n## Records\n");
    for (size_t i = 0; i < proto_record_count; i++)
        print_record(proto_record_table[i]);
    (void)printf("\n## Errors\n\n| number | error | HTTP | text |\n|---|---|---|---|\n");
    for (size_t i = 0; i < error_count; i++)
        (void)printf("| %d | %s | %d | %s |\n", (int)error_table[i].error, error_table[i].name, error_table[i].http_status,
                     error_table[i].text);
    return 0;
}
