#!/bin/bash
# Three datagrams in ten are lost both ways, others doubled and out of order: every order is placed once and every
# stream complete, with 1,024 messages in memory (see loss.py).
. "$(dirname "$0")/lib.sh"
export HISTORY=1024
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
seed=${SEED:-$RANDOM}
echo "note seed $seed"
$in_cl python3 "$here/loss.py" --seed "$seed" --user LOAD0:SECRET --user LOAD1:SECRET --user LOAD2:SECRET \
    >"$work/loss.log" 2>&1
status=$?
grep -E '^(ok|FAIL|note) ' "$work/loss.log"
[ $status = 0 ] || grep -q '^FAIL ' "$work/loss.log" || fail "loss.py: status $status: $(tail -n 3 "$work/loss.log")"
gateway_end || fail "the gateway stops with status 0"
[ $status = 0 ] && finish
