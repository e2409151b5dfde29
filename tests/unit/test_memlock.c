// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "numa/memlock.h"

#define NOBODY    65534
#define SOME_SIZE ((size_t)1 << 20)

// A number in KiB out of /proc/self/status.
static long status_kib(const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = atol(line + strlen(name));
    fclose(file);
    return value;
}

static char *map_some(void)
{
    void *memory =
        mmap(NULL, SOME_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    return memory;
}

static long resident_pages(char *memory)
{
    unsigned char pages[SOME_SIZE / 4096];
    long count = 0;
    cr_assert_eq(mincore(memory, SOME_SIZE, pages), 0);
    for (size_t i = 0; i < sizeof(pages); i++)
        count += pages[i] & 1;
    return count;
}

// The sanitizers replace mlockall by a function that does nothing; and a limit may forbid it.
static void need_locking(void)
{
    if (mlockall(MCL_CURRENT) != 0 || status_kib("VmLck:") == 0)
        cr_skip("nothing can be locked here");
    munlockall();
}

static void *rest(void *argument)
{
    pause();
    return argument;
}

Test(memlock, what_is_mapped_is_touched_and_locked_and_what_comes_later_is_not)
{
    need_locking();
    char *before = map_some();
    memlock_all();
    cr_assert_eq(resident_pages(before), (long)(SOME_SIZE / 4096));
    long locked_kib = status_kib("VmLck:");
    cr_assert_geq(locked_kib, (long)(SOME_SIZE >> 10));
    char *after = map_some();
    cr_assert_eq(resident_pages(after), 0);
    cr_assert_eq(status_kib("VmLck:"), locked_kib);
}

Test(memlock, stacks_are_locked_and_not_touched_whole)
{
    pthread_t thread;
    need_locking();
    memlock_all();
    long locked_kib = status_kib("VmLck:"), resident_kib = status_kib("VmRSS:");
    cr_assert_eq(pthread_create(&thread, NULL, rest, NULL), 0);
    memlock_stacks();
    cr_assert_geq(status_kib("VmLck:"), locked_kib + 4096);
    cr_assert_lt(status_kib("VmRSS:"), resident_kib + 2048);
}

Test(memlock, warns_with_the_remedy_and_goes_on_where_it_is_forbidden)
{
    char text[1024];
    struct rlimit little = {.rlim_cur = 4096, .rlim_max = 4096};
    need_locking();
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    cr_assert_geq(dup2(fileno(file), STDERR_FILENO), 0);
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &little), 0);
    if (geteuid() == 0)
        cr_assert_eq(setresuid(NOBODY, NOBODY, NOBODY), 0); // gives up CAP_IPC_LOCK
    memlock_all();
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    cr_assert_not_null(strstr(text, "RLIMIT_MEMLOCK is 4 KiB"), "%s", text);
    cr_assert_not_null(strstr(text, "LimitMEMLOCK=infinity"), "%s", text);
}
