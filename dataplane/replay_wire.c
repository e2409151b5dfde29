// SPDX-License-Identifier: MIT
#include "dataplane/replay_wire.h"

#include <arpa/inet.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port.h"
#include "dataplane/recording.h"
#include "numa/array.h"
#include "numa/clock.h"

#define FRAMES  4096u
#define BATCH   32u   // sent with one flush while they are late anyway
#define SEND_NS 2000u // the next one is flushed with this one when it is due so soon

struct recorded {
    uint64_t offset_ns; // since the first
    uint32_t size;
    uint64_t at; // in `bytes`
};

struct recording {
    struct recorded *packets;
    uint8_t *bytes;
    uint64_t count, byte_count;
    size_t capacity, byte_capacity;
};

static int keep(struct recording *recording, const uint8_t *frame, uint32_t size,
                uint64_t offset_ns, struct error *error)
{
    if (!array_reserve(&recording->packets, &recording->capacity, recording->count + 1,
                       sizeof(*recording->packets)) ||
        !array_reserve(&recording->bytes, &recording->byte_capacity, recording->byte_count + size,
                       1))
        return error_set(error, "no memory for a recording of more than %llu packets",
                         (unsigned long long)recording->count);
    recording->packets[recording->count++] =
        (struct recorded){.offset_ns = offset_ns, .size = size, .at = recording->byte_count};
    memcpy(recording->bytes + recording->byte_count, frame, size);
    recording->byte_count += size;
    return 0;
}

static int any(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    (void)address;
    (void)port;
    return 0;
}

static void replace(struct endpoint *endpoint, const struct replay_wire_end *with)
{
    static const uint8_t none[6];
    if (memcmp(with->mac, none, sizeof(none)) != 0)
        memcpy(endpoint->mac, with->mac, sizeof(endpoint->mac));
    if (with->address)
        endpoint->address = with->address;
    if (with->port)
        endpoint->port = with->port;
}

// The packet with other addresses, written to `frame`: its size, or 0 when it is not a whole UDP
// packet.
static uint32_t rewrite(const struct recorded_packet *recorded,
                        const struct replay_wire_options *options, uint8_t frame[PACKET_SIZE_MAX])
{
    struct packet packet;
    uint32_t shard;
    if (packet_parse(recorded->data, recorded->size, any, NULL, &packet, &shard) != STEER_REDIRECT)
        return 0;
    replace(&packet.source, &options->source);
    replace(&packet.destination, &options->destination);
    memcpy(frame + packet_payload_offset(&packet.destination), packet.payload, packet.payload_size);
    return (uint32_t)packet_write_headers(frame, &packet.source, &packet.destination,
                                          packet.payload_size);
}

static int read_packets(struct recording *recording, pcap_t *pcap,
                        const struct replay_wire_options *options,
                        struct replay_wire_report *report, struct error *error)
{
    uint8_t frame[PACKET_SIZE_MAX];
    struct recorded_packet packet;
    uint64_t first_ns = 0, last_ns = 0;
    int found;
    while ((found = recording_next(pcap, &packet, error)) == 1) {
        bool fits = packet.whole && packet.size <= PACKET_SIZE_MAX && packet.size >= 14;
        if (fits && options->rewrites) {
            packet.size = rewrite(&packet, options, frame);
            packet.data = frame;
            fits = packet.size > 0;
        }
        if (!fits) {
            report->skipped++;
            continue;
        }
        if (recording->count == 0)
            first_ns = last_ns = packet.time_ns;
        if (packet.time_ns > last_ns) // else a clock that was set back: as soon as the one before
            last_ns = packet.time_ns;
        if (keep(recording, packet.data, packet.size, last_ns - first_ns, error) < 0)
            return -1;
    }
    if (found < 0)
        return -1;
    return recording->count > 0 ? 0 : error_set(error, "no packets in it that can be sent");
}

static int read_recording(struct recording *recording, const char *path,
                          const struct replay_wire_options *options,
                          struct replay_wire_report *report, struct error *error)
{
    pcap_t *pcap = recording_open(path, error);
    if (!pcap)
        return -1;
    int result = read_packets(recording, pcap, options, report, error);
    pcap_close(pcap);
    return result;
}

// Waits until one is free: what was sent first has to leave.
static uint8_t *claim(struct port *port)
{
    uint8_t *frame;
    while (!(frame = port->operations->claim(port)))
        port->operations->flush(port);
    return frame;
}

static void send_all(const struct recording *recording, const struct replay_wire_options *options,
                     const struct tsc_clock *clock, struct port *port,
                     struct replay_wire_report *report)
{
    double scale = options->pace > 0 ? 1 / options->pace : 0;
    uint64_t start_ns = clock_ns(clock), due_ns = start_ns, waiting = 0;
    for (uint64_t i = 0; i < recording->count; i++) {
        const struct recorded *packet = &recording->packets[i];
        due_ns = start_ns + (uint64_t)((double)packet->offset_ns * scale);
        uint64_t now_ns = clock_ns(clock);
        if (waiting > 0 && (waiting == BATCH || now_ns + SEND_NS < due_ns)) {
            port->operations->flush(port);
            waiting = 0;
        }
        while ((now_ns = clock_ns(clock)) < due_ns)
            ;
        memcpy(claim(port), recording->bytes + packet->at, packet->size);
        port->operations->send(port, packet->size);
        waiting++;
        if (options->pace > 0)
            histogram_record(&report->lateness, now_ns - due_ns);
        report->packets++;
        report->bytes += packet->size;
    }
    port->operations->flush(port);
    report->seconds += (double)(clock_ns(clock) - start_ns) * 1e-9;
    report->asked += (double)(due_ns - start_ns) * 1e-9;
}

static int send_recording(const struct recording *recording,
                          const struct replay_wire_options *options,
                          struct replay_wire_report *report, struct error *error)
{
    struct arena memory;
    struct tsc_clock clock;
    const uint32_t queue = 0;
    struct port_xdp_options port_options = {
        .interface = options->interface, .queues = &queue, .queue_count = 1, .frame_count = FRAMES};
    if (arena_open(&memory, "packet frames", port_xdp_memory_size(FRAMES), ARENA_ANY_NODE, false,
                   error))
        return -1;
    clock_calibrate(&clock, 50);
    struct port *port = port_xdp_open(&port_options, 1, &memory, error);
    if (port) {
        report->mode = port->mode;
        for (uint32_t i = 0; i < options->loops; i++)
            send_all(recording, options, &clock, port, report);
        port_drain(port, &clock);
        port->operations->close(port);
    }
    arena_close(&memory);
    return port ? 0 : -1;
}

bool replay_wire_parse(const char *text, struct replay_wire_end *end)
{
    char address[INET_ADDRSTRLEN] = "";
    unsigned port = 0;
    int length = 0;
    struct in_addr parsed = {0};
    if (strlen(text) >= 17 && text[2] == ':') {
        struct ether_addr mac;
        char copy[18] = "";
        memcpy(copy, text, 17);
        if (!ether_aton_r(copy, &mac) || (text[17] != 0 && text[17] != ','))
            return false;
        memcpy(end->mac, &mac, sizeof(end->mac));
        if (text[17] == 0)
            return true;
        text += 18;
    }
    if (sscanf(text, "%15[0-9.]%n", address, &length) != 1 ||
        inet_pton(AF_INET, address, &parsed) != 1)
        return false;
    end->address = parsed.s_addr;
    if (text[length] == 0)
        return true;
    if (sscanf(text + length, ":%5u%n", &port, &length) != 1 || port < 1 || port > 65535 ||
        text[strlen(address) + (size_t)length] != 0)
        return false;
    end->port = htons((uint16_t)port);
    return true;
}

int replay_wire(const char *path, const struct replay_wire_options *options,
                struct replay_wire_report *report, struct error *error)
{
    struct recording recording = {0};
    memset(report, 0, sizeof(*report));
    histogram_reset(&report->lateness);
    int result = read_recording(&recording, path, options, report, error);
    if (result == 0)
        result = send_recording(&recording, options, report, error);
    free(recording.packets);
    free(recording.bytes);
    return result;
}
