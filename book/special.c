// SPDX-License-Identifier: MIT
//
// What few orders need: hidden and midpoint queues, reserves, ends, pegs, mass cancels.
// docs/rules.md has the rules.
#include "book/events.h"
#include "book/trade.h"

// --- Queues that nobody sees

static struct tree *dark_tree(const struct book *book, struct instrument *listing,
                              const struct order *order)
{
    enum side side = book_side(order->side);
    if (order->attributes.auction)
        return order_cross(book, order) == CROSS_CLOSING ? &listing->closing[side]
                                                         : &listing->auction[side];
    return order->attributes.peg == PEG_MIDPOINT ? &listing->midpoint[side]
                                                 : &listing->hidden[side];
}

// A market order, which can only wait for a cross, is before all others on either side.
static uint32_t order_rank(const struct order *order)
{
    enum side side = book_side(order->side);
    return side == SIDE_SELL && order->price == PRICE_MARKET ? 0 : rank_of(side, order->price);
}

struct level *dark_at(const struct book *book, const struct instrument *listing,
                      const struct order *order)
{
    const struct tree *tree = dark_tree(book, (struct instrument *)listing, order);
    return &book->far_levels[tree_find(book, tree, order_rank(order))].level;
}

struct level *dark_claim(struct book *book, struct instrument *listing, const struct order *order)
{
    uint32_t index = tree_claim(book, dark_tree(book, listing, order), order_rank(order));
    return index == NONE ? NULL : &book->far_levels[index].level;
}

void dark_drop(struct book *book, struct instrument *listing, const struct order *order)
{
    struct tree *tree = dark_tree(book, listing, order);
    tree_remove(book, tree, tree_find(book, tree, order_rank(order)));
}

// --- Extras and the clock

bool extra_available(const struct book *book)
{
    return book->extra_slots.count < book->extra_slots.max;
}

struct extra *extra_new(struct book *book, struct order *order)
{
    order->extra = slots_take(&book->extra_slots, &book->extras->timer_next, sizeof(*book->extras));
    INVARIANT(order->extra != NONE);
    return &book->extras[order->extra];
}

void extra_take(struct book *book, struct order *order, const struct command *command,
                const char firm[4])
{
    struct extra *extra = extra_new(book, order);
    *extra = (struct extra){
        .max_floor = command->order.max_floor,
        .expire_seconds = command->order.expire_seconds,
        .random_reserve = command->order.random_reserve,
        .peg_offset = command->order.peg_offset,
        .limit = follows(command->order.attributes) ? command->order.price : 0,
        .cross = command->type == COMMAND_ENTER ? (uint8_t)command->order.cross : CROSS_NONE,
    };
    if (memcmp(firm, book->sessions[order->session].firm, sizeof(extra->firm)) != 0)
        memcpy(extra->firm, firm, sizeof(extra->firm));
}

static uint64_t clock_second(const struct book *book)
{
    return book->next_second_ns / NS_PER_SECOND - 1;
}

static uint32_t wheel_second(uint64_t second)
{
    return (uint32_t)second & (WHEEL_SECONDS - 1);
}

static struct extra *extra_of(const struct book *book, uint32_t index)
{
    return &book->extras[book->orders[index].extra];
}

void timer_add(struct book *book, uint32_t index, uint32_t seconds)
{
    struct extra *extra = extra_of(book, index);
    uint32_t second = wheel_second(clock_second(book) + seconds);
    uint32_t *last = &book->wheel[second];
    extra->timer_bucket = second + 1;
    if (*last == NONE) {
        extra->timer_next = extra->timer_previous = index;
    } else {
        uint32_t first = extra_of(book, *last)->timer_next;
        extra->timer_next = first;
        extra->timer_previous = *last;
        extra_of(book, *last)->timer_next = index;
        extra_of(book, first)->timer_previous = index;
    }
    *last = index;
    book->timed_count++;
}

static void timer_remove(struct book *book, uint32_t index)
{
    struct extra *extra = extra_of(book, index);
    uint32_t *last = &book->wheel[extra->timer_bucket - 1];
    extra_of(book, extra->timer_previous)->timer_next = extra->timer_next;
    extra_of(book, extra->timer_next)->timer_previous = extra->timer_previous;
    if (*last == index)
        *last = extra->timer_previous == index ? NONE : extra->timer_previous;
    extra->timer_bucket = 0;
    book->timed_count--;
}

bool timers_each(const struct book *book,
                 bool (*visit)(void *context, const struct order *order, uint32_t seconds),
                 void *context)
{
    uint32_t left = book->timed_count;
    for (uint32_t seconds = 1; left > 0 && seconds <= WHEEL_SECONDS; seconds++) {
        uint32_t last = book->wheel[wheel_second(clock_second(book) + seconds)];
        for (uint32_t at = NONE; at != last; left--) {
            at = extra_of(book, at == NONE ? last : at)->timer_next;
            if (!visit(context, &book->orders[at], seconds))
                return false;
        }
    }
    return true;
}

// The link to the first peg of an instrument that came after `ref`.
static uint32_t *peg_after(const struct book *book, struct instrument *listing, uint64_t ref)
{
    uint32_t *link = &listing->pegs;
    while (*link != NONE && book->orders[*link].ref <= ref)
        link = &extra_of(book, *link)->peg_next;
    return link;
}

void peg_join(struct book *book, uint32_t index)
{
    const struct order *order = &book->orders[index];
    struct instrument *listing = &book->instruments[order->instrument];
    uint32_t *link = peg_after(book, listing, order->ref);
    extra_of(book, index)->peg_next = *link;
    *link = index;
    listing->peg_count++;
}

// One that never came to rest is in no list.
static void peg_leave(struct book *book, uint32_t index)
{
    struct instrument *listing = &book->instruments[book->orders[index].instrument];
    uint32_t *link = &listing->pegs;
    while (*link != NONE && *link != index)
        link = &extra_of(book, *link)->peg_next;
    if (*link == NONE)
        return;
    *link = extra_of(book, index)->peg_next;
    listing->peg_count--;
}

// One step of SplitMix64 (Steele, Lea and Flood 2014).
static uint64_t mixed(uint64_t word)
{
    word += 0x9E3779B97F4A7C15ull;
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9ull;
    word = (word ^ word >> 27) * 0x94D049BB133111EBull;
    return word ^ word >> 31;
}

// Shares of the next slice. What is left to chance follows from the day's session id, the command
// and the number of the slice: a replay draws the same.
static uint64_t slice_size(const struct book *book, const struct extra *extra)
{
    if (extra->random_reserve == 0)
        return extra->max_floor;
    uint64_t id;
    memcpy(&id, book->session_id + sizeof(book->session_id) - sizeof(id), sizeof(id));
    uint64_t draw = mixed(mixed(id + book->seq) + book->slice_count);
    uint64_t sizes = 2ull * extra->random_reserve + 1;
    return (uint64_t)extra->max_floor - extra->random_reserve + ((draw >> 32) * sizes >> 32);
}

void extra_display(struct book *book, uint32_t index)
{
    struct order *order = &book->orders[index];
    struct extra *extra = extra_of(book, index);
    uint64_t slice = slice_size(book, extra);
    if (slice != 0 && slice < order->open) {
        extra->reserve = order->open - (uint32_t)slice;
        order->open = (uint32_t)slice;
    }
}

void extra_rest(struct book *book, uint32_t index)
{
    const struct extra *extra = extra_of(book, index);
    if (!book->orders[index].attributes.auction)
        extra_display(book, index);
    if (extra->expire_seconds != 0)
        timer_add(book, index, extra->expire_seconds + 1);
    if (extra->limit != 0)
        peg_join(book, index);
}

void extra_leave(struct book *book, uint32_t index)
{
    struct extra *extra = extra_of(book, index);
    if (extra->timer_bucket != 0)
        timer_remove(book, index);
    if (extra->limit != 0)
        peg_leave(book, index);
    slots_give(&book->extra_slots, &extra->timer_next, book->orders[index].extra);
}

static void settle_all(struct book *book, struct event_sink *sink)
{
    for (uint16_t index = 0; index < book->instrument_count; index++)
        settle(book, sink, &book->instruments[index]);
}

void expire(struct book *book, struct event_sink *sink)
{
    uint64_t second = clock_second(book), now = book->event_time_ns / NS_PER_SECOND;
    book->next_second_ns = (now + 1) * NS_PER_SECOND;
    if (book->timed_count == 0)
        return;
    uint64_t last = now - second < WHEEL_SECONDS ? now : second + WHEEL_SECONDS;
    uint32_t before = book->timed_count;
    while (second < last && book->timed_count > 0) {
        uint32_t *bucket = &book->wheel[wheel_second(++second)];
        while (*bucket != NONE)
            cancel_resting(book, sink, extra_of(book, *bucket)->timer_next, 'T');
    }
    if (book->timed_count != before)
        settle_all(book, sink);
}

// --- Matching where there are more than displayed orders

void book_follow(struct book *book, book_reference_fn *reference, void *context)
{
    book->reference = reference;
    book->reference_context = context;
}

// The best displayed price, or 0.
static uint32_t displayed_best(const struct instrument *listing, enum side side)
{
    uint32_t best = listing->best[side];
    return best == RANK_NONE ? 0 : rank_of(side, best);
}

uint32_t reference_price(const struct book *book, const struct instrument *listing, enum side side)
{
    if (likely(book->reference == NULL))
        return displayed_best(listing, side);
    return book->reference(book->reference_context, (uint16_t)(listing - book->instruments), side);
}

uint32_t midpoint_of(const struct book *book, const struct instrument *listing)
{
    uint32_t bid = reference_price(book, listing, SIDE_BUY);
    uint32_t ask = reference_price(book, listing, SIDE_SELL);
    uint32_t lowest = displayed_best(listing, SIDE_BUY);
    uint32_t highest = displayed_best(listing, SIDE_SELL);
    uint32_t middle = bid == 0 || ask <= bid ? 0 : bid + (ask - bid) / 2;
    return middle > lowest && (highest == 0 || middle < highest) ? middle : 0;
}

// The first live midpoint order of a side, or NONE.
static uint32_t live_midpoint(const struct book *book, const struct instrument *listing,
                              enum side side, uint32_t midpoint)
{
    uint32_t best = listing->midpoint[side].best;
    if (midpoint == 0 || best == NONE || book->far_levels[best].rank > rank_of(side, midpoint))
        return NONE;
    return best;
}

struct maker special_maker(const struct book *book, const struct taker *taker)
{
    const struct instrument *listing = taker->listing;
    enum side side = taker->opposite;
    struct maker maker = {.index = NONE};
    uint32_t best = listing->best[side];
    if (best != RANK_NONE) {
        maker.price = rank_of(side, best);
        maker.level = level_at(book, listing, side, maker.price);
        maker.index = maker.level->head;
    }
    const struct order *used_up = &book->orders[book->used_up_head];
    if (book->used_up_head != NONE && order_rank(used_up) < best) {
        best = order_rank(used_up);
        maker = (struct maker){book->used_up_head, used_up->price, NULL, PART_RESERVE};
    }
    struct far_level *hidden = &book->far_levels[listing->hidden[side].best];
    if (listing->hidden[side].best != NONE && hidden->rank < best) {
        best = hidden->rank;
        maker =
            (struct maker){hidden->level.head, rank_of(side, best), &hidden->level, PART_HIDDEN};
    }
    uint32_t live = live_midpoint(book, listing, side, taker->midpoint);
    if (live != NONE && rank_of(side, taker->midpoint) < best) {
        best = rank_of(side, taker->midpoint);
        struct level *level = &book->far_levels[live].level;
        maker = (struct maker){level->head, taker->midpoint, level, PART_MIDPOINT};
    }
    if (best > taker->limit)
        maker.index = NONE;
    return maker;
}

static uint64_t tree_available(const struct book *book, const struct taker *taker,
                               const struct tree *tree, uint32_t limit, uint64_t wanted)
{
    uint64_t found = 0;
    for (uint32_t index = tree->best;
         index != NONE && book->far_levels[index].rank <= limit && found < wanted;
         index = tree_after(book, index))
        for (uint32_t at = book->far_levels[index].level.head; at != NONE && found < wanted;
             at = book->orders[at].next)
            if (!self_matched(book, taker->order, &book->orders[at]))
                found += book->orders[at].open;
    return found;
}

uint64_t special_available(const struct book *book, const struct taker *taker, uint64_t wanted)
{
    const struct instrument *listing = taker->listing;
    uint64_t found =
        tree_available(book, taker, &listing->hidden[taker->opposite], taker->limit, wanted);
    uint32_t rank = rank_of(taker->opposite, taker->midpoint);
    if (taker->midpoint != 0 && rank <= taker->limit)
        found += tree_available(book, taker, &listing->midpoint[taker->opposite], rank, wanted);
    return found;
}

// --- Reserves

static uint32_t used_up_first(struct book *book)
{
    uint32_t index = book->used_up_head;
    book->used_up_head = book->orders[index].next;
    if (book->used_up_head == NONE)
        book->used_up_tail = NONE;
    return index;
}

void used_up_add(struct book *book, uint32_t index)
{
    book->orders[index].next = NONE;
    book->orders[book->used_up_tail].next = index;
    book->used_up_head = book->used_up_head == NONE ? index : book->used_up_head;
    book->used_up_tail = index;
}

void used_up_first_done(struct book *book)
{
    uint32_t index = used_up_first(book);
    table_remove(book, index);
    order_give(book, index);
}

void used_up_refresh(struct book *book, struct event_sink *sink, struct instrument *listing)
{
    while (book->used_up_head != NONE) {
        uint32_t index = used_up_first(book);
        struct order *order = &book->orders[index];
        struct extra *extra = extra_of(book, index);
        uint64_t slice = slice_size(book, extra);
        order->open = extra->reserve < slice ? extra->reserve : (uint32_t)slice;
        extra->reserve -= order->open;
        if (!order_link(book, listing, index)) { // too many price levels
            emit_changed(book, sink, EVENT_CANCELED, order, order->open + extra->reserve, 'Z');
            table_remove(book, index);
            order_give(book, index);
            continue;
        }
        order->ref = SLICE_REF | ++book->slice_count;
        emit_changed(book, sink, EVENT_RESTATED, order, order->open, 'R');
        emit_add(book, sink, order);
    }
}

// --- Pegs

uint32_t peg_price(const struct book *book, uint16_t instrument, enum side side, enum peg peg,
                   int16_t offset, uint32_t limit)
{
    enum side followed = peg == PEG_PRIMARY ? side : opposite_of(side);
    const struct instrument *listing = &book->instruments[instrument];
    uint32_t reference = reference_price(book, listing, followed);
    if (reference == 0 || collects(listing))
        return 0;
    uint32_t edge = band_edge(listing, side);
    if (edge != 0 && (side == SIDE_BUY ? limit > edge : limit < edge))
        limit = edge;
    int64_t price = (int64_t)reference + offset;
    int64_t lowest = side == SIDE_BUY ? 1 : limit, highest = side == SIDE_BUY ? limit : PRICE_MAX;
    price = price < lowest ? lowest : price;
    return (uint32_t)(price > highest ? highest : price);
}

// A resting order comes in again at another price.
static void peg_move(struct book *book, struct event_sink *sink, struct instrument *listing,
                     uint32_t index, uint32_t price)
{
    struct order *order = &book->orders[index];
    enum side opposite = opposite_of(book_side(order->side));
    order_unlink(book, listing, dark_at(book, listing, order), index);
    order->price = price;
    struct taker taker = {.order = order,
                          .listing = listing,
                          .opposite = opposite,
                          .limit = rank_of(opposite, price),
                          .midpoint = midpoint_of(book, listing),
                          .special = true};
    struct maker maker;
    while (order->open > 0 && (maker = special_maker(book, &taker)).index != NONE)
        meet(book, sink, &taker, &maker);
    used_up_refresh(book, sink, listing);
    if (order->open > 0 && order_link(book, listing, index))
        return;
    if (order->open > 0) // too many price levels
        emit_changed(book, sink, EVENT_CANCELED, order, order->open, 'Z');
    table_remove(book, index);
    order_give(book, index);
}

// Every peg gets the price that it should have, in the order in which they came. True when one
// moved: it may have traded, and so moved what the others follow. Only trades of displayed orders
// do that, and shares are finite.
static bool pegs_follow(struct book *book, struct event_sink *sink, struct instrument *listing)
{
    bool moved = false;
    for (uint32_t index = listing->pegs; index != NONE;) {
        const struct order *order = &book->orders[index];
        const struct extra *extra = extra_of(book, index);
        uint64_t ref = order->ref;
        uint32_t price = peg_price(book, order->instrument, book_side(order->side),
                                   order->attributes.peg, extra->peg_offset, extra->limit);
        if (price == 0 || price == order->price) {
            index = extra->peg_next;
            continue;
        }
        peg_move(book, sink, listing, index, price);
        moved = true;
        index = *peg_after(book, listing, ref);
    }
    return moved;
}

// --- Settling

// The next trade that a moved midpoint has made acceptable: false when there is none.
static bool next_pair(struct book *book, struct instrument *listing, struct taker *taker,
                      struct maker *maker)
{
    uint32_t midpoint = midpoint_of(book, listing);
    uint32_t live[2] = {live_midpoint(book, listing, SIDE_BUY, midpoint),
                        live_midpoint(book, listing, SIDE_SELL, midpoint)};
    for (enum side side = SIDE_BUY; side <= SIDE_SELL; side++) {
        enum side other = opposite_of(side);
        uint32_t hidden = listing->hidden[other].best;
        if (live[side] == NONE || hidden == NONE ||
            book->far_levels[hidden].rank > rank_of(other, midpoint))
            continue;
        struct level *level = &book->far_levels[hidden].level;
        taker->order = &book->orders[book->far_levels[live[side]].level.head];
        taker->opposite = other;
        *maker = (struct maker){level->head, book->orders[level->head].price, level, PART_HIDDEN};
        return true;
    }
    if (live[SIDE_BUY] == NONE || live[SIDE_SELL] == NONE)
        return false;
    uint32_t buy = book->far_levels[live[SIDE_BUY]].level.head;
    uint32_t sell = book->far_levels[live[SIDE_SELL]].level.head;
    enum side taking = book->orders[buy].ref > book->orders[sell].ref ? SIDE_BUY : SIDE_SELL;
    taker->opposite = opposite_of(taking);
    taker->order = &book->orders[taking == SIDE_BUY ? buy : sell];
    *maker = (struct maker){taking == SIDE_BUY ? sell : buy, midpoint,
                            &book->far_levels[live[taker->opposite]].level, PART_MIDPOINT};
    return true;
}

void settle(struct book *book, struct event_sink *sink, struct instrument *listing)
{
    struct taker taker = {.listing = listing, .special = true};
    struct maker maker;
    if (listing->phase != PHASE_TRADING)
        return;
    while (listing->pegs != NONE && pegs_follow(book, sink, listing))
        ;
    if ((listing->midpoint[SIDE_BUY].best | listing->midpoint[SIDE_SELL].best) == NONE)
        return;
    while (next_pair(book, listing, &taker, &maker)) {
        struct order *order = taker.order;
        struct level *level = dark_at(book, listing, order);
        uint32_t open = order->open;
        meet(book, sink, &taker, &maker);
        level->quantity -= open - order->open;
        if (order->open == 0)
            order_remove(book, listing, level, (uint32_t)(order - book->orders));
    }
}

// --- Mass cancel

static bool in_scope(const struct book *book, const struct command *command,
                     const struct order *order)
{
    static const char any_firm[4];
    return (command->mass.session == ANY_SESSION || command->mass.session == order->session) &&
           (command->instrument == NO_INSTRUMENT || command->instrument == order->instrument) &&
           (command->mass.side == ANY_SIDE || command->mass.side == order->side) &&
           (memcmp(command->mass.firm, any_firm, 4) == 0 ||
            memcmp(command->mass.firm, firm_of(book, order), 4) == 0);
}

// How far ahead lines are asked for: in a list of orders an order's, then those it leads to; and
// where events will be written.
#define ORDER_AHEAD      16u
#define NEIGHBOURS_AHEAD 8u
#define EVENTS_AHEAD     16u

static inline void prefetch_order(const struct book *book, const uint32_t *orders, uint32_t at,
                                  uint32_t count)
{
    if (at + ORDER_AHEAD >= count)
        return;
    const struct order *order = &book->orders[orders[at + ORDER_AHEAD]];
    prefetch(order);
    prefetch((const char *)(order + 1) - 1);
}

static inline void prefetch_neighbours(const struct book *book, const uint32_t *orders, uint32_t at,
                                       uint32_t count)
{
    if (at + NEIGHBOURS_AHEAD >= count)
        return;
    const struct order *order = &book->orders[orders[at + NEIGHBOURS_AHEAD]];
    prefetch(&book->orders[order->next].previous);
    prefetch(&book->orders[order->previous].next);
    prefetch(level_near(book, order->instrument, order->price));
    prefetch(user_ref_head(book, order->session, order->user_ref_index, order->user_ref_num));
}

// A cancel writes two events, its session's and the feed's.
static inline void prefetch_events(const struct event_sink *sink)
{
    if (sink->end - sink->next < EVENTS_AHEAD + 2)
        return;
    __builtin_prefetch(sink->next + EVENTS_AHEAD, 1);
    __builtin_prefetch(sink->next + EVENTS_AHEAD + 1, 1);
}

// References are sorted by digits of so many bits.
#define DIGIT_BITS 11u
#define DIGITS     (1u << DIGIT_BITS)

static inline uint32_t digit_of(uint64_t ref, uint32_t shift)
{
    return (uint32_t)(ref >> shift) & (DIGITS - 1);
}

// One pass of a radix sort: by one digit of the references, and where that is the same as before.
static void sort_by_digit(const struct book *book, const uint32_t *from, uint32_t *to,
                          uint32_t count, uint32_t shift)
{
    uint32_t starts[DIGITS] = {0}, start = 0;
    for (uint32_t i = 0; i < count; i++) {
        prefetch_order(book, from, i, count);
        starts[digit_of(book->orders[from[i]].ref, shift)]++;
    }
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        uint32_t next = start + starts[digit];
        starts[digit] = start;
        start = next;
    }
    for (uint32_t i = 0; i < count; i++) {
        prefetch_order(book, from, i, count);
        to[starts[digit_of(book->orders[from[i]].ref, shift)]++] = from[i];
    }
}

// The orders that a mass cancel takes, by reference, lowest first. Looks at the whole pool once, in
// the order of memory: no list has to be kept for it on the way of every order.
static const uint32_t *orders_in_scope(const struct book *book, const struct command *command,
                                       uint32_t *count)
{
    uint32_t *orders = book->scratch[0], *other = book->scratch[1], found = 0;
    uint64_t any = 0, all = UINT64_MAX; // bits that are set in some reference, and in each
    for (uint32_t index = 1; index < book->order_slots.fresh; index++) {
        const struct order *order = &book->orders[index];
        if (order->open == 0 || !in_scope(book, command, order))
            continue;
        any |= order->ref;
        all &= order->ref;
        orders[found++] = index;
    }
    for (uint32_t shift = 0; found > 1 && shift < 64; shift += DIGIT_BITS) {
        if (digit_of(any ^ all, shift) == 0)
            continue;
        sort_by_digit(book, orders, other, found, shift);
        uint32_t *sorted = other;
        other = orders;
        orders = sorted;
    }
    *count = found;
    return orders;
}

static enum reject_reason mass_cancel_check(const struct book *book, const struct command *command)
{
    if (command->verdict != REJECT_NONE)
        return command->verdict;
    if (book->state != BOOK_TRADING)
        return REJECT_DESTINATION_CLOSED;
    if (command->instrument >= book->instrument_count && command->instrument != NO_INSTRUMENT)
        return REJECT_INVALID_SYMBOL;
    return REJECT_NONE;
}

void apply_mass_cancel(struct book *book, const struct command *command, struct event_sink *sink)
{
    if (command->session != ANY_SESSION) {
        if (!consume_user_ref(book, command))
            return;
        enum reject_reason reason = mass_cancel_check(book, command);
        if (reason == REJECT_NONE && !pass_allowed(book, command->session))
            reason = REJECT_RISK_RATE;
        if (reason != REJECT_NONE) {
            reject(book, command, sink, reason);
            return;
        }
        struct event *event = emit_rare(book, sink, EVENT_MASS_CANCELED, command->session);
        event->user_ref_num = command->mass.user_ref_num;
        event->user_ref_index = command->user_ref_index;
        event->instrument = command->instrument;
        event->side = command->mass.side;
        memcpy(event->firm, command->mass.firm, sizeof(event->firm));
    } else if (command->verdict != REJECT_NONE) {
        return;
    }
    uint32_t count;
    const uint32_t *orders = orders_in_scope(book, command, &count);
    for (uint32_t i = 0; i < count; i++) {
        prefetch_order(book, orders, i, count);
        prefetch_neighbours(book, orders, i, count);
        prefetch_events(sink);
        if (command->session == ANY_SESSION || !cross_keeps(book, sink, orders[i], true))
            cancel_resting(book, sink, orders[i], (char)command->mass.reason);
    }
    settle_all(book, sink);
}
