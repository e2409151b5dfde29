// SPDX-License-Identifier: MIT
//
// The reference's crosses, included by reference.h: what a cross trades at a price is counted anew
// for each price at which it could change.
#ifndef SLUICE_TESTS_UNIT_REFERENCE_CROSS_H
#define SLUICE_TESTS_UNIT_REFERENCE_CROSS_H

#define REFERENCE_BELOW 0u // a market sale's limit
#define REFERENCE_ABOVE (PRICE_MAX + 1)

static inline bool reference_collects(const struct reference *r, uint16_t instrument)
{
    char phase = r->instruments[instrument].phase;
    return phase == 'O' || phase == 'Q' || phase == 'P';
}

// With a type of cross: of its orders only those that wait for it.
#define REFERENCE_WAITING 0x80

// Whether an order of the instrument takes part in a cross of that type.
static inline bool reference_in_cross(const struct reference_order *order, uint16_t instrument,
                                      uint8_t type)
{
    return order->instrument == instrument && !reference_at_midpoint(order) &&
           (order->cross != CROSS_CLOSING || (type & ~REFERENCE_WAITING) == CROSS_CLOSING) &&
           (order->attributes.auction || !(type & REFERENCE_WAITING));
}

static inline uint32_t reference_limit(const struct reference_order *order)
{
    if (order->price != PRICE_MARKET)
        return order->price;
    return order->side == SIDE_BUY ? REFERENCE_ABOVE : REFERENCE_BELOW;
}

// Shares of one side that would trade at a price.
static inline uint64_t reference_wanting(const struct reference *r, uint16_t instrument,
                                         uint8_t type, uint8_t feed_side, uint32_t price)
{
    uint64_t shares = 0;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        uint32_t limit = reference_limit(order);
        if (reference_in_cross(order, instrument, type) &&
            reference_feed_side(order->side) == feed_side &&
            (feed_side == SIDE_BUY ? limit >= price : limit <= price))
            shares += order->quantity;
    }
    return shares;
}

struct reference_cross {
    uint64_t shares, imbalance;
    uint32_t low, high; // of the best prices
    bool found;
};

static inline void reference_try_price(const struct reference *r, uint16_t instrument, uint8_t type,
                                       uint32_t price, struct reference_cross *best)
{
    uint64_t bought = reference_wanting(r, instrument, type, SIDE_BUY, price);
    uint64_t sold = reference_wanting(r, instrument, type, SIDE_SELL, price);
    uint64_t shares = bought < sold ? bought : sold;
    uint64_t imbalance = bought < sold ? sold - bought : bought - sold;
    bool same = best->found && shares == best->shares && imbalance == best->imbalance;
    bool better = !best->found || shares > best->shares ||
                  (shares == best->shares && imbalance < best->imbalance);
    if (better)
        *best = (struct reference_cross){shares, imbalance, price, price, true};
    else if (same && price < best->low)
        best->low = price;
    else if (same && price > best->high)
        best->high = price;
}

// The highest and lowest limit; false when there is none.
static inline bool reference_limits(const struct reference *r, uint16_t instrument, uint8_t type,
                                    uint32_t *low, uint32_t *high)
{
    *low = UINT32_MAX;
    *high = 0;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (!reference_in_cross(order, instrument, type) || order->price == PRICE_MARKET)
            continue;
        *low = order->price < *low ? order->price : *low;
        *high = order->price > *high ? order->price : *high;
    }
    return *high != 0;
}

static inline uint32_t reference_nearest_to(const struct reference *r, uint16_t instrument)
{
    uint32_t bid = 0, offer = 0;
    if (reference_next_price(r, instrument, SIDE_BUY, NULL, &bid) &&
        reference_next_price(r, instrument, SIDE_SELL, NULL, &offer))
        return bid + (offer - bid) / 2;
    return r->instruments[instrument].reference;
}

// The price of a cross that trades `best.shares` shares from `low` to `high`; 0: there is none.
static inline uint32_t reference_choose(const struct reference_cross *best, uint32_t nearest_to)
{
    uint32_t price = nearest_to;
    if (price == 0 && best->low != REFERENCE_BELOW)
        price = best->low;
    else if (price == 0 && best->high != REFERENCE_ABOVE)
        price = best->high;
    else if (price == 0)
        return 0;
    price = price < best->low ? best->low : price;
    price = price > best->high ? best->high : price;
    return price == REFERENCE_BELOW ? 1 : price == REFERENCE_ABOVE ? PRICE_MAX : price;
}

// A cross from low to high trades the same; beyond all limits nothing changes any more.
static inline uint32_t reference_cross_price(const struct reference *r, uint16_t instrument,
                                             uint8_t type, struct reference_cross *best)
{
    uint32_t low, high;
    *best = (struct reference_cross){0};
    if (reference_limits(r, instrument, type, &low, &high)) {
        for (uint32_t i = 0; i < r->order_count; i++) {
            const struct reference_order *order = &r->orders[i];
            if (!reference_in_cross(order, instrument, type) || order->price == PRICE_MARKET)
                continue;
            reference_try_price(r, instrument, type, order->price - 1, best);
            reference_try_price(r, instrument, type, order->price, best);
            reference_try_price(r, instrument, type, order->price + 1, best);
        }
        best->low = best->low < low ? REFERENCE_BELOW : best->low;
        best->high = best->high > high ? REFERENCE_ABOVE : best->high;
    } else {
        reference_try_price(r, instrument, type, 1, best);
        best->low = REFERENCE_BELOW;
        best->high = REFERENCE_ABOVE;
    }
    uint32_t price = reference_choose(best, reference_nearest_to(r, instrument));
    if (price == 0 || best->shares == 0)
        best->shares = best->imbalance = 0;
    return best->shares == 0 ? 0 : price;
}

// At one price: displayed, waiting for the next cross, for the closing one only, hidden.
static inline uint32_t reference_cross_rank(const struct reference_order *order)
{
    if (order->attributes.auction)
        return order->cross == CROSS_CLOSING ? 2 : 1;
    return reference_displayed(order) ? 0 : 3;
}

static inline struct reference_order *reference_first_in_cross(const struct reference *r,
                                                               uint16_t instrument, uint8_t type,
                                                               uint8_t feed_side)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (!reference_in_cross(order, instrument, type) ||
            reference_feed_side(order->side) != feed_side)
            continue;
        uint32_t limit = reference_limit(order);
        if (!first || reference_better_price(feed_side, limit, reference_limit(first)) ||
            (limit == reference_limit(first) &&
             reference_cross_rank(order) < reference_cross_rank(first)))
            first = order;
    }
    return first;
}

static inline void reference_fill(struct reference *r, struct reference_order *order,
                                  uint32_t shares, uint32_t price, uint8_t type)
{
    struct event *event = reference_emit_owner(r, EVENT_EXECUTED, order, shares);
    event->price = price;
    event->code = type;
    event->trade.order_ref = order->order_ref;
    event->trade.match_number = r->match_count;
    reference_count_trade(r, order, shares, price);
    r->instruments[order->instrument].last_price = price;
    uint32_t shown = shares < order->slice ? shares : order->slice;
    if (shown > 0) {
        event = reference_emit_feed(r, EVENT_FEED_EXECUTED_PRICE, order, shown);
        event->price = price;
        event->code = 'N';
        event->trade.match_number = r->match_count;
    }
    order->slice -= shown;
    order->quantity -= shares;
    order->executed += shares;
    if (order->quantity == 0)
        reference_remove(r, order);
}

static inline void reference_cross(struct reference *r, uint16_t instrument, uint8_t type)
{
    struct reference_cross cross;
    uint32_t price = reference_cross_price(r, instrument, type, &cross);
    if (cross.shares > 0) {
        r->match_count++;
        r->instruments[instrument].reference = price;
    }
    for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
        for (uint64_t left = cross.shares; left > 0;) {
            struct reference_order *order = reference_first_in_cross(r, instrument, type, side);
            uint32_t shares = order->quantity < left ? order->quantity : (uint32_t)left;
            reference_fill(r, order, shares, price, type);
            left -= shares;
        }
    }
    struct event *event = reference_emit(r, FEED_SESSION, EVENT_FEED_CROSS);
    event->instrument = instrument;
    event->price = price;
    event->code = type;
    event->cross.shares = cross.shares;
    event->cross.match_number = cross.shares > 0 ? r->match_count : 0;
}

// The cross that there would be next, or CROSS_NONE where nothing waits for one.
static inline uint8_t reference_building(const struct reference *r, uint16_t instrument)
{
    char phase = r->instruments[instrument].phase;
    if (reference_collects(r, instrument))
        return phase == 'O' ? CROSS_OPENING : CROSS_HALT;
    for (uint32_t i = 0; i < r->order_count && phase == 'T'; i++)
        if (r->orders[i].instrument == instrument && r->orders[i].cross == CROSS_CLOSING)
            return CROSS_CLOSING;
    return CROSS_NONE;
}

static inline void reference_tell_imbalances(struct reference *r)
{
    for (uint16_t i = 0; i < r->instrument_count && r->state == BOOK_TRADING; i++) {
        uint8_t type = reference_building(r, i);
        if (type == CROSS_NONE)
            continue;
        struct reference_cross cross, far_cross;
        struct event *event = reference_emit(r, FEED_SESSION, EVENT_FEED_IMBALANCE);
        event->instrument = i;
        event->code = type;
        event->price = reference_cross_price(r, i, type, &cross);
        event->far_price = reference_cross_price(r, i, type | REFERENCE_WAITING, &far_cross);
        event->imbalance.paired = cross.shares;
        event->imbalance.left = cross.imbalance;
        event->quantity = reference_nearest_to(r, i);
        if (cross.imbalance > 0 &&
            reference_wanting(r, i, type, SIDE_BUY, event->price) == cross.shares)
            event->side = SIDE_SELL;
    }
}

static inline struct reference_order *reference_first_waiting(const struct reference *r,
                                                              uint16_t instrument,
                                                              uint8_t feed_side)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument == instrument && order->attributes.auction &&
            order->cross != CROSS_CLOSING && reference_feed_side(order->side) == feed_side &&
            (!first ||
             reference_better_price(feed_side, reference_limit(order), reference_limit(first))))
            first = order;
    }
    return first;
}

static inline void reference_release(struct reference *r, uint16_t instrument)
{
    for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
        struct reference_order *order;
        while ((order = reference_first_waiting(r, instrument, side))) {
            if (order->cross != CROSS_NONE || order->price == PRICE_MARKET) {
                reference_cancel_all(r, order, order->pending ? 'U' : 'I');
                continue;
            }
            order->attributes.auction = 0;
            reference_set_slice(r, order);
            if (reference_displayed(order))
                reference_emit_feed_add(r, order);
        }
    }
}

static inline uint8_t reference_cross_before(const struct reference *r, uint16_t instrument,
                                             char phase)
{
    char now = r->instruments[instrument].phase;
    bool waiting = reference_first_waiting(r, instrument, SIDE_BUY) ||
                   reference_first_waiting(r, instrument, SIDE_SELL);
    if (phase == 'C')
        return now == 'H' ? CROSS_NONE : CROSS_CLOSING;
    if (phase != 'T' || !(waiting || reference_collects(r, instrument)))
        return CROSS_NONE;
    return now == 'O' ? CROSS_OPENING : CROSS_HALT;
}

static inline void reference_cancel_instrument(struct reference *r, uint16_t instrument);

static inline void reference_set_phase(struct reference *r, uint16_t i, char phase)
{
    struct reference_instrument *instrument = &r->instruments[i];
    if (instrument->phase == phase || instrument->phase == 'C')
        return;
    uint8_t cross = reference_cross_before(r, i, phase);
    if (cross != CROSS_NONE)
        reference_cross(r, i, cross);
    instrument->phase = phase;
    instrument->late = false;
    instrument->late_price = 0;
    struct event *event = reference_emit(r, FEED_SESSION, EVENT_FEED_ACTION);
    event->instrument = i;
    event->code = (uint8_t)(phase == 'O' ? 'Q' : phase == 'C' ? 'H' : phase);
    memcpy(event->listing.symbol, instrument->symbol, 8);
    if (cross != CROSS_NONE && phase == 'T')
        reference_release(r, i);
    reference_refresh(r);
    if (phase == 'C')
        reference_cancel_instrument(r, i);
}

// Whether an order for that cross only can no longer be canceled.
static inline bool reference_late(const struct reference *r, uint16_t instrument, uint8_t cross)
{
    const struct reference_instrument *at = &r->instruments[instrument];
    if (!at->late || cross == CROSS_NONE)
        return false;
    return at->phase == 'T' ? cross == CROSS_CLOSING : cross != CROSS_CLOSING;
}

static inline bool reference_kept(struct reference *r, struct reference_order *order, bool all)
{
    if (!reference_late(r, order->instrument, order->cross))
        return false;
    bool *told = all ? &order->pending : &order->refused;
    if (*told)
        return true;
    *told = true;
    struct event *event =
        reference_emit(r, order->session, all ? EVENT_CANCEL_PENDING : EVENT_CANCEL_REJECTED);
    event->user_ref_num = order->user_ref_num;
    event->user_ref_index = order->user_ref_index;
    return true;
}

static inline uint8_t reference_late_verdict(const struct reference *r, const struct command *c)
{
    uint32_t known = r->instruments[c->instrument].late_price;
    if (!reference_late(r, c->instrument, c->order.cross))
        return REJECT_NONE;
    if (c->order.price == PRICE_MARKET)
        return REJECT_INVALID_CROSS;
    if (known == 0)
        return REJECT_NO_REFERENCE;
    bool aggressive = c->side == SIDE_BUY ? c->order.price > known : c->order.price < known;
    return aggressive ? REJECT_LATE_TOO_AGGRESSIVE : REJECT_NONE;
}

static inline void reference_begin_late(struct reference *r, uint16_t i)
{
    struct reference_instrument *instrument = &r->instruments[i];
    if (instrument->late || instrument->phase == 'H' || instrument->phase == 'C')
        return;
    instrument->late = true;
    instrument->late_price = reference_nearest_to(r, i);
}

// The worst price at which an order of that side may trade; 0: any.
static inline uint32_t reference_band_edge(const struct reference *r, uint16_t instrument,
                                           uint8_t side)
{
    const struct reference_instrument *at = &r->instruments[instrument];
    int64_t width = (int64_t)((uint64_t)at->reference * at->band / BAND_MAX);
    int64_t edge = (int64_t)at->reference + (side == SIDE_BUY ? width : -width);
    if (at->reference == 0 || at->band == 0)
        return 0;
    return edge < 1 ? 1 : edge > (int64_t)PRICE_MAX ? PRICE_MAX : (uint32_t)edge;
}

static inline bool reference_beyond_band(const struct reference *r,
                                         const struct reference_order *order)
{
    uint32_t edge = reference_band_edge(r, order->instrument, order->side);
    return edge != 0 && !reference_at_midpoint(order) &&
           (order->price == PRICE_MARKET ||
            reference_better_price(reference_feed_side(order->side), order->price, edge));
}

// What is left of an order whose limit is beyond the band: false when it is as any other order.
static inline bool reference_stopped(struct reference *r, const struct reference_order *order,
                                     uint32_t midpoint)
{
    struct reference_instrument *at = &r->instruments[order->instrument];
    bool more = reference_maker(r, order, midpoint) != NULL;
    bool rests = order->attributes.time_in_force != TIF_IOC && order->price != PRICE_MARKET;
    if (!more && !rests)
        return false;
    reference_emit_canceled(r, order, order->quantity, 'K');
    if (!more)
        return true;
    struct event *event = reference_emit(r, FEED_SESSION, EVENT_FEED_COLLAR);
    event->instrument = order->instrument;
    event->price = at->reference;
    event->quantity = reference_band_edge(r, order->instrument, SIDE_BUY);
    event->low_price = reference_band_edge(r, order->instrument, SIDE_SELL);
    memcpy(event->listing.symbol, at->symbol, 8);
    reference_set_phase(r, order->instrument, 'P');
    return true;
}

static inline void reference_restrict_short_sales(struct reference *r, uint16_t i, char code)
{
    if (r->instruments[i].short_sale == code)
        return;
    r->instruments[i].short_sale = code;
    struct event *event = reference_emit(r, FEED_SESSION, EVENT_FEED_SHORT_SALE);
    event->instrument = i;
    event->code = (uint8_t)code;
    memcpy(event->listing.symbol, r->instruments[i].symbol, 8);
}

static inline bool reference_short_sale_refused(const struct reference *r,
                                                struct order_attributes attributes, uint32_t price,
                                                uint16_t instrument, uint8_t side)
{
    uint32_t bid = 0;
    if (r->instruments[instrument].short_sale == '0' || side != SIDE_SELL_SHORT ||
        attributes.peg == PEG_MIDPOINT ||
        !reference_next_price(r, instrument, SIDE_BUY, NULL, &bid))
        return false;
    return price == PRICE_MARKET || price <= bid;
}

// What stands against a new order that is for one cross only.
static inline bool reference_cross_refused(const struct reference *r, const struct command *c)
{
    struct order_attributes attributes = c->order.attributes;
    bool plain = c->order.min_quantity == 0 && c->order.max_floor == 0 &&
                 attributes.peg == PEG_NONE && !attributes.post_only &&
                 attributes.time_in_force != TIF_GTT;
    char phase = r->instruments[c->instrument].phase;
    switch (c->order.cross) {
    case CROSS_NONE:
        return false;
    case CROSS_OPENING:
        return !plain || phase != 'O';
    case CROSS_CLOSING:
        return !plain;
    case CROSS_HALT:
        return !plain || (phase != 'Q' && phase != 'P');
    default:
        return true;
    }
}

static inline bool reference_replacement_of_cross_valid(const struct command *c,
                                                        const struct reference_order *old)
{
    struct order_attributes attributes = c->order.attributes;
    return old->cross == CROSS_NONE ||
           (c->order.min_quantity == 0 && c->order.max_floor == 0 && attributes.peg == PEG_NONE &&
            !attributes.post_only && attributes.time_in_force != TIF_GTT);
}

// An order that waits for a cross, or for trading to begin: false when it is none.
static inline bool reference_hold(struct reference *r, struct reference_order *order)
{
    if (order->cross == CROSS_NONE && !reference_collects(r, order->instrument))
        return false;
    order->attributes.auction = order->attributes.peg == PEG_NONE;
    if (order->cross == CROSS_NONE && order->attributes.time_in_force == TIF_IOC)
        reference_emit_canceled(r, order, order->quantity, 'I');
    else
        reference_rest(r, order);
    return true;
}

#endif
