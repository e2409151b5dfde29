// SPDX-License-Identifier: MIT
//
// row: a figure as a line of JSON on standard output, which tests/bench/report.py takes. A figure
// is the median of some rounds, and says the least and the most of them too.
#ifndef SLUICE_BENCH_ROW_H
#define SLUICE_BENCH_ROW_H

#include <stdint.h>

#define ROW_PEERS 3u

struct row {
    const char *name, *unit;      // without quotes; the name is the only one of its part
    uint64_t samples;             // what was measured, all rounds together
    double p99, p999;             // in the same unit; 0: not known
    const char *peers[ROW_PEERS]; // names of rows of the same part to compare with
    const char *limit;            // that of the machine's own limit
};

// row_print: `values` are the rounds', and are sorted.
void row_print(const struct row *row, double *values, uint32_t rounds);

// row_missing: what is not measured, and how to get what is missing.
void row_missing(const char *name, const char *remedy);

#endif
