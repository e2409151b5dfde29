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
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define FDS_MAX   1024
#define NAME_SIZE 64

typedef ssize_t pwrite_fn(int fd, const void *buffer, size_t size, off_t offset);
typedef int openat_fn(int directory, const char *name, int flags, mode_t mode);

static _Atomic long calls;
static char names[FDS_MAX][NAME_SIZE]; // under which a file was opened, by descriptor

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
    const char *pattern = getenv("PWRITE_FILES");
    return pattern && fd < FDS_MAX && fnmatch(pattern, names[fd], 0) == 0;
}

// Names are kept here because the sandbox does not let a thread ask /proc for them.
int openat(int directory, const char *name, int flags, ...)
{
    openat_fn *next = (openat_fn *)dlsym(RTLD_NEXT, "openat");
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    int fd = next(directory, name, flags, mode);
    if (fd >= 0 && fd < FDS_MAX)
        snprintf(names[fd], NAME_SIZE, "%s", name);
    return fd;
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
