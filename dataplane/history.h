// SPDX-License-Identifier: MIT
//
// history: what a stream no longer keeps, brought back from the journal. There is one window for
// all streams of a lane: events of one of them, in order, from the number that somebody asked for.
// The port's thread sends from it; where it has not got the number it leaves a request, and
// history's thread replays the journal up to there (lane_fetch_history) and fills the window anew.
// Whoever asked asks again, as UFO and MoldUDP64 have it anyway.
//
//     port's thread: history_find ──asked──▶ history's thread: history_take, history_answer
//                        ▲──────────────────────── window ──────────────────────┘
//
// The window and all that goes with it belong to history's thread while `asked` is set, and to the
// port's while it is not.
//
// A replay goes forward only, so readers in different places cost each other a replay from the
// beginning. One has the window until it has read it and gone on for a while, or has stopped
// reading; the next one waits in a line of one place.
#ifndef SLUICE_DATAPLANE_HISTORY_H
#define SLUICE_DATAPLANE_HISTORY_H

#include <stdalign.h>
#include <stdatomic.h>

#include "dataplane/stream.h"

#define HISTORY_EVENTS      65536u // 5 MiB: room for the window, and …
#define HISTORY_ENOUGH      32768u // … how many will do: what one batch of commands adds still fits
#define HISTORY_PATIENCE_NS 500000000ull  // so long unread, the window is anybody's
#define HISTORY_TURN_NS     1000000000ull // so long a reader goes on while another waits
#define HISTORY_HELD_NS     5000000000ull // … and so long in one window, however slowly he reads
#define HISTORY_REST_NS     1000000000ull // after a replay that failed

struct history_request {
    uint64_t number;  // of the first event wanted
    uint64_t made_ns; // when
    uint16_t session; // or FEED_SESSION
};

struct history {
    alignas(128) _Atomic bool asked; // set by the port's thread, cleared by history's

    uint16_t session; // of the window
    uint64_t first;   // number of its first event, or of the one that is wanted
    struct stream window;
    uint64_t
        begins;  // the first number behind `first` that there is, where `first` is gone; 0: none
    bool fresh;  // filled, and not looked at since
    bool failed; // … because the journal could not be read

    uint64_t *gone; // port's thread, from here on: by session, numbers below are in no journal
    uint32_t session_max;
    uint64_t read_ns;    // when somebody last read from the window
    uint64_t brought_ns; // when it was filled
    uint64_t turn_ns;    // since when its reader has its turn; 0: it has read nothing yet
    uint64_t rest_until_ns;
    struct history_request line; // who is next; made_ns 0: nobody
};

// history_memory_size: bytes that history_init takes for streams of up to `session_max` sessions
// and the feed's. `memory` is 64-byte aligned and zeroed, and stays the caller's.
size_t history_memory_size(uint32_t session_max);
void history_init(struct history *history, void *memory, uint32_t session_max);

// history_find: where event `number` of `session`, whose stream is `kept`, can be read: `kept`
// itself, where it is the place to look, or the window. NULL when it can be read nowhere; then
// `later` is set when it is being brought, and asking again will help. `now_ns` is a monotonic
// clock. `history` NULL: there is no journal. Port's thread.
const struct stream *history_find(struct history *history, uint16_t session,
                                  const struct stream *kept, uint64_t number, uint64_t now_ns,
                                  bool *later);

// history_wanted: the window is to be filled. History's thread, as the rest:
bool history_wanted(const struct history *history);

// history_begin: the window is empty, and waits for the number that was asked for.
void history_begin(struct history *history);

// history_take: an event that the replay came past: the window's next one, or none of its.
void history_take(struct history *history, const struct event *event);

// history_full: it has enough.
static inline bool history_full(const struct history *history)
{
    return history->window.next - history->first >= HISTORY_ENOUGH;
}

// history_answer: the window is the port's again. `failed`: it is empty for want of a journal that
// can be read, and asking again may help.
void history_answer(struct history *history, bool failed);

#endif
