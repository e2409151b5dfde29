// SPDX-License-Identifier: MIT
#include "journal/seal.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/block.h"

#define SEAL_MAGIC 0x4C434C53u // "SLCL" in the file
#define NAME_SIZE  24

static void seal_name(char name[NAME_SIZE], uint64_t number)
{
    snprintf(name, NAME_SIZE, "seal-%016" PRIx64, number);
}

int seal_make(struct disk *disk, struct seal *seal, void *buffer, size_t buffer_size)
{
    char name[SEGMENT_NAME_SIZE];
    crypto_generichash_state state;
    segment_name(name, seal->number);
    int handle = disk->operations->open(disk, name);
    if (handle < 0)
        return handle;
    crypto_generichash_init(&state, NULL, 0, sizeof(seal->hash));
    crypto_generichash_update(&state, seal->previous, sizeof(seal->previous));
    int64_t result = 0;
    uint64_t end = seal->block_count * JOURNAL_BLOCK_SIZE;
    for (uint64_t offset = 0; offset < end && result >= 0;) {
        size_t length = end - offset < buffer_size ? end - offset : buffer_size;
        result = disk->operations->read(disk, handle, offset, buffer, length);
        if (result >= 0 && (size_t)result != length)
            result = -EIO;
        if (result >= 0)
            crypto_generichash_update(&state, buffer, length);
        offset += length;
    }
    disk->operations->close(disk, handle);
    crypto_generichash_final(&state, seal->hash, sizeof(seal->hash));
    return result < 0 ? (int)result : 0;
}

int seal_write(struct disk *disk, struct seal *seal)
{
    char name[NAME_SIZE];
    alignas(DISK_BLOCK_SIZE) unsigned char block[DISK_BLOCK_SIZE] = {0};
    seal_name(name, seal->number);
    seal->magic = SEAL_MAGIC;
    seal->version = SEAL_VERSION;
    seal->crc = crc32c(0, seal, offsetof(struct seal, crc));
    memcpy(block, seal, sizeof(*seal));
    int result = disk->operations->create(disk, name, DISK_BLOCK_SIZE, 0);
    if (result < 0 && result != -EEXIST)
        return result;
    int handle = disk->operations->open(disk, name);
    if (handle < 0)
        return handle;
    result = disk->operations->write(disk, handle, 0, block, sizeof(block));
    disk->operations->close(disk, handle);
    return result;
}

int seal_read(struct disk *disk, uint64_t number, struct seal *seal)
{
    char name[NAME_SIZE];
    alignas(DISK_BLOCK_SIZE) unsigned char block[DISK_BLOCK_SIZE];
    seal_name(name, number);
    int handle = disk->operations->open(disk, name);
    if (handle < 0)
        return handle;
    int64_t result = disk->operations->read(disk, handle, 0, block, sizeof(block));
    disk->operations->close(disk, handle);
    if (result < 0)
        return (int)result;
    memcpy(seal, block, sizeof(*seal));
    bool whole = result == sizeof(block) && seal->magic == SEAL_MAGIC &&
                 seal->crc == crc32c(0, seal, offsetof(struct seal, crc)) &&
                 seal->version == SEAL_VERSION && seal->number == number;
    return whole ? 0 : -EBADMSG;
}

struct newest {
    uint64_t below; // numbers from here on are not wanted
    uint64_t number;
};

static void found(void *context, const char *name)
{
    struct newest *newest = context;
    char again[NAME_SIZE];
    if (strncmp(name, "seal-", 5) != 0)
        return;
    uint64_t number = strtoull(name + 5, NULL, 16);
    seal_name(again, number);
    if (strcmp(again, name) == 0 && number < newest->below && number > newest->number)
        newest->number = number;
}

int64_t seal_newest(struct disk *disk, struct seal *seal)
{
    struct newest newest = {.below = UINT64_MAX};
    for (;;) {
        newest.number = 0;
        int result = disk->operations->list(disk, found, &newest);
        if (result < 0 || newest.number == 0)
            return result;
        result = seal_read(disk, newest.number, seal);
        if (result == 0)
            return (int64_t)newest.number;
        if (result != -EBADMSG && result != -ENOENT)
            return result;
        newest.below = newest.number;
    }
}
