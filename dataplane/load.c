// SPDX-License-Identifier: MIT
//
// sluice load: an open-loop load generator and latency probe.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "dataplane/load_client.h"
#include "dataplane/load_flow.h"
#include "dataplane/load_options.h"
#include "dataplane/load_pace.h"
#include "dataplane/load_report.h"
#include "dataplane/load_stages.h"
#include "dataplane/load_sweep.h"
#include "dataplane/load_tape.h"
#include "dataplane/load_wire.h"
#include "dataplane/verbs.h"
#include "numa/clock.h"
#include "numa/thread.h"

#define COUNT_DEFAULT       100000u
#define LOGIN_PATIENCE_NS   10000000000ull
#define NOISE_NS            500000000ull
#define CONTROL_INTERVAL_NS 50000u
#define PROGRESS_NS         1000000000ull
#define WATCH_MAX_NS        1000000000u // what is not answered or stamped by then will not be
#define CLOSED_LOOP_NS      60000000000u // so long it has intervals: when it ends is not known before
#define SWEEP_SECONDS       2u           // of each rate, unless there is a --count
// Unless pinned to a core of its own, the generator sleeps when nothing has happened for a while
// and nothing is due for longer than it is worth; it wakes as much earlier as waking up takes.
#define SPIN_NS             20000u
#define SLEEP_WORTH_NS      60000u
#define WAKE_UP_NS          30000u
#define SLEEP_MAX_NS        1000000u
// Closed loop: how long to wait for an answer before asking whether there will be one.
#define ASK_AFTER_NS        20000000u

// Where stamps were asked for: an Enter, one at a time, whose departure and whose answer's arrival
// are stamped.
struct watch {
    bool on;
    uint32_t session;
    uint64_t begun_ns;
    bool answered;
    uint64_t arrived_ns; // the answer, by the stamps
};

struct run {
    const struct load_options *options;
    struct load_day day;
    struct load_report *report;
    struct tsc_clock clock;
    struct load_client *clients;
    struct load_wire *wire;
    struct watch watch;
    uint64_t next; // step
    struct load_pace pace;
    uint64_t due_ns; // open loop: intended time of the next step
    uint64_t start_ns, last_send_ns, last_receive_ns, control_ns, progress_ns;
};

static int read_day(struct run *run, struct error *error)
{
    const struct load_options *options = run->options;
    struct load_report *report = run->report;
    static const char acme[1][8] = {{'A', 'C', 'M', 'E', ' ', ' ', ' ', ' '}};
    if (options->tape != NULL) {
        struct load_tape_options tape = {
            .count = options->count,
            .session_count = options->list ? 1 : options->user_count,
            .symbol_count = options->symbol_count,
            .symbols = options->symbols,
        };
        return load_tape_read(options->tape, &tape, &run->day, &report->tape_read, error);
    }
    bool named = options->symbol_count > 0;
    struct load_flow_options flow = {
        .seed = options->seed,
        .count = options->count == 0 ? COUNT_DEFAULT : options->count,
        .session_count = options->user_count,
        .symbol_count = named ? options->symbol_count : 1,
        .symbols = named ? options->symbols : acme,
    };
    return load_flow_generate(&flow, &run->day, error);
}

static int open_wire(struct run *run, struct error *error)
{
    const struct load_options *options = run->options;
    struct load_wire_options wire = {.to = options->to,
                                     .bind = options->bind,
                                     .interface = options->interface,
                                     .session_count = run->day.session_count,
                                     .stamps = options->stamps,
                                     .core = options->core,
                                     .clock = &run->clock};
    run->wire =
        options->interface ? load_wire_xdp_open(&wire, error) : load_wire_udp_open(&wire, error);
    return run->wire ? 0 : -1;
}

static int open_intervals(const struct run *run, struct error *error)
{
    const struct load_options *options = run->options;
    double rate = (double)(options->rate + options->rate_to) / 2;
    double duration_ns = rate > 0 ? (double)run->day.count / rate * 1e9 : CLOSED_LOOP_NS;
    return load_intervals_open(&run->report->intervals, (uint64_t)duration_ns, error);
}

static int run_open(struct run *run, struct error *error)
{
    const struct load_options *options = run->options;
    run->clients = calloc(run->day.session_count, sizeof(*run->clients));
    if (run->clients == NULL)
        return error_set(error, "load: no memory");
    for (uint32_t i = 0; i < run->day.session_count; i++) {
        struct load_client_options client = {
            .user_name = options->users[i].name,
            .password = options->users[i].password,
            .ref_count = run->day.refs[i],
            .cancel_count = run->day.cancels[i],
            .latency = &run->report->latency,
            .intervals = &run->report->intervals,
        };
        if (load_client_open(&run->clients[i], &client, error) != 0)
            return -1;
    }
    if (open_intervals(run, error) != 0)
        return -1;
    return open_wire(run, error);
}

static void run_close(struct run *run)
{
    for (uint32_t i = 0; run->clients != NULL && i < run->day.session_count; i++)
        load_client_close(&run->clients[i]);
    if (run->wire != NULL)
        run->wire->operations->close(run->wire);
    free(run->clients);
    load_day_free(&run->day);
}

// The run.

static bool failed(const struct run *run)
{
    return run->report->failure.text[0] != '\0';
}

static void measure_noise(struct run *run)
{
    struct load_noise *noise = &run->report->noise;
    uint64_t start = clock_ns(&run->clock);
    uint64_t before = start;
    uint64_t now = start;
    while (now - start < NOISE_NS) {
        now = clock_ns(&run->clock);
        uint64_t gap = now - before;
        before = now;
        noise->above_1us += gap > 1000;
        noise->above_10us += gap > 10000;
        noise->above_100us += gap > 100000;
        if (gap > noise->largest_ns)
            noise->largest_ns = gap;
    }
    noise->duration_ns = now - start;
}

// Of one session, in order: how many were taken, or -1 when none ever will be.
static int send_payloads(struct run *run, uint32_t index, const struct iovec *payloads,
                         uint32_t count)
{
    int sent = run->wire->operations->send(run->wire, index, payloads, count);
    if (sent < 0)
        error_set(&run->report->failure, "cannot send: %s; see `ip route` and the firewall",
                  strerror(errno));
    return sent;
}

// Of the Enter that `datagram`, which is sent next, begins with; if none is watched.
static void begin_watch(struct run *run, uint32_t index, const struct load_datagram *datagram)
{
    if (run->watch.on || datagram->first_ref == 0)
        return;
    run->watch = (struct watch){.on = true, .session = index, .begun_ns = clock_ns(&run->clock)};
    run->clients[index].watched = datagram->first_ref;
    run->wire->stamp_next = true;
    run->wire->left_ns = 0;
}

// Whether the answer was in the datagram that has just been looked at.
static void see_answer(struct run *run, const struct load_arrival *arrival)
{
    struct watch *watch = &run->watch;
    if (watch->answered || run->clients[watch->session].watched != 0)
        return;
    watch->answered = true;
    watch->arrived_ns = arrival->stamp_ns;
}

static void end_watch(struct run *run)
{
    struct watch *watch = &run->watch;
    uint64_t left_ns = run->wire->left_ns;
    bool known = watch->answered && left_ns != 0;
    if (!known && clock_ns(&run->clock) - watch->begun_ns < WATCH_MAX_NS)
        return;
    if (known && watch->arrived_ns > left_ns)
        histogram_record(&run->report->stamped, watch->arrived_ns - left_ns);
    watch->on = false;
}

// Sends what waits for one session; false while some of it still does, there being no room.
static bool flush(struct run *run, uint32_t index)
{
    struct load_client *client = &run->clients[index];
    while (client->datagram_count > 0) {
        struct iovec payloads[LOAD_DATAGRAMS_MAX];
        uint32_t count;
        const struct load_datagram *datagrams = load_client_waiting(client, &count);
        for (uint32_t i = 0; i < count; i++)
            payloads[i] = (struct iovec){(void *)datagrams[i].bytes, datagrams[i].size};
        if (run->options->stamps != PORT_STAMPS_SOFTWARE)
            begin_watch(run, index, &datagrams[0]);
        int sent = send_payloads(run, index, payloads, count);
        uint64_t now = clock_ns(&run->clock);
        run->wire->stamp_next = false; // nobody else's, where it was not sent
        if (sent <= 0)
            return false;
        for (int i = 0; i < sent; i++) {
            uint64_t lateness = now - datagrams[i].first_ns;
            if (lateness > run->report->lateness_ns && now > datagrams[i].first_ns)
                run->report->lateness_ns = lateness;
        }
        run->last_send_ns = now;
        load_client_sent(client, (uint32_t)sent, now);
    }
    return true;
}

static bool flush_all(struct run *run)
{
    bool empty = true;
    for (uint32_t i = 0; i < run->day.session_count; i++)
        empty &= flush(run, i);
    return empty;
}

static void receive(struct run *run)
{
    struct load_arrival arrivals[LOAD_ARRIVALS_MAX];
    uint32_t count = run->wire->operations->receive(run->wire, arrivals);
    for (uint32_t i = 0; i < count; i++) {
        const struct load_arrival *arrival = &arrivals[i];
        run->last_receive_ns = arrival->time_ns;
        load_client_receive(&run->clients[arrival->session], arrival->bytes, arrival->size,
                            arrival->time_ns);
        if (run->watch.on)
            see_answer(run, arrival);
    }
    if (run->watch.on)
        end_watch(run);
}

static void check_client(struct run *run, uint32_t index)
{
    const struct load_client *client = &run->clients[index];
    const char *name = run->options->users[index].name;
    if (failed(run))
        return;
    if (client->state == LOAD_REFUSED || client->state == LOAD_FAILED)
        error_set(&run->report->failure, "session %s: %s", name, client->failure);
    else if (client->state == LOAD_ENDED && run->next < run->day.count)
        error_set(&run->report->failure,
                  "session %s: the venue ended its day after %llu of %llu messages", name,
                  (unsigned long long)run->next, (unsigned long long)run->day.count);
}

static void print_progress(struct run *run, uint64_t now)
{
    if (!run->options->progress || now - run->progress_ns < PROGRESS_NS)
        return;
    run->progress_ns = now;
    uint64_t answered = 0;
    for (uint32_t i = 0; i < run->day.session_count; i++)
        answered += run->clients[i].answered;
    fprintf(stderr, "sluice: load: sent %llu of %llu, acknowledged %llu\n",
            (unsigned long long)run->next, (unsigned long long)run->day.count,
            (unsigned long long)answered);
}

// Logins, heartbeats, queries and retransmission requests, not more often than needs be.
static void control(struct run *run)
{
    uint8_t out[UFO_PAYLOAD_MAX];
    uint64_t now = clock_ns(&run->clock);
    if (now - run->control_ns < CONTROL_INTERVAL_NS)
        return;
    run->control_ns = now;
    for (uint32_t i = 0; i < run->day.session_count; i++) {
        size_t size;
        // What does not leave now is repeated by its timer.
        while ((size = load_client_poll(&run->clients[i], now, out)) > 0)
            send_payloads(run, i, &(struct iovec){out, size}, 1);
        check_client(run, i);
    }
    print_progress(run, now);
}

// Nothing to do before `until_ns`, unless something arrives.
static void idle(struct run *run, uint64_t until_ns)
{
    uint64_t now = clock_ns(&run->clock);
    if (run->report->spin || until_ns < now + SLEEP_WORTH_NS ||
        now < run->last_receive_ns + SPIN_NS || now < run->last_send_ns + SPIN_NS)
        return;
    uint64_t sleep_ns = until_ns - now - WAKE_UP_NS;
    if (sleep_ns > SLEEP_MAX_NS)
        sleep_ns = SLEEP_MAX_NS;
    struct pollfd fds[PORT_QUEUES_MAX];
    int count = run->wire->operations->poll_fds(run->wire, fds);
    struct timespec timeout = {.tv_nsec = (long)sleep_ns};
    ppoll(fds, (nfds_t)count, &timeout, NULL);
}

static void turn(struct run *run, uint64_t until_ns)
{
    receive(run);
    control(run);
    idle(run, until_ns);
}

static bool all_in(const struct run *run, enum load_client_state state)
{
    for (uint32_t i = 0; i < run->day.session_count; i++) {
        if (run->clients[i].state != state)
            return false;
    }
    return true;
}

static void log_in(struct run *run)
{
    uint64_t start = clock_ns(&run->clock);
    char text[INET_ADDRSTRLEN];
    const struct sockaddr_in *to = &run->options->to;
    while (!failed(run) && !all_in(run, LOAD_READY)) {
        uint64_t now = clock_ns(&run->clock);
        if (now - start > LOGIN_PATIENCE_NS)
            error_set(
                &run->report->failure,
                "no answer to the login from %s:%u in 10 s; see whether the gateway runs "
                "there%s, and whether another client holds the session (it is free again 10 s "
                "after that one falls silent)",
                inet_ntop(AF_INET, &to->sin_addr, text, sizeof(text)), ntohs(to->sin_port),
                run->options->interface ? ", whether it answers by --interface" : "");
        turn(run, now + SLEEP_MAX_NS);
    }
}

static void set_due(struct run *run)
{
    if (run->next < run->day.count)
        run->due_ns = run->start_ns + load_pace_next(&run->pace);
}

// A datagram that has just arrived may have ended the session.
static bool may_send(struct run *run, uint32_t session)
{
    check_client(run, session);
    return run->clients[session].state == LOAD_READY;
}

static void send_step(struct run *run, uint64_t intended)
{
    const struct load_step *step = &run->day.steps[run->next++];
    load_client_send(&run->clients[step->session], step, run->day.symbols[step->symbol], intended);
}

// Puts every message that is due into datagrams and sends them. On a tape, a session's datagram
// leaves before another session's message is looked at: the tape's order is the venue's.
static void send_due(struct run *run)
{
    uint64_t now = clock_ns(&run->clock);
    if (run->day.ordered && !flush_all(run))
        return;
    while (run->next < run->day.count && run->due_ns <= now) {
        uint32_t session = run->day.steps[run->next].session;
        if (!may_send(run, session) || !load_client_room(&run->clients[session]))
            break;
        send_step(run, run->due_ns);
        set_due(run);
        bool last = run->next == run->day.count || run->day.steps[run->next].session != session;
        if (run->day.ordered && last && !flush(run, session))
            return;
    }
    flush_all(run);
}

static void begin_at(struct run *run, uint64_t start_ns)
{
    run->start_ns = start_ns;
    for (uint32_t i = 0; i < run->day.session_count; i++)
        run->clients[i].start_ns = start_ns;
}

static void play_open_loop(struct run *run)
{
    begin_at(run, clock_ns(&run->clock) + 1000000);
    set_due(run);
    while (!failed(run) && run->next < run->day.count) {
        send_due(run);
        turn(run, run->next < run->day.count ? run->due_ns : 0);
    }
}

// A Cancel or Replace of an order that is known to be gone is answered by silence.
static bool futile(const struct run *run, const struct load_step *step)
{
    const struct load_client *client = &run->clients[step->session];
    if (step->kind == LOAD_ENTER)
        return false;
    return load_client_order_gone(client, step->kind == LOAD_CANCEL ? step->ref : step->orig_ref);
}

static void play_one(struct run *run)
{
    const struct load_step *step = &run->day.steps[run->next];
    struct load_client *client = &run->clients[step->session];
    uint64_t answered = client->answered;
    bool asked = false;
    if (!may_send(run, step->session))
        return;
    bool ask_now = futile(run, step);
    uint64_t sent_ns = clock_ns(&run->clock);
    send_step(run, sent_ns);
    while (!failed(run) && client->answered == answered &&
           !(asked && load_client_settled(client))) {
        uint64_t now = clock_ns(&run->clock);
        if (flush(run, step->session) && !asked && (ask_now || now - sent_ns > ASK_AFTER_NS)) {
            load_client_query(client);
            asked = true;
        }
        if (now - sent_ns > run->options->timeout_s * 1000000000u)
            error_set(&run->report->failure, "message %llu was not answered in %llu s",
                      (unsigned long long)run->next, (unsigned long long)run->options->timeout_s);
        turn(run, now + SLEEP_MAX_NS);
    }
}

static void play_closed_loop(struct run *run)
{
    begin_at(run, clock_ns(&run->clock));
    while (!failed(run) && run->next < run->day.count)
        play_one(run);
}

static bool all_settled(const struct run *run)
{
    for (uint32_t i = 0; i < run->day.session_count; i++) {
        if (!load_client_settled(&run->clients[i]))
            return false;
    }
    return true;
}

// Whether all sessions settle before `deadline_ns`.
static bool settle(struct run *run, uint64_t deadline_ns)
{
    bool flushed = false;
    while (!failed(run) && clock_ns(&run->clock) < deadline_ns) {
        if (!flushed && flush_all(run)) {
            flushed = true;
            for (uint32_t i = 0; i < run->day.session_count; i++)
                load_client_query(&run->clients[i]);
            run->control_ns = 0;
        }
        if (flushed && all_settled(run))
            return true;
        turn(run, clock_ns(&run->clock) + SLEEP_MAX_NS);
    }
    return false;
}

static void log_off(struct run *run)
{
    uint8_t out[UFO_PAYLOAD_MAX];
    size_t size = load_client_logoff(out);
    for (uint32_t i = 0; i < run->day.session_count; i++) {
        if (run->clients[i].state != LOAD_LOGGING_IN && run->clients[i].state != LOAD_REFUSED)
            run->wire->operations->send(run->wire, i, &(struct iovec){out, size}, 1);
    }
}

static void *run_main(void *argument)
{
    struct run *run = argument;
    struct load_report *report = run->report;
    prctl(PR_SET_TIMERSLACK, 1);
    measure_noise(run);
    log_in(run);
    if (!failed(run)) {
        if (run->options->rate == 0)
            play_closed_loop(run);
        else
            play_open_loop(run);
        uint64_t deadline = clock_ns(&run->clock) + run->options->timeout_s * 1000000000u;
        // Twice: after the first, the venue has worked on everything; what the last messages did to
        // orders of another session may have been told to that one after its response.
        report->settled = settle(run, deadline) && settle(run, deadline);
        report->sending_ns =
            run->last_send_ns > run->start_ns ? run->last_send_ns - run->start_ns : 0;
    }
    log_off(run);
    return NULL;
}

static int run_on_core(struct run *run, struct error *error)
{
    if (run->options->core == THREAD_ANY_CORE) {
        run_main(run);
        return 0;
    }
    pthread_t thread;
    if (thread_start(&thread, "load", run->options->core, run_main, run, error) != 0)
        return -1;
    pthread_join(thread, NULL);
    return 0;
}

static int write_hgrm(const struct load_report *report, const char *path, struct error *error)
{
    FILE *stream = fopen(path, "w");
    int status = -1;
    if (stream != NULL)
        status = histogram_write_hgrm(&report->latency, stream, 1000.0);
    if (stream != NULL && fclose(stream) != 0)
        status = -1;
    return status == 0
               ? 0
               : error_set(error, "load: cannot write the histogram %s: %s", path, strerror(errno));
}

static int begin_pace(struct run *run, struct error *error)
{
    const struct load_options *options = run->options;
    const uint64_t *times = run->day.times;
    uint64_t count = run->day.count;
    if (options->arrivals == LOAD_TAPE && times[count - 1] == times[0])
        return error_set(error, "load: --arrivals tape: all orders of %s have the same time",
                         options->tape);
    run->pace = (struct load_pace){.arrivals = options->arrivals,
                                   .rate = (double)options->rate,
                                   .rate_to = (double)options->rate_to,
                                   .count = count,
                                   .seed = ~options->seed, // not the numbers that made the day
                                   .times = times};
    return 0;
}

static void begin_report(const struct run *run)
{
    const struct load_options *options = run->options;
    struct load_report *report = run->report;
    report->closed_loop = options->rate == 0;
    report->spin = options->core != THREAD_ANY_CORE;
    report->tape = options->tape;
    report->seed = options->seed;
    report->session_count = run->day.session_count;
    report->symbol_count = run->day.symbol_count;
    report->planned = run->day.count;
    report->arrivals = options->arrivals;
    report->stamps = options->stamps;
    report->rate = options->rate;
    report->rate_to = options->rate_to;
    histogram_reset(&report->latency);
    histogram_reset(&report->stamped);
}

static int play_day(struct run *run, struct error *error)
{
    if (read_day(run, error) != 0 || begin_pace(run, error) != 0)
        return -1;
    begin_report(run);
    clock_calibrate(&run->clock, 50);
    if (run_open(run, error) != 0 || run_on_core(run, error) != 0)
        return -1;
    run->wire->operations->read_counters(run->wire);
    run->report->wire_mode = run->wire->mode;
    run->report->wire = run->wire->counters;
    for (uint32_t i = 0; i < run->day.session_count; i++)
        load_report_add(run->report, &run->clients[i]);
    return 0;
}

// One run of `options` into `report`, which is all 0. 0, or -1 with `error` when it could not
// begin.
static int play(const struct load_options *options, struct load_report *report, struct error *error)
{
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return error_set(error, "load: no memory");
    *run = (struct run){.options = options, .report = report};
    int status = play_day(run, error);
    run_close(run);
    free(run);
    return status;
}

// Asked before, too: whether the gateway answers is known before anything is sent.
static int ask_stages(const struct load_options *options, struct load_report *report,
                      struct error *error)
{
    if (options->config == NULL)
        return 0;
    json_decref(report->stages);
    report->stages = load_stages_ask(options->config, &options->to, error);
    return report->stages == NULL ? -1 : 0;
}

static int play_once(const struct load_options *options, struct load_report *report,
                     struct error *error)
{
    if (ask_stages(options, report, error) != 0 || play(options, report, error) != 0 ||
        ask_stages(options, report, error) != 0)
        return -1;
    int printed =
        options->json ? load_report_print_json(report, stdout) : load_report_print(report, stdout);
    if (printed != 0)
        return error_set(error, "load: cannot write the report: %s", strerror(errno));
    if (options->hgrm != NULL && write_hgrm(report, options->hgrm, error) != 0)
        return -1;
    return load_report_check(report, error);
}

// A rate that is too much for the venue is what a sweep looks for, and no error.
static int sweep(const struct load_options *options, struct load_report *reports, uint32_t count,
                 struct error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        struct load_options one = *options;
        one.rate = one.rate_to = options->rate + i * options->sweep_step;
        if (one.count == 0 && one.tape == NULL)
            one.count = one.rate < LOAD_COUNT_MAX / SWEEP_SECONDS ? SWEEP_SECONDS * one.rate
                                                                  : LOAD_COUNT_MAX;
        if (play(&one, &reports[i], error) != 0)
            return -1;
    }
    int printed = options->json ? load_sweep_print_json(reports, count, stdout)
                                : load_sweep_print(reports, count, stdout);
    if (printed != 0)
        return error_set(error, "load: cannot write the report: %s", strerror(errno));
    return load_report_check(&reports[0], error);
}

// --list: the symbols that a venue has to list before the tape can be played to it.
static int list_symbols(const struct load_options *options, struct load_report *report,
                        struct error *error)
{
    struct run run = {.options = options, .report = report};
    int status = read_day(&run, error);
    for (uint32_t i = 0; status == 0 && i < run.day.symbol_count; i++)
        printf("%.8s\n", run.day.symbols[i]);
    load_day_free(&run.day);
    return status;
}

static int load(const struct load_options *options, struct error *error)
{
    uint32_t count = 1;
    if (options->sweep_step > 0)
        count += (uint32_t)((options->rate_to - options->rate) / options->sweep_step);
    struct load_report *reports = calloc(count, sizeof(*reports));
    int status;
    if (reports == NULL)
        status = error_set(error, "load: no memory");
    else if (options->list)
        status = list_symbols(options, reports, error);
    else if (options->sweep_step > 0)
        status = sweep(options, reports, count, error);
    else
        status = play_once(options, reports, error);
    if (reports != NULL)
        json_decref(reports->stages);
    for (uint32_t i = 0; reports != NULL && i < count; i++)
        load_intervals_close(&reports[i].intervals);
    free(reports);
    return status;
}

int verb_load(int argc, char **argv)
{
    struct load_options options;
    struct error error = {""};
    if (load_options_parse(argc, argv, &options, &error) != 0) {
        fprintf(stderr, "sluice: %s\n", error.text);
        return 2;
    }
    int status = load(&options, &error);
    if (status != 0)
        fprintf(stderr, "sluice: %s\n", error.text);
    return status == 0 ? 0 : 1;
}
