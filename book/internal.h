// SPDX-License-Identifier: MIT
//
// What the files of the book share and nobody else sees. Orders, their extras and far levels live
// in pools and are named by 32-bit index; index 0 is never used and means none. How it is laid out,
// and why, is in docs/book.md.
//
// Prices are compared as ranks: a sale's price itself, a purchase's with all bits turned over. The
// lower rank is the better price on either side, and RANK_NONE is worse than all.
#ifndef SLUICE_BOOK_INTERNAL_H
#define SLUICE_BOOK_INTERNAL_H

#include "book/book.h"

#include <stdalign.h>
#include <string.h>

#include "numa/invariant.h"
#include "numa/slots.h"

#define NONE           0u
#define NS_PER_SECOND  1000000000ull
#define RANK_NONE      UINT32_MAX
#define RANK_ANY       (UINT32_MAX - 1) // limit of a market order
#define PRICE_STEP     100u // distance of a ladder's levels when the listing names none: a cent
#define PRICE_STEP_MAX 65536u
#define WINDOW_MAX     131072u
#define WINDOW_MIN     64u
#define WINDOWS_BYTES  (128ull << 20) // of all instruments' windows: more instruments, narrower ones
#define FAR_LEVELS_MAX (1u << 18)
#define EXTRAS_MAX     (1u << 20)
#define WHEEL_SECONDS  (1u << 17) // more than an order may live

// A resting order, or the one being applied.
struct order {
    uint64_t ref;
    uint32_t user_ref_num;
    uint32_t open; // shares in the queue: of a reserve order, its slice. 0: a free slot
    uint32_t price;
    uint16_t session;
    uint16_t instrument;
    uint32_t executed;       // shares, of the whole chain of replacements
    uint32_t next, previous; // in the queue; `next` also links the free list
    uint32_t user_next;      // in the chain of its hash of session, channel and UserRefNum
    uint8_t side;            // enum side, as entered or modified
    uint8_t user_ref_index;
    struct order_attributes attributes;
    uint32_t extra;
};
static_assert(sizeof(struct order) == 48,
              "with two heads of chains and two places for a mass cancel: 64 bytes");

// What few orders have: a reserve, an end, a firm that is not their session's, a peg, a cross.
struct extra {
    uint32_t max_floor; // 0: everything is displayed
    uint32_t reserve;   // open shares beyond the slice
    uint32_t expire_seconds;
    uint32_t timer_bucket;               // 1 + the second of the wheel; 0: never
    uint32_t timer_next, timer_previous; // orders that expire in that second; timer_next also
                                         // links the free list
    char firm[4];                        // zeros: the session's
    uint16_t random_reserve;
    int16_t peg_offset;
    uint32_t limit;    // of a primary or market peg; 0: another order
    uint32_t peg_next; // in the order in which they came
    uint8_t cross;     // the only one it is for, or CROSS_NONE
    uint8_t late;      // LATE_…
};

// What the owner of an order for a cross was told when it was too late to cancel.
#define LATE_PENDING 1u // canceled after the cross
#define LATE_REFUSED 2u // not reduced

// A price level: a queue in time order.
struct level {
    uint32_t head, tail;
    uint64_t quantity; // shares in the queue
    uint32_t order_count;
    uint32_t unused[3];
};
static_assert(sizeof(struct level) == 32, "two a cache line, none across two");

// A level in a red-black tree: child[0] holds the better ones; `parent` also links the free list.
struct far_level {
    struct level level;
    uint32_t parent, child[2];
    uint32_t rank;
    bool red;
};

struct tree {
    uint32_t root, best; // far levels
};

// Displayed orders stand in the window or, beyond it, in `far`; the others in trees. What nearly
// every command looks at is in the first line. All by SIDE_BUY, SIDE_SELL.
struct instrument {
    alignas(64) uint64_t step_inverse; // 2^63 / step, rounded up: a division by multiplication
    struct level *window;              // a ring over the steps
    // Which levels of the window have orders, a bit each; purchases from the end, so that a better
    // price comes first on both sides.
    uint64_t *occupied[2];
    uint32_t step;          // price distance of the window's levels
    uint32_t base;          // step number of the window's first level, a multiple of 64
    uint32_t best[2];       // rank of the best displayed level
    uint32_t special_count; // orders here that are not displayed or have an extra, and 1 if minded
                            // before trades
    uint8_t phase;          // enum phase
    uint8_t minded;         // what has to be looked at: MIND_TRADES, MIND_ENTRY
    uint8_t short_sale;     // '1' or '2': sales short are restricted; or 0
    bool guarded;           // has a limit
    bool late;              // the late period before the cross that ends this phase
    alignas(64) uint64_t summary[2][WINDOW_MAX / 4096]; // which words of `occupied` have a bit
    alignas(64) struct tree far[2];
    struct tree hidden[2];
    struct tree midpoint[2]; // by limit
    struct tree auction[2];  // wait for the next cross
    struct tree closing[2];  // for the closing cross only
    uint32_t band;           // nothing trades further from it, hundredths of a percent; 0: none
    uint32_t pegs;           // the first primary or market peg that rests here
    uint32_t peg_count;
    char symbol[8];
    uint32_t round_lot;
    uint32_t late_price; // the reference when the late period began; 0: there was none
    uint8_t day;         // 1 + the phase that the calendar said last; 0: it has said none
    uint8_t source;      // enum trading_source: who said the phase
    // What an order is held against, in one line.
    alignas(64) uint64_t limits[LIMIT_INSTRUMENT_END - LIMIT_TICK];
    uint64_t tick_inverse, lot_inverse; // of two of these: divisions by multiplication
    uint32_t reference;                 // price of the last cross, or an operator's; 0: none
    uint32_t last_price;                // of the last execution, while there is a limit
    uint32_t lowest, highest;           // prices within COLLAR and FAT_FINGER, by these two
};

#define MIND_TRADES 1u // a phase or a band, before an order trades
#define MIND_ENTRY  2u // a restriction or a limit, before an order is entered

// Of an instrument. In those that collect, orders wait for a cross, and nothing trades before it.
enum phase {
    PHASE_TRADING = 0,
    PHASE_HALTED = 1,
    PHASE_PREOPEN = 2,
    PHASE_QUOTATION = 3,
    PHASE_PAUSED = 4,
    PHASE_CLOSED = 5,
};

static inline bool collects(const struct instrument *listing)
{
    return listing->phase >= PHASE_PREOPEN && listing->phase <= PHASE_PAUSED;
}

// A bucket of as many tokens as it gets a second: when it will be full again, ns since 1970
// (the generic cell rate algorithm: ITU-T I.371).
typedef uint64_t bucket_t;

struct session {
    alignas(64) uint64_t stream_next; // stream_seq of its next event
    char firm[4];
    char user_name[6];
    bool restricted;      // a bar may concern it
    bool watched;         // its member has an account
    bucket_t pass_bucket; // of what goes over all orders, or all sessions
    struct member *member;
    uint32_t *last_user_ref_num; // by order-flow channel, 256
};
static_assert(sizeof(struct session) == 64, "one is found by a shift, all are close together");

// Who may enter no orders: a session's, a firm's, both or everybody's.
struct bar {
    uint16_t session; // or ANY_SESSION
    uint8_t by;       // enum bar_by
    uint8_t unused;
    char firm[4]; // zeros: any
};
static_assert(sizeof(struct bar) == 8, "compared and hashed whole");

// A client can take away his own ones, an operator those of LIMIT_EXECUTIONS as well.
enum bar_by { BAR_CLIENT = 0, BAR_OPERATOR = 1, BAR_EXECUTIONS = 2 };

// Value of shares, with 4 decimals: of one order below 2^51, of a day below 2^115.
typedef unsigned __int128 value_t;

#define SIGHTINGS 64u // orders that are remembered for the sake of duplicates

struct sighting {
    uint32_t price;
    uint32_t shares; // 0: none
    uint16_t instrument;
    uint8_t side;
    uint8_t unused[5];
    bucket_t bucket;
};

// All sessions of a firm. What every order changes is in the first two lines.
struct member {
    alignas(64) value_t open_value[2];
    value_t traded_value[2];
    uint64_t room; // value that may be added without a look at its limits: never too much
    uint64_t orders, executions;
    uint64_t orders_room; // so many `orders` there may be without a look at their limit
    bucket_t order_bucket, cancel_bucket, execution_bucket;
    struct position *positions; // by instrument
    uint32_t open_orders;
    char firm[4];
    bool watched;          // has, or had, a limit that needs an account
    uint16_t barred_count; // instruments that orders of the firm are barred from
    uint64_t limits[LIMIT_MEMBER_END];
    uint64_t intervals[LIMIT_MEMBER_END]; // of a rate: ns from one token to the next
    struct sighting sightings[SIGHTINGS];
    uint64_t totals[LIMIT_HELD_COUNT]; // of all shards together; 0: shares do not move
};

// A member in an instrument: what is kept where it is watched, and whether orders of its firm are
// barred.
struct position {
    int64_t traded;   // shares, as is
    uint64_t open[2]; // … what is open
    uint32_t open_orders;
    bool known; // an order of the member's came for it
    bool barred;
};

// Why something is refused: enum reject_reason, and above it the enum limit_kind of the limit that
// it breaks, where that is why. 0: it is not.
typedef uint32_t refusal_t;

static inline refusal_t refusal_of(enum reject_reason reason, enum limit_kind limit)
{
    return (refusal_t)reason | (refusal_t)limit << 8;
}

static inline uint8_t refusal_limit(refusal_t refusal)
{
    return (uint8_t)(refusal >> 8);
}

struct book {
    struct book_limits limits;
    enum book_state state;
    enum book_state loading_state; // what it will be when the snapshot is whole
    uint16_t shard;
    uint16_t instrument_count;
    uint16_t session_count;
    struct slots order_slots;
    uint32_t window_mask; // levels of an instrument's window, a power of two, - 1
    uint32_t table_mask;
    uint64_t table_seed; // only speed depends on it: that nobody can choose numbers that collide
    uint64_t seq;
    uint64_t midnight_ns;
    uint64_t last_time_ns;
    uint64_t event_time_ns;  // of the command being applied, since midnight
    uint64_t next_second_ns; // since midnight: the first time at which an order may have expired
    uint64_t feed_next;
    uint64_t match_count;
    uint64_t slice_count;
    struct instrument *instruments;
    struct session *sessions;
    struct order *orders;
    uint32_t *by_user_ref; // heads of the chains
    struct extra *extras;
    struct far_level *far_levels;
    struct slots far_slots, extra_slots;
    uint32_t used_up_head, used_up_tail; // orders whose slices the order being applied used up
    uint32_t timed_count;
    uint32_t *wheel;      // last order to expire in each second, of a ring linked by timer_next
    uint32_t *scratch[2]; // of a mass cancel
    char session_id[10];
    bool watching; // some member has an account
    uint32_t member_count;
    struct member *members;
    struct position *positions; // of the members in turn
    uint32_t bar_count;
    struct bar bars[BOOK_BARS_MAX];
    book_told_fn *told; // of members' shares; or NULL
    void *told_context;
    book_reference_fn *reference; // of pegs; or NULL: the best displayed prices
    void *reference_context;
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

static inline enum side opposite_of(enum side side)
{
    return side == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
}

// A price's rank, and a rank's price.
static inline uint32_t rank_of(enum side side, uint32_t price)
{
    return price ^ ((uint32_t)side - 1);
}

// Primary and market pegs.
static inline bool follows(struct order_attributes attributes)
{
    return attributes.peg >= PEG_PRIMARY;
}

// DISPLAY_HIDDEN is the one with the lower bit set.
static inline bool order_displayed(const struct order *order)
{
    static const struct order_attributes hides = {.display = DISPLAY_HIDDEN, .auction = 1};
    uint16_t its, mask;
    memcpy(&its, &order->attributes, sizeof(its));
    memcpy(&mask, &hides, sizeof(mask));
    return (its & mask) == 0;
}

static inline bool order_special(const struct order *order)
{
    return !order_displayed(order) || order->extra != NONE;
}

// The only cross an order is for, or CROSS_NONE.
static inline uint8_t order_cross(const struct book *book, const struct order *order)
{
    return order->extra == NONE ? CROSS_NONE : book->extras[order->extra].cross;
}

// At which an order counts: of what follows another price, its limit.
static inline uint32_t counted_price(const struct book *book, const struct order *order)
{
    return unlikely(follows(order->attributes)) ? book->extras[order->extra].limit : order->price;
}

// Open shares that are not in the queue.
static inline uint32_t order_reserve(const struct book *book, const struct order *order)
{
    return order->extra == NONE ? 0 : book->extras[order->extra].reserve;
}

#endif
