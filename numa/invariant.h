// SPDX-License-Identifier: MIT
//
// INVARIANT: a statement that holds unless the program itself is wrong. It stays on in every
// build: a process that has broken one of its own invariants must not acknowledge another order,
// so it stops at once. Input from outside is checked and counted, never asserted.
#ifndef SLUICE_NUMA_INVARIANT_H
#define SLUICE_NUMA_INVARIANT_H

#include <stdio.h>
#include <stdlib.h>

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

__attribute__((noreturn, cold)) static inline void invariant_broken(const char *statement,
                                                                    const char *file, int line)
{
    fprintf(stderr, "sluice: invariant broken at %s:%d: %s\n", file, line, statement);
    abort();
}

#define INVARIANT(condition)                                                                       \
    (likely(condition) ? (void)0 : invariant_broken(#condition, __FILE__, __LINE__))

#endif
