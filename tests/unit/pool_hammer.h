// SPDX-License-Identifier: MIT
//
// Threads that race for the tasks of a deque, and random trees of tasks through a pool: for the
// unit test, and for bench_pool --check, which starts under the thread sanitizer where Criterion
// does not.
#ifndef SLUICE_TESTS_UNIT_POOL_HAMMER_H
#define SLUICE_TESTS_UNIT_POOL_HAMMER_H

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "numa/deque.h"
#include "numa/invariant.h"
#include "numa/pool.h"
#include "numa/thread.h"
#include "tests/unit/random.h"

#define HAMMER_THIEVES_MAX 8u

// hammer_open_deque: empty, with indices that have already run as far as `start`. The caller frees
// it.
static inline struct deque *hammer_open_deque(uint32_t capacity, uint64_t start)
{
    void *memory = aligned_alloc(128, deque_memory_size(capacity));
    INVARIANT(memory);
    struct deque *deque = deque_init(memory, capacity);
    atomic_store(&deque->owner.bottom, start);
    atomic_store(&deque->thieves.top, start);
    deque->owner.top_cache = start;
    return deque;
}

// A task that is only a number, from 0.
static inline struct task hammer_numbered(uint64_t number)
{
    return (struct task){.argument = (void *)(uintptr_t)number};
}

static inline uint64_t hammer_number(struct task task)
{
    return (uint64_t)(uintptr_t)task.argument;
}

struct hammer_deque {
    uint32_t capacity;
    uint32_t thief_count;
    uint32_t burst_max; // the owner pushes up to so many, then takes up to so many; 1: all races
                        // are for the last one
    uint32_t item_count;
    uint64_t start; // of the indices

    uint64_t taken_count;  // result: by the owner
    uint64_t stolen_count; // result: by thieves
    uint64_t lost_count;   // result: races that a thief lost

    struct deque *deque;
    _Atomic uint8_t *times; // each item was taken
    uint64_t *written;      // by the owner before the push, not atomic: must be visible to thieves
    _Atomic uint64_t wrong_count;
    _Atomic uint64_t stolen, lost;
    _Atomic uint32_t ready_count; // threads that have begun
    _Atomic bool finished;        // the owner pushes no more
};

static inline void hammer_mark(struct hammer_deque *hammer, struct task task)
{
    uint64_t number = hammer_number(task);
    if (number >= hammer->item_count || hammer->written[number] != number * 3 + 1) {
        atomic_fetch_add(&hammer->wrong_count, 1);
        return;
    }
    atomic_fetch_add_explicit(&hammer->times[number], 1, memory_order_relaxed);
}

static inline void hammer_idle(uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        __asm__ volatile("" ::: "memory");
}

static inline void hammer_meet(struct hammer_deque *hammer)
{
    atomic_fetch_add(&hammer->ready_count, 1);
    while (atomic_load(&hammer->ready_count) < hammer->thief_count + 1)
        sched_yield();
}

static inline void *hammer_steal(void *argument)
{
    struct hammer_deque *hammer = argument;
    uint64_t stolen_count = 0, lost_count = 0;
    hammer_meet(hammer);
    while (true) {
        bool finished = atomic_load(&hammer->finished);
        struct task task;
        enum deque_steal result = deque_steal(hammer->deque, &task);
        if (result == DEQUE_STOLEN) {
            hammer_mark(hammer, task);
            stolen_count++;
        } else if (result == DEQUE_LOST) {
            lost_count++;
        } else if (finished) {
            break;
        }
    }
    atomic_fetch_add(&hammer->stolen, stolen_count);
    atomic_fetch_add(&hammer->lost, lost_count);
    return NULL;
}

// Bursts and pauses of random length, so that owner and thieves meet in every step of each other.
static inline void *hammer_own(void *argument)
{
    struct hammer_deque *hammer = argument;
    hammer_meet(hammer);
    struct random random = {hammer->item_count ^ hammer->start};
    struct task task;
    for (uint32_t next = 0; next < hammer->item_count;) {
        uint32_t pushes = 1 + random_below(&random, hammer->burst_max);
        for (; pushes > 0 && next < hammer->item_count; pushes--, next++) {
            hammer->written[next] = (uint64_t)next * 3 + 1;
            if (!deque_push(hammer->deque, hammer_numbered(next)))
                break;
        }
        hammer_idle(random_below(&random, 60));
        uint32_t takes = 1 + random_below(&random, hammer->burst_max);
        for (; takes > 0 && deque_take(hammer->deque, &task); takes--) {
            hammer_mark(hammer, task);
            hammer->taken_count++;
        }
    }
    while (deque_take(hammer->deque, &task)) {
        hammer_mark(hammer, task);
        hammer->taken_count++;
    }
    atomic_store(&hammer->finished, true);
    return NULL;
}

// Left to itself the scheduler puts all on one core, where they never race: the owner gets core 0
// for itself and the thieves share the others, as far as there are such.
static inline pthread_t hammer_start(struct hammer_deque *hammer, bool owns, uint32_t number)
{
    int core = owns ? 0 : 1 + (int)number;
    while (core > 1 && thread_core_usable(core, NULL) != 0)
        core--;
    bool apart = thread_core_usable(0, NULL) == 0 && thread_core_usable(1, NULL) == 0;
    pthread_t thread;
    INVARIANT(thread_start(&thread, owns ? "owner" : "thief", apart ? core : THREAD_ANY_CORE,
                           owns ? hammer_own : hammer_steal, hammer, NULL) == 0);
    return thread;
}

// hammer_deque: `item_count` items through a deque with an owner and `thief_count` (to
// HAMMER_THIEVES_MAX) thieves. Returns how many items were not taken exactly once, or not whole.
static inline uint64_t hammer_deque(struct hammer_deque *hammer)
{
    pthread_t thieves[HAMMER_THIEVES_MAX];
    hammer->deque = hammer_open_deque(hammer->capacity, hammer->start);
    hammer->times = calloc(hammer->item_count, sizeof(*hammer->times));
    hammer->written = calloc(hammer->item_count, sizeof(*hammer->written));
    INVARIANT(hammer->times && hammer->written && hammer->thief_count <= HAMMER_THIEVES_MAX);
    for (uint32_t i = 0; i < hammer->thief_count; i++)
        thieves[i] = hammer_start(hammer, false, i);
    pthread_join(hammer_start(hammer, true, 0), NULL);
    for (uint32_t i = 0; i < hammer->thief_count; i++)
        pthread_join(thieves[i], NULL);
    uint64_t fault_count = atomic_load(&hammer->wrong_count);
    for (uint32_t i = 0; i < hammer->item_count; i++)
        fault_count += atomic_load(&hammer->times[i]) != 1;
    hammer->stolen_count = atomic_load(&hammer->stolen);
    hammer->lost_count = atomic_load(&hammer->lost);
    free(hammer->deque);
    free(hammer->times);
    free(hammer->written);
    return fault_count;
}

struct hammer_node {
    struct hammer_tree *tree;
    uint32_t parent;
    uint32_t first_child;
    uint32_t child_count;
    _Atomic uint32_t times; // it ran
    uint64_t value;         // not atomic: must travel from parent to child, and to the opener
};

struct hammer_tree {
    uint32_t node_count;
    struct hammer_node *nodes;
};

static inline uint64_t hammer_value(uint64_t parent_value, uint32_t node)
{
    return (parent_value ^ node) * 0x9E3779B97F4A7C15ull + 1;
}

static inline void hammer_run_node(struct pool *pool, void *argument)
{
    struct hammer_node *node = argument;
    struct hammer_tree *tree = node->tree;
    uint32_t index = (uint32_t)(node - tree->nodes);
    atomic_fetch_add_explicit(&node->times, 1, memory_order_relaxed);
    node->value = hammer_value(index ? tree->nodes[node->parent].value : 0, index);
    for (uint32_t i = 0; i < node->child_count; i++)
        pool_submit(pool, hammer_run_node, &tree->nodes[node->first_child + i]);
}

// Most nodes have no child or one, a few have many.
static inline uint32_t hammer_child_count(struct random *random)
{
    uint32_t kind = random_below(random, 100);
    return kind < 40 ? 0 : kind < 90 ? 1 : kind < 99 ? 4 : random_below(random, 100);
}

static inline void hammer_grow(struct hammer_tree *tree, uint32_t node_count, struct random *random)
{
    tree->node_count = node_count;
    uint32_t known_count = 1;
    for (uint32_t i = 0; i < node_count; i++) {
        struct hammer_node *node = &tree->nodes[i];
        uint32_t child_count = hammer_child_count(random);
        if (child_count == 0 && known_count == i + 1)
            child_count = 1; // or the tree would end here
        if (child_count > node_count - known_count)
            child_count = node_count - known_count;
        node->tree = tree;
        node->first_child = known_count;
        node->child_count = child_count;
        for (uint32_t j = 0; j < child_count; j++)
            tree->nodes[known_count + j].parent = i;
        known_count += child_count;
        atomic_store_explicit(&node->times, 0, memory_order_relaxed);
        node->value = 0;
    }
}

static inline uint64_t hammer_tree_faults(const struct hammer_tree *tree)
{
    uint64_t fault_count = 0, *expected = calloc(tree->node_count, sizeof(*expected));
    INVARIANT(expected);
    for (uint32_t i = 0; i < tree->node_count; i++) {
        const struct hammer_node *node = &tree->nodes[i];
        expected[i] = hammer_value(i ? expected[node->parent] : 0, i);
        fault_count += atomic_load_explicit(&node->times, memory_order_relaxed) != 1 ||
                       node->value != expected[i];
    }
    free(expected);
    return fault_count;
}

// hammer_pool: `rounds` random trees of 1 to `node_count_max` tasks through the pool, one pool_run
// each. Returns how many tasks did not run exactly once, or whose result was not there afterwards.
static inline uint64_t hammer_pool(struct pool *pool, uint32_t rounds, uint32_t node_count_max,
                                   uint64_t seed)
{
    struct random random = {seed};
    struct hammer_tree tree = {.nodes = calloc(node_count_max, sizeof(*tree.nodes))};
    uint64_t fault_count = 0;
    INVARIANT(tree.nodes);
    for (uint32_t i = 0; i < rounds; i++) {
        hammer_grow(&tree, 1 + random_below(&random, node_count_max), &random);
        pool_submit(pool, hammer_run_node, &tree.nodes[0]);
        pool_run(pool);
        fault_count += hammer_tree_faults(&tree);
    }
    free(tree.nodes);
    return fault_count;
}

#endif
