#!/bin/bash
# Two shards on one queue: two AF_XDP sockets share its frames, each shard has threads, journal and feed of its own.
# The same under ThreadSanitizer and AddressSanitizer, which see no fault.
. "$(dirname "$0")/lib.sh"
export HISTORY=65536 SNAPSHOT_EVERY=5000 # taken meanwhile
lab_up
# The first "} );" closes the ports: only the shards' is to be changed.
python3 - "$work/lab.conf" "$work/two.conf" "$(($(nproc) - 1))" <<'PYTHON'
import sys
text = open(sys.argv[1]).read()
head, shards = text.split("shards = (")
shards = shards.replace("core = 0;", f"core = {sys.argv[3]};", 1)
shards = shards.replace("} );", '}, { port = 0; udp_port = 26500; feed_group = "239.77.0.2"; feed_port = 26477; } );', 1)
open(sys.argv[2], "w").write(head + "shards = (" + shards.replace('"AMZN"; shard = 0', '"AMZN"; shard = 1'))
PYTHON
load() { $in_cl "$sluice" load --to "10.77.0.1:$1" --symbol "$2" --user LOAD0:SECRET --user LOAD1:SECRET --rate "$3" \
    --count "$4" >"$work/load-$2.log" 2>&1; }

trade_with() {
    local binary=$1 rate=$2 count=$3 name=$4 good=0
    rm -rf "$work/journal"
    (
        sluice=$binary
        gateway_start "$work/two.conf" || exit 1
        load 26400 ACME "$rate" "$count" & first=$!
        load 26500 AMZN "$rate" "$count" & second=$!
        wait $first && wait $second && good=1
        gateway_end || good=0
        [ $good = 1 ]
    ) || { fail "$name: $(tail -n 2 "$work"/load-*.log "$work/gateway.err")"; return; }
    ok "$name"
    grep -qE 'WARNING: ThreadSanitizer|ERROR: AddressSanitizer|runtime error' "$work/gateway.err" &&
        fail "$name: $(grep -m 3 -E 'WARNING|ERROR|runtime error' "$work/gateway.err")"
}

trade_with "$sluice" 20000 100000 "two shards trade at once, every order accounted for"
for shard in 0 1; do
    check "shard $shard's journal replays to its state" \
        test "$(replay "$work/journal/shard-$shard" | field state_hash)" = "$(message stopped shards $shard state_hash)"
done
check "the two shards are in different states" \
    test "$(message stopped shards 0 state_hash)" != "$(message stopped shards 1 state_hash)"
check "the socket's frames were shared without loss" test "$(message stopped ports 0 packets rx_dropped)" = 0

for kind in thread address,undefined; do
    variant=build-${kind//,/-}
    targets=$variant/sluice
    ! on_dpdk || targets+=" $variant/sluice-dpdk.so"
    # shellcheck disable=SC2086
    env -u B -u MAKEFLAGS flock "$root/Makefile" make -s -j2 -C "$root" SAN=$kind $targets || { fail "make SAN=$kind"; continue; }
    trade_with "$root/$variant/sluice" 5000 30000 "the same under SAN=$kind, without a report"
done
finish
