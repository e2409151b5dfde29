// SPDX-License-Identifier: MIT
//
// Probes for tracers of a running process (USDT: bpftrace, perf, SystemTap), in the program under
// the provider "sluice". One is a nop while nobody listens; what it says should be at hand. Where
// systemtap-sdt-dev is missing there are none. docs/design.md lists them.
#ifndef SLUICE_NUMA_PROBE_H
#define SLUICE_NUMA_PROBE_H

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define PROBE(name, shard, first, last) DTRACE_PROBE3(sluice, name, shard, first, last)
#else
#define PROBE(name, shard, first, last) ((void)(shard), (void)(first), (void)(last))
#endif

#endif
