#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "two million commands a round, in turn with std::map on the same stream"
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1 # the book is on huge pages; so std::map's nodes are, too
"$bench/bench_book"
counted() { instructions "a command $1, instructions" 'play_counted*' "$bench/bench_book" "count-$2"; }
counted "without limits" without-1
counted "with limits" with-1
counted "without limits, 48 firms" without-48
counted "with limits, 48 firms" with-48
counted "without limits in full, 48 firms" before-48
counted "with limits in full, 48 firms" full-48
[ "${SOAK:-}" != 1 ] || "$bench/bench_book" soak
