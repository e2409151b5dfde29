// SPDX-License-Identifier: MIT
#include "tests/sim/network.h"

#include <stdlib.h>
#include <string.h>

#include "numa/invariant.h"

#define WIRE_NS 20000u

void network_init(struct network *network, uint64_t seed)
{
    *network = (struct network){.random = {seed}};
    network->frames = calloc(NETWORK_FRAMES_MAX, sizeof(*network->frames));
    if (!network->frames)
        abort();
}

void network_free(struct network *network)
{
    free(network->frames);
}

static void carry(struct network *network, const uint8_t *bytes, size_t size, uint64_t now_ns)
{
    struct random *random = &network->random;
    const struct network_faults *faults = &network->faults;
    struct network_frame *frame = network->frames;
    while (frame < network->frames + NETWORK_FRAMES_MAX && frame->due_ns != 0)
        frame++;
    if (frame == network->frames + NETWORK_FRAMES_MAX ||
        random_percent(random, faults->loss_percent)) {
        network->lost++;
        return;
    }
    uint64_t delay_ns = WIRE_NS + random_below(random, WIRE_NS);
    if (faults->delay_max_ns > 0 && random_percent(random, 30))
        delay_ns += random_bits(random) % faults->delay_max_ns;
    memcpy(frame->bytes, bytes, size);
    frame->size = size;
    frame->due_ns = now_ns + delay_ns;
    if (!random_percent(random, faults->corruption_percent))
        return;
    // One bit: every checksum finds that for certain.
    uint32_t bit = random_below(random, (uint32_t)size * 8);
    frame->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

void network_send(struct network *network, const uint8_t *frame, size_t size, uint64_t now_ns)
{
    INVARIANT(size <= PACKET_SIZE_MAX);
    network->sent++;
    carry(network, frame, size, now_ns);
    if (random_percent(&network->random, network->faults.duplication_percent))
        carry(network, frame, size, now_ns);
}

size_t network_receive(struct network *network, uint64_t now_ns, uint8_t frame[PACKET_SIZE_MAX])
{
    struct network_frame *first = NULL;
    for (struct network_frame *at = network->frames; at < network->frames + NETWORK_FRAMES_MAX;
         at++)
        if (at->due_ns != 0 && at->due_ns <= now_ns && (!first || at->due_ns < first->due_ns))
            first = at;
    if (!first)
        return 0;
    first->due_ns = 0;
    memcpy(frame, first->bytes, first->size);
    return first->size;
}
