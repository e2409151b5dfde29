// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/load_wire.h"
#include "numa/invariant.h"

#define SOCKET_BUFFER_BYTES (16 << 20)
#define SEND_MAX            16u // at once
#define RECEIVE_MAX         32u // … of one session
#define DATAGRAM_MAX        2048u

#define CONTROL_SIZE        256u // what the kernel says beside a payload: its stamps

struct load_wire_udp {
    struct load_wire wire;
    const struct tsc_clock *clock;
    bool stamps;
    int leaving; // the session whose stamp of departure is awaited; -1: none
    int epoll;
    alignas(struct cmsghdr) uint8_t controls[LOAD_ARRIVALS_MAX][CONTROL_SIZE];
    struct mmsghdr messages[LOAD_ARRIVALS_MAX];
    struct iovec pieces[LOAD_ARRIVALS_MAX];
    uint8_t buffers[LOAD_ARRIVALS_MAX][DATAGRAM_MAX];
};

static struct load_wire_udp *udp_of(struct load_wire *wire)
{
    return (struct load_wire_udp *)wire;
}

// A socket reports "connection refused" when an earlier datagram met no listener: that is silence
// too, and whoever waits for an answer finds out by the clock.
bool load_wire_transient(int why)
{
    return why == EAGAIN || why == EINTR || why == ENOBUFS || why == ECONNREFUSED;
}

// The kernel's stamp of a datagram, CLOCK_REALTIME; 0: none.
static uint64_t stamp_in(struct msghdr *header)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        struct scm_timestamping stamps;
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPING)
            continue;
        memcpy(&stamps, CMSG_DATA(part), sizeof(stamps));
        return (uint64_t)stamps.ts[0].tv_sec * 1000000000u + (uint64_t)stamps.ts[0].tv_nsec;
    }
    return 0;
}

// Of one datagram's departure.
static void ask_stamp(struct msghdr *header, void *control, size_t size)
{
    uint32_t wanted = SOF_TIMESTAMPING_TX_SOFTWARE;
    header->msg_control = control;
    header->msg_controllen = size;
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    *part = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(wanted)),
                             .cmsg_level = SOL_SOCKET,
                             .cmsg_type = SO_TIMESTAMPING};
    memcpy(CMSG_DATA(part), &wanted, sizeof(wanted));
}

// It comes by the socket's queue of errors; the last one, as one may be there that came too late.
static void read_departure(struct load_wire_udp *udp)
{
    alignas(struct cmsghdr) uint8_t control[CONTROL_SIZE];
    struct msghdr header = {.msg_control = control, .msg_controllen = sizeof(control)};
    int fd = udp->wire.sockets[udp->leaving];
    while (recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0) {
        udp->wire.left_ns = stamp_in(&header);
        header.msg_controllen = sizeof(control);
    }
    if (udp->wire.left_ns)
        udp->leaving = -1;
}

static int udp_send(struct load_wire *wire, uint32_t session, const struct iovec *payloads,
                    uint32_t count)
{
    struct mmsghdr messages[SEND_MAX];
    alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint32_t))] = {0};
    count = count < SEND_MAX ? count : SEND_MAX;
    for (uint32_t i = 0; i < count; i++)
        messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = (void *)(uintptr_t)&payloads[i], .msg_iovlen = 1},
        };
    if (wire->stamp_next) {
        ask_stamp(&messages[0].msg_hdr, control, sizeof(control));
        udp_of(wire)->leaving = (int)session;
        wire->stamp_next = false;
    }
    int sent = sendmmsg(wire->sockets[session], messages, count, MSG_DONTWAIT);
    return sent < 0 && load_wire_transient(errno) ? 0 : sent;
}

static uint32_t receive_from(struct load_wire_udp *udp, uint32_t session, uint32_t first,
                             struct load_arrival *arrivals)
{
    uint32_t room = LOAD_ARRIVALS_MAX - first;
    for (uint32_t i = first; udp->stamps && i < LOAD_ARRIVALS_MAX; i++)
        udp->messages[i].msg_hdr.msg_controllen = CONTROL_SIZE;
    int count = recvmmsg(udp->wire.sockets[session], udp->messages + first,
                         room < RECEIVE_MAX ? room : RECEIVE_MAX, MSG_DONTWAIT, NULL);
    uint64_t now_ns = clock_ns(udp->clock);
    for (int i = 0; i < count; i++)
        arrivals[i] = (struct load_arrival){.session = session,
                                            .bytes = udp->buffers[first + (uint32_t)i],
                                            .size = udp->messages[first + (uint32_t)i].msg_len,
                                            .time_ns = now_ns};
    for (int i = 0; udp->stamps && i < count; i++)
        arrivals[i].stamp_ns = stamp_in(&udp->messages[first + (uint32_t)i].msg_hdr);
    return count > 0 ? (uint32_t)count : 0;
}

static uint32_t udp_receive(struct load_wire *wire, struct load_arrival *arrivals)
{
    struct load_wire_udp *udp = udp_of(wire);
    struct epoll_event events[LOAD_SESSIONS_MAX];
    uint32_t count = 0;
    int ready = epoll_wait(udp->epoll, events, LOAD_SESSIONS_MAX, 0);
    for (int i = 0; i < ready && count < LOAD_ARRIVALS_MAX; i++)
        count += receive_from(udp, events[i].data.u32, count, arrivals + count);
    if (udp->leaving >= 0)
        read_departure(udp);
    return count;
}

static int udp_poll_fds(struct load_wire *wire, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = udp_of(wire)->epoll, .events = POLLIN};
    return 1;
}

static void udp_read_counters(struct load_wire *wire)
{
    (void)wire;
}

static void udp_close(struct load_wire *wire)
{
    struct load_wire_udp *udp = udp_of(wire);
    load_wire_close_sockets(wire);
    if (udp->epoll >= 0)
        close(udp->epoll);
    free(udp);
}

static const struct load_wire_operations operations = {
    .send = udp_send,
    .receive = udp_receive,
    .poll_fds = udp_poll_fds,
    .read_counters = udp_read_counters,
    .close = udp_close,
};

static void enlarge_buffer(int socket, int forced, int plain)
{
    int size = SOCKET_BUFFER_BYTES;
    // Forcing takes CAP_NET_ADMIN; without it the kernel gives as much as its limit allows.
    if (setsockopt(socket, SOL_SOCKET, forced, &size, sizeof(size)) != 0)
        setsockopt(socket, SOL_SOCKET, plain, &size, sizeof(size));
}

static int open_socket(int *fd, const struct load_wire_options *options, struct error *error)
{
    char text[INET_ADDRSTRLEN];
    *fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return error_set(error, "load: cannot open a UDP socket: %s", strerror(errno));
    enlarge_buffer(*fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge_buffer(*fd, SO_SNDBUFFORCE, SO_SNDBUF);
    if (bind(*fd, (const void *)&options->bind, sizeof(options->bind)) != 0)
        return error_set(error, "load: --bind %s: %s; name an address of this host",
                         inet_ntop(AF_INET, &options->bind.sin_addr, text, sizeof(text)),
                         strerror(errno));
    if (connect(*fd, (const void *)&options->to, sizeof(options->to)) != 0)
        return error_set(error, "load: --to %s: %s; see `ip route get %s`",
                         inet_ntop(AF_INET, &options->to.sin_addr, text, sizeof(text)),
                         strerror(errno), text);
    return 0;
}

int load_wire_open_sockets(struct load_wire *wire, const struct load_wire_options *options,
                           struct error *error)
{
    INVARIANT(options->session_count <= LOAD_SESSIONS_MAX);
    memset(wire->sockets, -1, sizeof(wire->sockets));
    for (uint32_t i = 0; i < options->session_count; i++)
        if (open_socket(&wire->sockets[i], options, error) != 0)
            return -1;
    return 0;
}

void load_wire_close_sockets(struct load_wire *wire)
{
    for (uint32_t i = 0; i < LOAD_SESSIONS_MAX; i++)
        if (wire->sockets[i] >= 0)
            close(wire->sockets[i]);
}

// What arrives is stamped, and what leaves where it is asked for.
static int stamp_sockets(struct load_wire_udp *udp, uint32_t count, struct error *error)
{
    int wanted =
        SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY;
    for (uint32_t i = 0; i < LOAD_ARRIVALS_MAX; i++)
        udp->messages[i].msg_hdr.msg_control = udp->controls[i];
    for (uint32_t i = 0; i < count; i++)
        if (setsockopt(udp->wire.sockets[i], SOL_SOCKET, SO_TIMESTAMPING, &wanted, sizeof(wanted)))
            return error_set(error, "load: --stamps kernel: SO_TIMESTAMPING: %s", strerror(errno));
    return 0;
}

static int watch_sockets(struct load_wire_udp *udp, uint32_t count, struct error *error)
{
    int failed = udp->epoll < 0;
    for (uint32_t i = 0; i < count && !failed; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        failed = epoll_ctl(udp->epoll, EPOLL_CTL_ADD, udp->wire.sockets[i], &event);
    }
    return failed ? error_set(error, "load: epoll: %s", strerror(errno)) : 0;
}

struct load_wire *load_wire_udp_open(const struct load_wire_options *options, struct error *error)
{
    struct load_wire_udp *udp = calloc(1, sizeof(*udp));
    if (!udp) {
        error_set(error, "load: no memory");
        return NULL;
    }
    udp->wire.operations = &operations;
    udp->clock = options->clock;
    udp->stamps = options->stamps != PORT_STAMPS_SOFTWARE;
    udp->leaving = -1;
    udp->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < LOAD_ARRIVALS_MAX; i++) {
        udp->pieces[i] = (struct iovec){udp->buffers[i], sizeof(udp->buffers[i])};
        udp->messages[i].msg_hdr = (struct msghdr){.msg_iov = &udp->pieces[i], .msg_iovlen = 1};
    }
    if (load_wire_open_sockets(&udp->wire, options, error) != 0 ||
        (udp->stamps && stamp_sockets(udp, options->session_count, error) != 0) ||
        watch_sockets(udp, options->session_count, error) != 0) {
        udp_close(&udp->wire);
        return NULL;
    }
    return &udp->wire;
}
