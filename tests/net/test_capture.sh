#!/bin/bash
# sluice capture: what the ports saw and sent, whole and counted, whatever becomes of those who read it.
# alone: it waits for quiet moments between two heartbeats
. "$(dirname "$0")/lib.sh"
export HISTORY=65536
lab_up
tap=/dev/shm/sluice-$LAB-port0
capture="$sluice capture --json --config $work/lab.conf"

# capturing NAME COMMAND…: start one and wait until it captures; its pid is in $capturing.
capturing() {
    local name=$1
    shift
    "$@" >"$work/$name.json" 2>"$work/$name.err" &
    capturing=$!
    for _ in $(seq 200); do
        grep -q 'capturing' "$work/$name.err" && return 0
        kill -0 $capturing 2>/dev/null || break
        sleep 0.05
    done
    fail "$name captures: $(cat "$work/$name.err")"
    return 1
}

of() { field "$2" <"$work/$1.json"; } # NAME FIELD of a capture's last line
seen() { python3 "$here/capture.py" count "$@"; }

# packets: what the gateway has received and sent by now.
packets() {
    local before
    before=$(grep -c '"counters"' "$work/gateway.log")
    kill -USR1 $gateway_pid
    for _ in $(seq 100); do [ "$(grep -c '"counters"' "$work/gateway.log")" -gt "$before" ] && break; sleep 0.05; done
    total counters
}
total() { echo $(($(message "$1" ports 0 packets received) + $(message "$1" ports 0 packets sent))); }

# capturing_all NAME COMMAND…: the same as capturing, at a moment in which nothing goes by, between two heartbeats of
# the feed: $start is how much had. With another capture on, one joins at once; else it takes up to a second.
capturing_all() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        local before
        before=$(packets)
        until start=$(packets) && [ "$start" != "$before" ]; do :; done
        capturing "$@" || return 1
        [ "$start" = "$(packets)" ] && return 0
        kill $capturing
        wait $capturing
    done
    fail "a quiet moment"
}

load() { $in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET "$@" >"$work/load.log" 2>&1; }

new_gateway() { rm -rf "$work/journal"; gateway_start "$@" || { fail "the gateway starts"; exit 1; }; }

# --- While two trade
new_gateway
tshark_start sl-cl 'udp port 26400' "$work/wire.pcapng"
capturing orders $capture --write "$work/orders.pcap" --filter 'udp dst port 26400'
orders=$capturing
capturing_all all $capture -w "$work/all.pcap"
all=$capturing
load --rate 10000 --count 20000 || fail "load: $(cat "$work/load.log")"
sleep 1
gateway_end || fail "the gateway stops with status 0"
check "a capture ends in order when the gateway does" wait $all
wait $orders
tshark_end
tshark -r "$work/wire.pcapng" -F nsecpcap -w "$work/wire.pcap" 2>/dev/null
expected=$(($(total stopped) - start))
check "everything received and sent is captured, and nothing is lost" \
    test "$(of all captured) $(of all lost) $(of all filtered)" = "$expected 0 0"
check "it says what was received and what was sent" \
    test "$(of all received)" = "$(message stopped ports 0 packets received)" -a "$(of all sent)" = $((expected - $(of all received)))
check "the file holds what it says" test "$(seen "$work/all.pcap")" = "$expected"
datagrams=$(message stopped shards 0 entry datagrams | python3 -c 'import json, sys; print(sum(json.load(sys.stdin).values()))')
check "it has every order packet that the gateway counts ($datagrams)" test "$(seen "$work/all.pcap" --to 26400)" = "$datagrams"
check "every answer on the wire is in it, and every order, byte for byte, in order" \
    python3 "$here/capture.py" same "$work/wire.pcap" "$work/all.pcap"
check "its times are nanoseconds and never go back" python3 "$here/capture.py" order "$work/all.pcap"
check "tshark reads it" test "$(tshark -r "$work/all.pcap" -Y 'udp.dstport == 26400' 2>/dev/null | wc -l)" = "$datagrams"
check "a filter takes the order packets, all of them" test "$(seen "$work/orders.pcap")" = "$datagrams"
check "and counts the others" test "$(of orders captured)" = "$datagrams" -a "$(of orders filtered)" -ge "$((expected - datagrams))"
"$sluice" replay --json --config "$work/lab.conf" "$work/all.pcap" >"$work/replayed.json"
check "its replay ends in the state of the gateway's journal" \
    test "$(field state_hash <"$work/replayed.json")" = "$(replay | field state_hash)"
check "it is its owner's alone" test "$(stat -c %a "$work/all.pcap")" = 600
check "the tap is gone with the gateway" test ! -e "$tap"

# --- One that is stopped, and one that is killed
new_gateway
capturing quick $capture --write /dev/null
quick=$capturing
capturing_all slow $capture --write "$work/slow.pcap"
slow=$capturing
kill -STOP $slow
check "a flood past a stopped capture is answered in full" load --rate 50000 --count 150000
kill -CONT $slow
sleep 0.5
capturing killed $capture --write "$work/killed.pcap"
kill -9 $capturing
wait $capturing 2>/dev/null
gateway_end || fail "the gateway stops with status 0"
wait $slow
wait $quick
expected=$(($(total stopped) - start))
check "the gateway lost nothing" test "$(message stopped ports 0 packets rx_dropped)" = 0
check "the stopped one lost some ($(of slow lost)) and counts them exactly" \
    test "$(of slow lost)" -gt 0 -a $(($(of slow captured) + $(of slow lost))) = $expected
check "what it did not lose is whole" test "$(seen "$work/slow.pcap")" = "$(of slow captured)"
check "another one meanwhile accounts for everything, too" \
    test $(($(of quick captured) + $(of quick lost))) -ge $expected

new_gateway
watched() { python3 -c 'import struct, sys; print(struct.unpack_from("<I", open(sys.argv[1], "rb").read(), 128)[0])' "$tap"; }
before=$(watched)
capturing killed $capture --write "$work/killed.pcap"
during=$(watched)
kill -9 $capturing
wait $capturing 2>/dev/null
for _ in $(seq 60); do [ "$(watched)" = 0 ] && break; sleep 0.1; done
check "a capture that is killed does not leave the tap on" test "$before $during $(watched)" = "0 1 0"
check "and the gateway trades on" load --rate 10000 --count 5000

# --- A pipe, limits, rows of files
$capture --write - 2>"$work/pipe.err" | tshark -i - -c 300 -T fields -e udp.dstport >"$work/pipe.txt" 2>/dev/null &
pipe_pid=$!
for _ in $(seq 100); do grep -q capturing "$work/pipe.err" && break; sleep 0.1; done
load --rate 5000 --count 5000
wait $pipe_pid
check "tshark reads from the pipe" test "$(grep -c 26400 "$work/pipe.txt")" -gt 50 -a "$(wc -l <"$work/pipe.txt")" = 300
for _ in $(seq 50); do grep -q '"captured"' "$work/pipe.err" && break; sleep 0.1; done
check "when tshark has enough the capture ends in order, and says so on stderr" \
    sh -c "tail -n 1 '$work/pipe.err' | python3 -c 'import json, sys; assert json.load(sys.stdin)[\"lost\"] == 0'"

capturing rows $capture --write "$work/row.pcap" --rotate-mib 1
rows=$capturing
capturing seconds $capture --write "$work/second" --rotate-seconds 1
seconds=$capturing
capturing count $capture --write "$work/count.pcap" --count 1000
count=$capturing
load --rate 10000 --count 30000
kill $rows $seconds
check "a capture ends in order when it is told to" wait $rows
wait $seconds
check "--count ends it after so many" wait $count
check "…and no more than that" test "$(of count captured) $(seen "$work/count.pcap")" = "1000 1000"
check "--rotate-mib makes numbered files ($(of rows files)), none of them larger" \
    test "$(of rows files)" -gt 3 -a "$(find "$work" -name 'row-0000?.pcap' -size -1025k | wc -l)" = "$(of rows files)"
check "which have everything between them" test "$(seen "$work"/row-*.pcap)" = "$(of rows captured)"
check "--rotate-seconds makes some, too" test "$(of seconds files)" -gt 2 -a "$(seen "$work"/second-*.pcap)" = "$(of seconds captured)"
began=$SECONDS
check "--seconds ends it" sh -c "$capture --write '$work/short.pcap' --seconds 1 >/dev/null 2>&1"
check "…soon" test $((SECONDS - began)) -le 10

# --- Alone, on an interface
capturing wire $in_cl "$sluice" capture --json --interface sl-cl --write "$work/alone.pcap" --filter 'udp dst port 9999'
$in_cl python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(500): s.sendto(b"%d" % n, ("10.77.0.1", 9999)); s.sendto(b"other", ("10.77.0.1", 9998))'
kill $capturing
wait $capturing
check "an interface is captured by itself, with a filter, nothing lost" \
    test "$(of wire captured) $(of wire lost) $(seen "$work/alone.pcap" --to 9999)" = "500 0 500"
check "no warning where no XDP program is" sh -c "! grep -q warning '$work/wire.err'"
if on_dpdk; then
    skip "on the gateway's interface it says that --config is what is wanted: no program takes the packets there"
else
    capturing gate $in_gw "$sluice" capture --json --interface sl-gw --write "$work/gate.pcap"
    load --rate 5000 --count 2000
    kill $capturing
    wait $capturing
    check "on the gateway's interface it says that --config is what is wanted" grep -q 'warning: .*XDP.*--config' "$work/gate.err"
    check "and so it is: no order is seen there" test "$(seen "$work/gate.pcap" --to 26400)" = 0
fi

# --- The end of a gateway, and the next one
capturing last $capture --write "$work/last.pcap"
kill -9 $gateway_pid
wait $gateway_pid 2>/dev/null
gateway_pid=
check "a capture ends in order when the gateway is killed" wait $capturing
check "and says so" test "$(of last gateway_ended)" = True
# refused NAME PATTERN COMMAND…
refused() {
    local name=$1 pattern=$2
    shift 2
    timeout 20 "$@" >/dev/null 2>"$work/err"
    local status=$?
    if [ $status != 0 ] && [ $status != 124 ] && [ "$(wc -l <"$work/err")" -le 2 ] && grep -qE "^sluice: .*$pattern" "$work/err"; then
        ok "$name"
    else
        fail "$name: status $status: $(cat "$work/err")"
    fi
}
refused "what a killed gateway left is not captured from" 'no gateway.*was killed' $capture --write "$work/x.pcap"
new_gateway
check "the next gateway replaces it" sh -c "$capture --write '$work/next.pcap' --count 1 >/dev/null 2>&1"
PORT=udp "$root/scripts/lab" config "$work/journal2" | sed 's/"sl-gw"/"lo"/; s/10.77.0.1/127.0.0.1/' >"$work/twin.conf"
refused "a second gateway of the same name is refused" 'same name runs' $in_gw "$sluice" run --config "$work/twin.conf"
refused "a filter that is none" 'capture: --filter "no such"' $capture --write "$work/x.pcap" --filter 'no such'
refused "a file that cannot be made" 'cannot write /nosuch/x.pcap' $capture --write /nosuch/x.pcap
refused "a disk that is full" 'cannot write /dev/full: No space' $capture --write /dev/full
refused "neither a gateway nor an interface" 'usage: sluice capture' "$sluice" capture --write "$work/x.pcap"
refused "both" 'usage: sluice capture' $capture --interface lo --write "$work/x.pcap"
refused "a rotated pipe" 'cannot be rotated' $capture --write - --rotate-mib 1
refused "a count that is none" 'count -3: give a number' $capture --write "$work/x.pcap" --count -3
refused "an interface that is not there" 'nosuch0' "$sluice" capture --interface nosuch0 --write "$work/x.pcap"
gateway_end
refused "a gateway that does not run" 'no gateway "[^"]*" runs here' $capture --write "$work/x.pcap"

# --- Two ports, of two kinds
ip -n "$LAB-gw" link add sl-gw2 type veth peer name sl-cl2 netns "$LAB-cl"
for end in "gw 1" "cl 2"; do
    set -- $end
    ip -n "$LAB-$1" addr add "10.78.0.$2/24" dev "sl-${1}2"
    ip -n "$LAB-$1" link set "sl-${1}2" up
done
python3 - "$work/lab.conf" "$work/two.conf" <<'PYTHON'
import sys
text = open(sys.argv[1]).read()
text = text.replace('idle = "adaptive";\n} );', 'idle = "adaptive";\n}, { type = "udp"; interface = "sl-gw2"; address = "10.78.0.1"; core = 0; idle = "adaptive"; } );', 1)
head, shards = text.split("shards = (")
shards = shards.replace("} );", '}, { port = 1; udp_port = 26500; feed_group = "239.77.0.2"; feed_port = 26577; } );', 1)
open(sys.argv[2], "w").write(head + "shards = (" + shards.replace('"AMZN"; shard = 0', '"AMZN"; shard = 1'))
PYTHON
new_gateway "$work/two.conf"
capturing two "$sluice" capture --json --config "$work/two.conf" --write "$work/two.pcap"
two=$capturing
load --rate 5000 --count 10000 --symbol ACME &
first=$!
$in_cl "$sluice" load --to 10.78.0.1:26500 --user LOAD2:SECRET --user LOAD3:SECRET --rate 5000 --count 10000 --symbol AMZN >/dev/null 2>&1
wait $first
gateway_end || fail "the gateway stops with status 0"
wait $two
received=$(($(message stopped ports 0 packets received) + $(message stopped ports 1 packets received)))
check "two ports are captured at once, whatever their kind" test "$(of two received) $(of two lost)" = "$received 0"
check "by time" python3 "$here/capture.py" merged "$work/two.pcap" 26400 26500
finish
