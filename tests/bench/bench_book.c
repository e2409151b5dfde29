// SPDX-License-Identifier: MIT
//
// bench_book: what a command costs in the book, and in the textbook's design (peer_map.h) on the
// same stream (book_tape.h), round by round in turn; both must make the same trades. Usage:
// bench_book [PART...]: t1, t100, t10000 (by number of instruments), limits (with every limit that
// the book looks at set, and out of reach; of one member and of many; and with its sums worked out
// at every order), shard (with its rings), curve (by resting orders), kill (of 100,000 resting
// orders), start (how long opening takes), soak (100 million commands). All but kill and soak when
// none is named. Prints rows. With count-LIMITS-MEMBERS (without, with, before, full) it plays a
// shorter stream once and prints how many commands it was, for callgrind.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book/book.h"
#include "dataplane/shard.h"
#include "numa/clock.h"
#include "numa/histogram.h"
#include "numa/thread.h"
#include "tests/bench/book_tape.h"
#include "tests/bench/measure.h"
#include "tests/bench/peer_map.h"
#include "tests/bench/row.h"

#define COMMANDS     2000000u
#define COUNTED      200000u // commands, where instructions are counted
#define ROUNDS       5
#define LIMIT_ROUNDS 15  // of two costs whose difference is small beside them
#define MEMBERS      48u // where there are many
#define PREFETCHED   16u // commands asked for at once where each is timed
#define BATCH        64u // commands, as the shard takes them from its ring
#define SINK_EVENTS  64u
#define SEED         20261101u

static struct tsc_clock house_clock;
static uint64_t timer_ns; // what reading the clock twice costs by itself

static const char *const kind_names[TAPE_KINDS] = {": add", ": cancel", ": replace", ": cross"};

// This thread's time, so that what others do on a shared core does not count.
static uint64_t thread_time_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static inline uint64_t ordered_ticks(void)
{
#if defined(__x86_64__)
    __builtin_ia32_lfence(); // the counter is read when all before is done, and before what follows
    uint64_t ticks = clock_ticks(&house_clock);
    __builtin_ia32_lfence();
    return ticks;
#else
    return clock_ticks(&house_clock);
#endif
}

static uint64_t ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * house_clock.ns_per_tick_q32 >> 32);
}

static void measure_timer(void)
{
    static struct histogram pairs;
    histogram_reset(&pairs);
    for (int i = 0; i < 200000; i++) {
        uint64_t before = ordered_ticks();
        histogram_record(&pairs, ticks_to_ns(ordered_ticks() - before));
    }
    timer_ns = histogram_percentile(&pairs, 50.0);
}

static void name_it(char name[64], const char *who, uint32_t instruments, const char *what)
{
    snprintf(name, 64, "%s, %u symbol%s%s", who ? who : "", instruments, instruments > 1 ? "s" : "",
             what);
}

// The rounds' costs of a command of `who`, on a tape of so many instruments.
static void print_cost(const char *who, uint32_t instruments, double *values, uint32_t rounds,
                       const char *peer)
{
    char name[64], peer_name[64];
    name_it(name, who, instruments, "");
    name_it(peer_name, peer, instruments, "");
    row_print(&(struct row){.name = name,
                            .unit = "ns/command",
                            .samples = (uint64_t)rounds * COMMANDS,
                            .peers = {peer ? peer_name : NULL}},
              values, rounds);
}

// A stream in memory.

struct stream {
    struct tape_shape shape;
    uint32_t lead, count; // count: with the lead
    struct command *commands;
    uint8_t *kinds;
    struct tape_state state;
};

static void stream_make(struct stream *stream, const struct tape_shape *shape)
{
    struct tape *tape = tape_open(shape, SEED);
    stream->shape = *shape;
    stream->lead = tape_lead_count(shape);
    stream->count = stream->lead + (uint32_t)shape->commands_max;
    stream->commands = memory_map(stream->count * sizeof(struct command));
    stream->kinds = memory_map(stream->count);
    for (uint32_t i = 0; i < stream->count; i++)
        stream->kinds[i] = (uint8_t)tape_next(tape, &stream->commands[i]);
    stream->state = tape_state(tape);
    tape_close(tape);
}

static void stream_free(struct stream *stream)
{
    memory_unmap(stream->commands, stream->count * sizeof(struct command));
    memory_unmap(stream->kinds, stream->count);
}

// The book. Its events overwrite a few lines that stay in the cache, as a ring's slots do.

struct target {
    struct book_limits limits;
    void *memory;
    struct book *book;
    struct peer *peer;
    struct event_sink sink;
    struct event events[SINK_EVENTS];
    uint64_t trade_hash, trade_count; // kept when `hashed`
    uint64_t maker;                   // of the execution whose other half comes next
};

static void overwrite(struct event_sink *sink)
{
    struct target *target = sink->context;
    sink->next = target->events;
}

static void hash_trade(struct target *target, uint64_t maker, uint64_t taker, uint32_t quantity,
                       uint32_t price)
{
    uint64_t words[3] = {maker, taker, (uint64_t)quantity << 32 | price};
    for (int i = 0; i < 3; i++) {
        uint64_t x = (target->trade_hash ^ words[i]) * 0x9E3779B97F4A7C15ull;
        target->trade_hash = x ^ x >> 29;
    }
    target->trade_count++;
}

static void hash_events(struct event_sink *sink)
{
    struct target *target = sink->context;
    for (const struct event *event = target->events; event < sink->next; event++) {
        if (event->type != EVENT_EXECUTED)
            continue;
        uint64_t id = peer_id(event->session, event->user_ref_num);
        if (event->code == 'R')
            hash_trade(target, target->maker, id, event->quantity, event->price);
        else
            target->maker = id;
    }
    sink->next = target->events;
}

static void target_open(struct target *target, const struct tape_shape *shape)
{
    memset(target, 0, sizeof(*target));
    target->limits = tape_limits(shape);
    target->memory = memory_map(book_memory_size(&target->limits));
    target->book = book_open(target->memory, &target->limits);
    target->sink = (struct event_sink){
        .next = target->events,
        .end = target->events + SINK_EVENTS,
        .more = overwrite,
        .context = target,
    };
}

static void target_close(struct target *target)
{
    memory_unmap(target->memory, book_memory_size(&target->limits));
}

// Applies commands[from] up to commands[to - 1], in batches as a ring gives them.
static void play_book(struct target *target, const struct command *commands, uint32_t from,
                      uint32_t to)
{
    for (uint32_t i = from; i < to; i += BATCH)
        book_apply_batch(target->book, &commands[i], to - i < BATCH ? to - i : BATCH,
                         &target->sink);
}

static double round_book(const struct stream *stream)
{
    static struct target target;
    target_open(&target, &stream->shape);
    play_book(&target, stream->commands, 0, stream->lead);
    uint64_t start_ns = thread_time_ns();
    play_book(&target, stream->commands, stream->lead, stream->count);
    uint64_t elapsed_ns = thread_time_ns() - start_ns;
    target_close(&target);
    return (double)elapsed_ns / (stream->count - stream->lead);
}

static double round_peer(const struct stream *stream)
{
    struct book_limits limits = tape_limits(&stream->shape);
    struct peer *peer = peer_open(&limits);
    const struct peer_trade *trades;
    for (uint32_t i = 0; i < stream->lead; i++)
        peer_apply(peer, &stream->commands[i], &trades);
    uint64_t start_ns = thread_time_ns();
    for (uint32_t i = stream->lead; i < stream->count; i++)
        peer_apply(peer, &stream->commands[i], &trades);
    uint64_t elapsed_ns = thread_time_ns() - start_ns;
    peer_close(peer);
    return (double)elapsed_ns / (stream->count - stream->lead);
}

// The same trades, in the same order, from both; and the book full as the stream meant it to be.
static bool trades_agree(const struct stream *stream)
{
    static struct target book, reference;
    struct book_summary summary;
    target_open(&book, &stream->shape);
    book.sink.more = hash_events;
    play_book(&book, stream->commands, 0, stream->count);
    hash_events(&book.sink);
    book_summarise(book.book, &summary);
    target_close(&book);

    struct peer *peer = peer_open(&book.limits);
    for (uint32_t i = 0; i < stream->count; i++) {
        const struct peer_trade *trades;
        uint32_t count = peer_apply(peer, &stream->commands[i], &trades);
        for (uint32_t t = 0; t < count; t++)
            hash_trade(&reference, trades[t].maker, trades[t].taker, trades[t].quantity,
                       trades[t].price);
    }
    peer_close(peer);
    bool agree = book.trade_hash == reference.trade_hash &&
                 book.trade_count == reference.trade_count &&
                 summary.order_count == stream->state.resting;
    if (!agree)
        fprintf(stderr, "bench_book: the book and std::map disagree: %llu and %llu trades\n",
                (unsigned long long)book.trade_count, (unsigned long long)reference.trade_count);
    memset(&reference, 0, sizeof(reference));
    return agree;
}

// One command at a time.

static struct histogram latencies[TAPE_KINDS];

static void record_latency(uint8_t kind, uint64_t ticks)
{
    uint64_t ns = ticks_to_ns(ticks);
    histogram_record(&latencies[kind], ns > timer_ns ? ns - timer_ns : 0);
}

static void latency_book(const struct stream *stream)
{
    static struct target target;
    target_open(&target, &stream->shape);
    play_book(&target, stream->commands, 0, stream->lead);
    for (uint32_t i = stream->lead; i < stream->count; i++) {
        if ((i - stream->lead) % PREFETCHED == 0 && i + PREFETCHED <= stream->count)
            book_prefetch(target.book, &stream->commands[i], PREFETCHED);
        uint64_t before = ordered_ticks();
        book_apply(target.book, &stream->commands[i], &target.sink);
        record_latency(stream->kinds[i], ordered_ticks() - before);
    }
    target_close(&target);
}

static void latency_peer(const struct stream *stream)
{
    struct book_limits limits = tape_limits(&stream->shape);
    struct peer *peer = peer_open(&limits);
    const struct peer_trade *trades;
    for (uint32_t i = 0; i < stream->lead; i++)
        peer_apply(peer, &stream->commands[i], &trades);
    for (uint32_t i = stream->lead; i < stream->count; i++) {
        uint64_t before = ordered_ticks();
        peer_apply(peer, &stream->commands[i], &trades);
        record_latency(stream->kinds[i], ordered_ticks() - before);
    }
    peer_close(peer);
}

// p50 and beyond of each kind of command.
static void print_latency(const char *who, const char *peer, void (*play)(const struct stream *),
                          const struct stream *stream)
{
    for (int kind = 0; kind < TAPE_KINDS; kind++)
        histogram_reset(&latencies[kind]);
    play(stream);
    for (int kind = 0; kind < TAPE_KINDS; kind++) {
        const struct histogram *latency = &latencies[kind];
        char name[64], peer_name[64];
        double p50 = (double)histogram_percentile(latency, 50.0);
        name_it(name, who, stream->shape.instruments, kind_names[kind]);
        name_it(peer_name, peer, stream->shape.instruments, kind_names[kind]);
        row_print(&(struct row){.name = name,
                                .unit = "ns",
                                .samples = latency->total_count,
                                .p99 = (double)histogram_percentile(latency, 99.0),
                                .p999 = (double)histogram_percentile(latency, 99.9),
                                .peers = {peer ? peer_name : NULL}},
                  &p50, 1);
    }
}

static bool measure_tape(uint32_t instruments, uint32_t resting)
{
    struct tape_shape shape = {
        .instruments = instruments, .resting = resting, .commands_max = COMMANDS};
    struct stream stream;
    double book_ns[ROUNDS], peer_ns[ROUNDS];
    stream_make(&stream, &shape);
    bool agree = trades_agree(&stream);
    for (int i = 0; agree && i < ROUNDS; i++) {
        book_ns[i] = round_book(&stream);
        peer_ns[i] = round_peer(&stream);
    }
    if (agree) {
        print_cost("book", instruments, book_ns, ROUNDS, "std::map");
        print_cost("std::map", instruments, peer_ns, ROUNDS, NULL);
        print_latency("book", "std::map", latency_book, &stream);
        print_latency("std::map", NULL, latency_peer, &stream);
    }
    stream_free(&stream);
    return agree;
}

// Limits.

static bool is_order(const struct command *command)
{
    return command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE;
}

// Every limit that the book looks at, out of reach: of those members that send something, and of
// the instruments.
static void set_limits(struct target *target, const struct tape_shape *shape)
{
    struct command command = {.type = COMMAND_LIMIT, .session = ANY_SESSION};
    for (uint32_t member = 0; member == 0 || member < shape->members; member++) {
        command.limit.value = INT64_MAX;
        if (shape->members > 0)
            tape_firm(command.limit.firm, member);
        for (uint8_t kind = LIMIT_OPEN_ORDERS; kind < LIMIT_MEMBER_END; kind++) {
            command.side = kind;
            book_apply(target->book, &command, &target->sink);
        }
    }
    for (uint16_t i = 0; i < shape->instruments; i++) {
        for (uint8_t kind = LIMIT_TICK; kind < LIMIT_INSTRUMENT_END; kind++) {
            command.instrument = i;
            command.side = kind;
            command.limit.value = kind == LIMIT_TICK || kind == LIMIT_LOT ? 1 : 1u << 30;
            book_apply(target->book, &command, &target->sink);
        }
    }
}

// The stream with a limit before every order, of a kind that the book does not look at: `own` of
// the order's member, whose sums the book then works out anew, which it else does only when an
// order could use up what was left at the last look; or of the member that sends nothing.
static void stream_limit_each(struct stream *with, const struct stream *stream, bool own)
{
    uint32_t orders = 0, members = stream->shape.members;
    for (uint32_t i = stream->lead; i < stream->count; i++)
        orders += is_order(&stream->commands[i]);
    *with = *stream;
    with->count += orders;
    with->commands = memory_map(with->count * sizeof(struct command));
    with->kinds = memory_map(with->count);
    struct command *next = with->commands;
    for (uint32_t i = 0; i < stream->count; i++) {
        const struct command *command = &stream->commands[i];
        if (i >= stream->lead && is_order(command)) {
            *next = (struct command){.type = COMMAND_LIMIT, .session = ANY_SESSION};
            next->time_ns = command->time_ns;
            next->side = LIMIT_QUANTITY;
            tape_firm(next->limit.firm, own ? command->session % members : members);
            next++;
        }
        *next++ = *command;
    }
}

// The cost of each of the stream's own commands.
static double round_limits(const struct stream *stream, bool limits, uint64_t *trades)
{
    static struct target target;
    struct book_summary summary;
    target_open(&target, &stream->shape);
    play_book(&target, stream->commands, 0, stream->lead);
    if (limits)
        set_limits(&target, &stream->shape);
    uint64_t start_ns = thread_time_ns();
    play_book(&target, stream->commands, stream->lead, stream->count);
    uint64_t elapsed_ns = thread_time_ns() - start_ns;
    book_summarise(target.book, &summary);
    *trades = summary.match_count;
    target_close(&target);
    return (double)elapsed_ns / (double)stream->shape.commands_max;
}

// Rounds in turn without limits, on one stream, and with them on another, which has the same
// orders.
static bool compare_limits(const char *what, const struct stream *without,
                           const struct stream *with)
{
    double without_ns[LIMIT_ROUNDS], with_ns[LIMIT_ROUNDS];
    char without_name[48], with_name[48];
    uint64_t trades[2] = {0, 0};
    snprintf(without_name, sizeof(without_name), "book without limits%s", what);
    snprintf(with_name, sizeof(with_name), "book with all limits%s", what);
    for (int i = 0; i < LIMIT_ROUNDS; i++) {
        without_ns[i] = round_limits(without, false, &trades[0]);
        with_ns[i] = round_limits(with, true, &trades[1]);
    }
    uint32_t instruments = without->shape.instruments;
    print_cost(without_name, instruments, without_ns, LIMIT_ROUNDS, NULL);
    print_cost(with_name, instruments, with_ns, LIMIT_ROUNDS, without_name);
    if (trades[0] != trades[1])
        fprintf(stderr, "bench_book: the limits were not out of reach\n");
    return trades[0] == trades[1];
}

static bool measure_limits(uint32_t instruments, uint32_t resting)
{
    struct tape_shape shape = {
        .instruments = instruments, .resting = resting, .commands_max = COMMANDS};
    struct stream stream, other, own;
    stream_make(&stream, &shape);
    bool agree = compare_limits("", &stream, &stream);
    stream_free(&stream);
    shape.members = MEMBERS;
    stream_make(&stream, &shape);
    agree &= compare_limits(", 48 firms", &stream, &stream);
    stream_limit_each(&other, &stream, false);
    stream_limit_each(&own, &stream, true);
    agree &= compare_limits(" in full, 48 firms", &other, &own);
    stream_free(&other);
    stream_free(&own);
    stream_free(&stream);
    return agree;
}

// The function that callgrind looks at.
static __attribute__((noinline)) void play_counted(struct target *target,
                                                   const struct stream *stream)
{
    play_book(target, stream->commands, stream->lead, stream->count);
}

// `how` is without-1, with-1, and of many members without-48, with-48, before-48 and full-48: the
// last two with a limit before every order, out of which the sums are worked out in the last.
static void count_limits(const char *how)
{
    bool many = strstr(how, "-48"), full = strncmp(how, "full", 4) == 0;
    struct tape_shape shape = {
        .instruments = 1, .resting = 10000, .commands_max = COUNTED, .members = many ? MEMBERS : 0};
    static struct target target;
    struct stream stream, with;
    stream_make(&stream, &shape);
    bool before = full || strncmp(how, "before", 6) == 0;
    if (before)
        stream_limit_each(&with, &stream, full);
    target_open(&target, &shape);
    play_book(&target, stream.commands, 0, stream.lead);
    if (full || strncmp(how, "with-", 5) == 0)
        set_limits(&target, &shape);
    play_counted(&target, before ? &with : &stream);
    printf("%u\n", COUNTED);
    target_close(&target);
    if (before)
        stream_free(&with);
    stream_free(&stream);
}

// The whole shard on the stream: the port's ring, the stamp, the journal's ring, the book and the
// ring of events, all on this thread. What the port and the journal's thread would do with the
// slots is left out; only their side of the rings is there.

#define SHARD_RING 4096u

static struct ring *shard_ring(void)
{
    size_t size = ring_memory_size(SHARD_RING);
    return ring_init(memory_map(size), SHARD_RING);
}

static void discard(struct ring *ring)
{
    ring_release(ring, ring_readable(ring, SHARD_RING));
}

static void discard_events(void *context)
{
    discard(((struct shard *)context)->events);
}

static void play_shard(struct shard *shard, const struct command *commands, uint32_t from,
                       uint32_t to)
{
    for (uint32_t i = from; i < to; i += BATCH) {
        uint32_t count = to - i < BATCH ? to - i : BATCH;
        INVARIANT(ring_writable(shard->commands, count) >= count);
        for (uint32_t j = 0; j < count; j++)
            *(struct command *)ring_write_slot(shard->commands, j) = commands[i + j];
        ring_commit(shard->commands, count);
        INVARIANT(shard_poll(shard) == count);
        discard(shard->journal);
        discard(shard->events);
    }
}

static double round_shard(const struct stream *stream, struct shard *shard)
{
    static struct target target;
    target_open(&target, &stream->shape);
    shard->book = target.book;
    shard->last_time_ns = 0;
    play_shard(shard, stream->commands, 0, stream->lead);
    uint64_t start_ns = thread_time_ns();
    play_shard(shard, stream->commands, stream->lead, stream->count);
    uint64_t elapsed_ns = thread_time_ns() - start_ns;
    target_close(&target);
    return (double)elapsed_ns / (stream->count - stream->lead);
}

static bool measure_shard(void)
{
    struct tape_shape shape = {.instruments = 100, .resting = 200000, .commands_max = COMMANDS};
    struct stream stream;
    struct bell bell;
    struct error error;
    double shard_ns[ROUNDS], book_ns[ROUNDS];
    if (bell_open(&bell, &error) != 0) {
        fprintf(stderr, "bench_book: %s\n", error.text);
        return false;
    }
    struct shard shard = {.commands = shard_ring(),
                          .journal = shard_ring(),
                          .events = shard_ring(),
                          .journal_bell = &bell,
                          .relieve = discard_events,
                          .relieve_context = &shard};
    stream_make(&stream, &shape);
    for (int i = 0; i < ROUNDS; i++) {
        shard_ns[i] = round_shard(&stream, &shard);
        book_ns[i] = round_book(&stream);
    }
    print_cost("shard with its rings", 100, shard_ns, ROUNDS, "its book alone");
    print_cost("its book alone", 100, book_ns, ROUNDS, NULL);
    stream_free(&stream);
    memory_unmap(shard.commands, ring_memory_size(SHARD_RING));
    memory_unmap(shard.journal, ring_memory_size(SHARD_RING));
    memory_unmap(shard.events, ring_memory_size(SHARD_RING));
    bell_close(&bell);
    return true;
}

// From nothing to a book that takes commands, its memory mapped and touched; and how much that is.
static void measure_start(void)
{
    struct book_limits limits = {
        .orders_max = 10000000, .instruments_max = 10000, .sessions_max = 1000};
    size_t size = book_memory_size(&limits);
    uint64_t start_ns = thread_time_ns();
    void *memory = memory_map(size);
    book_open(memory, &limits);
    double seconds = (double)(thread_time_ns() - start_ns) / 1e9;
    row_print(
        &(struct row){.name = "open, 10,000,000 orders, 10,000 symbols", .unit = "s", .samples = 1},
        &seconds, 1);
    double megabytes = (double)size / 1e6;
    row_print(&(struct row){.name = "its memory", .unit = "MB", .samples = 1}, &megabytes, 1);
    memory_unmap(memory, size);
}

static void print_memory(void)
{
    struct book_limits one = {.orders_max = 1u << 20, .instruments_max = 1, .sessions_max = 1};
    struct book_limits two = {.orders_max = 2u << 20, .instruments_max = 1, .sessions_max = 1};
    double bytes = (double)(book_memory_size(&two) - book_memory_size(&one)) / (1u << 20);
    row_print(&(struct row){.name = "memory", .unit = "bytes/resting order", .samples = 1}, &bytes,
              1);
}

// Cost by how much rests: one instrument, an add and a cancel of any order in turn. A chunk of the
// stream is made, then timed, so that ten million orders need no tape as long as themselves.

#define CHUNK 500000u

static double play_chunk(struct target *target, struct tape *tape, struct command *chunk,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        tape_next(tape, &chunk[i]);
    uint64_t start_ns = thread_time_ns();
    play_book(target, chunk, 0, count);
    return (double)(thread_time_ns() - start_ns) / count;
}

static void play_lead(struct target *target, struct tape *tape, struct command *chunk,
                      const struct tape_shape *shape)
{
    uint32_t left = tape_lead_count(shape);
    while (left > 0) {
        uint32_t count = left < CHUNK ? left : CHUNK;
        play_chunk(target, tape, chunk, count);
        left -= count;
    }
}

static void measure_curve(void)
{
    static const uint32_t depths[] = {10, 1000, 100000, 10000000};
    static struct target target;
    struct command *chunk = memory_map(CHUNK * sizeof(*chunk));
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        struct tape_shape shape = {
            .instruments = 1, .resting = depths[i], .commands_max = ROUNDS * CHUNK, .steady = true};
        struct tape *tape = tape_open(&shape, SEED);
        double ns[ROUNDS];
        target_open(&target, &shape);
        play_lead(&target, tape, chunk, &shape);
        for (int round = 0; round < ROUNDS; round++)
            ns[round] = play_chunk(&target, tape, chunk, CHUNK);
        char name[64];
        snprintf(name, sizeof(name), "adds and cancels, %u resting", depths[i]);
        row_print(
            &(struct row){.name = name, .unit = "ns/command", .samples = (uint64_t)ROUNDS * CHUNK},
            ns, ROUNDS);
        target_close(&target);
        tape_close(tape);
    }
    memory_unmap(chunk, CHUNK * sizeof(*chunk));
}

// A kill of everything that rests, once the stream has mixed the pool: in the order of memory the
// orders are no longer in that of their references.
static bool measure_kill(void)
{
    struct tape_shape shape = {.instruments = 100, .resting = 100000, .commands_max = 5 * 100000};
    struct command kill = {.type = COMMAND_MASS_CANCEL, .session = ANY_SESSION};
    kill.instrument = NO_INSTRUMENT;
    kill.mass.session = ANY_SESSION;
    kill.mass.side = ANY_SIDE;
    static struct target target;
    struct book_summary before, after;
    struct stream stream;
    double ms[ROUNDS];
    stream_make(&stream, &shape);
    for (int i = 0; i < ROUNDS; i++) {
        target_open(&target, &shape);
        play_book(&target, stream.commands, 0, stream.count);
        book_summarise(target.book, &before);
        uint64_t start_ns = thread_time_ns();
        book_apply(target.book, &kill, &target.sink);
        ms[i] = (double)(thread_time_ns() - start_ns) / 1e6;
        book_summarise(target.book, &after);
        target_close(&target);
    }
    char name[64];
    snprintf(name, sizeof(name), "book, a kill of %u orders", before.order_count);
    row_print(&(struct row){.name = name, .unit = "ms", .samples = ROUNDS}, ms, ROUNDS);
    stream_free(&stream);
    if (after.order_count != 0)
        fprintf(stderr, "bench_book: %u orders outlived a kill\n", after.order_count);
    return after.order_count == 0;
}

// Whether the book gets slower with age.
static void measure_soak(void)
{
    enum { MILLIONS = 100, EDGE = 10 };
    struct tape_shape shape = {
        .instruments = 1, .resting = 10000, .commands_max = MILLIONS * 1000000ull};
    static struct target target;
    struct command *chunk = memory_map(CHUNK * sizeof(*chunk));
    struct tape *tape = tape_open(&shape, SEED);
    double first = 0, last = 0;
    int chunks = MILLIONS * (int)(1000000 / CHUNK), edge = EDGE * (int)(1000000 / CHUNK);
    target_open(&target, &shape);
    play_lead(&target, tape, chunk, &shape);
    for (int i = 0; i < chunks; i++) {
        double ns = play_chunk(&target, tape, chunk, CHUNK);
        if (i < edge)
            first += ns / edge;
        if (i >= chunks - edge)
            last += ns / edge;
    }
    row_print(&(struct row){.name = "soak, the first 10 million of 100",
                            .unit = "ns/command",
                            .samples = EDGE * 1000000ull},
              &first, 1);
    row_print(&(struct row){.name = "soak, the last 10 million of 100",
                            .unit = "ns/command",
                            .samples = EDGE * 1000000ull,
                            .peers = {"soak, the first 10 million of 100"}},
              &last, 1);
    target_close(&target);
    tape_close(tape);
    memory_unmap(chunk, CHUNK * sizeof(*chunk));
}

struct arguments {
    int count;
    char **names;
    bool failed;
};

static bool named(const struct arguments *arguments, const char *name)
{
    for (int i = 1; i < arguments->count; i++)
        if (strcmp(arguments->names[i], name) == 0)
            return true;
    return arguments->count < 2 && strcmp(name, "kill") != 0 && strcmp(name, "soak") != 0 &&
           strncmp(name, "count-", 6) != 0;
}

static void *measure_all(void *argument)
{
    struct arguments *arguments = argument;
    measure_timer();
    bool agree = true;
    if (named(arguments, "t1"))
        agree &= measure_tape(1, 10000);
    if (named(arguments, "t100"))
        agree &= measure_tape(100, 200000);
    if (named(arguments, "t10000"))
        agree &= measure_tape(10000, 200000);
    if (named(arguments, "limits")) {
        agree &= measure_limits(1, 10000);
        agree &= measure_limits(100, 200000);
    }
    if (named(arguments, "shard"))
        agree &= measure_shard();
    if (named(arguments, "start"))
        measure_start();
    if (named(arguments, "curve")) {
        measure_curve();
        print_memory();
    }
    if (named(arguments, "kill"))
        agree &= measure_kill();
    if (named(arguments, "soak"))
        measure_soak();
    for (int i = 1; i < arguments->count; i++)
        if (strncmp(arguments->names[i], "count-", 6) == 0)
            count_limits(arguments->names[i] + 6);
    arguments->failed = !agree;
    return NULL;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.count = argc, .names = argv};
    struct error error;
    pthread_t thread;
    int core = thread_core_usable(1, NULL) == 0 ? 1 : THREAD_ANY_CORE;
    clock_calibrate(&house_clock, 50);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (thread_start(&thread, "book", core, measure_all, &arguments, &error) != 0) {
        fprintf(stderr, "bench_book: %s\n", error.text);
        return 1;
    }
    pthread_join(thread, NULL);
    return arguments.failed;
}
