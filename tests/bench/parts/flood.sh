#!/bin/bash
# A flood takes its sender's core too, which here is the others' as well. So its sender goes behind all of them (and these before
# whatever else the host does, so that it is the flood that is measured and that it comes to its rate), the same flood
# is also sent past the gateway, over a wire of its own to where nobody is, and an order's time is taken on the wire as well,
# by the kernel, from its leaving the client's interface to its answer's arrival there (of orders one at a time, so that a wait
# counts once): that is without the generator's wait for a core. Who floods uses each UserRefNum once: orders that rest, that
# trade, replacements and cancels. First the XDP program's rate holds it, then only what its firm may do on the shard.
. "$(dirname "$0")/../lib.sh"
title "four sessions' 5,000 orders/s, two seconds a round, while another session sends ten times what it may: 20,000 datagrams/s where the XDP program lets in 2,000, 100,000 messages/s where its firm has 8,000 orders and 2,000 cancels a second"
export SYMBOLS="ACME FLOOD"
behind="nice -n -5 $cl" cl="nice -n -15 $cl"
lab
ip -n "$LAB-cl" link add sl-past type veth peer name sl-nobody netns "$LAB-gw"
ip -n "$LAB-cl" addr add 10.78.0.2/24 dev sl-past
ip -n "$LAB-cl" neigh add 10.78.0.1 lladdr 02:00:0a:4e:00:01 dev sl-past nud permanent
ip -n "$LAB-cl" link set sl-past up
ip -n "$LAB-gw" link set sl-nobody up
sed -i 's/\(user = "LOAD[4-9]".*firm = "\)[A-Z]*/\1GAMA/' "$work/lab.conf"
cp "$work/lab.conf" "$work/plain.conf"

refused_by_wire() { $cl cat /sys/class/net/sl-cl/statistics/tx_dropped; }
# round NAME [OPTION…]: a round, beside a flood where there are options; its p99, from the intended send and on the wire, what
# was lost, and what the wire had no room for.
round() {
    local name=$1 flood='' refused full=0
    shift
    refused=$(refused_by_wire)
    if [ $# -gt 0 ]; then
        $behind python3 tests/net/stranger.py session --user "LOAD$((4 + floods % 6)):SECRET" --symbol FLOOD --seconds 3.5 "$@" \
            >"$work/flood.json" &
        flood=$! floods=$((floods + 1)) # each by another session: who does not log off is bound for ten seconds more
        sleep 1
    fi
    load "$name" --symbol ACME --rate 5000 --count 10000 --stamps kernel
    if [ -n "$flood" ]; then
        wait $flood
        get sent <"$work/flood.json" >>"$work/$name sent"
        [ "$name" = past ] || full=$(get full <"$work/flood.json")
    fi
    echo "$(python3 -c 'import json, sys
report = json.load(sys.stdin)
print(report["latency_ns"]["p99"] / 1000, report["stamped_ns"]["p99"] / 1000, report["stamped_ns"]["count"], sum(report[kind]["lost"] + report[kind]["unanswered"] for kind in ("enters", "cancels", "replaces")))' \
        <"$work/load.json") $(($(refused_by_wire) - refused - full))" >>"$work/$name"
}
column() { cut -d' ' -f"$2" "$work/$1"; }
# told HELD FLOOD…: the rows of a gateway's rounds. A round is compared with the quiet one before it.
told() {
    local held=$1 clock of flood at
    shift
    for clock in 1 2; do
        [ $clock = 1 ] && of="" || of=" on the wire"
        column quiet $clock | row "p99$of, quiet, $held" us "$(column quiet 3 | sum)"
        for flood in "$@"; do
            column "$flood" $clock | row "p99$of, $flood, $held" us "$(column "$flood" 3 | sum)" "\"peers\": [\"p99$of, quiet, $held\"]"
            paste -d' ' <(column "$flood" $clock) <(column quiet $clock) | awk '{print $1 / $2}' |
                row "p99$of, $flood, $held, by the quiet one before it" times "$(column "$flood" 3 | sum)"
        done
    done
    for flood in "$@"; do
        [ "$flood" != past ] || continue
        column "$flood" 4 | row "lost, $flood, $held" orders 70000
        column "$flood" 5 | row "of these the wire had no room for, $flood, $held" packets 70000
    done
    for flood in "$@"; do
        at="$work/$flood sent"
        awk '{print $1 / 3.5}' "$at" | row "packets a second of a flood, $flood, $held" packets "$(sum <"$at")"
    done
    rm "$work/quiet"
    for flood in "$@"; do rm "$work/$flood" "$work/$flood sent"; done
}
ended() { tail -n 1 "$work/gateway.log" | get "$@"; }
floods=0

sed 's/orders = 1000000;/& session_rate = 2000; session_burst = 1000;/' "$work/plain.conf" >"$work/lab.conf"
start_gateway
for _ in 1 2 3 4 5 6 7; do
    round quiet
    round past --full --rate 20000 --to 10.78.0.1:26400
    round "a message a datagram" --rate 20000
    round "35 messages a datagram" --full --rate 20000
done
stop_gateway
told "held by the XDP program" past "a message a datagram" "35 messages a datagram"
ended ports 0 xdp drop_session_rate | row "dropped by the XDP program for its rate" packets 1
ended shards 0 executions | row "executions, held by the XDP program" executions 1

echo 'members = ( { firm = "GAMA"; order_rate = 8000; cancel_rate = 2000; } );' | cat "$work/plain.conf" - >"$work/lab.conf"
start_gateway
for _ in 1 2 3 4 5 6 7; do
    round quiet
    round past --full --rate 2857 --to 10.78.0.1:26400
    round "a message a datagram" --rate 100000
    round "35 messages a datagram" --full --rate 2857
done
stop_gateway
told "held by its firm's limits" past "a message a datagram" "35 messages a datagram"
ended shards 0 commands | row "commands, held by its firm's limits" commands 1
ended shards 0 executions | row "executions, held by its firm's limits" executions 1
