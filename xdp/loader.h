// SPDX-License-Identifier: MIT
//
// Loads the steering program and attaches it to one interface with an unpinned bpf_link: the kernel
// detaches it when this process ends, however it ends, and refuses a second instance meanwhile.
//
// All of this is set-up and housekeeping, made of system calls: nothing here belongs on the hot
// path. A `struct steer` is used by one thread at a time.
#ifndef SLUICE_XDP_LOADER_H
#define SLUICE_XDP_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "numa/error.h"
#include "xdp/bound.h"
#include "xdp/steer.h"

struct steer;

// At most so many packets a second (1 to 10^9, 0: any number), and so many at once (1 or more).
// Measured with a clock that goes in steps of up to 10 ms.
struct steer_rate {
    uint32_t per_second, burst;
};

struct steer_options {
    uint32_t queue_count;          // 1 to STEER_QUEUES_MAX
    uint32_t shard_count;          // 1 to STEER_SHARDS_MAX
    uint32_t session_count;        // 1 to STEER_SESSIONS_MAX: bound to a shard at once
    const char *stamped_interface; // packets are stamped, by this one's driver; NULL: they are not
    struct steer_rate login;       // of a shard: packets that can be logins, of sources not bound
    struct steer_rate session;     // of a session with a shard
    struct steer_rate request;     // of a shard: packets to its open destinations
    bool pin_mac;                  // a bound source keeps the Ethernet address it logged in from
};

// steer_load: load the program, without attaching it. With a `stamped_interface` each redirected
// packet has a struct steer_stamp in front of it; where the interface's driver cannot have such a
// program (`steer_stamps` says so) it is the plain one. The caller frees it with steer_close. NULL
// with `error` (no CAP_BPF: says so). A process that has CAP_PERFMON too gets a program without
// speculation barriers, a third as long per packet (xdp/steer.bpf.c).
struct steer *steer_load(const struct steer_options *options, struct error *error);
bool steer_stamps(const struct steer *steer);

// steer_attach: attach to `interface`, in the driver (native) or in the generic path. Once per
// load. -1 with `error` when another program is there (it is named, with the command that removes
// it), when another instance of this program is, when there is no such interface, or when the
// driver cannot.
int steer_attach(struct steer *steer, const char *interface, bool native, struct error *error);

// steer_add_destination: UDP packets to `address`:`port` (network byte order) are `shard`'s (below
// shard_count): from anybody where it is `open`, else from sources that are bound, and logins. -1
// with `error` when somebody has that destination already, or STEER_DESTINATIONS_MAX are taken.
int steer_add_destination(struct steer *steer, uint32_t address, uint16_t port, uint32_t shard,
                          bool open, struct error *error);

// steer_bound: where to say who is bound to `shard`; until steer_close. Nobody is at first.
struct bound steer_bound(const struct steer *steer, uint32_t shard);

// steer_add_socket: what arrives on `queue` for `shard` (below the counts given to steer_load) goes
// to the AF_XDP socket `socket_fd`, which is bound to that queue and stays the caller's. The last
// step, after the socket's FILL ring is primed. steer_remove_sockets undoes all, the first step of
// a stop. A socket that is closed leaves by itself.
int steer_add_socket(struct steer *steer, uint32_t queue, uint32_t shard, int socket_fd,
                     struct error *error);
void steer_remove_sockets(struct steer *steer);

// steer_counters: packets by verdict since loading, summed over CPUs. -1 with `error`.
int steer_counters(const struct steer *steer, uint64_t counters[STEER_VERDICT_COUNT],
                   struct error *error);

// steer_program_fd: for BPF_PROG_TEST_RUN; stays the loader's.
int steer_program_fd(const struct steer *steer);

// steer_program_on: the id of the XDP program that is attached to `interface`, whoever's it is; 0:
// none, or none that can be seen.
uint32_t steer_program_on(const char *interface);

// steer_close: detach and free. NULL is fine.
void steer_close(struct steer *steer);

#endif
