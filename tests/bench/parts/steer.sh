#!/bin/bash
. "$(dirname "$0")/../lib.sh"
title "the XDP program: an order packet of a bound source, a stranger's, a login, a request, by BPF_PROG_TEST_RUN"
lab
$gw "$bench/bench_steer" sl-gw
