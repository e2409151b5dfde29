// SPDX-License-Identifier: MIT
//
// bench_reflector: the port by itself, and what asks it.
//
//     bench_reflector reflect IF interrupt|busy
//         sends each packet back with its Ethernet addresses swapped, as testpmd's macswap does,
//         until it is told to stop. Nothing is decoded.
//     bench_reflector ask IF SECONDS WINDOW
//         sends packets to 10.77.0.1:26400, WINDOW of them on their way at most, and prints
//         "packets/s p50_us lost" of those that came back.
//     bench_reflector trade IF SECONDS WINDOW
//         the same with orders of session LOAD0, one a packet, each cancelled by the one after it:
//         "messages/s p50_us lost" of those that were answered.
//     bench_reflector flood IF SECONDS
//         sends packets to an Ethernet address that nobody has, as fast as they go: "packets/s".
//
// Both ends of a veth pair in the lab's addresses; both use AF_XDP, so that what is compared is
// what stands at the other end and not this one.
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/load_client.h"
#include "dataplane/packet.h"
#include "dataplane/port.h"
#include "numa/clock.h"
#include "numa/histogram.h"
#include "numa/thread.h"
#include "xdp/loader.h"

#define FRAME_COUNT  8192u
#define PAYLOAD_SIZE 50u         // of an Enter Order
#define GIVE_UP_NS   20000000ull // a packet that is not back by then is lost
#define WARM_UP_NS   300000000ull
#define ORDERS_MAX   20000000u
#define ORDER_PORT   26400
#define CLIENT_PORT  40000

static const uint8_t gateway_mac[6] = {0x02, 0x00, 0x0a, 0x4d, 0x00, 0x01};

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

// A port on `interface` to which packets for `destination`:`udp_port` are steered.
struct end {
    struct arena memory;
    struct steer *steer;
    struct port *port;
    struct tsc_clock clock;
};

static void die(const char *text)
{
    fprintf(stderr, "bench_reflector: %s\n", text);
    exit(1);
}

static void open_end(struct end *end, const char *interface, bool busy_poll,
                     const char *destination, uint16_t udp_port)
{
    struct error error;
    const uint32_t queue = 0;
    struct port_xdp_options options = {.interface = interface,
                                       .queues = &queue,
                                       .queue_count = 1,
                                       .busy_poll = busy_poll,
                                       .frame_count = FRAME_COUNT};
    struct steer_options one = {.queue_count = 1, .shard_count = 1, .session_count = 1};
    clock_calibrate(&end->clock, 50);
    end->steer = steer_load(&one, &error);
    if (!end->steer || steer_attach(end->steer, interface, true, &error) ||
        arena_open(&end->memory, "frames", port_xdp_memory_size(FRAME_COUNT), ARENA_ANY_NODE, true,
                   &error))
        die(error.text);
    end->port = port_xdp_open(&options, 1, &end->memory, &error);
    if (!end->port ||
        steer_add_destination(end->steer, inet_addr(destination), htons(udp_port), 0, true,
                              &error) ||
        steer_add_socket(end->steer, 0, 0, port_xdp_socket(end->port, 0, 0), &error))
        die(error.text);
}

static void close_end(struct end *end)
{
    steer_close(end->steer);
    end->port->operations->close(end->port);
    arena_close(&end->memory);
}

static void bounce(struct port *port, const struct frame *frame)
{
    uint8_t *out = port->operations->claim(port);
    if (!out)
        return; // lost, and seen as such by who asked
    memcpy(out, frame->data + 6, 6);
    memcpy(out + 6, frame->data, 6);
    memcpy(out + 12, frame->data + 12, frame->size - 12);
    port->operations->send(port, frame->size);
}

static int reflect(const char *interface, bool busy_poll)
{
    struct end end;
    struct frame frames[PORT_BATCH];
    open_end(&end, interface, busy_poll, "10.77.0.1", ORDER_PORT);
    printf("ready\n");
    fflush(stdout);
    while (!stopped) {
        uint32_t count = end.port->operations->receive(end.port, 1, frames, PORT_BATCH);
        for (uint32_t i = 0; i < count; i++)
            bounce(end.port, &frames[i]);
        if (count > 0)
            end.port->operations->release(end.port, frames, count);
        end.port->operations->flush(end.port);
    }
    close_end(&end);
    return 0;
}

// What is counted while asking, from the end of the warm-up on.
struct tally {
    struct histogram latency;
    uint64_t begin_ns, end_ns, count, lost;
    bool measuring;
};

static void print_tally(const struct tally *tally)
{
    printf(
        "%.0f %.2f %llu\n", (double)tally->count * 1e9 / (double)(tally->end_ns - tally->begin_ns),
        (double)histogram_percentile(&tally->latency, 50) / 1000, (unsigned long long)tally->lost);
}

// Whether it is over: after the warm-up what was counted is forgotten.
static bool time_is_up(struct tally *tally, uint64_t now_ns)
{
    if (!tally->measuring && now_ns >= tally->begin_ns) {
        tally->measuring = true;
        tally->count = tally->lost = 0;
        tally->begin_ns = now_ns;
        histogram_reset(&tally->latency);
    }
    return now_ns >= tally->end_ns;
}

static void begin_tally(struct tally *tally, uint64_t now_ns, double seconds)
{
    memset(tally, 0, sizeof(*tally));
    histogram_reset(&tally->latency);
    tally->begin_ns = now_ns + WARM_UP_NS;
    tally->end_ns = tally->begin_ns + (uint64_t)(seconds * 1e9);
}

struct endpoints {
    struct endpoint client, gateway;
};

static void find_endpoints(const struct end *end, struct endpoints *endpoints)
{
    endpoints->client = (struct endpoint){
        .address = inet_addr("10.77.0.2"), .port = htons(CLIENT_PORT), .vlan = PACKET_NO_VLAN};
    endpoints->gateway = (struct endpoint){
        .address = inet_addr("10.77.0.1"), .port = htons(ORDER_PORT), .vlan = PACKET_NO_VLAN};
    memcpy(endpoints->client.mac, end->port->mac, 6);
    memcpy(endpoints->gateway.mac, gateway_mac, 6);
}

static bool send_packet(struct end *end, const struct endpoints *endpoints, const void *payload,
                        size_t size)
{
    uint8_t *frame = end->port->operations->claim(end->port);
    if (!frame)
        return false;
    memcpy(frame + packet_payload_offset(&endpoints->gateway), payload, size);
    end->port->operations->send(
        end->port, packet_write_headers(frame, &endpoints->client, &endpoints->gateway, size));
    return true;
}

static int ask(const char *interface, double seconds, uint32_t window)
{
    struct end end;
    struct endpoints endpoints;
    struct frame frames[PORT_BATCH];
    static struct tally tally;
    uint8_t payload[PAYLOAD_SIZE] = {0};
    open_end(&end, interface, false, "10.77.0.1", ORDER_PORT);
    find_endpoints(&end, &endpoints);
    uint64_t now_ns = clock_ns(&end.clock), heard_ns = now_ns;
    uint32_t out = 0;
    begin_tally(&tally, now_ns, seconds);
    while (!time_is_up(&tally, now_ns = clock_ns(&end.clock))) {
        memcpy(payload, &now_ns, sizeof(now_ns));
        for (uint32_t i = 0; i < PORT_BATCH / 2 && out < window; i++)
            out += send_packet(&end, &endpoints, payload, sizeof(payload));
        end.port->operations->flush(end.port);
        uint32_t count = end.port->operations->receive(end.port, 1, frames, PORT_BATCH);
        now_ns = clock_ns(&end.clock);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t sent_ns;
            memcpy(&sent_ns, frames[i].data + 42, sizeof(sent_ns));
            histogram_record(&tally.latency, now_ns - sent_ns);
        }
        if (count > 0) {
            end.port->operations->release(end.port, frames, count);
            heard_ns = now_ns;
        }
        tally.count += count;
        out -= count < out ? count : out;
        if (out > 0 && now_ns - heard_ns > GIVE_UP_NS) {
            tally.lost += out;
            out = 0;
            heard_ns = now_ns;
        }
    }
    print_tally(&tally);
    close_end(&end);
    return 0;
}

static int flood(const char *interface, double seconds)
{
    struct end end;
    struct endpoints endpoints;
    static struct tally tally;
    const uint8_t payload[PAYLOAD_SIZE] = {0};
    open_end(&end, interface, false, "10.77.0.1", ORDER_PORT);
    find_endpoints(&end, &endpoints);
    endpoints.gateway.mac[5]++;
    begin_tally(&tally, clock_ns(&end.clock), seconds);
    while (!time_is_up(&tally, clock_ns(&end.clock))) {
        for (uint32_t i = 0; i < PORT_BATCH; i++)
            tally.count += send_packet(&end, &endpoints, payload, sizeof(payload));
        end.port->operations->flush(end.port);
    }
    print_tally(&tally);
    close_end(&end);
    return 0;
}

// The session, its packets and its orders.
struct trader {
    struct end end;
    struct endpoints endpoints;
    struct load_client client;
    struct histogram latency;
    uint32_t ref; // of the order that is next entered, or cancelled
    bool cancels; // next
};

static void receive_answers(struct trader *trader)
{
    struct end *end = &trader->end;
    struct frame frames[PORT_BATCH];
    uint32_t count = end->port->operations->receive(end->port, 1, frames, PORT_BATCH);
    uint64_t now_ns = clock_ns(&end->clock);
    for (uint32_t i = 0; i < count; i++)
        load_client_receive(&trader->client, frames[i].data + 42, frames[i].size - 42, now_ns);
    if (count > 0)
        end->port->operations->release(end->port, frames, count);
}

static void send_control(struct trader *trader)
{
    uint8_t control[UFO_PAYLOAD_MAX];
    size_t size;
    while ((size = load_client_poll(&trader->client, clock_ns(&trader->end.clock), control)) > 0)
        send_packet(&trader->end, &trader->endpoints, control, size);
    trader->end.port->operations->flush(trader->end.port);
}

static void send_message(struct trader *trader, uint64_t now_ns)
{
    const struct load_step enter = {.kind = LOAD_ENTER,
                                    .ref = trader->ref,
                                    .side = SIDE_BUY,
                                    .quantity = 100,
                                    .price = 500000,
                                    .time_in_force = LOAD_TIF_DAY};
    const struct load_step cancel = {.kind = LOAD_CANCEL, .ref = trader->ref};
    load_client_send(&trader->client, trader->cancels ? &cancel : &enter, "ACME    ", now_ns);
    trader->ref += trader->cancels;
    trader->cancels = !trader->cancels;
    uint32_t count;
    const struct load_datagram *datagram = load_client_waiting(&trader->client, &count);
    send_packet(&trader->end, &trader->endpoints, datagram->bytes, datagram->size);
    load_client_sent(&trader->client, 1, now_ns);
}

static int trade(const char *interface, double seconds, uint32_t window)
{
    static struct trader trader;
    static struct tally tally;
    struct error error;
    struct load_client_options options = {.user_name = "LOAD0",
                                          .password = "SECRET",
                                          .ref_count = ORDERS_MAX,
                                          .cancel_count = ORDERS_MAX,
                                          .latency = &tally.latency};
    open_end(&trader.end, interface, false, "10.77.0.2", CLIENT_PORT);
    find_endpoints(&trader.end, &trader.endpoints);
    if (load_client_open(&trader.client, &options, &error))
        die(error.text);
    uint64_t now_ns = clock_ns(&trader.end.clock), give_up_ns = now_ns + 5000000000ull;
    while (trader.client.state != LOAD_READY && now_ns < give_up_ns) {
        send_control(&trader);
        receive_answers(&trader);
        now_ns = clock_ns(&trader.end.clock);
    }
    if (trader.client.state != LOAD_READY)
        die("the gateway does not let LOAD0 in");
    trader.ref = 1;
    uint64_t sent = 0, answered = trader.client.answered, heard_ns = now_ns, control_ns = now_ns;
    const uint64_t before = answered;
    begin_tally(&tally, now_ns, seconds);
    while (!time_is_up(&tally, now_ns = clock_ns(&trader.end.clock))) {
        uint64_t out = sent - (trader.client.answered - before) - tally.lost;
        for (uint32_t i = 0; i < PORT_BATCH / 2 && out < window && trader.ref + 1 < ORDERS_MAX;
             i++) {
            send_message(&trader, now_ns);
            sent++;
            out++;
        }
        trader.end.port->operations->flush(trader.end.port);
        receive_answers(&trader);
        if (trader.client.answered != answered)
            heard_ns = now_ns;
        tally.count += trader.client.answered - answered;
        answered = trader.client.answered;
        if (now_ns - control_ns > 50000000ull) {
            send_control(&trader);
            control_ns = now_ns;
        }
        if (out > 0 && now_ns - heard_ns > 1000000000ull)
            die("answers have stopped");
    }
    print_tally(&tally);
    close_end(&trader.end);
    load_client_close(&trader.client);
    return 0;
}

int main(int argc, char **argv)
{
    struct error error;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (thread_go_first(true, &error))
        die(error.text);
    if (argc == 4 && strcmp(argv[1], "reflect") == 0)
        return reflect(argv[2], strcmp(argv[3], "busy") == 0);
    if (argc == 5 && strcmp(argv[1], "ask") == 0)
        return ask(argv[2], atof(argv[3]), (uint32_t)atoi(argv[4]));
    if (argc == 5 && strcmp(argv[1], "trade") == 0)
        return trade(argv[2], atof(argv[3]), (uint32_t)atoi(argv[4]));
    if (argc == 4 && strcmp(argv[1], "flood") == 0)
        return flood(argv[2], atof(argv[3]));
    die("usage: reflect IF interrupt|busy, ask|trade IF SECONDS WINDOW, or flood IF SECONDS");
    return 2;
}
