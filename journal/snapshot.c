// SPDX-License-Identifier: MIT
#include "journal/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/crash.h"
#include "numa/fault.h"
#include "numa/invariant.h"

#define SNAPSHOT_MAGIC  0x53434C53u // "SLCS" in the file
#define TRAILER_MAGIC   0x45434C53u // "SLCE"
#define BUFFER_BYTES    (1u << 20)
#define NAME_SIZE       32
#define HASH_SIZE       32u
#define RECORDS_A_BLOCK (DISK_BLOCK_SIZE / SNAPSHOT_RECORD_SIZE)

// The first block, zeros behind it.
struct snapshot_header {
    uint32_t magic;
    uint16_t version;
    uint16_t shard;
    uint64_t seq;
    uint64_t record_count;
    uint64_t time_ns; // CLOCK_REALTIME: for people
};
static_assert(sizeof(struct snapshot_header) == 32, "snapshot format");

// The last block, zeros behind it.
struct snapshot_trailer {
    uint32_t magic;
    uint32_t reserved;
    uint8_t hash[HASH_SIZE];
};
static_assert(sizeof(struct snapshot_trailer) == 40, "snapshot format");

struct writer {
    struct disk *disk;
    int handle;
    uint64_t offset; // of the buffer in the file
    size_t used;
    unsigned char *buffer;
    crypto_generichash_state hash;
    int result; // of the first write that failed
};

static void snapshot_name(char name[NAME_SIZE], uint64_t seq)
{
    snprintf(name, NAME_SIZE, "snapshot-%016" PRIx64, seq);
}

static uint64_t state_blocks(uint64_t record_count)
{
    return (record_count + RECORDS_A_BLOCK - 1) / RECORDS_A_BLOCK;
}

static int cannot(struct error *error, const struct disk *disk, const char *what, const char *name,
                  int result)
{
    return error_set(error, "journal %s: cannot %s %s: %s", disk->path, what, name,
                     strerror(-result));
}

static unsigned char *new_buffer(const struct disk *disk, struct error *error)
{
    unsigned char *buffer = aligned_alloc(DISK_BLOCK_SIZE, BUFFER_BYTES);
    if (!buffer)
        error_set(error, "journal %s: no memory (%u bytes)", disk->path, BUFFER_BYTES);
    return buffer;
}

// --- Writing

static bool count_record(void *context, const void *record)
{
    (void)record;
    ++*(uint64_t *)context;
    return true;
}

static bool flush(struct writer *writer)
{
    if (writer->used == 0)
        return true;
    if (writer->offset > 0)
        CRASH_POINT(snapshot_unfinished);
    writer->result = writer->disk->operations->write(writer->disk, writer->handle, writer->offset,
                                                     writer->buffer, writer->used);
    writer->offset += writer->used;
    writer->used = 0;
    return writer->result == 0;
}

static bool put_bytes(struct writer *writer, const void *bytes, size_t size)
{
    memcpy(writer->buffer + writer->used, bytes, size);
    writer->used += size;
    return writer->used < BUFFER_BYTES || flush(writer);
}

static bool put(void *context, const void *record)
{
    struct writer *writer = context;
    crypto_generichash_update(&writer->hash, record, SNAPSHOT_RECORD_SIZE);
    return put_bytes(writer, record, SNAPSHOT_RECORD_SIZE);
}

// At a block's beginning.
static bool put_block(struct writer *writer, const void *bytes, size_t size)
{
    unsigned char block[DISK_BLOCK_SIZE] = {0};
    memcpy(block, bytes, size);
    return put_bytes(writer, block, sizeof(block));
}

static bool put_all(struct writer *writer, const struct snapshot_header *header,
                    snapshot_state_fn *state_fn, void *state)
{
    static const unsigned char zeros[SNAPSHOT_RECORD_SIZE];
    struct snapshot_trailer trailer = {.magic = TRAILER_MAGIC};
    unsigned char first[DISK_BLOCK_SIZE] = {0};
    memcpy(first, header, sizeof(*header));
    crypto_generichash_update(&writer->hash, first, sizeof(first));
    if (!put_block(writer, header, sizeof(*header)) || !state_fn(state, put, writer))
        return false;
    uint64_t padding = state_blocks(header->record_count) * RECORDS_A_BLOCK - header->record_count;
    while (padding-- > 0)
        if (!put(writer, zeros))
            return false;
    crypto_generichash_final(&writer->hash, trailer.hash, sizeof(trailer.hash));
    return put_block(writer, &trailer, sizeof(trailer)) && flush(writer);
}

static int write_file(struct disk *disk, const char *name, const struct snapshot_header *header,
                      snapshot_state_fn *state_fn, void *state, struct error *error)
{
    uint64_t bytes = (state_blocks(header->record_count) + 2) * DISK_BLOCK_SIZE;
    struct writer writer = {.disk = disk, .buffer = new_buffer(disk, error)};
    if (!writer.buffer)
        return -1;
    disk->operations->remove(disk, name); // of an attempt that came to nothing
    int result = disk->operations->create(disk, name, bytes, 0);
    writer.handle = result < 0 ? result : disk->operations->open(disk, name);
    if (writer.handle < 0) {
        free(writer.buffer);
        return cannot(error, disk, "create", name, writer.handle);
    }
    CRASH_POINT(snapshot_created);
    crypto_generichash_init(&writer.hash, NULL, 0, HASH_SIZE);
    bool whole = put_all(&writer, header, state_fn, state);
    CRASH_POINT(snapshot_unsynced);
    if (whole && (writer.result = disk->operations->sync(disk, writer.handle)) < 0)
        whole = false;
    CRASH_POINT(snapshot_unverified);
    disk->operations->close(disk, writer.handle);
    free(writer.buffer);
    if (whole)
        return 0;
    disk->operations->remove(disk, name);
    return cannot(error, disk, "write", name, writer.result);
}

// --- Reading

struct reading {
    struct disk *disk;
    const char *name;
    int handle;
    unsigned char *buffer;
    struct snapshot_header header;
    struct error *error;
};

static int read_part(struct reading *reading, uint64_t offset, size_t length)
{
    int64_t result = reading->disk->operations->read(reading->disk, reading->handle, offset,
                                                     reading->buffer, length);
    if (result == (int64_t)length)
        return 0;
    return cannot(reading->error, reading->disk, "read", reading->name,
                  result < 0 ? (int)result : -EIO);
}

static int bad(const struct reading *reading, const char *fault)
{
    return error_set(reading->error, "journal %s: %s is damaged: %s", reading->disk->path,
                     reading->name, fault);
}

static int begin_reading(struct reading *reading)
{
    reading->buffer = new_buffer(reading->disk, reading->error);
    if (!reading->buffer)
        return -1;
    reading->handle = reading->disk->operations->open(reading->disk, reading->name);
    if (reading->handle < 0) {
        free(reading->buffer);
        return cannot(reading->error, reading->disk, "open", reading->name, reading->handle);
    }
    if (read_part(reading, 0, DISK_BLOCK_SIZE) < 0)
        return -1;
    memcpy(&reading->header, reading->buffer, sizeof(reading->header));
    return 0;
}

static void end_reading(struct reading *reading)
{
    if (reading->handle >= 0)
        reading->disk->operations->close(reading->disk, reading->handle);
    if (reading->handle >= 0)
        free(reading->buffer);
}

// The file as a whole: sizes agree, and the hash is the trailer's.
static int check_file(struct reading *reading)
{
    const struct snapshot_header *header = &reading->header;
    struct snapshot_trailer trailer;
    uint8_t hash[HASH_SIZE];
    crypto_generichash_state state;
    int64_t size = reading->disk->operations->size(reading->disk, reading->handle);
    if (header->magic != SNAPSHOT_MAGIC || header->record_count > UINT64_MAX / 128 ||
        size != (int64_t)((state_blocks(header->record_count) + 2) * DISK_BLOCK_SIZE))
        return bad(reading, "its header or its size is wrong");
    uint64_t end = (uint64_t)size - DISK_BLOCK_SIZE;
    crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
    for (uint64_t offset = 0; offset < end;) {
        size_t length = end - offset < BUFFER_BYTES ? end - offset : BUFFER_BYTES;
        if (read_part(reading, offset, length) < 0)
            return -1;
        crypto_generichash_update(&state, reading->buffer, length);
        offset += length;
    }
    crypto_generichash_final(&state, hash, sizeof(hash));
    if (read_part(reading, end, DISK_BLOCK_SIZE) < 0)
        return -1;
    memcpy(&trailer, reading->buffer, sizeof(trailer));
    if (FAULT(SNAPSHOT_UNVERIFIED))
        return 0;
    if (trailer.magic != TRAILER_MAGIC || memcmp(trailer.hash, hash, sizeof(hash)) != 0)
        return bad(reading, "its checksum is wrong");
    return 0;
}

static int verify_file(struct disk *disk, const char *name, uint16_t shard, uint64_t seq,
                       struct error *error)
{
    struct reading reading = {.disk = disk, .name = name, .handle = -1, .error = error};
    int result = begin_reading(&reading);
    if (result == 0)
        result = check_file(&reading);
    if (result == 0 && reading.header.version != SNAPSHOT_VERSION)
        result = error_set(error,
                           "journal %s: %s was written by format version %u, this program reads %u",
                           disk->path, name, reading.header.version, SNAPSHOT_VERSION);
    if (result == 0 && (reading.header.shard != shard || reading.header.seq != seq))
        result = bad(&reading, "it is another shard's, or was renamed");
    end_reading(&reading);
    return result;
}

int snapshot_verify(struct disk *disk, uint16_t shard, uint64_t seq, struct error *error)
{
    char name[NAME_SIZE];
    snapshot_name(name, seq);
    return verify_file(disk, name, shard, seq, error);
}

int snapshot_read(struct disk *disk, uint64_t seq, snapshot_put_fn *take, void *context,
                  struct error *error)
{
    char name[NAME_SIZE];
    snapshot_name(name, seq);
    struct reading reading = {.disk = disk, .name = name, .handle = -1, .error = error};
    int result = begin_reading(&reading);
    uint64_t left = reading.header.record_count;
    for (uint64_t offset = DISK_BLOCK_SIZE; result == 0 && left > 0; offset += BUFFER_BYTES) {
        uint64_t count = BUFFER_BYTES / SNAPSHOT_RECORD_SIZE;
        if (count > left)
            count = left;
        result = read_part(&reading, offset, state_blocks(count) * DISK_BLOCK_SIZE);
        for (uint64_t i = 0; i < count && result == 0; i++)
            if (!take(context, reading.buffer + i * SNAPSHOT_RECORD_SIZE))
                result = bad(&reading, "its records make no sense");
        left -= count;
    }
    end_reading(&reading);
    return result;
}

// --- Those there are

struct listing {
    uint64_t *seqs;
    int count;
};

static void found(void *context, const char *name)
{
    struct listing *listing = context;
    char again[NAME_SIZE];
    if (strncmp(name, "snapshot-", 9) != 0 || listing->count == (int)SNAPSHOTS_MAX)
        return;
    uint64_t seq = strtoull(name + 9, NULL, 16);
    snapshot_name(again, seq);
    if (strcmp(again, name) == 0)
        listing->seqs[listing->count++] = seq;
}

static int newest_first(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a < b) - (a > b);
}

int snapshot_list(struct disk *disk, uint64_t seqs[SNAPSHOTS_MAX], struct error *error)
{
    struct listing listing = {.seqs = seqs};
    int result = disk->operations->list(disk, found, &listing);
    if (result < 0)
        return error_set(error, "journal %s: cannot list the folder: %s", disk->path,
                         strerror(-result));
    if (listing.count > 0)
        qsort(seqs, (size_t)listing.count, sizeof(*seqs), newest_first);
    return listing.count;
}

static void remove_others(struct disk *disk, uint64_t seq, uint64_t base_seq)
{
    uint64_t seqs[SNAPSHOTS_MAX];
    char name[NAME_SIZE];
    int count = snapshot_list(disk, seqs, NULL);
    for (int i = 0; i < count; i++) {
        snapshot_name(name, seqs[i]);
        if (seqs[i] != seq && seqs[i] != base_seq)
            disk->operations->remove(disk, name);
    }
}

int snapshot_write(struct disk *disk, uint16_t shard, uint64_t seq, uint64_t base_seq,
                   snapshot_state_fn *state_fn, void *state, struct error *error)
{
    char name[NAME_SIZE], unfinished[NAME_SIZE + 4];
    struct snapshot_header header = {.magic = SNAPSHOT_MAGIC,
                                     .version = SNAPSHOT_VERSION,
                                     .shard = shard,
                                     .seq = seq,
                                     .time_ns = disk->operations->time_ns(disk)};
    snapshot_name(name, seq);
    snprintf(unfinished, sizeof(unfinished), "%s.tmp", name);
    INVARIANT(state_fn(state, count_record, &header.record_count));
    if (write_file(disk, unfinished, &header, state_fn, state, error) < 0 ||
        verify_file(disk, unfinished, shard, seq, error) < 0)
        return -1;
    CRASH_POINT(snapshot_unnamed);
    int result = disk->operations->rename(disk, unfinished, name);
    if (result == -EEXIST) { // and not usable: nobody makes one that is there already
        disk->operations->remove(disk, name);
        result = disk->operations->rename(disk, unfinished, name);
    }
    if (result < 0)
        return cannot(error, disk, "name", name, result);
    CRASH_POINT(snapshot_named);
    remove_others(disk, seq, base_seq);
    CRASH_POINT(snapshot_done);
    return 0;
}
