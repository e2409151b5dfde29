// SPDX-License-Identifier: MIT
//
// packet: Ethernet, IPv4 and UDP around a payload, read and written.
#ifndef SLUICE_DATAPLANE_PACKET_H
#define SLUICE_DATAPLANE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xdp/steer.h"

#define PACKET_HEADERS_MAX 46u // Ethernet 14, VLAN tag 4, IPv4 20, UDP 8
#define PACKET_SIZE_MAX    (PACKET_HEADERS_MAX + STEER_PAYLOAD_MAX)
#define PACKET_NO_VLAN     0xFFFFu

// One end of a conversation as the wire has it; all in network byte order except `vlan`.
struct endpoint {
    uint8_t mac[6];
    uint16_t port;
    uint32_t address;
    uint16_t vlan; // tag control information, host order; PACKET_NO_VLAN for none
};

struct packet {
    struct endpoint source;
    struct endpoint destination;
    const uint8_t *payload; // inside the frame
    uint16_t payload_size;  // 1 to STEER_PAYLOAD_MAX
};

// Tells whose an address and port are: the shard's number, or -1. Network byte order.
typedef int packet_lookup_fn(void *context, uint32_t address, uint16_t port);

// packet_parse: what the XDP program does, in user space, for the same bytes: the verdict
// (STEER_REDIRECT when it is whole and a shard's; queues are not looked at), and then `packet` and
// `shard`. Reads nothing beyond frame[size - 1].
enum steer_verdict packet_parse(const uint8_t *frame, size_t size, packet_lookup_fn *lookup,
                                void *context, struct packet *packet, uint32_t *shard);

// packet_checksum_valid: the UDP checksum of a parsed packet is right, or absent (0, allowed by RFC
// 768).
bool packet_checksum_valid(const struct packet *packet);

// packet_write_headers: write the headers of a packet from `source` to `destination` in front of
// `payload_size` bytes of payload that already stand at frame + packet_payload_offset(…), checksums
// included. The VLAN tag is the destination's. Returns the size of the whole frame.
size_t packet_write_headers(uint8_t *frame, const struct endpoint *source,
                            const struct endpoint *destination, size_t payload_size);

// packet_payload_offset: 42 bytes, 46 with a VLAN tag.
static inline size_t packet_payload_offset(const struct endpoint *destination)
{
    return destination->vlan == PACKET_NO_VLAN ? 42 : 46;
}

// packet_multicast_mac: the Ethernet address of an IPv4 multicast group (RFC 1112 section 6.4).
void packet_multicast_mac(uint32_t group, uint8_t mac[6]);

#endif
