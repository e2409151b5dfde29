// SPDX-License-Identifier: MIT
//
// load_wire: how the datagrams of `sluice load`'s sessions leave and arrive: by sockets of the
// kernel's stack, or by an AF_XDP port of its own. One thread's at a time.
#ifndef SLUICE_DATAPLANE_LOAD_WIRE_H
#define SLUICE_DATAPLANE_LOAD_WIRE_H

#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/load_flow.h"
#include "dataplane/port.h"
#include "numa/clock.h"
#include "numa/error.h"

#define LOAD_ARRIVALS_MAX PORT_BATCH

struct load_arrival {
    uint32_t session;
    const uint8_t *bytes; // until the next receive
    size_t size;
    uint64_t time_ns;  // when it was taken in, by the options' clock
    uint64_t stamp_ns; // when it arrived, by the options' stamps; 0: not stamped
};

struct load_wire_options {
    struct sockaddr_in to, bind;
    const char *interface; // of the AF_XDP port
    uint32_t session_count;
    enum port_stamps stamps;
    int core; // of the thread that will use it; THREAD_ANY_CORE
    const struct tsc_clock *clock;
};

// What was dropped on the way out and on the way in. Sockets of the kernel's do not say.
struct load_wire_counters {
    uint64_t not_sent;     // by the interface: an order so dropped is lost
    uint64_t no_room;      // by the kernel: the port was not looked at for too long
    uint64_t bad_checksum; // UDP's
    uint64_t strangers;    // not from the venue
};

struct load_wire;

struct load_wire_operations {
    // Up to `count` payloads of `session`, each a datagram, in order: how many were taken, 0 when
    // there is no room now; -1 with errno when there never will be.
    int (*send)(struct load_wire *wire, uint32_t session, const struct iovec *payloads,
                uint32_t count);
    // What has arrived, up to LOAD_ARRIVALS_MAX datagrams: how many.
    uint32_t (*receive)(struct load_wire *wire, struct load_arrival *arrivals);
    // What to poll() for when idle: the number of entries filled, up to PORT_QUEUES_MAX.
    int (*poll_fds)(struct load_wire *wire, struct pollfd *fds);
    void (*read_counters)(struct load_wire *wire);
    void (*close)(struct load_wire *wire);
};

struct load_wire {
    const struct load_wire_operations *operations;
    const char *mode; // of AF_XDP, what was bound; NULL: sockets
    struct load_wire_counters counters;
    bool stamp_next;  // the caller's: the first of the payloads that are sent next is to be stamped
    uint64_t left_ns; // when that left, by the options' stamps; 0: not known yet
    int sockets[LOAD_SESSIONS_MAX]; // a session's; -1: not open
};

// load_wire_udp_open: each session has a socket, without a NIC's stamps. NULL with `error`.
struct load_wire *load_wire_udp_open(const struct load_wire_options *options, struct error *error);

// load_wire_xdp_open: all sessions have one AF_XDP port, on all queues of the interface, and its
// XDP program on that. A session's address and port are still those of a socket, which keeps others
// off them, and by which its login leaves; the venue's Ethernet address is that of the first
// answer. NULL with `error`, also where arrivals and departures cannot both be stamped by the clock
// asked for.
struct load_wire *load_wire_xdp_open(const struct load_wire_options *options, struct error *error);

// load_wire_open_sockets, load_wire_close_sockets: of all sessions. 0, or -1 with `error`.
int load_wire_open_sockets(struct load_wire *wire, const struct load_wire_options *options,
                           struct error *error);
void load_wire_close_sockets(struct load_wire *wire);

// load_wire_transient: the errno of a socket that could not send says nothing about the next time.
bool load_wire_transient(int why);

#endif
