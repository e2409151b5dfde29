// SPDX-License-Identifier: MIT
//
// book_tape: a seeded stream of commands that looks like a day's order flow. First the day is
// opened and `resting` orders are entered; then it is 47 % adds, 43 % cancels of which one in fifty
// comes too late, 5 % replacements and 5 % orders that cross the spread, which keeps the book about
// as full as it was. Instruments are drawn with weights 1/(rank + 3). An instrument's mid walks by
// a tick of $0.01; an order stands behind it at a distance that is geometric with a mean of 7
// ticks, or, one time in twenty, anywhere within 600. 60 % of the cancels hit one of the
// instrument's 256 newest orders, the others any order.
//
// To know what is live the generator plays the stream into a book of its own: the peer.
#ifndef SLUICE_BENCH_BOOK_TAPE_H
#define SLUICE_BENCH_BOOK_TAPE_H

#include "book/book.h"

enum tape_kind { TAPE_ADD, TAPE_CANCEL, TAPE_REPLACE, TAPE_CROSS, TAPE_KINDS, TAPE_LEAD };

struct tape_shape {
    uint32_t instruments;
    uint32_t resting;
    uint64_t commands_max; // after the lead
    bool steady;           // only an add and a cancel of any order in turn, and nothing crosses
    uint32_t members; // firms that the sessions are of, in turn, 48 at most; behind them comes a
                      // session that sends nothing, of a firm of its own. 0: all are of one
};

struct tape;

// tape_open / tape_close: memory is the process's; the program ends when there is none.
struct tape *tape_open(const struct tape_shape *shape, uint64_t seed);
void tape_close(struct tape *tape);

// tape_firm: of the member `index`; that of shape->members sends nothing.
void tape_firm(char firm[4], uint32_t index);

// tape_limits: of a book that the stream fits into.
struct book_limits tape_limits(const struct tape_shape *shape);

// tape_lead_count: commands that open the day and fill the book.
uint32_t tape_lead_count(const struct tape_shape *shape);

// tape_next: the next command; those of the lead are TAPE_LEAD.
enum tape_kind tape_next(struct tape *tape, struct command *command);

// What the stream has come to.
struct tape_state {
    uint32_t resting;
    uint32_t levels; // 0 when steady
    uint64_t trades;
};
struct tape_state tape_state(const struct tape *tape);

#endif
