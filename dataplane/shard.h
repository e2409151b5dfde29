// SPDX-License-Identifier: MIT
//
// shard: the matching core's thread side: takes commands off the port's ring, gives each its place
// in the journal, applies it while the disk is being written, and hands the events to the gate.
#ifndef SLUICE_DATAPLANE_SHARD_H
#define SLUICE_DATAPLANE_SHARD_H

#include "book/book.h"
#include "numa/bell.h"
#include "numa/clock.h"
#include "numa/ring.h"

// One command at a time is timed on its way through the shard.
struct shard_timing {
    // Its seq; 0: none. Written by the port's thread before it commits the command, whose release
    // and acquire order this as well.
    alignas(64) _Atomic uint64_t wanted;
    // The seq of the command that was timed last, and its times (ns of the house's clock): when its
    // batch was taken from the ring, and when that was applied. The shard's thread.
    alignas(64) _Atomic uint64_t timed;
    uint64_t taken_ns, applied_ns;
};

struct shard {
    struct book *book;
    struct ring *commands; // from the port
    struct ring *journal;  // to the journal's thread: the same commands, stamped, in order
    struct ring *events;   // to the port
    struct bell *journal_bell;
    struct bell *port_bell; // NULL when port and shard are polled by one thread
    // Called while the event ring is full, until it no longer is: lets the port release when it is
    // this thread that polls it, and is a pause when it is not.
    void (*relieve)(void *context);
    void *relieve_context;
    uint32_t index;                  // which shard it is
    uint64_t seq;                    // of the last command that was taken
    uint64_t last_time_ns;           // of the last command; time never runs backwards in a journal
    _Atomic uint64_t events_stalls;  // times the event ring was full
    _Atomic uint64_t journal_stalls; // times the journal's ring was full and commands had to wait
    const struct tsc_clock *clock;   // not used while no command is to be timed
    struct shard_timing timing;
};

static_assert(alignof(struct shard) == 64 && offsetof(struct shard, timing.wanted) % 64 == 0 &&
                  offsetof(struct shard, timing.timed) % 64 == 0 && sizeof(struct shard) % 64 == 0,
              "what the port's thread writes and what the shard's does share no line");

// shard_poll: apply up to a batch of commands. Returns how many. The shard's thread only.
uint32_t shard_poll(struct shard *shard);

#endif
