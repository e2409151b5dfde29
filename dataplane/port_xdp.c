// SPDX-License-Identifier: MIT
//
// The AF_XDP port, through libxdp's xsk.h. Half of the frames are lent to the kernel for receiving,
// and FILL and RX have a slot for each of them, so that no packet is dropped for want of a slot
// before the frames run out: how long a stall of this thread may last without loss is the choice of
// `frames`. TX bounds what is being sent; COMPLETION equals it, as the kernel reserves its slot
// before it sends.
#include "dataplane/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "numa/invariant.h"

#define TX_SIZE 2048u
#define BIND_TRIES                                                                                 \
    200 // of 10 ms: a closed socket frees its queue asynchronously (21 ms seen on veth)
#define KICKS_A_FLUSH 4 // copy mode sends at most 32 frames a call

#define NO_FRAME      UINT64_MAX

struct port_xdp {
    struct port port;
    uint8_t *umem_area;
    struct xsk_umem *umem;
    struct xsk_ring_prod fill;
    struct xsk_ring_cons completion;
    struct xsk_socket *sockets[STEER_SHARDS_MAX];
    struct xsk_ring_cons rx[STEER_SHARDS_MAX];
    struct xsk_ring_prod tx;
    uint32_t socket_count;
    uint32_t next_socket; // where receive goes on, so that no shard starves another
    uint32_t fill_size;
    // The ledger: where each frame is. The four add up to frame_count at all times.
    uint32_t frame_count;
    uint32_t free_count;
    uint32_t kernel_count; // in the FILL ring or being received into
    uint32_t held_count;   // received, not yet released; or claimed, not yet sent
    uint32_t tx_count;     // sent, completion not yet seen
    uint64_t *free_frames; // a stack
    uint64_t claimed;
    uint32_t unkicked_count;
};

static struct port_xdp *xdp_of(struct port *port)
{
    return (struct port_xdp *)port;
}

static void check_ledger(const struct port_xdp *xdp)
{
    INVARIANT(xdp->free_count + xdp->kernel_count + xdp->held_count + xdp->tx_count ==
              xdp->frame_count);
}

static void put_free(struct port_xdp *xdp, uint64_t address)
{
    INVARIANT(xdp->free_count < xdp->frame_count);
    xdp->free_frames[xdp->free_count++] = address & ~(uint64_t)(PORT_FRAME_SIZE - 1);
}

static void refill(struct port_xdp *xdp)
{
    uint32_t room = xsk_prod_nb_free(&xdp->fill, PORT_BATCH);
    // Half of the frames stay with us, for sending.
    uint32_t spare =
        xdp->free_count > xdp->frame_count / 2 ? xdp->free_count - xdp->frame_count / 2 : 0;
    uint32_t count = room < spare ? room : spare, index;
    if (count == 0 || xsk_ring_prod__reserve(&xdp->fill, count, &index) != count)
        return;
    for (uint32_t i = 0; i < count; i++)
        *xsk_ring_prod__fill_addr(&xdp->fill, index + i) = xdp->free_frames[--xdp->free_count];
    xdp->kernel_count += count;
    xsk_ring_prod__submit(&xdp->fill, count);
}

static uint32_t receive_from(struct port_xdp *xdp, uint32_t socket, struct frame *frames,
                             uint32_t max)
{
    uint32_t index, count = xsk_ring_cons__peek(&xdp->rx[socket], max, &index);
    for (uint32_t i = 0; i < count; i++) {
        const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(&xdp->rx[socket], index + i);
        frames[i] = (struct frame){
            .data = xsk_umem__get_data(xdp->umem_area, descriptor->addr),
            .size = descriptor->len,
            .handle = descriptor->addr,
        };
        xdp->port.counters.received_bytes += descriptor->len;
    }
    if (count > 0) {
        xsk_ring_cons__release(&xdp->rx[socket], count);
        INVARIANT(xdp->kernel_count >= count);
        xdp->kernel_count -= count;
        xdp->held_count += count;
        xdp->port.counters.received_packets += count;
    }
    return count;
}

static uint32_t xdp_receive(struct port *port, uint64_t shards, struct frame *frames, uint32_t max)
{
    struct port_xdp *xdp = xdp_of(port);
    uint32_t count = 0;
    for (uint32_t i = 0; i < xdp->socket_count && count < max; i++) {
        if (shards >> xdp->next_socket & 1)
            count += receive_from(xdp, xdp->next_socket, frames + count, max - count);
        xdp->next_socket = (xdp->next_socket + 1) % xdp->socket_count;
    }
    return count;
}

static void xdp_release(struct port *port, const struct frame *frames, uint32_t count)
{
    struct port_xdp *xdp = xdp_of(port);
    INVARIANT(xdp->held_count >= count);
    for (uint32_t i = 0; i < count; i++)
        put_free(xdp, frames[i].handle);
    xdp->held_count -= count;
    refill(xdp);
}

static void reap(struct port_xdp *xdp)
{
    uint32_t index, count;
    while ((count = xsk_ring_cons__peek(&xdp->completion, PORT_BATCH, &index)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            put_free(xdp, *xsk_ring_cons__comp_addr(&xdp->completion, index + i));
        INVARIANT(xdp->tx_count >= count);
        xdp->tx_count -= count;
        xsk_ring_cons__release(&xdp->completion, count);
    }
}

static uint8_t *xdp_claim(struct port *port)
{
    struct port_xdp *xdp = xdp_of(port);
    if (xdp->claimed == NO_FRAME) {
        if (xdp->free_count == 0 || xsk_prod_nb_free(&xdp->tx, 1) == 0) {
            port->counters.no_frame++;
            return NULL;
        }
        xdp->claimed = xdp->free_frames[--xdp->free_count];
        xdp->held_count++;
    }
    return xsk_umem__get_data(xdp->umem_area, xdp->claimed);
}

static void xdp_send(struct port *port, size_t size)
{
    struct port_xdp *xdp = xdp_of(port);
    uint32_t index;
    INVARIANT(xdp->claimed != NO_FRAME && size <= PACKET_SIZE_MAX);
    INVARIANT(xsk_ring_prod__reserve(&xdp->tx, 1, &index) == 1);
    struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&xdp->tx, index);
    *descriptor = (struct xdp_desc){.addr = xdp->claimed, .len = (uint32_t)size};
    xsk_ring_prod__submit(&xdp->tx, 1);
    xdp->claimed = NO_FRAME;
    xdp->held_count--;
    xdp->tx_count++;
    xdp->unkicked_count++;
    port->counters.sent_packets++;
    port->counters.sent_bytes += size;
}

// The kernel's transient refusals; anything else means that this socket will never send again.
static bool transient(int error)
{
    return error == EAGAIN || error == EBUSY || error == ENOBUFS || error == ENETDOWN ||
           error == EINTR;
}

static void kick(struct port_xdp *xdp)
{
    int fd = xsk_socket__fd(xdp->sockets[0]);
    for (int i = 0; i < KICKS_A_FLUSH; i++) {
        xdp->port.counters.kicks++;
        if (sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
            xdp->unkicked_count = 0;
            return;
        }
        INVARIANT(transient(errno));
        if (errno != EAGAIN) // EAGAIN: its batch is sent and there is more
            break;
    }
    xdp->port.counters.kick_busy++;
}

static void xdp_flush(struct port *port)
{
    struct port_xdp *xdp = xdp_of(port);
    if (xdp->unkicked_count > 0 && xsk_ring_prod__needs_wakeup(&xdp->tx))
        kick(xdp);
    if (xdp->tx_count > 0)
        reap(xdp);
    if (xsk_ring_prod__needs_wakeup(&xdp->fill))
        recvfrom(xsk_socket__fd(xdp->sockets[0]), NULL, 0, MSG_DONTWAIT, NULL, NULL);
    refill(xdp);
    check_ledger(xdp);
}

static int xdp_poll_fds(struct port *port, struct pollfd *fds)
{
    struct port_xdp *xdp = xdp_of(port);
    for (uint32_t i = 0; i < xdp->socket_count; i++)
        fds[i] = (struct pollfd){.fd = xsk_socket__fd(xdp->sockets[i]), .events = POLLIN};
    return (int)xdp->socket_count;
}

static void xdp_read_counters(struct port *port)
{
    struct port_xdp *xdp = xdp_of(port);
    struct xdp_statistics sum = {0};
    for (uint32_t i = 0; i < xdp->socket_count; i++) {
        struct xdp_statistics one = {0};
        socklen_t size = sizeof(one);
        if (getsockopt(xsk_socket__fd(xdp->sockets[i]), SOL_XDP, XDP_STATISTICS, &one, &size))
            continue;
        sum.rx_dropped += one.rx_dropped;
        sum.rx_invalid_descs += one.rx_invalid_descs;
        sum.tx_invalid_descs += one.tx_invalid_descs;
        sum.rx_ring_full += one.rx_ring_full;
        sum.rx_fill_ring_empty_descs += one.rx_fill_ring_empty_descs;
    }
    port->counters.rx_dropped = sum.rx_dropped;
    port->counters.rx_ring_full = sum.rx_ring_full;
    port->counters.rx_fill_empty = sum.rx_fill_ring_empty_descs;
    port->counters.rx_invalid = sum.rx_invalid_descs;
    port->counters.tx_invalid = sum.tx_invalid_descs;
}

static void xdp_close(struct port *port)
{
    struct port_xdp *xdp = xdp_of(port);
    for (uint32_t i = xdp->socket_count; i > 0; i--)
        xsk_socket__delete(xdp->sockets[i - 1]);
    if (xdp->umem)
        xsk_umem__delete(xdp->umem);
    free(xdp);
}

static const struct port_operations operations = {
    .receive = xdp_receive,
    .release = xdp_release,
    .claim = xdp_claim,
    .send = xdp_send,
    .flush = xdp_flush,
    .poll_fds = xdp_poll_fds,
    .read_counters = xdp_read_counters,
    .close = xdp_close,
};

size_t port_xdp_memory_size(uint32_t frame_count)
{
    return (size_t)frame_count * (PORT_FRAME_SIZE + sizeof(uint64_t)) + 2 * PORT_FRAME_SIZE;
}

static int bind_socket(struct port_xdp *xdp, const struct port_xdp_options *options, uint32_t shard,
                       struct error *error)
{
    struct xsk_socket_config config = {
        .rx_size = xdp->fill_size,
        .tx_size = TX_SIZE,
        .libbpf_flags = XSK_LIBBPF_FLAGS__INHIBIT_PROG_LOAD,
        .xdp_flags = 0,
        .bind_flags =
            (uint16_t)(XDP_USE_NEED_WAKEUP | (options->zerocopy ? XDP_ZEROCOPY : XDP_COPY)),
    };
    int result = -EBUSY;
    for (int i = 0; i < BIND_TRIES && result == -EBUSY; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        result = xsk_socket__create_shared(&xdp->sockets[shard], options->interface, options->queue,
                                           xdp->umem, &xdp->rx[shard], shard == 0 ? &xdp->tx : NULL,
                                           &xdp->fill, &xdp->completion, &config);
    }
    if (result == 0) {
        xdp->socket_count++;
        return 0;
    }
    const char *remedy = "see `ethtool -l` for the queues there are";
    if (result == -EBUSY)
        remedy = "another AF_XDP socket holds the queue; stop the program that owns it";
    else if (result == -EOPNOTSUPP && options->zerocopy)
        remedy = "its driver has no zero-copy; set mode = \"copy\"";
    else if (result == -EPERM)
        remedy = "run as root or with CAP_NET_RAW and CAP_NET_ADMIN";
    return error_set(error, "%s queue %u: cannot bind an AF_XDP socket: %s; %s", options->interface,
                     options->queue, strerror(-result), remedy);
}

static int read_mac(const char *interface, uint8_t mac[6], struct error *error)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, interface, strnlen(interface, sizeof(request.ifr_name) - 1));
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int result = fd < 0 ? -1 : ioctl(fd, SIOCGIFHWADDR, &request);
    if (fd >= 0)
        close(fd);
    if (result < 0)
        return error_set(error, "%s: cannot read its Ethernet address: %s", interface,
                         strerror(errno));
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    return 0;
}

// What was bound, as the kernel says it.
static void read_mode(struct port_xdp *xdp)
{
    struct xdp_options bound = {0};
    socklen_t size = sizeof(bound);
    int fd = xsk_socket__fd(xdp->sockets[0]);
    if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &bound, &size))
        xdp->port.mode = "unknown";
    else
        xdp->port.mode = bound.flags & XDP_OPTIONS_ZEROCOPY ? "zerocopy" : "copy";
}

static int open_sockets(struct port_xdp *xdp, const struct port_xdp_options *options,
                        uint32_t shard_count, struct error *error)
{
    struct xsk_umem_config config = {
        .fill_size = xdp->fill_size,
        .comp_size = TX_SIZE,
        .frame_size = PORT_FRAME_SIZE,
        .frame_headroom = 0,
    };
    int result =
        xsk_umem__create(&xdp->umem, xdp->umem_area, (uint64_t)xdp->frame_count * PORT_FRAME_SIZE,
                         &xdp->fill, &xdp->completion, &config);
    if (result)
        return error_set(error, "%s: cannot register %u frames with AF_XDP: %s%s",
                         options->interface, xdp->frame_count, strerror(-result),
                         result == -EPERM ? "; run as root or with CAP_NET_RAW" : "");
    refill(xdp); // before bind: some drivers take their buffers then
    for (uint32_t shard = 0; shard < shard_count; shard++)
        if (bind_socket(xdp, options, shard, error))
            return -1;
    read_mode(xdp);
    return read_mac(options->interface, xdp->port.mac, error);
}

struct port *port_xdp_open(const struct port_xdp_options *options, uint32_t shard_count,
                           struct arena *arena, struct error *error)
{
    INVARIANT(shard_count >= 1 && shard_count <= STEER_SHARDS_MAX);
    struct port_xdp *xdp = calloc(1, sizeof(*xdp));
    if (!xdp) {
        error_set(error, "%s: no memory", options->interface);
        return NULL;
    }
    xdp->port.operations = &operations;
    xdp->frame_count = options->frame_count;
    xdp->claimed = NO_FRAME;
    xdp->fill_size = options->frame_count / 2;
    xdp->umem_area = arena_take(arena, (size_t)xdp->frame_count * PORT_FRAME_SIZE, 4096);
    xdp->free_frames = arena_take(arena, xdp->frame_count * sizeof(uint64_t), 64);
    for (uint32_t i = 0; i < xdp->frame_count; i++)
        put_free(xdp, (uint64_t)(xdp->frame_count - 1 - i) * PORT_FRAME_SIZE);
    if (open_sockets(xdp, options, shard_count, error)) {
        xdp_close(&xdp->port);
        return NULL;
    }
    return &xdp->port;
}

int port_xdp_socket(const struct port *port, uint32_t shard)
{
    const struct port_xdp *xdp = (const struct port_xdp *)port;
    INVARIANT(shard < xdp->socket_count);
    return xsk_socket__fd(xdp->sockets[shard]);
}
