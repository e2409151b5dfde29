// SPDX-License-Identifier: MIT
//
// recording: the packets of a pcap or pcapng file of an Ethernet interface, in order, with
// nanosecond times, through libpcap. One thread.
#ifndef SLUICE_DATAPLANE_RECORDING_H
#define SLUICE_DATAPLANE_RECORDING_H

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>

#include "numa/error.h"

struct recorded_packet {
    const uint8_t *data; // until the next one is read
    uint32_t size;
    uint64_t time_ns; // since 1970
    bool whole;       // else cut off when it was recorded
};

// recording_open: NULL with `error`. pcap_close is due.
pcap_t *recording_open(const char *path, struct error *error);

// recording_next: 1 and the next packet, 0 at the end, -1 with `error` where the file is damaged.
int recording_next(pcap_t *recording, struct recorded_packet *packet, struct error *error);

#endif
