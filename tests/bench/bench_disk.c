// SPDX-License-Identifier: MIT
//
// The floor under every acknowledgement: one raw 4 KiB write, O_DIRECT | O_DSYNC, to space that was
// written before. Usage: bench_disk FOLDER [COUNT]. Prints p50 and p99 in microseconds.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numa/clock.h"
#include "numa/histogram.h"

#define FILE_BYTES (16u << 20)
#define BLOCK      4096u

static int measure(int fd, unsigned char *buffer, unsigned count)
{
    struct tsc_clock clock;
    static struct histogram histogram;
    clock_calibrate(&clock, 50);
    histogram_reset(&histogram);
    for (unsigned offset = 0; offset < FILE_BYTES; offset += FILE_BYTES / 16)
        if (pwrite(fd, buffer, FILE_BYTES / 16, offset) < 0)
            return -1;
    for (unsigned i = 0; i < count; i++) {
        uint64_t start_ns = clock_ns(&clock);
        if (pwrite(fd, buffer, BLOCK, (off_t)i % (FILE_BYTES / BLOCK) * BLOCK) != BLOCK)
            return -1;
        histogram_record(&histogram, clock_ns(&clock) - start_ns);
    }
    printf("%.1f %.1f\n", (double)histogram_percentile(&histogram, 50) / 1000,
           (double)histogram_percentile(&histogram, 99) / 1000);
    return 0;
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc < 2) {
        fprintf(stderr, "usage: bench_disk FOLDER [COUNT]\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s/bench_disk.tmp", argv[1]);
    unsigned char *buffer = aligned_alloc(BLOCK, FILE_BYTES / 16);
    int fd = open(path, O_CREAT | O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    unlink(path);
    if (fd < 0 || !buffer) {
        fprintf(stderr, "bench_disk: %s: %s\n", path, strerror(errno));
        return 1;
    }
    memset(buffer, 0x5A, FILE_BYTES / 16);
    if (measure(fd, buffer, argc > 2 ? (unsigned)atoi(argv[2]) : 2000)) {
        fprintf(stderr, "bench_disk: write: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
