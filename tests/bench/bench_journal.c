// SPDX-License-Identifier: MIT
//
// Writes a generated day as one shard's journal, in full blocks, as fast as the disk takes it.
// Usage: bench_journal FOLDER COUNT. Prints rows. What it leaves is for `sluice replay`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"
#include "dataplane/load_flow.h"
#include "journal/journal.h"
#include "numa/clock.h"
#include "tests/bench/row.h"

#define SESSIONS   4u
#define SYMBOLS    4u
#define RING_SLOTS 8192u

static struct journal *journal;
static struct ring *ring;
static uint64_t command_count;

static void flush(void)
{
    while (ring_writable(ring, RING_SLOTS) < RING_SLOTS)
        if (journal_write(journal, ring) < 0) {
            fprintf(stderr, "bench_journal: %s\n", journal_error(journal));
            exit(1);
        }
}

static void put(void *context, const struct command *command)
{
    (void)context;
    if (ring_writable(ring, 1) == 0)
        flush();
    *(struct command *)ring_write_slot(ring, 0) = *command;
    ring_commit(ring, 1);
    command_count++;
}

static bool nothing(void *context, uint64_t seq, const void *record)
{
    (void)context;
    (void)seq;
    (void)record;
    return true;
}

int main(int argc, char **argv)
{
    static const char symbols[SYMBOLS][8] = {"ACME   ", "BOLT   ", "COIL   ", "DYNE   "};
    struct load_flow_options flow = {
        .seed = 1, .session_count = SESSIONS, .symbol_count = SYMBOLS, .symbols = symbols};
    struct load_day day = {0};
    struct error error = {"usage: bench_journal FOLDER COUNT"};
    struct journal_options options = {.segment_bytes = 64ull << 20, .spares = 4};
    flow.count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    // All segments are made beforehand.
    while (flow.count * 70 / options.segment_bytes >= JOURNAL_SPARES_MAX)
        options.segment_bytes *= 2;
    options.spares = (uint32_t)(flow.count * 70 / options.segment_bytes + 1);
    struct disk *disk = flow.count > 0 ? disk_open_directory(argv[1], &error) : NULL;
    if (disk && load_flow_generate(&flow, &day, &error) == 0)
        journal = journal_open(disk, &options, nothing, NULL, &error);
    if (!journal) {
        fprintf(stderr, "bench_journal: %s\n", error.text);
        return 1;
    }
    ring = ring_init(aligned_alloc(128, ring_memory_size(RING_SLOTS)), RING_SLOTS);
    struct tsc_clock clock;
    clock_calibrate(&clock, 50);
    while (journal_make_spare(journal) == 1)
        ; // here, so that the measurement is of appending alone
    uint64_t start_ns = clock_ns(&clock);
    load_day_commands(&day, put, NULL);
    flush();
    double seconds = (double)(clock_ns(&clock) - start_ns) * 1e-9;
    double millions_s = (double)command_count / seconds * 1e-6, mb_s = millions_s * 64 * 64 / 63;
    row_print(&(struct row){.name = "written durably",
                            .unit = "million commands/s",
                            .samples = command_count},
              &millions_s, 1);
    row_print(
        &(struct row){.name = "written durably, blocks", .unit = "MB/s", .samples = command_count},
        &mb_s, 1);
    load_day_free(&day);
    if (journal_close(journal, &error) == 0)
        return 0;
    fprintf(stderr, "bench_journal: %s\n", error.text);
    return 1;
}
