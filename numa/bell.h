// SPDX-License-Identifier: MIT
//
// bell: wakes a thread that may sleep when it has nothing to do.
//
// On isolated cores threads spin and nobody rings (a spinning sleeper never marks itself asleep, so
// bell_ring is one fence and one load, no system call). On shared cores the sleeper announces
// itself, looks once more, and sleeps in poll() on the bell's eventfd, alone or among its sockets.
#ifndef SLUICE_NUMA_BELL_H
#define SLUICE_NUMA_BELL_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "numa/error.h"

struct bell {
    alignas(128) _Atomic bool asleep; // written by the sleeper only
    int event_fd;                     // readable once rung; the bell's
};

static_assert(sizeof(struct bell) == 128,
              "what ringers look at shares no line with what is written");

// bell_open: 0, or -1 with `error` (no descriptors left). bell_close frees the descriptor.
int bell_open(struct bell *bell, struct error *error);
void bell_close(struct bell *bell);

// bell_doze: the sleeper says that it is about to sleep. It must then look for work once more
// before it polls event_fd, and call bell_wake afterwards either way. Sleeper only.
void bell_doze(struct bell *bell);
void bell_wake(struct bell *bell);

// bell_wait: bell_doze was called and there still is no work: sleep until rung or `timeout_ms`
// (0 to 1000) has passed, then bell_wake. Sleeper only, where the bell is all it waits for.
void bell_wait(struct bell *bell, int timeout_ms);

// bell_ring_slow: the system call behind bell_ring.
void bell_ring_slow(struct bell *bell);

// bell_fence: between "I sleep" and the last look for work, and between publishing work and the
// look whether somebody sleeps. Store then load, on both sides: only a seq_cst fence orders that.
static inline void bell_fence(void)
{
// gcc's thread sanitizer does not follow fences and warns at each. It loses nothing here: the fence
// decides who sees whom, the data itself travels by acquire and release.
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    atomic_thread_fence(memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

// bell_ring: work for the sleeper has been published. Any thread but the sleeper.
static inline void bell_ring(struct bell *bell)
{
    bell_fence(); // pairs with the fence in bell_doze: the sleeper sees the work, or we see it
                  // asleep
    if (__builtin_expect(atomic_load_explicit(&bell->asleep, memory_order_relaxed), 0))
        bell_ring_slow(bell);
}

#endif
