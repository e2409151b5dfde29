// SPDX-License-Identifier: MIT
//
// The port over sockets of the kernel's stack. A UDP socket for each destination takes what comes,
// and headers are written in front of it, so that everybody else sees frames as on the other ports;
// one raw socket sends what frames hold behind their Ethernet header.
#include "dataplane/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/nic.h"
#include "numa/invariant.h"

#define ETHERNET_SIZE       14u
#define CHECKSUM_OFFSET     40u // of the UDP header, in a frame without a VLAN tag
#define PAYLOAD_OFFSET      42u
#define SOCKET_BUFFER_BYTES (32 << 20) // what waits while a shard is behind

// As many messages as a batch takes, with what sendmmsg and recvmmsg want to know of each.
struct batch {
    struct mmsghdr messages[PORT_BATCH];
    struct iovec pieces[PORT_BATCH];
    struct sockaddr_in peers[PORT_BATCH];
    uint8_t frames[PORT_BATCH][PORT_FRAME_SIZE];
};

struct port_udp {
    struct port port;
    struct port_destination destinations[PORT_DESTINATIONS_MAX];
    int sockets[PORT_DESTINATIONS_MAX];
    uint32_t socket_count;
    uint32_t next_socket; // where receive goes on
    int sender;
    uint32_t to_send, sent; // of the frames in `out`
    struct batch in, out;
};

static struct port_udp *udp_of(struct port *port)
{
    return (struct port_udp *)port;
}

static void note_failure(struct port_udp *udp, int why)
{
    if (why == ENODEV || why == ENXIO)
        atomic_store_explicit(&udp->port.lost, why, memory_order_relaxed);
}

// The kernel has checked the checksum, so there is none in what is made of its packet.
static void write_headers(const struct port_udp *udp, uint8_t *frame, uint32_t index, size_t size,
                          const struct sockaddr_in *peer)
{
    struct endpoint source = {
        .address = peer->sin_addr.s_addr, .port = peer->sin_port, .vlan = PACKET_NO_VLAN};
    struct endpoint destination = {.address = udp->destinations[index].address,
                                   .port = udp->destinations[index].port,
                                   .vlan = PACKET_NO_VLAN};
    memcpy(destination.mac, udp->port.mac, sizeof(destination.mac));
    packet_write_headers(frame, &source, &destination, size);
    memset(frame + CHECKSUM_OFFSET, 0, 2);
}

static uint32_t receive_from(struct port_udp *udp, uint32_t index, struct frame *frames,
                             uint32_t first, uint32_t max)
{
    struct batch *in = &udp->in;
    int found = recvmmsg(udp->sockets[index], in->messages + first, max, MSG_DONTWAIT, NULL);
    uint32_t count = 0;
    if (found < 0)
        note_failure(udp, errno);
    for (int i = 0; i < found; i++) {
        uint32_t slot = first + (uint32_t)i;
        uint32_t size = in->messages[slot].msg_len;
        if (size == 0 || size > STEER_PAYLOAD_MAX) {
            udp->port.counters.rx_invalid++;
            continue;
        }
        write_headers(udp, in->frames[slot], index, size, &in->peers[slot]);
        frames[count++] =
            (struct frame){.data = in->frames[slot], .size = PAYLOAD_OFFSET + size, .handle = slot};
        udp->port.counters.received_packets++;
        udp->port.counters.received_bytes += PAYLOAD_OFFSET + size;
    }
    return count;
}

static uint32_t udp_receive(struct port *port, uint64_t shards, struct frame *frames, uint32_t max)
{
    struct port_udp *udp = udp_of(port);
    uint32_t count = 0;
    for (uint32_t i = 0; i < udp->socket_count && count < max; i++) {
        uint32_t index = udp->next_socket;
        if (shards >> udp->destinations[index].shard & 1)
            count += receive_from(udp, index, frames + count, count, max - count);
        udp->next_socket = (index + 1) % udp->socket_count;
    }
    return count;
}

static void udp_release(struct port *port, const struct frame *frames, uint32_t count)
{
    (void)port; // the batch's frames are used again by the next receive
    (void)frames;
    (void)count;
}

static uint8_t *udp_claim(struct port *port)
{
    struct port_udp *udp = udp_of(port);
    if (udp->to_send < PORT_BATCH)
        return udp->out.frames[udp->to_send];
    port->counters.no_frame++;
    return NULL;
}

static void udp_send(struct port *port, size_t size)
{
    struct port_udp *udp = udp_of(port);
    struct batch *out = &udp->out;
    uint32_t slot = udp->to_send++;
    const uint8_t *frame = out->frames[slot];
    INVARIANT(slot < PORT_BATCH && size <= PACKET_SIZE_MAX);
    // Behind a VLAN tag, which the kernel writes itself where the interface has one.
    size_t offset = frame[12] == 0x81 && frame[13] == 0 ? ETHERNET_SIZE + 4 : ETHERNET_SIZE;
    out->pieces[slot] = (struct iovec){(void *)(uintptr_t)(frame + offset), size - offset};
    memcpy(&out->peers[slot].sin_addr, frame + offset + 16, 4);
    port->counters.sent_packets++;
    port->counters.sent_bytes += size;
}

static void udp_flush(struct port *port)
{
    struct port_udp *udp = udp_of(port);
    while (udp->sent < udp->to_send) {
        port->counters.kicks++;
        int count = sendmmsg(udp->sender, udp->out.messages + udp->sent, udp->to_send - udp->sent,
                             MSG_DONTWAIT);
        if (count < 0) {
            note_failure(udp, errno);
            port->counters.kick_busy++;
            if (errno == EAGAIN || errno == ENOBUFS)
                return;
            count = 1; // this one has no way: it is lost, as on a wire
        }
        udp->sent += (uint32_t)count;
    }
    udp->sent = udp->to_send = 0;
}

static int udp_poll_fds(struct port *port, struct pollfd *fds)
{
    struct port_udp *udp = udp_of(port);
    for (uint32_t i = 0; i < udp->socket_count; i++)
        fds[i] = (struct pollfd){.fd = udp->sockets[i], .events = POLLIN};
    return (int)udp->socket_count;
}

static void udp_read_counters(struct port *port)
{
    struct port_udp *udp = udp_of(port);
    uint64_t dropped = 0;
    for (uint32_t i = 0; i < udp->socket_count; i++) {
        uint32_t memory[SK_MEMINFO_VARS] = {0};
        socklen_t size = sizeof(memory);
        if (getsockopt(udp->sockets[i], SOL_SOCKET, SO_MEMINFO, memory, &size) == 0)
            dropped += memory[SK_MEMINFO_DROPS];
    }
    port->counters.rx_dropped = dropped;
}

static void udp_close(struct port *port)
{
    struct port_udp *udp = udp_of(port);
    for (uint32_t i = 0; i < udp->socket_count; i++)
        close(udp->sockets[i]);
    if (udp->sender >= 0)
        close(udp->sender);
    free(udp);
}

static const struct port_operations operations = {
    .receive = udp_receive,
    .release = udp_release,
    .claim = udp_claim,
    .send = udp_send,
    .flush = udp_flush,
    .poll_fds = udp_poll_fds,
    .read_counters = udp_read_counters,
    .close = udp_close,
};

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

static int open_receiver(struct port_udp *udp, const struct port_destination *destination,
                         const char *interface, struct error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = destination->address,
                                  .sin_port = destination->port};
    char text[INET_ADDRSTRLEN];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, "UDP port %u: no socket: %s", ntohs(destination->port),
                         strerror(errno));
    udp->destinations[udp->socket_count] = *destination;
    udp->sockets[udp->socket_count++] = fd;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)))
        return error_set(error,
                         "UDP port %u: cannot be tied to %s: %s; run as root or with "
                         "CAP_NET_RAW",
                         ntohs(destination->port), interface, strerror(errno));
    if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES))
        return error_set(error,
                         "UDP port %u: cannot have %d MiB of buffer: %s; run as root or "
                         "with CAP_NET_ADMIN",
                         ntohs(destination->port), SOCKET_BUFFER_BYTES >> 20, strerror(errno));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
        return error_set(error, "cannot bind UDP %s:%u: %s; `ip address` and `ss -unlp` tell why",
                         inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text)),
                         ntohs(destination->port), strerror(errno));
    return 0;
}

// With IP_HDRINCL the packet's own IP header is used, source address and all.
static int open_sender(struct port_udp *udp, const char *interface, struct error *error)
{
    struct ip_mreqn multicast = {.imr_ifindex = (int)if_nametoindex(interface)};
    udp->sender = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    if (udp->sender < 0 || set(udp->sender, IPPROTO_IP, IP_HDRINCL, 1) ||
        set(udp->sender, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES) ||
        setsockopt(udp->sender, SOL_SOCKET, SO_BINDTODEVICE, interface,
                   (socklen_t)strlen(interface)) ||
        setsockopt(udp->sender, IPPROTO_IP, IP_MULTICAST_IF, &multicast, sizeof(multicast)) ||
        set(udp->sender, IPPROTO_IP, IP_MULTICAST_LOOP, 0))
        return error_set(error,
                         "%s: no socket to send with: %s; run as root or with CAP_NET_RAW "
                         "and CAP_NET_ADMIN",
                         interface, strerror(errno));
    return 0;
}

static void prepare_batches(struct port_udp *udp)
{
    for (uint32_t i = 0; i < PORT_BATCH; i++) {
        udp->in.pieces[i] =
            (struct iovec){udp->in.frames[i] + PAYLOAD_OFFSET, PORT_FRAME_SIZE - PAYLOAD_OFFSET};
        udp->out.peers[i].sin_family = AF_INET;
        for (uint32_t j = 0; j < 2; j++) {
            struct batch *batch = j ? &udp->out : &udp->in;
            batch->messages[i].msg_hdr = (struct msghdr){.msg_name = &batch->peers[i],
                                                         .msg_namelen = sizeof(batch->peers[i]),
                                                         .msg_iov = &batch->pieces[i],
                                                         .msg_iovlen = 1};
        }
    }
}

struct port *port_udp_open(const struct port_udp_options *options, struct error *error)
{
    INVARIANT(options->destination_count <= PORT_DESTINATIONS_MAX);
    struct port_udp *udp = calloc(1, sizeof(*udp));
    if (!udp) {
        error_set(error, "%s: no memory", options->interface);
        return NULL;
    }
    udp->port.operations = &operations;
    udp->port.mode = "sockets";
    udp->sender = -1;
    prepare_batches(udp);
    int failed = nic_mac(options->interface, udp->port.mac, error);
    for (uint32_t i = 0; i < options->destination_count && !failed; i++)
        failed = open_receiver(udp, &options->destinations[i], options->interface, error);
    if (!failed && open_sender(udp, options->interface, error) == 0)
        return &udp->port;
    udp_close(&udp->port);
    return NULL;
}
