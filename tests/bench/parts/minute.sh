#!/bin/bash
. "$(dirname "$0")/../lib.sh"
# 80 % of the highest rate that the part `rate` found in this run; without it, of 1,200,000/s.
highest=$(sed -n 's/.*"name": "highest [^"]*".*"median": \([0-9.e+]*\),.*/\1/p' "$OUT/rate.rows" 2>/dev/null || true)
rate=${RATE:-$(awk "BEGIN {print int(${highest:-1200000} * 0.8)}")}
export IN_FLIGHT=${IN_FLIGHT:-2097152} # what a disk that stalls for some tenths of a second leaves waiting
title "a minute at $rate orders/s, counted from end to end, in_flight = $IN_FLIGHT"
lab
start_gateway
load "a minute" --rate "$rate" --count $((rate * 60)) --hgrm "$OUT/minute.hgrm"
stop_gateway
get rate_achieved <"$work/load.json" | row "achieved" orders/s $((rate * 60))
python3 -c 'import json, sys
report = json.load(sys.stdin)
print(sum(report[kind]["lost"] + report[kind]["unanswered"] for kind in ("enters", "cancels", "replaces")))' <"$work/load.json" | row "lost" orders $((rate * 60))
tail -n 1 "$work/gateway.log" | python3 -c 'import json, sys
stopped = json.load(sys.stdin)
port, shard = stopped["ports"][0], stopped["shards"][0]
milliseconds = shard["longest_write_ns"] / 1e6
print(json.dumps({"fact": "longest write to the disk", "value": f"{milliseconds:.1f} ms"}))
drops = {name: value for name, value in port["xdp"].items() if name.startswith("drop")}
drops |= {name: port["packets"][name] for name in ("rx_dropped", "rx_ring_full", "rx_fill_empty", "rx_invalid")}
drops |= {name: value for name, value in shard["entry"]["datagrams"].items() if name != "taken"}
text = ", ".join(f"{name} {value}" for name, value in drops.items() if value) or "nothing"
print(json.dumps({"fact": "dropped on the way", "value": text}))'
