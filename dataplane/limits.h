// SPDX-License-Identifier: MIT
//
// limits: what the limits of members and instruments are called in a configuration and by an
// operator, what of one is a shard's share, and those that the port holds orders against by
// themselves. docs/rules.md has what each means.
#ifndef SLUICE_DATAPLANE_LIMITS_H
#define SLUICE_DATAPLANE_LIMITS_H

#include "book/book.h"

struct limit_name {
    const char *name;
    uint8_t kind; // enum limit_kind
    bool split;   // each shard has a share: what the member does on all of them is counted together
    bool onoff;   // 0 or 1
    bool money;   // an amount or a price, written with a point and up to 4 decimals
};

// limit_by_name, limit_by_kind: NULL when there is none. limit_of_member: else an instrument's.
const struct limit_name *limit_by_name(const char *name);
const struct limit_name *limit_by_kind(uint8_t kind);
bool limit_of_member(const struct limit_name *limit);

// limit_at: the limits in turn, from 0; NULL behind the last.
const struct limit_name *limit_at(uint32_t place);

// limit_parse: a value as somebody writes it, for a gateway of so many shards. NULL, or what is
// wrong, to be put behind the limit's name.
const char *limit_parse(const struct limit_name *limit, const char *text, uint32_t shard_count,
                        uint64_t *value);

// price_parse: an instrument's price as somebody writes it, in 0.0001. NULL, or what is wrong, as
// above.
const char *price_parse(const char *text, uint32_t *price);

// limit_share: what of the value is a shard's to begin with; LIMIT_NOTHING where that is 0. The
// shares' sum is the value. limit_total: what goes with the share: the value, where shares move.
uint64_t limit_share(const struct limit_name *limit, uint64_t value, uint32_t shard,
                     uint32_t shard_count);
uint64_t limit_total(const struct limit_name *limit, uint64_t value, uint32_t shard_count);

// What a member's orders are held against one by one, on the port's thread.
struct precheck {
    uint64_t quantity, notional; // 0: none
    bool no_market, no_sweep, no_short, no_exempt;
};

// precheck_set: a limit of this kind has this value now; kinds that are the book's are ignored.
void precheck_set(struct precheck *precheck, uint8_t kind, uint64_t value);

// precheck_verdict: what stands against an ENTER or REPLACE, or REJECT_NONE.
enum reject_reason precheck_verdict(const struct precheck *precheck, const struct command *command);

#endif
