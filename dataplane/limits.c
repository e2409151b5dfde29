// SPDX-License-Identifier: MIT
#include "dataplane/limits.h"

#include <string.h>

static const struct limit_name names[] = {
    {"quantity", LIMIT_QUANTITY, false, false, false},
    {"notional", LIMIT_NOTIONAL, false, false, true},
    {"no_market", LIMIT_NO_MARKET, false, true, false},
    {"no_sweep", LIMIT_NO_SWEEP, false, true, false},
    {"no_short", LIMIT_NO_SHORT, false, true, false},
    {"no_exempt", LIMIT_NO_EXEMPT, false, true, false},
    {"open_orders", LIMIT_OPEN_ORDERS, true, false, false},
    {"gross", LIMIT_GROSS, true, false, true},
    {"net", LIMIT_NET, true, false, true},
    {"credit", LIMIT_CREDIT, true, false, true},
    {"position", LIMIT_POSITION, false, false, false}, // an instrument is on one shard
    {"duplicates", LIMIT_DUPLICATES, false, false, false},
    {"order_rate", LIMIT_ORDER_RATE, true, false, false},
    {"cancel_rate", LIMIT_CANCEL_RATE, true, false, false},
    {"executions", LIMIT_EXECUTIONS, true, false, false},
    {"orders_per_trade", LIMIT_ORDERS_PER_TRADE, false, false, false},
    {"symbol_orders", LIMIT_SYMBOL_ORDERS, false, false, false}, // as above
    {"tick", LIMIT_TICK, false, false, true},
    {"lot", LIMIT_LOT, false, false, false},
    {"collar", LIMIT_COLLAR, false, false, false},
    {"fat_finger", LIMIT_FAT_FINGER, false, false, false},
};

#define COUNT (sizeof(names) / sizeof(names[0]))

const struct limit_name *limit_at(uint32_t place)
{
    return place < COUNT ? &names[place] : NULL;
}

const struct limit_name *limit_by_name(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

const struct limit_name *limit_by_kind(uint8_t kind)
{
    for (size_t i = 0; i < COUNT; i++)
        if (names[i].kind == kind)
            return &names[i];
    return NULL;
}

bool limit_of_member(const struct limit_name *limit)
{
    return limit->kind < LIMIT_MEMBER_END;
}

static const char *check(const struct limit_name *limit, uint64_t value, uint32_t shard_count)
{
    if (limit->onoff && value > 1)
        return "is 0 or 1";
    if (limit->split && !limit_held(limit->kind) && value > 0 && value < shard_count)
        return "is too small for each shard to have a share; 0 is no limit";
    return NULL;
}

// Digits up to `end`, as many as fit 63 bits with four more behind them; false when there is more,
// or anything else.
static bool read_digits(const char *text, const char *end, uint64_t *number)
{
    for (; text < end; text++) {
        if (*text < '0' || *text > '9' || *number > INT64_MAX / 10 - 1)
            return false;
        *number = *number * 10 + (uint64_t)(*text - '0');
    }
    return true;
}

// In 0.0001.
static bool read_amount(const char *text, uint64_t *value)
{
    const char *end = text + strlen(text), *point = strchr(text, '.');
    const char *whole_end = point ? point : end;
    size_t decimals = point ? (size_t)(end - point) - 1 : 0;
    bool good = whole_end > text && (!point || (decimals >= 1 && decimals <= 4)) &&
                read_digits(text, whole_end, value) &&
                (!point || read_digits(point + 1, end, value));
    for (size_t i = decimals; good && i < 4; i++)
        good = read_digits("0", &"0"[1], value);
    return good;
}

const char *limit_parse(const struct limit_name *limit, const char *text, uint32_t shard_count,
                        uint64_t *value)
{
    *value = 0;
    if (limit->money && !read_amount(text, value))
        return "must be an amount like 1500.25, of 4 decimals at most";
    if (!limit->money && !(*text && read_digits(text, text + strlen(text), value)))
        return "must be a whole number";
    return check(limit, *value, shard_count);
}

const char *price_parse(const char *text, uint32_t *price)
{
    uint64_t value = 0;
    if (!read_amount(text, &value) || value == 0 || value > PRICE_MAX)
        return "must be a price like 50.25, 0.0001 to 199999.99";
    *price = (uint32_t)value;
    return NULL;
}

uint64_t limit_share(const struct limit_name *limit, uint64_t value, uint32_t shard,
                     uint32_t shard_count)
{
    if (!limit->split)
        return value;
    uint64_t share = value / shard_count + (shard < value % shard_count);
    return share == 0 && value != 0 ? LIMIT_NOTHING : share;
}

uint64_t limit_total(const struct limit_name *limit, uint64_t value, uint32_t shard_count)
{
    return limit_held(limit->kind) && shard_count > 1 ? value : 0;
}

void precheck_set(struct precheck *precheck, uint8_t kind, uint64_t value)
{
    switch (kind) {
    case LIMIT_QUANTITY:
        precheck->quantity = value;
        break;
    case LIMIT_NOTIONAL:
        precheck->notional = value;
        break;
    case LIMIT_NO_MARKET:
        precheck->no_market = value != 0;
        break;
    case LIMIT_NO_SWEEP:
        precheck->no_sweep = value != 0;
        break;
    case LIMIT_NO_SHORT:
        precheck->no_short = value != 0;
        break;
    case LIMIT_NO_EXEMPT:
        precheck->no_exempt = value != 0;
        break;
    }
}

// Another kind of sale, by a replacement or a modification, is the book's to look at
// (change_check).
enum reject_reason precheck_verdict(const struct precheck *precheck, const struct command *command)
{
    bool enters = command->type == COMMAND_ENTER, market = command->order.price == PRICE_MARKET;
    uint64_t value = (uint64_t)command->order.price * command->order.quantity; // below 2^63
    if (precheck->no_short && enters && command->side == SIDE_SELL_SHORT)
        return REJECT_RISK_SHORT;
    if (precheck->no_exempt && enters && command->side == SIDE_SELL_SHORT_EXEMPT)
        return REJECT_RISK_SHORT_EXEMPT;
    if (precheck->no_market && market)
        return REJECT_RISK_MARKET_ORDER;
    if (precheck->no_sweep && command->order.attributes.sweep)
        return REJECT_RISK_SWEEP;
    if (precheck->quantity != 0 && command->order.quantity > precheck->quantity)
        return REJECT_RISK_QUANTITY;
    if (precheck->notional != 0 && !market && value > precheck->notional)
        return REJECT_RISK_NOTIONAL;
    return REJECT_NONE;
}
