// SPDX-License-Identifier: MIT
#include "journal/block.h"

#include <isa-l/crc.h>
#include <stdio.h>
#include <string.h>

#include "numa/fault.h"

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    // Not written to, whatever its prototype says.
    return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)size, ~crc);
}

static uint32_t block_crc(const struct block *block)
{
    uint32_t crc = crc32c(0, block, offsetof(struct block_header, crc));
    return crc32c(crc, block->records, sizeof(block->records));
}

void block_seal(struct block *block, struct chain *chain)
{
    struct block_header *header = &block->header;
    INVARIANT(header->record_count <= JOURNAL_BLOCK_RECORDS);
    INVARIANT(header->durable_upto < chain->next_seq);
    header->magic = BLOCK_MAGIC;
    header->version = JOURNAL_VERSION;
    header->block_no = chain->block_no;
    header->first_seq = chain->next_seq;
    header->epoch = chain->epoch;
    header->salt = chain->salt;
    header->prev_crc = chain->crc;
    header->shard = chain->shard;
    header->crc = block_crc(block);
    chain_advance(chain, block);
}

bool block_is_zero(const struct block *block)
{
    const unsigned char *bytes = (const unsigned char *)block;
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, sizeof(*block) - 1) == 0;
}

const char *block_fault(const struct block *block)
{
    const struct block_header *header = &block->header;
    if (header->magic != BLOCK_MAGIC)
        return block_is_zero(block) ? "it is empty" : "it is not a block";
    if (header->crc != block_crc(block) && !FAULT(CRC_UNCHECKED))
        return "its checksum is wrong";
    if (header->version != JOURNAL_VERSION)
        return "it is of another version";
    if (header->record_count > JOURNAL_BLOCK_RECORDS ||
        (header->flags != 0 && header->record_count != 0))
        return "its record count is impossible";
    if (header->first_seq == 0 || header->durable_upto >= header->first_seq ||
        header->write_index >= JOURNAL_WRITE_BLOCKS_MAX || header->write_index > header->block_no)
        return "its numbers are impossible";
    return NULL;
}

bool block_of_other_version(const struct block *block)
{
    return block->header.magic == BLOCK_MAGIC && block->header.version != JOURNAL_VERSION &&
           block->header.crc == block_crc(block);
}

const char *chain_fault(const struct chain *chain, const struct block *block)
{
    const struct block_header *header = &block->header;
    const char *fault = block_fault(block);
    if (fault || FAULT(CHAIN_UNCHECKED))
        return fault;
    if (header->salt != chain->salt || header->epoch != chain->epoch)
        return "it belongs to another segment";
    if (header->block_no != chain->block_no)
        return "it belongs in another place";
    if (header->prev_crc != chain->crc)
        return "it does not follow the block before it";
    if (header->first_seq != chain->next_seq)
        return "its records do not follow those before";
    if (header->shard != chain->shard)
        return "it belongs to another shard";
    return NULL;
}

void chain_advance(struct chain *chain, const struct block *block)
{
    chain->block_no++;
    chain->next_seq += block->header.record_count;
    chain->crc = block->header.crc;
}

void segment_name(char name[SEGMENT_NAME_SIZE], uint64_t number)
{
    snprintf(name, SEGMENT_NAME_SIZE, "segment-%016llx", (unsigned long long)number);
}
