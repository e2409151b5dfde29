// SPDX-License-Identifier: MIT
//
// Bytes for the codec tests: written as hex, or recorded from real exchanges. The recordings are
// not part of the project, as their licences forbid; tests that want them skip without them, and
// look for them under $SLUICE_SHARED/tapes.
#ifndef SLUICE_TESTS_UNIT_RECORDED_H
#define SLUICE_TESTS_UNIT_RECORDED_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The bytes that `text` spells in hex; spaces are skipped. At most `size_max`.
static inline size_t from_hex(const char *text, uint8_t *out, size_t size_max)
{
    size_t size = 0;
    for (const char *at = text; *at; at++) {
        if (*at == ' ')
            continue;
        unsigned byte;
        cr_assert(size < size_max && sscanf(at, "%2x", &byte) == 1, "hex: %s", text);
        out[size++] = (uint8_t)byte;
        at++;
    }
    return size;
}

// A copy of `size` bytes with nothing behind it, so that the address sanitizer sees every
// over-read.
static inline uint8_t *exact_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size);
    cr_assert(copy != NULL || size == 0);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

// xorshift64*: the same numbers on every run.
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

static inline void recorded_path(char *path, size_t size, const char *name)
{
    const char *folder = getenv("SLUICE_SHARED");
    snprintf(path, size, "%s/tapes/%s", folder ? folder : "../shared", name);
}

#define SKIP_WITHOUT_RECORDINGS()                                                                  \
    do {                                                                                           \
        char path_[512];                                                                           \
        recorded_path(path_, sizeof(path_), "packets");                                            \
        if (access(path_, R_OK) != 0)                                                              \
            cr_skip_test("no recorded packets at %s: set SLUICE_SHARED", path_);                   \
    } while (0)

typedef void recorded_fn(const uint8_t *payload, size_t size, void *context);

// What UDP or TCP carries in an Ethernet frame. The IP length counts: captures have trailers.
static inline const uint8_t *recorded_payload(const uint8_t *frame, size_t size,
                                              size_t *payload_size)
{
    size_t ip = frame[12] == 0x81 && frame[13] == 0x00 ? 18 : 14;
    size_t end = ip + (frame[ip + 2] << 8 | frame[ip + 3]);
    size_t transport = ip + (frame[ip] & 15) * 4;
    size_t payload = transport + (frame[ip + 9] == 6 ? (frame[transport + 12] >> 4) * 4 : 8);
    cr_assert(payload <= end && end <= size, "a whole packet");
    *payload_size = end - payload;
    return frame + payload;
}

// Calls `each` for every packet's payload in a recording; returns how many there were.
static inline unsigned recorded_packets(const char *name, recorded_fn *each, void *context)
{
    char path[512], error[PCAP_ERRBUF_SIZE];
    recorded_path(path, sizeof(path), name);
    pcap_t *pcap = pcap_open_offline(path, error);
    cr_assert(pcap != NULL, "%s", error);
    struct pcap_pkthdr *header;
    const uint8_t *frame;
    unsigned count = 0;
    while (pcap_next_ex(pcap, &header, &frame) == 1) {
        size_t size;
        const uint8_t *payload = recorded_payload(frame, header->caplen, &size);
        each(payload, size, context);
        count++;
    }
    pcap_close(pcap);
    return count;
}

#endif
