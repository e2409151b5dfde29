// SPDX-License-Identifier: MIT
//
// The rules of the matching core, one example each. Every command goes to the book and to the
// reference; both must give exactly the events that are written here.
#include <criterion/criterion.h>
#include <stdalign.h>

#include "book/book.h"
#include "tests/unit/reference.h"

#define MIDNIGHT_NS 1700006400000000000ull
#define ORDERS_MAX  12
#define PRICE       500000u // 50 dollars
#define CENT        100u
#define SET_UP_SEQ  7u // of the last command of set_up

enum { ALICE, BOB, CAROL };

static const struct book_limits limits = {
    .orders_max = ORDERS_MAX, .instruments_max = 3, .sessions_max = 4};

static struct reference reference;
static struct book *book;
static alignas(64) unsigned char book_memory[1 << 20];

static struct event events[64]; // of the last command
static size_t event_count;
static size_t expected_count; // how many of them the test has named
static uint64_t command_seq;
static uint64_t time_ns;
static uint64_t stream_seqs[4], feed_seq;

static void too_many_events(struct event_sink *sink)
{
    (void)sink;
    cr_assert_fail("more than 64 events");
}

// Give a command; returns its seq.
static uint64_t apply(struct command command)
{
    cr_assert_eq(expected_count, event_count, "command %zu: %zu events expected, %zu came",
                 (size_t)command_seq, expected_count, event_count);
    if (!command.time_ns)
        command.time_ns = MIDNIGHT_NS + 1000 * (command_seq + 1);
    time_ns = command.time_ns;
    struct event_sink sink = {events, events + 64, too_many_events, NULL};
    memset(events, 0xEE, sizeof(events));
    book_apply(book, &command, &sink);
    event_count = (size_t)(sink.next - events);
    expected_count = 0;
    reference_apply(&reference, &command);
    cr_assert_eq(reference.event_count, event_count, "the reference gives %u events, the book %zu",
                 reference.event_count, event_count);
    cr_assert(event_count == 0 ||
                  memcmp(reference.events, events, event_count * sizeof(struct event)) == 0,
              "reference and book differ");
    return ++command_seq;
}

// The next event of the last command is `expected`, once its seq, its time and its place in its
// stream are filled in.
static void expect_event(int line, struct event expected)
{
    cr_assert_lt(expected_count, event_count, "line %d: no event came", line);
    const struct event *got = &events[expected_count++];
    expected.seq = command_seq;
    expected.time_ns = time_ns < MIDNIGHT_NS ? 0 : time_ns - MIDNIGHT_NS;
    expected.stream_seq =
        expected.session == FEED_SESSION ? ++feed_seq : ++stream_seqs[expected.session];
    cr_assert_eq(got->type, expected.type, "line %d: type %u", line, got->type);
    cr_assert_eq(got->seq, expected.seq, "line %d: seq %zu", line, (size_t)got->seq);
    cr_assert_eq(got->time_ns, expected.time_ns, "line %d: time %zu", line, (size_t)got->time_ns);
    cr_assert_eq(got->session, expected.session, "line %d: session %u", line, got->session);
    cr_assert_eq(got->stream_seq, expected.stream_seq, "line %d: stream seq %zu", line,
                 (size_t)got->stream_seq);
    cr_assert_eq(got->quantity, expected.quantity, "line %d: quantity %u", line, got->quantity);
    cr_assert_eq(got->price, expected.price, "line %d: price %u", line, got->price);
    cr_assert_eq(got->code, expected.code, "line %d: code %u", line, got->code);
    cr_assert(memcmp(got, &expected, sizeof(expected)) == 0, "line %d: another field differs",
              line);
}

#define EXPECT(...)      expect_event(__LINE__, (struct event){__VA_ARGS__})
#define EXPECT_FEED(...) EXPECT(.session = FEED_SESSION, __VA_ARGS__)

static void expect_nothing(void)
{
    cr_assert_eq(event_count, 0, "%zu events came", event_count);
}

// For events that are another example's subject.
static void skip_events(void)
{
    for (; expected_count < event_count; expected_count++) {
        uint16_t session = events[expected_count].session;
        if (session == FEED_SESSION)
            feed_seq++;
        else
            stream_seqs[session]++;
    }
}

static uint64_t apply_quietly(struct command command)
{
    uint64_t seq = apply(command);
    skip_events();
    return seq;
}

static void open_book(void)
{
    cr_assert_leq(book_memory_size(&limits), sizeof(book_memory));
    book = book_open(book_memory, &limits);
    reference_open(&reference, &limits);
}

static struct command command_open(void)
{
    return (struct command){.type = COMMAND_OPEN,
                            .open.midnight_ns = MIDNIGHT_NS,
                            .open.limits = limits,
                            .open.session_id = "SESSION001",
                            .open.shard = 2};
}

static struct command command_instrument(uint16_t index)
{
    struct command command = {
        .type = COMMAND_INSTRUMENT, .instrument = index, .listing.round_lot = 100};
    memcpy(command.listing.symbol, index == 0 ? "ACME    " : "ZENITH  ", 8);
    return command;
}

static struct command command_session(uint16_t index)
{
    static const char names[][7] = {"ALICE ", "BOB   ", "CAROL ", "DAVE  ", "EVE   "};
    static const char firms[][5] = {"ALFA", "BRAV", "CHAR", "DELT", "ECHO"};
    struct command command = {.type = COMMAND_SESSION, .session = index};
    memcpy(command.member.user_name, names[index], 6);
    memcpy(command.member.firm, firms[index], 4);
    return command;
}

// Alice, Bob and Carol before the start, instruments 0 and 1.
static void set_up_preopen(void)
{
    open_book();
    apply_quietly(command_open());
    apply_quietly(command_instrument(0));
    apply_quietly(command_instrument(1));
    for (uint16_t session = ALICE; session <= CAROL; session++)
        apply_quietly(command_session(session));
}

static void set_up(void)
{
    set_up_preopen();
    cr_assert_eq(apply_quietly((struct command){.type = COMMAND_START}), SET_UP_SEQ);
}

static struct command command_enter(uint16_t session, uint32_t user_ref_num, enum side side,
                                    uint32_t quantity, uint32_t price)
{
    return (struct command){.type = COMMAND_ENTER,
                            .session = session,
                            .side = (uint8_t)side,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity,
                            .order.price = price};
}

static uint64_t enter(uint16_t session, uint32_t user_ref_num, enum side side, uint32_t quantity,
                      uint32_t price)
{
    return apply_quietly(command_enter(session, user_ref_num, side, quantity, price));
}

static uint64_t enter_hidden(uint16_t session, uint32_t user_ref_num, enum side side,
                             uint32_t quantity, uint32_t price)
{
    struct command command = command_enter(session, user_ref_num, side, quantity, price);
    command.order.attributes.display = DISPLAY_HIDDEN;
    return apply_quietly(command);
}

static struct command command_replace(uint16_t session, uint32_t orig_user_ref_num,
                                      uint32_t user_ref_num, uint32_t quantity, uint32_t price)
{
    return (struct command){.type = COMMAND_REPLACE,
                            .session = session,
                            .order.orig_user_ref_num = orig_user_ref_num,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity,
                            .order.price = price};
}

static struct command command_cancel(uint16_t session, uint32_t user_ref_num, uint32_t quantity)
{
    return (struct command){.type = COMMAND_CANCEL,
                            .session = session,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity};
}

static struct command command_modify(uint16_t session, uint32_t user_ref_num, enum side side,
                                     uint32_t quantity)
{
    return (struct command){.type = COMMAND_MODIFY,
                            .session = session,
                            .side = (uint8_t)side,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity};
}

static struct command command_query(uint16_t session)
{
    return (struct command){.type = COMMAND_QUERY, .session = session};
}

static const struct command command_start = {.type = COMMAND_START};
static const struct command command_close = {.type = COMMAND_CLOSE};

// What the order lookups say of an order that must rest.
static struct book_order resting(uint16_t session, uint32_t user_ref_num)
{
    struct book_order order;
    cr_assert(book_find_user_ref(book, session, 0, user_ref_num, &order));
    return order;
}

static bool rests(uint16_t session, uint32_t user_ref_num)
{
    struct book_order order;
    return book_find_user_ref(book, session, 0, user_ref_num, &order);
}

static uint32_t last_number(uint16_t session)
{
    apply_quietly(command_query(session));
    return events[0].user_ref_num - 1;
}

static void finish(void)
{
    cr_assert_eq(expected_count, event_count, "%zu events expected, %zu came", expected_count,
                 event_count);
    reference_close(&reference);
}

TestSuite(book_day, .init = open_book, .fini = finish);
TestSuite(book_rules, .init = set_up, .fini = finish);

// The day

Test(book_day, a_new_book_ignores_everything_but_open)
{
    for (int type = 0; type < 256; type++) {
        if (type == COMMAND_OPEN)
            continue;
        apply((struct command){.type = (uint8_t)type});
        expect_nothing();
    }
    cr_assert_eq(book_seq(book), 255);
    struct book_summary summary;
    book_summarise(book, &summary);
    cr_assert_eq(summary.state, BOOK_NEW);
}

Test(book_day, open_begins_the_messages_of_the_feed)
{
    apply(command_open());
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'O');
    struct book_summary summary;
    book_summarise(book, &summary);
    cr_assert_eq(summary.state, BOOK_PREOPEN);
    cr_assert_eq(summary.midnight_ns, MIDNIGHT_NS);
    cr_assert_eq(summary.shard, 2);
    cr_assert_str_eq(summary.session_id, "SESSION001");
}

Test(book_day, the_limits_are_those_of_the_book_whatever_open_says)
{
    struct command command = command_open();
    command.open.limits = (struct book_limits){1, 1, 1};
    apply_quietly(command);
    for (uint16_t index = 0; index < 3; index++) {
        apply(command_instrument(index));
        skip_events();
        cr_assert_eq(event_count, 2);
    }
    apply(command_instrument(3));
    expect_nothing();
}

Test(book_day, a_second_open_is_ignored)
{
    apply_quietly(command_open());
    struct command again = command_open();
    again.open.midnight_ns = 0;
    apply(again);
    expect_nothing();
    apply(command_instrument(0));
    skip_events();
    cr_assert_eq(events[0].time_ns, 3000);
}

Test(book_day, times_count_from_midnight_and_are_zero_before_it)
{
    struct command command = command_open();
    command.time_ns = MIDNIGHT_NS - 1;
    apply(command);
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'O');
    cr_assert_eq(events[0].time_ns, 0);
    command = command_instrument(0);
    command.time_ns = MIDNIGHT_NS + 123456789;
    apply_quietly(command);
    cr_assert_eq(events[0].time_ns, 123456789);
}

static void expect_listing(int line, uint16_t instrument, const char *symbol)
{
    struct event event = {.type = EVENT_FEED_DIRECTORY,
                          .session = FEED_SESSION,
                          .instrument = instrument,
                          .quantity = 100};
    // Copied, because an initialiser would leave the bytes behind the symbol unspecified.
    memcpy(event.listing.symbol, symbol, 8);
    expect_event(line, event);
    event.type = EVENT_FEED_ACTION;
    event.quantity = 0;
    event.code = 'T';
    expect_event(line, event);
}

Test(book_day, an_instrument_is_listed_in_the_directory_and_trades)
{
    apply_quietly(command_open());
    apply(command_instrument(0));
    expect_listing(__LINE__, 0, "ACME    ");
    apply(command_instrument(1));
    expect_listing(__LINE__, 1, "ZENITH  ");
    cr_assert(memcmp(book_instrument_symbol(book, 1), "ZENITH  ", 8) == 0);
    cr_assert_null(book_instrument_symbol(book, 2));
}

Test(book_day, an_instrument_is_listed_at_the_next_index_only)
{
    apply_quietly(command_open());
    apply_quietly(command_instrument(0));
    apply(command_instrument(0));
    expect_nothing();
    apply(command_instrument(2));
    expect_nothing();
    apply(command_instrument(NO_INSTRUMENT));
    expect_nothing();
}

Test(book_day, sessions_are_admitted_at_the_next_index_up_to_the_limit)
{
    apply_quietly(command_open());
    apply(command_session(1));
    expect_nothing();
    for (uint16_t session = 0; session < 4; session++) {
        struct command command = command_session(session);
        apply(command);
        expect_nothing();
        cr_assert(memcmp(book_session_user(book, session), command.member.user_name, 6) == 0);
    }
    apply(command_session(4));
    expect_nothing();
    cr_assert_null(book_session_user(book, 4));
}

Test(book_day, start_is_told_to_the_feed_and_to_every_session)
{
    apply_quietly(command_open());
    apply_quietly(command_session(ALICE));
    apply_quietly(command_session(BOB));
    apply(command_start);
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'S');
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'Q');
    EXPECT(.type = EVENT_SYSTEM, .session = ALICE, .code = 'S');
    EXPECT(.type = EVENT_SYSTEM, .session = BOB, .code = 'S');
}

Test(book_day, a_session_admitted_while_trading_hears_the_start_at_once)
{
    apply_quietly(command_open());
    apply_quietly(command_start);
    apply(command_session(ALICE));
    EXPECT(.type = EVENT_SYSTEM, .session = ALICE, .code = 'S');
}

Test(book_day, an_instrument_may_be_listed_while_trading)
{
    apply_quietly(command_open());
    apply_quietly(command_start);
    apply_quietly(command_instrument(0));
    cr_assert_eq(event_count, 2);
}

Test(book_day, a_second_start_is_ignored)
{
    apply_quietly(command_open());
    apply_quietly(command_start);
    apply(command_start);
    expect_nothing();
}

Test(book_day, close_before_the_start_ends_the_day)
{
    apply_quietly(command_open());
    apply_quietly(command_session(ALICE));
    apply(command_close);
    EXPECT(.type = EVENT_SYSTEM, .session = ALICE, .code = 'E');
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'M');
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'E');
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'C');
    apply(command_start);
    expect_nothing();
}

Test(book_day, after_the_close_nothing_is_listed_admitted_started_or_closed)
{
    apply_quietly(command_open());
    apply_quietly(command_close);
    const struct command commands[] = {command_open(), command_instrument(0), command_session(0),
                                       command_start, command_close};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        apply(commands[i]);
        expect_nothing();
    }
}

Test(book_day, limits_out_of_range_are_named)
{
    struct book_limits largest = {BOOK_ORDERS_MAX, BOOK_INSTRUMENTS_MAX, BOOK_SESSIONS_MAX};
    cr_assert_null(book_limits_check(&largest));
    cr_assert_null(book_limits_check(&(struct book_limits){1, 1, 1}));
    const struct book_limits wrong[] = {{0, 1, 1},
                                        {1, 0, 1},
                                        {1, 1, 0},
                                        {BOOK_ORDERS_MAX + 1, 1, 1},
                                        {1, BOOK_INSTRUMENTS_MAX + 1, 1},
                                        {1, 1, BOOK_SESSIONS_MAX + 1}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert_not_null(book_limits_check(&wrong[i]), "case %zu", i);
}

Test(book_rules, close_cancels_by_instrument_side_price_display_and_time)
{
    uint64_t offer = enter(ALICE, 1, SIDE_SELL, 10, PRICE + CENT);
    uint64_t other = enter(BOB, 1, SIDE_BUY, 20, PRICE);
    struct command command = command_enter(CAROL, 1, SIDE_BUY, 30, PRICE);
    command.instrument = 1;
    uint64_t second = apply_quietly(command);
    uint64_t low = enter(ALICE, 2, SIDE_BUY, 40, PRICE - CENT);
    uint64_t hidden = enter_hidden(ALICE, 3, SIDE_BUY, 50, PRICE);
    uint64_t late = enter(CAROL, 2, SIDE_BUY, 60, PRICE);

    apply(command_close);
#define EXPECT_CLOSED(who, number, on, shares, at, ref)                                            \
    EXPECT(.type = EVENT_CANCELED, .session = (who), .user_ref_num = (number), .side = (on),       \
           .quantity = (shares), .price = (at), .code = 'E', .trade.order_ref = (ref))
#define EXPECT_DELETED(on, shares, at, ref)                                                        \
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .side = (on), .quantity = (shares), .price = (at),      \
                .trade.order_ref = (ref))
    EXPECT_CLOSED(BOB, 1, SIDE_BUY, 20, PRICE, other);
    EXPECT_DELETED(SIDE_BUY, 20, PRICE, other);
    EXPECT_CLOSED(CAROL, 2, SIDE_BUY, 60, PRICE, late);
    EXPECT_DELETED(SIDE_BUY, 60, PRICE, late);
    EXPECT_CLOSED(ALICE, 3, SIDE_BUY, 50, PRICE, hidden);
    EXPECT_CLOSED(ALICE, 2, SIDE_BUY, 40, PRICE - CENT, low);
    EXPECT_DELETED(SIDE_BUY, 40, PRICE - CENT, low);
    EXPECT_CLOSED(ALICE, 1, SIDE_SELL, 10, PRICE + CENT, offer);
    EXPECT_DELETED(SIDE_SELL, 10, PRICE + CENT, offer);
    EXPECT(.type = EVENT_CANCELED, .session = CAROL, .user_ref_num = 1, .quantity = 30,
           .price = PRICE, .instrument = 1, .code = 'E', .trade.order_ref = second);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 30, .price = PRICE, .instrument = 1,
                .trade.order_ref = second);
    for (uint16_t session = ALICE; session <= CAROL; session++)
        EXPECT(.type = EVENT_SYSTEM, .session = session, .code = 'E');
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'M');
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'E');
    EXPECT_FEED(.type = EVENT_FEED_SYSTEM, .code = 'C');
}

Test(book_rules, clients_that_were_not_admitted_are_ignored)
{
    for (uint8_t type = COMMAND_ENTER; type <= COMMAND_MASS_CANCEL; type++) {
        struct command command = command_enter(CAROL + 1, 1, SIDE_BUY, 100, PRICE);
        command.type = type;
        apply(command);
        expect_nothing();
        command.session = FEED_SESSION;
        apply(command);
        expect_nothing();
    }
}

Test(book_rules, unknown_commands_count_and_do_nothing)
{
    apply((struct command){.type = 0});
    expect_nothing();
    uint64_t seq = apply((struct command){.type = COMMAND_CLOCK + 1});
    expect_nothing();
    cr_assert_eq(book_seq(book), seq);
}

// ENTER

Test(book_rules, an_order_is_accepted_rests_and_is_shown_on_the_feed)
{
    struct command command = command_enter(ALICE, 1, SIDE_SELL_SHORT, 100, PRICE);
    memcpy(command.order.client_order_id, "order-number-1", 14);
    memcpy(command.order.firm, "XRAY", 4);
    command.order.attributes.capacity = CAPACITY_PRINCIPAL;
    command.order.attributes.sweep = 1;
    command.order.attributes.reserved = 0x5;
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

Test(book_rules, a_number_not_above_the_last_is_ignored)
{
    enter(ALICE, 5, SIDE_BUY, 100, PRICE);
    apply(command_enter(ALICE, 5, SIDE_BUY, 100, PRICE));
    expect_nothing();
    apply(command_enter(ALICE, 4, SIDE_BUY, 100, PRICE));
    expect_nothing();
    enter(ALICE, 9, SIDE_BUY, 100, PRICE);
    cr_assert(rests(ALICE, 9), "gaps are allowed");
}

Test(book_rules, number_zero_is_never_above_the_last)
{
    apply(command_enter(ALICE, 0, SIDE_BUY, 100, PRICE));
    expect_nothing();
}

Test(book_rules, every_session_and_channel_has_numbers_of_its_own)
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

static void expect_rejected(struct command command, uint8_t code)
{
    memcpy(command.order.client_order_id, "wrong         ", 14);
    apply(command);
    struct event rejected = {.type = EVENT_REJECTED,
                             .session = command.session,
                             .user_ref_num = command.order.user_ref_num,
                             .user_ref_index = command.user_ref_index,
                             .code = code};
    memcpy(rejected.order.client_order_id, "wrong         ", 14);
    expect_event(__LINE__, rejected);
}

Test(book_rules, a_rejection_consumes_the_number)
{
    expect_rejected(command_enter(ALICE, 3, SIDE_BUY, 0, PRICE), REJECT_INVALID_QUANTITY);
    apply(command_enter(ALICE, 3, SIDE_BUY, 100, PRICE));
    expect_nothing();
}

Test(book_rules, a_verdict_of_the_port_is_answered_as_it_is)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.verdict = REJECT_INVALID_PEG;
    command.user_ref_index = 7;
    expect_rejected(command, REJECT_INVALID_PEG);
}

Test(book_rules, an_unlisted_instrument_is_rejected)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.instrument = 2;
    expect_rejected(command, REJECT_INVALID_SYMBOL);
    command.order.user_ref_num = 2;
    command.instrument = NO_INSTRUMENT;
    expect_rejected(command, REJECT_INVALID_SYMBOL);
}

Test(book_rules, an_unknown_side_is_rejected)
{
    expect_rejected(command_enter(ALICE, 1, (enum side)4, 100, PRICE), REJECT_INVALID_SIDE);
}

Test(book_rules, quantities_from_one_to_the_largest_are_accepted)
{
    expect_rejected(command_enter(ALICE, 1, SIDE_BUY, 0, PRICE), REJECT_INVALID_QUANTITY);
    expect_rejected(command_enter(ALICE, 2, SIDE_BUY, QUANTITY_MAX + 1, PRICE),
                    REJECT_INVALID_QUANTITY);
    enter(ALICE, 3, SIDE_BUY, QUANTITY_MAX, PRICE);
    cr_assert_eq(resting(ALICE, 3).quantity, QUANTITY_MAX);
}

Test(book_rules, prices_from_the_smallest_to_the_largest_are_accepted)
{
    expect_rejected(command_enter(ALICE, 1, SIDE_BUY, 1, 0), REJECT_INVALID_PRICE);
    expect_rejected(command_enter(ALICE, 2, SIDE_BUY, 1, PRICE_MAX + 1), REJECT_INVALID_PRICE);
    expect_rejected(command_enter(ALICE, 3, SIDE_BUY, 1, PRICE_MARKET - 1), REJECT_INVALID_PRICE);
    expect_rejected(command_enter(ALICE, 4, SIDE_BUY, 1, PRICE_MARKET + 1), REJECT_INVALID_PRICE);
    enter(ALICE, 5, SIDE_BUY, 1, 1);
    enter(ALICE, 6, SIDE_SELL, 1, PRICE_MAX);
    cr_assert(rests(ALICE, 5) && rests(ALICE, 6));
}

Test(book_rules, an_unknown_display_is_rejected)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    command.order.attributes.display = 3;
    expect_rejected(command, REJECT_INVALID_DISPLAY);
}

Test(book_rules, other_times_in_force_and_gtt_without_seconds_are_rejected)
{
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    for (unsigned time_in_force = TIF_GTX; time_in_force < 8; time_in_force++) {
        command.order.attributes.time_in_force = time_in_force & 7;
        expect_rejected(command, REJECT_OTHER);
        command.order.user_ref_num++;
    }
}

Test(book_rules, a_full_book_rejects_even_what_would_execute)
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

Test(book_rules, the_first_reason_that_applies_is_given)
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

Test(book_rules, after_the_close_orders_are_rejected_as_closed)
{
    apply_quietly(command_close);
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 0, 0);
    command.instrument = NO_INSTRUMENT;
    expect_rejected(command, REJECT_DESTINATION_CLOSED);
}

Test(book_day, before_the_start_orders_are_rejected_as_closed)
{
    apply_quietly(command_open());
    apply_quietly(command_instrument(0));
    apply_quietly(command_session(ALICE));
    expect_rejected(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE), REJECT_DESTINATION_CLOSED);
    cr_assert_eq(last_number(ALICE), 1);
}

Test(book_rules, what_an_immediate_order_does_not_execute_is_cancelled)
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

Test(book_rules, a_market_order_takes_any_price_and_never_rests)
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

Test(book_rules, hidden_orders_rest_unseen)
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

Test(book_rules, attributable_orders_show_their_firm_or_else_their_sessions)
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

Test(book_rules, a_match_is_told_to_maker_taker_and_feed_at_the_makers_price)
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

Test(book_rules, a_match_with_a_hidden_order_is_a_trade_without_reference_on_the_feed)
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

Test(book_rules, better_prices_come_first_then_displayed_orders_then_earlier_ones)
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

Test(book_rules, attributable_orders_stand_in_line_with_visible_ones)
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

Test(book_rules, an_order_executed_in_part_keeps_its_place)
{
    uint64_t first = enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(CAROL, 1, SIDE_BUY, 100, PRICE);
    enter(ALICE, 1, SIDE_SELL, 10, PRICE);
    enter(ALICE, 2, SIDE_SELL, 10, PRICE);
    expect_makers(&first, 1);
}

Test(book_rules, a_limit_is_never_traded_through)
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

Test(book_rules, instruments_do_not_match_each_other)
{
    enter(BOB, 1, SIDE_SELL, 10, PRICE);
    struct command command = command_enter(ALICE, 1, SIDE_BUY, 10, PRICE);
    command.instrument = 1;
    apply_quietly(command);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
}

Test(book_rules, a_session_may_execute_against_itself)
{
    enter(ALICE, 1, SIDE_SELL, 10, PRICE);
    enter(ALICE, 2, SIDE_BUY, 10, PRICE);
    cr_assert_eq(event_count, 4);
    cr_assert_eq(events[1].user_ref_num, 1);
    cr_assert_eq(events[2].user_ref_num, 2);
}

Test(book_rules, match_numbers_count_from_one)
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

Test(book_rules, a_displayed_order_is_replaced_in_one_message_of_the_feed)
{
    uint64_t old = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = command_replace(ALICE, 1, 2, 150, PRICE - CENT);
    memcpy(command.order.client_order_id, "second", 6);
    command.order.attributes.capacity = CAPACITY_RISKLESS;
    command.order.attributes.reserved = 1;
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

Test(book_rules, a_replacement_counts_what_the_chain_has_executed)
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

Test(book_rules, a_replacement_loses_its_place)
{
    enter(ALICE, 1, SIDE_BUY, 10, PRICE);
    uint64_t second = enter(BOB, 1, SIDE_BUY, 10, PRICE);
    uint64_t replaced = apply_quietly(command_replace(ALICE, 1, 2, 10, PRICE));
    enter(CAROL, 1, SIDE_SELL, 20, PRICE);
    const uint64_t order[] = {second, replaced};
    expect_makers(order, 2);
}

Test(book_rules, replacing_what_is_not_live_is_ignored_and_consumes_nothing)
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

Test(book_rules, a_replacement_with_a_used_number_is_ignored)
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

Test(book_rules, an_invalid_replacement_cancels_the_order)
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

Test(book_rules, a_replacement_by_no_more_than_was_executed_cancels_the_order)
{
    expect_replacement_cancels(command_replace(ALICE, 0, 0, 40, PRICE + CENT));
    expect_replacement_cancels(command_replace(ALICE, 0, 0, 39, PRICE + CENT));
}

Test(book_rules, an_invalid_replacement_of_a_hidden_order_is_not_on_the_feed)
{
    uint64_t ref = enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply(command_replace(ALICE, 1, 2, 0, PRICE));
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .quantity = 100,
           .price = PRICE, .code = 'U', .trade.order_ref = ref);
}

Test(book_rules, a_replacement_that_crosses_is_deleted_matched_and_added)
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

Test(book_rules, a_replacement_that_meets_only_hidden_orders_crosses_too)
{
    enter_hidden(BOB, 1, SIDE_SELL, 100, PRICE + CENT);
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_replace(ALICE, 1, 2, 100, PRICE + CENT));
    cr_assert_eq(event_count, 5);
    cr_assert_eq(events[1].type, EVENT_FEED_DELETE);
    cr_assert_eq(events[4].type, EVENT_FEED_TRADE);
    cr_assert(!rests(ALICE, 2) && !rests(BOB, 1));
}

Test(book_rules, a_replacement_that_hides_is_deleted_from_the_feed)
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

Test(book_rules, a_replacement_that_shows_is_added_to_the_feed)
{
    enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    uint64_t ref = apply(command_replace(ALICE, 1, 2, 80, PRICE));
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 80, .price = PRICE);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 80, .price = PRICE, .trade.order_ref = ref);
}

Test(book_rules, a_hidden_order_is_replaced_by_a_hidden_one_unseen)
{
    enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command command = command_replace(ALICE, 1, 2, 80, PRICE);
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 80, .price = PRICE, .order.attributes.display = DISPLAY_HIDDEN);
}

Test(book_rules, a_replacement_that_becomes_attributable_is_deleted_and_added)
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

Test(book_rules, an_immediate_replacement_that_meets_nobody_is_deleted_and_cancelled)
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

Test(book_rules, a_replacement_at_market_never_rests)
{
    uint64_t old = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    uint64_t ref = apply(command_replace(ALICE, 1, 2, 100, PRICE_MARKET));
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 100, .price = PRICE_MARKET);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .quantity = 100, .price = PRICE, .trade.order_ref = old);
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 2, .quantity = 100,
           .price = PRICE_MARKET, .code = 'I', .trade.order_ref = ref);
}

Test(book_rules, a_full_book_still_replaces)
{
    for (uint32_t i = 1; i <= ORDERS_MAX; i++)
        enter(ALICE, i, SIDE_BUY, 100, PRICE);
    apply_quietly(command_replace(ALICE, 4, ORDERS_MAX + 1, 100, PRICE));
    cr_assert(rests(ALICE, ORDERS_MAX + 1) && !rests(ALICE, 4));
}

// CANCEL

Test(book_rules, cancel_names_the_total_that_is_to_remain)
{
    uint64_t ref = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 1, SIDE_SELL, 30, PRICE);
    apply(command_cancel(ALICE, 1, 80));
    EXPECT(.type = EVENT_CANCELED, .session = ALICE, .user_ref_num = 1, .quantity = 20,
           .price = PRICE, .code = 'U', .trade.order_ref = ref);
    EXPECT_FEED(.type = EVENT_FEED_CANCEL, .quantity = 20, .price = PRICE, .trade.order_ref = ref);
    cr_assert_eq(resting(ALICE, 1).quantity, 50);
}

Test(book_rules, cancel_to_what_was_executed_or_less_removes_the_order)
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

Test(book_rules, cancels_of_hidden_orders_are_not_on_the_feed)
{
    enter_hidden(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 1, 60));
    cr_assert_eq(event_count, 1);
    apply_quietly(command_cancel(ALICE, 1, 0));
    cr_assert_eq(event_count, 1);
}

Test(book_rules, a_cancel_that_changes_nothing_is_ignored)
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

Test(book_rules, a_cancelled_order_is_gone_and_its_number_used)
{
    enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 1, 0));
    apply(command_cancel(ALICE, 1, 0));
    expect_nothing();
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE));
    expect_nothing();
}

Test(book_rules, a_reduced_order_keeps_its_place)
{
    uint64_t first = enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    apply_quietly(command_cancel(ALICE, 1, 50));
    apply_quietly(command_modify(ALICE, 1, SIDE_BUY, 40));
    enter(CAROL, 1, SIDE_SELL, 10, PRICE);
    expect_makers(&first, 1);
}

// MODIFY

Test(book_rules, modify_reduces_and_answers_with_what_is_open)
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

Test(book_rules, modify_of_the_side_alone_is_not_on_the_feed)
{
    uint64_t ref = enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    apply(command_modify(ALICE, 1, SIDE_SELL_SHORT_EXEMPT, 100));
    EXPECT(.type = EVENT_MODIFIED, .session = ALICE, .user_ref_num = 1,
           .side = SIDE_SELL_SHORT_EXEMPT, .quantity = 100, .price = PRICE, .trade.order_ref = ref);
}

Test(book_rules, modify_to_what_was_executed_cancels_with_the_old_side)
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

Test(book_rules, sides_change_only_from_sell_to_short_and_exempt_and_from_exempt_to_short)
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

Test(book_rules, a_modify_that_changes_nothing_is_ignored)
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

// QUERY

Test(book_rules, a_query_is_answered_with_the_next_number_of_the_channel)
{
    apply(command_query(ALICE));
    EXPECT(.type = EVENT_QUERY_RESPONSE, .session = ALICE, .user_ref_num = 1);
    enter(ALICE, 41, SIDE_BUY, 100, PRICE);
    struct command command = command_query(ALICE);
    command.verdict = REJECT_OTHER;
    apply(command);
    EXPECT(.type = EVENT_QUERY_RESPONSE, .session = ALICE, .user_ref_num = 42);
    command.user_ref_index = 9;
    apply(command);
    EXPECT(.type = EVENT_QUERY_RESPONSE, .session = ALICE, .user_ref_num = 1, .user_ref_index = 9);
    apply_quietly(command_close);
    apply(command_query(ALICE));
    EXPECT(.type = EVENT_QUERY_RESPONSE, .session = ALICE, .user_ref_num = 42);
}

// Queries of the book

Test(book_rules, depth_lists_visible_levels_best_first)
{
    enter(ALICE, 1, SIDE_SELL, 10, PRICE + CENT);
    enter(ALICE, 2, SIDE_SELL_SHORT, 20, PRICE);
    enter(BOB, 1, SIDE_SELL, 30, PRICE);
    enter_hidden(BOB, 2, SIDE_SELL, 40, PRICE);
    enter_hidden(BOB, 3, SIDE_SELL, 50, PRICE - CENT);
    struct book_level levels[3];
    cr_assert_eq(book_depth(book, 0, SIDE_SELL, levels, 3), 2);
    cr_assert_eq(levels[0].price, PRICE);
    cr_assert_eq(levels[0].order_count, 2);
    cr_assert_eq(levels[0].quantity, 50);
    cr_assert_eq(levels[1].price, PRICE + CENT);
    cr_assert_eq(book_depth(book, 0, SIDE_SELL, levels, 1), 1);
    cr_assert_eq(book_depth(book, 0, SIDE_BUY, levels, 3), 0);
    cr_assert_eq(book_depth(book, NO_INSTRUMENT, SIDE_SELL, levels, 3), 0);
}

// The hash. Each test leads two books by ways of equal length and equal numbers of messages to
// states that are the same, or differ in one thing.

static uint64_t hash_of_way(const struct command *commands, size_t count)
{
    static alignas(64) unsigned char memory[1 << 20];
    static unsigned char filling = 1;
    memset(memory, filling++, sizeof(memory));
    struct book *other = book_open(memory, &limits);
    const struct command first[] = {command_open(), command_instrument(0), command_session(ALICE),
                                    command_session(BOB), command_start};
    struct event space[64];
    struct event_sink sink = {space, space + 64, too_many_events, NULL};
    for (size_t i = 0; i < 5 + count; i++) {
        sink.next = space;
        struct command command = i < 5 ? first[i] : commands[i - 5];
        command.time_ns = MIDNIGHT_NS + i;
        book_apply(other, &command, &sink);
    }
    return book_hash(other);
}

#define HASH(...)                                                                                  \
    hash_of_way((const struct command[]){__VA_ARGS__},                                             \
                sizeof((const struct command[]){__VA_ARGS__}) / sizeof(struct command))

static const struct command nothing = {.type = 0};

static struct command command_enter_ioc(uint16_t session, uint32_t user_ref_num, enum side side,
                                        uint32_t quantity, uint32_t price)
{
    struct command command = command_enter(session, user_ref_num, side, quantity, price);
    command.order.attributes.time_in_force = TIF_IOC;
    return command;
}

Test(book_hash, does_not_depend_on_the_way)
{
    const struct command a = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    const struct command b = command_enter(ALICE, 2, SIDE_BUY, 100, PRICE - CENT);
    const struct command c = command_enter(ALICE, 3, SIDE_BUY, 100, PRICE);
    cr_assert_eq(HASH(a, b, c, command_cancel(ALICE, 1, 0), command_cancel(ALICE, 2, 0)),
                 HASH(a, b, c, command_cancel(ALICE, 2, 0), command_cancel(ALICE, 1, 0)),
                 "in which order two orders went");
    cr_assert_eq(HASH(a, command_cancel(ALICE, 1, 60)),
                 HASH(a, command_modify(ALICE, 1, SIDE_BUY, 60)), "how an order became smaller");
    cr_assert_eq(HASH(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE), command_cancel(ALICE, 1, 0)),
                 HASH(command_enter(ALICE, 1, SIDE_SELL, 9, 1), command_cancel(ALICE, 1, 0)),
                 "what an order was that is gone");
}

Test(book_hash, depends_on_seq)
{
    cr_assert_neq(HASH(nothing), HASH(nothing, nothing));
}

Test(book_hash, depends_on_an_orders_quantity_price_side_instrument_and_number)
{
    uint64_t hash = HASH(command_enter(ALICE, 2, SIDE_SELL, 100, PRICE));
    cr_assert_neq(HASH(command_enter(ALICE, 2, SIDE_SELL, 101, PRICE)), hash);
    cr_assert_neq(HASH(command_enter(ALICE, 2, SIDE_SELL, 100, PRICE + 1)), hash);
    cr_assert_neq(HASH(command_enter(ALICE, 2, SIDE_BUY, 100, PRICE)), hash);
    cr_assert_neq(HASH(command_enter(ALICE, 2, SIDE_SELL_SHORT, 100, PRICE)), hash);
    cr_assert_neq(HASH(command_enter(ALICE, 3, SIDE_SELL, 100, PRICE)), hash);
}

Test(book_hash, depends_on_the_priority_of_two_orders)
{
    cr_assert_neq(HASH(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE),
                       command_enter(BOB, 1, SIDE_BUY, 100, PRICE)),
                  HASH(command_enter(BOB, 1, SIDE_BUY, 100, PRICE),
                       command_enter(ALICE, 1, SIDE_BUY, 100, PRICE)));
}

Test(book_hash, depends_on_the_last_number_of_a_channel)
{
    struct command seven = command_enter(ALICE, 7, SIDE_BUY, 0, PRICE);
    struct command eight = command_enter(ALICE, 8, SIDE_BUY, 0, PRICE);
    cr_assert_neq(HASH(seven), HASH(eight));
    struct command other_channel = seven;
    other_channel.user_ref_index = 255;
    cr_assert_neq(HASH(seven), HASH(other_channel));
}

Test(book_hash, depends_on_the_count_of_matches)
{
    // Two messages to each session and two to the feed either way, and nothing is left.
    const struct command maker = command_enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    cr_assert_neq(
        HASH(maker, command_enter_ioc(BOB, 1, SIDE_BUY, 100, PRICE), nothing),
        HASH(maker, command_enter_ioc(BOB, 1, SIDE_BUY, 100, 1), command_cancel(ALICE, 1, 0)));
}

Test(book_hash, depends_on_what_a_chain_has_executed)
{
    cr_assert_neq(HASH(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE),
                       command_enter_ioc(BOB, 1, SIDE_BUY, 40, PRICE)),
                  HASH(command_enter(ALICE, 1, SIDE_SELL, 110, PRICE),
                       command_enter_ioc(BOB, 1, SIDE_BUY, 50, PRICE)));
}

Test(book_hash, depends_on_display_and_firm)
{
    struct command hidden = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    hidden.order.attributes.display = DISPLAY_HIDDEN;
    struct command visible = command_enter(ALICE, 1, SIDE_BUY, 100, PRICE);
    struct command attributable = visible, named = visible;
    attributable.order.attributes.display = DISPLAY_ATTRIBUTABLE;
    memcpy(named.order.firm, "XRAY", 4);
    cr_assert_neq(HASH(visible), HASH(attributable));
    cr_assert_neq(HASH(visible), HASH(hidden));
    cr_assert_neq(HASH(visible), HASH(named));
}

Test(book_hash, depends_on_the_messages_of_each_session)
{
    cr_assert_neq(HASH(command_query(ALICE)), HASH(nothing));
    cr_assert_neq(HASH(command_query(ALICE)), HASH(command_query(BOB)));
}

Test(book_hash, depends_on_the_state_of_the_day)
{
    cr_assert_neq(HASH(command_close), HASH(nothing));
}

Test(book_hash, depends_on_the_firm_of_a_session)
{
    struct command one = command_session(CAROL);
    struct command other = one;
    memcpy(other.member.firm, "ELSE", 4);
    cr_assert_neq(HASH(one), HASH(other));
}

static uint64_t hash_of_fresh(const struct book_limits *fresh_limits, uint64_t midnight_ns)
{
    static alignas(64) unsigned char memory[1 << 20];
    struct book *fresh = book_open(memory, fresh_limits);
    struct event space[4];
    struct event_sink sink = {space, space + 4, too_many_events, NULL};
    struct command command = command_open();
    command.open.midnight_ns = midnight_ns;
    book_apply(fresh, &command, &sink);
    return book_hash(fresh);
}

Test(book_hash, depends_on_midnight_and_limits)
{
    uint64_t hash = hash_of_fresh(&limits, MIDNIGHT_NS);
    cr_assert_eq(hash_of_fresh(&limits, MIDNIGHT_NS), hash);
    cr_assert_neq(hash_of_fresh(&limits, MIDNIGHT_NS - 1), hash);
    struct book_limits larger = limits;
    larger.orders_max++;
    cr_assert_neq(hash_of_fresh(&larger, MIDNIGHT_NS), hash);
}

// Minimum quantity, post-only, self-match prevention

static uint64_t enter_minimum(uint32_t user_ref_num, uint32_t quantity, uint32_t minimum)
{
    struct command command = command_enter_ioc(BOB, user_ref_num, SIDE_BUY, quantity, PRICE + 100);
    command.order.min_quantity = minimum;
    return apply(command);
}

Test(book_rules, a_minimum_that_can_be_met_trades_and_one_share_more_does_not)
{
    enter(ALICE, 1, SIDE_SELL, 60, PRICE);
    enter_hidden(ALICE, 2, SIDE_SELL, 60, PRICE + 100);
    enter(ALICE, 3, SIDE_SELL, 500, PRICE + 200);
    uint64_t ref = enter_minimum(1, 150, 121);
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

Test(book_rules, a_minimum_without_ioc_or_above_the_quantity_is_rejected)
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

Test(book_rules, a_post_only_order_rests_or_is_canceled_and_never_takes)
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

Test(book_rules, cancel_newest_leaves_the_resting_order)
{
    uint64_t old, ref = meet_oneself(SELF_MATCH_CANCEL_NEWEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 2, .quantity = 150,
           .prevented = 100, .price = PRICE, .code = 'R', .trade.order_ref = ref,
           .trade.match_number = SELF_MATCH_CANCEL_NEWEST);
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

Test(book_rules, cancel_oldest_lets_the_incoming_order_go_on)
{
    uint64_t old, ref = meet_oneself(SELF_MATCH_CANCEL_OLDEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .prevented = 100, .price = PRICE, .code = 'A', .trade.order_ref = old,
           .trade.match_number = SELF_MATCH_CANCEL_OLDEST);
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade.order_ref = old);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 150, .price = PRICE, .trade.order_ref = ref);
}

Test(book_rules, decrement_takes_the_smaller_quantity_from_both_without_a_trade)
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

Test(book_rules, cancel_both_leaves_neither)
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

Test(book_rules, a_reserve_order_displays_a_slice_and_nobody_sees_the_rest)
{
    uint64_t ref = apply(with_floor(command_enter(BOB, 1, SIDE_SELL, 500, PRICE), 100));
    EXPECT(.type = EVENT_ACCEPTED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 500, .price = PRICE);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .side = SIDE_SELL, .quantity = 100, .price = PRICE,
                .trade.order_ref = ref);
    cr_assert_eq(resting(BOB, 1).quantity, 500);
    cr_assert_eq(resting(BOB, 1).displayed, 100);
    cr_assert_eq(resting(BOB, 1).max_floor, 100);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE), 100);
}

Test(book_rules, a_reserve_order_comes_in_with_its_whole_quantity)
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

Test(book_rules, of_less_than_its_floor_a_reserve_order_displays_all_that_is_left)
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

Test(book_rules, a_floor_of_the_quantity_or_more_displays_everything)
{
    enter_reserve(ALICE, 1, SIDE_BUY, 100, PRICE, 100);
    enter_reserve(ALICE, 2, SIDE_BUY, 100, PRICE - CENT, 101);
    enter_reserve(ALICE, 3, SIDE_BUY, 100, PRICE - 2 * CENT, UINT32_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(book_depth_at(book, 0, SIDE_BUY, PRICE - i * CENT), 100);
        cr_assert_eq(resting(ALICE, i + 1).displayed, 100);
    }
}

Test(book_rules, a_floor_with_ioc_market_hidden_or_midpoint_is_rejected)
{
    expect_rejected(with_floor(command_enter_ioc(ALICE, 1, SIDE_BUY, 500, PRICE), 100),
                    REJECT_INVALID_MAX_FLOOR);
    expect_rejected(with_floor(command_enter(ALICE, 2, SIDE_BUY, 500, PRICE_MARKET), 100),
                    REJECT_INVALID_MAX_FLOOR);
    struct command command = with_floor(command_enter(ALICE, 3, SIDE_BUY, 500, PRICE), 500);
    command.order.attributes.display = DISPLAY_HIDDEN;
    expect_rejected(command, REJECT_INVALID_MAX_FLOOR);
    command.order.user_ref_num = 4;
    command.order.attributes.midpoint = 1;
    expect_rejected(command, REJECT_INVALID_MAX_FLOOR);
}

Test(book_rules, an_execution_takes_from_the_slice_only)
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

Test(book_rules, a_used_up_slice_is_followed_by_a_new_one_behind_the_others)
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

Test(book_rules, an_order_that_wants_more_than_the_slices_takes_from_the_reserve)
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

Test(book_rules, reserves_are_taken_whole_in_the_order_in_which_their_slices_were_used_up)
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

Test(book_rules, reserves_come_before_hidden_orders_that_were_there_first)
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

Test(book_rules, the_reserve_of_a_slice_that_others_had_begun_is_taken_too)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    enter(ALICE, 1, SIDE_BUY, 60, PRICE);
    apply(command_enter(CAROL, 1, SIDE_BUY, 100, PRICE));
    EXPECT_FILLS({ref, 40, PRICE, 'A', 'R'}, {ref, 60, PRICE, 'u', 'R'});
    skip_events();
    cr_assert_eq(resting(BOB, 1).quantity, 340);
    cr_assert_eq(resting(BOB, 1).displayed, 100);
}

Test(book_rules, a_reserve_is_used_up_before_the_next_price)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 200, PRICE, 10);
    uint64_t worse = enter(CAROL, 1, SIDE_SELL, 100, PRICE + CENT);
    apply(command_enter(ALICE, 1, SIDE_BUY, 250, PRICE + CENT));
    EXPECT_FILLS({ref, 10, PRICE, 'A', 'R'}, {ref, 190, PRICE, 'u', 'R'},
                 {worse, 50, PRICE + CENT, 'A', 'R'});
    skip_events();
}

Test(book_rules, slices_are_refreshed_in_the_order_in_which_they_were_used_up)
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

Test(book_rules, slices_are_counted_over_all_instruments)
{
    enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    apply_quietly(
        on_second_instrument(with_floor(command_enter(BOB, 2, SIDE_BUY, 500, PRICE), 100)));
    enter(ALICE, 1, SIDE_SELL, 100, PRICE);
    apply_quietly(on_second_instrument(command_enter(ALICE, 2, SIDE_SELL, 100, PRICE)));
    cr_assert_eq(resting(BOB, 1).order_ref, SLICE_REF + 1);
    cr_assert_eq(resting(BOB, 2).order_ref, SLICE_REF + 2);
}

Test(book_rules, the_slices_of_an_attributable_order_name_its_firm)
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

Test(book_rules, the_largest_reserve_order_shows_one_share_at_the_largest_price)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, QUANTITY_MAX, PRICE_MAX, 1);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE_MAX), 1);
    apply(command_enter(ALICE, 1, SIDE_BUY, QUANTITY_MAX - 1, PRICE_MARKET));
    EXPECT_FILLS({ref, 1, PRICE_MAX, 'A', 'R'}, {ref, QUANTITY_MAX - 2, PRICE_MAX, 'u', 'R'});
    skip_events();
    cr_assert_eq(resting(BOB, 1).quantity, 1);
    cr_assert_eq(resting(BOB, 1).order_ref, SLICE_REF + 1);
}

Test(book_rules, a_cancel_takes_from_the_reserve_first)
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

Test(book_rules, a_cancel_beyond_the_reserve_takes_the_remainder_from_the_slice)
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

Test(book_rules, a_canceled_reserve_order_loses_slice_and_reserve)
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

Test(book_rules, a_modify_takes_from_the_reserve_first)
{
    uint64_t ref = enter_reserve(BOB, 1, SIDE_SELL, 500, PRICE, 100);
    apply(command_modify(BOB, 1, SIDE_SELL_SHORT, 300));
    EXPECT(.type = EVENT_MODIFIED, .session = BOB, .user_ref_num = 1, .side = SIDE_SELL_SHORT,
           .quantity = 300, .price = PRICE, .trade.order_ref = ref);
    cr_assert_eq(book_depth_at(book, 0, SIDE_SELL, PRICE), 100);
}

Test(book_rules, a_reserve_order_is_replaced_on_the_feed_by_its_new_slice)
{
    uint64_t old = enter_reserve(BOB, 1, SIDE_BUY, 500, PRICE, 100);
    uint64_t ref = apply(with_floor(command_replace(BOB, 1, 2, 400, PRICE - CENT), 70));
    EXPECT(.type = EVENT_REPLACED, .session = BOB, .user_ref_num = 2, .orig_user_ref_num = 1,
           .quantity = 400, .price = PRICE - CENT);
    EXPECT_FEED(.type = EVENT_FEED_REPLACE, .quantity = 70, .price = PRICE - CENT,
                .trade.order_ref = old);
    cr_assert_eq(resting(BOB, 2).order_ref, ref);
    cr_assert_eq(resting(BOB, 2).quantity, 400);
    cr_assert_eq(resting(BOB, 2).displayed, 70);
}

Test(book_rules, a_replacement_of_a_reserve_order_counts_what_slice_and_reserve_executed)
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

Test(book_rules, the_end_cancels_a_reserve_order_whole_at_the_place_of_its_slice)
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

Test(book_rules, a_minimum_is_met_from_slices_and_reserves)
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

Test(book_rules, a_minimum_does_not_count_a_reserve_that_prevention_would_keep)
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

Test(book_rules, cancel_oldest_cancels_slice_and_reserve)
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

Test(book_rules, decrement_takes_slice_and_reserve_and_counts_them_as_executed)
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
    command.order.attributes.midpoint = 1;
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

Test(book_rules, a_midpoint_order_trades_at_the_midpoint_whatever_the_limits_are)
{
    show_market();
    uint64_t maker = apply(command_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + CENT));
    EXPECT(.type = EVENT_ACCEPTED, .session = CAROL, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .price = PRICE + CENT,
           .order.attributes = {.midpoint = 1, .display = DISPLAY_HIDDEN});
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

Test(book_rules, a_midpoint_order_beyond_its_limit_waits_until_the_market_moves)
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

Test(book_rules, a_replacement_of_the_displayed_sale_moves_the_midpoint)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 4 * CENT);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    apply_quietly(command_replace(BOB, 2, 3, 100, PRICE + 6 * CENT));
    apply(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE + 3 * CENT));
    EXPECT_FILLS({maker, 100, PRICE + 3 * CENT, 'k', 'm'});
    skip_events();
}

Test(book_rules, a_midpoint_order_is_live_at_its_limit_and_not_beyond)
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

Test(book_rules, a_limit_that_does_not_reach_the_midpoint_does_not_trade_there)
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

Test(book_rules, the_midpoint_is_rounded_down)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE);
    enter(BOB, 2, SIDE_SELL, 100, PRICE + 3);
    enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 2);
    uint64_t sale = enter_midpoint(CAROL, 2, SIDE_SELL, 100, PRICE + 1);
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 200, PRICE + 2));
    EXPECT_FILLS({sale, 100, PRICE + 1, 'k', 'm'});
    skip_events();
}

Test(book_rules, there_is_no_midpoint_inside_the_smallest_spread)
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

Test(book_rules, the_midpoint_of_the_lowest_prices_is_never_zero)
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

Test(book_rules, the_midpoint_of_the_largest_prices_is_between_them)
{
    enter(BOB, 1, SIDE_BUY, 100, PRICE_MAX - 3);
    enter(BOB, 2, SIDE_SELL, 100, PRICE_MAX);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_BUY, 100, PRICE_MAX);
    apply(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE_MAX - 2));
    EXPECT_FILLS({maker, 100, PRICE_MAX - 2, 'k', 'm'});
    skip_events();
}

Test(book_rules, the_midpoint_of_a_market_of_extremes_is_the_middle)
{
    enter(BOB, 1, SIDE_BUY, 100, 1);
    enter(BOB, 2, SIDE_SELL, 100, PRICE_MAX);
    uint64_t maker = enter_midpoint(CAROL, 1, SIDE_SELL, 100, 1);
    apply(command_midpoint(ALICE, 1, SIDE_BUY, 100, PRICE_MAX));
    EXPECT_FILLS({maker, 100, (PRICE_MAX + 1) / 2, 'k', 'm'});
    skip_events();
}

Test(book_rules, without_two_displayed_sides_midpoint_orders_wait)
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

Test(book_rules, a_waiting_midpoint_order_does_not_take_even_the_best_price_there_can_be)
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

Test(book_rules, a_midpoint_order_that_may_not_wait_is_canceled)
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

Test(book_rules, midpoint_orders_that_contradict_themselves_are_rejected)
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

Test(book_rules, midpoint_orders_are_ranked_by_limit_then_time)
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

Test(book_rules, at_the_midpoint_hidden_orders_come_before_midpoint_orders)
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

Test(book_rules, matching_keeps_the_midpoint_it_began_with)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 100, PRICE + 3 * CENT);
    uint64_t near = resting(BOB, 2).order_ref, far = resting(BOB, 3).order_ref;
    apply(command_enter_ioc(ALICE, 1, SIDE_BUY, 200, PRICE + 6 * CENT));
    EXPECT_FILLS({near, 100, PRICE + 4 * CENT, 'A', 'R'}, {far, 100, PRICE + 6 * CENT, 'A', 'R'});
    skip_events();
    cr_assert(rests(CAROL, 1));
}

Test(book_rules, a_replacement_meets_the_midpoint_that_is_left_without_the_old_order)
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

Test(book_rules, a_replacement_of_the_only_displayed_order_meets_no_midpoint)
{
    show_market();
    enter_midpoint(CAROL, 1, SIDE_SELL, 60, PRICE);
    apply(command_replace(BOB, 1, 4, 100, PRICE + 3 * CENT));
    expect_no_fill();
    skip_events();
    cr_assert(rests(BOB, 4) && rests(CAROL, 1));
}

Test(book_rules, a_live_midpoint_order_comes_in_as_a_limit_order_at_the_midpoint)
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

Test(book_rules, post_only_minds_live_midpoint_orders_and_not_waiting_ones)
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

Test(book_rules, a_minimum_counts_live_midpoint_orders_and_not_waiting_ones)
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

Test(book_rules, the_minimum_of_a_midpoint_order_counts_what_the_midpoint_accepts)
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

Test(book_rules, prevention_at_the_midpoint_cancels_the_newest)
{
    uint64_t old, ref = meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_NEWEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 2, .quantity = 150,
           .prevented = 100, .price = MID, .code = 'm', .trade.order_ref = ref,
           .trade.match_number = SELF_MATCH_CANCEL_NEWEST);
    cr_assert_eq(resting(ALICE, 1).quantity, 100);
}

Test(book_rules, prevention_at_the_midpoint_cancels_the_oldest_unseen)
{
    uint64_t old, ref = meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_OLDEST, &old);
    EXPECT(.type = EVENT_PREVENTED, .session = ALICE, .user_ref_num = 1, .side = SIDE_SELL,
           .quantity = 100, .prevented = 100, .price = MID, .code = 'k', .trade.order_ref = old,
           .trade.match_number = SELF_MATCH_CANCEL_OLDEST);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .quantity = 150, .price = PRICE + 3 * CENT,
                .trade.order_ref = ref);
}

Test(book_rules, prevention_at_the_midpoint_decrements_both)
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

Test(book_rules, prevention_at_the_midpoint_cancels_both)
{
    uint64_t old;
    meet_oneself_at_the_midpoint(SELF_MATCH_CANCEL_BOTH, &old);
    expect_no_fill();
    skip_events();
    cr_assert(!rests(ALICE, 1) && !rests(ALICE, 2));
}

Test(book_rules, a_midpoint_order_is_replaced_unseen_and_loses_its_place)
{
    show_market();
    enter_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE);
    uint64_t other = enter_midpoint(CAROL, 1, SIDE_SELL, 10, PRICE);
    apply_quietly(command_enter_ioc(BOB, 4, SIDE_BUY, 30, MID));
    struct command command = command_replace(ALICE, 1, 2, 80, PRICE);
    command.order.attributes.midpoint = 1;
    command.order.attributes.display = DISPLAY_HIDDEN;
    uint64_t ref = apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .side = SIDE_SELL, .quantity = 50, .price = PRICE,
           .order.attributes = {.midpoint = 1, .display = DISPLAY_HIDDEN});
    apply(command_enter_ioc(BOB, 5, SIDE_BUY, 20, MID));
    EXPECT_FILLS({other, 10, MID, 'k', 'm'}, {ref, 10, MID, 'k', 'm'});
    skip_events();
}

Test(book_rules, a_midpoint_order_may_be_replaced_by_a_displayed_one_and_back)
{
    show_market();
    enter_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE);
    uint64_t shown = apply(command_replace(ALICE, 1, 2, 100, PRICE + 5 * CENT));
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 2, .orig_user_ref_num = 1,
           .side = SIDE_SELL, .quantity = 100, .price = PRICE + 5 * CENT);
    EXPECT_FEED(.type = EVENT_FEED_ADD, .side = SIDE_SELL, .quantity = 100,
                .price = PRICE + 5 * CENT, .trade.order_ref = shown);
    struct command command = command_replace(ALICE, 2, 3, 100, PRICE);
    command.order.attributes.midpoint = 1;
    command.order.attributes.display = DISPLAY_HIDDEN;
    apply(command);
    EXPECT(.type = EVENT_REPLACED, .session = ALICE, .user_ref_num = 3, .orig_user_ref_num = 2,
           .side = SIDE_SELL, .quantity = 100, .price = PRICE,
           .order.attributes = {.midpoint = 1, .display = DISPLAY_HIDDEN});
    EXPECT_DELETED(SIDE_SELL, 100, PRICE + 5 * CENT, shown);
}

Test(book_rules, a_canceled_midpoint_order_keeps_its_place_and_is_not_on_the_feed)
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

Test(book_rules, the_end_cancels_midpoint_orders_after_their_sides_others_by_limit_and_time)
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

Test(book_rules, a_moved_midpoint_lets_a_midpoint_purchase_take_a_hidden_sale)
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

Test(book_rules, a_moved_midpoint_lets_a_midpoint_sale_take_a_hidden_purchase)
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

Test(book_rules, of_two_midpoint_orders_the_one_with_the_higher_reference_takes)
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

Test(book_rules, of_two_midpoint_orders_the_earlier_one_makes_on_either_side)
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

Test(book_rules, a_moved_midpoint_is_settled_with_hidden_sales_first_until_nothing_trades)
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

Test(book_rules, a_moved_midpoint_is_settled_with_hidden_purchases_before_midpoint_purchases)
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

Test(book_rules, a_displayed_order_that_comes_to_rest_moves_the_midpoint_too)
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

Test(book_rules, when_settling_prevention_is_what_the_taking_order_asks_for)
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

Test(book_rules, when_settling_what_the_making_order_asks_for_does_not_count)
{
    show_market();
    uint64_t maker = apply_quietly(asking(
        command_midpoint(ALICE, 1, SIDE_SELL, 100, PRICE + 3 * CENT), SELF_MATCH_CANCEL_BOTH));
    enter_midpoint(ALICE, 2, SIDE_BUY, 100, PRICE + 9 * CENT);
    raise_midpoint();
    EXPECT_FILLS({maker, 100, PRICE + 3 * CENT, 'k', 'm'});
    skip_events();
}

Test(book_rules, when_settling_the_midpoint_order_takes_hidden_ones_that_came_later)
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

Test(book_rules, an_order_is_canceled_by_the_first_command_after_its_seconds)
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

Test(book_rules, seconds_count_from_the_whole_second_of_arrival)
{
    enter_lasting(1, 11 * SECOND_NS - 1, 1);
    apply(clock_at(12 * SECOND_NS - 1));
    expect_nothing();
    apply(clock_at(12 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 1});
    skip_events();
}

Test(book_rules, an_order_expires_before_the_command_that_would_have_met_it)
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

Test(book_rules, any_command_at_all_lets_orders_expire)
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

Test(book_rules, a_cancel_or_replacement_in_the_second_of_expiry_comes_too_late)
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

Test(book_rules, orders_expire_by_second_and_within_one_in_the_order_of_rest)
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

Test(book_rules, only_the_orders_of_the_second_expire)
{
    for (uint32_t i = 1; i <= 4; i++)
        enter_lasting(i, 10 * SECOND_NS, i);
    for (uint32_t i = 1; i <= 4; i++) {
        apply(clock_at((11 + i) * SECOND_NS));
        EXPECT_CANCELED('T', {BOB, i});
        skip_events();
    }
}

Test(book_rules, a_replacement_lives_by_its_own_time)
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

Test(book_rules, a_replacement_expires_behind_those_that_came_to_rest_before_it)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(lasting(command_replace(BOB, 1, 3, 100, PRICE), 5), 10 * SECOND_NS));
    apply(clock_at(16 * SECOND_NS));
    EXPECT_CANCELED('T', {BOB, 2}, {BOB, 3});
    skip_events();
}

Test(book_rules, time_that_goes_back_expires_nothing_and_gives_no_longer_life)
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

Test(book_rules, seconds_are_one_to_a_day_less_one_and_go_with_their_time_in_force_only)
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

Test(book_rules, a_market_order_with_seconds_never_rests)
{
    apply(lasting(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE_MARKET), 5));
    EXPECT_CANCELED('I', {ALICE, 1});
    skip_events();
    cr_assert_eq(timed_count(), 0);
}

Test(book_rules, what_is_left_of_an_order_expires)
{
    uint64_t ref = enter_lasting(1, 10 * SECOND_NS, 5);
    apply_quietly(at(command_enter(ALICE, 1, SIDE_SELL, 30, PRICE), 11 * SECOND_NS));
    apply_quietly(at(command_cancel(BOB, 1, 90), 12 * SECOND_NS));
    apply(clock_at(16 * SECOND_NS));
    EXPECT(.type = EVENT_CANCELED, .session = BOB, .user_ref_num = 1, .quantity = 60,
           .price = PRICE, .code = 'T', .trade.order_ref = ref);
    EXPECT_DELETED(SIDE_BUY, 60, PRICE, ref);
}

Test(book_rules, orders_that_were_executed_or_canceled_do_not_expire)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    enter_lasting(2, 10 * SECOND_NS, 5);
    apply_quietly(at(command_enter(ALICE, 1, SIDE_SELL, 100, PRICE), 11 * SECOND_NS));
    apply_quietly(at(command_cancel(BOB, 2, 0), 12 * SECOND_NS));
    cr_assert_eq(timed_count(), 0);
    apply(clock_at(30 * SECOND_NS));
    expect_nothing();
}

Test(book_rules, hidden_orders_expire_unseen_and_reserve_orders_whole)
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

Test(book_rules, a_new_slice_does_not_prolong_an_orders_life)
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

Test(book_rules, the_end_cancels_orders_whose_time_is_not_over)
{
    enter_lasting(1, 10 * SECOND_NS, 5);
    apply(at(command_close, 15 * SECOND_NS));
    EXPECT_CANCELED('E', {BOB, 1});
    skip_events();
    apply(clock_at(30 * SECOND_NS));
    expect_nothing();
}

Test(book_rules, when_orders_have_expired_the_moved_midpoint_is_settled)
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

Test(book_rules, a_mass_cancel_is_answered_and_told_to_the_owners_and_the_feed)
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

Test(book_rules, a_mass_cancel_says_what_was_asked_for_and_why)
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

Test(book_rules, a_mass_cancel_of_everything_goes_by_order_reference)
{
    fill_book();
    apply(command_mass(ALICE, 7));
    EXPECT_CANCELED('U', {BOB, 1}, {ALICE, 1}, {ALICE, 2}, {CAROL, 1}, {BOB, 2}, {CAROL, 2});
    skip_events();
}

Test(book_rules, a_mass_cancel_by_session_takes_its_orders_only)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.mass.session = BOB;
    apply(command);
    EXPECT_CANCELED('U', {BOB, 1}, {BOB, 2});
    skip_events();
    cr_assert(rests(ALICE, 1) && rests(ALICE, 2) && rests(CAROL, 1) && rests(CAROL, 2));
}

Test(book_rules, a_mass_cancel_by_firm_goes_by_the_firm_an_order_names)
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

Test(book_rules, a_mass_cancel_by_instrument_takes_its_orders_only)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.instrument = 1;
    apply(command);
    EXPECT_CANCELED('U', {CAROL, 1}, {BOB, 2});
    skip_events();
}

Test(book_rules, a_mass_cancel_by_side_tells_the_kinds_of_sale_apart)
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

Test(book_rules, a_mass_cancel_takes_what_fits_all_that_is_asked)
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

Test(book_rules, a_mass_cancel_that_fits_nothing_is_only_answered)
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

Test(book_rules, a_mass_cancel_of_an_empty_book_is_only_answered)
{
    apply(command_mass(ALICE, 1));
    EXPECT(.type = EVENT_MASS_CANCELED, .session = ALICE, .user_ref_num = 1,
           .instrument = NO_INSTRUMENT, .side = ANY_SIDE);
    apply(command_mass(ANY_SESSION, 0));
    expect_nothing();
}

Test(book_rules, a_mass_cancel_uses_up_a_number_as_an_order_does)
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

Test(book_rules, a_mass_cancel_with_a_verdict_is_rejected_and_cancels_nothing)
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

Test(book_rules, a_mass_cancel_of_an_unlisted_instrument_is_rejected)
{
    fill_book();
    struct command command = command_mass(ALICE, 7);
    command.instrument = 2;
    apply(command);
    EXPECT(.type = EVENT_REJECTED, .session = ALICE, .user_ref_num = 7,
           .code = REJECT_INVALID_SYMBOL);
    cr_assert(rests(ALICE, 1) && rests(BOB, 1));
}

Test(book_rules, after_the_end_a_mass_cancel_is_rejected)
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

Test(book_rules, an_operator_cancels_and_is_not_answered)
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

Test(book_rules, an_operators_mass_cancel_of_an_unlisted_instrument_does_nothing)
{
    fill_book();
    struct command command = command_mass(ANY_SESSION, 0);
    command.instrument = 2;
    apply(command);
    expect_nothing();
}

Test(book_rules, a_mass_cancel_takes_reserve_and_midpoint_orders_whole)
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

Test(book_rules, a_mass_cancel_finds_a_new_slice_under_its_new_reference)
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

Test(book_rules, after_a_mass_cancel_instruments_are_settled_by_index)
{
    prepare_settlement(1, 1);
    prepare_settlement(0, 3);
    struct command command = command_mass(ANY_SESSION, 0);
    command.mass.session = BOB;
    apply(command);
    expect_settlements();
}

Test(book_rules, after_orders_expired_instruments_are_settled_by_index)
{
    prepare_settlement(1, 1);
    prepare_settlement(0, 3);
    apply(clock_at(2 * SECOND_NS));
    expect_settlements();
}
