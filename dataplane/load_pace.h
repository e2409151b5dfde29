// SPDX-License-Identifier: MIT
//
// load_pace: when each message of a run of `sluice load` is to be sent, whatever became of those
// before it. Arrivals say how messages follow one another: evenly, at random as those of many
// clients that know nothing of each other (Poisson), or as on the tape; the rate, which may rise or
// fall from the first message to the last, says how fast. A tape's times are scaled to the rate, so
// that its bursts keep their shape.
#ifndef SLUICE_DATAPLANE_LOAD_PACE_H
#define SLUICE_DATAPLANE_LOAD_PACE_H

#include <stdint.h>

enum load_arrivals { LOAD_FIXED, LOAD_POISSON, LOAD_TAPE, LOAD_ARRIVALS_COUNT };
#define LOAD_ARRIVALS_NAMES                                                                        \
    {                                                                                              \
        "fixed", "poisson", "tape"                                                                 \
    }

struct load_pace {
    enum load_arrivals arrivals;
    double rate, rate_to;  // messages a second, of the first and of the last; above 0
    uint64_t count;        // messages, 1 or more
    uint64_t seed;         // LOAD_POISSON
    const uint64_t *times; // LOAD_TAPE: ns of each message, none before the one in front of it, and
                           // not all the same
    // load_pace's own; 0 at first.
    uint64_t next;
    double position; // LOAD_POISSON: where the next one is, in messages
};

// load_pace_next: ns from the beginning of the run to the time of the next message; never less than
// the one before. Up to `count` calls.
uint64_t load_pace_next(struct load_pace *pace);

#endif
