// SPDX-License-Identifier: MIT
#include "dataplane/login_keeper.h"

#include <time.h>

#include "numa/clock.h"
#include "numa/sandbox.h"
#include "numa/thread.h"

#define SLEEP_MS    1000
#define REST_NS_MIN 1000000ull // between two: at most a thousand signatures a second are verified

static void rest_after(uint64_t began_ns)
{
    uint64_t rest_ns = clock_raw_ns() - began_ns;
    rest_ns = rest_ns > REST_NS_MIN ? rest_ns : REST_NS_MIN;
    nanosleep(&(struct timespec){.tv_sec = (time_t)(rest_ns / 1000000000),
                                 .tv_nsec = (long)(rest_ns % 1000000000)},
              NULL);
}

static bool serve_one(struct login_keeper *keeper, bool is_signed)
{
    for (uint32_t i = 0; i < keeper->count; i++) {
        struct logins *logins = keeper->logins[keeper->turns[is_signed]++ % keeper->count];
        uint64_t began_ns = clock_raw_ns();
        if (!logins_serve(logins, is_signed))
            continue;
        if (logins->port_bell)
            bell_ring(logins->port_bell);
        rest_after(began_ns);
        return true;
    }
    return false;
}

bool login_keeper_serve(struct login_keeper *keeper)
{
    bool served = false;
    for (uint32_t i = 0; i < LOGINS_WAITING_MAX && serve_one(keeper, true); i++)
        served = true;
    return serve_one(keeper, false) || served;
}

static void *keeper_main(void *argument)
{
    struct login_keeper *keeper = argument;
    sandbox_thread(SANDBOX_LOGINS);
    while (!atomic_load_explicit(&keeper->stop, memory_order_relaxed)) {
        if (login_keeper_serve(keeper))
            continue;
        bell_doze(&keeper->bell);
        if (login_keeper_serve(keeper))
            bell_wake(&keeper->bell);
        else
            bell_wait(&keeper->bell, SLEEP_MS);
    }
    return NULL;
}

int login_keeper_open(struct login_keeper *keeper, struct error *error)
{
    if (bell_open(&keeper->bell, error))
        return -1;
    for (uint32_t i = 0; i < keeper->count; i++)
        keeper->logins[i]->bell = &keeper->bell;
    return 0;
}

int login_keeper_start(struct login_keeper *keeper, struct error *error)
{
    if (thread_start(&keeper->thread, "logins", THREAD_ANY_CORE, keeper_main, keeper, error))
        return -1;
    keeper->started = true;
    return 0;
}

void login_keeper_close(struct login_keeper *keeper)
{
    if (keeper->started) {
        atomic_store_explicit(&keeper->stop, true, memory_order_relaxed);
        bell_ring(&keeper->bell);
        pthread_join(keeper->thread, NULL);
        keeper->started = false;
    }
    bell_close(&keeper->bell);
}
