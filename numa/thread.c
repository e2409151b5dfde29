// SPDX-License-Identifier: MIT
#include "numa/thread.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "numa/invariant.h"

#define NAME_SIZE_MAX 16 // TASK_COMM_LEN, the terminating zero included

// The cores that the kernel lets this process choose, which is more than those it runs on by
// itself: with isolcpus= the isolated cores, the very ones wanted here, are missing from the mask
// every process inherits. Asking for all of them yields the ones that its cpuset leaves.
static int allowed_cores(cpu_set_t *allowed)
{
    cpu_set_t inherited, all;
    if (sched_getaffinity(0, sizeof(inherited), &inherited) != 0)
        return -1;
    memset(&all, 0xFF, sizeof(all));
    *allowed = inherited;
    if (sched_setaffinity(0, sizeof(all), &all) != 0)
        return 0; // forbidden here (seccomp): the inherited ones are all there is
    int got = sched_getaffinity(0, sizeof(*allowed), allowed);
    INVARIANT(sched_setaffinity(0, sizeof(inherited), &inherited) == 0);
    return got < 0 ? -1 : 0;
}

// "0-3,8" as the kernel writes it; cut off with an ellipsis when it does not fit.
static void format_cores(const cpu_set_t *cores, char *text, size_t text_size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int first = 0; first < CPU_SETSIZE; first++) {
        if (!CPU_ISSET(first, cores))
            continue;
        int last = first;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cores))
            last++;
        if (used + 16 > text_size) {
            snprintf(text + used, text_size - used, "…");
            return;
        }
        used += (size_t)snprintf(text + used, text_size - used, first == last ? "%s%d" : "%s%d-%d",
                                 used ? "," : "", first, last);
        first = last;
    }
}

static bool core_exists(int core)
{
    char path[64];
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d", core);
    return core >= 0 && core < CPU_SETSIZE && access(path, F_OK) == 0;
}

static int core_refused(int core, const char *why, struct error *error)
{
    cpu_set_t allowed;
    char list[256] = "unknown";
    if (allowed_cores(&allowed) == 0)
        format_cores(&allowed, list, sizeof(list));
    return error_set(error, "core %d: %s; choose among cores %s", core, why, list);
}

int thread_core_usable(int core, struct error *error)
{
    cpu_set_t allowed;
    if (!core_exists(core))
        return core_refused(core, "this host has no such core", error);
    if (allowed_cores(&allowed) != 0)
        return error_set(error, "core %d: sched_getaffinity: %s", core, strerror(errno));
    if (!CPU_ISSET(core, &allowed))
        return core_refused(
            core, "it is offline, or this process's cpuset (cgroup) does not include it", error);
    return 0;
}

// An errno as pthread_create returns it.
static int create_pinned(pthread_t *thread, int core, void *(*main)(void *), void *argument)
{
    pthread_attr_t attributes;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    int failure = pthread_attr_init(&attributes);
    if (failure)
        return failure;
    failure = pthread_attr_setaffinity_np(&attributes, sizeof(one), &one);
    if (!failure)
        failure = pthread_create(thread, &attributes, main, argument);
    pthread_attr_destroy(&attributes);
    return failure;
}

int thread_start(pthread_t *thread, const char *name, int core, void *(*main)(void *),
                 void *argument, struct error *error)
{
    INVARIANT(strlen(name) < NAME_SIZE_MAX);
    int failure;
    if (core == THREAD_ANY_CORE) {
        failure = pthread_create(thread, NULL, main, argument);
    } else {
        if (!core_exists(core))
            return core_refused(core, "this host has no such core", error);
        // Pinned before its first instruction, so that what it touches first is on its own node.
        failure = create_pinned(thread, core, main, argument);
        if (failure == EINVAL || failure == EPERM) {
            warn("thread '%s' cannot be pinned to core %d and runs unpinned: %s; see that the core "
                 "is online and in this process's cpuset",
                 name, core, strerror(failure));
            failure = pthread_create(thread, NULL, main, argument);
        }
    }
    if (failure)
        return error_set(error,
                         "thread '%s': pthread_create: %s; raise the limit of processes (ulimit "
                         "-u, or TasksMax= in the unit)",
                         name, strerror(failure));
    pthread_setname_np(*thread, name); // for ps and perf only; a thread already over has no name
    return 0;
}

int thread_go_first(bool spins, struct error *error)
{
    struct sched_param first = {.sched_priority = 1};
    int failure = 0;
    if (spins)
        failure = setpriority(PRIO_PROCESS, (id_t)gettid(), -20) ? errno : 0;
    else
        failure = pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
    if (!failure)
        return 0;
    return error_set(error,
                     "this thread's priority stays as it is: %s; grant CAP_SYS_NICE (systemd: "
                     "LimitRTPRIO=1, LimitNICE=-20)",
                     strerror(failure));
}

int thread_core_count(void)
{
    cpu_set_t allowed;
    return allowed_cores(&allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

int thread_core_node(int core)
{
    char path[64];
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d", core);
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    int node = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (sscanf(entry->d_name, "node%d", &node) == 1)
            break;
    }
    closedir(folder);
    return node;
}
