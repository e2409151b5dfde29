// SPDX-License-Identifier: MIT
//
// Commands in, events out: the rules of the venue.
#include "book/internal.h"

#include <string.h>

static uint32_t table_heads(const struct book_limits *limits)
{
    uint32_t heads = 64;
    while (heads < limits->orders_max)
        heads *= 2;
    return heads;
}

// As wide as it can be without taking more than WINDOWS_BYTES for all instruments.
static uint32_t window_levels_of(const struct book_limits *limits)
{
    uint32_t window = WINDOW_MAX;
    while (window > WINDOW_MIN &&
           (uint64_t)limits->instruments_max * window * sizeof(struct level) > WINDOWS_BYTES)
        window /= 2;
    return window;
}

// A level has an order at least, so that up to FAR_LEVELS_MAX orders never run out of them.
static uint32_t far_levels_of(const struct book_limits *limits)
{
    return limits->orders_max < FAR_LEVELS_MAX ? limits->orders_max : FAR_LEVELS_MAX;
}

const char *book_limits_check(const struct book_limits *limits)
{
    if (limits->orders_max < 1 || limits->orders_max > BOOK_ORDERS_MAX)
        return "orders must be 1 to 67108864";
    if (limits->instruments_max < 1 || limits->instruments_max > BOOK_INSTRUMENTS_MAX)
        return "instruments must be 1 to 65000";
    if (limits->sessions_max < 1 || limits->sessions_max > BOOK_SESSIONS_MAX)
        return "sessions must be 1 to 4096";
    return NULL;
}

// Hands out `size` bytes, a cache line's multiple; with `memory` NULL only counts.
static void *carve(unsigned char *memory, size_t *used, size_t size)
{
    void *piece = memory ? memory + *used : NULL;
    *used += (size + 63) & ~(size_t)63;
    return piece;
}

static size_t lay_out(struct book *book, unsigned char *memory, const struct book_limits *limits)
{
    size_t used = 0, heads = table_heads(limits);
    book->window = window_levels_of(limits);
    book->far_levels_max = far_levels_of(limits);
    book->table_mask = (uint32_t)heads - 1;
    size_t windows = (size_t)limits->instruments_max * book->window;
    carve(memory, &used, sizeof(struct book));
    book->sessions = carve(memory, &used, limits->sessions_max * sizeof(struct session));
    book->instruments = carve(memory, &used, limits->instruments_max * sizeof(struct instrument));
    book->windows = carve(memory, &used, windows * sizeof(struct level));
    book->orders = carve(memory, &used, (limits->orders_max + 1ull) * sizeof(struct order));
    book->far_levels =
        carve(memory, &used, (book->far_levels_max + 1ull) * sizeof(struct far_level));
    book->by_user_ref = carve(memory, &used, heads * sizeof(uint32_t));
    book->by_ref = carve(memory, &used, heads * sizeof(uint32_t));
    return used;
}

size_t book_memory_size(const struct book_limits *limits)
{
    struct book scratch;
    return lay_out(&scratch, NULL, limits);
}

struct book *book_open(void *memory, const struct book_limits *limits)
{
    INVARIANT(book_limits_check(limits) == NULL && ((uintptr_t)memory & 63) == 0);
    struct book *book = memory;
    memset(memory, 0, book_memory_size(limits));
    lay_out(book, memory, limits);
    book->limits = *limits;
    book->feed_next = 1;
    book->fresh_order = book->fresh_far_level = 1;
    book->table_seed = (uintptr_t)memory; // where the kernel put it is not for clients to know
    return book;
}

// The next event of a session's stream, or of the feed's; what the caller does not set is zero.
static struct event *emit(struct book *book, struct event_sink *sink, uint8_t type,
                          uint16_t session)
{
    if (unlikely(sink->next == sink->end))
        sink->more(sink);
    struct event *event = sink->next++;
    uint64_t *stream_next =
        session == FEED_SESSION ? &book->feed_next : &book->sessions[session].stream_next;
    *event = (struct event){
        .seq = book->seq,
        .stream_seq = (*stream_next)++,
        .time_ns = book->event_time_ns,
        .session = session,
        .type = type,
    };
    return event;
}

static void emit_system(struct book *book, struct event_sink *sink, const char *feed_codes)
{
    for (; *feed_codes; feed_codes++)
        emit(book, sink, EVENT_FEED_SYSTEM, FEED_SESSION)->code = (uint8_t)*feed_codes;
}

static void emit_sessions(struct book *book, struct event_sink *sink, uint8_t code)
{
    for (uint16_t session = 0; session < book->session_count; session++)
        emit(book, sink, EVENT_SYSTEM, session)->code = code;
}

// An event of an order for its session.
static struct event *emit_order(struct book *book, struct event_sink *sink, uint8_t type,
                                const struct order *order, uint32_t quantity)
{
    struct event *event = emit(book, sink, type, order->session);
    event->user_ref_num = order->user_ref_num;
    event->user_ref_index = order->user_ref_index;
    event->side = order->side;
    event->quantity = quantity;
    event->price = order->price;
    event->instrument = order->instrument;
    return event;
}

// An event of a displayed order for the feed.
static struct event *emit_feed(struct book *book, struct event_sink *sink, uint8_t type,
                               const struct order *order, uint32_t quantity)
{
    struct event *event = emit(book, sink, type, FEED_SESSION);
    event->side = book_side(order->side);
    event->quantity = quantity;
    event->price = order->price;
    event->instrument = order->instrument;
    event->trade.order_ref = order->ref;
    return event;
}

static void emit_canceled(struct book *book, struct event_sink *sink, const struct order *order,
                          uint32_t quantity, char reason)
{
    struct event *event = emit_order(book, sink, EVENT_CANCELED, order, quantity);
    event->code = (uint8_t)reason;
    event->trade.order_ref = order->ref;
}

// Takes a resting order out and tells its owner and the feed.
static void cancel_resting(struct book *book, struct event_sink *sink, uint32_t index, char reason)
{
    const struct order *order = &book->orders[index];
    emit_canceled(book, sink, order, order->open, reason);
    if (order_queue(order) == QUEUE_DISPLAYED)
        emit_feed(book, sink, EVENT_FEED_DELETE, order, order->open);
    order_remove(book, order_level(book, order), index);
}

static bool price_valid(uint32_t price)
{
    return (price > 0 && price <= PRICE_MAX) || price == PRICE_MARKET;
}

static bool quantity_valid(uint32_t quantity)
{
    return quantity > 0 && quantity <= QUANTITY_MAX;
}

static bool time_in_force_served(struct order_attributes attributes)
{
    return attributes.time_in_force == TIF_DAY || attributes.time_in_force == TIF_IOC;
}

static bool min_quantity_valid(const struct command *command)
{
    return command->order.min_quantity == 0 ||
           (command->order.attributes.time_in_force == TIF_IOC &&
            command->order.min_quantity <= command->order.quantity);
}

// Post-only contradicts an order that can only take.
static bool post_only_valid(const struct command *command)
{
    return !command->order.attributes.post_only ||
           (command->order.attributes.time_in_force != TIF_IOC &&
            command->order.price != PRICE_MARKET);
}

static bool may_rest(const struct order *order)
{
    return order->attributes.time_in_force != TIF_IOC && order->price != PRICE_MARKET;
}

static enum side opposite_of(const struct order *order)
{
    return order->side == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
}

// The opposite side's best price when `order` can trade there, else 0.
static uint32_t matching_price(const struct book *book, const struct order *order)
{
    const struct side_levels *opposite =
        &book->instruments[order->instrument].sides[opposite_of(order)];
    if (order->price == PRICE_MARKET)
        return opposite->best;
    // Not acceptable when our limit is, for the other side, better than its best price.
    return price_better(opposite, order->price, opposite->best) ? 0 : opposite->best;
}

static void execute(struct book *book, struct event_sink *sink, struct order *taker,
                    struct level *level, uint32_t maker_index)
{
    struct order *maker = &book->orders[maker_index];
    bool displayed = order_queue(maker) == QUEUE_DISPLAYED;
    uint32_t quantity = taker->open < maker->open ? taker->open : maker->open;
    uint64_t match_number = ++book->match_count;

    struct event *event = emit_order(book, sink, EVENT_EXECUTED, maker, quantity);
    event->code = displayed ? 'A' : 'J';
    event->trade.order_ref = maker->ref;
    event->trade.match_number = match_number;
    event = emit_order(book, sink, EVENT_EXECUTED, taker, quantity);
    event->price = maker->price;
    event->code = 'R';
    event->trade.order_ref = maker->ref;
    event->trade.match_number = match_number;
    event =
        emit_feed(book, sink, displayed ? EVENT_FEED_EXECUTED : EVENT_FEED_TRADE, maker, quantity);
    event->trade.match_number = match_number;
    if (!displayed)
        event->trade.order_ref = 0;

    taker->open -= quantity;
    taker->executed += quantity;
    maker->executed += quantity;
    if (quantity == maker->open)
        order_remove(book, level, maker_index);
    else
        order_reduce(book, level, maker_index, quantity);
}

// The firm an order is of: the one it names, else its session's.
static const char *firm_of(const struct book *book, const struct order *order)
{
    static const char unnamed[4];
    bool named = memcmp(order->firm, unnamed, sizeof(unnamed)) != 0;
    return named ? order->firm : book->sessions[order->session].firm;
}

static bool self_matched(const struct book *book, const struct order *taker,
                         const struct order *maker)
{
    return taker->attributes.self_match != SELF_MATCH_ALLOWED &&
           memcmp(firm_of(book, taker), firm_of(book, maker), 4) == 0;
}

static uint32_t first_in(const struct level *level)
{
    uint32_t displayed = level->head[QUEUE_DISPLAYED];
    return displayed != NONE ? displayed : level->head[QUEUE_HIDDEN];
}

static void emit_prevented(struct book *book, struct event_sink *sink, const struct order *order,
                           const struct order *taker, const struct order *maker, uint32_t removed)
{
    struct event *event = emit_order(book, sink, EVENT_PREVENTED, order, removed);
    event->price = maker->price;
    event->prevented = taker->open < maker->open ? taker->open : maker->open;
    event->code = order == taker ? 'R' : order_queue(maker) == QUEUE_DISPLAYED ? 'A' : 'J';
    event->trade.order_ref = order->ref;
    event->trade.match_number = taker->attributes.self_match;
}

// Takes `quantity` shares from the maker without a trade, and tells the feed.
static void withdraw(struct book *book, struct event_sink *sink, struct level *level,
                     uint32_t maker_index, uint32_t quantity)
{
    struct order *maker = &book->orders[maker_index];
    bool all = quantity == maker->open;
    if (order_queue(maker) == QUEUE_DISPLAYED)
        emit_feed(book, sink, all ? EVENT_FEED_DELETE : EVENT_FEED_CANCEL, maker, quantity);
    maker->executed += quantity; // of the intended total: it can never execute again
    if (all)
        order_remove(book, level, maker_index);
    else
        order_reduce(book, level, maker_index, quantity);
}

// The taker meets an order of its own firm: what its strategy says, instead of a trade.
static void prevent(struct book *book, struct event_sink *sink, struct order *taker,
                    struct level *level, uint32_t maker_index)
{
    const struct order maker = book->orders[maker_index];
    uint32_t common = taker->open < maker.open ? taker->open : maker.open;
    enum self_match strategy = taker->attributes.self_match;
    if (strategy == SELF_MATCH_DECREMENT) {
        emit_prevented(book, sink, &maker, taker, &maker, common);
        emit_prevented(book, sink, taker, taker, &maker, common);
        withdraw(book, sink, level, maker_index, common);
        taker->open -= common;
        taker->executed += common;
        return;
    }
    if (strategy != SELF_MATCH_CANCEL_NEWEST) {
        emit_prevented(book, sink, &maker, taker, &maker, maker.open);
        withdraw(book, sink, level, maker_index, maker.open);
    }
    if (strategy != SELF_MATCH_CANCEL_OLDEST) {
        emit_prevented(book, sink, taker, taker, &maker, taker->open);
        taker->open = 0;
    }
}

// Best price first; at a price the displayed orders in time order, then the hidden ones.
static void match(struct book *book, struct event_sink *sink, struct order *taker)
{
    enum side opposite = opposite_of(taker);
    while (taker->open > 0) {
        uint32_t price = matching_price(book, taker);
        if (price == 0)
            return;
        struct level *level = level_at(book, taker->instrument, opposite, price);
        uint32_t maker = first_in(level);
        if (unlikely(self_matched(book, taker, &book->orders[maker])))
            prevent(book, sink, taker, level, maker);
        else
            execute(book, sink, taker, level, maker);
    }
}

// Whether the opposite side has `wanted` shares that the taker could trade with now.
static bool available(const struct book *book, const struct order *taker, uint32_t wanted)
{
    enum side opposite = opposite_of(taker);
    const struct side_levels *side = &book->instruments[taker->instrument].sides[opposite];
    uint64_t found = 0;
    for (uint32_t price = matching_price(book, taker); price != 0 && found < wanted;
         price = level_after(book, taker->instrument, opposite, price)) {
        if (taker->price != PRICE_MARKET && price_better(side, taker->price, price))
            return false;
        const struct level *level = level_at(book, taker->instrument, opposite, price);
        for (int queue = QUEUE_DISPLAYED; queue <= QUEUE_HIDDEN; queue++) {
            uint32_t at = level->head[queue];
            for (; at != NONE && found < wanted; at = book->orders[at].next)
                if (!self_matched(book, taker, &book->orders[at]))
                    found += book->orders[at].open;
        }
    }
    return found >= wanted;
}

// Trades what can trade, rests or cancels what is left. `min_quantity` 0: any.
static void match_and_rest(struct book *book, struct event_sink *sink, struct order *order,
                           uint32_t min_quantity)
{
    if (order->attributes.post_only && matching_price(book, order) != 0) {
        emit_canceled(book, sink, order, order->open, 'G');
        return;
    }
    if (unlikely(min_quantity > 0) && !available(book, order, min_quantity)) {
        emit_canceled(book, sink, order, order->open, 'I');
        return;
    }
    match(book, sink, order);
    if (order->open == 0)
        return;
    if (!may_rest(order)) {
        emit_canceled(book, sink, order, order->open, 'I');
        return;
    }
    if (unlikely(!order_rest(book, order))) {
        emit_canceled(book, sink, order, order->open, 'Z'); // too many price levels
        return;
    }
    if (order_queue(order) == QUEUE_HIDDEN)
        return;
    struct event *event = emit_feed(book, sink, EVENT_FEED_ADD, order, order->open);
    if (order->attributes.display != DISPLAY_ATTRIBUTABLE)
        return;
    memcpy(event->firm, firm_of(book, order), sizeof(event->firm));
}

static enum reject_reason enter_check(const struct book *book, const struct command *command)
{
    if (command->verdict != REJECT_NONE)
        return command->verdict;
    if (book->state != BOOK_TRADING)
        return REJECT_DESTINATION_CLOSED;
    if (command->instrument >= book->instrument_count)
        return REJECT_INVALID_SYMBOL;
    if (command->side > SIDE_SELL_SHORT_EXEMPT)
        return REJECT_INVALID_SIDE;
    if (!quantity_valid(command->order.quantity))
        return REJECT_INVALID_QUANTITY;
    if (!price_valid(command->order.price))
        return REJECT_INVALID_PRICE;
    if (command->order.attributes.display > DISPLAY_ATTRIBUTABLE)
        return REJECT_INVALID_DISPLAY;
    if (!time_in_force_served(command->order.attributes))
        return REJECT_OTHER;
    if (command->order.attributes.self_match > SELF_MATCH_DECREMENT)
        return REJECT_INVALID_SELF_MATCH;
    if (!min_quantity_valid(command))
        return REJECT_INVALID_MIN_QUANTITY;
    if (!post_only_valid(command))
        return REJECT_OTHER;
    if (book->order_count == book->limits.orders_max)
        return REJECT_PROCESSING_ERROR;
    return REJECT_NONE;
}

// Takes a new UserRefNum: false when it is not above the channel's last, a retransmission.
static bool consume_user_ref(struct book *book, const struct command *command)
{
    uint32_t *last = &book->sessions[command->session].last_user_ref_num[command->user_ref_index];
    if (command->order.user_ref_num <= *last)
        return false;
    *last = command->order.user_ref_num;
    return true;
}

static struct order_attributes attributes_of(const struct command *command)
{
    struct order_attributes attributes = command->order.attributes;
    attributes.reserved = 0;
    return attributes;
}

static void apply_enter(struct book *book, const struct command *command, struct event_sink *sink)
{
    if (!consume_user_ref(book, command))
        return;
    enum reject_reason reason = enter_check(book, command);
    if (reason != REJECT_NONE) {
        struct event *event = emit(book, sink, EVENT_REJECTED, command->session);
        event->user_ref_num = command->order.user_ref_num;
        event->user_ref_index = command->user_ref_index;
        event->code = (uint8_t)reason;
        memcpy(event->order.client_order_id, command->order.client_order_id,
               sizeof(event->order.client_order_id));
        return;
    }
    struct order order = {
        .ref = book->seq,
        .user_ref_num = command->order.user_ref_num,
        .price = command->order.price,
        .open = command->order.quantity,
        .session = command->session,
        .instrument = command->instrument,
        .side = command->side,
        .user_ref_index = command->user_ref_index,
        .attributes = attributes_of(command),
    };
    memcpy(order.firm, command->order.firm, sizeof(order.firm));
    struct event *event = emit_order(book, sink, EVENT_ACCEPTED, &order, order.open);
    memcpy(event->firm, order.firm, sizeof(event->firm));
    memcpy(event->order.client_order_id, command->order.client_order_id,
           sizeof(event->order.client_order_id));
    event->order.attributes = order.attributes;
    match_and_rest(book, sink, &order, command->order.min_quantity);
}

static bool replace_valid(const struct command *command, const struct order *old)
{
    return command->verdict == REJECT_NONE && quantity_valid(command->order.quantity) &&
           price_valid(command->order.price) &&
           command->order.attributes.display <= DISPLAY_ATTRIBUTABLE &&
           time_in_force_served(command->order.attributes) &&
           command->order.attributes.self_match <= SELF_MATCH_DECREMENT &&
           post_only_valid(command) && command->order.quantity > old->executed;
}

// OUCH 5.0 section 6: outcome 1 is silence, 2 cancels the old order, 4 replaces it.
static void apply_replace(struct book *book, const struct command *command, struct event_sink *sink)
{
    uint32_t old_index = order_by_user_ref(book, command->session, command->user_ref_index,
                                           command->order.orig_user_ref_num);
    const uint32_t *last =
        &book->sessions[command->session].last_user_ref_num[command->user_ref_index];
    if (old_index == NONE || command->order.user_ref_num <= *last)
        return;
    const struct order old = book->orders[old_index];
    if (!replace_valid(command, &old)) {
        cancel_resting(book, sink, old_index, 'U');
        return;
    }
    consume_user_ref(book, command);
    struct order order = old;
    order.ref = book->seq;
    order.user_ref_num = command->order.user_ref_num;
    order.price = command->order.price;
    order.open = command->order.quantity - old.executed;
    order.attributes = attributes_of(command);

    struct event *event = emit_order(book, sink, EVENT_REPLACED, &order, order.open);
    event->orig_user_ref_num = old.user_ref_num;
    memcpy(event->order.client_order_id, command->order.client_order_id,
           sizeof(event->order.client_order_id));
    event->order.attributes = order.attributes;

    order_remove(book, order_level(book, &old), old_index);
    bool displayed = order_queue(&old) == QUEUE_DISPLAYED;
    bool same_display = old.attributes.display == order.attributes.display;
    if (displayed && same_display && may_rest(&order) && matching_price(book, &order) == 0) {
        if (likely(order_rest(book, &order))) {
            event = emit_feed(book, sink, EVENT_FEED_REPLACE, &order, order.open);
            event->trade.order_ref = old.ref;
            return;
        }
    }
    if (displayed)
        emit_feed(book, sink, EVENT_FEED_DELETE, &old, old.open);
    match_and_rest(book, sink, &order, 0);
}

static uint32_t find_live(const struct book *book, const struct command *command)
{
    return order_by_user_ref(book, command->session, command->user_ref_index,
                             command->order.user_ref_num);
}

// Shares that stay open when the intended total becomes `quantity`.
static uint32_t open_after(const struct order *order, uint32_t quantity)
{
    return quantity > order->executed ? quantity - order->executed : 0;
}

static void reduce_resting(struct book *book, struct event_sink *sink, uint32_t index,
                           uint32_t removed)
{
    const struct order *order = &book->orders[index];
    order_reduce(book, order_level(book, order), index, removed);
    if (removed > 0 && order_queue(order) == QUEUE_DISPLAYED)
        emit_feed(book, sink, EVENT_FEED_CANCEL, order, removed);
}

static void apply_cancel(struct book *book, const struct command *command, struct event_sink *sink)
{
    uint32_t index = find_live(book, command);
    if (index == NONE || command->verdict != REJECT_NONE)
        return;
    const struct order *order = &book->orders[index];
    if (command->order.quantity >= order->executed + order->open)
        return;
    uint32_t open = open_after(order, command->order.quantity);
    if (open == 0) {
        cancel_resting(book, sink, index, 'U');
        return;
    }
    uint32_t removed = order->open - open;
    emit_canceled(book, sink, order, removed, 'U');
    reduce_resting(book, sink, index, removed);
}

static bool side_change_allowed(uint8_t from, uint8_t to)
{
    return from == to || (from == SIDE_SELL && to == SIDE_SELL_SHORT_EXEMPT) ||
           (from == SIDE_SELL && to == SIDE_SELL_SHORT) ||
           (from == SIDE_SELL_SHORT_EXEMPT && to == SIDE_SELL_SHORT);
}

static void apply_modify(struct book *book, const struct command *command, struct event_sink *sink)
{
    uint32_t index = find_live(book, command);
    if (index == NONE || command->verdict != REJECT_NONE)
        return;
    struct order *order = &book->orders[index];
    uint32_t total = order->executed + order->open;
    bool no_change = command->side == order->side && command->order.quantity == total;
    if (!side_change_allowed(order->side, command->side) || command->order.quantity > total ||
        no_change)
        return;
    uint32_t open = open_after(order, command->order.quantity);
    if (open == 0) {
        cancel_resting(book, sink, index, 'U');
        return;
    }
    order->side = command->side;
    struct event *event = emit_order(book, sink, EVENT_MODIFIED, order, open);
    event->trade.order_ref = order->ref;
    reduce_resting(book, sink, index, order->open - open);
}

static void apply_query(struct book *book, const struct command *command, struct event_sink *sink)
{
    const struct session *session = &book->sessions[command->session];
    struct event *event = emit(book, sink, EVENT_QUERY_RESPONSE, command->session);
    event->user_ref_index = command->user_ref_index;
    event->user_ref_num = session->last_user_ref_num[command->user_ref_index] + 1;
}

static void apply_open(struct book *book, const struct command *command, struct event_sink *sink)
{
    if (book->state != BOOK_NEW)
        return;
    book->state = BOOK_PREOPEN;
    book->midnight_ns = command->open.midnight_ns;
    book->shard = command->open.shard;
    memcpy(book->session_id, command->open.session_id, sizeof(book->session_id));
    book->event_time_ns =
        command->time_ns > book->midnight_ns ? command->time_ns - book->midnight_ns : 0;
    emit_system(book, sink, "O");
}

static void emit_listing(struct book *book, struct event_sink *sink, uint16_t index, uint8_t type,
                         uint32_t quantity, uint8_t code)
{
    struct event *event = emit(book, sink, type, FEED_SESSION);
    event->instrument = index;
    event->quantity = quantity;
    event->code = code;
    memcpy(event->listing.symbol, book->instruments[index].symbol, sizeof(event->listing.symbol));
}

static void apply_instrument(struct book *book, const struct command *command,
                             struct event_sink *sink)
{
    uint16_t index = book->instrument_count;
    if (command->instrument != index || index == book->limits.instruments_max)
        return;
    book->instrument_count++;
    struct instrument *instrument = &book->instruments[index];
    memcpy(instrument->symbol, command->listing.symbol, sizeof(instrument->symbol));
    instrument->round_lot = command->listing.round_lot;
    levels_open(book, index, command->listing.price_step);
    emit_listing(book, sink, index, EVENT_FEED_DIRECTORY, instrument->round_lot, 0);
    emit_listing(book, sink, index, EVENT_FEED_ACTION, 0, 'T');
}

static void apply_session(struct book *book, const struct command *command, struct event_sink *sink)
{
    uint16_t index = book->session_count;
    if (command->session != index || index == book->limits.sessions_max)
        return;
    book->session_count++;
    struct session *session = &book->sessions[index];
    session->stream_next = 1;
    memcpy(session->user_name, command->member.user_name, sizeof(session->user_name));
    memcpy(session->firm, command->member.firm, sizeof(session->firm));
    if (book->state == BOOK_TRADING)
        emit(book, sink, EVENT_SYSTEM, index)->code = 'S';
}

static void apply_start(struct book *book, struct event_sink *sink)
{
    if (book->state != BOOK_PREOPEN)
        return;
    book->state = BOOK_TRADING;
    emit_system(book, sink, "SQ");
    emit_sessions(book, sink, 'S');
}

static void cancel_side(struct book *book, struct event_sink *sink, uint16_t instrument,
                        enum side which)
{
    const struct side_levels *side = &book->instruments[instrument].sides[which];
    while (side->best != 0)
        cancel_resting(book, sink, first_in(level_at(book, instrument, which, side->best)), 'E');
}

static void apply_close(struct book *book, struct event_sink *sink)
{
    book->state = BOOK_CLOSED;
    for (uint16_t index = 0; index < book->instrument_count; index++) {
        cancel_side(book, sink, index, SIDE_BUY);
        cancel_side(book, sink, index, SIDE_SELL);
    }
    emit_sessions(book, sink, 'E');
    emit_system(book, sink, "MEC");
}

// What the operator asks. Only while the day is open.
static void apply_control(struct book *book, const struct command *command, struct event_sink *sink)
{
    if (book->state != BOOK_PREOPEN && book->state != BOOK_TRADING)
        return;
    switch (command->type) {
    case COMMAND_INSTRUMENT:
        apply_instrument(book, command, sink);
        break;
    case COMMAND_SESSION:
        apply_session(book, command, sink);
        break;
    case COMMAND_START:
        apply_start(book, sink);
        break;
    case COMMAND_CLOSE:
        apply_close(book, sink);
        break;
    }
}

void book_apply(struct book *book, const struct command *command, struct event_sink *sink)
{
    book->seq++;
    book->last_time_ns = command->time_ns;
    book->event_time_ns =
        command->time_ns > book->midnight_ns ? command->time_ns - book->midnight_ns : 0;
    if (command->type == COMMAND_OPEN) {
        apply_open(book, command, sink);
        return;
    }
    if (command->type < COMMAND_ENTER) {
        apply_control(book, command, sink);
        return;
    }
    if (command->session >= book->session_count)
        return;
    switch (command->type) {
    case COMMAND_ENTER:
        apply_enter(book, command, sink);
        break;
    case COMMAND_REPLACE:
        apply_replace(book, command, sink);
        break;
    case COMMAND_CANCEL:
        apply_cancel(book, command, sink);
        break;
    case COMMAND_MODIFY:
        apply_modify(book, command, sink);
        break;
    case COMMAND_QUERY:
        apply_query(book, command, sink);
        break;
    }
}

// --- Batches: all the lines that a block of commands will touch are asked for before the first of
// them is applied, in three passes, as their addresses become known: table heads and levels;
// orders; the orders' neighbours and levels. Within a pass nothing waits for anything else, so that
// the misses overlap.

#define BLOCK                                                                                      \
    16u // commands: some hundred lines, which stay in the first-level cache until they are used

static bool names_order(const struct command *command)
{
    return command->type >= COMMAND_REPLACE && command->type <= COMMAND_MODIFY;
}

static const uint32_t *prefetch_head(const struct book *book, const struct command *command)
{
    uint32_t user_ref_num = command->type == COMMAND_REPLACE ? command->order.orig_user_ref_num
                                                             : command->order.user_ref_num;
    const uint32_t *head = &book->by_user_ref[user_ref_head(book, command->session,
                                                            command->user_ref_index, user_ref_num)];
    prefetch(head);
    if (!names_order(command) && command->instrument < book->instrument_count)
        level_prefetch(book, command->instrument, command->order.price);
    return head;
}

static void prefetch_block(const struct book *book, const struct command *commands, uint32_t count)
{
    const uint32_t *heads[BLOCK];
    const struct order *orders[BLOCK];
    for (uint32_t i = 0; i < count; i++)
        heads[i] = prefetch_head(book, &commands[i]);
    for (uint32_t i = 0; i < count; i++) {
        // The order that a chain begins with is nearly always the one; order 0 is nobody's.
        orders[i] = &book->orders[names_order(&commands[i]) ? *heads[i] : NONE];
        prefetch(orders[i]);
        prefetch((const char *)(orders[i] + 1) - 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        prefetch(&book->orders[orders[i]->next].previous);
        prefetch(&book->orders[orders[i]->previous].next);
        level_prefetch(book, orders[i]->instrument, orders[i]->price);
        ref_prefetch(book, orders[i]->ref);
    }
}

void book_prefetch(const struct book *book, const struct command *commands, uint32_t count)
{
    if (book->order_count < PREFETCH_FROM_ORDERS)
        return;
    for (uint32_t i = 0; i < count; i += BLOCK)
        prefetch_block(book, &commands[i], count - i < BLOCK ? count - i : BLOCK);
}

void book_apply_batch(struct book *book, const struct command *commands, uint32_t count,
                      struct event_sink *sink)
{
    for (uint32_t i = 0; i < count; i += BLOCK) {
        uint32_t block = count - i < BLOCK ? count - i : BLOCK;
        book_prefetch(book, &commands[i], block);
        for (uint32_t j = i; j < i + block; j++)
            book_apply(book, &commands[j], sink);
    }
}
