#!/bin/bash
# A gateway whose host's wall clock runs away from it, by 4 ms a second: it follows by 500 us a second. Where the
# configuration says how far it may be from UTC that is told, and trading halted, once; elsewhere it trades.
. "$(dirname "$0")/lib.sh"
lab_up
faketime=$(echo /usr/lib/*/faketime/libfaketime.so.1)
export FAKETIME="+0 x1.004" DONT_FAKE_MONOTONIC=1
start() {
    local in_gw="$in_gw env LD_PRELOAD=$faketime"
    gateway_start || { fail "the gateway starts"; exit 1; }
}
ctl() { "$sluice" ctl --config "$work/lab.conf" "$@"; }
# order accepted|REASON: an order, and whether it is answered so.
order() { $in_cl "${python:-python3}" "$here/order.py" "$1" --user LOAD0:SECRET >"$work/order.log" 2>&1 || ! cat "$work/order.log"; }
told() { grep -cE "^sluice: warning: clock: $1" "$work/gateway.err"; }
# told_within SECONDS PATTERN
told_within() {
    for _ in $(seq $(($1 * 10))); do [ "$(told "$2")" = 0 ] || return 0; sleep 0.1; done
    return 1
}
journaled() { "$sluice" journal dump "$work/journal/shard-0" | grep -oE 'instrument .* state [HR] by (clock|uid)'; }
from_host_ns() { ctl --json stats | python3 -c 'import json,sys; print(json.load(sys.stdin)["stats"]["clock"]["from_host_ns"])'; }

start
sleep 3
check "without limits it trades" order accepted
off_ns=$(from_host_ns)
# 3.5 ms more each second, of which a slow start and a late look may have made some more.
check "it follows its host's clock and counts what is left ($off_ns ns)" test "$off_ns" -lt -5000000
check "says nothing of it" test "$(told '.*(UTC|stee)')" = 0
gateway_end || fail "the gateway stops with status 0"
check "and halts nothing" test -z "$(journaled)"

rm -rf "$work/journal"
echo 'clock = { alarm_us = 100; halt_us = 1000; };' >>"$work/lab.conf"
start
check "with limits it says that it is too far from UTC" told_within 5 '[0-9]+ us from UTC, more than alarm_us = 100: [0-9]+ us behind the host'
check "and that all is halted" told_within 5 '[0-9]+ us from UTC, more than halt_us = 1000: all instruments are halted, until .sluice ctl resume.$'
check "an order is rejected as in a halt" order 0x07
check "an operator resumes" ctl resume
sleep 2.5
check "which is not undone while the clock is still wrong" order accepted
check "each was said once" test "$(told '.*alarm_us') $(told '.*halt_us')" = "1 1"
check "counters are printed for people" grep -qE '^ +from_host_ns: -[0-9]+$' <(ctl stats)
gateway_end || fail "the gateway stops with status 0"
check "the halt is journaled, and who ended it" test "$(journaled)" = "instrument 65535 state H by clock
instrument 65535 state R by uid"
check "the journal replays to the gateway's state" test "$(replay | field state_hash)" = "$(message stopped shards 0 state_hash)"

# With its host's clock as it is: what nobody steers is told of and halts nothing.
rm -rf "$work/journal"
unset FAKETIME
sed -i 's/alarm_us = 100; halt_us = 1000;/alarm_us = 1000000;/' "$work/lab.conf"
gateway_start || fail "the gateway starts"
sleep 1.5
check "a clock that is followed well lets trade" order accepted
unknown=$(ctl --json stats | python3 -c 'import json,sys; print(int(json.load(sys.stdin)["stats"]["clock"]["estimated_ns"] is None))')
check "what is not known of the host's is told of" test "$(told 'how far the host.s is from UTC is not known')" = "$unknown"
gateway_end || fail "the gateway stops with status 0"
check "and halts nothing" test -z "$(journaled)"
finish
