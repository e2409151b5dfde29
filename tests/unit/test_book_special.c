// SPDX-License-Identifier: MIT
//
// The rules of special orders, one example each: minimum quantity, post-only, self-match
// prevention, reserve. Every command goes to the book and to the reference; both must give exactly
// the events that are written here.
#include "tests/unit/special_examples.h"

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

// Reserve

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

static uint32_t national[2];

static uint32_t national_best(void *context, uint16_t instrument, enum side side)
{
    (void)context;
    return instrument == 0 ? national[side] : 0;
}

// The reference knows of no other best prices: this book is alone.
static struct event book_alone(struct book *alone, struct command command)
{
    static struct event room[64];
    struct event_sink sink = {room, room + 64, too_many_events, NULL};
    command.time_ns = MIDNIGHT_NS;
    book_apply(alone, &command, &sink);
    return room[0];
}

static struct book_order in_book(const struct book *alone, uint16_t session, uint32_t user_ref_num)
{
    struct book_order order = {0};
    book_find_user_ref(alone, session, 0, user_ref_num, &order);
    return order;
}

Test(book_special, pegs_and_midpoints_follow_what_a_venue_has_them_follow)
{
    static alignas(64) unsigned char memory[1 << 20];
    struct book *alone = book_open(memory, &limits);
    struct command middle = command_enter(CAROL, 1, SIDE_SELL, 100, PRICE);
    middle.order.attributes.peg = PEG_MIDPOINT;
    middle.order.attributes.display = DISPLAY_HIDDEN;
    book_alone(alone, command_open());
    book_alone(alone, command_instrument(0));
    for (uint16_t session = ALICE; session <= CAROL; session++)
        book_alone(alone, command_session(session));
    book_alone(alone, (struct command){.type = COMMAND_START});
    book_alone(alone, command_enter(BOB, 1, SIDE_BUY, 100, PRICE - 50 * CENT));
    book_follow(alone, national_best, NULL);
    struct command peg = command_enter_peg(ALICE, 1, SIDE_BUY, PRICE + 3 * CENT, PEG_PRIMARY, 0);
    cr_assert_eq(book_alone(alone, peg).code, REJECT_QUOTE_UNAVAILABLE);
    national[SIDE_BUY] = PRICE;
    national[SIDE_SELL] = PRICE + 8 * CENT;
    peg.order.user_ref_num = 2;
    cr_assert_eq(book_alone(alone, peg).type, EVENT_ACCEPTED);
    cr_assert_eq(in_book(alone, ALICE, 2).price, PRICE);
    national[SIDE_BUY] = PRICE + 2 * CENT;
    book_alone(alone, command_enter(BOB, 2, SIDE_BUY, 100, PRICE - 60 * CENT));
    cr_assert_eq(in_book(alone, ALICE, 2).price, PRICE + 2 * CENT);
    book_alone(alone, middle);
    struct event event = book_alone(alone, command_enter(BOB, 3, SIDE_BUY, 100, PRICE + 6 * CENT));
    cr_assert_eq(event.type, EVENT_ACCEPTED);
    cr_assert_eq(in_book(alone, CAROL, 1).price, 0, "traded at the middle, 5 cents up");
    middle.order.user_ref_num = 2;
    book_alone(alone, middle);
    national[SIDE_SELL] = PRICE + 30 * CENT;
    book_alone(alone, command_enter(BOB, 5, SIDE_SELL, 100, PRICE + 10 * CENT));
    book_alone(alone, command_enter_ioc(BOB, 6, SIDE_BUY, 150, PRICE + 20 * CENT));
    cr_assert_eq(in_book(alone, CAROL, 2).quantity, 100, "the middle was not between best prices");
    book_follow(alone, NULL, NULL);
    book_alone(alone, command_enter(BOB, 7, SIDE_BUY, 100, PRICE - 40 * CENT));
    cr_assert_eq(in_book(alone, ALICE, 2).price, PRICE - 40 * CENT);
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

// What a replacement keeps of the old order

static struct command keeping(struct command command, uint32_t kept)
{
    command.order.kept = kept;
    return command;
}

Test(book_special, a_replacement_keeps_the_floor_that_it_does_not_speak_of)
{
    uint64_t old = enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    apply(keeping(command_replace(BOB, 1, 2, 400, PRICE - CENT), KEPT_ALL));
    EXPECT(.type = EVENT_OPTIONS, .session = BOB, .user_ref_num = 2, .options.max_floor = 100);
    EXPECT(.type = EVENT_REPLACED, .session = BOB, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 400, .price = PRICE - CENT);
    EXPECT_FEED(.type = EVENT_FEED_REPLACE, .quantity = 100, .price = PRICE - CENT,
                .trade.order_ref = old);
    apply_quietly(keeping(with_floor(command_replace(BOB, 2, 3, 400, PRICE), 70),
                          KEPT_ALL & ~KEPT_MAX_FLOOR));
    cr_assert_eq(resting(BOB, 3).displayed, 70);
}

Test(book_special, a_replacement_that_says_no_floor_keeps_no_random_reserve)
{
    struct command command = with_floor(command_enter(BOB, 1, SIDE_BUY, 500, PRICE), 100);
    command.order.random_reserve = 50;
    apply_quietly(command);
    apply_quietly(keeping(command_replace(BOB, 1, 2, 500, PRICE), KEPT_ALL));
    cr_assert_eq(resting(BOB, 2).random_reserve, 50);
    apply_quietly(keeping(command_replace(BOB, 2, 3, 500, PRICE), KEPT_ALL & ~KEPT_MAX_FLOOR));
    cr_assert_eq(resting(BOB, 3).random_reserve, 0);
    cr_assert_eq(resting(BOB, 3).displayed, 500);
}

Test(book_special, a_replacement_keeps_its_seconds_only_while_it_has_an_end)
{
    struct command command = command_enter(BOB, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.time_in_force = TIF_GTT;
    command.order.expire_seconds = 60;
    apply_quietly(command);
    command = keeping(command_replace(BOB, 1, 2, 100, PRICE), KEPT_ALL);
    command.order.attributes.time_in_force = TIF_GTT;
    apply_quietly(command);
    cr_assert_eq(resting(BOB, 2).expire_seconds, 60);
    apply_quietly(keeping(command_replace(BOB, 2, 3, 100, PRICE), KEPT_ALL));
    cr_assert_eq(resting(BOB, 3).expire_seconds, 0);
}

Test(book_special, a_replacement_keeps_its_peg_and_offset_or_says_another)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(ALICE, 2, SIDE_SELL, 100, PRICE + 9 * CENT);
    struct command command = command_enter(BOB, 1, SIDE_BUY, 100, PRICE + 5 * CENT);
    command.order.attributes.display = DISPLAY_HIDDEN;
    command.order.attributes.peg = PEG_PRIMARY;
    command.order.peg_offset = CENT;
    apply_quietly(command);
    command = keeping(command_replace(BOB, 1, 2, 200, PRICE + 5 * CENT), KEPT_ALL);
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply_quietly(command);
    cr_assert_eq(resting(BOB, 2).attributes.peg, PEG_PRIMARY);
    cr_assert_eq(resting(BOB, 2).price, PRICE + CENT);
    command.order.orig_user_ref_num = 2;
    command.order.user_ref_num = 3;
    command.order.kept = KEPT_ALL & ~KEPT_PEG;
    apply_quietly(command);
    cr_assert_eq(resting(BOB, 3).attributes.peg, PEG_NONE);
    cr_assert_eq(resting(BOB, 3).price, PRICE + 5 * CENT, "and no offset");
}

Test(book_special, what_is_kept_counts_as_if_it_had_been_said)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(ALICE, 2, SIDE_SELL, 100, PRICE + 9 * CENT);
    struct command command = command_midpoint(BOB, 1, SIDE_BUY, 100, PRICE + 5 * CENT);
    apply_quietly(command);
    apply(keeping(command_replace(BOB, 1, 2, 100, PRICE), KEPT_ALL)); // displayed
    EXPECT_CANCELED('U', {BOB, 1});
    skip_events();
    command = command_enter(BOB, 2, SIDE_BUY, 100, PRICE);
    command.order.attributes.post_only = 1;
    apply_quietly(command);
    apply(keeping(command_replace(BOB, 2, 3, 100, PRICE + 9 * CENT), KEPT_ALL));
    EXPECT_CANCELED('G', {BOB, 3});
    skip_events();
}

// The side of a REPLACE by BOB of his order `old`.
static struct command sided(uint32_t old, uint8_t side)
{
    struct command command =
        keeping(command_replace(BOB, old, old + 1, 100, PRICE), KEPT_ALL | SAID_SIDE);
    command.side = side;
    return command;
}

Test(book_special, a_replacement_may_change_the_kind_of_a_sale)
{
    enter(BOB, 1, SIDE_SELL, 100, PRICE);
    apply_quietly(sided(1, SIDE_SELL_SHORT_EXEMPT));
    cr_assert_eq(resting(BOB, 2).side, SIDE_SELL_SHORT_EXEMPT);
    apply_quietly(keeping(command_replace(BOB, 2, 3, 100, PRICE), KEPT_ALL));
    cr_assert_eq(resting(BOB, 3).side, SIDE_SELL_SHORT_EXEMPT, "it stays where nothing is said");
    apply(sided(3, SIDE_SELL_SHORT));
    EXPECT(.type = EVENT_REPLACED, .session = BOB, .user_ref_num = 4, .orig_user_ref_num = 3,
           .side = SIDE_SELL_SHORT, .quantity = 100, .price = PRICE);
    skip_events();
}

Test(book_special, a_replacement_cannot_change_a_side_otherwise)
{
    enter(BOB, 1, SIDE_SELL_SHORT, 100, PRICE);
    apply(sided(1, SIDE_SELL));
    EXPECT_CANCELED('U', {BOB, 1});
    skip_events();
    enter(BOB, 2, SIDE_SELL, 100, PRICE);
    apply(sided(2, SIDE_BUY));
    EXPECT_CANCELED('U', {BOB, 2});
    skip_events();
}

Test(book_special, a_replacement_keeps_its_self_match_prevention)
{
    uint64_t own = enter(ALICE, 1, SIDE_SELL, 100, PRICE + CENT);
    apply_quietly(asking(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE), SELF_MATCH_CANCEL_NEWEST));
    apply(keeping(command_replace(ALICE, 2, 3, 100, PRICE + CENT), KEPT_ALL));
    expect_no_fill();
    skip_events();
    cr_assert_eq(resting(ALICE, 1).order_ref, own);
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
