// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/histogram.h"

#define SAMPLES 100000u

static struct histogram histogram, other, both;
static uint64_t sample[SAMPLES];

// xorshift64* (Vigna 2014): the same sequence everywhere.
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

static double next_uniform(uint64_t *state)
{
    return ((double)(next_random(state) >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t draw_small(uint64_t *state)
{
    return next_random(state) % 2048;
}

static uint64_t draw_any(uint64_t *state)
{
    return next_random(state) % (HISTOGRAM_VALUE_MAX + 1);
}

static uint64_t draw_exponential(uint64_t *state)
{
    return (uint64_t)(-log(next_uniform(state)) * 5000.0);
}

static uint64_t draw_heavy_tail(uint64_t *state)
{
    return (uint64_t)fmin(800.0 * pow(next_uniform(state), -0.9), (double)HISTOGRAM_VALUE_MAX);
}

static uint64_t draw_every_magnitude(uint64_t *state)
{
    unsigned magnitude = (unsigned)(next_random(state) % 40);
    return next_random(state) >> (24 + magnitude);
}

static uint64_t draw_two_peaks(uint64_t *state)
{
    return next_random(state) % 100 ? 2040 + next_random(state) % 20 : 4000000;
}

typedef uint64_t draw_fn(uint64_t *state);

static draw_fn *const distributions[] = {
    draw_small, draw_any, draw_exponential, draw_heavy_tail, draw_every_magnitude, draw_two_peaks};

#define DISTRIBUTIONS (sizeof(distributions) / sizeof(*distributions))

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

// Record SAMPLES values, and keep them sorted.
static void record_sample(draw_fn *draw, uint64_t seed)
{
    histogram_reset(&histogram);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        sample[i] = draw(&seed);
        histogram_record(&histogram, sample[i]);
    }
    qsort(sample, SAMPLES, sizeof(*sample), compare);
}

// `value` with all bits set that its bucket does not tell apart: 11 bits are kept.
static uint64_t bucket_end(uint64_t value)
{
    uint64_t unknown = 0;
    while (value >> 11 > unknown)
        unknown = unknown << 1 | 1;
    return value | unknown;
}

Test(histogram, percentiles_are_the_exact_ones_to_the_end_of_their_bucket)
{
    // In 1/1000 %, so that the rank is exact.
    static const uint32_t percentiles[] = {1,     100,   1000,  10000, 25000, 50000, 75000,
                                           90000, 99000, 99900, 99990, 99999, 100000};
    for (size_t d = 0; d < DISTRIBUTIONS; d++) {
        record_sample(distributions[d], 0xD15 + d);
        for (size_t p = 0; p < sizeof(percentiles) / sizeof(*percentiles); p++) {
            uint64_t rank = ((uint64_t)SAMPLES * percentiles[p] + 99999) / 100000;
            uint64_t exact = sample[rank - 1];
            uint64_t expected = bucket_end(exact);
            if (expected > sample[SAMPLES - 1])
                expected = sample[SAMPLES - 1];
            uint64_t told = histogram_percentile(&histogram, percentiles[p] / 1000.0);
            cr_assert_eq(told, expected, "distribution %zu, %u/1000 %%: %llu for %llu", d,
                         percentiles[p], (unsigned long long)told, (unsigned long long)exact);
            cr_assert_leq((told - exact) * 1024, exact, "more than 1/1024 off");
        }
    }
}

Test(histogram, keeps_count_minimum_and_maximum_exactly)
{
    for (size_t d = 0; d < DISTRIBUTIONS; d++) {
        record_sample(distributions[d], 0xE0 + d);
        cr_assert_eq(histogram.total_count, SAMPLES);
        cr_assert_eq(histogram.saturated_count, 0);
        cr_assert_eq(histogram.min, sample[0]);
        cr_assert_eq(histogram.max, sample[SAMPLES - 1]);
        cr_assert_eq(histogram_percentile(&histogram, 100.0), histogram.max);
    }
}

Test(histogram, mean_is_within_half_a_bucket_of_the_exact_one)
{
    for (size_t d = 0; d < DISTRIBUTIONS; d++) {
        record_sample(distributions[d], 0xF0 + d);
        double sum = 0.0;
        for (uint32_t i = 0; i < SAMPLES; i++)
            sum += (double)sample[i];
        double exact = sum / SAMPLES;
        cr_assert_leq(fabs(histogram_mean(&histogram) - exact), exact / 2048.0 + 1e-9);
    }
}

Test(histogram, tells_every_value_below_2048_from_its_neighbours)
{
    histogram_reset(&histogram);
    for (uint64_t value = 0; value < 2048; value++)
        histogram_record(&histogram, value);
    for (uint64_t value = 0; value < 2048; value++)
        cr_assert_eq(histogram_percentile(&histogram, (double)(value + 1) / 20.48), value);
}

Test(histogram, each_value_at_the_edge_of_a_bucket_falls_into_the_right_one)
{
    for (unsigned bit = 11; bit < 40; bit++) {
        uint64_t edge = 1ull << bit;
        uint64_t width = edge >> 10;
        histogram_reset(&histogram);
        histogram_record(&histogram, edge - 1);
        histogram_record(&histogram, edge);
        histogram_record(&histogram, edge + width - 1);
        histogram_record(&histogram, edge + width);
        cr_assert_eq(histogram_percentile(&histogram, 25.0), edge - 1);
        cr_assert_eq(histogram_percentile(&histogram, 50.0), edge + width - 1);
        cr_assert_eq(histogram_percentile(&histogram, 75.0), edge + width - 1);
        cr_assert_eq(histogram_percentile(&histogram, 100.0), edge + width);
    }
}

Test(histogram, merged_is_the_same_as_recorded_into_one)
{
    uint64_t seed = 0x3E46E;
    histogram_reset(&histogram);
    histogram_reset(&other);
    histogram_reset(&both);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint64_t value = draw_every_magnitude(&seed) << (i % 3);
        histogram_record(i % 7 ? &histogram : &other, value);
        histogram_record(&both, value);
    }
    cr_assert_gt(both.saturated_count, 0);
    histogram_merge(&histogram, &other);
    cr_assert_eq(memcmp(&histogram, &both, sizeof(both)), 0);
}

Test(histogram, merging_with_an_empty_one_changes_nothing_either_way)
{
    histogram_reset(&histogram);
    histogram_reset(&other);
    histogram_reset(&both);
    histogram_record(&histogram, 5000);
    histogram_record(&both, 5000);
    histogram_merge(&histogram, &other);
    cr_assert_eq(memcmp(&histogram, &both, sizeof(both)), 0);
    histogram_merge(&other, &histogram);
    cr_assert_eq(memcmp(&other, &both, sizeof(both)), 0);
}

Test(histogram, counts_what_is_too_large_as_the_maximum_and_says_so)
{
    histogram_reset(&histogram);
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX);
    cr_assert_eq(histogram.saturated_count, 0);
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX + 1);
    histogram_record(&histogram, UINT64_MAX);
    cr_assert_eq(histogram.saturated_count, 2);
    cr_assert_eq(histogram.total_count, 3);
    cr_assert_eq(histogram.counts[HISTOGRAM_BUCKET_COUNT - 1], 3);
    cr_assert_eq(histogram.min, HISTOGRAM_VALUE_MAX);
    cr_assert_eq(histogram.max, HISTOGRAM_VALUE_MAX);
    cr_assert_eq(histogram_percentile(&histogram, 50.0), HISTOGRAM_VALUE_MAX);
}

Test(histogram, empty_answers_zero)
{
    histogram_reset(&histogram);
    cr_assert_eq(histogram_percentile(&histogram, 0.0), 0);
    cr_assert_eq(histogram_percentile(&histogram, 99.9), 0);
    cr_assert_eq(histogram_mean(&histogram), 0.0);
}

Test(histogram, zero_percent_is_the_smallest_value_and_zero_is_a_value)
{
    histogram_reset(&histogram);
    histogram_record(&histogram, 7);
    cr_assert_eq(histogram_percentile(&histogram, 0.0), 7);
    histogram_record(&histogram, 0);
    cr_assert_eq(histogram.min, 0);
    cr_assert_eq(histogram_percentile(&histogram, 0.0), 0);
}

Test(histogram, refuses_more_than_100_percent, .signal = SIGABRT)
{
    histogram_reset(&histogram);
    histogram_percentile(&histogram, 100.5);
}

static void assert_table(double scale, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    cr_assert_eq(histogram_write_hgrm(&histogram, stream, scale), 0);
    fclose(stream);
    cr_assert_str_eq(text, expected);
    free(text);
}

// Rows worked out by hand from HdrHistogram's rules (AbstractHistogram.outputPercentileDistribution
// with 5 ticks per half distance): a row for each level that the count so far reaches, one for the
// last value, one for 100 %.
Test(histogram, writes_the_table_that_hdrhistogram_writes)
{
    histogram_reset(&histogram);
    for (uint64_t value = 1; value <= 4; value++)
        histogram_record(&histogram, value * 500);
    assert_table(1000.0, "       Value     Percentile TotalCount 1/(1-Percentile)\n"
                         "\n"
                         "       0.500 0.000000000000          1           1.00\n"
                         "       0.500 0.100000000000          1           1.11\n"
                         "       0.500 0.200000000000          1           1.25\n"
                         "       1.000 0.300000000000          2           1.43\n"
                         "       1.000 0.400000000000          2           1.67\n"
                         "       1.000 0.500000000000          2           2.00\n"
                         "       1.500 0.550000000000          3           2.22\n"
                         "       1.500 0.600000000000          3           2.50\n"
                         "       1.500 0.650000000000          3           2.86\n"
                         "       1.500 0.700000000000          3           3.33\n"
                         "       1.500 0.750000000000          3           4.00\n"
                         "       2.000 0.775000000000          4           4.44\n"
                         "       2.000 1.000000000000          4\n"
                         "#[Mean    =        1.250, StdDeviation   =        0.559]\n"
                         "#[Max     =        2.000, Total count    =            4]\n"
                         "#[Buckets =           30, SubBuckets     =         2048]\n");
}

Test(histogram, writes_a_table_without_rows_when_empty)
{
    histogram_reset(&histogram);
    assert_table(1.0, "       Value     Percentile TotalCount 1/(1-Percentile)\n"
                      "\n"
                      "#[Mean    =        0.000, StdDeviation   =        0.000]\n"
                      "#[Max     =        0.000, Total count    =            0]\n"
                      "#[Buckets =           30, SubBuckets     =         2048]\n");
}

// Each row must say what histogram_percentile says, whatever was recorded.
Test(histogram, rows_of_the_table_agree_with_the_percentiles)
{
    for (size_t d = 0; d < DISTRIBUTIONS; d++) {
        char line[256];
        double value, level;
        unsigned long long count;
        uint32_t rows = 0;
        FILE *stream = tmpfile();
        record_sample(distributions[d], 0x7AB1E + d);
        cr_assert_eq(histogram_write_hgrm(&histogram, stream, 1.0), 0);
        rewind(stream);
        cr_assert(fgets(line, sizeof(line), stream) && fgets(line, sizeof(line), stream));
        while (fgets(line, sizeof(line), stream) &&
               sscanf(line, "%lf %lf %llu", &value, &level, &count) == 3) {
            cr_assert_eq((uint64_t)value, histogram_percentile(&histogram, level * 100.0),
                         "distribution %zu: %s", d, line);
            cr_assert_geq((double)count, level * SAMPLES - 1e-6);
            rows++;
        }
        cr_assert_eq(count, SAMPLES);
        cr_assert_eq(line[0], '#');
        cr_assert_gt(rows, 20);
        fclose(stream);
    }
}

Test(histogram, reports_a_stream_that_cannot_be_written)
{
    FILE *stream = fopen("/dev/full", "w");
    cr_assert_not_null(stream);
    histogram_reset(&histogram);
    cr_assert_eq(histogram_write_hgrm(&histogram, stream, 1.0), -1);
    fclose(stream);
}
