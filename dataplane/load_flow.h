// SPDX-License-Identifier: MIT
//
// load_flow: a day of orders for `sluice load`, as a flat array of small steps that is complete
// before the first is sent. It is either generated here or read from a tape (load_tape.h).
//
// The generated day is a function of its options alone. Per symbol a mid price walks by ticks,
// orders are added at a geometric distance from it, recent ones are cancelled or replaced, and a
// few orders cross. The generator keeps a book of its own to know what trades, and believes that an
// order is gone only some messages after it is, as a client does whose answers are on their way: so
// some cancels and replaces come too late, and the venue answers them with silence.
#ifndef SLUICE_DATAPLANE_LOAD_FLOW_H
#define SLUICE_DATAPLANE_LOAD_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "book/book.h"
#include "numa/error.h"

#define LOAD_SESSIONS_MAX      64u
#define LOAD_NAMED_SYMBOLS_MAX 256u
#define LOAD_COUNT_MAX         100000000u // generated messages: 2.4 GB of steps

#define LOAD_TIF_DAY           '0'
#define LOAD_TIF_IOC           '3'

enum load_step_kind {
    LOAD_ENTER = 1,
    LOAD_CANCEL = 2,
    LOAD_REPLACE = 3,
};

// One message to the venue. References count a session's Enters and Replaces from 1; the client
// adds them to the UserRefNum that its session has come to.
struct load_step {
    uint32_t ref;      // Enter, Replace: the new order; Cancel: the order
    uint32_t orig_ref; // Replace: the order replaced; else 0
    uint32_t
        quantity;    // Enter: shares; Cancel, Replace: the intended total, executed shares included
    uint32_t price;  // Enter, Replace: 1 to PRICE_MAX
    uint16_t symbol; // index into the day's symbols
    uint8_t session;
    uint8_t kind;          // enum load_step_kind
    uint8_t side;          // Enter: SIDE_BUY or SIDE_SELL
    uint8_t time_in_force; // Enter: LOAD_TIF_DAY or LOAD_TIF_IOC
};

struct load_day {
    struct load_step *steps;
    uint64_t count;
    size_t capacity, times_capacity;
    char (*symbols)[8]; // padded with spaces
    uint32_t symbol_count;
    uint32_t session_count;
    uint32_t refs[LOAD_SESSIONS_MAX];    // Enters and Replaces of each session
    uint32_t cancels[LOAD_SESSIONS_MAX]; // Cancels of each session
    bool ordered;                        // sessions must not overtake one another (a tape)
    bool timed;                          // … which says when each step was
    uint64_t *times;                     // ns of each step where they are timed, in order
    uint64_t now_ns;                     // of the steps that are pushed next
    bool out_of_memory;                  // a step was dropped; checked once, at the end
};

struct load_flow_options {
    uint64_t seed;
    uint64_t count;         // messages, 1 to LOAD_COUNT_MAX
    uint32_t session_count; // 1 to LOAD_SESSIONS_MAX
    uint32_t symbol_count;  // 1 to LOAD_NAMED_SYMBOLS_MAX
    const char (*symbols)[8];
};

// load_flow_generate: the day of `options` into `day`, an empty one. 0, or -1 with `error` when
// memory does not suffice. load_day_free either way.
int load_flow_generate(const struct load_flow_options *options, struct load_day *day,
                       struct error *error);

// load_day_free: what the day holds; it is empty afterwards.
void load_day_free(struct load_day *day);

// load_step_command: what a book gets to see of a step, without a time. UserRefNums are the
// references.
struct command load_step_command(const struct load_step *step);

// load_day_commands: the day as the commands of one shard, from the opening on, each given to
// `each`: what a book gets to see when the day is played to it, arrival times apart. UserRefNums
// are the references.
void load_day_commands(const struct load_day *day,
                       void (*each)(void *context, const struct command *command), void *context);

// load_random: a number of 64 bits; `state` is any number at first, the seed.
uint64_t load_random(uint64_t *state);

// load_day_new_ref: the next reference of `session`.
uint32_t load_day_new_ref(struct load_day *day, uint8_t session);

// load_day_push: append a step, of the day's now where it is timed. Without memory the day is
// marked, and the step dropped.
void load_day_push(struct load_day *day, const struct load_step *step);

#endif
