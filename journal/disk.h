// SPDX-License-Identifier: MIT
//
// disk: the few operations a journal needs of a host, as a table of functions, so that the same
// journal runs over the real thing and over a simulated one. All offsets, lengths and buffers are
// multiples of DISK_BLOCK_SIZE and aligned to it. Every function returns 0 or a count, or a
// negated errno; none retries a failed write.
#ifndef SLUICE_JOURNAL_DISK_H
#define SLUICE_JOURNAL_DISK_H

#include <stddef.h>
#include <stdint.h>

#define DISK_BLOCK_SIZE 4096u

struct disk;

struct disk_operations {
    // Open a file for reading and for writes that are durable when they return (O_DIRECT|O_DSYNC).
    // Returns a handle >= 0, or -errno.
    int (*open)(struct disk *disk, const char *name);
    // Create `name`, `size` bytes of zeros, allocated, written and synced, or leave nothing behind.
    // At most `bytes_per_ms` (0: as fast as it goes), so that other writers are not held up: zeros
    // written at full speed take the p50 of a journal write beside it from 146 to 287 us, 256 KiB
    // every 4 ms leave it where it was. -EEXIST when there is such a file.
    int (*create)(struct disk *disk, const char *name, uint64_t size, uint64_t bytes_per_ms);
    void (*close)(struct disk *disk, int handle);
    // Size in bytes, or -errno.
    int64_t (*size)(struct disk *disk, int handle);
    // Bytes read (short only at the end of the file), or -errno.
    int64_t (*read)(struct disk *disk, int handle, uint64_t offset, void *buffer, size_t length);
    // 0 once all of it is durable, or -errno; a short write is -EIO.
    int (*write)(struct disk *disk, int handle, uint64_t offset, const void *buffer, size_t length);
    // Make what was ever written to the file durable. Before reading at recovery: see TigerBeetle's
    // storage, which does the same so that no decision rests on data that never reached the disk.
    int (*sync)(struct disk *disk, int handle);
    int (*sync_directory)(struct disk *disk);
    // Call `found(context, name)` for each file, in no particular order; the lock and unfinished
    // files are not shown. 0 or -errno.
    int (*list)(struct disk *disk, void (*found)(void *context, const char *name), void *context);
    int (*remove)(struct disk *disk, const char *name);
    // Give a file another name, which no file has. Durable when it returns 0; else the name stays.
    int (*rename)(struct disk *disk, const char *from, const char *to);
    // The wall clock, ns since 1970, and 32 bits that nobody can foresee.
    uint64_t (*time_ns)(struct disk *disk);
    uint32_t (*draw)(struct disk *disk);
};

struct disk {
    const struct disk_operations *operations;
    const char *path; // where it is, for messages: the folder
};

struct error;

// disk_open_directory: the real disk, in the folder `path` (made when missing, mode 0750), locked
// so that a second process is refused with a line that names the first one's pid. What a create
// left unfinished (*.tmp) is removed. Where the file system has no O_DIRECT, warns and goes through
// the page cache, as durable and slower. disk_open_read_only opens without lock and without
// creating anything; its write, create, rename and remove answer -EROFS. NULL with `error` on
// failure. disk_close unlocks and frees. Different files may be created, written and renamed by
// different threads.
struct disk *disk_open_directory(const char *path, struct error *error);
struct disk *disk_open_read_only(const char *path, struct error *error);
void disk_close(struct disk *disk);

#endif
