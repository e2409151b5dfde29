// SPDX-License-Identifier: MIT
//
// How far the clock that everything is stamped with is from UTC: said when that is more than the
// configuration's alarm_us, and beyond its halt_us all instruments are halted, as by an operator,
// journaled with the actor "clock". Whoever resumes them meanwhile has decided so.
#ifndef SLUICE_DATAPLANE_CLOCK_WATCH_H
#define SLUICE_DATAPLANE_CLOCK_WATCH_H

#include "dataplane/gateway.h"

// What was so at the last look.
struct clock_state {
    bool far;   // more than alarm_us from UTC
    bool blind; // nobody says how far the host's clock is from UTC
    bool wrong; // more than halt_us from UTC
};

struct clock_watch {
    struct gateway *gateway;
    struct clock_state state;
    bool halted[CONFIG_SHARDS_MAX]; // shards that were told, since it is wrong
};

// What has become so since the look before, a bit each.
enum clock_change {
    CLOCK_FAR = 1 << 0,
    CLOCK_NEAR = 1 << 1,
    CLOCK_BLIND = 1 << 2,
    CLOCK_SEEN = 1 << 3,
    CLOCK_WRONG = 1 << 4,
};

// clock_divergence_ns: from UTC: what our wall clock is from the host's, and the host's by the
// estimate of who steers it, where there is one.
uint64_t clock_divergence_ns(const struct clock_health *health);

// clock_judge: enum clock_change, the bits of what has changed; `state` is what is so now. `limits`
// are a configuration's that has some.
uint32_t clock_judge(struct clock_state *state, const struct config_clock *limits,
                     const struct clock_health *health);

// clock_watch_look: say on stderr what has changed, and where the clock is wrong halt the shards
// that have not been told so since it is: once, until it has been right again. Waits until that is
// applied and durable; shards that were not told are at the next look. 0, or -1 where it is not
// done. Does nothing where the configuration has no limits. The main thread, after gateway_start.
int clock_watch_look(struct clock_watch *watch, const struct clock_health *health);

// clock_watch_tick: clock_follow, keep its health for the counters, and clock_watch_look. The same;
// once a second or so, and first between gateway_start and gateway_let_in.
int clock_watch_tick(struct clock_watch *watch);

#endif
