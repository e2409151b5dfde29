// SPDX-License-Identifier: MIT
//
// What the examples of special orders have in common: their commands, and what came of them.
#ifndef SLUICE_TESTS_UNIT_SPECIAL_EXAMPLES_H
#define SLUICE_TESTS_UNIT_SPECIAL_EXAMPLES_H

#include "tests/unit/book_examples.h"

struct fill {
    uint64_t maker; // its order reference
    uint32_t quantity;
    uint32_t price;
    char maker_flag, taker_flag;
};

// The executions of the last command, in order, each told to maker, taker and feed.
static inline void expect_fills(int line, const struct fill *fills, size_t count)
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

static inline void expect_no_fill(void)
{
    for (size_t i = 0; i < event_count; i++)
        cr_assert_neq(events[i].type, EVENT_EXECUTED, "event %zu is an execution", i);
}

struct owner {
    uint16_t session;
    uint32_t user_ref_num;
};

// The orders that the last command canceled, in order, for this reason.
static inline void expect_canceled(int line, char reason, const struct owner *owners, size_t count)
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

static inline struct command on_second_instrument(struct command command)
{
    command.instrument = 1;
    return command;
}

static inline struct command asking(struct command command, enum self_match strategy)
{
    command.order.attributes.self_match = strategy & 7;
    return command;
}

static inline struct command with_minimum(struct command command, uint32_t minimum)
{
    command.order.attributes.time_in_force = TIF_IOC;
    command.order.min_quantity = minimum;
    return command;
}

static inline struct command with_floor(struct command command, uint32_t max_floor)
{
    command.order.max_floor = max_floor;
    return command;
}

static inline uint64_t enter_reserve(uint16_t session, uint32_t user_ref_num, enum side side,
                                     uint32_t quantity, uint32_t price, uint32_t max_floor)
{
    return apply_quietly(
        with_floor(command_enter(session, user_ref_num, side, quantity, price), max_floor));
}

static inline struct command command_midpoint(uint16_t session, uint32_t user_ref_num,
                                              enum side side, uint32_t quantity, uint32_t limit)
{
    struct command command = command_enter(session, user_ref_num, side, quantity, limit);
    command.order.attributes.peg = PEG_MIDPOINT;
    command.order.attributes.display = DISPLAY_HIDDEN;
    return command;
}

static inline uint64_t enter_midpoint(uint16_t session, uint32_t user_ref_num, enum side side,
                                      uint32_t quantity, uint32_t limit)
{
    return apply_quietly(command_midpoint(session, user_ref_num, side, quantity, limit));
}

#endif
