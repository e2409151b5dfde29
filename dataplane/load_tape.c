// SPDX-License-Identifier: MIT
#include "dataplane/load_tape.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "book/book.h"
#include "dataplane/itch.h"
#include "dataplane/mold.h"
#include "dataplane/packet.h"
#include "dataplane/symbols.h"
#include "numa/array.h"

#define SYMBOLS_MAX      (NO_INSTRUMENT - 1u)
#define TAPE_SECONDS_MAX 1000000000u

// An order of the tape that is live, by the tape's number for it.
struct tape_order {
    uint64_t id;
    uint32_t ref; // 0: a free slot
    uint32_t price;
    uint32_t open;
    uint32_t executed; // by it and the orders it replaced
    uint32_t arrival;  // LOBSTER: its place among all that rested
    uint16_t symbol;
    uint8_t session;
    uint8_t side;
};

// Open addressing with linear probing, at most half full. A pointer to an order holds until the
// next insertion or removal.
struct order_table {
    struct tape_order *slots;
    uint64_t mask;
    uint64_t used;
};

// A LOBSTER order that is named and never entered.
struct older_order {
    uint64_t id;
    uint64_t shares;
    uint32_t price;
    uint8_t side;
    bool entered;
};

// The live orders of one side of a LOBSTER file, best price first: a binary heap. Orders that are
// gone stay in it until they come to the top.
struct price_heap {
    struct price_entry {
        uint64_t id;
        uint64_t rank; // the higher the better: price, then time
    } * entries;
    uint64_t count;
    size_t capacity;
};

struct tape {
    const char *path;
    const struct load_tape_options *options;
    struct load_day *day;
    struct load_tape_counts *counts;
    struct order_table orders;
    struct symbols symbols;
    void *symbols_memory;
    bool other_locate[65536]; // ITCH stock locates of symbols that were not asked for
    uint64_t enters;
    struct older_order *older; // by id
    uint64_t older_count, older_next;
    size_t older_capacity;
    struct price_heap heaps[2]; // LOBSTER: by side
};

struct bytes {
    const uint8_t *start;
    size_t size;
};

static uint64_t hash(uint64_t id)
{
    id ^= id >> 32;
    id *= 0xD6E8FEB86659FD93ull;
    return id ^ (id >> 32);
}

static bool table_open(struct order_table *table, uint64_t capacity)
{
    *table = (struct order_table){
        .slots = calloc(capacity, sizeof(*table->slots)),
        .mask = capacity - 1,
    };
    return table->slots != NULL;
}

static struct tape_order *table_slot(const struct order_table *table, uint64_t id)
{
    uint64_t index = hash(id) & table->mask;
    while (table->slots[index].ref != 0 && table->slots[index].id != id)
        index = (index + 1) & table->mask;
    return &table->slots[index];
}

static struct tape_order *table_find(const struct order_table *table, uint64_t id)
{
    struct tape_order *order = table_slot(table, id);
    return order->ref == 0 ? NULL : order;
}

static bool table_grow(struct order_table *table)
{
    struct order_table bigger;
    if (!table_open(&bigger, 2 * (table->mask + 1)))
        return false;
    for (uint64_t i = 0; i <= table->mask; i++) {
        if (table->slots[i].ref != 0)
            *table_slot(&bigger, table->slots[i].id) = table->slots[i];
    }
    bigger.used = table->used;
    free(table->slots);
    *table = bigger;
    return true;
}

// `order` is not in the table yet. False without memory.
static bool table_insert(struct order_table *table, const struct tape_order *order)
{
    if (2 * (table->used + 1) > table->mask && !table_grow(table))
        return false;
    *table_slot(table, order->id) = *order;
    table->used++;
    return true;
}

// Moves later members of the probe sequence up, so that no marks of removed orders are needed.
static void table_remove(struct order_table *table, struct tape_order *order)
{
    uint64_t hole = (uint64_t)(order - table->slots);
    uint64_t index = hole;
    for (;;) {
        index = (index + 1) & table->mask;
        if (table->slots[index].ref == 0)
            break;
        uint64_t home = hash(table->slots[index].id) & table->mask;
        if (((index - home) & table->mask) < ((index - hole) & table->mask))
            continue;
        table->slots[hole] = table->slots[index];
        hole = index;
    }
    table->slots[hole].ref = 0;
    table->used--;
}

// What a tape says, as steps.

static bool tape_full(const struct tape *tape)
{
    return tape->options->count != 0 && tape->day->count >= tape->options->count;
}

static uint32_t fit(struct tape *tape, uint64_t value, uint32_t max)
{
    if (value <= max)
        return (uint32_t)value;
    tape->counts->fitted++;
    return max;
}

static void tape_enter(struct tape *tape, uint64_t id, uint8_t side, uint64_t shares,
                       uint64_t price, uint16_t symbol)
{
    if (shares == 0 || price == 0 || table_find(&tape->orders, id) != NULL) {
        tape->counts->malformed++;
        return;
    }
    struct load_step step = {
        .quantity = fit(tape, shares, QUANTITY_MAX),
        .price = fit(tape, price, PRICE_MAX),
        .symbol = symbol,
        .session = (uint8_t)(tape->enters++ % tape->options->session_count),
        .kind = LOAD_ENTER,
        .side = side,
        .time_in_force = LOAD_TIF_DAY,
    };
    step.ref = load_day_new_ref(tape->day, step.session);
    load_day_push(tape->day, &step);
    struct tape_order order = {
        .id = id,
        .ref = step.ref,
        .price = step.price,
        .open = step.quantity,
        .symbol = symbol,
        .session = step.session,
        .side = side,
    };
    if (!table_insert(&tape->orders, &order))
        tape->day->out_of_memory = true;
}

// Removes `shares`; all that is left when they are not fewer.
static void tape_cancel(struct tape *tape, struct tape_order *order, uint64_t shares)
{
    struct load_step step = {
        .ref = order->ref,
        .symbol = order->symbol,
        .session = order->session,
        .kind = LOAD_CANCEL,
    };
    if (shares == 0) {
        tape->counts->malformed++;
        return;
    }
    if (shares < order->open) {
        order->open -= (uint32_t)shares;
        step.quantity = order->executed + order->open;
    } else {
        table_remove(&tape->orders, order);
    }
    load_day_push(tape->day, &step);
}

static void tape_execute(struct tape *tape, struct tape_order *order, uint64_t shares)
{
    if (shares == 0) {
        tape->counts->malformed++;
        return;
    }
    uint8_t session = (uint8_t)((order->session + 1u) % tape->options->session_count);
    struct load_step step = {
        .ref = load_day_new_ref(tape->day, session),
        .quantity = shares < order->open ? (uint32_t)shares : order->open,
        .price = order->price,
        .symbol = order->symbol,
        .session = session,
        .kind = LOAD_ENTER,
        .side = !order->side,
        .time_in_force = LOAD_TIF_IOC,
    };
    load_day_push(tape->day, &step);
    order->open -= step.quantity;
    order->executed += step.quantity;
    if (order->open == 0)
        table_remove(&tape->orders, order);
}

static void tape_replace(struct tape *tape, struct tape_order *order, uint64_t id, uint64_t shares,
                         uint64_t price)
{
    if (shares == 0 || price == 0 || table_find(&tape->orders, id) != NULL) {
        tape->counts->malformed++;
        return;
    }
    struct tape_order old = *order;
    uint32_t open = fit(tape, shares, QUANTITY_MAX - old.executed);
    if (open == 0) {
        tape_cancel(tape, order, old.open);
        return;
    }
    struct load_step step = {
        .ref = load_day_new_ref(tape->day, old.session),
        .orig_ref = old.ref,
        .quantity = old.executed + open,
        .price = fit(tape, price, PRICE_MAX),
        .symbol = old.symbol,
        .session = old.session,
        .kind = LOAD_REPLACE,
    };
    load_day_push(tape->day, &step);
    table_remove(&tape->orders, order);
    old.id = id;
    old.ref = step.ref;
    old.price = step.price;
    old.open = open;
    if (!table_insert(&tape->orders, &old))
        tape->day->out_of_memory = true;
}

// ITCH.

// The symbol's index, or NO_INSTRUMENT when it was not asked for.
// A tape's clock does not run backwards.
static void tape_time(struct tape *tape, uint64_t time_ns)
{
    if (time_ns > tape->day->now_ns)
        tape->day->now_ns = time_ns;
}

static uint16_t tape_symbol(struct tape *tape, const char name[8])
{
    uint16_t symbol = symbols_find(&tape->symbols, name);
    if (symbol == NO_INSTRUMENT && tape->options->symbol_count == 0)
        symbol = symbols_add(&tape->symbols, name);
    return symbol;
}

static void itch_add(struct tape *tape, const struct itch_add *add)
{
    uint16_t symbol = tape_symbol(tape, add->stock);
    if (symbol == NO_INSTRUMENT) {
        tape->other_locate[be16_load(add->head.stock_locate)] = true;
        tape->counts->other_symbol++;
        return;
    }
    if (add->side != 'B' && add->side != 'S') {
        tape->counts->malformed++;
        return;
    }
    tape_enter(tape, be64_load(add->order_ref), add->side == 'B' ? SIDE_BUY : SIDE_SELL,
               be32_load(add->shares), be32_load(add->price), symbol);
}

// E, C, X, D and U have the order's reference in the same place.
static void itch_change(struct tape *tape, const uint8_t *message)
{
    const struct itch_delete *any = (const void *)message;
    const struct itch_executed *executed = (const void *)message;
    const struct itch_cancel *canceled = (const void *)message;
    const struct itch_replace *replaced = (const void *)message;
    struct tape_order *order = table_find(&tape->orders, be64_load(any->order_ref));
    if (order == NULL) {
        if (tape->other_locate[be16_load(any->head.stock_locate)])
            tape->counts->other_symbol++;
        else
            tape->counts->unknown_order++;
        return;
    }
    if (message[0] == ITCH_DELETE)
        tape_cancel(tape, order, order->open);
    else if (message[0] == ITCH_CANCEL)
        tape_cancel(tape, order, be32_load(canceled->shares));
    else if (message[0] == ITCH_REPLACE)
        tape_replace(tape, order, be64_load(replaced->order_ref), be32_load(replaced->shares),
                     be32_load(replaced->price));
    else
        tape_execute(tape, order, be32_load(executed->shares));
}

static void itch_message(struct tape *tape, const uint8_t *message)
{
    tape->counts->messages++;
    tape_time(tape, be48_load(((const struct itch_head *)message)->time_ns));
    switch (message[0]) {
    case ITCH_ADD:
    case ITCH_ADD_MPID: // the attribution comes behind the fields of the other
        itch_add(tape, (const void *)message);
        break;
    case ITCH_EXECUTED:
    case ITCH_EXECUTED_PRICE:
    case ITCH_CANCEL:
    case ITCH_DELETE:
    case ITCH_REPLACE:
        itch_change(tape, message);
        break;
    default:
        tape->counts->no_order++;
    }
}

static bool itch_size_right(const uint8_t *message, size_t size)
{
    return size > 0 && itch_message_size(message[0]) == size;
}

// The message that begins with its length at `offset`, and the offset behind it; false at a cut.
static bool next_block(struct bytes file, size_t *offset, struct bytes *message)
{
    be16 size;
    if (file.size - *offset < sizeof(size))
        return false;
    memcpy(&size, file.start + *offset, sizeof(size));
    *message = (struct bytes){file.start + *offset + sizeof(size), be16_load(size)};
    if (file.size - *offset - sizeof(size) < message->size)
        return false;
    *offset += sizeof(size) + message->size;
    return true;
}

static int read_binary_file(struct tape *tape, struct bytes file, struct error *error)
{
    struct bytes message;
    for (size_t offset = 0; offset < file.size && !tape_full(tape);) {
        size_t start = offset;
        if (!next_block(file, &offset, &message))
            return error_set(error,
                             "load: %s: the ITCH file is cut off at byte %zu; fetch it again",
                             tape->path, start);
        if (message.size == 0)
            continue;
        if (!itch_size_right(message.start, message.size))
            return error_set(error,
                             "load: %s: at byte %zu, a message of %zu bytes and type 0x%02X "
                             "is not ITCH 5.0",
                             tape->path, start, message.size, message.start[0]);
        itch_message(tape, message.start);
    }
    return 0;
}

// MoldUDP64 in pcap.

struct mold_stream {
    bool found;
    char session[10];
    uint64_t expected;
};

static int any_shard(void *context, uint32_t address, uint16_t port)
{
    (void)context, (void)address, (void)port;
    return 0;
}

// The payload is a whole packet of MoldUDP64 data with ITCH in it.
static bool mold_valid(struct bytes payload, const struct mold_header *header)
{
    uint32_t count = be16_load(header->count);
    size_t offset = sizeof(*header);
    struct bytes message;
    if (count == MOLD_COUNT_HEARTBEAT || count == MOLD_COUNT_END_OF_SESSION)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!next_block(payload, &offset, &message))
            return false;
        if (message.size != 0 && !itch_size_right(message.start, message.size))
            return false;
    }
    return offset == payload.size;
}

static void mold_packet(struct tape *tape, struct mold_stream *stream, struct bytes payload)
{
    const struct mold_header *header = (const void *)payload.start;
    if (payload.size < sizeof(*header) || !mold_valid(payload, header)) {
        tape->counts->packets_other++;
        return;
    }
    if (!stream->found) {
        stream->found = true;
        memcpy(stream->session, header->session, sizeof(stream->session));
    }
    uint64_t sequence = be64_load(header->sequence);
    uint32_t count = be16_load(header->count);
    if (memcmp(stream->session, header->session, sizeof(stream->session)) != 0 ||
        sequence + count <= stream->expected) {
        tape->counts->packets_other++;
        return;
    }
    size_t offset = sizeof(*header);
    struct bytes message;
    for (uint64_t i = sequence; i < sequence + count && !tape_full(tape); i++) {
        if (!next_block(payload, &offset, &message))
            break;
        if (i >= stream->expected && message.size > 0)
            itch_message(tape, message.start);
    }
    stream->expected = sequence + count;
}

static int read_pcap_packets(struct tape *tape, pcap_t *pcap, struct error *error)
{
    struct mold_stream stream = {.found = false};
    struct pcap_pkthdr *header;
    const uint8_t *frame;
    int status;
    while (!tape_full(tape) && (status = pcap_next_ex(pcap, &header, &frame)) != PCAP_ERROR_BREAK) {
        if (status != 1)
            return error_set(error, "load: %s: %s; capture it again", tape->path,
                             pcap_geterr(pcap));
        struct packet packet;
        uint32_t shard;
        if (packet_parse(frame, header->caplen, any_shard, NULL, &packet, &shard) !=
            STEER_REDIRECT) {
            tape->counts->packets_other++;
            continue;
        }
        mold_packet(tape, &stream, (struct bytes){packet.payload, packet.payload_size});
    }
    return 0;
}

static int read_pcap(struct tape *tape, struct error *error)
{
    char reason[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline(tape->path, reason);
    if (pcap == NULL)
        return error_set(error, "load: cannot read the pcap: %s", reason);
    int status = -1;
    if (pcap_datalink(pcap) != DLT_EN10MB)
        error_set(error,
                  "load: %s: its packets are not Ethernet frames; capture from an interface "
                  "rather than from 'any'",
                  tape->path);
    else
        status = read_pcap_packets(tape, pcap, error);
    pcap_close(pcap);
    return status;
}

// LOBSTER.

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
    struct tape_order *order = table_find(seen, line->id);
    if (order == NULL) {
        struct tape_order first = {.id = line->id, .ref = 1};
        if (line->type != LOBSTER_NEW) {
            if (older_add(tape, line) == NULL)
                return false;
            first.open = (uint32_t)tape->older_count;
        }
        if (!table_insert(seen, &first))
            return false;
        order = table_find(seen, line->id);
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
    if (!table_open(&seen, 65536))
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
        struct tape_order *order = table_find(&tape->orders, heap->entries[0].id);
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
    struct tape_order *order = table_find(&tape->orders, id);
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
    return table_find(&tape->orders, id);
}

// It trades before any other, so none ranks above it.
static void execute_line(struct tape *tape, const struct line *line, const struct tape_order *order)
{
    cancel_vanished(tape, order->side, rank_of(order->side, order->price, order->arrival));
    tape_execute(tape, table_find(&tape->orders, line->id), (uint64_t)line->shares);
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

static int read_lobster(struct tape *tape, struct bytes file, struct error *error)
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

// The kinds told apart.

static bool is_pcap(struct bytes file)
{
    static const uint8_t magics[][4] = {
        {0xA1, 0xB2, 0xC3, 0xD4}, {0xD4, 0xC3, 0xB2, 0xA1}, {0xA1, 0xB2, 0x3C, 0x4D},
        {0x4D, 0x3C, 0xB2, 0xA1}, {0x0A, 0x0D, 0x0D, 0x0A}, // pcapng
    };
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        if (file.size >= 4 && memcmp(file.start, magics[i], 4) == 0)
            return true;
    }
    return false;
}

static bool is_binary_file(struct bytes file)
{
    size_t offset = 0;
    struct bytes first = {file.start, 0};
    return next_block(file, &offset, &first) && itch_size_right(first.start, first.size);
}

static int read_tape(struct tape *tape, struct bytes file, struct error *error)
{
    if (is_pcap(file))
        return read_pcap(tape, error);
    if (file.start[0] >= '0' && file.start[0] <= '9')
        return read_lobster(tape, file, error);
    if (is_binary_file(file))
        return read_binary_file(tape, file, error);
    return error_set(error,
                     "load: %s is not a tape: neither a LOBSTER message file, nor a pcap, nor an "
                     "ITCH 5.0 BinaryFILE (unpack it first if it is compressed)",
                     tape->path);
}

static int map_file(const char *path, struct bytes *file, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        error_set(error, "load: cannot open the tape %s: %s", path, strerror(errno));
    } else if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        error_set(error, "load: the tape %s is not a file with anything in it", path);
    } else {
        file->size = (size_t)status.st_size;
        void *start = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
        file->start = start == MAP_FAILED ? NULL : start;
        if (file->start == NULL)
            error_set(error, "load: cannot map the tape %s: %s", path, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return file->start == NULL ? -1 : 0;
}

static bool tape_open(struct tape *tape)
{
    tape->symbols_memory = malloc(symbols_memory_size(SYMBOLS_MAX));
    if (tape->symbols_memory == NULL || !table_open(&tape->orders, 65536))
        return false;
    symbols_init(&tape->symbols, tape->symbols_memory, SYMBOLS_MAX);
    for (uint32_t i = 0; i < tape->options->symbol_count; i++)
        symbols_add(&tape->symbols, tape->options->symbols[i]);
    return true;
}

static bool take_symbols(struct tape *tape)
{
    struct load_day *day = tape->day;
    day->symbol_count = tape->symbols.count;
    day->symbols = malloc(day->symbol_count * sizeof(*day->symbols));
    if (day->symbols == NULL)
        return false;
    memcpy(day->symbols, tape->symbols.names, day->symbol_count * sizeof(*day->symbols));
    return true;
}

int load_tape_read(const char *path, const struct load_tape_options *options, struct load_day *day,
                   struct load_tape_counts *counts, struct error *error)
{
    *day =
        (struct load_day){.session_count = options->session_count, .ordered = true, .timed = true};
    *counts = (struct load_tape_counts){0};
    struct bytes file = {NULL, 0};
    if (map_file(path, &file, error) != 0)
        return -1;
    int status = -1;
    struct tape *tape = calloc(1, sizeof(*tape));
    if (tape != NULL) {
        *tape = (struct tape){.path = path, .options = options, .day = day, .counts = counts};
        bool whole = tape_open(tape);
        status = whole ? read_tape(tape, file, error) : 0;
        if (!whole || day->out_of_memory)
            status = error_set(error, "load: %s: no memory for its orders", path);
        else if (status == 0 && day->count == 0)
            status =
                error_set(error, "load: %s: no order in its %llu messages is of a symbol asked for",
                          path, (unsigned long long)counts->messages);
        else if (status == 0 && !take_symbols(tape))
            status = error_set(error, "load: %s: no memory for its symbols", path);
        free(tape->orders.slots);
        free(tape->symbols_memory);
        free(tape->older);
        free(tape->heaps[SIDE_BUY].entries);
        free(tape->heaps[SIDE_SELL].entries);
        free(tape);
    } else {
        error_set(error, "load: no memory to read a tape");
    }
    munmap((void *)file.start, file.size);
    return status;
}
