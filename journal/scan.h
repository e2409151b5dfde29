// SPDX-License-Identifier: MIT
//
// scan: reads a whole log, verifies it, and decides where it ends. Private to journal/.
#ifndef SLUICE_JOURNAL_SCAN_H
#define SLUICE_JOURNAL_SCAN_H

#include "journal/block.h"

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

// The headers of the segments in use, oldest first.
struct scan_headers {
    uint64_t first_number;
    size_t count;
    struct block_header *headers; // free()
};

// scan_headers: reads no more than each file's first block. 0, or -1 with `error`.
int scan_headers(struct disk *disk, struct scan_headers *headers, struct error *error);

// scan_log: 0, or -1 with `error` at the first damage, which is named with its file, byte offset
// and block. Allocates while it runs.
int scan_log(struct disk *disk, const struct scan_request *request, struct scan_result *result,
             struct error *error);

#endif
