#!/bin/bash
# A flood takes its sender's core too, which here is the others' as well. So its sender goes behind all of them, the same flood
# is also sent past the gateway, over a wire of its own to where nobody is, and an order's time is taken on the wire as well,
# by the kernel, from its leaving the client's interface to its answer's arrival there (of orders one at a time, so that a wait
# counts once): that is without the generator's wait for a core.
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
# round NAME [OPTION…]: a round, beside a flood where there are options; its p99, from the intended send and on the wire, what
# was lost, and what the wire had no room for.
round() {
    local name=$1 flood='' refused full=0
    shift
    refused=$(refused_by_wire)
    if [ $# -gt 0 ]; then
        nice -n 19 $cl python3 tests/net/stranger.py session --user "LOAD$((4 + floods % 6)):SECRET" --symbol FLOOD --seconds 4.5 "$@" \
            >"$work/flood.json" &
        flood=$! floods=$((floods + 1)) # each by another session: who does not log off is bound for ten seconds more
        sleep 1
    fi
    load "$name" --symbol ACME --rate 5000 --count 15000 --stamps kernel
    if [ -n "$flood" ]; then
        wait $flood
        get sent <"$work/flood.json" >>"$work/sent"
        [ "$name" = past ] || full=$(get full <"$work/flood.json")
    fi
    echo "$(python3 -c 'import json, sys
report = json.load(sys.stdin)
print(report["latency_ns"]["p99"] / 1000, report["stamped_ns"]["p99"] / 1000, report["stamped_ns"]["count"], sum(report[kind]["lost"] + report[kind]["unanswered"] for kind in ("enters", "cancels", "replaces")))' \
        <"$work/load.json") $(($(refused_by_wire) - refused - full))" >>"$work/$name"
}
start_gateway
floods=0
for _ in 1 2 3 4 5 6 7; do
    round quiet
    round past --to 10.78.0.1:26400
    round flooded --to 10.77.0.1:26400
done
stop_gateway
column() { cut -d' ' -f"$2" "$work/$1"; }
for clock in 1 2; do
    [ $clock = 1 ] && of="" samples=105000 || of=" on the wire" samples=$(column quiet 3 | sum)
    column quiet $clock | row "p99$of, quiet" us "$samples"
    column past $clock | row "p99$of, the flood goes past the gateway" us "$samples" "\"peers\": [\"p99$of, quiet\"]"
    column flooded $clock | row "p99$of, flooded" us "$samples" "\"peers\": [\"p99$of, quiet\", \"p99$of, the flood goes past the gateway\"]"
done
column flooded 4 | row "lost, flooded" orders 105000
column flooded 5 | row "of these the wire had no room for" packets 105000
row "packets of a flood" packets "$(sum <"$work/sent")" <"$work/sent"
tail -n 1 "$work/gateway.log" | get ports 0 xdp drop_session_rate | row "dropped by the XDP program for its rate" packets 1
