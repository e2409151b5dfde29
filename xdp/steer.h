// SPDX-License-Identifier: MIT
//
// What the XDP program and user space agree on: verdicts, limits, the layout of its maps. Included
// by both, so it holds nothing but constants and plain structures.
#ifndef SLUICE_XDP_STEER_H
#define SLUICE_XDP_STEER_H

#define STEER_SHARDS_MAX 64
#define STEER_QUEUES_MAX 64

// Every packet that the program sees ends with exactly one of these, and is counted under it, per
// CPU. dataplane/packet.c returns the same value for the same bytes; a test holds the two together.
// The checks are made in this order.
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
    STEER_DROP_QUEUE,       // arrived on a queue where the shard has no socket
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
            "drop_too_long", "drop_queue", "redirect"                                              \
    }

// Key of the map `shards`; network byte order, as in the packet. Value: the shard's number (__u32).
struct steer_destination {
    unsigned int address;
    unsigned short port;
    unsigned short zero;
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
