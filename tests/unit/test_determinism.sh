#!/bin/bash
# One journal, one set of hashes: whatever the compiler, the optimisation and the sanitizers. (Several lanes at once:
# test_golden.c.)
# computes: builds, and replays
. "$(dirname "$0")/lib.sh"
mkdir "$work/golden"
tar -xzf tests/golden/journal-v1.tar.gz -C "$work/golden"
make -s -j2 B="$B" "$B/sluice" "$B/tests/sim/sim" || exit 1
seed=$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')
if ! "$B/tests/sim/sim" --seed "$seed" --steps 3000 --clients 4 --faults delay,duplication,stall --save "$work/fresh" \
    >"$work/log"; then
    echo "FAIL a fresh journal is made: seed $seed: $(cat "$work/log")"
    exit 1
fi

hashes() { # SLUICE JOURNAL
    "$1" replay --json "$2" | python3 -c 'import json, sys
result = json.load(sys.stdin)
print(result["commands"], result["events"], result["event_hash"], result["state_hash"])'
}
are_hashes() { # TEXT: of some commands and events, and neither hash left out
    [[ $1 =~ ^[1-9][0-9]*\ [1-9][0-9]*\ [0-9a-fx]+\ [0-9a-fx]+$ ]]
}
golden=$(hashes "$B/sluice" "$work/golden")
fresh=$(hashes "$B/sluice" "$work/fresh")
if ! are_hashes "$golden" || ! are_hashes "$fresh"; then
    echo "FAIL this build gives hashes: seed $seed: golden '$golden', fresh '$fresh'"
    exit 1
fi
same() { # SLUICE WHAT
    local again_golden again_fresh
    again_golden=$(hashes "$1" "$work/golden")
    again_fresh=$(hashes "$1" "$work/fresh")
    if [ "$again_golden" = "$golden" ] && [ "$again_fresh" = "$fresh" ]; then
        echo "ok $2 gives the same hashes"
    else
        echo "FAIL $2 gives the same hashes: seed $seed: '$again_golden' and '$again_fresh', not '$golden' and '$fresh'"
    fi
}
variant() { # FOLDER WHAT MAKE-ARGUMENT
    if flock Makefile make -s -j2 B="$1" "$3" "$1/sluice" 2>"$work/log"; then
        same "$1/sluice" "$2"
    else
        echo "FAIL $2 builds: $(cat "$work/log")"
    fi
}
variant build-O0 "gcc -O0" OPT=-O0
variant build-O3 "gcc -O3" OPT=-O3
variant build-clang "clang" CC=clang
variant build-address-undefined "a build with sanitizers" SAN=address,undefined
