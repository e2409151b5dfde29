// SPDX-License-Identifier: MIT
//
// What the XDP program and user space agree on: verdicts, limits, the layout of its maps. Included
// by both, so it holds nothing but constants and plain structures.
#ifndef SLUICE_XDP_STEER_H
#define SLUICE_XDP_STEER_H

#define STEER_SHARDS_MAX       64
#define STEER_DESTINATIONS_MAX (2 * STEER_SHARDS_MAX) // orders, and the feed's requests
#define STEER_QUEUES_MAX       64
#define STEER_SESSIONS_MAX     4096

// Every packet that the program sees ends with exactly one of these, and is counted under it, per
// CPU. The checks are made in this order. Up to STEER_DROP_TOO_LONG they are of the packet's bytes
// alone, and dataplane/packet.c returns the same value for the same bytes; a test holds the two
// together.
enum steer_verdict {
    // XDP_PASS: not ours; the kernel's stack has it.
    STEER_PASS_RUNT,        // shorter than its Ethernet header and VLAN tag
    STEER_PASS_ETHERTYPE,   // not IPv4: ARP, IPv6, a second VLAN tag, ...
    STEER_PASS_IP_HEADER,   // fewer than 20 bytes, version not 4, or header length below 20
    STEER_PASS_PROTOCOL,    // not UDP
    STEER_PASS_FRAGMENT,    // a fragment other than the first: it does not say whose it is
    STEER_PASS_UDP_HEADER,  // the frame ends before the UDP header does
    STEER_PASS_DESTINATION, // the address and port are not a shard's
    // XDP_DROP: for a shard, and not fit to be looked at.
    STEER_DROP_IP_OPTIONS,  // IP header longer than 20 bytes
    STEER_DROP_FRAGMENT,    // the first fragment of several
    STEER_DROP_IP_CHECKSUM, // of the header
    STEER_DROP_IP_LENGTH,   // total length beyond the frame's end, or below 28
    STEER_DROP_UDP_LENGTH,  // not the IP payload's length
    STEER_DROP_EMPTY,       // no payload
    STEER_DROP_TOO_LONG,    // payload above STEER_PAYLOAD_MAX
    // … for a shard's order port:
    STEER_DROP_NOT_BOUND,    // its source is not bound, and it cannot be a login
    STEER_DROP_LOGIN_RATE,   // it can be a login, and there were too many
    STEER_DROP_WRONG_MAC,    // its source is bound, and logged in from another Ethernet address
    STEER_DROP_SESSION_RATE, // its session has sent too many
    // … for its request port:
    STEER_DROP_REQUEST_RATE, // there were too many
    // … and for all:
    STEER_DROP_QUEUE, // arrived on a queue where the shard has no socket
    // XDP_REDIRECT
    STEER_REDIRECT, // to the shard's socket on this queue
    STEER_VERDICT_COUNT,
};

#define STEER_PAYLOAD_MAX 1472 // what UDP over IPv4 carries in 1500 bytes

// The words for people, in the order of the enum.
#define STEER_VERDICT_NAMES                                                                        \
    {                                                                                              \
        "pass_runt", "pass_ethertype", "pass_ip_header", "pass_protocol", "pass_fragment",         \
            "pass_udp_header", "pass_destination", "drop_ip_options", "drop_fragment",             \
            "drop_ip_checksum", "drop_ip_length", "drop_udp_length", "drop_empty",                 \
            "drop_too_long", "drop_not_bound", "drop_login_rate", "drop_wrong_mac",                \
            "drop_session_rate", "drop_request_rate", "drop_queue", "redirect"                     \
    }

// Key of the map `shards`; network byte order, as in the packet.
struct steer_destination {
    unsigned int address;
    unsigned short port;
    unsigned short zero;
};

// … and its value.
struct steer_target {
    unsigned int shard;
    unsigned int open; // anybody may send there, at a rate; else bound sources, and logins
};

// The map `bound`: for each shard a hash table of the sources that are bound to its order port,
// STEER_BUCKETS_A_SESSION buckets and more for each session, shard after shard. A bucket is a cache
// line. The shard's port thread writes (xdp/bound.h) while the program reads.
//
// A source is in one word with its session, so that it is there whole or not at all: 16 bits of the
// session's number plus one, below its address and port. 0: the slot is empty.
#define STEER_BUCKET_SLOTS      4
#define STEER_BUCKETS_A_SESSION 4
#define STEER_SLOT_SESSION      0xFFFFull
#define STEER_SLOT_SOURCE_SHIFT 16

struct steer_bucket {
    unsigned long long slots[STEER_BUCKET_SLOTS];
    unsigned char macs[STEER_BUCKET_SLOTS][6]; // where each logged in from
    unsigned int unlisted; // bound sources that it has no slot for: as long as there are any, all
                           // that hash to it go to user space
    unsigned int zero;
};

// Address and port in network byte order, as in the packet.
#define STEER_SOURCE(address, port)            ((unsigned long long)(port) << 32 | (address))
// Multiply-shift hashing: `multiplier` is odd and kept secret, so that nobody can choose sources
// that share a bucket. Bits: 1 to 32.
#define STEER_BUCKET(source, multiplier, bits) ((source) * (multiplier) >> (64 - (bits)))

// What can be a login, by the payload's first bytes: a UFO login block, or a signed session's
// datagram, which begins with two bytes that no UFO block can begin with.
#define STEER_LOGIN_TYPE                       'L'
#define STEER_LOGIN_SIZE                       27 // behind two bytes that say so

// The map `meters`: of each shard, one for its logins, one for what comes to its open port, and
// then one for each session. A cache line, since the packets of two sessions may come on two
// queues.
#define STEER_METER_LOGINS                     0
#define STEER_METER_REQUESTS                   1
#define STEER_METER_SESSIONS                   2
struct steer_meter {
    unsigned long long due_ns; // when the next packet is due at the rate; the future is the debt
    unsigned long long zero[7];
};

// What the stamping program puts in front of a packet that it redirects, for whoever receives it.
struct steer_stamp {
    unsigned long long
        hardware_ns;              // when the NIC received it, by the NIC's clock; 0: it did not say
    unsigned long long kernel_ns; // when the program saw it, CLOCK_TAI
    unsigned int magic;           // else there is no stamp here
    unsigned int zero;
};
#define STEER_STAMP_MAGIC 0x504D5453u

#endif
