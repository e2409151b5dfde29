// SPDX-License-Identifier: MIT
#include "journal/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "numa/array.h"
#include "numa/error.h"
#include "numa/fault.h"

#define READ_BYTES   (1u << 20)
#define READ_BLOCKS  (READ_BYTES / JOURNAL_BLOCK_SIZE)
#define LISTINGS_MAX 10 // of a folder that changes meanwhile

// What the first block of a file says the file is.
enum segment_kind {
    SEGMENT_SPARE,  // zeros, or a segment that was in use under a lower number
    SEGMENT_BROKEN, // something, but no segment header
    SEGMENT_USED,
    SEGMENT_GONE, // it was listed, and has been taken to be used again
};

struct segment {
    uint64_t number;
    uint64_t bytes;
    enum segment_kind kind;
    struct block_header header; // SEGMENT_USED
    uint64_t length;            // … blocks of it in the chain; of the last one, all there are
};

struct scan {
    struct disk *disk;
    const struct scan_request *request;
    struct scan_result *result;
    struct error *error;

    struct segment *segments; // by number, once listed
    size_t segment_count, segment_capacity;
    size_t used_count; // the first ones; what follows are spares
    bool list_failed;  // no memory

    size_t start; // the first segment that is read: those before hold nothing that is asked for
    bool given;   // `each` has been called

    struct block *blocks;     // READ_BLOCKS, aligned for direct reads
    const struct segment *at; // the one in hand, and its file
    int handle;
    bool grew; // not ours alone, and written while it was read: stop here

    bool cut; // the chain has ended at block `cut_index` of the last segment
    uint64_t cut_index;
    const char *cut_fault;
};

// Every refusal to take the log as it is: where, what, and what can be done.
static int damaged(struct scan *scan, const struct segment *segment, uint64_t index,
                   uint64_t block_no, const char *fault, const char *proof)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, segment->number);
    return error_set(scan->error,
                     "journal %s: %s is damaged at byte %" PRIu64 " (block %" PRIu64
                     "): %s%s%s; " SCAN_REMEDY,
                     scan->disk->path, name, index * JOURNAL_BLOCK_SIZE, block_no, fault,
                     proof ? ", and " : "", proof ? proof : "");
}

static int cannot(struct scan *scan, const char *what, const char *name, uint64_t offset,
                  int64_t result)
{
    return error_set(scan->error, "journal %s: cannot %s %s at byte %" PRIu64 ": %s",
                     scan->disk->path, what, name, offset,
                     result < 0 ? strerror((int)-result) : "the file ends too early");
}

// Listing

static bool parse_name(const char *name, uint64_t *number)
{
    char again[SEGMENT_NAME_SIZE];
    if (strncmp(name, "segment-", 8) != 0)
        return false;
    *number = strtoull(name + 8, NULL, 16);
    segment_name(again, *number);
    return strcmp(again, name) == 0;
}

static void list_found(void *context, const char *name)
{
    struct scan *scan = context;
    uint64_t number;
    if (!parse_name(name, &number) || scan->list_failed)
        return;
    if (!array_reserve(&scan->segments, &scan->segment_capacity, scan->segment_count + 1,
                       sizeof(*scan->segments))) {
        scan->list_failed = true;
        return;
    }
    scan->segments[scan->segment_count++] = (struct segment){.number = number};
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = ((const struct segment *)left)->number;
    uint64_t b = ((const struct segment *)right)->number;
    return (a > b) - (a < b);
}

static int missing(struct scan *scan, uint64_t number)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    return error_set(scan->error,
                     "journal %s: %s is missing, and there are later ones; restore the folder from "
                     "a copy",
                     scan->disk->path, name);
}

static int list_once(struct scan *scan)
{
    scan->segment_count = 0;
    int result = scan->disk->operations->list(scan->disk, list_found, scan);
    if (result < 0)
        return error_set(scan->error, "journal %s: cannot list the folder: %s", scan->disk->path,
                         strerror(-result));
    if (scan->list_failed)
        return error_set(scan->error, "journal %s: no memory for the list of its segments",
                         scan->disk->path);
    if (scan->segment_count > 0)
        qsort(scan->segments, scan->segment_count, sizeof(*scan->segments), by_number);
    return 0;
}

// The number of the first segment that is not there, of those between others; 0: there is none.
static uint64_t find_gap(const struct scan *scan)
{
    for (size_t i = 1; i < scan->segment_count; i++)
        if (scan->segments[i].number != scan->segments[i - 1].number + 1)
            return scan->segments[i - 1].number + 1;
    return 0;
}

// A folder is not listed at one moment: of two files that are renamed meanwhile the later one may
// be shown under its new name and the earlier one not at all. So a gap has to show again.
static int list_segments(struct scan *scan)
{
    int listings_left = scan->request->recovery ? 1 : LISTINGS_MAX;
    uint64_t gap;
    do {
        if (list_once(scan) < 0)
            return -1;
        gap = find_gap(scan);
    } while (gap > 0 && --listings_left > 0);
    return gap > 0 ? missing(scan, gap) : 0;
}

// Files

static int open_segment(struct scan *scan, const struct segment *segment)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, segment->number);
    scan->at = segment;
    scan->handle = scan->disk->operations->open(scan->disk, name);
    if (scan->handle < 0)
        return cannot(scan, "open", name, 0, scan->handle);
    return 0;
}

static void close_segment(struct scan *scan)
{
    scan->disk->operations->close(scan->disk, scan->handle);
}

static int read_blocks(struct scan *scan, uint64_t index, uint64_t count)
{
    char name[SEGMENT_NAME_SIZE];
    uint64_t offset = index * JOURNAL_BLOCK_SIZE;
    size_t length = count * JOURNAL_BLOCK_SIZE;
    INVARIANT(length <= READ_BYTES);
    int64_t result =
        scan->disk->operations->read(scan->disk, scan->handle, offset, scan->blocks, length);
    if (result == (int64_t)length)
        return 0;
    segment_name(name, scan->at->number);
    return cannot(scan, "read", name, result < 0 ? offset : offset + (uint64_t)result,
                  result < 0 ? result : 0);
}

// Headers

static int check_size(struct scan *scan, struct segment *segment)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, segment->number);
    int64_t size = scan->disk->operations->size(scan->disk, scan->handle);
    if (size < 0)
        return cannot(scan, "ask the size of", name, 0, size);
    segment->bytes = (uint64_t)size;
    if (segment->bytes < JOURNAL_SEGMENT_BYTES_MIN || segment->bytes > JOURNAL_SEGMENT_BYTES_MAX ||
        segment->bytes % JOURNAL_BLOCK_SIZE != 0)
        return error_set(scan->error,
                         "journal %s: %s has %" PRIu64 " bytes, which no segment has; restore the "
                         "folder from a copy",
                         scan->disk->path, name, segment->bytes);
    return 0;
}

// A whole segment header that this program must not go on from. Only a block with the right CRC
// gets here, so what it says is what was written.
static int check_header(struct scan *scan, const struct segment *segment, const struct block *block)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, segment->number);
    if (block->segment.number > segment->number)
        return error_set(scan->error,
                         "journal %s: %s says that it is segment %" PRIx64 ": it was renamed or "
                         "copied; restore the folder from a copy",
                         scan->disk->path, name, block->segment.number);
    if (block->segment.bytes != segment->bytes)
        return error_set(scan->error,
                         "journal %s: %s has %" PRIu64 " bytes and was made with %" PRIu64
                         "; restore the folder from a copy",
                         scan->disk->path, name, segment->bytes, block->segment.bytes);
    if (scan->request->recovery && block->header.shard != scan->request->shard)
        return error_set(scan->error,
                         "journal %s: %s belongs to shard %u, not to shard %u; give each shard the "
                         "folder that it had",
                         scan->disk->path, name, block->header.shard, scan->request->shard);
    return 0;
}

static int examine_header(struct scan *scan, struct segment *segment)
{
    if (check_size(scan, segment) < 0 || read_blocks(scan, 0, 1) < 0)
        return -1;
    const struct block *block = &scan->blocks[0];
    if (block_fault(block) == NULL) {
        if (!(block->header.flags &
              BLOCK_SEGMENT)) // no write that was cut short leaves a whole one
            return damaged(scan, segment, 0, block->header.block_no,
                           "this block belongs in another place", NULL);
        segment->kind = block->segment.number < segment->number ? SEGMENT_SPARE : SEGMENT_USED;
        segment->header = block->header;
        return check_header(scan, segment, block);
    }
    if (block_of_other_version(block)) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(name, segment->number);
        return error_set(scan->error,
                         "journal %s: %s was written by format version %u, this program reads %u; "
                         "use the program that wrote it",
                         scan->disk->path, name, block->header.version, JOURNAL_VERSION);
    }
    segment->kind = block_is_zero(block) ? SEGMENT_SPARE : SEGMENT_BROKEN;
    return 0;
}

static int examine_opened(struct scan *scan, struct segment *segment)
{
    int result = 0;
    if (scan->request->recovery) {
        result = scan->disk->operations->sync(scan->disk, scan->handle);
        if (result < 0)
            error_set(scan->error, "journal %s: cannot sync segment %" PRIx64 ": %s",
                      scan->disk->path, segment->number, strerror(-result));
    }
    return result == 0 ? examine_header(scan, segment) : result;
}

static int examine_file(struct scan *scan, struct segment *segment)
{
    int result = open_segment(scan, segment);
    if (result == 0) {
        result = examine_opened(scan, segment);
        close_segment(scan);
    }
    // Taken before it was opened, or before it was read: then the header may be another segment's.
    bool bad = result < 0 || segment->kind == SEGMENT_BROKEN;
    if (bad && !scan->request->recovery && scan_gone(scan->disk, segment->number)) {
        segment->kind = SEGMENT_GONE;
        return 0;
    }
    return result;
}

// Segments that are gone

static int overtaken(struct scan *scan, uint64_t number)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    return error_set(scan->error, "journal %s: %s " SCAN_OVERTAKEN, scan->disk->path, name);
}

static void drop_first(struct scan *scan, size_t count)
{
    scan->segment_count -= count;
    memmove(scan->segments, scan->segments + count, scan->segment_count * sizeof(*scan->segments));
}

static bool any_used(const struct scan *scan)
{
    for (size_t i = 0; i < scan->segment_count; i++)
        if (scan->segments[i].kind == SEGMENT_USED)
            return true;
    return false;
}

// The oldest are taken first, so those that are gone stand in front. 0, or -1 with the error when
// one is gone from between others, or when the list has grown so old that none is left of it.
static int drop_gone(struct scan *scan)
{
    size_t gone = 0;
    while (gone < scan->segment_count && scan->segments[gone].kind == SEGMENT_GONE)
        gone++;
    if (gone > 0) {
        uint64_t last = scan->segments[gone - 1].number;
        drop_first(scan, gone);
        if (!any_used(scan))
            return overtaken(scan, last);
    }
    for (size_t i = 0; i < scan->segment_count; i++)
        if (scan->segments[i].kind == SEGMENT_GONE)
            return missing(scan, scan->segments[i].number);
    return 0;
}

// The segment in hand could not be read. When it was taken meanwhile that says nothing of the log:
// whether it can be read again from the next segment on, where it begins now. Not for somebody who
// has been given records, or who has asked for certain ones.
static bool begins_later(struct scan *scan)
{
    size_t count = (size_t)(scan->at - scan->segments) + 1;
    if (scan->request->recovery)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!scan_gone(scan->disk, scan->segments[i].number))
            return false;
    if (scan->given || scan->request->from_seq != JOURNAL_OLDEST || count >= scan->used_count) {
        overtaken(scan, scan->at->number);
        return false;
    }
    drop_first(scan, count);
    scan->used_count -= count;
    return true;
}

// From the last file to the first: a writer goes the other way, so that whatever it does meanwhile,
// no segment is seen in use behind one that is not.
static int examine_files(struct scan *scan)
{
    for (size_t i = scan->segment_count; i-- > 0;)
        if (examine_file(scan, &scan->segments[i]) < 0)
            return -1;
    if (drop_gone(scan) < 0)
        return -1;
    for (size_t i = 0; i < scan->segment_count; i++)
        if (scan->segments[i].kind == SEGMENT_USED)
            scan->used_count = i + 1;
    for (size_t i = 0; i < scan->segment_count; i++) {
        const struct segment *segment = &scan->segments[i];
        if (i < scan->used_count && segment->kind != SEGMENT_USED)
            return damaged(scan, segment, 0, 0, "it has no segment header",
                           "there are later segments");
        // One header is in flight at most, and it is the next one.
        if (i > scan->used_count && segment->kind == SEGMENT_BROKEN)
            return damaged(scan, segment, 0, 0, "it is a spare and not empty", NULL);
    }
    if (scan->request->recovery) {
        int result = scan->disk->operations->sync_directory(scan->disk);
        if (result < 0)
            return error_set(scan->error, "journal %s: cannot sync the folder: %s",
                             scan->disk->path, strerror(-result));
    }
    return 0;
}

// The headers against each other: a segment begins where the one before it ended, or was cut by
// recovery, which then began an epoch.
static int link_segments(struct scan *scan)
{
    for (size_t i = 0; i < scan->used_count; i++) {
        struct segment *segment = &scan->segments[i];
        const struct block_header *header = &segment->header;
        uint64_t end = segment->bytes / JOURNAL_BLOCK_SIZE - FAULT(TAIL_LOST);
        segment->length = end;
        if (segment->number == 1 && (header->block_no != 0 || header->first_seq != 1))
            return damaged(scan, segment, 0, header->block_no, "it is not the first of a log",
                           NULL);
        if (i + 1 == scan->used_count)
            break;
        const struct segment *next = segment + 1;
        bool new_epoch = next->header.epoch != header->epoch;
        if (new_epoch && next->header.epoch != header->epoch + 1)
            return damaged(scan, next, 0, next->header.block_no, "its epoch does not follow", NULL);
        segment->length = next->header.block_no - header->block_no;
        if (segment->length == 0 || segment->length > end || (segment->length < end && !new_epoch))
            return damaged(scan, next, 0, next->header.block_no,
                           "it does not follow the segment before it", NULL);
    }
    return 0;
}

// The chain

static void count_durable(struct scan *scan, const struct block *block)
{
    if (block->header.durable_upto > scan->result->stat.durable_upto)
        scan->result->stat.durable_upto = block->header.durable_upto;
}

static void accept_block(struct scan *scan, const struct block *block)
{
    struct scan_result *result = scan->result;
    const struct block_header *header = &block->header;
    result->stat.block_count++;
    result->stat.idle_block_count += (header->flags & BLOCK_IDLE) != 0;
    result->stat.clean = (header->flags & BLOCK_CLOSE) != 0;
    count_durable(scan, block);
    uint64_t from_seq = scan->request->from_seq;
    for (uint32_t i = 0; i < header->record_count && !result->stopped; i++) {
        result->stat.record_count = header->first_seq + i;
        bool known = from_seq != JOURNAL_OLDEST && header->first_seq + i <= from_seq;
        if (known || !scan->request->each)
            continue;
        scan->given = true;
        result->stopped =
            !scan->request->each(scan->request->context, header->first_seq + i, block->records[i]);
    }
    chain_advance(&result->chain, block);
}

// The block where the chain ended is damaged, by `proof`. Unless another process writes the log and
// has written that block since it was read.
static int damaged_cut(struct scan *scan, const char *proof)
{
    struct scan_result *result = scan->result;
    if (!scan->request->recovery) {
        if (read_blocks(scan, scan->cut_index, 1) < 0)
            return -1;
        if (chain_fault(&result->chain, &scan->blocks[0]) == NULL) {
            scan->grew = true;
            return 0;
        }
    }
    if (FAULT(DAMAGE_CUT))
        return 0;
    return damaged(scan, scan->at, scan->cut_index, result->chain.block_no, scan->cut_fault, proof);
}

// From an earlier use of the file: another segment's, and from before the place where the log ends.
static bool is_stale(const struct scan *scan, const struct block *block)
{
    const struct chain *chain = &scan->result->chain;
    return block->header.salt != chain->salt && block->header.block_no < chain->block_no;
}

// A block at or behind the place where the chain ended in the last segment: does it prove that the
// bad one had been durable?
static int walk_tail(struct scan *scan, uint64_t index, const struct block *block)
{
    struct scan_result *result = scan->result;
    bool whole = block_fault(block) == NULL;
    if (block_is_zero(block) || (whole && is_stale(scan, block)))
        return 0;
    result->stat.torn_block_count++;
    if (index - scan->cut_index >= JOURNAL_WRITE_BLOCKS_MAX)
        return damaged_cut(scan, "there are bytes further behind it than one write reaches");
    if (!whole)
        return 0;
    count_durable(scan, block);
    // The first says it of records, the second of blocks without records too.
    if (block->header.durable_upto >= result->chain.next_seq ||
        block_durable_before(block) > result->chain.block_no)
        return damaged_cut(scan, "a later block proves that it had been durable");
    return 0;
}

static int walk_block(struct scan *scan, bool proven, uint64_t index, const struct block *block)
{
    if (!scan->cut) {
        const char *fault = chain_fault(&scan->result->chain, block);
        if (!fault && (index == 0) != ((block->header.flags & BLOCK_SEGMENT) != 0))
            fault = "it belongs in another place";
        if (!fault) {
            accept_block(scan, block);
            return 0;
        }
        if (proven)
            return damaged(scan, scan->at, index, scan->result->chain.block_no, fault,
                           "the next segment proves that it had been durable");
        scan->cut = true;
        scan->cut_index = index;
        scan->cut_fault = fault;
        if (scan->request->from_seq != JOURNAL_OLDEST &&
            scan->result->chain.next_seq <= scan->request->from_seq)
            return damaged_cut(scan, "a snapshot proves that it had been durable");
    }
    return walk_tail(scan, index, block);
}

static int walk_blocks(struct scan *scan, bool proven, uint64_t end)
{
    for (uint64_t index = 0; index < end;) {
        uint64_t count = end - index < READ_BLOCKS ? end - index : READ_BLOCKS;
        if (read_blocks(scan, index, count) < 0)
            return -1;
        for (uint64_t i = 0; i < count; i++) {
            if (walk_block(scan, proven, index + i, &scan->blocks[i]) < 0)
                return -1;
            if (scan->result->stopped || scan->grew)
                return 0;
        }
        index += count;
    }
    return 0;
}

// What the segment's header says to the chain, before its blocks: a new segment has a new salt.
static void enter_segment(struct scan *scan, const struct segment *segment, bool first)
{
    struct chain *chain = &scan->result->chain;
    const struct block_header *header = &segment->header;
    if (first && segment->number == 1) {
        *chain = (struct chain){.next_seq = 1, .epoch = header->epoch, .shard = header->shard};
    } else if (first) {
        *chain = (struct chain){.block_no = header->block_no,
                                .next_seq = header->first_seq,
                                .crc = header->prev_crc,
                                .epoch = header->epoch,
                                .shard = header->shard};
    }
    if (first)
        scan->result->stat.record_count = chain->next_seq - 1;
    chain->epoch = header->epoch;
    chain->salt = header->salt;
}

static int walk_segment(struct scan *scan, size_t i)
{
    const struct segment *segment = &scan->segments[i];
    bool proven = i + 1 < scan->used_count;
    enter_segment(scan, segment, i == scan->start);
    if (open_segment(scan, segment) < 0)
        return -1;
    int result = walk_blocks(scan, proven, segment->length);
    close_segment(scan);
    return result;
}

// Spares

static int spare_not_empty(struct scan *scan, const struct segment *segment, uint64_t index)
{
    if (!scan->request->recovery) {
        if (read_blocks(scan, 0, 1) < 0)
            return -1;
        scan->grew = block_fault(&scan->blocks[0]) == NULL && // it has come into use meanwhile
                     scan->blocks[0].segment.number == segment->number;
        if (scan->grew)
            return 0;
    }
    if (segment->kind == SEGMENT_BROKEN)
        return damaged(scan, segment, 0, scan->result->chain.block_no, "its segment header is bad",
                       "there are blocks behind it");
    return damaged(scan, segment, index, 0, "it is a spare and not empty", NULL);
}

static int check_spare_blocks(struct scan *scan, const struct segment *segment)
{
    uint64_t end = segment->bytes / JOURNAL_BLOCK_SIZE;
    for (uint64_t index = 0; index < end;) {
        uint64_t count = end - index < READ_BLOCKS ? end - index : READ_BLOCKS;
        if (read_blocks(scan, index, count) < 0)
            return -1;
        for (uint64_t i = 0; i < count; i++)
            if (index + i > 0 && !block_is_zero(&scan->blocks[i]) &&
                (block_fault(&scan->blocks[i]) || !is_stale(scan, &scan->blocks[i])))
                return spare_not_empty(scan, segment, index + i);
        index += count;
    }
    return 0;
}

// A spare holds zeros, or what it held when it was a segment in use. The first one may hold what is
// left of a header whose write was cut short: nothing can have been written behind it, and the
// header is written again.
static int check_spares(struct scan *scan)
{
    for (size_t i = scan->used_count; i < scan->segment_count && !scan->grew; i++) {
        const struct segment *segment = &scan->segments[i];
        int result = open_segment(scan, segment);
        if (result == 0) {
            result = check_spare_blocks(scan, segment);
            close_segment(scan);
        }
        if (result < 0) {
            // It has come into use since it was listed, and been taken to be used again.
            scan->grew = !scan->request->recovery && scan_gone(scan->disk, segment->number);
            return scan->grew ? 0 : -1;
        }
        scan->result->stat.torn_block_count += segment->kind == SEGMENT_BROKEN;
    }
    return 0;
}

// Where the first record that is asked for stands.
static int find_start(struct scan *scan)
{
    uint64_t from_seq = scan->request->from_seq;
    const struct segment *segments = scan->segments;
    if (from_seq == JOURNAL_OLDEST)
        return 0;
    while (scan->start + 1 < scan->used_count &&
           segments[scan->start + 1].header.first_seq <= from_seq + 1)
        scan->start++;
    uint64_t first_seq = scan->used_count > 0 ? segments[scan->start].header.first_seq : 1;
    bool begins_late = scan->used_count > 0 && first_seq > from_seq + 1;
    if (!begins_late && (scan->used_count > 0 || from_seq == 0))
        return 0;
    return error_set(scan->error,
                     "journal %s: records from %" PRIu64
                     " on are missing: the segments that held them are gone, and no snapshot that "
                     "can be used has them; restore the folder from a copy",
                     scan->disk->path, from_seq + 1);
}

static int walk_segments(struct scan *scan)
{
    struct scan_result *result = scan->result;
    *result = (struct scan_result){.chain = {.next_seq = 1, .shard = scan->request->shard}};
    result->stat.segment_count = scan->used_count;
    result->stat.spare_count = scan->segment_count - scan->used_count;
    result->first_segment = scan->segment_count > 0 ? scan->segments[0].number : 1;
    result->last_segment = result->first_segment + scan->used_count - 1;
    if (scan->used_count > 0)
        result->stat.oldest_seq = scan->segments[0].header.first_seq;
    for (size_t i = 0; i < scan->segment_count; i++)
        result->stat.bytes += scan->segments[i].bytes;
    scan->cut = scan->grew = false;
    for (size_t i = scan->start; i < scan->used_count && !result->stopped && !scan->grew; i++)
        if (walk_segment(scan, i) < 0)
            return -1;
    return 0;
}

static int scan_files(struct scan *scan)
{
    struct scan_result *result = scan->result;
    if (list_segments(scan) < 0 || examine_files(scan) < 0 || link_segments(scan) < 0 ||
        find_start(scan) < 0)
        return -1;
    while (walk_segments(scan) < 0)
        if (!begins_later(scan))
            return -1;
    result->stat.epoch_count = result->chain.epoch;
    result->stat.shard = result->chain.shard;
    if (result->stopped)
        return 0;
    if (scan->grew)
        result->stat.torn_block_count = 0;
    uint64_t from_seq = scan->request->from_seq;
    if (from_seq != JOURNAL_OLDEST && !scan->grew && result->chain.next_seq <= from_seq)
        return error_set(scan->error,
                         "journal %s: it ends with record %" PRIu64 ", and a snapshot has %" PRIu64
                         "; restore the folder from a copy",
                         scan->disk->path, result->chain.next_seq - 1, from_seq);
    return check_spares(scan);
}

static int copy_headers(const struct scan *scan, struct scan_headers *headers)
{
    headers->first_number = scan->segment_count > 0 ? scan->segments[0].number : 1;
    headers->count = scan->used_count;
    headers->segments = calloc(scan->used_count + 1, sizeof(*headers->segments));
    if (!headers->segments)
        return error_set(scan->error, "journal %s: no memory for the list of its segments",
                         scan->disk->path);
    for (size_t i = 0; i < scan->used_count; i++)
        headers->segments[i] =
            (struct scan_segment){scan->segments[i].header, scan->segments[i].length};
    return 0;
}

bool scan_gone(struct disk *disk, uint64_t number)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, number);
    int handle = disk->operations->open(disk, name);
    if (handle >= 0)
        disk->operations->close(disk, handle);
    return handle == -ENOENT;
}

int scan_headers(struct disk *disk, struct scan_headers *headers, struct error *error)
{
    struct scan_request request = {.from_seq = JOURNAL_OLDEST};
    struct scan_result result = {0};
    struct scan scan = {.disk = disk, .request = &request, .result = &result, .error = error};
    *headers = (struct scan_headers){0};
    scan.blocks = aligned_alloc(DISK_BLOCK_SIZE, READ_BYTES);
    if (!scan.blocks)
        return error_set(error, "journal %s: no memory (%u bytes)", disk->path, READ_BYTES);
    int status = list_segments(&scan);
    if (status == 0)
        status = examine_files(&scan);
    if (status == 0)
        status = link_segments(&scan);
    if (status == 0)
        status = copy_headers(&scan, headers);
    free(scan.blocks);
    free(scan.segments);
    return status;
}

int scan_log(struct disk *disk, const struct scan_request *request, struct scan_result *result,
             struct error *error)
{
    struct scan scan = {.disk = disk, .request = request, .result = result, .error = error};
    *result = (struct scan_result){0};
    scan.blocks = aligned_alloc(DISK_BLOCK_SIZE, READ_BYTES);
    if (!scan.blocks)
        return error_set(error, "journal %s: no memory (%u bytes)", disk->path, READ_BYTES);
    int status = scan_files(&scan);
    free(scan.blocks);
    free(scan.segments);
    return status;
}

int journal_oldest(struct disk *disk, uint64_t *seq, struct error *error)
{
    struct scan_headers headers;
    int status = scan_headers(disk, &headers, error);
    *seq = status == 0 && headers.count > 0 ? headers.segments[0].header.first_seq : 0;
    free(headers.segments);
    return status;
}

int journal_scan(struct disk *disk, uint64_t from_seq, journal_record_fn *each, void *context,
                 struct journal_stat *stat, struct error *error)
{
    struct scan_request request = {.from_seq = from_seq, .each = each, .context = context};
    struct scan_result result;
    int status = scan_log(disk, &request, &result, error);
    *stat = result.stat;
    return status;
}
