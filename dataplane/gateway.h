// SPDX-License-Identifier: MIT
//
// gateway: the house wired together from a configuration: ports, lanes, and the threads that poll
// them.
#ifndef SLUICE_DATAPLANE_GATEWAY_H
#define SLUICE_DATAPLANE_GATEWAY_H

#include "dataplane/lane.h"
#include "dataplane/login_keeper.h"
#include "dataplane/share_keeper.h"
#include "numa/histogram.h"
#include "numa/tap.h"
#include "xdp/loader.h"

#define GATEWAY_TAP_RECORDS 32768u // of each port's tap, and its bytes: 100 ms at 300,000 packets
#define GATEWAY_TAP_BYTES   (4u << 20) // of 128 bytes a second

struct gateway;

// An interface with its XDP program, and all the lanes that are served on it, by whichever port.
struct house_interface {
    const char *name;
    struct steer *steer;
    struct lane *lanes[CONFIG_SHARDS_MAX];
    uint32_t lane_count;
    bool stamps;        // a port wants its packets stamped
    uint32_t row_count; // the program's: one for each queue up to the last that a port has
    bool up;            // when it was last looked at, as are these
    uint32_t rx_queues;
    uint64_t strays; // packets that arrived on a queue of no port of the shard's
};

// A port and the lanes it serves.
struct house_port {
    const struct config_port *place;
    struct gateway *gateway;
    struct house_interface *interface; // NULL: it needs no program
    struct arena memory;
    struct port *port;
    struct tap tap; // of everything that the port receives and sends, for `sluice capture`
    struct lane *lanes[CONFIG_SHARDS_MAX];
    uint32_t lane_count;
    uint64_t ticked_ns;
    uint64_t verdicts[STEER_VERDICT_COUNT]; // of packet_parse, on what was received
    // From the arrival of a packet to its first answer, of one packet at a time, ns.
    struct histogram turnaround[PORT_STAMPS_COUNT];
    struct arena transit_memory;
    struct transit *transit; // of the same packets, by stage; NULL: not measured
    struct {                 // copied by the port's thread, when asked, for others to read
        struct port_counters packets;
        uint64_t verdicts[STEER_VERDICT_COUNT];
        struct house_times {
            uint64_t count, mean_ns, p50_ns, p90_ns, p99_ns, max_ns;
        } turnaround[PORT_STAMPS_COUNT], stages[TRANSIT_STAGES];
    } snapshot;
    _Atomic uint32_t snapshot_wanted, snapshot_taken; // requests so far, and the last one served
};

// A loop is a thread and what it polls. What has the same core in the configuration shares one.
struct loop {
    struct gateway *gateway;
    struct bell bell;
    int core;
    bool spin;
    struct house_port *ports[CONFIG_PORTS_MAX];
    struct lane *shards[CONFIG_SHARDS_MAX];
    uint32_t port_count, shard_count;
    uint64_t now_ns; // of this poll; later where the shard has had to wait for the port in it
    pthread_t thread;
    bool started;
    _Atomic uint64_t rounds; // polls so far, so that others can tell that one has passed
    _Atomic uint64_t worked; // the last of them that found something to do
};

static_assert(alignof(struct loop) == 128, "each loop counts its rounds on lines of its own");

struct gateway {
    struct config *config;
    struct tsc_clock clock;
    struct clock_health clock_health; // when it was last looked at; under `lock`
    struct house_port ports[CONFIG_PORTS_MAX];
    struct house_interface interfaces[CONFIG_PORTS_MAX];
    uint32_t interface_count;
    struct arena lane_memory[CONFIG_SHARDS_MAX];
    struct lane *lanes[CONFIG_SHARDS_MAX];
    uint32_t lanes_opened;
    struct disk *disks[CONFIG_SHARDS_MAX]; // of the lanes' journals
    struct loop loops[CONFIG_PORTS_MAX + CONFIG_SHARDS_MAX];
    uint32_t loop_count;
    struct login_keeper keeper;    // of all lanes' logins
    struct share_keeper shares;    // of several lanes' limits
    pthread_mutex_t lock;          // of who gives orders
    bool stuck[CONFIG_SHARDS_MAX]; // shards that somebody has given up waiting for; under `lock`
    _Atomic bool closed, stop;     // take no packets: not yet, or no more; end the threads
};

// gateway_open: everything up to the point where packets would flow: memory, journals recovered and
// replayed, sockets bound, programs attached, the day's listing journaled. NULL with `error`.
// `config` becomes the gateway's either way.
struct gateway *gateway_open(struct config *config, struct error *error);

// gateway_start: start the threads, each of which shuts itself in (numa/sandbox.h). They carry out
// orders, and take no packets before gateway_let_in, which waits for what shards have to tell one
// another. Both: 0, or -1 with `error`. gateway_shut_in: shut the calling thread in, the main one,
// once all other threads have been started.
int gateway_start(struct gateway *gateway, struct error *error);
int gateway_let_in(struct gateway *gateway, struct error *error);
void gateway_shut_in(void);

// gateway_tap_path: where the tap of `config`'s port `port` is while a gateway runs.
void gateway_tap_path(const struct config *config, uint32_t port, char path[64]);

// gateway_watch: see who reads the ports' taps; look at the interfaces, and say on stderr what has
// changed: a link that went down or came up, a queue count that changed underneath, orders that
// arrive where nobody takes them. False when one of them is gone for good. Once a second or so, one
// thread at a time.
bool gateway_watch(struct gateway *gateway);

// gateway_order: have shards carry out what an operator wants, each in order with what it was asked
// before, and wait until all have applied it and it is durable, 10 s at most. A shard that is stuck
// keeps it from no other, and is not waited for once it has kept somebody waiting. `make` writes
// the commands of a lane, LANE_ORDERS_MAX at most, and returns how many: 0 for none. `given`, or
// NULL, is told which shards were given theirs: those carry them out, or have, whatever is
// returned. 0, or -1 with `error`. Any thread but a port's, between gateway_start and gateway_stop.
typedef uint32_t gateway_order_fn(void *context, const struct lane *lane, struct command *commands);
int gateway_order(struct gateway *gateway, gateway_order_fn *make, void *context,
                  bool given[CONFIG_SHARDS_MAX], struct error *error);

// gateway_close_day: have each shard end its trading day: the same. `actor` is who wants it, in
// words; 32 characters of it are journaled.
int gateway_close_day(struct gateway *gateway, const char *actor, struct error *error);

// gateway_snapshot: have each port's thread copy its counters, and its lanes', into the snapshots;
// waits up to `timeout_ms`. After gateway_stop it copies them itself. One thread at a time, not a
// port's.
void gateway_snapshot(struct gateway *gateway, int timeout_ms);

// gateway_stop: let no more packets in, wait (up to 10 s) until everything taken is matched,
// durable and sent, stop the threads, close the journals. 0, or -1 with `error` when something was
// left undone.
int gateway_stop(struct gateway *gateway, struct error *error);

// gateway_free: after gateway_stop, or instead of gateway_start. NULL is fine.
void gateway_free(struct gateway *gateway);

#endif
