#!/bin/bash
# What scripts/perf-gate makes of samples: made up here, so that nothing is timed. (That it catches a slow-down in samples
# that are timed: scripts/perf-gate --self-test.)
. "$(dirname "$0")/lib.sh"
gate() { # PYTHON, with the gate as g, and what it judges as said
    python3 -c 'import contextlib, importlib.machinery, importlib.util, io, math, random, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("gate", "scripts/perf-gate")
g = importlib.util.module_from_spec(importlib.util.spec_from_loader("gate", loader))
loader.exec_module(g)

def samples(ratio, spread=0.01, copy=1.0, seed=1):
    made = random.Random(seed)
    return {figure: tuple([math.log(r) + made.gauss(0, spread) for _ in range(g.PAIRS)] for r in (ratio, copy))
            for figure in g.TIMED}

def judge(made, counted=1.0, losses=""):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        good = g.judge(g.compare(made), {"instructions": counted}, g.accepted_losses(losses))
    return good, out.getvalue()

def share_that_fails(ratio, spread):
    return sum(not judge(samples(ratio, spread, seed=n))[0] for n in range(200)) / 200

def refused(text):
    try:
        g.accepted_losses(text)
    except g.Failure as failure:
        return str(failure).startswith("tests/perf-accepted:1: ")
    return False
'"$1"
}

check "what is 5 % slower fails, by both times" gate '
good, said = judge(samples(1.05))
assert not good and "FAIL throughput" in said and "FAIL p99" in said and "ok instructions" in said, said'
check "what is equal passes" gate '
good, said = judge(samples(1.0))
assert good and "FAIL" not in said, said'
check "what is 2 % slower passes" gate 'assert judge(samples(1.02))[0]'
check "what takes 5 % more instructions fails, whatever its time" gate '
good, said = judge(samples(1.0), counted=1.05)
assert not good and "FAIL instructions" in said and "FAIL throughput" not in said, said'
check "where the copy of BASE is as slow it is the noise" gate '
good, said = judge(samples(1.05, copy=1.05))
assert good and "within the noise" in said, said'
check "with a spread of 2 %, 19 in 20 of 5 % are caught, and 1 in 20 at most fails without a change" gate '
assert share_that_fails(1.05, 0.02) >= 0.95 and share_that_fails(1.0, 0.02) <= 0.05'
check "with a spread of 20 % no more fail without a change" gate 'assert share_that_fails(1.0, 0.2) <= 0.05'

reason="a limit more is looked at"
check "a loss that is accepted with a reason passes" gate "
good, said = judge(samples(1.05), losses='throughput 1.08 $reason\np99 1.08 $reason')
assert good and 'accepted up to 1.08 throughput' in said, said"
check "… but not a larger one" gate "assert not judge(samples(1.12), losses='throughput 1.08 $reason\np99 1.08 $reason')[0]"
check "… nor another figure's" gate "assert not judge(samples(1.05), losses='throughput 1.08 $reason')[0]"
check "a line that is not needed fails" gate "
good, said = judge(samples(1.0), losses='throughput 1.08 $reason')
assert not good and 'is not needed' in said, said"
check "a line without a reason is refused" gate 'assert refused("throughput 1.08")'
check "… and one without a ratio, below the limit, or of no figure" gate "
assert refused('throughput $reason') and refused('throughput 1.02 $reason') and refused('speed 1.08 $reason')"

said_once() { # STATUS PATTERN ARGUMENT…
    scripts/perf-gate "${@:3}" >"$work/out" 2>&1
    [ $? = "$1" ] && [ "$(wc -l <"$work/out")" = 1 ] && grep -q "$2" "$work/out" || { cat "$work/out" >&2 && return 1; }
}
check "a BASE that is not there is one line" said_once 1 '^scripts/perf-gate: there is no commit no-such here' no-such
check "… and none at all, too" said_once 2 '^usage: scripts/perf-gate BASE'
finish
