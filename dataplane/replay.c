// SPDX-License-Identifier: MIT
#include "dataplane/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/load_flow.h"
#include "dataplane/load_tape.h"
#include "journal/journal.h"

#define TAPE_SESSIONS 4u // as many as orders and executions of a tape are spread over

static void print_event(const struct event *event)
{
    bool feed = event->session == FEED_SESSION;
    bool names_itself = event->type == EVENT_ACCEPTED || event->type == EVENT_REPLACED;
    printf("%" PRIu64 " %s %u #%" PRIu64 " type %u urn %u side %u qty %u price %u code %u",
           event->seq, feed ? "feed" : "session", feed ? 0u : event->session, event->stream_seq,
           event->type, event->user_ref_num, event->side, event->quantity, event->price,
           event->code);
    if (names_itself)
        printf(" ref %" PRIu64 "\n", event->seq);
    else if (event->type == EVENT_OPTIONS)
        printf(" min %u floor %u random %u seconds %u offset %d\n", event->options.min_quantity,
               event->options.max_floor, event->options.random_reserve,
               event->options.expire_seconds, event->options.peg_offset);
    else if (event->type == EVENT_REJECTED)
        printf("\n");
    else
        printf(" ref %" PRIu64 "\n", event->trade.order_ref);
}

void replay_event(struct replay *replay, const struct event *event)
{
    uint64_t words[8];
    memcpy(words, event, sizeof(words));
    // Four lanes side by side: one alone, each step waiting for the one before, is half of what a
    // replayed command costs.
    for (size_t i = 0; i < 8; i++) {
        uint64_t lane = (replay->lanes[i & 3] ^ words[i]) * 0x9E3779B97F4A7C15ull;
        replay->lanes[i & 3] = lane ^ lane >> 32;
    }
    replay->event_count++;
    if (replay->print_events)
        print_event(event);
}

static void take_events(struct event_sink *sink)
{
    struct replay *replay = sink->context;
    for (const struct event *event = replay->space; event < sink->next; event++)
        replay_event(replay, event);
    sink->next = replay->space;
}

void replay_init(struct replay *replay, bool print_events)
{
    memset(replay, 0, sizeof(*replay));
    replay->print_events = print_events;
    replay->sink =
        (struct event_sink){replay->space, replay->space + REPLAY_SPACE, take_events, replay};
}

void replay_close(struct replay *replay)
{
    arena_close(&replay->memory);
}

static bool open_book(struct replay *replay, const struct command *command)
{
    const struct book_limits *limits = &command->open.limits;
    if (command->type != COMMAND_OPEN || book_limits_check(limits)) {
        error_set(&replay->error, "it does not begin with the opening of a day");
        return false;
    }
    if (arena_open(&replay->memory, "book", book_memory_size(limits), ARENA_ANY_NODE, false,
                   &replay->error))
        return false;
    replay->book = book_open(arena_take(&replay->memory, book_memory_size(limits), 64), limits);
    return true;
}

static void apply_batch(struct replay *replay)
{
    book_apply_batch(replay->book, replay->batch, replay->batch_count, &replay->sink);
    replay->batch_count = 0;
}

bool replay_command(struct replay *replay, const struct command *command)
{
    if (!replay->book && !open_book(replay, command))
        return false;
    replay->batch[replay->batch_count++] = *command;
    if (replay->batch_count == REPLAY_BATCH)
        apply_batch(replay);
    return true;
}

void replay_finish(struct replay *replay)
{
    if (replay->batch_count > 0)
        apply_batch(replay);
    take_events(&replay->sink);
    replay->event_hash = 0;
    for (size_t i = 0; i < 4; i++)
        replay->event_hash = (replay->event_hash ^ replay->lanes[i]) * 0x9E3779B97F4A7C15ull;
}

static bool apply_record(void *context, uint64_t seq, const void *record)
{
    struct replay *replay = context;
    const struct command *command = record;
    if (seq == 1)
        replay->midnight_ns = command->open.midnight_ns;
    if ((replay->until_seq > 0 && seq > replay->until_seq) ||
        (replay->until_time_ns > 0 &&
         command->time_ns > replay->midnight_ns + replay->until_time_ns))
        return false;
    return replay_command(replay, command);
}

int replay_journal(struct replay *replay, const char *directory)
{
    struct journal_stat stat;
    struct error error;
    struct disk *disk = disk_open_read_only(directory, &replay->error);
    if (!disk)
        return -1;
    int result = journal_scan(disk, 0, apply_record, replay, &stat, &error);
    disk_close(disk);
    replay_finish(replay);
    if (result && !replay->error.text[0])
        replay->error = error;
    if (!result && !replay->book && !replay->error.text[0])
        error_set(&replay->error, "the journal is empty");
    return replay->error.text[0] ? -1 : 0;
}

static void apply_command(void *context, const struct command *command)
{
    struct replay *replay = context;
    if (!replay->error.text[0])
        replay_command(replay, command);
}

int replay_tape(struct replay *replay, const char *path, const char *symbol)
{
    char padded[1][8];
    struct load_day day = {0};
    struct load_tape_counts counts;
    struct load_tape_options options = {.session_count = TAPE_SESSIONS};
    if (symbol) {
        memset(padded, ' ', sizeof(padded));
        memcpy(padded[0], symbol, strnlen(symbol, sizeof(padded[0])));
        options.symbol_count = 1;
        options.symbols = padded;
    }
    int result = load_tape_read(path, &options, &day, &counts, &replay->error);
    if (result == 0) {
        load_day_commands(&day, apply_command, replay);
        replay_finish(replay);
        result = replay->error.text[0] ? -1 : 0;
    }
    load_day_free(&day);
    return result;
}
