// SPDX-License-Identifier: MIT
#include "dataplane/xsk.h"

#include <errno.h>
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

// Makes a ring and maps it: its memory, or NULL with errno.
static char *make_ring(struct xsk *xsk, int option, uint32_t slots, uint64_t page_offset,
                       size_t size)
{
    if (setsockopt(xsk->fd, SOL_XDP, option, &slots, sizeof(slots)))
        return NULL;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, xsk->fd,
                        (off_t)page_offset);
    if (memory == MAP_FAILED)
        return NULL;
    INVARIANT(xsk->ring_count < 4);
    xsk->rings[xsk->ring_count].memory = memory;
    xsk->rings[xsk->ring_count++].size = size;
    return memory;
}

static int read_offsets(const struct xsk *xsk, struct xdp_mmap_offsets *offsets)
{
    socklen_t size = sizeof(*offsets);
    return getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, offsets, &size) ? -errno : 0;
}

// As xdp/xsk.h expects them: a producer's cached_cons is the consumer's index plus the size.
static void set_up_producer(struct xsk_ring_prod *ring, char *memory, uint32_t slots,
                            const struct xdp_ring_offset *at)
{
    *ring = (struct xsk_ring_prod){.mask = slots - 1,
                                   .size = slots,
                                   .producer = (uint32_t *)(void *)(memory + at->producer),
                                   .consumer = (uint32_t *)(void *)(memory + at->consumer),
                                   .flags = (uint32_t *)(void *)(memory + at->flags),
                                   .ring = memory + at->desc,
                                   .cached_cons = slots};
}

static void set_up_consumer(struct xsk_ring_cons *ring, char *memory, uint32_t slots,
                            const struct xdp_ring_offset *at)
{
    *ring = (struct xsk_ring_cons){.mask = slots - 1,
                                   .size = slots,
                                   .producer = (uint32_t *)(void *)(memory + at->producer),
                                   .consumer = (uint32_t *)(void *)(memory + at->consumer),
                                   .flags = (uint32_t *)(void *)(memory + at->flags),
                                   .ring = memory + at->desc};
}

int xsk_fill(struct xsk *xsk, uint32_t size, struct xsk_ring_prod *ring)
{
    struct xdp_mmap_offsets at;
    int result = read_offsets(xsk, &at);
    if (result)
        return result;
    char *memory = make_ring(xsk, XDP_UMEM_FILL_RING, size, XDP_UMEM_PGOFF_FILL_RING,
                             at.fr.desc + size * sizeof(uint64_t));
    if (!memory)
        return -errno;
    set_up_producer(ring, memory, size, &at.fr);
    return 0;
}

int xsk_completion(struct xsk *xsk, uint32_t size, struct xsk_ring_cons *ring)
{
    struct xdp_mmap_offsets at;
    int result = read_offsets(xsk, &at);
    if (result)
        return result;
    char *memory = make_ring(xsk, XDP_UMEM_COMPLETION_RING, size, XDP_UMEM_PGOFF_COMPLETION_RING,
                             at.cr.desc + size * sizeof(uint64_t));
    if (!memory)
        return -errno;
    set_up_consumer(ring, memory, size, &at.cr);
    return 0;
}

int xsk_rx(struct xsk *xsk, uint32_t size, struct xsk_ring_cons *ring)
{
    struct xdp_mmap_offsets at;
    int result = read_offsets(xsk, &at);
    if (result)
        return result;
    char *memory = make_ring(xsk, XDP_RX_RING, size, XDP_PGOFF_RX_RING,
                             at.rx.desc + size * sizeof(struct xdp_desc));
    if (!memory)
        return -errno;
    set_up_consumer(ring, memory, size, &at.rx);
    return 0;
}

int xsk_tx(struct xsk *xsk, uint32_t size, struct xsk_ring_prod *ring)
{
    struct xdp_mmap_offsets at;
    int result = read_offsets(xsk, &at);
    if (result)
        return result;
    char *memory = make_ring(xsk, XDP_TX_RING, size, XDP_PGOFF_TX_RING,
                             at.tx.desc + size * sizeof(struct xdp_desc));
    if (!memory)
        return -errno;
    set_up_producer(ring, memory, size, &at.tx);
    return 0;
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
