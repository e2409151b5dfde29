// SPDX-License-Identifier: MIT
//
// gate: nothing is said before it is safe. Events stay in their ring until the journal says that
// the command that caused them is durable; then they become part of their session's stream, or the
// feed's.
#ifndef SLUICE_DATAPLANE_GATE_H
#define SLUICE_DATAPLANE_GATE_H

#include "dataplane/entry.h"
#include "dataplane/feed.h"
#include "journal/journal.h"
#include "numa/ring.h"

struct gate {
    struct ring *events; // from the shard
    const struct journal_progress *progress;
    struct entry *entry;
    struct feed *feed;
    uint64_t released;     // events so far
    uint64_t released_seq; // of the last one
};

// gate_release: move up to a batch of events whose seq is durable into their streams, in order;
// stops at the first that is not, or whose stream has no room. Returns how many. The port's thread
// only.
uint32_t gate_release(struct gate *gate);

#endif
