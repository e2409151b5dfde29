// SPDX-License-Identifier: MIT
//
// Faults planted on purpose, to show that the simulation would find them: each is a mistake that
// somebody could make. Only in builds with FAULTS=1 (make FAULTS=1 …/tests/sim/sim); elsewhere
// FAULT() is the constant false.
#ifndef SLUICE_NUMA_FAULT_H
#define SLUICE_NUMA_FAULT_H

#include <stdbool.h>

enum fault {
    FAULT_NONE,
    FAULT_ACK_BEFORE_DURABLE,   // the gate lets through what is not durable
    FAULT_GATE_OFF_BY_ONE,      // … one command of it
    FAULT_PUBLISHED_EARLY,      // the journal calls durable what it is about to write
    FAULT_WRITE_ERROR_IGNORED,  // a failed write counts as done
    FAULT_DURABLE_UPTO_AHEAD,   // blocks claim to be durable themselves
    FAULT_WRITE_INDEX_LOST,     // blocks do not say which place they had in their write
    FAULT_EPOCH_KEPT,           // recovery goes on in the old epoch
    FAULT_CRC_UNCHECKED,        // a block is taken whatever its checksum
    FAULT_CHAIN_UNCHECKED,      // a block is taken whatever stands before it
    FAULT_TAIL_LOST,            // recovery misses a segment's last block
    FAULT_DAMAGE_CUT,           // damage is taken for a torn tail
    FAULT_DEDUPE_FORGOTTEN,     // a UserRefNum may be used again
    FAULT_STREAM_NOT_REBUILT,   // recovery leaves executions out of the streams
    FAULT_FEED_NOT_REBUILT,     // recovery leaves the feed's last event out
    FAULT_RETRANSMIT_NEIGHBOUR, // an old message is told as the one before it
    FAULT_CLOCK_BACKWARDS,      // commands take the wall clock as it comes
    FAULT_SALT_REUSED,          // a new segment has the salt of the one before
    FAULT_RECYCLED_EARLY,       // segments are used again before snapshots have their records
    FAULT_SNAPSHOT_LATE,        // a snapshot has one command more than it says
    FAULT_SNAPSHOT_UNVERIFIED,  // a snapshot is taken whatever its checksum
    FAULT_SNAPSHOT_STREAMS,     // a snapshot forgets the last message of each session
    FAULT_HISTORY_BEHIND,       // a replay for old messages is not begun again
    FAULT_SHARE_RAISED_EARLY,   // a share is raised before what it is raised by is durably given
    FAULT_COUNT,
};
#define FAULT_NAMES                                                                                \
    {                                                                                              \
        "none", "ack-before-durable", "gate-off-by-one", "published-early", "write-error-ignored", \
            "durable-upto-ahead", "write-index-lost", "epoch-kept", "crc-unchecked",               \
            "chain-unchecked", "tail-lost", "damage-cut", "dedupe-forgotten",                      \
            "stream-not-rebuilt", "feed-not-rebuilt", "retransmit-neighbour", "clock-backwards",   \
            "salt-reused", "recycled-early", "snapshot-late", "snapshot-unverified",               \
            "snapshot-streams", "history-behind", "share-raised-early"                             \
    }

#ifdef SLUICE_FAULTS
extern enum fault fault_planted; // the one that is active; set before anything starts
#define FAULT(name) (fault_planted == FAULT_##name)
#else
#define FAULT(name) false
#endif

#endif
