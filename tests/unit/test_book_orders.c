// SPDX-License-Identifier: MIT
//
// The rules for orders, one example each: entering, matching, replacing, cancelling, modifying.
// Every command goes to the book and to the reference; both must give exactly the events that are
// written here. The special orders and commands: test_book_special.c, test_book_midpoint.c,
// test_book_cancels.c.
#include "tests/unit/book_examples.h"

TestSuite(book_orders, .init = set_up, .fini = finish);

// ENTER

Test(book_orders, an_order_is_accepted_rests_and_is_shown_on_the_feed)
{
    struct command command = command_enter(ALICE, 1, SIDE_SELL_SHORT, 100, PRICE);
    memcpy(command.order.client_order_id, "order-number-1", 14);
    memcpy(command.order.firm, "XRAY", 4);
    command.order.attributes.capacity = CAPACITY_PRINCIPAL;
    command.order.attributes.sweep = 1;
    command.order.attributes.auction = 1; // the book's to say
    command.instrument = 1;
    uint64_t ref = apply(command);
    struct event accepted = {.type = EVENT_ACCEPTED,
                             .user_ref_num = 1,
                             .quantity = 100,
                             .price = PRICE,
                             .instrument = 1,
                             .side = SIDE_SELL_SHORT,
                             .firm = "XRAY",
                             .order.attributes = {.capacity = CAPACITY_PRINCIPAL, .sweep = 1}};
    memcpy(accepted.order.client_order_id, "order-number-1", 14);
    expect_event(__LINE__, accepted);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 100, .price = PRICE, .instrument = 1,
                .side = SIDE_SELL, .trade.order_ref = ref);
    struct book_order order = resting(ALICE, 1);
    cr_assert_eq(order.order_ref, ref);
    cr_assert_eq(order.quantity, 100);
    cr_assert_eq(order.side, SIDE_SELL_SHORT);
    cr_assert_eq(book_depth_at(book, 1, SIDE_SELL, PRICE), 100);
}

Test(book_orders, a_number_not_above_the_last_is_ignored)
{
    enter(ALICE, 5, SIDE_BUY, 100, PRICE);
    apply(command_enter(ALICE, 5, SIDE_BUY, 100, PRICE));
    expect_nothing();
    apply(command_enter(ALICE, 4, SIDE_BUY, 100, PRICE));
    expect_nothing();
    enter(ALICE, 9, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 9), "gaps are allowed");
}

Test(book_orders, number_zero_is_never_above_the_last)
{
    apply(command_enter(ALICE, 0, SIDE_BUY, 100, PRICE));
    expect_nothing();
}

Test(book_orders, every_session_and_channel_has_numbers_of_its_own)
{
    enter(ALICE, 5, SIDE_BUY, 1, PRICE);
    enter(BOB, 1, SIDE_BUY, 2, PRICE);
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 3, PRICE);
    command.user_ref_index = 255;
    apply_quietly(command);
    cr_assert_eq(events[0].user_ref_index, 255);
    struct book_order order;
    cr_assert(book_find_user_ref(book, ALICE, 255, 1, &order));
    cr_assert_eq(order.quantity, 3);
    cr_assert(!book_find_user_ref(book, ALICE, 0, 1, &order));
    cr_assert_eq(resting(BOB, 1).quantity, 2);
}

Test(book_orders, a_rejection_consumes_the_number)
{
    expect_rejected(command_enter(ALICE, 3, SIDE_BUY, 0, PRICE), REJECT_INVALID_QUANTITY);
    apply(command_enter(ALICE, 3, SIDE_BUY, 100, PRICE));
    expect_nothing();
}

Test(book_orders, a_verdict_of_the_port_is_answered_as_it_is)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.verdict = REJECT_INVALID_PEG;
    command.user_ref_index = 7;
    expect_rejected(command, REJECT_INVALID_PEG);
}

Test(book_orders, an_unlisted_instrument_is_rejected)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.instrument = 2;
    expect_rejected(command, REJECT_INVALID_SYMBOL);
    command.order.user_ref_num = 2;
    command.instrument = NO_INSTRUMENT;
    expect_rejected(command, REJECT_INVALID_SYMBOL);
}

Test(book_orders, an_unknown_side_is_rejected)
{
    expect_rejected(command_enter(ALICE, 1, (enum side)4, 100, PRICE), REJECT_INVALID_SIDE);
}

Test(book_orders, quantities_from_one_to_the_largest_are_accepted)
{
    expect_rejected(command_enter(ALICE, 1, SIDE_BUY, 0, PRICE), REJECT_INVALID_QUANTITY);
    expect_rejected(command_enter(ALICE, 2, SIDE_BUY, QUANTITY_MAX + 1, PRICE),
                    REJECT_INVALID_QUANTITY);
    enter(ALICE, 3, SIDE_BUY, QUANTITY_MAX, PRICE);
    cr_assert_eq(resting(ALICE, 3).quantity, QUANTITY_MAX);
}

Test(book_orders, prices_from_the_smallest_to_the_largest_are_accepted)
{
    expect_rejected(command_enter(ALICE, 1, SIDE_BUY, 1, 0), REJECT_INVALID_PRICE);
    expect_rejected(command_enter(ALICE, 2, SIDE_BUY, 1, PRICE_MAX + 1), REJECT_INVALID_PRICE);
    expect_rejected(command_enter(ALICE, 3, SIDE_BUY, 1, PRICE_MARKET - 1), REJECT_INVALID_PRICE);
    expect_rejected(command_enter(ALICE, 4, SIDE_BUY, 1, PRICE_MARKET + 1), REJECT_INVALID_PRICE);
    enter(ALICE, 5, SIDE_BUY, 1, 1);
    enter(ALICE, 6, SIDE_SELL, 1, PRICE_MAX);
    cr_assert(rests(ALICE, 5) && rests(ALICE, 6));
}

Test(book_orders, an_unknown_display_is_rejected)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.display = 3;
    expect_rejected(command, REJECT_INVALID_DISPLAY);
}

Test(book_orders, other_times_in_force_and_gtt_without_seconds_are_rejected)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    for (unsigned time_in_force = TIF_GTX; time_in_force < 8; time_in_force++) {
        command.order.attributes.time_in_force = time_in_force & 7;
        expect_rejected(command, REJECT_OTHER);
        command.order.user_ref_num++;
    }
}

Test(book_orders, a_full_book_rejects_even_what_would_execute)
{
    for (uint32_t i = 1; i <= ORDERS_MAX; i++)
        enter(ALICE, i, SIDE_BUY, 100, PRICE);
    struct command command = command_enter(BOB, 1, SIDE_SELL, 100, PRICE);
    command.order.attributes.time_in_force = TIF_IOC;
    expect_rejected(command, REJECT_PROCESSING_ERROR);
    apply_quietly(command_cancel(ALICE, 3, 0));
    command.order.user_ref_num = 2;
    apply_quietly(command);
    cr_assert_eq(events[0].type, EVENT_ACCEPTED);
}

Test(book_orders, the_first_reason_that_applies_is_given)
{
    for (uint32_t i = 1; i <= ORDERS_MAX; i++)
        enter(BOB, i, SIDE_BUY, 100, PRICE);
    struct command command = command_enter(ALICE, 1, (enum side)9, 0, 0);
    command.verdict = REJECT_HALTED;
    command.instrument = NO_INSTRUMENT;
    command.order.attributes.display = 3;
    command.order.attributes.time_in_force = TIF_GTX;
    expect_rejected(command, REJECT_HALTED);
    command.verdict = REJECT_NONE, command.order.user_ref_num++;
    expect_rejected(command, REJECT_INVALID_SYMBOL);
    command.instrument = 0, command.order.user_ref_num++;
    expect_rejected(command, REJECT_INVALID_SIDE);
    command.side = SIDE_BUY, command.order.user_ref_num++;
    expect_rejected(command, REJECT_INVALID_QUANTITY);
    command.order.quantity = 1, command.order.user_ref_num++;
    expect_rejected(command, REJECT_INVALID_PRICE);
    command.order.price = PRICE, command.order.user_ref_num++;
    expect_rejected(command, REJECT_INVALID_DISPLAY);
    command.order.attributes.display = DISPLAY_HIDDEN, command.order.user_ref_num++;
    expect_rejected(command, REJECT_OTHER);
    command.order.attributes.time_in_force = TIF_DAY, command.order.user_ref_num++;
    expect_rejected(command, REJECT_PROCESSING_ERROR);
}

Test(book_orders, after_the_close_orders_are_rejected_as_closed)
{
    apply_quietly(command_close);
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 0, 0);
    command.instrument = NO_INSTRUMENT;
    expect_rejected(command, REJECT_DESTINATION_CLOSED);
}

Test(book_orders, what_an_immediate_order_does_not_execute_is_cancelled)
{
    enter(BOB, 1, SIDE_SELL, 40, PRICE);
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.time_in_force = TIF_IOC;
    uint64_t ref = apply(command);
    cr_assert_eq(event_count, 5);
    expected_count = 4;
    stream_seqs[ALICE] += 2, stream_seqs[BOB]++, feed_seq++;
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .quantity = 60,
           .price = PRICE, .code = 'I', .trade.order_ref = ref);
    cr_assert(!rests(ALICE, 1));
}

Test(book_orders, a_market_order_takes_any_price_and_never_rests)
{
    enter(BOB, 1, SIDE_BUY, 10, 1);
    uint64_t ref = apply(command_enter(ALICE, 1, SIDE_SELL, 30, PRICE_MARKET));
    cr_assert_eq(event_count, 5);
    cr_assert_eq(events[2].price, 1);
    expected_count = 4;
    stream_seqs[ALICE] += 2, stream_seqs[BOB]++, feed_seq++;
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 20, .price = PRICE_MARKET, .code = 'I', .trade.order_ref = ref);
    enter(BOB, 2, SIDE_SELL, 10, PRICE_MAX);
    enter(ALICE, 2, SIDE_BUY, 10, PRICE_MARKET);
    cr_assert(!rests(BOB, 2));
}

Test(book_orders, hidden_orders_rest_unseen)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply(command);
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .order.attributes.display = DISPLAY_HIDDEN);
    struct book_level level;
    cr_assert(rests(ALICE, 1));
    cr_assert(!book_best(book, 0, SIDE_BUY, &level));
    cr_assert_eq(level.price, 0);
    cr_assert_eq(book_depth(book, 0, SIDE_BUY, &level, 1), 0);
    cr_assert_eq(book_depth_at(book, 0, SIDE_BUY, PRICE), 0);
}

Test(book_orders, attributable_orders_show_their_firm_or_else_their_sessions)
{
    struct command command = command_enter(BOB, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.display = DISPLAY_ATTRIBUTABLE;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_ACCEPTED, .session = BOB, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .order.attributes.display = DISPLAY_ATTRIBUTABLE);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 100, .price = PRICE, .firm = "BRAV",
                .trade.order_ref = ref);
    command.order.user_ref_num = 2;
    memcpy(command.order.firm, "XRAY", 4);
    ref = apply(command);
    EXPECT(.type = EVENT_ACCEPTED, .session = BOB, .user_ref_num = 2, .quantity = 100,
           .price = PRICE, .firm = "XRAY", .order.attributes.display = DISPLAY_ATTRIBUTABLE);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 100, .price = PRICE, .firm = "XRAY",
                .trade.order_ref = ref);
}

// Matching

Test(book_orders, a_match_is_told_to_maker_taker_and_feed_at_the_makers_price)
{
    uint64_t maker = enter(BOB, 7, SIDE_SELL_SHORT, 100, PRICE);
    apply(command_enter(ALICE, 1, SIDE_BUY, 30, PRICE + CENT));
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .quantity = 30,
           .price = PRICE + CENT);
    EXPECT(.type = EVENT_EXECUTED, .session = BOB, .user_ref_num = 7, .quantity = 30,
           .price = PRICE, .side = SIDE_SELL_SHORT, .code = 'A', .trade = {maker, 1});
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 30,
           .price = PRICE, .side = SIDE_BUY, .code = 'R', .trade = {maker, 1});
    EXPECT_FEED(.type = EVENT_FEED_EXECUTED, .quantity = 30, .price = PRICE, .side = SIDE_SELL,
                .trade = {maker, 1});
    struct book_order order = resting(BOB, 7);
    cr_assert_eq(order.quantity, 70);
    cr_assert_eq(order.executed, 30);
}

Test(book_orders, a_match_with_a_hidden_order_is_a_trade_without_reference_on_the_feed)
{
    uint64_t maker = enter_hidden(BOB, 1, SIDE_BUY, 100, PRICE);
    apply(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE));
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .side = SIDE_SELL);
    EXPECT(.type = EVENT_EXECUTED, .session = BOB, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .side = SIDE_BUY, .code = 'J', .trade = {maker, 1});
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .side = SIDE_SELL, .code = 'R', .trade = {maker, 1});
    EXPECT_FEED(.type = EVENT_FEED_TRADE, .quantity = 100, .price = PRICE, .side = SIDE_BUY,
                .trade = {0, 1});
    cr_assert(!rests(BOB, 1));
}

// The makers, in the order of their executions by the last command.
static void expect_makers(const uint64_t *refs, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < event_count; i++) {
        if (events[i].type != EVENT_EXECUTED || events[i].code != 'R')
            continue;
        cr_assert_lt(found, count);
        cr_assert_eq(events[i].trade.order_ref, refs[found], "match %zu is with %zu", found,
                     (size_t)events[i].trade.order_ref);
        found++;
    }
    cr_assert_eq(found, count);
}

Test(book_orders, better_prices_come_first_then_displayed_orders_then_earlier_ones)
{
    uint64_t hidden_early = enter_hidden(BOB, 1, SIDE_SELL, 10, PRICE);
    uint64_t early = enter(BOB, 2, SIDE_SELL, 10, PRICE);
    uint64_t hidden_late = enter_hidden(CAROL, 1, SIDE_SELL, 10, PRICE);
    uint64_t late = enter(CAROL, 2, SIDE_SELL, 10, PRICE);
    uint64_t worse = enter(BOB, 3, SIDE_SELL, 10, PRICE + CENT);
    uint64_t better = enter_hidden(BOB, 4, SIDE_SELL, 10, PRICE - CENT);
    enter(ALICE, 1, SIDE_BUY, 60, PRICE + CENT);
    const uint64_t order[] = {better, early, late, hidden_early, hidden_late, worse};
    expect_makers(order, 6);
}

Test(book_orders, attributable_orders_stand_in_line_with_visible_ones)
{
    uint64_t visible = enter(BOB, 1, SIDE_BUY, 10, PRICE);
    struct command command = command_enter(CAROL, 1, SIDE_BUY, 10, PRICE);
    command.order.attributes.display = DISPLAY_ATTRIBUTABLE;
    uint64_t attributable = apply_quietly(command);
    uint64_t last = enter(BOB, 2, SIDE_BUY, 10, PRICE);
    enter(ALICE, 1, SIDE_SELL, 30, PRICE);
    const uint64_t order[] = {visible, attributable, last};
    expect_makers(order, 3);
}

Test(book_orders, an_order_executed_in_part_keeps_its_place)
{
    uint64_t first = enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(CAROL, 1, SIDE_BUY, 100, PRICE);
    enter(ALICE, 1, SIDE_SELL, 10, PRICE);
    enter(ALICE, 2, SIDE_SELL, 10, PRICE);
    expect_makers(&first, 1);
}

Test(book_orders, a_limit_is_never_traded_through)
{
    enter(BOB, 1, SIDE_SELL, 10, PRICE);
    enter(BOB, 2, SIDE_SELL, 10, PRICE + CENT);
    enter(ALICE, 1, SIDE_BUY, 30, PRICE);
    cr_assert_eq(resting(ALICE, 1).quantity, 20);
    cr_assert_eq(resting(ALICE, 1).executed, 10);
    cr_assert_eq(resting(BOB, 2).quantity, 10);
    struct book_level bid, offer;
    cr_assert(book_best(book, 0, SIDE_BUY, &bid) && book_best(book, 0, SIDE_SELL, &offer));
    cr_assert_eq(bid.price, PRICE);
    cr_assert_eq(offer.price, PRICE + CENT);
}

Test(book_orders, instruments_do_not_match_each_other)
{
    enter(BOB, 1, SIDE_SELL, 10, PRICE);
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 10, PRICE);
    command.instrument = 1;
    apply_quietly(command);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
}

Test(book_orders, a_session_may_execute_against_itself)
{
    enter(ALICE, 1, SIDE_SELL, 10, PRICE);
    enter(ALICE, 2, SIDE_BUY, 10, PRICE);
    cr_assert_eq(event_count, 4);
    cr_assert_eq(events[1].user_ref_num, 1);
    cr_assert_eq(events[2].user_ref_num, 2);
}

Test(book_orders, match_numbers_count_from_one)
{
    for (uint32_t i = 1; i <= 3; i++)
        enter(BOB, i, SIDE_SELL, 10, PRICE);
    enter(ALICE, 1, SIDE_BUY, 20, PRICE);
    cr_assert_eq(events[1].trade.match_number, 1);
    cr_assert_eq(events[4].trade.match_number, 2);
    enter(ALICE, 2, SIDE_BUY, 10, PRICE);
    cr_assert_eq(events[1].trade.match_number, 3);
}

// REPLACE

Test(book_orders, a_displayed_order_is_replaced_in_one_message_of_the_feed)
{
    struct command first = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    first.order.attributes.capacity = CAPACITY_RISKLESS; // of which a REPLACE cannot speak
    uint64_t old = apply_quietly(first);
    struct command command = command_replace(ALICE, 1, 2, 150, PRICE - CENT);
    memcpy(command.order.client_order_id, "second", 6);
    command.order.attributes.auction = 1;
    command.side = SIDE_SELL;
    command.instrument = 1;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 150, .price = PRICE - CENT, .order.client_order_id = "second",
           .order.attributes.capacity = CAPACITY_RISKLESS);
    EXPECT_FEED(.type = EVENT_FEED_REPLACE, .quantity = 150, .price = PRICE - CENT,
                .trade.order_ref = old);
    cr_assert(!rests(ALICE, 1));
    cr_assert_eq(resting(ALICE, 2).order_ref, ref);
}

Test(book_orders, a_replacement_counts_what_the_chain_has_executed)
{
    enter(ALICE, 1, SIDE_BUY, 500, PRICE);
    enter(BOB, 1, SIDE_SELL, 100, PRICE);
    apply_quietly(command_replace(ALICE, 1, 2, 500, PRICE));
    cr_assert_eq(events[0].quantity, 400);
    struct book_order order = resting(ALICE, 2);
    cr_assert_eq(order.quantity, 400);
    cr_assert_eq(order.executed, 100);
    enter(BOB, 2, SIDE_SELL, 50, PRICE);
    apply_quietly(command_replace(ALICE, 2, 3, 151, PRICE));
    cr_assert_eq(resting(ALICE, 3).quantity, 1);
    cr_assert_eq(resting(ALICE, 3).executed, 150);
}

Test(book_orders, a_replacement_loses_its_place)
{
    enter(ALICE, 1, SIDE_BUY, 10, PRICE);
    uint64_t second = enter(BOB, 1, SIDE_BUY, 10, PRICE);
    uint64_t replaced = apply_quietly(command_replace(ALICE, 1, 2, 10, PRICE));
    enter(CAROL, 1, SIDE_SELL, 20, PRICE);
    const uint64_t order[] = {second, replaced};
    expect_makers(order, 2);
}

Test(book_orders, replacing_what_is_not_live_is_ignored_and_consumes_nothing)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply(command_replace(BOB, 1, 2, 100, PRICE));
    expect_nothing();
    apply(command_replace(ALICE, 2, 3, 100, PRICE));
    expect_nothing();
    struct command other_channel = command_replace(ALICE, 1, 2, 100, PRICE);
    other_channel.user_ref_index = 1;
    apply(other_channel);
    expect_nothing();
    cr_assert_eq(last_number(ALICE), 1);
}

Test(book_orders, a_replacement_with_a_used_number_is_ignored)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(ALICE, 2, SIDE_BUY, 100, PRICE);
    apply(command_replace(ALICE, 1, 2, 50, PRICE));
    expect_nothing();
    struct command invalid = command_replace(ALICE, 1, 2, 0, PRICE);
    apply(invalid);
    expect_nothing();
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

// An order of 100 of which 40 are executed, replaced by `command`, is cancelled.
static void expect_replacement_cancels(struct command command)
{
    static uint32_t number = 0;
    number += 2;
    uint64_t ref = enter(ALICE, number, SIDE_SELL, 100, PRICE);
    enter(BOB, number, SIDE_BUY, 40, PRICE);
    command.order.orig_user_ref_num = number;
    command.order.user_ref_num = number + 1;
    apply(command);
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = number, .side = SIDE_SELL,
           .quantity = 60, .price = PRICE, .code = 'U', .trade.order_ref = ref);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .side = SIDE_SELL, .quantity = 60, .price = PRICE,
                .trade.order_ref = ref);
    cr_assert(!rests(ALICE, number));
    cr_assert_eq(last_number(ALICE), number, "the number is not consumed");
}

Test(book_orders, an_invalid_replacement_cancels_the_order)
{
    struct command command = command_replace(ALICE, 0, 0, 100, PRICE + CENT);
    command.verdict = REJECT_HALTED;
    expect_replacement_cancels(command);
    expect_replacement_cancels(command_replace(ALICE, 0, 0, 0, PRICE + CENT));
    expect_replacement_cancels(command_replace(ALICE, 0, 0, QUANTITY_MAX + 1, PRICE + CENT));
    expect_replacement_cancels(command_replace(ALICE, 0, 0, 100, 0));
    expect_replacement_cancels(command_replace(ALICE, 0, 0, 100, PRICE_MAX + 1));
    command = command_replace(ALICE, 0, 0, 100, PRICE + CENT);
    command.order.attributes.display = 3;
    expect_replacement_cancels(command);
    command = command_replace(ALICE, 0, 0, 100, PRICE + CENT);
    command.order.attributes.time_in_force = TIF_GTT;
    expect_replacement_cancels(command);
}

Test(book_orders, a_replacement_by_no_more_than_was_executed_cancels_the_order)
{
    expect_replacement_cancels(command_replace(ALICE, 0, 0, 40, PRICE + CENT));
    expect_replacement_cancels(command_replace(ALICE, 0, 0, 39, PRICE + CENT));
}

Test(book_orders, an_invalid_replacement_of_a_hidden_order_is_not_on_the_feed)
{
    uint64_t ref = enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply(command_replace(ALICE, 1, 2, 0, PRICE));
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'U', .trade.order_ref = ref);
}

Test(book_orders, a_replacement_that_crosses_is_deleted_matched_and_added)
{
    uint64_t maker = enter(BOB, 1, SIDE_SELL, 30, PRICE + CENT);
    uint64_t old = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    uint64_t ref = apply(command_replace(ALICE, 1, 2, 100, PRICE + CENT));
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 100, .price = PRICE + CENT);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 100, .price = PRICE, .trade.order_ref = old);
    EXPECT(.type = EVENT_EXECUTED, .session = BOB, .user_ref_num = 1, .quantity = 30,
           .price = PRICE + CENT, .side = SIDE_SELL, .code = 'A', .trade = {maker, 1});
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 2, .quantity = 30,
           .price = PRICE + CENT, .code = 'R', .trade = {maker, 1});
    EXPECT_FEED(.type = EVENT_FEED_EXECUTED, .quantity = 30, .price = PRICE + CENT,
                .side = SIDE_SELL, .trade = {maker, 1});
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 70, .price = PRICE + CENT,
                .trade.order_ref = ref);
    cr_assert_eq(resting(ALICE, 2).executed, 30);
}

Test(book_orders, a_replacement_that_meets_only_hidden_orders_crosses_too)
{
    enter_hidden(BOB, 1, SIDE_SELL, 100, PRICE + CENT);
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_replace(ALICE, 1, 2, 100, PRICE + CENT));
    cr_assert_eq(event_count, 5);
    cr_assert_eq(events[1].type, EVENT_FEED_DELETE);
    cr_assert_eq(events[4].type, EVENT_FEED_TRADE);
    cr_assert(!rests(ALICE, 2) && !rests(BOB, 1));
}

Test(book_orders, a_replacement_that_hides_is_deleted_from_the_feed)
{
    uint64_t old = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = command_replace(ALICE, 1, 2, 80, PRICE);
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 80, .price = PRICE, .order.attributes.display = DISPLAY_HIDDEN);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 100, .price = PRICE, .trade.order_ref = old);
    cr_assert_eq(book_depth_at(book, 0, SIDE_BUY, PRICE), 0);
}

Test(book_orders, a_replacement_that_shows_is_added_to_the_feed)
{
    enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    uint64_t ref = apply(command_replace(ALICE, 1, 2, 80, PRICE));
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 80, .price = PRICE);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 80, .price = PRICE, .trade.order_ref = ref);
}

Test(book_orders, a_hidden_order_is_replaced_by_a_hidden_one_unseen)
{
    enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = command_replace(ALICE, 1, 2, 80, PRICE);
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 80, .price = PRICE, .order.attributes.display = DISPLAY_HIDDEN);
}

Test(book_orders, a_replacement_that_becomes_attributable_is_deleted_and_added)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    memcpy(command.order.firm, "XRAY", 4);
    uint64_t old = apply_quietly(command);
    command = command_replace(ALICE, 1, 2, 80, PRICE);
    command.order.attributes.display = DISPLAY_ATTRIBUTABLE;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 80, .price = PRICE, .order.attributes.display = DISPLAY_ATTRIBUTABLE);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 100, .price = PRICE, .trade.order_ref = old);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 80, .price = PRICE, .firm = "XRAY",
                .trade.order_ref = ref);
}

Test(book_orders, an_immediate_replacement_that_meets_nobody_is_deleted_and_cancelled)
{
    uint64_t old = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = command_replace(ALICE, 1, 2, 80, PRICE);
    command.order.attributes.time_in_force = TIF_IOC;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 80, .price = PRICE, .order.attributes.time_in_force = TIF_IOC);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 100, .price = PRICE, .trade.order_ref = old);
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 2, .quantity = 80,
           .price = PRICE, .code = 'I', .trade.order_ref = ref);
}

Test(book_orders, a_replacement_at_market_never_rests)
{
    uint64_t old = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    uint64_t ref = apply(command_replace(ALICE, 1, 2, 100, PRICE_MARKET));
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 100, .price = PRICE_MARKET);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 100, .price = PRICE, .trade.order_ref = old);
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 2, .quantity = 100,
           .price = PRICE_MARKET, .code = 'I', .trade.order_ref = ref);
}

Test(book_orders, a_full_book_still_replaces)
{
    for (uint32_t i = 1; i <= ORDERS_MAX; i++)
        enter(ALICE, i, SIDE_BUY, 100, PRICE);
    apply_quietly(command_replace(ALICE, 4, ORDERS_MAX + 1, 100, PRICE));
    cr_assert(rests(ALICE, ORDERS_MAX + 1) && !rests(ALICE, 4));
}

// CANCEL

Test(book_orders, cancel_names_the_total_that_is_to_remain)
{
    uint64_t ref = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 1, SIDE_SELL, 30, PRICE);
    apply(command_cancel(ALICE, 1, 80));
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .quantity = 20,
           .price = PRICE, .code = 'U', .trade.order_ref = ref);
    EXPECT_FEED(.type = EVENT_FEED_CANCEL, .quantity = 20, .price = PRICE, .trade.order_ref = ref);
    cr_assert_eq(resting(ALICE, 1).quantity, 50);
}

Test(book_orders, cancel_to_what_was_executed_or_less_removes_the_order)
{
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t ref = enter(ALICE, i + 1, SIDE_BUY, 100, PRICE);
        enter(BOB, i + 1, SIDE_SELL, 30, PRICE);
        apply(command_cancel(ALICE, i + 1, 15 * i));
        EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = i + 1, .quantity = 70,
               .price = PRICE, .code = 'U', .trade.order_ref = ref);
        EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 70, .price = PRICE,
                    .trade.order_ref = ref);
        cr_assert(!rests(ALICE, i + 1));
    }
}

Test(book_orders, cancels_of_hidden_orders_are_not_on_the_feed)
{
    enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 1, 60));
    cr_assert_eq(event_count, 1);
    apply_quietly(command_cancel(ALICE, 1, 0));
    cr_assert_eq(event_count, 1);
}

Test(book_orders, a_cancel_that_changes_nothing_is_ignored)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 1, SIDE_SELL, 30, PRICE);
    apply(command_cancel(ALICE, 1, 100));
    expect_nothing();
    apply(command_cancel(ALICE, 1, UINT32_MAX));
    expect_nothing();
    apply(command_cancel(ALICE, 2, 0));
    expect_nothing();
    apply(command_cancel(BOB, 1, 0));
    expect_nothing();
    struct command refused = command_cancel(ALICE, 1, 0);
    refused.verdict = REJECT_OTHER;
    apply(refused);
    expect_nothing();
    cr_assert_eq(resting(ALICE, 1).quantity, 70);
}

Test(book_orders, a_cancelled_order_is_gone_and_its_number_used)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 1, 0));
    apply(command_cancel(ALICE, 1, 0));
    expect_nothing();
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE));
    expect_nothing();
}

Test(book_orders, a_reduced_order_keeps_its_place)
{
    uint64_t first = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 1, 50));
    apply_quietly(command_modify(ALICE, 1, SIDE_BUY, 40));
    enter(CAROL, 1, SIDE_SELL, 10, PRICE);
    expect_makers(&first, 1);
}

// MODIFY

Test(book_orders, modify_reduces_and_answers_with_what_is_open)
{
    uint64_t ref = enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    enter(BOB, 1, SIDE_BUY, 30, PRICE);
    apply(command_modify(ALICE, 1, SIDE_SELL_SHORT, 80));
    EXPECT(.type = EVENT_MODIFIED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL_SHORT,
           .quantity = 50, .price = PRICE, .trade.order_ref = ref);
    EXPECT_FEED(.type = EVENT_FEED_CANCEL, .side = SIDE_SELL, .quantity = 20, .price = PRICE,
                .trade.order_ref = ref);
    cr_assert_eq(resting(ALICE, 1).side, SIDE_SELL_SHORT);
}

Test(book_orders, modify_of_the_side_alone_is_not_on_the_feed)
{
    uint64_t ref = enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    apply(command_modify(ALICE, 1, SIDE_SELL_SHORT_EXEMPT, 100));
    EXPECT(.type = EVENT_MODIFIED, .session = ALICE, .user_ref_num = 1,
           .side = SIDE_SELL_SHORT_EXEMPT, .quantity = 100, .price = PRICE, .trade.order_ref = ref);
}

Test(book_orders, modify_to_what_was_executed_cancels_with_the_old_side)
{
    uint64_t ref = enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    enter(BOB, 1, SIDE_BUY, 30, PRICE);
    apply(command_modify(ALICE, 1, SIDE_SELL_SHORT, 30));
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 70, .price = PRICE, .code = 'U', .trade.order_ref = ref);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .side = SIDE_SELL, .quantity = 70, .price = PRICE,
                .trade.order_ref = ref);
    cr_assert(!rests(ALICE, 1));
}

Test(book_orders, sides_change_only_from_sell_to_short_and_exempt_and_from_exempt_to_short)
{
    for (uint32_t from = SIDE_BUY; from <= SIDE_SELL_SHORT_EXEMPT; from++) {
        for (uint32_t to = 0; to < 6; to++) {
            uint32_t number = 1 + from * 6 + to;
            enter(ALICE, number, (enum side)from, 100, PRICE);
            apply_quietly(command_modify(ALICE, number, (enum side)to, 90));
            bool allowed =
                from == to ||
                (from == SIDE_SELL && (to == SIDE_SELL_SHORT || to == SIDE_SELL_SHORT_EXEMPT)) ||
                (from == SIDE_SELL_SHORT_EXEMPT && to == SIDE_SELL_SHORT);
            cr_assert_eq(resting(ALICE, number).quantity, allowed ? 90 : 100, "%u to %u", from, to);
            cr_assert_eq(resting(ALICE, number).side, allowed ? to : from);
            apply_quietly(command_cancel(ALICE, number, 0));
        }
    }
}

Test(book_orders, a_modify_that_changes_nothing_is_ignored)
{
    enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    enter(BOB, 1, SIDE_BUY, 30, PRICE);
    apply(command_modify(ALICE, 1, SIDE_SELL, 100));
    expect_nothing();
    apply(command_modify(ALICE, 1, SIDE_SELL_SHORT, 101));
    expect_nothing();
    apply(command_modify(ALICE, 2, SIDE_SELL, 0));
    expect_nothing();
    struct command refused = command_modify(ALICE, 1, SIDE_SELL_SHORT, 50);
    refused.verdict = REJECT_OTHER;
    apply(refused);
    expect_nothing();
    cr_assert_eq(resting(ALICE, 1).quantity, 70);
}
