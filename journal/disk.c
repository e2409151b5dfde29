// SPDX-License-Identifier: MIT
#include "journal/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "numa/crash.h"
#include "numa/error.h"
#include "numa/invariant.h"

#define LOCK_NAME     "lock"
#define CREATE_BYTES  (1u << 20) // one write when nobody else waits for the disk
#define CREATE_GENTLE (256u << 10)

struct directory {
    struct disk disk;
    int fd;
    int lock_fd; // -1: read-only
    int direct;  // O_DIRECT, or 0 where the file system has none
    char path[PATH_MAX];
};

// Never written to, and too large for the read-only data of the binary.
static alignas(DISK_BLOCK_SIZE) unsigned char zeros[CREATE_BYTES];

static struct directory *directory_of(struct disk *disk)
{
    return (struct directory *)disk;
}

static bool ends_with_tmp(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".tmp") == 0;
}

static int directory_open(struct disk *disk, const char *name)
{
    struct directory *directory = directory_of(disk);
    int mode = directory->lock_fd < 0 ? O_RDONLY : O_RDWR | O_DSYNC;
    int fd = openat(directory->fd, name, mode | directory->direct | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL && directory->lock_fd < 0) // read-only: not probed at the start
        fd = openat(directory->fd, name, mode | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static void sleep_until(struct timespec *when, uint64_t add_ns)
{
    uint64_t ns = (uint64_t)when->tv_nsec + add_ns;
    when->tv_sec += (time_t)(ns / 1000000000);
    when->tv_nsec = (long)(ns % 1000000000);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, when, NULL) == EINTR)
        ;
}

static int write_zeros(int fd, uint64_t size, uint64_t bytes_per_ms)
{
    size_t piece = bytes_per_ms ? CREATE_GENTLE : CREATE_BYTES;
    struct timespec when;
    clock_gettime(CLOCK_MONOTONIC, &when);
    for (uint64_t offset = 0; offset < size; offset += piece) {
        if (piece > size - offset)
            piece = size - offset;
        ssize_t written = pwrite(fd, zeros, piece, (off_t)offset);
        if (written != (ssize_t)piece)
            return written < 0 ? -errno : -EIO;
        if (bytes_per_ms)
            sleep_until(&when, piece * 1000000 / bytes_per_ms);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int directory_sync(struct disk *disk)
{
    return fsync(directory_of(disk)->fd) < 0 ? -errno : 0;
}

static int create_synced(struct directory *directory, const char *name, uint64_t size,
                         uint64_t bytes_per_ms)
{
    int fd = openat(directory->fd, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | directory->direct, 0640);
    if (fd < 0)
        return -errno;
    // All space at once, in few extents, and a full disk is known before anything is written.
    // The zeros are written all the same: under O_DIRECT|O_DSYNC a write to space that was only
    // allocated takes 1.4 to 1.8 times as long (the extent has to be converted). File systems
    // without fallocate allocate as the zeros arrive.
    int result = fallocate(fd, 0, 0, (off_t)size) < 0 && errno != EOPNOTSUPP ? -errno : 0;
    CRASH_POINT(create_allocated);
    if (result == 0)
        result = write_zeros(fd, size, bytes_per_ms);
    if (close(fd) < 0 && result == 0)
        result = -errno;
    return result;
}

static int directory_create(struct disk *disk, const char *name, uint64_t size,
                            uint64_t bytes_per_ms)
{
    struct directory *directory = directory_of(disk);
    INVARIANT(size % DISK_BLOCK_SIZE == 0);
    if (directory->lock_fd < 0)
        return -EROFS;
    char unfinished[NAME_MAX];
    snprintf(unfinished, sizeof(unfinished), "%s.tmp", name);
    if (faccessat(directory->fd, name, F_OK, 0) == 0)
        return -EEXIST;
    int result = create_synced(directory, unfinished, size, bytes_per_ms);
    CRASH_POINT(create_unnamed);
    if (result == 0 && renameat(directory->fd, unfinished, directory->fd, name) < 0)
        result = -errno;
    if (result < 0) {
        unlinkat(directory->fd, unfinished, 0);
        return result;
    }
    CRASH_POINT(create_unsynced);
    result = directory_sync(disk);
    if (result < 0)
        unlinkat(directory->fd, name, 0);
    return result;
}

static void directory_close(struct disk *disk, int handle)
{
    (void)disk;
    close(handle);
}

static int64_t directory_size(struct disk *disk, int handle)
{
    (void)disk;
    struct stat status;
    return fstat(handle, &status) < 0 ? -errno : (int64_t)status.st_size;
}

static int64_t directory_read(struct disk *disk, int handle, uint64_t offset, void *buffer,
                              size_t length)
{
    (void)disk;
    size_t done = 0;
    while (done < length) {
        ssize_t count = pread(handle, (char *)buffer + done, length - done, (off_t)(offset + done));
        if (count < 0)
            return -errno;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    return (int64_t)done;
}

static int directory_write(struct disk *disk, int handle, uint64_t offset, const void *buffer,
                           size_t length)
{
    if (directory_of(disk)->lock_fd < 0)
        return -EROFS;
    ssize_t written = pwrite(handle, buffer, length, (off_t)offset);
    if (written < 0)
        return -errno;
    return (size_t)written == length ? 0 : -EIO;
}

static int directory_sync_file(struct disk *disk, int handle)
{
    (void)disk;
    return fsync(handle) < 0 ? -errno : 0;
}

// Call `found` for the files whose name ends in .tmp, or for all others but the lock.
static int list_files(struct directory *directory, bool unfinished,
                      void (*found)(void *context, const char *name), void *context)
{
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        int result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    struct dirent *entry;
    while (errno = 0, (entry = readdir(stream)) != NULL) {
        if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
            continue;
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, LOCK_NAME) != 0 &&
            ends_with_tmp(entry->d_name) == unfinished)
            found(context, entry->d_name);
    }
    int result = -errno;
    closedir(stream);
    return result;
}

static int directory_list(struct disk *disk, void (*found)(void *context, const char *name),
                          void *context)
{
    return list_files(directory_of(disk), false, found, context);
}

static int directory_remove(struct disk *disk, const char *name)
{
    struct directory *directory = directory_of(disk);
    if (directory->lock_fd < 0)
        return -EROFS;
    return unlinkat(directory->fd, name, 0) < 0 ? -errno : 0;
}

static int directory_rename(struct disk *disk, const char *from, const char *to)
{
    struct directory *directory = directory_of(disk);
    if (directory->lock_fd < 0)
        return -EROFS;
    if (renameat2(directory->fd, from, directory->fd, to, RENAME_NOREPLACE) < 0)
        return -errno;
    CRASH_POINT(rename_unsynced);
    int result = directory_sync(disk);
    if (result < 0) // nobody may build on a name that a power cut takes away
        renameat2(directory->fd, to, directory->fd, from, RENAME_NOREPLACE);
    return result;
}

static uint64_t directory_time_ns(struct disk *disk)
{
    (void)disk;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t directory_draw(struct disk *disk)
{
    uint32_t bits;
    if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
        bits = (uint32_t)directory_time_ns(disk);
    return bits;
}

static const struct disk_operations directory_operations = {
    .open = directory_open,
    .create = directory_create,
    .close = directory_close,
    .size = directory_size,
    .read = directory_read,
    .write = directory_write,
    .sync = directory_sync_file,
    .sync_directory = directory_sync,
    .list = directory_list,
    .remove = directory_remove,
    .rename = directory_rename,
    .time_ns = directory_time_ns,
    .draw = directory_draw,
};

static struct directory *directory_new(const char *path, struct error *error)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    if (!directory) {
        error_set(error, "journal folder %s: no memory (%zu bytes)", path, sizeof(*directory));
        return NULL;
    }
    directory->disk.operations = &directory_operations;
    directory->disk.path = directory->path;
    directory->lock_fd = -1;
    directory->direct = O_DIRECT;
    snprintf(directory->path, sizeof(directory->path), "%s", path);
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0) {
        error_set(error, "cannot open the journal folder %s: %s; check the path and its rights",
                  path, strerror(errno));
        free(directory);
        return NULL;
    }
    return directory;
}

// The folder's own entry has to survive too.
static int sync_parent(struct directory *directory)
{
    int parent = openat(directory->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -errno;
    int result = fsync(parent) < 0 ? -errno : 0;
    close(parent);
    return result;
}

static int open_lock(struct directory *directory, struct error *error)
{
    int flags = O_RDWR | O_CREAT | O_CLOEXEC;
    int fd = openat(directory->fd, LOCK_NAME, flags | O_DIRECT, 0640);
    if (fd < 0 && errno == EINVAL) {
        warn(
            "the file system of %s has no O_DIRECT: the journal goes through the page cache, which "
            "is slower; move it to ext4 or xfs on a local disk",
            directory->path);
        directory->direct = 0;
        fd = openat(directory->fd, LOCK_NAME, flags, 0640);
    }
    if (fd >= 0 && directory->direct) { // it was to show whether O_DIRECT works; pids are buffered
        close(fd);
        fd = openat(directory->fd, LOCK_NAME, flags, 0640);
    }
    if (fd < 0)
        return error_set(error, "cannot open %s/" LOCK_NAME ": %s; check the folder's rights",
                         directory->path, strerror(errno));
    directory->lock_fd = fd;
    return 0;
}

static int take_lock(struct directory *directory, struct error *error)
{
    if (open_lock(directory, error) < 0)
        return -1;
    char pid[24] = "";
    if (flock(directory->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        int reason = errno;
        ssize_t length = pread(directory->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[length > 0 ? strcspn(pid, "\n") : 0] = 0;
        if (reason == EWOULDBLOCK)
            return error_set(error,
                             "the journal folder %s is in use by process %s; stop that one first, "
                             "or give this one a folder of its own",
                             directory->path, pid[0] ? pid : "(unknown)");
        return error_set(error, "cannot lock %s/" LOCK_NAME ": %s", directory->path,
                         strerror(reason));
    }
    int length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(directory->lock_fd, 0) < 0 ||
        pwrite(directory->lock_fd, pid, (size_t)length, 0) != length)
        return error_set(error, "cannot write %s/" LOCK_NAME ": %s; free some space there",
                         directory->path, strerror(errno));
    return 0;
}

static void remove_unfinished(void *context, const char *name)
{
    struct directory *directory = context;
    unlinkat(directory->fd, name, 0);
}

struct disk *disk_open_directory(const char *path, struct error *error)
{
    bool made = mkdir(path, 0750) == 0;
    if (!made && errno != EEXIST) {
        error_set(error,
                  "cannot make the journal folder %s: %s; make the folder above it, or choose "
                  "another",
                  path, strerror(errno));
        return NULL;
    }
    struct directory *directory = directory_new(path, error);
    if (!directory)
        return NULL;
    int result = take_lock(directory, error);
    if (result == 0) {
        result = list_files(directory, true, remove_unfinished, directory);
        if (result == 0 && made)
            result = sync_parent(directory);
        if (result < 0)
            error_set(error, "cannot prepare the journal folder %s: %s", path, strerror(-result));
    }
    if (result < 0) {
        disk_close(&directory->disk);
        return NULL;
    }
    return &directory->disk;
}

struct disk *disk_open_read_only(const char *path, struct error *error)
{
    struct directory *directory = directory_new(path, error);
    if (!directory)
        return NULL;
    // Through the page cache: the kernel reads ahead while the last part is checked.
    directory->direct = 0;
    return &directory->disk;
}

void disk_close(struct disk *disk)
{
    struct directory *directory = directory_of(disk);
    if (directory->lock_fd >= 0)
        close(directory->lock_fd);
    close(directory->fd);
    free(directory);
}
