// SPDX-License-Identifier: MIT
//
// A bounded lock-free queue of commands for any number of producers and consumers, after Dmitry
// Vyukov ("Bounded MPMC queue", 1024cores.net): a cell's turn says whose it is. The house has no
// use for it, and measures its ring beside it.
#ifndef SLUICE_BENCH_PEER_QUEUE_H
#define SLUICE_BENCH_PEER_QUEUE_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "book/book.h"

struct queue_cell {
    alignas(128) _Atomic uint64_t turn; // index: may be written; index + 1: may be read
    struct command command;
};

struct queue {
    alignas(128) _Atomic uint64_t tail;
    alignas(128) _Atomic uint64_t head;
    alignas(128) uint64_t mask;
    alignas(128) struct queue_cell cells[];
};

static inline size_t queue_memory_size(uint32_t capacity)
{
    return sizeof(struct queue) + (size_t)capacity * sizeof(struct queue_cell);
}

// queue_init: empty, in 128-byte aligned `memory`; `capacity` is a power of two.
static inline struct queue *queue_init(void *memory, uint32_t capacity)
{
    struct queue *queue = memory;
    atomic_init(&queue->tail, 0);
    atomic_init(&queue->head, 0);
    queue->mask = capacity - 1;
    for (uint32_t i = 0; i < capacity; i++)
        atomic_init(&queue->cells[i].turn, i);
    return queue;
}

// The cell at the end `index` that stands `ahead` of its turn, claimed; NULL when there is none.
// Acquire pairs with the release of whoever had the cell before.
static inline struct queue_cell *queue_claim(struct queue *queue, _Atomic uint64_t *end,
                                             uint64_t ahead, uint64_t *index)
{
    *index = atomic_load_explicit(end, memory_order_relaxed);
    for (;;) {
        struct queue_cell *cell = &queue->cells[*index & queue->mask];
        uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
        int64_t difference = (int64_t)(turn - (*index + ahead));
        if (difference < 0)
            return NULL;
        if (difference > 0)
            *index = atomic_load_explicit(end, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(end, index, *index + 1, memory_order_relaxed,
                                                       memory_order_relaxed))
            return cell;
    }
}

// queue_put / queue_take: false when it is full, or empty.
static inline bool queue_put(struct queue *queue, const struct command *command)
{
    uint64_t index;
    struct queue_cell *cell = queue_claim(queue, &queue->tail, 0, &index);
    if (!cell)
        return false;
    cell->command = *command;
    // Release pairs with the acquire of the consumer's queue_claim: the command is whole.
    atomic_store_explicit(&cell->turn, index + 1, memory_order_release);
    return true;
}

static inline bool queue_take(struct queue *queue, struct command *command)
{
    uint64_t index;
    struct queue_cell *cell = queue_claim(queue, &queue->head, 1, &index);
    if (!cell)
        return false;
    *command = cell->command;
    // Release pairs with the acquire of a later producer's queue_claim: the command is read.
    atomic_store_explicit(&cell->turn, index + queue->mask + 1, memory_order_release);
    return true;
}

// queue_empty: whether what the next take would get is not there yet.
static inline bool queue_empty(struct queue *queue)
{
    uint64_t index = atomic_load_explicit(&queue->head, memory_order_relaxed);
    return atomic_load_explicit(&queue->cells[index & queue->mask].turn, memory_order_acquire) !=
           index + 1;
}

#endif
