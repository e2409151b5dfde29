// SPDX-License-Identifier: MIT
#include "journal/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "journal/block.h"
#include "journal/scan.h"
#include "journal/seal.h"
#include "numa/pool.h"

#define PIECE_BYTES  (1u << 20)
#define PIECE_BLOCKS (PIECE_BYTES / JOURNAL_BLOCK_SIZE)

struct verification {
    struct disk *disk;
    journal_progress_fn *progress;
    void *context;
    pthread_mutex_t lock; // of what follows
    uint64_t done_bytes, total_bytes;
};

// A closed segment: a task.
struct closed {
    struct verification *all;
    uint64_t number;
    const struct scan_segment *segment;
    const struct block_header *next; // of the segment that follows it
    bool sealed;
    struct seal seal;
    uint64_t read_bytes;
    bool gone;          // taken to be used again, while the log was being verified
    struct error error; // empty: sound
};

static void report(struct verification *all, uint64_t done_bytes, uint64_t left_out_bytes)
{
    pthread_mutex_lock(&all->lock);
    all->done_bytes += done_bytes;
    all->total_bytes -= left_out_bytes;
    if (all->progress && all->total_bytes > 0)
        all->progress(all->context, all->done_bytes, all->total_bytes);
    pthread_mutex_unlock(&all->lock);
}

static void damaged(struct closed *closed, uint64_t index, const char *fault)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, closed->number);
    error_set(&closed->error,
              "journal %s: %s is damaged at byte %" PRIu64 " (block %" PRIu64 "): %s; " SCAN_REMEDY,
              closed->all->disk->path, name, index * JOURNAL_BLOCK_SIZE,
              closed->segment->header.block_no + index, fault);
}

// The blocks in memory, which begin at `index` of the segment; false once one is bad.
static bool walk(struct closed *closed, struct chain *chain, const struct block *blocks,
                 uint64_t index, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const char *fault = chain_fault(chain, &blocks[i]);
        if (fault) {
            damaged(closed, index + i, fault);
            return false;
        }
        chain_advance(chain, &blocks[i]);
    }
    return true;
}

static void check_end(struct closed *closed, const struct chain *chain, const uint8_t *hash)
{
    const struct block_header *header = &closed->segment->header, *next = closed->next;
    const struct seal *seal = &closed->seal;
    uint64_t length = closed->segment->length;
    if (next->prev_crc != chain->crc || next->first_seq != chain->next_seq) {
        damaged(closed, length - 1, "the segment after it does not follow");
        return;
    }
    if (!closed->sealed)
        return;
    bool same = memcmp(hash, seal->hash, sizeof(seal->hash)) == 0 &&
                seal->block_no == header->block_no && seal->block_count == length &&
                seal->first_seq == header->first_seq && seal->next_seq == next->first_seq;
    if (!same)
        damaged(closed, 0,
                "its seal is not that of these blocks: records were changed after it was "
                "closed, or the seal was");
}

static void read_closed(struct closed *closed, int handle, struct block *blocks)
{
    struct disk *disk = closed->all->disk;
    const struct block_header *header = &closed->segment->header;
    struct chain chain = {.block_no = header->block_no,
                          .next_seq = header->first_seq,
                          .crc = header->prev_crc,
                          .epoch = header->epoch,
                          .salt = header->salt,
                          .shard = header->shard};
    crypto_generichash_state state;
    uint8_t hash[JOURNAL_SEAL_SIZE];
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, closed->seal.previous, sizeof(closed->seal.previous));
    uint64_t end = closed->segment->length;
    for (uint64_t index = 0; index < end;) {
        uint64_t count = end - index < PIECE_BLOCKS ? end - index : PIECE_BLOCKS;
        size_t length = count * JOURNAL_BLOCK_SIZE;
        int64_t result =
            disk->operations->read(disk, handle, index * JOURNAL_BLOCK_SIZE, blocks, length);
        if (result != (int64_t)length) {
            damaged(closed, index, result < 0 ? strerror((int)-result) : "the file ends too early");
            return;
        }
        if (!walk(closed, &chain, blocks, index, count))
            return;
        if (closed->sealed)
            crypto_generichash_update(&state, (const unsigned char *)blocks, length);
        index += count;
        closed->read_bytes += length;
        report(closed->all, length, 0);
    }
    crypto_generichash_final(&state, hash, sizeof(hash));
    check_end(closed, &chain, hash);
}

static void verify_closed(struct pool *pool, void *argument)
{
    (void)pool;
    struct closed *closed = argument;
    struct disk *disk = closed->all->disk;
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, closed->number);
    struct block *blocks = aligned_alloc(DISK_BLOCK_SIZE, PIECE_BYTES);
    int handle = disk->operations->open(disk, name);
    if (!blocks)
        error_set(&closed->error, "journal %s: no memory (%u bytes)", disk->path, PIECE_BYTES);
    else if (handle < 0)
        error_set(&closed->error, "journal %s: cannot open %s: %s", disk->path, name,
                  strerror(-handle));
    else
        read_closed(closed, handle, blocks);
    if (handle >= 0)
        disk->operations->close(disk, handle);
    free(blocks);
    closed->gone = closed->error.text[0] && scan_gone(disk, closed->number);
    if (closed->gone)
        report(closed->all, 0, closed->segment->length * JOURNAL_BLOCK_SIZE - closed->read_bytes);
}

static int read_seal(struct closed *closed, struct error *error)
{
    int result = seal_read(closed->all->disk, closed->number, &closed->seal);
    closed->sealed = result == 0;
    if (result == 0 || result == -ENOENT)
        return 0;
    return error_set(error, "journal %s: the seal of segment %" PRIx64 " %s",
                     closed->all->disk->path, closed->number,
                     result == -EBADMSG ? "is damaged" : "cannot be read");
}

// Each segment with the header of the one behind it.
static int prepare(struct verification *all, const struct scan_headers *headers,
                   struct closed *closed, struct error *error)
{
    for (size_t i = 0; i + 1 < headers->count; i++) {
        closed[i].all = all;
        closed[i].number = headers->first_number + i;
        closed[i].segment = &headers->segments[i];
        closed[i].next = &headers->segments[i + 1].header;
        all->total_bytes += headers->segments[i].length * JOURNAL_BLOCK_SIZE;
        if (read_seal(&closed[i], error) < 0)
            return -1;
    }
    return 0;
}

// The seals follow each other. What stands in front of the first one is taken on trust.
static int check_seals(const struct closed *closed, size_t count,
                       struct journal_verification *result, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct seal *seal = &closed[i].seal;
        result->segment_count += !closed[i].gone;
        if (closed[i].gone)
            continue;
        if (!closed[i].sealed) {
            result->unsealed_count++;
            continue;
        }
        bool follows = i == 0 || !closed[i - 1].sealed ||
                       memcmp(seal->previous, closed[i - 1].seal.hash, sizeof(seal->hash)) == 0;
        if (!follows)
            return error_set(error,
                             "journal %s: the seal of segment %" PRIx64
                             " does not follow the one before it: one of them was changed",
                             closed[i].all->disk->path, closed[i].number);
        result->sealed_count++;
        result->sealed = closed[i].number;
        memcpy(result->seal, seal->hash, sizeof(result->seal));
    }
    return 0;
}

// The oldest are taken first, some of them after they were read: one that is gone is left out when
// none before it is there any more.
static int check_errors(const struct closed *closed, size_t count, struct error *error)
{
    size_t there = 0; // the first that may still be there
    for (size_t i = 0; i < count; i++) {
        if (!closed[i].error.text[0])
            continue;
        while (closed[i].gone && there < i &&
               (closed[there].gone || scan_gone(closed[i].all->disk, closed[there].number)))
            there++;
        if (!closed[i].gone || there < i)
            return error_set(error, "%s", closed[i].error.text);
    }
    return 0;
}

static int verify_all(struct closed *closed, size_t count, uint32_t workers, struct error *error)
{
    struct pool *pool = pool_open(workers, error);
    if (!pool)
        return -1;
    for (size_t i = 0; i < count; i++)
        pool_submit(pool, verify_closed, &closed[i]);
    pool_run(pool);
    pool_close(pool);
    return check_errors(closed, count, error);
}

static int verify_closed_ones(struct verification *all, const struct scan_headers *headers,
                              uint32_t workers, struct journal_verification *result,
                              struct error *error)
{
    size_t count = headers->count > 0 ? headers->count - 1 : 0;
    if (count == 0)
        return 0;
    struct closed *closed = calloc(count, sizeof(*closed));
    if (!closed)
        return error_set(error, "journal %s: no memory for %zu segments", all->disk->path, count);
    int status = prepare(all, headers, closed, error);
    if (status == 0)
        status = verify_all(closed, count, workers, error);
    if (status == 0)
        status = check_seals(closed, count, result, error);
    free(closed);
    return status;
}

// The last segment, what came behind it meanwhile, and the spares.
static int verify_last(struct disk *disk, const struct scan_headers *headers,
                       struct journal_stat *stat, struct error *error)
{
    if (headers->count == 0)
        return journal_scan(disk, 0, NULL, NULL, stat, error);
    uint64_t number = headers->first_number + headers->count - 1;
    uint64_t from_seq = headers->segments[headers->count - 1].header.first_seq - 1;
    int status = journal_scan(disk, from_seq, NULL, NULL, stat, error);
    if (status < 0 && scan_gone(disk, number)) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(name, number);
        error_set(error, "journal %s: %s " SCAN_OVERTAKEN, disk->path, name);
    }
    return status;
}

int journal_verify(struct disk *disk, uint32_t workers, journal_progress_fn *progress,
                   void *context, struct journal_verification *result, struct error *error)
{
    struct verification all = {.disk = disk, .progress = progress, .context = context};
    struct scan_headers headers;
    *result = (struct journal_verification){0};
    if (scan_headers(disk, &headers, error) < 0)
        return -1;
    pthread_mutex_init(&all.lock, NULL);
    int status = verify_closed_ones(&all, &headers, workers, result, error);
    pthread_mutex_destroy(&all.lock);
    result->segment_count += headers.count > 0;
    result->bytes = all.done_bytes;
    if (status == 0)
        status = verify_last(disk, &headers, &result->stat, error);
    free(headers.segments);
    return status;
}
