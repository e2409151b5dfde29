// SPDX-License-Identifier: MIT
//
// capture: packets with their times, written as nanosecond pcap: what the ports of a running
// gateway receive and send, out of their taps, or what an interface sees, through libpcap.
#ifndef SLUICE_DATAPLANE_CAPTURE_H
#define SLUICE_DATAPLANE_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/config.h"
#include "numa/error.h"

struct capture_options {
    const char *write;     // a file, or "-" for standard output
    const char *filter;    // an expression of libpcap's (pcap-filter(7)), or NULL
    uint64_t rotate_bytes; // a new file before one would grow larger; 0: never
    uint64_t rotate_ns;    // a new file for the first packet after so long; 0: never
    uint64_t count;        // stop after so many packets; 0: no limit
    uint64_t duration_ns;  // stop after so long; 0: no limit
    bool rotate;           // the files are numbered
};

// Every packet that came by is counted once: captured, filtered or lost.
struct capture_report {
    uint64_t captured, bytes;
    uint64_t received, sent; // of those captured, by the gateway's ports
    uint64_t filtered;       // by the expression; on an interface the kernel does not tell
    uint64_t lost; // overwritten in a tap, or dropped by the kernel, before they were read
    uint64_t files;
    bool ended; // the gateway has
};

// capture_gateway: capture from the taps of all ports of the gateway that runs with `config`, until
// `stop`, the limits of `options`, the end of the gateway, or of who reads the pipe. The packets of
// several ports are merged by time, as far as what is there at one moment goes. Says on stderr when
// it has begun: what goes by from then on is captured or counted. 0, or -1 with `error`; `report`
// is filled in either way.
int capture_gateway(const struct config *config, const struct capture_options *options,
                    const _Atomic bool *stop, struct capture_report *report, struct error *error);

// capture_interface: the same from `interface`, by itself. The adapter's time stamps where it has
// them, else the kernel's. Warns where an XDP program may take packets away before they come by.
int capture_interface(const char *interface, const struct capture_options *options,
                      const _Atomic bool *stop, struct capture_report *report, struct error *error);

#endif
