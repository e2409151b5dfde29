// SPDX-License-Identifier: MIT
#include "numa/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "numa/invariant.h"

// Bucket b > 0 holds the values whose highest bit is bit 10 + b, in 1024 sub-buckets 2^b wide;
// bucket 0 holds 0 to 2047 one by one. Index = b * 1024 + (value >> b), without a gap between them.
#define SUB_BUCKET_BITS    11u
#define SUB_BUCKET_HALF    (HISTOGRAM_SUB_BUCKETS / 2)
#define BUCKETS            30
#define TICKS_PER_HALF     5 // rows of the table each time the distance to 100 % halves
#define SIGNIFICANT_DIGITS 3
#define HIGHEST_BIT(value) (63u - (unsigned)__builtin_clzll(value))

static_assert(HISTOGRAM_BUCKET_COUNT == (BUCKETS + 1) * SUB_BUCKET_HALF, "index arithmetic");
static_assert(HISTOGRAM_VALUE_MAX == ((uint64_t)HISTOGRAM_SUB_BUCKETS << (BUCKETS - 1)) - 1,
              "the last bucket ends at the largest value");

static uint32_t index_of(uint64_t value)
{
    unsigned bucket = HIGHEST_BIT(value | (HISTOGRAM_SUB_BUCKETS - 1)) - (SUB_BUCKET_BITS - 1);
    return bucket * SUB_BUCKET_HALF + (uint32_t)(value >> bucket);
}

static unsigned bucket_of(uint32_t index)
{
    return index < HISTOGRAM_SUB_BUCKETS ? 0 : index / SUB_BUCKET_HALF - 1;
}

static uint64_t lowest_value(uint32_t index)
{
    unsigned bucket = bucket_of(index);
    return (uint64_t)(index - bucket * SUB_BUCKET_HALF) << bucket;
}

static uint64_t highest_value(const struct histogram *histogram, uint32_t index)
{
    uint64_t highest = lowest_value(index) + (1ull << bucket_of(index)) - 1;
    return highest < histogram->max ? highest : histogram->max;
}

static double midpoint(uint32_t index)
{
    return (double)(lowest_value(index) + ((1ull << bucket_of(index)) >> 1));
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    if (unlikely(value > HISTOGRAM_VALUE_MAX)) {
        value = HISTOGRAM_VALUE_MAX;
        histogram->saturated_count++;
    }
    if (value < histogram->min || histogram->total_count == 0)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->total_count++;
    histogram->counts[index_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->total_count == 0)
        return;
    if (from->min < into->min || into->total_count == 0)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->total_count += from->total_count;
    into->saturated_count += from->saturated_count;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        into->counts[i] += from->counts[i];
}

// How many values lie at or below the percentile. 99.9 % of 1000 is 999, although 99.9 as a double
// may be a little more: hence the next smaller double, as HdrHistogram does it.
static uint64_t rank_of(const struct histogram *histogram, double percentile)
{
    double below = nextafter(percentile, -INFINITY);
    double rank = ceil(below * (double)histogram->total_count / 100.0);
    return rank < 1.0 ? 1 : (uint64_t)rank;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percentile)
{
    INVARIANT(percentile >= 0.0 && percentile <= 100.0);
    if (histogram->total_count == 0)
        return 0;
    uint64_t rank = rank_of(histogram, percentile);
    uint64_t count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        count += histogram->counts[i];
        if (count >= rank)
            return highest_value(histogram, i);
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    if (histogram->total_count == 0)
        return 0.0;
    double sum = 0.0;
    for (uint32_t i = 0; i <= index_of(histogram->max); i++)
        sum += midpoint(i) * (double)histogram->counts[i];
    return sum / (double)histogram->total_count;
}

static double standard_deviation(const struct histogram *histogram, double mean)
{
    if (histogram->total_count == 0)
        return 0.0;
    double sum = 0.0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        double distance = midpoint(i) - mean;
        sum += distance * distance * (double)histogram->counts[i];
    }
    return sqrt(sum / (double)histogram->total_count);
}

static void write_rows(const struct histogram *histogram, FILE *stream, double scale)
{
    // The levels are 20 / 2^k steps from 0 %: exact in a double, and they never reach 100 %.
    double level = 0.0;
    double step = 100.0 / (2 * TICKS_PER_HALF);
    unsigned ticks = 0;
    uint64_t count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT && count < histogram->total_count; i++) {
        if (histogram->counts[i] == 0)
            continue;
        count += histogram->counts[i];
        double reached = 100.0 * (double)count / (double)histogram->total_count;
        double value = (double)highest_value(histogram, i) / scale;
        while (reached >= level) {
            fprintf(stream, "%12.*f %2.12f %10llu %14.2f\n", SIGNIFICANT_DIGITS, value,
                    level / 100.0, (unsigned long long)count, 1.0 / (1.0 - level / 100.0));
            level += step;
            if (++ticks % TICKS_PER_HALF == 0)
                step /= 2;
            if (count == histogram->total_count)
                break; // one row for the rest; what follows is the 100 % row
        }
    }
    if (histogram->total_count)
        fprintf(stream, "%12.*f %2.12f %10llu\n", SIGNIFICANT_DIGITS,
                (double)histogram->max / scale, 1.0, (unsigned long long)count);
}

int histogram_write_hgrm(const struct histogram *histogram, FILE *stream, double scale)
{
    double mean = histogram_mean(histogram);
    fprintf(stream, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    write_rows(histogram, stream, scale);
    fprintf(stream, "#[Mean    = %12.*f, StdDeviation   = %12.*f]\n", SIGNIFICANT_DIGITS,
            mean / scale, SIGNIFICANT_DIGITS, standard_deviation(histogram, mean) / scale);
    fprintf(stream, "#[Max     = %12.*f, Total count    = %12llu]\n", SIGNIFICANT_DIGITS,
            (double)histogram->max / scale, (unsigned long long)histogram->total_count);
    fprintf(stream, "#[Buckets = %12d, SubBuckets     = %12u]\n", BUCKETS, HISTOGRAM_SUB_BUCKETS);
    return fflush(stream) == 0 && !ferror(stream) ? 0 : -1;
}
