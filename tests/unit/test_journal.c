// SPDX-License-Identifier: MIT
//
// The journal on a real disk, in a folder of its own under $TMPDIR or /tmp.
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/memory_disk.h"

static const struct journal_options options = {
    .segment_bytes = JOURNAL_SEGMENT_BYTES_MIN, .spares = 3, .shard = 3};

static struct error error;
static char folder[256];

static void make_folder(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/sluice-journal-XXXXXX", parent ? parent : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while (stream && (entry = readdir(stream)) != NULL)
        unlinkat(dirfd(stream), entry->d_name, 0);
    if (stream)
        closedir(stream);
    rmdir(folder);
}

TestSuite(journal, .init = make_folder, .fini = remove_folder);

static struct disk *open_disk(void)
{
    struct disk *disk = disk_open_directory(folder, &error);
    cr_assert_not_null(disk, "%s", error.text);
    return disk;
}

static struct journal *open_journal(struct disk *disk, struct reader *reader)
{
    *reader = (struct reader){0};
    struct journal *journal = journal_open(disk, &options, reader_each, reader, &error);
    cr_assert_not_null(journal, "%s", error.text);
    cr_assert_eq(reader->wrong, 0);
    cr_assert_eq(durable_seq(journal), reader->count);
    return journal;
}

Test(crc32c, is_the_crc_of_iscsi)
{
    // RFC 3720 section B.4, and the check value that catalogues of CRCs give for CRC-32C.
    unsigned char bytes[32];
    cr_assert_eq(crc32c(0, "123456789", 9), 0xE3069283u);
    memset(bytes, 0, sizeof(bytes));
    cr_assert_eq(crc32c(0, bytes, sizeof(bytes)), 0x8A9136AAu);
    memset(bytes, 0xFF, sizeof(bytes));
    cr_assert_eq(crc32c(0, bytes, sizeof(bytes)), 0x62A8AB43u);
    for (unsigned char i = 0; i < 32; i++)
        bytes[i] = i;
    cr_assert_eq(crc32c(0, bytes, sizeof(bytes)), 0x46DD794Eu);
    cr_assert_eq(crc32c(0, bytes, 0), 0);
}

Test(crc32c, can_be_taken_in_pieces)
{
    const char *digits = "123456789";
    for (size_t cut = 0; cut <= 9; cut++)
        cr_assert_eq(crc32c(crc32c(0, digits, cut), digits + cut, 9 - cut), 0xE3069283u);
}

// What a file holds, byte for byte: a change here is a change of the format.
Test(journal, blocks_stand_in_the_file_as_the_format_says)
{
    struct disk *disk = open_disk();
    struct reader reader;
    struct ring *ring = test_ring_new();
    struct journal *journal = open_journal(disk, &reader);
    cr_assert_eq(append(journal, ring, 126), 126);
    cr_assert_eq(append(journal, ring, 64), 64);
    journal_close(journal, &error);
    disk_close(disk);
    free(ring);

    char path[300];
    unsigned char bytes[6 * 4096];
    snprintf(path, sizeof(path), "%s/segment-0000000000000001", folder);
    FILE *file = fopen(path, "rb");
    cr_assert_eq(fread(bytes, 1, sizeof(bytes), file), sizeof(bytes));
    fclose(file);
    static const unsigned char segment[] = {'S', 'L', 'C', 'J', 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    cr_assert_arr_eq(bytes, segment, sizeof(segment));
    static const unsigned char number_and_bytes[] = {1, 0, 0,  0, 0, 0, 0, 0,
                                                     0, 0, 16, 0, 0, 0, 0, 0};
    cr_assert_arr_eq(bytes + 64, number_and_bytes, sizeof(number_and_bytes));

    static const unsigned char last[] = {
        'S', 'L', 'C', 'J', 1, 0, 0, 0,  // magic, version, flags
        4,   0,   0,   0,   0, 0, 0, 0,  // block_no
        190, 0,   0,   0,   0, 0, 0, 0,  // first_seq: the 64th of 64
        126, 0,   0,   0,   0, 0, 0, 0}; // durable_upto
    const unsigned char *block = bytes + 4 * 4096;
    cr_assert_arr_eq(block, last, sizeof(last));
    cr_assert_eq(block[40], 1);                         // record_count
    cr_assert_eq(block[44], 1);                         // epoch
    cr_assert_arr_eq(block + 48, bytes + 48, 4);        // salt: the segment's
    cr_assert_arr_eq(block + 52, block - 4096 + 60, 4); // prev_crc: crc of the block before
    cr_assert_eq(block[56], 3);                         // shard
    cr_assert_eq(block[58], 1);                         // write_index
    uint32_t crc = crc32c(crc32c(0, block, 60), block + 64, 4032);
    cr_assert_arr_eq(block + 60, &crc, 4);
    unsigned char record[64];
    record_fill(record, 190);
    cr_assert_arr_eq(block + 64, record, 64);
    for (int i = 128; i < 4096; i++)
        cr_assert_eq(block[i], 0, "slots without a record are zeros");
    cr_assert_eq(bytes[5 * 4096 + 6], 2, "closed");
}

// Writes, and ends like a process that is killed: nothing is closed.
static void write_and_die(uint32_t count)
{
    pid_t child = fork();
    if (child == 0) {
        struct reader reader = {0};
        struct ring *ring = test_ring_new();
        struct disk *disk = disk_open_directory(folder, NULL);
        struct journal *journal =
            disk ? journal_open(disk, &options, reader_each, &reader, NULL) : NULL;
        _exit(journal && append(journal, ring, count) == (int)count ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
}

Test(journal, every_record_comes_back_in_order_however_often_it_is_reopened)
{
    struct ring *ring = test_ring_new();
    struct reader reader;
    uint64_t expected = 0;
    for (uint32_t round = 1; round <= 8; round++) {
        struct disk *disk = open_disk();
        struct journal *journal = open_journal(disk, &reader);
        cr_assert_eq(reader.count, expected);
        for (uint32_t i = 1; i <= round; i++)
            cr_assert_eq(append(journal, ring, 37 * i), (int)(37 * i));
        expected += 37 * round * (round + 1) / 2;
        cr_assert_eq(durable_seq(journal), expected);
        cr_assert_eq(journal_close(journal, &error), 0, "%s", error.text);
        disk_close(disk);
        write_and_die(100 * round);
        expected += 100 * round;
    }
    struct disk *disk = open_disk();
    struct journal *journal = open_journal(disk, &reader);
    cr_assert_eq(reader.count, expected);
    journal_close(journal, NULL);
    disk_close(disk);
    free(ring);
}

Test(journal, one_write_carries_what_has_gathered_up_to_8064_records)
{
    static const uint32_t counts[] = {1, 2, 62, 63, 64, 126, 127, 1000, 4096, 8063, 8064};
    struct journal_options large = options;
    large.segment_bytes = 4 << 20;
    struct disk *disk = open_disk();
    struct reader reader = {0};
    struct ring *ring = test_ring_new();
    struct journal *journal = journal_open(disk, &large, reader_each, &reader, &error);
    cr_assert_not_null(journal, "%s", error.text);
    uint64_t expected = 0;
    cr_assert_eq(journal_write(journal, ring), 0, "an empty ring is no write");
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        cr_assert_eq(append(journal, ring, counts[i]), (int)counts[i]);
        expected += counts[i];
        cr_assert_eq(durable_seq(journal), expected);
        cr_assert_eq(ring_readable(ring, 1), 0, "slots are given back");
    }
    cr_assert_eq(append(journal, ring, 10000), 8064);
    cr_assert_eq(journal_write(journal, ring), 10000 - 8064);
    cr_assert_eq(journal_write(journal, ring), 0);
    expected += 10000;
    journal_close(journal, &error);
    journal = open_journal(disk, &reader);
    cr_assert_eq(reader.count, expected);
    journal_close(journal, NULL);
    disk_close(disk);
    free(ring);
}

struct helper {
    struct journal *journal;
    _Atomic bool stop;
};

static void *make_spares(void *argument)
{
    struct helper *helper = argument;
    while (!atomic_load(&helper->stop))
        if (journal_make_spare(helper->journal) <= 0)
            usleep(100);
    return NULL;
}

static void *scan_again_and_again(void *argument)
{
    struct helper *helper = argument;
    uint64_t last = 0, failed_count = 0;
    while (!atomic_load(&helper->stop)) {
        struct reader reader = {0};
        struct journal_stat stat;
        struct error scan_error;
        struct disk *disk = disk_open_read_only(folder, &scan_error);
        uint64_t durable_before = durable_seq(helper->journal);
        if (!disk || journal_scan(disk, 0, reader_each, &reader, &stat, &scan_error) < 0) {
            fprintf(stderr, "%s\n", scan_error.text);
            failed_count++;
        }
        failed_count += reader.wrong > 0 || reader.count < last || reader.count < durable_before;
        last = reader.count;
        if (disk)
            disk_close(disk);
    }
    return (void *)(uintptr_t)failed_count;
}

// Spares are made by one thread, records written by another, and a third reads what there is.
Test(journal, a_log_goes_on_over_many_segments_and_can_be_scanned_meanwhile)
{
    struct disk *disk = open_disk();
    struct reader reader;
    struct ring *ring = test_ring_new();
    struct helper helper = {.journal = open_journal(disk, &reader)};
    pthread_t spares, scanner;
    pthread_create(&spares, NULL, make_spares, &helper);
    pthread_create(&scanner, NULL, scan_again_and_again, &helper);
    const uint64_t total = 200000;
    uint64_t given = 0;
    for (uint32_t step = 0; durable_seq(helper.journal) < total; step++) {
        uint32_t count = 1 + step * 37 % 1500;
        if (count > total - given)
            count = (uint32_t)(total - given);
        if (ring_writable(ring, count) >= count) {
            test_ring_fill(ring, given + 1, count);
            given += count;
        }
        cr_assert_geq(journal_write(helper.journal, ring), 0, "%s", journal_error(helper.journal));
        if (step % 7 == 0)
            cr_assert_eq(journal_idle(helper.journal), 0);
    }
    atomic_store(&helper.stop, true);
    void *failed_count;
    pthread_join(spares, NULL);
    pthread_join(scanner, &failed_count);
    cr_assert_eq((uintptr_t)failed_count, 0);
    cr_assert_eq(journal_close(helper.journal, &error), 0);

    struct journal_stat stat;
    reader = (struct reader){0};
    cr_assert_eq(journal_scan(disk, 0, reader_each, &reader, &stat, &error), 0, "%s", error.text);
    cr_assert_eq(reader.wrong, 0);
    cr_assert_eq(stat.record_count, total);
    cr_assert_geq(stat.segment_count, 12);
    cr_assert(stat.clean);
    disk_close(disk);
    free(ring);
}

Test(journal, a_write_that_comes_out_short_ends_the_journal)
{
    struct disk *disk = open_disk();
    struct reader reader;
    struct ring *ring = test_ring_new();
    struct journal *journal = open_journal(disk, &reader);
    cr_assert_eq(append(journal, ring, 63), 63);
    // The kernel cuts the next write of 10 blocks at this size, in the fifth of them.
    struct rlimit limit, kept;
    getrlimit(RLIMIT_FSIZE, &kept);
    limit = (struct rlimit){.rlim_cur = 6 * 4096 + 512, .rlim_max = kept.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(append(journal, ring, 630), -1);
    setrlimit(RLIMIT_FSIZE, &kept);
    cr_assert_eq(durable_seq(journal), 63);
    cr_assert(atomic_load(&journal_progress(journal)->failed));
    cr_assert_not_null(
        strstr(journal_error(journal), "segment-0000000000000001 at byte 8192: Input/output error"),
        "%s", journal_error(journal));
    cr_assert_not_null(strstr(journal_error(journal), folder));
    cr_assert_eq(journal_write(journal, ring), -1);
    cr_assert_eq(journal_close(journal, &error), -1);
    journal = open_journal(disk, &reader);
    cr_assert_eq(reader.count, 63 + 4 * 63, "what arrived whole may stay");
    journal_close(journal, NULL);
    disk_close(disk);
    free(ring);
}

Test(disk, refuses_a_second_process_and_names_the_first, .init = make_folder, .fini = remove_folder)
{
    struct disk *disk = open_disk();
    char pid[32];
    snprintf(pid, sizeof(pid), "in use by process %d;", (int)getpid());
    for (int again = 0; again < 2; again++) {
        cr_assert_null(disk_open_directory(folder, &error));
        cr_assert_not_null(strstr(error.text, pid), "%s", error.text);
        cr_assert_not_null(strstr(error.text, folder));
    }
    disk_close(disk);
    disk = open_disk();
    disk_close(disk);
}

Test(disk, that_is_read_only_changes_nothing_and_needs_no_lock, .init = make_folder,
     .fini = remove_folder)
{
    struct disk *disk = open_disk();
    cr_assert_eq(disk->operations->create(disk, "file", 1 << 20, 0), 0);
    struct disk *reader = disk_open_read_only(folder, &error);
    cr_assert_not_null(reader, "%s", error.text);
    void *buffer = aligned_alloc(4096, 4096);
    int handle = reader->operations->open(reader, "file");
    cr_assert_geq(handle, 0);
    cr_assert_eq(reader->operations->read(reader, handle, 0, buffer, 4096), 4096);
    cr_assert_eq(reader->operations->write(reader, handle, 0, buffer, 4096), -EROFS);
    cr_assert_eq(reader->operations->create(reader, "other", 4096, 0), -EROFS);
    cr_assert_eq(reader->operations->remove(reader, "file"), -EROFS);
    reader->operations->close(reader, handle);
    disk_close(reader);
    disk_close(disk);
    free(buffer);
    cr_assert_null(disk_open_read_only("/nonexistent/journal", &error));
    cr_assert_not_null(strstr(error.text, "/nonexistent/journal"));
    cr_assert_null(disk_open_directory("/nonexistent/journal", &error));
    cr_assert_not_null(strstr(error.text, "/nonexistent/journal"));
}

static void count_names(void *context, const char *name)
{
    (void)name;
    (*(int *)context)++;
}

Test(disk, makes_its_folder_and_whole_files_of_zeros_only, .init = make_folder,
     .fini = remove_folder)
{
    char path[300];
    struct stat status;
    rmdir(folder);
    struct disk *disk = open_disk();
    cr_assert_eq(stat(folder, &status), 0);
    cr_assert_eq(status.st_mode & 07777 & ~0750u, 0);

    cr_assert_eq(disk->operations->create(disk, "zeros", (1 << 20) + 4096, 0), 0);
    cr_assert_eq(disk->operations->create(disk, "zeros", 4096, 0), -EEXIST);
    unsigned char *buffer = aligned_alloc(4096, 2 << 20);
    memset(buffer, 1, 2 << 20);
    int handle = disk->operations->open(disk, "zeros");
    cr_assert_eq(disk->operations->size(disk, handle), (1 << 20) + 4096);
    cr_assert_eq(disk->operations->read(disk, handle, 0, buffer, 2 << 20), (1 << 20) + 4096);
    for (int i = 0; i < (1 << 20) + 4096; i++)
        cr_assert_eq(buffer[i], 0);
    disk->operations->close(disk, handle);
    cr_assert_eq(disk->operations->open(disk, "nothing"), -ENOENT);

    // A file that cannot be finished leaves nothing, and neither does a process that was killed.
    struct rlimit limit, kept;
    getrlimit(RLIMIT_FSIZE, &kept);
    limit = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = kept.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(disk->operations->create(disk, "large", 2 << 20, 0), -EFBIG);
    setrlimit(RLIMIT_FSIZE, &kept);
    snprintf(path, sizeof(path), "%s/large.tmp", folder);
    cr_assert_eq(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "%s/segment-0000000000000009.tmp", folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    int count = 0;
    cr_assert_eq(disk->operations->list(disk, count_names, &count), 0);
    cr_assert_eq(count, 1);
    disk_close(disk);
    disk = open_disk();
    cr_assert_eq(access(path, F_OK), -1);
    cr_assert_eq(disk->operations->remove(disk, "zeros"), 0);
    cr_assert_eq(disk->operations->remove(disk, "zeros"), -ENOENT);
    disk_close(disk);
    free(buffer);
}

// The disk's fsync goes through here.
static bool sync_fails;

int fsync(int fd)
{
    if (!sync_fails)
        return (int)syscall(SYS_fsync, fd);
    errno = EIO;
    return -1;
}

Test(disk, a_rename_that_cannot_be_made_durable_is_taken_back, .init = make_folder,
     .fini = remove_folder)
{
    struct disk *disk = open_disk();
    cr_assert_eq(disk->operations->create(disk, "old", 4096, 0), 0);
    sync_fails = true;
    cr_assert_eq(disk->operations->rename(disk, "old", "new"), -EIO);
    cr_assert_eq(disk->operations->create(disk, "new", 4096, 0), -EIO);
    sync_fails = false;
    cr_assert_eq(disk->operations->open(disk, "new"), -ENOENT);
    cr_assert_eq(disk->operations->rename(disk, "old", "new"), 0);
    cr_assert_eq(disk->operations->open(disk, "old"), -ENOENT);
    disk_close(disk);
}
