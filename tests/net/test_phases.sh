#!/bin/bash
# A day of phases and crosses on real packets, told alike by answers and feed; and its journal replays to the same state.
. "$(dirname "$0")/lib.sh"
lab_up
sed -i 's|^control = .*|control = { socket = "'"$work"'/ctl"; };|' "$work/lab.conf"
sed -i 's/symbol = "ACME";/& reference = "50.00";/' "$work/lab.conf"
echo 'pause = 3;' >>"$work/lab.conf"
gateway_start || exit 1
client phases.py --config "$work/lab.conf" --sluice "$sluice" --user LOAD0:SECRET --user LOAD1:SECRET
gateway_end || fail "the gateway stops with status 0"
check "the journal replays to the gateway's state" test "$(replay | field state_hash)" = "$(message stopped shards 0 state_hash)"
"$sluice" journal dump "$work/journal/shard-0" >"$work/dump"
check "who changed a phase is journaled" grep -q 'trading instrument 0 state O by uid 0, pid' "$work/dump"
check "a pause ends by a command of the journal" grep -q 'trading instrument 0 state T from P by pause' "$work/dump"

# A pause, and a halt after one, when the gateway is killed: the pause lasts its seconds from the start on, the halt stays.
rm -rf "$work/journal"
gateway_start || fail "the gateway starts again"
for step in paused:ACME paused:AMZN halted:AMZN; do
    "$sluice" ctl --config "$work/lab.conf" phase "${step%:*}" "${step#*:}" >/dev/null || fail "ctl phase $step"
done
gateway_end KILL
gateway_start || fail "the gateway starts again"
sleep 5
gateway_end || fail "the gateway stops with status 0"
"$sluice" journal dump "$work/journal/shard-0" >"$work/dump"
check "after a start the pause ends once, the halt does not" \
    test "$(grep 'by pause' "$work/dump" | grep -o 'instrument . state . from .')" = "instrument 0 state T from P"

# The calendar: what is past at a day's beginning is gone through, what is to come comes, and nothing comes twice.
rm -rf "$work/journal"
[ "$(date +%H:%M)" != 23:59 ] || sleep 60
cat >>"$work/lab.conf" <<CALENDAR
calendar = (
    { at = "00:00:00"; phase = "preopen"; },
    { at = "$(date -d '+3 seconds' +%H:%M:%S)"; phase = "trading"; symbol = "ACME"; },
    { at = "23:59:59"; phase = "closed"; }
);
CALENDAR
gateway_start || fail "the gateway starts with a calendar"
sleep 6
gateway_end KILL
gateway_start || fail "the gateway starts again"
sleep 2
gateway_end || fail "the gateway stops with status 0"
"$sluice" journal dump "$work/journal/shard-0" >"$work/dump"
check "the calendar's phases come once each, in time" \
    test "$(grep -o 'state . by calendar' "$work/dump" | tr -d '\n')" = "state O by calendarstate T by calendar"

# What is due at a start is done before anybody is let in. Orders of the first second used to trade in the open.
rm -rf "$work/journal"
sed -i 's|at = "[^"]*"; phase = "trading"|at = "23:59:58"; phase = "closed"|' "$work/lab.conf"
sed -i 's|; symbol = "ACME"; },|; },|' "$work/lab.conf"
orders() { $in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD0:SECRET --user LOAD1:SECRET --count 100 >/dev/null 2>&1; }
gateway_start || fail "the gateway starts before the opening"
orders
gateway_end KILL
sed -i "s|23:59:58|$(date +%H:%M:%S)|" "$work/lab.conf"
gateway_start || fail "the gateway starts after the close"
orders
gateway_end || fail "the gateway stops with status 0"
"$sluice" journal dump "$work/journal/shard-0" >"$work/dump"
check "what is due at a start comes before the first order" \
    test "$(grep -oE ' enter |state . by calendar' "$work/dump" | uniq | tr -d '\n')" = "state O by calendar enter state C by calendar enter "
sed -i 's|"23:59:59"|"00:00:01"|' "$work/lab.conf"
if gateway_start 2>"$work/refused"; then fail "a calendar out of order is refused"; else
    check "a calendar out of order is refused in a line" grep -q 'lab.conf:[0-9]*: .*in order of time' "$work/refused"
fi
finish
