// SPDX-License-Identifier: MIT
//
// A client of `sluice load`, fed by hand: its session, the fates of its orders, and the report on
// them.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "dataplane/load_client.h"
#include "dataplane/load_report.h"
#include "dataplane/ouch.h"
#include "tests/unit/load_parts.h"
#include "tests/unit/recorded.h"

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

static void deliver(struct load_client *client, struct packet_out *out, uint64_t now)
{
    finish_packet(out);
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
static void log_in(struct load_client *client, uint32_t refs, uint32_t cancels)
{
    open_client(client, refs, cancels);
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
    log_in(&client, 1, 0);
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
    log_in(&client, 1, 0);
    receive_hex(&client, "41 53455353303030303032 00000001", NOW);
    cr_assert_eq(client.state, LOAD_FAILED);
    load_client_close(&client);
}

Test(load_client, due_messages_share_datagrams_of_at_most_16)
{
    struct load_client client;
    log_in(&client, 200, 0);
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
    log_in(&client, 9, 4);
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
    log_in(&client, 2, 1);
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
    log_in(&client, 2, 1);
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
    log_in(&client, 2, 0);
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

// An accepted order in a packet of one message, whose number is one more than the order's.
static void deliver_one(struct load_client *client, uint32_t sequence)
{
    struct packet_out out = from_sequence(sequence);
    add_accepted(&out, sequence - 1, 100);
    deliver(client, &out, NOW);
}

// Logged in, and orders 1 to `count` are sent.
static void open_with_orders(struct load_client *client, uint32_t count)
{
    log_in(client, count, 0);
    for (uint32_t ref = 1; ref <= count; ref++)
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
    open_with_orders(&client, 10);
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
    open_with_orders(&client, 10);
    receive_hex(&client, "53 0000000C 0000", NOW);
    expect_request(&client, NOW, 2, 10);
    load_client_close(&client);
}

Test(load_client, duplicates_and_any_order_of_arrival_give_the_same_account)
{
    uint64_t random = 77;
    for (int round = 0; round < 200; round++) {
        struct load_client client;
        open_with_orders(&client, 10);
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
    open_with_orders(&client, 3);
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
    open_with_orders(&client, 10);
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
    open_with_orders(&client, 10);
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
    open_with_orders(&client, 10);
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
    log_in(&client, 1, 0);
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
    open_with_orders(&client, 10);
    for (int i = 0; i < 50000; i++) {
        struct packet_out out = from_sequence(client.expected);
        add_accepted(&out, 1 + (uint32_t)i % 12, 100);
        add_replaced(&out, 1 + (uint32_t)i % 7, (uint32_t)i % 13, 5);
        add_executed(&out, 1 + (uint32_t)i % 10, 1, 'R', 3);
        finish_packet(&out);
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
    open_with_orders(&client, 10);
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
