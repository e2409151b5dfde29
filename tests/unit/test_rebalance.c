// SPDX-License-Identifier: MIT
//
// Members' shares over three lanes, each with its journal on a disk in memory: what moves, when,
// and that all together never have more than the limit. tests/sim/shares.c has the same with
// crashes.
#include "dataplane/limits.h"
#include "tests/unit/three_lanes.h"

#define PRICE 500000u

static struct config_limit limits[1] = {{.firm = "ALFA"}};
static struct rebalance rebalance;
static uint32_t numbers[LANES];
static uint64_t now_ns;

static void set_up(const char *kind, uint64_t value)
{
    limits[0].limit = limit_by_name(kind);
    limits[0].value = value;
    config.limits = limits;
    config.limit_count = 1;
    new_disks();
    start_lanes(&rebalance);
}

static void tear_down(void)
{
    stop_lanes(&rebalance);
    free_disks();
}

static uint64_t share(uint32_t lane)
{
    uint64_t limit = book_limit(lanes[lane]->shard.book, 0, limits[0].limit->kind);
    return limit == LIMIT_NOTHING ? 0 : limit;
}

static uint64_t total(void)
{
    return book_limit_total(lanes[0]->shard.book, 0, limits[0].limit->kind);
}

static void check_sum(uint64_t most)
{
    uint64_t sum = share(0) + share(1) + share(2);
    cr_assert_leq(sum, most);
}

static void round_of_lanes(void)
{
    for (uint32_t i = 0; i < LANES; i++) {
        lane_take_orders(lanes[i], START_NS);
        cr_assert(lane_pump(lanes[i], 0));
    }
}

// Until nothing is in hand, and never with more than `most` shared out.
static void settle(uint64_t most)
{
    for (uint32_t i = 0; rebalance_step(&rebalance, now_ns); i++) {
        cr_assert_lt(i, 100);
        round_of_lanes();
        check_sum(most);
    }
}

static uint64_t commands(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < LANES; i++)
        count += book_seq(lanes[i]->shard.book);
    return count;
}

static void send(uint32_t lane, struct command command)
{
    command.time_ns = START_NS;
    *(struct command *)ring_write_slot(lanes[lane]->commands, 0) = command;
    ring_commit(lanes[lane]->commands, 1);
    cr_assert(lane_pump(lanes[lane], 0));
}

static bool buy(uint32_t lane, uint32_t quantity)
{
    struct book_order found;
    send(lane,
         (struct command){
             .type = COMMAND_ENTER,
             .order = {.user_ref_num = ++numbers[lane], .quantity = quantity, .price = PRICE}});
    return book_find_user_ref(lanes[lane]->shard.book, 0, 0, numbers[lane], &found);
}

static void set_limit(uint64_t value)
{
    cr_assert(rebalance_set(&rebalance, "ALFA", limits[0].limit->kind, value, "somebody"));
}

TestSuite(rebalance, .fini = tear_down);

Test(rebalance, the_whole_limit_can_be_used_on_one_lane_and_nothing_beyond)
{
    set_up("gross", 90ull * PRICE);
    cr_assert(!buy(1, 90));
    settle(90ull * PRICE);
    cr_assert_eq(share(1), 90ull * PRICE);
    cr_assert(buy(1, 90));
    cr_assert(!buy(0, 1));
    cr_assert(!buy(1, 1));
    cr_assert(!buy(2, 1));
    settle(90ull * PRICE);
    cr_assert_eq(share(1), 90ull * PRICE, "what is used does not move");
}

Test(rebalance, half_of_what_is_unused_moves_and_the_next_lane_is_asked_when_that_is_too_little)
{
    set_up("gross", 90ull * PRICE);
    cr_assert(buy(2, 10)); // 20 unused there
    cr_assert(!buy(1, 35));
    settle(90ull * PRICE);
    cr_assert_eq(share(2), 20ull * PRICE, "half of what is unused, more than is missing");
    cr_assert_eq(share(1), 40ull * PRICE);
    cr_assert_eq(share(0), 30ull * PRICE, "was not asked");
    now_ns += REBALANCE_EVERY_NS;
    cr_assert(!buy(1, 65));
    settle(90ull * PRICE);
    cr_assert_eq(share(2), 10ull * PRICE);
    cr_assert_eq(share(0), 15ull * PRICE);
    cr_assert(buy(1, 65));
}

Test(rebalance, orders_are_counted_like_values)
{
    set_up("open_orders", 2);
    cr_assert_eq(share(2), 0);
    cr_assert(!buy(2, 1));
    settle(2);
    cr_assert(buy(2, 1));
    cr_assert_eq(share(0) + share(1), 1);
}

Test(rebalance, who_is_at_his_limit_does_not_fill_the_journals)
{
    set_up("credit", 30ull * PRICE);
    for (uint32_t i = 0; i < LANES; i++)
        cr_assert(buy(i, 10));
    uint64_t before = commands();
    for (uint32_t i = 0; i < 200; i++) {
        cr_assert(!buy(0, 1));
        settle(30ull * PRICE);
    }
    cr_assert_eq(commands() - before, 200 + 2, "two were asked, once, and nothing was raised");
    cr_assert(rebalance_waits(&rebalance));
    now_ns += REBALANCE_EVERY_EMPTY_NS;
    settle(30ull * PRICE);
    cr_assert_eq(commands() - before, 200 + 4);
    cr_assert(!rebalance_waits(&rebalance));
}

Test(rebalance, orders_that_were_refused_before_a_share_was_raised_ask_for_nothing_more)
{
    set_up("gross", 90ull * PRICE);
    for (uint32_t i = 0; i < 3 * LANE_SHARE_WANTS; i++)
        cr_assert(!buy(0, 31));
    settle(90ull * PRICE);
    cr_assert(!rebalance_waits(&rebalance));
    cr_assert_eq(share(0), 45ull * PRICE);
}

Test(rebalance, what_no_lane_has_after_a_crash_goes_to_whoever_asks_first)
{
    set_up("gross", 90ull * PRICE);
    cr_assert(!buy(0, 50));
    while (rebalance.state != REBALANCE_RAISING) {
        rebalance_step(&rebalance, now_ns);
        round_of_lanes();
    }
    stop_lanes(&rebalance);
    start_lanes(&rebalance);
    cr_assert_eq(share(0) + share(1) + share(2), 70ull * PRICE);
    uint64_t before = commands();
    cr_assert(!buy(2, 50));
    settle(90ull * PRICE);
    cr_assert_eq(share(2), 50ull * PRICE);
    cr_assert_eq(share(0) + share(1) + share(2), 90ull * PRICE);
    cr_assert_eq(commands() - before, 2, "the order and the raise: nobody had to yield");
}

Test(rebalance, a_limit_that_is_set_is_split_equally_beyond_what_is_used)
{
    set_up("gross", 90ull * PRICE);
    cr_assert(buy(0, 30));
    set_limit(150ull * PRICE);
    settle(150ull * PRICE);
    cr_assert_eq(total(), 150ull * PRICE);
    cr_assert_eq(share(0), 70ull * PRICE);
    cr_assert_eq(share(2), 40ull * PRICE);
    set_limit(60ull * PRICE);
    settle(150ull * PRICE);
    cr_assert_eq(share(0), 40ull * PRICE);
    cr_assert_eq(share(1), 10ull * PRICE);
    check_sum(60ull * PRICE);
}

Test(rebalance, below_what_is_used_nobody_has_anything_unused)
{
    set_up("gross", 90ull * PRICE);
    for (uint32_t i = 0; i < LANES; i++)
        cr_assert(buy(i, 30));
    set_limit(40ull * PRICE);
    settle(90ull * PRICE);
    check_sum(40ull * PRICE);
    for (uint32_t i = 0; i < LANES; i++)
        cr_assert(!buy(i, 1));
    settle(90ull * PRICE);
    check_sum(40ull * PRICE);
}

Test(rebalance, who_gets_less_goes_before_who_gets_more)
{
    set_up("gross", 160ull * PRICE);
    cr_assert(!buy(1, 80));
    settle(160ull * PRICE);
    cr_assert(buy(1, 80));
    cr_assert(buy(0, 50));
    set_limit(80ull * PRICE);
    settle(160ull * PRICE);
    cr_assert_eq(share(0), 50ull * PRICE);
    cr_assert_eq(share(1), 30ull * PRICE);
    send(0, (struct command){.type = COMMAND_CANCEL,
                             .order = {.user_ref_num = numbers[0], .quantity = 10}});
    cr_assert(!buy(2, 40));
    settle(80ull * PRICE);
    cr_assert(buy(2, 40));
    set_limit(100ull * PRICE);
    settle(100ull * PRICE);
    cr_assert_eq(share(1), 80ull * PRICE);
    cr_assert_eq(share(2), 10ull * PRICE);
}

Test(rebalance, a_limit_is_lifted_and_set_again_with_what_is_open_counted)
{
    set_up("gross", 90ull * PRICE);
    set_limit(0);
    settle(90ull * PRICE);
    cr_assert_eq(total(), 0);
    cr_assert(buy(1, 500));
    set_limit(600ull * PRICE);
    settle(600ull * PRICE);
    cr_assert_eq(share(1), 533ull * PRICE + PRICE / 3 + 1, "500 and a third of the rest");
    check_sum(600ull * PRICE);
}

Test(rebalance, a_limit_that_not_all_lanes_know_stays_as_it_is_until_it_is_set_again)
{
    set_up("gross", 90ull * PRICE);
    set_limit(60ull * PRICE);
    while (book_limit_total(lanes[0]->shard.book, 0, LIMIT_GROSS) != 60ull * PRICE) {
        rebalance_step(&rebalance, now_ns);
        round_of_lanes();
    }
    stop_lanes(&rebalance);
    start_lanes(&rebalance);
    check_sum(90ull * PRICE);
    uint64_t before = commands();
    cr_assert(!buy(2, 50));
    settle(90ull * PRICE);
    cr_assert_eq(commands() - before, 1);
    set_limit(60ull * PRICE);
    settle(90ull * PRICE);
    cr_assert_eq(share(0) + share(1) + share(2), 60ull * PRICE);
}

Test(rebalance, a_round_that_is_on_its_way_ends_before_a_limit_is_set)
{
    set_up("net", 90ull * PRICE);
    cr_assert(!buy(0, 50));
    cr_assert(rebalance_step(&rebalance, now_ns));
    settle(90ull * PRICE);
    cr_assert(!rebalance_set(&rebalance, "NONE", LIMIT_NET, 1, "somebody"));
    cr_assert(buy(0, 50));
}

// --- A shard that begins its day after others

// They used to be more than the limit together until somebody set it again.
Test(rebalance, the_shares_of_a_day_that_goes_on_with_more_shards_are_the_limit_again)
{
    limits[0] = (struct config_limit){
        .firm = "ALFA", .limit = limit_by_name("gross"), .value = 90ull * PRICE};
    config.limits = limits;
    config.limit_count = 1;
    config.shard_count = 1;
    new_disks();
    lanes[0] = primed_lane_on(disks[0], 0, &config);
    cr_assert(buy(0, 30));
    end_lane(lanes[0]);
    config.shard_count = LANES;
    start_lanes(&rebalance);
    cr_assert_eq(share(0) + share(1) + share(2), 150ull * PRICE);
    while (rebalance_step(&rebalance, now_ns))
        round_of_lanes();
    cr_assert_eq(share(0), 50ull * PRICE, "30 are used");
    cr_assert_eq(share(1), 20ull * PRICE);
    cr_assert_eq(share(2), 20ull * PRICE);
    cr_assert_eq(total(), 90ull * PRICE);
    stop_lanes(&rebalance);
    start_lanes(&rebalance);
    cr_assert(!rebalance_step(&rebalance, now_ns));
}

// --- The execution throttle

// On one lane ALICE trades once more than she may.
static void trade_too_often(void)
{
    set_up("executions", LANES);
    for (uint32_t i = 1; i <= 2; i++) {
        send(0, (struct command){.type = COMMAND_ENTER,
                                 .session = 1,
                                 .side = SIDE_SELL,
                                 .order = {.user_ref_num = i, .quantity = 1, .price = PRICE}});
        buy(0, 1);
    }
}

static void check_barred(uint32_t lane, bool barred)
{
    cr_assert_neq(buy(lane, 1), barred, "lane %u", lane);
}

static void allow(uint32_t lane)
{
    send(lane, (struct command){.type = COMMAND_ENTRY,
                                .session = ANY_SESSION,
                                .entry = {.session = ANY_SESSION, .firm = "ALFA", .allowed = 1}});
}

// He used to be barred on that shard alone.
Test(rebalance, a_member_who_trades_too_often_is_barred_on_all_lanes)
{
    trade_too_often();
    check_barred(0, true);
    check_barred(1, false);
    settle(UINT64_MAX);
    for (uint32_t i = 0; i < LANES; i++)
        check_barred(i, true);
    for (uint32_t i = 1; i < LANES; i++)
        cr_assert_str_eq(lanes[i]->orders.commands[0].entry.actor, "execution throttle");
    for (uint32_t i = 0; i < LANES; i++)
        allow(i);
    settle(UINT64_MAX);
    for (uint32_t i = 0; i < LANES; i++)
        check_barred(i, false);
}

Test(rebalance, a_bar_that_a_crash_kept_from_other_lanes_is_told_at_the_next_start)
{
    trade_too_often();
    stop_lanes(&rebalance);
    start_lanes(&rebalance);
    check_barred(1, false);
    settle(UINT64_MAX);
    for (uint32_t i = 0; i < LANES; i++)
        check_barred(i, true);
    stop_lanes(&rebalance);
    start_lanes(&rebalance);
    cr_assert(!rebalance_step(&rebalance, now_ns), "all know it");
    check_barred(2, true);
}
