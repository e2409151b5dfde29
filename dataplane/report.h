// SPDX-License-Identifier: MIT
//
// report: the counters of a gateway, as JSON for programs and as lines for people.
#ifndef SLUICE_DATAPLANE_REPORT_H
#define SLUICE_DATAPLANE_REPORT_H

#include <jansson.h>

#include "dataplane/gateway.h"

// report_gateway: every counter of a gateway that runs (waits for the ports' threads to copy
// theirs, up to a second) or has stopped. A new reference.
json_t *report_gateway(struct gateway *gateway);

// report_print: `value` as indented "name: value" lines, without members that are 0.
void report_print(const json_t *value, FILE *stream);

// report_queues: a port's queues, as a list of numbers.
json_t *report_queues(const struct config_port *place);

// report_hash: a book_hash as 16 hexadecimal digits: JSON numbers do not hold 64 bits. A new
// reference.
json_t *report_hash(uint64_t hash);

#endif
