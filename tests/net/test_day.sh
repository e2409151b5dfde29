#!/bin/bash
# A real day: AMZN on 2012-06-21, 155,935 order events, played over the wire as orders; the book's five best levels
# after each event, rebuilt from the feed, against the tape's own. The tape is not part of the project.
. "$(dirname "$0")/lib.sh"
tape=${SLUICE_SHARED:-$root/../shared}/tapes/lobster-amzn-20120621-5levels.zip
if [ ! -r "$tape" ]; then
    skip "a real day: no tape at $tape; set SLUICE_SHARED to the folder that holds tapes/"
    exit 0
fi
export HISTORY=524288
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
$in_cl python3 "$here/day.py" --tape "$tape" --user LOAD0:SECRET --user LOAD1:SECRET --symbol AMZN >"$work/day.log" 2>&1
status=$?
grep -vE '^ok|^FAIL|events sent' "$work/day.log" | tail -n 30 | sed 's/^/note /'
grep -E '^(ok|FAIL)' "$work/day.log"
rows=$(sed -n "s/^rows equal: //p" "$work/day.log")
check "the five best levels are the tape's after each event, or the tape explains the difference ($rows rows equal)" \
    test $status = 0 -a "${rows:-0}" -gt 0
gateway_end || fail "the gateway stops with status 0"
finish
