// SPDX-License-Identifier: MIT
//
// What only few orders have to be looked at for.
#include "book/checks.h"

static bool display_valid(const struct command *command)
{
    struct order_attributes attributes = command->order.attributes;
    return attributes.display <= DISPLAY_ATTRIBUTABLE &&
           (attributes.peg == PEG_NONE || attributes.display == DISPLAY_HIDDEN);
}

static bool time_in_force_valid(const struct command *command)
{
    uint32_t seconds = command->order.expire_seconds;
    switch (command->order.attributes.time_in_force) {
    case TIF_DAY:
    case TIF_IOC:
        return seconds == 0;
    case TIF_GTT:
        return seconds > 0 && seconds <= EXPIRE_SECONDS_MAX;
    default:
        return false;
    }
}

static bool min_quantity_valid(const struct command *command)
{
    return command->order.min_quantity == 0 || command->type == COMMAND_REPLACE ||
           (command->order.attributes.time_in_force == TIF_IOC &&
            command->order.min_quantity <= command->order.quantity);
}

static bool max_floor_valid(const struct command *command)
{
    struct order_attributes attributes = command->order.attributes;
    return command->order.max_floor == 0 ||
           (attributes.time_in_force != TIF_IOC && command->order.price != PRICE_MARKET &&
            attributes.display != DISPLAY_HIDDEN);
}

// A slice has a share at least.
static bool random_reserve_valid(const struct command *command)
{
    return command->order.random_reserve == 0 ||
           command->order.random_reserve < command->order.max_floor;
}

// Post-only contradicts an order that can only take, and one whose price moves.
static bool post_only_valid(const struct command *command)
{
    struct order_attributes attributes = command->order.attributes;
    return !attributes.post_only ||
           (attributes.time_in_force != TIF_IOC && command->order.price != PRICE_MARKET &&
            attributes.peg == PEG_NONE);
}

static bool peg_offset_valid(const struct command *command)
{
    return command->order.peg_offset == 0 || follows(command->order.attributes);
}

// An order for a cross only has nothing but a price.
static bool cross_terms_valid(const struct command *command, uint8_t cross)
{
    struct order_attributes attributes = command->order.attributes;
    bool at_least = command->type == COMMAND_ENTER && command->order.min_quantity != 0;
    return cross == CROSS_NONE ||
           (!at_least && command->order.max_floor == 0 && attributes.peg == PEG_NONE &&
            !attributes.post_only && attributes.time_in_force != TIF_GTT);
}

// What is wrong with a price, a quantity and what belongs to them.
static enum reject_reason terms_check(const struct command *command)
{
    if (!quantity_valid(command->order.quantity))
        return REJECT_INVALID_QUANTITY;
    if (!price_valid(command->order.price) ||
        (command->order.attributes.peg != PEG_NONE && command->order.price == PRICE_MARKET))
        return REJECT_INVALID_PRICE;
    if (!display_valid(command))
        return REJECT_INVALID_DISPLAY;
    if (!time_in_force_valid(command))
        return REJECT_OTHER;
    if (command->order.attributes.self_match > SELF_MATCH_DECREMENT)
        return REJECT_INVALID_SELF_MATCH;
    if (!min_quantity_valid(command))
        return REJECT_INVALID_MIN_QUANTITY;
    if (!max_floor_valid(command) || !random_reserve_valid(command))
        return REJECT_INVALID_MAX_FLOOR;
    if (!post_only_valid(command))
        return REJECT_OTHER;
    if (!peg_offset_valid(command))
        return REJECT_PEGGING_NOT_ALLOWED;
    return REJECT_NONE;
}

// Whether there is room for another peg, where `command` is one.
static bool peg_room(const struct book *book, const struct command *command, uint16_t instrument)
{
    return !follows(command->order.attributes) ||
           book->instruments[instrument].peg_count < BOOK_PEGS_MAX;
}

enum reject_reason special_check(const struct book *book, const struct command *command)
{
    enum reject_reason reason = terms_check(command);
    if (reason != REJECT_NONE)
        return reason;
    if (price_of(book, command, command->instrument, command->side) == 0)
        return REJECT_QUOTE_UNAVAILABLE;
    return peg_room(book, command, command->instrument) ? REJECT_NONE : REJECT_PROCESSING_ERROR;
}

// A sale short at or below the displayed bid, where these are restricted. At the midpoint it is
// above; what follows another price counts with its limit.
static bool short_sale_refused(const struct instrument *listing, struct order_attributes attributes,
                               uint32_t price, uint8_t side)
{
    return listing->short_sale != 0 && side == SIDE_SELL_SHORT &&
           listing->best[SIDE_BUY] != RANK_NONE && attributes.peg != PEG_MIDPOINT &&
           (price == PRICE_MARKET || price <= rank_of(SIDE_BUY, listing->best[SIDE_BUY]));
}

// What stands against an order that comes late for its cross: it must not be more aggressive than
// what was known before.
static enum reject_reason late_check(const struct instrument *listing,
                                     const struct command *command)
{
    if (command->order.price == PRICE_MARKET)
        return REJECT_INVALID_CROSS;
    if (listing->late_price == 0)
        return REJECT_NO_REFERENCE;
    bool buys = command->side == SIDE_BUY;
    return (buys && command->order.price > listing->late_price) ||
                   (!buys && command->order.price < listing->late_price)
               ? REJECT_LATE_TOO_AGGRESSIVE
               : REJECT_NONE;
}

// Whether an order for that cross only can be entered now.
static bool cross_open(const struct instrument *listing, uint8_t cross)
{
    switch (cross) {
    case CROSS_NONE:
    case CROSS_CLOSING:
        return true;
    case CROSS_OPENING:
        return listing->phase == PHASE_PREOPEN;
    case CROSS_HALT:
        return collects(listing) && listing->phase != PHASE_PREOPEN;
    default:
        return false;
    }
}

static refusal_t bar_check(const struct book *book, const struct command *command,
                           const struct order *old)
{
    uint16_t instrument = old ? old->instrument : command->instrument;
    const char *firm = old ? firm_of(book, old) : command->order.firm;
    if ((firm[0] | firm[1] | firm[2] | firm[3]) == 0)
        firm = book->sessions[command->session].firm;
    return entry_refusal(book, command->session, instrument, firm);
}

refusal_t state_check(const struct book *book, const struct command *command,
                      const struct order *old)
{
    refusal_t refusal = REJECT_NONE;
    const struct instrument *listing =
        &book->instruments[old ? old->instrument : command->instrument];
    if (book->sessions[command->session].restricted)
        refusal = bar_check(book, command, old);
    if (refusal != REJECT_NONE)
        return refusal;
    if (listing->phase == PHASE_HALTED)
        return REJECT_HALTED;
    if (listing->phase == PHASE_CLOSED)
        return REJECT_DESTINATION_CLOSED;
    if (short_sale_refused(listing, command->order.attributes, command->order.price,
                           old ? side_after(command, old) : command->side))
        return REJECT_SHORT_SELL_RESTRICTED;
    return REJECT_NONE;
}

enum reject_reason extra_check(const struct book *book, const struct command *command)
{
    uint8_t cross = command->order.cross;
    const struct instrument *listing = &book->instruments[command->instrument];
    if (!cross_terms_valid(command, cross) || !cross_open(listing, cross))
        return REJECT_INVALID_CROSS;
    enum reject_reason reason =
        cross_is_late(listing, cross) ? late_check(listing, command) : REJECT_NONE;
    if (reason != REJECT_NONE)
        return reason;
    return extra_available(book) ? REJECT_NONE : REJECT_PROCESSING_ERROR;
}

// A port's verdict that is a restriction or a want of room, and no fault in the details.
static bool of_port(uint8_t verdict)
{
    return verdict == REJECT_PROCESSING_ERROR ||
           (verdict >= REJECT_RISK_EXPOSURE && verdict <= REJECT_RISK_QUANTITY);
}

bool side_change_allowed(uint8_t from, uint8_t to)
{
    return from == to || (from == SIDE_SELL && to == SIDE_SELL_SHORT_EXEMPT) ||
           (from == SIDE_SELL && to == SIDE_SELL_SHORT) ||
           (from == SIDE_SELL_SHORT_EXEMPT && to == SIDE_SELL_SHORT);
}

bool replace_valid(const struct book *book, const struct command *command, const struct order *old)
{
    return (command->verdict == REJECT_NONE || of_port(command->verdict)) &&
           terms_check(command) == REJECT_NONE && command->order.quantity > old->executed &&
           cross_terms_valid(command, order_cross(book, old)) &&
           side_change_allowed(old->side, side_after(command, old));
}

bool replace_room(const struct book *book, const struct command *command, const struct order *old)
{
    return (follows(old->attributes) || peg_room(book, command, old->instrument)) &&
           (old->extra != NONE || !extra_needed(book, command, firm_of(book, old)) ||
            extra_available(book));
}

bool may_turn(const struct book *book, const struct order *order, uint8_t side)
{
    const struct instrument *listing = &book->instruments[order->instrument];
    return short_check(book, order->session, side) == REJECT_NONE &&
           !short_sale_refused(listing, order->attributes, counted_price(book, order), side);
}
