#!/bin/bash
# A flood takes its sender's core too, which here is the others' as well. So the same one is also sent past the gateway, over
# a wire of its own to where nobody is: what is more when it comes to the gateway is the gateway's.
. "$(dirname "$0")/../lib.sh"
title "four sessions' 5,000 orders/s, three seconds a round, while another session sends 100,000/s, ten times the rate that it has"
export SYMBOLS="ACME FLOOD"
lab
sed -i 's/orders = 1000000;/& session_rate = 10000; session_burst = 1000;/' "$work/lab.conf"
ip -n "$LAB-cl" link add sl-past type veth peer name sl-nobody netns "$LAB-gw"
ip -n "$LAB-cl" addr add 10.78.0.2/24 dev sl-past
ip -n "$LAB-cl" neigh add 10.78.0.1 lladdr 02:00:0a:4e:00:01 dev sl-past nud permanent
ip -n "$LAB-cl" link set sl-past up
ip -n "$LAB-gw" link set sl-nobody up

refused_by_wire() { $cl cat /sys/class/net/sl-cl/statistics/tx_dropped; }
# round NAME [OPTION…]: a round, beside a flood where there are options; its p99, what was lost, and what the wire had no room for.
round() {
    local name=$1 flood='' refused full=0
    shift
    refused=$(refused_by_wire)
    if [ $# -gt 0 ]; then
        $cl python3 tests/net/stranger.py session --user "LOAD$((4 + floods % 6)):SECRET" --symbol FLOOD --seconds 4.5 "$@" \
            >"$work/flood.json" &
        flood=$! floods=$((floods + 1)) # each by another session: who does not log off is bound for ten seconds more
        sleep 1
    fi
    load "$name" --symbol ACME --rate 5000 --count 15000
    if [ -n "$flood" ]; then
        wait $flood
        get sent <"$work/flood.json" >>"$work/sent"
        [ "$name" = past ] || full=$(get full <"$work/flood.json")
    fi
    echo "$(python3 -c 'import json, sys
report = json.load(sys.stdin)
print(report["latency_ns"]["p99"] / 1000, sum(report[kind]["lost"] for kind in ("enters", "cancels", "replaces")))' \
        <"$work/load.json") $(($(refused_by_wire) - refused - full))" >>"$work/$name"
}
start_gateway
floods=0
for _ in 1 2 3 4 5; do
    round quiet
    round past --to 10.78.0.1:26400
    round flooded --to 10.77.0.1:26400
done
stop_gateway
column() { cut -d' ' -f"$2" "$work/$1"; }
column quiet 1 | row "p99, quiet" us 75000
column past 1 | row "p99, the flood goes past the gateway" us 75000 '"peers": ["p99, quiet"]'
column flooded 1 | row "p99, flooded" us 75000 '"peers": ["p99, quiet", "p99, the flood goes past the gateway"]'
column flooded 2 | row "lost, flooded" orders 75000
column flooded 3 | row "of these the wire had no room for" packets 75000
row "packets of a flood" packets "$(sum <"$work/sent")" <"$work/sent"
tail -n 1 "$work/gateway.log" | get ports 0 xdp drop_session_rate | row "dropped by the XDP program for its rate" packets 1
