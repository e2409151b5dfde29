// SPDX-License-Identifier: MIT
//
// libFuzzer: the input's bytes become commands, which go through the book and through the reference
// side by side (tests/unit/compare.h). A difference prints all commands and aborts.
//
// The first byte chooses the size of the book and the distance of prices; then each command takes
// COMMAND_BYTES. Sessions, instruments and prices are few and most values make sense, so that
// orders meet; every field can be hostile as well. Bytes that are 0 make the plainest command.
#include <stdarg.h>

#include "tests/unit/compare.h"

#define COMMAND_BYTES    12
#define COMMANDS_MAX     512
#define SESSIONS         3
#define INSTRUMENTS      2
#define PRICE_MIDDLE     500000u
#define MIDNIGHT_NS      1700006400000000000ull
#define COMPARE_INTERVAL 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// One for each size of the book, so that none needs new memory for an input.
static const uint32_t orders_max[] = {16, 3, 40, 1};
static struct comparison comparisons[4];
static struct comparison *comparison;
static struct command given[COMMANDS_MAX];
static uint32_t given_count;

static void differs(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nstruct command commands[] = { // the last one fails\n");
    for (uint32_t i = 0; i < given_count; i++)
        print_command(&given[i]);
    fprintf(stderr, "};\n");
    abort();
}

static void give(const struct command *command)
{
    given[given_count++] = *command;
    comparison_apply(comparison, command);
    if (given_count % COMPARE_INTERVAL == 0)
        compare_state(comparison);
}

static void give_setup(const struct book_limits *limits, uint32_t price_step)
{
    static const char firms[SESSIONS][5] = {"ALFA", "BRAV", "ALFA"};
    struct command c = {.time_ns = MIDNIGHT_NS, .type = COMMAND_OPEN};
    c.open.midnight_ns = MIDNIGHT_NS;
    c.open.limits = *limits;
    memcpy(c.open.session_id, "DAY0000001", 10);
    give(&c);
    for (uint16_t i = 0; i < INSTRUMENTS; i++) {
        c = (struct command){.time_ns = MIDNIGHT_NS, .type = COMMAND_INSTRUMENT, .instrument = i};
        c.listing.round_lot = 100;
        c.listing.price_step = price_step;
        memcpy(c.listing.symbol, "SYM     ", 8);
        give(&c);
    }
    for (uint16_t i = 0; i < SESSIONS; i++) {
        c = (struct command){.time_ns = MIDNIGHT_NS, .type = COMMAND_SESSION, .session = i};
        memcpy(c.member.user_name, "USER  ", 6);
        memcpy(c.member.firm, firms[i], 4);
        give(&c);
    }
    give(&(struct command){.time_ns = MIDNIGHT_NS, .type = COMMAND_START});
}

static uint32_t pick_number(uint8_t byte, uint32_t plain)
{
    static const uint32_t edges[] = {0,
                                     1,
                                     255,
                                     256,
                                     65534,
                                     65535,
                                     65536,
                                     EXPIRE_SECONDS_MAX,
                                     EXPIRE_SECONDS_MAX + 1,
                                     QUANTITY_MAX,
                                     QUANTITY_MAX + 1,
                                     PRICE_MAX,
                                     PRICE_MAX + 1,
                                     PRICE_MARKET,
                                     PRICE_MARKET + 1,
                                     UINT32_MAX};
    return byte < 240 ? plain : edges[byte - 240];
}

static struct order_attributes pick_attributes(uint8_t kind, uint8_t self_match)
{
    static const uint8_t times[] = {TIF_DAY, TIF_DAY, TIF_DAY, TIF_DAY,
                                    TIF_GTT, TIF_GTT, TIF_IOC, TIF_GTX};
    static const uint8_t displays[] = {DISPLAY_VISIBLE, DISPLAY_VISIBLE, DISPLAY_HIDDEN,
                                       DISPLAY_ATTRIBUTABLE};
    struct order_attributes attributes = {
        .time_in_force = times[kind & 7] & 7,
        .display = displays[kind >> 3 & 3] & 3,
        .peg = (kind >> 5 & 3) == 3 ? 1 + self_match % 3 : PEG_NONE,
        .post_only = (kind >> 5 & 3) == 2,
        .self_match = self_match & 7,
    };
    if (attributes.peg != PEG_NONE && kind < 224)
        attributes.display = DISPLAY_HIDDEN;
    return attributes;
}

// An order that rests, for a client to name; one that does not when there is none.
static uint32_t pick_order(struct command *c, uint8_t byte)
{
    const struct reference *r = &comparison->reference;
    if (r->order_count == 0 || byte >= 240)
        return byte;
    const struct reference_order *order = &r->orders[byte % r->order_count];
    c->session = order->session;
    c->user_ref_index = order->user_ref_index;
    c->side = order->side;
    return order->user_ref_num;
}

static uint32_t pick_new_number(const struct command *c, uint8_t byte)
{
    const struct reference *r = &comparison->reference;
    if (c->session >= r->session_count)
        return byte;
    uint32_t last = r->sessions[c->session].last[c->user_ref_index];
    return byte < 248 ? last + 1 : last - (byte - 248);
}

static void fill_terms(struct command *c, const uint8_t *bytes, uint32_t tick)
{
    c->order.quantity = pick_number(bytes[3], 1 + bytes[3]);
    c->order.price = pick_number(bytes[4], PRICE_MIDDLE + bytes[4] % 16 * tick);
    c->order.attributes = pick_attributes(bytes[5], bytes[6] & 15 ? 0 : bytes[6] >> 4);
    if (bytes[8] & 1)
        c->order.max_floor = pick_number(bytes[8], bytes[8] / 2);
    if (c->order.attributes.peg >= PEG_PRIMARY)
        c->order.peg_offset = (int16_t)((bytes[8] % 9 - 4) * (int)tick);
    if ((bytes[8] & 3) == 3)
        c->order.random_reserve = (uint16_t)pick_number(bytes[9], bytes[9] / 4);
    if (c->order.attributes.time_in_force == TIF_GTT || bytes[9] >= 240)
        c->order.expire_seconds = pick_number(bytes[9], 1 + bytes[9] % 8);
    if (c->type == COMMAND_ENTER && c->order.attributes.time_in_force == TIF_IOC)
        c->order.min_quantity = bytes[8];
}

static void fill_mass(struct command *c, const uint8_t *bytes)
{
    static const char firms[][5] = {"\0\0\0", "ALFA", "BRAV", "ECHO"};
    c->mass.user_ref_num = pick_new_number(c, bytes[7]);
    c->mass.session = bytes[3] < 128 ? ANY_SESSION : bytes[3] % 5;
    c->mass.side = bytes[4] < 128 ? ANY_SIDE : bytes[4] % 5;
    c->mass.reason = bytes[5] & 1 ? 'S' : 'U';
    memcpy(c->mass.firm, firms[bytes[6] % 4], 4);
    if (bytes[8] & 1)
        c->instrument = NO_INSTRUMENT;
    if (bytes[8] & 2)
        c->session = ANY_SESSION;
}

static void make_hostile(struct command *c, uint8_t where, uint8_t what)
{
    uint32_t value = pick_number(what, what);
    size_t offset = 8 + where % 54;
    size_t size = sizeof(*c) - offset < sizeof(value) ? sizeof(*c) - offset : sizeof(value);
    memcpy((unsigned char *)c + offset, &value, where & 64 ? 1 : size);
}

// From one command to the next: none, part of a second, seconds, hours; now and then back.
static uint64_t pass_time(uint64_t time_ns, uint8_t byte)
{
    static const uint64_t steps_ns[] = {0, 1000, 300000000, 1000000000, 7000000000, 3600000000000};
    if (byte < 6 * 32)
        return time_ns + steps_ns[byte / 32];
    return byte < 250 ? time_ns : time_ns - 2000000000;
}

static struct command make_command(const uint8_t *bytes, uint64_t time_ns, uint32_t tick)
{
    static const uint8_t types[] = {
        COMMAND_ENTER,   COMMAND_ENTER,  COMMAND_ENTER,   COMMAND_ENTER,
        COMMAND_ENTER,   COMMAND_ENTER,  COMMAND_ENTER,   COMMAND_REPLACE,
        COMMAND_REPLACE, COMMAND_CANCEL, COMMAND_CANCEL,  COMMAND_MODIFY,
        COMMAND_QUERY,   COMMAND_CLOCK,  COMMAND_TRADING, COMMAND_MASS_CANCEL,
    };
    struct command c = {
        .time_ns = time_ns,
        .type = types[bytes[0] % 16],
        .session = bytes[1] % SESSIONS,
        .instrument = bytes[1] >> 2 & 1,
        .user_ref_index = (bytes[1] & 15) == 15,
        .side = bytes[2] % 4,
    };
    if (c.type == COMMAND_ENTER) {
        c.order.user_ref_num = pick_new_number(&c, bytes[7]);
        if (bytes[2] & 128)
            memcpy(c.order.firm, "ECHO", 4);
        fill_terms(&c, bytes, tick);
        if (bytes[2] & 64)
            c.order.cross = (uint8_t) "OCHX"[bytes[9] % 4];
    } else if (c.type == COMMAND_REPLACE) {
        c.order.orig_user_ref_num = pick_order(&c, bytes[7]);
        c.order.user_ref_num = pick_new_number(&c, bytes[2]);
        fill_terms(&c, bytes, tick);
        c.order.kept = bytes[9];
    } else if (c.type == COMMAND_CANCEL || c.type == COMMAND_MODIFY) {
        c.order.user_ref_num = pick_order(&c, bytes[7]);
        c.order.quantity = pick_number(bytes[3], bytes[3]);
        if (bytes[2] & 128)
            c.side = bytes[2] % 5;
    } else if (c.type == COMMAND_TRADING) {
        c.trading.state = (uint8_t) "TTLOQPHCR"[bytes[3] % 9];
        c.trading.source = bytes[2] & 3;
        c.trading.from = bytes[6] & 4 ? (uint8_t) "TOQPHC"[bytes[9] % 6] : 0;
        c.trading.band = bytes[6] & 128 ? 1 + bytes[5] % 32 : bytes[6] & 64 ? UINT32_MAX : 0;
        c.trading.short_sale = bytes[6] & 1 ? (uint8_t) "0123"[bytes[6] / 2 % 4] : 0;
        c.trading.reference =
            bytes[4] & 1 ? pick_number(bytes[5], PRICE_MIDDLE + bytes[5] * tick) : 0;
    } else if (c.type == COMMAND_MASS_CANCEL) {
        fill_mass(&c, bytes);
    }
    if (bytes[11] >= 240)
        make_hostile(&c, bytes[9], bytes[10]);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct book_limits limits = {orders_max[data[0] & 3], INSTRUMENTS, SESSIONS};
    uint32_t tick = data[0] & 4 ? 100 : 1;
    uint64_t time_ns = MIDNIGHT_NS;
    given_count = 0;
    comparison = &comparisons[data[0] & 3];
    comparison_open(comparison, &limits, data[0]);
    give_setup(&limits, data[0] & 8 ? tick : 0);
    for (size_t at = 1; at + COMMAND_BYTES <= size && given_count < COMMANDS_MAX;
         at += COMMAND_BYTES) {
        time_ns = pass_time(time_ns, data[at + 10]);
        struct command command = make_command(&data[at], time_ns, tick);
        give(&command);
    }
    compare_state(comparison);
    comparison_close(comparison);
    return 0;
}
