// SPDX-License-Identifier: MIT
//
// loop: what a thread of the gateway does all day: receive from its ports, apply what its shards
// were given, release what is durable, send; and sleep where it may.
#ifndef SLUICE_DATAPLANE_LOOP_H
#define SLUICE_DATAPLANE_LOOP_H

#include "dataplane/gateway.h"

#define LOOP_SLEEP_MS 10 // at most, at a time

// loop_main: the thread of a struct loop; ends when its gateway's `stop` is set.
void *loop_main(void *loop);

// loop_receive: a batch from the port, into its lanes' command rings; `now_ns` is the house's
// clock. How many packets. The port's thread.
uint32_t loop_receive(struct house_port *house, uint64_t now_ns);

// loop_relieve_same, loop_relieve_other: a shard's event ring is full (struct shard). Of a shard
// that shares its thread with the port: a struct loop, whose ports release. Of another: a pause.
// The shard's thread.
void loop_relieve_same(void *loop);
void loop_relieve_other(void *loop);

// loop_snapshot: copy the counters for others to read. The port's thread, or any once it has ended.
void loop_snapshot(struct house_port *house);

#endif
