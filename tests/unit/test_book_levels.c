// SPDX-License-Identifier: MIT
//
// What happens when price levels outside the window run out: 262,144 of them, all in use.
#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"

#define FAR_LEVELS 262144u

static struct event events[64];
static struct event last; // to a session

static void keep_last(struct event_sink *sink)
{
    for (const struct event *event = events; event < sink->next; event++)
        if (event->session != FEED_SESSION)
            last = *event;
    sink->next = events;
}

static struct event_sink sink = {events, events + 64, keep_last, NULL};

static void apply(struct book *book, struct command command)
{
    book_apply(book, &command, &sink);
    keep_last(&sink);
}

static struct command between_steps(uint32_t number)
{
    struct command command = {.type = COMMAND_ENTER};
    command.order.user_ref_num = number;
    command.order.quantity = 100;
    command.order.price = number * 100 + 50;
    return command;
}

// A book with an order at each level that there is.
static struct book *full_book(void)
{
    struct book_limits limits = {.orders_max = 300000, .instruments_max = 1, .sessions_max = 1};
    struct book *book = book_open(aligned_alloc(64, book_memory_size(&limits)), &limits);
    apply(book, (struct command){.type = COMMAND_OPEN, .open.limits = limits});
    apply(book, (struct command){.type = COMMAND_INSTRUMENT});
    apply(book, (struct command){.type = COMMAND_SESSION});
    apply(book, (struct command){.type = COMMAND_START});
    for (uint32_t i = 1; i <= FAR_LEVELS; i++)
        apply(book, between_steps(i));
    cr_assert_eq(last.type, EVENT_ACCEPTED);
    return book;
}

Test(book_levels, an_order_that_would_take_a_far_level_too_many_is_canceled_and_the_book_goes_on)
{
    struct book *book = full_book();
    apply(book, between_steps(FAR_LEVELS + 1));
    cr_assert_eq(last.type, EVENT_CANCELED);
    cr_assert_eq(last.code, 'Z');
    cr_assert_eq(last.quantity, 100);
    struct book_summary summary;
    book_summarise(book, &summary);
    cr_assert_eq(summary.order_count, FAR_LEVELS);

    // At a level that is there, or in the window, there is room.
    struct command same = between_steps(7);
    same.order.user_ref_num = FAR_LEVELS + 2;
    apply(book, same);
    cr_assert_eq(last.type, EVENT_ACCEPTED);

    struct command cancel = {.type = COMMAND_CANCEL, .order.user_ref_num = 9};
    apply(book, cancel);
    apply(book, between_steps(FAR_LEVELS + 3));
    cr_assert_eq(last.type, EVENT_ACCEPTED);
    free(book);
}

// It was put among those that expire before it had a level, and once more when the book tried
// again: one that expires in the same second was never found.
Test(book_levels, a_replacement_that_finds_no_far_level_expires_nowhere)
{
    struct book *book = full_book();
    struct command timed = {.type = COMMAND_ENTER, .order.price = 150, .order.quantity = 100};
    timed.order.attributes.time_in_force = TIF_GTT;
    timed.order.expire_seconds = 5;
    timed.order.user_ref_num = FAR_LEVELS + 1;
    apply(book, timed); // it shares its level, as the next does
    struct command plain = timed;
    plain.order.attributes.time_in_force = TIF_DAY;
    plain.order.expire_seconds = 0;
    plain.order.user_ref_num = FAR_LEVELS + 2;
    apply(book, plain);
    cr_assert_eq(last.type, EVENT_ACCEPTED);

    struct command replace = timed;
    replace.type = COMMAND_REPLACE;
    replace.order.orig_user_ref_num = FAR_LEVELS + 2;
    replace.order.user_ref_num = FAR_LEVELS + 3;
    replace.order.price = (FAR_LEVELS + 1) * 100 + 50;
    apply(book, replace);
    cr_assert_eq(last.type, EVENT_CANCELED);
    cr_assert_eq(last.code, 'Z');
    cr_assert_eq(last.quantity, 100);

    apply(book, (struct command){.type = COMMAND_CLOCK, .time_ns = 10000000000});
    cr_assert_eq(last.type, EVENT_CANCELED);
    cr_assert_eq(last.code, 'T');
    cr_assert_eq(last.user_ref_num, FAR_LEVELS + 1);
    struct book_summary summary;
    book_summarise(book, &summary);
    cr_assert_eq(summary.order_count, FAR_LEVELS);
    free(book);
}
