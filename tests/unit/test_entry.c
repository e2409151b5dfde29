// SPDX-License-Identifier: MIT
//
// Order entry's session rules on a clock of the test's own. Signed sessions: test_entry_signed.c.
#include "tests/unit/entry_bench.h"

TestSuite(entry, .init = set_up);

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

Test(entry, a_login_is_answered_when_its_password_has_been_verified)
{
    have_a_thread();
    login_block("USER1 ", "SECRET    ", "          ");
    order_block(1);
    cr_assert_eq(deliver(1, 1), 0);
    cr_assert_eq(sent_count, 0);
    cr_assert_not(logins_answered(&logins));
    cr_assert_eq(entry_take_logins(&entry, 2, 2), 0);
    cr_assert(logins_serve(&logins, false));
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
    while (logins_serve(&logins, false))
        ;
    entry_take_logins(&entry, 5, 5);
    cr_assert(entry.sessions[1].bound && entry.sessions[2].bound);
    // Half of the places are for signed ones, whom those in clear keep out by no number of names.
    const struct packet packet = {.payload = datagram, .payload_size = 29};
    const struct config_session in_clear = {.user = "CLEAR "}, is_signed = {.is_signed = true};
    const struct signed_accept offer = {.sequence = be32_of(1)};
    for (uint32_t i = 0; i < LOGINS_WAITING_MAX / 2; i++)
        cr_assert(logins_give(&logins, i, &in_clear, &packet, NULL));
    cr_assert_not(logins_give(&logins, LOGINS_WAITING_MAX, &in_clear, &packet, NULL));
    for (uint32_t i = LOGINS_WAITING_MAX / 2; i < LOGINS_WAITING_MAX; i++)
        cr_assert(logins_give(&logins, i, &is_signed, &packet, &offer));
    cr_assert_not(logins_give(&logins, LOGINS_WAITING_MAX, &is_signed, &packet, &offer));
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
        cr_assert(logins_serve(&logins, false));
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
    cr_assert_not(logins_serve(&logins, false));
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
    cr_assert(logins_serve(&logins, false));
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

// UFO section 4.2: it says nothing to who is elsewhere, so that nobody can try passwords on it.
Test(entry, a_wrong_password_of_a_bound_session_is_not_answered_elsewhere)
{
    log_in(1, "USER1 ", 0);
    login_block("USER1 ", "WRONG     ", "          ");
    deliver(2, 1);
    cr_assert_eq(sent_count, 1);
    cr_assert_eq(count_of(ENTRY_BOUND_ELSEWHERE), 1);
}

// UFO section 4.10: a stale session's name is refused whether one is bound or not.
Test(entry, a_login_that_is_repeated_with_a_stale_session_is_refused)
{
    log_in(1, "USER1 ", 0);
    login_block("USER1 ", "SECRET    ", "YESTERDAY ");
    deliver(1, 1);
    cr_assert_eq(last_payload()[0], UFO_LOGIN_REJECT);
    cr_assert_eq(last_payload()[1], UFO_REJECT_INVALID_SESSION);
    login_block("USER1 ", "WRONG     ", "DAY0000001");
    deliver(1, 2);
    cr_assert_eq(last_payload()[1], UFO_REJECT_NOT_AUTHORISED);
    login_block("USER1 ", "SECRET    ", "DAY0000001");
    deliver(1, 3);
    cr_assert_eq(last_payload()[0], UFO_LOGIN_ACCEPT);
    cr_assert(entry.sessions[1].bound);
}

// It used to be answered at the old address, and its logins kept it from being timed out.
Test(entry, a_client_behind_another_next_hop_is_answered_there_once_it_has_logged_in)
{
    static const uint8_t other_hop[6] = {2, 0, 0, 0, 0, 7};
    log_in(1, "USER1 ", 0);
    memcpy(source_mac, other_hop, sizeof(source_mac));
    block("R", 1);
    deliver(1, 1);
    cr_assert_neq(memcmp(entry.sessions[1].client.mac, other_hop, 6), 0, "that proves nothing");
    log_in(1, "USER1 ", 2);
    cr_assert_eq(last_payload()[0], UFO_LOGIN_ACCEPT);
    cr_assert_arr_eq(sent[sent_count - 1].bytes, other_hop, 6);
    cr_assert_eq(told_of[1], 1, "and the port knows");
    memset(source_mac, 0, sizeof(source_mac));
}

Test(entry, a_few_requests_of_a_datagram_are_served)
{
    log_in(1, "USER1 ", 0);
    struct event event = {.type = EVENT_REJECTED, .session = 1, .stream_seq = 1};
    cr_assert(entry_release(&entry, &event));
    entry_flush(&entry, 1);
    uint32_t before = sent_count;
    const struct ufo_retransmit request = {
        .type = UFO_RETRANSMIT, .sequence = be32_of(1), .count = be16_of(1)};
    for (int i = 0; i < 100; i++)
        block(&request, sizeof(request));
    deliver(1, 2);
    cr_assert_eq(sent_count - before, 8);
    cr_assert_eq(entry.counters.retransmit_requests, 100);
    cr_assert_eq(entry.counters.retransmit_unserved, 92);
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
