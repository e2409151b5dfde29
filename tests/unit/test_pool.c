// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "numa/deque.h"
#include "numa/pool.h"
#include "numa/thread.h"
#include "tests/unit/pool_hammer.h"
#include "tests/unit/random.h"

#define MODEL_STEPS    200000u
#define MODEL_CAPACITY 64u
#define STRESS_NS      1000000000ull
#define LOST_NS        900000000ull // a sleeper looks up once a second even when nobody wakes it

static struct pool *open_pool(uint32_t workers)
{
    struct error error;
    struct pool *pool = pool_open(workers, &error);
    cr_assert_not_null(pool, "%s", error.text);
    return pool;
}

// Left to itself the scheduler wakes a worker on the core of the one that woke it, where the two
// never race: the opener on core 0, the others on core 1, where there are such.
static struct pool *open_pool_apart(uint32_t workers)
{
    if (thread_core_usable(0, NULL) != 0 || thread_core_usable(1, NULL) != 0)
        return open_pool(workers);
    cpu_set_t first, second;
    CPU_ZERO(&first);
    CPU_ZERO(&second);
    CPU_SET(0, &first);
    CPU_SET(1, &second);
    cr_assert_eq(sched_setaffinity(0, sizeof(second), &second), 0);
    struct pool *pool = open_pool(workers); // its threads stay where they are started
    cr_assert_eq(sched_setaffinity(0, sizeof(first), &first), 0);
    return pool;
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    cr_assert_eq(clock_gettime(clock, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void nap(uint64_t duration_ns)
{
    struct timespec duration = {.tv_sec = (time_t)(duration_ns / 1000000000),
                                .tv_nsec = (long)(duration_ns % 1000000000)};
    nanosleep(&duration, NULL);
}

// The deque alone.

// The model is an array of which [top, bottom) is there.
static void follow_model(uint32_t capacity, uint64_t start, uint64_t seed)
{
    static uint64_t items[MODEL_STEPS];
    struct deque *deque = hammer_open_deque(capacity, start);
    struct random random = {seed};
    uint64_t top = 0, bottom = 0, number = 1;
    for (uint32_t step = 0; step < MODEL_STEPS; step++) {
        struct task task = hammer_numbered(0);
        uint32_t lean = step / 1000 % 2 ? 60 : 40; // towards full, towards empty
        if (random_percent(&random, lean)) {
            bool pushed = deque_push(deque, hammer_numbered(number));
            cr_assert_eq(pushed, bottom - top < capacity);
            if (pushed)
                items[bottom++] = number++;
        } else if (random_percent(&random, 50)) {
            cr_assert_eq(deque_take(deque, &task), bottom > top);
            if (bottom > top)
                cr_assert_eq(hammer_number(task), items[--bottom]);
        } else {
            cr_assert_eq(deque_steal(deque, &task), bottom > top ? DEQUE_STOLEN : DEQUE_EMPTY);
            if (bottom > top)
                cr_assert_eq(hammer_number(task), items[top++]);
        }
        cr_assert_eq(deque_is_empty(deque), bottom == top);
    }
    cr_assert_gt(number, MODEL_STEPS / 4);
    free(deque);
}

Test(deque, gives_the_owner_the_newest_and_thieves_the_oldest)
{
    for (uint32_t capacity = 8; capacity <= MODEL_CAPACITY; capacity *= 2)
        follow_model(capacity, 0, capacity);
}

Test(deque, agrees_with_the_model_when_the_indices_wrap_at_two_to_the_64)
{
    follow_model(8, 0 - 1000ull, 64);
    follow_model(MODEL_CAPACITY, 0 - 1000ull, 65);
}

Test(deque, refuses_a_capacity_that_is_no_power_of_two, .signal = SIGABRT)
{
    alignas(128) static unsigned char memory[1024];
    deque_init(memory, 12);
}

Test(deque, gives_every_item_to_exactly_one_of_the_owner_and_three_thieves, .timeout = 60)
{
    struct hammer_deque hammer = {.capacity = 1024,
                                  .thief_count = 3,
                                  .burst_max = 100,
                                  .item_count = 500000,
                                  .start = 0 - 100000ull};
    cr_assert_eq(hammer_deque(&hammer), 0);
    cr_assert_eq(hammer.taken_count + hammer.stolen_count, hammer.item_count);
}

Test(deque, gives_every_item_to_exactly_one_when_it_is_full_all_the_time, .timeout = 60)
{
    struct hammer_deque hammer = {
        .capacity = 8, .thief_count = 2, .burst_max = 30, .item_count = 500000};
    cr_assert_eq(hammer_deque(&hammer), 0);
    cr_assert_eq(hammer.taken_count + hammer.stolen_count, hammer.item_count);
}

Test(deque, gives_the_last_item_to_exactly_one, .timeout = 60)
{
    struct hammer_deque hammer = {
        .capacity = 8, .thief_count = 1, .burst_max = 1, .item_count = 2000000};
    cr_assert_eq(hammer_deque(&hammer), 0);
    cr_assert_eq(hammer.taken_count + hammer.stolen_count, hammer.item_count);
    hammer = (struct hammer_deque){
        .capacity = 8, .thief_count = 3, .burst_max = 2, .item_count = 500000};
    cr_assert_eq(hammer_deque(&hammer), 0);
    cr_assert_eq(hammer.taken_count + hammer.stolen_count, hammer.item_count);
}

// The pool.

Test(pool, runs_every_task_of_random_trees_once_and_shows_all_results, .timeout = 60)
{
    for (uint32_t workers = 1; workers <= 5; workers++) {
        struct pool *pool = open_pool(workers);
        cr_assert_eq(pool_worker_count(pool), workers);
        cr_assert_eq(hammer_pool(pool, 60, 20000, workers), 0, "%u workers", workers);
        pool_close(pool);
    }
}

Test(pool, ends_many_short_rounds_each_when_its_tasks_are_done, .timeout = 60)
{
    for (uint32_t workers = 2; workers <= 3; workers++) {
        struct pool *pool = open_pool_apart(workers);
        cr_assert_eq(hammer_pool(pool, 20000, 12, workers), 0);
        pool_close(pool);
    }
}

struct chain {
    _Atomic bool begun;
    uint32_t rest_count; // not atomic: one task at a time
};

static void follow_chain(struct pool *pool, void *argument)
{
    struct chain *chain = argument;
    atomic_store_explicit(&chain->begun, true, memory_order_relaxed);
    if (chain->rest_count == 0)
        return;
    chain->rest_count--;
    pool_submit(pool, follow_chain, chain);
}

// At each moment one task is under way, each time another: whoever adds up what was submitted and
// what was completed in the wrong order finds them equal too soon.
Test(pool, does_not_end_a_round_while_a_chain_of_tasks_goes_on, .timeout = 60)
{
    struct pool *pool = open_pool_apart(2);
    for (uint32_t round = 0; round < 100; round++) {
        struct chain chain = {.rest_count = 5000};
        pool_submit(pool, follow_chain, &chain);
        while (!atomic_load(&chain.begun))
            sched_yield();
        pool_run(pool);
        cr_assert_eq(chain.rest_count, 0, "round %u", round);
    }
    pool_close(pool);
}

Test(pool, opens_and_closes_as_often_as_asked, .timeout = 60)
{
    for (uint32_t i = 0; i < 300; i++) {
        struct pool *pool = open_pool(1 + i % 4);
        if (i % 2)
            cr_assert_eq(hammer_pool(pool, 1, 50, i), 0);
        pool_close(pool);
    }
}

static void add_one(struct pool *pool, void *argument)
{
    (void)pool;
    atomic_fetch_add_explicit((_Atomic uint64_t *)argument, 1, memory_order_relaxed);
}

Test(pool, returns_at_once_from_a_round_without_tasks)
{
    struct pool *pool = open_pool(2);
    uint64_t start_ns = now_ns(CLOCK_MONOTONIC);
    pool_run(pool);
    pool_run(pool);
    cr_assert_lt(now_ns(CLOCK_MONOTONIC) - start_ns, LOST_NS);
    pool_close(pool);
}

Test(pool, closes_at_once_while_its_workers_sleep, .timeout = 60)
{
    for (uint32_t i = 0; i < 30; i++) {
        struct pool *pool = open_pool(4);
        nap(3000000);
        uint64_t start_ns = now_ns(CLOCK_MONOTONIC);
        pool_close(pool);
        cr_assert_lt(now_ns(CLOCK_MONOTONIC) - start_ns, LOST_NS);
    }
}

Test(pool, close_runs_what_was_submitted)
{
    for (uint32_t workers = 1; workers <= 2; workers++) {
        _Atomic uint64_t count = 0;
        struct pool *pool = open_pool(workers);
        for (uint32_t i = 0; i < 1000; i++)
            pool_submit(pool, add_one, &count);
        pool_close(pool);
        cr_assert_eq(count, 1000);
    }
}

Test(pool, with_the_opener_alone_runs_nothing_before_the_round_and_all_of_it_in_it)
{
    _Atomic uint64_t count = 0;
    struct pool *pool = open_pool(1);
    for (uint32_t i = 0; i < POOL_DEQUE_CAPACITY; i++)
        pool_submit(pool, add_one, &count);
    cr_assert_eq(count, 0);
    pool_submit(pool, add_one, &count);
    cr_assert_eq(count, 1, "no room: run in place");
    pool_run(pool);
    cr_assert_eq(count, POOL_DEQUE_CAPACITY + 1);
    cr_assert_eq(pool_steal_count(pool), 0);
    pool_close(pool);
}

struct descent {
    _Atomic uint64_t leaf_count;
    _Atomic uint64_t level;
};

// Leaves pile up below, so that the deque is full long before the bottom is reached.
static void descend(struct pool *pool, void *argument)
{
    struct descent *descent = argument;
    pool_submit(pool, add_one, &descent->leaf_count);
    if (atomic_fetch_add(&descent->level, 1) + 1 < 3 * POOL_DEQUE_CAPACITY)
        pool_submit(pool, descend, descent);
}

Test(pool, takes_recursion_that_is_deeper_than_its_deques, .timeout = 60)
{
    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct descent descent = {0};
        struct pool *pool = open_pool(workers);
        pool_submit(pool, descend, &descent);
        pool_run(pool);
        cr_assert_eq(descent.level, 3 * POOL_DEQUE_CAPACITY);
        cr_assert_eq(descent.leaf_count, 3 * POOL_DEQUE_CAPACITY);
        pool_close(pool);
    }
}

struct flood {
    _Atomic uint64_t count;
    uint32_t branches;
};

static void flood_leaf(struct pool *pool, void *argument)
{
    struct flood *flood = argument;
    (void)pool;
    atomic_fetch_add_explicit(&flood->count, 1, memory_order_relaxed);
}

static void flood_branch(struct pool *pool, void *argument)
{
    struct flood *flood = argument;
    for (uint32_t i = 0; i < 2 * POOL_DEQUE_CAPACITY; i++)
        pool_submit(pool, flood_leaf, flood);
}

Test(pool, takes_tasks_that_each_submit_more_than_a_deque_holds, .timeout = 60)
{
    struct flood flood = {.branches = 20};
    struct pool *pool = open_pool(3);
    for (uint32_t i = 0; i < flood.branches; i++)
        pool_submit(pool, flood_branch, &flood);
    pool_run(pool);
    cr_assert_eq(flood.count, 2ull * POOL_DEQUE_CAPACITY * flood.branches);
    pool_close(pool);
}

// A chain of tasks, each of which holds its worker until the one that it submitted has begun: only
// a thief can begin it.
struct relay {
    _Atomic uint32_t begun_count;
    uint32_t length;
};

static void run_relay(struct pool *pool, void *argument)
{
    struct relay *relay = argument;
    uint32_t place = atomic_fetch_add(&relay->begun_count, 1) + 1;
    if (place == relay->length)
        return;
    pool_submit(pool, run_relay, relay);
    while (atomic_load(&relay->begun_count) == place)
        sched_yield();
}

Test(pool, steals_the_work_of_a_worker_that_is_busy, .timeout = 60)
{
    struct relay relay = {.length = 2000};
    struct pool *pool = open_pool(2);
    pool_submit(pool, run_relay, &relay);
    pool_run(pool);
    cr_assert_eq(relay.begun_count, relay.length);
    cr_assert_geq(pool_steal_count(pool), relay.length - 1);
    pool_close(pool);
}

// One branch holds most of the tree. The root holds its worker until somebody else has begun with
// it; what is stolen after that is left to chance.
struct unbalanced {
    _Atomic uint64_t count;
    _Atomic bool held;
};

static void grow_heavy(struct pool *pool, void *argument)
{
    struct unbalanced *tree = argument;
    atomic_store(&tree->held, true);
    for (uint32_t i = 0; i < 1000; i++)
        pool_submit(pool, add_one, &tree->count);
}

static void grow_root(struct pool *pool, void *argument)
{
    struct unbalanced *tree = argument;
    pool_submit(pool, grow_heavy, tree);
    while (!atomic_load(&tree->held))
        sched_yield();
    for (uint32_t i = 0; i < 3; i++)
        pool_submit(pool, add_one, &tree->count);
}

Test(pool, steals_from_an_unbalanced_tree, .timeout = 60)
{
    for (uint32_t workers = 2; workers <= 4; workers++) {
        struct unbalanced tree = {0};
        struct pool *pool = open_pool(workers);
        pool_submit(pool, grow_root, &tree);
        pool_run(pool);
        cr_assert_eq(tree.count, 1003);
        cr_assert_gt(pool_steal_count(pool), 0);
        pool_close(pool);
    }
}

// As many tasks as workers, which all wait for each other: each needs a worker of its own.
struct meeting {
    _Atomic uint32_t present_count;
    uint32_t expected_count;
};

static void meet(struct pool *pool, void *argument)
{
    struct meeting *meeting = argument;
    (void)pool;
    atomic_fetch_add(&meeting->present_count, 1);
    while (atomic_load(&meeting->present_count) < meeting->expected_count)
        sched_yield();
}

Test(pool, wakes_a_worker_for_each_task, .timeout = 60)
{
    struct pool *pool = open_pool(6);
    struct random random = {6};
    for (uint32_t round = 0; round < 1000; round++) {
        struct meeting meeting = {.expected_count = 6};
        nap(random_below(&random, 200000)); // all asleep, or some not yet
        uint64_t start_ns = now_ns(CLOCK_MONOTONIC);
        for (uint32_t i = 0; i < meeting.expected_count; i++)
            pool_submit(pool, meet, &meeting);
        pool_run(pool);
        cr_assert_lt(now_ns(CLOCK_MONOTONIC) - start_ns, LOST_NS);
    }
    pool_close(pool);
}

// The opener does not work here: a worker has to come for each task. The next one is submitted
// after a different time, so that submitting meets every moment of the worker's way to sleep. With
// the seq_cst store of deque_push made a release, four runs of four on two x86 cores lost one.
Test(pool, never_loses_a_wake_up_of_a_worker, .timeout = 60)
{
    _Atomic uint64_t count = 0;
    struct random random = {1};
    struct pool *pool = open_pool_apart(2);
    uint64_t end_ns = now_ns(CLOCK_MONOTONIC) + STRESS_NS;
    for (uint64_t done = 1; now_ns(CLOCK_MONOTONIC) < end_ns; done++) {
        uint64_t start_ns = now_ns(CLOCK_MONOTONIC);
        pool_submit(pool, add_one, &count);
        for (uint32_t looks = 0; atomic_load(&count) < done; looks++)
            if (looks % 1024 == 1023)
                sched_yield();
        cr_assert_lt(now_ns(CLOCK_MONOTONIC) - start_ns, LOST_NS, "task %llu",
                     (unsigned long long)done);
        hammer_idle(random_below(&random, 20000));
    }
    pool_close(pool);
}

struct hold {
    _Atomic bool begun;
    uint64_t duration_ns;
};

static void hold_worker(struct pool *pool, void *argument)
{
    struct hold *hold = argument;
    (void)pool;
    atomic_store(&hold->begun, true);
    nap(hold->duration_ns);
}

static void begin_elsewhere(struct pool *pool, struct hold *hold)
{
    pool_submit(pool, hold_worker, hold);
    while (!atomic_load(&hold->begun))
        sched_yield();
}

Test(pool, never_loses_the_wake_up_of_the_opener_at_the_end, .timeout = 60)
{
    struct random random = {2};
    struct pool *pool = open_pool(3);
    for (uint32_t round = 0; round < 2000; round++) {
        struct hold holds[2] = {{.duration_ns = random_below(&random, 200000)},
                                {.duration_ns = random_below(&random, 200000)}};
        begin_elsewhere(pool, &holds[0]);
        begin_elsewhere(pool, &holds[1]);
        uint64_t start_ns = now_ns(CLOCK_MONOTONIC);
        pool_run(pool);
        cr_assert_lt(now_ns(CLOCK_MONOTONIC) - start_ns, LOST_NS, "round %u", round);
    }
    pool_close(pool);
}

Test(pool, burns_no_core_while_its_workers_have_nothing_to_do, .timeout = 60)
{
    struct pool *pool = open_pool(4);
    nap(50000000);
    uint64_t start_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    nap(400000000);
    cr_assert_lt(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns, 100000000);
    pool_close(pool);
}

Test(pool, lets_the_opener_sleep_while_others_finish, .timeout = 60)
{
    struct pool *pool = open_pool(3);
    struct hold hold = {.duration_ns = 400000000};
    begin_elsewhere(pool, &hold);
    uint64_t start_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    pool_run(pool);
    cr_assert_lt(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns, 100000000);
    pool_close(pool);
}

static void run_inner_pool(struct pool *pool, void *argument)
{
    (void)pool;
    struct pool *inner = open_pool(2);
    pool_submit(inner, add_one, argument);
    pool_close(inner);
}

Test(pool, may_be_opened_and_run_by_a_task_of_another, .timeout = 60)
{
    _Atomic uint64_t count = 0;
    struct pool *pool = open_pool(3);
    for (uint32_t i = 0; i < 20; i++)
        pool_submit(pool, run_inner_pool, &count);
    pool_run(pool);
    cr_assert_eq(count, 20);
    pool_close(pool);
}

Test(pool, has_a_worker_for_each_core_of_the_opener_unless_told_otherwise)
{
    cpu_set_t cores, one;
    cr_assert_eq(sched_getaffinity(0, sizeof(cores), &cores), 0);
    struct pool *pool = open_pool(0);
    uint32_t core_count = (uint32_t)CPU_COUNT(&cores);
    cr_assert_eq(pool_worker_count(pool),
                 core_count < POOL_WORKERS_MAX ? core_count : POOL_WORKERS_MAX);
    pool_close(pool);
    CPU_ZERO(&one);
    for (int core = 0; CPU_COUNT(&one) == 0; core++)
        if (CPU_ISSET(core, &cores))
            CPU_SET(core, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    pool = open_pool(0);
    cr_assert_eq(pool_worker_count(pool), 1);
    pool_close(pool);
}

Test(pool, has_64_workers_and_refuses_more, .timeout = 60)
{
    struct error error;
    struct pool *pool = open_pool(POOL_WORKERS_MAX);
    cr_assert_eq(hammer_pool(pool, 3, 5000, 64), 0);
    pool_close(pool);
    cr_assert_null(pool_open(POOL_WORKERS_MAX + 1, &error));
    cr_assert_not_null(strstr(error.text, "65 workers; choose at most 64"), "%s", error.text);
}

Test(pool, says_what_to_do_when_no_descriptor_is_left)
{
    struct error error;
    struct rlimit before, few;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    cr_assert_geq(next, 0);
    close(next);
    few = (struct rlimit){.rlim_cur = (rlim_t)next + 2, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct pool *pool = pool_open(4, &error);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_null(pool);
    cr_assert_not_null(strstr(error.text, "ulimit -n"), "%s", error.text);
    int after = dup(0);
    cr_assert_eq(after, next, "the descriptors it had are free again");
    close(after);
}

static void *submit_as_a_stranger(void *argument)
{
    pool_submit(argument, add_one, NULL);
    return NULL;
}

Test(pool, stops_the_process_when_a_stranger_submits, .signal = SIGABRT)
{
    pthread_t stranger;
    struct pool *pool = open_pool(1);
    pthread_create(&stranger, NULL, submit_as_a_stranger, pool);
    pthread_join(stranger, NULL);
}

static void run_again(struct pool *pool, void *argument)
{
    (void)argument;
    pool_run(pool);
}

Test(pool, stops_the_process_when_a_task_runs_the_pool, .signal = SIGABRT)
{
    struct pool *pool = open_pool(1);
    pool_submit(pool, run_again, NULL);
    pool_run(pool);
}
