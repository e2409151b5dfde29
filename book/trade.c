// SPDX-License-Identifier: MIT
//
// Commands of orders: they enter, trade, rest, change and leave.
#include "book/trade.h"

#include "book/checks.h"
#include "book/events.h"
#include "numa/fault.h"

static inline void emit_canceled(struct book *book, struct event_sink *sink,
                                 const struct order *order, char reason)
{
    emit_changed(book, sink, EVENT_CANCELED, order, order->open + order_reserve(book, order),
                 (uint8_t)reason);
}

// Takes a resting order out of its queue, and tells the feed.
static inline void leave_queue(struct book *book, struct event_sink *sink,
                               struct instrument *listing, uint32_t index)
{
    const struct order *order = &book->orders[index];
    if (likely(order_displayed(order)))
        emit_feed(book, sink, EVENT_FEED_DELETE, order->instrument, book_side(order->side),
                  order->open, order->price, order->ref, 0);
    order_unlink(book, listing, order_level(book, listing, order), index);
}

static void remove_resting(struct book *book, struct event_sink *sink, struct instrument *listing,
                           uint32_t index)
{
    leave_queue(book, sink, listing, index);
    table_remove(book, index);
    order_give(book, index);
}

void cancel_resting(struct book *book, struct event_sink *sink, uint32_t index, char reason)
{
    const struct order *order = &book->orders[index];
    emit_canceled(book, sink, order, reason);
    remove_resting(book, sink, &book->instruments[order->instrument], index);
}

bool consume_user_ref(struct book *book, const struct command *command)
{
    uint32_t *last = &book->sessions[command->session].last_user_ref_num[command->user_ref_index];
    if (command->order.user_ref_num <= *last && !FAULT(DEDUPE_FORGOTTEN))
        return false;
    *last = command->order.user_ref_num;
    return true;
}

void reject(struct book *book, const struct command *command, struct event_sink *sink,
            enum reject_reason reason)
{
    struct event *event = emit_rare(book, sink, EVENT_REJECTED, command->session);
    event->user_ref_num = command->order.user_ref_num;
    event->user_ref_index = command->user_ref_index;
    event->code = (uint8_t)reason;
    if (command->type == COMMAND_ENTER)
        memcpy(event->order.client_order_id, command->order.client_order_id,
               sizeof(event->order.client_order_id));
}

// --- Matching

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

static struct taker taker_of(struct book *book, struct order *order, enum side opposite)
{
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
    taker.midpoint = midpoint_of(listing);
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
        taker->listing->last_price = maker->price;
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

// --- Entering

static inline bool may_rest(const struct order *order)
{
    return order->attributes.time_in_force != TIF_IOC && order->price != PRICE_MARKET;
}

// Puts what is left of an order into the book; false when there are too many price levels.
static inline bool rest(struct book *book, struct instrument *listing, uint32_t *head,
                        uint32_t index)
{
    if (unlikely(book->orders[index].extra != NONE))
        extra_rest(book, index);
    if (unlikely(!order_link(book, listing, index)))
        return false;
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

// Trades what can trade, rests or cancels what is left. `min_quantity` 0: any.
static __attribute__((noinline)) void match_and_rest(struct book *book, struct event_sink *sink,
                                                     struct taker *taker, uint32_t *head,
                                                     uint32_t index, uint32_t min_quantity)
{
    struct order *order = taker->order;
    if (unlikely((taker->listing->minded & MIND_TRADES) || order->extra != NONE) &&
        hold(book, sink, taker->listing, head, index))
        return;
    if (unlikely(order->attributes.post_only) && next_maker(book, taker).index != NONE) {
        drop_incoming(book, sink, index, 'G');
        return;
    }
    uint32_t limit = taker->limit;
    bool beyond = unlikely(taker->listing->minded & MIND_TRADES) && keep_to_band(taker);
    if (unlikely(min_quantity > 0) && !available(book, taker, min_quantity)) {
        drop_incoming(book, sink, index, 'I');
        return;
    }
    match(book, sink, taker);
    if (unlikely(book->used_up_head != NONE))
        used_up_refresh(book, sink, taker->listing);
    if (order->open == 0)
        order_give(book, index);
    else if (unlikely(beyond) && stop_at_band(book, sink, taker, limit, index))
        return;
    else if (may_rest(order))
        rest_or_drop(book, sink, taker->listing, head, index);
    else
        drop_incoming(book, sink, index, 'I');
}

static inline struct order_attributes attributes_of(const struct command *command)
{
    struct order_attributes attributes = command->order.attributes;
    attributes.auction = 0;
    return attributes;
}

// An order of a command that has been checked.
static inline void order_fill(const struct book *book, struct order *order,
                              const struct command *command, struct order_attributes attributes)
{
    order->ref = book->seq;
    order->user_ref_num = command->order.user_ref_num;
    order->open = command->order.quantity;
    order->price = command->order.price;
    order->session = command->session;
    order->instrument = command->instrument;
    order->executed = 0;
    order->side = command->side;
    order->user_ref_index = command->user_ref_index;
    order->attributes = attributes;
    order->extra = NONE;
}

// What a command says of options, before its ACCEPTED or REPLACED: nothing where that is none. All
// but the minimum quantity take an extra.
static __attribute__((noinline)) void emit_options(struct book *book, struct event_sink *sink,
                                                   const struct command *command)
{
    struct order_options options = {
        .min_quantity = command->type == COMMAND_ENTER ? command->order.min_quantity : 0,
        .max_floor = command->order.max_floor,
        .expire_seconds = command->order.expire_seconds,
        .random_reserve = command->order.random_reserve,
        .peg_offset = command->order.peg_offset,
    };
    static const struct order_options none;
    if (memcmp(&options, &none, sizeof(options)) == 0)
        return;
    struct event *event = emit_rare(book, sink, EVENT_OPTIONS, command->session);
    book->sessions[command->session].stream_next--; // it has no number of its own
    event->user_ref_num = command->order.user_ref_num;
    event->user_ref_index = command->user_ref_index;
    event->options = options;
}

static inline void apply_enter(struct book *book, const struct command *command, uint32_t *head,
                               struct event_sink *sink)
{
    if (unlikely(!consume_user_ref(book, command)))
        return;
    bool has_extra = extra_needed(book, command, command->order.firm);
    enum reject_reason reason = enter_check(book, command, has_extra);
    if (unlikely(reason != REJECT_NONE)) {
        reject(book, command, sink, reason);
        return;
    }
    enum side side = book_side(command->side), opposite = opposite_of(side);
    struct instrument *listing = &book->instruments[command->instrument];
    struct order_attributes attributes = attributes_of(command);
    uint32_t index = order_take(book);
    struct order *order = &book->orders[index];
    order_fill(book, order, command, attributes);
    if (unlikely(has_extra)) {
        order->price = price_of(book, command, command->instrument, command->side);
        extra_take(book, order, command, command->order.firm);
    }
    if (watched(book, order))
        account_open(book, order);
    if (unlikely(has_extra || command->order.min_quantity != 0))
        emit_options(book, sink, command);
    struct event *accepted = emit_entered(book, sink, EVENT_ACCEPTED, command, command->instrument,
                                          command->side, command->order.quantity, attributes);
    if (unlikely(has_extra))
        accepted->code = command->order.cross;

    bool meets = listing->best[opposite] <= rank_of(opposite, command->order.price) ||
                 command->order.price == PRICE_MARKET || listing->special_count != 0;
    if (likely(!meets && !has_extra && plain_day(attributes))) {
        // It only has to rest, as most do.
        struct level *level = level_claim(book, listing, side, command->order.price);
        if (likely(level != NULL)) {
            queue_join(book, level, index);
            table_add(book, head, index);
            struct event *event =
                emit_feed(book, sink, EVENT_FEED_ADD, command->instrument, side,
                          command->order.quantity, command->order.price, book->seq, 0);
            if (unlikely(attributes.display == DISPLAY_ATTRIBUTABLE))
                memcpy(event->firm, firm_of(book, order), sizeof(event->firm));
            return;
        }
    }
    struct taker taker = taker_of(book, order, opposite);
    match_and_rest(book, sink, &taker, head, index, command->order.min_quantity);
    if (unlikely(listing->special_count != 0))
        settle(book, sink, listing);
}

// --- Replacing

// The replacement takes the old order's place in the pool.
static void become(struct book *book, struct order *order, const struct command *command,
                   uint32_t price)
{
    char firm[4];
    memcpy(firm, firm_of(book, order), sizeof(firm));
    uint32_t executed = order->executed;
    uint8_t cross = order_cross(book, order);
    order->ref = book->seq;
    order->user_ref_num = command->order.user_ref_num;
    order->side = side_after(command, order);
    order->price = price;
    order->open = command->order.quantity - executed;
    order->attributes = attributes_of(command);
    if (unlikely(order->extra != NONE))
        extra_leave(book, (uint32_t)(order - book->orders));
    order->extra = NONE;
    if (likely(!extra_needed(book, command, firm) && cross == CROSS_NONE))
        return;
    extra_take(book, order, command, firm);
    book->extras[order->extra].cross = cross;
}

// An order without any option that a replacement can keep.
static inline bool bare(struct order_attributes attributes)
{
    return only(attributes,
                (struct order_attributes){
                    .time_in_force = 7, .display = 3, .capacity = 3, .sweep = 1, .auction = 1});
}

// Whether a REPLACE says itself all that the new order is, as it does where neither order has any
// option.
static inline bool says_all(const struct command *command, const struct order *old)
{
    return command->order.kept == 0 ||
           (old->extra == NONE && bare(old->attributes) && bare(command->order.attributes) &&
            (command->order.max_floor | command->order.expire_seconds |
             command->order.random_reserve | (uint16_t)command->order.peg_offset) == 0);
}

// The REPLACE, saying it.
static __attribute__((noinline)) struct command said_out(const struct book *book,
                                                         const struct command *command,
                                                         const struct order *old)
{
    static const struct extra none;
    const struct extra *extra = old->extra != NONE ? &book->extras[old->extra] : &none;
    struct command said = *command;
    struct order_attributes *attributes = &said.order.attributes;
    uint32_t kept = command->order.kept;
    said.order.kept = kept & SAID_SIDE;
    if (kept & KEPT_PEG)
        attributes->peg = old->attributes.peg;
    if (kept & KEPT_POST_ONLY)
        attributes->post_only = old->attributes.post_only;
    if (kept & KEPT_SELF_MATCH)
        attributes->self_match = old->attributes.self_match;
    if (kept & KEPT_TRADE_NOW)
        attributes->trade_now = old->attributes.trade_now;
    if (kept & KEPT_MAX_FLOOR)
        said.order.max_floor = extra->max_floor;
    if (kept & KEPT_RANDOM_RESERVE)
        said.order.random_reserve = said.order.max_floor != 0 ? extra->random_reserve : 0;
    if (kept & KEPT_EXPIRE_SECONDS)
        said.order.expire_seconds =
            attributes->time_in_force == TIF_GTT ? extra->expire_seconds : 0;
    if (kept & KEPT_PEG_OFFSET)
        said.order.peg_offset = (int16_t)(follows(*attributes) ? extra->peg_offset : 0);
    return said;
}

// Why an order that is late for its cross is not replaced; REJECT_NONE: it is not late.
static enum reject_reason late_reason(const struct book *book, const struct order *order)
{
    if (!cross_is_late(&book->instruments[order->instrument], order_cross(book, order)))
        return REJECT_NONE;
    return book->extras[order->extra].late & LATE_PENDING ? REJECT_CANCEL_PENDING
                                                          : REJECT_REPLACE_NOT_ALLOWED;
}

// OUCH 5.0 section 6: outcome 1 is silence, 2 cancels the old order, 3 leaves it, 4 replaces it.
static void apply_replace(struct book *book, const struct command *command, struct event_sink *sink)
{
    struct command said;
    uint32_t index = order_find(book, command->session, command->user_ref_index,
                                command->order.orig_user_ref_num);
    uint32_t *last = &book->sessions[command->session].last_user_ref_num[command->user_ref_index];
    if (index == NONE || command->order.user_ref_num <= *last)
        return;
    struct order *order = &book->orders[index];
    struct instrument *listing = &book->instruments[order->instrument];
    bool special = listing->special_count != 0;
    if (unlikely(!says_all(command, order))) {
        said = said_out(book, command, order);
        command = &said;
    }
    enum reject_reason reason = special ? late_reason(book, order) : REJECT_NONE;
    if (unlikely(reason != REJECT_NONE)) {
        *last = command->order.user_ref_num;
        reject(book, command, sink, reason);
        return;
    }
    if (unlikely(!replace_valid(book, command, order))) {
        cancel_resting(book, sink, index, 'U');
        if (special)
            settle(book, sink, listing);
        return;
    }
    *last = command->order.user_ref_num;
    reason = command->verdict;
    if (unlikely(command->order.kept & SAID_SIDE) && reason == REJECT_NONE)
        reason = change_check(book, order->session, order->side, command->side);
    if (unlikely(restricted(book, order->session, order->instrument)) && reason == REJECT_NONE)
        reason = restriction(book, command, order);
    if (unlikely(reason != REJECT_NONE)) {
        reject(book, command, sink, reason);
        return;
    }
    uint32_t price = price_of(book, command, order->instrument, order->side);
    if (unlikely(price == 0)) {
        reject(book, command, sink, REJECT_QUOTE_UNAVAILABLE);
        return;
    }
    const struct order old = *order;
    account_less(book, order, order->open + order_reserve(book, order));
    order_unlink(book, listing, order_level(book, listing, order), index);
    table_remove(book, index);
    become(book, order, command, price);
    if (watched(book, order))
        account_add(book, order, order->open);
    if (unlikely(order->extra != NONE))
        emit_options(book, sink, command);
    emit_entered(book, sink, EVENT_REPLACED, command, order->instrument, order->side, order->open,
                 order->attributes)
        ->code = order_cross(book, order);
    uint32_t *head =
        user_ref_head(book, command->session, command->user_ref_index, command->order.user_ref_num);

    struct taker taker = taker_of(book, order, opposite_of(book_side(order->side)));
    bool displayed = order_displayed(&old);
    if (displayed && old.attributes.display == order->attributes.display && may_rest(order) &&
        !collects(listing) && listing->band == 0 && next_maker(book, &taker).index == NONE &&
        likely(rest(book, listing, head, index))) {
        emit_feed(book, sink, EVENT_FEED_REPLACE, order->instrument, book_side(order->side),
                  order->open, order->price, old.ref, 0);
    } else {
        if (displayed)
            emit_feed(book, sink, EVENT_FEED_DELETE, old.instrument, book_side(old.side), old.open,
                      old.price, old.ref, 0);
        match_and_rest(book, sink, &taker, head, index, 0);
    }
    if (unlikely(special || listing->special_count != 0))
        settle(book, sink, listing);
}

// --- Changing

// The intended total becomes `total`, which is less than now and more than executed: the reserve
// gives first.
static void reduce(struct book *book, struct event_sink *sink, struct instrument *listing,
                   struct order *order, uint32_t total, uint8_t type)
{
    uint32_t reserve = order_reserve(book, order), open = total - order->executed;
    uint32_t removed = order->open + reserve - open;
    uint32_t of_reserve = removed < reserve ? removed : reserve;
    account_less(book, order, removed);
    emit_changed(book, sink, type, order, type == EVENT_CANCELED ? removed : open,
                 type == EVENT_CANCELED ? 'U' : 0);
    if (of_reserve > 0)
        book->extras[order->extra].reserve -= of_reserve;
    removed -= of_reserve;
    order->open -= removed;
    order_level(book, listing, order)->quantity -= removed;
    if (removed > 0 && order_displayed(order))
        emit_feed(book, sink, EVENT_FEED_CANCEL, order->instrument, book_side(order->side), removed,
                  order->price, order->ref, 0);
}

static inline uint32_t intended_total(const struct book *book, const struct order *order)
{
    return order->executed + order->open + order_reserve(book, order);
}

static __attribute__((noinline)) void emit_cancel_rejected(struct book *book,
                                                           const struct command *command,
                                                           struct event_sink *sink)
{
    struct event *event = emit_rare(book, sink, EVENT_CANCEL_REJECTED, command->session);
    event->user_ref_num = command->order.user_ref_num;
    event->user_ref_index = command->user_ref_index;
}

// A cancel too many a second: true when the client has been told so.
static inline bool cancel_refused(struct book *book, const struct order *order,
                                  const struct command *command, struct event_sink *sink)
{
    if (!watched(book, order) || likely(cancel_allowed(book, command->session)))
        return false;
    emit_cancel_rejected(book, command, sink);
    return true;
}

// An order that the command would cancel or reduce is late for its cross, and stays.
static __attribute__((noinline)) bool kept_for_cross(struct book *book,
                                                     const struct command *command, uint32_t index,
                                                     struct event_sink *sink)
{
    return cross_keeps(book, sink, index, command->order.quantity <= book->orders[index].executed);
}

static inline void apply_cancel(struct book *book, const struct command *command, uint32_t *head,
                                struct event_sink *sink)
{
    uint32_t *link = order_link_of(book, head, command->session, command->user_ref_index,
                                   command->order.user_ref_num);
    uint32_t index = *link;
    if (index == NONE || command->verdict != REJECT_NONE)
        return;
    struct order *order = &book->orders[index];
    struct instrument *listing = &book->instruments[order->instrument];
    bool special = listing->special_count != 0;
    if (command->order.quantity >= intended_total(book, order) ||
        (unlikely(order->extra != NONE) && kept_for_cross(book, command, index, sink)) ||
        cancel_refused(book, order, command, sink))
        return;
    if (likely(command->order.quantity <= order->executed)) {
        emit_canceled(book, sink, order, 'U');
        leave_queue(book, sink, listing, index);
        *link = order->user_next;
        order_give(book, index);
    } else {
        reduce(book, sink, listing, order, command->order.quantity, EVENT_CANCELED);
    }
    if (unlikely(special))
        settle(book, sink, listing);
}

static void apply_modify(struct book *book, const struct command *command, struct event_sink *sink)
{
    uint32_t index =
        order_find(book, command->session, command->user_ref_index, command->order.user_ref_num);
    if (index == NONE || command->verdict != REJECT_NONE)
        return;
    struct order *order = &book->orders[index];
    struct instrument *listing = &book->instruments[order->instrument];
    uint32_t total = intended_total(book, order);
    bool no_change = command->side == order->side && command->order.quantity == total;
    if (!side_change_allowed(order->side, command->side) || command->order.quantity > total ||
        change_check(book, order->session, order->side, command->side) != REJECT_NONE ||
        no_change ||
        (command->order.quantity < total && kept_for_cross(book, command, index, sink)) ||
        cancel_refused(book, order, command, sink))
        return;
    bool special = listing->special_count != 0;
    if (command->order.quantity <= order->executed) {
        cancel_resting(book, sink, index, 'U');
    } else {
        order->side = command->side;
        reduce(book, sink, listing, order, command->order.quantity, EVENT_MODIFIED);
    }
    if (special)
        settle(book, sink, listing);
}

// --- Dispatch

// `head`: of the chain of the order that the command names; of a REPLACE, the old one.
static inline void apply_order(struct book *book, const struct command *command, uint32_t *head,
                               struct event_sink *sink)
{
    switch (command->type) {
    case COMMAND_ENTER:
        apply_enter(book, command, head, sink);
        break;
    case COMMAND_REPLACE:
        apply_replace(book, command, sink);
        break;
    case COMMAND_CANCEL:
        apply_cancel(book, command, head, sink);
        break;
    case COMMAND_MODIFY:
        apply_modify(book, command, sink);
        break;
    case COMMAND_QUERY:
        apply_query(book, command, sink);
        break;
    case COMMAND_MASS_CANCEL:
        apply_mass_cancel(book, command, sink);
        break;
    case COMMAND_ENTRY:
        apply_entry(book, command, sink);
        break;
    }
}

static inline bool operators(const struct command *command)
{
    return command->session == ANY_SESSION &&
           (command->type == COMMAND_MASS_CANCEL || command->type == COMMAND_ENTRY);
}

static inline __attribute__((always_inline)) void apply(struct book *book,
                                                        const struct command *command,
                                                        uint32_t *head, struct event_sink *sink)
{
    book->seq++;
    book->last_time_ns = command->time_ns;
    book->event_time_ns =
        command->time_ns > book->midnight_ns ? command->time_ns - book->midnight_ns : 0;
    if (unlikely(book->event_time_ns >= book->next_second_ns) && book->state != BOOK_NEW) {
        expire(book, sink);
        cross_tell(book, sink);
    }
    if (likely(command->type >= COMMAND_ENTER)) {
        if (command->type == COMMAND_TRADING)
            apply_trading(book, command, sink);
        else if (command->type >= COMMAND_LIMIT)
            apply_limit(book, command);
        else if (command->session < book->session_count || operators(command))
            apply_order(book, command, head, sink);
    } else if (command->type == COMMAND_OPEN) {
        apply_open(book, command, sink);
    } else {
        apply_control(book, command, sink);
    }
}

static inline uint32_t *head_of(const struct book *book, const struct command *command)
{
    uint32_t user_ref_num = command->type == COMMAND_REPLACE ? command->order.orig_user_ref_num
                                                             : command->order.user_ref_num;
    return user_ref_head(book, command->session, command->user_ref_index, user_ref_num);
}

void book_apply(struct book *book, const struct command *command, struct event_sink *sink)
{
    apply(book, command, head_of(book, command), sink);
}

// --- Batches: all the lines that a block of commands will touch are asked for before the first of
// them is applied, in three passes, as their addresses become known: table heads and levels;
// orders; the orders' neighbours and levels. Within a pass nothing waits for anything else, so that
// the misses overlap.

// Commands: some hundred lines, which stay in the first-level cache until they are used.
#define BLOCK                16u

// With fewer orders all that a command touches is in the second-level cache anyway, and asking for
// it costs more than it saves.
#define PREFETCH_FROM_ORDERS 16384u

static inline bool names_order(const struct command *command)
{
    return command->type >= COMMAND_REPLACE && command->type <= COMMAND_MODIFY;
}

static void prefetch_block(const struct book *book, const struct command *commands,
                           uint32_t *const *heads, uint32_t count)
{
    const struct level *levels[BLOCK];
    const struct order *orders[BLOCK];
    for (uint32_t i = 0; i < count; i++) {
        prefetch(heads[i]);
        levels[i] = level_near(book, commands[i].instrument, commands[i].order.price);
        prefetch(levels[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        // The order that a chain begins with is nearly always the one; order 0 is nobody's.
        orders[i] = &book->orders[names_order(&commands[i]) ? *heads[i] : levels[i]->tail];
        prefetch(orders[i]);
        prefetch((const char *)(orders[i] + 1) - 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!names_order(&commands[i]))
            continue;
        prefetch(&book->orders[orders[i]->next].previous);
        prefetch(&book->orders[orders[i]->previous].next);
        prefetch(level_near(book, orders[i]->instrument, orders[i]->price));
    }
}

void book_prefetch(const struct book *book, const struct command *commands, uint32_t count)
{
    uint32_t *heads[BLOCK];
    if (book->order_slots.count < PREFETCH_FROM_ORDERS)
        return;
    for (uint32_t i = 0; i < count; i += BLOCK) {
        uint32_t block = count - i < BLOCK ? count - i : BLOCK;
        for (uint32_t j = 0; j < block; j++)
            heads[j] = head_of(book, &commands[i + j]);
        prefetch_block(book, &commands[i], heads, block);
    }
}

void book_apply_batch(struct book *book, const struct command *commands, uint32_t count,
                      struct event_sink *sink)
{
    uint32_t *heads[BLOCK];
    for (uint32_t i = 0; i < count; i += BLOCK) {
        uint32_t block = count - i < BLOCK ? count - i : BLOCK;
        for (uint32_t j = 0; j < block; j++) {
            prefetch(&commands[i + j + BLOCK]);
            heads[j] = head_of(book, &commands[i + j]);
        }
        if (book->order_slots.count >= PREFETCH_FROM_ORDERS)
            prefetch_block(book, &commands[i], heads, block);
        for (uint32_t j = 0; j < block; j++)
            apply(book, &commands[i + j], heads[j], sink);
    }
}
