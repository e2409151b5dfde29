// SPDX-License-Identifier: MIT
//
// What the examples of the book's rules have in common: every command goes to the book and to the
// reference, and both must give exactly the events that the example names.
#ifndef SLUICE_TESTS_UNIT_BOOK_EXAMPLES_H
#define SLUICE_TESTS_UNIT_BOOK_EXAMPLES_H

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

static inline void too_many_events(struct event_sink *sink)
{
    (void)sink;
    cr_assert_fail("more than 64 events");
}

// Give a command; returns its seq.
static inline uint64_t apply(struct command command)
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
static inline void expect_event(int line, struct event expected)
{
    cr_assert_lt(expected_count, event_count, "line %d: no event came", line);
    const struct event *got = &events[expected_count++];
    expected.seq = command_seq;
    expected.time_ns = time_ns < MIDNIGHT_NS ? 0 : time_ns - MIDNIGHT_NS;
    expected.stream_seq =
        expected.session == FEED_SESSION ? ++feed_seq : ++stream_seqs[expected.session];
    if (expected.type == EVENT_OPTIONS)
        stream_seqs[expected.session]--;
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

#define EXPECT_DELETED(on, shares, at, ref)                                                        \
    EXPECT_FEED(.type = EVENT_FEED_DELETE, .side = (on), .quantity = (shares), .price = (at),      \
                .trade.order_ref = (ref))

// Refused for a limit of this kind, or for none (0).
static inline void expect_broken(struct command command, uint8_t code, uint8_t kind)
{
    memcpy(command.order.client_order_id, "wrong         ", 14);
    apply(command);
    struct event rejected = {.type = EVENT_REJECTED,
                             .session = command.session,
                             .user_ref_num = command.order.user_ref_num,
                             .user_ref_index = command.user_ref_index,
                             .code = code,
                             .limit = kind};
    memcpy(rejected.order.client_order_id, "wrong         ", 14);
    expect_event(__LINE__, rejected);
}

static inline void expect_rejected(struct command command, uint8_t code)
{
    expect_broken(command, code, 0);
}

static inline void expect_nothing(void)
{
    cr_assert_eq(event_count, 0, "%zu events came", event_count);
}

// For events that are another example's subject.
static inline void skip_events(void)
{
    for (; expected_count < event_count; expected_count++) {
        uint16_t session = events[expected_count].session;
        if (session == FEED_SESSION)
            feed_seq++;
        else if (events[expected_count].type != EVENT_OPTIONS)
            stream_seqs[session]++;
    }
}

static inline uint64_t apply_quietly(struct command command)
{
    uint64_t seq = apply(command);
    skip_events();
    return seq;
}

static inline void open_book(void)
{
    cr_assert_leq(book_memory_size(&limits), sizeof(book_memory));
    book = book_open(book_memory, &limits);
    reference_open(&reference, &limits);
}

static inline struct command command_open(void)
{
    return (struct command){.type = COMMAND_OPEN,
                            .open.midnight_ns = MIDNIGHT_NS,
                            .open.limits = limits,
                            .open.session_id = "SESSION001",
                            .open.shard = 2};
}

static inline struct command command_instrument(uint16_t index)
{
    struct command command = {
        .type = COMMAND_INSTRUMENT, .instrument = index, .listing.round_lot = 100};
    memcpy(command.listing.symbol, index == 0 ? "ACME    " : "ZENITH  ", 8);
    return command;
}

static inline struct command command_session(uint16_t index)
{
    static const char names[][7] = {"ALICE ", "BOB   ", "CAROL ", "DAVE  ", "EVE   "};
    static const char firms[][5] = {"ALFA", "BRAV", "CHAR", "DELT", "ECHO"};
    struct command command = {.type = COMMAND_SESSION, .session = index};
    memcpy(command.member.user_name, names[index], 6);
    memcpy(command.member.firm, firms[index], 4);
    return command;
}

// Alice, Bob and Carol before the start, instruments 0 and 1.
static inline void set_up_preopen(void)
{
    open_book();
    apply_quietly(command_open());
    apply_quietly(command_instrument(0));
    apply_quietly(command_instrument(1));
    for (uint16_t session = ALICE; session <= CAROL; session++)
        apply_quietly(command_session(session));
}

static inline void set_up(void)
{
    set_up_preopen();
    cr_assert_eq(apply_quietly((struct command){.type = COMMAND_START}), SET_UP_SEQ);
}

static inline struct command command_enter(uint16_t session, uint32_t user_ref_num, enum side side,
                                           uint32_t quantity, uint32_t price)
{
    return (struct command){.type = COMMAND_ENTER,
                            .session = session,
                            .side = (uint8_t)side,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity,
                            .order.price = price};
}

static inline uint64_t enter(uint16_t session, uint32_t user_ref_num, enum side side,
                             uint32_t quantity, uint32_t price)
{
    return apply_quietly(command_enter(session, user_ref_num, side, quantity, price));
}

static inline uint64_t enter_hidden(uint16_t session, uint32_t user_ref_num, enum side side,
                                    uint32_t quantity, uint32_t price)
{
    struct command command = command_enter(session, user_ref_num, side, quantity, price);
    command.order.attributes.display = DISPLAY_HIDDEN;
    return apply_quietly(command);
}

static inline struct command command_enter_ioc(uint16_t session, uint32_t user_ref_num,
                                               enum side side, uint32_t quantity, uint32_t price)
{
    struct command command = command_enter(session, user_ref_num, side, quantity, price);
    command.order.attributes.time_in_force = TIF_IOC;
    return command;
}

static inline struct command command_replace(uint16_t session, uint32_t orig_user_ref_num,
                                             uint32_t user_ref_num, uint32_t quantity,
                                             uint32_t price)
{
    return (struct command){.type = COMMAND_REPLACE,
                            .session = session,
                            .order.orig_user_ref_num = orig_user_ref_num,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity,
                            .order.price = price};
}

static inline struct command command_cancel(uint16_t session, uint32_t user_ref_num,
                                            uint32_t quantity)
{
    return (struct command){.type = COMMAND_CANCEL,
                            .session = session,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity};
}

static inline struct command command_modify(uint16_t session, uint32_t user_ref_num, enum side side,
                                            uint32_t quantity)
{
    return (struct command){.type = COMMAND_MODIFY,
                            .session = session,
                            .side = (uint8_t)side,
                            .order.user_ref_num = user_ref_num,
                            .order.quantity = quantity};
}

static inline struct command command_query(uint16_t session)
{
    return (struct command){.type = COMMAND_QUERY, .session = session};
}

static const struct command command_start = {.type = COMMAND_START};
static const struct command command_close = {.type = COMMAND_CLOSE};

// What the order lookups say of an order that must rest.
static inline struct book_order resting(uint16_t session, uint32_t user_ref_num)
{
    struct book_order order;
    cr_assert(book_find_user_ref(book, session, 0, user_ref_num, &order));
    return order;
}

static inline bool rests(uint16_t session, uint32_t user_ref_num)
{
    struct book_order order;
    return book_find_user_ref(book, session, 0, user_ref_num, &order);
}

static inline uint32_t last_number(uint16_t session)
{
    apply_quietly(command_query(session));
    return events[0].user_ref_num - 1;
}

static inline void finish(void)
{
    cr_assert_eq(expected_count, event_count, "%zu events expected, %zu came", expected_count,
                 event_count);
    reference_close(&reference);
}

#endif
