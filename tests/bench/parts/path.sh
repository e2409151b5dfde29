#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "a packet through the gateway without wire and disk: parse, session, decode, match, gate, encode; and the half of it up to the command in the ring, batch by batch"
scripts/lab config "$work/journal" >"$work/lab.conf"
for _ in 1 2 3 4 5; do "$bench/bench_path" "$work/lab.conf" 2>/dev/null >>"$work/path"; done
cut -d' ' -f1 "$work/path" | row "packet to answer" ns 4900000 "\"p99\": $(cut -d' ' -f2 "$work/path" | median)"
"$bench/bench_receive" "$work/lab.conf" 2>/dev/null
for checks in off on; do
    instructions "frame to command, checks $checks, instructions" loop_receive \
        "$bench/bench_receive" "$work/lab.conf" $checks
done
