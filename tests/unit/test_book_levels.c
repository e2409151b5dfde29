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

Test(book_levels, an_order_that_would_take_a_far_level_too_many_is_canceled_and_the_book_goes_on)
{
    struct book_limits limits = {.orders_max = 300000, .instruments_max = 1, .sessions_max = 1};
    void *memory = aligned_alloc(64, book_memory_size(&limits));
    struct book *book = book_open(memory, &limits);
    apply(book, (struct command){.type = COMMAND_OPEN, .open.limits = limits});
    apply(book, (struct command){.type = COMMAND_INSTRUMENT});
    apply(book, (struct command){.type = COMMAND_SESSION});
    apply(book, (struct command){.type = COMMAND_START});
    for (uint32_t i = 1; i <= FAR_LEVELS; i++)
        apply(book, between_steps(i));
    cr_assert_eq(last.type, EVENT_ACCEPTED);

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
    free(memory);
}
