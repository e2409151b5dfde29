// SPDX-License-Identifier: MIT
#include "xdp/bound.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "numa/invariant.h"

#define BITS_MIN 4u

static_assert(sizeof(struct steer_bucket) == 64, "a cache line");
static_assert(STEER_SESSIONS_MAX < STEER_SLOT_SESSION, "a session's number plus one fits");

uint32_t bound_bits(uint32_t session_count)
{
    uint32_t bits = BITS_MIN;
    while (1u << bits < STEER_BUCKETS_A_SESSION * session_count)
        bits++;
    return bits;
}

static struct steer_bucket *bucket_of(const struct bound *bound, uint64_t source)
{
    return &bound->buckets[STEER_BUCKET(source, bound->multiplier, bound->bits)];
}

bool bound_add(const struct bound *bound, uint32_t address, uint16_t port, const uint8_t mac[6],
               uint32_t session)
{
    INVARIANT(session < STEER_SESSIONS_MAX);
    uint64_t source = STEER_SOURCE(address, port);
    struct steer_bucket *bucket = bucket_of(bound, source);
    for (int i = 0; i < STEER_BUCKET_SLOTS; i++) {
        if (bucket->slots[i])
            continue;
        memcpy(bucket->macs[i], mac, sizeof(bucket->macs[i]));
        // Release, so that the program, which reads the slot first, finds the address with it.
        __atomic_store_n(&bucket->slots[i], source << STEER_SLOT_SOURCE_SHIFT | (session + 1),
                         __ATOMIC_RELEASE);
        return true;
    }
    __atomic_store_n(&bucket->unlisted, bucket->unlisted + 1, __ATOMIC_RELAXED);
    return false;
}

void bound_remove(const struct bound *bound, uint32_t address, uint16_t port)
{
    uint64_t source = STEER_SOURCE(address, port);
    struct steer_bucket *bucket = bucket_of(bound, source);
    for (int i = 0; i < STEER_BUCKET_SLOTS; i++)
        if (bucket->slots[i] && bucket->slots[i] >> STEER_SLOT_SOURCE_SHIFT == source) {
            __atomic_store_n(&bucket->slots[i], 0, __ATOMIC_RELAXED);
            return;
        }
    INVARIANT(bucket->unlisted > 0);
    __atomic_store_n(&bucket->unlisted, bucket->unlisted - 1, __ATOMIC_RELAXED);
}
