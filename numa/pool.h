// SPDX-License-Identifier: MIT
//
// pool: work that does not hang together (the CRCs of a log's pieces, the shards of a recovery)
// spread over several threads.
//
// Each worker has a deque of its own (numa/deque.h): it puts what its tasks submit at one end and
// takes from there, newest first; a worker that has nothing steals the oldest from another's far
// end. One that finds nothing to steal looks for some microseconds more and then sleeps. Which
// worker runs which task, and in which order, is left to chance: what tasks compute must not depend
// on it. Not for the way of an order: threads of its own on cores of their own go that way.
#ifndef SLUICE_NUMA_POOL_H
#define SLUICE_NUMA_POOL_H

#include <stdint.h>

#include "numa/error.h"

#define POOL_WORKERS_MAX    64u
#define POOL_DEQUE_CAPACITY 4096u // tasks that wait at one worker

struct pool;

// A task. It may submit others, and may not call pool_run or pool_close. It sees all that was
// written before it was submitted. It should not wait for another task, which may be next on its
// own worker. It should be worth some microseconds: on two x86 cores tasks of 100 ns that are
// submitted one by one and stolen one by one take longer than one thread alone would (and scale as
// long ones do where tasks submit them to their own workers; tests/bench/bench_pool.c).
typedef void pool_task_fn(struct pool *pool, void *argument);

// pool_open: a pool of `workers` (1 to POOL_WORKERS_MAX). The calling thread, the opener, counts as
// one of them and works while it is in pool_run; the others are started here, on the opener's
// cores. 0: one for each core that the opener may run on. Takes one descriptor and 64 KiB for each
// worker. NULL with `error`: too many workers, no memory, no descriptor or no thread left.
struct pool *pool_open(uint32_t workers, struct error *error);

// pool_submit: have `run(pool, argument)` called once, by some worker, from now on. The argument
// stays the caller's and must live until then. Where POOL_DEQUE_CAPACITY tasks wait already, the
// task is run here, before pool_submit returns: tasks that submit tasks then nest on the stack, one
// level for each level of submission. Opener, or a task of this pool.
void pool_submit(struct pool *pool, pool_task_fn *run, void *argument);

// pool_run: work until every task submitted so far, and every task that those submitted, is done.
// What they wrote is visible then. Opener, not from a task.
void pool_run(struct pool *pool);

// pool_close: pool_run, then end the threads and free everything. Opener, not from a task.
void pool_close(struct pool *pool);

// pool_worker_count: with the opener. Any thread.
uint32_t pool_worker_count(const struct pool *pool);

// pool_steal_count: tasks that another worker ran than the one that submitted them, since
// pool_open. Any thread; exact when no task is left.
uint64_t pool_steal_count(const struct pool *pool);

#endif
