// SPDX-License-Identifier: MIT
#include "dataplane/packet.h"

#include <arpa/inet.h>
#include <string.h>

#include "numa/invariant.h"

#define ETHERNET_SIZE    14u
#define VLAN_TAG_SIZE    4u
#define IP_SIZE          20u // without options
#define UDP_SIZE         8u
#define ETHERTYPE_IPV4   0x0800u
#define ETHERTYPE_VLAN   0x8100u
#define PROTOCOL_UDP     17u
#define DO_NOT_FRAGMENT  0x4000u
#define MORE_FRAGMENTS   0x2000u
#define FRAGMENT_OFFSET  0x1FFFu
#define TIME_TO_LIVE     64u // RFC 1700's default
#define CHECKSUM_CORRECT 0xFFFFu

static uint16_t read_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write_u16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static uint32_t half_at(const uint8_t *bytes)
{
    uint32_t half;
    memcpy(&half, bytes, sizeof(half));
    return half;
}

// A ones' complement sum, and what it has carried out of 64 bits.
struct sum {
    uint64_t low, carried;
};

static inline void add_word(struct sum *sum, const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    sum->low += word;
    sum->carried += sum->low < word;
}

// Sums `size` bytes for RFC 1071 eight at a time, in the machine's own byte order: a ones'
// complement sum comes out right in whichever order it is made, as long as it is stored in the
// same.
static uint64_t sum_bytes(const uint8_t *bytes, size_t size)
{
    struct sum sum = {0};
    for (; size >= 32; bytes += 32, size -= 32) {
        add_word(&sum, bytes);
        add_word(&sum, bytes + 8);
        add_word(&sum, bytes + 16);
        add_word(&sum, bytes + 24);
    }
    for (; size >= 8; bytes += 8, size -= 8)
        add_word(&sum, bytes);
    uint64_t total = (sum.low & 0xFFFFFFFF) + (sum.low >> 32) + sum.carried;
    if (size & 4) {
        total += half_at(bytes);
        bytes += 4;
    }
    if (size & 2) {
        uint16_t pair;
        memcpy(&pair, bytes, sizeof(pair));
        total += pair;
        bytes += sizeof(pair);
    }
    return size & 1 ? total + htons((uint16_t)(*bytes << 8)) : total;
}

static uint64_t sum_ip(const uint8_t *ip)
{
    return (uint64_t)half_at(ip) + half_at(ip + 4) + half_at(ip + 8) + half_at(ip + 12) +
           half_at(ip + 16);
}

static uint16_t fold(uint64_t sum)
{
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)sum;
}

// Whether a sum, which is not 0, folds to what a correct checksum makes it: folding leaves the
// remainder, and the compiler makes one multiplication of this.
static bool sum_correct(uint64_t sum)
{
    return sum % CHECKSUM_CORRECT == 0;
}

// The sum over a datagram and its pseudo header (RFC 768). `datagram_size` counts the UDP header.
static uint64_t sum_udp(uint32_t source, uint32_t destination, const uint8_t *datagram,
                        size_t datagram_size)
{
    uint64_t sum = (uint64_t)source + destination;
    sum += htons(PROTOCOL_UDP);
    sum += htons((uint16_t)datagram_size);
    return sum + sum_bytes(datagram, datagram_size);
}

// Where the IPv4 header stands, and the VLAN tag before it. STEER_REDIRECT, here and below, means
// that nothing has been found wrong so far.
static enum steer_verdict parse_ethernet(const uint8_t *frame, size_t size, size_t *ip_offset,
                                         uint16_t *vlan)
{
    if (size < ETHERNET_SIZE)
        return STEER_PASS_RUNT;
    *ip_offset = ETHERNET_SIZE;
    *vlan = PACKET_NO_VLAN;
    if (read_u16(frame + 12) == ETHERTYPE_VLAN) {
        if (size < ETHERNET_SIZE + VLAN_TAG_SIZE)
            return STEER_PASS_RUNT;
        *ip_offset += VLAN_TAG_SIZE;
        *vlan = read_u16(frame + 14);
    }
    return read_u16(frame + *ip_offset - 2) == ETHERTYPE_IPV4 ? STEER_REDIRECT
                                                              : STEER_PASS_ETHERTYPE;
}

// Where the UDP header stands, when `ip` (with `size` bytes from there to the frame's end) has one.
static enum steer_verdict parse_ip(const uint8_t *ip, size_t size, size_t *udp_offset)
{
    if (size < IP_SIZE || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
        return STEER_PASS_IP_HEADER;
    if (ip[9] != PROTOCOL_UDP)
        return STEER_PASS_PROTOCOL;
    if (read_u16(ip + 6) & FRAGMENT_OFFSET)
        return STEER_PASS_FRAGMENT;
    *udp_offset = (ip[0] & 15u) * 4;
    return size < *udp_offset + UDP_SIZE ? STEER_PASS_UDP_HEADER : STEER_REDIRECT;
}

// A shard's packet: fit to be looked at?
static enum steer_verdict admit(const uint8_t *ip, size_t size)
{
    if ((ip[0] & 15u) * 4 != IP_SIZE)
        return STEER_DROP_IP_OPTIONS;
    if (read_u16(ip + 6) & MORE_FRAGMENTS)
        return STEER_DROP_FRAGMENT;
    if (!sum_correct(sum_ip(ip)))
        return STEER_DROP_IP_CHECKSUM;
    size_t packet_size = read_u16(ip + 2);
    size_t datagram_size = read_u16(ip + IP_SIZE + 4);
    if (packet_size > size || packet_size < IP_SIZE + UDP_SIZE)
        return STEER_DROP_IP_LENGTH;
    if (datagram_size + IP_SIZE != packet_size)
        return STEER_DROP_UDP_LENGTH;
    if (datagram_size == UDP_SIZE)
        return STEER_DROP_EMPTY;
    return datagram_size - UDP_SIZE > STEER_PAYLOAD_MAX ? STEER_DROP_TOO_LONG : STEER_REDIRECT;
}

static void fill(struct packet *packet, const uint8_t *frame, const uint8_t *ip, const uint8_t *udp,
                 uint16_t vlan)
{
    memcpy(packet->destination.mac, frame, 6);
    memcpy(packet->source.mac, frame + 6, 6);
    packet->source.vlan = packet->destination.vlan = vlan;
    memcpy(&packet->source.address, ip + 12, 4);
    memcpy(&packet->destination.address, ip + 16, 4);
    memcpy(&packet->source.port, udp, 2);
    memcpy(&packet->destination.port, udp + 2, 2);
    packet->payload = udp + UDP_SIZE;
    packet->payload_size = (uint16_t)(read_u16(udp + 4) - UDP_SIZE);
}

enum steer_verdict packet_parse(const uint8_t *frame, size_t size, packet_lookup_fn *lookup,
                                void *context, struct packet *packet, uint32_t *shard)
{
    size_t ip_offset, udp_offset;
    uint16_t vlan;
    enum steer_verdict verdict = parse_ethernet(frame, size, &ip_offset, &vlan);
    if (verdict != STEER_REDIRECT)
        return verdict;
    const uint8_t *ip = frame + ip_offset;
    verdict = parse_ip(ip, size - ip_offset, &udp_offset);
    if (verdict != STEER_REDIRECT)
        return verdict;
    uint32_t address;
    uint16_t port;
    memcpy(&address, ip + 16, sizeof(address));
    memcpy(&port, ip + udp_offset + 2, sizeof(port));
    int found = lookup(context, address, port);
    if (found < 0)
        return STEER_PASS_DESTINATION;
    verdict = admit(ip, size - ip_offset);
    if (verdict != STEER_REDIRECT)
        return verdict;
    fill(packet, frame, ip, ip + udp_offset, vlan);
    *shard = (uint32_t)found;
    return STEER_REDIRECT;
}

bool packet_checksum_valid(const struct packet *packet)
{
    const uint8_t *udp = packet->payload - UDP_SIZE;
    if (read_u16(udp + 6) == 0)
        return true;
    return sum_correct(sum_udp(packet->source.address, packet->destination.address, udp,
                               UDP_SIZE + packet->payload_size));
}

static size_t write_ethernet(uint8_t *frame, const struct endpoint *source,
                             const struct endpoint *destination)
{
    memcpy(frame, destination->mac, 6);
    memcpy(frame + 6, source->mac, 6);
    size_t offset = 12;
    if (destination->vlan != PACKET_NO_VLAN) {
        write_u16(frame + offset, ETHERTYPE_VLAN);
        write_u16(frame + offset + 2, destination->vlan);
        offset += VLAN_TAG_SIZE;
    }
    write_u16(frame + offset, ETHERTYPE_IPV4);
    return offset + 2;
}

static void write_ip(uint8_t *ip, uint32_t source, uint32_t destination, size_t packet_size)
{
    ip[0] = 0x45;
    ip[1] = 0;
    write_u16(ip + 2, (uint32_t)packet_size);
    write_u16(ip + 4, 0); // RFC 6864: what is never fragmented needs no identification
    write_u16(ip + 6, DO_NOT_FRAGMENT);
    ip[8] = TIME_TO_LIVE;
    ip[9] = PROTOCOL_UDP;
    write_u16(ip + 10, 0);
    memcpy(ip + 12, &source, 4);
    memcpy(ip + 16, &destination, 4);
    uint16_t checksum = (uint16_t)~fold(sum_ip(ip));
    memcpy(ip + 10, &checksum, 2);
}

size_t packet_write_headers(uint8_t *frame, const struct endpoint *source,
                            const struct endpoint *destination, size_t payload_size)
{
    INVARIANT(payload_size >= 1 && payload_size <= STEER_PAYLOAD_MAX);
    size_t datagram_size = UDP_SIZE + payload_size;
    size_t offset = write_ethernet(frame, source, destination);
    write_ip(frame + offset, source->address, destination->address, IP_SIZE + datagram_size);
    uint8_t *udp = frame + offset + IP_SIZE;
    INVARIANT(udp + UDP_SIZE == frame + packet_payload_offset(destination));
    memcpy(udp, &source->port, 2);
    memcpy(udp + 2, &destination->port, 2);
    write_u16(udp + 4, (uint32_t)datagram_size);
    write_u16(udp + 6, 0);
    uint16_t checksum =
        (uint16_t)~fold(sum_udp(source->address, destination->address, udp, datagram_size));
    if (checksum == 0)
        checksum = 0xFFFF; // RFC 768: zero on the wire would mean that there is none
    memcpy(udp + 6, &checksum, 2);
    return offset + IP_SIZE + datagram_size;
}

void packet_multicast_mac(uint32_t group, uint8_t mac[6])
{
    uint8_t address[4];
    memcpy(address, &group, 4);
    mac[0] = 0x01;
    mac[1] = 0x00;
    mac[2] = 0x5E;
    mac[3] = address[1] & 0x7F; // 23 of the group's 28 bits: 32 groups share an address
    mac[4] = address[2];
    mac[5] = address[3];
}
