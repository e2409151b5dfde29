// SPDX-License-Identifier: MIT
//
// Random flows of commands through the book and through the reference side by side. After every
// command all events must be equal byte for byte; now and then, and at the end, so must the whole
// state. Each flow runs in a child process, so that a crash or an endless loop of the book is a
// failure like any other. A failing flow is cut down, command by command and field by field, to a
// short one that still fails, and printed.
//
// SEED=number repeats a run; COUNT=number sets the commands of all flows together (10,000,000).
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/unit/compare.h"

#define COUNT_DEFAULT    10000000u
#define MIDNIGHT_NS      1700006400000000000ull
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

struct flow {
    struct book_limits limits;
    uint32_t trace_length;
    uint32_t check_interval;
    uint32_t thousandths; // of all commands
    // Which command, in parts of their sum.
    uint32_t enter, replace, cancel, modify, query, clock, mass, control, day;
    uint32_t channels;     // 1 to 3
    uint32_t price_middle; // of all orders
    uint32_t price_width;  // ticks to either side
    uint32_t price_tick;
    uint32_t drift_percent;   // commands before which the middle moves
    uint32_t drift_ticks;     // by up to so many, up or down
    uint32_t passive_percent; // orders on their own side of the middle
    uint32_t quantity_max;
    uint32_t sweep_percent; // orders that are 50 times as large, at the far end of the width
    uint32_t hidden_percent, attributable_percent;
    uint32_t ioc_percent, market_percent;
    uint32_t post_only_percent, self_match_percent, minimum_percent;
    uint32_t reserve_percent, midpoint_percent, peg_percent, timed_percent;
    uint32_t expire_seconds;    // the longest that timed orders live
    uint32_t leap_percent;      // commands before which time leaps
    uint32_t leap_seconds;      // by up to so many
    uint32_t backwards_percent; // commands whose time is up to 3 s too early
    uint32_t stale_percent;     // numbers used before
    uint32_t verdict_percent;   // refused by the port
    uint32_t hostile_percent;   // a field, or all of them, is anything
    bool alternating;           // buy, sell, buy, …
    bool unordered_start;       // the day's set-up commands come in any order, some are missing
};

struct generator {
    const struct flow *flow;
    struct random random;
    struct reference reference;
    uint64_t time_ns;
    uint32_t step;
    uint32_t price_middle;
};

static uint8_t pick_channel(struct generator *g)
{
    static const uint8_t channels[] = {0, 255, 1};
    return channels[random_below(&g->random, g->flow->channels)];
}

static const char session_firms[4][5] = {"ALFA", "BRAV", "\0\0\0", "DELT"};

static struct command setup_command(struct generator *g, uint32_t step)
{
    const struct book_limits *limits = &g->flow->limits;
    struct command c = {.time_ns = g->time_ns};
    if (step == 0) {
        c.type = COMMAND_OPEN;
        c.open.midnight_ns = MIDNIGHT_NS;
        c.open.limits = *limits;
        c.open.shard = 3;
        memcpy(c.open.session_id, "DAY0000001", 10);
    } else if (step <= limits->instruments_max) {
        c.type = COMMAND_INSTRUMENT;
        c.instrument = (uint16_t)(step - 1);
        c.listing.round_lot = 100;
        memcpy(c.listing.symbol, "SYM     ", 8);
        c.listing.symbol[3] = (char)('A' + c.instrument % 26);
    } else if (step <= (uint32_t)limits->instruments_max + limits->sessions_max) {
        c.type = COMMAND_SESSION;
        c.session = (uint16_t)(step - 1 - limits->instruments_max);
        memcpy(c.member.user_name, "USER  ", 6);
        c.member.user_name[4] = (char)('A' + c.session % 26);
        memcpy(c.member.firm, session_firms[c.session % 4], 4);
    } else {
        c.type = COMMAND_START;
    }
    return c;
}

static uint32_t setup_count(const struct flow *flow)
{
    return 2u + flow->limits.instruments_max + flow->limits.sessions_max;
}

static const struct reference_order *pick_order(struct generator *g)
{
    const struct reference *r = &g->reference;
    if (r->order_count == 0 || random_percent(&g->random, g->flow->stale_percent))
        return NULL;
    return &r->orders[random_below(&g->random, r->order_count)];
}

static uint32_t last_user_ref(const struct generator *g, const struct command *c)
{
    const struct reference *r = &g->reference;
    return c->session < r->session_count ? r->sessions[c->session].last[c->user_ref_index] : 0;
}

static uint32_t used_user_ref(struct generator *g, const struct command *c)
{
    uint32_t last = last_user_ref(g, c);
    uint32_t window = last < 64 ? last : 64;
    return last - random_below(&g->random, window + 1);
}

static uint32_t new_user_ref(struct generator *g, const struct command *c)
{
    if (random_percent(&g->random, g->flow->stale_percent))
        return used_user_ref(g, c);
    return last_user_ref(g, c) + 1 +
           (random_percent(&g->random, 5) ? random_below(&g->random, 9) : 0);
}

static uint32_t pick_price(struct generator *g, bool buy, bool sweep)
{
    const struct flow *flow = g->flow;
    uint32_t ticks = random_below(&g->random, flow->price_width + 1);
    if (sweep)
        return g->price_middle + (buy ? 1 : -1) * (int32_t)(flow->price_width * flow->price_tick);
    bool below =
        random_percent(&g->random, flow->passive_percent) ? buy : random_percent(&g->random, 50);
    return g->price_middle + (below ? -1 : 1) * (int32_t)(ticks * flow->price_tick);
}

// Some few stay as they are and so break a condition of their kind.
static void fill_kind(struct generator *g, struct command *c, bool buy)
{
    const struct flow *flow = g->flow;
    struct random *random = &g->random;
    struct order_attributes *attributes = &c->order.attributes;
    bool limit = random_percent(random, 97);
    if (random_percent(random, flow->midpoint_percent)) {
        attributes->peg = PEG_MIDPOINT;
        attributes->display = limit ? DISPLAY_HIDDEN : attributes->display;
        attributes->post_only = limit ? 0 : attributes->post_only;
        c->order.price = limit ? pick_price(g, buy, false) : c->order.price;
    } else if (random_percent(random, flow->peg_percent)) {
        attributes->peg = PEG_PRIMARY + random_below(random, 2);
        attributes->display = limit ? DISPLAY_HIDDEN : attributes->display;
        attributes->post_only = limit ? 0 : attributes->post_only;
        c->order.price = limit ? pick_price(g, buy, false) : c->order.price;
        if (random_percent(random, 70))
            c->order.peg_offset =
                (int16_t)(((int32_t)random_below(random, 9) - 4) * (int32_t)flow->price_tick);
    } else if (random_percent(random, flow->reserve_percent)) {
        c->order.max_floor = 1 + random_below(random, 1 + flow->quantity_max / 4);
        if (random_percent(random, 30))
            c->order.random_reserve =
                (uint16_t)random_below(random, (uint32_t)(c->order.max_floor + !limit));
        if (limit && attributes->display == DISPLAY_HIDDEN)
            attributes->display = DISPLAY_VISIBLE;
        if (limit && attributes->time_in_force == TIF_IOC) {
            attributes->time_in_force = TIF_DAY;
            c->order.min_quantity = 0;
        }
        c->order.price = limit ? pick_price(g, buy, false) : c->order.price;
    }
    if (attributes->time_in_force == TIF_DAY && random_percent(random, flow->timed_percent)) {
        attributes->time_in_force = TIF_GTT;
        c->order.expire_seconds = random_below(random, flow->expire_seconds) + limit;
    }
}

static void fill_terms(struct generator *g, struct command *c, bool buy)
{
    const struct flow *flow = g->flow;
    struct random *random = &g->random;
    bool sweep = random_percent(random, flow->sweep_percent);
    c->order.price =
        random_percent(random, flow->market_percent) ? PRICE_MARKET : pick_price(g, buy, sweep);
    c->order.quantity = 1 + random_below(random, flow->quantity_max);
    if (sweep)
        c->order.quantity *= 50;
    if (c->order.quantity > QUANTITY_MAX)
        c->order.quantity = QUANTITY_MAX;
    if (random_percent(random, flow->ioc_percent))
        c->order.attributes.time_in_force = TIF_IOC;
    uint32_t display = random_below(random, 100);
    if (display < flow->hidden_percent)
        c->order.attributes.display = DISPLAY_HIDDEN;
    else if (display < flow->hidden_percent + flow->attributable_percent)
        c->order.attributes.display = DISPLAY_ATTRIBUTABLE;
    c->order.attributes.post_only = random_percent(random, flow->post_only_percent);
    if (random_percent(random, flow->self_match_percent))
        c->order.attributes.self_match = random_below(random, 5) & 7;
    if (c->type == COMMAND_ENTER && random_percent(random, flow->minimum_percent)) {
        c->order.min_quantity = 1 + random_below(random, c->order.quantity + 1);
        if (random_percent(random, 95))
            c->order.attributes.time_in_force = TIF_IOC;
    }
    c->order.attributes.capacity = random_below(random, 4) & 3;
    c->order.attributes.sweep = random_below(random, 2) & 1;
    c->order.attributes.trade_now = random_percent(random, 5);
    fill_kind(g, c, buy);
    memcpy(c->order.client_order_id, "id", 2);
    for (int i = 2; i < 14; i++)
        c->order.client_order_id[i] = (char)('a' + (c->time_ns >> i) % 26);
}

static void fill_enter(struct generator *g, struct command *c)
{
    static const uint8_t sells[] = {SIDE_SELL, SIDE_SELL, SIDE_SELL_SHORT, SIDE_SELL_SHORT_EXEMPT};
    bool buy = g->flow->alternating ? g->step % 2 : random_percent(&g->random, 50);
    c->side = buy ? SIDE_BUY : sells[random_below(&g->random, 4)];
    c->order.user_ref_num = new_user_ref(g, c);
    if (random_percent(&g->random, 50))
        memcpy(c->order.firm, random_percent(&g->random, 50) ? "ECHO" : "FOXT", 4);
    fill_terms(g, c, buy);
}

static void fill_replace(struct generator *g, struct command *c)
{
    const struct reference_order *order = pick_order(g);
    if (order) {
        c->session = order->session;
        c->user_ref_index = order->user_ref_index;
        c->order.orig_user_ref_num = order->user_ref_num;
    } else {
        c->order.orig_user_ref_num = used_user_ref(g, c);
    }
    c->order.user_ref_num = new_user_ref(g, c);
    fill_terms(g, c, order && order->side == SIDE_BUY);
    if (!order)
        return;
    if (random_percent(&g->random, 70)) {
        c->order.attributes.display = order->attributes.display;
        c->order.attributes.peg = order->attributes.peg;
    }
    if (random_percent(&g->random, 30))
        c->order.price = order->price;
    if (random_percent(&g->random, 90))
        c->order.quantity += order->executed;
}

// Around the places where the answer changes: nothing left, all that was executed, all there is.
static uint32_t pick_total(struct generator *g, const struct reference_order *order)
{
    struct random *random = &g->random;
    uint32_t total = order->executed + order->quantity;
    switch (random_below(random, 8)) {
    case 0:
        return 0;
    case 1:
        return order->executed;
    case 2:
        return order->executed + 1;
    case 3:
        return total;
    case 4:
        return total + 1;
    case 5:
        return total - 1;
    default:
        return random_below(random, total + 1);
    }
}

static void fill_reduction(struct generator *g, struct command *c)
{
    const struct reference_order *order = pick_order(g);
    if (!order) {
        c->order.user_ref_num = used_user_ref(g, c);
        c->order.quantity = random_below(&g->random, 100);
        return;
    }
    c->session = order->session;
    c->user_ref_index = order->user_ref_index;
    c->order.user_ref_num = order->user_ref_num;
    c->order.quantity = pick_total(g, order);
    c->side = random_percent(&g->random, 50) ? order->side : (uint8_t)random_below(&g->random, 5);
}

static uint32_t hostile_number(struct generator *g)
{
    static const uint32_t numbers[] = {0,
                                       1,
                                       2,
                                       0x7F,
                                       0x80,
                                       0xFF,
                                       0x100,
                                       0xFFFE,
                                       0xFFFF,
                                       QUANTITY_MAX - 1,
                                       QUANTITY_MAX,
                                       QUANTITY_MAX + 1,
                                       PRICE_MAX - 1,
                                       PRICE_MAX,
                                       PRICE_MAX + 1,
                                       PRICE_MARKET - 1,
                                       PRICE_MARKET,
                                       PRICE_MARKET + 1,
                                       UINT32_MAX - 1,
                                       UINT32_MAX};
    uint32_t pick = random_below(&g->random, 24);
    return pick < 20 ? numbers[pick] : (uint32_t)random_bits(&g->random);
}

static void make_hostile(struct generator *g, struct command *c)
{
    struct random *random = &g->random;
    uint32_t way = random_below(random, 10);
    if (way == 0) {
        for (size_t i = 0; i < sizeof(*c); i += 8) {
            uint64_t bits = random_bits(random);
            memcpy((char *)c + i, &bits, 8);
        }
        if (random_percent(random, 80))
            c->type = (uint8_t)(COMMAND_ENTER + random_below(random, 10));
        if (random_percent(random, 80))
            c->session %= 4;
        return;
    }
    static const struct {
        size_t offset, size;
    } fields[] = {{0, 8},  {9, 1},  {10, 2}, {12, 2}, {14, 1}, {15, 1}, {16, 4}, {20, 4}, {24, 4},
                  {28, 4}, {32, 2}, {34, 2}, {36, 4}, {40, 4}, {44, 4}, {62, 2}, {24, 2}, {26, 1}};
    for (uint32_t i = 0; i < way; i += 3) {
        size_t f = random_below(random, sizeof(fields) / sizeof(fields[0]));
        uint64_t value = hostile_number(g);
        memcpy((char *)c + fields[f].offset, &value, fields[f].size);
    }
}

static void fill_mass(struct generator *g, struct command *c)
{
    static const char firms[8][5] = {"\0\0\0", "\0\0\0", "\0\0\0", "ALFA",
                                     "BRAV",   "DELT",   "ECHO",   "FOXT"};
    struct random *random = &g->random;
    c->mass.user_ref_num = new_user_ref(g, c);
    c->mass.session = (uint16_t)random_below(random, g->flow->limits.sessions_max);
    c->mass.side = (uint8_t)random_below(random, 5);
    c->mass.reason = random_percent(random, 70) ? 'U' : 'S';
    memcpy(c->mass.firm, firms[random_below(random, 8)], 4);
    if (random_percent(random, 60))
        c->mass.session = ANY_SESSION;
    if (random_percent(random, 60))
        c->mass.side = ANY_SIDE;
    if (random_percent(random, 40))
        c->instrument = NO_INSTRUMENT;
    if (random_percent(random, 20))
        c->session = ANY_SESSION;
}

static const char control_firms[8][5] = {"\0\0\0", "\0\0\0", "\0\0\0", "ALFA",
                                         "BRAV",   "DELT",   "ECHO",   "FOXT"};

// Halts and bars, and their ends, which come more often.
static void fill_control(struct generator *g, struct command *c)
{
    struct random *random = &g->random;
    c->type = random_percent(random, 50) ? COMMAND_TRADING : COMMAND_ENTRY;
    if (c->type == COMMAND_TRADING) {
        c->trading.state = random_percent(random, 65) ? 'T' : 'H';
        if (random_percent(random, 3))
            c->trading.state = 'Q';
        if (random_percent(random, 30))
            c->instrument = NO_INSTRUMENT;
        return;
    }
    c->entry.user_ref_num = new_user_ref(g, c);
    c->entry.allowed = random_percent(random, 75);
    c->entry.session = c->session;
    memcpy(c->entry.firm, control_firms[random_below(random, 8)], 4);
    if (random_percent(random, 40)) {
        c->session = ANY_SESSION;
        if (random_percent(random, 30))
            c->entry.session = ANY_SESSION;
    }
}

static struct command client_command(struct generator *g)
{
    const struct flow *flow = g->flow;
    struct command c = {
        .time_ns = g->time_ns,
        .session = (uint16_t)random_below(&g->random, flow->limits.sessions_max),
        .instrument = (uint16_t)random_below(&g->random, flow->limits.instruments_max),
        .user_ref_index = pick_channel(g),
    };
    uint32_t sum = flow->enter + flow->replace + flow->cancel + flow->modify + flow->query +
                   flow->clock + flow->mass + flow->control;
    uint32_t pick = random_below(&g->random, sum + flow->day);
    if (pick >= sum) {
        c = setup_command(g, random_below(&g->random, setup_count(flow)));
        if (random_percent(&g->random, 10))
            c.type = COMMAND_CLOSE;
    } else if (pick < flow->enter) {
        c.type = COMMAND_ENTER;
        fill_enter(g, &c);
    } else if ((pick -= flow->enter) < flow->replace) {
        c.type = COMMAND_REPLACE;
        fill_replace(g, &c);
    } else if ((pick -= flow->replace) < flow->cancel + flow->modify) {
        c.type = pick < flow->cancel ? COMMAND_CANCEL : COMMAND_MODIFY;
        fill_reduction(g, &c);
    } else if ((pick -= flow->cancel + flow->modify) < flow->mass) {
        c.type = COMMAND_MASS_CANCEL;
        fill_mass(g, &c);
    } else if ((pick -= flow->mass) < flow->clock) {
        c.type = COMMAND_CLOCK;
        c.time_ns = g->time_ns += random_below(&g->random, 1500000000);
    } else if (pick - flow->clock < flow->control) {
        fill_control(g, &c);
    } else {
        c.type = COMMAND_QUERY;
    }
    if (random_percent(&g->random, flow->verdict_percent))
        c.verdict = REJECT_HALTED;
    return c;
}

// The market moves, and stays where the widest order's price is still one.
static void drift(struct generator *g)
{
    uint32_t move = random_below(&g->random, g->flow->drift_ticks + 1) * g->flow->price_tick;
    uint32_t reach = (g->flow->price_width + 1) * g->flow->price_tick;
    if (random_percent(&g->random, 50) && g->price_middle > move + reach)
        g->price_middle -= move;
    else if (g->price_middle + move + reach < PRICE_MAX)
        g->price_middle += move;
}

static struct command next_command(struct generator *g)
{
    const struct flow *flow = g->flow;
    g->time_ns += random_below(&g->random, 5000);
    if (random_percent(&g->random, flow->leap_percent))
        g->time_ns += random_below(&g->random, flow->leap_seconds + 1) * 1000000000ull;
    if (random_percent(&g->random, flow->drift_percent))
        drift(g);
    struct command c;
    if (g->step >= setup_count(flow))
        c = client_command(g);
    else if (flow->unordered_start && random_percent(&g->random, 5))
        c = setup_command(g, random_below(&g->random, setup_count(flow)));
    else
        c = setup_command(g, g->step);
    if (random_percent(&g->random, flow->backwards_percent))
        c.time_ns -= random_below(&g->random, 3000000000);
    if (random_percent(&g->random, flow->hostile_percent))
        make_hostile(g, &c);
    g->step++;
    return c;
}

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

#define FLOW_DEFAULTS                                                                              \
    .limits = {.orders_max = 64, .instruments_max = 1, .sessions_max = 3}, .trace_length = 2000,   \
    .check_interval = 50, .enter = 50, .replace = 15, .cancel = 15, .modify = 10, .query = 1,      \
    .clock = 1, .channels = 1, .price_middle = 500000, .price_width = 10, .price_tick = 100,       \
    .passive_percent = 60, .quantity_max = 300, .sweep_percent = 2, .hidden_percent = 5,           \
    .attributable_percent = 10, .ioc_percent = 5, .market_percent = 1, .stale_percent = 2,         \
    .verdict_percent = 1, .post_only_percent = 3, .self_match_percent = 10, .minimum_percent = 3,  \
    .reserve_percent = 3, .midpoint_percent = 3, .peg_percent = 3, .timed_percent = 3,             \
    .expire_seconds = 20

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
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 15, .limits.orders_max = 4096,
                            .trace_length = 8000, .check_interval = 2700, .enter = 75, .replace = 8,
                            .cancel = 5, .modify = 5, .price_width = 2000, .passive_percent = 95,
                            .sweep_percent = 0, .market_percent = 0, .ioc_percent = 1});
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

Test(book_property, agrees_with_the_reference_on_mass_cancels)
{
    run_flow(&(struct flow){FLOW_DEFAULTS, .thousandths = 30, .mass = 5, .control = 5,
                            .channels = 2,
                            .limits = {.orders_max = 64, .instruments_max = 3, .sessions_max = 5},
                            .passive_percent = 90, .hidden_percent = 30, .midpoint_percent = 20,
                            .reserve_percent = 20, .timed_percent = 20, .price_width = 5});
}

Test(book_property, agrees_with_the_reference_on_everything_at_once)
{
    run_flow(&(struct flow){FLOW_DEFAULTS,
                            .thousandths = 80,
                            .mass = 1,
                            .control = 2,
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
    AGREE(order->price == e->price && order->side == e->side &&
              order->instrument == e->instrument && order->quantity >= e->quantity,
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
        .replace = 30,        .price_width = 5};
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
