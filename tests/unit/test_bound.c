// SPDX-License-Identifier: MIT
//
// The table of bound sources in plain memory, held against a list; what the XDP program makes of it
// is test_steer.c's.
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/random.h"
#include "xdp/bound.h"

#define SESSIONS   64u
#define MULTIPLIER 0x9E3779B97F4A7C15ull

static struct bound bound_of(uint32_t session_count)
{
    struct bound bound = {.bits = bound_bits(session_count), .multiplier = MULTIPLIER};
    bound.buckets = calloc(1u << bound.bits, sizeof(*bound.buckets));
    cr_assert_not_null(bound.buckets);
    return bound;
}

// As the program does it: the session's number plus one, or 0.
static uint32_t session_at(const struct bound *bound, uint32_t address, uint16_t port)
{
    uint64_t source = STEER_SOURCE(address, port);
    const struct steer_bucket *bucket =
        &bound->buckets[STEER_BUCKET(source, bound->multiplier, bound->bits)];
    for (int i = 0; i < STEER_BUCKET_SLOTS; i++)
        if (bucket->slots[i] >> STEER_SLOT_SOURCE_SHIFT == source)
            return bucket->slots[i] & STEER_SLOT_SESSION;
    return 0;
}

static uint64_t words_in_use(const struct bound *bound)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < 1u << bound->bits; i++) {
        for (int j = 0; j < STEER_BUCKET_SLOTS; j++)
            used += bound->buckets[i].slots[j] != 0;
        used += bound->buckets[i].unlisted;
    }
    return used;
}

Test(bound, a_table_has_room_for_four_times_its_sessions)
{
    cr_assert_eq(bound_bits(1), 4);
    cr_assert_eq(bound_bits(4), 4);
    cr_assert_eq(bound_bits(5), 5);
    cr_assert_eq(bound_bits(1024), 12);
    cr_assert_eq(bound_bits(STEER_SESSIONS_MAX), 14);
}

Test(bound, what_is_added_and_removed_at_random_is_there_while_it_should_be)
{
    struct {
        uint32_t address;
        uint16_t port;
        bool bound, listed;
    } sources[SESSIONS] = {0};
    struct bound bound = bound_of(4); // so small that buckets fill
    struct random random = {1};
    uint64_t unlisted = 0, bindings = 0;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        sources[i].address = (uint32_t)random_bits(&random);
        sources[i].port = (uint16_t)random_bits(&random);
    }
    for (int round = 0; round < 100000; round++) {
        uint32_t i = random_below(&random, SESSIONS);
        const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)i};
        if (sources[i].bound) {
            bound_remove(&bound, sources[i].address, sources[i].port);
            sources[i].bound = sources[i].listed = false;
            bindings--;
        } else {
            sources[i].listed = bound_add(&bound, sources[i].address, sources[i].port, mac, i);
            sources[i].bound = true;
            unlisted += !sources[i].listed;
            bindings++;
        }
        cr_assert_eq(words_in_use(&bound), bindings);
        for (uint32_t j = 0; j < SESSIONS; j++)
            cr_assert_eq(session_at(&bound, sources[j].address, sources[j].port),
                         sources[j].listed ? j + 1 : 0);
    }
    cr_assert_gt(unlisted, 100);
    free(bound.buckets);
}

// Clients behind one address with ports in a row, and addresses in a row with one port.
Test(bound, sources_in_a_row_find_room)
{
    static const uint8_t mac[6] = {2};
    for (int by_port = 0; by_port <= 1; by_port++) {
        struct bound bound = bound_of(STEER_SESSIONS_MAX);
        uint32_t unlisted = 0;
        for (uint32_t i = 0; i < STEER_SESSIONS_MAX; i++) {
            uint32_t address = by_port ? 0x02004D0A : 0x0000000A + (i << 16);
            uint16_t port = by_port ? (uint16_t)(40000 + i) : 40000;
            unlisted += !bound_add(&bound, address, port, mac, i);
        }
        cr_assert_leq(unlisted, 4, "%u", unlisted);
        free(bound.buckets);
    }
}
