#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "a message of a signed session on the port's thread"
"$bench/bench_signed"
