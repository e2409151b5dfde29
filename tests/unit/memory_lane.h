// SPDX-License-Identifier: MIT
//
// A lane over a disk in memory, whose port sends nowhere.
#ifndef SLUICE_TESTS_UNIT_MEMORY_LANE_H
#define SLUICE_TESTS_UNIT_MEMORY_LANE_H

#include <criterion/criterion.h>

#include "dataplane/lane.h"
#include "tests/unit/memory_disk.h"
#include "tests/unit/null_port.h"

#define START_NS 1767609000000000000ull

// Recovered, and not primed yet.
static inline struct lane *lane_on(struct memory_disk *memory, uint32_t index,
                                   const struct config *config)
{
    static struct port port = {.operations = &null_operations};
    struct error error;
    struct lane *lane = aligned_alloc(128, (sizeof(*lane) + 127) & ~(size_t)127);
    cr_assert_eq(lane_open(lane, index, config, &memory->disk, &error), 0, "%s", error.text);
    lane->entry.port = lane->feed.port = &port;
    return lane;
}

static inline struct lane *primed_lane_on(struct memory_disk *memory, uint32_t index,
                                          const struct config *config)
{
    struct error error;
    struct lane *lane = lane_on(memory, index, config);
    cr_assert_eq(lane_prime(lane, START_NS, &error), 0, "%s", error.text);
    return lane;
}

static inline void end_lane(struct lane *lane)
{
    struct error error;
    cr_assert_eq(lane_stop(lane, &error), 0, "%s", error.text);
    lane_close(lane);
    free(lane);
}

#endif
