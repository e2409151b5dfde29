// SPDX-License-Identifier: MIT
//
// A tap written by one thread as fast as it can and read by others that cannot keep up: for the
// unit test, and for bench_tap --check, which starts under the thread sanitizer where Criterion
// does not.
#ifndef SLUICE_TESTS_UNIT_TAP_HAMMER_H
#define SLUICE_TESTS_UNIT_TAP_HAMMER_H

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "numa/arena.h"
#include "numa/invariant.h"
#include "numa/tap.h"
#include "tests/unit/random.h"

#define HAMMER_READERS_MAX 4u

// Record `number`: its size, time and kind depend on the number, and its first 8 bytes are the
// number, and all the others depend on it.
static inline uint32_t hammer_record(uint64_t number, uint32_t size_max, uint64_t *time_ns,
                                     uint32_t *kind, uint8_t *bytes)
{
    struct random random = {number};
    uint32_t size = 8 + random_below(&random, size_max - 7);
    *time_ns = random_bits(&random);
    *kind = random_below(&random, 65536);
    memcpy(bytes, &number, 8);
    for (uint32_t i = 8; i < size; i++)
        bytes[i] = (uint8_t)((number + i) * 0x9D >> 3);
    return size;
}

static inline bool hammer_record_whole(uint64_t number, uint32_t size_max,
                                       const struct tap_record *record, const uint8_t *bytes)
{
    uint8_t expected[TAP_RECORD_MAX];
    uint64_t time_ns;
    uint32_t kind, size = hammer_record(number, size_max, &time_ns, &kind, expected);
    return record->size == size && record->time_ns == time_ns && record->kind == kind &&
           memcmp(bytes, expected, size) == 0;
}

struct hammer_tap {
    uint64_t slot_count, word_count;
    uint32_t reader_count;
    uint32_t size_max; // of a record, 8 or more
    uint64_t record_count;
    uint64_t start; // of the counts

    uint64_t read_count, lost_count, fault_count; // results, of all readers

    struct tap tap;
    _Atomic bool done;
};

struct hammer_reader {
    struct hammer_tap *hammer;
    struct tap_reader reader;
    uint64_t read_count, fault_count;
    uint32_t index;
};

static inline void *hammer_read(void *argument)
{
    struct hammer_reader *side = argument;
    struct hammer_tap *hammer = side->hammer;
    struct random random = {side->index};
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    for (bool last = false;;) {
        while (tap_read(&side->reader, &record, bytes)) {
            uint64_t number = side->reader.next - 1 - hammer->start;
            side->fault_count += !hammer_record_whole(number, hammer->size_max, &record, bytes);
            side->read_count++;
            if (random_below(&random, 1000) == 0)
                usleep(random_below(&random, 300));
        }
        if (last)
            return NULL;
        last = atomic_load(&hammer->done);
        sched_yield();
    }
}

static inline void *hammer_write(void *argument)
{
    struct hammer_tap *hammer = argument;
    struct random random = {99};
    uint8_t bytes[TAP_RECORD_MAX];
    for (uint64_t number = 0; number < hammer->record_count; number++) {
        uint64_t time_ns;
        uint32_t kind, size = hammer_record(number, hammer->size_max, &time_ns, &kind, bytes);
        tap_put(&hammer->tap, time_ns, kind, bytes, size);
        if (random_below(&random, 300) == 0)
            sched_yield();
    }
    atomic_store(&hammer->done, true);
    return NULL;
}

static inline void hammer_path(char path[64], const char *what)
{
    snprintf(path, 64, "/dev/shm/sluice-test-%s-%d", what, (int)getpid());
}

// hammer_open: a tap whose counts have already run as far as `start`.
static inline void hammer_open(struct tap *tap, const char *path, uint64_t slot_count,
                               uint64_t word_count, uint64_t start)
{
    struct error error;
    if (tap_open(tap, path, slot_count, word_count, ARENA_ANY_NODE, &error)) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    tap->record_count = tap->word_position = start;
    tap->shared->published = tap->shared->claimed_records = tap->shared->claimed_words = start;
}

// hammer_join: a reader that its writer knows of.
static inline void hammer_join(struct tap *tap, struct tap_reader *reader)
{
    struct error error;
    if (tap_attach(reader, tap->path, &error)) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    tap_joined(reader);
    tap_watch(tap);
    INVARIANT(tap_joined(reader));
}

// hammer_tap: write and read; how many records were torn or out of place, or missing from the
// readers' counts.
static inline uint64_t hammer_tap(struct hammer_tap *hammer)
{
    struct hammer_reader readers[HAMMER_READERS_MAX] = {0};
    pthread_t threads[HAMMER_READERS_MAX], writer;
    char path[64];
    hammer_path(path, "hammer");
    hammer_open(&hammer->tap, path, hammer->slot_count, hammer->word_count, hammer->start);
    for (uint32_t i = 0; i < hammer->reader_count; i++) {
        readers[i].hammer = hammer;
        readers[i].index = i;
        hammer_join(&hammer->tap, &readers[i].reader);
        INVARIANT(pthread_create(&threads[i], NULL, hammer_read, &readers[i]) == 0);
    }
    INVARIANT(pthread_create(&writer, NULL, hammer_write, hammer) == 0);
    pthread_join(writer, NULL);
    for (uint32_t i = 0; i < hammer->reader_count; i++) {
        pthread_join(threads[i], NULL);
        hammer->read_count += readers[i].read_count;
        hammer->lost_count += readers[i].reader.lost;
        hammer->fault_count +=
            readers[i].fault_count +
            (readers[i].read_count + readers[i].reader.lost != hammer->record_count);
        tap_detach(&readers[i].reader);
    }
    tap_close(&hammer->tap);
    return hammer->fault_count;
}

#endif
