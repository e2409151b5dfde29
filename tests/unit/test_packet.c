// SPDX-License-Identifier: MIT
//
// The golden frames were made by a program of a few lines in another language and found correct,
// checksums included, by Wireshark 4.0.
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/packet.h"

#define FRAME_SIZE 1600

static const uint8_t golden[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, // addresses
    0x08, 0x00,                                                             // IPv4
    0x45, 0x00, 0x00, 0x21, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x26, 0x30, // 33 bytes, UDP
    0x0A, 0x4D, 0x00, 0x02, 0x0A, 0x4D, 0x00, 0x01, // 10.77.0.2 -> 10.77.0.1
    0x9C, 0x41, 0x67, 0x20, 0x00, 0x0D, 0xA1, 0xFD, // 40001 -> 26400
    'o',  'r',  'd',  'e',  'r',
};

static const uint8_t golden_tag[] = {0x81, 0x00, 0x60, 0x64}; // priority 3, VLAN 100

static struct endpoint client, shard_end; // of the golden frame

static void set_endpoints(void)
{
    client = (struct endpoint){.mac = {2, 0, 0, 0, 0, 2},
                               .port = htons(40001),
                               .address = inet_addr("10.77.0.2"),
                               .vlan = PACKET_NO_VLAN};
    shard_end = (struct endpoint){.mac = {2, 0, 0, 0, 0, 1},
                                  .port = htons(26400),
                                  .address = inet_addr("10.77.0.1"),
                                  .vlan = PACKET_NO_VLAN};
}

TestSuite(packet, .init = set_endpoints);

// Shard 7 is the golden frame's destination; nothing else is anybody's.
static int find_seven(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    return address == inet_addr("10.77.0.1") && port == htons(26400) ? 7 : -1;
}

static enum steer_verdict parse(const uint8_t *frame, size_t size, struct packet *packet)
{
    uint32_t shard = UINT32_MAX;
    enum steer_verdict verdict = packet_parse(frame, size, find_seven, NULL, packet, &shard);
    if (verdict == STEER_REDIRECT)
        cr_assert_eq(shard, 7);
    return verdict;
}

static size_t tagged_golden(uint8_t *frame)
{
    memcpy(frame, golden, 12);
    memcpy(frame + 12, golden_tag, 4);
    memcpy(frame + 16, golden + 12, sizeof(golden) - 12);
    return sizeof(golden) + 4;
}

Test(packet, headers_are_written_as_the_golden_bytes)
{
    uint8_t frame[64];
    memcpy(frame + packet_payload_offset(&shard_end), "order", 5);
    cr_assert_eq(packet_write_headers(frame, &client, &shard_end, 5), sizeof(golden));
    cr_assert_arr_eq(frame, golden, sizeof(golden));
}

Test(packet, headers_with_the_destinations_vlan_are_written_as_the_golden_bytes)
{
    uint8_t frame[64], expected[64];
    size_t size = tagged_golden(expected);
    shard_end.vlan = 0x6064;
    memcpy(frame + packet_payload_offset(&shard_end), "order", 5);
    cr_assert_eq(packet_write_headers(frame, &client, &shard_end, 5), size);
    cr_assert_arr_eq(frame, expected, size);
}

Test(packet, golden_bytes_are_parsed_field_by_field)
{
    struct packet packet;
    cr_assert_eq(parse(golden, sizeof(golden), &packet), STEER_REDIRECT);
    cr_assert_arr_eq(packet.source.mac, client.mac, 6);
    cr_assert_arr_eq(packet.destination.mac, shard_end.mac, 6);
    cr_assert_eq(packet.source.address, client.address);
    cr_assert_eq(packet.destination.address, shard_end.address);
    cr_assert_eq(packet.source.port, client.port);
    cr_assert_eq(packet.destination.port, shard_end.port);
    cr_assert_eq(packet.source.vlan, PACKET_NO_VLAN);
    cr_assert_eq(packet.destination.vlan, PACKET_NO_VLAN);
    cr_assert_eq(packet.payload, golden + 42);
    cr_assert_eq(packet.payload_size, 5);
    cr_assert(packet_checksum_valid(&packet));
}

// RFC 768's checksum, sixteen bits at a time, of a datagram written by packet_write_headers.
static uint16_t naive_checksum(const uint8_t *udp, size_t size)
{
    uint32_t sum = 17 + (uint32_t)size;
    for (const uint8_t *address = udp - 8; address < udp; address += 2)
        sum += (uint32_t)(address[0] << 8 | address[1]);
    for (size_t i = 0; i < size; i++)
        sum += i == 6 || i == 7 ? 0 : i % 2 ? udp[i] : (uint32_t)udp[i] << 8;
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return sum == 0xFFFF ? 0xFFFF : (uint16_t)~sum;
}

Test(packet, what_is_written_is_read_back_at_every_payload_size_with_and_without_vlan)
{
    for (size_t size = 1; size <= STEER_PAYLOAD_MAX; ++size) {
        uint8_t frame[FRAME_SIZE];
        struct packet packet;
        shard_end.vlan = size % 2 ? PACKET_NO_VLAN : (uint16_t)size;
        uint8_t *payload = frame + packet_payload_offset(&shard_end);
        for (size_t i = 0; i < size; ++i)
            payload[i] = (uint8_t)(i * size >> 3);
        size_t frame_size = packet_write_headers(frame, &client, &shard_end, size);
        cr_assert_eq(frame_size, packet_payload_offset(&shard_end) + size);
        cr_assert_eq(parse(frame, frame_size, &packet), STEER_REDIRECT);
        cr_assert_eq(packet.payload, payload);
        cr_assert_eq(packet.payload_size, size);
        cr_assert_eq(packet.source.vlan, shard_end.vlan);
        cr_assert_eq(packet.destination.vlan, shard_end.vlan);
        cr_assert_arr_eq(packet.source.mac, client.mac, 6);
        cr_assert_eq(packet.source.address, client.address);
        cr_assert_eq(packet.source.port, client.port);
        cr_assert(packet_checksum_valid(&packet), "payload of %zu bytes", size);
        cr_assert_eq(payload[-2] << 8 | payload[-1], naive_checksum(payload - 8, 8 + size));
    }
}

Test(packet, an_answer_to_the_source_of_a_tagged_packet_carries_its_tag)
{
    uint8_t frame[64], answer[64];
    struct packet packet, read_back;
    cr_assert_eq(parse(frame, tagged_golden(frame), &packet), STEER_REDIRECT);
    memcpy(answer + packet_payload_offset(&packet.source), "order", 5);
    packet_write_headers(answer, &packet.destination, &packet.source, 5);
    cr_assert_arr_eq(answer, client.mac, 6);
    cr_assert_arr_eq(answer + 12, golden_tag, 4);
    cr_assert_eq(parse(answer, 51, &read_back), STEER_PASS_DESTINATION);
}

Test(packet, every_flipped_bit_of_a_datagram_makes_its_checksum_wrong)
{
    for (size_t bit = 0; bit < 8 * sizeof(golden); ++bit) {
        size_t byte = bit / 8;
        uint8_t frame[sizeof(golden)];
        struct packet packet;
        memcpy(frame, golden, sizeof(golden));
        cr_assert_eq(parse(frame, sizeof(frame), &packet), STEER_REDIRECT);
        frame[byte] ^= (uint8_t)(1 << bit % 8);
        memcpy(&packet.source.address, frame + 26, 4);
        memcpy(&packet.destination.address, frame + 30, 4);
        // The Ethernet header and the rest of the IP header are not under it, and the length of the
        // datagram was taken when it was parsed.
        bool covered = byte >= 26;
        cr_assert_eq(packet_checksum_valid(&packet), !covered, "bit %zu of byte %zu", bit % 8,
                     byte);
    }
}

Test(packet, an_absent_checksum_is_valid)
{
    uint8_t frame[sizeof(golden)];
    struct packet packet;
    memcpy(frame, golden, sizeof(golden));
    frame[40] = frame[41] = 0;
    cr_assert_eq(parse(frame, sizeof(frame), &packet), STEER_REDIRECT);
    cr_assert(packet_checksum_valid(&packet));
}

Test(packet, a_checksum_that_comes_out_as_zero_is_sent_as_all_ones)
{
    uint8_t frame[64] = {0};
    struct packet packet;
    packet_write_headers(frame, &client, &shard_end, 2);
    memcpy(frame + 42, frame + 40, 2); // the sum is now all ones, and its complement zero
    size_t size = packet_write_headers(frame, &client, &shard_end, 2);
    cr_assert_eq(frame[40], 0xFF);
    cr_assert_eq(frame[41], 0xFF);
    cr_assert_eq(parse(frame, size, &packet), STEER_REDIRECT);
    cr_assert(packet_checksum_valid(&packet));
}

static enum steer_verdict verdict_of_truncated(size_t size, size_t ip_offset, size_t whole)
{
    return size < ip_offset        ? STEER_PASS_RUNT
           : size < ip_offset + 20 ? STEER_PASS_IP_HEADER
           : size < ip_offset + 28 ? STEER_PASS_UDP_HEADER
           : size < whole          ? STEER_DROP_IP_LENGTH
                                   : STEER_REDIRECT;
}

// The frame ends where a page begins that must not be touched.
Test(packet, every_truncation_has_its_verdict_and_nothing_behind_it_is_read)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages =
        mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(pages, MAP_FAILED);
    cr_assert_eq(mprotect(pages + page_size, page_size, PROT_NONE), 0);
    uint8_t tagged[64];
    size_t tagged_size = tagged_golden(tagged);
    for (size_t size = 0; size <= tagged_size; ++size) {
        struct packet packet;
        uint8_t *frame = pages + page_size - size;
        memcpy(frame, tagged, size);
        enum steer_verdict expected =
            size < 14 ? STEER_PASS_RUNT : verdict_of_truncated(size, 18, tagged_size);
        cr_expect_eq(parse(frame, size, &packet), expected, "tagged, %zu bytes", size);
        if (size > sizeof(golden))
            continue;
        memcpy(frame, golden, size);
        cr_expect_eq(parse(frame, size, &packet), verdict_of_truncated(size, 14, sizeof(golden)),
                     "untagged, %zu bytes", size);
    }
}

Test(packet, padding_up_to_the_ethernet_minimum_is_not_payload)
{
    uint8_t frame[60] = {0};
    struct packet packet;
    memcpy(frame, golden, sizeof(golden));
    memset(frame + sizeof(golden), 0xEE, sizeof(frame) - sizeof(golden));
    cr_assert_eq(parse(frame, sizeof(frame), &packet), STEER_REDIRECT);
    cr_assert_eq(packet.payload_size, 5);
    cr_assert(packet_checksum_valid(&packet));
}

// Makes an untagged frame of FRAME_SIZE bytes deserve `verdict`, and returns its size. Faults that
// come later in the enum can be in it already.
static size_t spoil(uint8_t *frame, size_t size, enum steer_verdict verdict)
{
    switch (verdict) {
    case STEER_PASS_RUNT:
        return 13;
    case STEER_PASS_ETHERTYPE:
        memcpy(frame + 12, "\x86\xDD", 2);
        break;
    case STEER_PASS_IP_HEADER:
        frame[14] = (frame[14] & 0x0F) | 0x60;
        break;
    case STEER_PASS_PROTOCOL:
        frame[23] = 6;
        break;
    case STEER_PASS_FRAGMENT:
        frame[21] = 1;
        break;
    case STEER_PASS_UDP_HEADER:
        return 41;
    case STEER_PASS_DESTINATION:
        frame[33] = 99;
        break;
    case STEER_DROP_IP_OPTIONS:
        // The UDP header is now looked for 4 bytes on, where its checksum was: the port is put
        // there.
        frame[14] = 0x46;
        memcpy(frame + 40, frame + 36, 2);
        break;
    case STEER_DROP_FRAGMENT:
        frame[20] |= 0x20;
        break;
    case STEER_DROP_IP_CHECKSUM:
        memset(frame + 24, 0x11, 2);
        break;
    case STEER_DROP_IP_LENGTH:
        memcpy(frame + 16, "\x06\x33", 2); // 1587: one beyond the frame's end
        break;
    case STEER_DROP_UDP_LENGTH:
        frame[38] = 0x7F;
        break;
    case STEER_DROP_EMPTY:
        memcpy(frame + 16, "\x00\x1C", 2);
        memcpy(frame + 38, "\x00\x08", 2);
        break;
    case STEER_DROP_TOO_LONG:
        memcpy(frame + 16, "\x05\xDD", 2); // 1501
        memcpy(frame + 38, "\x05\xC9", 2);
        break;
    default:
        break;
    }
    return size;
}

static void correct_ip_checksum(uint8_t *frame)
{
    uint32_t sum = 0;
    memset(frame + 24, 0, 2);
    for (int i = 14; i < 34; i += 2)
        sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    frame[24] = (uint8_t)(~sum >> 8);
    frame[25] = (uint8_t)~sum;
}

static enum steer_verdict verdict_of_spoilt(enum steer_verdict first, enum steer_verdict second)
{
    uint8_t frame[FRAME_SIZE] = {0};
    struct packet packet;
    memcpy(frame, golden, sizeof(golden));
    size_t size = spoil(frame, sizeof(frame), second);
    size_t shorter = spoil(frame, sizeof(frame), first);
    if (first != STEER_DROP_IP_CHECKSUM && second != STEER_DROP_IP_CHECKSUM)
        correct_ip_checksum(frame);
    return parse(frame, shorter < size ? shorter : size, &packet);
}

Test(packet, of_two_faults_the_one_that_is_checked_first_is_the_verdict)
{
    for (int first = 0; first <= STEER_DROP_TOO_LONG; ++first)
        for (int second = first; second <= STEER_DROP_TOO_LONG; ++second)
            cr_expect_eq(verdict_of_spoilt(first, second), (enum steer_verdict)first,
                         "faults %d and %d", first, second);
    cr_assert_eq(verdict_of_spoilt(STEER_REDIRECT, STEER_REDIRECT), STEER_REDIRECT);
}

Test(packet, a_total_length_without_room_for_the_udp_header_is_wrong_whatever_the_datagram_says)
{
    for (uint8_t size = 20; size < 28; ++size) {
        uint8_t frame[sizeof(golden)];
        struct packet packet;
        memcpy(frame, golden, sizeof(golden));
        frame[17] = size;
        frame[39] = (uint8_t)(size - 20);
        correct_ip_checksum(frame);
        cr_assert_eq(parse(frame, sizeof(frame), &packet), STEER_DROP_IP_LENGTH, "%u", size);
    }
}

Test(packet, a_multicast_group_keeps_its_low_23_bits)
{
    uint8_t mac[6];
    packet_multicast_mac(inet_addr("239.77.0.1"), mac);
    cr_assert_arr_eq(mac, ((uint8_t[]){0x01, 0x00, 0x5E, 0x4D, 0x00, 0x01}), 6);
    packet_multicast_mac(inet_addr("224.255.254.253"), mac);
    cr_assert_arr_eq(mac, ((uint8_t[]){0x01, 0x00, 0x5E, 0x7F, 0xFE, 0xFD}), 6);
}
