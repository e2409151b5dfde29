// SPDX-License-Identifier: MIT
//
// A member's limit over several lanes, each with a journal on a simulated disk of its own, and the
// machine that moves his shares: orders at random, an operator who sets other limits, and a power
// that goes for all lanes at once while each is durable up to somewhere else. At every step the
// shares together are no more than the limit, and nobody comes to use more than his share.
#ifndef SLUICE_TESTS_SIM_SHARES_H
#define SLUICE_TESTS_SIM_SHARES_H

#include "tests/sim/sim.h"

// shares_run: play the seed's other half, after sim_run; adds to the report. Ends as sim_run does
// when a promise is broken.
void shares_run(const struct sim_plan *plan, struct sim_report *report);

#endif
