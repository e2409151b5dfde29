// SPDX-License-Identifier: MIT
//
// symbols: the instruments of one shard by name, or its sessions by their users'. Filled before
// threads start, read-only afterwards.
#ifndef SLUICE_DATAPLANE_SYMBOLS_H
#define SLUICE_DATAPLANE_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct symbols {
    uint16_t count;
    uint16_t count_max;
    uint32_t slot_mask;
    uint16_t *slots; // hash table of indices + 1, 0 when free
    char (*names)[8];
};

// symbols_memory_size / symbols_init: an empty table for up to `count_max` instruments in `memory`,
// which is 8-byte aligned and stays the caller's.
size_t symbols_memory_size(uint16_t count_max);
void symbols_init(struct symbols *symbols, void *memory, uint16_t count_max);

// symbols_add: the next index is `name`'s (8 bytes, padded with spaces). The index, or
// NO_INSTRUMENT when the table is full or has the name already.
uint16_t symbols_add(struct symbols *symbols, const char name[8]);

// symbols_find: the index of `name`, or NO_INSTRUMENT. Constant time. Any thread.
uint16_t symbols_find(const struct symbols *symbols, const char name[8]);

// symbols_name: 8 bytes, padded with spaces; spaces for an index that is not in use.
const char *symbols_name(const struct symbols *symbols, uint16_t index);

#endif
