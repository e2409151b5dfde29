// SPDX-License-Identifier: MIT
//
// Random flows of commands through the book and through the reference side by side. After every
// command all events must be equal byte for byte; now and then, and at the end, so must the whole
// state. Each flow runs in a child process, so that a crash or an endless loop of the book is a
// failure like any other. A failing flow is cut down, command by command and field by field, to a
// short one that still fails, and printed.
//
// SEED=number repeats a run; COUNT=number sets the commands of all flows together (10,000,000).
// computes: two books, command by command
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/unit/book_flow.h"
#include "tests/unit/compare.h"

#define COUNT_DEFAULT    10000000u
#define CPU_SECONDS_MAX  20   // for one flow; a book that needs longer is in an endless loop
#define CPU_SECONDS_CUT  2    // the same while cutting down
#define CUT_RUNS_MAX     4000 // runs spent on cutting down
#define CUT_CHECK_ALWAYS 256  // up to this many commands the state is compared after each
#define EXIT_DIFFERENT   3

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static uint64_t run_seed(void)
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

static struct trace *trace_new(uint32_t capacity)
{
    size_t size = sizeof(struct trace) + capacity * sizeof(struct command);
    struct trace *trace =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(trace != MAP_FAILED);
    return trace;
}

static void trace_free(struct trace *trace, uint32_t capacity)
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

static void print_trace(const struct trace *trace)
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

// check_agreement: run a trace; ends the process at the first difference. In the child.
static void check_agreement(struct trace *trace)
{
    static struct comparison comparison;
    struct comparison *c = &comparison;
    running = trace;
    comparison_open(c, &trace->limits, trace->seed);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        comparison_apply(c, &trace->commands[i]);
        if ((i + 1) % trace->check_interval == 0 || i + 1 == trace->count)
            compare_state(c);
    }
}

// Running in a child, cutting down

typedef void check_fn(struct trace *trace);

static void limit_cpu_time(int seconds)
{
    struct itimerval timer = {.it_value.tv_sec = seconds};
    setitimer(ITIMER_PROF, &timer, NULL);
}

// True when `check` fails on the trace: ->failure says how, ->failed_index where.
static bool fails(struct trace *trace, check_fn *check, int cpu_seconds)
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

static bool still_fails(struct cut *cut)
{
    if (cut->runs >= CUT_RUNS_MAX)
        return false;
    cut->runs++;
    return fails(cut->trace, cut->check, CPU_SECONDS_CUT);
}

static void cut_save(struct cut *cut)
{
    cut->backup->count = cut->trace->count;
    memcpy(cut->backup->failure, cut->trace->failure, sizeof(cut->backup->failure));
    memcpy(cut->backup->commands, cut->trace->commands, cut->trace->count * sizeof(struct command));
}

static void cut_restore(struct cut *cut)
{
    cut->trace->count = cut->backup->count;
    memcpy(cut->trace->failure, cut->backup->failure, sizeof(cut->trace->failure));
    memcpy(cut->trace->commands, cut->backup->commands,
           cut->backup->count * sizeof(struct command));
}

static void cut_end(struct cut *cut)
{
    cut->trace->count = cut->trace->failed_index + 1;
}

static bool cut_try_without(struct cut *cut, uint32_t start, uint32_t count)
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

static void cut_commands(struct cut *cut)
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

static void cut_fields(struct cut *cut)
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

static void cut_down(struct trace *trace, check_fn *check)
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

static void run_trace(struct trace *trace, check_fn *check, uint64_t seed)
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

// Flows

static void generate(struct trace *trace, const struct flow *flow, uint64_t seed, uint32_t count)
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
    }
    reference_close(&g.reference);
}

static void run_flow(const struct flow *flow)
{
    uint64_t seed = run_seed();
    uint64_t count = environment_number("COUNT", COUNT_DEFAULT) * flow->thousandths / 1000;
    fprintf(stderr, "book property %s: SEED=%" PRIu64 ", %" PRIu64 " commands\n",
            criterion_current_test->name, seed, count);
    struct trace *trace = trace_new(flow->trace_length);
    for (uint64_t done = 0, round = 0; done < count; done += trace->count, round++) {
        generate(trace, flow, (seed << 20) + round, flow->trace_length);
        run_trace(trace, check_agreement, seed);
    }
    trace_free(trace, flow->trace_length);
}

#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#endif

Test(book_property, agrees_with_the_reference_on_a_thin_book)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .price_width = 2});
}

Test(book_property, agrees_with_the_reference_on_a_deep_book)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .peg_percent = 0, .thousandths = 4,
                            .limits.orders_max = 4096, .trace_length = 8000, .check_interval = 2700,
                            .enter = 75, .replace = 8, .cancel = 5, .modify = 5,
                            .price_width = 2000, .passive_percent = 95, .sweep_percent = 0,
                            .market_percent = 0, .ioc_percent = 1});
}

Test(book_property, agrees_with_the_reference_on_sweeps_through_many_levels)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .limits.orders_max = 512,
                            .check_interval = 200, .enter = 70, .price_width = 300,
                            .passive_percent = 97, .quantity_max = 50, .sweep_percent = 4});
}

Test(book_property, agrees_with_the_reference_when_all_trade_at_one_price)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .price_width = 0});
}

Test(book_property, agrees_with_the_reference_when_sides_alternate)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .alternating = true,
                            .limits.orders_max = 200, .replace = 0, .cancel = 8, .modify = 0,
                            .price_width = 1, .passive_percent = 0});
}

Test(book_property, agrees_with_the_reference_in_replace_storms)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 35, .replace = 200, .hidden_percent = 15,
                            .attributable_percent = 15, .stale_percent = 5, .verdict_percent = 3,
                            .passive_percent = 80});
}

Test(book_property, agrees_with_the_reference_when_numbers_are_used_again)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .stale_percent = 40, .channels = 3,
                            .query = 10});
}

Test(book_property, agrees_with_the_reference_on_mixes_of_hidden_and_displayed)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .hidden_percent = 50,
                            .price_width = 3, .attributable_percent = 25});
}

Test(book_property, agrees_with_the_reference_on_many_instruments_sessions_and_channels)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40,
                            .limits = {.orders_max = 256, .instruments_max = 7, .sessions_max = 9},
                            .channels = 3, .price_width = 4, .check_interval = 200});
}

Test(book_property, agrees_with_the_reference_on_market_and_immediate_orders)
{
    run_flow(
        &(struct flow){FLOW_DEFAULTS, .thousandths = 40, .ioc_percent = 40, .market_percent = 20});
}

Test(book_property, agrees_with_the_reference_when_the_book_is_full)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30,
                            .limits = {.orders_max = 5, .instruments_max = 1, .sessions_max = 2},
                            .passive_percent = 80});
}

Test(book_property, agrees_with_the_reference_on_books_of_one_order)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 15,
                            .limits = {.orders_max = 1, .instruments_max = 1, .sessions_max = 1},
                            .check_interval = 5, .price_width = 3, .passive_percent = 90});
}

Test(book_property, agrees_with_the_reference_at_the_ends_of_the_price_range)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 20, .limits.orders_max = 256,
                            .check_interval = 200, .price_middle = PRICE_MAX / 2,
                            .price_tick = PRICE_MAX / 2 / 99, .price_width = 99,
                            .passive_percent = 90});
}

Test(book_property, agrees_with_the_reference_on_quantities_up_to_the_largest)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 20, .quantity_max = QUANTITY_MAX,
                            .price_width = 3});
}

Test(book_property, agrees_with_the_reference_on_a_market_that_drifts)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 35, .price_width = 100,
                            .drift_percent = 20, .drift_ticks = 200, .cancel = 10,
                            .limits = {.orders_max = 200, .instruments_max = 2, .sessions_max = 3},
                            .hidden_percent = 20, .passive_percent = 90, .reserve_percent = 15,
                            .midpoint_percent = 10});
}

Test(book_property, agrees_with_the_reference_on_a_market_that_leaps_and_leaves_orders_behind)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 35, .price_width = 50, .drift_percent = 3,
                            .drift_ticks = 20000, .cancel = 5, .replace = 5,
                            .limits = {.orders_max = 300, .instruments_max = 1, .sessions_max = 3},
                            .hidden_percent = 10, .passive_percent = 98, .check_interval = 20,
                            .reserve_percent = 15, .midpoint_percent = 10});
}

Test(book_property, agrees_with_the_reference_on_prices_between_the_steps)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .price_width = 300, .price_tick = 50,
                            .drift_percent = 5, .drift_ticks = 3000,
                            .limits = {.orders_max = 300, .instruments_max = 1, .sessions_max = 3},
                            .passive_percent = 90, .reserve_percent = 15, .midpoint_percent = 10});
}

Test(book_property, agrees_with_the_reference_when_firms_meet_themselves)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .self_match_percent = 80,
                            .price_width = 3, .passive_percent = 30, .hidden_percent = 20});
}

Test(book_property, agrees_with_the_reference_on_minimum_quantities)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .minimum_percent = 60,
                            .self_match_percent = 30, .price_width = 4, .hidden_percent = 20});
}

Test(book_property, agrees_with_the_reference_on_orders_that_never_take)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 25, .post_only_percent = 60,
                            .replace = 40, .price_width = 3, .hidden_percent = 20});
}

Test(book_property, agrees_with_the_reference_on_reserves)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .reserve_percent = 60,
                            .self_match_percent = 0, .price_width = 2, .hidden_percent = 15});
}

Test(book_property, agrees_with_the_reference_on_reserves_of_firms_that_meet_themselves)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .reserve_percent = 60,
                            .self_match_percent = 60, .price_width = 2, .hidden_percent = 15,
                            .minimum_percent = 15, .replace = 30});
}

Test(book_property, agrees_with_the_reference_on_midpoint_orders)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .midpoint_percent = 40,
                            .price_width = 4, .passive_percent = 75, .hidden_percent = 20,
                            .minimum_percent = 10, .drift_percent = 5, .drift_ticks = 6});
}

Test(book_property, agrees_with_the_reference_on_midpoint_orders_in_the_narrowest_markets)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .midpoint_percent = 40,
                            .price_tick = 1, .price_width = 4, .passive_percent = 85,
                            .hidden_percent = 30, .self_match_percent = 30, .replace = 40});
}

Test(book_property, agrees_with_the_reference_on_primary_and_market_pegs)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .peg_percent = 40, .price_width = 5,
                            .passive_percent = 75, .hidden_percent = 15, .self_match_percent = 30,
                            .midpoint_percent = 10, .drift_percent = 5, .drift_ticks = 6});
}

Test(book_property, agrees_with_the_reference_on_orders_that_live_for_seconds)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .timed_percent = 60,
                            .passive_percent = 90, .clock = 10, .midpoint_percent = 10,
                            .reserve_percent = 15});
}

Test(book_property, agrees_with_the_reference_when_time_leaps_and_runs_backwards)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 25, .timed_percent = 60,
                            .expire_seconds = 86401, .passive_percent = 90, .clock = 10,
                            .leap_percent = 3, .leap_seconds = 20000, .backwards_percent = 10});
}

Test(book_property, agrees_with_the_reference_on_crosses)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .trace_length = 800, .control = 6,
                            .cross_percent = 25, .market_percent = 5, .check_interval = 20,
                            .limits = {.orders_max = 100, .instruments_max = 2, .sessions_max = 4},
                            .price_width = 6, .reserve_percent = 15, .hidden_percent = 15});
}

Test(book_property, agrees_with_the_reference_on_crosses_in_the_narrowest_markets)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .trace_length = 800, .control = 8,
                            .cross_percent = 10, .market_percent = 15, .price_tick = 1,
                            .price_width = 3, .passive_percent = 40, .reserve_percent = 30,
                            .midpoint_percent = 10, .timed_percent = 10, .clock = 5});
}

Test(book_property, agrees_with_the_reference_on_crosses_at_the_ends_of_the_price_range)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 10, .trace_length = 400, .control = 10,
                            .cross_percent = 10, .market_percent = 20,
                            .price_middle = PRICE_MAX / 2, .price_tick = PRICE_MAX / 2 / 3,
                            .price_width = 3, .passive_percent = 40});
}

Test(book_property, agrees_with_the_reference_on_crosses_with_limits_and_pegs)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .trace_length = 800, .control = 6,
                            .limit = 3, .cross_percent = 10, .market_percent = 8, .peg_percent = 25,
                            .midpoint_percent = 10, .price_width = 6, .passive_percent = 60,
                            .hidden_percent = 15});
}

Test(book_property, agrees_with_the_reference_on_mass_cancels)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .mass = 5, .control = 5,
                            .channels = 2,
                            .limits = {.orders_max = 64, .instruments_max = 3, .sessions_max = 5},
                            .passive_percent = 90, .hidden_percent = 30, .midpoint_percent = 20,
                            .reserve_percent = 20, .timed_percent = 20, .price_width = 5});
}

Test(book_property, agrees_with_the_reference_on_limits)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .limit = 4, .control = 1,
                            .modify = 10, .replace = 20, .channels = 2,
                            .limits = {.orders_max = 64, .instruments_max = 3, .sessions_max = 6},
                            .passive_percent = 60, .market_percent = 5, .hidden_percent = 10,
                            .midpoint_percent = 10, .reserve_percent = 20, .self_match_percent = 20,
                            .timed_percent = 10, .verdict_percent = 2, .price_width = 5});
}

Test(book_property, agrees_with_the_reference_on_everything_at_once)
{
    run_flow(&(struct flow){FLOW_DEFAULTS,
                            .thousandths = 80,
                            .mass = 1,
                            .control = 2,
                            .limit = 1,
                            .clock = 3,
                            .replace = 30,
                            .limits = {.orders_max = 40, .instruments_max = 2, .sessions_max = 4},
                            .passive_percent = 75,
                            .hidden_percent = 20,
                            .midpoint_percent = 20,
                            .peg_percent = 20,
                            .reserve_percent = 25,
                            .timed_percent = 20,
                            .price_width = 5,
                            .price_tick = 3,
                            .self_match_percent = 30,
                            .leap_percent = 1,
                            .leap_seconds = 10,
                            .backwards_percent = 1,
                            .drift_percent = 3,
                            .drift_ticks = 10});
}

Test(book_property, agrees_with_the_reference_on_hostile_fields)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 40, .hostile_percent = 30,
                            .limits = {.orders_max = 20, .instruments_max = 3, .sessions_max = 3},
                            .trace_length = 500, .check_interval = 10, .channels = 3, .day = 1,
                            .reserve_percent = 15, .midpoint_percent = 15, .timed_percent = 15,
                            .mass = 1, .control = 1, .unordered_start = true});
}

Test(book_property, agrees_with_the_reference_when_the_day_ends_in_the_middle)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 25,
                            .limits = {.orders_max = 40, .instruments_max = 3, .sessions_max = 4},
                            .trace_length = 300, .check_interval = 10, .channels = 2, .day = 4,
                            .hidden_percent = 30, .passive_percent = 90, .unordered_start = true});
}

// What the hash says: the reference decides which states are the same.

static struct event hash_space[COLLECTOR_SLOTS];

static void forget_events(struct event_sink *sink)
{
    sink->next = hash_space;
}

static uint64_t hash_after(struct book_memory *memory, const struct trace *trace,
                           struct reference *reference)
{
    reference_open(reference, &trace->limits);
    struct book *book = book_open(memory->book, &trace->limits);
    struct event_sink sink = {hash_space, hash_space + COLLECTOR_SLOTS, forget_events, NULL};
    for (uint32_t i = 0; i < trace->count; i++) {
        reference_apply(reference, &trace->commands[i]);
        book_apply(book, &trace->commands[i], &sink);
    }
    return book_hash(book);
}

#define MUTATION_COUNT 18

static const char *const mutation_names[MUTATION_COUNT] = {"quantity + 1",
                                                           "quantity - 1",
                                                           "price + 100",
                                                           "user_ref_num + 1",
                                                           "another session",
                                                           "side ^ 1",
                                                           "side ^ 2",
                                                           "another display",
                                                           "another verdict",
                                                           "cancel for modify or modify for cancel",
                                                           "another firm",
                                                           "max_floor + 50",
                                                           "random_reserve + 5",
                                                           "midpoint for none, market for primary",
                                                           "self_match ^ 4",
                                                           "seconds + 1",
                                                           "its session's firm, named",
                                                           "exchanged with the next"};

// One change to one command, none of which touches a field that only the command's own answer
// shows.
static void mutate(struct trace *trace, uint32_t index, uint32_t mutation)
{
    struct command *c = &trace->commands[index];
    struct command before = *c;
    switch (mutation) {
    case 0:
        c->order.quantity++;
        break;
    case 1:
        c->order.quantity--;
        break;
    case 2:
        c->order.price += 100;
        break;
    case 3:
        c->order.user_ref_num++;
        break;
    case 4:
        c->session ^= 1;
        break;
    case 5:
        c->side ^= 1;
        break;
    case 6:
        c->side ^= 2;
        break;
    case 7:
        c->order.attributes.display ^= 1;
        break;
    case 8:
        c->verdict ^= REJECT_HALTED;
        break;
    case 9:
        c->type = c->type == COMMAND_CANCEL ? COMMAND_MODIFY : COMMAND_CANCEL;
        break;
    case 10:
        c->order.firm[0] ^= 1;
        break;
    case 11:
        c->order.max_floor += 50;
        break;
    case 12:
        c->order.random_reserve += 5;
        break;
    case 13:
        c->order.attributes.peg ^= 1;
        break;
    case 14:
        c->order.attributes.self_match ^= 4;
        break;
    case 15:
        c->order.expire_seconds++;
        break;
    case 16:
        if (c->type == COMMAND_ENTER)
            memcpy(c->order.firm, session_firms[c->session % 4], 4);
        break;
    default:
        if (index + 1 < trace->count) {
            *c = c[1];
            c[1] = before;
        }
    }
}

static void check_hashes(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct reference base, mutant;
    uint64_t base_hash = hash_after(&memory, trace, &base);
    uint32_t fixed = 2u + trace->limits.instruments_max + trace->limits.sessions_max;
    trace->failed_index = trace->count - 1;
    for (uint32_t i = fixed; i < trace->count; i++) {
        for (uint32_t mutation = 0; mutation < MUTATION_COUNT; mutation++) {
            struct command kept[2] = {trace->commands[i],
                                      trace->commands[i + 1 < trace->count ? i + 1 : i]};
            mutate(trace, i, mutation);
            uint64_t hash = hash_after(&memory, trace, &mutant);
            trace->commands[i] = kept[0];
            trace->commands[i + 1 < trace->count ? i + 1 : i] = kept[1];
            bool same = reference_same_state(&base, &mutant);
            AGREE(same == (hash == base_hash), "command %u, %s: %s, but %s", i,
                  mutation_names[mutation],
                  same ? "the state stays the same" : "the state becomes another",
                  same ? "the hash another" : "the hash stays the same");
            reference_close(&mutant);
        }
    }
    reference_close(&base);
    memory_free(&memory);
}

Test(book_property, hashes_are_equal_exactly_when_the_states_are)
{
    const struct flow flow = {
        FLOW_DEFAULTS,        .limits = {.orders_max = 24, .instruments_max = 2, .sessions_max = 2},
        .trace_length = 36,   .enter = 30,
        .price_width = 2,     .ioc_percent = 10,
        .hidden_percent = 25, .passive_percent = 75,
        .stale_percent = 10};
    uint64_t seed = run_seed();
    uint64_t rounds = 1 + environment_number("COUNT", COUNT_DEFAULT) / 25000;
    fprintf(stderr, "book property hashes: SEED=%" PRIu64 "\n", seed);
    struct trace *trace = trace_new(flow.trace_length);
    for (uint64_t round = 0; round < rounds; round++) {
        generate(trace, &flow, (seed << 20) + round, flow.trace_length);
        run_trace(trace, check_hashes, seed);
    }
    trace_free(trace, flow.trace_length);
}

// The feed alone: who has heard every message about displayed orders has the whole visible book.

struct heard_order {
    uint64_t order_ref;
    uint32_t price, quantity;
    uint16_t instrument;
    uint8_t side;
};

struct heard {
    struct heard_order orders[512];
    uint32_t count;
};

static struct heard_order *heard_find(struct heard *heard, uint64_t order_ref)
{
    for (uint32_t i = 0; i < heard->count; i++) {
        if (heard->orders[i].order_ref == order_ref)
            return &heard->orders[i];
    }
    differs("the feed names order %" PRIu64 ", which it has not added", order_ref);
}

static void heard_reduce(struct heard *heard, const struct event *e, bool all)
{
    struct heard_order *order = heard_find(heard, e->trade.order_ref);
    bool at_price = order->price == e->price || e->type == EVENT_FEED_EXECUTED_PRICE;
    AGREE(at_price && order->side == e->side && order->instrument == e->instrument &&
              order->quantity >= e->quantity,
          "the feed takes %u from order %" PRIu64 ", which has %u", e->quantity, order->order_ref,
          order->quantity);
    order->quantity -= e->quantity;
    AGREE(!all || order->quantity == 0, "the feed deletes an order that has shares left");
    if (order->quantity == 0)
        *order = heard->orders[--heard->count];
}

static void heard_add(struct heard *heard, const struct event *e, uint64_t order_ref)
{
    AGREE(heard->count < 512 && e->quantity > 0, "the feed adds nothing, or too much");
    heard->orders[heard->count++] =
        (struct heard_order){order_ref, e->price, e->quantity, e->instrument, e->side};
}

static void heard_event(struct heard *heard, const struct event *e)
{
    switch (e->type) {
    case EVENT_FEED_ADD:
        heard_add(heard, e, e->trade.order_ref);
        break;
    case EVENT_FEED_EXECUTED:
    case EVENT_FEED_EXECUTED_PRICE:
    case EVENT_FEED_CANCEL:
        heard_reduce(heard, e, false);
        break;
    case EVENT_FEED_DELETE:
        heard_reduce(heard, e, true);
        break;
    case EVENT_FEED_REPLACE:
        *heard_find(heard, e->trade.order_ref) = heard->orders[heard->count - 1];
        heard->count--;
        heard_add(heard, e, e->seq);
        break;
    }
}

static void compare_heard(const struct heard *heard, const struct book *book, uint16_t instrument,
                          enum side side)
{
    struct book_level levels[512];
    uint32_t count = book_depth(book, instrument, side, levels, 512);
    for (uint32_t i = 0; i < count; i++) {
        struct book_level level = {.price = levels[i].price};
        for (uint32_t j = 0; j < heard->count; j++) {
            const struct heard_order *order = &heard->orders[j];
            if (order->instrument == instrument && order->side == side &&
                order->price == level.price) {
                level.order_count++;
                level.quantity += order->quantity;
            }
        }
        AGREE(level_equal(&level, &levels[i]), "the feed has %u orders, %" PRIu64 " @ %u",
              level.order_count, level.quantity, level.price);
    }
}

static void check_feed(struct trace *trace)
{
    static struct collector collector;
    static struct heard heard;
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct book *book = book_open(memory.book, &trace->limits);
    collector_init(&collector, 1, trace->seed);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        book_apply(book, &trace->commands[i], &collector.sink);
        collector_take(&collector);
        for (uint32_t e = 0; e < collector.count; e++)
            heard_event(&heard, &collector.events[e]);
        collector.count = 0;
        uint32_t visible = 0;
        for (uint16_t instrument = 0; instrument < trace->limits.instruments_max; instrument++) {
            for (int side = SIDE_BUY; side <= SIDE_SELL; side++) {
                struct book_level levels[512];
                uint32_t count = book_depth(book, instrument, side, levels, 512);
                for (uint32_t level = 0; level < count; level++)
                    visible += levels[level].order_count;
                compare_heard(&heard, book, instrument, side);
            }
        }
        AGREE(visible == heard.count, "%u orders are visible, the feed has %u", visible,
              heard.count);
    }
}

Test(book_property, the_feed_alone_rebuilds_the_visible_book)
{
    const struct flow flow = {
        FLOW_DEFAULTS,        .limits = {.orders_max = 60, .instruments_max = 2, .sessions_max = 3},
        .trace_length = 1000, .hidden_percent = 30,
        .replace = 30,        .price_width = 5,
        .control = 5,         .cross_percent = 10};
    uint64_t seed = run_seed();
    uint64_t rounds = 1 + environment_number("COUNT", COUNT_DEFAULT) / 50000;
    fprintf(stderr, "book property feed: SEED=%" PRIu64 "\n", seed);
    struct trace *trace = trace_new(flow.trace_length);
    for (uint64_t round = 0; round < rounds; round++) {
        generate(trace, &flow, (seed << 20) + round, flow.trace_length);
        run_trace(trace, check_feed, seed);
    }
    trace_free(trace, flow.trace_length);
}

// Nothing is asked of anybody

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
// Stand in front of the C library's, whose own names these are.
static uint64_t allocation_count;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

void *malloc(size_t size)
{
    allocation_count++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocation_count++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocation_count++;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocation_count++;
    return __libc_memalign(alignment, size);
}

void free(void *memory)
{
    allocation_count += memory != NULL;
    __libc_free(memory);
}

static void check_allocations(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct event_sink sink = {hash_space, hash_space + COLLECTOR_SLOTS, forget_events, NULL};
    free(malloc(1));
    AGREE(allocation_count >= 2, "allocations are not counted");
    uint64_t before = allocation_count;
    struct book *book = book_open(memory.book, &trace->limits);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        book_apply_batch(book, &trace->commands[i], 1, &sink);
        AGREE(allocation_count == before, "memory was allocated or freed");
    }
    book_hash(book);
    AGREE(allocation_count == before, "memory was allocated or freed by book_hash");
}

Test(book_property, nothing_is_allocated)
{
    const struct flow flow = {FLOW_DEFAULTS, .trace_length = 20000, .hostile_percent = 2};
    struct trace *trace = trace_new(flow.trace_length);
    generate(trace, &flow, 1, flow.trace_length);
    run_trace(trace, check_allocations, 1);
    trace_free(trace, flow.trace_length);
}
#endif

static void check_system_calls(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct event_sink sink = {hash_space, hash_space + COLLECTOR_SLOTS, forget_events, NULL};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        return;
    // From here on the kernel kills the process at any system call but exit.
    struct book *book = book_open(memory.book, &trace->limits);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        book_apply(book, &trace->commands[i], &sink);
    }
    book_hash(book);
    syscall(SYS_exit, 0);
}

Test(book_property, the_kernel_is_never_called)
{
    const struct flow flow = {FLOW_DEFAULTS, .trace_length = 20000, .hostile_percent = 2};
    struct trace *trace = trace_new(flow.trace_length);
    generate(trace, &flow, 1, flow.trace_length);
    run_trace(trace, check_system_calls, 1);
    trace_free(trace, flow.trace_length);
}

// Batches

static uint64_t hash_events(uint64_t hash, const struct event *event, const struct event *end)
{
    for (; event < end; event++) {
        uint64_t words[8];
        memcpy(words, event, sizeof(words));
        for (int i = 0; i < 8; i++)
            hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ull;
    }
    return hash;
}

struct hashing_sink {
    struct event_sink sink;
    struct event space[8];
    uint64_t hash;
};

static void hash_and_forget(struct event_sink *sink)
{
    struct hashing_sink *hashing = sink->context;
    hashing->hash = hash_events(hashing->hash, hashing->space, sink->next);
    sink->next = hashing->space;
}

static void hashing_open(struct hashing_sink *hashing)
{
    hashing->sink =
        (struct event_sink){hashing->space, hashing->space + 8, hash_and_forget, hashing};
    hashing->hash = 0;
}

static void check_batches(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory one = memory_new(book_memory_size(&trace->limits), &random);
    struct book_memory many = memory_new(book_memory_size(&trace->limits), &random);
    struct book *singly = book_open(one.book, &trace->limits);
    struct book *batched = book_open(many.book, &trace->limits);
    static struct hashing_sink first, second;
    hashing_open(&first);
    hashing_open(&second);
    for (uint32_t i = 0; i < trace->count;) {
        uint32_t count = 1 + random_below(&random, 100);
        if (count > trace->count - i)
            count = trace->count - i;
        trace->failed_index = i;
        for (uint32_t j = 0; j < count; j++)
            book_apply(singly, &trace->commands[i + j], &first.sink);
        book_apply_batch(batched, &trace->commands[i], count, &second.sink);
        first.sink.more(&first.sink);
        second.sink.more(&second.sink);
        AGREE(first.hash == second.hash, "the batch's events are others");
        i += count;
    }
    AGREE(book_hash(singly) == book_hash(batched), "the batches' state is another");
}

Test(book_property, a_batch_gives_the_events_of_its_commands_one_by_one)
{
    const struct flow flow = {FLOW_DEFAULTS, .trace_length = 100000, .hostile_percent = 3};
    struct trace *trace = trace_new(flow.trace_length);
    generate(trace, &flow, 1, flow.trace_length);
    run_trace(trace, check_batches, 1);
    trace_free(trace, flow.trace_length);
}
