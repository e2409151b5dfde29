#!/bin/bash
# A member's limit over two shards: all of it can be used on one, nothing beyond it, and after a kill -9 neither; an
# operator sets another while both trade.
. "$(dirname "$0")/lib.sh"
lab_up
python3 - "$work/lab.conf" <<'PYTHON'
import sys
text = open(sys.argv[1]).read()
head, shards = text.split("shards = (")
shards = shards.replace("} );", '}, { port = 0; udp_port = 26500; feed_group = "239.77.0.2"; feed_port = 26477; } );', 1)
shards = shards.replace('"AMZN"; shard = 0', '"AMZN"; shard = 1')
members = 'members = ( { firm = "ALFA"; gross = "50000.00"; } );\n'
open(sys.argv[1], "w").write(head + "shards = (" + shards + members)
PYTHON
trade() { client limits.py "$1" --user LOAD0:SECRET; } # STEP
gateway_start || { fail "the gateway starts"; exit 1; }
trade use
gateway_end KILL
gateway_start || { fail "the gateway starts after a kill"; exit 1; }
trade again
check "an operator sets a higher limit" "$sluice" ctl --config "$work/lab.conf" limit firm ALFA gross 60000.00
trade more
gateway_end || fail "the gateway stops with status 0"
for shard in 0 1; do
    check "shard $shard's journal replays to its state" \
        test "$(replay "$work/journal/shard-$shard" | field state_hash)" = "$(message stopped shards $shard state_hash)"
    "$sluice" journal dump "$work/journal/shard-$shard" >"$work/dump-$shard"
done
check "the limit is in the journal with each share" \
    grep -q 'limit firm ALFA gross 250000000 of 500000000 by configuration' "$work/dump-1"
check "a yield is" grep -qE 'yield firm ALFA gross [0-9]+ by rebalance' "$work/dump-1"
check "and a raise" grep -qE 'raise firm ALFA gross [0-9]+ by rebalance' "$work/dump-0"
check "and who set another limit" grep -qE 'limit firm ALFA gross [0-9]+ of 600000000 by uid 0, pid' "$work/dump-0"
check "and as JSON" sh -c "'$sluice' journal dump --json '$work/journal/shard-1' | grep '\"yield\"' | grep -q '\"actor\":\"rebalance\"'"
check "who is at his limit does not fill the journal" test "$(grep -c ' yield ' "$work/dump-1")" -le 30
finish
