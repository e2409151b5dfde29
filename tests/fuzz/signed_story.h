// SPDX-License-Identifier: MIT
//
// What docs/signed-sessions.md says, told a second time: who has which keys, what a datagram that
// begins with two zeros is worth, and what an answer to it must look like. For ufo_story.h; what is
// inside a datagram of data is UFO's, and judged there. The clients' secrets are known.
#ifndef SLUICE_TESTS_FUZZ_SIGNED_STORY_H
#define SLUICE_TESTS_FUZZ_SIGNED_STORY_H

#include <sodium.h>
#include <string.h>

#include "dataplane/entry.h"
#include "numa/invariant.h"

#define SIGNED_KEYS_SEEN 1024u // datagrams under one key: more than an input has steps
#define COOKIES          1024u
#define COOKIE_NS        (60 * 1000000000ull)
#define WINDOW           64u

// The keys of one login.
struct story_keys {
    bool keyed; // the gateway has them
    bool known; // so has the client: it has seen the accept
    struct endpoint source;
    uint8_t up[16], down[16];
    uint64_t seen[SIGNED_KEYS_SEEN]; // upstream
    uint32_t seen_count;
    uint64_t highest, sent; // upstream as received, downstream
};

struct signed_story {
    struct story_keys now, next, before; // in force; not used yet; no longer good for anything
    bool logged_in;                      // there is a login that was taken, and:
    struct signed_login login;
    struct signed_accept accept; // its answer, as far as it is known beforehand
    bool accept_seen;            // all of it
    uint8_t taken[8][64];        // signatures of the last logins
    uint32_t taken_count;
};

// A cookie that was given out.
struct story_cookie {
    struct endpoint source;
    char user_name[6];
    uint64_t minute;
    uint8_t bytes[8];
};

static struct story_cookie cookies[COOKIES];
static uint32_t cookie_count;
static uint8_t client_public[32], client_signing[64]; // Ed25519, of every signed session
static uint8_t client_secret[32], client_key[32];     // X25519, of every login
static const uint8_t signed_zeros[sizeof(struct signed_accept)];

static inline bool same_end(const struct endpoint *a, const struct endpoint *b)
{
    return a->address == b->address && a->port == b->port;
}

static inline void make_client_keys(void)
{
    uint8_t seed[32];
    INVARIANT(sodium_init() >= 0);
    for (uint8_t i = 0; i < 32; i++)
        seed[i] = i, client_secret[i] = (uint8_t)(0x40 + i);
    crypto_sign_seed_keypair(client_public, client_signing, seed);
    crypto_scalarmult_base(client_key, client_secret);
}

// What a login's signature is over.
struct signed_text {
    char context[32];
    uint8_t address[4], port[2];
    uint8_t login[80];
};

static inline struct signed_text login_text(const struct signed_login *login,
                                            const struct endpoint *house)
{
    struct signed_text text = {.context = "sluice signed login 1"};
    memcpy(text.address, &house->address, 4);
    memcpy(text.port, &house->port, 2);
    memcpy(text.login, login, sizeof(text.login));
    return text;
}

static inline bool tag_is(const uint8_t key[16], const uint8_t *datagram, size_t size)
{
    uint8_t tag[16];
    crypto_shorthash_siphashx24(tag, datagram, size - sizeof(tag), key);
    return memcmp(tag, datagram + size - sizeof(tag), sizeof(tag)) == 0;
}

// --- What a datagram is worth

// The type of one that begins with two zeros, 0 when it is none of those there are.
static inline uint8_t signed_kind(const uint8_t *datagram, size_t size)
{
    if (size < 4 || datagram[2] != 1)
        return 0;
    bool sound =
        (datagram[3] == 'H' && size == 32 && memcmp(datagram + 10, signed_zeros, 6) == 0) ||
        (datagram[3] == 'L' && size == 144 && memcmp(datagram + 20, signed_zeros, 4) == 0) ||
        (datagram[3] == 'D' && size >= 32 && size <= 1472 && datagram[6] + datagram[7] == 0);
    return sound ? datagram[3] : 0;
}

static inline bool cookie_was_given(const struct signed_login *login, const struct endpoint *source,
                                    uint64_t now_ns)
{
    for (uint32_t i = 0; i < cookie_count; i++) {
        const struct story_cookie *given = &cookies[i];
        if (memcmp(given->bytes, login->cookie, sizeof(given->bytes)) == 0 &&
            same_end(&given->source, source) &&
            strncasecmp(given->user_name, login->user_name, 6) == 0 &&
            now_ns / COOKIE_NS - given->minute < 2)
            return true;
    }
    return false;
}

static inline bool login_proves(const struct signed_login *login, const struct endpoint *house)
{
    struct signed_text text = login_text(login, house);
    return memcmp(login->key, signed_zeros, sizeof(login->key)) != 0 &&
           crypto_sign_verify_detached(login->signature, (const uint8_t *)&text, sizeof(text),
                                       client_public) == 0;
}

static inline bool taken_before(const struct signed_story *own, const struct signed_login *login)
{
    for (uint32_t i = 0; i < 8; i++)
        if (memcmp(own->taken[i], login->signature, 32) == 0)
            return true;
    return false;
}

// A login was taken: its keys are good from the first datagram under them on.
static inline void login_taken(struct signed_story *own, const struct signed_login *login,
                               const struct endpoint *source, const struct signed_accept *accept)
{
    memcpy(own->taken[own->taken_count++ % 8], login->signature, sizeof(login->signature));
    own->logged_in = true;
    own->login = *login;
    own->accept = *accept;
    own->accept_seen = false;
    own->next = (struct story_keys){.keyed = true, .source = *source};
}

static inline bool keys_are_of(const struct story_keys *keys, const struct endpoint *source)
{
    return keys->keyed && same_end(&keys->source, source);
}

// Data with the right tag are by the keys in force, or by later ones. NULL: by none.
static inline struct story_keys *tag_told(struct signed_story *own, const uint8_t *datagram,
                                          size_t size, const struct endpoint *source)
{
    if (keys_are_of(&own->now, source) && tag_is(own->now.up, datagram, size))
        return &own->now;
    bool later =
        keys_are_of(&own->next, source) && own->next.known && tag_is(own->next.up, datagram, size);
    return later ? &own->next : NULL;
}

// Who is not kept out by a binding elsewhere brings later keys into force.
static inline void come_into_force(struct signed_story *own)
{
    own->before = own->now;
    own->now = own->next;
    own->next.keyed = own->next.known = false;
}

static inline bool sequence_is_new(struct story_keys *keys, uint64_t sequence)
{
    bool old = sequence == 0 || (sequence < keys->highest && keys->highest - sequence >= WINDOW);
    for (uint32_t i = 0; i < keys->seen_count; i++)
        old |= keys->seen[i] == sequence;
    if (old)
        return false;
    INVARIANT(keys->seen_count < SIGNED_KEYS_SEEN);
    keys->seen[keys->seen_count++] = sequence;
    keys->highest = sequence > keys->highest ? sequence : keys->highest;
    return true;
}

// --- What leaves

static inline void check_head(const uint8_t *datagram, size_t size, uint8_t type, size_t expected)
{
    INVARIANT(size == expected && datagram[0] == 0 && datagram[1] == 0 && datagram[2] == 1);
    INVARIANT(datagram[3] == type);
}

static inline void check_cookie(const uint8_t *datagram, size_t size, const uint8_t *hello,
                                const struct endpoint *source, uint64_t now_ns)
{
    check_head(datagram, size, 'C', 32);
    INVARIANT(memcmp(datagram + 4, signed_zeros, 4) == 0);
    INVARIANT(memcmp(datagram + 16, hello + 16, 16) == 0);
    INVARIANT(cookie_count < COOKIES);
    struct story_cookie *given = &cookies[cookie_count++];
    *given = (struct story_cookie){.source = *source, .minute = now_ns / COOKIE_NS};
    memcpy(given->user_name, hello + 4, sizeof(given->user_name));
    memcpy(given->bytes, datagram + 8, sizeof(given->bytes));
}

static inline void check_signed_reject(const uint8_t *datagram, size_t size, const uint8_t *login,
                                       uint8_t reason)
{
    check_head(datagram, size, 'J', 32);
    INVARIANT(datagram[4] == reason && memcmp(datagram + 5, signed_zeros, 11) == 0);
    INVARIANT(memcmp(datagram + 16, login + 32, 16) == 0);
}

// The client's way to the same keys.
static inline void derive_keys(const struct signed_story *own, struct story_keys *keys)
{
    struct {
        uint8_t shared[32];
        char context[32];
        struct signed_login login;
        uint8_t accept[56];
    } text = {.context = "sluice signed keys 1", .login = own->login};
    uint8_t both[32];
    INVARIANT(crypto_scalarmult(text.shared, client_secret, own->accept.key) == 0);
    memcpy(text.accept, &own->accept, sizeof(text.accept));
    crypto_generichash(both, sizeof(both), (const uint8_t *)&text, sizeof(text), NULL, 0);
    memcpy(keys->up, both, 16);
    memcpy(keys->down, both + 16, 16);
    keys->known = true;
}

// The first time all but the key that the gateway has made up is known; then each byte.
static inline void check_accept(struct signed_story *own, const uint8_t *datagram, size_t size)
{
    check_head(datagram, size, 'A', 136);
    const struct signed_accept *accept = (const struct signed_accept *)datagram;
    if (own->accept_seen) {
        INVARIANT(memcmp(accept, &own->accept, sizeof(*accept)) == 0);
        return;
    }
    INVARIANT(memcmp(accept, &own->accept, offsetof(struct signed_accept, key)) == 0);
    INVARIANT(memcmp(accept->signature, signed_zeros, sizeof(accept->signature)) == 0);
    own->accept = *accept;
    own->accept_seen = true;
    derive_keys(own, &own->next);
    INVARIANT(tag_is(own->next.down, datagram, size));
}

// Data downstream, the next under the keys in force; what is inside.
static inline const uint8_t *check_sealed(struct signed_story *own, uint32_t number,
                                          const uint8_t *datagram, size_t *size)
{
    const struct signed_data *data = (const struct signed_data *)datagram;
    INVARIANT(own->now.keyed && *size > SIGNED_OVERHEAD && *size <= UFO_PAYLOAD_MAX);
    check_head(datagram, *size, 'D', *size);
    INVARIANT(be16_load(data->number) == number && data->zeros[0] + data->zeros[1] == 0);
    INVARIANT(be64_load(data->sequence) == ++own->now.sent);
    INVARIANT(tag_is(own->now.down, datagram, *size));
    *size -= SIGNED_OVERHEAD;
    return datagram + sizeof(*data);
}

#endif
