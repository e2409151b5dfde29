// SPDX-License-Identifier: MIT
//
// What a look at the clock's health gives reason to say, and to do. tests/unit/test_operator.c has
// the halt, tests/net/test_clock.sh all of it.
#include <criterion/criterion.h>

#include "dataplane/clock_watch.h"

static const struct config_clock limits = {.alarm_us = 100, .halt_us = 1000};
static struct clock_state state;

// A look at a clock that is so far from the host's, ns, and that so far from UTC.
static uint32_t look(int64_t from_host_ns, uint64_t estimated_ns)
{
    struct clock_health health = {.from_host_ns = from_host_ns,
                                  .steered = true,
                                  .estimated = true,
                                  .estimated_ns = estimated_ns};
    return clock_judge(&state, &limits, &health);
}

// … and nobody knows how far that is.
static uint32_t look_blind(int64_t from_host_ns, bool steered)
{
    struct clock_health health = {.from_host_ns = from_host_ns, .steered = steered};
    return clock_judge(&state, &limits, &health);
}

Test(clock_watch, a_clock_that_is_right_is_not_told_of)
{
    cr_expect_eq(look(0, 0), 0);
    cr_expect_eq(look(40000, 60000), 0);
    cr_expect_eq(look(-100000, 0), 0);
}

Test(clock_watch, what_is_from_the_host_and_what_the_host_is_from_utc_add_up)
{
    struct clock_health health = {.from_host_ns = -40000, .estimated_ns = 70000};
    cr_expect_eq(clock_divergence_ns(&health), 110000);
    cr_expect_eq(look(40001, 60000), CLOCK_FAR);
    cr_expect_eq(look(-40000, 60000), CLOCK_NEAR);
    cr_expect_eq(look(-40000, 60001), CLOCK_FAR);
}

Test(clock_watch, an_alarm_is_told_once_and_once_that_it_is_over)
{
    cr_expect_eq(look(340000, 0), CLOCK_FAR);
    cr_expect_eq(look(-900000, 0), 0);
    cr_expect_eq(look(100000, 0), CLOCK_NEAR);
    cr_expect_eq(look(0, 0), 0);
}

Test(clock_watch, beyond_halt_us_it_is_wrong_until_it_has_been_below_again)
{
    cr_expect_eq(look(1000000, 0), CLOCK_FAR);
    cr_expect(!state.wrong);
    cr_expect_eq(look(1000001, 0), CLOCK_WRONG);
    cr_expect_eq(look(-2000000, 0), 0);
    cr_expect(state.wrong);
    cr_expect_eq(look(1000000, 0), 0);
    cr_expect(!state.wrong);
    cr_expect_eq(look(0, 1000001), CLOCK_WRONG);
}

Test(clock_watch, all_at_once_is_told_at_once)
{
    cr_expect_eq(look_blind(5000000, false), CLOCK_FAR | CLOCK_BLIND | CLOCK_WRONG);
    cr_expect_eq(look(0, 0), CLOCK_NEAR | CLOCK_SEEN);
}

Test(clock_watch, a_clock_that_nobody_steers_is_an_alarm_and_no_halt)
{
    cr_expect_eq(look_blind(0, false), CLOCK_BLIND);
    cr_expect_eq(look_blind(0, true), 0);
    cr_expect(!state.wrong && !state.far);
    cr_expect_eq(look(0, 0), CLOCK_SEEN);
    cr_expect_eq(look_blind(0, true), CLOCK_BLIND);
}
