// SPDX-License-Identifier: MIT
//
// load_report: what a run of `sluice load` found, for people and for programs.
#ifndef SLUICE_DATAPLANE_LOAD_REPORT_H
#define SLUICE_DATAPLANE_LOAD_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dataplane/load_client.h"
#include "dataplane/load_pace.h"
#include "dataplane/load_tape.h"
#include "dataplane/load_wire.h"
#include "numa/error.h"
#include "numa/histogram.h"

// Gaps between two readings of the clock, before the run: what the machine does to a thread that
// only wants to run. No latency above them says anything about the venue.
struct load_noise {
    uint64_t duration_ns;
    uint64_t above_1us, above_10us, above_100us;
    uint64_t largest_ns;
};

struct load_report {
    bool closed_loop;
    bool spin;                         // the generator never slept
    const char *tape;                  // NULL: the generated day
    struct load_tape_counts tape_read; // with a tape
    uint64_t seed;                     // without one
    uint32_t session_count, symbol_count;
    const char *wire_mode; // of the AF_XDP port; NULL: it went over sockets
    struct load_wire_counters wire;
    uint64_t planned; // messages of the day
    enum load_arrivals arrivals;
    uint64_t rate, rate_to; // asked for, messages a second, at first and at last
    uint64_t sending_ns;    // from the first message's intended time to the last one's departure
    uint64_t lateness_ns;   // the longest that a message left after its intended time
    struct load_noise noise;
    struct error failure; // the run stopped early; empty when it did not
    bool settled;         // every session's stream is complete up to the end
    struct load_fates fates;
    uint64_t rejected[LOAD_REJECT_REASONS];
    uint64_t added_count, removed_count, added_shares, removed_shares;
    uint64_t match_sum; // 0 when each execution was told to both sides alike
    uint64_t earlier_orders;
    uint64_t retransmit_requests, duplicates, beyond_window, malformed;
    struct histogram latency;        // ns, from the intended send, by the generator's clock
    struct load_intervals intervals; // the same, over the run
    enum port_stamps stamps;
    struct histogram stamped; // ns, from departure to arrival, of one Enter at a time, by the
                              // kernel's stamps or the NIC's; with PORT_STAMPS_SOFTWARE empty
    json_t *stages;           // load_stages_ask's, the caller's; NULL: the gateway was not asked
};

// load_report_add: what `client` counted and the fates of its messages.
void load_report_add(struct load_report *report, const struct load_client *client);

// load_report_check: 0, or -1 with `error` saying what is wrong with the run, the worst first: it
// stopped, answers are missing, sums that disagree, messages lost.
int load_report_check(const struct load_report *report, struct error *error);

// load_report_rate: messages sent a second.
double load_report_rate(const struct load_report *report);

// load_report_json: all of it, a new reference. load_report_print / load_report_print_json: 0, or
// -1 with errno from the stream.
json_t *load_report_json(const struct load_report *report);
int load_report_print(const struct load_report *report, FILE *stream);
int load_report_print_json(const struct load_report *report, FILE *stream);

#endif
