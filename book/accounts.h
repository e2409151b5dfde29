// SPDX-License-Identifier: MIT
//
// Accounts: what members whose limits need it have open and have traded, on all their sessions, and
// the tokens of their rates (risk.c). The functions take orders of members that have one.
#ifndef SLUICE_BOOK_ACCOUNTS_H
#define SLUICE_BOOK_ACCOUNTS_H

#include "book/internal.h"

// Whether the order's member has an account.
static inline bool watched(const struct book *book, const struct order *order)
{
    return unlikely(book->watching) && book->sessions[order->session].watched;
}

// A market order has none: it trades at once, or was there before its member had a limit.
static inline uint64_t value_of(uint32_t price, uint32_t shares)
{
    return price == PRICE_MARKET ? 0 : (uint64_t)price * shares;
}

static inline void room_less(struct member *member, uint64_t value)
{
    member->room = value < member->room ? member->room - value : 0;
}

// ns from one token to the next where `rate` come a second.
static inline uint64_t interval_of(uint64_t rate)
{
    return rate > 0 && rate < NS_PER_SECOND ? (NS_PER_SECOND + rate - 1) / rate : 1;
}

// Takes a token of those that come every `interval` ns, of which there are `rate` at most; false
// when there is none.
static inline bool bucket_take(bucket_t *bucket, uint64_t now_ns, uint64_t rate, uint64_t interval)
{
    uint64_t full = (*bucket > now_ns ? *bucket : now_ns) + interval;
    if (full - now_ns > rate * interval)
        return false;
    *bucket = full;
    return true;
}

// The same of a member's rate.
static inline bool token_taken(const struct member *member, uint8_t kind, bucket_t *bucket,
                               uint64_t now_ns)
{
    return bucket_take(bucket, now_ns, member->limits[kind], member->intervals[kind]);
}

// Takes a token for a cancel of the session's; false when its member's rate has none left.
static inline bool cancel_allowed(struct book *book, uint16_t session)
{
    struct member *member = book->sessions[session].member;
    return member->limits[LIMIT_CANCEL_RATE] == 0 ||
           token_taken(member, LIMIT_CANCEL_RATE, &member->cancel_bucket, book->last_time_ns);
}

// Takes a token for a command of the session's that goes over all orders or all sessions; false
// when it has none left.
static inline bool pass_allowed(struct book *book, uint16_t session)
{
    return bucket_take(&book->sessions[session].pass_bucket, book->last_time_ns, BOOK_PASS_RATE,
                       interval_of(BOOK_PASS_RATE));
}

// So many shares more of the order are open.
static inline void account_add(struct book *book, const struct order *order, uint32_t shares)
{
    struct member *member = book->sessions[order->session].member;
    enum side side = book_side(order->side);
    uint64_t value = value_of(counted_price(book, order), shares);
    member->open_value[side] += value;
    room_less(member, value);
    member->positions[order->instrument].open[side] += shares;
}

// The order has come in.
static inline void account_open(struct book *book, const struct order *order)
{
    struct member *member = book->sessions[order->session].member;
    member->open_orders++;
    member->positions[order->instrument].open_orders++;
    account_add(book, order, order->open);
}

// So many shares of it are open no longer.
void account_remove(struct book *book, const struct order *order, uint32_t shares);
// It leaves, with all that is left of it.
void account_close(struct book *book, const struct order *order);
// So many were executed; `price` with 4 decimals.
void account_trade(struct book *book, const struct order *order, uint32_t shares, uint32_t price);

// account_remove, of any member's order.
static inline void account_less(struct book *book, const struct order *order, uint32_t shares)
{
    if (watched(book, order))
        account_remove(book, order, shares);
}

#endif
