// SPDX-License-Identifier: MIT
//
// transit: where the time of an order goes, stage by stage, from the wire to the wire. Of a port
// with stamps = "on" the packet that it watches (struct port_watch) is timed at each point of its
// way; where one stage ends the next begins, so that their sum is the turnaround.
#ifndef SLUICE_DATAPLANE_TRANSIT_H
#define SLUICE_DATAPLANE_TRANSIT_H

#include <stdint.h>

#include "numa/histogram.h"

enum transit_point {
    TRANSIT_WIRE,    // the NIC had the packet; only where its clock is kept on the host's (PTP)
    TRANSIT_XDP,     // the XDP program saw it
    TRANSIT_PORT,    // the port's thread has received it
    TRANSIT_TAKEN,   // the shard's thread took its first command, with a batch
    TRANSIT_APPLIED, // the batch is applied, its events are in their ring
    TRANSIT_PASSED,  // durable, and the gate has let the first event pass
    TRANSIT_HANDED,  // the answer stands in a packet that was sent; the kernel is told next
    TRANSIT_LEFT,    // it left: by the NIC or the kernel, else the kernel has taken it
    TRANSIT_POINTS,
};

#define TRANSIT_STAGES (TRANSIT_POINTS - 1)
#define TRANSIT_STAGE_NAMES                                                                        \
    {                                                                                              \
        "wire_to_xdp", "xdp_to_port", "port_to_shard", "shard", "disk", "gate_to_send",            \
            "send_to_wire"                                                                         \
    }

// The stages of the packets of one port, ns. Written by its thread.
struct transit {
    struct histogram stages[TRANSIT_STAGES];
};

// transit_record: one packet that passed the points at these times, by one clock (ns, 0: not
// known). A stage counts when both its ends are known. A clock that is read on two cores may seem
// to run backwards by some ns: such a stage took none.
void transit_record(struct transit *transit, const uint64_t at[TRANSIT_POINTS]);

#endif
