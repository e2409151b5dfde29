#!/bin/bash
# Of the passwords that UFO sends in clear nothing stays in the gateway: its memory is searched.
. "$(dirname "$0")/lib.sh"
lab_up
line=$(echo Zk8wPq3xVn | "$sluice" hash-password)
searched() { # TYPE
    sed "s|user = \"LOAD7\"; password_hash = \"[^\"]*\";|user = \"LOAD7\"; $line|
        s/type = \"xdp\"/type = \"$1\"/; s/limits = {/& login_rate = 0;/" "$work/lab.conf" >"$work/$1.conf"
    rm -rf "$work/journal"
    gateway_start "$work/$1.conf" || { fail "the gateway starts"; return; }
    client password.py --pid $gateway_pid --user LOAD7:Zk8wPq3xVn
    check "type $1: no password is found" test $? = 0
    gateway_end || fail "the gateway stops with status 0"
    check "and logins were refused" test "$(message stopped shards 0 entry datagrams login_refused)" -gt 0
}
if on_dpdk; then searched dpdk; else for type in xdp udp; do searched $type; done; fi
finish
