// SPDX-License-Identifier: MIT
//
// std::vector, to compare the growable array with.
#ifndef SLUICE_BENCH_PEER_VECTOR_H
#define SLUICE_BENCH_PEER_VECTOR_H

#include "book/book.h"

#ifdef __cplusplus
extern "C" {
#endif

// peer_vector_fill / peer_vector_free: a vector that the commands were added to, one by one.
void *peer_vector_fill(const struct command *commands, uint32_t count);
void peer_vector_free(void *vector);

#ifdef __cplusplus
}
#endif

#endif
