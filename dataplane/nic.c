// SPDX-License-Identifier: MIT
#include "dataplane/nic.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

// 0, or -1 with errno.
static int ask(const char *interface, unsigned long request, struct ifreq *about)
{
    memset(about->ifr_name, 0, sizeof(about->ifr_name));
    memcpy(about->ifr_name, interface, strnlen(interface, sizeof(about->ifr_name) - 1));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = ioctl(fd, request, about), why = errno;
    close(fd);
    errno = why;
    return result < 0 ? -1 : 0;
}

int nic_mac(const char *interface, uint8_t mac[6], struct error *error)
{
    struct ifreq about = {0};
    if (ask(interface, SIOCGIFHWADDR, &about))
        return error_set(error, "%s: cannot read its Ethernet address: %s", interface,
                         strerror(errno));
    memcpy(mac, about.ifr_hwaddr.sa_data, 6);
    return 0;
}

void nic_driver(const char *interface, char driver[32])
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq about = {.ifr_data = (void *)&info};
    _Static_assert(sizeof(info.driver) == 32, "the caller's array");
    memset(driver, 0, 32);
    if (ask(interface, SIOCETHTOOL, &about) == 0)
        memcpy(driver, info.driver, sizeof(info.driver) - 1);
}

bool nic_up(const char *interface)
{
    struct ifreq about = {0};
    short wanted = IFF_UP | IFF_RUNNING;
    return ask(interface, SIOCGIFFLAGS, &about) == 0 && (about.ifr_flags & wanted) == wanted;
}

uint32_t nic_rx_queues(const char *interface)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq about = {.ifr_data = (void *)&channels};
    if (ask(interface, SIOCETHTOOL, &about) == 0)
        return channels.rx_count + channels.combined_count;
    return 0;
}

int nic_read_stamping(const char *interface, int *sent, int *received)
{
    struct hwtstamp_config stamping = {0};
    struct ifreq about = {.ifr_data = (void *)&stamping};
    if (ask(interface, SIOCGHWTSTAMP, &about))
        return -1;
    *sent = stamping.tx_type;
    *received = stamping.rx_filter;
    return 0;
}

int nic_set_stamping(const char *interface, int sent, int received)
{
    struct hwtstamp_config stamping = {.tx_type = sent, .rx_filter = received};
    struct ifreq about = {.ifr_data = (void *)&stamping};
    return ask(interface, SIOCSHWTSTAMP, &about);
}

uint32_t nic_tx_dropped(const char *interface)
{
    struct ifaddrs *all;
    uint32_t dropped = 0;
    if (getifaddrs(&all))
        return 0;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next)
        if (one->ifa_addr && one->ifa_addr->sa_family == AF_PACKET && one->ifa_data &&
            strcmp(one->ifa_name, interface) == 0)
            dropped = ((const struct rtnl_link_stats *)one->ifa_data)->tx_dropped;
    freeifaddrs(all);
    return dropped;
}

// Upstream drivers with AF_XDP zero-copy, and the first kernel in which it can be relied on, which
// is not always the one it came with: mlx5 numbered these queues differently before 6.1; i40e's
// mode has to be named, and before 5.19 it lost buffers. Left out on purpose: ice (memory
// corruption is reported as late as 2026), ixgbe (sends late on 6.18).
static const struct {
    const char *driver;
    unsigned major, minor;
} zerocopy_drivers[] = {
    {"mlx5_core", 6, 1}, {"i40e", 5, 19}, {"igc", 5, 14},        {"igb", 6, 14},
    {"stmmac", 5, 13},   {"tsnep", 6, 4}, {"virtio_net", 6, 11},
};

bool nic_zerocopy(const char *driver, unsigned major, unsigned minor)
{
    for (size_t i = 0; i < sizeof(zerocopy_drivers) / sizeof(zerocopy_drivers[0]); i++)
        if (strcmp(zerocopy_drivers[i].driver, driver) == 0)
            return major > zerocopy_drivers[i].major ||
                   (major == zerocopy_drivers[i].major && minor >= zerocopy_drivers[i].minor);
    return false;
}

bool nic_zerocopy_here(const char *interface)
{
    char driver[32];
    struct utsname kernel;
    unsigned major = 0, minor = 0;
    nic_driver(interface, driver);
    return uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
           nic_zerocopy(driver, major, minor);
}
