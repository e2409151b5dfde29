// SPDX-License-Identifier: MIT
//
// Limits by name, their shares, and those that the port looks at: one short, at it, one beyond.
#include <criterion/criterion.h>

#include "dataplane/limits.h"
#include "tests/unit/random.h"

static struct command order(uint32_t quantity, uint32_t price)
{
    return (struct command){
        .type = COMMAND_ENTER, .side = SIDE_BUY, .order = {.quantity = quantity, .price = price}};
}

static enum reject_reason verdict(enum limit_kind kind, uint64_t value, struct command command)
{
    struct precheck precheck = {0};
    precheck_set(&precheck, (uint8_t)kind, value);
    return precheck_verdict(&precheck, &command);
}

Test(limits, names_and_kinds_are_the_same_list)
{
    const struct limit_name *limit;
    uint32_t count = 0;
    for (; (limit = limit_at(count)); count++) {
        cr_assert_eq(limit_by_name(limit->name), limit);
        cr_assert_eq(limit_by_kind(limit->kind), limit);
        cr_assert_eq(limit_of_member(limit), limit->kind < LIMIT_MEMBER_END);
    }
    cr_assert_eq(count, LIMIT_MEMBER_END - LIMIT_QUANTITY + LIMIT_INSTRUMENT_END - LIMIT_TICK);
    cr_assert_null(limit_by_name("nothing"));
    cr_assert_null(limit_by_kind(0));
}

Test(limits, the_shares_of_all_shards_are_the_value)
{
    struct random random = {20261121};
    const struct limit_name *gross = limit_by_name("gross"), *position = limit_by_name("position");
    const struct limit_name *rate = limit_by_name("order_rate");
    for (uint32_t round = 0; round < 10000; round++) {
        uint32_t shards = 1 + random_below(&random, 64);
        uint64_t value = shards + (random_bits(&random) >> (1 + random_below(&random, 60))),
                 sum = 0;
        value = value < INT64_MAX ? value : INT64_MAX;
        for (uint32_t shard = 0; shard < shards; shard++) {
            uint64_t share = limit_share(gross, value, shard, shards);
            cr_assert_gt(share, 0, "0 would be no limit");
            cr_assert_eq(limit_share(rate, value, shard, shards), share);
            sum += share;
            cr_assert_eq(limit_share(position, value, shard, shards), value);
        }
        cr_assert_eq(sum, value);
        cr_assert_eq(limit_total(gross, value, shards), shards > 1 ? value : 0);
        cr_assert_eq(limit_total(rate, value, shards), 0, "a rate's share does not move");
    }
}

Test(limits, a_share_of_what_is_held_may_be_nothing)
{
    const struct limit_name *gross = limit_by_name("gross");
    cr_assert_eq(limit_share(gross, 2, 1, 3), 1);
    cr_assert_eq(limit_share(gross, 2, 2, 3), LIMIT_NOTHING);
    cr_assert_eq(limit_share(gross, 0, 2, 3), 0, "no limit");
}

static const char *parsed(const char *name, const char *text, uint32_t shards, uint64_t expected)
{
    uint64_t value;
    const char *problem = limit_parse(limit_by_name(name), text, shards, &value);
    cr_assert(problem || value == expected, "%s %s: %zu", name, text, (size_t)value);
    return problem;
}

Test(limits, values_as_they_are_written)
{
    cr_assert_null(parsed("gross", "1500.25", 1, 15002500));
    cr_assert_null(parsed("gross", "0.0001", 1, 1));
    cr_assert_null(parsed("gross", "7", 1, 70000));
    cr_assert_null(parsed("gross", "90000000000000", 1, 900000000000000000));
    cr_assert_null(parsed("gross", "0", 4, 0));
    cr_assert_null(parsed("gross", "0.0003", 4, 3));
    cr_assert_null(parsed("order_rate", "4", 4, 4));
    cr_assert_not_null(parsed("order_rate", "3", 4, 3), "no share for one of the shards");
    cr_assert_null(parsed("quantity", "999999", 1, 999999));
    cr_assert_not_null(parsed("no_short", "2", 1, 2));
    static const char *const bad[] = {"",
                                      ".",
                                      "1.",
                                      ".5",
                                      "1.00001",
                                      "-1",
                                      "1e3",
                                      "1.2.3",
                                      " 1",
                                      "99999999999999999999",
                                      "9223372036854775807"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not_null(parsed("gross", bad[i], 1, 0), "%s", bad[i]);
    cr_assert_not_null(parsed("quantity", "1.5", 1, 0));
    cr_assert_not_null(parsed("quantity", "99999999999999999999", 1, 0));
}

Test(limits, a_price_as_it_is_written)
{
    uint32_t price = 7;
    cr_assert_null(price_parse("50.25", &price));
    cr_assert_eq(price, 502500);
    cr_assert_null(price_parse("0.0001", &price));
    cr_assert_eq(price, 1);
    cr_assert_null(price_parse("199999.99", &price));
    cr_assert_eq(price, PRICE_MAX);
    const char *const wrong[] = {"",   "0",           "0.00001", "-1",
                                 "1.", "199999.9901", "1e3",     "429496.7297"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect(price_parse(wrong[i], &price), "%s", wrong[i]);
}

Test(limits, quantity)
{
    cr_assert_eq(verdict(LIMIT_QUANTITY, 100, order(99, 1)), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_QUANTITY, 100, order(100, 1)), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_QUANTITY, 100, order(101, 1)), REJECT_RISK_QUANTITY);
    cr_assert_eq(verdict(LIMIT_QUANTITY, 100, order(UINT32_MAX, 1)), REJECT_RISK_QUANTITY);
    cr_assert_eq(verdict(LIMIT_QUANTITY, 0, order(QUANTITY_MAX, 1)), REJECT_NONE);
}

Test(limits, notional)
{
    cr_assert_eq(verdict(LIMIT_NOTIONAL, 5000, order(100, 49)), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NOTIONAL, 5000, order(100, 50)), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NOTIONAL, 4999, order(100, 50)), REJECT_RISK_NOTIONAL);
    cr_assert_eq(verdict(LIMIT_NOTIONAL, 5000, order(100, PRICE_MARKET)), REJECT_NONE,
                 "which the book looks at");
    cr_assert_eq(verdict(LIMIT_NOTIONAL, UINT64_MAX, order(UINT32_MAX, UINT32_MAX)), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NOTIONAL, (uint64_t)UINT32_MAX * UINT32_MAX - 1,
                         order(UINT32_MAX, UINT32_MAX)),
                 REJECT_RISK_NOTIONAL);
}

Test(limits, kinds_of_orders)
{
    struct command market = order(100, PRICE_MARKET), sweep = order(100, 50);
    struct command limited = order(100, PRICE_MARKET - 1), shorted = order(100, 50);
    sweep.order.attributes.sweep = 1;
    shorted.side = SIDE_SELL_SHORT;
    struct command exempt = shorted, sold = shorted;
    exempt.side = SIDE_SELL_SHORT_EXEMPT;
    sold.side = SIDE_SELL;
    cr_assert_eq(verdict(LIMIT_NO_MARKET, 1, market), REJECT_RISK_MARKET_ORDER);
    cr_assert_eq(verdict(LIMIT_NO_MARKET, 1, limited), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NO_MARKET, 0, market), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NO_SWEEP, 1, sweep), REJECT_RISK_SWEEP);
    cr_assert_eq(verdict(LIMIT_NO_SWEEP, 1, shorted), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NO_SHORT, 1, shorted), REJECT_RISK_SHORT);
    cr_assert_eq(verdict(LIMIT_NO_SHORT, 1, exempt), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NO_SHORT, 1, sold), REJECT_NONE);
    cr_assert_eq(verdict(LIMIT_NO_EXEMPT, 1, exempt), REJECT_RISK_SHORT_EXEMPT);
    cr_assert_eq(verdict(LIMIT_NO_EXEMPT, 1, shorted), REJECT_NONE);
    struct command replace = shorted;
    replace.type = COMMAND_REPLACE;
    cr_assert_eq(verdict(LIMIT_NO_SHORT, 1, replace), REJECT_NONE);
}

Test(limits, limits_of_the_book_are_not_the_ports)
{
    struct precheck precheck = {0}, nothing = {0};
    for (uint8_t kind = LIMIT_OPEN_ORDERS; kind < LIMIT_INSTRUMENT_END; kind++)
        precheck_set(&precheck, kind, 1);
    cr_assert_eq(memcmp(&precheck, &nothing, sizeof(nothing)), 0);
}

// What the port's checks say, limit by limit and slowly.
static bool stands_against(enum limit_kind kind, uint64_t value, const struct command *command)
{
    bool market = command->order.price == PRICE_MARKET, enters = command->type == COMMAND_ENTER;
    __extension__ unsigned __int128 worth = 0;
    for (uint32_t bit = 0; bit < 32; bit++)
        if (command->order.quantity >> bit & 1)
            worth += (unsigned __int128)command->order.price << bit;
    switch (kind) {
    case LIMIT_QUANTITY:
        return value > 0 && command->order.quantity > value;
    case LIMIT_NOTIONAL:
        return value > 0 && !market && worth > value;
    case LIMIT_NO_MARKET:
        return value == 1 && market;
    case LIMIT_NO_SWEEP:
        return value == 1 && command->order.attributes.sweep == 1;
    case LIMIT_NO_SHORT:
        return value == 1 && enters && command->side == SIDE_SELL_SHORT;
    case LIMIT_NO_EXEMPT:
        return value == 1 && enters && command->side == SIDE_SELL_SHORT_EXEMPT;
    default:
        return false;
    }
}

// Near the limit, or anywhere.
static uint64_t around(struct random *random, uint64_t value)
{
    uint64_t near = value + random_below(random, 3) - 1;
    return random_percent(random, 70) ? near : random_bits(random) >> random_below(random, 64);
}

Test(limits, the_ports_checks_agree_with_an_oracle_on_random_orders)
{
    static const struct {
        enum limit_kind kind;
        enum reject_reason reason;
    } checks[] = {
        {LIMIT_NO_SHORT, REJECT_RISK_SHORT},         {LIMIT_NO_EXEMPT, REJECT_RISK_SHORT_EXEMPT},
        {LIMIT_NO_MARKET, REJECT_RISK_MARKET_ORDER}, {LIMIT_NO_SWEEP, REJECT_RISK_SWEEP},
        {LIMIT_QUANTITY, REJECT_RISK_QUANTITY},      {LIMIT_NOTIONAL, REJECT_RISK_NOTIONAL}};
    struct random random = {20261122};
    uint32_t reached[LIMIT_OPEN_ORDERS] = {0};
    for (uint32_t round = 0; round < 100000; round++) {
        uint64_t values[LIMIT_OPEN_ORDERS] = {0};
        struct precheck precheck = {0};
        struct command command = {.type =
                                      random_percent(&random, 80) ? COMMAND_ENTER : COMMAND_REPLACE,
                                  .side = (uint8_t)random_below(&random, 4)};
        for (size_t i = 0; i < 6; i++) {
            bool onoff = limit_by_kind((uint8_t)checks[i].kind)->onoff;
            uint64_t any = random_bits(&random) >> random_below(&random, 64);
            values[checks[i].kind] = onoff ? random_percent(&random, 20) : any;
            if (random_percent(&random, 30))
                values[checks[i].kind] = 0;
            precheck_set(&precheck, (uint8_t)checks[i].kind, values[checks[i].kind]);
        }
        command.order.attributes.sweep = random_percent(&random, 20);
        command.order.quantity = (uint32_t)around(&random, values[LIMIT_QUANTITY]);
        command.order.price = (uint32_t)around(
            &random, values[LIMIT_NOTIONAL] / (command.order.quantity + !command.order.quantity));
        if (random_percent(&random, 10))
            command.order.price = PRICE_MARKET;
        enum reject_reason expected = REJECT_NONE;
        for (size_t i = 6; i-- > 0;)
            if (stands_against(checks[i].kind, values[checks[i].kind], &command))
                expected = checks[i].reason;
        cr_assert_eq(precheck_verdict(&precheck, &command), expected, "round %u", round);
        for (size_t i = 0; i < 6; i++)
            reached[checks[i].kind] += expected == checks[i].reason;
    }
    for (size_t i = 0; i < 6; i++)
        cr_assert_gt(reached[checks[i].kind], 1000, "kind %u: %u", checks[i].kind,
                     reached[checks[i].kind]);
}
