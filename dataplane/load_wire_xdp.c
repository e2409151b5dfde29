// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/load_wire.h"
#include "dataplane/nic.h"
#include "numa/arena.h"
#include "numa/thread.h"
#include "xdp/loader.h"

#define FRAMES 32768u
#define SHARD  0u // the port's only one

struct load_wire_xdp {
    struct load_wire wire;
    const struct tsc_clock *clock;
    const char *interface;
    uint32_t tx_dropped; // by the interface, before
    enum port_stamps stamps;
    struct arena memory;
    struct steer *steer;
    struct port *port;
    uint32_t queues[PORT_QUEUES_MAX];
    uint32_t queue_count;
    struct endpoint venue; // its Ethernet address once it has answered
    bool answered;
    struct endpoint sessions[LOAD_SESSIONS_MAX];
    uint8_t sessions_of[UINT16_MAX + 1]; // by UDP port: a session's number plus one
    struct frame frames[LOAD_ARRIVALS_MAX];
    uint32_t frame_count; // received, not given back
};

static struct load_wire_xdp *xdp_of(struct load_wire *wire)
{
    return (struct load_wire_xdp *)wire;
}

// The kernel finds the venue's Ethernet address.
static int send_login(struct load_wire *wire, uint32_t session, const struct iovec *payloads,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        ssize_t sent =
            send(wire->sockets[session], payloads[i].iov_base, payloads[i].iov_len, MSG_DONTWAIT);
        if (sent < 0)
            return load_wire_transient(errno) ? (int)i : -1;
    }
    return (int)count;
}

static int xdp_send(struct load_wire *wire, uint32_t session, const struct iovec *payloads,
                    uint32_t count)
{
    struct load_wire_xdp *xdp = xdp_of(wire);
    struct port *port = xdp->port;
    uint32_t sent = 0;
    uint8_t *frame;
    if (!xdp->answered)
        return send_login(wire, session, payloads, count);
    for (; sent < count && (frame = port->operations->claim(port)); sent++) {
        if (wire->stamp_next)
            port->watch = (struct port_watch){.leaving = true};
        wire->stamp_next = false;
        memcpy(frame + packet_payload_offset(&xdp->venue), payloads[sent].iov_base,
               payloads[sent].iov_len);
        port_send(port, frame,
                  packet_write_headers(frame, &xdp->sessions[session], &xdp->venue,
                                       payloads[sent].iov_len));
    }
    port->operations->flush(port);
    errno = atomic_load_explicit(&port->lost, memory_order_relaxed);
    return errno ? -1 : (int)sent;
}

static int session_at(void *context, uint32_t address, uint16_t port)
{
    const struct load_wire_xdp *xdp = context;
    int session = xdp->sessions_of[port] - 1;
    return session >= 0 && xdp->sessions[session].address == address ? session : -1;
}

// Whether it is the venue's, for a session.
static bool take(struct load_wire_xdp *xdp, const struct frame *frame, struct load_arrival *arrival)
{
    struct packet packet;
    uint32_t session;
    if (packet_parse(frame->data, frame->size, session_at, xdp, &packet, &session) !=
            STEER_REDIRECT ||
        packet.source.address != xdp->venue.address || packet.source.port != xdp->venue.port) {
        xdp->wire.counters.strangers++;
        return false;
    }
    if (!packet_checksum_valid(&packet)) {
        xdp->wire.counters.bad_checksum++;
        return false;
    }
    if (!xdp->answered)
        xdp->venue = packet.source;
    xdp->answered = true;
    *arrival = (struct load_arrival){
        .session = session,
        .bytes = packet.payload,
        .size = packet.payload_size,
        .stamp_ns = xdp->stamps == PORT_STAMPS_HARDWARE ? frame->hardware_ns : frame->kernel_ns};
    return true;
}

static uint32_t xdp_receive(struct load_wire *wire, struct load_arrival *arrivals)
{
    struct load_wire_xdp *xdp = xdp_of(wire);
    struct port *port = xdp->port;
    uint32_t count = 0;
    port->operations->release(port, xdp->frames, xdp->frame_count);
    port->operations->flush(port);
    wire->left_ns = port->watch.sent_ns;
    xdp->frame_count = port->operations->receive(port, 1u << SHARD, xdp->frames, LOAD_ARRIVALS_MAX);
    uint64_t now_ns = clock_ns(xdp->clock);
    for (uint32_t i = 0; i < xdp->frame_count; i++)
        if (take(xdp, &xdp->frames[i], &arrivals[count]))
            arrivals[count++].time_ns = now_ns;
    return count;
}

static int xdp_poll_fds(struct load_wire *wire, struct pollfd *fds)
{
    struct port *port = xdp_of(wire)->port;
    return port->operations->poll_fds(port, fds);
}

static void xdp_read_counters(struct load_wire *wire)
{
    struct port *port = xdp_of(wire)->port;
    port->operations->read_counters(port);
    wire->counters.not_sent = nic_tx_dropped(xdp_of(wire)->interface) - xdp_of(wire)->tx_dropped;
    wire->counters.no_room =
        port->counters.rx_dropped + port->counters.rx_ring_full + port->counters.rx_fill_empty;
}

static void xdp_close(struct load_wire *wire)
{
    struct load_wire_xdp *xdp = xdp_of(wire);
    if (xdp->port) {
        port_drain(xdp->port, xdp->clock);
        steer_remove_sockets(xdp->steer);
        xdp->port->operations->close(xdp->port);
    }
    steer_close(xdp->steer);
    if (xdp->memory.base)
        arena_close(&xdp->memory);
    load_wire_close_sockets(wire);
    free(xdp);
}

static const struct load_wire_operations operations = {
    .send = xdp_send,
    .receive = xdp_receive,
    .poll_fds = xdp_poll_fds,
    .read_counters = xdp_read_counters,
    .close = xdp_close,
};

// The program is there before the port: whoever has the interface is named by it.
static int open_steer(struct load_wire_xdp *xdp, const char *interface, struct error *error)
{
    struct steer_options options = {.queue_count = xdp->queue_count,
                                    .shard_count = 1,
                                    .session_count = 1,
                                    .stamped_interface =
                                        xdp->stamps == PORT_STAMPS_SOFTWARE ? NULL : interface};
    xdp->steer = steer_load(&options, error);
    return xdp->steer ? steer_attach(xdp->steer, interface, true, error) : -1;
}

// Arrivals and departures are stamped by the one clock that was asked for, or it is refused.
static int check_stamps(const struct load_wire_xdp *xdp, const char *interface, struct error *error)
{
    static const char *const names[] = PORT_STAMPS_NAMES;
    bool by_nic = xdp->stamps == PORT_STAMPS_HARDWARE;
    int sent, received;
    const char *why = NULL;
    if (xdp->stamps == PORT_STAMPS_SOFTWARE)
        return 0;
    if (!steer_stamps(xdp->steer))
        why = "its driver cannot have an XDP program that stamps";
    else if (!xdp->port->stamps_sent)
        why = "a kernel of 6.8 or later is needed";
    else if (by_nic && nic_read_stamping(interface, &sent, &received))
        why = "it has no clock of its own: --stamps kernel";
    else if (by_nic && !xdp->port->stamps_by_nic)
        why = "in copy mode the kernel stamps what leaves: --stamps kernel";
    else if (by_nic && (sent == HWTSTAMP_TX_OFF || received == HWTSTAMP_FILTER_NONE))
        why = "its stamps are off: `hwstamp_ctl -t 1 -r 1` switches them on";
    else if (!by_nic && xdp->port->stamps_by_nic)
        why = "in zero-copy mode the NIC stamps what leaves: --stamps hardware";
    return why ? error_set(error, "load: --stamps %s: %s: %s", names[xdp->stamps], interface, why)
               : 0;
}

static int open_port(struct load_wire_xdp *xdp, const struct load_wire_options *options,
                     struct error *error)
{
    int node = options->core == THREAD_ANY_CORE ? ARENA_ANY_NODE : thread_core_node(options->core);
    struct port_xdp_options port = {.interface = options->interface,
                                    .queues = xdp->queues,
                                    .queue_count = xdp->queue_count,
                                    .zerocopy = nic_zerocopy_here(options->interface),
                                    .stamps = xdp->stamps != PORT_STAMPS_SOFTWARE,
                                    .frame_count = FRAMES};
    if (arena_open(&xdp->memory, "packet frames", port_xdp_memory_size(FRAMES), node, false, error))
        return -1;
    arena_prefer_node(node); // the rings, which the kernel allocates
    xdp->port = port_xdp_open(&port, 1, &xdp->memory, error);
    arena_prefer_node(ARENA_ANY_NODE);
    if (!xdp->port || check_stamps(xdp, options->interface, error))
        return -1;
    xdp->wire.mode = xdp->port->mode;
    for (uint32_t i = 0; i < xdp->queue_count; i++)
        if (steer_add_socket(xdp->steer, i, SHARD, port_xdp_socket(xdp->port, i, SHARD), error))
            return -1;
    return 0;
}

// The address that the kernel has chosen for a session's socket is the session's.
static int steer_session(struct load_wire_xdp *xdp, uint32_t session, struct error *error)
{
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    if (getsockname(xdp->wire.sockets[session], (struct sockaddr *)&own, &size))
        return error_set(error, "load: getsockname: %s", strerror(errno));
    struct endpoint *endpoint = &xdp->sessions[session];
    *endpoint = (struct endpoint){
        .address = own.sin_addr.s_addr, .port = own.sin_port, .vlan = PACKET_NO_VLAN};
    memcpy(endpoint->mac, xdp->port->mac, sizeof(endpoint->mac));
    xdp->sessions_of[own.sin_port] = (uint8_t)(session + 1);
    return steer_add_destination(xdp->steer, own.sin_addr.s_addr, own.sin_port, SHARD, true, error);
}

static int open_all(struct load_wire_xdp *xdp, const struct load_wire_options *options,
                    struct error *error)
{
    if (load_wire_open_sockets(&xdp->wire, options, error))
        return -1;
    uint32_t queue_count = nic_rx_queues(options->interface);
    xdp->queue_count = queue_count ? queue_count : 1;
    if (xdp->queue_count > PORT_QUEUES_MAX)
        return error_set(
            error, "load: %s has %u queues, and a port takes %u: ethtool -L %s combined %u",
            options->interface, queue_count, PORT_QUEUES_MAX, options->interface, PORT_QUEUES_MAX);
    for (uint32_t i = 0; i < xdp->queue_count; i++)
        xdp->queues[i] = i;
    if (open_steer(xdp, options->interface, error) || open_port(xdp, options, error))
        return -1;
    for (uint32_t i = 0; i < options->session_count; i++)
        if (steer_session(xdp, i, error))
            return -1;
    return 0;
}

struct load_wire *load_wire_xdp_open(const struct load_wire_options *options, struct error *error)
{
    struct load_wire_xdp *xdp = calloc(1, sizeof(*xdp));
    if (!xdp) {
        error_set(error, "load: no memory");
        return NULL;
    }
    xdp->wire.operations = &operations;
    xdp->clock = options->clock;
    xdp->interface = options->interface;
    xdp->tx_dropped = nic_tx_dropped(options->interface);
    xdp->stamps = options->stamps;
    xdp->venue = (struct endpoint){.address = options->to.sin_addr.s_addr,
                                   .port = options->to.sin_port,
                                   .vlan = PACKET_NO_VLAN};
    if (open_all(xdp, options, error)) {
        xdp_close(&xdp->wire);
        return NULL;
    }
    return &xdp->wire;
}
