// SPDX-License-Identifier: MIT
#include "dataplane/shard.h"

#include <string.h>

#include "numa/crash.h"
#include "numa/fault.h"
#include "numa/invariant.h"
#include "numa/probe.h"

#define BATCH 64u

// The event ring as a sink: the book writes into its slots.
struct ring_sink {
    struct event_sink sink;
    struct shard *shard;
    struct event *first; // of the slots lent to the book
};

static void open_window(struct ring_sink *ring_sink)
{
    struct shard *shard = ring_sink->shard;
    uint32_t room = ring_writable(shard->events, 1);
    if (unlikely(room == 0)) {
        shard->events_stalls++;
        if (shard->port_bell)
            bell_ring(shard->port_bell);
        while ((room = ring_writable(shard->events, 1)) == 0)
            shard->relieve(shard->relieve_context);
    }
    uint32_t run = ring_write_run(shard->events, 0);
    ring_sink->first = ring_write_slot(shard->events, 0);
    ring_sink->sink.next = ring_sink->first;
    ring_sink->sink.end = ring_sink->first + (room < run ? room : run);
}

static void close_window(struct ring_sink *ring_sink)
{
    ring_commit(ring_sink->shard->events, (uint32_t)(ring_sink->sink.next - ring_sink->first));
}

static void more(struct event_sink *sink)
{
    struct ring_sink *ring_sink = sink->context;
    close_window(ring_sink);
    open_window(ring_sink);
}

// The journal gets the whole batch before the first of it is applied: the disk and the book work at
// the same time, and a command whose events overflow the ring is on its way to the disk already.
// `batch` keeps a copy, because the ring's slots are the journal's thread's once they are
// committed.
static void send_to_journal(struct shard *shard, struct command *batch, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        batch[i] = *(const struct command *)ring_read_slot(shard->commands, i);
        if (batch[i].time_ns < shard->last_time_ns && !FAULT(CLOCK_BACKWARDS))
            batch[i].time_ns = shard->last_time_ns;
        shard->last_time_ns = batch[i].time_ns;
        *(struct command *)ring_write_slot(shard->journal, i) = batch[i];
    }
    ring_commit(shard->journal, count);
    bell_ring(shard->journal_bell);
}

// The seq of the command that is to be timed, if it is among the next `count`, else 0.
static uint64_t find_timed(const struct shard *shard, uint32_t count)
{
    uint64_t wanted = atomic_load_explicit(&shard->timing.wanted, memory_order_relaxed);
    return wanted - 1 - shard->seq < count ? wanted : 0;
}

// Before its events are seen: whoever sees them finds the times. Unless they overflow their ring:
// then another command may be wanted by now.
static void note_applied(struct shard *shard, uint64_t seq)
{
    struct shard_timing *timing = &shard->timing;
    timing->applied_ns = clock_ns(shard->clock);
    // Release pairs with the acquire in take_shard_times of lane.c.
    atomic_store_explicit(&timing->timed, seq, memory_order_release);
}

uint32_t shard_poll(struct shard *shard)
{
    uint32_t count = ring_readable(shard->commands, BATCH);
    count = count < BATCH ? count : BATCH;
    if (count == 0)
        return 0;
    uint32_t room = ring_writable(shard->journal, count);
    if (unlikely(room < count)) {
        shard->journal_stalls++;
        count = room;
        if (count == 0)
            return 0;
    }
    uint64_t timed = find_timed(shard, count);
    if (unlikely(timed != 0))
        shard->timing.taken_ns = clock_ns(shard->clock);
    struct command batch[BATCH];
    send_to_journal(shard, batch, count);
    shard->seq += count;
    PROBE(journaled, shard->index, shard->seq - count + 1, shard->seq);
    CRASH_POINT(commands_unapplied);

    struct ring_sink ring_sink = {.sink = {.more = more}, .shard = shard};
    ring_sink.sink.context = &ring_sink;
    open_window(&ring_sink);
    book_apply_batch(shard->book, batch, count, &ring_sink.sink);
    if (unlikely(timed != 0))
        note_applied(shard, timed);
    close_window(&ring_sink);
    PROBE(applied, shard->index, shard->seq - count + 1, shard->seq);
    CRASH_POINT(commands_applied);
    ring_release(shard->commands, count);
    if (shard->port_bell)
        bell_ring(shard->port_bell);
    return count;
}
