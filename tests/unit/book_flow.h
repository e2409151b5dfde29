// SPDX-License-Identifier: MIT
//
// Random flows of commands for a book. What comes next is chosen by what a reference, to which its
// owner gives the same commands, has in its book.
#ifndef SLUICE_TESTS_UNIT_BOOK_FLOW_H
#define SLUICE_TESTS_UNIT_BOOK_FLOW_H

#include "tests/unit/random.h"
#include "tests/unit/reference.h"

#define MIDNIGHT_NS 1700006400000000000ull

struct flow {
    struct book_limits limits;
    uint32_t trace_length;
    uint32_t check_interval;
    uint32_t thousandths; // of all commands
    // Which command, in parts of their sum.
    uint32_t enter, replace, cancel, modify, query, clock, mass, control, limit, day;
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
    uint32_t cross_percent;     // orders for one cross only; instruments also collect for crosses
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

#define FLOW_DEFAULTS                                                                              \
    .limits = {.orders_max = 64, .instruments_max = 1, .sessions_max = 3}, .trace_length = 2000,   \
    .check_interval = 50, .enter = 50, .replace = 15, .cancel = 15, .modify = 10, .query = 1,      \
    .clock = 1, .channels = 1, .price_middle = 500000, .price_width = 10, .price_tick = 100,       \
    .passive_percent = 60, .quantity_max = 300, .sweep_percent = 2, .hidden_percent = 5,           \
    .attributable_percent = 10, .ioc_percent = 5, .market_percent = 1, .stale_percent = 2,         \
    .verdict_percent = 1, .post_only_percent = 3, .self_match_percent = 10, .minimum_percent = 3,  \
    .reserve_percent = 3, .midpoint_percent = 3, .peg_percent = 3, .timed_percent = 3,             \
    .expire_seconds = 20

struct generator {
    const struct flow *flow;
    struct random random;
    struct reference reference;
    uint64_t time_ns;
    uint32_t step;
    uint32_t price_middle;
};

static inline uint8_t pick_channel(struct generator *g)
{
    static const uint8_t channels[] = {0, 255, 1};
    return channels[random_below(&g->random, g->flow->channels)];
}

static const char session_firms[4][5] = {"ALFA", "BRAV", "\0\0\0", "DELT"};

static inline struct command setup_command(struct generator *g, uint32_t step)
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

static inline uint32_t setup_count(const struct flow *flow)
{
    return 2u + flow->limits.instruments_max + flow->limits.sessions_max;
}

static inline const struct reference_order *pick_order(struct generator *g)
{
    const struct reference *r = &g->reference;
    if (r->order_count == 0 || random_percent(&g->random, g->flow->stale_percent))
        return NULL;
    return &r->orders[random_below(&g->random, r->order_count)];
}

static inline uint32_t last_user_ref(const struct generator *g, const struct command *c)
{
    const struct reference *r = &g->reference;
    return c->session < r->session_count ? r->sessions[c->session].last[c->user_ref_index] : 0;
}

static inline uint32_t used_user_ref(struct generator *g, const struct command *c)
{
    uint32_t last = last_user_ref(g, c);
    uint32_t window = last < 64 ? last : 64;
    return last - random_below(&g->random, window + 1);
}

static inline uint32_t new_user_ref(struct generator *g, const struct command *c)
{
    if (random_percent(&g->random, g->flow->stale_percent))
        return used_user_ref(g, c);
    return last_user_ref(g, c) + 1 +
           (random_percent(&g->random, 5) ? random_below(&g->random, 9) : 0);
}

static inline uint32_t pick_price(struct generator *g, bool buy, bool sweep)
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
static inline void fill_kind(struct generator *g, struct command *c, bool buy)
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

static inline void fill_terms(struct generator *g, struct command *c, bool buy)
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

// An order for a cross only: mostly one that may be entered now.
static inline void fill_cross(struct generator *g, struct command *c)
{
    struct random *random = &g->random;
    const struct reference *r = &g->reference;
    if (!random_percent(random, g->flow->cross_percent))
        return;
    char phase = c->instrument < r->instrument_count ? r->instruments[c->instrument].phase : 'T';
    c->order.cross = phase == 'O' ? CROSS_OPENING : phase == 'T' ? CROSS_CLOSING : CROSS_HALT;
    if (random_percent(random, 20))
        c->order.cross = (uint8_t) "OCHX"[random_below(random, 4)];
    if (random_percent(random, 3))
        return;
    c->order.min_quantity = c->order.max_floor = c->order.expire_seconds = 0;
    c->order.random_reserve = 0;
    c->order.peg_offset = 0;
    c->order.attributes.peg = PEG_NONE;
    c->order.attributes.post_only = 0;
    if (c->order.attributes.time_in_force == TIF_GTT)
        c->order.attributes.time_in_force = TIF_DAY;
}

static inline void fill_enter(struct generator *g, struct command *c)
{
    static const uint8_t sells[] = {SIDE_SELL, SIDE_SELL, SIDE_SELL_SHORT, SIDE_SELL_SHORT_EXEMPT};
    bool buy = g->flow->alternating ? g->step % 2 : random_percent(&g->random, 50);
    c->side = buy ? SIDE_BUY : sells[random_below(&g->random, 4)];
    c->order.user_ref_num = new_user_ref(g, c);
    if (random_percent(&g->random, 50))
        memcpy(c->order.firm, random_percent(&g->random, 50) ? "ECHO" : "FOXT", 4);
    fill_terms(g, c, buy);
    if (g->flow->limit > 0 && random_percent(&g->random, 10)) {
        c->order.quantity = 100; // like others
        c->order.price = g->price_middle;
    }
    fill_cross(g, c);
}

static inline void fill_replace(struct generator *g, struct command *c)
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
    if (random_percent(&g->random, 50))
        c->order.kept = random_percent(&g->random, 50) ? KEPT_ALL : random_below(&g->random, 1024);
    if (random_percent(&g->random, 20))
        c->order.kept |= SAID_SIDE; // of a side at random
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
static inline uint32_t pick_total(struct generator *g, const struct reference_order *order)
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

static inline void fill_reduction(struct generator *g, struct command *c)
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

static inline uint32_t hostile_number(struct generator *g)
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

static inline void make_hostile(struct generator *g, struct command *c)
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

static inline void fill_mass(struct generator *g, struct command *c)
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

// Nearly always late enough for a session to have a token again.
static inline uint64_t pass_time(struct generator *g)
{
    return g->time_ns += random_percent(&g->random, 90) ? 1000000000 / BOOK_PASS_RATE : 0;
}

// Halts and bars, and their ends, which come more often.
static inline void fill_control(struct generator *g, struct command *c)
{
    struct random *random = &g->random;
    c->type = random_percent(random, g->flow->cross_percent > 0 ? 90 : 50) ? COMMAND_TRADING
                                                                           : COMMAND_ENTRY;
    if (c->type == COMMAND_ENTRY)
        c->time_ns = pass_time(g);
    if (c->type == COMMAND_TRADING) {
        if (random_percent(random, 15))
            c->trading.band = random_below(random, 3) ? 1 + random_below(random, 30) : UINT32_MAX;
        if (random_percent(random, 15))
            c->trading.short_sale = (uint8_t) "0123"[random_below(random, 4)];
        c->trading.state = random_percent(random, 65) ? 'T' : 'H';
        if (random_percent(random, g->flow->cross_percent > 0 ? 35 : 3))
            c->trading.state =
                (uint8_t) "OQPCX"[random_below(random, random_percent(random, 5) ? 5 : 3)];
        if (random_percent(random, g->flow->cross_percent > 0 ? 15 : 0))
            c->trading.state = random_percent(random, 50) ? 'L' : 'R';
        if (random_percent(random, 30))
            c->trading.source = (uint8_t)random_below(random, 4);
        if (random_percent(random, 20))
            c->trading.from = (uint8_t) "THOQPCX"[random_below(random, 7)];
        if (random_percent(random, 30))
            c->trading.reference = random_percent(random, 90) ? g->price_middle : hostile_number(g);
        if (random_percent(random, 30))
            c->instrument = NO_INSTRUMENT;
        return;
    }
    c->entry.user_ref_num = new_user_ref(g, c);
    c->entry.allowed = random_percent(random, 75);
    c->entry.in_symbol = random_percent(random, 20);
    c->entry.session = c->session;
    memcpy(c->entry.firm, control_firms[random_below(random, 8)], 4);
    if (random_percent(random, 40)) {
        c->session = ANY_SESSION;
        if (random_percent(random, 30))
            c->entry.session = ANY_SESSION;
    }
}

// Limits near what the flow's orders come to, and their ends.
static inline void fill_limit(struct generator *g, struct command *c)
{
    const struct flow *flow = g->flow;
    struct random *random = &g->random;
    uint64_t price = flow->price_middle, shares = flow->quantity_max;
    c->type = COMMAND_LIMIT;
    c->side = (uint8_t)(LIMIT_QUANTITY + random_below(random, LIMIT_MEMBER_END - LIMIT_QUANTITY));
    memcpy(c->limit.firm, session_firms[random_below(random, 4)], 4);
    if (random_percent(random, 25))
        c->side = (uint8_t)(LIMIT_TICK + random_below(random, LIMIT_INSTRUMENT_END - LIMIT_TICK));
    switch (c->side) {
    case LIMIT_NOTIONAL:
        c->limit.value = price * random_below(random, (uint32_t)shares);
        break;
    case LIMIT_GROSS:
    case LIMIT_NET:
    case LIMIT_CREDIT:
        c->limit.value = price * random_below(random, 20 * (uint32_t)shares);
        break;
    case LIMIT_POSITION:
        c->limit.value = random_below(random, 10 * (uint32_t)shares);
        break;
    case LIMIT_ORDER_RATE:
    case LIMIT_CANCEL_RATE:
    case LIMIT_EXECUTIONS: // of which a trace has few seconds
        c->limit.value = 1 + random_below(random, random_percent(random, 80) ? 300 : 100000);
        break;
    case LIMIT_DUPLICATES:
    case LIMIT_ORDERS_PER_TRADE:
        c->limit.value = 1 + random_below(random, 2);
        break;
    default:
        c->limit.value = 1 + random_below(random, 20);
    }
    if (limit_held(c->side)) {
        const struct reference_member *member = reference_member(&g->reference, c->limit.firm);
        if (random_percent(random, 50))
            c->limit.value += (uint64_t)reference_used(&g->reference, member, c->side);
        c->limit.total = random_percent(random, 50) ? 2 * c->limit.value : 0;
        if (random_percent(random, 10))
            c->limit.value = LIMIT_NOTHING;
        if (random_percent(random, 50)) {
            c->type = random_percent(random, 50) ? COMMAND_YIELD : COMMAND_RAISE;
            return;
        }
    }
    if (random_percent(random, 50))
        c->limit.value = 0;
}

static inline struct command client_command(struct generator *g)
{
    const struct flow *flow = g->flow;
    struct command c = {
        .time_ns = g->time_ns,
        .session = (uint16_t)random_below(&g->random, flow->limits.sessions_max),
        .instrument = (uint16_t)random_below(&g->random, flow->limits.instruments_max),
        .user_ref_index = pick_channel(g),
    };
    uint32_t sum = flow->enter + flow->replace + flow->cancel + flow->modify + flow->query +
                   flow->clock + flow->mass + flow->control + flow->limit;
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
        c.time_ns = pass_time(g);
        fill_mass(g, &c);
    } else if ((pick -= flow->mass) < flow->clock) {
        c.type = COMMAND_CLOCK;
        c.time_ns = g->time_ns += random_below(&g->random, 1500000000);
    } else if ((pick -= flow->clock) < flow->control) {
        fill_control(g, &c);
    } else if (pick - flow->control < flow->limit) {
        fill_limit(g, &c);
    } else {
        c.type = COMMAND_QUERY;
    }
    if (random_percent(&g->random, flow->verdict_percent))
        c.verdict = random_percent(&g->random, 50)   ? REJECT_HALTED
                    : random_percent(&g->random, 50) ? REJECT_RISK_QUANTITY
                                                     : REJECT_PROCESSING_ERROR;
    return c;
}

// The market moves, and stays where the widest order's price is still one.
static inline void drift(struct generator *g)
{
    uint32_t move = random_below(&g->random, g->flow->drift_ticks + 1) * g->flow->price_tick;
    uint32_t reach = (g->flow->price_width + 1) * g->flow->price_tick;
    if (random_percent(&g->random, 50) && g->price_middle > move + reach)
        g->price_middle -= move;
    else if (g->price_middle + move + reach < PRICE_MAX)
        g->price_middle += move;
}

static inline struct command next_command(struct generator *g)
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

#endif
