#!/bin/bash
# The simulation (tests/sim): the seeds that once broke something, then fresh ones for a while; and each fault of
# numa/fault.h, planted, has to be found within FOUND_WITHIN seeds. By hand: make sim SEED=… COUNT=… SECONDS=…
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
FRESH_SECONDS=20
FOUND_WITHIN=2000
failed=0
for build in "$B" "$B-faults"; do
    faults=$([ "$build" = "$B" ] || echo 1)
    if ! log=$(make -s -j2 B="$build" FAULTS="$faults" "$build/tests/sim/sim" 2>&1); then
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
if log=$("$B/tests/sim/sim" --seed "$seed" --seconds $FRESH_SECONDS 2>&1); then
    echo "ok the house keeps its promises on fresh seeds"
    echo "note $log"
else
    echo "FAIL the house keeps its promises on fresh seeds: $log"
    failed=1
fi

# In the order of the list, the first word being "none".
for fault in $(sed -n '/define FAULT_NAMES/,/}/p' numa/fault.h | grep -o '"[a-z-]*"' | tr -d '"' | tail -n +2); do
    if log=$(timeout 120 "$B-faults/tests/sim/sim" --count $FOUND_WITHIN --plant "$fault" 2>&1); then
        echo "FAIL the fault $fault is found: $log"
        failed=1
    else
        echo "ok the fault $fault is found"
        echo "note $fault: $(head -n 1 <<<"$log")"
    fi
done
exit $failed
