// SPDX-License-Identifier: MIT
//
// A journal that was tampered with: an input is a list of changes to the bytes of a small one
// (where, how many, what to), after which the checksums of some blocks are made to fit again.
// Whatever it says, scanning, verifying and opening it end without a fault, read no byte that is
// not there, and without made-up checksums give no record that was never written.
#include <stdlib.h>
#include <string.h>

#include "journal/snapshot.h"
#include "journal/verify.h"
#include "tests/unit/memory_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS 300u

static struct memory_disk *original;
static bool forged;

static const struct journal_options options = {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN,
                                               .spares = 1};

static bool any_record(void *context, uint64_t seq, const void *record)
{
    unsigned char expected[JOURNAL_RECORD_SIZE];
    (void)context;
    record_fill(expected, seq);
    INVARIANT(forged || (seq <= RECORDS && memcmp(expected, record, sizeof(expected)) == 0));
    return true;
}

static bool one_record(void *state, snapshot_put_fn *put, void *context)
{
    return put(context, state) && put(context, state);
}

static void make_original(void)
{
    struct error error;
    unsigned char record[SNAPSHOT_RECORD_SIZE] = {1};
    original = memory_new();
    struct ring *ring = test_ring_new();
    struct journal *journal = journal_open(&original->disk, &options, any_record, NULL, &error);
    INVARIANT(journal != NULL);
    for (uint32_t i = 0; i < RECORDS; i += 20)
        INVARIANT(append(journal, ring, 20) == 20);
    INVARIANT(snapshot_write(&original->disk, 0, 200, 0, one_record, record, &error) == 0);
    crash(original, journal);
    free(ring);
}

static bool ignore_record(void *context, const void *record)
{
    (void)context;
    (void)record;
    return true;
}

// {file, block, offset / 16, value}: four bytes each; value 0xFF makes the block's checksum fit.
static void change(struct memory_disk *memory, const uint8_t *edit)
{
    struct file *file = &memory->files.at[edit[0] % memory->files.count];
    uint64_t blocks = file->size / JOURNAL_BLOCK_SIZE;
    struct block *block = (struct block *)file->bytes + edit[1] % (blocks < 24 ? blocks : 24);
    unsigned char *bytes = (unsigned char *)block;
    if (edit[3] != 0xFF) {
        bytes[(edit[2] * 16u + edit[3] % 16u) % JOURNAL_BLOCK_SIZE] ^= edit[3];
        return;
    }
    forged = true;
    block->header.crc = crc32c(crc32c(0, bytes, 60), bytes + 64, JOURNAL_BLOCK_SIZE - 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_stat stat;
    struct journal_verification verification;
    struct error error;
    if (!original)
        make_original();
    struct memory_disk *memory = memory_copy(original);
    forged = false;
    for (size_t at = 0; at + 4 <= size && at < 256; at += 4)
        change(memory, data + at);
    journal_scan(&memory->disk, 0, any_record, NULL, &stat, &error);
    journal_verify(&memory->disk, 1, NULL, NULL, &verification, &error);
    if (snapshot_verify(&memory->disk, 0, 200, &error) == 0)
        snapshot_read(&memory->disk, 200, ignore_record, NULL, &error);
    struct journal *journal = journal_open(&memory->disk, &options, any_record, NULL, &error);
    if (journal)
        journal_close(journal, NULL);
    memory_free(memory);
    return 0;
}
