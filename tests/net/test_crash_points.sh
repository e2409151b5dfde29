#!/bin/bash
# kill -9 at each place of numa/crash.h, in a gateway that is built with them: nothing that was acknowledged is lost,
# streams come back whole and unchanged, and nothing executes twice. By hand: PLACES="batch_written …" SEED=…
. "$(dirname "$0")/lib.sh"
build=${B:-build}-faults
targets=$build/sluice
! on_dpdk || targets+=" $build/sluice-dpdk.so"
# shellcheck disable=SC2086
if ! log=$(flock "$root/Makefile" make -s -j2 -C "$root" B="$build" FAULTS=1 $targets 2>&1); then
    fail "the gateway with crash points builds: $log"
    exit 1
fi
places=${PLACES:-$(grep -oE '\bPOINT\([a-z_]+\)' "$root/numa/crash.h" | sed 's/POINT(//; s/)//')}
lab_up
# Small segments, few kept, and snapshots all the time: every place is reached within seconds.
export SEGMENT_MIB=1 SNAPSHOT_EVERY=500 KEEP_SEGMENTS=1 HISTORY=65536
"$root/scripts/lab" config "$work/journal" | sed 's/spares = 4/spares = 2/' >"$work/lab.conf"
seed=${SEED:-$RANDOM}
echo "note seed $seed"
# shellcheck disable=SC2086
client crash_points.py --gateway "$root/$build/sluice" --config "$work/lab.conf" --journal "$work/journal" \
    --work "$work" --seed "$seed" $places
[ -n "${PLACES:-}" ] || check "there are 24 places or more" test "$(wc -w <<<"$places")" -ge 24
finish
