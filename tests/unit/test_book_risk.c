// SPDX-License-Identifier: MIT
//
// Examples of docs/rules.md: limits, each one short of it, at it, and one beyond. Every command
// goes to the book and to the reference; both must give exactly the events that are written here.
#include <stdio.h>

#include "tests/unit/book_examples.h"

#define SECOND_NS 1000000000ull

TestSuite(book_risk, .init = set_up, .fini = finish);

static const char *firm_of_session(uint16_t session)
{
    return reference.sessions[session].firm;
}

static void limit(uint16_t session, enum limit_kind kind, uint64_t value)
{
    struct command command = {
        .type = COMMAND_LIMIT, .session = ANY_SESSION, .side = (uint8_t)kind, .limit.value = value};
    memcpy(command.limit.firm, firm_of_session(session), 4);
    apply(command);
    expect_nothing();
}

static void limit_symbol(uint16_t instrument, enum limit_kind kind, uint64_t value)
{
    apply((struct command){.type = COMMAND_LIMIT,
                           .session = ANY_SESSION,
                           .side = (uint8_t)kind,
                           .instrument = instrument,
                           .limit.value = value});
    expect_nothing();
}

static void expect_taken(struct command command)
{
    apply(command);
    cr_assert_gt(event_count, 0);
    cr_assert_eq(events[0].type, command.type == COMMAND_REPLACE ? EVENT_REPLACED : EVENT_ACCEPTED,
                 "event %u, code 0x%02x", events[0].type, events[0].code);
    skip_events();
}

static void expect_replace_rejected(struct command command, uint8_t code, uint8_t kind)
{
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = command.session,
           .user_ref_num = command.order.user_ref_num, .code = code, .limit = kind);
}

static struct command buy(uint32_t number, uint32_t quantity, uint32_t price)
{
    return command_enter(ALICE, number, SIDE_BUY, quantity, price);
}

static struct command sell(uint32_t number, uint32_t quantity, uint32_t price)
{
    return command_enter(ALICE, number, SIDE_SELL, quantity, price);
}

static struct command at(uint64_t since_ns, struct command command)
{
    command.time_ns = MIDNIGHT_NS + SECOND_NS + since_ns;
    return command;
}

static struct book_account account_of(uint16_t session)
{
    struct book_account account;
    book_find_account(book, session, &account);
    return account;
}

// Orders open at once

Test(book_risk, as_many_orders_are_open_as_the_limit_says_and_no_more)
{
    limit(ALICE, LIMIT_OPEN_ORDERS, 2);
    expect_taken(buy(1, 100, PRICE));
    expect_taken(buy(2, 100, PRICE));
    expect_broken(buy(3, 100, PRICE), REJECT_OTHER, LIMIT_OPEN_ORDERS);
    expect_taken(command_replace(ALICE, 2, 4, 100, PRICE));
    apply_quietly(command_cancel(ALICE, 1, 0));
    expect_taken(buy(5, 100, PRICE));
}

Test(book_risk, as_many_orders_are_open_in_an_instrument_as_the_limit_says)
{
    struct command other = buy(4, 100, PRICE);
    other.instrument = 1;
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    limit(ALICE, LIMIT_SYMBOL_ORDERS, 2); // one of which is there already
    expect_taken(buy(2, 100, PRICE));
    expect_broken(buy(3, 100, PRICE), REJECT_OTHER, LIMIT_SYMBOL_ORDERS);
    expect_taken(other);
    expect_taken(command_replace(ALICE, 2, 5, 200, PRICE));
    apply_quietly(command_cancel(ALICE, 5, 0));
    expect_taken(buy(6, 100, PRICE));
    expect_broken(buy(7, 100, PRICE), REJECT_OTHER, LIMIT_SYMBOL_ORDERS);
    limit(ALICE, LIMIT_SYMBOL_ORDERS, 0);
    expect_taken(buy(8, 100, PRICE));
}

Test(book_risk, orders_of_others_do_not_count)
{
    limit(ALICE, LIMIT_OPEN_ORDERS, 1);
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_BUY, 100, PRICE);
    expect_taken(buy(1, 100, PRICE));
}

// Values

Test(book_risk, gross_exposure_is_open_and_executed_value_of_both_sides)
{
    enter(BOB, 1, SIDE_SELL, 10, PRICE);
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    expect_taken(buy(1, 10, PRICE)); // executed
    expect_taken(sell(2, 40, 2 * PRICE));
    expect_broken(buy(3, 11, PRICE), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    expect_taken(buy(4, 9, PRICE));
    expect_taken(buy(5, 1, PRICE));
    expect_broken(buy(6, 1, 1), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
}

Test(book_risk, net_exposure_is_what_a_side_comes_to_at_worst)
{
    limit(ALICE, LIMIT_NET, 100ull * PRICE);
    expect_taken(buy(1, 100, PRICE));
    expect_broken(buy(2, 1, PRICE), REJECT_RISK_EXPOSURE, LIMIT_NET);
    expect_taken(sell(3, 50, 2 * PRICE)); // the other side has its own
    expect_broken(sell(4, 1, 2 * PRICE), REJECT_RISK_EXPOSURE, LIMIT_NET);
}

Test(book_risk, what_was_sold_makes_room_for_purchases)
{
    enter(BOB, 1, SIDE_BUY, 30, PRICE);
    limit(ALICE, LIMIT_CREDIT, 100ull * PRICE);
    expect_taken(sell(1, 30, PRICE));
    expect_taken(buy(2, 130, PRICE));
    expect_broken(buy(3, 1, 1), REJECT_MAX_NOTIONAL, LIMIT_CREDIT);
    expect_taken(sell(4, 1000, 2 * PRICE));
}

Test(book_risk, credit_is_reserved_at_the_order_and_released_at_its_cancel)
{
    limit(ALICE, LIMIT_CREDIT, 100ull * PRICE);
    expect_taken(buy(1, 100, PRICE));
    expect_broken(buy(2, 1, PRICE), REJECT_MAX_NOTIONAL, LIMIT_CREDIT);
    apply_quietly(command_cancel(ALICE, 1, 60));
    expect_broken(buy(3, 41, PRICE), REJECT_MAX_NOTIONAL, LIMIT_CREDIT);
    expect_taken(buy(4, 40, PRICE));
}

Test(book_risk, a_replacement_is_held_against_the_limit_without_the_order_it_replaces)
{
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    expect_taken(buy(1, 100, PRICE));
    expect_replace_rejected(command_replace(ALICE, 1, 2, 101, PRICE), REJECT_RISK_EXPOSURE,
                            LIMIT_GROSS);
    cr_assert(rests(ALICE, 1), "OUCH 5.0 section 6, outcome 3");
    expect_taken(command_replace(ALICE, 1, 3, 99, PRICE));
    expect_taken(command_replace(ALICE, 3, 4, 100, PRICE));
}

Test(book_risk, a_replacement_for_less_is_taken_above_a_limit_that_was_lowered)
{
    expect_taken(buy(1, 100, PRICE));
    limit(ALICE, LIMIT_GROSS, 10ull * PRICE);
    expect_taken(command_replace(ALICE, 1, 2, 99, PRICE));
    expect_replace_rejected(command_replace(ALICE, 2, 3, 100, PRICE), REJECT_RISK_EXPOSURE,
                            LIMIT_GROSS);
}

Test(book_risk, what_is_left_of_a_limit_is_used_up_to_the_last_share_by_either_side)
{
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    expect_taken(sell(1, 30, 2 * PRICE));
    expect_taken(buy(2, 39, PRICE));
    expect_broken(buy(3, 2, PRICE), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    expect_taken(buy(4, 1, PRICE));
    apply_quietly(command_cancel(ALICE, 1, 0));
    expect_taken(buy(5, 60, PRICE));
    expect_broken(buy(6, 1, 1), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
}

Test(book_risk, a_sale_at_a_better_price_than_its_limit_uses_up_what_it_was_sold_for)
{
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    enter(BOB, 1, SIDE_BUY, 30, 2 * PRICE);
    expect_taken(sell(1, 30, PRICE));
    cr_assert_eq(account_of(ALICE).traded_value[SIDE_SELL], 60ull * PRICE);
    enter(BOB, 2, SIDE_BUY, 30, 2 * PRICE);
    expect_broken(sell(9, 21, CENT), REJECT_RISK_EXPOSURE,
                  LIMIT_GROSS); // it counted as next to nothing
    apply_quietly(command_cancel(BOB, 2, 0));
    expect_broken(buy(10, 41, PRICE), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    expect_taken(buy(11, 40, PRICE));
}

Test(book_risk, a_sale_counts_what_a_hidden_purchase_would_pay)
{
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    enter(BOB, 1, SIDE_BUY, 30, PRICE);
    enter_hidden(BOB, 2, SIDE_BUY, 30, 4 * PRICE);
    expect_broken(sell(1, 26, PRICE), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    expect_broken(sell(2, 26, PRICE_MARKET), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    expect_taken(sell(3, 25, PRICE));
    cr_assert_eq(account_of(ALICE).traded_value[SIDE_SELL], 100ull * PRICE);
}

// It was valued at the best price alone, and a share displayed there let any number through.
Test(book_risk, a_market_purchase_counts_as_deep_as_it_goes)
{
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    enter(BOB, 1, SIDE_SELL, 1, PRICE);
    enter_hidden(BOB, 2, SIDE_SELL, 4, 4 * PRICE);
    enter(BOB, 3, SIDE_SELL, 9, 11 * PRICE);
    expect_broken(buy(1, 11, PRICE_MARKET), REJECT_RISK_EXPOSURE,
                  LIMIT_GROSS); // 1, 9 at 11, 1 at 4
    expect_taken(buy(2, 10, PRICE_MARKET));
    cr_assert_eq(account_of(ALICE).traded_value[SIDE_BUY], (1ull + 4 * 4 + 5 * 11) * PRICE);
}

Test(book_risk, a_market_purchase_counts_what_is_behind_its_own_sales)
{
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    expect_taken(sell(1, 10, PRICE));
    enter(BOB, 1, SIDE_SELL, 50, 10 * PRICE);
    struct command command = buy(2, 10, PRICE_MARKET);
    command.order.attributes.self_match = SELF_MATCH_CANCEL_OLDEST;
    expect_broken(command, REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    command.order.user_ref_num = 3;
    command.order.quantity = 9;
    expect_taken(command);
}

// It was held against the limit with its own, and counted at the price that it had: several went
// up together above what there was.
Test(book_risk, what_follows_another_price_counts_at_its_limit)
{
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    enter(BOB, 1, SIDE_BUY, 1, PRICE);
    struct command command = buy(1, 5, 10 * PRICE);
    command.order.attributes.peg = PEG_PRIMARY;
    command.order.attributes.display = DISPLAY_HIDDEN;
    expect_taken(command);
    cr_assert_eq(account_of(ALICE).open_value[SIDE_BUY], 50ull * PRICE);
    enter(BOB, 2, SIDE_BUY, 1, 5 * PRICE);
    cr_assert_eq(resting(ALICE, 1).price, 5 * PRICE);
    cr_assert_eq(account_of(ALICE).open_value[SIDE_BUY], 50ull * PRICE);
    enter(BOB, 3, SIDE_SELL, 5, 5 * PRICE);
    cr_assert_eq(account_of(ALICE).open_value[SIDE_BUY] + account_of(ALICE).traded_value[SIDE_BUY],
                 (5ull * 10 - 4 * 5) * PRICE);
}

Test(book_risk, a_limit_set_during_the_day_counts_what_is_open)
{
    enter(BOB, 1, SIDE_SELL, 30, PRICE);
    expect_taken(buy(1, 100, PRICE)); // 30 executed before anybody counted
    limit(ALICE, LIMIT_GROSS, 100ull * PRICE);
    cr_assert_eq(account_of(ALICE).open_orders, 1);
    cr_assert_eq(account_of(ALICE).open_value[SIDE_BUY], 70ull * PRICE);
    cr_assert_eq(account_of(ALICE).traded_value[SIDE_BUY], 0);
    expect_broken(buy(2, 31, PRICE), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    expect_taken(buy(3, 30, PRICE));
}

Test(book_risk, the_largest_orders_do_not_overflow_the_largest_limit)
{
    limit(ALICE, LIMIT_GROSS, LIMIT_NOTHING - 1);
    limit(ALICE, LIMIT_NET, LIMIT_NOTHING - 1);
    limit(ALICE, LIMIT_CREDIT, LIMIT_NOTHING - 1);
    limit(ALICE, LIMIT_POSITION, INT64_MAX);
    const uint64_t largest = (uint64_t)QUANTITY_MAX * PRICE_MAX;
    for (uint32_t number = 1; number < ORDERS_MAX; number++)
        expect_taken(buy(number, QUANTITY_MAX, PRICE_MAX));
    cr_assert_eq(account_of(ALICE).open_value[SIDE_BUY], (ORDERS_MAX - 1) * largest);
    limit(ALICE, LIMIT_GROSS, ORDERS_MAX * largest - 1);
    expect_broken(buy(20, QUANTITY_MAX, PRICE_MAX), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
    limit(ALICE, LIMIT_GROSS, ORDERS_MAX * largest);
    expect_taken(buy(21, QUANTITY_MAX, PRICE_MAX));
}

Test(book_risk, a_market_order_is_valued_at_what_is_displayed)
{
    limit(ALICE, LIMIT_NOTIONAL, 100ull * PRICE);
    expect_rejected(buy(1, 1, PRICE_MARKET), REJECT_RISK_MARKET_IMPACT);
    enter(BOB, 1, SIDE_SELL, 500, PRICE);
    expect_broken(buy(2, 101, PRICE_MARKET), REJECT_RISK_NOTIONAL, LIMIT_NOTIONAL);
    expect_taken(buy(3, 100, PRICE_MARKET));
    expect_taken(buy(4, 99, PRICE_MARKET));
}

// Shares of what several shards have together

static struct book_share told[8];
static uint32_t told_count;

static void take_share(void *context, const struct book_share *share)
{
    (void)context;
    cr_assert_lt(told_count, 8);
    told[told_count++] = *share;
}

static struct book_share last_told(void)
{
    cr_assert_gt(told_count, 0);
    return told[--told_count];
}

static void have_share(uint16_t session, enum limit_kind kind, uint64_t value, uint64_t total)
{
    struct command command = {.type = COMMAND_LIMIT,
                              .session = ANY_SESSION,
                              .side = (uint8_t)kind,
                              .limit = {.value = value, .total = total}};
    memcpy(command.limit.firm, firm_of_session(session), 4);
    apply(command);
    expect_nothing();
    told_count = 0;
    book_tell_shares(book, take_share, NULL);
}

static struct book_share move(enum command_type type, enum limit_kind kind, uint64_t value)
{
    struct command command = {
        .type = (uint8_t)type, .session = ANY_SESSION, .side = (uint8_t)kind, .limit.value = value};
    memcpy(command.limit.firm, firm_of_session(ALICE), 4);
    apply(command);
    expect_nothing();
    struct book_share share = last_told();
    cr_assert_eq(share.type, type);
    return share;
}

Test(book_risk, a_shard_gives_what_is_asked_for_or_half_of_what_is_unused_and_nothing_used)
{
    have_share(ALICE, LIMIT_GROSS, 100ull * PRICE, 200ull * PRICE);
    expect_taken(buy(1, 20, PRICE));
    struct book_share share = move(COMMAND_YIELD, LIMIT_GROSS, 1);
    cr_assert_eq(share.amount, 40ull * PRICE);
    cr_assert_eq(share.share, 60ull * PRICE);
    cr_assert_eq(share.used, 20ull * PRICE);
    cr_assert_eq(move(COMMAND_YIELD, LIMIT_GROSS, 25ull * PRICE).amount, 25ull * PRICE);
    cr_assert_eq(move(COMMAND_YIELD, LIMIT_GROSS, 100ull * PRICE).amount, 15ull * PRICE);
    cr_assert_eq(move(COMMAND_YIELD, LIMIT_GROSS, LIMIT_NOTHING).amount, 0);
    cr_assert_eq(book_limit(book, ALICE, LIMIT_GROSS), 20ull * PRICE);
    cr_assert_eq(book_limit_total(book, ALICE, LIMIT_GROSS), 200ull * PRICE);
    expect_broken(buy(2, 1, 1), REJECT_RISK_EXPOSURE, LIMIT_GROSS);
}

Test(book_risk, a_share_of_nothing_lets_in_what_adds_nothing)
{
    have_share(ALICE, LIMIT_NET, 10ull * PRICE, 10ull * PRICE);
    cr_assert_eq(move(COMMAND_YIELD, LIMIT_NET, LIMIT_NOTHING).share, 0);
    cr_assert_eq(book_limit(book, ALICE, LIMIT_NET), LIMIT_NOTHING);
    expect_broken(buy(1, 1, PRICE), REJECT_RISK_EXPOSURE, LIMIT_NET);
    cr_assert_eq(move(COMMAND_RAISE, LIMIT_NET, PRICE).share, PRICE);
    expect_taken(buy(2, 1, PRICE));
    enter(BOB, 1, SIDE_SELL, 1, PRICE);
    cr_assert_eq(move(COMMAND_YIELD, LIMIT_NET, LIMIT_NOTHING).amount, 0, "one is bought");
    expect_taken(sell(3, 1, PRICE));
}

Test(book_risk, whoever_moves_shares_is_told_what_an_order_lacked)
{
    have_share(ALICE, LIMIT_CREDIT, 10ull * PRICE, 20ull * PRICE);
    expect_broken(buy(1, 13, PRICE), REJECT_MAX_NOTIONAL, LIMIT_CREDIT);
    struct book_share lacking = last_told();
    cr_assert_eq(lacking.type, COMMAND_ENTER);
    cr_assert_eq(lacking.kind, LIMIT_CREDIT);
    cr_assert_eq(lacking.amount, 3ull * PRICE);
    cr_assert_eq(lacking.share, 10ull * PRICE);
    cr_assert_eq(lacking.seq, book_seq(book));
    have_share(ALICE, LIMIT_CREDIT, 10ull * PRICE, 0);
    expect_broken(buy(2, 13, PRICE), REJECT_MAX_NOTIONAL, LIMIT_CREDIT);
    cr_assert_eq(told_count, 0, "a share that does not move");
}

Test(book_risk, a_limit_that_is_lifted_has_no_share)
{
    have_share(ALICE, LIMIT_OPEN_ORDERS, 1, 2);
    have_share(ALICE, LIMIT_OPEN_ORDERS, 0, 2);
    cr_assert_eq(book_limit_total(book, ALICE, LIMIT_OPEN_ORDERS), 0);
    cr_assert_eq(move(COMMAND_RAISE, LIMIT_OPEN_ORDERS, 5).share, 0);
    cr_assert_eq(move(COMMAND_YIELD, LIMIT_OPEN_ORDERS, 5).amount, 0);
    cr_assert_eq(book_limit(book, ALICE, LIMIT_OPEN_ORDERS), 0);
    expect_taken(buy(1, 1, PRICE));
    expect_taken(buy(2, 1, PRICE));
}

Test(book_risk,
     a_sale_executed_above_its_limit_may_use_more_than_the_share_which_then_gives_nothing)
{
    have_share(ALICE, LIMIT_GROSS, 10ull * PRICE, 20ull * PRICE);
    apply_quietly((struct command){.type = COMMAND_TRADING,
                                   .trading = {.state = 'Q', .reference = 2 * PRICE}});
    enter(BOB, 1, SIDE_SELL, 1, 2 * PRICE);
    expect_taken(sell(1, 10, PRICE));
    enter(BOB, 2, SIDE_BUY, 11, 2 * PRICE);
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.state = 'T'});
    struct book_share share = move(COMMAND_YIELD, LIMIT_GROSS, 1);
    cr_assert_eq(share.used, 20ull * PRICE);
    cr_assert_eq(share.share, 10ull * PRICE);
    cr_assert_eq(share.amount, 0);
}

Test(book_risk, what_there_was_before_a_limit_is_used_where_a_share_is_asked_for)
{
    expect_taken(buy(1, 10, PRICE));
    book_tell_shares(book, take_share, NULL);
    cr_assert_eq(move(COMMAND_YIELD, LIMIT_GROSS, LIMIT_NOTHING).used, 10ull * PRICE);
}

// Positions

Test(book_risk, a_position_is_in_one_instrument_and_counts_the_open_orders_of_a_side)
{
    limit(ALICE, LIMIT_POSITION, 100);
    enter(BOB, 1, SIDE_SELL, 60, PRICE);
    expect_taken(buy(1, 60, PRICE)); // 60 bought
    expect_taken(buy(2, 39, PRICE));
    expect_broken(buy(3, 2, PRICE), REJECT_SHARES_EXCEED, LIMIT_POSITION);
    expect_taken(buy(4, 1, PRICE));
    expect_taken(sell(5, 160, 2 * PRICE)); // down to 100 short
    expect_broken(sell(6, 1, 2 * PRICE), REJECT_SHARES_EXCEED, LIMIT_POSITION);
    struct command other = buy(7, 100, PRICE);
    other.instrument = 1;
    expect_taken(other);
}

// Rates

Test(book_risk, a_bucket_holds_a_second_of_orders_and_fills_evenly)
{
    limit(ALICE, LIMIT_ORDER_RATE, 4);
    for (uint32_t number = 1; number <= 4; number++)
        expect_taken(at(0, buy(number, 100, PRICE)));
    expect_broken(at(0, buy(5, 100, PRICE)), REJECT_RISK_RATE, LIMIT_ORDER_RATE);
    expect_broken(at(SECOND_NS / 4 - 1, buy(6, 100, PRICE)), REJECT_RISK_RATE, LIMIT_ORDER_RATE);
    expect_taken(at(SECOND_NS / 4, buy(7, 100, PRICE)));
    expect_replace_rejected(at(SECOND_NS / 4, command_replace(ALICE, 7, 8, 100, PRICE)),
                            REJECT_RISK_RATE, LIMIT_ORDER_RATE);
    apply_quietly(at(SECOND_NS / 4, command_cancel(ALICE, 7, 0)));
    cr_assert(!rests(ALICE, 7), "cancels have a bucket of their own");
}

Test(book_risk, a_cancel_too_many_is_rejected_and_the_order_stays)
{
    limit(ALICE, LIMIT_CANCEL_RATE, 1);
    expect_taken(at(0, buy(1, 100, PRICE)));
    apply_quietly(at(0, command_cancel(ALICE, 1, 50)));
    apply(at(0, command_cancel(ALICE, 1, 0)));
    EXPECT(.type = EVENT_CANCEL_REJECTED, .session = ALICE, .user_ref_num = 1,
           .limit = LIMIT_CANCEL_RATE);
    cr_assert_eq(resting(ALICE, 1).quantity, 50);
    apply(at(SECOND_NS - 1, command_modify(ALICE, 1, SIDE_BUY, 0)));
    EXPECT(.type = EVENT_CANCEL_REJECTED, .session = ALICE, .user_ref_num = 1,
           .limit = LIMIT_CANCEL_RATE);
    apply_quietly(at(SECOND_NS, command_cancel(ALICE, 1, 0)));
    cr_assert(!rests(ALICE, 1));
}

Test(book_risk, orders_alike_are_taken_so_many_times_a_second)
{
    limit(ALICE, LIMIT_DUPLICATES, 2);
    expect_taken(at(0, buy(1, 100, PRICE)));
    expect_taken(at(1, buy(2, 100, PRICE)));
    expect_broken(at(2, buy(3, 100, PRICE)), REJECT_RISK_DUPLICATE, LIMIT_DUPLICATES);
    expect_taken(at(3, buy(4, 101, PRICE)));
    expect_taken(at(4, buy(5, 100, PRICE - CENT)));
    expect_taken(at(5, sell(6, 100, 2 * PRICE)));
    expect_broken(at(SECOND_NS / 2 - 1, buy(7, 100, PRICE)), REJECT_RISK_DUPLICATE,
                  LIMIT_DUPLICATES);
    expect_taken(at(SECOND_NS / 2, buy(8, 100, PRICE)));
}

// What was remembered of them was a sum of their fields, which these have in common.
Test(book_risk, orders_of_different_instruments_are_not_alike)
{
    limit(ALICE, LIMIT_DUPLICATES, 1);
    expect_taken(buy(1, 100, PRICE));
    struct command other = buy(2, 100, PRICE ^ 256);
    other.instrument = 1;
    expect_taken(other);
}

// A token every 19,999 ns, as a division leaves it, are 50,002 a second.
Test(book_risk, a_rate_that_does_not_divide_a_second_is_no_higher_than_it_says)
{
    const uint32_t rate = 50001;
    limit(ALICE, LIMIT_ORDER_RATE, rate);
    for (uint32_t number = 1; number <= rate; number++) {
        struct command command = at(0, buy(number, 100, PRICE));
        command.order.attributes.time_in_force = TIF_IOC;
        expect_taken(command);
    }
    expect_broken(at(0, buy(rate + 1, 100, PRICE)), REJECT_RISK_RATE, LIMIT_ORDER_RATE);
}

Test(book_risk, executions_too_many_keep_a_member_out_until_an_operator_lets_it_in)
{
    limit(ALICE, LIMIT_EXECUTIONS, 2);
    for (uint32_t number = 1; number <= 3; number++)
        enter(BOB, number, SIDE_SELL, 10, PRICE);
    expect_taken(at(0, buy(1, 20, PRICE))); // two
    expect_taken(at(0, buy(2, 20, PRICE))); // the third; what is left of the order rests
    cr_assert(rests(ALICE, 2));
    expect_broken(at(5 * SECOND_NS, buy(3, 10, PRICE)), REJECT_FIRM_NOT_AUTHORIZED,
                  LIMIT_EXECUTIONS);
    struct command allow = {.type = COMMAND_ENTRY,
                            .session = ANY_SESSION,
                            .entry.session = ANY_SESSION,
                            .entry.allowed = 1};
    memcpy(allow.entry.firm, firm_of_session(ALICE), 4);
    apply_quietly(at(5 * SECOND_NS, allow));
    expect_taken(at(5 * SECOND_NS, buy(4, 10, PRICE)));
}

Test(book_risk, orders_beyond_the_first_thousand_need_executions)
{
    limit(ALICE, LIMIT_ORDERS_PER_TRADE, 2);
    for (uint32_t number = 1; number <= 1000; number++)
        apply_quietly(command_enter_ioc(ALICE, number, SIDE_BUY, 1, PRICE));
    expect_broken(buy(1001, 1, PRICE), REJECT_OTHER, LIMIT_ORDERS_PER_TRADE);
    limit(ALICE, LIMIT_ORDERS_PER_TRADE, 0);
    enter(BOB, 1, SIDE_SELL, 1, PRICE);
    expect_taken(buy(1002, 1, PRICE));
    limit(ALICE, LIMIT_ORDERS_PER_TRADE, 4); // one execution, 1,002 orders
    expect_taken(buy(1003, 1, PRICE));
    expect_taken(buy(1004, 1, PRICE));
    expect_broken(buy(1005, 1, PRICE), REJECT_OTHER, LIMIT_ORDERS_PER_TRADE);
}

// Instruments

Test(book_risk, prices_and_quantities_are_multiples_of_tick_and_lot)
{
    limit_symbol(0, LIMIT_TICK, 100);
    limit_symbol(0, LIMIT_LOT, 10);
    expect_taken(buy(1, 10, PRICE));
    expect_broken(buy(2, 10, PRICE - 1), REJECT_INVALID_PRICE, LIMIT_TICK);
    expect_broken(buy(3, 10, PRICE + 1), REJECT_INVALID_PRICE, LIMIT_TICK);
    expect_broken(buy(4, 9, PRICE), REJECT_INVALID_QUANTITY, LIMIT_LOT);
    expect_broken(buy(5, 11, PRICE), REJECT_INVALID_QUANTITY, LIMIT_LOT);
    struct command other = buy(6, 11, PRICE + 1);
    other.instrument = 1;
    expect_taken(other);
}

Test(book_risk, a_lot_may_be_larger_than_any_quantity)
{
    static const uint64_t lots[] = {QUANTITY_MAX, QUANTITY_MAX + 1, UINT32_MAX, 1ull << 32,
                                    UINT64_MAX};
    for (uint32_t i = 0; i < sizeof(lots) / sizeof(lots[0]); i++) {
        limit_symbol(0, LIMIT_LOT, lots[i]);
        expect_broken(buy(2 * i + 1, 1, PRICE), REJECT_INVALID_QUANTITY, LIMIT_LOT);
        struct command most = buy(2 * i + 2, QUANTITY_MAX, PRICE);
        if (lots[i] == QUANTITY_MAX)
            expect_taken(most);
        else
            expect_broken(most, REJECT_INVALID_QUANTITY, LIMIT_LOT);
    }
    limit_symbol(0, LIMIT_LOT, 0);
    expect_taken(buy(20, 7, PRICE));
}

Test(book_risk, a_collar_keeps_prices_near_the_reference)
{
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.reference = PRICE});
    limit_symbol(0, LIMIT_COLLAR, 1000); // a tenth
    expect_taken(buy(1, 10, PRICE / 10 * 9));
    expect_broken(buy(2, 10, PRICE / 10 * 9 - 1), REJECT_RISK_FAT_FINGER, LIMIT_COLLAR);
    expect_taken(sell(3, 10, PRICE / 10 * 11));
    expect_broken(sell(4, 10, PRICE / 10 * 11 + 1), REJECT_RISK_FAT_FINGER, LIMIT_COLLAR);
    expect_taken(buy(5, 1, PRICE_MARKET));
}

Test(book_risk, a_collar_follows_the_reference_and_the_price_of_a_cross)
{
    uint32_t higher = PRICE / 10 * 22;
    limit_symbol(0, LIMIT_COLLAR, 1000);
    expect_taken(buy(1, 10, PRICE)); // there is no reference
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.reference = 2 * PRICE});
    expect_broken(buy(2, 10, PRICE), REJECT_RISK_FAT_FINGER, LIMIT_COLLAR);
    enter(BOB, 1, SIDE_SELL, 10, higher);
    expect_taken(buy(3, 10, higher)); // trades
    expect_broken(sell(4, 10, higher + 1), REJECT_RISK_FAT_FINGER, LIMIT_COLLAR);
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.state = 'O'});
    enter(BOB, 2, SIDE_SELL, 10, higher);
    expect_taken(buy(5, 10, higher));
    apply_quietly((struct command){.type = COMMAND_TRADING, .trading.state = 'T'}); // the cross
    expect_taken(sell(6, 10, higher / 10 * 11));
    expect_broken(sell(7, 10, higher / 10 * 11 + 1), REJECT_RISK_FAT_FINGER, LIMIT_COLLAR);
}

Test(book_risk, the_fat_finger_check_keeps_prices_near_the_last_one_once_there_is_one)
{
    limit_symbol(0, LIMIT_FAT_FINGER, 100);
    enter(BOB, 1, SIDE_SELL, 10, PRICE);
    expect_taken(buy(1, 10, 3 * PRICE)); // trades at PRICE
    expect_taken(buy(2, 10, PRICE / 100 * 99));
    expect_broken(buy(3, 10, PRICE / 100 * 99 - 1), REJECT_FAT_FINGER, LIMIT_FAT_FINGER);
    expect_broken(sell(4, 10, PRICE / 100 * 101 + 1), REJECT_FAT_FINGER, LIMIT_FAT_FINGER);
    limit_symbol(0, LIMIT_FAT_FINGER, 100); // said again: from the next execution on
    expect_taken(buy(5, 10, PRICE / 2));
}

// Positions

static void drop_events(struct event_sink *sink)
{
    sink->next = sink->context;
}

static uint64_t orders_of(const struct book *wide)
{
    struct book_summary summary;
    book_summarise(wide, &summary);
    return summary.order_count;
}

// A book once kept 16,384 positions, and refused orders that needed another.
Test(book_risk, each_member_has_a_position_in_each_instrument)
{
    struct book_limits wide_limits = {
        .orders_max = 40000, .instruments_max = 200, .sessions_max = 100};
    struct event room[64];
    struct event_sink sink = {room, room + 64, drop_events, room};
    struct book *wide = book_open(aligned_alloc(64, book_memory_size(&wide_limits)), &wide_limits);
    book_apply(wide, &(struct command){.type = COMMAND_OPEN, .open.limits = wide_limits}, &sink);
    for (uint16_t i = 0; i < wide_limits.instruments_max; i++)
        book_apply(wide, &(struct command){.type = COMMAND_INSTRUMENT, .instrument = i}, &sink);
    for (uint16_t i = 0; i < wide_limits.sessions_max; i++) {
        struct command session = {.type = COMMAND_SESSION, .session = i};
        struct command position = {.type = COMMAND_LIMIT, .session = ANY_SESSION};
        snprintf(session.member.firm, sizeof(session.member.firm), "F%02u", i % 100u);
        memcpy(position.limit.firm, session.member.firm, sizeof(position.limit.firm));
        position.side = LIMIT_POSITION;
        position.limit.value = 10;
        book_apply(wide, &session, &sink);
        book_apply(wide, &position, &sink);
    }
    book_apply(wide, &(struct command){.type = COMMAND_START}, &sink);
    uint64_t pairs = (uint64_t)wide_limits.sessions_max * wide_limits.instruments_max;
    for (uint32_t quantity = 10; quantity >= 9; quantity--) { // up to the limit, and beyond
        for (uint32_t i = 0; i < pairs; i++) {
            struct command command = {.type = COMMAND_ENTER,
                                      .session = (uint16_t)(i % wide_limits.sessions_max),
                                      .instrument = (uint16_t)(i / wide_limits.sessions_max)};
            command.order.user_ref_num = command.instrument + 1 + (10 - quantity) * 1000;
            command.order.quantity = quantity;
            command.order.price = PRICE;
            book_apply(wide, &command, &sink);
        }
        cr_assert_eq(orders_of(wide), pairs);
    }
    free(wide);
}

// The port's verdicts

Test(book_risk, a_replacement_that_the_port_has_refused_leaves_the_order)
{
    expect_taken(buy(1, 10, PRICE));
    struct command command = command_replace(ALICE, 1, 2, 20, PRICE);
    command.verdict = REJECT_RISK_QUANTITY;
    expect_replace_rejected(command, REJECT_RISK_QUANTITY, LIMIT_QUANTITY);
    cr_assert(rests(ALICE, 1));
    cr_assert_eq(last_number(ALICE), 2);
}

// A disk that is nearly full canceled it.
Test(book_risk, a_replacement_that_there_is_no_room_for_leaves_the_order)
{
    expect_taken(buy(1, 20, PRICE));
    struct command command = command_replace(ALICE, 1, 2, 20, PRICE - CENT);
    memcpy(command.order.client_order_id, "second", 6);
    command.verdict = REJECT_PROCESSING_ERROR;
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 2,
           .code = REJECT_PROCESSING_ERROR, .order.client_order_id = "second");
    cr_assert(rests(ALICE, 1));
}

// Another kind of sale

Test(book_risk, a_banned_kind_of_sale_is_not_come_by_through_a_change)
{
    expect_taken(sell(1, 30, PRICE));
    limit(ALICE, LIMIT_NO_SHORT, 1);
    struct command command = command_replace(ALICE, 1, 2, 20, PRICE);
    command.order.kept = KEPT_ALL | SAID_SIDE;
    command.side = SIDE_SELL_SHORT;
    expect_replace_rejected(command, REJECT_RISK_SHORT, LIMIT_NO_SHORT);
    apply_quietly(command_modify(ALICE, 1, SIDE_SELL_SHORT, 20));
    cr_assert_eq(resting(ALICE, 1).side, SIDE_SELL);
    cr_assert_eq(resting(ALICE, 1).quantity, 30);
    apply_quietly(command_modify(ALICE, 1, SIDE_SELL_SHORT_EXEMPT, 20));
    cr_assert_eq(resting(ALICE, 1).side, SIDE_SELL_SHORT_EXEMPT);
}

Test(book_risk, what_was_sold_short_before_a_ban_can_still_be_made_less)
{
    struct command command = sell(1, 30, PRICE);
    command.side = SIDE_SELL_SHORT;
    expect_taken(command);
    limit(ALICE, LIMIT_NO_SHORT, 1);
    apply_quietly(command_modify(ALICE, 1, SIDE_SELL_SHORT, 20));
    cr_assert_eq(resting(ALICE, 1).quantity, 20);
}

Test(book_risk, what_was_sold_short_before_a_ban_cannot_be_replaced)
{
    struct command command = sell(1, 30, PRICE);
    command.side = SIDE_SELL_SHORT;
    expect_taken(command);
    limit(ALICE, LIMIT_NO_SHORT, 1);
    expect_replace_rejected(command_replace(ALICE, 1, 2, 300, PRICE), REJECT_RISK_SHORT,
                            LIMIT_NO_SHORT);
    limit(ALICE, LIMIT_NO_SHORT, 0);
    expect_taken(command_replace(ALICE, 1, 3, 300, PRICE));
}

Test(book_risk, limits_are_told_and_lifted)
{
    limit(ALICE, LIMIT_QUANTITY, 100);
    cr_assert_eq(book_limit(book, ALICE, LIMIT_QUANTITY), 100);
    cr_assert_eq(book_limit(book, BOB, LIMIT_QUANTITY), 0);
    limit_symbol(1, LIMIT_TICK, 5);
    cr_assert_eq(book_limit(book, 1, LIMIT_TICK), 5);
    cr_assert_eq(book_limit(book, 0, LIMIT_TICK), 0);
    cr_assert_eq(book_limit(book, 0, LIMIT_MEMBER_END), 0);
    limit(ALICE, LIMIT_QUANTITY, 0);
    cr_assert_eq(book_limit(book, ALICE, LIMIT_QUANTITY), 0);
}
