// SPDX-License-Identifier: MIT
//
// book: the matching core of one shard. Its sessions' order state, its instruments' price levels
// and orders, and the rules by which a command becomes events. A pure function of the commands it
// is given: no clock, no I/O, no allocation after book_open, no thread, no global. The same
// commands give the same events and the same book_hash, on any machine, compiler and optimisation
// level.
//
// Commands and events are the language of the whole house. Each is one 64-byte record, one cache
// line, little endian, and commands are what the journal stores. What a client sends becomes a
// command in dataplane/; what leaves for clients (OUCH) and for the feed (ITCH) is encoded from
// events there. The rules are those of OUCH 5.0 (Nasdaq, revision 1.04) and ITCH 5.0.
//
// Embedding it alone needs libbook.a and this header. An example, whole:
//
//     #include <stdio.h>
//     #include <stdlib.h>
//     #include "book/book.h"
//
//     static void print(struct event_sink *sink) // called when the sink's space is used up
//     {
//         struct event *first = sink->context;
//         for (struct event *e = first; e < sink->next; e++)
//             printf("%llu: event %d, user ref %u, %u @ %u\n", (unsigned long long)e->seq,
//                    e->type, e->user_ref_num, e->quantity, e->price);
//         sink->next = first;
//     }
//
//     int main(void)
//     {
//         struct book_limits limits = {.orders_max = 1024, .instruments_max = 1, .sessions_max =
//         2}; struct book *book = book_open(aligned_alloc(64, book_memory_size(&limits)), &limits);
//         struct event space[16];
//         struct event_sink sink = {space, space + 16, print, space};
//         struct command commands[] = {
//             {.type = COMMAND_OPEN, .open.session_id = "SESSION001", .open.limits = limits},
//             {.type = COMMAND_INSTRUMENT, .instrument = 0, .listing.symbol = "ACME    "},
//             {.type = COMMAND_SESSION, .session = 0, .member.user_name = "ALICE "},
//             {.type = COMMAND_SESSION, .session = 1, .member.user_name = "BOB   "},
//             {.type = COMMAND_START},
//             {.type = COMMAND_ENTER, .session = 0, .side = SIDE_BUY,
//              .order = {.user_ref_num = 1, .quantity = 100, .price = 500000}},
//             {.type = COMMAND_ENTER, .session = 1, .side = SIDE_SELL,
//              .order = {.user_ref_num = 1, .quantity = 40, .price = 490000}},
//         };
//         for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
//             book_apply(book, &commands[i], &sink);
//         print(&sink); // ... executed 40 @ 500000, on both sides
//     }
#ifndef SLUICE_BOOK_BOOK_H
#define SLUICE_BOOK_BOOK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Prices are unsigned with 4 implied decimals, as OUCH and ITCH have them.
#define PRICE_MAX            0x7735939Cu // 199,999.9900, the largest limit price (OUCH 5.0 section 1)
#define PRICE_MARKET         0x7FFFFFFFu // a market order; the port maps OUCH's other spellings to it
#define QUANTITY_MAX         999999u     // shares an order, or a chain of replacements, may execute
#define NO_INSTRUMENT        UINT16_MAX   // a symbol that is not listed here
#define FEED_SESSION         UINT16_MAX   // events for the market data feed
#define ANY_SESSION          UINT16_MAX   // MASS_CANCEL
#define ANY_SIDE             UINT8_MAX    // MASS_CANCEL
#define EXPIRE_SECONDS_MAX   86399u       // OUCH 5.0 ExpireTime is less than a day
#define SLICE_REF            (1ull << 63) // set in the order reference of a refreshed slice
#define BOOK_ORDERS_MAX      (1u << 26)
#define BOOK_INSTRUMENTS_MAX 65000u
#define BOOK_SESSIONS_MAX    4096u
#define BAND_MAX             10000u // TRADING
#define BOOK_BARS_MAX        1024u  // ENTRY: sessions and firms that may enter nothing
#define BOOK_MEMBERS_MAX     1024u  // firms of sessions
#define BOOK_PASS_RATE       10u    // mass cancels and switches of entry a second, of a session's
#define BOOK_PEGS_MAX        256u   // primary and market pegs that rest in an instrument

enum side {
    SIDE_BUY = 0,
    SIDE_SELL = 1,
    SIDE_SELL_SHORT = 2,
    SIDE_SELL_SHORT_EXEMPT = 3,
};

enum time_in_force {
    TIF_DAY = 0,      // OUCH '0'
    TIF_IOC = 1,      // OUCH '3'
    TIF_GTX = 2,      // OUCH '5'
    TIF_GTT = 3,      // OUCH '6'
    TIF_EXTENDED = 4, // OUCH 'E'
};

enum display {
    DISPLAY_VISIBLE = 0,      // OUCH 'Y'
    DISPLAY_HIDDEN = 1,       // OUCH 'N'
    DISPLAY_ATTRIBUTABLE = 2, // OUCH 'A': visible, and named by its firm on the feed
};

enum capacity {
    CAPACITY_AGENCY = 0,
    CAPACITY_PRINCIPAL = 1,
    CAPACITY_RISKLESS = 2,
    CAPACITY_OTHER = 3
};

// What an incoming order wants done when it would trade with a resting one of its own firm.
enum self_match {
    SELF_MATCH_ALLOWED = 0,
    SELF_MATCH_CANCEL_NEWEST = 1, // the incoming order
    SELF_MATCH_CANCEL_OLDEST = 2, // the resting one
    SELF_MATCH_CANCEL_BOTH = 3,
    SELF_MATCH_DECREMENT = 4, // both, by what would have traded
};

// What a price follows. Orders that follow are hidden, and their price is a limit.
enum peg {
    PEG_NONE = 0,
    PEG_MIDPOINT = 1, // the middle of the displayed market
    PEG_PRIMARY = 2,  // the best displayed price of the order's own side
    PEG_MARKET = 3,   // of the other side
};

// What an order carries besides price and quantity; the same two bytes in command, order and event.
struct order_attributes {
    uint16_t time_in_force : 3;
    uint16_t display : 2;
    uint16_t capacity : 2;
    uint16_t sweep : 1;      // intermarket sweep eligible
    uint16_t post_only : 1;  // never takes
    uint16_t self_match : 3; // enum self_match
    uint16_t peg : 2;        // enum peg
    uint16_t trade_now : 1;  // OUCH TradeNow; without effect, as nothing here is ever locked
    uint16_t auction : 1;    // set by the book: waits for a cross, undisplayed
};
static_assert(sizeof(struct order_attributes) == 2, "two bytes");

// Of a REPLACE, bits of `kept`: what the command has there does not count.
#define KEPT_MAX_FLOOR      1u
#define KEPT_RANDOM_RESERVE 2u // only while there is a maximum floor
#define KEPT_EXPIRE_SECONDS 4u // only with TIF_GTT; counted anew
#define KEPT_PEG            8u
#define KEPT_PEG_OFFSET     16u // only with PEG_PRIMARY or PEG_MARKET
#define KEPT_POST_ONLY      32u
#define KEPT_SELF_MATCH     64u
#define KEPT_TRADE_NOW      128u
#define KEPT_ALL            255u
#define SAID_SIDE           256u // the other way about: without it the old order's side stays

// The cross that an order is for, and the cross that an event tells of: OUCH 5.0 and ITCH 5.0
// CrossType.
#define CROSS_NONE          0
#define CROSS_OPENING       'O'
#define CROSS_CLOSING       'C'
#define CROSS_HALT          'H' // after a halt or a pause

enum command_type {
    COMMAND_OPEN = 1,       // first of every journal: the trading day, its session id, the limits
    COMMAND_INSTRUMENT = 2, // list an instrument
    COMMAND_SESSION = 3,    // admit a session
    COMMAND_START = 4,      // trading starts
    COMMAND_CLOSE = 5,      // the day ends: every order is cancelled, nothing is accepted any more
    COMMAND_ENTER = 6,
    COMMAND_REPLACE = 7,
    COMMAND_CANCEL = 8,
    COMMAND_MODIFY = 9,
    COMMAND_QUERY = 10, // OUCH Account Query
    COMMAND_MASS_CANCEL = 11,
    COMMAND_CLOCK = 12,   // time has passed; nothing else
    COMMAND_TRADING = 13, // an instrument's phase
    COMMAND_ENTRY = 14,   // OUCH Disable and Enable Order Entry, or an operator's
    COMMAND_LIMIT = 15,   // what a member, or an order for an instrument, may do
    COMMAND_YIELD = 16,   // a member's share of a limit is lowered, by what it leaves unused
    COMMAND_RAISE = 17,   // … is raised, by what other shards' yielded
};

// Reject reasons, OUCH 5.0 section 8. A command that arrives with a verdict other than 0 is
// sequenced, journaled and answered with that reason, and does nothing else.
enum reject_reason {
    REJECT_NONE = 0,
    REJECT_QUOTE_UNAVAILABLE = 0x01,  // a peg with nothing to follow
    REJECT_DESTINATION_CLOSED = 0x02, // before the start, after the close
    REJECT_INVALID_DISPLAY = 0x03,
    REJECT_INVALID_MAX_FLOOR = 0x04,
    REJECT_INVALID_PEG = 0x05,
    REJECT_FAT_FINGER = 0x06, // away from the last price
    REJECT_HALTED = 0x07,
    REJECT_INVALID_SIDE = 0x09,
    REJECT_PROCESSING_ERROR = 0x0A, // no room for another order; journal running out of space
    REJECT_CANCEL_PENDING = 0x0B,
    REJECT_FIRM_NOT_AUTHORIZED = 0x0C,
    REJECT_INVALID_MIN_QUANTITY = 0x0D,
    REJECT_NO_REFERENCE = 0x0E, // late, and nothing says how aggressive its price is
    REJECT_OTHER = 0x0F,
    REJECT_PEGGING_NOT_ALLOWED = 0x11,
    REJECT_INVALID_QUANTITY = 0x13,
    REJECT_INVALID_CROSS = 0x14,
    REJECT_REPLACE_NOT_ALLOWED = 0x15, // late
    REJECT_ROUTING_NOT_ALLOWED = 0x16,
    REJECT_INVALID_SYMBOL = 0x17,
    REJECT_LATE_TOO_AGGRESSIVE = 0x19,
    REJECT_RETAIL_NOT_ALLOWED = 0x1A,
    REJECT_INVALID_PRICE = 0x1D,
    REJECT_SHARES_EXCEED = 0x1E,
    REJECT_MAX_NOTIONAL = 0x1F,
    REJECT_RISK_EXPOSURE = 0x20,
    REJECT_RISK_MARKET_IMPACT = 0x21, // a market order that nothing can be compared with
    REJECT_SHORT_SELL_RESTRICTED = 0x23,
    REJECT_RISK_SWEEP = 0x24,
    REJECT_RISK_FAT_FINGER = 0x26, // away from the reference price
    REJECT_RISK_RATE = 0x29,
    REJECT_RISK_DUPLICATE = 0x2A,
    REJECT_RISK_SHORT = 0x2B,
    REJECT_RISK_MARKET_ORDER = 0x2C,
    REJECT_RISK_SHORT_EXEMPT = 0x2F,
    REJECT_RISK_NOTIONAL = 0x30,
    REJECT_RISK_QUANTITY = 0x31,
    REJECT_INVALID_SELF_MATCH = 0x40, // OUCH 5.0 revision 1.05
};

// What a LIMIT sets; docs/rules.md has each. 0 is no limit. A value is price times shares, with 4
// decimals. A member is all sessions of a firm.
enum limit_kind {
    // Of a member, an order by itself: the port looks at them, and sets the verdict.
    LIMIT_QUANTITY = 1, // shares; REJECT_RISK_QUANTITY
    LIMIT_NOTIONAL,     // value; REJECT_RISK_NOTIONAL; of market orders the book looks at it
    LIMIT_NO_MARKET,    // 1: no market orders; REJECT_RISK_MARKET_ORDER
    LIMIT_NO_SWEEP,     // 1: no intermarket sweeps; REJECT_RISK_SWEEP
    LIMIT_NO_SHORT,     // 1: no short sales; REJECT_RISK_SHORT
    LIMIT_NO_EXEMPT,    // 1: no exempt short sales; REJECT_RISK_SHORT_EXEMPT
    // Of a member, with what went before: the book looks at them.
    LIMIT_OPEN_ORDERS, // resting at once; REJECT_OTHER
    LIMIT_GROSS,       // value of what is open and was executed; REJECT_RISK_EXPOSURE
    LIMIT_NET,      // value bought less sold or the other way, were a side's open orders executed;
                    // REJECT_RISK_EXPOSURE
    LIMIT_CREDIT,   // value bought less sold, were all open purchases executed; REJECT_MAX_NOTIONAL
    LIMIT_POSITION, // shares of one instrument, bought less sold or the other way, were a side's
                    // open orders executed; REJECT_SHARES_EXCEED
    LIMIT_DUPLICATES,  // orders alike (side, instrument, price, shares) a second; …_DUPLICATE
    LIMIT_ORDER_RATE,  // orders and replacements a second; REJECT_RISK_RATE
    LIMIT_CANCEL_RATE, // cancels and modifications a second; Cancel Reject
    LIMIT_EXECUTIONS,  // a second; one more, and the member is barred until an operator allows it
    LIMIT_ORDERS_PER_TRADE, // orders after the first 1,000, by executions; REJECT_OTHER
    LIMIT_SYMBOL_ORDERS,    // resting at once in one instrument; REJECT_OTHER
    LIMIT_MEMBER_END,
    // Of an instrument: the book looks at them.
    LIMIT_TICK = 32,  // prices are multiples of it; REJECT_INVALID_PRICE
    LIMIT_LOT,        // quantities are multiples of it; REJECT_INVALID_QUANTITY
    LIMIT_COLLAR,     // prices at most so far from the reference, 1/100 %; REJECT_RISK_FAT_FINGER
    LIMIT_FAT_FINGER, // … from the last price since it was set; REJECT_FAT_FINGER
    LIMIT_INSTRUMENT_END,
};

// Of a member, what is held until it is given back: over several shards each has a share, which may
// be nothing, and shares move.
#define LIMIT_HELD_COUNT 4u
#define LIMIT_NOTHING    UINT64_MAX // a share of 0, which would be no limit
static inline bool limit_held(uint8_t kind)
{
    return kind >= LIMIT_OPEN_ORDERS && kind < LIMIT_OPEN_ORDERS + LIMIT_HELD_COUNT;
}

struct book_limits {
    uint32_t orders_max;      // resting at once, 1 to BOOK_ORDERS_MAX
    uint16_t instruments_max; // 1 to BOOK_INSTRUMENTS_MAX
    uint16_t sessions_max;    // 1 to BOOK_SESSIONS_MAX
};

struct command {
    uint64_t time_ns; // when it arrived, ns since 1970-01-01 UTC; never runs backwards in a journal
    uint8_t type;     // enum command_type
    uint8_t verdict;  // enum reject_reason, set by the port
    uint16_t session; // index, admitted by COMMAND_SESSION
    uint16_t instrument;    // index, listed by COMMAND_INSTRUMENT
    uint8_t side;           // enum side
    uint8_t user_ref_index; // OUCH UserRefIdx: the order-flow channel, 0 for the default
    union {
        struct {                   // ENTER, REPLACE, CANCEL, MODIFY, QUERY
            uint32_t user_ref_num; // ENTER, REPLACE: new; CANCEL, MODIFY: the order's
            union {
                char firm[4];               // ENTER: MPID, zeros when the client named none
                uint32_t orig_user_ref_num; // REPLACE: the order's
            };
            uint32_t quantity; // ENTER: shares; else the intended total, executed shares included
            uint32_t price;    // ENTER, REPLACE: limit, or PRICE_MARKET
            struct order_attributes attributes; // ENTER, REPLACE
            uint16_t random_reserve; // ENTER, REPLACE: max_floor is up to so many more or fewer, by
                                     // chance; 0: exactly
            union {
                uint32_t min_quantity; // ENTER with TIF_IOC: trade so many at once, or none; 0: any
                uint32_t kept;         // REPLACE: options that stay as the old order has them
            };
            uint32_t max_floor;           // ENTER, REPLACE: display so many at a time; 0: all
            uint32_t expire_seconds : 24; // ENTER, REPLACE with TIF_GTT: to live; else 0
            uint32_t cross : 8;           // ENTER: CROSS_NONE, or the only cross it is for
            char client_order_id[14];     // ENTER, REPLACE: echoed, not looked at
            int16_t peg_offset; // ENTER, REPLACE with PEG_PRIMARY or PEG_MARKET: added to the price
                                // that is followed, 0.0001; else 0
        } order;
        struct {                  // OPEN
            uint64_t midnight_ns; // of the trading day, ns since 1970-01-01 UTC
            struct book_limits limits;
            char session_id[10]; // of the UFO and MoldUDP64 sessions, padded with spaces
            uint16_t shard;      // number of the shard
        } open;
        struct {            // INSTRUMENT
            char symbol[8]; // padded with spaces
            uint32_t round_lot;
            uint32_t price_step; // usual distance of prices; only speed depends on it; 0: a cent
        } listing;
        struct {               // SESSION
            char user_name[6]; // UFO user name, padded with spaces
            char firm[4];      // MPID of its orders when they name none
        } member;
        struct {                   // MASS_CANCEL: the resting orders that fit all that is said
            uint32_t user_ref_num; // the client's new number; 0 from an operator
            char firm[4];          // MPID, zeros for any
            uint16_t session;      // of the orders, or ANY_SESSION
            uint8_t side;          // enum side, exactly, or ANY_SIDE
            uint8_t reason;        // OUCH 5.0 section 7: 'U' user request, 'S' supervisory
            char actor[32];        // the operator, in words; not looked at
        } mass;  // command.instrument: or NO_INSTRUMENT for any; command.session: who asks, is told
                 // and has used the number; ANY_SESSION for an operator, who is not told
        struct { // ENTRY: may enter and replace orders, or may not
            uint32_t user_ref_num; // the client's new number; 0 from an operator
            char firm[4];          // MPID, zeros for any
            uint16_t session;      // whose, or ANY_SESSION
            uint8_t allowed;       // 0: no more; 1: again, where the same was said before
            uint8_t in_symbol; // 1: only in command.instrument; an operator's, of a session's firm
            char actor[32];    // the operator, in words; not looked at
        } entry; // command.session: who asks, is told and has used the number; ANY_SESSION for an
                 // operator, who is not told. What an operator disables a client cannot enable.
        struct { // TRADING
            // 'T' trades; 'H' halted: no order is entered, replaced or executed; orders wait for a
            // cross: 'O' the opening, 'Q' in a halt, 'P' in a pause; 'C' closed, after a cross.
            // 'L': the phase stays, and orders for the cross that ends it can no longer be
            // canceled. 'R': the phase that the calendar said last, or trading.
            uint8_t state; // 0: stays as it is, as with the others
            uint8_t
                short_sale; // ITCH Reg SHO action: '0' sales short as others; '1', '2' restricted
            uint8_t from;   // 0, or the only phase (a letter as in `state`) that `state` ends
            uint8_t source; // enum trading_source: who says `state`
            uint32_t reference; // the price that crosses are nearest to, and the middle of the band
            uint32_t band;      // to either side, hundredths of a percent; above BAND_MAX: no band
            char actor[32];     // the operator, in words; not looked at
        } trading;              // command.instrument: or NO_INSTRUMENT for all
        struct {                // LIMIT, YIELD, RAISE
            uint64_t value;     // LIMIT: as the kind has it, 0: none; of what is held LIMIT_NOTHING
                                // is a share of 0. YIELD: asked for: so much or half of what is
                                // unused is given, whichever is more, but nothing that is used.
                                // RAISE: added
            char firm[4];       // the member, where the kind is a member's
            char actor[28];     // the operator, in words; not looked at
            uint64_t total;     // LIMIT: what all shards have together; 0: shares do not move
        } limit; // command.side: enum limit_kind; command.instrument where the kind is an
                 // instrument's
        uint8_t bytes[48];
    };
};
static_assert(sizeof(struct command) == 64, "a command is one cache line");
static_assert(offsetof(struct command, order) == 16, "journal format");
static_assert(offsetof(struct command, mass.actor) == 28 &&
                  offsetof(struct command, entry.actor) == 28 &&
                  offsetof(struct command, trading.actor) == 28 &&
                  offsetof(struct command, limit.actor) == 28 &&
                  offsetof(struct command, limit.total) == 56,
              "journal format");
static_assert(offsetof(struct command, order.min_quantity) == 36, "journal format");
static_assert(offsetof(struct command, order.client_order_id) == 48, "journal format");

// The calendar ends no halt that an operator began, nor the quotation after it, but by closing;
// what it says is kept for 'R', and has no effect when it is said again. What RISK has halted
// nobody else changes, but by closing, and an 'R' of RISK ends nothing else.
enum trading_source { TRADING_OPERATOR = 0, TRADING_CALENDAR = 1, TRADING_RISK = 2 };

enum event_type {
    // To one session, as OUCH 5.0.
    EVENT_SYSTEM = 1,   // code: 'S' start of day, 'E' end of day
    EVENT_ACCEPTED = 2, // order reference: seq; code: the only cross it is for
    EVENT_REPLACED = 3, // order reference: seq; quantity: shares now open; code: as ACCEPTED
    EVENT_CANCELED = 4, // quantity: shares removed; code: reason, OUCH 5.0 section 7
    EVENT_EXECUTED = 5, // code: liquidity flag, OUCH 5.0 section 9: A J u k added, R m removed,
                        // O C H in a cross, of which all have one match number
    EVENT_REJECTED = 6, // code: enum reject_reason; limit: what is broken, where it is one
    EVENT_CANCEL_REJECTED = 7,
    EVENT_MODIFIED = 8,       // quantity: shares now open
    EVENT_QUERY_RESPONSE = 9, // user_ref_num: the next usable one
    EVENT_PREVENTED = 10,     // OUCH AIQ Canceled. quantity: shares removed; prevented: kept from
                          // trading; price, code: as the execution would have had them; order_ref:
                          // the order's own; match_number: enum self_match of the incoming order
    EVENT_RESTATED = 11, // code 'R': a new slice of `quantity` shares is displayed under order_ref
    EVENT_MASS_CANCELED = 12,  // the answer: firm, instrument, side as asked for (firm zeros: any)
    EVENT_ENTRY_DISABLED = 13, // the answers: firm as asked for
    EVENT_ENTRY_ENABLED = 14,
    EVENT_OPTIONS = 15, // no message of its own: what the ACCEPTED or REPLACED that follows, which
                        // has the same stream_seq, was entered with; where there is anything
    EVENT_CANCEL_PENDING = 16, // the order stays for its cross; what is left then is canceled
    // To the feed, as ITCH 5.0.
    EVENT_FEED_SYSTEM = 32,         // code: 'O' 'S' 'Q' 'M' 'E' 'C'
    EVENT_FEED_DIRECTORY = 33,      // listing.symbol; quantity: round lot
    EVENT_FEED_ACTION = 34,         // listing.symbol; code: trading state, 'T', 'H', 'Q' or 'P'
    EVENT_FEED_ADD = 35,            // firm: zeros unless attributable
    EVENT_FEED_EXECUTED = 36,       // at the order's own price
    EVENT_FEED_EXECUTED_PRICE = 37, // at `price`; code: printable, 'Y' or 'N'
    EVENT_FEED_CANCEL = 38,         // quantity: shares removed, some are left
    EVENT_FEED_DELETE = 39,         // all that was left is removed
    EVENT_FEED_REPLACE = 40,        // new reference: seq
    EVENT_FEED_TRADE = 41,          // against a hidden order
    EVENT_FEED_CROSS = 42,          // one for all shares of a cross; code: which
    EVENT_FEED_IMBALANCE = 43,      // of the cross `code`, were it now: at `price`; quantity: the
                                    // reference; side: of what is left over
    EVENT_FEED_SHORT_SALE = 44,     // listing.symbol; code: '0', '1' or '2'
    EVENT_FEED_COLLAR = 45, // listing.symbol; price: the reference; quantity: the band's upper
                            // price; low_price: its lower one
};

// What few orders are entered with, as it was said.
struct order_options {
    uint32_t min_quantity;
    uint32_t max_floor;
    uint32_t expire_seconds;
    uint16_t random_reserve;
    int16_t peg_offset;
};

struct event {
    uint64_t seq;          // of the command that caused it: its place in the journal, from 1
    uint64_t stream_seq;   // its place in the session's UFO stream, or in the feed, from 1
    uint64_t time_ns;      // of that command, ns since the trading day's midnight
    uint32_t user_ref_num; // the order's
    uint32_t quantity;
    uint32_t price;
    uint16_t session; // index, or FEED_SESSION
    uint16_t instrument;
    uint8_t type; // enum event_type
    uint8_t side; // enum side
    uint8_t code;
    uint8_t user_ref_index;
    union {
        char firm[4];               // ACCEPTED: as the client named it; FEED_ADD
        uint32_t orig_user_ref_num; // REPLACED
        uint32_t prevented;         // PREVENTED
        uint32_t low_price;         // FEED_COLLAR
        uint32_t limit;             // REJECTED, CANCEL_REJECTED: enum limit_kind, or 0
        uint32_t far_price;         // FEED_IMBALANCE: of only those orders that wait for a cross
    };
    union {
        struct { // ACCEPTED, REPLACED, REJECTED
            char client_order_id[14];
            struct order_attributes attributes; // ACCEPTED, REPLACED
        } order;
        struct {                   // EXECUTED and what the feed says of an order
            uint64_t order_ref;    // the resting order's; REPLACE: the original order's
            uint64_t match_number; // executions
        } trade;
        struct { // FEED_CROSS
            uint64_t shares;
            uint64_t match_number; // 0: there were none
        } cross;
        struct {             // FEED_IMBALANCE: shares
            uint64_t paired; // 0: nothing would trade
            uint64_t left;
        } imbalance;
        struct {
            char symbol[8];
        } listing;
        struct order_options options; // OPTIONS
    };
};
static_assert(sizeof(struct event) == 64, "an event is one cache line");

// Where events go. book_apply writes them to next, next + 1, … and calls more() whenever next has
// reached end; more() must make room (next < end) before it returns. Nothing else is kept.
struct event_sink {
    struct event *next;
    struct event *end;
    void (*more)(struct event_sink *sink);
    void *context; // the owner's
};

struct book;

// book_limits_check: NULL when the limits can be served, else what is wrong, in a few words.
const char *book_limits_check(const struct book_limits *limits);

// book_memory_size: bytes book_open needs. The limits are valid.
size_t book_memory_size(const struct book_limits *limits);

// book_open: an empty book in `memory`: 64-byte aligned, book_memory_size bytes, the caller's, to
// be kept until the book is no longer used. There is nothing to close.
struct book *book_open(void *memory, const struct book_limits *limits);

// book_apply: give the next command; its events are in the sink when this returns. Every command
// counts, also one that has no effect: book_seq goes up by one. The command's fields come from the
// journal or from a port and need not make sense: what is out of range is answered or ignored as
// the protocol says. Events per command are bounded by four for each trade and for
// each order that it touches, and by the number of sessions and instruments for START, CLOSE and
// TRADING, and of instruments for the first command of a second. Orders whose time is over by the
// command's time are cancelled before it is applied. One thread at a time.
void book_apply(struct book *book, const struct command *command, struct event_sink *sink);

// book_prefetch: these `count` commands (16 or so) will be applied next: ask for the memory that
// they will touch. Has no effect on any result. Same thread.
void book_prefetch(const struct book *book, const struct command *commands, uint32_t count);

// book_apply_batch: the same as book_apply for each of `count` commands in turn. Knowing what comes
// next it asks for the memory it will need in time: with many orders several times as fast. Same
// thread.
void book_apply_batch(struct book *book, const struct command *commands, uint32_t count,
                      struct event_sink *sink);

// book_seq: commands applied so far, which is the seq of the last one.
uint64_t book_seq(const struct book *book);

// book_hash: 64 bits that depend on everything the future behaviour of the book depends on, and on
// nothing else: not on memory layout, nor on the way it got there. Walks the whole state.
uint64_t book_hash(const struct book *book);

// Snapshots: the state as a stream of records, little endian. Two books that would behave the same
// from here on, and whose windows of fast levels stand at the same prices, give the same bytes,
// however they came to be so.
struct book_record {
    uint8_t type; // BOOK_RECORD_END is the last
    uint8_t bytes[63];
};
static_assert(sizeof(struct book_record) == 64, "a cache line");
#define BOOK_RECORD_END 8

// book_save: gives every record in turn to `write`, until that returns false. Returns whether all
// were written. Memory is not allocated; a record is the caller's during the call only.
bool book_save(const struct book *book,
               bool (*write)(void *context, const struct book_record *record), void *context);

// book_load: takes the next record into a book that has just been opened with the same limits.
// Returns NULL, or what is wrong with it in a few words: the book can then only be thrown away. The
// last record carries book_hash, and is compared.
const char *book_load(struct book *book, const struct book_record *record);

// Queries. `side` is SIDE_BUY or SIDE_SELL; instruments that are not listed have empty books.
// Shares of hidden orders are not counted. Same thread as book_apply.

struct book_level {
    uint32_t price;
    uint32_t order_count;
    uint64_t quantity; // shares
};

// book_best: the best visible level; false, and zeros, when there is none.
bool book_best(const struct book *book, uint16_t instrument, enum side side,
               struct book_level *level);

// book_depth: the best `count` visible levels, best first; returns how many there were.
uint32_t book_depth(const struct book *book, uint16_t instrument, enum side side,
                    struct book_level *levels, uint32_t count);

// book_depth_at: visible shares at one price, 0 when there is no such level.
uint64_t book_depth_at(const struct book *book, uint16_t instrument, enum side side,
                       uint32_t price);

struct book_order {
    uint64_t order_ref;
    uint32_t user_ref_num;
    uint32_t quantity;       // open shares
    uint32_t executed;       // by it and by the orders it replaced
    uint32_t price;          // of a primary or market peg the present one
    uint32_t displayed;      // of the open shares, on the feed
    uint32_t max_floor;      // as entered
    uint32_t expire_seconds; // as entered
    uint16_t random_reserve; // as entered
    uint16_t session;
    uint16_t instrument;
    uint8_t side;
    uint8_t user_ref_index;
    struct order_attributes attributes;
};

// book_find_user_ref: the resting order by its session's UserRefNum and channel; false when there
// is none. Constant time.
bool book_find_user_ref(const struct book *book, uint16_t session, uint8_t user_ref_index,
                        uint32_t user_ref_num, struct book_order *order);

// What a port has to know of a book it serves, after recovery as well.
enum book_state { BOOK_NEW = 0, BOOK_PREOPEN = 1, BOOK_TRADING = 2, BOOK_CLOSED = 3 };

struct book_summary {
    enum book_state state;
    uint16_t shard;
    uint16_t instrument_count;
    uint16_t session_count;
    uint32_t order_count; // resting now
    uint32_t timed_count; // of these, to expire
    bool wants_clock;     // a COMMAND_CLOCK every second: orders expire, or a cross may build
    uint64_t seq;
    uint64_t midnight_ns;
    uint64_t feed_next;    // next stream_seq of the feed
    uint64_t match_count;  // executions so far
    uint64_t last_time_ns; // of the last command, ns since 1970
    char session_id[11];   // zero-terminated
    struct book_limits limits;
};
void book_summarise(const struct book *book, struct book_summary *summary);

// book_session_user / book_session_firm / book_instrument_symbol: the names given at
// COMMAND_SESSION (6 bytes, 4 bytes) and at COMMAND_INSTRUMENT (8 bytes), padded with spaces; NULL
// when the index is not in use.
const char *book_session_user(const struct book *book, uint16_t session);
const char *book_session_firm(const struct book *book, uint16_t session);
const char *book_instrument_symbol(const struct book *book, uint16_t instrument);

// book_over: the day has ended. Any thread.
bool book_over(const struct book *book);

// book_phase: the letter (COMMAND_TRADING's) of an instrument's phase; 0 when there is no such
// instrument. Any thread, of instruments that were listed before it was started.
uint8_t book_phase(const struct book *book, uint16_t instrument);

// book_limit: what the member of a session, or an instrument, has for a limit of this kind; 0 for
// none, and where there is no such session, instrument or kind. Same thread as book_apply.
uint64_t book_limit(const struct book *book, uint16_t index, uint8_t kind);

// book_limit_total: of a limit that is held, what all shards have together; 0 where shares do not
// move. Otherwise as book_limit.
uint64_t book_limit_total(const struct book *book, uint16_t index, uint8_t kind);

// What happened to a member's share of a limit that is held; or to the member, by LIMIT_EXECUTIONS.
struct book_share {
    uint64_t seq;   // of the command
    uint8_t type;   // COMMAND_LIMIT, _YIELD or _RAISE; _ENTER: an order was refused for it; _ENTRY:
                    // the member is barred now, and what follows the firm is 0
    uint8_t kind;   // enum limit_kind
    char firm[4];   // the member's
    uint64_t share; // now
    uint64_t used;  // now; may be more than the share
    uint64_t amount; // YIELD: given; of an order: missing
};

// book_tell_shares: have `told` called, while a command is applied, for each LIMIT of what is held,
// YIELD and RAISE, for each order that is refused for a share that can move, and for each bar that
// LIMIT_EXECUTIONS brings. It must not touch the book. Nothing else depends on it, and it is in no
// snapshot. NULL: nobody is told, as after book_open.
typedef void book_told_fn(void *context, const struct book_share *share);
void book_tell_shares(struct book *book, book_told_fn *told, void *context);

// book_follow: have pegs and midpoint orders follow `reference` in place of the book's own best
// displayed prices, as a venue does that follows a national best; NULL: these again, as after
// book_open. It returns the best price (4 decimals) of a side of an instrument, 0 while there is
// none. It is asked while a command of the instrument is applied: another answer has its effect
// with the next one. A midpoint that is not between the displayed prices here is none. What it
// answers may depend on nothing but the commands so far, and itself is in no snapshot: who replays
// sets the same. It must not touch the book. Same thread as book_apply.
typedef uint32_t book_reference_fn(void *context, uint16_t instrument, enum side side);
void book_follow(struct book *book, book_reference_fn *reference, void *context);

// book_bars_firm: whether an operator, or LIMIT_EXECUTIONS, has barred a firm on all its sessions.
// Same thread as book_apply.
bool book_bars_firm(const struct book *book, const char firm[4]);

// What a member has open and has traded on this book, in values, since a limit of the kinds that
// need it was first set; what was open then is counted.
struct book_account {
    bool kept;
    uint32_t open_orders;
    uint64_t open_value[2], traded_value[2]; // by SIDE_BUY, SIDE_SELL; UINT64_MAX: that or more
};

// book_find_account: of the member of a session; zeros where there is none. Same thread as
// book_apply.
void book_find_account(const struct book *book, uint16_t session, struct book_account *account);

// book_session_next: next stream_seq of a session's stream; 1 before its first message.
uint64_t book_session_next(const struct book *book, uint16_t session);

#ifdef __cplusplus
}
#endif

#endif
