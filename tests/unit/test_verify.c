// SPDX-License-Identifier: MIT
//
// Seals, the verification of a whole log, and segments that are used again, on a disk in memory.
#include <criterion/criterion.h>
#include <sched.h>

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

// The last segment in use held other blocks, and holds them still behind its newest one: older
// ones, whole, of another segment.
static void assert_stale_behind_end(struct log *log)
{
    const struct file *file = &log->memory->files.at[log->memory->last_file];
    const struct block *last = (const void *)(file->bytes + log->memory->last_offset +
                                              log->memory->last_length - JOURNAL_BLOCK_SIZE);
    uint64_t count = 0;
    for (const struct block *block = last + 1;
         (const void *)block < (const void *)(file->bytes + file->size); block++) {
        cr_assert_null(block_fault(block));
        cr_assert_lt(block->header.block_no, last->header.block_no);
        cr_assert_neq(block->header.salt, last->header.salt);
        count++;
    }
    cr_assert_gt(count, 100);
}

Test(verify, what_a_segment_held_before_is_not_taken_for_a_record)
{
    options.keep_segments = 1;
    struct log log = new_log(4);
    seal_all(&log);
    uint64_t known = durable_seq(log.journal);
    journal_recyclable(log.journal, known);
    fill(&log, 3);
    uint64_t count = durable_seq(log.journal);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(append(log.journal, log.ring, 5), 5);
    assert_stale_behind_end(&log);
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

// The log is written while it is read, and its oldest segments are taken to be used again

#define FIRST            "segment-0000000000000001"
#define SECOND           "segment-0000000000000002"
#define A_SEGMENTS_WORTH ((SEGMENT_BLOCKS - 1) * 5) // records that fill() puts into one

// `segments` closed and sealed ones, any of which but the newest may go.
static struct log live_log(uint32_t segments)
{
    options.keep_segments = 1;
    struct log log = new_log(segments);
    seal_all(&log);
    journal_recyclable(log.journal, durable_seq(log.journal));
    return log;
}

static void take_one(void *context)
{
    struct log *log = context;
    fill(log, 1);
}

static void take_two(void *context)
{
    struct log *log = context;
    fill(log, 2);
}

// Until nothing is left of what there was.
static void take_all(void *context)
{
    struct log *log = context;
    for (int i = 0; i < 10; i++) {
        fill(log, 1);
        seal_all(log);
        journal_recyclable(log->journal, durable_seq(log->journal));
    }
}

static void at_open(struct log *log, const char *name, int skip, void (*call)(void *context))
{
    log->memory->before_open = (struct memory_hook){call, log};
    log->memory->before_open_name = name;
    log->memory->before_open_skip = skip;
}

static struct journal_stat scan_from(struct log *log, uint64_t from_seq, uint64_t known)
{
    struct journal_stat stat;
    struct reader reader = {.count = known};
    cr_assert_eq(journal_scan(&log->memory->disk, from_seq, reader_each, &reader, &stat, &error), 0,
                 "%s", error.text);
    cr_assert_null(log->memory->before_open.call);
    cr_assert_eq(reader.wrong, 0);
    cr_assert_eq(reader.count, stat.record_count);
    return stat;
}

static void scan_fails(struct log *log, uint64_t from_seq, const char *why)
{
    struct journal_stat stat;
    struct reader reader = {0};
    cr_assert_eq(journal_scan(&log->memory->disk, from_seq, reader_each, &reader, &stat, &error),
                 -1);
    cr_assert_not_null(strstr(error.text, why), "%s", error.text);
    cr_assert_eq(reader.wrong, 0, "what was given is sound");
}

Test(live_scan, begins_with_the_next_segment_when_the_oldest_is_taken_before_its_header_is_read)
{
    struct log log = live_log(4);
    at_open(&log, FIRST, 0, take_one);
    struct journal_stat stat = scan_from(&log, JOURNAL_OLDEST, A_SEGMENTS_WORTH);
    cr_assert_eq(stat.oldest_seq, A_SEGMENTS_WORTH + 1);
    cr_assert_null(memory_find(log.memory, FIRST));
    end_log(&log);
}

Test(live_scan, begins_with_the_next_segment_when_the_oldest_is_taken_before_its_blocks_are_read)
{
    struct log log = live_log(4);
    at_open(&log, FIRST, 1, take_one);
    struct journal_stat stat = scan_from(&log, JOURNAL_OLDEST, A_SEGMENTS_WORTH);
    cr_assert_eq(stat.oldest_seq, A_SEGMENTS_WORTH + 1);
    cr_assert_eq(stat.segment_count, 4, "of the five that were listed");
    end_log(&log);
}

Test(live_scan, begins_with_the_third_segment_when_two_are_taken)
{
    struct log log = live_log(4);
    at_open(&log, FIRST, 1, take_two);
    struct journal_stat stat = scan_from(&log, JOURNAL_OLDEST, 2 * A_SEGMENTS_WORTH);
    cr_assert_eq(stat.oldest_seq, 2 * A_SEGMENTS_WORTH + 1);
    end_log(&log);
}

// Its segments have two mebibytes: by the time that the second one of the oldest is read it holds
// what another segment holds, and the one behind it is gone too.
static void take_two_and_write_over_one(void *context)
{
    struct log *log = context;
    fill(log, 5);
    struct block *block = memory_block(log->memory, "segment-0000000000000007", SEGMENT_BLOCKS);
    cr_assert_gt(block->header.first_seq, 5 * 2 * A_SEGMENTS_WORTH);
    cr_assert_null(memory_find(log->memory, SECOND));
}

static struct log log_of_large_segments(void)
{
    options.segment_bytes = 2 << 20;
    return live_log(8);
}

Test(live_scan, counts_from_where_the_log_begins_when_the_segment_in_hand_is_written_over)
{
    struct log log = log_of_large_segments();
    struct journal_stat stat;
    log.memory->before_read = (struct memory_hook){take_two_and_write_over_one, &log};
    log.memory->before_read_offset = 1 << 20;
    cr_assert_eq(journal_scan(&log.memory->disk, JOURNAL_OLDEST, NULL, NULL, &stat, &error), 0,
                 "%s", error.text);
    cr_assert_eq(stat.oldest_seq, 2 * (2 * SEGMENT_BLOCKS - 1) * 5 + 1);
    cr_assert_eq(stat.segment_count, 3, "of the five that were listed");
    cr_assert_eq(stat.block_count, 3 * 2 * SEGMENT_BLOCKS, "whole ones, the last by now too");
    end_log(&log);
}

Test(live_scan, says_that_it_was_overtaken_when_records_were_given_from_what_is_taken)
{
    struct log log = log_of_large_segments();
    log.memory->before_read = (struct memory_hook){take_two_and_write_over_one, &log};
    log.memory->before_read_offset = 1 << 20;
    scan_fails(&log, JOURNAL_OLDEST, FIRST " was taken to be used again while it was read");
    end_log(&log);
}

Test(live_scan, says_that_it_was_overtaken_when_nothing_is_left_of_what_it_has_listed)
{
    struct log log = live_log(4);
    at_open(&log, FIRST, 0, take_all);
    scan_fails(&log, JOURNAL_OLDEST, " was taken to be used again while it was read");
    end_log(&log);
}

Test(live_scan, does_not_leave_out_records_that_were_asked_for)
{
    struct log log = live_log(4);
    at_open(&log, FIRST, 1, take_one);
    scan_fails(&log, 0, FIRST " was taken to be used again while it was read");
    scan_fails(&log, 0, "records from 1 on are missing");
    end_log(&log);
}

Test(live_scan, from_a_snapshot_does_not_mind_that_what_is_before_it_is_taken)
{
    for (int skip = 0; skip < 2; skip++) {
        struct log log = live_log(4);
        uint64_t known = 3 * A_SEGMENTS_WORTH + 17;
        // Those before the snapshot are opened for their headers only; its own is read.
        at_open(&log, skip ? "segment-0000000000000004" : FIRST, skip, take_one);
        scan_from(&log, known, known);
        end_log(&log);
    }
}

Test(live_scan, takes_a_spare_that_came_into_use_and_is_gone_for_what_is_written_meanwhile)
{
    struct log log = live_log(4);
    at_open(&log, "segment-0000000000000006", 1, take_all);
    scan_from(&log, JOURNAL_OLDEST, 0);
    cr_assert_null(memory_find(log.memory, "segment-0000000000000006"));
    end_log(&log);
}

// As two calls of getdents show it: the second file is renamed after the first was told, and told
// under its new name; the first one's new name is where the listing has been already.
static void take_two_while_listed(void *context)
{
    struct log *log = context;
    fill(log, 2);
    struct file *renamed = memory_find(log->memory, "segment-0000000000000007");
    struct file *next = memory_find(log->memory, "segment-0000000000000008");
    struct file other = *renamed;
    *renamed = *next;
    *next = other;
}

Test(live_scan, lists_the_folder_again_when_it_changed_while_it_was_listed)
{
    struct log log = live_log(4);
    struct memory_disk *memory = log.memory;
    memory->while_listing = (struct memory_hook){take_two_while_listed, &log};
    memory->while_listing_name = SECOND;
    struct journal_stat stat = scan_from(&log, JOURNAL_OLDEST, 2 * A_SEGMENTS_WORTH);
    cr_assert_null(memory->while_listing.call);
    cr_assert_eq(stat.oldest_seq, 2 * A_SEGMENTS_WORTH + 1);
    end_log(&log);
}

static void remove_second(void *context)
{
    struct log *log = context;
    cr_assert_eq(memory_remove(&log->memory->disk, SECOND), 0);
}

Test(live_scan, a_segment_that_vanishes_from_between_others_is_damage)
{
    for (int skip = 0; skip < 2; skip++) {
        struct log log = live_log(4);
        at_open(&log, SECOND, skip, remove_second);
        scan_fails(&log, JOURNAL_OLDEST, skip ? "cannot open " SECOND : SECOND " is missing");
        scan_fails(&log, JOURNAL_OLDEST, SECOND " is missing");
        end_log(&log);
    }
}

static void remove_first(void *context)
{
    struct log *log = context;
    cr_assert_eq(memory_remove(&log->memory->disk, FIRST), 0);
}

Test(live_scan, recovery_has_the_log_to_itself_and_excuses_nothing)
{
    struct log log = live_log(4);
    crash(log.memory, log.journal);
    at_open(&log, FIRST, 0, remove_first);
    struct reader reader = {0};
    cr_assert_null(journal_open(&log.memory->disk, &options, reader_each, &reader, &error));
    cr_assert_not_null(strstr(error.text, "cannot open " FIRST), "%s", error.text);
    memory_free(log.memory);
    free(log.ring);
}

struct shown {
    _Atomic uint64_t done_bytes;
    uint64_t total_bytes;
};

static void show(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct shown *shown = context;
    shown->done_bytes = done_bytes;
    shown->total_bytes = total_bytes;
}

static struct journal_verification verify_with(struct log *log, uint32_t workers,
                                               struct shown *shown)
{
    struct journal_verification result;
    cr_assert_eq(journal_verify(&log->memory->disk, workers, show, shown, &result, &error), 0, "%s",
                 error.text);
    cr_assert_null(log->memory->before_open.call);
    return result;
}

Test(live_verify, leaves_out_a_segment_that_is_taken_before_it_is_read)
{
    struct log log = live_log(4);
    struct shown shown = {0};
    at_open(&log, FIRST, 1, take_one);
    struct journal_verification result = verify_with(&log, 1, &shown);
    cr_assert_eq(result.segment_count, 4, "of the five that were listed");
    cr_assert_eq(result.sealed_count, 3);
    cr_assert_eq(shown.done_bytes, 3 * JOURNAL_SEGMENT_BYTES_MIN);
    cr_assert_eq(shown.total_bytes, shown.done_bytes, "and says that all is done");
    end_log(&log);
}

Test(live_verify, leaves_out_a_segment_that_is_taken_before_its_header_is_read)
{
    struct log log = live_log(4);
    struct shown shown = {0};
    at_open(&log, FIRST, 0, take_one);
    cr_assert_eq(verify_with(&log, 1, &shown).segment_count, 4);
    end_log(&log);
}

struct waiting {
    struct log *log;
    struct shown shown;
};

// Until the other thread has read the first one.
static void take_both_once_one_is_read(void *context)
{
    struct waiting *waiting = context;
    while (waiting->shown.done_bytes < 2 * JOURNAL_SEGMENT_BYTES_MIN)
        sched_yield();
    fill(waiting->log, 2);
}

Test(live_verify, leaves_out_a_segment_when_the_one_before_it_was_read_and_taken_as_well,
     .timeout = 60)
{
    struct log log = live_log(3);
    struct waiting waiting = {.log = &log};
    // Three tasks: the opener begins with the newest, the thief with the oldest, and nobody ends
    // before two are read.
    log.memory->before_open = (struct memory_hook){take_both_once_one_is_read, &waiting};
    log.memory->before_open_name = SECOND;
    log.memory->before_open_skip = 1;
    struct journal_verification result = verify_with(&log, 2, &waiting.shown);
    cr_assert_eq(result.segment_count, 3, "of the four that were listed");
    end_log(&log);
}

Test(live_verify, says_that_it_was_overtaken_when_nothing_is_left_of_what_it_has_listed)
{
    struct log log = live_log(2);
    struct journal_verification result;
    at_open(&log, FIRST, 1, take_all);
    cr_assert_eq(journal_verify(&log.memory->disk, 1, NULL, NULL, &result, &error), -1);
    cr_assert_not_null(strstr(error.text, "was taken to be used again"), "%s", error.text);
    end_log(&log);
}

Test(live_verify, a_segment_that_vanishes_from_between_others_is_named)
{
    struct log log = live_log(4);
    at_open(&log, SECOND, 1, remove_second);
    verify(&log, "cannot open " SECOND);
    end_log(&log);
}
