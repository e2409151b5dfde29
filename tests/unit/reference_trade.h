// SPDX-License-Identifier: MIT
//
// The reference's orders, what it says of them, and how they trade; commands are in reference.h.
#ifndef SLUICE_TESTS_UNIT_REFERENCE_TRADE_H
#define SLUICE_TESTS_UNIT_REFERENCE_TRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"
#include "numa/array.h"

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
    uint8_t cross;         // the only one it is for, or CROSS_NONE
    bool pending, refused; // late, its owner was told so
    char firm[4];
};

struct reference_instrument {
    char symbol[8];
    char phase;   // the letter of COMMAND_TRADING
    char day;     // the calendar's; 0: none
    bool is_days; // the calendar said the phase
    bool killed;  // risk said that it is halted
    uint32_t reference;
    char short_sale; // '0' to '2'
    uint32_t band;
    bool late; // before the cross that ends the phase
    uint32_t late_price;
    uint32_t last_price; // since the band was set, or any limit where it was not
    uint64_t limits[LIMIT_INSTRUMENT_END];
};

// Holds a second's worth of tokens; what is missing comes back evenly within a second.
struct reference_bucket {
    uint64_t missing_ns, seen_ns;
};

// A firm's sessions together.
struct reference_member {
    char firm[4];
    bool kept; // the rest of this is
    uint64_t orders, executions;
    unsigned __int128 traded[2]; // value, by side
    int64_t *shares;             // by instrument, bought less sold
    bool *barred;                // by instrument: it may enter nothing
    struct reference_sight {
        uint32_t price, quantity;
        uint16_t instrument;
        uint8_t side;
    } seen[64]; // orders, in the place that their hash has
    struct reference_bucket seen_buckets[64];
    struct reference_bucket order_bucket, cancel_bucket, execution_bucket;
    uint64_t limits[LIMIT_MEMBER_END];
    uint64_t totals[LIMIT_MEMBER_END];
};
#define REFERENCE_MEMBERS_MAX 64u

// Nobody of this session (or any) and this firm (zeros: any) may enter an order.
struct reference_bar {
    uint16_t session;
    char firm[4];
    bool by_operator;
    bool by_limit; // LIMIT_EXECUTIONS
    bool in_force;
};
#define REFERENCE_BARS_MAX 512u

struct reference_session {
    char user_name[6];
    char firm[4];
    uint64_t message_count;
    struct reference_bucket passes;
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
    struct reference_member *members[REFERENCE_MEMBERS_MAX]; // as they are needed

    uint8_t broken; // the limit that the command breaks, if that is why it is refused

    struct event *events; // of the last command
    uint32_t event_count;
    size_t event_capacity;
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
    for (uint32_t i = 0; i < REFERENCE_MEMBERS_MAX && r->members[i]; i++) {
        free(r->members[i]->shares);
        free(r->members[i]->barred);
        free(r->members[i]);
    }
    free(r->events);
}

// Events

static inline struct event *reference_emit(struct reference *r, uint16_t session,
                                           enum event_type type)
{
    if (!array_reserve(&r->events, &r->event_capacity, r->event_count + 1, sizeof(*r->events)))
        abort();
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
    return order->attributes.display != DISPLAY_HIDDEN && !order->attributes.auction;
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

// What a port refuses by itself.
static inline uint8_t reference_port_limit(uint8_t verdict)
{
    switch (verdict) {
    case 0x24:
        return LIMIT_NO_SWEEP;
    case 0x2B:
        return LIMIT_NO_SHORT;
    case 0x2C:
        return LIMIT_NO_MARKET;
    case 0x2F:
        return LIMIT_NO_EXEMPT;
    case 0x30:
        return LIMIT_NOTIONAL;
    case 0x31:
        return LIMIT_QUANTITY;
    }
    return 0;
}

static inline void reference_emit_rejected(struct reference *r, const struct command *c,
                                           uint32_t user_ref_num, uint8_t reason)
{
    struct event *event = reference_emit(r, c->session, EVENT_REJECTED);
    event->user_ref_num = user_ref_num;
    event->user_ref_index = c->user_ref_index;
    event->code = reason;
    event->limit = c->verdict == reason ? reference_port_limit(reason) : r->broken;
    if (c->type == COMMAND_ENTER || c->type == COMMAND_REPLACE)
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

static inline bool reference_collects(const struct reference *r, uint16_t instrument);
static inline void reference_tell_imbalances(struct reference *r);
static inline uint32_t reference_band_edge(const struct reference *r, uint16_t instrument,
                                           uint8_t side);

// Of a primary or market peg, 0 when there is nothing to follow or orders wait for a cross. It
// keeps to the band as to its limit.
static inline uint32_t reference_peg_price(const struct reference *r, uint16_t instrument,
                                           uint8_t feed_side, enum peg peg, int64_t offset,
                                           uint32_t limit)
{
    uint8_t followed = peg == PEG_MARKET ? reference_opposite(feed_side) : feed_side;
    uint32_t best = 0;
    if (!reference_next_price(r, instrument, followed, NULL, &best) ||
        reference_collects(r, instrument))
        return 0;
    int64_t price = best + offset;
    uint32_t edge = reference_band_edge(r, instrument, feed_side);
    if (edge != 0 && (feed_side == SIDE_BUY ? edge < limit : edge > limit))
        limit = edge;
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
    if (order->attributes.auction && order->price == PRICE_MARKET && order->side != SIDE_BUY)
        return 0;
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
        if (order->instrument != taker->instrument || order->attributes.auction ||
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

// What a trade does to the limits

// Of a session's own firm, whatever firm its orders name.
static inline struct reference_member *reference_member(struct reference *r, const char firm[4])
{
    uint32_t i = 0;
    while (i < REFERENCE_MEMBERS_MAX && r->members[i] && memcmp(r->members[i]->firm, firm, 4) != 0)
        i++;
    if (i == REFERENCE_MEMBERS_MAX)
        abort();
    if (r->members[i])
        return r->members[i];
    r->members[i] = calloc(1, sizeof(**r->members));
    if (!r->members[i] ||
        !(r->members[i]->shares = calloc(r->limits.instruments_max, sizeof(int64_t))) ||
        !(r->members[i]->barred = calloc(r->limits.instruments_max, sizeof(bool))))
        abort();
    memcpy(r->members[i]->firm, firm, 4);
    return r->members[i];
}

static inline bool reference_take_token(struct reference_bucket *bucket, uint64_t now_ns,
                                        uint64_t per_second)
{
    const uint64_t second = 1000000000;
    uint64_t before_ns = bucket->seen_ns, passed = now_ns - before_ns;
    uint64_t token = 1; // as long as it takes to come, in whole ns
    while (per_second < second && token * per_second < second)
        token += (second - token * per_second + per_second - 1) / per_second;
    bucket->seen_ns = now_ns;
    if (now_ns < before_ns) // the clock was set back
        bucket->missing_ns += before_ns - now_ns;
    else
        bucket->missing_ns -= passed < bucket->missing_ns ? passed : bucket->missing_ns;
    if (bucket->missing_ns + token > per_second * token)
        return false;
    bucket->missing_ns += token;
    return true;
}

static inline void reference_bar_firm(struct reference *r, const char firm[4])
{
    struct reference_bar *unused = NULL;
    for (uint32_t i = 0; i < REFERENCE_BARS_MAX; i++) {
        struct reference_bar *bar = &r->bars[i];
        if (!bar->in_force)
            unused = bar;
        else if (bar->session == ANY_SESSION && (bar->by_operator || bar->by_limit) &&
                 memcmp(bar->firm, firm, 4) == 0)
            return;
    }
    if (!unused)
        abort(); // more than any test has
    *unused = (struct reference_bar){.session = ANY_SESSION, .by_limit = true, .in_force = true};
    memcpy(unused->firm, firm, 4);
}

static inline void reference_count_trade(struct reference *r, const struct reference_order *order,
                                         uint32_t quantity, uint32_t price)
{
    struct reference_member *member = reference_member(r, r->sessions[order->session].firm);
    if (!member->kept)
        return;
    uint8_t side = reference_feed_side(order->side);
    member->executions++;
    member->traded[side] += (unsigned __int128)price * quantity;
    member->shares[order->instrument] += side == SIDE_BUY ? (int64_t)quantity : -(int64_t)quantity;
    uint64_t most = member->limits[LIMIT_EXECUTIONS];
    if (most != 0 && !reference_take_token(&member->execution_bucket, r->last_time_ns, most))
        reference_bar_firm(r, member->firm);
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

    reference_count_trade(r, maker, quantity, price);
    reference_count_trade(r, taker, quantity, price);
    r->instruments[maker->instrument].last_price = price;
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
        if (order->instrument == taker->instrument && !order->attributes.auction &&
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

static inline bool reference_hold(struct reference *r, struct reference_order *order);
static inline bool reference_beyond_band(const struct reference *r,
                                         const struct reference_order *order);
static inline bool reference_stopped(struct reference *r, const struct reference_order *order,
                                     uint32_t midpoint);

// An incoming order from where it has been accepted on; `min_quantity` 0 is none.
static inline void reference_trade(struct reference *r, struct reference_order *order,
                                   uint32_t min_quantity)
{
    if (reference_hold(r, order))
        return;
    uint32_t midpoint = reference_midpoint(r, order->instrument);
    if (order->attributes.post_only && reference_maker(r, order, midpoint)) {
        reference_emit_canceled(r, order, order->quantity, 'G');
        return;
    }
    uint32_t price = order->price;
    bool beyond = reference_beyond_band(r, order);
    if (beyond)
        order->price = reference_band_edge(r, order->instrument, order->side);
    if (min_quantity != 0 && reference_available(r, order, midpoint) < min_quantity) {
        order->price = price;
        reference_emit_canceled(r, order, order->quantity, 'I');
        return;
    }
    reference_match(r, order, midpoint);
    order->price = price;
    if (!beyond || order->quantity == 0 || !reference_stopped(r, order, midpoint))
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
            reference_rank(order) == REFERENCE_HIDDEN && !order->attributes.auction &&
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
    if (r->instruments[instrument].phase != 'T')
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

#endif
