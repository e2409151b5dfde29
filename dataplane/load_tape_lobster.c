// SPDX-License-Identifier: MIT
//
// load_tape's reader of LOBSTER message files. The file is read twice: the first time for the
// orders that it names and never enters.
#include <stdlib.h>
#include <string.h>

#include "book/book.h"
#include "dataplane/load_tape_steps.h"
#include "numa/array.h"

#define TAPE_SECONDS_MAX 1000000000u

struct line {
    uint64_t id;
    int64_t type, shares, price, side;
    uint64_t time_ns;
};

// A decimal number up to `end`, with the `separator` behind it; false when it is not one.
static bool parse_number(const uint8_t **cursor, const uint8_t *end, char separator, int64_t *value)
{
    const uint8_t *at = *cursor;
    bool negative = at < end && *at == '-';
    at += negative;
    int64_t number = 0;
    int digits = 0;
    for (; at < end && *at >= '0' && *at <= '9' && digits < 18; at++, digits++)
        number = number * 10 + (*at - '0');
    if (digits == 0 || at == end || *at != (uint8_t)separator)
        return false;
    *cursor = at + 1;
    *value = negative ? -number : number;
    return true;
}

static bool is_digit(const uint8_t *at, const uint8_t *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

// Seconds with up to nine places that count, as ns; false when it is not that.
static bool parse_seconds(const uint8_t **cursor, const uint8_t *end, uint64_t *ns)
{
    const uint8_t *at = *cursor;
    uint64_t seconds = 0, unit = 1000000000;
    for (; is_digit(at, end) && seconds < TAPE_SECONDS_MAX; at++)
        seconds = seconds * 10 + (uint64_t)(*at - '0');
    *ns = seconds * unit;
    if (at < end && *at == '.')
        for (at++; is_digit(at, end); at++)
            *ns += (uint64_t)(*at - '0') * (unit /= 10);
    if (at == *cursor || at == end || *at != ',')
        return false;
    *cursor = at + 1;
    return true;
}

static bool parse_line(const uint8_t **cursor, const uint8_t *end, struct line *line)
{
    const uint8_t *at = *cursor;
    if (!parse_seconds(&at, end, &line->time_ns))
        return false;
    int64_t id;
    if (!parse_number(&at, end, ',', &line->type) || !parse_number(&at, end, ',', &id) ||
        !parse_number(&at, end, ',', &line->shares) || !parse_number(&at, end, ',', &line->price))
        return false;
    const uint8_t *last = at;
    if (!parse_number(&at, end, '\n', &line->side)) {
        at = last;
        if (!parse_number(&at, end, '\r', &line->side) || at == end || *at++ != '\n')
            return false;
    }
    line->id = (uint64_t)id;
    *cursor = at;
    return true;
}

enum lobster_type {
    LOBSTER_NEW = 1,
    LOBSTER_PARTIAL_CANCEL = 2,
    LOBSTER_DELETE = 3,
    LOBSTER_EXECUTED = 4,
};

static bool changes_order(const struct line *line)
{
    return line->type >= LOBSTER_PARTIAL_CANCEL && line->type <= LOBSTER_EXECUTED;
}

static bool line_valid(const struct line *line)
{
    return line->shares > 0 && line->price > 0 && (line->side == 1 || line->side == -1);
}

static uint8_t line_side(const struct line *line)
{
    return line->side == 1 ? SIDE_BUY : SIDE_SELL;
}

static uint32_t line_price(const struct line *line)
{
    return line->price > PRICE_MAX ? PRICE_MAX : (uint32_t)line->price;
}

static struct older_order *older_add(struct tape *tape, const struct line *line)
{
    if (!array_reserve(&tape->older, &tape->older_capacity, tape->older_count + 1,
                       sizeof(*tape->older)))
        return NULL;
    struct older_order *order = &tape->older[tape->older_count++];
    *order =
        (struct older_order){.id = line->id,
                             .price = (uint32_t)(line->price > PRICE_MAX ? PRICE_MAX : line->price),
                             .side = line_side(line)};
    return order;
}

// The first reading, of one line. In this pass an order's `open` is its place among the older ones,
// counted from 1.
static bool survey_line(struct tape *tape, struct order_table *seen, const struct line *line)
{
    if ((line->type != LOBSTER_NEW && !changes_order(line)) || !line_valid(line))
        return true;
    struct tape_order *order = order_table_find(seen, line->id);
    if (order == NULL) {
        struct tape_order first = {.id = line->id, .ref = 1};
        if (line->type != LOBSTER_NEW) {
            if (older_add(tape, line) == NULL)
                return false;
            first.open = (uint32_t)tape->older_count;
        }
        if (!order_table_insert(seen, &first))
            return false;
        order = order_table_find(seen, line->id);
    }
    if (order->open != 0 && changes_order(line))
        tape->older[order->open - 1].shares += (uint64_t)line->shares;
    return true;
}

static int compare_older(const void *a, const void *b)
{
    uint64_t left = ((const struct older_order *)a)->id;
    uint64_t right = ((const struct older_order *)b)->id;
    return (left > right) - (left < right);
}

static int survey_lines(struct tape *tape, struct bytes file, struct error *error)
{
    struct order_table seen;
    if (!order_table_open(&seen, 65536))
        return error_set(error, "load: %s: no memory for its orders", tape->path);
    const uint8_t *cursor = file.start;
    const uint8_t *end = file.start + file.size;
    int status = 0;
    for (uint64_t number = 1; cursor < end && status == 0; number++) {
        struct line line;
        if (!parse_line(&cursor, end, &line))
            status = error_set(error,
                               "load: %s: line %llu is not a whole line of a LOBSTER message file "
                               "(seconds,type,order id,size,price,side)",
                               tape->path, (unsigned long long)number);
        else if (!survey_line(tape, &seen, &line))
            status = error_set(error, "load: %s: no memory for its orders", tape->path);
    }
    free(seen.slots);
    if (status == 0 && tape->older_count > 0)
        qsort(tape->older, tape->older_count, sizeof(*tape->older), compare_older);
    return status;
}

static bool heap_push(struct price_heap *heap, struct price_entry entry)
{
    if (!array_reserve(&heap->entries, &heap->capacity, heap->count + 1, sizeof(*heap->entries)))
        return false;
    uint64_t at = heap->count++;
    for (; at > 0 && heap->entries[(at - 1) / 2].rank < entry.rank; at = (at - 1) / 2)
        heap->entries[at] = heap->entries[(at - 1) / 2];
    heap->entries[at] = entry;
    return true;
}

static void heap_pop(struct price_heap *heap)
{
    struct price_entry last = heap->entries[--heap->count];
    uint64_t at = 0;
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child + 1 < heap->count && heap->entries[child + 1].rank > heap->entries[child].rank)
            child++;
        if (child >= heap->count || heap->entries[child].rank <= last.rank)
            break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    heap->entries[at] = last;
}

// A better price ranks above a worse one, and at a price the earlier of two orders.
static uint64_t rank_of(uint8_t side, uint32_t price, uint32_t arrival)
{
    uint32_t better = side == SIDE_BUY ? price : UINT32_MAX - price;
    return (uint64_t)better << 32 | (UINT32_MAX - arrival);
}

// A file of five levels does not say when an order beyond them is deleted. Those of `side` that
// rank above `rank` cannot be there any more.
static void cancel_vanished(struct tape *tape, uint8_t side, uint64_t rank)
{
    struct price_heap *heap = &tape->heaps[side];
    while (heap->count > 0 && heap->entries[0].rank > rank) {
        struct tape_order *order = order_table_find(&tape->orders, heap->entries[0].id);
        heap_pop(heap);
        if (order == NULL)
            continue;
        tape->counts->vanished++;
        tape_cancel(tape, order, order->open);
    }
}

// An order that rests: nothing of the other side stands at its price or beyond.
static void enter_resting(struct tape *tape, uint64_t id, uint8_t side, uint64_t shares,
                          uint32_t price)
{
    cancel_vanished(tape, !side, rank_of(!side, price, UINT32_MAX) - 1);
    tape_enter(tape, id, side, shares, price, 0);
    struct tape_order *order = order_table_find(&tape->orders, id);
    if (order == NULL)
        return;
    order->arrival = (uint32_t)tape->enters;
    struct price_entry entry = {.id = id, .rank = rank_of(side, price, order->arrival)};
    if (!heap_push(&tape->heaps[side], entry))
        tape->day->out_of_memory = true;
}

static void enter_older(struct tape *tape, struct older_order *older)
{
    if (older->entered)
        return;
    older->entered = true;
    enter_resting(tape, older->id, older->side, older->shares, older->price);
}

static struct tape_order *find_or_enter_older(struct tape *tape, uint64_t id)
{
    struct older_order key = {.id = id};
    struct older_order *older = NULL;
    if (tape->older_count > 0)
        older = bsearch(&key, tape->older, tape->older_count, sizeof(key), compare_older);
    if (older != NULL)
        enter_older(tape, older);
    return order_table_find(&tape->orders, id);
}

// It trades before any other, so none ranks above it.
static void execute_line(struct tape *tape, const struct line *line, const struct tape_order *order)
{
    cancel_vanished(tape, order->side, rank_of(order->side, order->price, order->arrival));
    tape_execute(tape, order_table_find(&tape->orders, line->id), (uint64_t)line->shares);
}

static void play_line(struct tape *tape, const struct line *line)
{
    tape->counts->messages++;
    tape_time(tape, line->time_ns);
    if (line->type != LOBSTER_NEW && !changes_order(line)) {
        tape->counts->no_order++;
        return;
    }
    if (!line_valid(line)) {
        tape->counts->malformed++;
        return;
    }
    if (line->type == LOBSTER_NEW) {
        while (tape->older_next < tape->older_count && tape->older[tape->older_next].id < line->id)
            enter_older(tape, &tape->older[tape->older_next++]);
        enter_resting(tape, line->id, line_side(line), (uint64_t)line->shares, line_price(line));
        return;
    }
    struct tape_order *order = find_or_enter_older(tape, line->id);
    if (order == NULL)
        tape->counts->unknown_order++;
    else if (line->type == LOBSTER_EXECUTED)
        execute_line(tape, line, order);
    else if (line->type == LOBSTER_DELETE)
        tape_cancel(tape, order, order->open);
    else
        tape_cancel(tape, order, (uint64_t)line->shares);
}

int tape_read_lobster(struct tape *tape, struct bytes file, struct error *error)
{
    if (tape->options->symbol_count == 0)
        return error_set(error, "load: %s: a LOBSTER file does not name its symbol; say --symbol",
                         tape->path);
    if (survey_lines(tape, file, error) != 0)
        return -1;
    const uint8_t *cursor = file.start;
    struct line line;
    while (!tape_full(tape) && cursor < file.start + file.size &&
           parse_line(&cursor, file.start + file.size, &line))
        play_line(tape, &line);
    return 0;
}
