// SPDX-License-Identifier: MIT
#include "dataplane/gate.h"

#include "numa/crash.h"
#include "numa/fault.h"

#define BATCH 1024u

static bool release(struct gate *gate, const struct event *event)
{
    CRASH_POINT(event_unreleased);
    if (event->session != FEED_SESSION)
        return entry_release(gate->entry, event);
    if (stream_full(&gate->feed->stream))
        return false;
    feed_release(gate->feed, event);
    return true;
}

uint32_t gate_release(struct gate *gate)
{
    uint32_t ready = ring_readable(gate->events, BATCH);
    if (ready == 0)
        return 0;
    // Acquire pairs with the release in journal_write: what it counts is on disk.
    uint64_t durable = atomic_load_explicit(&gate->progress->durable_seq, memory_order_acquire);
    durable = FAULT(ACK_BEFORE_DURABLE) ? UINT64_MAX : durable + FAULT(GATE_OFF_BY_ONE);
    uint32_t count = 0;
    for (; count < ready && count < BATCH; count++) {
        const struct event *event = ring_read_slot(gate->events, count);
        if (event->seq > durable || !release(gate, event))
            break;
    }
    if (count == 0)
        return 0;
    gate->released_seq = ((const struct event *)ring_read_slot(gate->events, count - 1))->seq;
    gate->released += count;
    ring_release(gate->events, count);
    CRASH_POINT(events_released);
    return count;
}
