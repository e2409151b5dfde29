#!/bin/bash
# What the port takes at once the command ring has room for, however many messages are in a datagram: a session that fills
# its datagrams costs no other an order.
. "$(dirname "$0")/lib.sh"
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
client full_ring.py --user LOAD0:SECRET --user LOAD1:SECRET --pid $gateway_pid
gateway_end || fail "the gateway stops with status 0"
check "the ring had room for each" test "$(message stopped shards 0 entry datagrams ring_full)" = 0
check "full datagrams were taken" test "$(message stopped shards 0 durable_seq)" -gt 36800
finish
