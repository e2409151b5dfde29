#!/bin/bash
# Of the passwords that UFO sends in clear nothing stays in the gateway: its memory is searched.
. "$(dirname "$0")/lib.sh"
lab_up
line=$(echo Zk8wPq3xVn | "$sluice" hash-password)
searched() { # TYPE
    sed "s|\(user = \"LOAD[67]\";\) password_hash = \"[^\"]*\";|\1 $line|
        s/type = \"xdp\"/type = \"$1\"/; s/limits = {/& login_rate = 0;/" "$work/lab.conf" >"$work/$1.conf"
    rm -rf "$work/journal"
    gateway_start "$work/$1.conf" || { fail "the gateway starts"; return; }
    client password.py --pid $gateway_pid --user LOAD7:Zk8wPq3xVn
    check "type $1: no password is found" test $? = 0
    "$sluice" capture --json --config "$work/$1.conf" --write /dev/null >"$work/capture.json" 2>"$work/capture.err" &
    capturing=$!
    for _ in $(seq 100); do grep -q capturing "$work/capture.err" && break; sleep 0.05; done
    client password.py --pid $gateway_pid --user LOAD6:Zk8wPq3xVn --capture $capturing
    check "nor once a capture has ended" test $? = 0
    check "which ended well" wait $capturing
    gateway_end || fail "the gateway stops with status 0"
    check "and logins were refused" test "$(message stopped shards 0 entry datagrams login_refused)" -gt 0
}
if on_dpdk; then searched dpdk; else for type in xdp udp; do searched $type; done; fi
finish
