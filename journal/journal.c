// SPDX-License-Identifier: MIT
#include "journal/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal/block.h"
#include "journal/scan.h"
#include "journal/seal.h"
#include "numa/crash.h"
#include "numa/fault.h"
#include "numa/probe.h"

#define WRITE_RECORDS_MAX  (JOURNAL_WRITE_BLOCKS_MAX * JOURNAL_BLOCK_RECORDS)

// Zeros for a spare are written at 64 MiB/s where it is the only one missing: see disk.h. A large
// segment is written faster, so that it is ready within half of the time that journal_write waits
// for it.
#define SPARE_BYTES_PER_MS 65536u
#define SPARE_MS_MAX       (JOURNAL_SPARE_WAIT_MS / 2)
#define SPARE_DOUBLED_MAX  16u

struct journal {
    struct journal_progress progress;

    // The journal's thread.
    alignas(128) struct disk *disk;
    struct block *blocks;     // JOURNAL_WRITE_BLOCKS_MAX, what the next write carries
    struct chain chain;       // of the next block
    int handle;               // of the current segment
    uint64_t next_index;      // place of the next block in the current segment
    uint64_t end_index;       // blocks in the current segment
    bool unproven;            // the last block holds records and no later block vouches for it
    _Atomic uint64_t segment; // number of the current segment; written here, read by the helper
    struct journal_options options;
    struct error error;

    // The helper that makes spares.
    alignas(128) _Atomic uint64_t created; // number of the last file; written by the helper
    _Atomic int create_error;              // of the last attempt: 0 or -errno
    uint64_t first;                        // number of the oldest segment; the helper's
    uint64_t sealed;                       // number of the last segment with a seal, and
    uint8_t seal[JOURNAL_SEAL_SIZE];       // that seal; the helper's
    struct block *old;                     // JOURNAL_WRITE_BLOCKS_MAX, of a segment used again
    _Atomic uint64_t recyclable;           // records up to this one are in two snapshots
};

static_assert(offsetof(struct journal, disk) % 128 == 0 &&
                  offsetof(struct journal, created) % 128 == 0,
              "what the two threads write is on blocks of their own");

// Spares

static uint64_t spares_left(struct journal *journal)
{
    // Acquire pairs with the release in journal_make_spare: the file is whole and synced.
    uint64_t created = atomic_load_explicit(&journal->created, memory_order_acquire);
    // Acquire pairs with the release in start_segment: as seen by the helper.
    return created - atomic_load_explicit(&journal->segment, memory_order_acquire);
}

static void publish_spares(struct journal *journal)
{
    // Release pairs with the reader's acquire.
    atomic_store_explicit(&journal->progress.spare_count, (uint32_t)spares_left(journal),
                          memory_order_release);
}

// The header of a closed segment, and its size. 0 or -errno.
static int read_header(struct journal *journal, uint64_t number, struct block_header *header,
                       int64_t *bytes)
{
    const struct disk_operations *operations = journal->disk->operations;
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    int handle = operations->open(journal->disk, name);
    if (handle < 0)
        return handle;
    int64_t count = operations->read(journal->disk, handle, 0, journal->old, JOURNAL_BLOCK_SIZE);
    *bytes = operations->size(journal->disk, handle);
    operations->close(journal->disk, handle);
    *header = journal->old[0].header;
    return count == JOURNAL_BLOCK_SIZE && block_fault(&journal->old[0]) == NULL ? 0 : -EIO;
}

// Where recovery cut a segment, half of a write may be left behind the cut: it goes, so that a
// spare holds whole blocks and zeros and nothing else.
static int clear_tail(struct journal *journal, const char *name, uint64_t index, uint64_t end)
{
    const struct disk_operations *operations = journal->disk->operations;
    uint64_t count = end - index;
    if (count > JOURNAL_WRITE_BLOCKS_MAX)
        count = JOURNAL_WRITE_BLOCKS_MAX;
    if (count == 0)
        return 0;
    int handle = operations->open(journal->disk, name);
    if (handle < 0)
        return handle;
    memset(journal->old, 0, count * JOURNAL_BLOCK_SIZE);
    int result = operations->write(journal->disk, handle, index * JOURNAL_BLOCK_SIZE, journal->old,
                                   count * JOURNAL_BLOCK_SIZE);
    CRASH_POINT(recycle_cleared);
    operations->close(journal->disk, handle);
    return result;
}

// The oldest segment becomes the spare `name`, when it may: 1; 0 when it may not, or -errno.
static int recycle(struct journal *journal, const char *name)
{
    uint64_t segment = atomic_load_explicit(&journal->segment, memory_order_acquire);
    // Acquire pairs with the release in journal_recyclable: the snapshots are on disk.
    uint64_t seq = atomic_load_explicit(&journal->recyclable, memory_order_acquire);
    if (journal->options.keep_segments == 0 || journal->first > journal->sealed ||
        segment <= journal->first + journal->options.keep_segments)
        return 0;
    struct block_header header, next;
    int64_t bytes, next_bytes;
    int result = read_header(journal, journal->first + 1, &next, &next_bytes);
    if (result < 0 || next.first_seq > seq + 1)
        return result;
    result = read_header(journal, journal->first, &header, &bytes);
    if (result < 0)
        return result;
    char old_name[SEGMENT_NAME_SIZE];
    segment_name(old_name, journal->first);
    bool fits = (uint64_t)bytes == journal->options.segment_bytes;
    if (fits)
        result = clear_tail(journal, old_name, next.block_no - header.block_no,
                            (uint64_t)bytes / JOURNAL_BLOCK_SIZE);
    CRASH_POINT(recycle_unrenamed);
    if (result == 0)
        result = fits ? journal->disk->operations->rename(journal->disk, old_name, name)
                      : journal->disk->operations->remove(journal->disk, old_name);
    if (result < 0)
        return result;
    CRASH_POINT(recycle_renamed);
    journal->first++;
    return fits;
}

int journal_seal(struct journal *journal)
{
    uint64_t number = journal->sealed + 1;
    // Acquire pairs with the release in start_segment: the segment before is complete.
    if (number >= atomic_load_explicit(&journal->segment, memory_order_acquire))
        return 0;
    struct block_header header, next;
    int64_t bytes;
    int result = read_header(journal, number, &header, &bytes);
    if (result == 0)
        result = read_header(journal, number + 1, &next, &bytes);
    if (result < 0)
        return result;
    struct seal seal = {.shard = journal->options.shard,
                        .number = number,
                        .block_no = header.block_no,
                        .block_count = next.block_no - header.block_no,
                        .first_seq = header.first_seq,
                        .next_seq = next.first_seq};
    memcpy(seal.previous, journal->seal, sizeof(seal.previous));
    result = seal_make(journal->disk, &seal, journal->old,
                       (size_t)JOURNAL_WRITE_BLOCKS_MAX * JOURNAL_BLOCK_SIZE);
    if (result == 0)
        result = seal_write(journal->disk, &seal);
    if (result < 0)
        return result;
    memcpy(journal->seal, seal.hash, sizeof(seal.hash));
    journal->sealed = number;
    return 1;
}

static int create_spare(struct journal *journal, uint64_t bytes_per_ms)
{
    char name[SEGMENT_NAME_SIZE];
    uint64_t number = atomic_load_explicit(&journal->created, memory_order_relaxed) + 1;
    segment_name(name, number);
    CRASH_POINT(spare_unmade);
    int result = recycle(journal, name);
    if (result == 0)
        result = journal->disk->operations->create(journal->disk, name,
                                                   journal->options.segment_bytes, bytes_per_ms);
    // Release pairs with the acquire in wait_for_spare.
    atomic_store_explicit(&journal->create_error, result < 0 ? result : 0, memory_order_release);
    if (result < 0)
        return result;
    CRASH_POINT(spare_made);
    // Release pairs with the acquire in spares_left.
    atomic_store_explicit(&journal->created, number, memory_order_release);
    return 1;
}

// Twice as fast for each further one that is missing: the writer finds one at whatever rate the
// disk can keep up with. 0, as fast as it goes, when none is left.
static uint64_t spare_pace(const struct journal_options *options, uint64_t left)
{
    uint64_t bytes_per_ms = options->segment_bytes / SPARE_MS_MAX;
    uint64_t doubled = options->spares - left - 1;
    if (left == 0)
        return 0;
    if (bytes_per_ms < SPARE_BYTES_PER_MS)
        bytes_per_ms = SPARE_BYTES_PER_MS;
    return bytes_per_ms << (doubled < SPARE_DOUBLED_MAX ? doubled : SPARE_DOUBLED_MAX);
}

int journal_make_spare(struct journal *journal)
{
    uint64_t left = spares_left(journal);
    if (left >= journal->options.spares)
        return 0;
    return create_spare(journal, spare_pace(&journal->options, left));
}

// 0 once there is one, else the reason: the helper's -errno, or -ETIMEDOUT.
static int wait_for_spare(struct journal *journal)
{
    for (unsigned ms = 0; ms < JOURNAL_SPARE_WAIT_MS; ms++) {
        // Acquire pairs with the release in create_spare.
        int create_error = atomic_load_explicit(&journal->create_error, memory_order_acquire);
        if (spares_left(journal) > 0)
            return 0;
        if (create_error < 0)
            return create_error;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return -ETIMEDOUT;
}

// Failure

static int spare_error(const struct journal *journal, struct error *error, int reason)
{
    const char *path = journal->disk->path;
    if (reason == -ETIMEDOUT)
        return error_set(error,
                         "journal %s: the segment is full and no spare was ready within %u ms: the "
                         "disk is too slow for this load; have more spares, or a faster disk, and "
                         "start again",
                         path, JOURNAL_SPARE_WAIT_MS);
    if (reason == -ENOSPC || reason == -EDQUOT)
        return error_set(error,
                         "journal %s: the disk is full: no room for another segment of %" PRIu64
                         " bytes (%s); free that much on the file system of %s and start again",
                         path, journal->options.segment_bytes, strerror(-reason), path);
    return error_set(error,
                     "journal %s: cannot create the next segment: %s; check the disk and the "
                     "folder's rights, and start again",
                     path, strerror(-reason));
}

// The end: nothing is written any more, and what was not acknowledged never will be.
static int fail(struct journal *journal)
{
    // Release pairs with the reader's acquire.
    atomic_store_explicit(&journal->progress.failed, true, memory_order_release);
    return -1;
}

static int fail_segment(struct journal *journal, const char *what, uint64_t number, uint64_t offset,
                        int reason)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    error_set(&journal->error,
              "journal %s: cannot %s %s at byte %" PRIu64 ": %s; nothing after record %" PRIu64
              " was acknowledged; check the disk%s, and start again",
              journal->disk->path, what, name, offset, strerror(-reason),
              atomic_load_explicit(&journal->progress.durable_seq, memory_order_relaxed),
              reason == -ENOSPC ? " (it is full: free some space there)" : "");
    return fail(journal);
}

static bool failed(const struct journal *journal)
{
    // Relaxed: this thread's own.
    return atomic_load_explicit(&journal->progress.failed, memory_order_relaxed);
}

// Writing

static void seal(struct journal *journal, uint32_t write_index, uint16_t flags,
                 uint32_t record_count)
{
    struct block *block = &journal->blocks[write_index];
    // All that was written before this write, for there is one at a time.
    uint64_t durable_seq =
        atomic_load_explicit(&journal->progress.durable_seq, memory_order_relaxed);
    block->header = (struct block_header){
        .flags = flags,
        .durable_upto = FAULT(DURABLE_UPTO_AHEAD) ? journal->chain.next_seq - 1 : durable_seq,
        .time_ns = journal->disk->operations->time_ns(journal->disk),
        .record_count = record_count,
        .write_index = FAULT(WRITE_INDEX_LOST) ? 0 : (uint16_t)write_index,
    };
    block_seal(block, &journal->chain);
}

// The first `count` blocks, sealed, to the next places of the current segment.
static int write_blocks(struct journal *journal, uint32_t count)
{
    INVARIANT(count > 0 && count <= JOURNAL_WRITE_BLOCKS_MAX);
    INVARIANT(journal->next_index + count <= journal->end_index);
    uint64_t offset = journal->next_index * JOURNAL_BLOCK_SIZE;
    int result =
        journal->disk->operations->write(journal->disk, journal->handle, offset, journal->blocks,
                                         (size_t)count * JOURNAL_BLOCK_SIZE);
    if (result < 0 && !FAULT(WRITE_ERROR_IGNORED))
        return fail_segment(journal, "write",
                            atomic_load_explicit(&journal->segment, memory_order_relaxed), offset,
                            result);
    journal->next_index += count;
    // What this write says of the ones before it is on disk now.
    journal->unproven = journal->blocks[count - 1].header.record_count > 0;
    return 0;
}

static int write_mark(struct journal *journal, uint16_t flags)
{
    memset(journal->blocks[0].records, 0, sizeof(journal->blocks[0].records));
    seal(journal, 0, flags, 0);
    CRASH_POINT(mark_unwritten);
    return write_blocks(journal, 1);
}

// Go on in the next file, which is a spare: one durable write of its header.
static int start_segment(struct journal *journal)
{
    const struct disk_operations *operations = journal->disk->operations;
    uint64_t number = atomic_load_explicit(&journal->segment, memory_order_relaxed) + 1;
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    if (journal->handle >= 0)
        operations->close(journal->disk, journal->handle);
    journal->handle = operations->open(journal->disk, name);
    if (journal->handle < 0)
        return fail_segment(journal, "open", number, 0, journal->handle);
    int64_t bytes = operations->size(journal->disk, journal->handle);
    if (bytes < (int64_t)JOURNAL_SEGMENT_BYTES_MIN)
        return fail_segment(journal, "use", number, 0, bytes < 0 ? (int)bytes : -EINVAL);
    journal->next_index = 0;
    journal->end_index = (uint64_t)bytes / JOURNAL_BLOCK_SIZE;
    // Release pairs with the acquire in spares_left.
    atomic_store_explicit(&journal->segment, number, memory_order_release);
    publish_spares(journal);

    if (!FAULT(SALT_REUSED))
        journal->chain.salt = operations->draw(journal->disk);
    memset(journal->blocks[0].records, 0, sizeof(journal->blocks[0].records));
    journal->blocks[0].segment = (struct block_segment){.number = number, .bytes = (uint64_t)bytes};
    seal(journal, 0, BLOCK_SEGMENT, 0);
    CRASH_POINT(segment_unwritten);
    if (write_blocks(journal, 1) < 0)
        return -1;
    CRASH_POINT(segment_started);
    return 0;
}

static bool segment_full(const struct journal *journal)
{
    return journal->next_index == journal->end_index;
}

static int make_room(struct journal *journal)
{
    if (!segment_full(journal))
        return 0;
    int reason = wait_for_spare(journal);
    if (reason < 0) {
        spare_error(journal, &journal->error, reason);
        return fail(journal);
    }
    return start_segment(journal);
}

static uint32_t fill_block(struct block *block, struct ring *ring, uint32_t offset, uint32_t left)
{
    uint32_t count = left < JOURNAL_BLOCK_RECORDS ? left : JOURNAL_BLOCK_RECORDS;
    for (uint32_t i = 0; i < count; i++)
        memcpy(block->records[i], ring_read_slot(ring, offset + i), JOURNAL_RECORD_SIZE);
    memset(block->records[count], 0, (size_t)(JOURNAL_BLOCK_RECORDS - count) * JOURNAL_RECORD_SIZE);
    return count;
}

int journal_write(struct journal *journal, struct ring *ring)
{
    static_assert(RING_SLOT_SIZE == JOURNAL_RECORD_SIZE, "slots are records");
    if (failed(journal))
        return -1;
    publish_spares(journal);
    uint32_t ready = ring_readable(ring, WRITE_RECORDS_MAX);
    if (ready == 0)
        return 0;
    if (make_room(journal) < 0)
        return -1;
    uint64_t room = (journal->end_index - journal->next_index) * JOURNAL_BLOCK_RECORDS;
    uint32_t count = ready < WRITE_RECORDS_MAX ? ready : WRITE_RECORDS_MAX;
    if (count > room)
        count = (uint32_t)room;
    uint32_t done = 0, block_count = 0;
    while (done < count) {
        uint32_t taken = fill_block(&journal->blocks[block_count], ring, done, count - done);
        seal(journal, block_count++, 0, taken);
        done += taken;
    }
    if (FAULT(PUBLISHED_EARLY))
        atomic_store(&journal->progress.durable_seq, journal->chain.next_seq - 1);
    CRASH_POINT(batch_unwritten);
    if (write_blocks(journal, block_count) < 0)
        return -1;
    CRASH_POINT(batch_written);
    ring_release(ring, count);
    CRASH_POINT(batch_unpublished);
    PROBE(durable, journal->options.shard, journal->chain.next_seq - count,
          journal->chain.next_seq - 1);
    // Release pairs with the acquire of the release gate: what is published as durable is.
    atomic_store_explicit(&journal->progress.durable_seq, journal->chain.next_seq - 1,
                          memory_order_release);
    CRASH_POINT(batch_published);
    return (int)count;
}

int journal_idle(struct journal *journal)
{
    if (failed(journal))
        return -1;
    publish_spares(journal);
    if (!journal->unproven)
        return 0;
    if (!segment_full(journal))
        return write_mark(journal, BLOCK_IDLE);
    // The next segment's header says it as well.
    return spares_left(journal) > 0 ? start_segment(journal) : 0;
}

void journal_recyclable(struct journal *journal, uint64_t seq)
{
    // Release pairs with the acquire in recycle.
    atomic_store_explicit(&journal->recyclable, seq, memory_order_release);
}

struct journal_progress *journal_progress(struct journal *journal)
{
    return &journal->progress;
}

const char *journal_error(const struct journal *journal)
{
    return journal->error.text;
}

// Opening and closing

static int check_options(const struct disk *disk, const struct journal_options *options,
                         struct error *error)
{
    uint64_t bytes = options->segment_bytes;
    if (bytes < JOURNAL_SEGMENT_BYTES_MIN || bytes > JOURNAL_SEGMENT_BYTES_MAX ||
        (bytes & (bytes - 1)) != 0)
        return error_set(error,
                         "journal %s: segments of %" PRIu64 " bytes; choose a power of two from "
                         "%llu to %llu",
                         disk->path, bytes, JOURNAL_SEGMENT_BYTES_MIN, JOURNAL_SEGMENT_BYTES_MAX);
    if (options->spares < 1 || options->spares > JOURNAL_SPARES_MAX)
        return error_set(error, "journal %s: %u spares; choose 1 to %u", disk->path,
                         options->spares, JOURNAL_SPARES_MAX);
    return 0;
}

static void journal_free(struct journal *journal)
{
    if (journal->handle >= 0)
        journal->disk->operations->close(journal->disk, journal->handle);
    free(journal->blocks);
    free(journal->old);
    free(journal);
}

static struct journal *journal_new(struct disk *disk, const struct journal_options *options,
                                   struct error *error)
{
    size_t blocks_size = (size_t)JOURNAL_WRITE_BLOCKS_MAX * JOURNAL_BLOCK_SIZE;
    struct journal *journal = aligned_alloc(alignof(struct journal), sizeof(*journal));
    struct block *blocks = aligned_alloc(DISK_BLOCK_SIZE, blocks_size);
    struct block *old = aligned_alloc(DISK_BLOCK_SIZE, blocks_size);
    if (!journal || !blocks || !old) {
        free(journal);
        free(blocks);
        free(old);
        error_set(error, "journal %s: no memory (%zu bytes)", disk->path,
                  sizeof(*journal) + 2 * blocks_size);
        return NULL;
    }
    memset(journal, 0, sizeof(*journal));
    memset(blocks, 0, blocks_size); // touched, so that no write meets a page fault
    journal->disk = disk;
    journal->blocks = blocks;
    journal->old = old;
    journal->handle = -1;
    journal->options = *options;
    return journal;
}

static int recover(struct journal *journal, journal_record_fn *each, void *context,
                   struct error *error)
{
    struct scan_request request = {.recovery = true,
                                   .from_seq = journal->options.from_seq,
                                   .shard = journal->options.shard,
                                   .each = each,
                                   .context = context};
    struct scan_result result;
    if (scan_log(journal->disk, &request, &result, error) < 0)
        return -1;
    if (result.stopped)
        return error_set(error, "journal %s: its reader stopped at record %" PRIu64,
                         journal->disk->path, result.stat.record_count);
    struct seal seal;
    int64_t sealed = seal_newest(journal->disk, &seal);
    if (sealed < 0)
        return error_set(error, "journal %s: cannot read its seals: %s", journal->disk->path,
                         strerror((int)-sealed));
    journal->sealed = result.first_segment - 1;
    if (sealed >= (int64_t)result.first_segment - 1 && sealed > 0) {
        journal->sealed = (uint64_t)sealed;
        memcpy(journal->seal, seal.hash, sizeof(seal.hash));
    }
    journal->chain = result.chain;
    journal->chain.epoch += !FAULT(EPOCH_KEPT);
    journal->first = result.first_segment;
    atomic_init(&journal->segment, result.last_segment);
    atomic_init(&journal->created, result.last_segment + result.stat.spare_count);
    // All that was read: it was synced before.
    atomic_init(&journal->progress.durable_seq, result.chain.next_seq - 1);
    return 0;
}

static int make_first_spare(struct journal *journal, struct error *error)
{
    int result = spares_left(journal) > 0 ? 0 : create_spare(journal, 0);
    return result < 0 ? spare_error(journal, error, result) : 0;
}

struct journal *journal_open(struct disk *disk, const struct journal_options *options,
                             journal_record_fn *each, void *context, struct error *error)
{
    if (check_options(disk, options, error) < 0)
        return NULL;
    struct journal *journal = journal_new(disk, options, error);
    if (!journal)
        return NULL;
    int result = recover(journal, each, context, error);
    if (result == 0)
        result = make_first_spare(journal, error);
    if (result == 0 && (result = start_segment(journal)) < 0)
        error_set(error, "%s", journal->error.text);
    if (result == 0)
        result = make_first_spare(journal, error);
    if (result < 0) {
        journal_free(journal);
        return NULL;
    }
    publish_spares(journal);
    return journal;
}

int journal_close(struct journal *journal, struct error *error)
{
    int result = failed(journal) ? -1 : 0;
    // Nobody makes spares any more.
    if (result == 0 && segment_full(journal)) {
        result = make_first_spare(journal, &journal->error);
        if (result == 0)
            result = start_segment(journal);
    }
    if (result == 0)
        result = write_mark(journal, BLOCK_CLOSE);
    CRASH_POINT(close_marked);
    if (result < 0)
        error_set(error, "%s", journal->error.text);
    journal_free(journal);
    return result;
}
