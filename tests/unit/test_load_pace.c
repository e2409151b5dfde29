// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <math.h>

#include "dataplane/load_pace.h"

#define COUNT 100000u

static uint64_t times[COUNT];

static void run(struct load_pace pace)
{
    for (uint64_t i = 0; i < pace.count; i++) {
        times[i] = load_pace_next(&pace);
        cr_assert(i == 0 || times[i] >= times[i - 1], "message %lu", i);
    }
}

Test(load_pace, fixed_arrivals_are_the_rate_to_the_nanosecond)
{
    run((struct load_pace){.rate = 8000, .rate_to = 8000, .count = COUNT});
    for (uint64_t i = 0; i < COUNT; i++)
        cr_assert_leq(fabs((double)times[i] - 125000.0 * (double)i), 1.0);
}

Test(load_pace, poisson_arrivals_are_a_seeds_with_the_mean_and_the_spread_of_such)
{
    struct load_pace pace = {
        .arrivals = LOAD_POISSON, .rate = 50000, .rate_to = 50000, .count = COUNT, .seed = 7};
    double sum = 0, squares = 0;
    run(pace);
    for (uint64_t i = 1; i < COUNT; i++) {
        double gap = (double)(times[i] - times[i - 1]);
        sum += gap;
        squares += gap * gap;
    }
    double mean = sum / (COUNT - 1), deviation = sqrt(squares / (COUNT - 1) - mean * mean);
    cr_assert(fabs(mean - 20000) < 200, "mean %f", mean);
    cr_assert(fabs(deviation - 20000) < 400, "standard deviation %f", deviation);
    uint64_t last = times[COUNT - 1];
    run(pace);
    cr_assert_eq(times[COUNT - 1], last, "the same seed, the same times");
    pace.seed = 8;
    run(pace);
    cr_assert_neq(times[COUNT - 1], last);
}

static uint64_t sent_before(uint64_t ns)
{
    uint64_t count = 0;
    while (count < COUNT && times[count] < ns)
        count++;
    return count;
}

// From 10,000 to 30,000 a second in five: 12,000 messages in the first second, 28,000 in the last.
Test(load_pace, a_ramp_rises_evenly_in_time)
{
    run((struct load_pace){.rate = 10000, .rate_to = 30000, .count = COUNT});
    cr_assert_eq(times[0], 0);
    for (uint64_t second = 1; second <= 5; second++)
        cr_assert_float_eq(sent_before(second * 1000000000),
                           10000.0 * (double)second + 2000.0 * (double)(second * second), 2);
}

Test(load_pace, a_ramp_of_random_arrivals_goes_on_at_its_last_rate)
{
    run((struct load_pace){
        .arrivals = LOAD_POISSON, .rate = 30000, .rate_to = 10000, .count = COUNT, .seed = 1});
    cr_assert_float_eq(sent_before(1000000000), 28000.0, 800);
    cr_assert_float_eq((double)times[COUNT - 1], 5e9, 2e8);
}

Test(load_pace, a_tapes_bursts_keep_their_shape_at_any_rate)
{
    static const uint64_t tape[] = {500, 500, 500, 1500, 4500};
    run((struct load_pace){
        .arrivals = LOAD_TAPE, .rate = 1000, .rate_to = 1000, .count = 5, .times = tape});
    static const uint64_t expected[] = {0, 0, 0, 1000000, 4000000};
    cr_assert_arr_eq(times, expected, sizeof(expected));
}
