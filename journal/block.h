// SPDX-License-Identifier: MIT
//
// block: what stands in the journal's 4 KiB blocks, byte for byte. Private to journal/.
//
// Every block is one header line and 63 slots of 64 bytes. Numbers are little endian. Slots that
// hold no record are zeros, and the CRC covers them. Block 0 of each file has BLOCK_SEGMENT set,
// holds no records, and says in its first slot which segment the file is. It has a number and a
// place in the chain like any other block.
//
// Blocks are numbered from 0 through the whole log, so the block at `index` of a segment is the
// segment header's block_no + index, and a gap or a repetition shows. A segment ends where the next
// segment's header says: at its last block, or, when a new epoch begins there, at the place where
// recovery cut it.
//
// What proves that a block was durable: one write is in flight at a time and carries up to 128
// blocks, `write_index` 0, 1, 2, … A whole block n with write_index i was sent off after block
// n - i - 1 and all before it had become durable. Hence a bad block with a smaller number than
// n - i is damage, and one at n - i or beyond may be what a crash left of the write. durable_upto
// says the same of records; the number says it of idle blocks and headers, which hold none.
//
// The salt is drawn at random for each segment: a whole block that strayed here from another
// segment, or from an earlier use of the same sectors, is recognised by it.
#ifndef SLUICE_JOURNAL_BLOCK_H
#define SLUICE_JOURNAL_BLOCK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "journal/journal.h"

#define BLOCK_MAGIC   0x4A434C53u // "SLCJ" in the file

#define BLOCK_IDLE    1u // no records: says that all before it are durable
#define BLOCK_CLOSE   2u // no records: journal_close, the log is complete
#define BLOCK_SEGMENT 4u // no records: the first block of a file

struct block_header {
    uint32_t magic;
    uint16_t version;
    uint16_t flags; // at most one of BLOCK_IDLE, BLOCK_CLOSE, BLOCK_SEGMENT
    uint64_t block_no;
    uint64_t first_seq;    // of its first record, or of the next one when it has none
    uint64_t durable_upto; // last record known durable when the write of this block began
    uint64_t time_ns;      // CLOCK_REALTIME, ns: for people, nothing depends on it
    uint32_t record_count; // 0 to JOURNAL_BLOCK_RECORDS
    uint32_t epoch;        // from 1, one more after each journal_open
    uint32_t salt;         // the segment's
    uint32_t prev_crc;     // `crc` of the block before it, in this segment or the one before; 0
    uint16_t shard;
    uint16_t write_index; // its place in the write that carried it, 0 to 127
    uint32_t crc;         // CRC32C of bytes 0 to 59 and 64 to 4095
};

// Other versions keep the places of these three, and the way the CRC is taken.
static_assert(offsetof(struct block_header, magic) == 0, "journal format");
static_assert(offsetof(struct block_header, version) == 4, "journal format");
static_assert(offsetof(struct block_header, crc) == 60, "journal format");
static_assert(offsetof(struct block_header, flags) == 6, "journal format");
static_assert(offsetof(struct block_header, block_no) == 8, "journal format");
static_assert(offsetof(struct block_header, first_seq) == 16, "journal format");
static_assert(offsetof(struct block_header, durable_upto) == 24, "journal format");
static_assert(offsetof(struct block_header, time_ns) == 32, "journal format");
static_assert(offsetof(struct block_header, record_count) == 40, "journal format");
static_assert(offsetof(struct block_header, epoch) == 44, "journal format");
static_assert(offsetof(struct block_header, salt) == 48, "journal format");
static_assert(offsetof(struct block_header, prev_crc) == 52, "journal format");
static_assert(offsetof(struct block_header, shard) == 56, "journal format");
static_assert(offsetof(struct block_header, write_index) == 58, "journal format");
static_assert(sizeof(struct block_header) == 64, "one cache line");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the log is little endian, as the host");

struct block_segment { // BLOCK_SEGMENT: in the first slot
    uint64_t number;   // the one in the file's name
    uint64_t bytes;    // of the file
};

struct block {
    struct block_header header;
    union {
        unsigned char records[JOURNAL_BLOCK_RECORDS][JOURNAL_RECORD_SIZE];
        struct block_segment segment;
    };
};
static_assert(sizeof(struct block) == JOURNAL_BLOCK_SIZE, "journal format");
static_assert(offsetof(struct block, records) == 64, "journal format");

// Where a log stands between two blocks: what the next one has to say of itself. The writer seals
// blocks with it, the reader holds them against it.
struct chain {
    uint64_t block_no; // of the next block
    uint64_t next_seq;
    uint32_t crc; // of the block before; 0 before the first
    uint32_t epoch;
    uint32_t salt;
    uint16_t shard;
};

// crc32c: of the bytes that gave `crc` (0: none) followed by these. The CRC of iSCSI (RFC 3720
// section B.4), reflected, begun with all ones and inverted at the end: "123456789" gives
// 0xE3069283. isa-l's crc32_iscsi does neither the one nor the other; this does.
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

// block_seal: fill in what the chain knows (magic, version, block_no, first_seq, epoch, salt,
// prev_crc, shard) and the CRC, and move the chain past the block. The caller has filled flags,
// durable_upto, time_ns, record_count, write_index and all slots.
void block_seal(struct block *block, struct chain *chain);

// block_is_zero: nothing was ever written here.
bool block_is_zero(const struct block *block);

// block_fault: NULL when the block is whole: its CRC is right and its fields are in range; else
// what is wrong, in a few words. Says nothing of whether it is in its place.
const char *block_fault(const struct block *block);

// block_of_other_version: whole, as far as all versions agree, and of a version other than ours.
bool block_of_other_version(const struct block *block);

// chain_fault: NULL when the block is whole and the next one of the chain, else what is wrong.
const char *chain_fault(const struct chain *chain, const struct block *block);

// chain_advance: past a block without fault.
void chain_advance(struct chain *chain, const struct block *block);

// block_durable_before: every block with a smaller number than this was durable before this block,
// which is whole, was written.
static inline uint64_t block_durable_before(const struct block *block)
{
    return block->header.block_no - block->header.write_index;
}

// segment_name: "segment-%016x".
#define SEGMENT_NAME_SIZE 25
void segment_name(char name[SEGMENT_NAME_SIZE], uint64_t number);

#endif
