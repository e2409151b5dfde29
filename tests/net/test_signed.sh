#!/bin/bash
# Signed sessions: a client written from docs/signed-sessions.md trades; whatever is changed, sent again, made up or in
# clear is dropped and counted; and a kill -9 loses nothing.
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3 # Debian's, which python3-nacl is for
check "the page's worked example is what its client makes" $python "$here/signed.py" "$root/docs/signed-sessions.md"
lab_up
mkdir "$work/keys"
for name in LOAD8 LOAD9 gateway; do
    "$sluice" make-key "$work/keys/$name.key" >"$work/keys/$name.line" || { fail "a key is made for $name"; exit 1; }
done
for name in LOAD8 LOAD9; do
    line=$(cat "$work/keys/$name.line")
    sed -i "s/user = \"$name\"; password_hash = \"[^\"]*\";/user = \"$name\"; $line/" "$work/lab.conf"
done
# Another session has a password, as the verb hashes it.
line=$(echo Other1 | "$sluice" hash-password)
sed -i "s|user = \"LOAD7\"; password_hash = \"[^\"]*\";|user = \"LOAD7\"; $line|" "$work/lab.conf"
sed -i "1i signing_key = \"$work/keys/gateway.key\";" "$work/lab.conf"
# What strangers send reaches the port here: the program lets no more through than their rate.
sed -i "s/limits = {/& login_rate = 0;/" "$work/lab.conf"
gateway_start || { fail "the gateway starts"; exit 1; }
"$sluice" capture --config "$work/lab.conf" --write "$work/seen.pcap" >"$work/capture.log" 2>&1 &
capture=$!
client signed_trade.py trade --keys "$work/keys"
$in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD7:other1 --rate 1000 --count 100 >"$work/load.log" 2>&1
check "a password that the verb has hashed is taken" test $? = 0
$in_cl "$sluice" load --to 10.77.0.1:26400 --user LOAD7:other2 --rate 1000 --count 100 >"$work/load.log" 2>&1
check "and no other" test $? != 0
gateway_end || fail "the gateway stops with status 0"
# counted NAME AT-LEAST
counted() {
    local count
    count=$(message stopped shards 0 entry datagrams "$1")
    check "$1 is counted ($count)" test "$count" -ge "$2"
}
counted bad_tag 400
counted bad_signed 8
counted replayed 10
counted unsigned 1
counted bad_cookie 2000
counted handshake 10000
counted login_refused 3
wait $capture
for _ in 1 2; do
    "$sluice" replay --json --config "$work/lab.conf" --output "$work/out.pcap" "$work/seen.pcap" \
        2>"$work/replay.err" | field state_hash
    sha256sum "$work/out.pcap"
done >"$work/hashes"
check "a capture can be played again, without what was signed, and says so" \
    test "$(sort -u "$work/hashes" | wc -l)" = 2 -a "$(grep -c 'signed sessions sent is left out' "$work/replay.err")" = 1

gateway_start || { fail "the gateway starts again"; exit 1; }
$in_cl $python "$here/signed_trade.py" crash --keys "$work/keys" >"$work/crash.log" 2>&1 &
client=$!
for _ in $(seq 200); do grep -q entered "$work/crash.log" && break; sleep 0.1; done
gateway_end KILL
sleep 1
gateway_start || { fail "the gateway starts after a kill"; exit 1; }
wait $client
[ $? = 0 ] || fail "signed_trade.py crash: $(tail -n 3 "$work/crash.log")"
grep -E '^(ok|FAIL)' "$work/crash.log"
gateway_end || fail "the gateway stops with status 0"
check "no password and no key is in the journal" test -z "$(grep -la 'SECRET\|argon2' "$work"/journal/shard-0/*)"
"$sluice" replay --json "$work/journal/shard-0" >"$work/replay.json"
check "a replay of the journal comes to the gateway's state" \
    test "$(field state_hash <"$work/replay.json")" = "$(message stopped shards 0 state_hash)"

chmod 644 "$work/keys/gateway.key"
if "$sluice" check --config "$work/lab.conf" >"$work/check.log" 2>&1; then fail "a key that others can read is refused"; else
    check "a key that others can read is refused, with the remedy" grep -q 'is open to others: chmod 600' "$work/check.log"
fi
finish
