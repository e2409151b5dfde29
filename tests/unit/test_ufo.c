// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "dataplane/ufo.h"
#include "tests/unit/recorded.h"

#define LOGIN      "001B 4C 555345522020 50415353202020202020 20202020202020202020"
#define CANCEL     "000A 55 58 00000002 00000000"
#define RETRANSMIT "0007 54 00000001 0002"
#define HEARTBEAT  "0001 52"
#define LOGOFF     "0001 4F"

static enum ufo_fault check(const uint8_t *bytes, size_t size, uint32_t *block_count)
{
    uint8_t *copy = exact_copy(bytes, size);
    enum ufo_fault fault = ufo_check(copy, size, block_count);
    free(copy);
    return fault;
}

static enum ufo_fault check_hex(const char *text, uint32_t *block_count)
{
    uint8_t bytes[UFO_PAYLOAD_MAX];
    return check(bytes, from_hex(text, bytes, sizeof(bytes)), block_count);
}

Test(ufo, every_upstream_message_is_taken)
{
    static const char *const messages[] = {LOGIN, CANCEL, RETRANSMIT, HEARTBEAT, LOGOFF};
    for (size_t i = 0; i < 5; i++) {
        uint32_t block_count = 0;
        cr_expect_eq(check_hex(messages[i], &block_count), UFO_OK, "%s", messages[i]);
        cr_expect_eq(block_count, 1);
    }
}

Test(ufo, a_login_reads_as_written)
{
    uint8_t bytes[64];
    from_hex(LOGIN, bytes, sizeof(bytes));
    const uint8_t *cursor = bytes;
    struct ufo_block block = ufo_next(&cursor);
    cr_assert_eq(block.size, sizeof(struct ufo_login));
    const struct ufo_login *login = (const struct ufo_login *)block.message;
    cr_assert_eq(login->type, UFO_LOGIN);
    cr_assert_arr_eq(login->user_name, "USER  ", 6);
    cr_assert_arr_eq(login->password, "PASS      ", 10);
    cr_assert_arr_eq(login->session, "          ", 10);
}

Test(ufo, a_retransmission_request_reads_as_written)
{
    uint8_t bytes[64];
    from_hex(RETRANSMIT, bytes, sizeof(bytes));
    const struct ufo_retransmit *request = (const struct ufo_retransmit *)(bytes + 2);
    cr_assert_eq(be32_load(request->sequence), 1);
    cr_assert_eq(be16_load(request->count), 2);
}

static void expect_bytes(const void *message, size_t size, const char *text)
{
    uint8_t expected[64];
    cr_assert_eq(from_hex(text, expected, sizeof(expected)), size, "%s", text);
    cr_assert_arr_eq(message, expected, size, "%s", text);
}

Test(ufo, downstream_packets_are_written_as_in_the_document)
{
    struct ufo_login_accept accept = {UFO_LOGIN_ACCEPT, "SESS000001", be32_of(1)};
    expect_bytes(&accept, sizeof(accept), "41 53455353303030303031 00000001");
    struct ufo_login_reject reject = {UFO_LOGIN_REJECT, UFO_REJECT_INVALID_SESSION};
    expect_bytes(&reject, sizeof(reject), "4A 53");
    struct ufo_sequenced heartbeat = {UFO_SEQUENCED, be32_of(3), be16_of(0)};
    expect_bytes(&heartbeat, sizeof(heartbeat), "53 00000003 0000");
    struct ufo_end end = {UFO_END, be32_of(2)};
    expect_bytes(&end, sizeof(end), "45 00000002");
}

Test(ufo, the_blocks_of_a_datagram_come_in_order)
{
    uint8_t bytes[256];
    size_t size = from_hex(CANCEL HEARTBEAT LOGIN CANCEL, bytes, sizeof(bytes));
    uint32_t block_count = 0;
    cr_assert_eq(ufo_check(bytes, size, &block_count), UFO_OK);
    cr_assert_eq(block_count, 4);
    static const char types[] = "URLU";
    static const uint16_t sizes[] = {10, 1, 27, 10};
    const uint8_t *cursor = bytes;
    for (size_t i = 0; i < 4; i++) {
        struct ufo_block block = ufo_next(&cursor);
        cr_assert_eq(block.message[0], types[i]);
        cr_assert_eq(block.size, sizes[i]);
    }
    cr_assert_eq(cursor, bytes + size);
}

Test(ufo, a_malformed_datagram_is_dropped_for_its_first_fault)
{
    static const struct {
        const char *text;
        enum ufo_fault fault;
    } cases[] = {
        {"", UFO_NO_BLOCKS},
        {"00", UFO_OVERRUN},
        {"0000", UFO_EMPTY_BLOCK},
        {"0001", UFO_OVERRUN},
        {HEARTBEAT "00", UFO_OVERRUN},
        {HEARTBEAT "0000", UFO_EMPTY_BLOCK},
        {"0002 52", UFO_OVERRUN},
        {"FFFF 55 58", UFO_OVERRUN},
        {"0001 58", UFO_UNKNOWN_TYPE},
        {"0001 75", UFO_UNKNOWN_TYPE},
        {HEARTBEAT "0002 41 41" HEARTBEAT, UFO_UNKNOWN_TYPE},
        {"0001 55", UFO_WRONG_SIZE},
        {"0002 52 52", UFO_WRONG_SIZE},
        {"0002 4F 00", UFO_WRONG_SIZE},
        {"0006 54 00000001 00", UFO_WRONG_SIZE},
        {"0008 54 00000001 0002 00", UFO_WRONG_SIZE},
        {"0011 4C 555345522020 50415353202020202020", UFO_WRONG_SIZE},
        {CANCEL "0001 55"
                "0000",
         UFO_WRONG_SIZE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t block_count = 77;
        enum ufo_fault fault = check_hex(cases[i].text, &block_count);
        cr_expect_eq(fault, cases[i].fault, "%s: %d", cases[i].text, fault);
        cr_expect_eq(block_count, 77, "untouched");
    }
}

Test(ufo, a_datagram_cut_anywhere_but_between_blocks_is_dropped)
{
    uint8_t bytes[256];
    size_t size = from_hex(LOGIN CANCEL RETRANSMIT HEARTBEAT LOGOFF, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= size; cut++) {
        uint32_t block_count = 0;
        enum ufo_fault fault = check(bytes, cut, &block_count);
        bool between = cut == 29 || cut == 41 || cut == 50 || cut == 53 || cut == 56;
        enum ufo_fault expected = between ? UFO_OK : cut == 0 ? UFO_NO_BLOCKS : UFO_OVERRUN;
        cr_expect_eq(fault, expected, "%zu bytes: %d", cut, fault);
    }
}

Test(ufo, the_largest_datagram_is_one_block_or_as_many_as_fit)
{
    uint8_t bytes[UFO_PAYLOAD_MAX] = {0x05, 0xBE, 'U'};
    uint32_t block_count = 0;
    cr_assert_eq(check(bytes, sizeof(bytes), &block_count), UFO_OK);
    cr_assert_eq(block_count, 1);
    for (size_t i = 0; i + 3 <= sizeof(bytes); i += 3)
        memcpy(bytes + i, "\0\1R", 3);
    cr_assert_eq(check(bytes, UFO_PAYLOAD_MAX / 3 * 3, &block_count), UFO_OK);
    cr_assert_eq(block_count, UFO_PAYLOAD_MAX / 3);
}

// How many blocks ufo_next finds until the payload ends.
static uint32_t count_blocks(const uint8_t *bytes, size_t size)
{
    const uint8_t *cursor = bytes;
    uint32_t count = 0;
    while (cursor < bytes + size) {
        struct ufo_block block = ufo_next(&cursor);
        cr_assert(block.size > 0 && strchr("LTURO", block.message[0]) != NULL);
        cr_assert_leq(cursor, bytes + size);
        count++;
    }
    return count;
}

Test(ufo, whatever_bytes_arrive_are_read_within_their_bounds)
{
    uint8_t valid[256], bytes[256];
    size_t valid_size = from_hex(LOGIN CANCEL RETRANSMIT HEARTBEAT LOGOFF, valid, sizeof(valid));
    unsigned seen[UFO_FAULT_COUNT] = {0};
    uint64_t random = 20080703;
    for (int i = 0; i < 100000; i++) {
        size_t size = next_random(&random) % (valid_size + 1);
        memcpy(bytes, valid, valid_size);
        if (next_random(&random) & 1)
            size = valid_size;
        for (uint64_t n = next_random(&random) % 4; n > 0; n--)
            bytes[next_random(&random) % valid_size] =
                (uint8_t)(next_random(&random) >> (next_random(&random) & 1 ? 32 : 61));
        uint8_t *copy = exact_copy(bytes, size);
        uint32_t block_count;
        enum ufo_fault fault = ufo_check(copy, size, &block_count);
        cr_assert_lt(fault, UFO_FAULT_COUNT);
        seen[fault]++;
        if (fault == UFO_OK)
            cr_assert_eq(count_blocks(copy, size), block_count);
        free(copy);
    }
    for (int fault = 0; fault < UFO_FAULT_COUNT; fault++)
        cr_expect_gt(seen[fault], 0, "fault %d was never met", fault);
}

Test(ufo, names_are_compared_without_regard_to_case)
{
    cr_assert(ufo_same_name("Alice ", "aLICE ", 6));
    cr_assert(ufo_same_name("pass123456", "PASS123456", 10));
    cr_assert_not(ufo_same_name("ALICE ", "ALICE2", 6));
    cr_assert_not(ufo_same_name("BLICE ", "ALICE ", 6));
    cr_assert_not(ufo_same_name("@", "`", 1), "letters only");
    cr_assert_not(ufo_same_name("[", "{", 1), "letters only");
    cr_assert_not(ufo_same_name("\xE4", "\xC4", 1), "ASCII only");
}
