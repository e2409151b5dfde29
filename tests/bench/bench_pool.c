// SPDX-License-Identifier: MIT
//
// bench_pool: what the work-stealing pool is worth: the same tasks by one thread that calls them as
// functions, by a crew of threads around one queue with one mutex, and by the pool. Five rounds,
// alternating. Prints rows. Takes about five seconds. bench_pool --check hammers deque and pool
// instead, for a build with the thread sanitizer, and exits with 1 when a task was lost or ran
// twice.
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/block.h"
#include "numa/array.h"
#include "numa/clock.h"
#include "numa/pool.h"
#include "numa/thread.h"
#include "tests/bench/row.h"
#include "tests/unit/pool_hammer.h"
#include "tests/unit/random.h"

#define ROUNDS          5u
#define PIECE_COUNT     256u
#define PIECE_BYTES     (1u << 20)
#define TREE_TASK_COUNT 40000u
#define TREE_TASK_NS    2000u
#define TINY_TASK_COUNT 400000u
#define TINY_TASK_NS    100u
#define LONG_TASK_NS    50000000u

static struct tsc_clock house_clock;

// One mutex, one queue, newest first: what there would be without the pool.

struct crew {
    pthread_mutex_t mutex;
    pthread_cond_t work; // or the end
    pthread_cond_t done;
    struct task *tasks;
    size_t capacity;
    uint32_t count;   // waiting
    uint32_t pending; // waiting or running
    bool closing;
    uint32_t thread_count; // without the opener
    pthread_t threads[POOL_WORKERS_MAX];
};

static void crew_submit(struct crew *crew, struct task task)
{
    pthread_mutex_lock(&crew->mutex);
    INVARIANT(array_reserve(&crew->tasks, &crew->capacity, crew->count + 1, sizeof(*crew->tasks)));
    crew->tasks[crew->count++] = task;
    crew->pending++;
    pthread_cond_signal(&crew->work);
    pthread_mutex_unlock(&crew->mutex);
}

// Called and returns with the mutex held.
static void crew_run_newest(struct crew *crew)
{
    struct task task = crew->tasks[--crew->count];
    pthread_mutex_unlock(&crew->mutex);
    task.run(NULL, task.argument);
    pthread_mutex_lock(&crew->mutex);
    if (--crew->pending == 0)
        pthread_cond_signal(&crew->done);
}

static void *crew_main(void *argument)
{
    struct crew *crew = argument;
    pthread_mutex_lock(&crew->mutex);
    while (!crew->closing) {
        if (crew->count)
            crew_run_newest(crew);
        else
            pthread_cond_wait(&crew->work, &crew->mutex);
    }
    pthread_mutex_unlock(&crew->mutex);
    return NULL;
}

// The opener works while there is work, and leaves the queue alone while it waits for the rest.
static void crew_run(struct crew *crew)
{
    pthread_mutex_lock(&crew->mutex);
    while (crew->pending) {
        if (crew->count)
            crew_run_newest(crew);
        else
            pthread_cond_wait(&crew->done, &crew->mutex);
    }
    pthread_mutex_unlock(&crew->mutex);
}

static void crew_open(struct crew *crew, uint32_t workers)
{
    struct error error;
    *crew = (struct crew){.thread_count = workers - 1};
    pthread_mutex_init(&crew->mutex, NULL);
    pthread_cond_init(&crew->work, NULL);
    pthread_cond_init(&crew->done, NULL);
    for (uint32_t i = 0; i < crew->thread_count; i++)
        if (thread_start(&crew->threads[i], "crew", THREAD_ANY_CORE, crew_main, crew, &error) !=
            0) {
            fprintf(stderr, "bench_pool: %s\n", error.text);
            exit(1);
        }
}

static void crew_close(struct crew *crew)
{
    pthread_mutex_lock(&crew->mutex);
    crew->closing = true;
    pthread_cond_broadcast(&crew->work);
    pthread_mutex_unlock(&crew->mutex);
    for (uint32_t i = 0; i < crew->thread_count; i++)
        pthread_join(crew->threads[i], NULL);
    free(crew->tasks);
}

// Who runs the tasks of the round. Tasks submit through `submit`, whoever it is.

static enum executor { ALONE, CREW, POOL, EXECUTOR_COUNT } executor;
static struct crew crew;
static struct pool *pool;

static void submit(pool_task_fn *run, void *argument)
{
    if (executor == POOL)
        pool_submit(pool, run, argument);
    else if (executor == CREW)
        crew_submit(&crew, (struct task){.run = run, .argument = argument});
    else
        run(NULL, argument);
}

static void finish(void)
{
    if (executor == POOL)
        pool_run(pool);
    else if (executor == CREW)
        crew_run(&crew);
}

// Work of a given length that costs the same whoever else is on the core: steps of a dependent
// multiplication, not a look at the clock. Each task goes on where the last of its thread ended:
// with chains of their own, the processor did two tasks of 100 ns at once, in 63 ns each.

static double steps_per_ns;
static _Thread_local uint64_t chain;

static void work_for(uint32_t duration_ns)
{
    uint64_t value = chain;
    uint32_t steps = (uint32_t)(duration_ns * steps_per_ns);
    for (uint32_t i = 0; i < steps; i++) {
        value = value * 0x9E3779B97F4A7C15ull + 1;
        __asm__ volatile("" : "+r"(value));
    }
    chain = value;
}

static void calibrate_work(void)
{
    uint64_t best_ns = UINT64_MAX;
    steps_per_ns = 1;
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t start_ns = clock_ns(&house_clock);
        work_for(1000000);
        uint64_t elapsed_ns = clock_ns(&house_clock) - start_ns;
        best_ns = elapsed_ns < best_ns ? elapsed_ns : best_ns;
    }
    steps_per_ns = 1e6 / (double)best_ns;
}

// Even: what the verification of a journal has to do, a CRC over each piece.

static unsigned char *pieces;
static uint32_t piece_crcs[PIECE_COUNT];

static void checksum_piece(struct pool *unused, void *argument)
{
    (void)unused;
    uint32_t *crc = argument;
    *crc = crc32c(0, pieces + (size_t)(crc - piece_crcs) * PIECE_BYTES, PIECE_BYTES);
}

static void submit_pieces(void)
{
    for (uint32_t i = 0; i < PIECE_COUNT; i++)
        submit(checksum_piece, &piece_crcs[i]);
}

// Unbalanced: a tree in which the first of four children has nine tenths of what is below. A task
// knows only how many tasks its subtree has; the number is its argument.

static void grow_tree(struct pool *unused, void *argument)
{
    (void)unused;
    uintptr_t below_count = (uintptr_t)argument - 1;
    work_for(TREE_TASK_NS);
    uintptr_t heavy_count = below_count - below_count / 10;
    uintptr_t light_count = below_count - heavy_count;
    uintptr_t counts[4] = {heavy_count, light_count / 3, light_count / 3,
                           light_count - 2 * (light_count / 3)};
    for (uint32_t i = 0; i < 4; i++)
        if (counts[i])
            submit(grow_tree, (void *)counts[i]);
}

static void submit_tree(void)
{
    submit(grow_tree, (void *)(uintptr_t)TREE_TASK_COUNT);
}

// Tiny, one by one from the opener: what a task costs its submitter and its thief; and from tasks
// that halve what there is to do: what it costs where each worker has its own.

static void do_little(struct pool *unused, void *argument)
{
    (void)unused;
    (void)argument;
    work_for(TINY_TASK_NS);
}

static void submit_tiny(void)
{
    for (uint32_t i = 0; i < TINY_TASK_COUNT; i++)
        submit(do_little, NULL);
}

static void halve(struct pool *unused, void *argument)
{
    (void)unused;
    uintptr_t rest_count = (uintptr_t)argument - 1;
    work_for(TINY_TASK_NS);
    if (rest_count / 2)
        submit(halve, (void *)(rest_count / 2));
    if (rest_count - rest_count / 2)
        submit(halve, (void *)(rest_count - rest_count / 2));
}

static void submit_halves(void)
{
    submit(halve, (void *)(uintptr_t)TINY_TASK_COUNT);
}

// The ceiling: one task for each worker, of equal length. On a host with other work to do, or whose
// processors share a core, it is below the number of workers.

static void work_long(struct pool *unused, void *argument)
{
    (void)unused;
    (void)argument;
    for (uint32_t i = 0; i < LONG_TASK_NS / TREE_TASK_NS; i++)
        work_for(TREE_TASK_NS);
}

static void submit_long(void)
{
    for (uint32_t i = 0; i < pool_worker_count(pool); i++)
        submit(work_long, NULL);
}

struct load {
    const char *name;
    uint32_t task_count;
    void (*submit_all)(void);
};

static double measure(const struct load *load, enum executor who)
{
    executor = who;
    uint64_t start_ns = clock_ns(&house_clock);
    load->submit_all();
    finish();
    return load->task_count * 1e9 / (double)(clock_ns(&house_clock) - start_ns);
}

static void measure_load(const struct load *load)
{
    static const char *const names[EXECUTOR_COUNT] = {"one thread", "one queue, mutex", "pool"};
    char names_of[EXECUTOR_COUNT][64];
    double rates[EXECUTOR_COUNT][ROUNDS];
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (enum executor who = ALONE; who < EXECUTOR_COUNT; who++)
            rates[who][round] = measure(load, who);
    for (enum executor who = ALONE; who < EXECUTOR_COUNT; who++) {
        struct row row = {.name = names_of[who],
                          .unit = "tasks/s",
                          .samples = ROUNDS * (uint64_t)load->task_count};
        snprintf(names_of[who], sizeof(names_of[who]), "%s: %s", load->name, names[who]);
        if (who == POOL) {
            row.peers[0] = names_of[ALONE];
            row.peers[1] = names_of[CREW];
        }
        row_print(&row, rates[who], ROUNDS);
    }
}

static struct pool *open_or_exit(uint32_t workers)
{
    struct error error;
    struct pool *opened = pool_open(workers, &error);
    if (!opened) {
        fprintf(stderr, "bench_pool: %s\n", error.text);
        exit(1);
    }
    return opened;
}

static void measure_loads(void)
{
    const struct load loads[] = {
        {"50 ms, one for each worker", pool_worker_count(pool), submit_long},
        {"CRC32C of 1 MiB pieces, even", PIECE_COUNT, submit_pieces},
        {"2 us, unbalanced tree", TREE_TASK_COUNT, submit_tree},
        {"100 ns, one by one by the opener", TINY_TASK_COUNT, submit_tiny},
        {"100 ns, halved by tasks", TINY_TASK_COUNT, submit_halves},
    };
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
        measure_load(&loads[i]);
}

static void measure_all(void)
{
    struct random random = {1};
    pieces = malloc((size_t)PIECE_COUNT * PIECE_BYTES);
    INVARIANT(pieces);
    for (size_t i = 0; i < (size_t)PIECE_COUNT * PIECE_BYTES; i += 8) {
        uint64_t bits = random_bits(&random);
        memcpy(pieces + i, &bits, sizeof(bits));
    }
    calibrate_work();
    pool = open_or_exit(0);
    crew_open(&crew, pool_worker_count(pool));
    measure_loads();
    crew_close(&crew);
    pool_close(pool);
    free(pieces);
}

static uint64_t check_deque(uint32_t capacity, uint32_t thieves, uint32_t burst, uint32_t items)
{
    struct hammer_deque hammer = {.capacity = capacity,
                                  .thief_count = thieves,
                                  .burst_max = burst,
                                  .item_count = items,
                                  .start = 0 - (uint64_t)items / 2};
    uint64_t fault_count = hammer_deque(&hammer);
    printf("deque of %u, %u thieves, bursts of %u: %llu taken, %llu stolen, %llu races lost, %llu "
           "faults\n",
           capacity, thieves, burst, (unsigned long long)hammer.taken_count,
           (unsigned long long)hammer.stolen_count, (unsigned long long)hammer.lost_count,
           (unsigned long long)fault_count);
    return fault_count;
}

static uint64_t check_pool(uint32_t workers, uint32_t rounds, uint32_t tasks)
{
    struct pool *checked = open_or_exit(workers);
    uint64_t fault_count = hammer_pool(checked, rounds, tasks, workers);
    printf("pool of %u, %u trees of up to %u tasks: %llu stolen, %llu faults\n", workers, rounds,
           tasks, (unsigned long long)pool_steal_count(checked), (unsigned long long)fault_count);
    pool_close(checked);
    return fault_count;
}

static uint64_t check_all(void)
{
    uint64_t fault_count = 0;
    fault_count += check_deque(1024, 3, 100, 300000);
    fault_count += check_deque(8, 2, 30, 300000);
    fault_count += check_deque(8, 1, 1, 500000);
    fault_count += check_deque(8, 3, 2, 300000);
    for (uint32_t workers = 1; workers <= 5; workers++) {
        fault_count += check_pool(workers, 3000, 12);
        fault_count += check_pool(workers, 20, 20000);
    }
    for (uint32_t i = 0; i < 100; i++)
        pool_close(open_or_exit(1 + i % 4));
    return fault_count;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        return check_all() != 0;
    if (argc != 1) {
        fprintf(stderr, "usage: bench_pool [--check]\n");
        return 2;
    }
    clock_calibrate(&house_clock, 50);
    measure_all();
    return 0;
}
