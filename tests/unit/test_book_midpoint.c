// SPDX-License-Identifier: MIT
//
// The rules of midpoint orders, one example each: at what price they trade, with whom, and what
// they do when the midpoint moves. Every command goes to the book and to the reference; both must
// give exactly the events that are written here.
#include "tests/unit/special_examples.h"

#define MID (PRICE + 2 * CENT) // of the market below

TestSuite(book_midpoint, .init = set_up, .fini = finish);

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

Test(book_midpoint, a_midpoint_order_trades_at_the_midpoint_whatever_the_limits_are)
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

Test(book_midpoint, a_midpoint_order_beyond_its_limit_waits_until_the_market_moves)
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

Test(book_midpoint, a_replacement_of_the_displayed_sale_moves_the_midpoint)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 4 * CENT);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    apply_quietly(command_replace(BOB, 2, 3, 100, PRICE + 6 * CENT));
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE + 3 * CENT));
    EXPECT_FILLS({maker, 100, PRICE + 3 * CENT, 'k', 'm'});
    skip_events();
}

Test(book_midpoint, a_midpoint_order_is_live_at_its_limit_and_not_beyond)
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

Test(book_midpoint, a_limit_that_does_not_reach_the_midpoint_does_not_trade_there)
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

Test(book_midpoint, the_midpoint_is_rounded_down)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 3);
    enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 2);
    uint64_t sale = enter_midpoint(CAROL, 2, SIDE_SELL, 100, PRICE + 1);
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 200, PRICE + 2));
    EXPECT_FILLS({sale, 100, PRICE + 1, 'k', 'm'});
    skip_events();
}

Test(book_midpoint, there_is_no_midpoint_inside_the_smallest_spread)
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

Test(book_midpoint, the_midpoint_of_the_lowest_prices_is_never_zero)
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

Test(book_midpoint, the_midpoint_of_the_largest_prices_is_between_them)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE_MAX - 3);
    enter(BOB, 2, SIDE_SELL, 100, PRICE_MAX);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_BUY, 100, PRICE_MAX);
    apply(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE_MAX - 2));
    EXPECT_FILLS({maker, 100, PRICE_MAX - 2, 'k', 'm'});
    skip_events();
}

Test(book_midpoint, the_midpoint_of_a_market_of_extremes_is_the_middle)
{
    enter(BOB, 1, SIDE_BUY, 100, 1);
    enter(BOB, 2, SIDE_SELL, 100, PRICE_MAX);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 100, 1);
    apply(command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE_MAX));
    EXPECT_FILLS({maker, 100, (PRICE_MAX + 1) / 2, 'k', 'm'});
    skip_events();
}

Test(book_midpoint, without_two_displayed_sides_midpoint_orders_wait)
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

Test(book_midpoint, a_waiting_midpoint_order_does_not_take_even_the_best_price_there_can_be)
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

Test(book_midpoint, a_midpoint_order_that_may_not_wait_is_canceled)
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

Test(book_midpoint, midpoint_orders_that_contradict_themselves_are_rejected)
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

Test(book_midpoint, midpoint_orders_are_ranked_by_limit_then_time)
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

Test(book_midpoint, at_the_midpoint_hidden_orders_come_before_midpoint_orders)
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

Test(book_midpoint, matching_keeps_the_midpoint_it_began_with)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    uint64_t near = resting(BOB, 2).order_ref, far = resting(BOB, 3).order_ref;
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 200, PRICE + 6 * CENT));
    EXPECT_FILLS({near, 100, PRICE + 4 * CENT, 'A', 'R'}, {far, 100, PRICE + 6 * CENT, 'A', 'R'});
    skip_events();
    cr_assert(rests(CAROL, 1));
}

Test(book_midpoint, a_replacement_meets_the_midpoint_that_is_left_without_the_old_order)
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

Test(book_midpoint, a_replacement_of_the_only_displayed_order_meets_no_midpoint)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 60, PRICE);
    apply(command_replace(BOB, 1, 4, 100, PRICE + 3 * CENT));
    expect_no_fill();
    skip_events();
    cr_assert(rests(BOB, 4) && rests(CAROL, 1));
}

Test(book_midpoint, a_live_midpoint_order_comes_in_as_a_limit_order_at_the_midpoint)
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

Test(book_midpoint, post_only_minds_live_midpoint_orders_and_not_waiting_ones)
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

Test(book_midpoint, a_minimum_counts_live_midpoint_orders_and_not_waiting_ones)
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

Test(book_midpoint, the_minimum_of_a_midpoint_order_counts_what_the_midpoint_accepts)
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

Test(book_midpoint, prevention_at_the_midpoint_cancels_the_newest)
{
    uint64_t old, ref = meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_NEWEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 2, .quantity = 150,
           .prevented = 100, .price = MID, .code = 'm', .trade.order_ref = ref,
           .trade.match_number = SELF_MATCH_CANCEL_NEWEST);
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

Test(book_midpoint, prevention_at_the_midpoint_cancels_the_oldest_unseen)
{
    uint64_t old, ref = meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_OLDEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .prevented = 100, .price = MID, .code = 'k', .trade.order_ref = old,
           .trade.match_number = SELF_MATCH_CANCEL_OLDEST);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 150, .price = PRICE + 3 * CENT,
                .trade.order_ref = ref);
}

Test(book_midpoint, prevention_at_the_midpoint_decrements_both)
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

Test(book_midpoint, prevention_at_the_midpoint_cancels_both)
{
    uint64_t old;
    meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_BOTH, &old);
    expect_no_fill();
    skip_events();
    cr_assert(!rests(ALICE, 1) && !rests(ALICE, 2));
}

Test(book_midpoint, a_midpoint_order_is_replaced_unseen_and_loses_its_place)
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

Test(book_midpoint, a_midpoint_order_may_be_replaced_by_a_displayed_one_and_back)
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

Test(book_midpoint, a_canceled_midpoint_order_keeps_its_place_and_is_not_on_the_feed)
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

Test(book_midpoint, the_end_cancels_midpoint_orders_after_their_sides_others_by_limit_and_time)
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

Test(book_midpoint, a_moved_midpoint_lets_a_midpoint_purchase_take_a_hidden_sale)
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

Test(book_midpoint, a_moved_midpoint_lets_a_midpoint_sale_take_a_hidden_purchase)
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

Test(book_midpoint, of_two_midpoint_orders_the_one_with_the_higher_reference_takes)
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

Test(book_midpoint, of_two_midpoint_orders_the_earlier_one_makes_on_either_side)
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

Test(book_midpoint, a_moved_midpoint_is_settled_with_hidden_sales_first_until_nothing_trades)
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

Test(book_midpoint, a_moved_midpoint_is_settled_with_hidden_purchases_before_midpoint_purchases)
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

Test(book_midpoint, a_displayed_order_that_comes_to_rest_moves_the_midpoint_too)
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

Test(book_midpoint, when_settling_prevention_is_what_the_taking_order_asks_for)
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

Test(book_midpoint, when_settling_what_the_making_order_asks_for_does_not_count)
{
    show_market();
    uint64_t maker = apply_quietly(asking(
        command_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE + 3 * CENT), SELF_MATCH_CANCEL_BOTH));
    enter_midpoint(ALICE, 2, SIDE_BUY, 100, PRICE + 9 * CENT);
    raise_midpoint();
    EXPECT_FILLS({maker, 100, PRICE + 3 * CENT, 'k', 'm'});
    skip_events();
}

Test(book_midpoint, when_settling_the_midpoint_order_takes_hidden_ones_that_came_later)
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
