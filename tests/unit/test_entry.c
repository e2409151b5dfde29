// SPDX-License-Identifier: MIT
//
// Order entry's session rules on a clock of the test's own, with a port that keeps what is sent.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sodium.h>
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

static uint8_t *keep_claim(struct port *port)
{
    (void)port;
    return out_of_frames ? NULL : sent[sent_count].bytes;
}

static void keep_send(struct port *port, size_t size)
{
    (void)port;
    sent[sent_count++].size = size;
}

// Which client each session is bound to, as the port was told: 0, to none.
static uint16_t told_of[SESSIONS];

static void keep_bind(struct port *port, const struct endpoint *at, const struct endpoint *source,
                      uint32_t session)
{
    (void)port;
    cr_assert_eq(at->port, htons(ORDER_PORT));
    cr_assert_eq(told_of[session], 0);
    told_of[session] = ntohs(source->port);
}

static void keep_unbind(struct port *port, const struct endpoint *at, const struct endpoint *source)
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

static void *take(size_t size)
{
    return memset(aligned_alloc(128, (size + 127) & ~(size_t)127), 0, (size + 127) & ~(size_t)127);
}

static void set_up(void)
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

TestSuite(entry, .init = set_up);

// A datagram under construction.
static uint8_t datagram[STEER_PAYLOAD_MAX];
static size_t datagram_size;

static void block(const void *message, size_t size)
{
    datagram[datagram_size] = (uint8_t)(size >> 8);
    datagram[datagram_size + 1] = (uint8_t)size;
    memcpy(datagram + datagram_size + 2, message, size);
    datagram_size += 2 + size;
}

static void login_block(const char *user, const char *password, const char *session)
{
    struct ufo_login login = login_message(user, password, session);
    block(&login, sizeof(login));
}

static void order_block(uint32_t user_ref_num)
{
    struct order_message message = order_message(user_ref_num);
    block(&message, sizeof(message));
}

static uint8_t frame[PACKET_SIZE_MAX]; // that it was delivered in

// Delivers it from client number `client`; how many commands came of it.
static uint32_t deliver(uint16_t client, uint64_t now_ns)
{
    struct packet packet = {
        .source = {.address = htonl(0x0A4D0002), .port = htons(client), .vlan = PACKET_NO_VLAN},
        .payload = datagram,
        .payload_size = (uint16_t)datagram_size,
    };
    // packet_checksum_valid takes a checksum of 0 for none; it stands in front of the payload.
    size_t offset = packet_payload_offset(&packet.source);
    memcpy(frame + offset, datagram, datagram_size);
    packet_write_headers(frame, &packet.source, &packet.source, datagram_size);
    packet.destination = packet.source;
    packet.payload = frame + offset;
    datagram_size = 0;
    return entry_receive(&entry, &packet, now_ns, now_ns);
}

static void log_in(uint16_t client, const char *user, uint64_t now_ns)
{
    login_block(user, "SECRET    ", "          ");
    deliver(client, now_ns);
}

static const uint8_t *last_payload(void)
{
    return sent[sent_count - 1].bytes + 42;
}

Test(entry, a_login_is_answered_with_the_next_number)
{
    log_in(1, "user1 ", 1);
    cr_assert_eq(sent_count, 1);
    const struct ufo_login_accept *accept = (const struct ufo_login_accept *)last_payload();
    cr_assert_eq(accept->type, UFO_LOGIN_ACCEPT);
    cr_assert_eq(memcmp(accept->session, "DAY0000001", 10), 0);
    cr_assert_eq(be32_load(accept->sequence), 1);
    cr_assert(entry.sessions[1].bound);
}

Test(entry, each_refused_login_says_why_and_binds_nobody)
{
    login_block("USER1 ", "WRONG     ", "          ");
    deliver(1, 1);
    cr_assert_eq(last_payload()[0], UFO_LOGIN_REJECT);
    cr_assert_eq(last_payload()[1], UFO_REJECT_NOT_AUTHORISED);
    login_block("USER1 ", "SECRET    ", "YESTERDAY ");
    deliver(1, 1);
    cr_assert_eq(last_payload()[1], UFO_REJECT_INVALID_SESSION);
    cr_assert_eq(entry.counters.datagrams[ENTRY_LOGIN_REFUSED], 2);
    cr_assert_not(entry.sessions[1].bound);
}

// Where a thread verifies passwords, which is played by the test.
static void have_a_thread(void)
{
    static struct bell bell;
    struct error error;
    cr_assert_eq(bell_open(&bell, &error), 0, "%s", error.text);
    logins.bell = &bell;
}

static uint64_t count_of(enum entry_verdict verdict)
{
    return entry.counters.datagrams[verdict];
}

Test(entry, a_login_is_answered_when_its_password_has_been_verified)
{
    have_a_thread();
    login_block("USER1 ", "SECRET    ", "          ");
    order_block(1);
    cr_assert_eq(deliver(1, 1), 0);
    cr_assert_eq(sent_count, 0);
    cr_assert_not(logins_answered(&logins));
    cr_assert_eq(entry_take_logins(&entry, 2, 2), 0);
    cr_assert(logins_serve(&logins));
    cr_assert(logins_answered(&logins));
    cr_assert_eq(count_of(ENTRY_TAKEN), 0, "not counted before it is known");
    cr_assert_eq(entry_take_logins(&entry, 3, 3), 1, "the order that came with it");
    cr_assert_eq(last_payload()[0], UFO_LOGIN_ACCEPT);
    cr_assert(entry.sessions[1].bound);
    cr_assert_eq(count_of(ENTRY_TAKEN), 1);
    cr_assert_not(logins_answered(&logins));
}

Test(entry, one_login_of_a_session_waits_at_a_time_and_a_few_in_all)
{
    have_a_thread();
    log_in(1, "USER1 ", 1);
    log_in(1, "USER1 ", 2);
    log_in(2, "USER1 ", 3);
    cr_assert_eq(count_of(ENTRY_LOGIN_BUSY), 2);
    log_in(3, "USER2 ", 4);
    cr_assert_eq(count_of(ENTRY_LOGIN_BUSY), 2);
    while (logins_serve(&logins))
        ;
    entry_take_logins(&entry, 5, 5);
    cr_assert(entry.sessions[1].bound && entry.sessions[2].bound);
    const struct packet packet = {.payload = datagram, .payload_size = 29};
    for (uint32_t i = 0; i < LOGINS_WAITING_MAX; i++)
        cr_assert(logins_give(&logins, i, &entry.sessions[0].who, &packet, NULL));
    cr_assert_not(logins_give(&logins, LOGINS_WAITING_MAX, &entry.sessions[0].who, &packet, NULL));
}

// Somebody who is refused and comes again at once keeps nobody waiting.
Test(entry, logins_that_wait_are_verified_in_turn)
{
    have_a_thread();
    log_in(1, "USER1 ", 1);
    log_in(2, "USER2 ", 1);
    for (int i = 0; i < 3; i++) {
        login_block("USER0 ", "WRONG     ", "          ");
        deliver(3, 1);
        cr_assert(logins_serve(&logins));
        entry_take_logins(&entry, 2, 2);
    }
    cr_assert(entry.sessions[1].bound && entry.sessions[2].bound);
}

Test(entry, what_is_known_of_a_password_is_not_verified_again)
{
    log_in(1, "USER1 ", 1);
    block("O", 1);
    deliver(1, 2);
    have_a_thread();
    login_block("USER1 ", "WRONG     ", "          ");
    deliver(1, 3);
    cr_assert_eq(last_payload()[0], UFO_LOGIN_REJECT);
    login_block("USER1 ", "secret    ", "          ");
    deliver(1, 4);
    cr_assert_eq(last_payload()[0], UFO_LOGIN_ACCEPT, "in any case of its letters");
    cr_assert_not(logins_serve(&logins));
}

Test(entry, no_password_stays_where_it_waited)
{
    log_in(1, "USER1 ", 1);
    for (size_t i = 0; i < sizeof(logins) - 6; i++)
        cr_assert_neq(memcmp((const char *)&logins + i, "SECRET", 6), 0, "at %zu", i);
}

static bool frame_has(const char *text)
{
    return memmem(frame, sizeof(frame), text, strlen(text)) != NULL;
}

Test(entry, of_a_password_nothing_is_left_in_the_frame_that_it_came_in)
{
    static const char *const users[] = {"USER1 ", "USER1 ", "NOBODY"};
    static const char *const sessions[] = {"          ", "YESTERDAY ", "          "};
    for (uint32_t i = 0; i < 3; i++) {
        login_block(users[i], "WRONG     ", sessions[i]);
        deliver(1, 1);
        cr_assert_not(frame_has("WRONG"), "refused, %u", i);
    }
    login_block("USER1 ", "SECRET    ", "          ");
    datagram_size--;
    deliver(1, 1);
    cr_assert_eq(count_of(ENTRY_BAD_UFO), 1);
    cr_assert_not(frame_has("SECRET"), "not whole");

    order_block(1);
    login_block("USER1 ", "SECRET    ", "          ");
    deliver(1, 1);
    cr_assert_eq(count_of(ENTRY_NOT_BOUND), 1);
    cr_assert_not(frame_has("SECRET"), "too late in its datagram");

    login_block("USER1 ", "SECRET    ", "          ");
    order_block(1);
    cr_assert_eq(deliver(1, 1), 1);
    cr_assert_not(frame_has("SECRET"), "taken, with an order");
    log_in(2, "USER1 ", 1);
    cr_assert_eq(count_of(ENTRY_BOUND_ELSEWHERE), 1);
    cr_assert_not(frame_has("SECRET"), "of one that is bound elsewhere");
    block("O", 1);
    login_block("USER1 ", "SECRET    ", "          ");
    deliver(1, 1);
    cr_assert_eq(entry.counters.logoffs, 1);
    cr_assert_not(frame_has("SECRET"), "behind a logoff");
}

Test(entry, of_a_password_nothing_is_left_in_the_frame_while_it_waits)
{
    have_a_thread();
    log_in(1, "USER1 ", 1);
    cr_assert_not(frame_has("SECRET"));
    log_in(1, "USER1 ", 1);
    cr_assert_eq(count_of(ENTRY_LOGIN_BUSY), 1);
    cr_assert_not(frame_has("SECRET"), "of one that could not");
    cr_assert(logins_serve(&logins));
    entry_take_logins(&entry, 2, 2);
    cr_assert(entry.sessions[1].bound);
}

Test(entry, a_bound_session_keeps_its_address_until_ten_seconds_of_silence)
{
    log_in(1, "USER1 ", 0);
    log_in(2, "USER1 ", 9 * SECOND_NS);
    cr_assert_eq(entry.counters.datagrams[ENTRY_BOUND_ELSEWHERE], 1);
    cr_assert_eq(sent_count, 1, "discarded without an answer");
    entry_tick(&entry, 10 * SECOND_NS);
    cr_assert(entry.sessions[1].bound, "ten seconds, not more");
    entry_tick(&entry, 10 * SECOND_NS + 1);
    cr_assert_not(entry.sessions[1].bound);
    cr_assert_eq(entry.counters.timeouts, 1);
    log_in(2, "USER1 ", 11 * SECOND_NS);
    cr_assert(entry.sessions[1].bound);
}

static void ask_for_cancel_on_disconnect(uint32_t session)
{
    entry.sessions[session].who.cancel_on_disconnect = true;
    entry.sessions[session].orders_to_go = true;
}

// The one command that a sweep at that time gives cancels what session 1 has.
static void expect_swept(uint64_t now_ns)
{
    uint32_t before = ring_readable(entry.commands, 8);
    cr_assert_eq(entry_sweep(&entry, now_ns, now_ns + 5), 1);
    const struct command *command = ring_read_slot(entry.commands, before);
    cr_assert_eq(command->type, COMMAND_MASS_CANCEL);
    cr_assert_eq(command->time_ns, now_ns + 5);
    cr_assert_eq(command->session, ANY_SESSION);
    cr_assert_eq(command->instrument, NO_INSTRUMENT);
    cr_assert_eq(command->mass.session, 1);
    cr_assert_eq(command->mass.side, ANY_SIDE);
    cr_assert_str_eq(command->mass.actor, "cancel on disconnect");
    cr_assert_eq(entry_sweep(&entry, now_ns + 1000 * SECOND_NS, 0), 0, "once");
}

Test(entry, cancel_on_disconnect_after_ten_seconds_of_silence)
{
    ask_for_cancel_on_disconnect(1);
    log_in(1, "USER1 ", 1);
    cr_assert_eq(entry_sweep(&entry, 1000 * SECOND_NS, 0), 0, "as long as it is bound");
    entry_tick(&entry, 10 * SECOND_NS + 2);
    expect_swept(10 * SECOND_NS + 2);
    log_in(2, "USER1 ", 2000 * SECOND_NS);
    entry_tick(&entry, 2011 * SECOND_NS);
    expect_swept(2011 * SECOND_NS);
    cr_assert_eq(entry.counters.disconnect_cancels, 2);
}

Test(entry, cancel_on_disconnect_at_once_after_a_logoff)
{
    ask_for_cancel_on_disconnect(1);
    log_in(1, "USER1 ", 1);
    static const uint8_t logoff = UFO_LOGOFF;
    block(&logoff, 1);
    deliver(1, 2);
    expect_swept(3);
}

Test(entry, cancel_on_disconnect_of_who_does_not_come_back_after_a_start)
{
    ask_for_cancel_on_disconnect(1);
    cr_assert_eq(entry_sweep(&entry, 5 * SECOND_NS, 0), 0);
    cr_assert_eq(entry_sweep(&entry, 15 * SECOND_NS, 0), 0);
    expect_swept(15 * SECOND_NS + 1);
}

Test(entry, who_comes_back_after_a_start_keeps_its_orders)
{
    ask_for_cancel_on_disconnect(1);
    log_in(1, "USER1 ", 1000 * SECOND_NS); // before the first sweep
    cr_assert_eq(entry_sweep(&entry, 1001 * SECOND_NS, 0), 0);
    cr_assert_eq(ring_readable(entry.commands, 8), 0);
}

Test(entry, orders_of_before_a_logoff_go_before_those_of_the_next_login)
{
    ask_for_cancel_on_disconnect(1);
    log_in(1, "USER1 ", 1);
    static const uint8_t logoff = UFO_LOGOFF;
    block(&logoff, 1);
    deliver(1, 2);
    login_block("USER1 ", "SECRET    ", "          ");
    order_block(7);
    cr_assert_eq(deliver(2, 3), 2);
    const struct command *first = ring_read_slot(entry.commands, 0);
    const struct command *second = ring_read_slot(entry.commands, 1);
    cr_assert_eq(ring_readable(entry.commands, 8), 2);
    cr_assert_eq(first->type, COMMAND_MASS_CANCEL);
    cr_assert_eq(second->type, COMMAND_ENTER);
    cr_assert_eq(entry_sweep(&entry, 4, 4), 0);
}

Test(entry, no_cancel_on_disconnect_of_who_did_not_ask_for_it)
{
    log_in(1, "USER1 ", 1);
    entry_tick(&entry, 100 * SECOND_NS);
    cr_assert_eq(entry_sweep(&entry, 100 * SECOND_NS, 0), 0);
}

static void expect_told(uint16_t zero, uint16_t one, uint16_t two)
{
    cr_assert_eq(told_of[0], zero, "session 0: %u", told_of[0]);
    cr_assert_eq(told_of[1], one, "session 1: %u", told_of[1]);
    cr_assert_eq(told_of[2], two, "session 2: %u", told_of[2]);
}

Test(entry, the_port_is_told_who_is_bound_and_who_is_not_any_more)
{
    log_in(7, "USER1 ", 0);
    log_in(8, "USER2 ", 0);
    log_in(9, "NOBODY", 0); // refused
    log_in(9, "USER1 ", 0); // bound elsewhere
    log_in(7, "USER1 ", 0); // again
    expect_told(0, 7, 8);
    block("O", 1);
    deliver(8, 1);
    expect_told(0, 7, 0);
    entry_tick(&entry, 11 * SECOND_NS); // time-out
    expect_told(0, 0, 0);
    log_in(9, "USER1 ", 12 * SECOND_NS);
    log_in(7, "USER0 ", 12 * SECOND_NS);
    expect_told(7, 9, 0);
}

Test(entry, any_valid_datagram_keeps_a_session_alive)
{
    log_in(1, "USER1 ", 0);
    for (uint64_t second = 9; second < 60; second += 9) {
        block("R", 1);
        deliver(1, second * SECOND_NS);
        entry_tick(&entry, (second + 8) * SECOND_NS);
        cr_assert(entry.sessions[1].bound);
    }
}

Test(entry, a_quiet_session_gets_a_heartbeat_a_second)
{
    log_in(1, "USER1 ", 0);
    uint32_t before = sent_count;
    for (uint64_t tenth = 1; tenth <= 50; tenth++)
        entry_tick(&entry, tenth * SECOND_NS / 10);
    cr_assert_eq(sent_count - before, 5);
    cr_assert_eq(last_payload()[0], UFO_SEQUENCED);
    cr_assert_eq(last_payload()[5] + last_payload()[6], 0, "of no messages");
}

Test(entry, orders_of_one_datagram_are_taken_all_or_none)
{
    log_in(1, "USER1 ", 0);
    for (uint32_t i = 1; i <= 8; i++)
        order_block(i);
    cr_assert_eq(deliver(1, 1), 8, "as many as the ring holds");
    order_block(9);
    cr_assert_eq(deliver(1, 1), 0);
    cr_assert_eq(entry.counters.datagrams[ENTRY_RING_FULL], 1);
    ring_readable(entry.commands, 8);
    ring_release(entry.commands, 5);
    for (uint32_t i = 10; i <= 15; i++)
        order_block(i);
    cr_assert_eq(deliver(1, 1), 0, "six into five does not go");
    for (uint32_t i = 16; i <= 20; i++)
        order_block(i);
    cr_assert_eq(deliver(1, 1), 5);
}

Test(entry, one_bad_message_drops_the_datagram_and_leaves_the_session)
{
    log_in(1, "USER1 ", 0);
    order_block(1);
    block("UZ", 2); // no such OUCH message
    order_block(2);
    cr_assert_eq(deliver(1, 1), 0);
    cr_assert_eq(entry.counters.datagrams[ENTRY_BAD_OUCH], 1);
    cr_assert_eq(entry.counters.ouch_faults[OUCH_UNKNOWN_TYPE], 1);
    order_block(1);
    cr_assert_eq(deliver(1, 1), 1);
}

Test(entry, while_cancel_only_new_orders_carry_a_verdict_and_cancels_do_not)
{
    log_in(1, "USER1 ", 0);
    atomic_store(&cancel_only, true);
    order_block(1);
    struct {
        uint8_t ufo_type;
        struct ouch_cancel cancel;
    } message = {UFO_UNSEQUENCED, {.type = OUCH_CANCEL, .user_ref_num = be32_of(1)}};
    block(&message, sizeof(message));
    cr_assert_eq(deliver(1, 1), 2);
    ring_readable(entry.commands, 2);
    const struct command *first = ring_read_slot(entry.commands, 0);
    const struct command *second = ring_read_slot(entry.commands, 1);
    cr_assert_eq(first->verdict, REJECT_PROCESSING_ERROR);
    cr_assert_eq(second->verdict, REJECT_NONE);
}

static void timed_order_block(uint32_t user_ref_num, uint32_t seconds)
{
    size_t before = datagram_size;
    order_block(user_ref_num);
    uint8_t element[6] = {5, OUCH_TAG_EXPIRE_TIME, 0, 0, 0, 0};
    be32 value = be32_of(seconds);
    memcpy(element + 2, &value, sizeof(value));
    memcpy(datagram + datagram_size, element, sizeof(element));
    datagram_size += sizeof(element);
    datagram[before + 1] += sizeof(element);
    struct ouch_enter *order = (struct ouch_enter *)(datagram + before + 3);
    order->time_in_force = '6';
    order->appendage_size = be16_of(sizeof(element));
}

static struct command take_command(void)
{
    cr_assert_geq(ring_readable(entry.commands, 1), 1);
    struct command command = *(const struct command *)ring_read_slot(entry.commands, 0);
    ring_release(entry.commands, 1);
    return command;
}

Test(entry, the_clock_runs_each_second_until_the_last_timed_order_has_ended)
{
    log_in(1, "USER1 ", 0);
    cr_assert_not(entry_clock(&entry, 5 * SECOND_NS), "nobody waits for it");
    order_block(1);
    deliver(1, 10 * SECOND_NS + 7);
    cr_assert_not(entry_clock(&entry, 11 * SECOND_NS), "a day order does not");
    timed_order_block(2, 3);
    cr_assert_eq(deliver(1, 20 * SECOND_NS + 7), 1);
    take_command();
    cr_assert_eq(take_command().order.expire_seconds, 3);
    cr_assert_not(entry_clock(&entry, 21 * SECOND_NS - 1), "the order itself told the second");
    for (uint64_t second = 21; second <= 24; second++) {
        cr_assert(entry_clock(&entry, second * SECOND_NS + 5), "second %lu", second);
        cr_assert_not(entry_clock(&entry, second * SECOND_NS + 6), "once");
        struct command command = take_command();
        cr_assert_eq(command.type, COMMAND_CLOCK);
        cr_assert_eq(command.time_ns, second * SECOND_NS + 5);
    }
    cr_assert_not(entry_clock(&entry, 25 * SECOND_NS + 5), "20 + 3 + 1 was the last");
}

Test(entry, another_command_of_the_second_is_as_good_as_the_clocks)
{
    log_in(1, "USER1 ", 0);
    timed_order_block(1, 60);
    deliver(1, 20 * SECOND_NS);
    order_block(2);
    deliver(1, 21 * SECOND_NS + 3);
    cr_assert_not(entry_clock(&entry, 22 * SECOND_NS - 1));
    cr_assert(entry_clock(&entry, 22 * SECOND_NS));
}

Test(entry, a_clock_that_stood_still_for_long_still_tells_the_last_second)
{
    log_in(1, "USER1 ", 0);
    timed_order_block(1, 1);
    deliver(1, 20 * SECOND_NS);
    cr_assert(entry_clock(&entry, 500 * SECOND_NS));
    cr_assert_not(entry_clock(&entry, 501 * SECOND_NS));
}

Test(entry, the_clock_never_runs_backwards_and_waits_for_room)
{
    log_in(1, "USER1 ", 0);
    timed_order_block(1, 10);
    deliver(1, 20 * SECOND_NS);
    cr_assert_not(entry_clock(&entry, 19 * SECOND_NS));
    timed_order_block(2, 20);
    deliver(1, 15 * SECOND_NS);
    cr_assert_eq(entry.timed_until_ns, 41 * SECOND_NS, "as the book counts, from the latest time");
    for (uint32_t i = 3; i <= 8; i++)
        order_block(i);
    cr_assert_eq(deliver(1, 20 * SECOND_NS), 6);
    cr_assert_not(entry_clock(&entry, 21 * SECOND_NS), "the ring is full");
    take_command();
    cr_assert(entry_clock(&entry, 21 * SECOND_NS));
}

Test(entry, more_seconds_than_an_order_may_live_keep_no_clock_running)
{
    log_in(1, "USER1 ", 0);
    timed_order_block(1, EXPIRE_SECONDS_MAX + 1);
    cr_assert_eq(deliver(1, 20 * SECOND_NS), 1);
    cr_assert_not(entry_clock(&entry, 21 * SECOND_NS));
}

Test(entry, a_mass_cancel_is_of_the_sessions_own_orders)
{
    log_in(1, "USER2 ", 0);
    struct {
        uint8_t ufo_type;
        struct ouch_mass_cancel cancel;
    } message = {UFO_UNSEQUENCED,
                 {.type = OUCH_MASS_CANCEL, .user_ref_num = be32_of(5), .firm = "    "}};
    memset(message.cancel.symbol, ' ', sizeof(message.cancel.symbol));
    block(&message, sizeof(message));
    atomic_store(&cancel_only, true);
    cr_assert_eq(deliver(1, 1), 1);
    struct command command = take_command();
    cr_assert_eq(command.type, COMMAND_MASS_CANCEL);
    cr_assert_eq(command.verdict, REJECT_NONE, "it adds no risk");
    cr_assert_eq(command.session, 2);
    cr_assert_eq(command.mass.session, 2);
}

Test(entry, a_modification_of_a_banned_kind_of_sale_is_left_to_the_book)
{
    log_in(1, "USER1 ", 0);
    entry_limit(&entry, 1, LIMIT_NO_SHORT, 1);
    struct {
        uint8_t ufo_type;
        struct ouch_modify modify;
    } message = {
        UFO_UNSEQUENCED,
        {.type = OUCH_MODIFY, .user_ref_num = be32_of(1), .side = 'T', .quantity = be32_of(9)}};
    block(&message, sizeof(message));
    cr_assert_eq(deliver(1, 1), 1);
    cr_assert_eq(take_command().verdict, REJECT_NONE, "it may only have become less");
}

Test(entry, a_session_that_logs_off_ignores_what_follows_in_the_datagram)
{
    log_in(1, "USER1 ", 0);
    order_block(1);
    block("O", 1);
    order_block(2);
    cr_assert_eq(deliver(1, 1), 1);
    cr_assert_not(entry.sessions[1].bound);
}

Test(entry, what_cannot_be_sent_now_is_sent_when_a_frame_is_free)
{
    log_in(1, "USER1 ", 0);
    uint32_t before = sent_count;
    for (uint64_t i = 1; i <= 100; i++)
        cr_assert(entry_release(
            &entry,
            &(struct event){.seq = i, .stream_seq = i, .session = 1, .type = EVENT_CANCELED}));
    out_of_frames = true;
    entry_flush(&entry, 1);
    cr_assert_eq(sent_count, before);
    cr_assert_not(entry_idle(&entry));
    out_of_frames = false;
    entry_flush(&entry, 2);
    cr_assert(entry_idle(&entry));
    uint32_t messages = 0;
    for (uint32_t i = before; i < sent_count; i++)
        messages += sent[i].bytes[42 + 6];
    cr_assert_eq(messages, 100);
    cr_assert_leq(sent_count - before, 2, "packed");
}

// A packet used to be closed as soon as the longest message would not have fitted, though a shorter
// one would.
Test(entry, a_packet_holds_as_many_whole_messages_as_fit)
{
    log_in(1, "USER1 ", 0);
    uint32_t before = sent_count;
    for (uint64_t i = 1; i <= 200; i++)
        entry_release(&entry, &(struct event){
                                  .seq = i, .stream_seq = i, .session = 1, .type = EVENT_CANCELED});
    entry_flush(&entry, 1);
    size_t block_size = 2 + sizeof(struct ouch_canceled);
    size_t fit = (UFO_PAYLOAD_MAX - sizeof(struct ufo_sequenced)) / block_size;
    cr_assert_eq(sent[before].bytes[42 + 6], fit);
    cr_assert_eq(sent[before].size, 42 + sizeof(struct ufo_sequenced) + fit * block_size);
}

// Found by fuzz_session: the answer named the number after messages that were still to be sent,
// which a client then takes for ones that it had asked for once more, and drops.
Test(entry, a_login_that_is_repeated_is_answered_with_the_number_that_is_sent_next)
{
    log_in(1, "USER1 ", 0);
    for (uint64_t i = 1; i <= 3; i++)
        entry_release(&entry, &(struct event){
                                  .seq = i, .stream_seq = i, .session = 1, .type = EVENT_CANCELED});
    out_of_frames = true;
    entry_flush(&entry, 1);
    out_of_frames = false;
    log_in(1, "USER1 ", 2);
    const struct ufo_login_accept *accept = (const struct ufo_login_accept *)last_payload();
    cr_assert_eq(accept->type, UFO_LOGIN_ACCEPT);
    uint32_t told = be32_load(accept->sequence);
    entry_flush(&entry, 3);
    const struct ufo_sequenced *sequenced = (const struct ufo_sequenced *)last_payload();
    cr_assert_eq(be16_load(sequenced->count), 3);
    cr_assert_eq(told, be32_load(sequenced->sequence));
}

// --- Signed sessions

static uint8_t client_key[64], client_half[32] = {9};

static void sign_session(uint32_t index)
{
    struct config_session *who = &entry.sessions[index].who;
    crypto_sign_keypair(who->public_key, client_key);
    who->is_signed = entry.has_signed = true;
    logins.house = (struct signed_house){.address = htonl(0x0A4D0001), .port = htons(26400)};
}

static void raw(const void *bytes, size_t size)
{
    memcpy(datagram, bytes, size);
    datagram_size = size;
}

// A login of `user` from `client`, with the cookie that a hello is answered with, and a key of its
// own.
static struct signed_login signed_login(uint16_t client, const char *user, uint64_t now_ns)
{
    struct signed_login login = {.head = {.version = SIGNED_VERSION, .type = SIGNED_LOGIN}};
    struct signed_hello hello = {.head = {.version = SIGNED_VERSION, .type = SIGNED_HELLO}};
    uint8_t text[118] = "sluice signed login 1";
    memcpy(hello.user_name, user, sizeof(hello.user_name));
    raw(&hello, sizeof(hello));
    deliver(client, now_ns);
    const struct signed_cookie *cookie = (const struct signed_cookie *)last_payload();
    cr_assert_eq(cookie->head.type, SIGNED_COOKIE);
    memcpy(login.user_name, user, sizeof(login.user_name));
    memset(login.session, ' ', sizeof(login.session));
    memcpy(login.cookie, cookie->cookie, sizeof(login.cookie));
    client_half[1]++;
    crypto_scalarmult_base(login.key, client_half);
    memcpy(text + 32, (uint8_t[]){10, 77, 0, 1, 26400 >> 8, 26400 & 0xFF}, 6);
    memcpy(text + 38, &login, offsetof(struct signed_login, signature));
    crypto_sign_detached(login.signature, NULL, text, sizeof(text), client_key);
    return login;
}

static uint8_t send_login(uint16_t client, const struct signed_login *login, uint64_t now_ns)
{
    uint32_t before = sent_count;
    raw(login, sizeof(*login));
    deliver(client, now_ns);
    return sent_count > before ? last_payload()[3] : 0;
}

// Seals the datagram under construction with the keys of `channel`, as the client of session 1.
static void seal(const struct signed_channel *channel, uint64_t sequence)
{
    struct signed_channel up = {.sent = sequence - 1};
    uint8_t sealed[STEER_PAYLOAD_MAX];
    memcpy(up.down, channel->up, sizeof(up.down));
    memcpy(sealed + sizeof(struct signed_data), datagram, datagram_size);
    size_t size = signed_seal(&up, 1, sealed, datagram_size);
    raw(sealed, size);
}

// Logs session 1 in from `client` and confirms with a heartbeat, the first datagram.
static struct signed_channel signed_log_in(uint16_t client, uint64_t now_ns)
{
    struct signed_login login = signed_login(client, "user1 ", now_ns);
    cr_assert_eq(send_login(client, &login, now_ns), SIGNED_ACCEPT);
    struct signed_channel channel = entry.signed_sessions[1].next.channel;
    block("R", 1);
    seal(&channel, 1);
    deliver(client, now_ns);
    cr_assert(entry.sessions[1].bound);
    return channel;
}

Test(entry, a_signed_session_is_bound_by_its_first_tag_and_trades)
{
    sign_session(1);
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(sent[sent_count - 1].size, 42 + sizeof(struct signed_cookie));
    cr_assert_eq(send_login(1, &login, 2), SIGNED_ACCEPT);
    const struct signed_accept *accept = (const struct signed_accept *)last_payload();
    cr_assert_eq(sent[sent_count - 1].size, 42 + sizeof(*accept));
    cr_assert_eq(memcmp(accept->session, "DAY0000001", 10), 0);
    cr_assert_eq(be16_load(accept->number), 1);
    cr_assert_not(entry.sessions[1].bound, "anybody can have sent the login again");
    struct signed_channel channel = entry.signed_sessions[1].next.channel;
    order_block(1);
    seal(&channel, 1);
    cr_assert_eq(deliver(1, 3), 1);
    cr_assert(entry.sessions[1].bound);
    cr_assert_eq(count_of(ENTRY_TAKEN), 1);
    entry_tick(&entry, 2 * SECOND_NS);
    const uint8_t *beat = last_payload();
    cr_assert_eq(sent[sent_count - 1].size, 42 + 7 + SIGNED_OVERHEAD);
    cr_assert_eq(beat[3], SIGNED_DATA);
    cr_assert_eq(beat[16], UFO_SEQUENCED);
    uint8_t tag[SIGNED_TAG_SIZE];
    crypto_shorthash_siphashx24(tag, beat, 16 + 7, channel.down);
    cr_assert_arr_eq(beat + 16 + 7, tag, sizeof(tag));
}

Test(entry, a_signed_accept_says_the_next_number_as_one_in_clear_does)
{
    sign_session(1);
    struct event event = {.type = EVENT_REJECTED, .session = 1, .stream_seq = 1};
    cr_assert(entry_release(&entry, &event));
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &login, 2), SIGNED_ACCEPT);
    const struct signed_accept *accept = (const struct signed_accept *)last_payload();
    cr_assert_eq(be32_load(accept->sequence), 2);
}

Test(entry, a_signed_login_without_its_cookie_costs_nothing_and_is_not_answered)
{
    sign_session(1);
    have_a_thread();
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(2, &login, 1), 0, "from another port");
    cr_assert_eq(send_login(1, &login, 2 * SIGNED_MINUTE_NS), 0, "two minutes later");
    login.cookie[0] ^= 1;
    cr_assert_eq(send_login(1, &login, 1), 0);
    cr_assert_eq(count_of(ENTRY_BAD_COOKIE), 3);
    cr_assert_not(logins_serve(&logins), "nothing waits");
    login.cookie[0] ^= 1;
    cr_assert_eq(send_login(1, &login, 1), 0);
    cr_assert(logins_serve(&logins));
    entry_take_logins(&entry, 2, 2);
    cr_assert_eq(last_payload()[3], SIGNED_ACCEPT);
}

Test(entry, a_signed_login_is_refused_where_signature_user_or_day_is_wrong)
{
    sign_session(1);
    struct signed_login login = signed_login(1, "USER1 ", 1);
    login.signature[3] ^= 1;
    cr_assert_eq(send_login(1, &login, 1), SIGNED_REJECT);
    cr_assert_eq(last_payload()[4], UFO_REJECT_NOT_AUTHORISED);
    login = signed_login(1, "USER0 ", 1);
    cr_assert_eq(send_login(1, &login, 1), SIGNED_REJECT, "a session with a password");
    login = signed_login(1, "NOBODY", 1);
    cr_assert_eq(send_login(1, &login, 1), SIGNED_REJECT);
    entry.sessions[1].ended = true;
    login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &login, 1), SIGNED_REJECT);
    cr_assert_eq(last_payload()[4], UFO_REJECT_INVALID_SESSION);
    cr_assert_eq(count_of(ENTRY_LOGIN_REFUSED), 4);
}

Test(entry, a_signed_datagram_with_a_bit_changed_is_dropped)
{
    sign_session(1);
    struct signed_channel channel = signed_log_in(1, 1);
    uint64_t taken = count_of(ENTRY_TAKEN);
    order_block(1);
    seal(&channel, 2);
    uint8_t whole[STEER_PAYLOAD_MAX];
    size_t size = datagram_size;
    memcpy(whole, datagram, size);
    for (size_t bit = 0; bit < size * 8; bit++) {
        raw(whole, size);
        datagram[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(deliver(1, 2), 0, "bit %zu", bit);
    }
    cr_assert_eq(count_of(ENTRY_TAKEN), taken);
    cr_assert(count_of(ENTRY_BAD_TAG) > size * 8 - 100);
    raw(whole, size);
    cr_assert_eq(deliver(1, 2), 1);
    raw(whole, size);
    cr_assert_eq(deliver(1, 2), 0);
    cr_assert_eq(count_of(ENTRY_REPLAYED), 1);
    uint64_t not_bound = count_of(ENTRY_NOT_BOUND);
    raw(whole, size);
    cr_assert_eq(deliver(2, 2), 0, "from elsewhere");
    cr_assert_eq(count_of(ENTRY_NOT_BOUND), not_bound + 1);
}

Test(entry, a_signed_session_takes_nothing_in_clear)
{
    sign_session(1);
    log_in(1, "USER1 ", 1);
    cr_assert_eq(last_payload()[1], UFO_REJECT_NOT_AUTHORISED);
    signed_log_in(1, 2);
    order_block(1);
    cr_assert_eq(deliver(1, 3), 0);
    log_in(1, "USER0 ", 3);
    cr_assert_eq(count_of(ENTRY_UNSIGNED), 2);
}

Test(entry, new_keys_are_in_force_when_the_client_has_used_them)
{
    sign_session(1);
    struct signed_login first = signed_login(1, "USER1 ", 1);
    struct signed_channel old = signed_log_in(1, 1);
    struct signed_login second = signed_login(1, "USER1 ", 2);
    cr_assert_eq(send_login(1, &second, 2), SIGNED_ACCEPT);
    cr_assert_eq(send_login(1, &second, 2), SIGNED_ACCEPT, "its answer was lost");
    struct signed_channel new = entry.signed_sessions[1].next.channel;
    order_block(1);
    seal(&old, 2);
    cr_assert_eq(deliver(1, 3), 1, "the old ones are, until then");
    order_block(2);
    seal(&new, 1);
    cr_assert_eq(deliver(1, 4), 1);
    order_block(3);
    seal(&old, 3);
    cr_assert_eq(deliver(1, 5), 0);
    cr_assert_eq(count_of(ENTRY_BAD_TAG), 1);
    // Somebody sends a login again that he has seen: nothing comes of it.
    cr_assert_eq(send_login(1, &first, 6), SIGNED_ACCEPT);
    order_block(3);
    seal(&new, 2);
    cr_assert_eq(deliver(1, 7), 1);
}

Test(entry, a_signed_session_keeps_its_address_until_it_is_silent_and_its_keys_go_with_it)
{
    sign_session(1);
    struct signed_channel channel = signed_log_in(1, 1);
    struct signed_login login = signed_login(2, "USER1 ", 2);
    cr_assert_eq(send_login(2, &login, 2), 0);
    cr_assert_eq(count_of(ENTRY_BOUND_ELSEWHERE), 1);
    entry_tick(&entry, 11 * SECOND_NS);
    cr_assert_not(entry.sessions[1].bound);
    block("R", 1);
    seal(&channel, 2);
    deliver(1, 11 * SECOND_NS);
    cr_assert_eq(count_of(ENTRY_NOT_BOUND), 1);
    cr_assert_eq(send_login(2, &login, 11 * SECOND_NS), SIGNED_ACCEPT);
}

// Two sessions at one address would have one place in the table of addresses.
Test(entry, a_signed_login_from_the_address_of_another_session_is_dropped)
{
    sign_session(1);
    struct signed_login early = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &early, 1), SIGNED_ACCEPT);
    struct signed_channel channel = entry.signed_sessions[1].next.channel;
    log_in(1, "USER0 ", 1);
    block("R", 1);
    seal(&channel, 1);
    deliver(1, 1);
    cr_assert_not(entry.sessions[1].bound);
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &login, 1), 0);
    cr_assert_eq(count_of(ENTRY_BOUND_ELSEWHERE), 2);
    entry_tick(&entry, 11 * SECOND_NS);
    cr_assert_not(entry.sessions[0].bound);
}

Test(entry, a_packet_of_a_signed_session_is_as_full_as_a_datagram_can_be)
{
    sign_session(1);
    signed_log_in(1, 1);
    for (uint64_t i = 1; i <= 200; i++) {
        struct event event = {
            .type = EVENT_REJECTED, .session = 1, .stream_seq = i, .code = REJECT_NONE};
        cr_assert(entry_release(&entry, &event));
    }
    uint32_t before = sent_count;
    entry_flush(&entry, 2);
    cr_assert(sent_count > before + 1);
    cr_assert_leq(sent[before].size, 42 + UFO_PAYLOAD_MAX);
    cr_assert_geq(sent[before].size, 42 + UFO_PAYLOAD_MAX - 40);
}

// --- Messages that are asked for again

#define RELEASED (2 * HISTORY)

static struct history history;

static struct event canceled(uint64_t number)
{
    return (struct event){
        .seq = number, .stream_seq = number, .session = 0, .type = EVENT_CANCELED, .code = 'U'};
}

static void release_more_than_is_kept(void)
{
    size_t size = history_memory_size(SESSIONS);
    history_init(&history, take(size), SESSIONS);
    entry.history = &history;
    for (uint64_t number = 1; number <= RELEASED; number++) {
        struct event event = canceled(number);
        cr_assert(entry_release(&entry, &event));
    }
    log_in(1, "USER0 ", SECOND_NS);
    sent_count = 0;
}

static void ask_again(uint32_t first)
{
    struct ufo_retransmit request = {
        .type = UFO_RETRANSMIT, .sequence = be32_of(first), .count = be16_of(2)};
    block(&request, sizeof(request));
    deliver(1, SECOND_NS);
}

Test(entry, what_is_kept_no_longer_is_sent_once_the_journal_was_read)
{
    release_more_than_is_kept();
    ask_again(5);
    cr_assert_eq(sent_count, 0);
    cr_assert_eq(entry.counters.retransmit_later, 1);
    cr_assert(history_wanted(&history));
    history_begin(&history);
    for (uint64_t number = 1; number <= RELEASED; number++) {
        struct event event = canceled(number);
        history_take(&history, &event);
    }
    history_answer(&history, false);
    ask_again(5);
    const struct ufo_sequenced *answer = (const struct ufo_sequenced *)last_payload();
    cr_assert_eq(sent_count, 1);
    cr_assert_eq(be32_load(answer->sequence), 5);
    cr_assert_eq(be16_load(answer->count), 2);
    cr_assert_eq(entry.counters.retransmitted_from_journal, 2);
    cr_assert_eq(entry.counters.retransmit_unserved, 0);
}

Test(entry, each_request_is_counted_as_what_became_of_it)
{
    release_more_than_is_kept();
    ask_again(RELEASED);     // from memory
    ask_again(RELEASED + 1); // never said
    ask_again(0);
    ask_again(1); // in the journal
    cr_assert_eq(entry.counters.retransmit_requests, 4);
    cr_assert_eq(entry.counters.retransmitted_messages, 1);
    cr_assert_eq(entry.counters.retransmitted_from_journal, 0);
    cr_assert_eq(entry.counters.retransmit_unserved, 2);
    cr_assert_eq(entry.counters.retransmit_later, 1);
    entry.history = NULL; // a recording has no journal
    ask_again(1);
    cr_assert_eq(entry.counters.retransmit_unserved, 3);
}
