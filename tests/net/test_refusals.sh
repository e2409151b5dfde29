#!/bin/bash
# What cannot work is refused with one line that says what, where, and what to do; what can, works with a warning.
# alone: it takes the host's huge pages away
. "$(dirname "$0")/lib.sh"
lab_up

# refused NAME PATTERN COMMAND…: a non-zero status and exactly one line on stderr (warnings aside), which fits.
refused() {
    local name=$1 pattern=$2
    shift 2
    timeout 20 "$@" >/dev/null 2>"$work/err"
    local status=$?
    grep -v '^sluice: warning:' "$work/err" >"$work/lines"
    if [ $status != 0 ] && [ $status != 124 ] && [ "$(wc -l <"$work/lines")" = 1 ] &&
        grep -qE "^sluice: .*$pattern" "$work/lines"; then
        ok "$name"
    else
        fail "$name: status $status: $(cat "$work/err")"
    fi
}

# edited SED-EXPRESSION: a copy of the configuration, changed.
edited() { sed "$1" "$work/lab.conf" >"$work/edited.conf"; echo "$work/edited.conf"; }
run="$in_gw $sluice run --config"

refused "a missing configuration" 'nothing.conf: cannot read' $run "$work/nothing.conf"
refused "a syntax error, with its line" 'edited.conf:[0-9]+: syntax error' $run "$(edited 's/name = /name == /')"
refused "an unknown key, with its line and the known ones" "edited.conf:$(grep -n 'queues =' "$work/lab.conf" | cut -d: -f1): unknown key \"queue\"; known here: type, interface, queues" \
    $run "$(edited 's/queues = \[ 0 \]/queue = 0/')"
refused "a UDP port used twice" '"request_port" and "udp_port" are both 26400' \
    $run "$(edited 's/request_port = 26401/request_port = 26400/')"
refused "a core that does not exist" 'core 999' $run "$(edited 's/ core = 0; idle/ core = 999; idle/')"
refused "a number out of range" '"orders" is 0; it must be 1 to' $run "$(edited 's/orders = 1000000/orders = 0/')"
refused "a number that is not a power of two" '"history" is 1000001; it must be a power of two' \
    $run "$(edited 's/history = 262144/history = 1000001/')"
refused "a burst that the clock's steps have no room for" '"session_burst" is 100; it must be 101 to' \
    $run "$(edited 's/orders = 1000000;/& session_rate = 10000; session_burst = 100;/')"
refused "a switch that is neither on nor off" '"pin_mac" is "yes"; it must be "off" or "on"' \
    $run "$(edited 's/orders = 1000000;/& pin_mac = "yes";/')"
refused "a symbol listed twice" 'symbol "ACME    " is listed twice' $run "$(edited 's/"AMZN"/"ACME"/')"
refused "a time of the calendar that is none" '"at" is "9:60:00"; it must be a time of the day' \
    $run "$(edited '$a calendar = ( { at = "9:60:00"; phase = "trading"; } );')"
refused "a pause longer than a day" '"pause" is 86400; it must be 0 to 86399' $run "$(edited '$a pause = 86400;')"
refused "a phase of the calendar that there is not" 'it must be "preopen", "trading", ' \
    $run "$(edited '$a calendar = ( { at = "09:00:00"; phase = "lunch"; } );')"
refused "a calendar for a symbol that is not listed" 'symbol "NONE    " is not listed' \
    $run "$(edited '$a calendar = ( { at = "09:00:00"; phase = "trading"; symbol = "NONE"; } );')"
refused "a clock that trading is halted for before anybody is told" '"halt_us" is 50; it must be 101 to 10000000' \
    $run "$(edited '$a clock = { alarm_us = 100; halt_us = 50; };')"
refused "a user there twice" 'user "LOAD0 " is there twice' $run "$(edited 's/"LOAD1"/"load0"/')"
refused "a password in clear" 'passwords do not stand here in clear.*hash-password' \
    $run "$(edited 's/password_hash = "[^"]*"/password = "SECRET"/')"
refused "a password that UFO has no room for" 'up to 10 characters' "$sluice" hash-password < <(echo ELEVENCHARS)
refused "a feed group that is not multicast" 'not a multicast address' $run "$(edited 's/239.77.0.1/10.77.0.9/')"
refused "an unknown verb" 'no verb "fly"' "$sluice" fly
if on_dpdk; then
    skip "an interface, a queue and zero-copy that there are not: test_dpdk.sh has what a device has not"
    powerless='Could not open AF_PACKET socket' second='a gateway of the same name runs'
else
    refused "a missing interface" 'no interface "nope0"' $run "$(edited 's/"sl-gw"/"nope0"/')"
    refused "a queue that the interface has not" 'queue 5' $run "$(edited 's/queues = \[ 0 \]/queues = [ 5 ]/')"
    refused "zero-copy where the driver has none" 'no zero-copy; set mode = "copy"' $run "$(edited 's/"copy"/"zerocopy"/')"
    powerless=CAP_BPF second='another instance of sluice.*held by process GATEWAY'
fi
chmod 755 "$work"; chmod 644 "$work/lab.conf"
refused "no capabilities" "$powerless" $in_gw setpriv --bounding-set=-all --inh-caps=-all --reuid=65534 --clear-groups \
    "$sluice" run --config "$work/lab.conf"

gateway_start || { fail "the gateway starts"; exit 1; }
refused "a second instance, naming the first" "${second/GATEWAY/$gateway_pid}" \
    $run "$(edited "s#$work/journal#$work/journal2#")"
mv "$work/gateway.log" "$work/first.log"
gateway_end || fail "the first instance stops with status 0"

# A journal that is not what was written.
cp -r "$work/journal" "$work/pristine"
segment=$work/journal/shard-0/segment-0000000000000001
damage() {
    rm -rf "$work/journal"
    cp -r "$work/pristine" "$work/journal"
    python3 -c "
import sys
with open(sys.argv[1], 'r+b') as f:
    f.seek(int(sys.argv[2])); byte = f.read(1)[0]
    f.seek(int(sys.argv[2])); f.write(bytes([byte ^ int(sys.argv[3])]))" "$segment" "$1" "$2"
}
damage 4200 4
refused "a journal with a flipped bit, with the place" 'segment-0000000000000001.*4096' $run "$work/lab.conf"
refused "its verification" 'segment-0000000000000001.*4096' "$sluice" journal verify "$work/journal/shard-0"
rm -rf "$work/journal"; cp -r "$work/pristine" "$work/journal"
python3 "$here/other_version.py" "$segment"
refused "a journal of another version" 'version 9' $run "$work/lab.conf"
rm -rf "$work/journal"; mkdir "$work/journal"; cp -r "$work/pristine/shard-0" "$work/journal/shard-1"
two_shards=$(edited 's/^shards = ( {/shards = ( { port = 0; udp_port = 26500; feed_group = "239.77.0.2"; feed_port = 26477; }, {/')
sed -i 's/"AMZN"; shard = 0/"AMZN"; shard = 1/' "$two_shards"
refused "another shard's journal" 'shard 0' $run "$two_shards"
rm -rf "$work/journal"; cp -r "$work/pristine" "$work/journal"
gateway_start || { fail "the gateway starts on the pristine journal"; exit 1; }
gateway_end

# Without huge pages: a warning, and it works.
pages=$(cat /proc/sys/vm/nr_hugepages)
echo 0 >/proc/sys/vm/nr_hugepages
gateway_start && ok "no huge pages: it starts" || fail "no huge pages: it does not start"
gateway_end
check "no huge pages: a warning with the remedy" grep -q 'warning: .*huge pages.*nr_hugepages' "$work/gateway.err"
echo "$pages" >/proc/sys/vm/nr_hugepages
finish
