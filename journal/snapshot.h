// SPDX-License-Identifier: MIT
//
// snapshot: a shard's state after some record, in a file beside the log's segments, so that
// recovery need not begin at the first record and old segments can be used again.
//
//   snapshot-0000000000000400: [header block][state, in 64-byte records][zeros][trailer block]
//
// The number is that of the last record that the state contains. The trailer holds the BLAKE2b-256
// of all that stands before it (libsodium's generichash). A file is written under a name that ends
// in .tmp, synced, read back and verified, and only then given its own: what has the name is whole,
// unless the disk has damaged it since.
#ifndef SLUICE_JOURNAL_SNAPSHOT_H
#define SLUICE_JOURNAL_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "journal/disk.h"
#include "numa/error.h"

#define SNAPSHOT_VERSION     1u
#define SNAPSHOT_RECORD_SIZE 64u
#define SNAPSHOTS_MAX        64u // in a folder; more are not looked at

// Takes the next record, 64 bytes; false to stop.
typedef bool snapshot_put_fn(void *context, const void *record);

// Gives every record of the state to `put`, in order; false when that did. The same each time.
typedef bool snapshot_state_fn(void *state, snapshot_put_fn *put, void *context);

// snapshot_write: the state of shard `shard` after record `seq`, as `state_fn(state, …)` gives it:
// written, read back, verified, and named. The one of `base_seq`, which it was made from (0: none),
// stays, and all others go. 0, or -1 with `error`, and then nothing has changed. Allocates while it
// runs. Any one thread at a time.
int snapshot_write(struct disk *disk, uint16_t shard, uint64_t seq, uint64_t base_seq,
                   snapshot_state_fn *state_fn, void *state, struct error *error);

// snapshot_list: the numbers of those there are, newest first; how many, or -1 with `error`.
int snapshot_list(struct disk *disk, uint64_t seqs[SNAPSHOTS_MAX], struct error *error);

// snapshot_verify: that of record `seq` is whole and shard `shard`'s. 0, or -1 with `error`, which
// names the file and what is wrong with it.
int snapshot_verify(struct disk *disk, uint16_t shard, uint64_t seq, struct error *error);

// snapshot_read: give each record of a snapshot that was verified to `take`. 0, or -1 with `error`,
// also when `take` stops.
int snapshot_read(struct disk *disk, uint64_t seq, snapshot_put_fn *take, void *context,
                  struct error *error);

#endif
