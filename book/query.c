// SPDX-License-Identifier: MIT
//
// Questions to a book, and its hash.
#include "book/internal.h"

#include <string.h>

static uint32_t best_price(const struct book *book, uint16_t instrument, enum side side)
{
    return instrument < book->instrument_count
               ? book->instruments[instrument].sides[book_side(side)].best
               : 0;
}

uint32_t book_depth(const struct book *book, uint16_t instrument, enum side side,
                    struct book_level *levels, uint32_t count)
{
    uint32_t found = 0;
    uint32_t price = best_price(book, instrument, side);
    while (price != 0 && found < count) {
        const struct level *level = level_at(book, instrument, book_side(side), price);
        if (level->order_count > 0)
            levels[found++] = (struct book_level){price, level->order_count, level->quantity};
        price = level_after(book, instrument, book_side(side), price);
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
    const struct level *level = level_find(book, instrument, book_side(side), price);
    return level ? level->quantity : 0;
}

static bool show_order(const struct book *book, uint32_t index, struct book_order *shown)
{
    if (index == NONE)
        return false;
    const struct order *order = &book->orders[index];
    *shown = (struct book_order){
        .order_ref = order->ref,
        .user_ref_num = order->user_ref_num,
        .quantity = order->open,
        .executed = order->executed,
        .price = order->price,
        .session = order->session,
        .instrument = order->instrument,
        .side = order->side,
        .user_ref_index = order->user_ref_index,
        .attributes = order->attributes,
    };
    return true;
}

bool book_find_order(const struct book *book, uint64_t order_ref, struct book_order *order)
{
    return show_order(book, order_by_ref(book, order_ref), order);
}

bool book_find_user_ref(const struct book *book, uint16_t session, uint8_t user_ref_index,
                        uint32_t user_ref_num, struct book_order *order)
{
    return show_order(book, order_by_user_ref(book, session, user_ref_index, user_ref_num), order);
}

void book_summarise(const struct book *book, struct book_summary *summary)
{
    *summary = (struct book_summary){
        .state = book->state,
        .shard = book->shard,
        .instrument_count = book->instrument_count,
        .session_count = book->session_count,
        .order_count = book->order_count,
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

static void hash_order(uint64_t *hash, const struct order *order)
{
    uint16_t attributes;
    memcpy(&attributes, &order->attributes, sizeof(attributes));
    hash_word(hash, order->ref);
    hash_word(hash, (uint64_t)order->user_ref_num << 32 | order->price);
    hash_word(hash, (uint64_t)order->open << 32 | order->executed);
    hash_word(hash, (uint64_t)order->session << 48 | (uint64_t)order->side << 40 |
                        (uint64_t)order->user_ref_index << 32 | attributes);
    hash_text(hash, order->firm, sizeof(order->firm));
}

static void hash_side(const struct book *book, uint64_t *hash, uint16_t instrument, enum side side)
{
    uint32_t price = best_price(book, instrument, side);
    for (; price != 0; price = level_after(book, instrument, side, price)) {
        const struct level *level = level_at(book, instrument, side, price);
        for (int queue = QUEUE_DISPLAYED; queue <= QUEUE_HIDDEN; queue++) {
            uint32_t at = level->head[queue];
            for (; at != NONE; at = book->orders[at].next)
                hash_order(hash, &book->orders[at]);
        }
    }
}

static void hash_session(uint64_t *hash, const struct session *session)
{
    hash_word(hash, session->stream_next);
    hash_text(hash, session->user_name, sizeof(session->user_name));
    hash_text(hash, session->firm, sizeof(session->firm));
    for (int channel = 0; channel < 256; channel++)
        hash_word(hash, session->last_user_ref_num[channel]);
}

uint64_t book_hash(const struct book *book)
{
    uint64_t hash = 0;
    hash_word(&hash, book->state);
    hash_word(&hash, book->seq);
    hash_word(&hash, book->midnight_ns);
    hash_word(&hash, book->feed_next);
    hash_word(&hash, book->match_count);
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
        hash_side(book, &hash, index, SIDE_BUY);
        hash_side(book, &hash, index, SIDE_SELL);
    }
    return hash;
}
