// SPDX-License-Identifier: MIT
//
// A real day, AMZN on 2012-06-21, through the shard: after each of the tape's events the book's
// five best levels have to be the tape's, each of the shard's events the reference's, and the whole
// day is timed.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

#include "dataplane/shard.h"
#include "tests/unit/compare.h"
#include "tests/unit/day_plan.h"
#include "tests/unit/recorded.h"

#define TAPE          "lobster-amzn-20120621-5levels.zip"
#define RING_CAPACITY 4096u
#define MISTAKES_MAX  5u // to be shown

__attribute__((noreturn, format(printf, 1, 2))) static void differs(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cr_assert_fail("%s", text);
    abort();
}

#define OPEN_OR_SKIP(day)                                                                          \
    do {                                                                                           \
        char path_[512];                                                                           \
        recorded_path(path_, sizeof(path_), TAPE);                                                 \
        if (access(path_, R_OK) != 0)                                                              \
            cr_skip_test("no recorded day at %s: set SLUICE_SHARED", path_);                       \
        day_open(day, path_);                                                                      \
    } while (0)

// The shard with its three rings, all of them polled here. `taken` are the events that have been
// taken off their ring.
struct venue {
    struct shard shard;
    struct bell bell; // nobody sleeps
    struct event taken[RING_CAPACITY];
    uint32_t taken_count;
};

static void take_events(void *context)
{
    struct venue *venue = context;
    struct ring *ring = venue->shard.events;
    uint32_t count = ring_readable(ring, UINT32_MAX);
    cr_assert(venue->taken_count + count <= RING_CAPACITY, "more events than expected");
    for (uint32_t i = 0; i < count; i++)
        venue->taken[venue->taken_count++] = *(const struct event *)ring_read_slot(ring, i);
    ring_release(ring, count);
}

static void discard(struct ring *ring)
{
    ring_release(ring, ring_readable(ring, UINT32_MAX));
}

static void discard_events(void *context)
{
    discard(((struct venue *)context)->shard.events);
}

static struct ring *ring_new(uint32_t capacity)
{
    void *memory = aligned_alloc(128, ring_memory_size(capacity));
    cr_assert(memory != NULL);
    memset(memory, 0, ring_memory_size(capacity)); // no page is touched first under the clock
    return ring_init(memory, capacity);
}

static struct venue *venue_open(struct book *book, uint32_t events_capacity,
                                void (*relieve)(void *context))
{
    struct venue *venue = aligned_alloc(alignof(struct venue), sizeof(*venue));
    cr_assert(venue != NULL);
    memset(venue, 0, sizeof(*venue));
    venue->shard.book = book;
    venue->shard.commands = ring_new(RING_CAPACITY);
    venue->shard.journal = ring_new(RING_CAPACITY);
    venue->shard.events = ring_new(events_capacity);
    venue->shard.journal_bell = &venue->bell;
    venue->shard.relieve = relieve;
    venue->shard.relieve_context = venue;
    return venue;
}

static void venue_close(struct venue *venue)
{
    free(venue->shard.commands);
    free(venue->shard.journal);
    free(venue->shard.events);
    free(venue);
}

// As many of the commands as there is room for.
static uint32_t give(struct ring *ring, const struct command *commands, uint32_t count)
{
    uint32_t room = ring_writable(ring, count);
    count = count < room ? count : room;
    for (uint32_t i = 0; i < count; i++)
        *(struct command *)ring_write_slot(ring, i) = commands[i];
    ring_commit(ring, count);
    return count;
}

// Row by row

struct rows {
    uint32_t compared, equal, unexplained;
};

__attribute__((format(printf, 3, 4))) static void mistake(struct rows *rows, uint32_t index,
                                                          const char *format, ...)
{
    if (rows->unexplained++ >= MISTAKES_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "row %u: ", index);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

// Play commands `from` to `to`; their events are the venue's `taken`.
static void play(struct venue *venue, const struct day *day, uint32_t from, uint32_t to)
{
    venue->taken_count = 0;
    while (from < to) {
        uint32_t given = give(venue->shard.commands, &day->commands[from], to - from);
        from += given;
        for (uint32_t applied = 0; applied < given;) {
            uint32_t count = shard_poll(&venue->shard);
            cr_assert(count > 0, "the shard does not take commands");
            applied += count;
            discard(venue->shard.journal);
            take_events(venue);
        }
    }
}

static bool row_stands(const struct book *book, const struct tape_row *row)
{
    for (int side = SIDE_BUY; side <= SIDE_SELL; side++) {
        struct book_level levels[DEPTH];
        if (book_depth(book, 0, (enum side)side, levels, DEPTH) != row->count[side])
            return false;
        for (uint32_t i = 0; i < row->count[side]; i++) {
            if (levels[i].price != row->levels[side][i].price ||
                levels[i].quantity != row->levels[side][i].shares)
                return false;
        }
    }
    return true;
}

static uint32_t trade_count(const struct venue *venue)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < venue->taken_count; i++)
        count += venue->taken[i].type == EVENT_FEED_EXECUTED;
    return count;
}

// One trade, with the order that the tape names; none when the event is no execution.
static bool trades_are_the_tapes(const struct venue *venue, const struct tape_event *event,
                                 const struct place *place)
{
    if (event->kind != EXECUTE)
        return trade_count(venue) == 0;
    for (uint32_t i = 0; i < venue->taken_count; i++) {
        const struct event *e = &venue->taken[i];
        if (e->type == EVENT_EXECUTED && e->session == MAKER)
            return trade_count(venue) == 1 && e->user_ref_num == place->maker &&
                   e->quantity == event->size && e->price == event->price;
    }
    return false;
}

// Before an event with inferred commands the row before it must still stand, so that nothing
// inferred can stand in for what the book has to do.
static void play_row(struct venue *venue, const struct day *day, uint32_t i, struct rows *rows)
{
    const struct place *place = &day->places[i];
    uint32_t first = i ? day->places[i - 1].end : day->preamble_count;
    play(venue, day, first, place->own);
    if (trade_count(venue) != 0)
        mistake(rows, i, "a trade by what is inferred");
    if (i > 0 && first < place->own && !row_stands(venue->shard.book, &day->rows[i - 1]))
        mistake(rows, i - 1, "changed by what is inferred");
    play(venue, day, place->own, place->end);
    if (!trades_are_the_tapes(venue, &day->events[i], place))
        mistake(rows, i, "the trades are not the tape's");
    rows->compared++;
    if (row_stands(venue->shard.book, &day->rows[i]))
        rows->equal++;
    else
        mistake(rows, i, "the five best levels are not the tape's");
}

static void print_rows(const struct day *day, const struct rows *rows)
{
    printf("note rows compared: %u\nnote rows equal: %u\nnote unexplained: %u\n"
           "note causes in the tape:\n",
           rows->compared, rows->equal, rows->unexplained);
    for (uint32_t i = 0; i < CAUSE_COUNT; i++) {
        if (day->causes[i])
            printf("note   %7u %s\n", day->causes[i], cause_names[i]);
    }
    fflush(stdout);
}

Test(day, the_five_best_levels_and_the_trades_are_the_tapes_after_each_of_its_events)
{
    static struct day day;
    OPEN_OR_SKIP(&day);
    struct random random = {1};
    struct book_memory memory = memory_new(book_memory_size(&limits), &random);
    struct venue *venue =
        venue_open(book_open(memory.book, &limits), RING_CAPACITY, discard_events);
    struct rows rows = {0};
    play(venue, &day, 0, day.preamble_count);
    for (uint32_t i = 0; i < day.event_count; i++)
        play_row(venue, &day, i, &rows);
    print_rows(&day, &rows);
    cr_assert_eq(rows.unexplained, 0);
    cr_assert_eq(rows.compared, day.event_count);
    cr_assert_eq(rows.equal, day.event_count);
    venue_close(venue);
    memory_free(&memory);
    day_close(&day);
}

// At full speed

static void put(struct collector *collector, const struct event *events, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (collector->sink.next == collector->sink.end)
            collector->sink.more(&collector->sink);
        *collector->sink.next++ = events[i];
    }
}

// The `count` commands that the shard has just taken: in its journal as they came, and their events
// the reference's.
static void compare_batch(struct comparison *c, struct venue *venue, const struct command *commands,
                          uint32_t count)
{
    struct ring *journal = venue->shard.journal;
    AGREE(ring_readable(journal, count + 1) == count, "the journal got another number of commands");
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        AGREE(memcmp(ring_read_slot(journal, i), &commands[i], sizeof(commands[i])) == 0,
              "the journal got another command");
        reference_apply(&c->reference, &commands[i]);
        uint32_t left = venue->taken_count - at;
        uint32_t wanted = c->reference.event_count < left ? c->reference.event_count : left;
        put(&c->collector, &venue->taken[at], wanted);
        compare_events(&c->reference, &c->collector, "the shard");
        at += wanted;
    }
    AGREE(at == venue->taken_count, "%u events too many", venue->taken_count - at);
    ring_release(journal, count);
}

// Returns how many events were compared.
static uint64_t play_compared(struct comparison *c, const struct day *day)
{
    // So few slots that the ring is full in almost every batch.
    struct venue *venue = venue_open(c->book, 64, take_events);
    uint64_t event_count = 0;
    for (uint32_t given = 0, applied = 0; applied < day->command_count;) {
        given += give(venue->shard.commands, &day->commands[given], day->command_count - given);
        venue->taken_count = 0;
        uint32_t count = shard_poll(&venue->shard);
        AGREE(count > 0, "the shard does not take commands");
        take_events(venue);
        compare_batch(c, venue, &day->commands[applied], count);
        applied += count;
        event_count += venue->taken_count;
    }
    venue_close(venue);
    return event_count;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double play_timed(struct book *book, const struct day *day)
{
    struct venue *venue = venue_open(book, RING_CAPACITY, discard_events);
    uint64_t start_ns = now_ns();
    for (uint32_t given = 0, applied = 0; applied < day->command_count;) {
        given += give(venue->shard.commands, &day->commands[given], day->command_count - given);
        applied += shard_poll(&venue->shard);
        discard(venue->shard.journal);
        discard(venue->shard.events);
    }
    uint64_t elapsed_ns = now_ns() - start_ns;
    venue_close(venue);
    return (double)elapsed_ns / 1e9;
}

Test(day, the_shards_events_are_the_references_and_full_speed_leads_to_the_same_state)
{
    static struct day day;
    static struct comparison c;
    OPEN_OR_SKIP(&day);
    comparison_open(&c, &limits, 1);
    uint64_t event_count = play_compared(&c, &day);
    double seconds = play_timed(c.twin, &day);
    printf("note events compared: %" PRIu64 ", all of the day\n"
           "note %u commands in %.6f s: %.2f million a second; state %016" PRIx64 "\n",
           event_count, day.command_count, seconds, day.command_count / seconds / 1e6,
           book_hash(c.book));
    fflush(stdout);
    cr_assert_eq(book_hash(c.twin), book_hash(c.book));
    compare_state(&c);
    comparison_close(&c);
    memory_free(&c.memory);
    memory_free(&c.twin_memory);
    day_close(&day);
}
