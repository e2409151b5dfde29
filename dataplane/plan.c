// SPDX-License-Identifier: MIT
#include "dataplane/plan.h"

#include <stdarg.h>
#include <string.h>

#include "numa/arena.h"
#include "numa/thread.h"

#define CORES_MAX TOPOLOGY_CPUS_MAX

struct planning {
    const struct topology *topology;
    struct plan *plan;
    bool here;
    uint8_t taken[CORES_MAX]; // threads on each physical core
};

static bool usable(const struct planning *planning, const struct topology_cpu *cpu)
{
    return !planning->here || thread_core_usable(cpu->id, NULL) == 0;
}

// The first processor of a physical core on `node` (-1: any) that nobody has, or NULL. The very
// first core is the kernel's and everybody else's, unless there are no more than two.
static const struct topology_cpu *free_cpu(const struct planning *planning, int node)
{
    const struct topology *topology = planning->topology;
    int housekeeping = topology->core_count > 2 ? topology->cpus[0].core : -1;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const struct topology_cpu *cpu = &topology->cpus[i];
        if (cpu->core != housekeeping && planning->taken[cpu->core] == 0 &&
            (node < 0 || cpu->node == node) && usable(planning, cpu))
            return cpu;
    }
    return NULL;
}

__attribute__((format(printf, 2, 3))) static void remark(struct plan_thread *thread,
                                                         const char *format, ...)
{
    va_list arguments;
    if (thread->remark[0])
        return; // the first is the weightiest
    va_start(arguments, format);
    vsnprintf(thread->remark, sizeof(thread->remark), format, arguments);
    va_end(arguments);
}

static struct plan_thread *add_thread(struct planning *planning, const char *kind, uint32_t number,
                                      int core, int near)
{
    struct plan_thread *thread = &planning->plan->threads[planning->plan->count++];
    *thread = (struct plan_thread){.core = core, .node = -1, .near = near};
    snprintf(thread->name, sizeof(thread->name), "%s %u", kind, number);
    return thread;
}

static void stand_on(struct planning *planning, struct plan_thread *thread, int core)
{
    const struct topology_cpu *cpu = topology_cpu(planning->topology, core);
    thread->core = core;
    if (!cpu) {
        remark(thread, "this machine has no core %d", core);
        return;
    }
    thread->node = cpu->node;
    planning->taken[cpu->core]++;
}

// Chosen: on the interface's node, else anywhere, else where `share` stands, else left to the
// kernel (threads that sleep share cores better when it moves them).
static void choose(struct planning *planning, struct plan_thread *thread, int share)
{
    const struct topology_cpu *cpu = free_cpu(planning, thread->near);
    thread->planned = true;
    if (!cpu && thread->near >= 0 && (cpu = free_cpu(planning, -1)) != NULL)
        remark(thread, "no core of node %d is left", thread->near);
    if (cpu)
        stand_on(planning, thread, cpu->id);
    else if (share != THREAD_ANY_CORE)
        stand_on(planning, thread, share);
    else
        remark(thread, "no core is left: the kernel places it");
}

static int near_of(const struct config *config, const struct planning *planning, uint32_t port)
{
    return topology_nic_node(planning->topology, config->ports[port].interface);
}

static int place(struct planning *planning, const char *kind, uint32_t number, int core, int near,
                 int share)
{
    struct plan_thread *thread = add_thread(planning, kind, number, core, near);
    if (core == THREAD_ANY_CORE)
        choose(planning, thread, share);
    return thread->core;
}

// What is configured is taken before anything is chosen.
static void take_configured(struct planning *planning, const struct config *config)
{
    int cores[PLAN_THREADS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->port_count; i++)
        cores[count++] = config->ports[i].core;
    for (uint32_t i = 0; i < config->shard_count; i++) {
        cores[count++] = config->shards[i].core;
        cores[count++] = config->shards[i].journal_core;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct topology_cpu *cpu =
            cores[i] == THREAD_ANY_CORE ? NULL : topology_cpu(planning->topology, cores[i]);
        if (cpu)
            planning->taken[cpu->core]++;
    }
}

static const char *kind_end(const struct plan_thread *thread)
{
    return strchr(thread->name, ' ');
}

static bool same_kind(const struct plan_thread *a, const struct plan_thread *b)
{
    long length = kind_end(a) - a->name;
    return length == kind_end(b) - b->name && strncmp(a->name, b->name, (size_t)length) == 0;
}

// Two threads on one physical core: of one loop when it is the same processor and port and shard,
// else in each other's way.
static void find_neighbours(struct planning *planning)
{
    struct plan *plan = planning->plan;
    for (uint32_t i = 0; i < plan->count; i++)
        for (uint32_t j = 0; j < i; j++) {
            struct plan_thread *a = &plan->threads[i];
            const struct plan_thread *b = &plan->threads[j];
            const struct topology_cpu *x = topology_cpu(planning->topology, a->core);
            const struct topology_cpu *y = topology_cpu(planning->topology, b->core);
            if (!x || !y || x->core != y->core)
                continue;
            bool loop = x->id == y->id && strncmp(a->name, "journal", 7) != 0 &&
                        strncmp(b->name, "journal", 7) != 0;
            bool journals = x->id == y->id && same_kind(a, b);
            if (loop || journals)
                continue;
            const struct topology_cpu *other = free_cpu(planning, a->near);
            if (other)
                remark(a, "%s with %s: core = %d is free",
                       x->id == y->id ? "shares its core" : "shares a physical core", b->name,
                       other->id);
            else
                remark(a, "%s with %s",
                       x->id == y->id ? "shares its core" : "shares a physical core", b->name);
        }
}

static void find_crossings(struct planning *planning)
{
    struct plan *plan = planning->plan;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct plan_thread *thread = &plan->threads[i];
        const struct topology_cpu *cpu = topology_cpu(planning->topology, thread->core);
        if (!cpu || thread->near < 0)
            continue;
        thread->node = cpu->node;
        const struct topology_cpu *better = free_cpu(planning, thread->near);
        if (cpu->node != thread->near && better)
            remark(thread, "stands on node %d, its interface on node %d: core = %d is free there",
                   cpu->node, thread->near, better->id);
        else if (cpu->node != thread->near)
            remark(thread, "stands on node %d, its interface on node %d", cpu->node, thread->near);
    }
}

// With one node there is nothing to bind to.
static int memory_node(const struct topology *topology, int core)
{
    const struct topology_cpu *cpu = topology_cpu(topology, core);
    return topology->node_count > 1 && cpu ? cpu->node : ARENA_ANY_NODE;
}

void plan_cores(struct config *config, const struct topology *topology, bool here,
                struct plan *plan)
{
    struct planning planning = {.topology = topology, .plan = plan, .here = here};
    int journal_core = THREAD_ANY_CORE; // of the writer before
    plan->count = 0;
    take_configured(&planning, config);
    for (uint32_t i = 0; i < config->port_count; i++)
        config->ports[i].core = place(&planning, "port", i, config->ports[i].core,
                                      near_of(config, &planning, i), THREAD_ANY_CORE);
    // Journals before shards: a shard may run in its port's loop, a writer must not.
    for (uint32_t i = 0; i < config->shard_count; i++) {
        struct config_shard *shard = &config->shards[i];
        bool spins = config->ports[shard->port].spin;
        shard->journal_core =
            place(&planning, "journal", i, shard->journal_core,
                  near_of(config, &planning, shard->port), spins ? journal_core : THREAD_ANY_CORE);
        journal_core = shard->journal_core;
    }
    for (uint32_t i = 0; i < config->shard_count; i++) {
        struct config_shard *shard = &config->shards[i];
        const struct config_port *port = &config->ports[shard->port];
        shard->core =
            place(&planning, "shard", i, shard->core, near_of(config, &planning, shard->port),
                  port->spin ? port->core : THREAD_ANY_CORE);
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct topology_cpu *cpu = topology_cpu(topology, plan->threads[i].core);
        plan->threads[i].node = cpu ? cpu->node : -1;
        if (!cpu && plan->threads[i].core != THREAD_ANY_CORE)
            remark(&plan->threads[i], "this machine has no core %d", plan->threads[i].core);
    }
    find_crossings(&planning);
    find_neighbours(&planning);
    for (uint32_t i = 0; i < config->port_count; i++)
        config->ports[i].node = memory_node(topology, config->ports[i].core);
    for (uint32_t i = 0; i < config->shard_count; i++)
        config->shards[i].node = memory_node(topology, config->shards[i].core);
}

static void print_core(const struct plan *plan, const struct topology *topology, uint32_t first,
                       FILE *stream)
{
    int core = topology->cpus[first].core;
    fprintf(stream, "    ");
    for (uint32_t i = first; i < topology->cpu_count; i++) {
        if (topology->cpus[i].core != core)
            continue;
        fprintf(stream, "[%d:", topology->cpus[i].id);
        for (uint32_t t = 0; t < plan->count; t++)
            if (plan->threads[t].core == topology->cpus[i].id)
                fprintf(stream, " %s", plan->threads[t].name);
        fprintf(stream, "]");
    }
    fprintf(stream, "\n");
}

static bool first_of_core(const struct topology *topology, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (topology->cpus[i].core == topology->cpus[index].core)
            return false;
    return true;
}

static void print_node(const struct plan *plan, const struct topology *topology, int node,
                       FILE *stream)
{
    uint32_t idle = 0;
    fprintf(stream, "  node %d", node);
    for (uint32_t i = 0; i < topology->nic_count; i++)
        if (topology->nics[i].node == node)
            fprintf(stream, "  %s", topology->nics[i].name);
    fprintf(stream, "\n");
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        if (topology->cpus[i].node != node || !first_of_core(topology, i))
            continue;
        bool busy = false;
        for (uint32_t t = 0; t < plan->count && !busy; t++) {
            const struct topology_cpu *cpu = topology_cpu(topology, plan->threads[t].core);
            busy = cpu && cpu->core == topology->cpus[i].core;
        }
        if (busy)
            print_core(plan, topology, i, stream);
        else
            idle++;
    }
    if (idle > 0)
        fprintf(stream, "    and %u core%s free\n", idle, idle == 1 ? "" : "s");
}

void plan_print(const struct plan *plan, const struct topology *topology, FILE *stream)
{
    fprintf(stream, "threads      core  node\n");
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_thread *thread = &plan->threads[i];
        char core[12] = "any", node[12] = "-";
        if (thread->core != THREAD_ANY_CORE)
            snprintf(core, sizeof(core), "%d", thread->core);
        if (thread->node >= 0)
            snprintf(node, sizeof(node), "%d", thread->node);
        fprintf(stream, "  %-10s %4s  %4s  %s%s%s\n", thread->name, core, node,
                thread->planned ? "chosen" : "configured", thread->remark[0] ? "; " : "",
                thread->remark);
    }
    fprintf(stream, "machine\n");
    for (int node = 0; node < (int)TOPOLOGY_CPUS_MAX; node++) {
        bool there = false;
        for (uint32_t i = 0; i < topology->cpu_count && !there; i++)
            there = topology->cpus[i].node == node;
        if (there)
            print_node(plan, topology, node, stream);
    }
}
