#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "the journal beside the bare loop of durable writes, rounds of a second"
"$bench/bench_append" "$work/append"
