// SPDX-License-Identifier: MIT
//
// sluice check: what this host and a configuration give together: every bound, and each problem
// with its remedy. Changes nothing. Exit status 0 when `sluice run` should start, 1 when something
// prevents it.
#include "dataplane/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "dataplane/gateway.h"
#include "dataplane/nic.h"
#include "dataplane/plan.h"
#include "dataplane/report.h"
#include "numa/arena.h"
#include "numa/thread.h"

#define HUGE_PAGE_BYTES (2ull << 20)
#define MTU_MAX         1500

struct findings {
    json_t *errors;   // prevent a start
    json_t *warnings; // do not
};

__attribute__((format(printf, 2, 3))) static void add(json_t *list, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    json_array_append_new(list, json_string(text));
}

// A number in a file of one line, -1 when there is none.
static long long read_number(const char *format, const char *name)
{
    char path[PATH_MAX];
    long long value = -1;
    snprintf(path, sizeof(path), format, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    if (fscanf(file, "%lld", &value) != 1)
        value = -1;
    fclose(file);
    return value;
}

#define CAPABILITY_BPF 39 // linux/capability.h

static unsigned long long capabilities(void)
{
    char line[128];
    unsigned long long effective = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof(line), status))
        sscanf(line, "CapEff: %llx", &effective);
    if (status)
        fclose(status);
    return effective;
}

static bool takes_bpf(const struct config *config)
{
    for (uint32_t i = 0; i < config->port_count; i++)
        if (config->ports[i].type == CONFIG_PORT_XDP)
            return true;
    return false;
}

static void check_capabilities(const struct config *config, struct findings *findings)
{
    static const struct {
        int bit;
        const char *name;
    } needed[] = {{12, "CAP_NET_ADMIN"}, {13, "CAP_NET_RAW"}, {CAPABILITY_BPF, "CAP_BPF"}};
    unsigned long long effective = capabilities();
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!(effective >> needed[i].bit & 1) &&
            (needed[i].bit != CAPABILITY_BPF || takes_bpf(config)))
            add(findings->errors,
                "%s is missing: run as root, or grant it (systemd: AmbientCapabilities=%s)",
                needed[i].name, needed[i].name);
}

static const char *mode_wanted(const struct config_port *port)
{
    if (port->type == CONFIG_PORT_UDP)
        return "sockets";
    if (port->type == CONFIG_PORT_DPDK)
        return "dpdk";
    bool zerocopy = port->mode == CONFIG_MODE_ZEROCOPY ||
                    (port->mode == CONFIG_MODE_AUTO && nic_zerocopy_here(port->interface));
    return zerocopy ? "zerocopy" : "copy";
}

// What the kernel knows of a device that DPDK has is nothing, and starting the EAL would take it.
static json_t *check_port_dpdk(const struct config_port *port, struct findings *findings)
{
    struct error error;
    if (!port_dpdk_load(&error))
        add(findings->errors, "%s", error.text);
    return json_pack("{s:s, s:o, s:s}", "device", port->interface, "queues", report_queues(port),
                     "mode_wanted", mode_wanted(port));
}

static json_t *check_port(const struct config_port *port, const struct topology *topology,
                          struct findings *findings)
{
    if (port->type == CONFIG_PORT_DPDK)
        return check_port_dpdk(port, findings);
    char driver[32], directory[PATH_MAX];
    const char *name = port->interface;
    if (if_nametoindex(name) == 0) {
        add(findings->errors, "there is no interface %s; `ip link` lists what there is", name);
        return json_pack("{s:s, s:b}", "interface", name, "exists", 0);
    }
    for (uint32_t i = 0; i < port->queue_count; i++) {
        snprintf(directory, sizeof(directory), "/sys/class/net/%s/queues/rx-%u", name,
                 port->queues[i]);
        if (access(directory, F_OK))
            add(findings->errors,
                "%s has no RX queue %u; `ethtool -l %s` shows them, `ethtool -L` makes more", name,
                port->queues[i], name);
    }
    long long mtu = read_number("/sys/class/net/%s/mtu", name);
    if (mtu > MTU_MAX)
        add(findings->warnings,
            "%s has an MTU of %lld: packets above %d bytes are dropped; `ip link set %s "
            "mtu %d`",
            name, mtu, MTU_MAX, name, MTU_MAX);
    long long carrier = read_number("/sys/class/net/%s/carrier", name);
    if (carrier != 1)
        add(findings->warnings, "%s has no link; `ip link set %s up`", name, name);
    if (port->spin && port->core == THREAD_ANY_CORE)
        add(findings->warnings, "port on %s spins without a core of its own: set core", name);
    nic_driver(name, driver);
    if (port->mode == CONFIG_MODE_ZEROCOPY && !nic_zerocopy_here(name))
        add(findings->warnings,
            "%s: zero-copy is not known to work with its driver (%s) on this kernel: mode = "
            "\"auto\" would copy",
            name, driver);
    return json_pack("{s:s, s:o, s:s, s:I, s:b, s:I, s:s}", "interface", name, "queues",
                     report_queues(port), "driver", driver, "mtu", (json_int_t)mtu, "link",
                     carrier == 1, "numa_node", (json_int_t)topology_nic_node(topology, name),
                     "mode_wanted", mode_wanted(port));
}

// Ports without our program have nobody to hold these.
static void check_rates(const struct config *config, struct findings *findings)
{
    for (uint32_t i = 0; i < config->port_count; i++)
        if (config->ports[i].type != CONFIG_PORT_XDP &&
            (config->session_rate > 0 || config->pin_mac))
            add(findings->warnings,
                "port %u is not of type \"xdp\": limits.session_rate and limits.pin_mac do not "
                "hold "
                "there",
                i);
}

static void check_cores(const struct config *config, struct findings *findings)
{
    struct error error;
    for (uint32_t i = 0; i < config->port_count; i++)
        if (config->ports[i].core != THREAD_ANY_CORE &&
            thread_core_usable(config->ports[i].core, &error))
            add(findings->errors, "port %u: %s", i, error.text);
    for (uint32_t i = 0; i < config->shard_count; i++) {
        const struct config_shard *shard = &config->shards[i];
        if (shard->core != THREAD_ANY_CORE && thread_core_usable(shard->core, &error))
            add(findings->errors, "shard %u: %s", i, error.text);
        if (shard->journal_core != THREAD_ANY_CORE &&
            thread_core_usable(shard->journal_core, &error))
            add(findings->errors, "journal of shard %u: %s", i, error.text);
    }
}

static json_t *check_pool(const struct config *config, int node, struct findings *findings)
{
    char folder[64] = "/sys/kernel/mm/hugepages", on_node[24] = "", argument[12] = "any";
    if (node != ARENA_ANY_NODE) {
        snprintf(folder, sizeof(folder), "/sys/devices/system/node/node%d/hugepages", node);
        snprintf(on_node, sizeof(on_node), " on node %d", node);
        snprintf(argument, sizeof(argument), "%d", node);
    }
    uint64_t pages = plan_huge_pages(config, node);
    long long free_pages = read_number("%s/hugepages-2048kB/free_hugepages", folder);
    if (free_pages < (long long)pages)
        add(findings->warnings,
            "%llu huge pages of 2 MiB are wanted%s and %lld are free: normal pages are used for "
            "the rest; `sluice configure init hugepages`, or `scripts/hugepages %s %llu`",
            (unsigned long long)pages, on_node, free_pages < 0 ? 0 : free_pages, argument,
            (unsigned long long)pages);
    return json_pack("{s:i, s:I, s:I}", "node", node, "huge_pages_wanted", (json_int_t)pages,
                     "huge_pages_free", (json_int_t)free_pages);
}

static json_t *check_memory(const struct config *config, const struct topology *topology,
                            struct findings *findings)
{
    json_t *pools = json_array();
    uint64_t pages = 0;
    for (int node = ARENA_ANY_NODE; node < (int)topology->node_count; node++) {
        uint64_t wanted = plan_huge_pages(config, node);
        if (wanted > 0)
            json_array_append_new(pools, check_pool(config, node, findings));
        pages += wanted;
    }
    return json_pack("{s:I, s:I, s:o}", "bytes", (json_int_t)(pages * HUGE_PAGE_BYTES),
                     "huge_pages_wanted", (json_int_t)pages, "pools", pools);
}

// The folder itself, or the nearest one above it that exists.
static const char *existing_folder(const char *directory, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s", directory);
    while (access(path, F_OK) && strrchr(path, '/') && strrchr(path, '/') != path)
        *strrchr(path, '/') = 0;
    return access(path, F_OK) ? "/" : path;
}

static json_t *check_journal(const struct config *config, struct findings *findings)
{
    char path[PATH_MAX];
    struct statvfs space;
    const char *folder = existing_folder(config->journal_directory, path);
    if (access(folder, W_OK))
        add(findings->errors, "journal.directory: cannot write to %s: %s", folder, strerror(errno));
    uint64_t needed = config->segment_bytes * (config->spare_count + 1ull) * config->shard_count;
    uint64_t free_bytes = statvfs(folder, &space) ? 0 : (uint64_t)space.f_bavail * space.f_frsize;
    if (free_bytes < needed)
        add(findings->errors, "journal.directory: %s has %llu MiB free, the segments need %llu MiB",
            folder, (unsigned long long)free_bytes >> 20, (unsigned long long)needed >> 20);
    return json_pack("{s:s, s:I, s:I}", "directory", config->journal_directory, "bytes_at_start",
                     (json_int_t)needed, "bytes_free", (json_int_t)free_bytes);
}

static json_t *limits_json(const struct config *config)
{
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "orders_a_shard", (int)config->orders_max,
        "instruments", (int)config->instrument_count, "sessions", (int)config->session_count,
        "messages_kept_a_session", (int)config->history_count, "commands_in_flight",
        (int)config->in_flight_count, "commands_waiting_for_a_shard", (int)LANE_COMMAND_RING_SLOTS,
        "events_waiting_for_the_disk", (int)(config->in_flight_count * LANE_EVENTS_A_COMMAND),
        "packet_payload_bytes", STEER_PAYLOAD_MAX, "journal_write_bytes",
        (int)(JOURNAL_WRITE_BLOCKS_MAX * JOURNAL_BLOCK_SIZE));
}

static json_t *rates_json(const struct config *config)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "logins_a_second_a_shard",
                     (int)config->login_rate, "logins_at_once", (int)config->login_burst,
                     "packets_a_second_a_session", (int)config->session_rate, "packets_at_once",
                     (int)config->session_burst, "requests_a_second_a_shard",
                     (int)config->request_rate, "requests_at_once", (int)config->request_burst,
                     "ethernet_address_pinned", config->pin_mac);
}

// Where every thread is to stand, and what is wrong with it.
struct machine {
    struct topology topology;
    struct plan plan;
};

static void check_plan(struct config *config, struct machine *machine, struct findings *findings)
{
    struct error error;
    if (topology_load(&machine->topology, NULL, &error)) {
        add(findings->errors, "%s", error.text);
        return;
    }
    plan_cores(config, &machine->topology, true, &machine->plan);
    plan_interrupts_now(&machine->plan, config, &machine->topology, "");
    for (uint32_t i = 0; i < machine->plan.count; i++)
        if (machine->plan.threads[i].remark[0])
            add(findings->warnings, "%s: %s", machine->plan.threads[i].name,
                machine->plan.threads[i].remark);
    for (uint32_t i = 0; i < machine->plan.interrupt_count; i++)
        if (machine->plan.interrupts[i].remark[0])
            add(findings->warnings, "%s: %s", machine->plan.interrupts[i].name,
                machine->plan.interrupts[i].remark);
}

static json_t *threads_json(const struct plan *plan)
{
    json_t *threads = json_array();
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_thread *thread = &plan->threads[i];
        json_array_append_new(threads,
                              json_pack("{s:s, s:i, s:i, s:i, s:b}", "thread", thread->name, "core",
                                        thread->core, "node", thread->node, "interface_node",
                                        thread->near, "chosen", thread->planned));
    }
    return threads;
}

// Only of interfaces that have interrupts.
static json_t *interrupts_json(const struct plan *plan, const struct config *config)
{
    json_t *interrupts = json_array();
    for (uint32_t i = 0; i < plan->interrupt_count; i++) {
        const struct plan_interrupt *interrupt = &plan->interrupts[i];
        if (interrupt->state == PLAN_INTERRUPT_FOUND)
            json_array_append_new(interrupts,
                                  json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "interface",
                                            config->ports[interrupt->port].interface, "queue",
                                            (int)interrupt->queue, "port", (int)interrupt->port,
                                            "core", interrupt->core, "node", interrupt->node,
                                            "core_now", interrupt->now));
    }
    return interrupts;
}

static json_t *examine(struct config *config, struct machine *machine, struct findings *findings)
{
    json_t *ports = json_array(), *cores = json_array();
    for (int core = 0; core < 1024; core++)
        if (thread_core_usable(core, NULL) == 0)
            json_array_append_new(
                cores, json_pack("{s:i, s:i}", "core", core, "node", thread_core_node(core)));
    check_capabilities(config, findings);
    check_cores(config, findings);
    check_rates(config, findings);
    check_plan(config, machine, findings); // writes the cores it chooses into config
    for (uint32_t i = 0; i < config->port_count; i++)
        json_array_append_new(ports, check_port(&config->ports[i], &machine->topology, findings));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "ports", ports, "cores", cores,
                     "threads", threads_json(&machine->plan), "interrupts",
                     interrupts_json(&machine->plan, config), "memory",
                     check_memory(config, &machine->topology, findings), "journal",
                     check_journal(config, findings), "limits", limits_json(config), "rates",
                     rates_json(config));
}

static void print_text(const json_t *result, const struct machine *machine)
{
    static const char *const sections[] = {"ports", "memory", "journal", "limits", "rates"};
    size_t index;
    json_t *item;
    printf("cores (node):");
    json_array_foreach(json_object_get(result, "cores"), index, item)
        printf(" %lld (%lld)", (long long)json_integer_value(json_object_get(item, "core")),
               (long long)json_integer_value(json_object_get(item, "node")));
    printf("\n");
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        printf("%s\n", sections[i]);
        report_print(json_object_get(result, sections[i]), stdout);
    }
    plan_print(&machine->plan, &machine->topology, stdout);
    json_array_foreach(json_object_get(result, "warnings"), index, item)
        printf("warning: %s\n", json_string_value(item));
    json_array_foreach(json_object_get(result, "errors"), index, item)
        printf("error: %s\n", json_string_value(item));
}

static int check(const char *path, bool json)
{
    struct error error;
    struct config *config = config_load(path, &error);
    if (!config) {
        fprintf(stderr, "sluice: %s\n", error.text);
        return 1;
    }
    struct findings findings = {json_array(), json_array()};
    static struct machine machine; // too large for a stack
    json_t *result = examine(config, &machine, &findings);
    size_t error_count = json_array_size(findings.errors);
    json_object_set_new(result, "warnings", findings.warnings);
    json_object_set_new(result, "errors", findings.errors);
    if (json) {
        json_dumpf(result, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        print_text(result, &machine);
    }
    if (error_count > 0)
        fprintf(stderr, "sluice: %zu problem%s would keep the gateway from starting\n", error_count,
                error_count == 1 ? "" : "s");
    json_decref(result);
    config_free(config);
    return error_count > 0 ? 1 : 0;
}

int verb_check(int argc, char **argv)
{
    const char *path;
    bool json;
    return verb_config_options(argc, argv, &path, &json) ? check(path, json) : 2;
}
