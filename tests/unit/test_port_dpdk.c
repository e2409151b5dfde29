// SPDX-License-Identifier: MIT
//
// The DPDK port over net_pcap devices, whose packets are files: each test has a process, and so an
// EAL, of its own.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/port.h"

#define FRAME_COUNT   1024u
#define FILE_SIZE_MAX 4000u

static char folder[] = "/tmp/test_port_dpdk.XXXXXX";
static char in_path[64], out_path[64], device[192];
static pcap_t *format;
static pcap_dumper_t *recording;
static void *object; // sluice-dpdk.so

static const struct endpoint server = {.address = 0x01004D0A, .vlan = PACKET_NO_VLAN};

static void write_frame(const uint8_t *frame, uint32_t size)
{
    struct pcap_pkthdr header = {.caplen = size, .len = size};
    pcap_dump((u_char *)recording, &header, frame);
}

// A packet to a UDP port of the server's that says `number`.
static void write_packet(uint16_t port, uint32_t number, uint16_t vlan)
{
    uint8_t frame[PACKET_SIZE_MAX] = {0};
    struct endpoint client = {.address = 0x02004D0A, .port = htons(40000), .vlan = PACKET_NO_VLAN};
    struct endpoint to = server;
    to.port = htons(port);
    to.vlan = vlan;
    memcpy(frame + packet_payload_offset(&to), &number, sizeof(number));
    write_frame(frame, (uint32_t)packet_write_headers(frame, &client, &to, sizeof(number)));
}

static void begin_recording(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(in_path, sizeof(in_path), "%s/in.pcap", folder);
    snprintf(out_path, sizeof(out_path), "%s/out.pcap", folder);
    format = pcap_open_dead(DLT_EN10MB, FILE_SIZE_MAX);
    recording = pcap_dump_open(format, in_path);
    cr_assert_not_null(recording);
}

static void remove_recording(void)
{
    remove(in_path);
    remove(out_path);
    rmdir(folder);
}

static port_dpdk_open_fn *load(void)
{
    char program[PATH_MAX] = "", path[PATH_MAX + 32];
    cr_assert_gt(readlink("/proc/self/exe", program, sizeof(program) - 1), 0);
    snprintf(path, sizeof(path), "%s/../../sluice-dpdk.so", dirname(program));
    if (access(path, F_OK))
        cr_skip_test("sluice-dpdk.so was not built: libdpdk-dev is not here");
    object = dlopen(path, RTLD_NOW);
    cr_assert_not_null(object, "%s", dlerror());
    port_dpdk_open_fn *open_port;
    void *symbol = dlsym(object, "port_dpdk_open");
    memcpy(&open_port, &symbol, sizeof(open_port));
    return open_port;
}

// A port that the recording comes to: UDP port 26400 is shard 0's, 26500 and 26501 are shard 1's.
static struct port *open_port(void)
{
    const struct port_destination destinations[] = {
        {.address = server.address, .port = htons(26400), .shard = 0},
        {.address = server.address, .port = htons(26500), .shard = 1},
        {.address = server.address, .port = htons(26501), .shard = 1},
    };
    char arguments[][24] = {"--no-pci", "--no-huge", "--no-shconf", "-m", "64", "--no-telemetry"};
    char *eal[7];
    struct error error = {0};
    pcap_dump_close(recording);
    pcap_close(format);
    for (int i = 0; i < 6; i++)
        eal[i] = arguments[i];
    snprintf(device, sizeof(device), "--vdev=net_pcap0,rx_pcap=%s,tx_pcap=%s", in_path, out_path);
    eal[6] = device;
    struct port_dpdk_options options = {.device = "net_pcap0",
                                        .eal = eal,
                                        .eal_count = 7,
                                        .queue_count = 1,
                                        .frame_count = FRAME_COUNT,
                                        .node = ARENA_ANY_NODE,
                                        .destinations = destinations,
                                        .destination_count = 3};
    struct port *port = load()(&options, 2, &error);
    cr_assert_not_null(port, "%s", error.text);
    return port;
}

// Receive once of `shards`, and note the packets' numbers.
static uint32_t receive(struct port *port, uint64_t shards, uint32_t *numbers)
{
    struct frame frames[PORT_BATCH];
    uint32_t count = port->operations->receive(port, shards, frames, PORT_BATCH);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset = frames[i].data[12] == 0x81 ? 46 : 42;
        cr_assert_eq(frames[i].size, offset + 4);
        memcpy(&numbers[i], frames[i].data + offset, 4);
    }
    port->operations->release(port, frames, count);
    port->operations->flush(port); // the ledger is looked at
    return count;
}

TestSuite(port_dpdk, .init = begin_recording, .fini = remove_recording);

Test(port_dpdk, what_is_for_a_shard_without_room_waits_and_keeps_its_order)
{
    uint32_t numbers[PORT_BATCH];
    for (uint32_t i = 0; i < 30; i += 3) {
        write_packet(26400, i, PACKET_NO_VLAN);
        write_packet(26500, i + 1, PACKET_NO_VLAN);
        write_packet(26501, i + 2, 7);
    }
    struct port *port = open_port();
    cr_assert_eq(receive(port, 2, numbers), 20);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(numbers[i], i / 2 * 3 + 1 + i % 2);
    cr_assert_eq(receive(port, 2, numbers), 0);
    cr_assert_eq(receive(port, 3, numbers), 10);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(numbers[i], i * 3);
    cr_assert_eq(port->counters.received_packets, 30);
    port->operations->close(port);
}

Test(port_dpdk, a_shard_that_stays_behind_loses_what_does_not_fit_and_nobody_else_does)
{
    uint32_t numbers[PORT_BATCH], fits = FRAME_COUNT / 2 / 2, others = 0;
    for (uint32_t i = 0; i < fits + 100; i++) {
        write_packet(26400, i, PACKET_NO_VLAN);
        write_packet(26500, i, PACKET_NO_VLAN);
    }
    struct port *port = open_port();
    for (int i = 0; i < 100; i++)
        others += receive(port, 2, numbers);
    cr_assert_eq(others, fits + 100);
    port->operations->read_counters(port);
    cr_assert_eq(port->counters.rx_ring_full, 100);
    for (uint32_t next = 0; next < fits;) {
        uint32_t count = receive(port, 1, numbers);
        cr_assert_gt(count, 0);
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(numbers[i], next++);
    }
    cr_assert_eq(receive(port, 3, numbers), 0);
    port->operations->close(port);
}

Test(port_dpdk, while_no_shard_has_room_everything_stays_in_the_device)
{
    uint32_t numbers[PORT_BATCH];
    write_packet(26400, 1, PACKET_NO_VLAN);
    write_packet(9, 2, PACKET_NO_VLAN);
    struct port *port = open_port();
    cr_assert_eq(receive(port, 0, numbers), 0);
    port->operations->read_counters(port);
    cr_assert_eq(port->counters.received_packets, 0);
    cr_assert_eq(receive(port, 3, numbers), 2);
    port->operations->close(port);
}

Test(port_dpdk, what_is_nobodys_is_handed_out_to_be_counted)
{
    uint32_t numbers[PORT_BATCH];
    write_packet(9, 1, PACKET_NO_VLAN);
    write_packet(26400, 2, PACKET_NO_VLAN);
    struct port *port = open_port();
    cr_assert_eq(receive(port, 2, numbers), 1);
    cr_assert_eq(numbers[0], 1);
    port->operations->close(port); // with one that waits, which goes back to the pool
}

Test(port_dpdk, frames_cut_anywhere_are_handed_out_or_wait_without_a_fault)
{
    struct frame frames[PORT_BATCH];
    uint8_t frame[60] = {[12] = 8, [14] = 0x4F, [23] = 17};
    for (uint32_t size = 1; size <= sizeof(frame); size++)
        write_frame(frame, size);
    struct port *port = open_port();
    uint32_t count = port->operations->receive(port, 3, frames, PORT_BATCH);
    cr_assert_eq(count, sizeof(frame));
    port->operations->release(port, frames, count);
    port->operations->flush(port);
    port->operations->close(port);
}

Test(port_dpdk, a_packet_longer_than_a_frame_is_dropped_and_counted)
{
    static const uint8_t frame[3000] = {[12] = 8};
    uint32_t numbers[PORT_BATCH];
    write_frame(frame, sizeof(frame));
    write_packet(26400, 1, PACKET_NO_VLAN);
    struct port *port = open_port();
    cr_assert_eq(receive(port, 3, numbers), 1);
    port->operations->read_counters(port);
    cr_assert_eq(port->counters.rx_invalid, 1);
    port->operations->close(port);
}

Test(port_dpdk, what_is_claimed_is_the_same_until_it_is_sent_and_leaves_in_order)
{
    char why[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *header;
    const uint8_t *frame;
    struct port *port = open_port();
    for (uint32_t i = 0; i < 100; i++) {
        uint8_t *claimed = port->operations->claim(port);
        cr_assert_not_null(claimed);
        cr_assert_eq(claimed, port->operations->claim(port));
        memset(claimed, (int)i, 100 + i);
        port->operations->send(port, 100 + i);
        port->operations->flush(port);
    }
    cr_assert_not_null(port->operations->claim(port));
    port->operations->close(port);
    pcap_t *sent = pcap_open_offline(out_path, why);
    cr_assert_not_null(sent, "%s", why);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(pcap_next_ex(sent, &header, &frame), 1);
        cr_assert(header->len == 100 + i && frame[0] == i && frame[99 + i] == i);
    }
    cr_assert_eq(pcap_next_ex(sent, &header, &frame), PCAP_ERROR_BREAK);
    pcap_close(sent);
}

Test(port_dpdk, without_a_flush_an_eighth_of_the_frames_may_be_claimed_and_receiving_goes_on)
{
    uint32_t numbers[PORT_BATCH], claimed = 0;
    write_packet(26400, 1, PACKET_NO_VLAN);
    struct port *port = open_port();
    while (claimed < 2 * FRAME_COUNT && port->operations->claim(port)) {
        port->operations->send(port, 60);
        claimed++;
    }
    cr_assert_eq(claimed, FRAME_COUNT / 8);
    cr_assert_eq(port->counters.no_frame, 1);
    port->operations->flush(port);
    cr_assert_not_null(port->operations->claim(port));
    cr_assert_eq(receive(port, 1, numbers), 1);
    port->operations->close(port);
}

Test(port_dpdk, a_device_that_is_pulled_out_is_lost)
{
    enum { INTR_RMV = 6 }; // of rte_eth_event_type
    typedef int callback_fn(void *ethdev, int event, void *result);
    struct port *port = open_port();
    void *symbol = dlsym(object, "rte_eth_dev_callback_process"); // what its driver calls
    callback_fn *callback;
    memcpy(&callback, &symbol, sizeof(callback));
    cr_assert_eq(atomic_load(&port->lost), 0);
    callback(dlsym(object, "rte_eth_devices"), INTR_RMV, NULL);
    cr_assert_eq(atomic_load(&port->lost), ENODEV);
    port->operations->close(port);
}
