// SPDX-License-Identifier: MIT
#include "dataplane/stages.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/irq.h"
#include "numa/thread.h"

static struct setting of_interface(enum setting_kind kind, const char *interface, const char *name)
{
    struct setting setting = {.kind = kind};
    snprintf(setting.target, sizeof(setting.target), "%s", interface);
    snprintf(setting.name, sizeof(setting.name), "%s", name);
    return setting;
}

static bool readable(const struct configuring *configuring, const struct setting *setting,
                     char value[SETTING_VALUE_SIZE])
{
    return setting_read(&configuring->host, setting, value, NULL) == 0;
}

// The port is the first on its interface, and so stands for it; of AF_XDP unless `any`. What DPDK
// has is no interface of the kernel's.
static bool stands_for_interface(const struct config *config, uint32_t port, bool any)
{
    if (config->ports[port].type == CONFIG_PORT_DPDK)
        return false;
    for (uint32_t i = 0; i < port; i++)
        if (strcmp(config->ports[i].interface, config->ports[port].interface) == 0)
            return false;
    return any || config->ports[port].type == CONFIG_PORT_XDP;
}

// How many channels its ports need: the kernel numbers queues from 0.
static int queues_needed(const struct config *config, const char *interface)
{
    uint32_t needed = 0;
    for (uint32_t i = 0; i < config->port_count; i++)
        for (uint32_t q = 0; q < config->ports[i].queue_count; q++)
            if (strcmp(config->ports[i].interface, interface) == 0 &&
                config->ports[i].queues[q] >= needed)
                needed = config->ports[i].queues[q] + 1;
    return (int)needed;
}

static bool is_a_ports_queue(const struct config *config, const char *interface, uint32_t queue)
{
    for (uint32_t i = 0; i < config->port_count; i++)
        for (uint32_t q = 0; q < config->ports[i].queue_count; q++)
            if (strcmp(config->ports[i].interface, interface) == 0 &&
                config->ports[i].queues[q] == queue)
                return true;
    return false;
}

static bool has_ntuple(const struct configuring *configuring, const char *interface)
{
    char value[SETTING_VALUE_SIZE];
    struct setting ntuple = of_interface(SETTING_FEATURE, interface, "ntuple");
    return readable(configuring, &ntuple, value) && strcmp(value, "off [fixed]") != 0;
}

static bool read_channels(const char *interface, struct ethtool_channels_now *channels)
{
    char output[ETHTOOL_OUTPUT_MAX];
    const char *words[] = {"ethtool", "-l", interface, NULL};
    return ethtool_run(words, output, NULL) == 0 && ethtool_read_channels(output, channels);
}

// Without filters packets go to queues by their hash, and a queue without a port would get orders:
// there are to be no others. With filters there may be more, and should be one, for everything that
// is not orders.
static int channels_wanted(const struct configuring *configuring, const char *interface,
                           const struct ethtool_channels_now *channels)
{
    int needed = queues_needed(configuring->config, interface);
    int now = channels->combined > 0 ? channels->combined : channels->rx;
    int max = channels->combined > 0 ? channels->combined_max : channels->rx_max;
    if (!has_ntuple(configuring, interface))
        return needed;
    return now > needed ? now : needed < max ? needed + 1 : needed;
}

static void want_channels(struct configuring *configuring, const char *interface)
{
    struct ethtool_channels_now channels;
    struct setting setting = of_interface(SETTING_CHANNELS, interface, "");
    struct setting table = of_interface(SETTING_TABLE, interface, "");
    char now[SETTING_VALUE_SIZE], value[64], spread[SETTING_VALUE_SIZE];
    struct error why;
    if (!read_channels(interface, &channels) ||
        setting_read(&configuring->host, &setting, now, &why)) {
        stages_cannot(configuring, "the driver of %s does not say how many queues it has",
                      interface);
        return;
    }
    int wanted = channels_wanted(configuring, interface, &channels);
    bool combined = channels.combined > 0;
    int max = combined ? channels.combined_max : channels.rx_max;
    if (wanted > max) {
        stages_cannot(configuring, "%s has at most %d queues, the configuration's ports want %d",
                      interface, max, wanted);
        return;
    }
    if (combined)
        snprintf(value, sizeof(value), "combined %d", wanted);
    else
        snprintf(value, sizeof(value), "rx %d tx %d", wanted, wanted);
    // A table made by hand may name queues that are about to go, and igb keeps a wrong one.
    if (configuring->verb == CONFIGURE_INIT && strcmp(now, value) != 0 &&
        readable(configuring, &table, spread) && strcmp(spread, "default") != 0)
        stages_want(configuring, &table, "default");
    stages_want(configuring, &setting, value);
}

void stages_list_channels(struct configuring *configuring)
{
    for (uint32_t i = 0; i < configuring->config->port_count; i++)
        if (stands_for_interface(configuring->config, i, false))
            want_channels(configuring, configuring->config->ports[i].interface);
}

// The rules that lead an interface's orders, and requests for retransmission, to the first queue of
// their shard's port.
struct rules {
    uint32_t count;
    struct {
        struct setting setting;
        char action[16];
    } each[2 * CONFIG_SHARDS_MAX];
};

static void add_rule(struct rules *rules, const struct config_port *port, uint16_t udp_port)
{
    char address[INET_ADDRSTRLEN], name[64];
    inet_ntop(AF_INET, &port->address, address, sizeof(address));
    snprintf(name, sizeof(name), "dst-ip %s dst-port %u", address, udp_port);
    rules->each[rules->count].setting = of_interface(SETTING_RULE, port->interface, name);
    snprintf(rules->each[rules->count].action, sizeof(rules->each[0].action), "action %u",
             port->queues[0]);
    rules->count++;
}

static void rules_of(const struct config *config, const char *interface, struct rules *rules)
{
    rules->count = 0;
    for (uint32_t i = 0; i < config->shard_count; i++) {
        const struct config_shard *shard = &config->shards[i];
        const struct config_port *port = &config->ports[shard->port];
        if (strcmp(port->interface, interface) != 0)
            continue;
        add_rule(rules, port, shard->udp_port);
        if (shard->request_port)
            add_rule(rules, port, shard->request_port);
    }
}

static void want_steering(struct configuring *configuring, const char *interface)
{
    struct ethtool_channels_now channels;
    struct setting ntuple = of_interface(SETTING_FEATURE, interface, "ntuple");
    struct rules rules;
    if (read_channels(interface, &channels) && channels.combined <= 1 && channels.rx <= 1)
        return; // everything arrives on its only queue
    if (!has_ntuple(configuring, interface)) {
        stages_cannot(
            configuring,
            "%s has no ntuple filters: orders come to its queues by their hash, and every "
            "queue must be of a port that serves all the interface's shards",
            interface);
        return;
    }
    if (!stages_want(configuring, &ntuple, "on"))
        return;
    rules_of(configuring->config, interface, &rules);
    for (uint32_t i = 0; i < rules.count; i++)
        stages_want(configuring, &rules.each[i].setting, rules.each[i].action);
}

void stages_list_steering(struct configuring *configuring)
{
    for (uint32_t i = 0; i < configuring->config->port_count; i++)
        if (stands_for_interface(configuring->config, i, false))
            want_steering(configuring, configuring->config->ports[i].interface);
}

static bool all_steered(const struct configuring *configuring, const char *interface)
{
    struct rules rules;
    char value[SETTING_VALUE_SIZE];
    rules_of(configuring->config, interface, &rules);
    for (uint32_t i = 0; i < rules.count; i++)
        if (!readable(configuring, &rules.each[i].setting, value) ||
            !setting_is(&rules.each[i].setting, value, rules.each[i].action))
            return false;
    return true;
}

// Queues without a port take all that no rule leads anywhere. Not before the rules are there:
// orders would go to queues where nobody waits for them.
static void want_table(struct configuring *configuring, const char *interface)
{
    struct ethtool_channels_now channels;
    struct setting table = of_interface(SETTING_TABLE, interface, "");
    char weights[SETTING_VALUE_SIZE] = "weight";
    size_t used = strlen(weights);
    int left = 0;
    if (!has_ntuple(configuring, interface) || !read_channels(interface, &channels)) {
        stages_cannot(configuring, "%s has no ntuple filters: orders need its hash", interface);
        return;
    }
    int count = channels.combined > 0 ? channels.combined : channels.rx;
    if (configuring->host.dry_run)
        count = channels_wanted(configuring, interface, &channels);
    for (int queue = 0; queue < count && used + 4 < sizeof(weights); queue++) {
        bool ours = is_a_ports_queue(configuring->config, interface, (uint32_t)queue);
        used += (size_t)snprintf(weights + used, sizeof(weights) - used, " %d", !ours);
        left += !ours;
    }
    if (left == 0)
        stages_cannot(configuring, "every queue of %s is a port's: other traffic shares them",
                      interface);
    else if (configuring->host.dry_run || all_steered(configuring, interface))
        stages_want(configuring, &table, weights);
    else
        stages_missing(configuring, "%s: orders must be steered first (stage steering)", interface);
}

void stages_list_rss(struct configuring *configuring)
{
    for (uint32_t i = 0; i < configuring->config->port_count; i++)
        if (stands_for_interface(configuring->config, i, false))
            want_table(configuring, configuring->config->ports[i].interface);
}

// An interrupt for each packet, at once. Adaptive first: drivers refuse or forget rx-usecs while it
// is on.
void stages_list_coalesce(struct configuring *configuring)
{
    for (uint32_t i = 0; i < configuring->config->port_count; i++) {
        const char *interface = configuring->config->ports[i].interface;
        struct setting adaptive = of_interface(SETTING_COALESCE, interface, "adaptive-rx");
        struct setting usecs = of_interface(SETTING_COALESCE, interface, "rx-usecs");
        char value[SETTING_VALUE_SIZE];
        if (!stands_for_interface(configuring->config, i, true))
            continue;
        if (readable(configuring, &adaptive, value))
            stages_want(configuring, &adaptive, "off");
        stages_want(configuring, &usecs, "0");
    }
}

// Drivers refuse AF_XDP, or fall back, while packets are merged (lro, and rx-gro-hw of virtio); gro
// costs time on what the kernel gets; a tag that the NIC takes out is not seen by the program.
void stages_list_offloads(struct configuring *configuring)
{
    static const char *const names[] = {"lro", "rx-gro-hw", "gro", "rxvlan"};
    for (uint32_t i = 0; i < configuring->config->port_count; i++)
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
            struct setting feature =
                of_interface(SETTING_FEATURE, configuring->config->ports[i].interface, names[n]);
            char value[SETTING_VALUE_SIZE];
            if (stands_for_interface(configuring->config, i, false) &&
                readable(configuring, &feature, value))
                stages_want(configuring, &feature, "off");
        }
}

// HWTSTAMP_TX_ON and HWTSTAMP_FILTER_ALL: all packets, PTP's among them, so ptp4l goes on.
void stages_list_stamps(struct configuring *configuring)
{
    for (uint32_t i = 0; i < configuring->config->port_count; i++) {
        const struct config_port *port = &configuring->config->ports[i];
        struct setting stamps = of_interface(SETTING_STAMPS, port->interface, "");
        if (port->stamps && port->type == CONFIG_PORT_XDP)
            stages_want(configuring, &stamps, "-t 1 -r 1");
    }
}

static bool process_called(const struct configuring *configuring, const char *name)
{
    char path[PATH_MAX], line[64];
    bool found = false;
    snprintf(path, sizeof(path), "%s/proc", configuring->host.root);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && !found && (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
        found = atoi(entry->d_name) > 0 &&
                setting_first_line(configuring->host.root, path, line, sizeof(line)) == 0 &&
                strcmp(line, name) == 0;
    }
    if (folder)
        closedir(folder);
    return found;
}

// irqbalance would move them again within ten seconds.
static void warn_of_irqbalance(struct configuring *configuring, const char *bans)
{
    if (bans[0] && process_called(configuring, "irqbalance"))
        fprintf(configuring->host.stream,
                "irq: irqbalance runs, and must leave these alone: IRQBALANCE_ARGS=\"%s\" in "
                "/etc/default/irqbalance\n",
                bans + 1);
}

void stages_list_irq(struct configuring *configuring)
{
    char bans[2048] = "";
    const char *without = ""; // told already
    size_t used = 0;
    for (uint32_t i = 0; i < configuring->plan->interrupt_count; i++) {
        const struct plan_interrupt *interrupt = &configuring->plan->interrupts[i];
        const char *interface = configuring->config->ports[interrupt->port].interface;
        int numbers[IRQ_OF_A_QUEUE_MAX];
        char core[16];
        uint32_t count = irq_find(configuring->host.root, interface, interrupt->queue, numbers);
        if (count == 0 && strcmp(interface, without) != 0)
            stages_cannot(configuring, "queue %u of %s has no interrupt that is known by its name",
                          interrupt->queue, interface);
        without = count == 0 ? interface : without;
        snprintf(core, sizeof(core), "%d", interrupt->core);
        for (uint32_t n = 0; n < count && interrupt->core != THREAD_ANY_CORE; n++) {
            stages_want_file(configuring, core, "/proc/irq/%d/smp_affinity_list", numbers[n]);
            if (used + 24 < sizeof(bans))
                used +=
                    (size_t)snprintf(bans + used, sizeof(bans) - used, " --banirq=%d", numbers[n]);
        }
    }
    warn_of_irqbalance(configuring, bans);
}

// While its thread polls, the NIC stays quiet: up to 2 rounds without a packet, and 200 us without
// a poll, before interrupts come back. The values of Intel's and DPDK's AF_XDP guides.
void stages_list_busy_poll(struct configuring *configuring)
{
    for (uint32_t i = 0; i < configuring->config->port_count; i++) {
        const struct config_port *port = &configuring->config->ports[i];
        if (port->type != CONFIG_PORT_XDP || !port->busy_poll)
            continue;
        stages_want_file(configuring, "2", "/sys/class/net/%s/napi_defer_hard_irqs",
                         port->interface);
        stages_want_file(configuring, "200000", "/sys/class/net/%s/gro_flush_timeout",
                         port->interface);
    }
}
