// SPDX-License-Identifier: MIT
//
// sluice replay: recorded input applied to an empty book, offline: the same events, the same state
// hash. Or put back on the wire.
#include "dataplane/verbs.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataplane/replay.h"
#include "dataplane/replay_wire.h"
#include "dataplane/report.h"
#include "numa/clock.h"

#define PACE_MIN 1e-6 // times the recorded one
#define PACE_MAX 1e6

static void print_result(const struct replay *replay, double seconds, bool json)
{
    struct book_summary summary;
    book_summarise(replay->book, &summary);
    json_t *result = json_pack(
        "{s:I, s:I, s:I, s:i, s:I, s:o, s:o, s:f, s:f}", "commands", (json_int_t)summary.seq,
        "events", (json_int_t)replay->event_count, "executions", (json_int_t)summary.match_count,
        "resting_orders", (int)summary.order_count, "other_packets",
        (json_int_t)replay->other_count, "event_hash", report_hash(replay->event_hash),
        "state_hash", report_hash(book_hash(replay->book)), "seconds", seconds,
        "million_commands_per_second", (double)summary.seq / seconds * 1e-6);
    if (json) {
        json_dumpf(result, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        report_print(result, stdout);
    }
    json_decref(result);
}

struct replay_options {
    const char *input, *config, *output, *symbol, *hgrm;
    uint64_t until_seq, until_time_ns;
    struct replay_wire_options wire;
    bool json, events;
};

static int apply(struct replay *replay, const struct replay_options *options)
{
    struct stat found;
    replay->until_seq = options->until_seq;
    replay->until_time_ns = options->until_time_ns;
    if (stat(options->input, &found) == 0 && S_ISDIR(found.st_mode))
        return replay_journal(replay, options->input);
    if (options->until_seq > 0 || options->until_time_ns > 0)
        return error_set(&replay->error, "--until and --at are for journals");
    if (options->config)
        return replay_capture(replay, options->input, options->config, options->output);
    return replay_tape(replay, options->input, options->symbol);
}

static int write_hgrm(const struct histogram *histogram, const char *path)
{
    FILE *stream = fopen(path, "w");
    int status = stream ? histogram_write_hgrm(histogram, stream, 1000.0) : -1;
    if (stream && fclose(stream) != 0)
        status = -1;
    if (status)
        fprintf(stderr, "sluice: replay: cannot write the histogram %s: %s\n", path,
                strerror(errno));
    return status;
}

static int run_on_wire(const struct replay_options *options)
{
    static struct replay_wire_report report; // too large for a stack
    struct error error;
    if (replay_wire(options->input, &options->wire, &report, &error)) {
        fprintf(stderr, "sluice: replay: %s: %s\n", options->input, error.text);
        return 1;
    }
    const struct histogram *late = &report.lateness;
    json_t *result =
        json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:s}", "packets", (json_int_t)report.packets,
                  "bytes", (json_int_t)report.bytes, "skipped", (json_int_t)report.skipped,
                  "seconds", report.seconds, "seconds_asked", report.asked, "packets_per_second",
                  (double)report.packets / report.seconds, "mode", report.mode);
    if (options->wire.pace > 0)
        json_object_set_new(
            result, "lateness_ns",
            json_pack("{s:I, s:I, s:I, s:I}", "p50", (json_int_t)histogram_percentile(late, 50),
                      "p99", (json_int_t)histogram_percentile(late, 99), "p99.9",
                      (json_int_t)histogram_percentile(late, 99.9), "max", (json_int_t)late->max));
    if (options->json) {
        json_dumpf(result, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        report_print(result, stdout);
    }
    json_decref(result);
    return options->hgrm && write_hgrm(late, options->hgrm) ? 1 : 0;
}

static int run(const struct replay_options *options)
{
    struct tsc_clock clock;
    clock_calibrate(&clock, 10);
    struct replay *replay = malloc(sizeof(*replay));
    if (!replay) {
        fprintf(stderr, "sluice: replay: no memory\n");
        return 1;
    }
    replay_init(replay, options->events);
    uint64_t started_ns = clock_ns(&clock);
    int result = apply(replay, options);
    if (result == 0)
        print_result(replay, (double)(clock_ns(&clock) - started_ns) * 1e-9, options->json);
    else
        fprintf(stderr, "sluice: replay: %s: %s\n", options->input, replay->error.text);
    replay_close(replay);
    free(replay);
    return result ? 1 : 0;
}

// HH:MM:SS, with up to nine decimals, as ns since midnight; false when it is none.
static bool parse_time(const char *text, uint64_t *time_ns)
{
    unsigned hours, minutes, seconds;
    int length = 0;
    if (sscanf(text, "%2u:%2u:%2u%n", &hours, &minutes, &seconds, &length) != 3 || length != 8 ||
        hours > 23 || minutes > 59 || seconds > 59)
        return false;
    *time_ns = (hours * 3600ull + minutes * 60 + seconds) * 1000000000ull;
    if (text[8] == 0)
        return true;
    uint64_t unit = 100000000;
    const char *digit = text + 9;
    for (; *digit >= '0' && *digit <= '9' && unit > 0; digit++, unit /= 10)
        *time_ns += (uint64_t)(*digit - '0') * unit;
    return text[8] == '.' && digit > text + 9 && *digit == 0;
}

int verb_replay(int argc, char **argv)
{
    static const struct option known[] = {{"json", no_argument, NULL, 'j'},
                                          {"events", no_argument, NULL, 'e'},
                                          {"config", required_argument, NULL, 'c'},
                                          {"output", required_argument, NULL, 'o'},
                                          {"symbol", required_argument, NULL, 's'},
                                          {"until", required_argument, NULL, 'u'},
                                          {"at", required_argument, NULL, 'a'},
                                          {"interface", required_argument, NULL, 'i'},
                                          {"pace", required_argument, NULL, 'p'},
                                          {"hgrm", required_argument, NULL, 'h'},
                                          {"loops", required_argument, NULL, 'l'},
                                          {"source", required_argument, NULL, 'S'},
                                          {"destination", required_argument, NULL, 'D'},
                                          {0}};
    struct replay_options options = {.wire = {.pace = 1, .loops = 1}};
    char *end;
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'j':
            options.json = true;
            break;
        case 'e':
            options.events = true;
            break;
        case 'c':
            options.config = optarg;
            break;
        case 'o':
            options.output = optarg;
            break;
        case 's':
            options.symbol = optarg;
            break;
        case 'u':
            options.until_seq = strtoull(optarg, &end, 10);
            if (*end != 0 || options.until_seq == 0) {
                fprintf(stderr, "sluice: replay: --until %s: give the number of a record\n",
                        optarg);
                return 2;
            }
            break;
        case 'a':
            if (!parse_time(optarg, &options.until_time_ns)) {
                fprintf(stderr,
                        "sluice: replay: --at %s: give a time of day, HH:MM:SS[.fraction]\n",
                        optarg);
                return 2;
            }
            break;
        case 'i':
            options.wire.interface = optarg;
            break;
        case 'p':
            options.wire.pace = strtod(optarg, &end);
            if (strcmp(optarg, "full") == 0) {
                options.wire.pace = 0;
            } else if (*end != 0 ||
                       !(options.wire.pace >= PACE_MIN && options.wire.pace <= PACE_MAX)) {
                fprintf(stderr,
                        "sluice: replay: --pace %s: give a factor, 0.000001 to 1000000, or full\n",
                        optarg);
                return 2;
            }
            break;
        case 'h':
            options.hgrm = optarg;
            break;
        case 'l':
            options.wire.loops = (uint32_t)strtoul(optarg, &end, 10);
            if (*end != 0 || options.wire.loops == 0) {
                fprintf(stderr, "sluice: replay: --loops %s: give a number above 0\n", optarg);
                return 2;
            }
            break;
        case 'S':
        case 'D':
            if (!replay_wire_parse(optarg, option == 'S' ? &options.wire.source
                                                         : &options.wire.destination)) {
                fprintf(stderr,
                        "sluice: replay: %s: give MAC, ADDRESS[:PORT] or MAC,ADDRESS[:PORT]\n",
                        optarg);
                return 2;
            }
            options.wire.rewrites = true;
            break;
        default:
            return 2;
        }
    }
    if (optind + 1 != argc) {
        fprintf(
            stderr,
            "sluice: usage: sluice replay [--json] [--events] [--until SEQ] [--at HH:MM:SS] "
            "JOURNAL-FOLDER | [--symbol NAME] TAPE | --config FILE [--output OUT.pcap] "
            "CAPTURE.pcap |\n"
            "       --interface NAME [--pace FACTOR|full] [--loops N] [--hgrm FILE]\n"
            "       [--source END] [--destination END] CAPTURE.pcap, END: [MAC,]ADDRESS[:PORT]\n");
        return 2;
    }
    options.input = argv[optind];
    return options.wire.interface ? run_on_wire(&options) : run(&options);
}
