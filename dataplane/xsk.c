// SPDX-License-Identifier: MIT
#include "dataplane/xsk.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "numa/invariant.h"

#define TX_METADATA_FLAG (1u << 2) // XDP_UMEM_TX_METADATA_LEN

// struct xdp_umem_reg of a kernel from 6.8 on.
struct umem_registration {
    uint64_t address, size;
    uint32_t frame_size, headroom, flags, tx_metadata_size;
};

int xsk_open(struct xsk *xsk)
{
    *xsk = (struct xsk){.fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)};
    return xsk->fd < 0 ? -errno : 0;
}

int xsk_register(struct xsk *xsk, void *umem, size_t size, uint32_t frame_size, bool *stamps)
{
    struct umem_registration registration = {.address = (uintptr_t)umem,
                                             .size = size,
                                             .frame_size = frame_size,
                                             .flags = *stamps ? TX_METADATA_FLAG : 0,
                                             .tx_metadata_size =
                                                 *stamps ? sizeof(struct xsk_tx_stamp) : 0};
    if (setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof(registration)) == 0)
        return 0;
    if (!*stamps || errno != EINVAL)
        return -errno;
    *stamps = false; // an older kernel
    return xsk_register(xsk, umem, size, frame_size, stamps);
}

static const struct ring_kind {
    int option;
    uint64_t page_offset;
    size_t at; // its struct xdp_ring_offset, in struct xdp_mmap_offsets
    size_t slot_size;
} kinds[] = {
    {XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, offsetof(struct xdp_mmap_offsets, fr),
     sizeof(uint64_t)},
    {XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
     offsetof(struct xdp_mmap_offsets, cr), sizeof(uint64_t)},
    {XDP_RX_RING, XDP_PGOFF_RX_RING, offsetof(struct xdp_mmap_offsets, rx),
     sizeof(struct xdp_desc)},
    {XDP_TX_RING, XDP_PGOFF_TX_RING, offsetof(struct xdp_mmap_offsets, tx),
     sizeof(struct xdp_desc)},
};

// Makes a ring and maps it, as xdp/xsk.h expects a producer's: its cached_cons is the consumer's
// index plus the size.
static int make_producer(struct xsk *xsk, const struct ring_kind *kind, uint32_t slots,
                         struct xsk_ring_prod *ring)
{
    struct xdp_mmap_offsets offsets;
    socklen_t offsets_size = sizeof(offsets);
    if (getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &offsets_size) ||
        setsockopt(xsk->fd, SOL_XDP, kind->option, &slots, sizeof(slots)))
        return -errno;
    struct xdp_ring_offset at;
    memcpy(&at, (const char *)&offsets + kind->at, sizeof(at));
    size_t size = at.desc + slots * kind->slot_size;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, xsk->fd,
                        (off_t)kind->page_offset);
    if (memory == MAP_FAILED)
        return -errno;
    INVARIANT(xsk->ring_count < 4);
    xsk->rings[xsk->ring_count].memory = memory;
    xsk->rings[xsk->ring_count++].size = size;
    *ring = (struct xsk_ring_prod){.mask = slots - 1,
                                   .size = slots,
                                   .producer = (uint32_t *)(void *)(memory + at.producer),
                                   .consumer = (uint32_t *)(void *)(memory + at.consumer),
                                   .flags = (uint32_t *)(void *)(memory + at.flags),
                                   .ring = memory + at.desc,
                                   .cached_cons = slots};
    return 0;
}

// A consumer's is the same, but both its cached indices start at 0.
static int make_consumer(struct xsk *xsk, const struct ring_kind *kind, uint32_t slots,
                         struct xsk_ring_cons *ring)
{
    struct xsk_ring_prod made = {0};
    int code = make_producer(xsk, kind, slots, &made);
    if (code == 0)
        *ring = (struct xsk_ring_cons){.mask = made.mask,
                                       .size = made.size,
                                       .producer = made.producer,
                                       .consumer = made.consumer,
                                       .flags = made.flags,
                                       .ring = made.ring};
    return code;
}

int xsk_fill(struct xsk *xsk, uint32_t size, struct xsk_ring_prod *ring)
{
    return make_producer(xsk, &kinds[0], size, ring);
}

int xsk_completion(struct xsk *xsk, uint32_t size, struct xsk_ring_cons *ring)
{
    return make_consumer(xsk, &kinds[1], size, ring);
}

int xsk_rx(struct xsk *xsk, uint32_t size, struct xsk_ring_cons *ring)
{
    return make_consumer(xsk, &kinds[2], size, ring);
}

int xsk_tx(struct xsk *xsk, uint32_t size, struct xsk_ring_prod *ring)
{
    return make_producer(xsk, &kinds[3], size, ring);
}

int xsk_bind(const struct xsk *xsk, uint32_t interface, uint32_t queue, uint16_t flags,
             const struct xsk *owner)
{
    struct sockaddr_xdp address = {.sxdp_family = AF_XDP,
                                   .sxdp_ifindex = interface,
                                   .sxdp_queue_id = queue,
                                   .sxdp_flags = flags};
    if (owner != xsk) {
        address.sxdp_flags = XDP_SHARED_UMEM; // the rest is the owner's
        address.sxdp_shared_umem_fd = (uint32_t)owner->fd;
    }
    return bind(xsk->fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
}

void xsk_close(struct xsk *xsk)
{
    for (uint32_t i = 0; i < xsk->ring_count; i++)
        munmap(xsk->rings[i].memory, xsk->rings[i].size);
    if (xsk->fd > 0)
        close(xsk->fd);
    *xsk = (struct xsk){0};
}
