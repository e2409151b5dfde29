// SPDX-License-Identifier: MIT
//
// bench_receive CONFIG [off|on]: what an order takes the port's thread, from its frame's first byte
// to its command in the ring: the gateway's own loop_receive, batch by batch, in one thread, with
// the checks before trading off (no limit is set) and on (all are, out of reach). The frames were
// either written just before, as a kernel that copies leaves them, or all of a UMEM's one after the
// other, so that they come from where a NIC would have put them, the last cache. The variants run
// alternately, nine rounds, of which each gives its median batch. Prints rows; with a word it plays
// one round of that kind and prints how many orders it was, for callgrind.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/loop.h"
#include "tests/bench/measure.h"
#include "tests/bench/row.h"
#include "tests/unit/null_port.h"
#include "tests/unit/order_entry.h"

#define ROUNDS      9u
#define BATCHES     2048u  // of a round
#define FRAMES      32768u // of a UMEM, as many as the lab's
#define CLIENT_PORT 40000

struct block {
    be16 size;
    struct order_message message;
};

static struct gateway gateway;
static struct house_port house;
static struct lane lane;
static uint8_t (*frames)[PORT_FRAME_SIZE];
static uint32_t frames_used, next_frame; // so many in turn
static size_t frame_size;
static uint32_t last_ref;

static void die(const char *text)
{
    fprintf(stderr, "bench_receive: %s\n", text);
    exit(1);
}

// A port whose wire is memory: there is always a whole batch. What is sent goes nowhere.
static uint32_t memory_receive(struct port *port, uint64_t shards, struct frame *batch,
                               uint32_t max)
{
    (void)port;
    if (shards == 0)
        die("the shard has no room");
    for (uint32_t i = 0; i < max; i++)
        batch[i] = (struct frame){.data = frames[next_frame + i], .size = (uint32_t)frame_size};
    next_frame = (next_frame + max) % frames_used;
    return max;
}

static void memory_release(struct port *port, const struct frame *batch, uint32_t count)
{
    (void)port;
    (void)batch;
    (void)count;
}

static const struct port_operations operations = {.receive = memory_receive,
                                                  .release = memory_release,
                                                  .claim = null_claim,
                                                  .send = null_send,
                                                  .flush = null_flush};
static struct port port = {.operations = &operations};

static void write_frame(uint8_t *frame, const void *payload, size_t size)
{
    struct endpoint source = {
        .address = htonl(0x0A4D0002), .port = htons(CLIENT_PORT), .vlan = PACKET_NO_VLAN};
    memcpy(frame + packet_payload_offset(&source), payload, size);
    frame_size = packet_write_headers(frame, &source, &lane.entry.source, size);
}

// The next orders in all frames, as a client has them: only their numbers differ, and so the
// checksums.
static void write_orders(void)
{
    struct block block = {.size = be16_of(sizeof(block.message))};
    for (uint32_t i = 0; i < frames_used; i++) {
        block.message = order_message(++last_ref);
        write_frame(frames[i], &block, sizeof(block));
    }
}

static void log_in(void)
{
    struct {
        be16 size;
        struct ufo_login login;
    } block = {.size = be16_of(sizeof(block.login)),
               .login = login_message("LOAD0 ", "SECRET    ", "          ")};
    frames_used = PORT_BATCH;
    for (uint32_t i = 0; i < PORT_BATCH; i++)
        write_frame(frames[i], &block, sizeof(block));
    loop_receive(&house, 1);
    if (!lane.entry.sessions[0].bound)
        die("LOAD0 is not let in");
}

static void set_checks(bool on)
{
    entry_limit(&lane.entry, 0, LIMIT_QUANTITY, on ? 1000000 : 0);
    entry_limit(&lane.entry, 0, LIMIT_NOTIONAL, on ? 1ull << 62 : 0);
    for (uint8_t kind = LIMIT_NO_MARKET; kind <= LIMIT_NO_EXEMPT; kind++)
        entry_limit(&lane.entry, 0, kind, on);
}

// Nanoseconds for an order, in the median batch.
static double play_round(bool checked, bool far)
{
    static double costs[BATCHES];
    set_checks(checked);
    frames_used = far ? FRAMES : PORT_BATCH;
    next_frame = 0;
    for (uint32_t i = 0; i < BATCHES; i++) {
        if (next_frame == 0)
            write_orders();
        uint64_t start_ns = clock_ns(&gateway.clock);
        loop_receive(&house, start_ns);
        costs[i] = (double)(clock_ns(&gateway.clock) - start_ns) / PORT_BATCH;
        if (ring_readable(lane.commands, PORT_BATCH) != PORT_BATCH ||
            ((const struct command *)ring_read_slot(lane.commands, 0))->verdict != REJECT_NONE)
            die("not every order was taken");
        ring_release(lane.commands, PORT_BATCH);
    }
    qsort(costs, BATCHES, sizeof(costs[0]), compare_doubles);
    return costs[BATCHES / 2];
}

static void open_house(const char *path)
{
    struct error error;
    struct config *config = config_load(path, &error);
    if (!config)
        die(error.text);
    frames = memory_map((size_t)FRAMES * PORT_FRAME_SIZE);
    clock_calibrate(&gateway.clock, 50);
    if (lane_open_offline(&lane, 0, config, &error))
        die(error.text);
    house = (struct house_port){
        .gateway = &gateway, .place = &config->ports[0], .port = &port, .lane_count = 1};
    house.lanes[0] = &lane;
    lane_place(&lane, &port);
    if (lane_prime(&lane, clock_wall_ns(&gateway.clock), &error))
        die(error.text);
}

int main(int argc, char **argv)
{
    enum { NEAR, NEAR_CHECKED, FAR, FAR_CHECKED, VARIANTS };
    const uint64_t samples = (uint64_t)ROUNDS * BATCHES * PORT_BATCH;
    const struct row rows[VARIANTS] = {
        [NEAR] = {.name = "frame to command, checks off", .unit = "ns", .samples = samples},
        [NEAR_CHECKED] = {.name = "frame to command, checks on", .unit = "ns", .samples = samples},
        [FAR] = {.name = "frame in the last cache to command, checks off",
                 .unit = "ns",
                 .samples = samples},
        [FAR_CHECKED] = {.name = "frame in the last cache to command, checks on",
                         .unit = "ns",
                         .samples = samples},
    };
    double costs[VARIANTS][ROUNDS];
    if (argc < 2 || argc > 3)
        die("usage: bench_receive CONFIG [off|on]");
    open_house(argv[1]);
    log_in();
    if (argc == 3) {
        play_round(strcmp(argv[2], "on") == 0, false);
        printf("%u\n", BATCHES * PORT_BATCH);
        return 0;
    }
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t i = 0; i < VARIANTS; i++)
            costs[i][round] = play_round(i & 1, i >= FAR);
    for (uint32_t i = 0; i < VARIANTS; i++)
        row_print(&rows[i], costs[i], ROUNDS);
    return 0;
}
