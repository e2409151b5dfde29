// SPDX-License-Identifier: MIT
//
// load_options: the command line of `sluice load`.
#ifndef SLUICE_DATAPLANE_LOAD_OPTIONS_H
#define SLUICE_DATAPLANE_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/load_flow.h"
#include "dataplane/load_pace.h"
#include "dataplane/port.h"
#include "numa/error.h"

#define LOAD_SWEEP_MAX 64u // rates

struct load_user {
    char name[7];
    char password[11];
};

struct load_options {
    struct sockaddr_in to;
    struct sockaddr_in bind;
    const char *interface; // of an AF_XDP port; NULL: sockets of the kernel's
    struct load_user users[LOAD_SESSIONS_MAX];
    uint32_t user_count;
    uint64_t rate, rate_to; // messages a second at first and at last; 0: a closed loop
    uint64_t sweep_step;    // one run for each rate from `rate` to `rate_to`; 0: one run
    enum load_arrivals arrivals;
    enum port_stamps stamps;
    uint64_t count; // 0: not given
    uint64_t seed;
    char symbols[LOAD_NAMED_SYMBOLS_MAX][8];
    uint32_t symbol_count;
    const char *tape;
    const char *hgrm;
    const char *config; // the gateway's, to ask it for the stages; NULL: it is not asked
    int core;
    uint64_t timeout_s;
    bool json, progress, list;
};

// load_options_parse: 0, or -1 with `error`. `options` points into `argv` afterwards.
int load_options_parse(int argc, char **argv, struct load_options *options, struct error *error);

#endif
