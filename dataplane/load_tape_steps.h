// SPDX-License-Identifier: MIT
//
// load_tape_steps: what the readers of load_tape's kinds share: the tape's live orders by its own
// numbers for them, and what it says of them as steps. Private to load_tape*.c. One thread.
#ifndef SLUICE_DATAPLANE_LOAD_TAPE_STEPS_H
#define SLUICE_DATAPLANE_LOAD_TAPE_STEPS_H

#include "dataplane/load_tape.h"
#include "dataplane/symbols.h"

// An order of the tape that is live, by the tape's number for it.
struct tape_order {
    uint64_t id;
    uint32_t ref; // 0: a free slot
    uint32_t price;
    uint32_t open;
    uint32_t executed; // by it and the orders it replaced
    uint32_t arrival;  // LOBSTER: its place among all that rested
    uint16_t symbol;
    uint8_t session;
    uint8_t side;
};

// Open addressing with linear probing, at most half full. A pointer to an order holds until the
// next insertion or removal.
struct order_table {
    struct tape_order *slots;
    uint64_t mask;
    uint64_t used;
};

// A LOBSTER order that is named and never entered.
struct older_order {
    uint64_t id;
    uint64_t shares;
    uint32_t price;
    uint8_t side;
    bool entered;
};

// The live orders of one side of a LOBSTER file, best price first: a binary heap. Orders that are
// gone stay in it until they come to the top.
struct price_heap {
    struct price_entry {
        uint64_t id;
        uint64_t rank; // the higher the better: price, then time
    } * entries;
    uint64_t count;
    size_t capacity;
};

struct tape {
    const char *path;
    const struct load_tape_options *options;
    struct load_day *day;
    struct load_tape_counts *counts;
    struct order_table orders;
    struct symbols symbols;
    void *symbols_memory;
    bool other_locate[65536]; // ITCH stock locates of symbols that were not asked for
    uint64_t enters;
    struct older_order *older; // by id
    uint64_t older_count, older_next;
    size_t older_capacity;
    struct price_heap heaps[2]; // LOBSTER: by side
};

struct bytes {
    const uint8_t *start;
    size_t size;
};

// order_table_open: room for half of `capacity` orders, a power of two; false without memory. Its
// slots are to be freed.
bool order_table_open(struct order_table *table, uint64_t capacity);

// order_table_find: the order, or NULL.
struct tape_order *order_table_find(const struct order_table *table, uint64_t id);

// order_table_insert: an order that is not in the table yet. False without memory.
bool order_table_insert(struct order_table *table, const struct tape_order *order);

// tape_full: as many steps as were asked for are there.
bool tape_full(const struct tape *tape);

// tape_time: the time of what follows, ns of the day; a tape's clock does not run backwards.
void tape_time(struct tape *tape, uint64_t time_ns);

// tape_enter: an order comes to rest.
void tape_enter(struct tape *tape, uint64_t id, uint8_t side, uint64_t shares, uint64_t price,
                uint16_t symbol);

// tape_cancel: removes `shares`; all that is left when they are not fewer.
void tape_cancel(struct tape *tape, struct tape_order *order, uint64_t shares);

// tape_execute: an order on the other side takes `shares` of it.
void tape_execute(struct tape *tape, struct tape_order *order, uint64_t shares);

// tape_replace: by an order with another id, at the end of its price.
void tape_replace(struct tape *tape, struct tape_order *order, uint64_t id, uint64_t shares,
                  uint64_t price);

// The readers: 0, or -1 with `error`; tape->day->out_of_memory where there was none.
int tape_read_lobster(struct tape *tape, struct bytes file, struct error *error);
int tape_read_binary_file(struct tape *tape, struct bytes file, struct error *error);
int tape_read_pcap(struct tape *tape, struct error *error);

// tape_is_binary_file: its first message has the size of its type.
bool tape_is_binary_file(struct bytes file);

#endif
