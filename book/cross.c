// SPDX-License-Identifier: MIT
//
// Crosses: orders that came while nothing traded, or for a cross only, trade with each other and
// with the continuous book at one price. docs/rules.md has the rules.
#include "book/events.h"
#include "book/trade.h"

// Prices as limits: a market sale's is below all others, a market purchase's above.
#define PRICE_BELOW 0u
#define PRICE_ABOVE (PRICE_MAX + 1)

// Where orders of a cross stand; at one price the first of these go first.
enum { AT_DISPLAYED, AT_AUCTION, AT_CLOSING, AT_HIDDEN, PLACES };
#define PLACE(at)         (1u << (at))
#define PLACES_WAITING    (PLACE(AT_AUCTION) | PLACE(AT_CLOSING))
#define PLACES_CONTINUOUS (PLACE(AT_DISPLAYED) | PLACE(AT_AUCTION) | PLACE(AT_HIDDEN))

static uint32_t places_of(uint8_t type)
{
    return PLACES_CONTINUOUS | (type == CROSS_CLOSING ? PLACE(AT_CLOSING) : 0);
}

static const struct tree *tree_at(const struct instrument *listing, enum side side, int place)
{
    return place == AT_AUCTION   ? &listing->auction[side]
           : place == AT_CLOSING ? &listing->closing[side]
                                 : &listing->hidden[side];
}

// The best level of a place that is of `rank` or worse, and its rank, or NULL.
static struct level *level_from(const struct book *book, const struct instrument *listing,
                                enum side side, int place, uint32_t *rank)
{
    if (place == AT_DISPLAYED) {
        uint32_t best = listing->best[side];
        *rank = *rank <= best ? best : rank_after(book, listing, side, *rank - 1);
        return *rank == RANK_NONE ? NULL : level_at(book, listing, side, rank_of(side, *rank));
    }
    uint32_t index = tree_from(book, tree_at(listing, side, place), *rank);
    *rank = index == NONE ? RANK_NONE : book->far_levels[index].rank;
    return index == NONE ? NULL : &book->far_levels[index].level;
}

// --- The price

// All that a side would trade at a price.
struct rung {
    uint32_t rank; // RANK_NONE: there is none
    uint32_t price;
    uint64_t shares;
};

static uint64_t level_shares(const struct book *book, const struct level *level)
{
    uint64_t shares = level->quantity;
    for (uint32_t at = level->head; at != NONE; at = book->orders[at].next)
        shares += order_reserve(book, &book->orders[at]);
    return shares;
}

static struct rung rung_from(const struct book *book, const struct instrument *listing,
                             enum side side, uint32_t places, uint32_t from)
{
    struct rung rung = {.rank = RANK_NONE};
    for (int place = 0; place < PLACES; place++) {
        uint32_t rank = from;
        if (!(places & PLACE(place)))
            continue;
        const struct level *level = level_from(book, listing, side, place, &rank);
        if (level == NULL || rank > rung.rank)
            continue;
        rung.shares = (rank == rung.rank ? rung.shares : 0) + level_shares(book, level);
        rung.rank = rank;
    }
    rung.price = rank_of(side, rung.rank);
    if (side == SIDE_BUY && rung.price > PRICE_MAX)
        rung.price = PRICE_ABOVE;
    return rung;
}

struct range {
    uint32_t low, high;
};

// What a cross would be.
struct cross {
    uint64_t shares; // 0: none
    uint64_t imbalance;
    enum side heavier; // of the imbalance
    uint32_t price;
    uint32_t reference; // or 0
};

uint32_t cross_reference(const struct instrument *listing)
{
    if (listing->best[SIDE_BUY] == RANK_NONE || listing->best[SIDE_SELL] == RANK_NONE)
        return listing->reference;
    uint32_t bid = rank_of(SIDE_BUY, listing->best[SIDE_BUY]);
    return bid + (rank_of(SIDE_SELL, listing->best[SIDE_SELL]) - bid) / 2;
}

// The price of a range that is nearest to the reference; without one, its lower end, or its upper
// end where it has no lower one. 0: neither limits nor a reference say what the price could be.
static uint32_t nearest(uint32_t reference, struct range range)
{
    uint32_t low = range.low, high = range.high;
    uint32_t price = reference < low ? low : reference > high ? high : reference;
    if (reference == 0 && low == PRICE_BELOW && high == PRICE_ABOVE)
        return 0;
    if (reference == 0)
        price = low > PRICE_BELOW ? low : high;
    return price == PRICE_BELOW ? 1 : price == PRICE_ABOVE ? PRICE_MAX : price;
}

// Of the prices in `all`, at which the same shares trade, those with the least left over. `buy` and
// `sell` are the best that are left in that range, NULL for none; the purchase is the lower one. So
// nothing is left over between them, and otherwise least at one of them.
static struct range balance(const struct book *book, const struct instrument *listing,
                            uint32_t places, struct range all, const struct rung *buy,
                            const struct rung *sell, uint64_t *imbalance)
{
    bool room = !sell ? buy->price < all.high : sell->price > (buy ? buy->price + 1 : all.low);
    *imbalance = 0;
    if (room)
        return (struct range){buy ? buy->price + 1 : all.low, sell ? sell->price - 1 : all.high};
    bool at_buy = buy && (!sell || buy->shares <= sell->shares);
    bool at_sell = sell && (!buy || sell->shares <= buy->shares);
    struct range range = {at_buy ? all.low : sell->price, at_sell ? all.high : buy->price};
    *imbalance = at_buy ? buy->shares : sell->shares;
    if (at_buy) {
        struct rung next = rung_from(book, listing, SIDE_BUY, places, buy->rank + 1);
        if (next.rank != RANK_NONE && next.price >= all.low)
            range.low = next.price + 1;
    }
    if (at_sell) {
        struct rung next = rung_from(book, listing, SIDE_SELL, places, sell->rank + 1);
        if (next.rank != RANK_NONE && next.price <= all.high)
            range.high = next.price - 1;
    }
    return range;
}

// Purchases and sales are paired from the best on, a level at a time. Every price between the last
// two that were paired lets all these shares trade, and no other.
static struct cross cross_of(const struct book *book, const struct instrument *listing,
                             uint32_t places)
{
    struct cross cross = {.reference = cross_reference(listing)};
    struct rung buy = rung_from(book, listing, SIDE_BUY, places, 0);
    struct rung sell = rung_from(book, listing, SIDE_SELL, places, 0);
    uint32_t low = PRICE_BELOW, high = PRICE_ABOVE;
    while (buy.rank != RANK_NONE && sell.rank != RANK_NONE && buy.price >= sell.price) {
        uint64_t shares = buy.shares < sell.shares ? buy.shares : sell.shares;
        cross.shares += shares;
        low = sell.price;
        high = buy.price;
        buy.shares -= shares;
        sell.shares -= shares;
        if (buy.shares == 0)
            buy = rung_from(book, listing, SIDE_BUY, places, buy.rank + 1);
        if (sell.shares == 0)
            sell = rung_from(book, listing, SIDE_SELL, places, sell.rank + 1);
    }
    if (cross.shares == 0)
        return cross;
    struct range range = {low, high};
    bool buy_left = buy.rank != RANK_NONE && buy.price >= low;
    bool sell_left = sell.rank != RANK_NONE && sell.price <= high;
    if (buy_left || sell_left)
        range = balance(book, listing, places, range, buy_left ? &buy : NULL,
                        sell_left ? &sell : NULL, &cross.imbalance);
    cross.price = nearest(cross.reference, range);
    if (cross.imbalance > 0)
        cross.heavier = buy_left && cross.price <= buy.price ? SIDE_BUY : SIDE_SELL;
    if (cross.price == 0) // there is no limit and no reference
        cross = (struct cross){0};
    return cross;
}

// --- The trades

// The level of a side that is next in a cross.
static struct level *next_level(const struct book *book, const struct instrument *listing,
                                enum side side, uint32_t places)
{
    struct level *level = NULL;
    uint32_t best = RANK_NONE;
    for (int place = 0; place < PLACES; place++) {
        uint32_t rank = 0;
        if (!(places & PLACE(place)))
            continue;
        struct level *at = level_from(book, listing, side, place, &rank);
        if (at == NULL || rank >= best)
            continue;
        best = rank;
        level = at;
    }
    INVARIANT(level);
    return level;
}

// Trades so many shares of an order that has them.
static void fill(struct book *book, struct event_sink *sink, struct instrument *listing,
                 struct level *level, uint32_t index, uint32_t quantity, uint32_t price,
                 uint8_t type)
{
    struct order *order = &book->orders[index];
    uint32_t shown = quantity < order->open ? quantity : order->open;
    emit_executed(book, sink, order, quantity, price, type, order->ref, book->match_count);
    if (order_displayed(order))
        emit_feed(book, sink, EVENT_FEED_EXECUTED_PRICE, order->instrument, book_side(order->side),
                  shown, price, order->ref, book->match_count)
            ->code = 'N';
    if (watched(book, order))
        account_trade(book, order, quantity, price);
    if (listing->guarded)
        trade_at(listing, price);
    order->executed += quantity;
    order->open -= shown;
    level->quantity -= shown;
    if (quantity > shown)
        book->extras[order->extra].reserve -= quantity - shown;
    if (order->open > 0)
        return;
    order_unlink(book, listing, level, index);
    if (order_reserve(book, order) > 0) {
        used_up_add(book, index);
        return;
    }
    table_remove(book, index);
    order_give(book, index);
}

static void fill_side(struct book *book, struct event_sink *sink, struct instrument *listing,
                      enum side side, const struct cross *cross, uint8_t type)
{
    uint64_t left = cross->shares;
    while (left > 0) {
        struct level *level = next_level(book, listing, side, places_of(type));
        const struct order *order = &book->orders[level->head];
        uint32_t open = order->open + order_reserve(book, order);
        uint32_t quantity = left < open ? (uint32_t)left : open;
        fill(book, sink, listing, level, level->head, quantity, cross->price, type);
        left -= quantity;
    }
}

void cross_trade(struct book *book, struct event_sink *sink, struct instrument *listing,
                 uint8_t type)
{
    struct cross cross = cross_of(book, listing, places_of(type));
    if (cross.shares > 0) {
        book->match_count++;
        listing->reference = cross.price;
        hold_prices(listing);
        fill_side(book, sink, listing, SIDE_BUY, &cross, type);
        fill_side(book, sink, listing, SIDE_SELL, &cross, type);
    }
    struct event *event = emit_rare(book, sink, EVENT_FEED_CROSS, FEED_SESSION);
    event->instrument = (uint16_t)(listing - book->instruments);
    event->price = cross.price;
    event->code = type;
    event->cross.shares = cross.shares;
    event->cross.match_number = cross.shares > 0 ? book->match_count : 0;
}

// --- While it builds

// The cross that there would be next, or CROSS_NONE where nothing waits for one.
static uint8_t cross_building(const struct instrument *listing)
{
    if (collects(listing))
        return listing->phase == PHASE_PREOPEN ? CROSS_OPENING : CROSS_HALT;
    bool closing = (listing->closing[SIDE_BUY].best | listing->closing[SIDE_SELL].best) != NONE;
    return closing && listing->phase == PHASE_TRADING ? CROSS_CLOSING : CROSS_NONE;
}

void cross_tell(struct book *book, struct event_sink *sink)
{
    for (uint16_t index = 0; index < book->instrument_count && book->state == BOOK_TRADING;
         index++) {
        const struct instrument *listing = &book->instruments[index];
        uint8_t type = cross_building(listing);
        if (type == CROSS_NONE)
            continue;
        uint32_t places = places_of(type);
        struct cross cross = cross_of(book, listing, places);
        struct event *event = emit_rare(book, sink, EVENT_FEED_IMBALANCE, FEED_SESSION);
        event->instrument = index;
        event->code = type;
        event->price = cross.price;
        event->quantity = cross.reference;
        event->side = (uint8_t)cross.heavier;
        event->far_price = cross_of(book, listing, places & PLACES_WAITING).price;
        event->imbalance.paired = cross.shares;
        event->imbalance.left = cross.imbalance;
    }
}

bool cross_may_build(const struct book *book)
{
    for (uint16_t index = 0; index < book->instrument_count; index++) {
        const struct instrument *listing = &book->instruments[index];
        bool may_pause = listing->phase == PHASE_TRADING && listing->band != 0;
        if (may_pause || cross_building(listing) != CROSS_NONE)
            return book->state != BOOK_CLOSED;
    }
    return false;
}

// --- The late period

bool cross_is_late(const struct instrument *listing, uint8_t cross)
{
    bool closes = listing->phase == PHASE_TRADING;
    return listing->late && cross != CROSS_NONE && (cross == CROSS_CLOSING) == closes;
}

bool cross_keeps(struct book *book, struct event_sink *sink, uint32_t index, bool all)
{
    const struct order *order = &book->orders[index];
    uint8_t told = all ? LATE_PENDING : LATE_REFUSED;
    if (!cross_is_late(&book->instruments[order->instrument], order_cross(book, order)))
        return false;
    struct extra *extra = &book->extras[order->extra];
    if (extra->late & told)
        return true;
    extra->late |= told;
    struct event *event =
        emit_rare(book, sink, all ? EVENT_CANCEL_PENDING : EVENT_CANCEL_REJECTED, order->session);
    event->user_ref_num = order->user_ref_num;
    event->user_ref_index = order->user_ref_index;
    return true;
}

char cross_reason(const struct book *book, const struct order *order, char otherwise)
{
    if (order->extra != NONE && (book->extras[order->extra].late & LATE_PENDING))
        return 'U';
    return otherwise;
}

// --- Afterwards

// An order that has waited joins the continuous book, where nothing is acceptable to it any more.
static void join(struct book *book, struct event_sink *sink, struct instrument *listing,
                 uint32_t index)
{
    struct order *order = &book->orders[index];
    if (order_cross(book, order) != CROSS_NONE || order->price == PRICE_MARKET) {
        cancel_resting(book, sink, index, cross_reason(book, order, 'I'));
        return;
    }
    order_unlink(book, listing, order_level(book, listing, order), index);
    order->attributes.auction = 0;
    if (order->extra != NONE)
        extra_display(book, index);
    if (!order_link(book, listing, index)) { // too many price levels
        emit_changed(book, sink, EVENT_CANCELED, order, order->open + order_reserve(book, order),
                     'Z');
        table_remove(book, index);
        order_give(book, index);
    } else if (order_displayed(order)) {
        emit_add(book, sink, order);
    }
}

void cross_release(struct book *book, struct event_sink *sink, struct instrument *listing)
{
    for (enum side side = SIDE_BUY; side <= SIDE_SELL; side++)
        while (listing->auction[side].best != NONE && listing->phase == PHASE_TRADING)
            join(book, sink, listing, book->far_levels[listing->auction[side].best].level.head);
    used_up_refresh(book, sink, listing);
}
