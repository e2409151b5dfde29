// SPDX-License-Identifier: MIT
//
// signed: what is around UFO in a signed session, byte by byte in docs/signed-sessions.md. A client
// proves with an Ed25519 signature who it is, both agree on keys of this login alone (X25519), and
// from then on every datagram has a number and a SipHash-2-4-128 tag over all that stands before
// it. Every datagram begins with two zero bytes, as no UFO does: a block's length is above 0, and a
// packet downstream begins with a letter.
//
// Functions of bytes: no clock, no sockets, nothing random. Any thread.
#ifndef SLUICE_DATAPLANE_SIGNED_H
#define SLUICE_DATAPLANE_SIGNED_H

#include <stdbool.h>

#include "dataplane/wire.h"

#define SIGNED_VERSION  1
#define SIGNED_TAG_SIZE 16u
#define SIGNED_WINDOW   64u
#define SIGNED_MINUTE_NS                                                                           \
    60000000000ull // how long a cookie is of one kind; the next as long it is still taken

// Types. D goes both ways.
#define SIGNED_HELLO  'H' // upstream
#define SIGNED_LOGIN  'L'
#define SIGNED_COOKIE 'C' // downstream
#define SIGNED_ACCEPT 'A'
#define SIGNED_REJECT 'J'
#define SIGNED_DATA   'D'

struct signed_head {
    be16 zero;
    uint8_t version;
    uint8_t type;
};

struct signed_hello {
    struct signed_head head;
    char user_name[6];
    uint8_t zeros[6]; // no answer is larger than what it answers
    uint8_t random[16];
};

struct signed_cookie {
    struct signed_head head;
    uint8_t zeros[4];
    uint8_t cookie[8];
    uint8_t random[16]; // the hello's
};

struct signed_login {
    struct signed_head head;
    char user_name[6];
    char session[10]; // spaces: the current one
    uint8_t zeros[4];
    uint8_t cookie[8];
    uint8_t random[16];
    uint8_t key[32];       // X25519, of this login alone
    uint8_t signature[64]; // Ed25519, the client's
};

struct signed_accept {
    struct signed_head head;
    char session[10];
    be16 number;   // of the session, in every datagram of data
    be32 sequence; // of the next sequenced message, as UFO's
    uint8_t zeros[4];
    uint8_t key[32];       // X25519, of this login alone
    uint8_t signature[64]; // Ed25519, the gateway's; zeros where it has no key
    uint8_t tag[SIGNED_TAG_SIZE];
};

struct signed_reject {
    struct signed_head head;
    uint8_t reason; // as UFO's
    uint8_t zeros[11];
    uint8_t random[16]; // the login's
};

// Followed by what would be the datagram of an unsigned session, and the tag.
struct signed_data {
    struct signed_head head;
    be16 number;
    uint8_t zeros[2];
    be64 sequence; // from 1, of this direction and login
};
#define SIGNED_OVERHEAD (sizeof(struct signed_data) + SIGNED_TAG_SIZE)

WIRE_FIELD(struct signed_head, version, 2, 1);
WIRE_FIELD(struct signed_head, type, 3, 1);
WIRE_SIZE(struct signed_head, 4);

WIRE_FIELD(struct signed_hello, user_name, 4, 6);
WIRE_FIELD(struct signed_hello, zeros, 10, 6);
WIRE_FIELD(struct signed_hello, random, 16, 16);
WIRE_SIZE(struct signed_hello, 32);

WIRE_FIELD(struct signed_cookie, zeros, 4, 4);
WIRE_FIELD(struct signed_cookie, cookie, 8, 8);
WIRE_FIELD(struct signed_cookie, random, 16, 16);
WIRE_SIZE(struct signed_cookie, 32);

WIRE_FIELD(struct signed_login, user_name, 4, 6);
WIRE_FIELD(struct signed_login, session, 10, 10);
WIRE_FIELD(struct signed_login, zeros, 20, 4);
WIRE_FIELD(struct signed_login, cookie, 24, 8);
WIRE_FIELD(struct signed_login, random, 32, 16);
WIRE_FIELD(struct signed_login, key, 48, 32);
WIRE_FIELD(struct signed_login, signature, 80, 64);
WIRE_SIZE(struct signed_login, 144);

WIRE_FIELD(struct signed_accept, session, 4, 10);
WIRE_FIELD(struct signed_accept, number, 14, 2);
WIRE_FIELD(struct signed_accept, sequence, 16, 4);
WIRE_FIELD(struct signed_accept, zeros, 20, 4);
WIRE_FIELD(struct signed_accept, key, 24, 32);
WIRE_FIELD(struct signed_accept, signature, 56, 64);
WIRE_FIELD(struct signed_accept, tag, 120, 16);
WIRE_SIZE(struct signed_accept, 136);

WIRE_FIELD(struct signed_reject, reason, 4, 1);
WIRE_FIELD(struct signed_reject, zeros, 5, 11);
WIRE_FIELD(struct signed_reject, random, 16, 16);
WIRE_SIZE(struct signed_reject, 32);

WIRE_FIELD(struct signed_data, number, 4, 2);
WIRE_FIELD(struct signed_data, zeros, 6, 2);
WIRE_FIELD(struct signed_data, sequence, 8, 8);
WIRE_SIZE(struct signed_data, 16);

// signed_begins: whether a datagram is to be taken for one of a signed session, whole or not.
static inline bool signed_begins(const uint8_t *datagram, size_t size)
{
    return size >= 2 && datagram[0] == 0 && datagram[1] == 0;
}

// signed_check: the type of a datagram that a client may send: SIGNED_HELLO, SIGNED_LOGIN or
// SIGNED_DATA, of the right size and with zeros where they have to be; else 0.
uint8_t signed_check(const uint8_t *datagram, size_t size);

// signed_make_cookie: what a client at `address` and `port` has to know to log in as `user_name` in
// this minute, so that whoever names another's address finds out in vain.
void signed_make_cookie(const uint8_t secret[16], uint32_t address, uint16_t port,
                        const char user_name[6], uint64_t minute, uint8_t cookie[8]);

// signed_cookie_valid: it is of this minute or the one before.
bool signed_cookie_valid(const uint8_t secret[16], uint32_t address, uint16_t port,
                         const struct signed_login *login, uint64_t minute);

// One login's keys, and how far either side has come.
struct signed_channel {
    uint8_t up[16], down[16];
    uint64_t highest; // sequence received
    uint64_t window;  // which of the SIGNED_WINDOW up to it were: bit 0 is `highest`
    uint64_t sent;    // sequence of the last datagram sent
};

// Who answers a login: its address (network byte order), and its key to sign with, as libsodium has
// them (seed and public key), or NULL.
struct signed_house {
    uint32_t address;
    uint16_t port;
    const uint8_t *signing_key;
};

// signed_answer: verify a login's signature by the client's `public_key`, complete the answer to
// it, whose session, number and sequence the caller has filled in, and open the channel. `secret`
// is the gateway's half of the agreement, random, of this login alone. False when the signature or
// the client's key is wrong. Takes 0.2 ms.
bool signed_answer(const struct signed_login *login, const uint8_t public_key[32],
                   const struct signed_house *house, const uint8_t secret[32],
                   struct signed_accept *accept, struct signed_channel *channel);

// signed_tag_valid: the tag of a datagram of data is right. Only then signed_fresh: its sequence
// was not there before and is not too old; it counts as there from now on.
bool signed_tag_valid(const struct signed_channel *channel, const uint8_t *datagram, size_t size);
bool signed_fresh(struct signed_channel *channel, uint64_t sequence);

// signed_seal: make a datagram downstream of `size` bytes that stand behind a struct signed_data;
// returns its size.
size_t signed_seal(struct signed_channel *channel, uint16_t number, uint8_t *datagram, size_t size);

#endif
