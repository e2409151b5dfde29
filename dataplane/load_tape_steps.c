// SPDX-License-Identifier: MIT
#include "dataplane/load_tape_steps.h"

#include <stdlib.h>

#include "book/book.h"

static uint64_t hash(uint64_t id)
{
    id ^= id >> 32;
    id *= 0xD6E8FEB86659FD93ull;
    return id ^ (id >> 32);
}

bool order_table_open(struct order_table *table, uint64_t capacity)
{
    *table = (struct order_table){
        .slots = calloc(capacity, sizeof(*table->slots)),
        .mask = capacity - 1,
    };
    return table->slots != NULL;
}

static struct tape_order *order_table_slot(const struct order_table *table, uint64_t id)
{
    uint64_t index = hash(id) & table->mask;
    while (table->slots[index].ref != 0 && table->slots[index].id != id)
        index = (index + 1) & table->mask;
    return &table->slots[index];
}

struct tape_order *order_table_find(const struct order_table *table, uint64_t id)
{
    struct tape_order *order = order_table_slot(table, id);
    return order->ref == 0 ? NULL : order;
}

static bool order_table_grow(struct order_table *table)
{
    struct order_table bigger;
    if (!order_table_open(&bigger, 2 * (table->mask + 1)))
        return false;
    for (uint64_t i = 0; i <= table->mask; i++) {
        if (table->slots[i].ref != 0)
            *order_table_slot(&bigger, table->slots[i].id) = table->slots[i];
    }
    bigger.used = table->used;
    free(table->slots);
    *table = bigger;
    return true;
}

bool order_table_insert(struct order_table *table, const struct tape_order *order)
{
    if (2 * (table->used + 1) > table->mask && !order_table_grow(table))
        return false;
    *order_table_slot(table, order->id) = *order;
    table->used++;
    return true;
}

// Moves later members of the probe sequence up, so that no marks of removed orders are needed.
static void order_table_remove(struct order_table *table, struct tape_order *order)
{
    uint64_t hole = (uint64_t)(order - table->slots);
    uint64_t index = hole;
    for (;;) {
        index = (index + 1) & table->mask;
        if (table->slots[index].ref == 0)
            break;
        uint64_t home = hash(table->slots[index].id) & table->mask;
        if (((index - home) & table->mask) < ((index - hole) & table->mask))
            continue;
        table->slots[hole] = table->slots[index];
        hole = index;
    }
    table->slots[hole].ref = 0;
    table->used--;
}

// What a tape says, as steps.

bool tape_full(const struct tape *tape)
{
    return tape->options->count != 0 && tape->day->count >= tape->options->count;
}

static uint32_t fit(struct tape *tape, uint64_t value, uint32_t max)
{
    if (value <= max)
        return (uint32_t)value;
    tape->counts->fitted++;
    return max;
}

void tape_enter(struct tape *tape, uint64_t id, uint8_t side, uint64_t shares, uint64_t price,
                uint16_t symbol)
{
    if (shares == 0 || price == 0 || order_table_find(&tape->orders, id) != NULL) {
        tape->counts->malformed++;
        return;
    }
    struct load_step step = {
        .quantity = fit(tape, shares, QUANTITY_MAX),
        .price = fit(tape, price, PRICE_MAX),
        .symbol = symbol,
        .session = (uint8_t)(tape->enters++ % tape->options->session_count),
        .kind = LOAD_ENTER,
        .side = side,
        .time_in_force = LOAD_TIF_DAY,
    };
    step.ref = load_day_new_ref(tape->day, step.session);
    load_day_push(tape->day, &step);
    struct tape_order order = {
        .id = id,
        .ref = step.ref,
        .price = step.price,
        .open = step.quantity,
        .symbol = symbol,
        .session = step.session,
        .side = side,
    };
    if (!order_table_insert(&tape->orders, &order))
        tape->day->out_of_memory = true;
}

void tape_cancel(struct tape *tape, struct tape_order *order, uint64_t shares)
{
    struct load_step step = {
        .ref = order->ref,
        .symbol = order->symbol,
        .session = order->session,
        .kind = LOAD_CANCEL,
    };
    if (shares == 0) {
        tape->counts->malformed++;
        return;
    }
    if (shares < order->open) {
        order->open -= (uint32_t)shares;
        step.quantity = order->executed + order->open;
    } else {
        order_table_remove(&tape->orders, order);
    }
    load_day_push(tape->day, &step);
}

void tape_execute(struct tape *tape, struct tape_order *order, uint64_t shares)
{
    if (shares == 0) {
        tape->counts->malformed++;
        return;
    }
    uint8_t session = (uint8_t)((order->session + 1u) % tape->options->session_count);
    struct load_step step = {
        .ref = load_day_new_ref(tape->day, session),
        .quantity = shares < order->open ? (uint32_t)shares : order->open,
        .price = order->price,
        .symbol = order->symbol,
        .session = session,
        .kind = LOAD_ENTER,
        .side = !order->side,
        .time_in_force = LOAD_TIF_IOC,
    };
    load_day_push(tape->day, &step);
    order->open -= step.quantity;
    order->executed += step.quantity;
    if (order->open == 0)
        order_table_remove(&tape->orders, order);
}

void tape_replace(struct tape *tape, struct tape_order *order, uint64_t id, uint64_t shares,
                  uint64_t price)
{
    if (shares == 0 || price == 0 || order_table_find(&tape->orders, id) != NULL) {
        tape->counts->malformed++;
        return;
    }
    struct tape_order old = *order;
    uint32_t open = fit(tape, shares, QUANTITY_MAX - old.executed);
    if (open == 0) {
        tape_cancel(tape, order, old.open);
        return;
    }
    struct load_step step = {
        .ref = load_day_new_ref(tape->day, old.session),
        .orig_ref = old.ref,
        .quantity = old.executed + open,
        .price = fit(tape, price, PRICE_MAX),
        .symbol = old.symbol,
        .session = old.session,
        .kind = LOAD_REPLACE,
    };
    load_day_push(tape->day, &step);
    order_table_remove(&tape->orders, order);
    old.id = id;
    old.ref = step.ref;
    old.price = step.price;
    old.open = open;
    if (!order_table_insert(&tape->orders, &old))
        tape->day->out_of_memory = true;
}

void tape_time(struct tape *tape, uint64_t time_ns)
{
    if (time_ns > tape->day->now_ns)
        tape->day->now_ns = time_ns;
}
