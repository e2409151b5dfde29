#!/bin/bash
# What must not be heard is not: strangers' orders, spoofed logins, another Ethernet address, a session beyond its rate.
# The XDP program drops it, and a session that behaves loses nothing by it.
# alone: it counts what a rate lets in while the host is busy
. "$(dirname "$0")/lib.sh"
export SYMBOLS="ACME QUIET S LOGINS ORDERS AFTER" # one each: who finds others' orders in its book complains
lab_up
sed -i 's/orders = 1000000;/& login_rate = 100; login_burst = 100; session_rate = 2000; session_burst = 200; pin_mac = "on";/' \
    "$work/lab.conf"
gateway_start || { fail "the gateway starts"; exit 1; }
load() { # USER SYMBOL RATE COUNT
    $in_cl "$sluice" load --to 10.77.0.1:26400 --user "$1:SECRET" --symbol "$2" --rate "$3" --count "$4" --json \
        >"$work/$2.json" 2>"$work/$2.err"
}
stranger() { $in_cl python3 "$here/stranger.py" "$@"; }
p99() { python3 -c 'import json,sys; print(round(json.load(open(sys.argv[1]))["latency_ns"]["p99"] / 1000))' "$work/$1.json"; }

# behaves NAME SYMBOL WHAT: a session at half its rate loses nothing meanwhile.
behaves() {
    load LOAD0 "$2" 1000 4000 & local good=$!
    sleep 2 # it has logged in
    stranger "$3" --user LOAD3:SECRET --seconds 2 >"$work/$3.log" 2>&1 || { fail "stranger.py $3"; tail -n 5 "$work/$3.log"; }
    wait $good
    check "$1" test $? = 0
    echo "note its p99 is $(p99 "$2") us, and $(p99 QUIET) us when it is quiet"
}

check "a session at half its rate loses nothing" load LOAD0 QUIET 1000 4000
behaves "nor while another sends as fast as it can" S session
behaves "nor while logins are spoofed" LOGINS logins
behaves "nor while strangers send orders" ORDERS orders
check "a client can log in afterwards" load LOAD2 AFTER 1000 1000
stranger mac --user LOAD4:SECRET >"$work/mac.log" 2>&1
grep -E '^(ok|FAIL)' "$work/mac.log" || { fail "stranger.py mac"; tail -n 5 "$work/mac.log"; }
gateway_end || fail "the gateway stops with status 0"

sent() { sed -n 's/^{"sent": \(.*\)}/\1/p' "$work/$1.log"; }
dropped() { message stopped ports 0 xdp "drop_$1"; }
# judged NAME WHAT VERDICT LET-IN: all that was sent was dropped, but for so much that is let in at most.
judged() {
    local sent dropped
    sent=$(sent "$2") dropped=$(dropped "$3")
    check "$1 ($dropped of $sent)" test "$dropped" -le "$sent" -a "$dropped" -ge $((sent - $4))
}
# A meter lets in its burst, and its rate for as long as the program ran: the two seconds, or three where the host is busy.
judged "what is beyond a session's rate was dropped, and counted" session session_rate $((200 + 3 * 2000))
judged "and what is beyond the rate of logins" logins login_rate $((100 + 3 * 100))
judged "strangers' orders were, all of them" orders not_bound 0
judged "and all from other Ethernet addresses" mac wrong_mac 0
refused=$(message stopped shards 0 entry datagrams login_refused)
check "the logins that were let in were refused ($refused)" test "$refused" = $(($(sent logins) - $(dropped login_rate)))
check "order entry saw no stranger" test "$(message stopped shards 0 entry datagrams not_bound)" = 0
check "all that was redirected was received" test "$(message stopped ports 0 xdp redirect)" = "$(message stopped ports 0 packets received)"
finish
