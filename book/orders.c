// SPDX-License-Identifier: MIT
//
// The pool of resting orders, their queues, and the two tables by which they are found: heads of
// chains, four bytes each, that run through the orders themselves. Sixteen consecutive numbers of a
// session share a cache line of heads, so that a session's new orders, and the cancels of its
// recent ones, find the line in the cache.
#include "book/internal.h"

static uint64_t mix(uint64_t key)
{
    key ^= key >> 32; // finaliser of SplitMix64 (Steele, Lea, Flood 2014)
    key *= 0xD6E8FEB86659FD93ull;
    key ^= key >> 32;
    return key;
}

uint32_t user_ref_head(const struct book *book, uint16_t session, uint8_t user_ref_index,
                       uint32_t user_ref_num)
{
    uint64_t group = (uint64_t)session << 36 | (uint64_t)user_ref_index << 28 | user_ref_num >> 4;
    uint64_t line = mix(group + book->table_seed) * 16;
    return (uint32_t)(line | (user_ref_num & 15)) & book->table_mask;
}

// References are sequence numbers: they spread over the heads by themselves.
static uint32_t ref_head(const struct book *book, uint64_t ref)
{
    return (uint32_t)ref & book->table_mask;
}

void ref_prefetch(const struct book *book, uint64_t ref)
{
    prefetch(&book->by_ref[ref_head(book, ref)]);
}

uint32_t order_by_user_ref(const struct book *book, uint16_t session, uint8_t user_ref_index,
                           uint32_t user_ref_num)
{
    uint32_t head = user_ref_head(book, session, user_ref_index, user_ref_num);
    uint32_t index = book->by_user_ref[head];
    for (; index != NONE; index = book->orders[index].user_next) {
        const struct order *order = &book->orders[index];
        if (order->user_ref_num == user_ref_num && order->session == session &&
            order->user_ref_index == user_ref_index)
            break;
    }
    return index;
}

uint32_t order_by_ref(const struct book *book, uint64_t ref)
{
    uint32_t index = book->by_ref[ref_head(book, ref)];
    while (index != NONE && book->orders[index].ref != ref)
        index = book->orders[index].ref_next;
    return index;
}

static void tables_add(struct book *book, uint32_t index)
{
    struct order *order = &book->orders[index];
    uint32_t *head = &book->by_user_ref[user_ref_head(book, order->session, order->user_ref_index,
                                                      order->user_ref_num)];
    order->user_next = *head;
    *head = index;
    head = &book->by_ref[ref_head(book, order->ref)];
    order->ref_next = *head;
    *head = index;
}

static void tables_remove(struct book *book, uint32_t index)
{
    const struct order *order = &book->orders[index];
    uint32_t *link = &book->by_user_ref[user_ref_head(book, order->session, order->user_ref_index,
                                                      order->user_ref_num)];
    while (*link != index)
        link = &book->orders[*link].user_next;
    *link = order->user_next;
    link = &book->by_ref[ref_head(book, order->ref)];
    while (*link != index)
        link = &book->orders[*link].ref_next;
    *link = order->ref_next;
}

static uint32_t take_order(struct book *book)
{
    INVARIANT(book->order_count < book->limits.orders_max);
    uint32_t index = book->free_order;
    if (index != NONE)
        book->free_order = book->orders[index].next;
    else
        index = book->fresh_order++;
    book->order_count++;
    return index;
}

bool order_rest(struct book *book, const struct order *order)
{
    struct level *level =
        level_claim(book, order->instrument, book_side(order->side), order->price);
    if (!level)
        return false;
    enum queue queue = order_queue(order);
    uint32_t index = take_order(book);
    struct order *resting = &book->orders[index];
    *resting = *order;
    resting->next = NONE;
    resting->previous = level->tail[queue];
    if (level->tail[queue] != NONE)
        book->orders[level->tail[queue]].next = index;
    else
        level->head[queue] = index;
    level->tail[queue] = index;
    if (queue == QUEUE_DISPLAYED) {
        level->quantity += order->open;
        level->order_count++;
    }
    tables_add(book, index);
    return true;
}

struct level *order_level(const struct book *book, const struct order *order)
{
    return level_at(book, order->instrument, book_side(order->side), order->price);
}

void order_reduce(struct book *book, struct level *level, uint32_t index, uint32_t quantity)
{
    struct order *order = &book->orders[index];
    INVARIANT(quantity <= order->open);
    order->open -= quantity;
    if (order_queue(order) == QUEUE_DISPLAYED)
        level->quantity -= quantity;
}

void order_remove(struct book *book, struct level *level, uint32_t index)
{
    struct order *order = &book->orders[index];
    enum queue queue = order_queue(order);
    order_reduce(book, level, index, order->open);
    if (queue == QUEUE_DISPLAYED)
        level->order_count--;
    if (order->previous != NONE)
        book->orders[order->previous].next = order->next;
    else
        level->head[queue] = order->next;
    if (order->next != NONE)
        book->orders[order->next].previous = order->previous;
    else
        level->tail[queue] = order->previous;
    if (level_empty(level))
        level_drop(book, order->instrument, book_side(order->side), order->price);
    tables_remove(book, index);
    order->next = book->free_order;
    book->free_order = index;
    book->order_count--;
}
