// SPDX-License-Identifier: MIT
#include "dataplane/load_intervals.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#define SCALE_BITS 5u

static_assert(1u << SCALE_BITS == LOAD_INTERVAL_SCALE, "buckets of a power of two");

// Below LOAD_INTERVAL_SCALE each value has a bucket; above, each power of two has as many.
static uint32_t bucket_of(uint64_t value)
{
    if (value < LOAD_INTERVAL_SCALE)
        return (uint32_t)value;
    if (value > LOAD_INTERVAL_VALUE_NS)
        value = LOAD_INTERVAL_VALUE_NS;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - SCALE_BITS;
    return shift * LOAD_INTERVAL_SCALE + (uint32_t)(value >> shift);
}

static uint64_t middle_of(uint32_t bucket)
{
    if (bucket < 2 * LOAD_INTERVAL_SCALE)
        return bucket;
    uint32_t shift = bucket / LOAD_INTERVAL_SCALE - 1;
    uint64_t least = (uint64_t)(bucket - shift * LOAD_INTERVAL_SCALE) << shift;
    return least + (1ull << shift) / 2;
}

int load_intervals_open(struct load_intervals *intervals, uint64_t duration_ns, struct error *error)
{
    uint64_t length_ns = duration_ns / LOAD_INTERVALS_MAX + 1;
    if (length_ns < LOAD_INTERVAL_NS)
        length_ns = LOAD_INTERVAL_NS;
    uint32_t count = (uint32_t)(duration_ns / length_ns) + 1;
    void *list = mmap(NULL, count * sizeof(struct load_interval), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (list == MAP_FAILED)
        return error_set(error, "load: no memory for %u intervals: %s", count, strerror(errno));
    *intervals = (struct load_intervals){.length_ns = length_ns, .count = count, .list = list};
    return 0;
}

void load_intervals_close(struct load_intervals *intervals)
{
    if (intervals->list)
        munmap(intervals->list, intervals->count * sizeof(*intervals->list));
    *intervals = (struct load_intervals){0};
}

void load_intervals_record(struct load_intervals *intervals, uint64_t at_ns, uint64_t latency_ns)
{
    uint64_t index = at_ns / intervals->length_ns;
    if (index >= intervals->count)
        return;
    struct load_interval *interval = &intervals->list[index];
    interval->count++;
    interval->counts[bucket_of(latency_ns)]++;
    if (latency_ns > interval->max_ns)
        interval->max_ns = latency_ns;
}

uint64_t load_interval_percentile(const struct load_interval *interval, double percentile)
{
    uint64_t wanted = (uint64_t)ceil(percentile / 100.0 * interval->count), sum = 0;
    for (uint32_t bucket = 0; interval->count > 0 && bucket < LOAD_INTERVAL_BUCKETS; bucket++) {
        sum += interval->counts[bucket];
        if (sum > 0 && sum >= wanted)
            return middle_of(bucket) < interval->max_ns ? middle_of(bucket) : interval->max_ns;
    }
    return 0;
}

json_t *load_intervals_json(const struct load_intervals *intervals)
{
    json_t *count = json_array(), *p50 = json_array(), *p99 = json_array(), *max = json_array();
    uint32_t used = intervals->count;
    while (used > 0 && intervals->list[used - 1].count == 0)
        used--;
    for (uint32_t i = 0; i < used; i++) {
        const struct load_interval *interval = &intervals->list[i];
        json_array_append_new(count, json_integer(interval->count));
        json_array_append_new(p50,
                              json_integer((json_int_t)load_interval_percentile(interval, 50.0)));
        json_array_append_new(p99,
                              json_integer((json_int_t)load_interval_percentile(interval, 99.0)));
        json_array_append_new(max, json_integer((json_int_t)interval->max_ns));
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "length_ns", (json_int_t)intervals->length_ns,
                     "count", count, "p50", p50, "p99", p99, "max", max);
}
