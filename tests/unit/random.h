// SPDX-License-Identifier: MIT
//
// Random numbers of a test's own: the same seed gives the same ones everywhere.
#ifndef SLUICE_TESTS_UNIT_RANDOM_H
#define SLUICE_TESTS_UNIT_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

// splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
static inline uint64_t random_bits(struct random *random)
{
    uint64_t z = random->state += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline uint32_t random_below(struct random *random, uint32_t bound)
{
    return (uint32_t)((random_bits(random) >> 32) * bound >> 32);
}

static inline bool random_percent(struct random *random, uint32_t percent)
{
    return random_below(random, 100) < percent;
}

#endif
