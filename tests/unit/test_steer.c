// SPDX-License-Identifier: MIT
//
// The XDP program is run frame by frame with BPF_PROG_TEST_RUN and held against packet_parse, which
// was written from the same table of verdicts without sharing code, and for whose source is bound
// against what the test has bound. The kernel takes no frame below
// 14 bytes there; test_packet.c has those.
//
// Every test works in a network namespace of its own, with a veth pair v0 - v1 of two queues each.
// That takes root; without it each test says so and is skipped.
//
// SEED=number repeats the random frames of a run.
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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
#define RANDOM_COUNT  250000

static const char *const verdict_names[] = STEER_VERDICT_NAMES;

static struct endpoint client, shard_end;

// The namespace.

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "`%s` failed", command);
}

// Programs that are not ours, of two instructions: return XDP_PASS.
static int load_foreign(void)
{
    const struct bpf_insn instructions[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT},
    };
    return bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign_filter", "MIT", instructions, 2, NULL);
}

static void skip(const char *why)
{
    fprintf(stderr, "steer: skipped: %s: run as root\n", why);
    cr_skip_test("%s", why);
}

static void enter_namespace(void)
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

TestSuite(steer, .timeout = 120);

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

static void open_memory(struct queue_memory *memory)
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
static int open_socket(struct bound_socket *bound, struct queue_memory *memory, uint32_t queue)
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
static void close_sockets(struct bound_socket *bound, uint32_t socket_count,
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

static struct steer *load_with(const struct steer_options *options)
{
    struct error error = {{0}};
    struct steer *steer = steer_load(options, &error);
    cr_assert(steer, "%s", error.text);
    return steer;
}

static void add_destination(struct steer *steer, uint16_t port, uint32_t shard, bool open)
{
    struct error error = {{0}};
    cr_assert_eq(
        steer_add_destination(steer, inet_addr("10.77.0.1"), htons(port), shard, open, &error), 0,
        "%s", error.text);
}

static bool bind_source(const struct steer *steer, uint32_t shard, const struct endpoint *source,
                        uint32_t session)
{
    struct bound bound = steer_bound(steer, shard);
    return bound_add(&bound, source->address, source->port, source->mac, session);
}

static void unbind_source(const struct steer *steer, uint32_t shard, const struct endpoint *source)
{
    struct bound bound = steer_bound(steer, shard);
    bound_remove(&bound, source->address, source->port);
}

static struct steer *open_steer_of_strangers(const struct steer_options *options)
{
    struct error error = {{0}};
    struct steer *steer = load_with(options);
    cr_assert_eq(steer_attach(steer, "v0", true, &error), 0, "%s", error.text);
    for (uint16_t shard = 0; shard < SHARD_COUNT; ++shard)
        add_destination(steer, PORT_FIRST + shard, shard, false);
    return steer;
}

// … to both of which the client is bound.
static struct steer *open_steer(void)
{
    struct steer *steer = open_steer_of_strangers(&usual);
    for (uint32_t shard = 0; shard < SHARD_COUNT; ++shard)
        cr_assert(bind_source(steer, shard, &client, 0));
    return steer;
}

static void add_socket(struct steer *steer, uint32_t queue, uint32_t shard, int fd)
{
    struct error error = {{0}};
    cr_assert_eq(steer_add_socket(steer, queue, shard, fd, &error), 0, "%s", error.text);
}

// A socket for both shards on queue 0, where BPF_PROG_TEST_RUN puts frames by itself.
static void add_sockets(struct steer *steer, struct queue_memory *memory,
                        struct bound_socket *bound)
{
    open_memory(memory);
    int fd = open_socket(bound, memory, 0);
    add_socket(steer, 0, 0, fd);
    add_socket(steer, 0, 1, fd);
}

static struct steer *open_steer_with_sockets(struct queue_memory *memory,
                                             struct bound_socket *bound)
{
    struct steer *steer = open_steer();
    add_sockets(steer, memory, bound);
    return steer;
}

static int find_shard(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    uint32_t shard = (uint32_t)ntohs(port) - PORT_FIRST;
    return address == inet_addr("10.77.0.1") && shard < SHARD_COUNT ? (int)shard : -1;
}

static bool can_be_login(const uint8_t *payload, size_t size)
{
    static const uint8_t login[] = {0, 27, 'L'}, signed_session[] = {0, 0};
    return (size >= 29 && memcmp(payload, login, 3) == 0) ||
           (size >= 3 && memcmp(payload, signed_session, 2) == 0);
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

// Running it.

static void read_counters(const struct steer *steer, uint64_t counters[STEER_VERDICT_COUNT])
{
    struct error error = {{0}};
    cr_assert_eq(steer_counters(steer, counters, &error), 0, "%s", error.text);
}

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

static uint32_t run(const struct steer *steer, const uint8_t *frame, size_t size)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)size);
    int code = bpf_prog_test_run_opts(steer_program_fd(steer), &options);
    cr_assert_eq(code, 0, "BPF_PROG_TEST_RUN, %zu bytes: %s", size, strerror(-code));
    return options.retval;
}

static uint32_t action_of(enum steer_verdict verdict)
{
    return verdict == STEER_REDIRECT         ? XDP_REDIRECT
           : verdict < STEER_DROP_IP_OPTIONS ? XDP_PASS
                                             : XDP_DROP;
}

// The verdict of the only frame that was run since `before` was read, which is brought up to date:
// one counter has moved, by one.
static enum steer_verdict verdict_since(const struct steer *steer,
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

static const char *name_of(enum steer_verdict verdict)
{
    return verdict < STEER_VERDICT_COUNT ? verdict_names[verdict] : "not exactly one";
}

static void print_frame(const uint8_t *frame, size_t size)
{
    fprintf(stderr, "frame of %zu bytes:", size);
    for (size_t i = 0; i < size && i < 64; ++i)
        fprintf(stderr, " %02x", frame[i]);
    fprintf(stderr, "\n");
}

static void expect(const struct steer *steer, uint64_t counters[STEER_VERDICT_COUNT],
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

static size_t valid_frame(uint8_t frame[FRAME_SIZE], uint16_t vlan, size_t payload_size)
{
    shard_end.vlan = vlan;
    size_t offset = packet_payload_offset(&shard_end);
    for (size_t i = 0; i < payload_size; ++i)
        frame[offset + i] = (uint8_t)i;
    return packet_write_headers(frame, &client, &shard_end, payload_size);
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
                      verdict == STEER_DROP_QUEUE || seen[verdict] > 100,
                  "too few %s to say anything: %llu", verdict_names[verdict],
                  (unsigned long long)seen[verdict]);
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

// Who is bound.

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

Test(steer, of_a_strangers_packets_only_what_can_be_a_login_is_redirected, .init = enter_namespace)
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

Test(steer, a_strangers_packet_that_ends_before_it_can_be_a_login_is_dropped,
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
Test(steer, padding_makes_no_login, .init = enter_namespace)
{
    struct strangers here;
    open_strangers(&here, &usual);
    memset(here.frame, 0, 60);
    shard_end.port = htons(PORT_FIRST);
    packet_write_headers(here.frame, &client, &shard_end, 2);
    expect(here.steer, here.counters, here.frame, 60, STEER_DROP_NOT_BOUND);
    close_strangers(&here);
}

Test(steer, an_open_port_takes_what_anybody_sends, .init = enter_namespace)
{
    struct strangers here;
    open_strangers(&here, &usual);
    add_destination(here.steer, PORT_FIRST + 2, 0, true);
    expect_order(&here, &client, 2, STEER_REDIRECT);
    close_strangers(&here);
}

Test(steer, a_bound_source_is_bound_to_one_shard_until_it_is_removed, .init = enter_namespace)
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

Test(steer, an_empty_slot_is_nobodys, .init = enter_namespace)
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

Test(steer, where_a_bucket_is_full_all_that_share_it_go_to_user_space, .init = enter_namespace)
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

Test(steer, a_bound_source_with_another_ethernet_address_is_dropped_where_it_is_pinned,
     .init = enter_namespace)
{
    expect_of_other_addresses(true, STEER_DROP_WRONG_MAC);
}

// A test of its own, and so in a namespace of its own: the kernel frees the queue of a closed
// socket later, and a bind meanwhile fails with EBUSY.
Test(steer, a_bound_source_may_have_another_ethernet_address_where_it_is_not_pinned,
     .init = enter_namespace)
{
    expect_of_other_addresses(false, STEER_REDIRECT);
}

#define BURST 5

Test(steer, logins_of_strangers_have_a_rate_for_each_shard, .init = enter_namespace)
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

Test(steer, each_session_has_a_rate_with_each_shard, .init = enter_namespace)
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

Test(steer, a_bucket_that_is_being_written_loses_no_packet_of_who_stays_bound,
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

// Queues and sockets.

Test(steer, a_packet_is_redirected_only_where_its_shard_has_a_socket_on_its_queue,
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

Test(steer, a_socket_of_another_queue_is_not_redirected_to, .init = enter_namespace)
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

Test(steer, a_queue_beyond_those_it_was_loaded_for_is_not_another_queues_shard,
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

Test(steer, a_closed_socket_leaves_by_itself, .init = enter_namespace)
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

Test(steer, packets_over_the_wire_reach_the_socket_of_their_own_shard, .init = enter_namespace)
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

Test(steer, a_descriptor_that_is_no_af_xdp_socket_is_refused, .init = enter_namespace)
{
    struct error error = {{0}};
    struct steer *steer = open_steer();
    cr_assert_eq(steer_add_socket(steer, 0, 0, open_peer(), &error), -1);
    cr_assert(strstr(error.text, "AF_XDP"), "%s", error.text);
    steer_close(steer);
}

Test(steer, a_destination_has_one_shard_and_there_are_only_so_many, .init = enter_namespace)
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

// Not judged: how long a frame takes is printed, and that every one of them is counted is checked.
static void time_verdict(struct steer *steer, const uint8_t *frame, size_t size,
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

// Attaching.

static void expect_refused(struct steer *steer, const char *interface, bool native,
                           const char *words[], struct error *error)
{
    cr_assert_eq(steer_attach(steer, interface, native, error), -1);
    fprintf(stderr, "steer: refused: %s\n", error->text);
    for (; *words; ++words)
        cr_assert(strstr(error->text, *words), "no \"%s\" in: %s", *words, error->text);
    cr_assert_null(strchr(error->text, '\n'));
}

#define WORDS(...) ((const char *[]){__VA_ARGS__, NULL})

static struct steer *load_only(void)
{
    return load_with(&usual);
}

// Runs the first command that the error recommends, and tries again.
static void expect_remedy_works(struct steer *steer, bool native, struct error *error)
{
    char *command = strchr(error->text, '`') + 1;
    *strchr(command, '`') = '\0';
    shell("%s", command);
    cr_assert_eq(steer_attach(steer, "v0", native, error), 0, "%s", error->text);
}

Test(steer, a_second_instance_is_refused_until_the_first_is_closed, .init = enter_namespace)
{
    struct error error = {{0}};
    char process[32];
    snprintf(process, sizeof(process), "process %d)", getpid());
    for (int native = 0; native <= 1; ++native) {
        struct steer *first = load_only(), *second = load_only();
        cr_assert_eq(steer_attach(first, "v0", native, &error), 0, "%s", error.text);
        expect_refused(second, "v0", native, WORDS("v0", "another instance of sluice", process),
                       &error);
        expect_refused(second, "v0", !native, WORDS("v0", "another instance of sluice", process),
                       &error);
        steer_close(first);
        cr_assert_eq(steer_attach(second, "v0", native, &error), 0, "%s", error.text);
        steer_close(second);
    }
}

Test(steer, an_instance_that_was_killed_no_longer_holds_the_interface, .init = enter_namespace)
{
    struct error error = {{0}};
    struct steer *steer = load_only();
    int ready[2];
    char process[32], byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t other = fork();
    if (other == 0) {
        struct steer *first = steer_load(&usual, NULL);
        if (first && steer_attach(first, "v0", true, NULL) == 0 && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    snprintf(process, sizeof(process), "process %d)", other);
    expect_refused(steer, "v0", true, WORDS("another instance of sluice", process), &error);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    int code = -1;
    for (int tries = 0; tries < 100 && code != 0; ++tries) {
        code = steer_attach(steer, "v0", true, &error);
        usleep(10000);
    }
    cr_assert_eq(code, 0, "%s", error.text);
    steer_close(steer);
}

Test(steer, a_foreign_program_is_named_with_the_command_that_removes_it, .init = enter_namespace)
{
    struct error error = {{0}};
    int index = (int)if_nametoindex("v0"), fd = load_foreign();
    for (int native = 0; native <= 1; ++native) {
        uint32_t flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
        struct steer *steer = load_only();
        cr_assert_eq(bpf_xdp_attach(index, fd, flags, NULL), 0);
        expect_refused(steer, "v0", true, WORDS("v0", "foreign_filter", "ip link set dev v0"),
                       &error);
        expect_remedy_works(steer, true, &error);
        steer_close(steer);
    }
}

Test(steer, a_foreign_link_is_named_with_its_owner_and_the_command_that_removes_it,
     .init = enter_namespace)
{
    struct error error = {{0}};
    char process[32];
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    snprintf(process, sizeof(process), "process %d", getpid());
    struct steer *steer = load_only();
    cr_assert_geq(bpf_link_create(load_foreign(), (int)if_nametoindex("v0"), BPF_XDP, &options), 0);
    expect_refused(steer, "v0", true, WORDS("foreign_filter", process, "bpftool link detach id"),
                   &error);
    expect_remedy_works(steer, true, &error);
    steer_close(steer);
}

Test(steer, an_interface_that_cannot_is_refused_with_the_reason, .init = enter_namespace)
{
    struct error error = {{0}};
    struct steer *steer = load_only();
    shell("ip link add w0 numrxqueues 1 numtxqueues 4 type veth peer name w1 numrxqueues 1 "
          "numtxqueues 4 && ip link add x0 type veth peer name x1 && ip link set x1 mtu 9000");
    expect_refused(steer, "nonesuch", true, WORDS("nonesuch", "No such device", "ip link"), &error);
    expect_refused(steer, "w0", true, WORDS("w0", "numrxqueues N numtxqueues N"), &error);
    expect_refused(steer, "x0", true, WORDS("x0", "veth", "ip link set dev x0 mtu 1500"), &error);
    expect_refused(steer, "lo", true, WORDS("lo", "Operation not supported", "generic"), &error);
    cr_assert_eq(steer_attach(steer, "lo", false, &error), 0, "%s", error.text);
    steer_close(steer);
}

// Capabilities.

static void keep_capabilities(uint64_t capabilities)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    for (int half = 0; half < 2; ++half)
        data[half].effective = data[half].permitted = (uint32_t)(capabilities >> 32 * half);
    cr_assert_eq(syscall(SYS_capset, &header, data), 0);
}

#define CAPABILITY(name) (1ull << CAP_##name)

Test(steer, three_capabilities_are_enough, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct error error = {{0}};
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    keep_capabilities(CAPABILITY(BPF) | CAPABILITY(NET_ADMIN) | CAPABILITY(NET_RAW));
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    size_t size = valid_frame(frame, PACKET_NO_VLAN, 20);
    expect(steer, counters, frame, size, STEER_REDIRECT);
    time_verdict(steer, frame, size, STEER_REDIRECT, "with three capabilities");
    struct steer *second = load_only();
    expect_refused(second, "v0", true, WORDS("v0", "already", "held by process"), &error);
    steer_close(second);
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

Test(steer, without_a_capability_the_error_names_it, .init = enter_namespace)
{
    struct error error = {{0}};
    keep_capabilities(CAPABILITY(BPF) | CAPABILITY(NET_RAW));
    cr_assert_null(steer_load(&usual, &error));
    cr_assert(strstr(error.text, "CAP_NET_ADMIN"), "%s", error.text);
    keep_capabilities(CAPABILITY(NET_RAW));
    cr_assert_null(steer_load(&usual, &error));
    cr_assert(strstr(error.text, "CAP_BPF"), "%s", error.text);
    fprintf(stderr, "steer: refused: %s\n", error.text);
}
