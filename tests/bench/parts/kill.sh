#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "a kill of 100,000 open orders, to its acknowledgement, the process of sluice ctl included"
lab
python3 -c 'for n in range(1, 100001):
    print(f"34200.{n:09d},1,{n},100,{500000 - n % 5000 * 100},1")' >"$work/orders.csv"
for _ in 1 2 3 4 5; do
    start_gateway
    load "100,000 to kill" --tape "$work/orders.csv" --symbol ACME --rate 100000
    began=$(date +%s%N)
    "$sluice" ctl --config "$work/lab.conf" kill all >/dev/null
    echo $((($(date +%s%N) - began) / 1000)) >>"$work/kill"
    stop_gateway
    tail -n 1 "$work/gateway.log" | python3 -c 'import json, sys; assert json.load(sys.stdin)["shards"][0]["resting_orders"] == 0'
done
row "a kill" us 5 <"$work/kill"
