// SPDX-License-Identifier: MIT
//
// scan: reads a whole log, verifies it, and decides where it ends. Private to journal/.
#ifndef SLUICE_JOURNAL_SCAN_H
#define SLUICE_JOURNAL_SCAN_H

#include "journal/block.h"

// What an operator can do about damage, at the end of each line that tells of some.
#define SCAN_REMEDY                                                                                \
    "restore the folder from a copy, or save the records before the damage with `sluice journal "  \
    "dump`"

// What happened to a segment that a log being written has taken from a reader.
#define SCAN_OVERTAKEN                                                                             \
    "was taken to be used again while it was read: the log begins later now; read it again"

struct scan_request {
    // The log is ours alone: sync before reading, so that no decision rests on bytes that never
    // reached the disk, and take what is bad at its word. Otherwise another process may be writing,
    // and a block that turned out bad is looked at once more before it is called damaged.
    bool recovery;
    // Records up to this one are known from a snapshot: they are not given to `each`, and segments
    // that hold no others are not read. JOURNAL_OLDEST: from wherever the log begins now.
    uint64_t from_seq;
    uint16_t shard;          // recovery: another shard's log is refused
    journal_record_fn *each; // or NULL
    void *context;
};

struct scan_result {
    struct journal_stat stat;
    struct chain chain; // where the log ends, in the epoch and with the salt of its last segment
    uint64_t first_segment; // number of the oldest file, 1 when there is none
    uint64_t last_segment;  // number of the last one in use, 0 when there is none
    bool stopped;           // `each` returned false
};

struct scan_segment {
    struct block_header header;
    uint64_t length; // blocks in the chain; of the last one, all there are
};

// The segments in use, oldest first.
struct scan_headers {
    uint64_t first_number;
    size_t count;
    struct scan_segment *segments; // free()
};

// scan_headers: reads no more than each file's first block, and sees that they follow each other.
// 0, or -1 with `error`.
int scan_headers(struct disk *disk, struct scan_headers *headers, struct error *error);

// scan_gone: the file of segment `number`, which was there, no longer is: a log that is being
// written takes its oldest segments to use them again.
bool scan_gone(struct disk *disk, uint64_t number);

// scan_log: 0, or -1 with `error` at the first damage, which is named with its file, byte offset
// and block. Allocates while it runs.
int scan_log(struct disk *disk, const struct scan_request *request, struct scan_result *result,
             struct error *error);

#endif
