// SPDX-License-Identifier: MIT
//
// load_sweep: how latency grows with the rate: one run of `sluice load` for each of several rates.
#ifndef SLUICE_DATAPLANE_LOAD_SWEEP_H
#define SLUICE_DATAPLANE_LOAD_SWEEP_H

#include <stdio.h>

#include "dataplane/load_report.h"

#define LOAD_KNEE_FACTOR 3u

// load_sweep_knee: the index of the knee among the reports of `count` runs (1 or more) of rising
// rates: the last that lost nothing and whose p99 is below LOAD_KNEE_FACTOR times that of the
// first. `count` when the first run was not in order: then there is none.
uint32_t load_sweep_knee(const struct load_report *reports, uint32_t count);

// load_sweep_print: a line for each run. load_sweep_print_json: a list of their whole reports, each
// with "knee": true or false. 0, or -1 with errno from the stream.
int load_sweep_print(const struct load_report *reports, uint32_t count, FILE *stream);
int load_sweep_print_json(const struct load_report *reports, uint32_t count, FILE *stream);

#endif
