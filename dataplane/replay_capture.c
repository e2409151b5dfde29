// SPDX-License-Identifier: MIT
//
// A capture of order packets through the whole of a lane but the disk, in one thread, on the
// packets' own clock. The lane's port takes what would be sent and drops it.
#include "dataplane/replay.h"

#include <arpa/inet.h>
#include <pcap/pcap.h>
#include <stdlib.h>

#include "dataplane/lane.h"

#define SECOND_NS 1000000000ull

static uint8_t unsent[PACKET_SIZE_MAX];

static uint8_t *drop_claim(struct port *port)
{
    (void)port;
    return unsent;
}

static void drop_send(struct port *port, size_t size)
{
    (void)port;
    (void)size;
}

static void drop_flush(struct port *port)
{
    (void)port;
}

static const struct port_operations dropping = {
    .claim = drop_claim, .send = drop_send, .flush = drop_flush};

static int to_shard(void *context, uint32_t address, uint16_t port)
{
    const struct lane *lane = context;
    bool ours = address == lane->config->ports[lane->place->port].address &&
                port == htons(lane->place->udp_port);
    return ours ? 0 : -1;
}

// What the last round put into the event ring: it has passed the gate, and its slots are not used
// again yet.
static void take_events(struct replay *replay, const struct lane *lane)
{
    uint64_t tail = atomic_load(&lane->events->producer.tail);
    INVARIANT(tail - replay->event_count <= lane->events->constant.mask + 1);
    while (replay->event_count < tail)
        replay_event(replay, ring_slot(lane->events, replay->event_count));
}

// Everything that is in the command ring, until what came of it has left.
static bool pump(struct replay *replay, struct lane *lane, uint64_t time_ns)
{
    bool sound = true;
    do {
        sound &= lane_pump(lane, time_ns);
        take_events(replay, lane);
    } while (!lane_drained(lane));
    return sound;
}

// The seconds that have passed since the last command, while orders wait for them: every packet
// tells the time, also one that is for somebody else.
static bool play_clock(struct replay *replay, struct lane *lane, uint64_t time_ns)
{
    bool sound = true;
    uint64_t second = lane->entry.commanded_ns / SECOND_NS + 1;
    while (second * SECOND_NS <= time_ns && entry_clock(&lane->entry, second * SECOND_NS))
        sound &= pump(replay, lane, second++ * SECOND_NS);
    return sound;
}

static bool play_packet(struct replay *replay, struct lane *lane, const uint8_t *frame, size_t size,
                        uint64_t time_ns)
{
    struct packet packet;
    uint32_t shard;
    if (!play_clock(replay, lane, time_ns))
        return false;
    if (packet_parse(frame, size, to_shard, lane, &packet, &shard) != STEER_REDIRECT) {
        replay->other_count++;
        return true;
    }
    entry_tick(&lane->entry, time_ns);
    entry_receive(&lane->entry, &packet, time_ns, time_ns);
    return pump(replay, lane, time_ns);
}

static int play(struct replay *replay, struct lane *lane, pcap_t *capture)
{
    struct pcap_pkthdr *header;
    const uint8_t *frame;
    int found;
    bool primed = false;
    while ((found = pcap_next_ex(capture, &header, &frame)) == 1) {
        uint64_t time_ns =
            (uint64_t)header->ts.tv_sec * 1000000000ull + (uint64_t)header->ts.tv_usec;
        if (!primed && lane_prime(lane, time_ns, &replay->error))
            return -1;
        if (!primed)
            take_events(replay, lane);
        primed = true;
        if (header->caplen < header->len) {
            replay->other_count++; // cut off: not what was received
            continue;
        }
        if (!play_packet(replay, lane, frame, header->caplen, time_ns))
            return error_set(&replay->error, "the lane failed");
    }
    if (found != PCAP_ERROR_BREAK)
        return error_set(&replay->error, "damaged pcap file: %s", pcap_geterr(capture));
    if (!primed)
        return error_set(&replay->error, "no packets in it");
    return 0;
}

static int play_file(struct replay *replay, struct lane *lane, const char *path)
{
    char why[PCAP_ERRBUF_SIZE];
    pcap_t *capture =
        pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!capture)
        return error_set(&replay->error, "not a pcap file: %s", why);
    int result = pcap_datalink(capture) == DLT_EN10MB
                     ? play(replay, lane, capture)
                     : error_set(&replay->error, "not captured on Ethernet");
    pcap_close(capture);
    return result;
}

int replay_capture(struct replay *replay, const char *path, const char *config_path)
{
    struct config *config = config_load(config_path, &replay->error);
    if (!config)
        return -1;
    struct port port = {.operations = &dropping};
    struct lane *lane = aligned_alloc(128, (sizeof(*lane) + 127) & ~(size_t)127);
    int result = lane ? lane_open_offline(lane, 0, config, &replay->error)
                      : error_set(&replay->error, "no memory");
    if (result == 0) {
        lane->entry.port = lane->feed.port = &port;
        lane->entry.source.vlan = lane->feed.group.vlan = PACKET_NO_VLAN;
        result = play_file(replay, lane, path);
        replay->book = lane->shard.book;
    }
    if (result == 0) {
        // The book outlives its lane: it moves to the replay, with the memory it lies in.
        replay->memory = lane->book_memory;
        lane->book_memory = (struct arena){0};
    }
    if (lane)
        lane_close(lane);
    free(lane);
    config_free(config);
    return result;
}
