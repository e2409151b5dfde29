// SPDX-License-Identifier: MIT
#include "numa/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "numa/bell.h"
#include "numa/deque.h"
#include "numa/invariant.h"
#include "numa/thread.h"

#define IDLE_LOOKS_MAX 200u // at everybody's deque, before a worker sleeps
#define SLEEP_MS       1000

struct worker {
    // Written by this worker only, read by all: each counts up, one writer to a word.
    alignas(128) _Atomic uint64_t submitted_count;
    _Atomic uint64_t completed_count;
    _Atomic uint64_t steal_count;
    uint32_t depth;  // tasks on this worker's stack
    uint32_t victim; // index of the worker stolen from last
    // Written by pool_open only; on a line of their own, because every thief reads them.
    alignas(128) struct deque *deque;
    uint32_t index;
    struct pool *pool;
    pthread_t thread;
    struct bell bell;
};

struct pool {
    alignas(128) _Atomic uint64_t sleepers; // a bit for each worker that sleeps or is about to
    alignas(128) _Atomic bool closing;      // written by the opener
    uint32_t worker_count;
    pthread_t opener;
    struct worker workers[];
};

static_assert(POOL_WORKERS_MAX == 64, "a bit for each in sleepers");

// Of the threads that a pool started; the opener may have opened several.
static _Thread_local struct worker *own;

static void count_up(_Atomic uint64_t *counter)
{
    uint64_t count = atomic_load_explicit(counter, memory_order_relaxed);
    // Release pairs with the acquire in all_done: what the completed task wrote, and counted as
    // submitted, is visible.
    atomic_store_explicit(counter, count + 1, memory_order_release);
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static bool is_opener(const struct worker *worker)
{
    return worker->index == 0;
}

static struct worker *calling_worker(struct pool *pool)
{
    if (own && own->pool == pool)
        return own;
    INVARIANT(pthread_equal(pool->opener, pthread_self()));
    return &pool->workers[0];
}

// Both only grow, and a task counts as submitted before it counts as completed. So when all that
// was completed at one moment equals all that was submitted by a later one, nothing was under way
// in between; and only a task under way, or the opener, who is the one that asks, could submit
// more. The acquires see to it that with each completed task the ones it submitted are counted.
static bool all_done(struct pool *pool)
{
    uint64_t completed_count = 0, submitted_count = 0;
    for (uint32_t i = 0; i < pool->worker_count; i++)
        completed_count +=
            atomic_load_explicit(&pool->workers[i].completed_count, memory_order_acquire);
    for (uint32_t i = 0; i < pool->worker_count; i++)
        submitted_count +=
            atomic_load_explicit(&pool->workers[i].submitted_count, memory_order_acquire);
    return completed_count == submitted_count;
}

static bool all_empty(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->worker_count; i++)
        if (!deque_is_empty(pool->workers[i].deque))
            return false;
    return true;
}

// True: `worker` was in the mask of sleepers, and now is not, and has been rung.
static bool wake(struct pool *pool, struct worker *worker)
{
    uint64_t bit = 1ull << worker->index;
    if (!(atomic_fetch_and(&pool->sleepers, ~bit) & bit))
        return false;
    bell_ring(&worker->bell);
    return true;
}

// Each task wakes one more worker, as long as some sleep. A worker sleeps only once it has seen
// all deques empty, so no task waits while one sleeps that was not woken for another.
static void wake_one(struct pool *pool, uint64_t sleepers)
{
    while (sleepers) {
        if (wake(pool, &pool->workers[__builtin_ctzll(sleepers)]))
            return;
        sleepers = atomic_load(&pool->sleepers);
    }
}

static void run_task(struct worker *worker, struct task task)
{
    worker->depth++;
    task.run(worker->pool, task.argument);
    worker->depth--;
    count_up(&worker->completed_count);
}

void pool_submit(struct pool *pool, pool_task_fn *run, void *argument)
{
    struct worker *worker = calling_worker(pool);
    struct task task = {.run = run, .argument = argument};
    count_up(&worker->submitted_count);
    if (unlikely(!deque_push(worker->deque, task))) {
        run_task(worker, task);
        return;
    }
    // After the push, and both seq_cst: pairs with sleep_for_work.
    uint64_t sleepers = atomic_load(&pool->sleepers);
    if (unlikely(sleepers))
        wake_one(pool, sleepers);
}

// The victim that had something last has something still, more often than not.
static bool steal_task(struct worker *worker, struct task *task)
{
    struct pool *pool = worker->pool;
    for (uint32_t i = 0; i < pool->worker_count; i++) {
        uint32_t victim = (worker->victim + i) % pool->worker_count;
        if (victim == worker->index)
            continue;
        enum deque_steal result;
        do
            result = deque_steal(pool->workers[victim].deque, task);
        while (result == DEQUE_LOST); // to somebody who got on
        if (result == DEQUE_STOLEN) {
            worker->victim = victim;
            count_up(&worker->steal_count);
            return true;
        }
    }
    return false;
}

static bool is_over(struct worker *worker)
{
    return is_opener(worker) ? all_done(worker->pool) : atomic_load(&worker->pool->closing);
}

// Announce, look once more, sleep. Whoever pushes a task or closes the pool does it in the other
// order, so one of the two sees the other.
//
// The end of the last task has to wake the opener, who may be asleep. The worker that ran it comes
// here next, and the swaps of `sleepers` follow one upon the other: the last worker of all to
// announce itself sees what all have completed. That is the opener, or one who finds it asleep.
static void sleep_for_work(struct worker *worker)
{
    struct pool *pool = worker->pool;
    uint64_t bit = 1ull << worker->index;
    bell_doze(&worker->bell);
    uint64_t sleepers = atomic_fetch_or(&pool->sleepers, bit);
    if ((sleepers & 1) && all_done(pool))
        wake(pool, &pool->workers[0]);
    if (all_empty(pool) && !is_over(worker))
        bell_wait(&worker->bell, SLEEP_MS);
    else
        bell_wake(&worker->bell);
    // Before the next look for work: nobody wakes us from here on.
    atomic_fetch_and(&pool->sleepers, ~bit);
}

static void work(struct worker *worker)
{
    uint32_t idle_look_count = 0;
    while (true) {
        struct task task;
        if (deque_take(worker->deque, &task) || steal_task(worker, &task)) {
            run_task(worker, task);
            idle_look_count = 0;
        } else if (is_over(worker)) {
            return;
        } else if (idle_look_count++ < IDLE_LOOKS_MAX) {
            pause_briefly();
        } else {
            sleep_for_work(worker);
            idle_look_count = 0;
        }
    }
}

static void *worker_main(void *argument)
{
    own = argument;
    work(own);
    return NULL;
}

void pool_run(struct pool *pool)
{
    struct worker *worker = &pool->workers[0];
    INVARIANT(pthread_equal(pool->opener, pthread_self()) && worker->depth == 0);
    work(worker);
}

// The first `started_count` have threads, the first `opened_count` have bells.
static void give_up(struct pool *pool, uint32_t opened_count, uint32_t started_count)
{
    atomic_store(&pool->closing, true);
    for (uint32_t i = 1; i < started_count; i++)
        wake(pool, &pool->workers[i]);
    for (uint32_t i = 1; i < started_count; i++)
        pthread_join(pool->workers[i].thread, NULL);
    for (uint32_t i = 0; i < opened_count; i++)
        bell_close(&pool->workers[i].bell);
    for (uint32_t i = 0; i < pool->worker_count; i++)
        free(pool->workers[i].deque);
    free(pool);
}

void pool_close(struct pool *pool)
{
    pool_run(pool);
    give_up(pool, pool->worker_count, pool->worker_count);
}

// The opener's, not the process's: where it was pinned, the threads it starts are too.
static uint32_t opener_core_count(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
        return 1;
    uint32_t count = (uint32_t)CPU_COUNT(&cores);
    return count < POOL_WORKERS_MAX ? count : POOL_WORKERS_MAX;
}

// All but bells and threads. NULL: no memory.
static struct pool *allocate(uint32_t worker_count)
{
    struct pool *pool =
        aligned_alloc(alignof(struct pool), sizeof(*pool) + worker_count * sizeof(struct worker));
    if (!pool)
        return NULL;
    atomic_init(&pool->sleepers, 0);
    atomic_init(&pool->closing, false);
    pool->worker_count = worker_count;
    pool->opener = pthread_self();
    bool complete = true;
    for (uint32_t i = 0; i < worker_count; i++) {
        struct worker *worker = &pool->workers[i];
        void *memory = aligned_alloc(128, deque_memory_size(POOL_DEQUE_CAPACITY));
        *worker = (struct worker){.index = i, .pool = pool, .victim = (i + 1) % worker_count};
        worker->deque = memory ? deque_init(memory, POOL_DEQUE_CAPACITY) : NULL;
        complete = complete && memory;
    }
    if (complete)
        return pool;
    give_up(pool, 0, 0);
    return NULL;
}

struct pool *pool_open(uint32_t workers, struct error *error)
{
    if (workers > POOL_WORKERS_MAX) {
        error_set(error, "pool: %u workers; choose at most %u", workers, POOL_WORKERS_MAX);
        return NULL;
    }
    struct pool *pool = allocate(workers ? workers : opener_core_count());
    if (!pool) {
        error_set(error, "pool: no memory for its deques; free some, or choose fewer workers");
        return NULL;
    }
    for (uint32_t i = 0; i < pool->worker_count; i++)
        if (bell_open(&pool->workers[i].bell, error) != 0) {
            give_up(pool, i, 0);
            return NULL;
        }
    // Not pinned: a worker with a task must be able to leave a core on which a spinning thread goes
    // first (thread_go_first). Where other work keeps all cores busy, the kernel may for some
    // milliseconds leave a woken worker on the core of the one that woke it.
    for (uint32_t i = 1; i < pool->worker_count; i++) {
        struct worker *worker = &pool->workers[i];
        char name[16];
        snprintf(name, sizeof(name), "pool-%u", i);
        if (thread_start(&worker->thread, name, THREAD_ANY_CORE, worker_main, worker, error) != 0) {
            give_up(pool, pool->worker_count, i);
            return NULL;
        }
    }
    return pool;
}

uint32_t pool_worker_count(const struct pool *pool)
{
    return pool->worker_count;
}

uint64_t pool_steal_count(const struct pool *pool)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < pool->worker_count; i++)
        count += atomic_load_explicit(&pool->workers[i].steal_count, memory_order_relaxed);
    return count;
}
