// SPDX-License-Identifier: MIT
#include "dataplane/ouch.h"

#include "numa/invariant.h"

// Letters by enumerator, as long as their bit-fields reach, and enumerators + 1 by letter (0: not a
// letter of that field).
static const char side_letters[4] = "BSTE";
static const char time_in_force_letters[8] = "0356E";
static const char display_letters[4] = "YNA";
static const char capacity_letters[4] = "APRO";
static const char peg_letters[4] = "LMRP";

static const uint8_t side_codes[256] = {
    ['B'] = SIDE_BUY + 1,
    ['S'] = SIDE_SELL + 1,
    ['T'] = SIDE_SELL_SHORT + 1,
    ['E'] = SIDE_SELL_SHORT_EXEMPT + 1,
};
static const uint8_t time_in_force_codes[256] = {
    ['0'] = TIF_DAY + 1, ['3'] = TIF_IOC + 1,      ['5'] = TIF_GTX + 1,
    ['6'] = TIF_GTT + 1, ['E'] = TIF_EXTENDED + 1,
};
static const uint8_t display_codes[256] = {
    ['Y'] = DISPLAY_VISIBLE + 1,
    ['N'] = DISPLAY_HIDDEN + 1,
    ['A'] = DISPLAY_ATTRIBUTABLE + 1,
};
static const uint8_t capacity_codes[256] = {
    ['A'] = CAPACITY_AGENCY + 1,
    ['P'] = CAPACITY_PRINCIPAL + 1,
    ['R'] = CAPACITY_RISKLESS + 1,
    ['O'] = CAPACITY_OTHER + 1,
};

// Bytes of each tag's value, section 3; 0 for a tag that is not assigned.
static const uint8_t value_sizes[256] = {
    [OUCH_TAG_SECONDARY_ORDER_REF] = 8,
    [OUCH_TAG_FIRM] = 4,
    [OUCH_TAG_MIN_QUANTITY] = 4,
    [OUCH_TAG_CUSTOMER_TYPE] = 1,
    [OUCH_TAG_MAX_FLOOR] = 4,
    [OUCH_TAG_PRICE_TYPE] = 1,
    [OUCH_TAG_PEG_OFFSET] = 4,
    [OUCH_TAG_DISCRETION_PRICE] = 8,
    [OUCH_TAG_DISCRETION_PRICE_TYPE] = 1,
    [OUCH_TAG_DISCRETION_PEG_OFFSET] = 4,
    [OUCH_TAG_POST_ONLY] = 1,
    [OUCH_TAG_RANDOM_RESERVES] = 4,
    [OUCH_TAG_ROUTE] = 4,
    [OUCH_TAG_EXPIRE_TIME] = 4,
    [OUCH_TAG_TRADE_NOW] = 1,
    [OUCH_TAG_HANDLE_INST] = 1,
    [OUCH_TAG_BBO_WEIGHT] = 1,
    [OUCH_TAG_DISPLAY_QUANTITY] = 4,
    [OUCH_TAG_DISPLAY_PRICE] = 8,
    [OUCH_TAG_GROUP_ID] = 2,
    [OUCH_TAG_SHARES_LOCATED] = 1,
    [OUCH_TAG_LOCATE_BROKER] = 4,
    [OUCH_TAG_SIDE] = 1,
    [OUCH_TAG_USER_REF_INDEX] = 1,
    [OUCH_TAG_AIQ_STRATEGY] = 1,
    [OUCH_TAG_AIQ_GROUP] = 2,
};

// What a replacement keeps of the old order where the tag is absent, section 3. Of the other tags
// no order has anything that could be kept, or they are to be said each time.
static const uint8_t kept_options[256] = {
    [OUCH_TAG_MAX_FLOOR] = KEPT_MAX_FLOOR,
    [OUCH_TAG_PRICE_TYPE] = KEPT_PEG,
    [OUCH_TAG_PEG_OFFSET] = KEPT_PEG_OFFSET,
    [OUCH_TAG_POST_ONLY] = KEPT_POST_ONLY,
    [OUCH_TAG_RANDOM_RESERVES] = KEPT_RANDOM_RESERVE,
    [OUCH_TAG_EXPIRE_TIME] = KEPT_EXPIRE_SECONDS,
    [OUCH_TAG_TRADE_NOW] = KEPT_TRADE_NOW,
    [OUCH_TAG_AIQ_STRATEGY] = KEPT_SELF_MATCH,
};

static const char blank[4] = "    ";
static const char nothing[14];

// The first reason stands.
static void refuse(struct command *command, enum reject_reason reason)
{
    if (command->verdict == REJECT_NONE)
        command->verdict = (uint8_t)reason;
}

static void take_side(struct command *command, uint8_t letter)
{
    uint8_t code = side_codes[letter];
    if (code == 0)
        refuse(command, REJECT_INVALID_SIDE);
    else
        command->side = code - 1;
}

static void take_order_quantity(struct command *command, uint32_t quantity)
{
    command->order.quantity = quantity;
    if (quantity == 0 || quantity > QUANTITY_MAX)
        refuse(command, REJECT_INVALID_QUANTITY);
}

// A market order has three spellings, section 1.
static void take_price(struct command *command, uint64_t price)
{
    if (price == PRICE_MARKET || price == 0x77359400 || price == UINT64_MAX)
        command->order.price = PRICE_MARKET;
    else if (price == 0 || price > PRICE_MAX)
        refuse(command, REJECT_INVALID_PRICE);
    else
        command->order.price = (uint32_t)price;
}

static void take_time_in_force(struct command *command, uint8_t letter)
{
    uint8_t code = time_in_force_codes[letter];
    if (code != 0)
        command->order.attributes.time_in_force = code - 1;
    if (code != TIF_DAY + 1 && code != TIF_IOC + 1 && code != TIF_GTT + 1)
        refuse(command, REJECT_OTHER);
}

static void take_display(struct command *command, uint8_t letter)
{
    uint8_t code = display_codes[letter];
    if (code == 0)
        refuse(command, REJECT_INVALID_DISPLAY);
    else
        command->order.attributes.display = (code - 1) & 3;
}

static void take_capacity(struct command *command, uint8_t letter)
{
    uint8_t code = capacity_codes[letter];
    if (code == 0)
        refuse(command, REJECT_OTHER);
    else
        command->order.attributes.capacity = (code - 1) & 3;
}

static void take_sweep(struct command *command, uint8_t letter)
{
    if (letter == 'Y')
        command->order.attributes.sweep = 1;
    else if (letter != 'N')
        refuse(command, REJECT_OTHER);
}

static void take_cross(struct command *command, uint8_t letter)
{
    if (letter == CROSS_OPENING || letter == CROSS_CLOSING || letter == CROSS_HALT)
        command->order.cross = letter;
    else if (letter != 'N')
        refuse(command, REJECT_INVALID_CROSS);
}

// A firm is the session's or nobody's. A replacement inherits the order's, so it takes none.
static void take_firm(struct command *command, const void *firm, const char session_firm[4])
{
    if (memcmp(firm, blank, sizeof(blank)) == 0)
        return;
    if (memcmp(firm, session_firm, 4) != 0)
        refuse(command, REJECT_FIRM_NOT_AUTHORIZED);
    else if (command->type == COMMAND_ENTER)
        memcpy(command->order.firm, firm, 4);
    else if (command->type == COMMAND_MASS_CANCEL)
        memcpy(command->mass.firm, firm, 4);
    else if (command->type == COMMAND_ENTRY)
        memcpy(command->entry.firm, firm, 4);
}

static bool any_set(const uint8_t *value, size_t size)
{
    uint8_t bits = 0;
    for (size_t i = 0; i < size; i++)
        bits |= value[i];
    return bits != 0;
}

// Retail programmes have a reason of their own.
static enum reject_reason judge_handling(uint8_t letter)
{
    if (letter == 'O' || letter == 'T' || letter == 'Q' || letter == 'R')
        return REJECT_RETAIL_NOT_ALLOWED;
    return letter != ' ' ? REJECT_OTHER : REJECT_NONE;
}

static enum reject_reason judge_customer(uint8_t letter)
{
    if (letter == 'R')
        return REJECT_RETAIL_NOT_ALLOWED;
    return letter != 'N' && letter != ' ' ? REJECT_OTHER : REJECT_NONE;
}

// What an option of ENTER or REPLACE asks for that is not served is refused, never ignored.
static enum reject_reason judge_order_option(enum ouch_tag tag, const uint8_t *value, size_t size)
{
    switch (tag) {
    case OUCH_TAG_DISCRETION_PRICE_TYPE:
        return value[0] != 'L' ? REJECT_INVALID_PEG : REJECT_NONE;
    case OUCH_TAG_DISCRETION_PRICE:
    case OUCH_TAG_DISCRETION_PEG_OFFSET:
        return any_set(value, size) ? REJECT_PEGGING_NOT_ALLOWED : REJECT_NONE;
    case OUCH_TAG_CUSTOMER_TYPE:
        return judge_customer(value[0]);
    case OUCH_TAG_HANDLE_INST:
        return judge_handling(value[0]);
    case OUCH_TAG_ROUTE:
        return memcmp(value, blank, sizeof(blank)) != 0 ? REJECT_ROUTING_NOT_ALLOWED : REJECT_NONE;
    case OUCH_TAG_GROUP_ID:
        return any_set(value, size) ? REJECT_OTHER : REJECT_NONE;
    case OUCH_TAG_SHARES_LOCATED:
        return value[0] != 'Y' && value[0] != 'N' ? REJECT_OTHER : REJECT_NONE;
    case OUCH_TAG_AIQ_GROUP:
        return memcmp(value, "**", 2) != 0 ? REJECT_INVALID_SELF_MATCH : REJECT_NONE;
    default:
        return REJECT_NONE;
    }
}

static uint32_t number_of(const uint8_t value[4])
{
    be32 number;
    memcpy(&number, value, sizeof(number));
    return be32_load(number);
}

// Only of a new order: a replacement trades whatever it can.
static void take_min_quantity(struct command *command, uint32_t quantity)
{
    if (command->type == COMMAND_ENTER)
        command->order.min_quantity = quantity;
    else if (quantity != 0)
        refuse(command, REJECT_INVALID_MIN_QUANTITY);
}

// Section 3 has two letters for the midpoint and does not say how they differ.
static void take_price_type(struct command *command, uint8_t letter)
{
    if (letter == 'M' || letter == 'm')
        command->order.attributes.peg = PEG_MIDPOINT;
    else if (letter == 'R')
        command->order.attributes.peg = PEG_PRIMARY;
    else if (letter == 'P')
        command->order.attributes.peg = PEG_MARKET;
    else if (letter != 'L')
        refuse(command, REJECT_INVALID_PEG);
}

// As far as a command has room for.
static void take_peg_offset(struct command *command, int32_t offset)
{
    if (offset < INT16_MIN || offset > INT16_MAX)
        refuse(command, REJECT_PEGGING_NOT_ALLOWED);
    else
        command->order.peg_offset = (int16_t)offset;
}

// As many as a command has room for.
static void take_random_reserve(struct command *command, uint32_t shares)
{
    if (shares > UINT16_MAX)
        refuse(command, REJECT_INVALID_MAX_FLOOR);
    else
        command->order.random_reserve = (uint16_t)shares;
}

// One second too many stands for all that are.
static void take_expire_time(struct command *command, uint32_t seconds)
{
    command->order.expire_seconds =
        seconds <= EXPIRE_SECONDS_MAX ? seconds & 0x1FFFF : EXPIRE_SECONDS_MAX + 1;
}

static void take_trade_now(struct command *command, uint8_t letter)
{
    if (letter == 'Y')
        command->order.attributes.trade_now = 1;
    else if (letter != 'N' && letter != ' ')
        refuse(command, REJECT_OTHER);
}

static void take_post_only(struct command *command, uint8_t letter)
{
    if (letter == 'P')
        command->order.attributes.post_only = 1;
    else if (letter != 'N')
        refuse(command, REJECT_OTHER);
}

// Section 9, of the scope firm: there are no organisations or affiliates here. 'R' leaves it to the
// remover, which a resting order does anyway; '*' is the port's default, which is none.
static void take_self_match(struct command *command, uint8_t letter)
{
    if (letter == 'D' || letter == 'Y')
        command->order.attributes.self_match = SELF_MATCH_DECREMENT;
    else if (letter == 'O')
        command->order.attributes.self_match = SELF_MATCH_CANCEL_OLDEST;
    else if (letter == 'W')
        command->order.attributes.self_match = SELF_MATCH_CANCEL_NEWEST;
    else if (letter != 'N' && letter != '*' && letter != 'R')
        refuse(command, REJECT_INVALID_SELF_MATCH);
}

static void take_order_option(struct command *command, enum ouch_tag tag, const uint8_t *value,
                              size_t size, const char session_firm[4])
{
    if (command->type == COMMAND_REPLACE)
        command->order.kept &= ~(uint32_t)kept_options[tag];
    switch (tag) {
    case OUCH_TAG_FIRM:
        take_firm(command, value, session_firm);
        break;
    case OUCH_TAG_MIN_QUANTITY:
        take_min_quantity(command, number_of(value));
        break;
    case OUCH_TAG_MAX_FLOOR:
        command->order.max_floor = number_of(value);
        break;
    case OUCH_TAG_PRICE_TYPE:
        take_price_type(command, value[0]);
        break;
    case OUCH_TAG_PEG_OFFSET:
        take_peg_offset(command, (int32_t)number_of(value));
        break;
    case OUCH_TAG_POST_ONLY:
        take_post_only(command, value[0]);
        break;
    case OUCH_TAG_RANDOM_RESERVES:
        take_random_reserve(command, number_of(value));
        break;
    case OUCH_TAG_TRADE_NOW:
        take_trade_now(command, value[0]);
        break;
    case OUCH_TAG_EXPIRE_TIME:
        take_expire_time(command, number_of(value));
        break;
    case OUCH_TAG_SIDE:
        if (command->type == COMMAND_REPLACE) {
            command->order.kept |= SAID_SIDE;
            take_side(command, value[0]);
        }
        break;
    case OUCH_TAG_AIQ_STRATEGY:
        take_self_match(command, value[0]);
        break;
    default:
        refuse(command, judge_order_option(tag, value, size));
    }
}

static void take_mass_cancel_option(struct command *command, enum ouch_tag tag,
                                    const uint8_t *value, size_t size)
{
    if (tag == OUCH_TAG_GROUP_ID && any_set(value, size))
        refuse(command, REJECT_OTHER);
    if (tag != OUCH_TAG_SIDE)
        return;
    uint8_t code = side_codes[value[0]];
    if (code == 0)
        refuse(command, REJECT_INVALID_SIDE);
    else
        command->mass.side = code - 1;
}

static void take_element(struct command *command, enum ouch_tag tag, const uint8_t *value,
                         size_t size, const char session_firm[4])
{
    if (tag == OUCH_TAG_USER_REF_INDEX)
        command->user_ref_index = value[0];
    else if (command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE)
        take_order_option(command, tag, value, size, session_firm);
    else if (command->type == COMMAND_MASS_CANCEL)
        take_mass_cancel_option(command, tag, value, size);
}

static __attribute__((noinline)) enum ouch_fault take_elements(struct command *command,
                                                               const uint8_t *element, size_t size,
                                                               const char session_firm[4])
{
    uint64_t seen[4] = {0};
    while (size > 0) {
        size_t length = element[0]; // of the tag and the value
        if (length == 0)
            return OUCH_ELEMENT_EMPTY;
        if (length > size - 1)
            return OUCH_ELEMENT_OVERRUN;
        uint8_t tag = element[1];
        if (value_sizes[tag] != 0 && value_sizes[tag] != length - 1)
            return OUCH_ELEMENT_SIZE;
        uint64_t bit = 1ull << (tag & 63);
        if (seen[tag >> 6] & bit)
            return OUCH_TAG_REPEATED;
        seen[tag >> 6] |= bit;
        take_element(command, tag, element + 2, length - 1, session_firm);
        element += 1 + length;
        size -= 1 + length;
    }
    return OUCH_OK;
}

// `size` bytes follow the fixed part at `at`: the appendage length and the elements.
static inline enum ouch_fault take_appendage(struct command *command, const uint8_t *at,
                                             size_t size, const char session_firm[4])
{
    be16 length;
    if (size < sizeof(length))
        return OUCH_WRONG_LENGTH;
    memcpy(&length, at, sizeof(length));
    size -= sizeof(length);
    if (be16_load(length) != size)
        return OUCH_APPENDAGE_LENGTH;
    if (likely(size == 0))
        return OUCH_OK;
    return take_elements(command, at + sizeof(length), size, session_firm);
}

// CANCEL, MODIFY and QUERY may stop after their fixed part.
static enum ouch_fault take_optional_appendage(struct command *command, const uint8_t *at,
                                               size_t size, const char session_firm[4])
{
    return size == 0 ? OUCH_OK : take_appendage(command, at, size, session_firm);
}

static enum ouch_fault decode_enter(const uint8_t *message, size_t size,
                                    const struct symbols *symbols, const char session_firm[4],
                                    struct command *command)
{
    const struct ouch_enter *enter = (const struct ouch_enter *)message;
    if (size < sizeof(*enter))
        return OUCH_WRONG_LENGTH;
    command->type = COMMAND_ENTER;
    command->order.user_ref_num = be32_load(enter->user_ref_num);
    memcpy(command->order.client_order_id, enter->client_order_id, 14);
    take_side(command, enter->side);
    take_order_quantity(command, be32_load(enter->quantity));
    command->instrument = symbols_find(symbols, enter->symbol);
    if (command->instrument == NO_INSTRUMENT)
        refuse(command, REJECT_INVALID_SYMBOL);
    take_price(command, be64_load(enter->price));
    take_time_in_force(command, enter->time_in_force);
    take_display(command, enter->display);
    take_capacity(command, enter->capacity);
    take_sweep(command, enter->sweep);
    take_cross(command, enter->cross_type);
    size_t fixed = offsetof(struct ouch_enter, appendage_size);
    return take_appendage(command, message + fixed, size - fixed, session_firm);
}

static enum ouch_fault decode_replace(const uint8_t *message, size_t size,
                                      const char session_firm[4], struct command *command)
{
    const struct ouch_replace *replace = (const struct ouch_replace *)message;
    if (size < sizeof(*replace))
        return OUCH_WRONG_LENGTH;
    command->type = COMMAND_REPLACE;
    command->order.kept = KEPT_ALL;
    command->order.user_ref_num = be32_load(replace->user_ref_num);
    command->order.orig_user_ref_num = be32_load(replace->orig_user_ref_num);
    memcpy(command->order.client_order_id, replace->client_order_id, 14);
    take_order_quantity(command, be32_load(replace->quantity));
    take_price(command, be64_load(replace->price));
    take_time_in_force(command, replace->time_in_force);
    take_display(command, replace->display);
    take_sweep(command, replace->sweep);
    size_t fixed = offsetof(struct ouch_replace, appendage_size);
    return take_appendage(command, message + fixed, size - fixed, session_firm);
}

static enum ouch_fault decode_cancel(const uint8_t *message, size_t size,
                                     const char session_firm[4], struct command *command)
{
    const struct ouch_cancel *cancel = (const struct ouch_cancel *)message;
    if (size < sizeof(*cancel))
        return OUCH_WRONG_LENGTH;
    command->type = COMMAND_CANCEL;
    command->order.user_ref_num = be32_load(cancel->user_ref_num);
    command->order.quantity = be32_load(cancel->quantity);
    return take_optional_appendage(command, message + sizeof(*cancel), size - sizeof(*cancel),
                                   session_firm);
}

static enum ouch_fault decode_modify(const uint8_t *message, size_t size,
                                     const char session_firm[4], struct command *command)
{
    const struct ouch_modify *modify = (const struct ouch_modify *)message;
    if (size < sizeof(*modify))
        return OUCH_WRONG_LENGTH;
    command->type = COMMAND_MODIFY;
    command->order.user_ref_num = be32_load(modify->user_ref_num);
    command->order.quantity = be32_load(modify->quantity);
    take_side(command, modify->side);
    return take_optional_appendage(command, message + sizeof(*modify), size - sizeof(*modify),
                                   session_firm);
}

static enum ouch_fault decode_mass_cancel(const uint8_t *message, size_t size,
                                          const struct symbols *symbols, const char session_firm[4],
                                          struct command *command)
{
    static const char any_symbol[8] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    const struct ouch_mass_cancel *cancel = (const struct ouch_mass_cancel *)message;
    if (size < sizeof(*cancel))
        return OUCH_WRONG_LENGTH;
    command->type = COMMAND_MASS_CANCEL;
    command->mass.user_ref_num = be32_load(cancel->user_ref_num);
    command->mass.side = ANY_SIDE;
    command->mass.reason = 'U';
    take_firm(command, cancel->firm, session_firm);
    command->instrument = NO_INSTRUMENT;
    if (memcmp(cancel->symbol, any_symbol, sizeof(any_symbol)) != 0) {
        command->instrument = symbols_find(symbols, cancel->symbol);
        if (command->instrument == NO_INSTRUMENT)
            refuse(command, REJECT_INVALID_SYMBOL);
    }
    size_t fixed = offsetof(struct ouch_mass_cancel, appendage_size);
    return take_appendage(command, message + fixed, size - fixed, session_firm);
}

// Disable and Enable Order Entry.
static enum ouch_fault decode_entry(const uint8_t *message, size_t size, const char session_firm[4],
                                    struct command *command)
{
    const struct ouch_entry *entry = (const struct ouch_entry *)message;
    if (size < sizeof(*entry))
        return OUCH_WRONG_LENGTH;
    command->type = COMMAND_ENTRY;
    command->entry.user_ref_num = be32_load(entry->user_ref_num);
    command->entry.allowed = entry->type == OUCH_ENABLE;
    take_firm(command, entry->firm, session_firm);
    size_t fixed = offsetof(struct ouch_entry, appendage_size);
    return take_appendage(command, message + fixed, size - fixed, session_firm);
}

static enum ouch_fault decode_query(const uint8_t *message, size_t size, const char session_firm[4],
                                    struct command *command)
{
    command->type = COMMAND_QUERY;
    return take_optional_appendage(command, message + sizeof(struct ouch_query),
                                   size - sizeof(struct ouch_query), session_firm);
}

enum ouch_fault ouch_decode(const uint8_t *message, size_t size, const struct symbols *symbols,
                            const char session_firm[4], struct command *command)
{
    memset(command, 0, sizeof(*command));
    if (size == 0)
        return OUCH_WRONG_LENGTH;
    switch (message[0]) {
    case OUCH_ENTER:
        return decode_enter(message, size, symbols, session_firm, command);
    case OUCH_REPLACE:
        return decode_replace(message, size, session_firm, command);
    case OUCH_CANCEL:
        return decode_cancel(message, size, session_firm, command);
    case OUCH_MODIFY:
        return decode_modify(message, size, session_firm, command);
    case OUCH_MASS_CANCEL:
        return decode_mass_cancel(message, size, symbols, session_firm, command);
    case OUCH_DISABLE:
    case OUCH_ENABLE:
        return decode_entry(message, size, session_firm, command);
    case OUCH_QUERY:
        return decode_query(message, size, session_firm, command);
    default:
        return OUCH_UNKNOWN_TYPE;
    }
}

static uint8_t side_letter(const struct event *event)
{
    INVARIANT(event->side <= SIDE_SELL_SHORT_EXEMPT);
    return (uint8_t)side_letters[event->side];
}

static bool names_firm(const struct event *event)
{
    return memcmp(event->firm, nothing, sizeof(event->firm)) != 0;
}

static size_t encode_system_event(const struct event *event, uint8_t *out)
{
    struct ouch_system_event *system = (struct ouch_system_event *)out;
    system->type = OUCH_SYSTEM_EVENT;
    system->time_ns = be64_of(event->time_ns);
    system->code = event->code;
    return sizeof(*system);
}

static size_t encode_accepted(const struct event *event, const struct symbols *symbols,
                              uint8_t *out)
{
    struct order_attributes attributes = event->order.attributes;
    struct ouch_accepted *accepted = (struct ouch_accepted *)out;
    accepted->type = OUCH_ACCEPTED;
    accepted->time_ns = be64_of(event->time_ns);
    accepted->user_ref_num = be32_of(event->user_ref_num);
    accepted->side = side_letter(event);
    accepted->quantity = be32_of(event->quantity);
    accepted->price = be64_of(event->price);
    accepted->time_in_force = time_in_force_letters[attributes.time_in_force];
    accepted->display = display_letters[attributes.display];
    accepted->order_ref = be64_of(event->seq);
    accepted->capacity = capacity_letters[attributes.capacity];
    accepted->sweep = attributes.sweep ? 'Y' : 'N';
    accepted->cross_type = event->code == CROSS_NONE ? 'N' : event->code;
    accepted->order_state = 'L';
    memcpy(accepted->symbol, symbols_name(symbols, event->instrument), 8);
    memcpy(accepted->client_order_id, event->order.client_order_id, 14);
    return offsetof(struct ouch_accepted, appendage_size);
}

static size_t encode_replaced(const struct event *event, const struct symbols *symbols,
                              uint8_t *out)
{
    struct order_attributes attributes = event->order.attributes;
    struct ouch_replaced *replaced = (struct ouch_replaced *)out;
    replaced->type = OUCH_REPLACED;
    replaced->time_ns = be64_of(event->time_ns);
    replaced->orig_user_ref_num = be32_of(event->orig_user_ref_num);
    replaced->user_ref_num = be32_of(event->user_ref_num);
    replaced->side = side_letter(event);
    replaced->quantity = be32_of(event->quantity);
    replaced->price = be64_of(event->price);
    replaced->time_in_force = time_in_force_letters[attributes.time_in_force];
    replaced->display = display_letters[attributes.display];
    replaced->order_ref = be64_of(event->seq);
    replaced->capacity = capacity_letters[attributes.capacity];
    replaced->sweep = attributes.sweep ? 'Y' : 'N';
    replaced->cross_type = event->code == CROSS_NONE ? 'N' : event->code;
    replaced->order_state = 'L';
    memcpy(replaced->symbol, symbols_name(symbols, event->instrument), 8);
    memcpy(replaced->client_order_id, event->order.client_order_id, 14);
    return offsetof(struct ouch_replaced, appendage_size);
}

static size_t encode_canceled(const struct event *event, uint8_t *out)
{
    struct ouch_canceled *canceled = (struct ouch_canceled *)out;
    canceled->type = OUCH_CANCELED;
    canceled->time_ns = be64_of(event->time_ns);
    canceled->user_ref_num = be32_of(event->user_ref_num);
    canceled->quantity = be32_of(event->quantity);
    canceled->reason = event->code;
    return sizeof(*canceled);
}

// No letter of the specification is cancel both; it cannot be asked for over the wire.
static uint8_t self_match_letter(uint64_t self_match)
{
    static const uint8_t letters[] = {[SELF_MATCH_ALLOWED] = 'N',
                                      [SELF_MATCH_CANCEL_NEWEST] = 'W',
                                      [SELF_MATCH_CANCEL_OLDEST] = 'O',
                                      [SELF_MATCH_CANCEL_BOTH] = '*',
                                      [SELF_MATCH_DECREMENT] = 'D'};
    INVARIANT(self_match <= SELF_MATCH_DECREMENT);
    return letters[self_match];
}

static size_t encode_aiq_canceled(const struct event *event, uint8_t *out)
{
    struct ouch_aiq_canceled *canceled = (struct ouch_aiq_canceled *)out;
    canceled->type = OUCH_AIQ_CANCELED;
    canceled->time_ns = be64_of(event->time_ns);
    canceled->user_ref_num = be32_of(event->user_ref_num);
    canceled->decrement = be32_of(event->quantity);
    canceled->reason = 'Q';
    canceled->prevented = be32_of(event->prevented);
    canceled->price = be64_of(event->price);
    canceled->liquidity_flag = event->code;
    canceled->strategy = self_match_letter(event->trade.match_number);
    return sizeof(*canceled);
}

static size_t encode_executed(const struct event *event, uint8_t *out)
{
    struct ouch_executed *executed = (struct ouch_executed *)out;
    executed->type = OUCH_EXECUTED;
    executed->time_ns = be64_of(event->time_ns);
    executed->user_ref_num = be32_of(event->user_ref_num);
    executed->quantity = be32_of(event->quantity);
    executed->price = be64_of(event->price);
    executed->liquidity_flag = event->code;
    executed->match_number = be64_of(event->trade.match_number);
    return offsetof(struct ouch_executed, appendage_size);
}

static size_t encode_rejected(const struct event *event, uint8_t *out)
{
    struct ouch_rejected *rejected = (struct ouch_rejected *)out;
    rejected->type = OUCH_REJECTED;
    rejected->time_ns = be64_of(event->time_ns);
    rejected->user_ref_num = be32_of(event->user_ref_num);
    rejected->reason = be16_of(event->code);
    memcpy(rejected->client_order_id, event->order.client_order_id, 14);
    if (memcmp(event->order.client_order_id, nothing, 14) == 0)
        memset(rejected->client_order_id, ' ', 14); // a mass cancel's
    return sizeof(*rejected);
}

static size_t encode_cancel_answer(const struct event *event, uint8_t *out)
{
    struct ouch_cancel_answer *answer = (struct ouch_cancel_answer *)out;
    bool pending = event->type == EVENT_CANCEL_PENDING;
    answer->type = pending ? OUCH_CANCEL_PENDING : OUCH_CANCEL_REJECT;
    answer->time_ns = be64_of(event->time_ns);
    answer->user_ref_num = be32_of(event->user_ref_num);
    return sizeof(*answer);
}

static size_t encode_modified(const struct event *event, uint8_t *out)
{
    struct ouch_modified *modified = (struct ouch_modified *)out;
    modified->type = OUCH_MODIFIED;
    modified->time_ns = be64_of(event->time_ns);
    modified->user_ref_num = be32_of(event->user_ref_num);
    modified->side = side_letter(event);
    modified->quantity = be32_of(event->quantity);
    return sizeof(*modified);
}

static size_t encode_restated(const struct event *event, uint8_t *out)
{
    struct ouch_restated *restated = (struct ouch_restated *)out;
    restated->type = OUCH_RESTATED;
    restated->time_ns = be64_of(event->time_ns);
    restated->user_ref_num = be32_of(event->user_ref_num);
    restated->reason = event->code;
    return offsetof(struct ouch_restated, appendage_size);
}

static size_t encode_mass_canceled(const struct event *event, const struct symbols *symbols,
                                   uint8_t *out)
{
    struct ouch_mass_canceled *canceled = (struct ouch_mass_canceled *)out;
    canceled->type = OUCH_MASS_CANCELED;
    canceled->time_ns = be64_of(event->time_ns);
    canceled->user_ref_num = be32_of(event->user_ref_num);
    memcpy(canceled->firm, names_firm(event) ? event->firm : blank, sizeof(canceled->firm));
    memcpy(canceled->symbol, symbols_name(symbols, event->instrument), sizeof(canceled->symbol));
    return offsetof(struct ouch_mass_canceled, appendage_size);
}

static size_t encode_entry_response(const struct event *event, uint8_t *out)
{
    struct ouch_entry_response *response = (struct ouch_entry_response *)out;
    response->type = event->type == EVENT_ENTRY_ENABLED ? OUCH_ENABLED : OUCH_DISABLED;
    response->time_ns = be64_of(event->time_ns);
    response->user_ref_num = be32_of(event->user_ref_num);
    memcpy(response->firm, names_firm(event) ? event->firm : blank, sizeof(response->firm));
    return offsetof(struct ouch_entry_response, appendage_size);
}

static size_t encode_query_response(const struct event *event, uint8_t *out)
{
    struct ouch_query_response *response = (struct ouch_query_response *)out;
    response->type = OUCH_QUERY_RESPONSE;
    response->time_ns = be64_of(event->time_ns);
    response->next_user_ref_num = be32_of(event->user_ref_num);
    return sizeof(*response);
}

static uint8_t *put_element(uint8_t *at, enum ouch_tag tag, const void *value, uint8_t size)
{
    *at++ = 1 + size;
    *at++ = (uint8_t)tag;
    memcpy(at, value, size);
    return at + size;
}

// What Accepted and Replaced echo of an order's options.
static uint8_t *put_order_options(uint8_t *at, const struct event *event)
{
    struct order_attributes attributes = event->order.attributes;
    if (event->type == EVENT_ACCEPTED && names_firm(event))
        at = put_element(at, OUCH_TAG_FIRM, event->firm, 4);
    if (attributes.peg != PEG_NONE)
        at = put_element(at, OUCH_TAG_PRICE_TYPE, &peg_letters[attributes.peg], 1);
    if (attributes.post_only)
        at = put_element(at, OUCH_TAG_POST_ONLY, "P", 1);
    uint8_t letter = self_match_letter(attributes.self_match);
    if (attributes.trade_now)
        at = put_element(at, OUCH_TAG_TRADE_NOW, "Y", 1);
    if (attributes.self_match != SELF_MATCH_ALLOWED)
        at = put_element(at, OUCH_TAG_AIQ_STRATEGY, &letter, 1);
    return at;
}

static uint8_t *put_slice(uint8_t *at, const struct event *event)
{
    be32 quantity = be32_of(event->quantity);
    be64 order_ref = be64_of(event->trade.order_ref);
    at = put_element(at, OUCH_TAG_DISPLAY_QUANTITY, &quantity, sizeof(quantity));
    return put_element(at, OUCH_TAG_SECONDARY_ORDER_REF, &order_ref, sizeof(order_ref));
}

static uint8_t *put_options(uint8_t *at, const struct event *event)
{
    switch (event->type) {
    case EVENT_ACCEPTED:
    case EVENT_REPLACED:
        return put_order_options(at, event);
    case EVENT_RESTATED:
        return put_slice(at, event);
    case EVENT_MASS_CANCELED:
        if (event->side == ANY_SIDE)
            return at;
        INVARIANT(event->side <= SIDE_SELL_SHORT_EXEMPT);
        return put_element(at, OUCH_TAG_SIDE, &side_letters[event->side], 1);
    default:
        return at;
    }
}

// Writes the appendage behind the `fixed` bytes of a message and returns the size of both.
static size_t put_appendage(uint8_t *out, size_t fixed, const struct event *event)
{
    uint8_t *next = put_options(out + fixed + sizeof(be16), event);
    if (event->user_ref_index != 0)
        next = put_element(next, OUCH_TAG_USER_REF_INDEX, &event->user_ref_index, 1);
    size_t size = (size_t)(next - out);
    be16 length = be16_of((uint16_t)(size - fixed - sizeof(be16)));
    memcpy(out + fixed, &length, sizeof(length));
    return size;
}

// On these messages the appendage, its length included, is there only to name a channel (section
// 3).
static size_t put_if_indexed(uint8_t *out, size_t fixed, const struct event *event)
{
    return event->user_ref_index == 0 ? fixed : put_appendage(out, fixed, event);
}

size_t ouch_encode(const struct event *event, const struct symbols *symbols, uint8_t *out)
{
    switch (event->type) {
    case EVENT_SYSTEM:
        return encode_system_event(event, out);
    case EVENT_ACCEPTED:
        return put_appendage(out, encode_accepted(event, symbols, out), event);
    case EVENT_REPLACED:
        return put_appendage(out, encode_replaced(event, symbols, out), event);
    case EVENT_CANCELED:
        return put_if_indexed(out, encode_canceled(event, out), event);
    case EVENT_PREVENTED:
        return put_if_indexed(out, encode_aiq_canceled(event, out), event);
    case EVENT_EXECUTED:
        return put_appendage(out, encode_executed(event, out), event);
    case EVENT_REJECTED:
        return put_if_indexed(out, encode_rejected(event, out), event);
    case EVENT_CANCEL_REJECTED:
    case EVENT_CANCEL_PENDING:
        return put_if_indexed(out, encode_cancel_answer(event, out), event);
    case EVENT_MODIFIED:
        return put_if_indexed(out, encode_modified(event, out), event);
    case EVENT_RESTATED:
        return put_appendage(out, encode_restated(event, out), event);
    case EVENT_MASS_CANCELED:
        return put_appendage(out, encode_mass_canceled(event, symbols, out), event);
    case EVENT_ENTRY_DISABLED:
    case EVENT_ENTRY_ENABLED:
        return put_appendage(out, encode_entry_response(event, out), event);
    case EVENT_QUERY_RESPONSE:
        return put_if_indexed(out, encode_query_response(event, out), event);
    default:
        INVARIANT(!"an event of a session");
        return 0;
    }
}

static uint8_t *put_number(uint8_t *at, enum ouch_tag tag, uint32_t number)
{
    be32 value = be32_of(number);
    return number == 0 ? at : put_element(at, tag, &value, sizeof(value));
}

// Section 5 has fewer of them on Replaced.
size_t ouch_add_options(const struct event *event, const struct order_options *options,
                        uint8_t *out, size_t size)
{
    bool accepted = event->type == EVENT_ACCEPTED;
    if (!accepted && event->type != EVENT_REPLACED)
        return size;
    uint8_t *next = put_number(out + size, OUCH_TAG_MIN_QUANTITY, options->min_quantity);
    next = put_number(next, OUCH_TAG_MAX_FLOOR, options->max_floor);
    next = put_number(next, OUCH_TAG_EXPIRE_TIME, options->expire_seconds);
    if (accepted) {
        next = put_number(next, OUCH_TAG_RANDOM_RESERVES, options->random_reserve);
        next = put_number(next, OUCH_TAG_PEG_OFFSET, (uint32_t)(int32_t)options->peg_offset);
    }
    size_t fixed = accepted ? offsetof(struct ouch_accepted, appendage_size)
                            : offsetof(struct ouch_replaced, appendage_size);
    be16 length = be16_of((uint16_t)((size_t)(next - out) - fixed - sizeof(be16)));
    memcpy(out + fixed, &length, sizeof(length));
    return (size_t)(next - out);
}
