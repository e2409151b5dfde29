// SPDX-License-Identifier: MIT
#include "dataplane/capture.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/capture_file.h"
#include "dataplane/gateway.h"
#include "numa/clock.h"
#include "xdp/loader.h"

#define SECOND_NS       1000000000ull
#define NAP_NS          1000000          // between rounds that found little
#define LITTLE          64u              // packets
#define JOIN_NS         (10 * SECOND_NS) // the gateway looks for readers once a second
#define LIVE_BUFFER     (16 << 20)
#define LIVE_TIMEOUT_MS 10 // after which the kernel hands over a block that is not full

// What both ways of capturing have: a filter, a file, limits, counts.
struct capture {
    const struct capture_options *options;
    const _Atomic bool *stop;
    struct capture_report *report;
    struct capture_file file;
    struct bpf_program program;
    bool filtering; // by `program`
    uint64_t until_ns;
};

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

static bool asked_to_stop(const struct capture *capture)
{
    return atomic_load_explicit(capture->stop, memory_order_relaxed);
}

static bool counted_out(const struct capture *capture)
{
    return (capture->options->count > 0 && capture->report->captured >= capture->options->count) ||
           capture->file.pipe_closed;
}

static bool over(const struct capture *capture)
{
    return counted_out(capture) || asked_to_stop(capture) ||
           (capture->until_ns > 0 && clock_raw_ns() >= capture->until_ns);
}

static void begin(struct capture *capture, const char *what)
{
    if (capture->options->duration_ns > 0)
        capture->until_ns = clock_raw_ns() + capture->options->duration_ns;
    fprintf(stderr, "sluice: capture: capturing %s into %s\n", what, capture->file.path);
}

static int compile_filter(struct capture *capture, pcap_t *pcap, struct error *error)
{
    const char *filter = capture->options->filter;
    if (!filter)
        return 0;
    if (pcap_compile(pcap, &capture->program, filter, 1, PCAP_NETMASK_UNKNOWN))
        return error_set(error, "--filter \"%s\": %s; pcap-filter(7) explains them", filter,
                         pcap_geterr(pcap));
    capture->filtering = true;
    return 0;
}

static int finish(struct capture *capture, int result, struct error *error)
{
    struct error last;
    if (capture_file_close(&capture->file, &last) && result == 0)
        result = error_set(error, "%s", last.text);
    if (capture->filtering)
        pcap_freecode(&capture->program);
    capture->report->files = capture->file.count;
    return result;
}

// --- From a gateway's taps

struct source {
    struct tap_reader reader;
    struct tap_record record; // the next one to be written
    uint8_t bytes[TAP_RECORD_MAX];
    bool held;      // there is one
    uint64_t until; // records of this round
};

struct gateway_capture {
    struct capture capture;
    uint32_t source_count;
    struct source sources[CONFIG_PORTS_MAX];
};

static int attach(struct gateway_capture *from, const struct config *config, struct error *error)
{
    struct error why;
    char path[64];
    for (uint32_t i = 0; i < config->port_count; i++) {
        gateway_tap_path(config, i, path);
        if (tap_attach(&from->sources[i].reader, path, &why))
            return error_set(error,
                             "no gateway \"%s\" runs here that could be captured from: %s; start "
                             "it, or name an interface with --interface",
                             config->name, why.text);
        from->source_count++;
    }
    return 0;
}

static bool any_ended(const struct gateway_capture *from)
{
    for (uint32_t i = 0; i < from->source_count; i++)
        if (tap_ended(&from->sources[i].reader))
            return true;
    return false;
}

// Until the gateway knows of us, at all of its ports.
static int join(struct gateway_capture *from, struct error *error)
{
    uint64_t give_up_ns = clock_raw_ns() + JOIN_NS;
    for (uint32_t i = 0; i < from->source_count; i++) {
        while (!tap_joined(&from->sources[i].reader)) {
            if (asked_to_stop(&from->capture))
                return 0;
            if (any_ended(from))
                return error_set(error, "the gateway has ended");
            if (clock_raw_ns() > give_up_ns)
                return error_set(error, "the gateway does not answer: is it stopped?");
            nap();
        }
        // All have their locks before any of them is waited for.
        for (uint32_t j = i + 1; j < from->source_count; j++)
            tap_joined(&from->sources[j].reader);
    }
    return 0;
}

static int take(struct capture *capture, const struct source *source, struct error *error)
{
    struct capture_report *report = capture->report;
    const struct tap_record *record = &source->record;
    struct pcap_pkthdr header = {.caplen = record->size, .len = record->size};
    if (capture->filtering && !pcap_offline_filter(&capture->program, &header, source->bytes)) {
        report->filtered++;
        return 0;
    }
    report->captured++;
    report->bytes += record->size;
    *(record->kind == PORT_SENT ? &report->sent : &report->received) += 1;
    return capture_file_put(&capture->file, record->time_ns, source->bytes, record->size,
                            record->size, error);
}

static struct source *oldest_of(struct gateway_capture *from)
{
    struct source *oldest = NULL;
    for (uint32_t i = 0; i < from->source_count; i++) {
        struct source *source = &from->sources[i];
        if (!source->held && (int64_t)(source->until - source->reader.next) > 0)
            source->held = tap_read(&source->reader, &source->record, source->bytes);
        if (source->held && (!oldest || source->record.time_ns < oldest->record.time_ns))
            oldest = source;
    }
    return oldest;
}

// What is there now, by time. The number of packets, or -1 with `error`.
static int merge(struct gateway_capture *from, struct error *error)
{
    struct source *oldest;
    int count = 0;
    for (uint32_t i = 0; i < from->source_count; i++)
        from->sources[i].until = tap_published(&from->sources[i].reader);
    while (!counted_out(&from->capture) && (oldest = oldest_of(from))) {
        oldest->held = false;
        count++;
        if (take(&from->capture, oldest, error))
            return -1;
    }
    return capture_file_flush(&from->capture.file, error) ? -1 : count;
}

static int follow(struct gateway_capture *from, struct error *error)
{
    struct capture_report *report = from->capture.report;
    while (!over(&from->capture)) {
        report->ended = any_ended(from); // before the round, which then is the last one
        int count = merge(from, error);
        if (count < 0)
            return -1;
        if (report->ended)
            return 0;
        if (count < (int)LITTLE)
            nap();
    }
    return merge(from, error) < 0 ? -1 : 0;
}

int capture_gateway(const struct config *config, const struct capture_options *options,
                    const _Atomic bool *stop, struct capture_report *report, struct error *error)
{
    memset(report, 0, sizeof(*report));
    struct gateway_capture *from = calloc(1, sizeof(*from));
    if (!from)
        return error_set(error, "no memory");
    from->capture = (struct capture){.options = options, .stop = stop, .report = report};
    char what[64];
    snprintf(what, sizeof(what), "%u port%s of gateway %s", config->port_count,
             config->port_count == 1 ? "" : "s", config->name);
    int result = -1;
    if (attach(from, config, error) == 0 &&
        capture_file_open(&from->capture.file, options, DLT_EN10MB, error) == 0 &&
        compile_filter(&from->capture, from->capture.file.format, error) == 0 &&
        join(from, error) == 0) {
        begin(&from->capture, what);
        result = follow(from, error);
    }
    for (uint32_t i = 0; i < from->source_count; i++) {
        report->lost += from->sources[i].reader.lost;
        tap_detach(&from->sources[i].reader);
    }
    result = finish(&from->capture, result, error);
    free(from);
    return result;
}

// --- From an interface

struct live {
    struct capture capture;
    pcap_t *pcap;
    const char *stamps;
    int result;
    struct error *error;
};

// The adapter's own stamps, where it has them; those on the host's clock rather than on its own.
// What they are, in words.
static const char *choose_stamps(pcap_t *pcap)
{
    int *types, chosen = -1, count = pcap_list_tstamp_types(pcap, &types);
    for (int i = 0; i < count; i++)
        if (types[i] == PCAP_TSTAMP_ADAPTER ||
            (types[i] == PCAP_TSTAMP_ADAPTER_UNSYNCED && chosen < 0))
            chosen = types[i];
    if (count > 0)
        pcap_free_tstamp_types(types);
    bool adapter = chosen >= 0 && pcap_set_tstamp_type(pcap, chosen) == 0;
    return adapter ? pcap_tstamp_type_val_to_description(chosen) : "the kernel's";
}

static void warn_of_program(const char *interface)
{
    uint32_t program = steer_program_on(interface);
    if (program != 0)
        warn("%s has an XDP program (id %u): what it redirects does not come by here, and what a "
             "gateway sends does not either; `sluice capture --config FILE` sees both",
             interface, program);
}

static int open_interface(struct live *live, const char *interface)
{
    char why[PCAP_ERRBUF_SIZE];
    live->pcap = pcap_create(interface, why);
    if (!live->pcap)
        return error_set(live->error, "%s: %s", interface, why);
    pcap_set_snaplen(live->pcap, CAPTURE_PACKET_MAX);
    pcap_set_promisc(live->pcap, 1);
    pcap_set_timeout(live->pcap, LIVE_TIMEOUT_MS);
    pcap_set_buffer_size(live->pcap, LIVE_BUFFER);
    live->stamps = choose_stamps(live->pcap);
    if (pcap_set_tstamp_precision(live->pcap, PCAP_TSTAMP_PRECISION_NANO))
        return error_set(live->error, "%s: no time stamps in nanoseconds here", interface);
    int result = pcap_activate(live->pcap);
    if (result < 0)
        return error_set(live->error, "%s: %s: %s", interface, pcap_statustostr(result),
                         pcap_geterr(live->pcap));
    if (pcap_setnonblock(live->pcap, 1, why))
        return error_set(live->error, "%s: %s", interface, why);
    if (compile_filter(&live->capture, live->pcap, live->error))
        return -1;
    if (live->capture.filtering && pcap_setfilter(live->pcap, &live->capture.program))
        return error_set(live->error, "%s: %s", interface, pcap_geterr(live->pcap));
    return 0;
}

static void take_live(u_char *argument, const struct pcap_pkthdr *header, const u_char *bytes)
{
    struct live *live = (struct live *)argument;
    struct capture_report *report = live->capture.report;
    if (live->result || counted_out(&live->capture))
        return;
    report->captured++;
    report->bytes += header->caplen;
    uint64_t time_ns =
        (uint64_t)header->ts.tv_sec * SECOND_NS + (uint64_t)header->ts.tv_usec; // which are ns
    live->result = capture_file_put(&live->capture.file, time_ns, bytes, header->caplen,
                                    header->len, live->error);
}

// What the kernel hands over within `timeout_ms`.
static int receive(struct live *live, int timeout_ms)
{
    struct pollfd fd = {.fd = pcap_get_selectable_fd(live->pcap), .events = POLLIN};
    poll(&fd, 1, timeout_ms);
    if (pcap_dispatch(live->pcap, -1, take_live, (u_char *)live) < 0)
        return error_set(live->error, "%s", pcap_geterr(live->pcap));
    return live->result ? live->result : capture_file_flush(&live->capture.file, live->error);
}

static int follow_interface(struct live *live)
{
    while (!over(&live->capture))
        if (receive(live, LIVE_TIMEOUT_MS))
            return -1;
    // What the kernel has and has not handed over: two blocks' time.
    nap();
    return receive(live, 2 * LIVE_TIMEOUT_MS) || receive(live, 2 * LIVE_TIMEOUT_MS) ? -1 : 0;
}

int capture_interface(const char *interface, const struct capture_options *options,
                      const _Atomic bool *stop, struct capture_report *report, struct error *error)
{
    memset(report, 0, sizeof(*report));
    struct live live = {.capture = {.options = options, .stop = stop, .report = report},
                        .error = error};
    char what[128];
    int result = -1;
    if (open_interface(&live, interface) == 0 &&
        capture_file_open(&live.capture.file, options, pcap_datalink(live.pcap), error) == 0) {
        warn_of_program(interface);
        snprintf(what, sizeof(what), "%s (time stamps: %s)", interface, live.stamps);
        begin(&live.capture, what);
        result = follow_interface(&live);
        struct pcap_stat stat;
        if (pcap_stats(live.pcap, &stat) == 0)
            report->lost = stat.ps_drop;
    }
    result = finish(&live.capture, result, error);
    if (live.pcap)
        pcap_close(live.pcap);
    return result;
}
