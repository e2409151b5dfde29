// SPDX-License-Identifier: MIT
//
// Which socket the XDP program gives a packet to: its shard's on the queue that it came in by, for
// frames that are run on a queue and for packets over the wire; and which destinations and sockets
// it can be given.
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "tests/unit/steer_bench.h"

TestSuite(steer_sockets, .timeout = 120);

static uint32_t run_on_queue(const struct steer *steer, const uint8_t *frame, size_t size,
                             uint32_t queue)
{
    struct xdp_md context = {.data_end = (uint32_t)size,
                             .ingress_ifindex = if_nametoindex("v0"),
                             .rx_queue_index = queue};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)size,
                .ctx_in = &context, .ctx_size_in = sizeof(context));
    int code = bpf_prog_test_run_opts(steer_program_fd(steer), &options);
    cr_assert_eq(code, 0, "BPF_PROG_TEST_RUN, %zu bytes on queue %u: %s", size, queue,
                 strerror(-code));
    return options.retval;
}

Test(steer_sockets, a_packet_is_redirected_only_where_its_shard_has_a_socket_on_its_queue,
     .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memories[QUEUE_COUNT] = {0};
    struct bound_socket sockets[QUEUE_COUNT][SHARD_COUNT] = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    struct steer *steer = open_steer();
    for (uint32_t queue = 0; queue < QUEUE_COUNT; ++queue)
        open_memory(&memories[queue]);
    // One more socket than the step before: (0,0), (0,1), (1,0), (1,1).
    for (uint32_t added = 0; added <= QUEUE_COUNT * SHARD_COUNT; ++added) {
        for (uint32_t place = 0; place < QUEUE_COUNT * SHARD_COUNT; ++place) {
            shard_end.port = htons((uint16_t)(PORT_FIRST + place % SHARD_COUNT));
            size_t size = valid_frame(frame, PACKET_NO_VLAN, 20);
            enum steer_verdict expected = place < added ? STEER_REDIRECT : STEER_DROP_QUEUE;
            cr_assert_eq(run_on_queue(steer, frame, size, place / SHARD_COUNT),
                         action_of(expected));
            cr_assert_eq(verdict_since(steer, counters), expected, "place %u of %u", place, added);
        }
        if (added < QUEUE_COUNT * SHARD_COUNT) {
            uint32_t queue = added / SHARD_COUNT, shard = added % SHARD_COUNT;
            add_socket(steer, queue, shard,
                       open_socket(&sockets[queue][shard], &memories[queue], queue));
        }
    }
    steer_remove_sockets(steer);
    size_t size = valid_frame(frame, PACKET_NO_VLAN, 20);
    for (uint32_t queue = 0; queue < QUEUE_COUNT; ++queue) {
        cr_assert_eq(run_on_queue(steer, frame, size, queue), XDP_DROP);
        cr_assert_eq(verdict_since(steer, counters), STEER_DROP_QUEUE);
    }
    steer_close(steer);
    for (uint32_t queue = 0; queue < QUEUE_COUNT; ++queue)
        close_sockets(sockets[queue], SHARD_COUNT, &memories[queue]);
}

Test(steer_sockets, a_socket_of_another_queue_is_not_redirected_to, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    struct steer *steer = open_steer();
    open_memory(&memory);
    add_socket(steer, 0, 0, open_socket(&bound, &memory, 1));
    expect(steer, counters, frame, valid_frame(frame, PACKET_NO_VLAN, 20), STEER_DROP_QUEUE);
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

Test(steer_sockets, a_queue_beyond_those_it_was_loaded_for_is_not_another_queues_shard,
     .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    struct steer_options options = usual;
    options.queue_count = 1;
    struct steer *steer = open_steer_of_strangers(&options);
    cr_assert(bind_source(steer, 0, &client, 0));
    add_sockets(steer, &memory, &bound);
    size_t size = valid_frame(frame, PACKET_NO_VLAN, 20);
    cr_assert_eq(run_on_queue(steer, frame, size, 0), XDP_REDIRECT);
    cr_assert_eq(verdict_since(steer, counters), STEER_REDIRECT);
    cr_assert_eq(run_on_queue(steer, frame, size, 1), XDP_DROP);
    cr_assert_eq(verdict_since(steer, counters), STEER_DROP_QUEUE);
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

Test(steer_sockets, a_closed_socket_leaves_by_itself, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    size_t size = valid_frame(frame, PACKET_NO_VLAN, 20);
    expect(steer, counters, frame, size, STEER_REDIRECT);
    close_sockets(&bound, 1, &memory);
    expect(steer, counters, frame, size, STEER_DROP_QUEUE);
    steer_close(steer);
}

static void send_from_peer(int fd, const uint8_t *frame, size_t size)
{
    cr_assert_eq(send(fd, frame, size, 0), (ssize_t)size, "%s", strerror(errno));
}

static int open_peer(void)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_ifindex = (int)if_nametoindex("v1")};
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

// What has arrived on `bound`, all of it for `port`, once it is `wanted` or a second has passed.
static uint32_t received_for(struct bound_socket *bound, const uint8_t *frames, uint32_t wanted,
                             uint16_t port)
{
    uint32_t index = 0, count = 0;
    for (int wait_ms = 0; wait_ms < 1000 && count < wanted; ++wait_ms) {
        count = xsk_cons_nb_avail(&bound->receive, FRAME_COUNT);
        usleep(1000);
    }
    count = xsk_ring_cons__peek(&bound->receive, FRAME_COUNT, &index);
    for (uint32_t i = 0; i < count; ++i) {
        const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(&bound->receive, index + i);
        cr_assert_eq(memcmp(frames + descriptor->addr + 36, &port, 2), 0);
    }
    xsk_ring_cons__release(&bound->receive, count);
    return count;
}

Test(steer_sockets, packets_over_the_wire_reach_the_socket_of_their_own_shard,
     .init = enter_namespace)
{
    enum { sent = 50 };
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memories[QUEUE_COUNT] = {0};
    struct bound_socket sockets[QUEUE_COUNT][SHARD_COUNT] = {0};
    uint64_t counters[STEER_VERDICT_COUNT];
    struct steer *steer = open_steer();
    for (uint32_t queue = 0; queue < QUEUE_COUNT; ++queue) {
        open_memory(&memories[queue]);
        for (uint32_t shard = 0; shard < SHARD_COUNT; ++shard)
            add_socket(steer, queue, shard,
                       open_socket(&sockets[queue][shard], &memories[queue], queue));
    }
    int peer = open_peer();
    for (int i = 0; i < sent; ++i)
        for (uint32_t shard = 0; shard < SHARD_COUNT; ++shard) {
            shard_end.port = htons((uint16_t)(PORT_FIRST + shard));
            send_from_peer(peer, frame, valid_frame(frame, PACKET_NO_VLAN, 20));
        }
    // Which of the queues a frame takes is the sending end's choice.
    for (uint32_t shard = 0; shard < SHARD_COUNT; ++shard) {
        uint16_t port = htons((uint16_t)(PORT_FIRST + shard));
        uint32_t received = received_for(&sockets[0][shard], memories[0].frames, sent, port);
        received += received_for(&sockets[1][shard], memories[1].frames, sent - received, port);
        cr_assert_eq(received, sent, "shard %u: %u", shard, received);
    }
    read_counters(steer, counters);
    cr_assert_eq(counters[STEER_REDIRECT], 2 * sent);
    steer_close(steer);
    for (uint32_t queue = 0; queue < QUEUE_COUNT; ++queue)
        close_sockets(sockets[queue], SHARD_COUNT, &memories[queue]);
}

Test(steer_sockets, a_descriptor_that_is_no_af_xdp_socket_is_refused, .init = enter_namespace)
{
    struct error error = {{0}};
    struct steer *steer = open_steer();
    cr_assert_eq(steer_add_socket(steer, 0, 0, open_peer(), &error), -1);
    cr_assert(strstr(error.text, "AF_XDP"), "%s", error.text);
    steer_close(steer);
}

Test(steer_sockets, a_destination_has_one_shard_and_there_are_only_so_many, .init = enter_namespace)
{
    struct error error = {{0}};
    struct steer *steer = open_steer();
    cr_assert_eq(steer_add_destination(steer, shard_end.address, shard_end.port, 1, true, &error),
                 -1);
    cr_assert(strstr(error.text, "10.77.0.1:26400"), "%s", error.text);
    for (uint16_t port = SHARD_COUNT; port < STEER_DESTINATIONS_MAX; ++port)
        add_destination(steer, PORT_FIRST + port, 0, true);
    cr_assert_eq(steer_add_destination(steer, shard_end.address, htons(9), 0, false, &error), -1);
    cr_assert(strstr(error.text, "STEER_DESTINATIONS_MAX"), "%s", error.text);
    steer_close(steer);
}
