// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "numa/bell.h"
#include "numa/clock.h"
#include "numa/thread.h"

#define STRESS_NS       1500000000ull
#define LOST_TIMEOUT_MS 200
#define GRACE_MS        1000

static void open_bell(struct bell *bell)
{
    struct error error;
    cr_assert_eq(bell_open(bell, &error), 0, "%s", error.text);
}

static bool is_readable(const struct bell *bell, int timeout_ms)
{
    struct pollfd sleeper = {.fd = bell->event_fd, .events = POLLIN};
    return poll(&sleeper, 1, timeout_ms) == 1;
}

Test(bell, makes_no_system_call_while_nobody_sleeps)
{
    struct bell bell;
    open_bell(&bell);
    bell_ring(&bell);
    cr_assert_not(is_readable(&bell, 0));
    bell_close(&bell);
}

Test(bell, becomes_readable_when_rung_after_doze_and_silent_after_wake)
{
    struct bell bell;
    open_bell(&bell);
    bell_doze(&bell);
    cr_assert_not(is_readable(&bell, 0));
    bell_ring(&bell);
    bell_ring(&bell);
    cr_assert(is_readable(&bell, 0));
    bell_wake(&bell);
    cr_assert_not(is_readable(&bell, 0));
    bell_ring(&bell);
    cr_assert_not(is_readable(&bell, 0), "awake again: nobody rings");
    bell_close(&bell);
}

Test(bell, wakes_without_having_been_rung)
{
    struct bell bell;
    open_bell(&bell);
    bell_doze(&bell);
    bell_wake(&bell);
    bell_ring(&bell);
    cr_assert_not(is_readable(&bell, 0));
    bell_close(&bell);
}

Test(bell, a_ring_that_comes_after_wake_ends_only_the_next_sleep)
{
    struct bell bell;
    open_bell(&bell);
    bell_ring_slow(&bell); // a ringer that saw the sleeper asleep and was then held up
    bell_doze(&bell);
    bell_wait(&bell, 1000);
    cr_assert_not(is_readable(&bell, 0));
    bell_close(&bell);
}

Test(bell, wait_ends_at_its_timeout_and_leaves_the_sleeper_awake)
{
    struct bell bell;
    struct tsc_clock clock;
    clock_calibrate(&clock, 10);
    open_bell(&bell);
    uint64_t start_ns = clock_ns(&clock);
    bell_doze(&bell);
    bell_wait(&bell, 20);
    uint64_t slept_ns = clock_ns(&clock) - start_ns;
    cr_assert_geq(slept_ns, 19000000);
    cr_assert_lt(slept_ns, 900000000);
    bell_ring(&bell);
    cr_assert_not(is_readable(&bell, 0));
    bell_close(&bell);
}

Test(bell, refuses_to_wait_longer_than_a_second, .signal = SIGABRT)
{
    struct bell bell;
    open_bell(&bell);
    bell_doze(&bell);
    bell_wait(&bell, 1001);
}

Test(bell, descriptor_neither_blocks_nor_survives_exec)
{
    struct bell bell;
    open_bell(&bell);
    cr_assert(fcntl(bell.event_fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(bell.event_fd, F_GETFD) & FD_CLOEXEC);
    bell_close(&bell);
}

Test(bell, says_what_to_do_when_no_descriptor_is_left)
{
    struct bell bell;
    struct error error;
    struct rlimit before, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = bell_open(&bell, &error);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(result, -1);
    cr_assert_not_null(strstr(error.text, "ulimit -n"), "%s", error.text);
}

// One unit of work after the other: the worker publishes the next only when the sleeper has taken
// the last, so a wake-up that is lost stops both until the sleeper's timeout.
struct stress {
    struct bell bell;
    _Atomic uint64_t published; // written by the worker
    _Atomic uint64_t taken;     // written by the sleeper
    _Atomic bool stop;          // written by the main thread
    uint64_t lost;              // wake-ups
    uint64_t sleeps;
};

// The sleeper idles for a different length each time before it looks again, so that publishing
// meets every moment of its way to sleep. With either fence of the bell removed, six runs of six on
// two x86 cores lost a wake-up.
static void idle_a_little(uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        __asm__ volatile("" ::: "memory");
}

static void *publish_work(void *argument)
{
    struct stress *stress = argument;
    for (uint64_t round = 1; !atomic_load(&stress->stop); round++) {
        atomic_store_explicit(&stress->published, round, memory_order_release);
        bell_ring(&stress->bell);
        while (atomic_load_explicit(&stress->taken, memory_order_acquire) != round &&
               !atomic_load_explicit(&stress->stop, memory_order_relaxed)) {
        }
    }
    return NULL;
}

static bool take_work(struct stress *stress)
{
    uint64_t published = atomic_load_explicit(&stress->published, memory_order_acquire);
    uint64_t taken = atomic_load_explicit(&stress->taken, memory_order_relaxed);
    atomic_store_explicit(&stress->taken, published, memory_order_release);
    return published != taken;
}

static bool work_is_there(struct stress *stress)
{
    return atomic_load_explicit(&stress->published, memory_order_acquire) !=
           atomic_load_explicit(&stress->taken, memory_order_relaxed);
}

static void *sleep_for_work(void *argument)
{
    struct stress *stress = argument;
    while (!atomic_load(&stress->stop)) {
        if (take_work(stress)) {
            idle_a_little(atomic_load_explicit(&stress->taken, memory_order_relaxed) % 1021);
            continue;
        }
        bell_doze(&stress->bell);
        if (!work_is_there(stress)) {
            stress->sleeps++;
            // A worker that published just now may still be on its way to the bell: only work that
            // lies there unannounced for a while longer is a lost wake-up.
            if (!is_readable(&stress->bell, LOST_TIMEOUT_MS) && work_is_there(stress) &&
                !is_readable(&stress->bell, GRACE_MS))
                stress->lost++;
        }
        bell_wake(&stress->bell);
    }
    return NULL;
}

Test(bell, never_loses_a_wake_up_between_two_threads, .timeout = 60)
{
    static struct stress stress;
    struct timespec duration = {.tv_sec = STRESS_NS / 1000000000,
                                .tv_nsec = STRESS_NS % 1000000000};
    bool apart = thread_core_usable(0, NULL) == 0 && thread_core_usable(1, NULL) == 0;
    pthread_t worker, sleeper;
    open_bell(&stress.bell);
    // Left to itself the scheduler wakes the sleeper on the worker's core, where they never race.
    cr_assert_eq(thread_start(&sleeper, "sleeper", apart ? 0 : THREAD_ANY_CORE, sleep_for_work,
                              &stress, NULL),
                 0);
    cr_assert_eq(
        thread_start(&worker, "worker", apart ? 1 : THREAD_ANY_CORE, publish_work, &stress, NULL),
        0);
    nanosleep(&duration, NULL);
    atomic_store(&stress.stop, true);
    pthread_join(worker, NULL);
    pthread_join(sleeper, NULL);
    cr_assert_eq(stress.lost, 0, "%llu of %llu sleeps were not ended",
                 (unsigned long long)stress.lost, (unsigned long long)stress.sleeps);
    cr_assert_gt(stress.sleeps, 10);
    cr_assert_gt(atomic_load(&stress.taken), 10);
    bell_close(&stress.bell);
}

static void *ring_after_a_while(void *argument)
{
    struct timespec while_ns = {.tv_nsec = 20000000};
    nanosleep(&while_ns, NULL);
    bell_ring(argument);
    return NULL;
}

Test(bell, wait_ends_when_another_thread_rings, .timeout = 60)
{
    struct bell bell;
    struct tsc_clock clock;
    pthread_t ringer;
    clock_calibrate(&clock, 10);
    open_bell(&bell);
    bell_doze(&bell);
    uint64_t start_ns = clock_ns(&clock);
    cr_assert_eq(pthread_create(&ringer, NULL, ring_after_a_while, &bell), 0);
    bell_wait(&bell, 1000);
    cr_assert_lt(clock_ns(&clock) - start_ns, 1000000000ull);
    pthread_join(ringer, NULL);
    bell_close(&bell);
}
