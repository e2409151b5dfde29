#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "two million commands a round, in turn with std::map on the same stream"
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1 # the book is on huge pages; so std::map's nodes are, too
"$bench/bench_book"
for limits in without with; do
    instructions "a command $limits limits, instructions" 'play_counted*' "$bench/bench_book" count-$limits
done
[ "${SOAK:-}" != 1 ] || "$bench/bench_book" soak
