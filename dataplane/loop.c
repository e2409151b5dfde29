// SPDX-License-Identifier: MIT
#include "dataplane/loop.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "numa/invariant.h"
#include "numa/probe.h"
#include "numa/sandbox.h"
#include "numa/thread.h"

#define TICK_NS            50000000ull // heartbeats and time-outs are looked at this often
#define SPIN_NS            100000ull   // how long an adaptive loop looks before it sleeps
#define LOOK_AGAIN_NS      100000 // … with a port that nothing tells of: so much later may it be seen
#define NIC_CLOCK_APART_NS 1000000000ull
#define FETCH_AHEAD        4u // packets

static int lane_of_destination(void *context, uint32_t address, uint16_t port)
{
    const struct house_port *house = context;
    if (address != house->place->address)
        return -1;
    for (uint32_t i = 0; i < house->lane_count; i++) {
        const struct config_shard *place = house->lanes[i]->place;
        bool request = place->request_port && port == htons(place->request_port);
        if (request || port == htons(place->udp_port))
            return (int)i;
    }
    return -1;
}

// The NIC's clock is believed to be on the host's when it is this near.
static bool same_clock(const struct frame *frame)
{
    return frame->hardware_ns != 0 && frame->hardware_ns <= frame->kernel_ns &&
           frame->kernel_ns - frame->hardware_ns < NIC_CLOCK_APART_NS;
}

// The first points of the packet that is watched, and a mark for those behind the port.
static void begin_transit(struct house_port *house, struct lane *lane, const struct frame *frame)
{
    struct port_watch *watch = &house->port->watch;
    uint64_t now_ns = clock_ns(&house->gateway->clock);
    watch->at[TRANSIT_PORT] = watch->received_ns = now_ns;
    watch->tai_ahead_ns = clock_tai_ns() - now_ns;
    if (frame->kernel_ns)
        watch->at[TRANSIT_XDP] = frame->kernel_ns - watch->tai_ahead_ns;
    if (same_clock(frame))
        watch->at[TRANSIT_WIRE] = frame->hardware_ns - watch->tai_ahead_ns;
    lane_time_next(lane);
}

// Watch the packet whose first command will be `seq`, if none is watched: whether it is.
static bool begin_watch(struct house_port *house, struct lane *lane, uint64_t seq,
                        const struct frame *frame, uint64_t now_ns)
{
    struct port *port = house->port;
    if (port->watch.of)
        return false;
    port->watch = (struct port_watch){.of = &lane->entry,
                                      .awaited_seq = seq,
                                      .received_ns = now_ns,
                                      .stamps = PORT_STAMPS_SOFTWARE};
    if (house->transit)
        begin_transit(house, lane, frame);
    if (!port->stamps_sent)
        return true;
    if (port->stamps_by_nic && frame->hardware_ns) {
        port->watch.stamps = PORT_STAMPS_HARDWARE;
        port->watch.received_ns = frame->hardware_ns;
    } else if (!port->stamps_by_nic && frame->kernel_ns) {
        port->watch.stamps = PORT_STAMPS_KERNEL;
        port->watch.received_ns = frame->kernel_ns;
    }
    return true;
}

// The stages of the packet that is watched, whose answer has left.
static void end_transit(struct house_port *house)
{
    struct port_watch *watch = &house->port->watch;
    bool by_house = watch->stamps == PORT_STAMPS_SOFTWARE;
    if (by_house)
        watch->at[TRANSIT_LEFT] = watch->sent_ns;
    else if (watch->stamps == PORT_STAMPS_KERNEL || watch->at[TRANSIT_WIRE])
        watch->at[TRANSIT_LEFT] = watch->sent_ns - watch->tai_ahead_ns;
    transit_record(house->transit, watch->at);
}

// After a flush: whether the answer has left, and when.
static void end_watch(struct house_port *house)
{
    struct port_watch *watch = &house->port->watch;
    if (watch->left && watch->stamps == PORT_STAMPS_SOFTWARE)
        watch->sent_ns = clock_ns(&house->gateway->clock);
    if (watch->sent_ns > watch->received_ns) {
        histogram_record(&house->turnaround[watch->stamps], watch->sent_ns - watch->received_ns);
        if (watch->at[TRANSIT_PASSED])
            end_transit(house);
    }
    if (watch->sent_ns != 0 || (watch->unanswered && !watch->left))
        watch->of = NULL;
}

static void take_packet(struct house_port *house, const struct frame *frame, uint64_t now_ns,
                        uint64_t time_ns)
{
    struct packet packet;
    uint32_t index;
    enum steer_verdict verdict =
        packet_parse(frame->data, frame->size, lane_of_destination, house, &packet, &index);
    house->verdicts[verdict]++;
    if (verdict != STEER_REDIRECT)
        return;
    struct lane *lane = house->lanes[index];
    uint64_t seq = lane_commanded(lane) + 1;
    PROBE(rx, lane->index, seq, seq);
    // Before it is received: the shard takes it at once.
    bool watched = begin_watch(house, lane, seq, frame, now_ns);
    uint32_t count = lane_receive(lane, &packet, now_ns, time_ns);
    if (count == 0) {
        if (watched)
            house->port->watch.of = NULL;
        return;
    }
    PROBE(command, lane->index, seq, seq + count - 1);
    if (lane->shard_bell)
        bell_ring(lane->shard_bell);
}

// Commands of a batch of datagrams, each as full as can be.
#define BATCH_COMMANDS (PORT_BATCH * ENTRY_COMMANDS_MAX)

static_assert(BATCH_COMMANDS <= LANE_COMMAND_RING_SLOTS / 4 * 3,
              "there is room for a batch while the shard is not far behind");

// A lane whose shard is behind leaves its packets in its socket, where there is room for half of
// the port's frames, instead of having them dropped for want of a slot in the command ring.
static uint64_t lanes_with_room(const struct house_port *house)
{
    uint64_t shards = 0;
    for (uint32_t i = 0; i < house->lane_count; i++)
        if (ring_writable(house->lanes[i]->commands, BATCH_COMMANDS) >= BATCH_COMMANDS)
            shards |= 1ull << i;
    return shards;
}

// Until they are let in, and at the end, the program drops packets; a port without one leaves them
// where they are.
static bool lets_in(const struct house_port *house)
{
    return house->interface || !atomic_load_explicit(&house->gateway->closed, memory_order_relaxed);
}

// Headers and an order, on their way from the last cache while those before them are read: a tenth
// less for each (bench_receive).
static void fetch(const struct frame *frame)
{
    __builtin_prefetch(frame->data);
    __builtin_prefetch(frame->data + 64);
}

uint32_t loop_receive(struct house_port *house, uint64_t now_ns)
{
    const struct port_operations *operations = house->port->operations;
    struct frame frames[PORT_BATCH];
    uint64_t shards = lets_in(house) ? lanes_with_room(house) : 0;
    uint32_t count = operations->receive(house->port, shards, frames, PORT_BATCH);
    if (count == 0)
        return 0;
    uint64_t time_ns = clock_wall_ns(&house->gateway->clock);
    port_show_received(house->port, frames, count, time_ns);
    for (uint32_t i = 0; i < count; i++) {
        if (i + FETCH_AHEAD < count)
            fetch(&frames[i + FETCH_AHEAD]);
        take_packet(house, &frames[i], now_ns, time_ns);
    }
    operations->release(house->port, frames, count);
    return count;
}

static struct house_times times_of(const struct histogram *histogram)
{
    return (struct house_times){.count = histogram->total_count,
                                .mean_ns = (uint64_t)(histogram_mean(histogram) + 0.5),
                                .p50_ns = histogram_percentile(histogram, 50),
                                .p90_ns = histogram_percentile(histogram, 90),
                                .p99_ns = histogram_percentile(histogram, 99),
                                .max_ns = histogram->max};
}

void loop_snapshot(struct house_port *house)
{
    house->port->operations->read_counters(house->port);
    house->snapshot.packets = house->port->counters;
    memcpy(house->snapshot.verdicts, house->verdicts, sizeof(house->verdicts));
    for (uint32_t i = 0; i < PORT_STAMPS_COUNT; i++)
        house->snapshot.turnaround[i] = times_of(&house->turnaround[i]);
    for (uint32_t i = 0; house->transit && i < TRANSIT_STAGES; i++)
        house->snapshot.stages[i] = times_of(&house->transit->stages[i]);
    for (uint32_t i = 0; i < house->lane_count; i++) {
        struct lane *lane = house->lanes[i];
        lane->snapshot = (struct lane_snapshot){
            .entry = lane->entry.counters, .feed = lane->feed, .released = lane->gate.released};
    }
}

static void serve_snapshot(struct house_port *house)
{
    // Acquire pairs with the release in gateway_snapshot: the last snapshot has been read.
    uint32_t wanted = atomic_load_explicit(&house->snapshot_wanted, memory_order_acquire);
    if (wanted == atomic_load_explicit(&house->snapshot_taken, memory_order_relaxed))
        return;
    loop_snapshot(house);
    // Release pairs with the acquire in gateway_snapshot.
    atomic_store_explicit(&house->snapshot_taken, wanted, memory_order_release);
}

// The way back: from the gate to the wire.
static uint32_t port_transmit(struct house_port *house, uint64_t now_ns)
{
    uint32_t count = 0;
    bool tick = now_ns - house->ticked_ns >= TICK_NS;
    for (uint32_t i = 0; i < house->lane_count; i++) {
        if (unlikely(lane_orders_given(house->lanes[i])))
            count += lane_take_orders(house->lanes[i], clock_wall_ns(&house->gateway->clock));
        if (unlikely(logins_answered(&house->lanes[i]->logins)))
            count +=
                lane_take_logins(house->lanes[i], now_ns, clock_wall_ns(&house->gateway->clock));
        count += lane_release(house->lanes[i], now_ns);
        if (tick)
            lane_tick(house->lanes[i], now_ns, clock_wall_ns(&house->gateway->clock));
    }
    if (tick) {
        house->ticked_ns = now_ns;
        serve_snapshot(house);
    }
    struct port_watch *watch = &house->port->watch;
    if (unlikely(house->transit && watch->left && watch->at[TRANSIT_HANDED] == 0))
        watch->at[TRANSIT_HANDED] = clock_ns(&house->gateway->clock);
    house->port->operations->flush(house->port);
    if (watch->of)
        end_watch(house);
    return count;
}

// One receive may bring many more commands than a batch (a datagram holds up to thirty orders): the
// shard catches up before the port receives again, so that their ring does not fill in between.
static uint32_t poll_shard(struct lane *lane)
{
    uint32_t work = 0, count;
    do {
        count = shard_poll(&lane->shard);
        work += count;
    } while (count > 0 && work < LANE_COMMAND_RING_SLOTS);
    return work;
}

static uint32_t loop_poll(struct loop *loop)
{
    uint32_t work = 0;
    loop->now_ns = clock_ns(&loop->gateway->clock);
    for (uint32_t i = 0; i < loop->port_count; i++)
        work += loop_receive(loop->ports[i], loop->now_ns);
    for (uint32_t i = 0; i < loop->shard_count; i++)
        work += poll_shard(loop->shards[i]);
    for (uint32_t i = 0; i < loop->port_count; i++)
        work += port_transmit(loop->ports[i], loop->now_ns);
    uint64_t round = atomic_load_explicit(&loop->rounds, memory_order_relaxed) + 1;
    if (work > 0)
        atomic_store_explicit(&loop->worked, round, memory_order_relaxed);
    // Release pairs with the acquire in quiet: the round's work is visible before its number.
    atomic_store_explicit(&loop->rounds, round, memory_order_release);
    return work;
}

static void loop_sleep(struct loop *loop)
{
    struct pollfd fds[CONFIG_PORTS_MAX * PORT_POLL_FDS_MAX + 1];
    nfds_t count = 1;
    struct timespec longest = {.tv_nsec = LOOP_SLEEP_MS * 1000000};
    fds[0] = (struct pollfd){.fd = loop->bell.event_fd, .events = POLLIN};
    for (uint32_t i = 0; i < loop->port_count; i++) {
        struct port *port = loop->ports[i]->port;
        int found = port->operations->poll_fds(port, fds + count);
        count += (nfds_t)found;
        if (found == 0)
            longest.tv_nsec = LOOK_AGAIN_NS;
    }
    ppoll(fds, count, &longest, NULL);
}

void *loop_main(void *argument)
{
    struct loop *loop = argument;
    struct error error;
    if (!loop->spin && thread_go_first(true, &error))
        warn("%s", error.text);
    sandbox_thread(SANDBOX_LOOP);
    uint64_t busy_ns = clock_ns(&loop->gateway->clock);
    while (!atomic_load_explicit(&loop->gateway->stop, memory_order_relaxed)) {
        if (loop_poll(loop) > 0) {
            busy_ns = clock_ns(&loop->gateway->clock);
            continue;
        }
        if (loop->spin || clock_ns(&loop->gateway->clock) - busy_ns < SPIN_NS)
            continue;
        bell_doze(&loop->bell);
        if (loop_poll(loop) == 0)
            loop_sleep(loop);
        bell_wake(&loop->bell);
    }
    return NULL;
}

void loop_relieve_same(void *context)
{
    struct loop *loop = context;
    loop->now_ns = clock_ns(&loop->gateway->clock);
    for (uint32_t i = 0; i < loop->port_count; i++)
        port_transmit(loop->ports[i], loop->now_ns);
}

void loop_relieve_other(void *context)
{
    (void)context;
    sched_yield();
}
