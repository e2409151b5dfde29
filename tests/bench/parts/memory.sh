#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "places for orders and a growing array, as the tape has them"
"$bench/bench_memory"
