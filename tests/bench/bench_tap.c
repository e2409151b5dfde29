// SPDX-License-Identifier: MIT
//
// bench_tap: what a port's tap costs a frame that is sent: without a tap, while nobody reads, with
// a reader that stands still, and with one that reads on another core. The variants run
// alternately, nine rounds. Prints rows. `--check` hammers a tap instead, for the thread sanitizer.
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/gateway.h"
#include "numa/thread.h"
#include "tests/bench/row.h"
#include "tests/unit/tap_hammer.h"

#define ROUNDS      9u
#define FRAME_COUNT 200000u
#define FRAMES_HELD 1024u // as many as a port works with, so that they come from the L2 cache

static struct tsc_clock house_clock;
static struct tap tap;
static struct tap_reader reader;
static _Atomic bool reading_done;
static uint8_t frames[FRAMES_HELD][PORT_FRAME_SIZE];

static void drop_send(struct port *port, size_t size)
{
    port->counters.sent_bytes += size;
}

static const struct port_operations dropping = {.send = drop_send};

// ns a frame.
static double measure(struct port *port, size_t size)
{
    uint64_t start_ns = clock_ns(&house_clock);
    for (uint32_t i = 0; i < FRAME_COUNT; i++)
        port_send(port, frames[i % FRAMES_HELD], size);
    return (double)(clock_ns(&house_clock) - start_ns) / FRAME_COUNT;
}

static void *read_all(void *argument)
{
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    (void)argument;
    while (!atomic_load_explicit(&reading_done, memory_order_relaxed))
        while (tap_read(&reader, &record, bytes))
            ;
    return NULL;
}

static double measure_read(struct port *port, size_t size)
{
    struct error error;
    pthread_t thread;
    atomic_store(&reading_done, false);
    if (thread_start(&thread, "reader", thread_core_count() > 1 ? 1 : 0, read_all, NULL, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    double cost = measure(port, size);
    atomic_store(&reading_done, true);
    pthread_join(thread, NULL);
    return cost;
}

static void measure_size(size_t size)
{
    enum { BARE, UNWATCHED, STILL, READ, VARIANTS };
    static const char *const names[VARIANTS] = {"without a tap", "unwatched", "watched",
                                                "while it is read"};
    double costs[VARIANTS][ROUNDS];
    struct port bare = {.operations = &dropping}, tapped = bare;
    tapped.tap = &tap;
    tapped.clock = &house_clock;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        costs[BARE][round] = measure(&bare, size);
        tap_watch(&tap);
        costs[UNWATCHED][round] = measure(&tapped, size);
        hammer_join(&tap, &reader);
        costs[STILL][round] = measure(&tapped, size);
        costs[READ][round] = measure_read(&tapped, size);
        tap_detach(&reader);
    }
    char name[64], bare_name[64];
    snprintf(bare_name, sizeof(bare_name), "%zu bytes, %s", size, names[BARE]);
    for (uint32_t i = 0; i < VARIANTS; i++) {
        snprintf(name, sizeof(name), "%zu bytes, %s", size, names[i]);
        row_print(&(struct row){.name = name,
                                .unit = "ns/frame",
                                .samples = ROUNDS * FRAME_COUNT,
                                .peers = {i == BARE ? NULL : bare_name}},
                  costs[i], ROUNDS);
    }
}

static uint64_t check(uint64_t slot_count, uint64_t word_count, uint32_t size_max,
                      uint32_t reader_count)
{
    struct hammer_tap hammer = {.slot_count = slot_count,
                                .word_count = word_count,
                                .reader_count = reader_count,
                                .size_max = size_max,
                                .record_count = 200000,
                                .start = 0 - 100000ull};
    uint64_t fault_count = hammer_tap(&hammer);
    printf("%llu slots, %llu words, %u readers: %llu read, %llu lost, %llu faults\n",
           (unsigned long long)slot_count, (unsigned long long)word_count, reader_count,
           (unsigned long long)hammer.read_count, (unsigned long long)hammer.lost_count,
           (unsigned long long)fault_count);
    return fault_count;
}

int main(int argc, char **argv)
{
    char path[64];
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        return check(16, 4096, 64, 1) + check(4096, 4096, 1500, 1) + check(512, 4096, 300, 3) != 0;
    if (argc != 1) {
        fprintf(stderr, "usage: bench_tap [--check]\n");
        return 2;
    }
    clock_calibrate(&house_clock, 50);
    hammer_path(path, "bench");
    hammer_open(&tap, path, GATEWAY_TAP_RECORDS, GATEWAY_TAP_BYTES / 8, 0);
    measure_size(100);
    measure_size(1400);
    tap_close(&tap);
    return 0;
}
