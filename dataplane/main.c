// SPDX-License-Identifier: MIT
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/verbs.h"

static int verb_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("sluice %s\n", SLUICE_VERSION);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} verbs[] = {
    {"run", verb_run, "--config FILE: start the gateway"},
    {"check", verb_check,
     "--config FILE: what this host and the file give, with a remedy for each problem"},
    {"configure", verb_configure,
     "init|check|fini --config FILE [STAGE…]: prepare this host, or put it back"},
    {"load", verb_load, "--to ADDRESS:PORT …: open-loop load and latency probe"},
    {"replay", verb_replay,
     "JOURNAL|TAPE|CAPTURE: apply recorded input again: events, state hash, speed"},
    {"capture", verb_capture,
     "--config FILE | --interface NAME --write FILE: nanosecond pcap of a gateway's ports, or of "
     "an "
     "interface"},
    {"journal", verb_journal, "dump|verify|stat DIR: read a journal"},
    {"ctl", verb_ctl, "--config FILE halt|resume|kill|allow|close-day|stats …: a running gateway"},
    {"hash-password", verb_hash_password,
     "a line for the configuration, of the password on standard input"},
    {"make-key", verb_make_key, "FILE: a new key for signed sessions"},
    {"version", verb_version, "print the version"},
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < VERB_COUNT; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    bool asked = argc > 1 && strcmp(argv[1], "--help") == 0;
    if (argc > 1 && !asked) {
        fprintf(stderr, "sluice: there is no verb \"%s\"; `sluice --help` lists them\n", argv[1]);
        return 2;
    }
    FILE *stream = asked ? stdout : stderr;
    fprintf(stream, "usage: sluice VERB …\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(stream, "  %-13s %s\n", verbs[i].name, verbs[i].help);
    return asked ? 0 : 2;
}
