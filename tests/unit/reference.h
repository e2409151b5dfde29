// SPDX-License-Identifier: MIT
//
// The matching core a second time, for comparison: the same commands, the same events, written for
// clarity alone. Resting orders stand in one flat array in the order in which they came to rest
// (or displayed their last slice) and are scanned for everything; there is no tree, no level, no
// table, no timer, no free list. It shares the language of book.h with the book and nothing else.
#ifndef SLUICE_TESTS_UNIT_REFERENCE_H
#define SLUICE_TESTS_UNIT_REFERENCE_H

#include "tests/unit/reference_risk.h"
#include "tests/unit/reference_trade.h"

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
    bool later = reference_second(r) > r->second;
    if (later)
        r->second = reference_second(r);
    bool any = false;
    for (struct reference_order *order; (order = reference_first_expired(r)); any = true)
        reference_cancel_all(r, order, 'T');
    if (any)
        reference_trade_all_resting(r);
    if (later)
        reference_tell_imbalances(r);
}

#include "tests/unit/reference_cross.h"

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
    r->instruments[r->instrument_count].phase = 'T';
    r->instruments[r->instrument_count].short_sale = '0';
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

// In which order they are closed: midpoint orders and what waits for a cross come last.
static inline uint32_t reference_kind(const struct reference_order *order)
{
    if (order->attributes.auction)
        return order->cross == CROSS_CLOSING ? 3 : 2;
    return reference_at_midpoint(order);
}

// The order that is closed first on one side of one instrument: by kind, then the best price, there
// displayed before hidden, there the first in time.
static inline struct reference_order *reference_first_to_close(const struct reference *r,
                                                               uint16_t instrument,
                                                               uint8_t feed_side)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument != instrument || reference_feed_side(order->side) != feed_side)
            continue;
        uint32_t kind = reference_kind(order), best = first ? reference_kind(first) : 0;
        if (!first || (kind != best ? kind < best : !reference_ahead(first, order, 0)))
            first = order;
    }
    return first;
}

static inline void reference_cancel_instrument(struct reference *r, uint16_t instrument)
{
    for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
        struct reference_order *order;
        while ((order = reference_first_to_close(r, instrument, side)))
            reference_cancel_all(r, order, order->pending ? 'U' : 'E');
    }
}

static inline void reference_apply_close(struct reference *r)
{
    if (r->state == BOOK_CLOSED)
        return;
    r->state = BOOK_CLOSED;
    for (uint16_t instrument = 0; instrument < r->instrument_count; instrument++)
        reference_cancel_instrument(r, instrument);
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
static inline uint8_t reference_restriction(struct reference *r, const struct command *c,
                                            const struct reference_order *old, const char firm[4])
{
    uint16_t instrument = old ? old->instrument : c->instrument;
    static const char any[4];
    bool barred = false;
    for (uint32_t i = 0; i < REFERENCE_MEMBERS_MAX && r->members[i]; i++)
        barred |= memcmp(r->members[i]->firm, firm, 4) == 0 && r->members[i]->barred[instrument];
    for (uint32_t i = 0; i < REFERENCE_BARS_MAX; i++) {
        const struct reference_bar *bar = &r->bars[i];
        bool session_fits = bar->session == ANY_SESSION || bar->session == c->session;
        bool firm_fits = memcmp(bar->firm, any, 4) == 0 || memcmp(bar->firm, firm, 4) == 0;
        if (!bar->in_force || !session_fits || !firm_fits)
            continue;
        barred = true;
        if (bar->by_limit)
            r->broken = LIMIT_EXECUTIONS;
    }
    if (barred)
        return REJECT_FIRM_NOT_AUTHORIZED;
    char phase = r->instruments[instrument].phase;
    if (phase == 'H' || phase == 'C')
        return phase == 'H' ? REJECT_HALTED : REJECT_DESTINATION_CLOSED;
    if (reference_short_sale_refused(r, c->order.attributes, c->order.price, instrument, c->side))
        return REJECT_SHORT_SELL_RESTRICTED;
    return reference_risk_verdict(r, c, old);
}

static inline uint8_t reference_enter_verdict(struct reference *r, const struct command *c)
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
        r, c, NULL, names_firm ? c->order.firm : r->sessions[c->session].firm);
    if (restriction != REJECT_NONE)
        return restriction;
    if (r->order_count == r->limits.orders_max)
        return REJECT_PROCESSING_ERROR;
    if (reference_cross_refused(r, c))
        return REJECT_INVALID_CROSS;
    return reference_late_verdict(r, c);
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
    order->attributes.auction = 0;
    order->pending = order->refused = false;
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
        .cross = c->order.cross,
    };
    memcpy(order.firm, c->order.firm, 4);
    order.price = reference_entry_price(r, c, c->instrument, c->side);
    reference_take_terms(r, &order, c);

    reference_emit_options(r, c);
    struct event *event = reference_emit_owner(r, EVENT_ACCEPTED, &order, order.quantity);
    event->price = c->order.price;
    event->code = order.cross;
    memcpy(event->firm, order.firm, 4);
    memcpy(event->order.client_order_id, c->order.client_order_id, 14);
    event->order.attributes = order.attributes;

    reference_trade(r, &order, c->order.min_quantity);
}

static inline bool reference_side_may_become(uint8_t from, uint8_t to)
{
    return from == to || (from == SIDE_SELL && to == SIDE_SELL_SHORT_EXEMPT) ||
           (from == SIDE_SELL && to == SIDE_SELL_SHORT) ||
           (from == SIDE_SELL_SHORT_EXEMPT && to == SIDE_SELL_SHORT);
}

static inline bool reference_replacement_valid(const struct command *c,
                                               const struct reference_order *old)
{
    bool of_risk = c->verdict >= 0x20 && c->verdict <= 0x31; // the old order stays
    of_risk |= c->verdict == REJECT_PROCESSING_ERROR;
    return reference_valid_peg_offset(c) && (c->verdict == REJECT_NONE || of_risk) &&
           reference_valid_quantity(c->order.quantity) && reference_valid_price(c) &&
           reference_valid_display(c->order.attributes) && reference_valid_time_in_force(c) &&
           c->order.attributes.self_match <= SELF_MATCH_DECREMENT && reference_valid_max_floor(c) &&
           reference_valid_random_reserve(c) && reference_valid_post_only(c) &&
           reference_replacement_of_cross_valid(c, old) && c->order.quantity > old->executed &&
           reference_side_may_become(old->side, c->side);
}

// The replacement with everything that it keeps of the old order.
static inline struct command reference_whole(const struct command *c,
                                             const struct reference_order *old)
{
    struct command whole = *c;
    const uint32_t kept = c->order.kept;
    whole.order.kept = 0;
    if (!(kept & SAID_SIDE))
        whole.side = old->side;
    if (kept & KEPT_PEG)
        whole.order.attributes.peg = old->attributes.peg;
    if (kept & KEPT_POST_ONLY)
        whole.order.attributes.post_only = old->attributes.post_only;
    if (kept & KEPT_SELF_MATCH)
        whole.order.attributes.self_match = old->attributes.self_match;
    if (kept & KEPT_TRADE_NOW)
        whole.order.attributes.trade_now = old->attributes.trade_now;
    if (kept & KEPT_MAX_FLOOR)
        whole.order.max_floor = old->max_floor;
    if (kept & KEPT_RANDOM_RESERVE)
        whole.order.random_reserve = whole.order.max_floor ? old->random_reserve : 0;
    if (kept & KEPT_EXPIRE_SECONDS) {
        bool timed = whole.order.attributes.time_in_force == TIF_GTT;
        whole.order.expire_seconds = timed ? old->expire_seconds : 0;
    }
    if (kept & KEPT_PEG_OFFSET)
        whole.order.peg_offset = reference_follows(whole.order.attributes) ? old->peg_offset : 0;
    return whole;
}

static inline void reference_apply_replace(struct reference *r, const struct command *said)
{
    struct command whole = *said;
    const struct command *c = &whole;
    uint32_t *last = &r->sessions[c->session].last[c->user_ref_index];
    struct reference_order *found =
        reference_find(r, c->session, c->user_ref_index, c->order.orig_user_ref_num);
    if (!found || c->order.user_ref_num <= *last)
        return;
    if (reference_late(r, found->instrument, found->cross)) {
        *last = c->order.user_ref_num;
        reference_emit_rejected(r, c, c->order.user_ref_num,
                                found->pending ? REJECT_CANCEL_PENDING
                                               : REJECT_REPLACE_NOT_ALLOWED);
        return;
    }
    whole = reference_whole(said, found);
    if (!reference_replacement_valid(c, found)) {
        reference_cancel_all(r, found, 'U');
        return;
    }
    *last = c->order.user_ref_num;
    uint8_t restriction = c->verdict;
    if (restriction == REJECT_NONE)
        restriction = reference_short_verdict(r, c);
    if (restriction == REJECT_NONE)
        restriction = reference_restriction(r, c, found, reference_firm(r, found));
    bool another_peg =
        reference_follows(c->order.attributes) && !reference_follows(found->attributes);
    if (restriction == REJECT_NONE && another_peg &&
        reference_peg_count(r, found->instrument) == BOOK_PEGS_MAX)
        restriction = REJECT_PROCESSING_ERROR;
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
    order.side = c->side;
    reference_take_terms(r, &order, c);
    order.attributes.capacity = old.attributes.capacity;

    reference_emit_options(r, c);
    struct event *event = reference_emit_owner(r, EVENT_REPLACED, &order, order.quantity);
    event->price = c->order.price;
    event->code = order.cross;
    event->orig_user_ref_num = old.user_ref_num;
    memcpy(event->order.client_order_id, c->order.client_order_id, 14);
    event->order.attributes = order.attributes;

    bool stays_in_place =
        reference_displayed(&old) && order.attributes.display == old.attributes.display &&
        order.attributes.time_in_force != TIF_IOC && order.price != PRICE_MARKET &&
        !reference_collects(r, order.instrument) && r->instruments[order.instrument].band == 0 &&
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
        c->order.quantity >= order->executed + order->quantity ||
        reference_kept(r, order, c->order.quantity <= order->executed) ||
        reference_cancel_refused(r, c))
        return;
    uint32_t removed = order->quantity - reference_open_of(order, c->order.quantity);
    reference_emit_canceled(r, order, removed, 'U');
    reference_reduce(r, order, removed);
}

static inline void reference_apply_modify(struct reference *r, const struct command *c)
{
    struct reference_order *order =
        reference_find(r, c->session, c->user_ref_index, c->order.user_ref_num);
    if (!order || c->verdict != REJECT_NONE || !reference_side_may_become(order->side, c->side))
        return;
    uint32_t price = reference_follows(order->attributes) ? order->limit : order->price;
    if (c->side != order->side &&
        (reference_short_verdict(r, c) != REJECT_NONE ||
         reference_short_sale_refused(r, order->attributes, price, order->instrument, c->side)))
        return;
    uint32_t total = order->executed + order->quantity;
    if (c->order.quantity > total || (c->order.quantity == total && c->side == order->side))
        return;
    uint32_t open = reference_open_of(order, c->order.quantity);
    if ((c->order.quantity < total && reference_kept(r, order, open == 0)) ||
        reference_cancel_refused(r, c))
        return;
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
    for (uint64_t done = 0;;) {
        struct reference_order *lowest = NULL;
        for (uint32_t i = 0; i < r->order_count; i++) {
            struct reference_order *order = &r->orders[i];
            if (order->order_ref > done && reference_fits(r, c, order) &&
                (!lowest || order->order_ref < lowest->order_ref))
                lowest = order;
        }
        if (!lowest)
            return;
        done = lowest->order_ref;
        if (c->session == ANY_SESSION || !reference_kept(r, lowest, true))
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
    if (verdict == REJECT_NONE &&
        !reference_take_token(&r->sessions[c->session].passes, r->last_time_ns, BOOK_PASS_RATE))
        verdict = REJECT_RISK_RATE;
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

// What a command says of the phase that has an effect: the phase, 'L', or 0 for nothing.
static inline char reference_begun(struct reference_instrument *at, const struct command *c)
{
    bool scheduled = c->trading.source == TRADING_CALENDAR;
    char state = (char)c->trading.state, day = at->day;
    if (c->trading.from != 0 && c->trading.from != at->phase)
        return 0;
    if (state == 'R')
        state = day ? day : 'T';
    if (state == 0 || !strchr("THOQPCL", state))
        return 0;
    if (scheduled && state != 'L')
        at->day = state;
    if (scheduled && state != 'C' && !at->is_days && (at->phase == 'H' || at->phase == 'Q'))
        return 0; // an operator's
    bool by_risk = c->trading.source == TRADING_RISK, lifts = by_risk && c->trading.state == 'R';
    if (state != 'C' && (at->killed ? !by_risk : lifts))
        return 0;
    if (scheduled && state == day)
        return 0;
    if (state != 'L')
        at->killed = c->trading.state == 'H' && by_risk;
    if (state != 'L')
        at->is_days = scheduled || (c->trading.state == 'R' && day);
    return state;
}

static inline void reference_apply_trading(struct reference *r, const struct command *c)
{
    if (r->state == BOOK_CLOSED)
        return;
    for (uint16_t i = 0; i < r->instrument_count; i++) {
        if (c->instrument != i && c->instrument != NO_INSTRUMENT)
            continue;
        if (c->trading.reference > 0 && c->trading.reference <= PRICE_MAX)
            r->instruments[i].reference = c->trading.reference;
        if (c->trading.band != 0)
            r->instruments[i].band = c->trading.band <= BAND_MAX ? c->trading.band : 0;
        if (c->trading.short_sale >= '0' && c->trading.short_sale <= '2')
            reference_restrict_short_sales(r, i, (char)c->trading.short_sale);
        char state = reference_begun(&r->instruments[i], c);
        if (state == 'L')
            reference_begin_late(r, i);
        else if (state != 0)
            reference_set_phase(r, i, state);
        reference_settle_instrument(r, i);
    }
}

static inline void reference_bar(struct reference *r, const struct command *c, bool by_operator)
{
    struct reference_bar *unused = NULL;
    bool there = false;
    for (uint32_t i = 0; i < REFERENCE_BARS_MAX; i++) {
        struct reference_bar *bar = &r->bars[i];
        bool fits = bar->session == c->entry.session && memcmp(bar->firm, c->entry.firm, 4) == 0;
        if (!bar->in_force) {
            unused = bar;
        } else if (fits && bar->by_limit) {
            bar->in_force = !(c->entry.allowed && by_operator);
        } else if (fits && bar->by_operator == by_operator) {
            bar->in_force = !c->entry.allowed;
            there = true;
        }
    }
    if (c->entry.allowed || there)
        return;
    if (!unused)
        abort(); // more than any test has
    *unused = (struct reference_bar){
        .session = c->entry.session, .by_operator = by_operator, .in_force = true};
    memcpy(unused->firm, c->entry.firm, 4);
}

static inline void reference_bar_in_symbol(struct reference *r, const struct command *c)
{
    for (uint16_t i = 0; i < r->session_count && c->instrument < r->instrument_count; i++)
        if (memcmp(r->sessions[i].firm, c->entry.firm, 4) == 0)
            reference_member(r, c->entry.firm)->barred[c->instrument] = !c->entry.allowed;
}

static inline void reference_apply_entry(struct reference *r, const struct command *c)
{
    if (c->session == ANY_SESSION) {
        if (c->verdict == REJECT_NONE && c->entry.in_symbol == 1)
            reference_bar_in_symbol(r, c);
        else if (c->verdict == REJECT_NONE)
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
    if (verdict == REJECT_NONE &&
        !reference_take_token(&r->sessions[c->session].passes, r->last_time_ns, BOOK_PASS_RATE))
        verdict = REJECT_RISK_RATE;
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
    r->broken = 0;
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
    case COMMAND_LIMIT:
        reference_apply_limit(r, c);
        break;
    case COMMAND_YIELD:
    case COMMAND_RAISE:
        reference_apply_share(r, c);
        break;
    default:
        reference_apply_client(r, c);
    }
    reference_trade_all_resting(r);
}

#endif
