// SPDX-License-Identifier: MIT
//
// load_stages: what a gateway has measured of its orders' stages (transit.h), asked for through its
// control socket.
#ifndef SLUICE_DATAPLANE_LOAD_STAGES_H
#define SLUICE_DATAPLANE_LOAD_STAGES_H

#include <jansson.h>
#include <netinet/in.h>

#include "numa/error.h"

// load_stages_ask: the stages of the port that serves `to`, by the gateway of the configuration
// `path`, since that gateway's start: a list of {"name", "count", "mean", "p50", "p90", "p99",
// "max"}, ns, in the order of the way; empty where the port has stamps = "off". A new reference, or
// NULL with `error`.
json_t *load_stages_ask(const char *path, const struct sockaddr_in *to, struct error *error);

#endif
