// SPDX-License-Identifier: MIT
//
// An instrument's price levels. Displayed ones near the market stand in a window: an array with a
// level for each price step, and for each side a bitmap of those in use, so that finding a level is
// one index and finding the next best one is two bit scans, or a few more across a wide gap. The
// window is a ring over the steps; it follows the market by whole words of 64 levels. Displayed
// levels outside it, or between the steps, and all hidden ones stand in red-black trees.
#ifndef SLUICE_BOOK_LEVELS_H
#define SLUICE_BOOK_LEVELS_H

#include "book/internal.h"

// levels.c

void levels_open(struct book *book, uint16_t instrument, uint32_t step, uint32_t base);
// A level that is not in the window: of a resting order; of any; made when there is none, NULL when
// that would take one too many; taken out.
struct level *far_at(const struct book *book, const struct instrument *listing, enum side side,
                     uint32_t price);
struct level *far_claim(struct book *book, struct instrument *listing, enum side side,
                        uint32_t price);
void far_drop(struct book *book, struct instrument *listing, enum side side, uint32_t price);
// The best displayed rank that is worse than `rank`, or RANK_NONE.
uint32_t rank_after(const struct book *book, const struct instrument *listing, enum side side,
                    uint32_t rank);
// Levels of a tree.
uint32_t tree_find(const struct book *book, const struct tree *tree, uint32_t rank);
uint32_t tree_claim(struct book *book, struct tree *tree, uint32_t rank); // NONE: one too many
void tree_remove(struct book *book, struct tree *tree, uint32_t index);
uint32_t tree_after(const struct book *book, uint32_t index);
// The best level that is of `rank` or a worse one.
uint32_t tree_from(const struct book *book, const struct tree *tree, uint32_t rank);

// The window

// price / step. Exact, as price and step are below 2^31: the inverse is less than one step too
// large.
static inline uint32_t step_below(const struct instrument *listing, uint32_t price)
{
    return (uint32_t)((unsigned __int128)price * listing->step_inverse >> 63);
}

// The step number of a price, or UINT32_MAX, which is in no window, when it is between the steps.
static inline uint32_t step_of(const struct instrument *listing, uint32_t price)
{
    uint32_t step = step_below(listing, price);
    return step * listing->step == price ? step : UINT32_MAX;
}

static inline bool in_window(const struct book *book, const struct instrument *listing,
                             uint32_t step)
{
    return step - listing->base <= book->window_mask;
}

// A slot's bit: purchases are turned round.
static inline uint32_t bit_of(const struct book *book, enum side side, uint32_t slot)
{
    return slot ^ (((uint32_t)side - 1) & book->window_mask);
}

static inline void mark(const struct book *book, struct instrument *listing, enum side side,
                        uint32_t slot)
{
    uint32_t bit = bit_of(book, side, slot), word = bit / 64;
    listing->occupied[side][word] |= 1ull << bit % 64;
    listing->summary[side][word / 64] |= 1ull << word % 64;
}

static inline void unmark(const struct book *book, struct instrument *listing, enum side side,
                          uint32_t slot)
{
    uint32_t bit = bit_of(book, side, slot), word = bit / 64;
    uint64_t left = listing->occupied[side][word] & ~(1ull << bit % 64);
    listing->occupied[side][word] = left;
    listing->summary[side][word / 64] &= ~((uint64_t)(left == 0) << word % 64);
}

// The first bit in use from `from` on, `end` being the last possible + 1; `end` when there is none.
static inline uint32_t next_bit(const struct instrument *listing, enum side side, uint32_t from,
                                uint32_t end)
{
    uint32_t word = from / 64;
    uint64_t bits = from < end ? listing->occupied[side][word] >> from % 64 << from % 64 : 0;
    if (bits == 0) {
        uint32_t group = ++word / 64, groups = (end + 4095) / 4096;
        uint64_t words =
            group < groups ? listing->summary[side][group] >> word % 64 << word % 64 : 0;
        while (words == 0 && ++group < groups)
            words = listing->summary[side][group];
        if (words == 0)
            return end;
        word = group * 64 + (uint32_t)__builtin_ctzll(words);
        bits = listing->occupied[side][word];
    }
    uint32_t bit = word * 64 + (uint32_t)__builtin_ctzll(bits);
    return bit < end ? bit : end;
}

// The best rank in the window that is `from` or more levels behind the window's best end. The bits
// are a ring from that end: up to the last one, then from the first.
static inline uint32_t window_scan(const struct book *book, const struct instrument *listing,
                                   enum side side, uint32_t from)
{
    uint32_t flip = (uint32_t)side - 1, width = book->window_mask + 1;
    uint32_t origin = ((listing->base ^ flip) - flip) & book->window_mask;
    uint32_t bit = (origin + from) & book->window_mask;
    uint32_t found = width;
    if (bit >= origin)
        found = next_bit(listing, side, bit, width);
    if (found == width) {
        found = next_bit(listing, side, bit >= origin ? 0 : bit, origin);
        if (found == origin)
            return RANK_NONE;
    }
    bit = found;
    uint32_t slot = bit_of(book, side, bit);
    uint32_t step = listing->base + ((slot - listing->base) & book->window_mask);
    return rank_of(side, step * listing->step);
}

// The rest of the book sees displayed levels only through these.

// The level of a price at which the side is known to have displayed orders.
static inline struct level *level_at(const struct book *book, const struct instrument *listing,
                                     enum side side, uint32_t price)
{
    uint32_t step = step_of(listing, price);
    if (likely(in_window(book, listing, step)))
        return &listing->window[step & book->window_mask];
    return far_at(book, listing, side, price);
}

// The level of a price, made when there is none; NULL when that would take a far level too many.
static inline struct level *level_claim(struct book *book, struct instrument *listing,
                                        enum side side, uint32_t price)
{
    uint32_t step = step_of(listing, price);
    if (unlikely(!in_window(book, listing, step)))
        return far_claim(book, listing, side, price);
    uint32_t slot = step & book->window_mask, rank = rank_of(side, price);
    struct level *level = &listing->window[slot];
    if (unlikely(level->head == NONE)) {
        mark(book, listing, side, slot);
        listing->best[side] = rank < listing->best[side] ? rank : listing->best[side];
    }
    return level;
}

// The level of a price is empty now: the side's best may be another.
static inline void level_drop(struct book *book, struct instrument *listing, enum side side,
                              uint32_t price)
{
    uint32_t step = step_of(listing, price);
    if (likely(in_window(book, listing, step)))
        unmark(book, listing, side, step & book->window_mask);
    else
        far_drop(book, listing, side, price);
    if (listing->best[side] != rank_of(side, price))
        return;
    uint32_t near = window_scan(book, listing, side, 0);
    uint32_t far = listing->far[side].best;
    uint32_t far_rank = far == NONE ? RANK_NONE : book->far_levels[far].rank;
    listing->best[side] = near < far_rank ? near : far_rank;
}

// The level of a price if it is in the window, else some other: to be asked for ahead of time.
static inline const struct level *level_near(const struct book *book, uint16_t instrument,
                                             uint32_t price)
{
    instrument = instrument < book->instrument_count ? instrument : 0;
    const struct instrument *listing = &book->instruments[instrument];
    return &listing->window[step_below(listing, price) & book->window_mask];
}

#endif
