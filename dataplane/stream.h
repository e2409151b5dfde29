// SPDX-License-Identifier: MIT
//
// stream: what was released for one session, or for the feed: its last events in a ring, by number,
// so that they can be sent, and sent again when asked for, and beside each the options that came
// before it. One thread.
#ifndef SLUICE_DATAPLANE_STREAM_H
#define SLUICE_DATAPLANE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "book/book.h"
#include "dataplane/symbols.h"
#include "numa/invariant.h"

struct stream {
    struct event *events;
    struct order_options *options; // of the events in the same places; most are none
    struct order_options coming;   // of the next event
    uint64_t mask;                 // capacity - 1
    uint64_t next;                 // number of the next event to be appended, from 1
    uint64_t sent;                 // number of the next event to be sent; at most next
};

// stream_memory_size: bytes that stream_init takes for `capacity` events.
static inline size_t stream_memory_size(uint32_t capacity)
{
    return capacity * (sizeof(struct event) + sizeof(struct order_options));
}

// stream_init: empty, over `capacity` events (a power of two) of the caller's memory, 64-byte
// aligned.
static inline void stream_init(struct stream *stream, void *memory, uint32_t capacity)
{
    struct event *events = memory;
    *stream = (struct stream){.events = events,
                              .options = (struct order_options *)(events + capacity),
                              .mask = capacity - 1,
                              .next = 1,
                              .sent = 1};
}

// stream_full: another event would overwrite one that has not been sent yet.
static inline bool stream_full(const struct stream *stream)
{
    return stream->next - stream->sent > stream->mask;
}

// stream_append: the next event. Its number is the stream's next one; that of an EVENT_OPTIONS is
// taken by the event that follows.
static inline void stream_append(struct stream *stream, const struct event *event)
{
    INVARIANT(event->stream_seq == stream->next && !stream_full(stream));
    if (event->type == EVENT_OPTIONS) {
        stream->coming = event->options;
        return;
    }
    stream->events[stream->next & stream->mask] = *event;
    stream->options[stream->next & stream->mask] = stream->coming;
    stream->coming = (struct order_options){0};
    stream->next++;
}

// stream_event: event number `number`, or NULL when it is not there yet or no longer.
static inline const struct event *stream_event(const struct stream *stream, uint64_t number)
{
    bool kept = number >= 1 && number < stream->next && stream->next - number <= stream->mask + 1;
    return kept ? &stream->events[number & stream->mask] : NULL;
}

// stream_options: those of event number `number`, which is there.
static inline const struct order_options *stream_options(const struct stream *stream,
                                                         uint64_t number)
{
    return &stream->options[number & stream->mask];
}

// Writes the message that tells of an event, at most STREAM_MESSAGE_SIZE_MAX bytes; returns its
// size. ouch_encode and itch_encode are such functions; options are added to what they wrote.
typedef size_t stream_encode_fn(const struct event *event, const struct symbols *symbols,
                                uint8_t *out);
#define STREAM_MESSAGE_SIZE_MAX 128u

// stream_pack: append events from `first` on, up to `count_max`, to a payload of `*size` bytes as
// blocks of a be16 length and the message, as UFO and MoldUDP64 both have them: as many as fit
// `size_max`. Moves `*size` on and returns how many there were.
uint16_t stream_pack(const struct stream *stream, uint64_t first, uint64_t count_max,
                     stream_encode_fn *encode, const struct symbols *symbols, uint8_t *payload,
                     size_t *size, size_t size_max);

// stream_skip: nobody is listening: what is there counts as sent.
static inline void stream_skip(struct stream *stream)
{
    stream->sent = stream->next;
}

#endif
