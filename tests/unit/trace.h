// SPDX-License-Identifier: MIT
//
// Traces of a random flow's commands. Each is checked in a child process, so that a crash or an
// endless loop of the book is a failure like any other. A trace that fails is cut down, command by
// command and field by field, to a short one that still fails, and printed.
//
// SEED=number repeats a run; COUNT=number sets the commands of all flows together (10,000,000).
#ifndef SLUICE_TESTS_UNIT_TRACE_H
#define SLUICE_TESTS_UNIT_TRACE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/book_flow.h"
#include "tests/unit/compare.h"

#define COUNT_DEFAULT    10000000u
#define CPU_SECONDS_MAX  20   // for one flow; a book that needs longer is in an endless loop
#define CPU_SECONDS_CUT  2    // the same while cutting down
#define CUT_RUNS_MAX     4000 // runs spent on cutting down
#define CUT_CHECK_ALWAYS 256  // up to this many commands the state is compared after each
#define EXIT_DIFFERENT   3

static inline uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static inline uint64_t run_seed(void)
{
    uint32_t fresh = 1;
    if (getrandom(&fresh, sizeof(fresh), 0) != sizeof(fresh))
        fresh = 1;
    return environment_number("SEED", fresh);
}

// Traces: what a child process runs, in memory it shares with its parent.

struct trace {
    struct book_limits limits;
    uint64_t seed;           // of everything that is random besides the commands
    uint32_t check_interval; // commands between comparisons of the whole state
    uint32_t count;
    uint32_t failed_index; // the command being applied when it failed
    char failure[2048];
    struct command commands[];
};

static inline struct trace *trace_new(uint32_t capacity)
{
    size_t size = sizeof(struct trace) + capacity * sizeof(struct command);
    struct trace *trace =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(trace != MAP_FAILED);
    return trace;
}

static inline void trace_free(struct trace *trace, uint32_t capacity)
{
    munmap(trace, sizeof(struct trace) + capacity * sizeof(struct command));
}

static struct trace *running; // in the child

__attribute__((noreturn, format(printf, 1, 2))) static void differs(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(running->failure, sizeof(running->failure), format, arguments);
    va_end(arguments);
    _exit(EXIT_DIFFERENT);
}

static inline void print_trace(const struct trace *trace)
{
    fprintf(stderr,
            "%s\nstruct book_limits limits = {.orders_max = %u, .instruments_max = %u, "
            ".sessions_max = %u};\nstruct command commands[] = { // the last one fails\n",
            trace->failure, trace->limits.orders_max, trace->limits.instruments_max,
            trace->limits.sessions_max);
    for (uint32_t i = 0; i < trace->count; i++)
        print_command(&trace->commands[i]);
    fprintf(stderr, "};\n");
}

// Running in a child, cutting down

typedef void check_fn(struct trace *trace);

static inline void limit_cpu_time(int seconds)
{
    struct itimerval timer = {.it_value.tv_sec = seconds};
    setitimer(ITIMER_PROF, &timer, NULL);
}

// True when `check` fails on the trace: ->failure says how, ->failed_index where.
static inline bool fails(struct trace *trace, check_fn *check, int cpu_seconds)
{
    trace->failed_index = 0;
    trace->failure[0] = 0;
    pid_t child = fork();
    cr_assert(child >= 0, "fork");
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGPROF, SIG_DFL);
        limit_cpu_time(cpu_seconds);
        check(trace);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return false;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
        snprintf(trace->failure, sizeof(trace->failure), "endless loop");
    else if (WIFSIGNALED(status))
        snprintf(trace->failure, sizeof(trace->failure), "killed: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != EXIT_DIFFERENT)
        snprintf(trace->failure, sizeof(trace->failure), "exit %d", WEXITSTATUS(status));
    return true;
}

struct cut {
    struct trace *trace;  // fails
    struct trace *backup; // of its commands
    check_fn *check;
    uint32_t runs;
};

static inline bool still_fails(struct cut *cut)
{
    if (cut->runs >= CUT_RUNS_MAX)
        return false;
    cut->runs++;
    return fails(cut->trace, cut->check, CPU_SECONDS_CUT);
}

static inline void cut_save(struct cut *cut)
{
    cut->backup->count = cut->trace->count;
    memcpy(cut->backup->failure, cut->trace->failure, sizeof(cut->backup->failure));
    memcpy(cut->backup->commands, cut->trace->commands, cut->trace->count * sizeof(struct command));
}

static inline void cut_restore(struct cut *cut)
{
    cut->trace->count = cut->backup->count;
    memcpy(cut->trace->failure, cut->backup->failure, sizeof(cut->trace->failure));
    memcpy(cut->trace->commands, cut->backup->commands,
           cut->backup->count * sizeof(struct command));
}

static inline void cut_end(struct cut *cut)
{
    cut->trace->count = cut->trace->failed_index + 1;
}

static inline bool cut_try_without(struct cut *cut, uint32_t start, uint32_t count)
{
    struct trace *trace = cut->trace;
    cut_save(cut);
    if (count > trace->count - start)
        count = trace->count - start;
    memmove(&trace->commands[start], &trace->commands[start + count],
            (trace->count - start - count) * sizeof(struct command));
    trace->count -= count;
    if (trace->count && still_fails(cut)) {
        cut_end(cut);
        return true;
    }
    cut_restore(cut);
    return false;
}

static inline void cut_commands(struct cut *cut)
{
    bool progress = true;
    for (uint32_t chunk = cut->trace->count; chunk > 1 || progress;) {
        chunk = chunk > 1 ? chunk / 2 : 1;
        progress = false;
        for (uint32_t start = 0; start < cut->trace->count;) {
            if (cut_try_without(cut, start, chunk))
                progress = true;
            else
                start += chunk;
        }
    }
}

static inline void cut_fields(struct cut *cut)
{
    static const struct {
        size_t offset, size;
    } fields[] = {{0, 8},  {9, 1},  {10, 2}, {12, 2}, {14, 1}, {15, 1}, {16, 4},
                  {20, 4}, {24, 4}, {28, 4}, {32, 1}, {33, 1}, {34, 2}, {36, 4},
                  {40, 4}, {44, 4}, {48, 1}, {49, 7}, {56, 8}};
    static const unsigned char zeros[8];
    for (uint32_t i = 0; i < cut->trace->count; i++) {
        for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
            unsigned char *field = (unsigned char *)&cut->trace->commands[i] + fields[f].offset;
            if (memcmp(field, zeros, fields[f].size) == 0)
                continue;
            cut_save(cut);
            memset(field, 0, fields[f].size);
            if (!still_fails(cut))
                cut_restore(cut);
            else
                cut_end(cut);
        }
    }
}

static inline void cut_down(struct trace *trace, check_fn *check)
{
    struct cut cut = {trace, trace_new(trace->count), check, 0};
    uint32_t capacity = trace->count;
    cut_end(&cut);
    if (trace->count > CUT_CHECK_ALWAYS)
        cut_commands(&cut);
    uint32_t interval = trace->check_interval;
    cut_save(&cut);
    trace->check_interval = 1;
    if (still_fails(&cut)) {
        cut_end(&cut);
    } else {
        cut_restore(&cut);
        trace->check_interval = interval;
    }
    cut_commands(&cut);
    cut_fields(&cut);
    cut_commands(&cut);
    trace_free(cut.backup, capacity);
}

static inline void run_trace(struct trace *trace, check_fn *check, uint64_t seed)
{
    if (!fails(trace, check, CPU_SECONDS_MAX))
        return;
    char first_failure[sizeof(trace->failure)];
    memcpy(first_failure, trace->failure, sizeof(first_failure));
    uint32_t first_index = trace->failed_index;
    cut_down(trace, check);
    print_trace(trace);
    cr_assert_fail("SEED=%" PRIu64 ": command %u: %s", seed, first_index, first_failure);
}

// How many of the commands generated so far break a limit, by enum limit_kind.
static uint64_t broken[LIMIT_INSTRUMENT_END];

static inline void count_broken(const struct reference *r)
{
    for (uint32_t i = 0; i < r->event_count; i++)
        if (r->events[i].type == EVENT_REJECTED || r->events[i].type == EVENT_CANCEL_REJECTED)
            broken[r->events[i].limit]++;
}

static inline void generate(struct trace *trace, const struct flow *flow, uint64_t seed,
                            uint32_t count)
{
    struct generator g = {.flow = flow,
                          .random = {seed},
                          .time_ns = MIDNIGHT_NS - 100000,
                          .price_middle = flow->price_middle};
    reference_open(&g.reference, &flow->limits);
    trace->limits = flow->limits;
    trace->seed = random_bits(&g.random);
    trace->check_interval = flow->check_interval;
    trace->count = count;
    for (uint32_t i = 0; i < count; i++) {
        trace->commands[i] = next_command(&g);
        if (i + 1 == count && random_percent(&g.random, 50))
            trace->commands[i].type = COMMAND_CLOSE;
        reference_apply(&g.reference, &trace->commands[i]);
        count_broken(&g.reference);
    }
    reference_close(&g.reference);
}

// A flow is FLOW_DEFAULTS, and then what is different.
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#endif

#endif
