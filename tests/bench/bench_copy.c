// SPDX-License-Identifier: MIT
//
// bench_copy: the memory's own limit: one thread copies 64 MiB to other 64 MiB, over and over, five
// rounds. Prints a row.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/clock.h"
#include "tests/bench/row.h"

#define ROUNDS     5u
#define COPIES     20u // a round's
#define COPY_BYTES (64ull << 20)

int main(void)
{
    struct tsc_clock clock;
    double gb_s[ROUNDS];
    char *from = malloc(COPY_BYTES), *to = malloc(COPY_BYTES);
    if (!from || !to) {
        fprintf(stderr, "bench_copy: no memory: %llu bytes\n", 2 * COPY_BYTES);
        return 1;
    }
    memset(from, 1, COPY_BYTES);
    memset(to, 2, COPY_BYTES);
    clock_calibrate(&clock, 50);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = clock_ns(&clock);
        for (uint32_t i = 0; i < COPIES; i++) {
            memcpy(to, from, COPY_BYTES);
            __asm__ volatile("" : : "r"(to) : "memory"); // every copy is made
        }
        gb_s[round] = (double)(COPIES * COPY_BYTES) / (double)(clock_ns(&clock) - start_ns);
    }
    row_print(&(struct row){.name = "memory copied by one thread",
                            .unit = "GB/s",
                            .samples = ROUNDS * COPIES},
              gb_s, ROUNDS);
    free(from);
    free(to);
    return 0;
}
