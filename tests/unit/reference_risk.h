// SPDX-License-Identifier: MIT
//
// The limits a second time: what is open is added up from the resting orders whenever it is asked
// for.
#ifndef SLUICE_TESTS_UNIT_REFERENCE_RISK_H
#define SLUICE_TESTS_UNIT_REFERENCE_RISK_H

#include "tests/unit/reference_trade.h"

typedef unsigned __int128 reference_value;

static inline bool reference_of_instrument(uint8_t kind)
{
    return kind >= LIMIT_TICK && kind < LIMIT_INSTRUMENT_END;
}

static inline bool reference_has_limit(const struct reference_instrument *instrument)
{
    for (uint32_t kind = LIMIT_TICK; kind < LIMIT_INSTRUMENT_END; kind++)
        if (instrument->limits[kind] != 0)
            return true;
    return false;
}

static inline bool reference_held(uint8_t kind)
{
    return kind == LIMIT_OPEN_ORDERS || kind == LIMIT_GROSS || kind == LIMIT_NET ||
           kind == LIMIT_CREDIT;
}

static inline void reference_apply_limit(struct reference *r, const struct command *c)
{
    uint8_t kind = c->side;
    if (c->verdict != REJECT_NONE)
        return;
    if (reference_of_instrument(kind)) {
        if (c->instrument >= r->instrument_count)
            return;
        struct reference_instrument *instrument = &r->instruments[c->instrument];
        if (kind == LIMIT_FAT_FINGER || !reference_has_limit(instrument))
            instrument->last_price = 0;
        instrument->limits[kind] = c->limit.value;
        return;
    }
    if (kind < LIMIT_QUANTITY || kind >= LIMIT_MEMBER_END)
        return;
    for (uint16_t i = 0; i < r->session_count; i++) {
        if (memcmp(r->sessions[i].firm, c->limit.firm, 4) != 0)
            continue;
        struct reference_member *member = reference_member(r, c->limit.firm);
        member->limits[kind] = c->limit.value;
        member->totals[kind] = c->limit.value == 0 || !reference_held(kind) ? 0 : c->limit.total;
        member->kept |=
            c->limit.value != 0 && (kind >= LIMIT_OPEN_ORDERS || kind == LIMIT_NOTIONAL);
    }
}

static inline bool reference_same_member(const struct reference *r,
                                         const struct reference_order *order,
                                         const struct reference_member *member)
{
    return memcmp(r->sessions[order->session].firm, member->firm, 4) == 0;
}

// A market order has none; what follows another price counts at its limit.
static inline reference_value reference_value_of(const struct reference_order *order)
{
    uint32_t price = reference_follows(order->attributes) ? order->limit : order->price;
    return price == PRICE_MARKET ? 0 : (reference_value)price * order->quantity;
}

// Value, or with an instrument shares, that the member has open on a side, `without` one order.
static inline reference_value reference_open_value(const struct reference *r,
                                                   const struct reference_member *member,
                                                   uint8_t side,
                                                   const struct reference_order *without)
{
    reference_value sum = 0;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order != without && reference_same_member(r, order, member) &&
            reference_feed_side(order->side) == side)
            sum += reference_value_of(order);
    }
    return sum;
}

static inline int64_t reference_open_shares(const struct reference *r,
                                            const struct reference_member *member, uint8_t side,
                                            uint16_t instrument,
                                            const struct reference_order *without)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order != without && reference_same_member(r, order, member) &&
            order->instrument == instrument && reference_feed_side(order->side) == side)
            sum += order->quantity;
    }
    return sum;
}

static inline uint32_t reference_open_orders(const struct reference *r,
                                             const struct reference_member *member)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->order_count; i++)
        count += reference_same_member(r, &r->orders[i], member);
    return count;
}

static inline uint32_t reference_open_in(const struct reference *r,
                                         const struct reference_member *member, uint16_t instrument)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->order_count; i++)
        count += r->orders[i].instrument == instrument &&
                 reference_same_member(r, &r->orders[i], member);
    return count;
}

static inline bool reference_over(reference_value value, uint64_t limit)
{
    return limit == LIMIT_NOTHING ? value > 0 : limit != 0 && value > limit;
}

// What the member holds of what such a limit is of.
static inline reference_value reference_used(const struct reference *r,
                                             const struct reference_member *member, uint8_t kind)
{
    reference_value buys =
        member->traded[SIDE_BUY] + reference_open_value(r, member, SIDE_BUY, NULL);
    reference_value sells =
        member->traded[SIDE_SELL] + reference_open_value(r, member, SIDE_SELL, NULL);
    reference_value ahead = buys > member->traded[SIDE_SELL] ? buys - member->traded[SIDE_SELL] : 0;
    reference_value behind =
        sells > member->traded[SIDE_BUY] ? sells - member->traded[SIDE_BUY] : 0;
    if (kind == LIMIT_OPEN_ORDERS)
        return reference_open_orders(r, member);
    if (kind == LIMIT_GROSS)
        return buys + sells;
    return kind == LIMIT_NET && behind > ahead ? behind : ahead;
}

static inline void reference_apply_share(struct reference *r, const struct command *c)
{
    uint8_t kind = c->side;
    struct reference_member *member = NULL;
    for (uint16_t i = 0; i < r->session_count; i++)
        if (memcmp(r->sessions[i].firm, c->limit.firm, 4) == 0)
            member = reference_member(r, c->limit.firm);
    if (c->verdict != REJECT_NONE || !member || !reference_held(kind))
        return;
    if (c->type == COMMAND_YIELD)
        member->kept = true;
    if (member->limits[kind] == 0)
        return;
    reference_value share = member->limits[kind] == LIMIT_NOTHING ? 0 : member->limits[kind];
    reference_value used = reference_used(r, member, kind), most = LIMIT_NOTHING - 1;
    if (c->type == COMMAND_RAISE) {
        share = share + c->limit.value < most ? share + c->limit.value : most;
    } else if (used < share) {
        reference_value kept_half = share - (share - used) / 2;
        reference_value kept = c->limit.value < share - used ? share - c->limit.value : used;
        share = kept < kept_half ? kept : kept_half;
    }
    member->limits[kind] = share == 0 ? LIMIT_NOTHING : (uint64_t)share;
}

// More than so many hundredths of a percent away.
static inline bool reference_far(uint32_t price, uint64_t from, uint64_t hundredths)
{
    reference_value distance = price > from ? price - from : from - price;
    return from != 0 && hundredths != 0 && distance * 10000 > (reference_value)from * hundredths;
}

// Refused for a limit that is broken.
static inline uint8_t reference_broken(struct reference *r, enum limit_kind kind, uint8_t reason)
{
    r->broken = (uint8_t)kind;
    return reason;
}

static inline uint8_t reference_instrument_verdict(struct reference *r,
                                                   const struct reference_instrument *instrument,
                                                   const struct command *c)
{
    const uint64_t *limits = instrument->limits;
    bool market = c->order.price == PRICE_MARKET;
    if (limits[LIMIT_LOT] != 0 && c->order.quantity % limits[LIMIT_LOT] != 0)
        return reference_broken(r, LIMIT_LOT, REJECT_INVALID_QUANTITY);
    if (!market && limits[LIMIT_TICK] != 0 && c->order.price % limits[LIMIT_TICK] != 0)
        return reference_broken(r, LIMIT_TICK, REJECT_INVALID_PRICE);
    if (!market && reference_far(c->order.price, instrument->reference, limits[LIMIT_COLLAR]))
        return reference_broken(r, LIMIT_COLLAR, REJECT_RISK_FAT_FINGER);
    if (!market && reference_far(c->order.price, instrument->last_price, limits[LIMIT_FAT_FINGER]))
        return reference_broken(r, LIMIT_FAT_FINGER, REJECT_FAT_FINGER);
    return REJECT_NONE;
}

static inline bool reference_seen(struct reference *r, struct reference_member *member,
                                  const struct command *c)
{
    uint64_t most = member->limits[LIMIT_DUPLICATES];
    if (most == 0 || c->type == COMMAND_REPLACE)
        return false;
    uint64_t hash = (uint64_t)c->order.price << 32 | c->order.quantity;
    hash ^= (uint64_t)c->side << 60;
    hash ^= (uint64_t)c->instrument << 40;
    hash *= 0x9E3779B97F4A7C15u;
    uint32_t place = (uint32_t)(hash >> 58);
    struct reference_sight *seen = &member->seen[place];
    if (seen->price != c->order.price || seen->quantity != c->order.quantity ||
        seen->instrument != c->instrument || seen->side != c->side)
        member->seen_buckets[place] = (struct reference_bucket){0};
    seen->price = c->order.price;
    seen->quantity = c->order.quantity;
    seen->instrument = c->instrument;
    seen->side = c->side;
    return !reference_take_token(&member->seen_buckets[place], r->last_time_ns, most);
}

// What is bought first of sales that are displayed, or of hidden ones, as many as are there; those
// that would not trade with the firm are passed over.
static inline reference_value reference_cost(const struct reference *r,
                                             const struct reference_order *taker, bool displayed,
                                             uint32_t *left)
{
    reference_value cost = 0;
    for (uint32_t above = 0;;) {
        uint32_t price = UINT32_MAX;
        for (uint32_t pass = 0; pass < 2; pass++) {
            for (uint32_t i = 0; i < r->order_count; i++) {
                const struct reference_order *order = &r->orders[i];
                if (order->instrument != taker->instrument || order->side == SIDE_BUY ||
                    order->attributes.auction || reference_at_midpoint(order) ||
                    reference_displayed(order) != displayed || order->price <= above)
                    continue;
                if (pass == 0 && order->price < price)
                    price = order->price;
                if (pass == 0 || order->price != price || reference_prevents(r, taker, order))
                    continue;
                uint32_t bought = order->quantity < *left ? order->quantity : *left;
                cost += (reference_value)bought * price;
                *left -= bought;
            }
        }
        if (price == UINT32_MAX)
            return cost;
        above = price;
    }
}

// The best that a sale could have at once.
static inline uint32_t reference_bid(const struct reference *r, uint16_t instrument)
{
    uint32_t best = 0, midpoint = reference_midpoint(r, instrument);
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order->instrument != instrument || order->side != SIDE_BUY ||
            order->attributes.auction ||
            (reference_at_midpoint(order) && !reference_live(order, midpoint)))
            continue;
        uint32_t price = reference_price(order, midpoint);
        best = price > best ? price : best;
    }
    return best;
}

// What an order may be worth at most, as it comes in.
static inline reference_value reference_worth(const struct reference *r, const struct command *c,
                                              const struct reference_order *old, uint8_t side,
                                              uint16_t instrument)
{
    uint32_t shares = c->order.quantity - (old ? old->executed : 0), left = shares, best = 0;
    uint32_t price = c->order.price;
    struct reference_order taker = {
        .session = c->session, .instrument = instrument, .attributes = c->order.attributes};
    memcpy(taker.firm, old ? old->firm : c->order.firm, 4);
    if (side == SIDE_BUY && price != PRICE_MARKET)
        return (reference_value)price * shares;
    if (side == SIDE_BUY && !reference_next_price(r, instrument, SIDE_SELL, NULL, &best))
        return 0;
    if (side == SIDE_BUY) {
        reference_value cost = reference_cost(r, &taker, true, &left);
        cost += reference_cost(r, &taker, false, &left);
        return cost + (reference_value)left * best;
    }
    uint32_t bid = reference_bid(r, instrument);
    return (reference_value)(price == PRICE_MARKET || bid > price ? bid : price) * shares;
}

static inline uint8_t reference_exposure_verdict(struct reference *r,
                                                 const struct reference_member *member,
                                                 const struct command *c,
                                                 const struct reference_order *old, uint8_t side,
                                                 uint16_t instrument, reference_value value)
{
    const uint64_t *limits = member->limits;
    uint8_t other = reference_opposite(side);
    uint32_t shares = c->order.quantity - (old ? old->executed : 0);
    reference_value before = old ? reference_value_of(old) : 0;
    reference_value ours =
        member->traded[side] + reference_open_value(r, member, side, old) + value;
    reference_value ahead = ours > member->traded[other] ? ours - member->traded[other] : 0;
    reference_value all =
        ours + member->traded[other] + reference_open_value(r, member, other, NULL);
    if (value > before && reference_over(all, limits[LIMIT_GROSS]))
        return reference_broken(r, LIMIT_GROSS, REJECT_RISK_EXPOSURE);
    if (value > before && reference_over(ahead, limits[LIMIT_NET]))
        return reference_broken(r, LIMIT_NET, REJECT_RISK_EXPOSURE);
    if (value > before && side == SIDE_BUY && reference_over(ahead, limits[LIMIT_CREDIT]))
        return reference_broken(r, LIMIT_CREDIT, REJECT_MAX_NOTIONAL);
    if (limits[LIMIT_POSITION] == 0 || shares <= (old ? old->quantity : 0))
        return REJECT_NONE;
    int64_t position = side == SIDE_BUY ? member->shares[instrument] : -member->shares[instrument];
    position += reference_open_shares(r, member, side, instrument, old) + shares;
    return position > 0 && (uint64_t)position > limits[LIMIT_POSITION]
               ? reference_broken(r, LIMIT_POSITION, REJECT_SHARES_EXCEED)
               : REJECT_NONE;
}

// What stands against a resting order that is to be of a side.
static inline uint8_t reference_short_verdict(struct reference *r, const struct command *c)
{
    const uint64_t *limits = reference_member(r, r->sessions[c->session].firm)->limits;
    if (c->side == SIDE_SELL_SHORT && limits[LIMIT_NO_SHORT] != 0)
        return reference_broken(r, LIMIT_NO_SHORT, REJECT_RISK_SHORT);
    return c->side == SIDE_SELL_SHORT_EXEMPT && limits[LIMIT_NO_EXEMPT] != 0
               ? reference_broken(r, LIMIT_NO_EXEMPT, REJECT_RISK_SHORT_EXEMPT)
               : REJECT_NONE;
}

// What stands against an order, or a replacement of `old`.
static inline uint8_t reference_risk_verdict(struct reference *r, const struct command *c,
                                             const struct reference_order *old)
{
    struct reference_member *member = reference_member(r, r->sessions[c->session].firm);
    const uint64_t *limits = member->limits;
    uint16_t instrument = old ? old->instrument : c->instrument;
    uint8_t side = reference_feed_side(old ? old->side : c->side);
    uint8_t verdict = reference_instrument_verdict(r, &r->instruments[instrument], c);
    if (verdict != REJECT_NONE || !member->kept)
        return verdict;
    reference_value value = reference_worth(r, c, old, side, instrument);
    if (c->order.price == PRICE_MARKET) {
        uint32_t best = 0;
        bool waits =
            reference_collects(r, instrument) || (old ? old->cross : c->order.cross) != CROSS_NONE;
        bool seen = reference_next_price(r, instrument, reference_opposite(side), NULL, &best);
        if ((waits || !seen) && (limits[LIMIT_NOTIONAL] || limits[LIMIT_GROSS] ||
                                 limits[LIMIT_NET] || limits[LIMIT_CREDIT]))
            return REJECT_RISK_MARKET_IMPACT;
        if (reference_over(value, limits[LIMIT_NOTIONAL]))
            return reference_broken(r, LIMIT_NOTIONAL, REJECT_RISK_NOTIONAL);
    }
    if (limits[LIMIT_ORDER_RATE] != 0 &&
        !reference_take_token(&member->order_bucket, r->last_time_ns, limits[LIMIT_ORDER_RATE]))
        return reference_broken(r, LIMIT_ORDER_RATE, REJECT_RISK_RATE);
    member->orders++;
    if (limits[LIMIT_ORDERS_PER_TRADE] != 0 && member->orders > 1000 &&
        member->orders - 1000 >
            (reference_value)member->executions * limits[LIMIT_ORDERS_PER_TRADE])
        return reference_broken(r, LIMIT_ORDERS_PER_TRADE, REJECT_OTHER);
    if (reference_seen(r, member, c))
        return reference_broken(r, LIMIT_DUPLICATES, REJECT_RISK_DUPLICATE);
    if (!old && reference_over(reference_open_orders(r, member) + 1, limits[LIMIT_OPEN_ORDERS]))
        return reference_broken(r, LIMIT_OPEN_ORDERS, REJECT_OTHER);
    if (!old && limits[LIMIT_SYMBOL_ORDERS] != 0 &&
        reference_open_in(r, member, instrument) >= limits[LIMIT_SYMBOL_ORDERS])
        return reference_broken(r, LIMIT_SYMBOL_ORDERS, REJECT_OTHER);
    return reference_exposure_verdict(r, member, c, old, side, instrument, value);
}

// True when it is a cancel too many.
static inline bool reference_cancel_refused(struct reference *r, const struct command *c)
{
    struct reference_member *member = reference_member(r, r->sessions[c->session].firm);
    uint64_t most = member->limits[LIMIT_CANCEL_RATE];
    if (most == 0 || reference_take_token(&member->cancel_bucket, r->last_time_ns, most))
        return false;
    struct event *event = reference_emit(r, c->session, EVENT_CANCEL_REJECTED);
    event->user_ref_num = c->order.user_ref_num;
    event->user_ref_index = c->user_ref_index;
    event->limit = LIMIT_CANCEL_RATE;
    return true;
}

#endif
