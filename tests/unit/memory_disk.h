// SPDX-License-Identifier: MIT
//
// A disk in memory for the journal's tests: what is written is durable at once, files can be copied
// and damaged, and operations made to fail. And the few things that every journal test does.
#ifndef SLUICE_TESTS_UNIT_MEMORY_DISK_H
#define SLUICE_TESTS_UNIT_MEMORY_DISK_H

#include "journal/block.h"
#include "journal/journal.h"
#include "tests/unit/files.h"

// Called once; NULL: never.
struct memory_hook {
    void (*call)(void *context);
    void *context;
};

struct memory_disk {
    struct disk disk;
    struct files files;

    bool off;               // the power is gone: every write and create fails and does nothing
    uint64_t write_count;   // attempted
    uint64_t fail_at_write; // this one, counted from 1, and no other
    int fail_errno;
    bool fail_half_way;      // half of it is written first
    int create_errno;        // 0, or what create answers
    uint64_t created_per_ms; // the pace that the last create was asked for
    int read_errno, sync_errno;
    struct memory_hook before_read; // … at this offset
    uint64_t before_read_offset;
    struct memory_hook before_open; // … of this name, once it was opened so often
    const char *before_open_name;
    int before_open_skip;
    struct memory_hook while_listing; // … once this name was told
    const char *while_listing_name;

    int last_file; // of the last write that went through
    uint64_t last_offset;
    size_t last_length;
};

static inline struct file *memory_find(struct memory_disk *memory, const char *name)
{
    return files_find(&memory->files, name);
}

static inline void memory_call(struct memory_hook *hook)
{
    struct memory_hook once = *hook;
    hook->call = NULL;
    once.call(once.context);
}

static inline int memory_open(struct disk *disk, const char *name)
{
    struct memory_disk *memory = (struct memory_disk *)disk;
    if (memory->before_open.call && strcmp(name, memory->before_open_name) == 0 &&
        memory->before_open_skip-- == 0)
        memory_call(&memory->before_open);
    return files_open(&memory->files, name);
}

static inline int memory_create(struct disk *disk, const char *name, uint64_t size,
                                uint64_t bytes_per_ms)
{
    struct memory_disk *memory = (struct memory_disk *)disk;
    memory->created_per_ms = bytes_per_ms;
    if (memory->off)
        return -EIO;
    if (memory->create_errno)
        return memory->create_errno;
    if (memory_find(memory, name))
        return -EEXIST;
    files_create(&memory->files, name, size);
    return 0;
}

static inline void memory_close(struct disk *disk, int handle)
{
    (void)disk;
    INVARIANT(handle >= 0);
}

static inline int64_t memory_size(struct disk *disk, int handle)
{
    return (int64_t)((struct memory_disk *)disk)->files.at[handle].size;
}

static inline int64_t memory_read(struct disk *disk, int handle, uint64_t offset, void *buffer,
                                  size_t length)
{
    struct memory_disk *memory = (struct memory_disk *)disk;
    if (memory->read_errno)
        return memory->read_errno;
    if (memory->before_read.call && offset == memory->before_read_offset)
        memory_call(&memory->before_read);
    return files_read(&memory->files, handle, offset, buffer, length);
}

static inline int memory_write(struct disk *disk, int handle, uint64_t offset, const void *buffer,
                               size_t length)
{
    struct memory_disk *memory = (struct memory_disk *)disk;
    unsigned char *target = files_target(&memory->files, handle, offset, buffer, length);
    memory->write_count++;
    if (memory->off)
        return -EIO;
    if (memory->write_count == memory->fail_at_write) {
        if (memory->fail_half_way)
            memcpy(target, buffer, length / 2);
        return memory->fail_errno;
    }
    memcpy(target, buffer, length);
    memory->last_file = handle;
    memory->last_offset = offset;
    memory->last_length = length;
    return 0;
}

static inline int memory_sync(struct disk *disk, int handle)
{
    (void)handle;
    return ((struct memory_disk *)disk)->sync_errno;
}

static inline int memory_sync_directory(struct disk *disk)
{
    return ((struct memory_disk *)disk)->sync_errno;
}

struct memory_listing {
    struct memory_disk *memory;
    void (*found)(void *context, const char *name);
    void *context;
};

static inline void memory_found(void *context, const char *name)
{
    struct memory_listing *listing = context;
    struct memory_disk *memory = listing->memory;
    bool here = memory->while_listing.call && strcmp(name, memory->while_listing_name) == 0;
    listing->found(listing->context, name);
    if (here)
        memory_call(&memory->while_listing);
}

static inline int memory_list(struct disk *disk, void (*found)(void *context, const char *name),
                              void *context)
{
    struct memory_listing listing = {(struct memory_disk *)disk, found, context};
    files_list(&listing.memory->files, memory_found, &listing);
    return 0;
}

static inline int memory_remove(struct disk *disk, const char *name)
{
    struct file *file = memory_find((struct memory_disk *)disk, name);
    if (!file)
        return -ENOENT;
    files_remove(file);
    return 0;
}

static inline int memory_rename(struct disk *disk, const char *from, const char *to)
{
    struct memory_disk *memory = (struct memory_disk *)disk;
    struct file *file = memory_find(memory, from);
    if (memory->off)
        return -EIO;
    if (!file)
        return -ENOENT;
    if (memory_find(memory, to))
        return -EEXIST;
    files_rename(file, to);
    return 0;
}

static inline uint64_t memory_time_ns(struct disk *disk)
{
    return ((struct memory_disk *)disk)->write_count;
}

static inline uint32_t memory_draw(struct disk *disk)
{
    // Never the same twice on one disk or a copy of it, as good as never by chance either.
    static uint32_t drawn;
    (void)disk;
    return (drawn += 0x9E3779B9u);
}

static const struct disk_operations memory_operations = {
    .open = memory_open,
    .create = memory_create,
    .close = memory_close,
    .size = memory_size,
    .read = memory_read,
    .write = memory_write,
    .sync = memory_sync,
    .sync_directory = memory_sync_directory,
    .list = memory_list,
    .remove = memory_remove,
    .rename = memory_rename,
    .time_ns = memory_time_ns,
    .draw = memory_draw,
};

static inline struct memory_disk *memory_new(void)
{
    struct memory_disk *memory = calloc(1, sizeof(*memory));
    memory->disk = (struct disk){.operations = &memory_operations, .path = "memory"};
    return memory;
}

static inline void memory_free(struct memory_disk *memory)
{
    files_free(&memory->files);
    free(memory);
}

static inline struct memory_disk *memory_copy(const struct memory_disk *from)
{
    struct memory_disk *memory = memory_new();
    files_copy(&memory->files, &from->files);
    return memory;
}

static inline struct block *memory_block(struct memory_disk *memory, const char *name,
                                         uint64_t index)
{
    return (struct block *)memory_find(memory, name)->bytes + index;
}

// Records whose bytes follow from their number.

static inline void record_fill(unsigned char record[JOURNAL_RECORD_SIZE], uint64_t seq)
{
    uint64_t words[JOURNAL_RECORD_SIZE / 8];
    for (size_t i = 0; i < JOURNAL_RECORD_SIZE / 8; i++)
        words[i] = (seq + i) * 0x9E3779B97F4A7C15u;
    memcpy(record, words, sizeof(words));
}

struct reader {
    uint64_t count; // records seen
    uint64_t wrong; // out of order, or with other bytes
};

static inline bool reader_each(void *context, uint64_t seq, const void *record)
{
    struct reader *reader = context;
    unsigned char expected[JOURNAL_RECORD_SIZE];
    record_fill(expected, seq);
    reader->count++;
    if (seq != reader->count || memcmp(record, expected, sizeof(expected)) != 0)
        reader->wrong++;
    return true;
}

// A ring of 16384 slots.
static inline struct ring *test_ring_new(void)
{
    return ring_init(aligned_alloc(128, ring_memory_size(1u << 14)), 1u << 14);
}

// Put records first_seq, first_seq + 1, … into the ring.
static inline void test_ring_fill(struct ring *ring, uint64_t first_seq, uint32_t count)
{
    INVARIANT(ring_writable(ring, count) >= count);
    for (uint32_t i = 0; i < count; i++)
        record_fill(ring_write_slot(ring, i), first_seq + i);
    ring_commit(ring, count);
}

static inline uint64_t durable_seq(struct journal *journal)
{
    return atomic_load_explicit(&journal_progress(journal)->durable_seq, memory_order_acquire);
}

// One journal_write of `count` more records; returns what it returned.
static inline int append(struct journal *journal, struct ring *ring, uint32_t count)
{
    test_ring_fill(ring, durable_seq(journal) + 1, count);
    return journal_write(journal, ring);
}

// The process is gone: nothing more reaches the disk.
static inline void crash(struct memory_disk *memory, struct journal *journal)
{
    memory->off = true;
    journal_close(journal, NULL);
    memory->off = false;
}

#endif
