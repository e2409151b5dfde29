#!/bin/bash
# What fails allocations loses none and reads nothing that is not its own, as valgrind sees it.
# computes: under valgrind
cd "$(dirname "$0")/../.." || exit 1
B=${B:-build}
if ! command -v valgrind >/dev/null; then
    echo "skip allocations under valgrind: it is not here: apt-get install valgrind"
    exit 0
fi
if [ ! -x "$B/tests/unit/test_array" ] || [[ $B == *address* || $B == *thread* ]]; then
    echo "skip allocations under valgrind: $B/tests/unit/test_array is not there, or has a sanitizer"
    exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if valgrind --quiet --trace-children=yes --leak-check=full --error-exitcode=9 "$B/tests/unit/test_array" \
    --verbose=1 >"$log" 2>&1 && ! grep -q '^==' "$log"; then
    echo "ok whichever allocation fails, nothing leaks and nothing else's memory is read"
else
    echo "FAIL whichever allocation fails, nothing leaks and nothing else's memory is read: $(cat "$log")"
    exit 1
fi
