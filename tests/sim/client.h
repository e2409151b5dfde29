// SPDX-License-Identifier: MIT
//
// A client of the house: logs in, keeps one datagram of orders outstanding and sends it again until
// it is answered, asks for what it missed, and keeps its own books of what it was told.
#ifndef SLUICE_TESTS_SIM_CLIENT_H
#define SLUICE_TESTS_SIM_CLIENT_H

#include "tests/sim/sim.h"

// What the client knows of an order, by UserRefNum.
struct client_order {
    uint32_t open;     // shares, as far as it was told
    uint32_t entered;  // shares
    uint32_t replaces; // the number of the order that this one is to replace, or 0
    size_t sent;       // where it is among the messages
};

// A message to the house: a block of a datagram.
#define CLIENT_MESSAGE_MAX 96u
struct client_message {
    uint8_t bytes[CLIENT_MESSAGE_MAX];
    uint8_t size;
    size_t first; // message of its datagram
};

struct client {
    uint32_t index;
    struct random random;
    struct network *network;
    struct endpoint local, house;
    char user[6], password[10];
    uint16_t first_port;

    bool logged_in;
    uint64_t sent_ns, heard_ns, asked_ns;
    uint64_t patience_ns;   // until it sends its orders again
    uint64_t away_until_ns; // it has vanished
    struct heard heard;
    bool ended; // its end of day was heard

    struct client_order *orders; // by UserRefNum
    size_t orders_capacity;
    uint32_t user_ref_num; // the last one used
    uint32_t answered;     // the last one that was answered

    struct client_message *sent; // all that it made, in that order
    size_t sent_count, sent_capacity;

    uint8_t pending[UFO_PAYLOAD_MAX]; // blocks, to be sent until answered
    size_t pending_size;
    uint32_t pending_last; // UserRefNum that must be answered, unless it replaces what is gone
    bool pending_is_sent;
    uint64_t pending_sent_ns;
};

void client_init(struct client *client, uint32_t index, uint64_t seed, struct network *network,
                 const struct endpoint *house);
void client_free(struct client *client);

// client_receive: a frame that may be for this client; false when it is for somebody else.
bool client_receive(struct client *client, const uint8_t *frame, size_t size);

// client_act: what its timers ask for, and, when `trade`, new orders.
void client_act(struct client *client, bool trade);

// client_vanish: not a word for so long; then from another port.
void client_vanish(struct client *client, uint64_t duration_ns);

// client_idle: everything sent was answered, or the day has ended.
bool client_idle(const struct client *client);

// client_check: when all is quiet: all that it sent with a number was answered, and once, but for
// replacements of what was gone and, when the day has ended, for its last datagram.
void client_check(const struct client *client);

#endif
