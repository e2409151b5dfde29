// SPDX-License-Identifier: MIT
//
// What the files of the book share and nobody else sees. Orders and far levels live in pools and
// are named by 32-bit index; index 0 is never used and means none. How it is laid out, and why, is
// in docs/book.md.
#ifndef SLUICE_BOOK_INTERNAL_H
#define SLUICE_BOOK_INTERNAL_H

#include "book/book.h"

#include <stdalign.h>

#include "numa/invariant.h"

#define NONE                 0u
#define PRICE_STEP           100u // distance of a ladder's levels when the listing names none: a cent
#define PRICE_STEP_MAX       65536u
#define WINDOW_MAX           4096u
#define WINDOW_MIN           64u
#define WINDOWS_BYTES        (128ull << 20) // of all instruments' windows: more instruments, narrower ones
#define FAR_LEVELS_MAX       (1u << 18)

// With fewer orders all that a command touches is in the second-level cache anyway, and asking for
// it costs more than it saves (10 ns a command).
#define PREFETCH_FROM_ORDERS 16384u

enum queue { QUEUE_DISPLAYED = 0, QUEUE_HIDDEN = 1 };

// A resting order. The queue it stands in is its price level's displayed or hidden one.
struct order {
    uint64_t ref;
    uint32_t user_ref_num;
    uint32_t price;
    uint32_t open;           // shares
    uint32_t executed;       // shares, of the whole chain of replacements
    uint32_t next, previous; // in the queue; `next` also links the free list
    uint32_t user_next;      // in the chain of its hash of session, channel and UserRefNum
    uint32_t ref_next;       // in the chain of its hash of the order reference
    uint16_t session;
    uint16_t instrument;
    uint8_t side; // enum side, as entered or modified
    uint8_t user_ref_index;
    struct order_attributes attributes;
    char firm[4];
};
static_assert(sizeof(struct order) == 56, "with 4 + 4 bytes of table heads: 64 a resting order");

// A price level: two queues in time order. Empty when both are.
struct level {
    uint32_t head[2], tail[2]; // by enum queue
    uint64_t quantity;         // displayed shares
    uint32_t order_count;      // displayed orders
    uint32_t unused;
};
static_assert(sizeof(struct level) == 32, "two a cache line, none across two");

// A level outside the window, or at a price between the ladder's steps: a node of a red-black tree.
struct far_level {
    struct level level;
    uint32_t parent,
        child[2]; // child[0] holds the better prices; `parent` also links the free list
    uint32_t price;
    bool red;
};

struct side_levels {
    uint32_t best;     // price of the best level, 0 when the side is empty
    uint32_t far_root; // index of a far level
    uint32_t far_best;
    bool buy;           // higher prices are better
    uint64_t summary;   // which words of `occupied` have a bit
    uint64_t *occupied; // which levels of the window are this side's: a bit each
};

// What nearly every command looks at fits two cache lines; the bitmaps follow.
struct instrument {
    alignas(64) uint64_t step_inverse; // 2^63 / step, rounded up: a division by multiplication
    uint32_t step;                     // price distance of the window's levels
    uint32_t base;                     // step number of the window's first level, a multiple of 64
    struct side_levels sides[2];       // SIDE_BUY, SIDE_SELL
    char symbol[8];
    uint32_t round_lot;
    uint64_t occupied[2][WINDOW_MAX / 64];
};

struct session {
    uint64_t stream_next; // stream_seq of its next event
    char user_name[6];
    char firm[4];
    uint32_t last_user_ref_num[256]; // by order-flow channel
};

struct book {
    struct book_limits limits;
    enum book_state state;
    uint16_t shard;
    uint16_t instrument_count;
    uint16_t session_count;
    uint32_t order_count;
    uint32_t free_order;  // used before
    uint32_t fresh_order; // first that never was
    uint32_t free_far_level, fresh_far_level, far_level_count, far_levels_max;
    uint32_t window; // levels of an instrument's window, a power of two
    uint32_t table_mask;
    uint64_t table_seed; // only speed depends on it: that nobody can choose numbers that collide
    uint64_t seq;
    uint64_t midnight_ns;
    uint64_t last_time_ns;
    uint64_t event_time_ns; // of the command being applied, since midnight
    uint64_t feed_next;
    uint64_t match_count;
    char session_id[10];
    struct instrument *instruments;
    struct level *windows; // `window` levels for each instrument
    struct session *sessions;
    struct order *orders;
    struct far_level *far_levels;
    uint32_t *by_user_ref; // heads of the chains
    uint32_t *by_ref;
};

// Asks for a line. The empty asm is a side effect: without one gcc 12 takes a function that only
// prefetches for one that does nothing, and drops the calls to it.
static inline void prefetch(const void *line)
{
    __asm__ volatile("" : : "r"(line));
    __builtin_prefetch(line);
}

// SIDE_SELL for every kind of sell.
static inline enum side book_side(uint8_t side)
{
    return side == SIDE_BUY ? SIDE_BUY : SIDE_SELL;
}

static inline enum queue order_queue(const struct order *order)
{
    return order->attributes.display == DISPLAY_HIDDEN ? QUEUE_HIDDEN : QUEUE_DISPLAYED;
}

// Whether `price` is better than `than` in the side's own sense.
static inline bool price_better(const struct side_levels *side, uint32_t price, uint32_t than)
{
    return side->buy ? price > than : price < than;
}

static inline bool level_empty(const struct level *level)
{
    return level->head[QUEUE_DISPLAYED] == NONE && level->head[QUEUE_HIDDEN] == NONE;
}

// levels.c: an instrument's price levels.
void levels_open(struct book *book, uint16_t instrument, uint32_t step);
// The level of a price at which the side is known to have orders: of a resting order, or the best.
struct level *level_at(const struct book *book, uint16_t instrument, enum side side,
                       uint32_t price);
// The level of a price that may have orders, or NULL.
struct level *level_find(const struct book *book, uint16_t instrument, enum side side,
                         uint32_t price);
// The level of a price, made when there is none; NULL when that would take a far level too many.
struct level *level_claim(struct book *book, uint16_t instrument, enum side side, uint32_t price);
// The level of a price is empty now: the side's best is another.
void level_drop(struct book *book, uint16_t instrument, enum side side, uint32_t price);
// The next worse price that has orders, or 0.
uint32_t level_after(const struct book *book, uint16_t instrument, enum side side, uint32_t price);
// Brings in what level_find will look at.
void level_prefetch(const struct book *book, uint16_t instrument, uint32_t price);

// orders.c: the pool, the queues and the two tables.
bool order_rest(struct book *book, const struct order *order); // a copy, last in its queue
void order_remove(struct book *book, struct level *level, uint32_t index);
void order_reduce(struct book *book, struct level *level, uint32_t index, uint32_t quantity);
struct level *order_level(const struct book *book, const struct order *order);
void ref_prefetch(const struct book *book, uint64_t ref);
uint32_t order_by_user_ref(const struct book *book, uint16_t session, uint8_t user_ref_index,
                           uint32_t user_ref_num);
uint32_t order_by_ref(const struct book *book, uint64_t ref);
uint32_t user_ref_head(const struct book *book, uint16_t session, uint8_t user_ref_index,
                       uint32_t user_ref_num); // index into by_user_ref

#endif
