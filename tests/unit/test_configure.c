// SPDX-License-Identifier: MIT
//
// configure on hosts that plain files play, and what ethtool prints, read.
#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "dataplane/configure.h"
#include "dataplane/ethtool.h"
#include "numa/arena.h"
#include "tests/unit/fake_root.h"

#define POOL(node) "sys/devices/system/node/node" #node "/hugepages/hugepages-2048kB/"
#define RECORD     "run/sluice/venue_1.configure.json"

static char root[FAKE_ROOT_SIZE];
static struct topology machine;
static struct config config;
static struct error error;
static char *out_text, *error_text;

// Two nodes of four cores, eth0 on node 1 with two queues that interrupt at cores 0 and 1.
static void set_up(void)
{
    fake_root_make(root);
    cr_assert_eq(topology_load(&machine, "pack:2 [numa] core:4 pu:1", &error), 0, "%s", error.text);
    machine.nics[0] = (struct topology_nic){.name = "eth0", .node = 1};
    machine.nic_count = 1;
    config = (struct config){.name = "venue/1", .port_count = 1, .shard_count = 1};
    config.orders_max = 1000;
    config.history_count = config.in_flight_count = 1024;
    config.ports[0] = (struct config_port){
        .interface = "eth0", .queues = {0, 1}, .queue_count = 2, .frame_count = 1024, .core = 5};
    config.shards[0] = (struct config_shard){.udp_port = 26400, .core = 6, .journal_core = 7};
    fake_file(root, "proc/meminfo", "MemTotal: 9 kB\nMemAvailable: 8388608 kB\n");
    fake_file(root, POOL(1) "nr_hugepages", "10\n");
    fake_file(root, POOL(1) "free_hugepages", "4\n");
    fake_link(root, "sys/class/net/eth0/device", "../../../devices/pci0000:00/virtio3");
    fake_file(root, "sys/class/net/eth0/napi_defer_hard_irqs", "0\n");
    fake_file(root, "sys/class/net/eth0/gro_flush_timeout", "0\n");
    fake_file(root, "proc/interrupts",
              "            CPU0       CPU1\n"
              " 38:    1    0  PCI-MSIX-0000:00:03.0   1-edge      virtio3-input.0\n"
              " 39:    1    0  PCI-MSIX-0000:00:03.0   2-edge      virtio3-output.0\n"
              " 40:    1    0  PCI-MSIX-0000:00:03.0   3-edge      virtio3-input.1\n"
              " 41:    1    0  PCI-MSIX-0000:00:04.0   3-edge      virtio4-input.1\n");
    fake_file(root, "proc/irq/38/smp_affinity_list", "0\n");
    fake_file(root, "proc/irq/39/smp_affinity_list", "0-3\n");
    fake_file(root, "proc/irq/40/smp_affinity_list", "1\n");
    fake_file(root, "proc/irq/41/smp_affinity_list", "1\n");
    fake_file(root, "proc/sys/vm/stat_interval", "1\n");
    fake_file(root, "proc/sys/vm/swappiness", "60\n");
    fake_file(root, "proc/cmdline", "quiet\n");
}

static void tear_down(void)
{
    free(out_text);
    free(error_text);
    fake_root_remove(root);
}

TestSuite(configure, .init = set_up, .fini = tear_down);

static int run_with(enum configure_verb verb, bool dry_run, const char *stage)
{
    char name[32];
    char *stages[] = {name, NULL}, *all[] = {NULL};
    size_t size;
    snprintf(name, sizeof(name), "%s", stage ? stage : "");
    free(out_text);
    free(error_text);
    struct configure_options options = {.verb = verb,
                                        .dry_run = dry_run,
                                        .stages = stage ? stages : all,
                                        .root = root,
                                        .out = open_memstream(&out_text, &size),
                                        .error = open_memstream(&error_text, &size)};
    int status = configure(&config, &machine, &options);
    fclose(options.out);
    fclose(options.error);
    return status;
}

static int run(enum configure_verb verb, const char *stage)
{
    return run_with(verb, false, stage);
}

static void says(const char *text)
{
    cr_assert_not_null(strstr(out_text, text), "no \"%s\" in: %s%s", text, out_text, error_text);
}

static bool there(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return access(path, F_OK) == 0;
}

static void is(const char *name, const char *value)
{
    cr_assert_str_eq(fake_line(root, name), value, "%s", name);
}

static json_t *read_record(void)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/" RECORD, root);
    return json_load_file(path, 0, NULL);
}

Test(configure, interrupts_go_where_the_plan_says_and_back)
{
    cr_assert_eq(run(CONFIGURE_CHECK, "irq"), 1);
    says("irq: not configured: /proc/irq/38/smp_affinity_list is \"0\", should be \"4\"");
    cr_assert_eq(run(CONFIGURE_INIT, "irq"), 0, "%s", error_text);
    says("RUN: echo 4 > /proc/irq/38/smp_affinity_list\n");
    is("proc/irq/38/smp_affinity_list", "4"); // of node 1, without a thread
    is("proc/irq/39/smp_affinity_list", "4");
    is("proc/irq/40/smp_affinity_list", "4");
    is("proc/irq/41/smp_affinity_list", "1"); // another interface's
    cr_assert_eq(run(CONFIGURE_CHECK, "irq"), 0);
    says("irq: OK\n");
    cr_assert_eq(run(CONFIGURE_FINI, NULL), 0);
    is("proc/irq/38/smp_affinity_list", "0");
    is("proc/irq/39/smp_affinity_list", "0-3");
    is("proc/irq/40/smp_affinity_list", "1");
    cr_assert_not(there(RECORD));
}

Test(configure, a_second_init_changes_nothing_and_keeps_what_was_before)
{
    cr_assert_eq(run(CONFIGURE_INIT, "irq"), 0);
    cr_assert(there(RECORD));
    cr_assert_eq(run(CONFIGURE_INIT, "irq"), 0);
    says("irq: OK\n");
    cr_assert_null(strstr(out_text, "RUN:"), "%s", out_text);
    cr_assert_eq(run(CONFIGURE_FINI, NULL), 0);
    is("proc/irq/38/smp_affinity_list", "0");
}

Test(configure, a_value_that_somebody_changed_meanwhile_is_set_again_and_the_oldest_comes_back)
{
    cr_assert_eq(run(CONFIGURE_INIT, "sysctl"), 0);
    fake_file(root, "proc/sys/vm/stat_interval", "9\n");
    cr_assert_eq(run(CONFIGURE_INIT, "sysctl"), 0);
    is("proc/sys/vm/stat_interval", "120");
    cr_assert_eq(run(CONFIGURE_FINI, NULL), 0);
    is("proc/sys/vm/stat_interval", "1");
}

Test(configure, a_dry_run_says_it_and_does_nothing)
{
    cr_assert_eq(run_with(CONFIGURE_INIT, true, "sysctl"), 0);
    says("RUN: echo 120 > /proc/sys/vm/stat_interval\n");
    is("proc/sys/vm/stat_interval", "1");
    cr_assert_not(there(RECORD));
    cr_assert_eq(run(CONFIGURE_INIT, "sysctl"), 0);
    cr_assert_eq(run_with(CONFIGURE_FINI, true, NULL), 0);
    says("RUN: echo 1 > /proc/sys/vm/stat_interval\n");
    is("proc/sys/vm/stat_interval", "120");
    cr_assert(there(RECORD));
}

Test(configure, fini_of_one_stage_leaves_the_others)
{
    cr_assert_eq(run(CONFIGURE_INIT, "sysctl"), 0);
    cr_assert_eq(run(CONFIGURE_INIT, "irq"), 0);
    cr_assert_eq(run(CONFIGURE_FINI, "sysctl"), 0);
    is("proc/sys/vm/stat_interval", "1");
    is("proc/irq/38/smp_affinity_list", "4");
    cr_assert(there(RECORD));
}

Test(configure, huge_pages_are_added_on_the_node_that_wants_them)
{
    cr_assert_eq(run(CONFIGURE_CHECK, "hugepages"), 1);
    cr_assert_eq(run(CONFIGURE_INIT, "hugepages"), 0, "%s", error_text);
    int now = atoi(fake_line(root, POOL(1) "nr_hugepages"));
    cr_assert_gt(now, 10);
    char line[16];
    snprintf(line, sizeof(line), "%d\n", now - 6); // six were in use
    fake_file(root, POOL(1) "free_hugepages", line);
    cr_assert_eq(run(CONFIGURE_CHECK, "hugepages"), 0, "%s", out_text);
    fake_file(root, POOL(1) "free_hugepages", "0\n"); // the gateway runs
    cr_assert_eq(run(CONFIGURE_CHECK, "hugepages"), 0, "%s", out_text);
    cr_assert_eq(run(CONFIGURE_INIT, "hugepages"), 0);
    cr_assert_eq(atoi(fake_line(root, POOL(1) "nr_hugepages")), now);
    cr_assert_eq(run(CONFIGURE_FINI, NULL), 0);
    is(POOL(1) "nr_hugepages", "10");
}

Test(configure, huge_pages_that_there_is_no_memory_for_are_refused_before_anything_is_taken)
{
    fake_file(root, "proc/meminfo", "MemAvailable: 4096 kB\n");
    cr_assert_eq(run(CONFIGURE_INIT, "hugepages"), 1);
    cr_assert_not_null(strstr(error_text, "sluice: hugepages: "), "%s", error_text);
    cr_assert_not_null(strstr(error_text, "there is memory for 2"), "%s", error_text);
    is(POOL(1) "nr_hugepages", "10");
    cr_assert_not(there(RECORD));
}

Test(configure, a_polled_interface_is_let_be_and_interrupts_its_port)
{
    cr_assert_eq(run(CONFIGURE_INIT, "busy-poll"), 0);
    is("sys/class/net/eth0/gro_flush_timeout", "0");
    config.ports[0].busy_poll = true;
    cr_assert_eq(run(CONFIGURE_INIT, "busy-poll"), 0);
    is("sys/class/net/eth0/napi_defer_hard_irqs", "2");
    is("sys/class/net/eth0/gro_flush_timeout", "200000");
    cr_assert_eq(run(CONFIGURE_INIT, "irq"), 0);
    is("proc/irq/38/smp_affinity_list", "5");
}

Test(configure, what_the_kernel_has_not_is_no_failure)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/proc/irq/39/smp_affinity_list", root);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(run(CONFIGURE_INIT, "irq"), 0);
    says("irq: cannot be had here: /proc/irq/39/smp_affinity_list: No such file");
    is("proc/irq/40/smp_affinity_list", "4");
}

Test(configure, a_step_that_fails_is_told_and_the_others_are_done)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/proc/sys/vm/stat_interval", root);
    cr_assert_eq(unlink(path), 0);
    fake_link(root, "proc/sys/vm/stat_interval", "/dev/full"); // no place for a word
    cr_assert_eq(run(CONFIGURE_INIT, "sysctl"), 1);
    cr_assert_not_null(strstr(error_text, "sluice: sysctl: /proc/sys/vm/stat_interval: No space"),
                       "%s", error_text);
    is("proc/sys/vm/swappiness", "1");
    json_t *record = read_record();
    cr_assert_eq(json_array_size(json_object_get(record, "changes")), 1, "what failed is not kept");
    json_decref(record);
}

Test(configure, without_a_place_for_the_record_nothing_is_changed)
{
    fake_file(root, "run", "not a folder");
    cr_assert_eq(run(CONFIGURE_INIT, "sysctl"), 1);
    cr_assert_not_null(strstr(error_text, "record"), "%s", error_text);
    is("proc/sys/vm/stat_interval", "1");
}

Test(configure, a_record_that_is_none_stops_everything)
{
    static const char *const records[] = {"", "{", "{\"changes\": 5}", "[]"};
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        fake_file(root, RECORD, records[i]);
        cr_assert_eq(run(CONFIGURE_INIT, "sysctl"), 1, "\"%s\"", records[i]);
        cr_assert_eq(run(CONFIGURE_FINI, NULL), 1, "\"%s\"", records[i]);
        is("proc/sys/vm/stat_interval", "1");
    }
    fake_file(root, RECORD,
              "{\"changes\": [{\"stage\": \"sysctl\", \"kind\": \"spell\", \"target\": \"/x\", "
              "\"name\": \"\", \"was\": \"1\"}, 7]}");
    cr_assert_eq(run(CONFIGURE_FINI, NULL), 1);
}

static void mount_cgroup(const char *controllers, const char *enabled)
{
    fake_file(root, "proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
    fake_file(root, "sys/fs/cgroup/cgroup.controllers", controllers);
    fake_file(root, "sys/fs/cgroup/cgroup.subtree_control", enabled);
}

Test(configure, the_partition_has_the_configured_cores)
{
    mount_cgroup("cpuset cpu io\n", "cpu cpuset\n");
    fake_file(root, "sys/fs/cgroup/sluice-venue_1/cpuset.cpus", "\n");
    fake_file(root, "sys/fs/cgroup/sluice-venue_1/cpuset.cpus.partition", "member\n");
    cr_assert_eq(run(CONFIGURE_INIT, "cpuset"), 0, "%s", error_text);
    is("sys/fs/cgroup/sluice-venue_1/cpuset.cpus", "5-7");
    is("sys/fs/cgroup/sluice-venue_1/cpuset.cpus.partition", "isolated");
    cr_assert_eq(run(CONFIGURE_FINI, NULL), 0, "%s", error_text);
    is("sys/fs/cgroup/sluice-venue_1/cpuset.cpus", "");
    is("sys/fs/cgroup/sluice-venue_1/cpuset.cpus.partition", "member");
}

Test(configure, why_there_is_no_partition_is_told)
{
    cr_assert_eq(run(CONFIGURE_CHECK, "cpuset"), 0);
    says("cpuset: cannot be had here: no cgroup v2");
    mount_cgroup("cpu io\n", "cpu\n");
    cr_assert_eq(run(CONFIGURE_CHECK, "cpuset"), 0);
    says("no cpuset controller");
    mount_cgroup("cpuset\n", "\n");
    cr_assert_eq(run_with(CONFIGURE_INIT, true, "cpuset"), 0);
    says("RUN: echo +cpuset > /sys/fs/cgroup/cgroup.subtree_control\nRUN: mkdir "
         "/sys/fs/cgroup/sluice-venue_1\n");
    config.shards[0].core = -1;
    cr_assert_eq(run(CONFIGURE_INIT, "cpuset"), 0);
    says("shard 0 has no core in the configuration");
    machine.cpu_count = 1;
    machine.cpus[0].id = config.ports[0].core = config.shards[0].core =
        config.shards[0].journal_core = 0;
    cr_assert_eq(run(CONFIGURE_INIT, "cpuset"), 0);
    says("every core");
}

Test(configure, the_kernels_command_line_is_compared_with_the_cores_that_spin)
{
    fake_file(root, "sys/devices/system/cpu/isolated", "\n");
    fake_file(root, "sys/devices/system/cpu/nohz_full", "\n");
    cr_assert_eq(run(CONFIGURE_CHECK, "boot"), 0, "nothing spins: %s", out_text);
    config.ports[0].spin = true;
    cr_assert_eq(run(CONFIGURE_CHECK, "boot"), 1);
    says("boot: not configured: add isolcpus=managed_irq,domain,5-7 to the kernel's command line");
    says("add nohz_full=5-7 to");
    says("add rcu_nocbs=5-7 to");
    cr_assert_eq(run(CONFIGURE_INIT, "boot"), 0, "init cannot boot");
    fake_file(root, "proc/cmdline",
              "quiet isolcpus=managed_irq,domain,4-7 nohz_full=5-6 rcu_nocbs=5,6,7 x=1\n");
    cr_assert_eq(run(CONFIGURE_CHECK, "boot"), 1);
    cr_assert_null(strstr(out_text, "isolcpus"), "%s", out_text);
    cr_assert_null(strstr(out_text, "rcu_nocbs"), "%s", out_text);
    says("add nohz_full=5-7 to");
    fake_file(root, "proc/cmdline", "isolcpus=5-7 nohz_full=1-7 rcu_nocbs=4-7\n");
    cr_assert_eq(run(CONFIGURE_CHECK, "boot"), 0, "%s", out_text);
}

Test(configure, a_kernel_without_nohz_full_cannot_have_it)
{
    config.ports[0].spin = true;
    fake_file(root, "proc/cmdline", "isolcpus=5-7\n");
    fake_file(root, "sys/devices/system/cpu/isolated", "5-7\n");
    cr_assert_eq(run(CONFIGURE_CHECK, "boot"), 0, "%s", out_text);
    says("boot: cannot be had here: nohz_full=5-7: this kernel is built without it");
}

Test(configure, power_saving_and_large_pages_behind_ones_back_are_told)
{
    fake_file(root, "sys/devices/system/cpu/cpu5/cpufreq/scaling_governor", "powersave\n");
    fake_file(root, "sys/devices/system/cpu/cpu6/cpuidle/state1/latency", "1\n");
    fake_file(root, "sys/devices/system/cpu/cpu6/cpuidle/state1/disable", "0\n");
    fake_file(root, "sys/devices/system/cpu/cpu6/cpuidle/state2/latency", "133\n");
    fake_file(root, "sys/devices/system/cpu/cpu6/cpuidle/state2/disable", "0\n");
    fake_file(root, "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    cr_assert_eq(run(CONFIGURE_CHECK, "boot"), 1);
    says("port 0: echo performance > /sys/devices/system/cpu/cpu5/cpufreq/scaling_governor");
    says("shard 0: core 6 takes 133 us to wake from state 2");
    says("transparent_hugepage=madvise");
}

Test(configure, irqbalance_is_told_what_to_leave)
{
    fake_file(root, "proc/77/comm", "irqbalance\n");
    cr_assert_eq(run(CONFIGURE_INIT, "irq"), 0);
    says("IRQBALANCE_ARGS=\"--banirq=38 --banirq=39 --banirq=40\"");
}

Test(ethtool, channels_of_both_kinds_are_read)
{
    struct ethtool_channels_now now;
    cr_assert(ethtool_read_channels("Channel parameters for v0:\nPre-set maximums:\nRX:\t\t4\n"
                                    "TX:\t\t5\nOther:\t\tn/a\nCombined:\tn/a\n"
                                    "Current hardware settings:\nRX:\t\t2\nTX:\t\t3\n"
                                    "Other:\t\tn/a\nCombined:\tn/a\n",
                                    &now));
    cr_assert(now.rx == 2 && now.tx == 3 && now.combined == -1);
    cr_assert(now.rx_max == 4 && now.tx_max == 5 && now.combined_max == -1);
    cr_assert(ethtool_read_channels("Channel parameters for eth0:\nPre-set maximums:\nRX:\t\t0\n"
                                    "TX:\t\t0\nOther:\t\t1\nCombined:\t63\n"
                                    "Current hardware settings:\nRX:\t\t0\nTX:\t\t0\n"
                                    "Other:\t\t1\nCombined:\t8\n",
                                    &now));
    cr_assert(now.combined == 8 && now.combined_max == 63);
    cr_assert_not(ethtool_read_channels("netlink error: Operation not supported\n", &now));
}

Test(ethtool, features_are_read_by_their_short_and_long_names)
{
    static const char output[] = "Features for v0:\nrx-checksumming: on\n\ttx-checksum-ipv4: off "
                                 "[fixed]\ngeneric-receive-offload: on\nlarge-receive-offload: off "
                                 "[fixed]\nrx-gro-hw: on [requested off]\nntuple-filters: off\n";
    bool on, fixed;
    cr_assert(ethtool_read_feature(output, "gro", &on, &fixed) && on && !fixed);
    cr_assert(ethtool_read_feature(output, "lro", &on, &fixed) && !on && fixed);
    cr_assert(ethtool_read_feature(output, "rx-gro-hw", &on, &fixed) && on && !fixed);
    cr_assert(ethtool_read_feature(output, "ntuple", &on, &fixed) && !on && !fixed);
    cr_assert(ethtool_read_feature(output, "tx-checksum-ipv4", &on, &fixed) && !on && fixed);
    cr_assert_not(ethtool_read_feature(output, "rxvlan", &on, &fixed));
}

Test(ethtool, coalescing_is_read_where_the_driver_has_it)
{
    static const char output[] = "Coalesce parameters for eth0:\nAdaptive RX: off  TX: n/a\n"
                                 "stats-block-usecs: n/a\n\nrx-usecs: 50\nrx-frames: n/a\n"
                                 "rx-usecs-irq: 7\n";
    char value[ETHTOOL_VALUE_SIZE];
    cr_assert(ethtool_read_coalesce(output, "rx-usecs", value));
    cr_assert_str_eq(value, "50");
    cr_assert(ethtool_read_coalesce(output, "adaptive-rx", value));
    cr_assert_str_eq(value, "off");
    cr_assert_not(ethtool_read_coalesce(output, "rx-frames", value));
    cr_assert_not(
        ethtool_read_coalesce("netlink error: Operation not supported\n", "rx-usecs", value));
}

#define RULE(place, type, from, to, mask, port, port_mask, action)                                 \
    "Filter: " place "\n\tRule Type: " type " over IPv4\n\tSrc IP addr: 0.0.0.0 mask: " from       \
    "\n\tDest IP addr: " to " mask: " mask "\n\tTOS: 0x0 mask: 0xff\n\tSrc port: 0 mask: 0xffff"   \
    "\n\tDest port: " port " mask: " port_mask "\n\tAction: " action "\n\n"
#define ANY "255.255.255.255"

Test(ethtool, only_the_rule_that_is_meant_is_taken_for_it)
{
    static const char output[] = "4 RX rings available\nTotal 6 rules\n\n" //
        RULE("1", "TCP", ANY, "10.0.0.1", "0.0.0.0", "26400", "0x0", "Direct to queue 1")
            RULE("2", "UDP", ANY, "10.0.0.2", "0.0.0.0", "26400", "0x0", "Direct to queue 1")
                RULE("3", "UDP", ANY, "10.0.0.1", "0.0.0.255", "26400", "0x0", "Direct to queue 1")
                    RULE("4", "UDP", "0.0.0.0", "10.0.0.1", "0.0.0.0", "26400", "0x0",
                         "Direct to queue 1") RULE("5", "UDP", ANY, "10.0.0.1", "0.0.0.0", "26400",
                                                   "0xff", "Direct to queue 1")
                        RULE("1023", "UDP", ANY, "10.0.0.1", "0.0.0.0", "26400", "0x0",
                             "Direct to queue 2")
                            RULE("1024", "UDP", ANY, "10.0.0.1", "0.0.0.0", "26401", "0x0", "Drop")
                                RULE("1025", "UDP", ANY, "10.0.0.1", "0.0.0.0", "26402", "0x0",
                                     "Direct to VF 1 queue 2");
    char value[ETHTOOL_VALUE_SIZE];
    cr_assert(ethtool_read_rule(output, "dst-ip 10.0.0.1 dst-port 26400", value));
    cr_assert_str_eq(value, "action 2 loc 1023");
    cr_assert(ethtool_read_rule(output, "dst-ip 10.0.0.1 dst-port 26401", value));
    cr_assert_str_eq(value, "action -1 loc 1024");
    cr_assert(ethtool_read_rule(output, "dst-ip 10.0.0.1 dst-port 9", value));
    cr_assert_str_eq(value, "none");
    cr_assert_not(ethtool_read_rule(output, "dst-ip 10.0.0.1 dst-port 26402", value));
    cr_assert_not(
        ethtool_read_rule("1 RX rings available\nrxclass: Cannot get RX class rule count: "
                          "Operation not supported\n",
                          "dst-ip 10.0.0.1 dst-port 26400", value));
}

#define TABLE(rings, entries)                                                                      \
    "RX flow hash indirection table for eth0 with " rings " RX ring(s):\n" entries                 \
    "RSS hash key:\n"                                                                              \
    "6d:5a:56:da\n"

Test(ethtool, an_indirection_table_is_told_in_the_words_that_make_it)
{
    static const struct {
        const char *output, *words;
    } tables[] = {
        {TABLE("4", "    0:  0  1  2  3  0  1  2  3\n"), "default"},
        {TABLE("1", "    0:  0  0  0  0\n"), "default"},
        {TABLE("4", "    0:  0  1  0  1  0  1  0  1\n"), "equal 2 start 0"},
        {TABLE("4", "    0:  2  3  2  3  2  3  2  3\n"), "equal 2 start 2"},
        {TABLE("4", "    0:  1  1  1  1  1  1  1  1\n"), "equal 1 start 1"},
        {TABLE("4", "    0:  2  2  2  2  2  2  2  2\n    8:  2  2  3  3  3  3  3  3\n"),
         "weight 0 0 10 6"},
        {TABLE("4", "    0:  3  2  1  0  3  2  1  0\n"), NULL},
        {TABLE("4", "Operation not supported\n"), NULL},
        {"Cannot get RX rings: Operation not supported\n", NULL},
    };
    char value[ETHTOOL_VALUE_SIZE];
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        cr_assert_eq(ethtool_read_table(tables[i].output, value), tables[i].words != NULL, "%s",
                     tables[i].output);
        if (tables[i].words)
            cr_assert_str_eq(value, tables[i].words, "%s", tables[i].output);
    }
    cr_assert(ethtool_table_uses("default", 3));
    cr_assert(ethtool_table_uses("equal 2 start 2", 3));
    cr_assert_not(ethtool_table_uses("equal 2 start 2", 1));
    cr_assert_not(ethtool_table_uses("equal 2 start 2", 4));
    cr_assert(ethtool_table_uses("weight 0 0 10 6", 2));
    cr_assert_not(ethtool_table_uses("weight 0 0 10 6", 1));
    cr_assert_not(ethtool_table_uses("weight 0 0 10 6", 4));
}
