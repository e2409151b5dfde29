// SPDX-License-Identifier: MIT
//
// The DPDK port, over rte_ethdev. It is a shared object of its own, which the program loads when a
// configuration asks for it: a host without DPDK runs everything else.
//
// No program in the kernel tells the shards' packets apart here, so the port does: what has come
// for a shard waits in its queue until receive is asked for it. Half of the mbufs may wait, a
// quarter is lent to the device to receive into, an eighth may be on its way out, and an eighth
// wait for that.
#include "dataplane/port.h"
#include "numa/invariant.h" // before DPDK, which leaves its own likely and unlikely out then

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#define RX_SIZE_MAX    2048u // descriptors a queue
#define TX_SIZE_MAX    1024u // descriptors, and as many may wait for them
#define CACHE_SIZE     256u  // mbufs that a thread may keep for itself, and half as many again
#define LINK_WAIT_MS   5000  // negotiation takes a NIC up to four seconds
#define EAL_OWN        3     // arguments that are ours
#define ETHERNET_SIZE  14u
#define VLAN_SIZE      4u
#define IP_HEADER_SIZE 20u

// Packets for a shard, received and not yet handed out.
struct waiting {
    struct rte_mbuf **packets;
    uint32_t head, tail; // count up, and are masked
};

struct port_dpdk {
    struct port port;
    char name[64], mode[64];
    uint16_t device;
    uint16_t queue_count, next_queue;
    bool configured, thread_known;
    struct rte_mempool *pool;
    struct port_destination destinations[PORT_DESTINATIONS_MAX];
    uint32_t destination_count;
    uint32_t shard_count, next_shard;
    uint32_t waiting_mask; // of each shard's queue
    struct waiting waiting[STEER_SHARDS_MAX];
    uint64_t waiting_full, chained; // dropped packets
    // The ledger: of the mbufs that came to us, from the device or the pool, those that went back
    // to either, and where the others are: waiting, lent out, claimed, or outgoing.
    uint64_t taken_count, given_count;
    uint32_t lent_count;
    struct rte_mbuf *claimed;
    struct rte_mbuf *outgoing[TX_SIZE_MAX];
    uint32_t outgoing_max, outgoing_count;
    uint32_t sent_count; // the first of the outgoing, which are the device's
};

static uint32_t ports_open; // the last one ends the EAL
static char eal_said[256];  // the first line of what went wrong at its start, or empty

static struct port_dpdk *dpdk_of(struct port *port)
{
    return (struct port_dpdk *)port;
}

static void check_ledger(const struct port_dpdk *dpdk)
{
    uint64_t ours = dpdk->lent_count + (dpdk->claimed ? 1 : 0) + dpdk->outgoing_count;
    for (uint32_t i = 0; i < dpdk->shard_count; i++)
        ours += dpdk->waiting[i].tail - dpdk->waiting[i].head;
    INVARIANT(dpdk->taken_count - dpdk->given_count == ours - dpdk->sent_count);
}

static void give_back(struct port_dpdk *dpdk, struct rte_mbuf *packet)
{
    rte_pktmbuf_free(packet);
    dpdk->given_count++;
}

// A known thread has a cache beside the pool; without it each mbuf costs an atomic operation.
static void make_thread_known(struct port_dpdk *dpdk)
{
    dpdk->thread_known = true;
    if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register())
        warn("%s: DPDK does not know the port's thread, which makes it slower: %s", dpdk->name,
             rte_strerror(rte_errno));
}

// Whose a packet would be if it is whole, or -1. What is not whole does no harm in a shard's queue:
// it is looked at again.
static int shard_of(const struct port_dpdk *dpdk, const uint8_t *frame, uint32_t size)
{
    uint32_t offset = ETHERNET_SIZE, address;
    uint16_t port;
    if (size >= ETHERNET_SIZE && frame[12] == 0x81 && frame[13] == 0)
        offset += VLAN_SIZE;
    if (size < offset + IP_HEADER_SIZE + 4 || frame[offset - 2] != 8 || frame[offset - 1] != 0)
        return -1;
    const uint8_t *ip = frame + offset;
    uint32_t header_size = (ip[0] & 15u) * 4;
    if (ip[9] != IPPROTO_UDP || size < offset + header_size + 4)
        return -1;
    memcpy(&address, ip + 16, sizeof(address));
    memcpy(&port, ip + header_size + 2, sizeof(port));
    for (uint32_t i = 0; i < dpdk->destination_count; i++)
        if (dpdk->destinations[i].port == port && dpdk->destinations[i].address == address)
            return (int)dpdk->destinations[i].shard;
    return -1;
}

static struct frame lend(struct port_dpdk *dpdk, struct rte_mbuf *packet)
{
    dpdk->lent_count++;
    dpdk->port.counters.received_packets++;
    dpdk->port.counters.received_bytes += packet->data_len;
    return (struct frame){.data = rte_pktmbuf_mtod(packet, const uint8_t *),
                          .size = packet->data_len,
                          .handle = (uintptr_t)packet};
}

static void put_waiting(struct port_dpdk *dpdk, struct waiting *waiting, struct rte_mbuf *packet)
{
    if (waiting->tail - waiting->head > dpdk->waiting_mask) {
        dpdk->waiting_full++;
        give_back(dpdk, packet);
        return;
    }
    waiting->packets[waiting->tail++ & dpdk->waiting_mask] = packet;
}

// Take up to `max` packets from the device: a shard's wait in its queue, and nobody's are lent at
// once, so that they are counted for what they are. Returns how many those were.
static uint32_t fetch(struct port_dpdk *dpdk, struct frame *frames, uint32_t max)
{
    struct rte_mbuf *burst[PORT_BATCH];
    uint32_t fetched = 0, lent = 0;
    for (uint32_t i = 0; i < dpdk->queue_count && fetched < max; i++) {
        fetched += rte_eth_rx_burst(dpdk->device, dpdk->next_queue, burst + fetched,
                                    (uint16_t)(max - fetched));
        dpdk->next_queue = (uint16_t)((dpdk->next_queue + 1) % dpdk->queue_count);
    }
    dpdk->taken_count += fetched;
    for (uint32_t i = 0; i < fetched; i++) {
        struct rte_mbuf *packet = burst[i];
        if (packet->nb_segs != 1) { // longer than a frame, and so than any order packet
            dpdk->chained++;
            give_back(dpdk, packet);
            continue;
        }
        int shard = shard_of(dpdk, rte_pktmbuf_mtod(packet, const uint8_t *), packet->data_len);
        if (shard < 0)
            frames[lent++] = lend(dpdk, packet);
        else
            put_waiting(dpdk, &dpdk->waiting[shard], packet);
    }
    return lent;
}

static uint32_t dpdk_receive(struct port *port, uint64_t shards, struct frame *frames, uint32_t max)
{
    struct port_dpdk *dpdk = dpdk_of(port);
    INVARIANT(max <= PORT_BATCH);
    if (!dpdk->thread_known)
        make_thread_known(dpdk);
    if (shards == 0)
        return 0; // nobody has room: the device keeps them, and counts what it cannot
    uint32_t count = fetch(dpdk, frames, max);
    for (uint32_t i = 0; i < dpdk->shard_count && count < max; i++) {
        struct waiting *waiting = &dpdk->waiting[dpdk->next_shard];
        while (shards >> dpdk->next_shard & 1 && waiting->head != waiting->tail && count < max)
            frames[count++] = lend(dpdk, waiting->packets[waiting->head++ & dpdk->waiting_mask]);
        dpdk->next_shard = (dpdk->next_shard + 1) % dpdk->shard_count;
    }
    return count;
}

static void dpdk_release(struct port *port, const struct frame *frames, uint32_t count)
{
    struct port_dpdk *dpdk = dpdk_of(port);
    struct rte_mbuf *packets[PORT_BATCH];
    INVARIANT(dpdk->lent_count >= count && count <= PORT_BATCH);
    for (uint32_t i = 0; i < count; i++)
        packets[i] = (struct rte_mbuf *)(uintptr_t)frames[i].handle;
    rte_pktmbuf_free_bulk(packets, count);
    dpdk->lent_count -= count;
    dpdk->given_count += count;
}

static uint8_t *dpdk_claim(struct port *port)
{
    struct port_dpdk *dpdk = dpdk_of(port);
    if (!dpdk->claimed && dpdk->outgoing_count < dpdk->outgoing_max) {
        dpdk->claimed = rte_pktmbuf_alloc(dpdk->pool);
        dpdk->taken_count += dpdk->claimed ? 1 : 0;
    }
    if (!dpdk->claimed) {
        port->counters.no_frame++;
        return NULL;
    }
    return rte_pktmbuf_mtod(dpdk->claimed, uint8_t *);
}

static void dpdk_send(struct port *port, size_t size)
{
    struct port_dpdk *dpdk = dpdk_of(port);
    INVARIANT(dpdk->claimed && size <= PACKET_SIZE_MAX);
    dpdk->claimed->data_len = (uint16_t)size;
    dpdk->claimed->pkt_len = (uint32_t)size;
    dpdk->outgoing[dpdk->outgoing_count++] = dpdk->claimed;
    dpdk->claimed = NULL;
    port->counters.sent_packets++;
    port->counters.sent_bytes += size;
}

// What the device has no room for now goes the next time.
static void dpdk_flush(struct port *port)
{
    struct port_dpdk *dpdk = dpdk_of(port);
    while (dpdk->sent_count < dpdk->outgoing_count) {
        uint16_t count = rte_eth_tx_burst(dpdk->device, 0, dpdk->outgoing + dpdk->sent_count,
                                          (uint16_t)(dpdk->outgoing_count - dpdk->sent_count));
        port->counters.kicks++;
        if (count == 0) {
            port->counters.kick_busy++;
            break;
        }
        dpdk->sent_count += count;
        dpdk->given_count += count;
    }
    if (dpdk->sent_count == dpdk->outgoing_count)
        dpdk->sent_count = dpdk->outgoing_count = 0;
    check_ledger(dpdk);
}

static int dpdk_poll_fds(struct port *port, struct pollfd *fds)
{
    (void)port;
    (void)fds;
    return 0;
}

static void dpdk_read_counters(struct port *port)
{
    struct port_dpdk *dpdk = dpdk_of(port);
    struct rte_eth_stats stats = {0};
    if (rte_eth_stats_get(dpdk->device, &stats))
        return;
    port->counters.rx_dropped = stats.imissed;
    port->counters.rx_ring_full = dpdk->waiting_full;
    port->counters.rx_fill_empty = stats.rx_nombuf;
    port->counters.rx_invalid = stats.ierrors + dpdk->chained;
    port->counters.tx_invalid = stats.oerrors;
}

// On the EAL's interrupt thread.
static int notice_link(uint16_t device, enum rte_eth_event_type event, void *context, void *result)
{
    struct port_dpdk *dpdk = context;
    struct rte_eth_link link = {0};
    (void)result;
    if (event == RTE_ETH_EVENT_INTR_RMV)
        atomic_store_explicit(&dpdk->port.lost, ENODEV, memory_order_relaxed);
    else if (rte_eth_link_get_nowait(device, &link) == 0)
        warn("%s: the link is %s", dpdk->name,
             link.link_status ? "up again" : "down: what is to be sent waits or is lost");
    return 0;
}

static void free_all_held(struct port_dpdk *dpdk)
{
    if (dpdk->claimed)
        give_back(dpdk, dpdk->claimed);
    dpdk->claimed = NULL;
    for (uint32_t i = dpdk->sent_count; i < dpdk->outgoing_count; i++)
        give_back(dpdk, dpdk->outgoing[i]);
    dpdk->sent_count = dpdk->outgoing_count = 0;
    for (uint32_t i = 0; i < dpdk->shard_count; i++) {
        struct waiting *waiting = &dpdk->waiting[i];
        while (waiting->head != waiting->tail)
            give_back(dpdk, waiting->packets[waiting->head++ & dpdk->waiting_mask]);
    }
    check_ledger(dpdk);
}

// With everything given back, by us and by the closed device, the pool is whole again.
static void dpdk_close(struct port *port)
{
    struct port_dpdk *dpdk = dpdk_of(port);
    free_all_held(dpdk);
    if (dpdk->configured) {
        rte_eth_dev_callback_unregister(dpdk->device, RTE_ETH_EVENT_INTR_LSC, notice_link, dpdk);
        rte_eth_dev_callback_unregister(dpdk->device, RTE_ETH_EVENT_INTR_RMV, notice_link, dpdk);
        rte_eth_dev_stop(dpdk->device);
        rte_eth_dev_close(dpdk->device);
    }
    unsigned missing = dpdk->pool ? rte_mempool_in_use_count(dpdk->pool) : 0;
    if (missing > 0)
        warn("%s: %u mbufs did not come back from its driver", dpdk->name, missing);
    rte_mempool_free(dpdk->pool);
    for (uint32_t i = 0; i < dpdk->shard_count; i++)
        rte_free(dpdk->waiting[i].packets);
    free(dpdk);
    if (--ports_open == 0)
        rte_eal_cleanup();
}

static const struct port_operations operations = {
    .receive = dpdk_receive,
    .release = dpdk_release,
    .claim = dpdk_claim,
    .send = dpdk_send,
    .flush = dpdk_flush,
    .poll_fds = dpdk_poll_fds,
    .read_counters = dpdk_read_counters,
    .close = dpdk_close,
};

// --- The EAL

// One lcore, 0, for the thread that sets up; no others are started, as the ports have threads of
// their own. The cores that the calling thread had it gets back.
static int start_eal_quietly(const struct port_dpdk_options *options)
{
    char core[32], program[] = "sluice", level[] = "--log-level=*:error";
    char **arguments = calloc(options->eal_count + EAL_OWN + 1, sizeof(*arguments));
    cpu_set_t cores;
    int first = 0, count = EAL_OWN;
    if (!arguments || pthread_getaffinity_np(pthread_self(), sizeof(cores), &cores))
        return -1;
    while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &cores))
        first++;
    snprintf(core, sizeof(core), "--lcores=0@%d", first);
    arguments[0] = program;
    arguments[1] = core;
    arguments[2] = level;
    for (uint32_t i = 0; i < options->eal_count; i++)
        arguments[count++] = options->eal[i];
    rte_log_set_global_level(RTE_LOG_ERR);
    int result = rte_eal_init(count, arguments);
    pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
    if (result >= 0)
        free(arguments); // else some of it may be kept
    return result;
}

// What the EAL says at its start, usage of a page and all, is collected: its first line is the
// reason when it fails, or when a virtual device is not there afterwards. The standard streams are
// variables in glibc (The GNU C Library, 12.2).
static int start_eal(const struct port_dpdk_options *options, struct error *error)
{
    char *said = NULL;
    size_t size = 0;
    FILE *streams[2] = {stdout, stderr}, *collected = open_memstream(&said, &size);
    if (!collected)
        return error_set(error, "DPDK: no memory");
    stdout = stderr = collected;
    rte_openlog_stream(collected);
    int result = start_eal_quietly(options), why = rte_errno;
    stdout = streams[0];
    stderr = streams[1];
    rte_openlog_stream(stderr);
    fclose(collected);
    snprintf(eal_said, sizeof(eal_said), "%.*s", (int)strcspn(said, "\n"), said);
    free(said);
    if (result >= 0)
        return 0;
    return error_set(error,
                     "DPDK does not start: %s (%s); its arguments are the \"eal\" of \"dpdk\"",
                     eal_said, rte_strerror(why));
}

// --- The device

static uint32_t power_below(uint32_t value)
{
    uint32_t power = 1;
    while (power * 2 <= value)
        power *= 2;
    return power;
}

static uint16_t tx_size(uint32_t frame_count)
{
    return (uint16_t)(frame_count / 8 < TX_SIZE_MAX ? frame_count / 8 : TX_SIZE_MAX);
}

static int take_memory(struct port_dpdk *dpdk, const struct port_dpdk_options *options,
                       struct error *error)
{
    char name[32];
    int node = options->node >= 0 ? options->node : rte_eth_dev_socket_id(dpdk->device);
    uint32_t each = power_below(options->frame_count / 2 / dpdk->shard_count);
    snprintf(name, sizeof(name), "sluice-%u", dpdk->device);
    dpdk->waiting_mask = each - 1;
    dpdk->outgoing_max = tx_size(options->frame_count);
    // What this thread keeps is not there for the port's.
    dpdk->pool = rte_pktmbuf_pool_create(name, options->frame_count + 2 * CACHE_SIZE, CACHE_SIZE, 0,
                                         RTE_PKTMBUF_HEADROOM + PORT_FRAME_SIZE, node);
    bool enough = dpdk->pool != NULL;
    for (uint32_t i = 0; i < dpdk->shard_count && enough; i++) {
        dpdk->waiting[i].packets =
            rte_zmalloc_socket(NULL, each * sizeof(*dpdk->waiting[i].packets), 0, node);
        enough = dpdk->waiting[i].packets != NULL;
    }
    if (enough)
        return 0;
    return error_set(error,
                     "%s: no memory for %u mbufs: %s; reserve more huge pages, or give the EAL "
                     "\"--no-huge\", \"-m\", \"256\"",
                     dpdk->name, options->frame_count, rte_strerror(rte_errno));
}

static int refused(const struct port_dpdk *dpdk, const char *what, int why, struct error *error)
{
    return error_set(error, "%s: its driver refuses %s: %s", dpdk->name, what, rte_strerror(-why));
}

static int configure(struct port_dpdk *dpdk, const struct rte_eth_dev_info *info,
                     struct error *error)
{
    struct rte_eth_conf conf = {
        .txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE,
        .intr_conf.lsc = (*info->dev_flags & RTE_ETH_DEV_INTR_LSC) != 0,
        .intr_conf.rmv = (*info->dev_flags & RTE_ETH_DEV_INTR_RMV) != 0,
    };
    uint64_t spread = info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
    if (dpdk->queue_count > 1 && spread) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = spread;
    }
    if (dpdk->queue_count > info->max_rx_queues)
        return error_set(error, "%s has %u receive queues; set queues = [ 0 ] or as many",
                         dpdk->name, info->max_rx_queues);
    int result = rte_eth_dev_configure(dpdk->device, dpdk->queue_count, 1, &conf);
    if (result)
        return refused(dpdk, "these queues", result, error);
    dpdk->configured = true;
    return 0;
}

static int start(struct port_dpdk *dpdk, uint32_t frame_count, struct error *error)
{
    uint32_t each = frame_count / 4 / dpdk->queue_count;
    uint16_t rx_size = (uint16_t)power_below(each < RX_SIZE_MAX ? each : RX_SIZE_MAX);
    uint16_t out_size = tx_size(frame_count);
    unsigned socket = (unsigned)rte_eth_dev_socket_id(dpdk->device);
    int result = rte_eth_dev_adjust_nb_rx_tx_desc(dpdk->device, &rx_size, &out_size);
    for (uint16_t i = 0; i < dpdk->queue_count && result == 0; i++)
        result = rte_eth_rx_queue_setup(dpdk->device, i, rx_size, socket, NULL, dpdk->pool);
    if (result == 0)
        result = rte_eth_tx_queue_setup(dpdk->device, 0, out_size, socket, NULL);
    if (result)
        return refused(dpdk, "its rings", result, error);
    result = rte_eth_dev_start(dpdk->device);
    if (result)
        return refused(dpdk, "to start", result, error);
    struct rte_ether_addr mac;
    result = rte_eth_macaddr_get(dpdk->device, &mac);
    if (result)
        return refused(dpdk, "to tell its Ethernet address", result, error);
    memcpy(dpdk->port.mac, mac.addr_bytes, sizeof(dpdk->port.mac));
    return 0;
}

static void wait_for_link(const struct port_dpdk *dpdk)
{
    struct rte_eth_link link = {0};
    for (int waited_ms = 0; waited_ms < LINK_WAIT_MS; waited_ms += 10) {
        if (rte_eth_link_get_nowait(dpdk->device, &link) || link.link_status)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    warn("%s has no link: what is to be sent waits or is lost", dpdk->name);
}

static bool rule_orders(const struct port_dpdk *dpdk, const struct port_destination *destination)
{
    struct rte_flow_attr attributes = {.ingress = 1};
    struct rte_flow_item_ipv4 ip = {.hdr.dst_addr = destination->address},
                              ip_mask = {.hdr.dst_addr = UINT32_MAX};
    struct rte_flow_item_udp udp = {.hdr.dst_port = destination->port},
                             udp_mask = {.hdr.dst_port = UINT16_MAX};
    struct rte_flow_item pattern[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip, .mask = &ip_mask},
        {.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &udp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    struct rte_flow_action_queue queue = {.index = 0};
    struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue},
                                        {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_error why;
    return rte_flow_create(dpdk->device, &attributes, pattern, actions, &why) != NULL;
}

// Orders on the first queue and everything else spread over all, where the device can; all of the
// rules or none. A driver that cannot is no error.
static bool rule_all_orders(const struct port_dpdk *dpdk)
{
    struct rte_flow_error why;
    uint32_t count = 0;
    rte_log_set_global_level(RTE_LOG_CRIT);
    while (count < dpdk->destination_count && rule_orders(dpdk, &dpdk->destinations[count]))
        count++;
    if (count < dpdk->destination_count)
        rte_flow_flush(dpdk->device, &why);
    rte_log_set_global_level(RTE_LOG_ERR);
    return count == dpdk->destination_count;
}

static int open_device(struct port_dpdk *dpdk, const struct port_dpdk_options *options,
                       struct error *error)
{
    struct rte_eth_dev_info info;
    if (rte_eth_dev_get_port_by_name(options->device, &dpdk->device))
        return error_set(error,
                         "DPDK has no device \"%s\"%s%s; `dpdk-devbind.py --status-dev net` lists "
                         "NICs and their drivers, a virtual one needs --vdev= in \"eal\"",
                         options->device, eal_said[0] ? ": " : "", eal_said);
    int result = rte_eth_dev_info_get(dpdk->device, &info);
    if (result)
        return refused(dpdk, "to describe it", result, error);
    if (configure(dpdk, &info, error) || take_memory(dpdk, options, error) ||
        start(dpdk, options->frame_count, error))
        return -1;
    if (eal_said[0])
        warn("DPDK: %s", eal_said);
    eal_said[0] = 0;
    wait_for_link(dpdk);
    rte_eth_dev_callback_register(dpdk->device, RTE_ETH_EVENT_INTR_LSC, notice_link, dpdk);
    rte_eth_dev_callback_register(dpdk->device, RTE_ETH_EVENT_INTR_RMV, notice_link, dpdk);
    snprintf(dpdk->mode, sizeof(dpdk->mode), "dpdk %s, %s", info.driver_name,
             rule_all_orders(dpdk) ? "flow rules" : "no flow rules");
    dpdk->port.mode = dpdk->mode;
    return 0;
}

__attribute__((visibility("default"))) struct port *port_dpdk_open(
    const struct port_dpdk_options *options, uint32_t shard_count, struct error *error)
{
    INVARIANT(shard_count >= 1 && shard_count <= STEER_SHARDS_MAX);
    INVARIANT(options->queue_count >= 1 && options->queue_count <= PORT_QUEUES_MAX);
    INVARIANT(options->destination_count <= PORT_DESTINATIONS_MAX);
    struct port_dpdk *dpdk = calloc(1, sizeof(*dpdk));
    if (!dpdk) {
        error_set(error, "%s: no memory", options->device);
        return NULL;
    }
    if (ports_open == 0 && start_eal(options, error)) {
        free(dpdk);
        return NULL;
    }
    ports_open++;
    dpdk->port.operations = &operations;
    dpdk->queue_count = (uint16_t)options->queue_count;
    dpdk->shard_count = shard_count;
    dpdk->destination_count = options->destination_count;
    memcpy(dpdk->destinations, options->destinations,
           options->destination_count * sizeof(*options->destinations));
    snprintf(dpdk->name, sizeof(dpdk->name), "%s", options->device);
    if (open_device(dpdk, options, error) == 0)
        return &dpdk->port;
    dpdk_close(&dpdk->port);
    return NULL;
}
