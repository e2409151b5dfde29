#!/bin/bash
# The simulation (tests/sim): the seeds that once broke something, then fresh ones; each fault of
# numa/fault.h, planted, has to be found within FOUND_WITHIN seeds, and by a line of the simulation's own; where none is
# planted the seeds that found them find nothing. By hand: make sim SEED=… COUNT=… SECONDS=…
# computes: all of it is simulated, time too
. "$(dirname "$0")/lib.sh"
FRESH=150 # seeds: some 1,800 recoveries
FOUND_WITHIN=2000
for build in "$B" "$B-faults"; do
    faults=$([ "$build" = "$B" ] || echo 1)
    if ! log=$(flock Makefile make -s -j2 B="$build" FAULTS="$faults" "$build/tests/sim/sim" 2>&1); then
        echo "FAIL the simulation builds: $log"
        exit 1
    fi
done

while read -r seed reason; do
    if log=$("$B/tests/sim/sim" --seed "$seed" 2>&1); then
        echo "ok seed $seed: $reason"
    else
        echo "FAIL seed $seed: $reason: $log"
        failed=1
    fi
done < <(grep -v '^#' tests/sim/seeds)

seed=$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')
if log=$("$B/tests/sim/sim" --seed "$seed" --count $FRESH 2>&1); then
    echo "ok the house keeps its promises on fresh seeds"
    echo "note $log"
else
    echo "FAIL the house keeps its promises on fresh seeds: $log"
    failed=1
fi

# What happens follows from the seed and from nothing else: --trace says the same twice, but for the last line's seed and
# pace.
trace() { "$B/tests/sim/sim" --seed "$1" --trace | sed '$s/.* broken: \(.*\), [0-9]* a minute$/\1/'; }
same=0
for ((i = 0; i < 12; i++)); do
    trace $((seed + i)) >"$work/once"
    trace $((seed + i)) >"$work/again"
    if [ "$(wc -l <"$work/once")" -gt 2 ] && cmp "$work/once" "$work/again" && ! cmp -s "$work/once" "$work/before"; then
        same=$((same + 1))
    else
        echo "FAIL the same seed has the same trace: seed $((seed + i))"
        failed=1
    fi
    mv "$work/once" "$work/before"
done
[ $same = 12 ] && echo "ok the same seed has the same trace, and no other seed has it"

# After its acknowledgement nothing of a kill's scope is live, is accepted or trades (supervisor.h).
if log=$("$B/tests/sim/sim" --seed "$seed" --count 600 --steps 6000 --supervised --faults loss,duplication,delay,kill,vanish 2>&1) &&
    races=$(grep -o '[0-9]* raced with fills' <<<"$log") && [ "${races%% *}" -ge 1000 ]; then
    echo "ok kills race with fills, and nothing is live after them"
    echo "note $log"
else
    echo "FAIL kills race with fills, and nothing is live after them: $log"
    failed=1
fi

sim="$B-faults/tests/sim/sim"
last=1
# In the order of the list, the first word being "none".
for fault in $(sed -n '/define FAULT_NAMES/,/}/p' numa/fault.h | grep -o '"[a-z-]*"' | tr -d '"' | tail -n +2); do
    log=$(timeout 1200 "$sim" --count $FOUND_WITHIN --plant "$fault" 2>&1)
    if [ $? = 1 ] && found=$(grep -m 1 '^seed [0-9]* finds it: .' <<<"$log"); then
        echo "ok the fault $fault is found"
        echo "note $fault: $found"
        number=${found#seed }
        number=${number%% *}
        [ "$number" -gt $last ] && last=$number
    else
        echo "FAIL the fault $fault is found: $log"
        failed=1
    fi
done
# All seeds that were played until each was found.
if log=$("$sim" --count "$last" 2>&1) && [[ $log == "$last seeds from 1, 0 broken: "* ]]; then
    echo "ok nothing is found where nothing is planted"
    echo "note $log"
else
    echo "FAIL nothing is found where nothing is planted: $log"
    failed=1
fi
exit $failed
