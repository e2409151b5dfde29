#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "the XDP program without and with stamps, by the kernel's own count"
lab
counting=$(cat /proc/sys/kernel/bpf_stats_enabled)
trap 'sysctl -q -w kernel.bpf_stats_enabled="$counting"; leave' EXIT
sysctl -q -w kernel.bpf_stats_enabled=1
for _ in 1 2 3 4 5; do
    for stamps in off on; do
        STAMPS=$stamps scripts/lab config "$work/journal" >"$work/lab.conf"
        start_gateway
        load "stamps $stamps" --rate 100000 --count 100000
        program=$(ip -n "$LAB-gw" -j link show sl-gw | get 0 xdp prog id)
        bpftool -j prog show id "$program" | python3 -c 'import json, sys
program = json.load(sys.stdin)
print(program["run_time_ns"] / program["run_cnt"], program["run_cnt"])' >>"$work/stamps-$stamps"
        stop_gateway
    done
done
samples() { cut -d' ' -f2 "$work/stamps-$1" | sum; }
cut -d' ' -f1 "$work/stamps-off" | row "without stamps" ns/packet "$(samples off)"
cut -d' ' -f1 "$work/stamps-on" | row "with stamps" ns/packet "$(samples on)" '"peers": ["without stamps"]'
