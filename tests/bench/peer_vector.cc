// SPDX-License-Identifier: MIT
#include "tests/bench/peer_vector.h"

#include <vector>

void *peer_vector_fill(const struct command *commands, uint32_t count)
{
    auto *vector = new std::vector<struct command>;
    for (uint32_t i = 0; i < count; i++)
        vector->push_back(commands[i]);
    return vector;
}

void peer_vector_free(void *vector)
{
    delete static_cast<std::vector<struct command> *>(vector);
}
