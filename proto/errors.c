#include "proto/proto.h"

const struct error_description error_table[] = {
#define ERROR(name, number, http_status, text) {ERROR_##name, #name, http_status, text},
#include "proto/errors.def"
#undef ERROR
};
const size_t error_count = sizeof error_table / sizeof *error_table;

static const struct error_description ok = {OK, "ok", 200, "OK"};

const struct error_description *error_describe(enum error error) {
    if (error == OK)
        return &ok;
    for (size_t i = 0; i < error_count; i++)
        if (error_table[i].error == error)
            return &error_table[i];
    return error_describe(ERROR_internal);
}
