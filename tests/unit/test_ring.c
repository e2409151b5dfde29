// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "numa/ring.h"

#define MODEL_CAPACITY  64u
#define MODEL_STEPS     200000u
#define STRESS_MESSAGES 300000u

// xorshift64* (Vigna 2014): the same sequence everywhere.
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

// An empty ring whose indices have already run as far as `start`.
static struct ring *open_ring(uint32_t capacity, uint64_t start)
{
    size_t size = (ring_memory_size(capacity) + 127) / 128 * 128;
    void *memory = aligned_alloc(128, size);
    cr_assert_not_null(memory);
    struct ring *ring = ring_init(memory, capacity);
    atomic_store(&ring->producer.tail, start);
    atomic_store(&ring->consumer.head, start);
    ring->producer.head_cache = start;
    ring->consumer.tail_cache = start;
    return ring;
}

// All 64 bytes of a slot depend on its number. Word by word: the thread sanitizer does not see what
// an inlined memcpy touches.
static void fill_slot(void *slot, uint64_t number)
{
    uint64_t *words = slot;
    for (uint64_t i = 0; i < RING_SLOT_SIZE / 8; i++)
        words[i] = (number + i) * 0x9E3779B97F4A7C15ull;
}

static bool slot_holds(const void *slot, uint64_t number)
{
    const uint64_t *words = slot;
    bool holds = true;
    for (uint64_t i = 0; i < RING_SLOT_SIZE / 8; i++)
        holds &= words[i] == (number + i) * 0x9E3779B97F4A7C15ull;
    return holds;
}

static void write_batch(struct ring *ring, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        fill_slot(ring_write_slot(ring, i), first + i);
    ring_commit(ring, count);
}

static void read_batch(struct ring *ring, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        cr_assert(slot_holds(ring_read_slot(ring, i), first + i), "slot %u of batch at %llu", i,
                  (unsigned long long)first);
    ring_release(ring, count);
}

// The model of a queue of numbered slots is two numbers: the next to be written and the next to be
// read. Every answer of the ring must agree with them.
static void follow_model(uint32_t capacity, uint64_t start, uint64_t seed)
{
    struct ring *ring = open_ring(capacity, start);
    uint64_t written = 0, read = 0;
    for (uint32_t step = 0; step < MODEL_STEPS; step++) {
        uint32_t wanted = 1 + (uint32_t)(next_random(&seed) % (capacity + 2));
        uint32_t held = (uint32_t)(written - read);
        if (next_random(&seed) & 1) {
            uint32_t room = ring_writable(ring, wanted);
            cr_assert_leq(room, capacity - held);
            cr_assert(room >= wanted || room == capacity - held, "exact when below wanted");
            uint32_t count = room < wanted ? room : wanted;
            write_batch(ring, written, count);
            written += count;
        } else {
            uint32_t ready = ring_readable(ring, wanted);
            cr_assert_leq(ready, held);
            cr_assert(ready >= wanted || ready == held, "exact when below wanted");
            uint32_t count = ready < wanted ? ready : wanted;
            read_batch(ring, read, count);
            read += count;
        }
    }
    cr_assert_gt(read, MODEL_STEPS / 4);
    free(ring);
}

Test(ring, agrees_with_a_plain_queue_under_random_batches)
{
    for (uint32_t capacity = 2; capacity <= MODEL_CAPACITY; capacity *= 2)
        follow_model(capacity, 0, 0x5EED0000 + capacity);
}

Test(ring, keeps_order_when_the_indices_pass_two_to_the_32)
{
    follow_model(2, (1ull << 32) - 1000, 32);
    follow_model(MODEL_CAPACITY, (1ull << 32) - 1000, 33);
}

Test(ring, keeps_order_when_the_indices_wrap_at_two_to_the_64)
{
    follow_model(2, 0 - 1000ull, 64);
    follow_model(MODEL_CAPACITY, 0 - 1000ull, 65);
}

Test(ring, is_empty_at_first_and_uses_every_slot)
{
    struct ring *ring = open_ring(8, 0);
    cr_assert_eq(ring_readable(ring, 1), 0);
    cr_assert_eq(ring_writable(ring, 8), 8);
    write_batch(ring, 0, 8);
    cr_assert_eq(ring_writable(ring, 1), 0);
    cr_assert_eq(ring_readable(ring, 9), 8);
    read_batch(ring, 0, 1);
    cr_assert_eq(ring_writable(ring, 8), 1);
    read_batch(ring, 1, 7);
    cr_assert_eq(ring_readable(ring, 1), 0);
    cr_assert_eq(ring_writable(ring, 8), 8);
    free(ring);
}

Test(ring, shows_nothing_before_commit_and_frees_nothing_before_release)
{
    struct ring *ring = open_ring(2, 0);
    cr_assert_eq(ring_writable(ring, 2), 2);
    fill_slot(ring_write_slot(ring, 0), 0);
    fill_slot(ring_write_slot(ring, 1), 1);
    cr_assert_eq(ring_readable(ring, 1), 0);
    ring_commit(ring, 1);
    cr_assert_eq(ring_readable(ring, 2), 1);
    ring_commit(ring, 1);
    cr_assert_eq(ring_readable(ring, 2), 2);
    cr_assert(slot_holds(ring_read_slot(ring, 1), 1));
    cr_assert_eq(ring_writable(ring, 1), 0);
    ring_release(ring, 1);
    cr_assert_eq(ring_writable(ring, 2), 1);
    free(ring);
}

Test(ring, says_how_many_slots_lie_together_before_it_wraps)
{
    struct ring *ring = open_ring(8, 0 - 3ull); // masked: slot 5
    cr_assert_eq(ring_write_run(ring, 0), 3);
    cr_assert_eq(ring_write_run(ring, 2), 1);
    cr_assert_eq(ring_write_run(ring, 3), 8);
    unsigned char *last = ring_write_slot(ring, 2);
    cr_assert_eq((unsigned char *)ring_write_slot(ring, 3), last - 7 * RING_SLOT_SIZE);
    free(ring);
}

Test(ring, stops_the_process_when_more_is_committed_than_was_free, .signal = SIGABRT)
{
    struct ring *ring = open_ring(4, 0);
    cr_assert_eq(ring_writable(ring, 4), 4);
    ring_commit(ring, 5);
}

Test(ring, stops_the_process_when_more_is_released_than_was_ready, .signal = SIGABRT)
{
    struct ring *ring = open_ring(4, 0);
    cr_assert_eq(ring_writable(ring, 4), 4);
    ring_commit(ring, 2);
    cr_assert_eq(ring_readable(ring, 2), 2);
    ring_release(ring, 3);
}

Test(ring, refuses_a_capacity_that_is_no_power_of_two, .signal = SIGABRT)
{
    alignas(128) static unsigned char memory[1024];
    ring_init(memory, 3);
}

struct stress {
    struct ring *ring;
    uint32_t batch_max;
    uint64_t out_of_place; // slots whose bytes are not those of their number
};

static void *produce(void *argument)
{
    struct stress *stress = argument;
    uint64_t seed = 1, sent = 0;
    while (sent < STRESS_MESSAGES) {
        uint32_t wanted = 1 + (uint32_t)(next_random(&seed) % stress->batch_max);
        if (wanted > STRESS_MESSAGES - sent)
            wanted = (uint32_t)(STRESS_MESSAGES - sent);
        uint32_t room = ring_writable(stress->ring, wanted);
        if (room == 0)
            sched_yield();
        uint32_t count = room < wanted ? room : wanted;
        write_batch(stress->ring, sent, count);
        sent += count;
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct stress *stress = argument;
    uint64_t seed = 2, received = 0;
    while (received < STRESS_MESSAGES) {
        uint32_t wanted = 1 + (uint32_t)(next_random(&seed) % stress->batch_max);
        uint32_t ready = ring_readable(stress->ring, wanted);
        if (ready == 0)
            sched_yield();
        uint32_t count = ready < wanted ? ready : wanted;
        for (uint32_t i = 0; i < count; i++)
            stress->out_of_place += !slot_holds(ring_read_slot(stress->ring, i), received + i);
        ring_release(stress->ring, count);
        received += count;
    }
    return NULL;
}

static void stress_ring(uint32_t capacity, uint32_t batch_max, uint64_t start)
{
    struct stress stress = {.ring = open_ring(capacity, start), .batch_max = batch_max};
    pthread_t producer, consumer;
    cr_assert_eq(pthread_create(&producer, NULL, produce, &stress), 0);
    cr_assert_eq(pthread_create(&consumer, NULL, consume, &stress), 0);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    cr_assert_eq(stress.out_of_place, 0, "%llu of %u slots torn or out of order",
                 (unsigned long long)stress.out_of_place, STRESS_MESSAGES);
    cr_assert_eq(ring_readable(stress.ring, 1), 0);
    cr_assert_eq(ring_writable(stress.ring, capacity), capacity);
    free(stress.ring);
}

Test(ring, hands_two_threads_every_slot_whole_and_in_order, .timeout = 60)
{
    stress_ring(1024, 48, 0 - 100000ull);
}

Test(ring, hands_two_threads_every_slot_in_order_with_only_two_slots, .timeout = 60)
{
    stress_ring(2, 2, 0 - 100000ull);
}
