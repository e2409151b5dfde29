// SPDX-License-Identifier: MIT
//
// How a tape becomes a day of commands. A LOBSTER tape (two CSV files in a zip) holds what touched
// the five best levels of one instrument, and these levels after each of its events. What happened
// behind the fifth level is not on it. As in tests/net/tape.py, which plays the same day over the
// wire, three kinds of orders are therefore inferred, at prices only that the row before does not
// show:
//
// - An order that is named and never entered. Ids rise with time, so that its id dates it; it
//   enters at the first moment of that date at which its price lies behind the fifth level.
// - A level that comes into view with more shares than the known orders have: the rest is one order
//   that nobody names. With fewer: orders that are not named again have left, unseen.
// - What the first row shows was there before the tape.
//
// An execution becomes an immediate-or-cancel order of its size at its price. It names the order
// that it hit: those that stand before it in its queue are sent to the back first.
#ifndef SLUICE_TESTS_UNIT_DAY_PLAN_H
#define SLUICE_TESTS_UNIT_DAY_PLAN_H

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"
#include "numa/array.h"
#include "tests/unit/zip.h"

#define MIDNIGHT_NS 1340251200000000000u // New York's on that day
#define DEPTH       5u
#define NONE        UINT32_MAX
#define ORDERS_MAX  4096u // 860 rest at once

// What the tape has

enum tape_kind { NEW = 1, REDUCE = 2, DELETE = 3, EXECUTE = 4, EXECUTE_HIDDEN = 5, HALT = 7 };

struct tape_event {
    uint64_t time_ns; // since midnight
    uint64_t id;
    uint32_t size, price;
    uint8_t kind, side;
    uint32_t order;        // of NEW to EXECUTE: which of day.orders
    uint32_t first_unseen; // of the orders that enter unseen before it; NONE
};

struct tape_row {
    struct {
        uint32_t price, shares;
    } levels[2][DEPTH]; // by side, best first
    uint32_t count[2];
};

struct day_order {
    uint64_t id; // the tape's; 0 of those that it never names
    uint32_t price, size;
    uint32_t executed; // by the whole chain of replacements
    uint32_t user_ref_num;
    uint32_t first_named; // by an event other than its entry; NONE
    uint32_t next_unseen;
    uint64_t future; // shares that the events still to come take off it
    uint8_t side;
    bool entered; // by the tape
};

enum cause {
    BEHIND_NAMED,
    BEHIND_UNNAMED,
    BEHIND_LEFT,
    BEHIND_REDUCED,
    OLDER_NAMED,
    OLDER_UNNAMED,
    BACK_ELDER,
    BACK_INFERRED,
    BACK_HIGHER_ID,
    TAPE_DELETE,
    TAPE_EXECUTE,
    TAPE_HIDDEN,
    TAPE_HALT,
    TAPE_NEW,
    TAPE_REDUCE,
    CAUSE_COUNT
};

static const char *const cause_names[CAUSE_COUNT] = {
    [BEHIND_NAMED] = "entered beyond the fifth level, named later",
    [BEHIND_UNNAMED] = "entered beyond the fifth level, never named",
    [BEHIND_LEFT] = "left beyond the fifth level",
    [BEHIND_REDUCED] = "reduced beyond the fifth level",
    [OLDER_NAMED] = "older, named",
    [OLDER_UNNAMED] = "older, never named",
    [BACK_ELDER] = "sent back: an elder that the tape passes over",
    [BACK_INFERRED] = "sent back: inferred, of unknown age",
    [BACK_HIGHER_ID] = "sent back: the higher id",
    [TAPE_DELETE] = "tape: deletion",
    [TAPE_EXECUTE] = "tape: execution",
    [TAPE_HIDDEN] = "tape: hidden execution, nothing sent",
    [TAPE_HALT] = "tape: halt, nothing sent",
    [TAPE_NEW] = "tape: new order",
    [TAPE_REDUCE] = "tape: partial cancel",
};

// Where an event's commands are: those of what is inferred end at `own`, which is its own unless it
// has none.
struct place {
    uint32_t own, end;
    uint32_t maker; // of an execution: the UserRefNum of the order that the tape says it hit
};

// The orders of one side that rest, by rising price, those of one price first in time first.
struct queue {
    uint32_t *orders;
    uint32_t count;
};

enum { MAKER = 0, TAKER = 1, SESSION_COUNT = 2 };

static const struct book_limits limits = {ORDERS_MAX, 1, SESSION_COUNT};

struct day {
    struct tape_event *events;
    struct tape_row *rows;
    struct place *places;
    uint32_t event_count, row_count;
    struct day_order *orders; // those with an id by rising id, then the others
    uint32_t named_count, order_count, order_capacity;
    struct queue queues[2];
    struct command *commands;
    uint32_t command_count;
    size_t command_capacity;
    uint32_t preamble_count; // commands before the first event's
    uint32_t user_ref_num[SESSION_COUNT];
    uint64_t time_ns; // of the commands being made
    uint32_t causes[CAUSE_COUNT];
};

// The lines

static inline uint32_t line_count(const char *text)
{
    uint32_t count = 0;
    for (const char *at = text; *at; at++)
        count += *at == '\n';
    return count;
}

// The number that `at` stands at, and what separates it from the next one.
static inline long long next_number(const char **at)
{
    char *end;
    long long number = strtoll(*at, &end, 10);
    cr_assert(end != *at, "no number: %.20s", *at);
    *at = end + strcspn(end, "-0123456789");
    return number;
}

static inline uint64_t next_time_ns(const char **at)
{
    uint64_t time_ns = (uint64_t)next_number(at) * 1000000000u;
    if ((*at)[-1] != '.')
        return time_ns;
    uint64_t digit_ns = 100000000;
    for (; **at != ','; ++*at, digit_ns /= 10)
        time_ns += digit_ns * (uint64_t)(**at - '0');
    ++*at;
    return time_ns;
}

static inline void parse_events(struct day *day, const char *at)
{
    day->event_count = line_count(at);
    day->events = allocate(day->event_count, sizeof(*day->events));
    for (uint32_t i = 0; i < day->event_count; i++) {
        struct tape_event *event = &day->events[i];
        event->time_ns = next_time_ns(&at);
        event->kind = (uint8_t)next_number(&at);
        event->id = (uint64_t)next_number(&at);
        event->size = (uint32_t)next_number(&at);
        event->price = (uint32_t)next_number(&at);
        event->side = next_number(&at) == 1 ? SIDE_BUY : SIDE_SELL;
        event->order = event->first_unseen = NONE;
    }
}

// Levels that are empty have a price beyond all.
static inline void parse_rows(struct day *day, const char *at)
{
    day->row_count = line_count(at);
    day->rows = allocate(day->row_count, sizeof(*day->rows));
    for (uint32_t i = 0; i < day->row_count; i++) {
        struct tape_row *row = &day->rows[i];
        for (uint32_t column = 0; column < 2 * DEPTH; column++) {
            enum side side = column % 2 ? SIDE_BUY : SIDE_SELL;
            long long price = next_number(&at), shares = next_number(&at);
            if (price <= 0 || price > PRICE_MAX)
                continue;
            uint32_t level = row->count[side]++;
            row->levels[side][level].price = (uint32_t)price;
            row->levels[side][level].shares = (uint32_t)shares;
        }
    }
}

static inline bool takes_away(const struct tape_event *event)
{
    return event->kind == REDUCE || event->kind == DELETE || event->kind == EXECUTE;
}

static inline int compare_ids(const void *left, const void *right)
{
    const struct day_order *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static inline uint32_t collect_ids(struct day *day)
{
    uint32_t count = 0, kept = 0;
    for (uint32_t i = 0; i < day->event_count; i++) {
        if (day->events[i].kind == NEW || takes_away(&day->events[i]))
            day->orders[count++].id = day->events[i].id;
    }
    qsort(day->orders, count, sizeof(*day->orders), compare_ids);
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || day->orders[i].id != day->orders[i - 1].id)
            day->orders[kept++].id = day->orders[i].id;
    }
    return kept;
}

static inline void index_orders(struct day *day)
{
    day->order_capacity = 2 * day->event_count;
    day->orders = allocate(day->order_capacity, sizeof(*day->orders));
    day->named_count = day->order_count = collect_ids(day);
    for (uint32_t i = 0; i < day->named_count; i++)
        day->orders[i].first_named = day->orders[i].next_unseen = NONE;
    for (uint32_t i = 0; i < day->event_count; i++) {
        struct tape_event *event = &day->events[i];
        if (event->kind != NEW && !takes_away(event))
            continue;
        struct day_order *order = bsearch(&(struct day_order){.id = event->id}, day->orders,
                                          day->named_count, sizeof(*order), compare_ids);
        event->order = (uint32_t)(order - day->orders);
        cr_assert(order->price == 0 || order->price == event->price, "order %" PRIu64 " moves",
                  order->id);
        order->price = event->price;
        order->side = event->side;
        order->entered |= event->kind == NEW;
        order->future += takes_away(event) ? event->size : 0;
        if (takes_away(event) && order->first_named == NONE)
            order->first_named = i;
    }
}

// When orders entered that the tape names and does not enter

static inline bool is_behind(enum side side, uint32_t price, uint32_t than)
{
    return side == SIDE_BUY ? price < than : price > than;
}

static inline bool is_beyond(const struct tape_row *row, enum side side, uint32_t price)
{
    return row->count[side] == DEPTH && is_behind(side, price, row->levels[side][DEPTH - 1].price);
}

static inline uint64_t shown_shares(const struct tape_row *row, enum side side, uint32_t price)
{
    for (uint32_t i = 0; i < row->count[side]; i++) {
        if (row->levels[side][i].price == price)
            return row->levels[side][i].shares;
    }
    return 0;
}

// Older than the tape: the first row has room for it beside the others.
static inline bool fits_first_row(const struct day *day, const struct day_order *order)
{
    if (is_beyond(&day->rows[0], order->side, order->price))
        return true;
    uint64_t taken = order->future;
    for (uint32_t i = day->events[0].first_unseen; i != NONE; i = day->orders[i].next_unseen) {
        const struct day_order *other = &day->orders[i];
        taken += other->side == order->side && other->price == order->price ? other->future : 0;
    }
    return taken <= shown_shares(&day->rows[0], order->side, order->price);
}

static inline void enter_before(struct day *day, uint32_t event, uint32_t order)
{
    uint32_t *last = &day->events[event].first_unseen;
    while (*last != NONE)
        last = &day->orders[*last].next_unseen;
    *last = order;
}

// At the first time that its id allows, after event `low` (NONE: before the tape) and before event
// `high`, at which its price is out of view.
static inline void date_order(struct day *day, uint32_t index, uint32_t low, uint32_t high)
{
    const struct day_order *order = &day->orders[index];
    if (low == NONE && fits_first_row(day, order)) {
        enter_before(day, 0, index);
        return;
    }
    for (uint32_t row = low == NONE ? 0 : low; row < high && row < order->first_named; row++) {
        if (is_beyond(&day->rows[row], order->side, order->price)) {
            enter_before(day, row + 1, index);
            return;
        }
    }
    cr_assert_fail("order %" PRIu64 " was never entered, and its price always in view", order->id);
}

// Which event an id falls behind is asked from where on ids rise: the opening lists its orders in
// another sequence.
static inline void date_unseen(struct day *day)
{
    uint64_t highest = 0;
    uint32_t next = 0; // entry
    for (uint32_t i = 0; i < day->event_count; i++) {
        if (day->events[i].kind == NEW && day->events[i].id < highest)
            next = i + 1;
        else if (day->events[i].kind == NEW)
            highest = day->events[i].id;
    }
    uint32_t last = NONE;
    for (uint32_t i = 0; i < day->named_count; i++) {
        const struct day_order *order = &day->orders[i];
        while (next < day->event_count &&
               (day->events[next].kind != NEW || day->events[next].id < order->id)) {
            if (day->events[next].kind == NEW)
                last = next;
            next++;
        }
        if (!order->entered)
            date_order(day, i, last, next);
    }
}

// The orders that rest

static inline uint32_t queue_find(const struct day *day, enum side side, uint64_t price)
{
    const struct queue *queue = &day->queues[side];
    uint32_t low = 0, high = queue->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (day->orders[queue->orders[middle]].price < price)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline struct day_order *queue_at(const struct day *day, enum side side, uint32_t place)
{
    const struct queue *queue = &day->queues[side];
    return place < queue->count ? &day->orders[queue->orders[place]] : NULL;
}

static inline void queue_insert(struct day *day, const struct day_order *order)
{
    struct queue *queue = &day->queues[order->side];
    cr_assert(queue->count < ORDERS_MAX, "more orders rest than expected");
    uint32_t place = queue_find(day, order->side, order->price + 1ull);
    memmove(&queue->orders[place + 1], &queue->orders[place],
            (queue->count++ - place) * sizeof(*queue->orders));
    queue->orders[place] = (uint32_t)(order - day->orders);
}

static inline void queue_remove(struct day *day, const struct day_order *order)
{
    struct queue *queue = &day->queues[order->side];
    uint32_t place = queue_find(day, order->side, order->price);
    const struct day_order *found;
    while ((found = queue_at(day, order->side, place)) != order)
        cr_assert(found != NULL && ++place, "order %" PRIu64 " does not rest", order->id);
    memmove(&queue->orders[place], &queue->orders[place + 1],
            (--queue->count - place) * sizeof(*queue->orders));
}

static inline struct day_order *queue_first(const struct day *day, enum side side)
{
    const struct queue *queue = &day->queues[side];
    if (queue->count == 0 || side == SIDE_SELL)
        return queue_at(day, side, 0);
    uint32_t best = queue_at(day, side, queue->count - 1)->price;
    return queue_at(day, side, queue_find(day, side, best));
}

// Commands

static inline struct command *add_command(struct day *day, enum command_type type, uint16_t session)
{
    cr_assert(array_reserve(&day->commands, &day->command_capacity, day->command_count + 1,
                            sizeof(*day->commands)));
    struct command *command = &day->commands[day->command_count++];
    *command = (struct command){.time_ns = day->time_ns, .type = (uint8_t)type, .session = session};
    return command;
}

static inline struct command *add_order(struct day *day, enum command_type type, uint16_t session,
                                        uint32_t quantity, uint32_t price)
{
    struct command *command = add_command(day, type, session);
    command->order.user_ref_num = ++day->user_ref_num[session];
    command->order.quantity = quantity;
    command->order.price = price;
    memset(command->order.client_order_id, ' ', sizeof(command->order.client_order_id));
    return command;
}

static inline void enter(struct day *day, struct day_order *order, uint32_t size)
{
    cr_assert(order->size == 0 && size > 0, "order %" PRIu64 " entered twice", order->id);
    order->size = size;
    queue_insert(day, order);
    add_order(day, COMMAND_ENTER, MAKER, size, order->price)->side = order->side;
    order->user_ref_num = day->user_ref_num[MAKER];
}

static inline void take_away(struct day *day, struct day_order *order, uint32_t size)
{
    cr_assert(size <= order->size, "%u shares of order %" PRIu64 ", which has %u", size, order->id,
              order->size);
    order->size -= size;
    if (order->size == 0)
        queue_remove(day, order);
}

static inline void cancel(struct day *day, struct day_order *order, uint32_t size)
{
    take_away(day, order, size);
    struct command *command = add_command(day, COMMAND_CANCEL, MAKER);
    command->order.user_ref_num = order->user_ref_num;
    command->order.quantity = order->size ? order->executed + order->size : 0;
}

static inline void send_back(struct day *day, struct day_order *order)
{
    queue_remove(day, order);
    queue_insert(day, order);
    uint32_t total = order->executed + order->size;
    struct command *command = add_order(day, COMMAND_REPLACE, MAKER, total, order->price);
    command->order.orig_user_ref_num = order->user_ref_num;
    order->user_ref_num = day->user_ref_num[MAKER];
}

static inline void take(struct day *day, struct day_order *order, uint32_t size)
{
    take_away(day, order, size);
    order->executed += size;
    struct command *command = add_order(day, COMMAND_ENTER, TAKER, size, order->price);
    command->side = order->side == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
    command->order.attributes.time_in_force = TIF_IOC;
}

// What happens unseen

static inline void enter_unseen(struct day *day, uint32_t index)
{
    for (uint32_t i = day->events[index].first_unseen; i != NONE; i = day->orders[i].next_unseen) {
        day->causes[index ? BEHIND_NAMED : OLDER_NAMED]++;
        enter(day, &day->orders[i], (uint32_t)day->orders[i].future);
    }
}

static inline void leave(struct day *day, struct day_order *order, uint32_t size, enum cause cause)
{
    day->causes[cause]++;
    cancel(day, order, size);
}

// Make a level, still out of view, what it is when it comes into view.
static inline void settle_level(struct day *day, uint32_t index, enum side side, uint32_t price,
                                uint64_t wanted)
{
    uint32_t first = queue_find(day, side, price);
    struct day_order *order;
    int64_t surplus = -(int64_t)wanted;
    for (uint32_t at = first; (order = queue_at(day, side, at)) && order->price == price; at++)
        surplus += order->size;
    for (uint32_t at = first; (order = queue_at(day, side, at)) && order->price == price;) {
        if (surplus > 0 && order->future == 0) {
            surplus -= order->size;
            leave(day, order, order->size, BEHIND_LEFT);
        } else {
            at++;
        }
    }
    for (uint32_t at = first; (order = queue_at(day, side, at)) && order->price == price; at++) {
        int64_t excess = (int64_t)order->size - (int64_t)order->future;
        excess = excess < surplus ? excess : surplus;
        if (excess > 0) {
            surplus -= excess;
            leave(day, order, (uint32_t)excess, BEHIND_REDUCED);
        }
    }
    cr_assert(surplus <= 0, "event %u: %" PRIi64 " shares too many at %u", index, surplus, price);
    if (surplus == 0)
        return;
    cr_assert(day->order_count < day->order_capacity, "too many orders that nobody names");
    order = &day->orders[day->order_count++];
    *order = (struct day_order){.price = price, .side = (uint8_t)side};
    day->causes[index ? BEHIND_UNNAMED : OLDER_UNNAMED]++;
    enter(day, order, (uint32_t)-surplus);
}

// The next price from `price` on that the row shows or at which orders rest.
static inline uint64_t next_price(const struct day *day, const struct tape_row *row, enum side side,
                                  uint64_t price)
{
    const struct day_order *order = queue_at(day, side, queue_find(day, side, price));
    uint64_t next = order ? order->price : UINT64_MAX;
    for (uint32_t i = 0; i < row->count[side]; i++) {
        uint32_t shown = row->levels[side][i].price;
        next = shown >= price && shown < next ? shown : next;
    }
    return next;
}

// Levels that the row after the event shows and the one before did not.
static inline void come_into_view(struct day *day, uint32_t index, enum side side)
{
    const struct tape_row *now = &day->rows[index], *last = index ? now - 1 : NULL;
    const struct tape_event *event = &day->events[index];
    uint64_t low = 0, high = PRICE_MAX;
    if (last && last->count[side] < DEPTH)
        return;
    if (now->count[side] == DEPTH)
        *(side == SIDE_BUY ? &low : &high) = now->levels[side][DEPTH - 1].price;
    if (last && side == SIDE_BUY)
        high = last->levels[side][DEPTH - 1].price - 1;
    else if (last)
        low = last->levels[side][DEPTH - 1].price + 1;
    uint64_t price = low;
    while ((price = next_price(day, now, side, price)) <= high) {
        uint64_t wanted = shown_shares(now, side, (uint32_t)price);
        if (event->kind == NEW && event->side == side && event->price == price) {
            cr_assert(wanted >= event->size, "event %u is not in its own row", index);
            wanted -= event->size;
        }
        settle_level(day, index, side, (uint32_t)price, wanted);
        price++;
    }
}

// Orders ahead of the one that the tape executes go behind it.
static inline void make_first(struct day *day, const struct day_order *order)
{
    uint32_t first = queue_find(day, order->side, order->price);
    struct day_order *ahead;
    while ((ahead = queue_at(day, order->side, first)) != order) {
        cr_assert(ahead != NULL && ahead->price == order->price, "order %" PRIu64 " does not rest",
                  order->id);
        if (ahead->id == 0)
            day->causes[BACK_INFERRED]++;
        else
            day->causes[ahead->id > order->id ? BACK_HIGHER_ID : BACK_ELDER]++;
        send_back(day, ahead);
    }
}

// The plan

static inline void plan_own(struct day *day, const struct tape_event *event, struct place *place)
{
    struct day_order *order = event->order == NONE ? NULL : &day->orders[event->order];
    switch (event->kind) {
    case NEW:
        day->causes[TAPE_NEW]++;
        enter(day, order, event->size);
        break;
    case REDUCE:
    case DELETE:
        day->causes[event->kind == REDUCE ? TAPE_REDUCE : TAPE_DELETE]++;
        cancel(day, order, event->size);
        break;
    case EXECUTE:
        day->causes[TAPE_EXECUTE]++;
        cr_assert(queue_first(day, order->side) == order, "order %" PRIu64 " is not first",
                  order->id);
        place->maker = order->user_ref_num;
        take(day, order, event->size);
        break;
    case EXECUTE_HIDDEN:
        day->causes[TAPE_HIDDEN]++;
        break;
    case HALT:
        day->causes[TAPE_HALT]++;
        break;
    default:
        cr_assert_fail("an event of type %u", event->kind);
    }
    if (takes_away(event))
        order->future -= event->size;
}

static inline void plan_preamble(struct day *day)
{
    day->time_ns = MIDNIGHT_NS + day->events[0].time_ns;
    struct command *command = add_command(day, COMMAND_OPEN, 0);
    command->open.midnight_ns = MIDNIGHT_NS;
    command->open.limits = limits;
    memcpy(command->open.session_id, "SESSION001", 10);
    command = add_command(day, COMMAND_INSTRUMENT, 0);
    memcpy(command->listing.symbol, "AMZN    ", 8);
    command->listing.round_lot = 100;
    for (uint16_t session = 0; session < SESSION_COUNT; session++) {
        command = add_command(day, COMMAND_SESSION, session);
        memcpy(command->member.user_name, session == MAKER ? "MAKER " : "TAKER ", 6);
        memcpy(command->member.firm, session == MAKER ? "MAKE" : "TAKE", 4);
    }
    add_command(day, COMMAND_START, 0);
    day->preamble_count = day->command_count;
}

static inline void plan(struct day *day)
{
    for (int side = SIDE_BUY; side <= SIDE_SELL; side++)
        day->queues[side].orders = allocate(ORDERS_MAX, sizeof(uint32_t));
    day->places = allocate(day->event_count, sizeof(*day->places));
    plan_preamble(day);
    for (uint32_t i = 0; i < day->event_count; i++) {
        const struct tape_event *event = &day->events[i];
        day->time_ns = MIDNIGHT_NS + event->time_ns;
        enter_unseen(day, i);
        come_into_view(day, i, SIDE_BUY);
        come_into_view(day, i, SIDE_SELL);
        if (event->kind == EXECUTE)
            make_first(day, &day->orders[event->order]);
        day->places[i].own = day->command_count;
        plan_own(day, event, &day->places[i]);
        day->places[i].end = day->command_count;
    }
}

static inline void day_open(struct day *day, const char *path)
{
    *day = (struct day){0};
    struct bytes zip = read_whole(path);
    char *messages = unzip(&zip, "message"), *book = unzip(&zip, "orderbook");
    parse_events(day, messages);
    parse_rows(day, book);
    free(messages);
    free(book);
    free(zip.start);
    cr_assert(day->event_count > 0 && day->event_count == day->row_count, "%u events, %u rows",
              day->event_count, day->row_count);
    index_orders(day);
    date_unseen(day);
    plan(day);
}

static inline void day_close(struct day *day)
{
    free(day->events);
    free(day->rows);
    free(day->places);
    free(day->orders);
    free(day->queues[SIDE_BUY].orders);
    free(day->queues[SIDE_SELL].orders);
    free(day->commands);
}

#endif
