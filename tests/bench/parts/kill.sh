#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "a kill of 100,000 open orders, to its acknowledgement"
"$bench/bench_book" kill
lab
# Half of the orders come into places that others gave back at random: in the order of memory they are mixed.
python3 -c '
from random import Random
rows = [(1, n) for n in range(1, 100001)]
rows += [(3, n) for n in Random(1).sample(range(1, 100001), 50000)]
rows += [(1, n) for n in range(100001, 150001)]
for at, (kind, n) in enumerate(rows):
    print(f"{34200 + at * 1e-6:.9f},{kind},{n},100,{500000 - n % 5000 * 100},1")' >"$work/orders.csv"

# so_many WHAT NUMBER EXPECTED
so_many() { [ "$2" = "$3" ] || { echo "kill.sh: $2 orders $1, not $3" >&2 && exit 1; }; }
# killed HOW: a day with a kill of 100,000 orders. So many rest before it, as many are canceled by it (reason S), none rests after.
killed() {
    start_gateway
    load "100,000 to kill" --tape "$work/orders.csv" --symbol ACME --rate 100000
    so_many "rest before the kill" "$(get orders resting <"$work/load.json")" 100000
    "$@"
    stop_gateway
    so_many "are canceled by it" \
        "$("$sluice" replay --events "$work/journal/shard-0" | grep -c ' session .* type 4 .* code 83 ' || true)" 100000
    so_many "rest after it" "$(tail -n 1 "$work/gateway.log" | get shards 0 resting_orders)" 0
}
by_socket() {
    python3 -c 'import socket, sys, time
ask = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
began = time.monotonic_ns()
ask.connect(sys.argv[1])
ask.send(b"""{"do": "kill", "all": true}""")
assert ask.recv(1000) == b"""{"ok":true}"""
print((time.monotonic_ns() - began) / 1000)' "$work/journal.sock" >>"$work/socket"
}
by_ctl() {
    local began
    began=$(date +%s%N)
    "$sluice" ctl --config "$work/lab.conf" kill all >/dev/null
    echo $((($(date +%s%N) - began) / 1000)) >>"$work/ctl"
}
for _ in 1 2 3 4 5; do
    killed by_socket
    killed by_ctl
done
row "a kill, from the request on its socket" us 5 <"$work/socket"
row "a kill, the process of sluice ctl included" us 5 <"$work/ctl"
