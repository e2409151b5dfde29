// SPDX-License-Identifier: MIT
//
// bench_steer IF: what the XDP program takes for an order packet that it redirects, by
// BPF_PROG_TEST_RUN with a million repeats, with 1, 8 and 64 shards; medians of 7 rounds,
// alternating. Sessions it knows nothing of. IF is an interface of the lab, for a socket to
// redirect to.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/port.h"
#include "xdp/loader.h"

#define ROUNDS      7u
#define REPEATS     1000000
#define FRAME_COUNT 1024u
#define FIRST_PORT  26400u

static const uint32_t shard_counts[] = {1, 8, 64};
#define CASES (sizeof(shard_counts) / sizeof(shard_counts[0]))

static void die(const char *text)
{
    fprintf(stderr, "bench_steer: %s\n", text);
    exit(1);
}

static struct steer *open_steer(uint32_t shards, const struct port *port)
{
    struct error error;
    struct steer *steer = steer_load(1, shards, NULL, &error);
    if (!steer)
        die(error.text);
    for (uint32_t i = 0; i < shards; i++)
        if (steer_add_destination(steer, inet_addr("10.77.0.1"), htons((uint16_t)(FIRST_PORT + i)),
                                  i, &error))
            die(error.text);
    if (steer_add_socket(steer, 0, 0, port_xdp_socket(port, 0, 0), &error))
        die(error.text);
    return steer;
}

static uint32_t time_frame(const struct steer *steer, const uint8_t *frame, size_t size)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)size,
                .repeat = REPEATS);
    // 4 is XDP_REDIRECT
    if (bpf_prog_test_run_opts(steer_program_fd(steer), &options) || options.retval != 4)
        die("the packet is not redirected");
    return options.duration;
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    const uint32_t queue = 0;
    struct error error;
    struct arena arena;
    if (argc != 2)
        die("usage: bench_steer IF");
    struct port_xdp_options options = {
        .interface = argv[1], .queues = &queue, .queue_count = 1, .frame_count = FRAME_COUNT};
    if (arena_open(&arena, "frames", port_xdp_memory_size(FRAME_COUNT), ARENA_ANY_NODE, false,
                   &error))
        die(error.text);
    struct port *port = port_xdp_open(&options, 1, &arena, &error);
    if (!port)
        die(error.text);
    uint8_t frame[PACKET_SIZE_MAX] = {0};
    struct endpoint source = {
        .address = inet_addr("10.77.0.2"), .port = htons(40000), .vlan = PACKET_NO_VLAN};
    struct endpoint destination = {
        .address = inet_addr("10.77.0.1"), .port = htons(FIRST_PORT), .vlan = PACKET_NO_VLAN};
    size_t size = packet_write_headers(frame, &source, &destination, 50);
    uint32_t times[CASES][ROUNDS];
    struct steer *steers[CASES];
    for (size_t i = 0; i < CASES; i++)
        steers[i] = open_steer(shard_counts[i], port);
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < CASES; i++)
            times[i][round] = time_frame(steers[i], frame, size);
    for (size_t i = 0; i < CASES; i++) {
        qsort(times[i], ROUNDS, sizeof(times[i][0]), by_value);
        printf("%2u shards: %u ns a packet (%u to %u)\n", shard_counts[i], times[i][ROUNDS / 2],
               times[i][0], times[i][ROUNDS - 1]);
        steer_close(steers[i]);
    }
    port->operations->close(port);
    arena_close(&arena);
    return 0;
}
