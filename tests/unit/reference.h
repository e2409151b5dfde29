// SPDX-License-Identifier: MIT
//
// The matching core a second time, for comparison: the same commands, the same events, written for
// clarity alone. Resting orders stand in one flat array in the order of their arrival and are
// scanned for everything; there is no tree, no level, no table, no free list. It shares the
// language of book.h with the book and nothing else.
#ifndef SLUICE_TESTS_UNIT_REFERENCE_H
#define SLUICE_TESTS_UNIT_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"

struct reference_order {
    uint64_t order_ref; // the seq that created it, and so its time priority
    uint32_t user_ref_num;
    uint32_t quantity; // open
    uint32_t executed; // by the whole chain of replacements
    uint32_t price;
    uint16_t session;
    uint16_t instrument;
    uint8_t side;
    uint8_t user_ref_index;
    struct order_attributes attributes;
    char firm[4];
};

struct reference_instrument {
    char symbol[8];
};

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
    uint64_t feed_message_count;
    uint64_t match_count;
    char session_id[10];
    uint16_t shard;
    uint16_t instrument_count;
    uint16_t session_count;
    uint32_t order_count;
    struct reference_instrument *instruments;
    struct reference_session *sessions;
    struct reference_order *orders; // oldest first

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

static inline void reference_emit_feed_add(struct reference *r, const struct reference_order *order)
{
    struct event *event = reference_emit_feed(r, EVENT_FEED_ADD, order, order->quantity);
    if (order->attributes.display != DISPLAY_ATTRIBUTABLE)
        return;
    bool named = memcmp(order->firm, "\0\0\0\0", 4) != 0;
    memcpy(event->firm, named ? order->firm : r->sessions[order->session].firm, 4);
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

static inline bool reference_better_price(uint8_t feed_side, uint32_t price, uint32_t than)
{
    return feed_side == SIDE_BUY ? price > than : price < than;
}

// The order that executes first, or is closed first, on one side of one instrument: the best price,
// there the displayed before the hidden, there the oldest.
static inline struct reference_order *reference_first(const struct reference *r,
                                                      uint16_t instrument, uint8_t feed_side)
{
    struct reference_order *first = NULL;
    for (uint32_t i = 0; i < r->order_count; i++) {
        struct reference_order *order = &r->orders[i];
        if (order->instrument != instrument || reference_feed_side(order->side) != feed_side)
            continue;
        if (!first || reference_better_price(feed_side, order->price, first->price) ||
            (order->price == first->price && reference_displayed(order) &&
             !reference_displayed(first)))
            first = order;
    }
    return first;
}

// The resting order that `taker` would execute against next, if any.
static inline struct reference_order *reference_maker(const struct reference *r,
                                                      const struct reference_order *taker)
{
    uint8_t opposite = taker->side == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
    struct reference_order *maker = reference_first(r, taker->instrument, opposite);
    if (!maker || taker->price == PRICE_MARKET)
        return maker;
    if (taker->side == SIDE_BUY)
        return maker->price <= taker->price ? maker : NULL;
    return maker->price >= taker->price ? maker : NULL;
}

static inline void reference_execute(struct reference *r, struct reference_order *maker,
                                     struct reference_order *taker)
{
    uint32_t quantity = maker->quantity < taker->quantity ? maker->quantity : taker->quantity;
    bool displayed = reference_displayed(maker);
    uint64_t match_number = ++r->match_count;

    struct event *event = reference_emit_owner(r, EVENT_EXECUTED, maker, quantity);
    event->code = displayed ? 'A' : 'J';
    event->trade.order_ref = maker->order_ref;
    event->trade.match_number = match_number;

    event = reference_emit_owner(r, EVENT_EXECUTED, taker, quantity);
    event->price = maker->price;
    event->code = 'R';
    event->trade.order_ref = maker->order_ref;
    event->trade.match_number = match_number;

    enum event_type type = displayed ? EVENT_FEED_EXECUTED : EVENT_FEED_TRADE;
    event = reference_emit_feed(r, type, maker, quantity);
    event->trade.order_ref = displayed ? maker->order_ref : 0;
    event->trade.match_number = match_number;

    taker->quantity -= quantity;
    taker->executed += quantity;
    maker->quantity -= quantity;
    maker->executed += quantity;
    if (maker->quantity == 0)
        reference_remove(r, maker);
}

// The firm an order belongs to: the one it names, else its session's.
static inline const char *reference_firm(const struct reference *r,
                                         const struct reference_order *order)
{
    return memcmp(order->firm, "\0\0\0\0", 4) ? order->firm : r->sessions[order->session].firm;
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
                                            const struct reference_order *taker, uint32_t removed)
{
    struct event *event = reference_emit_owner(r, EVENT_PREVENTED, told, removed);
    event->price = maker->price;
    event->prevented = maker->quantity < taker->quantity ? maker->quantity : taker->quantity;
    event->code = told == taker ? 'R' : reference_displayed(maker) ? 'A' : 'J';
    event->trade.order_ref = told->order_ref;
    event->trade.match_number = taker->attributes.self_match;
}

static inline void reference_prevent(struct reference *r, struct reference_order *maker,
                                     struct reference_order *taker)
{
    uint32_t both = maker->quantity < taker->quantity ? maker->quantity : taker->quantity;
    bool displayed = reference_displayed(maker);
    struct reference_order before = *maker;
    switch (taker->attributes.self_match) {
    case SELF_MATCH_DECREMENT:
        reference_emit_prevented(r, maker, maker, taker, both);
        reference_emit_prevented(r, taker, maker, taker, both);
        if (displayed)
            reference_emit_feed(r, both == maker->quantity ? EVENT_FEED_DELETE : EVENT_FEED_CANCEL,
                                maker, both);
        taker->quantity -= both;
        taker->executed += both;
        maker->quantity -= both;
        maker->executed += both;
        if (maker->quantity == 0)
            reference_remove(r, maker);
        return;
    case SELF_MATCH_CANCEL_OLDEST:
    case SELF_MATCH_CANCEL_BOTH:
        reference_emit_prevented(r, maker, maker, taker, maker->quantity);
        if (displayed)
            reference_emit_feed(r, EVENT_FEED_DELETE, maker, maker->quantity);
        reference_remove(r, maker);
        if (taker->attributes.self_match == SELF_MATCH_CANCEL_OLDEST)
            return;
    }
    reference_emit_prevented(r, taker, &before, taker, taker->quantity);
    taker->quantity = 0;
}

static inline void reference_match(struct reference *r, struct reference_order *taker)
{
    while (taker->quantity > 0) {
        struct reference_order *maker = reference_maker(r, taker);
        if (!maker)
            return;
        if (reference_prevents(r, taker, maker))
            reference_prevent(r, maker, taker);
        else
            reference_execute(r, maker, taker);
    }
}

// Shares on the other side that the taker could trade with.
static inline uint64_t reference_available(const struct reference *r,
                                           const struct reference_order *taker)
{
    uint64_t shares = 0;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        bool opposite = (order->side == SIDE_BUY) != (taker->side == SIDE_BUY);
        bool acceptable =
            taker->price == PRICE_MARKET ||
            (taker->side == SIDE_BUY ? order->price <= taker->price : order->price >= taker->price);
        if (opposite && acceptable && order->instrument == taker->instrument &&
            !reference_prevents(r, taker, order))
            shares += order->quantity;
    }
    return shares;
}

static inline void reference_rest(struct reference *r, const struct reference_order *order)
{
    r->orders[r->order_count++] = *order;
}

// What is left of an incoming order once it has matched.
static inline void reference_settle(struct reference *r, const struct reference_order *order)
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
    if (order->attributes.post_only && reference_maker(r, order)) {
        reference_emit_canceled(r, order, order->quantity, 'G');
        return;
    }
    if (min_quantity != 0 && reference_available(r, order) < min_quantity) {
        reference_emit_canceled(r, order, order->quantity, 'I');
        return;
    }
    reference_match(r, order);
    reference_settle(r, order);
}

// Take away `removed` shares at the owner's request.
static inline void reference_reduce(struct reference *r, struct reference_order *order,
                                    uint32_t removed)
{
    order->quantity -= removed;
    if (reference_displayed(order) && removed > 0)
        reference_emit_feed(r, order->quantity ? EVENT_FEED_CANCEL : EVENT_FEED_DELETE, order,
                            removed);
    if (order->quantity == 0)
        reference_remove(r, order);
}

static inline void reference_cancel_all(struct reference *r, struct reference_order *order,
                                        char code)
{
    reference_emit_canceled(r, order, order->quantity, code);
    reference_reduce(r, order, order->quantity);
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

static inline void reference_apply_close(struct reference *r)
{
    if (r->state == BOOK_CLOSED)
        return;
    r->state = BOOK_CLOSED;
    for (uint16_t instrument = 0; instrument < r->instrument_count; instrument++) {
        for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
            struct reference_order *order;
            while ((order = reference_first(r, instrument, side)))
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

static inline bool reference_valid_price(uint32_t price)
{
    return price == PRICE_MARKET || (price > 0 && price <= PRICE_MAX);
}

static inline bool reference_valid_quantity(uint32_t quantity)
{
    return quantity > 0 && quantity <= QUANTITY_MAX;
}

static inline bool reference_valid_time_in_force(unsigned time_in_force)
{
    return time_in_force == TIF_DAY || time_in_force == TIF_IOC;
}

// Post-only contradicts an order that can only take.
static inline bool reference_valid_post_only(const struct command *c)
{
    return !c->order.attributes.post_only ||
           (c->order.attributes.time_in_force != TIF_IOC && c->order.price != PRICE_MARKET);
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
    if (!reference_valid_price(c->order.price))
        return REJECT_INVALID_PRICE;
    if (c->order.attributes.display > DISPLAY_ATTRIBUTABLE)
        return REJECT_INVALID_DISPLAY;
    if (!reference_valid_time_in_force(c->order.attributes.time_in_force))
        return REJECT_OTHER;
    if (c->order.attributes.self_match > SELF_MATCH_DECREMENT)
        return REJECT_INVALID_SELF_MATCH;
    if (c->order.min_quantity != 0 &&
        (c->order.attributes.time_in_force != TIF_IOC || c->order.min_quantity > c->order.quantity))
        return REJECT_INVALID_MIN_QUANTITY;
    if (!reference_valid_post_only(c))
        return REJECT_OTHER;
    if (r->order_count == r->limits.orders_max)
        return REJECT_PROCESSING_ERROR;
    return REJECT_NONE;
}

static inline void reference_apply_enter(struct reference *r, const struct command *c)
{
    uint32_t *last = &r->sessions[c->session].last[c->user_ref_index];
    if (c->order.user_ref_num <= *last)
        return;
    *last = c->order.user_ref_num;

    uint8_t verdict = reference_enter_verdict(r, c);
    if (verdict != REJECT_NONE) {
        struct event *event = reference_emit(r, c->session, EVENT_REJECTED);
        event->user_ref_num = c->order.user_ref_num;
        event->user_ref_index = c->user_ref_index;
        event->code = verdict;
        memcpy(event->order.client_order_id, c->order.client_order_id, 14);
        return;
    }

    struct reference_order order = {
        .order_ref = r->seq,
        .user_ref_num = c->order.user_ref_num,
        .quantity = c->order.quantity,
        .price = c->order.price,
        .session = c->session,
        .instrument = c->instrument,
        .side = c->side,
        .user_ref_index = c->user_ref_index,
        .attributes = c->order.attributes,
    };
    order.attributes.reserved = 0;
    memcpy(order.firm, c->order.firm, 4);

    struct event *event = reference_emit_owner(r, EVENT_ACCEPTED, &order, order.quantity);
    memcpy(event->firm, order.firm, 4);
    memcpy(event->order.client_order_id, c->order.client_order_id, 14);
    event->order.attributes = order.attributes;

    reference_trade(r, &order, c->order.min_quantity);
}

static inline bool reference_replacement_valid(const struct command *c,
                                               const struct reference_order *old)
{
    return c->verdict == REJECT_NONE && reference_valid_quantity(c->order.quantity) &&
           reference_valid_price(c->order.price) &&
           c->order.attributes.display <= DISPLAY_ATTRIBUTABLE &&
           reference_valid_time_in_force(c->order.attributes.time_in_force) &&
           c->order.attributes.self_match <= SELF_MATCH_DECREMENT && reference_valid_post_only(c) &&
           c->order.quantity > old->executed;
}

static inline void reference_apply_replace(struct reference *r, const struct command *c)
{
    uint32_t *last = &r->sessions[c->session].last[c->user_ref_index];
    struct reference_order *found =
        reference_find(r, c->session, c->user_ref_index, c->order.orig_user_ref_num);
    if (!found || c->order.user_ref_num <= *last)
        return;
    if (!reference_replacement_valid(c, found)) {
        reference_cancel_all(r, found, 'U');
        return;
    }
    *last = c->order.user_ref_num;

    struct reference_order old = *found;
    reference_remove(r, found);
    struct reference_order order = old;
    order.order_ref = r->seq;
    order.user_ref_num = c->order.user_ref_num;
    order.quantity = c->order.quantity - old.executed;
    order.price = c->order.price;
    order.attributes = c->order.attributes;
    order.attributes.reserved = 0;

    struct event *event = reference_emit_owner(r, EVENT_REPLACED, &order, order.quantity);
    event->orig_user_ref_num = old.user_ref_num;
    memcpy(event->order.client_order_id, c->order.client_order_id, 14);
    event->order.attributes = order.attributes;

    bool stays_in_place = reference_displayed(&old) &&
                          order.attributes.display == old.attributes.display &&
                          order.attributes.time_in_force != TIF_IOC &&
                          order.price != PRICE_MARKET && !reference_maker(r, &order);
    if (stays_in_place) {
        event = reference_emit_feed(r, EVENT_FEED_REPLACE, &order, order.quantity);
        event->trade.order_ref = old.order_ref;
        reference_rest(r, &order);
        return;
    }
    if (reference_displayed(&old))
        reference_emit_feed(r, EVENT_FEED_DELETE, &old, old.quantity);
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
    default:
        reference_apply_client(r, c);
    }
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
            level.quantity += order->quantity;
        }
    }
    return level;
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

static inline const struct reference_order *reference_find_ref(const struct reference *r,
                                                               uint64_t order_ref)
{
    for (uint32_t i = 0; i < r->order_count; i++) {
        if (r->orders[i].order_ref == order_ref)
            return &r->orders[i];
    }
    return NULL;
}

// Never locked or crossed, not even by hidden orders; no order without shares; oldest first.
static inline bool reference_sound(const struct reference *r)
{
    for (uint16_t instrument = 0; instrument < r->instrument_count; instrument++) {
        const struct reference_order *bid = reference_first(r, instrument, SIDE_BUY);
        const struct reference_order *offer = reference_first(r, instrument, SIDE_SELL);
        if (bid && offer && bid->price >= offer->price)
            return false;
    }
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        if (order->quantity == 0 || order->quantity + order->executed > QUANTITY_MAX ||
            (i > 0 && order->order_ref <= order[-1].order_ref))
            return false;
    }
    return true;
}

// Whether two books must answer all that may follow alike.
static inline bool reference_same_state(const struct reference *a, const struct reference *b)
{
    if (a->state != b->state || a->seq != b->seq || a->midnight_ns != b->midnight_ns ||
        a->feed_message_count != b->feed_message_count || a->match_count != b->match_count ||
        a->instrument_count != b->instrument_count || a->session_count != b->session_count ||
        a->order_count != b->order_count || memcmp(&a->limits, &b->limits, sizeof(a->limits)) != 0)
        return false;
    for (uint16_t i = 0; i < a->session_count; i++) {
        const struct reference_session *left = &a->sessions[i], *right = &b->sessions[i];
        if (left->message_count != right->message_count ||
            memcmp(left->firm, right->firm, sizeof(left->firm)) != 0 ||
            memcmp(left->last, right->last, sizeof(left->last)) != 0)
            return false;
    }
    for (uint32_t i = 0; i < a->order_count; i++) {
        const struct reference_order *left = &a->orders[i], *right = &b->orders[i];
        if (left->order_ref != right->order_ref || left->user_ref_num != right->user_ref_num ||
            left->quantity != right->quantity || left->executed != right->executed ||
            left->price != right->price || left->session != right->session ||
            left->instrument != right->instrument || left->side != right->side ||
            left->user_ref_index != right->user_ref_index ||
            left->attributes.display != right->attributes.display ||
            memcmp(left->firm, right->firm, sizeof(left->firm)) != 0)
            return false;
    }
    return true;
}

#endif
