// SPDX-License-Identifier: MIT
#include "tests/sim/supervisor.h"

#include <inttypes.h>
#include <string.h>

// The newest order that waits for the shard, or NULL.
static const struct command *newest_order(const struct lane *lane)
{
    uint32_t waiting = ring_readable(lane->commands, UINT32_MAX);
    if (waiting == 0)
        return NULL;
    const struct command *command = ring_read_slot(lane->commands, waiting - 1);
    return command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE ? command : NULL;
}

// As the book is now, a displayed order of the other side is acceptable to it.
static bool will_trade(const struct lane *lane, const struct command *order)
{
    struct book_level best;
    enum side other = order->side == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
    if (order->type != COMMAND_ENTER || order->verdict != REJECT_NONE ||
        !book_best(lane->shard.book, order->instrument, other, &best))
        return false;
    return other == SIDE_SELL
               ? order->order.price >= best.price
               : order->order.price <= best.price || order->order.price == PRICE_MARKET;
}

// Of a scope that has this order.
static struct command random_stop(struct random *random, const struct lane *lane,
                                  const struct command *order)
{
    struct command stop = {.type = COMMAND_ENTRY,
                           .session = ANY_SESSION,
                           .instrument = NO_INSTRUMENT,
                           .entry = {.session = ANY_SESSION, .actor = "simulated"}};
    switch (random_below(random, 5)) {
    case 0:
        stop.entry.session = order->session;
        break;
    case 1:
        memcpy(stop.entry.firm, lane->entry.sessions[order->session].who.firm, 4);
        break;
    case 2:
        if (order->type == COMMAND_REPLACE)
            break;
        stop = (struct command){.type = COMMAND_TRADING,
                                .session = ANY_SESSION,
                                .instrument = order->instrument,
                                .trading = {.state = 'H', .actor = "simulated"}};
        break;
    case 3:
        if (order->type == COMMAND_REPLACE)
            break;
        stop.instrument = order->instrument;
        stop.entry.in_symbol = 1;
        memcpy(stop.entry.firm, lane->entry.sessions[order->session].who.firm, 4);
    }
    return stop;
}

static struct command cancel_of(const struct command *stop)
{
    bool entry = stop->type == COMMAND_ENTRY;
    struct command cancel = {
        .type = COMMAND_MASS_CANCEL,
        .session = ANY_SESSION,
        .instrument = stop->instrument,
        .mass = {.session = entry ? stop->entry.session : ANY_SESSION,
                 .side = ANY_SIDE,
                 .reason = 'S',
                 .actor = "simulated"},
    };
    if (entry)
        memcpy(cancel.mass.firm, stop->entry.firm, sizeof(cancel.mass.firm));
    return cancel;
}

static struct command lift_of(struct command stop)
{
    if (stop.type == COMMAND_ENTRY)
        stop.entry.allowed = true;
    else
        stop.trading.state = 'T';
    return stop;
}

static bool in_scope(const struct command *stop, const char firm[4], uint16_t session,
                     uint16_t instrument)
{
    if (stop->instrument != NO_INSTRUMENT && stop->instrument != instrument)
        return false;
    if (stop->type == COMMAND_TRADING)
        return true;
    bool any_firm = memcmp(stop->entry.firm, "\0\0\0\0", 4) == 0;
    return (stop->entry.session == ANY_SESSION || stop->entry.session == session) &&
           (any_firm || memcmp(stop->entry.firm, firm, 4) == 0);
}

// Clients name no firms: an order's is its session's.
static bool event_in_scope(const struct oracle *oracle, const struct command *stop,
                           const struct event *event)
{
    return in_scope(stop, oracle->reference.sessions[event->session].firm, event->session,
                    event->instrument);
}

static void check_none_live(const struct supervisor *who, const struct oracle *oracle)
{
    const struct reference *reference = &oracle->reference;
    for (uint32_t i = 0; i < reference->order_count; i++) {
        const struct reference_order *order = &reference->orders[i];
        if (in_scope(&who->stop, reference_firm(reference, order), order->session,
                     order->instrument))
            sim_fail("order %u of session %u is live after a kill of its scope",
                     order->user_ref_num, order->session);
    }
}

static void acknowledged(struct supervisor *who, struct lane *lane, struct oracle *oracle)
{
    bool raced = false;
    if (lane->orders.seq > atomic_load(&lane->gate.progress->durable_seq))
        sim_fail("a kill is acknowledged, and is not durable");
    oracle_advance(oracle, lane->orders.seq, &lane->symbols);
    check_none_live(who, oracle);
    for (uint32_t i = 0; i < lane->entry.session_count; i++) {
        const struct expected *expected = &oracle->sessions[i];
        who->told[i] = expected->count;
        for (uint64_t number = expected->count; number > 0; number--) {
            const struct event *event = &expected->events[number];
            if (event->seq <= who->given_seq)
                break;
            raced |= event->type == EVENT_EXECUTED && event_in_scope(oracle, &who->stop, event);
        }
    }
    who->kill_count++;
    who->race_count += raced;
    who->state = SUPERVISOR_KILLED;
    sim_trace("a kill is acknowledged, command %" PRIu64 "%s", lane->orders.seq,
              raced ? ", and raced with fills" : "");
}

// Up to what is durable now.
static void check_quiet(const struct supervisor *who, struct lane *lane, struct oracle *oracle)
{
    oracle_advance(oracle, atomic_load(&lane->gate.progress->durable_seq), &lane->symbols);
    check_none_live(who, oracle);
    for (uint32_t i = 0; i < lane->entry.session_count; i++)
        for (uint64_t number = who->told[i] + 1; number <= oracle->sessions[i].count; number++) {
            const struct event *event = &oracle->sessions[i].events[number];
            if ((event->type == EVENT_ACCEPTED || event->type == EVENT_REPLACED ||
                 event->type == EVENT_EXECUTED) &&
                event_in_scope(oracle, &who->stop, event))
                sim_fail("an order of session %u was accepted or traded after a kill of its scope",
                         i);
        }
}

static void give(struct supervisor *who, struct lane *lane, enum supervisor_state next)
{
    struct command commands[2] = {who->stop, cancel_of(&who->stop)};
    if (next == SUPERVISOR_LIFTING)
        commands[0] = lift_of(who->stop);
    uint64_t given = lane_give_orders(lane, commands, next == SUPERVISOR_LIFTING ? 1 : 2);
    if (given == 0)
        return;
    who->given = given;
    who->state = next;
}

void supervisor_act(struct supervisor *who, struct random *random, struct lane *lane,
                    struct oracle *oracle, bool more)
{
    const struct command *order;
    switch (who->state) {
    case SUPERVISOR_IDLE:
        order = more ? newest_order(lane) : NULL;
        if (!order || !random_percent(random, will_trade(lane, order) ? 60 : 2))
            return;
        who->stop = random_stop(random, lane, order);
        who->given_seq = oracle->log_count;
        give(who, lane, SUPERVISOR_KILLING);
        return;
    case SUPERVISOR_KILLING:
        if (lane_orders_done(lane, who->given))
            acknowledged(who, lane, oracle);
        return;
    case SUPERVISOR_KILLED:
        if (more && !random_percent(random, 5))
            return;
        check_quiet(who, lane, oracle);
        give(who, lane, SUPERVISOR_LIFTING);
        return;
    case SUPERVISOR_DOUBTING:
        give(who, lane, SUPERVISOR_LIFTING);
        return;
    case SUPERVISOR_LIFTING:
        if (lane_orders_done(lane, who->given))
            who->state = SUPERVISOR_IDLE;
        return;
    }
}

void supervisor_lost(struct supervisor *who)
{
    if (who->state == SUPERVISOR_KILLING || who->state == SUPERVISOR_LIFTING)
        who->state = SUPERVISOR_DOUBTING;
}
