// SPDX-License-Identifier: MIT
//
// login_keeper: the thread that verifies logins (dataplane/logins.h), for all lanes.
#ifndef SLUICE_DATAPLANE_LOGIN_KEEPER_H
#define SLUICE_DATAPLANE_LOGIN_KEEPER_H

#include <pthread.h>

#include "dataplane/logins.h"

struct login_keeper {
    struct bell bell;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
    uint32_t count;
    struct logins *logins[CONFIG_SHARDS_MAX];
};

// login_keeper_open: the lanes' logins have been added to it; from here on they wait for its
// thread, which login_keeper_start starts. 0, or -1 with `error`. login_keeper_close ends the
// thread: what waits then stays unanswered.
int login_keeper_open(struct login_keeper *keeper, struct error *error);
int login_keeper_start(struct login_keeper *keeper, struct error *error);
void login_keeper_close(struct login_keeper *keeper);

#endif
