#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "one order at a time: send to durable acknowledgement, in turn with one raw durable 4 KiB write"
lab
start_gateway
for _ in 1 2 3 4 5; do
    "$bench/bench_disk" "$work" >>"$work/raw"
    load "one at a time" --rate 0 --count 3000 --core $(($(nproc) - 1)) --hgrm "$OUT/round.hgrm"
    python3 -c 'import json, sys
latency = json.load(sys.stdin)["latency_ns"]
print(latency["p50"] / 1000, latency["p99"] / 1000)' <"$work/load.json" >>"$work/round"
done
stop_gateway
STAMPS=on scripts/lab config "$work/journal" >"$work/lab.conf"
start_gateway
load "one at a time" --rate 0 --count 3000 --core $(($(nproc) - 1)) --config "$work/lab.conf"
stop_gateway
python3 -c 'import json, sys
stages = [(stage["name"], stage["mean"] / 1000) for stage in json.load(sys.stdin)["stages"]]
told = ", ".join(f"{name} {mean:.2f}" for name, mean in stages)
print(json.dumps({"fact": "the mean order by stage, us", "value": f"{told}; in all {sum(mean for _, mean in stages):.2f}"}))' <"$work/load.json"
p99() { echo "\"p99\": $(cut -d' ' -f2 "$work/$1" | median)"; }
cut -d' ' -f1 "$work/round" | row "round trip" us 15000 "$(p99 round)" '"limit": "raw durable 4 KiB write"'
cut -d' ' -f1 "$work/raw" | row "raw durable 4 KiB write" us 10000 "$(p99 raw)"
