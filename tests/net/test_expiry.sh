#!/bin/bash
# Good-till-time orders end by the gateway's own clock, over a kill -9 and a restart, without anybody sending anything;
# and a replay of the journal or of the order packets ends them alike.
. "$(dirname "$0")/lib.sh"
lab_up
tshark_start sl-cl 'udp port 26400' "$work/orders.pcap"
gateway_start || { fail "the gateway starts"; exit 1; }
$in_cl python3 "$here/expiry.py" enter --user LOAD0:SECRET || fail "orders are accepted"
gateway_end KILL
sleep 2
gateway_start || { fail "the gateway starts after a kill"; exit 1; }
client expiry.py watch --user LOAD0:SECRET
tshark_end
gateway_end || fail "the gateway stops with status 0"

replay "$work/journal/shard-0" >"$work/journal.json"
check "a replay of the journal comes to the gateway's state" \
    test "$(field state_hash <"$work/journal.json")" = "$(message stopped shards 0 state_hash)"
"$sluice" journal dump "$work/journal/shard-0" >"$work/dump"
check "the journal has a clock command for each second, and none twice" \
    test "$(grep -c ' clock$' "$work/dump")" -ge 3 -a \
    -z "$(grep ' clock$' "$work/dump" | cut -d' ' -f2 | cut -d. -f1 | sort | uniq -d)"
"$sluice" replay --json --config "$work/lab.conf" "$work/orders.pcap" >"$work/capture.json"
check "a replay of the order packets ends the same orders" \
    test "$(field resting_orders <"$work/capture.json")" = "$(message stopped shards 0 resting_orders)" -a \
    "$(field resting_orders <"$work/capture.json")" = 1
finish
