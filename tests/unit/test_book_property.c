// SPDX-License-Identifier: MIT
//
// Random flows of commands through the book and through the reference side by side. After every
// command all events must be equal byte for byte; now and then, and at the end, so must the whole
// state. SEED and COUNT: trace.h.
// computes: two books, command by command
#include "tests/unit/trace.h"

// check_agreement: run a trace; ends the process at the first difference. In the child.
static void check_agreement(struct trace *trace)
{
    static struct comparison comparison;
    struct comparison *c = &comparison;
    running = trace;
    comparison_open(c, &trace->limits, trace->seed);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        comparison_apply(c, &trace->commands[i]);
        if ((i + 1) % trace->check_interval == 0 || i + 1 == trace->count)
            compare_state(c);
    }
}

static void run_flow(const struct flow *flow)
{
    uint64_t seed = run_seed();
    uint64_t count = environment_number("COUNT", COUNT_DEFAULT) * flow->thousandths / 1000;
    fprintf(stderr, "book property %s: SEED=%" PRIu64 ", %" PRIu64 " commands\n",
            criterion_current_test->name, seed, count);
    struct trace *trace = trace_new(flow->trace_length);
    for (uint64_t done = 0, round = 0; done < count; done += trace->count, round++) {
        generate(trace, flow, (seed << 20) + round, flow->trace_length);
        run_trace(trace, check_agreement, seed);
    }
    trace_free(trace, flow->trace_length);
}

Test(book_property, agrees_with_the_reference_on_a_thin_book)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .price_width = 2});
}

Test(book_property, agrees_with_the_reference_on_a_deep_book)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .peg_percent = 0, .thousandths = 4,
                            .limits.orders_max = 4096, .trace_length = 8000, .check_interval = 2700,
                            .enter = 75, .replace = 8, .cancel = 5, .modify = 5,
                            .price_width = 2000, .passive_percent = 95, .sweep_percent = 0,
                            .market_percent = 0, .ioc_percent = 1});
}

Test(book_property, agrees_with_the_reference_on_sweeps_through_many_levels)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .limits.orders_max = 512,
                            .check_interval = 200, .enter = 70, .price_width = 300,
                            .passive_percent = 97, .quantity_max = 50, .sweep_percent = 4});
}

Test(book_property, agrees_with_the_reference_when_all_trade_at_one_price)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .price_width = 0});
}

Test(book_property, agrees_with_the_reference_when_sides_alternate)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .alternating = true,
                            .limits.orders_max = 200, .replace = 0, .cancel = 8, .modify = 0,
                            .price_width = 1, .passive_percent = 0});
}

Test(book_property, agrees_with_the_reference_in_replace_storms)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 35, .replace = 200, .hidden_percent = 15,
                            .attributable_percent = 15, .stale_percent = 5, .verdict_percent = 3,
                            .passive_percent = 80});
}

Test(book_property, agrees_with_the_reference_when_numbers_are_used_again)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .stale_percent = 40, .channels = 3,
                            .query = 10});
}

Test(book_property, agrees_with_the_reference_on_mixes_of_hidden_and_displayed)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .hidden_percent = 50,
                            .price_width = 3, .attributable_percent = 25});
}

Test(book_property, agrees_with_the_reference_on_many_instruments_sessions_and_channels)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40,
                            .limits = {.orders_max = 256, .instruments_max = 7, .sessions_max = 9},
                            .channels = 3, .price_width = 4, .check_interval = 200});
}

Test(book_property, agrees_with_the_reference_on_market_and_immediate_orders)
{
    run_flow(
        &(struct flow){FLOW_DEFAULTS, .thousandths = 40, .ioc_percent = 40, .market_percent = 20});
}

Test(book_property, agrees_with_the_reference_when_the_book_is_full)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30,
                            .limits = {.orders_max = 5, .instruments_max = 1, .sessions_max = 2},
                            .passive_percent = 80});
}

Test(book_property, agrees_with_the_reference_on_books_of_one_order)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 15,
                            .limits = {.orders_max = 1, .instruments_max = 1, .sessions_max = 1},
                            .check_interval = 5, .price_width = 3, .passive_percent = 90});
}

Test(book_property, agrees_with_the_reference_at_the_ends_of_the_price_range)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 20, .limits.orders_max = 256,
                            .check_interval = 200, .price_middle = PRICE_MAX / 2,
                            .price_tick = PRICE_MAX / 2 / 99, .price_width = 99,
                            .passive_percent = 90});
}

Test(book_property, agrees_with_the_reference_on_quantities_up_to_the_largest)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 20, .quantity_max = QUANTITY_MAX,
                            .price_width = 3});
}

Test(book_property, agrees_with_the_reference_on_a_market_that_drifts)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 35, .price_width = 100,
                            .drift_percent = 20, .drift_ticks = 200, .cancel = 10,
                            .limits = {.orders_max = 200, .instruments_max = 2, .sessions_max = 3},
                            .hidden_percent = 20, .passive_percent = 90, .reserve_percent = 15,
                            .midpoint_percent = 10});
}

Test(book_property, agrees_with_the_reference_on_a_market_that_leaps_and_leaves_orders_behind)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 35, .price_width = 50, .drift_percent = 3,
                            .drift_ticks = 20000, .cancel = 5, .replace = 5,
                            .limits = {.orders_max = 300, .instruments_max = 1, .sessions_max = 3},
                            .hidden_percent = 10, .passive_percent = 98, .check_interval = 20,
                            .reserve_percent = 15, .midpoint_percent = 10});
}

Test(book_property, agrees_with_the_reference_on_prices_between_the_steps)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .price_width = 300, .price_tick = 50,
                            .drift_percent = 5, .drift_ticks = 3000,
                            .limits = {.orders_max = 300, .instruments_max = 1, .sessions_max = 3},
                            .passive_percent = 90, .reserve_percent = 15, .midpoint_percent = 10});
}

Test(book_property, agrees_with_the_reference_when_firms_meet_themselves)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .self_match_percent = 80,
                            .price_width = 3, .passive_percent = 30, .hidden_percent = 20});
}

Test(book_property, agrees_with_the_reference_on_minimum_quantities)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .minimum_percent = 60,
                            .self_match_percent = 30, .price_width = 4, .hidden_percent = 20});
}

Test(book_property, agrees_with_the_reference_on_orders_that_never_take)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 25, .post_only_percent = 60,
                            .replace = 40, .price_width = 3, .hidden_percent = 20});
}

Test(book_property, agrees_with_the_reference_on_reserves)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .reserve_percent = 60,
                            .self_match_percent = 0, .price_width = 2, .hidden_percent = 15});
}

Test(book_property, agrees_with_the_reference_on_reserves_of_firms_that_meet_themselves)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .reserve_percent = 60,
                            .self_match_percent = 60, .price_width = 2, .hidden_percent = 15,
                            .minimum_percent = 15, .replace = 30});
}

Test(book_property, agrees_with_the_reference_on_midpoint_orders)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .midpoint_percent = 40,
                            .price_width = 4, .passive_percent = 75, .hidden_percent = 20,
                            .minimum_percent = 10, .drift_percent = 5, .drift_ticks = 6});
}

Test(book_property, agrees_with_the_reference_on_midpoint_orders_in_the_narrowest_markets)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .midpoint_percent = 40,
                            .price_tick = 1, .price_width = 4, .passive_percent = 85,
                            .hidden_percent = 30, .self_match_percent = 30, .replace = 40});
}

Test(book_property, agrees_with_the_reference_on_primary_and_market_pegs)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .peg_percent = 40, .price_width = 5,
                            .passive_percent = 75, .hidden_percent = 15, .self_match_percent = 30,
                            .midpoint_percent = 10, .drift_percent = 5, .drift_ticks = 6});
}

Test(book_property, agrees_with_the_reference_on_orders_that_live_for_seconds)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .timed_percent = 60,
                            .passive_percent = 90, .clock = 10, .midpoint_percent = 10,
                            .reserve_percent = 15});
}

Test(book_property, agrees_with_the_reference_when_time_leaps_and_runs_backwards)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 25, .timed_percent = 60,
                            .expire_seconds = 86401, .passive_percent = 90, .clock = 10,
                            .leap_percent = 3, .leap_seconds = 20000, .backwards_percent = 10});
}

Test(book_property, agrees_with_the_reference_on_crosses)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .trace_length = 800, .control = 6,
                            .cross_percent = 25, .market_percent = 5, .check_interval = 20,
                            .limits = {.orders_max = 100, .instruments_max = 2, .sessions_max = 4},
                            .price_width = 6, .reserve_percent = 15, .hidden_percent = 15});
}

Test(book_property, agrees_with_the_reference_on_crosses_in_the_narrowest_markets)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .trace_length = 800, .control = 8,
                            .cross_percent = 10, .market_percent = 15, .price_tick = 1,
                            .price_width = 3, .passive_percent = 40, .reserve_percent = 30,
                            .midpoint_percent = 10, .timed_percent = 10, .clock = 5});
}

Test(book_property, agrees_with_the_reference_on_crosses_at_the_ends_of_the_price_range)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 10, .trace_length = 400, .control = 10,
                            .cross_percent = 10, .market_percent = 20,
                            .price_middle = PRICE_MAX / 2, .price_tick = PRICE_MAX / 2 / 3,
                            .price_width = 3, .passive_percent = 40});
}

Test(book_property, agrees_with_the_reference_on_crosses_with_limits_and_pegs)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .trace_length = 800, .control = 6,
                            .limit = 3, .cross_percent = 10, .market_percent = 8, .peg_percent = 25,
                            .midpoint_percent = 10, .price_width = 6, .passive_percent = 60,
                            .hidden_percent = 15});
}

Test(book_property, agrees_with_the_reference_on_mass_cancels)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .mass = 5, .control = 5,
                            .channels = 2,
                            .limits = {.orders_max = 64, .instruments_max = 3, .sessions_max = 5},
                            .passive_percent = 90, .hidden_percent = 30, .midpoint_percent = 20,
                            .reserve_percent = 20, .timed_percent = 20, .price_width = 5});
}

static const struct flow limits_flow = {
    FLOW_DEFAULTS,
    .thousandths = 35,
    .limit = 4,
    .control = 1,
    .modify = 10,
    .replace = 20,
    .channels = 2,
    .limits = {.orders_max = 64, .instruments_max = 3, .sessions_max = 6},
    .passive_percent = 60,
    .market_percent = 5,
    .hidden_percent = 10,
    .midpoint_percent = 10,
    .reserve_percent = 20,
    .self_match_percent = 20,
    .timed_percent = 10,
    .verdict_percent = 2,
    .price_width = 5};

// Where so little trades that a member has too many orders for it.
static const struct flow quiet_flow = {
    FLOW_DEFAULTS,
    .thousandths = 5,
    .trace_length = 8000,
    .enter = 200,
    .limit = 1,
    .limits = {.orders_max = 64, .instruments_max = 2, .sessions_max = 1},
    .passive_percent = 100,
    .sweep_percent = 0,
    .market_percent = 0,
    .midpoint_percent = 0,
    .peg_percent = 0,
    .price_width = 200};

Test(book_property, agrees_with_the_reference_on_limits)
{
    run_flow(&limits_flow);
    run_flow(&quiet_flow);
}

// Those that the book looks at: what is never broken is never compared.
Test(book_property, the_flow_of_limits_breaks_each_of_them)
{
    struct trace *trace = trace_new(quiet_flow.trace_length);
    for (uint64_t seed = 1; seed <= 200; seed++)
        generate(trace, &limits_flow, seed, limits_flow.trace_length);
    for (uint64_t seed = 1; seed <= 50; seed++)
        generate(trace, &quiet_flow, seed, quiet_flow.trace_length);
    trace_free(trace, quiet_flow.trace_length);
    for (uint32_t kind = LIMIT_NO_SHORT; kind < LIMIT_INSTRUMENT_END; kind++)
        if (kind < LIMIT_MEMBER_END || kind >= LIMIT_TICK)
            cr_expect_geq(broken[kind], 50, "limit %u: %" PRIu64, kind, broken[kind]);
}

Test(book_property, agrees_with_the_reference_on_everything_at_once)
{
    run_flow(&(struct flow){FLOW_DEFAULTS,
                            .thousandths = 80,
                            .mass = 1,
                            .control = 2,
                            .limit = 1,
                            .clock = 3,
                            .replace = 30,
                            .limits = {.orders_max = 40, .instruments_max = 2, .sessions_max = 4},
                            .passive_percent = 75,
                            .hidden_percent = 20,
                            .midpoint_percent = 20,
                            .peg_percent = 20,
                            .reserve_percent = 25,
                            .timed_percent = 20,
                            .price_width = 5,
                            .price_tick = 3,
                            .self_match_percent = 30,
                            .leap_percent = 1,
                            .leap_seconds = 10,
                            .backwards_percent = 1,
                            .drift_percent = 3,
                            .drift_ticks = 10});
}

Test(book_property, agrees_with_the_reference_on_hostile_fields)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .hostile_percent = 30,
                            .limits = {.orders_max = 20, .instruments_max = 3, .sessions_max = 3},
                            .trace_length = 500, .check_interval = 10, .channels = 3, .day = 1,
                            .reserve_percent = 15, .midpoint_percent = 15, .timed_percent = 15,
                            .mass = 1, .control = 1, .unordered_start = true});
}

Test(book_property, agrees_with_the_reference_when_the_day_ends_in_the_middle)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 25,
                            .limits = {.orders_max = 40, .instruments_max = 3, .sessions_max = 4},
                            .trace_length = 300, .check_interval = 10, .channels = 2, .day = 4,
                            .hidden_percent = 30, .passive_percent = 90, .unordered_start = true});
}
