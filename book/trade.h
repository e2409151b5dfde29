// SPDX-License-Identifier: MIT
//
// The rules of trading: commands of orders (trade.c), orders that meet (match.c), and what few
// orders need (special.c).
#ifndef SLUICE_BOOK_TRADE_H
#define SLUICE_BOOK_TRADE_H

#include "book/orders.h"

// book.c

void apply_open(struct book *book, const struct command *command, struct event_sink *sink);
// What the operator asks; only while the day is open.
void apply_control(struct book *book, const struct command *command, struct event_sink *sink);
void apply_query(struct book *book, const struct command *command, struct event_sink *sink);

// trade.c

// Takes a new UserRefNum: false when it is not above the channel's last, a retransmission.
bool consume_user_ref(struct book *book, const struct command *command);
void reject(struct book *book, const struct command *command, struct event_sink *sink,
            refusal_t refusal);
// Takes a resting order out and tells the feed; and its owner.
void remove_resting(struct book *book, struct event_sink *sink, struct instrument *listing,
                    uint32_t index);
void cancel_resting(struct book *book, struct event_sink *sink, uint32_t index, char reason);

// match.c

// The firm an order is of: the one it names, else its session's.
const char *firm_of(const struct book *book, const struct order *order);
// Tells the feed of an order, or a slice, that has come to rest.
void emit_add(struct book *book, struct event_sink *sink, const struct order *order);

// What an incoming order may trade with next: a part of a resting order, at a price.
enum part { PART_DISPLAYED, PART_RESERVE, PART_HIDDEN, PART_MIDPOINT };
struct maker {
    uint32_t index; // NONE: nothing
    uint32_t price;
    struct level *level; // where the order stands; of a reserve NULL
    enum part part;
};

// An order being matched.
struct taker {
    struct order *order;
    struct instrument *listing;
    enum side opposite;
    uint32_t limit;    // rank, on the opposite side, of the worst price acceptable; 0 for none
    uint32_t midpoint; // price, as matching began, or 0
    bool special;      // there may be more than displayed orders
};

// The two trade, or their self-match is prevented.
bool self_matched(const struct book *book, const struct order *taker, const struct order *maker);
void meet(struct book *book, struct event_sink *sink, struct taker *taker,
          const struct maker *maker);
// An order that stands nowhere trades what can trade; what is left of it rests or is cancelled.
// `head`: of its chain in the table. `min_quantity` 0: any.
void match_and_rest(struct book *book, struct event_sink *sink, uint32_t *head, uint32_t index,
                    uint32_t min_quantity);
// The same for one that has only to rest; false when there is more to it: match_and_rest then.
bool rest_unmet(struct book *book, uint32_t *head, uint32_t index);

// special.c

void apply_mass_cancel(struct book *book, const struct command *command, struct event_sink *sink);
// The book's clock: what has expired by the command's time is cancelled.
void expire(struct book *book, struct event_sink *sink);
// The price of live midpoint orders, within the displayed market; or 0.
uint32_t midpoint_of(const struct book *book, const struct instrument *listing);
// The next maker where there are more than displayed orders.
struct maker special_maker(const struct book *book, const struct taker *taker);
// Shares of reserves, hidden and midpoint orders acceptable to the taker, counted up to `wanted`.
uint64_t special_available(const struct book *book, const struct taker *taker, uint64_t wanted);
// An order that stands in no queue joins those whose slices are used up. The first of them has no
// reserve left; all of them get new slices.
void used_up_first_done(struct book *book);
void used_up_add(struct book *book, uint32_t index);
void used_up_refresh(struct book *book, struct event_sink *sink, struct instrument *listing);
// What all kinds of pegs follow: the best displayed price of a side, or book_follow's, or 0 while
// there is none.
uint32_t reference_price(const struct book *book, const struct instrument *listing, enum side side);
// The price of a primary or market peg within its limit and the band, or 0 while there is nothing
// to follow, or orders wait for a cross.
uint32_t peg_price(const struct book *book, uint16_t instrument, enum side side, enum peg peg,
                   int16_t offset, uint32_t limit);
// Puts a peg that rests into the list of its instrument.
void peg_join(struct book *book, uint32_t index);
// Moves pegs to the price that they follow, and trades what they and a moving midpoint have made
// acceptable.
void settle(struct book *book, struct event_sink *sink, struct instrument *listing);
// Whether an extra could be had now; and one for an order, filled from its command.
bool extra_available(const struct book *book);
void extra_take(struct book *book, struct order *order, const struct command *command,
                const char firm[4]);
struct extra *extra_new(struct book *book, struct order *order); // undefined

// Puts an order that rests into the list of those that expire so many seconds after the book's
// clock.
void timer_add(struct book *book, uint32_t index, uint32_t seconds);
// Visits these, first to go first, until `visit` returns false. Returns whether it never did.
bool timers_each(const struct book *book,
                 bool (*visit)(void *context, const struct order *order, uint32_t seconds),
                 void *context);

// cross.c

// The cross of that type: its trades, and its print on the feed.
void cross_trade(struct book *book, struct event_sink *sink, struct instrument *listing,
                 uint8_t type);
// Tells the feed what the crosses that build would be now.
void cross_tell(struct book *book, struct event_sink *sink);
// Whether one builds, or may before a command says so: by a pause.
bool cross_may_build(const struct book *book);
// The price that a cross would be nearest to, or 0.
uint32_t cross_reference(const struct instrument *listing);
// Whether an order for that cross only is late now: what it is for comes next.
bool cross_is_late(const struct instrument *listing, uint8_t cross);
// What is asked of a late order of its owner's: all of it canceled, or a part. True when it is one:
// it stays, and the owner is told once of either (OUCH 5.0 section 6).
bool cross_keeps(struct book *book, struct event_sink *sink, uint32_t index, bool all);
// The reason for which an order is canceled that has no more to wait for: what its owner asked for
// late, or `otherwise`.
char cross_reason(const struct book *book, const struct order *order, char otherwise);
// When the phase after it has begun: what has waited joins the continuous book, if that trades, or
// is canceled.
void cross_release(struct book *book, struct event_sink *sink, struct instrument *listing);

// book.c

// Cancels all orders of an instrument, as at the day's end.
void cancel_instrument(struct book *book, struct event_sink *sink, uint16_t instrument);

// Phases and bars (control.c).
void apply_trading(struct book *book, const struct command *command, struct event_sink *sink);
// The highest price at which a purchase may trade, or the lowest for a sale; 0: any.
uint32_t band_edge(const struct instrument *listing, enum side side);
// An order would have traded beyond the band.
void pause_instrument(struct book *book, struct event_sink *sink, struct instrument *listing);
// An instrument's `minded` has to be what its fields say.
void mind(struct instrument *listing);
void apply_entry(struct book *book, const struct command *command, struct event_sink *sink);
// From now on orders of the member's firm may not be entered in the instrument, or may again. This
// is apart from the bars, all of which an order is held against.
void bar_position(struct book *book, struct member *member, uint16_t instrument, bool barred);

// Limits (risk.c).
void apply_limit(struct book *book, const struct command *command);
// Of members and instruments that have limits: what stands against an order, or a replacement of
// `old`.
refusal_t risk_check(struct book *book, const struct command *command, const struct order *old);
// The limit that a port's verdict is of, which it holds orders against by itself, or 0.
uint8_t limit_of_verdict(uint8_t verdict);
// What stands against an order of this session that becomes one of a side, whatever it was.
refusal_t short_check(const struct book *book, uint16_t session, uint8_t side);
// A session that is to be admitted finds its member; false when that is one too many.
bool member_join(struct book *book, struct session *session);
uint32_t members_max(const struct book_limits *limits);
// The limits of a member or an instrument; false when there is no such one, or kind.
bool limit_member(struct book *book, uint16_t index, uint8_t kind, uint64_t value, uint64_t total);
bool limit_instrument(struct book *book, uint16_t index, uint8_t kind, uint64_t value);
// An instrument's `lowest` and `highest` have to be what its other fields say.
void hold_prices(struct instrument *listing);

// An instrument that has limits has traded.
static inline void trade_at(struct instrument *listing, uint32_t price)
{
    if (listing->last_price == price)
        return;
    listing->last_price = price;
    hold_prices(listing);
}

// From now on the member's account is kept: what is open is counted.
void watch(struct book *book, uint16_t index);

// bar_firm: a bar of LIMIT_EXECUTIONS. entry_refusal: what bars have against orders of this session
// and firm in an instrument. bars_spread: tell the sessions, once bars have changed.
refusal_t entry_refusal(const struct book *book, uint16_t session, uint16_t instrument,
                        const char firm[4]);
void bars_spread(struct book *book);
void bar_firm(struct book *book, const char firm[4]);

#endif
