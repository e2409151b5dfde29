// SPDX-License-Identifier: MIT
//
// sluice capture: nanosecond pcap of what a gateway's ports saw and sent, or of an interface.
#include "dataplane/verbs.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/capture.h"

static _Atomic bool stop;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&stop, true);
}

// The first signal ends the capture in order, also where a slow reader of the pipe holds it up (the
// write goes on); the second one ends it.
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = ask_to_stop,
                               .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

// Not on standard output when the packets go there.
static void print_report(const struct capture_report *report, const char *interface, bool json,
                         FILE *stream)
{
    if (json) {
        json_t *result = json_pack("{s:I, s:I, s:I, s:I}", "captured", (json_int_t)report->captured,
                                   "bytes", (json_int_t)report->bytes, "lost",
                                   (json_int_t)report->lost, "files", (json_int_t)report->files);
        if (!interface)
            json_object_update_new(
                result, json_pack("{s:I, s:I, s:I, s:b}", "received", (json_int_t)report->received,
                                  "sent", (json_int_t)report->sent, "filtered",
                                  (json_int_t)report->filtered, "gateway_ended", report->ended));
        json_dumpf(result, stream, JSON_COMPACT);
        fprintf(stream, "\n");
        json_decref(result);
        return;
    }
    fprintf(stream, "captured %llu", (unsigned long long)report->captured);
    if (!interface)
        fprintf(stream, " (received %llu, sent %llu), filtered %llu",
                (unsigned long long)report->received, (unsigned long long)report->sent,
                (unsigned long long)report->filtered);
    fprintf(stream, ", lost %llu, bytes %llu, files %llu%s\n", (unsigned long long)report->lost,
            (unsigned long long)report->bytes, (unsigned long long)report->files,
            report->ended ? "; the gateway has ended" : "");
}

static int capture(const char *config_path, const char *interface,
                   const struct capture_options *options, bool json)
{
    struct capture_report report;
    struct error error;
    struct config *config = NULL;
    int result = -1;
    if (config_path && !(config = config_load(config_path, &error))) {
        fprintf(stderr, "sluice: capture: %s\n", error.text);
        return 1;
    }
    catch_signals();
    result = config ? capture_gateway(config, options, &stop, &report, &error)
                    : capture_interface(interface, options, &stop, &report, &error);
    if (result == 0 || report.captured > 0)
        print_report(&report, interface, json, strcmp(options->write, "-") == 0 ? stderr : stdout);
    if (result)
        fprintf(stderr, "sluice: capture: %s\n", error.text);
    if (config)
        config_free(config);
    return result ? 1 : 0;
}

// A whole number above 0, times `unit`; false when it is none.
static bool parse(const char *text, uint64_t unit, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno || number == 0 ||
        number > UINT64_MAX / unit)
        return false;
    *value = number * unit;
    return true;
}

static int usage(void)
{
    fprintf(stderr,
            "sluice: usage: sluice capture --config FILE | --interface NAME --write FILE|- "
            "[--filter EXPRESSION]\n"
            "       [--rotate-mib N] [--rotate-seconds N] [--count N] [--seconds N] [--json]\n");
    return 2;
}

int verb_capture(int argc, char **argv)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"interface", required_argument, NULL, 'i'},
                                          {"write", required_argument, NULL, 'w'},
                                          {"filter", required_argument, NULL, 'f'},
                                          {"rotate-mib", required_argument, NULL, 'M'},
                                          {"rotate-seconds", required_argument, NULL, 'S'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"json", no_argument, NULL, 'j'},
                                          {0}};
    struct capture_options options = {0};
    const char *config = NULL, *interface = NULL;
    bool json = false, good = true;
    int option, index = 0;
    while (good && (option = getopt_long(argc, argv, "w:", known, &index)) != -1) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 'i':
            interface = optarg;
            break;
        case 'w':
            options.write = optarg;
            break;
        case 'f':
            options.filter = optarg;
            break;
        case 'M':
            good = parse(optarg, 1 << 20, &options.rotate_bytes);
            break;
        case 'S':
            good = parse(optarg, 1000000000, &options.rotate_ns);
            break;
        case 'n':
            good = parse(optarg, 1, &options.count);
            break;
        case 's':
            good = parse(optarg, 1000000000, &options.duration_ns);
            break;
        case 'j':
            json = true;
            break;
        default:
            return 2;
        }
    }
    if (!good) {
        fprintf(stderr, "sluice: capture: --%s %s: give a number above 0\n", known[index].name,
                optarg);
        return 2;
    }
    options.rotate = options.rotate_bytes > 0 || options.rotate_ns > 0;
    if (optind != argc || !options.write || !config == !interface)
        return usage();
    if (options.rotate && strcmp(options.write, "-") == 0) {
        fprintf(stderr, "sluice: capture: a pipe cannot be rotated: name a file with --write\n");
        return 2;
    }
    return capture(config, interface, &options, json);
}
