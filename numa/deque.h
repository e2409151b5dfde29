// SPDX-License-Identifier: MIT
//
// deque: tasks of one worker, at whose bottom the worker, the owner, pushes and takes while others,
// the thieves, steal at the top. Private to the pool and its tests.
//
// David Chase, Yossi Lev, "Dynamic Circular Work-Stealing Deque", SPAA 2005, with a fixed capacity.
// The owner and the thieves only ever race for the last task, and a compare-and-swap of `top`
// decides that. The paper assumes sequential consistency; Lê, Pop, Cohen, Zappa Nardelli, "Correct
// and Efficient Work-Stealing for Weak Memory Models", PPoPP 2013, get it by fences between
// `bottom` and `top`. Here the operations between which their fences stand are seq_cst themselves,
// which asks the same of the processor (x86: one locked instruction in deque_take, none in
// deque_steal but the swap) and can be followed by the thread sanitizer. deque_push is stronger
// than theirs for the sake of the pool's sleepers.
//
// Indices run freely and are masked on access. `bottom - top` is -1 for a moment in deque_take,
// hence the signed differences.
#ifndef SLUICE_NUMA_DEQUE_H
#define SLUICE_NUMA_DEQUE_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numa/invariant.h"
#include "numa/pool.h"

#define DEQUE_CAPACITY_MAX (1u << 26)

struct task {
    pool_task_fn *run;
    void *argument;
};

// A thief may read a slot while the owner writes the next task there. It then loses the swap and
// drops what it read, but the words have to be atomic for the read to mean anything.
struct deque_slot {
    _Atomic(pool_task_fn *) run;
    _Atomic(void *) argument;
};

struct deque {
    struct { // written by the owner only
        alignas(128) _Atomic uint64_t bottom;
        uint64_t top_cache; // at most top
    } owner;
    struct { // moved on by whoever gets the oldest task
        alignas(128) _Atomic uint64_t top;
    } thieves;
    struct { // written by deque_init only
        alignas(128) uint64_t mask;
    } constant;
    alignas(128) struct deque_slot slots[];
};

static_assert(sizeof(struct deque) == 384,
              "each index and the constants on 128 bytes of their own");
static_assert(sizeof(struct deque_slot) == 16, "four tasks to a cache line");

enum deque_steal {
    DEQUE_EMPTY,  // nothing to steal
    DEQUE_LOST,   // somebody else got the task: there may be more
    DEQUE_STOLEN, // the task is the caller's
};

// deque_memory_size: bytes deque_init needs for `capacity` tasks (a power of two from 8, so that
// they are a multiple of 128).
static inline size_t deque_memory_size(uint32_t capacity)
{
    return sizeof(struct deque) + (size_t)capacity * sizeof(struct deque_slot);
}

// deque_init: an empty deque in `memory`, which is 128-byte aligned, holds
// deque_memory_size(capacity) bytes and stays the caller's. Before the others know of it.
static inline struct deque *deque_init(void *memory, uint32_t capacity)
{
    INVARIANT(capacity >= 8 && capacity <= DEQUE_CAPACITY_MAX && !(capacity & (capacity - 1)));
    INVARIANT(((uintptr_t)memory & 127) == 0);
    struct deque *deque = memory;
    atomic_init(&deque->owner.bottom, 0);
    deque->owner.top_cache = 0;
    atomic_init(&deque->thieves.top, 0);
    deque->constant.mask = capacity - 1;
    for (uint32_t i = 0; i < capacity; i++) {
        atomic_init(&deque->slots[i].run, NULL);
        atomic_init(&deque->slots[i].argument, NULL);
    }
    return deque;
}

static inline struct task deque_read(struct deque *deque, uint64_t index)
{
    struct deque_slot *slot = &deque->slots[index & deque->constant.mask];
    return (struct task){
        .run = atomic_load_explicit(&slot->run, memory_order_relaxed),
        .argument = atomic_load_explicit(&slot->argument, memory_order_relaxed),
    };
}

// deque_push: false, and nothing done, when the deque is full. Owner only.
static inline bool deque_push(struct deque *deque, struct task task)
{
    uint64_t bottom = atomic_load_explicit(&deque->owner.bottom, memory_order_relaxed);
    if (bottom - deque->owner.top_cache > deque->constant.mask) {
        // Acquire pairs with the swap in deque_steal: the thief has read the slot.
        deque->owner.top_cache = atomic_load_explicit(&deque->thieves.top, memory_order_acquire);
        if (bottom - deque->owner.top_cache > deque->constant.mask)
            return false;
    }
    struct deque_slot *slot = &deque->slots[bottom & deque->constant.mask];
    atomic_store_explicit(&slot->run, task.run, memory_order_relaxed);
    atomic_store_explicit(&slot->argument, task.argument, memory_order_relaxed);
    // Pairs with the load in deque_steal: the slot, and all that the task will look at, is visible
    // before the index. Seq_cst, so that the pusher's next look whether anybody sleeps comes after
    // it: of the pusher and a thread that says it sleeps and then calls deque_is_empty, one sees
    // the other.
    atomic_store_explicit(&deque->owner.bottom, bottom + 1, memory_order_seq_cst);
    return true;
}

// deque_take: the newest task; false when there is none. Owner only.
static inline bool deque_take(struct deque *deque, struct task *task)
{
    uint64_t bottom = atomic_load_explicit(&deque->owner.bottom, memory_order_relaxed);
    // `top` never passes `bottom` but in here, so even an old value of it tells an empty deque.
    if (atomic_load_explicit(&deque->thieves.top, memory_order_relaxed) == bottom)
        return false;
    uint64_t last = bottom - 1;
    // Store, then load, both seq_cst, and a thief loads `top`, then `bottom`: a thief that still
    // sees the old `bottom` has a `top` that is not beyond ours, and needs the swap to get it on.
    atomic_store_explicit(&deque->owner.bottom, last, memory_order_seq_cst);
    uint64_t top = atomic_load_explicit(&deque->thieves.top, memory_order_seq_cst);
    if ((int64_t)(last - top) > 0) {
        *task = deque_read(deque, last);
        return true;
    }
    bool won = top == last &&
               atomic_compare_exchange_strong_explicit(&deque->thieves.top, &top, top + 1,
                                                       memory_order_seq_cst, memory_order_relaxed);
    if (won)
        *task = deque_read(deque, last);
    // Empty either way. Release: a thief that reads this value must see the slots as one that reads
    // what deque_push wrote.
    atomic_store_explicit(&deque->owner.bottom, bottom, memory_order_release);
    return won;
}

// deque_steal: the oldest task, to `task` when DEQUE_STOLEN. Any thread.
static inline enum deque_steal deque_steal(struct deque *deque, struct task *task)
{
    uint64_t top = atomic_load_explicit(&deque->thieves.top, memory_order_seq_cst);
    // Pairs with the store in deque_push.
    uint64_t bottom = atomic_load_explicit(&deque->owner.bottom, memory_order_seq_cst);
    if ((int64_t)(bottom - top) <= 0)
        return DEQUE_EMPTY;
    struct task oldest = deque_read(deque, top);
    // Pairs with the load in deque_push: we have read the slot before the owner uses it again.
    if (!atomic_compare_exchange_strong_explicit(&deque->thieves.top, &top, top + 1,
                                                 memory_order_seq_cst, memory_order_relaxed))
        return DEQUE_LOST;
    *task = oldest;
    return DEQUE_STOLEN;
}

// deque_is_empty: whether a thief would find nothing. Any thread.
static inline bool deque_is_empty(struct deque *deque)
{
    uint64_t top = atomic_load_explicit(&deque->thieves.top, memory_order_seq_cst);
    uint64_t bottom = atomic_load_explicit(&deque->owner.bottom, memory_order_seq_cst);
    return (int64_t)(bottom - top) <= 0;
}

#endif
