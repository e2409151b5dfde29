// SPDX-License-Identifier: MIT
//
// load_client: one UFO/OUCH session of `sluice load`, without its socket: it is fed the datagrams
// that arrived and gives out those to be sent, and its time is what the caller says. It logs in,
// asks for the UserRefNum that it may begin with, keeps the session alive, asks again for what was
// lost on the way to it, and keeps the fate of each message that it sent.
//
// What arrives is taken in whatever order it arrives, once each: a gap never holds back what comes
// behind it. So everything that is kept of an order is a sum, and means something only when the
// stream is complete.
#ifndef SLUICE_DATAPLANE_LOAD_CLIENT_H
#define SLUICE_DATAPLANE_LOAD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/load_flow.h"
#include "dataplane/load_intervals.h"
#include "dataplane/ufo.h"
#include "numa/error.h"
#include "numa/histogram.h"

#define LOAD_LOGIN_INTERVAL_NS      200000000ull
#define LOAD_QUERY_INTERVAL_NS      200000000ull
#define LOAD_HEARTBEAT_NS           1000000000ull
#define LOAD_RETRANSMIT_INTERVAL_NS 50000000ull
#define LOAD_SILENCE_MAX_NS         10000000000ull // UFO 1.0: then the server is taken for dead
#define LOAD_DATAGRAM_MESSAGES_MAX  16u
#define LOAD_DATAGRAMS_MAX          8u         // waiting to be sent
#define LOAD_WINDOW                 (1u << 20) // messages beyond a gap that are kept track of
#define LOAD_REJECT_REASONS         65u        // 0 to 0x40; higher ones count as 0

enum load_client_state {
    LOAD_LOGGING_IN,
    LOAD_ASKING, // for the UserRefNum to begin with
    LOAD_READY,
    LOAD_ENDED,   // by the venue (E)
    LOAD_REFUSED, // the login
    LOAD_FAILED,  // silence, or another session under the same name: see `failure`
};

enum load_fate {
    LOAD_UNANSWERED = 0,
    LOAD_ACCEPTED,
    LOAD_REPLACED,     // the replacement came into being
    LOAD_REJECTED,     // J
    LOAD_CANCELED_OLD, // a replacement refused by cancelling the order that it was to replace
};

// An Enter or a Replace.
struct load_order {
    uint64_t sent_ns;  // intended; 0: not sent
    uint32_t quantity; // that it was accepted with; replacements: open at that moment
    uint32_t executed;
    uint32_t canceled;
    uint32_t orig_ref;     // Replace: of the order replaced; Enter: 0
    uint32_t replacement;  // ref of the latest Replace that names it; 0 for none
    uint32_t first_cancel; // the earliest that is not answered, counted from 1; 0 for none
    uint8_t fate;          // enum load_fate
    bool replaced;         // it turned into another
    bool dead;             // accepted with order state D
    bool contradicted;     // answered twice
};

struct load_cancel {
    uint64_t sent_ns; // intended
    uint32_t ref;
    uint32_t quantity; // intended total
    uint32_t next;     // later one of the same order, counted from 1
    bool answered;
};

struct load_datagram {
    uint64_t first_ns;  // intended time of its first message
    uint32_t first_ref; // … its ref, where it is an Enter; else 0
    uint16_t size;
    uint16_t count;
    uint8_t bytes[UFO_PAYLOAD_MAX];
};

struct load_client {
    // The session.
    char user_name[6];
    char password[10];
    char session[10];
    enum load_client_state state;
    const char *failure; // LOAD_REFUSED, LOAD_FAILED: in words, and what to do
    uint64_t last_sent_ns, last_heard_ns;
    uint64_t last_login_ns, last_query_ns, last_request_ns; // 0: never
    // What arrived of the stream.
    uint32_t expected; // all before it arrived; 0 before the login
    uint32_t end;      // the highest number known to exist, plus one
    uint32_t request_from;
    uint64_t *window; // a bit per number from `expected` on: it arrived
    // Queries. The venue answers each at most once, and in order with everything else: more
    // responses than queries sent before some moment mean that all sent before it was worked on.
    uint64_t queries_sent, query_responses, query_mark;
    bool query_wanted;
    // Messages.
    uint32_t base;    // UserRefNum of ref 0
    uint32_t watched; // the caller's: the ref of an order; 0 when that is answered
    uint32_t ref_count, cancel_count_max;
    struct load_order *orders; // by ref
    struct load_cancel *cancels;
    struct load_datagram datagrams[LOAD_DATAGRAMS_MAX];
    uint32_t datagram_first, datagram_count;
    struct histogram *latency; // the caller's, shared by its sessions, as are the intervals
    struct load_intervals *intervals;
    uint64_t start_ns; // the caller's: the intervals' beginning
    // Counts, running.
    uint64_t sent_enters, sent_replaces, sent_cancels;
    uint64_t answered; // messages
    uint64_t retransmit_requests, duplicates, beyond_window, malformed;
    uint64_t earlier_orders; // answers about orders that this run did not send
    uint64_t rejected[LOAD_REJECT_REASONS];
    uint64_t added_shares, removed_shares, added_count, removed_count;
    uint64_t match_sum; // of a hash of each execution, added minus removed: 0 when both sides agree
};

// What became of the messages of one or more sessions. Filled by load_client_account.
struct load_fates {
    uint64_t enters, replaces, cancels; // sent
    // Lost: on the way to the venue. Unanswered: the run did not get to know.
    uint64_t enters_accepted, enters_rejected, enters_lost, enters_unanswered;
    uint64_t replaces_replaced, replaces_rejected, replaces_refused, replaces_no_effect,
        replaces_lost, replaces_unanswered;
    uint64_t cancels_answered, cancels_no_effect, cancels_lost, cancels_unanswered;
    // Orders that came into being: enters_accepted + replaces_replaced, each in one of these.
    uint64_t executed_fully, canceled, canceled_partly_executed, replaced, open_partly_executed,
        resting;
    uint64_t executed_orders; // with one execution at least
    uint64_t executed_shares; // of each order of this run, so a trade within the run counts twice
    uint64_t resting_shares;
    uint64_t impossible; // orders whose answers contradict one another
};

struct load_client_options {
    const char *user_name; // 1 to 6 characters
    const char *password;  // up to 10 characters
    uint32_t ref_count;    // Enters and Replaces to come
    uint32_t cancel_count; // Cancels to come
    struct histogram *latency;
    struct load_intervals *intervals; // NULL: none are kept
};

// load_client_open: a session that is about to log in, with all its memory touched. 0, or -1 with
// `error`. load_client_close frees it.
int load_client_open(struct load_client *client, const struct load_client_options *options,
                     struct error *error);
void load_client_close(struct load_client *client);

// load_client_receive: one datagram from the server, at `now_ns`. Whatever it holds: what is not
// UFO and OUCH is counted as malformed.
void load_client_receive(struct load_client *client, const uint8_t *bytes, size_t size,
                         uint64_t now_ns);

// load_client_poll: write the control message that is due at `now_ns`, a datagram of its own, to
// `out`; its size, or 0 when none is. Call until it returns 0.
size_t load_client_poll(struct load_client *client, uint64_t now_ns, uint8_t out[UFO_PAYLOAD_MAX]);

// load_client_logoff: write the message that frees the session for whoever logs in next; its size.
size_t load_client_logoff(uint8_t out[UFO_PAYLOAD_MAX]);

// load_client_room: load_client_send can take another message.
bool load_client_room(const struct load_client *client);

// load_client_send: put the message of `step` (its session's) at the end of the datagrams that wait
// to be sent. `symbol` is 8 bytes. `intended_ns`, above 0, is when it was to be sent, and what its
// latency counts from. Only with room, and in LOAD_READY.
void load_client_send(struct load_client *client, const struct load_step *step, const char *symbol,
                      uint64_t intended_ns);

// load_client_waiting: the first of the datagrams that wait, and how many follow it in memory,
// itself included; they stay until load_client_sent takes `count` of them off.
const struct load_datagram *load_client_waiting(const struct load_client *client, uint32_t *count);
void load_client_sent(struct load_client *client, uint32_t count, uint64_t now_ns);

// load_client_query: ask, with Account Queries repeated until answered, whether the venue has
// worked on all that was sent. load_client_settled: it has, and all of its stream until then is
// here; or the session has ended and all of it is here. load_client_repeat_query: send one now.
void load_client_query(struct load_client *client);
bool load_client_settled(const struct load_client *client);

// load_client_complete: no gap is known.
bool load_client_complete(const struct load_client *client);

// load_client_order_gone: as far as is known, no share of `ref` is open.
bool load_client_order_gone(const struct load_client *client, uint32_t ref);

// load_client_account: add the fates of this session to `fates`. `settled`: the session is, so that
// silence means that there was no effect, or that the message was lost on the way.
void load_client_account(const struct load_client *client, bool settled, struct load_fates *fates);

// load_fates_hold: the sums agree with one another, and no order is impossible.
bool load_fates_hold(const struct load_fates *fates);

#endif
