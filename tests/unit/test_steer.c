// SPDX-License-Identifier: MIT
//
// The XDP program is run frame by frame and held against packet_parse, which was written from the
// same table of verdicts without sharing code, with one client bound. And how long a frame takes.
//
// SEED=number repeats the random frames of a run.
#include <linux/if_ether.h>
#include <sys/random.h>

#include "tests/unit/steer_bench.h"

#define RANDOM_COUNT 250000

TestSuite(steer, .timeout = 120);

// The parser's verdict.

static int find_shard(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    uint32_t shard = (uint32_t)ntohs(port) - PORT_FIRST;
    return address == inet_addr("10.77.0.1") && shard < SHARD_COUNT ? (int)shard : -1;
}

// With the client bound to every shard, and no limit to what it sends.
static enum steer_verdict parse(const uint8_t *frame, size_t size)
{
    struct packet packet;
    uint32_t shard;
    enum steer_verdict verdict = packet_parse(frame, size, find_shard, NULL, &packet, &shard);
    if (verdict != STEER_REDIRECT)
        return verdict;
    if (packet.source.address == client.address && packet.source.port == client.port)
        return memcmp(packet.source.mac, client.mac, 6) == 0 ? STEER_REDIRECT
                                                             : STEER_DROP_WRONG_MAC;
    return can_be_login(packet.payload, packet.payload_size) ? STEER_REDIRECT
                                                             : STEER_DROP_NOT_BOUND;
}

// Verdicts.

Test(steer, of_all_udp_ports_exactly_the_shards_own_are_redirected, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    for (uint32_t port = 0; port <= 65535; ++port) {
        shard_end.port = htons((uint16_t)port);
        size_t size = valid_frame(frame, PACKET_NO_VLAN, 20);
        bool ours = port == PORT_FIRST || port == PORT_FIRST + 1;
        expect(steer, counters, frame, size, ours ? STEER_REDIRECT : STEER_PASS_DESTINATION);
    }
    cr_assert_eq(counters[STEER_REDIRECT], 2);
    cr_assert_eq(counters[STEER_PASS_DESTINATION], 65534);
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

Test(steer, every_truncation_has_the_verdict_of_the_parser, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    for (int tagged = 0; tagged <= 1; ++tagged) {
        size_t whole = valid_frame(frame, tagged ? 100 : PACKET_NO_VLAN, 40);
        for (size_t size = ETH_HLEN; size < whole; ++size) {
            cr_assert_neq(parse(frame, size), STEER_REDIRECT);
            expect(steer, counters, frame, size, parse(frame, size));
        }
        expect(steer, counters, frame, whole, STEER_REDIRECT);
    }
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

Test(steer, every_value_of_every_header_byte_has_the_verdict_of_the_parser, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    for (int tagged = 0; tagged <= 1; ++tagged) {
        size_t size = valid_frame(frame, tagged ? 100 : PACKET_NO_VLAN, 40);
        for (size_t byte = 0; byte < packet_payload_offset(&shard_end); ++byte) {
            uint8_t right = frame[byte];
            for (unsigned value = 0; value <= 255; ++value) {
                frame[byte] = (uint8_t)value;
                expect(steer, counters, frame, size, parse(frame, size));
            }
            frame[byte] = right;
        }
    }
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

// Random frames: a valid one, spoilt in a few places, more often than not with a right checksum so
// that what is checked after it is reached.

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    uint64_t mixed = random_state += 0x9E3779B97F4A7C15; // splitmix64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    return (uint32_t)((mixed ^ mixed >> 31) % bound);
}

static void correct_ip_checksum(uint8_t *ip)
{
    uint32_t sum = 0;
    ip[10] = ip[11] = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    ip[10] = (uint8_t)(~sum >> 8);
    ip[11] = (uint8_t)~sum;
}

static void set_lengths(uint8_t *ip, uint32_t payload_size)
{
    ip[2] = (uint8_t)((payload_size + 28) >> 8);
    ip[3] = (uint8_t)(payload_size + 28);
    ip[24] = (uint8_t)((payload_size + 8) >> 8);
    ip[25] = (uint8_t)(payload_size + 8);
}

static void add_options(uint8_t *ip)
{
    uint32_t words = 1 + random_below(10);
    memmove(ip + 20 + 4 * words, ip + 20, 28);
    ip[0] = (uint8_t)(0x45 + words);
}

// One fault, or none; the frame's new size.
static size_t spoil(uint8_t *frame, size_t size, uint8_t *ip)
{
    switch (random_below(18)) {
    case 0:
        frame[random_below(46)] = (uint8_t)random_below(256);
        break;
    case 1:
        frame[random_below((uint32_t)size)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 2:
        return ETH_HLEN + random_below((uint32_t)size - ETH_HLEN + 1);
    case 3:
        return ETH_HLEN + random_below(36);
    case 4:
        return size + random_below(32);
    case 5:
        add_options(ip);
        break;
    case 6:
        ip[6] = (uint8_t)random_below(256);
        break;
    case 7:
        ip[7] = (uint8_t)random_below(2);
        break;
    case 8:
        ip[2 + random_below(2)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 9:
        ip[24 + random_below(2)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 10:
        set_lengths(ip, 0);
        break;
    case 11:
        set_lengths(ip, 1465 + random_below(16));
        return 1500 + random_below(64);
    case 12:
        ip[23] = (uint8_t)(ntohs(shard_end.port) + random_below(4));
        break;
    case 13:
        frame[12 + 4 * random_below(2)] = (uint8_t)random_below(256);
        break;
    case 14:
        ip[(random_below(2) ? 12 : 18) + random_below(4)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 15:
        memcpy(ip + 28, (uint8_t[]){0, random_below(4) ? 27 : 0, 'L'}, 3);
        break;
    default:
        break;
    }
    return size;
}

static size_t random_frame(uint8_t frame[FRAME_SIZE])
{
    shard_end.port = htons((uint16_t)(PORT_FIRST + random_below(SHARD_COUNT)));
    uint16_t vlan = random_below(3) ? PACKET_NO_VLAN : (uint16_t)random_below(0xFFFF);
    uint32_t payload_size = random_below(4) ? 1 + random_below(128) : 1 + random_below(1472);
    memset(frame, (int)random_below(256), FRAME_SIZE);
    size_t size = valid_frame(frame, vlan, payload_size);
    uint8_t *ip = frame + packet_payload_offset(&shard_end) - 28;
    for (uint32_t faults = random_below(4); faults > 0; --faults) {
        size_t spoilt = spoil(frame, size, ip);
        size = spoilt < FRAME_SIZE - 64 ? spoilt : FRAME_SIZE - 64;
    }
    if (random_below(4))
        correct_ip_checksum(ip);
    return size;
}

static void print_seen(uint64_t seed, const uint64_t seen[STEER_VERDICT_COUNT])
{
    fprintf(stderr, "steer: SEED=%llu, %d random frames:", (unsigned long long)seed, RANDOM_COUNT);
    for (int verdict = 0; verdict < STEER_VERDICT_COUNT; ++verdict)
        fprintf(stderr, " %s %llu", verdict_names[verdict], (unsigned long long)seen[verdict]);
    fprintf(stderr, "\n");
}

Test(steer, random_frames_have_the_verdict_of_the_parser, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0}, seen[STEER_VERDICT_COUNT] = {0};
    const char *given = getenv("SEED");
    uint32_t fresh = 1;
    cr_assert_eq(getrandom(&fresh, sizeof(fresh), 0), (ssize_t)sizeof(fresh));
    uint64_t seed = given && *given ? strtoull(given, NULL, 0) : fresh;
    random_state = seed;
    fprintf(stderr, "steer: SEED=%llu\n", (unsigned long long)seed);
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    for (int i = 0; i < RANDOM_COUNT; ++i) {
        size_t size = random_frame(frame);
        enum steer_verdict verdict = parse(frame, size);
        expect(steer, counters, frame, size, verdict);
        ++seen[verdict];
    }
    print_seen(seed, seen);
    cr_assert_arr_eq(counters, seen, sizeof(seen));
    for (int verdict = 0; verdict < STEER_VERDICT_COUNT; ++verdict)
        cr_assert(verdict == STEER_DROP_LOGIN_RATE || verdict == STEER_DROP_SESSION_RATE ||
                      verdict == STEER_DROP_REQUEST_RATE || verdict == STEER_DROP_QUEUE ||
                      seen[verdict] > 100,
                  "too few %s to say anything: %llu", verdict_names[verdict],
                  (unsigned long long)seen[verdict]);
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

// What a frame costs.

Test(steer, a_million_frames_are_a_million_counts, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    size_t size = valid_frame(frame, PACKET_NO_VLAN, 60);
    time_verdict(steer, frame, size, STEER_REDIRECT, "by root");
    frame[24] ^= 1;
    time_verdict(steer, frame, size, STEER_DROP_IP_CHECKSUM, "by root");
    frame[36] ^= 1;
    time_verdict(steer, frame, size, STEER_PASS_DESTINATION, "by root");
    frame[12] = 0x86;
    time_verdict(steer, frame, size, STEER_PASS_ETHERTYPE, "by root");
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}
