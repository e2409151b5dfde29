// SPDX-License-Identifier: MIT
#include "numa/arena.h"

#include <errno.h>
#include <linux/mman.h>
#include <numaif.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "numa/invariant.h"

#define HUGE_PAGE_SIZE  ((size_t)2 << 20)
#define NODES_MAX       1024 // the kernel's MAX_NUMNODES at its largest
#define BITS_PER_LONG   (8 * sizeof(unsigned long))
#define NODES_FOLDER    "/sys/devices/system/node"
#define PAGES_PER_QUERY 512

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static bool node_exists(int node)
{
    char path[64];
    snprintf(path, sizeof(path), NODES_FOLDER "/node%d", node);
    return node < NODES_MAX && access(path, F_OK) == 0;
}

// The number in folder/name; -1 when there is none.
static long read_number(const char *folder, const char *name)
{
    char path[160];
    long number;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    if (fscanf(file, "%ld", &number) != 1)
        number = -1;
    fclose(file);
    return number;
}

struct node_set {
    unsigned long bits[NODES_MAX / BITS_PER_LONG];
};
#define NODE_SET_SIZE (NODES_MAX + 1) // the kernel reads one bit less

static struct node_set only(int node)
{
    struct node_set set = {0};
    set.bits[(unsigned)node / BITS_PER_LONG] = 1ul << ((unsigned)node % BITS_PER_LONG);
    return set;
}

static int bind_to_node(const struct arena *arena)
{
    struct node_set nodes = only(arena->node);
    return mbind(arena->base, arena->size, MPOL_BIND, nodes.bits, NODE_SET_SIZE, 0) == 0 ? 0 : -1;
}

// Reserve, bind and touch pages of one size. NULL, or the step that failed, with errno, and then
// nothing is left mapped.
static const char *map_pages(struct arena *arena, size_t size, size_t page_size)
{
    bool huge = page_size == HUGE_PAGE_SIZE;
    arena->page_size = page_size;
    arena->size = round_up(size, page_size);
    // Without MAP_NORESERVE: a pool of huge pages that is too small fails here.
    void *base = mmap(NULL, arena->size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB | MAP_HUGE_2MB : 0), -1, 0);
    if (base == MAP_FAILED)
        return "mmap";
    arena->base = base;
    const char *failed = NULL;
    if (madvise(base, arena->size, MADV_DONTDUMP) != 0)
        failed = "madvise(MADV_DONTDUMP)";
    else if (arena->node != ARENA_ANY_NODE && bind_to_node(arena) != 0)
        failed = "mbind";
    // The reservation counts pages of the whole host. When the one node asked for (or a cgroup) has
    // fewer, touching them by hand would end in SIGBUS; this returns an error.
    else if (madvise(base, arena->size, MADV_POPULATE_WRITE) != 0)
        failed = "madvise(MADV_POPULATE_WRITE)";
    if (failed) {
        int why = errno;
        munmap(base, arena->size);
        arena->base = NULL;
        errno = why;
    }
    return failed;
}

static void warn_of_shortfall(const struct arena *arena, const char *name, const char *failed,
                              int why)
{
    char folder[96] = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    if (arena->node != ARENA_ANY_NODE)
        snprintf(folder, sizeof(folder), NODES_FOLDER "/node%d/hugepages/hugepages-2048kB",
                 arena->node);
    long pool = read_number(folder, "nr_hugepages");
    if (pool < 0) {
        warn("arena '%s': this kernel has no huge pages of 2 MiB (no %s): taking normal pages",
             name, folder);
        return;
    }
    // Reserved pages are counted as free until they are touched; nodes do not show theirs.
    long reserved = read_number(folder, "resv_hugepages");
    long available = read_number(folder, "free_hugepages") - (reserved > 0 ? reserved : 0);
    long needed = (long)(arena->size / HUGE_PAGE_SIZE);
    long missing = available < needed ? needed - available : needed;
    warn("arena '%s' needs %ld huge pages of 2 MiB and %ld are free (%s: %s): taking normal pages. "
         "To mend it: echo %ld > %s/nr_hugepages",
         name, needed, available > 0 ? available : 0, failed, strerror(why), pool + missing,
         folder);
}

// Huge pages are never swapped, and locking them would only charge them to RLIMIT_MEMLOCK.
static void lock_pages(const struct arena *arena, const char *name)
{
    if (arena->page_size == HUGE_PAGE_SIZE || mlock(arena->base, arena->size) == 0)
        return;
    int why = errno;
    struct rlimit limit = {0};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    warn(
        "arena '%s': %zu KiB cannot be locked in memory (mlock: %s; RLIMIT_MEMLOCK is %llu KiB) "
        "and "
        "may be swapped out. To mend it: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
        name, arena->size >> 10, strerror(why), (unsigned long long)limit.rlim_cur >> 10);
}

// How many pages the kernel says lie elsewhere than on the node; -1 with errno when it does not
// say.
static long misplaced_count(const struct arena *arena)
{
    void *pages[PAGES_PER_QUERY];
    int nodes[PAGES_PER_QUERY];
    size_t page_count = arena->size / arena->page_size;
    long misplaced = 0;
    for (size_t first = 0; first < page_count; first += PAGES_PER_QUERY) {
        size_t count = page_count - first;
        if (count > PAGES_PER_QUERY)
            count = PAGES_PER_QUERY;
        for (size_t i = 0; i < count; i++)
            pages[i] = arena->base + (first + i) * arena->page_size;
        // Without target nodes it moves nothing and only reports.
        if (move_pages(0, count, pages, NULL, nodes, 0) != 0)
            return -1;
        for (size_t i = 0; i < count; i++)
            misplaced += nodes[i] != arena->node;
    }
    return misplaced;
}

static void verify_node(const struct arena *arena, const char *name)
{
    long misplaced = misplaced_count(arena);
    if (misplaced < 0)
        warn("arena '%s': whether its pages lie on node %d cannot be verified (move_pages: %s)",
             name, arena->node, strerror(errno));
    else if (misplaced > 0)
        warn("arena '%s': %ld of %zu pages do not lie on node %d: every access to them crosses "
             "sockets. See that this process's cpuset (cpuset.mems) includes the node",
             name, misplaced, arena->size / arena->page_size, arena->node);
}

static int map_failed(const struct arena *arena, const char *name, const char *failed,
                      struct error *error)
{
    int why = errno;
    const char *remedy = "free memory, or lower the limits in the configuration";
    if (!strcmp(failed, "mbind"))
        remedy = "give a node that has memory, and allow mbind (CAP_SYS_NICE in a container)";
    else if (why == EINVAL)
        remedy = "Linux 5.14 or later is needed";
    return error_set(error, "arena '%s': %s of %zu KiB on node %d: %s; %s", name, failed,
                     arena->size >> 10, arena->node, strerror(why), remedy);
}

int arena_open(struct arena *arena, const char *name, size_t size, int node, bool hot,
               struct error *error)
{
    INVARIANT(size > 0 && size < SIZE_MAX / 2 && node >= ARENA_ANY_NODE);
    memset(arena, 0, sizeof(*arena));
    arena->node = node;
    if (node != ARENA_ANY_NODE && !node_exists(node))
        return error_set(error,
                         "arena '%s': this host has no NUMA node %d; see " NODES_FOLDER "/online",
                         name, node);

    const char *failed = NULL;
    if (hot) {
        failed = map_pages(arena, size, HUGE_PAGE_SIZE);
        if (failed)
            warn_of_shortfall(arena, name, failed, errno);
    }
    if (!hot || failed) {
        failed = map_pages(arena, size, (size_t)sysconf(_SC_PAGESIZE));
        if (failed)
            return map_failed(arena, name, failed, error);
    }
    if (hot)
        lock_pages(arena, name);
    if (node != ARENA_ANY_NODE)
        verify_node(arena, name);
    return 0;
}

void *arena_take(struct arena *arena, size_t size, size_t alignment)
{
    INVARIANT(alignment > 0 && alignment <= arena->page_size && !(alignment & (alignment - 1)));
    size_t start = round_up(arena->used, alignment);
    INVARIANT(start <= arena->size && size <= arena->size - start);
    arena->used = start + size;
    return arena->base + start; // zeroed by the kernel, and handed out only once
}

void arena_prefer_node(int node)
{
    bool any = node == ARENA_ANY_NODE;
    struct node_set nodes = any ? (struct node_set){0} : only(node);
    if (set_mempolicy(any ? MPOL_DEFAULT : MPOL_PREFERRED, any ? NULL : nodes.bits,
                      any ? 0 : NODE_SET_SIZE) != 0 &&
        !any)
        warn("the kernel's own memory for node %d may come from another one: set_mempolicy: %s; "
             "allow it (CAP_SYS_NICE in a container)",
             node, strerror(errno));
}

void arena_close(struct arena *arena)
{
    if (arena->base)
        munmap(arena->base, arena->size);
    memset(arena, 0, sizeof(*arena));
}
