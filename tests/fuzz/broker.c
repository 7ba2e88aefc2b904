/*
 * Frames from hostile peers: the input is a run of [peer, size, frame]. Whatever comes, the core's promises hold: no crash,
 * and the counts of a service add up.
 */
#include <assert.h>

#include "bus/broker/core.h"
#include "bus/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void flush(struct broker_core *core, int64_t now_us, uint8_t mood) {
    struct text peer, frame;
    for (unsigned i = 0; i < 100 && broker_core_output(core, &peer, &frame); i++) {
        struct msgpack_reader reader = msgpack_reader(frame);
        struct wire_item item;
        while (wire_read(&reader, &item)) {
        }
        assert(!reader.failed); /* the broker itself never says anything malformed */
        if ((mood >> i % 8 & 1) == 0)
            broker_core_sent(core);
        else if (mood & 1)
            broker_core_unreachable(core, now_us);
        else
            broker_core_blocked(core, now_us);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct broker_options options = {.id = "fuzz", .heartbeat_us = 1000, .queue_messages = 3};
    int64_t now_us = 1;
    struct broker_core *core = broker_core_new(&options, now_us);
    if (core == NULL)
        return 0;
    while (size >= 3) {
        uint8_t peer = data[0], mood = data[1];
        size_t length = data[2] < size - 3 ? data[2] : size - 3;
        char id[WIRE_ID_BYTES];
        memset(id, peer % 8 + 1, sizeof id);
        broker_core_receive(core, (struct text){id, sizeof id}, (struct text){(const char *)data + 3, length}, now_us);
        flush(core, now_us, mood);
        now_us += peer;
        broker_core_tick(core, now_us);
        data += 3 + length;
        size -= 3 + length;
    }
    broker_core_free(core);
    return 0;
}
