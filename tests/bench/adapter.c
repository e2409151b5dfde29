// SPDX-License-Identifier: MIT
//
// adapter: the book behind the C interface of a public benchmark of matching engines,
// github.com/flash1-dev/matching-engine-benchmark (MIT). `make adapter API=path/to/its/header`
// builds it as the shared object that the benchmark loads; nothing of the benchmark is kept here.
//
// Their messages become commands of one session on one instrument, before the clock starts where
// the benchmark says so (engine_prebuild: translation only). Their order ids come in any order and
// may be used again, a UserRefNum only ever rises: a table by id says which UserRefNum an id was
// given last, as a client would know. That depends on the messages alone, never on what became of
// them; finding the order by its UserRefNum is the book's work, and timed. Their modify states the
// shares to be open, OUCH's Replace the intended total, so a table by UserRefNum counts what has
// executed. A command without an event is what their interface calls a reject.
#pragma GCC visibility push(default) // what they declare is all that the shared object shows
#include ADAPTER_API
#pragma GCC visibility pop

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "book/book.h"
#include "numa/ring.h"

#define ORDERS_MAX    (1u << 18)
#define PRICE_TICK    100u // our price units for a tick of theirs
#define IDS           (1ull << 32)
#define MESSAGES_MAX  (1u << 26)    // address space only
#define TOUCHED_BYTES (32ull << 20) // of each table, before the clock starts
#define EVENTS        64u
#define PUBLISH_EVERY 32u // reports

struct client_order { // by UserRefNum
    uint32_t id;
    uint32_t executed; // shares, with those of the orders it replaced
};

static struct {
    struct book *book;
    void *memory;
    struct event_sink sink;
    struct event events[EVENTS];
    struct command *commands; // by message; time_ns: their sequence number
    uint64_t translated;
    uint64_t applied;
    uint64_t reported;   // messages whose reports are written
    uint64_t opening;    // commands before the first message
    uint32_t *user_refs; // by id; 0 for none
    struct client_order *orders;
    uint32_t user_ref_last;
    struct ring *reports;
    uint32_t report_room;  // slots known to be free
    uint32_t report_count; // written, not yet published
} engine;

// Reports.

static void publish(void)
{
    ring_commit(engine.reports, engine.report_count);
    engine.report_room -= engine.report_count;
    engine.report_count = 0;
}

static inline me_report_t *report_next(void)
{
    if (engine.report_count == PUBLISH_EVERY)
        publish();
    while (engine.report_count == engine.report_room) {
        publish();
        engine.report_room = ring_writable(engine.reports, PUBLISH_EVERY);
    }
    return ring_write_slot(engine.reports, engine.report_count++);
}

static inline uint64_t id_of(const struct command *command)
{
    uint64_t id;
    memcpy(&id, command->order.client_order_id, sizeof(id));
    return id;
}

static inline void report(me_report_type_t type, const struct command *command,
                          const struct event *event)
{
    *report_next() = (me_report_t){
        .type = (uint8_t)type,
        .side = event->side,
        .sequence_number = command->time_ns,
        .order_id = id_of(command),
        .price_ticks = event->price / PRICE_TICK,
        .quantity = event->quantity,
    };
}

static void report_reject(const struct command *command)
{
    *report_next() = (me_report_t){
        .type = command->type == COMMAND_CANCEL ? ME_CANCEL_REJECT : ME_MODIFY_REJECT,
        .sequence_number = command->time_ns,
        .order_id = id_of(command),
    };
}

static void report_trade(const struct command *command, const struct event *event,
                         uint64_t maker_id)
{
    *report_next() = (me_report_t){
        .type = ME_TRADE,
        .sequence_number = command->time_ns,
        .price_ticks = event->price / PRICE_TICK,
        .quantity = event->quantity,
        .maker_order_id = maker_id,
        .taker_order_id = id_of(command),
    };
}

static inline void report_event(const struct event *event)
{
    uint64_t message = event->seq - engine.opening - 1;
    const struct command *command = &engine.commands[message];
    while (engine.reported < message)
        report_reject(&engine.commands[engine.reported++]);
    engine.reported = message + 1;
    struct client_order *order = &engine.orders[event->user_ref_num];
    switch (event->type) {
    case EVENT_ACCEPTED:
        report(ME_ORDER_ACK, command, event);
        break;
    case EVENT_REPLACED:
        order->executed = engine.orders[event->orig_user_ref_num].executed;
        report(ME_MODIFY_ACK, command, event);
        break;
    case EVENT_CANCELED:
        report(ME_CANCEL_ACK, command, event);
        break;
    case EVENT_EXECUTED:
        order->executed += event->quantity;
        if (event->code != 'R')
            report_trade(command, event, order->id);
        break;
    }
}

static void report_events(struct event_sink *sink)
{
    for (const struct event *event = engine.events; event < sink->next; event++)
        if (event->session != FEED_SESSION)
            report_event(event);
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
    *command = (struct command){
        .type = COMMAND_ENTER,
        .side = message->side ? SIDE_SELL : SIDE_BUY,
        .order.user_ref_num = user_ref_new(message->order_id),
        .order.quantity = message->quantity,
        .order.price = (uint32_t)message->price_ticks * PRICE_TICK,
        .order.attributes.time_in_force = message->ioc ? TIF_IOC : TIF_DAY,
    };
}

static void translate_cancel(const cancel_t *message, struct command *command)
{
    *command = (struct command){
        .type = COMMAND_CANCEL,
        .order.user_ref_num = engine.user_refs[message->order_id],
    };
}

static void translate_modify(const modify_t *message, struct command *command)
{
    uint32_t old = engine.user_refs[message->order_id];
    *command = (struct command){
        .type = COMMAND_REPLACE,
        .order.orig_user_ref_num = old,
        .order.user_ref_num = user_ref_new(message->order_id),
        .order.quantity = message->new_quantity,
        .order.price = (uint32_t)message->new_price_ticks * PRICE_TICK,
    };
}

void engine_prebuild(uint8_t type, const void *message)
{
    struct command *command = &engine.commands[engine.translated++];
    if (type == 0)
        translate_new(message, command);
    else if (type == 1)
        translate_cancel(message, command);
    else
        translate_modify(message, command);
    const cancel_t *head = message; // id and sequence number come first in all three kinds
    command->time_ns = head->sequence_number;
    memcpy(command->order.client_order_id, &head->order_id, sizeof(head->order_id));
}

// The next `count` messages, of which none but the first is a replacement: what the old order of
// one has executed is known when all before it has been reported.
static void apply_run(uint32_t count)
{
    struct command *commands = &engine.commands[engine.applied];
    if (commands[0].type == COMMAND_REPLACE)
        commands[0].order.quantity += engine.orders[commands[0].order.orig_user_ref_num].executed;
    book_apply_batch(engine.book, commands, count, &engine.sink);
    report_events(&engine.sink);
    engine.applied += count;
    while (engine.reported < engine.applied)
        report_reject(&engine.commands[engine.reported++]);
}

// Their interface: messages.

static void apply_next(uint8_t type, const void *message)
{
    if (engine.applied == engine.translated) // it was not announced
        engine_prebuild(type, message);
    apply_run(1);
}

void engine_on_new_order(const new_order_t *message)
{
    apply_next(0, message);
}

void engine_on_cancel(const cancel_t *message)
{
    apply_next(1, message);
}

void engine_on_modify(const modify_t *message)
{
    apply_next(2, message);
}

void engine_on_batch(const me_msg_t *messages, uint32_t count)
{
    for (uint32_t i = 0; engine.translated < engine.applied + count; i++)
        engine_prebuild(messages[i].type, &messages[i].no);
    uint64_t end = engine.applied + count;
    while (engine.applied < end) {
        uint32_t run = 1;
        while (engine.applied + run < end &&
               engine.commands[engine.applied + run].type != COMMAND_REPLACE)
            run++;
        apply_run(run);
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
    engine.orders = table_map(MESSAGES_MAX * sizeof(engine.orders[0]));
    engine.commands = table_map(MESSAGES_MAX * sizeof(engine.commands[0]));
    engine.sink = (struct event_sink){
        .next = engine.events, .end = engine.events + EVENTS, .more = report_events};
    for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++) {
        book_apply(engine.book, &opening[i], &engine.sink);
        engine.sink.next = engine.events;
    }
    engine.opening = book_seq(engine.book);
}

void engine_shutdown(void)
{
    struct book_limits limits = {.orders_max = ORDERS_MAX, .instruments_max = 1, .sessions_max = 1};
    munmap(engine.memory, book_memory_size(&limits));
    munmap(engine.user_refs, IDS * sizeof(engine.user_refs[0]));
    munmap(engine.orders, MESSAGES_MAX * sizeof(engine.orders[0]));
    munmap(engine.commands, MESSAGES_MAX * sizeof(engine.commands[0]));
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
