// SPDX-License-Identifier: MIT
//
// The house's clock: the time stamp counter, calibrated once at start against CLOCK_MONOTONIC_RAW,
// and tied to the wall clock for stamps that people and regulators read; clock_follow keeps it
// there. Reading it is one rdtsc and one multiplication. Hosts without an invariant counter or
// whose kernel marked it unstable, and other architectures, fall back to clock_gettime with a
// warning.
#ifndef SLUICE_NUMA_CLOCK_H
#define SLUICE_NUMA_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct tsc_clock {
    uint64_t base_ticks;      // counter at the moment of base_ns
    uint64_t base_ns;         // CLOCK_MONOTONIC_RAW, ns
    uint64_t ns_per_tick_q32; // ns per tick, 32.32 fixed point
    bool tsc;                 // false: ticks are nanoseconds from clock_gettime
    uint64_t followed_ns;     // when clock_follow was last called: its thread's, as is what follows
    // CLOCK_REALTIME less clock_ns, as measured at calibration and slewed since. Relaxed: nothing
    // else depends on it.
    _Atomic int64_t wall_offset_ns;
};

// How well the wall clock is kept. Who steers the host's clock tells the kernel how far from UTC he
// takes it to be: chronyd (with rtcsync) and ntpd do, phc2sys does not.
struct clock_health {
    int64_t from_host_ns;  // clock_wall_ns less CLOCK_REALTIME
    bool steered;          // somebody steers the host's clock (no STA_UNSYNC)
    bool estimated;        // … and has told of an error
    uint64_t estimated_ns; // which is this; else 0
};

// clock_calibrate: measure for about `duration_ms` (10 to 1000). The tightest of several paired
// reads at each end is kept; 50 ms gives better than 1 in 10^6. Once per process, before threads
// start.
void clock_calibrate(struct tsc_clock *clock, unsigned duration_ms);

// clock_ticks: now, in counter ticks. Not ordered against surrounding loads. Any thread.
uint64_t clock_ticks(const struct tsc_clock *clock);

// clock_ns: now, ns of CLOCK_MONOTONIC_RAW. Any thread.
uint64_t clock_ns(const struct tsc_clock *clock);

// clock_wall_ns: now, ns since 1970-01-01 00:00 UTC, as the wall clock stood at calibration plus
// the counter's progress since, and what clock_follow has slewed. Any thread.
//
// While the host's clock is behind it goes back: by up to 500 us a second, and 1 ms at once. Shards
// take no time before their last one (dataplane/shard.c), so journal and feed never go back, nor do
// the seconds of the clock commands (dataplane/entry.c); the calendar repeats nothing. What a port
// shows `sluice capture` keeps its order and can be stamped so much earlier than the packet before;
// a replay takes that for the same time.
uint64_t clock_wall_ns(const struct tsc_clock *clock);

// clock_follow: slew the wall clock towards the host's, by 500 us at most for each second since the
// last call, or the calibration, of which no more than two count; never a step. `health` is how it
// is then. Without it the wall clock drifts away by what the calibration is wrong and by what the
// host's is slewed: CLOCK_MONOTONIC_RAW is not. About once a second, one thread.
void clock_follow(struct tsc_clock *clock, struct clock_health *health);

// clock_tai_ns: now, ns of CLOCK_TAI, which the kernel stamps packets with. Any thread.
uint64_t clock_tai_ns(void);

// clock_raw_ns: now, ns of CLOCK_MONOTONIC_RAW as the kernel tells it: for what has no calibrated
// clock and measures seconds. Any thread.
uint64_t clock_raw_ns(void);

#endif
