// SPDX-License-Identifier: MIT
#include "tests/sim/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "numa/array.h"

#define STALL_NS 1500000000ull

static struct sim_disk *disk_of(struct disk *disk)
{
    return (struct sim_disk *)disk;
}

static void note_write(struct sim_disk *disk, uint32_t file, uint64_t offset, uint64_t length)
{
    if (!array_reserve(&disk->writes, &disk->write_capacity, disk->write_count + 1,
                       sizeof(*disk->writes)))
        abort();
    disk->writes[disk->write_count++] =
        (struct sim_write){.file = file, .offset = offset, .length = length};
}

// What was written to it means nothing any more.
static void forget_writes(struct sim_disk *disk, uint32_t file)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < disk->write_count; i++)
        if (disk->writes[i].file != file)
            disk->writes[kept++] = disk->writes[i];
    disk->write_count = kept;
}

// What a sector looks like after the power went while it was being written.
static void tear_sector(struct sim_disk *disk, unsigned char *at, const unsigned char *fresh)
{
    uint32_t length = random_below(&disk->random, SIM_SECTOR_SIZE);
    switch (random_below(&disk->random, 8)) {
    case 0:
        memcpy(at, fresh, length);
        break;
    case 1:
        for (uint32_t i = 0; i < SIM_SECTOR_SIZE; i++)
            at[i] = (unsigned char)random_bits(&disk->random);
        break;
    case 2:
    case 3:
    case 4:
        break;
    default:
        memcpy(at, fresh, SIM_SECTOR_SIZE);
    }
}

static void tear(struct sim_disk *disk, unsigned char *at, const unsigned char *fresh,
                 size_t length)
{
    uint32_t way = random_below(&disk->random, 8);
    if (way == 0) // not a sector arrived
        return;
    if (way == 1) { // all did, and nobody was told
        memcpy(at, fresh, length);
        return;
    }
    for (size_t offset = 0; offset < length; offset += SIM_SECTOR_SIZE)
        tear_sector(disk, at + offset, fresh + offset);
}

static int sim_open(struct disk *disk, const char *name)
{
    return files_open(&disk_of(disk)->files, name);
}

static uint64_t bytes_in_use(const struct sim_disk *disk)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < disk->files.count; i++)
        bytes += disk->files.at[i].name[0] ? disk->files.at[i].size : 0;
    return bytes;
}

// What becomes of a create, a rename or a remove: 0 or -EIO. When the power goes at it, half of the
// time it has happened.
static int operate(struct sim_disk *disk, bool *happens)
{
    uint64_t operation = ++disk->operation_count;
    *happens = true;
    if (operation == disk->error_at) {
        disk->failed = true;
        *happens = false;
        return -EIO;
    }
    if (operation != disk->cut_at)
        return 0;
    disk->off = true;
    *happens = random_below(&disk->random, 2) == 0;
    return -EIO;
}

static int sim_create(struct disk *base, const char *name, uint64_t size, uint64_t bytes_per_ms)
{
    struct sim_disk *disk = disk_of(base);
    bool happens;
    (void)bytes_per_ms;
    if (disk->off)
        return -EIO;
    if (files_find(&disk->files, name))
        return -EEXIST;
    if (bytes_in_use(disk) + size > disk->bytes_max) {
        disk->refused = true;
        return -ENOSPC;
    }
    int result = operate(disk, &happens);
    if (happens)
        files_create(&disk->files, name, size);
    return result;
}

static void sim_close(struct disk *disk, int handle)
{
    (void)disk;
    INVARIANT(handle >= 0);
}

static int64_t sim_size(struct disk *disk, int handle)
{
    return (int64_t)disk_of(disk)->files.at[handle].size;
}

static int64_t sim_read(struct disk *base, int handle, uint64_t offset, void *buffer, size_t length)
{
    struct sim_disk *disk = disk_of(base);
    int64_t count = files_read(&disk->files, handle, offset, buffer, length);
    if (disk->inspected || ++disk->read_count != disk->read_error_at)
        return count;
    disk->failed = true;
    // Most of a segment is zeros: half of the time what is missing is from its beginning.
    uint32_t sectors = (uint32_t)count / SIM_SECTOR_SIZE;
    if (random_below(&disk->random, 2) == 0 && sectors > 64)
        sectors = 64;
    bool ends_early = random_below(&disk->random, 2) == 0 && sectors > 0;
    uint32_t given = ends_early ? random_below(&disk->random, sectors) * SIM_SECTOR_SIZE : 0;
    memset((unsigned char *)buffer + given, 0xA5, length - given); // may hold anything then
    return ends_early ? (int64_t)given : -EIO;
}

static int sim_write(struct disk *base, int handle, uint64_t offset, const void *buffer,
                     size_t length)
{
    struct sim_disk *disk = disk_of(base);
    unsigned char *target = files_target(&disk->files, handle, offset, buffer, length);
    if (disk->off)
        return -EIO;
    uint64_t operation = ++disk->operation_count;
    if (disk->meanwhile)
        disk->meanwhile(disk->context, operation == disk->stall_at
                                           ? STALL_NS
                                           : 50000 + random_below(&disk->random, 200000));
    bool large = length > DISK_BLOCK_SIZE && random_percent(&disk->random, disk->cut_large_percent);
    if (large || operation == disk->cut_at || operation == disk->error_at) {
        disk->off = operation != disk->error_at;
        disk->failed = !disk->off;
        tear(disk, target, buffer, length);
        return -EIO;
    }
    memcpy(target, buffer, length);
    // Of the log's own blocks only: zeros are what a segment is cleared with.
    if (strncmp(disk->files.at[handle].name, "segment-", 8) == 0 &&
        *(const unsigned char *)buffer != 0)
        note_write(disk, (uint32_t)handle, offset, length);
    return 0;
}

static int sim_sync(struct disk *disk, int handle)
{
    (void)handle;
    return disk_of(disk)->off ? -EIO : 0;
}

static int sim_sync_directory(struct disk *disk)
{
    return disk_of(disk)->off ? -EIO : 0;
}

static int sim_list(struct disk *base, void (*found)(void *context, const char *name),
                    void *context)
{
    files_list(&disk_of(base)->files, found, context);
    return 0;
}

static int sim_remove(struct disk *base, const char *name)
{
    struct sim_disk *disk = disk_of(base);
    struct file *file = files_find(&disk->files, name);
    bool happens;
    if (disk->off)
        return -EIO;
    if (!file)
        return -ENOENT;
    int result = operate(disk, &happens);
    if (happens) {
        files_remove(file);
        forget_writes(disk, (uint32_t)(file - disk->files.at));
    }
    return result;
}

static int sim_rename(struct disk *base, const char *from, const char *to)
{
    struct sim_disk *disk = disk_of(base);
    struct file *file = files_find(&disk->files, from);
    bool happens;
    if (disk->off)
        return -EIO;
    if (!file)
        return -ENOENT;
    if (files_find(&disk->files, to))
        return -EEXIST;
    int result = operate(disk, &happens);
    if (happens) {
        files_rename(file, to);
        forget_writes(disk, (uint32_t)(file - disk->files.at));
    }
    return result;
}

static uint64_t sim_time_ns(struct disk *base)
{
    struct sim_disk *disk = disk_of(base);
    return disk->now_ns ? disk->now_ns(disk->context) : 0;
}

static uint32_t sim_draw(struct disk *base)
{
    return (uint32_t)random_bits(&disk_of(base)->random);
}

static const struct disk_operations sim_operations = {
    .open = sim_open,
    .create = sim_create,
    .close = sim_close,
    .size = sim_size,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .sync_directory = sim_sync_directory,
    .list = sim_list,
    .remove = sim_remove,
    .rename = sim_rename,
    .time_ns = sim_time_ns,
    .draw = sim_draw,
};

void sim_disk_init(struct sim_disk *disk, uint64_t seed, uint64_t bytes_max)
{
    *disk = (struct sim_disk){.disk = {.operations = &sim_operations, .path = "simulated"},
                              .random = {seed},
                              .bytes_max = bytes_max};
}

void sim_disk_free(struct sim_disk *disk)
{
    files_free(&disk->files);
    free(disk->writes);
    *disk = (struct sim_disk){0};
}

void sim_disk_copy(struct sim_disk *copy, const struct sim_disk *disk)
{
    sim_disk_init(copy, disk->random.state, UINT64_MAX);
    files_copy(&copy->files, &disk->files);
}

static int save_file(const struct file *file, const char *folder)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, file->name);
    FILE *out = fopen(path, "wb");
    if (!out)
        return -1;
    size_t written = fwrite(file->bytes, 1, file->size, out);
    return fclose(out) == 0 && written == file->size ? 0 : -1;
}

int sim_disk_save(const struct sim_disk *disk, const char *folder)
{
    if (mkdir(folder, 0750) && errno != EEXIST)
        return -1;
    for (uint32_t i = 0; i < disk->files.count; i++)
        if (disk->files.at[i].name[0] && save_file(&disk->files.at[i], folder) < 0)
            return -1;
    return 0;
}
