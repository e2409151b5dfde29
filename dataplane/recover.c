// SPDX-License-Identifier: MIT
#include "dataplane/recover.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/snapshot.h"
#include "numa/crash.h"
#include "numa/fault.h"
#include "numa/invariant.h"

#define BATCH 64u

// Records on their way from the journal into a lane.
struct recovery {
    struct lane *lane;
    uint64_t until;              // a shadow's: the last record it takes; 0: all
    const _Atomic bool *abandon; // … unless this is set meanwhile
    struct history *history;     // a past's: takes events until it is full; or NULL
    struct command batch[BATCH]; // to be applied together
    uint32_t batch_count;
    struct error error; // records that make no sense; empty: none
};

// --- Records

// Of such a day only the book is wanted, which knows whether it has ended.
static bool is_unlisted(const struct lane *lane)
{
    return lane->unlisted.text[0] != 0;
}

// Events of recovered commands are durable and have been released before: they go straight to the
// streams, as sent.
static void replay_more(struct event_sink *sink)
{
    const struct recovery *recovery = sink->context;
    struct lane *lane = recovery->lane;
    struct event *first = sink->end - BATCH;
    for (const struct event *event = first; event < sink->next && !is_unlisted(lane); event++) {
        if (recovery->history)
            history_take(recovery->history, event);
        if (event->session == FEED_SESSION) {
            stream_skip(&lane->feed.stream);
            feed_release(&lane->feed, event);
        } else if (!FAULT(STREAM_NOT_REBUILT) || event->type != EVENT_EXECUTED) {
            INVARIANT(entry_release(&lane->entry, event));
        }
    }
    sink->next = first;
}

static int open_book(struct lane *lane, const struct command *open, struct error *error)
{
    const struct book_limits *limits = &open->open.limits;
    const char *problem = book_limits_check(limits);
    if (problem)
        return error_set(error, "the journal's first record asks for a book that %s", problem);
    if (arena_open(&lane->book_memory, "book", book_memory_size(limits), lane->place->node,
                   lane->huge_pages, error))
        return -1;
    lane->shard.book =
        book_open(arena_take(&lane->book_memory, book_memory_size(limits), 64), limits);
    memcpy(lane->entry.session_id, open->open.session_id, sizeof(lane->entry.session_id));
    memcpy(lane->feed.session, open->open.session_id, sizeof(lane->feed.session));
    return 0;
}

static void add_session(struct lane *lane, const struct command *command)
{
    const struct config *config = lane->config;
    for (uint32_t i = 0; i < config->session_count; i++) {
        const struct config_session *who = &config->sessions[i];
        if (memcmp(who->user, command->member.user_name, sizeof(who->user)) != 0)
            continue;
        entry_add_session(&lane->entry, who, lane_take_stream(lane), config->history_count);
        return;
    }
    error_set(&lane->unlisted,
              "%s: the journal's day has the session \"%.6s\" and the configuration has not: put "
              "it back until another day begins",
              lane->disk->path, command->member.user_name);
}

static void add_instrument(struct lane *lane, const struct command *command)
{
    const struct config *config = lane->config;
    for (uint32_t i = 0; i < config->instrument_count; i++) {
        const struct config_instrument *instrument = &config->instruments[i];
        if (instrument->shard != lane->index ||
            memcmp(instrument->symbol, command->listing.symbol, 8) != 0)
            continue;
        symbols_add(&lane->symbols, instrument->symbol);
        return;
    }
    error_set(&lane->unlisted,
              "%s: the journal's day has the instrument \"%.8s\" and this shard's configuration "
              "has not: put it back until another day begins",
              lane->disk->path, command->listing.symbol);
}

// What a control command means to the port's side. Before the book applies it.
int recover_control(struct lane *lane, const struct command *command, struct error *error)
{
    if (command->type == COMMAND_OPEN && !lane->shard.book)
        return open_book(lane, command, error);
    if (!lane->shard.book)
        return error_set(error, "the journal does not begin with the opening of a day");
    if (command->type == COMMAND_SESSION)
        add_session(lane, command);
    if (command->type == COMMAND_INSTRUMENT)
        add_instrument(lane, command);
    return 0;
}

static void apply_batch(struct recovery *recovery)
{
    struct lane *lane = recovery->lane;
    struct event space[BATCH];
    struct event_sink sink = {space, space + BATCH, replay_more, recovery};
    if (recovery->batch_count == 0)
        return;
    book_apply_batch(lane->shard.book, recovery->batch, recovery->batch_count, &sink);
    sink.more(&sink);
    recovery->batch_count = 0;
}

static bool is_over(const struct recovery *recovery, uint64_t seq)
{
    return recovery->until > 0 &&
           (seq > recovery->until || atomic_load_explicit(recovery->abandon, memory_order_relaxed));
}

static bool recover_record(void *context, uint64_t seq, const void *record)
{
    struct recovery *recovery = context;
    struct lane *lane = recovery->lane;
    const struct command *command = record;
    if (is_over(recovery, seq))
        return false;
    if (command->type < COMMAND_ENTER) {
        apply_batch(recovery);
        if (recover_control(lane, command, &recovery->error))
            return false;
    }
    recovery->batch[recovery->batch_count++] = *command;
    CRASH_POINT(recover_record);
    if (recovery->batch_count == BATCH)
        apply_batch(recovery);
    lane->recovered_count = seq;
    lane->shard.last_time_ns = command->time_ns;
    return !recovery->history || (seq != recovery->until && !history_full(recovery->history));
}

// The last records are applied; 0, or -1 with `error` when one made no sense.
static int end_recovery(struct recovery *recovery, struct error *error)
{
    apply_batch(recovery);
    if (recovery->error.text[0])
        return error_set(error, "%s: %s", recovery->lane->disk->path, recovery->error.text);
    return 0;
}

// How long recovered orders have to live is the book's to know: a day at most.
static void resume_day(struct lane *lane)
{
    struct book_summary summary;
    if (!lane->shard.book)
        return;
    book_summarise(lane->shard.book, &summary);
    if (summary.limits.orders_max != lane->config->orders_max && !book_over(lane->shard.book))
        warn("shard %u: the day was begun with limits.orders = %u; that holds until it ends",
             lane->index, summary.limits.orders_max);
    lane->entry.commanded_ns = lane->recovered_ns = summary.last_time_ns;
    if (summary.wants_clock)
        lane->entry.timed_until_ns =
            summary.last_time_ns + (EXPIRE_SECONDS_MAX + 1ull) * 1000000000ull;
}

// --- Snapshots: a lane's state as 64-byte records

// What follows: so many records, commands of the day's listing, records of the book, or events that
// a stream has kept; options are not counted.
enum section_type { SECTION_LISTING = 1, SECTION_BOOK, SECTION_SESSION, SECTION_FEED };

struct section {
    uint8_t type;
    bool ended;
    uint16_t session;
    uint32_t reserved;
    uint64_t count;
    uint64_t next; // of the stream
    uint8_t zeros[40];
};
static_assert(sizeof(struct section) == SNAPSHOT_RECORD_SIZE, "snapshot format");
static_assert(sizeof(struct command) == SNAPSHOT_RECORD_SIZE, "snapshot format");
static_assert(sizeof(struct event) == SNAPSHOT_RECORD_SIZE, "snapshot format");
static_assert(sizeof(struct book_record) == SNAPSHOT_RECORD_SIZE, "snapshot format");

struct saving {
    snapshot_put_fn *put;
    void *context;
    uint64_t count;
};

static bool save_listing(const struct lane *lane, const struct saving *saving)
{
    struct book_summary summary;
    book_summarise(lane->shard.book, &summary);
    struct section section = {.type = SECTION_LISTING,
                              .count = 1ull + summary.instrument_count + summary.session_count};
    struct command open = {.type = COMMAND_OPEN,
                           .open = {.midnight_ns = summary.midnight_ns,
                                    .limits = summary.limits,
                                    .shard = (uint16_t)lane->index}};
    memcpy(open.open.session_id, lane->entry.session_id, sizeof(open.open.session_id));
    if (!saving->put(saving->context, &section) || !saving->put(saving->context, &open))
        return false;
    for (uint16_t i = 0; i < summary.instrument_count; i++) {
        struct command listing = {.type = COMMAND_INSTRUMENT, .instrument = i};
        memcpy(listing.listing.symbol, book_instrument_symbol(lane->shard.book, i), 8);
        if (!saving->put(saving->context, &listing))
            return false;
    }
    for (uint16_t i = 0; i < summary.session_count; i++) {
        struct command member = {.type = COMMAND_SESSION, .session = i};
        memcpy(member.member.user_name, book_session_user(lane->shard.book, i), 6);
        if (!saving->put(saving->context, &member))
            return false;
    }
    return true;
}

static bool save_book_record(void *context, const struct book_record *record)
{
    const struct saving *saving = context;
    return saving->put(saving->context, record);
}

// Before their event, as they came, where there are any.
static bool save_options(const struct stream *stream, uint64_t number, const struct saving *saving)
{
    static const struct order_options none;
    const struct event *event = stream_event(stream, number);
    struct event options = {.seq = event->seq,
                            .stream_seq = number,
                            .time_ns = event->time_ns,
                            .user_ref_num = event->user_ref_num,
                            .session = event->session,
                            .type = EVENT_OPTIONS,
                            .user_ref_index = event->user_ref_index,
                            .options = *stream_options(stream, number)};
    return memcmp(&options.options, &none, sizeof(none)) == 0 ||
           saving->put(saving->context, &options);
}

static bool save_stream(const struct stream *stream, struct section section,
                        const struct saving *saving)
{
    uint64_t kept = stream->next - 1 < stream->mask + 1 ? stream->next - 1 : stream->mask + 1;
    section.count = kept;
    section.next = stream->next;
    if (FAULT(SNAPSHOT_STREAMS) && section.type == SECTION_SESSION && kept > 0) {
        section.count--;
        section.next--;
    }
    if (!saving->put(saving->context, &section))
        return false;
    for (uint64_t number = stream->next - kept; number < section.next; number++)
        if (!save_options(stream, number, saving) ||
            !saving->put(saving->context, stream_event(stream, number)))
            return false;
    return true;
}

static bool save_lane(void *state, snapshot_put_fn *put, void *context)
{
    const struct lane *lane = state;
    struct saving saving = {.put = put, .context = context};
    struct section book = {.type = SECTION_BOOK};
    if (!save_listing(lane, &saving) || !put(context, &book) ||
        !book_save(lane->shard.book, save_book_record, &saving))
        return false;
    for (uint32_t i = 0; i < lane->entry.session_count; i++) {
        const struct entry_session *session = &lane->entry.sessions[i];
        struct section section = {
            .type = SECTION_SESSION, .session = (uint16_t)i, .ended = session->ended};
        if (!save_stream(&session->stream, section, &saving))
            return false;
    }
    struct section feed = {.type = SECTION_FEED, .ended = lane->feed.ended};
    return save_stream(&lane->feed.stream, feed, &saving);
}

struct loading {
    struct lane *lane;
    struct history *history; // as a recovery's
    struct section section;  // the one in hand, `count` records of it to come
    struct error *error;
};

static bool stream_takes(struct stream *stream, const struct event *event)
{
    if (event->stream_seq != stream->next)
        return false;
    stream_skip(stream);
    stream_append(stream, event);
    stream_skip(stream);
    return true;
}

static struct stream *stream_of(struct loading *loading)
{
    struct lane *lane = loading->lane;
    const struct section *section = &loading->section;
    if (section->type == SECTION_FEED)
        return &lane->feed.stream;
    return section->session < lane->entry.session_count
               ? &lane->entry.sessions[section->session].stream
               : NULL;
}

static bool begin_section(struct loading *loading, const struct section *section)
{
    loading->section = *section;
    if (section->type == SECTION_LISTING)
        return true;
    if (section->type == SECTION_BOOK) {
        loading->section.count = UINT64_MAX; // until its own last record
        return loading->lane->shard.book != NULL;
    }
    if (is_unlisted(loading->lane))
        return true;
    struct stream *stream = section->type == SECTION_SESSION || section->type == SECTION_FEED
                                ? stream_of(loading)
                                : NULL;
    if (!stream || section->next == 0 || section->count >= section->next)
        return false;
    stream->next = stream->sent = section->next - section->count;
    if (section->type == SECTION_FEED)
        loading->lane->feed.ended = section->ended;
    else
        loading->lane->entry.sessions[section->session].ended = section->ended;
    return true;
}

static bool load_record(void *context, const void *record)
{
    struct loading *loading = context;
    struct lane *lane = loading->lane;
    if (loading->section.count == 0)
        return begin_section(loading, record);
    loading->section.count--;
    const struct book_record *of_book = record;
    switch (loading->section.type) {
    case SECTION_LISTING:
        return recover_control(lane, record, loading->error) == 0;
    case SECTION_BOOK:
        if (of_book->type == BOOK_RECORD_END)
            loading->section.count = 0;
        return book_load(lane->shard.book, of_book) == NULL;
    default:
        loading->section.count += ((const struct event *)record)->type == EVENT_OPTIONS;
        if (loading->history)
            history_take(loading->history, record);
        return is_unlisted(lane) || stream_takes(stream_of(loading), record);
    }
}

// The newest that can be used; with `history`, which takes the events in it, the oldest. 0, also
// when there is none; -1 with `error`.
static int load_snapshot(struct lane *lane, struct history *history, struct error *error)
{
    uint64_t seqs[SNAPSHOTS_MAX];
    struct error reason;
    int count = snapshot_list(lane->disk, seqs, error);
    if (count < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        uint64_t seq = seqs[history ? count - 1 - i : i];
        if (snapshot_verify(lane->disk, (uint16_t)lane->index, seq, &reason) < 0) {
            warn("%s; %s", reason.text,
                 i + 1 < count ? "another one is tried" : "the journal is read from its start");
            continue;
        }
        struct error inconsistent = {""};
        struct loading loading = {.lane = lane, .history = history, .error = &inconsistent};
        if (snapshot_read(lane->disk, seq, load_record, &loading, error) < 0)
            return inconsistent.text[0]
                       ? error_set(error, "%s: %s", lane->disk->path, inconsistent.text)
                       : -1;
        struct book_summary summary;
        book_summarise(lane->shard.book, &summary);
        lane->shard.last_time_ns = summary.last_time_ns;
        lane->recovered_count = lane->recovered_from = lane->snapshot_seq = seq;
        return 0;
    }
    return 0;
}

// --- A lane's recovery

int recover_journal(struct lane *lane, struct error *error)
{
    const struct config *config = lane->config;
    if (load_snapshot(lane, NULL, error) < 0)
        return -1;
    CRASH_POINT(recover_loaded);
    struct journal_options options = {.segment_bytes = config->segment_bytes,
                                      .spares = config->spare_count,
                                      .keep_segments = config->keep_segments,
                                      .from_seq = lane->recovered_count,
                                      .shard = (uint16_t)lane->index};
    struct recovery recovery = {.lane = lane};
    lane->journal = journal_open(lane->disk, &options, recover_record, &recovery, error);
    if (end_recovery(&recovery, error) < 0 || !lane->journal)
        return -1;
    CRASH_POINT(recover_done);
    lane->recovered_hash = lane->shard.book ? book_hash(lane->shard.book) : 0;
    resume_day(lane);
    lane->feed.stream.next -= FAULT(FEED_NOT_REBUILT) && lane->feed.stream.next > 1;
    stream_skip(&lane->feed.stream);
    return 0;
}

// The same recovery as at a start, into memory of its own, up to what is durable now: the snapshot
// before it and the journal prove themselves each time.
static int advance(struct lane *shadow, uint64_t seq, const _Atomic bool *abandon,
                   struct error *error)
{
    struct journal_stat stat;
    struct recovery recovery = {.lane = shadow, .until = seq, .abandon = abandon};
    if (load_snapshot(shadow, NULL, error) < 0)
        return -1;
    int result = 0;
    if (shadow->recovered_count < seq)
        result = journal_scan(shadow->disk, shadow->recovered_count, recover_record, &recovery,
                              &stat, error);
    if (end_recovery(&recovery, error) < 0 || result < 0)
        return -1;
    if (shadow->recovered_count != seq)
        return error_set(error, "%s: the journal was read up to record %" PRIu64 " of %" PRIu64,
                         shadow->disk->path, shadow->recovered_count, seq);
    return 0;
}

int lane_take_snapshot(struct lane *lane, struct error *error)
{
    uint64_t seq = atomic_load_explicit(&lane->gate.progress->durable_seq, memory_order_acquire);
    struct lane *shadow = aligned_alloc(128, (sizeof(*shadow) + 127) & ~(size_t)127);
    if (!shadow)
        return error_set(error, "no memory for a snapshot");
    int result = lane_open_offline(shadow, lane->index, lane->config, error);
    shadow->disk = lane->disk;
    if (result == 0)
        result = advance(shadow, seq + FAULT(SNAPSHOT_LATE), &lane->snapshot_stop, error);
    bool made = result == 0 && shadow->snapshot_seq < seq;
    if (made)
        result = snapshot_write(lane->disk, (uint16_t)lane->index, seq, shadow->snapshot_seq,
                                save_lane, shadow, error);
    if (result == 0)
        lane->snapshot_seq = seq;
    // The one it began from was verified, and so is this one. One that was there already is one
    // alone: nothing was learnt of another.
    if (made && result == 0)
        journal_recyclable(lane->journal,
                           FAULT(RECYCLED_EARLY) ? UINT64_MAX - 1 : shadow->snapshot_seq);
    lane_close(shadow);
    free(shadow);
    return result;
}

// --- History: a replay beside the lane, kept for as long as somebody reads

struct recover_past {
    struct lane lane;
    struct config config; // the lane's, with streams and rings that nobody uses made small
};

void lane_forget_past(struct lane *lane)
{
    if (!lane->past)
        return;
    lane_close(&lane->past->lane);
    free(lane->past);
    lane->past = NULL;
}

// At the journal's first record, or where that is gone at the oldest snapshot.
static int open_past(struct lane *lane, struct error *error)
{
    uint64_t oldest;
    if (journal_oldest(lane->disk, &oldest, error) < 0)
        return -1;
    lane->past = aligned_alloc(128, (sizeof(*lane->past) + 127) & ~(size_t)127);
    if (!lane->past)
        return error_set(error, "no memory for a replay");
    struct recover_past *past = lane->past;
    past->config = *lane->config;
    past->config.history_count = past->config.in_flight_count = BATCH;
    int result = lane_open_offline(&past->lane, lane->index, &past->config, error);
    past->lane.disk = lane->disk;
    if (result == 0 && oldest > 1)
        result = load_snapshot(&past->lane, &lane->history, error);
    return result;
}

// Whether the replay has come past what is wanted.
static bool is_behind(const struct lane *lane)
{
    const struct lane *past = &lane->past->lane;
    uint16_t session = lane->history.session;
    if (session == FEED_SESSION)
        return lane->history.first < past->feed.stream.next;
    return session < past->entry.session_count &&
           lane->history.first < past->entry.sessions[session].stream.next;
}

static int fetch(struct lane *lane, struct error *error)
{
    uint64_t seq = atomic_load_explicit(&lane->gate.progress->durable_seq, memory_order_acquire);
    history_begin(&lane->history);
    if (lane->past && is_behind(lane) && !FAULT(HISTORY_BEHIND))
        lane_forget_past(lane);
    if (!lane->past && open_past(lane, error) < 0)
        return -1;
    struct lane *past = &lane->past->lane;
    struct recovery recovery = {
        .lane = past, .until = seq, .abandon = &lane->history_stop, .history = &lane->history};
    struct journal_stat stat;
    int result = 0;
    if (past->recovered_count < seq && !history_full(&lane->history))
        result = journal_scan(lane->disk, past->recovered_count, recover_record, &recovery, &stat,
                              error);
    return end_recovery(&recovery, error) < 0 ? -1 : result;
}

bool lane_fetch_history(struct lane *lane)
{
    struct error error;
    if (!history_wanted(&lane->history))
        return false;
    int result = fetch(lane, &error);
    if (result < 0) { // a segment may have been taken to be used again: begin again, once
        lane_forget_past(lane);
        result = fetch(lane, &error);
    }
    if (result < 0) {
        lane_forget_past(lane);
        warn("shard %u: the journal cannot be read for a client that asks for old messages: %s",
             lane->index, error.text);
    }
    history_answer(&lane->history, result < 0);
    return true;
}
