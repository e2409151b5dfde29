#!/bin/bash
# Time stamps: with stamps = "on" the XDP program and the kernel stamp packets as they come and go, and a packet's
# turnaround is measured between the two, and each of its stages; without, this process's own clock is used. Which one
# it was is said.
. "$(dirname "$0")/lib.sh"
not_on_dpdk "time stamps: AF_XDP's"
ports() { message stopped ports 0; }
trade() {
    lab_up
    rm -rf "$work/journal"
    gateway_start || exit 1
    $in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --rate 5000 --count 10000 \
        --config "$work/lab.conf" --json >"$work/load.json" 2>"$work/load.log" ||
        fail "the load: $(tail -n 1 "$work/load.log")"
    gateway_end
}
holds() { ports | LOAD=$work/load.json python3 -c "
import json, os, sys
port, asked = json.load(sys.stdin), json.load(open(os.environ['LOAD']))['stages']
found, stages = port['turnaround_ns'], port['stages_ns']
$1"; }
# The stages are those of the packets whose turnaround was measured, and their means add up to its mean. It has other
# clocks at its ends; each mean is rounded, and that of a histogram is right to 1 in 2,000.
adds_up="
total, = found.values()
assert {stage['count'] for stage in stages.values()} == {total['count']}, stages
apart = sum(stage['mean'] for stage in stages.values()) - total['mean']
assert abs(apart) < 100 + total['mean'] / 500, (apart, total, stages)"

trade
check "without stamps turnarounds are timed by the process" holds "
assert list(found) == ['software'] and found['software']['count'] > 500, found
assert 1000 < found['software']['p50'] <= found['software']['max'], found
assert not stages and not asked, (stages, asked)"

STAMPS=on trade
# A veth's driver admits the stamping program, and says 0 for the NIC's time: that is no time.
check "with stamps, by the kernel, from the XDP program to the driver" holds "
assert list(found) == ['kernel'] and found['kernel']['count'] > 500, found
assert 1000 < found['kernel']['p50'] < 1e9, found"
check "its stages are told, and add up to it" holds "
assert list(stages) == ['xdp_to_port', 'port_to_shard', 'shard', 'disk', 'gate_to_send', 'send_to_wire'], stages
$adds_up"
check "the load generator asks for them too" holds "
assert [stage['name'] for stage in asked] == list(stages), asked
assert all(0 < stage['count'] <= stages[stage['name']]['count'] for stage in asked), asked"
check "nothing else is changed by it" test "$(replay | field state_hash)" = "$(message stopped shards 0 state_hash)"

check "a NIC without a clock of its own is told of when it is to be configured" sh -c \
    "$in_gw '$sluice' configure check --config '$work/lab.conf' stamps | grep -q 'sl-gw (veth) has no clock of its own'"

export STAMPS=on PORT=udp
trade
check "where there is no program the process times them" holds "assert list(found) == ['software'], found"
check "and the stages within it" holds "
assert list(stages) == ['port_to_shard', 'shard', 'disk', 'gate_to_send', 'send_to_wire'], stages
$adds_up"
finish
