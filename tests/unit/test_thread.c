// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "numa/thread.h"

#define CORES_MAX 1024

struct seen {
    cpu_set_t cores;
    int core;
    char name[16];
    atomic_bool look; // set once thread_start has returned
};

static void *look_around(void *argument)
{
    struct seen *seen = argument;
    while (!atomic_load(&seen->look))
        sched_yield();
    sched_getaffinity(0, sizeof(seen->cores), &seen->cores);
    seen->core = sched_getcpu();
    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    return seen;
}

static void run_on(int core, const char *name, struct seen *seen)
{
    struct error error;
    pthread_t thread;
    void *result;
    memset(seen, 0, sizeof(*seen));
    cr_assert_eq(thread_start(&thread, name, core, look_around, seen, &error), 0, "%s", error.text);
    atomic_store(&seen->look, true);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_eq(result, seen, "the argument reaches the thread, its result comes back");
}

static int last_usable_core(void)
{
    int core = CORES_MAX - 1;
    while (core > 0 && thread_core_usable(core, NULL) != 0)
        core--;
    return core;
}

// From here on the kernel refuses sched_setaffinity, as a service manager's filter may.
static void forbid_pinning(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sched_setaffinity, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof(rules) / sizeof(*rules), .filter = rules};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static FILE *redirect_stderr(void)
{
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    cr_assert_geq(dup2(fileno(file), STDERR_FILENO), 0);
    return file;
}

static void read_back(FILE *file, char *text, size_t size)
{
    fflush(stderr);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
}

Test(thread, runs_on_the_core_it_was_given_and_on_no_other)
{
    int tried = 0;
    for (int core = 0; core < CORES_MAX && tried < 8; core++) {
        struct seen seen;
        if (thread_core_usable(core, NULL) != 0)
            continue;
        run_on(core, "pinned", &seen);
        cr_assert_eq(seen.core, core);
        cr_assert_eq(CPU_COUNT(&seen.cores), 1);
        cr_assert(CPU_ISSET(core, &seen.cores));
        tried++;
    }
    cr_assert_gt(tried, 0);
}

Test(thread, without_a_core_runs_where_its_starter_may)
{
    struct seen seen;
    cpu_set_t mine;
    run_on(THREAD_ANY_CORE, "free", &seen);
    cr_assert_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
    cr_assert(CPU_EQUAL(&mine, &seen.cores));
}

Test(thread, carries_its_name)
{
    struct seen seen;
    run_on(THREAD_ANY_CORE, "fifteen-letters", &seen);
    cr_assert_str_eq(seen.name, "fifteen-letters");
}

Test(thread, refuses_a_name_too_long_for_the_kernel, .signal = SIGABRT)
{
    pthread_t thread;
    thread_start(&thread, "sixteen-letters!", THREAD_ANY_CORE, look_around, NULL, NULL);
}

Test(thread, a_core_that_does_not_exist_is_an_error_that_names_those_that_do)
{
    static const int wrong[] = {-2, 1023, 1024, 1 << 20};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct error error;
        struct seen seen = {.look = true};
        pthread_t thread;
        char first[32];
        int core = wrong[i];
        if (core == 1023 && thread_core_usable(core, NULL) == 0)
            continue;
        snprintf(first, sizeof(first), "core %d:", core);
        cr_assert_eq(thread_core_usable(core, &error), -1);
        cr_assert_eq(strncmp(error.text, first, strlen(first)), 0, "%s", error.text);
        cr_assert_not_null(strstr(error.text, "choose among cores "), "%s", error.text);
        cr_assert_eq(thread_start(&thread, "nowhere", core, look_around, &seen, &error), -1);
        cr_assert_not_null(strstr(error.text, "choose among cores "), "%s", error.text);
    }
}

// isolcpus= takes the cores meant for us out of the mask that every process inherits.
Test(thread, may_use_cores_that_it_was_not_started_on)
{
    int core = last_usable_core(), count = thread_core_count();
    cpu_set_t one, after;
    struct seen seen;
    CPU_ZERO(&one);
    for (int other = 0; other < core; other++) {
        if (thread_core_usable(other, NULL) == 0) {
            CPU_SET(other, &one);
            break;
        }
    }
    if (CPU_COUNT(&one) == 0)
        cr_skip("a single core");
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    cr_assert_eq(thread_core_usable(core, NULL), 0);
    cr_assert_eq(thread_core_count(), count);
    run_on(core, "elsewhere", &seen);
    cr_assert_eq(seen.core, core);
    cr_assert_eq(sched_getaffinity(0, sizeof(after), &after), 0);
    cr_assert(CPU_EQUAL(&one, &after), "asking changed the asker's own cores");
}

Test(thread, counts_the_cores_it_may_use)
{
    int count = 0;
    for (int core = 0; core < CORES_MAX; core++)
        count += thread_core_usable(core, NULL) == 0;
    cr_assert_eq(thread_core_count(), count);
}

Test(thread, that_cannot_be_pinned_runs_unpinned_with_a_warning)
{
    struct seen seen;
    cpu_set_t mine;
    char text[1024];
    int core = last_usable_core();
    FILE *file = redirect_stderr();
    forbid_pinning();
    run_on(core, "loose", &seen);
    read_back(file, text, sizeof(text));
    cr_assert_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
    cr_assert(CPU_EQUAL(&mine, &seen.cores));
    cr_assert_str_eq(seen.name, "loose");
    cr_assert_not_null(strstr(text, "sluice: warning: thread 'loose' cannot be pinned"), "%s",
                       text);
}

Test(thread, where_pinning_is_forbidden_the_inherited_cores_are_the_usable_ones)
{
    cpu_set_t mine;
    cr_assert_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
    forbid_pinning();
    cr_assert_eq(thread_core_count(), CPU_COUNT(&mine));
}

Test(thread, every_core_has_a_node_and_an_unknown_core_has_node_0)
{
    for (int core = 0; core < CORES_MAX; core++) {
        char path[96];
        if (thread_core_usable(core, NULL) != 0)
            continue;
        int node = thread_core_node(core);
        snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpu%d", node, core);
        cr_assert(access(path, F_OK) == 0 || access("/sys/devices/system/node", F_OK) != 0);
    }
    cr_assert_eq(thread_core_node(1 << 20), 0);
    cr_assert_eq(thread_core_node(-1), 0);
}
