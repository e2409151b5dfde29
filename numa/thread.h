// SPDX-License-Identifier: MIT
//
// Threads on cores.
#ifndef SLUICE_NUMA_THREAD_H
#define SLUICE_NUMA_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "numa/error.h"

#define THREAD_ANY_CORE (-1)

// thread_core_usable: 0 when `core` (0 to 1023) exists and the kernel lets this process choose it,
// else -1 with `error` that names the cores it may use. Isolated cores (isolcpus=) count as usable,
// although no process runs on them unasked. Before threads start.
int thread_core_usable(int core, struct error *error);

// thread_start: run `main(argument)` as a thread called `name` (up to 15 characters, as ps and perf
// show it), pinned to `core` (THREAD_ANY_CORE: on the starting thread's cores). A core that exists
// but cannot be pinned to is a warning, and the thread runs unpinned. 0, or -1 with `error` (no
// such core, no more threads).
int thread_start(pthread_t *thread, const char *name, int core, void *(*main)(void *),
                 void *argument, struct error *error);

// thread_go_first: on a core that others use too, let the calling thread run as soon as it can. One
// that blocks most of its time becomes SCHED_FIFO 1; one that spins (`spins`) takes nice -20,
// because a real-time thread that spins would keep everybody else off the core. Without it, in a
// lab on two shared cores, the median answer at 100,000 orders/s took 5 ms instead of 0.11 ms. 0,
// or -1 with `error` where it is not permitted.
int thread_go_first(bool spins, struct error *error);

// thread_core_count: cores for which thread_core_usable is 0. Before threads start.
int thread_core_count(void);

// thread_core_node: the NUMA node of `core`, 0 where the kernel does not say.
int thread_core_node(int core);

#endif
