// SPDX-License-Identifier: MIT
//
// Price levels of one side as an intrusive red-black tree over pool indices, after Cormen,
// Leiserson, Rivest and Stein, "Introduction to Algorithms", chapter 13. Index 0 is the sentinel:
// always black.
#include "book/internal.h"

bool level_better(const struct side_levels *side, uint32_t price, uint32_t than)
{
    return side->buy ? price > than : price < than;
}

uint32_t level_find(const struct book *book, const struct side_levels *side, uint32_t price)
{
    uint32_t index = side->root;
    while (index != NONE && book->levels[index].price != price)
        index = book->levels[index].child[!level_better(side, price, book->levels[index].price)];
    return index;
}

// Puts `replacement` where `index` hangs from its parent.
static void hang(struct book *book, struct side_levels *side, uint32_t index, uint32_t replacement)
{
    struct level *levels = book->levels;
    uint32_t parent = levels[index].parent;
    if (parent == NONE)
        side->root = replacement;
    else
        levels[parent].child[levels[parent].child[1] == index] = replacement;
    levels[replacement].parent = parent; // of the sentinel too: removal climbs from there
}

// Rotates `index` down to `direction`; its other child takes its place.
static void rotate(struct book *book, struct side_levels *side, uint32_t index, int direction)
{
    struct level *levels = book->levels;
    uint32_t riser = levels[index].child[!direction];
    uint32_t inner = levels[riser].child[direction];
    hang(book, side, index, riser);
    levels[index].child[!direction] = inner;
    if (inner != NONE)
        levels[inner].parent = index;
    levels[riser].child[direction] = index;
    levels[index].parent = riser;
}

static void insert_fixup(struct book *book, struct side_levels *side, uint32_t index)
{
    struct level *levels = book->levels;
    while (levels[levels[index].parent].red) {
        uint32_t parent = levels[index].parent;
        uint32_t grandparent = levels[parent].parent;
        int direction = levels[grandparent].child[1] == parent;
        uint32_t uncle = levels[grandparent].child[!direction];
        if (levels[uncle].red) {
            levels[parent].red = levels[uncle].red = false;
            levels[grandparent].red = true;
            index = grandparent;
            continue;
        }
        if (levels[parent].child[!direction] == index) {
            rotate(book, side, parent, direction);
            parent = index;
        }
        levels[parent].red = false;
        levels[grandparent].red = true;
        rotate(book, side, grandparent, !direction);
        break;
    }
    levels[side->root].red = false;
}

uint32_t level_insert(struct book *book, struct side_levels *side, uint32_t price)
{
    struct level *levels = book->levels;
    uint32_t parent = NONE, at = side->root;
    while (at != NONE) {
        if (levels[at].price == price)
            return at;
        parent = at;
        at = levels[at].child[!level_better(side, price, levels[at].price)];
    }
    uint32_t index = book->free_level;
    INVARIANT(index != NONE);
    book->free_level = levels[index].parent;
    levels[index] = (struct level){.parent = parent, .price = price, .red = true};
    if (parent == NONE)
        side->root = index;
    else
        levels[parent].child[!level_better(side, price, levels[parent].price)] = index;
    if (side->best == NONE || level_better(side, price, levels[side->best].price))
        side->best = index;
    insert_fixup(book, side, index);
    return index;
}

static uint32_t outermost(const struct book *book, uint32_t index, int direction)
{
    while (book->levels[index].child[direction] != NONE)
        index = book->levels[index].child[direction];
    return index;
}

uint32_t level_after(const struct book *book, uint32_t index)
{
    const struct level *levels = book->levels;
    if (levels[index].child[1] != NONE)
        return outermost(book, levels[index].child[1], 0);
    uint32_t parent = levels[index].parent;
    while (parent != NONE && levels[parent].child[1] == index) {
        index = parent;
        parent = levels[index].parent;
    }
    return parent;
}

static void remove_fixup(struct book *book, struct side_levels *side, uint32_t index)
{
    struct level *levels = book->levels;
    while (index != side->root && !levels[index].red) {
        uint32_t parent = levels[index].parent;
        int direction = levels[parent].child[1] == index;
        uint32_t sibling = levels[parent].child[!direction];
        if (levels[sibling].red) {
            levels[sibling].red = false;
            levels[parent].red = true;
            rotate(book, side, parent, direction);
            sibling = levels[parent].child[!direction];
        }
        if (!levels[levels[sibling].child[0]].red && !levels[levels[sibling].child[1]].red) {
            levels[sibling].red = true;
            index = parent;
            continue;
        }
        if (!levels[levels[sibling].child[!direction]].red) {
            levels[levels[sibling].child[direction]].red = false;
            levels[sibling].red = true;
            rotate(book, side, sibling, !direction);
            sibling = levels[parent].child[!direction];
        }
        levels[sibling].red = levels[parent].red;
        levels[parent].red = false;
        levels[levels[sibling].child[!direction]].red = false;
        rotate(book, side, parent, direction);
        index = side->root;
    }
    levels[index].red = false;
}

void level_remove(struct book *book, struct side_levels *side, uint32_t index)
{
    struct level *levels = book->levels;
    if (side->best == index)
        side->best = level_after(book, index);
    bool black_lost = !levels[index].red;
    uint32_t filler;
    if (levels[index].child[0] == NONE || levels[index].child[1] == NONE) {
        filler = levels[index].child[levels[index].child[0] == NONE];
        hang(book, side, index, filler);
    } else {
        uint32_t successor = outermost(book, levels[index].child[1], 0);
        black_lost = !levels[successor].red;
        filler = levels[successor].child[1];
        if (levels[successor].parent == index) {
            levels[filler].parent = successor;
        } else {
            hang(book, side, successor, filler);
            levels[successor].child[1] = levels[index].child[1];
            levels[levels[successor].child[1]].parent = successor;
        }
        hang(book, side, index, successor);
        levels[successor].child[0] = levels[index].child[0];
        levels[levels[successor].child[0]].parent = successor;
        levels[successor].red = levels[index].red;
    }
    if (black_lost)
        remove_fixup(book, side, filler);
    levels[index].parent = book->free_level;
    book->free_level = index;
}
