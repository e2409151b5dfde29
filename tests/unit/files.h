// SPDX-License-Identifier: MIT
//
// Files in memory, for the disks that the journal's tests and the simulation run on. A handle is a
// file's place, and stays good when the file is given another name, or removed, as a descriptor
// does; the place of a removed file is used again.
#ifndef SLUICE_TESTS_UNIT_FILES_H
#define SLUICE_TESTS_UNIT_FILES_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/disk.h"
#include "numa/invariant.h"

#define FILES_MAX 1024

struct file {
    char name[32]; // empty: removed
    unsigned char *bytes;
    uint64_t size;
    uint64_t used; // behind it nothing was ever written: zeros
};

struct files {
    struct file at[FILES_MAX];
    uint32_t count; // removed ones included
};

static inline struct file *files_find(struct files *files, const char *name)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (strcmp(files->at[i].name, name) == 0)
            return &files->at[i];
    return NULL;
}

static inline int files_open(struct files *files, const char *name)
{
    struct file *file = files_find(files, name);
    return file ? (int)(file - files->at) : -ENOENT;
}

static inline struct file *files_place(struct files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (!files->at[i].name[0])
            return &files->at[i];
    INVARIANT(files->count < FILES_MAX);
    return &files->at[files->count++];
}

// `size` zeros; no file has that name.
static inline void files_create(struct files *files, const char *name, uint64_t size)
{
    struct file *file = files_place(files);
    free(file->bytes);
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->size = size;
    file->used = 0;
    file->bytes = calloc(1, size);
    INVARIANT(file->bytes);
}

static inline void files_remove(struct file *file)
{
    file->name[0] = 0;
}

static inline void files_rename(struct file *file, const char *name)
{
    snprintf(file->name, sizeof(file->name), "%s", name);
}

static inline int64_t files_read(const struct files *files, int handle, uint64_t offset,
                                 void *buffer, size_t length)
{
    const struct file *file = &files->at[handle];
    if (offset >= file->size)
        return 0;
    if (length > file->size - offset)
        length = file->size - offset;
    memcpy(buffer, file->bytes + offset, length);
    return (int64_t)length;
}

// Where a write of `length` bytes goes, which keeps to what the disk asks of its callers.
static inline unsigned char *files_target(struct files *files, int handle, uint64_t offset,
                                          const void *buffer, size_t length)
{
    struct file *file = &files->at[handle];
    INVARIANT(offset % DISK_BLOCK_SIZE == 0 && length % DISK_BLOCK_SIZE == 0);
    INVARIANT((uintptr_t)buffer % DISK_BLOCK_SIZE == 0);
    INVARIANT(offset + length <= file->size);
    if (file->used < offset + length)
        file->used = offset + length;
    return file->bytes + offset;
}

// The newest first: no order may be counted on.
static inline void files_list(const struct files *files,
                              void (*found)(void *context, const char *name), void *context)
{
    for (uint32_t i = files->count; i-- > 0;)
        if (files->at[i].name[0])
            found(context, files->at[i].name);
}

static inline void files_copy(struct files *copy, const struct files *files)
{
    copy->count = files->count;
    for (uint32_t i = 0; i < files->count; i++) {
        const struct file *file = &files->at[i];
        copy->at[i] = *file;
        copy->at[i].bytes = NULL;
        if (!file->name[0])
            continue;
        copy->at[i].bytes = calloc(1, file->size);
        INVARIANT(copy->at[i].bytes);
        memcpy(copy->at[i].bytes, file->bytes, file->used);
    }
}

static inline void files_free(struct files *files)
{
    for (uint32_t i = 0; i < files->count; i++)
        free(files->at[i].bytes);
    files->count = 0;
}

#endif
