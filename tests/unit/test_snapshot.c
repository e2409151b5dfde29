// SPDX-License-Identifier: MIT
//
// Snapshot files, on a disk in memory.
#include <criterion/criterion.h>

#include "journal/snapshot.h"
#include "tests/unit/memory_disk.h"

#define SHARD 3

static struct error error;

// A state of `count` records whose bytes follow from their place.
struct state {
    uint32_t count;
};

static bool give(void *state, snapshot_put_fn *put, void *context)
{
    unsigned char record[SNAPSHOT_RECORD_SIZE];
    for (uint32_t i = 1; i <= ((struct state *)state)->count; i++) {
        record_fill(record, i);
        if (!put(context, record))
            return false;
    }
    return true;
}

static bool take(void *context, const void *record)
{
    unsigned char expected[SNAPSHOT_RECORD_SIZE];
    uint32_t *count = context;
    record_fill(expected, ++*count);
    return memcmp(record, expected, sizeof(expected)) == 0;
}

static void write_snapshot(struct memory_disk *memory, uint64_t seq, uint64_t base_seq,
                           uint32_t count)
{
    struct state state = {count};
    cr_assert_eq(snapshot_write(&memory->disk, SHARD, seq, base_seq, give, &state, &error), 0, "%s",
                 error.text);
}

static void assert_snapshots(struct memory_disk *memory, int count, uint64_t first, uint64_t second)
{
    uint64_t seqs[SNAPSHOTS_MAX] = {0};
    cr_assert_eq(snapshot_list(&memory->disk, seqs, &error), count);
    cr_assert_eq(seqs[0], first);
    cr_assert_eq(seqs[1], second);
}

static struct file *file_of(struct memory_disk *memory, uint64_t seq)
{
    char name[32];
    snprintf(name, sizeof(name), "snapshot-%016llx", (unsigned long long)seq);
    struct file *file = memory_find(memory, name);
    cr_assert_not_null(file, "%s", name);
    return file;
}

static void assert_refused(struct memory_disk *memory, uint64_t seq, const char *why)
{
    cr_assert_eq(snapshot_verify(&memory->disk, SHARD, seq, &error), -1);
    cr_assert_not_null(strstr(error.text, why), "%s", error.text);
}

Test(snapshot, what_was_written_is_read_whatever_its_length)
{
    for (uint32_t count = 0; count < 200; count += 7) {
        struct memory_disk *memory = memory_new();
        uint32_t read = 0;
        write_snapshot(memory, 5, 0, count);
        cr_assert_eq(snapshot_verify(&memory->disk, SHARD, 5, &error), 0, "%s", error.text);
        cr_assert_eq(snapshot_read(&memory->disk, 5, take, &read, &error), 0, "%s", error.text);
        cr_assert_eq(read, count);
        memory_free(memory);
    }
}

Test(snapshot, one_of_several_writes_is_read)
{
    struct memory_disk *memory = memory_new();
    uint32_t read = 0;
    write_snapshot(memory, 5, 0, 40000); // 2.5 MB
    cr_assert_eq(snapshot_verify(&memory->disk, SHARD, 5, &error), 0, "%s", error.text);
    cr_assert_eq(snapshot_read(&memory->disk, 5, take, &read, &error), 0, "%s", error.text);
    cr_assert_eq(read, 40000);
    memory_free(memory);
}

Test(snapshot, every_flipped_bit_is_told)
{
    struct memory_disk *memory = memory_new();
    write_snapshot(memory, 5, 0, 70);
    struct file *file = file_of(memory, 5);
    // Behind the trailer's hash there are zeros, which mean nothing.
    uint64_t end = file->size - JOURNAL_BLOCK_SIZE + 4;
    for (uint64_t byte = 0; byte < end; byte++) {
        file->bytes[byte] ^= (unsigned char)(1u << byte % 8);
        cr_assert_eq(snapshot_verify(&memory->disk, SHARD, 5, &error), -1, "byte %llu",
                     (unsigned long long)byte);
        file->bytes[byte] ^= (unsigned char)(1u << byte % 8);
    }
    cr_assert_eq(snapshot_verify(&memory->disk, SHARD, 5, &error), 0);
    memory_free(memory);
}

Test(snapshot, another_shards_or_a_renamed_one_is_refused)
{
    struct memory_disk *memory = memory_new();
    write_snapshot(memory, 5, 0, 70);
    cr_assert_eq(snapshot_verify(&memory->disk, SHARD + 1, 5, &error), -1);
    snprintf(file_of(memory, 5)->name, 32, "snapshot-%016x", 6);
    assert_refused(memory, 6, "was renamed");
    memory_free(memory);
}

Test(snapshot, one_that_was_cut_off_is_refused)
{
    struct memory_disk *memory = memory_new();
    write_snapshot(memory, 5, 0, 70);
    file_of(memory, 5)->size -= JOURNAL_BLOCK_SIZE;
    assert_refused(memory, 5, "its size is wrong");
    memory_free(memory);
}

Test(snapshot, the_one_it_was_made_from_stays_and_all_others_go)
{
    struct memory_disk *memory = memory_new();
    write_snapshot(memory, 100, 0, 10);
    assert_snapshots(memory, 1, 100, 0);
    write_snapshot(memory, 200, 100, 20);
    assert_snapshots(memory, 2, 200, 100);
    write_snapshot(memory, 300, 200, 30);
    assert_snapshots(memory, 2, 300, 200);
    memory_free(memory);
}

Test(snapshot, a_damaged_one_does_not_count_as_one_of_the_two_that_are_kept)
{
    struct memory_disk *memory = memory_new();
    write_snapshot(memory, 100, 0, 10);
    write_snapshot(memory, 200, 100, 20);
    file_of(memory, 200)->bytes[5000] ^= 1;
    write_snapshot(memory, 300, 100, 30); // from the one that could be read
    assert_snapshots(memory, 2, 300, 100);
    memory_free(memory);
}

Test(snapshot, a_damaged_one_of_the_same_record_is_replaced)
{
    struct memory_disk *memory = memory_new();
    write_snapshot(memory, 100, 0, 10);
    file_of(memory, 100)->bytes[5000] ^= 1;
    write_snapshot(memory, 100, 0, 10);
    cr_assert_eq(snapshot_verify(&memory->disk, SHARD, 100, &error), 0, "%s", error.text);
    assert_snapshots(memory, 1, 100, 0);
    memory_free(memory);
}

Test(snapshot, a_write_that_fails_changes_nothing)
{
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct memory_disk *memory = memory_new();
        struct state state = {40000}; // three writes
        write_snapshot(memory, 100, 0, 10);
        memory->fail_at_write = memory->write_count + nth;
        memory->fail_errno = -EIO;
        cr_assert_eq(snapshot_write(&memory->disk, SHARD, 200, 100, give, &state, &error), -1);
        cr_assert_not_null(strstr(error.text, "cannot write"), "%s", error.text);
        assert_snapshots(memory, 1, 100, 0);
        cr_assert_eq(snapshot_verify(&memory->disk, SHARD, 100, &error), 0);
        memory_free(memory);
    }
}

Test(snapshot, what_an_attempt_left_behind_is_in_nobodys_way)
{
    struct memory_disk *memory = memory_new();
    cr_assert_eq(memory->disk.operations->create(&memory->disk, "snapshot-0000000000000064.tmp",
                                                 JOURNAL_BLOCK_SIZE, 0),
                 0);
    write_snapshot(memory, 100, 0, 10);
    assert_snapshots(memory, 1, 100, 0);
    memory_free(memory);
}
