// SPDX-License-Identifier: MIT
//
// The files in a zip, for recordings that come in one.
#ifndef SLUICE_TESTS_UNIT_ZIP_H
#define SLUICE_TESTS_UNIT_ZIP_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static inline void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    cr_assert(memory != NULL, "no memory for %zu times %zu bytes", count, size);
    return memory;
}

struct bytes {
    unsigned char *start;
    size_t size;
};

static inline uint32_t le16(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t le32(const unsigned char *at)
{
    return le16(at) | le16(at + 2) << 16;
}

static inline struct bytes read_whole(const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    struct bytes bytes = {.size = (size_t)ftell(file)};
    bytes.start = allocate(bytes.size, 1);
    rewind(file);
    cr_assert_eq(fread(bytes.start, 1, bytes.size, file), bytes.size, "%s cannot be read", path);
    fclose(file);
    return bytes;
}

// `entry`: of the central directory (PKWARE appnote 4.3.12). The text, with a zero behind it.
static inline char *inflate_entry(const struct bytes *zip, const unsigned char *entry)
{
    size_t packed_size = le32(entry + 20), size = le32(entry + 24), local = le32(entry + 42);
    cr_assert(le16(entry + 10) == Z_DEFLATED && local + 30 <= zip->size, "the zip is damaged");
    size_t data = local + 30 + le16(zip->start + local + 26) + le16(zip->start + local + 28);
    cr_assert(data + packed_size <= zip->size, "the zip is cut off");
    char *text = allocate(size + 1, 1);
    z_stream stream = {.next_in = zip->start + data,
                       .avail_in = (uInt)packed_size,
                       .next_out = (unsigned char *)text,
                       .avail_out = (uInt)size};
    cr_assert_eq(inflateInit2(&stream, -MAX_WBITS), Z_OK);
    cr_assert(inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == size,
              "the zip is damaged");
    inflateEnd(&stream);
    cr_assert_eq(crc32(0, (unsigned char *)text, (uInt)size), le32(entry + 16), "a wrong CRC");
    return text;
}

// The first file whose name holds `word`.
static inline char *unzip(const struct bytes *zip, const char *word)
{
    cr_assert(zip->size >= 22, "no zip");
    size_t end = zip->size - 22;
    while (end > 0 && le32(zip->start + end) != 0x06054b50)
        end--;
    size_t at = le32(zip->start + end + 16);
    for (uint32_t i = le16(zip->start + end + 10); i > 0; i--) {
        cr_assert(at + 46 <= end && le32(zip->start + at) == 0x02014b50, "the zip is damaged");
        const unsigned char *entry = zip->start + at;
        size_t name_size = le16(entry + 28);
        cr_assert(at + 46 + name_size <= end, "the zip is damaged");
        if (memmem(entry + 46, name_size, word, strlen(word)))
            return inflate_entry(zip, entry);
        at += 46 + name_size + le16(entry + 30) + le16(entry + 32);
    }
    cr_assert_fail("the zip has no file called *%s*", word);
    return NULL;
}

#endif
