// SPDX-License-Identifier: MIT
//
// What is rarely needed of price levels: the red-black trees (Cormen, Leiserson, Rivest and Stein,
// "Introduction to Algorithms", chapter 13; index 0 is the sentinel: always black) and moving the
// window.
#include "book/levels.h"

#define SHIFTS_A_COMMAND 2u // words the window may move by at once: 128 levels

// --- Trees

// Puts `replacement` where `index` hangs from its parent.
static void hang(struct book *book, struct tree *tree, uint32_t index, uint32_t replacement)
{
    struct far_level *far = book->far_levels;
    uint32_t parent = far[index].parent;
    if (parent == NONE)
        tree->root = replacement;
    else
        far[parent].child[far[parent].child[1] == index] = replacement;
    far[replacement].parent = parent; // of the sentinel too: removal climbs from there
}

// Rotates `index` down to `direction`; its other child takes its place.
static void rotate(struct book *book, struct tree *tree, uint32_t index, int direction)
{
    struct far_level *far = book->far_levels;
    uint32_t riser = far[index].child[!direction];
    uint32_t inner = far[riser].child[direction];
    hang(book, tree, index, riser);
    far[index].child[!direction] = inner;
    if (inner != NONE)
        far[inner].parent = index;
    far[riser].child[direction] = index;
    far[index].parent = riser;
}

static void insert_fixup(struct book *book, struct tree *tree, uint32_t index)
{
    struct far_level *far = book->far_levels;
    while (far[far[index].parent].red) {
        uint32_t parent = far[index].parent;
        uint32_t grandparent = far[parent].parent;
        int direction = far[grandparent].child[1] == parent;
        uint32_t uncle = far[grandparent].child[!direction];
        if (far[uncle].red) {
            far[parent].red = far[uncle].red = false;
            far[grandparent].red = true;
            index = grandparent;
            continue;
        }
        if (far[parent].child[!direction] == index) {
            rotate(book, tree, parent, direction);
            parent = index;
        }
        far[parent].red = false;
        far[grandparent].red = true;
        rotate(book, tree, grandparent, !direction);
        break;
    }
    far[tree->root].red = false;
}

uint32_t tree_find(const struct book *book, const struct tree *tree, uint32_t rank)
{
    const struct far_level *far = book->far_levels;
    uint32_t index = tree->root;
    while (index != NONE && far[index].rank != rank)
        index = far[index].child[rank > far[index].rank];
    return index;
}

// A new node for a rank that has none, or NONE when the pool is used up.
static uint32_t tree_insert(struct book *book, struct tree *tree, uint32_t rank)
{
    struct far_level *far = book->far_levels;
    uint32_t parent = NONE;
    for (uint32_t at = tree->root; at != NONE;) {
        parent = at;
        at = far[at].child[rank > far[at].rank];
    }
    uint32_t index = slots_take(&book->far_slots, &far->parent, sizeof(*far));
    if (index == NONE)
        return NONE;
    far[index] = (struct far_level){.parent = parent, .rank = rank, .red = true};
    if (parent == NONE)
        tree->root = index;
    else
        far[parent].child[rank > far[parent].rank] = index;
    if (tree->best == NONE || rank < far[tree->best].rank)
        tree->best = index;
    insert_fixup(book, tree, index);
    return index;
}

static uint32_t outermost(const struct book *book, uint32_t index, int direction)
{
    while (book->far_levels[index].child[direction] != NONE)
        index = book->far_levels[index].child[direction];
    return index;
}

uint32_t tree_after(const struct book *book, uint32_t index)
{
    const struct far_level *far = book->far_levels;
    if (far[index].child[1] != NONE)
        return outermost(book, far[index].child[1], 0);
    uint32_t parent = far[index].parent;
    while (parent != NONE && far[parent].child[1] == index) {
        index = parent;
        parent = far[index].parent;
    }
    return parent;
}

static void remove_fixup(struct book *book, struct tree *tree, uint32_t index)
{
    struct far_level *far = book->far_levels;
    while (index != tree->root && !far[index].red) {
        uint32_t parent = far[index].parent;
        int direction = far[parent].child[1] == index;
        uint32_t sibling = far[parent].child[!direction];
        if (far[sibling].red) {
            far[sibling].red = false;
            far[parent].red = true;
            rotate(book, tree, parent, direction);
            sibling = far[parent].child[!direction];
        }
        if (!far[far[sibling].child[0]].red && !far[far[sibling].child[1]].red) {
            far[sibling].red = true;
            index = parent;
            continue;
        }
        if (!far[far[sibling].child[!direction]].red) {
            far[far[sibling].child[direction]].red = false;
            far[sibling].red = true;
            rotate(book, tree, sibling, !direction);
            sibling = far[parent].child[!direction];
        }
        far[sibling].red = far[parent].red;
        far[parent].red = false;
        far[far[sibling].child[!direction]].red = false;
        rotate(book, tree, parent, direction);
        index = tree->root;
    }
    far[index].red = false;
}

void tree_remove(struct book *book, struct tree *tree, uint32_t index)
{
    struct far_level *far = book->far_levels;
    if (tree->best == index)
        tree->best = tree_after(book, index);
    bool black_lost = !far[index].red;
    uint32_t filler;
    if (far[index].child[0] == NONE || far[index].child[1] == NONE) {
        filler = far[index].child[far[index].child[0] == NONE];
        hang(book, tree, index, filler);
    } else {
        uint32_t successor = outermost(book, far[index].child[1], 0);
        black_lost = !far[successor].red;
        filler = far[successor].child[1];
        if (far[successor].parent == index) {
            far[filler].parent = successor;
        } else {
            hang(book, tree, successor, filler);
            far[successor].child[1] = far[index].child[1];
            far[far[successor].child[1]].parent = successor;
        }
        hang(book, tree, index, successor);
        far[successor].child[0] = far[index].child[0];
        far[far[successor].child[0]].parent = successor;
        far[successor].red = far[index].red;
    }
    if (black_lost)
        remove_fixup(book, tree, filler);
    slots_give(&book->far_slots, &far[index].parent, index);
}

uint32_t tree_claim(struct book *book, struct tree *tree, uint32_t rank)
{
    uint32_t index = tree_find(book, tree, rank);
    return index != NONE ? index : tree_insert(book, tree, rank);
}

uint32_t tree_from(const struct book *book, const struct tree *tree, uint32_t rank)
{
    uint32_t found = NONE;
    for (uint32_t index = tree->root; index != NONE;) {
        bool fits = book->far_levels[index].rank >= rank;
        if (fits)
            found = index;
        index = book->far_levels[index].child[!fits];
    }
    return found;
}

// --- Moving the window

// The nodes of a side on steps `first` to `last` move into the window, which has these steps now.
static void pull_in(struct book *book, struct instrument *listing, enum side side, uint32_t first,
                    uint32_t last)
{
    struct tree *far = &listing->far[side];
    uint32_t low = rank_of(side, (side == SIDE_BUY ? last : first) * listing->step);
    uint32_t high = rank_of(side, (side == SIDE_BUY ? first : last) * listing->step);
    uint32_t index = tree_from(book, far, low);
    while (index != NONE && book->far_levels[index].rank <= high) {
        uint32_t next = tree_after(book, index);
        uint32_t step = step_of(listing, rank_of(side, book->far_levels[index].rank));
        if (step != UINT32_MAX) {
            uint32_t slot = step & book->window_mask;
            listing->window[slot] = book->far_levels[index].level;
            mark(book, listing, side, slot);
            tree_remove(book, far, index);
        }
        index = next;
    }
}

// The levels of a side on steps `first` to `first` + 63, which leave the window, move into the
// tree. The pool has room: see follow.
static void push_out(struct book *book, struct instrument *listing, enum side side, uint32_t first)
{
    uint32_t word = bit_of(book, side, first & book->window_mask) / 64;
    while (listing->occupied[side][word] != 0) {
        uint32_t bit = word * 64 + (uint32_t)__builtin_ctzll(listing->occupied[side][word]);
        uint32_t slot = bit_of(book, side, bit);
        uint32_t step = first + (slot & 63);
        uint32_t index =
            tree_insert(book, &listing->far[side], rank_of(side, step * listing->step));
        INVARIANT(index != NONE);
        book->far_levels[index].level = listing->window[slot];
        listing->window[slot] = (struct level){0};
        unmark(book, listing, side, slot);
    }
}

static void shift_window(struct book *book, struct instrument *listing, bool up)
{
    uint32_t width = book->window_mask + 1;
    uint32_t leaving = up ? listing->base : listing->base + width - 64;
    uint32_t entering = up ? listing->base + width : listing->base - 64;
    push_out(book, listing, SIDE_BUY, leaving);
    push_out(book, listing, SIDE_SELL, leaving);
    listing->base += up ? 64 : -64u;
    pull_in(book, listing, SIDE_BUY, entering, entering + 63);
    pull_in(book, listing, SIDE_SELL, entering, entering + 63);
}

static bool window_in_use(const struct book *book, const struct instrument *listing)
{
    uint64_t any = 0;
    for (uint32_t group = 0; group <= book->window_mask / 4096; group++)
        any |= listing->summary[SIDE_BUY][group] | listing->summary[SIDE_SELL][group];
    return any != 0;
}

// Whether the other side's best is in the window, and would not be any more.
static bool would_leave(const struct book *book, const struct instrument *listing, enum side side,
                        uint32_t step)
{
    enum side other = opposite_of(side);
    if (listing->best[other] == RANK_NONE)
        return false;
    uint32_t theirs = step_of(listing, rank_of(other, listing->best[other]));
    uint32_t distance = theirs > step ? theirs - step : step - theirs;
    return in_window(book, listing, theirs) && distance + 64 > book->window_mask;
}

// The window follows a new best price: at once where it is empty, else by a few words a command,
// and not so far that the other side's best would fall out. A price far away from a market that
// stays where it is moves nothing: it is not the best of its side.
static void follow(struct book *book, struct instrument *listing, enum side side, uint32_t step)
{
    uint32_t half = (book->window_mask + 1) / 2;
    if (!window_in_use(book, listing)) {
        listing->base = (step > half ? step - half : 0) & ~63u;
        uint32_t last = listing->base + book->window_mask;
        pull_in(book, listing, SIDE_BUY, listing->base, last);
        pull_in(book, listing, SIDE_SELL, listing->base, last);
        return;
    }
    if (would_leave(book, listing, side, step))
        return;
    for (uint32_t i = 0; i < SHIFTS_A_COMMAND && !in_window(book, listing, step); i++) {
        if (book->far_slots.max - book->far_slots.count < 128)
            return;
        shift_window(book, listing, step > listing->base);
    }
}

// --- What the rest of the book uses

void levels_open(struct book *book, uint16_t instrument, uint32_t step, uint32_t base)
{
    struct instrument *listing = &book->instruments[instrument];
    listing->step = step > 0 && step <= PRICE_STEP_MAX ? step : PRICE_STEP;
    listing->step_inverse = ((1ull << 63) - 1) / listing->step + 1;
    listing->base = base;
    listing->best[SIDE_BUY] = listing->best[SIDE_SELL] = RANK_NONE;
}

struct level *far_at(const struct book *book, const struct instrument *listing, enum side side,
                     uint32_t price)
{
    uint32_t index = tree_find(book, &listing->far[side], rank_of(side, price));
    INVARIANT(index != NONE);
    return &book->far_levels[index].level;
}

struct level *far_claim(struct book *book, struct instrument *listing, enum side side,
                        uint32_t price)
{
    uint32_t rank = rank_of(side, price), step = step_of(listing, price);
    // While a snapshot is loaded the window stays where it was.
    if (step != UINT32_MAX && rank < listing->best[side] && book->state != BOOK_NEW) {
        follow(book, listing, side, step);
        if (in_window(book, listing, step))
            return level_claim(book, listing, side, price);
    }
    uint32_t index = tree_claim(book, &listing->far[side], rank);
    if (index == NONE)
        return NULL;
    if (rank < listing->best[side])
        listing->best[side] = rank;
    return &book->far_levels[index].level;
}

void far_drop(struct book *book, struct instrument *listing, enum side side, uint32_t price)
{
    struct tree *far = &listing->far[side];
    tree_remove(book, far, tree_find(book, far, rank_of(side, price)));
}

uint32_t rank_after(const struct book *book, const struct instrument *listing, enum side side,
                    uint32_t rank)
{
    uint32_t far = tree_from(book, &listing->far[side], rank + 1);
    uint32_t far_rank = far == NONE ? RANK_NONE : book->far_levels[far].rank;
    // The first step beyond, in the direction of worse ones, and how far behind the best end it is.
    uint32_t price = rank_of(side, rank), step = step_below(listing, price);
    int64_t first = listing->base, last = first + book->window_mask;
    int64_t next =
        side == SIDE_BUY ? (int64_t)step - (step * listing->step == price) : (int64_t)step + 1;
    int64_t from = side == SIDE_BUY ? last - next : next - first;
    if (from > book->window_mask)
        return far_rank;
    uint32_t near = window_scan(book, listing, side, from < 0 ? 0 : (uint32_t)from);
    return near < far_rank ? near : far_rank;
}
