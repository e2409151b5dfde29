// SPDX-License-Identifier: MIT
#include "dataplane/stages.h"

#include <hwloc.h>
#include <limits.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numa/arena.h"
#include "numa/thread.h"

#define HUGE_PAGE_KIB 2048ll
#define CORES_TEXT    512

static long long number_in(const struct configuring *configuring, const char *path)
{
    char line[64];
    return setting_first_line(configuring->host.root, path, line, sizeof(line)) ? -1 : atoll(line);
}

static long long available_pages(const struct configuring *configuring)
{
    char path[PATH_MAX], line[128];
    long long kib = 0;
    snprintf(path, sizeof(path), "%s/proc/meminfo", configuring->host.root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        sscanf(line, "MemAvailable: %lld", &kib);
    if (file)
        fclose(file);
    return kib / HUGE_PAGE_KIB;
}

// As many more as are missing among the free ones; what init once added stays enough while a
// gateway uses it.
static void want_pool(struct configuring *configuring, int node)
{
    struct setting pool = {.kind = SETTING_FILE};
    char folder[96] = "/sys/kernel/mm/hugepages/hugepages-2048kB", path[128], value[32];
    long long wanted = (long long)plan_huge_pages(configuring->config, node);
    if (node != ARENA_ANY_NODE)
        snprintf(folder, sizeof(folder),
                 "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB", node);
    snprintf(pool.target, sizeof(pool.target), "%s/nr_hugepages", folder);
    snprintf(path, sizeof(path), "%s/free_hugepages", folder);
    long long all = number_in(configuring, pool.target), unused = number_in(configuring, path);
    const json_t *change = stages_change_of(configuring, &pool);
    if (unused >= wanted ||
        (change && all >= atoll(json_string_value(json_object_get(change, "now")))))
        return;
    if (all < 0 || unused < 0) {
        stages_cannot(configuring, "this kernel has no %s", folder);
        return;
    }
    long long missing = wanted - unused, available = available_pages(configuring);
    if (configuring->verb == CONFIGURE_INIT && missing > available) {
        stages_failed(configuring,
                      "%lld more huge pages of 2 MiB are wanted in %s, and there is memory for "
                      "%lld: reserve them at boot (hugepages=), or lower limits in the "
                      "configuration",
                      missing, folder, available);
        return;
    }
    snprintf(value, sizeof(value), "%lld", all + missing);
    stages_want(configuring, &pool, value);
}

static void list_hugepages(struct configuring *configuring)
{
    for (int node = ARENA_ANY_NODE; node < (int)configuring->topology->node_count; node++)
        if (plan_huge_pages(configuring->config, node) > 0)
            want_pool(configuring, node);
}

static void list_sysctl(struct configuring *configuring)
{
    static const struct {
        const char *path, *value;
    } wanted[] = {
        // Memory is bound already, and the scan unmaps pages to see who comes for them.
        {"/proc/sys/kernel/numa_balancing", "0"},
        // Each core folds its counters of memory into the machine's every so many seconds.
        {"/proc/sys/vm/stat_interval", "120"},
        // Timers of idle cores move to busy ones, which are ours.
        {"/proc/sys/kernel/timer_migration", "0"},
        // What is not locked (stacks, the heap of the start) goes to swap last.
        {"/proc/sys/vm/swappiness", "1"},
    };
    char value[SETTING_VALUE_SIZE];
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (setting_first_line(configuring->host.root, wanted[i].path, value, sizeof(value)) == 0)
            stages_want_file(configuring, wanted[i].value, "%s", wanted[i].path);
}

// The planned cores, of all threads or of those of ports that spin, as "2-4,7". False when there is
// none, with a line when not one would be left to the kernel.
static bool cores_to_isolate(struct configuring *configuring, bool all, char text[CORES_TEXT],
                             hwloc_bitmap_t cores)
{
    const struct config *config = configuring->config;
    hwloc_bitmap_zero(cores);
    for (uint32_t i = 0; i < config->port_count; i++)
        if ((all || config->ports[i].spin) && config->ports[i].core != THREAD_ANY_CORE)
            hwloc_bitmap_set(cores, (unsigned)config->ports[i].core);
    for (uint32_t i = 0; i < config->shard_count; i++) {
        const struct config_shard *shard = &config->shards[i];
        bool ours = all || config->ports[shard->port].spin;
        if (ours && shard->core != THREAD_ANY_CORE)
            hwloc_bitmap_set(cores, (unsigned)shard->core);
        if (ours && shard->journal_core != THREAD_ANY_CORE)
            hwloc_bitmap_set(cores, (unsigned)shard->journal_core);
    }
    hwloc_bitmap_list_snprintf(text, CORES_TEXT, cores);
    bool left = false;
    for (uint32_t i = 0; i < configuring->topology->cpu_count && !left; i++)
        left = !hwloc_bitmap_isset(cores, (unsigned)configuring->topology->cpus[i].id);
    if (!left)
        stages_cannot(configuring,
                      "the gateway's threads take every core (%s): one must be left to the kernel",
                      text);
    return left && !hwloc_bitmap_iszero(cores);
}

// The folder of the first cgroup v2 that is mounted, with the cpuset controller. False after a
// line.
static bool find_cgroup(struct configuring *configuring, char folder[96])
{
    char path[PATH_MAX], line[256], text[1024];
    struct mntent mount;
    bool found = false;
    snprintf(path, sizeof(path), "%s/proc/self/mounts", configuring->host.root);
    FILE *mounts = setmntent(path, "re");
    while (mounts && !found && getmntent_r(mounts, &mount, text, sizeof(text))) {
        found = strcmp(mount.mnt_type, "cgroup2") == 0 && strlen(mount.mnt_dir) < 64;
        if (found)
            snprintf(folder, 96, "%s", mount.mnt_dir);
    }
    if (mounts)
        endmntent(mounts);
    if (!found) {
        stages_cannot(configuring, "no cgroup v2 is mounted");
        return false;
    }
    snprintf(path, sizeof(path), "%s/cgroup.controllers", folder);
    if (setting_first_line(configuring->host.root, path, line, sizeof(line)) == 0 &&
        strstr(line, "cpuset"))
        return true;
    stages_cannot(configuring, "%s has no cpuset controller: cgroup v1 has it, or the kernel none",
                  folder);
    return false;
}

static bool all_configured(struct configuring *configuring)
{
    for (uint32_t i = 0; i < configuring->plan->count; i++) {
        const struct plan_thread *thread = &configuring->plan->threads[i];
        if (thread->planned) {
            stages_cannot(configuring,
                          "%s has no core in the configuration, and would choose another once the "
                          "partition is there: write core = %d",
                          thread->name, thread->core);
            return false;
        }
    }
    return true;
}

// A partition of cores that the scheduler leaves alone. Only who is in its group may run there.
static void list_cpuset(struct configuring *configuring)
{
    char cores[CORES_TEXT], folder[96];
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    bool any = set && cores_to_isolate(configuring, true, cores, set);
    hwloc_bitmap_free(set);
    if (!any || !all_configured(configuring) || !find_cgroup(configuring, folder))
        return;
    const char *slash = strrchr(configuring->record, '/');
    const char *name = slash + 1;
    int length = (int)(strlen(name) - strlen(".configure.json"));
    struct setting controller = {.kind = SETTING_CONTROLLER, .name = "cpuset"};
    struct setting group = {.kind = SETTING_FOLDER};
    snprintf(controller.target, sizeof(controller.target), "%s/cgroup.subtree_control", folder);
    snprintf(group.target, sizeof(group.target), "%s/sluice-%.*s", folder, length, name);
    if (!stages_want(configuring, &controller, "+cpuset") ||
        !stages_want(configuring, &group, "there"))
        return;
    if (configuring->host.dry_run)
        fprintf(configuring->host.stream,
                "RUN: echo %s > %s/cpuset.cpus\nRUN: echo isolated > %s/cpuset.cpus.partition\n",
                cores, group.target, group.target);
    else if (stages_want_file(configuring, cores, "%s/cpuset.cpus", group.target) &&
             stages_want_file(configuring, "isolated", "%s/cpuset.cpus.partition", group.target))
        fprintf(configuring->host.stream,
                "cpuset: start the gateway in it: echo $$ > %s/cgroup.procs; exec sluice run …\n",
                group.target);
}

// Whether the kernel's command line gives `parameter` all of `cores`. Words before the list are
// flags: isolcpus=managed_irq,domain,2-5.
static bool booted_with(const char *line, const char *parameter, hwloc_const_bitmap_t cores)
{
    size_t length = strlen(parameter);
    bool all = false;
    for (const char *at = line; at && !all; at = strchr(at, ' ')) {
        at += strspn(at, " ");
        if (strncmp(at, parameter, length) != 0 || at[length] != '=')
            continue;
        char list[CORES_TEXT];
        const char *value = at + length + 1;
        const char *digits = value + strcspn(value, "0123456789 \n");
        snprintf(list, sizeof(list), "%.*s", (int)strcspn(digits, " \n"), digits);
        hwloc_bitmap_t given = hwloc_bitmap_alloc();
        all = given && hwloc_bitmap_list_sscanf(given, list) == 0 &&
              hwloc_bitmap_isincluded(cores, given);
        hwloc_bitmap_free(given);
    }
    return all;
}

static bool has_file(const struct configuring *configuring, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s%s", configuring->host.root, name);
    return access(path, F_OK) == 0;
}

static void check_isolation(struct configuring *configuring, const char *line)
{
    static const struct {
        const char *name, *flags, *needs;
    } parameters[] = {
        {"isolcpus", "managed_irq,domain,", "/sys/devices/system/cpu/isolated"},
        {"nohz_full", "", "/sys/devices/system/cpu/nohz_full"},
        {"rcu_nocbs", "", "/sys/devices/system/cpu/nohz_full"},
    };
    char cores[CORES_TEXT];
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    bool any = set && cores_to_isolate(configuring, false, cores, set);
    for (size_t i = 0; any && i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        if (!has_file(configuring, parameters[i].needs))
            stages_cannot(configuring, "%s=%s: this kernel is built without it", parameters[i].name,
                          cores);
        else if (!booted_with(line, parameters[i].name, set))
            stages_missing(configuring, "add %s=%s%s to the kernel's command line",
                           parameters[i].name, parameters[i].flags, cores);
    }
    hwloc_bitmap_free(set);
}

// How a core that spins rests is its own affair; one whose thread sleeps takes as long to wake as
// its idle state is deep.
static void check_power(struct configuring *configuring)
{
    char path[128], line[128];
    const struct plan *plan = configuring->plan;
    for (uint32_t i = 0; i < plan->count; i++) {
        int core = plan->threads[i].core;
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor",
                 core);
        if (setting_first_line(configuring->host.root, path, line, sizeof(line)) == 0 &&
            strcmp(line, "performance") != 0)
            stages_missing(configuring, "%s: echo performance > %s", plan->threads[i].name, path);
        for (int state = 0; state < 16; state++) {
            char latency[128];
            snprintf(latency, sizeof(latency), "/sys/devices/system/cpu/cpu%d/cpuidle/state%d/%s",
                     core, state, "latency");
            snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpuidle/state%d/%s", core,
                     state, "disable");
            if (number_in(configuring, latency) > 2 && number_in(configuring, path) == 0) {
                stages_missing(configuring,
                               "%s: core %d takes %lld us to wake from state %d: add "
                               "processor.max_cstate=1 intel_idle.max_cstate=1 to the kernel's "
                               "command line, or echo 1 > %s",
                               plan->threads[i].name, core, number_in(configuring, latency), state,
                               path);
                break;
            }
        }
    }
}

static void list_boot(struct configuring *configuring)
{
    char line[8192];
    if (setting_first_line(configuring->host.root, "/proc/cmdline", line, sizeof(line)) == 0)
        check_isolation(configuring, line);
    const char *path = "/sys/kernel/mm/transparent_hugepage/enabled";
    if (setting_first_line(configuring->host.root, path, line, sizeof(line)) == 0 &&
        strstr(line, "[always]"))
        stages_missing(configuring,
                       "add transparent_hugepage=madvise to the kernel's command line, or echo "
                       "madvise > %s",
                       path);
    check_power(configuring);
}

// Channels come before what hangs on queues, rules before the table that takes their queues away:
// ixgbe makes a new table when ntuple is switched on, igb a wrong one when channels change.
const struct stage stages[] = {
    {"hugepages", list_hugepages, false, false},
    {"channels", stages_list_channels, true, false},
    {"steering", stages_list_steering, true, false},
    {"rss", stages_list_rss, true, false},
    {"coalesce", stages_list_coalesce, true, false},
    {"offloads", stages_list_offloads, true, false},
    {"stamps", stages_list_stamps, false, false},
    {"irq", stages_list_irq, false, false},
    {"busy-poll", stages_list_busy_poll, false, false},
    {"sysctl", list_sysctl, false, false},
    {"cpuset", list_cpuset, false, true},
    {"boot", list_boot, false, false},
    {0},
};
