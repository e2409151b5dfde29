// SPDX-License-Identifier: MIT
//
// What a journal makes of a log after crashes and damage, and of a disk that fails, on a disk in
// memory.
#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/unit/memory_disk.h"

#define FIRST          "segment-0000000000000001"
#define SECOND         "segment-0000000000000002"
#define THIRD          "segment-0000000000000003"

#define SEGMENT_BLOCKS (JOURNAL_SEGMENT_BYTES_MIN / JOURNAL_BLOCK_SIZE)

static const struct journal_options options = {
    .segment_bytes = JOURNAL_SEGMENT_BYTES_MIN, .spares = 2, .shard = 7};

static struct error error;

static struct journal *open_or_fail(struct memory_disk *memory, struct reader *reader)
{
    *reader = (struct reader){0};
    struct journal *journal = journal_open(&memory->disk, &options, reader_each, reader, &error);
    cr_assert_not_null(journal, "%s", error.text);
    cr_assert_eq(reader->wrong, 0);
    return journal;
}

// The number of records that recovery brings back.
static uint64_t records_recovered(struct memory_disk *memory)
{
    struct reader reader;
    crash(memory, open_or_fail(memory, &reader));
    return reader.count;
}

// Neither journal_open nor journal_scan takes the log, and both say `where`.
static void assert_refused(struct memory_disk *memory, const char *where)
{
    struct reader reader = {0};
    struct journal_stat stat;
    uint64_t write_count = memory->write_count;
    cr_assert_null(journal_open(&memory->disk, &options, reader_each, &reader, &error));
    cr_assert_not_null(strstr(error.text, where), "open says: %s", error.text);
    cr_assert_eq(memory->write_count, write_count, "nothing is written to a damaged log");
    cr_assert_eq(reader.wrong, 0);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), -1);
    cr_assert_not_null(strstr(error.text, where), "scan says: %s", error.text);
}

static void assert_scan_refused(struct memory_disk *memory, const char *name, uint64_t index)
{
    char where[64];
    struct journal_stat stat;
    snprintf(where, sizeof(where), "%s is damaged at byte %llu ", name,
             (unsigned long long)(index * JOURNAL_BLOCK_SIZE));
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), -1, "not seen: %s",
                 where);
    cr_assert_not_null(strstr(error.text, where), "%s, not %s", error.text, where);
}

static void assert_scan_finds(struct memory_disk *memory, uint64_t record_count)
{
    struct reader reader = {0};
    struct journal_stat stat;
    cr_assert_eq(journal_scan(&memory->disk, 0, reader_each, &reader, &stat, &error), 0, "%s",
                 error.text);
    cr_assert_eq(reader.wrong, 0);
    cr_assert_eq(reader.count, record_count, "%llu records, not %llu",
                 (unsigned long long)reader.count, (unsigned long long)record_count);
    cr_assert_eq(stat.record_count, record_count);
}

// A log of one full segment and a second with 8 blocks: header, six writes of one block, one idle
// block; and then a last write of `last_count` records. Left as a crash leaves it.
#define SMALL_LOG_DURABLE (255u * 63u + 63u + 5u * 12u)
#define SMALL_LOG_BLOCKS  8u // of the second segment before the last write
static struct memory_disk *small_log(uint32_t last_count)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal *journal = open_or_fail(memory, &reader);
    cr_assert_eq(append(journal, ring, 8064), 8064);
    cr_assert_eq(append(journal, ring, 127 * 63), 127 * 63);
    cr_assert_eq(append(journal, ring, 63), 63); // the second segment's first
    for (int i = 0; i < 5; i++)
        cr_assert_eq(append(journal, ring, 12), 12);
    cr_assert_eq(durable_seq(journal), SMALL_LOG_DURABLE);
    cr_assert_eq(journal_idle(journal), 0);
    cr_assert_eq(journal_make_spare(journal), 1); // the third and the fourth file
    cr_assert_eq(journal_make_spare(journal), 1);
    if (last_count > 0)
        cr_assert_eq(append(journal, ring, last_count), (int)last_count);
    crash(memory, journal);
    free(ring);
    return memory;
}

Test(journal_recovery, an_idle_block_proves_the_last_records_durable)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal_stat stat;
    struct journal *journal = open_or_fail(memory, &reader);
    append(journal, ring, 5);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert_eq(stat.durable_upto, 0);
    cr_assert_eq(journal_idle(journal), 0);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert_eq(stat.durable_upto, 5);
    cr_assert_eq(stat.idle_block_count, 1);

    uint64_t write_count = memory->write_count;
    cr_assert_eq(journal_idle(journal), 0);
    cr_assert_eq(memory->write_count, write_count, "there is nothing left to prove");
    crash(memory, journal);
    free(ring);
    memory_free(memory);
}

Test(journal_recovery, only_a_closed_log_is_called_clean)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal_stat stat;
    struct journal *journal = open_or_fail(memory, &reader);
    append(journal, ring, 100);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert_not(stat.clean);
    cr_assert_eq(journal_close(journal, &error), 0);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert(stat.clean);
    cr_assert_eq(stat.segment_count, 1);
    cr_assert_eq(stat.spare_count, 1);
    cr_assert_eq(stat.block_count, 4);
    cr_assert_eq(stat.record_count, 100);
    cr_assert_eq(stat.durable_upto, 100);
    cr_assert_eq(stat.epoch_count, 1);
    cr_assert_eq(stat.torn_block_count, 0);
    cr_assert_eq(stat.bytes, 2 * JOURNAL_SEGMENT_BYTES_MIN);
    cr_assert_eq(stat.shard, 7);
    crash(memory, open_or_fail(memory, &reader));
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert_not(stat.clean, "opened again since");
    cr_assert_eq(stat.epoch_count, 2);
    free(ring);
    memory_free(memory);
}

Test(journal_recovery, a_full_segment_is_closed_in_the_next_one)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal_stat stat;
    struct journal *journal = open_or_fail(memory, &reader);
    append(journal, ring, 8064);
    append(journal, ring, 127 * 63);
    cr_assert_eq(journal_close(journal, &error), 0, "%s", error.text);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert(stat.clean);
    cr_assert_eq(stat.segment_count, 2);
    free(ring);
    memory_free(memory);
}

Test(journal_recovery, idle_at_the_end_of_a_segment_goes_on_in_the_next_one_or_waits_for_a_spare)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal_stat stat;
    struct journal *journal = open_or_fail(memory, &reader);
    for (int segment = 0; segment < 2; segment++) {
        append(journal, ring, 8064);
        append(journal, ring, 127 * 63);
        if (segment == 1)
            cr_assert_eq(atomic_load(&journal_progress(journal)->spare_count), 0);
        cr_assert_eq(journal_idle(journal), 0);
        cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
        cr_assert_eq(stat.segment_count, 2);
        cr_assert_eq(stat.durable_upto, segment == 0 ? 16065 : 16065 + 8064);
    }
    cr_assert_eq(journal_make_spare(journal), 1);
    cr_assert_eq(journal_idle(journal), 0);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert_eq(stat.segment_count, 3);
    cr_assert_eq(stat.durable_upto, 2 * 16065);
    crash(memory, journal);
    free(ring);
    memory_free(memory);
}

enum fill { FILL_ZEROS, FILL_GARBAGE, FILL_OLD, FILL_COUNT };

// From `from` to `to` of the file the last write went to, put what a disk may have there.
static void tear(struct memory_disk *memory, enum fill fill, uint64_t from, uint64_t to)
{
    unsigned char *bytes = memory_find(memory, SECOND)->bytes;
    const unsigned char *old = memory_find(memory, FIRST)->bytes;
    for (uint64_t at = from; at < to; at++)
        bytes[at] = fill == FILL_ZEROS     ? 0
                    : fill == FILL_GARBAGE ? (unsigned char)(at * 131 + (at >> 9) * 17 + 1)
                                           : old[at];
}

Test(journal_recovery, a_last_write_cut_short_at_any_sector_loses_nothing_durable)
{
    const uint32_t last_blocks = 5, last_count = 5 * 63;
    struct memory_disk *whole = small_log(last_count);
    uint64_t start = SMALL_LOG_BLOCKS * JOURNAL_BLOCK_SIZE;
    uint64_t end = start + last_blocks * JOURNAL_BLOCK_SIZE;
    cr_assert_eq(records_recovered(whole), SMALL_LOG_DURABLE + last_count);
    memory_free(whole);
    whole = small_log(last_count);
    for (int fill = 0; fill < FILL_COUNT; fill++)
        for (uint64_t from = start; from < end; from += 512) {
            struct memory_disk *memory = memory_copy(whole);
            tear(memory, (enum fill)fill, from, end);
            uint64_t whole_blocks = (from - start) / JOURNAL_BLOCK_SIZE;
            uint64_t expected = SMALL_LOG_DURABLE + whole_blocks * 63;
            assert_scan_finds(memory, expected);
            cr_assert_eq(records_recovered(memory), expected);
            cr_assert_eq(records_recovered(memory), expected, "and so does the next recovery");
            memory_free(memory);
        }
    memory_free(whole);
}

Test(journal_recovery, a_last_write_of_which_only_some_sectors_arrived_loses_nothing_durable)
{
    struct memory_disk *whole = small_log(20 * 63);
    uint64_t start = SMALL_LOG_BLOCKS * JOURNAL_BLOCK_SIZE;
    uint64_t random = 1;
    for (int round = 0; round < 300; round++) {
        struct memory_disk *memory = memory_copy(whole);
        uint64_t first_bad = 20;
        for (uint64_t sector = 0; sector < 20 * 8; sector++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            if ((random >> 33) % (1 + (uint64_t)round) != 0)
                continue;
            uint64_t from = start + sector * 512;
            tear(memory, (enum fill)((random >> 40) % FILL_COUNT), from, from + 512);
            first_bad = sector / 8 < first_bad ? sector / 8 : first_bad;
        }
        cr_assert_eq(records_recovered(memory), SMALL_LOG_DURABLE + first_bad * 63);
        memory_free(memory);
    }
    memory_free(whole);
}

Test(journal_recovery, what_is_written_after_a_cut_comes_back_and_the_old_tail_does_not)
{
    struct memory_disk *memory = small_log(10 * 63);
    struct ring *ring = test_ring_new();
    struct reader reader;
    // The second of ten blocks is lost; the eight behind it are whole and stay where they are.
    memset(memory_block(memory, SECOND, SMALL_LOG_BLOCKS + 1), 0, JOURNAL_BLOCK_SIZE);
    uint64_t expected = SMALL_LOG_DURABLE + 63;
    for (int round = 0; round < 5; round++) {
        struct journal *journal = open_or_fail(memory, &reader);
        cr_assert_eq(reader.count, expected);
        cr_assert_eq(durable_seq(journal), expected);
        cr_assert_eq(append(journal, ring, 100), 100);
        expected += 100;
        crash(memory, journal);
    }
    // The tail that came back to life would fit the chain: the next header is what counts.
    struct memory_disk *before = small_log(10 * 63);
    *memory_block(memory, SECOND, SMALL_LOG_BLOCKS + 1) =
        *memory_block(before, SECOND, SMALL_LOG_BLOCKS + 1);
    cr_assert_eq(records_recovered(memory), expected);
    memory_free(before);
    free(ring);
    memory_free(memory);
}

// One segment with a header, two blocks, an idle block and a last block. Small, because it is
// scanned once for each byte of several blocks; keeping freed memory saves those scans their page
// faults.
#define TINY_LOG_DURABLE 63u
static struct memory_disk *tiny_log(void)
{
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal *journal = open_or_fail(memory, &reader);
    append(journal, ring, 51);
    append(journal, ring, 12);
    journal_idle(journal);
    append(journal, ring, 20);
    crash(memory, journal);
    free(ring);
    return memory;
}

Test(journal_recovery, a_flipped_bit_below_the_proven_end_is_refused_with_its_place)
{
    struct memory_disk *memory = tiny_log();
    for (uint64_t index = 0; index < 4; index++) {
        unsigned char *bytes = (unsigned char *)memory_block(memory, FIRST, index);
        for (uint64_t at = 0; at < JOURNAL_BLOCK_SIZE; at++) {
            bytes[at] ^= (unsigned char)(1u << (at % 8));
            assert_scan_refused(memory, FIRST, index);
            bytes[at] ^= (unsigned char)(1u << (at % 8));
        }
    }
    assert_scan_finds(memory, TINY_LOG_DURABLE + 20);
    memory_block(memory, FIRST, 1)->records[0][0] ^= 1;
    assert_refused(memory, FIRST " is damaged at byte 4096 (block 1): its checksum is wrong");
    memory_free(memory);
}

Test(journal_recovery, a_flipped_bit_beyond_the_proven_end_is_cut)
{
    struct memory_disk *memory = tiny_log();
    for (uint64_t index = 4; index < 6; index++) {
        unsigned char *bytes = (unsigned char *)memory_block(memory, FIRST, index);
        for (uint64_t at = 0; at < JOURNAL_BLOCK_SIZE; at++) {
            bytes[at] ^= (unsigned char)(1u << (at % 8));
            assert_scan_finds(memory, TINY_LOG_DURABLE + (index == 4 ? 0 : 20));
            bytes[at] ^= (unsigned char)(1u << (at % 8));
        }
    }
    memory_free(memory);
}

Test(journal_recovery, a_flipped_bit_anywhere_in_a_whole_segment_is_refused_with_its_place)
{
    struct memory_disk *memory = small_log(63);
    for (uint64_t index = 0; index < SEGMENT_BLOCKS; index++) {
        unsigned char *bytes = (unsigned char *)memory_block(memory, FIRST, index);
        bytes[index * 16 + 5] ^= 0x10;
        assert_scan_refused(memory, FIRST, index);
        bytes[index * 16 + 5] ^= 0x10;
    }
    for (uint64_t index = 0; index < SMALL_LOG_BLOCKS; index++) {
        unsigned char *bytes = (unsigned char *)memory_block(memory, SECOND, index);
        bytes[index * 16 + 5] ^= 0x10;
        assert_scan_refused(memory, SECOND, index);
        bytes[index * 16 + 5] ^= 0x10;
    }
    memory_free(memory);
}

Test(journal_recovery, bytes_farther_behind_the_end_than_one_write_reaches_are_damage)
{
    struct memory_disk *memory = small_log(0);
    unsigned char *byte = memory_find(memory, SECOND)->bytes +
                          (SMALL_LOG_BLOCKS + JOURNAL_WRITE_BLOCKS_MAX - 1) * JOURNAL_BLOCK_SIZE;
    *byte = 1;
    assert_scan_finds(memory, SMALL_LOG_DURABLE);
    *byte = 0;
    byte += JOURNAL_BLOCK_SIZE;
    *byte = 1;
    assert_refused(memory, SECOND " is damaged at byte 32768 ");
    memory_free(memory);
}

Test(journal_recovery, many_bad_blocks_with_a_whole_one_behind_them_are_damage)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal *journal = open_or_fail(memory, &reader);
    append(journal, ring, 8064);
    append(journal, ring, 63);
    memset(memory_block(memory, FIRST, 1), 0xAA, 128 * sizeof(struct block));
    assert_refused(memory, FIRST " is damaged at byte 4096 ");
    memset(memory_block(memory, FIRST, 1), 0, 128 * sizeof(struct block));
    assert_refused(memory, FIRST " is damaged at byte 4096 ");
    crash(memory, journal);
    free(ring);
    memory_free(memory);
}

Test(journal_recovery, an_idle_block_that_is_lost_does_not_take_later_records_with_it)
{
    struct memory_disk *memory = small_log(63); // idle block, then 63 records
    memset(memory_block(memory, SECOND, SMALL_LOG_BLOCKS - 1), 0, JOURNAL_BLOCK_SIZE);
    assert_refused(memory, SECOND " is damaged at byte 28672 (block 263): it is empty");
    memory_free(memory);
}

Test(journal_recovery, swapped_blocks_are_refused)
{
    for (uint64_t index = 1; index < SMALL_LOG_BLOCKS; index++) {
        struct memory_disk *memory = small_log(63);
        struct block *blocks = memory_block(memory, SECOND, index), kept = blocks[0];
        blocks[0] = blocks[1];
        blocks[1] = kept;
        char where[64];
        snprintf(where, sizeof(where), SECOND " is damaged at byte %llu ",
                 (unsigned long long)index * JOURNAL_BLOCK_SIZE);
        assert_refused(memory, where);
        memory_free(memory);
    }
}

Test(journal_recovery, a_stale_block_of_another_segment_is_refused)
{
    struct memory_disk *memory = small_log(63);
    *memory_block(memory, SECOND, 3) = *memory_block(memory, FIRST, 3);
    assert_refused(memory,
                   SECOND " is damaged at byte 12288 (block 259): it belongs to another segment");
    memory_free(memory);
}

Test(journal_recovery, a_block_written_twice_is_refused)
{
    struct memory_disk *memory = small_log(63);
    *memory_block(memory, SECOND, 4) = *memory_block(memory, SECOND, 3);
    assert_refused(memory, SECOND " is damaged at byte 16384 (block 260): it belongs in another "
                                  "place");
    memory_free(memory);
}

Test(journal_recovery, a_missing_segment_is_refused)
{
    static const char *const names[] = {FIRST, SECOND, THIRD};
    for (int i = 0; i < 3; i++) {
        struct memory_disk *memory = small_log(63); // segments 1 and 2, spares 3 and 4
        memory_remove(&memory->disk, names[i]);
        char where[64];
        snprintf(where, sizeof(where), "%s", i == 0 ? "records from 1 on are missing" : names[i]);
        assert_refused(memory, where);
        memory_free(memory);
    }
}

Test(journal_recovery, a_segment_that_was_emptied_is_refused)
{
    struct memory_disk *memory = small_log(63);
    memset(memory_find(memory, FIRST)->bytes, 0, JOURNAL_SEGMENT_BYTES_MIN);
    assert_refused(memory, FIRST " is damaged at byte 0 ");
    memory_free(memory);
}

Test(journal_recovery, a_segment_under_another_ones_name_is_refused)
{
    struct memory_disk *memory = small_log(63);
    memcpy(memory_find(memory, SECOND)->bytes, memory_find(memory, FIRST)->bytes,
           JOURNAL_SEGMENT_BYTES_MIN);
    // It looks like a spare that was segment 1, and its blocks are not those of an older one.
    assert_refused(memory, SECOND " is damaged at byte 4096 ");
    memory_free(memory);
}

Test(journal_recovery, a_segment_from_an_older_copy_of_the_folder_is_refused)
{
    struct memory_disk *memory = small_log(63), *other = small_log(63);
    memcpy(memory_find(memory, FIRST)->bytes, memory_find(other, FIRST)->bytes,
           JOURNAL_SEGMENT_BYTES_MIN);
    assert_refused(memory, SECOND " is damaged at byte 0 (block 256): it does not follow");
    memory_free(memory);
    memory_free(other);
}

Test(journal_recovery, a_file_of_the_wrong_size_is_refused)
{
    struct memory_disk *memory = small_log(63);
    struct file *file = memory_find(memory, FIRST);
    file->size -= JOURNAL_BLOCK_SIZE;
    assert_refused(memory, FIRST " has 1044480 bytes");
    file->bytes = realloc(file->bytes, 2 * JOURNAL_SEGMENT_BYTES_MIN);
    file->size = 2 * JOURNAL_SEGMENT_BYTES_MIN;
    assert_refused(memory, FIRST " has 2097152 bytes and was made with 1048576");
    file->size = 100;
    assert_refused(memory, FIRST " has 100 bytes");
    memory_free(memory);
}

// Change a block and make its checksum right again.
static void reseal(struct block *block)
{
    uint32_t crc = crc32c(0, block, offsetof(struct block_header, crc));
    block->header.crc = crc32c(crc, block->records, sizeof(block->records));
}

Test(journal_recovery, another_format_version_is_refused_by_its_number)
{
    struct memory_disk *memory = small_log(63);
    struct block *block = memory_block(memory, FIRST, 0);
    block->header.version = 2;
    reseal(block);
    assert_refused(memory, FIRST " was written by format version 2, this program reads 1");
    memory_free(memory);
}

Test(journal_recovery, another_shards_journal_is_refused)
{
    struct memory_disk *memory = small_log(63);
    struct reader reader = {0};
    struct journal_options others = options;
    others.shard = 8;
    cr_assert_null(journal_open(&memory->disk, &others, reader_each, &reader, &error));
    cr_assert_not_null(strstr(error.text, SECOND " belongs to shard 7, not to shard 8"), "%s",
                       error.text);
    struct block *block = memory_block(memory, SECOND, 0);
    block->header.shard = 9;
    reseal(block);
    struct journal_stat stat;
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), -1);
    cr_assert_not_null(strstr(error.text, SECOND " is damaged at byte 0"), "%s", error.text);
    memory_free(memory);
}

Test(journal_recovery, a_block_whose_checksum_is_right_and_whose_numbers_are_not_is_refused)
{
    struct memory_disk *whole = small_log(63);
    for (int what = 0; what < 7; what++) {
        struct memory_disk *memory = memory_copy(whole);
        struct block *block = memory_block(memory, FIRST, 9);
        struct block_header *header = &block->header;
        if (what == 0)
            header->record_count = 64;
        else if (what == 1)
            header->record_count = UINT32_MAX;
        else if (what == 2)
            header->first_seq++;
        else if (what == 3)
            header->prev_crc++;
        else if (what == 4)
            header->flags = BLOCK_SEGMENT, header->record_count = 0;
        else if (what == 5)
            header->epoch++;
        else
            header->write_index = JOURNAL_WRITE_BLOCKS_MAX;
        reseal(block);
        assert_refused(memory, FIRST " is damaged at byte 36864 ");
        memory_free(memory);
    }
    memory_free(whole);
}

Test(journal_recovery, only_a_new_epoch_may_begin_before_a_segment_is_full)
{
    struct memory_disk *memory = tiny_log();
    struct reader reader;
    crash(memory, open_or_fail(memory, &reader));
    assert_scan_finds(memory, TINY_LOG_DURABLE + 20);
    struct block *block = memory_block(memory, SECOND, 0);
    block->header.epoch = 1;
    reseal(block);
    assert_refused(memory, SECOND " is damaged at byte 0 ");
    block->header.epoch = 3;
    reseal(block);
    assert_refused(memory, SECOND " is damaged at byte 0 ");
    memory_free(memory);
}

struct writer {
    struct journal *journal;
    struct ring *ring;
};

static void append_300_blocks(void *context)
{
    struct writer *writer = context;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(append(writer->journal, writer->ring, 100 * 63), 100 * 63);
}

Test(journal_recovery, a_log_that_grows_between_two_reads_of_a_scan_is_not_called_damaged)
{
    struct memory_disk *memory = memory_new();
    struct journal_options large = options;
    large.segment_bytes = 2 << 20;
    struct reader reader = {0};
    struct writer writer = {journal_open(&memory->disk, &large, NULL, NULL, &error),
                            test_ring_new()};
    cr_assert_eq(append(writer.journal, writer.ring, 50), 50);
    memory->before_read = (struct memory_hook){append_300_blocks, &writer};
    memory->before_read_offset = 1 << 20;
    assert_scan_finds(memory, 50);
    assert_scan_finds(memory, 50 + 300 * 63);

    // The same bytes in a log that nobody writes are damage.
    memset(memory_block(memory, FIRST, 2), 0, JOURNAL_BLOCK_SIZE);
    assert_scan_refused(memory, FIRST, 2);
    cr_assert_null(journal_open(&memory->disk, &options, reader_each, &reader, &error));
    crash(memory, writer.journal);
    free(writer.ring);
    memory_free(memory);
}

Test(journal_recovery, a_spare_that_is_not_empty_is_refused)
{
    struct memory_disk *memory = small_log(63);
    memory_find(memory, THIRD)->bytes[5 * JOURNAL_BLOCK_SIZE + 9] = 1;
    assert_refused(memory, THIRD " is damaged at byte 20480 ");
    memory_free(memory);
}

Test(journal_recovery, a_crash_while_a_segment_is_begun_loses_nothing)
{
    struct memory_disk *whole = small_log(63);
    struct reader reader;
    // Recovery writes one header into the third file. Cut it, before and after each sector.
    for (int sectors = 0; sectors <= 8; sectors++) {
        struct memory_disk *memory = memory_copy(whole);
        crash(memory, open_or_fail(memory, &reader));
        cr_assert_str_eq(memory->files.at[memory->last_file].name, THIRD);
        memset(memory_find(memory, THIRD)->bytes, 0xEE, (size_t)sectors * 512);
        for (int again = 0; again < 3; again++)
            cr_assert_eq(records_recovered(memory), SMALL_LOG_DURABLE + 63);
        memory_free(memory);
    }
    memory_free(whole);
}

Test(journal_recovery, opening_again_and_again_gives_the_same_records)
{
    struct memory_disk *memory = small_log(3 * 63);
    memset(memory_block(memory, SECOND, SMALL_LOG_BLOCKS + 2), 0x55, 1000);
    struct journal_stat stat;
    for (uint32_t round = 0; round < 6; round++)
        cr_assert_eq(records_recovered(memory), SMALL_LOG_DURABLE + 2 * 63);
    cr_assert_eq(journal_scan(&memory->disk, 0, NULL, NULL, &stat, &error), 0);
    cr_assert_eq(stat.epoch_count, 7);
    cr_assert_eq(stat.segment_count, 8);
    cr_assert_eq(stat.durable_upto, SMALL_LOG_DURABLE + 2 * 63);
    memory_free(memory);
}

Test(journal_recovery, a_crash_at_any_write_of_recovery_loses_nothing)
{
    struct memory_disk *whole = small_log(3 * 63);
    memset(memory_block(whole, SECOND, SMALL_LOG_BLOCKS + 2), 0x55, 1000);
    for (int half = 0; half < 2; half++) {
        struct memory_disk *memory = memory_copy(whole);
        struct reader reader = {0};
        memory->fail_at_write = 1;
        memory->fail_errno = -EIO;
        memory->fail_half_way = half;
        cr_assert_null(journal_open(&memory->disk, &options, reader_each, &reader, &error));
        cr_assert_not_null(strstr(error.text, "cannot write " THIRD " at byte 0: Input/output"),
                           "%s", error.text);
        cr_assert_eq(records_recovered(memory), SMALL_LOG_DURABLE + 2 * 63);
        memory_free(memory);
    }
    memory_free(whole);
}

Test(journal_recovery, what_cannot_be_read_or_synced_is_refused)
{
    struct memory_disk *memory = small_log(63);
    struct reader reader = {0};
    memory->sync_errno = -EIO;
    cr_assert_null(journal_open(&memory->disk, &options, reader_each, &reader, &error));
    cr_assert_not_null(strstr(error.text, "cannot sync"), "%s", error.text);
    memory->sync_errno = 0;
    memory->read_errno = -EIO;
    assert_refused(memory, "cannot read segment-0000000000000004 at byte 0: Input/output error");
    cr_assert_eq(reader.count, 0);
    memory_free(memory);
}

static bool stop_at_ten(void *context, uint64_t seq, const void *record)
{
    (void)record;
    *(uint64_t *)context = seq;
    return seq < 10;
}

Test(journal_recovery, a_reader_can_stop_the_scan)
{
    struct memory_disk *memory = small_log(0);
    struct journal_stat stat;
    uint64_t last = 0;
    cr_assert_eq(journal_scan(&memory->disk, 0, stop_at_ten, &last, &stat, &error), 0);
    cr_assert_eq(last, 10);
    cr_assert_eq(stat.record_count, 10);
    cr_assert_null(journal_open(&memory->disk, &options, stop_at_ten, &last, &error));
    cr_assert_not_null(strstr(error.text, "stopped at record 10"), "%s", error.text);
    memory_free(memory);
}

Test(journal_recovery, after_a_failed_write_nothing_is_acknowledged_or_tried_again)
{
    for (uint64_t n = 1; n <= 20; n++)
        for (int half = 0; half < 2; half++) {
            struct memory_disk *memory = memory_new();
            struct ring *ring = test_ring_new();
            struct reader reader;
            struct journal *journal = open_or_fail(memory, &reader);
            memory->fail_at_write = memory->write_count + n;
            memory->fail_errno = -EIO;
            memory->fail_half_way = half;
            for (uint64_t i = 1; i < n; i++)
                cr_assert_eq(append(journal, ring, 500), 500);
            cr_assert_eq(append(journal, ring, 500), -1);
            cr_assert(atomic_load(&journal_progress(journal)->failed));
            cr_assert_eq(durable_seq(journal), (n - 1) * 500);
            cr_assert_not_null(strstr(journal_error(journal), "Input/output error"), "%s",
                               journal_error(journal));
            uint64_t write_count = memory->write_count;
            cr_assert_eq(journal_write(journal, ring), -1);
            cr_assert_eq(journal_idle(journal), -1);
            cr_assert_eq(journal_close(journal, &error), -1);
            cr_assert_eq(memory->write_count, write_count, "no further write is attempted");
            uint64_t recovered = records_recovered(memory);
            cr_assert_eq(recovered, (n - 1) * 500 + (half ? 4 * 63 : 0));
            free(ring);
            memory_free(memory);
        }
}

Test(journal_recovery, a_failed_write_of_an_idle_block_or_a_segment_header_is_the_end_too)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal *journal = open_or_fail(memory, &reader);
    append(journal, ring, 10);
    memory->fail_at_write = memory->write_count + 1;
    memory->fail_errno = -EIO;
    cr_assert_eq(journal_idle(journal), -1);
    cr_assert_eq(append(journal, ring, 10), -1);
    cr_assert_eq(durable_seq(journal), 10);
    crash(memory, journal);

    journal = open_or_fail(memory, &reader);
    free(ring);
    ring = test_ring_new();
    append(journal, ring, 8064);
    append(journal, ring, 127 * 63);
    memory->fail_at_write = memory->write_count + 1;
    cr_assert_eq(append(journal, ring, 10), -1);
    cr_assert_not_null(strstr(journal_error(journal), "cannot write " THIRD " at byte 0"), "%s",
                       journal_error(journal));
    cr_assert_eq(durable_seq(journal), 10 + 255 * 63);
    crash(memory, journal);
    cr_assert_eq(records_recovered(memory), 10 + 255 * 63);
    free(ring);
    memory_free(memory);
}

// At 64 MiB/s whatever was missing, a writer of more than that used up all of them and waited.
Test(journal_recovery, spares_are_made_the_faster_the_more_of_them_are_missing)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader = {0};
    struct journal_options many = options;
    many.spares = JOURNAL_SPARES_MAX;
    struct journal *journal = journal_open(&memory->disk, &many, reader_each, &reader, &error);
    cr_assert_not_null(journal, "%s", error.text);
    for (uint32_t left = 1; left < many.spares; left++) {
        uint32_t doubled = many.spares - left - 1;
        cr_assert_eq(journal_make_spare(journal), 1);
        cr_assert_eq(memory->created_per_ms, 65536ull << (doubled < 16 ? doubled : 16));
    }
    cr_assert_eq(journal_make_spare(journal), 0);
    while (atomic_load(&journal_progress(journal)->spare_count) > 0) {
        cr_assert_eq(append(journal, ring, 8064), 8064);
        cr_assert_eq(append(journal, ring, 127 * 63), 127 * 63);
    }
    cr_assert_eq(journal_make_spare(journal), 1);
    cr_assert_eq(memory->created_per_ms, 0, "none was left");
    crash(memory, journal);
    free(ring);
    memory_free(memory);
}

Test(journal_recovery, a_full_disk_ends_the_journal_when_the_last_spare_is_full)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal *journal = open_or_fail(memory, &reader);
    memory->create_errno = -ENOSPC;
    cr_assert_eq(journal_make_spare(journal), -ENOSPC);
    for (int segment = 0; segment < 2; segment++) {
        cr_assert_eq(append(journal, ring, 8064), 8064);
        cr_assert_eq(append(journal, ring, 127 * 63), 127 * 63);
    }
    uint64_t write_count = memory->write_count;
    cr_assert_eq(append(journal, ring, 1), -1);
    cr_assert(atomic_load(&journal_progress(journal)->failed));
    cr_assert_eq(atomic_load(&journal_progress(journal)->spare_count), 0);
    cr_assert_eq(durable_seq(journal), 2 * 255 * 63);
    cr_assert_not_null(strstr(journal_error(journal), "the disk is full"), "%s",
                       journal_error(journal));
    cr_assert_not_null(
        strstr(journal_error(journal), "free that much on the file system of memory"));
    memory->create_errno = 0; // too late
    cr_assert_eq(journal_write(journal, ring), -1);
    cr_assert_eq(memory->write_count, write_count);
    crash(memory, journal);
    cr_assert_eq(records_recovered(memory), 2 * 255 * 63);
    free(ring);
    memory_free(memory);
}

static void *make_spare_late(void *journal)
{
    usleep(20000);
    return (void *)(intptr_t)journal_make_spare(journal);
}

Test(journal_recovery, a_write_waits_for_a_spare_that_comes_late)
{
    struct memory_disk *memory = memory_new();
    struct ring *ring = test_ring_new();
    struct reader reader;
    struct journal *journal = open_or_fail(memory, &reader);
    for (int segment = 0; segment < 2; segment++) {
        cr_assert_eq(append(journal, ring, 8064), 8064);
        cr_assert_eq(append(journal, ring, 127 * 63), 127 * 63);
    }
    pthread_t helper;
    void *made;
    pthread_create(&helper, NULL, make_spare_late, journal);
    cr_assert_eq(append(journal, ring, 10), 10, "%s", journal_error(journal));
    pthread_join(helper, &made);
    cr_assert_eq((intptr_t)made, 1);
    crash(memory, journal);
    cr_assert_eq(records_recovered(memory), 2 * 255 * 63 + 10);
    free(ring);
    memory_free(memory);
}

Test(journal_recovery, a_full_disk_at_the_start_is_an_error_that_says_so)
{
    struct memory_disk *memory = memory_new();
    struct reader reader = {0};
    memory->create_errno = -ENOSPC;
    cr_assert_null(journal_open(&memory->disk, &options, reader_each, &reader, &error));
    cr_assert_not_null(strstr(error.text, "the disk is full"), "%s", error.text);
    memory_free(memory);
}

Test(journal_recovery, spares_are_made_up_to_the_number_asked_for)
{
    struct memory_disk *memory = memory_new();
    struct reader reader;
    struct journal *journal = open_or_fail(memory, &reader);
    cr_assert_eq(atomic_load(&journal_progress(journal)->spare_count), 1);
    cr_assert_eq(journal_make_spare(journal), 1);
    cr_assert_eq(journal_make_spare(journal), 0);
    cr_assert_eq(journal_idle(journal), 0);
    cr_assert_eq(atomic_load(&journal_progress(journal)->spare_count), 2);
    crash(memory, journal);
    cr_assert_eq(memory->files.count, 3);
    memory_free(memory);
}

Test(journal_recovery, options_out_of_range_are_refused)
{
    struct memory_disk *memory = memory_new();
    struct journal_options wrong[] = {
        {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN / 2, .spares = 1},
        {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN + 4096, .spares = 1},
        {.segment_bytes = 2 * JOURNAL_SEGMENT_BYTES_MAX, .spares = 1},
        {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN, .spares = 0},
        {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN, .spares = JOURNAL_SPARES_MAX + 1},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_null(journal_open(&memory->disk, &wrong[i], NULL, NULL, &error));
        cr_assert_not_null(strstr(error.text, "choose"), "%s", error.text);
    }
    cr_assert_eq(memory->files.count, 0);
    memory_free(memory);
}

Test(journal_recovery, segments_made_with_another_size_are_read_and_used_up)
{
    struct memory_disk *memory = small_log(63); // spares of 1 MiB left
    struct ring *ring = test_ring_new();
    struct reader reader = {0};
    struct journal_options larger = options;
    larger.segment_bytes = 2 * JOURNAL_SEGMENT_BYTES_MIN;
    struct journal *journal = journal_open(&memory->disk, &larger, reader_each, &reader, &error);
    cr_assert_not_null(journal, "%s", error.text);
    uint64_t expected = reader.count;
    for (int i = 0; i < 6; i++) {
        cr_assert_geq(journal_make_spare(journal), 0);
        int written = append(journal, ring, 8064);
        cr_assert_gt(written, 0);
        ring_release(ring, ring_readable(ring, 1u << 14)); // what did not fit: given again
        expected += (uint64_t)written;
    }
    crash(memory, journal);
    cr_assert_eq(records_recovered(memory), expected);
    free(ring);
    memory_free(memory);
}
