// SPDX-License-Identifier: MIT
//
// replay_wire: a recording put back on the wire, frame by frame, through AF_XDP.
#ifndef SLUICE_DATAPLANE_REPLAY_WIRE_H
#define SLUICE_DATAPLANE_REPLAY_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "numa/error.h"
#include "numa/histogram.h"

// What is to stand in place of the recorded; zero: as it was recorded.
struct replay_wire_end {
    uint8_t mac[6];
    uint32_t address; // network byte order, as is `port`
    uint16_t port;
};

struct replay_wire_options {
    const char *interface;
    double pace;    // times the recorded one; 0: as fast as it goes
    uint32_t loops; // 1 or more
    bool rewrites;  // source and destination are put into each UDP packet, and others are skipped
    struct replay_wire_end source, destination;
};

struct replay_wire_report {
    uint64_t packets, bytes;
    uint64_t skipped;          // cut off in the recording, longer than a frame, not to be rewritten
    double seconds, asked;     // from the first to the last packet: as it was, as it should be
    struct histogram lateness; // ns, of each packet, behind its moment; not where pace is 0
    const char *mode;          // of the port
};

// replay_wire_parse: "MAC", "ADDRESS[:PORT]" or "MAC,ADDRESS[:PORT]" as an end; false when it is
// none.
bool replay_wire_parse(const char *text, struct replay_wire_end *end);

// replay_wire: send each packet of the pcap at `path`. The whole
// recording is held in memory. 0, or -1 with `error`.
int replay_wire(const char *path, const struct replay_wire_options *options,
                struct replay_wire_report *report, struct error *error);

#endif
