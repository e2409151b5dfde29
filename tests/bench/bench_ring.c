// SPDX-License-Identifier: MIT
//
// bench_ring: what a 64-byte message costs from one pinned thread to another, one by one and in
// batches of 32, in this house's ring and, where they are installed, in Concurrency Kit's ck_ring
// and DPDK's rte_ring, in the same run, alternating, five rounds; and a round trip over two of this
// house's rings against the machine's floor, two words bounced between two caches. Prints rows.
// Takes about a quarter of a minute. Cores 0 and 1; with a single core the threads share it, and
// the numbers are the scheduler's.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/arena.h"
#include "numa/clock.h"
#include "numa/histogram.h"
#include "numa/ring.h"
#include "numa/thread.h"
#include "tests/bench/row.h"

#ifdef PEER_RINGS
#include <ck_ring.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#endif

#define KINDS_MAX        (1 + ROW_PEERS)
#define CAPACITY         4096u
#define BATCH_MAX        32u
#define DURATION_NS      300000000ull
#define ROUNDS           5u
#define CHECK_MESSAGES   4096u // between looks at the clock
#define SPINS_BEFORE_CPU 4096u // then let others have the core

static struct tsc_clock house_clock;
static bool cores_shared;

struct message {
    uint64_t words[8];
};

// One kind of ring: both calls move up to `count` messages and say how many.
struct kind {
    const char *name;
    uint32_t (*put)(void *ring, const struct message *messages, uint32_t count);
    uint32_t (*take)(void *ring, struct message *messages, uint32_t count);
    void *ring;
};

struct lane {
    const struct kind *there, *back;
    uint32_t batch;
    uint64_t checksum;
};

static void pause_spinning(uint32_t *spins)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (cores_shared || ++*spins % SPINS_BEFORE_CPU == 0)
        sched_yield();
}

static uint32_t house_put(void *ring, const struct message *messages, uint32_t count)
{
    if (ring_writable(ring, count) < count)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        memcpy(ring_write_slot(ring, i), &messages[i], sizeof(messages[i]));
    ring_commit(ring, count);
    return count;
}

static uint32_t house_take(void *ring, struct message *messages, uint32_t count)
{
    uint32_t ready = ring_readable(ring, count);
    count = ready < count ? ready : count;
    for (uint32_t i = 0; i < count; i++)
        memcpy(&messages[i], ring_read_slot(ring, i), sizeof(messages[i]));
    ring_release(ring, count);
    return count;
}

#ifdef PEER_RINGS
CK_RING_PROTOTYPE(message, message)

struct ck {
    struct ck_ring ring;
    struct message slots[CAPACITY];
};

// It has no batches.
static uint32_t ck_put(void *ring, const struct message *messages, uint32_t count)
{
    struct ck *ck = ring;
    uint32_t done = 0;
    while (done < count && ck_ring_enqueue_spsc_message(
                               &ck->ring, ck->slots, (struct message *)(uintptr_t)&messages[done]))
        done++;
    return done;
}

static uint32_t ck_take(void *ring, struct message *messages, uint32_t count)
{
    struct ck *ck = ring;
    uint32_t done = 0;
    while (done < count && ck_ring_dequeue_spsc_message(&ck->ring, ck->slots, &messages[done]))
        done++;
    return done;
}

static uint32_t rte_put(void *ring, const struct message *messages, uint32_t count)
{
    return rte_ring_sp_enqueue_bulk_elem(ring, messages, sizeof(*messages), count, NULL);
}

static uint32_t rte_take(void *ring, struct message *messages, uint32_t count)
{
    return rte_ring_sc_dequeue_burst_elem(ring, messages, sizeof(*messages), count, NULL);
}
#endif

static void send(const struct kind *kind, uint32_t count, uint64_t number)
{
    struct message messages[BATCH_MAX];
    uint32_t spins = 0;
    for (uint32_t i = 0; i < count; i++)
        messages[i] = (struct message){{number + i, 1, 2, 3, 4, 5, 6, 7}};
    for (uint32_t done = 0; (done += kind->put(kind->ring, messages + done, count - done)) < count;)
        pause_spinning(&spins);
}

static void *receive_all(void *argument)
{
    struct lane *lane = argument;
    const struct kind *kind = lane->there;
    struct message messages[BATCH_MAX];
    uint32_t spins = 0;
    for (uint64_t number = 0; number != UINT64_MAX;) {
        uint32_t count = kind->take(kind->ring, messages, lane->batch);
        if (count == 0)
            pause_spinning(&spins);
        for (uint32_t i = 0; i < count; i++) {
            number = messages[i].words[0];
            lane->checksum += messages[i].words[0] ^ messages[i].words[7];
        }
    }
    return NULL;
}

static uint64_t receive_one(const struct kind *kind)
{
    struct message message;
    uint32_t spins = 0;
    while (kind->take(kind->ring, &message, 1) == 0)
        pause_spinning(&spins);
    return message.words[0];
}

static void *send_back(void *argument)
{
    struct lane *lane = argument;
    for (uint64_t number = 0; number != UINT64_MAX;)
        send(lane->back, 1, number = receive_one(lane->there));
    return NULL;
}

static pthread_t start(const char *name, int core, void *(*main)(void *), void *argument)
{
    pthread_t thread;
    struct error error;
    if (thread_start(&thread, name, cores_shared ? THREAD_ANY_CORE : core, main, argument,
                     &error) != 0) {
        fprintf(stderr, "bench_ring: %s\n", error.text);
        exit(1);
    }
    return thread;
}

// ns a message; adds the messages to `samples`.
static double measure_stream(const struct kind *kind, uint32_t batch, uint64_t *samples)
{
    struct lane lane = {.there = kind, .batch = batch};
    pthread_t receiver = start("receiver", 1, receive_all, &lane);
    uint64_t sent = 0;
    uint64_t start_ns = clock_ns(&house_clock);
    do {
        for (uint32_t i = 0; i < CHECK_MESSAGES; i += batch, sent += batch)
            send(kind, batch, sent);
    } while (clock_ns(&house_clock) - start_ns < DURATION_NS);
    send(kind, 1, UINT64_MAX);
    pthread_join(receiver, NULL);
    *samples += sent;
    return (double)(clock_ns(&house_clock) - start_ns) / (double)sent;
}

static void measure_streams(const struct kind *kinds, uint32_t count, uint32_t batch)
{
    double times[KINDS_MAX][ROUNDS];
    uint64_t samples[KINDS_MAX] = {0};
    char names[KINDS_MAX][64];
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t i = 0; i < count; i++)
            times[i][round] = measure_stream(&kinds[i], batch, &samples[i]);
    for (uint32_t i = 0; i < count; i++)
        snprintf(names[i], sizeof(names[i]), "%s, batches of %u", kinds[i].name, batch);
    for (uint32_t i = 0; i < count; i++) {
        struct row row = {.name = names[i], .unit = "ns/message", .samples = samples[i]};
        for (uint32_t peer = 1; i == 0 && peer < count; peer++)
            row.peers[peer - 1] = names[peer];
        row_print(&row, times[i], ROUNDS);
    }
}

static struct histogram round_trips;

// Until `DURATION_NS` have passed; the word that ends it is UINT64_MAX.
static void measure_round_trip(const struct kind *there, const struct kind *back)
{
    struct lane lane = {.there = there, .back = back};
    pthread_t echo = start("echo", 1, send_back, &lane);
    uint64_t start_ns = clock_ns(&house_clock);
    uint64_t before_ns = start_ns;
    for (uint64_t number = 0; number != UINT64_MAX;) {
        send(there, 1, before_ns - start_ns < DURATION_NS ? number + 1 : UINT64_MAX);
        number = receive_one(back);
        uint64_t now_ns = clock_ns(&house_clock);
        histogram_record(&round_trips, now_ns - before_ns);
        before_ns = now_ns;
    }
    pthread_join(echo, NULL);
}

// The least that two cores need to hear of each other: a word each, on a line each.
static struct {
    alignas(128) _Atomic uint64_t there;
    alignas(128) _Atomic uint64_t back;
} floor_words;

static void *bounce_word(void *argument)
{
    (void)argument;
    uint32_t spins = 0;
    for (uint64_t number = 0, seen; number != UINT64_MAX; number = seen) {
        while ((seen = atomic_load_explicit(&floor_words.there, memory_order_acquire)) == number)
            pause_spinning(&spins);
        atomic_store_explicit(&floor_words.back, seen, memory_order_release);
    }
    return NULL;
}

static void measure_floor(void)
{
    uint32_t spins = 0;
    atomic_store(&floor_words.there, 0);
    pthread_t echo = start("echo", 1, bounce_word, NULL);
    uint64_t start_ns = clock_ns(&house_clock);
    uint64_t before_ns = start_ns;
    for (uint64_t number = 1; number != 0;) {
        number = before_ns - start_ns < DURATION_NS ? number : UINT64_MAX;
        atomic_store_explicit(&floor_words.there, number, memory_order_release);
        while (atomic_load_explicit(&floor_words.back, memory_order_acquire) != number)
            pause_spinning(&spins);
        uint64_t now_ns = clock_ns(&house_clock);
        histogram_record(&round_trips, now_ns - before_ns);
        before_ns = now_ns;
        number++; // UINT64_MAX was the last
    }
    pthread_join(echo, NULL);
}

static void measure_round_trips(const struct kind *there, const struct kind *back)
{
    static struct histogram all[2]; // over the ring, and the floor
    double p50s[2][ROUNDS];
    histogram_reset(&all[0]);
    histogram_reset(&all[1]);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < 2; i++) {
            histogram_reset(&round_trips);
            i == 0 ? measure_round_trip(there, back) : measure_floor();
            p50s[i][round] = (double)histogram_percentile(&round_trips, 50);
            histogram_merge(&all[i], &round_trips);
        }
    }
    struct row rows[2] = {
        {.name = "ring, round trip", .unit = "ns", .limit = "two words, round trip"},
        {.name = "two words, round trip", .unit = "ns"}};
    for (uint32_t i = 0; i < 2; i++) {
        rows[i].samples = all[i].total_count;
        rows[i].p99 = (double)histogram_percentile(&all[i], 99);
        row_print(&rows[i], p50s[i], ROUNDS);
    }
}

static void *measure_all(void *argument)
{
    struct kind *kinds = argument;
    uint32_t count = 1;
#ifdef PEER_RINGS
    static struct ck ck;
    ck_ring_init(&ck.ring, CAPACITY);
    void *memory = aligned_alloc(128, (size_t)rte_ring_get_memsize_elem(64, CAPACITY));
    if (!memory || rte_ring_init(memory, "bench", CAPACITY, RING_F_SP_ENQ | RING_F_SC_DEQ))
        exit(1);
    kinds[count++] = (struct kind){"ck_ring", ck_put, ck_take, &ck};
    kinds[count++] = (struct kind){"rte_ring", rte_put, rte_take, memory};
#else
    row_missing("ck_ring and rte_ring", "apt-get install libck-dev libdpdk-dev");
#endif
    measure_streams(kinds, count, 1);
    measure_streams(kinds, count, BATCH_MAX);
    struct kind back = kinds[0];
    back.ring = ring_init((char *)kinds[0].ring + ring_memory_size(CAPACITY), CAPACITY);
    measure_round_trips(&kinds[0], &back);
    return NULL;
}

int main(void)
{
    struct error error;
    struct arena arena;
    size_t size = ring_memory_size(CAPACITY);
    cores_shared = thread_core_usable(0, NULL) != 0 || thread_core_usable(1, NULL) != 0;
    clock_calibrate(&house_clock, 50);
    if (arena_open(&arena, "bench", 2 * size + 128, ARENA_ANY_NODE, false, &error) != 0) {
        fprintf(stderr, "bench_ring: %s\n", error.text);
        return 1;
    }
    void *memory = arena_take(&arena, 2 * size, 128);
    struct kind kinds[KINDS_MAX] = {{"ring", house_put, house_take, ring_init(memory, CAPACITY)}};
    pthread_join(start("sender", 0, measure_all, kinds), NULL);
    arena_close(&arena);
    return 0;
}
