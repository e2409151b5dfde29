#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "start to ready, with an empty journal"
lab
for _ in 1 2 3 4 5; do
    start_gateway
    head -n 1 "$work/gateway.log" | get seconds >>"$work/start"
    stop_gateway
done
row "start to ready" s 5 <"$work/start"
