// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/port.h"

#define OBJECT "sluice-dpdk.so"

static port_dpdk_open_fn *load(const char *path, struct error *error)
{
    port_dpdk_open_fn *open_port;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = object ? dlsym(object, "port_dpdk_open") : NULL;
    if (!symbol) {
        error_set(error, "cannot load %s: %s; install DPDK's libraries (libdpdk-dev) and `make`",
                  path, dlerror());
        return NULL;
    }
    memcpy(&open_port, &symbol, sizeof(open_port)); // ISO C has no cast for it
    return open_port;
}

port_dpdk_open_fn *port_dpdk_load(struct error *error)
{
    static const char *const places[] = {"", "../lib/sluice/"};
    char program[PATH_MAX] = "", path[PATH_MAX + sizeof("/../lib/sluice/" OBJECT)];
    if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0) {
        error_set(error, "/proc/self/exe: %s: cannot tell where " OBJECT " is", strerror(errno));
        return NULL;
    }
    const char *folder = dirname(program);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s%s", folder, places[i], OBJECT);
        if (access(path, F_OK) == 0)
            return load(path, error);
    }
    error_set(error,
              "ports of type \"dpdk\" need %s/" OBJECT ", and it is not there: install libdpdk-dev "
              "(DPDK 21.11 or later) and `make`",
              folder);
    return NULL;
}
