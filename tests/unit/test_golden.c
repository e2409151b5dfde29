// SPDX-License-Identifier: MIT
//
// Journals of each format version as they were once written (tests/golden, by the simulation): they
// stay readable, and say what they said.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataplane/lane.h"
#include "dataplane/replay.h"
#include "journal/journal.h"
#include "numa/pool.h"

// Version 1: seed 4, 9000 steps, four clients; killed nine times, two snapshots, seven seals.
#define RECORDS    3303u
#define STATE_HASH 0xb18a1a3249b6e5b9ull
// With the options of orders, which have been events since snapshots of version 3.
#define EVENT_HASH 0x32f95a121c538ee8ull

static char folder[] = "/tmp/sluice-golden-XXXXXX";
static struct error error;

static void unpack(void)
{
    char command[256];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(command, sizeof(command), "tar -xzf tests/golden/journal-v1.tar.gz -C %s", folder);
    cr_assert_eq(system(command), 0, "from the repository's root: %s", command);
}

static void clean(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(golden, .init = unpack, .fini = clean);

Test(golden, a_journal_of_version_1_is_read_and_replayed)
{
    struct replay *replay = malloc(sizeof(*replay));
    replay_init(replay, false);
    cr_assert_eq(replay_journal(replay, folder), 0, "%s", replay->error.text);
    cr_assert_eq(book_seq(replay->book), RECORDS);
    cr_assert_eq(book_hash(replay->book), STATE_HASH);
    cr_assert_eq(replay->event_hash, EVENT_HASH);
    replay_close(replay);
    free(replay);
}

static void remove_snapshots(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm %s/snapshot-*", folder);
    cr_assert_eq(system(command), 0);
}

static struct config_instrument instruments[3] = {
    {.symbol = "SIM0    "}, {.symbol = "SIM1    "}, {.symbol = "SIM2    "}};
static struct config_session sessions[4] = {
    {.user = "USER0 "}, {.user = "USER1 "}, {.user = "USER2 "}, {.user = "USER3 "}};
static const struct config config = {.segment_bytes = 1 << 20,
                                     .spare_count = 1,
                                     .orders_max = 512,
                                     .history_count = 1024,
                                     .in_flight_count = 1024,
                                     .port_count = 1,
                                     .shard_count = 1,
                                     .instrument_count = 3,
                                     .session_count = 4,
                                     .instruments = instruments,
                                     .sessions = sessions};

static struct lane *new_lane(void)
{
    return aligned_alloc(128, (sizeof(struct lane) + 127) & ~(size_t)127);
}

static void end_lane(struct lane *lane)
{
    struct disk *disk = lane->disk;
    cr_assert_eq(lane_stop(lane, &error), 0, "%s", error.text);
    lane_close(lane);
    disk_close(disk);
    free(lane);
}

static void recover(uint64_t snapshot_seq)
{
    struct lane *lane = new_lane();
    struct disk *disk = disk_open_directory(folder, &error);
    cr_assert_not_null(disk, "%s", error.text);
    cr_assert_eq(lane_open(lane, 0, &config, disk, &error), 0, "%s", error.text);
    cr_assert_eq(lane->snapshot_seq, snapshot_seq);
    cr_assert_eq(lane->recovered_count, RECORDS);
    cr_assert_eq(lane->recovered_hash, STATE_HASH);
    end_lane(lane);
}

Test(golden, a_shard_recovers_from_a_journal_and_a_snapshot_of_version_1)
{
    recover(0xbcb);
}

Test(golden, a_shard_recovers_from_a_journal_of_version_1_alone)
{
    remove_snapshots();
    recover(0);
}

// As the gateway opens its lanes: each a task of the pool, on a folder of its own.

#define LANES_MAX 4

struct opening {
    struct lane *lane;
    struct disk *disk;
    int result;
    struct error error;
};

static void open_lane(struct pool *pool, void *argument)
{
    (void)pool;
    struct opening *opening = argument;
    opening->result = lane_open(opening->lane, 0, &config, opening->disk, &opening->error);
}

static struct disk *open_copy(uint32_t number)
{
    char path[64], command[320];
    snprintf(path, sizeof(path), "%s/copy-%u", folder, number);
    snprintf(command, sizeof(command), "mkdir %s && cp %s/se* %s/sn* %s", path, folder, folder,
             path);
    cr_assert_eq(system(command), 0, "%s", command);
    struct disk *disk = disk_open_directory(path, &error);
    cr_assert_not_null(disk, "%s", error.text);
    return disk;
}

// Whatever the recovery rebuilt: what each stream holds, of the events that it keeps.
static uint64_t streams_hash(const struct lane *lane)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i <= lane->entry.session_count; i++) {
        const struct stream *stream =
            i < lane->entry.session_count ? &lane->entry.sessions[i].stream : &lane->feed.stream;
        uint64_t kept = stream->next - 1 < stream->mask + 1 ? stream->next - 1 : stream->mask + 1;
        for (uint64_t number = stream->next - kept; number < stream->next; number++) {
            uint64_t words[sizeof(struct event) / 8];
            memcpy(words, stream_event(stream, number), sizeof(words));
            for (size_t w = 0; w < sizeof(words) / 8; w++)
                hash = (hash ^ words[w]) * 0x9E3779B97F4A7C15ull;
        }
    }
    return hash;
}

static void recover_through_pool(uint32_t lane_count, uint64_t *streams)
{
    struct opening openings[LANES_MAX] = {0};
    struct pool *pool = pool_open(lane_count, &error);
    cr_assert_not_null(pool, "%s", error.text);
    for (uint32_t i = 0; i < lane_count; i++) {
        openings[i] = (struct opening){.lane = new_lane(), .disk = open_copy(i)};
        pool_submit(pool, open_lane, &openings[i]);
    }
    pool_run(pool);
    pool_close(pool);
    for (uint32_t i = 0; i < lane_count; i++) {
        struct lane *lane = openings[i].lane;
        cr_assert_eq(openings[i].result, 0, "%s", openings[i].error.text);
        cr_assert_eq(lane->recovered_count, RECORDS);
        cr_assert_eq(lane->recovered_hash, STATE_HASH);
        if (*streams == 0)
            *streams = streams_hash(lane);
        cr_assert_eq(streams_hash(lane), *streams);
        end_lane(lane);
    }
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s/copy-*", folder);
    cr_assert_eq(system(command), 0);
}

Test(golden, one_two_and_four_lanes_recover_to_the_same_state_side_by_side)
{
    uint64_t streams = 0;
    for (uint32_t lane_count = 1; lane_count <= LANES_MAX; lane_count *= 2)
        recover_through_pool(lane_count, &streams);
    cr_assert_neq(streams, 0);
}
