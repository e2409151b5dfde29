// SPDX-License-Identifier: MIT
#include "dataplane/replay_wire.h"

#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port.h"
#include "numa/clock.h"

#define FRAMES   4096u
#define BATCH    32u   // sent with one flush while they are late anyway
#define SEND_NS  2000u // the next one is flushed with this one when it is due so soon
#define DRAIN_NS 50000000u

struct recorded {
    uint64_t offset_ns; // since the first
    uint32_t size;
    uint64_t at; // in `bytes`
};

struct recording {
    struct recorded *packets;
    uint8_t *bytes;
    uint64_t count, capacity, byte_count, byte_capacity;
};

static void *grow(void *memory, uint64_t *capacity, uint64_t wanted, size_t unit)
{
    if (wanted <= *capacity)
        return memory;
    uint64_t larger = 2 * wanted + 4096;
    void *grown = realloc(memory, larger * unit);
    if (grown)
        *capacity = larger;
    return grown;
}

static int keep(struct recording *recording, const uint8_t *frame, uint32_t size,
                uint64_t offset_ns, struct error *error)
{
    void *packets = grow(recording->packets, &recording->capacity, recording->count + 1,
                         sizeof(*recording->packets));
    if (packets)
        recording->packets = packets;
    void *bytes =
        grow(recording->bytes, &recording->byte_capacity, recording->byte_count + size, 1);
    if (bytes)
        recording->bytes = bytes;
    if (!packets || !bytes)
        return error_set(error, "no memory for a recording of more than %llu packets",
                         (unsigned long long)recording->count);
    recording->packets[recording->count++] =
        (struct recorded){.offset_ns = offset_ns, .size = size, .at = recording->byte_count};
    memcpy(recording->bytes + recording->byte_count, frame, size);
    recording->byte_count += size;
    return 0;
}

static int read_packets(struct recording *recording, pcap_t *pcap,
                        struct replay_wire_report *report, struct error *error)
{
    struct pcap_pkthdr *header;
    const uint8_t *frame;
    uint64_t first_ns = 0, last_ns = 0;
    int found;
    while ((found = pcap_next_ex(pcap, &header, &frame)) == 1) {
        uint64_t time_ns =
            (uint64_t)header->ts.tv_sec * 1000000000ull + (uint64_t)header->ts.tv_usec;
        if (header->caplen < header->len || header->caplen > PACKET_SIZE_MAX ||
            header->caplen < 14) {
            report->skipped++;
            continue;
        }
        if (recording->count == 0)
            first_ns = last_ns = time_ns;
        if (time_ns < last_ns) // a clock that was set back: as soon as the one before
            time_ns = last_ns;
        last_ns = time_ns;
        if (keep(recording, frame, header->caplen, time_ns - first_ns, error) < 0)
            return -1;
    }
    if (found != PCAP_ERROR_BREAK)
        return error_set(error, "damaged pcap file: %s", pcap_geterr(pcap));
    return recording->count > 0 ? 0 : error_set(error, "no packets in it that can be sent");
}

static int read_recording(struct recording *recording, const char *path,
                          struct replay_wire_report *report, struct error *error)
{
    char why[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!pcap)
        return error_set(error, "not a pcap file: %s", why);
    int result = pcap_datalink(pcap) == DLT_EN10MB ? read_packets(recording, pcap, report, error)
                                                   : error_set(error, "not captured on Ethernet");
    pcap_close(pcap);
    return result;
}

// Frees nothing before what was sent has left.
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

// The last frames leave before the socket is closed.
static void drain(struct port *port, const struct tsc_clock *clock)
{
    uint64_t until_ns = clock_ns(clock) + DRAIN_NS;
    while (clock_ns(clock) < until_ns)
        port->operations->flush(port);
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
        drain(port, &clock);
        port->operations->close(port);
    }
    arena_close(&memory);
    return port ? 0 : -1;
}

int replay_wire(const char *path, const struct replay_wire_options *options,
                struct replay_wire_report *report, struct error *error)
{
    struct recording recording = {0};
    memset(report, 0, sizeof(*report));
    histogram_reset(&report->lateness);
    int result = read_recording(&recording, path, report, error);
    if (result == 0)
        result = send_recording(&recording, options, report, error);
    free(recording.packets);
    free(recording.bytes);
    return result;
}
