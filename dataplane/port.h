// SPDX-License-Identifier: MIT
//
// port: one or more queues of an interface and what it takes to receive from them and send. The
// thread that polls a port owns it: none of these functions may be called by another, but for
// `lost`. Frames are the port's memory, lent out: every one of them is at all times free, lent to
// the kernel for receiving, held between receive and release, or on its way out, and the sum is
// checked as it runs.
#ifndef SLUICE_DATAPLANE_PORT_H
#define SLUICE_DATAPLANE_PORT_H

#include <assert.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/packet.h"
#include "dataplane/transit.h"
#include "numa/arena.h"
#include "numa/clock.h"
#include "numa/error.h"
#include "numa/invariant.h"
#include "numa/tap.h"
#include "xdp/bound.h"

#define PORT_BATCH        64u
#define PORT_QUEUES_MAX   16u
#define PORT_POLL_FDS_MAX (PORT_QUEUES_MAX * STEER_SHARDS_MAX)
#define PORT_FRAME_SIZE   2048u

static_assert(PORT_FRAME_SIZE <= TAP_RECORD_MAX, "whatever is received fits the tap");

struct frame {
    const uint8_t *data;
    uint32_t size;
    uint64_t handle;  // the port's
    uint64_t time_ns; // when it was received, since 1970; 0: the port does not know
    // Where packets are stamped: when the NIC had it, by the NIC's own clock, and when the kernel
    // had it, CLOCK_TAI. 0: not known.
    uint64_t hardware_ns, kernel_ns;
};

struct port_counters {
    uint64_t received_packets, received_bytes;
    uint64_t sent_packets, sent_bytes;
    uint64_t no_frame;   // a frame to send was wanted and none was free: tried again later
    uint64_t kicks;      // system calls to make the kernel send; with DPDK transmit bursts
    uint64_t kick_busy;  // … that it could not serve at once; that took nothing
    uint64_t rx_dropped; // by the kernel: no room in the RX ring (XDP_STATISTICS), or the buffer;
                         // by the device (imissed)
    // XDP_STATISTICS; with DPDK:
    uint64_t rx_ring_full;  // … no room among those that wait for a shard
    uint64_t rx_fill_empty; // … rx_nombuf
    uint64_t rx_invalid;    // … ierrors, and chained mbufs
    uint64_t tx_invalid;    // … oerrors
    uint64_t unlisted; // bindings that were not kept apart from strangers: no room (xdp/bound.h)
};

// The clock that a turnaround was measured with: both its ends were read from the same one.
enum port_stamps {
    PORT_STAMPS_SOFTWARE, // this process: received from the port, handed to the kernel
    PORT_STAMPS_KERNEL,   // the XDP program, and the kernel when it gave the frame to the driver
    PORT_STAMPS_HARDWARE, // the NIC, both
    PORT_STAMPS_COUNT,
};
#define PORT_STAMPS_NAMES                                                                          \
    {                                                                                              \
        "software", "kernel", "hardware"                                                           \
    }

// One packet at a time is watched on its way: from its arrival to the packet that has the first
// answer to it.
struct port_watch {
    const void *of;       // the entry that took it; NULL: none is watched
    uint64_t awaited_seq; // of its first command
    uint64_t received_ns; // when it was received, by `stamps`; software: the house's clock
    enum port_stamps stamps;
    bool leaving;     // the frame that is claimed has the answer
    bool left;        // it was sent
    bool unanswered;  // what came after it is being answered: it will not be
    uint64_t sent_ns; // when it left, by `stamps`, once the port knows; software: not the port's
    // Where its stages are measured: the house's clock at each point so far; all 0 else.
    uint64_t at[TRANSIT_POINTS];
    uint64_t tai_ahead_ns; // CLOCK_TAI less the house's clock, modulo 2^64
};

struct port;

struct port_operations {
    // Up to `max` (PORT_BATCH at most) packets of the shards whose bits are set in `shards`, each
    // to be given back by release in the same order. What is for the others stays where it is.
    uint32_t (*receive)(struct port *port, uint64_t shards, struct frame *frames, uint32_t max);
    void (*release)(struct port *port, const struct frame *frames, uint32_t count);
    // A frame of PACKET_SIZE_MAX bytes to be written, or NULL when none is free now. The same one
    // again until it is sent.
    uint8_t *(*claim)(struct port *port);
    // The claimed frame's first `size` bytes are to leave, in the order of the calls.
    void (*send)(struct port *port, size_t size);
    // Hand over what was sent, take back what has left. Once a poll.
    void (*flush)(struct port *port);
    // What to poll() for when idle: the number of entries filled. 0: nothing tells when a packet
    // comes, so the port must be looked at again soon.
    int (*poll_fds)(struct port *port, struct pollfd *fds);
    void (*read_counters)(struct port *port);
    void (*close)(struct port *port);
    // A client is bound to `source` at the shard's order port `at`, as its session number
    // `session`; and is not any more. For ports that keep out what comes from elsewhere before it
    // is received; NULL for others.
    void (*bind)(struct port *port, const struct endpoint *at, const struct endpoint *source,
                 uint32_t session);
    void (*unbind)(struct port *port, const struct endpoint *at, const struct endpoint *source);
};

struct port {
    const struct port_operations *operations;
    uint8_t mac[6];
    const char *mode;   // in words: what was really bound
    bool stamps_sent;   // it can tell when a frame left, by the kernel or the NIC
    bool stamps_by_nic; // … and that is the NIC's clock
    struct port_watch watch;
    _Atomic int lost; // errno of why nothing can be sent or received any more; 0: all is well
    struct port_counters counters;
    struct tap *tap;               // is shown what is received and sent; NULL: nobody is
    const struct tsc_clock *clock; // of the times it is told; not used without a tap
};

// The kinds of record in a port's tap.
enum port_direction { PORT_RECEIVED, PORT_SENT };

// frame_time_ns: when a frame was received, since 1970; it is `now_ns`. By the NIC where its clock
// is kept within a second of ours (PTP), else as the port or the house knows.
static inline uint64_t frame_time_ns(const struct frame *frame, uint64_t now_ns)
{
    uint64_t apart_ns =
        frame->hardware_ns > now_ns ? frame->hardware_ns - now_ns : now_ns - frame->hardware_ns;
    if (apart_ns < 1000000000)
        return frame->hardware_ns;
    return frame->time_ns ? frame->time_ns : now_ns;
}

// port_show_received: let the tap see frames that the port has received, as they came, before
// anything is made of them, with their times; it is `time_ns` (since 1970). One load while nobody
// reads the tap.
static inline void port_show_received(struct port *port, const struct frame *frames, uint32_t count,
                                      uint64_t time_ns)
{
    if (!port->tap || likely(!tap_watched(port->tap)))
        return;
    for (uint32_t i = 0; i < count; i++)
        tap_put(port->tap, frame_time_ns(&frames[i], time_ns), PORT_RECEIVED, frames[i].data,
                frames[i].size);
}

// port_send: send the first `size` bytes of `frame`, which is the one that was claimed, and let the
// tap see them, at the time it is now. Whoever answers or tells sends this way.
static inline void port_send(struct port *port, const uint8_t *frame, size_t size)
{
    if (port->tap && unlikely(tap_watched(port->tap)))
        tap_put(port->tap, clock_wall_ns(port->clock), PORT_SENT, frame, size);
    port->operations->send(port, size);
    port->watch.left |= port->watch.leaving;
    port->watch.leaving = false;
}

#define PORT_DRAIN_NS 50000000u

// port_drain: time for the last frames to leave, before the port is closed.
static inline void port_drain(struct port *port, const struct tsc_clock *clock)
{
    uint64_t until_ns = clock_ns(clock) + PORT_DRAIN_NS;
    while (clock_ns(clock) < until_ns)
        port->operations->flush(port);
}

// port_bind, port_unbind: tell a port that can make use of it who is bound. What it lets through is
// the caller's to check all the same.
static inline void port_bind(struct port *port, const struct endpoint *at,
                             const struct endpoint *source, uint32_t session)
{
    if (port->operations->bind)
        port->operations->bind(port, at, source, session);
}

static inline void port_unbind(struct port *port, const struct endpoint *at,
                               const struct endpoint *source)
{
    if (port->operations->unbind)
        port->operations->unbind(port, at, source);
}

struct port_xdp_options {
    const char *interface;
    const uint32_t *queues;
    uint32_t queue_count; // 1 to PORT_QUEUES_MAX; all are received from, the first one transmits
    bool zerocopy;        // ask for it; refused by a driver that cannot
    bool busy_poll;       // receive and flush run the NIC's poll function, else its interrupt does
    bool stamps;          // the program stamps packets, and so should the kernel what is sent
    uint32_t frame_count; // a power of two
};

// port_xdp_memory_size: bytes that port_xdp_open takes from its arena.
size_t port_xdp_memory_size(uint32_t frame_count);

// port_xdp_open: the AF_XDP port: a UMEM from `arena`, and on each queue a socket for each of
// `shard_count` shards, all sharing the UMEM; the very first one also transmits. The program that
// steers packets to the sockets is the caller's: port_xdp_socket gives the descriptor of `shard`'s
// on the `queue`th of the options' queues, for its map. NULL with `error`.
struct port *port_xdp_open(const struct port_xdp_options *options, uint32_t shard_count,
                           struct arena *arena, struct error *error);
int port_xdp_socket(const struct port *port, uint32_t queue, uint32_t shard);

// port_xdp_guard: who is bound to `shard`'s order port, `order_port` (network byte order), is told
// to the program in `bound`. Once for each shard, before it takes orders.
void port_xdp_guard(struct port *port, uint32_t shard, uint16_t order_port, struct bound bound);

#define PORT_DESTINATIONS_MAX (2 * STEER_SHARDS_MAX)

// What is a shard's, for ports that have no program to tell them.
struct port_destination {
    uint32_t address; // network byte order, as is `port`
    uint16_t port;
    uint32_t shard;
};

struct port_udp_options {
    const char *interface;
    const struct port_destination *destinations;
    uint32_t destination_count; // 1 to PORT_DESTINATIONS_MAX
};

// port_udp_open: a port over sockets of the kernel's stack, for hosts without XDP and to compare
// with: what comes to the destinations is received, and what is sent is routed by the kernel, which
// finds the Ethernet addresses itself. NULL with `error`.
struct port *port_udp_open(const struct port_udp_options *options, struct error *error);

struct port_dpdk_options {
    const char *device; // as the EAL calls it: a PCI address, or a virtual device's name
    char *const *eal;   // the EAL's arguments, without the program's name: the first port's count
    uint32_t eal_count;
    uint32_t queue_count; // 1 to PORT_QUEUES_MAX; all are received from, the first one transmits
    uint32_t frame_count; // mbufs, a power of two
    int node;             // NUMA node of its memory; ARENA_ANY_NODE: the device's
    const struct port_destination *destinations;
    uint32_t destination_count; // 1 to PORT_DESTINATIONS_MAX
};

// port_dpdk_open: a port over a DPDK device. Packets of the destinations' shards wait in the port,
// in bounded queues, while receive does not want them; all others are handed out at once. Starts
// the EAL when it is the first, on the calling thread, which keeps its cores; the last one to be
// closed ends it for good. Where the device says so, its links and its loss are told on stderr and
// in `lost`. NULL with `error`. Before threads start.
typedef struct port *port_dpdk_open_fn(const struct port_dpdk_options *options,
                                       uint32_t shard_count, struct error *error);
port_dpdk_open_fn port_dpdk_open;

// port_dpdk_load: port_dpdk_open from the shared object that it is in, so that only those who use
// DPDK need it: sluice-dpdk.so beside the program, or in ../lib/sluice from there. NULL with
// `error`.
port_dpdk_open_fn *port_dpdk_load(struct error *error);

// port_tape_open: a port over files: receives the packets of the recording `input` one by one, and
// writes what is sent to the nanosecond pcap `output` (NULL: nowhere), with the time of the packet
// received last. NULL with `error`. port_tape_finish, before close: 0, or -1 with `error` when the
// input was damaged, or not all of the output could be written.
struct port *port_tape_open(const char *input, const char *output, struct error *error);
int port_tape_finish(struct port *port, struct error *error);

#endif
