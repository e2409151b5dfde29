#!/bin/bash
# The example in book/book.h compiles as it stands there, against libbook.a alone, and trades.
. "$(dirname "$0")/lib.sh"
sed -n '/#include <stdio.h>/,/^#ifndef/p' book/book.h | sed '$d; s#^// \{0,5\}##' >"$work/example.c"
make -s "$B/libbook.a"
if gcc -std=gnu17 -Wall -Wextra -Werror -I. "$work/example.c" "$B/libbook.a" -o "$work/example" 2>"$work/err"; then
    echo "ok the example in book.h compiles"
else
    echo "FAIL the example in book.h compiles: $(cat "$work/err")"
    exit 1
fi
if [ "$("$work/example" | grep -c 'event 5, .* 40 @ 500000')" = 2 ]; then
    echo "ok it executes 40 @ 500000 on both sides"
else
    echo "FAIL it executes 40 @ 500000 on both sides: $("$work/example")"
    exit 1
fi
if echo '#include "book/book.h"' | clang++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I. -x c++ - 2>"$work/err"; then
    echo "ok the header is C++ as well"
else
    echo "FAIL the header is C++ as well: $(cat "$work/err")"
    exit 1
fi
