// SPDX-License-Identifier: MIT
//
// Examples of docs/rules.md: phases and crosses. Every command goes to the book and to the
// reference; both must give exactly the events that are written here. And the price of a cross
// beside a search of all prices.
#include "tests/unit/book_examples.h"
#include "tests/unit/random.h"

TestSuite(book_cross, .init = set_up, .fini = finish);

static struct command command_phase(char state)
{
    return (struct command){.type = COMMAND_TRADING, .trading.state = (uint8_t)state};
}

static void phase(char state)
{
    apply_quietly(command_phase(state));
}

static void expect_action(uint8_t code)
{
    struct event action = {.type = EVENT_FEED_ACTION, .session = FEED_SESSION, .code = code};
    memcpy(action.listing.symbol, "ACME    ", 8);
    expect_event(__LINE__, action);
}

static void set_reference(uint32_t price)
{
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.reference = price});
}

static struct command for_cross(struct command command, uint8_t cross)
{
    command.order.cross = cross;
    return command;
}

static void enter_for(uint8_t cross, uint16_t session, uint32_t user_ref_num, enum side side,
                      uint32_t quantity, uint32_t price)
{
    apply_quietly(for_cross(command_enter(session, user_ref_num, side, quantity, price), cross));
}

// Of the last command.
static struct event cross_print(void)
{
    for (size_t i = 0; i < event_count; i++)
        if (events[i].type == EVENT_FEED_CROSS)
            return events[i];
    cr_assert_fail("no cross was printed");
    return (struct event){0};
}

static void expect_cross(uint8_t type, uint64_t shares, uint32_t price)
{
    struct event print = cross_print();
    cr_assert_eq(print.code, type);
    cr_assert_eq(print.cross.shares, shares, "%zu shares", (size_t)print.cross.shares);
    cr_assert_eq(print.price, price, "price %u", print.price);
}

// Opening

Test(book_cross, before_the_opening_orders_wait_and_are_not_displayed)
{
    phase('O');
    uint64_t ref = apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE));
    EXPECT(.type = EVENT_ACCEPTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .side = SIDE_BUY);
    cr_assert_eq(resting(ALICE, 1).order_ref, ref);
    cr_assert_eq(resting(ALICE, 1).displayed, 0);
    enter(BOB, 1, SIDE_SELL, 100, PRICE - CENT);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1), "nothing trades");
}

Test(book_cross, the_opening_cross_trades_at_one_price_under_one_match_number)
{
    phase('O');
    uint64_t buy = enter(ALICE, 1, SIDE_BUY, 100, PRICE + CENT);
    uint64_t sell = enter(BOB, 1, SIDE_SELL, 60, PRICE);
    apply(command_phase('T'));
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 60,
           .price = PRICE, .side = SIDE_BUY, .code = 'O', .trade.order_ref = buy,
           .trade.match_number = 1);
    EXPECT(.type = EVENT_EXECUTED, .session = BOB, .user_ref_num = 1, .quantity = 60,
           .price = PRICE, .side = SIDE_SELL, .code = 'O', .trade.order_ref = sell,
           .trade.match_number = 1);
    EXPECT_FEED(.type = EVENT_FEED_CROSS, .price = PRICE, .code = 'O', .cross.shares = 60,
                .cross.match_number = 1);
    expect_action('T');
    EXPECT_FEED(.type = EVENT_FEED_ADD, .side = SIDE_BUY, .quantity = 40, .price = PRICE + CENT,
                .trade.order_ref = buy);
}

Test(book_cross, without_orders_a_cross_of_no_shares_is_printed)
{
    phase('O');
    apply(command_phase('T'));
    EXPECT_FEED(.type = EVENT_FEED_CROSS, .code = 'O');
    expect_action('T');
}

Test(book_cross, market_orders_go_first_and_what_is_left_of_them_is_canceled)
{
    phase('O');
    enter(ALICE, 1, SIDE_BUY, 100, PRICE + CENT);
    enter(BOB, 1, SIDE_BUY, 300, PRICE_MARKET);
    enter(CAROL, 1, SIDE_SELL, 250, PRICE);
    phase('T');
    expect_cross(CROSS_OPENING, 250, PRICE + CENT + 1);
    cr_assert(!rests(BOB, 1) && !rests(CAROL, 1));
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

Test(book_cross, market_orders_alone_trade_at_the_reference_or_not_at_all)
{
    phase('O');
    enter(ALICE, 1, SIDE_BUY, 100, PRICE_MARKET);
    enter(BOB, 1, SIDE_SELL, 100, PRICE_MARKET);
    phase('T');
    expect_cross(CROSS_OPENING, 0, 0);
    cr_assert(!rests(ALICE, 1) && !rests(BOB, 1));
    phase('Q');
    set_reference(PRICE);
    enter(ALICE, 2, SIDE_BUY, 100, PRICE_MARKET);
    enter(BOB, 2, SIDE_SELL, 100, PRICE_MARKET);
    phase('T');
    expect_cross(CROSS_HALT, 100, PRICE);
}

Test(book_cross, of_prices_that_trade_the_same_it_takes_the_least_imbalance_then_the_nearest)
{
    phase('O');
    set_reference(PRICE + 5 * CENT);
    enter(ALICE, 1, SIDE_BUY, 100, PRICE + 9 * CENT);
    enter(BOB, 1, SIDE_SELL, 100, PRICE);
    phase('T');
    expect_cross(CROSS_OPENING, 100, PRICE + 5 * CENT);
    phase('Q');
    enter(ALICE, 2, SIDE_BUY, 100, PRICE + 9 * CENT);
    enter(ALICE, 3, SIDE_BUY, 70, PRICE + 7 * CENT);
    enter(BOB, 2, SIDE_SELL, 100, PRICE);
    phase('T');
    expect_cross(CROSS_HALT, 100, PRICE + 7 * CENT + 1);
}

Test(book_cross, orders_for_the_opening_only_are_canceled_after_it)
{
    phase('O');
    enter_for(CROSS_OPENING, ALICE, 1, SIDE_BUY, 100, PRICE);
    cr_assert_eq(events[0].code, CROSS_OPENING);
    phase('T');
    cr_assert(!rests(ALICE, 1));
    expect_rejected(for_cross(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE), CROSS_OPENING),
                    REJECT_INVALID_CROSS);
}

Test(book_cross, an_order_for_a_cross_has_no_other_conditions)
{
    struct command command = for_cross(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE), 'C');
    command.order.attributes.post_only = 1;
    expect_rejected(command, REJECT_INVALID_CROSS);
    command = for_cross(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE), 'C');
    command.order.max_floor = 10;
    expect_rejected(command, REJECT_INVALID_CROSS);
    expect_rejected(for_cross(command_enter(ALICE, 3, SIDE_BUY, 100, PRICE), 'X'),
                    REJECT_INVALID_CROSS);
}

Test(book_cross, before_the_opening_orders_are_replaced_reduced_and_canceled)
{
    phase('O');
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_replace(ALICE, 1, 2, 300, PRICE + CENT));
    apply_quietly(command_cancel(ALICE, 2, 200));
    enter(ALICE, 3, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 3, 0));
    cr_assert(!rests(ALICE, 1) && !rests(ALICE, 3));
    enter(BOB, 1, SIDE_SELL, 500, PRICE);
    phase('T');
    expect_cross(CROSS_OPENING, 200, PRICE);
}

Test(book_cross, an_immediate_order_without_a_cross_does_not_wait)
{
    phase('O');
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 100, PRICE));
    cr_assert_eq(event_count, 2);
    cr_assert_eq(events[1].type, EVENT_CANCELED);
    cr_assert_eq(events[1].code, 'I');
    skip_events();
    enter_for(CROSS_OPENING, ALICE, 2, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 2));
}

// Halts

Test(book_cross, a_halt_cross_trades_orders_of_the_book_as_not_printable)
{
    uint64_t shown = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter_hidden(BOB, 1, SIDE_BUY, 100, PRICE);
    phase('H');
    phase('Q');
    uint64_t waits = enter(CAROL, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 250, PRICE);
    apply(command_phase('T'));
    EXPECT(.type = EVENT_EXECUTED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .side = SIDE_BUY, .code = 'H', .trade.order_ref = shown,
           .trade.match_number = 1);
    EXPECT_FEED(.type = EVENT_FEED_EXECUTED_PRICE, .side = SIDE_BUY, .quantity = 100,
                .price = PRICE, .code = 'N', .trade.order_ref = shown, .trade.match_number = 1);
    EXPECT(.type = EVENT_EXECUTED, .session = CAROL, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .side = SIDE_BUY, .code = 'H', .trade.order_ref = waits,
           .trade.match_number = 1);
    skip_events();
    cr_assert_eq(resting(BOB, 1).quantity, 50, "hidden ones come last at a price");
}

Test(book_cross, a_reserve_order_trades_whole_in_a_cross)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 500, PRICE);
    command.order.max_floor = 100;
    apply_quietly(command);
    phase('Q');
    enter(BOB, 1, SIDE_SELL, 250, PRICE);
    phase('T');
    expect_cross(CROSS_HALT, 250, PRICE);
    struct book_order order = resting(ALICE, 1);
    cr_assert_eq(order.quantity, 250);
    cr_assert_eq(order.displayed, 100, "a new slice");
}

Test(book_cross, a_reserve_order_that_waited_displays_a_slice_when_it_joins_the_book)
{
    phase('O');
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 500, PRICE);
    command.order.max_floor = 100;
    apply_quietly(command);
    cr_assert_eq(resting(ALICE, 1).displayed, 0);
    phase('T');
    cr_assert_eq(resting(ALICE, 1).displayed, 100);
}

Test(book_cross, midpoint_orders_take_no_part_in_a_cross)
{
    phase('O');
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.peg = PEG_MIDPOINT;
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply_quietly(command);
    enter(BOB, 1, SIDE_SELL, 100, PRICE - CENT);
    phase('T');
    expect_cross(CROSS_OPENING, 0, 0);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
}

// Pegs and limits

static struct command command_peg(uint16_t session, uint32_t user_ref_num, enum side side)
{
    struct command command = command_enter(session, user_ref_num, side, 100, PRICE + CENT);
    command.order.attributes.peg = PEG_PRIMARY;
    command.order.attributes.display = DISPLAY_HIDDEN;
    return command;
}

Test(book_cross, pegs_are_rejected_while_orders_wait_and_those_that_rest_take_part)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_peg(ALICE, 1, SIDE_BUY));
    phase('Q');
    expect_rejected(command_peg(ALICE, 2, SIDE_BUY), REJECT_QUOTE_UNAVAILABLE);
    apply_quietly(command_cancel(BOB, 1, 0));
    enter(BOB, 2, SIDE_BUY, 100, PRICE - CENT);
    enter(CAROL, 1, SIDE_SELL, 50, PRICE);
    cr_assert_eq(resting(ALICE, 1).price, PRICE);
    phase('T');
    expect_cross(CROSS_HALT, 50, PRICE);
    cr_assert_eq(resting(ALICE, 1).quantity, 50);
    cr_assert_eq(resting(ALICE, 1).price, PRICE - CENT, "it follows once the instrument trades");
}

Test(book_cross, a_peg_keeps_to_the_band)
{
    set_reference(PRICE - 2 * CENT);
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.band = 2});
    enter(BOB, 1, SIDE_BUY, 100, PRICE - 2 * CENT);
    struct command command = command_peg(ALICE, 1, SIDE_BUY);
    command.order.peg_offset = 2 * CENT;
    apply_quietly(command);
    cr_assert_eq(resting(ALICE, 1).price, PRICE - 2 * CENT + 99);
    set_reference(PRICE - 3 * CENT);
    cr_assert_eq(resting(ALICE, 1).price, PRICE - 3 * CENT + 99, "also when it moves");
}

Test(book_cross, its_executions_count_for_accounts_and_the_last_price)
{
    struct command gross = {.type = COMMAND_LIMIT,
                            .session = ANY_SESSION,
                            .side = LIMIT_GROSS,
                            .limit.value = 1000ull * PRICE};
    memcpy(gross.limit.firm, reference.sessions[ALICE].firm, 4);
    struct book_account account;
    apply_quietly(gross);
    apply_quietly((struct command){.type = COMMAND_LIMIT,
                                   .session = ANY_SESSION,
                                   .side = LIMIT_FAT_FINGER,
                                   .limit.value = 100});
    enter(BOB, 1, SIDE_SELL, 60, PRICE);
    phase('Q');
    enter(ALICE, 1, SIDE_BUY, 60, PRICE);
    book_find_account(book, ALICE, &account);
    cr_assert_eq(account.open_orders, 1);
    cr_assert_eq(account.open_value[SIDE_BUY], 60ull * PRICE);
    phase('T');
    book_find_account(book, ALICE, &account);
    cr_assert_eq(account.open_orders, 0);
    cr_assert_eq(account.traded_value[SIDE_BUY], 60ull * PRICE);
    expect_broken(command_enter(CAROL, 1, SIDE_BUY, 100, PRICE + PRICE / 100 + CENT),
                  REJECT_FAT_FINGER, LIMIT_FAT_FINGER);
}

// Nobody knows at which price the cross will be: any number of them were let in, and counted
// nothing.
Test(book_cross, a_market_order_that_waits_for_a_cross_cannot_be_held_against_a_limit)
{
    struct command gross = {.type = COMMAND_LIMIT,
                            .session = ANY_SESSION,
                            .side = LIMIT_GROSS,
                            .limit.value = 1000ull * PRICE};
    memcpy(gross.limit.firm, reference.sessions[ALICE].firm, 4);
    enter(BOB, 1, SIDE_SELL, 60, PRICE);
    apply_quietly(gross);
    expect_rejected(for_cross(command_enter(ALICE, 1, SIDE_BUY, 1, PRICE_MARKET), CROSS_CLOSING),
                    REJECT_RISK_MARKET_IMPACT);
    phase('Q');
    expect_rejected(command_enter(ALICE, 2, SIDE_BUY, 1, PRICE_MARKET), REJECT_RISK_MARKET_IMPACT);
    enter(ALICE, 3, SIDE_BUY, 60, PRICE - CENT);
    apply(command_replace(ALICE, 3, 4, 60, PRICE_MARKET));
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 4,
           .code = REJECT_RISK_MARKET_IMPACT);
    gross.limit.value = 0;
    apply_quietly(gross);
    enter(ALICE, 5, SIDE_BUY, 60, PRICE_MARKET);
    cr_assert(rests(ALICE, 5));
}

// It was refused as a new order, and by way of a Modify it was not.
Test(book_cross, a_sale_does_not_become_a_short_one_where_that_would_be_refused)
{
    enter(BOB, 1, SIDE_BUY, 60, PRICE);
    enter_for(CROSS_CLOSING, ALICE, 1, SIDE_SELL, 60, PRICE_MARKET);
    enter_for(CROSS_CLOSING, ALICE, 2, SIDE_SELL, 60, PRICE);
    enter_for(CROSS_CLOSING, ALICE, 3, SIDE_SELL, 60, PRICE + CENT);
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.short_sale = '1'});
    for (uint32_t number = 1; number <= 3; number++)
        apply_quietly(command_modify(ALICE, number, SIDE_SELL_SHORT, 60));
    cr_assert_eq(resting(ALICE, 1).side, SIDE_SELL);
    cr_assert_eq(resting(ALICE, 2).side, SIDE_SELL);
    cr_assert_eq(resting(ALICE, 3).side, SIDE_SELL_SHORT);
}

// Closing

Test(book_cross, the_closing_cross_takes_on_close_orders_and_the_book_and_cancels_the_rest)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter_for(CROSS_CLOSING, BOB, 1, SIDE_SELL, 150, PRICE_MARKET);
    enter_for(CROSS_CLOSING, CAROL, 1, SIDE_BUY, 100, PRICE - CENT);
    cr_assert(rests(ALICE, 1), "orders for the close do not trade before");
    phase('C');
    expect_cross(CROSS_CLOSING, 150, PRICE - CENT);
    cr_assert(!rests(ALICE, 1) && !rests(BOB, 1) && !rests(CAROL, 1));
    expect_rejected(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE), REJECT_DESTINATION_CLOSED);
    apply(command_phase('T'));
    expect_nothing();
}

Test(book_cross, on_close_orders_wait_through_an_opening_cross)
{
    phase('O');
    enter_for(CROSS_CLOSING, ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 1, SIDE_SELL, 100, PRICE);
    phase('T');
    expect_cross(CROSS_OPENING, 0, 0);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
    apply_quietly(command_close);
    cr_assert(!rests(ALICE, 1));
}

// The late period

static void expect_accepted(struct command command)
{
    apply(command);
    cr_assert_gt(event_count, 0);
    cr_assert_eq(events[0].type, EVENT_ACCEPTED, "event %u, code 0x%02x", events[0].type,
                 events[0].code);
    skip_events();
}

static void expect_replace_rejected(struct command command, uint8_t code)
{
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = command.session,
           .user_ref_num = command.order.user_ref_num, .code = code);
}

static void expect_told(uint8_t type, uint16_t session, uint32_t user_ref_num)
{
    EXPECT(.type = type, .session = session, .user_ref_num = user_ref_num);
}

Test(book_cross, late_an_order_for_the_cross_stays_and_its_owner_is_told_once)
{
    enter_for(CROSS_CLOSING, ALICE, 1, SIDE_BUY, 100, PRICE);
    apply(command_phase('L'));
    expect_nothing();
    apply(command_cancel(ALICE, 1, 60));
    expect_told(EVENT_CANCEL_REJECTED, ALICE, 1);
    apply(command_cancel(ALICE, 1, 50));
    expect_nothing();
    apply(command_cancel(ALICE, 1, 0));
    expect_told(EVENT_CANCEL_PENDING, ALICE, 1);
    apply(command_modify(ALICE, 1, SIDE_BUY, 0));
    expect_nothing();
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

Test(book_cross, late_an_order_is_not_replaced_and_the_number_is_used)
{
    enter_for(CROSS_CLOSING, ALICE, 1, SIDE_BUY, 100, PRICE);
    phase('L');
    expect_replace_rejected(command_replace(ALICE, 1, 2, 100, PRICE), REJECT_REPLACE_NOT_ALLOWED);
    apply(command_replace(ALICE, 1, 2, 100, PRICE));
    expect_nothing();
    apply_quietly(command_cancel(ALICE, 1, 0));
    expect_replace_rejected(command_replace(ALICE, 1, 3, 0, PRICE), REJECT_CANCEL_PENDING);
    cr_assert(rests(ALICE, 1));
}

Test(book_cross, what_is_pending_trades_in_its_cross_and_the_rest_is_canceled_as_asked)
{
    enter_for(CROSS_CLOSING, ALICE, 1, SIDE_BUY, 100, PRICE);
    enter_for(CROSS_CLOSING, BOB, 1, SIDE_SELL, 60, PRICE);
    phase('L');
    apply_quietly(command_cancel(ALICE, 1, 0));
    apply(command_phase('C'));
    expect_cross(CROSS_CLOSING, 60, PRICE);
    const struct event *last = &events[event_count - 1];
    cr_assert_eq(last->type, EVENT_CANCELED);
    cr_assert_eq(last->quantity, 40);
    cr_assert_eq(last->code, 'U');
    skip_events();
}

Test(book_cross, late_orders_are_limits_no_more_aggressive_than_the_reference)
{
    phase('O');
    expect_accepted(for_cross(command_enter(ALICE, 1, SIDE_BUY, 9, PRICE_MARKET), 'O'));
    phase('L');
    expect_rejected(for_cross(command_enter(ALICE, 2, SIDE_BUY, 9, PRICE), 'O'),
                    REJECT_NO_REFERENCE);
    expect_accepted(for_cross(command_enter(ALICE, 3, SIDE_BUY, 9, PRICE_MARKET), 'C'));
    phase('T');
    set_reference(PRICE);
    phase('L');
    set_reference(PRICE + CENT); // too late
    expect_rejected(for_cross(command_enter(ALICE, 4, SIDE_BUY, 9, PRICE_MARKET), 'C'),
                    REJECT_INVALID_CROSS);
    expect_rejected(for_cross(command_enter(ALICE, 5, SIDE_BUY, 9, PRICE + 1), 'C'),
                    REJECT_LATE_TOO_AGGRESSIVE);
    expect_rejected(for_cross(command_enter(ALICE, 6, SIDE_SELL, 9, PRICE - 1), 'C'),
                    REJECT_LATE_TOO_AGGRESSIVE);
    expect_accepted(for_cross(command_enter(ALICE, 7, SIDE_BUY, 9, PRICE), 'C'));
    expect_accepted(for_cross(command_enter(ALICE, 8, SIDE_SELL, 9, PRICE), 'C'));
}

Test(book_cross, late_other_orders_are_canceled_as_ever_and_an_operator_cancels_any)
{
    phase('O');
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter_for(CROSS_CLOSING, ALICE, 2, SIDE_BUY, 100, PRICE);
    enter_for(CROSS_OPENING, ALICE, 3, SIDE_BUY, 100, PRICE);
    phase('L');
    struct command mass = {
        .type = COMMAND_MASS_CANCEL,
        .session = ALICE,
        .instrument = NO_INSTRUMENT,
        .mass = {.user_ref_num = 4, .session = ALICE, .side = ANY_SIDE, .reason = 'U'}};
    apply_quietly(mass);
    cr_assert(!rests(ALICE, 1) && !rests(ALICE, 2) && rests(ALICE, 3));
    mass.session = ANY_SESSION;
    mass.mass.reason = 'S';
    apply_quietly(mass);
    cr_assert(!rests(ALICE, 3));
}

Test(book_cross, the_late_period_ends_with_the_phase)
{
    enter_for(CROSS_CLOSING, ALICE, 1, SIDE_BUY, 100, PRICE);
    phase('L');
    phase('Q');
    apply_quietly(command_cancel(ALICE, 1, 0));
    cr_assert(!rests(ALICE, 1));
    phase('H');
    uint64_t halted = book_hash(book);
    phase('L');
    phase('T');
    enter_for(CROSS_CLOSING, ALICE, 2, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 2, 0));
    cr_assert(!rests(ALICE, 2) && halted != book_hash(book));
}

Test(book_cross, an_instrument_that_is_halted_closes_without_a_cross)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    phase('H');
    apply(command_phase('C'));
    expect_action('H');
    skip_events();
    cr_assert(!rests(ALICE, 1));
}

// Collars

Test(book_cross, an_order_that_would_trade_beyond_the_band_pauses_the_instrument)
{
    apply_quietly(
        (struct command){.type = COMMAND_TRADING, .trading.reference = PRICE, .trading.band = 100});
    enter(ALICE, 1, SIDE_SELL, 100, PRICE + PRICE / 100);
    enter(ALICE, 2, SIDE_SELL, 100, PRICE + PRICE / 100 + 1);
    apply(command_enter(BOB, 1, SIDE_BUY, 150, PRICE_MARKET));
    cr_assert_eq(events[1].quantity, 100, "it trades up to the band");
    cr_assert_eq(events[4].type, EVENT_CANCELED);
    cr_assert_eq(events[4].code, 'K');
    expected_count = 5;
    feed_seq++;
    stream_seqs[ALICE]++;
    stream_seqs[BOB] += 3;
    struct event collar = {.type = EVENT_FEED_COLLAR,
                           .session = FEED_SESSION,
                           .price = PRICE,
                           .quantity = PRICE + PRICE / 100,
                           .low_price = PRICE - PRICE / 100};
    memcpy(collar.listing.symbol, "ACME    ", 8);
    expect_event(__LINE__, collar);
    expect_action('P');
    enter(BOB, 2, SIDE_BUY, 50, PRICE_MARKET);
    phase('T');
    expect_cross(CROSS_HALT, 50, PRICE + PRICE / 100 + 1);
    cr_assert_eq(resting(ALICE, 2).quantity, 50);
}

Test(book_cross, an_order_does_not_rest_beyond_the_band)
{
    apply_quietly(
        (struct command){.type = COMMAND_TRADING, .trading.reference = PRICE, .trading.band = 100});
    enter(ALICE, 1, SIDE_BUY, 100, PRICE + PRICE / 100 + 1);
    cr_assert(!rests(ALICE, 1));
    enter(ALICE, 2, SIDE_BUY, 100, PRICE + PRICE / 100);
    enter(ALICE, 3, SIDE_BUY, 100, PRICE / 2);
    cr_assert(rests(ALICE, 2) && rests(ALICE, 3));
}

// Sales short

static void restrict_short(char code)
{
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.short_sale = (uint8_t)code});
}

Test(book_cross, a_restricted_sale_short_has_to_be_above_the_displayed_purchase)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply((struct command){.type = COMMAND_TRADING, .trading.short_sale = '1'});
    struct event told = {.type = EVENT_FEED_SHORT_SALE, .session = FEED_SESSION, .code = '1'};
    memcpy(told.listing.symbol, "ACME    ", 8);
    expect_event(__LINE__, told);
    expect_rejected(command_enter(BOB, 1, SIDE_SELL_SHORT, 10, PRICE), 0x23);
    expect_rejected(command_enter(BOB, 2, SIDE_SELL_SHORT, 10, PRICE_MARKET), 0x23);
    enter(BOB, 3, SIDE_SELL_SHORT, 10, PRICE + 1);
    apply(command_replace(BOB, 3, 4, 10, PRICE));
    EXPECT(.type = EVENT_REJECTED, .session = BOB, .user_ref_num = 4, .code = 0x23);
    cr_assert(rests(BOB, 3));
    enter(BOB, 5, SIDE_SELL_SHORT_EXEMPT, 10, PRICE);
    cr_assert_eq(resting(ALICE, 1).quantity, 90);
    restrict_short('0');
    enter(BOB, 6, SIDE_SELL_SHORT, 10, PRICE);
    cr_assert_eq(resting(ALICE, 1).quantity, 80);
}

// While it builds

static uint64_t at_second(uint64_t second)
{
    return MIDNIGHT_NS + second * 1000000000;
}

Test(book_cross, each_second_tells_what_the_cross_would_be)
{
    phase('O');
    enter(ALICE, 1, SIDE_BUY, 300, PRICE);
    enter(BOB, 1, SIDE_SELL, 100, PRICE - CENT);
    apply((struct command){.type = COMMAND_CLOCK, .time_ns = at_second(1)});
    EXPECT_FEED(.type = EVENT_FEED_IMBALANCE, .code = 'O', .price = PRICE - CENT,
                .far_price = PRICE - CENT, .side = SIDE_BUY, .imbalance.paired = 100,
                .imbalance.left = 200);
    apply((struct command){.type = COMMAND_CLOCK, .time_ns = at_second(1) + 1});
    expect_nothing();
    apply((struct command){.type = COMMAND_CLOCK, .time_ns = at_second(2)});
    skip_events();
    apply_quietly((struct command){
        .type = COMMAND_TRADING, .trading.state = 'T', .time_ns = at_second(2) + 1});
    apply((struct command){.type = COMMAND_CLOCK, .time_ns = at_second(3)});
    expect_nothing();
}

Test(book_cross, the_far_price_of_the_close_is_that_of_on_close_orders_alone)
{
    enter(ALICE, 1, SIDE_BUY, 300, PRICE);
    enter(ALICE, 2, SIDE_SELL, 300, PRICE + 10 * CENT);
    enter_for(CROSS_CLOSING, BOB, 1, SIDE_BUY, 100, PRICE - CENT);
    enter_for(CROSS_CLOSING, CAROL, 1, SIDE_SELL, 100, PRICE_MARKET);
    apply((struct command){.type = COMMAND_CLOCK, .time_ns = at_second(1)});
    EXPECT_FEED(.type = EVENT_FEED_IMBALANCE, .code = 'C', .price = PRICE,
                .far_price = PRICE - CENT, .quantity = PRICE + 5 * CENT, .side = SIDE_BUY,
                .imbalance.paired = 100, .imbalance.left = 200);
}

// The price, beside a search of all prices

struct oracle_order {
    bool buys, market;
    uint32_t price;
    uint64_t quantity;
};

struct oracle {
    struct oracle_order orders[ORDERS_MAX];
    uint32_t count;
    uint32_t nearest_to; // 0: nothing
};

#define PRICES 14u // orders have limits of 1 to this

static uint64_t trades_at(const struct oracle *oracle, uint32_t price, uint64_t *imbalance)
{
    uint64_t bought = 0, sold = 0;
    for (uint32_t i = 0; i < oracle->count; i++) {
        const struct oracle_order *order = &oracle->orders[i];
        if (order->buys && (order->market || order->price >= price))
            bought += order->quantity;
        if (!order->buys && (order->market || order->price <= price))
            sold += order->quantity;
    }
    *imbalance = bought > sold ? bought - sold : sold - bought;
    return bought < sold ? bought : sold;
}

// Every price from 0, below all limits, to one that is above all.
static uint32_t oracle_price(const struct oracle *oracle, uint64_t *shares)
{
    const uint32_t top = PRICES + 1;
    uint64_t most = 0, least = UINT64_MAX, imbalance;
    uint32_t best = 0, distance = UINT32_MAX;
    bool below = false, above = false;
    for (uint32_t price = 0; price <= top; price++) {
        uint64_t traded = trades_at(oracle, price, &imbalance);
        if (traded > most || (traded == most && imbalance < least)) {
            most = traded;
            least = imbalance;
        }
    }
    *shares = most;
    for (uint32_t price = 0; price <= top; price++) {
        if (trades_at(oracle, price, &imbalance) != most || imbalance != least)
            continue;
        below |= price == 0;
        above |= price == top;
        uint32_t from = oracle->nearest_to;
        uint32_t away = from > price ? from - price : price - from;
        if (from != 0 && away < distance) {
            distance = away;
            best = price;
        } else if (from == 0 && (best == 0 || below)) {
            best = price;
        }
    }
    if (most == 0 || (oracle->nearest_to == 0 && below && above)) {
        *shares = 0;
        return 0;
    }
    return best == 0 ? 1 : best;
}

static void oracle_take(struct oracle *oracle, uint16_t session, uint32_t user_ref_num)
{
    struct book_order order;
    if (!book_find_user_ref(book, session, 0, user_ref_num, &order))
        return;
    oracle->orders[oracle->count++] = (struct oracle_order){
        order.side == SIDE_BUY, order.price == PRICE_MARKET, order.price, order.quantity};
}

static void new_book(void)
{
    reference_close(&reference);
    command_seq = feed_seq = 0;
    memset(stream_seqs, 0, sizeof(stream_seqs));
    event_count = expected_count = 0;
    set_up();
}

static uint32_t enter_some(struct random *random, uint32_t user_ref_num, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct command command =
            command_enter(ALICE, ++user_ref_num, random_below(random, 2),
                          1 + random_below(random, 4), 1 + random_below(random, PRICES));
        if (random_percent(random, 15))
            command.order.price = PRICE_MARKET;
        if (random_percent(random, 15))
            command.order.attributes.display = DISPLAY_HIDDEN;
        apply_quietly(command);
    }
    return user_ref_num;
}

Test(book_cross, the_price_is_that_of_a_search_of_all_prices)
{
    struct random random = {20};
    uint32_t with_shares = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        new_book();
        uint32_t last = random_percent(&random, 50) ? enter_some(&random, 0, 4) : 0;
        phase('Q');
        uint32_t nearest_to = random_percent(&random, 70) ? 1 + random_below(&random, PRICES) : 0;
        set_reference(nearest_to);
        last = enter_some(&random, last, random_below(&random, 9));
        struct oracle oracle = {.nearest_to = nearest_to};
        for (uint32_t number = 1; number <= last; number++)
            oracle_take(&oracle, ALICE, number);
        struct book_level bid, offer;
        if (book_best(book, 0, SIDE_BUY, &bid) && book_best(book, 0, SIDE_SELL, &offer))
            oracle.nearest_to = bid.price + (offer.price - bid.price) / 2;
        uint64_t shares;
        uint32_t price = oracle_price(&oracle, &shares);
        phase('T');
        with_shares += shares > 0;
        expect_cross(CROSS_HALT, shares, price);
        cr_assert(!book_best(book, 0, SIDE_BUY, &bid) || !book_best(book, 0, SIDE_SELL, &offer) ||
                      bid.price < offer.price,
                  "book %u is crossed", i);
    }
    cr_assert_gt(with_shares, 5000);
}
