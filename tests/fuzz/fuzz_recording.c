// SPDX-License-Identifier: MIT
//
// A pcap file of any bytes, read in the three ways there are: put back on a wire (here a port that
// looks at every frame) as it was recorded or with other addresses; played through a whole lane as
// `sluice replay` does; and packet by packet. What leaves fits a frame, what was rewritten is a
// right packet with the new addresses, and every packet of the file is counted once.
//
// The first byte of an input says which; the rest is the file.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/port.h"
#include "dataplane/recording.h"
#include "dataplane/replay.h"
#include "dataplane/replay_wire.h"
#include "numa/invariant.h"
#include "tests/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config_text[] =
    "name = \"fuzz\"; journal = { directory = \"/nowhere\"; };"
    "limits = { orders = 64; history = 1024; in_flight = 1024; };"
    "ports = ({ interface = \"lo\"; address = \"10.77.0.1\"; });"
    "shards = ({ port = 0; udp_port = 26400; feed_group = \"239.77.0.1\"; feed_port = 26477;"
    " request_port = 26500; });"
    "instruments = ({ symbol = \"ACME\"; shard = 0; });"
    "sessions = ({ user = \"ALICE\"; password_hash = \"" PASSWORD_HASH "\"; firm = \"ALFA\"; },"
    " { user = \"BOB\"; password_hash = \"" PASSWORD_HASH "\"; firm = \"BETA\"; });";

static char tape_path[32], config_path[32];
static int tape_fd;
static struct replay_wire_options options;
static uint64_t frames_sent;
static uint8_t out[PACKET_SIZE_MAX];

// --- The wire

static int anybody(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    (void)address;
    (void)port;
    return 0;
}

static uint8_t *claim(struct port *port)
{
    (void)port;
    return out;
}

static void send_frame(struct port *port, size_t size)
{
    struct packet packet;
    uint32_t nobody;
    (void)port;
    frames_sent++;
    INVARIANT(size >= 14 && size <= sizeof(out));
    if (!options.rewrites)
        return;
    INVARIANT(packet_parse(out, size, anybody, NULL, &packet, &nobody) == STEER_REDIRECT);
    INVARIANT(packet_checksum_valid(&packet));
    INVARIANT(packet.payload + packet.payload_size == out + size);
    INVARIANT(packet.source.address == options.source.address);
    INVARIANT(packet.destination.port == options.destination.port);
    INVARIANT(memcmp(packet.destination.mac, options.destination.mac, 6) == 0);
}

static void nothing(struct port *port)
{
    (void)port;
}

static const struct port_operations operations = {
    .claim = claim, .send = send_frame, .flush = nothing, .close = nothing};
static struct port wire = {.operations = &operations};

// In the places of the real ones: no interface is needed, and a drain lasts no time.
size_t port_xdp_memory_size(uint32_t frame_count)
{
    return frame_count;
}

struct port *port_xdp_open(const struct port_xdp_options *port_options, uint32_t shard_count,
                           struct arena *arena, struct error *error)
{
    (void)port_options;
    (void)shard_count;
    (void)arena;
    (void)error;
    return &wire;
}

void clock_calibrate(struct tsc_clock *clock, unsigned duration_ms)
{
    (void)duration_ms;
    *clock = (struct tsc_clock){0};
}

uint64_t clock_ns(const struct tsc_clock *clock)
{
    static uint64_t now_ns;
    (void)clock;
    return now_ns += 10000000;
}

uint64_t clock_wall_ns(const struct tsc_clock *clock)
{
    return clock_ns(clock);
}

// --- The three ways

struct contents {
    uint64_t packets, fit, whole;
    bool readable, sound;
};

static struct contents read_contents(void)
{
    struct contents found = {0};
    struct recorded_packet packet;
    struct error error = {{0}};
    int more;
    pcap_t *tape = recording_open(tape_path, &error);
    if (!tape) {
        INVARIANT(error.text[0] != 0);
        return found;
    }
    uint32_t sum = 0;
    while ((more = recording_next(tape, &packet, &error)) == 1) {
        found.packets++;
        found.whole += packet.whole;
        found.fit += packet.whole && packet.size >= 14 && packet.size <= PACKET_SIZE_MAX;
        for (uint32_t i = 0; i < packet.size; i++)
            sum += packet.data[i];
    }
    __asm__ volatile("" : : "r"(sum)); // every byte of it was read
    INVARIANT(more == 0 || error.text[0] != 0);
    found.readable = true;
    found.sound = more == 0;
    pcap_close(tape);
    return found;
}

static void to_wire(const struct contents *found)
{
    static struct replay_wire_report report;
    struct error error = {{0}};
    frames_sent = 0;
    int result = replay_wire(tape_path, &options, &report, &error);
    INVARIANT(result == 0 ? found->sound : error.text[0] != 0);
    if (result)
        return;
    INVARIANT(report.packets == frames_sent);
    INVARIANT(report.packets / options.loops + report.skipped == found->packets);
    INVARIANT(options.rewrites || report.packets == found->fit * options.loops);
}

static void through_a_lane(const struct contents *found)
{
    static struct replay replay;
    replay_init(&replay, false);
    int result = replay_capture(&replay, tape_path, config_path, NULL);
    INVARIANT(result == 0 ? found->sound && found->whole > 0 : replay.error.text[0] != 0);
    INVARIANT(result || replay.other_count <= found->packets);
    replay_close(&replay);
}

static void set_up(void)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    tape_fd = memfd_create("tape", MFD_CLOEXEC);
    INVARIANT(fd >= 0 && tape_fd >= 0);
    INVARIANT(write(fd, config_text, sizeof(config_text) - 1) == sizeof(config_text) - 1);
    snprintf(config_path, sizeof(config_path), "/proc/self/fd/%d", fd);
    snprintf(tape_path, sizeof(tape_path), "/proc/self/fd/%d", tape_fd);
    options = (struct replay_wire_options){
        .interface = "none",
        .source = {.address = htonl(0x0A4D0009)},
        .destination = {.mac = {2, 0, 0, 0, 0, 9}, .port = htons(40009)},
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (tape_path[0] == 0)
        set_up();
    if (size < 1)
        return -1;
    INVARIANT(ftruncate(tape_fd, 0) == 0);
    INVARIANT(pwrite(tape_fd, data + 1, size - 1, 0) == (ssize_t)size - 1);
    struct contents found = read_contents();
    options.rewrites = data[0] & 1;
    options.loops = 1 + (data[0] >> 1 & 1);
    if (data[0] & 4)
        through_a_lane(&found);
    else
        to_wire(&found);
    return 0;
}
