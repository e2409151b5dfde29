// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "dataplane/itch.h"
#include "dataplane/mold.h"
#include "tests/unit/recorded.h"

#define TIME_NS 0x1F1ACED85306ull

static struct symbols make_symbols(uint16_t count_max)
{
    struct symbols symbols;
    void *memory = malloc(symbols_memory_size(count_max));
    cr_assert_not_null(memory);
    symbols_init(&symbols, memory, count_max);
    return symbols;
}

// Gives the instruments below `index` names of no stock, and `index` its own.
static void name_instrument(struct symbols *symbols, uint16_t index, const char name[8])
{
    while (symbols->count < index) {
        char filler[16];
        snprintf(filler, sizeof(filler), "#%-7u", symbols->count);
        cr_assert_neq(symbols_add(symbols, filler), NO_INSTRUMENT);
    }
    cr_assert_eq(symbols_add(symbols, name), index);
}

static struct event feed_event(enum event_type type)
{
    return (struct event){
        .type = (uint8_t)type, .session = FEED_SESSION, .instrument = 1, .time_ns = TIME_NS};
}

// Encodes `event` into exactly sized memory and compares with the bytes that `text` spells.
static void expect_encoded(const struct event *event, const char *text)
{
    struct symbols symbols = make_symbols(2);
    name_instrument(&symbols, 0, "ACME    ");
    name_instrument(&symbols, 1, "IVOO    ");
    uint8_t expected[64];
    size_t size = from_hex(text, expected, sizeof(expected));
    uint8_t *out = malloc(ITCH_OUT_SIZE_MAX);
    memset(out, 0xEE, ITCH_OUT_SIZE_MAX);
    cr_assert_eq(itch_encode(event, &symbols, out), size, "%s", text);
    cr_assert_arr_eq(out, expected, size, "%s", text);
    for (size_t i = size; i < ITCH_OUT_SIZE_MAX; i++)
        cr_assert_eq(out[i], 0xEE, "byte %zu is behind the message", i);
    cr_assert_eq(itch_message_size(out[0]), size);
    free(out);
    free(symbols.names);
}

Test(itch, a_system_event_is_of_no_stock)
{
    struct event event = feed_event(EVENT_FEED_SYSTEM);
    event.code = 'Q';
    expect_encoded(&event, "53 0000 0000 1F1ACED85306 51");
}

Test(itch, a_message_without_an_instrument_has_stock_locate_0)
{
    struct event event = feed_event(EVENT_FEED_DELETE);
    event.instrument = NO_INSTRUMENT;
    event.trade.order_ref = 1;
    expect_encoded(&event, "44 0000 0000 1F1ACED85306 0000000000000001");
}

Test(itch, a_directory_entry_claims_nothing_but_name_and_round_lot)
{
    struct event event = feed_event(EVENT_FEED_DIRECTORY);
    memcpy(event.listing.symbol, "IVOO    ", 8);
    event.quantity = 100;
    expect_encoded(&event, "52 0002 0000 1F1ACED85306 49564F4F20202020 20 20 00000064 4E 43 5A20"
                           "50 20 20 20 4E 00000000 4E");
}

Test(itch, a_trading_action_names_the_state_and_no_reason)
{
    struct event event = feed_event(EVENT_FEED_ACTION);
    memcpy(event.listing.symbol, "IVOO    ", 8);
    event.code = 'T';
    expect_encoded(&event, "48 0002 0000 1F1ACED85306 49564F4F20202020 54 20 20202020");
}

Test(itch, an_order_without_attribution_is_added_with_A)
{
    struct event event = feed_event(EVENT_FEED_ADD);
    event.side = SIDE_BUY;
    event.quantity = 1600;
    event.price = 873900;
    event.trade.order_ref = 0x166B53E;
    expect_encoded(&event, "41 0002 0000 1F1ACED85306 000000000166B53E 42 00000640"
                           "49564F4F20202020 000D55AC");
}

Test(itch, an_attributed_order_is_added_with_F)
{
    struct event event = feed_event(EVENT_FEED_ADD);
    event.side = SIDE_SELL;
    event.quantity = 100;
    event.price = 0x26FD40;
    event.trade.order_ref = 0x120BE75;
    memcpy(event.firm, "FLTU", 4);
    expect_encoded(&event, "46 0002 0000 1F1ACED85306 000000000120BE75 53 00000064"
                           "49564F4F20202020 0026FD40 464C5455");
}

Test(itch, every_way_of_selling_is_S_on_the_feed)
{
    for (uint8_t side = SIDE_SELL; side <= SIDE_SELL_SHORT_EXEMPT; side++) {
        struct event event = feed_event(EVENT_FEED_ADD);
        event.side = side;
        expect_encoded(&event, "41 0002 0000 1F1ACED85306 0000000000000000 53 00000000"
                               "49564F4F20202020 00000000");
    }
}

Test(itch, an_execution_at_the_orders_price_carries_none)
{
    struct event event = feed_event(EVENT_FEED_EXECUTED);
    event.quantity = 25;
    event.price = 873900;
    event.trade.order_ref = 0x166929A;
    event.trade.match_number = 0x3E63B;
    expect_encoded(&event, "45 0002 0000 1F1ACED85306 000000000166929A 00000019 000000000003E63B");
}

Test(itch, an_execution_at_another_price_carries_it)
{
    struct event event = feed_event(EVENT_FEED_EXECUTED_PRICE);
    event.quantity = 0x133E;
    event.price = 0x36E20;
    event.code = 'N';
    event.trade.order_ref = 0x13113DE;
    event.trade.match_number = 0x3E65D;
    expect_encoded(&event, "43 0002 0000 1F1ACED85306 00000000013113DE 0000133E 000000000003E65D"
                           "4E 00036E20");
}

Test(itch, a_cancel_says_how_many_shares_went)
{
    struct event event = feed_event(EVENT_FEED_CANCEL);
    event.quantity = 100;
    event.trade.order_ref = 0x2041A00;
    expect_encoded(&event, "58 0002 0000 1F1ACED85306 0000000002041A00 00000064");
}

Test(itch, a_delete_names_the_order)
{
    struct event event = feed_event(EVENT_FEED_DELETE);
    event.quantity = 100;
    event.trade.order_ref = 0x165B51A;
    expect_encoded(&event, "44 0002 0000 1F1ACED85306 000000000165B51A");
}

Test(itch, a_replacement_s_reference_is_its_seq)
{
    struct event event = feed_event(EVENT_FEED_REPLACE);
    event.seq = 0x145F2C7;
    event.quantity = 100;
    event.price = 0x1036C8;
    event.trade.order_ref = 0xE6897F;
    expect_encoded(&event, "55 0002 0000 1F1ACED85306 0000000000E6897F 000000000145F2C7 00000064"
                           "001036C8");
}

Test(itch, the_reference_of_a_refreshed_slice_passes_whole)
{
    struct event event = feed_event(EVENT_FEED_ADD);
    event.side = SIDE_SELL;
    event.quantity = 100;
    event.price = 0x26FD40;
    event.trade.order_ref = SLICE_REF | 0x2041A;
    expect_encoded(&event, "41 0002 0000 1F1ACED85306 800000000002041A 53 00000064"
                           "49564F4F20202020 0026FD40");
    event.type = EVENT_FEED_EXECUTED;
    event.trade.match_number = 1;
    expect_encoded(&event, "45 0002 0000 1F1ACED85306 800000000002041A 00000064 0000000000000001");
    event.type = EVENT_FEED_CANCEL;
    expect_encoded(&event, "58 0002 0000 1F1ACED85306 800000000002041A 00000064");
    event.type = EVENT_FEED_DELETE;
    expect_encoded(&event, "44 0002 0000 1F1ACED85306 800000000002041A");
    event.type = EVENT_FEED_REPLACE;
    event.seq = 0x145F2C7;
    expect_encoded(&event, "55 0002 0000 1F1ACED85306 800000000002041A 000000000145F2C7 00000064"
                           "0026FD40");
}

Test(itch, a_trade_tells_neither_order_nor_side)
{
    struct event event = feed_event(EVENT_FEED_TRADE);
    event.side = SIDE_SELL;
    event.quantity = 100;
    event.price = 0x1399F8;
    event.trade.order_ref = 0x1234;
    event.trade.match_number = 0x3E642;
    expect_encoded(&event, "50 0002 0000 1F1ACED85306 0000000000000000 42 00000064"
                           "49564F4F20202020 001399F8 000000000003E642");
}

Test(itch, a_cross_tells_all_its_shares_at_once)
{
    struct event event = feed_event(EVENT_FEED_CROSS);
    event.price = 0x1399F8;
    event.code = CROSS_OPENING;
    event.cross.shares = 0x123456789AB;
    event.cross.match_number = 0x3E642;
    expect_encoded(&event, "51 0002 0000 1F1ACED85306 00000123456789AB 49564F4F20202020"
                           "001399F8 000000000003E642 4F");
}

Test(itch, an_imbalance_is_told_with_its_direction_and_how_far_the_price_would_move)
{
    struct event event = feed_event(EVENT_FEED_IMBALANCE);
    event.price = 1050000;
    event.far_price = 1060000;
    event.quantity = 1000000;
    event.side = SIDE_SELL;
    event.code = CROSS_CLOSING;
    event.imbalance.paired = 300;
    event.imbalance.left = 200;
    expect_encoded(&event, "49 0002 0000 1F1ACED85306 000000000000012C 00000000000000C8 53"
                           "49564F4F20202020 00102CA0 00100590 000F4240 43 35");
    event.imbalance.left = 0;
    event.price = 0;
    expect_encoded(&event, "49 0002 0000 1F1ACED85306 000000000000012C 0000000000000000 4E"
                           "49564F4F20202020 00102CA0 00000000 000F4240 43 20");
    event.imbalance.paired = 0;
    event.price = 1300000;
    expect_encoded(&event, "49 0002 0000 1F1ACED85306 0000000000000000 0000000000000000 4F"
                           "49564F4F20202020 00102CA0 0013D620 000F4240 43 43");
}

Test(itch, every_type_of_the_protocol_has_its_size_and_no_other_byte_has_one)
{
    static const char types[] = "SRHYLVWKJhAFECXDUPQBINO";
    static const uint8_t sizes[] = {12, 39, 25, 20, 26, 35, 12, 28, 35, 21, 36, 40,
                                    31, 36, 23, 19, 35, 44, 40, 19, 50, 20, 48};
    size_t known = 0;
    for (unsigned type = 0; type < 256; type++) {
        const char *at = type ? strchr(types, (int)type) : NULL;
        size_t size = at ? sizes[at - types] : 0;
        known += at != NULL;
        cr_expect_eq(itch_message_size((uint8_t)type), size, "type %u", type);
    }
    cr_assert_eq(known, 23);
}

// Real messages. The symbols are those of the recording, each under its stock locate - 1.

typedef void message_fn(const uint8_t *message, size_t size, void *context);

struct message_walk {
    message_fn *each;
    void *context;
};

static void walk_packet(const uint8_t *payload, size_t size, void *context)
{
    const struct message_walk *walk = context;
    size_t offset = sizeof(struct mold_header);
    while (offset < size) {
        be16 length;
        memcpy(&length, payload + offset, sizeof(length));
        offset += sizeof(length);
        cr_assert_leq(offset + be16_load(length), size);
        walk->each(payload + offset, be16_load(length), walk->context);
        offset += be16_load(length);
    }
}

static void each_message(const char *recording, message_fn *each, void *context)
{
    struct message_walk walk = {each, context};
    cr_assert_gt(recorded_packets(recording, walk_packet, &walk), 0);
}

struct replay {
    struct symbols symbols;
    const char *names[65536]; // by stock locate
    unsigned message_count;
    unsigned encoded_count;
};

static const char *stock_of(const uint8_t *message)
{
    switch (message[0]) {
    case ITCH_ADD:
    case ITCH_ADD_MPID:
    case ITCH_TRADE:
        return (const char *)message + 24;
    case ITCH_ACTION:
        return (const char *)message + 11;
    case ITCH_CROSS:
        return (const char *)message + 19;
    default:
        return NULL;
    }
}

static void note_stock(const uint8_t *message, size_t size, void *context)
{
    (void)size;
    struct replay *replay = context;
    uint16_t locate = (uint16_t)(message[1] << 8 | message[2]);
    if (stock_of(message) && !replay->names[locate])
        replay->names[locate] = strndup(stock_of(message), 8);
}

static uint64_t number(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

// The event that would cause a real message, by the specification's offsets; false for a type that
// is not sent here.
static bool event_of(const uint8_t *m, struct event *event)
{
    *event = (struct event){
        .session = FEED_SESSION,
        .instrument = (uint16_t)(number(m + 1, 2) - 1),
        .time_ns = number(m + 5, 6),
    };
    if (strchr("AFECXDU", m[0]))
        event->trade.order_ref = number(m + 11, 8);
    switch (m[0]) {
    case 'S':
        event->type = EVENT_FEED_SYSTEM;
        event->code = m[11];
        return true;
    case 'H':
        event->type = EVENT_FEED_ACTION;
        event->code = m[19];
        memcpy(event->listing.symbol, m + 11, 8);
        return true;
    case 'F':
        memcpy(event->firm, m + 36, 4);
        // fall through
    case 'A':
        event->type = EVENT_FEED_ADD;
        event->side = m[19] == 'B' ? SIDE_BUY : SIDE_SELL;
        event->quantity = (uint32_t)number(m + 20, 4);
        event->price = (uint32_t)number(m + 32, 4);
        return true;
    case 'E':
    case 'C':
        event->type = m[0] == 'E' ? EVENT_FEED_EXECUTED : EVENT_FEED_EXECUTED_PRICE;
        event->quantity = (uint32_t)number(m + 19, 4);
        event->trade.match_number = number(m + 23, 8);
        event->code = m[0] == 'C' ? m[31] : 0;
        event->price = m[0] == 'C' ? (uint32_t)number(m + 32, 4) : 0;
        return true;
    case 'X':
        event->type = EVENT_FEED_CANCEL;
        event->quantity = (uint32_t)number(m + 19, 4);
        return true;
    case 'D':
        event->type = EVENT_FEED_DELETE;
        return true;
    case 'U':
        event->type = EVENT_FEED_REPLACE;
        event->seq = number(m + 19, 8);
        event->quantity = (uint32_t)number(m + 27, 4);
        event->price = (uint32_t)number(m + 31, 4);
        return true;
    case 'P':
        event->type = EVENT_FEED_TRADE;
        event->quantity = (uint32_t)number(m + 20, 4);
        event->price = (uint32_t)number(m + 32, 4);
        event->trade.match_number = number(m + 36, 8);
        return true;
    case 'Y':
        event->type = EVENT_FEED_SHORT_SALE;
        event->code = m[19];
        memcpy(event->listing.symbol, m + 11, 8);
        return true;
    case 'J':
        event->type = EVENT_FEED_COLLAR;
        memcpy(event->listing.symbol, m + 11, 8);
        event->price = (uint32_t)number(m + 19, 4);
        event->quantity = (uint32_t)number(m + 23, 4);
        event->low_price = (uint32_t)number(m + 27, 4);
        return true;
    case 'Q':
        event->type = EVENT_FEED_CROSS;
        event->cross.shares = number(m + 11, 8);
        event->price = (uint32_t)number(m + 27, 4);
        event->cross.match_number = number(m + 31, 8);
        event->code = m[39];
        return true;
    default:
        return false;
    }
}

// Byte for byte, but for the tracking number (an exchange's own, 0 here), the reason of a trading
// action (none here) and the extensions of a collar (none here).
static void encode_again(const uint8_t *message, size_t size, void *context)
{
    struct replay *replay = context;
    replay->message_count++;
    cr_assert_eq(itch_message_size(message[0]), size, "type %c", message[0]);
    struct event event;
    if (!event_of(message, &event))
        return;
    uint8_t out[ITCH_OUT_SIZE_MAX], expected[ITCH_OUT_SIZE_MAX];
    cr_assert_eq(itch_encode(&event, &replay->symbols, out), size);
    memcpy(expected, message, size);
    memset(expected + 3, 0, 2);
    if (message[0] == 'H')
        memset(expected + 21, ' ', 4);
    if (message[0] == 'J')
        memset(expected + 31, 0, 4);
    cr_assert_arr_eq(out, expected, size, "message %u, type %c", replay->message_count, message[0]);
    replay->encoded_count++;
}

static struct replay *replay_recording(const char *recording)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    each_message(recording, note_stock, replay);
    replay->symbols = make_symbols(BOOK_INSTRUMENTS_MAX);
    for (unsigned locate = 1; locate < 65536; locate++) {
        if (replay->names[locate])
            name_instrument(&replay->symbols, (uint16_t)(locate - 1), replay->names[locate]);
        free((void *)replay->names[locate]);
    }
    each_message(recording, encode_again, replay);
    return replay;
}

static void close_replay(struct replay *replay)
{
    free(replay->symbols.names);
    free(replay);
}

Test(itch, a_recorded_half_second_of_the_exchange_is_encoded_again_byte_for_byte)
{
    SKIP_WITHOUT_RECORDINGS();
    struct replay *replay = replay_recording("nasdaq-itch50-20141111-1200.pcap");
    cr_assert_eq(replay->message_count, 10937);
    // All but 344 N and 1 I.
    cr_assert_eq(replay->encoded_count, 10937 - 345);
    close_replay(replay);
}

Test(itch, a_recorded_message_of_each_type_is_encoded_again_byte_for_byte)
{
    SKIP_WITHOUT_RECORDINGS();
    static const struct {
        const char *name;
        bool sent;
    } recordings[] = {
        {"AddOrderNoMPID", true},
        {"AddOrderWithMPID", true},
        {"CrossTrade", true},
        {"LULDAuctionCollar", true},
        {"MarketParticipantPosition", false},
        {"NetOrderImbalanceIndicator", false},
        {"NonCrossTrade", true},
        {"OrderCancel", true},
        {"OrderDelete", true},
        {"OrderExecuted", true},
        {"OrderExecutedWithPrice", true},
        {"OrderReplace", true},
        {"RegSHORestriction", true},
        {"StockTradingAction", true},
        {"SystemEvent", true},
    };
    for (size_t i = 0; i < sizeof(recordings) / sizeof(recordings[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "packets/itch50/%s.pcap", recordings[i].name);
        struct replay *replay = replay_recording(name);
        cr_expect_gt(replay->message_count, 0, "%s", name);
        cr_expect_eq(replay->encoded_count, recordings[i].sent ? replay->message_count : 0, "%s",
                     name);
        close_replay(replay);
    }
}
