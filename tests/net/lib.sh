# Sourced by the lab tests: a lab of their own, a gateway in it, and what they report.
# shellcheck shell=bash
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
sluice=$root/${B:-build}/sluice
export LAB=${LAB:-sluice-test}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/sluice-test.XXXXXX")
gateway_pid=
failures=0

ok() { echo "ok $*"; }
fail() {
    echo "FAIL $*"
    failures=$((failures + 1))
}
skip() { echo "skip $*"; }

on_dpdk() { [ "${PORT:-xdp}" = dpdk ]; }
# not_on_dpdk WHY: the whole test is passed over there.
not_on_dpdk() { ! on_dpdk || { skip "$1"; exit 0; }; }

# check NAME COMMAND…: ok when the command succeeds.
check() {
    local name=$1
    shift
    if "$@"; then ok "$name"; else fail "$name: $*"; fi
}

# Prefixes, not functions: what is started in the background with one has its own pid in $!.
in_gw="ip netns exec $LAB-gw"
in_cl="ip netns exec $LAB-cl"

leave() {
    [ -z "$gateway_pid" ] || kill -9 "$gateway_pid" 2>/dev/null
    "$root/scripts/lab" down
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' INT TERM

# client FILE.py WORDS…: a client's program at the other end of the wire, whose tests count as this file's; one that
# ends badly without a failure of its own is one.
client() {
    local log=$work/${1%.py}.log status
    $in_cl "${python:-python3}" "$here/$1" "${@:2}" >"$log" 2>&1
    status=$?
    grep -E '^(ok|FAIL|note) ' "$log"
    [ $status = 0 ] && return 0
    failures=$((failures + 1))
    grep -q '^FAIL ' "$log" || fail "$1: status $status: $(tail -n 3 "$log")"
    return $status
}

lab_up() {
    "$root/scripts/lab" up
    "$root/scripts/lab" config "$work/journal" >"$work/lab.conf"
}

# gateway_start [CONFIG]: start and wait until it is ready; its messages (JSON lines) are in $work/gateway.log.
gateway_start() {
    : >"$work/gateway.log"
    $in_gw "$sluice" run --config "${1:-$work/lab.conf}" --json >"$work/gateway.log" 2>"$work/gateway.err" &
    gateway_pid=$!
    for _ in $(seq 300); do
        grep -q '"ready"' "$work/gateway.log" && return 0
        kill -0 $gateway_pid 2>/dev/null || break
        sleep 0.05
    done
    cat "$work/gateway.err" >&2
    gateway_pid=
    return 1
}

# gateway_end [SIGNAL]: stop and wait; the exit status is the gateway's.
gateway_end() {
    local pid=$gateway_pid
    gateway_pid=
    kill -"${1:-TERM}" "$pid" 2>/dev/null
    wait "$pid"
}

# tshark_start INTERFACE FILTER FILE: record what an end of the lab's wire sees, until tshark_end.
tshark_start() {
    ip netns exec "$LAB-${1#sl-}" tshark -q -B 64 -i "$1" -f "$2" -w "$3" 2>"$work/tshark.err" &
    tshark_pid=$!
    for _ in $(seq 100); do
        grep -q "Capture started" "$work/tshark.err" && return 0
        sleep 0.1
    done
    fail "tshark records $1: $(cat "$work/tshark.err")"
    return 1
}

# What has come by now is in the file.
tshark_end() {
    sleep 1 # the kernel hands it packets in blocks
    kill -INT $tshark_pid
    wait $tshark_pid 2>/dev/null
}

# message EVENT PATH…: a value out of the gateway's last message of that kind, e.g. message stopped shards 0 state_hash
message() {
    python3 - "$work/gateway.log" "$@" <<'PYTHON'
import json, sys
found = None
for line in open(sys.argv[1]):
    value = json.loads(line)
    if value.get("event") == sys.argv[2]:
        found = value
for key in sys.argv[3:]:
    found = found[int(key) if key.isdigit() else key]
print(found if isinstance(found, (int, float, str)) else json.dumps(found))
PYTHON
}

replay() { "$sluice" replay --json "${1:-$work/journal/shard-0}"; }

# field NAME: of the JSON object on standard input.
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

finish() { [ $failures = 0 ]; }
