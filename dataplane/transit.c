// SPDX-License-Identifier: MIT
#include "dataplane/transit.h"

void transit_record(struct transit *transit, const uint64_t at[TRANSIT_POINTS])
{
    uint64_t before = at[0];
    for (uint32_t i = 0; i < TRANSIT_STAGES; i++) {
        uint64_t after = at[i + 1];
        if (after != 0 && after < before)
            after = before; // and the next stage begins there
        if (before != 0 && after != 0)
            histogram_record(&transit->stages[i], after - before);
        before = after;
    }
}
