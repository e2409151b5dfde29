// SPDX-License-Identifier: MIT
#include "dataplane/ufo.h"

static enum ufo_fault check_message(const uint8_t *message, size_t size)
{
    switch (message[0]) {
    case UFO_UNSEQUENCED:
        return size > 1 ? UFO_OK : UFO_WRONG_SIZE;
    case UFO_LOGIN:
        return size == sizeof(struct ufo_login) ? UFO_OK : UFO_WRONG_SIZE;
    case UFO_RETRANSMIT:
        return size == sizeof(struct ufo_retransmit) ? UFO_OK : UFO_WRONG_SIZE;
    case UFO_HEARTBEAT:
        return size == sizeof(struct ufo_heartbeat) ? UFO_OK : UFO_WRONG_SIZE;
    case UFO_LOGOFF:
        return size == sizeof(struct ufo_logoff) ? UFO_OK : UFO_WRONG_SIZE;
    default:
        return UFO_UNKNOWN_TYPE;
    }
}

enum ufo_fault ufo_check(const uint8_t *payload, size_t size, uint32_t *block_count)
{
    if (size == 0)
        return UFO_NO_BLOCKS;
    size_t offset = 0;
    uint32_t count = 0;
    while (offset < size) {
        be16 length;
        if (size - offset < sizeof(length))
            return UFO_OVERRUN;
        memcpy(&length, payload + offset, sizeof(length));
        offset += sizeof(length);
        size_t message_size = be16_load(length);
        if (message_size == 0)
            return UFO_EMPTY_BLOCK;
        if (message_size > size - offset)
            return UFO_OVERRUN;
        enum ufo_fault fault = check_message(payload + offset, message_size);
        if (fault != UFO_OK)
            return fault;
        offset += message_size;
        count++;
    }
    *block_count = count;
    return UFO_OK;
}

static uint8_t upper(char letter)
{
    uint8_t code = (uint8_t)letter;
    return code >= 'a' && code <= 'z' ? (uint8_t)(code - ('a' - 'A')) : code;
}

bool ufo_same_name(const char *field, const char *other, size_t size)
{
    uint8_t difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= upper(field[i]) ^ upper(other[i]);
    return difference == 0;
}

void ufo_upper(char *field, size_t size)
{
    for (size_t i = 0; i < size; i++)
        field[i] = (char)upper(field[i]);
}
