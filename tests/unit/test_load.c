// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "book/book.h"
#include "dataplane/itch.h"
#include "dataplane/load_client.h"
#include "dataplane/load_flow.h"
#include "dataplane/load_report.h"
#include "dataplane/load_tape.h"
#include "dataplane/mold.h"
#include "dataplane/ouch.h"
#include "dataplane/packet.h"
#include "dataplane/verbs.h"
#include "tests/unit/recorded.h"

static const char acme[1][8] = {{'A', 'C', 'M', 'E', ' ', ' ', ' ', ' '}};

// The generated day.

static struct load_day generate(uint64_t seed, uint64_t count, uint32_t session_count,
                                uint32_t symbol_count)
{
    static char symbols[LOAD_NAMED_SYMBOLS_MAX][8];
    struct load_flow_options options = {
        .seed = seed,
        .count = count,
        .session_count = session_count,
        .symbol_count = symbol_count,
        .symbols = (const char(*)[8])symbols,
    };
    struct load_day day;
    struct error error;
    for (uint32_t i = 0; i < symbol_count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "S%-7u", i);
        memcpy(symbols[i], name, 8);
    }
    cr_assert_eq(load_flow_generate(&options, &day, &error), 0);
    return day;
}

static bool same_steps(const struct load_day *a, const struct load_day *b, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct load_step *x = &a->steps[i], *y = &b->steps[i];
        if (x->ref != y->ref || x->orig_ref != y->orig_ref || x->quantity != y->quantity ||
            x->price != y->price || x->symbol != y->symbol || x->session != y->session ||
            x->kind != y->kind || x->side != y->side || x->time_in_force != y->time_in_force)
            return false;
    }
    return true;
}

Test(load_flow, a_seed_always_gives_the_same_day_and_a_longer_one_begins_with_the_shorter)
{
    struct load_day day = generate(7, 20000, 3, 5);
    struct load_day again = generate(7, 20000, 3, 5);
    struct load_day shorter = generate(7, 5000, 3, 5);
    struct load_day other = generate(8, 20000, 3, 5);
    cr_assert_eq(day.count, 20000);
    cr_assert(same_steps(&day, &again, 20000));
    cr_assert(same_steps(&day, &shorter, 5000));
    cr_assert_not(same_steps(&day, &other, 20000));
    load_day_free(&day);
    load_day_free(&again);
    load_day_free(&shorter);
    load_day_free(&other);
}

Test(load_flow, the_mix_is_that_of_an_equities_venue)
{
    struct load_day day = generate(1, 200000, 4, 3);
    double adds = 0, cancels = 0, replaces = 0, crosses = 0;
    for (uint64_t i = 0; i < day.count; i++) {
        const struct load_step *step = &day.steps[i];
        bool ioc = step->kind == LOAD_ENTER && step->time_in_force == LOAD_TIF_IOC;
        crosses += ioc;
        adds += step->kind == LOAD_ENTER && !ioc; // a third of the crossing orders among them
        cancels += step->kind == LOAD_CANCEL;
        replaces += step->kind == LOAD_REPLACE;
    }
    double count = (double)day.count;
    cr_assert(adds / count > 0.46 && adds / count < 0.52, "%f", adds / count);
    cr_assert(cancels / count > 0.40 && cancels / count < 0.46, "%f", cancels / count);
    cr_assert(replaces / count > 0.04 && replaces / count < 0.06, "%f", replaces / count);
    cr_assert(crosses / count > 0.025 && crosses / count < 0.045, "%f", crosses / count);
    load_day_free(&day);
}

// A book that takes steps: what the venue would do if the messages came in their order.
struct matcher {
    struct book *book;
    void *memory;
    struct event events[256];
    struct event_sink sink;
    uint64_t executed_shares, executions, same_session, canceled, accepted, replaced;
    uint16_t maker;
};

static void matcher_events(struct event_sink *sink)
{
    struct matcher *matcher = sink->context;
    for (struct event *event = matcher->events; event < sink->next; event++) {
        matcher->accepted += event->type == EVENT_ACCEPTED;
        matcher->replaced += event->type == EVENT_REPLACED;
        matcher->canceled += event->type == EVENT_CANCELED && event->code == 'U';
        if (event->type == EVENT_EXECUTED && event->code == 'A')
            matcher->maker = event->session;
        if (event->type == EVENT_EXECUTED && event->code == 'R') {
            matcher->executions++;
            matcher->executed_shares += event->quantity;
            matcher->same_session += event->session == matcher->maker;
        }
    }
    sink->next = matcher->events;
}

static void matcher_apply(struct matcher *matcher, const struct command *command)
{
    book_apply(matcher->book, command, &matcher->sink);
    matcher_events(&matcher->sink);
}

static struct matcher *matcher_open(uint16_t instrument_count, uint16_t session_count)
{
    struct book_limits limits = {
        .orders_max = 1 << 17, .instruments_max = instrument_count, .sessions_max = session_count};
    struct matcher *matcher = calloc(1, sizeof(*matcher));
    matcher->memory = aligned_alloc(64, (book_memory_size(&limits) + 63) & ~(size_t)63);
    matcher->book = book_open(matcher->memory, &limits);
    matcher->sink =
        (struct event_sink){matcher->events, matcher->events + 256, matcher_events, matcher};
    struct command command = {.type = COMMAND_OPEN,
                              .open = {.limits = limits, .session_id = "SESSION001"}};
    matcher_apply(matcher, &command);
    for (uint16_t i = 0; i < instrument_count; i++) {
        command = (struct command){.type = COMMAND_INSTRUMENT, .instrument = i};
        matcher_apply(matcher, &command);
    }
    for (uint16_t i = 0; i < session_count; i++) {
        command = (struct command){.type = COMMAND_SESSION, .session = i};
        matcher_apply(matcher, &command);
    }
    command = (struct command){.type = COMMAND_START};
    matcher_apply(matcher, &command);
    return matcher;
}

static void matcher_step(struct matcher *matcher, const struct load_step *step)
{
    static const uint8_t types[] = {[LOAD_ENTER] = COMMAND_ENTER,
                                    [LOAD_CANCEL] = COMMAND_CANCEL,
                                    [LOAD_REPLACE] = COMMAND_REPLACE};
    struct command command = {
        .type = types[step->kind],
        .session = step->session,
        .instrument = step->symbol,
        .side = step->side,
        .order = {.user_ref_num = step->ref,
                  .orig_user_ref_num = step->orig_ref,
                  .quantity = step->quantity,
                  .price = step->price,
                  .attributes.time_in_force =
                      step->kind == LOAD_ENTER && step->time_in_force == LOAD_TIF_IOC},
    };
    matcher_apply(matcher, &command);
}

static void matcher_close(struct matcher *matcher)
{
    free(matcher->memory);
    free(matcher);
}

Test(load_flow, the_book_neither_empties_nor_grows_and_few_cancels_come_too_late)
{
    struct load_day day = generate(3, 300000, 4, 2);
    struct matcher *matcher = matcher_open(2, 4);
    struct book_summary summary;
    uint64_t cancels = 0;
    for (uint64_t i = 0; i < day.count; i++) {
        matcher_step(matcher, &day.steps[i]);
        cancels += day.steps[i].kind == LOAD_CANCEL;
        book_summarise(matcher->book, &summary);
        if (i > 20000)
            cr_assert(summary.order_count > 100 && summary.order_count < 800,
                      "%u orders after %lu messages", summary.order_count, i);
    }
    uint64_t late = cancels - matcher->canceled;
    cr_assert(late > 0 && late * 20 < cancels, "%lu of %lu cancels came too late", late, cancels);
    cr_assert_gt(matcher->executions, 5000);
    cr_assert_gt(matcher->replaced, 10000);
    cr_assert(matcher->same_session * 3 < matcher->executions, "%lu of %lu", matcher->same_session,
              matcher->executions);
    matcher_close(matcher);
    load_day_free(&day);
}

// What a client knows of its own orders.
struct known {
    uint32_t total;
    uint16_t symbol;
    bool over;
};

Test(load_flow, every_message_names_an_order_of_its_session_and_never_asks_for_the_impossible)
{
    struct load_day day = generate(11, 100000, 3, 4);
    struct known *known[3];
    uint32_t next[3] = {1, 1, 1};
    for (int i = 0; i < 3; i++)
        known[i] = calloc(day.refs[i] + 1, sizeof(struct known));
    for (uint64_t i = 0; i < day.count; i++) {
        const struct load_step *step = &day.steps[i];
        struct known *mine = known[step->session];
        cr_assert_lt(step->session, 3);
        cr_assert_lt(step->symbol, 4);
        if (step->kind != LOAD_CANCEL) {
            cr_assert_eq(step->ref, next[step->session]++);
            cr_assert(step->quantity >= 1 && step->quantity <= QUANTITY_MAX);
            cr_assert(step->price >= 1 && step->price <= PRICE_MAX && step->price % 100 == 0);
            mine[step->ref] = (struct known){step->quantity, step->symbol, false};
        } else {
            cr_assert_lt(step->quantity, mine[step->ref].total);
            mine[step->ref].total = step->quantity;
        }
        uint32_t named = step->kind == LOAD_CANCEL ? step->ref : step->orig_ref;
        if (step->kind == LOAD_ENTER)
            continue;
        cr_assert(named > 0 && named < next[step->session]);
        cr_assert_not(mine[named].over, "step %lu names an order that it cancelled or replaced", i);
        cr_assert_eq(mine[named].symbol, step->symbol);
        mine[named].over = step->kind == LOAD_REPLACE || step->quantity == 0;
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(next[i] - 1, day.refs[i]);
        free(known[i]);
    }
    load_day_free(&day);
}

// Tapes.

static char tape_path[64];

static void write_tape(const void *bytes, size_t size)
{
    snprintf(tape_path, sizeof(tape_path), "/tmp/sluice-test-load-XXXXXX");
    int fd = mkstemp(tape_path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

struct reading {
    int status;
    struct load_day day;
    struct load_tape_counts counts;
    struct error error;
};

static void read_tape(struct reading *reading, const void *bytes, size_t size,
                      const struct load_tape_options *options)
{
    write_tape(bytes, size);
    reading->status =
        load_tape_read(tape_path, options, &reading->day, &reading->counts, &reading->error);
    unlink(tape_path);
}

static const struct load_tape_options acme_alone = {
    .session_count = 2, .symbol_count = 1, .symbols = acme};
static const struct load_tape_options every_symbol = {.session_count = 2};

static void expect_step(const struct load_day *day, uint64_t index, struct load_step expected)
{
    cr_assert_lt(index, day->count);
    const struct load_step *step = &day->steps[index];
    cr_assert(step->kind == expected.kind && step->ref == expected.ref &&
                  step->orig_ref == expected.orig_ref && step->session == expected.session &&
                  step->quantity == expected.quantity && step->price == expected.price &&
                  step->side == expected.side && step->time_in_force == expected.time_in_force &&
                  step->symbol == expected.symbol,
              "step %lu: kind %u ref %u orig %u session %u quantity %u price %u side %u tif %c "
              "symbol %u",
              index, step->kind, step->ref, step->orig_ref, step->session, step->quantity,
              step->price, step->side, step->time_in_force, step->symbol);
}

#define STEP(...) ((struct load_step){__VA_ARGS__})

Test(load_tape, a_lobster_file_becomes_orders_with_older_ones_where_their_numbers_fall)
{
    static const char lines[] = "34200.01,5,0,1,2238200,-1\n"
                                "34200.02,1,100,21,2238100,1\n"  // enter
                                "34200.03,1,200,50,2239600,-1\n" // 90 first: no; 150 comes first
                                "34200.04,2,200,20,2239600,-1\n" // 30 stay
                                "34200.05,4,100,1,2238100,1\n"   // sold to, from the other session
                                "34200.06,3,150,5,2240000,-1\n"  // entered between 100 and 200
                                "34200.07,4,90,7,2239500,-1\n"   // entered before 100
                                "34200.08,3,90,3,2239500,-1\r\n" // 10 shares in all
                                "34200.09,7,0,0,-1,-1\n"         // a halt
                                "34200.10,3,100,20,2238100,1\n";
    struct reading reading;
    read_tape(&reading, lines, sizeof(lines) - 1, &acme_alone);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    const struct load_day *day = &reading.day;
    cr_assert_eq(day->count, 10);
    cr_assert(day->ordered);
    expect_step(day, 0,
                STEP(.kind = LOAD_ENTER, .ref = 1, .quantity = 10, .price = 2239500,
                     .side = SIDE_SELL, .time_in_force = '0'));
    expect_step(day, 1,
                STEP(.kind = LOAD_ENTER, .ref = 1, .session = 1, .quantity = 21, .price = 2238100,
                     .side = SIDE_BUY, .time_in_force = '0'));
    expect_step(day, 2,
                STEP(.kind = LOAD_ENTER, .ref = 2, .quantity = 5, .price = 2240000,
                     .side = SIDE_SELL, .time_in_force = '0'));
    expect_step(day, 3,
                STEP(.kind = LOAD_ENTER, .ref = 2, .session = 1, .quantity = 50, .price = 2239600,
                     .side = SIDE_SELL, .time_in_force = '0'));
    expect_step(day, 4, STEP(.kind = LOAD_CANCEL, .ref = 2, .session = 1, .quantity = 30));
    expect_step(day, 5,
                STEP(.kind = LOAD_ENTER, .ref = 3, .quantity = 1, .price = 2238100,
                     .side = SIDE_SELL, .time_in_force = '3'));
    expect_step(day, 6, STEP(.kind = LOAD_CANCEL, .ref = 2));
    expect_step(day, 7,
                STEP(.kind = LOAD_ENTER, .ref = 3, .session = 1, .quantity = 7, .price = 2239500,
                     .side = SIDE_BUY, .time_in_force = '3'));
    expect_step(day, 8, STEP(.kind = LOAD_CANCEL, .ref = 1));
    expect_step(day, 9, STEP(.kind = LOAD_CANCEL, .ref = 1, .session = 1));
    cr_assert_eq(reading.counts.messages, 10);
    cr_assert_eq(reading.counts.no_order, 2);
    cr_assert_eq(reading.counts.unknown_order + reading.counts.malformed, 0);
    static const uint8_t hundredths[] = {2, 2, 3, 3, 4, 5, 6, 7, 8, 10}; // of each step's line
    for (uint64_t i = 0; i < day->count; i++)
        cr_assert_eq(day->times[i], 34200000000000 + hundredths[i] * 10000000);
    load_day_free(&reading.day);
}

Test(load_tape, a_lobster_order_that_the_market_has_passed_is_cancelled)
{
    static const char lines[] = "1.0,1,1,10,2238000,1\n"
                                "1.1,1,2,20,2237000,1\n"
                                "1.2,1,3,30,2237000,1\n"
                                "1.3,1,4,40,2236000,1\n"
                                "1.4,4,3,5,2237000,1\n"    // 1 and 2 were before it: gone
                                "1.5,1,5,50,2236000,-1\n"; // 3 and 4 would trade: gone
    struct reading reading;
    read_tape(&reading, lines, sizeof(lines) - 1, &acme_alone);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    cr_assert_eq(reading.day.count, 10);
    cr_assert_eq(reading.counts.vanished, 4);
    expect_step(&reading.day, 4, STEP(.kind = LOAD_CANCEL, .ref = 1));
    expect_step(&reading.day, 5, STEP(.kind = LOAD_CANCEL, .ref = 1, .session = 1));
    expect_step(&reading.day, 6,
                STEP(.kind = LOAD_ENTER, .ref = 3, .session = 1, .quantity = 5, .price = 2237000,
                     .side = SIDE_SELL, .time_in_force = '3'));
    expect_step(&reading.day, 7, STEP(.kind = LOAD_CANCEL, .ref = 2));
    expect_step(&reading.day, 8, STEP(.kind = LOAD_CANCEL, .ref = 2, .session = 1));
    load_day_free(&reading.day);
}

// ITCH messages behind their lengths.
struct bytes_out {
    uint8_t bytes[8192];
    size_t size;
    uint16_t count;
};

static void put(struct bytes_out *out, const void *message, size_t size)
{
    be16 length = be16_of((uint16_t)size);
    memcpy(out->bytes + out->size, &length, 2);
    memcpy(out->bytes + out->size + 2, message, size);
    out->size += 2 + size;
    out->count++;
}

static void put_add(struct bytes_out *out, const char *stock, uint64_t ref, char side,
                    uint32_t shares, uint32_t price)
{
    struct itch_add_mpid add = {.head = {.type = out->count % 2 ? ITCH_ADD : ITCH_ADD_MPID,
                                         .stock_locate = be16_of((uint16_t)stock[0])},
                                .order_ref = be64_of(ref),
                                .side = (uint8_t)side,
                                .shares = be32_of(shares),
                                .price = be32_of(price)};
    memcpy(add.stock, stock, 8);
    put(out, &add, out->count % 2 ? sizeof(struct itch_add) : sizeof(add));
}

static void put_change(struct bytes_out *out, char type, char locate, uint64_t ref, uint32_t shares)
{
    struct itch_executed_price change = {
        .head = {.type = (uint8_t)type, .stock_locate = be16_of((uint8_t)locate)},
        .order_ref = be64_of(ref),
        .shares = be32_of(shares)};
    put(out, &change, itch_message_size((uint8_t)type));
}

static void put_replace(struct bytes_out *out, uint64_t orig, uint64_t ref, uint32_t shares,
                        uint32_t price)
{
    struct itch_replace replace = {.head.type = ITCH_REPLACE,
                                   .orig_order_ref = be64_of(orig),
                                   .order_ref = be64_of(ref),
                                   .shares = be32_of(shares),
                                   .price = be32_of(price)};
    put(out, &replace, sizeof(replace));
}

static void put_itch_day(struct bytes_out *out)
{
    struct itch_system_event start = {.head.type = ITCH_SYSTEM_EVENT, .code = 'O'};
    put(out, &start, sizeof(start));
    put_add(out, "ACME    ", 10, 'B', 300, 500000);
    put_add(out, "ZINC    ", 11, 'S', 100, 600000);
    put_change(out, ITCH_EXECUTED, 'A', 10, 100);
    put_change(out, ITCH_CANCEL, 'A', 10, 50); // 150 stay, of 250 in all
    put_replace(out, 10, 12, 400, 510000);     // 500 in all, as 100 are executed
    put_change(out, ITCH_EXECUTED_PRICE, 'A', 12, 400);
    put_change(out, ITCH_DELETE, 'Z', 11, 0);
    put_change(out, ITCH_DELETE, 'A', 12, 0); // gone
}

static void expect_itch_day(const struct load_day *day)
{
    cr_assert_eq(day->symbol_count, 2);
    cr_assert_arr_eq(day->symbols[1], "ZINC    ", 8);
    cr_assert_eq(day->count, 7);
    expect_step(day, 0,
                STEP(.kind = LOAD_ENTER, .ref = 1, .quantity = 300, .price = 500000,
                     .side = SIDE_BUY, .time_in_force = '0'));
    expect_step(day, 1,
                STEP(.kind = LOAD_ENTER, .ref = 1, .session = 1, .symbol = 1, .quantity = 100,
                     .price = 600000, .side = SIDE_SELL, .time_in_force = '0'));
    expect_step(day, 2,
                STEP(.kind = LOAD_ENTER, .ref = 2, .session = 1, .quantity = 100, .price = 500000,
                     .side = SIDE_SELL, .time_in_force = '3'));
    expect_step(day, 3, STEP(.kind = LOAD_CANCEL, .ref = 1, .quantity = 250));
    expect_step(
        day, 4,
        STEP(.kind = LOAD_REPLACE, .ref = 2, .orig_ref = 1, .quantity = 500, .price = 510000));
    expect_step(day, 5,
                STEP(.kind = LOAD_ENTER, .ref = 3, .session = 1, .quantity = 400, .price = 510000,
                     .side = SIDE_SELL, .time_in_force = '3'));
    expect_step(day, 6, STEP(.kind = LOAD_CANCEL, .ref = 1, .session = 1, .symbol = 1));
}

Test(load_tape, an_itch_binary_file_becomes_orders)
{
    struct bytes_out out = {.size = 0};
    struct reading reading;
    put_itch_day(&out);
    read_tape(&reading, out.bytes, out.size, &every_symbol);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    expect_itch_day(&reading.day);
    cr_assert_eq(reading.counts.messages, 9);
    cr_assert_eq(reading.counts.no_order, 1);
    cr_assert_eq(reading.counts.unknown_order, 1);
    load_day_free(&reading.day);
}

Test(load_tape, a_step_has_its_messages_time_and_time_does_not_run_backwards)
{
    static const char lines[] = "1,1,1,100,2238100,1\n"
                                "1.5,1,2,100,2238100,1\n"
                                "1.2500000009999,1,3,100,2238100,1\n"
                                "2.000000001,1,4,100,2238100,1\n";
    static const uint64_t expected[] = {1000000000, 1500000000, 1500000000, 2000000001};
    struct reading reading;
    read_tape(&reading, lines, sizeof(lines) - 1, &acme_alone);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    cr_assert_arr_eq(reading.day.times, expected, sizeof(expected));
    load_day_free(&reading.day);
    struct bytes_out out = {.size = 0};
    put_add(&out, "ACME    ", 10, 'B', 300, 500000);
    ((struct itch_head *)(out.bytes + 2))->time_ns = be48_of(34200000000123);
    read_tape(&reading, out.bytes, out.size, &every_symbol);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    cr_assert_eq(reading.day.times[0], 34200000000123);
    load_day_free(&reading.day);
}

Test(load_tape, only_the_symbols_asked_for_are_read_and_only_so_many_steps)
{
    struct bytes_out out = {.size = 0};
    struct reading reading;
    put_itch_day(&out);
    read_tape(&reading, out.bytes, out.size, &acme_alone);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    cr_assert_eq(reading.day.count, 5);
    cr_assert_eq(reading.day.symbol_count, 1);
    cr_assert_eq(reading.counts.other_symbol, 2);
    load_day_free(&reading.day);
    struct load_tape_options three = {.session_count = 1, .count = 3};
    read_tape(&reading, out.bytes, out.size, &three);
    cr_assert_eq(reading.status, 0);
    cr_assert_eq(reading.day.count, 3);
    cr_assert_eq(reading.day.steps[2].session, 0, "one session trades with itself");
    load_day_free(&reading.day);
}

Test(load_tape, no_order_is_forgotten_among_many_that_come_and_go)
{
    enum { ORDERS = 60000, LIVE = 20000 };
    uint8_t *bytes = malloc(ORDERS * 2 * 64);
    uint64_t *live = malloc(LIVE * sizeof(*live));
    uint64_t random = 3;
    size_t size = 0;
    for (uint32_t i = 0; i < ORDERS; i++) {
        struct bytes_out out = {.size = 0};
        uint64_t *id = &live[i < LIVE ? i : next_random(&random) % LIVE];
        if (i >= LIVE)
            put_change(&out, ITCH_DELETE, 'A', *id, 0);
        *id = next_random(&random) >> 30;
        put_add(&out, "ACME    ", *id, 'B', 100, 500000);
        memcpy(bytes + size, out.bytes, out.size);
        size += out.size;
    }
    struct reading reading;
    read_tape(&reading, bytes, size, &every_symbol);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    cr_assert_eq(reading.counts.unknown_order + reading.counts.malformed, 0);
    cr_assert_eq(reading.day.count, ORDERS + ORDERS - LIVE);
    load_day_free(&reading.day);
    free(bytes);
    free(live);
}

static void put_raw(struct bytes_out *out, const void *bytes, size_t size)
{
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
}

static void put_pcap_header(struct bytes_out *out, uint32_t magic)
{
    uint32_t header[] = {magic, 0x00040002, 0, 0, 65535, 1};
    put_raw(out, header, sizeof(header));
}

static void put_frame(struct bytes_out *out, const void *payload, size_t size)
{
    struct endpoint from = {.port = htons(1), .address = htonl(0x0A000001), .vlan = PACKET_NO_VLAN};
    struct endpoint to = {.port = htons(2), .address = htonl(0xE0000001), .vlan = PACKET_NO_VLAN};
    uint8_t frame[PACKET_SIZE_MAX];
    memcpy(frame + packet_payload_offset(&to), payload, size);
    uint32_t frame_size = (uint32_t)packet_write_headers(frame, &from, &to, size);
    uint32_t record[] = {0, 0, frame_size, frame_size};
    put_raw(out, record, sizeof(record));
    put_raw(out, frame, frame_size);
}

static void put_mold(struct bytes_out *out, const char *session, uint64_t sequence,
                     const struct bytes_out *blocks, uint16_t count)
{
    struct mold_header header = {.sequence = be64_of(sequence), .count = be16_of(count)};
    uint8_t payload[PACKET_SIZE_MAX];
    memcpy(header.session, session, 10);
    memcpy(payload, &header, sizeof(header));
    memcpy(payload + sizeof(header), blocks->bytes, blocks->size);
    put_frame(out, payload, sizeof(header) + blocks->size);
}

Test(load_tape, a_pcap_of_moldudp64_becomes_orders_once_each)
{
    static const uint32_t magics[] = {0xA1B2C3D4, 0xA1B23C4D}; // microseconds, nanoseconds
    struct bytes_out blocks = {.size = 0}, nothing = {.size = 0};
    put_itch_day(&blocks);
    for (int i = 0; i < 2; i++) {
        struct bytes_out out = {.size = 0};
        struct reading reading;
        put_pcap_header(&out, magics[i]);
        put_frame(&out, "dig", 3);
        put_mold(&out, "SESSION001", 5, &nothing, MOLD_COUNT_HEARTBEAT);
        put_mold(&out, "SESSION001", 5, &blocks, blocks.count);
        put_mold(&out, "SESSION001", 5, &blocks, blocks.count); // the other line of the feed
        put_mold(&out, "SESSION002", 50, &blocks, blocks.count);
        put_mold(&out, "SESSION001", 14, &nothing, MOLD_COUNT_END_OF_SESSION);
        put_mold(&out, "SESSION001", 14, &blocks, 3); // six blocks too many
        read_tape(&reading, out.bytes, out.size, &every_symbol);
        cr_assert_eq(reading.status, 0, "%s", reading.error.text);
        expect_itch_day(&reading.day);
        cr_assert_eq(reading.counts.messages, 9);
        cr_assert_eq(reading.counts.packets_other, 6);
        load_day_free(&reading.day);
    }
}

Test(load_tape, what_ouch_cannot_say_is_fitted_and_nonsense_is_counted)
{
    struct bytes_out out = {.size = 0};
    struct reading reading;
    put_add(&out, "ACME    ", 1, 'B', 4000000, 0x77359400);
    put_add(&out, "ACME    ", 1, 'B', 100, 500000); // its number is taken
    put_add(&out, "ACME    ", 2, 'B', 0, 500000);
    put_add(&out, "ACME    ", 3, 'B', 100, 0);
    put_add(&out, "ACME    ", 4, 'X', 100, 500000);
    put_add(&out, "ACME    ", 5, 'S', 999999, PRICE_MAX);
    put_change(&out, ITCH_EXECUTED, 'A', 5, 999998);
    put_replace(&out, 5, 6, 999999, 1); // one share is left to the chain
    put_change(&out, ITCH_CANCEL, 'A', 6, UINT32_MAX);
    put_change(&out, ITCH_EXECUTED, 'A', 1, UINT32_MAX);
    read_tape(&reading, out.bytes, out.size, &every_symbol);
    cr_assert_eq(reading.status, 0, "%s", reading.error.text);
    const struct load_day *day = &reading.day;
    expect_step(day, 0,
                STEP(.kind = LOAD_ENTER, .ref = 1, .quantity = QUANTITY_MAX, .price = PRICE_MAX,
                     .side = SIDE_BUY, .time_in_force = '0'));
    expect_step(day, 3,
                STEP(.kind = LOAD_REPLACE, .session = 1, .ref = 2, .orig_ref = 1,
                     .quantity = 999999, .price = 1));
    expect_step(day, 4, STEP(.kind = LOAD_CANCEL, .session = 1, .ref = 2));
    expect_step(day, 5,
                STEP(.kind = LOAD_ENTER, .session = 1, .ref = 3, .quantity = QUANTITY_MAX,
                     .price = PRICE_MAX, .side = SIDE_SELL, .time_in_force = '3'));
    cr_assert_eq(day->count, 6);
    cr_assert_eq(reading.counts.fitted, 3);
    cr_assert_eq(reading.counts.malformed, 4);
    load_day_free(&reading.day);
}

static void expect_refused(const void *bytes, size_t size, const char *reason)
{
    struct reading reading;
    read_tape(&reading, bytes, size, &acme_alone);
    cr_assert_eq(reading.status, -1, "a tape of %zu bytes was taken", size);
    cr_assert(strstr(reading.error.text, reason) != NULL, "\"%s\" has no \"%s\"",
              reading.error.text, reason);
    load_day_free(&reading.day);
}

Test(load_tape, a_file_that_is_cut_off_or_no_tape_is_refused_with_a_reason)
{
    struct bytes_out blocks = {.size = 0}, pcap = {.size = 0};
    struct reading reading;
    put_itch_day(&blocks);
    put_pcap_header(&pcap, 0xA1B2C3D4);
    put_mold(&pcap, "SESSION001", 1, &blocks, blocks.count);
    expect_refused("", 0, "not a file with anything in it");
    expect_refused("\x1F\x8B\x08", 3, "is not a tape");
    expect_refused("34200.1,1,1,100,2238100,1\n34200.2,1,2,100", 41, "line 2 ");
    expect_refused("34200.1,1,1,100,2238100,1\n34200.2,1,x,1,1,1\n", 44, "line 2 ");
    expect_refused("34200.1.5,1,1,100,2238100,1\n", 28, "line 1 ");
    expect_refused("99999999999,1,1,100,2238100,1\n", 30, "line 1 ");
    expect_refused("34200.1,5,1,100,2238100,1\n", 26, "no order");
    expect_refused(blocks.bytes, blocks.size - 1, "cut off at byte");
    expect_refused(pcap.bytes, pcap.size - 1, "truncated");
    expect_refused(pcap.bytes, 24, "no order");
    expect_refused(pcap.bytes, 10, "pcap");
    blocks.bytes[16] = 1; // the second message's type and length no longer agree
    expect_refused(blocks.bytes, blocks.size, "is not ITCH 5.0");
    cr_assert_eq(
        load_tape_read("/nowhere", &acme_alone, &reading.day, &reading.counts, &reading.error), -1);
    struct load_tape_options unnamed = {.session_count = 1};
    read_tape(&reading, "34200.1,1,1,100,2238100,1\n", 26, &unnamed);
    cr_assert_eq(reading.status, -1);
    cr_assert(strstr(reading.error.text, "--symbol") != NULL);
}

Test(load_tape, no_garbage_crashes_a_reader)
{
    struct bytes_out blocks = {.size = 0}, pcap = {.size = 0};
    uint64_t random = 5;
    put_itch_day(&blocks);
    put_pcap_header(&pcap, 0xA1B2C3D4);
    put_mold(&pcap, "SESSION001", 1, &blocks, blocks.count);
    static const char line[] = "34200.1,1,1,100,2238100,1\n34200.1,4,1,100,2238100,1\n";
    for (int i = 0; i < 1500; i++) {
        struct bytes_out out = i % 3 == 0 ? blocks : pcap;
        if (i % 3 == 2) {
            out.size = sizeof(line) - 1;
            memcpy(out.bytes, line, out.size);
        }
        for (int change = 0; change < 4; change++)
            out.bytes[next_random(&random) % out.size] = (uint8_t)next_random(&random);
        struct reading reading;
        read_tape(&reading, out.bytes, out.size, &every_symbol);
        load_day_free(&reading.day);
    }
}

Test(load_tape, the_recorded_itch_slice_is_read_whole)
{
    char path[512];
    struct reading reading;
    SKIP_WITHOUT_RECORDINGS();
    recorded_path(path, sizeof(path), "nasdaq-itch50-20141111-1200.pcap");
    cr_assert_eq(load_tape_read(path, &every_symbol, &reading.day, &reading.counts, &reading.error),
                 0, "%s", reading.error.text);
    const struct load_tape_counts *counts = &reading.counts;
    cr_assert_eq(counts->messages, 10937);
    cr_assert_eq(counts->unknown_order, 5608 - 1498); // entered before the slice begins
    cr_assert_eq(counts->no_order, 344 + 21 + 1 + 1 + 1);
    cr_assert_eq(counts->malformed, 0);
    cr_assert_eq(reading.day.count, 4890 + 71 + 1498);
    load_day_free(&reading.day);
}

// The client, fed by hand.

#define NOW   1000000000ull
#define SHORT "ACME    "

static struct histogram latency;

static void open_client(struct load_client *client, uint32_t refs, uint32_t cancels)
{
    struct load_client_options options = {.user_name = "alice",
                                          .password = "secret",
                                          .ref_count = refs,
                                          .cancel_count = cancels,
                                          .latency = &latency};
    struct error error;
    histogram_reset(&latency);
    cr_assert_eq(load_client_open(client, &options, &error), 0);
}

static size_t poll_client(struct load_client *client, uint64_t now, uint8_t *out)
{
    return load_client_poll(client, now, out);
}

// The client's next control message is of `type`, or none when 0.
static void expect_poll(struct load_client *client, uint64_t now, char type)
{
    uint8_t out[UFO_PAYLOAD_MAX];
    size_t size = poll_client(client, now, out);
    if (type == 0)
        cr_assert_eq(size, 0, "sends %c", out[2]);
    else
        cr_assert(size > 2 && out[2] == type, "wanted %c, got %c of %zu", type, out[2], size);
    uint32_t count;
    cr_assert(size == 0 || ufo_check(out, size, &count) == UFO_OK);
}

static void receive_hex(struct load_client *client, const char *text, uint64_t now)
{
    uint8_t bytes[2048];
    size_t size = from_hex(text, bytes, sizeof(bytes));
    uint8_t *copy = exact_copy(bytes, size);
    load_client_receive(client, copy, size, now);
    free(copy);
}

// A sequenced packet being made.
struct packet_out {
    uint8_t bytes[UFO_PAYLOAD_MAX];
    size_t size;
    uint32_t sequence;
    uint16_t count;
};

static struct packet_out from_sequence(uint32_t sequence)
{
    return (struct packet_out){.size = sizeof(struct ufo_sequenced), .sequence = sequence};
}

static void add_message(struct packet_out *out, const void *message, size_t size)
{
    be16 length = be16_of((uint16_t)size);
    memcpy(out->bytes + out->size, &length, 2);
    memcpy(out->bytes + out->size + 2, message, size);
    out->size += 2 + size;
    out->count++;
}

static void deliver(struct load_client *client, struct packet_out *out, uint64_t now)
{
    struct ufo_sequenced header = {
        .type = UFO_SEQUENCED, .sequence = be32_of(out->sequence), .count = be16_of(out->count)};
    memcpy(out->bytes, &header, sizeof(header));
    uint8_t *copy = exact_copy(out->bytes, out->size);
    load_client_receive(client, copy, out->size, now);
    free(copy);
}

static void add_accepted(struct packet_out *out, uint32_t number, uint32_t quantity)
{
    struct ouch_accepted accepted = {.type = OUCH_ACCEPTED,
                                     .user_ref_num = be32_of(number),
                                     .quantity = be32_of(quantity),
                                     .order_state = 'L'};
    add_message(out, &accepted, sizeof(accepted));
}

static void add_replaced(struct packet_out *out, uint32_t orig, uint32_t number, uint32_t quantity)
{
    struct ouch_replaced replaced = {.type = OUCH_REPLACED,
                                     .orig_user_ref_num = be32_of(orig),
                                     .user_ref_num = be32_of(number),
                                     .quantity = be32_of(quantity),
                                     .order_state = 'L'};
    add_message(out, &replaced, sizeof(replaced));
}

static void add_canceled(struct packet_out *out, uint32_t number, uint32_t quantity, char reason)
{
    struct ouch_canceled canceled = {.type = OUCH_CANCELED,
                                     .user_ref_num = be32_of(number),
                                     .quantity = be32_of(quantity),
                                     .reason = (uint8_t)reason};
    add_message(out, &canceled, sizeof(canceled));
}

static void add_executed(struct packet_out *out, uint32_t number, uint32_t quantity, char flag,
                         uint64_t match)
{
    struct ouch_executed executed = {.type = OUCH_EXECUTED,
                                     .user_ref_num = be32_of(number),
                                     .quantity = be32_of(quantity),
                                     .liquidity_flag = (uint8_t)flag,
                                     .match_number = be64_of(match)};
    add_message(out, &executed, sizeof(executed));
}

static void add_rejected(struct packet_out *out, uint32_t number, uint16_t reason)
{
    struct ouch_rejected rejected = {
        .type = OUCH_REJECTED, .user_ref_num = be32_of(number), .reason = be16_of(reason)};
    add_message(out, &rejected, sizeof(rejected));
}

static void add_response(struct packet_out *out, uint32_t next)
{
    struct ouch_query_response response = {.type = OUCH_QUERY_RESPONSE,
                                           .next_user_ref_num = be32_of(next)};
    add_message(out, &response, sizeof(response));
}

// Logged in, with UserRefNum 1 (ref 1) and sequence number 2 to come.
static void log_in(struct load_client *client)
{
    expect_poll(client, NOW, UFO_LOGIN);
    receive_hex(client, "41 53455353303030303031 00000001", NOW);
    cr_assert_eq(client->state, LOAD_ASKING);
    expect_poll(client, NOW, UFO_UNSEQUENCED);
    struct packet_out out = from_sequence(1);
    add_response(&out, 1);
    deliver(client, &out, NOW);
    cr_assert_eq(client->state, LOAD_READY);
}

static void send_enter(struct load_client *client, uint32_t ref, uint64_t at)
{
    struct load_step step = {
        .kind = LOAD_ENTER, .ref = ref, .quantity = 100, .price = 500000, .time_in_force = '0'};
    load_client_send(client, &step, SHORT, at);
}

static void send_cancel(struct load_client *client, uint32_t ref, uint32_t total, uint64_t at)
{
    struct load_step step = {.kind = LOAD_CANCEL, .ref = ref, .quantity = total};
    load_client_send(client, &step, SHORT, at);
}

static void send_replace(struct load_client *client, uint32_t orig, uint32_t ref, uint32_t total)
{
    struct load_step step = {
        .kind = LOAD_REPLACE, .ref = ref, .orig_ref = orig, .quantity = total, .price = 500100};
    load_client_send(client, &step, SHORT, NOW);
}

static void drain(struct load_client *client)
{
    uint32_t count;
    while (load_client_waiting(client, &count), count > 0)
        load_client_sent(client, count, NOW);
}

static struct load_fates fates_of(const struct load_client *client, bool settled)
{
    struct load_fates fates = {.enters = 0};
    load_client_account(client, settled, &fates);
    return fates;
}

Test(load_client, the_login_is_repeated_each_200_ms_until_it_is_answered)
{
    struct load_client client;
    uint8_t out[UFO_PAYLOAD_MAX];
    uint8_t wanted[64];
    open_client(&client, 1, 0);
    size_t size = from_hex("001B 4C 616C69636520 73656372657420202020 20202020202020202020", wanted,
                           sizeof(wanted));
    cr_assert_eq(poll_client(&client, NOW, out), size);
    cr_assert_arr_eq(out, wanted, size);
    expect_poll(&client, NOW + 199999999, 0);
    expect_poll(&client, NOW + 200000000, UFO_LOGIN);
    expect_poll(&client, NOW + 200000000, 0);
    receive_hex(&client, "53 00000005 0000", NOW); // nothing counts before the login
    cr_assert_eq(client.state, LOAD_LOGGING_IN);
    receive_hex(&client, "4A 41", NOW);
    cr_assert_eq(client.state, LOAD_REFUSED);
    expect_poll(&client, NOW + 5000000000, 0);
    load_client_close(&client);
}

Test(load_client, it_begins_where_the_session_stands)
{
    struct load_client client;
    open_client(&client, 1, 0);
    expect_poll(&client, NOW, UFO_LOGIN);
    receive_hex(&client, "41 53455353303030303031 00000029", NOW);
    receive_hex(&client, "41 53455353303030303031 00000029", NOW); // to a repeated login
    expect_poll(&client, NOW, UFO_UNSEQUENCED);
    expect_poll(&client, NOW + 200000000, UFO_UNSEQUENCED);
    struct packet_out out = from_sequence(0x29);
    add_executed(&out, 400, 5, 'A', 1); // of an order of an earlier run
    add_response(&out, 501);
    deliver(&client, &out, NOW);
    cr_assert_eq(client.state, LOAD_READY);
    cr_assert_eq(client.earlier_orders, 1);
    send_enter(&client, 1, NOW);
    uint32_t count;
    const struct load_datagram *datagram = load_client_waiting(&client, &count);
    const struct ouch_enter *enter = (const void *)(datagram->bytes + 3);
    cr_assert_eq(count, 1);
    cr_assert_eq(datagram->size, 50);
    cr_assert_eq(be32_load(enter->user_ref_num), 501);
    load_client_close(&client);
}

Test(load_client, a_session_without_enough_numbers_left_is_not_used)
{
    struct load_client client;
    open_client(&client, 10, 0);
    expect_poll(&client, NOW, UFO_LOGIN);
    receive_hex(&client, "41 53455353303030303031 00000001", NOW);
    struct packet_out out = from_sequence(1);
    add_response(&out, UINT32_MAX - 5);
    deliver(&client, &out, NOW);
    cr_assert_eq(client.state, LOAD_FAILED);
    load_client_close(&client);
}

Test(load_client, silence_is_broken_each_second_and_ten_seconds_of_the_venues_end_the_session)
{
    struct load_client client;
    open_client(&client, 1, 0);
    log_in(&client);
    expect_poll(&client, NOW + 999999999, 0);
    expect_poll(&client, NOW + 1000000000, UFO_HEARTBEAT);
    expect_poll(&client, NOW + 1999999999, 0);
    receive_hex(&client, "53 00000002 0000", NOW + 5000000000);
    expect_poll(&client, NOW + 15000000000, UFO_HEARTBEAT);
    cr_assert_eq(client.state, LOAD_READY);
    expect_poll(&client, NOW + 15000000001, 0);
    cr_assert_eq(client.state, LOAD_FAILED);
    load_client_close(&client);
}

Test(load_client, another_session_under_the_same_name_ends_the_run)
{
    struct load_client client;
    open_client(&client, 1, 0);
    log_in(&client);
    receive_hex(&client, "41 53455353303030303032 00000001", NOW);
    cr_assert_eq(client.state, LOAD_FAILED);
    load_client_close(&client);
}

Test(load_client, due_messages_share_datagrams_of_at_most_16)
{
    struct load_client client;
    open_client(&client, 200, 0);
    log_in(&client);
    for (uint32_t ref = 1; ref <= 128; ref++) {
        cr_assert(load_client_room(&client));
        send_enter(&client, ref, NOW + ref);
    }
    cr_assert_not(load_client_room(&client));
    uint32_t count, blocks;
    const struct load_datagram *datagrams = load_client_waiting(&client, &count);
    cr_assert_eq(count, 8);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(ufo_check(datagrams[i].bytes, datagrams[i].size, &blocks), UFO_OK);
        cr_assert_eq(blocks, 16);
        cr_assert_eq(datagrams[i].first_ns, NOW + 16 * i + 1);
    }
    load_client_sent(&client, 3, NOW);
    send_enter(&client, 129, NOW);
    load_client_waiting(&client, &count);
    cr_assert_eq(count, 5, "up to the end of the ring");
    load_client_sent(&client, 5, NOW);
    load_client_waiting(&client, &count);
    cr_assert_eq(count, 1);
    load_client_close(&client);
}

Test(load_client, every_fate_is_accounted_for)
{
    struct load_client client;
    open_client(&client, 9, 4);
    log_in(&client);
    for (uint32_t ref = 1; ref <= 7; ref++)
        send_enter(&client, ref, NOW);
    send_cancel(&client, 2, 60, NOW);
    send_cancel(&client, 2, 0, NOW);
    send_cancel(&client, 1, 0, NOW); // too late
    send_cancel(&client, 4, 0, NOW); // lost on the way
    send_replace(&client, 5, 8, 150);
    send_replace(&client, 1, 9, 150); // too late
    drain(&client);
    struct packet_out out = from_sequence(2);
    add_accepted(&out, 1, 100);
    add_executed(&out, 1, 40, 'A', 1);
    add_executed(&out, 1, 60, 'R', 2);
    add_accepted(&out, 2, 100);
    add_executed(&out, 2, 10, 'A', 3);
    add_canceled(&out, 2, 40, 'U');
    add_canceled(&out, 2, 50, 'U');
    add_rejected(&out, 3, 0x17);
    add_accepted(&out, 4, 100);
    add_executed(&out, 4, 30, 'A', 4);
    add_accepted(&out, 5, 100);
    add_replaced(&out, 5, 8, 150);
    add_accepted(&out, 6, 100);
    add_canceled(&out, 6, 100, 'I');
    deliver(&client, &out, NOW + 5000);
    load_client_query(&client);
    cr_assert_not(load_client_settled(&client));
    expect_poll(&client, NOW, UFO_UNSEQUENCED);
    struct packet_out last = from_sequence(16);
    add_response(&last, 9);
    deliver(&client, &last, NOW + 6000);
    cr_assert(load_client_settled(&client));
    struct load_fates f = fates_of(&client, true);
    cr_assert(load_fates_hold(&f));
    cr_assert(f.enters == 7 && f.enters_accepted == 5 && f.enters_rejected == 1 &&
              f.enters_lost == 1 && f.enters_unanswered == 0);
    cr_assert(f.cancels == 4 && f.cancels_answered == 2 && f.cancels_no_effect == 1 &&
              f.cancels_lost == 1);
    cr_assert(f.replaces == 2 && f.replaces_replaced == 1 && f.replaces_no_effect == 1);
    cr_assert(f.executed_fully == 1 && f.canceled_partly_executed == 1 && f.canceled == 1 &&
              f.replaced == 1 && f.open_partly_executed == 1 && f.resting == 1);
    cr_assert(f.executed_orders == 3 && f.executed_shares == 140 && f.resting_shares == 220);
    cr_assert_eq(client.rejected[0x17], 1);
    cr_assert(client.added_shares == 80 && client.removed_shares == 60);
    cr_assert_eq(client.answered, 9);
    cr_assert_eq(latency.total_count, 9);
    cr_assert_eq(latency.min, 5000);
    load_client_close(&client);
}

Test(load_client, latency_counts_from_the_intended_time)
{
    struct load_client client;
    open_client(&client, 2, 1);
    log_in(&client);
    send_enter(&client, 1, NOW - 700);
    send_cancel(&client, 1, 0, NOW - 300);
    drain(&client);
    struct packet_out out = from_sequence(2);
    add_accepted(&out, 1, 100);
    deliver(&client, &out, NOW);
    cr_assert_eq(latency.max, 700);
    out = from_sequence(3);
    add_canceled(&out, 1, 100, 'U');
    deliver(&client, &out, NOW + 2);
    cr_assert_eq(latency.min, 302);
    cr_assert(load_client_order_gone(&client, 1));
    load_client_close(&client);
}

Test(load_client, a_datagram_says_the_enter_it_begins_with_and_the_client_when_that_is_answered)
{
    struct load_client client;
    uint32_t count;
    open_client(&client, 2, 1);
    log_in(&client);
    send_enter(&client, 1, NOW);
    send_enter(&client, 2, NOW);
    cr_assert_eq(load_client_waiting(&client, &count)->first_ref, 1);
    drain(&client);
    send_cancel(&client, 2, 0, NOW);
    cr_assert_eq(load_client_waiting(&client, &count)->first_ref, 0);
    drain(&client);
    client.watched = 1;
    struct packet_out out = from_sequence(2);
    add_accepted(&out, 2, 100);
    deliver(&client, &out, NOW);
    cr_assert_eq(client.watched, 1);
    out = from_sequence(3);
    add_accepted(&out, 1, 100);
    deliver(&client, &out, NOW);
    cr_assert_eq(client.watched, 0);
    load_client_close(&client);
}

Test(load_client, a_replace_that_the_venue_answers_by_cancelling_is_no_lost_message)
{
    struct load_client client;
    open_client(&client, 2, 0);
    log_in(&client);
    send_enter(&client, 1, NOW);
    send_replace(&client, 1, 2, 50);
    drain(&client);
    struct packet_out out = from_sequence(2);
    add_accepted(&out, 1, 100);
    add_executed(&out, 1, 60, 'A', 1);
    add_canceled(&out, 1, 40, 'U');
    deliver(&client, &out, NOW);
    struct load_fates f = fates_of(&client, true);
    cr_assert(load_fates_hold(&f));
    cr_assert_eq(f.replaces_refused, 1);
    cr_assert_eq(f.canceled_partly_executed, 1);
    cr_assert_eq(client.answered, 2);
    load_client_close(&client);
}

// Ten accepted orders in packets of one message each, numbers 2 to 11.
static void deliver_one(struct load_client *client, uint32_t sequence)
{
    struct packet_out out = from_sequence(sequence);
    add_accepted(&out, sequence - 1, 100);
    deliver(client, &out, NOW);
}

static void open_with_ten(struct load_client *client)
{
    open_client(client, 10, 0);
    log_in(client);
    for (uint32_t ref = 1; ref <= 10; ref++)
        send_enter(client, ref, NOW);
    drain(client);
}

static void expect_request(struct load_client *client, uint64_t now, uint32_t first, uint16_t count)
{
    uint8_t out[UFO_PAYLOAD_MAX];
    size_t size = poll_client(client, now, out);
    cr_assert_eq(size, 9, "no request");
    cr_assert_eq(out[2], UFO_RETRANSMIT);
    const struct ufo_retransmit *request = (const void *)(out + 2);
    cr_assert(be32_load(request->sequence) == first && be16_load(request->count) == count,
              "asks for %u from %u", be16_load(request->count), be32_load(request->sequence));
}

Test(load_client, a_gap_is_asked_for_each_50_ms_and_at_once_for_what_did_not_fit)
{
    struct load_client client;
    open_with_ten(&client);
    deliver_one(&client, 2);
    expect_poll(&client, NOW, 0);
    deliver_one(&client, 6); // 3, 4 and 5 are missing
    cr_assert_eq(client.answered, 2, "what comes behind a gap counts at once");
    cr_assert_not(load_client_complete(&client));
    expect_request(&client, NOW, 3, 3);
    expect_poll(&client, NOW + 49999999, 0);
    expect_request(&client, NOW + 50000000, 3, 3);
    deliver_one(&client, 3); // more did not fit
    expect_request(&client, NOW + 50000001, 4, 2);
    deliver_one(&client, 5);
    expect_poll(&client, NOW + 50000001, 0);
    deliver_one(&client, 4);
    cr_assert(load_client_complete(&client));
    expect_poll(&client, NOW + 500000000, 0);
    cr_assert_eq(client.expected, 7);
    cr_assert_eq(client.retransmit_requests, 3);
    load_client_close(&client);
}

Test(load_client, a_heartbeat_reveals_that_the_last_messages_are_missing)
{
    struct load_client client;
    open_with_ten(&client);
    receive_hex(&client, "53 0000000C 0000", NOW);
    expect_request(&client, NOW, 2, 10);
    load_client_close(&client);
}

Test(load_client, duplicates_and_any_order_of_arrival_give_the_same_account)
{
    uint64_t random = 77;
    for (int round = 0; round < 200; round++) {
        struct load_client client;
        open_with_ten(&client);
        uint32_t todo[10];
        for (uint32_t i = 0; i < 10; i++)
            todo[i] = i + 2;
        for (uint32_t i = 9; i > 0; i--) {
            uint32_t other = (uint32_t)(next_random(&random) % (i + 1));
            uint32_t swap = todo[i];
            todo[i] = todo[other];
            todo[other] = swap;
        }
        for (uint32_t i = 0; i < 10; i++) {
            deliver_one(&client, todo[i]);
            deliver_one(&client, todo[next_random(&random) % (i + 1)]);
        }
        cr_assert(load_client_complete(&client));
        cr_assert_eq(client.expected, 12);
        cr_assert_eq(client.duplicates, 10);
        struct load_fates f = fates_of(&client, true);
        cr_assert(load_fates_hold(&f));
        cr_assert_eq(f.enters_accepted, 10);
        cr_assert_eq(f.resting, 10);
        load_client_close(&client);
    }
}

Test(load_client, messages_far_beyond_a_gap_are_asked_for_again)
{
    struct load_client client;
    open_client(&client, 3, 0);
    log_in(&client);
    for (uint32_t ref = 1; ref <= 3; ref++)
        send_enter(&client, ref, NOW);
    drain(&client);
    struct packet_out far = from_sequence(2 + LOAD_WINDOW);
    add_accepted(&far, 2, 100);
    deliver(&client, &far, NOW);
    struct packet_out edge = from_sequence(1 + LOAD_WINDOW);
    add_accepted(&edge, 3, 100);
    deliver(&client, &edge, NOW);
    cr_assert_eq(client.beyond_window, 1);
    cr_assert_eq(client.answered, 1);
    expect_request(&client, NOW, 2, 122);
    deliver_one(&client, 2);
    deliver(&client, &far, NOW);
    cr_assert_eq(client.answered, 3);
    load_client_close(&client);
}

Test(load_client, after_the_venues_end_the_stream_is_completed_and_counts_as_settled)
{
    struct load_client client;
    open_with_ten(&client);
    for (uint32_t sequence = 2; sequence <= 9; sequence++)
        deliver_one(&client, sequence);
    receive_hex(&client, "45 0000000A", NOW); // ten messages
    cr_assert_eq(client.state, LOAD_ENDED);
    cr_assert_not(load_client_settled(&client));
    expect_request(&client, NOW, 10, 1);
    deliver_one(&client, 10);
    cr_assert(load_client_settled(&client));
    receive_hex(&client, "45 0000000A", NOW);
    struct load_fates f = fates_of(&client, true);
    cr_assert(load_fates_hold(&f));
    cr_assert_eq(f.enters_accepted, 9);
    cr_assert_eq(f.enters_lost, 1);
    load_client_close(&client);
}

Test(load_client, a_late_response_to_an_early_query_does_not_settle_a_later_one)
{
    struct load_client client;
    open_client(&client, 1, 0);
    expect_poll(&client, NOW, UFO_LOGIN);
    receive_hex(&client, "41 53455353303030303031 00000001", NOW);
    expect_poll(&client, NOW, UFO_UNSEQUENCED);
    expect_poll(&client, NOW + 200000000, UFO_UNSEQUENCED); // two queries are on their way
    struct packet_out out = from_sequence(1);
    add_response(&out, 1);
    deliver(&client, &out, NOW);
    send_enter(&client, 1, NOW);
    drain(&client);
    load_client_query(&client);
    expect_poll(&client, NOW + 200000000, UFO_UNSEQUENCED);
    for (uint32_t sequence = 2; sequence <= 3; sequence++) {
        cr_assert_not(load_client_settled(&client));
        out = from_sequence(sequence);
        add_response(&out, 1);
        deliver(&client, &out, NOW);
    }
    cr_assert(load_client_settled(&client));
    load_client_close(&client);
}

Test(load_client, contradictory_answers_break_the_sums)
{
    struct load_client client;
    open_with_ten(&client);
    struct packet_out out = from_sequence(2);
    add_accepted(&out, 1, 100);
    add_accepted(&out, 1, 100); // twice
    add_accepted(&out, 2, 100);
    add_executed(&out, 2, 101, 'A', 1); // more than there are
    add_executed(&out, 3, 1, 'A', 1);   // never accepted
    add_rejected(&out, 4, 0x0F);
    add_accepted(&out, 4, 100);
    deliver(&client, &out, NOW);
    struct load_fates f = fates_of(&client, true);
    cr_assert_eq(f.impossible, 4);
    cr_assert_not(load_fates_hold(&f));
    load_client_close(&client);
}

Test(load_client, orders_that_rest_since_before_break_no_sums)
{
    struct load_client client;
    open_with_ten(&client);
    struct packet_out out = from_sequence(2);
    struct ouch_restated restated = {.type = OUCH_RESTATED, .reason = 'R'};
    add_message(&out, &restated, sizeof(restated));
    add_executed(&out, 1, 50, 'm', 7);
    deliver(&client, &out, NOW);
    cr_assert_eq(client.malformed, 0);
    cr_assert_eq(client.removed_shares, 50, "the incoming side of a trade at the midpoint");
    cr_assert_eq(client.added_count, 0);
    load_client_close(&client);
}

Test(load_client, what_is_not_ufo_or_ouch_is_counted_and_never_read_beyond)
{
    static const char *const datagrams[] = {
        "",
        "00",
        "53",
        "53 00000002",
        "53 00000002 0001",
        "53 00000002 0001 0002 41",
        "53 00000002 0001 0000",
        "53 00000002 0001 0001 41 00",
        "53 00000000 0000",
        "53 FFFFFFFF 0001 0001 41",
        "41 53455353303030303031 000000",
        "45 0000",
        "4A",
        "41 53455353303030303031 00000000",
    };
    struct load_client client;
    open_client(&client, 1, 0);
    log_in(&client);
    for (size_t i = 0; i < sizeof(datagrams) / sizeof(datagrams[0]); i++) {
        receive_hex(&client, datagrams[i], NOW);
        cr_assert_eq(client.malformed, i + 1, "%s", datagrams[i]);
        cr_assert_eq(client.expected, 2);
    }
    receive_hex(&client, "53 00000002 0002 0001 41 0001 5A", NOW); // no whole message in it
    cr_assert_eq(client.malformed, sizeof(datagrams) / sizeof(datagrams[0]) + 2);
    cr_assert_eq(client.expected, 4);
    load_client_close(&client);
}

Test(load_client, random_bytes_never_crash_it)
{
    struct load_client client;
    uint64_t random = 9;
    open_with_ten(&client);
    for (int i = 0; i < 50000; i++) {
        struct packet_out out = from_sequence(client.expected);
        add_accepted(&out, 1 + (uint32_t)i % 12, 100);
        add_replaced(&out, 1 + (uint32_t)i % 7, (uint32_t)i % 13, 5);
        add_executed(&out, 1 + (uint32_t)i % 10, 1, 'R', 3);
        struct ufo_sequenced header = {
            .type = UFO_SEQUENCED, .sequence = be32_of(out.sequence), .count = be16_of(3)};
        memcpy(out.bytes, &header, sizeof(header));
        for (int change = 0; change < 3; change++)
            out.bytes[next_random(&random) % out.size] = (uint8_t)next_random(&random);
        if (out.bytes[0] == UFO_LOGIN_ACCEPT || out.bytes[0] == UFO_END)
            continue;
        load_client_receive(&client, out.bytes, next_random(&random) % (out.size + 1), NOW);
    }
    fates_of(&client, true);
    load_client_close(&client);
}

Test(load_report, an_execution_that_only_one_side_was_told_of_is_a_violation)
{
    struct load_client client;
    struct load_report *report = calloc(1, sizeof(*report));
    struct error error;
    open_with_ten(&client);
    for (uint32_t sequence = 2; sequence <= 11; sequence++)
        deliver_one(&client, sequence);
    struct packet_out out = from_sequence(12);
    add_executed(&out, 1, 10, 'A', 1);
    add_executed(&out, 2, 10, 'R', 1);
    deliver(&client, &out, NOW);
    report->settled = true;
    load_report_add(report, &client);
    cr_assert_eq(load_report_check(report, &error), 0, "%s", error.text);
    out = from_sequence(14);
    add_executed(&out, 3, 10, 'A', 2);
    add_executed(&out, 4, 10, 'R', 3); // the sums agree, the trades do not
    deliver(&client, &out, NOW);
    struct load_report *broken = calloc(1, sizeof(*broken));
    broken->settled = true;
    load_report_add(broken, &client);
    cr_assert_eq(broken->added_shares, broken->removed_shares);
    cr_assert_eq(load_report_check(broken, &error), -1);
    cr_assert(strstr(error.text, "one side only") != NULL, "%s", error.text);
    free(report);
    free(broken);
    load_client_close(&client);
}

// A venue on the loopback interface: the real book behind a simple UFO server, which can lose
// datagrams either way.

#define VENUE_SESSIONS 4
#define VENUE_HISTORY  200000

struct venue_session {
    struct sockaddr_in client;
    bool bound;
    uint32_t next, sent; // of the stream, from 1
    struct {
        uint8_t size, bytes[OUCH_OUT_SIZE_MAX];
    } * messages;
};

struct venue {
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic bool stop;
    uint32_t lose_upstream, lose_downstream; // every n-th datagram with orders, or answers; 0 none
    uint32_t end_after;                      // orders, 0 never
    uint32_t upstream, downstream, orders;
    bool ended, one_side_only;
    struct matcher *matcher;
    struct symbols symbols;
    uint64_t symbols_memory[8192];
    struct venue_session sessions[VENUE_SESSIONS];
};

static void venue_send(struct venue *venue, struct venue_session *session, const void *bytes,
                       size_t size)
{
    sendto(venue->fd, bytes, size, 0, (void *)&session->client, sizeof(session->client));
}

static void venue_publish(struct venue *venue, struct venue_session *session, uint32_t *from,
                          uint32_t end)
{
    struct packet_out out = from_sequence(*from);
    while (*from < end && out.size + 2 + session->messages[*from].size <= UFO_PAYLOAD_MAX) {
        add_message(&out, session->messages[*from].bytes, session->messages[*from].size);
        (*from)++;
    }
    struct ufo_sequenced header = {
        .type = UFO_SEQUENCED, .sequence = be32_of(out.sequence), .count = be16_of(out.count)};
    memcpy(out.bytes, &header, sizeof(header));
    venue->downstream++;
    if (venue->lose_downstream == 0 || venue->downstream % venue->lose_downstream != 0)
        venue_send(venue, session, out.bytes, out.size);
}

static void venue_events(struct event_sink *sink)
{
    struct venue *venue = sink->context;
    for (struct event *event = venue->matcher->events; event < sink->next; event++) {
        if (event->session == FEED_SESSION || event->type == EVENT_SYSTEM)
            continue;
        if (venue->one_side_only && event->type == EVENT_EXECUTED && event->code == 'A')
            continue;
        struct venue_session *session = &venue->sessions[event->session];
        cr_assert_lt(session->next, VENUE_HISTORY);
        session->messages[session->next].size =
            (uint8_t)ouch_encode(event, &venue->symbols, session->messages[session->next].bytes);
        session->next++;
    }
    sink->next = venue->matcher->events;
}

static void venue_block(struct venue *venue, struct venue_session *session, struct ufo_block block)
{
    struct command command;
    if (block.message[0] == UFO_LOGOFF)
        session->bound = false;
    if (block.message[0] == UFO_RETRANSMIT) {
        const struct ufo_retransmit *request = (const void *)block.message;
        uint32_t from = be32_load(request->sequence);
        uint32_t end = from + be16_load(request->count);
        if (from < session->sent)
            venue_publish(venue, session, &from, end < session->sent ? end : session->sent);
    }
    if (block.message[0] != UFO_UNSEQUENCED || venue->ended)
        return;
    cr_assert_eq(ouch_decode(block.message + 1, block.size - 1u, &venue->symbols, "FIRM", &command),
                 OUCH_OK);
    command.session = (uint16_t)(session - venue->sessions);
    book_apply(venue->matcher->book, &command, &venue->matcher->sink);
    venue_events(&venue->matcher->sink);
    venue->orders += command.type != COMMAND_QUERY;
    venue->ended = venue->orders == venue->end_after && venue->end_after != 0;
}

// Users are named by a digit: USER0 to USER3; any other name is refused.
static void venue_login(struct venue *venue, const struct ufo_login *login,
                        const struct sockaddr_in *from)
{
    struct venue_session *session = &venue->sessions[login->user_name[4] & 3];
    if (memcmp(login->user_name, "USER", 4) != 0) {
        sendto(venue->fd, "JA", 2, 0, (const void *)from, sizeof(*from));
        return;
    }
    struct ufo_login_accept accept = {
        .type = UFO_LOGIN_ACCEPT, .session = "SESSION001", .sequence = be32_of(session->sent)};
    session->client = *from;
    session->bound = true;
    venue_send(venue, session, &accept, sizeof(accept));
}

static void venue_datagram(struct venue *venue, const uint8_t *bytes, size_t size,
                           const struct sockaddr_in *from)
{
    uint32_t count;
    const uint8_t *cursor = bytes;
    cr_assert_eq(ufo_check(bytes, size, &count), UFO_OK);
    if (bytes[2] == UFO_LOGIN) {
        venue_login(venue, (const void *)(bytes + 2), from);
        return;
    }
    if (bytes[2] == UFO_UNSEQUENCED && bytes[3] != OUCH_QUERY && venue->lose_upstream != 0 &&
        ++venue->upstream % venue->lose_upstream == 0)
        return;
    for (int i = 0; i < VENUE_SESSIONS; i++) {
        struct venue_session *session = &venue->sessions[i];
        if (!session->bound || session->client.sin_port != from->sin_port)
            continue;
        for (uint32_t block = 0; block < count; block++)
            venue_block(venue, session, ufo_next(&cursor));
    }
}

static void venue_flush(struct venue *venue, bool heartbeat)
{
    for (int i = 0; i < VENUE_SESSIONS; i++) {
        struct venue_session *session = &venue->sessions[i];
        struct ufo_end end = {.type = UFO_END, .message_count = be32_of(session->next - 1)};
        struct ufo_sequenced idle = {.type = UFO_SEQUENCED, .sequence = be32_of(session->sent)};
        while (session->bound && session->sent < session->next)
            venue_publish(venue, session, &session->sent, session->next);
        if (session->bound && heartbeat && venue->ended)
            venue_send(venue, session, &end, sizeof(end));
        else if (session->bound && heartbeat)
            venue_send(venue, session, &idle, sizeof(idle));
    }
}

static void *venue_main(void *argument)
{
    struct venue *venue = argument;
    while (!venue->stop) {
        struct pollfd ready = {.fd = venue->fd, .events = POLLIN};
        uint8_t bytes[2048];
        struct sockaddr_in from;
        socklen_t from_size = sizeof(from);
        bool any = poll(&ready, 1, 20) == 1;
        ssize_t size = 0;
        while (any && size >= 0) {
            size =
                recvfrom(venue->fd, bytes, sizeof(bytes), MSG_DONTWAIT, (void *)&from, &from_size);
            if (size >= 0)
                venue_datagram(venue, bytes, (size_t)size, &from);
        }
        venue_flush(venue, !any);
    }
    return NULL;
}

static struct venue *venue_open(uint16_t symbol_count, const char (*symbols)[8])
{
    struct venue *venue = calloc(1, sizeof(*venue));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000001)};
    socklen_t size = sizeof(address);
    int buffer = 16 << 20;
    venue->fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(venue->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
    cr_assert_eq(bind(venue->fd, (void *)&address, size), 0);
    getsockname(venue->fd, (void *)&address, &size);
    venue->port = ntohs(address.sin_port);
    venue->matcher = matcher_open(symbol_count, VENUE_SESSIONS);
    venue->matcher->sink = (struct event_sink){venue->matcher->events, venue->matcher->events + 256,
                                               venue_events, venue};
    cr_assert_leq(symbols_memory_size(symbol_count), sizeof(venue->symbols_memory));
    symbols_init(&venue->symbols, venue->symbols_memory, symbol_count);
    for (uint16_t i = 0; i < symbol_count; i++)
        symbols_add(&venue->symbols, symbols[i]);
    for (int i = 0; i < VENUE_SESSIONS; i++) {
        venue->sessions[i].messages = calloc(VENUE_HISTORY, sizeof(*venue->sessions[i].messages));
        venue->sessions[i].next = venue->sessions[i].sent = 1;
    }
    return venue;
}

static void venue_start(struct venue *venue)
{
    cr_assert_eq(pthread_create(&venue->thread, NULL, venue_main, venue), 0);
}

static void venue_close(struct venue *venue)
{
    venue->stop = true;
    pthread_join(venue->thread, NULL);
    close(venue->fd);
    for (int i = 0; i < VENUE_SESSIONS; i++)
        free(venue->sessions[i].messages);
    matcher_close(venue->matcher);
    free(venue);
}

static FILE *redirect(int fd, int *kept)
{
    FILE *file = tmpfile();
    fflush(NULL);
    *kept = dup(fd);
    dup2(fileno(file), fd);
    return file;
}

static void restore(int fd, int kept)
{
    fflush(NULL);
    dup2(kept, fd);
    close(kept);
}

// `sluice load --json --to the venue ARGUMENTS`: its status, and its report (NULL when there is
// none); what it said on stderr goes to `said`.
static int run_load(const struct venue *venue, const char *arguments, json_t **report, char *said,
                    size_t said_size)
{
    char text[1024];
    char *argv[64];
    int argc = 0, kept_out, kept_err;
    snprintf(text, sizeof(text), "load --json --to 127.0.0.1:%u %s", venue ? venue->port : 9,
             arguments);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    FILE *out = redirect(STDOUT_FILENO, &kept_out);
    FILE *err = redirect(STDERR_FILENO, &kept_err);
    int status = verb_load(argc, argv);
    restore(STDOUT_FILENO, kept_out);
    restore(STDERR_FILENO, kept_err);
    rewind(out);
    rewind(err);
    size_t size = fread(said, 1, said_size - 1, err);
    said[size] = '\0';
    *report = json_loadf(out, 0, NULL);
    fclose(out);
    fclose(err);
    return status;
}

static json_int_t member(json_t *report, const char *object, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(report, object), name));
}

static void expect_whole_run(json_t *report, json_int_t count)
{
    cr_assert_eq(json_integer_value(json_object_get(report, "sent")), count);
    cr_assert_eq(member(report, "enters", "sent") + member(report, "cancels", "sent") +
                     member(report, "replaces", "sent"),
                 count);
    cr_assert_eq(member(report, "enters", "accepted"), member(report, "enters", "sent"));
    cr_assert_gt(member(report, "executions", "removed_shares"), 0);
    cr_assert_eq(member(report, "latency_ns", "count"),
                 member(report, "enters", "accepted") + member(report, "cancels", "answered") +
                     member(report, "replaces", "replaced") +
                     member(report, "replaces", "refused_by_canceling"));
}

Test(load, an_open_loop_run_accounts_for_every_order, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue_start(venue);
    int status = run_load(venue,
                          "--user USER0:A --user USER1:B --user USER2:C --rate 50000 "
                          "--count 30000 --seed 4",
                          &report, said, sizeof(said));
    cr_assert_eq(status, 0, "%s", said);
    expect_whole_run(report, 30000);
    cr_assert_str_eq(json_string_value(json_object_get(report, "loop")), "open");
    json_decref(report);
    // Again: the book has orders of the run before, and the sessions go on from their numbers.
    status =
        run_load(venue, "--user USER2:A --user USER0:B --user USER1:B --rate 100000 --count 5000",
                 &report, said, sizeof(said));
    cr_assert_eq(status, 0, "%s", said);
    cr_assert_eq(json_integer_value(json_object_get(report, "sent")), 5000);
    json_decref(report);
    venue_close(venue);
}

Test(load, a_run_may_be_random_and_change_its_rate, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue_start(venue);
    int status = run_load(venue,
                          "--user USER0:A --user USER1:B --rate 2000:18000 --arrivals poisson "
                          "--count 10000",
                          &report, said, sizeof(said));
    cr_assert_eq(status, 0, "%s", said);
    expect_whole_run(report, 10000);
    cr_assert_str_eq(json_string_value(json_object_get(report, "arrivals")), "poisson");
    cr_assert_eq(json_integer_value(json_object_get(report, "rate_asked_to")), 18000);
    cr_assert_float_eq(json_real_value(json_object_get(report, "rate_achieved")), 10000, 1500);
    json_decref(report);
    venue_close(venue);
}

Test(load, a_sweep_is_a_run_for_each_rate, .timeout = 60)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue_start(venue);
    int status =
        run_load(venue, "--user USER0:A --user USER1:B --sweep 5000:20000:7500 --count 3000",
                 &report, said, sizeof(said));
    cr_assert_eq(status, 0, "%s", said);
    cr_assert_eq(json_array_size(report), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *run = json_array_get(report, i);
        expect_whole_run(run, 3000);
        cr_assert_eq(json_integer_value(json_object_get(run, "rate_asked")), 5000 + 7500 * i);
    }
    json_decref(report);
    venue_close(venue);
}

Test(load, options_that_make_no_sense_together_are_refused_with_a_line)
{
    static const struct {
        const char *arguments, *line;
    } refusals[] = {
        {"--user A:B --rate 10:20:30", "--rate 10:20:30: want messages a second, or FROM:TO"},
        {"--user A:B --rate 10:", "--rate 10:: want messages a second, or FROM:TO"},
        {"--user A:B --rate 0 --arrivals poisson", "a closed loop has no --arrivals"},
        {"--user A:B --arrivals tape", "--tape FILE"},
        {"--user A:B --arrivals bursts", "want fixed, poisson or tape"},
        {"--user A:B --sweep 100:10:10", "want FROM:TO:STEP"},
        {"--user A:B --sweep 100:200", "want FROM:TO:STEP"},
        {"--user A:B --sweep 100:200:0", "want FROM:TO:STEP"},
        {"--user A:B --sweep 1:100:1", "with 64 rates at most"},
        {"--user A:B --rate 5 --sweep 1:2:1", "without --rate"},
        {"--user A:B --sweep 1:2:1 --rate 5", "those of --sweep"},
        {"--user A:B --stamps wall", "want software, kernel or hardware"},
        {"--user A:B --stamps hardware", "of which NIC? --interface NAME"},
        {"--user A:B --sweep 1:2:1 --hgrm x", "without --hgrm and --config"},
    };
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        json_t *report;
        char said[1024];
        cr_assert_eq(run_load(NULL, refusals[i].arguments, &report, said, sizeof(said)), 2, "%s",
                     refusals[i].arguments);
        cr_assert(strstr(said, refusals[i].line) != NULL, "%s", said);
    }
}

Test(load, a_closed_loop_run_waits_for_each_answer_and_is_labelled, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue_start(venue);
    char arguments[256], line[64] = "";
    write_tape("", 0);
    snprintf(arguments, sizeof(arguments),
             "--user USER0:A --user USER1:B --rate 0 --count 3000 --hgrm %s", tape_path);
    int status = run_load(venue, arguments, &report, said, sizeof(said));
    cr_assert_eq(status, 0, "%s", said);
    FILE *hgrm = fopen(tape_path, "r");
    cr_assert(hgrm != NULL && fgets(line, sizeof(line), hgrm) != NULL);
    cr_assert(strstr(line, "Percentile") != NULL, "%s", line);
    fclose(hgrm);
    unlink(tape_path);
    cr_assert_str_eq(json_string_value(json_object_get(report, "loop")), "closed");
    expect_whole_run(report, 3000);
    json_decref(report);
    venue_close(venue);
}

Test(load, answers_lost_on_the_way_are_fetched_again, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue->lose_downstream = 7;
    venue_start(venue);
    int status = run_load(venue, "--user USER0:A --user USER1:B --rate 20000 --count 10000",
                          &report, said, sizeof(said));
    cr_assert_eq(status, 0, "%s", said);
    expect_whole_run(report, 10000);
    cr_assert_gt(member(report, "stream", "retransmit_requests"), 0);
    json_decref(report);
    venue_close(venue);
}

Test(load, orders_lost_on_the_way_are_found_out_and_fail_the_run, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue->lose_upstream = 50;
    venue_start(venue);
    int status = run_load(venue, "--user USER0:A --user USER1:B --rate 20000 --count 10000",
                          &report, said, sizeof(said));
    cr_assert_eq(status, 1);
    cr_assert(strstr(said, "lost on the way") != NULL, "%s", said);
    cr_assert_gt(member(report, "enters", "lost"), 0);
    cr_assert_eq(member(report, "enters", "sent"),
                 member(report, "enters", "accepted") + member(report, "enters", "lost"));
    cr_assert_eq(member(report, "orders", "impossible"), 0);
    json_decref(report);
    venue_close(venue);
}

Test(load, a_venue_that_tells_only_one_side_of_a_trade_fails_the_run, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue->one_side_only = true;
    venue_start(venue);
    cr_assert_eq(
        run_load(venue, "--user USER0:A --rate 20000 --count 3000", &report, said, sizeof(said)),
        1);
    cr_assert(strstr(said, "one side only") != NULL, "%s", said);
    json_decref(report);
    venue_close(venue);
}

Test(load, the_venues_end_in_the_middle_stops_the_run_with_a_report, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue->end_after = 500;
    venue_start(venue);
    cr_assert_eq(
        run_load(venue, "--user USER0:A --rate 0 --count 3000", &report, said, sizeof(said)), 1);
    cr_assert(strstr(said, "ended its day after 50") != NULL, "%s", said);
    cr_assert_lt(json_integer_value(json_object_get(report, "sent")), 510);
    json_decref(report);
    venue_close(venue);
}

Test(load, rejected_orders_are_counted_by_reason, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue_start(venue);
    int status = run_load(venue, "--user USER0:A --rate 20000 --count 500 --symbol NOSUCH", &report,
                          said, sizeof(said));
    cr_assert_eq(status, 0, "%s", said);
    cr_assert_eq(member(report, "enters", "rejected"), member(report, "enters", "sent"));
    cr_assert_eq(member(report, "rejected_by_reason", "0x0017"), member(report, "enters", "sent"));
    json_decref(report);
    venue_close(venue);
}

Test(load, a_refused_login_is_told_at_once, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024];
    venue_start(venue);
    cr_assert_eq(run_load(venue, "--user MALLET:A", &report, said, sizeof(said)), 1);
    cr_assert(strstr(said, "session MALLET: the venue refused the login") != NULL, "%s", said);
    json_decref(report);
    venue_close(venue);
}

Test(load, a_tape_is_played_in_its_order_and_every_execution_comes_true, .timeout = 30)
{
    struct venue *venue = venue_open(1, acme);
    json_t *report;
    char said[1024], arguments[256];
    char lines[65536];
    size_t size = 0;
    uint32_t executed = 0;
    // Each order is entered behind the one that is executed next: out of turn, it would not trade.
    for (uint32_t i = 1; i <= 500; i++) {
        size += (size_t)sprintf(lines + size, "1.0,1,%u,10,%u,1\n", i, 500000 + 100 * (i % 3));
        size += (size_t)sprintf(lines + size, "1.0,4,%u,%u,%u,1\n", i, i % 10 + 1,
                                500000 + 100 * (i % 3));
        size += (size_t)sprintf(lines + size, "1.0,3,%u,1,500000,1\n", i);
        executed += i % 10 + 1;
    }
    write_tape(lines, size);
    venue_start(venue);
    snprintf(arguments, sizeof(arguments),
             "--user USER0:A --user USER1:B --user USER2:B --rate 20000 --tape %s --symbol ACME",
             tape_path);
    int status = run_load(venue, arguments, &report, said, sizeof(said));
    unlink(tape_path);
    cr_assert_eq(status, 0, "%s", said);
    cr_assert_eq(member(report, "executions", "removed_shares"), executed);
    cr_assert_eq(member(report, "orders", "resting"), 0);
    cr_assert_eq(member(report, "orders", "canceled_partly_executed"), 450);
    json_decref(report);
    venue_close(venue);
}

Test(load, a_wrong_option_is_one_line_and_status_2)
{
    static const char *const wrong[] = {
        "",
        "--user NAME",
        "--user TOOLONGNAME:A",
        "--user A:ELEVENCHARSX",
        "--user :A",
        "--user A:B --rate x",
        "--user A:B --rate -1",
        "--user A:B --rate 100000001",
        "--user A:B --count 0",
        "--user A:B --count 99999999999999999999",
        "--user A:B --seed 1x",
        "--user A:B --symbol NINECHARS",
        "--user A:B --symbol A --symbol A",
        "--user A:B --core 9999",
        "--user A:B --timeout-s 0",
        "--user A:B --bind nowhere",
        "--user A:B --to 127.0.0.1",
        "--user A:B --to 127.0.0.1:0",
        "--user A:B --to :9",
        "--user A:B --unknown",
        "--user A:B --count",
        "--user A:B --json=1",
        "--user A:B extra",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json_t *report;
        char said[1024];
        cr_assert_eq(run_load(NULL, wrong[i], &report, said, sizeof(said)), 2, "\"%s\"", wrong[i]);
        cr_assert(strncmp(said, "sluice: ", 8) == 0, "\"%s\" says \"%s\"", wrong[i], said);
        cr_assert(strchr(said, '\n') == said + strlen(said) - 1, "\"%s\" says \"%s\"", wrong[i],
                  said);
    }
}
