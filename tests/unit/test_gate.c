// SPDX-License-Identifier: MIT
//
// The release gate, with real streams and a port that swallows what is sent.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/gate.h"

#define HISTORY 1024u

static struct gate gate;
static struct entry entry;
static struct feed feed;
static struct symbols symbols;
static struct ring *events;
static struct journal_progress progress;
static uint64_t session_next, feed_next;

static void *take(size_t size)
{
    return memset(aligned_alloc(128, (size + 127) & ~(size_t)127), 0, (size + 127) & ~(size_t)127);
}

static void set_up(void)
{
    static const struct config_session who = {.user = "ALICE "};
    events = ring_init(take(ring_memory_size(4096)), 4096);
    symbols_init(&symbols, take(symbols_memory_size(1)), 1);
    entry = (struct entry){.symbols = &symbols};
    entry_init(&entry, take(entry_memory_size(1)), 1);
    entry_add_session(&entry, &who, take(entry_stream_size(HISTORY)), HISTORY);
    feed = (struct feed){.symbols = &symbols};
    stream_init(&feed.stream, take(stream_memory_size(HISTORY)), HISTORY);
    gate = (struct gate){.events = events, .progress = &progress, .entry = &entry, .feed = &feed};
    session_next = feed_next = 1;
    atomic_store(&progress.durable_seq, 0);
}

static void put(uint64_t seq, uint16_t session)
{
    cr_assert(ring_writable(events, 1) >= 1);
    *(struct event *)ring_write_slot(events, 0) = (struct event){
        .seq = seq,
        .session = session,
        .stream_seq = session == FEED_SESSION ? feed_next++ : session_next++,
        .type = session == FEED_SESSION ? EVENT_FEED_DELETE : EVENT_CANCELED,
    };
    ring_commit(events, 1);
}

TestSuite(gate, .init = set_up);

Test(gate, nothing_passes_before_its_command_is_durable)
{
    put(1, 0);
    put(1, FEED_SESSION);
    cr_assert_eq(gate_release(&gate), 0);
    cr_assert_eq(entry.sessions[0].stream.next, 1);
    cr_assert_eq(feed.stream.next, 1);
}

Test(gate, what_is_durable_passes_and_no_more)
{
    for (uint64_t seq = 1; seq <= 10; seq++) {
        put(seq, 0);
        put(seq, FEED_SESSION);
    }
    for (uint64_t durable = 0; durable <= 10; durable++) {
        atomic_store(&progress.durable_seq, durable);
        gate_release(&gate);
        cr_assert_eq(entry.sessions[0].stream.next, durable + 1, "durable %lu", durable);
        cr_assert_eq(feed.stream.next, durable + 1, "durable %lu", durable);
    }
}

Test(gate, events_of_one_command_pass_together_once_it_is_durable)
{
    for (int i = 0; i < 5; i++)
        put(7, 0);
    put(8, 0);
    atomic_store(&progress.durable_seq, 7);
    cr_assert_eq(gate_release(&gate), 5);
}

Test(gate, a_full_stream_of_the_feed_holds_back_all_that_follows)
{
    atomic_store(&progress.durable_seq, 1);
    for (uint32_t i = 0; i < HISTORY + 3; i++)
        put(1, FEED_SESSION);
    put(1, 0);
    while (gate_release(&gate) > 0)
        ;
    cr_assert_eq(feed.stream.next, HISTORY + 1, "as much as is not sent yet");
    cr_assert_eq(entry.sessions[0].stream.next, 1, "order is kept");
    stream_skip(&feed.stream);
    while (gate_release(&gate) > 0)
        ;
    cr_assert_eq(feed.stream.next, HISTORY + 4);
    cr_assert_eq(entry.sessions[0].stream.next, 2);
}

Test(gate, an_unbound_sessions_events_are_kept_for_retransmission)
{
    atomic_store(&progress.durable_seq, 5000);
    for (uint64_t seq = 1; seq <= 3000; seq++)
        put(seq, 0);
    while (gate_release(&gate) > 0)
        ;
    const struct stream *stream = &entry.sessions[0].stream;
    cr_assert_eq(stream->next, 3001);
    cr_assert_null(stream_event(stream, 3000 - HISTORY), "older than what is kept");
    cr_assert_eq(stream_event(stream, 3001 - HISTORY)->seq, 3001 - HISTORY);
    cr_assert_eq(stream_event(stream, 3000)->seq, 3000);
    cr_assert_null(stream_event(stream, 3001), "not there yet");
    cr_assert_null(stream_event(stream, 0));
}
