// SPDX-License-Identifier: MIT
//
// histogram: counts of durations in log-linear buckets with 3 significant decimal digits, as
// HdrHistogram has them: values up to 2047 exactly, above that buckets whose width is at most
// 1/1024 of their value. One writer, no locks; a reader merges or prints when the writer is done.
#ifndef SLUICE_NUMA_HISTOGRAM_H
#define SLUICE_NUMA_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_VALUE_MAX    ((1ull << 40) - 1) // ns: 18 minutes
#define HISTOGRAM_SUB_BUCKETS  2048u
#define HISTOGRAM_BUCKET_COUNT (HISTOGRAM_SUB_BUCKETS + 29u * (HISTOGRAM_SUB_BUCKETS / 2))

struct histogram {
    uint64_t total_count;
    uint64_t saturated_count; // values above HISTOGRAM_VALUE_MAX, recorded as the maximum
    uint64_t min, max;        // as recorded, exact
    uint64_t counts[HISTOGRAM_BUCKET_COUNT];
};

// histogram_reset: empty. Also the way to initialise one.
void histogram_reset(struct histogram *histogram);

// histogram_record: count one value (ns, or any unit the caller keeps to). Constant time.
void histogram_record(struct histogram *histogram, uint64_t value);

// histogram_merge: add `from` to `into`.
void histogram_merge(struct histogram *into, const struct histogram *from);

// histogram_percentile: the highest value equivalent (within its bucket) to the one below which
// `percentile` percent (0 to 100) of all values lie; at most max; 0 when empty.
uint64_t histogram_percentile(const struct histogram *histogram, double percentile);

// histogram_mean: of bucket midpoints; 0 when empty.
double histogram_mean(const struct histogram *histogram);

// histogram_write_hgrm: the text table that HdrHistogram's plotters read (Value, Percentile,
// TotalCount, 1/(1-Percentile)), 5 rows per halving of the distance to 100 %, values divided by
// `scale` (1000.0 prints ns as us). Where the last bucket's end lies above max it says max, as
// histogram_percentile does; HdrHistogram says the bucket's end. Flushes. 0, or -1 with errno from
// the stream.
int histogram_write_hgrm(const struct histogram *histogram, FILE *stream, double scale);

#endif
