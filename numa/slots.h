// SPDX-License-Identifier: MIT
//
// slots: a memory pool of objects of one size: which places of an array, from 1 up to a fixed
// number, are in use. Taken in constant time, the last one given back first, as it is the most
// likely to be in a cache. No memory of its own: a place that was given back holds the number of
// the next one in a word of its own, the link; one that never was in use is not touched. 0 is no
// place. The array is the caller's, as is the clearing of what is taken.
#ifndef SLUICE_NUMA_SLOTS_H
#define SLUICE_NUMA_SLOTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "numa/invariant.h"

struct slots {
    uint32_t free;  // given back last; 0: none is free that was in use
    uint32_t fresh; // first that never was; 1 at first
    uint32_t count; // in use
    uint32_t max;
};

// slots_take: a place, or 0 when all are in use. `links` is the address of the link of the array's
// first object, at place 0; the others follow `unit` bytes apart.
static inline uint32_t slots_take(struct slots *slots, const void *links, size_t unit)
{
    uint32_t index = slots->free;
    if (likely(index != 0))
        memcpy(&slots->free, (const unsigned char *)links + index * unit, sizeof(slots->free));
    else if (slots->fresh <= slots->max)
        index = slots->fresh++;
    else
        return 0;
    slots->count++;
    return index;
}

// slots_give: place `index`, which is in use, is free; `link` is its own.
static inline void slots_give(struct slots *slots, uint32_t *link, uint32_t index)
{
    *link = slots->free;
    slots->free = index;
    slots->count--;
}

#endif
