#!/bin/bash
# A disk that answers EIO, and one that stalls: see disk_faults.py.
# alone: its faults are to come while it trades
. "$(dirname "$0")/lib.sh"
shim=$work/fail_pwrite.so
${CC:-cc} -std=gnu17 -Wall -Wextra -Werror -O2 -D_GNU_SOURCE -shared -fPIC "$here/fail_pwrite.c" -o "$shim" ||
    { fail "fail_pwrite.c compiles"; exit 1; }
lab_up
# Small segments and snapshots all the time; little room for what the disk has not taken.
export SEGMENT_MIB=1 SNAPSHOT_EVERY=500 KEEP_SEGMENTS=1 FRAMES=1024 HISTORY=65536
"$root/scripts/lab" config "$work/journal" | sed 's/in_flight = 65536/in_flight = 1024/' >"$work/lab.conf"
sed 's/snapshot_every = 500; keep_segments = 1/snapshot_every = 0; keep_segments = 0/' "$work/lab.conf" \
    >"$work/stall.conf"
seed=${SEED:-$RANDOM}
echo "note seed $seed"
client disk_faults.py --gateway "$sluice" --config "$work/lab.conf" --stall-config "$work/stall.conf" \
    --journal "$work/journal" --work "$work" --shim "$shim" --seed "$seed"
finish
