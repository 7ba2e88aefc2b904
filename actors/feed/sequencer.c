#include "actors/feed/sequencer.h"

bool sequencer_normalise(struct text sequencer, char out[SEQUENCER_BYTES], struct text *ret_normal) {
    size_t size = 0;
    if (sequencer.size > SEQUENCER_BYTES)
        return false;
    for (size_t i = 0; i < sequencer.size; i++) {
        char c = sequencer.data[i];
        if (c >= 'A' && c <= 'F')
            c = (char)(c - 'A' + 'a');
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        out[i] = c;
        if (c != '0')
            size = i + 1;
    }
    *ret_normal = sequencer.data != NULL ? (struct text){out, size} : (struct text){0};
    return true;
}
