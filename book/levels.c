// SPDX-License-Identifier: MIT
//
// An instrument's price levels. Near the market they stand in a window: an array with a level for
// each price step, and for each side a bitmap of those in use, so that finding a level is one index
// and finding the next best one is two bit scans. The window is a ring over the steps; it follows
// the market by whole words of 64 levels. Prices outside it, or between the steps, stand in a
// red-black tree for each side (Cormen, Leiserson, Rivest and Stein, "Introduction to Algorithms",
// chapter 13), where index 0 is the sentinel: always black.
#include "book/internal.h"

#define SHIFTS_A_COMMAND 2u // words the window may move by at once: 128 levels

// --- The window

static struct level *window_levels(const struct book *book, uint16_t instrument)
{
    return book->windows + (size_t)instrument * book->window;
}

// price / step. Exact, as price and step are below 2^31: the inverse is less than one step too
// large.
static uint32_t step_below(const struct instrument *listing, uint32_t price)
{
    return (uint32_t)((unsigned __int128)price * listing->step_inverse >> 63);
}

// The step number of a price, or UINT32_MAX when it is between the steps.
static uint32_t step_of(const struct instrument *listing, uint32_t price)
{
    uint32_t step = step_below(listing, price);
    return step * listing->step == price ? step : UINT32_MAX;
}

static bool in_window(const struct book *book, const struct instrument *listing, uint32_t step)
{
    return step - listing->base < book->window;
}

static uint32_t slot_of(const struct book *book, uint32_t step)
{
    return step & (book->window - 1);
}

static void mark(struct side_levels *side, uint32_t slot)
{
    side->occupied[slot / 64] |= 1ull << slot % 64;
    side->summary |= 1ull << slot / 64;
}

static void unmark(struct side_levels *side, uint32_t slot)
{
    side->occupied[slot / 64] &= ~(1ull << slot % 64);
    if (side->occupied[slot / 64] == 0)
        side->summary &= ~(1ull << slot / 64);
}

static uint64_t rotate_right(uint64_t value, uint32_t count, uint32_t width)
{
    if (width < 64) { // a small window: its words repeat
        value |= value << width;
        for (uint32_t filled = 2 * width; filled < 64; filled *= 2)
            value |= value << filled;
    }
    return value >> count | value << (-count & 63);
}

// The step number of the slot in the window as it lies now.
static uint32_t step_of_slot(const struct book *book, const struct instrument *listing,
                             uint32_t slot)
{
    return listing->base + ((slot - listing->base) & (book->window - 1));
}

// The best price in the window, from the word that holds slot `from` on towards worse ones; bits of
// that word in `mask` only. 0 when there is none.
static uint32_t window_scan(const struct book *book, const struct instrument *listing,
                            const struct side_levels *side, uint32_t from_word, uint64_t mask,
                            uint32_t words_left)
{
    uint32_t words = book->window / 64;
    uint64_t bits = side->occupied[from_word] & mask;
    if (bits == 0) {
        if (words_left == 0 || side->summary == 0)
            return 0;
        // The words after this one in the side's direction, nearest first.
        uint32_t start =
            side->buy ? (from_word - words_left) & (words - 1) : (from_word + 1) & (words - 1);
        uint64_t ring = rotate_right(side->summary, start, words);
        ring &= (1ull << words_left) - 1;
        if (ring == 0)
            return 0;
        uint32_t offset =
            side->buy ? 63u - (uint32_t)__builtin_clzll(ring) : (uint32_t)__builtin_ctzll(ring);
        from_word = (start + offset) & (words - 1);
        bits = side->occupied[from_word];
    }
    uint32_t bit =
        side->buy ? 63u - (uint32_t)__builtin_clzll(bits) : (uint32_t)__builtin_ctzll(bits);
    return step_of_slot(book, listing, from_word * 64 + bit) * listing->step;
}

static uint32_t window_best(const struct book *book, const struct instrument *listing,
                            const struct side_levels *side)
{
    if (side->summary == 0)
        return 0;
    uint32_t words = book->window / 64;
    uint32_t first = listing->base / 64 & (words - 1);
    uint32_t from = side->buy ? (first + words - 1) & (words - 1) : first;
    return window_scan(book, listing, side, from, UINT64_MAX, words - 1);
}

// --- The trees

// Puts `replacement` where `index` hangs from its parent.
static void hang(struct book *book, struct side_levels *side, uint32_t index, uint32_t replacement)
{
    struct far_level *far = book->far_levels;
    uint32_t parent = far[index].parent;
    if (parent == NONE)
        side->far_root = replacement;
    else
        far[parent].child[far[parent].child[1] == index] = replacement;
    far[replacement].parent = parent; // of the sentinel too: removal climbs from there
}

// Rotates `index` down to `direction`; its other child takes its place.
static void rotate(struct book *book, struct side_levels *side, uint32_t index, int direction)
{
    struct far_level *far = book->far_levels;
    uint32_t riser = far[index].child[!direction];
    uint32_t inner = far[riser].child[direction];
    hang(book, side, index, riser);
    far[index].child[!direction] = inner;
    if (inner != NONE)
        far[inner].parent = index;
    far[riser].child[direction] = index;
    far[index].parent = riser;
}

static void insert_fixup(struct book *book, struct side_levels *side, uint32_t index)
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
            rotate(book, side, parent, direction);
            parent = index;
        }
        far[parent].red = false;
        far[grandparent].red = true;
        rotate(book, side, grandparent, !direction);
        break;
    }
    far[side->far_root].red = false;
}

static uint32_t far_find(const struct book *book, const struct side_levels *side, uint32_t price)
{
    uint32_t index = side->far_root;
    while (index != NONE && book->far_levels[index].price != price)
        index = book->far_levels[index]
                    .child[!price_better(side, price, book->far_levels[index].price)];
    return index;
}

// A new node for a price that has none, or NONE when the pool is used up.
static uint32_t far_insert(struct book *book, struct side_levels *side, uint32_t price)
{
    struct far_level *far = book->far_levels;
    uint32_t parent = NONE;
    for (uint32_t at = side->far_root; at != NONE;) {
        parent = at;
        at = far[at].child[!price_better(side, price, far[at].price)];
    }
    uint32_t index = book->free_far_level;
    if (index != NONE)
        book->free_far_level = far[index].parent;
    else if (book->fresh_far_level <= book->far_levels_max)
        index = book->fresh_far_level++;
    else
        return NONE;
    book->far_level_count++;
    far[index] = (struct far_level){.parent = parent, .price = price, .red = true};
    if (parent == NONE)
        side->far_root = index;
    else
        far[parent].child[!price_better(side, price, far[parent].price)] = index;
    if (side->far_best == NONE || price_better(side, price, far[side->far_best].price))
        side->far_best = index;
    insert_fixup(book, side, index);
    return index;
}

static uint32_t outermost(const struct book *book, uint32_t index, int direction)
{
    while (book->far_levels[index].child[direction] != NONE)
        index = book->far_levels[index].child[direction];
    return index;
}

static uint32_t far_after(const struct book *book, uint32_t index)
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

static void remove_fixup(struct book *book, struct side_levels *side, uint32_t index)
{
    struct far_level *far = book->far_levels;
    while (index != side->far_root && !far[index].red) {
        uint32_t parent = far[index].parent;
        int direction = far[parent].child[1] == index;
        uint32_t sibling = far[parent].child[!direction];
        if (far[sibling].red) {
            far[sibling].red = false;
            far[parent].red = true;
            rotate(book, side, parent, direction);
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
            rotate(book, side, sibling, !direction);
            sibling = far[parent].child[!direction];
        }
        far[sibling].red = far[parent].red;
        far[parent].red = false;
        far[far[sibling].child[!direction]].red = false;
        rotate(book, side, parent, direction);
        index = side->far_root;
    }
    far[index].red = false;
}

static void far_remove(struct book *book, struct side_levels *side, uint32_t index)
{
    struct far_level *far = book->far_levels;
    if (side->far_best == index)
        side->far_best = far_after(book, index);
    bool black_lost = !far[index].red;
    uint32_t filler;
    if (far[index].child[0] == NONE || far[index].child[1] == NONE) {
        filler = far[index].child[far[index].child[0] == NONE];
        hang(book, side, index, filler);
    } else {
        uint32_t successor = outermost(book, far[index].child[1], 0);
        black_lost = !far[successor].red;
        filler = far[successor].child[1];
        if (far[successor].parent == index) {
            far[filler].parent = successor;
        } else {
            hang(book, side, successor, filler);
            far[successor].child[1] = far[index].child[1];
            far[far[successor].child[1]].parent = successor;
        }
        hang(book, side, index, successor);
        far[successor].child[0] = far[index].child[0];
        far[far[successor].child[0]].parent = successor;
        far[successor].red = far[index].red;
    }
    if (black_lost)
        remove_fixup(book, side, filler);
    far[index].parent = book->free_far_level;
    book->free_far_level = index;
    book->far_level_count--;
}

// --- Moving the window

// The node of the best far price that is worse than `price`.
static uint32_t far_worse(const struct book *book, const struct side_levels *side, uint32_t price)
{
    uint32_t found = NONE;
    for (uint32_t index = side->far_root; index != NONE;) {
        bool worse = price_better(side, price, book->far_levels[index].price);
        if (worse)
            found = index;
        index = book->far_levels[index].child[!worse];
    }
    return found;
}

// The nodes of a side on steps `first` to `last` move into the window, which has these steps now.
static void pull_in(struct book *book, uint16_t instrument, enum side which, uint32_t first,
                    uint32_t last)
{
    struct instrument *listing = &book->instruments[instrument];
    struct side_levels *side = &listing->sides[which];
    struct level *levels = window_levels(book, instrument);
    uint32_t low = first * listing->step, high = last * listing->step;
    uint32_t index = far_worse(book, side, side->buy ? high + 1 : low > 0 ? low - 1 : 0);
    while (index != NONE) {
        uint32_t price = book->far_levels[index].price;
        if (price < low || price > high)
            return;
        uint32_t next = far_after(book, index);
        uint32_t step = step_of(listing, price);
        if (step != UINT32_MAX) {
            levels[slot_of(book, step)] = book->far_levels[index].level;
            mark(side, slot_of(book, step));
            far_remove(book, side, index);
        }
        index = next;
    }
}

// The levels of a side on steps `first` to `first` + 63, which leave the window, move into the
// tree. The pool has room: see level_claim.
static void push_out(struct book *book, uint16_t instrument, enum side which, uint32_t first)
{
    struct instrument *listing = &book->instruments[instrument];
    struct side_levels *side = &listing->sides[which];
    struct level *levels = window_levels(book, instrument);
    uint32_t word = slot_of(book, first) / 64;
    while (side->occupied[word] != 0) {
        uint32_t bit = (uint32_t)__builtin_ctzll(side->occupied[word]);
        struct level *level = &levels[word * 64 + bit];
        uint32_t index = far_insert(book, side, (first + bit) * listing->step);
        INVARIANT(index != NONE);
        book->far_levels[index].level = *level;
        *level = (struct level){0};
        unmark(side, word * 64 + bit);
    }
}

static void shift_window(struct book *book, uint16_t instrument, bool up)
{
    struct instrument *listing = &book->instruments[instrument];
    uint32_t leaving = up ? listing->base : listing->base + book->window - 64;
    uint32_t entering = up ? listing->base + book->window : listing->base - 64;
    push_out(book, instrument, SIDE_BUY, leaving);
    push_out(book, instrument, SIDE_SELL, leaving);
    listing->base += up ? 64 : -64u;
    pull_in(book, instrument, SIDE_BUY, entering, entering + 63);
    pull_in(book, instrument, SIDE_SELL, entering, entering + 63);
}

static bool window_in_use(const struct instrument *listing)
{
    return listing->sides[SIDE_BUY].summary != 0 || listing->sides[SIDE_SELL].summary != 0;
}

// The window follows a new best price: at once where it is empty, else by a few words a command. A
// price far away from a market that stays where it is moves nothing: it is not the best of its
// side.
static void follow(struct book *book, uint16_t instrument, uint32_t step)
{
    struct instrument *listing = &book->instruments[instrument];
    uint32_t half = book->window / 2;
    if (!window_in_use(listing)) {
        uint32_t start = step > half ? step - half : 0;
        listing->base = start & ~63u;
        uint32_t last = listing->base + book->window - 1;
        pull_in(book, instrument, SIDE_BUY, listing->base, last);
        pull_in(book, instrument, SIDE_SELL, listing->base, last);
        return;
    }
    for (uint32_t i = 0; i < SHIFTS_A_COMMAND && !in_window(book, listing, step); i++) {
        if (book->far_levels_max - book->far_level_count < 128)
            return;
        shift_window(book, instrument, step > listing->base);
    }
}

// --- What the rest of the book uses

void levels_open(struct book *book, uint16_t instrument, uint32_t step)
{
    struct instrument *listing = &book->instruments[instrument];
    listing->step = step > 0 && step <= PRICE_STEP_MAX ? step : PRICE_STEP;
    listing->step_inverse = ((1ull << 63) - 1) / listing->step + 1;
    listing->sides[SIDE_BUY].buy = true;
    listing->sides[SIDE_BUY].occupied = listing->occupied[SIDE_BUY];
    listing->sides[SIDE_SELL].occupied = listing->occupied[SIDE_SELL];
}

struct level *level_at(const struct book *book, uint16_t instrument, enum side side, uint32_t price)
{
    const struct instrument *listing = &book->instruments[instrument];
    uint32_t step = step_of(listing, price);
    if (likely(step != UINT32_MAX && in_window(book, listing, step)))
        return &window_levels(book, instrument)[slot_of(book, step)];
    return &book->far_levels[far_find(book, &listing->sides[side], price)].level;
}

struct level *level_find(const struct book *book, uint16_t instrument, enum side side,
                         uint32_t price)
{
    const struct instrument *listing = &book->instruments[instrument];
    uint32_t step = step_of(listing, price);
    if (likely(step != UINT32_MAX && in_window(book, listing, step))) {
        struct level *level = &window_levels(book, instrument)[slot_of(book, step)];
        uint32_t slot = slot_of(book, step);
        bool ours = listing->sides[side].occupied[slot / 64] >> slot % 64 & 1;
        return ours ? level : NULL;
    }
    uint32_t index = far_find(book, &listing->sides[side], price);
    return index == NONE ? NULL : &book->far_levels[index].level;
}

struct level *level_claim(struct book *book, uint16_t instrument, enum side which, uint32_t price)
{
    struct instrument *listing = &book->instruments[instrument];
    struct side_levels *side = &listing->sides[which];
    uint32_t step = step_of(listing, price);
    bool best = side->best == 0 || price_better(side, price, side->best);
    if (step != UINT32_MAX && !in_window(book, listing, step) && best)
        follow(book, instrument, step);
    struct level *level;
    if (likely(step != UINT32_MAX && in_window(book, listing, step))) {
        level = &window_levels(book, instrument)[slot_of(book, step)];
        if (level_empty(level))
            mark(side, slot_of(book, step));
    } else {
        uint32_t index = far_find(book, side, price);
        if (index == NONE)
            index = far_insert(book, side, price);
        if (index == NONE)
            return NULL;
        level = &book->far_levels[index].level;
    }
    if (best)
        side->best = price;
    return level;
}

static uint32_t better_of(const struct book *book, const struct side_levels *side, uint32_t price,
                          uint32_t far_index)
{
    uint32_t far_price = far_index == NONE ? 0 : book->far_levels[far_index].price;
    if (price == 0 || far_price == 0)
        return price | far_price;
    return price_better(side, price, far_price) ? price : far_price;
}

void level_drop(struct book *book, uint16_t instrument, enum side which, uint32_t price)
{
    struct instrument *listing = &book->instruments[instrument];
    struct side_levels *side = &listing->sides[which];
    uint32_t step = step_of(listing, price);
    if (likely(step != UINT32_MAX && in_window(book, listing, step)))
        unmark(side, slot_of(book, step));
    else
        far_remove(book, side, far_find(book, side, price));
    if (side->best == price)
        side->best = better_of(book, side, window_best(book, listing, side), side->far_best);
}

uint32_t level_after(const struct book *book, uint16_t instrument, enum side which, uint32_t price)
{
    const struct instrument *listing = &book->instruments[instrument];
    const struct side_levels *side = &listing->sides[which];
    uint32_t far_index = far_worse(book, side, price);
    // The first step beyond the price, in the direction of worse ones.
    uint32_t step = step_below(listing, price);
    bool on_step = step * listing->step == price;
    int64_t next = side->buy ? (int64_t)step - on_step : (int64_t)step + 1;
    int64_t first = listing->base, last = first + book->window - 1;
    if (side->buy && next > last)
        next = last;
    if (!side->buy && next < first)
        next = first;
    if (next < first || next > last)
        return better_of(book, side, 0, far_index);
    uint32_t slot = slot_of(book, (uint32_t)next);
    uint64_t mask = side->buy ? UINT64_MAX >> (63 - slot % 64) : UINT64_MAX << slot % 64;
    uint32_t words_left =
        side->buy ? (uint32_t)(next / 64 - first / 64) : (uint32_t)(last / 64 - next / 64);
    uint32_t near = window_scan(book, listing, side, slot / 64, mask, words_left);
    return better_of(book, side, near, far_index);
}

void level_prefetch(const struct book *book, uint16_t instrument, uint32_t price)
{
    const struct instrument *listing = &book->instruments[instrument];
    uint32_t step = step_below(listing, price);
    prefetch(&window_levels(book, instrument)[slot_of(book, step)]);
}
