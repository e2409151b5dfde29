// SPDX-License-Identifier: MIT
//
// nic: what the kernel says about a network interface, asked through ioctl. Set-up and
// housekeeping: system calls, any thread.
#ifndef SLUICE_DATAPLANE_NIC_H
#define SLUICE_DATAPLANE_NIC_H

#include <stdbool.h>
#include <stdint.h>

#include "numa/error.h"

// nic_mac: its Ethernet address. 0, or -1 with `error`.
int nic_mac(const char *interface, uint8_t mac[6], struct error *error);

// nic_driver: the driver's name, "veth", "mlx5_core"; empty when it has none that says so.
void nic_driver(const char *interface, char driver[32]);

// nic_up: it is there, up, and has a link.
bool nic_up(const char *interface);

// nic_rx_queues: how many queues packets may arrive on now; 0 when that cannot be found out.
uint32_t nic_rx_queues(const char *interface);

// nic_tx_dropped: packets that it was given to send and has dropped, since it is there, modulo
// 2^32; 0 when that cannot be found out.
uint32_t nic_tx_dropped(const char *interface);

// nic_zerocopy: AF_XDP without copying is known to work with `driver` from kernel `major`.`minor`
// on. Zero-copy bugs corrupt memory, so what is not on the list is not tried unless it is asked
// for by name.
bool nic_zerocopy(const char *driver, unsigned major, unsigned minor);

// nic_zerocopy_here: the same, of an interface of this host.
bool nic_zerocopy_here(const char *interface);

// nic_read_stamping, nic_set_stamping: what the NIC stamps, as numbers of linux/net_tstamp.h: of
// what is sent (HWTSTAMP_TX_*) and of what is received (HWTSTAMP_FILTER_*). 0, or -1 with errno.
int nic_read_stamping(const char *interface, int *sent, int *received);
int nic_set_stamping(const char *interface, int sent, int received);

#endif
