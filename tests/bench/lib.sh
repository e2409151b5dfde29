# shellcheck shell=bash
# What the parts of the bench share; each sources it. A part prints lines as tests/bench/report.py takes them. OUT is
# the folder for what is kept.
set -eo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LAB=${LAB:-sluice-bench}
B=${B:-build}
sluice=$B/sluice
# shellcheck disable=SC2034 # the parts have use of it
bench=$B/tests/bench
gw="ip netns exec $LAB-gw"
cl="ip netns exec $LAB-cl"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/sluice-bench.XXXXXX")
OUT=${OUT:-$work}
pages_before=$(cat /proc/sys/vm/nr_hugepages)
lab_is_up=
gateway=

leave() {
    [ -z "$gateway" ] || kill -9 "$gateway" 2>/dev/null || true
    if [ -n "$lab_is_up" ]; then
        scripts/lab down
        echo "$pages_before" >/proc/sys/vm/nr_hugepages
    fi
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' INT TERM

title() { echo "{\"title\": \"$1\"}"; }
# row NAME UNIT SAMPLES [MEMBER…] <VALUES: a figure of as many rounds as there are values, one a line
row() {
    local more
    more=$(printf ', %s' "${@:4}")
    sort -g | awk -v name="$1" -v unit="$2" -v samples="$3" -v more="${4:+$more}" '{value[NR] = $1} END {
        if (NR == 0) exit 1
        median = (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2
        printf "{\"name\": \"%s\", \"unit\": \"%s\", \"samples\": %d, \"rounds\": %d, \"median\": %.9g, ", name, unit, samples, NR, median
        printf "\"low\": %.9g, \"high\": %.9g%s}\n", value[1], value[NR], more
    }'
}
# instructions NAME FUNCTION COMMAND…: a figure of what FUNCTION takes for each of as many as COMMAND prints
instructions() {
    local count
    if command -v valgrind >/dev/null; then
        count=$(valgrind --tool=callgrind --callgrind-out-file="$work/count" --toggle-collect="$2" "${@:3}" 2>/dev/null)
        awk -v count="$count" '$1 == "totals:" {print $2 / count}' "$work/count" | row "$1" instructions "$count"
    else
        missing "$1" "apt-get install valgrind"
    fi
}
missing() { echo "{\"name\": \"$1\", \"missing\": \"$2\"}"; }
median() { sort -g | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'; }
sum() { awk '{sum += $1} END {printf "%d\n", sum}'; }
get() { python3 -c 'import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]: value = value[int(key) if key.isdigit() else key]
print(value)' "$@"; }

start_gateway() {
    rm -rf "$work/journal"
    $gw "$sluice" run --config "$work/lab.conf" --json >"$work/gateway.log" 2>"$work/gateway.err" &
    gateway=$!
    for _ in $(seq 200); do grep -q '"ready"' "$work/gateway.log" && return; sleep 0.05; done
    cat "$work/gateway.err" >&2
    exit 1
}
stop_gateway() {
    kill -TERM "$gateway"
    wait "$gateway"
    gateway=
}
lab() {
    lab_is_up=1
    scripts/lab up
    scripts/lab config "$work/journal" >"$work/lab.conf"
    echo $((pages_before + 300)) >/proc/sys/vm/nr_hugepages
}
# load NAME OPTION…: by four sessions over AF_XDP, where the generator takes half as much of an order's time as over
# sockets (3.3 and 6.3 us: latency less stamped of --rate 0 --stamps kernel) and has twice the rate on a core that it shares.
# Its report is left in $work/load.json, and printed for the plots. That orders were lost is no failure here: it is counted.
load() {
    local name=$1 at
    shift
    at=$(date +%s)
    $cl "$sluice" load --to 10.77.0.1:26400 --interface sl-cl --user LOAD0:SECRET --user LOAD1:SECRET --user LOAD2:SECRET \
        --user LOAD3:SECRET "$@" --json >"$work/load.json" 2>"$work/load.err" || true
    [ -s "$work/load.json" ] || { cat "$work/load.err" >&2 && exit 1; }
    python3 -c 'import json, sys
print(json.dumps({"load": sys.argv[1], "at": int(sys.argv[2]), "report": json.load(open(sys.argv[3]))}))' \
        "$name" "$at" "$work/load.json"
}
