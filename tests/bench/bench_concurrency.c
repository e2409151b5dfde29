// SPDX-License-Identifier: MIT
//
// bench_concurrency: ways of handing orders over to the book, on the same stream (book_tape.h), at
// 1, 2, 4 ... cores: under a lock, by a queue of many producers, by the house's rings, by
// mailboxes. Usage: bench_concurrency [FILE]: a line of JSON for each way and number of cores, and
// the matrix that concurrency.gp draws in FILE.
//
// Each symbol has a book of its own, and all its commands come from one producer, in their order:
// so every way has to end with the same hash for each symbol as one thread alone, and is refused
// when it does not. After every seventh command the producer asks for the best price and an
// account: what may read while others read, where there is a lock that knows readers. Producers
// read commands from memory; a thread may hand over as many at once as there are, up to BATCH, as a
// port does with what came in together. All threads spin, each pinned to a core, at nice -20.
//
// Throughput is measured with commands as fast as they are taken; latency, from the moment that a
// command is due to the moment that it is applied, at a quarter of the rate of one thread alone.
// Rounds alternate; medians of ROUNDS, lowest and highest beside them.
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>

#include "numa/clock.h"
#include "numa/histogram.h"
#include "numa/ring.h"
#include "numa/thread.h"
#include "tests/bench/book_tape.h"
#include "tests/bench/measure.h"
#include "tests/bench/peer_queue.h"
#include "tests/bench/row.h"

#define SYMBOLS          64u
#define RESTING          20000u
#define COMMANDS         500000u
#define ORDERS_MAX       4096u // of one symbol
#define SEED             20261101u
#define QUERY            0 // as the type of a command: none
#define QUERY_EVERY      8u
#define BATCH            16u
#define ROUNDS           5u
#define CORES_MAX        64u
#define COUNTS_MAX       7u   // 1 to CORES_MAX cores, by doubling
#define CAPACITY         256u // of each queue, ring and mailbox
#define SINK_EVENTS      64u
#define STEP_NS          100u // between two commands by their own time
#define SPINS_BEFORE_CPU 4096u

static struct tsc_clock house_clock;

struct symbol {
    alignas(128) struct book *book;
    struct event_sink sink;
    uint64_t answers;       // a sum over them
    struct queue *mailbox;  // ACTORS
    _Atomic bool scheduled; // ACTORS: in the queue of mailboxes, or being worked on
    struct event events[SINK_EVENTS];
};

struct worker {
    alignas(128) _Atomic uint64_t applied; // written by the worker only
    const struct command *own;             // what it hands over
    uint64_t own_count;
    uint32_t index;
    struct histogram latency;
};

static struct symbol symbols[SYMBOLS];
static struct worker *workers;
static struct command *lead, *stream, *shares; // shares: the stream, sorted by producer
static uint32_t lead_count;
static uint64_t stream_count;

// A round's.
static const struct design *design;
static uint32_t cores;
static double interval_ns; // between two commands' due times; 0: as fast as they are taken
static _Atomic uint32_t ready_count;
static _Atomic uint64_t start_ns;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static struct queue *queues[CORES_MAX];          // by shard
static struct ring *rings[CORES_MAX][CORES_MAX]; // by producer and shard
static struct queue *runnable;                   // ACTORS: a command of each mailbox to work on

enum arrangement {
    TOGETHER,   // each core is a producer and has a shard
    ONE_SHARD,  // one shard, on a core of its own where there are two
    HALF_SHARDS // every other core is a shard's alone
};

struct design {
    const char *name;
    enum arrangement arrangement;
    // Hand over up to `count` commands; how many were taken.
    uint32_t (*give)(struct worker *worker, const struct command *commands, uint32_t count);
    // Apply some of what was handed over; how many.
    uint32_t (*serve)(struct worker *worker);
};

static uint32_t shard_count(void)
{
    if (design->arrangement == TOGETHER)
        return cores;
    return design->arrangement == ONE_SHARD || cores == 1 ? 1 : cores / 2;
}

static uint32_t producer_count(void)
{
    return design->arrangement == TOGETHER || cores == 1 ? cores : cores - shard_count();
}

// Producers are the first workers, shards the last.
static bool has_shard(const struct worker *worker, uint32_t *shard)
{
    *shard = worker->index - (cores - shard_count());
    return worker->index >= cores - shard_count();
}

// What is echoed and not looked at says which symbol it is: the book knows one instrument only.
static uint32_t symbol_of(const struct command *command)
{
    return (uint8_t)command->order.client_order_id[0];
}

static uint32_t producer_of(const struct command *command)
{
    return symbol_of(command) % producer_count();
}

// Every producer has symbols of every shard, as far as there are enough.
static uint32_t shard_of(const struct command *command)
{
    uint32_t symbol = symbol_of(command);
    return (symbol + symbol / producer_count()) % shard_count();
}

// --- The shard's logic

static void overwrite(struct event_sink *sink)
{
    sink->next = ((struct symbol *)sink->context)->events;
}

static void answer(struct symbol *symbol, const struct command *query)
{
    struct book_level level;
    struct book_account account;
    book_best(symbol->book, 0, (enum side)query->side, &level);
    book_find_account(symbol->book, query->session, &account);
    symbol->answers = symbol->answers * 31 + level.price + level.quantity + account.open_orders;
}

static uint64_t due_ns(const struct command *command)
{
    uint64_t index = command->time_ns / STEP_NS - lead_count;
    return atomic_load_explicit(&start_ns, memory_order_relaxed) +
           (uint64_t)((double)index * interval_ns);
}

static void apply(struct worker *worker, const struct command *command)
{
    struct symbol *symbol = &symbols[symbol_of(command)];
    if (command->type == QUERY)
        answer(symbol, command);
    else
        book_apply(symbol->book, command, &symbol->sink);
    if (interval_ns > 0)
        histogram_record(&worker->latency, clock_ns(&house_clock) - due_ns(command));
}

static void count_applied(struct worker *worker, uint32_t count)
{
    uint64_t applied = atomic_load_explicit(&worker->applied, memory_order_relaxed);
    // Release pairs with the acquire in all_applied: who has seen the end sees the books.
    atomic_store_explicit(&worker->applied, applied + count, memory_order_release);
}

// --- The ways

static void pause_spinning(uint32_t *spins)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (++*spins % SPINS_BEFORE_CPU == 0)
        sched_yield();
}

static uint32_t give_directly(struct worker *worker, const struct command *commands, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        apply(worker, &commands[i]);
    count_applied(worker, count);
    return count;
}

static uint32_t give_mutex(struct worker *worker, const struct command *commands, uint32_t count)
{
    pthread_mutex_lock(&mutex);
    give_directly(worker, commands, count);
    pthread_mutex_unlock(&mutex);
    return count;
}

// Commands write, queries read.
static uint32_t give_rwlock(struct worker *worker, const struct command *commands, uint32_t count)
{
    bool reads = commands[0].type == QUERY;
    uint32_t run = 1;
    while (run < count && (commands[run].type == QUERY) == reads)
        run++;
    if (reads)
        pthread_rwlock_rdlock(&rwlock);
    else
        pthread_rwlock_wrlock(&rwlock);
    give_directly(worker, commands, run);
    pthread_rwlock_unlock(&rwlock);
    return run;
}

static uint32_t give_queue(struct worker *worker, const struct command *commands, uint32_t count)
{
    (void)worker;
    uint32_t given = 0;
    while (given < count && queue_put(queues[shard_of(&commands[given])], &commands[given]))
        given++;
    return given;
}

static uint32_t serve_from(struct worker *worker, struct queue *queue)
{
    uint32_t served = 0;
    struct command command;
    for (; served < BATCH && queue_take(queue, &command); served++)
        apply(worker, &command);
    count_applied(worker, served);
    return served;
}

static uint32_t serve_queue(struct worker *worker)
{
    uint32_t shard;
    return has_shard(worker, &shard) ? serve_from(worker, queues[shard]) : 0;
}

static uint32_t give_rings(struct worker *worker, const struct command *commands, uint32_t count)
{
    uint32_t written[CORES_MAX] = {0}, given = 0;
    struct ring *const *out = rings[worker->index];
    for (; given < count; given++) {
        uint32_t shard = shard_of(&commands[given]), wanted = written[shard] + 1;
        if (ring_writable(out[shard], wanted) < wanted)
            break;
        *(struct command *)ring_write_slot(out[shard], written[shard]++) = commands[given];
    }
    for (uint32_t shard = 0; shard < shard_count(); shard++)
        if (written[shard] > 0)
            ring_commit(out[shard], written[shard]);
    return given;
}

static uint32_t serve_rings(struct worker *worker)
{
    uint32_t shard, served = 0;
    if (!has_shard(worker, &shard))
        return 0;
    for (uint32_t producer = 0; producer < producer_count(); producer++) {
        struct ring *ring = rings[producer][shard];
        uint32_t ready = ring_readable(ring, BATCH);
        ready = ready < BATCH ? ready : BATCH;
        for (uint32_t i = 0; i < ready; i++)
            apply(worker, ring_read_slot(ring, i));
        ring_release(ring, ready);
        served += ready;
    }
    count_applied(worker, served);
    return served;
}

// A mailbox is in the queue of those to work on once at most, so one worker at a time has it. The
// exchanges follow each other in one order, and each acquires what the one before released: the
// book from the last worker; and either the worker sees the new command, or the producer sees that
// nobody has the mailbox. The queue has more cells than there are mailboxes, and yet has to be
// waited for: a worker that the kernel stops while it takes from a cell keeps it from the others.
static void schedule(const struct command *command)
{
    struct symbol *symbol = &symbols[symbol_of(command)];
    uint32_t spins = 0;
    if (!atomic_exchange_explicit(&symbol->scheduled, true, memory_order_acq_rel))
        while (!queue_put(runnable, command))
            pause_spinning(&spins);
}

static uint32_t give_actors(struct worker *worker, const struct command *commands, uint32_t count)
{
    (void)worker;
    uint32_t given = 0;
    while (given < count &&
           queue_put(symbols[symbol_of(&commands[given])].mailbox, &commands[given]))
        schedule(&commands[given++]);
    return given;
}

static uint32_t serve_actors(struct worker *worker)
{
    struct command command;
    if (!queue_take(runnable, &command))
        return 0;
    struct symbol *symbol = &symbols[symbol_of(&command)];
    uint32_t served = serve_from(worker, symbol->mailbox);
    atomic_exchange_explicit(&symbol->scheduled, false, memory_order_acq_rel);
    if (!queue_empty(symbol->mailbox))
        schedule(&command);
    return served;
}

static const struct design designs[] = {
    {"one thread, no hand-over", TOGETHER, give_directly, NULL},
    {"mutex", TOGETHER, give_mutex, NULL},
    {"reader-writer lock", TOGETHER, give_rwlock, NULL},
    {"queue, one matching thread", ONE_SHARD, give_queue, serve_queue},
    {"queue a shard", TOGETHER, give_queue, serve_queue},
    {"ring a shard and producer", TOGETHER, give_rings, serve_rings},
    {"ring, producers apart", HALF_SHARDS, give_rings, serve_rings},
    {"mailbox a symbol", TOGETHER, give_actors, serve_actors},
};
#define DESIGNS (sizeof(designs) / sizeof(designs[0]))

// The first, which the others are compared with, has one core.
static bool measurable(size_t way, uint32_t power, uint32_t core_limit)
{
    return 1u << power <= (way == 0 ? 1 : core_limit);
}

// --- The stream

// Which symbol an order was entered for: a cancel does not say.
static uint32_t order_number(const struct command *command)
{
    return command->order.user_ref_num * 16 + command->session;
}

static void name_symbol(struct command *command, uint8_t *symbol_by_order)
{
    uint8_t symbol = (uint8_t)command->instrument;
    if (command->type == COMMAND_CANCEL)
        symbol = symbol_by_order[order_number(command)];
    else
        symbol_by_order[order_number(command)] = symbol;
    command->order.client_order_id[0] = (char)symbol;
    command->instrument = 0;
}

static bool of_an_order(const struct command *command)
{
    return command->type >= COMMAND_ENTER && command->type <= COMMAND_CANCEL;
}

static void make_query(struct command *query, const struct command *after)
{
    *query = (struct command){.type = QUERY, .session = after->session, .side = after->side};
    query->order.client_order_id[0] = after->order.client_order_id[0];
}

static uint32_t make_stream(void)
{
    struct tape_shape shape = {
        .instruments = SYMBOLS, .resting = RESTING, .commands_max = COMMANDS};
    struct tape *tape = tape_open(&shape, SEED);
    uint64_t orders = 2 * (RESTING + COMMANDS);
    uint8_t *symbol_by_order = memory_map(orders);
    lead_count = tape_lead_count(&shape);
    lead = memory_map(lead_count * sizeof(*lead));
    stream = memory_map((uint64_t)COMMANDS * 2 * sizeof(*stream));
    for (uint32_t i = 0; i < lead_count + COMMANDS; i++) {
        struct command *command = i < lead_count ? &lead[i] : &stream[stream_count++];
        tape_next(tape, command);
        if (of_an_order(command))
            name_symbol(command, symbol_by_order);
        if (i >= lead_count && stream_count % QUERY_EVERY == QUERY_EVERY - 1)
            make_query(&stream[stream_count++], command);
    }
    for (uint64_t i = 0; i < stream_count; i++)
        stream[i].time_ns = (lead_count + i) * STEP_NS;
    shares = memory_map(stream_count * sizeof(*shares));
    uint32_t resting = tape_state(tape).resting;
    memory_unmap(symbol_by_order, orders);
    tape_close(tape);
    return resting;
}

// --- A round

static struct book_limits limits_of_symbol(void)
{
    return (struct book_limits){.orders_max = ORDERS_MAX, .instruments_max = 1, .sessions_max = 16};
}

// Every book as the day begins; the listing of another symbol, and orders for it, are not its own.
static void open_books(void)
{
    struct book_limits limits = limits_of_symbol();
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        struct symbol *symbol = &symbols[i];
        symbol->book = book_open(symbol->book, &limits);
        symbol->sink = (struct event_sink){.next = symbol->events,
                                           .end = symbol->events + SINK_EVENTS,
                                           .more = overwrite,
                                           .context = symbol};
        symbol->answers = 0;
        queue_init(symbol->mailbox, CAPACITY);
        atomic_init(&symbol->scheduled, false);
        for (uint32_t j = 0; j < lead_count; j++) {
            struct command command = lead[j];
            if (of_an_order(&command) ? symbol_of(&command) != i : command.instrument != 0)
                continue;
            if (command.type == COMMAND_OPEN)
                command.open.limits = limits;
            book_apply(symbol->book, &command, &symbol->sink);
        }
    }
}

static void open_ways(void)
{
    queue_init(runnable, CAPACITY);
    for (uint32_t i = 0; i < cores; i++) {
        queue_init(queues[i], CAPACITY);
        for (uint32_t j = 0; j < cores; j++)
            ring_init(rings[i][j], CAPACITY);
    }
}

static void share_stream(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < cores; i++) {
        struct worker *worker = &workers[i];
        worker->index = i;
        worker->own = &shares[count];
        worker->own_count = 0;
        atomic_init(&worker->applied, 0);
        for (uint64_t j = 0; i < producer_count() && j < stream_count; j++)
            if (producer_of(&stream[j]) == i)
                shares[count + worker->own_count++] = stream[j];
        count += worker->own_count;
    }
}

static bool all_applied(void)
{
    uint64_t applied = 0;
    for (uint32_t i = 0; i < cores; i++) // acquire pairs with the release in count_applied
        applied += atomic_load_explicit(&workers[i].applied, memory_order_acquire);
    return applied == stream_count;
}

static uint32_t count_due(const struct command *commands, uint64_t left)
{
    uint32_t most = left < BATCH ? (uint32_t)left : BATCH, due = 0;
    if (interval_ns == 0)
        return most;
    uint64_t now_ns = clock_ns(&house_clock);
    while (due < most && due_ns(&commands[due]) <= now_ns)
        due++;
    return due;
}

// Together, so that no thread has a start; the last to be ready gives it.
static void wait_for_start(void)
{
    uint32_t spins = 0;
    if (atomic_fetch_add(&ready_count, 1) + 1 == cores)
        atomic_store(&start_ns, clock_ns(&house_clock));
    while (atomic_load(&start_ns) == 0)
        pause_spinning(&spins);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    uint32_t spins = 0;
    histogram_reset(&worker->latency);
    wait_for_start();
    for (uint64_t at = 0;;) {
        uint32_t due = count_due(&worker->own[at], worker->own_count - at);
        uint32_t given = due > 0 ? design->give(worker, &worker->own[at], due) : 0;
        uint32_t served = design->serve ? design->serve(worker) : 0;
        at += given;
        if (given == 0 && served == 0) {
            if (at == worker->own_count && all_applied())
                return NULL;
            pause_spinning(&spins);
        }
    }
}

static int core_at(uint32_t index)
{
    int core = 0;
    for (uint32_t seen = 0;; core++)
        if (thread_core_usable(core, NULL) == 0 && seen++ == index)
            return core;
}

// Plays the stream; seconds.
static double play(const struct design *played, uint32_t core_count, double paced_ns)
{
    pthread_t threads[CORES_MAX];
    struct error error;
    design = played;
    cores = core_count;
    interval_ns = paced_ns;
    atomic_store(&ready_count, 0);
    atomic_store(&start_ns, 0);
    open_books();
    open_ways();
    share_stream();
    for (uint32_t i = 0; i < cores; i++)
        if (thread_start(&threads[i], "hand-over", core_at(i), work, &workers[i], &error) != 0) {
            fprintf(stderr, "bench_concurrency: %s\n", error.text);
            exit(1);
        }
    for (uint32_t i = 0; i < cores; i++)
        pthread_join(threads[i], NULL);
    return (double)(clock_ns(&house_clock) - atomic_load(&start_ns)) / 1e9;
}

// --- What it came to

struct ending {
    uint64_t hash, answers;
};
static struct ending endings[SYMBOLS]; // of one thread alone

static struct ending ending_of(const struct symbol *symbol)
{
    return (struct ending){.hash = book_hash(symbol->book), .answers = symbol->answers};
}

static void keep_endings(uint32_t resting)
{
    uint32_t order_count = 0;
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        struct book_summary summary;
        book_summarise(symbols[i].book, &summary);
        order_count += summary.order_count;
        endings[i] = ending_of(&symbols[i]);
    }
    INVARIANT(order_count == resting);
}

static void check_endings(void)
{
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        struct ending ending = ending_of(&symbols[i]);
        if (ending.hash == endings[i].hash && ending.answers == endings[i].answers)
            continue;
        fprintf(stderr,
                "bench_concurrency: symbol %u ends otherwise than with one thread: %s, %u cores\n",
                i, design->name, cores);
        exit(1);
    }
}

struct samples {
    double rate[ROUNDS], relative[ROUNDS], p99_ns[ROUNDS];
};
static struct samples results[DESIGNS][COUNTS_MAX];

static double p99_ns(void)
{
    static struct histogram all;
    histogram_reset(&all);
    for (uint32_t i = 0; i < cores; i++)
        histogram_merge(&all, &workers[i].latency);
    return (double)histogram_percentile(&all, 99.0);
}

// `alone`: commands a second of one thread in this round; 0: this is that.
static double measure(const struct design *measured, uint32_t core_count, uint32_t round,
                      double alone, struct samples *samples)
{
    double rate = (double)stream_count / play(measured, core_count, 0);
    check_endings();
    alone = alone > 0 ? alone : rate;
    play(measured, core_count, 4e9 / alone);
    check_endings();
    samples->rate[round] = rate;
    samples->relative[round] = rate / alone;
    samples->p99_ns[round] = p99_ns();
    return rate;
}

static void measure_round(uint32_t round, uint32_t core_limit)
{
    double alone = 0;
    for (size_t i = 0; i < DESIGNS; i++)
        for (uint32_t power = 0; measurable(i, power, core_limit); power++) {
            double rate = measure(&designs[i], 1u << power, round, alone, &results[i][power]);
            alone = i == 0 ? rate : alone;
        }
}

static void name_it(char name[64], size_t index, uint32_t core_count)
{
    snprintf(name, 64, "%s, %u core%s", designs[index].name, core_count, core_count > 1 ? "s" : "");
}

static void print_samples(size_t index, uint32_t core_count, struct samples *samples)
{
    char name[64], alone[64], late[96];
    name_it(name, index, core_count);
    name_it(alone, 0, 1);
    snprintf(late, sizeof(late), "%s: p99 from due to applied", name);
    row_print(&(struct row){.name = name,
                            .unit = "commands/s",
                            .samples = (uint64_t)ROUNDS * COMMANDS,
                            .peers = {index == 0 ? NULL : alone}},
              samples->rate, ROUNDS);
    row_print(&(struct row){.name = late, .unit = "ns", .samples = ROUNDS}, samples->p99_ns,
              ROUNDS);
}

static void print_results(uint32_t core_limit)
{
    for (size_t i = 0; i < DESIGNS; i++)
        for (uint32_t power = 0; measurable(i, power, core_limit); power++)
            print_samples(i, 1u << power, &results[i][power]);
}

// A matrix with names for gnuplot: ways by cores, throughput relative to one thread's.
static void write_matrix(FILE *file, uint32_t core_limit)
{
    fprintf(file, "way");
    for (uint32_t power = 0; 1u << power <= core_limit; power++)
        fprintf(file, " %u", 1u << power);
    for (size_t i = 1; i < DESIGNS; i++) {
        fprintf(file, "\n\"%s\"", designs[i].name);
        for (uint32_t power = 0; measurable(i, power, core_limit); power++)
            fprintf(file, " %.2f", median(results[i][power].relative, ROUNDS));
    }
    fprintf(file, "\n");
}

static void take_memory(uint32_t core_limit)
{
    struct book_limits limits = limits_of_symbol();
    size_t book_size = book_memory_size(&limits), queue_size = queue_memory_size(CAPACITY);
    size_t ring_size = ring_memory_size(CAPACITY);
    workers = memory_map(core_limit * sizeof(*workers));
    runnable = memory_map(queue_size);
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        symbols[i].book = memory_map(book_size);
        symbols[i].mailbox = memory_map(queue_size);
    }
    for (uint32_t i = 0; i < core_limit; i++) {
        unsigned char *memory = memory_map(core_limit * ring_size);
        queues[i] = memory_map(queue_size);
        for (uint32_t j = 0; j < core_limit; j++)
            rings[i][j] = (struct ring *)(memory + j * ring_size);
    }
}

int main(int argc, char **argv)
{
    uint32_t core_limit = (uint32_t)thread_core_count();
    core_limit = core_limit < CORES_MAX ? core_limit : CORES_MAX;
    FILE *file = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (argc > 2 || (argc > 1 && !file)) {
        fprintf(stderr, "usage: bench_concurrency [FILE]: FILE can be written\n");
        return 2;
    }
    struct error error;
    if (thread_go_first(true, &error) != 0) // threads that main starts inherit it
        fprintf(stderr, "bench_concurrency: %s\n", error.text);
    clock_calibrate(&house_clock, 50);
    take_memory(core_limit);
    uint32_t resting = make_stream();
    play(&designs[0], 1, 0);
    keep_endings(resting);
    for (uint32_t round = 0; round < ROUNDS; round++)
        measure_round(round, core_limit);
    print_results(core_limit);
    if (file) {
        write_matrix(file, core_limit);
        fclose(file);
    }
    return 0;
}
