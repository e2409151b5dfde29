// SPDX-License-Identifier: MIT
//
// What is around UFO in a signed session, byte by byte; the worked example of
// docs/signed-sessions.md.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/signed.h"

#define ADDRESS htonl(0x0A4D0002)
#define PORT    htons(40000)

static const uint8_t secret[16] = {1, 2, 3};

static void set_up(void)
{
    cr_assert(sodium_init() >= 0);
}

TestSuite(signed, .init = set_up);

Test(signed, a_cookie_is_good_for_its_minute_and_the_next_its_source_and_user_alone)
{
    struct signed_login login = {.user_name = "ALICE "};
    signed_make_cookie(secret, ADDRESS, PORT, login.user_name, 7, login.cookie);
    cr_assert_not(signed_cookie_valid(secret, ADDRESS, PORT, &login, 6));
    cr_assert(signed_cookie_valid(secret, ADDRESS, PORT, &login, 7));
    cr_assert(signed_cookie_valid(secret, ADDRESS, PORT, &login, 8));
    cr_assert_not(signed_cookie_valid(secret, ADDRESS, PORT, &login, 9));
    cr_assert_not(signed_cookie_valid(secret, ADDRESS, htons(40001), &login, 7));
    cr_assert_not(signed_cookie_valid(secret, htonl(0x0A4D0003), PORT, &login, 7));
    memcpy(login.user_name, "alice ", 6);
    cr_assert(signed_cookie_valid(secret, ADDRESS, PORT, &login, 7), "in any case of its letters");
    memcpy(login.user_name, "BOB   ", 6);
    cr_assert_not(signed_cookie_valid(secret, ADDRESS, PORT, &login, 7));
}

Test(signed, a_sequence_is_taken_once_and_not_when_sixty_four_behind)
{
    struct signed_channel channel = {.sent = 0};
    cr_assert_not(signed_fresh(&channel, 0));
    cr_assert(signed_fresh(&channel, 1));
    cr_assert_not(signed_fresh(&channel, 1));
    cr_assert(signed_fresh(&channel, 70));
    cr_assert_not(signed_fresh(&channel, 70));
    cr_assert_not(signed_fresh(&channel, 6), "sixty-four behind");
    cr_assert(signed_fresh(&channel, 7));
    cr_assert_not(signed_fresh(&channel, 7));
    cr_assert(signed_fresh(&channel, 69));
    cr_assert(signed_fresh(&channel, 71));
    cr_assert_not(signed_fresh(&channel, 7));
    cr_assert_not(signed_fresh(&channel, 69));
    cr_assert(signed_fresh(&channel, UINT64_MAX));
    cr_assert_not(signed_fresh(&channel, UINT64_MAX));
    cr_assert_not(signed_fresh(&channel, 71));
}

// Against a set of all that was there.
Test(signed, sequences_in_any_order_are_each_taken_once)
{
    struct signed_channel channel = {.sent = 0};
    static bool seen[4096];
    uint64_t highest = 0;
    srand(1);
    for (int i = 0; i < 100000; i++) {
        uint64_t base = highest < 100 ? 1 : highest - 100;
        uint64_t sequence = base + (uint64_t)rand() % (i % 100 ? 101 : 180);
        if (sequence >= 4096)
            break;
        bool fresh = !seen[sequence] && sequence + SIGNED_WINDOW > highest;
        cr_assert_eq(signed_fresh(&channel, sequence), fresh, "%llu of %llu",
                     (unsigned long long)sequence, (unsigned long long)highest);
        seen[sequence] |= fresh;
        highest = sequence > highest ? sequence : highest;
    }
    cr_assert(highest > 1000);
}

Test(signed, only_what_a_client_may_send_has_a_type)
{
    uint8_t datagram[200] = {0, 0, 1};
    for (size_t size = 0; size < sizeof(datagram); size++) {
        for (unsigned type = 0; type < 256; type++) {
            datagram[3] = (uint8_t)type;
            bool right = size >= 4 && ((type == 'H' && size == 32) ||
                                       (type == 'L' && size == 144) || (type == 'D' && size >= 32));
            cr_assert_eq(signed_check(datagram, size), right ? type : 0, "%u, %zu bytes", type,
                         size);
        }
    }
    datagram[3] = 'D';
    datagram[7] = 1;
    cr_assert_eq(signed_check(datagram, 100), 0, "zeros are zero");
    datagram[7] = 0;
    datagram[2] = 2;
    cr_assert_eq(signed_check(datagram, 100), 0, "another version");
}

// --- The worked example

static char page[65536];

static void read_page(void)
{
    FILE *file = fopen("docs/signed-sessions.md", "r");
    cr_assert_not_null(file, "run in the project's folder");
    page[fread(page, 1, sizeof(page) - 1, file)] = 0;
    fclose(file);
}

// The page has `size` bytes under `name`, over as many lines as it takes.
static void expect_stated(const char *name, const void *value, size_t size)
{
    char line[64];
    const uint8_t *bytes = value;
    snprintf(line, sizeof(line), "\n    %-19s", name);
    const char *at = strstr(page, line);
    cr_assert_not_null(at, "%s", name);
    at += strlen(line);
    for (size_t i = 0; i < size; i++, at += 2) {
        char digits[3];
        at += strspn(at, " \n");
        snprintf(digits, sizeof(digits), "%02x", bytes[i]);
        cr_assert_eq(strncmp(at, digits, 2), 0, "%s, byte %zu: %s, not %.2s", name, i, digits, at);
    }
    cr_assert(*at == '\n', "%s is longer", name);
}

static void run_of_bytes(uint8_t first, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(first + i);
}

static void make_login(const uint8_t *client_key, struct signed_login *login)
{
    uint8_t half[32], text[118] = "sluice signed login 1";
    *login = (struct signed_login){.head = {.version = 1, .type = SIGNED_LOGIN}};
    memcpy(login->user_name, "ALICE ", 6);
    memset(login->session, ' ', sizeof(login->session));
    run_of_bytes(0x80, login->cookie, sizeof(login->cookie));
    run_of_bytes(0x90, login->random, sizeof(login->random));
    run_of_bytes(0x40, half, sizeof(half));
    crypto_scalarmult_base(login->key, half);
    memcpy(text + 32, (uint8_t[]){10, 77, 0, 1, 26400 >> 8, 26400 & 0xFF}, 6);
    memcpy(text + 38, login, 80);
    crypto_sign_detached(login->signature, NULL, text, sizeof(text), client_key);
}

static struct signed_login login;
static struct signed_accept answer;
static struct signed_channel channel;
static uint8_t client_public[32];

static bool answer_example(void)
{
    static uint8_t gateway_public[32], gateway_key[64];
    uint8_t seed[32], half[32];
    struct signed_house house = {
        .address = htonl(0x0A4D0001), .port = htons(26400), .signing_key = gateway_key};
    run_of_bytes(0x20, seed, sizeof(seed));
    crypto_sign_seed_keypair(gateway_public, gateway_key, seed);
    run_of_bytes(0x60, half, sizeof(half));
    answer = (struct signed_accept){.number = be16_of(3), .sequence = be32_of(1)};
    memcpy(answer.session, "DAY0000001", sizeof(answer.session));
    return signed_answer(&login, client_public, &house, half, &answer, &channel);
}

static void begin_example(void)
{
    uint8_t seed[32], client_key[64];
    run_of_bytes(0x00, seed, sizeof(seed));
    crypto_sign_seed_keypair(client_public, client_key, seed);
    make_login(client_key, &login);
}

Test(signed, the_worked_example_of_the_page_is_right)
{
    uint8_t beat[7 + SIGNED_OVERHEAD] = {0};
    read_page();
    begin_example();
    cr_assert(answer_example());
    expect_stated("client_public_key", client_public, 32);
    expect_stated("login", &login, sizeof(login));
    expect_stated("accept", &answer, sizeof(answer));
    expect_stated("key_up", channel.up, sizeof(channel.up));
    expect_stated("key_down", channel.down, sizeof(channel.down));
    memcpy(beat + sizeof(struct signed_data), "S\0\0\0\1\0\0", 7);
    cr_assert_eq(signed_seal(&channel, 3, beat, 7), sizeof(beat));
    expect_stated("data_down", beat, sizeof(beat));
    // What the client sends is what the gateway would, had it the other key.
    struct signed_channel clients = {.sent = 0};
    memcpy(clients.down, channel.up, sizeof(clients.down));
    uint8_t heartbeat[3 + SIGNED_OVERHEAD] = {0};
    memcpy(heartbeat + sizeof(struct signed_data), "\0\1R", 3);
    signed_seal(&clients, 3, heartbeat, 3);
    expect_stated("data_up", heartbeat, sizeof(heartbeat));
    cr_assert(signed_tag_valid(&channel, heartbeat, sizeof(heartbeat)));
}

Test(signed, a_login_with_a_bit_changed_is_nobodys)
{
    begin_example();
    for (size_t bit = 0; bit < sizeof(login) * 8; bit++) {
        ((uint8_t *)&login)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(answer_example(), "bit %zu", bit);
        ((uint8_t *)&login)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert(answer_example());
}

// With such a key the shared secret would be known to all.
Test(signed, a_key_of_small_order_is_refused)
{
    uint8_t seed[32], client_key[64], text[118] = "sluice signed login 1";
    begin_example();
    run_of_bytes(0x00, seed, sizeof(seed));
    crypto_sign_seed_keypair(client_public, client_key, seed);
    memset(login.key, 0, sizeof(login.key));
    memcpy(text + 32, (uint8_t[]){10, 77, 0, 1, 26400 >> 8, 26400 & 0xFF}, 6);
    memcpy(text + 38, &login, 80);
    crypto_sign_detached(login.signature, NULL, text, sizeof(text), client_key);
    cr_assert_not(answer_example());
}
