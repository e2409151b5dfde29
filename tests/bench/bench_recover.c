// SPDX-License-Identifier: MIT
//
// How long a shard takes to come back: from its journal alone, then after a snapshot has been taken
// (which is timed as well), from that; and how fast closed segments are sealed. Usage:
// bench_recover FOLDER, a journal that bench_journal wrote and that nothing else uses.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/lane.h"
#include "numa/clock.h"
#include "tests/bench/row.h"

static struct tsc_clock house_clock;
static struct config_instrument instruments[64];
static struct config_session sessions[64];
static struct config config = {.segment_bytes = 64ull << 20,
                               .spare_count = 2,
                               .history_count = 65536,
                               .in_flight_count = 65536,
                               .port_count = 1,
                               .shard_count = 1,
                               .instruments = instruments,
                               .sessions = sessions};

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "bench_recover: %s\n", what);
    exit(1);
}

// A configuration that has what the journal's day has.
static bool learn(void *context, uint64_t seq, const void *record)
{
    const struct command *command = record;
    (void)context;
    (void)seq;
    if (command->type == COMMAND_OPEN)
        config.orders_max = command->open.limits.orders_max;
    if (command->type == COMMAND_INSTRUMENT && config.instrument_count < 64)
        memcpy(instruments[config.instrument_count++].symbol, command->listing.symbol, 8);
    if (command->type == COMMAND_SESSION && config.session_count < 64)
        memcpy(sessions[config.session_count++].user, command->member.user_name, 6);
    return command->type != COMMAND_START;
}

static void recover(struct lane *lane, struct disk *disk, const char *what)
{
    struct error error;
    uint64_t start_ns = clock_ns(&house_clock);
    if (lane_open(lane, 0, &config, disk, &error) != 0)
        die(error.text);
    double seconds = (double)(clock_ns(&house_clock) - start_ns) * 1e-9;
    uint64_t count = lane->recovered_count - lane->recovered_from;
    row_print(&(struct row){.name = what, .unit = "s", .samples = count}, &seconds, 1);
}

static void snapshot(struct lane *lane)
{
    struct error error;
    uint64_t start_ns = clock_ns(&house_clock);
    if (lane_take_snapshot(lane, &error) != 0)
        die(error.text);
    double seconds = (double)(clock_ns(&house_clock) - start_ns) * 1e-9;
    row_print(&(struct row){.name = "snapshot, beside the shard",
                            .unit = "s",
                            .samples = lane->snapshot_seq},
              &seconds, 1);
}

static void seal(struct lane *lane, uint64_t bytes)
{
    uint64_t start_ns = clock_ns(&house_clock);
    while (lane_seal(lane))
        ;
    double gb_s = (double)bytes / (double)(clock_ns(&house_clock) - start_ns);
    row_print(&(struct row){.name = "closed segments sealed",
                            .unit = "GB/s",
                            .samples = bytes / JOURNAL_BLOCK_SIZE},
              &gb_s, 1);
}

static void close_lane(struct lane *lane)
{
    struct error error;
    if (lane_stop(lane, &error) != 0)
        die(error.text);
    lane_close(lane);
}

int main(int argc, char **argv)
{
    struct error error = {"usage: bench_recover FOLDER"};
    struct journal_stat stat;
    struct disk *disk = argc > 1 ? disk_open_directory(argv[1], &error) : NULL;
    if (!disk || journal_scan(disk, 0, learn, NULL, &stat, &error) != 0 ||
        journal_scan(disk, 0, NULL, NULL, &stat, &error) != 0)
        die(error.text);
    struct lane *lane = aligned_alloc(128, (sizeof(*lane) + 127) & ~(size_t)127);
    clock_calibrate(&house_clock, 50);
    recover(lane, disk, "recovery from the journal alone");
    snapshot(lane);
    seal(lane, stat.block_count * JOURNAL_BLOCK_SIZE);
    close_lane(lane);
    recover(lane, disk, "recovery from the snapshot");
    close_lane(lane);
    disk_close(disk);
    free(lane);
    return 0;
}
