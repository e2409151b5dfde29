// SPDX-License-Identifier: MIT
//
// What the tests of `sluice load` have in common: a tape in a file, a packet of a session's stream
// being made, and a book that takes orders.
#ifndef SLUICE_TESTS_UNIT_LOAD_PARTS_H
#define SLUICE_TESTS_UNIT_LOAD_PARTS_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "book/book.h"
#include "dataplane/ufo.h"

static char tape_path[64]; // of the last one written

static inline void write_tape(const void *bytes, size_t size)
{
    snprintf(tape_path, sizeof(tape_path), "/tmp/sluice-test-load-XXXXXX");
    int fd = mkstemp(tape_path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

// A message behind its length, as UFO and MoldUDP64 have them: how much that is.
static inline size_t write_block(uint8_t *out, const void *message, size_t size)
{
    be16 length = be16_of((uint16_t)size);
    memcpy(out, &length, sizeof(length));
    memcpy(out + sizeof(length), message, size);
    return sizeof(length) + size;
}

// A sequenced packet being made.
struct packet_out {
    uint8_t bytes[UFO_PAYLOAD_MAX];
    size_t size;
    uint32_t sequence;
    uint16_t count;
};

static inline struct packet_out from_sequence(uint32_t sequence)
{
    return (struct packet_out){.size = sizeof(struct ufo_sequenced), .sequence = sequence};
}

static inline void add_message(struct packet_out *out, const void *message, size_t size)
{
    out->size += write_block(out->bytes + out->size, message, size);
    out->count++;
}

// Before it is sent: its header says what is in it now.
static inline void finish_packet(struct packet_out *out)
{
    struct ufo_sequenced header = {
        .type = UFO_SEQUENCED, .sequence = be32_of(out->sequence), .count = be16_of(out->count)};
    memcpy(out->bytes, &header, sizeof(header));
}

// A book that takes steps: what the venue would do if the messages came in their order.
struct matcher {
    struct book *book;
    void *memory;
    struct event events[256];
    struct event_sink sink;
    uint64_t executions, same_session, canceled, replaced;
    uint16_t maker;
};

static inline void matcher_events(struct event_sink *sink)
{
    struct matcher *matcher = sink->context;
    for (struct event *event = matcher->events; event < sink->next; event++) {
        matcher->replaced += event->type == EVENT_REPLACED;
        matcher->canceled += event->type == EVENT_CANCELED && event->code == 'U';
        if (event->type == EVENT_EXECUTED && event->code == 'A')
            matcher->maker = event->session;
        if (event->type == EVENT_EXECUTED && event->code == 'R') {
            matcher->executions++;
            matcher->same_session += event->session == matcher->maker;
        }
    }
    sink->next = matcher->events;
}

static inline void matcher_apply(struct matcher *matcher, const struct command *command)
{
    book_apply(matcher->book, command, &matcher->sink);
    matcher_events(&matcher->sink);
}

static inline struct matcher *matcher_open(uint16_t instrument_count, uint16_t session_count)
{
    struct book_limits limits = {
        .orders_max = 1 << 17, .instruments_max = instrument_count, .sessions_max = session_count};
    struct matcher *matcher = calloc(1, sizeof(*matcher));
    matcher->memory = aligned_alloc(64, (book_memory_size(&limits) + 63) & ~(size_t)63);
    matcher->book = book_open(matcher->memory, &limits);
    matcher->sink =
        (struct event_sink){matcher->events, matcher->events + 256, matcher_events, matcher};
    struct command command = {.type = COMMAND_OPEN,
                              .open = {.limits = limits, .session_id = "SESSION001"}};
    matcher_apply(matcher, &command);
    for (uint16_t i = 0; i < instrument_count; i++) {
        command = (struct command){.type = COMMAND_INSTRUMENT, .instrument = i};
        matcher_apply(matcher, &command);
    }
    for (uint16_t i = 0; i < session_count; i++) {
        command = (struct command){.type = COMMAND_SESSION, .session = i};
        matcher_apply(matcher, &command);
    }
    command = (struct command){.type = COMMAND_START};
    matcher_apply(matcher, &command);
    return matcher;
}

static inline void matcher_close(struct matcher *matcher)
{
    free(matcher->memory);
    free(matcher);
}

#endif
