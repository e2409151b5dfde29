// SPDX-License-Identifier: MIT
//
// The AF_XDP port. Half of the frames are lent to the kernel for receiving,
// a part of them to each queue, and FILL and RX have a slot for each, so that no packet is dropped
// for want of a slot before the frames run out: how long a stall of this thread may last without
// loss is the choice of `frames`. TX bounds what is being sent; COMPLETION equals it, as the kernel
// reserves its slot before it sends. One socket transmits: with more of them on a queue the kernel
// leaves its batched path.
#include "dataplane/port.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/nic.h"
#include "dataplane/xsk.h"
#include "numa/invariant.h"

#define TX_SIZE                 2048u
// Of 10 ms. A closed socket frees its queue asynchronously: after 21 ms on veth; after 10 s where
// the process was killed on a core of nohz_full= and the kernel puts such work off
// (CONFIG_RCU_LAZY, seen on virtio_net with 7.2). rcutree.enable_rcu_lazy=0 on its command line
// spares the wait.
#define BIND_TRIES              1500
#define BIND_TRIES_SILENT       100
#define KICKS_A_FLUSH           4 // copy mode sends at most 32 frames a call

// Busy polling, as the kernel's documentation of AF_XDP has it: how long the kernel may look, how
// many packets a look takes, and that interrupts stay off while somebody looks. Debian 12's libc
// has no names for two of them.
#define BUSY_POLL_US            20
#define BUSY_POLL_BUDGET        64
#define OPTION_PREFER_BUSY_POLL 69
#define OPTION_BUSY_POLL_BUDGET 70

// What is sent begins so far into its frame: room for its metadata, on a cache line.
#define SEND_OFFSET             64u

#define NO_FRAME                UINT64_MAX

// A queue of the interface: its own FILL and COMPLETION rings, and a socket for each shard.
struct queue {
    uint32_t number; // the interface's
    struct xsk_ring_prod fill;
    struct xsk_ring_cons completion;
    struct xsk sockets[STEER_SHARDS_MAX];
    struct xsk_ring_cons rx[STEER_SHARDS_MAX];
    uint32_t lent_count; // frames in its FILL ring or being received into
};

// Who is bound to a shard, as its program knows it.
struct guard {
    uint16_t order_port; // network byte order
    struct bound bound;
};

struct port_xdp {
    struct port port;
    uint8_t *umem_area;
    struct queue queues[PORT_QUEUES_MAX];
    struct guard guards[STEER_SHARDS_MAX];
    struct xsk_ring_prod tx;
    uint32_t queue_count, shard_count;
    uint32_t next_socket; // where receive goes on, so that no shard or queue starves another
    uint32_t lent_max;    // frames a queue
    bool busy_poll;
    // The ledger: where each frame is. The four add up to frame_count at all times.
    uint32_t frame_count;
    uint32_t free_count;
    uint32_t kernel_count; // lent for receiving, on all queues
    uint32_t held_count;   // received, not yet released; or claimed, not yet sent
    uint32_t tx_count;     // sent, completion not yet seen
    uint64_t *free_frames; // a stack
    uint64_t claimed;
    uint64_t watched; // the frame whose stamp the port's watch waits for
    bool stamps;      // packets are stamped when they come
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

static void refill_queue(struct port_xdp *xdp, struct queue *queue)
{
    uint32_t room = xsk_prod_nb_free(&queue->fill, PORT_BATCH);
    uint32_t wanted = xdp->lent_max - queue->lent_count;
    uint32_t count = room < wanted ? room : wanted, index;
    // Half of the frames stay with us, for sending.
    uint32_t spare =
        xdp->free_count > xdp->frame_count / 2 ? xdp->free_count - xdp->frame_count / 2 : 0;
    count = count < spare ? count : spare;
    if (count == 0 || xsk_ring_prod__reserve(&queue->fill, count, &index) != count)
        return;
    for (uint32_t i = 0; i < count; i++)
        *xsk_ring_prod__fill_addr(&queue->fill, index + i) = xdp->free_frames[--xdp->free_count];
    queue->lent_count += count;
    xdp->kernel_count += count;
    xsk_ring_prod__submit(&queue->fill, count);
}

static void refill(struct port_xdp *xdp)
{
    for (uint32_t i = 0; i < xdp->queue_count; i++)
        refill_queue(xdp, &xdp->queues[i]);
}

// The stamp that stands in front of a packet, if one does. It is taken away: the frame will be used
// again, by programs that may not write one.
static void take_stamp(struct frame *frame)
{
    struct steer_stamp *stamp = (struct steer_stamp *)(uintptr_t)(frame->data - sizeof(*stamp));
    if (stamp->magic != STEER_STAMP_MAGIC)
        return;
    frame->hardware_ns = stamp->hardware_ns;
    frame->kernel_ns = stamp->kernel_ns;
    stamp->magic = 0;
}

static uint32_t receive_from(struct port_xdp *xdp, struct queue *queue, uint32_t shard,
                             struct frame *frames, uint32_t max)
{
    struct xsk_ring_cons *rx = &queue->rx[shard];
    uint32_t index, count = xsk_ring_cons__peek(rx, max, &index);
    for (uint32_t i = 0; i < count; i++) {
        const struct xdp_desc *descriptor = xsk_ring_cons__rx_desc(rx, index + i);
        frames[i] = (struct frame){
            .data = xsk_umem__get_data(xdp->umem_area, descriptor->addr),
            .size = descriptor->len,
            .handle = descriptor->addr,
        };
        if (xdp->stamps)
            take_stamp(&frames[i]);
        xdp->port.counters.received_bytes += descriptor->len;
    }
    if (count > 0) {
        xsk_ring_cons__release(rx, count);
        INVARIANT(queue->lent_count >= count && xdp->kernel_count >= count);
        queue->lent_count -= count;
        xdp->kernel_count -= count;
        xdp->held_count += count;
        xdp->port.counters.received_packets += count;
    }
    return count;
}

// The kernel's transient refusals. After any other the socket will never work again: its interface
// is gone.
static bool transient(int error)
{
    return error == EAGAIN || error == EBUSY || error == ENOBUFS || error == ENETDOWN ||
           error == EINTR;
}

static void note_failure(struct port_xdp *xdp, int why)
{
    if (!transient(why))
        atomic_store_explicit(&xdp->port.lost, why, memory_order_relaxed);
}

// Have the kernel receive on a queue: it takes what is in the FILL ring again, and when busy
// polling it takes packets from the NIC now.
static void wake_receiver(struct port_xdp *xdp, const struct queue *queue)
{
    if (recvfrom(queue->sockets[0].fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0)
        note_failure(xdp, errno);
}

static uint32_t xdp_receive(struct port *port, uint64_t shards, struct frame *frames, uint32_t max)
{
    struct port_xdp *xdp = xdp_of(port);
    uint32_t count = 0, socket_count = xdp->queue_count * xdp->shard_count;
    for (uint32_t i = 0; xdp->busy_poll && i < xdp->queue_count; i++)
        wake_receiver(xdp, &xdp->queues[i]);
    for (uint32_t i = 0; i < socket_count && count < max; i++) {
        struct queue *queue = &xdp->queues[xdp->next_socket / xdp->shard_count];
        uint32_t shard = xdp->next_socket % xdp->shard_count;
        if (shards >> shard & 1)
            count += receive_from(xdp, queue, shard, frames + count, max - count);
        xdp->next_socket = (xdp->next_socket + 1) % socket_count;
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

static struct xsk_tx_stamp *stamp_of(const struct port_xdp *xdp, uint64_t address)
{
    return (struct xsk_tx_stamp *)(void *)(xdp->umem_area + address - sizeof(struct xsk_tx_stamp));
}

static void read_stamp(struct port_xdp *xdp)
{
    uint64_t time_ns = stamp_of(xdp, xdp->watched)->time_ns;
    xdp->port.watch.sent_ns = time_ns ? time_ns : 1; // never stamped: before anything arrived
    xdp->watched = NO_FRAME;
}

static void reap(struct port_xdp *xdp)
{
    struct xsk_ring_cons *completion = &xdp->queues[0].completion;
    uint32_t index, count;
    while ((count = xsk_ring_cons__peek(completion, PORT_BATCH, &index)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            uint64_t address = *xsk_ring_cons__comp_addr(completion, index + i);
            if (address == xdp->watched)
                read_stamp(xdp);
            put_free(xdp, address);
        }
        INVARIANT(xdp->tx_count >= count);
        xdp->tx_count -= count;
        xsk_ring_cons__release(completion, count);
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
        xdp->claimed = xdp->free_frames[--xdp->free_count] + SEND_OFFSET;
        xdp->held_count++;
    }
    return xsk_umem__get_data(xdp->umem_area, xdp->claimed);
}

// It has the answer that is watched: ask for the time when it leaves.
static void watch_frame(struct port_xdp *xdp, struct xdp_desc *descriptor)
{
    *stamp_of(xdp, xdp->claimed) = (struct xsk_tx_stamp){.flags = XSK_TX_STAMP_WANTED};
    descriptor->options = XSK_TX_HAS_METADATA;
    xdp->watched = xdp->claimed;
}

static void xdp_send(struct port *port, size_t size)
{
    struct port_xdp *xdp = xdp_of(port);
    uint32_t index;
    INVARIANT(xdp->claimed != NO_FRAME && size <= PACKET_SIZE_MAX);
    INVARIANT(xsk_ring_prod__reserve(&xdp->tx, 1, &index) == 1);
    struct xdp_desc *descriptor = xsk_ring_prod__tx_desc(&xdp->tx, index);
    *descriptor = (struct xdp_desc){.addr = xdp->claimed, .len = (uint32_t)size};
    if (port->watch.leaving && port->stamps_sent)
        watch_frame(xdp, descriptor);
    xsk_ring_prod__submit(&xdp->tx, 1);
    xdp->claimed = NO_FRAME;
    xdp->held_count--;
    xdp->tx_count++;
    xdp->unkicked_count++;
    port->counters.sent_packets++;
    port->counters.sent_bytes += size;
}

static void kick(struct port_xdp *xdp)
{
    int fd = xdp->queues[0].sockets[0].fd;
    for (int i = 0; i < KICKS_A_FLUSH; i++) {
        xdp->port.counters.kicks++;
        if (sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
            xdp->unkicked_count = 0;
            return;
        }
        note_failure(xdp, errno);
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
    for (uint32_t i = 0; i < xdp->queue_count; i++)
        if (xsk_ring_prod__needs_wakeup(&xdp->queues[i].fill))
            wake_receiver(xdp, &xdp->queues[i]);
    refill(xdp);
    check_ledger(xdp);
}

static int xdp_poll_fds(struct port *port, struct pollfd *fds)
{
    struct port_xdp *xdp = xdp_of(port);
    int count = 0;
    for (uint32_t i = 0; i < xdp->queue_count; i++)
        for (uint32_t j = 0; j < xdp->shard_count; j++)
            fds[count++] = (struct pollfd){.fd = xdp->queues[i].sockets[j].fd, .events = POLLIN};
    return count;
}

static void xdp_read_counters(struct port *port)
{
    struct port_xdp *xdp = xdp_of(port);
    struct xdp_statistics sum = {0};
    for (uint32_t i = 0; i < xdp->queue_count * xdp->shard_count; i++) {
        struct xdp_statistics one = {0};
        socklen_t size = sizeof(one);
        int fd = xdp->queues[i / xdp->shard_count].sockets[i % xdp->shard_count].fd;
        if (getsockopt(fd, SOL_XDP, XDP_STATISTICS, &one, &size))
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
    for (uint32_t i = xdp->queue_count; i-- > 0;)
        for (uint32_t j = xdp->shard_count; j-- > 0;)
            xsk_close(&xdp->queues[i].sockets[j]);
}

static const struct bound *bound_at(const struct port_xdp *xdp, const struct endpoint *at)
{
    uint32_t shard = 0;
    while (shard < xdp->shard_count && xdp->guards[shard].order_port != at->port)
        shard++;
    INVARIANT(shard < xdp->shard_count);
    return &xdp->guards[shard].bound;
}

static void xdp_bind(struct port *port, const struct endpoint *at, const struct endpoint *source,
                     uint32_t session)
{
    const struct bound *bound = bound_at(xdp_of(port), at);
    if (!bound_add(bound, source->address, source->port, source->mac, session))
        port->counters.unlisted++;
}

static void xdp_unbind(struct port *port, const struct endpoint *at, const struct endpoint *source)
{
    bound_remove(bound_at(xdp_of(port), at), source->address, source->port);
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
    .bind = xdp_bind,
    .unbind = xdp_unbind,
};

size_t port_xdp_memory_size(uint32_t frame_count)
{
    return (size_t)frame_count * (PORT_FRAME_SIZE + sizeof(uint64_t)) + sizeof(struct port_xdp) +
           2 * PORT_FRAME_SIZE;
}

static int bind_failed(const struct port_xdp_options *options, const struct queue *queue, int code,
                       struct error *error)
{
    const char *remedy = "see `ethtool -l` for the queues there are";
    if (code == -EBUSY)
        remedy = "another AF_XDP socket holds the queue; stop the program that owns it";
    else if (code == -EOPNOTSUPP && options->zerocopy)
        remedy = "its driver has no zero-copy; set mode = \"copy\"";
    else if (code == -EPERM)
        remedy = "run as root or with CAP_NET_RAW and CAP_NET_ADMIN";
    return error_set(error, "%s queue %u: cannot bind an AF_XDP socket: %s; %s", options->interface,
                     queue->number, strerror(-code), remedy);
}

static int bind_socket(struct port_xdp *xdp, const struct port_xdp_options *options,
                       struct queue *queue, uint32_t shard, struct error *error)
{
    uint32_t interface = if_nametoindex(options->interface);
    uint16_t flags =
        (uint16_t)(XDP_USE_NEED_WAKEUP | (options->zerocopy ? XDP_ZEROCOPY : XDP_COPY));
    int code = -EBUSY;
    for (int i = 0; i < BIND_TRIES && code == -EBUSY; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        if (i == BIND_TRIES_SILENT)
            warn("%s queue %u: an AF_XDP socket holds it, perhaps one that was closed: waiting up "
                 "to %u s",
                 options->interface, queue->number, BIND_TRIES / 100);
        code = xsk_bind(&queue->sockets[shard], interface, queue->number, flags,
                        &xdp->queues[0].sockets[0]);
    }
    return code ? bind_failed(options, queue, code, error) : 0;
}

static int start_busy_polling(const struct queue *queue, const char *interface, struct error *error)
{
    static const struct {
        int option, value;
    } settings[] = {{OPTION_PREFER_BUSY_POLL, 1},
                    {SO_BUSY_POLL, BUSY_POLL_US},
                    {OPTION_BUSY_POLL_BUDGET, BUSY_POLL_BUDGET}};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        if (setsockopt(queue->sockets[0].fd, SOL_SOCKET, settings[i].option, &settings[i].value,
                       sizeof(settings[i].value)))
            return error_set(error,
                             "%s queue %u: cannot poll it busily: %s; set poll = \"interrupt\", "
                             "or grant CAP_NET_ADMIN",
                             interface, queue->number, strerror(errno));
    return 0;
}

static bool polled_busily(const struct port_xdp *xdp)
{
    int preferred = 1;
    socklen_t size = sizeof(preferred);
    for (uint32_t i = 0; i < xdp->queue_count && preferred; i++)
        if (getsockopt(xdp->queues[i].sockets[0].fd, SOL_SOCKET, OPTION_PREFER_BUSY_POLL,
                       &preferred, &size))
            return false;
    return preferred;
}

// What was bound, as the kernel says it.
static void read_mode(struct port_xdp *xdp)
{
    static const char *const modes[2][2] = {{"copy", "copy, busy polling"},
                                            {"zerocopy", "zerocopy, busy polling"}};
    struct xdp_options bound = {0};
    socklen_t size = sizeof(bound);
    int fd = xdp->queues[0].sockets[0].fd;
    bool known = getsockopt(fd, SOL_XDP, XDP_OPTIONS, &bound, &size) == 0;
    bool zerocopy = known && bound.flags & XDP_OPTIONS_ZEROCOPY;
    xdp->port.mode = known ? modes[zerocopy][polled_busily(xdp)] : "unknown";
    // What is copied is stamped by the kernel when it gives the copy to the driver.
    xdp->port.stamps_by_nic = zerocopy;
}

// A socket with its rings, not bound. The first one of all registers the frames and transmits; the
// first one of each queue has the queue's own rings.
static int open_socket(struct port_xdp *xdp, struct queue *queue, uint32_t shard)
{
    struct xsk *xsk = &queue->sockets[shard];
    bool first = queue == &xdp->queues[0] && shard == 0;
    int code = xsk_open(xsk);
    if (code == 0 && first)
        code = xsk_register(xsk, xdp->umem_area, (size_t)xdp->frame_count * PORT_FRAME_SIZE,
                            PORT_FRAME_SIZE, &xdp->port.stamps_sent);
    if (code == 0 && shard == 0)
        code = xsk_fill(xsk, xdp->lent_max, &queue->fill);
    if (code == 0 && shard == 0)
        code = xsk_completion(xsk, TX_SIZE, &queue->completion);
    if (code == 0)
        code = xsk_rx(xsk, xdp->lent_max, &queue->rx[shard]);
    if (code == 0 && first)
        code = xsk_tx(xsk, TX_SIZE, &xdp->tx);
    return code;
}

// FILL is full before bind: some drivers take their buffers then.
static int open_queue(struct port_xdp *xdp, const struct port_xdp_options *options,
                      struct queue *queue, struct error *error)
{
    for (uint32_t shard = 0; shard < xdp->shard_count; shard++) {
        int code = open_socket(xdp, queue, shard);
        if (code)
            return error_set(error, "%s: cannot lend %u frames to an AF_XDP socket: %s%s",
                             options->interface, xdp->frame_count, strerror(-code),
                             code == -EPERM ? "; run as root or with CAP_NET_RAW" : "");
        while (queue->lent_count < xdp->lent_max)
            refill_queue(xdp, queue);
        if (bind_socket(xdp, options, queue, shard, error))
            return -1;
    }
    return xdp->busy_poll ? start_busy_polling(queue, options->interface, error) : 0;
}

static int open_queues(struct port_xdp *xdp, const struct port_xdp_options *options,
                       struct error *error)
{
    for (uint32_t i = 0; i < xdp->queue_count; i++)
        if (open_queue(xdp, options, &xdp->queues[i], error))
            return -1;
    read_mode(xdp);
    return nic_mac(options->interface, xdp->port.mac, error);
}

// A power of two, as rings are: that much for each queue is no more than half of the frames.
static uint32_t lent_to_each(uint32_t frame_count, uint32_t queue_count)
{
    uint32_t each = frame_count / 2;
    while (each * queue_count > frame_count / 2)
        each /= 2;
    return each;
}

struct port *port_xdp_open(const struct port_xdp_options *options, uint32_t shard_count,
                           struct arena *arena, struct error *error)
{
    INVARIANT(shard_count >= 1 && shard_count <= STEER_SHARDS_MAX);
    INVARIANT(options->queue_count >= 1 && options->queue_count <= PORT_QUEUES_MAX);
    struct port_xdp *xdp = arena_take(arena, sizeof(*xdp), 128);
    xdp->port.operations = &operations;
    xdp->queue_count = options->queue_count;
    xdp->shard_count = shard_count;
    for (uint32_t i = 0; i < options->queue_count; i++)
        xdp->queues[i].number = options->queues[i];
    xdp->busy_poll = options->busy_poll;
    xdp->frame_count = options->frame_count;
    xdp->claimed = xdp->watched = NO_FRAME;
    xdp->stamps = xdp->port.stamps_sent = options->stamps;
    xdp->lent_max = lent_to_each(options->frame_count, options->queue_count);
    xdp->umem_area = arena_take(arena, (size_t)xdp->frame_count * PORT_FRAME_SIZE, 4096);
    xdp->free_frames = arena_take(arena, xdp->frame_count * sizeof(uint64_t), 64);
    for (uint32_t i = 0; i < xdp->frame_count; i++)
        put_free(xdp, (uint64_t)(xdp->frame_count - 1 - i) * PORT_FRAME_SIZE);
    if (open_queues(xdp, options, error)) {
        xdp_close(&xdp->port);
        return NULL;
    }
    return &xdp->port;
}

int port_xdp_socket(const struct port *port, uint32_t queue, uint32_t shard)
{
    const struct port_xdp *xdp = (const struct port_xdp *)port;
    INVARIANT(queue < xdp->queue_count && shard < xdp->shard_count);
    return xdp->queues[queue].sockets[shard].fd;
}

void port_xdp_guard(struct port *port, uint32_t shard, uint16_t order_port, struct bound bound)
{
    struct port_xdp *xdp = xdp_of(port);
    INVARIANT(shard < xdp->shard_count);
    xdp->guards[shard] = (struct guard){order_port, bound};
}
