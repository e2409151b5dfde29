// SPDX-License-Identifier: MIT
//
// Commands of orders: they enter, trade, rest, change and leave.
#include "book/trade.h"

#include "book/checks.h"
#include "book/events.h"
#include "numa/fault.h"

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

void remove_resting(struct book *book, struct event_sink *sink, struct instrument *listing,
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
            refusal_t refusal)
{
    struct event *event = emit_rare(book, sink, EVENT_REJECTED, command->session);
    uint8_t reason = (uint8_t)refusal;
    event->user_ref_num = command->order.user_ref_num;
    event->user_ref_index = command->user_ref_index;
    event->code = reason;
    event->limit = refusal == command->verdict ? limit_of_verdict(reason) : refusal_limit(refusal);
    if (command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE)
        memcpy(event->order.client_order_id, command->order.client_order_id,
               sizeof(event->order.client_order_id));
}

// --- Entering

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
    refusal_t refusal = enter_check(book, command, has_extra);
    if (unlikely(refusal != REJECT_NONE)) {
        reject(book, command, sink, refusal);
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
    match_and_rest(book, sink, head, index, command->order.min_quantity);
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
    uint16_t capacity = order->attributes.capacity; // which no REPLACE speaks of
    order->attributes = attributes_of(command);
    order->attributes.capacity = capacity & 3;
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
    refusal_t refusal = special ? late_reason(book, order) : REJECT_NONE;
    if (unlikely(refusal != REJECT_NONE)) {
        *last = command->order.user_ref_num;
        reject(book, command, sink, refusal);
        return;
    }
    if (unlikely(!replace_valid(book, command, order))) {
        cancel_resting(book, sink, index, 'U');
        if (special)
            settle(book, sink, listing);
        return;
    }
    *last = command->order.user_ref_num;
    refusal = command->verdict;
    if (refusal == REJECT_NONE)
        refusal = short_check(book, order->session, side_after(command, order));
    if (unlikely(restricted(book, order->session, order->instrument)) && refusal == REJECT_NONE)
        refusal = restriction(book, command, order);
    if (refusal == REJECT_NONE && unlikely(!replace_room(book, command, order)))
        refusal = REJECT_PROCESSING_ERROR;
    if (unlikely(refusal != REJECT_NONE)) {
        reject(book, command, sink, refusal);
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

    bool displayed = order_displayed(&old);
    if (displayed && old.attributes.display == order->attributes.display &&
        rest_unmet(book, head, index)) {
        emit_feed(book, sink, EVENT_FEED_REPLACE, order->instrument, book_side(order->side),
                  order->open, order->price, old.ref, 0);
    } else {
        if (displayed)
            emit_feed(book, sink, EVENT_FEED_DELETE, old.instrument, book_side(old.side), old.open,
                      old.price, old.ref, 0);
        match_and_rest(book, sink, head, index, 0);
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
    event->limit = LIMIT_CANCEL_RATE;
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
        (command->side != order->side && !may_turn(book, order, command->side)) || no_change ||
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
