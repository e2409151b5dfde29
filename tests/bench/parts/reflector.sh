#!/bin/bash
. "$(dirname "$0")/../lib.sh"
# count ask|trade NAME: what comes back from whoever is at the gateway's end. When nothing does, that round has no figure.
count() {
    for window in 1 512; do
        $cl taskset -c $(($(nproc) - 1)) "$bench/bench_reflector" "$1" sl-cl 1 "$window" 2>"$work/count.err" >>"$work/$2-$window" ||
            echo "reflector: $2, $window on their way: $(tail -n 1 "$work/count.err")" >&2
    done
}
# peer NAME COMMAND…: have it bounce packets at the gateway's end while they are counted.
peer() {
    local name=$1 answers="" pids
    shift
    tail -f /dev/null | $gw nice -n -20 taskset -c 0 "$@" >"$work/$name.log" 2>&1 &
    sleep 0.5
    for _ in $(seq 50); do
        [ "$($cl "$bench/bench_reflector" ask sl-cl 0.01 1 2>/dev/null | cut -d. -f1)" = 0 ] || { answers=1 && break; }
        sleep 0.1
    done
    if [ -n "$answers" ]; then
        count ask "$name"
    else
        echo "reflector: $name does not answer: $(tail -n 1 "$work/$name.log")" >&2
    fi
    pids=$(ip netns pids "$LAB-gw")
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill $pids || true
    wait
}
testpmd() { # BUDGET
    peer "testpmd-$1" dpdk-testpmd --no-pci --in-memory -m 128 --lcores '0@0,1@0' \
        --vdev=net_af_xdp0,iface=sl-gw,busy_budget="$1" -- --forward-mode=macswap --auto-start --total-num-mbufs=16384
}
gateway_of() { # TYPE
    PORT=$1 scripts/lab config "$work/journal" >"$work/lab.conf"
    start_gateway
    count trade "gateway-$1"
    stop_gateway
}
# summary FILES NAME [PEER [LIMIT]]: packets a second with 512 on their way, and the time of one alone
summary() {
    local many=() alone=()
    [ -z "${3:-}" ] || { many=("\"peers\": [\"$3\"]") && alone=("\"peers\": [\"$3, alone\"]"); }
    [ -z "${4:-}" ] || many+=("\"limit\": \"$4\"")
    cut -d' ' -f1 "$work/$1-512" | row "$2" packets/s "$(cut -d' ' -f1 "$work/$1-512" | sum)" "${many[@]}"
    cut -d' ' -f2 "$work/$1-1" | row "$2, alone" us "$(cut -d' ' -f1 "$work/$1-1" | sum)" "${alone[@]}"
}

title "packets of one order's size bounced on AF_XDP, and orders answered, an order a packet; alone: one at a time, p50"
lab
for _ in 1 2 3 4 5; do
    $cl taskset -c $(($(nproc) - 1)) "$bench/bench_reflector" flood sl-cl 1 >>"$work/flood"
    for poll in interrupt busy; do peer "reflector-$poll" "$bench/bench_reflector" reflect sl-gw $poll; done
    if command -v dpdk-testpmd >/dev/null; then
        for budget in 0 64; do testpmd $budget; done
    fi
    for type in xdp udp; do gateway_of $type; done
done
floor="packets sent to nobody"
port="this port"
pmd="testpmd macswap on net_af_xdp"
summary reflector-interrupt "$port" "$pmd" "$floor"
summary reflector-busy "$port, busy polling" "$pmd, busy polling" "$floor"
remedy="apt-get install dpdk-dev"
! command -v dpdk-testpmd >/dev/null || remedy="it did not answer, as told while it ran"
for budget in 0 64; do
    [ $budget = 0 ] || pmd="$pmd, busy polling"
    if [ -e "$work/testpmd-$budget-1" ]; then
        summary testpmd-$budget "$pmd"
    else
        missing "$pmd" "$remedy"
        missing "$pmd, alone" "$remedy"
    fi
done
summary gateway-xdp "the gateway on AF_XDP, journaled" "the gateway on kernel sockets, journaled" "$port"
summary gateway-udp "the gateway on kernel sockets, journaled"
cut -d' ' -f1 "$work/flood" | row "$floor" packets/s "$(cut -d' ' -f1 "$work/flood" | sum)"
