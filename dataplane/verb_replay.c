// SPDX-License-Identifier: MIT
//
// sluice replay: a journal applied again to an empty book: the same events, the same state hash.
#include "dataplane/verbs.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"
#include "dataplane/report.h"
#include "journal/journal.h"
#include "numa/arena.h"
#include "numa/clock.h"

#define SPACE 1024u

struct replay {
    struct arena memory;
    struct book *book;
    struct event_sink sink;
    struct event space[SPACE];
    bool print_events;
    uint64_t event_count;
    uint64_t event_hash; // of every byte of every event, in order
    struct error error;
};

static void print_event(const struct event *event)
{
    printf("%" PRIu64 " %s%u #%" PRIu64
           " type %u urn %u side %u qty %u price %u code %u ref %" PRIu64 "\n",
           event->seq, event->session == FEED_SESSION ? "feed " : "session ",
           event->session == FEED_SESSION ? 0u : event->session, event->stream_seq, event->type,
           event->user_ref_num, event->side, event->quantity, event->price, event->code,
           event->type == EVENT_ACCEPTED || event->type == EVENT_REPLACED ? event->seq
                                                                          : event->trade.order_ref);
}

static void take_events(struct event_sink *sink)
{
    struct replay *replay = sink->context;
    for (const struct event *event = replay->space; event < sink->next; event++) {
        uint64_t words[8];
        memcpy(words, event, sizeof(words));
        for (size_t i = 0; i < 8; i++) {
            replay->event_hash = (replay->event_hash ^ words[i]) * 0x9E3779B97F4A7C15ull;
            replay->event_hash ^= replay->event_hash >> 32;
        }
        if (replay->print_events)
            print_event(event);
    }
    replay->event_count += (uint64_t)(sink->next - replay->space);
    sink->next = replay->space;
}

static bool open_book(struct replay *replay, const struct command *command)
{
    const struct book_limits *limits = &command->open.limits;
    if (command->type != COMMAND_OPEN || book_limits_check(limits)) {
        error_set(&replay->error, "the journal does not begin with the opening of a day");
        return false;
    }
    if (arena_open(&replay->memory, "book", book_memory_size(limits), ARENA_ANY_NODE, false,
                   &replay->error))
        return false;
    replay->book = book_open(arena_take(&replay->memory, book_memory_size(limits), 64), limits);
    return true;
}

static bool apply(void *context, uint64_t seq, const void *record)
{
    struct replay *replay = context;
    (void)seq;
    if (!replay->book && !open_book(replay, record))
        return false;
    book_apply(replay->book, record, &replay->sink);
    return true;
}

static void print_result(const struct replay *replay, double seconds, bool json)
{
    struct book_summary summary;
    book_summarise(replay->book, &summary);
    json_t *result = json_pack(
        "{s:I, s:I, s:I, s:i, s:o, s:o, s:f, s:f}", "commands", (json_int_t)summary.seq, "events",
        (json_int_t)replay->event_count, "executions", (json_int_t)summary.match_count,
        "resting_orders", (int)summary.order_count, "event_hash", report_hash(replay->event_hash),
        "state_hash", report_hash(book_hash(replay->book)), "seconds", seconds,
        "million_commands_per_second", (double)summary.seq / seconds * 1e-6);
    if (json) {
        json_dumpf(result, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        report_print(result, stdout);
    }
    json_decref(result);
}

static int replay_journal(const char *directory, bool json, bool print_events)
{
    struct tsc_clock clock;
    clock_calibrate(&clock, 10);
    struct replay *replay = calloc(1, sizeof(*replay));
    struct error error = {"no memory"};
    struct disk *disk = replay ? disk_open_read_only(directory, &error) : NULL;
    if (!disk) {
        fprintf(stderr, "sluice: %s\n", error.text);
        free(replay);
        return 1;
    }
    replay->print_events = print_events;
    replay->sink = (struct event_sink){replay->space, replay->space + SPACE, take_events, replay};
    struct journal_stat stat;
    uint64_t started_ns = clock_ns(&clock);
    int result = journal_scan(disk, apply, replay, &stat, &error);
    take_events(&replay->sink);
    double seconds = (double)(clock_ns(&clock) - started_ns) * 1e-9;
    if (result == 0 && replay->book)
        print_result(replay, seconds, json);
    else
        fprintf(stderr, "sluice: %s: %s\n", directory,
                replay->error.text[0] ? replay->error.text
                : result              ? error.text
                                      : "the journal is empty");
    bool failed = result != 0 || !replay->book;
    arena_close(&replay->memory);
    disk_close(disk);
    free(replay);
    return failed ? 1 : 0;
}

int verb_replay(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"events", no_argument, NULL, 'e'}, {0}};
    bool json = false, print_events = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return 2;
        if (option == 'j')
            json = true;
        else
            print_events = true;
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "sluice: usage: sluice replay [--json] [--events] JOURNAL\n");
        return 2;
    }
    return replay_journal(argv[optind], json, print_events);
}
