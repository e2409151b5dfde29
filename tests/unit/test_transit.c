// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "dataplane/transit.h"

static struct transit transit;

static void expect(enum transit_point from, uint64_t count, uint64_t ns)
{
    const struct histogram *stage = &transit.stages[from];
    cr_assert_eq(stage->total_count, count, "stage %d", from);
    cr_assert_eq(stage->max, ns, "stage %d", from);
}

Test(transit, a_stage_ends_where_the_next_begins)
{
    const uint64_t at[TRANSIT_POINTS] = {1000, 1001, 1003, 1007, 1015, 1031, 1063, 1127};
    transit_record(&transit, at);
    for (int i = 0; i < TRANSIT_STAGES; i++)
        expect(i, 1, 1u << i);
}

Test(transit, a_stage_whose_end_is_not_known_is_not_counted)
{
    const uint64_t at[TRANSIT_POINTS] = {0, 0, 1000, 1007, 1015, 1031, 1063, 0};
    transit_record(&transit, at);
    expect(TRANSIT_WIRE, 0, 0);
    expect(TRANSIT_XDP, 0, 0);
    expect(TRANSIT_PORT, 1, 7);
    expect(TRANSIT_PASSED, 1, 32);
    expect(TRANSIT_HANDED, 0, 0);
}

Test(transit, clocks_that_disagree_take_nothing_away_from_the_sum)
{
    const uint64_t at[TRANSIT_POINTS] = {1000, 1020, 1015, 1018, 1030, 1029, 1040, 1050};
    uint64_t sum = 0;
    transit_record(&transit, at);
    for (int i = 0; i < TRANSIT_STAGES; i++)
        sum += transit.stages[i].max;
    cr_assert_eq(sum, 50);
    expect(TRANSIT_XDP, 1, 0);
    expect(TRANSIT_TAKEN, 1, 10);
}
