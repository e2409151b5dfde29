// SPDX-License-Identifier: MIT
//
// A port that sends nowhere and receives nothing, for lanes of which only the rest is looked at.
#ifndef SLUICE_TESTS_UNIT_NULL_PORT_H
#define SLUICE_TESTS_UNIT_NULL_PORT_H

#include "dataplane/port.h"

static inline uint8_t *null_claim(struct port *port)
{
    static uint8_t frame[PACKET_SIZE_MAX];
    (void)port;
    return frame;
}

static inline void null_send(struct port *port, size_t size)
{
    (void)port;
    (void)size;
}

static inline void null_flush(struct port *port)
{
    (void)port;
}

static const struct port_operations null_operations = {
    .claim = null_claim, .send = null_send, .flush = null_flush};

#endif
