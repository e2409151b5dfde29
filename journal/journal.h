// SPDX-License-Identifier: MIT
//
// journal: the append-only log of one shard's commands, and the only thing that has to survive.
//
// Records are 64 bytes each and numbered from 1 without a gap. They stand in blocks of 4 KiB: a
// header of one cache line and up to 63 records. Blocks stand in segments: files of a fixed size,
// written with zeros once, at creation, so that an append is never more than one durable write to
// allocated space.
//
//   segment-0000000000000001: [segment header block][block][block]…[zeros]
//
// Appending: one thread, one blocking write at a time (O_DIRECT|O_DSYNC); while a write is in the
// kernel the shard fills the ring, and all that has gathered goes out with the next write (natural
// group commit). A block is written once, in the next place: acknowledged bytes are never
// rewritten.
//
// Each block carries a CRC32C over all its 4096 bytes, the CRC of the block before it (a chain
// across blocks and segments), its number, its epoch, its segment's salt, and `durable_upto`: the
// last record that was known durable when the block was sent off. At recovery D, the largest
// durable_upto in any valid block, separates proof from guess: a bad block that holds records up to
// D is damage to acknowledged data, and the journal refuses to open; a bad block beyond D is a
// write that the crash interrupted, and the log is cut there. Blocks also say which place they had
// in their write, which proves the same of blocks without records. Bytes further behind the first
// bad block than one write reaches are damage as well, and so is anything in a spare. What is left
// is the last write: if it rots after it was acknowledged and before another block follows it
// (journal_idle writes one), it looks like a torn tail. After recovery a new segment and epoch
// begin; the old tail is never read or touched again, because the new segment's header says where
// the log was cut.
//
// Segments are numbered from 1; spares are the files behind the last one in use, and hold zeros, or
// what an old segment held that is used again: the salt tells. A number that is missing between two
// is damage.
//
// Errors: after a failed or short write nothing is retried; the journal stays failed, durable_seq
// stays where it was, and the process is to end. See fsyncgate, and PostgreSQL's data_sync_retry =
// off.
#ifndef SLUICE_JOURNAL_JOURNAL_H
#define SLUICE_JOURNAL_JOURNAL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "journal/disk.h"
#include "numa/error.h"
#include "numa/ring.h"

#define JOURNAL_VERSION           1u
#define JOURNAL_RECORD_SIZE       64u
#define JOURNAL_BLOCK_SIZE        DISK_BLOCK_SIZE
#define JOURNAL_BLOCK_RECORDS     63u  // 4096 = 64 (header) + 63 x 64
#define JOURNAL_WRITE_BLOCKS_MAX  128u // 512 KiB a write
#define JOURNAL_SEGMENT_BYTES_MIN (1ull << 20)
#define JOURNAL_SEGMENT_BYTES_MAX (1ull << 32)
#define JOURNAL_SPARES_MAX        64u
#define JOURNAL_SEAL_SIZE         32u // bytes of a segment's seal: see seal.h
#define JOURNAL_OLDEST            UINT64_MAX
#define JOURNAL_SPARE_WAIT_MS     5000u // for a spare that is being made, before the journal fails

struct journal_options {
    uint64_t segment_bytes; // a power of two; of segments still to be created
    uint32_t spares;        // segments kept ready ahead of the writer, 1 to JOURNAL_SPARES_MAX
    uint16_t shard;         // written into the headers; another shard's journal is refused
    uint64_t from_seq;      // records up to this one are known from a snapshot; 0: none
    uint64_t keep_segments; // closed ones that are kept for good, newest first; older ones are used
                            // again once journal_recyclable allows it. 0: all are kept
};

// Read by everybody, written by the journal's thread. Its own 128 bytes. Stored with release: an
// acquire load of durable_seq sees all that happened before the write returned. spare_count is
// brought up to date by each journal_write and journal_idle, also when they find nothing to do.
struct journal_progress {
    alignas(128) _Atomic uint64_t durable_seq; // every record up to this one is on disk
    _Atomic uint32_t spare_count;              // segments ready; 0 and a full one ends the journal
    _Atomic bool failed;                       // a write failed: nothing more will become durable
};

static_assert(sizeof(struct journal_progress) == 128, "nobody else writes to its lines");

struct journal;

// Called for each record of the log that is asked for, in order. `record` is 64 bytes, valid during
// the call. Returning false stops the scan; journal_open then fails.
typedef bool journal_record_fn(void *context, uint64_t seq, const void *record);

// journal_open: open or create the log on `disk` (which stays the caller's), verify it from the
// first record after options->from_seq on, give these to `each`, cut a torn tail, start a new
// segment and epoch, and make one spare. NULL with `error`: the line names file, offset and block,
// and says what an operator can do; what `each` was given is void then. Before threads start.
struct journal *journal_open(struct disk *disk, const struct journal_options *options,
                             journal_record_fn *each, void *context, struct error *error);

// journal_progress: valid as long as the journal.
struct journal_progress *journal_progress(struct journal *journal);

// journal_write: take what is in `ring` (slots are records, the next seq first), at most
// JOURNAL_WRITE_BLOCKS_MAX blocks and no more than the segment has room for, write it durably,
// release the slots, publish durable_seq. Returns the number of records written, 0 when the ring is
// empty, or -1 when the journal has failed: journal_error says why. Blocks in the kernel. Goes on
// to the next segment when the current one is full: one more durable write, and a wait of up to
// JOURNAL_SPARE_WAIT_MS when journal_make_spare is late. Journal's thread only.
int journal_write(struct journal *journal, struct ring *ring);

// journal_idle: nothing has come for a while (the caller chooses, 10 ms is usual): if the last
// blocks are not yet proven durable by a later one, write an empty block that says so. 0, also when
// the segment is full and no spare is ready, or -1 like journal_write. Same thread.
int journal_idle(struct journal *journal);

// journal_error: after -1, one line: what failed, where, and what to do. Journal's thread.
const char *journal_error(const struct journal *journal);

// journal_make_spare: create one spare segment when fewer than options.spares are ready. Writes
// zeros slowly enough not to hold up the writer where one is missing, faster where more are. 1 when
// it made one, 0 when there are enough, -errno when it could not (-ENOSPC: the disk is full), after
// which a journal_write that needs one does not wait for it. One helper thread, beside the
// journal's own.
int journal_make_spare(struct journal *journal);

// journal_seal: seal the oldest closed segment that has no seal yet (seal.h). 1 when it sealed one,
// 0 when there is none, or -errno. The helper thread of journal_make_spare.
int journal_seal(struct journal *journal);

// journal_recyclable: every record up to `seq` stands in two snapshots that were verified: segments
// that hold no others may be used again. Any thread.
void journal_recyclable(struct journal *journal, uint64_t seq);

// journal_close: after the last journal_write and journal_make_spare: a block that marks the log as
// complete, then free. 0, or -1 with `error` when that block could not be written, or had failed
// before; the log is sound either way.
int journal_close(struct journal *journal, struct error *error);

// What a scan found. Offsets and sizes in bytes.
struct journal_stat {
    uint64_t segment_count, spare_count;
    uint64_t block_count; // in the chain: headers, idle and close blocks included
    uint64_t idle_block_count;
    uint64_t record_count; // the seq of the last record
    uint64_t oldest_seq;   // of the first record of the oldest segment; 0: there is no segment
    uint64_t durable_upto; // D: proven durable
    uint64_t epoch_count;
    uint64_t torn_block_count; // at the end of the log, beyond D; earlier cuts are not looked at
    uint64_t bytes;            // of all segments and spares
    bool clean;                // ends with the mark of journal_close
    uint16_t shard;            // 0 when there is no segment
};

// journal_oldest: the seq of the first record of the oldest segment there is now; 0 when there is
// none. 0, or -1 with `error`. Any thread.
int journal_oldest(struct disk *disk, uint64_t *seq, struct error *error);

// journal_scan: read and verify a log without changing it, from the first record after `from_seq`
// on (JOURNAL_OLDEST: from the oldest there is); `each` may be NULL. 0, or -1 with `error` at the
// first damage.
//
// A log that is being written may be scanned: what follows the last whole block is a torn tail, and
// what is written meanwhile may be seen or not. Its oldest segments may be taken to be used again
// while it is read (see journal_recyclable). With JOURNAL_OLDEST the scan then begins with the next
// one that is there, as long as no record was given to `each`; after that, or when `from_seq` asks
// for records that were taken, the error says so and names the segment: what was given is sound,
// and a scan that is begun anew finds a log that begins later. A segment that is missing between
// others is damage here as well.
//
// Any thread, with a disk of its own.
int journal_scan(struct disk *disk, uint64_t from_seq, journal_record_fn *each, void *context,
                 struct journal_stat *stat, struct error *error);

#endif
