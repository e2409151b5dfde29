// SPDX-License-Identifier: MIT
//
// feed: the market data of one shard: ITCH 5.0 in MoldUDP64 to a multicast group, with heartbeats,
// end of session, and answers to retransmission requests. Runs on the port's thread.
#ifndef SLUICE_DATAPLANE_FEED_H
#define SLUICE_DATAPLANE_FEED_H

#include <stdatomic.h>

#include "dataplane/history.h"
#include "dataplane/port.h"
#include "dataplane/stream.h"
#include "dataplane/symbols.h"

struct feed {
    struct stream stream;
    struct history *history; // or NULL
    struct port *port;
    const struct symbols *symbols;
    struct endpoint source, group;
    struct endpoint request_source; // answers to requests come from the request port
    char session[10];
    // Of each instrument: 0, or in a pause when it began, ns since midnight, the last bit set.
    // Port's thread; the calendar's reads it.
    _Atomic uint64_t *paused_ns;
    bool ended;        // end of messages was released
    uint64_t spoke_ns; // when something was last sent
    uint64_t packets, messages, heartbeats;
    uint64_t requests;
    uint64_t requests_later;    // of what the journal is being read for
    uint64_t requests_unserved; // malformed, of another session, or of what is not there
};

// feed_release: an event whose command is durable. Call feed_flush soon.
void feed_release(struct feed *feed, const struct event *event);

// feed_flush: send what is released and not sent yet, as many messages a packet as fit. Stops, and
// goes on at the next call, when the port has no frame free.
void feed_flush(struct feed *feed, uint64_t now_ns);

// feed_tick: a heartbeat, or the end of session, when nothing was sent for a second. At least ten
// times a second.
void feed_tick(struct feed *feed, uint64_t now_ns);

// feed_request: a packet that came to the request port; `now_ns` is a monotonic clock.
void feed_request(struct feed *feed, const struct packet *packet, uint64_t now_ns);

#endif
