// SPDX-License-Identifier: MIT
//
// The pool of resting orders, their queues, and the two tables by which they are found. Tables hold
// four bytes a slot and are at most half full; removal shifts later entries back, so that no
// tombstones gather and a search never gets longer with age.
#include "book/internal.h"

static uint64_t mix(uint64_t key)
{
    key ^= key >> 32; // finaliser of SplitMix64 (Steele, Lea, Flood 2014)
    key *= 0xD6E8FEB86659FD93ull;
    key ^= key >> 32;
    key *= 0xD6E8FEB86659FD93ull;
    return key ^ key >> 32;
}

static uint64_t user_ref_key(uint16_t session, uint8_t user_ref_index, uint32_t user_ref_num)
{
    return (uint64_t)session << 40 | (uint64_t)user_ref_index << 32 | user_ref_num;
}

static uint64_t order_key(const struct book *book, const struct table *table, uint32_t index)
{
    const struct order *order = &book->orders[index];
    if (table == &book->by_ref)
        return order->ref;
    return user_ref_key(order->session, order->user_ref_index, order->user_ref_num);
}

static uint32_t home(const struct table *table, uint64_t key)
{
    return (uint32_t)mix(key) & table->mask;
}

static uint32_t table_find(const struct book *book, const struct table *table, uint64_t key)
{
    uint32_t slot = home(table, key);
    while (table->slots[slot] != NONE && order_key(book, table, table->slots[slot]) != key)
        slot = (slot + 1) & table->mask;
    return slot;
}

static void table_add(struct book *book, struct table *table, uint32_t index)
{
    uint32_t slot = table_find(book, table, order_key(book, table, index));
    INVARIANT(table->slots[slot] == NONE);
    table->slots[slot] = index;
}

static void table_remove(struct book *book, struct table *table, uint32_t index)
{
    uint32_t hole = table_find(book, table, order_key(book, table, index));
    INVARIANT(table->slots[hole] == index);
    for (uint32_t at = (hole + 1) & table->mask; table->slots[at] != NONE;
         at = (at + 1) & table->mask) {
        uint32_t wanted = home(table, order_key(book, table, table->slots[at]));
        // The entry may move back unless its home lies after the hole.
        if (((at - wanted) & table->mask) >= ((at - hole) & table->mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = NONE;
}

void orders_init(struct book *book)
{
    for (uint32_t index = book->limits.orders_max; index > 0; index--) {
        book->orders[index].next = book->free_order;
        book->free_order = index;
        book->levels[index].parent = book->free_level;
        book->free_level = index;
    }
}

uint32_t order_rest(struct book *book, const struct order *order)
{
    uint32_t index = book->free_order;
    INVARIANT(index != NONE && order->open > 0);
    book->free_order = book->orders[index].next;
    book->order_count++;

    enum queue queue = order_queue(order);
    uint32_t level_index =
        level_insert(book, side_of(book, order->instrument, order->side), order->price);
    struct level *level = &book->levels[level_index];
    struct order *resting = &book->orders[index];
    *resting = *order;
    resting->level = level_index;
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
    table_add(book, &book->by_user_ref, index);
    table_add(book, &book->by_ref, index);
    return index;
}

void order_reduce(struct book *book, uint32_t index, uint32_t quantity)
{
    struct order *order = &book->orders[index];
    INVARIANT(quantity <= order->open);
    order->open -= quantity;
    if (order_queue(order) == QUEUE_DISPLAYED)
        book->levels[order->level].quantity -= quantity;
}

void order_remove(struct book *book, uint32_t index)
{
    struct order *order = &book->orders[index];
    enum queue queue = order_queue(order);
    struct level *level = &book->levels[order->level];
    order_reduce(book, index, order->open);
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
    if (level->head[QUEUE_DISPLAYED] == NONE && level->head[QUEUE_HIDDEN] == NONE)
        level_remove(book, side_of(book, order->instrument, order->side), order->level);
    table_remove(book, &book->by_user_ref, index);
    table_remove(book, &book->by_ref, index);
    order->next = book->free_order;
    book->free_order = index;
    book->order_count--;
}

uint32_t order_by_user_ref(const struct book *book, uint16_t session, uint8_t user_ref_index,
                           uint32_t user_ref_num)
{
    uint64_t key = user_ref_key(session, user_ref_index, user_ref_num);
    return book->by_user_ref.slots[table_find(book, &book->by_user_ref, key)];
}

uint32_t order_by_ref(const struct book *book, uint64_t ref)
{
    return book->by_ref.slots[table_find(book, &book->by_ref, ref)];
}

uint32_t order_user_ref_slot(const struct book *book, uint16_t session, uint8_t user_ref_index,
                             uint32_t user_ref_num)
{
    return home(&book->by_user_ref, user_ref_key(session, user_ref_index, user_ref_num));
}
