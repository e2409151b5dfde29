// SPDX-License-Identifier: MIT
#include "dataplane/plan.h"

#include <stdarg.h>
#include <string.h>

#include "book/book.h"
#include "dataplane/irq.h"
#include "dataplane/lane.h"
#include "dataplane/port.h"
#include "numa/arena.h"
#include "numa/thread.h"

#define CORES_MAX       TOPOLOGY_CPUS_MAX
#define HUGE_PAGE_BYTES (2ull << 20)

struct planning {
    const struct topology *topology;
    struct plan *plan;
    bool here;
    uint8_t taken[CORES_MAX];       // threads on each physical core
    uint16_t interrupts[CORES_MAX]; // … interrupts
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

static struct plan_thread *add_thread(struct planning *planning, enum plan_kind kind,
                                      uint32_t number, int core, int near)
{
    static const char *const names[] = {"port", "shard", "journal"};
    struct plan_thread *thread = &planning->plan->threads[planning->plan->count++];
    *thread = (struct plan_thread){.kind = kind, .core = core, .node = -1, .near = near};
    snprintf(thread->name, sizeof(thread->name), "%s %u", names[kind], number);
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

static int place(struct planning *planning, enum plan_kind kind, uint32_t number, int core,
                 int near, int share)
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

// Two threads on one physical core: of one loop when it is the same processor and port and shard;
// two journals wait for the disk most of the time; else in each other's way.
static bool may_share(const struct plan_thread *a, const struct plan_thread *b)
{
    bool journal = a->kind == PLAN_JOURNAL || b->kind == PLAN_JOURNAL;
    return a->core == b->core && (!journal || a->kind == b->kind);
}

static void find_neighbours(struct planning *planning)
{
    struct plan *plan = planning->plan;
    for (uint32_t i = 0; i < plan->count; i++)
        for (uint32_t j = 0; j < i; j++) {
            struct plan_thread *a = &plan->threads[i];
            const struct plan_thread *b = &plan->threads[j];
            const struct topology_cpu *x = topology_cpu(planning->topology, a->core);
            const struct topology_cpu *y = topology_cpu(planning->topology, b->core);
            if (!x || !y || x->core != y->core || may_share(a, b))
                continue;
            const char *what = x->id == y->id ? "shares its core" : "shares a physical core";
            const struct topology_cpu *other = free_cpu(planning, a->near);
            if (other)
                remark(a, "%s with %s: core = %d is free", what, b->name, other->id);
            else
                remark(a, "%s with %s", what, b->name);
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

// The processor on `node` (-1: any) whose physical core has no thread and the fewest interrupts, or
// NULL. The machine's first core is as good as any: interrupts are part of everything else.
static const struct topology_cpu *quiet_cpu(const struct planning *planning, int node)
{
    const struct topology *topology = planning->topology;
    const struct topology_cpu *found = NULL;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const struct topology_cpu *cpu = &topology->cpus[i];
        if (planning->taken[cpu->core] == 0 && (node < 0 || cpu->node == node) &&
            (!found || planning->interrupts[cpu->core] < planning->interrupts[found->core]) &&
            usable(planning, cpu))
            found = cpu;
    }
    return found;
}

// A polled queue interrupts only when its port has stalled, and then the port's core is idle. What
// wakes the kernel for every packet goes elsewhere on the node, or to the port's core, whose caches
// it warms, when nothing else is left there.
static const struct topology_cpu *interrupt_cpu(const struct planning *planning,
                                                const struct config_port *port, int near)
{
    const struct topology_cpu *own = topology_cpu(planning->topology, port->core);
    int node = near < 0 && own ? own->node : near;
    const struct topology_cpu *quiet = port->busy_poll ? NULL : quiet_cpu(planning, node);
    return quiet ? quiet : own;
}

static void place_interrupts(struct planning *planning, const struct config *config, uint32_t index)
{
    const struct config_port *port = &config->ports[index];
    struct plan *plan = planning->plan;
    for (uint32_t i = 0; i < port->queue_count && port->type == CONFIG_PORT_XDP; i++) {
        const struct topology_cpu *cpu =
            interrupt_cpu(planning, port, near_of(config, planning, index));
        struct plan_interrupt *interrupt = &plan->interrupts[plan->interrupt_count++];
        *interrupt = (struct plan_interrupt){.port = index,
                                             .queue = port->queues[i],
                                             .core = cpu ? cpu->id : THREAD_ANY_CORE,
                                             .node = cpu ? cpu->node : -1,
                                             .now = THREAD_ANY_CORE};
        snprintf(interrupt->name, sizeof(interrupt->name), "%.15s q%u", port->interface,
                 port->queues[i]);
        if (cpu)
            planning->interrupts[cpu->core]++;
    }
}

void plan_interrupts_now(struct plan *plan, const struct config *config,
                         const struct topology *topology, const char *root)
{
    for (uint32_t i = 0; i < plan->interrupt_count; i++) {
        struct plan_interrupt *interrupt = &plan->interrupts[i];
        int numbers[IRQ_OF_A_QUEUE_MAX];
        uint32_t count =
            irq_find(root, config->ports[interrupt->port].interface, interrupt->queue, numbers);
        interrupt->state = count > 0 ? PLAN_INTERRUPT_FOUND : PLAN_INTERRUPT_NONE;
        interrupt->now = count > 0 ? irq_core(root, numbers[0]) : THREAD_ANY_CORE;
        const struct topology_cpu *now = topology_cpu(topology, interrupt->now);
        if (now && interrupt->node >= 0 && now->node != interrupt->node)
            snprintf(interrupt->remark, sizeof(interrupt->remark),
                     "its interrupt goes to core %d on node %d instead of %d on node %d: `sluice "
                     "configure init irq`",
                     now->id, now->node, interrupt->core, interrupt->node);
    }
}

// Each arena is rounded up to whole pages: one a port, two a shard.
uint64_t plan_huge_pages(const struct config *config, int node)
{
    uint64_t pages = 0;
    for (uint32_t i = 0; i < config->port_count; i++)
        if (config->ports[i].node == node && config->ports[i].type == CONFIG_PORT_XDP)
            pages += port_xdp_memory_size(config->ports[i].frame_count) / HUGE_PAGE_BYTES + 1;
    for (uint32_t i = 0; i < config->shard_count; i++) {
        struct book_limits limits = lane_book_limits(config, i);
        if (config->shards[i].node == node)
            pages += book_memory_size(&limits) / HUGE_PAGE_BYTES +
                     lane_memory_size(config, i) / HUGE_PAGE_BYTES + 2;
    }
    return pages;
}

void plan_cores(struct config *config, const struct topology *topology, bool here,
                struct plan *plan)
{
    struct planning planning = {.topology = topology, .plan = plan, .here = here};
    int journal_core = THREAD_ANY_CORE; // of the writer before
    plan->count = 0;
    plan->interrupt_count = 0;
    take_configured(&planning, config);
    for (uint32_t i = 0; i < config->port_count; i++)
        config->ports[i].core = place(&planning, PLAN_PORT, i, config->ports[i].core,
                                      near_of(config, &planning, i), THREAD_ANY_CORE);
    // Journals before shards: a shard may run in its port's loop, a writer must not.
    for (uint32_t i = 0; i < config->shard_count; i++) {
        struct config_shard *shard = &config->shards[i];
        bool spins = config->ports[shard->port].spin;
        shard->journal_core =
            place(&planning, PLAN_JOURNAL, i, shard->journal_core,
                  near_of(config, &planning, shard->port), spins ? journal_core : THREAD_ANY_CORE);
        journal_core = shard->journal_core;
    }
    for (uint32_t i = 0; i < config->shard_count; i++) {
        struct config_shard *shard = &config->shards[i];
        const struct config_port *port = &config->ports[shard->port];
        shard->core =
            place(&planning, PLAN_SHARD, i, shard->core, near_of(config, &planning, shard->port),
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
        place_interrupts(&planning, config, i);
    for (uint32_t i = 0; i < config->port_count; i++)
        config->ports[i].node = memory_node(topology, config->ports[i].core);
    for (uint32_t i = 0; i < config->shard_count; i++)
        config->shards[i].node = memory_node(topology, config->shards[i].core);
}

static bool shown(const struct plan_interrupt *interrupt)
{
    return interrupt->state != PLAN_INTERRUPT_NONE;
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
        for (uint32_t t = 0; t < plan->interrupt_count; t++)
            if (shown(&plan->interrupts[t]) && plan->interrupts[t].core == topology->cpus[i].id)
                fprintf(stream, " irq %s", plan->interrupts[t].name);
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

static bool on_core(const struct topology *topology, int id, int core)
{
    const struct topology_cpu *cpu = topology_cpu(topology, id);
    return cpu && cpu->core == core;
}

static bool core_busy(const struct plan *plan, const struct topology *topology, int core)
{
    for (uint32_t i = 0; i < plan->count; i++)
        if (on_core(topology, plan->threads[i].core, core))
            return true;
    for (uint32_t i = 0; i < plan->interrupt_count; i++)
        if (shown(&plan->interrupts[i]) && on_core(topology, plan->interrupts[i].core, core))
            return true;
    return false;
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
        if (core_busy(plan, topology, topology->cpus[i].core))
            print_core(plan, topology, i, stream);
        else
            idle++;
    }
    if (idle > 0)
        fprintf(stream, "    and %u core%s free\n", idle, idle == 1 ? "" : "s");
}

struct cell {
    char text[12];
};

static struct cell cell(int number, const char *none)
{
    struct cell cell;
    if (number < 0)
        snprintf(cell.text, sizeof(cell.text), "%s", none);
    else
        snprintf(cell.text, sizeof(cell.text), "%d", number);
    return cell;
}

static void print_interrupts(const struct plan *plan, FILE *stream)
{
    bool any = false;
    for (uint32_t i = 0; i < plan->interrupt_count; i++)
        any = any || shown(&plan->interrupts[i]);
    if (any)
        fprintf(stream, "interrupts   core  node   now\n");
    for (uint32_t i = 0; i < plan->interrupt_count; i++) {
        const struct plan_interrupt *interrupt = &plan->interrupts[i];
        if (shown(interrupt))
            fprintf(stream, "  %-10s %4s  %4s  %4s  %s\n", interrupt->name,
                    cell(interrupt->core, "any").text, cell(interrupt->node, "-").text,
                    cell(interrupt->now, "-").text, interrupt->remark);
    }
}

void plan_print(const struct plan *plan, const struct topology *topology, FILE *stream)
{
    fprintf(stream, "threads      core  node\n");
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_thread *thread = &plan->threads[i];
        fprintf(stream, "  %-10s %4s  %4s  %s%s%s\n", thread->name, cell(thread->core, "any").text,
                cell(thread->node, "-").text, thread->planned ? "chosen" : "configured",
                thread->remark[0] ? "; " : "", thread->remark);
    }
    print_interrupts(plan, stream);
    fprintf(stream, "machine\n");
    for (int node = 0; node < (int)TOPOLOGY_CPUS_MAX; node++) {
        bool there = false;
        for (uint32_t i = 0; i < topology->cpu_count && !there; i++)
            there = topology->cpus[i].node == node;
        if (there)
            print_node(plan, topology, node, stream);
    }
}
