// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/tap_hammer.h"

#define SLOTS 16u
#define WORDS 256u // one record of TAP_RECORD_MAX, or 16 of 128 bytes

static struct tap tap;
static struct tap_reader reader;
static char path[64];

static void set_up(void)
{
    hammer_path(path, "tap");
    hammer_open(&tap, path, SLOTS, WORDS, 0);
}

static void tear_down(void)
{
    tap_detach(&reader);
    tap_close(&tap);
}

TestSuite(tap, .init = set_up, .fini = tear_down, .timeout = 60);

// A record that holds its number.
static void put(uint64_t number, size_t size)
{
    uint8_t bytes[TAP_RECORD_MAX];
    memset(bytes, (int)(number * 7), sizeof(bytes));
    memcpy(bytes, &number, 8);
    tap_put(&tap, 1000 + number, number & 1, bytes, size);
}

// The next record is `number`, whole.
static void expect(struct tap_reader *from, uint64_t number, size_t size)
{
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    uint64_t found;
    cr_assert(tap_read(from, &record, bytes), "record %llu", (unsigned long long)number);
    memcpy(&found, bytes, 8);
    cr_assert_eq(found, number);
    cr_assert_eq(record.size, size);
    cr_assert_eq(record.time_ns, 1000 + number);
    cr_assert_eq(record.kind, number & 1);
    for (size_t i = 8; i < size; i++)
        cr_assert_eq(bytes[i], (uint8_t)(number * 7), "byte %zu", i);
}

static void expect_nothing(struct tap_reader *from)
{
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    cr_assert_not(tap_read(from, &record, bytes));
}

Test(tap, gives_records_of_every_size_whole_and_in_order)
{
    hammer_join(&tap, &reader);
    for (uint64_t size = 8; size <= TAP_RECORD_MAX; size++) {
        put(size, size);
        expect(&reader, size, size);
        expect_nothing(&reader);
    }
    cr_assert_eq(reader.lost, 0);
}

Test(tap, takes_an_empty_record)
{
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    hammer_join(&tap, &reader);
    tap_put(&tap, 5, 65535, "", 0);
    cr_assert(tap_read(&reader, &record, bytes));
    cr_assert_eq(record.size, 0);
    cr_assert_eq(record.kind, 65535);
}

Test(tap, keeps_as_many_records_as_it_has_slots_and_then_loses_the_oldest)
{
    hammer_join(&tap, &reader);
    for (uint64_t number = 0; number < SLOTS; number++)
        put(number, 16);
    for (uint64_t number = 0; number < SLOTS; number++)
        expect(&reader, number, 16);
    cr_assert_eq(reader.lost, 0);
    for (uint64_t number = 0; number < SLOTS + 1; number++)
        put(number, 16);
    expect(&reader, 9, 16); // of 17, half are given up
    cr_assert_eq(reader.lost, 9);
}

Test(tap, keeps_as_many_bytes_as_it_has_room_for_and_then_loses_the_oldest)
{
    hammer_join(&tap, &reader);
    put(0, TAP_RECORD_MAX);
    expect(&reader, 0, TAP_RECORD_MAX);
    put(1, TAP_RECORD_MAX - 8);
    put(2, 8);
    expect(&reader, 1, TAP_RECORD_MAX - 8);
    expect(&reader, 2, 8);
    cr_assert_eq(reader.lost, 0);
    put(3, TAP_RECORD_MAX - 8);
    put(4, 9);
    expect(&reader, 4, 9);
    cr_assert_eq(reader.lost, 1, "record 3 alone");
}

Test(tap, counts_what_a_slow_reader_loses_exactly)
{
    struct random random = {1};
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    uint64_t written = 0, read = 0;
    hammer_join(&tap, &reader);
    for (uint32_t round = 0; round < 20000; round++) {
        for (uint32_t count = random_below(&random, 2 * SLOTS); count > 0; count--)
            put(written++, 8 + random_below(&random, 300));
        for (uint32_t count = random_below(&random, 2 * SLOTS); count > 0; count--) {
            if (!tap_read(&reader, &record, bytes))
                break;
            uint64_t number;
            memcpy(&number, bytes, 8);
            read++;
            cr_assert_eq(number, read + reader.lost - 1, "what it has not read it has lost");
        }
    }
    while (tap_read(&reader, &record, bytes))
        read++;
    cr_assert_eq(read + reader.lost, written);
    cr_assert_gt(reader.lost, 0);
    cr_assert_gt(read, written / 4);
}

Test(tap, loses_nothing_for_one_reader_because_of_another)
{
    struct tap_reader slow;
    hammer_join(&tap, &reader);
    hammer_join(&tap, &slow);
    for (uint64_t number = 0; number < 10 * SLOTS; number++) {
        put(number, 64);
        expect(&reader, number, 64);
    }
    cr_assert_eq(reader.lost, 0);
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    uint64_t read = 0;
    while (tap_read(&slow, &record, bytes))
        read++;
    cr_assert_eq(read + slow.lost, 10 * SLOTS);
    cr_assert_geq(slow.lost, 9 * SLOTS);
    tap_detach(&slow);
}

Test(tap, begins_a_late_reader_with_the_next_record_and_nothing_lost)
{
    struct tap_reader late;
    hammer_join(&tap, &reader);
    for (uint64_t number = 0; number < 5 * SLOTS; number++)
        put(number, 32);
    hammer_join(&tap, &late);
    expect_nothing(&late);
    put(5 * SLOTS, 32);
    expect(&late, 5 * SLOTS, 32);
    cr_assert_eq(late.lost, 0);
    tap_detach(&late);
}

static void pass_counts(uint64_t start)
{
    tap_close(&tap);
    hammer_open(&tap, path, SLOTS, WORDS, start);
    hammer_join(&tap, &reader);
    for (uint64_t number = 0; number < 1000; number++) {
        put(number, 40);
        if (number % 10 == 9)
            for (uint64_t held = number - 9; held <= number; held++)
                expect(&reader, held, 40);
    }
    cr_assert_eq(reader.lost, 0);
    for (uint64_t number = 0; number < 1000; number++)
        put(number, 40);
    uint64_t read = 0, number;
    struct tap_record record;
    uint8_t bytes[TAP_RECORD_MAX];
    while (tap_read(&reader, &record, bytes)) {
        memcpy(&number, bytes, 8);
        cr_assert_eq(start + 1000 + number, reader.next - 1);
        read++;
    }
    cr_assert_geq(read, SLOTS / 2);
    cr_assert_eq(read + reader.lost, 1000);
    tap_detach(&reader);
}

Test(tap, goes_on_when_its_counts_pass_two_to_the_32)
{
    pass_counts((1ull << 32) - 500);
    pass_counts((1ull << 32) - 1500);
}

Test(tap, goes_on_when_its_counts_wrap_at_two_to_the_64)
{
    pass_counts(0 - 500ull);
    pass_counts(0 - 1500ull);
}

Test(tap, is_watched_from_the_watch_after_a_reader_comes_to_the_one_after_the_last_leaves)
{
    struct error error;
    struct tap_reader second;
    tap_watch(&tap);
    cr_assert_not(tap_watched(&tap));
    cr_assert_eq(tap_attach(&reader, path, &error), 0, "%s", error.text);
    cr_assert_not(tap_joined(&reader));
    cr_assert_not(tap_watched(&tap), "not before the watch");
    tap_watch(&tap);
    cr_assert(tap_watched(&tap));
    cr_assert(tap_joined(&reader));
    hammer_join(&tap, &second);
    tap_detach(&reader);
    tap_watch(&tap);
    cr_assert(tap_watched(&tap), "one is left");
    tap_detach(&second);
    cr_assert(tap_watched(&tap), "until the watch");
    tap_watch(&tap);
    cr_assert_not(tap_watched(&tap));
}

Test(tap, a_reader_that_comes_before_the_flag_of_the_last_one_is_cleared_stays_watched)
{
    struct tap_reader second;
    struct error error;
    hammer_join(&tap, &reader);
    tap_detach(&reader);
    cr_assert_eq(tap_attach(&second, path, &error), 0, "%s", error.text);
    cr_assert(tap_joined(&second), "the flag is still set");
    tap_watch(&tap);
    cr_assert(tap_watched(&tap));
    put(0, 8);
    expect(&second, 0, 8);
    tap_detach(&second);
}

static bool holds_anything(void)
{
    for (uint64_t i = 0; i < WORDS; i++)
        if (atomic_load(&tap.words[i]))
            return true;
    return false;
}

Test(tap, what_was_recorded_is_wiped_once_nobody_reads_any_more)
{
    for (uint32_t number = 1; number <= 2; number++) {
        hammer_join(&tap, &reader);
        put(number, TAP_RECORD_MAX);
        expect(&reader, number, TAP_RECORD_MAX);
        tap_detach(&reader);
        tap_watch(&tap);
        cr_assert(holds_anything(), "the writer may still be at it");
        tap_watch(&tap);
        cr_assert_not(holds_anything());
    }
    put(7, 100); // by a writer that has seen the flag before it was cleared
    tap_watch(&tap);
    cr_assert_not(holds_anything());
}

Test(tap, while_a_record_is_half_done_nothing_is_wiped_and_nobody_let_in)
{
    struct error error;
    put(1, 100);
    atomic_fetch_add(&tap.shared->claimed_records, 1);
    tap_watch(&tap);
    cr_assert(holds_anything());
    cr_assert_eq(tap_attach(&reader, path, &error), 0, "%s", error.text);
    cr_assert_not(tap_joined(&reader));
    tap_watch(&tap);
    cr_assert_not(tap_joined(&reader));
    atomic_fetch_add(&tap.shared->published, 1);
    tap_watch(&tap);
    cr_assert(tap_joined(&reader));
    cr_assert(holds_anything(), "it is read");
    tap_detach(&reader);
    tap_watch(&tap);
    tap_watch(&tap);
    cr_assert_not(holds_anything());
}

// A process that joins, says so, and hangs about until it is killed.
static pid_t fork_reader(void)
{
    int pipe_fds[2];
    char byte;
    cr_assert_eq(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct tap_reader own;
        if (tap_attach(&own, path, NULL) == 0 && !tap_joined(&own) &&
            write(pipe_fds[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    cr_assert_eq(read(pipe_fds[0], &byte, 1), 1);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return child;
}

Test(tap, forgets_a_reader_that_is_killed_and_keeps_one_that_is_stopped)
{
    pid_t child = fork_reader();
    tap_watch(&tap);
    cr_assert(tap_watched(&tap));
    kill(child, SIGSTOP);
    tap_watch(&tap);
    cr_assert(tap_watched(&tap));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tap_watch(&tap);
    cr_assert_not(tap_watched(&tap));
}

Test(tap, cannot_be_written_by_a_reader, .signal = SIGSEGV)
{
    hammer_join(&tap, &reader);
    unlink(path);
    atomic_store(&((struct tap_shared *)(uintptr_t)reader.shared)->watched, 0);
}

Test(tap, is_its_owners_alone)
{
    struct stat found;
    cr_assert_eq(stat(path, &found), 0);
    cr_assert_eq(found.st_mode & 07777, 0600);
}

Test(tap, tells_its_readers_of_the_end_and_is_read_to_it)
{
    hammer_join(&tap, &reader);
    put(0, 100);
    put(1, 100);
    cr_assert_not(tap_ended(&reader));
    tap_close(&tap);
    cr_assert(tap_ended(&reader));
    expect(&reader, 0, 100);
    expect(&reader, 1, 100);
    expect_nothing(&reader);
    cr_assert_eq(access(path, F_OK), -1);
}

// What the kernel does to the writer when it is killed: the file stays.
static void kill_writer(void)
{
    munmap(tap.shared, tap.mapped_bytes);
    close(tap.fd);
    memset(&tap, 0, sizeof(tap));
}

Test(tap, replaces_what_a_killed_writer_left_and_leaves_it_to_those_who_read_it)
{
    hammer_join(&tap, &reader);
    put(0, 100);
    kill_writer();
    cr_assert(tap_ended(&reader));
    struct tap again;
    hammer_open(&again, path, SLOTS, WORDS, 0);
    cr_assert(tap_ended(&reader), "the old one has still ended");
    expect(&reader, 0, 100);
    expect_nothing(&reader);
    tap_close(&again);
}

Test(tap, is_refused_to_a_reader_when_its_writer_was_killed)
{
    struct error error;
    kill_writer();
    cr_assert_eq(tap_attach(&reader, path, &error), -1);
    cr_assert_not_null(strstr(error.text, "was killed"), "%s", error.text);
    unlink(path);
}

Test(tap, is_refused_to_a_second_writer)
{
    struct error error;
    struct tap second;
    cr_assert_eq(tap_open(&second, path, SLOTS, WORDS, ARENA_ANY_NODE, &error), -1);
    cr_assert_not_null(strstr(error.text, "give this one another name"), "%s", error.text);
    hammer_join(&tap, &reader);
    put(0, 8);
    expect(&reader, 0, 8);
}

Test(tap, is_refused_to_a_reader_when_it_is_not_there_or_another_versions)
{
    struct error error;
    cr_assert_eq(tap_attach(&reader, "/dev/shm/sluice-test-no-such-tap", &error), -1);
    cr_assert_not_null(strstr(error.text, "No such file"), "%s", error.text);
    tap.shared->magic++;
    cr_assert_eq(tap_attach(&reader, path, &error), -1);
    cr_assert_not_null(strstr(error.text, "of this version"), "%s", error.text);
    tap.shared->magic--;
    tap.shared->word_count *= 2;
    cr_assert_eq(tap_attach(&reader, path, &error), -1);
    cr_assert_not_null(strstr(error.text, "damaged"), "%s", error.text);
    cr_assert_eq(ftruncate(tap.fd, 100), 0);
    cr_assert_eq(tap_attach(&reader, path, &error), -1);
    cr_assert_not_null(strstr(error.text, "not a tap"), "%s", error.text);
    cr_assert_eq(ftruncate(tap.fd, (off_t)tap.mapped_bytes), 0);
}

Test(tap, takes_no_more_than_it_says, .signal = SIGABRT)
{
    uint8_t bytes[TAP_RECORD_MAX + 1] = {0};
    unlink(path);
    tap_put(&tap, 0, 0, bytes, sizeof(bytes));
}

static void hammer(uint64_t slot_count, uint32_t size_max, uint32_t reader_count, uint64_t start)
{
    struct hammer_tap hammer = {.slot_count = slot_count,
                                .word_count = 4096,
                                .reader_count = reader_count,
                                .size_max = size_max,
                                .record_count = 300000,
                                .start = start};
    cr_assert_eq(hammer_tap(&hammer), 0, "%llu torn, out of place or uncounted",
                 (unsigned long long)hammer.fault_count);
    cr_assert_gt(hammer.read_count, 0);
}

Test(tap, gives_nothing_torn_while_slots_are_overwritten)
{
    hammer(16, 64, 1, 0);
}

Test(tap, gives_nothing_torn_while_bytes_are_overwritten)
{
    hammer(4096, 1500, 1, 0 - 150000ull);
}

Test(tap, gives_nothing_torn_to_several_readers)
{
    hammer(512, 300, 3, (1ull << 32) - 150000);
}
