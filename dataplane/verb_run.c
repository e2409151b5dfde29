// SPDX-License-Identifier: MIT
//
// sluice run: the gateway until it is told to stop. SIGTERM or SIGINT: stop, drained. SIGUSR1:
// print the counters. SIGUSR2: end the trading day.
#include "dataplane/verbs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/calendar.h"
#include "dataplane/clock_watch.h"
#include "dataplane/control.h"
#include "dataplane/gateway.h"
#include "dataplane/report.h"
#include "numa/clock.h"
#include "numa/sandbox.h"

static void say(json_t *message, bool json, const char *headline)
{
    if (json) {
        json_dumpf(message, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        printf("%s\n", headline);
        report_print(message, stdout);
    }
    fflush(stdout);
    json_decref(message);
}

static json_t *ready_message(struct gateway *gateway, uint64_t started_ns)
{
    json_t *shards = json_array(), *ports = json_array();
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        const struct lane *lane = gateway->lanes[i];
        json_array_append_new(shards,
                              json_pack("{s:i, s:I, s:I, s:o, s:s#, s:I}", "shard", (int)i,
                                        "recovered", (json_int_t)lane->recovered_count, "snapshot",
                                        (json_int_t)lane->recovered_from, "recovered_hash",
                                        report_hash(lane->recovered_hash), "session",
                                        lane->entry.session_id, (int)sizeof(lane->entry.session_id),
                                        "udp_port", (json_int_t)lane->place->udp_port));
    }
    for (uint32_t i = 0; i < gateway->config->port_count; i++)
        json_array_append_new(ports, json_pack("{s:s, s:o, s:s}", "interface",
                                               gateway->ports[i].place->interface, "queues",
                                               report_queues(gateway->ports[i].place), "mode",
                                               gateway->ports[i].port->mode));
    return json_pack("{s:s, s:f, s:s, s:o, s:o}", "event", "ready", "seconds",
                     (double)(clock_ns(&gateway->clock) - started_ns) * 1e-9, "sandbox",
                     sandbox_state(), "ports", ports, "shards", shards);
}

static json_t *counters_message(struct gateway *gateway, const char *event)
{
    json_t *message = report_gateway(gateway);
    json_object_set_new(message, "event", json_string(event));
    return message;
}

static json_t *stopped_message(struct gateway *gateway)
{
    json_t *message = counters_message(gateway, "stopped");
    json_t *shards = json_object_get(message, "shards");
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        const struct book *book = gateway->lanes[i]->shard.book;
        struct book_summary summary;
        book_summarise(book, &summary);
        json_t *shard = json_array_get(shards, i);
        json_object_set_new(shard, "state_hash", report_hash(book_hash(book)));
        json_object_set_new(shard, "commands", json_integer((json_int_t)summary.seq));
        json_object_set_new(shard, "executions", json_integer((json_int_t)summary.match_count));
        json_object_set_new(shard, "resting_orders", json_integer(summary.order_count));
    }
    return message;
}

// What the main thread sees to once a second.
struct rounds {
    struct calendar calendar;
    struct clock_watch clock_watch;
};

// The clock first: the calendar goes by it, and may end what should not trade. 0, or -1 where
// something is not done.
static int go_round(struct rounds *rounds, const struct gateway *gateway)
{
    int result = clock_watch_tick(&rounds->clock_watch);
    return calendar_tick(&rounds->calendar, clock_wall_ns(&gateway->clock)) || result ? -1 : 0;
}

static void close_day(struct gateway *gateway, const siginfo_t *by)
{
    struct error error;
    char actor[CONTROL_ACTOR_SIZE];
    control_actor(actor, by->si_uid, by->si_pid);
    if (gateway_close_day(gateway, actor, &error))
        warn("the end of the day: %s", error.text);
}

// Runs until a signal says stop, or an interface is gone. The signals are blocked in every thread.
static int serve(struct gateway *gateway, struct rounds *rounds, struct control *control,
                 const sigset_t *signals, bool json)
{
    const struct timespec second = {.tv_sec = 1};
    bool all_there = true;
    while (all_there) {
        siginfo_t signal;
        int signal_number = sigtimedwait(signals, &signal, &second);
        if (signal_number == SIGUSR1)
            say(counters_message(gateway, "counters"), json, "counters");
        else if (signal_number == SIGUSR2)
            close_day(gateway, &signal);
        else if (signal_number >= 0)
            break;
        go_round(rounds, gateway);
        if (signal_number < 0)
            all_there = gateway_watch(gateway);
    }
    struct error error;
    control_close(control);
    int result = gateway_stop(gateway, &error);
    if (result)
        fprintf(stderr, "sluice: %s\n", error.text);
    say(stopped_message(gateway), json, "stopped");
    return result || !all_there ? 1 : 0;
}

// What is due by the calendar, and by a clock that is wrong, is done before anybody is let in.
static int open_trading(struct gateway *gateway, struct rounds *rounds, struct error *error)
{
    if (go_round(rounds, gateway))
        return error_set(error, "what is due by the calendar or the clock was not done: nobody is "
                                "let in");
    return gateway_let_in(gateway, error);
}

// What the configuration can have wrong is found before packets are let in; the control socket's
// thread needs a gateway that runs.
static int start(struct gateway *gateway, struct rounds *rounds, struct control **control,
                 struct error *error)
{
    *control = NULL;
    bool wanted = gateway->config->control.socket[0];
    if (wanted && !(*control = control_open(gateway, error)))
        return -1;
    if (gateway_start(gateway, error) || open_trading(gateway, rounds, error) ||
        (wanted && control_start(*control, error))) {
        control_close(*control);
        return -1;
    }
    gateway_shut_in();
    return 0;
}

static int run(const char *path, bool json)
{
    struct error error;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    json_object_seed(0); // from /dev/urandom, which is out of reach in the sandbox
    uint64_t started_ns = clock_raw_ns();
    struct config *config = config_load(path, &error);
    struct gateway *gateway = config ? gateway_open(config, &error) : NULL;
    struct rounds rounds = {.clock_watch.gateway = gateway};
    struct control *control;
    if (gateway)
        calendar_open(&rounds.calendar, gateway);
    if (!gateway || start(gateway, &rounds, &control, &error)) {
        fprintf(stderr, "sluice: %s\n", error.text);
        return 1; // threads, sockets and the program end with the process
    }
    say(ready_message(gateway, started_ns), json, "ready");
    int status = serve(gateway, &rounds, control, &signals, json);
    gateway_free(gateway);
    return status;
}

int verb_run(int argc, char **argv)
{
    const char *path;
    bool json;
    return verb_config_options(argc, argv, &path, &json) ? run(path, json) : 2;
}
