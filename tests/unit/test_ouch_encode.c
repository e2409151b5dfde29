// SPDX-License-Identifier: MIT
//
// OUCH to clients: the bytes of each event.
#include "tests/unit/ouch_messages.h"

// Real messages of a production port.
#define REAL_CANCELED "43 0000289B4D681317 00753A8D 00000028 55"
#define REAL_ACCEPTED_FIXED                                                                        \
    "41 0000289B4D64AF87 00753A8D 42 00000028 4144424520202020 000000000048E748 35 59 "            \
    "000000000F56B4F5 41 4E 4E 4C 3736383237303120202020202020"

static struct event session_event(enum event_type type)
{
    return (struct event){
        .type = (uint8_t)type,
        .seq = 0xF56B4F5,
        .time_ns = 0x289B4D64AF87,
        .user_ref_num = 0x753A8D,
        .quantity = 40,
        .price = 0x48E748,
        .instrument = 2,
    };
}

static void expect_encoded(const struct event *event, const char *text)
{
    struct symbols symbols = listed();
    uint8_t expected[128];
    size_t size = from_hex(text, expected, sizeof(expected));
    uint8_t *out = malloc(OUCH_OUT_SIZE_MAX);
    memset(out, 0xEE, OUCH_OUT_SIZE_MAX);
    cr_assert_eq(ouch_encode(event, &symbols, out), size, "%s", text);
    cr_assert_arr_eq(out, expected, size, "%s", text);
    for (size_t i = size; i < OUCH_OUT_SIZE_MAX; i++)
        cr_assert_eq(out[i], 0xEE, "byte %zu is behind the message", i);
    free(out);
}

// An appendage is there without a channel too.
static void expect_encoded_always(struct event event, const char *fixed)
{
    char text[512];
    snprintf(text, sizeof(text), "%s0000", fixed);
    expect_encoded(&event, text);
    event.user_ref_index = 9;
    snprintf(text, sizeof(text), "%s" CHANNEL, fixed);
    expect_encoded(&event, text);
}

// An appendage is there only to name a channel.
static void expect_encoded_optional(struct event event, const char *fixed)
{
    char text[512];
    expect_encoded(&event, fixed);
    event.user_ref_index = 9;
    snprintf(text, sizeof(text), "%s" CHANNEL, fixed);
    expect_encoded(&event, text);
}

Test(ouch_encode, a_system_event_never_has_an_appendage)
{
    struct event event = session_event(EVENT_SYSTEM);
    event.code = 'S';
    event.user_ref_index = 9;
    expect_encoded(&event, "53 0000289B4D64AF87 53");
}

Test(ouch_encode, accepted_echoes_the_order_and_its_reference_is_the_seq)
{
    struct event event = session_event(EVENT_ACCEPTED);
    memcpy(event.order.client_order_id, "7682701       ", 14);
    event.order.attributes.time_in_force = TIF_GTX;
    expect_encoded_always(event, REAL_ACCEPTED_FIXED);
    memcpy(event.firm, "MLRO", 4);
    expect_encoded(&event, REAL_ACCEPTED_FIXED "0006 05 02 4D4C524F");
    event.user_ref_index = 255;
    expect_encoded(&event, REAL_ACCEPTED_FIXED "0009 05 02 4D4C524F 02 1C FF");
}

Test(ouch_encode, the_letters_of_an_order_are_those_it_was_entered_with)
{
    static const char *const fields[] = {"BSTE", "0356E", "YNA", "APRO", "NY"};
    static const size_t accepted_at[] = {13, 34, 35, 44, 45};
    static const size_t replaced_at[] = {17, 38, 39, 48, 49};
    struct symbols symbols = listed();
    for (unsigned field = 0; field < 5; field++) {
        for (unsigned i = 0; fields[field][i]; i++) {
            struct event event = session_event(EVENT_ACCEPTED);
            event.side = field == 0 ? i & 3 : 0;
            event.order.attributes = (struct order_attributes){
                .time_in_force = field == 1 ? i & 7 : 0,
                .display = field == 2 ? i & 3 : 0,
                .capacity = field == 3 ? i & 3 : 0,
                .sweep = field == 4 ? i & 1 : 0,
            };
            uint8_t out[OUCH_OUT_SIZE_MAX];
            ouch_encode(&event, &symbols, out);
            event.type = EVENT_REPLACED;
            uint8_t replaced[OUCH_OUT_SIZE_MAX];
            ouch_encode(&event, &symbols, replaced);
            for (unsigned other = 0; other < 5; other++) {
                char letter = fields[other][other == field ? i : 0];
                cr_expect_eq(out[accepted_at[other]], letter);
                cr_expect_eq(replaced[replaced_at[other]], letter);
            }
        }
    }
}

Test(ouch_encode, a_market_price_is_sent_as_the_largest_31_bit_number)
{
    struct symbols symbols = listed();
    struct event event = session_event(EVENT_ACCEPTED);
    event.price = PRICE_MARKET;
    uint8_t out[OUCH_OUT_SIZE_MAX];
    ouch_encode(&event, &symbols, out);
    cr_assert_arr_eq(out + 26, "\0\0\0\0\x7F\xFF\xFF\xFF", 8);
}

Test(ouch_encode, replaced_names_both_orders)
{
    struct event event = session_event(EVENT_REPLACED);
    event.orig_user_ref_num = 0x753A8C;
    event.side = SIDE_SELL;
    event.order.attributes = (struct order_attributes){
        .display = DISPLAY_HIDDEN, .capacity = CAPACITY_PRINCIPAL, .sweep = 1};
    memcpy(event.order.client_order_id, "7682701       ", 14);
    expect_encoded_always(event, "55 0000289B4D64AF87 00753A8C 00753A8D 53 00000028"
                                 "4144424520202020 000000000048E748 30 4E 000000000F56B4F5"
                                 "50 59 4E 4C 3736383237303120202020202020");
}

// Adds options to the shortest Accepted and the shortest Replaced.
static void expect_options(const struct order_options *added, const char *of_accepted,
                           const char *of_replaced)
{
    struct symbols symbols = listed();
    for (int replaced = 0; replaced < 2; replaced++) {
        struct event event = session_event(replaced ? EVENT_REPLACED : EVENT_ACCEPTED);
        uint8_t out[OUCH_OUT_SIZE_MAX + OUCH_OPTIONS_SIZE_MAX], wanted[64];
        size_t fixed = replaced ? 66 : 62;
        size_t size = ouch_encode(&event, &symbols, out);
        cr_assert_eq(size, fixed + 2);
        size = ouch_add_options(&event, added, out, size);
        cr_assert_eq(size - fixed,
                     from_hex(replaced ? of_replaced : of_accepted, wanted, sizeof(wanted)));
        cr_assert_arr_eq(out + fixed, wanted, size - fixed);
    }
}

Test(ouch_encode, options_are_echoed_behind_what_was_written)
{
    expect_options(&(struct order_options){0}, "0000", "0000");
    expect_options(&(struct order_options){.min_quantity = 100}, "0006 05 03 00000064",
                   "0006 05 03 00000064");
    expect_options(
        &(struct order_options){.max_floor = 100, .expire_seconds = 60, .random_reserve = 20},
        "0012 05 05 00000064 05 0F 0000003C 05 0D 00000014", "000C 05 05 00000064 05 0F 0000003C");
    expect_options(&(struct order_options){.peg_offset = -100}, "0006 05 07 FFFFFF9C", "0000");
    struct event event = session_event(EVENT_CANCELED);
    uint8_t out[64];
    cr_assert_eq(ouch_add_options(&event, &(struct order_options){.max_floor = 1}, out, 18), 18);
}

Test(ouch_encode, options_stand_behind_the_channel)
{
    struct symbols symbols = listed();
    struct event event = session_event(EVENT_ACCEPTED);
    event.user_ref_index = 9;
    uint8_t out[OUCH_OUT_SIZE_MAX + OUCH_OPTIONS_SIZE_MAX], wanted[64];
    size_t size = ouch_encode(&event, &symbols, out);
    size = ouch_add_options(&event, &(struct order_options){.max_floor = 100}, out, size);
    cr_assert_eq(size - 62, from_hex("0009 02 1C 09 05 05 00000064", wanted, sizeof(wanted)));
    cr_assert_arr_eq(out + 62, wanted, size - 62);
}

Test(ouch_encode, shares_kept_from_trading_with_oneself_are_told)
{
    struct symbols symbols = listed();
    uint8_t out[OUCH_OUT_SIZE_MAX], wanted[64];
    struct event event = {.type = EVENT_PREVENTED,
                          .time_ns = 1,
                          .user_ref_num = 2,
                          .quantity = 300,
                          .prevented = 100,
                          .price = 500000,
                          .code = 'A',
                          .trade.match_number = SELF_MATCH_CANCEL_OLDEST};
    size_t size =
        from_hex("44 0000000000000001 00000002 0000012C 51 00000064 000000000007A120 41 4F", wanted,
                 sizeof(wanted));
    cr_assert_eq(ouch_encode(&event, &symbols, out), size);
    cr_assert_arr_eq(out, wanted, size);
}

Test(ouch_encode, an_accepted_order_echoes_its_options_in_an_appendage)
{
    struct symbols symbols = listed();
    uint8_t out[OUCH_OUT_SIZE_MAX], wanted[64];
    struct event event = {.type = EVENT_ACCEPTED,
                          .firm = "LIME",
                          .user_ref_index = 9,
                          .order.attributes = {.peg = PEG_MIDPOINT,
                                               .post_only = 1,
                                               .trade_now = 1,
                                               .self_match = SELF_MATCH_DECREMENT}};
    cr_assert_eq(ouch_encode(&event, &symbols, out), OUCH_OUT_SIZE_MAX);
    size_t size = from_hex("0015 05 02 4C494D45 02 06 4D 02 0C 50 02 10 59 02 1D 44 02 1C 09",
                           wanted, sizeof(wanted));
    cr_assert_arr_eq(out + 62, wanted, size);
    event.type = EVENT_REPLACED;
    event.order.attributes = (struct order_attributes){.peg = PEG_MIDPOINT};
    event.user_ref_index = 0;
    size = from_hex("0003 02 06 4D", wanted, sizeof(wanted));
    cr_assert_eq(ouch_encode(&event, &symbols, out), 66 + size);
    cr_assert_arr_eq(out + 66, wanted, size);
}

Test(ouch_encode, canceled_says_how_many_shares_and_why)
{
    struct event event = session_event(EVENT_CANCELED);
    event.time_ns = 0x289B4D681317;
    event.code = 'U';
    expect_encoded_optional(event, REAL_CANCELED);
}

Test(ouch_encode, executed_says_price_liquidity_and_match)
{
    struct event event = session_event(EVENT_EXECUTED);
    event.code = 'R';
    event.trade.order_ref = 0x1234;
    event.trade.match_number = 0x3E642;
    expect_encoded_always(event, "45 0000289B4D64AF87 00753A8D 00000028 000000000048E748 52"
                                 "000000000003E642");
}

Test(ouch_encode, rejected_says_why_and_echoes_the_clients_id)
{
    struct event event = session_event(EVENT_REJECTED);
    event.code = REJECT_INVALID_SYMBOL;
    memcpy(event.order.client_order_id, "7682701       ", 14);
    expect_encoded_optional(event,
                            "4A 0000289B4D64AF87 00753A8D 0017 3736383237303120202020202020");
}

Test(ouch_encode, a_rejected_cancel_names_the_order)
{
    expect_encoded_optional(session_event(EVENT_CANCEL_REJECTED), "49 0000289B4D64AF87 00753A8D");
    expect_encoded_optional(session_event(EVENT_CANCEL_PENDING), "50 0000289B4D64AF87 00753A8D");
}

Test(ouch_encode, modified_says_side_and_open_shares)
{
    struct event event = session_event(EVENT_MODIFIED);
    event.side = SIDE_SELL_SHORT_EXEMPT;
    expect_encoded_optional(event, "4D 0000289B4D64AF87 00753A8D 45 00000028");
}

Test(ouch_encode, restated_says_what_is_displayed_now_and_under_which_reference)
{
    struct event event = session_event(EVENT_RESTATED);
    event.code = 'R';
    event.trade.order_ref = SLICE_REF | 5;
    expect_encoded(&event, "52 0000289B4D64AF87 00753A8D 52"
                           "0010 05 16 00000028 09 01 8000000000000005");
    event.user_ref_index = 9;
    expect_encoded(&event, "52 0000289B4D64AF87 00753A8D 52"
                           "0013 05 16 00000028 09 01 8000000000000005 02 1C 09");
}

Test(ouch_encode, a_mass_cancel_is_answered_with_what_it_asked_for)
{
    struct event event = session_event(EVENT_MASS_CANCELED);
    event.instrument = NO_INSTRUMENT;
    event.side = ANY_SIDE;
    expect_encoded_always(event, "58 0000289B4D64AF87 00753A8D 20202020 2020202020202020");
    event.instrument = ACME;
    memcpy(event.firm, "LIME", 4);
    expect_encoded_always(event, "58 0000289B4D64AF87 00753A8D 4C494D45 41434D4520202020");
    static const char *const letters[] = {"42", "53", "54", "45"};
    for (uint8_t side = 0; side < 4; side++) {
        char text[128];
        event.side = side;
        event.user_ref_index = 0;
        snprintf(text, sizeof(text), "%s 0003 02 1B %s",
                 "58 0000289B4D64AF87 00753A8D 4C494D45 41434D4520202020", letters[side]);
        expect_encoded(&event, text);
        event.user_ref_index = 9;
        snprintf(text, sizeof(text), "%s 0006 02 1B %s 02 1C 09",
                 "58 0000289B4D64AF87 00753A8D 4C494D45 41434D4520202020", letters[side]);
        expect_encoded(&event, text);
    }
}

Test(ouch_encode, disabling_and_enabling_entry_are_answered)
{
    struct event event = session_event(EVENT_ENTRY_DISABLED);
    expect_encoded_always(event, "47 0000289B4D64AF87 00753A8D 20202020");
    event = session_event(EVENT_ENTRY_ENABLED);
    memcpy(event.firm, "LIME", 4);
    expect_encoded_always(event, "4B 0000289B4D64AF87 00753A8D 4C494D45");
}

Test(ouch_encode, a_rejected_mass_cancel_has_no_clients_id)
{
    struct event event = session_event(EVENT_REJECTED);
    event.code = REJECT_INVALID_SYMBOL;
    expect_encoded_optional(event,
                            "4A 0000289B4D64AF87 00753A8D 0017 2020202020202020202020202020");
}

Test(ouch_encode, a_query_is_answered_with_the_next_number)
{
    expect_encoded_optional(session_event(EVENT_QUERY_RESPONSE), "51 0000289B4D64AF87 00753A8D");
}

// Recorded messages.

static uint64_t number(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

Test(ouch_encode, a_recorded_cancel_confirmation_is_encoded_again_byte_for_byte)
{
    SKIP_WITHOUT_RECORDINGS();
    struct soup soup = recorded("CanceledMessage");
    struct event event = {
        .type = EVENT_CANCELED,
        .time_ns = number(soup.message + 1, 8),
        .user_ref_num = (uint32_t)number(soup.message + 9, 4),
        .quantity = (uint32_t)number(soup.message + 13, 4),
        .code = soup.message[17],
    };
    struct symbols symbols = listed();
    uint8_t out[OUCH_OUT_SIZE_MAX];
    cr_assert_eq(ouch_encode(&event, &symbols, out), soup.size);
    cr_assert_arr_eq(out, soup.message, soup.size);
}

// But for its last element, the BBO weight, which is not sent here.
Test(ouch_encode, a_recorded_acceptance_is_encoded_again_byte_for_byte)
{
    SKIP_WITHOUT_RECORDINGS();
    struct soup soup = recorded("OrderAcceptedMessage");
    const uint8_t *m = soup.message;
    struct event event = {
        .type = EVENT_ACCEPTED,
        .seq = number(m + 36, 8),
        .time_ns = number(m + 1, 8),
        .user_ref_num = (uint32_t)number(m + 9, 4),
        .quantity = (uint32_t)number(m + 14, 4),
        .price = (uint32_t)number(m + 26, 8),
        .instrument = 2,
        .side = SIDE_BUY,
        .order.attributes.time_in_force = TIF_GTX,
    };
    memcpy(event.order.client_order_id, m + 48, 14);
    memcpy(event.firm, m + 66, 4);
    cr_assert_eq(soup.size, 73);
    cr_assert_eq(m[71], OUCH_TAG_BBO_WEIGHT);
    soup.message[63] -= 3;
    struct symbols symbols = listed();
    uint8_t out[OUCH_OUT_SIZE_MAX];
    cr_assert_eq(ouch_encode(&event, &symbols, out), soup.size - 3);
    cr_assert_arr_eq(out, soup.message, soup.size - 3);
}
