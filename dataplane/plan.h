// SPDX-License-Identifier: MIT
//
// plan: which thread stands on which core. What the configuration says stays; what it leaves out is
// chosen: port, shard and journal of one interface on the interface's NUMA node, no two of them on
// one physical core, the machine's first core left to everything else.
#ifndef SLUICE_DATAPLANE_PLAN_H
#define SLUICE_DATAPLANE_PLAN_H

#include <stdio.h>

#include "dataplane/config.h"
#include "numa/topology.h"

#define PLAN_THREADS_MAX (CONFIG_PORTS_MAX + 2 * CONFIG_SHARDS_MAX)

struct plan_thread {
    char name[24];    // "port 0", "shard 3", "journal 3"
    int core;         // THREAD_ANY_CORE: none was left, the kernel places it
    int node;         // of the core, or -1
    int near;         // node of the interface it works for, or -1 where that is not known
    bool planned;     // by us; else configured
    char remark[128]; // what is not as it should be, and what mends it; empty: nothing
};

struct plan {
    uint32_t count;
    struct plan_thread threads[PLAN_THREADS_MAX];
};

// plan_cores: place every thread of `config`, and write the cores that were chosen into it, and the
// nodes that ports and shards have their memory on: their thread's, where it has a core. Only
// cores that this process may use are taken where `topology` is this host's (`here`).
void plan_cores(struct config *config, const struct topology *topology, bool here,
                struct plan *plan);

// plan_print: a table of the threads, and the machine node by node with who is where.
void plan_print(const struct plan *plan, const struct topology *topology, FILE *stream);

#endif
