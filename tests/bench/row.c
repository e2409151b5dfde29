// SPDX-License-Identifier: MIT
#include "tests/bench/row.h"

#include <stdio.h>
#include <stdlib.h>

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_peers(const struct row *row)
{
    printf(", \"peers\": [");
    for (uint32_t i = 0; i < ROW_PEERS && row->peers[i]; i++)
        printf("%s\"%s\"", i > 0 ? ", " : "", row->peers[i]);
    printf("]");
}

void row_print(const struct row *row, double *values, uint32_t rounds)
{
    qsort(values, rounds, sizeof(values[0]), by_value);
    double median = (values[(rounds - 1) / 2] + values[rounds / 2]) / 2;
    printf(
        "{\"name\": \"%s\", \"unit\": \"%s\", \"samples\": %llu, \"rounds\": %u, \"median\": %.6g, "
        "\"low\": %.6g, \"high\": %.6g",
        row->name, row->unit, (unsigned long long)row->samples, rounds, median, values[0],
        values[rounds - 1]);
    if (row->p99 > 0)
        printf(", \"p99\": %.6g", row->p99);
    if (row->p999 > 0)
        printf(", \"p99.9\": %.6g", row->p999);
    if (row->peers[0])
        print_peers(row);
    if (row->limit)
        printf(", \"limit\": \"%s\"", row->limit);
    printf("}\n");
    fflush(stdout);
}

void row_missing(const char *name, const char *remedy)
{
    printf("{\"name\": \"%s\", \"missing\": \"%s\"}\n", name, remedy);
}
