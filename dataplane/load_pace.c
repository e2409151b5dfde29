// SPDX-License-Identifier: MIT
#include "dataplane/load_pace.h"

#include <math.h>

#include "dataplane/load_flow.h"
#include "numa/invariant.h"

// Where a message stands on the line of messages, on which the n-th of an even flow stands at n.
static double position_of(struct load_pace *pace, uint64_t index)
{
    double last = (double)(pace->count - 1);
    switch (pace->arrivals) {
    case LOAD_POISSON: // distances of mean 1, from a number above 0 and up to 1
        pace->position -= log((double)((load_random(&pace->seed) >> 11) + 1) * 0x1p-53);
        return pace->position;
    case LOAD_TAPE:
        return last * (double)(pace->times[index] - pace->times[0]) /
               (double)(pace->times[pace->count - 1] - pace->times[0]);
    default:
        return (double)index;
    }
}

// When the rate, which changes evenly in time, has made up that many messages; behind the last one
// it stays as it is.
static double seconds_at(const struct load_pace *pace, double position)
{
    double count = (double)pace->count;
    double within = fmin(position, count);
    double from = pace->rate, to = pace->rate_to;
    double rate_there = sqrt(from * from + (to * to - from * from) * within / count);
    return 2.0 * within / (from + rate_there) + (position - within) / to;
}

uint64_t load_pace_next(struct load_pace *pace)
{
    INVARIANT(pace->next < pace->count);
    return (uint64_t)(seconds_at(pace, position_of(pace, pace->next++)) * 1e9);
}
