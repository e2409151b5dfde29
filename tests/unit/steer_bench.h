// SPDX-License-Identifier: MIT
//
// The bench that the XDP program's tests stand on: a network namespace of the test's own with a
// veth pair v0 - v1 of two queues each, AF_XDP sockets, the program attached to v0, and what it is
// expected to do with a frame that BPF_PROG_TEST_RUN gives it. The kernel takes no frame below
// 14 bytes there; test_packet.c has those.
//
// The namespace takes root; without it each test says so and is skipped.
#ifndef SLUICE_TESTS_UNIT_STEER_BENCH_H
#define SLUICE_TESTS_UNIT_STEER_BENCH_H

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "dataplane/packet.h"
#include "xdp/loader.h"

#define QUEUE_COUNT   2
#define SHARD_COUNT   2
#define SESSION_COUNT 8
#define FRAME_SIZE    2048 // of the UMEM and of the buffers here
#define FRAME_COUNT   256
#define PORT_FIRST    26400 // of shard 0; shard 1's is the next

static const char *const verdict_names[] = STEER_VERDICT_NAMES;

static struct endpoint client, shard_end;

// The namespace.

__attribute__((format(printf, 1, 2))) static inline void shell(const char *format, ...)
{
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "`%s` failed", command);
}

// Programs that are not ours, of two instructions: return XDP_PASS.
static inline int load_foreign(void)
{
    const struct bpf_insn instructions[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT},
    };
    return bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign_filter", "MIT", instructions, 2, NULL);
}

static inline void skip(const char *why)
{
    fprintf(stderr, "steer: skipped: %s: run as root\n", why);
    cr_skip_test("%s", why);
}

static inline void enter_namespace(void)
{
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    libbpf_set_print(NULL);
    int fd = load_foreign();
    if (fd == -EPERM || fd == -EACCES)
        skip("loading XDP programs takes CAP_BPF and CAP_NET_ADMIN");
    close(fd);
    if (unshare(CLONE_NEWNET) != 0)
        skip("a network namespace of one's own takes CAP_SYS_ADMIN");
    shell("! [ -e /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
    shell("ip link set lo up && ip link add v0 numrxqueues 2 numtxqueues 2 type veth "
          "peer name v1 numrxqueues 2 numtxqueues 2 && ip link set v0 up && ip link set v1 up");
    client = (struct endpoint){.mac = {2, 0, 0, 0, 0, 2},
                               .port = htons(40001),
                               .address = inet_addr("10.77.0.2"),
                               .vlan = PACKET_NO_VLAN};
    shard_end = (struct endpoint){.mac = {2, 0, 0, 0, 0, 1},
                                  .port = htons(PORT_FIRST),
                                  .address = inet_addr("10.77.0.1"),
                                  .vlan = PACKET_NO_VLAN};
}

// AF_XDP sockets.

struct bound_socket {
    struct xsk_socket *socket;
    struct xsk_ring_cons receive;
};

struct queue_memory {
    uint8_t *frames;
    struct xsk_umem *umem;
    struct xsk_ring_prod fill;
    struct xsk_ring_cons completion;
};

static inline void open_memory(struct queue_memory *memory)
{
    const struct xsk_umem_config config = {
        .fill_size = FRAME_COUNT, .comp_size = FRAME_COUNT, .frame_size = FRAME_SIZE};
    memory->frames = mmap(NULL, FRAME_COUNT * FRAME_SIZE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory->frames, MAP_FAILED);
    cr_assert_eq(xsk_umem__create(&memory->umem, memory->frames, FRAME_COUNT * FRAME_SIZE,
                                  &memory->fill, &memory->completion, &config),
                 0);
    uint32_t index;
    cr_assert_eq(xsk_ring_prod__reserve(&memory->fill, FRAME_COUNT, &index), FRAME_COUNT);
    for (uint32_t i = 0; i < FRAME_COUNT; ++i)
        *xsk_ring_prod__fill_addr(&memory->fill, index + i) = i * FRAME_SIZE;
    xsk_ring_prod__submit(&memory->fill, FRAME_COUNT);
}

// A socket on `queue` of v0; the first of a queue uses the memory's FILL and COMPLETION rings, and
// so does every other of the same queue.
static inline int open_socket(struct bound_socket *bound, struct queue_memory *memory,
                              uint32_t queue)
{
    const struct xsk_socket_config config = {.rx_size = FRAME_COUNT,
                                             .libbpf_flags = XSK_LIBBPF_FLAGS__INHIBIT_PROG_LOAD,
                                             .bind_flags = XDP_COPY};
    int code = xsk_socket__create_shared(&bound->socket, "v0", queue, memory->umem, &bound->receive,
                                         NULL, &memory->fill, &memory->completion, &config);
    cr_assert_eq(code, 0, "AF_XDP socket on queue %u: %s", queue, strerror(-code));
    return xsk_socket__fd(bound->socket);
}

// The memory last: its descriptor is its first socket's.
static inline void close_sockets(struct bound_socket *bound, uint32_t socket_count,
                                 struct queue_memory *memory)
{
    for (uint32_t i = 0; i < socket_count; ++i)
        xsk_socket__delete(bound[i].socket);
    cr_assert_eq(xsk_umem__delete(memory->umem), 0);
    munmap(memory->frames, FRAME_COUNT * FRAME_SIZE);
}

// A program with shards 0 and 1 on ports PORT_FIRST and the next, attached to v0.

static const struct steer_options usual = {.queue_count = QUEUE_COUNT,
                                           .shard_count = SHARD_COUNT,
                                           .session_count = SESSION_COUNT,
                                           .pin_mac = true};

static inline struct steer *load_with(const struct steer_options *options)
{
    struct error error = {{0}};
    struct steer *steer = steer_load(options, &error);
    cr_assert(steer, "%s", error.text);
    return steer;
}

static inline void add_destination(struct steer *steer, uint16_t port, uint32_t shard, bool open)
{
    struct error error = {{0}};
    cr_assert_eq(
        steer_add_destination(steer, inet_addr("10.77.0.1"), htons(port), shard, open, &error), 0,
        "%s", error.text);
}

static inline bool bind_source(const struct steer *steer, uint32_t shard,
                               const struct endpoint *source, uint32_t session)
{
    struct bound bound = steer_bound(steer, shard);
    return bound_add(&bound, source->address, source->port, source->mac, session);
}

static inline void unbind_source(const struct steer *steer, uint32_t shard,
                                 const struct endpoint *source)
{
    struct bound bound = steer_bound(steer, shard);
    bound_remove(&bound, source->address, source->port);
}

static inline struct steer *open_steer_of_strangers(const struct steer_options *options)
{
    struct error error = {{0}};
    struct steer *steer = load_with(options);
    cr_assert_eq(steer_attach(steer, "v0", true, &error), 0, "%s", error.text);
    for (uint16_t shard = 0; shard < SHARD_COUNT; ++shard)
        add_destination(steer, PORT_FIRST + shard, shard, false);
    return steer;
}

// … to both of which the client is bound.
static inline struct steer *open_steer(void)
{
    struct steer *steer = open_steer_of_strangers(&usual);
    for (uint32_t shard = 0; shard < SHARD_COUNT; ++shard)
        cr_assert(bind_source(steer, shard, &client, 0));
    return steer;
}

static inline void add_socket(struct steer *steer, uint32_t queue, uint32_t shard, int fd)
{
    struct error error = {{0}};
    cr_assert_eq(steer_add_socket(steer, queue, shard, fd, &error), 0, "%s", error.text);
}

// A socket for both shards on queue 0, where BPF_PROG_TEST_RUN puts frames by itself.
static inline void add_sockets(struct steer *steer, struct queue_memory *memory,
                               struct bound_socket *bound)
{
    open_memory(memory);
    int fd = open_socket(bound, memory, 0);
    add_socket(steer, 0, 0, fd);
    add_socket(steer, 0, 1, fd);
}

static inline struct steer *open_steer_with_sockets(struct queue_memory *memory,
                                                    struct bound_socket *bound)
{
    struct steer *steer = open_steer();
    add_sockets(steer, memory, bound);
    return steer;
}

// Running it.

static inline void read_counters(const struct steer *steer, uint64_t counters[STEER_VERDICT_COUNT])
{
    struct error error = {{0}};
    cr_assert_eq(steer_counters(steer, counters, &error), 0, "%s", error.text);
}

static inline uint32_t run(const struct steer *steer, const uint8_t *frame, size_t size)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)size);
    int code = bpf_prog_test_run_opts(steer_program_fd(steer), &options);
    cr_assert_eq(code, 0, "BPF_PROG_TEST_RUN, %zu bytes: %s", size, strerror(-code));
    return options.retval;
}

static inline uint32_t action_of(enum steer_verdict verdict)
{
    return verdict == STEER_REDIRECT         ? XDP_REDIRECT
           : verdict < STEER_DROP_IP_OPTIONS ? XDP_PASS
                                             : XDP_DROP;
}

// The verdict of the only frame that was run since `before` was read, which is brought up to date:
// one counter has moved, by one.
static inline enum steer_verdict verdict_since(const struct steer *steer,
                                               uint64_t before[STEER_VERDICT_COUNT])
{
    uint64_t after[STEER_VERDICT_COUNT];
    enum steer_verdict verdict = STEER_VERDICT_COUNT;
    uint64_t moved = 0;
    read_counters(steer, after);
    for (int i = 0; i < STEER_VERDICT_COUNT; ++i) {
        moved += after[i] - before[i];
        if (after[i] == before[i] + 1)
            verdict = (enum steer_verdict)i;
    }
    memcpy(before, after, sizeof(after));
    return moved == 1 ? verdict : STEER_VERDICT_COUNT;
}

static inline const char *name_of(enum steer_verdict verdict)
{
    return verdict < STEER_VERDICT_COUNT ? verdict_names[verdict] : "not exactly one";
}

static inline void print_frame(const uint8_t *frame, size_t size)
{
    fprintf(stderr, "frame of %zu bytes:", size);
    for (size_t i = 0; i < size && i < 64; ++i)
        fprintf(stderr, " %02x", frame[i]);
    fprintf(stderr, "\n");
}

static inline void expect(const struct steer *steer, uint64_t counters[STEER_VERDICT_COUNT],
                          const uint8_t *frame, size_t size, enum steer_verdict expected)
{
    uint32_t action = run(steer, frame, size);
    enum steer_verdict verdict = verdict_since(steer, counters);
    if (verdict == expected && action == action_of(expected))
        return;
    print_frame(frame, size);
    cr_assert_fail("expected %s, counted %s, action %u", name_of(expected), name_of(verdict),
                   action);
}

static inline size_t valid_frame(uint8_t frame[FRAME_SIZE], uint16_t vlan, size_t payload_size)
{
    shard_end.vlan = vlan;
    size_t offset = packet_payload_offset(&shard_end);
    for (size_t i = 0; i < payload_size; ++i)
        frame[offset + i] = (uint8_t)i;
    return packet_write_headers(frame, &client, &shard_end, payload_size);
}

static inline bool can_be_login(const uint8_t *payload, size_t size)
{
    static const uint8_t login[] = {0, 27, 'L'}, signed_session[] = {0, 0};
    return (size >= 29 && memcmp(payload, login, 3) == 0) ||
           (size >= 3 && memcmp(payload, signed_session, 2) == 0);
}

// Not judged: how long a frame takes is printed, and that every one of them is counted is checked.
static inline void time_verdict(struct steer *steer, const uint8_t *frame, size_t size,
                                enum steer_verdict verdict, const char *who)
{
    uint64_t before[STEER_VERDICT_COUNT], after[STEER_VERDICT_COUNT];
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)size,
                .repeat = 1000000);
    read_counters(steer, before);
    cr_assert_eq(bpf_prog_test_run_opts(steer_program_fd(steer), &options), 0);
    read_counters(steer, after);
    cr_assert_eq(options.retval, action_of(verdict));
    cr_assert_eq(after[verdict] - before[verdict], 1000000);
    fprintf(stderr, "steer: %s takes %u ns, loaded %s\n", verdict_names[verdict], options.duration,
            who);
}

#endif
