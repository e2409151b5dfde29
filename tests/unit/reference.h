// SPDX-License-Identifier: MIT
//
// The matching core a second time, for comparison: the same commands, the same events, written for
// clarity alone. Resting orders stand in one flat array in the order in which they came to rest
// (or displayed their last slice) and are scanned for everything; there is no tree, no level, no
// table, no timer, no free list. It shares the language of book.h with the book and nothing else.
#ifndef SLUICE_TESTS_UNIT_REFERENCE_H
#define SLUICE_TESTS_UNIT_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"

struct reference_order {
    uint64_t order_ref; // seq of the command that created it; of its slice once that was refreshed
    uint64_t created;   // that seq, always
    uint32_t user_ref_num;
    uint32_t quantity; // open
    uint32_t slice;    // of it displayed
    uint32_t executed; // by the whole chain of replacements
    uint32_t price;
    uint32_t limit;     // of primary and market pegs, whose price moves
    int16_t peg_offset; // of these
    uint32_t max_floor;
    uint16_t random_reserve;
    uint32_t expire_seconds;
    uint64_t expiry_second; // of the day: canceled then; 0: never
    uint16_t session;
    uint16_t instrument;
    uint8_t side;
    uint8_t user_ref_index;
    struct order_attributes attributes;
    char firm[4];
};

struct reference_instrument {
    char symbol[8];
    bool halted;
};

// Nobody of this session (or any) and this firm (zeros: any) may enter an order.
struct reference_bar {
    uint16_t session;
    char firm[4];
    bool by_operator;
    bool in_force;
};
#define REFERENCE_BARS_MAX 512u

struct reference_session {
    char user_name[6];
    char firm[4];
    uint64_t message_count;
    uint32_t last[256]; // UserRefNum, by channel
};

struct reference {
    struct book_limits limits;
    enum book_state state;
    uint64_t seq;
    uint64_t midnight_ns;
    uint64_t last_time_ns;
    uint64_t second; // of the day, the highest seen
    uint64_t feed_message_count;
    uint64_t match_count;
    uint64_t slice_count; // refreshed ones
    char session_id[10];
    uint16_t shard;
    uint16_t instrument_count;
    uint16_t session_count;
    uint32_t order_count;
    struct reference_instrument *instruments;
    struct reference_session *sessions;
    struct reference_order *orders; // first in time first
    struct reference_bar bars[REFERENCE_BARS_MAX];

    struct event *events; // of the last command
    uint32_t event_count;
    uint32_t event_capacity;
};

static inline void reference_open(struct reference *r, const struct book_limits *limits)
{
    *r = (struct reference){.limits = *limits};
    r->instruments = calloc(limits->instruments_max, sizeof(*r->instruments));
    r->sessions = calloc(limits->sessions_max, sizeof(*r->sessions));
    r->orders = calloc(limits->orders_max, sizeof(*r->orders));
    if (!r->instruments || !r->sessions || !r->orders)
        abort();
}

static inline void reference_close(struct reference *r)
{
    free(r->instruments);
    free(r->sessions);
    free(r->orders);
    free(r->events);
}

// Events

static inline struct event *reference_emit(struct reference *r, uint16_t session,
                                           enum event_type type)
{
    if (r->event_count == r->event_capacity) {
        r->event_capacity = r->event_capacity ? 2 * r->event_capacity : 64;
        r->events = realloc(r->events, r->event_capacity * sizeof(*r->events));
        if (!r->events)
            abort();
    }
    struct event *event = &r->events[r->event_count++];
    memset(event, 0, sizeof(*event));
    event->type = (uint8_t)type;
    event->session = session;
    event->seq = r->seq;
    event->stream_seq =
        session == FEED_SESSION ? ++r->feed_message_count : ++r->sessions[session].message_count;
    event->time_ns = r->last_time_ns > r->midnight_ns ? r->last_time_ns - r->midnight_ns : 0;
    return event;
}

static inline uint8_t reference_feed_side(uint8_t side)
{
    return side == SIDE_BUY ? SIDE_BUY : SIDE_SELL;
}

static inline uint8_t reference_opposite(uint8_t side)
{
    return side == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
}

static inline bool reference_at_midpoint(const struct reference_order *order)
{
    return order->attributes.peg == PEG_MIDPOINT;
}

// Primary and market pegs.
static inline bool reference_follows(struct order_attributes attributes)
{
    return attributes.peg == PEG_PRIMARY || attributes.peg == PEG_MARKET;
}

// Of the kind that is displayed, at least with a slice.
static inline bool reference_displayed(const struct reference_order *order)
{
    return order->attributes.display != DISPLAY_HIDDEN;
}

static inline void reference_emit_system(struct reference *r, uint16_t session, char code)
{
    enum event_type type = session == FEED_SESSION ? EVENT_FEED_SYSTEM : EVENT_SYSTEM;
    reference_emit(r, session, type)->code = (uint8_t)code;
}

// To the order's owner: what all messages about an order have in common.
static inline struct event *reference_emit_owner(struct reference *r, enum event_type type,
                                                 const struct reference_order *order,
                                                 uint32_t quantity)
{
    struct event *event = reference_emit(r, order->session, type);
    event->user_ref_num = order->user_ref_num;
    event->user_ref_index = order->user_ref_index;
    event->side = order->side;
    event->quantity = quantity;
    event->price = order->price;
    event->instrument = order->instrument;
    return event;
}

static inline void reference_emit_canceled(struct reference *r, const struct reference_order *order,
                                           uint32_t quantity, char code)
{
    struct event *event = reference_emit_owner(r, EVENT_CANCELED, order, quantity);
    event->code = (uint8_t)code;
    event->trade.order_ref = order->order_ref;
}

static inline void reference_emit_rejected(struct reference *r, const struct command *c,
                                           uint32_t user_ref_num, uint8_t reason)
{
    struct event *event = reference_emit(r, c->session, EVENT_REJECTED);
    event->user_ref_num = user_ref_num;
    event->user_ref_index = c->user_ref_index;
    event->code = reason;
    if (c->type == COMMAND_ENTER)
        memcpy(event->order.client_order_id, c->order.client_order_id, 14);
}

static inline struct event *reference_emit_feed(struct reference *r, enum event_type type,
                                                const struct reference_order *order,
                                                uint32_t quantity)
{
    struct event *event = reference_emit(r, FEED_SESSION, type);
    event->side = reference_feed_side(order->side);
    event->quantity = quantity;
    event->price = order->price;
    event->instrument = order->instrument;
    event->trade.order_ref = order->order_ref;
    return event;
}

// The firm an order belongs to: the one it names, else its session's.
static inline const char *reference_firm(const struct reference *r,
                                         const struct reference_order *order)
{
    return memcmp(order->firm, "\0\0\0\0", 4) ? order->firm : r->sessions[order->session].firm;
}

static inline void reference_emit_feed_add(struct reference *r, const struct reference_order *order)
{
    struct event *event = reference_emit_feed(r, EVENT_FEED_ADD, order, order->slice);
    if (order->attributes.display == DISPLAY_ATTRIBUTABLE)
        memcpy(event->firm, reference_firm(r, order), 4);
}

// Orders

static inline struct reference_order *reference_find(const struct reference *r, uint16_t session,
                                                     uint8_t user_ref_index, uint32_t user_ref_num)
{
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->session == session && order->user_ref_index == user_ref_index &&
            order->user_ref_num == user_ref_num)
            return order;
    }
    return NULL;
}

static inline void reference_remove(struct reference *r, struct reference_order *order)
{
    size_t behind = (size_t)(&r->orders[r->order_count] - (order + 1));
    memmove(order, order + 1, behind * sizeof(*order));
    r->order_count--;
}

// Trades only take shares away; who has none left goes here.
static inline void reference_remove_empty(struct reference *r)
{
    for (uint32_t i = r->order_count; i-- > 0;) {
        if (r->orders[i].quantity == 0)
            reference_remove(r, &r->orders[i]);
    }
}

static inline bool reference_better_price(uint8_t feed_side, uint32_t price, uint32_t than)
{
    return feed_side == SIDE_BUY ? price > than : price < than;
}

static inline bool reference_acceptable(uint8_t taker_side, uint32_t limit, uint32_t price)
{
    return limit == PRICE_MARKET ||
           !reference_better_price(reference_opposite(taker_side), limit, price);
}

// The best displayed price, or the best one worse than `*worse_than`; false when there is none.
static inline bool reference_next_price(const struct reference *r, uint16_t instrument,
                                        uint8_t feed_side, const uint32_t *worse_than,
                                        uint32_t *price)
{
    bool found = false;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order->instrument != instrument || reference_feed_side(order->side) != feed_side ||
            !reference_displayed(order))
            continue;
        if (worse_than && !reference_better_price(feed_side, *worse_than, order->price))
            continue;
        if (!found || reference_better_price(feed_side, order->price, *price)) {
            *price = order->price;
            found = true;
        }
    }
    return found;
}

// Of a primary or market peg, 0 when there is nothing to follow.
static inline uint32_t reference_peg_price(const struct reference *r, uint16_t instrument,
                                           uint8_t feed_side, enum peg peg, int64_t offset,
                                           uint32_t limit)
{
    uint8_t followed = peg == PEG_MARKET ? reference_opposite(feed_side) : feed_side;
    uint32_t best = 0;
    if (!reference_next_price(r, instrument, followed, NULL, &best))
        return 0;
    int64_t price = best + offset;
    if (feed_side == SIDE_BUY)
        return price > limit ? limit : price < 1 ? 1 : (uint32_t)price;
    return price < limit ? limit : price > PRICE_MAX ? PRICE_MAX : (uint32_t)price;
}

// The middle of the displayed market, 0 when there is none.
static inline uint32_t reference_midpoint(const struct reference *r, uint16_t instrument)
{
    uint32_t bid = 0, offer = 0;
    if (!reference_next_price(r, instrument, SIDE_BUY, NULL, &bid) ||
        !reference_next_price(r, instrument, SIDE_SELL, NULL, &offer) || offer - bid == 1)
        return 0;
    return bid + (offer - bid) / 2;
}

static inline bool reference_live(const struct reference_order *order, uint32_t midpoint)
{
    return midpoint != 0 &&
           (order->side == SIDE_BUY ? order->price >= midpoint : order->price <= midpoint);
}

// At which a resting order trades.
static inline uint32_t reference_price(const struct reference_order *order, uint32_t midpoint)
{
    return reference_at_midpoint(order) ? midpoint : order->price;
}

enum reference_rank { REFERENCE_SLICE, REFERENCE_RESERVE, REFERENCE_HIDDEN, REFERENCE_MIDPOINT };

static inline enum reference_rank reference_rank(const struct reference_order *order)
{
    if (reference_at_midpoint(order))
        return REFERENCE_MIDPOINT;
    if (!reference_displayed(order))
        return REFERENCE_HIDDEN;
    return order->slice ? REFERENCE_SLICE : REFERENCE_RESERVE;
}

// Shares that are next to trade: of a displayed order the slice, and when that is used up the
// reserve; else all.
static inline uint32_t reference_part(const struct reference_order *order)
{
    return order->slice ? order->slice : order->quantity;
}

static inline void reference_take_away(struct reference_order *order, uint32_t shares)
{
    order->slice -= order->slice ? shares : 0;
    order->quantity -= shares;
    order->executed += shares;
}

// Whether `a` trades before `b`, which stands behind it in time, on the same side.
static inline bool reference_ahead(const struct reference_order *a, const struct reference_order *b,
                                   uint32_t midpoint)
{
    uint8_t side = reference_feed_side(a->side);
    uint32_t a_price = reference_price(a, midpoint), b_price = reference_price(b, midpoint);
    if (a_price != b_price)
        return reference_better_price(side, a_price, b_price);
    if (reference_rank(a) != reference_rank(b))
        return reference_rank(a) < reference_rank(b);
    return !reference_better_price(side, b->price, a->price);
}

// Matching. `midpoint` is the one of the moment when it began.

// The resting order that `taker` would execute against next, if any.
static inline struct reference_order *reference_maker(const struct reference *r,
                                                      const struct reference_order *taker,
                                                      uint32_t midpoint)
{
    if (reference_at_midpoint(taker) && !reference_live(taker, midpoint))
        return NULL;
    uint32_t limit = reference_price(taker, midpoint);
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument != taker->instrument ||
            reference_feed_side(order->side) != reference_opposite(taker->side) ||
            (reference_at_midpoint(order) && !reference_live(order, midpoint)) ||
            !reference_acceptable(taker->side, limit, reference_price(order, midpoint)))
            continue;
        if (!first || !reference_ahead(first, order, midpoint))
            first = order;
    }
    return first;
}

static inline uint8_t reference_maker_flag(const struct reference_order *maker)
{
    static const uint8_t flags[] = {'A', 'u', 'J', 'k'};
    return flags[reference_rank(maker)];
}

static inline uint8_t reference_taker_flag(const struct reference_order *maker)
{
    return reference_at_midpoint(maker) ? 'm' : 'R';
}

static inline uint32_t reference_common(const struct reference_order *maker,
                                        const struct reference_order *taker)
{
    uint32_t part = reference_part(maker);
    return part < taker->quantity ? part : taker->quantity;
}

static inline void reference_execute(struct reference *r, struct reference_order *maker,
                                     struct reference_order *taker, uint32_t midpoint)
{
    uint32_t quantity = reference_common(maker, taker);
    uint32_t price = reference_price(maker, midpoint);
    bool on_display = reference_rank(maker) == REFERENCE_SLICE;
    uint64_t match_number = ++r->match_count;

    struct event *event = reference_emit_owner(r, EVENT_EXECUTED, maker, quantity);
    event->price = price;
    event->code = reference_maker_flag(maker);
    event->trade.order_ref = maker->order_ref;
    event->trade.match_number = match_number;

    event = reference_emit_owner(r, EVENT_EXECUTED, taker, quantity);
    event->price = price;
    event->code = reference_taker_flag(maker);
    event->trade.order_ref = maker->order_ref;
    event->trade.match_number = match_number;

    enum event_type type = on_display ? EVENT_FEED_EXECUTED : EVENT_FEED_TRADE;
    event = reference_emit_feed(r, type, maker, quantity);
    event->price = price;
    event->trade.order_ref = on_display ? maker->order_ref : 0;
    event->trade.match_number = match_number;

    reference_take_away(taker, quantity);
    reference_take_away(maker, quantity);
}

// The taker asked not to trade with its own firm, and the maker is of it.
static inline bool reference_prevents(const struct reference *r,
                                      const struct reference_order *taker,
                                      const struct reference_order *maker)
{
    return taker->attributes.self_match != SELF_MATCH_ALLOWED &&
           memcmp(reference_firm(r, taker), reference_firm(r, maker), 4) == 0;
}

// `told` is the maker or the taker, which loses `removed` shares.
static inline void reference_emit_prevented(struct reference *r, const struct reference_order *told,
                                            const struct reference_order *maker,
                                            const struct reference_order *taker, uint32_t midpoint,
                                            uint32_t removed)
{
    struct event *event = reference_emit_owner(r, EVENT_PREVENTED, told, removed);
    event->price = reference_price(maker, midpoint);
    event->prevented = reference_common(maker, taker);
    event->code = told == taker ? reference_taker_flag(maker) : reference_maker_flag(maker);
    event->trade.order_ref = told->order_ref;
    event->trade.match_number = taker->attributes.self_match;
}

static inline void reference_prevent(struct reference *r, struct reference_order *maker,
                                     struct reference_order *taker, uint32_t midpoint)
{
    uint32_t common = reference_common(maker, taker);
    bool newest = taker->attributes.self_match == SELF_MATCH_CANCEL_NEWEST ||
                  taker->attributes.self_match == SELF_MATCH_CANCEL_BOTH;
    bool oldest = taker->attributes.self_match == SELF_MATCH_CANCEL_OLDEST ||
                  taker->attributes.self_match == SELF_MATCH_CANCEL_BOTH;
    bool decrement = taker->attributes.self_match == SELF_MATCH_DECREMENT;
    if (oldest || decrement)
        reference_emit_prevented(r, maker, maker, taker, midpoint,
                                 oldest ? maker->quantity : common);
    if (decrement)
        reference_emit_prevented(r, taker, maker, taker, midpoint, common);
    if (maker->slice > 0 && (oldest || decrement)) {
        uint32_t off = oldest ? maker->slice : common;
        reference_emit_feed(r, off == maker->slice ? EVENT_FEED_DELETE : EVENT_FEED_CANCEL, maker,
                            off);
    }
    if (newest)
        reference_emit_prevented(r, taker, maker, taker, midpoint, taker->quantity);
    if (decrement) {
        reference_take_away(taker, common);
        reference_take_away(maker, common);
    }
    if (oldest)
        maker->quantity = 0;
    if (newest)
        taker->quantity = 0;
}

static inline void reference_meet(struct reference *r, struct reference_order *maker,
                                  struct reference_order *taker, uint32_t midpoint)
{
    if (reference_prevents(r, taker, maker))
        reference_prevent(r, maker, taker, midpoint);
    else
        reference_execute(r, maker, taker, midpoint);
    reference_remove_empty(r);
}

// The generator's state is all that is fed to it.
static inline uint64_t reference_splitmix(uint64_t state)
{
    uint64_t z = state + 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// max_floor, or anything from so many fewer to so many more.
static inline uint64_t reference_slice_size(const struct reference *r,
                                            const struct reference_order *order)
{
    if (order->random_reserve == 0)
        return order->max_floor;
    uint64_t day = 0;
    for (int i = 9; i >= 2; i--)
        day = day << 8 | (unsigned char)r->session_id[i];
    uint64_t chance = reference_splitmix(reference_splitmix(day + r->seq) + r->slice_count) >> 32;
    uint64_t least = order->max_floor - order->random_reserve;
    uint64_t most = least + 2u * order->random_reserve;
    return least + chance * (most - least + 1) / 0x100000000ull;
}

static inline void reference_set_slice(const struct reference *r, struct reference_order *order)
{
    order->slice = order->quantity;
    if (!reference_displayed(order))
        order->slice = 0;
    else if (order->max_floor != 0 && reference_slice_size(r, order) < order->quantity)
        order->slice = (uint32_t)reference_slice_size(r, order);
}

// Whose slice was used up, and who has shares left, displays a new one: last in time. All are at
// one price, so that the array has them in the order in which their slices were used up.
static inline void reference_refresh(struct reference *r)
{
    for (uint32_t i = 0; i < r->order_count;) {
        struct reference_order order = r->orders[i];
        if (reference_rank(&order) != REFERENCE_RESERVE) {
            i++;
            continue;
        }
        reference_remove(r, &r->orders[i]);
        reference_set_slice(r, &order);
        order.order_ref = SLICE_REF | ++r->slice_count;
        struct event *event = reference_emit_owner(r, EVENT_RESTATED, &order, order.slice);
        event->code = 'R';
        event->trade.order_ref = order.order_ref;
        reference_emit_feed_add(r, &order);
        r->orders[r->order_count++] = order;
    }
}

static inline void reference_match(struct reference *r, struct reference_order *taker,
                                   uint32_t midpoint)
{
    struct reference_order *maker;
    while (taker->quantity > 0 && (maker = reference_maker(r, taker, midpoint)))
        reference_meet(r, maker, taker, midpoint);
    reference_refresh(r);
}

// Shares on the other side that the taker could trade with.
static inline uint64_t reference_available(const struct reference *r,
                                           const struct reference_order *taker, uint32_t midpoint)
{
    if (reference_at_midpoint(taker) && !reference_live(taker, midpoint))
        return 0;
    uint32_t limit = reference_price(taker, midpoint);
    uint64_t shares = 0;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order->instrument == taker->instrument &&
            reference_feed_side(order->side) == reference_opposite(taker->side) &&
            (!reference_at_midpoint(order) || reference_live(order, midpoint)) &&
            reference_acceptable(taker->side, limit, reference_price(order, midpoint)) &&
            !reference_prevents(r, taker, order))
            shares += order->quantity;
    }
    return shares;
}

static inline void reference_rest(struct reference *r, struct reference_order *order)
{
    reference_set_slice(r, order);
    r->orders[r->order_count++] = *order;
}

// What is left of an incoming order once it has matched.
static inline void reference_settle(struct reference *r, struct reference_order *order)
{
    if (order->quantity == 0)
        return;
    if (order->attributes.time_in_force == TIF_IOC || order->price == PRICE_MARKET) {
        reference_emit_canceled(r, order, order->quantity, 'I');
        return;
    }
    reference_rest(r, order);
    if (reference_displayed(order))
        reference_emit_feed_add(r, order);
}

// An incoming order from where it has been accepted on; `min_quantity` 0 is none.
static inline void reference_trade(struct reference *r, struct reference_order *order,
                                   uint32_t min_quantity)
{
    uint32_t midpoint = reference_midpoint(r, order->instrument);
    if (order->attributes.post_only && reference_maker(r, order, midpoint)) {
        reference_emit_canceled(r, order, order->quantity, 'G');
        return;
    }
    if (min_quantity != 0 && reference_available(r, order, midpoint) < min_quantity) {
        reference_emit_canceled(r, order, order->quantity, 'I');
        return;
    }
    reference_match(r, order, midpoint);
    reference_settle(r, order);
}

// Take away `removed` shares at the owner's request: from the reserve first.
static inline void reference_reduce(struct reference *r, struct reference_order *order,
                                    uint32_t removed)
{
    order->quantity -= removed;
    if (order->slice > order->quantity) {
        uint32_t off = order->slice - order->quantity;
        order->slice = order->quantity;
        reference_emit_feed(r, order->slice ? EVENT_FEED_CANCEL : EVENT_FEED_DELETE, order, off);
    }
    if (order->quantity == 0)
        reference_remove(r, order);
}

static inline void reference_cancel_all(struct reference *r, struct reference_order *order,
                                        char code)
{
    reference_emit_canceled(r, order, order->quantity, code);
    reference_reduce(r, order, order->quantity);
}

// Midpoint orders that the market has come to

// The first live midpoint order of a side: by limit, then time.
static inline struct reference_order *reference_first_live(const struct reference *r,
                                                           uint16_t instrument, uint8_t feed_side,
                                                           uint32_t midpoint)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument == instrument && reference_feed_side(order->side) == feed_side &&
            reference_at_midpoint(order) && reference_live(order, midpoint) &&
            (!first || reference_better_price(feed_side, order->price, first->price)))
            first = order;
    }
    return first;
}

// The first hidden order of a side that a midpoint order on the other one would take.
static inline struct reference_order *reference_first_hidden(const struct reference *r,
                                                             uint16_t instrument, uint8_t feed_side,
                                                             uint32_t midpoint)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument == instrument && reference_feed_side(order->side) == feed_side &&
            reference_rank(order) == REFERENCE_HIDDEN &&
            reference_acceptable(reference_opposite(feed_side), midpoint, order->price) &&
            (!first || reference_better_price(feed_side, order->price, first->price)))
            first = order;
    }
    return first;
}

// One trade, or one prevented; false when nothing is left to trade.
static inline bool reference_trade_resting(struct reference *r, uint16_t instrument)
{
    uint32_t midpoint = reference_midpoint(r, instrument);
    if (midpoint == 0)
        return false;
    struct reference_order *purchase = reference_first_live(r, instrument, SIDE_BUY, midpoint);
    struct reference_order *sale = reference_first_live(r, instrument, SIDE_SELL, midpoint);
    struct reference_order *hidden_purchase =
        reference_first_hidden(r, instrument, SIDE_BUY, midpoint);
    struct reference_order *hidden_sale =
        reference_first_hidden(r, instrument, SIDE_SELL, midpoint);
    if (purchase && hidden_sale)
        reference_meet(r, hidden_sale, purchase, midpoint);
    else if (sale && hidden_purchase)
        reference_meet(r, hidden_purchase, sale, midpoint);
    else if (purchase && sale && purchase->order_ref > sale->order_ref)
        reference_meet(r, sale, purchase, midpoint);
    else if (purchase && sale)
        reference_meet(r, purchase, sale, midpoint);
    else
        return false;
    return true;
}

// The first peg of an instrument that was created after a command.
static inline struct reference_order *reference_next_peg(const struct reference *r,
                                                         uint16_t instrument, uint64_t created)
{
    struct reference_order *next = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument == instrument && reference_follows(order->attributes) &&
            order->created > created && (!next || order->created < next->created))
            next = order;
    }
    return next;
}

// One round of the pegs; false when none had to move.
static inline bool reference_move_pegs(struct reference *r, uint16_t instrument)
{
    struct reference_order *order;
    bool moved = false;
    for (uint64_t created = 0; (order = reference_next_peg(r, instrument, created));) {
        created = order->created;
        uint32_t price =
            reference_peg_price(r, instrument, reference_feed_side(order->side),
                                order->attributes.peg, order->peg_offset, order->limit);
        if (price == 0 || price == order->price)
            continue;
        struct reference_order peg = *order;
        reference_remove(r, order);
        peg.price = price;
        reference_match(r, &peg, reference_midpoint(r, instrument));
        if (peg.quantity > 0)
            r->orders[r->order_count++] = peg;
        moved = true;
    }
    return moved;
}

static inline uint32_t reference_peg_count(const struct reference *r, uint16_t instrument)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->order_count; i++)
        count +=
            r->orders[i].instrument == instrument && reference_follows(r->orders[i].attributes);
    return count;
}

static inline void reference_settle_instrument(struct reference *r, uint16_t instrument)
{
    if (r->instruments[instrument].halted)
        return;
    while (reference_move_pegs(r, instrument))
        ;
    while (reference_trade_resting(r, instrument))
        ;
}

static inline bool reference_any_peg(const struct reference *r)
{
    for (uint32_t i = 0; i < r->order_count; i++) {
        if (r->orders[i].attributes.peg != PEG_NONE)
            return true;
    }
    return false;
}

// Instruments that a command has not touched have nothing left to trade already.
static inline void reference_trade_all_resting(struct reference *r)
{
    if (!reference_any_peg(r))
        return;
    for (uint16_t instrument = 0; instrument < r->instrument_count; instrument++)
        reference_settle_instrument(r, instrument);
}

// Time

static inline uint64_t reference_second(const struct reference *r)
{
    uint64_t time_ns = r->last_time_ns;
    return time_ns > r->midnight_ns ? (time_ns - r->midnight_ns) / 1000000000 : 0;
}

static inline bool reference_expires_before(const struct reference_order *a,
                                            const struct reference_order *b)
{
    if (a->expiry_second != b->expiry_second)
        return a->expiry_second < b->expiry_second;
    return a->created < b->created;
}

static inline struct reference_order *reference_first_expired(const struct reference *r)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->expiry_second == 0 || order->expiry_second > r->second)
            continue;
        if (!first || reference_expires_before(order, first))
            first = order;
    }
    return first;
}

static inline void reference_expire(struct reference *r)
{
    if (reference_second(r) > r->second)
        r->second = reference_second(r);
    bool any = false;
    for (struct reference_order *order; (order = reference_first_expired(r)); any = true)
        reference_cancel_all(r, order, 'T');
    if (any)
        reference_trade_all_resting(r);
}

// The day

static inline void reference_apply_open(struct reference *r, const struct command *c)
{
    r->state = BOOK_PREOPEN;
    r->midnight_ns = c->open.midnight_ns;
    r->shard = c->open.shard;
    memcpy(r->session_id, c->open.session_id, sizeof(r->session_id));
    reference_emit_system(r, FEED_SESSION, 'O');
}

static inline void reference_apply_instrument(struct reference *r, const struct command *c)
{
    if (r->state == BOOK_CLOSED || c->instrument != r->instrument_count ||
        c->instrument >= r->limits.instruments_max)
        return;
    memcpy(r->instruments[r->instrument_count++].symbol, c->listing.symbol, 8);

    struct event *event = reference_emit(r, FEED_SESSION, EVENT_FEED_DIRECTORY);
    event->instrument = c->instrument;
    event->quantity = c->listing.round_lot;
    memcpy(event->listing.symbol, c->listing.symbol, 8);

    event = reference_emit(r, FEED_SESSION, EVENT_FEED_ACTION);
    event->instrument = c->instrument;
    event->code = 'T';
    memcpy(event->listing.symbol, c->listing.symbol, 8);
}

static inline void reference_apply_session(struct reference *r, const struct command *c)
{
    if (r->state == BOOK_CLOSED || c->session != r->session_count ||
        c->session >= r->limits.sessions_max)
        return;
    struct reference_session *session = &r->sessions[r->session_count++];
    memcpy(session->user_name, c->member.user_name, sizeof(session->user_name));
    memcpy(session->firm, c->member.firm, sizeof(session->firm));
    if (r->state == BOOK_TRADING)
        reference_emit_system(r, c->session, 'S');
}

static inline void reference_apply_start(struct reference *r)
{
    if (r->state != BOOK_PREOPEN)
        return;
    r->state = BOOK_TRADING;
    reference_emit_system(r, FEED_SESSION, 'S');
    reference_emit_system(r, FEED_SESSION, 'Q');
    for (uint16_t session = 0; session < r->session_count; session++)
        reference_emit_system(r, session, 'S');
}

// The order that is closed first on one side of one instrument: the best price, there displayed
// before hidden, there the first in time; midpoint orders last, by limit and time.
static inline struct reference_order *reference_first_to_close(const struct reference *r,
                                                               uint16_t instrument,
                                                               uint8_t feed_side)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument != instrument || reference_feed_side(order->side) != feed_side)
            continue;
        bool other_kind = first && reference_at_midpoint(order) != reference_at_midpoint(first);
        if (!first ||
            (other_kind ? reference_at_midpoint(first) : !reference_ahead(first, order, 0)))
            first = order;
    }
    return first;
}

static inline void reference_apply_close(struct reference *r)
{
    if (r->state == BOOK_CLOSED)
        return;
    r->state = BOOK_CLOSED;
    for (uint16_t instrument = 0; instrument < r->instrument_count; instrument++) {
        for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
            struct reference_order *order;
            while ((order = reference_first_to_close(r, instrument, side)))
                reference_cancel_all(r, order, 'E');
        }
    }
    for (uint16_t session = 0; session < r->session_count; session++)
        reference_emit_system(r, session, 'E');
    reference_emit_system(r, FEED_SESSION, 'M');
    reference_emit_system(r, FEED_SESSION, 'E');
    reference_emit_system(r, FEED_SESSION, 'C');
}

// Clients

static inline bool reference_valid_price(const struct command *c)
{
    if (c->order.price == PRICE_MARKET)
        return c->order.attributes.peg == PEG_NONE;
    return c->order.price > 0 && c->order.price <= PRICE_MAX;
}

static inline bool reference_valid_quantity(uint32_t quantity)
{
    return quantity > 0 && quantity <= QUANTITY_MAX;
}

static inline bool reference_valid_display(const struct order_attributes attributes)
{
    return attributes.peg != PEG_NONE ? attributes.display == DISPLAY_HIDDEN
                                      : attributes.display <= DISPLAY_ATTRIBUTABLE;
}

static inline bool reference_valid_time_in_force(const struct command *c)
{
    uint32_t seconds = c->order.expire_seconds;
    switch (c->order.attributes.time_in_force) {
    case TIF_DAY:
    case TIF_IOC:
        return seconds == 0;
    case TIF_GTT:
        return seconds > 0 && seconds <= EXPIRE_SECONDS_MAX;
    }
    return false;
}

static inline bool reference_valid_max_floor(const struct command *c)
{
    return c->order.max_floor == 0 ||
           (c->order.attributes.time_in_force != TIF_IOC && c->order.price != PRICE_MARKET &&
            c->order.attributes.display != DISPLAY_HIDDEN);
}

static inline bool reference_valid_random_reserve(const struct command *c)
{
    return c->order.random_reserve == 0 || c->order.max_floor > c->order.random_reserve;
}

// Post-only contradicts an order that can only take, or does not know its price.
static inline bool reference_valid_post_only(const struct command *c)
{
    return !c->order.attributes.post_only ||
           (c->order.attributes.time_in_force != TIF_IOC && c->order.price != PRICE_MARKET &&
            c->order.attributes.peg == PEG_NONE);
}

static inline bool reference_valid_peg_offset(const struct command *c)
{
    return c->order.peg_offset == 0 || reference_follows(c->order.attributes);
}

// At which an order comes in, 0 for a peg with nothing to follow.
static inline uint32_t reference_entry_price(const struct reference *r, const struct command *c,
                                             uint16_t instrument, uint8_t side)
{
    if (!reference_follows(c->order.attributes))
        return c->order.price;
    return reference_peg_price(r, instrument, reference_feed_side(side), c->order.attributes.peg,
                               c->order.peg_offset, c->order.price);
}

// What stands against a session's order in an instrument.
static inline uint8_t reference_restriction(const struct reference *r, uint16_t session,
                                            uint16_t instrument, const char firm[4])
{
    static const char any[4];
    for (uint32_t i = 0; i < REFERENCE_BARS_MAX; i++) {
        const struct reference_bar *bar = &r->bars[i];
        bool session_fits = bar->session == ANY_SESSION || bar->session == session;
        bool firm_fits = memcmp(bar->firm, any, 4) == 0 || memcmp(bar->firm, firm, 4) == 0;
        if (bar->in_force && session_fits && firm_fits)
            return REJECT_FIRM_NOT_AUTHORIZED;
    }
    return r->instruments[instrument].halted ? REJECT_HALTED : REJECT_NONE;
}

static inline uint8_t reference_enter_verdict(const struct reference *r, const struct command *c)
{
    if (c->verdict != REJECT_NONE)
        return c->verdict;
    if (r->state != BOOK_TRADING)
        return REJECT_DESTINATION_CLOSED;
    if (c->instrument >= r->instrument_count)
        return REJECT_INVALID_SYMBOL;
    if (c->side > SIDE_SELL_SHORT_EXEMPT)
        return REJECT_INVALID_SIDE;
    if (!reference_valid_quantity(c->order.quantity))
        return REJECT_INVALID_QUANTITY;
    if (!reference_valid_price(c))
        return REJECT_INVALID_PRICE;
    if (!reference_valid_display(c->order.attributes))
        return REJECT_INVALID_DISPLAY;
    if (!reference_valid_time_in_force(c))
        return REJECT_OTHER;
    if (c->order.attributes.self_match > SELF_MATCH_DECREMENT)
        return REJECT_INVALID_SELF_MATCH;
    if (c->order.min_quantity != 0 &&
        (c->order.attributes.time_in_force != TIF_IOC || c->order.min_quantity > c->order.quantity))
        return REJECT_INVALID_MIN_QUANTITY;
    if (!reference_valid_max_floor(c) || !reference_valid_random_reserve(c))
        return REJECT_INVALID_MAX_FLOOR;
    if (!reference_valid_post_only(c))
        return REJECT_OTHER;
    if (!reference_valid_peg_offset(c))
        return REJECT_PEGGING_NOT_ALLOWED;
    if (reference_entry_price(r, c, c->instrument, c->side) == 0)
        return REJECT_QUOTE_UNAVAILABLE;
    if (reference_follows(c->order.attributes) &&
        reference_peg_count(r, c->instrument) == BOOK_PEGS_MAX)
        return REJECT_PROCESSING_ERROR;
    static const char nothing[4];
    bool names_firm = memcmp(c->order.firm, nothing, 4) != 0;
    uint8_t restriction = reference_restriction(
        r, c->session, c->instrument, names_firm ? c->order.firm : r->sessions[c->session].firm);
    if (restriction != REJECT_NONE)
        return restriction;
    if (r->order_count == r->limits.orders_max)
        return REJECT_PROCESSING_ERROR;
    return REJECT_NONE;
}

// What an order and a replacement have from their command alike.
static inline void reference_take_terms(const struct reference *r, struct reference_order *order,
                                        const struct command *c)
{
    order->order_ref = r->seq;
    order->created = r->seq;
    order->user_ref_num = c->order.user_ref_num;
    order->limit = reference_follows(c->order.attributes) ? c->order.price : 0;
    order->peg_offset = c->order.peg_offset;
    order->max_floor = c->order.max_floor;
    order->random_reserve = c->order.random_reserve;
    order->expire_seconds = c->order.expire_seconds;
    order->expiry_second = 0;
    if (c->order.attributes.time_in_force == TIF_GTT)
        order->expiry_second = r->second + c->order.expire_seconds + 1;
    order->attributes = c->order.attributes;
    order->attributes.reserved = 0;
}

// Before the answer to a command that asks for any of these; it has no number of its own.
static inline void reference_emit_options(struct reference *r, const struct command *c)
{
    uint32_t min_quantity = c->type == COMMAND_ENTER ? c->order.min_quantity : 0;
    if (!min_quantity && !c->order.max_floor && !c->order.expire_seconds &&
        !c->order.random_reserve && !c->order.peg_offset)
        return;
    struct event *event = reference_emit(r, c->session, EVENT_OPTIONS);
    r->sessions[c->session].message_count--;
    event->user_ref_num = c->order.user_ref_num;
    event->user_ref_index = c->user_ref_index;
    event->options.min_quantity = min_quantity;
    event->options.max_floor = c->order.max_floor;
    event->options.expire_seconds = c->order.expire_seconds;
    event->options.random_reserve = c->order.random_reserve;
    event->options.peg_offset = c->order.peg_offset;
}

static inline void reference_apply_enter(struct reference *r, const struct command *c)
{
    uint32_t *last = &r->sessions[c->session].last[c->user_ref_index];
    if (c->order.user_ref_num <= *last)
        return;
    *last = c->order.user_ref_num;

    uint8_t verdict = reference_enter_verdict(r, c);
    if (verdict != REJECT_NONE) {
        reference_emit_rejected(r, c, c->order.user_ref_num, verdict);
        return;
    }

    struct reference_order order = {
        .quantity = c->order.quantity,
        .session = c->session,
        .instrument = c->instrument,
        .side = c->side,
        .user_ref_index = c->user_ref_index,
    };
    memcpy(order.firm, c->order.firm, 4);
    order.price = reference_entry_price(r, c, c->instrument, c->side);
    reference_take_terms(r, &order, c);

    reference_emit_options(r, c);
    struct event *event = reference_emit_owner(r, EVENT_ACCEPTED, &order, order.quantity);
    event->price = c->order.price;
    memcpy(event->firm, order.firm, 4);
    memcpy(event->order.client_order_id, c->order.client_order_id, 14);
    event->order.attributes = order.attributes;

    reference_trade(r, &order, c->order.min_quantity);
}

static inline bool reference_replacement_valid(const struct reference *r, const struct command *c,
                                               const struct reference_order *old)
{
    bool another_peg =
        reference_follows(c->order.attributes) && !reference_follows(old->attributes);
    if (another_peg && reference_peg_count(r, old->instrument) == BOOK_PEGS_MAX)
        return false;
    return reference_valid_peg_offset(c) && c->verdict == REJECT_NONE &&
           reference_valid_quantity(c->order.quantity) && reference_valid_price(c) &&
           reference_valid_display(c->order.attributes) && reference_valid_time_in_force(c) &&
           c->order.attributes.self_match <= SELF_MATCH_DECREMENT && reference_valid_max_floor(c) &&
           reference_valid_random_reserve(c) && reference_valid_post_only(c) &&
           c->order.quantity > old->executed;
}

static inline void reference_apply_replace(struct reference *r, const struct command *c)
{
    uint32_t *last = &r->sessions[c->session].last[c->user_ref_index];
    struct reference_order *found =
        reference_find(r, c->session, c->user_ref_index, c->order.orig_user_ref_num);
    if (!found || c->order.user_ref_num <= *last)
        return;
    if (!reference_replacement_valid(r, c, found)) {
        reference_cancel_all(r, found, 'U');
        return;
    }
    *last = c->order.user_ref_num;
    uint8_t restriction =
        reference_restriction(r, found->session, found->instrument, reference_firm(r, found));
    if (restriction != REJECT_NONE) {
        reference_emit_rejected(r, c, c->order.user_ref_num, restriction);
        return;
    }

    struct reference_order old = *found;
    struct reference_order order = old;
    order.price = reference_entry_price(r, c, old.instrument, old.side);
    if (order.price == 0) {
        reference_emit_rejected(r, c, c->order.user_ref_num, REJECT_QUOTE_UNAVAILABLE);
        return;
    }
    reference_remove(r, found);
    order.quantity = c->order.quantity - old.executed;
    reference_take_terms(r, &order, c);

    reference_emit_options(r, c);
    struct event *event = reference_emit_owner(r, EVENT_REPLACED, &order, order.quantity);
    event->price = c->order.price;
    event->orig_user_ref_num = old.user_ref_num;
    memcpy(event->order.client_order_id, c->order.client_order_id, 14);
    event->order.attributes = order.attributes;

    bool stays_in_place =
        reference_displayed(&old) && order.attributes.display == old.attributes.display &&
        order.attributes.time_in_force != TIF_IOC && order.price != PRICE_MARKET &&
        !reference_maker(r, &order, reference_midpoint(r, order.instrument));
    if (stays_in_place) {
        reference_rest(r, &order);
        event = reference_emit_feed(r, EVENT_FEED_REPLACE, &order, order.slice);
        event->trade.order_ref = old.order_ref;
        return;
    }
    if (reference_displayed(&old))
        reference_emit_feed(r, EVENT_FEED_DELETE, &old, old.slice);
    reference_trade(r, &order, 0);
}

// Open shares once the whole chain is to execute no more than `total`.
static inline uint32_t reference_open_of(const struct reference_order *order, uint32_t total)
{
    return total > order->executed ? total - order->executed : 0;
}

static inline void reference_apply_cancel(struct reference *r, const struct command *c)
{
    struct reference_order *order =
        reference_find(r, c->session, c->user_ref_index, c->order.user_ref_num);
    if (!order || c->verdict != REJECT_NONE ||
        c->order.quantity >= order->executed + order->quantity)
        return;
    uint32_t removed = order->quantity - reference_open_of(order, c->order.quantity);
    reference_emit_canceled(r, order, removed, 'U');
    reference_reduce(r, order, removed);
}

static inline bool reference_side_may_become(uint8_t from, uint8_t to)
{
    return from == to || (from == SIDE_SELL && to == SIDE_SELL_SHORT_EXEMPT) ||
           (from == SIDE_SELL && to == SIDE_SELL_SHORT) ||
           (from == SIDE_SELL_SHORT_EXEMPT && to == SIDE_SELL_SHORT);
}

static inline void reference_apply_modify(struct reference *r, const struct command *c)
{
    struct reference_order *order =
        reference_find(r, c->session, c->user_ref_index, c->order.user_ref_num);
    if (!order || c->verdict != REJECT_NONE || !reference_side_may_become(order->side, c->side))
        return;
    uint32_t total = order->executed + order->quantity;
    if (c->order.quantity > total || (c->order.quantity == total && c->side == order->side))
        return;
    uint32_t open = reference_open_of(order, c->order.quantity);
    if (open == 0) {
        reference_cancel_all(r, order, 'U');
        return;
    }
    order->side = c->side;
    reference_emit_owner(r, EVENT_MODIFIED, order, open)->trade.order_ref = order->order_ref;
    reference_reduce(r, order, order->quantity - open);
}

static inline void reference_apply_query(struct reference *r, const struct command *c)
{
    struct event *event = reference_emit(r, c->session, EVENT_QUERY_RESPONSE);
    event->user_ref_num = r->sessions[c->session].last[c->user_ref_index] + 1;
    event->user_ref_index = c->user_ref_index;
}

// Mass cancel

static inline uint8_t reference_mass_verdict(const struct reference *r, const struct command *c)
{
    if (c->verdict != REJECT_NONE)
        return c->verdict;
    if (r->state != BOOK_TRADING)
        return REJECT_DESTINATION_CLOSED;
    if (c->instrument >= r->instrument_count && c->instrument != NO_INSTRUMENT)
        return REJECT_INVALID_SYMBOL;
    return REJECT_NONE;
}

static inline bool reference_fits(const struct reference *r, const struct command *c,
                                  const struct reference_order *order)
{
    bool any_firm = memcmp(c->mass.firm, "\0\0\0\0", 4) == 0;
    return (c->mass.session == ANY_SESSION || c->mass.session == order->session) &&
           (c->instrument == NO_INSTRUMENT || c->instrument == order->instrument) &&
           (c->mass.side == ANY_SIDE || c->mass.side == order->side) &&
           (any_firm || memcmp(c->mass.firm, reference_firm(r, order), 4) == 0);
}

static inline void reference_cancel_fitting(struct reference *r, const struct command *c)
{
    for (;;) {
        struct reference_order *lowest = NULL;
        for (uint32_t i = 0; i < r->order_count; i++) {
            struct reference_order *order = &r->orders[i];
            if (reference_fits(r, c, order) && (!lowest || order->order_ref < lowest->order_ref))
                lowest = order;
        }
        if (!lowest)
            return;
        reference_cancel_all(r, lowest, (char)c->mass.reason);
    }
}

static inline void reference_apply_mass_cancel(struct reference *r, const struct command *c)
{
    if (c->session == ANY_SESSION) {
        if (c->verdict == REJECT_NONE)
            reference_cancel_fitting(r, c);
        return;
    }
    if (c->session >= r->session_count)
        return;
    uint32_t *last = &r->sessions[c->session].last[c->user_ref_index];
    if (c->mass.user_ref_num <= *last)
        return;
    *last = c->mass.user_ref_num;

    uint8_t verdict = reference_mass_verdict(r, c);
    if (verdict != REJECT_NONE) {
        reference_emit_rejected(r, c, c->mass.user_ref_num, verdict);
        return;
    }
    struct event *event = reference_emit(r, c->session, EVENT_MASS_CANCELED);
    event->user_ref_num = c->mass.user_ref_num;
    event->user_ref_index = c->user_ref_index;
    event->instrument = c->instrument;
    event->side = c->mass.side;
    memcpy(event->firm, c->mass.firm, 4);
    reference_cancel_fitting(r, c);
}

static inline void reference_apply_trading(struct reference *r, const struct command *c)
{
    bool halted = c->trading.state == 'H';
    if (r->state == BOOK_CLOSED || (!halted && c->trading.state != 'T'))
        return;
    for (uint16_t i = 0; i < r->instrument_count; i++) {
        struct reference_instrument *instrument = &r->instruments[i];
        bool meant = c->instrument == i || c->instrument == NO_INSTRUMENT;
        if (!meant || instrument->halted == halted)
            continue;
        instrument->halted = halted;
        struct event *event = reference_emit(r, FEED_SESSION, EVENT_FEED_ACTION);
        event->instrument = i;
        event->code = c->trading.state;
        memcpy(event->listing.symbol, instrument->symbol, 8);
        reference_settle_instrument(r, i);
    }
}

static inline void reference_bar(struct reference *r, const struct command *c, bool by_operator)
{
    struct reference_bar *unused = NULL;
    for (uint32_t i = 0; i < REFERENCE_BARS_MAX; i++) {
        struct reference_bar *bar = &r->bars[i];
        if (!bar->in_force) {
            unused = bar;
        } else if (bar->session == c->entry.session && bar->by_operator == by_operator &&
                   memcmp(bar->firm, c->entry.firm, 4) == 0) {
            bar->in_force = !c->entry.allowed;
            return;
        }
    }
    if (c->entry.allowed)
        return;
    if (!unused)
        abort(); // more than any test has
    *unused = (struct reference_bar){
        .session = c->entry.session, .by_operator = by_operator, .in_force = true};
    memcpy(unused->firm, c->entry.firm, 4);
}

static inline void reference_apply_entry(struct reference *r, const struct command *c)
{
    if (c->session == ANY_SESSION) {
        if (c->verdict == REJECT_NONE)
            reference_bar(r, c, true);
        return;
    }
    if (c->session >= r->session_count)
        return;
    uint32_t *last = &r->sessions[c->session].last[c->user_ref_index];
    if (c->entry.user_ref_num <= *last)
        return;
    *last = c->entry.user_ref_num;
    uint8_t verdict = c->verdict;
    if (verdict == REJECT_NONE && r->state != BOOK_TRADING)
        verdict = REJECT_DESTINATION_CLOSED;
    if (verdict != REJECT_NONE) {
        reference_emit_rejected(r, c, c->entry.user_ref_num, verdict);
        return;
    }
    struct event *event = reference_emit(
        r, c->session, c->entry.allowed ? EVENT_ENTRY_ENABLED : EVENT_ENTRY_DISABLED);
    event->user_ref_num = c->entry.user_ref_num;
    event->user_ref_index = c->user_ref_index;
    memcpy(event->firm, c->entry.firm, 4);
    reference_bar(r, c, false);
}

static inline void reference_apply_client(struct reference *r, const struct command *c)
{
    if (c->session >= r->session_count)
        return;
    switch (c->type) {
    case COMMAND_ENTER:
        reference_apply_enter(r, c);
        break;
    case COMMAND_REPLACE:
        reference_apply_replace(r, c);
        break;
    case COMMAND_CANCEL:
        reference_apply_cancel(r, c);
        break;
    case COMMAND_MODIFY:
        reference_apply_modify(r, c);
        break;
    case COMMAND_QUERY:
        reference_apply_query(r, c);
        break;
    }
}

// reference_apply: what book_apply does; the events are in r->events until the next call.
static inline void reference_apply(struct reference *r, const struct command *c)
{
    r->event_count = 0;
    r->seq++;
    r->last_time_ns = c->time_ns;
    if (r->state == BOOK_NEW) {
        if (c->type == COMMAND_OPEN)
            reference_apply_open(r, c);
        return;
    }
    reference_expire(r);
    switch (c->type) {
    case COMMAND_INSTRUMENT:
        reference_apply_instrument(r, c);
        break;
    case COMMAND_SESSION:
        reference_apply_session(r, c);
        break;
    case COMMAND_START:
        reference_apply_start(r);
        break;
    case COMMAND_CLOSE:
        reference_apply_close(r);
        break;
    case COMMAND_MASS_CANCEL:
        reference_apply_mass_cancel(r, c);
        break;
    case COMMAND_TRADING:
        reference_apply_trading(r, c);
        break;
    case COMMAND_ENTRY:
        reference_apply_entry(r, c);
        break;
    default:
        reference_apply_client(r, c);
    }
    reference_trade_all_resting(r);
}

// Queries

static inline struct book_level reference_level(const struct reference *r, uint16_t instrument,
                                                uint8_t feed_side, uint32_t price)
{
    struct book_level level = {.price = price};
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order->instrument == instrument && reference_feed_side(order->side) == feed_side &&
            order->price == price && reference_displayed(order)) {
            level.order_count++;
            level.quantity += order->slice;
        }
    }
    return level;
}

static inline uint32_t reference_depth(const struct reference *r, uint16_t instrument,
                                       uint8_t feed_side, struct book_level *levels, uint32_t count)
{
    uint32_t found = 0;
    uint32_t price = 0;
    while (found < count && reference_next_price(r, instrument, feed_side,
                                                 found ? &levels[found - 1].price : NULL, &price))
        levels[found++] = reference_level(r, instrument, feed_side, price);
    return found;
}

static inline uint32_t reference_timed_count(const struct reference *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->order_count; i++)
        count += r->orders[i].expiry_second != 0;
    return count;
}

// Never locked or crossed, not even by hidden orders.
static inline bool reference_uncrossed(const struct reference *r, uint16_t instrument)
{
    uint32_t bid = 0, offer = UINT32_MAX;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order->instrument != instrument || reference_at_midpoint(order))
            continue;
        if (order->side == SIDE_BUY && order->price > bid)
            bid = order->price;
        if (order->side != SIDE_BUY && order->price < offer)
            offer = order->price;
    }
    return bid < offer;
}

// No live midpoint order has anybody to trade with.
static inline bool reference_settled(const struct reference *r, uint16_t instrument)
{
    uint32_t midpoint = reference_midpoint(r, instrument);
    if (r->instruments[instrument].halted)
        return true;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order->instrument == instrument && reference_at_midpoint(order) &&
            reference_maker(r, order, midpoint))
            return false;
    }
    return true;
}

static inline bool reference_order_sound(const struct reference_order *order)
{
    if (order->quantity == 0 || order->quantity + order->executed > QUANTITY_MAX)
        return false;
    if (!reference_displayed(order))
        return order->slice == 0;
    uint64_t most = (uint64_t)order->max_floor + order->random_reserve;
    bool whole = order->max_floor == 0 || most >= order->quantity;
    return order->slice > 0 && order->slice <= order->quantity && (whole || order->slice <= most);
}

// Nothing left to trade; no order without shares; first in time first.
static inline bool reference_sound(const struct reference *r)
{
    uint64_t last_created = 0, last_slice = 0;
    for (uint16_t instrument = 0; instrument < r->instrument_count; instrument++) {
        if (!reference_uncrossed(r, instrument) || !reference_settled(r, instrument))
            return false;
    }
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        uint64_t *last = order->order_ref & SLICE_REF ? &last_slice : &last_created;
        if (!reference_order_sound(order))
            return false;
        if (reference_follows(order->attributes)) // they come to rest again
            continue;
        if (order->order_ref <= *last)
            return false;
        *last = order->order_ref;
    }
    return true;
}

static inline bool reference_same_order(const struct reference_order *a,
                                        const struct reference_order *b)
{
    return a->order_ref == b->order_ref && a->user_ref_num == b->user_ref_num &&
           a->quantity == b->quantity && a->slice == b->slice && a->executed == b->executed &&
           a->price == b->price && a->max_floor == b->max_floor &&
           a->random_reserve == b->random_reserve && a->limit == b->limit &&
           a->peg_offset == b->peg_offset && a->expire_seconds == b->expire_seconds &&
           a->expiry_second == b->expiry_second && a->session == b->session &&
           a->instrument == b->instrument && a->side == b->side &&
           a->user_ref_index == b->user_ref_index &&
           memcmp(&a->attributes, &b->attributes, sizeof(a->attributes)) == 0;
}

// The bars of `a` are all in force in `b`.
static inline bool reference_bars_within(const struct reference *a, const struct reference *b)
{
    for (uint32_t i = 0; i < REFERENCE_BARS_MAX; i++) {
        const struct reference_bar *bar = &a->bars[i];
        bool found = !bar->in_force;
        for (uint32_t j = 0; j < REFERENCE_BARS_MAX && !found; j++)
            found = b->bars[j].in_force && b->bars[j].session == bar->session &&
                    b->bars[j].by_operator == bar->by_operator &&
                    memcmp(b->bars[j].firm, bar->firm, 4) == 0;
        if (!found)
            return false;
    }
    return true;
}

// The order of the same name in another book.
static inline const struct reference_order *reference_twin(const struct reference *r,
                                                           const struct reference_order *order)
{
    return reference_find(r, order->session, order->user_ref_index, order->user_ref_num);
}

// How many came to rest before an order in its queue. Who came before whom in different queues says
// nothing: a peg that moves is last wherever it goes.
static inline uint32_t reference_place(const struct reference *r,
                                       const struct reference_order *order)
{
    uint32_t place = 0;
    for (const struct reference_order *other = r->orders; other < order; other++)
        place += other->instrument == order->instrument &&
                 reference_feed_side(other->side) == reference_feed_side(order->side) &&
                 other->price == order->price && reference_rank(other) == reference_rank(order);
    return place;
}

// Whether two books must answer all that may follow alike.
static inline bool reference_same_state(const struct reference *a, const struct reference *b)
{
    if (a->state != b->state || a->seq != b->seq || a->midnight_ns != b->midnight_ns ||
        a->second != b->second || a->feed_message_count != b->feed_message_count ||
        a->match_count != b->match_count || a->slice_count != b->slice_count ||
        a->instrument_count != b->instrument_count || a->session_count != b->session_count ||
        a->order_count != b->order_count || memcmp(&a->limits, &b->limits, sizeof(a->limits)) != 0)
        return false;
    for (uint16_t i = 0; i < a->instrument_count; i++)
        if (a->instruments[i].halted != b->instruments[i].halted)
            return false;
    if (!reference_bars_within(a, b) || !reference_bars_within(b, a))
        return false;
    for (uint16_t i = 0; i < a->session_count; i++) {
        const struct reference_session *left = &a->sessions[i], *right = &b->sessions[i];
        if (left->message_count != right->message_count ||
            memcmp(left->firm, right->firm, sizeof(left->firm)) != 0 ||
            memcmp(left->last, right->last, sizeof(left->last)) != 0)
            return false;
    }
    for (uint32_t i = 0; i < a->order_count; i++) {
        const struct reference_order *left = &a->orders[i], *right = reference_twin(b, left);
        if (!right || !reference_same_order(left, right) ||
            reference_place(a, left) != reference_place(b, right) ||
            memcmp(reference_firm(a, left), reference_firm(b, right), 4) != 0)
            return false;
        for (uint32_t j = 0; left->expiry_second != 0 && j < i; j++) {
            if (reference_expires_before(left, &a->orders[j]) !=
                reference_expires_before(right, reference_twin(b, &a->orders[j])))
                return false;
        }
    }
    return true;
}

#endif
