// SPDX-License-Identifier: MIT
//
// What an order is held against before it trades. What nearly every order passes is here, inline;
// what few need is in checks.c, out of their way.
#ifndef SLUICE_BOOK_CHECKS_H
#define SLUICE_BOOK_CHECKS_H

#include "book/trade.h"

static inline bool price_valid(uint32_t price)
{
    return price - 1 < PRICE_MAX || price == PRICE_MARKET;
}

static inline bool quantity_valid(uint32_t quantity)
{
    return quantity - 1 < QUANTITY_MAX;
}

// What only an order that is not plain can have against it: its terms, and a peg's price.
enum reject_reason special_check(const struct book *book, const struct command *command);
// Of what `restriction` looks at, what is no limit: bars, phases, sales short. `old`: as there.
refusal_t state_check(const struct book *book, const struct command *command,
                      const struct order *old);
// What stands against an order that needs an extra.
enum reject_reason extra_check(const struct book *book, const struct command *command);
// Whether an order of a side may become one of another: kinds of sale (OUCH 5.0 section 6).
bool side_change_allowed(uint8_t from, uint8_t to);
// Whether a resting order may: what is entered with that side is not refused for it.
bool may_turn(const struct book *book, const struct order *order, uint8_t side);
// Whether there is room for what a REPLACE makes of an order.
bool replace_room(const struct book *book, const struct command *command, const struct order *old);
// Whether the details of a REPLACE are valid (OUCH 5.0 section 6).
bool replace_valid(const struct book *book, const struct command *command, const struct order *old);

// The side of the order that a REPLACE makes of another.
static inline uint8_t side_after(const struct command *command, const struct order *old)
{
    return command->order.kept & SAID_SIDE ? command->side : old->side;
}

// Whether an order needs an extra, `firm` being what it names.
static inline bool extra_needed(const struct book *book, const struct command *command,
                                const char firm[4])
{
    uint32_t named, own;
    memcpy(&named, firm, sizeof(named));
    memcpy(&own, book->sessions[command->session].firm, sizeof(own));
    return (command->order.max_floor | command->order.expire_seconds | command->order.cross) != 0 ||
           follows(command->order.attributes) || (named != 0 && named != own);
}

// An order without any condition, of which only price and quantity can be wrong: nearly all are.
static inline bool only(struct order_attributes attributes, struct order_attributes allowed)
{
    uint16_t its, may;
    memcpy(&its, &attributes, sizeof(its));
    memcpy(&may, &allowed, sizeof(may));
    return (its & ~may) == 0;
}

static inline bool plain_day(struct order_attributes attributes)
{
    return only(attributes, (struct order_attributes){.display = DISPLAY_ATTRIBUTABLE,
                                                      .capacity = 3,
                                                      .sweep = 1,
                                                      .trade_now = 1,
                                                      .auction = 1});
}

static inline bool plain(const struct command *command)
{
    return only(command->order.attributes,
                (struct order_attributes){.time_in_force = TIF_IOC,
                                          .display = DISPLAY_ATTRIBUTABLE,
                                          .capacity = 3,
                                          .sweep = 1,
                                          .trade_now = 1,
                                          .auction = 1}) &&
           (command->order.min_quantity | command->order.max_floor | command->order.expire_seconds |
            command->order.random_reserve | (uint16_t)command->order.peg_offset) == 0;
}

// The price that an order of `side` comes in at, or 0: a peg that has nothing to follow.
static inline uint32_t price_of(const struct book *book, const struct command *command,
                                uint16_t instrument, uint8_t side)
{
    if (likely(!follows(command->order.attributes)))
        return command->order.price;
    return peg_price(book, instrument, book_side(side), command->order.attributes.peg,
                     command->order.peg_offset, command->order.price);
}

// Something may stand against an order.
static inline bool restricted(const struct book *book, uint16_t session, uint16_t instrument)
{
    const struct session *entering = &book->sessions[session];
    return book->instruments[instrument].minded | entering->restricted | entering->watched;
}

// What stands against an order where `restricted`: bars, phases, sales short, limits. `old`: the
// order to be replaced, or NULL.
static inline refusal_t restriction(struct book *book, const struct command *command,
                                    const struct order *old)
{
    const struct instrument *listing =
        &book->instruments[old ? old->instrument : command->instrument];
    if (unlikely(book->sessions[command->session].restricted | listing->short_sale |
                 (listing->phase != PHASE_TRADING))) {
        refusal_t refusal = state_check(book, command, old);
        if (refusal != REJECT_NONE)
            return refusal;
    }
    return risk_check(book, command, old);
}

static inline refusal_t enter_check(struct book *book, const struct command *command,
                                    bool has_extra)
{
    if (command->verdict != REJECT_NONE)
        return command->verdict;
    if (book->state != BOOK_TRADING)
        return REJECT_DESTINATION_CLOSED;
    if (command->instrument >= book->instrument_count)
        return REJECT_INVALID_SYMBOL;
    if (command->side > SIDE_SELL_SHORT_EXEMPT)
        return REJECT_INVALID_SIDE;
    if (unlikely(!plain(command) || !quantity_valid(command->order.quantity) ||
                 !price_valid(command->order.price))) {
        enum reject_reason reason = special_check(book, command);
        if (reason != REJECT_NONE)
            return reason;
    }
    if (unlikely(restricted(book, command->session, command->instrument))) {
        refusal_t refusal = restriction(book, command, NULL);
        if (refusal != REJECT_NONE)
            return refusal;
    }
    if (book->order_slots.count == book->limits.orders_max)
        return REJECT_PROCESSING_ERROR;
    if (unlikely(has_extra))
        return extra_check(book, command);
    return REJECT_NONE;
}

#endif
