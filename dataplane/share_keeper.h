// SPDX-License-Identifier: MIT
//
// share_keeper: the thread that moves members' shares of limits between lanes
// (dataplane/rebalance.h), where there are several.
#ifndef SLUICE_DATAPLANE_SHARE_KEEPER_H
#define SLUICE_DATAPLANE_SHARE_KEEPER_H

#include "dataplane/rebalance.h"

struct share_keeper {
    struct rebalance rebalance; // under `lock`
    pthread_mutex_t *lock;      // of who gives lanes orders; held for a step at a time
    const struct tsc_clock *clock;
    struct bell bell;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
};

// share_keeper_open: as rebalance_open; `lock` and `clock` are the caller's. 0, or -1 with `error`.
// share_keeper_start: its thread, which shuts itself in. share_keeper_stop: end the thread; what a
// round has not come to is found at the next start. share_keeper_close: stop it, and free.
int share_keeper_open(struct share_keeper *keeper, struct lane *const *lanes, uint32_t lane_count,
                      pthread_mutex_t *lock, const struct tsc_clock *clock, struct error *error);
int share_keeper_start(struct share_keeper *keeper, struct error *error);
void share_keeper_stop(struct share_keeper *keeper);
void share_keeper_close(struct share_keeper *keeper);

// share_keeper_settle: wait until nothing is in hand, 10 s at most: what a start found in the
// books. 0, or -1 with `error`. Any thread but a lane's, while the keeper's runs.
int share_keeper_settle(struct share_keeper *keeper, struct error *error);

// share_keeper_set: as rebalance_set, and wait until it is durable and in force on all lanes, 10 s
// at most. 0, or -1 with `error`. One thread at a time, not a lane's, while the keeper's runs.
int share_keeper_set(struct share_keeper *keeper, const char firm[4], uint8_t kind, uint64_t value,
                     const char *actor, struct error *error);

#endif
