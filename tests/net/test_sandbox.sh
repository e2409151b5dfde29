#!/bin/bash
# The gateway has nothing to give away: no thread of it has a capability, a file beyond the journal's, or a system call
# that it has no use for; what it has to do, it can. forbidden.c tries from inside.
. "$(dirname "$0")/lib.sh"
shim=$work/forbidden.so
${CC:-cc} -std=gnu17 -Wall -Wextra -Werror -O2 -D_GNU_SOURCE -shared -fPIC "$here/forbidden.c" -o "$shim" ||
    { fail "forbidden.c compiles"; exit 1; }
export SEGMENT_MIB=1 KEEP_SEGMENTS=1 SNAPSHOT_EVERY=5000 HISTORY=65536
lab_up
threads="main journal-0 spares-0 snapshot-0 history-0 loop-0 control logins"
names="control history-0 journal-0 logins loop-0 sluice snapshot-0 spares-0 "
unfiltered="a build with sanitizers"
if on_dpdk; then
    names="control eal-intr-thread ${names#* }"
    unfiltered="drivers that live in the process call what they like"
fi

# each VALUE NAME: all threads have it in /proc/PID/task/*/status.
each() { [ "$(awk -v name="$2:" '$1 == name {print $2}' /proc/$gateway_pid/task/*/status | sort -u)" = "$1" ]; }

gateway_start || { fail "the gateway starts"; exit 1; }
state=$(message ready sandbox)
echo "note in force: $state"
for _ in $(seq 100); do each 2 Seccomp && break; sleep 0.01; done
for set in CapEff CapPrm CapInh CapAmb CapBnd; do
    check "no thread has a capability in its $set" each 0000000000000000 $set
done
check "no thread can have new privileges" each 1 NoNewPrivs
case $state in
*seccomp*)
    check "the system calls of every thread are filtered" each 2 Seccomp
    locked_kib=$(awk '$1 == "VmLck:" {print $2}' /proc/$gateway_pid/status)
    check "it is locked in memory ($locked_kib KiB)" test "$locked_kib" -gt 10000
    ;;
*) skip "filters, and memory that is locked: $unfiltered" ;;
esac
check "its threads still have their names" test \
    "$(cat /proc/$gateway_pid/task/*/comm | sort | tr '\n' ' ')" = "$names"
# Snapshots, new segments, seals, old segments used again, counters, a look at the link, a capture, the end of the day.
"$sluice" capture --config "$work/lab.conf" --write "$work/seen.pcap" >"$work/capture.log" 2>&1 &
capture_pid=$!
trade() {
    $in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --rate 20000 --count "$1" \
        --json >"$work/load.json" 2>"$work/load.err"
}
trade 150000
check "it trades" test "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["enters"]["lost"])' "$work/load.json")" = 0
# The oldest is taken when a spare is wanted, once it is sealed and two snapshots are past it.
for _ in $(seq 20); do [ ! -e "$work/journal/shard-0/segment-0000000000000001" ] && break; trade 20000; done
if on_dpdk; then
    skip "it sees its link go down and come up: net_af_packet tells nobody"
else
    ip -n $LAB-cl link set sl-cl down
    sleep 2.2
    ip -n $LAB-cl link set sl-cl up
    sleep 1.2
    check "it sees its link go down and come up" test \
        "$(grep -c 'the link is down\|the link is up again' "$work/gateway.err")" = 2
fi
check "it takes snapshots" test -n "$(ls "$work"/journal/shard-0/snapshot-*)"
check "it uses old segments again" test ! -e "$work/journal/shard-0/segment-0000000000000001"
kill -USR1 $gateway_pid
kill -USR2 $gateway_pid
sleep 0.5
check "it prints counters" test "$(message counters shards 0 entry datagrams taken)" -gt 100
gateway_end
check "it stops with status 0" test $? = 0
wait $capture_pid
check "what its ports saw was captured" test "$(stat -c %s "$work/seen.pcap")" -gt 1000000
check "its tap is removed" test ! -e "/dev/shm/sluice-$LAB-port0"
check "nothing else was warned of" test -z "$(grep -vE 'the link is|taking normal pages' "$work/gateway.err")"
check "the log is whole" test "$("$sluice" journal stat --json "$work/journal/shard-0" | field clean)" = True

if [[ $state != *seccomp* ]]; then
    skip "attempts from inside: $unfiltered"
    finish
    exit
fi
# Everything in every thread, with a handler that lets it go on.
rm -rf "$work/journal"
export FORBIDDEN_JOURNAL=$work/journal/shard-0
LD_PRELOAD=$shim FORBIDDEN=all gateway_start || { fail "the gateway starts with forbidden.so"; exit 1; }
for _ in $(seq 100); do [ "$(grep -c 'all tried' "$work/gateway.err")" = "$(echo $threads | wc -w)" ] && break; sleep 0.05; done
# outcome THREAD CALL: what came of it.
outcome() { sed -n "s/^forbidden: $1 $2: //p" "$work/gateway.err"; }
# outcomes CALL EXPECTED…: in each thread, in order.
outcomes() {
    local call=$1 found="" thread
    shift
    for thread in $threads; do found+="$(outcome "$thread" "$call") "; done
    [ "$found" = "$* " ] || { echo "$call: $found"; return 1; }
}
for call in execve clone ptrace vm_readv bpf io_uring tcp packet setuid mount unshare kill setown finit_module map_code capset; do
    # shellcheck disable=SC2046 # words
    check "no thread has $call" outcomes $call $(printf "refused %.0s" $threads)
done
check "no thread can steer the clock; main, which asks who does, is told that it may not" \
    outcomes steer_clock EPERM refused refused refused refused refused refused refused
case $state in
*landlock*)
    for call in shadow beside make_beside shm; do
        check "no thread can open what is not the journal's ($call)" outcomes $call EACCES EACCES EACCES EACCES EACCES refused refused refused
    done
    check "all but loops, control and logins can open what is" outcomes journal "done" "done" "done" "done" "done" refused refused refused
    check "nothing was made outside" test ! -e "$work/journal/made"
    ;;
*) skip "files from inside: no landlock in this kernel" ;;
esac
$in_cl python3 "$here/trade.py" --user LOAD0:SECRET --user LOAD1:SECRET >"$work/trade.log" 2>&1
check "it trades on as if nothing had been" test $? = 0
gateway_end || fail "it stops with status 0 after all attempts"

# One attempt, and the gateway's own handler.
execve=$(echo SYS_execve | ${CC:-cc} -E -P -include sys/syscall.h - | tail -n 1)
for thread in $threads; do
    kind=$(case $thread in spares* | snapshot* | history*) echo files ;; *) echo "${thread%-*}" ;; esac)
    {
        timeout 20 $in_gw env LD_PRELOAD="$shim" FORBIDDEN="$thread:execve" \
            "$sluice" run --config "$work/lab.conf" >"$work/attempt.log" 2>"$work/attempt.err"
        status=$?
    } 2>"$work/shell.err" # where the shell says it too
    check "an attempt in $thread ends the gateway with SIGSYS" test $status = 159
    check "and a line that names the thread and the call" grep -q \
        "^sluice: a thread ($kind) made system call $execve, which is not on its list" "$work/attempt.err"
done
gateway_start || fail "it starts again"
check "and nothing was lost" test "$(message ready shards 0 recovered)" -gt 100
gateway_end

# Off, for those who have to look into it.
sed -i '1i sandbox = "off";' "$work/lab.conf"
gateway_start || { fail "the gateway starts with sandbox = \"off\""; exit 1; }
check "sandbox = \"off\" is said" test "$(message ready sandbox)" = off
check "and leaves everything as it was" each 0 Seccomp
gateway_end || fail "it stops with status 0"
finish
