// SPDX-License-Identifier: MIT
#include "dataplane/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libconfig.h>
#include <limits.h>
#include <net/if.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/key.h"
#include "dataplane/ufo.h"
#include "journal/journal.h"
#include "numa/arena.h"
#include "numa/thread.h"

#define RATE_USUAL     1000u // of a shard's logins, and requests, where the file does not say
#define RATE_MAX       10000000
#define RATE_STEPS     100 // a second

// How far a clock may be from UTC.
#define ALARM_US_USUAL 100
#define ALARM_US_MAX   1000000
#define HALT_ALARMS    10 // halt_us, where the file does not say

// Where we are in the file, for messages.
struct reader {
    const char *path;
    struct error *error;
};

__attribute__((format(printf, 3, 4))) static int complain(const struct reader *reader,
                                                          const config_setting_t *at,
                                                          const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *file = config_setting_source_file(at); // the root has none
    return error_set(reader->error, "%s:%u: %s", file ? file : reader->path,
                     config_setting_source_line(at), text);
}

static int check_keys(const struct reader *reader, const config_setting_t *group,
                      const char *const *known)
{
    if (!config_setting_is_group(group))
        return complain(reader, group, "expected a group { key = value; … }");
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *member = config_setting_get_elem(group, (unsigned)i);
        const char *const *name = known;
        while (*name && strcmp(*name, config_setting_name(member)) != 0)
            name++;
        if (*name)
            continue;
        char list[256] = "";
        for (name = known; *name; name++) {
            strncat(list, *name, sizeof(list) - strlen(list) - 1);
            strncat(list, name[1] ? ", " : "", sizeof(list) - strlen(list) - 1);
        }
        return complain(reader, member, "unknown key \"%s\"; known here: %s",
                        config_setting_name(member), list);
    }
    return 0;
}

// A whole number from `low` to `high`; absent: `*value` stays as it is, unless `required`.
static int read_number(const struct reader *reader, const config_setting_t *group, const char *key,
                       bool required, long long low, long long high, long long *value)
{
    const config_setting_t *member = config_setting_get_member(group, key);
    if (!member)
        return required ? complain(reader, group, "\"%s\" is missing", key) : 0;
    if (config_setting_type(member) != CONFIG_TYPE_INT &&
        config_setting_type(member) != CONFIG_TYPE_INT64)
        return complain(reader, member, "\"%s\" must be a whole number", key);
    *value = config_setting_get_int64(member);
    if (*value < low || *value > high)
        return complain(reader, member, "\"%s\" is %lld; it must be %lld to %lld", key, *value, low,
                        high);
    return 0;
}

static int read_power(const struct reader *reader, const config_setting_t *group, const char *key,
                      long long low, long long high, long long *value)
{
    if (read_number(reader, group, key, false, low, high, value))
        return -1;
    if (*value & (*value - 1))
        return complain(reader, config_setting_get_member(group, key),
                        "\"%s\" is %lld; it must be a power of two", key, *value);
    return 0;
}

// A required text of 1 to `size` printable characters, padded with `pad`; with pad 0 it is
// zero-terminated and one shorter.
static int read_text(const struct reader *reader, const config_setting_t *group, const char *key,
                     char *into, size_t size, char pad)
{
    const config_setting_t *member = config_setting_get_member(group, key);
    if (!member)
        return complain(reader, group, "\"%s\" is missing", key);
    const char *text = config_setting_get_string(member);
    if (!text)
        return complain(reader, member, "\"%s\" must be a text in quotes", key);
    size_t length = strlen(text), limit = pad ? size : size - 1;
    if (length == 0 || length > limit)
        return complain(reader, member, "\"%s\" must have 1 to %zu characters", key, limit);
    for (size_t i = 0; i < length; i++)
        if (!isprint((unsigned char)text[i]))
            return complain(reader, member, "\"%s\" must be printable ASCII", key);
    memset(into, pad, size);
    memcpy(into, text, length);
    return 0;
}

static int read_address(const struct reader *reader, const config_setting_t *group, const char *key,
                        uint32_t *address)
{
    char text[32];
    struct in_addr parsed;
    if (read_text(reader, group, key, text, sizeof(text), 0))
        return -1;
    if (inet_pton(AF_INET, text, &parsed) != 1)
        return complain(reader, config_setting_get_member(group, key),
                        "\"%s\" is not an IPv4 address: %s", key, text);
    *address = parsed.s_addr;
    return 0;
}

// One of `count` words; absent: `*value` stays as it is, else the index of the word.
static int read_word(const struct reader *reader, const config_setting_t *group, const char *key,
                     const char *const *words, size_t count, uint32_t *value)
{
    char text[16], list[96] = "";
    if (!config_setting_get_member(group, key))
        return 0;
    if (read_text(reader, group, key, text, sizeof(text), 0))
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            *value = (uint32_t)i;
            return 0;
        }
        size_t used = strlen(list);
        const char *between = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        snprintf(list + used, sizeof(list) - used, "%s\"%s\"", between, words[i]);
    }
    return complain(reader, config_setting_get_member(group, key),
                    "\"%s\" is \"%s\"; it must be %s", key, text, list);
}

static int read_switch(const struct reader *reader, const config_setting_t *group, const char *key,
                       bool *value)
{
    static const char *const switches[] = {"off", "on"};
    uint32_t word = *value;
    if (read_word(reader, group, key, switches, 2, &word))
        return -1;
    *value = word;
    return 0;
}

// A rate a second and a burst, which is a second's worth where it is not given. The clock it is
// measured with goes in steps of up to 10 ms: what is due in one of them must be allowed at once.
static int read_rate(const struct reader *reader, const config_setting_t *group,
                     const char *rate_key, const char *burst_key, uint32_t *rate, uint32_t *burst)
{
    long long per_second = *rate;
    if (read_number(reader, group, rate_key, false, 0, RATE_MAX, &per_second))
        return -1;
    long long at_once = per_second;
    if (read_number(reader, group, burst_key, false, per_second / RATE_STEPS + 1, RATE_MAX,
                    &at_once))
        return -1;
    *rate = (uint32_t)per_second;
    *burst = per_second ? (uint32_t)at_once : 0;
    return 0;
}

static int read_core(const struct reader *reader, const config_setting_t *group, const char *key,
                     int *core)
{
    long long value = THREAD_ANY_CORE;
    if (read_number(reader, group, key, false, 0, 1023, &value))
        return -1;
    *core = (int)value;
    return 0;
}

static int read_journal(const struct reader *reader, const config_setting_t *root,
                        struct config *config)
{
    static const char *const known[] = {"directory",     "segment_mib",    "spares",
                                        "keep_segments", "snapshot_every", NULL};
    const config_setting_t *group = config_setting_get_member(root, "journal");
    if (!group)
        return complain(reader, root, "\"journal\" is missing: journal = { directory = \"…\"; };");
    long long segment_mib = 64, spares = 4, keep = 0, every = 10000000;
    if (check_keys(reader, group, known) ||
        read_text(reader, group, "directory", config->journal_directory,
                  sizeof(config->journal_directory), 0) ||
        read_power(reader, group, "segment_mib", 1, 4096, &segment_mib) ||
        read_number(reader, group, "spares", false, 2, JOURNAL_SPARES_MAX, &spares) ||
        read_number(reader, group, "keep_segments", false, 0, INT_MAX, &keep) ||
        read_number(reader, group, "snapshot_every", false, 0, INT_MAX, &every))
        return -1;
    if (keep > 0 && every == 0)
        return complain(
            reader, group,
            "\"keep_segments\" needs snapshots: set \"snapshot_every\", or leave both out");
    config->keep_segments = (uint64_t)keep;
    config->snapshot_every = (uint64_t)every;
    config->segment_bytes = (uint64_t)segment_mib << 20;
    config->spare_count = (uint32_t)spares;
    return 0;
}

static int read_optional(const struct reader *reader, const config_setting_t *group,
                         const char *key, char *into, size_t size)
{
    return config_setting_get_member(group, key) ? read_text(reader, group, key, into, size, 0) : 0;
}

static int read_control(const struct reader *reader, const config_setting_t *root,
                        struct config *config)
{
    static const char *const known[] = {"socket", "viewers", "operators", "risk", NULL};
    struct config_control *control = &config->control;
    const config_setting_t *group = config_setting_get_member(root, "control");
    if (!group)
        return 0;
    return check_keys(reader, group, known) ||
                   read_text(reader, group, "socket", control->socket, sizeof(control->socket),
                             0) ||
                   read_optional(reader, group, "viewers", control->viewers,
                                 sizeof(control->viewers)) ||
                   read_optional(reader, group, "operators", control->operators,
                                 sizeof(control->operators)) ||
                   read_optional(reader, group, "risk", control->risk, sizeof(control->risk))
               ? -1
               : 0;
}

static int read_limits(const struct reader *reader, const config_setting_t *root,
                       struct config *config)
{
    static const char *const known[] = {"orders",
                                        "history",
                                        "in_flight",
                                        "login_rate",
                                        "login_burst",
                                        "session_rate",
                                        "session_burst",
                                        "request_rate",
                                        "request_burst",
                                        "pin_mac",
                                        NULL};
    const config_setting_t *group = config_setting_get_member(root, "limits");
    long long orders = 1000000, history = 65536, in_flight = 65536;
    config->login_rate = config->login_burst = RATE_USUAL;
    config->request_rate = config->request_burst = RATE_USUAL;
    if (group && (check_keys(reader, group, known) ||
                  read_number(reader, group, "orders", false, 1, BOOK_ORDERS_MAX, &orders) ||
                  read_power(reader, group, "history", 1024, 1 << 26, &history) ||
                  read_power(reader, group, "in_flight", 1024, 1 << 22, &in_flight) ||
                  read_rate(reader, group, "login_rate", "login_burst", &config->login_rate,
                            &config->login_burst) ||
                  read_rate(reader, group, "session_rate", "session_burst", &config->session_rate,
                            &config->session_burst) ||
                  read_rate(reader, group, "request_rate", "request_burst", &config->request_rate,
                            &config->request_burst) ||
                  read_switch(reader, group, "pin_mac", &config->pin_mac)))
        return -1;
    config->orders_max = (uint32_t)orders;
    config->history_count = (uint32_t)history;
    config->in_flight_count = (uint32_t)in_flight;
    config->huge_pages = true;
    return 0;
}

static int read_dpdk(const struct reader *reader, const config_setting_t *root,
                     struct config *config)
{
    static const char *const known[] = {"eal", NULL};
    const config_setting_t *group = config_setting_get_member(root, "dpdk");
    if (!group)
        return 0;
    if (check_keys(reader, group, known))
        return -1;
    const config_setting_t *list = config_setting_get_member(group, "eal");
    if (!list || !config_setting_is_array(list) ||
        config_setting_length(list) > (int)CONFIG_EAL_MAX)
        return complain(reader, list ? list : group,
                        "\"eal\" must be a list of up to %u arguments: eal = [ \"--no-huge\" ];",
                        CONFIG_EAL_MAX);
    for (int i = 0; i < config_setting_length(list); i++) {
        const char *argument = config_setting_get_string_elem(list, i);
        if (!argument || strlen(argument) >= sizeof(config->eal[0]))
            return complain(reader, list, "\"eal\" must hold texts of up to %zu characters",
                            sizeof(config->eal[0]) - 1);
        memcpy(config->eal[config->eal_count++], argument, strlen(argument) + 1);
    }
    return 0;
}

static bool has_queue(const struct config_port *port, uint32_t queue)
{
    for (uint32_t i = 0; i < port->queue_count; i++)
        if (port->queues[i] == queue)
            return true;
    return false;
}

static int read_queues(const struct reader *reader, const config_setting_t *group,
                       struct config_port *port)
{
    const config_setting_t *member = config_setting_get_member(group, "queues");
    int count = member && config_setting_is_array(member) ? config_setting_length(member) : 0;
    if (!member) {
        port->queue_count = 1; // queue 0
        return 0;
    }
    if (count < 1 || count > (int)CONFIG_QUEUES_MAX)
        return complain(
            reader, member,
            "\"queues\" must be a list of 1 to %u queues of the interface: queues = [ 0 ];",
            CONFIG_QUEUES_MAX);
    for (int i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(member, (unsigned)i);
        long long queue = config_setting_get_int64(element);
        if (config_setting_type(element) != CONFIG_TYPE_INT || queue < 0 ||
            queue >= STEER_QUEUES_MAX)
            return complain(reader, member, "\"queues\" must hold whole numbers from 0 to %d",
                            STEER_QUEUES_MAX - 1);
        if (has_queue(port, (uint32_t)queue))
            return complain(reader, member, "\"queues\" has queue %lld twice", queue);
        port->queues[port->queue_count++] = (uint32_t)queue;
    }
    return 0;
}

// Several ports may share an interface, as long as each has queues of its own.
static int check_shared(const struct reader *reader, const config_setting_t *group,
                        const struct config *config, const struct config_port *port)
{
    for (uint32_t i = 0; i < config->port_count; i++) {
        const struct config_port *other = &config->ports[i];
        if (strcmp(other->interface, port->interface) != 0)
            continue;
        if (other->type != port->type)
            return complain(reader, group, "ports %u and %u take interface %s in different ways", i,
                            config->port_count, port->interface);
        if (port->type == CONFIG_PORT_DPDK)
            return complain(reader, group, "ports %u and %u both take device %s", i,
                            config->port_count, port->interface);
        for (uint32_t q = 0; q < port->queue_count; q++)
            if (has_queue(other, port->queues[q]))
                return complain(reader, group, "ports %u and %u both take queue %u of %s", i,
                                config->port_count, port->queues[q], port->interface);
    }
    return 0;
}

// An interface is the kernel's, a device DPDK's, with queues that DPDK numbers when it makes them.
static int read_interface(const struct reader *reader, const config_setting_t *group,
                          struct config_port *port)
{
    bool dpdk = port->type == CONFIG_PORT_DPDK;
    const char *key = dpdk ? "device" : "interface", *other = dpdk ? "interface" : "device";
    if (config_setting_get_member(group, other))
        return complain(reader, config_setting_get_member(group, other),
                        "a port of this type has \"%s\", and no \"%s\"", key, other);
    if (read_text(reader, group, key, port->interface, dpdk ? sizeof(port->interface) : IF_NAMESIZE,
                  0) ||
        read_queues(reader, group, port))
        return -1;
    for (uint32_t i = 0; dpdk && i < port->queue_count; i++)
        if (port->queues[i] != i)
            return complain(reader, config_setting_get_member(group, "queues"),
                            "the \"queues\" of a DPDK device are all of the first: [ 0, 1, … ]");
    return 0;
}

static int read_port(const struct reader *reader, const config_setting_t *group,
                     struct config *config)
{
    static const char *const known[] = {"type", "interface", "queues", "mode",
                                        "poll", "address",   "frames", "core",
                                        "idle", "stamps",    "device", NULL};
    if (config->port_count == CONFIG_PORTS_MAX)
        return complain(reader, group, "more than %u ports", CONFIG_PORTS_MAX);
    struct config_port *port = &config->ports[config->port_count];
    port->node = ARENA_ANY_NODE;
    static const char *const types[] = {"xdp", "udp", "dpdk"}, *const modes[] = {"auto", "copy",
                                                                                 "zerocopy"};
    static const char *const polls[] = {"interrupt", "busy"}, *const idles[] = {"adaptive", "spin"};
    long long frames = 8192;
    uint32_t type = CONFIG_PORT_XDP, mode = CONFIG_MODE_AUTO, busy_poll = 0, spin = 0;
    if (check_keys(reader, group, known) || read_word(reader, group, "type", types, 3, &type))
        return -1;
    port->type = (enum config_port_type)type;
    if (read_interface(reader, group, port) || read_word(reader, group, "mode", modes, 3, &mode) ||
        read_word(reader, group, "poll", polls, 2, &busy_poll) ||
        read_address(reader, group, "address", &port->address) ||
        read_power(reader, group, "frames", 1024, 65536, &frames) ||
        read_core(reader, group, "core", &port->core) ||
        read_word(reader, group, "idle", idles, 2, &spin) ||
        read_switch(reader, group, "stamps", &port->stamps))
        return -1;
    port->mode = (enum config_port_mode)mode;
    port->busy_poll = busy_poll;
    port->spin = spin;
    port->frame_count = (uint32_t)frames;
    if (check_shared(reader, group, config, port))
        return -1;
    config->port_count++;
    return 0;
}

static int read_shard(const struct reader *reader, const config_setting_t *group,
                      struct config *config)
{
    static const char *const known[] = {"port",         "udp_port", "feed_group",   "feed_port",
                                        "request_port", "core",     "journal_core", NULL};
    if (config->shard_count == CONFIG_SHARDS_MAX)
        return complain(reader, group, "more than %u shards", CONFIG_SHARDS_MAX);
    struct config_shard *shard = &config->shards[config->shard_count];
    shard->node = ARENA_ANY_NODE;
    long long port = 0, udp_port = 0, feed_port = 0, request_port = 0;
    if (check_keys(reader, group, known) ||
        read_number(reader, group, "port", true, 0, config->port_count - 1ll, &port) ||
        read_number(reader, group, "udp_port", true, 1, 65535, &udp_port) ||
        read_address(reader, group, "feed_group", &shard->feed_group) ||
        read_number(reader, group, "feed_port", true, 1, 65535, &feed_port) ||
        read_number(reader, group, "request_port", false, 1, 65535, &request_port) ||
        read_core(reader, group, "core", &shard->core) ||
        read_core(reader, group, "journal_core", &shard->journal_core))
        return -1;
    if (!IN_MULTICAST(ntohl(shard->feed_group)))
        return complain(reader, group, "\"feed_group\" is not a multicast address (224.0.0.0/4)");
    if (request_port == udp_port)
        return complain(reader, group, "\"request_port\" and \"udp_port\" are both %lld", udp_port);
    for (uint32_t i = 0; i < config->shard_count; i++) {
        const struct config_shard *other = &config->shards[i];
        bool same_address = config->ports[other->port].address == config->ports[port].address;
        if (same_address && (other->udp_port == udp_port || other->request_port == udp_port ||
                             (request_port && (other->udp_port == request_port ||
                                               other->request_port == request_port))))
            return complain(reader, group, "UDP port used twice: by shards %u and %u", i,
                            config->shard_count);
    }
    shard->port = (uint32_t)port;
    shard->udp_port = (uint16_t)udp_port;
    shard->feed_port = (uint16_t)feed_port;
    shard->request_port = (uint16_t)request_port;
    config->shard_count++;
    return 0;
}

// An amount is a text, because numbers in the file have 32 bits and no fixed decimals.
static int read_limit(const struct reader *reader, const config_setting_t *group,
                      const struct limit_name *limit, uint32_t shard_count, uint64_t *value)
{
    char text[32];
    long long number = 0;
    if (limit->money ? read_text(reader, group, limit->name, text, sizeof(text), 0)
                     : read_number(reader, group, limit->name, true, 0, INT_MAX, &number))
        return -1;
    if (!limit->money)
        snprintf(text, sizeof(text), "%lld", number);
    const char *problem = limit_parse(limit, text, shard_count, value);
    if (problem)
        return complain(reader, config_setting_get_member(group, limit->name), "\"%s\" %s",
                        limit->name, problem);
    return 0;
}

static int add_limit(const struct reader *reader, const config_setting_t *group,
                     const struct config_limit *limit, struct config *config)
{
    if (config->limit_count == CONFIG_LIMITS_MAX)
        return complain(reader, group, "more than %u limits", CONFIG_LIMITS_MAX);
    config->limits[config->limit_count++] = *limit;
    return 0;
}

// The limits that a group has, `whose` being a member or an instrument.
static int read_limits_of(const struct reader *reader, const config_setting_t *group,
                          const struct config_limit *whose, struct config *config)
{
    const struct limit_name *limit;
    for (uint32_t i = 0; (limit = limit_at(i)); i++) {
        struct config_limit added = *whose;
        added.limit = limit;
        if (limit_of_member(limit) != (whose->firm[0] != 0) ||
            !config_setting_get_member(group, limit->name))
            continue;
        if (read_limit(reader, group, limit, config->shard_count, &added.value) ||
            add_limit(reader, group, &added, config))
            return -1;
    }
    return 0;
}

static bool is_listed(const struct config *config, const char symbol[8])
{
    for (uint32_t i = 0; i < config->instrument_count; i++)
        if (memcmp(config->instruments[i].symbol, symbol, 8) == 0)
            return true;
    return false;
}

static int read_reference(const struct reader *reader, const config_setting_t *group,
                          uint32_t *reference)
{
    char text[32];
    const config_setting_t *at = config_setting_get_member(group, "reference");
    if (!at)
        return 0;
    if (read_text(reader, group, "reference", text, sizeof(text), 0))
        return -1;
    const char *problem = price_parse(text, reference);
    return problem ? complain(reader, at, "\"reference\" %s", problem) : 0;
}

static int read_instrument(const struct reader *reader, const config_setting_t *group,
                           struct config *config)
{
    static const char *const known[] = {"symbol",    "shard",  "round_lot",  "tick", "lot",
                                        "reference", "collar", "fat_finger", NULL};
    struct config_instrument *instrument = &config->instruments[config->instrument_count];
    long long shard = 0, round_lot = 100;
    if (check_keys(reader, group, known) ||
        read_text(reader, group, "symbol", instrument->symbol, sizeof(instrument->symbol), ' ') ||
        read_number(reader, group, "shard", true, 0, config->shard_count - 1ll, &shard) ||
        read_number(reader, group, "round_lot", false, 1, QUANTITY_MAX, &round_lot) ||
        read_reference(reader, group, &instrument->reference))
        return -1;
    if (is_listed(config, instrument->symbol))
        return complain(reader, group, "symbol \"%.8s\" is listed twice", instrument->symbol);
    instrument->shard = (uint32_t)shard;
    instrument->round_lot = (uint32_t)round_lot;
    config->instrument_count++;
    struct config_limit whose = {0};
    memcpy(whose.symbol, instrument->symbol, sizeof(whose.symbol));
    return read_limits_of(reader, group, &whose, config);
}

// What a login may cost at most: a hash that needs more could never be verified on this host, or
// would keep all others waiting.
#define HASH_KIB_MAX    (1u << 20)
#define HASH_PASSES_MAX 16u

static int read_password_hash(const struct reader *reader, const config_setting_t *group,
                              struct config_session *session)
{
    static const char how[] = "`sluice hash-password` makes one";
    unsigned kib, passes;
    char *hash = session->password_hash;
    const config_setting_t *clear = config_setting_get_member(group, "password");
    static_assert(sizeof(session->password_hash) == crypto_pwhash_STRBYTES, "room for a hash");
    if (clear)
        return complain(reader, clear,
                        "passwords do not stand here in clear: give their hash as "
                        "\"password_hash\"; %s",
                        how);
    if (read_text(reader, group, "password_hash", hash, sizeof(session->password_hash), 0))
        return -1;
    const config_setting_t *at = config_setting_get_member(group, "password_hash");
    if (sscanf(hash, "$argon2id$v=19$m=%u,t=%u,p=1$", &kib, &passes) != 2 ||
        crypto_pwhash_str_needs_rehash(hash, 1, 8192) < 0)
        return complain(reader, at, "\"password_hash\" is not a hash of a password; %s", how);
    if (kib > HASH_KIB_MAX || passes > HASH_PASSES_MAX)
        return complain(reader, at,
                        "\"password_hash\" takes %u KiB and %u passes to verify; at most %u and %u "
                        "are spent on it; %s",
                        kib, passes, HASH_KIB_MAX, HASH_PASSES_MAX, how);
    return 0;
}

static int read_public_key(const struct reader *reader, const config_setting_t *group,
                           struct config_session *session)
{
    char text[2 * sizeof(session->public_key) + 2];
    size_t size;
    const config_setting_t *at = config_setting_get_member(group, "public_key");
    if (config_setting_get_member(group, "password_hash"))
        return complain(reader, at,
                        "a session has a \"public_key\" or a \"password_hash\", not both");
    if (read_text(reader, group, "public_key", text, sizeof(text), 0))
        return -1;
    if (sodium_hex2bin(session->public_key, sizeof(session->public_key), text, strlen(text), NULL,
                       &size, NULL) ||
        size != sizeof(session->public_key) ||
        !crypto_core_ed25519_is_valid_point(session->public_key))
        return complain(reader, at,
                        "\"public_key\" is not an Ed25519 key of 64 hexadecimal digits; "
                        "`sluice make-key` makes one");
    session->is_signed = true;
    return 0;
}

static int read_credential(const struct reader *reader, const config_setting_t *group,
                           struct config_session *session)
{
    return config_setting_get_member(group, "public_key")
               ? read_public_key(reader, group, session)
               : read_password_hash(reader, group, session);
}

static int read_session(const struct reader *reader, const config_setting_t *group,
                        struct config *config)
{
    static const char *const known[] = {"user", "password_hash",        "public_key",
                                        "firm", "cancel_on_disconnect", NULL};
    struct config_session *session = &config->sessions[config->session_count];
    if ((config_setting_is_group(group) && read_credential(reader, group, session)) ||
        check_keys(reader, group, known) ||
        read_text(reader, group, "user", session->user, sizeof(session->user), ' ') ||
        read_text(reader, group, "firm", session->firm, sizeof(session->firm), ' ') ||
        read_switch(reader, group, "cancel_on_disconnect", &session->cancel_on_disconnect))
        return -1;
    ufo_upper(session->user, sizeof(session->user)); // UFO compares without case
    for (uint32_t i = 0; i < config->session_count; i++)
        if (memcmp(config->sessions[i].user, session->user, sizeof(session->user)) == 0)
            return complain(reader, group, "user \"%.6s\" is there twice", session->user);
    config->session_count++;
    return 0;
}

typedef int read_member_fn(const struct reader *, const config_setting_t *, struct config *);

static int read_list(const struct reader *reader, const config_setting_t *root, const char *key,
                     long long count_max, read_member_fn *read_member, struct config *config)
{
    const config_setting_t *list = config_setting_get_member(root, key);
    if (!list || !config_setting_is_list(list) || config_setting_length(list) == 0)
        return complain(reader, list ? list : root,
                        "\"%s\" must be a list with at least one entry: %s = ( { … } );", key, key);
    if (config_setting_length(list) > count_max)
        return complain(reader, list, "\"%s\" has %d entries; at most %lld are served", key,
                        config_setting_length(list), count_max);
    for (int i = 0; i < config_setting_length(list); i++)
        if (read_member(reader, config_setting_get_elem(list, (unsigned)i), config))
            return -1;
    return 0;
}

static int check_firms(const struct reader *reader, const config_setting_t *root,
                       const struct config *config)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->session_count; i++) {
        uint32_t first = 0;
        while (memcmp(config->sessions[first].firm, config->sessions[i].firm, 4) != 0)
            first++;
        count += first == i;
    }
    return count > BOOK_MEMBERS_MAX
               ? complain(reader, root, "the sessions are of %u firms; at most %u are served",
                          count, BOOK_MEMBERS_MAX)
               : 0;
}

bool config_has_firm(const struct config *config, const char firm[4])
{
    for (uint32_t i = 0; i < config->session_count; i++)
        if (memcmp(config->sessions[i].firm, firm, 4) == 0)
            return true;
    return false;
}

// Symbols that a member may not trade.
static int read_barred(const struct reader *reader, const config_setting_t *group,
                       const struct config_limit *whose, struct config *config)
{
    const config_setting_t *list = config_setting_get_member(group, "barred");
    if (list && !config_setting_is_array(list))
        return complain(reader, list, "\"barred\" must be a list of symbols: [ \"ACME\" ]");
    for (int i = 0; list && i < config_setting_length(list); i++) {
        const char *text = config_setting_get_string_elem(list, i);
        const char *symbol = text ? text : "";
        struct config_limit barred = *whose;
        memset(barred.symbol, ' ', sizeof(barred.symbol));
        memcpy(barred.symbol, symbol, strnlen(symbol, sizeof(barred.symbol)));
        if (strlen(symbol) > sizeof(barred.symbol) || !is_listed(config, barred.symbol))
            return complain(reader, list, "\"barred\": there is no symbol \"%s\"", symbol);
        if (add_limit(reader, list, &barred, config))
            return -1;
    }
    return 0;
}

static int read_member(const struct reader *reader, const config_setting_t *group,
                       struct config *config)
{
    const char *known[64] = {"firm", "barred"};
    const struct limit_name *limit;
    for (uint32_t i = 0, count = 2; (limit = limit_at(i)); i++)
        if (limit_of_member(limit))
            known[count++] = limit->name;
    struct config_limit whose = {0};
    if (check_keys(reader, group, known) ||
        read_text(reader, group, "firm", whose.firm, sizeof(whose.firm), ' '))
        return -1;
    if (!config_has_firm(config, whose.firm))
        return complain(reader, group, "no session is of the firm \"%.4s\"", whose.firm);
    for (uint32_t i = 0; i < config->limit_count; i++)
        if (memcmp(config->limits[i].firm, whose.firm, sizeof(whose.firm)) == 0)
            return complain(reader, group, "firm \"%.4s\" is there twice", whose.firm);
    return read_barred(reader, group, &whose, config) ||
                   read_limits_of(reader, group, &whose, config)
               ? -1
               : 0;
}

static int read_members(const struct reader *reader, const config_setting_t *root,
                        struct config *config)
{
    if (!config_setting_get_member(root, "members"))
        return 0;
    return read_list(reader, root, "members", CONFIG_SESSIONS_MAX, read_member, config);
}

static int read_time(const struct reader *reader, const config_setting_t *group, uint32_t *second)
{
    char text[16];
    unsigned hours, minutes, seconds;
    int length = 0;
    if (read_text(reader, group, "at", text, sizeof(text), 0))
        return -1;
    if (sscanf(text, "%2u:%2u:%2u%n", &hours, &minutes, &seconds, &length) != 3 || text[length] ||
        hours > 23 || minutes > 59 || seconds > 59)
        return complain(reader, config_setting_get_member(group, "at"),
                        "\"at\" is \"%s\"; it must be a time of the day: \"09:30:00\"", text);
    *second = hours * 3600 + minutes * 60 + seconds;
    return 0;
}

// By the letter of COMMAND_TRADING.
static const char *const phase_names[] = {"preopen", "trading", "halted", "quotation",
                                          "paused",  "closed",  "late"};
static const char phase_letters[] = "OTHQPCL";
#define PHASE_COUNT (sizeof(phase_names) / sizeof(phase_names[0]))

uint8_t config_phase(const char *name)
{
    for (size_t i = 0; i < PHASE_COUNT; i++)
        if (strcmp(name, phase_names[i]) == 0)
            return (uint8_t)phase_letters[i];
    return 0;
}

const char *config_phase_name(uint8_t letter)
{
    return phase_names[strchr(phase_letters, letter) - phase_letters];
}

static int read_entry(const struct reader *reader, const config_setting_t *group,
                      struct config *config)
{
    static const char *const known[] = {"at", "phase", "symbol", NULL};
    struct config_entry *entry = &config->calendar[config->calendar_count];
    uint32_t phase = UINT32_MAX;
    if (check_keys(reader, group, known) || read_time(reader, group, &entry->second) ||
        read_word(reader, group, "phase", phase_names, PHASE_COUNT, &phase))
        return -1;
    if (phase == UINT32_MAX)
        return complain(reader, group, "\"phase\" is missing");
    if (config_setting_get_member(group, "symbol") &&
        read_text(reader, group, "symbol", entry->symbol, sizeof(entry->symbol), ' '))
        return -1;
    if (entry->symbol[0] && !is_listed(config, entry->symbol))
        return complain(reader, group, "symbol \"%.8s\" is not listed", entry->symbol);
    if (config->calendar_count > 0 && entry[-1].second > entry->second)
        return complain(reader, group, "the calendar must be in order of time");
    entry->state = (uint8_t)phase_letters[phase];
    config->calendar_count++;
    return 0;
}

static int read_pause(const struct reader *reader, const config_setting_t *root,
                      struct config *config)
{
    long long seconds = 0;
    if (read_number(reader, root, "pause", false, 0, EXPIRE_SECONDS_MAX, &seconds))
        return -1;
    config->pause_seconds = (uint32_t)seconds;
    return 0;
}

static int read_calendar(const struct reader *reader, const config_setting_t *root,
                         struct config *config)
{
    return config_setting_get_member(root, "calendar")
               ? read_list(reader, root, "calendar", CONFIG_CALENDAR_MAX, read_entry, config)
               : 0;
}

static int read_clock(const struct reader *reader, const config_setting_t *root,
                      struct config *config)
{
    static const char *const known[] = {"alarm_us", "halt_us", NULL};
    const config_setting_t *group = config_setting_get_member(root, "clock");
    long long alarm_us = ALARM_US_USUAL;
    if (!group)
        return 0;
    if (check_keys(reader, group, known) ||
        read_number(reader, group, "alarm_us", false, 1, ALARM_US_MAX, &alarm_us))
        return -1;
    long long halt_us = alarm_us * HALT_ALARMS;
    if (read_number(reader, group, "halt_us", false, alarm_us + 1, ALARM_US_MAX * HALT_ALARMS,
                    &halt_us))
        return -1;
    config->clock = (struct config_clock){(uint32_t)alarm_us, (uint32_t)halt_us};
    return 0;
}

static int read_sandbox(const struct reader *reader, const config_setting_t *root,
                        struct config *config)
{
    config->sandbox = true;
    return read_switch(reader, root, "sandbox", &config->sandbox);
}

static int read_signing_key(const struct reader *reader, const config_setting_t *root,
                            struct config *config)
{
    char path[256];
    struct error why;
    const config_setting_t *at = config_setting_get_member(root, "signing_key");
    if (!at)
        return 0;
    if (read_text(reader, root, "signing_key", path, sizeof(path), 0))
        return -1;
    if (key_read(path, config->signing_key, &why))
        return complain(reader, at, "%s", why.text);
    config->has_signing_key = true;
    return 0;
}

static int read_all(const struct reader *reader, const config_setting_t *root,
                    struct config *config)
{
    static const char *const known[] = {
        "name",   "sandbox",     "signing_key", "control", "journal",  "limits", "dpdk",  "ports",
        "shards", "instruments", "sessions",    "members", "calendar", "pause",  "clock", NULL};
    config->instruments = calloc(BOOK_INSTRUMENTS_MAX, sizeof(*config->instruments));
    config->sessions = calloc(CONFIG_SESSIONS_MAX, sizeof(*config->sessions));
    config->limits = calloc(CONFIG_LIMITS_MAX, sizeof(*config->limits));
    if (!config->instruments || !config->sessions || !config->limits)
        return error_set(reader->error, "no memory for the configuration");
    return check_keys(reader, root, known) ||
                   read_text(reader, root, "name", config->name, sizeof(config->name), 0) ||
                   read_sandbox(reader, root, config) || read_signing_key(reader, root, config) ||
                   read_journal(reader, root, config) || read_control(reader, root, config) ||
                   read_limits(reader, root, config) || read_dpdk(reader, root, config) ||
                   read_list(reader, root, "ports", CONFIG_PORTS_MAX, read_port, config) ||
                   read_list(reader, root, "shards", CONFIG_SHARDS_MAX, read_shard, config) ||
                   read_list(reader, root, "instruments", BOOK_INSTRUMENTS_MAX, read_instrument,
                             config) ||
                   read_list(reader, root, "sessions", CONFIG_SESSIONS_MAX, read_session, config) ||
                   check_firms(reader, root, config) || read_members(reader, root, config) ||
                   read_pause(reader, root, config) || read_calendar(reader, root, config) ||
                   read_clock(reader, root, config)
               ? -1
               : 0;
}

struct config *config_load(const char *path, struct error *error)
{
    config_t file;
    config_init(&file);
    struct config *config = calloc(1, sizeof(*config));
    struct reader reader = {path, error};
    int failed = -1;
    if (!config)
        error_set(error, "no memory for the configuration");
    else if (config_read_file(&file, path))
        failed = read_all(&reader, config_root_setting(&file), config);
    else if (config_error_type(&file) == CONFIG_ERR_FILE_IO)
        error_set(error, "%s: cannot read the configuration: %s", path, strerror(errno));
    else
        error_set(error, "%s:%d: %s", config_error_file(&file) ? config_error_file(&file) : path,
                  config_error_line(&file), config_error_text(&file));
    config_destroy(&file);
    if (!failed)
        return config;
    config_free(config);
    return NULL;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    free(config->instruments);
    free(config->sessions);
    free(config->limits);
    sodium_memzero(config->signing_key, sizeof(config->signing_key));
    free(config);
}

static int check_core(int core, const char *whose, uint32_t index, struct error *error)
{
    struct error why;
    if (core == THREAD_ANY_CORE || thread_core_usable(core, &why) == 0)
        return 0;
    return error_set(error, "%s %u: %s", whose, index, why.text);
}

int config_check_host(const struct config *config, struct error *error)
{
    for (uint32_t i = 0; i < config->port_count; i++) {
        const struct config_port *port = &config->ports[i];
        if (port->type != CONFIG_PORT_DPDK && if_nametoindex(port->interface) == 0)
            return error_set(error,
                             "port %u: there is no interface \"%s\"; `ip link` lists what there is",
                             i, port->interface);
        if (check_core(port->core, "port", i, error))
            return -1;
    }
    for (uint32_t i = 0; i < config->shard_count; i++)
        if (check_core(config->shards[i].core, "shard", i, error) ||
            check_core(config->shards[i].journal_core, "journal of shard", i, error))
            return -1;
    return 0;
}
