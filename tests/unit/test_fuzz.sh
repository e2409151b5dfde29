#!/bin/bash
# The fuzzer of the book (tests/fuzz/fuzz_book.c): the inputs it is to remember, then a bounded number of new ones,
# the same at every run. For longer, and other ones:
#
#     make build/tests/fuzz/fuzz_book
#     build/tests/fuzz/fuzz_book -max_len=2401 -len_control=0 NEW-FOLDER tests/fuzz/corpus_book
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus"
if ! make -s "$B/tests/fuzz/fuzz_book" 2>"$work/log"; then
    echo "FAIL the fuzzer of the book builds: $(cat "$work/log")"
    exit 1
fi
inputs=(tests/fuzz/corpus_book/*)
if "$B/tests/fuzz/fuzz_book" "${inputs[@]}" >"$work/log" 2>&1; then
    echo "ok the book agrees with the reference on ${#inputs[@]} inputs kept"
else
    echo "FAIL the book agrees with the reference on the inputs kept: $(tail -n 200 "$work/log")"
    exit 1
fi
if timeout 300 "$B/tests/fuzz/fuzz_book" -runs=20000 -seed=1 -max_len=1201 -len_control=0 -timeout=60 \
    -artifact_prefix="$work/" "$work/corpus" tests/fuzz/corpus_book >"$work/log" 2>&1; then
    echo "ok the book agrees with the reference on 20000 inputs made up"
else
    echo "FAIL the book agrees with the reference on inputs made up: $(tail -n 200 "$work/log")"
    for input in "$work"/crash-* "$work"/timeout-* "$work"/oom-*; do
        [ -f "$input" ] && echo "the input, base64, for tests/fuzz/corpus_book: $(base64 -w0 "$input")"
    done
    exit 1
fi
