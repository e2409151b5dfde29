// SPDX-License-Identifier: MIT
//
// A wire between the house and its clients: frames arrive late, twice, out of order, damaged, or
// not at all.
#ifndef SLUICE_TESTS_SIM_NETWORK_H
#define SLUICE_TESTS_SIM_NETWORK_H

#include "dataplane/packet.h"
#include "tests/unit/random.h"

#define NETWORK_FRAMES_MAX 1024

struct network_faults {
    uint32_t loss_percent, duplication_percent, corruption_percent;
    uint64_t delay_max_ns; // above what every frame takes
};

struct network_frame {
    uint64_t due_ns; // 0: none
    uint8_t bytes[PACKET_SIZE_MAX];
    size_t size;
};

struct network {
    struct random random;
    struct network_faults faults;
    struct network_frame *frames; // NETWORK_FRAMES_MAX, in no order
    uint64_t sent, lost;
};

void network_init(struct network *network, uint64_t seed);
void network_free(struct network *network);

// network_send: a frame leaves now.
void network_send(struct network *network, const uint8_t *frame, size_t size, uint64_t now_ns);

// network_receive: the frame that is due first, at `now_ns` or before; its size, or 0.
size_t network_receive(struct network *network, uint64_t now_ns, uint8_t frame[PACKET_SIZE_MAX]);

#endif
