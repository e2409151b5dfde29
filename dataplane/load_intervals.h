// SPDX-License-Identifier: MIT
//
// load_intervals: how latency changes during a run of `sluice load`: a coarse histogram for each
// interval, with all its memory touched at the beginning. One thread's at a time.
#ifndef SLUICE_DATAPLANE_LOAD_INTERVALS_H
#define SLUICE_DATAPLANE_LOAD_INTERVALS_H

#include <jansson.h>
#include <stdint.h>

#include "numa/error.h"

#define LOAD_INTERVAL_NS       100000000ull
#define LOAD_INTERVALS_MAX     1000u
#define LOAD_INTERVAL_SCALE    32u // buckets of each power of two: right to 1 in 64
#define LOAD_INTERVAL_BUCKETS  (36u * LOAD_INTERVAL_SCALE)
#define LOAD_INTERVAL_VALUE_NS ((1ull << 40) - 1) // above it: as that

struct load_interval {
    uint32_t count;
    uint64_t max_ns; // exact
    uint32_t counts[LOAD_INTERVAL_BUCKETS];
};

struct load_intervals {
    uint64_t length_ns; // of each
    uint32_t count;
    struct load_interval *list;
};

// load_intervals_open: intervals for a run of `duration_ns`, each of LOAD_INTERVAL_NS, or longer
// where LOAD_INTERVALS_MAX of them would not do. 0, or -1 with `error`. load_intervals_close frees
// them; also what is all 0.
int load_intervals_open(struct load_intervals *intervals, uint64_t duration_ns,
                        struct error *error);
void load_intervals_close(struct load_intervals *intervals);

// load_intervals_record: a latency, of what was to be sent `at_ns` after the beginning; what was to
// be sent later than the last interval is not kept.
void load_intervals_record(struct load_intervals *intervals, uint64_t at_ns, uint64_t latency_ns);

// load_interval_percentile: the middle of the bucket up to which `percentile` percent of the
// interval's latencies lie, at most its largest; 0 when there are none.
uint64_t load_interval_percentile(const struct load_interval *interval, double percentile);

// load_intervals_json: {"length_ns", "count", "p50", "p99", "max"}, but for the length a list each,
// up to the last interval that has any latency. A new reference.
json_t *load_intervals_json(const struct load_intervals *intervals);

#endif
