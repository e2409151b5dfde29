// SPDX-License-Identifier: MIT
//
// verify: the whole log at the disk's or the memory's speed: closed segments on several threads at
// once, each block's checksum, the chain within and between segments, and the seals; then the last
// segment and the spares as journal_scan reads them.
#ifndef SLUICE_JOURNAL_VERIFY_H
#define SLUICE_JOURNAL_VERIFY_H

#include "journal/journal.h"

struct journal_verification {
    uint64_t segment_count;  // in use, the last one included
    uint64_t sealed_count;   // of them with a seal, which was found right
    uint64_t unsealed_count; // closed ones without one: the next run of the gateway seals them
    uint64_t bytes;          // read of closed segments
    uint64_t sealed;         // number of the last segment with a seal, 0: none
    uint8_t seal[JOURNAL_SEAL_SIZE];
    struct journal_stat stat; // of the last segment and the spares
};

// Called now and then with how many bytes are done of how many there are; by any of the threads,
// one at a time.
typedef void journal_progress_fn(void *context, uint64_t done_bytes, uint64_t total_bytes);

// journal_verify: with `workers` threads (0: one for each core), without changing anything.
// `progress` may be NULL. 0, or -1 with `error` at the first damage, which is named as by
// journal_scan. A log that is being written may be verified; segments that are taken to be used
// again meanwhile are left out. Allocates while it runs. Any thread, with a disk of its own.
int journal_verify(struct disk *disk, uint32_t workers, journal_progress_fn *progress,
                   void *context, struct journal_verification *result, struct error *error);

#endif
