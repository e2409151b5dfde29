#!/bin/bash
# sluice load --interface: over an AF_XDP port of its own it trades as over sockets, keeps out what is not the venue's, and
# leaves nothing on the interface.
# shellcheck disable=SC2016,SC2034 # what is to hold is evaluated by check
. "$(dirname "$0")/lib.sh"
not_on_dpdk "AF_XDP at both ends"
export QUEUES=2
load=("$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --user LOAD2:SECRET --json)
# of FILE EXPRESSION: what holds of a report, `r`.
of() { python3 -c "import json, sys; r = json.load(open(sys.argv[1])); assert $2, r" "$1"; }
bare() { ! ip -n "$LAB-cl" link show sl-cl | grep -q xdp; }
# refused NAME PATTERN OPTION…: one line that fits, and status 1.
refused() {
    local name=$1 pattern=$2 status
    shift 2
    $in_cl "${load[@]}" --count 10 "$@" >/dev/null 2>"$work/err"
    status=$?
    grep -v '^sluice: warning:' "$work/err" >"$work/lines"
    check "$name" eval '[ $status = 1 ] && [ "$(wc -l <"$work/lines")" = 1 ] && grep -qE -- "$pattern" "$work/lines"'
}

for way in sockets xdp; do
    lab_up
    rm -rf "$work/journal"
    gateway_start || exit 1
    [ $way = sockets ] && over=() || over=(--interface sl-cl)
    $in_cl "${load[@]}" "${over[@]}" --rate 0 --count 3000 >"$work/$way.json" || fail "a closed loop over $way"
    [ $way = xdp ] || gateway_end
done
check "which of the two it was is said" \
    eval "of '$work/sockets.json' 'r[\"wire\"][\"by\"] == \"sockets\"' && of '$work/xdp.json' 'r[\"wire\"][\"mode\"] == \"copy\"'"
check "the same trades over AF_XDP as over sockets" of "$work/xdp.json" \
    "[(r[k], s[k]) for s in [json.load(open('$work/sockets.json'))] for k in ('enters', 'cancels', 'replaces', 'orders', 'executions') if r[k] != s[k]] == []"
check "its program is gone when it has ended" bare

$in_cl "${load[@]}" --interface sl-cl --rate 2000 --count 40000 --arrivals poisson --hgrm "$work/hgrm" >"$work/open.json" &
load_pid=$!
until ! bare; do sleep 0.1; done
ok "its program is on the interface meanwhile"
sleep 1
# A stranger, and the venue's own address with a checksum that is not right.
port=$($in_cl ss -Hun dst 10.77.0.1:26400 | awk '{split($3, own, ":"); print own[2]; exit}')
$in_gw python3 - "$port" <<'PYTHON'
import socket, struct, sys
port = int(sys.argv[1])
stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.bind(("10.77.0.1", 0))
for _ in range(3):
    stranger.sendto(b"\0\1S", ("10.77.0.2", port))
for _ in range(2):
    raw.sendto(struct.pack(">HHHH", 26400, port, 11, 0xBEEF) + b"\0\1S", ("10.77.0.2", 0))
PYTHON
refused "a second one, naming the first" "another instance of sluice.*held by process $load_pid" --interface sl-cl
wait $load_pid
check "an open loop loses nothing, at random moments, by three sessions" test $? = 0
check "what is not the venue's is dropped and counted" \
    of "$work/open.json" "r['wire'] == {'by': 'AF_XDP', 'mode': 'copy', 'not_sent': 0, 'no_room': 0, 'bad_checksum': 2, 'strangers': 3}"
check "its latencies are a histogram" grep -q 'Total count' "$work/hgrm"
check "a sweep, which opens the port for each rate" eval \
    '$in_cl "${load[@]}" --interface sl-cl --sweep 2000:6000:2000 >"$work/sweep.json"'

# What leaves while the venue's end of the wire is down is dropped by the interface: orders are lost, and it is said where.
$in_cl "${load[@]}" --interface sl-cl --rate 2000 --count 4000 >"$work/down.json" &
load_pid=$!
until ! bare; do sleep 0.1; done
sleep 1
$in_gw ip link set sl-gw down
sleep 0.3
$in_gw ip link set sl-gw up
wait $load_pid
check "lost orders fail the run, and the interface is known to have dropped them" eval \
    "[ $? = 1 ] && of '$work/down.json' '0 < sum(r[k][\"lost\"] for k in (\"enters\", \"cancels\", \"replaces\")) <= r[\"wire\"][\"not_sent\"]'"

# From departure to arrival by the kernel's clock is a part of what the generator sees.
for over in "" "--interface sl-cl"; do
    $in_cl "${load[@]}" $over --rate 0 --count 1000 --stamps kernel >"$work/stamps.json"
    check "the kernel's stamps, and whose they are (${over:-sockets})" of "$work/stamps.json" "r['stamps'] == 'kernel' and \
r['stamped_ns']['count'] > 0.9 * r['enters']['sent'] and 1000 < r['stamped_ns']['p50'] < r['latency_ns']['p50']"
done
check "without, it is the generator's clock" of "$work/open.json" "r['stamps'] == 'software' and 'stamped_ns' not in r"
refused "a NIC's stamps where there is none" "--stamps hardware: sl-cl: it has no clock of its own: --stamps kernel" \
    --interface sl-cl --stamps hardware

$in_cl "${load[@]}" --interface sl-cl --rate 5000 --count 100000 >/dev/null 2>&1 &
load_pid=$!
until ! bare; do sleep 0.1; done
sleep 1
kill -9 $load_pid
wait $load_pid 2>/dev/null
sleep 0.5
check "its program is gone when it was killed" bare
refused "an interface that there is not" 'nope0: No such device' --interface nope0
refused "a port that nobody answers at" 'no answer to the login .* whether it answers by --interface' --interface sl-cl --to 10.77.0.1:9
# Two packets with five minutes between them: AF_XDP without a program.
python3 - "$work/slow.pcap" <<'PYTHON'
import struct, sys
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for second in (0, 300):
        out.write(struct.pack("<IIII", second, 0, 60, 60) + bytes(60))
PYTHON
$in_cl "$sluice" replay --interface sl-cl "$work/slow.pcap" >/dev/null &
replay_pid=$!
sleep 0.5
refused "a queue that another program has" 'sl-cl queue 0: .*another AF_XDP socket holds the queue' --interface sl-cl
kill $replay_pid
gateway_end || fail "the gateway stops with status 0"
QUEUES=17 lab_up
refused "an interface of more queues than a port takes" 'sl-cl has 17 queues.*ethtool -L sl-cl combined 16' --interface sl-cl
finish
