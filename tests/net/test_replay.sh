#!/bin/bash
# Offline replay: a capture of the order packets, a tape, and the journal give what the gateway gave, again and again.
. "$(dirname "$0")/lib.sh"
lab_up
tshark_start sl-cl 'udp port 26400' "$work/orders.pcap"
gateway_start || { fail "the gateway starts"; exit 1; }
$in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --rate 10000 --count 20000 >"$work/load.log" 2>&1
gateway_end
tshark_end

replay "$work/journal/shard-0" >"$work/journal.json"
"$sluice" replay --json --config "$work/lab.conf" "$work/orders.pcap" >"$work/capture.json"
"$sluice" replay --json --config "$work/lab.conf" "$work/orders.pcap" >"$work/again.json"
check "a journal gives the gateway's state" \
    test "$(field state_hash <"$work/journal.json")" = "$(message stopped shards 0 state_hash)"
for count in commands events executions resting_orders; do
    check "a capture of the order packets gives as many $count as the journal" \
        test "$(field $count <"$work/capture.json")" = "$(field $count <"$work/journal.json")"
done
check "a capture's events have a hash" test "$(field event_hash <"$work/capture.json")" != 0000000000000000
for hash in event_hash state_hash; do
    check "the same capture gives the same $hash again" \
        test "$(field $hash <"$work/capture.json")" = "$(field $hash <"$work/again.json")"
done
# A tape of what the clients sent, played to a house without a network, tells them the same: message by message, but
# for the time of their arrival, which the gateway read itself.
for name in out again; do
    "$sluice" replay --config "$work/lab.conf" --output "$work/$name.pcap" "$work/orders.pcap" >/dev/null
done
check "a tape gives the same packets again, byte for byte" cmp "$work/out.pcap" "$work/again.pcap"
check "it answers what the gateway answered" python3 "$here/answers.py" "$work/orders.pcap" "$work/out.pcap"
check "an output that cannot be written is refused with a line" \
    sh -c "! '$sluice' replay --config '$work/lab.conf' --output /nosuch/out.pcap '$work/orders.pcap' 2>&1 >/dev/null | grep -qv 'cannot write'"
head -c -3 "$work/orders.pcap" >"$work/cut.pcap" # within the last packet
check "a damaged capture is refused with a line" \
    sh -c "! '$sluice' replay --config '$work/lab.conf' '$work/cut.pcap' 2>&1 >/dev/null | grep -qv 'damaged pcap'"

python3 - >"$work/tape.csv" <<'PYTHON'
import random
random.seed(7)
for n in range(1, 2001):
    side = random.choice((1, -1))
    print(f"34200.{n:09d},1,{n},{random.randint(1, 500)},{500000 - side * 100 * random.randint(0, 9)},{side}")
PYTHON
"$sluice" replay --json --symbol ACME "$work/tape.csv" >"$work/tape.json"
"$sluice" replay --json --symbol ACME "$work/tape.csv" >"$work/tape2.json"
check "a tape of 2000 orders is as many commands, and those that the reader infers" \
    test "$(field commands <"$work/tape.json")" -gt 2000
check "the same tape gives the same events again" \
    test "$(field event_hash <"$work/tape.json")" = "$(field event_hash <"$work/tape2.json")"
finish
