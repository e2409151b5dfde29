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
    struct block_header header, next; // its own, and the one that follows it
    bool sealed;
    struct seal seal;
    struct error error; // empty: sound
};

static void report(struct verification *all, uint64_t bytes)
{
    pthread_mutex_lock(&all->lock);
    all->done_bytes += bytes;
    if (all->progress)
        all->progress(all->context, all->done_bytes, all->total_bytes);
    pthread_mutex_unlock(&all->lock);
}

static void damaged(struct closed *closed, uint64_t index, const char *fault)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, closed->number);
    error_set(&closed->error,
              "journal %s: %s is damaged at byte %" PRIu64 " (block %" PRIu64 "): %s",
              closed->all->disk->path, name, index * JOURNAL_BLOCK_SIZE,
              closed->header.block_no + index, fault);
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
    const struct block_header *next = &closed->next;
    const struct seal *seal = &closed->seal;
    uint64_t length = next->block_no - closed->header.block_no;
    if (next->prev_crc != chain->crc || next->first_seq != chain->next_seq) {
        damaged(closed, length - 1, "the segment after it does not follow");
        return;
    }
    if (!closed->sealed)
        return;
    bool same = memcmp(hash, seal->hash, sizeof(seal->hash)) == 0 &&
                seal->block_no == closed->header.block_no && seal->block_count == length &&
                seal->first_seq == closed->header.first_seq && seal->next_seq == next->first_seq;
    if (!same)
        damaged(closed, 0,
                "its seal is not that of these blocks: records were changed after it was "
                "closed, or the seal was");
}

static void read_closed(struct closed *closed, int handle, struct block *blocks)
{
    struct disk *disk = closed->all->disk;
    struct chain chain = {.block_no = closed->header.block_no,
                          .next_seq = closed->header.first_seq,
                          .crc = closed->header.prev_crc,
                          .epoch = closed->header.epoch,
                          .salt = closed->header.salt,
                          .shard = closed->header.shard};
    crypto_generichash_state state;
    uint8_t hash[JOURNAL_SEAL_SIZE];
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, closed->seal.previous, sizeof(closed->seal.previous));
    uint64_t end = closed->next.block_no - closed->header.block_no;
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
        report(closed->all, length);
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
        closed[i].header = headers->headers[i];
        closed[i].next = headers->headers[i + 1];
        uint64_t length = closed[i].next.block_no - closed[i].header.block_no;
        if (length == 0 || length > JOURNAL_SEGMENT_BYTES_MAX / JOURNAL_BLOCK_SIZE) {
            damaged(&closed[i], 0, "the segment after it does not follow");
            return error_set(error, "%s", closed[i].error.text);
        }
        all->total_bytes += length * JOURNAL_BLOCK_SIZE;
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

static int verify_all(struct closed *closed, size_t count, uint32_t workers, struct error *error)
{
    struct pool *pool = pool_open(workers, error);
    if (!pool)
        return -1;
    for (size_t i = 0; i < count; i++)
        pool_submit(pool, verify_closed, &closed[i]);
    pool_run(pool);
    pool_close(pool);
    for (size_t i = 0; i < count; i++)
        if (closed[i].error.text[0])
            return error_set(error, "%s", closed[i].error.text);
    return 0;
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
    uint64_t from_seq = headers.count > 0 ? headers.headers[headers.count - 1].first_seq - 1 : 0;
    result->segment_count = headers.count;
    result->bytes = all.total_bytes;
    free(headers.headers);
    if (status == 0)
        status = journal_scan(disk, from_seq, NULL, NULL, &result->stat, error);
    return status;
}
