// SPDX-License-Identifier: MIT
#include "dataplane/symbols.h"

#include <string.h>

#include "book/book.h"
#include "numa/invariant.h"

// At most half of the slots are used, so a probe soon meets a free one. A client cannot choose long
// probes: their length depends on the symbols that are listed, not on those that are asked for.
static uint32_t slot_count(uint16_t count_max)
{
    uint32_t count = 2;
    while (count < 2u * count_max)
        count *= 2;
    return count;
}

// Both halves of a product, as wyhash has it (Wang Yi 2019). The lower one alone would not do:
// symbols that differ only in their last letters differ only in the top bits of the word.
static uint32_t hash(const char name[8])
{
    uint64_t word;
    memcpy(&word, name, sizeof(word));
    unsigned __int128 product = (unsigned __int128)word * 0x9E3779B97F4A7C15ull;
    return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

size_t symbols_memory_size(uint16_t count_max)
{
    return count_max * sizeof(char[8]) + slot_count(count_max) * sizeof(uint16_t);
}

void symbols_init(struct symbols *symbols, void *memory, uint16_t count_max)
{
    INVARIANT(((uintptr_t)memory & 7) == 0);
    symbols->count = 0;
    symbols->count_max = count_max;
    symbols->slot_mask = slot_count(count_max) - 1;
    symbols->names = memory;
    symbols->slots = (uint16_t *)(symbols->names + count_max);
    memset(symbols->slots, 0, slot_count(count_max) * sizeof(uint16_t));
}

// The slot that holds `name`, or the free one where it would go.
static inline uint16_t *find_slot(const struct symbols *symbols, const char name[8])
{
    uint32_t index = hash(name) & symbols->slot_mask;
    while (symbols->slots[index] != 0 &&
           memcmp(symbols->names[symbols->slots[index] - 1], name, 8) != 0)
        index = (index + 1) & symbols->slot_mask;
    return &symbols->slots[index];
}

uint16_t symbols_add(struct symbols *symbols, const char name[8])
{
    if (symbols->count == symbols->count_max)
        return NO_INSTRUMENT;
    uint16_t *slot = find_slot(symbols, name);
    if (*slot != 0)
        return NO_INSTRUMENT;
    uint16_t index = symbols->count++;
    memcpy(symbols->names[index], name, 8);
    *slot = symbols->count;
    return index;
}

uint16_t symbols_find(const struct symbols *symbols, const char name[8])
{
    uint16_t slot = *find_slot(symbols, name);
    return slot == 0 ? NO_INSTRUMENT : (uint16_t)(slot - 1);
}

const char *symbols_name(const struct symbols *symbols, uint16_t index)
{
    return index < symbols->count ? symbols->names[index] : "        ";
}
