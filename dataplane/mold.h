// SPDX-License-Identifier: MIT
//
// MoldUDP64 1.00: the session layer of the feed. A downstream packet is a header and `count`
// message blocks back to back, each a be16 length (which excludes itself) and that many bytes. The
// blocks fill the packet exactly. A message's number is the header's sequence plus its place.
#ifndef SLUICE_DATAPLANE_MOLD_H
#define SLUICE_DATAPLANE_MOLD_H

#include "dataplane/wire.h"

#define MOLD_COUNT_HEARTBEAT      0u      // no blocks; sequence: the next message's
#define MOLD_COUNT_END_OF_SESSION 0xFFFFu // no blocks; sequence: the last message's plus one
#define MOLD_COUNT_MAX            0xFFFEu // messages in a data packet

// Server to multicast group; unicast to the requester as the answer to a request.
struct mold_header {
    char session[10];
    be64 sequence; // of the first message
    be16 count;
};

// Client to the request server, exactly this; answered with one packet of what fits from there.
struct mold_request {
    char session[10];
    be64 sequence; // first wanted
    be16 count;
};

WIRE_FIELD(struct mold_header, session, 0, 10);
WIRE_FIELD(struct mold_header, sequence, 10, 8);
WIRE_FIELD(struct mold_header, count, 18, 2);
WIRE_SIZE(struct mold_header, 20);

WIRE_FIELD(struct mold_request, session, 0, 10);
WIRE_FIELD(struct mold_request, sequence, 10, 8);
WIRE_FIELD(struct mold_request, count, 18, 2);
WIRE_SIZE(struct mold_request, 20);

#endif
