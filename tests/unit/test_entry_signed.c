// SPDX-License-Identifier: MIT
//
// Order entry's signed sessions: the cookie, the login, the tags, and keys that follow others.
#include <sodium.h>

#include "tests/unit/entry_bench.h"

TestSuite(entry_signed, .init = set_up);

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

Test(entry_signed, a_signed_session_is_bound_by_its_first_tag_and_trades)
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

Test(entry_signed, a_signed_accept_says_the_next_number_as_one_in_clear_does)
{
    sign_session(1);
    struct event event = {.type = EVENT_REJECTED, .session = 1, .stream_seq = 1};
    cr_assert(entry_release(&entry, &event));
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &login, 2), SIGNED_ACCEPT);
    const struct signed_accept *accept = (const struct signed_accept *)last_payload();
    cr_assert_eq(be32_load(accept->sequence), 2);
}

Test(entry_signed, a_signed_login_without_its_cookie_costs_nothing_and_is_not_answered)
{
    sign_session(1);
    have_a_thread();
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(2, &login, 1), 0, "from another port");
    cr_assert_eq(send_login(1, &login, 2 * SIGNED_MINUTE_NS), 0, "two minutes later");
    login.cookie[0] ^= 1;
    cr_assert_eq(send_login(1, &login, 1), 0);
    cr_assert_eq(count_of(ENTRY_BAD_COOKIE), 3);
    cr_assert_not(logins_serve(&logins, true), "nothing waits");
    login.cookie[0] ^= 1;
    cr_assert_eq(send_login(1, &login, 1), 0);
    cr_assert(logins_serve(&logins, true));
    entry_take_logins(&entry, 2, 2);
    cr_assert_eq(last_payload()[3], SIGNED_ACCEPT);
}

Test(entry_signed, a_signed_login_is_refused_where_signature_user_or_day_is_wrong)
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

Test(entry_signed, a_signed_datagram_with_a_bit_changed_is_dropped)
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

Test(entry_signed, a_signed_session_takes_nothing_in_clear)
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

Test(entry_signed, new_keys_are_in_force_when_the_client_has_used_them)
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

// It used to take the place of a later one that the client had not used yet.
Test(entry_signed, a_login_that_was_taken_is_not_taken_again)
{
    sign_session(1);
    struct signed_login first = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &first, 1), SIGNED_ACCEPT);
    struct signed_login second = signed_login(1, "USER1 ", 2);
    cr_assert_eq(send_login(1, &second, 2), SIGNED_ACCEPT);
    struct signed_channel channel = entry.signed_sessions[1].next.channel;
    cr_assert_eq(send_login(1, &first, 3), 0, "somebody who has seen it sends it again");
    cr_assert_eq(count_of(ENTRY_REPLAYED), 1);
    order_block(1);
    seal(&channel, 1);
    cr_assert_eq(deliver(1, 4), 1);
    entry_tick(&entry, 11 * SECOND_NS);
    cr_assert_not(entry.sessions[1].bound);
    cr_assert_eq(send_login(1, &second, 11 * SECOND_NS), 0, "nor when its binding has ended");
}

// Anybody can claim an address who has some password; it used to keep its owner out.
Test(entry_signed, a_session_without_signature_gives_way_to_a_signed_one_at_its_address)
{
    sign_session(1);
    log_in(1, "USER0 ", 1);
    cr_assert(entry.sessions[0].bound);
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &login, 1), SIGNED_ACCEPT);
    cr_assert(entry.sessions[0].bound, "until it has shown that it has the keys");
    struct signed_channel channel = entry.signed_sessions[1].next.channel;
    order_block(1);
    seal(&channel, 1);
    cr_assert_eq(deliver(1, 2), 1);
    cr_assert(entry.sessions[1].bound && !entry.sessions[0].bound);
    cr_assert(told_of[1] == 1 && told_of[0] == 0);
}

Test(entry_signed, answers_follow_a_signed_client_to_another_next_hop)
{
    static const uint8_t other_hop[6] = {2, 0, 0, 0, 0, 7};
    sign_session(1);
    struct signed_channel channel = signed_log_in(1, 1);
    memcpy(source_mac, other_hop, sizeof(source_mac));
    block("R", 1);
    seal(&channel, 1);
    deliver(1, 2);
    cr_assert_neq(memcmp(entry.sessions[1].client.mac, other_hop, 6), 0,
                  "an old one proves nothing");
    block("R", 1);
    seal(&channel, 2);
    deliver(1, 2);
    entry_tick(&entry, 3 * SECOND_NS);
    cr_assert_arr_eq(sent[sent_count - 1].bytes, other_hop, 6);
    cr_assert_eq(told_of[1], 1);
    memset(source_mac, 0, sizeof(source_mac));
}

Test(entry_signed, a_signed_session_keeps_its_address_until_it_is_silent_and_its_keys_go_with_it)
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

// They used to be in force although their client was kept out, and the one that is bound was not
// heard any more, and answered by what only the other can check.
Test(entry_signed, keys_of_who_is_kept_out_do_not_come_into_force)
{
    sign_session(1);
    struct signed_login login = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &login, 1), SIGNED_ACCEPT);
    struct signed_channel first = entry.signed_sessions[1].next.channel;
    block("?", 1);
    datagram_size--;
    seal(&first, 1); // no UFO: it is not bound yet
    deliver(1, 2);
    cr_assert_eq(count_of(ENTRY_BAD_UFO), 1);
    login = signed_login(2, "USER1 ", 3);
    cr_assert_eq(send_login(2, &login, 3), SIGNED_ACCEPT);
    struct signed_channel second = entry.signed_sessions[1].next.channel;
    order_block(1);
    seal(&first, 2);
    cr_assert_eq(deliver(1, 4), 1);
    order_block(2);
    seal(&second, 1);
    cr_assert_eq(deliver(2, 5), 0);
    cr_assert_eq(count_of(ENTRY_BOUND_ELSEWHERE), 1);
    order_block(2);
    seal(&first, 3);
    cr_assert_eq(deliver(1, 6), 1);
    cr_assert_eq(told_of[1], 1);
}

// Two sessions at one address would have one place in the table of addresses.
Test(entry_signed, a_signed_login_from_the_address_of_another_session_is_dropped)
{
    sign_session(1);
    struct signed_login early = signed_login(1, "USER1 ", 1);
    cr_assert_eq(send_login(1, &early, 1), SIGNED_ACCEPT);
    struct signed_channel channel = entry.signed_sessions[1].next.channel;
    log_in(1, "USER0 ", 1);
    entry.sessions[0].who.is_signed = true;
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

Test(entry_signed, a_packet_of_a_signed_session_is_as_full_as_a_datagram_can_be)
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
