#!/bin/bash
# The fuzzers (tests/fuzz): the inputs that are to be remembered, then a bounded number of new ones, the same at every
# run. For longer, and other ones: make fuzz TIME=seconds [ONLY=name].
# computes: a number of inputs, whatever time they take
. "$(dirname "$0")/lib.sh"
. tests/fuzz/options

fuzz() { # NAME RUNS WHAT [OPTION]
    local fuzzer=$B/tests/fuzz/fuzz_$1 kept=tests/fuzz/corpus_$1 inputs=()
    if ! make -s -j2 "$fuzzer" 2>"$work/log"; then
        echo "FAIL fuzz_$1 builds: $(cat "$work/log")"
        failed=1
        return
    fi
    if [ -d "$kept" ]; then
        inputs=("$kept"/*)
        if "$fuzzer" "${inputs[@]}" >"$work/log" 2>&1; then
            if grep '^skip ' "$work/log"; then return; fi
            echo "ok $3 on ${#inputs[@]} inputs kept"
        else
            echo "FAIL $3 on the inputs kept: $(tail -n 200 "$work/log")"
            failed=1
        fi
    fi
    mkdir "$work/$1"
    # shellcheck disable=SC2046 # words
    if timeout 600 "$fuzzer" $(options_of "$1") $4 -runs="$2" -seed=1 -timeout=60 \
        -artifact_prefix="$work/" "$work/$1" ${inputs:+"$kept"} >"$work/log" 2>&1; then
        echo "ok $3 on $2 inputs made up"
    else
        echo "FAIL $3 on inputs made up: $(tail -n 200 "$work/log")"
        for input in "$work"/crash-* "$work"/timeout-* "$work"/oom-*; do
            [ -f "$input" ] && echo "the input, base64, for $kept: $(base64 -w0 "$input")"
        done
        failed=1
    fi
}

fuzz book 20000 "the book agrees with the reference" -max_len=1201
fuzz wire 500000 "frames from strangers are read without a fault, and counted"
fuzz session 10000 "sessions keep to UFO, whatever comes and however long it takes"
fuzz journal 2000 "a journal that was tampered with gives nothing that was not written"
fuzz config 20000 "a configuration that is accepted keeps its bounds, one that is not is told of in one line"
fuzz steer 150000 "the program in the kernel and the parser give frames the same verdict"
fuzz recording 2000 "a recording of any bytes is read without a fault, and counted"
exit $failed
