// SPDX-License-Identifier: MIT
//
// The book beside the reference: every command goes to both, and to a second book elsewhere in
// memory; all events must be equal byte for byte, and whenever asked so must the whole state. What
// a difference leads to is the program's: it defines differs().
#ifndef SLUICE_TESTS_UNIT_COMPARE_H
#define SLUICE_TESTS_UNIT_COMPARE_H

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "numa/array.h"
#include "tests/unit/random.h"
#include "tests/unit/reference_query.h"

__attribute__((noreturn, format(printf, 1, 2))) static void differs(const char *format, ...);

#define AGREE(condition, ...) ((condition) ? (void)0 : differs(__VA_ARGS__))

// Printing

static inline const char *command_name(uint8_t type)
{
    static const char *const names[] = {"0",
                                        "COMMAND_OPEN",
                                        "COMMAND_INSTRUMENT",
                                        "COMMAND_SESSION",
                                        "COMMAND_START",
                                        "COMMAND_CLOSE",
                                        "COMMAND_ENTER",
                                        "COMMAND_REPLACE",
                                        "COMMAND_CANCEL",
                                        "COMMAND_MODIFY",
                                        "COMMAND_QUERY",
                                        "COMMAND_MASS_CANCEL",
                                        "COMMAND_CLOCK",
                                        "COMMAND_TRADING",
                                        "COMMAND_ENTRY",
                                        "COMMAND_LIMIT",
                                        "COMMAND_YIELD",
                                        "COMMAND_RAISE"};
    static char number[4];
    if (type < sizeof(names) / sizeof(names[0]))
        return names[type];
    snprintf(number, sizeof(number), "%u", type);
    return number;
}

static inline void print_number(const char *name, uint64_t value)
{
    if (value)
        fprintf(stderr, ", .%s = %" PRIu64, name, value);
}

static inline void print_text(const char *name, const char *text, size_t size)
{
    static const char zeros[16];
    if (memcmp(text, zeros, size) == 0)
        return;
    fprintf(stderr, ", .%s = \"", name);
    for (size_t i = 0; i < size; i++)
        fprintf(stderr, "\\x%02x", (unsigned char)text[i]);
    fprintf(stderr, "\"");
}

static inline void print_order(const struct command *c)
{
    print_number("order.user_ref_num", c->order.user_ref_num);
    if (c->type == COMMAND_REPLACE)
        print_number("order.orig_user_ref_num", c->order.orig_user_ref_num);
    else
        print_text("order.firm", c->order.firm, sizeof(c->order.firm));
    print_number("order.quantity", c->order.quantity);
    print_number("order.price", c->order.price);
    print_number("order.attributes.time_in_force", c->order.attributes.time_in_force);
    print_number("order.attributes.display", c->order.attributes.display);
    print_number("order.attributes.capacity", c->order.attributes.capacity);
    print_number("order.attributes.sweep", c->order.attributes.sweep);
    print_number("order.attributes.post_only", c->order.attributes.post_only);
    print_number("order.attributes.self_match", c->order.attributes.self_match);
    print_number("order.attributes.peg", c->order.attributes.peg);
    print_number("order.attributes.trade_now", c->order.attributes.trade_now);
    print_number("order.attributes.auction", c->order.attributes.auction);
    print_number(c->type == COMMAND_REPLACE ? "order.kept" : "order.min_quantity",
                 c->order.min_quantity);
    print_number("order.max_floor", c->order.max_floor);
    print_number("order.random_reserve", c->order.random_reserve);
    print_number("order.expire_seconds", c->order.expire_seconds);
    print_number("order.peg_offset", (uint16_t)c->order.peg_offset);
    print_text("order.client_order_id", c->order.client_order_id, 14);
    print_number("order.cross", c->order.cross);
}

static inline void print_mass(const struct command *c)
{
    print_number("mass.user_ref_num", c->mass.user_ref_num);
    print_text("mass.firm", c->mass.firm, sizeof(c->mass.firm));
    print_number("mass.session", c->mass.session);
    print_number("mass.side", c->mass.side);
    print_number("mass.reason", c->mass.reason);
}

static inline void print_entry(const struct command *c)
{
    print_number("entry.user_ref_num", c->entry.user_ref_num);
    print_text("entry.firm", c->entry.firm, sizeof(c->entry.firm));
    print_number("entry.session", c->entry.session);
    print_number("entry.allowed", c->entry.allowed);
}

// As it stands in a list of initialisers.
static inline void print_command(const struct command *c)
{
    fprintf(stderr, "    {.type = %s", command_name(c->type));
    print_number("time_ns", c->time_ns);
    print_number("verdict", c->verdict);
    print_number("session", c->session);
    print_number("instrument", c->instrument);
    print_number("side", c->side);
    print_number("user_ref_index", c->user_ref_index);
    if (c->type == COMMAND_OPEN) {
        print_number("open.midnight_ns", c->open.midnight_ns);
        print_number("open.shard", c->open.shard);
        print_text("open.session_id", c->open.session_id, sizeof(c->open.session_id));
    } else if (c->type == COMMAND_INSTRUMENT) {
        print_number("listing.round_lot", c->listing.round_lot);
        print_number("listing.price_step", c->listing.price_step);
        print_text("listing.symbol", c->listing.symbol, sizeof(c->listing.symbol));
    } else if (c->type == COMMAND_SESSION) {
        print_text("member.user_name", c->member.user_name, sizeof(c->member.user_name));
        print_text("member.firm", c->member.firm, sizeof(c->member.firm));
    } else if (c->type == COMMAND_MASS_CANCEL) {
        print_mass(c);
    } else if (c->type == COMMAND_ENTRY) {
        print_entry(c);
    } else if (c->type == COMMAND_TRADING) {
        print_number("trading.state", c->trading.state);
        print_number("trading.from", c->trading.from);
        print_number("trading.source", c->trading.source);
        print_number("trading.short_sale", c->trading.short_sale);
        print_number("trading.reference", c->trading.reference);
        print_number("trading.band", c->trading.band);
    } else if (c->type >= COMMAND_LIMIT && c->type <= COMMAND_RAISE) {
        print_number("limit.value", c->limit.value);
        print_number("limit.total", c->limit.total);
        print_text("limit.firm", c->limit.firm, sizeof(c->limit.firm));
    } else if (c->type >= COMMAND_ENTER && c->type <= COMMAND_QUERY) {
        print_order(c);
    }
    fprintf(stderr, "},\n");
}

static inline void describe(char text[512], const char *whose, const struct event *e)
{
    if (!e) {
        snprintf(text, 512, "%s: nothing\n", whose);
        return;
    }
    int length = snprintf(text, 512,
                          "%s: type %u seq %" PRIu64 " stream %" PRIu64 " time %" PRIu64
                          " user ref %u/%u quantity %u price %u session %u instrument %u side %u "
                          "code 0x%02x; bytes 44..63:",
                          whose, e->type, e->seq, e->stream_seq, e->time_ns, e->user_ref_num,
                          e->user_ref_index, e->quantity, e->price, e->session, e->instrument,
                          e->side, e->code);
    for (size_t i = 44; i < sizeof(*e); i++)
        length += snprintf(text + length, 512 - (size_t)length, " %02x", ((const uint8_t *)e)[i]);
    snprintf(text + length, 512 - (size_t)length, "\n");
}

// The book's memory: random bytes, with a page behind it that cannot be touched, so that one byte
// too many is a crash. When the size is no multiple of 64 the gap holds guard bytes.

#define GUARD_BYTE 0xA5

struct book_memory {
    unsigned char *book;
    size_t size;
    unsigned char *mapping;
    size_t mapping_size;
};

static inline struct book_memory memory_new(size_t size, struct random *random)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t rounded = (size + page - 1) / page * page;
    struct book_memory memory = {.size = size, .mapping_size = rounded + 2 * page};
    memory.mapping =
        mmap(NULL, memory.mapping_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory.mapping == MAP_FAILED)
        abort();
    mprotect(memory.mapping, page, PROT_NONE);
    mprotect(memory.mapping + page + rounded, page, PROT_NONE);
    memset(memory.mapping + page, GUARD_BYTE, rounded);
    memory.book = memory.mapping + page + ((rounded - size) & ~(size_t)63);
    memset(memory.book, (int)random_bits(random), size);
    return memory;
}

static inline bool memory_guards_intact(const struct book_memory *memory)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const unsigned char *begin = memory->mapping + page;
    const unsigned char *end = memory->mapping + memory->mapping_size - page;
    for (const unsigned char *byte = begin; byte < memory->book; byte++) {
        if (*byte != GUARD_BYTE)
            return false;
    }
    for (const unsigned char *byte = memory->book + memory->size; byte < end; byte++) {
        if (*byte != GUARD_BYTE)
            return false;
    }
    return true;
}

static inline void memory_free(struct book_memory *memory)
{
    munmap(memory->mapping, memory->mapping_size);
}

// Where the book's events go: runs of 1 to `run_max` slots in a random place of a small space full
// of garbage, the one slot behind each run watched, what has been taken turned to garbage again.

#define COLLECTOR_SLOTS 64
#define GARBAGE_BYTE    0xEE

struct collector {
    struct event_sink sink;
    struct event space[COLLECTOR_SLOTS + 1];
    struct event *first; // of those not yet taken
    uint32_t run_max;
    struct random random;
    struct event *events; // taken since collector_reset
    uint32_t count;
    size_t capacity;
};

static inline void collector_take(struct collector *collector)
{
    AGREE(collector->sink.next >= collector->first && collector->sink.next <= collector->sink.end,
          "the sink's next is outside of its space");
    uint32_t fresh = (uint32_t)(collector->sink.next - collector->first);
    if (!array_reserve(&collector->events, &collector->capacity, collector->count + fresh + 1,
                       sizeof(*collector->events)))
        abort();
    memcpy(&collector->events[collector->count], collector->first, fresh * sizeof(struct event));
    collector->count += fresh;
    memset(collector->first, GARBAGE_BYTE, fresh * sizeof(struct event));
    collector->first = collector->sink.next;
    for (size_t i = 0; i < sizeof(struct event); i++)
        AGREE(((unsigned char *)collector->sink.end)[i] == GARBAGE_BYTE,
              "an event was written behind the sink's end");
}

static inline void collector_more(struct event_sink *sink)
{
    struct collector *collector = sink->context;
    AGREE(sink->next == sink->end, "more() was called while there was room");
    collector_take(collector);
    uint32_t length = 1 + random_below(&collector->random, collector->run_max);
    uint32_t offset = random_below(&collector->random, COLLECTOR_SLOTS - length + 1);
    sink->next = collector->first = collector->space + offset;
    sink->end = sink->next + length;
}

static inline void collector_init(struct collector *collector, uint32_t run_max, uint64_t seed)
{
    *collector = (struct collector){.run_max = run_max, .random = {seed}};
    memset(collector->space, GARBAGE_BYTE, sizeof(collector->space));
    collector->first = collector->space;
    collector->sink = (struct event_sink){collector->space, collector->space + run_max,
                                          collector_more, collector};
}

// Comparing

struct comparison {
    struct reference reference;
    struct book_memory memory;
    struct book *book;
    struct collector collector;
    // The same commands again in other memory, prefetched, through a sink of another size; and now
    // and then from a snapshot on.
    struct book_memory twin_memory;
    struct book *twin;
    struct collector twin_collector;
    struct random random;
};

// New mappings are most of the cost of a short flow.
static inline void comparison_memory(struct book_memory *memory, size_t size, struct random *random)
{
    if (memory->size == size) {
        memset(memory->book, (int)random_bits(random), size);
        return;
    }
    if (memory->size != 0)
        memory_free(memory);
    *memory = memory_new(size, random);
}

// comparison_open: `c` is all zeros, or closed: the books' memory stays with it.
static inline void comparison_open(struct comparison *c, const struct book_limits *limits,
                                   uint64_t seed)
{
    static const uint32_t run_sizes[] = {1, 1, 2, 3, COLLECTOR_SLOTS};
    c->random = (struct random){seed};
    reference_open(&c->reference, limits);
    AGREE(book_limits_check(limits) == NULL, "the limits are refused");
    size_t size = book_memory_size(limits);
    comparison_memory(&c->memory, size, &c->random);
    c->book = book_open(c->memory.book, limits);
    collector_init(&c->collector, run_sizes[random_below(&c->random, 5)], random_bits(&c->random));
    comparison_memory(&c->twin_memory, size, &c->random);
    c->twin = book_open(c->twin_memory.book, limits);
    collector_init(&c->twin_collector, COLLECTOR_SLOTS, random_bits(&c->random));
}

static inline void comparison_close(struct comparison *c)
{
    reference_close(&c->reference);
    free(c->collector.events);
    free(c->twin_collector.events);
}

static inline void compare_events(const struct reference *r, struct collector *collector,
                                  const char *who)
{
    collector_take(collector);
    size_t common = r->event_count < collector->count ? r->event_count : collector->count;
    size_t i = 0;
    if (common && memcmp(r->events, collector->events, common * sizeof(struct event)) == 0)
        i = common;
    while (i < common && memcmp(&r->events[i], &collector->events[i], sizeof(struct event)) == 0)
        i++;
    if (i < common || r->event_count != collector->count) {
        char expected[512], got[512];
        describe(expected, "expected", i < r->event_count ? &r->events[i] : NULL);
        describe(got, "got     ", i < collector->count ? &collector->events[i] : NULL);
        differs("event %zu of %s differs (%u expected, %u came)\n%s%s", i, who, r->event_count,
                collector->count, expected, got);
    }
    collector->count = 0;
}

static inline bool level_equal(const struct book_level *a, const struct book_level *b)
{
    return a->price == b->price && a->order_count == b->order_count && a->quantity == b->quantity;
}

static inline void compare_side(struct comparison *c, uint16_t instrument, enum side side)
{
    const struct reference *r = &c->reference;
    uint32_t capacity = r->order_count + 1;
    struct book_level *expected = calloc(2 * capacity, sizeof(*expected));
    struct book_level *got = expected + capacity;
    uint32_t count = reference_depth(r, instrument, (uint8_t)side, expected, capacity);
    uint32_t found = book_depth(c->book, instrument, side, got, capacity);
    AGREE(found == count, "book_depth(%u, %d): %u levels, not %u", instrument, side, found, count);
    for (uint32_t i = 0; i < count; i++)
        AGREE(level_equal(&expected[i], &got[i]),
              "book_depth(%u, %d)[%u]: %u orders, %" PRIu64 " @ %u, not %u orders, %" PRIu64
              " @ %u",
              instrument, side, i, got[i].order_count, got[i].quantity, got[i].price,
              expected[i].order_count, expected[i].quantity, expected[i].price);

    uint32_t some = random_below(&c->random, count + 2);
    found = book_depth(c->book, instrument, side, got, some);
    AGREE(found == (some < count ? some : count), "book_depth(%u, %d, count %u): %u", instrument,
          side, some, found);

    struct book_level best = {.price = 1, .order_count = 1, .quantity = 1};
    bool any = book_best(c->book, instrument, side, &best);
    AGREE(any == (count > 0) && level_equal(&best, count ? &expected[0] : &(struct book_level){0}),
          "book_best(%u, %d): %d, %u @ %u", instrument, side, any, best.order_count, best.price);

    for (uint32_t i = 0; i < 16; i++) {
        uint32_t price = count ? expected[random_below(&c->random, count)].price : 100000;
        if (i >= 8)
            price = i >= 12 ? (uint32_t)random_bits(&c->random) : price + i - 10;
        uint64_t quantity = reference_level(r, instrument, (uint8_t)side, price).quantity;
        uint64_t there = book_depth_at(c->book, instrument, side, price);
        AGREE(there == quantity, "book_depth_at(%u, %d, %u): %" PRIu64 ", not %" PRIu64, instrument,
              side, price, there, quantity);
    }
    free(expected);
}

static inline void compare_order(const struct reference_order *expected, bool found,
                                 const struct book_order *got, const char *query)
{
    AGREE(found == (expected != NULL), "%s: %s", query, found ? "found" : "not found");
    if (!expected)
        return;
    AGREE(got->order_ref == expected->order_ref && got->user_ref_num == expected->user_ref_num &&
              got->quantity == expected->quantity && got->executed == expected->executed &&
              got->price == expected->price && got->session == expected->session &&
              got->instrument == expected->instrument && got->side == expected->side &&
              got->user_ref_index == expected->user_ref_index &&
              got->displayed == expected->slice && got->max_floor == expected->max_floor &&
              got->expire_seconds == expected->expire_seconds &&
              got->random_reserve == expected->random_reserve &&
              memcmp(&got->attributes, &expected->attributes, sizeof(got->attributes)) == 0,
          "%s: ref %" PRIx64 " user ref %u quantity %u displayed %u floor %u executed %u price %u "
          "seconds %u, not ref %" PRIx64
          " user ref %u quantity %u displayed %u floor %u executed %u price %u seconds %u",
          query, got->order_ref, got->user_ref_num, got->quantity, got->displayed, got->max_floor,
          got->executed, got->price, got->expire_seconds, expected->order_ref,
          expected->user_ref_num, expected->quantity, expected->slice, expected->max_floor,
          expected->executed, expected->price, expected->expire_seconds);
}

static inline void compare_lookup(struct comparison *c, uint16_t session, uint8_t user_ref_index,
                                  uint32_t user_ref_num)
{
    struct book_order got;
    bool found = book_find_user_ref(c->book, session, user_ref_index, user_ref_num, &got);
    compare_order(reference_find(&c->reference, session, user_ref_index, user_ref_num), found, &got,
                  "book_find_user_ref");
}

static inline void compare_orders(struct comparison *c)
{
    const struct reference *r = &c->reference;
    for (uint32_t i = 0; i < r->order_count; i++) {
        const struct reference_order *order = &r->orders[i];
        compare_lookup(c, order->session, order->user_ref_index, order->user_ref_num);
    }
    for (uint32_t i = 0; i < 8; i++) {
        compare_lookup(c, (uint16_t)random_below(&c->random, r->session_count + 1u),
                       (uint8_t)random_below(&c->random, 3),
                       random_below(&c->random, (uint32_t)r->seq + 2));
        compare_lookup(c, (uint16_t)random_bits(&c->random), (uint8_t)random_bits(&c->random),
                       (uint32_t)random_bits(&c->random));
    }
}

static inline void compare_names(struct comparison *c)
{
    const struct reference *r = &c->reference;
    for (uint16_t i = 0; i < r->session_count; i++) {
        const char *user = book_session_user(c->book, i);
        AGREE(user && memcmp(user, r->sessions[i].user_name, 6) == 0, "book_session_user(%u)", i);
        uint64_t next = book_session_next(c->book, i);
        AGREE(next == r->sessions[i].message_count + 1, "book_session_next(%u): %" PRIu64, i, next);
    }
    for (uint16_t i = 0; i < r->instrument_count; i++) {
        const char *symbol = book_instrument_symbol(c->book, i);
        AGREE(symbol && memcmp(symbol, r->instruments[i].symbol, 8) == 0,
              "book_instrument_symbol(%u)", i);
    }
    AGREE(!book_session_user(c->book, r->session_count) && !book_session_user(c->book, UINT16_MAX),
          "book_session_user finds a session that was not admitted");
    AGREE(!book_instrument_symbol(c->book, r->instrument_count) &&
              !book_instrument_symbol(c->book, NO_INSTRUMENT),
          "book_instrument_symbol finds an instrument that is not listed");
}

static inline void compare_summary(struct comparison *c)
{
    const struct reference *r = &c->reference;
    struct book_summary s;
    book_summarise(c->book, &s);
    AGREE(s.state == r->state, "summary: state %d, not %d", s.state, r->state);
    AGREE(s.shard == r->shard, "summary: shard %u, not %u", s.shard, r->shard);
    AGREE(s.instrument_count == r->instrument_count, "summary: %u instruments", s.instrument_count);
    AGREE(s.session_count == r->session_count, "summary: %u sessions", s.session_count);
    AGREE(s.order_count == r->order_count, "summary: %u orders, not %u", s.order_count,
          r->order_count);
    uint32_t timed_count = reference_timed_count(r);
    AGREE(s.timed_count == timed_count, "summary: %u to expire, not %u", s.timed_count,
          timed_count);
    bool wants_clock = timed_count > 0;
    for (uint16_t i = 0; i < r->instrument_count; i++)
        wants_clock |= r->state != BOOK_CLOSED &&
                       (reference_building(r, i) != CROSS_NONE ||
                        (r->instruments[i].phase == 'T' && r->instruments[i].band != 0));
    AGREE(s.wants_clock == wants_clock, "summary: wants clock %d", s.wants_clock);
    AGREE(s.seq == r->seq && book_seq(c->book) == r->seq, "summary: seq %" PRIu64, s.seq);
    AGREE(s.midnight_ns == r->midnight_ns, "summary: midnight %" PRIu64, s.midnight_ns);
    AGREE(s.feed_next == r->feed_message_count + 1, "summary: feed next %" PRIu64, s.feed_next);
    AGREE(s.match_count == r->match_count, "summary: match count %" PRIu64, s.match_count);
    AGREE(s.last_time_ns == r->last_time_ns, "summary: last time %" PRIu64 ", not %" PRIu64,
          s.last_time_ns, r->last_time_ns);
    AGREE(memcmp(s.session_id, r->session_id, 10) == 0 && s.session_id[10] == 0,
          "summary: session id");
    AGREE(memcmp(&s.limits, &r->limits, sizeof(s.limits)) == 0, "summary: limits");
}

static inline bool load_record(void *context, const struct book_record *record)
{
    const char *problem = book_load(context, record);
    AGREE(!problem, "book_load: %s", problem);
    return true;
}

// The second book becomes what loading a snapshot of the first makes of its memory.
static inline void reload_twin(struct comparison *c)
{
    c->twin = book_open(c->twin_memory.book, &c->reference.limits);
    AGREE(book_save(c->book, load_record, c->twin), "book_save stopped");
}

static inline void compare_accounts(struct comparison *c)
{
    for (uint16_t session = 0; session < c->reference.session_count; session++) {
        const struct reference_member *member =
            reference_member(&c->reference, c->reference.sessions[session].firm);
        struct book_account account;
        book_find_account(c->book, session, &account);
        AGREE(account.kept == member->kept, "session %u: account kept", session);
        for (uint8_t kind = LIMIT_QUANTITY; kind < LIMIT_MEMBER_END; kind++) {
            uint64_t limit = book_limit(c->book, session, kind);
            uint64_t total = book_limit_total(c->book, session, kind);
            AGREE(limit == member->limits[kind] && total == member->totals[kind],
                  "session %u: limit %u is %" PRIu64 " of %" PRIu64, session, kind, limit, total);
        }
        if (!member->kept)
            continue;
        AGREE(account.open_orders == reference_open_orders(&c->reference, member),
              "session %u: %u orders open", session, account.open_orders);
        for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
            reference_value open = reference_open_value(&c->reference, member, side, NULL);
            AGREE(account.open_value[side] == (uint64_t)open, "session %u: open value %" PRIu64,
                  session, account.open_value[side]);
            AGREE(account.traded_value[side] == (uint64_t)member->traded[side],
                  "session %u: traded value %" PRIu64, session, account.traded_value[side]);
        }
    }
}

static inline void compare_state(struct comparison *c)
{
    const struct reference *r = &c->reference;
    AGREE(reference_sound(r), "the reference has orders left to trade, or out of order");
    compare_summary(c);
    compare_names(c);
    for (uint16_t instrument = 0; instrument <= r->instrument_count; instrument++) {
        compare_side(c, instrument, SIDE_BUY);
        compare_side(c, instrument, SIDE_SELL);
        struct book_level bid, offer;
        AGREE(!book_best(c->book, instrument, SIDE_BUY, &bid) ||
                  !book_best(c->book, instrument, SIDE_SELL, &offer) || bid.price < offer.price,
              "instrument %u is locked or crossed", instrument);
    }
    compare_side(c, NO_INSTRUMENT, SIDE_BUY);
    compare_orders(c);
    compare_accounts(c);
    uint64_t hash = book_hash(c->book), twin = book_hash(c->twin);
    AGREE(hash == twin,
          "book_hash: %016" PRIx64 ", but %016" PRIx64 " after the same commands elsewhere", hash,
          twin);
    AGREE(memory_guards_intact(&c->memory) && memory_guards_intact(&c->twin_memory),
          "bytes outside of the book's memory were written");
    if (random_below(&c->random, 4) == 0)
        reload_twin(c);
}

// comparison_apply: give the next command to all.
static inline void comparison_apply(struct comparison *c, const struct command *command)
{
    reference_apply(&c->reference, command);
    book_apply(c->book, command, &c->collector.sink);
    compare_events(&c->reference, &c->collector, "the book");
    book_apply_batch(c->twin, command, 1, &c->twin_collector.sink);
    compare_events(&c->reference, &c->twin_collector, "the second book");
}

#endif
