#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "a frame that is sent, past a tap that nobody reads and one that somebody does"
"$bench/bench_tap"
