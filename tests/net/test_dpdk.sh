#!/bin/bash
# The DPDK port: some of the lab's tests over net_af_packet in place of AF_XDP (`make test-dpdk` has all); and a
# recording that net_pcap plays to a gateway comes to what `sluice replay` makes of the same file.
# alone: DPDK's threads poll
. "$(dirname "$0")/lib.sh"
if [ ! -e "$root/${B:-build}/sluice-dpdk.so" ]; then
    skip "DPDK: sluice-dpdk.so was not built: libdpdk-dev is not here"
    exit 0
fi

# over_dpdk NAME: tests/net/test_NAME.sh, with its lines passed on.
over_dpdk() {
    local before=$failures
    PORT=dpdk "$here/test_$1.sh" >"$work/$1.log" 2>"$work/$1.err"
    local status=$?
    sed -n "s/^\(ok\|FAIL\|skip\|note\) /\1 over DPDK: /p" "$work/$1.log"
    failures=$((failures + $(grep -c '^FAIL ' "$work/$1.log")))
    [ $status = 0 ] || [ $failures -gt "$before" ] ||
        fail "over DPDK: test_$1.sh: exit status $status: $(tail -n 3 "$work/$1.err")"
}
if ! on_dpdk; then
    export KILLS=${KILLS:-6}
    for name in trade kill garbage stop; do over_dpdk $name; done
    QUEUES=2 over_dpdk shards
fi

# A recording of what came to a gateway on AF_XDP.
unset PORT
lab_up
tshark_start sl-cl 'udp dst port 26400' "$work/orders.pcap"
gateway_start || { fail "the gateway starts"; exit 1; }
$in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --rate 10000 --count 20000 >"$work/load.log" 2>&1
gateway_end
tshark_end
# Played as fast as it can be read: the logins so many times that they are verified before the orders come.
tshark -r "$work/orders.pcap" -F nsecpcap -w "$work/once.pcap" 2>/dev/null
python3 - "$work/once.pcap" "$work/orders.pcap" <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
packets, at = [], 24
while at < len(data):
    size = 16 + struct.unpack_from("<I", data, at + 8)[0]
    packets.append(data[at : at + size])
    at += size
logins = [packet for packet in packets if packet[16 + 44 : 16 + 45] == b"L"]
open(sys.argv[2], "wb").write(data[:24] + b"".join(logins * (1_000_000 // len(logins))) + b"".join(packets))
PYTHON
"$sluice" replay --json --config "$work/lab.conf" "$work/orders.pcap" >"$work/capture.json"
"$sluice" replay --events --config "$work/lab.conf" "$work/orders.pcap" >"$work/capture.events"

# The same file through a DPDK device. Times are the arrival's, so the hashes are not the same, but what was
# decided is, event by event.
PORT=dpdk "$root/scripts/lab" config "$work/played" |
    sed "s#--vdev=net_af_packet0,[^\"]*#--vdev=net_pcap0,rx_pcap=$work/orders.pcap,tx_pcap=$work/out.pcap#
        s#net_af_packet0#net_pcap0#" >"$work/pcap.conf"
gateway_start "$work/pcap.conf" || { fail "the gateway starts on a recording"; exit 1; }
commands=$(field commands <"$work/capture.json")
for _ in $(seq 300); do
    kill -USR1 $gateway_pid
    sleep 0.2
    [ "$(message counters shards 0 durable_seq)" -lt "$commands" ] || break
done
check "no thread has a capability, those of the EAL neither" \
    test "$(awk '$1 == "CapPrm:" {print $2}' /proc/$gateway_pid/task/*/status | sort -u)" = 0000000000000000
gateway_end || fail "the gateway that played a recording stops with status 0"
replay "$work/played/shard-0" >"$work/played.json"
"$sluice" replay --events "$work/played/shard-0" >"$work/played.events"
check "a recording that a DPDK device plays is as many commands as its replay ($commands)" \
    test "$(field commands <"$work/played.json")" = "$commands" -a "$commands" -gt 20000
check "and the same events" \
    sh -c "grep '#' '$work/capture.events' >'$work/1'; grep '#' '$work/played.events' >'$work/2'; [ -s '$work/1' ] && cmp '$work/1' '$work/2'"
check "the gateway was in the state that its journal replays to" \
    test "$(field state_hash <"$work/played.json")" = "$(message stopped shards 0 state_hash)"
for counter in rx_dropped rx_ring_full rx_fill_empty rx_invalid; do
    [ "$(message stopped ports 0 packets $counter)" = 0 ] || fail "playing a recording lost packets: $counter"
done
check "the device recorded each packet that was sent" \
    test "$(tshark -r "$work/out.pcap" 2>/dev/null | wc -l)" = "$(message stopped ports 0 packets sent)"
check "and with them each message of the feed" test "$(tshark -r "$work/out.pcap" -d udp.port==26477,moldudp64 \
    -Y 'udp.dstport == 26477 && !_ws.malformed && moldudp64.count < 65535' -T fields -e moldudp64.count 2>/dev/null |
    awk '{sum += $1} END {print sum}')" = "$(message stopped shards 0 feed messages)"
check "every mbuf came back" sh -c "! grep -q mbufs '$work/gateway.err'"

# No program stops what comes: the port itself does not take it any more.
export PORT=dpdk
lab_up
gateway_start || { fail "the gateway starts before a flood"; exit 1; }
$in_cl "$sluice" replay --interface sl-cl --pace full --loops 1000 "$work/orders.pcap" >/dev/null 2>&1 &
flood=$!
sleep 2
gateway_end
status=$?
check "SIGTERM in a flood ends with status 0" test $status = 0
check "while the flood went on ($(message stopped ports 0 packets received) packets)" kill $flood
wait $flood 2>/dev/null

# What cannot work is refused with one line.
refused() { # NAME PATTERN CONFIG [PROGRAM]
    $in_gw "${4:-$sluice}" run --config "$3" >/dev/null 2>"$work/err"
    local status=$?
    check "$1" test $status = 1 -a "$(wc -l <"$work/err")" = 1 -a -n "$(grep -E "^sluice: .*$2" "$work/err")"
}
edited() { sed "$1" "$work/pcap.conf" >"$work/edited.conf"; echo "$work/edited.conf"; }
cp "$sluice" "$work/sluice"
refused "a program without sluice-dpdk.so beside it" 'libdpdk-dev' "$work/pcap.conf" "$work/sluice"
refused "an argument that the EAL does not know" "unrecognized option '--no-foo'" "$(edited 's/--no-pci/--no-foo/')"
refused "a device that is not there" 'no device "net_tap9"' "$(edited 's/device = "net_pcap0"/device = "net_tap9"/')"
refused "a device that cannot be made, with the driver's reason" "no device.*No such file" \
    "$(edited "s#$work/orders.pcap#$work/nothing.pcap#")"
refused "memory that is not there" '"--no-huge"' "$(edited 's/"256"/"16"/')"
refused "more queues than the device has" 'set queues = ' "$(edited 's/queues = \[ 0 \]/queues = [ 0, 1, 2 ]/')"
refused "queues with a gap" 'all of the first' "$(edited 's/queues = \[ 0 \]/queues = [ 1 ]/')"
refused "an interface for a device" 'has "device", and no "interface"' "$(edited 's/device = /interface = /')"
finish
