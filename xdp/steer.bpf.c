// SPDX-License-Identifier: MIT
//
// steer: what the kernel does with each frame of a port's interface, before it has a socket buffer.
//
// Whatever is not an order packet (ARP, ICMP, ssh, PTP, IPv6) is left to the kernel's stack.
// Packets to a shard's address and port are checked so far that user space meets whole,
// unfragmented UDP only, and at its order port only what comes from a source that is logged in, or
// can be a login: a stranger costs what it costs here. At its request port there is a rate. They go
// to the socket that the shard has on the queue they arrived on. Every frame is counted under one
// verdict: a drop here shows up in no counter of the interface.
//
// The work is the same for any number of shards, sessions and queues: one hash lookup, two array
// lookups, one counter; a third lookup and a clock where there is a rate. What a redirected packet,
// a stranger's, a login and a session's rate cost is in the README's figures (make bench
// ONLY=steer). Measured there on another day, BPF_PROG_TEST_RUN, a million repeats, kernel 6.18,
// Xeon at 2.6 GHz on busy cores, beside 36 ns to redirect what a bound source sends: 3 more with
// its Ethernet address pinned, 22 to drop for a checksum, 19 to pass another port's datagram, 9 to
// pass another Ethertype, which is next to what the measuring itself takes.
//
// It loads with CAP_BPF and CAP_NET_ADMIN. Without CAP_PERFMON the verifier has two more wishes.
// Offsets into the packet must be constants: no pointer is moved by a length found in the packet,
// and no two are subtracted. And it puts a speculation barrier behind what is stored on the stack,
// about 12 ns each: the redirect then takes 125 ns, so stores there are few.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "xdp/steer.h"

#define FRAGMENT_OFFSET_MASK 0x1FFF // RFC 791: 13 bits, in units of 8 bytes
#define FRAGMENT_MORE        0x2000

struct vlan_tag { // IEEE 802.1Q, after the Ethernet addresses and 0x8100
    __be16 control;
    __be16 ethertype;
};

// Set by the loader before loading, constants to the verifier, which leaves out what they rule out.
const volatile __u32 shard_count = 1;
const volatile __u32 meter_count = 1; // of each shard
const volatile __u32 bucket_bits = 4; // of each shard, the power of two
const volatile __u64 bucket_multiplier = 1;
const volatile _Bool pin_mac = 0;
// The time between packets at a rate, and how far ahead of it they may be. 0: no limit.
const volatile __u64 login_interval_ns = 0, login_ahead_ns = 0;
const volatile __u64 session_interval_ns = 0, session_ahead_ns = 0;
const volatile __u64 request_interval_ns = 0, request_ahead_ns = 0;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, STEER_DESTINATIONS_MAX);
    __type(key, struct steer_destination);
    __type(value, struct steer_target);
} shards SEC(".maps");

// Written by user space without a system call, which the port's thread has not got.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); // the loader's: shards x buckets
    __type(key, __u32);
    __type(value, struct steer_bucket);
} bound SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); // the loader's: shards x meters
    __type(key, __u32);
    __type(value, struct steer_meter);
} meters SEC(".maps");

// Index: queue x shard_count + shard. A redirect reaches only sockets bound to the queue that the
// frame arrived on, so each queue has a row of its own.
struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 1); // the loader's: queues x shards
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, STEER_VERDICT_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

// What has been found out about a frame.
struct found {
    const struct iphdr *ip;
    const struct udphdr *udp; // after a header without options
    __u32 ip_offset;
    __u32 room; // bytes from the IP header to the frame's end
    __u32 shard;
    _Bool open;
};

// Finds the IPv4 header. The functions below answer STEER_REDIRECT for "so far, so good".
static __always_inline enum steer_verdict find_ip(struct xdp_md *context, const void *end,
                                                  struct found *found)
{
    const struct ethhdr *ethernet = (const void *)(long)context->data;
    if ((const void *)(ethernet + 1) > end)
        return STEER_PASS_RUNT;
    __be16 ethertype = ethernet->h_proto;
    found->ip = (const void *)(ethernet + 1);
    found->ip_offset = sizeof(*ethernet);
    if (ethertype == bpf_htons(ETH_P_8021Q)) {
        const struct vlan_tag *tag = (const void *)(ethernet + 1);
        if ((const void *)(tag + 1) > end)
            return STEER_PASS_RUNT;
        ethertype = tag->ethertype;
        found->ip = (const void *)(tag + 1);
        found->ip_offset = sizeof(*ethernet) + sizeof(*tag);
    }
    if (ethertype != bpf_htons(ETH_P_IP))
        return STEER_PASS_ETHERTYPE;
    const struct iphdr *ip = found->ip;
    if ((const void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
        return STEER_PASS_IP_HEADER;
    return STEER_REDIRECT;
}

_Static_assert(sizeof(struct steer_destination) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "address in the low half, port above it");

static __always_inline const struct steer_target *target_of(__be32 address, __be16 port)
{
    // A struct steer_destination in one store: the lookup reads it in larger pieces than its
    // fields, and would wait until they have left the store buffer (10 ns).
    __u64 destination = address | (__u64)port << 32;
    return bpf_map_lookup_elem(&shards, &destination);
}

// With options, the port stands where only the packet knows. The helper fetches it; slower, but
// what is a shard's is refused anyhow.
static __always_inline enum steer_verdict refuse_options(struct xdp_md *context,
                                                         const struct found *found)
{
    struct udphdr udp;
    __u32 offset = found->ip_offset + found->ip->ihl * 4;
    if (bpf_xdp_load_bytes(context, offset, &udp, sizeof(udp)) != 0)
        return STEER_PASS_UDP_HEADER;
    return target_of(found->ip->daddr, udp.dest) ? STEER_DROP_IP_OPTIONS : STEER_PASS_DESTINATION;
}

// Finds whose it is. A packet with options, and a first fragment, still say so, and are the shard's
// to refuse; later fragments carry no port.
static __always_inline enum steer_verdict find_shard(struct xdp_md *context, const void *end,
                                                     struct found *found)
{
    const struct iphdr *ip = found->ip;
    if (ip->protocol != IPPROTO_UDP)
        return STEER_PASS_PROTOCOL;
    if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET_MASK))
        return STEER_PASS_FRAGMENT;
    if (ip->ihl > 5)
        return refuse_options(context, found);
    found->udp = (const void *)(ip + 1);
    if ((const void *)(found->udp + 1) > end)
        return STEER_PASS_UDP_HEADER;
    found->room = bpf_xdp_get_buff_len(context) - found->ip_offset;
    const struct steer_target *target = target_of(ip->daddr, found->udp->dest);
    if (!target)
        return STEER_PASS_DESTINATION;
    found->shard = target->shard;
    found->open = target->open;
    return STEER_REDIRECT;
}

// RFC 1071 over the 20 bytes of a header without options: right when the folded sum is all ones.
static __always_inline _Bool ip_checksum_valid(const struct iphdr *ip)
{
    const __u32 *words = (const __u32 *)ip;
    __u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return sum == 0xFFFF;
}

// Is it fit to be looked at? It has no options. The frame may be longer than the packet: Ethernet
// pads to 60 bytes.
static __always_inline enum steer_verdict admit(const struct found *found)
{
    const struct iphdr *ip = found->ip;
    if (ip->frag_off & bpf_htons(FRAGMENT_MORE))
        return STEER_DROP_FRAGMENT;
    if (!ip_checksum_valid(ip))
        return STEER_DROP_IP_CHECKSUM;
    __u32 packet_size = bpf_ntohs(ip->tot_len);
    __u32 datagram_size = bpf_ntohs(found->udp->len);
    if (packet_size < sizeof(*ip) + sizeof(struct udphdr) || packet_size > found->room)
        return STEER_DROP_IP_LENGTH;
    if (datagram_size != packet_size - sizeof(*ip))
        return STEER_DROP_UDP_LENGTH;
    if (datagram_size == sizeof(struct udphdr))
        return STEER_DROP_EMPTY;
    if (datagram_size > sizeof(struct udphdr) + STEER_PAYLOAD_MAX)
        return STEER_DROP_TOO_LONG;
    return STEER_REDIRECT;
}

// GCRA: a packet is due an interval after the one before it, and may come ahead of that by so much.
// The coarse clock takes 5 ns and the exact one 40; it goes in steps of up to 10 ms, which the
// bursts that the configuration takes have room for. A meter is written without a lock by
// the CPU whose queue brings the packet: when two do so at once for one meter, a packet too many
// passes.
static __always_inline _Bool in_time(__u32 shard, __u32 number, __u64 interval_ns, __u64 ahead_ns)
{
    if (interval_ns == 0)
        return 1;
    __u32 place = shard * meter_count + number;
    struct steer_meter *meter = bpf_map_lookup_elem(&meters, &place);
    if (!meter)
        return 0;
    __u64 now_ns = bpf_ktime_get_coarse_ns(), due_ns = meter->due_ns;
    if (due_ns < now_ns)
        due_ns = now_ns;
    if (due_ns - now_ns > ahead_ns)
        return 0;
    meter->due_ns = due_ns + interval_ns;
    return 1;
}

static __always_inline _Bool can_be_login(const struct found *found, const void *end)
{
    const __u8 *payload = (const void *)(found->udp + 1);
    __u32 size = bpf_ntohs(found->udp->len) - sizeof(struct udphdr), least = ~0u;
    if ((const void *)(payload + 3) > end)
        return 0;
    __u32 head = payload[0] << 16 | payload[1] << 8 | payload[2];
    if (head == (STEER_LOGIN_SIZE << 8 | STEER_LOGIN_TYPE))
        least = 2 + STEER_LOGIN_SIZE;
    else if (head <= 0xFF)
        least = 3;
    return size >= least;
}

// As it is now: it may be written meanwhile.
static __always_inline __u64 slot_at(const struct steer_bucket *bucket, int index)
{
    return *(const volatile __u64 *)&bucket->slots[index];
}

// The slot that has the source, or 0.
static __always_inline __u64 find_slot(const struct steer_bucket *bucket, __u64 source)
{
    __u64 found = 0;
#pragma unroll
    for (int i = 0; i < STEER_BUCKET_SLOTS; ++i) {
        __u64 slot = slot_at(bucket, i);
        if (slot >> STEER_SLOT_SOURCE_SHIFT == source)
            found |= slot;
    }
    return found;
}

// Six bytes of the eight that are read.
static __always_inline __u64 mac_at(const __u8 *bytes)
{
    return *(const __u64 *)(const void *)bytes & 0xFFFFFFFFFFFF;
}

// All of the bucket's are compared, as an offset that depends on the path is none that the verifier
// takes (see above).
static __always_inline _Bool mac_is_right(const struct xdp_md *context,
                                          const struct steer_bucket *bucket, __u64 slot)
{
    const struct ethhdr *ethernet = (const void *)(long)context->data;
    if ((const void *)(ethernet + 1) > (const void *)(long)context->data_end)
        return 0;
    __u64 source = mac_at(ethernet->h_source);
    __u64 right = 0;
#pragma unroll
    for (int i = 0; i < STEER_BUCKET_SLOTS; ++i)
        right |= !((slot_at(bucket, i) ^ slot) | (mac_at(bucket->macs[i]) ^ source));
    return right;
}

// Who sends it? The port's thread may be writing the bucket. A slot's source and session are one
// word; an Ethernet address that is read beside it may be another binding's, which costs one packet
// or lets one through to user space, where each packet's source is looked up again.
static __always_inline enum steer_verdict judge_source(const struct xdp_md *context,
                                                       const void *end, const struct found *found)
{
    __u64 source = STEER_SOURCE(found->ip->saddr, found->udp->source);
    __u32 shard = found->shard;
    _Bool login = can_be_login(found, end); // now: nothing of the packet need be kept at hand
    __u32 place =
        shard << bucket_bits | (__u32)STEER_BUCKET(source, bucket_multiplier, bucket_bits);
    const struct steer_bucket *bucket = bpf_map_lookup_elem(&bound, &place);
    if (!bucket)
        return STEER_DROP_NOT_BOUND;
    __u64 slot = find_slot(bucket, source);
    if (!slot && !login)
        return bucket->unlisted ? STEER_REDIRECT : STEER_DROP_NOT_BOUND;
    if (!slot)
        return in_time(shard, STEER_METER_LOGINS, login_interval_ns, login_ahead_ns)
                   ? STEER_REDIRECT
                   : STEER_DROP_LOGIN_RATE;
    if (pin_mac && !mac_is_right(context, bucket, slot))
        return STEER_DROP_WRONG_MAC;
    __u32 session = (slot & STEER_SLOT_SESSION) - 1;
    return in_time(shard, STEER_METER_SESSIONS + session, session_interval_ns, session_ahead_ns)
               ? STEER_REDIRECT
               : STEER_DROP_SESSION_RATE;
}

// An answer is larger than what asks for it, and goes to whoever the packet says has asked.
static __always_inline enum steer_verdict judge_request(const struct found *found)
{
    return in_time(found->shard, STEER_METER_REQUESTS, request_interval_ns, request_ahead_ns)
               ? STEER_REDIRECT
               : STEER_DROP_REQUEST_RATE;
}

// What stamping takes more is in the README's figures (make bench ONLY=stamps).
//
// Kernel 6.3. The verifier admits it only in a program that is bound to one device, so that
// stamping needs a program of its own.
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *context,
                                         __u64 *timestamp) __ksym __weak;

// Whatever cannot be had is not there: a stamp is not worth a packet.
static __always_inline void stamp(struct xdp_md *context)
{
    if (bpf_xdp_adjust_meta(context, -(int)sizeof(struct steer_stamp)) != 0)
        return;
    struct steer_stamp *found = (void *)(long)context->data_meta;
    if ((void *)(found + 1) > (void *)(long)context->data)
        return;
    __u64 hardware_ns = 0;
    if (bpf_xdp_metadata_rx_timestamp(context, &hardware_ns) != 0)
        hardware_ns = 0;
    found->hardware_ns = hardware_ns;
    found->kernel_ns = bpf_ktime_get_tai_ns();
    found->magic = STEER_STAMP_MAGIC;
    found->zero = 0;
}

// Hands it to the shard's socket on this queue. The kernel drops in silence what is redirected to a
// socket of another queue, and aborts, loudly, on an empty place: both are looked for first, and
// XDP_DROP is the answer should the socket be closed between the look and the redirect. Room in
// the socket's rings is known only later, and counted in its XDP_STATISTICS.
static __always_inline enum steer_verdict redirect(struct xdp_md *context, __u32 shard,
                                                   const _Bool stamps)
{
    __u32 queue = context->rx_queue_index;
    __u32 place = queue * shard_count + shard;
    const struct bpf_xdp_sock *socket = bpf_map_lookup_elem(&sockets, &place);
    if (!socket || socket->queue_id != queue)
        return STEER_DROP_QUEUE;
    if (stamps)
        stamp(context);
    if (bpf_redirect_map(&sockets, place, XDP_DROP) != XDP_REDIRECT)
        return STEER_DROP_QUEUE;
    return STEER_REDIRECT;
}

static __always_inline enum steer_verdict judge(struct xdp_md *context, const _Bool stamps)
{
    const void *end = (const void *)(long)context->data_end;
    struct found found;
    enum steer_verdict verdict = find_ip(context, end, &found);
    if (verdict != STEER_REDIRECT)
        return verdict;
    verdict = find_shard(context, end, &found);
    if (verdict != STEER_REDIRECT)
        return verdict;
    verdict = admit(&found);
    if (verdict != STEER_REDIRECT)
        return verdict;
    verdict = found.open ? judge_request(&found) : judge_source(context, end, &found);
    if (verdict != STEER_REDIRECT)
        return verdict;
    return redirect(context, found.shard, stamps);
}

static __always_inline int handle(struct xdp_md *context, const _Bool stamps)
{
    __u32 verdict = judge(context, stamps);
    __u64 *counter = bpf_map_lookup_elem(&counters, &verdict);
    if (counter)
        ++*counter; // of this CPU, in the driver's poll: nobody else writes it
    if (verdict == STEER_REDIRECT)
        return XDP_REDIRECT;
    return verdict <= STEER_PASS_DESTINATION ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int steer(struct xdp_md *context)
{
    return handle(context, 0);
}

SEC("xdp")
int steer_stamping(struct xdp_md *context)
{
    return handle(context, 1);
}

const char _license[] SEC("license") = "Dual MIT/GPL";
