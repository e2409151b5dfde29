#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "64-byte messages from one thread to another, and a round trip beside the least that two cores need"
"$bench/bench_ring"
