// SPDX-License-Identifier: MIT
//
// A disk that can fail in every way that a journal is to survive. Files are in memory; what is
// written is durable when the write returns, as the journal's interface asks for, and when the
// power is cut in the middle of a write each 512-byte sector of it comes back old, new, torn or
// garbage, in any order. Everything follows from the seed.
#ifndef SLUICE_TESTS_SIM_DISK_H
#define SLUICE_TESTS_SIM_DISK_H

#include "journal/disk.h"
#include "tests/unit/files.h"
#include "tests/unit/random.h"

#define SIM_SECTOR_SIZE 512u

// A write that went through: which bytes are known to be durable, and in which order.
struct sim_write {
    uint32_t file; // index
    uint64_t offset, length;
};

struct sim_disk {
    struct disk disk;
    struct random random;
    struct files files;
    uint64_t bytes_max; // of all files together; beyond it the disk is full

    uint64_t operation_count;   // writes, creates, renames and removes begun
    uint64_t cut_at;            // the power goes during this one; 0: never
    uint32_t cut_large_percent; // … or during one of those writes that carry several blocks
    uint64_t error_at;   // this one fails with -EIO: a write does a part, others nothing; 0: none
    uint64_t stall_at;   // this one takes long; 0: none
    uint64_t read_count; // reads begun
    uint64_t read_error_at; // this one fails with -EIO, or gives less than there is; 0: none
    bool inspected;         // it is not the house that reads: no read fails, and none is counted
    bool off;               // no power: every operation fails, and nothing is changed
    bool failed;            // an error was reported
    bool refused;           // it was full, and said so

    // Called while a write is on its way to the platter, with how long it takes.
    void (*meanwhile)(void *context, uint64_t duration_ns);
    uint64_t (*now_ns)(void *context);
    void *context;

    struct sim_write *writes; // since the disk was made, rings not being needed
    uint32_t write_count;
    size_t write_capacity;
};

// sim_disk_init: empty; `random` is its own. sim_disk_free.
void sim_disk_init(struct sim_disk *disk, uint64_t seed, uint64_t bytes_max);
void sim_disk_free(struct sim_disk *disk);

// sim_disk_copy: an independent disk with the same files, on which nothing fails.
void sim_disk_copy(struct sim_disk *copy, const struct sim_disk *disk);

// sim_disk_save: write the files into a folder of the real disk, made when missing. 0, or -1.
int sim_disk_save(const struct sim_disk *disk, const char *folder);

#endif
