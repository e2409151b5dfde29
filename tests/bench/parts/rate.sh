#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "open loop, three seconds a round: orders a second, durable and answered; latency from the intended send"
# judge RATE <REPORT: the percentiles, what was lost, and whether it was kept up with.
judge() {
    python3 -c 'import json, sys
report, asked = json.load(sys.stdin), int(sys.argv[1])
latency = report["latency_ns"]
lost = sum(report[kind]["lost"] + report[kind]["unanswered"] for kind in ("enters", "cancels", "replaces"))
good = latency["p99"] < 1e9 and report["rate_achieved"] > 0.99 * asked and not lost
print(latency["p50"] / 1000, latency["p90"] / 1000, latency["p99"] / 1000, lost, "good" if good else "bad")' "$1"
}
lab
rates="50000 100000 150000 200000 300000 400000 600000 800000 1000000 1200000 1500000 1750000 2000000"
kept=
for rate in $rates; do
    start_gateway
    for _ in 1 2 3; do
        load "$rate/s" --rate $rate --count $((rate * 3)) --hgrm "$OUT/rate-$rate.hgrm"
        judge $rate <"$work/load.json" >>"$work/rate-$rate"
    done
    stop_gateway
    column() { cut -d' ' -f"$1" "$work/rate-$rate"; }
    column 1 | row "$rate/s, p50" us $((rate * 9)) "\"p99\": $(column 3 | median)"
    column 2 | row "$rate/s, p90" us $((rate * 9))
    column 4 | row "$rate/s, lost" messages $((rate * 9))
    [ "$(column 5 | grep -c bad)" -lt 2 ] || break
    kept="$rate $kept"
done
# Three seconds may pass without the disk's and the host's worst: the highest rate is the first from there down that loses
# nothing in twenty, with room for what waits meanwhile.
IN_FLIGHT=2097152 scripts/lab config "$work/journal" >"$work/lab.conf"
best=0
for rate in $kept; do
    start_gateway
    load "$rate/s, twenty seconds" --rate $rate --count $((rate * 20)) >/dev/null
    stop_gateway
    judge $rate <"$work/load.json" >"$work/judged"
    grep -q good "$work/judged" && best=$rate && break
done
echo $best | row "highest without loss in twenty seconds" orders/s $((best * 20))
