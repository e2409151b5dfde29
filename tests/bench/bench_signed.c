// SPDX-License-Identifier: MIT
//
// bench_signed: what a signed session adds to a message on the port's thread: an order received,
// and an answer sent, in clear and signed, and what of that is the hash alone; and what is done for
// somebody without a cookie, or of whom nobody knows, where as many are known as there can be. The
// variants run alternately, nine rounds. Prints rows.
#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/entry.h"
#include "numa/clock.h"
#include "tests/bench/row.h"
#include "tests/unit/null_port.h"

#define ROUNDS   9u
#define MESSAGES 4096u // a round's, made beforehand
#define HISTORY  8192u
#define PLAIN    0u // sessions
#define SIGNED   1u

struct bench_frame {
    uint8_t bytes[256];
    struct packet packet;
};

static struct port port = {.operations = &null_operations};
static struct tsc_clock house_clock;
static struct symbols symbols;
static struct logins logins;
static struct entry entry, crowded; // the latter with all the sessions that there can be
static _Atomic bool cancel_only;
static struct signed_channel clients; // the client's end of the signed session
static struct bench_frame frames[MESSAGES];
static uint64_t next_event[2] = {1, 1};

static struct endpoint source_of(uint32_t session)
{
    return (struct endpoint){.address = htonl(0x0A4D0002),
                             .port = htons((uint16_t)(40000 + session)),
                             .vlan = PACKET_NO_VLAN};
}

static void *take(size_t size)
{
    return memset(aligned_alloc(128, (size + 127) & ~(size_t)127), 0, (size + 127) & ~(size_t)127);
}

static void make_packet(struct bench_frame *frame, uint32_t session, size_t size)
{
    struct endpoint source = source_of(session);
    packet_write_headers(frame->bytes, &source, &entry.source, size);
    frame->packet = (struct packet){.source = source,
                                    .destination = entry.source,
                                    .payload = frame->bytes + packet_payload_offset(&entry.source),
                                    .payload_size = (uint16_t)size};
}

static void make_order(struct bench_frame *frame, uint32_t session, uint32_t number)
{
    struct {
        be16 size;
        uint8_t ufo_type;
        struct ouch_enter order;
    } block = {.size = be16_of(1 + sizeof(struct ouch_enter)), .ufo_type = UFO_UNSEQUENCED};
    block.order = (struct ouch_enter){.type = OUCH_ENTER,
                                      .user_ref_num = be32_of(number),
                                      .side = 'B',
                                      .quantity = be32_of(100),
                                      .price = be64_of(10000),
                                      .time_in_force = '0',
                                      .display = 'Y',
                                      .capacity = 'P',
                                      .sweep = 'N',
                                      .cross_type = 'N'};
    memcpy(block.order.symbol, "ACME    ", 8);
    memset(block.order.client_order_id, ' ', sizeof(block.order.client_order_id));
    uint8_t *payload = frame->bytes + packet_payload_offset(&entry.source);
    size_t size = sizeof(block);
    memcpy(payload + (session == SIGNED ? sizeof(struct signed_data) : 0), &block, size);
    if (session == SIGNED)
        size = signed_seal(&clients, SIGNED, payload, size);
    make_packet(frame, session, size);
}

static void name_user(char user[6], uint32_t number)
{
    char text[16];
    snprintf(text, sizeof(text), "U%05u", number);
    memcpy(user, text, 6);
}

static void open_entry(void)
{
    struct config_session who = {.user = "USER0 ", .firm = "FIRM"};
    symbols_init(&symbols, take(symbols_memory_size(1)), 1);
    symbols_add(&symbols, "ACME    ");
    logins_init(&logins);
    entry = (struct entry){
        .port = &port,
        .source = {.address = htonl(0x0A4D0001), .port = htons(26400), .vlan = PACKET_NO_VLAN},
        .symbols = &symbols,
        .logins = &logins,
        .commands = ring_init(take(ring_memory_size(MESSAGES)), MESSAGES),
        .session_id = "DAY0000001",
        .cancel_only = &cancel_only};
    entry_init(&entry, take(entry_memory_size(2)), 2);
    entry_add_session(&entry, &who, take(entry_stream_size(HISTORY)), HISTORY);
    who.user[4]++;
    who.is_signed = true;
    entry_add_session(&entry, &who, take(entry_stream_size(HISTORY)), HISTORY);
}

static void open_crowded(void)
{
    struct config_session who = {.firm = "FIRM"};
    crowded = entry;
    entry_init(&crowded, take(entry_memory_size(CONFIG_SESSIONS_MAX)), CONFIG_SESSIONS_MAX);
    for (uint32_t i = 0; i < CONFIG_SESSIONS_MAX; i++) {
        name_user(who.user, i);
        entry_add_session(&crowded, &who, take(entry_stream_size(16)), 16);
    }
}

// Both, as after their logins: one with a password, the other with keys that are all zeros.
static void log_in(void)
{
    struct {
        be16 size;
        struct ufo_login login;
    } block = {.size = be16_of(sizeof(struct ufo_login)), .login = {.type = UFO_LOGIN}};
    struct endpoint source = source_of(SIGNED);
    memcpy(block.login.user_name, "USER0 ", 6);
    memset(block.login.password, ' ', 10 + 10);
    logins_proof(&logins, &block.login, entry.sessions[PLAIN].proof);
    entry.sessions[PLAIN].proven = true;
    memcpy(frames[0].bytes + packet_payload_offset(&entry.source), &block, sizeof(block));
    make_packet(&frames[0], PLAIN, sizeof(block));
    entry_receive(&entry, &frames[0].packet, 1, 1);
    entry.signed_sessions[SIGNED].peer =
        (struct entry_peer){.address = source.address, .port = source.port, .keyed = true};
}

static double measure_orders(uint32_t session)
{
    for (uint32_t i = 0; i < MESSAGES; i++)
        make_order(&frames[i], session, i + 1);
    uint32_t taken = 0;
    uint64_t start_ns = clock_ns(&house_clock);
    for (uint32_t i = 0; i < MESSAGES; i++)
        taken += entry_receive(&entry, &frames[i].packet, 1, 1);
    double cost = (double)(clock_ns(&house_clock) - start_ns) / MESSAGES;
    if (taken != MESSAGES || ring_readable(entry.commands, MESSAGES) != MESSAGES) {
        fprintf(stderr, "bench_signed: %u of %u orders were taken\n", taken, MESSAGES);
        exit(1);
    }
    ring_release(entry.commands, MESSAGES);
    return cost;
}

// One answer a packet.
static double measure_answers(uint32_t session)
{
    struct event event = {.type = EVENT_CANCELED, .session = (uint16_t)session, .code = 'U'};
    uint64_t start_ns = clock_ns(&house_clock);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        event.stream_seq = next_event[session]++;
        entry_release(&entry, &event);
        entry_flush(&entry, 1);
    }
    return (double)(clock_ns(&house_clock) - start_ns) / MESSAGES;
}

// The hash over such an order, by itself.
static double measure_hash(void)
{
    uint8_t tag[SIGNED_TAG_SIZE];
    for (uint32_t i = 0; i < MESSAGES; i++)
        make_order(&frames[i], SIGNED, i + 1);
    uint64_t start_ns = clock_ns(&house_clock);
    for (uint32_t i = 0; i < MESSAGES; i++)
        crypto_shorthash_siphashx24(tag, frames[i].packet.payload,
                                    frames[i].packet.payload_size - sizeof(tag), clients.down);
    return (double)(clock_ns(&house_clock) - start_ns) / MESSAGES;
}

static double measure_stranger(uint8_t type, size_t size)
{
    struct signed_head head = {.version = SIGNED_VERSION, .type = type};
    for (uint32_t i = 0; i < MESSAGES; i++) {
        uint8_t *payload = frames[i].bytes + packet_payload_offset(&entry.source);
        memset(payload, 0, size);
        memcpy(payload, &head, sizeof(head));
        make_packet(&frames[i], 2, size);
    }
    uint64_t start_ns = clock_ns(&house_clock);
    for (uint32_t i = 0; i < MESSAGES; i++)
        entry_receive(&entry, &frames[i].packet, 1, 1);
    return (double)(clock_ns(&house_clock) - start_ns) / MESSAGES;
}

static double measure_unknown(void)
{
    struct {
        be16 size;
        struct ufo_login login;
    } block = {.size = be16_of(sizeof(struct ufo_login)), .login = {.type = UFO_LOGIN}};
    for (uint32_t i = 0; i < MESSAGES; i++) {
        name_user(block.login.user_name, CONFIG_SESSIONS_MAX + i);
        memcpy(frames[i].bytes + packet_payload_offset(&entry.source), &block, sizeof(block));
        make_packet(&frames[i], 2, sizeof(block));
    }
    uint64_t start_ns = clock_ns(&house_clock);
    for (uint32_t i = 0; i < MESSAGES; i++)
        entry_receive(&crowded, &frames[i].packet, 1, 1);
    return (double)(clock_ns(&house_clock) - start_ns) / MESSAGES;
}

int main(void)
{
    enum { ORDER, SIGNED_ORDER, HASH, ANSWER, SIGNED_ANSWER, HELLO, LOGIN, UNKNOWN, VARIANTS };
    const uint64_t samples = ROUNDS * MESSAGES;
    const struct row rows[VARIANTS] = {
        [ORDER] = {.name = "an order received, in clear", .unit = "ns", .samples = samples},
        [SIGNED_ORDER] = {.name = "an order received, signed",
                          .unit = "ns",
                          .samples = samples,
                          .peers = {"an order received, in clear"}},
        [HASH] = {.name = "an order's hash alone", .unit = "ns", .samples = samples},
        [ANSWER] = {.name = "an answer sent, in clear", .unit = "ns", .samples = samples},
        [SIGNED_ANSWER] = {.name = "an answer sent, signed",
                           .unit = "ns",
                           .samples = samples,
                           .peers = {"an answer sent, in clear"}},
        [HELLO] = {.name = "a hello answered", .unit = "ns", .samples = samples},
        [LOGIN] = {.name = "a login without a cookie, dropped", .unit = "ns", .samples = samples},
        [UNKNOWN] = {.name = "a login of an unknown user, in clear, with 4,096 sessions",
                     .unit = "ns",
                     .samples = samples},
    };
    double costs[VARIANTS][ROUNDS];
    clock_calibrate(&house_clock, 50);
    open_entry();
    open_crowded();
    log_in();
    measure_orders(PLAIN);
    measure_orders(SIGNED); // the first one binds it
    for (uint32_t round = 0; round < ROUNDS; round++) {
        costs[ORDER][round] = measure_orders(PLAIN);
        costs[SIGNED_ORDER][round] = measure_orders(SIGNED);
        costs[HASH][round] = measure_hash();
        costs[ANSWER][round] = measure_answers(PLAIN);
        costs[SIGNED_ANSWER][round] = measure_answers(SIGNED);
        costs[HELLO][round] = measure_stranger(SIGNED_HELLO, sizeof(struct signed_hello));
        costs[LOGIN][round] = measure_stranger(SIGNED_LOGIN, sizeof(struct signed_login));
        costs[UNKNOWN][round] = measure_unknown();
    }
    for (uint32_t i = 0; i < VARIANTS; i++)
        row_print(&rows[i], costs[i], ROUNDS);
    return 0;
}
