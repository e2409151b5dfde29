// SPDX-License-Identifier: MIT
//
// UFO 1.0, UDP for Orders: the session layer that carries OUCH. Downstream, one packet a datagram,
// told apart by its first byte. Upstream, a datagram is one or more blocks and nothing else; a
// block is a be16 length (above 0, excluding itself) and a message, told apart by its first byte.
#ifndef SLUICE_DATAPLANE_UFO_H
#define SLUICE_DATAPLANE_UFO_H

#include <stdbool.h>

#include "dataplane/wire.h"

// Downstream, server to client.
#define UFO_LOGIN_ACCEPT           'A'
#define UFO_LOGIN_REJECT           'J'
#define UFO_SEQUENCED              'S'
#define UFO_END                    'E'

// Upstream, client to server.
#define UFO_LOGIN                  'L'
#define UFO_RETRANSMIT             'T'
#define UFO_UNSEQUENCED            'U'
#define UFO_HEARTBEAT              'R'
#define UFO_LOGOFF                 'O'

#define UFO_REJECT_NOT_AUTHORISED  'A' // user name or password
#define UFO_REJECT_INVALID_SESSION 'S' // the session asked for is not the current one

#define UFO_PAYLOAD_MAX            1472u // bytes of a datagram, either way: 1500 - IPv4 20 - UDP 8
// The document says 1465 bytes for a downstream block's data, which its own length field does not
// leave room for.
#define UFO_SEQUENCED_DATA_MAX     (UFO_PAYLOAD_MAX - 7u - 2u)

struct ufo_login_accept {
    uint8_t type;
    char session[10];
    be32 sequence; // of the next sequenced message
};

struct ufo_login_reject {
    uint8_t type;
    uint8_t reason;
};

// Followed by `count` blocks, each a be16 length and that many bytes.
struct ufo_sequenced {
    uint8_t type;
    be32 sequence; // of the first message; heartbeat: of the next to be sent
    be16 count;    // 0 is a heartbeat
};

struct ufo_end {
    uint8_t type;
    be32 message_count; // sequenced messages of the session
};

// The upstream messages, without the length in front of them.
struct ufo_login {
    uint8_t type;
    char user_name[6];
    char password[10];
    char session[10]; // spaces: the current one
};

struct ufo_retransmit {
    uint8_t type;
    be32 sequence; // first wanted
    be16 count;
};

struct ufo_heartbeat {
    uint8_t type;
};

struct ufo_logoff {
    uint8_t type;
};

WIRE_FIELD(struct ufo_login_accept, type, 0, 1);
WIRE_FIELD(struct ufo_login_accept, session, 1, 10);
WIRE_FIELD(struct ufo_login_accept, sequence, 11, 4);
WIRE_SIZE(struct ufo_login_accept, 15);

WIRE_FIELD(struct ufo_login_reject, type, 0, 1);
WIRE_FIELD(struct ufo_login_reject, reason, 1, 1);
WIRE_SIZE(struct ufo_login_reject, 2);

WIRE_FIELD(struct ufo_sequenced, type, 0, 1);
WIRE_FIELD(struct ufo_sequenced, sequence, 1, 4);
WIRE_FIELD(struct ufo_sequenced, count, 5, 2);
WIRE_SIZE(struct ufo_sequenced, 7);

WIRE_FIELD(struct ufo_end, type, 0, 1);
WIRE_FIELD(struct ufo_end, message_count, 1, 4);
WIRE_SIZE(struct ufo_end, 5);

WIRE_FIELD(struct ufo_login, type, 0, 1);
WIRE_FIELD(struct ufo_login, user_name, 1, 6);
WIRE_FIELD(struct ufo_login, password, 7, 10);
WIRE_FIELD(struct ufo_login, session, 17, 10);
WIRE_SIZE(struct ufo_login, 27);

WIRE_FIELD(struct ufo_retransmit, type, 0, 1);
WIRE_FIELD(struct ufo_retransmit, sequence, 1, 4);
WIRE_FIELD(struct ufo_retransmit, count, 5, 2);
WIRE_SIZE(struct ufo_retransmit, 7);

WIRE_FIELD(struct ufo_heartbeat, type, 0, 1);
WIRE_SIZE(struct ufo_heartbeat, 1);
WIRE_FIELD(struct ufo_logoff, type, 0, 1);
WIRE_SIZE(struct ufo_logoff, 1);

// Why an upstream datagram is dropped, whole, before any of its blocks is looked at.
enum ufo_fault {
    UFO_OK = 0,
    UFO_NO_BLOCKS,    // an empty datagram
    UFO_EMPTY_BLOCK,  // length 0
    UFO_OVERRUN,      // a length or its message runs past the datagram's end
    UFO_UNKNOWN_TYPE, // not one of L T U R O
    UFO_WRONG_SIZE,   // L, T, R or O of another size than theirs; U without a body
    UFO_FAULT_COUNT,
};

// The words for people, in the order of the enum.
#define UFO_FAULT_NAMES                                                                            \
    {                                                                                              \
        "ok", "no_blocks", "empty_block", "overrun", "unknown_type", "wrong_size"                  \
    }

// ufo_check: validate an upstream datagram of `size` bytes. UFO_OK, and `block_count` is how many
// blocks it has, 1 or more; else the first fault, and `block_count` is untouched. Reads nothing
// beyond payload[size - 1]. Any thread.
enum ufo_fault ufo_check(const uint8_t *payload, size_t size, uint32_t *block_count);

// One upstream message, inside its datagram.
struct ufo_block {
    const uint8_t *message; // message[0] is the type
    uint16_t size;          // 1 or more
};

// ufo_next: the block at `*cursor`, which starts at the payload and is moved to the next block.
// Only for as many blocks as ufo_check found in that payload.
static inline struct ufo_block ufo_next(const uint8_t **cursor)
{
    be16 size;
    memcpy(&size, *cursor, sizeof(size));
    struct ufo_block block = {.message = *cursor + sizeof(size), .size = be16_load(size)};
    *cursor = block.message + block.size;
    return block;
}

// ufo_same_name: the two fields of `size` bytes are equal but for the case of ASCII letters, as UFO
// compares user names and passwords. Takes the same time wherever they differ. Any thread.
bool ufo_same_name(const char *field, const char *other, size_t size);

// ufo_upper: make capitals of the ASCII letters of a field of `size` bytes, as it is compared. Any
// thread.
void ufo_upper(char *field, size_t size);

#endif
