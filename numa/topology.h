// SPDX-License-Identifier: MIT
//
// topology: what the machine is made of, as far as placing threads goes: cores (with their SMT
// siblings, packages and NUMA nodes) and the node that each network interface hangs from. By hwloc,
// which also reads other machines' descriptions.
#ifndef SLUICE_NUMA_TOPOLOGY_H
#define SLUICE_NUMA_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "numa/error.h"

#define TOPOLOGY_CPUS_MAX 1024u
#define TOPOLOGY_NICS_MAX 64u
#define TOPOLOGY_NO_NODE  (-1)

// A processor as the kernel numbers them: one of the hardware threads of a core.
struct topology_cpu {
    int id;      // the kernel's number: what "core" means in a configuration
    int core;    // of the physical core, from 0; siblings share it
    int package; // from 0
    int node;    // NUMA node, the kernel's number
};

struct topology_nic {
    char name[16];
    int node; // TOPOLOGY_NO_NODE where the machine has no opinion, or the device is virtual
};

struct topology {
    uint32_t cpu_count, core_count, package_count, node_count, nic_count;
    struct topology_cpu cpus[TOPOLOGY_CPUS_MAX]; // by id
    struct topology_nic nics[TOPOLOGY_NICS_MAX];
};

// topology_load: of this host (source NULL), of an hwloc XML file (lstopo x.xml), or of a synthetic
// description as hwloc has them ("pack:2 node:1 core:4 pu:2"). 0, or -1 with `error`. Before
// threads start.
int topology_load(struct topology *topology, const char *source, struct error *error);

// topology_cpu: by the kernel's number, or NULL.
const struct topology_cpu *topology_cpu(const struct topology *topology, int id);

// topology_nic_node: that an interface hangs from, or TOPOLOGY_NO_NODE.
int topology_nic_node(const struct topology *topology, const char *name);

#endif
