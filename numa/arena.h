// SPDX-License-Identifier: MIT
//
// arena: memory that is reserved, placed and touched at start and handed out once, piece by piece,
// until the process ends. What an order goes through is in huge pages where the host has them, in
// locked normal pages with a warning where it has not. There is no free: what is allocated at start
// lives as long as the arena.
#ifndef SLUICE_NUMA_ARENA_H
#define SLUICE_NUMA_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "numa/error.h"

#define ARENA_ANY_NODE (-1)

struct arena {
    unsigned char *base;
    size_t size;      // bytes, a multiple of page_size
    size_t used;      // bytes handed out
    size_t page_size; // bytes of the pages really obtained: 2 MiB, or the base page size
    int node;         // asked for; ARENA_ANY_NODE for wherever first touched
};

// arena_open: reserve `size` bytes (rounded up) for `name` on NUMA node `node`, bind and touch
// them, and keep them out of core dumps. Pages that the kernel put on another node are a warning.
// 0, or -1 with `error` (no memory, no such node). Needs Linux 5.14. Before threads start.
//
// `hot` memory is that of the way of an order. 2 MiB huge pages are tried first, which are never
// swapped; when the host has too few, there is a warning with the shortfall and the command that
// mends it, and normal pages are taken and locked. Pages that cannot be locked (RLIMIT_MEMLOCK) are
// a warning too. Other memory, of replays and snapshots, may be swapped out: locking a second lane
// for as long as a snapshot takes would gain nobody anything.
int arena_open(struct arena *arena, const char *name, size_t size, int node, bool hot,
               struct error *error);

// arena_take: the next `size` zeroed bytes at `alignment` (a power of two up to page_size). Stops
// the process when the arena was reserved too small, which is a mistake of ours: sizes are known at
// start.
void *arena_take(struct arena *arena, size_t size, size_t alignment);

// arena_prefer_node: from now on, what the kernel and libc take for the calling thread and no arena
// holds comes from `node` while that has some: the rings of an AF_XDP socket, say. ARENA_ANY_NODE:
// from where the thread runs, as at start. A warning when it is refused.
void arena_prefer_node(int node);

// arena_close: unmap. Nothing taken from it may be used afterwards.
void arena_close(struct arena *arena);

#endif
