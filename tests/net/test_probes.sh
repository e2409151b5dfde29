#!/bin/bash
# A running gateway seen from outside: one order, followed from its datagram to the packet with its answer, and a flame
# graph.
. "$(dirname "$0")/lib.sh"
not_on_dpdk "probes: the same there"
[ -x "$(command -v bpftrace)" ] || { skip "probes: there is no bpftrace here"; exit 0; }
readelf -n "$sluice" | grep -q 'Provider: sluice' || { skip "probes: built without systemtap-sdt-dev"; exit 0; }
[ -e /sys/kernel/btf/vmlinux ] || { skip "probes: this kernel has no BTF for bpftrace"; exit 0; }

lab_up
gateway_start || exit 1
$in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --rate 500 --count 30000 \
    >/dev/null 2>&1 &
load_pid=$!
durable() { "$sluice" ctl --config "$work/lab.conf" --json stats | python3 -c '
import json, sys
print(json.load(sys.stdin)["stats"]["shards"][0]["durable_seq"])'; }

# passes [SHARD SEQ]: each point is passed once, by the order asked for, in the order of the way. The book and the disk
# work at the same time.
passes() {
    timeout 40 "$root/scripts/trace-order" "$gateway_pid" "$@" >"$work/trace" 2>"$work/trace.err"
    grep -E '^ +[0-9]+\.[0-9]{3} ' "$work/trace" | sort -n | python3 -c '
import sys
points = [line.split() for line in sys.stdin]
names = [point[1] for point in points]
assert sorted(names) == sorted(["command", "journaled", "applied", "durable", "released", "tx"]), names
assert names[:2] == ["command", "journaled"] and names[-2:] == ["released", "tx"], names
seq = int(sys.argv[1]) or int(points[0][2])
assert all(int(first) <= seq <= int(last) for _, _, first, _, last in points), points' "${2:-0}" ||
        { cat "$work/trace" "$work/trace.err"; return 1; }
}
check "the next order is seen to pass each point in its order" passes
check "and one that is asked for by its number" passes 0 $(($(durable) + 4000))
if [ -x "$(command -v perf)" ]; then
    check "a flame graph shows its loop" sh -c "'$root/scripts/flamegraph' $gateway_pid 2 | grep -q '>loop_main'"
else
    skip "a flame graph: there is no perf here"
fi
kill $load_pid
wait $load_pid 2>/dev/null
check "the gateway runs on and stops in order" gateway_end
finish
