// SPDX-License-Identifier: MIT
#include "dataplane/irq.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The number that `text` is, without anything behind it.
static bool number_is(const char *text, uint32_t wanted)
{
    char *end;
    return isdigit((unsigned char)*text) && strtoul(text, &end, 10) == wanted && *end == 0;
}

// "eth1-TxRx-3" (Intel, Broadcom), "ice-eth1-TxRx-3", "eth1-Tx-Rx-3" (ena), "eth1-rx-3".
static bool named_by_interface(const char *name, const char *interface, uint32_t queue)
{
    const char *at = strstr(name, interface), *last = strrchr(name, '-');
    size_t length = strlen(interface);
    return at && (at == name || at[-1] == '-') && at[length] == '-' && last > at + length &&
           number_is(last + 1, queue) && strcasestr(at + length, "rx");
}

bool irq_name_is(const char *name, const char *interface, const char *device, uint32_t queue)
{
    char wanted[PATH_MAX];
    if (strncmp(device, "virtio", 6) == 0) {
        snprintf(wanted, sizeof(wanted), "%s-input.%u", device, queue);
        if (strcmp(name, wanted) == 0)
            return true;
        snprintf(wanted, sizeof(wanted), "%s-output.%u", device, queue);
        return strcmp(name, wanted) == 0;
    }
    snprintf(wanted, sizeof(wanted), "mlx5_comp%u@pci:%s", queue, device);
    return strcmp(name, wanted) == 0 || named_by_interface(name, interface, queue);
}

// The last component of what a link points to; empty where there is none.
static void device_of(const char *root, const char *interface, char device[PATH_MAX])
{
    char path[PATH_MAX], target[PATH_MAX];
    snprintf(path, sizeof(path), "%s/sys/class/net/%s/device", root, interface);
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    target[length < 0 ? 0 : length] = 0;
    const char *last = strrchr(target, '/');
    snprintf(device, PATH_MAX, "%s", last ? last + 1 : target);
}

uint32_t irq_find(const char *root, const char *interface, uint32_t queue,
                  int numbers[IRQ_OF_A_QUEUE_MAX])
{
    char path[PATH_MAX], device[PATH_MAX], *line = NULL;
    size_t size = 0;
    uint32_t count = 0;
    device_of(root, interface, device);
    snprintf(path, sizeof(path), "%s/proc/interrupts", root);
    FILE *file = fopen(path, "re");
    // " 38:   0  22261 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0"; shared: "a, b".
    while (file && device[0] && count < IRQ_OF_A_QUEUE_MAX && getline(&line, &size, file) > 0) {
        int number;
        bool found = false;
        if (sscanf(line, " %d:", &number) != 1)
            continue;
        for (char *rest, *word = strtok_r(line, " \t\n,", &rest); word && !found;
             word = strtok_r(NULL, " \t\n,", &rest))
            found = irq_name_is(word, interface, device, queue);
        if (found)
            numbers[count++] = number;
    }
    free(line);
    if (file)
        fclose(file);
    return count;
}

int irq_core(const char *root, int number)
{
    static const char *const names[] = {"effective_affinity_list", "smp_affinity_list"};
    int core = -1;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && core < 0; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/proc/irq/%d/%s", root, number, names[i]);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%d", &core) != 1)
            core = -1; // none yet: the queue is not open
        if (file)
            fclose(file);
    }
    return core;
}
