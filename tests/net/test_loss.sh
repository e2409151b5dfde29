#!/bin/bash
# Three datagrams in ten are lost both ways, others doubled and out of order: every order is placed once and every
# stream complete, with 1,024 messages in memory (see loss.py).
. "$(dirname "$0")/lib.sh"
export HISTORY=1024
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
seed=${SEED:-$RANDOM}
echo "note seed $seed"
client loss.py --seed "$seed" --user LOAD0:SECRET --user LOAD1:SECRET --user LOAD2:SECRET
gateway_end || fail "the gateway stops with status 0"
finish
