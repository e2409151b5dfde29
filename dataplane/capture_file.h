// SPDX-License-Identifier: MIT
//
// capture_file: packets written as nanosecond pcap to one file, a row of numbered ones, or standard
// output.
#ifndef SLUICE_DATAPLANE_CAPTURE_FILE_H
#define SLUICE_DATAPLANE_CAPTURE_FILE_H

#include <pcap/pcap.h>

#include "dataplane/capture.h"

#define CAPTURE_PACKET_MAX 262144 // bytes, libpcap's own limit

struct capture_file {
    const struct capture_options *options;
    pcap_t *format; // link type and precision
    pcap_dumper_t *dumper;
    char path[4096];
    uint64_t bytes, opened_ns; // of the file being written
    uint64_t count;            // files so far
    bool pipe_closed;          // nobody reads standard output any more: nothing is written
};

// capture_file_open: the first file, of packets of libpcap's `link_type`, readable by its owner
// alone (logins go by). A file that is there is overwritten. 0, or -1 with `error`;
// capture_file_close is due either way.
int capture_file_open(struct capture_file *file, const struct capture_options *options,
                      int link_type, struct error *error);

// capture_file_put: a packet of `size` bytes that was `length` long; may begin another file. 0, or
// -1 with `error`.
int capture_file_put(struct capture_file *file, uint64_t time_ns, const uint8_t *bytes,
                     uint32_t size, uint32_t length, struct error *error);

// capture_file_flush: have everybody else see what was put so far. 0, or -1 with `error`.
int capture_file_flush(struct capture_file *file, struct error *error);

// capture_file_close: 0, or -1 with `error` when something could not be written.
int capture_file_close(struct capture_file *file, struct error *error);

#endif
