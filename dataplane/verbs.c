// SPDX-License-Identifier: MIT
#include "dataplane/verbs.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>

bool verb_config_options(int argc, char **argv, const char **path, bool *json)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'}, {0}};
    int option;
    *path = NULL;
    *json = false;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return false;
        if (option == 'c')
            *path = optarg;
        else
            *json = true;
    }
    if (*path && optind == argc)
        return true;
    fprintf(stderr, "sluice: usage: sluice %s --config FILE [--json]\n", argv[0]);
    return false;
}
