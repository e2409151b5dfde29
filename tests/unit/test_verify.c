// SPDX-License-Identifier: MIT
//
// Seals, the verification of a whole log, and segments that are used again, on a disk in memory.
#include <criterion/criterion.h>

#include "journal/seal.h"
#include "journal/verify.h"
#include "numa/invariant.h"
#include "tests/unit/memory_disk.h"

#define SEGMENT_BLOCKS (JOURNAL_SEGMENT_BYTES_MIN / JOURNAL_BLOCK_SIZE)

static struct error error;
static struct journal_options options = {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN, .spares = 1};

struct log {
    struct memory_disk *memory;
    struct journal *journal;
    struct ring *ring;
};

static void open_log(struct log *log)
{
    struct reader reader = {.count = options.from_seq};
    log->journal = journal_open(&log->memory->disk, &options, reader_each, &reader, &error);
    cr_assert_not_null(log->journal, "%s", error.text);
    cr_assert_eq(reader.wrong, 0);
}

// Single blocks until `segments` are closed, a spare made in time.
static void fill(struct log *log, uint32_t segments)
{
    for (uint32_t i = 0; i < segments * SEGMENT_BLOCKS; i++) {
        cr_assert_geq(journal_make_spare(log->journal), 0);
        cr_assert_eq(append(log->journal, log->ring, 5), 5);
    }
}

static struct log new_log(uint32_t segments)
{
    struct log log = {.memory = memory_new(), .ring = test_ring_new()};
    open_log(&log);
    fill(&log, segments);
    return log;
}

static uint32_t seal_all(struct log *log)
{
    uint32_t count = 0;
    int result;
    while ((result = journal_seal(log->journal)) == 1)
        count++;
    cr_assert_eq(result, 0);
    return count;
}

static void end_log(struct log *log)
{
    journal_close(log->journal, NULL);
    memory_free(log->memory);
    free(log->ring);
}

static struct journal_verification verify(struct log *log, const char *where)
{
    struct journal_verification result;
    int status = journal_verify(&log->memory->disk, 2, NULL, NULL, &result, &error);
    if (!where)
        cr_assert_eq(status, 0, "%s", error.text);
    else
        cr_assert(status == -1 && strstr(error.text, where), "%d: %s", status, error.text);
    return result;
}

// The first sealed block of a segment, changed as somebody would who knows how: every checksum from
// there on is made to fit.
static void forge(struct log *log, uint32_t segment_count)
{
    uint32_t crc = 0;
    for (uint32_t number = 1; number <= segment_count; number++) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(name, number);
        for (uint64_t i = 0; i < SEGMENT_BLOCKS; i++) {
            struct block *block = memory_block(log->memory, name, i);
            if (block_is_zero(block))
                return;
            if (number == 1 && i == 3)
                block->records[0][20] ^= 1;
            block->header.prev_crc = crc;
            struct chain chain = {.block_no = block->header.block_no,
                                  .next_seq = block->header.first_seq,
                                  .crc = crc,
                                  .epoch = block->header.epoch,
                                  .salt = block->header.salt};
            block_seal(block, &chain);
            crc = block->header.crc;
        }
    }
}

Test(verify, a_log_is_sealed_segment_by_segment_and_verified)
{
    struct log log = new_log(3);
    struct journal_verification result = verify(&log, NULL);
    cr_assert_eq(result.sealed_count, 0);
    cr_assert_eq(result.unsealed_count, 3);
    cr_assert_eq(seal_all(&log), 3);
    result = verify(&log, NULL);
    cr_assert_eq(result.segment_count, 4);
    cr_assert_eq(result.sealed_count, 3);
    cr_assert_eq(result.sealed, 3);
    cr_assert_eq(result.stat.record_count, durable_seq(log.journal));
    end_log(&log);
}

Test(verify, an_empty_folder_is_sound)
{
    struct log log = {.memory = memory_new()};
    struct journal_verification result = verify(&log, NULL);
    cr_assert_eq(result.segment_count, 0);
    memory_free(log.memory);
}

Test(verify, a_changed_block_is_named)
{
    struct log log = new_log(3);
    memory_block(log.memory, "segment-0000000000000002", 7)->records[1][0] ^= 1;
    verify(&log, "segment-0000000000000002 is damaged at byte 28672 ");
    end_log(&log);
}

Test(verify, a_record_that_was_changed_with_all_checksums_is_told_by_the_seal)
{
    struct log log = new_log(3);
    seal_all(&log);
    forge(&log, 4);
    struct journal_stat stat;
    cr_assert_eq(journal_scan(&log.memory->disk, 0, NULL, NULL, &stat, &error), 0,
                 "checksums alone say nothing: %s", error.text);
    verify(&log, "its seal is not that of these blocks");
    end_log(&log);
}

Test(verify, a_seal_that_was_made_anew_does_not_fit_the_next_one)
{
    struct log log = new_log(3);
    seal_all(&log);
    forge(&log, 4);
    struct seal seal;
    static _Alignas(DISK_BLOCK_SIZE) unsigned char buffer[1 << 16];
    cr_assert_eq(seal_read(&log.memory->disk, 1, &seal), 0);
    cr_assert_eq(seal_make(&log.memory->disk, &seal, buffer, sizeof(buffer)), 0);
    cr_assert_eq(seal_write(&log.memory->disk, &seal), 0);
    // Segments 2 and 3 have other bytes too, in their chains: make their seals, on the old chain.
    for (uint64_t number = 2; number <= 3; number++) {
        cr_assert_eq(seal_read(&log.memory->disk, number, &seal), 0);
        cr_assert_eq(seal_make(&log.memory->disk, &seal, buffer, sizeof(buffer)), 0);
        cr_assert_eq(seal_write(&log.memory->disk, &seal), 0);
    }
    verify(&log, "the seal of segment 2 does not follow the one before it");
    end_log(&log);
}

Test(verify, a_damaged_seal_is_named)
{
    struct log log = new_log(2);
    seal_all(&log);
    memory_find(log.memory, "seal-0000000000000001")->bytes[60] ^= 1;
    verify(&log, "the seal of segment 1 is damaged");
    end_log(&log);
}

Test(verify, a_seal_that_a_crash_cut_short_is_made_again)
{
    struct log log = new_log(2);
    seal_all(&log);
    memset(memory_find(log.memory, "seal-0000000000000002")->bytes, 0, DISK_BLOCK_SIZE);
    crash(log.memory, log.journal);
    open_log(&log);
    cr_assert_eq(seal_all(&log), 2, "segment 2, and the one that the crash closed");
    cr_assert_eq(verify(&log, NULL).sealed_count, 3);
    end_log(&log);
}

// Segments that are used again

Test(verify, a_segment_is_used_again_once_it_is_sealed_and_in_two_snapshots)
{
    options.keep_segments = 1;
    struct log log = new_log(4);
    cr_assert_not_null(memory_find(log.memory, "segment-0000000000000001"));
    journal_recyclable(log.journal, durable_seq(log.journal));
    fill(&log, 2);
    cr_assert_not_null(memory_find(log.memory, "segment-0000000000000001"), "not sealed yet");
    seal_all(&log);
    fill(&log, 3);
    cr_assert_null(memory_find(log.memory, "segment-0000000000000001"));
    cr_assert_null(memory_find(log.memory, "segment-0000000000000002"));
    struct journal_stat stat;
    cr_assert_eq(journal_scan(&log.memory->disk, JOURNAL_OLDEST, NULL, NULL, &stat, &error), 0,
                 "%s", error.text);
    cr_assert_gt(stat.oldest_seq, 1);
    end_log(&log);
}

Test(verify, records_in_no_snapshot_are_not_given_up)
{
    options.keep_segments = 1;
    struct log log = new_log(4);
    seal_all(&log);
    journal_recyclable(log.journal, 200); // within the first segment
    fill(&log, 3);
    cr_assert_not_null(memory_find(log.memory, "segment-0000000000000001"));
    end_log(&log);
}

Test(verify, a_log_without_its_beginning_opens_from_a_snapshot_and_not_without_one)
{
    options.keep_segments = 1;
    struct log log = new_log(4);
    seal_all(&log);
    uint64_t known = durable_seq(log.journal);
    journal_recyclable(log.journal, known);
    fill(&log, 3);
    crash(log.memory, log.journal);
    struct reader reader = {0};
    cr_assert_null(journal_open(&log.memory->disk, &options, reader_each, &reader, &error));
    cr_assert_not_null(strstr(error.text, "records from 1 on are missing"), "%s", error.text);
    options.from_seq = known;
    open_log(&log);
    end_log(&log);
}

Test(verify, what_a_segment_held_before_is_not_taken_for_a_record)
{
    options.keep_segments = 1;
    struct log log = new_log(4);
    seal_all(&log);
    uint64_t known = durable_seq(log.journal);
    journal_recyclable(log.journal, known);
    fill(&log, 3);
    // The last segment in use held other blocks: a write into it that did not arrive leaves one.
    uint64_t count = durable_seq(log.journal);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(append(log.journal, log.ring, 5), 5);
    crash(log.memory, log.journal);
    options.from_seq = known;
    struct reader reader = {.count = known};
    log.journal = journal_open(&log.memory->disk, &options, reader_each, &reader, &error);
    cr_assert_not_null(log.journal, "%s", error.text);
    cr_assert_eq(reader.wrong, 0);
    cr_assert_eq(reader.count, count + 45);
    end_log(&log);
}

Test(verify, a_journal_that_ends_before_its_snapshot_is_refused)
{
    struct log log = new_log(1);
    uint64_t count = durable_seq(log.journal);
    crash(log.memory, log.journal);
    options.from_seq = count + 1;
    struct reader reader = {.count = count + 1};
    cr_assert_null(journal_open(&log.memory->disk, &options, reader_each, &reader, &error));
    cr_assert_not_null(strstr(error.text, "a snapshot proves"), "%s", error.text);
    memory_free(log.memory);
}
