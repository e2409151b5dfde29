// SPDX-License-Identifier: MIT
//
// The port whose wire is a file: packets come from one recording, as they came, and go to another,
// each with the time of the packet that was received last, so that the same tape gives the same
// bytes.
#include "dataplane/port.h"

#include <pcap/pcap.h>
#include <stdlib.h>

#include "dataplane/recording.h"
#include "numa/invariant.h"

struct port_tape {
    struct port port;
    pcap_t *input, *format;
    pcap_dumper_t *output; // NULL: what is sent is dropped
    uint64_t time_ns;
    int state;          // 1: there may be more, 0: the end was reached, -1: the tape is damaged
    struct error error; // … and this is how
    uint8_t unsent[PACKET_SIZE_MAX];
};

static struct port_tape *tape_of(struct port *port)
{
    return (struct port_tape *)port;
}

// One at a time: what comes of a packet is sent before the next one tells another time.
static uint32_t tape_receive(struct port *port, uint64_t shards, struct frame *frames, uint32_t max)
{
    struct port_tape *tape = tape_of(port);
    struct recorded_packet packet;
    (void)shards;
    INVARIANT(max > 0);
    while ((tape->state = recording_next(tape->input, &packet, &tape->error)) > 0) {
        tape->time_ns = packet.time_ns;
        if (!packet.whole) {
            port->counters.rx_invalid++;
            continue;
        }
        frames[0] =
            (struct frame){.data = packet.data, .size = packet.size, .time_ns = packet.time_ns};
        port->counters.received_packets++;
        port->counters.received_bytes += packet.size;
        return 1;
    }
    return 0;
}

static void tape_release(struct port *port, const struct frame *frames, uint32_t count)
{
    (void)port; // libpcap's until the next one
    (void)frames;
    (void)count;
}

static uint8_t *tape_claim(struct port *port)
{
    return tape_of(port)->unsent;
}

static void tape_send(struct port *port, size_t size)
{
    struct port_tape *tape = tape_of(port);
    // With nanosecond precision tv_usec holds nanoseconds.
    struct pcap_pkthdr header = {.caplen = (bpf_u_int32)size,
                                 .len = (bpf_u_int32)size,
                                 .ts = {.tv_sec = (time_t)(tape->time_ns / 1000000000),
                                        .tv_usec = (suseconds_t)(tape->time_ns % 1000000000)}};
    if (tape->output)
        pcap_dump((u_char *)tape->output, &header, tape->unsent);
    port->counters.sent_packets++;
    port->counters.sent_bytes += size;
}

static void tape_flush(struct port *port)
{
    (void)port;
}

static int tape_poll_fds(struct port *port, struct pollfd *fds)
{
    (void)port;
    (void)fds;
    return 0;
}

static void tape_read_counters(struct port *port)
{
    (void)port;
}

static void tape_close(struct port *port)
{
    struct port_tape *tape = tape_of(port);
    if (tape->output)
        pcap_dump_close(tape->output);
    if (tape->format)
        pcap_close(tape->format);
    if (tape->input)
        pcap_close(tape->input);
    free(tape);
}

static const struct port_operations operations = {
    .receive = tape_receive,
    .release = tape_release,
    .claim = tape_claim,
    .send = tape_send,
    .flush = tape_flush,
    .poll_fds = tape_poll_fds,
    .read_counters = tape_read_counters,
    .close = tape_close,
};

static int open_output(struct port_tape *tape, const char *path, struct error *error)
{
    tape->format =
        pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 65535, PCAP_TSTAMP_PRECISION_NANO);
    if (!tape->format)
        return error_set(error, "no memory");
    tape->output = pcap_dump_open(tape->format, path);
    return tape->output ? 0 : error_set(error, "cannot write: %s", pcap_geterr(tape->format));
}

struct port *port_tape_open(const char *input, const char *output, struct error *error)
{
    struct port_tape *tape = calloc(1, sizeof(*tape));
    if (!tape) {
        error_set(error, "no memory");
        return NULL;
    }
    tape->port.operations = &operations;
    tape->port.mode = "tape";
    tape->state = 1;
    tape->input = recording_open(input, error);
    if (tape->input && (!output || open_output(tape, output, error) == 0))
        return &tape->port;
    tape_close(&tape->port);
    return NULL;
}

int port_tape_finish(struct port *port, struct error *error)
{
    struct port_tape *tape = tape_of(port);
    if (tape->state < 0)
        return error_set(error, "%s", tape->error.text);
    if (tape->output && pcap_dump_flush(tape->output) < 0)
        return error_set(error, "the output cannot be written: is the disk full?");
    return 0;
}
