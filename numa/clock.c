// SPDX-License-Identifier: MIT
#include "numa/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "numa/error.h"
#include "numa/invariant.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

#define NS_PER_S       1000000000ull

// Paired reads per end. One costs about 50 ns, so all of them take well under a millisecond, and an
// interrupt would have to hit every one of them to spoil the result.
#define PAIRED_READS   256
#define FOLLOW_READS   32

// The kernel slews its own clock no faster (MAXFREQ, 500 ppm: include/linux/timex.h).
#define SLEW_NS_PER_S  500000
#define SLEW_NS_MAX    (2 * SLEW_NS_PER_S)

// Where the kernel's estimate stands until somebody tells it another: 16 s (NTP_PHASE_LIMIT, the
// same file).
#define NO_ESTIMATE_US 16000000

static uint64_t read_clock_ns(clockid_t id)
{
    struct timespec now;
    INVARIANT(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)

// CPUID 8000_0007h EDX bit 8, "invariant TSC": the counter runs at one rate in all P-, C- and
// T-states (Intel SDM volume 3, 18.17.1; AMD APM volume 3, E.4.6).
static bool counter_is_invariant(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
}

// The processor promises a rate, not that all sockets started together. Linux compares them at boot
// and takes a counter that it caught drifting off this list. A host that does not show the list is
// believed.
static bool counter_is_trusted_by_kernel(void)
{
    char list[256];
    int fd = open("/sys/devices/system/clocksource/clocksource0/available_clocksource",
                  O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    ssize_t size = read(fd, list, sizeof(list) - 1);
    close(fd);
    if (size < 0)
        return true;
    list[size] = '\0';
    return strstr(list, "tsc") != NULL;
}

static const char *why_counter_is_unfit(void)
{
    if (!counter_is_invariant())
        return "this processor has no invariant time stamp counter (in a virtual machine: let the "
               "host pass +invtsc)";
    if (!counter_is_trusted_by_kernel())
        return "the kernel has marked the time stamp counter unstable (dmesg | grep -i tsc)";
    return NULL;
}

// The counter now, ordered against the code around it: not before earlier loads have finished, and
// nothing later before it (Intel SDM volume 2, RDTSC).
static uint64_t counter_ordered(void)
{
    _mm_lfence();
    uint64_t ticks = __rdtsc();
    _mm_lfence();
    return ticks;
}

// The counter and CLOCK_MONOTONIC_RAW at one moment: the pair whose reading took least.
static void read_pair(uint64_t *ticks, uint64_t *ns)
{
    uint64_t tightest = UINT64_MAX;
    for (unsigned i = 0; i < PAIRED_READS; i++) {
        uint64_t before = counter_ordered();
        uint64_t between_ns = read_clock_ns(CLOCK_MONOTONIC_RAW);
        uint64_t after = counter_ordered();
        if (after - before < tightest) {
            tightest = after - before;
            *ticks = before + tightest / 2;
            *ns = between_ns;
        }
    }
}

static void calibrate_rate(struct tsc_clock *clock, unsigned duration_ms)
{
    const struct timespec duration = {.tv_sec = duration_ms / 1000,
                                      .tv_nsec = (long)(duration_ms % 1000) * 1000000};
    uint64_t end_ticks = 0, end_ns = 0;
    read_pair(&clock->base_ticks, &clock->base_ns);
    nanosleep(&duration, NULL);
    do // once, unless a signal has cut the sleep short
        read_pair(&end_ticks, &end_ns);
    while (end_ns - clock->base_ns < (uint64_t)duration_ms * 1000000);
    clock->ns_per_tick_q32 = (uint64_t)(((unsigned __int128)(end_ns - clock->base_ns) << 32) /
                                        (end_ticks - clock->base_ticks));
    clock->tsc = true;
}

#else

static const char *why_counter_is_unfit(void)
{
    return "no time stamp counter is supported on this architecture";
}

static void calibrate_rate(struct tsc_clock *clock, unsigned duration_ms)
{
    (void)clock;
    (void)duration_ms;
}

#endif

// CLOCK_REALTIME - clock_ns, from the tightest of several bracketed reads.
static int64_t read_wall_offset_ns(const struct tsc_clock *clock, unsigned reads)
{
    uint64_t tightest_ns = UINT64_MAX;
    int64_t offset_ns = 0;
    for (unsigned i = 0; i < reads; i++) {
        uint64_t before_ns = clock_ns(clock);
        uint64_t wall_ns = read_clock_ns(CLOCK_REALTIME);
        uint64_t after_ns = clock_ns(clock);
        if (after_ns - before_ns < tightest_ns) {
            tightest_ns = after_ns - before_ns;
            offset_ns = (int64_t)(wall_ns - (before_ns + tightest_ns / 2));
        }
    }
    return offset_ns;
}

void clock_calibrate(struct tsc_clock *clock, unsigned duration_ms)
{
    INVARIANT(duration_ms >= 10 && duration_ms <= 1000);
    memset(clock, 0, sizeof(*clock));
    const char *unfit = why_counter_is_unfit();
    if (unfit) {
        warn("clock: %s; reading CLOCK_MONOTONIC_RAW instead, which costs more per stamp", unfit);
        clock->ns_per_tick_q32 = 1ull << 32;
        clock->base_ns = read_clock_ns(CLOCK_MONOTONIC_RAW);
        clock->base_ticks = clock->base_ns;
    } else {
        calibrate_rate(clock, duration_ms);
    }
    clock->wall_offset_ns = read_wall_offset_ns(clock, PAIRED_READS);
    clock->followed_ns = clock_ns(clock);
}

// Where the kernel does not say, nobody is known to steer.
static void ask_who_steers(struct clock_health *health)
{
    struct timex told = {.modes = 0};
    int state = clock_adjtime(CLOCK_REALTIME, &told);
    health->steered = state >= 0 && state != TIME_ERROR && !(told.status & STA_UNSYNC);
    health->estimated = health->steered && told.esterror >= 0 && told.esterror < NO_ESTIMATE_US;
    health->estimated_ns = health->estimated ? (uint64_t)told.esterror * 1000 : 0;
}

void clock_follow(struct tsc_clock *clock, struct clock_health *health)
{
    uint64_t now_ns = clock_ns(clock), elapsed_ns = now_ns - clock->followed_ns;
    int64_t most_ns =
        elapsed_ns > 2 * NS_PER_S ? SLEW_NS_MAX : (int64_t)(elapsed_ns * SLEW_NS_PER_S / NS_PER_S);
    int64_t offset_ns = atomic_load_explicit(&clock->wall_offset_ns, memory_order_relaxed);
    int64_t wanted_ns = read_wall_offset_ns(clock, FOLLOW_READS), slew_ns = wanted_ns - offset_ns;
    slew_ns = slew_ns > most_ns ? most_ns : slew_ns < -most_ns ? -most_ns : slew_ns;
    atomic_store_explicit(&clock->wall_offset_ns, offset_ns + slew_ns, memory_order_relaxed);
    clock->followed_ns = now_ns;
    health->from_host_ns = offset_ns + slew_ns - wanted_ns;
    ask_who_steers(health);
}

uint64_t clock_ticks(const struct tsc_clock *clock)
{
#if defined(__x86_64__)
    if (likely(clock->tsc))
        return __rdtsc();
#endif
    INVARIANT(!clock->tsc);
    return read_clock_ns(CLOCK_MONOTONIC_RAW);
}

uint64_t clock_ns(const struct tsc_clock *clock)
{
    // A year at 4 GHz is 2^57 ticks, and the factor has 30 bits: the product needs more than 64.
    unsigned __int128 elapsed = clock_ticks(clock) - clock->base_ticks;
    return clock->base_ns + (uint64_t)((elapsed * clock->ns_per_tick_q32) >> 32);
}

uint64_t clock_wall_ns(const struct tsc_clock *clock)
{
    return clock_ns(clock) +
           (uint64_t)atomic_load_explicit(&clock->wall_offset_ns, memory_order_relaxed);
}

uint64_t clock_tai_ns(void)
{
    return read_clock_ns(CLOCK_TAI);
}

uint64_t clock_raw_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC_RAW);
}
