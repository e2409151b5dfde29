#!/bin/bash
# The fuzzers (tests/fuzz): the inputs that are to be remembered, then a bounded number of new ones, the same at every
# run. For longer, and other ones:
#
#     make build/tests/fuzz/fuzz_book
#     build/tests/fuzz/fuzz_book -max_len=2401 -len_control=0 NEW-FOLDER tests/fuzz/corpus_book
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fuzz() { # NAME RUNS LENGTH WHAT
    local fuzzer=$B/tests/fuzz/fuzz_$1 kept=tests/fuzz/corpus_$1 inputs=()
    if ! make -s "$fuzzer" 2>"$work/log"; then
        echo "FAIL fuzz_$1 builds: $(cat "$work/log")"
        failed=1
        return
    fi
    if [ -d "$kept" ]; then
        inputs=("$kept"/*)
        if "$fuzzer" "${inputs[@]}" >"$work/log" 2>&1; then
            echo "ok $4 on ${#inputs[@]} inputs kept"
        else
            echo "FAIL $4 on the inputs kept: $(tail -n 200 "$work/log")"
            failed=1
        fi
    fi
    mkdir "$work/$1"
    if timeout 300 "$fuzzer" -runs="$2" -seed=1 -max_len="$3" -len_control=0 -timeout=60 \
        -artifact_prefix="$work/" "$work/$1" ${inputs:+"$kept"} >"$work/log" 2>&1; then
        echo "ok $4 on $2 inputs made up"
    else
        echo "FAIL $4 on inputs made up: $(tail -n 200 "$work/log")"
        for input in "$work"/crash-* "$work"/timeout-* "$work"/oom-*; do
            [ -f "$input" ] && echo "the input, base64, for $kept: $(base64 -w0 "$input")"
        done
        failed=1
    fi
}

fuzz book 20000 1201 "the book agrees with the reference"
fuzz wire 500000 1500 "frames from strangers are read without a fault, and counted"
fuzz journal 2000 256 "a journal that was tampered with gives nothing that was not written"
exit $failed
