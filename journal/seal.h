// SPDX-License-Identifier: MIT
//
// seal: evidence of tampering. Once a segment is closed its blocks are hashed, BLAKE2b-256 over the
// seal of the segment before and the blocks, and the result stands in a file beside it:
//
//   seal-0000000000000001: one block
//
// CRCs find what a disk did; whoever rewrites records can write matching CRCs. He would have to
// rewrite all later seals too: a copy of any of them, kept elsewhere (`sluice journal verify`
// prints the newest), shows whether anything before it was changed. Seals stay when their segments
// are used again. Private to journal/.
#ifndef SLUICE_JOURNAL_SEAL_H
#define SLUICE_JOURNAL_SEAL_H

#include <assert.h>
#include <stdint.h>

#include "journal/disk.h"
#include "journal/journal.h"

#define SEAL_VERSION 1u

// The beginning of the file's only block, zeros behind it.
struct seal {
    uint32_t magic;
    uint16_t version;
    uint16_t shard;
    uint64_t number; // of the segment
    uint64_t block_no, block_count;
    uint64_t first_seq, next_seq; // records from the one up to, not including, the other
    uint8_t previous[JOURNAL_SEAL_SIZE];
    uint8_t hash[JOURNAL_SEAL_SIZE]; // of `previous` and the blocks
    uint32_t reserved;
    uint32_t crc; // CRC32C of all before it
};
static_assert(sizeof(struct seal) == 120, "seal format");

// seal_make: hash `seal->block_count` blocks of segment `seal->number` after `seal->previous` into
// seal->hash, read in pieces of `buffer_size` bytes into `buffer` (both block-aligned). 0 or
// -errno.
int seal_make(struct disk *disk, struct seal *seal, void *buffer, size_t buffer_size);

// seal_write: make it durable, over one that is not whole if need be. 0 or -errno.
int seal_write(struct disk *disk, struct seal *seal);

// seal_read: 0, -ENOENT when the segment has none, -EBADMSG when it is not whole, or another
// -errno.
int seal_read(struct disk *disk, uint64_t number, struct seal *seal);

// seal_newest: the number of the last segment with a whole seal, which is read; 0 when there is
// none; or -errno.
int64_t seal_newest(struct disk *disk, struct seal *seal);

#endif
