// SPDX-License-Identifier: MIT
//
// A real day, AMZN on 2012-06-21, through the shard: after each of the tape's events the book's
// five best levels have to be the tape's, each of the shard's events the reference's, and the whole
// day is timed. A LOBSTER tape (two CSV files in a zip) holds what touched the five best levels of
// one instrument, and these levels after each of its events. What happened behind the fifth level
// is not on it. As in tests/net/tape.py, which plays the same day over the wire, three kinds of
// orders are therefore inferred, at prices only that the row before does not show:
//
// - An order that is named and never entered. Ids rise with time, so that its id dates it; it
//   enters at the first moment of that date at which its price lies behind the fifth level.
// - A level that comes into view with more shares than the known orders have: the rest is one order
//   that nobody names. With fewer: orders that are not named again have left, unseen.
// - What the first row shows was there before the tape.
//
// An execution becomes an immediate-or-cancel order of its size at its price. It names the order
// that it hit: those that stand before it in its queue are sent to the back first.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <time.h>
#include <zlib.h>

#include "dataplane/shard.h"
#include "numa/array.h"
#include "tests/unit/compare.h"
#include "tests/unit/recorded.h"

#define TAPE          "lobster-amzn-20120621-5levels.zip"
#define MIDNIGHT_NS   1340251200000000000u // New York's on that day
#define DEPTH         5u
#define NONE          UINT32_MAX
#define RING_CAPACITY 4096u
#define ORDERS_MAX    4096u // 860 rest at once
#define MISTAKES_MAX  5u    // to be shown

__attribute__((noreturn, format(printf, 1, 2))) static void differs(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cr_assert_fail("%s", text);
    abort();
}

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

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    cr_assert(memory != NULL, "no memory for %zu times %zu bytes", count, size);
    return memory;
}

// The zip

struct bytes {
    unsigned char *start;
    size_t size;
};

static uint32_t le16(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t le32(const unsigned char *at)
{
    return le16(at) | le16(at + 2) << 16;
}

static struct bytes read_whole(const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    struct bytes bytes = {.size = (size_t)ftell(file)};
    bytes.start = allocate(bytes.size, 1);
    rewind(file);
    cr_assert_eq(fread(bytes.start, 1, bytes.size, file), bytes.size, "%s cannot be read", path);
    fclose(file);
    return bytes;
}

// `entry`: of the central directory (PKWARE appnote 4.3.12). The text, with a zero behind it.
static char *inflate_entry(const struct bytes *zip, const unsigned char *entry)
{
    size_t packed_size = le32(entry + 20), size = le32(entry + 24), local = le32(entry + 42);
    cr_assert(le16(entry + 10) == Z_DEFLATED && local + 30 <= zip->size, "the zip is damaged");
    size_t data = local + 30 + le16(zip->start + local + 26) + le16(zip->start + local + 28);
    cr_assert(data + packed_size <= zip->size, "the zip is cut off");
    char *text = allocate(size + 1, 1);
    z_stream stream = {.next_in = zip->start + data,
                       .avail_in = (uInt)packed_size,
                       .next_out = (unsigned char *)text,
                       .avail_out = (uInt)size};
    cr_assert_eq(inflateInit2(&stream, -MAX_WBITS), Z_OK);
    cr_assert(inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == size,
              "the zip is damaged");
    inflateEnd(&stream);
    cr_assert_eq(crc32(0, (unsigned char *)text, (uInt)size), le32(entry + 16), "a wrong CRC");
    return text;
}

// The first file whose name holds `word`.
static char *unzip(const struct bytes *zip, const char *word)
{
    cr_assert(zip->size >= 22, "no zip");
    size_t end = zip->size - 22;
    while (end > 0 && le32(zip->start + end) != 0x06054b50)
        end--;
    size_t at = le32(zip->start + end + 16);
    for (uint32_t i = le16(zip->start + end + 10); i > 0; i--) {
        cr_assert(at + 46 <= end && le32(zip->start + at) == 0x02014b50, "the zip is damaged");
        const unsigned char *entry = zip->start + at;
        size_t name_size = le16(entry + 28);
        cr_assert(at + 46 + name_size <= end, "the zip is damaged");
        if (memmem(entry + 46, name_size, word, strlen(word)))
            return inflate_entry(zip, entry);
        at += 46 + name_size + le16(entry + 30) + le16(entry + 32);
    }
    cr_assert_fail("the zip has no file called *%s*", word);
    return NULL;
}

// The lines

static uint32_t line_count(const char *text)
{
    uint32_t count = 0;
    for (const char *at = text; *at; at++)
        count += *at == '\n';
    return count;
}

// The number that `at` stands at, and what separates it from the next one.
static long long next_number(const char **at)
{
    char *end;
    long long number = strtoll(*at, &end, 10);
    cr_assert(end != *at, "no number: %.20s", *at);
    *at = end + strcspn(end, "-0123456789");
    return number;
}

static uint64_t next_time_ns(const char **at)
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

static void parse_events(struct day *day, const char *at)
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
static void parse_rows(struct day *day, const char *at)
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

static bool takes_away(const struct tape_event *event)
{
    return event->kind == REDUCE || event->kind == DELETE || event->kind == EXECUTE;
}

static int compare_ids(const void *left, const void *right)
{
    const struct day_order *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static uint32_t collect_ids(struct day *day)
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

static void index_orders(struct day *day)
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

static bool is_behind(enum side side, uint32_t price, uint32_t than)
{
    return side == SIDE_BUY ? price < than : price > than;
}

static bool is_beyond(const struct tape_row *row, enum side side, uint32_t price)
{
    return row->count[side] == DEPTH && is_behind(side, price, row->levels[side][DEPTH - 1].price);
}

static uint64_t shown_shares(const struct tape_row *row, enum side side, uint32_t price)
{
    for (uint32_t i = 0; i < row->count[side]; i++) {
        if (row->levels[side][i].price == price)
            return row->levels[side][i].shares;
    }
    return 0;
}

// Older than the tape: the first row has room for it beside the others.
static bool fits_first_row(const struct day *day, const struct day_order *order)
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

static void enter_before(struct day *day, uint32_t event, uint32_t order)
{
    uint32_t *last = &day->events[event].first_unseen;
    while (*last != NONE)
        last = &day->orders[*last].next_unseen;
    *last = order;
}

// At the first time that its id allows, after event `low` (NONE: before the tape) and before event
// `high`, at which its price is out of view.
static void date_order(struct day *day, uint32_t index, uint32_t low, uint32_t high)
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
static void date_unseen(struct day *day)
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

static uint32_t queue_find(const struct day *day, enum side side, uint64_t price)
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

static struct day_order *queue_at(const struct day *day, enum side side, uint32_t place)
{
    const struct queue *queue = &day->queues[side];
    return place < queue->count ? &day->orders[queue->orders[place]] : NULL;
}

static void queue_insert(struct day *day, const struct day_order *order)
{
    struct queue *queue = &day->queues[order->side];
    cr_assert(queue->count < ORDERS_MAX, "more orders rest than expected");
    uint32_t place = queue_find(day, order->side, order->price + 1ull);
    memmove(&queue->orders[place + 1], &queue->orders[place],
            (queue->count++ - place) * sizeof(*queue->orders));
    queue->orders[place] = (uint32_t)(order - day->orders);
}

static void queue_remove(struct day *day, const struct day_order *order)
{
    struct queue *queue = &day->queues[order->side];
    uint32_t place = queue_find(day, order->side, order->price);
    const struct day_order *found;
    while ((found = queue_at(day, order->side, place)) != order)
        cr_assert(found != NULL && ++place, "order %" PRIu64 " does not rest", order->id);
    memmove(&queue->orders[place], &queue->orders[place + 1],
            (--queue->count - place) * sizeof(*queue->orders));
}

static struct day_order *queue_first(const struct day *day, enum side side)
{
    const struct queue *queue = &day->queues[side];
    if (queue->count == 0 || side == SIDE_SELL)
        return queue_at(day, side, 0);
    uint32_t best = queue_at(day, side, queue->count - 1)->price;
    return queue_at(day, side, queue_find(day, side, best));
}

// Commands

static struct command *add_command(struct day *day, enum command_type type, uint16_t session)
{
    cr_assert(array_reserve(&day->commands, &day->command_capacity, day->command_count + 1,
                            sizeof(*day->commands)));
    struct command *command = &day->commands[day->command_count++];
    *command = (struct command){.time_ns = day->time_ns, .type = (uint8_t)type, .session = session};
    return command;
}

static struct command *add_order(struct day *day, enum command_type type, uint16_t session,
                                 uint32_t quantity, uint32_t price)
{
    struct command *command = add_command(day, type, session);
    command->order.user_ref_num = ++day->user_ref_num[session];
    command->order.quantity = quantity;
    command->order.price = price;
    memset(command->order.client_order_id, ' ', sizeof(command->order.client_order_id));
    return command;
}

static void enter(struct day *day, struct day_order *order, uint32_t size)
{
    cr_assert(order->size == 0 && size > 0, "order %" PRIu64 " entered twice", order->id);
    order->size = size;
    queue_insert(day, order);
    add_order(day, COMMAND_ENTER, MAKER, size, order->price)->side = order->side;
    order->user_ref_num = day->user_ref_num[MAKER];
}

static void take_away(struct day *day, struct day_order *order, uint32_t size)
{
    cr_assert(size <= order->size, "%u shares of order %" PRIu64 ", which has %u", size, order->id,
              order->size);
    order->size -= size;
    if (order->size == 0)
        queue_remove(day, order);
}

static void cancel(struct day *day, struct day_order *order, uint32_t size)
{
    take_away(day, order, size);
    struct command *command = add_command(day, COMMAND_CANCEL, MAKER);
    command->order.user_ref_num = order->user_ref_num;
    command->order.quantity = order->size ? order->executed + order->size : 0;
}

static void send_back(struct day *day, struct day_order *order)
{
    queue_remove(day, order);
    queue_insert(day, order);
    uint32_t total = order->executed + order->size;
    struct command *command = add_order(day, COMMAND_REPLACE, MAKER, total, order->price);
    command->order.orig_user_ref_num = order->user_ref_num;
    order->user_ref_num = day->user_ref_num[MAKER];
}

static void take(struct day *day, struct day_order *order, uint32_t size)
{
    take_away(day, order, size);
    order->executed += size;
    struct command *command = add_order(day, COMMAND_ENTER, TAKER, size, order->price);
    command->side = order->side == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
    command->order.attributes.time_in_force = TIF_IOC;
}

// What happens unseen

static void enter_unseen(struct day *day, uint32_t index)
{
    for (uint32_t i = day->events[index].first_unseen; i != NONE; i = day->orders[i].next_unseen) {
        day->causes[index ? BEHIND_NAMED : OLDER_NAMED]++;
        enter(day, &day->orders[i], (uint32_t)day->orders[i].future);
    }
}

static void leave(struct day *day, struct day_order *order, uint32_t size, enum cause cause)
{
    day->causes[cause]++;
    cancel(day, order, size);
}

// Make a level, still out of view, what it is when it comes into view.
static void settle_level(struct day *day, uint32_t index, enum side side, uint32_t price,
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
static uint64_t next_price(const struct day *day, const struct tape_row *row, enum side side,
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
static void come_into_view(struct day *day, uint32_t index, enum side side)
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
static void make_first(struct day *day, const struct day_order *order)
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

static void plan_own(struct day *day, const struct tape_event *event, struct place *place)
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

static void plan_preamble(struct day *day)
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

static void plan(struct day *day)
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

static void day_open(struct day *day, const char *path)
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

static void day_close(struct day *day)
{
    free(day->events);
    free(day->rows);
    free(day->places);
    free(day->orders);
    free(day->queues[SIDE_BUY].orders);
    free(day->queues[SIDE_SELL].orders);
    free(day->commands);
}

#define OPEN_OR_SKIP(day)                                                                          \
    do {                                                                                           \
        char path_[512];                                                                           \
        recorded_path(path_, sizeof(path_), TAPE);                                                 \
        if (access(path_, R_OK) != 0)                                                              \
            cr_skip_test("no recorded day at %s: set SLUICE_SHARED", path_);                       \
        day_open(day, path_);                                                                      \
    } while (0)

// The shard with its three rings, all of them polled here. `taken` are the events that have been
// taken off their ring.
struct venue {
    struct shard shard;
    struct bell bell; // nobody sleeps
    struct event taken[RING_CAPACITY];
    uint32_t taken_count;
};

static void take_events(void *context)
{
    struct venue *venue = context;
    struct ring *ring = venue->shard.events;
    uint32_t count = ring_readable(ring, UINT32_MAX);
    cr_assert(venue->taken_count + count <= RING_CAPACITY, "more events than expected");
    for (uint32_t i = 0; i < count; i++)
        venue->taken[venue->taken_count++] = *(const struct event *)ring_read_slot(ring, i);
    ring_release(ring, count);
}

static void discard(struct ring *ring)
{
    ring_release(ring, ring_readable(ring, UINT32_MAX));
}

static void discard_events(void *context)
{
    discard(((struct venue *)context)->shard.events);
}

static struct ring *ring_new(uint32_t capacity)
{
    void *memory = aligned_alloc(128, ring_memory_size(capacity));
    cr_assert(memory != NULL);
    memset(memory, 0, ring_memory_size(capacity)); // no page is touched first under the clock
    return ring_init(memory, capacity);
}

static struct venue *venue_open(struct book *book, uint32_t events_capacity,
                                void (*relieve)(void *context))
{
    struct venue *venue = aligned_alloc(alignof(struct venue), sizeof(*venue));
    cr_assert(venue != NULL);
    memset(venue, 0, sizeof(*venue));
    venue->shard.book = book;
    venue->shard.commands = ring_new(RING_CAPACITY);
    venue->shard.journal = ring_new(RING_CAPACITY);
    venue->shard.events = ring_new(events_capacity);
    venue->shard.journal_bell = &venue->bell;
    venue->shard.relieve = relieve;
    venue->shard.relieve_context = venue;
    return venue;
}

static void venue_close(struct venue *venue)
{
    free(venue->shard.commands);
    free(venue->shard.journal);
    free(venue->shard.events);
    free(venue);
}

// As many of the commands as there is room for.
static uint32_t give(struct ring *ring, const struct command *commands, uint32_t count)
{
    uint32_t room = ring_writable(ring, count);
    count = count < room ? count : room;
    for (uint32_t i = 0; i < count; i++)
        *(struct command *)ring_write_slot(ring, i) = commands[i];
    ring_commit(ring, count);
    return count;
}

// Row by row

struct rows {
    uint32_t compared, equal, unexplained;
};

__attribute__((format(printf, 3, 4))) static void mistake(struct rows *rows, uint32_t index,
                                                          const char *format, ...)
{
    if (rows->unexplained++ >= MISTAKES_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "row %u: ", index);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

// Play commands `from` to `to`; their events are the venue's `taken`.
static void play(struct venue *venue, const struct day *day, uint32_t from, uint32_t to)
{
    venue->taken_count = 0;
    while (from < to) {
        uint32_t given = give(venue->shard.commands, &day->commands[from], to - from);
        from += given;
        for (uint32_t applied = 0; applied < given;) {
            uint32_t count = shard_poll(&venue->shard);
            cr_assert(count > 0, "the shard does not take commands");
            applied += count;
            discard(venue->shard.journal);
            take_events(venue);
        }
    }
}

static bool row_stands(const struct book *book, const struct tape_row *row)
{
    for (int side = SIDE_BUY; side <= SIDE_SELL; side++) {
        struct book_level levels[DEPTH];
        if (book_depth(book, 0, (enum side)side, levels, DEPTH) != row->count[side])
            return false;
        for (uint32_t i = 0; i < row->count[side]; i++) {
            if (levels[i].price != row->levels[side][i].price ||
                levels[i].quantity != row->levels[side][i].shares)
                return false;
        }
    }
    return true;
}

static uint32_t trade_count(const struct venue *venue)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < venue->taken_count; i++)
        count += venue->taken[i].type == EVENT_FEED_EXECUTED;
    return count;
}

// One trade, with the order that the tape names; none when the event is no execution.
static bool trades_are_the_tapes(const struct venue *venue, const struct tape_event *event,
                                 const struct place *place)
{
    if (event->kind != EXECUTE)
        return trade_count(venue) == 0;
    for (uint32_t i = 0; i < venue->taken_count; i++) {
        const struct event *e = &venue->taken[i];
        if (e->type == EVENT_EXECUTED && e->session == MAKER)
            return trade_count(venue) == 1 && e->user_ref_num == place->maker &&
                   e->quantity == event->size && e->price == event->price;
    }
    return false;
}

// Before an event with inferred commands the row before it must still stand, so that nothing
// inferred can stand in for what the book has to do.
static void play_row(struct venue *venue, const struct day *day, uint32_t i, struct rows *rows)
{
    const struct place *place = &day->places[i];
    uint32_t first = i ? day->places[i - 1].end : day->preamble_count;
    play(venue, day, first, place->own);
    if (trade_count(venue) != 0)
        mistake(rows, i, "a trade by what is inferred");
    if (i > 0 && first < place->own && !row_stands(venue->shard.book, &day->rows[i - 1]))
        mistake(rows, i - 1, "changed by what is inferred");
    play(venue, day, place->own, place->end);
    if (!trades_are_the_tapes(venue, &day->events[i], place))
        mistake(rows, i, "the trades are not the tape's");
    rows->compared++;
    if (row_stands(venue->shard.book, &day->rows[i]))
        rows->equal++;
    else
        mistake(rows, i, "the five best levels are not the tape's");
}

static void print_rows(const struct day *day, const struct rows *rows)
{
    printf("note rows compared: %u\nnote rows equal: %u\nnote unexplained: %u\n"
           "note causes in the tape:\n",
           rows->compared, rows->equal, rows->unexplained);
    for (uint32_t i = 0; i < CAUSE_COUNT; i++) {
        if (day->causes[i])
            printf("note   %7u %s\n", day->causes[i], cause_names[i]);
    }
    fflush(stdout);
}

Test(day, the_five_best_levels_and_the_trades_are_the_tapes_after_each_of_its_events)
{
    static struct day day;
    OPEN_OR_SKIP(&day);
    struct random random = {1};
    struct book_memory memory = memory_new(book_memory_size(&limits), &random);
    struct venue *venue =
        venue_open(book_open(memory.book, &limits), RING_CAPACITY, discard_events);
    struct rows rows = {0};
    play(venue, &day, 0, day.preamble_count);
    for (uint32_t i = 0; i < day.event_count; i++)
        play_row(venue, &day, i, &rows);
    print_rows(&day, &rows);
    cr_assert_eq(rows.unexplained, 0);
    cr_assert_eq(rows.compared, day.event_count);
    cr_assert_eq(rows.equal, day.event_count);
    venue_close(venue);
    memory_free(&memory);
    day_close(&day);
}

// At full speed

static void put(struct collector *collector, const struct event *events, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (collector->sink.next == collector->sink.end)
            collector->sink.more(&collector->sink);
        *collector->sink.next++ = events[i];
    }
}

// The `count` commands that the shard has just taken: in its journal as they came, and their events
// the reference's.
static void compare_batch(struct comparison *c, struct venue *venue, const struct command *commands,
                          uint32_t count)
{
    struct ring *journal = venue->shard.journal;
    AGREE(ring_readable(journal, count + 1) == count, "the journal got another number of commands");
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        AGREE(memcmp(ring_read_slot(journal, i), &commands[i], sizeof(commands[i])) == 0,
              "the journal got another command");
        reference_apply(&c->reference, &commands[i]);
        uint32_t left = venue->taken_count - at;
        uint32_t wanted = c->reference.event_count < left ? c->reference.event_count : left;
        put(&c->collector, &venue->taken[at], wanted);
        compare_events(&c->reference, &c->collector, "the shard");
        at += wanted;
    }
    AGREE(at == venue->taken_count, "%u events too many", venue->taken_count - at);
    ring_release(journal, count);
}

// Returns how many events were compared.
static uint64_t play_compared(struct comparison *c, const struct day *day)
{
    // So few slots that the ring is full in almost every batch.
    struct venue *venue = venue_open(c->book, 64, take_events);
    uint64_t event_count = 0;
    for (uint32_t given = 0, applied = 0; applied < day->command_count;) {
        given += give(venue->shard.commands, &day->commands[given], day->command_count - given);
        venue->taken_count = 0;
        uint32_t count = shard_poll(&venue->shard);
        AGREE(count > 0, "the shard does not take commands");
        take_events(venue);
        compare_batch(c, venue, &day->commands[applied], count);
        applied += count;
        event_count += venue->taken_count;
    }
    venue_close(venue);
    return event_count;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double play_timed(struct book *book, const struct day *day)
{
    struct venue *venue = venue_open(book, RING_CAPACITY, discard_events);
    uint64_t start_ns = now_ns();
    for (uint32_t given = 0, applied = 0; applied < day->command_count;) {
        given += give(venue->shard.commands, &day->commands[given], day->command_count - given);
        applied += shard_poll(&venue->shard);
        discard(venue->shard.journal);
        discard(venue->shard.events);
    }
    uint64_t elapsed_ns = now_ns() - start_ns;
    venue_close(venue);
    return (double)elapsed_ns / 1e9;
}

Test(day, the_shards_events_are_the_references_and_full_speed_leads_to_the_same_state)
{
    static struct day day;
    static struct comparison c;
    OPEN_OR_SKIP(&day);
    comparison_open(&c, &limits, 1);
    uint64_t event_count = play_compared(&c, &day);
    double seconds = play_timed(c.twin, &day);
    printf("note events compared: %" PRIu64 ", all of the day\n"
           "note %u commands in %.6f s: %.2f million a second; state %016" PRIx64 "\n",
           event_count, day.command_count, seconds, day.command_count / seconds / 1e6,
           book_hash(c.book));
    fflush(stdout);
    cr_assert_eq(book_hash(c.twin), book_hash(c.book));
    compare_state(&c);
    comparison_close(&c);
    memory_free(&c.memory);
    memory_free(&c.twin_memory);
    day_close(&day);
}
