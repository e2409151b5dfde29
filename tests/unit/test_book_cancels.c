// SPDX-License-Identifier: MIT
//
// The rules of what cancels orders besides their owner's Cancel, one example each: good till time
// and mass cancel. Every command goes to the book and to the reference; both must give exactly the
// events that are written here.
#include "tests/unit/special_examples.h"

#define SECOND_NS 1000000000ull

TestSuite(book_cancels, .init = set_up, .fini = finish);

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

Test(book_cancels, an_order_is_canceled_by_the_first_command_after_its_seconds)
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

Test(book_cancels, seconds_count_from_the_whole_second_of_arrival)
{
    enter_lasting(1, 11 * SECOND_NS - 1, 1);
    apply(clock_at(12 * SECOND_NS - 1));
    expect_nothing();
    apply(clock_at(12 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 1});
    skip_events();
}

Test(book_cancels, an_order_expires_before_the_command_that_would_have_met_it)
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

Test(book_cancels, any_command_at_all_lets_orders_expire)
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

Test(book_cancels, a_cancel_or_replacement_in_the_second_of_expiry_comes_too_late)
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

Test(book_cancels, orders_expire_by_second_and_within_one_in_the_order_of_rest)
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

Test(book_cancels, only_the_orders_of_the_second_expire)
{
    for (uint32_t i = 1; i <= 4; i++)
        enter_lasting(i, 10 * SECOND_NS, i);
    for (uint32_t i = 1; i <= 4; i++) {
        apply(clock_at((11 + i) * SECOND_NS));
        EXPECT_CANCELED('T', {BOB, i});
        skip_events();
    }
}

Test(book_cancels, a_replacement_lives_by_its_own_time)
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

Test(book_cancels, a_replacement_expires_behind_those_that_came_to_rest_before_it)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(lasting(command_replace(BOB, 1, 3, 100, PRICE), 5), 10 * SECOND_NS));
    apply(clock_at(16 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 2}, {BOB, 3});
    skip_events();
}

Test(book_cancels, time_that_goes_back_expires_nothing_and_gives_no_longer_life)
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

Test(book_cancels, seconds_are_one_to_a_day_less_one_and_go_with_their_time_in_force_only)
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

Test(book_cancels, a_market_order_with_seconds_never_rests)
{
    apply(lasting(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE_MARKET), 5));
    EXPECT_CANCELED('I', {ALICE, 1});
    skip_events();
    cr_assert_eq(timed_count(), 0);
}

Test(book_cancels, what_is_left_of_an_order_expires)
{
    uint64_t ref = enter_lasting(1, 10 * SECOND_NS, 5);
    apply_quietly(at(command_enter(ALICE, 1, SIDE_SELL, 30, PRICE), 11 * SECOND_NS));
    apply_quietly(at(command_cancel(BOB, 1, 90), 12 * SECOND_NS));
    apply(clock_at(16 * SECOND_NS));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 60,
           .price = PRICE, .code = 'T', .trade.order_ref = ref);
    EXPECT_DELETED(SIDE_BUY, 60, PRICE, ref);
}

Test(book_cancels, orders_that_were_executed_or_canceled_do_not_expire)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE), 11 * SECOND_NS));
    apply_quietly(at(command_cancel(BOB, 2, 0), 12 * SECOND_NS));
    cr_assert_eq(timed_count(), 0);
    apply(clock_at(30 * SECOND_NS));
    expect_nothing();
}

Test(book_cancels, hidden_orders_expire_unseen_and_reserve_orders_whole)
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

Test(book_cancels, a_new_slice_does_not_prolong_an_orders_life)
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

Test(book_cancels, the_end_cancels_orders_whose_time_is_not_over)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    apply(at(command_close, 15 * SECOND_NS));
    EXPECT_CANCELED('E', {BOB, 1});
    skip_events();
    apply(clock_at(30 * SECOND_NS));
    expect_nothing();
}

Test(book_cancels, when_orders_have_expired_the_moved_midpoint_is_settled)
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

Test(book_cancels, a_mass_cancel_is_answered_and_told_to_the_owners_and_the_feed)
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

Test(book_cancels, a_mass_cancel_says_what_was_asked_for_and_why)
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

Test(book_cancels, a_mass_cancel_of_everything_goes_by_order_reference)
{
    fill_book();
    apply(command_mass(ALICE, 7));
    EXPECT_CANCELED('U', {BOB, 1}, {ALICE, 1}, {ALICE, 2}, {CAROL, 1}, {BOB, 2}, {CAROL, 2});
    skip_events();
}

// Commands that do nothing.
static void let_pass(uint64_t count)
{
    struct event_sink sink = {events, events + 64, too_many_events, NULL};
    for (uint64_t i = 0; i < count; i++)
        book_apply(book, &(struct command){.type = COMMAND_CLOCK, .time_ns = time_ns}, &sink);
    reference.seq += count;
    command_seq += count;
}

// In slots that were given back in turn: an older order is in a higher one. Where a higher digit of
// 11 bits rises, the lower ones fall.
Test(book_cancels, a_mass_cancel_goes_by_order_reference_however_far_apart_they_are)
{
    for (uint32_t n = 1; n <= 5; n++)
        enter(BOB, n, SIDE_BUY, 100, PRICE);
    for (uint32_t n = 1; n <= 5; n++)
        apply_quietly(command_cancel(BOB, n, 0));
    enter(BOB, 6, SIDE_BUY, 100, PRICE);
    enter(BOB, 7, SIDE_BUY, 100, PRICE);
    let_pass((3 << 11) - 10);
    enter(BOB, 8, SIDE_BUY, 100, PRICE);
    let_pass((1 << 22) - (2 << 11) - 10);
    enter(BOB, 9, SIDE_BUY, 100, PRICE);
    let_pass((3 << 11) - 10);
    enter(BOB, 10, SIDE_BUY, 100, PRICE);
    apply(command_mass(ANY_SESSION, 0));
    EXPECT_CANCELED('U', {BOB, 6}, {BOB, 7}, {BOB, 8}, {BOB, 9}, {BOB, 10});
    skip_events();
}

Test(book_cancels, a_mass_cancel_by_session_takes_its_orders_only)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.mass.session = BOB;
    apply(command);
    EXPECT_CANCELED('U', {BOB, 1}, {BOB, 2});
    skip_events();
    cr_assert(rests(ALICE, 1) && rests(ALICE, 2) && rests(CAROL, 1) && rests(CAROL, 2));
}

Test(book_cancels, a_mass_cancel_by_firm_goes_by_the_firm_an_order_names)
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

Test(book_cancels, a_mass_cancel_by_instrument_takes_its_orders_only)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.instrument = 1;
    apply(command);
    EXPECT_CANCELED('U', {CAROL, 1}, {BOB, 2});
    skip_events();
}

Test(book_cancels, a_mass_cancel_by_side_tells_the_kinds_of_sale_apart)
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

Test(book_cancels, a_mass_cancel_takes_what_fits_all_that_is_asked)
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

Test(book_cancels, a_mass_cancel_that_fits_nothing_is_only_answered)
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

Test(book_cancels, a_mass_cancel_of_an_empty_book_is_only_answered)
{
    apply(command_mass(ALICE, 1));
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 1,
           .instrument = NO_INSTRUMENT, .side = ANY_SIDE);
    apply(command_mass(ANY_SESSION, 0));
    expect_nothing();
}

Test(book_cancels, a_mass_cancel_uses_up_a_number_as_an_order_does)
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

Test(book_cancels, a_mass_cancel_with_a_verdict_is_rejected_and_cancels_nothing)
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

Test(book_cancels, a_mass_cancel_of_an_unlisted_instrument_is_rejected)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.instrument = 2;
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 7,
           .code = REJECT_INVALID_SYMBOL);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
}

Test(book_cancels, after_the_end_a_mass_cancel_is_rejected)
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

Test(book_cancels, an_operator_cancels_and_is_not_answered)
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

Test(book_cancels, an_operators_mass_cancel_of_an_unlisted_instrument_does_nothing)
{
    fill_book();
    struct command command = command_mass(ANY_SESSION, 0);
    command.instrument = 2;
    apply(command);
    expect_nothing();
}

Test(book_cancels, a_mass_cancel_takes_reserve_and_midpoint_orders_whole)
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

Test(book_cancels, a_mass_cancel_finds_a_new_slice_under_its_new_reference)
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

Test(book_cancels, after_a_mass_cancel_instruments_are_settled_by_index)
{
    prepare_settlement(1, 1);
    prepare_settlement(0, 3);
    struct command command = command_mass(ANY_SESSION, 0);
    command.mass.session = BOB;
    apply(command);
    expect_settlements();
}

Test(book_cancels, after_orders_expired_instruments_are_settled_by_index)
{
    prepare_settlement(1, 1);
    prepare_settlement(0, 3);
    apply(clock_at(2 * SECOND_NS));
    expect_settlements();
}
