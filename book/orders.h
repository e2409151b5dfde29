// SPDX-License-Identifier: MIT
//
// The pool of orders, their queues, and the table by which they are found: heads of chains, four
// bytes each, that run through the orders themselves. Sixteen consecutive numbers of a session
// share a cache line of heads, so that a session's new orders, and the cancels of its recent ones,
// find the line in the cache.
#ifndef SLUICE_BOOK_ORDERS_H
#define SLUICE_BOOK_ORDERS_H

#include "book/accounts.h"
#include "book/levels.h"

// special.c: queues of hidden and midpoint orders, and extras.
struct level *dark_at(const struct book *book, const struct instrument *listing,
                      const struct order *order);
struct level *dark_claim(struct book *book, struct instrument *listing, const struct order *order);
void dark_drop(struct book *book, struct instrument *listing, const struct order *order);
// An order comes to rest; an order that has rested unsliced is displayed: of a reserve, a slice.
void extra_rest(struct book *book, uint32_t index);
void extra_display(struct book *book, uint32_t index);
void extra_leave(struct book *book, uint32_t index);

// Multiplicative hashing by a secret odd number (Dietzfelbinger et al. 1997): nobody who does not
// know it can choose names that collide.
static inline uint32_t *user_ref_head(const struct book *book, uint16_t session,
                                      uint8_t user_ref_index, uint32_t user_ref_num)
{
    uint64_t group = (uint64_t)session << 36 | (uint64_t)user_ref_index << 28 | user_ref_num >> 4;
    uint32_t line = (uint32_t)(group * book->table_seed >> 34) & ~15u;
    return &book->by_user_ref[(line | (user_ref_num & 15)) & book->table_mask];
}

// Where the resting order of that name hangs in its chain: the link is NONE when there is none.
static inline uint32_t *order_link_of(const struct book *book, uint32_t *head, uint16_t session,
                                      uint8_t user_ref_index, uint32_t user_ref_num)
{
    uint32_t *link = head;
    while (*link != NONE) {
        struct order *order = &book->orders[*link];
        if (likely(order->user_ref_num == user_ref_num && order->session == session &&
                   order->user_ref_index == user_ref_index))
            break;
        link = &order->user_next;
    }
    return link;
}

static inline uint32_t order_find(const struct book *book, uint16_t session, uint8_t user_ref_index,
                                  uint32_t user_ref_num)
{
    uint32_t *head = user_ref_head(book, session, user_ref_index, user_ref_num);
    return *order_link_of(book, head, session, user_ref_index, user_ref_num);
}

// A slot for an order, of which there is one. What it holds is undefined.
static inline uint32_t order_take(struct book *book)
{
    uint32_t index = slots_take(&book->order_slots, &book->orders->next, sizeof(*book->orders));
    INVARIANT(index != NONE);
    return index;
}

// Gives back the slot of an order that stands in no queue and no table, and its extra. What was
// still open of it is no longer.
static inline void order_give(struct book *book, uint32_t index)
{
    struct order *order = &book->orders[index];
    if (watched(book, order))
        account_close(book, order);
    if (unlikely(order->extra != NONE))
        extra_leave(book, index);
    order->open = 0;
    slots_give(&book->order_slots, &order->next, index);
}

static inline struct level *order_level(const struct book *book, const struct instrument *listing,
                                        const struct order *order)
{
    if (likely(order_displayed(order)))
        return level_at(book, listing, book_side(order->side), order->price);
    return dark_at(book, listing, order);
}

// Joining a queue and leaving it do not branch on what cannot be predicted: slot 0 takes the writes
// that are meant for nobody.
static inline void queue_join(struct book *book, struct level *level, uint32_t index)
{
    struct order *orders = book->orders;
    uint32_t tail = level->tail, head = level->head;
    orders[index].next = NONE;
    orders[index].previous = tail;
    orders[tail].next = index;
    level->head = tail == NONE ? index : head;
    level->tail = index;
    level->quantity += orders[index].open;
    level->order_count++;
}

static inline void queue_leave(struct book *book, struct level *level, uint32_t index)
{
    struct order *orders = book->orders;
    uint32_t next = orders[index].next, previous = orders[index].previous;
    uint32_t head = level->head, tail = level->tail;
    orders[previous].next = next;
    orders[next].previous = previous;
    level->head = previous == NONE ? next : head;
    level->tail = next == NONE ? previous : tail;
    level->quantity -= orders[index].open;
    level->order_count--;
}

// The level where an order is to rest, or NULL where it would take a far level too many.
static inline struct level *order_level_claim(struct book *book, struct instrument *listing,
                                              const struct order *order)
{
    return likely(order_displayed(order))
               ? level_claim(book, listing, book_side(order->side), order->price)
               : dark_claim(book, listing, order);
}

// Puts an order last in the queue of the level that was claimed for it.
static inline void order_join(struct book *book, struct instrument *listing, struct level *level,
                              uint32_t index)
{
    queue_join(book, level, index);
    listing->special_count += order_special(&book->orders[index]);
}

// Both; false when there is no such level.
static inline bool order_link(struct book *book, struct instrument *listing, uint32_t index)
{
    struct level *level = order_level_claim(book, listing, &book->orders[index]);
    if (unlikely(!level))
        return false;
    order_join(book, listing, level, index);
    return true;
}

// Takes it out again.
static inline void order_unlink(struct book *book, struct instrument *listing, struct level *level,
                                uint32_t index)
{
    const struct order *order = &book->orders[index];
    queue_leave(book, level, index);
    listing->special_count -= order_special(order);
    if (level->head != NONE)
        return;
    if (likely(order_displayed(order)))
        level_drop(book, listing, book_side(order->side), order->price);
    else
        dark_drop(book, listing, order);
}

static inline void table_add(struct book *book, uint32_t *head, uint32_t index)
{
    struct order *order = &book->orders[index];
    order->user_next = *head;
    *head = index;
}

static inline void table_remove(struct book *book, uint32_t index)
{
    const struct order *order = &book->orders[index];
    uint32_t *link =
        user_ref_head(book, order->session, order->user_ref_index, order->user_ref_num);
    while (*link != index)
        link = &book->orders[*link].user_next;
    *link = order->user_next;
}

// Out of everything.
static inline void order_remove(struct book *book, struct instrument *listing, struct level *level,
                                uint32_t index)
{
    order_unlink(book, listing, level, index);
    table_remove(book, index);
    order_give(book, index);
}

#endif
