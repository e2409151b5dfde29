// SPDX-License-Identifier: MIT
//
// entry: order entry of one shard: the server's side of its UFO sessions. Takes the datagrams that
// came to the shard's port, turns OUCH messages into commands, keeps each session's outgoing
// stream, and sends and resends it. Time is given to it; it never reads a clock. Runs on the port's
// thread.
//
// Who is bound to which address is known here only and not journaled: after a restart clients log
// in again, as UFO has them do after ten seconds of silence. What they were told is rebuilt from
// the journal.
#ifndef SLUICE_DATAPLANE_ENTRY_H
#define SLUICE_DATAPLANE_ENTRY_H

#include "dataplane/config.h"
#include "dataplane/history.h"
#include "dataplane/limits.h"
#include "dataplane/logins.h"
#include "dataplane/ouch.h"
#include "dataplane/port.h"
#include "dataplane/signed.h"
#include "dataplane/stream.h"
#include "dataplane/symbols.h"
#include "dataplane/ufo.h"
#include "numa/ring.h"

// What a datagram may hold at most: Account Queries, whose blocks have four bytes.
#define ENTRY_COMMANDS_MAX (UFO_PAYLOAD_MAX / 4u)

// Whose keys those of a channel are.
struct entry_peer {
    struct signed_channel channel;
    uint32_t address; // where the client logged in from; network byte order, as is `port`
    uint16_t port;
    bool keyed; // else there are none
};
static_assert(sizeof(struct entry_peer) == 64, "what a datagram needs is on one cache line");

#define ENTRY_TAKEN_KEPT 8u // more than a client makes while a cookie lasts

// A signed session beside its struct entry_session. The keys of a login are in force once the
// client has shown by a datagram that it has them: a login that is sent again by somebody else
// takes nothing from anybody.
struct entry_signed {
    alignas(64) struct entry_peer peer;
    struct entry_peer next;    // keys that the client has not used yet
    struct signed_login login; // the last one taken, and what it was answered
    struct signed_accept accept;
    // The signatures of the logins (half of each) that were taken last: one that is sent again
    // while its cookie lasts does not take the place of a later one. What is above ends with the
    // binding, this does not.
    uint8_t taken[ENTRY_TAKEN_KEPT][32];
    uint32_t taken_count;
};

struct entry_session {
    struct stream stream;
    struct endpoint client; // where it is bound
    uint64_t heard_ns;      // when it last sent anything valid
    uint64_t spoke_ns;      // when something was last sent to it
    bool bound;
    bool ended;  // its end of day was released: no more orders
    bool proven; // its password is known from here on, by `proof`
    uint8_t proof[LOGINS_PROOF_SIZE];
    // Cancel on disconnect: it may have orders, which are to go when it is not heard of.
    bool orders_to_go;
    bool guarded; // there is something in:
    struct precheck precheck;
    struct config_session who;
};

// Every datagram that reaches entry is counted once, here; one that waits for its login's verdict
// is counted when that is known.
enum entry_verdict {
    ENTRY_TAKEN,           // valid, from a bound session
    ENTRY_LOGIN_REFUSED,   // answered with a reject
    ENTRY_BAD_CHECKSUM,    // UDP checksum wrong
    ENTRY_BAD_UFO,         // not valid UFO framing
    ENTRY_BAD_OUCH,        // valid UFO, holding something that is not an OUCH message
    ENTRY_NOT_BOUND,       // no login, and its source is not bound
    ENTRY_BOUND_ELSEWHERE, // a login of a session that is bound to another source
    ENTRY_RING_FULL,       // more commands than there is room for: none was taken
    ENTRY_LOGIN_BUSY,      // a login while another of its session waits to be verified, or too many
    ENTRY_HANDSHAKE,       // hello or login of a signed session, answered as it should be
    ENTRY_BAD_SIGNED,      // begins as what is signed does, and is not
    ENTRY_BAD_COOKIE,      // a signed login without the cookie of its source and minute
    ENTRY_BAD_TAG,         // of a signed session by its source, not by its tag
    ENTRY_REPLAYED,        // signed, and was there before, or is too old to know
    ENTRY_UNSIGNED,        // not signed, from a source that a signed session is bound to
    ENTRY_VERDICT_COUNT,
    ENTRY_LOGIN_WAITS = ENTRY_VERDICT_COUNT, // not known yet
};
#define ENTRY_VERDICT_NAMES                                                                        \
    {                                                                                              \
        "taken", "login_refused", "bad_checksum", "bad_ufo", "bad_ouch", "not_bound",              \
            "bound_elsewhere", "ring_full", "login_busy", "handshake", "bad_signed", "bad_cookie", \
            "bad_tag", "replayed", "unsigned"                                                      \
    }

struct entry_counters {
    uint64_t datagrams[ENTRY_VERDICT_COUNT];
    uint64_t ufo_faults[UFO_FAULT_COUNT];
    uint64_t ouch_faults[OUCH_FAULT_COUNT];
    uint64_t commands;
    uint64_t sent_packets, sent_messages;
    uint64_t retransmit_requests, retransmitted_messages;
    uint64_t retransmitted_from_journal; // messages, of those
    uint64_t retransmit_later;           // requests of what the journal is being read for
    uint64_t retransmit_unserved; // … of what is not there, or no longer, or beyond those of
                                  // a datagram that are served
    uint64_t logins, timeouts, logoffs;
    uint64_t disconnect_cancels;      // of sessions that were not heard of, or logged off
    uint64_t rejected[UINT8_MAX + 1]; // orders, by enum reject_reason
    uint64_t cancels_rejected;
    uint64_t limits[LIMIT_INSTRUMENT_END]; // of both: what broke a limit, by enum limit_kind
};

struct entry {
    struct port *port;
    struct endpoint source; // the shard's address, port and MAC
    const struct symbols *symbols;
    struct logins *logins;
    struct ring *commands;   // to the shard
    struct history *history; // or NULL
    char session_id[10];
    const _Atomic bool *cancel_only; // the disk is full: orders that add risk are refused
    uint64_t commanded_ns;           // latest time of any command so far, ns since 1970
    uint64_t timed_until_ns; // a command of this time or later ends the last good-till-time order,
                             // or is of the day after the last that a cross builds for
    uint32_t session_count, session_max;
    struct entry_session *sessions;
    bool has_signed;      // there are signed sessions: what begins with two zero bytes is theirs
    struct symbols users; // the sessions by their user names
    struct entry_signed *signed_sessions; // as many as `sessions`, of which most may be unused
    uint32_t bound_mask;
    uint16_t *bound; // hash table by source address and port of session index + 1
    struct entry_counters counters;
};

// entry_memory_size: bytes that entry_init takes for up to `session_max` sessions, and
// entry_stream_size: those that entry_add_session takes for a stream of `history_count` events.
size_t entry_memory_size(uint32_t session_max);
size_t entry_stream_size(uint32_t history_count);

// entry_init: no sessions yet. `memory` is 64-byte aligned and stays the caller's, as do the fields
// from port to timed_until_ns, which the caller fills in.
void entry_init(struct entry *entry, void *memory, uint32_t session_max);

// entry_add_session: the session with the next index, with its stream in `memory` (64-byte aligned,
// the caller's).
void entry_add_session(struct entry *entry, const struct config_session *who, void *memory,
                       uint32_t history_count);

// entry_receive: a datagram to the shard's order port. `now_ns` is a monotonic clock, `time_ns` the
// arrival time that goes into the commands. Returns how many commands were put into the ring. Its
// payload is overwritten where it was not orders alone that were taken: passwords are in clear.
uint32_t entry_receive(struct entry *entry, const struct packet *packet, uint64_t now_ns,
                       uint64_t time_ns);

// entry_take_logins: what comes of the logins whose verdicts are known by now. The datagrams are
// received as if they came at this moment: the same clocks, and the same result. Soon after
// logins_answered.
uint32_t entry_take_logins(struct entry *entry, uint64_t now_ns, uint64_t time_ns);

// entry_want_clock: the book has to be told the time for so many seconds from `from_ns` (since
// 1970) on.
void entry_want_clock(struct entry *entry, uint64_t from_ns, uint32_t seconds);

// entry_clock: it is `time_ns` (since 1970). While good-till-time orders may rest, or a cross may
// build, puts a clock command into the ring when no other has come in this second of the day, so
// that it goes on without anybody sending anything. True when it did.
bool entry_clock(struct entry *entry, uint64_t time_ns);

// entry_limit: a limit (enum limit_kind, in the units that book.h names) of a session's member has
// this value from the next datagram on; kinds that are the book's are ignored.
void entry_limit(struct entry *entry, uint32_t session, uint8_t kind, uint64_t value);

// entry_sweep: sessions with cancel on disconnect that were not heard of for ten seconds, since the
// start too, or that have logged off: puts commands that cancel their orders into the ring; it is
// `time_ns` since 1970, `now_ns` on the monotonic clock. How many commands. As often as entry_tick,
// after it.
uint32_t entry_sweep(struct entry *entry, uint64_t now_ns, uint64_t time_ns);

// entry_release: an event whose command is durable. Call entry_flush soon. False, and nothing done,
// when the session's stream is full of unsent events.
bool entry_release(struct entry *entry, const struct event *event);

// entry_flush: send each bound session what was released and not sent. Stops, to go on at the next
// call, when the port has no frame free.
void entry_flush(struct entry *entry, uint64_t now_ns);

// entry_tick: heartbeats to quiet sessions, and time-outs of silent ones. At least ten times a
// second.
void entry_tick(struct entry *entry, uint64_t now_ns);

// entry_idle: nothing is waiting to be sent.
bool entry_idle(const struct entry *entry);

#endif
