// SPDX-License-Identifier: MIT
//
// load_tape: a recorded day of a market as the steps of `sluice load`. A tape says what a book did,
// not what was asked of it: an execution becomes an immediate-or-cancel order of its size, at the
// resting order's price, on the other side and from another session. Three kinds, told apart by
// their first bytes:
//
// - LOBSTER message files: lines of seconds, type, order id, size, price x 10^4, side. Orders that
//   a line names but none enters (they came before the file begins, or beyond the levels that it
//   covers) are entered where their number falls among the others, as ids rise through a day. Those
//   that are deleted beyond these levels are cancelled when a later line shows that they are gone.
// - ITCH 5.0 in MoldUDP64, as a pcap with Ethernet frames (microseconds or nanoseconds).
// - ITCH 5.0 as a BinaryFILE: each message behind its be16 length.
//
// What cannot be told to an OUCH venue is fitted and counted: more than QUANTITY_MAX shares, prices
// above PRICE_MAX.
#ifndef SLUICE_DATAPLANE_LOAD_TAPE_H
#define SLUICE_DATAPLANE_LOAD_TAPE_H

#include "dataplane/load_flow.h"

struct load_tape_options {
    uint64_t count;         // steps to read at most; 0 for all
    uint32_t session_count; // 1 to LOAD_SESSIONS_MAX; resting orders go to them in turn
    // LOBSTER: the first is the file's. ITCH: those to be read, none for all.
    uint32_t symbol_count;
    const char (*symbols)[8];
};

struct load_tape_counts {
    uint64_t messages;      // lines or ITCH messages read
    uint64_t unknown_order; // about an order that was never entered
    uint64_t other_symbol;  // of a symbol that was not asked for
    uint64_t no_order;      // hidden executions, halts, directories, crosses, ...
    uint64_t malformed;     // skipped: a field out of range, an order entered twice
    uint64_t fitted;        // shares or price cut to what OUCH can say
    uint64_t vanished;      // LOBSTER: orders cancelled because later lines show that they are gone
    uint64_t packets_other; // pcap: not MoldUDP64 of the first session found, or seen already
};

// load_tape_read: the file at `path` into `day`, an empty one. 0, or -1 with `error`: cannot be
// read, not a tape, cut off in the middle, without any order, no memory. load_day_free either way.
int load_tape_read(const char *path, const struct load_tape_options *options, struct load_day *day,
                   struct load_tape_counts *counts, struct error *error);

#endif
