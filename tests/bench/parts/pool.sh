#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "work stealing against one thread and one locked queue"
"$bench/bench_pool"
