// SPDX-License-Identifier: MIT
#include "tests/bench/book_tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/invariant.h"
#include "tests/bench/peer_map.h"

#define SESSIONS     16u // or as many as there are members
#define SESSIONS_MAX 48u
#define TICK         100u // $0.01
#define NEWEST       256u
#define DEAD         1024u
#define MID_STEP_ONE 1024u // commands of an instrument for one step of its mid, on average

struct tape_order {
    uint32_t live_index; // in tape.live
    uint32_t open, executed;
    uint16_t instrument;
    uint8_t side;
};

struct tape_instrument {
    double weight_upto; // of it and of all before it
    uint32_t mid;
    uint32_t newest_count;
    uint32_t newest[NEWEST]; // order numbers
};

// An order's number is UserRefNum x sessions + session.
struct tape {
    struct tape_shape shape;
    uint32_t sessions; // that send orders
    uint64_t random;
    uint64_t command_count;
    uint64_t trade_count;
    struct peer *peer; // NULL when steady
    struct tape_instrument *instruments;
    uint32_t user_ref_next[SESSIONS_MAX];
    uint32_t orders_max;
    struct tape_order *orders; // by number
    uint32_t live_count;
    uint32_t *live; // numbers
    uint32_t dead_count;
    uint32_t dead[DEAD]; // numbers of the last that died
};

static uint64_t random_next(struct tape *tape)
{
    uint64_t x = tape->random += 0x9E3779B97F4A7C15ull; // SplitMix64 (Steele, Lea, Flood 2014)
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ x >> 27) * 0x94D049BB133111EBull;
    return x ^ x >> 31;
}

static uint32_t random_below(struct tape *tape, uint32_t bound)
{
    return (uint32_t)((random_next(tape) >> 32) * bound >> 32);
}

static double random_unit(struct tape *tape)
{
    return ((double)(random_next(tape) >> 11) + 0.5) * 0x1p-53;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        fprintf(stderr, "bench_book: no memory for a tape: %zu x %zu bytes\n", count, size);
        exit(1);
    }
    return memory;
}

static uint32_t senders(const struct tape_shape *shape)
{
    return shape->members > SESSIONS ? shape->members : SESSIONS;
}

static uint32_t session_count(const struct tape_shape *shape)
{
    return senders(shape) + (shape->members > 0);
}

void tape_firm(char firm[4], uint32_t index)
{
    char name[5];
    snprintf(name, sizeof(name), "M%03u", (unsigned)index % 1000u);
    memcpy(firm, name, 4);
}

struct book_limits tape_limits(const struct tape_shape *shape)
{
    return (struct book_limits){.orders_max = shape->resting + shape->resting / 4 + 1024,
                                .instruments_max = (uint16_t)shape->instruments,
                                .sessions_max = (uint16_t)session_count(shape)};
}

uint32_t tape_lead_count(const struct tape_shape *shape)
{
    return 1 + shape->instruments + session_count(shape) + 1 + shape->resting;
}

struct tape *tape_open(const struct tape_shape *shape, uint64_t seed)
{
    struct tape *tape = allocate(1, sizeof(*tape));
    struct book_limits limits = tape_limits(shape);
    INVARIANT(shape->members <= SESSIONS_MAX);
    tape->shape = *shape;
    tape->sessions = senders(shape);
    tape->random = seed;
    tape->peer = shape->steady ? NULL : peer_open(&limits);
    // Every command could be an order; sessions get equal shares but for chance.
    uint64_t orders = (shape->resting + shape->commands_max) * 11 / 10 + 65536;
    INVARIANT(orders < UINT32_MAX);
    tape->orders_max = (uint32_t)orders;
    tape->orders = allocate(tape->orders_max, sizeof(tape->orders[0]));
    tape->live = allocate(limits.orders_max, sizeof(tape->live[0]));
    tape->instruments = allocate(shape->instruments, sizeof(tape->instruments[0]));
    double weight = 0;
    for (uint32_t rank = 0; rank < shape->instruments; rank++) {
        weight += 1.0 / (rank + 3);
        tape->instruments[rank].weight_upto = weight;
        tape->instruments[rank].mid = (2000 + random_below(tape, 48000)) * TICK;
    }
    for (uint32_t session = 0; session < tape->sessions; session++)
        tape->user_ref_next[session] = 1;
    return tape;
}

void tape_close(struct tape *tape)
{
    if (tape->peer)
        peer_close(tape->peer);
    free(tape->instruments);
    free(tape->live);
    free(tape->orders);
    free(tape);
}

struct tape_state tape_state(const struct tape *tape)
{
    return (struct tape_state){.resting = tape->live_count,
                               .levels = tape->peer ? peer_levels(tape->peer) : 0,
                               .trades = tape->trade_count};
}

// What lives.

static void order_born(struct tape *tape, uint32_t number, const struct tape_order *order)
{
    struct tape_instrument *instrument = &tape->instruments[order->instrument];
    instrument->newest[instrument->newest_count++ % NEWEST] = number;
    tape->orders[number] = *order;
    tape->orders[number].live_index = tape->live_count;
    INVARIANT(tape->live_count < tape_limits(&tape->shape).orders_max);
    tape->live[tape->live_count++] = number;
}

static void order_died(struct tape *tape, uint32_t number)
{
    struct tape_order *order = &tape->orders[number];
    uint32_t last = tape->live[--tape->live_count];
    tape->live[order->live_index] = last;
    tape->orders[last].live_index = order->live_index;
    order->open = 0;
    tape->dead[tape->dead_count++ % DEAD] = number;
}

static uint32_t number_of(const struct tape *tape, uint64_t id)
{
    return (uint32_t)id * tape->sessions + (uint32_t)(id >> 32);
}

static uint32_t number_new(struct tape *tape, uint16_t session)
{
    uint32_t number = tape->user_ref_next[session]++ * tape->sessions + session;
    INVARIANT(number < tape->orders_max);
    return number;
}

static uint16_t pick_instrument(struct tape *tape)
{
    double sum = tape->instruments[tape->shape.instruments - 1].weight_upto;
    double point = random_unit(tape) * sum;
    uint32_t low = 0, high = tape->shape.instruments - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (tape->instruments[middle].weight_upto < point)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint16_t)low;
}

static uint32_t pick_live(struct tape *tape)
{
    if (!tape->shape.steady && random_below(tape, 100) < 60) {
        const struct tape_instrument *instrument = &tape->instruments[pick_instrument(tape)];
        uint32_t count = instrument->newest_count < NEWEST ? instrument->newest_count : NEWEST;
        for (uint32_t tries = 0; count > 0 && tries < 16; tries++) {
            uint32_t number = instrument->newest[random_below(tape, count)];
            if (tape->orders[number].open > 0)
                return number;
        }
    }
    return tape->live[random_below(tape, tape->live_count)];
}

// Prices.

static uint32_t distance(struct tape *tape)
{
    if (random_below(tape, 100) < 5)
        return random_below(tape, 600);
    return (uint32_t)(log(random_unit(tape)) / log(7.0 / 8.0)); // geometric, mean 7
}

static uint32_t best(const struct tape *tape, uint16_t instrument, enum side side)
{
    return tape->peer ? peer_best(tape->peer, instrument, side) : 0;
}

// Behind the mid, and behind the best price of the other side, so that it does not trade.
static uint32_t passive_price(struct tape *tape, uint16_t instrument, enum side side)
{
    uint32_t mid = tape->instruments[instrument].mid, away = (1 + distance(tape)) * TICK;
    uint32_t opposite = best(tape, instrument, side == SIDE_BUY ? SIDE_SELL : SIDE_BUY);
    if (side == SIDE_BUY)
        return (opposite > 0 && opposite <= mid ? opposite : mid) - away;
    return (opposite >= mid ? opposite : mid) + away;
}

static uint32_t round_lots(struct tape *tape, uint32_t lots_max)
{
    return (1 + random_below(tape, lots_max)) * 100;
}

// Commands.

static void write_enter(struct tape *tape, struct command *command, uint16_t instrument,
                        enum side side, uint32_t price, uint32_t quantity)
{
    uint16_t session = (uint16_t)random_below(tape, tape->sessions);
    command->type = COMMAND_ENTER;
    command->session = session;
    command->instrument = instrument;
    command->side = (uint8_t)side;
    command->order.price = price;
    command->order.quantity = quantity;
    uint32_t number = number_new(tape, session);
    command->order.user_ref_num = number / tape->sessions;
    order_born(tape, number,
               &(struct tape_order){.open = quantity, .instrument = instrument, .side = side});
}

static enum tape_kind write_add(struct tape *tape, struct command *command)
{
    uint16_t instrument = pick_instrument(tape);
    enum side side = random_below(tape, 2) ? SIDE_BUY : SIDE_SELL;
    write_enter(tape, command, instrument, side, passive_price(tape, instrument, side),
                round_lots(tape, 10));
    return TAPE_ADD;
}

// Up to three ticks into the other side, more often than not in the direction in which the mid has
// gone, and larger while more rests than at the start, which keeps the book as full as it was.
static enum tape_kind write_cross(struct tape *tape, struct command *command)
{
    uint16_t instrument = pick_instrument(tape);
    uint32_t bid = best(tape, instrument, SIDE_BUY), ask = best(tape, instrument, SIDE_SELL);
    if (bid == 0 || ask == 0)
        return write_add(tape, command);
    uint32_t through = random_below(tape, 4) * TICK;
    uint32_t lots = tape->live_count > tape->shape.resting ? 16 : 8;
    bool rising = tape->instruments[instrument].mid > (bid + ask) / 2;
    bool buy = random_below(tape, 10) < 8 ? rising : !rising;
    write_enter(tape, command, instrument, buy ? SIDE_BUY : SIDE_SELL,
                buy ? ask + through : bid - through, round_lots(tape, lots));
    return TAPE_CROSS;
}

static enum tape_kind write_cancel(struct tape *tape, struct command *command)
{
    bool too_late = !tape->shape.steady && tape->dead_count > DEAD && random_below(tape, 50) == 0;
    uint32_t number = too_late ? tape->dead[random_below(tape, DEAD)] : pick_live(tape);
    command->type = COMMAND_CANCEL;
    command->session = (uint16_t)(number % tape->sessions);
    command->order.user_ref_num = number / tape->sessions;
    if (!too_late)
        order_died(tape, number);
    return TAPE_CANCEL;
}

static enum tape_kind write_replace(struct tape *tape, struct command *command)
{
    uint32_t old_number = pick_live(tape);
    struct tape_order order = tape->orders[old_number];
    order.open = round_lots(tape, 10);
    command->type = COMMAND_REPLACE;
    command->session = (uint16_t)(old_number % tape->sessions);
    command->instrument = order.instrument;
    command->side = order.side;
    command->order.orig_user_ref_num = old_number / tape->sessions;
    command->order.quantity = order.executed + order.open;
    command->order.price = passive_price(tape, order.instrument, (enum side)order.side);
    uint32_t number = number_new(tape, command->session);
    command->order.user_ref_num = number / tape->sessions;
    order_died(tape, old_number);
    order_born(tape, number, &order);
    return TAPE_REPLACE;
}

static enum tape_kind write_lead(struct tape *tape, struct command *command)
{
    uint64_t index = tape->command_count;
    if (index == 0) {
        command->type = COMMAND_OPEN;
        memcpy(command->open.session_id, "BENCH     ", sizeof(command->open.session_id));
        command->open.limits = tape_limits(&tape->shape);
    } else if (--index < tape->shape.instruments) {
        command->type = COMMAND_INSTRUMENT;
        command->instrument = (uint16_t)index;
        snprintf(command->listing.symbol, sizeof(command->listing.symbol), "S%06u",
                 (unsigned)index % 1000000u);
        command->listing.symbol[7] = ' ';
        command->listing.round_lot = 100;
    } else if ((index -= tape->shape.instruments) < session_count(&tape->shape)) {
        uint32_t members = tape->shape.members;
        command->type = COMMAND_SESSION;
        command->session = (uint16_t)index;
        memcpy(command->member.user_name, "BENCH", 5);
        command->member.user_name[5] = (char)('A' + index);
        if (members > 0)
            tape_firm(command->member.firm, index < tape->sessions ? index % members : members);
    } else if (index == session_count(&tape->shape)) {
        command->type = COMMAND_START;
    } else {
        write_add(tape, command);
    }
    return TAPE_LEAD;
}

static enum tape_kind write_mixed(struct tape *tape, struct command *command)
{
    uint32_t dice = random_below(tape, 100);
    if (dice < 47 || tape->live_count < 2)
        return write_add(tape, command);
    if (dice < 90)
        return write_cancel(tape, command);
    return dice < 95 ? write_replace(tape, command) : write_cross(tape, command);
}

static void walk_mid(struct tape *tape)
{
    if (random_below(tape, MID_STEP_ONE) >= tape->shape.instruments)
        return;
    struct tape_instrument *instrument = &tape->instruments[pick_instrument(tape)];
    instrument->mid += random_below(tape, 2) ? TICK : -TICK;
}

static void settle(struct tape *tape, const struct command *command)
{
    const struct peer_trade *trades;
    uint32_t count = peer_apply(tape->peer, command, &trades);
    tape->trade_count += count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t numbers[2] = {number_of(tape, trades[i].maker), number_of(tape, trades[i].taker)};
        for (int side = 0; side < 2; side++) {
            struct tape_order *order = &tape->orders[numbers[side]];
            order->executed += trades[i].quantity;
            if (order->open == trades[i].quantity)
                order_died(tape, numbers[side]);
            else
                order->open -= trades[i].quantity;
        }
    }
}

enum tape_kind tape_next(struct tape *tape, struct command *command)
{
    enum tape_kind kind;
    memset(command, 0, sizeof(*command));
    command->time_ns = tape->command_count * 100;
    if (tape->command_count < tape_lead_count(&tape->shape))
        kind = write_lead(tape, command);
    else if (tape->shape.steady)
        kind = tape->command_count % 2 ? write_cancel(tape, command) : write_add(tape, command);
    else
        kind = write_mixed(tape, command);
    tape->command_count++;
    if (tape->peer) {
        settle(tape, command);
        walk_mid(tape);
    }
    return kind;
}
