// SPDX-License-Identifier: MIT
//
// The textbook order book, to compare with: per instrument and side a std::map of price to
// std::list of orders, and one std::unordered_map of order id to list position. It takes the same
// commands and makes the same trades; it keeps no streams, checks nothing and reports nothing else,
// and so does less than the book.
#ifndef SLUICE_BENCH_PEER_MAP_H
#define SLUICE_BENCH_PEER_MAP_H

#include "book/book.h"

#ifdef __cplusplus
extern "C" {
#endif

struct peer;

struct peer_trade {
    uint64_t maker, taker; // peer_id
    uint32_t quantity;
    uint32_t price;
};

static inline uint64_t peer_id(uint16_t session, uint32_t user_ref_num)
{
    return (uint64_t)session << 32 | user_ref_num;
}

// peer_open / peer_close: an empty book; the hash map is sized for limits->orders_max beforehand.
struct peer *peer_open(const struct book_limits *limits);
void peer_close(struct peer *peer);

// peer_apply: the trades of this command are at *trades until the next call; returns how many.
// ENTER of day orders, REPLACE and full CANCEL are served; anything else is ignored.
uint32_t peer_apply(struct peer *peer, const struct command *command,
                    const struct peer_trade **trades);

// peer_best: the best price of one side, 0 when it is empty.
uint32_t peer_best(const struct peer *peer, uint16_t instrument, enum side side);

// peer_levels: price levels of both sides, of all instruments.
uint32_t peer_levels(const struct peer *peer);

#ifdef __cplusplus
}
#endif

#endif
