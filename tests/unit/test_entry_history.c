// SPDX-License-Identifier: MIT
//
// Messages that a session asks for again when order entry no longer keeps them.
#include "tests/unit/entry_bench.h"

TestSuite(entry_history, .init = set_up);

#define RELEASED (2 * HISTORY)

static struct history history;

static struct event canceled(uint64_t number)
{
    return (struct event){
        .seq = number, .stream_seq = number, .session = 0, .type = EVENT_CANCELED, .code = 'U'};
}

static void release_more_than_is_kept(void)
{
    size_t size = history_memory_size(SESSIONS);
    history_init(&history, take(size), SESSIONS);
    entry.history = &history;
    for (uint64_t number = 1; number <= RELEASED; number++) {
        struct event event = canceled(number);
        cr_assert(entry_release(&entry, &event));
    }
    log_in(1, "USER0 ", SECOND_NS);
    sent_count = 0;
}

static void ask_again(uint32_t first)
{
    struct ufo_retransmit request = {
        .type = UFO_RETRANSMIT, .sequence = be32_of(first), .count = be16_of(2)};
    block(&request, sizeof(request));
    deliver(1, SECOND_NS);
}

Test(entry_history, what_is_kept_no_longer_is_sent_once_the_journal_was_read)
{
    release_more_than_is_kept();
    ask_again(5);
    cr_assert_eq(sent_count, 0);
    cr_assert_eq(entry.counters.retransmit_later, 1);
    cr_assert(history_wanted(&history));
    history_begin(&history);
    for (uint64_t number = 1; number <= RELEASED; number++) {
        struct event event = canceled(number);
        history_take(&history, &event);
    }
    history_answer(&history, false);
    ask_again(5);
    const struct ufo_sequenced *answer = (const struct ufo_sequenced *)last_payload();
    cr_assert_eq(sent_count, 1);
    cr_assert_eq(be32_load(answer->sequence), 5);
    cr_assert_eq(be16_load(answer->count), 2);
    cr_assert_eq(entry.counters.retransmitted_from_journal, 2);
    cr_assert_eq(entry.counters.retransmit_unserved, 0);
}

Test(entry_history, each_request_is_counted_as_what_became_of_it)
{
    release_more_than_is_kept();
    ask_again(RELEASED);     // from memory
    ask_again(RELEASED + 1); // never said
    ask_again(0);
    ask_again(1); // in the journal
    cr_assert_eq(entry.counters.retransmit_requests, 4);
    cr_assert_eq(entry.counters.retransmitted_messages, 1);
    cr_assert_eq(entry.counters.retransmitted_from_journal, 0);
    cr_assert_eq(entry.counters.retransmit_unserved, 2);
    cr_assert_eq(entry.counters.retransmit_later, 1);
    entry.history = NULL; // a recording has no journal
    ask_again(1);
    cr_assert_eq(entry.counters.retransmit_unserved, 3);
}
