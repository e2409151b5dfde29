// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/mman.h>
#include <numaif.h>
#include <signal.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "numa/arena.h"

#define MIB       ((size_t)1 << 20)
#define HUGE_PAGE (2 * MIB)
#define NOBODY    65534

// This program's own move_pages and madvise stand in front of the libraries', so that a kernel that
// misplaces pages, or finds too few of them on the node, can be had on any host.
static int wrong_nodes;       // pages reported on the next node
static int populate_failures; // populations still to fail, as a node that has run out fails them

long move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status,
                int flags)
{
    long result = syscall(SYS_move_pages, pid, count, pages, nodes, status, flags);
    for (unsigned long i = 0; i < count && wrong_nodes > 0; i++, wrong_nodes--)
        status[i]++;
    return result;
}

int madvise(void *address, size_t size, int advice)
{
    if (advice == MADV_POPULATE_WRITE && populate_failures > 0) {
        populate_failures--;
        errno = EFAULT;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, size, advice);
}

static FILE *redirect_stderr(void)
{
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    cr_assert_geq(dup2(fileno(file), STDERR_FILENO), 0);
    return file;
}

// What was warned of so far.
static const char *warnings(FILE *file)
{
    static char text[4096];
    fflush(stderr);
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    return text;
}

static void open_arena(struct arena *arena, size_t size, int node, bool huge)
{
    struct error error;
    cr_assert_eq(arena_open(arena, "test", size, node, huge, &error), 0, "%s", error.text);
}

static bool host_has_nodes(void)
{
    return access("/sys/devices/system/node/node0", F_OK) == 0;
}

// What /proc/self/smaps says under `key` of the mapping at `base`; NULL when it is not mapped.
static const char *read_mapping(const void *base, const char *key)
{
    static char line[512];
    size_t key_size = strlen(key);
    bool ours = false;
    const char *value = NULL;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    cr_assert_not_null(smaps);
    while (!value && fgets(line, sizeof(line), smaps)) {
        uintptr_t first, end;
        if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
            ours = (uintptr_t)base >= first && (uintptr_t)base < end;
        else if (ours && !strncmp(line, key, key_size) && line[key_size] == ':')
            value = line + key_size + 1;
    }
    fclose(smaps);
    return value;
}

// The sanitizers replace mlock by a function that does nothing.
static bool mlock_locks(void)
{
    static alignas(4096) unsigned char page[4096];
    bool locks = mlock(page, sizeof(page)) != 0 || strstr(read_mapping(page, "VmFlags"), " lo");
    munlock(page, sizeof(page));
    return locks;
}

// Reserve every huge page that is free, untouched.
static void exhaust_huge_pages(void)
{
    for (size_t size = (size_t)1 << 38; size >= HUGE_PAGE;) {
        void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
        if (pages == MAP_FAILED)
            size /= 2;
    }
}

Test(arena, rounds_up_to_whole_pages_and_starts_unused)
{
    struct arena arena;
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    open_arena(&arena, page_size + 1, ARENA_ANY_NODE, false);
    cr_assert_eq(arena.size, 2 * page_size);
    cr_assert_eq(arena.page_size, page_size);
    cr_assert_eq(arena.used, 0);
    cr_assert_eq(arena.node, ARENA_ANY_NODE);
    arena_close(&arena);
}

Test(arena, hands_out_zeroed_aligned_pieces_that_do_not_overlap)
{
    struct arena arena;
    uint64_t expected[64];
    unsigned char *pieces[64];
    open_arena(&arena, MIB, ARENA_ANY_NODE, false);
    for (size_t i = 0; i < 64; i++) {
        size_t size = 1 + i * 37, alignment = (size_t)1 << (i % 13);
        pieces[i] = arena_take(&arena, size, alignment);
        expected[i] = size;
        cr_assert_eq((uintptr_t)pieces[i] % alignment, 0);
        for (size_t byte = 0; byte < size; byte++)
            cr_assert_eq(pieces[i][byte], 0);
        memset(pieces[i], (int)i + 1, size);
    }
    for (size_t i = 0; i < 64; i++) {
        for (size_t byte = 0; byte < expected[i]; byte++)
            cr_assert_eq(pieces[i][byte], i + 1);
    }
    cr_assert_leq(pieces[63] + expected[63], arena.base + arena.used);
    arena_close(&arena);
}

Test(arena, can_be_used_up_to_its_last_byte)
{
    struct arena arena;
    open_arena(&arena, MIB, ARENA_ANY_NODE, false);
    cr_assert_eq(arena_take(&arena, MIB - 1, 1), arena.base);
    unsigned char *last = arena_take(&arena, 1, 1);
    *last = 1;
    cr_assert_eq(arena.used, arena.size);
    arena_close(&arena);
}

Test(arena, stops_the_process_when_it_was_reserved_too_small, .signal = SIGABRT)
{
    struct arena arena;
    open_arena(&arena, MIB, ARENA_ANY_NODE, false);
    arena_take(&arena, 1, 1);
    arena_take(&arena, MIB, 1);
}

Test(arena, stops_the_process_when_a_size_would_wrap, .signal = SIGABRT)
{
    struct arena arena;
    open_arena(&arena, MIB, ARENA_ANY_NODE, false);
    arena_take(&arena, 64, 64);
    arena_take(&arena, SIZE_MAX - 32, 1);
}

Test(arena, stops_the_process_for_an_alignment_that_is_no_power_of_two, .signal = SIGABRT)
{
    struct arena arena;
    open_arena(&arena, MIB, ARENA_ANY_NODE, false);
    arena_take(&arena, 64, 48);
}

Test(arena, is_touched_and_kept_out_of_core_dumps_and_not_locked_unless_it_is_hot)
{
    struct arena arena;
    open_arena(&arena, 4 * MIB, ARENA_ANY_NODE, false);
    cr_assert_eq(atol(read_mapping(arena.base, "Rss")), 4096);
    const char *flags = read_mapping(arena.base, "VmFlags");
    cr_assert_not_null(strstr(flags, " dd"), "%s", flags);
    cr_assert_null(strstr(flags, " lo"), "%s", flags);
    arena_close(&arena);
}

Test(arena, is_touched_locked_and_kept_out_of_core_dumps_when_it_is_hot)
{
    struct arena arena;
    bool locks = mlock_locks();
    FILE *file = redirect_stderr();
    exhaust_huge_pages();
    open_arena(&arena, 4 * MIB, ARENA_ANY_NODE, true);
    cr_assert_eq(atol(read_mapping(arena.base, "Rss")), 4096);
    const char *flags = read_mapping(arena.base, "VmFlags");
    cr_assert_not_null(strstr(flags, " dd"), "%s", flags);
    cr_assert(strstr(flags, " lo") || strstr(warnings(file), "cannot be locked") || !locks, "%s",
              flags);
    arena_close(&arena);
}

Test(arena, warns_and_goes_on_when_it_may_not_lock)
{
    struct arena arena;
    if (!mlock_locks())
        cr_skip("mlock is a sanitizer's");
    struct rlimit little = {.rlim_cur = 4096, .rlim_max = 4096};
    FILE *file = redirect_stderr();
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &little), 0);
    if (geteuid() == 0)
        cr_assert_eq(setresuid(NOBODY, NOBODY, NOBODY), 0); // gives up CAP_IPC_LOCK
    exhaust_huge_pages();
    open_arena(&arena, 4 * MIB, ARENA_ANY_NODE, true);
    cr_assert_not_null(strstr(warnings(file), "LimitMEMLOCK=infinity"), "%s", warnings(file));
    memset(arena_take(&arena, 4 * MIB, 4096), 1, 4 * MIB);
    arena_close(&arena);
}

// On a host with huge pages this sees them used, on one without it sees the warning; falling back
// in silence fails on both.
Test(arena, takes_huge_pages_or_says_why_not)
{
    struct arena arena;
    FILE *file = redirect_stderr();
    open_arena(&arena, 3 * MIB, ARENA_ANY_NODE, true);
    long page_kib = atol(read_mapping(arena.base, "KernelPageSize"));
    const char *text = warnings(file);
    if (arena.page_size == HUGE_PAGE) {
        cr_assert_eq(arena.size, 4 * MIB);
        cr_assert_eq(page_kib, 2048);
        cr_assert_not_null(strstr(read_mapping(arena.base, "VmFlags"), " dd"));
        cr_assert_null(strstr(text, "normal pages"), "%s", text);
    } else {
        cr_assert_eq(arena.size, 3 * MIB);
        cr_assert_eq(page_kib * 1024, (long)arena.page_size);
        cr_assert_not_null(strstr(text, "arena 'test'"), "%s", text);
        cr_assert_not_null(strstr(text, "taking normal pages"), "%s", text);
    }
    memset(arena_take(&arena, 3 * MIB, arena.page_size), 1, 3 * MIB);
    arena_close(&arena);
}

static void assert_shortfall_is_named(const char *text, const char *folder)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/nr_hugepages", folder);
    if (access(path, F_OK) != 0) {
        cr_assert_not_null(strstr(text, "has no huge pages of 2 MiB"), "%s", text);
        return;
    }
    cr_assert_not_null(strstr(text, "needs 2 huge pages of 2 MiB and 0 are free"), "%s", text);
    long pool, wanted;
    FILE *file = fopen(path, "re");
    cr_assert(file && fscanf(file, "%ld", &pool) == 1);
    fclose(file);
    const char *command = strstr(text, "echo ");
    cr_assert(command && sscanf(command, "echo %ld", &wanted) == 1, "%s", text);
    cr_assert_eq(wanted, pool + 2, "%s", text);
    cr_assert_not_null(strstr(command, path), "%s", text);
}

Test(arena, names_the_shortfall_and_the_command_when_huge_pages_have_run_out)
{
    struct arena arena;
    FILE *file = redirect_stderr();
    exhaust_huge_pages();
    open_arena(&arena, 3 * MIB, ARENA_ANY_NODE, true);
    cr_assert_eq(arena.page_size, (size_t)sysconf(_SC_PAGESIZE));
    assert_shortfall_is_named(warnings(file), "/sys/kernel/mm/hugepages/hugepages-2048kB");
    arena_close(&arena);
}

Test(arena, takes_normal_pages_when_the_node_has_too_few_huge_ones)
{
    struct arena arena;
    FILE *file = redirect_stderr();
    if (!host_has_nodes())
        cr_skip("no NUMA nodes");
    // The host's reservation may succeed; touching then fails as on a node that has run out.
    size_t probe = HUGE_PAGE;
    void *page = mmap(NULL, probe, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
    populate_failures = page == MAP_FAILED ? 0 : 1;
    if (page != MAP_FAILED)
        munmap(page, probe);
    open_arena(&arena, 2 * MIB, 0, true);
    cr_assert_eq(arena.page_size, (size_t)sysconf(_SC_PAGESIZE));
    cr_assert_not_null(strstr(warnings(file), "taking normal pages"), "%s", warnings(file));
    cr_assert_eq(populate_failures, 0);
    memset(arena_take(&arena, 2 * MIB, 4096), 1, 2 * MIB);
    arena_close(&arena);
}

Test(arena, reports_pages_that_cannot_be_had)
{
    struct arena arena;
    struct error error;
    populate_failures = 1;
    cr_assert_eq(arena_open(&arena, "test", MIB, ARENA_ANY_NODE, false, &error), -1);
    cr_assert_not_null(strstr(error.text, "arena 'test': madvise(MADV_POPULATE_WRITE) of 1024 KiB"),
                       "%s", error.text);
    cr_assert_not_null(strstr(error.text, strerror(EFAULT)), "%s", error.text);
    cr_assert_null(arena.base);
}

Test(arena, lies_on_the_node_it_was_bound_to)
{
    struct arena arena;
    void *page;
    int node = -1, policy = -1;
    unsigned long nodes[16] = {0};
    if (!host_has_nodes())
        cr_skip("no NUMA nodes");
    FILE *file = redirect_stderr();
    open_arena(&arena, 4 * MIB, 0, false);
    cr_assert_null(strstr(warnings(file), "node"), "%s", warnings(file));
    page = arena.base + 3 * MIB;
    cr_assert_eq(syscall(SYS_move_pages, 0, 1ul, &page, NULL, &node, 0), 0);
    cr_assert_eq(node, 0);
    cr_assert_eq(get_mempolicy(&policy, nodes, 1025, page, MPOL_F_ADDR), 0);
    cr_assert_eq(policy, MPOL_BIND);
    cr_assert_eq(nodes[0], 1);
    arena_close(&arena);
}

Test(arena, warns_of_every_page_that_lies_on_another_node)
{
    struct arena arena;
    if (!host_has_nodes())
        cr_skip("no NUMA nodes");
    FILE *file = redirect_stderr();
    char expected[64];
    long page_count = (long)(4 * MIB) / sysconf(_SC_PAGESIZE); // more than one query covers
    wrong_nodes = (int)page_count - 3;
    snprintf(expected, sizeof(expected), "%ld of %ld pages do not lie on node 0", page_count - 3,
             page_count);
    open_arena(&arena, 4 * MIB, 0, false);
    cr_assert_not_null(strstr(warnings(file), expected), "%s", warnings(file));
    arena_close(&arena);
}

Test(arena, refuses_a_node_that_does_not_exist)
{
    static const int wrong[] = {1023, 1024, 1 << 20};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct arena arena;
        struct error error;
        char expected[64];
        snprintf(expected, sizeof(expected), "no NUMA node %d", wrong[i]);
        cr_assert_eq(arena_open(&arena, "test", MIB, wrong[i], true, &error), -1);
        cr_assert_not_null(strstr(error.text, expected), "%s", error.text);
    }
}

Test(arena, is_unmapped_when_closed_and_may_be_closed_again)
{
    struct arena arena;
    open_arena(&arena, 4 * MIB, ARENA_ANY_NODE, false);
    void *base = arena.base;
    arena_close(&arena);
    cr_assert_eq(msync(base, 4096, MS_ASYNC), -1);
    cr_assert_eq(errno, ENOMEM);
    cr_assert_null(read_mapping(base, "Rss"));
    arena_close(&arena);
}
