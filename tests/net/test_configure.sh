#!/bin/bash
# configure: what it changes on a veth pair of its own, and on a NIC with everything that a script plays, it puts back to
# the letter; host-wide it touches sysctls alone here, which no other test reads, and puts them back.
. "$(dirname "$0")/lib.sh"
not_on_dpdk "a host's settings: those of a DPDK device are its driver's"
space=$LAB-configure
leave() {
    [ ! -e "$work/lab.conf" ] || run fini >/dev/null 2>&1
    ip netns del "$space" 2>/dev/null
    rm -rf "$work"
}
ip netns del "$space" 2>/dev/null
ip netns add "$space"
ip -n "$space" link add cf-gw numrxqueues 4 numtxqueues 4 type veth peer name cf-cl numrxqueues 4 numtxqueues 4
ip -n "$space" link set cf-gw up
ip -n "$space" link set cf-cl up
"$root/scripts/lab" config "$work/journal" | sed 's/sl-gw/cf-gw/; s/queues = \[ 0 \]/queues = [ 0, 1 ]/; s/poll = "interrupt"/poll = "busy"/' >"$work/lab.conf"
name=$LAB-configure-$$
sed -i "s/^name = .*/name = \"$name\";/" "$work/lab.conf"
record=/run/sluice/$name.configure.json
inside="ip netns exec $space"
path=$PATH

# run VERB [STAGE…]
run() {
    local verb=$1
    shift
    $inside env PATH="$path" "$sluice" configure "$verb" --config "$work/lab.conf" "$@"
}
says() { grep -q -- "$1" "$work/out"; }
commands() { grep -c '^RUN: ' "$1"; }
sysctls="kernel.timer_migration vm.stat_interval vm.swappiness"
[ ! -e /proc/sys/kernel/numa_balancing ] || sysctls="$sysctls kernel.numa_balancing"
state() {
    # shellcheck disable=SC2016
    $inside sh -c 'ethtool -l cf-gw; ethtool -k cf-gw; cd /sys/class/net/cf-gw; cat napi_defer_hard_irqs gro_flush_timeout' 2>/dev/null
    # shellcheck disable=SC2086
    sysctl $sysctls
}
stages="channels steering rss coalesce offloads irq busy-poll sysctl"

$inside ethtool -K cf-gw gro on rxvlan on >/dev/null
$inside sh -c 'echo 7 >/sys/class/net/cf-gw/napi_defer_hard_irqs'
state >"$work/before"
# shellcheck disable=SC2086
{
    run init --dry-run $stages >"$work/dry" 2>&1 && ok "a dry run" || fail "a dry run: $(cat "$work/dry")"
    check "a dry run says what it would do" grep -q '^RUN: ethtool -L cf-gw rx 2 tx 2$' "$work/dry"
    check "and changes nothing" sh -c "[ ! -e '$record' ]"
    state | cmp -s - "$work/before" && ok "not a setting" || fail "a dry run has changed $(state | diff - "$work/before")"
    ! run check $stages >"$work/out" 2>&1 && ok "check fails before" || fail "check passes before"
    check "check says what is not configured" says '^channels: not configured: cf-gw is "rx 4 tx 4", should be "rx 2 tx 2"$'
    check "and what veth has not" says '^steering: cannot be had here: cf-gw has no ntuple filters'
    run init $stages >"$work/out" 2>&1 && ok "init" || fail "init: $(cat "$work/out")"
    check "it does what the dry run said" test "$(grep ^RUN "$work/out")" = "$(grep ^RUN "$work/dry")"
    check "two channels" sh -c "$inside ethtool -l cf-gw | tail -5 | grep -q 'RX:.*2'"
    check "busy polling is let be" test "$($inside cat /sys/class/net/cf-gw/gro_flush_timeout)" = 200000
    check "a tunable of the kernel" test "$(sysctl -n vm.stat_interval)" = 120
    run check $stages >"$work/out" 2>&1 && ok "check is content" || fail "check: $(cat "$work/out")"
    state >"$work/after"
    cp "$record" "$work/record"
    run init $stages >"$work/out" 2>&1 || fail "a second init: $(cat "$work/out")"
    check "a second init has nothing to do" test "$(commands "$work/out")" = 0
    check "and says so" says '^channels: OK$'
    state | cmp -s - "$work/after" && cmp -s "$record" "$work/record" && ok "and changes nothing" || fail "a second init changes something"
    run fini --dry-run >"$work/out" && state | cmp -s - "$work/after" && ok "fini --dry-run changes nothing" || fail "fini --dry-run changes something"
    run fini busy-poll >"$work/out" || fail "fini of one stage: $(cat "$work/out")"
    check "fini of one stage leaves the others" test "$(commands "$work/out")" = 2
    run fini >"$work/out" 2>&1 && ok "fini" || fail "fini: $(cat "$work/out")"
    state | cmp -s - "$work/before" && ok "every value is back" || fail "not back: $(state | diff - "$work/before")"
    check "the record is gone" sh -c "[ ! -e '$record' ]"
    run fini >"$work/out" 2>&1 && says '^0 settings put back' && ok "a second fini has nothing to do" || fail "a second fini: $(cat "$work/out")"
}

# The commands are the shell's: what init prints does what init does.
sed -n 's/^RUN: //p' "$work/dry" | $inside sh
state | cmp -s - "$work/after" && ok "the printed commands do the same" || fail "the printed commands: $(state | diff - "$work/after")"
run init channels offloads busy-poll sysctl >/dev/null
# Put back by hand: no record was kept.
$inside ethtool -L cf-gw rx 4 tx 4
$inside ethtool -K cf-gw gro on rxvlan on >/dev/null
$inside sh -c 'cd /sys/class/net/cf-gw; echo 7 >napi_defer_hard_irqs; echo 0 >gro_flush_timeout'
sed -n 's/\(.*\) = \(.*\)/\1=\2/p' "$work/before" | while read -r line; do sysctl -q -w "$line"; done
state | cmp -s - "$work/before" || fail "the test puts things back"

run init busy-poll channels >/dev/null
ip -n "$space" link del cf-gw
run fini >"$work/out" 2>&1 && says 'is gone: nothing to put back' && [ ! -e "$record" ] && ok "an interface that is gone has nothing to put back" ||
    fail "an interface that is gone: $(cat "$work/out")"
run check channels >"$work/out" 2>&1 && fail "an interface that is not there" || check "an interface that is not there is told" says 'no interface "cf-gw"'

# A NIC with everything.
ip -n "$space" link add cf-gw type veth peer name cf-cl
mkdir "$work/bin"
cp "$here/fake_nic.py" "$work/bin/ethtool"
path=$work/bin:$PATH
nic='{"channels": %s, "adaptive-rx": "on", "rx-usecs": "50", "rules": {"7": ["10.9.9.9", "5", 0]%s}, "table": %s,
 "features": {"large-receive-offload": "on", "rx-gro-hw": "on [fixed]", "generic-receive-offload": "on",
              "rx-vlan-offload": "off", "ntuple-filters": "%s"}}'
settings() { python3 -c 'import json,sys; print(json.dumps(json.load(open(sys.argv[1])), sort_keys=True))' "$work/bin/nic.json"; }
get() { python3 -c 'import json,sys; print(eval("nic" + sys.argv[2], {"nic": json.load(open(sys.argv[1]))}))' "$work/bin/nic.json" "$1"; }
nic_stages="channels steering rss coalesce offloads"
tried=0
# nic CHANNELS MORE-RULES TABLE NTUPLE: init, check, init, fini on a NIC that begins so.
nic() {
    tried=$((tried + 1))
    # shellcheck disable=SC2059
    printf "$nic" "$1" "$2" "$3" "$4" >"$work/bin/nic.json"
    settings >"$work/nic-before"
    # shellcheck disable=SC2086
    {
        run init $nic_stages >"$work/out" 2>&1 || fail "NIC $tried: init: $(cat "$work/out")"
        cp "$work/out" "$work/init"
        check "NIC $tried: a fixed feature is told" says '^offloads: cannot be had here: cf-gw rx-gro-hw is on \[fixed\]'
        run check $nic_stages >"$work/check" 2>&1 || fail "NIC $tried: check: $(cat "$work/check")"
        settings >"$work/nic-after"
        run init $nic_stages >"$work/again" 2>&1
        check "NIC $tried: a second init has nothing to do" test "$(commands "$work/again")" = 0
        check "NIC $tried: rules lead orders and requests to the first queue" test \
            "$(get '["rules"].values()' | grep -o "'10.77.0.1', '2640[01]', 0" | wc -l)" = 2
        check "NIC $tried: other traffic keeps off the ports' queues" test "$(get '["table"]' | grep -c '\b[01]\b')" = 0
        check "NIC $tried: no delay" test "$(get '["adaptive-rx"]') $(get '["rx-usecs"]')" = "off 0"
        run fini >"$work/out" 2>&1 || fail "NIC $tried: fini: $(cat "$work/out")"
        settings | cmp -s - "$work/nic-before" && ok "NIC $tried: every value is back" ||
            fail "NIC $tried: not back: $(settings; cat "$work/nic-before")"
    }
}
evenly='[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]'
nic 8 '' "$evenly" on
nic 2 '' '[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]' on                 # too few channels
nic 2 '' '[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]' on                 # … and a table made by hand
nic 8 '' '[2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3]' on                 # already as it should be
check "a table that keeps off the queues is left" test "$(grep -c 'ethtool -X' "$work/init")" = 0
nic 8 ', "3": ["10.77.0.1", "26400", 5]' "$evenly" on                          # somebody's rule for the same
printf "$nic" 8 '' '[7, 1, 2, 3, 4, 5, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7]' on >"$work/bin/nic.json"
settings >"$work/nic-before"
run init rss steering >"$work/out" 2>&1
check "a table that ethtool could not put back is left alone, with a line" says '^rss: cannot be had here: .*could put back'
check "orders are steered all the same" test "$(get '["rules"].__len__()')" = 3
run fini >/dev/null
settings | cmp -s - "$work/nic-before" && ok "and come off" || fail "not back: $(settings)"
run init rss >"$work/out" 2>&1
check "queues are not taken away before orders are steered" says '^rss: not configured: .*steered first'
settings | cmp -s - "$work/nic-before" && ok "nothing is changed then" || fail "changed: $(settings)"

run init nonsense >"$work/out" 2>&1
status=$?
check "a stage that there is not is refused in one line, with those there are" \
    test $status = 2 -a "$(grep -c 'no stage nonsense: .*channels.*irq' "$work/out")" = 1 -a "$(wc -l <"$work/out")" = 1

# Without ethtool one line says so, and the rest is done.
path=$PATH
unshare -m sh -c "mount --bind /dev/null /usr/sbin/ethtool
    $inside $sluice configure init --config $work/lab.conf channels offloads busy-poll" >"$work/out" 2>"$work/err"
check "without ethtool: one line" test "$(wc -l <"$work/err")" = 1
check "without ethtool: it says what to install" grep -q '^sluice: there is no ethtool.*install' "$work/err"
check "without ethtool: the rest is done" says '^busy-poll: 2 changes made'
run fini >/dev/null
echo '{"changes": 5}' >"$record"
! run init busy-poll >"$work/out" 2>&1 && says 'is not the record' && ok "a record that is none stops it" || fail "a record that is none: $(cat "$work/out")"
rm -f "$record"
finish
