// SPDX-License-Identifier: MIT
//
// sluice configure init|check|fini: prepare this host for a configuration, or put it back. Exit
// status 0; 1 when a step failed that should work, or check found something that can be had and is
// not configured.
#include "dataplane/verbs.h"

#include <getopt.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/configure.h"

static int refuse(const char *why, const char *word)
{
    fprintf(stderr, "sluice: %s%s: sluice configure init|check|fini --config FILE [--dry-run] [",
            why, word);
    for (const char *const *name = configure_stage_names(); *name; name++)
        fprintf(stderr, "%s%s", name == configure_stage_names() ? "" : " ", *name);
    fprintf(stderr, "]\n");
    return 2;
}

static bool is_stage(const char *word)
{
    const char *const *name = configure_stage_names();
    while (*name && strcmp(*name, word) != 0)
        name++;
    return *name != NULL;
}

// Cores are not asked for: once they are a partition of their own, only its members may use them.
static int check_interfaces(const struct config *config, struct error *error)
{
    for (uint32_t i = 0; i < config->port_count; i++)
        if (config->ports[i].type != CONFIG_PORT_DPDK &&
            if_nametoindex(config->ports[i].interface) == 0)
            return error_set(error,
                             "port %u: there is no interface \"%s\"; `ip link` lists what there is",
                             i, config->ports[i].interface);
    return 0;
}

static int run(const char *path, const struct configure_options *options)
{
    static struct topology topology; // too large for a stack
    struct error error;
    bool changes = options->verb != CONFIGURE_CHECK && !options->dry_run;
    if (changes && geteuid() != 0) {
        fprintf(stderr, "sluice: configure changes the host, and that needs root\n");
        return 1;
    }
    struct config *config = config_load(path, &error);
    if (!config || topology_load(&topology, NULL, &error) ||
        (options->verb != CONFIGURE_FINI && check_interfaces(config, &error))) {
        fprintf(stderr, "sluice: %s\n", error.text);
        config_free(config);
        return 1;
    }
    int status = configure(config, &topology, options);
    config_free(config);
    return status;
}

int verb_configure(int argc, char **argv)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'}, {"dry-run", no_argument, NULL, 'd'}, {0}};
    static const char *const verbs[] = {"init", "check", "fini"};
    struct configure_options options = {.root = "", .out = stdout, .error = stderr};
    const char *path = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == '?')
            return 2;
        if (option == 'c')
            path = optarg;
        else
            options.dry_run = true;
    }
    size_t verb = 0;
    while (optind < argc && verb < 3 && strcmp(argv[optind], verbs[verb]) != 0)
        verb++;
    if (!path || optind == argc || verb == 3)
        return refuse("usage", "");
    options.verb = (enum configure_verb)verb;
    options.stages = argv + optind + 1;
    for (char **stage = options.stages; *stage; stage++)
        if (!is_stage(*stage))
            return refuse("configure has no stage ", *stage);
    return run(path, &options);
}
