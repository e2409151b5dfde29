// SPDX-License-Identifier: MIT
//
// The XDP program in the kernel (BPF_PROG_TEST_RUN) and packet_parse in user space, for the same
// frame, what is bound and what the meters say: the same verdict, the same action, one counter
// moved by one. Shard 0 has a socket on the queue and shard 1 has none, so that which of the two
// was found is seen as well. Each has an order port and an open one.
//
// The first byte of an input says whether the checksum of the IPv4 header is put right before the
// frame is given, without which hardly any changed frame would come past it, whether the frame is
// padded to Ethernet's 60 bytes, whether its source is bound, and whether all rates are used up:
// enum setting. Takes root: without it this says so and ends.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "dataplane/packet.h"
#include "numa/invariant.h"
#include "xdp/loader.h"

#define PORT_FIRST  26400
#define FRAMES      64u
#define FRAME_BYTES 2048u
#define FRAME_MAX   2000u
#define SESSIONS    8u
#define METERS      (2 * (STEER_METER_SESSIONS + SESSIONS))

enum setting {
    RIGHT_CHECKSUM = 1,
    PADDED = 2,
    BOUND = 4,       // its source is bound to its shard
    BOUND_OTHER = 8, // … to the other one
    OTHER_MAC = 16,  // … from another Ethernet address
    FULL = 32,       // as many others as there is room for share its bucket
    TOO_MANY = 64,   // before it
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct steer *steer;
static int meters_fd;
static uint64_t counted[STEER_VERDICT_COUNT];
static const char *const verdict_names[] = STEER_VERDICT_NAMES;

static void skip(const char *why)
{
    printf("skip fuzz_steer: %s: run as root\n", why);
    fflush(stdout);
    _Exit(0);
}

// Of the loopback's one queue, which is where BPF_PROG_TEST_RUN puts frames.
static int open_socket(void)
{
    static struct xsk_umem *umem;
    static struct xsk_socket *socket;
    static struct xsk_ring_prod fill;
    static struct xsk_ring_cons completion, receive;
    const struct xsk_umem_config memory = {
        .fill_size = FRAMES, .comp_size = FRAMES, .frame_size = FRAME_BYTES};
    const struct xsk_socket_config config = {.rx_size = FRAMES,
                                             .libbpf_flags = XSK_LIBBPF_FLAGS__INHIBIT_PROG_LOAD,
                                             .bind_flags = XDP_COPY};
    size_t bytes = (size_t)FRAMES * FRAME_BYTES;
    void *frames = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    INVARIANT(frames != MAP_FAILED);
    if (xsk_umem__create(&umem, frames, bytes, &fill, &completion, &memory) ||
        xsk_socket__create(&socket, "lo", 0, umem, &receive, NULL, &config))
        skip("no AF_XDP socket can be had");
    return xsk_socket__fd(socket);
}

// The loader keeps the map to itself.
static int find_meters(void)
{
    uint32_t ids[16];
    struct bpf_prog_info program = {.nr_map_ids = 16, .map_ids = (uintptr_t)ids};
    uint32_t size = sizeof(program);
    INVARIANT(bpf_obj_get_info_by_fd(steer_program_fd(steer), &program, &size) == 0);
    for (uint32_t i = 0; i < program.nr_map_ids; i++) {
        struct bpf_map_info map = {0};
        int fd = bpf_map_get_fd_by_id(ids[i]);
        size = sizeof(map);
        INVARIANT(fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &size) == 0);
        if (strcmp(map.name, "meters") == 0)
            return fd;
        close(fd);
    }
    INVARIANT(!"there are meters");
    return -1;
}

static void set_meters(uint64_t due_ns)
{
    static uint32_t places[METERS];
    static struct steer_meter meters[METERS];
    uint32_t count = METERS;
    for (uint32_t i = 0; i < METERS; i++)
        places[i] = i, meters[i].due_ns = due_ns;
    INVARIANT(bpf_map_update_batch(meters_fd, places, meters, &count, NULL) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct error error = {{0}};
    (void)argc;
    (void)argv;
    libbpf_set_print(NULL);
    if (unshare(CLONE_NEWNET))
        skip("a network namespace of one's own takes CAP_SYS_ADMIN");
    // So high that none is reached unless the input says so.
    const struct steer_rate rate = {.per_second = 1000000000, .burst = 1000000000};
    const struct steer_options options = {.queue_count = 1,
                                          .shard_count = 2,
                                          .session_count = SESSIONS,
                                          .login = rate,
                                          .session = rate,
                                          .request = rate,
                                          .pin_mac = true};
    steer = steer_load(&options, &error);
    if (!steer)
        skip(error.text);
    for (uint16_t i = 0; i < 4; i++)
        INVARIANT(steer_add_destination(steer, htonl(0x0A4D0001), htons(PORT_FIRST + i), i % 2,
                                        i >= 2, &error) == 0);
    meters_fd = find_meters();
    INVARIANT(steer_add_socket(steer, 0, 0, open_socket(), &error) == 0);
    return 0;
}

static int find_shard(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    uint32_t shard = (uint32_t)ntohs(port) - PORT_FIRST;
    return address == htonl(0x0A4D0001) && shard < 4 ? (int)shard % 2 : -1;
}

static void correct_ip_checksum(uint8_t *frame, size_t size)
{
    size_t ip = size > 13 && frame[12] == 0x81 && frame[13] == 0 ? 18 : 14;
    if (size < ip + 20)
        return;
    uint32_t sum = 0;
    frame[ip + 10] = frame[ip + 11] = 0;
    for (size_t i = 0; i < 20; i += 2)
        sum += (uint32_t)(frame[ip + i] << 8 | frame[ip + i + 1]);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    frame[ip + 10] = (uint8_t)(~sum >> 8);
    frame[ip + 11] = (uint8_t)~sum;
}

static uint32_t action_of(enum steer_verdict verdict)
{
    return verdict == STEER_REDIRECT         ? XDP_REDIRECT
           : verdict < STEER_DROP_IP_OPTIONS ? XDP_PASS
                                             : XDP_DROP;
}

static void check(enum steer_verdict expected, uint32_t action)
{
    struct error error;
    uint64_t now[STEER_VERDICT_COUNT];
    INVARIANT(steer_counters(steer, now, &error) == 0);
    counted[expected]++;
    bool same = memcmp(now, counted, sizeof(now)) == 0 && action == action_of(expected);
    if (!same)
        for (int i = 0; i < STEER_VERDICT_COUNT; i++)
            fprintf(stderr, "%s: %lld beyond what packet_parse says\n", verdict_names[i],
                    (long long)(now[i] - counted[i]));
    INVARIANT(same);
}

// The sources that share a full bucket with `source`, none of which is it.
static void change_neighbours(const struct bound *bound, const struct endpoint *source, bool add)
{
    uint64_t own = STEER_SOURCE(source->address, source->port);
    uint64_t bucket = STEER_BUCKET(own, bound->multiplier, bound->bits);
    uint32_t count = 0;
    for (uint32_t port = 0; count < STEER_BUCKET_SLOTS; port++) {
        uint64_t other = STEER_SOURCE(source->address, port);
        if (other == own || STEER_BUCKET(other, bound->multiplier, bound->bits) != bucket)
            continue;
        if (add)
            INVARIANT(bound_add(bound, source->address, (uint16_t)port, source->mac, count));
        else
            bound_remove(bound, source->address, (uint16_t)port);
        count++;
    }
}

static void change_bound(enum setting setting, const struct packet *packet, uint32_t shard,
                         bool add)
{
    struct endpoint source = packet->source;
    struct bound own = steer_bound(steer, shard), other = steer_bound(steer, !shard);
    source.mac[5] ^= (setting & OTHER_MAC) != 0;
    if (setting & FULL && add)
        change_neighbours(&own, &source, true);
    if (setting & BOUND && add)
        INVARIANT(bound_add(&own, source.address, source.port, source.mac, 7) == !(setting & FULL));
    else if (setting & BOUND)
        bound_remove(&own, source.address, source.port);
    if (setting & BOUND_OTHER && add)
        INVARIANT(bound_add(&other, source.address, source.port, source.mac, 7));
    else if (setting & BOUND_OTHER)
        bound_remove(&other, source.address, source.port);
    if (setting & FULL && !add)
        change_neighbours(&own, &source, false);
}

static bool can_be_login(const struct packet *packet)
{
    const uint8_t *payload = packet->payload;
    uint32_t size = packet->payload_size;
    return size >= 3 && payload[0] == 0 &&
           (payload[1] == 0 || (payload[1] == 27 && payload[2] == 'L' && size >= 29));
}

// What becomes of a packet that is whole.
static enum steer_verdict verdict_of(enum setting setting, const struct packet *packet,
                                     uint32_t shard)
{
    bool open = ntohs(packet->destination.port) >= PORT_FIRST + 2;
    bool listed = setting & BOUND && !(setting & FULL), too_many = setting & TOO_MANY;
    if (open && too_many)
        return STEER_DROP_REQUEST_RATE;
    if (!open && listed && setting & OTHER_MAC)
        return STEER_DROP_WRONG_MAC;
    if (!open && listed && too_many)
        return STEER_DROP_SESSION_RATE;
    if (!open && !(setting & BOUND) && !can_be_login(packet))
        return STEER_DROP_NOT_BOUND;
    if (!open && !listed && can_be_login(packet) && too_many)
        return STEER_DROP_LOGIN_RATE;
    return shard == 0 ? STEER_REDIRECT : STEER_DROP_QUEUE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum setting setting = size > 0 ? data[0] : 0;
    if (size < 1 + ETH_HLEN || size > 1 + FRAME_MAX)
        return -1; // the kernel takes no shorter ones here
    size_t frame_size = size - 1;
    size_t given_size = setting & PADDED && frame_size < ETH_ZLEN ? ETH_ZLEN : frame_size;
    uint8_t *frame = calloc(1, given_size);
    memcpy(frame, data + 1, frame_size);
    if (setting & RIGHT_CHECKSUM)
        correct_ip_checksum(frame, given_size);
    struct packet packet = {0};
    uint32_t shard = 2;
    enum steer_verdict expected =
        packet_parse(frame, given_size, find_shard, NULL, &packet, &shard);
    bool whole = expected == STEER_REDIRECT;
    if (whole) {
        INVARIANT(packet.payload >= frame && packet.payload_size > 0 &&
                  packet.payload + packet.payload_size <= frame + given_size);
        packet_checksum_valid(&packet);
        change_bound(setting, &packet, shard, true);
        if (setting & TOO_MANY)
            set_meters(UINT64_MAX);
        expected = verdict_of(setting, &packet, shard);
    }
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)given_size);
    INVARIANT(bpf_prog_test_run_opts(steer_program_fd(steer), &options) == 0);
    check(expected, options.retval);
    if (whole)
        change_bound(setting, &packet, shard, false);
    if (whole && setting & TOO_MANY)
        set_meters(0);
    free(frame);
    return 0;
}
