// SPDX-License-Identifier: MIT
//
// Where threads are placed, on machines that hwloc makes up: a two-socket EPYC, a Xeon with
// sub-NUMA clusters, one small box.
#include <criterion/criterion.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/irq.h"
#include "dataplane/plan.h"
#include "numa/thread.h"
#include "tests/unit/fake_root.h"

#define EPYC  "pack:2 [numa] l3:4 core:4 pu:2"
#define XEON  "pack:2 group:2 [numa] core:6 pu:2"
#define SMALL "pack:1 [numa] core:2 pu:1"

static struct topology machine;
static struct plan plan;
static struct config config;
static struct error error;

// Ports eth0, eth1, … with a shard each, nothing configured.
static void set_up(const char *source, uint32_t ports, const int *nic_nodes)
{
    cr_assert_eq(topology_load(&machine, source, &error), 0, "%s", error.text);
    config = (struct config){.port_count = ports, .shard_count = ports};
    for (uint32_t i = 0; i < ports; i++) {
        struct topology_nic *nic = &machine.nics[machine.nic_count++];
        snprintf(nic->name, sizeof(nic->name), "eth%u", i);
        nic->node = nic_nodes[i];
        config.ports[i] = (struct config_port){.core = THREAD_ANY_CORE, .spin = true};
        memcpy(config.ports[i].interface, nic->name, sizeof(nic->name));
        config.shards[i] = (struct config_shard){
            .port = i, .core = THREAD_ANY_CORE, .journal_core = THREAD_ANY_CORE};
    }
}

static const struct plan_thread *thread_called(const char *name)
{
    for (uint32_t i = 0; i < plan.count; i++)
        if (strcmp(plan.threads[i].name, name) == 0)
            return &plan.threads[i];
    cr_assert_fail("no thread is called %s", name);
    return NULL;
}

static int core_of(int cpu)
{
    return topology_cpu(&machine, cpu)->core;
}

static void all_apart_on(int node, const char *first, const char *second, const char *third)
{
    const char *names[] = {first, second, third};
    for (int i = 0; i < 3; i++) {
        const struct plan_thread *thread = thread_called(names[i]);
        cr_assert_neq(thread->core, THREAD_ANY_CORE, "%s", names[i]);
        cr_assert_eq(thread->node, node, "%s is on node %d", names[i], thread->node);
        cr_assert_str_empty(thread->remark, "%s: %s", names[i], thread->remark);
        for (int j = 0; j < i; j++)
            cr_assert_neq(core_of(thread->core), core_of(thread_called(names[j])->core),
                          "%s and %s are siblings", names[i], names[j]);
    }
}

Test(plan, the_threads_of_an_interface_stand_on_its_node_and_share_no_physical_core)
{
    set_up(EPYC, 2, (int[]){1, 0});
    cr_assert_eq(machine.cpu_count, 64);
    cr_assert_eq(machine.core_count, 32);
    cr_assert_eq(machine.node_count, 2);
    plan_cores(&config, &machine, false, &plan);
    all_apart_on(1, "port 0", "journal 0", "shard 0");
    all_apart_on(0, "port 1", "journal 1", "shard 1");
    cr_assert_eq(config.ports[0].core, thread_called("port 0")->core);
    cr_assert_eq(config.shards[1].journal_core, thread_called("journal 1")->core);
}

Test(plan, the_first_core_is_left_to_everything_else)
{
    set_up(EPYC, 2, (int[]){0, 0});
    plan_cores(&config, &machine, false, &plan);
    for (uint32_t i = 0; i < plan.count; i++)
        cr_assert_neq(core_of(plan.threads[i].core), core_of(0));
}

Test(plan, a_sub_numa_cluster_is_a_node)
{
    set_up(XEON, 1, (int[]){3});
    cr_assert_eq(machine.node_count, 4);
    cr_assert_eq(machine.package_count, 2);
    plan_cores(&config, &machine, false, &plan);
    all_apart_on(3, "port 0", "journal 0", "shard 0");
}

Test(plan, a_full_node_sends_the_rest_elsewhere_and_says_so)
{
    set_up(XEON, 3, (int[]){2, 2, 2}); // nine threads, six cores
    plan_cores(&config, &machine, false, &plan);
    int remarks = 0;
    for (uint32_t i = 0; i < plan.count; i++)
        remarks += strstr(plan.threads[i].remark, "node 2") != NULL;
    cr_assert_eq(remarks, 3);
}

Test(plan, on_a_small_box_the_shard_runs_in_its_ports_loop_and_the_journal_apart)
{
    set_up(SMALL, 1, (int[]){0});
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(config.shards[0].core, config.ports[0].core);
    cr_assert_neq(config.shards[0].journal_core, config.ports[0].core);
}

Test(plan, threads_that_sleep_are_left_to_the_kernel_where_no_core_is_free)
{
    set_up(SMALL, 1, (int[]){0});
    config.ports[0].spin = false;
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(config.shards[0].core, THREAD_ANY_CORE);
}

Test(plan, what_is_configured_stays_and_what_is_chosen_keeps_away_from_it)
{
    set_up(EPYC, 1, (int[]){0});
    config.shards[0].core = 6;
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(config.shards[0].core, 6);
    cr_assert_neq(core_of(config.ports[0].core), core_of(6));
    cr_assert_neq(core_of(config.shards[0].journal_core), core_of(6));
    cr_assert_not(thread_called("shard 0")->planned);
}

Test(plan, a_crossing_is_told_with_a_core_that_would_do)
{
    set_up(EPYC, 1, (int[]){1});
    config.shards[0].core = 4; // node 0
    plan_cores(&config, &machine, false, &plan);
    const struct plan_thread *shard = thread_called("shard 0");
    int proposed = -1;
    const char *at = strstr(shard->remark, "core = ");
    cr_assert_not_null(at, "%s", shard->remark);
    cr_assert_eq(sscanf(at, "core = %d", &proposed), 1);
    cr_assert_eq(topology_cpu(&machine, proposed)->node, 1);
    config.shards[0].core = proposed;
    config.ports[0].core = config.shards[0].journal_core = THREAD_ANY_CORE;
    plan_cores(&config, &machine, false, &plan);
    all_apart_on(1, "port 0", "journal 0", "shard 0");
}

Test(plan, siblings_are_told)
{
    set_up(EPYC, 1, (int[]){0});
    config.ports[0].core = 4;
    config.shards[0].journal_core = 5; // the same physical core
    plan_cores(&config, &machine, false, &plan);
    cr_assert_not_null(strstr(thread_called("journal 0")->remark, "shares a physical core"));
}

Test(plan, a_core_that_is_not_there_is_told)
{
    set_up(SMALL, 1, (int[]){0});
    config.ports[0].core = 17;
    plan_cores(&config, &machine, false, &plan);
    cr_assert_not_null(strstr(thread_called("port 0")->remark, "no core 17"));
}

Test(plan, the_drawing_shows_who_is_where)
{
    char *text = NULL;
    size_t size = 0;
    set_up(EPYC, 1, (int[]){1});
    plan_cores(&config, &machine, false, &plan);
    FILE *stream = open_memstream(&text, &size);
    plan_print(&plan, &machine, stream);
    fclose(stream);
    char *node = strstr(text, "node 1  eth0");
    cr_assert_not_null(node, "%s", text);
    cr_assert_not_null(strstr(node, "port 0"));
    cr_assert_not_null(strstr(text, "and 16 cores free"), "%s", text);
    free(text);
}

static void give_queues(uint32_t port, uint32_t count)
{
    config.ports[port].queue_count = count;
    for (uint32_t i = 0; i < count; i++)
        config.ports[port].queues[i] = i;
}

Test(plan, interrupts_go_to_cores_of_the_interfaces_node_that_have_no_thread)
{
    bool used[64] = {0};
    set_up(EPYC, 1, (int[]){1});
    give_queues(0, 4);
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(plan.interrupt_count, 4);
    for (uint32_t i = 0; i < plan.interrupt_count; i++) {
        const struct plan_interrupt *interrupt = &plan.interrupts[i];
        cr_assert_eq(interrupt->queue, i);
        cr_assert_eq(interrupt->node, 1);
        cr_assert_not(used[core_of(interrupt->core)],
                      "two interrupts on one core, and others idle");
        used[core_of(interrupt->core)] = true;
        for (uint32_t t = 0; t < plan.count; t++)
            cr_assert_neq(core_of(interrupt->core), core_of(plan.threads[t].core));
    }
}

Test(plan, the_core_left_to_everything_else_takes_interrupts_of_its_node)
{
    set_up(EPYC, 1, (int[]){0});
    give_queues(0, 1);
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(plan.interrupts[0].core, 0);
}

Test(plan, a_polled_queue_interrupts_its_own_port)
{
    set_up(EPYC, 1, (int[]){1});
    give_queues(0, 2);
    config.ports[0].busy_poll = true;
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(plan.interrupts[0].core, config.ports[0].core);
    cr_assert_eq(plan.interrupts[1].core, config.ports[0].core);
}

Test(plan, where_every_core_has_a_thread_interrupts_go_to_the_ports)
{
    set_up(SMALL, 1, (int[]){0});
    give_queues(0, 1);
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(plan.interrupts[0].core, config.ports[0].core);
}

Test(plan, sockets_of_the_kernels_stack_have_no_queues_and_no_interrupts)
{
    set_up(EPYC, 1, (int[]){1});
    give_queues(0, 1);
    config.ports[0].type = CONFIG_PORT_UDP;
    plan_cores(&config, &machine, false, &plan);
    cr_assert_eq(plan.interrupt_count, 0);
}

Test(plan, an_interrupt_on_another_node_is_told_and_drawn)
{
    char root[FAKE_ROOT_SIZE], *text = NULL;
    size_t size = 0;
    fake_root_make(root);
    fake_link(root, "sys/class/net/eth0/device", "../../../devices/pci0000:80/0000:81:00.0");
    fake_file(root, "proc/interrupts",
              "           CPU0       CPU1\n"
              " 70:          0          9 IR-PCI-MSIX-0000:81:00.0   1-edge   eth0-TxRx-0\n"
              " 71:          0          9 IR-PCI-MSIX-0000:81:00.0   2-edge   eth0-TxRx-1\n");
    set_up(EPYC, 1, (int[]){1});
    give_queues(0, 2);
    plan_cores(&config, &machine, false, &plan);
    fake_file(root, "proc/irq/70/effective_affinity_list", "3\n");
    fake_file(root, "proc/irq/71/effective_affinity_list", "50\n");
    plan_interrupts_now(&plan, &config, &machine, root);
    cr_assert_eq(plan.interrupts[0].now, 3);
    cr_assert_not_null(strstr(plan.interrupts[0].remark, "core 3 on node 0"), "%s",
                       plan.interrupts[0].remark);
    cr_assert_eq(plan.interrupts[1].now, 50);
    cr_assert_str_empty(plan.interrupts[1].remark);
    FILE *stream = open_memstream(&text, &size);
    plan_print(&plan, &machine, stream);
    fclose(stream);
    cr_assert_not_null(strstr(strstr(text, "node 1  eth0"), "irq eth0 q1]"), "%s", text);
    free(text);
    fake_root_remove(root);
}

Test(plan, an_interface_without_interrupts_is_passed_over)
{
    char root[FAKE_ROOT_SIZE], *text = NULL;
    size_t size = 0;
    fake_root_make(root);
    fake_file(root, "proc/interrupts", " 24:   1   0  IO-APIC   5-edge      ACPI:Ged\n");
    set_up(EPYC, 1, (int[]){1});
    give_queues(0, 1);
    plan_cores(&config, &machine, false, &plan);
    plan_interrupts_now(&plan, &config, &machine, root);
    FILE *stream = open_memstream(&text, &size);
    plan_print(&plan, &machine, stream);
    fclose(stream);
    cr_assert_null(strstr(text, "interrupts"), "%s", text);
    cr_assert_null(strstr(text, "irq"), "%s", text);
    free(text);
    fake_root_remove(root);
}

Test(plan, drivers_names_of_a_queues_interrupt_are_known)
{
    static const struct {
        const char *name, *device;
        uint32_t queue;
        bool is;
    } names[] = {
        {"virtio2-input.1", "virtio2", 1, true},
        {"virtio2-output.1", "virtio2", 1, true},
        {"virtio2-input.11", "virtio2", 1, false},
        {"virtio22-input.1", "virtio2", 1, false},
        {"virtio2-config", "virtio2", 0, false},
        {"mlx5_comp7@pci:0000:81:00.0", "0000:81:00.0", 7, true},
        {"mlx5_comp7@pci:0000:81:00.1", "0000:81:00.0", 7, false},
        {"mlx5_async0@pci:0000:81:00.0", "0000:81:00.0", 0, false},
        {"ice-eth1-TxRx-3", "0000:81:00.0", 3, true},
        {"i40e-eth1-TxRx-3", "0000:81:00.0", 13, false},
        {"eth1-TxRx-3", "0000:81:00.0", 3, true},
        {"eth1-Tx-Rx-3", "0000:00:05.0", 3, true},
        {"eth1-rx-3", "0000:81:00.0", 3, true},
        {"eth1-tx-3", "0000:81:00.0", 3, false},
        {"eth11-TxRx-3", "0000:81:00.0", 3, false},
        {"veth1-TxRx-3", "0000:81:00.0", 3, false},
        {"eth1", "0000:81:00.0", 0, false},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_assert_eq(irq_name_is(names[i].name, "eth1", names[i].device, names[i].queue),
                     names[i].is, "%s, queue %u", names[i].name, names[i].queue);
}

Test(plan, an_xml_description_of_a_machine_is_read)
{
    char path[] = "/tmp/sluice-topology-XXXXXX.xml";
    int file = mkstemps(path, 4);
    cr_assert_geq(file, 0);
    close(file);
    hwloc_topology_t made_up;
    cr_assert_eq(hwloc_topology_init(&made_up), 0);
    cr_assert_eq(hwloc_topology_set_synthetic(made_up, XEON), 0);
    cr_assert_eq(hwloc_topology_load(made_up), 0);
    cr_assert_eq(hwloc_topology_export_xml(made_up, path, 0), 0);
    hwloc_topology_destroy(made_up);
    cr_assert_eq(topology_load(&machine, path, &error), 0, "%s", error.text);
    cr_assert_eq(machine.cpu_count, 48);
    cr_assert_eq(machine.node_count, 4);
    unlink(path);
}

Test(plan, a_description_that_is_none_is_refused)
{
    cr_assert_eq(topology_load(&machine, "pack:nonsense", &error), -1);
    cr_assert_not_null(strstr(error.text, "pack:nonsense"));
}

Test(plan, this_host_has_the_cores_that_the_kernel_counts)
{
    cr_assert_eq(topology_load(&machine, NULL, &error), 0, "%s", error.text);
    cr_assert_geq(machine.cpu_count, (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
    cr_assert_not_null(topology_cpu(&machine, machine.cpus[0].id));
    cr_assert_null(topology_cpu(&machine, 4000));
}
