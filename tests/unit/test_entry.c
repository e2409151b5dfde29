// SPDX-License-Identifier: MIT
//
// Order entry's session rules on a clock of the test's own, with a port that keeps what is sent.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/entry.h"

#define SECOND_NS 1000000000ull
#define SESSIONS  3u
#define HISTORY   1024u

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

static const struct port_operations keeping = {.claim = keep_claim, .send = keep_send};
static struct port port = {.operations = &keeping};
static struct symbols symbols;
static struct entry entry;
static _Atomic bool cancel_only;

static void *take(size_t size)
{
    return memset(aligned_alloc(128, (size + 127) & ~(size_t)127), 0, (size + 127) & ~(size_t)127);
}

static void set_up(void)
{
    symbols_init(&symbols, take(symbols_memory_size(1)), 1);
    symbols_add(&symbols, "ACME    ");
    entry = (struct entry){.port = &port,
                           .source = {.vlan = PACKET_NO_VLAN},
                           .symbols = &symbols,
                           .commands = ring_init(take(ring_memory_size(8)), 8),
                           .session_id = "DAY0000001",
                           .cancel_only = &cancel_only};
    entry_init(&entry, take(entry_memory_size(SESSIONS)), SESSIONS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct config_session who = {.user = "USER0 ", .password = "SECRET    ", .firm = "FIRM"};
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
    struct ufo_login login = {.type = UFO_LOGIN};
    memcpy(login.user_name, user, 6);
    memcpy(login.password, password, 10);
    memcpy(login.session, session, 10);
    block(&login, sizeof(login));
}

static void order_block(uint32_t user_ref_num)
{
    struct {
        uint8_t ufo_type;
        struct ouch_enter order;
    } message;
    memset(&message, ' ', sizeof(message));
    message.ufo_type = UFO_UNSEQUENCED;
    struct ouch_enter *order = &message.order;
    memset(order, 0, sizeof(*order));
    order->type = OUCH_ENTER;
    order->user_ref_num = be32_of(user_ref_num);
    order->side = 'B';
    order->quantity = be32_of(100);
    memcpy(order->symbol, "ACME    ", 8);
    order->price = be64_of(10000);
    order->time_in_force = '0';
    order->display = 'Y';
    order->capacity = 'P';
    order->sweep = 'N';
    order->cross_type = 'N';
    block(&message, sizeof(message));
}

// Delivers it from client number `client`; how many commands came of it.
static uint32_t deliver(uint16_t client, uint64_t now_ns)
{
    struct packet packet = {
        .source = {.address = htonl(0x0A4D0002), .port = htons(client), .vlan = PACKET_NO_VLAN},
        .payload = datagram,
        .payload_size = (uint16_t)datagram_size,
    };
    // packet_checksum_valid takes a checksum of 0 for none; it stands in front of the payload.
    static uint8_t frame[PACKET_SIZE_MAX];
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
