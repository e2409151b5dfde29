#!/bin/bash
# Interfaces with several queues, and interfaces to which something happens: links go down and come up, queues are
# added underneath, the device is removed.
. "$(dirname "$0")/lib.sh"
export QUEUES=2
lab_up
load() { # PORT RATE COUNT [SYMBOL [USER …]]
    local port=$1 rate=$2 count=$3 symbol=${4:-ACME} users=()
    for user in "${@:5}"; do users+=(--user "$user:SECRET"); done
    [ $# -gt 4 ] || users=(--user LOAD0:SECRET --user LOAD1:SECRET)
    $in_cl ${pinned:-} "$sluice" load --to "10.77.0.1:$port" --symbol "$symbol" "${users[@]}" --rate "$rate" --count "$count" \
        >"$work/load-$port-$symbol.log" 2>&1
}
told() { grep -q "$1" "$work/gateway.err"; }
soon() { for _ in $(seq 40); do told "$1" && return; sleep 0.1; done; false; }
received_on() { $in_gw ethtool -S sl-gw | sed -n "s/ *rx_queue_$1_xdp_packets: //p"; }
replays() { test "$(replay "$work/journal/shard-${1:-0}" | field state_hash)" = "$(message stopped shards "${1:-0}" state_hash)"; }
steered() { test "$(message stopped ports 0 xdp redirect)" = "$(message stopped ports 0 packets received)"; }

# Here it is the sender that chooses the queue: its kernel sends by the queue of the core that the sender runs on
# (XPS), and a veth's queue is the same on both ends.
by_core() { for queue in 0 1; do $in_cl sh -c "echo $((queue + 1)) >/sys/class/net/sl-cl/queues/tx-$queue/xps_cpus"; done; }
by_core

# One port, two queues, one thread that serves both.
gateway_start || exit 1
pinned="taskset -c 0" load 26400 10000 30000 ACME LOAD0 LOAD1 & first=$!
pinned="taskset -c 1" load 26400 10000 30000 AMZN LOAD2 LOAD3 & second=$!
wait $first
check "orders that arrive on one of two queues of a port are all accounted for" test $? = 0
wait $second
check "and those that arrive on the other" test $? = 0
if on_dpdk; then
    skip "what each queue brought: the kernel spreads flows over a device's queues, and counts none of them"
    gateway_end
else
    for queue in 0 1; do
        check "queue $queue brought a share of them ($(received_on $queue))" test "$(received_on $queue)" -gt 500
    done
    gateway_end
    check "what was steered was received" steered
fi
check "its journal replays to its state" replays

# The link goes down under load, and comes up again.
rm -rf "$work/journal"
gateway_start || exit 1
load 26400 10000 60000 & load_pid=$!
sleep 1.5
ip -n "$LAB-cl" link set sl-cl down
if on_dpdk; then sleep 1; else check "a link that goes down is told of" soon 'sl-gw: the link is down'; fi
ip -n "$LAB-cl" link set sl-cl up
ip -n "$LAB-cl" neigh replace 10.77.0.1 lladdr 02:00:0a:4d:00:01 dev sl-cl nud permanent
ip -n "$LAB-cl" route replace 224.0.0.0/4 dev sl-cl
if on_dpdk; then sleep 1; else check "and one that is up again" soon 'sl-gw: the link is up again'; fi
wait $load_pid
load 26400 10000 20000
check "after it, every order of a new client is accounted for" test $? = 0
check "the gateway ends in order" gateway_end
check "and its journal replays to its state" replays

if on_dpdk; then
    skip "a link that is told of, a removed device, added queues, two ports on an interface, busy polling: AF_XDP's"
    finish
    exit
fi

# Two ports on one interface, a queue each.
python3 - "$work/lab.conf" "$work/two.conf" "$(($(nproc) - 1))" <<'PYTHON'
import re, sys
text = open(sys.argv[1]).read()
port = re.search(r"ports = \( (\{.*?\}) \);", text, re.S).group(1)
both = ", ".join(port.replace("[ 0,1 ]", f"[ {queue} ]").replace(" core = 0;", f" core = {core};")
                 for queue, core in ((0, 0), (1, sys.argv[3])))
text = text.replace(port, both)
text = re.sub(r'journal_core = \d+;\n\} \);', '} , { port = 1; udp_port = 26500; feed_group = "239.77.0.2"; feed_port = 26477; } );', text)
open(sys.argv[2], "w").write(text.replace('"AMZN"; shard = 0', '"AMZN"; shard = 1'))
PYTHON
rm -rf "$work/journal"
gateway_start "$work/two.conf" || exit 1
pinned="taskset -c 0" load 26400 10000 30000 ACME & first=$!
pinned="taskset -c 1" load 26500 10000 30000 AMZN & second=$!
wait $first
check "two ports share an interface, a queue each: the first one's orders" test $? = 0
wait $second
check "and the second one's" test $? = 0
$in_cl timeout 3 taskset -c 1 "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --rate 1000 --count 100 >/dev/null 2>&1
check "orders on another port's queue are told of, with the remedy" soon 'arrived on queues that its port does not take; `sluice configure init`'
gateway_end
for shard in 0 1; do check "shard $shard's journal replays to its state" replays $shard; done
check "they are counted" test "$(message stopped ports 0 xdp drop_queue)" -gt 0

# Queues are added, and the device is removed, under a running gateway.
export QUEUES=4
"$root/scripts/lab" up
$in_cl ethtool -L sl-cl rx 2 tx 2
$in_gw ethtool -L sl-gw rx 2 tx 2
rm -rf "$work/journal"
gateway_start || exit 1 # on queues 0 and 1
load 26400 10000 20000 || fail "a load before it"
$in_gw ethtool -L sl-gw rx 1 tx 1 2>"$work/ethtool.err"
check "the kernel keeps the queues that are in use" grep -qi 'invalid\|busy\|too low' "$work/ethtool.err"
$in_gw ethtool -L sl-gw rx 4 tx 4
check "queues that are added underneath are told of" soon 'sl-gw has 4 receive queues now, and had 2'
load 26400 10000 20000
check "while the clients' flows stay, nothing is lost" test $? = 0
ip -n "$LAB-gw" link del sl-gw
for _ in $(seq 150); do kill -0 "$gateway_pid" 2>/dev/null || break; sleep 0.1; done
wait "$gateway_pid"
check "a device that is removed ends the gateway, with status 1" test $? = 1
gateway_pid=
check "which says so" told 'sl-gw is gone'
check "in order: the log is marked complete" test "$("$sluice" journal stat --json "$work/journal/shard-0" | field clean)" = True
check "and replays to its state" replays

# Busy polling.
export QUEUES=2 POLL=busy
lab_up
rm -rf "$work/journal"
gateway_start || exit 1
check "with poll = \"busy\" the kernel leaves the queues to the port" \
    test "$(message ready ports 0 mode)" = "copy, busy polling"
check "every order is accounted for" load 26400 20000 60000
gateway_end
check "and the journal replays to its state" replays
finish
