// SPDX-License-Identifier: MIT
//
// Examples of docs/rules.md: halts, and who may enter orders. Every command goes to the book and to
// the reference; both must give exactly the events that are written here.
#include "tests/unit/book_examples.h"

#include <stdio.h>

TestSuite(book_control, .init = set_up, .fini = finish);
TestSuite(book_control_preopen, .init = set_up_preopen, .fini = finish);

static struct command command_trading(uint16_t instrument, char state)
{
    return (struct command){
        .type = COMMAND_TRADING, .instrument = instrument, .trading.state = (uint8_t)state};
}

static void expect_action(uint16_t instrument, uint8_t code)
{
    struct event action = {
        .type = EVENT_FEED_ACTION, .session = FEED_SESSION, .instrument = instrument, .code = code};
    memcpy(action.listing.symbol, instrument == 0 ? "ACME    " : "ZENITH  ", 8);
    expect_event(__LINE__, action);
}

static void halt(uint16_t instrument)
{
    apply_quietly(command_trading(instrument, 'H'));
}

static struct command on_second(struct command command)
{
    command.instrument = 1;
    return command;
}

static struct command only_from(char phase, struct command command)
{
    command.trading.from = (uint8_t)phase;
    return command;
}

static struct command scheduled(char state)
{
    struct command command = command_trading(0, state);
    command.trading.source = TRADING_CALENDAR;
    return command;
}

// An operator's: `whose` session, or ANY_SESSION, and a firm, or "".
static struct command command_bar(uint16_t whose, const char *firm, bool allowed)
{
    struct command command = {.type = COMMAND_ENTRY,
                              .session = ANY_SESSION,
                              .entry.session = whose,
                              .entry.allowed = allowed};
    memcpy(command.entry.firm, firm, strlen(firm));
    return command;
}

// A client's own: OUCH Disable and Enable Order Entry.
static struct command command_entry(uint16_t session, uint32_t user_ref_num, const char *firm,
                                    bool allowed)
{
    struct command command = command_bar(session, firm, allowed);
    command.session = session;
    command.entry.user_ref_num = user_ref_num;
    return command;
}

// The same of a firm in one symbol.
static struct command in_symbol(uint16_t instrument, struct command command)
{
    command.instrument = instrument;
    command.entry.in_symbol = 1;
    return command;
}

static void expect_refused(uint16_t session, uint32_t user_ref_num, uint8_t code)
{
    expect_rejected(command_enter(session, user_ref_num, SIDE_BUY, 100, PRICE), code);
}

// As everything else of a book that nobody has opened yet.
Test(book_day, a_bar_before_the_day_is_opened_is_none)
{
    open_book();
    apply((struct command){.type = COMMAND_ENTRY, .session = ANY_SESSION});
    apply_quietly(command_open());
    apply_quietly(command_instrument(0));
    apply_quietly(command_session(ALICE));
    apply_quietly((struct command){.type = COMMAND_START});
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE));
    cr_assert_eq(events[0].type, EVENT_ACCEPTED);
    skip_events();
}

// Halts

Test(book_control, a_halt_is_told_on_the_feed_once)
{
    apply(command_trading(0, 'H'));
    expect_action(0, 'H');
    apply(command_trading(0, 'H'));
    expect_nothing();
    apply(command_trading(0, 'T'));
    expect_action(0, 'T');
    apply(command_trading(0, 'T'));
    expect_nothing();
}

Test(book_control, a_halt_of_everything_halts_each_instrument_that_trades)
{
    halt(0);
    apply(command_trading(NO_INSTRUMENT, 'H'));
    expect_action(1, 'H');
    apply(command_trading(NO_INSTRUMENT, 'T'));
    expect_action(0, 'T');
    expect_action(1, 'T');
}

Test(book_control, the_end_of_a_pause_ends_no_halt)
{
    apply_quietly(command_trading(0, 'P'));
    halt(0);
    apply(only_from('P', command_trading(0, 'T')));
    expect_nothing();
    cr_assert_eq(book_phase(book, 0), 'H');
    apply_quietly(command_trading(NO_INSTRUMENT, 'P'));
    halt(0);
    apply_quietly(only_from('P', command_trading(NO_INSTRUMENT, 'T')));
    cr_assert_eq(book_phase(book, 0), 'H');
    cr_assert_eq(book_phase(book, 1), 'T');
    cr_assert_eq(book_phase(book, NO_INSTRUMENT), 0);
}

static void expect_phase(struct command command, char phase)
{
    apply_quietly(command);
    cr_assert_eq(book_phase(book, 0), phase);
}

Test(book_control, the_calendar_ends_no_halt_that_an_operator_began)
{
    expect_phase(scheduled('O'), 'O');
    expect_phase(command_trading(0, 'H'), 'H');
    expect_phase(scheduled('T'), 'H');
    expect_phase(command_trading(0, 'Q'), 'Q');
    expect_phase(scheduled('O'), 'Q');
    expect_phase(scheduled('L'), 'Q');
    expect_phase(scheduled('C'), 'C');
}

Test(book_control, who_resumes_goes_on_with_what_the_calendar_has)
{
    expect_phase(scheduled('O'), 'O');
    expect_phase(command_trading(0, 'H'), 'H');
    expect_phase(command_trading(0, 'R'), 'O');
    expect_phase(command_trading(0, 'H'), 'H');
    expect_phase(scheduled('T'), 'H');
    expect_phase(command_trading(0, 'R'), 'T');
    halt(1);
    apply_quietly(on_second(command_trading(0, 'R')));
    cr_assert_eq(book_phase(book, 1), 'T', "there is no calendar");
}

Test(book_control, the_calendar_ends_its_own_halt_and_none_in_it)
{
    expect_phase(scheduled('H'), 'H');
    expect_phase(scheduled('T'), 'T');
    expect_phase(scheduled('H'), 'H');
    expect_phase(command_trading(0, 'H'), 'H');
    expect_phase(command_trading(0, 'R'), 'H');
    expect_phase(scheduled('Q'), 'Q');
    expect_phase(command_trading(0, 'H'), 'H');
    expect_phase(scheduled('T'), 'H');
    expect_phase(command_trading(0, 'R'), 'T');
}

static struct command by_risk(char state)
{
    struct command command = command_trading(0, state);
    command.trading.source = TRADING_RISK;
    return command;
}

Test(book_control, what_risk_has_halted_only_risk_and_the_close_end)
{
    expect_phase(scheduled('O'), 'O');
    expect_phase(by_risk('H'), 'H');
    expect_phase(command_trading(NO_INSTRUMENT, 'R'), 'H');
    expect_phase(command_trading(0, 'T'), 'H');
    expect_phase(command_trading(0, 'H'), 'H');
    expect_phase(scheduled('T'), 'H');
    expect_phase(command_trading(0, 'R'), 'H');
    expect_phase(by_risk('R'), 'T');
    expect_phase(command_trading(0, 'H'), 'H');
    expect_phase(by_risk('R'), 'H');
    expect_phase(by_risk('H'), 'H');
    expect_phase(command_trading(0, 'R'), 'H');
    expect_phase(command_trading(0, 'C'), 'C');
}

Test(book_control, what_the_calendar_says_again_has_no_effect)
{
    expect_phase(scheduled('T'), 'T');
    expect_phase(command_trading(0, 'P'), 'P');
    expect_phase(scheduled('T'), 'P');
    expect_phase(scheduled('O'), 'O');
    expect_phase(scheduled('T'), 'T');
}

Test(book_control, orders_in_a_halted_instrument_are_rejected_and_others_are_not)
{
    halt(0);
    expect_refused(ALICE, 1, REJECT_HALTED);
    apply_quietly(on_second(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE)));
    cr_assert(rests(ALICE, 2));
    apply_quietly(command_trading(0, 'T'));
    enter(ALICE, 3, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 3));
}

Test(book_control, a_halt_rejects_replacements_and_leaves_the_old_order)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    halt(0);
    apply(command_replace(ALICE, 1, 2, 100, PRICE + CENT));
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 2, .code = REJECT_HALTED);
    cr_assert_eq(resting(ALICE, 1).price, PRICE);
    cr_assert_eq(last_number(ALICE), 2);
}

Test(book_control, in_a_halt_orders_are_cancelled_and_reduced)
{
    uint64_t first = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(ALICE, 2, SIDE_BUY, 100, PRICE);
    halt(0);
    apply(command_cancel(ALICE, 1, 0));
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'U', .trade.order_ref = first);
    EXPECT_DELETED(SIDE_BUY, 100, PRICE, first);
    apply_quietly(command_modify(ALICE, 2, SIDE_BUY, 40));
    cr_assert_eq(resting(ALICE, 2).quantity, 40);
}

Test(book_control, midpoints_wait_for_the_end_of_a_halt)
{
    // Both sides are pegged, and there is no market to be in the middle of until a spread appears.
    struct command buy = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE + 10 * CENT);
    struct command sell = command_enter(BOB, 1, SIDE_SELL, 100, PRICE - 10 * CENT);
    buy.order.attributes.peg = sell.order.attributes.peg = PEG_MIDPOINT;
    buy.order.attributes.display = sell.order.attributes.display = DISPLAY_HIDDEN;
    enter(CAROL, 1, SIDE_BUY, 100, PRICE - 100 * CENT);
    enter(CAROL, 2, SIDE_SELL, 100, PRICE - 60 * CENT);
    enter(CAROL, 3, SIDE_SELL, 100, PRICE + 100 * CENT);
    apply_quietly(buy);
    apply_quietly(sell); // the middle is too low for it
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
    halt(0);
    apply_quietly(command_cancel(CAROL, 2, 0)); // now it would not be
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
    apply_quietly(command_trading(0, 'T'));
    cr_assert_not(rests(ALICE, 1));
    cr_assert_not(rests(BOB, 1));
}

Test(book_control_preopen, a_halt_before_the_start_holds_after_it)
{
    apply(command_trading(1, 'H'));
    expect_action(1, 'H');
    apply_quietly(command_start);
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = on_second(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE));
    expect_rejected(command, REJECT_HALTED);
}

Test(book_control, states_and_instruments_that_there_are_not_are_ignored)
{
    apply(command_trading(0, 'X'));
    expect_nothing();
    apply(command_trading(2, 'H'));
    expect_nothing();
    apply_quietly(command_close);
    apply(command_trading(0, 'H'));
    expect_nothing();
}

// Bars

Test(book_control, a_client_disables_and_enables_its_own_entry)
{
    uint64_t ref = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply(command_entry(ALICE, 2, "", false));
    EXPECT(.type = EVENT_ENTRY_DISABLED, .session = ALICE, .user_ref_num = 2);
    expect_refused(ALICE, 3, REJECT_FIRM_NOT_AUTHORIZED);
    cr_assert_eq(resting(ALICE, 1).order_ref, ref); // open orders stay
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    cr_assert(rests(BOB, 1));
    apply(command_entry(ALICE, 4, "", true));
    EXPECT(.type = EVENT_ENTRY_ENABLED, .session = ALICE, .user_ref_num = 4);
    enter(ALICE, 5, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 5));
}

Test(book_control, a_firm_of_a_session_is_disabled_alone)
{
    apply(command_entry(ALICE, 1, "BRAV", false));
    EXPECT(.type = EVENT_ENTRY_DISABLED, .session = ALICE, .user_ref_num = 1, .firm = "BRAV");
    enter(ALICE, 2, SIDE_BUY, 100, PRICE); // of its own firm, ALFA
    cr_assert(rests(ALICE, 2));
    struct command other = command_enter(ALICE, 3, SIDE_BUY, 100, PRICE);
    memcpy(other.order.firm, "BRAV", 4);
    expect_rejected(other, REJECT_FIRM_NOT_AUTHORIZED);
    enter(BOB, 1, SIDE_BUY, 100, PRICE); // whose firm it is, but another session
    cr_assert(rests(BOB, 1));
}

Test(book_control, a_number_used_before_changes_nothing)
{
    enter(ALICE, 5, SIDE_BUY, 100, PRICE);
    apply(command_entry(ALICE, 5, "", false));
    expect_nothing();
    enter(ALICE, 6, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 6));
}

Test(book_control, an_operators_bar_is_not_the_clients_to_lift)
{
    apply(command_bar(ALICE, "", false));
    expect_nothing(); // an operator hears by other means
    expect_refused(ALICE, 1, REJECT_FIRM_NOT_AUTHORIZED);
    apply_quietly(command_entry(ALICE, 2, "", true));
    expect_refused(ALICE, 3, REJECT_FIRM_NOT_AUTHORIZED);
    apply(command_bar(ALICE, "", true));
    expect_nothing();
    enter(ALICE, 4, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 4));
}

Test(book_control, an_operator_bars_a_firm_on_every_session)
{
    apply(command_bar(ANY_SESSION, "BRAV", false));
    expect_nothing();
    expect_refused(BOB, 1, REJECT_FIRM_NOT_AUTHORIZED);
    struct command other = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    memcpy(other.order.firm, "BRAV", 4);
    expect_rejected(other, REJECT_FIRM_NOT_AUTHORIZED);
    enter(ALICE, 2, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 2));
}

Test(book_control, an_operator_bars_everybody_and_those_who_come_later)
{
    apply_quietly(command_bar(ANY_SESSION, "", false));
    apply_quietly(command_session(3));
    for (uint16_t session = 0; session < 4; session++)
        expect_refused(session, 1, REJECT_FIRM_NOT_AUTHORIZED);
    apply_quietly(command_bar(ANY_SESSION, "", true));
    enter(3, 2, SIDE_BUY, 100, PRICE);
    cr_assert(rests(3, 2));
}

Test(book_control, a_bar_rejects_replacements_by_the_orders_firm)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    memcpy(command.order.firm, "BRAV", 4);
    apply_quietly(command);
    enter(ALICE, 2, SIDE_BUY, 100, PRICE);
    apply_quietly(command_bar(ANY_SESSION, "BRAV", false));
    apply(command_replace(ALICE, 1, 3, 50, PRICE));
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 3,
           .code = REJECT_FIRM_NOT_AUTHORIZED);
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
    apply_quietly(command_replace(ALICE, 2, 4, 50, PRICE));
    cr_assert_eq(resting(ALICE, 4).quantity, 50);
}

Test(book_control, an_operator_bars_a_firm_from_a_symbol)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    apply(in_symbol(0, command_bar(ANY_SESSION, "BRAV", false)));
    expect_nothing();
    struct command named = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    memcpy(named.order.firm, "BRAV", 4);
    expect_rejected(named, REJECT_FIRM_NOT_AUTHORIZED);
    expect_refused(BOB, 2, REJECT_FIRM_NOT_AUTHORIZED);
    apply(command_replace(BOB, 1, 3, 50, PRICE));
    EXPECT(.type = EVENT_REJECTED, .session = BOB, .user_ref_num = 3,
           .code = REJECT_FIRM_NOT_AUTHORIZED);
    apply_quietly(on_second(command_enter(BOB, 4, SIDE_BUY, 100, PRICE)));
    cr_assert(rests(BOB, 4));
    enter(ALICE, 2, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 2));
    apply_quietly(command_cancel(BOB, 1, 0));
    cr_assert_not(rests(BOB, 1));
    apply_quietly(command_bar(ANY_SESSION, "BRAV", true)); // another bar's end
    expect_refused(BOB, 5, REJECT_FIRM_NOT_AUTHORIZED);
    apply_quietly(in_symbol(0, command_bar(ANY_SESSION, "BRAV", true)));
    enter(BOB, 6, SIDE_BUY, 100, PRICE);
    cr_assert(rests(BOB, 6));
}

Test(book_control_preopen, entry_cannot_be_disabled_before_the_start)
{
    apply(command_entry(ALICE, 1, "", false));
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 1,
           .code = REJECT_DESTINATION_CLOSED);
    apply_quietly(command_bar(BOB, "", false)); // by an operator it can
    apply_quietly(command_start);
    expect_refused(BOB, 1, REJECT_FIRM_NOT_AUTHORIZED);
    enter(ALICE, 2, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 2));
}

// Clients can fill no more than three quarters of the table, and when the operator's quarter is
// full as well the next bar of his is everybody's.
Test(book_control, when_there_is_no_room_for_a_bar_everybody_is_barred)
{
    struct event_sink sink = {events, events + 64, too_many_events, NULL};
    for (uint32_t i = 0; i < BOOK_BARS_MAX; i++) {
        char firm[5];
        snprintf(firm, sizeof(firm), "%04u", i);
        struct command client = command_entry(ALICE, i + 1, firm, false);
        client.time_ns = MIDNIGHT_NS + i * 1000000000ull / BOOK_PASS_RATE;
        sink.next = events;
        book_apply(book, &client, &sink);
        cr_assert_eq(events[0].type,
                     i < BOOK_BARS_MAX / 4 * 3 ? EVENT_ENTRY_DISABLED : EVENT_REJECTED);
    }
    struct command order = command_enter(BOB, 1, SIDE_BUY, 100, PRICE);
    for (uint32_t i = 0; i <= BOOK_BARS_MAX / 4; i++) {
        char firm[5];
        snprintf(firm, sizeof(firm), "%04X", 0xF000 + i);
        struct command operators = command_bar(CAROL, firm, false);
        sink.next = events;
        book_apply(book, &operators, &sink);
        order.order.user_ref_num = i + 1;
        book_apply(book, &order, &sink);
        cr_assert_eq(events[0].type, i < BOOK_BARS_MAX / 4 - 1 ? EVENT_ACCEPTED : EVENT_REJECTED,
                     "%u", i);
        struct command cancel = command_cancel(BOB, i + 1, 0);
        book_apply(book, &cancel, &sink);
    }
}

// Each goes over all sessions, or all orders: nobody's rate was taken from, and a session with a
// few packets a second could stop a shard.
Test(book_control, a_session_has_so_many_switches_and_mass_cancels_a_second)
{
    for (uint32_t number = 1; number <= BOOK_PASS_RATE; number++) {
        struct command command = command_entry(ALICE, number, "ALFA", number % 2 != 0);
        if (number > BOOK_PASS_RATE / 2)
            command = (struct command){
                .type = COMMAND_MASS_CANCEL,
                .session = ALICE,
                .instrument = NO_INSTRUMENT,
                .mass = {
                    .user_ref_num = number, .session = ALICE, .side = ANY_SIDE, .reason = 'U'}};
        command.time_ns = MIDNIGHT_NS;
        apply(command);
        cr_assert_neq(events[0].type, EVENT_REJECTED);
        skip_events();
    }
    struct command more = command_entry(ALICE, BOOK_PASS_RATE + 1, "ALFA", true);
    more.time_ns = MIDNIGHT_NS + 1000000000 / BOOK_PASS_RATE - 1;
    apply(more);
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = BOOK_PASS_RATE + 1,
           .code = REJECT_RISK_RATE);
    struct command others = command_entry(BOB, 1, "BRAV", true);
    others.time_ns = more.time_ns;
    apply_quietly(others);
    cr_assert_eq(events[0].type, EVENT_ENTRY_ENABLED);
    more.entry.user_ref_num++;
    more.time_ns++;
    apply_quietly(more);
    cr_assert_eq(events[0].type, EVENT_ENTRY_ENABLED);
}

static struct book_record records[128];
static uint32_t record_count;

static bool keep_record(void *context, const struct book_record *record)
{
    (void)context;
    cr_assert_lt(record_count, 128);
    records[record_count++] = *record;
    return true;
}

// The book from its snapshot.
static struct book *loaded_again(void *memory)
{
    cr_assert(book_save(book, keep_record, NULL));
    struct book *other = book_open(memory, &limits);
    for (uint32_t i = 0; i < record_count; i++)
        cr_assert_null(book_load(other, &records[i]));
    cr_assert_eq(book_hash(other), book_hash(book));
    return other;
}

Test(book_control, a_snapshot_has_halts_and_bars)
{
    static alignas(64) unsigned char memory[1 << 20];
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    uint64_t before = book_hash(book);
    halt(1);
    uint64_t halted = book_hash(book);
    for (uint32_t i = 0; i < 20; i++) {
        char firm[5];
        snprintf(firm, sizeof(firm), "F%03u", (i * 7) % 20);
        apply_quietly(command_bar(i % 3 == 0 ? ANY_SESSION : BOB, firm, false));
    }
    cr_assert(before != halted && halted != book_hash(book));
    struct book *other = loaded_again(memory);
    struct event_sink sink = {events, events + 64, too_many_events, NULL};
    struct command command = on_second(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE));
    book_apply(other, &command, &sink);
    cr_assert_eq(events[0].code, REJECT_HALTED);
    command = command_enter(BOB, 1, SIDE_BUY, 100, PRICE);
    memcpy(command.order.firm, "F007", 4);
    sink.next = events;
    book_apply(other, &command, &sink);
    cr_assert_eq(events[0].code, REJECT_FIRM_NOT_AUTHORIZED);
    event_count = expected_count = 0;
}

Test(book_control, a_snapshot_has_bars_from_a_symbol)
{
    static alignas(64) unsigned char memory[1 << 20];
    uint64_t before = book_hash(book);
    apply_quietly(in_symbol(1, command_bar(ANY_SESSION, "BRAV", false)));
    cr_assert_neq(book_hash(book), before);
    struct book *other = loaded_again(memory);
    struct event_sink sink = {events, events + 64, too_many_events, NULL};
    struct command command = on_second(command_enter(BOB, 1, SIDE_BUY, 100, PRICE));
    book_apply(other, &command, &sink);
    cr_assert_eq(events[0].code, REJECT_FIRM_NOT_AUTHORIZED);
    command = in_symbol(1, command_bar(ANY_SESSION, "BRAV", true));
    sink.next = events;
    book_apply(other, &command, &sink);
    command = on_second(command_enter(BOB, 2, SIDE_BUY, 100, PRICE));
    book_apply(other, &command, &sink);
    cr_assert_eq(events[0].type, EVENT_ACCEPTED);
    event_count = expected_count = 0;
}
