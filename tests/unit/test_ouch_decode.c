// SPDX-License-Identifier: MIT
//
// OUCH from clients: what each message becomes, the reason of each field that cannot be served, and
// the fault of bytes that are no message.
#include "tests/unit/ouch_messages.h"

// Real messages of a production port.
#define REAL_ENTER_FIXED                                                                           \
    "4F 00000071 54 000000E1 43564C5420202020 0000000000099DB8 30 59 41 4E 4E "                    \
    "4838465542384956202020202020"
#define REAL_ENTER  REAL_ENTER_FIXED "0006 05 02 4C494D45"
#define REAL_CANCEL "58 00752E71 00000000"

// Made by the specification's tables.
#define ENTER_FIXED                                                                                \
    "4F 00000007 42 00000064 41434D4520202020 000000000007A120 30 59 41 4E 4E "                    \
    "4142434445464748494A4B4C4D4E"
#define ENTER ENTER_FIXED "0000"
#define REPLACE_FIXED                                                                              \
    "55 00000007 00000008 000000C8 00000000000927C0 33 4E 59 6162636465666768696A6B6C6D6E"
#define REPLACE           REPLACE_FIXED "0000"
#define CANCEL            "58 00000007 00000032"
#define MODIFY            "4D 00000007 54 00000032"
#define QUERY             "51"
#define MASS_CANCEL_FIXED "43 00000007 4C494D45 41434D4520202020"
#define MASS_CANCEL       MASS_CANCEL_FIXED "0000"
#define MASS_CANCEL_ALL   "43 00000007 20202020 2020202020202020"

static enum ouch_fault decode(const uint8_t *bytes, size_t size, struct command *command)
{
    struct symbols symbols = listed();
    uint8_t *message = exact_copy(bytes, size);
    memset(command, 0xEE, sizeof(*command));
    enum ouch_fault fault = ouch_decode(message, size, &symbols, "LIME", command);
    free(message);
    return fault;
}

static enum ouch_fault decode_hex(const char *text, struct command *command)
{
    uint8_t bytes[1024];
    return decode(bytes, from_hex(text, bytes, sizeof(bytes)), command);
}

// Every bit of the record: it is what the journal stores.
static void expect_command(const char *text, const struct command *expected)
{
    struct command command;
    cr_assert_eq(decode_hex(text, &command), OUCH_OK, "%s", text);
    cr_assert_arr_eq(&command, expected, sizeof(command), "%s", text);
}

static void expect_verdict(const char *text, enum reject_reason verdict)
{
    struct command command;
    enum ouch_fault fault = decode_hex(text, &command);
    cr_expect_eq(fault, OUCH_OK, "%s: fault %d", text, fault);
    cr_expect_eq(command.verdict, verdict, "%s: verdict 0x%02X", text, command.verdict);
}

static void expect_fault(const char *text, enum ouch_fault expected)
{
    struct command command;
    enum ouch_fault fault = decode_hex(text, &command);
    cr_expect_eq(fault, expected, "%s: fault %d", text, fault);
}

Test(ouch_decode, an_order_becomes_a_command)
{
    struct command expected = {
        .type = COMMAND_ENTER,
        .instrument = ACME,
        .side = SIDE_BUY,
        .order = {.user_ref_num = 7, .quantity = 100, .price = 500000},
    };
    memcpy(expected.order.client_order_id, "ABCDEFGHIJKLMN", 14);
    expect_command(ENTER, &expected);
}

Test(ouch_decode, a_real_order_becomes_a_command)
{
    struct command expected = {
        .type = COMMAND_ENTER,
        .instrument = 1,
        .side = SIDE_SELL_SHORT,
        .order = {.user_ref_num = 113, .quantity = 225, .price = 630200, .firm = "LIME"},
    };
    memcpy(expected.order.client_order_id, "H8FUB8IV      ", 14);
    expect_command(REAL_ENTER, &expected);
}

Test(ouch_decode, a_replacement_becomes_a_command)
{
    struct command expected = {
        .type = COMMAND_REPLACE,
        .order = {.user_ref_num = 8,
                  .orig_user_ref_num = 7,
                  .quantity = 200,
                  .price = 600000,
                  .attributes = {.time_in_force = TIF_IOC, .display = DISPLAY_HIDDEN, .sweep = 1},
                  .kept = KEPT_ALL},
    };
    memcpy(expected.order.client_order_id, "abcdefghijklmn", 14);
    expect_command(REPLACE, &expected);
    expected.side = SIDE_SELL_SHORT_EXEMPT;
    expected.order.kept |= SAID_SIDE;
    expect_command(REPLACE_FIXED "0003 02 1B 45", &expected);
}

Test(ouch_decode, a_cancel_a_modify_and_a_query_become_commands)
{
    struct command cancel = {.type = COMMAND_CANCEL, .order = {.user_ref_num = 7, .quantity = 50}};
    expect_command(CANCEL, &cancel);
    expect_command(CANCEL "0000", &cancel);
    struct command modify = {.type = COMMAND_MODIFY,
                             .side = SIDE_SELL_SHORT,
                             .order = {.user_ref_num = 7, .quantity = 50}};
    expect_command(MODIFY, &modify);
    expect_command(MODIFY "0000", &modify);
    struct command query = {.type = COMMAND_QUERY};
    expect_command(QUERY, &query);
    expect_command(QUERY "0000", &query);
    struct command real = {.type = COMMAND_CANCEL, .order = {.user_ref_num = 0x752E71}};
    expect_command(REAL_CANCEL, &real);
}

Test(ouch_decode, a_mass_cancel_becomes_a_command)
{
    struct command expected = {
        .type = COMMAND_MASS_CANCEL,
        .instrument = ACME,
        .mass = {.user_ref_num = 7, .firm = "LIME", .side = ANY_SIDE, .reason = 'U'}};
    expect_command(MASS_CANCEL, &expected);
    expected.instrument = NO_INSTRUMENT;
    memset(expected.mass.firm, 0, 4);
    expect_command(MASS_CANCEL_ALL "0000", &expected);
    expect_command(MASS_CANCEL_ALL "0004 03 18 0000", &expected);
    static const char *const sides[] = {"42", "53", "54", "45"};
    for (uint8_t side = 0; side < 4; side++) {
        char text[128];
        snprintf(text, sizeof(text), "%s0006 02 1B %s 02 1C 09", MASS_CANCEL_ALL, sides[side]);
        expected.mass.side = side;
        expected.user_ref_index = 9;
        expect_command(text, &expected);
    }
}

Test(ouch_decode, disabling_and_enabling_entry_become_commands)
{
    struct command expected = {.type = COMMAND_ENTRY, .entry = {.user_ref_num = 7, .firm = "LIME"}};
    expect_command("44 00000007 4C494D45 0000", &expected);
    expected.entry.allowed = 1;
    expect_command("45 00000007 4C494D45 0000", &expected);
    memset(expected.entry.firm, 0, 4);
    expected.user_ref_index = 9;
    expect_command("45 00000007 20202020 0003 02 1C 09", &expected);
    struct command foreign = {
        .type = COMMAND_ENTRY, .verdict = REJECT_FIRM_NOT_AUTHORIZED, .entry = {.user_ref_num = 7}};
    expect_command("44 00000007 4D4C524F 0000", &foreign);
}

Test(ouch_decode, a_mass_cancel_that_cannot_be_served_gives_its_reason)
{
    static const struct {
        const char *text;
        enum reject_reason verdict;
    } requests[] = {
        {"43 00000007 20202020 4E4F4E4520202020 0000", REJECT_INVALID_SYMBOL},
        {"43 00000007 20202020 0000000000000000 0000", REJECT_INVALID_SYMBOL},
        {"43 00000007 4D4C524F 2020202020202020 0000", REJECT_FIRM_NOT_AUTHORIZED},
        {"43 00000007 4D4C524F 4E4F4E4520202020 0000", REJECT_FIRM_NOT_AUTHORIZED},
        {MASS_CANCEL_FIXED "0003 02 1B 58", REJECT_INVALID_SIDE},
        {MASS_CANCEL_FIXED "0003 02 1B 20", REJECT_INVALID_SIDE},
        {MASS_CANCEL_FIXED "0004 03 18 0001", REJECT_OTHER},
        {MASS_CANCEL_FIXED "0007 02 1B 58 03 18 0100", REJECT_INVALID_SIDE},
        {MASS_CANCEL_FIXED "0006 05 05 00000064", REJECT_NONE}, // means nothing here
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct command command;
        expect_verdict(requests[i].text, requests[i].verdict);
        decode_hex(requests[i].text, &command);
        cr_expect_eq(command.type, COMMAND_MASS_CANCEL);
        cr_expect_eq(command.mass.user_ref_num, 7, "to answer with");
        cr_expect_eq(command.mass.side, ANY_SIDE, "%s", requests[i].text);
    }
}

Test(ouch_decode, the_channel_is_taken_from_every_message)
{
    static const char *const messages[] = {
        ENTER_FIXED CHANNEL, REPLACE_FIXED CHANNEL,     CANCEL CHANNEL,
        MODIFY CHANNEL,      MASS_CANCEL_FIXED CHANNEL, QUERY CHANNEL};
    for (size_t i = 0; i < 6; i++) {
        struct command command;
        cr_expect_eq(decode_hex(messages[i], &command), OUCH_OK, "%s", messages[i]);
        cr_expect_eq(command.user_ref_index, 9, "%s", messages[i]);
        cr_expect_eq(command.verdict, REJECT_NONE, "%s", messages[i]);
    }
}

Test(ouch_decode, every_letter_of_a_field_has_its_meaning)
{
    struct {
        size_t offset;
        const char *letters;
    } fields[] = {{5, "BSTE"}, {26, "03"}, {27, "YNA"}, {28, "APRO"}, {29, "NY"}};
    for (unsigned field = 0; field < 5; field++) {
        for (unsigned i = 0; fields[field].letters[i]; i++) {
            uint8_t bytes[64];
            size_t size = from_hex(ENTER, bytes, sizeof(bytes));
            bytes[fields[field].offset] = (uint8_t)fields[field].letters[i];
            struct command command;
            cr_assert_eq(decode(bytes, size, &command), OUCH_OK);
            cr_expect_eq(command.verdict, REJECT_NONE, "%c", fields[field].letters[i]);
            struct order_attributes attributes = command.order.attributes;
            const unsigned values[] = {command.side, attributes.time_in_force, attributes.display,
                                       attributes.capacity, attributes.sweep};
            for (unsigned other = 0; other < 5; other++)
                cr_expect_eq(values[other], other == field ? i : 0, "%c", fields[field].letters[i]);
        }
    }
}

// Replaces bytes of a well-formed message from `offset` on and expects the verdict.
struct flaw {
    size_t offset;
    const char *bytes;
    enum reject_reason verdict;
};

static void expect_verdicts(const char *text, const struct flaw *flaws, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[64];
        size_t size = from_hex(text, bytes, sizeof(bytes));
        from_hex(flaws[i].bytes, bytes + flaws[i].offset, sizeof(bytes) - flaws[i].offset);
        struct command command;
        enum ouch_fault fault = decode(bytes, size, &command);
        cr_expect_eq(fault, OUCH_OK, "%zu: %s", flaws[i].offset, flaws[i].bytes);
        cr_expect_eq(command.verdict, flaws[i].verdict, "%zu: %s: verdict 0x%02X", flaws[i].offset,
                     flaws[i].bytes, command.verdict);
        cr_expect_eq(command.order.user_ref_num, bytes[0] == OUCH_ENTER ? 7 : 8, "to answer with");
        cr_expect_eq(command.order.client_order_id[13], bytes[size - 3], "to answer with");
    }
}

Test(ouch_decode, a_field_that_cannot_be_served_gives_its_reason)
{
    static const struct flaw flaws[] = {
        {5, "41", REJECT_INVALID_SIDE},
        {5, "62", REJECT_INVALID_SIDE},
        {6, "00000000", REJECT_INVALID_QUANTITY},
        {6, "00000001", REJECT_NONE},
        {6, "000F423F", REJECT_NONE},
        {6, "000F4240", REJECT_INVALID_QUANTITY},
        {6, "FFFFFFFF", REJECT_INVALID_QUANTITY},
        {10, "4E4F4E4520202020", REJECT_INVALID_SYMBOL},
        {18, "0000000000000000", REJECT_INVALID_PRICE},
        {18, "0000000000000001", REJECT_NONE},
        {18, "000000007735939C", REJECT_NONE},
        {18, "000000007735939D", REJECT_INVALID_PRICE},
        {18, "0000000077359401", REJECT_INVALID_PRICE},
        {18, "000000007FFFFFFE", REJECT_INVALID_PRICE},
        {18, "0000000080000000", REJECT_INVALID_PRICE},
        {18, "00000000FFFFFFFF", REJECT_INVALID_PRICE},
        {18, "0000000100000064", REJECT_INVALID_PRICE},
        {18, "000000017FFFFFFF", REJECT_INVALID_PRICE},
        {26, "35", REJECT_OTHER},
        {26, "36", REJECT_NONE}, // whether it says for how long is the book's to ask
        {26, "45", REJECT_OTHER},
        {26, "31", REJECT_OTHER},
        {27, "5A", REJECT_INVALID_DISPLAY},
        {28, "58", REJECT_OTHER},
        {29, "20", REJECT_OTHER},
        {30, "4F", REJECT_NONE}, // whether it may be for the opening cross is the book's to say
        {30, "53", REJECT_INVALID_CROSS},
        {30, "20", REJECT_INVALID_CROSS},
    };
    expect_verdicts(ENTER, flaws, sizeof(flaws) / sizeof(flaws[0]));
}

Test(ouch_decode, a_field_of_a_replacement_that_cannot_be_served_gives_its_reason)
{
    static const struct flaw flaws[] = {
        {9, "00000000", REJECT_INVALID_QUANTITY},
        {9, "000F4240", REJECT_INVALID_QUANTITY},
        {9, "000F423F", REJECT_NONE},
        {13, "0000000000000000", REJECT_INVALID_PRICE},
        {13, "000000007735939D", REJECT_INVALID_PRICE},
        {21, "35", REJECT_OTHER},
        {21, "36", REJECT_NONE},
        {22, "20", REJECT_INVALID_DISPLAY},
        {23, "79", REJECT_OTHER},
    };
    expect_verdicts(REPLACE, flaws, sizeof(flaws) / sizeof(flaws[0]));
}

Test(ouch_decode, cancel_and_modify_quantities_are_left_to_the_book)
{
    expect_verdict("58 00000007 FFFFFFFF", REJECT_NONE);
    expect_verdict("4D 00000007 53 FFFFFFFF", REJECT_NONE);
    expect_verdict("4D 00000007 58 00000032", REJECT_INVALID_SIDE);
}

Test(ouch_decode, a_symbol_that_is_not_listed_is_no_instrument)
{
    struct command command;
    decode_hex("4F 00000007 42 00000064 4E4F4E4520202020 000000000007A120 30 59 41 4E 4E"
               "4142434445464748494A4B4C4D4E 0000",
               &command);
    cr_assert_eq(command.instrument, NO_INSTRUMENT);
    cr_assert_eq(command.order.quantity, 100, "the other fields are there");
}

Test(ouch_decode, a_market_order_has_three_spellings)
{
    static const char *const spellings[] = {"000000007FFFFFFF", "0000000077359400",
                                            "FFFFFFFFFFFFFFFF"};
    for (size_t i = 0; i < 3; i++) {
        uint8_t bytes[64];
        size_t size = from_hex(ENTER, bytes, sizeof(bytes));
        from_hex(spellings[i], bytes + 18, 8);
        struct command command;
        cr_assert_eq(decode(bytes, size, &command), OUCH_OK);
        cr_expect_eq(command.verdict, REJECT_NONE, "%s", spellings[i]);
        cr_expect_eq(command.order.price, PRICE_MARKET, "%s", spellings[i]);
    }
}

Test(ouch_decode, the_first_flaw_in_the_order_of_the_message_decides)
{
    expect_verdict("4F 00000007 42 00000000 4E4F4E4520202020 0000000000000000 58 58 58 58 58"
                   "4142434445464748494A4B4C4D4E 0006 05 03 00000064",
                   REJECT_INVALID_QUANTITY);
    expect_verdict("4F 00000007 42 00000064 41434D4520202020 000000000007A120 30 59 41 4E 53"
                   "4142434445464748494A4B4C4D4E 0006 05 03 00000064",
                   REJECT_INVALID_CROSS);
    expect_verdict(ENTER_FIXED "0009 05 0D 00010000 02 06 51", REJECT_INVALID_MAX_FLOOR);
    expect_verdict(ENTER_FIXED "0009 02 06 51 05 0D 00010000", REJECT_INVALID_PEG);
}

// An appendage of one element, and what it means on ENTER and REPLACE.
static const struct option {
    const char *element;
    enum reject_reason verdict;
} options[] = {
    {"0006 05 03 00000000", REJECT_NONE},
    {"0003 02 04 4E", REJECT_NONE},
    {"0003 02 04 20", REJECT_NONE},
    {"0003 02 04 52", REJECT_RETAIL_NOT_ALLOWED},
    {"0003 02 04 59", REJECT_OTHER},
    {"0006 05 05 00000000", REJECT_NONE},
    {"0006 05 05 00000064", REJECT_NONE},
    {"0003 02 06 4C", REJECT_NONE},
    {"0003 02 06 4D", REJECT_NONE},
    {"0003 02 06 6D", REJECT_NONE},
    {"0003 02 06 50", REJECT_NONE},
    {"0003 02 06 51", REJECT_INVALID_PEG},
    {"0003 02 06 52", REJECT_NONE},
    {"0003 02 06 6C", REJECT_INVALID_PEG},
    {"0003 02 06 20", REJECT_INVALID_PEG},
    {"0006 05 07 00000000", REJECT_NONE},
    {"0006 05 07 FFFFFF9C", REJECT_NONE},
    {"0006 05 07 00007FFF", REJECT_NONE},
    {"0006 05 07 00008000", REJECT_PEGGING_NOT_ALLOWED},
    {"0006 05 07 FFFF8000", REJECT_NONE},
    {"0006 05 07 FFFF7FFF", REJECT_PEGGING_NOT_ALLOWED},
    {"000A 09 09 0000000000000000", REJECT_NONE},
    {"000A 09 09 0000000000000001", REJECT_PEGGING_NOT_ALLOWED},
    {"0003 02 0A 4C", REJECT_NONE},
    {"0003 02 0A 4D", REJECT_INVALID_PEG},
    {"0006 05 0B 00000000", REJECT_NONE},
    {"0006 05 0B 00000001", REJECT_PEGGING_NOT_ALLOWED},
    {"0003 02 0C 4E", REJECT_NONE},
    {"0003 02 0C 50", REJECT_NONE},
    {"0003 02 0C 58", REJECT_OTHER},
    {"0003 02 1D 4E", REJECT_NONE},
    {"0003 02 1D 2A", REJECT_NONE},
    {"0003 02 1D 52", REJECT_NONE},
    {"0003 02 1D 44", REJECT_NONE},
    {"0003 02 1D 64", REJECT_INVALID_SELF_MATCH},
    {"0004 03 1E 2A2A", REJECT_NONE},
    {"0004 03 1E 4142", REJECT_INVALID_SELF_MATCH},
    {"0006 05 0D 00000000", REJECT_NONE},
    {"0006 05 0D 0000FFFF", REJECT_NONE}, // whether the floor is larger is the book's to ask
    {"0006 05 0D 00010000", REJECT_INVALID_MAX_FLOOR},
    {"0006 05 0E 20202020", REJECT_NONE},
    {"0006 05 0E 53434E20", REJECT_ROUTING_NOT_ALLOWED},
    {"0006 05 0F 00000000", REJECT_NONE},
    {"0006 05 0F 0000003C", REJECT_NONE},
    {"0003 02 10 4E", REJECT_NONE},
    {"0003 02 10 20", REJECT_NONE},
    {"0003 02 10 59", REJECT_NONE},
    {"0003 02 10 58", REJECT_OTHER},
    {"0003 02 11 20", REJECT_NONE},
    {"0003 02 11 49", REJECT_OTHER},
    {"0003 02 11 42", REJECT_OTHER},
    {"0003 02 11 44", REJECT_OTHER},
    {"0003 02 11 4F", REJECT_RETAIL_NOT_ALLOWED},
    {"0003 02 11 54", REJECT_RETAIL_NOT_ALLOWED},
    {"0003 02 11 51", REJECT_RETAIL_NOT_ALLOWED},
    {"0003 02 11 52", REJECT_RETAIL_NOT_ALLOWED},
    {"0003 02 11 58", REJECT_OTHER},
    {"0004 03 18 0000", REJECT_NONE},
    {"0004 03 18 0001", REJECT_OTHER},
    {"0003 02 19 59", REJECT_NONE},
    {"0003 02 19 4E", REJECT_NONE},
    {"0003 02 19 20", REJECT_OTHER},
    {"0006 05 1A 4C494D45", REJECT_NONE},
    {"0006 05 02 20202020", REJECT_NONE},
    {"0006 05 02 4C494D45", REJECT_NONE},
    {"0006 05 02 4D4C524F", REJECT_FIRM_NOT_AUTHORIZED},
    {"0003 02 12 53", REJECT_NONE}, // outbound only
    {"0003 02 08 FF", REJECT_NONE}, // not assigned
};

Test(ouch_decode, an_option_that_cannot_be_served_gives_its_reason)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), "%s%s", ENTER_FIXED, options[i].element);
        expect_verdict(text, options[i].verdict);
        snprintf(text, sizeof(text), "%s%s", REPLACE_FIXED, options[i].element);
        expect_verdict(text, options[i].verdict);
        // Elsewhere it has no meaning.
        snprintf(text, sizeof(text), "%s%s", CANCEL, options[i].element);
        expect_verdict(text, REJECT_NONE);
        snprintf(text, sizeof(text), "%s%s", MODIFY, options[i].element);
        expect_verdict(text, REJECT_NONE);
    }
    expect_verdict(REPLACE_FIXED "0003 02 1B 58", REJECT_INVALID_SIDE);
    expect_verdict(ENTER_FIXED "0003 02 1B 58", REJECT_NONE);
}

Test(ouch_decode, tags_that_are_not_assigned_are_skipped_by_their_length)
{
    struct command command;
    cr_assert_eq(decode_hex(ENTER_FIXED "000F 03 1E 2A2A 01 FF 05 80 01020304 02 1C 09", &command),
                 OUCH_OK);
    cr_assert_eq(command.verdict, REJECT_NONE);
    cr_assert_eq(command.user_ref_index, 9);
}

Test(ouch_decode, an_order_is_its_sessions_firms_and_no_others)
{
    struct command command;
    cr_assert_eq(decode_hex(ENTER_FIXED "0006 05 02 4C494D45", &command), OUCH_OK);
    cr_assert_arr_eq(command.order.firm, "LIME", 4);
    cr_assert_eq(decode_hex(ENTER_FIXED "0006 05 02 20202020", &command), OUCH_OK);
    cr_assert_arr_eq(command.order.firm, "\0\0\0\0", 4);
    cr_assert_eq(decode_hex(ENTER, &command), OUCH_OK);
    cr_assert_arr_eq(command.order.firm, "\0\0\0\0", 4);
    cr_assert_eq(decode_hex(ENTER_FIXED "0006 05 02 4D4C524F", &command), OUCH_OK);
    cr_assert_eq(command.verdict, REJECT_FIRM_NOT_AUTHORIZED);
    cr_assert_arr_eq(command.order.firm, "\0\0\0\0", 4);
    uint32_t replaced;
    cr_assert_eq(decode_hex(REPLACE_FIXED "0000", &command), OUCH_OK);
    replaced = command.order.orig_user_ref_num;
    cr_assert_eq(decode_hex(REPLACE_FIXED "0006 05 02 4C494D45", &command), OUCH_OK);
    cr_assert_eq(command.order.orig_user_ref_num, replaced, "inherited, not named");
}

Test(ouch_decode, a_minimum_quantity_is_a_new_orders_and_no_replacements)
{
    struct command command;
    cr_assert_eq(decode_hex(ENTER_FIXED "0006 05 03 00000064", &command), OUCH_OK);
    cr_assert_eq(command.verdict, REJECT_NONE, "the book judges it");
    cr_assert_eq(command.order.min_quantity, 100);
    cr_assert_eq(decode_hex(REPLACE_FIXED "0006 05 03 00000064", &command), OUCH_OK);
    cr_assert_eq(command.verdict, REJECT_INVALID_MIN_QUANTITY);
}

// What the appendage adds to a plain order, and to a plain replacement, which keeps all but what is
// `said` (KEPT_…).
static void expect_option(const char *appendage, uint32_t said, const struct command *expected)
{
    char text[256];
    struct command enter = *expected, replace = *expected;
    enter.type = COMMAND_ENTER;
    enter.instrument = ACME;
    enter.order.user_ref_num = 7;
    enter.order.quantity = 100;
    enter.order.price = 500000;
    memcpy(enter.order.client_order_id, "ABCDEFGHIJKLMN", 14);
    snprintf(text, sizeof(text), "%s%s", ENTER_FIXED, appendage);
    expect_command(text, &enter);
    replace.type = COMMAND_REPLACE;
    replace.order.user_ref_num = 8;
    replace.order.orig_user_ref_num = 7;
    replace.order.quantity = 200;
    replace.order.price = 600000;
    replace.order.attributes.time_in_force = TIF_IOC;
    replace.order.attributes.display = DISPLAY_HIDDEN;
    replace.order.attributes.sweep = 1;
    replace.order.kept = KEPT_ALL & ~said;
    memcpy(replace.order.client_order_id, "abcdefghijklmn", 14);
    snprintf(text, sizeof(text), "%s%s", REPLACE_FIXED, appendage);
    expect_command(text, &replace);
}

Test(ouch_decode, a_maximum_floor_reaches_the_order)
{
    expect_option("0006 05 05 00000064", KEPT_MAX_FLOOR, &(struct command){.order.max_floor = 100});
    expect_option("0006 05 05 FFFFFFFF", KEPT_MAX_FLOOR,
                  &(struct command){.order.max_floor = UINT32_MAX});
    expect_option("0006 05 05 00000000", KEPT_MAX_FLOOR, &(struct command){0});
}

Test(ouch_decode, a_random_reserve_reaches_the_order)
{
    expect_option("0006 05 0D 00000014", KEPT_RANDOM_RESERVE,
                  &(struct command){.order.random_reserve = 20});
    expect_option("0003 02 10 59", KEPT_TRADE_NOW,
                  &(struct command){.order.attributes.trade_now = 1});
}

Test(ouch_decode, a_midpoint_peg_has_two_letters)
{
    struct command midpoint = {.order.attributes.peg = PEG_MIDPOINT};
    expect_option("0003 02 06 4D", KEPT_PEG, &midpoint);
    expect_option("0003 02 06 6D", KEPT_PEG, &midpoint);
    expect_option("0003 02 06 4C", KEPT_PEG, &(struct command){0});
}

Test(ouch_decode, primary_and_market_pegs_reach_the_order)
{
    expect_option("0003 02 06 52", KEPT_PEG,
                  &(struct command){.order.attributes.peg = PEG_PRIMARY});
    expect_option("0009 02 06 50 05 07 FFFFFF9C", KEPT_PEG | KEPT_PEG_OFFSET,
                  &(struct command){.order = {.attributes.peg = PEG_MARKET, .peg_offset = -100}});
}

Test(ouch_decode, seconds_to_live_reach_the_order_and_are_left_to_the_book)
{
    expect_option("0006 05 0F 0001517F", KEPT_EXPIRE_SECONDS,
                  &(struct command){.order.expire_seconds = 86399});
    expect_option("0006 05 0F 00015180", KEPT_EXPIRE_SECONDS,
                  &(struct command){.order.expire_seconds = 86400});
    struct command command;
    cr_assert_eq(decode_hex("4F 00000007 42 00000064 41434D4520202020 000000000007A120 36 59 41 4E"
                            "4E 4142434445464748494A4B4C4D4E 0006 05 0F 0000003C",
                            &command),
                 OUCH_OK);
    cr_assert_eq(command.verdict, REJECT_NONE);
    cr_assert_eq(command.order.attributes.time_in_force, TIF_GTT);
    cr_assert_eq(command.order.expire_seconds, 60);
}

Test(ouch_decode, what_a_replacement_says_of_post_only_and_self_match_it_does_not_keep)
{
    struct command command;
    cr_assert_eq(decode_hex(REPLACE_FIXED "0003 02 0C 4E", &command), OUCH_OK);
    cr_assert_eq(command.order.kept, KEPT_ALL & ~KEPT_POST_ONLY);
    cr_assert_eq(decode_hex(REPLACE_FIXED "0003 02 1D 2A", &command), OUCH_OK);
    cr_assert_eq(command.order.kept, KEPT_ALL & ~KEPT_SELF_MATCH);
    cr_assert_eq(decode_hex(REPLACE_FIXED "0003 02 1B 54", &command), OUCH_OK);
    cr_assert_eq(command.order.kept, KEPT_ALL | SAID_SIDE);
}

Test(ouch_decode, post_only_and_self_match_prevention_reach_the_order)
{
    static const struct {
        const char *letter;
        enum self_match strategy;
    } letters[] = {{"44", SELF_MATCH_DECREMENT},     {"59", SELF_MATCH_DECREMENT},
                   {"4F", SELF_MATCH_CANCEL_OLDEST}, {"57", SELF_MATCH_CANCEL_NEWEST},
                   {"4E", SELF_MATCH_ALLOWED},       {"2A", SELF_MATCH_ALLOWED}};
    struct command command;
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s0006 02 0C 50 02 1D %s", ENTER_FIXED, letters[i].letter);
        cr_assert_eq(decode_hex(text, &command), OUCH_OK);
        cr_assert_eq(command.verdict, REJECT_NONE);
        cr_assert_eq(command.order.attributes.post_only, 1);
        cr_assert_eq(command.order.attributes.self_match, letters[i].strategy);
    }
}

Test(ouch_decode, bytes_that_are_not_a_message_are_told_apart_by_their_fault)
{
    expect_fault("", OUCH_WRONG_LENGTH);
    expect_fault("00", OUCH_UNKNOWN_TYPE);
    expect_fault("41", OUCH_UNKNOWN_TYPE);
    expect_fault("44 00000007 4C494D45", OUCH_WRONG_LENGTH);
    expect_fault("45 00000007 4C494D45 00", OUCH_WRONG_LENGTH);
    expect_fault("6F 00000007", OUCH_UNKNOWN_TYPE);
    expect_fault(ENTER_FIXED, OUCH_WRONG_LENGTH);
    expect_fault(ENTER_FIXED "00", OUCH_WRONG_LENGTH);
    expect_fault(ENTER "00", OUCH_APPENDAGE_LENGTH);
    expect_fault(ENTER_FIXED "0002", OUCH_APPENDAGE_LENGTH);
    expect_fault(ENTER_FIXED "0002 02 1C 01", OUCH_APPENDAGE_LENGTH);
    expect_fault(ENTER_FIXED "0100", OUCH_APPENDAGE_LENGTH);
    expect_fault(ENTER_FIXED "0001 00", OUCH_ELEMENT_EMPTY);
    expect_fault(ENTER_FIXED "0004 02 1C 01 00", OUCH_ELEMENT_EMPTY);
    expect_fault(ENTER_FIXED "0001 01", OUCH_ELEMENT_OVERRUN);
    expect_fault(ENTER_FIXED "0002 02 1C", OUCH_ELEMENT_OVERRUN);
    expect_fault(ENTER_FIXED "0003 FF 1C 01", OUCH_ELEMENT_OVERRUN);
    expect_fault(ENTER_FIXED "0002 01 1C", OUCH_ELEMENT_SIZE);
    expect_fault(ENTER_FIXED "0004 03 1C 01 01", OUCH_ELEMENT_SIZE);
    expect_fault(ENTER_FIXED "0005 04 02 4C494D", OUCH_ELEMENT_SIZE);
    expect_fault(ENTER_FIXED "0006 02 1C 01 02 1C 01", OUCH_TAG_REPEATED);
    expect_fault(ENTER_FIXED "0006 02 F0 01 02 F0 01", OUCH_TAG_REPEATED);
    expect_fault(REPLACE_FIXED, OUCH_WRONG_LENGTH);
    expect_fault(CANCEL "00", OUCH_WRONG_LENGTH);
    expect_fault(CANCEL "0001", OUCH_APPENDAGE_LENGTH);
    expect_fault(MODIFY "00", OUCH_WRONG_LENGTH);
    expect_fault(MASS_CANCEL_FIXED, OUCH_WRONG_LENGTH);
    expect_fault(MASS_CANCEL "00", OUCH_APPENDAGE_LENGTH);
    expect_fault(MASS_CANCEL_FIXED "0004 03 1B 42 53", OUCH_ELEMENT_SIZE);
    expect_fault(MASS_CANCEL_FIXED "0006 02 1B 42 02 1B 53", OUCH_TAG_REPEATED);
    expect_fault(QUERY "00", OUCH_WRONG_LENGTH);
    expect_fault(QUERY "0003 03 1C 01", OUCH_ELEMENT_OVERRUN);
}

Test(ouch_decode, each_assigned_tag_holds_its_value_to_its_size)
{
    static const uint8_t sizes[] = {0, 8, 4, 4, 1, 4, 1, 4, 0, 8, 1, 4, 1, 4, 4, 4,
                                    1, 1, 1, 0, 0, 0, 4, 8, 2, 1, 4, 1, 1, 1, 2};
    for (unsigned tag = 1; tag < 256; tag++) {
        unsigned assigned = tag < sizeof(sizes) ? sizes[tag] : 0;
        for (unsigned size = 0; size < 12; size++) {
            uint8_t bytes[64] = {'X', [10] = (uint8_t)(size + 2), (uint8_t)(size + 1),
                                 (uint8_t)tag};
            struct command command;
            enum ouch_fault fault = decode(bytes, 13 + size, &command);
            bool right = assigned == 0 || assigned == size;
            cr_expect_eq(fault, right ? OUCH_OK : OUCH_ELEMENT_SIZE, "tag %u, %u bytes", tag, size);
        }
    }
}

static const struct sample {
    const char *text;
    size_t minimum;   // of the fixed part and a mandatory appendage length
    bool may_be_bare; // the appendage is optional
} samples[] = {
    {ENTER, 47, false},
    {ENTER_FIXED CHANNEL, 47, false},
    {REAL_ENTER, 47, false},
    {REPLACE, 40, false},
    {REPLACE_FIXED CHANNEL, 40, false},
    {CANCEL, 9, true},
    {CANCEL CHANNEL, 9, true},
    {MODIFY, 10, true},
    {MODIFY CHANNEL, 10, true},
    {MASS_CANCEL, 19, false},
    {MASS_CANCEL_FIXED "0003 02 1B 42", 19, false},
    {QUERY, 1, true},
    {QUERY CHANNEL, 1, true},
};

#define SAMPLE_COUNT (sizeof(samples) / sizeof(samples[0]))

Test(ouch_decode, a_message_cut_anywhere_is_taken_only_where_it_may_end)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        uint8_t bytes[64];
        size_t size = from_hex(samples[i].text, bytes, sizeof(bytes));
        for (size_t cut = 0; cut <= size; cut++) {
            bool bare = samples[i].may_be_bare && cut == samples[i].minimum;
            size_t appendage = samples[i].minimum + (samples[i].may_be_bare ? 2 : 0);
            enum ouch_fault expected = cut == size || bare ? OUCH_OK
                                       : cut < appendage   ? OUCH_WRONG_LENGTH
                                                           : OUCH_APPENDAGE_LENGTH;
            struct command command;
            enum ouch_fault fault = decode(bytes, cut, &command);
            cr_expect_eq(fault, expected, "%s cut to %zu: %d", samples[i].text, cut, fault);
        }
    }
}

// What the book may rely on in a command that no reason speaks against.
static void expect_sound(const struct command *command)
{
    cr_assert(command->type >= COMMAND_ENTER && command->type <= COMMAND_MASS_CANCEL);
    cr_assert(command->time_ns == 0 && command->session == 0);
    cr_assert_leq(command->side, SIDE_SELL_SHORT_EXEMPT);
    if (command->type == COMMAND_MASS_CANCEL) {
        cr_assert(command->mass.session == 0 && command->mass.reason == 'U');
        cr_assert(command->mass.side <= SIDE_SELL_SHORT_EXEMPT || command->mass.side == ANY_SIDE);
        cr_assert(command->instrument < 4 || command->instrument == NO_INSTRUMENT);
        return;
    }
    cr_assert(command->order.attributes.auction == 0);
    if (command->verdict != REJECT_NONE)
        return;
    bool enters = command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE;
    cr_assert(command->instrument < 4, "listed");
    if (enters) {
        cr_assert(command->order.quantity >= 1 && command->order.quantity <= QUANTITY_MAX);
        cr_assert(command->order.price >= 1);
        cr_assert(command->order.price <= PRICE_MAX || command->order.price == PRICE_MARKET);
        unsigned time_in_force = command->order.attributes.time_in_force;
        cr_assert(time_in_force <= TIF_IOC || time_in_force == TIF_GTT);
        cr_assert_leq(command->order.attributes.display, DISPLAY_ATTRIBUTABLE);
    }
}

// A copy of a valid message, cut, with some bytes changed and an appendage of random elements whose
// lengths are mostly right.
static size_t mutate(uint64_t *random, uint8_t *bytes, size_t size)
{
    const struct sample *sample = &samples[next_random(random) % SAMPLE_COUNT];
    size_t used = from_hex(sample->text, bytes, size);
    if (next_random(random) & 1) {
        size_t at = sample->minimum - (sample->may_be_bare ? 0 : 2);
        used = at + 2;
        while (used < 200 && next_random(random) % 4) {
            size_t length = next_random(random) % 8;
            bytes[used] = (uint8_t)(next_random(random) % 16 ? length + 1 : 0);
            for (size_t i = 0; i <= length; i++)
                bytes[used + 1 + i] = (uint8_t)(next_random(random) % (i ? 256 : 32));
            used += length + 2;
        }
        bytes[at] = 0;
        bytes[at + 1] = (uint8_t)(used - at - 2);
    }
    for (uint64_t n = next_random(random) % 3; n > 0; n--)
        bytes[next_random(random) % used] = (uint8_t)next_random(random);
    if (next_random(random) % 4 == 0)
        used = next_random(random) % (used + 1);
    return used;
}

Test(ouch_decode, whatever_bytes_arrive_are_read_within_their_bounds)
{
    unsigned faults[OUCH_FAULT_COUNT] = {0};
    uint64_t random = 20250701;
    for (int i = 0; i < 100000; i++) {
        uint8_t bytes[256];
        size_t size = mutate(&random, bytes, sizeof(bytes));
        struct command command;
        enum ouch_fault fault = decode(bytes, size, &command);
        cr_assert_lt(fault, OUCH_FAULT_COUNT);
        faults[fault]++;
        if (fault == OUCH_OK)
            expect_sound(&command);
    }
    for (int fault = 0; fault < OUCH_FAULT_COUNT; fault++)
        cr_expect_gt(faults[fault], 100, "fault %d: %u times", fault, faults[fault]);
}

// Recorded messages.

Test(ouch_decode, recorded_client_messages_are_taken)
{
    SKIP_WITHOUT_RECORDINGS();
    struct command command;
    struct soup enter = recorded("EnterOrderMessage");
    cr_assert_eq(enter.type, 'U');
    cr_assert_eq(decode(enter.message, enter.size, &command), OUCH_OK);
    cr_assert_eq(command.verdict, REJECT_NONE);
    cr_assert_eq(command.order.user_ref_num, 113);
    struct soup cancel = recorded("CancelOrderMessage");
    cr_assert_eq(cancel.type, 'U');
    cr_assert_eq(decode(cancel.message, cancel.size, &command), OUCH_OK);
    cr_assert_eq(command.order.user_ref_num, 0x752E71);
}

Test(ouch_decode, recorded_heartbeats_carry_no_message)
{
    SKIP_WITHOUT_RECORDINGS();
    cr_assert_eq(recorded("ClientHeartbeatPacket").size, 0);
    cr_assert_eq(recorded("ServerHeartbeatPacket").size, 0);
}
