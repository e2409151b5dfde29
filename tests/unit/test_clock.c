// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>

#include "numa/clock.h"

#define NS_PER_S 1000000000ull
#define SLACK_NS 50000ull // of 250 ms: a calibration worse than 2 in 10^4 fails

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    cr_assert_eq(clock_gettime(id, &now), 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_ms(long ms)
{
    struct timespec duration = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&duration, NULL);
}

// Reads of the kernel's clock before and after ours bracket it: a pause in between widens the
// bracket and cannot fail the test.
static void assert_agrees(const struct tsc_clock *clock)
{
    uint64_t before_ns = read_ns(CLOCK_MONOTONIC_RAW);
    uint64_t now_ns = clock_ns(clock);
    uint64_t after_ns = read_ns(CLOCK_MONOTONIC_RAW);
    cr_assert_geq(now_ns + SLACK_NS, before_ns, "%llu ns behind",
                  (unsigned long long)(before_ns - now_ns));
    cr_assert_leq(now_ns, after_ns + SLACK_NS, "%llu ns ahead",
                  (unsigned long long)(now_ns - after_ns));
}

Test(clock, agrees_with_the_kernel_now_and_a_while_later)
{
    struct tsc_clock clock;
    clock_calibrate(&clock, 50);
    assert_agrees(&clock);
    sleep_ms(250);
    assert_agrees(&clock);
}

Test(clock, wall_time_is_the_wall_clocks)
{
    struct tsc_clock clock;
    clock_calibrate(&clock, 50);
    uint64_t before_ns = read_ns(CLOCK_REALTIME);
    uint64_t now_ns = clock_wall_ns(&clock);
    uint64_t after_ns = read_ns(CLOCK_REALTIME);
    cr_assert_geq(now_ns + SLACK_NS, before_ns);
    cr_assert_leq(now_ns, after_ns + SLACK_NS);
}

Test(clock, never_runs_backwards)
{
    struct tsc_clock clock;
    clock_calibrate(&clock, 10);
    uint64_t last_ns = clock_ns(&clock);
    for (int i = 0; i < 200000; i++) {
        uint64_t now_ns = clock_ns(&clock);
        cr_assert_geq(now_ns, last_ns);
        last_ns = now_ns;
    }
}

Test(clock, measures_for_about_as_long_as_told)
{
    struct tsc_clock clock;
    uint64_t start_ns = read_ns(CLOCK_MONOTONIC_RAW);
    clock_calibrate(&clock, 100);
    if (clock.tsc)
        cr_assert_geq(read_ns(CLOCK_MONOTONIC_RAW) - start_ns, 100000000);
}

// The same clock, calibrated ten years ago: the product of ticks and factor needs 89 bits.
Test(clock, does_not_overflow_in_years_of_uptime)
{
    const uint64_t ten_years_ns = 10ull * 365 * 86400 * NS_PER_S;
    struct tsc_clock clock;
    clock_calibrate(&clock, 10);
    long double ns_per_tick = (long double)clock.ns_per_tick_q32 / 4294967296.0L;
    uint64_t ten_years_ticks = (uint64_t)((long double)ten_years_ns / ns_per_tick);
    uint64_t now_ns = clock_ns(&clock);
    clock.base_ticks -= ten_years_ticks; // passes 0: the counter is younger
    uint64_t later_ns = clock_ns(&clock);
    cr_assert_geq(later_ns + 1000, now_ns + ten_years_ns);
    cr_assert_lt(later_ns, now_ns + ten_years_ns + 60 * NS_PER_S);
}

Test(clock, without_a_counter_ticks_are_the_kernels_nanoseconds)
{
    struct tsc_clock clock = {.ns_per_tick_q32 = 1ull << 32, .wall_offset_ns = -1000};
    uint64_t before_ns = read_ns(CLOCK_MONOTONIC_RAW);
    uint64_t ticks = clock_ticks(&clock);
    uint64_t now_ns = clock_ns(&clock);
    uint64_t wall_ns = clock_wall_ns(&clock);
    uint64_t after_ns = read_ns(CLOCK_MONOTONIC_RAW);
    cr_assert_geq(ticks, before_ns);
    cr_assert_geq(now_ns, ticks);
    cr_assert_geq(wall_ns + 1000, now_ns);
    cr_assert_leq(wall_ns + 1000, after_ns);
}

Test(clock, two_calibrations_agree_to_one_in_ten_thousand)
{
    struct tsc_clock first, second;
    clock_calibrate(&first, 50);
    clock_calibrate(&second, 50);
    uint64_t larger = first.ns_per_tick_q32 > second.ns_per_tick_q32 ? first.ns_per_tick_q32
                                                                     : second.ns_per_tick_q32;
    uint64_t smaller = first.ns_per_tick_q32 + second.ns_per_tick_q32 - larger;
    cr_assert_lt((larger - smaller) * 10000, larger);
}

// A clock that is `off_ns` from the host's.
static void plant(struct tsc_clock *clock, int64_t off_ns)
{
    clock_calibrate(clock, 10);
    clock->wall_offset_ns += off_ns;
}

// Follows once, `ago_ns` after the last time; by how much the wall clock was slewed, ns.
static int64_t follow(struct tsc_clock *clock, uint64_t ago_ns, struct clock_health *health)
{
    int64_t before_ns = clock->wall_offset_ns;
    clock->followed_ns = clock_ns(clock) - ago_ns;
    clock_follow(clock, health);
    return clock->wall_offset_ns - before_ns;
}

static void expect_near(int64_t found_ns, int64_t expected_ns)
{
    cr_expect_lt(llabs(found_ns - expected_ns), (int64_t)SLACK_NS, "%lld ns instead of %lld",
                 (long long)found_ns, (long long)expected_ns);
}

Test(clock, what_is_small_is_made_up_for_within_a_second)
{
    for (int64_t off_ns = -300000; off_ns <= 300000; off_ns += 600000) {
        struct tsc_clock clock;
        struct clock_health health;
        plant(&clock, off_ns);
        expect_near(follow(&clock, NS_PER_S, &health), -off_ns);
        expect_near(health.from_host_ns, 0);
    }
}

Test(clock, what_is_large_is_slewed_by_500_us_a_second_and_the_rest_is_told)
{
    for (int64_t sign = -1; sign <= 1; sign += 2) {
        struct tsc_clock clock;
        struct clock_health health;
        plant(&clock, sign * 5000000);
        expect_near(follow(&clock, NS_PER_S / 10, &health), -sign * 50000);
        expect_near(health.from_host_ns, sign * 4950000);
        for (int64_t left_ns = 4450000; left_ns > 0; left_ns -= 500000) {
            expect_near(follow(&clock, NS_PER_S, &health), -sign * 500000);
            expect_near(health.from_host_ns, sign * left_ns);
        }
        follow(&clock, NS_PER_S, &health);
        expect_near(health.from_host_ns, 0);
    }
}

Test(clock, a_pause_of_who_follows_ends_in_no_step)
{
    struct tsc_clock clock;
    struct clock_health health;
    plant(&clock, 5000000);
    cr_expect_eq(follow(&clock, 3600 * NS_PER_S, &health), -1000000);
    plant(&clock, -5000000);
    cr_expect_eq(follow(&clock, 3600 * NS_PER_S, &health), 1000000);
}

Test(clock, follows_from_the_calibration_on)
{
    struct tsc_clock clock;
    struct clock_health health;
    clock_calibrate(&clock, 10);
    cr_expect_lt(clock_ns(&clock) - clock.followed_ns, NS_PER_S);
    clock_follow(&clock, &health);
    expect_near(health.from_host_ns, 0);
    cr_expect_lt(clock_ns(&clock) - clock.followed_ns, NS_PER_S);
}

Test(clock, who_steers_the_hosts_clock_is_asked_of_the_kernel)
{
    struct tsc_clock clock;
    struct clock_health health;
    struct timex told = {.modes = 0};
    clock_calibrate(&clock, 10);
    clock_follow(&clock, &health);
    int state = adjtimex(&told);
    bool known = health.steered && told.esterror < 16000000;
    cr_expect_eq(health.steered, state != TIME_ERROR && !(told.status & STA_UNSYNC));
    cr_expect_eq(health.estimated, known);
    cr_expect_eq(health.estimated_ns, known ? (uint64_t)told.esterror * 1000 : 0);
}

Test(clock, refuses_a_measurement_too_short_to_be_worth_it, .signal = SIGABRT)
{
    struct tsc_clock clock;
    clock_calibrate(&clock, 9);
}
