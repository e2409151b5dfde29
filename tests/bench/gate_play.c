// SPDX-License-Identifier: MIT
//
// What scripts/perf-gate loads of several versions of the book into one process, each a shared
// object of its own: a recorded stream (book_tape.h), played round by round, timed TIMED commands
// at once. The least of all rounds counts for each of these, so that what else the host does in
// between does not. With -DSLOWER=5 everything takes 5 % longer: the gate's test of itself. As a
// program (with -DPROGRAM) it plays one round, whose instructions can be counted; -DMORE=N takes N
// instructions more for each command.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book/book.h"
#include "tests/bench/book_tape.h"

#define INSTRUMENTS 100u
#define RESTING     20000u
#define COMMANDS    100000u
#define TIMED       32u // commands that are timed together: reading the clock is little beside them
#define SINK_EVENTS 64u
#define SEED        20261101u

#ifndef SLOWER
#define SLOWER 0 // %
#endif
#ifndef MORE
#define MORE 0
#endif

static const struct tape_shape shape = {
    .instruments = INSTRUMENTS, .resting = RESTING, .commands_max = COMMANDS};
static struct command *commands;
static uint32_t lead, count; // count: with the lead
static void *room;           // the book's memory
static struct book *book;
static struct event events[SINK_EVENTS];
static struct event_sink sink;
static uint32_t least[COMMANDS / TIMED]; // ns

static void overwrite(struct event_sink *full)
{
    full->next = events;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void spin(uint64_t turns)
{
    for (; turns > 0; turns--)
        __asm__ volatile("");
}

// The least time of many for so many turns and two readings of the clock, ns.
static uint64_t spinning_ns(uint64_t turns)
{
    uint64_t fewest = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t began_ns = now_ns();
        spin(turns);
        uint64_t took_ns = now_ns() - began_ns;
        fewest = took_ns < fewest ? took_ns : fewest;
    }
    return fewest;
}

// The time now, after SLOWER % of the time since.
static uint64_t slowed_down_ns(uint64_t began_ns)
{
    static uint64_t reading_ns, turns_in_10000_ns;
    uint64_t end_ns = now_ns(), more_ns = (end_ns - began_ns) * SLOWER / 100;
    if (SLOWER == 0)
        return end_ns;
    if (turns_in_10000_ns == 0) {
        reading_ns = spinning_ns(0);
        turns_in_10000_ns = 10000 * 10000 / (spinning_ns(10000) - reading_ns);
    }
    spin((more_ns > reading_ns ? more_ns - reading_ns : 0) * turns_in_10000_ns / 10000);
    return now_ns();
}

static void fill(void)
{
    struct book_limits limits = tape_limits(&shape);
    memset(room, 0, book_memory_size(&limits));
    book = book_open(room, &limits);
    book_apply_batch(book, commands, lead, &sink);
}

// gate_memory_size: bytes that the book needs.
size_t gate_memory_size(void);
size_t gate_memory_size(void)
{
    struct book_limits limits = tape_limits(&shape);
    return book_memory_size(&limits);
}

// gate_open: `memory` is gate_memory_size() bytes at a multiple of 2 MiB. Versions that play in
// turn have the same memory, so that none has the better pages. 0, or -1 when there is no memory
// for the stream. What it takes is the process's.
int gate_open(void *memory);
int gate_open(void *memory)
{
    struct tape *tape = tape_open(&shape, SEED);
    lead = tape_lead_count(&shape);
    count = lead + COMMANDS;
    commands = calloc(count, sizeof(*commands));
    room = memory;
    sink = (struct event_sink){.next = events, .end = events + SINK_EVENTS, .more = overwrite};
    if (!commands)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        tape_next(tape, &commands[i]);
    tape_close(tape);
    memset(least, 0xFF, sizeof(least));
    return 0;
}

// gate_play: one round.
void gate_play(void);
void gate_play(void)
{
    fill();
    for (uint32_t i = 0; i < COMMANDS / TIMED; i++) {
        uint64_t began_ns = now_ns();
        book_apply_batch(book, &commands[lead + i * TIMED], TIMED, &sink);
        uint64_t took_ns = slowed_down_ns(began_ns) - began_ns;
        least[i] = took_ns < least[i] ? (uint32_t)took_ns : least[i];
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// gate_result: of all rounds, the time for a command, and the 99th percentile of the time for TIMED
// of them, ns.
void gate_result(double *mean, double *p99);
void gate_result(double *mean, double *p99)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < COMMANDS / TIMED; i++)
        sum += least[i];
    *mean = (double)sum / COMMANDS;
    qsort(least, COMMANDS / TIMED, sizeof(least[0]), compare);
    *p99 = least[COMMANDS / TIMED * 99 / 100];
}

#ifdef PROGRAM
#define TEXT_OF(number) #number
#define NOPS(number)    ".rept " TEXT_OF(number) "\nnop\n.endr"

// gate_apply: what is counted.
void gate_apply(const struct command *command);
__attribute__((noinline)) void gate_apply(const struct command *command)
{
    book_apply(book, command, &sink);
    __asm__ volatile(NOPS(MORE));
}

int main(void)
{
    void *memory = aligned_alloc(1 << 21, (gate_memory_size() | ((1 << 21) - 1)) + 1);
    if (!memory || gate_open(memory))
        return 1;
    fill();
    for (uint32_t i = lead; i < count; i++)
        gate_apply(&commands[i]);
    return 0;
}
#endif
