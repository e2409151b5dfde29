// SPDX-License-Identifier: MIT
//
// measure: what the benches share.
#ifndef SLUICE_BENCH_MEASURE_H
#define SLUICE_BENCH_MEASURE_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEASURE_HUGE ((size_t)2 << 20)

// memory_map / memory_unmap: zeroed, on huge pages where the host has them transparent, all
// touched; the program ends when there is none.
static inline void *memory_map(size_t size)
{
    size_t rounded = (size + MEASURE_HUGE - 1) & ~(MEASURE_HUGE - 1);
    void *memory = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "bench: no memory: %zu bytes\n", rounded);
        exit(1);
    }
    madvise(memory, rounded, MADV_HUGEPAGE);
    memset(memory, 0, rounded);
    return memory;
}

static inline void memory_unmap(void *memory, size_t size)
{
    munmap(memory, (size + MEASURE_HUGE - 1) & ~(MEASURE_HUGE - 1));
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// median: sorts them.
static inline double median(double *values, size_t count)
{
    qsort(values, count, sizeof(values[0]), compare_doubles);
    return values[count / 2];
}

#endif
