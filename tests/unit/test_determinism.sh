#!/bin/bash
# One journal, one set of hashes: whatever the compiler, the optimisation and the sanitizers, and however many
# are replayed at once.
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/golden"
tar -xzf tests/golden/journal-v1.tar.gz -C "$work/golden"
make -s -j2 B="$B" "$B/sluice" "$B/tests/sim/sim" || exit 1
seed=$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')
"$B/tests/sim/sim" --seed "$seed" --steps 3000 --clients 4 --faults delay,duplication,stall --save "$work/fresh" >"$work/log"

hashes() { # SLUICE JOURNAL
    "$1" replay --json "$2" | python3 -c 'import json, sys
result = json.load(sys.stdin)
print(result["commands"], result["events"], result["event_hash"], result["state_hash"])'
}
golden=$(hashes "$B/sluice" "$work/golden")
fresh=$(hashes "$B/sluice" "$work/fresh")
same() { # SLUICE WHAT
    if [ "$(hashes "$1" "$work/golden")" = "$golden" ] && [ "$(hashes "$1" "$work/fresh")" = "$fresh" ]; then
        echo "ok $2 gives the same hashes"
    else
        echo "FAIL $2 gives the same hashes: seed $seed: $fresh, not $(hashes "$1" "$work/fresh")"
    fi
}
variant() { # FOLDER WHAT MAKE-ARGUMENT
    if make -s -j2 B="$1" "$3" "$1/sluice" 2>"$work/log"; then
        same "$1/sluice" "$2"
    else
        echo "FAIL $2 builds: $(cat "$work/log")"
    fi
}
variant build-O0 "gcc -O0" OPT=-O0
variant build-O3 "gcc -O3" OPT=-O3
variant build-clang "clang" CC=clang
variant build-address-undefined "a build with sanitizers" SAN=address,undefined
for count in 1 2 4; do
    for i in $(seq $count); do hashes "$B/sluice" "$work/fresh" >"$work/at-once-$i" & done
    wait
    if [ "$(cat "$work"/at-once-* | sort -u)" = "$fresh" ]; then
        echo "ok $count at once give the same hashes"
    else
        echo "FAIL $count at once give the same hashes: seed $seed: $(cat "$work"/at-once-*)"
    fi
done
