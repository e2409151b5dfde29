// SPDX-License-Identifier: MIT
#include "numa/crash.h"

#ifdef SLUICE_FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum crash_point crash_armed;
static _Atomic int64_t visits_left;

#define CRASH_NAME(name) #name,
static const char *const names[] = {"none", CRASH_POINTS(CRASH_NAME)};

// A constructor: no thread is there yet, and no place is passed without it.
__attribute__((constructor)) static void arm(void)
{
    const char *wanted = getenv("SLUICE_CRASH");
    if (!wanted)
        return;
    size_t length = strcspn(wanted, ":");
    visits_left = wanted[length] ? atoll(wanted + length + 1) : 1;
    for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == length && memcmp(names[i], wanted, length) == 0)
            crash_armed = (enum crash_point)i;
    if (crash_armed == CRASH_none || visits_left < 1) {
        fprintf(stderr, "sluice: SLUICE_CRASH=%s: no such place; numa/crash.h lists them\n",
                wanted);
        exit(2);
    }
}

void crash_reached(void)
{
    if (atomic_fetch_sub(&visits_left, 1) == 1)
        raise(SIGKILL);
}
#endif
