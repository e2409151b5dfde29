// SPDX-License-Identifier: MIT
//
// irq: which interrupts belong to a queue of an interface, and where they go: by the names that
// drivers give them in /proc/interrupts. `root` is put before /sys and /proc: "" for this host.
#ifndef SLUICE_DATAPLANE_IRQ_H
#define SLUICE_DATAPLANE_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IRQ_OF_A_QUEUE_MAX 4u

// irq_find: the numbers of the interrupts of `queue`, the receiving one first; how many, 0 for an
// interface without (veth) or of a driver whose names are not known.
uint32_t irq_find(const char *root, const char *interface, uint32_t queue,
                  int numbers[IRQ_OF_A_QUEUE_MAX]);

// irq_core: the core that an interrupt goes to now, the first of them where it may go to several;
// -1 when the kernel does not say.
int irq_core(const char *root, int number);

// irq_name_is: whether a driver calls `queue`'s interrupt by `name`. `device` is the interface's
// in /sys ("virtio2", "0000:81:00.0").
bool irq_name_is(const char *name, const char *interface, const char *device, uint32_t queue);

#endif
