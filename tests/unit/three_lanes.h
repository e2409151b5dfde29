// SPDX-License-Identifier: MIT
//
// Three lanes, each with an instrument and with its journal on a disk in memory, and what moves
// members' shares between them.
#ifndef SLUICE_TESTS_UNIT_THREE_LANES_H
#define SLUICE_TESTS_UNIT_THREE_LANES_H

#include "dataplane/rebalance.h"
#include "tests/unit/memory_lane.h"

#define LANES 3u

static struct error error;
static struct config_instrument instruments[LANES] = {{.symbol = "ABC     ", .round_lot = 100},
                                                      {.symbol = "DEF     ", .shard = 1},
                                                      {.symbol = "GHI     ", .shard = 2}};
static struct config_session sessions[2] = {{.user = "ALICE ", .firm = "ALFA"},
                                            {.user = "BOB   ", .firm = "BETA"}};
// A test adds what else it is about, before the lanes are started.
static struct config config = {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN,
                               .spare_count = 1,
                               .orders_max = 64,
                               .history_count = 64,
                               .in_flight_count = 256,
                               .port_count = 1,
                               .shard_count = LANES,
                               .instrument_count = LANES,
                               .session_count = 2,
                               .instruments = instruments,
                               .sessions = sessions};

static struct memory_disk *disks[LANES];
static struct lane *lanes[LANES];

// On the disks that there are.
static inline void start_lanes(struct rebalance *rebalance)
{
    for (uint32_t i = 0; i < LANES; i++)
        lanes[i] = primed_lane_on(disks[i], i, &config);
    cr_assert_eq(rebalance_open(rebalance, lanes, LANES, NULL, &error), 0, "%s", error.text);
}

static inline void stop_lanes(struct rebalance *rebalance)
{
    rebalance_close(rebalance);
    for (uint32_t i = 0; i < LANES; i++)
        end_lane(lanes[i]);
}

static inline void new_disks(void)
{
    for (uint32_t i = 0; i < LANES; i++)
        disks[i] = memory_new();
}

static inline void free_disks(void)
{
    for (uint32_t i = 0; i < LANES; i++)
        memory_free(disks[i]);
}

#endif
