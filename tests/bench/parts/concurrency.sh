#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "ways of handing orders over to the book"
"$bench/bench_concurrency" "$OUT/concurrency.dat"
if command -v gnuplot >/dev/null; then gnuplot -c tests/bench/concurrency.gp "$OUT/concurrency.dat" >&2; fi
