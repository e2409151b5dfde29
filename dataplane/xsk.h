// SPDX-License-Identifier: MIT
//
// xsk: setting up AF_XDP sockets. The rings are libxdp's (xdp/xsk.h) and are used through its
// inline functions; its own set-up (1.3 in Debian 12) has no word for metadata of sent frames
// (kernel 6.8), which time stamps of sending need, so the few system calls are made here. See the
// kernel's Documentation/networking/af_xdp.rst and xsk-tx-metadata.rst.
//
// Functions return 0, or the negative errno. Set-up only, any thread.
#ifndef SLUICE_DATAPLANE_XSK_H
#define SLUICE_DATAPLANE_XSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xdp/xsk.h>

// In front of a frame that is sent, where its UMEM was registered with it: struct xsk_tx_metadata
// of the kernel's if_xdp.h, which Debian 12's does not have.
struct xsk_tx_stamp {
    uint64_t flags; // XSK_TX_STAMP_WANTED
    uint64_t
        time_ns; // once sent: when, by the NIC's clock, or CLOCK_REALTIME where the driver stamps
    uint64_t unused;
};
#define XSK_TX_STAMP_WANTED 1ull      // XDP_TXMD_FLAGS_TIMESTAMP
#define XSK_TX_HAS_METADATA (1u << 1) // XDP_TX_METADATA, in a descriptor's options

struct xsk {
    int fd;
    struct {
        void *memory;
        size_t size;
    } rings[4];
    uint32_t ring_count;
};

int xsk_open(struct xsk *xsk);

// xsk_register: lend `size` bytes of frames to the kernel through this socket. `stamps` comes in as
// whether struct xsk_tx_stamp is wanted, and says whether this kernel does it.
int xsk_register(struct xsk *xsk, void *umem, size_t size, uint32_t frame_size, bool *stamps);

// xsk_fill, xsk_completion, xsk_rx, xsk_tx: make the ring, of `size` (a power of two) slots, before
// xsk_bind. Each queue needs one FILL and one COMPLETION ring, of the first socket bound to it.
int xsk_fill(struct xsk *xsk, uint32_t size, struct xsk_ring_prod *ring);
int xsk_completion(struct xsk *xsk, uint32_t size, struct xsk_ring_cons *ring);
int xsk_rx(struct xsk *xsk, uint32_t size, struct xsk_ring_cons *ring);
int xsk_tx(struct xsk *xsk, uint32_t size, struct xsk_ring_prod *ring);

// xsk_bind: to a queue of the interface with number `interface`. `owner` is the socket that
// registered the frames: this one, with XDP_ZEROCOPY or XDP_COPY and XDP_USE_NEED_WAKEUP in
// `flags`, or another one that is bound already.
int xsk_bind(const struct xsk *xsk, uint32_t interface, uint32_t queue, uint16_t flags,
             const struct xsk *owner);

// xsk_close: fine with what xsk_open has not touched, as long as it is zero.
void xsk_close(struct xsk *xsk);

#endif
