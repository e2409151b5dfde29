// SPDX-License-Identifier: MIT
//
// Recorded days that become orders: LOBSTER files, ITCH files and captures of MoldUDP64.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/itch.h"
#include "dataplane/load_tape.h"
#include "dataplane/mold.h"
#include "dataplane/packet.h"
#include "tests/unit/load_parts.h"
#include "tests/unit/recorded.h"

static const char acme[1][8] = {{'A', 'C', 'M', 'E', ' ', ' ', ' ', ' '}};

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

static void expect_read(struct reading *reading, const void *bytes, size_t size,
                        const struct load_tape_options *options)
{
    read_tape(reading, bytes, size, options);
    cr_assert_eq(reading->status, 0, "%s", reading->error.text);
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
    expect_read(&reading, lines, sizeof(lines) - 1, &acme_alone);
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
    expect_read(&reading, lines, sizeof(lines) - 1, &acme_alone);
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
    out->size += write_block(out->bytes + out->size, message, size);
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
    expect_read(&reading, out.bytes, out.size, &every_symbol);
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
    expect_read(&reading, lines, sizeof(lines) - 1, &acme_alone);
    cr_assert_arr_eq(reading.day.times, expected, sizeof(expected));
    load_day_free(&reading.day);
    struct bytes_out out = {.size = 0};
    put_add(&out, "ACME    ", 10, 'B', 300, 500000);
    ((struct itch_head *)(out.bytes + 2))->time_ns = be48_of(34200000000123);
    expect_read(&reading, out.bytes, out.size, &every_symbol);
    cr_assert_eq(reading.day.times[0], 34200000000123);
    load_day_free(&reading.day);
}

Test(load_tape, only_the_symbols_asked_for_are_read_and_only_so_many_steps)
{
    struct bytes_out out = {.size = 0};
    struct reading reading;
    put_itch_day(&out);
    expect_read(&reading, out.bytes, out.size, &acme_alone);
    cr_assert_eq(reading.day.count, 5);
    cr_assert_eq(reading.day.symbol_count, 1);
    cr_assert_eq(reading.counts.other_symbol, 2);
    load_day_free(&reading.day);
    struct load_tape_options three = {.session_count = 1, .count = 3};
    expect_read(&reading, out.bytes, out.size, &three);
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
    expect_read(&reading, bytes, size, &every_symbol);
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
        expect_read(&reading, out.bytes, out.size, &every_symbol);
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
    expect_read(&reading, out.bytes, out.size, &every_symbol);
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
