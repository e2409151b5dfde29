// SPDX-License-Identifier: MIT
//
// The bench that order entry's tests stand on: an entry of three sessions with a port that keeps
// what is sent and who is bound, and a datagram under construction.
#ifndef SLUICE_TESTS_UNIT_ENTRY_BENCH_H
#define SLUICE_TESTS_UNIT_ENTRY_BENCH_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/entry.h"
#include "tests/password.h"
#include "tests/unit/order_entry.h"

#define SECOND_NS  1000000000ull
#define SESSIONS   3u
#define HISTORY    1024u
#define ORDER_PORT 26400

static struct kept {
    uint8_t bytes[PACKET_SIZE_MAX];
    size_t size;
} sent[256];
static uint32_t sent_count;
static bool out_of_frames;

static inline uint8_t *keep_claim(struct port *port)
{
    (void)port;
    return out_of_frames ? NULL : sent[sent_count].bytes;
}

static inline void keep_send(struct port *port, size_t size)
{
    (void)port;
    sent[sent_count++].size = size;
}

// Which client each session is bound to, as the port was told: 0, to none.
static uint16_t told_of[SESSIONS];

static inline void keep_bind(struct port *port, const struct endpoint *at,
                             const struct endpoint *source, uint32_t session)
{
    (void)port;
    cr_assert_eq(at->port, htons(ORDER_PORT));
    cr_assert_eq(told_of[session], 0);
    told_of[session] = ntohs(source->port);
}

static inline void keep_unbind(struct port *port, const struct endpoint *at,
                               const struct endpoint *source)
{
    uint32_t session = 0;
    (void)port;
    cr_assert_eq(at->port, htons(ORDER_PORT));
    while (told_of[session] != ntohs(source->port))
        cr_assert_lt(++session, SESSIONS, "it was never bound");
    told_of[session] = 0;
}

static const struct port_operations keeping = {
    .claim = keep_claim, .send = keep_send, .bind = keep_bind, .unbind = keep_unbind};
static struct port port = {.operations = &keeping};
static struct symbols symbols;
static struct entry entry;
static struct logins logins;
static _Atomic bool cancel_only;

static inline void *take(size_t size)
{
    return memset(aligned_alloc(128, (size + 127) & ~(size_t)127), 0, (size + 127) & ~(size_t)127);
}

static inline void set_up(void)
{
    symbols_init(&symbols, take(symbols_memory_size(1)), 1);
    symbols_add(&symbols, "ACME    ");
    logins_init(&logins);
    entry = (struct entry){.port = &port,
                           .source = {.port = htons(ORDER_PORT), .vlan = PACKET_NO_VLAN},
                           .symbols = &symbols,
                           .logins = &logins,
                           .commands = ring_init(take(ring_memory_size(8)), 8),
                           .session_id = "DAY0000001",
                           .cancel_only = &cancel_only};
    entry_init(&entry, take(entry_memory_size(SESSIONS)), SESSIONS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct config_session who = {
            .user = "USER0 ", .firm = "FIRM", .password_hash = PASSWORD_HASH};
        who.user[4] = (char)('0' + i);
        entry_add_session(&entry, &who, take(entry_stream_size(HISTORY)), HISTORY);
    }
}

// A datagram under construction.
static uint8_t datagram[STEER_PAYLOAD_MAX];
static size_t datagram_size;

static inline void block(const void *message, size_t size)
{
    datagram[datagram_size] = (uint8_t)(size >> 8);
    datagram[datagram_size + 1] = (uint8_t)size;
    memcpy(datagram + datagram_size + 2, message, size);
    datagram_size += 2 + size;
}

static inline void login_block(const char *user, const char *password, const char *session)
{
    struct ufo_login login = login_message(user, password, session);
    block(&login, sizeof(login));
}

static inline void order_block(uint32_t user_ref_num)
{
    struct order_message message = order_message(user_ref_num);
    block(&message, sizeof(message));
}

static uint8_t frame[PACKET_SIZE_MAX]; // that it was delivered in
static uint8_t source_mac[6];          // where it came from

// Delivers it from client number `client`; how many commands came of it.
static inline uint32_t deliver(uint16_t client, uint64_t now_ns)
{
    struct packet packet = {
        .source = {.address = htonl(0x0A4D0002), .port = htons(client), .vlan = PACKET_NO_VLAN},
        .payload = datagram,
        .payload_size = (uint16_t)datagram_size,
    };
    memcpy(packet.source.mac, source_mac, sizeof(source_mac));
    // packet_checksum_valid takes a checksum of 0 for none; it stands in front of the payload.
    size_t offset = packet_payload_offset(&packet.source);
    memcpy(frame + offset, datagram, datagram_size);
    packet_write_headers(frame, &packet.source, &packet.source, datagram_size);
    packet.destination = packet.source;
    packet.payload = frame + offset;
    datagram_size = 0;
    return entry_receive(&entry, &packet, now_ns, now_ns);
}

static inline void log_in(uint16_t client, const char *user, uint64_t now_ns)
{
    login_block(user, "SECRET    ", "          ");
    deliver(client, now_ns);
}

static inline const uint8_t *last_payload(void)
{
    return sent[sent_count - 1].bytes + 42;
}

// Where a thread verifies passwords, which is played by the test.
static inline void have_a_thread(void)
{
    static struct bell bell;
    struct error error;
    cr_assert_eq(bell_open(&bell, &error), 0, "%s", error.text);
    logins.bell = &bell;
}

static inline uint64_t count_of(enum entry_verdict verdict)
{
    return entry.counters.datagrams[verdict];
}

#endif
