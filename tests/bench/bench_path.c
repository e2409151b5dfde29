// SPDX-License-Identifier: MIT
//
// bench_path CONFIG [ORDERS]: what the gateway makes of a packet, without wire and disk: parse,
// session, decode, match, gate, encode, in one thread, of orders of LOAD0 to ACME that are entered
// and cancelled in turn, one a packet. Prints "p50_ns p99_ns" of the time from a packet's arrival
// to its answer's being ready to leave, the feed's packet included.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/lane.h"
#include "dataplane/load_client.h"
#include "numa/histogram.h"

#define ORDERS      500000 // when none are said
#define CLIENT_PORT 40000
#define WARM_UP     10000u // orders

// A port whose wire is memory: the last packet to the client is kept, the feed's are dropped.
static uint8_t sending[PACKET_SIZE_MAX], sent[PACKET_SIZE_MAX];
static size_t sent_size;

static uint8_t *memory_claim(struct port *port)
{
    (void)port;
    return sending;
}

static void memory_send(struct port *port, size_t size)
{
    uint16_t destination;
    (void)port;
    memcpy(&destination, sending + 36, sizeof(destination));
    if (destination != htons(CLIENT_PORT))
        return;
    memcpy(sent, sending, size);
    sent_size = size;
}

static void memory_flush(struct port *port)
{
    (void)port;
}

static const struct port_operations operations = {
    .claim = memory_claim, .send = memory_send, .flush = memory_flush};

static struct tsc_clock house_clock;
static struct lane lane;
static struct load_client client;
static struct histogram latency, path;

static void die(const char *text)
{
    fprintf(stderr, "bench_path: %s\n", text);
    exit(1);
}

static int to_lane(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    return address == lane.entry.source.address && port == lane.entry.source.port ? 0 : -1;
}

// A packet through the lane and back: how long it took, ns.
static uint64_t pass(const uint8_t *payload, size_t size)
{
    uint8_t frame[PACKET_SIZE_MAX];
    struct endpoint source = {
        .address = htonl(0x0a4d0002), .port = htons(CLIENT_PORT), .vlan = PACKET_NO_VLAN};
    struct endpoint destination = lane.entry.source;
    memcpy(frame + packet_payload_offset(&destination), payload, size);
    size_t frame_size = packet_write_headers(frame, &source, &destination, size);
    struct packet packet;
    uint32_t index;
    uint64_t began_ns = clock_ns(&house_clock), time_ns = clock_wall_ns(&house_clock);
    if (packet_parse(frame, frame_size, to_lane, NULL, &packet, &index) != STEER_REDIRECT)
        die("a packet is not the lane's");
    lane_receive(&lane, &packet, began_ns, time_ns);
    lane_pump(&lane, began_ns);
    uint64_t took_ns = clock_ns(&house_clock) - began_ns;
    if (sent_size > 0)
        load_client_receive(&client, sent + 42, sent_size - 42, clock_ns(&house_clock));
    sent_size = 0;
    return took_ns;
}

static void log_in(void)
{
    uint8_t control[UFO_PAYLOAD_MAX];
    for (int i = 0; i < 100 && client.state != LOAD_READY; i++) {
        size_t size = load_client_poll(&client, clock_ns(&house_clock), control);
        if (size > 0)
            pass(control, size);
    }
    if (client.state != LOAD_READY)
        die("LOAD0 is not let in");
}

static void trade(uint32_t ref, bool cancels)
{
    struct load_step step = {.kind = cancels ? LOAD_CANCEL : LOAD_ENTER,
                             .ref = ref,
                             .side = SIDE_BUY,
                             .quantity = cancels ? 0 : 100,
                             .price = cancels ? 0 : 500000 - ref % 64 * 100,
                             .time_in_force = LOAD_TIF_DAY};
    uint32_t count;
    load_client_send(&client, &step, "ACME    ", clock_ns(&house_clock));
    const struct load_datagram *datagram = load_client_waiting(&client, &count);
    uint64_t took_ns = pass(datagram->bytes, datagram->size);
    load_client_sent(&client, 1, clock_ns(&house_clock));
    if (ref > WARM_UP)
        histogram_record(&path, took_ns);
}

int main(int argc, char **argv)
{
    struct error error;
    struct port port = {.operations = &operations};
    uint32_t orders = (uint32_t)(argc == 3 ? atoi(argv[2]) : ORDERS);
    struct load_client_options options = {.user_name = "LOAD0",
                                          .password = "SECRET",
                                          .ref_count = orders,
                                          .cancel_count = orders,
                                          .latency = &latency};
    bool good = (argc == 2 || argc == 3) && orders > 0;
    struct config *config = good ? config_load(argv[1], &error) : NULL;
    if (!config)
        die(good ? error.text : "usage: bench_path CONFIG [ORDERS]");
    clock_calibrate(&house_clock, 50);
    histogram_reset(&latency);
    histogram_reset(&path);
    if (load_client_open(&client, &options, &error) || lane_open_offline(&lane, 0, config, &error))
        die(error.text);
    lane_place(&lane, &port);
    if (lane_prime(&lane, clock_wall_ns(&house_clock), &error))
        die(error.text);
    log_in();
    for (uint32_t ref = 1; ref <= orders; ref++) {
        trade(ref, false);
        trade(ref, true);
    }
    if (client.answered < 2 * orders)
        die("not every message was answered");
    printf("%llu %llu\n", (unsigned long long)histogram_percentile(&path, 50),
           (unsigned long long)histogram_percentile(&path, 99));
    lane_close(&lane);
    load_client_close(&client);
    config_free(config);
    return 0;
}
