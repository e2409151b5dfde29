// SPDX-License-Identifier: MIT
//
// config: what a gateway is told by its file, checked. deploy/sluice.conf shows and explains every
// key.
#ifndef SLUICE_DATAPLANE_CONFIG_H
#define SLUICE_DATAPLANE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "book/book.h"
#include "dataplane/limits.h"
#include "numa/error.h"
#include "xdp/steer.h"

#define CONFIG_PORTS_MAX    16u
#define CONFIG_QUEUES_MAX   16u // of one port
#define CONFIG_EAL_MAX      32u // arguments of DPDK's EAL
#define CONFIG_SHARDS_MAX   STEER_SHARDS_MAX
#define CONFIG_SESSIONS_MAX BOOK_SESSIONS_MAX
#define CONFIG_LIMITS_MAX   65536u

enum config_port_type {
    CONFIG_PORT_XDP, // AF_XDP sockets, the packets steered by our program
    CONFIG_PORT_UDP, // UDP sockets of the kernel's stack
    CONFIG_PORT_DPDK,
};

enum config_port_mode {
    CONFIG_MODE_AUTO, // zero-copy where nic_zerocopy knows it to work, else copy
    CONFIG_MODE_COPY,
    CONFIG_MODE_ZEROCOPY,
};

struct config_port {
    enum config_port_type type;
    char interface[64]; // with DPDK: the device, as the EAL calls it
    uint32_t queues[CONFIG_QUEUES_MAX];
    uint32_t queue_count;
    enum config_port_mode mode;
    bool stamps;          // the kernel, or the NIC, stamps what comes and goes
    bool busy_poll;       // the port's thread drives the NIC's queue, else its interrupt does
    uint32_t address;     // network byte order
    uint32_t frame_count; // UMEM frames, or mbufs, of 2 KiB, a power of two
    int core;             // THREAD_ANY_CORE when not given, until it is planned
    int node;             // NUMA node of its memory, once planned; ARENA_ANY_NODE
    bool spin;            // idle policy: spin, else adaptive
};

struct config_shard {
    uint32_t port; // index
    uint16_t udp_port;
    uint32_t feed_group; // network byte order
    uint16_t feed_port;
    uint16_t request_port; // MoldUDP64 retransmission requests; 0: none are served
    int core;              // THREAD_ANY_CORE when not given, until it is planned
    int journal_core;
    int node; // NUMA node of its memory, once planned; ARENA_ANY_NODE
};

struct config_instrument {
    char symbol[8]; // padded with spaces
    uint32_t shard; // index
    uint32_t round_lot;
    uint32_t reference; // price at the day's beginning; 0: none
};

struct config_session {
    char user[6];   // upper case, padded with spaces
    char firm[4];   // padded with spaces
    bool is_signed; // logs in by `public_key` (Ed25519), else by password
    bool cancel_on_disconnect;
    uint8_t public_key[32];
    char password_hash[128]; // of 10 characters, upper case, padded with spaces: libsodium's pwhash
};

// Of a member, or of an instrument.
struct config_limit {
    const struct limit_name *limit; // NULL: the firm may enter no orders for the symbol
    char firm[4], symbol[8];        // padded with spaces; zeros for the one that it is not of
    uint64_t value;                 // of all shards together
};

// A phase that begins at a time of the trading day.
struct config_entry {
    uint32_t second; // of the day
    uint8_t state;   // of COMMAND_TRADING
    char symbol[8];  // padded with spaces; zeros: all
};
#define CONFIG_CALENDAR_MAX 256u

struct config_control {
    char socket[108];                          // of a unix socket; empty: there is none
    char viewers[32], operators[32], risk[32]; // groups; empty: only root
};

// How far from UTC our clock may be. 0, both: that is not looked at.
struct config_clock {
    uint32_t alarm_us; // beyond it somebody is told
    uint32_t halt_us;  // beyond it trading is halted
};

struct config {
    char name[32];
    struct config_control control;
    bool has_signing_key;
    uint8_t signing_key[64]; // Ed25519, seed and public key: the gateway's for signed sessions
    char journal_directory[256];
    uint64_t segment_bytes;
    uint32_t spare_count;
    uint64_t keep_segments;   // closed segments that are never used again; 0: all
    uint64_t snapshot_every;  // commands; 0: no snapshots are taken
    uint32_t orders_max;      // per shard
    uint32_t history_count;   // events kept per stream, a power of two
    uint32_t in_flight_count; // commands of a shard waiting for the disk, a power of two
    // What the XDP program lets through (xdp/loader.h): packets that can be logins, for a shard,
    // packets of a session, and requests to a shard's feed, a second and at once; 0 a second: any
    // number.
    uint32_t login_rate, login_burst;
    uint32_t session_rate, session_burst;
    uint32_t request_rate, request_burst;
    bool pin_mac;    // a session's packets come from the Ethernet address that it logged in from
    bool huge_pages; // for what a lane has in memory: always, from a file
    bool sandbox;    // numa/sandbox.h: unless the file says otherwise
    uint32_t port_count, shard_count, instrument_count, session_count;
    struct config_port ports[CONFIG_PORTS_MAX];
    struct config_shard shards[CONFIG_SHARDS_MAX];
    struct config_instrument *instruments;
    struct config_session *sessions;
    struct config_limit *limits;
    uint32_t limit_count;
    struct config_clock clock;
    uint32_t pause_seconds; // that a pause lasts; 0: until it is ended
    uint32_t calendar_count;
    struct config_entry calendar[CONFIG_CALENDAR_MAX]; // in order of time
    uint32_t eal_count;
    char eal[CONFIG_EAL_MAX][256]; // arguments
};

// config_load: read and check `path`. NULL with `error`, which names file and line, the key, and
// what is wanted. The result is the caller's; config_free frees it.
struct config *config_load(const char *path, struct error *error);
void config_free(struct config *config);

// config_phase: the letter (COMMAND_TRADING) of a phase that a calendar or an operator names; 0
// when there is none of that name.
uint8_t config_phase(const char *name);
// config_phase_name: the other way; there must be such a phase.
const char *config_phase_name(uint8_t letter);

// config_has_firm: whether a session is of this firm, which is padded with spaces.
bool config_has_firm(const struct config *config, const char firm[4]);

// config_check_host: what the file asks for and this host has not: interfaces, cores, queues. 0, or
// -1 with `error` at the first.
int config_check_host(const struct config *config, struct error *error);

#endif
