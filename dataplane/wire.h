// SPDX-License-Identifier: MIT
//
// Field types for messages as the wire has them. OUCH, ITCH, UFO and MoldUDP64 are all packed, big
// endian and unaligned, so their messages are described as structs made of these types and laid
// over the bytes. Every type is an array of bytes in a struct: alignment 1, no padding, and free to
// alias the packet's memory. A load or store compiles to a byte-swapping move.
#ifndef SLUICE_DATAPLANE_WIRE_H
#define SLUICE_DATAPLANE_WIRE_H

#include <assert.h>
#include <endian.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t bytes[2];
} be16;

typedef struct {
    uint8_t bytes[4];
} be32;

typedef struct {
    uint8_t bytes[6];
} be48;

typedef struct {
    uint8_t bytes[8];
} be64;

// WIRE_FIELD / WIRE_SIZE: hold a struct to the numbers of its specification. Each struct that is
// laid over a packet has one line per field.
#define WIRE_FIELD(type, field, offset, size)                                                      \
    static_assert(offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (size),       \
                  #type " " #field)
#define WIRE_SIZE(type, size)                                                                      \
    static_assert(sizeof(type) == (size) && alignof(type) == 1, #type " size")

static inline uint16_t be16_load(be16 field)
{
    uint16_t value;
    memcpy(&value, field.bytes, sizeof(value));
    return be16toh(value);
}

static inline uint32_t be32_load(be32 field)
{
    uint32_t value;
    memcpy(&value, field.bytes, sizeof(value));
    return be32toh(value);
}

static inline uint64_t be64_load(be64 field)
{
    uint64_t value;
    memcpy(&value, field.bytes, sizeof(value));
    return be64toh(value);
}

static inline uint64_t be48_load(be48 field)
{
    uint16_t high;
    uint32_t low;
    memcpy(&high, field.bytes, sizeof(high));
    memcpy(&low, field.bytes + 2, sizeof(low));
    return (uint64_t)be16toh(high) << 32 | be32toh(low);
}

static inline be16 be16_of(uint16_t value)
{
    be16 field;
    value = htobe16(value);
    memcpy(field.bytes, &value, sizeof(value));
    return field;
}

static inline be32 be32_of(uint32_t value)
{
    be32 field;
    value = htobe32(value);
    memcpy(field.bytes, &value, sizeof(value));
    return field;
}

static inline be64 be64_of(uint64_t value)
{
    be64 field;
    value = htobe64(value);
    memcpy(field.bytes, &value, sizeof(value));
    return field;
}

// be48_of: the low 48 bits of `value`.
static inline be48 be48_of(uint64_t value)
{
    be48 field;
    uint16_t high = htobe16((uint16_t)(value >> 32));
    uint32_t low = htobe32((uint32_t)value);
    memcpy(field.bytes, &high, sizeof(high));
    memcpy(field.bytes + 2, &low, sizeof(low));
    return field;
}

#endif
