// SPDX-License-Identifier: MIT
//
// rebalance: members' limits of what is held (limit_held), over several lanes. Each lane has a
// share; what a member leaves unused on one goes to the lane that refused an order for want of it:
// first a lane yields, then, when that is durable, the one that lacked is raised. So the shares
// never are more than the limit together, wherever a crash comes between; what no lane has then is
// found at the next start and given to whoever asks first.
//
// And a member who is barred on one lane, since he trades too often (LIMIT_EXECUTIONS), is barred
// on all. A lane that was not told before a crash is told at the next start, as the books know him.
//
// A machine of steps without a clock or a thread of its own. One thread at a time.
#ifndef SLUICE_DATAPLANE_REBALANCE_H
#define SLUICE_DATAPLANE_REBALANCE_H

#include "dataplane/lane.h"

// From one round of a member's kind to the next, so that who sends on at his limit does not fill
// the journals: usually, and where nothing was to be had.
#define REBALANCE_EVERY_NS       50000000ull
#define REBALANCE_EVERY_EMPTY_NS 500000000ull

// A member's limit of a kind.
struct rebalance_limit {
    uint64_t total;      // of all lanes together; 0: shares do not move
    uint64_t free;       // of it, what no lane has
    bool exceeded;       // the shares are more together: it is to be set again
    bool wanted;         // an order was refused for it,
    uint32_t asker;      // … on this lane,
    uint64_t missing;    // … which lacked so much
    uint64_t next_ns;    // the next round may begin
    uint32_t raised;     // the lane that was raised last, and the command that did it:
    uint64_t raised_seq; // what was refused before it is settled
};

struct rebalance_member {
    char firm[4];
    uint64_t to_bar; // lanes that are still to be told that he is barred, a bit each
    struct rebalance_limit limits[LIMIT_HELD_COUNT];
};

enum rebalance_state {
    REBALANCE_IDLE,
    REBALANCE_ASKING,     // a round: lanes yield until there is enough
    REBALANCE_RAISING,    // … and the one that lacked it is raised
    REBALANCE_COLLECTING, // a limit is set: all lanes yield what is unused
    REBALANCE_LOWERING,   // … those that get less than they have
    REBALANCE_SETTING,    // … and then those that get more
};

struct rebalance {
    struct lane *const *lanes;
    uint32_t lane_count;
    struct rebalance_member *members;
    uint32_t member_count;
    uint32_t exceeded;                  // limits that are
    uint32_t next_member;               // to be looked at first, so that each has its turn
    uint64_t barred[CONFIG_SHARDS_MAX]; // of each lane: the number by which it was given a bar

    enum rebalance_state state;
    struct rebalance_member *member; // whose limit, of which kind, is in hand
    uint8_t kind;
    uint32_t asker;         // of a round
    uint64_t missing;       // … what it lacks
    uint32_t at;            // the lane that is told, or is to be told
    struct command command; // what it is told
    uint64_t given;         // by which number the lane was given it; 0: it was not yet
    bool answered;          // it has carried it out
    struct book_share answer;
    char actor[28];                                             // who is journaled for it
    uint64_t set_count;                                         // limits that were set
    uint64_t total;                                             // … and one that is being
    uint64_t used[CONFIG_SHARDS_MAX], share[CONFIG_SHARDS_MAX]; // of each lane, by its answer
    uint64_t wanted[CONFIG_SHARDS_MAX];                         // … what it is to get
};

// rebalance_open: for these lanes (the caller's), which are primed and have no threads yet; reads
// their books, and has them tell of shares from now on. `bell`: of whoever steps, or NULL. A limit
// that not all lanes know alike, since a crash came while it was set, is told of on stderr and its
// shares stay as they are until it is set again. One that the shares exceed, since a lane has begun
// its day after others, is set again by the first steps. 0, or -1 with `error`. rebalance_close
// frees.
int rebalance_open(struct rebalance *rebalance, struct lane *const *lanes, uint32_t lane_count,
                   struct bell *bell, struct error *error);
void rebalance_close(struct rebalance *rebalance);

// rebalance_step: take what lanes have told, tell of bars, and go on with what is in hand, or begin
// what is due at `now_ns` (any clock that does not run backwards). Whether something is in hand:
// then step again soon.
bool rebalance_step(struct rebalance *rebalance, uint64_t now_ns);

// rebalance_waits: whether something is to begin later.
bool rebalance_waits(const struct rebalance *rebalance);

// rebalance_set: give a member another limit of a kind that is held (0: none), as `actor` wants it,
// of whose name 28 characters are journaled; it is in force when `set_count` has become one more.
// While nothing is in hand (REBALANCE_IDLE). False where there is no such member.
bool rebalance_set(struct rebalance *rebalance, const char firm[4], uint8_t kind, uint64_t value,
                   const char *actor);

#endif
