// SPDX-License-Identifier: MIT
//
// replay_wire: a recording put back on the wire, frame by frame, through AF_XDP.
#ifndef SLUICE_DATAPLANE_REPLAY_WIRE_H
#define SLUICE_DATAPLANE_REPLAY_WIRE_H

#include "numa/error.h"
#include "numa/histogram.h"

struct replay_wire_options {
    const char *interface;
    double pace;    // times the recorded one; 0: as fast as it goes
    uint32_t loops; // 1 or more
};

struct replay_wire_report {
    uint64_t packets, bytes;
    uint64_t skipped;          // cut off in the recording, or longer than a frame
    double seconds, asked;     // from the first to the last packet: as it was, as it should be
    struct histogram lateness; // ns, of each packet, behind its moment; not where pace is 0
    const char *mode;          // of the port
};

// replay_wire: send each packet of the pcap at `path`, with its addresses as they are. The whole
// recording is held in memory. 0, or -1 with `error`.
int replay_wire(const char *path, const struct replay_wire_options *options,
                struct replay_wire_report *report, struct error *error);

#endif
