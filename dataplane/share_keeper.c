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

static bool step(struct share_keeper *keeper, bool *waits)
{
    pthread_mutex_lock(keeper->lock);
    bool any = rebalance_step(&keeper->rebalance, clock_ns(keeper->clock));
    *waits = rebalance_waits(&keeper->rebalance);
    pthread_mutex_unlock(keeper->lock);
    return any;
}

// Until nothing is in hand: whether anything was.
static bool serve(struct share_keeper *keeper, bool *waits)
{
    bool any = false;
    while (step(keeper, waits) && !atomic_load_explicit(&keeper->stop, memory_order_relaxed)) {
        any = true;
        nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
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

int share_keeper_settle(struct share_keeper *keeper, struct error *error)
{
    uint64_t until_ns = clock_ns(keeper->clock) + PATIENCE_NS;
    bool waits;
    while (step(keeper, &waits)) {
        if (clock_ns(keeper->clock) > until_ns)
            return error_set(error, "a shard does not take its share of members' limits, or a bar");
        nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
    return 0;
}

// A limit that somebody wants set.
struct setting {
    const char *firm, *actor;
    uint8_t kind;
    uint64_t value;
    bool begun;
    uint64_t after; // it is set when so many were and one more
    uint32_t at;    // the lane that is waited for
};

// 1 when it is set, 0 when not yet, or -1 with `error`. The lock is held.
static int go_on(struct rebalance *rebalance, struct setting *setting, uint64_t now_ns,
                 struct error *error)
{
    if (!setting->begun && rebalance->state == REBALANCE_IDLE) {
        setting->after = rebalance->set_count;
        setting->begun =
            rebalance_set(rebalance, setting->firm, setting->kind, setting->value, setting->actor);
        if (!setting->begun)
            return error_set(error, "no session is of the firm \"%.4s\"", setting->firm);
    }
    rebalance_step(rebalance, now_ns);
    setting->at = rebalance->at;
    return setting->begun && rebalance->set_count > setting->after;
}

int share_keeper_set(struct share_keeper *keeper, const char firm[4], uint8_t kind, uint64_t value,
                     const char *actor, struct error *error)
{
    struct setting setting = {.firm = firm, .actor = actor, .kind = kind, .value = value};
    uint64_t now_ns = clock_ns(keeper->clock), until_ns = now_ns + PATIENCE_NS;
    for (; now_ns < until_ns; now_ns = clock_ns(keeper->clock)) {
        pthread_mutex_lock(keeper->lock);
        int done = go_on(&keeper->rebalance, &setting, now_ns, error);
        pthread_mutex_unlock(keeper->lock);
        if (done != 0)
            return done > 0 ? 0 : -1;
        nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
    return error_set(error, "shard %u %s", setting.at,
                     setting.begun ? "does not answer: it is not known whether it was done"
                                   : "has not done what it was told before");
}
