// SPDX-License-Identifier: MIT
//
// tap: what goes by, for others to look at: a broadcast ring in shared memory (a file, usually
// below /dev/shm) that one thread writes and any number of other processes read. The writer never
// waits and never knows how far anybody has read; a reader that is too slow finds its records
// overwritten, and counts exactly how many. This is the opposite of numa/ring.h, where nothing may
// be lost.
//
// While nobody reads, the writer's cost is tap_watched: one relaxed load. Readers map the file read
// only, so no reader can harm the writer or another reader, and register by a lock on the file,
// which the kernel takes back however a reader ends. tap_watch, called now and then by the writer's
// process, finds the locks and sets the flag; once the last reader has gone it wipes what was
// recorded, passwords in clear among it.
//
// Measured (tests/bench/bench_tap: a frame sent through a port, two shared cores, Xeon at 2.0 GHz,
// three runs): 0 to 0.6 ns a frame while nobody reads. While somebody does, a frame of 100 bytes
// costs 50 to 85 ns, the reading of the clock included, and 90 to 165 when the reader takes the
// lines away as they are written; one of 1400 bytes 200 to 275, and 390 to 545.
#ifndef SLUICE_NUMA_TAP_H
#define SLUICE_NUMA_TAP_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numa/error.h"

#define TAP_RECORD_MAX 2048u // bytes of one record

// The shared memory: this, the slots, the words. Positions and counts run freely and are masked on
// access.
struct tap_shared {
    _Atomic uint64_t magic; // written last when the tap is made, as are the two sizes before it
    uint64_t slot_count, word_count;
    // Whether anybody reads; written by tap_watch.
    alignas(128) _Atomic uint32_t watched;
    // Written by tap_put only: how far records and words may be overwritten already, and how many
    // records are complete.
    alignas(128) _Atomic uint64_t claimed_records;
    _Atomic uint64_t claimed_words;
    alignas(128) _Atomic uint64_t published;
};

static_assert(sizeof(struct tap_shared) == 512 && ATOMIC_LLONG_LOCK_FREE == 2,
              "the flag, the claims and the count on separate 128-byte blocks; no hidden locks");

struct tap_slot {
    _Atomic uint64_t time_ns;
    _Atomic uint64_t position; // of its first word
    _Atomic uint64_t kind_and_size;
};

// The writer's side.
struct tap {
    struct tap_shared *shared; // NULL: not open
    struct tap_slot *slots;
    _Atomic uint64_t *words;
    uint64_t slot_mask, word_mask;
    uint64_t record_count, word_position; // so far; never read back from memory that others see
    uint64_t wiped_count;                 // records that were there when it was wiped; tap_watch's
    size_t mapped_bytes;
    int fd;
    char path[128];
};

// tap_open: make the file `path` (mode 0600) with room for `slot_count` records (a power of two)
// and `word_count` words of 8 bytes (a power of two, TAP_RECORD_MAX bytes or more), all of it
// touched, and locked where the process may, on NUMA node `node` (ARENA_ANY_NODE: wherever). One
// that a process left behind when it was killed is replaced. 0, or -1 with `error`: no memory, or
// the process that made it still runs. Before threads start.
int tap_open(struct tap *tap, const char *path, uint64_t slot_count, uint64_t word_count, int node,
             struct error *error);

// tap_watch: see whether anybody reads, and set or clear the flag; where it was clear before,
// overwrite what is recorded with zeros, once. Two system calls; about once a second, from one
// thread, which need not be the writing one.
void tap_watch(struct tap *tap);

// tap_close: remove the file. Readers keep what they have mapped, read it to its end, and are told
// that it is the end. Fine on one that is zeroed or closed.
void tap_close(struct tap *tap);

// tap_watched: whether tap_put is worth calling. Writer.
static inline bool tap_watched(const struct tap *tap)
{
    // Relaxed: nothing hangs on the moment. Readers begin with a record that is published after
    // they have seen the flag.
    return atomic_load_explicit(&tap->shared->watched, memory_order_relaxed) != 0;
}

// tap_put: record `size` bytes (up to TAP_RECORD_MAX) that went by at `time_ns`; `kind` (16 bits)
// is the caller's. Never waits. One thread.
void tap_put(struct tap *tap, uint64_t time_ns, uint32_t kind, const void *bytes, size_t size);

// A reader.
struct tap_reader {
    const struct tap_shared *shared;
    const struct tap_slot *slots;
    const _Atomic uint64_t *words;
    size_t mapped_bytes;
    uint64_t slot_mask, word_mask;
    uint64_t next; // record to be read
    uint64_t lost; // records overwritten before they were read
    bool locked, joined;
    int fd;
};

struct tap_record {
    uint64_t time_ns;
    uint32_t kind, size;
};

// tap_attach: begin to read the tap at `path`. 0, or -1 with `error`: it is not there, nobody
// writes it, or it is another version's. Records count from the moment that tap_joined is true on.
int tap_attach(struct tap_reader *reader, const char *path, struct error *error);

// tap_joined: whether the writer knows of its readers, which takes until its next tap_watch. What
// is recorded from the first time on that this is true is read or counted as lost.
bool tap_joined(struct tap_reader *reader);

// tap_published: how many records there were at this moment, to be compared with `next`.
uint64_t tap_published(const struct tap_reader *reader);

// tap_read: copy the next record into `record` and `bytes` (TAP_RECORD_MAX). False when there is
// none now. Where the next one was overwritten, half of what the reader is behind is given up and
// counted in `lost`, as often as it takes: what is left is the newer half, with time to read it.
bool tap_read(struct tap_reader *reader, struct tap_record *record, uint8_t *bytes);

// tap_ended: whether the writer has closed the tap, or died. One system call. What was recorded is
// visible then: read until tap_read is false, once more, after this was true.
bool tap_ended(const struct tap_reader *reader);

// tap_detach: give up the registration and the memory. Fine on one that is zeroed or detached.
void tap_detach(struct tap_reader *reader);

#endif
