// SPDX-License-Identifier: MIT
//
// The rules of special orders and commands, one example each: minimum quantity, post-only,
// self-match prevention, reserve, midpoint, good till time, mass cancel. Every command goes to the
// book and to the reference; both must give exactly the events that are written here.
#include "tests/unit/book_examples.h"

TestSuite(book_special, .init = set_up, .fini = finish);

// Minimum quantity, post-only, self-match prevention

static uint64_t enter_minimum(uint32_t user_ref_num, uint32_t quantity, uint32_t minimum)
{
    struct command command = command_enter_ioc(BOB, user_ref_num, SIDE_BUY, quantity, PRICE + 100);
    command.order.min_quantity = minimum;
    return apply(command);
}

Test(book_special, a_minimum_that_can_be_met_trades_and_one_share_more_does_not)
{
    enter(ALICE, 1, SIDE_SELL, 60, PRICE);
    enter_hidden(ALICE, 2, SIDE_SELL, 60, PRICE + 100);
    enter(ALICE, 3, SIDE_SELL, 500, PRICE + 200);
    uint64_t ref = enter_minimum(1, 150, 121);
    EXPECT(.type = EVENT_OPTIONS, .session = BOB, .user_ref_num = 1, .options.min_quantity = 121);
    EXPECT(.type = EVENT_ACCEPTED, .session = BOB, .user_ref_num = 1, .quantity = 150,
           .price = PRICE + 100, .order.attributes.time_in_force = TIF_IOC);
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 150,
           .price = PRICE + 100, .code = 'I', .trade.order_ref = ref);
    enter_minimum(2, 150, 120);
    skip_events();
    struct book_order order;
    cr_assert_not(book_find_user_ref(book, ALICE, 0, 1, &order));
    cr_assert_not(book_find_user_ref(book, ALICE, 0, 2, &order));
    cr_assert(book_find_user_ref(book, ALICE, 0, 3, &order));
}

Test(book_special, a_minimum_without_ioc_or_above_the_quantity_is_rejected)
{
    struct command command = command_enter(BOB, 1, SIDE_BUY, 100, PRICE);
    command.order.min_quantity = 100;
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = BOB, .user_ref_num = 1,
           .code = REJECT_INVALID_MIN_QUANTITY);
    enter_minimum(2, 100, 101);
    EXPECT(.type = EVENT_REJECTED, .session = BOB, .user_ref_num = 2,
           .code = REJECT_INVALID_MIN_QUANTITY);
}

Test(book_special, a_post_only_order_rests_or_is_canceled_and_never_takes)
{
    enter_hidden(ALICE, 1, SIDE_SELL, 100, PRICE);
    struct command command = command_enter(BOB, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.post_only = 1;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_ACCEPTED, .session = BOB, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .order.attributes.post_only = 1);
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'G', .trade.order_ref = ref);
    command.order.user_ref_num = 2;
    command.order.price = PRICE - 100;
    ref = apply(command);
    EXPECT(.type = EVENT_ACCEPTED, .session = BOB, .user_ref_num = 2, .quantity = 100,
           .price = PRICE - 100, .order.attributes.post_only = 1);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 100, .price = PRICE - 100,
                .trade.order_ref = ref);
}

// ALICE has 100 to sell; she buys 150 at the same price.
static uint64_t meet_oneself(enum self_match strategy, uint64_t *resting_ref)
{
    *resting_ref = enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    struct command command = command_enter(ALICE, 2, SIDE_BUY, 150, PRICE);
    command.order.attributes.self_match = strategy & 7;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 2, .quantity = 150,
           .price = PRICE, .order.attributes.self_match = strategy & 7);
    return ref;
}

Test(book_special, cancel_newest_leaves_the_resting_order)
{
    uint64_t old, ref = meet_oneself(SELF_MATCH_CANCEL_NEWEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 2, .quantity = 150,
           .prevented = 100, .price = PRICE, .code = 'R', .trade.order_ref = ref,
           .trade.match_number = SELF_MATCH_CANCEL_NEWEST);
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

Test(book_special, cancel_oldest_lets_the_incoming_order_go_on)
{
    uint64_t old, ref = meet_oneself(SELF_MATCH_CANCEL_OLDEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .prevented = 100, .price = PRICE, .code = 'A', .trade.order_ref = old,
           .trade.match_number = SELF_MATCH_CANCEL_OLDEST);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade.order_ref = old);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 150, .price = PRICE, .trade.order_ref = ref);
}

Test(book_special, decrement_takes_the_smaller_quantity_from_both_without_a_trade)
{
    uint64_t old, ref = meet_oneself(SELF_MATCH_DECREMENT, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .prevented = 100, .price = PRICE, .code = 'A', .trade.order_ref = old,
           .trade.match_number = SELF_MATCH_DECREMENT);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 2, .quantity = 100,
           .prevented = 100, .price = PRICE, .code = 'R', .trade.order_ref = ref,
           .trade.match_number = SELF_MATCH_DECREMENT);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade.order_ref = old);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 50, .price = PRICE, .trade.order_ref = ref);
    cr_assert_eq(resting(ALICE, 2).executed, 100, "of the intended total");
}

Test(book_special, cancel_both_leaves_neither)
{
    uint64_t old;
    meet_oneself(SELF_MATCH_CANCEL_BOTH, &old);
    skip_events();
    struct book_order order;
    cr_assert_not(book_find_user_ref(book, ALICE, 0, 1, &order));
    cr_assert_not(book_find_user_ref(book, ALICE, 0, 2, &order));
}

// What the four kinds of special order and command have in common.

#define SECOND_NS 1000000000ull

struct fill {
    uint64_t maker; // its order reference
    uint32_t quantity;
    uint32_t price;
    char maker_flag, taker_flag;
};

// The executions of the last command, in order, each told to maker, taker and feed.
static void expect_fills(int line, const struct fill *fills, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < event_count; i++) {
        if (events[i].type != EVENT_EXECUTED)
            continue;
        cr_assert_lt(found, count, "line %d: more than %zu matches", line, count);
        const struct event *maker = &events[i], *taker = &events[i + 1], *feed = &events[i + 2];
        const struct fill *fill = &fills[found++];
        cr_assert_eq(maker->trade.order_ref, fill->maker, "line %d: match %zu is with %zx", line,
                     found, (size_t)maker->trade.order_ref);
        cr_assert_eq(maker->quantity, fill->quantity, "line %d: match %zu: quantity %u", line,
                     found, maker->quantity);
        cr_assert_eq(maker->price, fill->price, "line %d: match %zu: price %u", line, found,
                     maker->price);
        cr_assert_eq(maker->code, fill->maker_flag, "line %d: match %zu: maker's flag %c", line,
                     found, maker->code);
        cr_assert_eq(taker->type, EVENT_EXECUTED, "line %d: match %zu: no taker", line, found);
        cr_assert_eq(taker->quantity, fill->quantity);
        cr_assert_eq(taker->price, fill->price);
        cr_assert_eq(taker->code, fill->taker_flag, "line %d: match %zu: taker's flag %c", line,
                     found, taker->code);
        bool shown = fill->maker_flag == 'A';
        cr_assert_eq(feed->type, shown ? EVENT_FEED_EXECUTED : EVENT_FEED_TRADE,
                     "line %d: match %zu: the feed says %u", line, found, feed->type);
        cr_assert_eq(feed->quantity, fill->quantity);
        cr_assert_eq(feed->price, fill->price);
        i += 2;
    }
    cr_assert_eq(found, count, "line %d: %zu matches", line, found);
}

#define EXPECT_FILLS(...)                                                                          \
    expect_fills(__LINE__, (const struct fill[]){__VA_ARGS__},                                     \
                 sizeof((const struct fill[]){__VA_ARGS__}) / sizeof(struct fill))

static void expect_no_fill(void)
{
    for (size_t i = 0; i < event_count; i++)
        cr_assert_neq(events[i].type, EVENT_EXECUTED, "event %zu is an execution", i);
}

struct owner {
    uint16_t session;
    uint32_t user_ref_num;
};

// The orders that the last command canceled, in order, for this reason.
static void expect_canceled(int line, char reason, const struct owner *owners, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < event_count; i++) {
        if (events[i].type != EVENT_CANCELED)
            continue;
        cr_assert_lt(found, count, "line %d: more than %zu are canceled", line, count);
        cr_assert_eq(events[i].session, owners[found].session, "line %d: order %zu is of %u", line,
                     found, events[i].session);
        cr_assert_eq(events[i].user_ref_num, owners[found].user_ref_num, "line %d: order %zu is %u",
                     line, found, events[i].user_ref_num);
        cr_assert_eq(events[i].code, reason, "line %d: order %zu: reason %c", line, found,
                     events[i].code);
        found++;
    }
    cr_assert_eq(found, count, "line %d: %zu are canceled", line, found);
}

#define EXPECT_CANCELED(reason, ...)                                                               \
    expect_canceled(__LINE__, reason, (const struct owner[]){__VA_ARGS__},                         \
                    sizeof((const struct owner[]){__VA_ARGS__}) / sizeof(struct owner))

static struct command on_second_instrument(struct command command)
{
    command.instrument = 1;
    return command;
}

static struct command asking(struct command command, enum self_match strategy)
{
    command.order.attributes.self_match = strategy & 7;
    return command;
}

static struct command with_minimum(struct command command, uint32_t minimum)
{
    command.order.attributes.time_in_force = TIF_IOC;
    command.order.min_quantity = minimum;
    return command;
}

// Reserve

static struct command with_floor(struct command command, uint32_t max_floor)
{
    command.order.max_floor = max_floor;
    return command;
}

static uint64_t enter_reserve(uint16_t session, uint32_t user_ref_num, enum side side,
                              uint32_t quantity, uint32_t price, uint32_t max_floor)
{
    return apply_quietly(
        with_floor(command_enter(session, user_ref_num, side, quantity, price), max_floor));
}

Test(book_special, a_reserve_order_displays_a_slice_and_nobody_sees_the_rest)
{
    uint64_t ref = apply(with_floor(command_enter(BOB, 1, SIDE_SELL, 500, PRICE), 100));
    EXPECT(.type = EVENT_OPTIONS, .session = BOB, .user_ref_num = 1, .options.max_floor = 100);
    EXPECT(.type = EVENT_ACCEPTED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 500, .price = PRICE);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade.order_ref = ref);
    cr_assert_eq(resting(BOB, 1).quantity, 500);
    cr_assert_eq(resting(BOB, 1).displayed, 100);
    cr_assert_eq(resting(BOB, 1).max_floor, 100);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE), 100);
}

Test(book_special, a_reserve_order_comes_in_with_its_whole_quantity)
{
    uint64_t maker = enter(BOB, 1, SIDE_SELL, 400, PRICE);
    uint64_t ref = apply(with_floor(command_enter(ALICE, 1, SIDE_BUY, 1000, PRICE), 150));
    EXPECT_FILLS({maker, 400, PRICE, 'A', 'R'});
    cr_assert_eq(events[event_count - 1].type, EVENT_FEED_ADD);
    cr_assert_eq(events[event_count - 1].quantity, 150);
    cr_assert_eq(events[event_count - 1].trade.order_ref, ref);
    skip_events();
    cr_assert_eq(resting(ALICE, 1).quantity, 600);
    cr_assert_eq(resting(ALICE, 1).displayed, 150);
}

Test(book_special, of_less_than_its_floor_a_reserve_order_displays_all_that_is_left)
{
    enter(BOB, 1, SIDE_SELL, 400, PRICE);
    enter_reserve(ALICE, 1, SIDE_BUY, 500, PRICE, 150);
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
    cr_assert_eq(book_depth_at(book, 0, SIDE_BUY, PRICE), 100);
    uint64_t ref = resting(ALICE, 1).order_ref;
    apply(command_enter(BOB, 2, SIDE_SELL, 100, PRICE));
    EXPECT_FILLS({ref, 100, PRICE, 'A', 'R'});
    cr_assert_eq(event_count, 4, "no slice follows");
    skip_events();
    cr_assert(!rests(ALICE, 1));
}

Test(book_special, a_floor_of_the_quantity_or_more_displays_everything)
{
    enter_reserve(ALICE, 1, SIDE_BUY, 100, PRICE, 100);
    enter_reserve(ALICE, 2, SIDE_BUY, 100, PRICE - CENT, 101);
    enter_reserve(ALICE, 3, SIDE_BUY, 100, PRICE - 2 * CENT, UINT32_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(book_depth_at(book, 0, SIDE_BUY, PRICE - i * CENT), 100);
        cr_assert_eq(resting(ALICE, i + 1).displayed, 100);
    }
}

Test(book_special, a_floor_with_ioc_market_hidden_or_midpoint_is_rejected)
{
    expect_rejected(with_floor(command_enter_ioc(ALICE, 1, SIDE_BUY, 500, PRICE), 100),
                    REJECT_INVALID_MAX_FLOOR);
    expect_rejected(with_floor(command_enter(ALICE, 2, SIDE_BUY, 500, PRICE_MARKET), 100),
                    REJECT_INVALID_MAX_FLOOR);
    struct command command = with_floor(command_enter(ALICE, 3, SIDE_BUY, 500, PRICE), 500);
    command.order.attributes.display = DISPLAY_HIDDEN;
    expect_rejected(command, REJECT_INVALID_MAX_FLOOR);
    command.order.user_ref_num = 4;
    command.order.attributes.peg = PEG_MIDPOINT;
    expect_rejected(command, REJECT_INVALID_MAX_FLOOR);
}

Test(book_special, an_execution_takes_from_the_slice_only)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    apply(command_enter(ALICE, 1, SIDE_BUY, 30, PRICE));
    EXPECT_FILLS({ref, 30, PRICE, 'A', 'R'});
    cr_assert_eq(event_count, 4);
    skip_events();
    cr_assert_eq(resting(BOB, 1).quantity, 470);
    cr_assert_eq(resting(BOB, 1).displayed, 70);
    cr_assert_eq(resting(BOB, 1).order_ref, ref);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE), 70);
}

Test(book_special, a_used_up_slice_is_followed_by_a_new_one_behind_the_others)
{
    uint64_t reserve = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    uint64_t other = enter(CAROL, 1, SIDE_SELL, 200, PRICE);
    apply(command_enter(ALICE, 1, SIDE_BUY, 150, PRICE));
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .quantity = 150,
           .price = PRICE);
    EXPECT(.type = EVENT_EXECUTED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .price = PRICE, .code = 'A', .trade = {reserve, 1});
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'R', .trade = {reserve, 1});
    EXPECT_FEED(.type = EVENT_FEED_EXECUTED, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade = {reserve, 1});
    EXPECT(.type = EVENT_EXECUTED, .session = CAROL, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 50, .price = PRICE, .code = 'A', .trade = {other, 2});
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 50,
           .price = PRICE, .code = 'R', .trade = {other, 2});
    EXPECT_FEED(.type = EVENT_FEED_EXECUTED, .side = SIDE_SELL, .quantity = 50, .price = PRICE,
                .trade = {other, 2});
    EXPECT(.type = EVENT_RESTATED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .price = PRICE, .code = 'R', .trade.order_ref = SLICE_REF + 1);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade.order_ref = SLICE_REF + 1);
    cr_assert_eq(resting(BOB, 1).quantity, 400);
    cr_assert_eq(resting(BOB, 1).displayed, 100);
    apply(command_enter(ALICE, 2, SIDE_BUY, 160, PRICE));
    EXPECT_FILLS({other, 150, PRICE, 'A', 'R'}, {SLICE_REF + 1, 10, PRICE, 'A', 'R'});
    skip_events();
}

Test(book_special, a_random_reserve_displays_slices_of_different_sizes_in_its_range)
{
    struct command reserve = command_enter(BOB, 1, SIDE_SELL, 5000, PRICE);
    reserve.order.max_floor = 100;
    reserve.order.random_reserve = 20;
    apply_quietly(reserve);
    uint32_t first = resting(BOB, 1).displayed, others = 0;
    for (uint32_t number = 1; number <= 30; number++) {
        uint32_t slice = resting(BOB, 1).displayed;
        cr_assert(slice >= 80 && slice <= 120, "%u", slice);
        others += slice != first;
        apply_quietly(command_enter(ALICE, number, SIDE_BUY, slice, PRICE));
    }
    cr_assert_gt(others, 20);
    cr_assert_eq(resting(BOB, 1).random_reserve, 20);
}

Test(book_special, a_random_reserve_that_could_leave_nothing_to_display_is_rejected)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 500, PRICE);
    command.order.random_reserve = 1;
    expect_rejected(command, REJECT_INVALID_MAX_FLOOR);
    command.order.user_ref_num = 2;
    command.order.max_floor = 100;
    command.order.random_reserve = 100;
    expect_rejected(command, REJECT_INVALID_MAX_FLOOR);
    command.order.user_ref_num = 3;
    command.order.max_floor = UINT32_MAX;
    apply_quietly(command);
    cr_assert_eq(resting(ALICE, 3).displayed, 500);
}

static struct command command_enter_peg(uint16_t session, uint32_t user_ref_num, enum side side,
                                        uint32_t limit, enum peg peg, int16_t offset)
{
    struct command command = command_enter(session, user_ref_num, side, 100, limit);
    command.order.attributes.display = DISPLAY_HIDDEN;
    command.order.attributes.peg = peg & 3;
    command.order.peg_offset = offset;
    return command;
}

Test(book_special, a_primary_peg_follows_its_side_within_its_limit)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(CAROL, 1, SIDE_SELL, 100, PRICE + 4 * CENT);
    apply(command_enter_peg(ALICE, 1, SIDE_BUY, PRICE + 3 * CENT, PEG_PRIMARY, CENT));
    EXPECT(.type = EVENT_OPTIONS, .session = ALICE, .user_ref_num = 1, .options.peg_offset = CENT);
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE + 3 * CENT,
           .order.attributes = {.peg = PEG_PRIMARY, .display = DISPLAY_HIDDEN});
    cr_assert_eq(resting(ALICE, 1).price, PRICE + CENT);
    enter(BOB, 2, SIDE_BUY, 100, PRICE + CENT);
    cr_assert_eq(resting(ALICE, 1).price, PRICE + 2 * CENT);
    enter(BOB, 3, SIDE_BUY, 100, PRICE + 3 * CENT);
    cr_assert_eq(resting(ALICE, 1).price, PRICE + 3 * CENT, "its limit");
    apply_quietly(command_cancel(BOB, 3, 0));
    apply_quietly(command_cancel(BOB, 2, 0));
    cr_assert_eq(resting(ALICE, 1).price, PRICE + CENT);
    apply_quietly(command_cancel(BOB, 1, 0));
    cr_assert_eq(resting(ALICE, 1).price, PRICE + CENT, "nothing to follow: it stays");
}

Test(book_special, a_market_peg_follows_the_other_side_and_takes_what_comes_to_it)
{
    uint64_t ask = enter(BOB, 1, SIDE_SELL, 100, PRICE + 4 * CENT);
    apply_quietly(command_enter_peg(ALICE, 1, SIDE_BUY, PRICE + 3 * CENT, PEG_MARKET, -100));
    cr_assert_eq(resting(ALICE, 1).price, PRICE + 3 * CENT);
    apply_quietly(command_enter_peg(CAROL, 1, SIDE_BUY, PRICE + 4 * CENT, PEG_MARKET, 0));
    cr_assert_eq(events[1].type, EVENT_EXECUTED);
    cr_assert_eq(events[1].trade.order_ref, ask);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 2 * CENT);
    cr_assert_eq(events[1].type, EVENT_EXECUTED, "the peg stood at its limit");
    cr_assert_not(rests(ALICE, 1));
    cr_assert_not(rests(BOB, 2));
}

Test(book_special, a_peg_that_moves_takes_what_has_become_acceptable)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    uint64_t hidden = enter_hidden(CAROL, 1, SIDE_SELL, 100, PRICE + 2 * CENT);
    apply_quietly(command_enter_peg(ALICE, 1, SIDE_BUY, PRICE + 9 * CENT, PEG_PRIMARY, CENT));
    cr_assert(rests(ALICE, 1));
    apply_quietly(command_enter(BOB, 2, SIDE_BUY, 50, PRICE + CENT));
    cr_assert_eq(events[2].type, EVENT_EXECUTED);
    cr_assert_eq(events[2].trade.order_ref, hidden);
    cr_assert_eq(events[2].code, 'J');
    cr_assert_not(rests(ALICE, 1));
    cr_assert_not(rests(CAROL, 1));
}

Test(book_special, a_peg_that_breaks_a_condition_is_rejected)
{
    expect_rejected(command_enter_peg(ALICE, 1, SIDE_BUY, PRICE, PEG_PRIMARY, 0),
                    REJECT_QUOTE_UNAVAILABLE);
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    expect_rejected(command_enter_peg(ALICE, 2, SIDE_BUY, PRICE, PEG_MARKET, 0),
                    REJECT_QUOTE_UNAVAILABLE);
    expect_rejected(command_enter_peg(ALICE, 3, SIDE_BUY, PRICE_MARKET, PEG_PRIMARY, 0),
                    REJECT_INVALID_PRICE);
    expect_rejected(command_enter_peg(ALICE, 4, SIDE_BUY, PRICE, PEG_MIDPOINT, 1),
                    REJECT_PEGGING_NOT_ALLOWED);
    expect_rejected(command_enter_peg(ALICE, 5, SIDE_BUY, PRICE, PEG_NONE, -1),
                    REJECT_PEGGING_NOT_ALLOWED);
    struct command command = command_enter_peg(ALICE, 6, SIDE_BUY, PRICE, PEG_PRIMARY, 0);
    command.order.attributes.display = DISPLAY_VISIBLE;
    expect_rejected(command, REJECT_INVALID_DISPLAY);
    command.order.user_ref_num = 7;
    command.order.attributes.display = DISPLAY_HIDDEN;
    command.order.max_floor = 10;
    expect_rejected(command, REJECT_INVALID_MAX_FLOOR);
    command.order.user_ref_num = 8;
    command.order.max_floor = 0;
    command.order.attributes.post_only = 1;
    expect_rejected(command, REJECT_OTHER);
}

Test(book_special, a_replacement_that_has_nothing_to_follow_leaves_the_old_order)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = command_replace(ALICE, 1, 2, 100, PRICE);
    command.order.attributes.display = DISPLAY_HIDDEN;
    command.order.attributes.peg = PEG_MARKET;
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 2,
           .code = REJECT_QUOTE_UNAVAILABLE);
    cr_assert(rests(ALICE, 1));
    command.order.user_ref_num = 3;
    command.order.attributes.peg = PEG_PRIMARY;
    apply_quietly(command);
    cr_assert_eq(resting(ALICE, 3).price, PRICE, "of the old order itself");
}

Test(book_special, an_order_that_wants_more_than_the_slices_takes_from_the_reserve)
{
    uint64_t reserve = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    uint64_t other = enter(CAROL, 1, SIDE_SELL, 200, PRICE);
    apply(command_enter(ALICE, 1, SIDE_BUY, 400, PRICE));
    EXPECT_FILLS({reserve, 100, PRICE, 'A', 'R'}, {other, 200, PRICE, 'A', 'R'},
                 {reserve, 100, PRICE, 'u', 'R'});
    cr_assert_eq(events[9].type, EVENT_FEED_TRADE);
    cr_assert_eq(events[9].trade.order_ref, 0, "as of a hidden order");
    cr_assert_eq(events[9].side, SIDE_SELL);
    cr_assert_eq(events[10].type, EVENT_RESTATED);
    cr_assert_eq(events[10].quantity, 100);
    cr_assert_eq(events[11].type, EVENT_FEED_ADD);
    skip_events();
    cr_assert_eq(resting(BOB, 1).displayed, 100);
    cr_assert_eq(resting(BOB, 1).quantity, 300);
    cr_assert_eq(resting(BOB, 1).executed, 200);
}

Test(book_special, reserves_are_taken_whole_in_the_order_in_which_their_slices_were_used_up)
{
    uint64_t first = enter_reserve(BOB, 1, SIDE_SELL, 300, PRICE, 100);
    uint64_t second = enter_reserve(CAROL, 1, SIDE_SELL, 300, PRICE, 100);
    apply(command_enter(ALICE, 1, SIDE_BUY, 450, PRICE));
    EXPECT_FILLS({first, 100, PRICE, 'A', 'R'}, {second, 100, PRICE, 'A', 'R'},
                 {first, 200, PRICE, 'u', 'R'}, {second, 50, PRICE, 'u', 'R'});
    skip_events();
    cr_assert(!rests(BOB, 1));
    cr_assert_eq(resting(CAROL, 1).quantity, 150);
    cr_assert_eq(resting(CAROL, 1).displayed, 100);
}

Test(book_special, reserves_come_before_hidden_orders_that_were_there_first)
{
    uint64_t hidden = enter_hidden(CAROL, 1, SIDE_BUY, 50, PRICE);
    uint64_t reserve = enter_reserve(BOB, 1, SIDE_BUY, 300, PRICE, 100);
    uint64_t shown = enter(CAROL, 2, SIDE_BUY, 20, PRICE);
    apply(command_enter(ALICE, 1, SIDE_SELL, 350, PRICE));
    EXPECT_FILLS({reserve, 100, PRICE, 'A', 'R'}, {shown, 20, PRICE, 'A', 'R'},
                 {reserve, 200, PRICE, 'u', 'R'}, {hidden, 30, PRICE, 'J', 'R'});
    cr_assert_eq(events[event_count - 1].type, EVENT_FEED_TRADE, "no slice follows");
    skip_events();
    cr_assert(!rests(BOB, 1));
}

Test(book_special, the_reserve_of_a_slice_that_others_had_begun_is_taken_too)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    enter(ALICE, 1, SIDE_BUY, 60, PRICE);
    apply(command_enter(CAROL, 1, SIDE_BUY, 100, PRICE));
    EXPECT_FILLS({ref, 40, PRICE, 'A', 'R'}, {ref, 60, PRICE, 'u', 'R'});
    skip_events();
    cr_assert_eq(resting(BOB, 1).quantity, 340);
    cr_assert_eq(resting(BOB, 1).displayed, 100);
}

Test(book_special, a_reserve_is_used_up_before_the_next_price)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 200, PRICE, 10);
    uint64_t worse = enter(CAROL, 1, SIDE_SELL, 100, PRICE + CENT);
    apply(command_enter(ALICE, 1, SIDE_BUY, 250, PRICE + CENT));
    EXPECT_FILLS({ref, 10, PRICE, 'A', 'R'}, {ref, 190, PRICE, 'u', 'R'},
                 {worse, 50, PRICE + CENT, 'A', 'R'});
    skip_events();
}

Test(book_special, slices_are_refreshed_in_the_order_in_which_they_were_used_up)
{
    uint64_t first = enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    uint64_t second = enter_reserve(CAROL, 1, SIDE_BUY, 120, PRICE, 50);
    apply(command_enter(ALICE, 1, SIDE_SELL, 150, PRICE));
    EXPECT_FILLS({first, 100, PRICE, 'A', 'R'}, {second, 50, PRICE, 'A', 'R'});
    expected_count = 7, stream_seqs[ALICE] += 3, stream_seqs[BOB]++, stream_seqs[CAROL]++;
    feed_seq += 2;
    EXPECT(.type = EVENT_RESTATED, .session = BOB, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'R', .trade.order_ref = SLICE_REF + 1);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 100, .price = PRICE,
                .trade.order_ref = SLICE_REF + 1);
    EXPECT(.type = EVENT_RESTATED, .session = CAROL, .user_ref_num = 1, .quantity = 50,
           .price = PRICE, .code = 'R', .trade.order_ref = SLICE_REF + 2);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 50, .price = PRICE,
                .trade.order_ref = SLICE_REF + 2);
    apply(command_enter(ALICE, 2, SIDE_SELL, 150, PRICE));
    EXPECT_FILLS({SLICE_REF + 1, 100, PRICE, 'A', 'R'}, {SLICE_REF + 2, 50, PRICE, 'A', 'R'});
    skip_events();
    cr_assert_eq(resting(BOB, 1).order_ref, SLICE_REF + 3);
    cr_assert_eq(resting(CAROL, 1).displayed, 20, "all that is left");
}

Test(book_special, slices_are_counted_over_all_instruments)
{
    enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    apply_quietly(
        on_second_instrument(with_floor(command_enter(BOB, 2, SIDE_BUY, 500, PRICE), 100)));
    enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    apply_quietly(on_second_instrument(command_enter(ALICE, 2, SIDE_SELL, 100, PRICE)));
    cr_assert_eq(resting(BOB, 1).order_ref, SLICE_REF + 1);
    cr_assert_eq(resting(BOB, 2).order_ref, SLICE_REF + 2);
}

Test(book_special, the_slices_of_an_attributable_order_name_its_firm)
{
    struct command command = with_floor(command_enter(BOB, 1, SIDE_SELL, 300, PRICE), 100);
    command.order.attributes.display = DISPLAY_ATTRIBUTABLE;
    apply_quietly(command);
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE));
    const struct event *add = &events[event_count - 1];
    cr_assert_eq(add->type, EVENT_FEED_ADD);
    cr_assert(memcmp(add->firm, "BRAV", 4) == 0);
    skip_events();
}

Test(book_special, the_largest_reserve_order_shows_one_share_at_the_largest_price)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, QUANTITY_MAX, PRICE_MAX, 1);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE_MAX), 1);
    apply(command_enter(ALICE, 1, SIDE_BUY, QUANTITY_MAX - 1, PRICE_MARKET));
    EXPECT_FILLS({ref, 1, PRICE_MAX, 'A', 'R'}, {ref, QUANTITY_MAX - 2, PRICE_MAX, 'u', 'R'});
    skip_events();
    cr_assert_eq(resting(BOB, 1).quantity, 1);
    cr_assert_eq(resting(BOB, 1).order_ref, SLICE_REF + 1);
}

Test(book_special, a_cancel_takes_from_the_reserve_first)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    uint64_t other = enter(CAROL, 1, SIDE_SELL, 100, PRICE);
    apply(command_cancel(BOB, 1, 300));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 200, .price = PRICE, .code = 'U', .trade.order_ref = ref);
    cr_assert_eq(resting(BOB, 1).displayed, 100);
    apply(command_cancel(BOB, 1, 100));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 200, .price = PRICE, .code = 'U', .trade.order_ref = ref);
    cr_assert_eq(resting(BOB, 1).displayed, 100);
    apply(command_cancel(BOB, 1, 60));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 40, .price = PRICE, .code = 'U', .trade.order_ref = ref);
    EXPECT_FEED(.type = EVENT_FEED_CANCEL, .side = SIDE_SELL, .quantity = 40, .price = PRICE,
                .trade.order_ref = ref);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE), 160);
    apply(command_enter(ALICE, 1, SIDE_BUY, 70, PRICE));
    EXPECT_FILLS({ref, 60, PRICE, 'A', 'R'}, {other, 10, PRICE, 'A', 'R'});
    skip_events();
}

Test(book_special, a_cancel_beyond_the_reserve_takes_the_remainder_from_the_slice)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    enter(ALICE, 1, SIDE_BUY, 150, PRICE);
    cr_assert_eq(resting(BOB, 1).quantity, 350);
    cr_assert_neq(resting(BOB, 1).order_ref, ref);
    ref = resting(BOB, 1).order_ref;
    apply(command_cancel(BOB, 1, 180));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 320, .price = PRICE, .code = 'U', .trade.order_ref = ref);
    EXPECT_FEED(.type = EVENT_FEED_CANCEL, .side = SIDE_SELL, .quantity = 70, .price = PRICE,
                .trade.order_ref = ref);
    cr_assert_eq(resting(BOB, 1).quantity, 30);
    cr_assert_eq(resting(BOB, 1).displayed, 30);
}

Test(book_special, a_canceled_reserve_order_loses_slice_and_reserve)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    apply(command_cancel(BOB, 1, 0));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 500,
           .price = PRICE, .code = 'U', .trade.order_ref = ref);
    EXPECT_DELETED(SIDE_BUY, 100, PRICE, ref);
    cr_assert(!rests(BOB, 1));
    enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    expect_no_fill();
}

Test(book_special, a_modify_takes_from_the_reserve_first)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    apply(command_modify(BOB, 1, SIDE_SELL_SHORT, 300));
    EXPECT(.type = EVENT_MODIFIED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL_SHORT,
           .quantity = 300, .price = PRICE, .trade.order_ref = ref);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE), 100);
}

Test(book_special, a_reserve_order_is_replaced_on_the_feed_by_its_new_slice)
{
    uint64_t old = enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    uint64_t ref = apply(with_floor(command_replace(BOB, 1, 2, 400, PRICE - CENT), 70));
    EXPECT(.type = EVENT_OPTIONS, .session = BOB, .user_ref_num = 2, .options.max_floor = 70);
    EXPECT(.type = EVENT_REPLACED, .session = BOB, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 400, .price = PRICE - CENT);
    EXPECT_FEED(.type = EVENT_FEED_REPLACE, .quantity = 70, .price = PRICE - CENT,
                .trade.order_ref = old);
    cr_assert_eq(resting(BOB, 2).order_ref, ref);
    cr_assert_eq(resting(BOB, 2).quantity, 400);
    cr_assert_eq(resting(BOB, 2).displayed, 70);
}

Test(book_special, a_replacement_of_a_reserve_order_counts_what_slice_and_reserve_executed)
{
    uint64_t old = enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    enter(ALICE, 1, SIDE_SELL, 250, PRICE);
    old = resting(BOB, 1).order_ref;
    uint64_t ref = apply(command_replace(BOB, 1, 2, 400, PRICE));
    EXPECT(.type = EVENT_REPLACED, .session = BOB, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 150, .price = PRICE);
    EXPECT_FEED(.type = EVENT_FEED_REPLACE, .quantity = 150, .price = PRICE,
                .trade.order_ref = old);
    cr_assert_eq(resting(BOB, 2).order_ref, ref);
    cr_assert_eq(resting(BOB, 2).displayed, 150, "without a floor all is displayed");
    cr_assert_eq(resting(BOB, 2).executed, 250);
}

Test(book_special, the_end_cancels_a_reserve_order_whole_at_the_place_of_its_slice)
{
    enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    enter(CAROL, 1, SIDE_BUY, 100, PRICE);
    enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    apply(command_close);
    EXPECT_CANCELED('E', {CAROL, 1}, {BOB, 1});
    cr_assert_eq(events[2].quantity, 400);
    cr_assert_eq(events[3].type, EVENT_FEED_DELETE);
    cr_assert_eq(events[3].quantity, 100);
    cr_assert_eq(events[3].trade.order_ref, SLICE_REF + 1);
    skip_events();
}

Test(book_special, a_minimum_is_met_from_slices_and_reserves)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    uint64_t hidden = enter_hidden(CAROL, 1, SIDE_SELL, 50, PRICE);
    apply(with_minimum(command_enter(ALICE, 1, SIDE_BUY, 551, PRICE), 551));
    expect_no_fill();
    EXPECT_CANCELED('I', {ALICE, 1});
    skip_events();
    apply(with_minimum(command_enter(ALICE, 2, SIDE_BUY, 550, PRICE), 550));
    EXPECT_FILLS({ref, 100, PRICE, 'A', 'R'}, {ref, 400, PRICE, 'u', 'R'},
                 {hidden, 50, PRICE, 'J', 'R'});
    skip_events();
}

Test(book_special, a_minimum_does_not_count_a_reserve_that_prevention_would_keep)
{
    enter_reserve(ALICE, 1, SIDE_SELL, 500, PRICE, 100);
    uint64_t other = enter(BOB, 1, SIDE_SELL, 50, PRICE);
    struct command command = with_minimum(command_enter(ALICE, 2, SIDE_BUY, 51, PRICE), 51);
    apply(asking(command, SELF_MATCH_CANCEL_OLDEST));
    expect_no_fill();
    EXPECT_CANCELED('I', {ALICE, 2});
    skip_events();
    cr_assert_eq(resting(ALICE, 1).quantity, 500);
    command = with_minimum(command_enter(ALICE, 3, SIDE_BUY, 51, PRICE), 50);
    apply(asking(command, SELF_MATCH_CANCEL_OLDEST));
    EXPECT_FILLS({other, 50, PRICE, 'A', 'R'});
    skip_events();
    cr_assert(!rests(ALICE, 1));
}

Test(book_special, cancel_oldest_cancels_slice_and_reserve)
{
    uint64_t ref = enter_reserve(ALICE, 1, SIDE_SELL, 500, PRICE, 100);
    apply(asking(command_enter(ALICE, 2, SIDE_BUY, 600, PRICE), SELF_MATCH_CANCEL_OLDEST));
    expect_no_fill();
    cr_assert_eq(events[1].type, EVENT_PREVENTED);
    cr_assert_eq(events[1].quantity, 500);
    cr_assert_eq(events[1].trade.order_ref, ref);
    cr_assert_eq(events[2].type, EVENT_FEED_DELETE);
    cr_assert_eq(events[2].quantity, 100);
    skip_events();
    cr_assert(!rests(ALICE, 1));
    cr_assert_eq(resting(ALICE, 2).quantity, 600);
}

Test(book_special, decrement_takes_slice_and_reserve_and_counts_them_as_executed)
{
    enter_reserve(ALICE, 1, SIDE_SELL, 500, PRICE, 100);
    apply(asking(command_enter(ALICE, 2, SIDE_BUY, 150, PRICE), SELF_MATCH_DECREMENT));
    expect_no_fill();
    skip_events();
    cr_assert(!rests(ALICE, 2));
    cr_assert_eq(resting(ALICE, 1).quantity, 350);
    cr_assert_eq(resting(ALICE, 1).executed, 150);
    cr_assert_eq(resting(ALICE, 1).displayed, 100);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE), 100);
}

// Midpoint

#define MID (PRICE + 2 * CENT) // of the market below

static struct command command_midpoint(uint16_t session, uint32_t user_ref_num, enum side side,
                                       uint32_t quantity, uint32_t limit)
{
    struct command command = command_enter(session, user_ref_num, side, quantity, limit);
    command.order.attributes.peg = PEG_MIDPOINT;
    command.order.attributes.display = DISPLAY_HIDDEN;
    return command;
}

static uint64_t enter_midpoint(uint16_t session, uint32_t user_ref_num, enum side side,
                               uint32_t quantity, uint32_t limit)
{
    return apply_quietly(command_midpoint(session, user_ref_num, side, quantity, limit));
}

// The displayed market of Bob's: 100 at 50.00 to 100 at 50.04, and 100 more for sale at 50.06.
static void show_market(void)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 4 * CENT);
    enter(BOB, 3, SIDE_SELL, 100, PRICE + 6 * CENT);
}

// Takes 50.04 away: the midpoint goes from 50.02 to 50.03.
static void raise_midpoint(void)
{
    apply(command_cancel(BOB, 2, 0));
}

Test(book_special, a_midpoint_order_trades_at_the_midpoint_whatever_the_limits_are)
{
    show_market();
    uint64_t maker = apply(command_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + CENT));
    EXPECT(.type = EVENT_ACCEPTED, .session = CAROL, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .price = PRICE + CENT,
           .order.attributes = {.peg = PEG_MIDPOINT, .display = DISPLAY_HIDDEN});
    cr_assert_eq(resting(CAROL, 1).displayed, 0);
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE + 3 * CENT));
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE + 3 * CENT);
    EXPECT(.type = EVENT_EXECUTED, .session = CAROL, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .price = MID, .code = 'k', .trade = {maker, 1});
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = MID, .code = 'm', .trade = {maker, 1});
    EXPECT_FEED(.type = EVENT_FEED_TRADE, .side = SIDE_SELL, .quantity = 100, .price = MID,
                .trade = {0, 1});
    cr_assert(!rests(CAROL, 1));
}

Test(book_special, a_midpoint_order_beyond_its_limit_waits_until_the_market_moves)
{
    show_market();
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 100, PRICE + 3 * CENT));
    expect_no_fill();
    EXPECT_CANCELED('I', {ALICE, 1});
    skip_events();
    raise_midpoint();
    expect_no_fill();
    skip_events();
    apply(command_enter_ioc(ALICE, 2, SIDE_BUY, 100, PRICE + 3 * CENT));
    EXPECT_FILLS({maker, 100, PRICE + 3 * CENT, 'k', 'm'});
    skip_events();
}

Test(book_special, a_replacement_of_the_displayed_sale_moves_the_midpoint)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 4 * CENT);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    apply_quietly(command_replace(BOB, 2, 3, 100, PRICE + 6 * CENT));
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE + 3 * CENT));
    EXPECT_FILLS({maker, 100, PRICE + 3 * CENT, 'k', 'm'});
    skip_events();
}

Test(book_special, a_midpoint_order_is_live_at_its_limit_and_not_beyond)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 10, MID + 1);
    uint64_t sale = enter_midpoint(CAROL, 2, SIDE_SELL, 10, MID);
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 20, MID));
    EXPECT_FILLS({sale, 10, MID, 'k', 'm'});
    skip_events();
    apply_quietly(command_cancel(CAROL, 1, 0));
    enter_midpoint(CAROL, 3, SIDE_BUY, 10, MID - 1);
    uint64_t purchase = enter_midpoint(CAROL, 4, SIDE_BUY, 10, MID);
    apply(command_enter_ioc(ALICE, 2, SIDE_SELL, 20, MID));
    EXPECT_FILLS({purchase, 10, MID, 'k', 'm'});
    skip_events();
}

Test(book_special, a_limit_that_does_not_reach_the_midpoint_does_not_trade_there)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE);
    enter(ALICE, 1, SIDE_BUY, 100, PRICE - CENT);
    expect_no_fill();
    apply(command_enter_ioc(ALICE, 2, SIDE_BUY, 100, MID - 1));
    expect_no_fill();
    EXPECT_CANCELED('I', {ALICE, 2});
    skip_events();
}

Test(book_special, the_midpoint_is_rounded_down)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 3);
    enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 2);
    uint64_t sale = enter_midpoint(CAROL, 2, SIDE_SELL, 100, PRICE + 1);
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 200, PRICE + 2));
    EXPECT_FILLS({sale, 100, PRICE + 1, 'k', 'm'});
    skip_events();
}

Test(book_special, there_is_no_midpoint_inside_the_smallest_spread)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 1);
    enter_midpoint(CAROL, 1, SIDE_BUY, 100, PRICE + CENT);
    apply(command_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE - CENT));
    expect_no_fill();
    skip_events();
    cr_assert(rests(ALICE, 1) && rests(CAROL, 1));
    uint64_t shown = resting(BOB, 1).order_ref;
    apply(command_enter(ALICE, 2, SIDE_SELL, 50, PRICE));
    EXPECT_FILLS({shown, 50, PRICE, 'A', 'R'});
    skip_events();
}

Test(book_special, the_midpoint_of_the_lowest_prices_is_never_zero)
{
    enter(BOB, 1, SIDE_BUY, 100, 1);
    enter(BOB, 2, SIDE_SELL, 100, 2);
    enter_midpoint(CAROL, 1, SIDE_BUY, 100, 1);
    apply(command_midpoint(ALICE, 1, SIDE_SELL, 100, 1));
    expect_no_fill();
    skip_events();
    apply_quietly(command_cancel(ALICE, 1, 0));
    apply_quietly(command_replace(BOB, 2, 3, 100, 4));
    uint64_t maker = enter_midpoint(CAROL, 2, SIDE_BUY, 100, 2);
    apply(command_enter_ioc(ALICE, 2, SIDE_SELL, 200, 2));
    EXPECT_FILLS({maker, 100, 2, 'k', 'm'});
    skip_events();
}

Test(book_special, the_midpoint_of_the_largest_prices_is_between_them)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE_MAX - 3);
    enter(BOB, 2, SIDE_SELL, 100, PRICE_MAX);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_BUY, 100, PRICE_MAX);
    apply(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE_MAX - 2));
    EXPECT_FILLS({maker, 100, PRICE_MAX - 2, 'k', 'm'});
    skip_events();
}

Test(book_special, the_midpoint_of_a_market_of_extremes_is_the_middle)
{
    enter(BOB, 1, SIDE_BUY, 100, 1);
    enter(BOB, 2, SIDE_SELL, 100, PRICE_MAX);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 100, 1);
    apply(command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE_MAX));
    EXPECT_FILLS({maker, 100, (PRICE_MAX + 1) / 2, 'k', 'm'});
    skip_events();
}

Test(book_special, without_two_displayed_sides_midpoint_orders_wait)
{
    enter(BOB, 1, SIDE_SELL, 100, PRICE + 4 * CENT);
    enter_hidden(BOB, 2, SIDE_BUY, 100, PRICE);
    apply(command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE + 9 * CENT));
    expect_no_fill();
    skip_events();
    apply(command_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE - 9 * CENT));
    expect_no_fill();
    skip_events();
    cr_assert(rests(ALICE, 1) && rests(CAROL, 1), "a hidden purchase makes no market");
}

Test(book_special, a_waiting_midpoint_order_does_not_take_even_the_best_price_there_can_be)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE_MAX);
    apply(command_midpoint(ALICE, 1, SIDE_SELL, 100, 1));
    expect_no_fill();
    skip_events();
    struct command command = on_second_instrument(command_enter(BOB, 2, SIDE_SELL, 100, 1));
    apply_quietly(command);
    command = on_second_instrument(command_midpoint(ALICE, 2, SIDE_BUY, 100, PRICE_MAX));
    apply(command);
    expect_no_fill();
    skip_events();
    cr_assert(rests(ALICE, 1) && rests(ALICE, 2));
}

Test(book_special, a_midpoint_order_that_may_not_wait_is_canceled)
{
    struct command command = command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE + 9 * CENT);
    command.order.attributes.time_in_force = TIF_IOC;
    apply(command);
    EXPECT_CANCELED('I', {ALICE, 1});
    cr_assert_eq(event_count, 2);
    skip_events();
    show_market();
    command.order.user_ref_num = 2;
    command.order.price = MID - 1;
    apply(command);
    EXPECT_CANCELED('I', {ALICE, 2});
    skip_events();
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 60, MID);
    command.order.user_ref_num = 3;
    command.order.price = MID;
    apply(command);
    EXPECT_FILLS({maker, 60, MID, 'k', 'm'});
    EXPECT_CANCELED('I', {ALICE, 3});
    skip_events();
}

Test(book_special, midpoint_orders_that_contradict_themselves_are_rejected)
{
    struct command command = command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.display = DISPLAY_VISIBLE;
    expect_rejected(command, REJECT_INVALID_DISPLAY);
    command.order.user_ref_num++, command.order.attributes.display = DISPLAY_ATTRIBUTABLE;
    expect_rejected(command, REJECT_INVALID_DISPLAY);
    expect_rejected(command_midpoint(ALICE, 3, SIDE_BUY, 100, PRICE_MARKET), REJECT_INVALID_PRICE);
    command = command_midpoint(ALICE, 4, SIDE_BUY, 100, PRICE);
    command.order.attributes.post_only = 1;
    expect_rejected(command, REJECT_OTHER);
}

Test(book_special, midpoint_orders_are_ranked_by_limit_then_time)
{
    show_market();
    uint64_t third = enter_midpoint(CAROL, 1, SIDE_SELL, 10, MID);
    uint64_t first = enter_midpoint(CAROL, 2, SIDE_SELL, 10, PRICE - 5 * CENT);
    uint64_t fourth = enter_midpoint(CAROL, 3, SIDE_SELL, 10, MID);
    uint64_t second = enter_midpoint(CAROL, 4, SIDE_SELL_SHORT, 10, PRICE - 5 * CENT);
    apply(command_enter(ALICE, 1, SIDE_BUY, 40, MID));
    EXPECT_FILLS({first, 10, MID, 'k', 'm'}, {second, 10, MID, 'k', 'm'},
                 {third, 10, MID, 'k', 'm'}, {fourth, 10, MID, 'k', 'm'});
    skip_events();
}

Test(book_special, at_the_midpoint_hidden_orders_come_before_midpoint_orders)
{
    show_market();
    uint64_t midpoint = enter_midpoint(CAROL, 1, SIDE_SELL, 10, PRICE);
    uint64_t hidden = enter_hidden(CAROL, 2, SIDE_SELL, 10, MID);
    uint64_t worse = enter_hidden(CAROL, 3, SIDE_SELL, 10, MID + 1);
    uint64_t better = enter_hidden(CAROL, 4, SIDE_SELL, 10, MID - 1);
    uint64_t shown = resting(BOB, 2).order_ref;
    apply(command_enter(ALICE, 1, SIDE_BUY, 50, PRICE_MARKET));
    EXPECT_FILLS({better, 10, MID - 1, 'J', 'R'}, {hidden, 10, MID, 'J', 'R'},
                 {midpoint, 10, MID, 'k', 'm'}, {worse, 10, MID + 1, 'J', 'R'},
                 {shown, 10, PRICE + 4 * CENT, 'A', 'R'});
    skip_events();
}

Test(book_special, matching_keeps_the_midpoint_it_began_with)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    uint64_t near = resting(BOB, 2).order_ref, far = resting(BOB, 3).order_ref;
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 200, PRICE + 6 * CENT));
    EXPECT_FILLS({near, 100, PRICE + 4 * CENT, 'A', 'R'}, {far, 100, PRICE + 6 * CENT, 'A', 'R'});
    skip_events();
    cr_assert(rests(CAROL, 1));
}

Test(book_special, a_replacement_meets_the_midpoint_that_is_left_without_the_old_order)
{
    show_market();
    enter(CAROL, 1, SIDE_BUY, 100, PRICE - 4 * CENT);
    apply_quietly(command_replace(BOB, 1, 4, 100, PRICE + CENT));
    uint64_t maker = enter_midpoint(CAROL, 2, SIDE_SELL, 60, PRICE - 9 * CENT);
    apply(command_replace(BOB, 4, 5, 100, PRICE));
    EXPECT_FILLS({maker, 60, PRICE, 'k', 'm'});
    skip_events();
    cr_assert_eq(resting(BOB, 5).quantity, 40);
}

Test(book_special, a_replacement_of_the_only_displayed_order_meets_no_midpoint)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 60, PRICE);
    apply(command_replace(BOB, 1, 4, 100, PRICE + 3 * CENT));
    expect_no_fill();
    skip_events();
    cr_assert(rests(BOB, 4) && rests(CAROL, 1));
}

Test(book_special, a_live_midpoint_order_comes_in_as_a_limit_order_at_the_midpoint)
{
    show_market();
    uint64_t midpoint = enter_midpoint(CAROL, 1, SIDE_SELL, 10, PRICE);
    uint64_t hidden = enter_hidden(CAROL, 2, SIDE_SELL, 10, PRICE + CENT);
    enter_hidden(CAROL, 3, SIDE_SELL, 10, MID + 1);
    apply(command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE + 9 * CENT));
    EXPECT_FILLS({hidden, 10, PRICE + CENT, 'J', 'R'}, {midpoint, 10, MID, 'k', 'm'});
    skip_events();
    cr_assert_eq(resting(ALICE, 1).quantity, 80);
    cr_assert_eq(resting(ALICE, 1).price, PRICE + 9 * CENT);
    cr_assert_eq(resting(ALICE, 1).displayed, 0);
}

Test(book_special, post_only_minds_live_midpoint_orders_and_not_waiting_ones)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 10, MID + 1);
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, MID);
    command.order.attributes.display = DISPLAY_HIDDEN;
    command.order.attributes.post_only = 1;
    apply_quietly(command);
    cr_assert(rests(ALICE, 1));
    apply_quietly(command_cancel(ALICE, 1, 0));
    enter_midpoint(CAROL, 2, SIDE_SELL, 10, MID);
    command.order.user_ref_num = 2;
    apply(command);
    expect_no_fill();
    EXPECT_CANCELED('G', {ALICE, 2});
    skip_events();
}

Test(book_special, a_minimum_counts_live_midpoint_orders_and_not_waiting_ones)
{
    show_market();
    uint64_t live = enter_midpoint(CAROL, 1, SIDE_SELL, 60, MID);
    uint64_t hidden = enter_hidden(CAROL, 2, SIDE_SELL, 40, PRICE + CENT);
    enter_midpoint(CAROL, 3, SIDE_SELL, 100, MID + 1);
    apply(with_minimum(command_enter(ALICE, 1, SIDE_BUY, 101, PRICE + 3 * CENT), 101));
    expect_no_fill();
    EXPECT_CANCELED('I', {ALICE, 1});
    skip_events();
    apply(with_minimum(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE + 3 * CENT), 100));
    EXPECT_FILLS({hidden, 40, PRICE + CENT, 'J', 'R'}, {live, 60, MID, 'k', 'm'});
    skip_events();
}

Test(book_special, the_minimum_of_a_midpoint_order_counts_what_the_midpoint_accepts)
{
    show_market();
    uint64_t hidden = enter_hidden(CAROL, 1, SIDE_SELL, 50, MID);
    enter_hidden(CAROL, 2, SIDE_SELL, 50, MID + 1);
    apply(with_minimum(command_midpoint(ALICE, 1, SIDE_BUY, 51, PRICE + 9 * CENT), 51));
    expect_no_fill();
    EXPECT_CANCELED('I', {ALICE, 1});
    skip_events();
    apply(with_minimum(command_midpoint(ALICE, 2, SIDE_BUY, 50, PRICE + 9 * CENT), 50));
    EXPECT_FILLS({hidden, 50, MID, 'J', 'R'});
    skip_events();
}

// ALICE has 100 to sell at the midpoint; she buys 150 at a limit beyond it.
static uint64_t meet_oneself_at_the_midpoint(enum self_match strategy, uint64_t *resting_ref)
{
    show_market();
    *resting_ref = enter_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE);
    uint64_t ref =
        apply(asking(command_enter(ALICE, 2, SIDE_BUY, 150, PRICE + 3 * CENT), strategy));
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 2, .quantity = 150,
           .price = PRICE + 3 * CENT, .order.attributes.self_match = strategy & 7);
    return ref;
}

Test(book_special, prevention_at_the_midpoint_cancels_the_newest)
{
    uint64_t old, ref = meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_NEWEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 2, .quantity = 150,
           .prevented = 100, .price = MID, .code = 'm', .trade.order_ref = ref,
           .trade.match_number = SELF_MATCH_CANCEL_NEWEST);
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

Test(book_special, prevention_at_the_midpoint_cancels_the_oldest_unseen)
{
    uint64_t old, ref = meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_OLDEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .prevented = 100, .price = MID, .code = 'k', .trade.order_ref = old,
           .trade.match_number = SELF_MATCH_CANCEL_OLDEST);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 150, .price = PRICE + 3 * CENT,
                .trade.order_ref = ref);
}

Test(book_special, prevention_at_the_midpoint_decrements_both)
{
    uint64_t old, ref = meet_oneself_at_the_midpoint(SELF_MATCH_DECREMENT, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .prevented = 100, .price = MID, .code = 'k', .trade.order_ref = old,
           .trade.match_number = SELF_MATCH_DECREMENT);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 2, .quantity = 100,
           .prevented = 100, .price = MID, .code = 'm', .trade.order_ref = ref,
           .trade.match_number = SELF_MATCH_DECREMENT);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 50, .price = PRICE + 3 * CENT,
                .trade.order_ref = ref);
}

Test(book_special, prevention_at_the_midpoint_cancels_both)
{
    uint64_t old;
    meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_BOTH, &old);
    expect_no_fill();
    skip_events();
    cr_assert(!rests(ALICE, 1) && !rests(ALICE, 2));
}

Test(book_special, a_midpoint_order_is_replaced_unseen_and_loses_its_place)
{
    show_market();
    enter_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE);
    uint64_t other = enter_midpoint(CAROL, 1, SIDE_SELL, 10, PRICE);
    apply_quietly(command_enter_ioc(BOB, 4, SIDE_BUY, 30, MID));
    struct command command = command_replace(ALICE, 1, 2, 80, PRICE);
    command.order.attributes.peg = PEG_MIDPOINT;
    command.order.attributes.display = DISPLAY_HIDDEN;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .side = SIDE_SELL, .quantity = 50, .price = PRICE,
           .order.attributes = {.peg = PEG_MIDPOINT, .display = DISPLAY_HIDDEN});
    apply(command_enter_ioc(BOB, 5, SIDE_BUY, 20, MID));
    EXPECT_FILLS({other, 10, MID, 'k', 'm'}, {ref, 10, MID, 'k', 'm'});
    skip_events();
}

Test(book_special, a_midpoint_order_may_be_replaced_by_a_displayed_one_and_back)
{
    show_market();
    enter_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE);
    uint64_t shown = apply(command_replace(ALICE, 1, 2, 100, PRICE + 5 * CENT));
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .side = SIDE_SELL, .quantity = 100, .price = PRICE + 5 * CENT);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .side = SIDE_SELL, .quantity = 100,
                .price = PRICE + 5 * CENT, .trade.order_ref = shown);
    struct command command = command_replace(ALICE, 2, 3, 100, PRICE);
    command.order.attributes.peg = PEG_MIDPOINT;
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 3, .orig_user_ref_num = 2,
           .side = SIDE_SELL, .quantity = 100, .price = PRICE,
           .order.attributes = {.peg = PEG_MIDPOINT, .display = DISPLAY_HIDDEN});
    EXPECT_DELETED(SIDE_SELL, 100, PRICE + 5 * CENT, shown);
}

Test(book_special, a_canceled_midpoint_order_keeps_its_place_and_is_not_on_the_feed)
{
    show_market();
    uint64_t ref = enter_midpoint(CAROL, 1, SIDE_BUY, 100, PRICE + 3 * CENT);
    enter_midpoint(CAROL, 2, SIDE_BUY, 100, PRICE + 3 * CENT);
    apply(command_cancel(CAROL, 1, 40));
    EXPECT(.type = EVENT_CANCELED, .session = CAROL, .user_ref_num = 1, .quantity = 60,
           .price = PRICE + 3 * CENT, .code = 'U', .trade.order_ref = ref);
    apply(command_enter(ALICE, 1, SIDE_SELL, 40, PRICE + CENT));
    EXPECT_FILLS({ref, 40, MID, 'k', 'm'});
    skip_events();
}

Test(book_special, the_end_cancels_midpoint_orders_after_their_sides_others_by_limit_and_time)
{
    enter_midpoint(ALICE, 1, SIDE_BUY, 10, PRICE + 9 * CENT);
    enter_midpoint(ALICE, 2, SIDE_BUY, 10, PRICE + 10 * CENT);
    enter_midpoint(BOB, 1, SIDE_BUY, 10, PRICE + 9 * CENT);
    enter_hidden(CAROL, 1, SIDE_BUY, 10, PRICE - CENT);
    enter(CAROL, 2, SIDE_BUY, 10, PRICE - 2 * CENT);
    enter_midpoint(CAROL, 3, SIDE_SELL, 10, PRICE);
    apply(command_close);
    EXPECT_CANCELED('E', {CAROL, 1}, {CAROL, 2}, {ALICE, 2}, {ALICE, 1}, {BOB, 1}, {CAROL, 3});
    expect_no_fill();
    skip_events();
}

// What becomes acceptable when the midpoint moves

Test(book_special, a_moved_midpoint_lets_a_midpoint_purchase_take_a_hidden_sale)
{
    show_market();
    uint64_t shown = resting(BOB, 2).order_ref;
    enter_midpoint(ALICE, 1, SIDE_BUY, 60, PRICE + 9 * CENT);
    uint64_t hidden = enter_hidden(CAROL, 1, SIDE_SELL, 100, MID + 1);
    raise_midpoint();
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 2, .side = SIDE_SELL,
           .quantity = 100, .price = PRICE + 4 * CENT, .code = 'U', .trade.order_ref = shown);
    EXPECT_DELETED(SIDE_SELL, 100, PRICE + 4 * CENT, shown);
    EXPECT(.type = EVENT_EXECUTED, .session = CAROL, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 60, .price = MID + 1, .code = 'J', .trade = {hidden, 1});
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 60,
           .price = MID + 1, .code = 'R', .trade = {hidden, 1});
    EXPECT_FEED(.type = EVENT_FEED_TRADE, .side = SIDE_SELL, .quantity = 60, .price = MID + 1,
                .trade = {0, 1});
    cr_assert_eq(resting(CAROL, 1).quantity, 40);
}

Test(book_special, a_moved_midpoint_lets_a_midpoint_sale_take_a_hidden_purchase)
{
    enter(BOB, 1, SIDE_SELL, 100, PRICE + 4 * CENT);
    enter(BOB, 2, SIDE_BUY, 100, PRICE);
    enter(BOB, 3, SIDE_BUY, 100, PRICE - 2 * CENT);
    uint64_t hidden = enter_hidden(CAROL, 1, SIDE_BUY, 100, PRICE + CENT);
    enter_midpoint(ALICE, 1, SIDE_SELL, 60, PRICE - 9 * CENT);
    apply(command_cancel(BOB, 2, 0));
    EXPECT_FILLS({hidden, 60, PRICE + CENT, 'J', 'R'});
    skip_events();
    cr_assert(!rests(ALICE, 1));
}

Test(book_special, of_two_midpoint_orders_the_one_with_the_higher_reference_takes)
{
    show_market();
    uint64_t sale = enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    enter_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE + 3 * CENT);
    raise_midpoint();
    EXPECT_FILLS({sale, 100, PRICE + 3 * CENT, 'k', 'm'});
    cr_assert_eq(events[2].session, CAROL);
    cr_assert_eq(events[3].session, ALICE);
    skip_events();
}

Test(book_special, of_two_midpoint_orders_the_earlier_one_makes_on_either_side)
{
    show_market();
    uint64_t purchase = enter_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE + 3 * CENT);
    enter_midpoint(CAROL, 1, SIDE_SELL, 70, PRICE + 3 * CENT);
    raise_midpoint();
    EXPECT_FILLS({purchase, 70, PRICE + 3 * CENT, 'k', 'm'});
    cr_assert_eq(events[2].session, ALICE);
    cr_assert_eq(events[4].side, SIDE_BUY, "the feed names the maker's side");
    skip_events();
    cr_assert_eq(resting(ALICE, 1).quantity, 30);
}

Test(book_special, a_moved_midpoint_is_settled_with_hidden_sales_first_until_nothing_trades)
{
    const uint32_t moved = PRICE + 3 * CENT;
    show_market();
    uint64_t purchase = enter_midpoint(ALICE, 1, SIDE_BUY, 90, PRICE + 9 * CENT);
    uint64_t sale = enter_midpoint(CAROL, 1, SIDE_SELL, 100, moved);
    uint64_t dearer = enter_hidden(CAROL, 2, SIDE_SELL, 20, moved);
    uint64_t cheaper = enter_hidden(CAROL, 3, SIDE_SELL, 20, moved - 1);
    enter_midpoint(ALICE, 2, SIDE_BUY, 100, PRICE + 4 * CENT);
    raise_midpoint();
    EXPECT_FILLS({cheaper, 20, moved - 1, 'J', 'R'}, {dearer, 20, moved, 'J', 'R'},
                 {purchase, 50, moved, 'k', 'm'}, {sale, 50, moved, 'k', 'm'});
    skip_events();
    cr_assert_eq(resting(ALICE, 2).quantity, 50);
    cr_assert(!rests(ALICE, 1) && !rests(CAROL, 1));
}

Test(book_special, a_moved_midpoint_is_settled_with_hidden_purchases_before_midpoint_purchases)
{
    enter(BOB, 1, SIDE_SELL, 100, PRICE + 4 * CENT);
    enter(BOB, 2, SIDE_BUY, 100, PRICE);
    enter(BOB, 3, SIDE_BUY, 100, PRICE - 2 * CENT);
    const uint32_t moved = PRICE + CENT;
    uint64_t midpoint = enter_midpoint(CAROL, 1, SIDE_BUY, 50, moved);
    uint64_t hidden = enter_hidden(CAROL, 2, SIDE_BUY, 20, moved);
    uint64_t better = enter_hidden(CAROL, 3, SIDE_BUY, 20, moved + 1);
    enter_midpoint(ALICE, 1, SIDE_SELL, 60, PRICE - 9 * CENT);
    apply(command_cancel(BOB, 2, 0));
    EXPECT_FILLS({better, 20, moved + 1, 'J', 'R'}, {hidden, 20, moved, 'J', 'R'},
                 {midpoint, 20, moved, 'k', 'm'});
    skip_events();
}

Test(book_special, a_displayed_order_that_comes_to_rest_moves_the_midpoint_too)
{
    show_market();
    uint64_t purchase = enter_midpoint(CAROL, 1, SIDE_BUY, 100, PRICE + 9 * CENT);
    enter_midpoint(CAROL, 2, SIDE_SELL, 100, PRICE + 3 * CENT);
    uint64_t ref = apply(command_enter(ALICE, 1, SIDE_BUY, 10, PRICE + 2 * CENT));
    EXPECT_FILLS({purchase, 100, PRICE + 3 * CENT, 'k', 'm'});
    cr_assert_eq(events[1].type, EVENT_FEED_ADD, "the order rests first");
    cr_assert_eq(events[1].trade.order_ref, ref);
    skip_events();
}

Test(book_special, when_settling_prevention_is_what_the_taking_order_asks_for)
{
    show_market();
    enter_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    uint64_t ref = apply_quietly(asking(command_midpoint(ALICE, 2, SIDE_BUY, 80, PRICE + 9 * CENT),
                                        SELF_MATCH_CANCEL_NEWEST));
    raise_midpoint();
    skip_events();
    const struct event *last = &events[event_count - 1];
    cr_assert_eq(last->type, EVENT_PREVENTED);
    cr_assert_eq(last->user_ref_num, 2);
    cr_assert_eq(last->quantity, 80);
    cr_assert_eq(last->prevented, 80);
    cr_assert_eq(last->price, PRICE + 3 * CENT);
    cr_assert_eq(last->code, 'm');
    cr_assert_eq(last->trade.order_ref, ref);
    cr_assert(rests(ALICE, 1) && !rests(ALICE, 2));
}

Test(book_special, when_settling_what_the_making_order_asks_for_does_not_count)
{
    show_market();
    uint64_t maker = apply_quietly(asking(
        command_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE + 3 * CENT), SELF_MATCH_CANCEL_BOTH));
    enter_midpoint(ALICE, 2, SIDE_BUY, 100, PRICE + 9 * CENT);
    raise_midpoint();
    EXPECT_FILLS({maker, 100, PRICE + 3 * CENT, 'k', 'm'});
    skip_events();
}

Test(book_special, when_settling_the_midpoint_order_takes_hidden_ones_that_came_later)
{
    show_market();
    apply_quietly(asking(command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE + 9 * CENT),
                         SELF_MATCH_CANCEL_OLDEST));
    uint64_t hidden = enter_hidden(ALICE, 2, SIDE_SELL, 40, PRICE + 3 * CENT);
    raise_midpoint();
    skip_events();
    const struct event *last = &events[event_count - 1];
    cr_assert_eq(last->type, EVENT_PREVENTED);
    cr_assert_eq(last->user_ref_num, 2);
    cr_assert_eq(last->code, 'J');
    cr_assert_eq(last->trade.order_ref, hidden);
    cr_assert(rests(ALICE, 1) && !rests(ALICE, 2));
}

// Good till time

static struct command at(struct command command, uint64_t ns_of_day)
{
    command.time_ns = MIDNIGHT_NS + ns_of_day;
    return command;
}

static struct command lasting(struct command command, uint32_t seconds)
{
    command.order.attributes.time_in_force = TIF_GTT;
    command.order.expire_seconds = seconds;
    return command;
}

static struct command clock_at(uint64_t ns_of_day)
{
    return at((struct command){.type = COMMAND_CLOCK}, ns_of_day);
}

static uint32_t timed_count(void)
{
    struct book_summary summary;
    book_summarise(book, &summary);
    return summary.timed_count;
}

// Bob buys 100 for `seconds` from `ns_of_day` on.
static uint64_t enter_lasting(uint32_t user_ref_num, uint64_t ns_of_day, uint32_t seconds)
{
    return apply_quietly(
        at(lasting(command_enter(BOB, user_ref_num, SIDE_BUY, 100, PRICE), seconds), ns_of_day));
}

Test(book_special, an_order_is_canceled_by_the_first_command_after_its_seconds)
{
    uint64_t ref = enter_lasting(1, 10 * SECOND_NS, 5);
    cr_assert_eq(resting(BOB, 1).expire_seconds, 5);
    cr_assert_eq(timed_count(), 1);
    apply(clock_at(16 * SECOND_NS - 1));
    expect_nothing();
    apply(clock_at(16 * SECOND_NS));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'T', .trade.order_ref = ref);
    EXPECT_DELETED(SIDE_BUY, 100, PRICE, ref);
    cr_assert(!rests(BOB, 1));
    cr_assert_eq(timed_count(), 0);
}

Test(book_special, seconds_count_from_the_whole_second_of_arrival)
{
    enter_lasting(1, 11 * SECOND_NS - 1, 1);
    apply(clock_at(12 * SECOND_NS - 1));
    expect_nothing();
    apply(clock_at(12 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 1});
    skip_events();
}

Test(book_special, an_order_expires_before_the_command_that_would_have_met_it)
{
    uint64_t old = enter_lasting(1, 10 * SECOND_NS, 5);
    uint64_t ref = apply(at(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE), 16 * SECOND_NS));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'T', .trade.order_ref = old);
    EXPECT_DELETED(SIDE_BUY, 100, PRICE, old);
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .price = PRICE);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade.order_ref = ref);
}

Test(book_special, any_command_at_all_lets_orders_expire)
{
    const struct command commands[] = {{.type = 0},
                                       {.type = 255},
                                       {.type = COMMAND_START},
                                       command_query(UINT16_MAX),
                                       command_cancel(BOB, 77, 0),
                                       command_replace(BOB, 77, 78, 100, PRICE),
                                       command_enter(BOB, 0, SIDE_BUY, 100, PRICE)};
    uint32_t number = 1;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++, number++) {
        enter_lasting(number, 10 * (i + 1) * SECOND_NS, 5);
        apply(at(commands[i], (10 * (i + 1) + 6) * SECOND_NS));
        EXPECT_CANCELED('T', {BOB, number});
        cr_assert_eq(event_count, 2);
        skip_events();
    }
}

Test(book_special, a_cancel_or_replacement_in_the_second_of_expiry_comes_too_late)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    apply(at(command_cancel(BOB, 1, 0), 16 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 1});
    skip_events();
    enter_lasting(2, 20 * SECOND_NS, 5);
    apply(at(command_replace(BOB, 2, 3, 100, PRICE), 26 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 2});
    cr_assert_eq(event_count, 2);
    skip_events();
    apply(at(command_query(BOB), 26 * SECOND_NS));
    EXPECT(.type = EVENT_QUERY_RESPONSE, .session = BOB, .user_ref_num = 3);
}

Test(book_special, orders_expire_by_second_and_within_one_in_the_order_of_rest)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    apply_quietly(
        at(lasting(command_enter(CAROL, 1, SIDE_SELL, 50, PRICE + CENT), 1), 12 * SECOND_NS));
    struct command command = lasting(command_enter(ALICE, 1, SIDE_BUY, 50, PRICE + 9 * CENT), 3);
    apply_quietly(at(on_second_instrument(command), 12 * SECOND_NS));
    enter_lasting(2, 13 * SECOND_NS, 2);
    enter_lasting(3, 13 * SECOND_NS, 1);
    apply(clock_at(100 * SECOND_NS));
    EXPECT_CANCELED('T', {CAROL, 1}, {BOB, 3}, {BOB, 1}, {ALICE, 1}, {BOB, 2});
    skip_events();
}

Test(book_special, only_the_orders_of_the_second_expire)
{
    for (uint32_t i = 1; i <= 4; i++)
        enter_lasting(i, 10 * SECOND_NS, i);
    for (uint32_t i = 1; i <= 4; i++) {
        apply(clock_at((11 + i) * SECOND_NS));
        EXPECT_CANCELED('T', {BOB, i});
        skip_events();
    }
}

Test(book_special, a_replacement_lives_by_its_own_time)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(lasting(command_replace(BOB, 1, 3, 100, PRICE), 5), 12 * SECOND_NS));
    apply_quietly(at(command_replace(BOB, 2, 4, 100, PRICE), 12 * SECOND_NS));
    cr_assert_eq(timed_count(), 1);
    apply(clock_at(18 * SECOND_NS - 1));
    expect_nothing();
    apply(clock_at(18 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 3});
    skip_events();
    apply(clock_at(86399 * SECOND_NS));
    expect_nothing();
    apply_quietly(at(lasting(command_replace(BOB, 4, 5, 100, PRICE), 1), 86399 * SECOND_NS));
    cr_assert_eq(timed_count(), 1, "a day order may begin to have a time");
}

Test(book_special, a_replacement_expires_behind_those_that_came_to_rest_before_it)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(lasting(command_replace(BOB, 1, 3, 100, PRICE), 5), 10 * SECOND_NS));
    apply(clock_at(16 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 2}, {BOB, 3});
    skip_events();
}

Test(book_special, time_that_goes_back_expires_nothing_and_gives_no_longer_life)
{
    apply(clock_at(20 * SECOND_NS));
    expect_nothing();
    enter_lasting(1, 15 * SECOND_NS, 5);
    apply(clock_at(3 * SECOND_NS));
    expect_nothing();
    apply(clock_at(26 * SECOND_NS - 1));
    expect_nothing();
    apply(clock_at(26 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 1});
    skip_events();
}

Test(book_special, seconds_are_one_to_a_day_less_one_and_go_with_their_time_in_force_only)
{
    expect_rejected(lasting(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE), 0), REJECT_OTHER);
    expect_rejected(lasting(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE), EXPIRE_SECONDS_MAX + 1),
                    REJECT_OTHER);
    struct command command = command_enter(ALICE, 3, SIDE_BUY, 100, PRICE);
    command.order.expire_seconds = 1;
    expect_rejected(command, REJECT_OTHER);
    command.order.user_ref_num = 4, command.order.attributes.time_in_force = TIF_IOC;
    expect_rejected(command, REJECT_OTHER);
    apply_quietly(lasting(command_enter(ALICE, 5, SIDE_BUY, 100, PRICE), 1));
    apply_quietly(lasting(command_enter(ALICE, 6, SIDE_BUY, 100, PRICE), EXPIRE_SECONDS_MAX));
    cr_assert_eq(timed_count(), 2);
    apply_quietly(clock_at(86399 * SECOND_NS));
    cr_assert(!rests(ALICE, 5) && rests(ALICE, 6));
}

Test(book_special, a_market_order_with_seconds_never_rests)
{
    apply(lasting(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE_MARKET), 5));
    EXPECT_CANCELED('I', {ALICE, 1});
    skip_events();
    cr_assert_eq(timed_count(), 0);
}

Test(book_special, what_is_left_of_an_order_expires)
{
    uint64_t ref = enter_lasting(1, 10 * SECOND_NS, 5);
    apply_quietly(at(command_enter(ALICE, 1, SIDE_SELL, 30, PRICE), 11 * SECOND_NS));
    apply_quietly(at(command_cancel(BOB, 1, 90), 12 * SECOND_NS));
    apply(clock_at(16 * SECOND_NS));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 60,
           .price = PRICE, .code = 'T', .trade.order_ref = ref);
    EXPECT_DELETED(SIDE_BUY, 60, PRICE, ref);
}

Test(book_special, orders_that_were_executed_or_canceled_do_not_expire)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE), 11 * SECOND_NS));
    apply_quietly(at(command_cancel(BOB, 2, 0), 12 * SECOND_NS));
    cr_assert_eq(timed_count(), 0);
    apply(clock_at(30 * SECOND_NS));
    expect_nothing();
}

Test(book_special, hidden_orders_expire_unseen_and_reserve_orders_whole)
{
    struct command command = lasting(command_enter(BOB, 1, SIDE_BUY, 70, PRICE), 5);
    command.order.attributes.display = DISPLAY_HIDDEN;
    uint64_t hidden = apply_quietly(at(command, 10 * SECOND_NS));
    command = lasting(command_midpoint(BOB, 2, SIDE_BUY, 80, PRICE), 5);
    uint64_t midpoint = apply_quietly(at(command, 10 * SECOND_NS));
    command = lasting(with_floor(command_enter(BOB, 3, SIDE_BUY, 500, PRICE), 100), 5);
    uint64_t reserve = apply_quietly(at(command, 10 * SECOND_NS));
    apply(clock_at(16 * SECOND_NS));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 70,
           .price = PRICE, .code = 'T', .trade.order_ref = hidden);
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 2, .quantity = 80,
           .price = PRICE, .code = 'T', .trade.order_ref = midpoint);
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 3, .quantity = 500,
           .price = PRICE, .code = 'T', .trade.order_ref = reserve);
    EXPECT_DELETED(SIDE_BUY, 100, PRICE, reserve);
}

Test(book_special, a_new_slice_does_not_prolong_an_orders_life)
{
    struct command command = with_floor(command_enter(BOB, 1, SIDE_BUY, 500, PRICE), 100);
    apply_quietly(at(lasting(command, 5), 10 * SECOND_NS));
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE), 15 * SECOND_NS));
    cr_assert_eq(resting(BOB, 1).order_ref, SLICE_REF + 1);
    apply(clock_at(16 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 1}, {BOB, 2});
    cr_assert_eq(events[0].quantity, 400);
    skip_events();
}

Test(book_special, the_end_cancels_orders_whose_time_is_not_over)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    apply(at(command_close, 15 * SECOND_NS));
    EXPECT_CANCELED('E', {BOB, 1});
    skip_events();
    apply(clock_at(30 * SECOND_NS));
    expect_nothing();
}

Test(book_special, when_orders_have_expired_the_moved_midpoint_is_settled)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 6 * CENT);
    apply_quietly(
        at(lasting(command_enter(BOB, 3, SIDE_SELL, 100, PRICE + 4 * CENT), 5), 10 * SECOND_NS));
    uint64_t sale = enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    enter_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE + 9 * CENT);
    apply(at(command_query(ALICE), 16 * SECOND_NS));
    EXPECT_FILLS({sale, 100, PRICE + 3 * CENT, 'k', 'm'});
    cr_assert_eq(events[0].type, EVENT_CANCELED);
    cr_assert_eq(events[event_count - 1].type, EVENT_QUERY_RESPONSE, "the command comes last");
    skip_events();
}

// Mass cancel

// All orders, until the test says which.
static struct command command_mass(uint16_t session, uint32_t user_ref_num)
{
    return (struct command){.type = COMMAND_MASS_CANCEL,
                            .session = session,
                            .instrument = NO_INSTRUMENT,
                            .mass.user_ref_num = user_ref_num,
                            .mass.session = ANY_SESSION,
                            .mass.side = ANY_SIDE,
                            .mass.reason = 'U'};
}

// Orders of every firm, side and instrument, each of 100 at a price that meets nobody.
static void fill_book(void)
{
    enter(BOB, 1, SIDE_SELL, 100, PRICE + CENT);
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = command_enter(ALICE, 2, SIDE_SELL_SHORT, 100, PRICE + CENT);
    memcpy(command.order.firm, "BRAV", 4);
    apply_quietly(command);
    apply_quietly(on_second_instrument(command_enter(CAROL, 1, SIDE_BUY, 100, PRICE)));
    apply_quietly(on_second_instrument(command_enter(BOB, 2, SIDE_SELL_SHORT, 100, PRICE + CENT)));
    enter(CAROL, 2, SIDE_BUY, 100, PRICE);
}

Test(book_special, a_mass_cancel_is_answered_and_told_to_the_owners_and_the_feed)
{
    uint64_t first = enter(BOB, 1, SIDE_SELL, 100, PRICE + CENT);
    uint64_t second = enter_hidden(CAROL, 1, SIDE_BUY, 50, PRICE);
    apply(command_mass(ALICE, 7));
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 7,
           .instrument = NO_INSTRUMENT, .side = ANY_SIDE);
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .price = PRICE + CENT, .code = 'U', .trade.order_ref = first);
    EXPECT_DELETED(SIDE_SELL, 100, PRICE + CENT, first);
    EXPECT(.type = EVENT_CANCELED, .session = CAROL, .user_ref_num = 1, .quantity = 50,
           .price = PRICE, .code = 'U', .trade.order_ref = second);
    struct book_summary summary;
    book_summarise(book, &summary);
    cr_assert_eq(summary.order_count, 0);
}

Test(book_special, a_mass_cancel_says_what_was_asked_for_and_why)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.user_ref_index = 3;
    command.instrument = 1;
    command.mass.side = SIDE_SELL_SHORT;
    command.mass.reason = 'S';
    memcpy(command.mass.firm, "BRAV", 4);
    apply(command);
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 7, .user_ref_index = 3,
           .instrument = 1, .side = SIDE_SELL_SHORT, .firm = "BRAV");
    EXPECT_CANCELED('S', {BOB, 2});
    skip_events();
}

Test(book_special, a_mass_cancel_of_everything_goes_by_order_reference)
{
    fill_book();
    apply(command_mass(ALICE, 7));
    EXPECT_CANCELED('U', {BOB, 1}, {ALICE, 1}, {ALICE, 2}, {CAROL, 1}, {BOB, 2}, {CAROL, 2});
    skip_events();
}

Test(book_special, a_mass_cancel_by_session_takes_its_orders_only)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.mass.session = BOB;
    apply(command);
    EXPECT_CANCELED('U', {BOB, 1}, {BOB, 2});
    skip_events();
    cr_assert(rests(ALICE, 1) && rests(ALICE, 2) && rests(CAROL, 1) && rests(CAROL, 2));
}

Test(book_special, a_mass_cancel_by_firm_goes_by_the_firm_an_order_names)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    memcpy(command.mass.firm, "ALFA", 4);
    apply(command);
    EXPECT_CANCELED('U', {ALICE, 1});
    skip_events();
    memcpy(command.mass.firm, "BRAV", 4);
    command.mass.user_ref_num = 8;
    apply(command);
    EXPECT_CANCELED('U', {BOB, 1}, {ALICE, 2}, {BOB, 2});
    skip_events();
}

Test(book_special, a_mass_cancel_by_instrument_takes_its_orders_only)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.instrument = 1;
    apply(command);
    EXPECT_CANCELED('U', {CAROL, 1}, {BOB, 2});
    skip_events();
}

Test(book_special, a_mass_cancel_by_side_tells_the_kinds_of_sale_apart)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.mass.side = SIDE_SELL;
    apply(command);
    EXPECT_CANCELED('U', {BOB, 1});
    skip_events();
    command.mass.user_ref_num = 8, command.mass.side = SIDE_SELL_SHORT;
    apply(command);
    EXPECT_CANCELED('U', {ALICE, 2}, {BOB, 2});
    skip_events();
    command.mass.user_ref_num = 9, command.mass.side = SIDE_BUY;
    apply(command);
    EXPECT_CANCELED('U', {ALICE, 1}, {CAROL, 1}, {CAROL, 2});
    skip_events();
}

Test(book_special, a_mass_cancel_takes_what_fits_all_that_is_asked)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.instrument = 0;
    command.mass.session = ALICE;
    command.mass.side = SIDE_SELL_SHORT;
    memcpy(command.mass.firm, "BRAV", 4);
    apply(command);
    EXPECT_CANCELED('U', {ALICE, 2});
    skip_events();
}

Test(book_special, a_mass_cancel_that_fits_nothing_is_only_answered)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.mass.side = SIDE_SELL_SHORT_EXEMPT;
    apply(command);
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 7,
           .instrument = NO_INSTRUMENT, .side = SIDE_SELL_SHORT_EXEMPT);
    command = command_mass(ALICE, 8);
    command.mass.session = 3;
    apply(command);
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 8,
           .instrument = NO_INSTRUMENT, .side = ANY_SIDE);
    command = command_mass(ALICE, 9);
    memcpy(command.mass.firm, "XRAY", 4);
    apply(command);
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 9, .firm = "XRAY",
           .instrument = NO_INSTRUMENT, .side = ANY_SIDE);
    struct book_summary summary;
    book_summarise(book, &summary);
    cr_assert_eq(summary.order_count, 6);
}

Test(book_special, a_mass_cancel_of_an_empty_book_is_only_answered)
{
    apply(command_mass(ALICE, 1));
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 1,
           .instrument = NO_INSTRUMENT, .side = ANY_SIDE);
    apply(command_mass(ANY_SESSION, 0));
    expect_nothing();
}

Test(book_special, a_mass_cancel_uses_up_a_number_as_an_order_does)
{
    fill_book();
    apply(command_mass(ALICE, 2));
    expect_nothing();
    apply(command_mass(ALICE, 1));
    expect_nothing();
    struct command command = command_mass(ALICE, 5);
    command.mass.side = SIDE_SELL_SHORT_EXEMPT;
    apply_quietly(command);
    cr_assert_eq(event_count, 1);
    apply(command_mass(ALICE, 5));
    expect_nothing();
    apply(command_enter(ALICE, 5, SIDE_BUY, 100, PRICE));
    expect_nothing();
    cr_assert_eq(last_number(ALICE), 5);
}

Test(book_special, a_mass_cancel_with_a_verdict_is_rejected_and_cancels_nothing)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.verdict = REJECT_FIRM_NOT_AUTHORIZED;
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 7,
           .code = REJECT_FIRM_NOT_AUTHORIZED);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
    cr_assert_eq(last_number(ALICE), 7);
}

Test(book_special, a_mass_cancel_of_an_unlisted_instrument_is_rejected)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.instrument = 2;
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 7,
           .code = REJECT_INVALID_SYMBOL);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
}

Test(book_special, after_the_end_a_mass_cancel_is_rejected)
{
    fill_book();
    apply_quietly(command_close);
    apply(command_mass(ALICE, 7));
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 7,
           .code = REJECT_DESTINATION_CLOSED);
    apply(command_mass(ANY_SESSION, 0));
    expect_nothing();
}

Test(book_day, before_the_start_a_mass_cancel_is_rejected)
{
    set_up_preopen();
    apply(command_mass(ALICE, 1));
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 1,
           .code = REJECT_DESTINATION_CLOSED);
    apply(command_mass(ANY_SESSION, 0));
    expect_nothing();
}

Test(book_special, an_operator_cancels_and_is_not_answered)
{
    fill_book();
    struct command command = command_mass(ANY_SESSION, 0);
    command.mass.session = CAROL;
    command.mass.reason = 'S';
    apply(command);
    EXPECT_CANCELED('S', {CAROL, 1}, {CAROL, 2});
    cr_assert_eq(event_count, 4, "two cancels, each with its message of the feed");
    skip_events();
    apply(command);
    expect_nothing();
}

Test(book_special, an_operators_mass_cancel_of_an_unlisted_instrument_does_nothing)
{
    fill_book();
    struct command command = command_mass(ANY_SESSION, 0);
    command.instrument = 2;
    apply(command);
    expect_nothing();
}

Test(book_special, a_mass_cancel_takes_reserve_and_midpoint_orders_whole)
{
    uint64_t reserve = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE + CENT, 100);
    uint64_t midpoint = enter_midpoint(BOB, 2, SIDE_SELL_SHORT, 60, PRICE);
    apply(command_mass(ANY_SESSION, 0));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 500, .price = PRICE + CENT, .code = 'U', .trade.order_ref = reserve);
    EXPECT_DELETED(SIDE_SELL, 100, PRICE + CENT, reserve);
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 2, .side = SIDE_SELL_SHORT,
           .quantity = 60, .price = PRICE, .code = 'U', .trade.order_ref = midpoint);
}

Test(book_special, a_mass_cancel_finds_a_new_slice_under_its_new_reference)
{
    enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    enter(CAROL, 1, SIDE_SELL, 100, PRICE);
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply(command_mass(ANY_SESSION, 0));
    EXPECT_CANCELED('U', {CAROL, 1}, {BOB, 1});
    skip_events();
}

// In `instrument`, a market whose midpoint goes up to 50.03 when Bob's third order leaves, and two
// midpoint orders that trade then.
static void prepare_settlement(uint16_t instrument, uint32_t number)
{
    struct command commands[] = {
        command_enter(CAROL, number, SIDE_BUY, 100, PRICE),
        command_enter(CAROL, number + 1, SIDE_SELL, 100, PRICE + 6 * CENT),
        command_enter(BOB, number, SIDE_SELL, 100, PRICE + 4 * CENT),
        command_midpoint(ALICE, number, SIDE_SELL, 100, PRICE + 3 * CENT),
        command_midpoint(ALICE, number + 1, SIDE_BUY, 100, PRICE + 9 * CENT)};
    for (size_t i = 0; i < 5; i++) {
        commands[i].instrument = instrument;
        if (commands[i].session == BOB)
            commands[i] = lasting(commands[i], 1);
        apply_quietly(commands[i]);
    }
}

// Both instruments' cancels, then the trade of each by index.
static void expect_settlements(void)
{
    static const uint8_t types[] = {
        EVENT_CANCELED, EVENT_FEED_DELETE, EVENT_CANCELED, EVENT_FEED_DELETE, EVENT_EXECUTED,
        EVENT_EXECUTED, EVENT_FEED_TRADE,  EVENT_EXECUTED, EVENT_EXECUTED,    EVENT_FEED_TRADE};
    static const uint8_t instruments[] = {1, 1, 0, 0, 0, 0, 0, 1, 1, 1};
    cr_assert_eq(event_count, 10);
    for (size_t i = 0; i < 10; i++) {
        cr_assert_eq(events[i].type, types[i], "event %zu", i);
        cr_assert_eq(events[i].instrument, instruments[i], "event %zu", i);
    }
    skip_events();
}

Test(book_special, after_a_mass_cancel_instruments_are_settled_by_index)
{
    prepare_settlement(1, 1);
    prepare_settlement(0, 3);
    struct command command = command_mass(ANY_SESSION, 0);
    command.mass.session = BOB;
    apply(command);
    expect_settlements();
}

Test(book_special, after_orders_expired_instruments_are_settled_by_index)
{
    prepare_settlement(1, 1);
    prepare_settlement(0, 3);
    apply(clock_at(2 * SECOND_NS));
    expect_settlements();
}
