#!/bin/bash
# A start on a later date than that of the day that has ended puts it aside and begins another; on the same date, or
# where the day has not ended, it does not.
. "$(dirname "$0")/lib.sh"
[ "$(date +%H%M)" != 2359 ] || sleep 60 # all starts but those of two days ago are to be on one date
lab_up
step() { client next_day.py "$1" --user LOAD0:SECRET --user LOAD1:SECRET --session "$work/session" --pid $gateway_pid; }
start() { gateway_start "$@" || { fail "the gateway starts"; exit 1; }; }
faketime=$(echo /usr/lib/*/faketime/libfaketime.so.1)
two_days_ago() {
    local in_gw="$in_gw env LD_PRELOAD=$faketime FAKETIME=-2d DONT_FAKE_MONOTONIC=1"
    start "$@"
}
told() { check "it is told: $1" grep -q "$2" "$work/gateway.err"; }
began=$(date -d '2 days ago' +%F)

two_days_ago
step leave
step end
gateway_end || fail "the gateway stops with status 0"
hash=$(message stopped shards 0 state_hash)
ended=$(cat "$work/session") aside=$work/journal/shard-0-$ended

mkdir -p "$aside/something"
check "where the folder's new name is taken the start is refused" test "$(start 2>&1 | grep -c "cannot be put aside as $aside: Directory not empty; see that")" = 1
rm -r "$aside"
sed -i -e '/"AMZN"/d' -e '/"LOAD9"/d' "$work/lab.conf" # neither is needed once the day is over
start
told "the day is put aside" "shard 0: the day of $began has ended and is put aside as $aside; another begins"
check "the folder put aside replays to the state at the stop" test "$(replay "$aside" | field state_hash)" = "$hash"
"$sluice" journal verify "$aside" >"$work/verify"
check "it is verified" test $? = 0
step begin
step leave
gateway_end || fail "the gateway stops with status 0"
start
step go_on
step end
gateway_end
start
step refused
told "the day has ended, and what begins another" 'shard 0: the trading day in this journal has ended: .* later date'
check "nothing more is put aside" test "$(ls "$work/journal")" = "shard-0
shard-0-$ended"
gateway_end

# A day that has not ended.
rm -rf "$work/journal"
"$root/scripts/lab" config "$work/journal" >"$work/lab.conf"
two_days_ago
step leave
gateway_end
hash=$(message stopped shards 0 state_hash)
start
told "an earlier day goes on" "shard 0: its day of $began has not ended and goes on, as session $(cat "$work/session"): .sluice ctl close-day"
check "it goes on" test "$(message ready shards 0 session) $(message ready shards 0 recovered_hash)" = "$(cat "$work/session") $hash"
gateway_end
check "with the order that was left" test "$(message stopped shards 0 resting_orders)" = 1

# Two shards, the first of which has been put aside before a crash.
rm -rf "$work/journal"
python3 - "$work/lab.conf" "$work/two.conf" <<'PYTHON'
import sys
head, shards = open(sys.argv[1]).read().split("shards = (")
shards = shards.replace("} );", '}, { port = 0; udp_port = 26500; feed_group = "239.77.0.2"; feed_port = 26477; } );', 1)
open(sys.argv[2], "w").write(head + "shards = (" + shards.replace('"AMZN"; shard = 0', '"AMZN"; shard = 1'))
PYTHON
sessions() { message ready shards 0 session; message ready shards 1 session; }
two_days_ago "$work/two.conf"
check "the day ends" "$sluice" ctl --config "$work/two.conf" close-day
before=$(sessions)
gateway_end
mv "$work/journal/shard-0" "$work/journal/shard-0-$(message ready shards 0 session)"
start "$work/two.conf"
check "both shards begin a day" test "$(message ready shards 0 recovered) $(message ready shards 1 recovered)" = "0 0"
check "in sessions of their own" test -z "$(comm -12 <(sort <<<"$before") <(sessions | sort))"
check "the second is put aside as the first was" test "$(ls "$work/journal")" = "$(printf 'shard-%s\n' 0 "0-${before%$'\n'*}" 1 "1-${before#*$'\n'}")"
gateway_end

# One day goes on beside another that has ended.
rm -rf "$work/journal"
two_days_ago "$work/two.conf"
gateway_end
cp -r "$work/journal/shard-1" "$work/goes-on"
two_days_ago "$work/two.conf"
check "the day ends for both" "$sluice" ctl --config "$work/two.conf" close-day
gateway_end
rm -r "$work/journal/shard-1"
mv "$work/goes-on" "$work/journal/shard-1"
start "$work/two.conf"
check "while a shard's day goes on none is put aside" test "$(ls "$work/journal" | tr '\n' ' ')" = "shard-0 shard-1 "
told "a shard refuses" 'shard 0: the trading day in this journal has ended'
told "the other goes on" 'shard 1: its day of .* goes on'
gateway_end
finish
