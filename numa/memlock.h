// SPDX-License-Identifier: MIT
//
// memlock: what no arena holds (code, libraries, heap, stacks) stays in memory too.
#ifndef SLUICE_NUMA_MEMLOCK_H
#define SLUICE_NUMA_MEMLOCK_H

// memlock_all: touch and lock all that is mapped now. A warning when RLIMIT_MEMLOCK forbids it.
// Once everything is open, before threads start: each of their stacks would be touched whole, 8
// MiB.
//
// Not MCL_FUTURE: beyond the limit the kernel would then refuse mappings themselves, and what is
// still mapped is a snapshot's second lane, for which see numa/arena.h.
void memlock_all(void);

// memlock_stacks: and what has been mapped since, the threads' stacks, as far as they are touched.
// Once threads have started. The same warning, unless it was given.
void memlock_stacks(void);

#endif
