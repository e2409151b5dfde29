// SPDX-License-Identifier: MIT
#include "numa/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int by_id(const void *a, const void *b)
{
    return ((const struct topology_cpu *)a)->id - ((const struct topology_cpu *)b)->id;
}

static int node_of(hwloc_obj_t object)
{
    return object->nodeset ? hwloc_bitmap_first(object->nodeset) : -1;
}

static int ancestor_index(hwloc_topology_t machine, hwloc_obj_type_t type, hwloc_obj_t object)
{
    hwloc_obj_t found = hwloc_get_ancestor_obj_by_type(machine, type, object);
    return found ? (int)found->logical_index : 0;
}

static void read_cpus(struct topology *topology, hwloc_topology_t machine)
{
    for (hwloc_obj_t cpu = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_PU, NULL);
         cpu && topology->cpu_count < TOPOLOGY_CPUS_MAX;
         cpu = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_PU, cpu)) {
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(machine, HWLOC_OBJ_CORE, cpu);
        topology->cpus[topology->cpu_count++] = (struct topology_cpu){
            .id = (int)cpu->os_index,
            .core = (int)(core ? core->logical_index : cpu->logical_index),
            .package = ancestor_index(machine, HWLOC_OBJ_PACKAGE, cpu),
            .node = node_of(cpu) < 0 ? 0 : node_of(cpu),
        };
    }
    qsort(topology->cpus, topology->cpu_count, sizeof(topology->cpus[0]), by_id);
    int cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE);
    int packages = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_PACKAGE);
    int nodes = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_NUMANODE);
    topology->core_count = cores > 0 ? (uint32_t)cores : topology->cpu_count;
    topology->package_count = packages > 0 ? (uint32_t)packages : 1;
    topology->node_count = nodes > 0 ? (uint32_t)nodes : 1;
}

// A virtio NIC hides what it hangs from: its PCI parent knows, and hwloc walks up to it.
static void read_nics(struct topology *topology, hwloc_topology_t machine)
{
    for (hwloc_obj_t device = hwloc_get_next_osdev(machine, NULL);
         device && topology->nic_count < TOPOLOGY_NICS_MAX;
         device = hwloc_get_next_osdev(machine, device)) {
        if (device->attr->osdev.type != HWLOC_OBJ_OSDEV_NETWORK || !device->name)
            continue;
        hwloc_obj_t parent = hwloc_get_non_io_ancestor_obj(machine, device);
        bool near_all = !parent || !parent->nodeset || hwloc_bitmap_weight(parent->nodeset) != 1;
        struct topology_nic *nic = &topology->nics[topology->nic_count++];
        snprintf(nic->name, sizeof(nic->name), "%s", device->name);
        nic->node = near_all && topology->node_count > 1 ? TOPOLOGY_NO_NODE
                    : near_all                           ? 0
                                                         : hwloc_bitmap_first(parent->nodeset);
    }
}

static int open_machine(hwloc_topology_t machine, const char *source, struct error *error)
{
    size_t length = source ? strlen(source) : 0;
    bool xml = length > 4 && strcmp(source + length - 4, ".xml") == 0;
    if (source && (xml ? hwloc_topology_set_xml(machine, source)
                       : hwloc_topology_set_synthetic(machine, source)) != 0)
        return error_set(error,
                         "\"%s\" is not a topology that hwloc understands: give an XML file "
                         "of lstopo, or a description as in \"pack:2 node:1 core:4 pu:2\"",
                         source);
    // Cores outside this process's cpuset too: others run there, and what stands where stays the
    // same for those who look from outside.
    hwloc_topology_set_flags(machine, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    hwloc_topology_set_io_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    if (hwloc_topology_load(machine) != 0)
        return error_set(error, "hwloc cannot read the topology of %s: %s",
                         source ? source : "this host", strerror(errno));
    return 0;
}

int topology_load(struct topology *topology, const char *source, struct error *error)
{
    hwloc_topology_t machine;
    memset(topology, 0, sizeof(*topology));
    if (hwloc_topology_init(&machine) != 0)
        return error_set(error, "no memory for the machine's topology");
    int result = open_machine(machine, source, error);
    if (result == 0) {
        read_cpus(topology, machine);
        read_nics(topology, machine);
    }
    hwloc_topology_destroy(machine);
    if (result == 0 && topology->cpu_count == 0)
        return error_set(error, "the topology of %s has no processors",
                         source ? source : "this host");
    return result;
}

const struct topology_cpu *topology_cpu(const struct topology *topology, int id)
{
    struct topology_cpu key = {.id = id};
    return bsearch(&key, topology->cpus, topology->cpu_count, sizeof(key), by_id);
}

int topology_nic_node(const struct topology *topology, const char *name)
{
    for (uint32_t i = 0; i < topology->nic_count; i++)
        if (strcmp(topology->nics[i].name, name) == 0)
            return topology->nics[i].node;
    return TOPOLOGY_NO_NODE;
}
