#!/bin/bash
# kill -9 twenty times under load: nothing that was acknowledged is lost, nothing executes twice, and each recovery
# comes to the state that an independent replay of the journal comes to.
. "$(dirname "$0")/lib.sh"
kills=${KILLS:-20}
export SEGMENT_MIB=4 SNAPSHOT_EVERY=1000
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
$in_cl python3 "$here/kill9.py" --seed "${SEED:-$RANDOM}" --user LOAD0:SECRET --user LOAD1:SECRET --user LOAD2:SECRET \
    >"$work/kill9.log" 2>&1 &
client=$!
for _ in $(seq 600); do # outages are its subject from then on
    ! grep -q '^all have logged in' "$work/kill9.log" || break
    sleep 0.1
done
unequal=0 restarts=0 from_snapshot=0
for _ in $(seq "$kills"); do
    sleep 0.$((RANDOM % 9 + 1))
    sleep 0.7
    gateway_end KILL
    replayed=$(replay | field state_hash)
    gateway_start || { fail "the gateway starts after a kill: $(cat "$work/gateway.err")"; break; }
    restarts=$((restarts + 1))
    [ "$(message ready shards 0 snapshot)" = 0 ] || from_snapshot=$((from_snapshot + 1))
    recovered=$(message ready shards 0 recovered_hash)
    [ "$recovered" = "$replayed" ] || { unequal=$((unequal + 1)); echo "note recovered $recovered, replayed $replayed"; }
done
sleep 2
kill -TERM $client
wait $client
status=$?
gateway_end
commands=$(message stopped shards 0 commands)
check "$restarts kills, $restarts recoveries" test $restarts = "$kills"
check "each recovery is the replay's state" test $unequal = 0
check "recoveries began from a snapshot" test $from_snapshot -gt $((kills / 2))
echo "note $from_snapshot of $kills recoveries began from a snapshot"
tail -n 12 "$work/kill9.log" | sed 's/^/note /'
check "the client finds nothing acknowledged missing and nothing executed twice ($commands commands)" test $status = 0
check "thousands of commands were taken" test "$commands" -gt 2000
finish
