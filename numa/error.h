// SPDX-License-Identifier: MIT
//
// Errors of set-up, as one line for a person: what failed, where, why (errno in words), what to do.
// Functions that set something up take a `struct error *` and return -1 or NULL once it is filled.
#ifndef SLUICE_NUMA_ERROR_H
#define SLUICE_NUMA_ERROR_H

struct error {
    char text[512]; // one line, without a newline
};

// error_set: write the line, truncated to fit. `error` may be NULL. Returns -1, so that a failing
// function can end with `return error_set(…)`. Any thread; not for the hot path.
__attribute__((format(printf, 2, 3))) int error_set(struct error *error, const char *format, ...);

// warn: print "sluice: warning: …" to stderr as one line. Any thread; not for the hot path.
__attribute__((format(printf, 1, 2))) void warn(const char *format, ...);

#endif
