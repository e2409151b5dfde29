// SPDX-License-Identifier: MIT
//
// adapter: the book behind the C interface of a public benchmark of matching engines,
// github.com/flash1-dev/matching-engine-benchmark (MIT). `make adapter API=path/to/its/header`
// builds it as the shared object that the benchmark loads; nothing of the benchmark is kept here.
//
// Their messages become commands of one session on one instrument. Their order ids come in any
// order and may be used again, a UserRefNum only ever rises: a flat table by id says which
// UserRefNum an id has now, a second one by UserRefNum says whose it is. That costs one load for a
// cancel or a modify (from 4 bytes for each id) and one for each maker of a trade (from 8 bytes for
// each order). Their modify states the shares to be open, OUCH's Replace the intended total, so
// the second table also counts what has executed.
//
// Messages that are handed over as a batch are translated a few ahead of their turn and announced
// to the book, which fetches the lines they will touch. Translation depends on the order of the
// messages alone, never on what became of earlier ones, so that no result can differ.
#pragma GCC visibility push(default) // what they declare is all that the shared object shows
#include ADAPTER_API
#pragma GCC visibility pop

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "book/book.h"
#include "numa/ring.h"

#define ORDERS_MAX    (1u << 20)
#define PRICE_TICK    100u // our price units for a tick of theirs
#define IDS           (1ull << 32)
#define TOUCHED_BYTES (32u << 20) // of each table, before the clock starts
#define TABLE_AHEAD   32u         // messages
#define COMMAND_AHEAD 16u         // messages, a power of two
#define EVENTS        16u         // of one command, before they are turned into reports
#define PUBLISH_EVERY 32u         // reports

struct client_order { // by UserRefNum
    uint32_t id;
    uint32_t executed; // shares, with those of the orders it replaced
};

static struct {
    struct book *book;
    void *memory;
    struct event_sink sink;
    struct event events[EVENTS];
    struct command commands[COMMAND_AHEAD];
    uint32_t *user_refs; // by id; 0 for none
    struct client_order *orders;
    uint32_t user_ref_last;
    struct ring *reports;
    uint32_t report_room;     // slots known to be free
    uint32_t report_count;    // written, not yet published
    uint64_t sequence_number; // of the message being applied
    uint64_t order_id;
    bool answered; // it has caused an event
} engine;

// Reports.

static void publish(void)
{
    ring_commit(engine.reports, engine.report_count);
    engine.report_room -= engine.report_count;
    engine.report_count = 0;
}

static me_report_t *report_next(void)
{
    if (engine.report_count == PUBLISH_EVERY)
        publish();
    while (engine.report_count == engine.report_room) {
        publish();
        engine.report_room = ring_writable(engine.reports, PUBLISH_EVERY);
    }
    return ring_write_slot(engine.reports, engine.report_count++);
}

static void report(me_report_type_t type, const struct event *event)
{
    *report_next() = (me_report_t){
        .type = (uint8_t)type,
        .side = event->side,
        .sequence_number = engine.sequence_number,
        .order_id = engine.order_id,
        .price_ticks = event->price / PRICE_TICK,
        .quantity = event->quantity,
    };
}

static void report_reject(me_report_type_t type)
{
    *report_next() = (me_report_t){
        .type = (uint8_t)type,
        .sequence_number = engine.sequence_number,
        .order_id = engine.order_id,
    };
}

static void report_trade(const struct event *event, uint64_t maker_id)
{
    *report_next() = (me_report_t){
        .type = ME_TRADE,
        .sequence_number = engine.sequence_number,
        .price_ticks = event->price / PRICE_TICK,
        .quantity = event->quantity,
        .maker_order_id = maker_id,
        .taker_order_id = engine.order_id,
    };
}

static void report_event(const struct event *event)
{
    struct client_order *order = &engine.orders[event->user_ref_num];
    switch (event->type) {
    case EVENT_ACCEPTED:
        report(ME_ORDER_ACK, event);
        break;
    case EVENT_REPLACED:
        order->executed = engine.orders[event->orig_user_ref_num].executed;
        report(ME_MODIFY_ACK, event);
        break;
    case EVENT_CANCELED:
        report(ME_CANCEL_ACK, event);
        break;
    case EVENT_EXECUTED:
        order->executed += event->quantity;
        if (event->code != 'R')
            report_trade(event, order->id);
        break;
    }
}

static void report_events(struct event_sink *sink)
{
    for (const struct event *event = engine.events; event < sink->next; event++)
        report_event(event);
    engine.answered = engine.answered || sink->next > engine.events;
    sink->next = engine.events;
}

// Messages into commands.

static uint32_t user_ref_new(uint64_t id)
{
    uint32_t user_ref_num = ++engine.user_ref_last;
    engine.user_refs[id] = user_ref_num;
    engine.orders[user_ref_num] = (struct client_order){.id = (uint32_t)id};
    return user_ref_num;
}

static void translate_new(const new_order_t *message, struct command *command)
{
    command->type = COMMAND_ENTER;
    command->side = message->side ? SIDE_SELL : SIDE_BUY;
    command->order.user_ref_num = user_ref_new(message->order_id);
    command->order.quantity = message->quantity;
    command->order.price = (uint32_t)message->price_ticks * PRICE_TICK;
    command->order.attributes.time_in_force = message->ioc ? TIF_IOC : TIF_DAY;
}

static void translate_cancel(const cancel_t *message, struct command *command)
{
    command->type = COMMAND_CANCEL;
    command->order.user_ref_num = engine.user_refs[message->order_id];
    command->order.quantity = 0;
}

static void translate_modify(const modify_t *message, struct command *command)
{
    command->type = COMMAND_REPLACE;
    command->order.orig_user_ref_num = engine.user_refs[message->order_id];
    command->order.user_ref_num = user_ref_new(message->order_id);
    command->order.quantity = message->new_quantity;
    command->order.price = (uint32_t)message->new_price_ticks * PRICE_TICK;
    command->order.attributes.time_in_force = TIF_DAY;
}

static void apply(struct command *command, uint64_t sequence_number, uint64_t order_id)
{
    engine.sequence_number = sequence_number;
    engine.order_id = order_id;
    engine.answered = false;
    if (command->type == COMMAND_REPLACE) // what of it has executed is known only now
        command->order.quantity += engine.orders[command->order.orig_user_ref_num].executed;
    book_apply(engine.book, command, &engine.sink);
    report_events(&engine.sink);
    if (!engine.answered)
        report_reject(command->type == COMMAND_CANCEL ? ME_CANCEL_REJECT : ME_MODIFY_REJECT);
}

// Their interface: messages.

void engine_on_new_order(const new_order_t *message)
{
    translate_new(message, &engine.commands[0]);
    apply(&engine.commands[0], message->sequence_number, message->order_id);
}

void engine_on_cancel(const cancel_t *message)
{
    translate_cancel(message, &engine.commands[0]);
    apply(&engine.commands[0], message->sequence_number, message->order_id);
}

void engine_on_modify(const modify_t *message)
{
    translate_modify(message, &engine.commands[0]);
    apply(&engine.commands[0], message->sequence_number, message->order_id);
}

static void announce(const me_msg_t *message, struct command *command)
{
    switch (message->type) {
    case 0:
        translate_new(&message->no, command);
        break;
    case 1:
        translate_cancel(&message->c, command);
        break;
    default:
        translate_modify(&message->md, command);
        break;
    }
    book_prefetch(engine.book, command, 1);
}

void engine_on_batch(const me_msg_t *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count + COMMAND_AHEAD; i++) {
        struct command *command = &engine.commands[i % COMMAND_AHEAD];
        if (i >= COMMAND_AHEAD) { // the id and the sequence number come first in all three kinds
            const cancel_t *message = &messages[i - COMMAND_AHEAD].c;
            apply(command, message->sequence_number, message->order_id);
        }
        if (i + TABLE_AHEAD < count)
            __builtin_prefetch(&engine.user_refs[messages[i + TABLE_AHEAD].c.order_id]);
        if (i < count)
            announce(&messages[i], command);
    }
}

void engine_flush(void)
{
    publish();
}

// Their interface: state.

int64_t engine_query_best_bid(void)
{
    struct book_level level;
    return book_best(engine.book, 0, SIDE_BUY, &level) ? level.price / PRICE_TICK : INT64_MIN;
}

int64_t engine_query_best_ask(void)
{
    struct book_level level;
    return book_best(engine.book, 0, SIDE_SELL, &level) ? level.price / PRICE_TICK : INT64_MAX;
}

uint64_t engine_query_depth_at(int64_t price_ticks, uint8_t side)
{
    return book_depth_at(engine.book, 0, side ? SIDE_SELL : SIDE_BUY,
                         (uint32_t)price_ticks * PRICE_TICK);
}

// Their interface: start and end.

// Address space for `size` bytes, of which the first TOUCHED_BYTES are memory already.
static void *table_map(size_t size)
{
    void *table = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    INVARIANT(table != MAP_FAILED);
    madvise(table, size, MADV_HUGEPAGE);
    memset(table, 0, size < TOUCHED_BYTES ? size : TOUCHED_BYTES);
    return table;
}

void engine_init(uint64_t seed, const me_transport_t *transport, void *report_sink)
{
    (void)seed;
    (void)transport; // the one below
    struct book_limits limits = {.orders_max = ORDERS_MAX, .instruments_max = 1, .sessions_max = 1};
    struct command opening[] = {
        {.type = COMMAND_OPEN, .open.limits = limits},
        {.type = COMMAND_INSTRUMENT, .listing.symbol = "BENCH  "},
        {.type = COMMAND_SESSION},
        {.type = COMMAND_START},
    };
    size_t size = book_memory_size(&limits);
    memset(&engine, 0, sizeof(engine));
    engine.reports = report_sink;
    engine.memory = table_map(size);
    engine.book = book_open(engine.memory, &limits);
    engine.user_refs = table_map(IDS * sizeof(engine.user_refs[0]));
    engine.orders = table_map(IDS * sizeof(engine.orders[0]));
    engine.sink = (struct event_sink){
        .next = engine.events, .end = engine.events + EVENTS, .more = report_events};
    for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
        book_apply(engine.book, &opening[i], &engine.sink);
        engine.sink.next = engine.events;
    }
}

void engine_shutdown(void)
{
    struct book_limits limits = {.orders_max = ORDERS_MAX, .instruments_max = 1, .sessions_max = 1};
    munmap(engine.memory, book_memory_size(&limits));
    munmap(engine.user_refs, IDS * sizeof(engine.user_refs[0]));
    munmap(engine.orders, IDS * sizeof(engine.orders[0]));
}

// Their interface: the queue that carries reports to the thread that reads them.

static void *transport_create(uint32_t capacity)
{
    uint32_t slots = 2;
    while (slots < capacity)
        slots *= 2;
    size_t huge = 2u << 20, size = (ring_memory_size(slots) + huge - 1) & ~(huge - 1);
    void *memory = aligned_alloc(huge, size);
    if (!memory)
        return NULL;
    madvise(memory, size, MADV_HUGEPAGE);
    memset(memory, 0, size);
    return ring_init(memory, slots);
}

static int transport_push(void *handle, const me_report_t *message)
{
    if (ring_writable(handle, 1) == 0)
        return 0;
    *(me_report_t *)ring_write_slot(handle, 0) = *message;
    ring_commit(handle, 1);
    return 1;
}

static uint32_t transport_drain(void *handle, me_report_t *out, uint32_t max)
{
    uint32_t count = ring_readable(handle, max);
    count = count < max ? count : max;
    for (uint32_t i = 0; i < count; i++)
        out[i] = *(const me_report_t *)ring_read_slot(handle, i);
    ring_release(handle, count);
    return count;
}

static void transport_flush(void *handle)
{
    (void)handle; // engine_flush has published all
}

static void transport_destroy(void *handle)
{
    free(handle);
}

const me_transport_t *engine_get_transport(void)
{
    static const me_transport_t transport = {transport_create, transport_push, transport_drain,
                                             transport_flush, transport_destroy};
    return &transport;
}
