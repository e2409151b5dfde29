// SPDX-License-Identifier: MIT
//
// Questions to a book, and its hash.
#include "book/trade.h"

uint32_t book_depth(const struct book *book, uint16_t instrument, enum side side,
                    struct book_level *levels, uint32_t count)
{
    if (instrument >= book->instrument_count)
        return 0;
    const struct instrument *listing = &book->instruments[instrument];
    uint32_t found = 0, rank = listing->best[book_side(side)];
    for (; rank != RANK_NONE && found < count; found++) {
        uint32_t price = rank_of(book_side(side), rank);
        const struct level *level = level_at(book, listing, book_side(side), price);
        levels[found] = (struct book_level){price, level->order_count, level->quantity};
        rank = rank_after(book, listing, book_side(side), rank);
    }
    return found;
}

bool book_best(const struct book *book, uint16_t instrument, enum side side,
               struct book_level *level)
{
    *level = (struct book_level){0};
    return book_depth(book, instrument, side, level, 1) == 1;
}

uint64_t book_depth_at(const struct book *book, uint16_t instrument, enum side side, uint32_t price)
{
    if (instrument >= book->instrument_count)
        return 0;
    const struct instrument *listing = &book->instruments[instrument];
    uint32_t step = step_of(listing, price);
    if (in_window(book, listing, step)) {
        // The other side's, when it is not ours: a price never has both.
        uint32_t slot = step & book->window_mask, bit = bit_of(book, book_side(side), slot);
        bool ours = listing->occupied[book_side(side)][bit / 64] >> bit % 64 & 1;
        return ours ? listing->window[slot].quantity : 0;
    }
    uint32_t far = tree_find(book, &listing->far[book_side(side)], rank_of(book_side(side), price));
    return far == NONE ? 0 : book->far_levels[far].level.quantity;
}

static bool show_order(const struct book *book, uint32_t index, struct book_order *shown)
{
    if (index == NONE)
        return false;
    const struct order *order = &book->orders[index];
    *shown = (struct book_order){
        .order_ref = order->ref,
        .user_ref_num = order->user_ref_num,
        .quantity = order->open + order_reserve(book, order),
        .executed = order->executed,
        .price = order->price,
        .session = order->session,
        .instrument = order->instrument,
        .side = order->side,
        .user_ref_index = order->user_ref_index,
        .attributes = order->attributes,
        .displayed = order_displayed(order) ? order->open : 0,
        .max_floor = order->extra == NONE ? 0 : book->extras[order->extra].max_floor,
        .expire_seconds = order->extra == NONE ? 0 : book->extras[order->extra].expire_seconds,
        .random_reserve = order->extra == NONE ? 0 : book->extras[order->extra].random_reserve,
    };
    return true;
}

bool book_find_user_ref(const struct book *book, uint16_t session, uint8_t user_ref_index,
                        uint32_t user_ref_num, struct book_order *order)
{
    return show_order(book, order_find(book, session, user_ref_index, user_ref_num), order);
}

void book_summarise(const struct book *book, struct book_summary *summary)
{
    *summary = (struct book_summary){
        .state = book->state,
        .shard = book->shard,
        .instrument_count = book->instrument_count,
        .session_count = book->session_count,
        .order_count = book->order_slots.count,
        .timed_count = book->timed_count,
        .wants_clock = book->timed_count > 0 || cross_may_build(book),
        .seq = book->seq,
        .midnight_ns = book->midnight_ns,
        .feed_next = book->feed_next,
        .match_count = book->match_count,
        .last_time_ns = book->last_time_ns,
        .limits = book->limits,
    };
    memcpy(summary->session_id, book->session_id, sizeof(book->session_id));
}

uint64_t book_seq(const struct book *book)
{
    return book->seq;
}

const char *book_session_user(const struct book *book, uint16_t session)
{
    return session < book->session_count ? book->sessions[session].user_name : NULL;
}

const char *book_session_firm(const struct book *book, uint16_t session)
{
    return session < book->session_count ? book->sessions[session].firm : NULL;
}

const char *book_instrument_symbol(const struct book *book, uint16_t instrument)
{
    return instrument < book->instrument_count ? book->instruments[instrument].symbol : NULL;
}

uint64_t book_session_next(const struct book *book, uint16_t session)
{
    return session < book->session_count ? book->sessions[session].stream_next : 1;
}

// A multiply and a rotation a word: every bit of every word reaches the result, in order.
static void hash_word(uint64_t *hash, uint64_t word)
{
    uint64_t mixed = (*hash ^ word) * 0x9E3779B97F4A7C15ull;
    *hash = (mixed << 29 | mixed >> 35) + 0x632BE59BD9B4E019ull;
}

static void hash_text(uint64_t *hash, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash_word(hash, (unsigned char)text[i]);
}

static void hash_value(uint64_t *hash, value_t value)
{
    hash_word(hash, (uint64_t)value);
    hash_word(hash, (uint64_t)(value >> 64));
}

// What is usually 0 counts only where it is not, so that a book that never had it keeps its hash.
static void hash_if_any(uint64_t *hash, char name, uint32_t value)
{
    if (value != 0)
        hash_word(hash, (uint64_t)(value - 1) << 8 | (unsigned char)name);
}

static void hash_order(uint64_t *hash, const struct book *book, const struct order *order)
{
    uint16_t attributes;
    memcpy(&attributes, &order->attributes, sizeof(attributes));
    hash_word(hash, order->ref);
    hash_word(hash, (uint64_t)order->user_ref_num << 32 | order->price);
    hash_word(hash, (uint64_t)order->open << 32 | order->executed);
    hash_word(hash, (uint64_t)order->session << 48 | (uint64_t)order->side << 40 |
                        (uint64_t)order->user_ref_index << 32 | attributes);
    if (order->extra == NONE)
        return;
    const struct extra *extra = &book->extras[order->extra];
    hash_word(hash, (uint64_t)extra->max_floor << 32 | extra->reserve);
    hash_word(hash, extra->expire_seconds);
    hash_text(hash, extra->firm, sizeof(extra->firm));
    if (extra->random_reserve != 0)
        hash_word(hash, extra->random_reserve);
    if (extra->limit != 0)
        hash_word(hash, (uint64_t)extra->limit << 16 | (uint16_t)extra->peg_offset);
    hash_if_any(hash, 'X', extra->cross);
    hash_if_any(hash, 'L', extra->late);
}

static void hash_queue(uint64_t *hash, const struct book *book, const struct level *level)
{
    for (uint32_t at = level->head; at != NONE; at = book->orders[at].next)
        hash_order(hash, book, &book->orders[at]);
}

static void hash_tree(uint64_t *hash, const struct book *book, const struct tree *tree)
{
    for (uint32_t index = tree->best; index != NONE; index = tree_after(book, index))
        hash_queue(hash, book, &book->far_levels[index].level);
}

static void hash_side(uint64_t *hash, const struct book *book, const struct instrument *listing,
                      enum side side)
{
    uint32_t rank = listing->best[side];
    for (; rank != RANK_NONE; rank = rank_after(book, listing, side, rank))
        hash_queue(hash, book, level_at(book, listing, side, rank_of(side, rank)));
    hash_tree(hash, book, &listing->hidden[side]);
    hash_tree(hash, book, &listing->midpoint[side]);
    hash_tree(hash, book, &listing->auction[side]);
    hash_tree(hash, book, &listing->closing[side]);
}

static bool hash_timer(void *hash, const struct order *order, uint32_t seconds)
{
    hash_word(hash, order->ref);
    hash_word(hash, seconds);
    return true;
}

static void hash_session(uint64_t *hash, const struct session *session)
{
    hash_word(hash, session->stream_next);
    hash_text(hash, session->user_name, sizeof(session->user_name));
    hash_text(hash, session->firm, sizeof(session->firm));
    for (int channel = 0; channel < 256; channel++)
        hash_word(hash, session->last_user_ref_num[channel]);
}

static void hash_member(uint64_t *hash, const struct member *member)
{
    for (uint8_t kind = LIMIT_QUANTITY; kind <= LIMIT_ORDERS_PER_TRADE; kind++)
        hash_word(hash, member->limits[kind]);
    if (member->limits[LIMIT_SYMBOL_ORDERS] != 0) // as in snapshots that did not know of it
        hash_word(hash, member->limits[LIMIT_SYMBOL_ORDERS]);
    for (uint8_t i = 0; i < LIMIT_HELD_COUNT; i++)
        if (member->totals[i] != 0) {
            hash_word(hash, i);
            hash_word(hash, member->totals[i]);
        }
    for (enum side side = SIDE_BUY; side <= SIDE_SELL; side++) {
        hash_value(hash, member->open_value[side]);
        hash_value(hash, member->traded_value[side]);
    }
    hash_word(hash, member->open_orders);
    hash_word(hash, member->orders);
    hash_word(hash, member->executions);
    hash_word(hash, member->order_bucket);
    hash_word(hash, member->cancel_bucket);
    hash_word(hash, member->execution_bucket);
    for (uint32_t i = 0; i < SIGHTINGS; i++) {
        hash_word(hash, (uint64_t)member->sightings[i].price << 32 | member->sightings[i].shares);
        hash_word(hash, (uint64_t)member->sightings[i].instrument << 8 | member->sightings[i].side);
        hash_word(hash, member->sightings[i].bucket);
    }
}

// A sum: the order of positions is no part of the state.
static uint64_t hash_positions(const struct book *book, uint32_t member)
{
    uint64_t sum = 0;
    for (uint16_t i = 0; i < book->instrument_count; i++) {
        const struct position *position = &book->members[member].positions[i];
        uint64_t hash = 0;
        hash_word(&hash, 1 + (member << 16 | i));
        hash_word(&hash, (uint64_t)position->traded);
        hash_word(&hash, position->open[SIDE_BUY]);
        hash_word(&hash, position->open[SIDE_SELL]);
        if (position->barred)
            hash_word(&hash, 1 + (uint64_t)position->known);
        sum += position->known || position->barred ? hash : 0;
    }
    return sum;
}

static bool has_limits(const struct member *member)
{
    uint64_t any = member->watched || member->barred_count > 0;
    for (uint8_t kind = LIMIT_QUANTITY; kind < LIMIT_MEMBER_END; kind++)
        any |= member->limits[kind];
    return any != 0;
}

// What there is only where limits are, or were.
static void hash_limits(uint64_t *hash, const struct book *book)
{
    uint64_t positions = 0;
    for (uint32_t i = 0; i < book->member_count; i++) {
        if (!has_limits(&book->members[i]))
            continue;
        hash_member(hash, &book->members[i]);
        positions += hash_positions(book, i);
    }
    for (uint16_t i = 0; i < book->instrument_count; i++) {
        const struct instrument *listing = &book->instruments[i];
        for (uint32_t kind = 0; listing->guarded && kind < LIMIT_INSTRUMENT_END - LIMIT_TICK;
             kind++)
            hash_word(hash, listing->limits[kind]);
        if (listing->guarded)
            hash_word(hash, listing->last_price);
    }
    if (positions != 0)
        hash_word(hash, positions);
}

uint64_t book_hash(const struct book *book)
{
    uint64_t hash = 0;
    hash_word(&hash, book->state);
    hash_word(&hash, book->seq);
    hash_word(&hash, book->midnight_ns);
    hash_word(&hash, book->feed_next);
    hash_word(&hash, book->match_count);
    hash_word(&hash, book->slice_count);
    hash_word(&hash, book->next_second_ns);
    hash_word(&hash, book->shard);
    hash_text(&hash, book->session_id, sizeof(book->session_id));
    hash_word(&hash, book->limits.orders_max);
    hash_word(&hash, (uint64_t)book->limits.instruments_max << 16 | book->limits.sessions_max);
    for (uint16_t index = 0; index < book->session_count; index++)
        hash_session(&hash, &book->sessions[index]);
    for (uint16_t index = 0; index < book->instrument_count; index++) {
        const struct instrument *instrument = &book->instruments[index];
        hash_text(&hash, instrument->symbol, sizeof(instrument->symbol));
        hash_word(&hash, instrument->round_lot);
        hash_side(&hash, book, instrument, SIDE_BUY);
        hash_side(&hash, book, instrument, SIDE_SELL);
        hash_if_any(&hash, 'H', instrument->phase);
        hash_if_any(&hash, 'R', instrument->reference);
        hash_if_any(&hash, 'Y', instrument->short_sale);
        hash_if_any(&hash, 'J', instrument->band);
        hash_if_any(&hash, 'L', instrument->late ? 1 + instrument->late_price : 0);
        hash_if_any(&hash, 'D', instrument->day);
        hash_if_any(&hash, 'W', instrument->source);
    }
    for (uint32_t i = 0; i < book->bar_count; i++)
        hash_text(&hash, (const char *)&book->bars[i], sizeof(book->bars[i]));
    timers_each(book, hash_timer, &hash);
    hash_limits(&hash, book);
    return hash;
}
