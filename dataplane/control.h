// SPDX-License-Identifier: MIT
//
// control: what people may tell a running gateway, through a unix socket. A client connects, sends
// one JSON object in one packet (SOCK_SEQPACKET) and gets one back: {"ok": true, …}, or {"ok":
// false, "error": "…"}. `sluice ctl` is such a client.
//
//     {"do": "stats"}                                   viewer
//     {"do": "halt"} and "resume", "symbol": "ACME"     operator; without a symbol: all
//     {"do": "close_day"}                               operator
//     {"do": "kill"}, "disable" and "allow", with one   risk
//         of "session": "ALICE", "firm": "ALFA", "symbol": "ACME" (not disable), "all": true
//     {"do": "limit", "limit": "gross",                 risk
//         "value": "1500.25"} with "firm" or "symbol"   names and units: limits.h, docs/rules.md
//
// "disable" bars whom it names from entering orders, a kill cancels theirs besides; of a symbol it
// halts it, which no operator ends, and cancels what rests in it. "allow" lifts the bar, or ends
// that halt. What is answered is applied and durable: after a kill no order of its scope is live.
// Everything but stats is journaled with the uid and pid of who did it.
//
// Who may do what is decided by the peer's user, as the kernel tells it: root everything; others
// what the groups of the configuration that they are in may. Operators and risk may do what viewers
// may.
#ifndef SLUICE_DATAPLANE_CONTROL_H
#define SLUICE_DATAPLANE_CONTROL_H

#include <jansson.h>

#include "dataplane/gateway.h"

#define CONTROL_REQUEST_MAX 4096u   // bytes
#define CONTROL_ACTOR_SIZE  32u     // as a command has it
#define CONTROL_ANSWER_MAX  200000u // … below what a socket takes in one packet

struct control;

// control_open: find the configuration's groups and make its socket, for `gateway`, which has not
// started; who connects waits. An old socket that nobody listens on is replaced. NULL with `error`.
struct control *control_open(struct gateway *gateway, struct error *error);

// control_start: answer from a thread of its own, which shuts itself in; after gateway_start. 0, or
// -1 with `error`.
int control_start(struct control *control, struct error *error);

// control_actor: who does something, as it is journaled: "uid 1000, pid 4711", padded with zeros.
void control_actor(char actor[CONTROL_ACTOR_SIZE], uid_t user, pid_t process);

// control_ask: what a client has of the socket `path`: the answer to `request`, a new reference. 0,
// or -1 with `error` when nobody answers. One thread at a time.
int control_ask(const char *path, const json_t *request, json_t **answer, struct error *error);

// control_close: end the thread, after what it is doing, and remove the socket; before
// gateway_stop. NULL is fine.
void control_close(struct control *control);

#endif
