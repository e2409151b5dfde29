#!/bin/bash
# The bench's report, made of a few recorded lines: its text, its JSON, what it says of malformed lines; and the plots.
. "$(dirname "$0")/lib.sh"
begin() { mkdir -p "$work/$1" && python3 tests/bench/report.py "$work/$1"; }
take() { python3 tests/bench/report.py "$work/$1" "${@:2}" >>"$work/$1.text"; } # RUN PART SECONDS [failed] <LINES

cat >"$work/ring" <<'LINES'
{"title": "messages from one thread to another"}
{"fact": "CPU", "value": "one of two"}
{"name": "ring", "unit": "ns/message", "samples": 12000000, "rounds": 5, "median": 80.5, "low": 78, "high": 1200, "peers": ["other ring", "third ring"], "limit": "two words"}
{"name": "other ring", "unit": "ns/message", "samples": 900, "rounds": 5, "median": 115, "low": 110, "high": 120}
{"name": "third ring", "missing": "apt-get install third"}
{"name": "two words", "unit": "ns/message", "samples": 900, "rounds": 1, "median": 40.25, "low": 40.25, "high": 40.25, "p99": 90, "p99.9": 4000}
LINES
loads() { # THE FIRST'S STAGES: the loads of three rates, two of them in one second, the last one over what can be had
    python3 - "$1" <<'PYTHON'
import json, sys
zero = {kind: {"lost": 0} for kind in ("enters", "cancels", "replaces")}
for n, (rate, p50, p99) in enumerate(((50000, 70000, 120000), (100000, 76000, 130000), (200000, 900000, 8000000))):
    noise = {"duration_ns": 500000000, "above_1us": 90, "above_10us": 7 + n, "above_100us": 1, "largest_ns": 150000}
    report = {"rate_asked": rate, "rate_achieved": rate - 10.5, "noise": noise,
              "latency_ns": {"p50": p50, "p90": (p50 + p99) // 2, "p99": p99}, **zero,
              "intervals_ns": {"length_ns": 100000000, "count": [10, 0, 30 + n], "p50": [p50, 0, p50], "p99": [p99, 0, p99], "max": [p99, 0, 9 * p99]}}
    if n == 1:
        report["intervals_ns"] = {key: value + value[2:] if isinstance(value, list) else value for key, value in report["intervals_ns"].items()}
    if n == 0:
        report["stages"] = json.loads(sys.argv[1])
    print(json.dumps({"load": f"{rate}/s", "at": 1795000000 + 60 * (n // 2), "report": report}))
PYTHON
}
stages='[{"name": "wire to port", "count": 9, "mean": 1200, "p50": 1100, "p99": 2000}, {"name": "wait for the disk", "count": 9, "mean": 44000, "p50": 43000, "p99": 90000}]'
hgrm() { printf '       Value     Percentile TotalCount 1/(1-Percentile)\n\n%s\n%s\n%s\n#[Mean    =  1, StdDeviation = 1]\n' \
    '50.0 0.000000000000 1 1.00' '76.0 0.500000000000 500 2.00' '210.5 0.990000000000 990 100.00' >"$work/$1"; }

check "a report begins" begin one
check "a part is taken" take one ring 14 <"$work/ring"
check "a second is added, and one that failed" take one rate 3 failed < <(loads "$stages")
check "what is printed is in report.md, line for line" test -z "$(sed '/^$/d' "$work/one.text" | grep -vxFf "$work/one/report.md")"
said() { grep -qF -- "$1" "$work/one/report.md" || { cat "$work/one/report.md" >&2 && return 1; }; }
check "a peer and the limit stand beside a figure" said "0.70 of other ring (-34.5 ns); 2.00 of the limit, two words"
check "… with its spread and samples" grep -q "| 80.5 ns/message  *| 78 to 1,200  *| .*| 12.0 million |" "$work/one/report.md"
check "… and the tail where it is known" said "90 / 4,000"
check "what is missing says how to get it" said "not here: apt-get install third"
check "the command stands with each part" said 'make bench ONLY=ring`, 14 s'
check "a part that failed is marked" said "make bench ONLY=rate\`, 3 s. **It failed"
check "each part's time is told" said "17 s in all: ring 14 s, rate 3 s."
check "report.json has all of it" python3 -c 'import json, sys
ring, rate = json.load(open(sys.argv[1]))["parts"]
row = ring["rows"][0]
assert (row["median"], row["low"], row["samples"]) == (80.5, 78, 12000000), row
assert [round(other["ratio"], 2) for other in row["beside"]] == [0.7, 2.0], row
assert rate["failed"] and len(rate["loads"]) == 3, rate' "$work/one/report.json"

refused() { # PATTERN LINE: by one line, and the report stays as it is
    cp "$work/one/report.json" "$work/before"
    ! python3 tests/bench/report.py "$work/one" bad 1 <<<"$2" >"$work/out" 2>&1 && grep -q "^report.py: bad: $1" "$work/out" &&
        [ "$(wc -l <"$work/out")" = 1 ] && cmp "$work/one/report.json" "$work/before" || { cat "$work/out" >&2 && return 1; }
}
row='"unit": "ns", "samples": 1, "rounds": 1, "median": 2, "low": 1, "high": 3'
check "prose is refused" refused 'line 1: not JSON' 'ring: 80 ns'
check "a list is refused" refused 'line 1: not an object' '[1, 2]'
check "an object of no kind is refused" refused 'line 1: neither' '{"figure": 1}'
check "a row without a unit is refused" refused 'line 1: ring: no unit' '{"name": "ring", "median": 2}'
check "a row whose median is a word is refused" refused "line 1: ring: median is 'two'" "{\"name\": \"ring\", ${row/: 2/: \"two\"}}"
check "… or not finite" refused 'line 1: ring: high is inf' "{\"name\": \"ring\", ${row/: 3/: Infinity}}"
check "… or not between its least and most" refused 'line 1: ring: the median 2 is not' "{\"name\": \"ring\", ${row/\"low\": 1/\"low\": 2.5}}"
check "a name that comes twice is refused" refused 'line 2: ring: a second row' "$(printf '{"name": "ring", %s}\n' "$row" "$row")"
check "a peer that is not there is refused" refused "ring: its peer 'rope' is not a row" "{\"name\": \"ring\", $row, \"peers\": [\"rope\"]}"
no_part() { ! tests/bench/run ring rope >"$work/out" 2>&1 && grep -q "^tests/bench/run: rope is no part: machine ring" "$work/out"; }
check "a part that is not there is refused" no_part

no_bench() { ! B=$work/none tests/bench/parts/ring.sh >"$work/out" 2>&1; }
check "a part whose bench cannot run fails" no_bench
# It measured nothing for a while, as the port no longer took whole batches.
receive() {
    scripts/lab config "$work/journal" >"$work/lab.conf"
    make -s B="$B" "$B/tests/bench/bench_receive" && [ "$("$B/tests/bench/bench_receive" "$work/lab.conf" on)" -gt 100000 ]
}
check "orders from their frames to the command ring are measured" receive
copy() { make -s B="$B" "$B/tests/bench/bench_copy" && "$B/tests/bench/bench_copy" >"$work/copy" && take one copy 2 <"$work/copy"; }
check "what a bench prints is taken" copy

if ! command -v gnuplot >/dev/null; then
    echo "skip the plots: gnuplot is not here (apt-get install gnuplot-nox)"
    finish
fi
hgrm one/round.hgrm
hgrm one/rate-100000.hgrm
begin two && take two rate 3 < <(loads '[]')
hgrm two/round.hgrm
plotted() { # NAME TEXT…: both pictures are there, and the text is in the one that has text
    [ -s "$work/one/plots/$1.png" ] && for text in "${@:2}"; do
        grep -qF "$text" "$work/one/plots/$1.svg" || { echo "no '$text' in $1.svg" >&2 && return 1; }
    done
}
plot() { scripts/plot "$@" >"$work/out"; }
check "a run is plotted" plot "$work/one"
check "latency by percentile, on an axis of nines" plotted latency "one at a time" "100,000 orders/s" "99%"
check "throughput, with the knee at the last rate that was kept up with" plotted throughput "knee, 100,000/s"
check "jitter, of the load that has most intervals" plotted jitter "100000/s: p99" "100000/s: max"
check "the stages of an order's time" plotted stages "wait for the disk, 44.0 us" "45.2 us in all"
check "each says when and where" plotted jitter "$(date -u +%Y-%m-%d)" "Linux $(uname -r)"
check "two runs are plotted together" plot "$work/one" "$work/two"
check "… both in each plot" test "$(grep -c 'one at a time' "$work/one/plots/latency.svg")" = 2
mkdir "$work/empty" && begin empty
check "a run without loads has no plots, and says so" grep -q "^no plot of latency" <<<"$(scripts/plot "$work/empty")"
no_run() { ! scripts/plot "$work/none" >"$work/out" 2>&1 && grep -q "^plot: $work/none is not what make bench left" "$work/out"; }
check "a folder that is not a run is refused" no_run
finish
