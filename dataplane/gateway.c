// SPDX-License-Identifier: MIT
#include "dataplane/gateway.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/loop.h"
#include "dataplane/nic.h"
#include "dataplane/plan.h"
#include "numa/invariant.h"
#include "numa/memlock.h"
#include "numa/pool.h"
#include "numa/sandbox.h"
#include "numa/thread.h"

#define DRAIN_MS           10000
#define ORDERS_WAIT_NS     20000ull // between looks at whether an operator's orders are done
#define ORDERS_PATIENCE_NS 10000000000ull
#define TAP_FOLDER         "/dev/shm"

// --- Opening

static struct loop *loop_on(struct gateway *gateway, int core, bool spin)
{
    for (uint32_t i = 0; i < gateway->loop_count; i++)
        if (core != THREAD_ANY_CORE && gateway->loops[i].core == core)
            return &gateway->loops[i];
    struct loop *loop = &gateway->loops[gateway->loop_count++];
    loop->gateway = gateway;
    loop->core = core;
    loop->spin = spin;
    return loop;
}

static void plan_loops(struct gateway *gateway)
{
    struct loop *port_loops[CONFIG_PORTS_MAX];
    for (uint32_t i = 0; i < gateway->config->port_count; i++) {
        struct house_port *house = &gateway->ports[i];
        port_loops[i] = loop_on(gateway, house->place->core, house->place->spin);
        port_loops[i]->ports[port_loops[i]->port_count++] = house;
    }
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        struct lane *lane = gateway->lanes[i];
        struct loop *port_loop = port_loops[lane->place->port];
        struct loop *loop = loop_on(gateway, lane->place->core, port_loop->spin);
        loop->shards[loop->shard_count++] = lane;
        bool same = loop == port_loop;
        lane->port_bell = &port_loop->bell;
        lane->logins.port_bell = &port_loop->bell;
        lane->shard_bell = same ? NULL : &loop->bell;
        lane->shard.port_bell = same ? NULL : &port_loop->bell;
        lane->shard.relieve = same ? loop_relieve_same : loop_relieve_other;
        lane->shard.relieve_context = loop;
    }
}

static struct house_interface *interface_of(struct gateway *gateway, const char *name)
{
    for (uint32_t i = 0; i < gateway->interface_count; i++)
        if (strcmp(gateway->interfaces[i].name, name) == 0)
            return &gateway->interfaces[i];
    struct house_interface *interface = &gateway->interfaces[gateway->interface_count++];
    interface->name = name;
    return interface;
}

static int assign_port(struct gateway *gateway, uint32_t index, struct error *error)
{
    struct house_port *house = &gateway->ports[index];
    const struct config *config = gateway->config;
    house->gateway = gateway;
    house->place = &config->ports[index];
    for (uint32_t i = 0; i < PORT_STAMPS_COUNT; i++)
        histogram_reset(&house->turnaround[i]);
    if (house->place->type == CONFIG_PORT_XDP)
        house->interface = interface_of(gateway, house->place->interface);
    for (uint32_t i = 0; i < config->shard_count; i++) {
        if (config->shards[i].port != index)
            continue;
        house->lanes[house->lane_count++] = gateway->lanes[i];
        if (house->interface)
            house->interface->lanes[house->interface->lane_count++] = gateway->lanes[i];
    }
    if (house->interface)
        house->interface->stamps |= house->place->stamps;
    for (uint32_t i = 0; house->interface && i < house->place->queue_count; i++)
        if (house->interface->row_count <= house->place->queues[i])
            house->interface->row_count = house->place->queues[i] + 1;
    if (house->lane_count == 0)
        return error_set(error, "port %u (%s) serves no shard: give it one or remove it", index,
                         house->place->interface);
    return 0;
}

// The program knows the lanes of an interface by their places in its list.
static int attach_program(struct gateway *gateway, struct house_interface *interface,
                          struct error *error)
{
    const struct config *config = gateway->config;
    const struct steer_options options = {
        .queue_count = interface->row_count,
        .shard_count = interface->lane_count,
        .session_count = config->session_count,
        .stamped_interface = interface->stamps ? interface->name : NULL,
        .login = {config->login_rate, config->login_burst},
        .session = {config->session_rate, config->session_burst},
        .request = {config->request_rate, config->request_burst},
        .pin_mac = config->pin_mac,
    };
    interface->steer = steer_load(&options, error);
    if (!interface->steer || steer_attach(interface->steer, interface->name, true, error))
        return -1;
    for (uint32_t i = 0; i < interface->lane_count; i++) {
        const struct config_shard *place = interface->lanes[i]->place;
        uint32_t address = config->ports[place->port].address;
        if (steer_add_destination(interface->steer, address, htons(place->udp_port), i, false,
                                  error))
            return -1;
        if (place->request_port &&
            steer_add_destination(interface->steer, address, htons(place->request_port), i, true,
                                  error))
            return -1;
    }
    return 0;
}

static uint32_t place_on(const struct house_interface *interface, const struct lane *lane)
{
    uint32_t i = 0;
    while (interface->lanes[i] != lane)
        i++;
    return i;
}

static int open_port_xdp(struct house_port *house, struct error *error)
{
    const struct config_port *place = house->place;
    if (arena_open(&house->memory, "packet frames", port_xdp_memory_size(place->frame_count),
                   place->node, true, error))
        return -1;
    struct port_xdp_options options = {.interface = place->interface,
                                       .queues = place->queues,
                                       .queue_count = place->queue_count,
                                       .zerocopy = place->mode == CONFIG_MODE_ZEROCOPY,
                                       .busy_poll = place->busy_poll,
                                       .stamps = place->stamps,
                                       .frame_count = place->frame_count};
    if (place->mode == CONFIG_MODE_AUTO)
        options.zerocopy = nic_zerocopy_here(place->interface);
    arena_prefer_node(place->node); // the rings, which the kernel allocates
    house->port = port_xdp_open(&options, house->lane_count, &house->memory, error);
    arena_prefer_node(ARENA_ANY_NODE);
    if (!house->port)
        return -1;
    const struct house_interface *interface = house->interface;
    for (uint32_t i = 0; i < house->lane_count; i++)
        port_xdp_guard(house->port, i, htons(house->lanes[i]->place->udp_port),
                       steer_bound(interface->steer, place_on(interface, house->lanes[i])));
    return 0;
}

static uint32_t list_destinations(const struct house_port *house,
                                  struct port_destination *destinations)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < house->lane_count; i++) {
        const struct config_shard *place = house->lanes[i]->place;
        const uint16_t ports[2] = {place->udp_port, place->request_port};
        for (uint32_t j = 0; j < 2 && ports[j]; j++)
            destinations[count++] =
                (struct port_destination){house->place->address, htons(ports[j]), i};
    }
    return count;
}

static int open_port_udp(struct house_port *house, struct error *error)
{
    struct port_destination destinations[PORT_DESTINATIONS_MAX];
    struct port_udp_options options = {.interface = house->place->interface,
                                       .destinations = destinations,
                                       .destination_count = list_destinations(house, destinations)};
    house->port = port_udp_open(&options, error);
    return house->port ? 0 : -1;
}

static int open_port_dpdk(struct house_port *house, struct error *error)
{
    struct config *config = house->gateway->config;
    struct port_destination destinations[PORT_DESTINATIONS_MAX];
    char *eal[CONFIG_EAL_MAX];
    for (uint32_t i = 0; i < config->eal_count; i++)
        eal[i] = config->eal[i];
    struct port_dpdk_options options = {.device = house->place->interface,
                                        .eal = eal,
                                        .eal_count = config->eal_count,
                                        .queue_count = house->place->queue_count,
                                        .frame_count = house->place->frame_count,
                                        .node = house->place->node,
                                        .destinations = destinations,
                                        .destination_count =
                                            list_destinations(house, destinations)};
    port_dpdk_open_fn *open_port = port_dpdk_load(error);
    house->port = open_port ? open_port(&options, house->lane_count, error) : NULL;
    return house->port ? 0 : -1;
}

static int open_port(struct house_port *house, struct error *error)
{
    switch (house->place->type) {
    case CONFIG_PORT_XDP:
        return open_port_xdp(house, error);
    case CONFIG_PORT_UDP:
        return open_port_udp(house, error);
    case CONFIG_PORT_DPDK:
        return open_port_dpdk(house, error);
    }
    return error_set(error, "%s: a port of no type", house->place->interface);
}

void gateway_tap_path(const struct config *config, uint32_t port, char path[64])
{
    int start = snprintf(path, 64, TAP_FOLDER "/");
    snprintf(path + start, 64 - (size_t)start, "sluice-%s-port%u", config->name, port);
    for (char *at = path + start; *at; at++)
        if (*at == '/')
            *at = '_';
}

static int open_transit(struct house_port *house, struct error *error)
{
    if (!house->place->stamps)
        return 0;
    if (arena_open(&house->transit_memory, "stages", sizeof(*house->transit), house->place->node,
                   false, error))
        return -1;
    house->transit = arena_take(&house->transit_memory, sizeof(*house->transit), 64);
    return 0;
}

static int open_tap(struct gateway *gateway, uint32_t index, struct error *error)
{
    struct house_port *house = &gateway->ports[index];
    char path[64];
    gateway_tap_path(gateway->config, index, path);
    if (tap_open(&house->tap, path, GATEWAY_TAP_RECORDS, GATEWAY_TAP_BYTES / 8, house->place->node,
                 error))
        return -1;
    house->port->tap = &house->tap;
    house->port->clock = &gateway->clock;
    return 0;
}

// The programs are attached first: that fails at once when another instance is there.
static int open_ports(struct gateway *gateway, struct error *error)
{
    for (uint32_t i = 0; i < gateway->config->port_count; i++)
        if (assign_port(gateway, i, error))
            return -1;
    for (uint32_t i = 0; i < gateway->interface_count; i++)
        if (attach_program(gateway, &gateway->interfaces[i], error))
            return -1;
    for (uint32_t i = 0; i < gateway->config->port_count; i++)
        if (open_port(&gateway->ports[i], error) || open_tap(gateway, i, error) ||
            open_transit(&gateway->ports[i], error))
            return -1;
    return 0;
}

struct opening {
    struct gateway *gateway;
    uint32_t index;
    int result;
    struct error error;
};

static void open_lane(struct pool *pool, void *argument)
{
    (void)pool;
    struct opening *opening = argument;
    struct gateway *gateway = opening->gateway;
    uint32_t i = opening->index;
    opening->result =
        lane_open(gateway->lanes[i], i, gateway->config, gateway->disks[i], &opening->error);
}

// Each shard recovers by itself: as many at once as there are cores.
static int open_lanes(struct gateway *gateway, struct error *error)
{
    struct opening openings[CONFIG_SHARDS_MAX];
    uint32_t count = gateway->config->shard_count;
    for (uint32_t i = 0; i < count; i++) {
        gateway->disks[i] = lane_disk(gateway->config, i, error);
        if (!gateway->disks[i])
            return -1;
    }
    struct pool *pool = pool_open(count == 1 ? 1 : 0, error);
    if (!pool)
        return -1;
    gateway->lanes_opened = count;
    for (uint32_t i = 0; i < count; i++) {
        openings[i] = (struct opening){.gateway = gateway, .index = i};
        pool_submit(pool, open_lane, &openings[i]);
    }
    pool_run(pool);
    pool_close(pool);
    for (uint32_t i = 0; i < count; i++)
        if (openings[i].result != 0)
            return error_set(error, "%s", openings[i].error.text);
    return 0;
}

static void close_lanes(struct gateway *gateway)
{
    struct error ignored;
    for (uint32_t i = 0; i < gateway->lanes_opened; i++) {
        lane_stop(gateway->lanes[i], &ignored);
        lane_close(gateway->lanes[i]);
    }
    gateway->lanes_opened = 0;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        if (gateway->disks[i])
            disk_close(gateway->disks[i]);
        gateway->disks[i] = NULL;
    }
}

// Another day begins on all shards or on none. Where one has no day, a crash came after that was
// put aside.
static bool days_over(const struct gateway *gateway)
{
    uint64_t time_ns = clock_wall_ns(&gateway->clock);
    bool any = false;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        bool over = lane_day_over(gateway->lanes[i], time_ns);
        if (!over && gateway->lanes[i]->shard.book)
            return false;
        any |= over;
    }
    return any;
}

static int put_days_aside(struct gateway *gateway, struct error *error)
{
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        if (lane_stop(gateway->lanes[i], error) ||
            (gateway->lanes[i]->shard.book && lane_put_aside(gateway->lanes[i], error)))
            return -1;
    close_lanes(gateway);
    return 0;
}

// What its threads keep at hand, on their node, and on pages that no other lane is on.
static int make_lane(struct gateway *gateway, uint32_t index, struct error *error)
{
    const struct config_shard *place = &gateway->config->shards[index];
    struct arena *memory = &gateway->lane_memory[index];
    if (arena_open(memory, "lane", sizeof(struct lane), place->node, false, error))
        return -1;
    gateway->lanes[index] = arena_take(memory, sizeof(struct lane), alignof(struct lane));
    gateway->lanes[index]->place = place;
    return 0;
}

static int open_keeper(struct gateway *gateway, struct error *error)
{
    struct login_keeper *keeper = &gateway->keeper;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        keeper->logins[keeper->count++] = &gateway->lanes[i]->logins;
    return login_keeper_open(keeper, error);
}

static int open_all(struct gateway *gateway, struct error *error)
{
    const struct config *config = gateway->config;
    static struct topology topology; // too large for a stack
    static struct plan plan;
    if (config_check_host(config, error) || topology_load(&topology, NULL, error))
        return -1;
    plan_cores(gateway->config, &topology, true, &plan);
    for (uint32_t i = 0; i < config->shard_count; i++)
        if (make_lane(gateway, i, error))
            return -1;
    clock_calibrate(&gateway->clock, 50);
    if (open_ports(gateway, error) || open_lanes(gateway, error))
        return -1;
    if (days_over(gateway) && (put_days_aside(gateway, error) || open_lanes(gateway, error)))
        return -1;
    for (uint32_t i = 0; i < config->shard_count; i++)
        lane_place(gateway->lanes[i], gateway->ports[config->shards[i].port].port);
    for (uint32_t i = 0; i < config->shard_count; i++)
        if (lane_prime(gateway->lanes[i], clock_wall_ns(&gateway->clock), error))
            return -1;
    plan_loops(gateway);
    for (uint32_t i = 0; i < gateway->loop_count; i++)
        if (bell_open(&gateway->loops[i].bell, error))
            return -1;
    if (config->shard_count > 1 &&
        share_keeper_open(&gateway->shares, gateway->lanes, config->shard_count, &gateway->lock,
                          &gateway->clock, error))
        return -1;
    return open_keeper(gateway, error);
}

struct gateway *gateway_open(struct config *config, struct error *error)
{
    struct gateway *gateway = aligned_alloc(128, (sizeof(*gateway) + 127) & ~(size_t)127);
    if (!gateway) {
        error_set(error, "no memory for the gateway");
        config_free(config);
        return NULL;
    }
    memset(gateway, 0, sizeof(*gateway));
    gateway->config = config;
    gateway->closed = true;
    pthread_mutex_init(&gateway->lock, NULL);
    if (open_all(gateway, error) == 0)
        return gateway;
    gateway_free(gateway);
    return NULL;
}

// --- Starting and stopping

static int start_threads(struct gateway *gateway, struct error *error)
{
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        if (lane_start(gateway->lanes[i], &gateway->clock, error))
            return -1;
    if (login_keeper_start(&gateway->keeper, error))
        return -1;
    if (gateway->config->shard_count > 1 && share_keeper_start(&gateway->shares, error))
        return -1;
    for (uint32_t i = 0; i < gateway->loop_count; i++) {
        struct loop *loop = &gateway->loops[i];
        char name[16];
        snprintf(name, sizeof(name), "loop-%u", i);
        if (thread_start(&loop->thread, name, loop->core, loop_main, loop, error))
            return -1;
        loop->started = true;
    }
    return 0;
}

static int let_in(struct house_port *house, struct error *error)
{
    struct house_interface *interface = house->interface;
    for (uint32_t i = 0; interface && i < house->place->queue_count; i++)
        for (uint32_t j = 0; j < house->lane_count; j++)
            if (steer_add_socket(interface->steer, house->place->queues[i],
                                 place_on(interface, house->lanes[j]),
                                 port_xdp_socket(house->port, i, j), error))
                return -1;
    return 0;
}

// All that is opened from now on is the journals'; at the end the taps and the control socket are
// removed.
static int prepare_sandbox(struct gateway *gateway, struct error *error)
{
    const char *socket = gateway->config->control.socket;
    char socket_folder[sizeof(gateway->config->control.socket)];
    struct sandbox_folder folders[CONFIG_SHARDS_MAX + 2];
    uint32_t count = gateway->config->shard_count;
    for (uint32_t i = 0; i < count; i++)
        folders[i] = (struct sandbox_folder){.path = gateway->disks[i]->path};
    folders[count++] = (struct sandbox_folder){.path = TAP_FOLDER, .remove_only = true};
    memcpy(socket_folder, socket, sizeof(socket_folder));
    if (socket[0])
        folders[count++] =
            (struct sandbox_folder){.path = dirname(socket_folder), .remove_only = true};
    bool drivers = false;
    for (uint32_t i = 0; i < gateway->config->port_count; i++)
        drivers |= gateway->config->ports[i].type == CONFIG_PORT_DPDK;
    return sandbox_process(folders, count, drivers, error);
}

int gateway_start(struct gateway *gateway, struct error *error)
{
    memlock_all();
    if (gateway->config->sandbox && prepare_sandbox(gateway, error))
        return -1;
    return start_threads(gateway, error);
}

int gateway_let_in(struct gateway *gateway, struct error *error)
{
    if (gateway->config->shard_count > 1 && share_keeper_settle(&gateway->shares, error))
        return -1;
    atomic_store_explicit(&gateway->closed, false, memory_order_relaxed);
    for (uint32_t i = 0; i < gateway->config->port_count; i++)
        if (let_in(&gateway->ports[i], error))
            return -1;
    for (uint32_t i = 0; i < gateway->interface_count; i++) {
        struct house_interface *interface = &gateway->interfaces[i];
        interface->up = nic_up(interface->name);
        interface->rx_queues = nic_rx_queues(interface->name);
    }
    return 0;
}

void gateway_shut_in(void)
{
    memlock_stacks();
    sandbox_thread(SANDBOX_MAIN);
}

static void watch_interface(struct house_interface *interface)
{
    uint64_t steered[STEER_VERDICT_COUNT];
    struct error error;
    bool up = nic_up(interface->name);
    uint32_t rx_queues = nic_rx_queues(interface->name);
    if (up != interface->up)
        warn("%s: the link is %s", interface->name,
             up ? "up again" : "down: what is to be sent waits");
    if (rx_queues != interface->rx_queues)
        warn("%s has %u receive queues now, and had %u: orders on queues that no port takes are "
             "dropped; `ethtool -L %s combined %u` puts them back",
             interface->name, rx_queues, interface->rx_queues, interface->name,
             interface->rx_queues);
    interface->up = up;
    interface->rx_queues = rx_queues;
    if (steer_counters(interface->steer, steered, &error))
        return;
    if (steered[STEER_DROP_QUEUE] > interface->strays)
        warn(
            "%s: %llu packets for a shard were dropped in the last second, as they arrived on "
            "queues that its port does not take; `sluice configure init` steers them where the NIC "
            "has filters, else give the port every queue that `ethtool -l` shows",
            interface->name, (unsigned long long)(steered[STEER_DROP_QUEUE] - interface->strays));
    interface->strays = steered[STEER_DROP_QUEUE];
}

bool gateway_watch(struct gateway *gateway)
{
    bool all_there = true;
    for (uint32_t i = 0; i < gateway->interface_count; i++)
        watch_interface(&gateway->interfaces[i]);
    for (uint32_t i = 0; i < gateway->config->port_count; i++) {
        struct house_port *house = &gateway->ports[i];
        tap_watch(&house->tap);
        int lost = atomic_load_explicit(&house->port->lost, memory_order_relaxed);
        if (lost)
            warn("%s is gone: %s", house->place->interface, strerror(lost));
        all_there &= !lost;
    }
    return all_there;
}

static bool loops_running(const struct gateway *gateway)
{
    for (uint32_t i = 0; i < gateway->loop_count; i++)
        if (!gateway->loops[i].started)
            return false;
    return gateway->loop_count > 0;
}

void gateway_snapshot(struct gateway *gateway, int timeout_ms)
{
    for (uint32_t i = 0; i < gateway->config->port_count; i++) {
        struct house_port *house = &gateway->ports[i];
        if (!loops_running(gateway)) {
            loop_snapshot(house);
            continue;
        }
        uint32_t wanted = atomic_load_explicit(&house->snapshot_wanted, memory_order_relaxed) + 1;
        // Release pairs with the acquire in serve_snapshot.
        atomic_store_explicit(&house->snapshot_wanted, wanted, memory_order_release);
        for (int waited_ms = 0; waited_ms < timeout_ms; waited_ms++) {
            if (atomic_load_explicit(&house->snapshot_taken, memory_order_acquire) == wanted)
                break;
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
}

// What a shard is to do.
struct task {
    struct command commands[LANE_ORDERS_MAX];
    uint32_t count;  // 0: nothing, or it is done
    uint64_t number; // by which the lane was given it; 0: it was not yet
};

// How many are to be waited for. Lanes get theirs as soon as they have done what they were given
// before.
static uint32_t go_on(struct gateway *gateway, struct task tasks[CONFIG_SHARDS_MAX])
{
    uint32_t left = 0;
    pthread_mutex_lock(&gateway->lock);
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        struct lane *lane = gateway->lanes[i];
        struct task *task = &tasks[i];
        if (task->count > 0 && task->number == 0)
            task->number = lane_give_orders(lane, task->commands, task->count);
        else if (task->count > 0 && lane_orders_done(lane, task->number))
            task->count = 0;
        if (task->number > 0)
            gateway->stuck[i] = false;
        left += task->count > 0 && !gateway->stuck[i];
    }
    pthread_mutex_unlock(&gateway->lock);
    return left;
}

// Says of each shard that has not done its task what is known, if there is one.
static int check_done(struct gateway *gateway, const struct task tasks[CONFIG_SHARDS_MAX],
                      struct error *error)
{
    char text[sizeof(error->text)] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        if (tasks[i].count == 0)
            continue;
        pthread_mutex_lock(&gateway->lock);
        gateway->stuck[i] = true;
        pthread_mutex_unlock(&gateway->lock);
        const char *how = tasks[i].number > 0
                              ? "does not answer: it is not known whether it has done it"
                              : "has not done what it was told before: this it was not told";
        if (length < sizeof(text))
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%sshard %u %s",
                                       length > 0 ? ", " : "", i, how);
    }
    return length == 0 ? 0 : error_set(error, "%s; the others have done it", text);
}

int gateway_order(struct gateway *gateway, gateway_order_fn *make, void *context,
                  bool given[CONFIG_SHARDS_MAX], struct error *error)
{
    struct task tasks[CONFIG_SHARDS_MAX] = {0};
    uint64_t until_ns = clock_ns(&gateway->clock) + ORDERS_PATIENCE_NS;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        tasks[i].count = make(context, gateway->lanes[i], tasks[i].commands);
    while (go_on(gateway, tasks) > 0 && clock_ns(&gateway->clock) < until_ns)
        nanosleep(&(struct timespec){.tv_nsec = ORDERS_WAIT_NS}, NULL);
    for (uint32_t i = 0; given && i < gateway->config->shard_count; i++)
        given[i] = tasks[i].number > 0;
    return check_done(gateway, tasks, error);
}

static uint32_t close_day(void *context, const struct lane *lane, struct command *commands)
{
    const char *actor = context;
    (void)lane;
    commands[0].type = COMMAND_CLOSE;
    memcpy(commands[0].trading.actor, actor, strnlen(actor, sizeof(commands[0].trading.actor)));
    return 1;
}

int gateway_close_day(struct gateway *gateway, const char *actor, struct error *error)
{
    return gateway_order(gateway, close_day, (void *)(uintptr_t)actor, NULL, error);
}

// Every loop has made two rounds after now in which it found nothing to do, and every ring is
// empty.
static bool quiet(struct gateway *gateway)
{
    for (uint32_t i = 0; i < gateway->loop_count; i++) {
        struct loop *loop = &gateway->loops[i];
        // Acquire pairs with the release in loop_poll.
        uint64_t rounds = atomic_load_explicit(&loop->rounds, memory_order_acquire);
        if (rounds < atomic_load_explicit(&loop->worked, memory_order_relaxed) + 2)
            return false;
    }
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        if (!lane_drained(gateway->lanes[i]))
            return false;
    return true;
}

static bool drain(struct gateway *gateway)
{
    atomic_store_explicit(&gateway->closed, true, memory_order_relaxed);
    for (uint32_t i = 0; i < gateway->interface_count; i++)
        steer_remove_sockets(gateway->interfaces[i].steer);
    for (int waited_ms = 0; waited_ms < DRAIN_MS; waited_ms += 5) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        if (waited_ms >= 3 * LOOP_SLEEP_MS && quiet(gateway))
            return true;
    }
    return false;
}

int gateway_stop(struct gateway *gateway, struct error *error)
{
    share_keeper_stop(&gateway->shares);
    bool drained = drain(gateway);
    atomic_store_explicit(&gateway->stop, true, memory_order_relaxed);
    for (uint32_t i = 0; i < gateway->loop_count; i++) {
        struct loop *loop = &gateway->loops[i];
        bell_ring(&loop->bell);
        if (loop->started)
            pthread_join(loop->thread, NULL);
        loop->started = false;
    }
    int result = 0;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        result |= lane_stop(gateway->lanes[i], error);
    if (!result && !drained)
        return error_set(
            error, "not everything was sent within %d s: clients can fetch it after a restart",
            DRAIN_MS / 1000);
    return result;
}

void gateway_free(struct gateway *gateway)
{
    if (!gateway)
        return;
    for (uint32_t i = 0; i < gateway->interface_count; i++)
        steer_close(gateway->interfaces[i].steer);
    for (uint32_t i = 0; i < gateway->config->port_count; i++) {
        struct house_port *house = &gateway->ports[i];
        if (house->port)
            house->port->operations->close(house->port);
        tap_close(&house->tap);
        arena_close(&house->transit_memory);
        arena_close(&house->memory);
    }
    if (gateway->keeper.count > 0)
        login_keeper_close(&gateway->keeper);
    if (gateway->shares.lock)
        share_keeper_close(&gateway->shares);
    close_lanes(gateway);
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        arena_close(&gateway->lane_memory[i]);
    for (uint32_t i = 0; i < gateway->loop_count; i++)
        bell_close(&gateway->loops[i].bell);
    pthread_mutex_destroy(&gateway->lock);
    config_free(gateway->config);
    free(gateway);
}
