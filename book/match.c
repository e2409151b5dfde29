// SPDX-License-Identifier: MIT
//
// An order meets others: it trades with them, or their self-match is prevented; what is left of it
// rests, waits or is dropped.
#include "book/checks.h"
#include "book/events.h"
#include "book/trade.h"

const char *firm_of(const struct book *book, const struct order *order)
{
    const char *own = book->sessions[order->session].firm;
    if (likely(order->extra == NONE))
        return own;
    const char *named = book->extras[order->extra].firm;
    return named[0] | named[1] | named[2] | named[3] ? named : own;
}

bool self_matched(const struct book *book, const struct order *taker, const struct order *maker)
{
    return taker->attributes.self_match != SELF_MATCH_ALLOWED &&
           memcmp(firm_of(book, taker), firm_of(book, maker), 4) == 0;
}

static inline struct taker taker_of(struct book *book, uint32_t index)
{
    struct order *order = &book->orders[index];
    enum side opposite = opposite_of(book_side(order->side));
    struct instrument *listing = &book->instruments[order->instrument];
    struct taker taker = {
        .order = order,
        .listing = listing,
        .opposite = opposite,
        .limit = order->price == PRICE_MARKET ? RANK_ANY : rank_of(opposite, order->price),
        .special = listing->special_count != 0,
    };
    if (likely(!taker.special && order->attributes.peg == PEG_NONE))
        return taker;
    taker.midpoint = midpoint_of(book, listing);
    if (order->attributes.peg == PEG_MIDPOINT) {
        bool live = taker.midpoint != 0 && rank_of(opposite, taker.midpoint) <= taker.limit;
        taker.limit = live ? rank_of(opposite, taker.midpoint) : 0;
    }
    return taker;
}

// The best of the other side that is acceptable to the taker.
static inline struct maker next_maker(const struct book *book, const struct taker *taker)
{
    if (unlikely(taker->special))
        return special_maker(book, taker);
    uint32_t best = taker->listing->best[taker->opposite];
    if (best > taker->limit)
        return (struct maker){.index = NONE};
    uint32_t price = rank_of(taker->opposite, best);
    struct level *level = level_at(book, taker->listing, taker->opposite, price);
    return (struct maker){level->head, price, level, PART_DISPLAYED};
}

// Takes shares from a part that has them; `executed` counts them, also where they were prevented
// from trading: they never can again.
static inline void take(struct book *book, struct instrument *listing, const struct maker *maker,
                        uint32_t quantity)
{
    struct order *order = &book->orders[maker->index];
    order->executed += quantity;
    if (unlikely(maker->part == PART_RESERVE)) {
        book->extras[order->extra].reserve -= quantity;
        if (book->extras[order->extra].reserve == 0)
            used_up_first_done(book);
        return;
    }
    maker->level->quantity -= quantity;
    order->open -= quantity;
    if (order->open > 0)
        return;
    order_unlink(book, listing, maker->level, maker->index);
    if (unlikely(order_reserve(book, order) > 0)) {
        used_up_add(book, maker->index);
        return;
    }
    table_remove(book, maker->index);
    order_give(book, maker->index);
}

static uint32_t part_open(const struct book *book, const struct maker *maker)
{
    const struct order *order = &book->orders[maker->index];
    return unlikely(maker->part == PART_RESERVE) ? book->extras[order->extra].reserve : order->open;
}

// OUCH 5.0 section 9.
static const uint8_t added_flag[] = {'A', 'u', 'J', 'k'};
static const uint8_t removed_flag[] = {'R', 'R', 'R', 'm'};

static inline void execute(struct book *book, struct event_sink *sink, struct taker *taker,
                           const struct maker *maker)
{
    struct order *order = &book->orders[maker->index];
    uint32_t open = part_open(book, maker);
    uint32_t quantity = taker->order->open < open ? taker->order->open : open;
    uint64_t match_number = ++book->match_count;
    emit_executed(book, sink, order, quantity, maker->price, added_flag[maker->part], order->ref,
                  match_number);
    emit_executed(book, sink, taker->order, quantity, maker->price, removed_flag[maker->part],
                  order->ref, match_number);
    if (watched(book, order))
        account_trade(book, order, quantity, maker->price);
    if (watched(book, taker->order))
        account_trade(book, taker->order, quantity, maker->price);
    if (unlikely(taker->listing->guarded))
        trade_at(taker->listing, maker->price);
    bool displayed = maker->part == PART_DISPLAYED;
    emit_feed(book, sink, displayed ? EVENT_FEED_EXECUTED : EVENT_FEED_TRADE, order->instrument,
              book_side(order->side), quantity, maker->price, displayed ? order->ref : 0,
              match_number);
    taker->order->open -= quantity;
    taker->order->executed += quantity;
    take(book, taker->listing, maker, quantity);
}

static void emit_prevented(struct book *book, struct event_sink *sink, const struct taker *taker,
                           const struct maker *maker, bool of_taker, uint32_t removed,
                           uint32_t prevented)
{
    const struct order *order = of_taker ? taker->order : &book->orders[maker->index];
    struct event *event =
        emit_order(book, sink, EVENT_PREVENTED, order, removed, maker->price,
                   of_taker ? removed_flag[maker->part] : added_flag[maker->part]);
    event->prevented = prevented;
    event->trade.order_ref = order->ref;
    event->trade.match_number = taker->order->attributes.self_match;
}

// All of the maker leaves, wherever it stands.
static void withdraw(struct book *book, struct event_sink *sink, const struct taker *taker,
                     const struct maker *maker)
{
    if (maker->part != PART_RESERVE) {
        remove_resting(book, sink, taker->listing, maker->index);
        return;
    }
    used_up_first_done(book);
}

// The taker meets an order of its own firm: what its strategy says, instead of a trade.
static void prevent(struct book *book, struct event_sink *sink, struct taker *taker,
                    const struct maker *maker)
{
    const struct order *order = &book->orders[maker->index];
    struct order *incoming = taker->order;
    uint32_t open = part_open(book, maker);
    uint32_t common = incoming->open < open ? incoming->open : open;
    enum self_match strategy = incoming->attributes.self_match;
    if (strategy == SELF_MATCH_DECREMENT) {
        emit_prevented(book, sink, taker, maker, false, common, common);
        emit_prevented(book, sink, taker, maker, true, common, common);
        if (maker->part == PART_DISPLAYED)
            emit_feed(book, sink, common == open ? EVENT_FEED_DELETE : EVENT_FEED_CANCEL,
                      order->instrument, book_side(order->side), common, order->price, order->ref,
                      0);
        account_less(book, order, common);
        account_less(book, incoming, common);
        take(book, taker->listing, maker, common);
        incoming->open -= common;
        incoming->executed += common;
        return;
    }
    bool oldest_goes = strategy != SELF_MATCH_CANCEL_NEWEST;
    bool newest_goes = strategy != SELF_MATCH_CANCEL_OLDEST;
    if (oldest_goes) {
        uint32_t reserve = order_reserve(book, order);
        emit_prevented(book, sink, taker, maker, false,
                       maker->part == PART_RESERVE ? reserve : order->open + reserve, common);
        withdraw(book, sink, taker, maker);
    }
    if (newest_goes) {
        emit_prevented(book, sink, taker, maker, true, incoming->open, common);
        account_less(book, incoming, incoming->open);
        incoming->open = 0;
    }
}

void meet(struct book *book, struct event_sink *sink, struct taker *taker,
          const struct maker *maker)
{
    if (unlikely(self_matched(book, taker->order, &book->orders[maker->index])))
        prevent(book, sink, taker, maker);
    else
        execute(book, sink, taker, maker);
}

static inline void match(struct book *book, struct event_sink *sink, struct taker *taker)
{
    while (taker->order->open > 0) {
        struct maker maker = next_maker(book, taker);
        if (maker.index == NONE)
            return;
        meet(book, sink, taker, &maker);
    }
}

// Whether the opposite side has `wanted` shares that the taker could trade with now. A level's sum
// will do where none of its orders has to be looked at.
static bool available(const struct book *book, const struct taker *taker, uint32_t wanted)
{
    uint64_t found = taker->special ? special_available(book, taker, wanted) : 0;
    uint32_t rank = taker->listing->best[taker->opposite];
    while (rank <= taker->limit && found < wanted) {
        const struct level *level =
            level_at(book, taker->listing, taker->opposite, rank_of(taker->opposite, rank));
        if (taker->order->attributes.self_match == SELF_MATCH_ALLOWED && !taker->special) {
            found += level->quantity;
        } else {
            for (uint32_t at = level->head; at != NONE && found < wanted;
                 at = book->orders[at].next)
                if (!self_matched(book, taker->order, &book->orders[at]))
                    found += book->orders[at].open + order_reserve(book, &book->orders[at]);
        }
        rank = rank_after(book, taker->listing, taker->opposite, rank);
    }
    return found >= wanted;
}

void emit_add(struct book *book, struct event_sink *sink, const struct order *order)
{
    struct event *event =
        emit_feed(book, sink, EVENT_FEED_ADD, order->instrument, book_side(order->side),
                  order->open, order->price, order->ref, 0);
    if (unlikely(order->attributes.display == DISPLAY_ATTRIBUTABLE))
        memcpy(event->firm, firm_of(book, order), sizeof(event->firm));
}

// --- What is left

static inline bool may_rest(const struct order *order)
{
    return order->attributes.time_in_force != TIF_IOC && order->price != PRICE_MARKET;
}

// Puts what is left of an order into the book; false when there are too many price levels.
static inline bool rest(struct book *book, struct instrument *listing, uint32_t *head,
                        uint32_t index)
{
    struct level *level = order_level_claim(book, listing, &book->orders[index]);
    if (unlikely(!level))
        return false;
    if (unlikely(book->orders[index].extra != NONE))
        extra_rest(book, index);
    order_join(book, listing, level, index);
    table_add(book, head, index);
    return true;
}

static void drop_incoming(struct book *book, struct event_sink *sink, uint32_t index, char reason)
{
    emit_canceled(book, sink, &book->orders[index], reason);
    order_give(book, index);
}

// Rests an order that nobody on the other side is acceptable to.
static inline void rest_or_drop(struct book *book, struct event_sink *sink,
                                struct instrument *listing, uint32_t *head, uint32_t index)
{
    const struct order *order = &book->orders[index];
    if (unlikely(!rest(book, listing, head, index)))
        drop_incoming(book, sink, index, 'Z'); // too many price levels
    else if (likely(order_displayed(order)))
        emit_add(book, sink, order);
}

// An order that waits for a cross, or for trading to begin: false when it is none.
static bool hold(struct book *book, struct event_sink *sink, struct instrument *listing,
                 uint32_t *head, uint32_t index)
{
    struct order *order = &book->orders[index];
    bool any = order_cross(book, order) == CROSS_NONE;
    if (any && !collects(listing))
        return false;
    order->attributes.auction = order->attributes.peg == PEG_NONE;
    if (any && order->attributes.time_in_force == TIF_IOC)
        drop_incoming(book, sink, index, 'I');
    else if (!rest(book, listing, head, index))
        drop_incoming(book, sink, index, 'Z'); // too many price levels
    return true;
}

// A taker may not trade beyond the band: true when its limit is beyond.
static bool keep_to_band(struct taker *taker)
{
    uint32_t edge = band_edge(taker->listing, book_side(taker->order->side));
    if (edge == 0 || taker->order->attributes.peg == PEG_MIDPOINT ||
        taker->limit <= rank_of(taker->opposite, edge))
        return false;
    taker->limit = rank_of(taker->opposite, edge);
    return true;
}

// What is left of an order whose limit is beyond the band: false when it is as any other order.
static bool stop_at_band(struct book *book, struct event_sink *sink, struct taker *taker,
                         uint32_t limit, uint32_t index)
{
    taker->limit = limit;
    bool more = next_maker(book, taker).index != NONE;
    if (!more && !may_rest(taker->order))
        return false;
    drop_incoming(book, sink, index, 'K');
    if (more)
        pause_instrument(book, sink, taker->listing);
    return true;
}

bool rest_unmet(struct book *book, uint32_t *head, uint32_t index)
{
    struct taker taker = taker_of(book, index);
    return may_rest(taker.order) && !collects(taker.listing) && taker.listing->band == 0 &&
           next_maker(book, &taker).index == NONE && likely(rest(book, taker.listing, head, index));
}

void match_and_rest(struct book *book, struct event_sink *sink, uint32_t *head, uint32_t index,
                    uint32_t min_quantity)
{
    struct taker taker = taker_of(book, index);
    struct order *order = taker.order;
    if (unlikely((taker.listing->minded & MIND_TRADES) || order->extra != NONE) &&
        hold(book, sink, taker.listing, head, index))
        return;
    if (unlikely(order->attributes.post_only) && next_maker(book, &taker).index != NONE) {
        drop_incoming(book, sink, index, 'G');
        return;
    }
    uint32_t limit = taker.limit;
    bool beyond = unlikely(taker.listing->minded & MIND_TRADES) && keep_to_band(&taker);
    if (unlikely(min_quantity > 0) && !available(book, &taker, min_quantity)) {
        drop_incoming(book, sink, index, 'I');
        return;
    }
    match(book, sink, &taker);
    if (unlikely(book->used_up_head != NONE))
        used_up_refresh(book, sink, taker.listing);
    if (order->open == 0)
        order_give(book, index);
    else if (unlikely(beyond) && stop_at_band(book, sink, &taker, limit, index))
        return;
    else if (may_rest(order))
        rest_or_drop(book, sink, taker.listing, head, index);
    else
        drop_incoming(book, sink, index, 'I');
}
