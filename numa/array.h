// SPDX-License-Identifier: MIT
//
// array: a growable array of elements that may move: what files, tapes and tests keep of things
// whose number nobody knows before. Not for the way of an order, where nothing grows.
#ifndef SLUICE_NUMA_ARRAY_H
#define SLUICE_NUMA_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

// array_reserve: room for `wanted` elements of `unit` bytes each. `array` is the address of the
// pointer to the first (NULL at first), `*capacity` how many there is room for; where that is too
// few, at least as many again, so that adding one by one costs a constant time each. What is new
// holds garbage. False when there is no memory: pointer, capacity and elements are as they were.
// The caller frees the pointer.
bool array_reserve(void *array, size_t *capacity, size_t wanted, size_t unit);

#endif
