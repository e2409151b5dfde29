// SPDX-License-Identifier: MIT
//
// A lane over a disk in memory: its snapshots, and which segments they let go.
#include <criterion/criterion.h>

#include "dataplane/lane.h"
#include "tests/unit/memory_disk.h"

#define FIRST          "segment-0000000000000001"
#define SEGMENT_BLOCKS (JOURNAL_SEGMENT_BYTES_MIN / JOURNAL_BLOCK_SIZE)
#define START_NS       1767609000000000000ull

static struct error error;
static struct config_instrument instruments[1] = {{.symbol = "ABC     ", .round_lot = 100}};
static struct config_session sessions[1] = {{.user = "ALICE "}};
static const struct config config = {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN,
                                     .spare_count = 1,
                                     .keep_segments = 1,
                                     .orders_max = 64,
                                     .history_count = 64,
                                     .in_flight_count = 256,
                                     .port_count = 1,
                                     .shard_count = 1,
                                     .instrument_count = 1,
                                     .session_count = 1,
                                     .instruments = instruments,
                                     .sessions = sessions};

// What is sent goes nowhere.

static uint8_t frame[PACKET_SIZE_MAX];

static uint8_t *claim(struct port *port)
{
    (void)port;
    return frame;
}

static void send_frame(struct port *port, size_t size)
{
    (void)port;
    (void)size;
}

static void flush(struct port *port)
{
    (void)port;
}

static const struct port_operations operations = {
    .claim = claim, .send = send_frame, .flush = flush};
static struct port port = {.operations = &operations};

static struct lane *open_lane(struct memory_disk *memory)
{
    struct lane *lane = aligned_alloc(128, (sizeof(*lane) + 127) & ~(size_t)127);
    cr_assert_eq(lane_open(lane, 0, &config, &memory->disk, &error), 0, "%s", error.text);
    lane->entry.port = lane->feed.port = &port;
    cr_assert_eq(lane_prime(lane, START_NS, &error), 0, "%s", error.text);
    return lane;
}

static void end_lane(struct lane *lane)
{
    cr_assert_eq(lane_stop(lane, &error), 0, "%s", error.text);
    lane_close(lane);
    free(lane);
}

// One command a block; spares are made and segments sealed in time.
static void go_on(struct lane *lane, uint32_t blocks)
{
    for (uint32_t i = 0; i < blocks; i++) {
        *(struct command *)ring_write_slot(lane->commands, 0) =
            (struct command){.type = COMMAND_CLOCK, .time_ns = START_NS};
        ring_commit(lane->commands, 1);
        cr_assert(lane_pump(lane, 0));
        lane_make_spare(lane);
        lane_seal(lane);
    }
}

static void take_snapshot(struct lane *lane)
{
    cr_assert_eq(lane_take_snapshot(lane, &error), 0, "%s", error.text);
    cr_assert_eq(lane->snapshot_seq, atomic_load(&lane->gate.progress->durable_seq));
}

// Two snapshots, the first one's last record in the middle of the first segment; then another round
// in which nothing is new.
static struct lane *lane_with_two_snapshots(struct memory_disk *memory)
{
    struct lane *lane = open_lane(memory);
    go_on(lane, SEGMENT_BLOCKS / 2);
    take_snapshot(lane);
    go_on(lane, 2 * SEGMENT_BLOCKS);
    take_snapshot(lane);
    take_snapshot(lane);
    go_on(lane, 3 * SEGMENT_BLOCKS);
    return lane;
}

Test(lane, a_round_without_a_new_snapshot_gives_no_segment_up)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = lane_with_two_snapshots(memory);
    cr_assert_not_null(memory_find(memory, FIRST), "one snapshot alone has its last records");
    take_snapshot(lane);
    go_on(lane, SEGMENT_BLOCKS);
    cr_assert_null(memory_find(memory, FIRST), "two have them");
    end_lane(lane);
    memory_free(memory);
}

static void find_newest(void *context, const char *name)
{
    char *newest = context;
    if (strncmp(name, "snapshot-", 9) == 0 && strcmp(name, newest) > 0)
        snprintf(newest, 32, "%s", name);
}

static void damage_newest_snapshot(struct memory_disk *memory)
{
    char name[32] = "";
    files_list(&memory->files, find_newest, name);
    memory_find(memory, name)->bytes[5000] ^= 1;
}

Test(lane, a_shard_comes_back_from_the_older_snapshot_when_the_newer_one_is_damaged)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = lane_with_two_snapshots(memory);
    uint64_t snapshot_seq = lane->snapshot_seq;
    uint64_t count = atomic_load(&lane->gate.progress->durable_seq);
    uint64_t hash = book_hash(lane->shard.book);
    end_lane(lane);
    damage_newest_snapshot(memory);
    lane = open_lane(memory);
    cr_assert_lt(lane->snapshot_seq, snapshot_seq);
    cr_assert_eq(lane->recovered_count, count);
    cr_assert_eq(lane->recovered_hash, hash);
    end_lane(lane);
    memory_free(memory);
}
