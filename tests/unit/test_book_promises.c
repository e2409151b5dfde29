// SPDX-License-Identifier: MIT
//
// What book.h promises besides its events, of random flows: hashes are equal where states are, the
// feed alone has the visible book, nothing is allocated, the kernel is not called, and a batch is
// its commands one by one. SEED and COUNT: trace.h.
// computes: every change to every command
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/unit/trace.h"

// What the hash says: the reference decides which states are the same.

static struct event hash_space[COLLECTOR_SLOTS];

static void forget_events(struct event_sink *sink)
{
    sink->next = hash_space;
}

static uint64_t hash_after(struct book_memory *memory, const struct trace *trace,
                           struct reference *reference)
{
    reference_open(reference, &trace->limits);
    struct book *book = book_open(memory->book, &trace->limits);
    struct event_sink sink = {hash_space, hash_space + COLLECTOR_SLOTS, forget_events, NULL};
    for (uint32_t i = 0; i < trace->count; i++) {
        reference_apply(reference, &trace->commands[i]);
        book_apply(book, &trace->commands[i], &sink);
    }
    return book_hash(book);
}

#define MUTATION_COUNT 18

static const char *const mutation_names[MUTATION_COUNT] = {"quantity + 1",
                                                           "quantity - 1",
                                                           "price + 100",
                                                           "user_ref_num + 1",
                                                           "another session",
                                                           "side ^ 1",
                                                           "side ^ 2",
                                                           "another display",
                                                           "another verdict",
                                                           "cancel for modify or modify for cancel",
                                                           "another firm",
                                                           "max_floor + 50",
                                                           "random_reserve + 5",
                                                           "midpoint for none, market for primary",
                                                           "self_match ^ 4",
                                                           "seconds + 1",
                                                           "its session's firm, named",
                                                           "exchanged with the next"};

// One change to one command, none of which touches a field that only the command's own answer
// shows.
static void mutate(struct trace *trace, uint32_t index, uint32_t mutation)
{
    struct command *c = &trace->commands[index];
    struct command before = *c;
    switch (mutation) {
    case 0:
        c->order.quantity++;
        break;
    case 1:
        c->order.quantity--;
        break;
    case 2:
        c->order.price += 100;
        break;
    case 3:
        c->order.user_ref_num++;
        break;
    case 4:
        c->session ^= 1;
        break;
    case 5:
        c->side ^= 1;
        break;
    case 6:
        c->side ^= 2;
        break;
    case 7:
        c->order.attributes.display ^= 1;
        break;
    case 8:
        c->verdict ^= REJECT_HALTED;
        break;
    case 9:
        c->type = c->type == COMMAND_CANCEL ? COMMAND_MODIFY : COMMAND_CANCEL;
        break;
    case 10:
        c->order.firm[0] ^= 1;
        break;
    case 11:
        c->order.max_floor += 50;
        break;
    case 12:
        c->order.random_reserve += 5;
        break;
    case 13:
        c->order.attributes.peg ^= 1;
        break;
    case 14:
        c->order.attributes.self_match ^= 4;
        break;
    case 15:
        c->order.expire_seconds++;
        break;
    case 16:
        if (c->type == COMMAND_ENTER)
            memcpy(c->order.firm, session_firms[c->session % 4], 4);
        break;
    default:
        if (index + 1 < trace->count) {
            *c = c[1];
            c[1] = before;
        }
    }
}

static void check_hashes(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct reference base, mutant;
    uint64_t base_hash = hash_after(&memory, trace, &base);
    uint32_t fixed = 2u + trace->limits.instruments_max + trace->limits.sessions_max;
    trace->failed_index = trace->count - 1;
    for (uint32_t i = fixed; i < trace->count; i++) {
        for (uint32_t mutation = 0; mutation < MUTATION_COUNT; mutation++) {
            struct command kept[2] = {trace->commands[i],
                                      trace->commands[i + 1 < trace->count ? i + 1 : i]};
            mutate(trace, i, mutation);
            uint64_t hash = hash_after(&memory, trace, &mutant);
            trace->commands[i] = kept[0];
            trace->commands[i + 1 < trace->count ? i + 1 : i] = kept[1];
            bool same = reference_same_state(&base, &mutant);
            AGREE(same == (hash == base_hash), "command %u, %s: %s, but %s", i,
                  mutation_names[mutation],
                  same ? "the state stays the same" : "the state becomes another",
                  same ? "the hash another" : "the hash stays the same");
            reference_close(&mutant);
        }
    }
    reference_close(&base);
    memory_free(&memory);
}

Test(book_promises, hashes_are_equal_exactly_when_the_states_are)
{
    const struct flow flow = {
        FLOW_DEFAULTS,        .limits = {.orders_max = 24, .instruments_max = 2, .sessions_max = 2},
        .trace_length = 36,   .enter = 30,
        .price_width = 2,     .ioc_percent = 10,
        .hidden_percent = 25, .passive_percent = 75,
        .stale_percent = 10};
    uint64_t seed = run_seed();
    uint64_t rounds = 1 + environment_number("COUNT", COUNT_DEFAULT) / 25000;
    fprintf(stderr, "book promises hashes: SEED=%" PRIu64 "\n", seed);
    struct trace *trace = trace_new(flow.trace_length);
    for (uint64_t round = 0; round < rounds; round++) {
        generate(trace, &flow, (seed << 20) + round, flow.trace_length);
        run_trace(trace, check_hashes, seed);
    }
    trace_free(trace, flow.trace_length);
}

// The feed alone: who has heard every message about displayed orders has the whole visible book.

struct heard_order {
    uint64_t order_ref;
    uint32_t price, quantity;
    uint16_t instrument;
    uint8_t side;
};

struct heard {
    struct heard_order orders[512];
    uint32_t count;
};

static struct heard_order *heard_find(struct heard *heard, uint64_t order_ref)
{
    for (uint32_t i = 0; i < heard->count; i++) {
        if (heard->orders[i].order_ref == order_ref)
            return &heard->orders[i];
    }
    differs("the feed names order %" PRIu64 ", which it has not added", order_ref);
}

static void heard_reduce(struct heard *heard, const struct event *e, bool all)
{
    struct heard_order *order = heard_find(heard, e->trade.order_ref);
    bool at_price = order->price == e->price || e->type == EVENT_FEED_EXECUTED_PRICE;
    AGREE(at_price && order->side == e->side && order->instrument == e->instrument &&
              order->quantity >= e->quantity,
          "the feed takes %u from order %" PRIu64 ", which has %u", e->quantity, order->order_ref,
          order->quantity);
    order->quantity -= e->quantity;
    AGREE(!all || order->quantity == 0, "the feed deletes an order that has shares left");
    if (order->quantity == 0)
        *order = heard->orders[--heard->count];
}

static void heard_add(struct heard *heard, const struct event *e, uint64_t order_ref)
{
    AGREE(heard->count < 512 && e->quantity > 0, "the feed adds nothing, or too much");
    heard->orders[heard->count++] =
        (struct heard_order){order_ref, e->price, e->quantity, e->instrument, e->side};
}

static void heard_event(struct heard *heard, const struct event *e)
{
    switch (e->type) {
    case EVENT_FEED_ADD:
        heard_add(heard, e, e->trade.order_ref);
        break;
    case EVENT_FEED_EXECUTED:
    case EVENT_FEED_EXECUTED_PRICE:
    case EVENT_FEED_CANCEL:
        heard_reduce(heard, e, false);
        break;
    case EVENT_FEED_DELETE:
        heard_reduce(heard, e, true);
        break;
    case EVENT_FEED_REPLACE:
        *heard_find(heard, e->trade.order_ref) = heard->orders[heard->count - 1];
        heard->count--;
        heard_add(heard, e, e->seq);
        break;
    }
}

static void compare_heard(const struct heard *heard, const struct book *book, uint16_t instrument,
                          enum side side)
{
    struct book_level levels[512];
    uint32_t count = book_depth(book, instrument, side, levels, 512);
    for (uint32_t i = 0; i < count; i++) {
        struct book_level level = {.price = levels[i].price};
        for (uint32_t j = 0; j < heard->count; j++) {
            const struct heard_order *order = &heard->orders[j];
            if (order->instrument == instrument && order->side == side &&
                order->price == level.price) {
                level.order_count++;
                level.quantity += order->quantity;
            }
        }
        AGREE(level_equal(&level, &levels[i]), "the feed has %u orders, %" PRIu64 " @ %u",
              level.order_count, level.quantity, level.price);
    }
}

static void check_feed(struct trace *trace)
{
    static struct collector collector;
    static struct heard heard;
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct book *book = book_open(memory.book, &trace->limits);
    collector_init(&collector, 1, trace->seed);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        book_apply(book, &trace->commands[i], &collector.sink);
        collector_take(&collector);
        for (uint32_t e = 0; e < collector.count; e++)
            heard_event(&heard, &collector.events[e]);
        collector.count = 0;
        uint32_t visible = 0;
        for (uint16_t instrument = 0; instrument < trace->limits.instruments_max; instrument++) {
            for (int side = SIDE_BUY; side <= SIDE_SELL; side++) {
                struct book_level levels[512];
                uint32_t count = book_depth(book, instrument, side, levels, 512);
                for (uint32_t level = 0; level < count; level++)
                    visible += levels[level].order_count;
                compare_heard(&heard, book, instrument, side);
            }
        }
        AGREE(visible == heard.count, "%u orders are visible, the feed has %u", visible,
              heard.count);
    }
}

Test(book_promises, the_feed_alone_rebuilds_the_visible_book)
{
    const struct flow flow = {
        FLOW_DEFAULTS,        .limits = {.orders_max = 60, .instruments_max = 2, .sessions_max = 3},
        .trace_length = 1000, .hidden_percent = 30,
        .replace = 30,        .price_width = 5,
        .control = 5,         .cross_percent = 10};
    uint64_t seed = run_seed();
    uint64_t rounds = 1 + environment_number("COUNT", COUNT_DEFAULT) / 50000;
    fprintf(stderr, "book promises feed: SEED=%" PRIu64 "\n", seed);
    struct trace *trace = trace_new(flow.trace_length);
    for (uint64_t round = 0; round < rounds; round++) {
        generate(trace, &flow, (seed << 20) + round, flow.trace_length);
        run_trace(trace, check_feed, seed);
    }
    trace_free(trace, flow.trace_length);
}

// Nothing is asked of anybody

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
// Stand in front of the C library's, whose own names these are.
static uint64_t allocation_count;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

void *malloc(size_t size)
{
    allocation_count++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocation_count++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocation_count++;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocation_count++;
    return __libc_memalign(alignment, size);
}

void free(void *memory)
{
    allocation_count += memory != NULL;
    __libc_free(memory);
}

static void check_allocations(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct event_sink sink = {hash_space, hash_space + COLLECTOR_SLOTS, forget_events, NULL};
    free(malloc(1));
    AGREE(allocation_count >= 2, "allocations are not counted");
    uint64_t before = allocation_count;
    struct book *book = book_open(memory.book, &trace->limits);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        book_apply_batch(book, &trace->commands[i], 1, &sink);
        AGREE(allocation_count == before, "memory was allocated or freed");
    }
    book_hash(book);
    AGREE(allocation_count == before, "memory was allocated or freed by book_hash");
}

Test(book_promises, nothing_is_allocated)
{
    const struct flow flow = {FLOW_DEFAULTS, .trace_length = 20000, .hostile_percent = 2};
    struct trace *trace = trace_new(flow.trace_length);
    generate(trace, &flow, 1, flow.trace_length);
    run_trace(trace, check_allocations, 1);
    trace_free(trace, flow.trace_length);
}
#endif

static void check_system_calls(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory memory = memory_new(book_memory_size(&trace->limits), &random);
    struct event_sink sink = {hash_space, hash_space + COLLECTOR_SLOTS, forget_events, NULL};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        return;
    // From here on the kernel kills the process at any system call but exit.
    struct book *book = book_open(memory.book, &trace->limits);
    for (uint32_t i = 0; i < trace->count; i++) {
        trace->failed_index = i;
        book_apply(book, &trace->commands[i], &sink);
    }
    book_hash(book);
    syscall(SYS_exit, 0);
}

Test(book_promises, the_kernel_is_never_called)
{
    const struct flow flow = {FLOW_DEFAULTS, .trace_length = 20000, .hostile_percent = 2};
    struct trace *trace = trace_new(flow.trace_length);
    generate(trace, &flow, 1, flow.trace_length);
    run_trace(trace, check_system_calls, 1);
    trace_free(trace, flow.trace_length);
}

// Batches

static uint64_t hash_events(uint64_t hash, const struct event *event, const struct event *end)
{
    for (; event < end; event++) {
        uint64_t words[8];
        memcpy(words, event, sizeof(words));
        for (int i = 0; i < 8; i++)
            hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ull;
    }
    return hash;
}

struct hashing_sink {
    struct event_sink sink;
    struct event space[8];
    uint64_t hash;
};

static void hash_and_forget(struct event_sink *sink)
{
    struct hashing_sink *hashing = sink->context;
    hashing->hash = hash_events(hashing->hash, hashing->space, sink->next);
    sink->next = hashing->space;
}

static void hashing_open(struct hashing_sink *hashing)
{
    hashing->sink =
        (struct event_sink){hashing->space, hashing->space + 8, hash_and_forget, hashing};
    hashing->hash = 0;
}

static void check_batches(struct trace *trace)
{
    running = trace;
    struct random random = {trace->seed};
    struct book_memory one = memory_new(book_memory_size(&trace->limits), &random);
    struct book_memory many = memory_new(book_memory_size(&trace->limits), &random);
    struct book *singly = book_open(one.book, &trace->limits);
    struct book *batched = book_open(many.book, &trace->limits);
    static struct hashing_sink first, second;
    hashing_open(&first);
    hashing_open(&second);
    for (uint32_t i = 0; i < trace->count;) {
        uint32_t count = 1 + random_below(&random, 100);
        if (count > trace->count - i)
            count = trace->count - i;
        trace->failed_index = i;
        for (uint32_t j = 0; j < count; j++)
            book_apply(singly, &trace->commands[i + j], &first.sink);
        book_apply_batch(batched, &trace->commands[i], count, &second.sink);
        first.sink.more(&first.sink);
        second.sink.more(&second.sink);
        AGREE(first.hash == second.hash, "the batch's events are others");
        i += count;
    }
    AGREE(book_hash(singly) == book_hash(batched), "the batches' state is another");
}

Test(book_promises, a_batch_gives_the_events_of_its_commands_one_by_one)
{
    const struct flow flow = {FLOW_DEFAULTS, .trace_length = 100000, .hostile_percent = 3};
    struct trace *trace = trace_new(flow.trace_length);
    generate(trace, &flow, 1, flow.trace_length);
    run_trace(trace, check_batches, 1);
    trace_free(trace, flow.trace_length);
}
