// SPDX-License-Identifier: MIT
//
// The book's memory, and the commands of the day.
#include "book/events.h"
#include "book/trade.h"

static uint32_t table_heads(const struct book_limits *limits)
{
    uint32_t heads = 64;
    while (heads < 2ull * limits->orders_max)
        heads *= 2;
    return heads;
}

// As wide as it can be without taking more than WINDOWS_BYTES for all instruments, or more than
// eight levels for each order that may rest.
static uint32_t window_levels_of(const struct book_limits *limits)
{
    uint32_t window = WINDOW_MAX;
    while (window > WINDOW_MIN &&
           ((uint64_t)limits->instruments_max * window * sizeof(struct level) > WINDOWS_BYTES ||
            window > 8ull * limits->orders_max))
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

static uint32_t extras_of(const struct book_limits *limits)
{
    return limits->orders_max < EXTRAS_MAX ? limits->orders_max : EXTRAS_MAX;
}

static size_t lay_out(struct book *book, unsigned char *memory, const struct book_limits *limits)
{
    size_t used = 0, heads = table_heads(limits), orders = limits->orders_max + 1ull;
    uint32_t window = window_levels_of(limits);
    book->window_mask = window - 1;
    book->far_slots.max = far_levels_of(limits);
    book->extra_slots.max = extras_of(limits);
    book->table_mask = (uint32_t)heads - 1;
    carve(memory, &used, sizeof(struct book));
    book->sessions = carve(memory, &used, limits->sessions_max * sizeof(struct session));
    for (uint16_t i = 0; i < limits->sessions_max; i++) {
        uint32_t *numbers = carve(memory, &used, 256 * sizeof(*numbers));
        if (memory)
            book->sessions[i].last_user_ref_num = numbers;
    }
    book->instruments = carve(memory, &used, limits->instruments_max * sizeof(struct instrument));
    for (uint16_t i = 0; i < limits->instruments_max; i++) {
        struct level *levels = carve(memory, &used, window * sizeof(struct level));
        uint64_t *bits = carve(memory, &used, 2 * window / 8);
        if (!memory)
            continue;
        book->instruments[i].window = levels;
        book->instruments[i].occupied[SIDE_BUY] = bits;
        book->instruments[i].occupied[SIDE_SELL] = bits + window / 64;
    }
    book->orders = carve(memory, &used, orders * sizeof(struct order));
    book->by_user_ref = carve(memory, &used, heads * sizeof(uint32_t));
    for (int i = 0; i < 2; i++)
        book->scratch[i] = carve(memory, &used, orders * sizeof(uint32_t));
    book->extras = carve(memory, &used, (book->extra_slots.max + 1ull) * sizeof(struct extra));
    book->far_levels =
        carve(memory, &used, (book->far_slots.max + 1ull) * sizeof(struct far_level));
    book->wheel = carve(memory, &used, WHEEL_SECONDS * sizeof(uint32_t));
    book->members = carve(memory, &used, members_max(limits) * sizeof(struct member));
    book->positions =
        carve(memory, &used,
              (size_t)members_max(limits) * limits->instruments_max * sizeof(struct position));
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
    book->order_slots.max = limits->orders_max;
    book->order_slots.fresh = book->far_slots.fresh = book->extra_slots.fresh = 1;
    book->next_second_ns = 1000000000;
    // Where the kernel put it is not for clients to know; spread by SplitMix64's finaliser.
    book->table_seed = (uintptr_t)memory * 0xBF58476D1CE4E5B9ull;
    book->table_seed = (book->table_seed ^ book->table_seed >> 31) * 0x94D049BB133111EBull | 1;
    return book;
}

static void emit_system(struct book *book, struct event_sink *sink, const char *feed_codes)
{
    for (; *feed_codes; feed_codes++)
        emit_rare(book, sink, EVENT_FEED_SYSTEM, FEED_SESSION)->code = (uint8_t)*feed_codes;
}

static void emit_sessions(struct book *book, struct event_sink *sink, uint8_t code)
{
    for (uint16_t session = 0; session < book->session_count; session++)
        emit_rare(book, sink, EVENT_SYSTEM, session)->code = code;
}

void apply_query(struct book *book, const struct command *command, struct event_sink *sink)
{
    const struct session *session = &book->sessions[command->session];
    struct event *event = emit_rare(book, sink, EVENT_QUERY_RESPONSE, command->session);
    event->user_ref_index = command->user_ref_index;
    event->user_ref_num = session->last_user_ref_num[command->user_ref_index] + 1;
}

void apply_open(struct book *book, const struct command *command, struct event_sink *sink)
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
    struct event *event = emit_rare(book, sink, type, FEED_SESSION);
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
    levels_open(book, index, command->listing.price_step, 0);
    emit_listing(book, sink, index, EVENT_FEED_DIRECTORY, instrument->round_lot, 0);
    emit_listing(book, sink, index, EVENT_FEED_ACTION, 0, 'T');
}

static void apply_session(struct book *book, const struct command *command, struct event_sink *sink)
{
    uint16_t index = book->session_count;
    if (command->session != index || index == book->limits.sessions_max)
        return;
    struct session *session = &book->sessions[index];
    session->stream_next = 1;
    memcpy(session->user_name, command->member.user_name, sizeof(session->user_name));
    memcpy(session->firm, command->member.firm, sizeof(session->firm));
    if (!member_join(book, session))
        return;
    book->session_count++;
    bars_spread(book);
    if (book->state == BOOK_TRADING)
        emit_rare(book, sink, EVENT_SYSTEM, index)->code = 'S';
}

static void apply_start(struct book *book, struct event_sink *sink)
{
    if (book->state != BOOK_PREOPEN)
        return;
    book->state = BOOK_TRADING;
    emit_system(book, sink, "SQ");
    emit_sessions(book, sink, 'S');
}

// The order of a side that is closed first: displayed before hidden at a price, then midpoints,
// then what waits for a cross.
static uint32_t first_to_close(const struct book *book, const struct instrument *listing,
                               enum side side)
{
    uint32_t displayed = listing->best[side], hidden = listing->hidden[side].best;
    if (hidden != NONE && book->far_levels[hidden].rank < displayed)
        return book->far_levels[hidden].level.head;
    if (displayed != RANK_NONE)
        return level_at(book, listing, side, rank_of(side, displayed))->head;
    uint32_t last = listing->midpoint[side].best;
    if (last == NONE)
        last = listing->auction[side].best;
    if (last == NONE)
        last = listing->closing[side].best;
    return last == NONE ? NONE : book->far_levels[last].level.head;
}

static void cancel_side(struct book *book, struct event_sink *sink, uint16_t instrument,
                        enum side side)
{
    const struct instrument *listing = &book->instruments[instrument];
    uint32_t index;
    while ((index = first_to_close(book, listing, side)) != NONE)
        cancel_resting(book, sink, index, cross_reason(book, &book->orders[index], 'E'));
}

void cancel_instrument(struct book *book, struct event_sink *sink, uint16_t instrument)
{
    cancel_side(book, sink, instrument, SIDE_BUY);
    cancel_side(book, sink, instrument, SIDE_SELL);
}

static void apply_close(struct book *book, struct event_sink *sink)
{
    __atomic_store_n(&book->state, BOOK_CLOSED, __ATOMIC_RELAXED); // others may ask
    for (uint16_t index = 0; index < book->instrument_count; index++)
        cancel_instrument(book, sink, index);
    emit_sessions(book, sink, 'E');
    emit_system(book, sink, "MEC");
}

void apply_control(struct book *book, const struct command *command, struct event_sink *sink)
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
