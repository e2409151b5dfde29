// SPDX-License-Identifier: MIT
//
// What the journal adds to the disk. Commands come at a fixed rate, open loop; a thread takes all
// that has gathered and writes it durably, one write at a time: either the journal, or the bare
// loop under it, which copies the same records into the same number of blocks and writes them to
// space that holds zeros, as a new segment does (the second time that a block is written costs
// less). Alternating rounds of a second; latency from the intended moment
// to durable. Then full blocks in 512 KiB writes, both ways. Usage: bench_append FOLDER
// [COMMANDS-A-SECOND]. Prints rows.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal.h"
#include "numa/clock.h"
#include "numa/histogram.h"
#include "numa/thread.h"
#include "tests/bench/row.h"

#define RING_SLOTS    65536u
#define ROUNDS        6
#define ROUND_NS      1000000000ull
#define SEGMENT_BYTES (64ull << 20)
#define BARE_BYTES    (256ull << 20)
#define WRITE_BLOCKS  JOURNAL_WRITE_BLOCKS_MAX

static struct tsc_clock house_clock;
static struct ring *ring;
static struct journal *journal;
static struct disk *disk;
static int bare_file = -1;
static unsigned char *bare_blocks;
static uint64_t bare_offset;
static _Atomic uint64_t bare_durable;
static _Atomic bool stop;

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "bench_append: %s\n", what);
    exit(1);
}

static bool nothing(void *context, uint64_t seq, const void *record)
{
    (void)context;
    (void)seq;
    (void)record;
    return true;
}

// As the journal cuts it, 63 records a block, and nothing else: no checksum, no chain, no number.
static int bare_write(void)
{
    uint32_t ready = ring_readable(ring, WRITE_BLOCKS * JOURNAL_BLOCK_RECORDS);
    if (ready == 0)
        return 0;
    if (ready > WRITE_BLOCKS * JOURNAL_BLOCK_RECORDS)
        ready = WRITE_BLOCKS * JOURNAL_BLOCK_RECORDS;
    uint32_t blocks = (ready + JOURNAL_BLOCK_RECORDS - 1) / JOURNAL_BLOCK_RECORDS;
    for (uint32_t i = 0; i < ready; i++)
        memcpy(bare_blocks + i / JOURNAL_BLOCK_RECORDS * JOURNAL_BLOCK_SIZE +
                   (1 + i % JOURNAL_BLOCK_RECORDS) * JOURNAL_RECORD_SIZE,
               ring_read_slot(ring, i), JOURNAL_RECORD_SIZE);
    size_t length = (size_t)blocks * JOURNAL_BLOCK_SIZE;
    if (bare_offset + length > BARE_BYTES)
        die("the bare loop's file is too small");
    if (disk->operations->write(disk, bare_file, bare_offset, bare_blocks, length) < 0)
        return -1;
    bare_offset += length;
    ring_release(ring, ready);
    atomic_fetch_add_explicit(&bare_durable, ready, memory_order_release);
    return (int)ready;
}

static void *write_main(void *argument)
{
    bool bare = *(bool *)argument;
    struct error error;
    thread_go_first(false, &error);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        int written = bare ? bare_write() : journal_write(journal, ring);
        if (written < 0)
            die("a write failed");
        if (written == 0)
            __builtin_ia32_pause();
    }
    return NULL;
}

static uint64_t durable(bool bare)
{
    return bare ? atomic_load_explicit(&bare_durable, memory_order_acquire)
                : atomic_load_explicit(&journal_progress(journal)->durable_seq,
                                       memory_order_acquire);
}

// Zeros for both, before each round.
static void make_space(void)
{
    while (journal_make_spare(journal) == 1)
        ;
    if (bare_file >= 0)
        disk->operations->close(disk, bare_file);
    disk->operations->remove(disk, "bare");
    if (disk->operations->create(disk, "bare", BARE_BYTES, 0) < 0 ||
        (bare_file = disk->operations->open(disk, "bare")) < 0)
        die("cannot make the file of the bare loop");
    bare_offset = 0;
}

// One round, into `histogram`.
static void play(bool bare, uint64_t rate, struct histogram *histogram)
{
    pthread_t thread;
    struct error error;
    uint64_t before = durable(bare), sent = 0, heard = 0, count = rate * ROUND_NS / 1000000000;
    atomic_store(&stop, false);
    if (thread_start(&thread, "writer", thread_core_count() - 1, write_main, &bare, &error))
        die(error.text);
    uint64_t start_ns = clock_ns(&house_clock);
    while (heard < count) {
        uint64_t now_ns = clock_ns(&house_clock);
        uint64_t due = (now_ns - start_ns) * rate / 1000000000 + 1;
        for (; sent < due && sent < count && ring_writable(ring, 1) > 0; sent++) {
            memset(ring_write_slot(ring, 0), (int)sent, JOURNAL_RECORD_SIZE);
            ring_commit(ring, 1);
        }
        uint64_t done = durable(bare) - before;
        now_ns = clock_ns(&house_clock);
        for (; heard < done; heard++)
            histogram_record(histogram, now_ns - start_ns - heard * 1000000000 / rate);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

static void measure_latency(uint64_t rate)
{
    static struct histogram histogram;
    double p50[2][ROUNDS], p99[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int turn = 0; turn < 2; turn++) {
            int bare = (turn + round) % 2; // each goes first as often, after the spares' zeros
            make_space();
            histogram_reset(&histogram);
            play(bare, rate, &histogram);
            p50[bare][round] = (double)histogram_percentile(&histogram, 50) / 1000;
            p99[bare][round] = (double)histogram_percentile(&histogram, 99) / 1000;
        }
    uint64_t samples = ROUNDS * rate * ROUND_NS / 1000000000;
    row_print(
        &(struct row){
            .name = "journal, p50", .unit = "us", .samples = samples, .limit = "bare loop, p50"},
        p50[0], ROUNDS);
    row_print(&(struct row){.name = "bare loop, p50", .unit = "us", .samples = samples}, p50[1],
              ROUNDS);
    row_print(
        &(struct row){
            .name = "journal, p99", .unit = "us", .samples = samples, .limit = "bare loop, p99"},
        p99[0], ROUNDS);
    row_print(&(struct row){.name = "bare loop, p99", .unit = "us", .samples = samples}, p99[1],
              ROUNDS);
}

// Full blocks, as fast as they go, this thread alone: MB/s of blocks.
static double fill(bool bare)
{
    uint64_t bytes = 0, start_ns = clock_ns(&house_clock);
    while (bytes < 4 * SEGMENT_BYTES / 5) {
        uint32_t count = WRITE_BLOCKS * JOURNAL_BLOCK_RECORDS;
        while (ring_writable(ring, count) >= 1 && count-- > 0) {
            memset(ring_write_slot(ring, 0), (int)count, JOURNAL_RECORD_SIZE);
            ring_commit(ring, 1);
        }
        int written = bare ? bare_write() : journal_write(journal, ring);
        if (written < 0)
            die("a write failed");
        bytes += (uint64_t)written * JOURNAL_BLOCK_SIZE / JOURNAL_BLOCK_RECORDS;
    }
    return (double)bytes / (double)(clock_ns(&house_clock) - start_ns) * 1e3;
}

static void drain(bool bare)
{
    while ((bare ? bare_write() : journal_write(journal, ring)) > 0)
        ;
}

static void measure_throughput(void)
{
    double rate[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int turn = 0; turn < 2; turn++) {
            int bare = (turn + round) % 2;
            make_space();
            rate[bare][round] = fill(bare);
            drain(bare);
        }
    uint64_t samples = ROUNDS * 4 * SEGMENT_BYTES / 5 / JOURNAL_BLOCK_SIZE; // blocks
    row_print(&(struct row){.name = "journal, full blocks",
                            .unit = "MB/s",
                            .samples = samples,
                            .limit = "bare loop, full blocks"},
              rate[0], ROUNDS);
    row_print(&(struct row){.name = "bare loop, full blocks", .unit = "MB/s", .samples = samples},
              rate[1], ROUNDS);
}

int main(int argc, char **argv)
{
    struct error error = {"usage: bench_append FOLDER [COMMANDS-A-SECOND]"};
    struct journal_options options = {.segment_bytes = SEGMENT_BYTES, .spares = 2};
    disk = argc > 1 ? disk_open_directory(argv[1], &error) : NULL;
    journal = disk ? journal_open(disk, &options, nothing, NULL, &error) : NULL;
    if (!journal)
        die(error.text);
    bare_blocks = aligned_alloc(DISK_BLOCK_SIZE, WRITE_BLOCKS * JOURNAL_BLOCK_SIZE);
    memset(bare_blocks, 0, WRITE_BLOCKS * JOURNAL_BLOCK_SIZE);
    ring = ring_init(aligned_alloc(128, ring_memory_size(RING_SLOTS)), RING_SLOTS);
    clock_calibrate(&house_clock, 50);
    measure_latency(argc > 2 ? strtoull(argv[2], NULL, 10) : 200000);
    measure_throughput();
    return journal_close(journal, &error) == 0 ? 0 : 1;
}
