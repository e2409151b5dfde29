// SPDX-License-Identifier: MIT
#include "numa/bell.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "numa/invariant.h"

int bell_open(struct bell *bell, struct error *error)
{
    atomic_init(&bell->asleep, false);
    bell->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell->event_fd < 0)
        return error_set(error,
                         "bell: eventfd: %s; raise the limit of open files (ulimit -n, or "
                         "LimitNOFILE= in the unit)",
                         strerror(errno));
    return 0;
}

void bell_close(struct bell *bell)
{
    close(bell->event_fd);
    bell->event_fd = -1;
}

void bell_doze(struct bell *bell)
{
    atomic_store_explicit(&bell->asleep, true, memory_order_relaxed);
    bell_fence(); // pairs with the fence in bell_ring
}

void bell_wake(struct bell *bell)
{
    atomic_store_explicit(&bell->asleep, false, memory_order_relaxed);
    // One read empties the counter. A ringer that saw us asleep may still write after it: the next
    // sleep then ends at once, once, and looks for work in vain. Never the other way round.
    uint64_t rung_count;
    ssize_t got = read(bell->event_fd, &rung_count, sizeof(rung_count));
    INVARIANT(got == sizeof(rung_count) || (got < 0 && errno == EAGAIN));
}

void bell_wait(struct bell *bell, int timeout_ms)
{
    INVARIANT(timeout_ms >= 0 && timeout_ms <= 1000);
    struct pollfd sleeper = {.fd = bell->event_fd, .events = POLLIN};
    // A signal (EINTR) ends the sleep early, which the caller cannot tell from a ring that came
    // too late, and need not.
    poll(&sleeper, 1, timeout_ms);
    bell_wake(bell);
}

void bell_ring_slow(struct bell *bell)
{
    const uint64_t one = 1;
    ssize_t put = write(bell->event_fd, &one, sizeof(one));
    // EAGAIN: the counter is full, so the descriptor is readable already.
    INVARIANT(put == sizeof(one) || (put < 0 && errno == EAGAIN));
}
