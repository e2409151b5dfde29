// SPDX-License-Identifier: MIT
#include "numa/memlock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "numa/error.h"

static bool warned;

static void lock(int flags, const char *what)
{
    struct rlimit limit = {0};
    if (warned || mlockall(MCL_CURRENT | flags) == 0)
        return;
    int why = errno;
    warned = true;
    getrlimit(RLIMIT_MEMLOCK, &limit);
    warn("%s cannot be locked in memory (mlockall: %s; RLIMIT_MEMLOCK is %llu KiB) and may be "
         "swapped out. To mend it: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
         what, strerror(why), (unsigned long long)limit.rlim_cur >> 10);
}

void memlock_all(void)
{
    lock(0, "the process");
}

void memlock_stacks(void)
{
    lock(MCL_ONFAULT, "stacks of threads");
}
