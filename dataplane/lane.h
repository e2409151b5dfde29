// SPDX-License-Identifier: MIT
//
// lane: the way of one shard's orders, from the port to the book and the journal and back:
// everything a shard has to itself, and the rings between its threads.
//
//     port thread:    entry ──commands──▶ shard thread: book ──to_journal──▶ journal thread: disk
//                     feed, entry ◀── gate ◀──events──┘ ◀───── durable_seq ──────────┘
#ifndef SLUICE_DATAPLANE_LANE_H
#define SLUICE_DATAPLANE_LANE_H

#include <pthread.h>

#include "dataplane/config.h"
#include "dataplane/entry.h"
#include "dataplane/feed.h"
#include "dataplane/gate.h"
#include "dataplane/history.h"
#include "dataplane/port.h"
#include "dataplane/shard.h"
#include "journal/journal.h"
#include "numa/arena.h"
#include "numa/clock.h"

#define LANE_COMMAND_RING_SLOTS 32768u
#define LANE_INSTRUMENTS_ROOM   64u // more than the configuration lists
#define LANE_SESSIONS_ROOM      64u // the same
#define LANE_EVENTS_A_COMMAND   4u  // event ring slots for each command in flight
#define LANE_SHARE_SLOTS        (2 * BOOK_MEMBERS_MAX) // of what is told of members' shares and bars
#define LANE_SHARE_WANTS        32u                    // of them, of orders that lacked a share
#define LANE_PAST_KEPT_S        10u // without a request, until history's memory is given back

// The counters of the port's side, copied by the port's thread for others to read.
struct lane_snapshot {
    struct entry_counters entry;
    struct feed feed;
    uint64_t released;
};

// What an operator, or who moves shares, has a lane do, in order with everything else: commands
// from a thread of theirs to the port's.
#define LANE_ORDERS_MAX 2u

struct lane_orders {
    _Atomic bool given; // and not taken yet
    uint32_t count;
    uint64_t number; // how often some were given
    uint64_t seq;    // of the last one, once taken
    struct command commands[LANE_ORDERS_MAX];
};

struct lane {
    const struct config *config;
    const struct config_shard *place;
    uint32_t index;
    bool huge_pages;
    struct arena memory, book_memory;
    struct ring *commands, *to_journal, *events;
    struct ring *shares; // struct book_share, from the shard's thread to whoever moves shares

    struct logins logins;   // port's thread and the logins'
    struct symbols symbols; // port's thread, from here on
    struct entry entry;
    struct feed feed;
    struct gate gate;
    struct lane_snapshot snapshot;
    struct bell *port_bell;  // of the loop that polls the port
    struct bell *shard_bell; // of the loop that polls the shard; NULL when it is the same one
    struct bell *share_bell; // of who takes what is told of shares, or NULL

    struct shard shard; // shard's thread

    struct disk *disk;       // the caller's
    struct journal *journal; // journal's thread
    const struct tsc_clock *clock;
    struct bell journal_bell;
    struct journal_progress
        last_progress; // what gate.progress points to once the journal is closed
    pthread_t journal_thread, spare_thread;
    bool journal_spins;
    _Atomic uint64_t longest_write_ns; // of all writes of the journal's thread; its own
    int seal_failure;                  // spares' thread
    _Atomic bool journal_stop, spare_stop;
    _Atomic bool cancel_only; // no segment can be made and fewer than two are left

    char session_name[10]; // of a day that lane_prime begins; all 0: made up from the time
    struct lane_orders orders;

    pthread_t snapshot_thread;
    _Atomic bool snapshot_stop;
    uint64_t snapshot_seq; // of the newest snapshot; snapshot's thread

    struct history history;
    pthread_t history_thread;
    _Atomic bool history_stop;
    struct recover_past *past; // the replay that history is taken from, or NULL; history's thread

    uint64_t recovered_count; // commands of the snapshot and of the journal behind it
    uint64_t recovered_ns;    // time of the last of these, ns since 1970; 0: there is none
    uint64_t recovered_from;  // of them, in the snapshot
    uint64_t recovered_hash;  // book_hash after them
    struct error unlisted;    // what its day, which has ended, has and the configuration has not;
                              // empty: nothing
};

// lane_book_limits: what shard `index` has room for in a day begun with `config`.
struct book_limits lane_book_limits(const struct config *config, uint32_t index);

// lane_memory_size: bytes of rings and streams of shard `index`; the book's come on top.
size_t lane_memory_size(const struct config *config, uint32_t index);

// lane_disk: the folder of shard `index`'s journal, to be closed by the caller once the lane is.
// NULL with `error`.
struct disk *lane_disk(const struct config *config, uint32_t index, struct error *error);

// lane_open: memory, and the journal on `disk` (the caller's) recovered and replayed into book and
// streams. lane_place is due next. 0, or -1 with `error`; lane_close is due either way.
int lane_open(struct lane *lane, uint32_t index, const struct config *config, struct disk *disk,
              struct error *error);

// lane_open_offline: the same without a journal: everything counts as durable at once. For
// captures.
int lane_open_offline(struct lane *lane, uint32_t index, const struct config *config,
                      struct error *error);

// lane_place: let it send through `port`, as the configuration has its addresses.
void lane_place(struct lane *lane, struct port *port);

// lane_receive: a packet that is the lane's, for order entry or for the feed's requests. `now_ns`
// is a monotonic clock, `time_ns` since 1970. How many commands were put into the ring. Port's
// thread.
uint32_t lane_receive(struct lane *lane, const struct packet *packet, uint64_t now_ns,
                      uint64_t time_ns);

// lane_prime: journal what the configuration has and the book has not: the day, instruments,
// sessions, the start of trading, all as of `time_ns` (since 1970). In the calling thread, before
// lane_start; the feed's part goes out through the port.
int lane_prime(struct lane *lane, uint64_t time_ns, struct error *error);

// lane_day_over: the day in its journal has ended, and began on an earlier date than that of
// `time_ns` (since 1970), by the host's time zone: another may begin. Once it is open.
bool lane_day_over(const struct lane *lane, uint64_t time_ns);

// lane_put_aside: give the journal's folder the name of its day's session as well, so that the next
// lane_disk makes another. Durable when it returns 0; else -1 with `error`. After lane_stop; what
// has the folder open keeps it.
int lane_put_aside(const struct lane *lane, struct error *error);

// lane_pump: one round of the whole lane in the calling thread, from the command ring to the port.
// False when the journal has failed. Before lane_start, or offline.
bool lane_pump(struct lane *lane, uint64_t now_ns);

// lane_start: the threads that write the journal, keep its spare segments, take snapshots and read
// what streams no longer keep. The bells are set.
int lane_start(struct lane *lane, const struct tsc_clock *clock, struct error *error);

// lane_make_spare: see to it that the journal has segments to go on in: whether one was made. When
// none can be, the lane is cancel-only until one is. The thread that lane_start makes for it, or
// without it the only one.
bool lane_make_spare(struct lane *lane);

// lane_seal: seal a closed segment of the journal: whether there was one. The same thread.
bool lane_seal(struct lane *lane);

// lane_time_next: time the next command that is put into the ring, on its way through the shard and
// the gate, for the port's watch. Before it is. Port's thread.
void lane_time_next(struct lane *lane);

// lane_release: what the gate lets through goes to clients and the feed. Returns events released.
// Port's thread.
uint32_t lane_release(struct lane *lane, uint64_t now_ns);

// lane_commanded: the seq of the last command that was put into the ring. Port's thread.
uint64_t lane_commanded(const struct lane *lane);

// lane_give_orders: have the port's thread put `count` commands (1 to LANE_ORDERS_MAX), whose times
// it fills in, in their place among the others. Returns a number to ask for them by, or 0 while
// others that were given before are not done. lane_orders_done: those of that number are applied
// and durable. One thread at a time, not the port's.
uint64_t lane_give_orders(struct lane *lane, const struct command *commands, uint32_t count);
bool lane_orders_done(const struct lane *lane, uint64_t number);

// lane_tell_shares: from now on `shares` has what the book tells of members' shares and bars, and
// `bell` (NULL: none) is rung. Orders that lacked a share are left out beyond LANE_SHARE_WANTS.
// Once the lane is primed, before it has threads.
void lane_tell_shares(struct lane *lane, struct bell *bell);

// lane_orders_given: whether there are orders to take. Port's thread, at each poll.
static inline bool lane_orders_given(const struct lane *lane)
{
    // Acquire pairs with the release in lane_give_orders.
    return atomic_load_explicit(&lane->orders.given, memory_order_acquire);
}

// lane_take_orders: what was given, if there is room for it; it is `time_ns` (since 1970). How many
// commands were put into the ring. Port's thread.
uint32_t lane_take_orders(struct lane *lane, uint64_t time_ns);

// lane_take_logins: what comes of logins that were verified by now (logins_answered). How many
// commands were put into the ring. Port's thread.
uint32_t lane_take_logins(struct lane *lane, uint64_t now_ns, uint64_t time_ns);

// lane_tick: heartbeats, time-outs, the book's clock; it is `now_ns` on the
// monotonic clock, and `time_ns` since 1970. Ten times a second at least: orders that nobody else
// wakes the book for expire so much late. Port's thread.
void lane_tick(struct lane *lane, uint64_t now_ns, uint64_t time_ns);

// lane_take_snapshot: the state after all that is durable now, made from the snapshot before and
// the journal, in memory of its own and beside everything else, as recovery would make it. What no
// recovery needs any more may be used again by the journal then. 0, or -1 with `error`. The thread
// that lane_start makes for it, or without it the only one.
int lane_take_snapshot(struct lane *lane, struct error *error);

// lane_fetch_history: fill the window with what the port's thread has asked for, by a replay of the
// journal in memory of its own, which goes on from where it was while what is wanted lies ahead.
// Whether anything was asked for. lane_forget_past: give that memory back. The thread that
// lane_start makes for it, or without it the only one.
bool lane_fetch_history(struct lane *lane);
void lane_forget_past(struct lane *lane);

// lane_drained: everything taken so far is applied, durable and released. Exact once the port takes
// no more. Any thread.
bool lane_drained(const struct lane *lane);

// lane_stop: end the journal's threads (after the shard's), mark the log as complete. 0, or -1 with
// `error`.
int lane_stop(struct lane *lane, struct error *error);

// lane_close: free what lane_open took.
void lane_close(struct lane *lane);

#endif
