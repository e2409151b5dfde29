// SPDX-License-Identifier: MIT
//
// login_keeper: the thread that verifies logins (dataplane/logins.h), for all lanes.
//
// A signature is verified in 0.2 ms, a password in some hundred times that. So what is signed waits
// for one password at most, whatever lane they are of; and one in clear for so many signatures as
// may wait in a lane.
#ifndef SLUICE_DATAPLANE_LOGIN_KEEPER_H
#define SLUICE_DATAPLANE_LOGIN_KEEPER_H

#include <pthread.h>

#include "dataplane/logins.h"

struct login_keeper {
    struct bell bell;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
    uint32_t turns[2]; // whose turn it is, in clear and signed; the thread's
    uint32_t count;
    struct logins *logins[CONFIG_SHARDS_MAX];
};

// login_keeper_open: the lanes' logins have been added to it; from here on they wait for its
// thread, which login_keeper_start starts. 0, or -1 with `error`. login_keeper_close ends the
// thread: what waits then stays unanswered.
int login_keeper_open(struct login_keeper *keeper, struct error *error);
int login_keeper_start(struct login_keeper *keeper, struct error *error);
void login_keeper_close(struct login_keeper *keeper);

// login_keeper_serve: a round of the thread's, resting as long as it works: up to
// LOGINS_WAITING_MAX signed logins, of all lanes in turn, and then one in clear. Whether there was
// any.
bool login_keeper_serve(struct login_keeper *keeper);

#endif
