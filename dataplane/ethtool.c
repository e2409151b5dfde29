// SPDX-License-Identifier: MIT
#include "dataplane/ethtool.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TABLE_MAX 4096u // entries of an indirection table; the largest known has 4096 (mlx5)

// Where root's PATH leaves it out, as su without - does.
static const char *const elsewhere[] = {"/usr/sbin/ethtool", "/sbin/ethtool"};

bool ethtool_there(void)
{
    const char *path = getenv("PATH");
    char candidate[4096];
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        if (access(elsewhere[i], X_OK) == 0)
            return true;
    while (path && *path) {
        int length = (int)strcspn(path, ":");
        snprintf(candidate, sizeof(candidate), "%.*s/ethtool", length, path);
        if (access(candidate, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

// An errno.
static int spawn(const char *const *words, int output_fd, pid_t *child)
{
    char *environment[] = {(char[]){"LC_ALL=C"}, (char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
                           NULL};
    posix_spawn_file_actions_t actions;
    int failure = posix_spawn_file_actions_init(&actions);
    if (failure)
        return failure;
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
    char *const *arguments = (char *const *)(uintptr_t)words; // exec's old signature
    failure = posix_spawnp(child, words[0], &actions, NULL, arguments, environment);
    for (size_t i = 0; failure == ENOENT && i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        failure = posix_spawn(child, elsewhere[i], &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return failure;
}

// All of it, so that the writer never waits; what does not fit is lost.
static void read_all(int fd, char output[ETHTOOL_OUTPUT_MAX])
{
    char rest[4096];
    size_t used = 0;
    for (;;) {
        bool full = used == ETHTOOL_OUTPUT_MAX - 1;
        ssize_t got = full ? read(fd, rest, sizeof(rest))
                           : read(fd, output + used, ETHTOOL_OUTPUT_MAX - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += full ? 0 : (size_t)got;
    }
    output[used] = 0;
}

int ethtool_run(const char *const *words, char output[ETHTOOL_OUTPUT_MAX], struct error *error)
{
    int ends[2], status;
    pid_t child;
    output[0] = 0;
    if (pipe2(ends, O_CLOEXEC))
        return error_set(error, "ethtool: no pipe for it: %s", strerror(errno));
    int failure = spawn(words, ends[1], &child);
    close(ends[1]);
    if (!failure)
        read_all(ends[0], output);
    close(ends[0]);
    if (failure)
        return error_set(error, "ethtool cannot be started: %s; install the package ethtool",
                         strerror(failure));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

// What follows "name:" on a line of `output`, blanks skipped, or NULL.
static const char *value_of(const char *output, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = output; *line; line = next_line(line)) {
        const char *start = line + strspn(line, " \t");
        if (strncmp(start, name, length) == 0 && start[length] == ':')
            return start + length + 1 + strspn(start + length + 1, " \t");
    }
    return NULL;
}

static int number_of(const char *output, const char *name)
{
    const char *value = value_of(output, name);
    int number;
    return value && sscanf(value, "%d", &number) == 1 ? number : -1;
}

bool ethtool_read_channels(const char *output, struct ethtool_channels_now *channels)
{
    const char *now = strstr(output, "Current hardware settings:");
    if (!now || !strstr(output, "Pre-set maximums:"))
        return false;
    *channels = (struct ethtool_channels_now){
        .rx = number_of(now, "RX"),
        .tx = number_of(now, "TX"),
        .combined = number_of(now, "Combined"),
        .rx_max = number_of(output, "RX"),
        .tx_max = number_of(output, "TX"),
        .combined_max = number_of(output, "Combined"),
    };
    return channels->combined > 0 || (channels->rx > 0 && channels->tx > 0);
}

bool ethtool_read_feature(const char *output, const char *name, bool *on, bool *fixed)
{
    static const struct {
        const char *brief, *full;
    } names[] = {{"gro", "generic-receive-offload"},
                 {"lro", "large-receive-offload"},
                 {"rxvlan", "rx-vlan-offload"},
                 {"ntuple", "ntuple-filters"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i].brief) == 0)
            name = names[i].full;
    const char *value = value_of(output, name);
    if (!value)
        return false;
    size_t length = (size_t)(next_line(value) - value);
    *on = strncmp(value, "on", 2) == 0;
    *fixed = memmem(value, length, "[fixed]", 7) != NULL;
    return true;
}

bool ethtool_read_coalesce(const char *output, const char *name, char value[ETHTOOL_VALUE_SIZE])
{
    const char *found = value_of(output, strcmp(name, "adaptive-rx") == 0 ? "Adaptive RX" : name);
    int length = found ? (int)strcspn(found, " \n") : 0;
    snprintf(value, ETHTOOL_VALUE_SIZE, "%.*s", length, found ? found : "");
    return length > 0 && strcmp(value, "n/a") != 0;
}

// One rule as it is printed, from its "Filter: N" on.
static bool rule_is(const char *rule, const char *destination)
{
    char address[32], wanted_address[32], from[32], from_mask[32], mask[32];
    unsigned port, wanted_port, port_mask, source_port_mask, tos_mask;
    const char *type = value_of(rule, "Rule Type"), *source = value_of(rule, "Src IP addr");
    const char *target = value_of(rule, "Dest IP addr"), *tos = value_of(rule, "TOS");
    const char *source_port = value_of(rule, "Src port"),
               *target_port = value_of(rule, "Dest port");
    return sscanf(destination, "dst-ip %31s dst-port %u", wanted_address, &wanted_port) == 2 &&
           type && strncmp(type, "UDP over IPv4", 13) == 0 && source &&
           sscanf(source, "%31s mask: %31s", from, from_mask) == 2 &&
           strcmp(from_mask, "255.255.255.255") == 0 && target &&
           sscanf(target, "%31s mask: %31s", address, mask) == 2 &&
           strcmp(address, wanted_address) == 0 && strcmp(mask, "0.0.0.0") == 0 && tos &&
           sscanf(tos, "%*s mask: %x", &tos_mask) == 1 && tos_mask == 0xFF && source_port &&
           sscanf(source_port, "%*u mask: %x", &source_port_mask) == 1 &&
           source_port_mask == 0xFFFF && target_port &&
           sscanf(target_port, "%u mask: %x", &port, &port_mask) == 2 && port == wanted_port &&
           port_mask == 0;
}

bool ethtool_read_rule(const char *output, const char *destination, char value[ETHTOOL_VALUE_SIZE])
{
    char rule[2048];
    unsigned location, queue;
    snprintf(value, ETHTOOL_VALUE_SIZE, "none");
    for (const char *at = strstr(output, "Filter: "); at;) {
        const char *next = strstr(at + 1, "Filter: ");
        int length = next ? (int)(next - at) : (int)strlen(at);
        snprintf(rule, sizeof(rule), "%.*s", length, at);
        at = next;
        if (!rule_is(rule, destination) || sscanf(rule, "Filter: %u", &location) != 1)
            continue;
        const char *action = value_of(rule, "Action");
        if (action && sscanf(action, "Direct to queue %u", &queue) == 1 &&
            !value_of(rule, "RSS Context ID"))
            snprintf(value, ETHTOOL_VALUE_SIZE, "action %u loc %u", queue, location);
        else if (action && strncmp(action, "Drop", 4) == 0)
            snprintf(value, ETHTOOL_VALUE_SIZE, "action -1 loc %u", location);
        else
            return false;
        return true;
    }
    // "4 RX rings available\nTotal 0 rules": without the second line the driver has none.
    return strstr(output, "Total ") != NULL && strstr(output, " rules") != NULL;
}

struct table {
    uint32_t count, queue_count, highest;
    uint32_t queues[TABLE_MAX];
};

static bool read_entries(const char *output, struct table *table)
{
    const char *head = strstr(output, "RX flow hash indirection table for ");
    const char *with = head ? strstr(head, " with ") : NULL;
    if (!with || sscanf(with, " with %u RX ring", &table->queue_count) != 1)
        return false;
    for (const char *line = next_line(with); *line; line = next_line(line)) {
        unsigned first;
        int used = 0;
        if (sscanf(line, " %u:%n", &first, &used) != 1 || used == 0 || first != table->count)
            break;
        const char *at = line + used, *end = next_line(line);
        for (;;) {
            char *after;
            unsigned long queue = strtoul(at, &after, 10);
            if (after == at || after > end || table->count == TABLE_MAX ||
                queue >= ETHTOOL_QUEUES_MAX)
                break;
            table->highest = queue > table->highest ? (uint32_t)queue : table->highest;
            table->queues[table->count++] = (uint32_t)queue;
            at = after;
        }
    }
    return table->count > 0;
}

// The kernel's default spreads over the lowest queues in turn, and ethtool's "equal" does the same
// from any queue on.
static bool in_turn(const struct table *table, uint32_t *start, uint32_t *equal)
{
    *start = table->queues[0];
    *equal = table->highest - *start + 1;
    for (uint32_t i = 0; i < table->count; i++)
        if (table->highest < *start || table->queues[i] != *start + i % *equal)
            return false;
    return true;
}

// "weight" makes runs of one queue after the other.
static bool in_runs(const struct table *table, char value[ETHTOOL_VALUE_SIZE])
{
    uint32_t weights[ETHTOOL_QUEUES_MAX] = {0};
    for (uint32_t i = 0; i < table->count; i++) {
        if (i > 0 && table->queues[i] < table->queues[i - 1])
            return false;
        weights[table->queues[i]]++;
    }
    size_t used = (size_t)snprintf(value, ETHTOOL_VALUE_SIZE, "weight");
    for (uint32_t queue = 0; queue <= table->highest && used < ETHTOOL_VALUE_SIZE; queue++)
        used += (size_t)snprintf(value + used, ETHTOOL_VALUE_SIZE - used, " %u", weights[queue]);
    return used < ETHTOOL_VALUE_SIZE;
}

bool ethtool_read_table(const char *output, char value[ETHTOOL_VALUE_SIZE])
{
    struct table table = {0};
    uint32_t start, equal;
    if (!read_entries(output, &table))
        return false;
    if (!in_turn(&table, &start, &equal))
        return in_runs(&table, value);
    uint32_t all = table.count < table.queue_count ? table.count : table.queue_count;
    if (start == 0 && equal == all)
        snprintf(value, ETHTOOL_VALUE_SIZE, "default");
    else
        snprintf(value, ETHTOOL_VALUE_SIZE, "equal %u start %u", equal, start);
    return true;
}

bool ethtool_table_uses(const char *value, uint32_t queue)
{
    unsigned equal, start;
    if (strcmp(value, "default") == 0)
        return true;
    if (sscanf(value, "equal %u start %u", &equal, &start) == 2)
        return queue >= start && queue < start + equal;
    const char *at = value + strlen("weight");
    for (uint32_t i = 0;; i++) {
        char *after;
        unsigned long weight = strtoul(at, &after, 10);
        if (after == at)
            return false;
        if (i == queue)
            return weight > 0;
        at = after;
    }
}
