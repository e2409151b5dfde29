// SPDX-License-Identifier: MIT
//
// A supervisor who kills in the middle of trading: a session, a firm, an instrument or everything
// is stopped and what is open canceled, and some time later it may go on. From the acknowledgement
// until then nothing of the kill's scope is live, is accepted or trades: also when the house goes
// down in between.
#ifndef SLUICE_TESTS_SIM_SUPERVISOR_H
#define SLUICE_TESTS_SIM_SUPERVISOR_H

#include "dataplane/lane.h"
#include "tests/sim/oracle.h"

enum supervisor_state {
    SUPERVISOR_IDLE,
    SUPERVISOR_KILLING,  // not acknowledged yet
    SUPERVISOR_KILLED,   // acknowledged, and in force
    SUPERVISOR_DOUBTING, // the house went down before it said so: it may be in force
    SUPERVISOR_LIFTING,
};

struct supervisor {
    enum supervisor_state state;
    struct command stop;             // of the kill: COMMAND_ENTRY or COMMAND_TRADING
    uint64_t given;                  // lane_give_orders' number for it
    uint64_t given_seq;              // the last command that had been logged when it was given
    uint64_t told[SIM_CLIENTS_MAX];  // messages of each stream, at the acknowledgement
    uint64_t kill_count, race_count; // acknowledged; of these with executions of its scope while
                                     // it was on its way
};

// supervisor_act: looks whether what was given is done, and holds what came of it against the log;
// or now and then gives something new, where `more`.
void supervisor_act(struct supervisor *who, struct random *random, struct lane *lane,
                    struct oracle *oracle, bool more);

// supervisor_lost: the house went down.
void supervisor_lost(struct supervisor *who);

#endif
