// SPDX-License-Identifier: MIT
//
// What scripts/perf-gate loads of two versions of the book into one process, each a shared object
// of its own: a recorded stream (book_tape.h), played round by round. With -DSLOWER=5 everything
// takes 5 % longer: the gate's test of itself. As a program (with -DPROGRAM) it plays one round,
// whose instructions can be counted.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book/book.h"
#include "tests/bench/book_tape.h"

#define INSTRUMENTS 100u
#define RESTING     20000u
#define COMMANDS    100000u
#define BATCH       64u // commands, as the shard takes them from its ring
#define TIMED       16u // commands that are timed together: reading the clock is little beside them
#define SINK_EVENTS 64u
#define SEED        20261101u

#ifndef SLOWER
#define SLOWER 0 // %
#endif

static const struct tape_shape shape = {
    .instruments = INSTRUMENTS, .resting = RESTING, .commands_max = COMMANDS};
static struct command *commands;
static uint32_t lead, count; // count: with the lead
static void *memory;
static struct book *book;
static struct event events[SINK_EVENTS];
static struct event_sink sink;
static uint32_t took[COMMANDS / TIMED]; // ns

static void overwrite(struct event_sink *full)
{
    full->next = events;
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

// What reading the clock costs, ns.
static uint64_t reading_ns(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t began_ns = now_ns(CLOCK_MONOTONIC), took_ns = now_ns(CLOCK_MONOTONIC) - began_ns;
        least = took_ns < least ? took_ns : least;
    }
    return least;
}

// The time now, after SLOWER % of the time since.
static uint64_t slowed_down_ns(uint64_t began_ns)
{
    static uint64_t read_ns;
    uint64_t end_ns = now_ns(CLOCK_MONOTONIC);
    if (SLOWER == 0)
        return end_ns;
    if (read_ns == 0)
        read_ns = reading_ns();
    uint64_t until_ns = end_ns + (end_ns - began_ns) * SLOWER / 100;
    while (end_ns + read_ns < until_ns)
        end_ns = now_ns(CLOCK_MONOTONIC);
    return end_ns;
}

static void play(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i += BATCH)
        book_apply_batch(book, &commands[i], to - i < BATCH ? to - i : BATCH, &sink);
}

static void fill(void)
{
    struct book_limits limits = tape_limits(&shape);
    memset(memory, 0, book_memory_size(&limits));
    book = book_open(memory, &limits);
    play(0, lead);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// gate_open: 0, or -1 when there is no memory. What it takes is the process's.
int gate_open(void);
int gate_open(void)
{
    struct book_limits limits = tape_limits(&shape);
    struct tape *tape = tape_open(&shape, SEED);
    lead = tape_lead_count(&shape);
    count = lead + COMMANDS;
    commands = calloc(count, sizeof(*commands));
    memory = aligned_alloc(1 << 21, (book_memory_size(&limits) | ((1 << 21) - 1)) + 1);
    sink = (struct event_sink){.next = events, .end = events + SINK_EVENTS, .more = overwrite};
    if (!commands || !memory)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        tape_next(tape, &commands[i]);
    tape_close(tape);
    return 0;
}

// gate_throughput: this thread's time for a command of a round, ns, so that others on the core do
// not count.
double gate_throughput(void);
double gate_throughput(void)
{
    fill();
    uint64_t began_ns = now_ns(CLOCK_THREAD_CPUTIME_ID), wall_ns = now_ns(CLOCK_MONOTONIC);
    play(lead, count);
    slowed_down_ns(wall_ns);
    return (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns) / COMMANDS;
}

// gate_p99: of a round's commands, TIMED of them at once, ns for all of these.
double gate_p99(void);
double gate_p99(void)
{
    fill();
    for (uint32_t i = 0; i < COMMANDS / TIMED; i++) {
        uint64_t began_ns = now_ns(CLOCK_MONOTONIC);
        book_apply_batch(book, &commands[lead + i * TIMED], TIMED, &sink);
        took[i] = (uint32_t)(slowed_down_ns(began_ns) - began_ns);
    }
    qsort(took, COMMANDS / TIMED, sizeof(took[0]), compare);
    return took[COMMANDS / TIMED * 99 / 100];
}

#ifdef PROGRAM
int main(void)
{
    if (gate_open())
        return 1;
    fill();
    for (uint32_t i = lead; i < count; i++)
        book_apply(book, &commands[i], &sink);
    return 0;
}
#endif
