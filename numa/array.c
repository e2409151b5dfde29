// SPDX-License-Identifier: MIT
#include "numa/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64u // elements; more of large ones would be pages for nothing

bool array_reserve(void *array, size_t *capacity, size_t wanted, size_t unit)
{
    if (wanted <= *capacity)
        return true;
    size_t larger = *capacity < SIZE_MAX / 2 ? 2 * *capacity : SIZE_MAX;
    larger = larger > wanted ? larger : wanted;
    larger = larger > CAPACITY_MIN ? larger : CAPACITY_MIN;
    size_t size;
    if (__builtin_mul_overflow(larger, unit, &size))
        return false;
    void *memory; // copied in and out: the caller's pointer has a type of its own
    memcpy(&memory, array, sizeof(memory));
    void *grown = realloc(memory, size);
    if (!grown)
        return false;
    memcpy(array, &grown, sizeof(grown));
    *capacity = larger;
    return true;
}
