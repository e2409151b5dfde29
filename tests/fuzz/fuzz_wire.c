// SPDX-License-Identifier: MIT
//
// Frames from a stranger: whatever the bytes, the parser, the session layer and the codec read
// nothing beyond them (the sanitizers watch), every frame is counted once, and what becomes of it
// is encoded again without a fault. The first byte of an input says how much of a valid frame
// stands around the rest: nothing, the headers, a bound session, or the tag of a signed one.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/entry.h"
#include "dataplane/feed.h"
#include "numa/invariant.h"

#define HISTORY 64u
#define RING    4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t sent[PACKET_SIZE_MAX];

static uint8_t *claim(struct port *port)
{
    (void)port;
    return sent;
}

static void send_frame(struct port *port, size_t size)
{
    (void)port;
    INVARIANT(size <= sizeof(sent));
}

static const struct port_operations operations = {.claim = claim, .send = send_frame};
static struct port port = {.operations = &operations};
static struct symbols symbols;
static struct entry entry;
static struct logins logins;
static struct feed feed;
static _Atomic bool cancel_only;
static struct endpoint house = {.port = 0x2067, .vlan = PACKET_NO_VLAN};
static struct endpoint client = {.port = 0x409C, .vlan = PACKET_NO_VLAN};

static void *take(size_t size)
{
    void *memory = aligned_alloc(128, (size + 127) & ~(size_t)127);
    return memset(memory, 0, (size + 127) & ~(size_t)127);
}

static void *ring_memory, *sessions_memory, *streams[3];

static void take_memory(void)
{
    house.address = htonl(0x0A4D0001);
    client.address = htonl(0x0A4D0002);
    symbols_init(&symbols, take(symbols_memory_size(2)), 2);
    symbols_add(&symbols, "ACME    ");
    ring_memory = take(ring_memory_size(RING));
    sessions_memory = take(entry_memory_size(2));
    logins_init(&logins);
    memset(logins.secret, 7, sizeof(logins.secret)); // the same cookies in each run
    for (uint32_t i = 0; i < 3; i++)
        streams[i] = take(entry_stream_size(HISTORY));
}

// As if it had been verified before, which would take longer than everything else here.
static void prove_password(struct entry_session *session)
{
    static const struct ufo_login login = {.password = "SECRET    "};
    logins_proof(&logins, &login, session->proof);
    session->proven = true;
}

// Session 1 is signed, and the client has keys of it, which are all zeros.
static void have_keys(struct entry_signed *own)
{
    own->peer = (struct entry_peer){.address = client.address, .port = client.port, .keyed = true};
}

// Anew for each input: what one of them does depends on nothing else.
static void set_up(void)
{
    entry = (struct entry){.port = &port,
                           .source = house,
                           .symbols = &symbols,
                           .logins = &logins,
                           .commands = ring_init(ring_memory, RING),
                           .session_id = "DAY0000001",
                           .cancel_only = &cancel_only};
    entry_init(&entry, sessions_memory, 2);
    for (uint32_t i = 0; i < 2; i++) {
        struct config_session who = {.user = "USER0 ", .firm = "FIRM"};
        who.user[4] = (char)('0' + i);
        who.is_signed = i == 1;
        entry_add_session(&entry, &who, streams[i], HISTORY);
    }
    prove_password(&entry.sessions[0]);
    have_keys(&entry.signed_sessions[1]);
    feed = (struct feed){.port = &port, .symbols = &symbols, .session = "DAY0000001"};
    stream_init(&feed.stream, streams[2], HISTORY);
}

static int lookup(void *context, uint32_t address, uint16_t to)
{
    (void)context;
    return address == house.address && to == house.port ? 0 : -1;
}

static void receive(const uint8_t *frame, size_t size)
{
    struct packet packet;
    uint32_t shard;
    if (packet_parse(frame, size, lookup, NULL, &packet, &shard) != STEER_REDIRECT)
        return;
    INVARIANT(packet.payload >= frame && packet.payload + packet.payload_size <= frame + size);
    uint64_t before = 0, after = 0;
    for (int i = 0; i < ENTRY_VERDICT_COUNT; i++)
        before += entry.counters.datagrams[i];
    feed_request(&feed, &packet, 0); // first: order entry may leave nothing of it
    entry_receive(&entry, &packet, 1, 1);
    for (int i = 0; i < ENTRY_VERDICT_COUNT; i++)
        after += entry.counters.datagrams[i];
    INVARIANT(after == before + 1);
}

static void receive_payload(const uint8_t *payload, size_t size)
{
    // Of its own size, so that one byte too many is seen.
    size_t offset = packet_payload_offset(&house);
    if (size == 0 || size > STEER_PAYLOAD_MAX)
        return;
    uint8_t *frame = malloc(offset + size);
    memcpy(frame + offset, payload, size);
    receive(frame, packet_write_headers(frame, &client, &house, size));
    free(frame);
}

static void log_in(void)
{
    struct {
        be16 size;
        struct ufo_login login;
    } block = {.size = be16_of(sizeof(struct ufo_login)), .login = {.type = UFO_LOGIN}};
    memcpy(block.login.user_name, "USER0 ", 6);
    memcpy(block.login.password, "SECRET    ", 10);
    memset(block.login.session, ' ', 10);
    receive_payload((const uint8_t *)&block, sizeof(block));
}

// The bytes inside a datagram whose tag is right: they are judged as any others.
static void receive_sealed(const uint8_t *payload, size_t size)
{
    uint8_t datagram[STEER_PAYLOAD_MAX];
    struct signed_channel same = {.sent = 0};
    if (size > sizeof(datagram) - SIGNED_OVERHEAD)
        return;
    memcpy(datagram + sizeof(struct signed_data), payload, size);
    receive_payload(datagram, signed_seal(&same, 1, datagram, size));
    INVARIANT(entry.counters.datagrams[ENTRY_BAD_TAG] == 0);

    receive_payload(datagram, size + SIGNED_OVERHEAD);
    // Known for a copy, unless it has logged off.
    INVARIANT(
        entry.counters.datagrams[ENTRY_REPLAYED] + entry.counters.datagrams[ENTRY_NOT_BOUND] == 1);
}

// What the port took is what the book is to make sense of: fields in range, a session that exists.
static void check_commands(void)
{
    uint32_t count = ring_readable(entry.commands, RING);
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = ring_read_slot(entry.commands, i);
        INVARIANT(command->session < 2 && command->type >= COMMAND_ENTER &&
                  command->type <= COMMAND_CLOCK);
        struct event event = {.type = EVENT_REJECTED,
                              .session = command->session,
                              .stream_seq = entry.sessions[command->session].stream.next,
                              .code = command->verdict,
                              .user_ref_num = command->order.user_ref_num};
        entry_release(&entry, &event);
    }
    ring_release(entry.commands, count);
    entry_flush(&entry, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (!ring_memory)
        take_memory();
    set_up();
    uint8_t *copy = malloc(size - 1);
    memcpy(copy, data + 1, size - 1);
    if (data[0] >= 0xE0) {
        receive_sealed(copy, size - 1);
    } else if (data[0] % 3 == 0) {
        receive(copy, size - 1);
    } else {
        if (data[0] % 3 == 1)
            log_in();
        receive_payload(copy, size - 1);
    }
    check_commands();
    entry_tick(&entry, 3);
    free(copy);
    return 0;
}
