// SPDX-License-Identifier: MIT
//
// Limits: what members may do, what is counted for it, and how orders are held against it.
// docs/rules.md has each.
#include "book/events.h"
#include "book/trade.h"

#define FREE_ORDERS    1000u  // ORDERS_PER_TRADE
#define FULL_MEASURE   10000u // COLLAR and FAT_FINGER are in 1/100 %

// Kinds from here on need an account; so does NOTIONAL, for the sake of market orders.
#define FIRST_STATEFUL LIMIT_OPEN_ORDERS

// --- Accounts

static struct member *member_of(const struct book *book, const struct order *order)
{
    return book->sessions[order->session].member;
}

void account_remove(struct book *book, const struct order *order, uint32_t shares)
{
    struct member *member = member_of(book, order);
    enum side side = book_side(order->side);
    member->open_value[side] -= value_of(counted_price(book, order), shares);
    member->positions[order->instrument].open[side] -= shares;
}

void account_close(struct book *book, const struct order *order)
{
    struct member *member = member_of(book, order);
    uint32_t left = order->open + order_reserve(book, order);
    member->open_orders--;
    member->positions[order->instrument].open_orders--;
    if (left > 0)
        account_remove(book, order, left);
}

void account_trade(struct book *book, const struct order *order, uint32_t shares, uint32_t price)
{
    struct member *member = member_of(book, order);
    struct position *position = &member->positions[order->instrument];
    enum side side = book_side(order->side);
    uint64_t open = value_of(counted_price(book, order), shares), traded = value_of(price, shares);
    member->open_value[side] -= open;
    member->traded_value[side] += traded;
    room_less(member, traded > open ? traded - open : 0);
    position->open[side] -= shares;
    position->traded += side == SIDE_BUY ? (int64_t)shares : -(int64_t)shares;
    member->executions++;
    if (member->limits[LIMIT_EXECUTIONS] != 0 &&
        !token_taken(member, LIMIT_EXECUTIONS, &member->execution_bucket, book->last_time_ns))
        bar_firm(book, member->firm);
}

void watch(struct book *book, uint16_t index)
{
    struct member *member = &book->members[index];
    if (member->watched)
        return;
    member->watched = book->watching = true;
    for (uint16_t i = 0; i < book->session_count; i++)
        book->sessions[i].watched |= book->sessions[i].member == member;
    for (uint32_t i = 1; i < book->order_slots.fresh; i++) {
        const struct order *order = &book->orders[i];
        if (order->open == 0 || book->sessions[order->session].member != member)
            continue;
        member->positions[order->instrument].known = true;
        member->positions[order->instrument].open_orders++;
        account_add(book, order, order->open + order_reserve(book, order));
        member->open_orders++;
    }
}

uint32_t members_max(const struct book_limits *limits)
{
    return limits->sessions_max < BOOK_MEMBERS_MAX ? limits->sessions_max : BOOK_MEMBERS_MAX;
}

bool member_join(struct book *book, struct session *session)
{
    uint16_t index = 0;
    while (index < book->member_count &&
           memcmp(book->members[index].firm, session->firm, sizeof(session->firm)) != 0)
        index++;
    if (index == book->member_count) {
        if (index == members_max(&book->limits))
            return false;
        book->member_count++;
        memcpy(book->members[index].firm, session->firm, sizeof(session->firm));
        book->members[index].positions =
            &book->positions[(size_t)index * book->limits.instruments_max];
    }
    session->member = &book->members[index];
    session->watched = session->member->watched;
    return true;
}

// --- Limits

static const uint8_t reasons[LIMIT_INSTRUMENT_END] = {
    [LIMIT_QUANTITY] = REJECT_RISK_QUANTITY,      [LIMIT_NOTIONAL] = REJECT_RISK_NOTIONAL,
    [LIMIT_NO_MARKET] = REJECT_RISK_MARKET_ORDER, [LIMIT_NO_SWEEP] = REJECT_RISK_SWEEP,
    [LIMIT_NO_SHORT] = REJECT_RISK_SHORT,         [LIMIT_NO_EXEMPT] = REJECT_RISK_SHORT_EXEMPT,
    [LIMIT_OPEN_ORDERS] = REJECT_OTHER,           [LIMIT_GROSS] = REJECT_RISK_EXPOSURE,
    [LIMIT_NET] = REJECT_RISK_EXPOSURE,           [LIMIT_CREDIT] = REJECT_MAX_NOTIONAL,
    [LIMIT_POSITION] = REJECT_SHARES_EXCEED,      [LIMIT_DUPLICATES] = REJECT_RISK_DUPLICATE,
    [LIMIT_ORDER_RATE] = REJECT_RISK_RATE,        [LIMIT_ORDERS_PER_TRADE] = REJECT_OTHER,
    [LIMIT_SYMBOL_ORDERS] = REJECT_OTHER,         [LIMIT_TICK] = REJECT_INVALID_PRICE,
    [LIMIT_LOT] = REJECT_INVALID_QUANTITY,        [LIMIT_COLLAR] = REJECT_RISK_FAT_FINGER,
    [LIMIT_FAT_FINGER] = REJECT_FAT_FINGER,
};

// For what breaks a limit.
static inline refusal_t broken(enum limit_kind kind)
{
    return refusal_of(reasons[kind], kind);
}

uint8_t limit_of_verdict(uint8_t verdict)
{
    for (uint8_t kind = LIMIT_QUANTITY; kind < LIMIT_OPEN_ORDERS; kind++)
        if (reasons[kind] == verdict)
            return kind;
    return 0;
}

static bool of_member(uint8_t kind)
{
    return kind >= LIMIT_QUANTITY && kind < LIMIT_MEMBER_END;
}

static bool of_instrument(uint8_t kind)
{
    return kind >= LIMIT_TICK && kind < LIMIT_INSTRUMENT_END;
}

static uint64_t *total_of(struct member *member, uint8_t kind)
{
    return &member->totals[kind - LIMIT_OPEN_ORDERS];
}

bool limit_member(struct book *book, uint16_t index, uint8_t kind, uint64_t value, uint64_t total)
{
    if (index >= book->member_count || !of_member(kind))
        return false;
    struct member *member = &book->members[index];
    member->limits[kind] = value;
    member->room = member->orders_room = 0;
    if (limit_held(kind))
        *total_of(member, kind) = value != 0 ? total : 0;
    member->intervals[kind] = interval_of(value);
    if ((kind >= FIRST_STATEFUL || kind == LIMIT_NOTIONAL) && value != 0)
        watch(book, index);
    return true;
}

// For `multiple`: 2^64 / `of`, rounded up, in 64 bits. Of what is no 32-bit number only 0 is a
// multiple; 0 is no limit.
static uint64_t inverse_of(uint64_t of)
{
    if (of > UINT32_MAX)
        return 1;
    return of == 0 ? 0 : UINT64_MAX / of + 1;
}

struct range {
    uint32_t lowest, highest;
};

// The prices at most so far from one that is known, in 1/100 %.
static struct range range_of(uint32_t from, uint64_t share)
{
    uint64_t product, distance;
    if (from == 0 || share == 0)
        return (struct range){0, UINT32_MAX};
    distance = __builtin_mul_overflow(from, share, &product) ? UINT32_MAX : product / FULL_MEASURE;
    return (struct range){distance < from ? from - (uint32_t)distance : 0,
                          distance < UINT32_MAX - from ? from + (uint32_t)distance : UINT32_MAX};
}

void hold_prices(struct instrument *listing)
{
    const uint64_t *limits = listing->limits;
    struct range collar = range_of(listing->reference, limits[LIMIT_COLLAR - LIMIT_TICK]);
    struct range finger = range_of(listing->last_price, limits[LIMIT_FAT_FINGER - LIMIT_TICK]);
    listing->lowest = collar.lowest > finger.lowest ? collar.lowest : finger.lowest;
    listing->highest = collar.highest < finger.highest ? collar.highest : finger.highest;
}

bool limit_instrument(struct book *book, uint16_t index, uint8_t kind, uint64_t value)
{
    if (index >= book->instrument_count || !of_instrument(kind))
        return false;
    struct instrument *listing = &book->instruments[index];
    listing->limits[kind - LIMIT_TICK] = value;
    listing->tick_inverse = inverse_of(listing->limits[0]);
    listing->lot_inverse = inverse_of(listing->limits[LIMIT_LOT - LIMIT_TICK]);
    listing->guarded = false;
    for (uint32_t i = 0; i < LIMIT_INSTRUMENT_END - LIMIT_TICK; i++)
        listing->guarded |= listing->limits[i] != 0;
    mind(listing);
    if (kind == LIMIT_FAT_FINGER || !listing->guarded)
        listing->last_price = 0;
    hold_prices(listing);
    return true;
}

// --- Shares: what this shard has of a limit that several have together

static uint64_t share_of(uint64_t limit)
{
    return limit == LIMIT_NOTHING ? 0 : limit;
}

static uint64_t limit_of(uint64_t share)
{
    return share == 0 ? LIMIT_NOTHING : share;
}

static uint64_t saturated(value_t value)
{
    return value < UINT64_MAX ? (uint64_t)value : UINT64_MAX;
}

static value_t committed(const struct member *member, enum side side)
{
    return member->traded_value[side] + member->open_value[side];
}

// What stands against a share: of NET and CREDIT a side's, which may exceed the share by what the
// other has traded.
static value_t held(const struct member *member, uint8_t kind, enum side side)
{
    if (kind == LIMIT_OPEN_ORDERS)
        return member->open_orders;
    if (kind == LIMIT_GROSS)
        return committed(member, SIDE_BUY) + committed(member, SIDE_SELL);
    return committed(member, side);
}

static value_t most(const struct member *member, uint8_t kind, enum side side)
{
    bool netted = kind == LIMIT_NET || kind == LIMIT_CREDIT;
    return (value_t)share_of(member->limits[kind]) +
           (netted ? member->traded_value[opposite_of(side)] : 0);
}

static uint64_t used_by(const struct member *member, uint8_t kind, enum side side)
{
    value_t value = held(member, kind, side) + share_of(member->limits[kind]);
    value_t others = most(member, kind, side);
    return value > others ? saturated(value - others) : 0;
}

static uint64_t used_of(const struct member *member, uint8_t kind)
{
    uint64_t bought = used_by(member, kind, SIDE_BUY), sold = used_by(member, kind, SIDE_SELL);
    return kind == LIMIT_NET && sold > bought ? sold : bought;
}

void book_tell_shares(struct book *book, book_told_fn *told, void *context)
{
    book->told = told;
    book->told_context = context;
}

static void tell(const struct book *book, const struct member *member, uint8_t type, uint8_t kind,
                 uint64_t amount)
{
    struct book_share share = {.seq = book->seq,
                               .type = type,
                               .kind = kind,
                               .share = share_of(member->limits[kind]),
                               .used = used_of(member, kind),
                               .amount = amount};
    memcpy(share.firm, member->firm, sizeof(share.firm));
    if (book->told)
        book->told(book->told_context, &share);
}

// Nothing that is used: what all shards use together stays below what they have.
static uint64_t yield(struct member *member, uint8_t kind, uint64_t asked)
{
    uint64_t share = share_of(member->limits[kind]), used = used_of(member, kind);
    uint64_t unused = share > used ? share - used : 0;
    uint64_t given = asked > unused / 2 ? asked : unused / 2;
    if (given > unused)
        given = unused;
    if (member->limits[kind] != 0)
        member->limits[kind] = limit_of(share - given);
    member->room = 0;
    return given;
}

static void raise_share(struct member *member, uint8_t kind, uint64_t added)
{
    value_t share = (value_t)share_of(member->limits[kind]) + added;
    if (member->limits[kind] != 0)
        member->limits[kind] =
            limit_of(share < LIMIT_NOTHING ? (uint64_t)share : LIMIT_NOTHING - 1);
}

static void apply_to_member(struct book *book, uint16_t index, const struct command *command)
{
    struct member *member = &book->members[index];
    uint8_t kind = command->side;
    uint64_t given = 0;
    if (command->type == COMMAND_LIMIT)
        limit_member(book, index, kind, command->limit.value, command->limit.total);
    if (!limit_held(kind))
        return;
    if (command->type == COMMAND_YIELD) {
        watch(book, index); // also of one that has no limit yet, and gets one next
        given = yield(member, kind, command->limit.value);
    }
    if (command->type == COMMAND_RAISE)
        raise_share(member, kind, command->limit.value);
    tell(book, member, command->type, kind, given);
}

void apply_limit(struct book *book, const struct command *command)
{
    if (command->verdict != REJECT_NONE || command->type > COMMAND_RAISE)
        return;
    if (command->type == COMMAND_LIMIT && of_instrument(command->side)) {
        limit_instrument(book, command->instrument, command->side, command->limit.value);
        return;
    }
    for (uint16_t index = 0; index < book->member_count; index++)
        if (memcmp(book->members[index].firm, command->limit.firm, 4) == 0)
            apply_to_member(book, index, command);
}

uint64_t book_limit_total(const struct book *book, uint16_t index, uint8_t kind)
{
    if (!limit_held(kind) || index >= book->session_count)
        return 0;
    return *total_of(book->sessions[index].member, kind);
}

uint64_t book_limit(const struct book *book, uint16_t index, uint8_t kind)
{
    if (of_member(kind) && index < book->session_count)
        return book->sessions[index].member->limits[kind];
    if (of_instrument(kind) && index < book->instrument_count)
        return book->instruments[index].limits[kind - LIMIT_TICK];
    return 0;
}

void book_find_account(const struct book *book, uint16_t session, struct book_account *account)
{
    *account = (struct book_account){0};
    if (session >= book->session_count)
        return;
    const struct member *member = book->sessions[session].member;
    account->kept = member->watched;
    account->open_orders = member->open_orders;
    for (enum side side = SIDE_BUY; side <= SIDE_SELL; side++) {
        account->open_value[side] = saturated(member->open_value[side]);
        account->traded_value[side] = saturated(member->traded_value[side]);
    }
}

// --- Checks

// What the command wants: an order, in place of `old` or of none.
struct wanted {
    const struct command *command;
    const struct order *old;
    uint16_t instrument;
    enum side side;
    uint32_t shares;
    uint64_t value; // at which it may trade at once or come to rest, at most
};

static const char *firm_wanted(const struct book *book, struct wanted wanted)
{
    static const char none[4];
    const struct command *command = wanted.command;
    if (wanted.old)
        return firm_of(book, wanted.old);
    return memcmp(command->order.firm, none, 4) != 0 ? command->order.firm
                                                     : book->sessions[command->session].firm;
}

// Buys what a resting sale gives of what is still wanted.
static void buy_of(const struct book *book, struct wanted wanted, uint32_t index, uint32_t *left,
                   uint64_t *cost)
{
    const struct order *order = &book->orders[index];
    uint64_t open = (uint64_t)order->open + order_reserve(book, order);
    if (wanted.command->order.attributes.self_match != SELF_MATCH_ALLOWED &&
        memcmp(firm_of(book, order), firm_wanted(book, wanted), 4) == 0)
        return; // it may go without a trade, and the next one is met
    uint32_t bought = open < *left ? (uint32_t)open : *left;
    *cost += (uint64_t)bought * order->price;
    *left -= bought;
}

// What a market purchase costs at most: displayed sales, best first, then hidden ones, then for
// what is left the best displayed price, as midpoint orders have a better one. In truth hidden ones
// and these come earlier where they are better, which only makes it less.
static __attribute__((noinline)) uint64_t cost_of(const struct book *book,
                                                  const struct instrument *listing,
                                                  struct wanted wanted)
{
    uint32_t left = wanted.shares, best = listing->best[SIDE_SELL];
    uint64_t cost = 0;
    for (uint32_t price = best; price != RANK_NONE && left > 0;
         price = rank_after(book, listing, SIDE_SELL, price))
        for (uint32_t at = level_at(book, listing, SIDE_SELL, price)->head; at != NONE && left > 0;
             at = book->orders[at].next)
            buy_of(book, wanted, at, &left, &cost);
    for (uint32_t index = listing->hidden[SIDE_SELL].best; index != NONE && left > 0;
         index = tree_after(book, index))
        for (uint32_t at = book->far_levels[index].level.head; at != NONE && left > 0;
             at = book->orders[at].next)
            buy_of(book, wanted, at, &left, &cost);
    return best == RANK_NONE ? 0 : cost + (uint64_t)left * best;
}

// The best price that a sale could have at once, 0 when nothing is there to meet it.
static __attribute__((noinline)) uint32_t special_bid(const struct book *book,
                                                      const struct instrument *listing)
{
    struct taker taker = {.listing = (struct instrument *)listing,
                          .opposite = SIDE_BUY,
                          .limit = RANK_ANY,
                          .midpoint = midpoint_of(book, listing),
                          .special = true};
    struct maker maker = special_maker(book, &taker);
    return maker.index == NONE ? 0 : maker.price;
}

// A sale's limit says what it has at least: what it meets at once may pay more.
static inline uint64_t value_wanted(const struct book *book, const struct instrument *listing,
                                    struct wanted wanted)
{
    uint32_t price = wanted.command->order.price, bid = 0;
    if (wanted.side == SIDE_BUY)
        return likely(price != PRICE_MARKET) ? (uint64_t)price * wanted.shares
                                             : cost_of(book, listing, wanted);
    if (unlikely(listing->special_count != 0))
        bid = special_bid(book, listing);
    else if (listing->best[SIDE_BUY] != RANK_NONE)
        bid = rank_of(SIDE_BUY, listing->best[SIDE_BUY]);
    return (uint64_t)(price == PRICE_MARKET || bid > price ? bid : price) * wanted.shares;
}

// A multiple of a tick or a lot, by its inverse (Lemire, Kaser and Kurz 2019): exact.
static inline bool multiple(uint32_t number, uint64_t inverse)
{
    return number * inverse <= inverse - 1;
}

static inline __attribute__((always_inline)) refusal_t instrument_check(
    const struct instrument *listing, struct wanted wanted)
{
    uint32_t price = wanted.command->order.price;
    if (!multiple(wanted.command->order.quantity, listing->lot_inverse))
        return broken(LIMIT_LOT);
    if (price == PRICE_MARKET)
        return REJECT_NONE;
    if (!multiple(price, listing->tick_inverse))
        return broken(LIMIT_TICK);
    if (likely(price >= listing->lowest && price <= listing->highest))
        return REJECT_NONE;
    struct range collar = range_of(listing->reference, listing->limits[LIMIT_COLLAR - LIMIT_TICK]);
    return price < collar.lowest || price > collar.highest ? broken(LIMIT_COLLAR)
                                                           : broken(LIMIT_FAT_FINGER);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t left_of(const struct member *member, uint8_t kind, enum side side)
{
    value_t value = held(member, kind, side), may = most(member, kind, side);
    if (member->limits[kind] == 0)
        return UINT64_MAX;
    return value < may ? saturated(may - value) : 0;
}

static __attribute__((noinline)) void tell_lacking(const struct book *book, struct member *member,
                                                   uint8_t kind, uint64_t missing)
{
    if (*total_of(member, kind) != 0)
        tell(book, member, COMMAND_ENTER, kind, missing);
}

// Whether so much more is above the member's share of a limit; whoever can move shares is told.
static inline bool beyond(const struct book *book, struct member *member, uint8_t kind,
                          enum side side, uint64_t added)
{
    value_t value = held(member, kind, side) + added, may = most(member, kind, side);
    if (likely(member->limits[kind] == 0 || value <= may))
        return false;
    tell_lacking(book, member, kind, saturated(value - may));
    return true;
}

static inline bool too_many_open(const struct book *book, struct member *member)
{
    uint64_t limit = member->limits[LIMIT_OPEN_ORDERS], share = share_of(limit);
    if (likely(limit == 0 || member->open_orders < share))
        return false;
    tell_lacking(book, member, LIMIT_OPEN_ORDERS, member->open_orders + 1 - share);
    return true;
}

// An order adds so much value.
static __attribute__((noinline)) refusal_t value_check(const struct book *book,
                                                       struct member *member, enum side side,
                                                       uint64_t added)
{
    if (beyond(book, member, LIMIT_GROSS, side, added))
        return broken(LIMIT_GROSS);
    if (beyond(book, member, LIMIT_NET, side, added))
        return broken(LIMIT_NET);
    if (side == SIDE_BUY && beyond(book, member, LIMIT_CREDIT, side, added))
        return broken(LIMIT_CREDIT);
    uint64_t net =
        least(left_of(member, LIMIT_NET, SIDE_BUY), left_of(member, LIMIT_NET, SIDE_SELL));
    uint64_t credit = left_of(member, LIMIT_CREDIT, SIDE_BUY);
    member->room = least(left_of(member, LIMIT_GROSS, side), least(net, credit));
    return REJECT_NONE;
}

// Limits of what may come of the order together with what there is. What adds nothing to it, a
// replacement for less, is not refused.
static inline __attribute__((always_inline)) refusal_t exposure_check(
    const struct book *book, struct member *member, const struct position *position,
    struct wanted wanted)
{
    const struct order *old = wanted.old;
    enum side side = wanted.side;
    uint32_t old_shares = old ? old->open + order_reserve(book, old) : 0;
    uint64_t old_value = old ? value_of(counted_price(book, old), old_shares) : 0;
    uint64_t added = wanted.value > old_value ? wanted.value - old_value : 0;
    uint64_t limit = member->limits[LIMIT_POSITION];
    // Sums are looked at only when what was left at the last look could be used up; cancels in
    // between leave more than is known.
    if (unlikely(added > member->room)) {
        refusal_t refusal = value_check(book, member, side, added);
        if (refusal != REJECT_NONE)
            return refusal;
    }
    if (limit == 0 || wanted.shares <= old_shares)
        return REJECT_NONE;
    int64_t traded = side == SIDE_BUY ? position->traded : -position->traded;
    int64_t shares = traded + (int64_t)(position->open[side] - old_shares + wanted.shares);
    return shares > 0 && (uint64_t)shares > limit ? broken(LIMIT_POSITION) : REJECT_NONE;
}

// Remembers the last orders, a slot for each of so many hashes: one that another has pushed out is
// not recognised.
static inline __attribute__((always_inline)) bool duplicate(struct member *member,
                                                            struct wanted wanted, uint64_t now_ns)
{
    const struct command *command = wanted.command;
    if (member->limits[LIMIT_DUPLICATES] == 0 || wanted.old)
        return false;
    struct sighting what = {.price = command->order.price,
                            .shares = command->order.quantity,
                            .instrument = wanted.instrument,
                            .side = command->side};
    uint64_t hash = (uint64_t)what.price << 32 | what.shares;
    hash ^= (uint64_t)what.side << 60 ^ (uint64_t)what.instrument << 40;
    struct sighting *sighting = &member->sightings[hash * 0x9E3779B97F4A7C15ull >> 58];
    if (sighting->price != what.price || sighting->shares != what.shares ||
        sighting->instrument != what.instrument || sighting->side != what.side)
        *sighting = what;
    return !token_taken(member, LIMIT_DUPLICATES, &sighting->bucket, now_ns);
}

// Executions only add to what ORDERS_PER_TRADE allows: what it allowed at the last look is never
// too much.
static __attribute__((noinline)) bool too_many_orders(struct member *member)
{
    uint64_t limit = member->limits[LIMIT_ORDERS_PER_TRADE];
    member->orders_room =
        limit == 0 ? UINT64_MAX : saturated((value_t)member->executions * limit + FREE_ORDERS);
    return member->orders > member->orders_room;
}

static inline __attribute__((always_inline)) refusal_t member_check(struct book *book,
                                                                    struct member *member,
                                                                    struct wanted wanted)
{
    const uint64_t *limits = member->limits;
    uint64_t now_ns = book->last_time_ns;
    if (limits[LIMIT_ORDER_RATE] != 0 &&
        !token_taken(member, LIMIT_ORDER_RATE, &member->order_bucket, now_ns))
        return broken(LIMIT_ORDER_RATE);
    if (unlikely(++member->orders > member->orders_room) && too_many_orders(member))
        return broken(LIMIT_ORDERS_PER_TRADE);
    if (duplicate(member, wanted, now_ns))
        return broken(LIMIT_DUPLICATES);
    if (!wanted.old && too_many_open(book, member))
        return broken(LIMIT_OPEN_ORDERS);
    struct position *position = &member->positions[wanted.instrument];
    position->known = true;
    if (unlikely(limits[LIMIT_SYMBOL_ORDERS] != 0) && !wanted.old &&
        position->open_orders >= limits[LIMIT_SYMBOL_ORDERS])
        return broken(LIMIT_SYMBOL_ORDERS);
    return exposure_check(book, member, position, wanted);
}

// Market orders are valued at what is there, which only the book knows. What one that waits for a
// cross would be worth nobody does.
static __attribute__((noinline)) refusal_t market_check(const struct book *book,
                                                        const struct instrument *listing,
                                                        const struct member *member,
                                                        struct wanted wanted)
{
    const uint64_t *limits = member->limits;
    bool valued = (limits[LIMIT_NOTIONAL] | limits[LIMIT_GROSS] | limits[LIMIT_NET] |
                   limits[LIMIT_CREDIT]) != 0;
    uint8_t cross = wanted.old ? order_cross(book, wanted.old) : wanted.command->order.cross;
    bool waits = cross != CROSS_NONE || collects(listing);
    if (valued && (waits || listing->best[opposite_of(wanted.side)] == RANK_NONE))
        return REJECT_RISK_MARKET_IMPACT;
    bool above = limits[LIMIT_NOTIONAL] != 0 && wanted.value > limits[LIMIT_NOTIONAL];
    return above ? broken(LIMIT_NOTIONAL) : REJECT_NONE;
}

static inline __attribute__((always_inline)) refusal_t check(struct book *book,
                                                             const struct command *command,
                                                             const struct order *old)
{
    struct wanted wanted = {.command = command,
                            .old = old,
                            .instrument = old ? old->instrument : command->instrument,
                            .side = book_side(old ? old->side : command->side),
                            .shares = command->order.quantity - (old ? old->executed : 0)};
    const struct instrument *listing = &book->instruments[wanted.instrument];
    struct member *member = book->sessions[command->session].member;
    refusal_t refusal = listing->guarded ? instrument_check(listing, wanted) : REJECT_NONE;
    if (refusal != REJECT_NONE || !member->watched)
        return refusal;
    wanted.value = value_wanted(book, listing, wanted);
    if (unlikely(command->order.price == PRICE_MARKET))
        refusal = market_check(book, listing, member, wanted);
    return refusal == REJECT_NONE ? member_check(book, member, wanted) : refusal;
}

refusal_t risk_check(struct book *book, const struct command *command, const struct order *old)
{
    return old ? check(book, command, old) : check(book, command, NULL); // each by itself is less
}

refusal_t short_check(const struct book *book, uint16_t session, uint8_t side)
{
    if (likely(side <= SIDE_SELL))
        return REJECT_NONE;
    const uint64_t *limits = book->sessions[session].member->limits;
    if (side == SIDE_SELL_SHORT)
        return limits[LIMIT_NO_SHORT] != 0 ? broken(LIMIT_NO_SHORT) : REJECT_NONE;
    return limits[LIMIT_NO_EXEMPT] != 0 ? broken(LIMIT_NO_EXEMPT) : REJECT_NONE;
}
