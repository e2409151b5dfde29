// SPDX-License-Identifier: MIT
//
// The house's clock: the time stamp counter, calibrated once at start against CLOCK_MONOTONIC_RAW,
// and tied to the wall clock for stamps that people and regulators read. Reading it is one rdtsc
// and one multiplication. Hosts without an invariant counter or whose kernel marked it unstable,
// and other architectures, fall back to clock_gettime with a warning.
#ifndef SLUICE_NUMA_CLOCK_H
#define SLUICE_NUMA_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct tsc_clock {
    uint64_t base_ticks;      // counter at the moment of base_ns
    uint64_t base_ns;         // CLOCK_MONOTONIC_RAW, ns
    uint64_t ns_per_tick_q32; // ns per tick, 32.32 fixed point
    int64_t wall_offset_ns;   // CLOCK_REALTIME - CLOCK_MONOTONIC_RAW at calibration, ns
    bool tsc;                 // false: ticks are nanoseconds from clock_gettime
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
// the counter's progress since. Any thread.
uint64_t clock_wall_ns(const struct tsc_clock *clock);

// clock_tai_ns: now, ns of CLOCK_TAI, which the kernel stamps packets with. Any thread.
uint64_t clock_tai_ns(void);

// clock_raw_ns: now, ns of CLOCK_MONOTONIC_RAW as the kernel tells it: for what has no calibrated
// clock and measures seconds. Any thread.
uint64_t clock_raw_ns(void);

#endif
