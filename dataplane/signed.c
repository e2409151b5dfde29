// SPDX-License-Identifier: MIT
#include "dataplane/signed.h"

#include <sodium.h>

#include "dataplane/ufo.h"

static_assert(SIGNED_TAG_SIZE == crypto_shorthash_siphashx24_BYTES, "a tag is such a hash");

// What is signed and hashed begins with words of its own, so that nothing made for one purpose can
// serve another.
#define CONTEXT_SIZE 32
static const char login_context[CONTEXT_SIZE] = "sluice signed login 1";
static const char accept_context[CONTEXT_SIZE] = "sluice signed accept 1";
static const char keys_context[CONTEXT_SIZE] = "sluice signed keys 1";

static bool all_zero(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum |= bytes[i];
    return sum == 0;
}

// What a client may send.
#define ZEROS_OF(type) offsetof(type, zeros), sizeof(((type *)0)->zeros)
static const struct {
    uint8_t type;
    size_t size_min, size_max, zeros_at, zeros_size;
} shapes[] = {
    {SIGNED_DATA, SIGNED_OVERHEAD, UFO_PAYLOAD_MAX, ZEROS_OF(struct signed_data)},
    {SIGNED_HELLO, sizeof(struct signed_hello), sizeof(struct signed_hello),
     ZEROS_OF(struct signed_hello)},
    {SIGNED_LOGIN, sizeof(struct signed_login), sizeof(struct signed_login),
     ZEROS_OF(struct signed_login)},
};

uint8_t signed_check(const uint8_t *datagram, size_t size)
{
    const struct signed_head *head = (const struct signed_head *)datagram;
    if (size < sizeof(*head) || !signed_begins(datagram, size) || head->version != SIGNED_VERSION)
        return 0;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (head->type == shapes[i].type)
            return size >= shapes[i].size_min && size <= shapes[i].size_max &&
                           all_zero(datagram + shapes[i].zeros_at, shapes[i].zeros_size)
                       ? head->type
                       : 0;
    return 0;
}

void signed_make_cookie(const uint8_t secret[16], uint32_t address, uint16_t port,
                        const char user_name[6], uint64_t minute, uint8_t cookie[8])
{
    struct {
        uint64_t minute;
        uint32_t address;
        uint16_t port;
        char user_name[6];
        uint32_t zero;
    } of = {.minute = minute, .address = address, .port = port};
    static_assert(sizeof(of) == 24, "no padding");
    memcpy(of.user_name, user_name, sizeof(of.user_name));
    ufo_upper(of.user_name, sizeof(of.user_name));
    crypto_shorthash_siphash24(cookie, (const uint8_t *)&of, sizeof(of), secret);
}

bool signed_cookie_valid(const uint8_t secret[16], uint32_t address, uint16_t port,
                         const struct signed_login *login, uint64_t minute)
{
    for (uint64_t age = 0; age < 2 && age <= minute; age++) {
        uint8_t cookie[8];
        signed_make_cookie(secret, address, port, login->user_name, minute - age, cookie);
        if (sodium_memcmp(cookie, login->cookie, sizeof(cookie)) == 0)
            return true;
    }
    return false;
}

// --- A login

static bool login_signature_valid(const struct signed_login *login, const uint8_t public_key[32],
                                  const struct signed_house *house)
{
    struct {
        char context[CONTEXT_SIZE];
        uint8_t address[4], port[2];
        uint8_t login[offsetof(struct signed_login, signature)];
    } text;
    memcpy(text.context, login_context, sizeof(text.context));
    memcpy(text.address, &house->address, sizeof(text.address));
    memcpy(text.port, &house->port, sizeof(text.port));
    memcpy(text.login, login, sizeof(text.login));
    return crypto_sign_verify_detached(login->signature, (const uint8_t *)&text, sizeof(text),
                                       public_key) == 0;
}

// What both have seen once the gateway has chosen its key.
struct transcript {
    char context[CONTEXT_SIZE];
    uint8_t login[sizeof(struct signed_login)];
    uint8_t accept[offsetof(struct signed_accept, signature)];
};

static void sign_accept(struct transcript *text, const uint8_t *signing_key,
                        struct signed_accept *accept)
{
    memset(accept->signature, 0, sizeof(accept->signature));
    if (!signing_key)
        return;
    memcpy(text->context, accept_context, sizeof(text->context));
    crypto_sign_detached(accept->signature, NULL, (const uint8_t *)text, sizeof(*text),
                         signing_key);
}

static void open_channel(struct transcript *text, const uint8_t shared[32],
                         struct signed_channel *channel)
{
    uint8_t keys[32];
    crypto_generichash_state state;
    memcpy(text->context, keys_context, sizeof(text->context));
    crypto_generichash_init(&state, NULL, 0, sizeof(keys));
    crypto_generichash_update(&state, shared, 32);
    crypto_generichash_update(&state, (const uint8_t *)text, sizeof(*text));
    crypto_generichash_final(&state, keys, sizeof(keys));
    *channel = (struct signed_channel){0};
    memcpy(channel->up, keys, sizeof(channel->up));
    memcpy(channel->down, keys + sizeof(channel->up), sizeof(channel->down));
    sodium_memzero(keys, sizeof(keys));
    sodium_memzero(&state, sizeof(state));
}

bool signed_answer(const struct signed_login *login, const uint8_t public_key[32],
                   const struct signed_house *house, const uint8_t secret[32],
                   struct signed_accept *accept, struct signed_channel *channel)
{
    uint8_t shared[32];
    struct transcript text;
    // A key of small order would make the shared secret known to all: crypto_scalarmult refuses it.
    if (!login_signature_valid(login, public_key, house) ||
        crypto_scalarmult(shared, secret, login->key))
        return false;
    accept->head = (struct signed_head){.version = SIGNED_VERSION, .type = SIGNED_ACCEPT};
    memset(accept->zeros, 0, sizeof(accept->zeros));
    crypto_scalarmult_base(accept->key, secret);
    memcpy(text.login, login, sizeof(text.login));
    memcpy(text.accept, accept, sizeof(text.accept));
    sign_accept(&text, house->signing_key, accept);
    open_channel(&text, shared, channel);
    sodium_memzero(shared, sizeof(shared));
    crypto_shorthash_siphashx24(accept->tag, (const uint8_t *)accept,
                                offsetof(struct signed_accept, tag), channel->down);
    return true;
}

// --- Data

bool signed_tag_valid(const struct signed_channel *channel, const uint8_t *datagram, size_t size)
{
    uint64_t tag[2], given[2];
    size -= SIGNED_TAG_SIZE;
    crypto_shorthash_siphashx24((uint8_t *)tag, datagram, size, channel->up);
    memcpy(given, datagram + size, sizeof(given));
    // Eight bytes at once, so that no time that this takes says how many of a guess are right.
    return ((tag[0] ^ given[0]) | (tag[1] ^ given[1])) == 0;
}

bool signed_fresh(struct signed_channel *channel, uint64_t sequence)
{
    if (sequence > channel->highest) {
        uint64_t ahead = sequence - channel->highest;
        channel->window = ahead < SIGNED_WINDOW ? channel->window << ahead | 1 : 1;
        channel->highest = sequence;
        return true;
    }
    uint64_t age = channel->highest - sequence;
    if (sequence == 0 || age >= SIGNED_WINDOW || channel->window >> age & 1)
        return false;
    channel->window |= 1ull << age;
    return true;
}

size_t signed_seal(struct signed_channel *channel, uint16_t number, uint8_t *datagram, size_t size)
{
    struct signed_data *data = (struct signed_data *)datagram;
    *data = (struct signed_data){.head = {.version = SIGNED_VERSION, .type = SIGNED_DATA},
                                 .number = be16_of(number),
                                 .sequence = be64_of(++channel->sent)};
    size += sizeof(*data);
    crypto_shorthash_siphashx24(datagram + size, datagram, size, channel->down);
    return size + SIGNED_TAG_SIZE;
}
