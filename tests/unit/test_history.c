// SPDX-License-Identifier: MIT
//
// Who gets the window of what streams no longer keep, and when; the replay is played by the test.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/history.h"

#define ALICE 0u
#define BOB   1u
#define KEPT  16u
#define NEXT  1000000u // of both streams

static struct history history;
static struct stream kept;
static uint64_t now_ns;
static bool later;

static void set_up(void)
{
    size_t size = (history_memory_size(2) + 63) & ~(size_t)63;
    history_init(&history, memset(aligned_alloc(64, size), 0, size), 2);
    stream_init(&kept, calloc(KEPT, sizeof(struct event)), KEPT);
    kept.next = kept.sent = NEXT;
    now_ns = 3600000000000ull;
}

TestSuite(history, .init = set_up);

static const struct stream *find(uint16_t session, uint64_t number)
{
    now_ns += 1000;
    return history_find(&history, session, &kept, number, now_ns, &later);
}

// The number that event `number` of `session` has where it is read from; 0: nowhere.
static uint64_t found(uint16_t session, uint64_t number)
{
    const struct stream *stream = find(session, number);
    const struct event *event = stream ? stream_event(stream, number) : NULL;
    return event && event->session == session ? event->stream_seq : 0;
}

// A replay that comes past events `first` to `last` of `session`.
static void replay(uint16_t session, uint64_t first, uint64_t last)
{
    cr_assert(history_wanted(&history));
    history_begin(&history);
    for (uint64_t number = first; number <= last && !history_full(&history); number++) {
        history_take(&history, &(struct event){.session = BOB + 1, .stream_seq = number});
        history_take(&history, &(struct event){.session = session, .stream_seq = number});
    }
    history_answer(&history, false);
}

Test(history, what_is_kept_is_read_where_it_is)
{
    cr_assert_eq(find(ALICE, NEXT - 1), &kept);
    cr_assert_not(history_wanted(&history));
}

Test(history, what_was_never_said_is_not_looked_for)
{
    cr_assert_eq(find(ALICE, NEXT), &kept);
    cr_assert_eq(find(ALICE, 0), &kept);
    cr_assert_not(history_wanted(&history));
}

Test(history, without_a_journal_there_is_what_is_kept)
{
    cr_assert_eq(history_find(NULL, ALICE, &kept, 1, now_ns, &later), &kept);
    cr_assert_not(later);
}

Test(history, what_is_kept_no_longer_is_brought_and_read_from_the_window)
{
    cr_assert_null(find(ALICE, 7));
    cr_assert(later);
    cr_assert_null(find(ALICE, 7), "it is being brought");
    cr_assert(later);
    replay(ALICE, 1, 100000);
    for (uint64_t number = 7; number < 7 + HISTORY_ENOUGH; number++)
        cr_assert_eq(found(ALICE, number), number);
    cr_assert_not(history_wanted(&history));
    cr_assert_null(find(ALICE, 7 + HISTORY_ENOUGH));
    cr_assert(later && history_wanted(&history), "the next window follows at once");
}

Test(history, the_window_holds_no_more_than_its_memory)
{
    find(ALICE, 1);
    history_begin(&history);
    for (uint64_t number = 1; number <= 2 * HISTORY_EVENTS; number++) // one command's
        history_take(&history, &(struct event){.session = ALICE, .stream_seq = number});
    history_answer(&history, false);
    cr_assert_eq(found(ALICE, 1), 1);
    cr_assert_eq(found(ALICE, HISTORY_EVENTS), HISTORY_EVENTS);
    cr_assert_eq(found(ALICE, HISTORY_EVENTS + 1), 0);
}

Test(history, another_sessions_numbers_are_not_taken_for_ones_own)
{
    find(ALICE, 7);
    replay(ALICE, 1, 100);
    cr_assert_eq(found(ALICE, 7), 7);
    cr_assert_null(find(BOB, 7));
    cr_assert_null(find(FEED_SESSION, 7));
}

Test(history, who_reads_is_not_disturbed_by_who_comes)
{
    find(ALICE, 7);
    replay(ALICE, 1, 100);
    for (uint64_t number = 7; number <= 20; number++) {
        cr_assert_eq(found(ALICE, number), number);
        cr_assert_null(find(BOB, 1));
        cr_assert(later);
        now_ns += HISTORY_PATIENCE_NS / 2;
    }
    cr_assert_not(history_wanted(&history));
}

// It used to be hers for as long as she asked twice a second.
Test(history, who_reads_the_same_again_and_again_lets_the_next_one_in)
{
    find(ALICE, 7);
    replay(ALICE, 1, 100);
    for (uint64_t passed_ns = 0; passed_ns < HISTORY_HELD_NS;
         passed_ns += HISTORY_PATIENCE_NS / 2) {
        cr_assert_not(history_wanted(&history));
        cr_assert_eq(found(ALICE, 7), 7);
        cr_assert_null(find(BOB, 1));
        now_ns += HISTORY_PATIENCE_NS / 2;
    }
    cr_assert_eq(found(ALICE, 7), 7, "nobody needs it at this moment");
    cr_assert_null(find(BOB, 1));
    cr_assert(history_wanted(&history) && history.session == BOB);
}

Test(history, who_has_gone_on_for_long_lets_the_next_one_in)
{
    find(ALICE, 1);
    replay(ALICE, 1, 100000);
    cr_assert_eq(found(ALICE, HISTORY_ENOUGH), HISTORY_ENOUGH);
    find(BOB, 5);
    find(ALICE, HISTORY_ENOUGH + 1);
    cr_assert_eq(history.session, ALICE, "her turn is not over");
    now_ns += HISTORY_TURN_NS;
    replay(ALICE, HISTORY_ENOUGH + 1, 100000);
    cr_assert_eq(found(ALICE, 2 * HISTORY_ENOUGH), 2 * HISTORY_ENOUGH);
    find(BOB, 5);
    find(ALICE, 2 * HISTORY_ENOUGH + 1);
    cr_assert(history_wanted(&history) && history.session == BOB && history.first == 5);
    replay(BOB, 1, 50);
    cr_assert_eq(found(BOB, 50), 50);
    now_ns += HISTORY_PATIENCE_NS;
    find(ALICE, 2 * HISTORY_ENOUGH + 1);
    cr_assert(history_wanted(&history) && history.session == ALICE);
}

Test(history, who_waits_comes_before_who_comes_later)
{
    find(ALICE, 1);
    replay(ALICE, 1, 100);
    cr_assert_eq(found(ALICE, 1), 1);
    find(BOB, 5);
    now_ns += HISTORY_PATIENCE_NS;
    find(FEED_SESSION, 9);
    cr_assert(history_wanted(&history) && history.session == BOB);
}

Test(history, who_has_vanished_keeps_the_window_from_nobody)
{
    find(ALICE, 1);
    replay(ALICE, 1, 100);
    find(BOB, 5);
    cr_assert_not(history_wanted(&history));
    now_ns += 3 * HISTORY_PATIENCE_NS; // and by now nobody knows whether Bob still waits
    find(FEED_SESSION, 9);
    cr_assert(history_wanted(&history) && history.session == FEED_SESSION);
}

Test(history, what_no_journal_has_is_looked_for_once)
{
    find(ALICE, 7);
    replay(ALICE, 50, 100);
    cr_assert_null(find(ALICE, 7));
    cr_assert_not(later);
    cr_assert_null(find(ALICE, 49));
    cr_assert(!later && !history_wanted(&history));
    find(ALICE, 50);
    cr_assert(later && history_wanted(&history));
    replay(ALICE, 50, 100);
    cr_assert_eq(found(ALICE, 50), 50);
}

Test(history, after_a_replay_that_failed_the_next_one_waits_a_while)
{
    find(ALICE, 7);
    history_begin(&history);
    history_take(&history, &(struct event){.session = ALICE, .stream_seq = 7});
    history_answer(&history, true);
    now_ns += HISTORY_PATIENCE_NS;
    cr_assert_eq(found(ALICE, 7), 0);
    cr_assert(later && !history_wanted(&history));
    now_ns += HISTORY_REST_NS;
    find(ALICE, 7);
    cr_assert(later && history_wanted(&history));
}
