// SPDX-License-Identifier: MIT
//
// plan: which thread stands on which core, and where the interrupts of the ports' queues go. What
// the configuration says stays; what it leaves out is chosen: port, shard and journal of one
// interface on the interface's NUMA node, no two of them on one physical core, the machine's first
// core left to everything else; interrupts on that node too, beside the threads, but for queues
// that their port polls (poll = "busy"), whose few interrupts are its own.
#ifndef SLUICE_DATAPLANE_PLAN_H
#define SLUICE_DATAPLANE_PLAN_H

#include <stdio.h>

#include "dataplane/config.h"
#include "numa/topology.h"

#define PLAN_THREADS_MAX    (CONFIG_PORTS_MAX + 2 * CONFIG_SHARDS_MAX)
#define PLAN_INTERRUPTS_MAX (CONFIG_PORTS_MAX * CONFIG_QUEUES_MAX)

enum plan_kind { PLAN_PORT, PLAN_SHARD, PLAN_JOURNAL };

struct plan_thread {
    enum plan_kind kind;
    char name[24];    // "port 0", "shard 3", "journal 3"
    int core;         // THREAD_ANY_CORE: none was left, the kernel places it
    int node;         // of the core, or -1
    int near;         // node of the interface it works for, or -1 where that is not known
    bool planned;     // by us; else configured
    char remark[128]; // what is not as it should be, and what mends it; empty: nothing
};

enum plan_interrupt_state {
    PLAN_INTERRUPT_UNKNOWN, // nobody looked
    PLAN_INTERRUPT_NONE,    // the interface has none for the queue
    PLAN_INTERRUPT_FOUND,
};

// The interrupt of one queue of an AF_XDP port.
struct plan_interrupt {
    char name[24]; // "eth1 q3"
    uint32_t port, queue;
    int core; // where it is to go; THREAD_ANY_CORE: wherever the kernel likes
    int node; // of that core, or -1
    enum plan_interrupt_state state;
    int now;          // the core that it goes to now, or THREAD_ANY_CORE
    char remark[128]; // as for threads
};

struct plan {
    uint32_t count;
    struct plan_thread threads[PLAN_THREADS_MAX];
    uint32_t interrupt_count;
    struct plan_interrupt interrupts[PLAN_INTERRUPTS_MAX];
};

// plan_cores: place every thread of `config`, and write the cores that were chosen into it, and the
// nodes that ports and shards have their memory on: their thread's, where it has a core. Only
// cores that this process may use are taken where `topology` is this host's (`here`).
void plan_cores(struct config *config, const struct topology *topology, bool here,
                struct plan *plan);

// plan_interrupts_now: see where the planned interrupts go at present, by the files below
// `root`/proc and `root`/sys (""), and remark on those that go to another node than planned.
void plan_interrupts_now(struct plan *plan, const struct config *config,
                         const struct topology *topology, const char *root);

// plan_huge_pages: pages of 2 MiB that ports and shards of `node` (ARENA_ANY_NODE: of none) take,
// once the threads are placed.
uint64_t plan_huge_pages(const struct config *config, int node);

// plan_print: a table of the threads and interrupts, and the machine node by node with who is
// where.
void plan_print(const struct plan *plan, const struct topology *topology, FILE *stream);

#endif
