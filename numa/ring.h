// SPDX-License-Identifier: MIT
//
// ring: a bounded queue of 64-byte slots between exactly one producing and one consuming thread.
//
// A slot is one cache line: one command or one event, one line moved per hop. Indices run freely
// and are masked on access, so every slot is used and full means tail - head == capacity. Each
// side keeps a cached view of the other's index and reloads it only when the cache says full (or
// empty), and publishes once per batch, so that a batch costs one line transfer each way.
//
// The two index lines and the constants stand on blocks of 128 bytes of their own: the adjacent
// line prefetcher of many x86 parts pairs 64-byte lines, which would let one side's writes disturb
// the other's.
#ifndef SLUICE_NUMA_RING_H
#define SLUICE_NUMA_RING_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "numa/invariant.h"

#define RING_SLOT_SIZE    64
#define RING_CAPACITY_MAX (1u << 26)

struct ring {
    struct { // written by the producer only
        alignas(128) _Atomic uint64_t tail;
        uint64_t head_cache;
    } producer;
    struct { // written by the consumer only
        alignas(128) _Atomic uint64_t head;
        uint64_t tail_cache;
    } consumer;
    struct { // written by ring_init only
        alignas(128) uint64_t mask;
    } constant;
    alignas(128) unsigned char slots[];
};

static_assert(sizeof(struct ring) == 384, "index lines and constants on separate 128-byte blocks");

// ring_memory_size: bytes ring_init needs for `capacity` slots (a power of two).
static inline size_t ring_memory_size(uint32_t capacity)
{
    return sizeof(struct ring) + (size_t)capacity * RING_SLOT_SIZE;
}

// ring_init: an empty ring in `memory`, which is 128-byte aligned, holds ring_memory_size(capacity)
// bytes and stays the caller's. Before either side starts.
static inline struct ring *ring_init(void *memory, uint32_t capacity)
{
    INVARIANT(capacity >= 2 && capacity <= RING_CAPACITY_MAX && !(capacity & (capacity - 1)));
    INVARIANT(((uintptr_t)memory & 127) == 0);
    struct ring *ring = memory;
    atomic_init(&ring->producer.tail, 0);
    ring->producer.head_cache = 0;
    atomic_init(&ring->consumer.head, 0);
    ring->consumer.tail_cache = 0;
    ring->constant.mask = capacity - 1;
    return ring;
}

static inline void *ring_slot(struct ring *ring, uint64_t index)
{
    return ring->slots + (index & ring->constant.mask) * RING_SLOT_SIZE;
}

// ring_writable: how many slots may be written now; the answer is exact only when it is below
// `wanted`. Producer only.
static inline uint32_t ring_writable(struct ring *ring, uint32_t wanted)
{
    uint64_t tail = atomic_load_explicit(&ring->producer.tail, memory_order_relaxed);
    uint64_t capacity = ring->constant.mask + 1;
    uint64_t free_count = capacity - (tail - ring->producer.head_cache);
    if (free_count < wanted) {
        // Acquire pairs with the release in ring_release: the consumer is done with these slots.
        ring->producer.head_cache =
            atomic_load_explicit(&ring->consumer.head, memory_order_acquire);
        free_count = capacity - (tail - ring->producer.head_cache);
    }
    return (uint32_t)free_count;
}

// ring_write_slot: the slot `offset` places after the last committed one; valid while offset is
// below ring_writable(). Producer only.
static inline void *ring_write_slot(struct ring *ring, uint32_t offset)
{
    return ring_slot(ring,
                     atomic_load_explicit(&ring->producer.tail, memory_order_relaxed) + offset);
}

// ring_write_run: how many slots from `offset` on lie next to each other in memory before the ring
// wraps. Producer only.
static inline uint32_t ring_write_run(struct ring *ring, uint32_t offset)
{
    uint64_t tail = atomic_load_explicit(&ring->producer.tail, memory_order_relaxed) + offset;
    return (uint32_t)(ring->constant.mask + 1 - (tail & ring->constant.mask));
}

// ring_commit: publish the next `count` slots, all written; at most what ring_writable said.
// Producer only.
static inline void ring_commit(struct ring *ring, uint32_t count)
{
    uint64_t tail = atomic_load_explicit(&ring->producer.tail, memory_order_relaxed);
    INVARIANT(tail + count - ring->producer.head_cache <= ring->constant.mask + 1);
    // Release pairs with the acquire in ring_readable: the slots' bytes are visible before the
    // index.
    atomic_store_explicit(&ring->producer.tail, tail + count, memory_order_release);
}

// ring_readable: how many slots can be read now; exact only when it is below `wanted`. Consumer
// only.
static inline uint32_t ring_readable(struct ring *ring, uint32_t wanted)
{
    uint64_t head = atomic_load_explicit(&ring->consumer.head, memory_order_relaxed);
    uint64_t ready_count = ring->consumer.tail_cache - head;
    if (ready_count < wanted) {
        // Acquire pairs with the release in ring_commit.
        ring->consumer.tail_cache =
            atomic_load_explicit(&ring->producer.tail, memory_order_acquire);
        ready_count = ring->consumer.tail_cache - head;
    }
    return (uint32_t)ready_count;
}

// ring_read_slot: the slot `offset` places after the last released one; valid while offset is below
// ring_readable(). Consumer only.
static inline const void *ring_read_slot(struct ring *ring, uint32_t offset)
{
    return ring_slot(ring,
                     atomic_load_explicit(&ring->consumer.head, memory_order_relaxed) + offset);
}

// ring_release: give back the oldest `count` slots, all read; at most what ring_readable said.
// Consumer only.
static inline void ring_release(struct ring *ring, uint32_t count)
{
    uint64_t head = atomic_load_explicit(&ring->consumer.head, memory_order_relaxed);
    INVARIANT(count <= ring->consumer.tail_cache - head);
    // Release pairs with the acquire in ring_writable: reads of the slots are done before reuse.
    atomic_store_explicit(&ring->consumer.head, head + count, memory_order_release);
}

#endif
