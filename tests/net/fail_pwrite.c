// SPDX-License-Identifier: MIT
//
// A disk that fails: preloaded, it counts the pwrite calls to the files whose name fits the pattern
// PWRITE_FILES (fnmatch), and
//     PWRITE_FAILS=N          the N-th answers EIO. What it leaves on the disk: nothing, or with
//     PWRITE_LEAVES=half|all  the first half of its bytes and noise behind, or all of them
//     PWRITE_STALLS=N         the N-th takes PWRITE_STALL_MS longer
// and says so on standard error, in lines that begin with "disk: ".
#include <dlfcn.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef ssize_t pwrite_fn(int fd, const void *buffer, size_t size, off_t offset);

static _Atomic long calls;

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static bool is(const char *name, const char *value)
{
    const char *text = getenv(name);
    return text && strcmp(text, value) == 0;
}

static bool fits(int fd)
{
    char link[64], path[PATH_MAX];
    const char *pattern = getenv("PWRITE_FILES");
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length < 0 || !pattern)
        return false;
    path[length] = 0;
    const char *slash = strrchr(path, '/');
    return slash && fnmatch(pattern, slash + 1, 0) == 0;
}

static void stall(void)
{
    long ms = number("PWRITE_STALL_MS");
    fprintf(stderr, "disk: stalls\n");
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
    fprintf(stderr, "disk: goes on\n");
}

static void leave(pwrite_fn *next, int fd, const void *buffer, size_t size, off_t offset)
{
    bool half = is("PWRITE_LEAVES", "half");
    unsigned char *copy = aligned_alloc(4096, size); // the file may want O_DIRECT's alignment
    if (!copy || (!half && !is("PWRITE_LEAVES", "all")))
        return;
    memcpy(copy, buffer, size);
    if (half)
        memset(copy + size / 2, 0xA5, size - size / 2);
    if (next(fd, copy, size, offset) != (ssize_t)size)
        fprintf(stderr, "disk: leaves nothing: %s\n", strerror(errno));
}

ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
    pwrite_fn *next = (pwrite_fn *)dlsym(RTLD_NEXT, "pwrite");
    if (!fits(fd))
        return next(fd, buffer, size, offset);
    long call = ++calls;
    if (call == number("PWRITE_STALLS"))
        stall();
    if (call != number("PWRITE_FAILS"))
        return next(fd, buffer, size, offset);
    fprintf(stderr, "disk: fails\n");
    leave(next, fd, buffer, size, offset);
    errno = EIO;
    return -1;
}
