// SPDX-License-Identifier: MIT
//
// OUCH 5.0 (Nasdaq, revision 1.04), the messages that are taken and sent here. What a client sends
// becomes a command of the book; events of the book for a session become what it is sent. No length
// precedes a message: the session layer delimits it.
//
// A struct is the smallest legal form of its message: the fixed part, and behind it the appendage
// length where that is always on the wire. An appendage is a run of elements, each a length byte
// (of what follows it), a tag and a value.
#ifndef SLUICE_DATAPLANE_OUCH_H
#define SLUICE_DATAPLANE_OUCH_H

#include "book/book.h"
#include "dataplane/symbols.h"
#include "dataplane/wire.h"

// Inbound, client to host.
#define OUCH_ENTER          'O'
#define OUCH_REPLACE        'U'
#define OUCH_CANCEL         'X'
#define OUCH_MODIFY         'M'
#define OUCH_MASS_CANCEL    'C'
#define OUCH_DISABLE        'D'
#define OUCH_ENABLE         'E'
#define OUCH_QUERY          'Q'

// Outbound, host to client.
#define OUCH_SYSTEM_EVENT   'S'
#define OUCH_ACCEPTED       'A'
#define OUCH_REPLACED       'U'
#define OUCH_CANCELED       'C'
#define OUCH_AIQ_CANCELED   'D'
#define OUCH_EXECUTED       'E'
#define OUCH_REJECTED       'J'
#define OUCH_CANCEL_PENDING 'P'
#define OUCH_CANCEL_REJECT  'I'
#define OUCH_MODIFIED       'M'
#define OUCH_RESTATED       'R'
#define OUCH_MASS_CANCELED  'X'
#define OUCH_DISABLED       'G'
#define OUCH_ENABLED        'K'
#define OUCH_QUERY_RESPONSE 'Q'

// Option tags, section 3. The numbers that are missing are not assigned.
enum ouch_tag {
    OUCH_TAG_SECONDARY_ORDER_REF = 1,
    OUCH_TAG_FIRM = 2,
    OUCH_TAG_MIN_QUANTITY = 3,
    OUCH_TAG_CUSTOMER_TYPE = 4,
    OUCH_TAG_MAX_FLOOR = 5,
    OUCH_TAG_PRICE_TYPE = 6,
    OUCH_TAG_PEG_OFFSET = 7,
    OUCH_TAG_DISCRETION_PRICE = 9,
    OUCH_TAG_DISCRETION_PRICE_TYPE = 10,
    OUCH_TAG_DISCRETION_PEG_OFFSET = 11,
    OUCH_TAG_POST_ONLY = 12,
    OUCH_TAG_RANDOM_RESERVES = 13,
    OUCH_TAG_ROUTE = 14,
    OUCH_TAG_EXPIRE_TIME = 15,
    OUCH_TAG_TRADE_NOW = 16,
    OUCH_TAG_HANDLE_INST = 17,
    OUCH_TAG_BBO_WEIGHT = 18,
    OUCH_TAG_DISPLAY_QUANTITY = 22,
    OUCH_TAG_DISPLAY_PRICE = 23,
    OUCH_TAG_GROUP_ID = 24,
    OUCH_TAG_SHARES_LOCATED = 25,
    OUCH_TAG_LOCATE_BROKER = 26,
    OUCH_TAG_SIDE = 27,
    OUCH_TAG_USER_REF_INDEX = 28,
    OUCH_TAG_AIQ_STRATEGY = 29, // revision 1.05
    OUCH_TAG_AIQ_GROUP = 30,
};

struct ouch_enter {
    uint8_t type;
    be32 user_ref_num;
    uint8_t side;
    be32 quantity;
    char symbol[8];
    be64 price;
    uint8_t time_in_force;
    uint8_t display;
    uint8_t capacity;
    uint8_t sweep;
    uint8_t cross_type;
    char client_order_id[14];
    be16 appendage_size;
};

struct ouch_replace {
    uint8_t type;
    be32 orig_user_ref_num;
    be32 user_ref_num;
    be32 quantity; // that the chain of replacements may execute in all
    be64 price;
    uint8_t time_in_force;
    uint8_t display;
    uint8_t sweep;
    char client_order_id[14];
    be16 appendage_size;
};

struct ouch_cancel {
    uint8_t type;
    be32 user_ref_num;
    be32 quantity; // intended, in all; 0 cancels
};

struct ouch_modify {
    uint8_t type;
    be32 user_ref_num;
    uint8_t side;
    be32 quantity; // intended, in all
};

struct ouch_mass_cancel {
    uint8_t type;
    be32 user_ref_num;
    char firm[4];   // spaces for any
    char symbol[8]; // spaces for any
    be16 appendage_size;
};

struct ouch_entry { // Disable and Enable Order Entry
    uint8_t type;
    be32 user_ref_num;
    char firm[4];
    be16 appendage_size;
};

struct ouch_query {
    uint8_t type;
};

struct ouch_system_event {
    uint8_t type;
    be64 time_ns; // since midnight, in every outbound message
    uint8_t code;
};

struct ouch_accepted {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    uint8_t side;
    be32 quantity;
    char symbol[8];
    be64 price;
    uint8_t time_in_force;
    uint8_t display;
    be64 order_ref;
    uint8_t capacity;
    uint8_t sweep;
    uint8_t cross_type;
    uint8_t order_state;
    char client_order_id[14];
    be16 appendage_size;
};

struct ouch_replaced {
    uint8_t type;
    be64 time_ns;
    be32 orig_user_ref_num;
    be32 user_ref_num;
    uint8_t side;
    be32 quantity; // now open
    char symbol[8];
    be64 price;
    uint8_t time_in_force;
    uint8_t display;
    be64 order_ref;
    uint8_t capacity;
    uint8_t sweep;
    uint8_t cross_type;
    uint8_t order_state;
    char client_order_id[14];
    be16 appendage_size;
};

struct ouch_canceled {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    be32 quantity; // removed
    uint8_t reason;
};

struct ouch_aiq_canceled {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    be32 decrement; // shares removed
    uint8_t reason; // 'Q'
    be32 prevented; // shares kept from trading
    be64 price;     // as the execution's would have been
    uint8_t liquidity_flag;
    uint8_t strategy;
};

struct ouch_executed {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    be32 quantity;
    be64 price;
    uint8_t liquidity_flag;
    be64 match_number;
    be16 appendage_size;
};

struct ouch_rejected {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    be16 reason;
    char client_order_id[14];
};

struct ouch_cancel_answer { // Cancel Pending and Cancel Reject
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
};

struct ouch_modified {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    uint8_t side;
    be32 quantity; // now open
};

struct ouch_restated {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    uint8_t reason; // 'R': its display was refreshed; the appendage says with what
    be16 appendage_size;
};

struct ouch_mass_canceled {
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    char firm[4];
    char symbol[8];
    be16 appendage_size;
};

struct ouch_entry_response { // Disable and Enable Order Entry Response
    uint8_t type;
    be64 time_ns;
    be32 user_ref_num;
    char firm[4];
    be16 appendage_size;
};

struct ouch_query_response {
    uint8_t type;
    be64 time_ns;
    be32 next_user_ref_num;
};

WIRE_FIELD(struct ouch_enter, type, 0, 1);
WIRE_FIELD(struct ouch_enter, user_ref_num, 1, 4);
WIRE_FIELD(struct ouch_enter, side, 5, 1);
WIRE_FIELD(struct ouch_enter, quantity, 6, 4);
WIRE_FIELD(struct ouch_enter, symbol, 10, 8);
WIRE_FIELD(struct ouch_enter, price, 18, 8);
WIRE_FIELD(struct ouch_enter, time_in_force, 26, 1);
WIRE_FIELD(struct ouch_enter, display, 27, 1);
WIRE_FIELD(struct ouch_enter, capacity, 28, 1);
WIRE_FIELD(struct ouch_enter, sweep, 29, 1);
WIRE_FIELD(struct ouch_enter, cross_type, 30, 1);
WIRE_FIELD(struct ouch_enter, client_order_id, 31, 14);
WIRE_FIELD(struct ouch_enter, appendage_size, 45, 2);
WIRE_SIZE(struct ouch_enter, 47);

WIRE_FIELD(struct ouch_replace, type, 0, 1);
WIRE_FIELD(struct ouch_replace, orig_user_ref_num, 1, 4);
WIRE_FIELD(struct ouch_replace, user_ref_num, 5, 4);
WIRE_FIELD(struct ouch_replace, quantity, 9, 4);
WIRE_FIELD(struct ouch_replace, price, 13, 8);
WIRE_FIELD(struct ouch_replace, time_in_force, 21, 1);
WIRE_FIELD(struct ouch_replace, display, 22, 1);
WIRE_FIELD(struct ouch_replace, sweep, 23, 1);
WIRE_FIELD(struct ouch_replace, client_order_id, 24, 14);
WIRE_FIELD(struct ouch_replace, appendage_size, 38, 2);
WIRE_SIZE(struct ouch_replace, 40);

WIRE_FIELD(struct ouch_cancel, type, 0, 1);
WIRE_FIELD(struct ouch_cancel, user_ref_num, 1, 4);
WIRE_FIELD(struct ouch_cancel, quantity, 5, 4);
WIRE_SIZE(struct ouch_cancel, 9);

WIRE_FIELD(struct ouch_modify, type, 0, 1);
WIRE_FIELD(struct ouch_modify, user_ref_num, 1, 4);
WIRE_FIELD(struct ouch_modify, side, 5, 1);
WIRE_FIELD(struct ouch_modify, quantity, 6, 4);
WIRE_SIZE(struct ouch_modify, 10);

WIRE_FIELD(struct ouch_mass_cancel, type, 0, 1);
WIRE_FIELD(struct ouch_mass_cancel, user_ref_num, 1, 4);
WIRE_FIELD(struct ouch_mass_cancel, firm, 5, 4);
WIRE_FIELD(struct ouch_mass_cancel, symbol, 9, 8);
WIRE_FIELD(struct ouch_mass_cancel, appendage_size, 17, 2);
WIRE_SIZE(struct ouch_mass_cancel, 19);

WIRE_FIELD(struct ouch_entry, type, 0, 1);
WIRE_FIELD(struct ouch_entry, user_ref_num, 1, 4);
WIRE_FIELD(struct ouch_entry, firm, 5, 4);
WIRE_FIELD(struct ouch_entry, appendage_size, 9, 2);
WIRE_SIZE(struct ouch_entry, 11);

WIRE_FIELD(struct ouch_query, type, 0, 1);
WIRE_SIZE(struct ouch_query, 1);

WIRE_FIELD(struct ouch_system_event, type, 0, 1);
WIRE_FIELD(struct ouch_system_event, time_ns, 1, 8);
WIRE_FIELD(struct ouch_system_event, code, 9, 1);
WIRE_SIZE(struct ouch_system_event, 10);

WIRE_FIELD(struct ouch_accepted, type, 0, 1);
WIRE_FIELD(struct ouch_accepted, time_ns, 1, 8);
WIRE_FIELD(struct ouch_accepted, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_accepted, side, 13, 1);
WIRE_FIELD(struct ouch_accepted, quantity, 14, 4);
WIRE_FIELD(struct ouch_accepted, symbol, 18, 8);
WIRE_FIELD(struct ouch_accepted, price, 26, 8);
WIRE_FIELD(struct ouch_accepted, time_in_force, 34, 1);
WIRE_FIELD(struct ouch_accepted, display, 35, 1);
WIRE_FIELD(struct ouch_accepted, order_ref, 36, 8);
WIRE_FIELD(struct ouch_accepted, capacity, 44, 1);
WIRE_FIELD(struct ouch_accepted, sweep, 45, 1);
WIRE_FIELD(struct ouch_accepted, cross_type, 46, 1);
WIRE_FIELD(struct ouch_accepted, order_state, 47, 1);
WIRE_FIELD(struct ouch_accepted, client_order_id, 48, 14);
WIRE_FIELD(struct ouch_accepted, appendage_size, 62, 2);
WIRE_SIZE(struct ouch_accepted, 64);

WIRE_FIELD(struct ouch_replaced, type, 0, 1);
WIRE_FIELD(struct ouch_replaced, time_ns, 1, 8);
WIRE_FIELD(struct ouch_replaced, orig_user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_replaced, user_ref_num, 13, 4);
WIRE_FIELD(struct ouch_replaced, side, 17, 1);
WIRE_FIELD(struct ouch_replaced, quantity, 18, 4);
WIRE_FIELD(struct ouch_replaced, symbol, 22, 8);
WIRE_FIELD(struct ouch_replaced, price, 30, 8);
WIRE_FIELD(struct ouch_replaced, time_in_force, 38, 1);
WIRE_FIELD(struct ouch_replaced, display, 39, 1);
WIRE_FIELD(struct ouch_replaced, order_ref, 40, 8);
WIRE_FIELD(struct ouch_replaced, capacity, 48, 1);
WIRE_FIELD(struct ouch_replaced, sweep, 49, 1);
WIRE_FIELD(struct ouch_replaced, cross_type, 50, 1);
WIRE_FIELD(struct ouch_replaced, order_state, 51, 1);
WIRE_FIELD(struct ouch_replaced, client_order_id, 52, 14);
WIRE_FIELD(struct ouch_replaced, appendage_size, 66, 2);
WIRE_SIZE(struct ouch_replaced, 68);

WIRE_FIELD(struct ouch_canceled, type, 0, 1);
WIRE_FIELD(struct ouch_canceled, time_ns, 1, 8);
WIRE_FIELD(struct ouch_canceled, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_canceled, quantity, 13, 4);
WIRE_FIELD(struct ouch_canceled, reason, 17, 1);
WIRE_SIZE(struct ouch_canceled, 18);

WIRE_FIELD(struct ouch_aiq_canceled, type, 0, 1);
WIRE_FIELD(struct ouch_aiq_canceled, time_ns, 1, 8);
WIRE_FIELD(struct ouch_aiq_canceled, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_aiq_canceled, decrement, 13, 4);
WIRE_FIELD(struct ouch_aiq_canceled, reason, 17, 1);
WIRE_FIELD(struct ouch_aiq_canceled, prevented, 18, 4);
WIRE_FIELD(struct ouch_aiq_canceled, price, 22, 8);
WIRE_FIELD(struct ouch_aiq_canceled, liquidity_flag, 30, 1);
WIRE_FIELD(struct ouch_aiq_canceled, strategy, 31, 1);
WIRE_SIZE(struct ouch_aiq_canceled, 32);

WIRE_FIELD(struct ouch_executed, type, 0, 1);
WIRE_FIELD(struct ouch_executed, time_ns, 1, 8);
WIRE_FIELD(struct ouch_executed, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_executed, quantity, 13, 4);
WIRE_FIELD(struct ouch_executed, price, 17, 8);
WIRE_FIELD(struct ouch_executed, liquidity_flag, 25, 1);
WIRE_FIELD(struct ouch_executed, match_number, 26, 8);
WIRE_FIELD(struct ouch_executed, appendage_size, 34, 2);
WIRE_SIZE(struct ouch_executed, 36);

WIRE_FIELD(struct ouch_rejected, type, 0, 1);
WIRE_FIELD(struct ouch_rejected, time_ns, 1, 8);
WIRE_FIELD(struct ouch_rejected, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_rejected, reason, 13, 2);
WIRE_FIELD(struct ouch_rejected, client_order_id, 15, 14);
WIRE_SIZE(struct ouch_rejected, 29);

WIRE_FIELD(struct ouch_cancel_answer, type, 0, 1);
WIRE_FIELD(struct ouch_cancel_answer, time_ns, 1, 8);
WIRE_FIELD(struct ouch_cancel_answer, user_ref_num, 9, 4);
WIRE_SIZE(struct ouch_cancel_answer, 13);

WIRE_FIELD(struct ouch_modified, type, 0, 1);
WIRE_FIELD(struct ouch_modified, time_ns, 1, 8);
WIRE_FIELD(struct ouch_modified, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_modified, side, 13, 1);
WIRE_FIELD(struct ouch_modified, quantity, 14, 4);
WIRE_SIZE(struct ouch_modified, 18);

WIRE_FIELD(struct ouch_restated, type, 0, 1);
WIRE_FIELD(struct ouch_restated, time_ns, 1, 8);
WIRE_FIELD(struct ouch_restated, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_restated, reason, 13, 1);
WIRE_FIELD(struct ouch_restated, appendage_size, 14, 2);
WIRE_SIZE(struct ouch_restated, 16);

WIRE_FIELD(struct ouch_mass_canceled, type, 0, 1);
WIRE_FIELD(struct ouch_mass_canceled, time_ns, 1, 8);
WIRE_FIELD(struct ouch_mass_canceled, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_mass_canceled, firm, 13, 4);
WIRE_FIELD(struct ouch_mass_canceled, symbol, 17, 8);
WIRE_FIELD(struct ouch_mass_canceled, appendage_size, 25, 2);
WIRE_SIZE(struct ouch_mass_canceled, 27);

WIRE_FIELD(struct ouch_entry_response, type, 0, 1);
WIRE_FIELD(struct ouch_entry_response, time_ns, 1, 8);
WIRE_FIELD(struct ouch_entry_response, user_ref_num, 9, 4);
WIRE_FIELD(struct ouch_entry_response, firm, 13, 4);
WIRE_FIELD(struct ouch_entry_response, appendage_size, 17, 2);
WIRE_SIZE(struct ouch_entry_response, 19);

WIRE_FIELD(struct ouch_query_response, type, 0, 1);
WIRE_FIELD(struct ouch_query_response, time_ns, 1, 8);
WIRE_FIELD(struct ouch_query_response, next_user_ref_num, 9, 4);
WIRE_SIZE(struct ouch_query_response, 13);

// The longest that ouch_encode writes: Accepted with the elements Firm (6 bytes), PriceType,
// PostOnly, TradeNow, AIQStrategy and UserRefIdx (3 each).
#define OUCH_OUT_SIZE_MAX 85u
static_assert(sizeof(struct ouch_accepted) + 6 + 5 * 3 == OUCH_OUT_SIZE_MAX, "longest message");
static_assert(sizeof(struct ouch_replaced) + 5 * 3 <= OUCH_OUT_SIZE_MAX, "longest message");
static_assert(sizeof(struct ouch_restated) + 6 + 10 + 3 <= OUCH_OUT_SIZE_MAX, "longest message");

// The longest that ouch_add_options adds: MinQty, MaxFloor, RandomReserves, ExpireTime, PegOffset.
#define OUCH_OPTIONS_SIZE_MAX (5 * 6u)

// Why bytes are not a message that is taken here. They are dropped and counted under it: nobody can
// be answered, as not even the UserRefNum can be trusted.
enum ouch_fault {
    OUCH_OK = 0,
    OUCH_UNKNOWN_TYPE,     // not one of O U X M C D E Q
    OUCH_WRONG_LENGTH,     // too short for its type, or one byte of an appendage length
    OUCH_APPENDAGE_LENGTH, // not the number of bytes that follow
    OUCH_ELEMENT_EMPTY,    // an element of length 0: it has no tag
    OUCH_ELEMENT_OVERRUN,  // an element runs past the message's end
    OUCH_ELEMENT_SIZE,     // a value that is not of its tag's size
    OUCH_TAG_REPEATED,
    OUCH_FAULT_COUNT,
};

// The words for people, in the order of the enum.
#define OUCH_FAULT_NAMES                                                                           \
    {                                                                                              \
        "ok", "unknown_type", "wrong_length", "appendage_length", "element_empty",                 \
            "element_overrun", "element_size", "tag_repeated"                                      \
    }

// ouch_decode: what the client of `session_firm` (its MPID, padded with spaces) asks for with the
// `size` bytes at `message`, as a command: type, verdict, instrument, side, user_ref_index and
// order, mass or entry. All else is zero; time_ns and session (mass.session and entry.session too)
// are the caller's to fill in. OUCH_OK, or the fault, and then `command` means nothing. Reads
// nothing beyond message[size - 1]. Any thread.
//
// A message that is well formed but asks for something invalid or not served becomes a command with
// a verdict: that of the first such field, in the order of the message. Its other fields are filled
// all the same; a field whose value has no place in a command is 0 (instrument: NO_INSTRUMENT).
// Conditions that hang together, as of time in force and display, are the book's to judge.
//
// REPLACE: side is that of the Side tag, and SIDE_BUY without one; `kept` has SAID_SIDE where there
// is one, and the options without a tag.
//
// Nobody is in a group here: an order that names one is refused, and the GroupID 0 of MASS_CANCEL
// is everybody's.
//
// Quantities of CANCEL and MODIFY are not judged here. LocateBroker is not looked at, nor are tags
// that are unknown or have no meaning on the message they stand on. docs/ouch.md has every field.
enum ouch_fault ouch_decode(const uint8_t *message, size_t size, const struct symbols *symbols,
                            const char session_firm[4], struct command *command);

// ouch_encode: write the OUCH message that tells a session of `event`, one of EVENT_SYSTEM to
// EVENT_ENTRY_ENABLED or EVENT_CANCEL_PENDING, to `out`, which has room for OUCH_OUT_SIZE_MAX
// bytes. Returns its size. Any thread.
size_t ouch_encode(const struct event *event, const struct symbols *symbols, uint8_t *out);

// ouch_add_options: add those of an EVENT_ACCEPTED or EVENT_REPLACED, in up to
// OUCH_OPTIONS_SIZE_MAX bytes, to the `size` bytes that ouch_encode wrote of it to `out`; nothing
// to other events' messages. Returns the size of both. Any thread.
size_t ouch_add_options(const struct event *event, const struct order_options *options,
                        uint8_t *out, size_t size);

#endif
