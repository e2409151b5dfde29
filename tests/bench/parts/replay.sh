#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "a journal of ${COMMANDS:=4000000} commands in full blocks: written, replayed, verified, recovered"
"$bench/bench_journal" "$work/full" "$COMMANDS"
for _ in 1 2 3 4 5; do "$sluice" replay --json "$work/full" | get million_commands_per_second >>"$work/replay"; done
row "replayed" "million commands/s" $((COMMANDS * 5)) <"$work/replay"
for seals in without with; do
    [ $seals = without ] || "$bench/bench_recover" "$work/full"
    bytes=$(cat "$work"/full/segment-* | wc -c)
    for _ in 1 2 3; do
        began=$(date +%s%N)
        "$sluice" journal verify "$work/full" >/dev/null
        python3 -c "print($bytes / ($(date +%s%N) - $began))" >>"$work/$seals"
    done
    row "verified $seals seals" GB/s $((3 * bytes / 4096)) '"limit": "memory copied by one thread"' <"$work/$seals"
done
"$bench/bench_copy"
