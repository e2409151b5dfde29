// SPDX-License-Identifier: MIT
//
// What the files of the book share and nobody else sees. Orders and levels live in pools and are
// named by 32-bit index; index 0 is never used and means none.
#ifndef SLUICE_BOOK_INTERNAL_H
#define SLUICE_BOOK_INTERNAL_H

#include "book/book.h"

#include "numa/invariant.h"

#define NONE 0u

// A resting order. The queue it stands in is its price level's displayed or hidden one.
struct order {
    uint64_t ref;
    uint32_t user_ref_num;
    uint32_t price;
    uint32_t open;     // shares
    uint32_t executed; // shares, of the whole chain of replacements
    uint16_t session;
    uint16_t instrument;
    uint8_t side; // enum side, as entered or modified
    uint8_t user_ref_index;
    struct order_attributes attributes;
    char firm[4];
    uint32_t level;
    uint32_t next, previous; // in the queue; `next` also links the free list
};
static_assert(sizeof(struct order) == 48, "orders are meant to stay small");

enum queue { QUEUE_DISPLAYED = 0, QUEUE_HIDDEN = 1 };

// A price level: a node of its side's red-black tree, with two queues in time order.
struct level {
    uint32_t parent,
        child[2]; // child[0] holds the better prices; `parent` also links the free list
    uint32_t price;
    uint32_t head[2], tail[2]; // by enum queue
    uint64_t quantity;         // displayed shares
    uint32_t order_count;      // displayed orders
    bool red;
};

struct side_levels {
    uint32_t root;
    uint32_t best;
    bool buy; // higher prices are better
};

struct instrument {
    struct side_levels sides[2]; // SIDE_BUY, SIDE_SELL
    char symbol[8];
    uint32_t round_lot;
};

struct session {
    uint64_t stream_next; // stream_seq of its next event
    char user_name[6];
    char firm[4];
    uint32_t last_user_ref_num[256]; // by order-flow channel
};

// Open addressing over order indices; what is hashed and compared is read from the order itself.
struct table {
    uint32_t *slots; // NONE when free
    uint32_t mask;
};

struct book {
    struct book_limits limits;
    enum book_state state;
    uint16_t shard;
    uint16_t instrument_count;
    uint16_t session_count;
    uint32_t order_count;
    uint32_t free_order, free_level;
    uint64_t seq;
    uint64_t midnight_ns;
    uint64_t last_time_ns;
    uint64_t event_time_ns; // of the command being applied, since midnight
    uint64_t feed_next;
    uint64_t match_count;
    char session_id[10];
    struct instrument *instruments;
    struct session *sessions;
    struct order *orders;
    struct level *levels;
    struct table by_user_ref;
    struct table by_ref;
};

// SIDE_SELL for every kind of sell.
static inline enum side book_side(uint8_t side)
{
    return side == SIDE_BUY ? SIDE_BUY : SIDE_SELL;
}

static inline enum queue order_queue(const struct order *order)
{
    return order->attributes.display == DISPLAY_HIDDEN ? QUEUE_HIDDEN : QUEUE_DISPLAYED;
}

static inline struct side_levels *side_of(struct book *book, uint16_t instrument, uint8_t side)
{
    return &book->instruments[instrument].sides[book_side(side)];
}

// levels.c: the tree. Comparisons are by price, in the side's own sense of better.
bool level_better(const struct side_levels *side, uint32_t price, uint32_t than);
uint32_t level_find(const struct book *book, const struct side_levels *side, uint32_t price);
uint32_t level_insert(struct book *book, struct side_levels *side, uint32_t price);
void level_remove(struct book *book, struct side_levels *side, uint32_t index);
uint32_t level_after(const struct book *book, uint32_t index); // the next worse one

// orders.c: the pool, the queues and the two tables.
void orders_init(struct book *book);
uint32_t order_rest(struct book *book, const struct order *order); // a copy, last in its queue
void order_remove(struct book *book, uint32_t index);
void order_reduce(struct book *book, uint32_t index, uint32_t quantity); // less than what is open
uint32_t order_by_user_ref(const struct book *book, uint16_t session, uint8_t user_ref_index,
                           uint32_t user_ref_num);
uint32_t order_by_ref(const struct book *book, uint64_t ref);
uint32_t order_user_ref_slot(const struct book *book, uint16_t session, uint8_t user_ref_index,
                             uint32_t user_ref_num); // where its search begins

#endif
