// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <stdlib.h>

#include "dataplane/load_intervals.h"

static struct load_intervals intervals;
static struct error error;

static void open_for(uint64_t duration_ns)
{
    cr_assert_eq(load_intervals_open(&intervals, duration_ns, &error), 0, "%s", error.text);
}

Test(load_intervals, a_latency_counts_where_its_message_was_to_be_sent)
{
    open_for(1000000000);
    load_intervals_record(&intervals, 0, 10);
    load_intervals_record(&intervals, LOAD_INTERVAL_NS - 1, 20);
    load_intervals_record(&intervals, LOAD_INTERVAL_NS, 5000);
    cr_assert_eq(intervals.list[0].count, 2);
    cr_assert_eq(intervals.list[0].max_ns, 20);
    cr_assert_eq(intervals.list[1].count, 1);
    cr_assert_eq(intervals.list[1].max_ns, 5000);
    load_intervals_close(&intervals);
}

Test(load_intervals, what_was_to_be_sent_later_than_the_last_is_not_kept)
{
    open_for(100);
    cr_assert_eq(intervals.count, 1);
    load_intervals_record(&intervals, LOAD_INTERVAL_NS, 1);
    load_intervals_record(&intervals, UINT64_MAX, 1);
    cr_assert_eq(intervals.list[0].count, 0);
    load_intervals_close(&intervals);
}

Test(load_intervals, a_long_run_has_longer_ones)
{
    open_for(3600ull * 1000000000);
    cr_assert_leq(intervals.count, LOAD_INTERVALS_MAX + 1);
    cr_assert_geq(intervals.count * intervals.length_ns, 3600ull * 1000000000);
    load_intervals_close(&intervals);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

Test(load_intervals, percentiles_are_right_to_one_in_64)
{
    static uint64_t values[10001];
    uint64_t state = 1;
    open_for(1);
    for (uint32_t i = 0; i < 10001; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (state >> 32) >> (i % 31);
        load_intervals_record(&intervals, 0, values[i]);
    }
    qsort(values, 10001, sizeof(values[0]), by_size);
    const struct load_interval *interval = &intervals.list[0];
    for (uint32_t percent = 1; percent <= 100; percent++) {
        double exact = (double)values[(percent * 10001 + 99) / 100 - 1];
        double found = (double)load_interval_percentile(interval, percent);
        cr_assert(found >= exact * (1 - 1.0 / 64) && found <= exact * (1 + 1.0 / 64),
                  "%u %%: %f, not %f", percent, found, exact);
    }
    load_intervals_close(&intervals);
}

Test(load_intervals, the_largest_and_the_smallest_value_have_a_bucket)
{
    open_for(1);
    load_intervals_record(&intervals, 0, 0);
    load_intervals_record(&intervals, 0, UINT64_MAX);
    cr_assert_eq(load_interval_percentile(&intervals.list[0], 50), 0);
    cr_assert_eq(intervals.list[0].max_ns, UINT64_MAX);
    cr_assert_eq(intervals.list[0].counts[LOAD_INTERVAL_BUCKETS - 1], 1);
    load_intervals_close(&intervals);
}

Test(load_intervals, they_are_told_up_to_the_last_that_has_any)
{
    open_for(1000000000);
    load_intervals_record(&intervals, 2 * LOAD_INTERVAL_NS, 31);
    json_t *told = load_intervals_json(&intervals);
    char *text = json_dumps(told, JSON_COMPACT | JSON_SORT_KEYS);
    cr_assert_str_eq(text, "{\"count\":[0,0,1],\"length_ns\":100000000,\"max\":[0,0,31],"
                           "\"p50\":[0,0,31],\"p99\":[0,0,31]}");
    free(text);
    json_decref(told);
    load_intervals_close(&intervals);
}
