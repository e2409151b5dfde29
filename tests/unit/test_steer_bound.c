// SPDX-License-Identifier: MIT
//
// Who the XDP program lets in, held against what the test has bound: strangers, who may only log
// in, bound sources, whose Ethernet address can be pinned, and the rates of both.
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/steer_bench.h"

TestSuite(steer_bound, .timeout = 120);

struct strangers {
    uint8_t frame[FRAME_SIZE];
    struct queue_memory memory;
    struct bound_socket bound;
    uint64_t counters[STEER_VERDICT_COUNT];
    struct steer *steer;
};

static void open_strangers(struct strangers *here, const struct steer_options *options)
{
    *here = (struct strangers){.steer = open_steer_of_strangers(options)};
    add_sockets(here->steer, &here->memory, &here->bound);
}

static void close_strangers(struct strangers *here)
{
    steer_close(here->steer);
    close_sockets(&here->bound, 1, &here->memory);
}

static void expect_from(struct strangers *here, const struct endpoint *source, uint32_t shard,
                        const void *payload, size_t payload_size, enum steer_verdict expected)
{
    shard_end.port = htons((uint16_t)(PORT_FIRST + shard));
    memcpy(here->frame + packet_payload_offset(&shard_end), payload, payload_size);
    size_t size = packet_write_headers(here->frame, source, &shard_end, payload_size);
    expect(here->steer, here->counters, here->frame, size, expected);
}

static void expect_order(struct strangers *here, const struct endpoint *source, uint32_t shard,
                         enum steer_verdict expected)
{
    static const uint8_t order[] = {0, 48, 'U', 'O', [49] = 0};
    expect_from(here, source, shard, order, sizeof(order), expected);
}

static const uint8_t login[] = {0, 27, 'L', [28] = ' '};

static void expect_login(struct strangers *here, const struct endpoint *source,
                         enum steer_verdict expected)
{
    expect_from(here, source, 0, login, sizeof(login), expected);
}

static struct endpoint client_with_port(uint32_t port)
{
    struct endpoint other = client;
    other.port = htons((uint16_t)port);
    return other;
}

Test(steer_bound, of_a_strangers_packets_only_what_can_be_a_login_is_redirected,
     .init = enter_namespace)
{
    struct strangers here;
    open_strangers(&here, &usual);
    for (unsigned first = 0; first <= 255; first += first == 1 ? 254 : 1)
        for (unsigned second = 0; second <= 255; ++second)
            for (unsigned third = 'L' - 1; third <= 'L' + 1; ++third)
                for (size_t size = 28; size <= 30; ++size) {
                    uint8_t payload[30] = {(uint8_t)first, (uint8_t)second, (uint8_t)third};
                    expect_from(&here, &client, 0, payload, size,
                                can_be_login(payload, size) ? STEER_REDIRECT
                                                            : STEER_DROP_NOT_BOUND);
                }
    close_strangers(&here);
}

Test(steer_bound, a_strangers_packet_that_ends_before_it_can_be_a_login_is_dropped,
     .init = enter_namespace)
{
    static const uint8_t zeros[3] = {0};
    struct strangers here;
    open_strangers(&here, &usual);
    expect_from(&here, &client, 0, zeros, 1, STEER_DROP_NOT_BOUND);
    expect_from(&here, &client, 0, zeros, 2, STEER_DROP_NOT_BOUND);
    expect_from(&here, &client, 0, zeros, 3, STEER_REDIRECT);
    close_strangers(&here);
}

// Ethernet pads to 60 bytes: what stands behind the datagram's end is not its own.
Test(steer_bound, padding_makes_no_login, .init = enter_namespace)
{
    struct strangers here;
    open_strangers(&here, &usual);
    memset(here.frame, 0, 60);
    shard_end.port = htons(PORT_FIRST);
    packet_write_headers(here.frame, &client, &shard_end, 2);
    expect(here.steer, here.counters, here.frame, 60, STEER_DROP_NOT_BOUND);
    close_strangers(&here);
}

Test(steer_bound, an_open_port_takes_what_anybody_sends, .init = enter_namespace)
{
    struct strangers here;
    open_strangers(&here, &usual);
    add_destination(here.steer, PORT_FIRST + 2, 0, true);
    expect_order(&here, &client, 2, STEER_REDIRECT);
    close_strangers(&here);
}

Test(steer_bound, a_bound_source_is_bound_to_one_shard_until_it_is_removed, .init = enter_namespace)
{
    struct strangers here;
    open_strangers(&here, &usual);
    for (int round = 0; round < 3; ++round) {
        expect_order(&here, &client, 0, STEER_DROP_NOT_BOUND);
        cr_assert(bind_source(here.steer, 0, &client, 3));
        expect_order(&here, &client, 0, STEER_REDIRECT);
        expect_order(&here, &client, 1, STEER_DROP_NOT_BOUND);
        struct endpoint next = client_with_port(40002), elsewhere = client;
        elsewhere.address ^= htonl(1);
        expect_order(&here, &next, 0, STEER_DROP_NOT_BOUND);
        expect_order(&here, &elsewhere, 0, STEER_DROP_NOT_BOUND);
        unbind_source(here.steer, 0, &client);
    }
    expect_order(&here, &client, 0, STEER_DROP_NOT_BOUND);
    close_strangers(&here);
}

Test(steer_bound, an_empty_slot_is_nobodys, .init = enter_namespace)
{
    struct strangers here;
    open_strangers(&here, &usual);
    struct endpoint zero = {.vlan = PACKET_NO_VLAN};
    expect_order(&here, &zero, 0, STEER_DROP_NOT_BOUND);
    cr_assert(bind_source(here.steer, 0, &zero, 0));
    expect_order(&here, &zero, 0, STEER_REDIRECT);
    close_strangers(&here);
}

static uint32_t bucket_of(const struct steer *steer, uint32_t port)
{
    struct bound bound = steer_bound(steer, 0);
    uint64_t source = STEER_SOURCE(client.address, htons((uint16_t)port));
    return (uint32_t)STEER_BUCKET(source, bound.multiplier, bound.bits);
}

// The first port from `*port` on that shares the bucket of `of`.
static struct endpoint neighbour_of(const struct steer *steer, uint32_t of, uint32_t *port)
{
    while (bucket_of(steer, *port) != bucket_of(steer, of))
        ++*port;
    return client_with_port((*port)++);
}

Test(steer_bound, where_a_bucket_is_full_all_that_share_it_go_to_user_space,
     .init = enter_namespace)
{
    struct strangers here;
    struct endpoint source[STEER_BUCKET_SLOTS + 2];
    open_strangers(&here, &usual);
    uint32_t port = 1024;
    for (uint32_t i = 0; i < STEER_BUCKET_SLOTS + 2; ++i)
        source[i] = neighbour_of(here.steer, 1024, &port);
    for (uint32_t i = 0; i <= STEER_BUCKET_SLOTS; ++i) {
        expect_order(&here, &source[i], 0, STEER_DROP_NOT_BOUND);
        cr_assert_eq(bind_source(here.steer, 0, &source[i], i), i < STEER_BUCKET_SLOTS);
    }
    for (uint32_t i = 0; i < STEER_BUCKET_SLOTS + 2; ++i)
        expect_order(&here, &source[i], 0, STEER_REDIRECT);
    unbind_source(here.steer, 0, &source[1]); // leaves a slot, and one that is not listed
    expect_order(&here, &source[STEER_BUCKET_SLOTS], 0, STEER_REDIRECT);
    unbind_source(here.steer, 0, &source[STEER_BUCKET_SLOTS]);
    for (uint32_t i = 0; i < STEER_BUCKET_SLOTS + 2; ++i) {
        bool bound = i != 1 && i < STEER_BUCKET_SLOTS;
        expect_order(&here, &source[i], 0, bound ? STEER_REDIRECT : STEER_DROP_NOT_BOUND);
    }
    close_strangers(&here);
}

static void expect_of_other_addresses(bool pinned, enum steer_verdict expected)
{
    struct strangers here;
    struct steer_options options = usual;
    options.pin_mac = pinned;
    open_strangers(&here, &options);
    cr_assert(bind_source(here.steer, 0, &client, 0));
    for (int byte = 0; byte < 6; ++byte) {
        struct endpoint spoofed = client;
        spoofed.mac[byte] ^= 0x80;
        expect_order(&here, &spoofed, 0, expected);
        expect_login(&here, &spoofed, expected);
    }
    expect_order(&here, &client, 0, STEER_REDIRECT);
    close_strangers(&here);
}

Test(steer_bound, a_bound_source_with_another_ethernet_address_is_dropped_where_it_is_pinned,
     .init = enter_namespace)
{
    expect_of_other_addresses(true, STEER_DROP_WRONG_MAC);
}

// A test of its own, and so in a namespace of its own: the kernel frees the queue of a closed
// socket later, and a bind meanwhile fails with EBUSY.
Test(steer_bound, a_bound_source_may_have_another_ethernet_address_where_it_is_not_pinned,
     .init = enter_namespace)
{
    expect_of_other_addresses(false, STEER_REDIRECT);
}

#define BURST 5

Test(steer_bound, logins_of_strangers_have_a_rate_for_each_shard, .init = enter_namespace)
{
    struct strangers here;
    struct steer_options options = usual;
    options.login = (struct steer_rate){2, BURST};
    open_strangers(&here, &options);
    struct endpoint other = client_with_port(40002);
    cr_assert(bind_source(here.steer, 0, &other, 0));
    for (int i = 0; i < BURST; ++i)
        expect_login(&here, &client, STEER_REDIRECT);
    for (int i = 0; i < BURST; ++i) {
        expect_login(&here, &client, STEER_DROP_LOGIN_RATE);
        expect_login(&here, &other, STEER_REDIRECT);
        expect_order(&here, &other, 0, STEER_REDIRECT);
        expect_order(&here, &client, 0, STEER_DROP_NOT_BOUND);
        expect_from(&here, &client, 1, login, sizeof(login), STEER_REDIRECT);
    }
    usleep(510000); // one more is due
    expect_login(&here, &client, STEER_REDIRECT);
    expect_login(&here, &client, STEER_DROP_LOGIN_RATE);
    close_strangers(&here);
}

// A small request that anybody can send in anybody's name used to be answered however often it
// came.
Test(steer_bound, requests_have_a_rate_for_each_shard, .init = enter_namespace)
{
    struct strangers here;
    struct steer_options options = usual;
    options.request = (struct steer_rate){2, BURST};
    open_strangers(&here, &options);
    add_destination(here.steer, PORT_FIRST + 2, 0, true);
    add_destination(here.steer, PORT_FIRST + 3, 1, true);
    cr_assert(bind_source(here.steer, 0, &client, 0));
    for (int i = 0; i < BURST; ++i)
        expect_order(&here, &client, 2, STEER_REDIRECT);
    for (int i = 0; i < BURST; ++i) {
        struct endpoint other = client_with_port(50000 + (uint32_t)i);
        expect_order(&here, &other, 2, STEER_DROP_REQUEST_RATE);
        expect_order(&here, &other, 3, STEER_REDIRECT);
        expect_login(&here, &other, STEER_REDIRECT);
        expect_order(&here, &client, 0, STEER_REDIRECT);
    }
    expect_order(&here, &client, 3, STEER_DROP_REQUEST_RATE);
    usleep(510000); // one more is due
    expect_order(&here, &client, 2, STEER_REDIRECT);
    expect_order(&here, &client, 2, STEER_DROP_REQUEST_RATE);
    close_strangers(&here);
}

Test(steer_bound, each_session_has_a_rate_with_each_shard, .init = enter_namespace)
{
    struct strangers here;
    struct steer_options options = usual;
    options.session = (struct steer_rate){2, BURST};
    open_strangers(&here, &options);
    for (uint32_t shard = 0; shard < SHARD_COUNT; ++shard)
        for (uint32_t session = 0; session < SESSION_COUNT; ++session) {
            struct endpoint source = client_with_port(40000 + session);
            cr_assert(bind_source(here.steer, shard, &source, session));
            for (int i = 0; i < 2 * BURST; ++i)
                expect_order(&here, &source, shard,
                             i < BURST ? STEER_REDIRECT : STEER_DROP_SESSION_RATE);
        }
    usleep(510000);
    expect_order(&here, &client, 0, STEER_REDIRECT);
    expect_order(&here, &client, 0, STEER_DROP_SESSION_RATE);
    // It is the session's, wherever it logs in from.
    struct endpoint moved = client_with_port(50000);
    unbind_source(here.steer, 0, &client);
    cr_assert(bind_source(here.steer, 0, &moved, 1));
    expect_order(&here, &moved, 0, STEER_DROP_SESSION_RATE);
    close_strangers(&here);
}

struct hammer {
    struct steer *steer;
    struct endpoint sources[STEER_BUCKET_SLOTS - 1];
    _Atomic bool stop;
    uint64_t rounds;
};

static void *hammer(void *argument)
{
    struct hammer *hammer = argument;
    while (!atomic_load(&hammer->stop)) {
        for (uint32_t i = 0; i < STEER_BUCKET_SLOTS - 1; ++i)
            bind_source(hammer->steer, 0, &hammer->sources[i], i);
        for (uint32_t i = 0; i < STEER_BUCKET_SLOTS - 1; ++i)
            unbind_source(hammer->steer, 0, &hammer->sources[i]);
        hammer->rounds++;
    }
    return NULL;
}

Test(steer_bound, a_bucket_that_is_being_written_loses_no_packet_of_who_stays_bound,
     .init = enter_namespace)
{
    struct strangers here;
    struct hammer state = {.stop = false};
    pthread_t thread;
    open_strangers(&here, &usual);
    uint32_t port = 1024;
    struct endpoint stays = neighbour_of(here.steer, 1024, &port);
    for (uint32_t i = 0; i < STEER_BUCKET_SLOTS - 1; ++i)
        state.sources[i] = neighbour_of(here.steer, 1024, &port);
    state.steer = here.steer;
    cr_assert(bind_source(here.steer, 0, &stays, 7));
    cr_assert_eq(pthread_create(&thread, NULL, hammer, &state), 0);
    shard_end.port = htons(PORT_FIRST);
    size_t size = packet_write_headers(here.frame, &stays, &shard_end, 40);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = here.frame, .data_size_in = (uint32_t)size,
                .repeat = 5000000);
    cr_assert_eq(bpf_prog_test_run_opts(steer_program_fd(here.steer), &options), 0);
    atomic_store(&state.stop, true);
    pthread_join(thread, NULL);
    read_counters(here.steer, here.counters);
    cr_assert_eq(here.counters[STEER_REDIRECT], 5000000);
    cr_assert_gt(state.rounds, 100);
    close_strangers(&here);
}
