// SPDX-License-Identifier: MIT
//
// The house in one thread: clients, codecs, sessions, shard, book, journal and gate as they are, on
// a simulated disk and network and a clock of the simulation's own. What happens next, and what
// goes wrong, follows from a seed. Everything that anybody was told is held against the reference.
#ifndef SLUICE_TESTS_SIM_SIM_H
#define SLUICE_TESTS_SIM_SIM_H

#include "dataplane/lane.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/unit/reference.h"

#define SIM_CLIENTS_MAX 4u
#define SIM_INSTRUMENTS 3u

// What may go wrong, a bit each.
enum sim_fault {
    SIM_LOSS,        // of frames
    SIM_DUPLICATION, //
    SIM_DELAY,       // and so reordering
    SIM_CORRUPTION,  //
    SIM_CUT,         // the power goes, during an operation of the disk or between two
    SIM_KILL,        // the process ends and its writes do not
    SIM_ERROR,       // the disk says that something failed: a read, a write, a create, …
    SIM_STALL,       // a write takes a second and a half
    SIM_FULL,        // the disk has little room
    SIM_ROT,         // what is on the disk is damaged: on a copy, to be refused
    SIM_VANISH,      // a client goes away without a word, and comes back from another port
    SIM_FRAMES,      // the port has no frame free
    SIM_CLOCK,       // the wall clock is set, back as well
    SIM_FAULT_COUNT,
};
#define SIM_FAULT_NAMES                                                                            \
    {                                                                                              \
        "loss", "duplication", "delay", "corruption", "cut", "kill", "error", "stall", "full",     \
            "rot", "vanish", "frames", "clock"                                                     \
    }
#define SIM_FAULTS_ALL ((1u << SIM_FAULT_COUNT) - 1)

struct sim_plan {
    uint64_t seed;
    uint32_t steps;   // before all is left to calm down
    uint32_t clients; // 1 to SIM_CLIENTS_MAX
    uint32_t faults;  // bits
    bool supervised;  // always has somebody who kills
    bool trace;       // print what happens
    const char *save; // a folder that the disk's files are written to at the end, or NULL
};

struct sim_report {
    uint64_t steps, commands, messages, recoveries, rots, snapshots, refusals, fetches, kills,
        races, moves;
};

// sim_run: play one seed. Ends the process with status 1 and a line on stderr that begins with
// SIM_BROKEN when a promise is broken.
#define SIM_BROKEN "broken: "
void sim_run(const struct sim_plan *plan, struct sim_report *report);

// A promise is broken: says so and ends the process.
__attribute__((noreturn, format(printf, 1, 2))) void sim_fail(const char *format, ...);

// A line of what happens, when it is asked for.
__attribute__((format(printf, 1, 2))) void sim_trace(const char *format, ...);
extern bool sim_tracing;
extern uint64_t sim_now_ns; // the simulation's clock, since 1970; the monotonic one is the same

// FNV-1a, of a message: enough to tell two apart.
static inline uint64_t sim_hash(const void *bytes, size_t size)
{
    uint64_t hash = 0xCBF29CE484222325ull;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001B3ull;
    return hash | 1; // 0: never heard
}

// Numbers of a stream and the hash of each message: 0 where it has not been heard.
struct heard {
    uint64_t *hashes; // by number, from 1
    uint64_t next;    // all below were heard
    uint64_t capacity;
};

// heard_take: message `number`, again or for the first time: it must be the same.
void heard_take(struct heard *heard, uint64_t number, const void *message, size_t size,
                const char *whose);

#endif
