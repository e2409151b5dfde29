#!/bin/bash
# Stopping: SIGTERM drains; the log is clean; a restart, and a replay, give the same state. SIGUSR2 ends the day.
# alone: it times the start
. "$(dirname "$0")/lib.sh"
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
if on_dpdk; then
    skip "it is ready in under a second: DPDK loads each of its drivers first"
else
    check "it is ready in under a second" python3 -c "import sys; sys.exit(not $(message ready seconds) < 1.0)"
fi
$in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --rate 20000 --count 400000 \
    >"$work/load.log" 2>&1 &
load_pid=$!
sleep 3
gateway_end
check "SIGTERM under load ends with status 0" test $? = 0
kill $load_pid 2>/dev/null
wait $load_pid 2>/dev/null
hash=$(message stopped shards 0 state_hash)
commands=$(message stopped shards 0 commands)
check "the log is marked complete" test "$("$sluice" journal stat --json "$work/journal/shard-0" | field clean)" = True
check "thousands of commands were taken ($commands)" test "$commands" -gt 10000
check "everything taken is durable" test "$(message stopped shards 0 durable_seq)" = "$commands"
check "a replay gives the same state" test "$(replay | field state_hash)" = "$hash"
check "everything that was decided was sent" \
    test "$(message stopped shards 0 events_released)" = "$(replay | field events)"

gateway_start || { fail "the gateway starts again"; exit 1; }
check "a restart finds every command" test "$(message ready shards 0 recovered)" = "$commands"
check "a restart finds the same state" test "$(message ready shards 0 recovered_hash)" = "$hash"

$in_cl python3 "$here/end_of_day.py" >"$work/end.log" 2>&1 &
end_pid=$!
for _ in $(seq 100); do grep -q '^ready' "$work/end.log" && break; sleep 0.1; done
kill -USR2 $gateway_pid
wait $end_pid || { fail "end_of_day.py: exit status"; tail -n 3 "$work/end.log"; }
grep -E '^(ok|FAIL)' "$work/end.log" || cat "$work/end.log"
gateway_end
check "after the day's end no order rests" test "$(message stopped shards 0 resting_orders)" = 0
finish
