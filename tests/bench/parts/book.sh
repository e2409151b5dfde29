#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "two million commands a round, in turn with std::map on the same stream"
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1 # the book is on huge pages; so std::map's nodes are, too
"$bench/bench_book"
[ "${SOAK:-}" != 1 ] || "$bench/bench_book" soak
