// SPDX-License-Identifier: MIT
#include "dataplane/load_flow.h"

#include <stdlib.h>
#include <string.h>

#include "book/book.h"
#include "numa/array.h"
#include "numa/invariant.h"

#define TICK           100u // one cent
#define RESTING_TARGET 200  // orders of a symbol, both sides
#define RESTING_MAX    512
#define NEWS_DELAY     64u // messages until the client believes that an order is gone
#define DISTANCE_MAX   60u // ticks from the mid

// Of 1000 messages, at the target. 631 ms of Nasdaq's ITCH feed at noon of 2014-11-11 have 470
// adds, 438 cancels, 67 replaces and 26 executions in 1000.
#define ADDS           470
#define CANCELS        430
#define REPLACES       50

struct resting {
    uint32_t ref;
    uint32_t price;
    uint32_t open;     // 0: gone, at gone_at
    uint32_t executed; // by it and the orders it replaced
    uint64_t gone_at;  // message number
    uint8_t session;
    uint8_t side;
};

struct market {
    uint32_t mid, mid_min, mid_max;
    int count;
    struct resting orders[RESTING_MAX]; // in order of arrival
};

struct flow {
    uint64_t random;
    uint64_t now; // message number
    uint64_t adds;
    const struct load_flow_options *options;
    struct load_day *day;
    struct market *markets;
};

// What the client believes of a symbol's book.
struct view {
    const struct resting *best[2]; // per side, NULL when empty
};

// SplitMix64 (Steele, Lea, Flood 2014).
uint64_t load_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static uint32_t draw_below(struct flow *flow, uint32_t bound)
{
    return (uint32_t)((load_random(&flow->random) >> 32) * bound >> 32);
}

// Geometric: the number of successes before the first failure, one in `mean + 1` fails.
static uint32_t draw_geometric(struct flow *flow, uint32_t mean, uint32_t max)
{
    uint32_t successes = 0;
    while (successes < max && draw_below(flow, mean + 1) != 0)
        successes++;
    return successes;
}

// Mostly round lots.
static uint32_t draw_quantity(struct flow *flow)
{
    return draw_below(flow, 5) == 0 ? 1 + draw_below(flow, 99) : 100 * (1 + draw_below(flow, 10));
}

uint32_t load_day_new_ref(struct load_day *day, uint8_t session)
{
    return ++day->refs[session];
}

void load_day_push(struct load_day *day, const struct load_step *step)
{
    if (!array_reserve(&day->steps, &day->capacity, day->count + 1, sizeof(*day->steps)) ||
        (day->timed &&
         !array_reserve(&day->times, &day->times_capacity, day->count + 1, sizeof(*day->times)))) {
        day->out_of_memory = true;
        return;
    }
    if (day->timed)
        day->times[day->count] = day->now_ns;
    day->steps[day->count++] = *step;
    if (step->kind == LOAD_CANCEL)
        day->cancels[step->session]++;
}

void load_day_free(struct load_day *day)
{
    free(day->steps);
    free(day->times);
    free(day->symbols);
    *day = (struct load_day){0};
}

static void market_open(struct flow *flow, struct market *market)
{
    market->mid = (2000 + draw_below(flow, 48000)) * TICK;
    market->mid_min = market->mid / 2;
    market->mid_max = market->mid * 2;
    market->count = 0;
}

static void market_walk(struct flow *flow, struct market *market)
{
    uint32_t roll = draw_below(flow, 100);
    if (roll == 0 && market->mid < market->mid_max)
        market->mid += TICK;
    else if (roll == 1 && market->mid > market->mid_min)
        market->mid -= TICK;
}

static bool known_gone(const struct flow *flow, const struct resting *order)
{
    return order->open == 0 && flow->now - order->gone_at >= NEWS_DELAY;
}

static bool better(uint8_t side, uint32_t price, uint32_t than)
{
    return side == SIDE_BUY ? price > than : price < than;
}

// Forgets the orders known to be gone and finds the best of the others.
static struct view survey(struct flow *flow, struct market *market)
{
    struct view view = {{NULL, NULL}};
    int kept = 0;
    for (int i = 0; i < market->count; i++) {
        if (known_gone(flow, &market->orders[i]))
            continue;
        struct resting *order = &market->orders[kept];
        if (kept != i)
            *order = market->orders[i];
        kept++;
        const struct resting **best = &view.best[order->side];
        if (*best == NULL || better(order->side, order->price, (*best)->price))
            *best = order;
    }
    market->count = kept;
    return view;
}

static void forget(struct market *market, struct resting *order)
{
    size_t after = (size_t)(&market->orders[market->count] - (order + 1));
    memmove(order, order + 1, after * sizeof(*order));
    market->count--;
}

// A price near the mid that does not trade with the other side as the client sees it.
static uint32_t passive_price(struct flow *flow, const struct market *market,
                              const struct view *view, uint8_t side)
{
    uint32_t distance = (1 + draw_geometric(flow, 7, DISTANCE_MAX)) * TICK;
    uint32_t price = side == SIDE_BUY ? market->mid - distance : market->mid + distance;
    const struct resting *opposite = view->best[!side];
    if (opposite == NULL)
        return price;
    uint32_t limit = side == SIDE_BUY ? opposite->price - TICK : opposite->price + TICK;
    return better(side, price, limit) ? limit : price;
}

// Recent orders are the likelier ones to be cancelled or replaced; one in five is any.
static struct resting *pick(struct flow *flow, struct market *market)
{
    uint32_t count = (uint32_t)market->count;
    uint32_t age = draw_below(flow, 5) == 0 ? count : draw_geometric(flow, 15, count);
    if (age >= count)
        age = draw_below(flow, count);
    return &market->orders[count - 1 - age];
}

static void add(struct flow *flow, uint16_t symbol, const struct view *view)
{
    struct market *market = &flow->markets[symbol];
    uint8_t side = (uint8_t)draw_below(flow, 2);
    if ((view->best[0] == NULL) != (view->best[1] == NULL))
        side = view->best[0] == NULL ? SIDE_BUY : SIDE_SELL;
    struct load_step step = {
        .quantity = draw_quantity(flow),
        .price = passive_price(flow, market, view, side),
        .symbol = symbol,
        .session = (uint8_t)(flow->adds++ % flow->options->session_count),
        .kind = LOAD_ENTER,
        .side = side,
        .time_in_force = LOAD_TIF_DAY,
    };
    step.ref = load_day_new_ref(flow->day, step.session);
    load_day_push(flow->day, &step);
    market->orders[market->count++] = (struct resting){
        .ref = step.ref,
        .price = step.price,
        .open = step.quantity,
        .session = step.session,
        .side = side,
    };
}

static void cancel(struct flow *flow, uint16_t symbol)
{
    struct market *market = &flow->markets[symbol];
    struct resting *order = pick(flow, market);
    struct load_step step = {
        .ref = order->ref,
        .symbol = symbol,
        .session = order->session,
        .kind = LOAD_CANCEL,
    };
    if (order->open >= 2 && draw_below(flow, 10) == 0) {
        order->open /= 2;
        step.quantity = order->executed + order->open;
    } else {
        forget(market, order);
    }
    load_day_push(flow->day, &step);
}

static void replace(struct flow *flow, uint16_t symbol, const struct view *view)
{
    struct market *market = &flow->markets[symbol];
    struct resting *order = pick(flow, market);
    struct resting old = *order;
    uint32_t open = draw_quantity(flow);
    if (open > QUANTITY_MAX - old.executed) {
        cancel(flow, symbol);
        return;
    }
    struct load_step step = {
        .ref = load_day_new_ref(flow->day, old.session),
        .orig_ref = old.ref,
        .quantity = old.executed + open,
        .price = passive_price(flow, market, view, old.side),
        .symbol = symbol,
        .session = old.session,
        .kind = LOAD_REPLACE,
    };
    load_day_push(flow->day, &step);
    forget(market, order);
    if (old.open == 0)
        return;
    old.ref = step.ref;
    old.price = step.price;
    old.open = open;
    market->orders[market->count++] = old;
}

// The order that one of the other side at `price` trades with next: best price, then first come.
static struct resting *next_maker(struct market *market, uint8_t side, uint32_t price)
{
    struct resting *best = NULL;
    for (int i = 0; i < market->count; i++) {
        struct resting *order = &market->orders[i];
        if (order->side != side || order->open == 0 || better(side, price, order->price))
            continue;
        if (best == NULL || better(side, order->price, best->price))
            best = order;
    }
    return best;
}

// Returns the shares left.
static uint32_t trade(struct flow *flow, struct market *market, const struct load_step *taker)
{
    uint32_t open = taker->quantity;
    struct resting *maker;
    while (open > 0 && (maker = next_maker(market, !taker->side, taker->price)) != NULL) {
        uint32_t quantity = open < maker->open ? open : maker->open;
        open -= quantity;
        maker->open -= quantity;
        maker->executed += quantity;
        maker->gone_at = flow->now;
    }
    return open;
}

static void cross(struct flow *flow, uint16_t symbol, const struct resting *maker)
{
    struct market *market = &flow->markets[symbol];
    uint32_t session_count = flow->options->session_count;
    uint32_t session = maker->session;
    if (session_count > 1)
        session = (session + 1 + draw_below(flow, session_count - 1)) % session_count;
    uint32_t through = draw_below(flow, 3) * TICK;
    struct load_step step = {
        .ref = load_day_new_ref(flow->day, (uint8_t)session),
        .quantity = draw_quantity(flow),
        .price = maker->side == SIDE_SELL ? maker->price + through : maker->price - through,
        .symbol = symbol,
        .session = (uint8_t)session,
        .kind = LOAD_ENTER,
        .side = !maker->side,
        .time_in_force = draw_below(flow, 3) == 0 ? LOAD_TIF_DAY : LOAD_TIF_IOC,
    };
    load_day_push(flow->day, &step);
    uint32_t open = trade(flow, market, &step);
    if (open == 0 || step.time_in_force == LOAD_TIF_IOC)
        return;
    market->orders[market->count++] = (struct resting){
        .ref = step.ref,
        .price = step.price,
        .open = open,
        .executed = step.quantity - open,
        .session = step.session,
        .side = step.side,
    };
}

// More adds than cancels while the symbol has fewer orders than the target, fewer above it.
static int add_threshold(const struct market *market)
{
    int shift = 100 * (RESTING_TARGET - market->count) / RESTING_TARGET;
    return ADDS + (shift < -100 ? -100 : shift);
}

static void flow_next(struct flow *flow)
{
    uint16_t symbol = (uint16_t)draw_below(flow, flow->options->symbol_count);
    struct market *market = &flow->markets[symbol];
    market_walk(flow, market);
    struct view view = survey(flow, market);
    int roll = (int)draw_below(flow, 1000);
    const struct resting *maker = view.best[draw_below(flow, 2)];
    INVARIANT(market->count < RESTING_MAX);
    if (roll < add_threshold(market) || market->count == 0)
        add(flow, symbol, &view);
    else if (roll < ADDS + CANCELS || market->count > RESTING_MAX - 2)
        cancel(flow, symbol);
    else if (roll < ADDS + CANCELS + REPLACES)
        replace(flow, symbol, &view);
    else if (maker != NULL)
        cross(flow, symbol, maker);
    else
        add(flow, symbol, &view);
    flow->now++;
}

int load_flow_generate(const struct load_flow_options *options, struct load_day *day,
                       struct error *error)
{
    *day = (struct load_day){
        .steps = malloc(options->count * sizeof(*day->steps)),
        .capacity = options->count,
        .symbols = malloc(options->symbol_count * sizeof(*day->symbols)),
        .symbol_count = options->symbol_count,
        .session_count = options->session_count,
    };
    struct flow flow = {
        .random = options->seed,
        .options = options,
        .day = day,
        .markets = malloc(options->symbol_count * sizeof(*flow.markets)),
    };
    if (day->steps == NULL || day->symbols == NULL || flow.markets == NULL) {
        free(flow.markets);
        return error_set(error,
                         "load: no memory for a day of %llu messages; ask for a smaller --count",
                         (unsigned long long)options->count);
    }
    memcpy(day->symbols, options->symbols, options->symbol_count * sizeof(*day->symbols));
    for (uint32_t i = 0; i < options->symbol_count; i++)
        market_open(&flow, &flow.markets[i]);
    while (day->count < options->count)
        flow_next(&flow);
    free(flow.markets);
    return 0;
}

struct command load_step_command(const struct load_step *step)
{
    static const uint8_t types[] = {[LOAD_ENTER] = COMMAND_ENTER,
                                    [LOAD_CANCEL] = COMMAND_CANCEL,
                                    [LOAD_REPLACE] = COMMAND_REPLACE};
    struct command command = {
        .type = types[step->kind],
        .session = step->session,
        .instrument = step->symbol,
        .side = step->side,
        .order = {.user_ref_num = step->ref,
                  .orig_user_ref_num = step->orig_ref,
                  .quantity = step->quantity,
                  .price = step->price},
    };
    if (step->time_in_force == LOAD_TIF_IOC)
        command.order.attributes.time_in_force = TIF_IOC;
    return command;
}

void load_day_commands(const struct load_day *day,
                       void (*each)(void *context, const struct command *command), void *context)
{
    struct command open = {.type = COMMAND_OPEN,
                           .open = {.session_id = "REPLAYED  ",
                                    .limits = {.instruments_max = (uint16_t)day->symbol_count,
                                               .sessions_max = (uint16_t)day->session_count}}};
    for (uint32_t i = 0; i < day->session_count; i++)
        open.open.limits.orders_max += day->refs[i];
    if (open.open.limits.orders_max == 0)
        open.open.limits.orders_max = 1;
    each(context, &open);
    for (uint16_t i = 0; i < day->symbol_count; i++) {
        struct command listing = {.type = COMMAND_INSTRUMENT, .instrument = i};
        memcpy(listing.listing.symbol, day->symbols[i], sizeof(listing.listing.symbol));
        each(context, &listing);
    }
    for (uint16_t i = 0; i < day->session_count; i++)
        each(context, &(struct command){.type = COMMAND_SESSION, .session = i});
    each(context, &(struct command){.type = COMMAND_START});
    for (uint64_t i = 0; i < day->count; i++) {
        struct command command = load_step_command(&day->steps[i]);
        each(context, &command);
    }
}
