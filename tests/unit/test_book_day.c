// SPDX-License-Identifier: MIT
//
// The day of the matching core, and what can be asked of a book, one example each: its states, who
// and what is admitted, a session's next number, depth and the hash. Every command goes to the book
// and to the reference; both must give exactly the events that are written here.
#include "tests/unit/book_examples.h"

TestSuite(book_day, .init = open_book, .fini = finish);
TestSuite(book_day_trading, .init = set_up, .fini = finish);

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

Test(book_day, before_the_start_orders_are_rejected_as_closed)
{
    apply_quietly(command_open());
    apply_quietly(command_instrument(0));
    apply_quietly(command_session(ALICE));
    expect_rejected(command_enter(ALICE, 1, SIDE_BUY, 100, PRICE), REJECT_DESTINATION_CLOSED);
    cr_assert_eq(last_number(ALICE), 1);
}

Test(book_day_trading, close_cancels_by_instrument_side_price_display_and_time)
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

Test(book_day_trading, clients_that_were_not_admitted_are_ignored)
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

Test(book_day_trading, unknown_commands_count_and_do_nothing)
{
    apply((struct command){.type = 0});
    expect_nothing();
    uint64_t seq = apply((struct command){.type = COMMAND_CLOCK + 1});
    expect_nothing();
    cr_assert_eq(book_seq(book), seq);
}

// QUERY

Test(book_day_trading, a_query_is_answered_with_the_next_number_of_the_channel)
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

Test(book_day_trading, depth_lists_visible_levels_best_first)
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
