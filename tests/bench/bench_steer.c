// SPDX-License-Identifier: MIT
//
// bench_steer IF: what the XDP program takes for an order packet of a bound source that it
// redirects, a stranger's that it drops, and a login and a request over the rate, by
// BPF_PROG_TEST_RUN with a million repeats, with 1, 8 and 64 shards and with 10 and 4096 sessions,
// all of them bound; seven rounds, alternating. Prints rows. IF is an interface of the lab, for a
// socket to redirect to.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet.h"
#include "dataplane/port.h"
#include "tests/bench/row.h"
#include "xdp/loader.h"

#define ROUNDS       7u
#define REPEATS      1000000
#define FRAME_COUNT  1024u
#define FIRST_PORT   26400u
#define REQUEST_PORT 26500u // shard 0's
#define FIRST_SOURCE 10000u
#define NEVER                                                                                      \
    {                                                                                              \
        1, 1                                                                                       \
    } // a packet a second
#define ALWAYS                                                                                     \
    {                                                                                              \
        1000000000, 1000000000                                                                     \
    } // as many as can be

enum sender { BOUND, STRANGER, LOGIN, REQUEST };

static const struct bench {
    const char *name;
    enum sender sender;
    struct steer_options options;
} benches[] = {
    {"redirect, 1 shard", BOUND, {.shard_count = 1, .session_count = 10}},
    {"redirect, 8 shards", BOUND, {.shard_count = 8, .session_count = 10}},
    {"redirect, 64 shards", BOUND, {.shard_count = 64, .session_count = 10}},
    {"redirect, 64 shards, 4096 sessions", BOUND, {.shard_count = 64, .session_count = 4096}},
    {"redirect, Ethernet address pinned",
     BOUND,
     {.shard_count = 1, .session_count = 10, .pin_mac = true}},
    {"redirect, within the session's rate",
     BOUND,
     {.shard_count = 1, .session_count = 10, .session = ALWAYS}},
    {"drop, over the session's rate",
     BOUND,
     {.shard_count = 1, .session_count = 10, .session = NEVER}},
    {"drop, a stranger's", STRANGER, {.shard_count = 1, .session_count = 10}},
    {"drop, a stranger's, 64 shards", STRANGER, {.shard_count = 64, .session_count = 10}},
    {"drop, a login over the rate", LOGIN, {.shard_count = 1, .session_count = 10, .login = NEVER}},
    {"drop, a login over the rate, 64 shards",
     LOGIN,
     {.shard_count = 64, .session_count = 10, .login = NEVER}},
    {"drop, a request over the rate",
     REQUEST,
     {.shard_count = 1, .session_count = 10, .request = NEVER}},
};
#define BENCHES (sizeof(benches) / sizeof(benches[0]))

static void die(const char *text)
{
    fprintf(stderr, "bench_steer: %s\n", text);
    exit(1);
}

static struct endpoint source_of(uint32_t session)
{
    return (struct endpoint){.address = inet_addr("10.77.0.2"),
                             .port = htons((uint16_t)(FIRST_SOURCE + session)),
                             .vlan = PACKET_NO_VLAN};
}

static struct steer *open_steer(const struct bench *bench, const struct port *port)
{
    struct error error;
    struct steer_options options = bench->options;
    options.queue_count = 1;
    struct steer *steer = steer_load(&options, &error);
    if (!steer)
        die(error.text);
    for (uint32_t i = 0; i < options.shard_count; i++) {
        if (steer_add_destination(steer, inet_addr("10.77.0.1"), htons((uint16_t)(FIRST_PORT + i)),
                                  i, false, &error))
            die(error.text);
        struct bound bound = steer_bound(steer, i);
        for (uint32_t j = 0; j < options.session_count; j++) {
            struct endpoint source = source_of(j);
            bound_add(&bound, source.address, source.port, source.mac, j);
        }
    }
    if (steer_add_destination(steer, inet_addr("10.77.0.1"), htons(REQUEST_PORT), 0, true,
                              &error) ||
        steer_add_socket(steer, 0, 0, port_xdp_socket(port, 0, 0), &error))
        die(error.text);
    return steer;
}

static size_t write_frame(const struct bench *bench, uint8_t frame[PACKET_SIZE_MAX])
{
    static const uint8_t login[] = {0, STEER_LOGIN_SIZE, STEER_LOGIN_TYPE}, order[] = {0, 48, 'U'};
    struct endpoint source = source_of(bench->sender == BOUND ? 0 : 5000);
    uint16_t to = bench->sender == REQUEST ? REQUEST_PORT : FIRST_PORT;
    struct endpoint destination = {
        .address = inet_addr("10.77.0.1"), .port = htons(to), .vlan = PACKET_NO_VLAN};
    memset(frame, 0, PACKET_SIZE_MAX);
    memcpy(frame + packet_payload_offset(&destination), bench->sender == LOGIN ? login : order, 3);
    return packet_write_headers(frame, &source, &destination, 50);
}

static double time_frame(const struct bench *bench, const struct steer *steer)
{
    uint8_t frame[PACKET_SIZE_MAX];
    size_t size = write_frame(bench, frame);
    uint32_t wanted = bench->name[0] == 'r' ? XDP_REDIRECT : XDP_DROP;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)size,
                .repeat = REPEATS);
    // The retval is the last packet's.
    if (bpf_prog_test_run_opts(steer_program_fd(steer), &options) || options.retval != wanted)
        die(bench->name);
    return options.duration;
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
    double times[BENCHES][ROUNDS];
    struct steer *steers[BENCHES];
    for (size_t i = 0; i < BENCHES; i++)
        steers[i] = open_steer(&benches[i], port);
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < BENCHES; i++)
            times[i][round] = time_frame(&benches[i], steers[i]);
    for (size_t i = 0; i < BENCHES; i++) {
        row_print(&(struct row){.name = benches[i].name,
                                .unit = "ns/packet",
                                .samples = (uint64_t)ROUNDS * REPEATS,
                                .peers = {i == 0 ? NULL : benches[0].name}},
                  times[i], ROUNDS);
        steer_close(steers[i]);
    }
    port->operations->close(port);
    arena_close(&arena);
    return 0;
}
