// SPDX-License-Identifier: MIT
#include "dataplane/logins.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "numa/invariant.h"

static_assert(LOGINS_PROOF_SIZE == crypto_shorthash_siphashx24_BYTES, "a proof is such a hash");

void logins_init(struct logins *logins)
{
    memset(logins, 0, sizeof(*logins));
    INVARIANT(sodium_init() >= 0);
    randombytes_buf(logins->secret, sizeof(logins->secret));
}

// --- The port's side

bool logins_give(struct logins *logins, uint32_t index, const struct config_session *who,
                 const struct packet *packet, const struct signed_accept *offer)
{
    struct login *place = NULL;
    uint32_t clear_count = 0;
    for (uint32_t i = 0; i < LOGINS_WAITING_MAX; i++) {
        struct login *login = &logins->waiting[i];
        if (atomic_load_explicit(&login->state, memory_order_relaxed) == LOGIN_FREE) {
            place = login;
            continue;
        }
        if (login->index == index && (!offer || login->source.address == packet->source.address))
            return false;
        clear_count += !login->who->is_signed;
    }
    if (!place || (!offer && clear_count >= LOGINS_WAITING_MAX / 2))
        return false;
    place->index = index;
    place->who = who;
    place->source = packet->source;
    if (offer)
        place->accept = *offer;
    place->size = packet->payload_size;
    memcpy(place->datagram, packet->payload, packet->payload_size);
    // Release pairs with the acquire in logins_serve.
    atomic_store_explicit(&place->state, LOGIN_GIVEN, memory_order_release);
    if (logins->bell)
        bell_ring(logins->bell);
    else
        logins_serve(logins, who->is_signed);
    return true;
}

struct login *logins_take(struct logins *logins)
{
    if (!logins_answered(logins))
        return NULL;
    for (uint32_t i = 0; i < LOGINS_WAITING_MAX; i++)
        if (atomic_load_explicit(&logins->waiting[i].state, memory_order_acquire) == LOGIN_ANSWERED)
            return &logins->waiting[i];
    return NULL;
}

void logins_done(struct logins *logins, struct login *login)
{
    sodium_memzero(login->datagram, sizeof(login->datagram));
    sodium_memzero(&login->channel, sizeof(login->channel));
    logins->taken++;
    atomic_store_explicit(&login->state, LOGIN_FREE, memory_order_relaxed);
}

void logins_proof(const struct logins *logins, const struct ufo_login *login,
                  uint8_t proof[LOGINS_PROOF_SIZE])
{
    char password[sizeof(login->password)];
    memcpy(password, login->password, sizeof(password));
    ufo_upper(password, sizeof(password));
    crypto_shorthash_siphashx24(proof, (const uint8_t *)password, sizeof(password), logins->secret);
    sodium_memzero(password, sizeof(password));
}

// --- Verifying

static bool verify_password(const struct login *login)
{
    const struct ufo_login *message = (const struct ufo_login *)(login->datagram + sizeof(be16));
    char password[sizeof(message->password)];
    memcpy(password, message->password, sizeof(password));
    ufo_upper(password, sizeof(password));
    errno = 0;
    int wrong = crypto_pwhash_str_verify(login->who->password_hash, password, sizeof(password));
    if (wrong && errno == ENOMEM)
        warn("a login of \"%.6s\" is refused: no memory to verify the password with",
             login->who->user);
    sodium_memzero(password, sizeof(password));
    return !wrong;
}

static bool verify_signature(const struct signed_house *house, struct login *login)
{
    uint8_t secret[32];
    randombytes_buf(secret, sizeof(secret));
    bool valid = signed_answer((const struct signed_login *)login->datagram, login->who->public_key,
                               house, secret, &login->accept, &login->channel);
    sodium_memzero(secret, sizeof(secret));
    return valid;
}

bool logins_serve(struct logins *logins, bool is_signed)
{
    for (uint32_t i = 0; i < LOGINS_WAITING_MAX; i++) {
        struct login *login = &logins->waiting[logins->turns[is_signed]++ % LOGINS_WAITING_MAX];
        // Acquire pairs with the release in logins_give.
        if (atomic_load_explicit(&login->state, memory_order_acquire) != LOGIN_GIVEN ||
            login->who->is_signed != is_signed)
            continue;
        login->valid = is_signed ? verify_signature(&logins->house, login) : verify_password(login);
        // Release pairs with the acquire in logins_take.
        atomic_store_explicit(&login->state, LOGIN_ANSWERED, memory_order_release);
        atomic_fetch_add_explicit(&logins->answered, 1, memory_order_release);
        return true;
    }
    return false;
}
