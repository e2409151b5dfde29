#!/bin/bash
# Messages that are no longer in memory are read from the journal when a client asks for them: see history.py.
. "$(dirname "$0")/lib.sh"
export HISTORY=1024
lab_up
SEGMENT_MIB=1 SNAPSHOT_EVERY=20000 KEEP_SEGMENTS=1 "$root/scripts/lab" config "$work/journal" >"$work/recycling.conf"
client history.py --gateway "$sluice" --config "$work/lab.conf" --journal "$work/journal" \
    --recycling-config "$work/recycling.conf" --work "$work"
[ -s "$work/gateway.err" ] && sed 's/^/note /' "$work/gateway.err"
finish
