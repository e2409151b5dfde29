// SPDX-License-Identifier: MIT
//
// TotalView-ITCH 5.0: the feed's messages, encoded from the book's events for FEED_SESSION.
#ifndef SLUICE_DATAPLANE_ITCH_H
#define SLUICE_DATAPLANE_ITCH_H

#include "book/book.h"
#include "dataplane/symbols.h"
#include "dataplane/wire.h"

#define ITCH_SYSTEM_EVENT   'S'
#define ITCH_DIRECTORY      'R'
#define ITCH_ACTION         'H'
#define ITCH_ADD            'A'
#define ITCH_ADD_MPID       'F'
#define ITCH_EXECUTED       'E'
#define ITCH_EXECUTED_PRICE 'C'
#define ITCH_CANCEL         'X'
#define ITCH_DELETE         'D'
#define ITCH_REPLACE        'U'
#define ITCH_TRADE          'P'
#define ITCH_CROSS          'Q'
#define ITCH_IMBALANCE      'I'
#define ITCH_SHORT_SALE     'Y'
#define ITCH_COLLAR         'J'

// Every message begins with these.
struct itch_head {
    uint8_t type;
    be16 stock_locate; // the instrument's index + 1; 0 when the message is of no instrument
    be16 tracking_number;
    be48 time_ns; // since midnight
};

struct itch_system_event {
    struct itch_head head;
    uint8_t code;
};

struct itch_directory {
    struct itch_head head;
    char stock[8];
    uint8_t market_category;
    uint8_t financial_status;
    be32 round_lot_size;
    uint8_t round_lots_only;
    uint8_t issue_classification;
    char issue_sub_type[2];
    uint8_t authenticity;
    uint8_t short_sale_threshold;
    uint8_t ipo_flag;
    uint8_t luld_tier;
    uint8_t etp_flag;
    be32 etp_leverage_factor;
    uint8_t inverse_indicator;
};

struct itch_action {
    struct itch_head head;
    char stock[8];
    uint8_t trading_state;
    uint8_t reserved;
    char reason[4];
};

struct itch_add {
    struct itch_head head;
    be64 order_ref;
    uint8_t side;
    be32 shares;
    char stock[8];
    be32 price;
};

struct itch_add_mpid {
    struct itch_head head;
    be64 order_ref;
    uint8_t side;
    be32 shares;
    char stock[8];
    be32 price;
    char attribution[4];
};

struct itch_executed {
    struct itch_head head;
    be64 order_ref;
    be32 shares;
    be64 match_number;
};

struct itch_executed_price {
    struct itch_head head;
    be64 order_ref;
    be32 shares;
    be64 match_number;
    uint8_t printable;
    be32 price;
};

struct itch_cancel {
    struct itch_head head;
    be64 order_ref;
    be32 shares; // removed
};

struct itch_delete {
    struct itch_head head;
    be64 order_ref;
};

struct itch_replace {
    struct itch_head head;
    be64 orig_order_ref;
    be64 order_ref;
    be32 shares; // now displayed
    be32 price;
};

struct itch_trade {
    struct itch_head head;
    be64 order_ref; // always 0
    uint8_t side;   // always 'B'
    be32 shares;
    char stock[8];
    be32 price;
    be64 match_number;
};

struct itch_cross {
    struct itch_head head;
    be64 shares;
    char stock[8];
    be32 price;
    be64 match_number;
    uint8_t cross_type;
};

struct itch_imbalance {
    struct itch_head head;
    be64 paired;
    be64 imbalance;
    uint8_t direction;
    char stock[8];
    be32 far_price;
    be32 near_price;
    be32 reference;
    uint8_t cross_type;
    uint8_t variation;
};

struct itch_short_sale {
    struct itch_head head;
    char stock[8];
    uint8_t action;
};

struct itch_collar {
    struct itch_head head;
    char stock[8];
    be32 reference;
    be32 upper;
    be32 lower;
    be32 extension;
};

WIRE_FIELD(struct itch_head, type, 0, 1);
WIRE_FIELD(struct itch_head, stock_locate, 1, 2);
WIRE_FIELD(struct itch_head, tracking_number, 3, 2);
WIRE_FIELD(struct itch_head, time_ns, 5, 6);
WIRE_SIZE(struct itch_head, 11);

WIRE_FIELD(struct itch_system_event, head, 0, 11);
WIRE_FIELD(struct itch_system_event, code, 11, 1);
WIRE_SIZE(struct itch_system_event, 12);

WIRE_FIELD(struct itch_directory, head, 0, 11);
WIRE_FIELD(struct itch_directory, stock, 11, 8);
WIRE_FIELD(struct itch_directory, market_category, 19, 1);
WIRE_FIELD(struct itch_directory, financial_status, 20, 1);
WIRE_FIELD(struct itch_directory, round_lot_size, 21, 4);
WIRE_FIELD(struct itch_directory, round_lots_only, 25, 1);
WIRE_FIELD(struct itch_directory, issue_classification, 26, 1);
WIRE_FIELD(struct itch_directory, issue_sub_type, 27, 2);
WIRE_FIELD(struct itch_directory, authenticity, 29, 1);
WIRE_FIELD(struct itch_directory, short_sale_threshold, 30, 1);
WIRE_FIELD(struct itch_directory, ipo_flag, 31, 1);
WIRE_FIELD(struct itch_directory, luld_tier, 32, 1);
WIRE_FIELD(struct itch_directory, etp_flag, 33, 1);
WIRE_FIELD(struct itch_directory, etp_leverage_factor, 34, 4);
WIRE_FIELD(struct itch_directory, inverse_indicator, 38, 1);
WIRE_SIZE(struct itch_directory, 39);

WIRE_FIELD(struct itch_action, head, 0, 11);
WIRE_FIELD(struct itch_action, stock, 11, 8);
WIRE_FIELD(struct itch_action, trading_state, 19, 1);
WIRE_FIELD(struct itch_action, reserved, 20, 1);
WIRE_FIELD(struct itch_action, reason, 21, 4);
WIRE_SIZE(struct itch_action, 25);

WIRE_FIELD(struct itch_add, head, 0, 11);
WIRE_FIELD(struct itch_add, order_ref, 11, 8);
WIRE_FIELD(struct itch_add, side, 19, 1);
WIRE_FIELD(struct itch_add, shares, 20, 4);
WIRE_FIELD(struct itch_add, stock, 24, 8);
WIRE_FIELD(struct itch_add, price, 32, 4);
WIRE_SIZE(struct itch_add, 36);

WIRE_FIELD(struct itch_add_mpid, head, 0, 11);
WIRE_FIELD(struct itch_add_mpid, order_ref, 11, 8);
WIRE_FIELD(struct itch_add_mpid, side, 19, 1);
WIRE_FIELD(struct itch_add_mpid, shares, 20, 4);
WIRE_FIELD(struct itch_add_mpid, stock, 24, 8);
WIRE_FIELD(struct itch_add_mpid, price, 32, 4);
WIRE_FIELD(struct itch_add_mpid, attribution, 36, 4);
WIRE_SIZE(struct itch_add_mpid, 40);

WIRE_FIELD(struct itch_executed, head, 0, 11);
WIRE_FIELD(struct itch_executed, order_ref, 11, 8);
WIRE_FIELD(struct itch_executed, shares, 19, 4);
WIRE_FIELD(struct itch_executed, match_number, 23, 8);
WIRE_SIZE(struct itch_executed, 31);

WIRE_FIELD(struct itch_executed_price, head, 0, 11);
WIRE_FIELD(struct itch_executed_price, order_ref, 11, 8);
WIRE_FIELD(struct itch_executed_price, shares, 19, 4);
WIRE_FIELD(struct itch_executed_price, match_number, 23, 8);
WIRE_FIELD(struct itch_executed_price, printable, 31, 1);
WIRE_FIELD(struct itch_executed_price, price, 32, 4);
WIRE_SIZE(struct itch_executed_price, 36);

WIRE_FIELD(struct itch_cancel, head, 0, 11);
WIRE_FIELD(struct itch_cancel, order_ref, 11, 8);
WIRE_FIELD(struct itch_cancel, shares, 19, 4);
WIRE_SIZE(struct itch_cancel, 23);

WIRE_FIELD(struct itch_delete, head, 0, 11);
WIRE_FIELD(struct itch_delete, order_ref, 11, 8);
WIRE_SIZE(struct itch_delete, 19);

WIRE_FIELD(struct itch_replace, head, 0, 11);
WIRE_FIELD(struct itch_replace, orig_order_ref, 11, 8);
WIRE_FIELD(struct itch_replace, order_ref, 19, 8);
WIRE_FIELD(struct itch_replace, shares, 27, 4);
WIRE_FIELD(struct itch_replace, price, 31, 4);
WIRE_SIZE(struct itch_replace, 35);

WIRE_FIELD(struct itch_trade, head, 0, 11);
WIRE_FIELD(struct itch_trade, order_ref, 11, 8);
WIRE_FIELD(struct itch_trade, side, 19, 1);
WIRE_FIELD(struct itch_trade, shares, 20, 4);
WIRE_FIELD(struct itch_trade, stock, 24, 8);
WIRE_FIELD(struct itch_trade, price, 32, 4);
WIRE_FIELD(struct itch_trade, match_number, 36, 8);
WIRE_SIZE(struct itch_trade, 44);

WIRE_FIELD(struct itch_cross, head, 0, 11);
WIRE_FIELD(struct itch_cross, shares, 11, 8);
WIRE_FIELD(struct itch_cross, stock, 19, 8);
WIRE_FIELD(struct itch_cross, price, 27, 4);
WIRE_FIELD(struct itch_cross, match_number, 31, 8);
WIRE_FIELD(struct itch_cross, cross_type, 39, 1);
WIRE_SIZE(struct itch_cross, 40);

WIRE_FIELD(struct itch_imbalance, head, 0, 11);
WIRE_FIELD(struct itch_imbalance, paired, 11, 8);
WIRE_FIELD(struct itch_imbalance, imbalance, 19, 8);
WIRE_FIELD(struct itch_imbalance, direction, 27, 1);
WIRE_FIELD(struct itch_imbalance, stock, 28, 8);
WIRE_FIELD(struct itch_imbalance, far_price, 36, 4);
WIRE_FIELD(struct itch_imbalance, near_price, 40, 4);
WIRE_FIELD(struct itch_imbalance, reference, 44, 4);
WIRE_FIELD(struct itch_imbalance, cross_type, 48, 1);
WIRE_FIELD(struct itch_imbalance, variation, 49, 1);
WIRE_SIZE(struct itch_imbalance, 50);

WIRE_FIELD(struct itch_short_sale, head, 0, 11);
WIRE_FIELD(struct itch_short_sale, stock, 11, 8);
WIRE_FIELD(struct itch_short_sale, action, 19, 1);
WIRE_SIZE(struct itch_short_sale, 20);

WIRE_FIELD(struct itch_collar, head, 0, 11);
WIRE_FIELD(struct itch_collar, stock, 11, 8);
WIRE_FIELD(struct itch_collar, reference, 19, 4);
WIRE_FIELD(struct itch_collar, upper, 23, 4);
WIRE_FIELD(struct itch_collar, lower, 27, 4);
WIRE_FIELD(struct itch_collar, extension, 31, 4);
WIRE_SIZE(struct itch_collar, 35);

// The longest that itch_encode writes.
#define ITCH_OUT_SIZE_MAX 50u
static_assert(sizeof(struct itch_imbalance) == ITCH_OUT_SIZE_MAX, "longest message");

// itch_encode: write the ITCH message that tells the feed of `event`, one of EVENT_FEED_SYSTEM to
// EVENT_FEED_COLLAR, to `out`, which has room for ITCH_OUT_SIZE_MAX bytes. Returns its size.
// Any thread.
size_t itch_encode(const struct event *event, const struct symbols *symbols, uint8_t *out);

// itch_message_size: bytes of a message of `type`, for every type of ITCH 5.0, also those not sent
// here; 0 for an unknown type. Any thread.
size_t itch_message_size(uint8_t type);

#endif
