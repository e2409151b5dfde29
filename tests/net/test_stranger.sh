#!/bin/bash
# What must not be heard is not: strangers' orders, spoofed logins and requests, another Ethernet address, a session
# beyond its rate.
# The XDP program drops it, and a session that behaves loses nothing by it.
# alone: it counts what a rate lets in while the host is busy
. "$(dirname "$0")/lib.sh"
# One each: who finds others' orders in its book complains.
export SYMBOLS="ACME QUIET AFTER session1 session2 session3 logins1 logins2 logins3 orders1 orders2 orders3 \
request1 request2 request3"
lab_up
sed -i 's/orders = 1000000;/& login_rate = 100; login_burst = 100; request_rate = 100; request_burst = 100; session_rate = 2000; session_burst = 2000; pin_mac = "on";/' \
    "$work/lab.conf"
gateway_start || { fail "the gateway starts"; exit 1; }
load() { # USER SYMBOL RATE COUNT
    $in_cl "$sluice" load --to 10.77.0.1:26400 --user "$1:SECRET" --symbol "$2" --rate "$3" --count "$4" --json \
        >"$work/$2.json" 2>"$work/$2.err"
}
stranger() { $in_cl python3 "$here/stranger.py" "$@"; }
p99() { python3 -c 'import json,sys; print(round(json.load(open(sys.argv[1]))["latency_ns"]["p99"] / 1000))' "$work/$1.json"; }

refused_by_wire() { $in_cl cat /sys/class/net/sl-cl/statistics/tx_dropped; }
sum() { sed -n "s/.*\"$2\": \([0-9]*\).*/\1/p" "$work/$1.log" | awk '{sum += $1} END {print sum + 0}'; }

# behaves NAME WHAT: a session at half its rate loses nothing meanwhile. Where the wire itself had no room for its packets
# that says nothing, and it is tried again.
behaves() {
    local round good status before own
    for round in 1 2 3; do
        before=$(($(refused_by_wire) - $(sum "$2" full)))
        load LOAD0 "$2$round" 1000 4000 & good=$!
        sleep 2 # it has logged in
        stranger "$2" --user "LOAD$((4 + round)):SECRET" --seconds 2 >>"$work/$2.log" 2>&1 || { fail "stranger.py $2"; tail -n 5 "$work/$2.log"; }
        wait $good
        status=$?
        own=$(($(refused_by_wire) - $(sum "$2" full) - before))
        [ "$own" -gt 0 ] || break
        echo "note the wire had no room for $own packets of the session"
    done
    check "$1" test $status = 0 -a "$own" = 0
    [ $status = 0 ] || tail -n 3 "$work/$2$round.err"
    echo "note its p99 is $(p99 "$2$round") us, and $(p99 QUIET) us when it is quiet"
}

check "a session at half its rate loses nothing" load LOAD0 QUIET 1000 4000
touch "$work"/{session,logins,orders,request}.log
behaves "nor while another sends fifty times its rate" session
behaves "nor while logins are spoofed" logins
behaves "nor while strangers send orders" orders
behaves "nor while the feed's messages are requested in others' names" request
check "a client can log in afterwards" load LOAD2 AFTER 1000 1000
if on_dpdk; then
    skip "what the XDP program drops, and a pinned Ethernet address: a DPDK device has no XDP program, as sluice check says"
    gateway_end || fail "the gateway stops with status 0"
    finish
    exit
fi
client stranger.py mac --user LOAD4:SECRET
gateway_end || fail "the gateway stops with status 0"

dropped() { message stopped ports 0 xdp "drop_$1"; }
# judged NAME WHAT VERDICT LET-IN: all that was sent was dropped, but for so much that is let in at most.
judged() {
    local sent dropped
    sent=$(sum "$2" sent) dropped=$(dropped "$3")
    check "$1 ($dropped of $sent)" test "$dropped" -le "$sent" -a "$dropped" -ge $((sent - $4))
}
rounds() { grep -c sent "$work/$1.log"; }
# A meter lets in its burst, and its rate for as long as the program ran: the two seconds, or three where the host is busy.
judged "what is beyond a session's rate was dropped, and counted" session session_rate $(((2000 + 3 * 2000) * $(rounds session)))
judged "and what is beyond the rate of logins" logins login_rate $(((100 + 3 * 100) * $(rounds logins)))
judged "and what is beyond the rate of requests" request request_rate $(((100 + 3 * 100) * $(rounds request)))
judged "strangers' orders were, all of them" orders not_bound 0
judged "and all from other Ethernet addresses" stranger wrong_mac 0
refused=$(message stopped shards 0 entry datagrams login_refused)
check "the logins that were let in were refused ($refused)" test "$refused" = $(($(sum logins sent) - $(dropped login_rate)))
check "the feed saw the requests that were let in" test "$(message stopped shards 0 feed requests)" = \
    $(($(sum request sent) - $(dropped request_rate)))
check "order entry saw no stranger" test "$(message stopped shards 0 entry datagrams not_bound)" = 0
check "all that was redirected was received" test "$(message stopped ports 0 xdp redirect)" = "$(message stopped ports 0 packets received)"
finish
