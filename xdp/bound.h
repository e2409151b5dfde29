// SPDX-License-Identifier: MIT
//
// bound: which sources are bound to a shard's order port, told to the XDP program without a system
// call: one shard's row of the map `bound`, in memory that the two share (steer_bound). One thread
// writes a row, the port's, and makes at most so many bindings at a time as the map has room for
// sessions; the program reads meanwhile. Address and port are in network byte order.
#ifndef SLUICE_XDP_BOUND_H
#define SLUICE_XDP_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "xdp/steer.h"

struct bound {
    struct steer_bucket *buckets; // 2^bits of them
    uint64_t multiplier;          // the program's
    uint32_t bits;
};

// bound_bits: how many bits the number of a bucket has, for `session_count` sessions.
uint32_t bound_bits(uint32_t session_count);

// bound_add: a source that is not bound is now, as session number `session` (below
// STEER_SESSIONS_MAX), from the Ethernet address `mac`. False when its bucket is full (one bucket
// in a hundred thousand, if all sessions are bound): packets of all sources that share the bucket
// are then user space's to tell apart, until it is removed.
bool bound_add(const struct bound *bound, uint32_t address, uint16_t port, const uint8_t mac[6],
               uint32_t session);

// bound_remove: a source that was added is not bound any more.
void bound_remove(const struct bound *bound, uint32_t address, uint16_t port);

#endif
