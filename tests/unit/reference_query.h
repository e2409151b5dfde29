// SPDX-License-Identifier: MIT
//
// What the reference is asked: its levels, whether it is sound, whether two of them are alike.
#ifndef SLUICE_TESTS_UNIT_REFERENCE_QUERY_H
#define SLUICE_TESTS_UNIT_REFERENCE_QUERY_H

#include "tests/unit/reference.h"

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
        if (order->instrument != instrument || reference_at_midpoint(order) ||
            order->attributes.auction)
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
    if (r->instruments[instrument].phase != 'T')
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
           a->user_ref_index == b->user_ref_index && a->cross == b->cross &&
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
                    b->bars[j].by_limit == bar->by_limit &&
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
        if (a->instruments[i].phase != b->instruments[i].phase ||
            a->instruments[i].day != b->instruments[i].day ||
            a->instruments[i].is_days != b->instruments[i].is_days ||
            a->instruments[i].killed != b->instruments[i].killed ||
            a->instruments[i].short_sale != b->instruments[i].short_sale ||
            a->instruments[i].reference != b->instruments[i].reference ||
            a->instruments[i].band != b->instruments[i].band)
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
