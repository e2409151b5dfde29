// SPDX-License-Identifier: MIT
//
// logins: who may log in to a lane. A password is held against its hash, which takes tens of
// milliseconds and of MiB, or a signature verified, by a thread of its own that serves all lanes;
// the port's thread gives it datagrams and finds the verdicts later. Where there is no such thread,
// offline and in tests, they are verified at once by whoever gives them, so that a replay depends
// on nothing but its input.
//
// What waits is bounded, and so is the time that is spent on it: one login of each session, a few
// in all, and the thread rests as long as it has worked. What is signed has its turn before what is
// in clear (dataplane/login_keeper.h).
#ifndef SLUICE_DATAPLANE_LOGINS_H
#define SLUICE_DATAPLANE_LOGINS_H

#include <stdatomic.h>

#include "dataplane/config.h"
#include "dataplane/packet.h"
#include "dataplane/signed.h"
#include "dataplane/ufo.h"
#include "numa/bell.h"

#define LOGINS_WAITING_MAX 16u // of a lane
#define LOGINS_PROOF_SIZE  16u

enum login_state { LOGIN_FREE, LOGIN_GIVEN, LOGIN_ANSWERED };

// A datagram that begins with a login, from the moment it is given until what comes of it is done.
// The port's thread writes it, but for the verdict, and the state that says whose turn it is.
struct login {
    _Atomic uint32_t state; // enum login_state
    uint32_t index;         // of the session
    const struct config_session *who;
    struct endpoint source;
    uint16_t size;
    bool valid; // the verdict
    // Of a signed login, whose offer the port's thread begins and the verdict completes.
    struct signed_accept accept;
    struct signed_channel channel;
    uint8_t datagram[STEER_PAYLOAD_MAX];
};

struct logins {
    struct bell *bell;         // of the thread that verifies; NULL: there is none
    struct bell *port_bell;    // of the loop that polls the lane's port
    uint32_t turns[2];         // where to look for the next one in clear, or signed; the thread's
    _Atomic uint32_t answered; // verdicts so far
    uint32_t taken;            // … of which the port has taken so many
    uint8_t secret[16];        // of this lane in this process
    struct signed_house house; // before there are signed logins
    struct login waiting[LOGINS_WAITING_MAX];
};

// logins_init: nothing waits, and there is no thread. A new secret.
void logins_init(struct logins *logins);

// logins_give: have the login that `packet` begins with verified for session `index`; a signed one
// is answered with `offer` (session, number and sequence), else NULL. False when it cannot wait:
// another of that session does (a signed one: of that address, which its cookie has proven), or too
// many do: half of the places are kept for signed ones, so that logins in clear, which anybody can
// send in any name, keep out no more than each other. Port's thread.
bool logins_give(struct logins *logins, uint32_t index, const struct config_session *who,
                 const struct packet *packet, const struct signed_accept *offer);

// logins_answered: whether there are verdicts to take. Port's thread, at each poll.
static inline bool logins_answered(const struct logins *logins)
{
    // Acquire pairs with the release in logins_serve, as does the one in logins_take.
    return atomic_load_explicit(&logins->answered, memory_order_acquire) != logins->taken;
}

// logins_take: one that has its verdict, or NULL. It is the caller's until logins_done, which wipes
// it. Port's thread.
struct login *logins_take(struct logins *logins);
void logins_done(struct logins *logins, struct login *login);

// logins_serve: verify one that was given, of the signed ones or of those in clear. Whether there
// was one. The thread's, or without it the caller's of logins_give.
bool logins_serve(struct logins *logins, bool is_signed);

// logins_proof: what is kept of a password once it was verified, so that a later login costs the
// port's thread no more than a keyed hash of it.
void logins_proof(const struct logins *logins, const struct ufo_login *login,
                  uint8_t proof[LOGINS_PROOF_SIZE]);

#endif
