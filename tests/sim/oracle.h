// SPDX-License-Identifier: MIT
//
// What must have happened: the commands in the order in which they went to the journal, applied to
// the reference as far as they are durable, and everything that follows from them.
#ifndef SLUICE_TESTS_SIM_ORACLE_H
#define SLUICE_TESTS_SIM_ORACLE_H

#include "tests/sim/client.h"
#include "tests/sim/sim.h"

// The events of one session, or of the feed, by number from 1.
struct expected {
    struct event *events;
    struct order_options *options; // of each
    struct order_options coming;   // of the next
    uint64_t count;
    size_t capacity, option_capacity;
    uint64_t checked; // of what was heard, up to here
};

// An order as the feed tells of it.
struct shown {
    uint64_t order_ref; // 0: none
    uint32_t shares, price;
    uint16_t locate;
    uint8_t side;
};

struct oracle {
    struct command *log; // of seq 1, 2, …: as it went to the journal
    uint64_t log_count;
    size_t log_capacity;
    uint64_t *cuts; // log_count at each recovery
    uint32_t cut_count;
    size_t cut_capacity;
    uint64_t applied; // to the reference and the book beside it
    struct reference reference;
    struct book *book;
    void *book_memory;
    struct expected sessions[SIM_CLIENTS_MAX], feed;
    struct shown *shown;
    uint32_t shown_count;
    size_t shown_capacity;
};

void oracle_init(struct oracle *oracle);
void oracle_free(struct oracle *oracle);

// oracle_log: this command went to the journal next.
void oracle_log(struct oracle *oracle, const struct command *command);

// oracle_cut: the house came back with the first `count` commands, and had `durable` of them by its
// own word: no more than were sent, no fewer than that.
void oracle_cut(struct oracle *oracle, uint64_t count, uint64_t durable);

// oracle_advance: all commands up to `seq` are durable.
void oracle_advance(struct oracle *oracle, uint64_t seq, const struct symbols *symbols);

// oracle_check_lane: the house's state, its streams and its record of the commands are what follows
// from the log. It is at rest: all is applied, durable and released.
void oracle_check_lane(struct oracle *oracle, const struct lane *lane);

// oracle_check_heard: what a client or the feed's listener was told is the beginning of its stream.
void oracle_check_heard(struct expected *expected, const struct heard *heard,
                        stream_encode_fn *encode, const struct symbols *symbols, const char *whose);

// oracle_check_client: at the end, when all is quiet: the client's own books are the reference's,
// and what the log has of it is what it sent, datagrams whole but for the end of one that a crash
// cut off.
void oracle_check_client(const struct oracle *oracle, const struct client *client,
                         const struct symbols *symbols);

#endif
