// SPDX-License-Identifier: MIT
//
// The configuration's calendar: phases of instruments by the time of the trading day, and the ends
// of pauses that last so long; carried out as an operator's commands are, and journaled with the
// actor "calendar" or "pause".
#ifndef SLUICE_DATAPLANE_CALENDAR_H
#define SLUICE_DATAPLANE_CALENDAR_H

#include "dataplane/gateway.h"

struct calendar {
    struct gateway *gateway;
    // Of each shard: its day, and its first entry that it was not given.
    uint64_t midnight_ns[CONFIG_SHARDS_MAX];
    uint32_t next[CONFIG_SHARDS_MAX];
    uint32_t looked[CONFIG_SHARDS_MAX]; // of each shard: instruments that were looked at
    bool resumed;                       // for some a pause is being ended
};

// calendar_open: what a shard's journal has had before it was recovered is not carried out again,
// but for the last two seconds before it ended: what it has had of these has no effect when it is
// said again. What came due while no gateway ran is carried out by the first tick. What is paused
// counts from now on. After gateway_open, before gateway_start: it reads the books.
void calendar_open(struct calendar *calendar, struct gateway *gateway);

// calendar_tick: carries out what is due at `time_ns` (since 1970) and waits until that is applied
// and durable; what is not done is told of on stderr, and tried again with the shards that were not
// told. Once a second or so, and first between gateway_start and gateway_let_in; one thread, not a
// port's. 0, or -1 where something is not done.
int calendar_tick(struct calendar *calendar, uint64_t time_ns);

#endif
