// SPDX-License-Identifier: MIT
#include "dataplane/share_keeper.h"

#include <time.h>

#include "numa/sandbox.h"
#include "numa/thread.h"

#define STEP_NS     20000 // between looks at whether a lane has done what it was told
#define PATIENCE_NS 10000000000ull
#define REST_NS     1000000  // after each look: so often at most does a shard have to wake it
#define LATER_NS    10000000 // … where something is to begin later
#define SLEEP_MS    1000

// Until nothing is in hand, or for too long: whether anything was. The lock is held.
static bool finish(struct share_keeper *keeper)
{
    uint64_t until_ns = clock_ns(keeper->clock) + PATIENCE_NS, now_ns;
    bool any = false;
    while ((now_ns = clock_ns(keeper->clock)) < until_ns &&
           rebalance_step(&keeper->rebalance, now_ns)) {
        any = true;
        if (atomic_load_explicit(&keeper->stop, memory_order_relaxed))
            break;
        nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
    return any;
}

static bool serve(struct share_keeper *keeper, bool *waits)
{
    pthread_mutex_lock(keeper->lock);
    bool any = finish(keeper);
    *waits = rebalance_waits(&keeper->rebalance);
    pthread_mutex_unlock(keeper->lock);
    return any;
}

static void *keeper_main(void *argument)
{
    struct share_keeper *keeper = argument;
    bool waits;
    sandbox_thread(SANDBOX_LOGINS);
    while (!atomic_load_explicit(&keeper->stop, memory_order_relaxed)) {
        serve(keeper, &waits);
        nanosleep(&(struct timespec){.tv_nsec = waits ? LATER_NS : REST_NS}, NULL);
        bell_doze(&keeper->bell);
        if (serve(keeper, &waits) || waits)
            bell_wake(&keeper->bell);
        else
            bell_wait(&keeper->bell, SLEEP_MS);
    }
    return NULL;
}

int share_keeper_open(struct share_keeper *keeper, struct lane *const *lanes, uint32_t lane_count,
                      pthread_mutex_t *lock, const struct tsc_clock *clock, struct error *error)
{
    keeper->lock = lock;
    keeper->clock = clock;
    return bell_open(&keeper->bell, error) ||
                   rebalance_open(&keeper->rebalance, lanes, lane_count, &keeper->bell, error)
               ? -1
               : 0;
}

int share_keeper_start(struct share_keeper *keeper, struct error *error)
{
    if (thread_start(&keeper->thread, "shares", THREAD_ANY_CORE, keeper_main, keeper, error))
        return -1;
    keeper->started = true;
    return 0;
}

void share_keeper_stop(struct share_keeper *keeper)
{
    if (!keeper->started)
        return;
    atomic_store_explicit(&keeper->stop, true, memory_order_relaxed);
    bell_ring(&keeper->bell);
    pthread_join(keeper->thread, NULL);
    keeper->started = false;
}

void share_keeper_close(struct share_keeper *keeper)
{
    share_keeper_stop(keeper);
    rebalance_close(&keeper->rebalance);
    bell_close(&keeper->bell);
}

int share_keeper_set(struct share_keeper *keeper, const char firm[4], uint8_t kind, uint64_t value,
                     const char *actor, struct error *error)
{
    int result = 0;
    struct rebalance *rebalance = &keeper->rebalance;
    pthread_mutex_lock(keeper->lock);
    finish(keeper);
    if (rebalance->state != REBALANCE_IDLE)
        result = error_set(error, "shard %u has not done what it was told before", rebalance->at);
    else if (!rebalance_set(rebalance, firm, kind, value, actor))
        result = error_set(error, "no session is of the firm \"%.4s\"", firm);
    if (result == 0)
        finish(keeper);
    if (result == 0 && rebalance->state != REBALANCE_IDLE)
        result = error_set(error, "shard %u does not answer: it is not known whether it was done",
                           rebalance->at);
    pthread_mutex_unlock(keeper->lock);
    return result;
}
