// SPDX-License-Identifier: MIT
//
// bench_ring: what a 64-byte message costs from one pinned thread to another: one by one, in
// batches of 32, and as a round trip over two rings. Takes about two seconds. Cores 0 and 1; with a
// single core the threads share it, and the numbers are the scheduler's.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/arena.h"
#include "numa/clock.h"
#include "numa/histogram.h"
#include "numa/ring.h"
#include "numa/thread.h"

#define CAPACITY         4096u
#define DURATION_NS      500000000ull
#define CHECK_MESSAGES   4096u // between looks at the clock
#define SPINS_BEFORE_CPU 4096u // then let others have the core

static struct tsc_clock house_clock;
static bool cores_shared;

struct lane {
    struct ring *there;
    struct ring *back;
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

static void send(struct ring *ring, uint32_t count, uint64_t number)
{
    uint32_t spins = 0;
    while (ring_writable(ring, count) < count)
        pause_spinning(&spins);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t message[8] = {number + i, 1, 2, 3, 4, 5, 6, 7};
        memcpy(ring_write_slot(ring, i), message, sizeof(message));
    }
    ring_commit(ring, count);
}

static void *receive_all(void *argument)
{
    struct lane *lane = argument;
    uint32_t spins = 0;
    for (uint64_t number = 0; number != UINT64_MAX;) {
        uint32_t ready = ring_readable(lane->there, lane->batch);
        if (ready == 0)
            pause_spinning(&spins);
        uint32_t count = ready < lane->batch ? ready : lane->batch;
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t *message = ring_read_slot(lane->there, i);
            number = message[0];
            lane->checksum += message[0] ^ message[7];
        }
        ring_release(lane->there, count);
    }
    return NULL;
}

static void *send_back(void *argument)
{
    struct lane *lane = argument;
    uint32_t spins = 0;
    for (uint64_t number = 0; number != UINT64_MAX;) {
        while (ring_readable(lane->there, 1) == 0)
            pause_spinning(&spins);
        memcpy(&number, ring_read_slot(lane->there, 0), sizeof(number));
        ring_release(lane->there, 1);
        send(lane->back, 1, number);
    }
    return NULL;
}

static pthread_t start(const char *name, int core, void *(*main)(void *), struct lane *lane)
{
    pthread_t thread;
    struct error error;
    if (thread_start(&thread, name, cores_shared ? THREAD_ANY_CORE : core, main, lane, &error) !=
        0) {
        fprintf(stderr, "bench_ring: %s\n", error.text);
        exit(1);
    }
    return thread;
}

static void measure_stream(struct lane *lane, uint32_t batch)
{
    lane->batch = batch;
    pthread_t receiver = start("receiver", 1, receive_all, lane);
    uint64_t sent = 0;
    uint64_t start_ns = clock_ns(&house_clock);
    do {
        for (uint32_t i = 0; i < CHECK_MESSAGES; i += batch, sent += batch)
            send(lane->there, batch, sent);
    } while (clock_ns(&house_clock) - start_ns < DURATION_NS);
    send(lane->there, 1, UINT64_MAX);
    pthread_join(receiver, NULL);
    double elapsed_ns = (double)(clock_ns(&house_clock) - start_ns);
    printf("ring: batches of %-2u  %8.2f ns/message\n", batch, elapsed_ns / (double)sent);
}

static void measure_round_trip(struct lane *lane)
{
    static struct histogram round_trips;
    uint32_t spins = 0;
    histogram_reset(&round_trips);
    pthread_t echo = start("echo", 1, send_back, lane);
    uint64_t start_ns = clock_ns(&house_clock);
    uint64_t before_ns = start_ns;
    for (uint64_t number = 0; number != UINT64_MAX;) {
        send(lane->there, 1, before_ns - start_ns < DURATION_NS ? number + 1 : UINT64_MAX);
        while (ring_readable(lane->back, 1) == 0)
            pause_spinning(&spins);
        memcpy(&number, ring_read_slot(lane->back, 0), sizeof(number));
        ring_release(lane->back, 1);
        uint64_t now_ns = clock_ns(&house_clock);
        histogram_record(&round_trips, now_ns - before_ns);
        before_ns = now_ns;
    }
    pthread_join(echo, NULL);
    printf("ring: round trip     %8.2f ns mean, %llu p50, %llu p99, %llu p99.9, %llu max\n",
           histogram_mean(&round_trips),
           (unsigned long long)histogram_percentile(&round_trips, 50.0),
           (unsigned long long)histogram_percentile(&round_trips, 99.0),
           (unsigned long long)histogram_percentile(&round_trips, 99.9),
           (unsigned long long)round_trips.max);
}

static void *measure_all(void *argument)
{
    struct lane *lane = argument;
    measure_stream(lane, 1);
    measure_stream(lane, 32);
    measure_round_trip(lane);
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
    struct lane lane = {.there = ring_init(arena_take(&arena, size, 128), CAPACITY),
                        .back = ring_init(arena_take(&arena, size, 128), CAPACITY)};
    pthread_join(start("sender", 0, measure_all, &lane), NULL);
    arena_close(&arena);
    return 0;
}
