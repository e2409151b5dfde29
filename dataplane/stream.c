// SPDX-License-Identifier: MIT
#include "dataplane/stream.h"

#include "dataplane/itch.h"
#include "dataplane/ouch.h"
#include "numa/fault.h"

static_assert(OUCH_OUT_SIZE_MAX + OUCH_OPTIONS_SIZE_MAX <= STREAM_MESSAGE_SIZE_MAX,
              "room for the longest message");
static_assert(ITCH_OUT_SIZE_MAX <= STREAM_MESSAGE_SIZE_MAX, "room for the longest message");

uint16_t stream_pack(const struct stream *stream, uint64_t first, uint64_t count_max,
                     stream_encode_fn *encode, const struct symbols *symbols, uint8_t *payload,
                     size_t *size, size_t size_max)
{
    uint16_t count = 0;
    if (FAULT(RETRANSMIT_NEIGHBOUR) && first > 1 && first < stream->sent)
        first--;
    while (count < count_max) {
        const struct event *event = stream_event(stream, first + count);
        if (!event)
            break;
        // The last one may turn out not to fit: it is tried beside the payload.
        uint8_t aside[STREAM_MESSAGE_SIZE_MAX];
        size_t at = *size + sizeof(be16);
        bool near_end = at + STREAM_MESSAGE_SIZE_MAX > size_max;
        uint8_t *out = near_end ? aside : payload + at;
        size_t length = encode(event, symbols, out);
        length = ouch_add_options(event, stream_options(stream, first + count), out, length);
        if (at + length > size_max)
            break;
        if (near_end)
            memcpy(payload + at, aside, length);
        *(be16 *)(payload + *size) = be16_of((uint16_t)length);
        *size = at + length;
        count++;
    }
    return count;
}
