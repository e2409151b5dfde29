// SPDX-License-Identifier: MIT
//
// A capture of order packets through the whole of a lane but the disk, in one thread, on the
// packets' own clock.
#include "dataplane/replay.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataplane/lane.h"
#include "dataplane/mold.h"
#include "dataplane/recording.h"

#define SECOND_NS 1000000000ull

static int to_shard(void *context, uint32_t address, uint16_t port)
{
    const struct lane *lane = context;
    bool ours = port == htons(lane->place->udp_port) ||
                (lane->place->request_port && port == htons(lane->place->request_port));
    return ours && address == lane->entry.source.address ? 0 : -1;
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
    lane_receive(lane, &packet, time_ns, time_ns);
    return pump(replay, lane, time_ns);
}

static int to_anybody(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    (void)address;
    (void)port;
    return 0;
}

// The name of the day's session, where it is in a packet of the lane's own: the answer to a login,
// or market data.
static const char *session_in(const struct lane *lane, const struct packet *packet)
{
    if (packet->source.address != lane->entry.source.address)
        return NULL;
    const struct ufo_login_accept *accept = (const struct ufo_login_accept *)packet->payload;
    if (packet->source.port == lane->entry.source.port && packet->payload_size == sizeof(*accept) &&
        accept->type == UFO_LOGIN_ACCEPT)
        return accept->session;
    const struct mold_header *header = (const struct mold_header *)packet->payload;
    bool feed = packet->destination.address == lane->feed.group.address &&
                packet->destination.port == lane->feed.group.port;
    return feed && packet->payload_size >= sizeof(*header) ? header->session : NULL;
}

// A recording that has the lane's own packets too tells the name of its day, which is made up from
// the moment otherwise: with it the state is the recorded gateway's. A pipe is read once only.
static void find_session(struct lane *lane, const char *path)
{
    struct stat file;
    struct error ignored;
    struct recorded_packet recorded;
    struct packet packet;
    uint32_t shard;
    const char *name = NULL;
    if (stat(path, &file) || !S_ISREG(file.st_mode))
        return;
    pcap_t *recording = recording_open(path, &ignored);
    while (!name && recording && recording_next(recording, &recorded, &ignored) == 1)
        if (packet_parse(recorded.data, recorded.size, to_anybody, NULL, &packet, &shard) ==
            STEER_REDIRECT)
            name = session_in(lane, &packet);
    if (name)
        memcpy(lane->session_name, name, sizeof(lane->session_name));
    if (recording)
        pcap_close(recording);
}

// What they sent was checked by the recorded gateway, with keys that went with it.
static void leave_out_signed_sessions(struct lane *lane)
{
    if (!lane->entry.has_signed)
        return;
    lane->entry.has_signed = false;
    warn(
        "what signed sessions sent is left out: nobody has the keys to check it with any more; the "
        "journal has it");
}

// Packets of several queues may be in the file in another order than their times, and the clock may
// have been set back: for the lane it then stands still, as its own never runs backwards.
static int play(struct replay *replay, struct lane *lane, struct port *port)
{
    struct frame frame;
    bool primed = false;
    uint64_t now_ns = 0;
    while (port->operations->receive(port, 1, &frame, 1) == 1) {
        now_ns = frame.time_ns > now_ns ? frame.time_ns : now_ns;
        if (!primed && lane_prime(lane, now_ns, &replay->error))
            return -1;
        if (!primed) {
            leave_out_signed_sessions(lane);
            take_events(replay, lane);
        }
        primed = true;
        if (!play_packet(replay, lane, frame.data, frame.size, now_ns))
            return error_set(&replay->error, "the lane failed");
        port->operations->release(port, &frame, 1);
    }
    replay->other_count += port->counters.rx_invalid;
    if (port_tape_finish(port, &replay->error))
        return -1;
    return primed ? 0 : error_set(&replay->error, "no packets in it");
}

int replay_capture(struct replay *replay, const char *path, const char *config_path,
                   const char *output)
{
    struct config *config = config_load(config_path, &replay->error);
    if (!config)
        return -1;
    struct port *port = port_tape_open(path, output, &replay->error);
    struct lane *lane = aligned_alloc(128, (sizeof(*lane) + 127) & ~(size_t)127);
    int result = port ? 0 : -1;
    if (result == 0)
        result = lane ? lane_open_offline(lane, 0, config, &replay->error)
                      : error_set(&replay->error, "no memory");
    if (result == 0) {
        lane_place(lane, port);
        find_session(lane, path);
        result = play(replay, lane, port);
    }
    if (result == 0) {
        // The book outlives its lane: it moves to the replay, with the memory it lies in.
        replay->book = lane->shard.book;
        replay->memory = lane->book_memory;
        lane->book_memory = (struct arena){0};
        replay_finish(replay);
    }
    if (port && lane)
        lane_close(lane);
    if (port)
        port->operations->close(port);
    free(lane);
    config_free(config);
    return result;
}
