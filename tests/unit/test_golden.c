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

// Version 1: seed 4, 9000 steps, four clients; killed nine times, two snapshots, seven seals.
#define RECORDS    3303u
#define STATE_HASH 0xb18a1a3249b6e5b9ull
#define EVENT_HASH 0xc157b4807964013aull

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

static void recover(uint64_t snapshot_seq)
{
    struct config_instrument instruments[3] = {
        {.symbol = "SIM0    "}, {.symbol = "SIM1    "}, {.symbol = "SIM2    "}};
    struct config_session sessions[4] = {
        {.user = "USER0 "}, {.user = "USER1 "}, {.user = "USER2 "}, {.user = "USER3 "}};
    struct config config = {.segment_bytes = 1 << 20,
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
    struct lane *lane = aligned_alloc(128, (sizeof(*lane) + 127) & ~(size_t)127);
    struct disk *disk = disk_open_directory(folder, &error);
    cr_assert_not_null(disk, "%s", error.text);
    cr_assert_eq(lane_open(lane, 0, &config, disk, &error), 0, "%s", error.text);
    cr_assert_eq(lane->snapshot_seq, snapshot_seq);
    cr_assert_eq(lane->recovered_count, RECORDS);
    cr_assert_eq(lane->recovered_hash, STATE_HASH);
    cr_assert_eq(lane_stop(lane, &error), 0, "%s", error.text);
    lane_close(lane);
    disk_close(disk);
    free(lane);
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
