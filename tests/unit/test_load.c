// SPDX-License-Identifier: MIT
//
// Whole runs of `sluice load` against a venue on the loopback interface: the real book behind a
// simple UFO server, which can lose datagrams either way.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/ouch.h"
#include "dataplane/symbols.h"
#include "dataplane/verbs.h"
#include "tests/unit/load_parts.h"

#define VENUE_SESSIONS 4
#define VENUE_HISTORY  200000

struct venue_session {
    struct sockaddr_in client;
    bool bound;
    uint32_t next, sent; // of the stream, from 1
    struct {
        uint8_t size, bytes[OUCH_OUT_SIZE_MAX];
    } * messages;
};

struct venue {
    int fd;
    uint16_t port;
    pthread_t thread;
    bool started;
    _Atomic bool stop;
    uint32_t lose_upstream, lose_downstream; // every n-th datagram with orders, or answers; 0 none
    uint32_t end_after;                      // orders, 0 never
    uint32_t upstream, downstream, orders;
    bool ended, one_side_only;
    struct matcher *matcher;
    struct symbols symbols;
    uint64_t symbols_memory[8192];
    struct venue_session sessions[VENUE_SESSIONS];
};

static void venue_send(struct venue *venue, struct venue_session *session, const void *bytes,
                       size_t size)
{
    sendto(venue->fd, bytes, size, 0, (void *)&session->client, sizeof(session->client));
}

static void venue_publish(struct venue *venue, struct venue_session *session, uint32_t *from,
                          uint32_t end)
{
    struct packet_out out = from_sequence(*from);
    while (*from < end && out.size + 2 + session->messages[*from].size <= UFO_PAYLOAD_MAX) {
        add_message(&out, session->messages[*from].bytes, session->messages[*from].size);
        (*from)++;
    }
    finish_packet(&out);
    venue->downstream++;
    if (venue->lose_downstream == 0 || venue->downstream % venue->lose_downstream != 0)
        venue_send(venue, session, out.bytes, out.size);
}

static void venue_events(struct event_sink *sink)
{
    struct venue *venue = sink->context;
    for (struct event *event = venue->matcher->events; event < sink->next; event++) {
        if (event->session == FEED_SESSION || event->type == EVENT_SYSTEM)
            continue;
        if (venue->one_side_only && event->type == EVENT_EXECUTED && event->code == 'A')
            continue;
        struct venue_session *session = &venue->sessions[event->session];
        cr_assert_lt(session->next, VENUE_HISTORY);
        session->messages[session->next].size =
            (uint8_t)ouch_encode(event, &venue->symbols, session->messages[session->next].bytes);
        session->next++;
    }
    sink->next = venue->matcher->events;
}

static void venue_block(struct venue *venue, struct venue_session *session, struct ufo_block block)
{
    struct command command;
    if (block.message[0] == UFO_LOGOFF)
        session->bound = false;
    if (block.message[0] == UFO_RETRANSMIT) {
        const struct ufo_retransmit *request = (const void *)block.message;
        uint32_t from = be32_load(request->sequence);
        uint32_t end = from + be16_load(request->count);
        if (from < session->sent)
            venue_publish(venue, session, &from, end < session->sent ? end : session->sent);
    }
    if (block.message[0] != UFO_UNSEQUENCED || venue->ended)
        return;
    cr_assert_eq(ouch_decode(block.message + 1, block.size - 1u, &venue->symbols, "FIRM", &command),
                 OUCH_OK);
    command.session = (uint16_t)(session - venue->sessions);
    book_apply(venue->matcher->book, &command, &venue->matcher->sink);
    venue_events(&venue->matcher->sink);
    venue->orders += command.type != COMMAND_QUERY;
    venue->ended = venue->orders == venue->end_after && venue->end_after != 0;
}

// Users are named by a digit: USER0 to USER3; any other name is refused.
static void venue_login(struct venue *venue, const struct ufo_login *login,
                        const struct sockaddr_in *from)
{
    struct venue_session *session = &venue->sessions[login->user_name[4] & 3];
    if (memcmp(login->user_name, "USER", 4) != 0) {
        sendto(venue->fd, "JA", 2, 0, (const void *)from, sizeof(*from));
        return;
    }
    struct ufo_login_accept accept = {
        .type = UFO_LOGIN_ACCEPT, .session = "SESSION001", .sequence = be32_of(session->sent)};
    session->client = *from;
    session->bound = true;
    venue_send(venue, session, &accept, sizeof(accept));
}

static void venue_datagram(struct venue *venue, const uint8_t *bytes, size_t size,
                           const struct sockaddr_in *from)
{
    uint32_t count;
    const uint8_t *cursor = bytes;
    cr_assert_eq(ufo_check(bytes, size, &count), UFO_OK);
    if (bytes[2] == UFO_LOGIN) {
        venue_login(venue, (const void *)(bytes + 2), from);
        return;
    }
    if (bytes[2] == UFO_UNSEQUENCED && bytes[3] != OUCH_QUERY && venue->lose_upstream != 0 &&
        ++venue->upstream % venue->lose_upstream == 0)
        return;
    for (int i = 0; i < VENUE_SESSIONS; i++) {
        struct venue_session *session = &venue->sessions[i];
        if (!session->bound || session->client.sin_port != from->sin_port)
            continue;
        for (uint32_t block = 0; block < count; block++)
            venue_block(venue, session, ufo_next(&cursor));
    }
}

static void venue_flush(struct venue *venue, bool heartbeat)
{
    for (int i = 0; i < VENUE_SESSIONS; i++) {
        struct venue_session *session = &venue->sessions[i];
        struct ufo_end end = {.type = UFO_END, .message_count = be32_of(session->next - 1)};
        struct ufo_sequenced idle = {.type = UFO_SEQUENCED, .sequence = be32_of(session->sent)};
        while (session->bound && session->sent < session->next)
            venue_publish(venue, session, &session->sent, session->next);
        if (session->bound && heartbeat && venue->ended)
            venue_send(venue, session, &end, sizeof(end));
        else if (session->bound && heartbeat)
            venue_send(venue, session, &idle, sizeof(idle));
    }
}

static void *venue_main(void *argument)
{
    struct venue *venue = argument;
    while (!venue->stop) {
        struct pollfd ready = {.fd = venue->fd, .events = POLLIN};
        uint8_t bytes[2048];
        struct sockaddr_in from;
        socklen_t from_size = sizeof(from);
        bool any = poll(&ready, 1, 20) == 1;
        ssize_t size = 0;
        while (any && size >= 0) {
            size =
                recvfrom(venue->fd, bytes, sizeof(bytes), MSG_DONTWAIT, (void *)&from, &from_size);
            if (size >= 0)
                venue_datagram(venue, bytes, (size_t)size, &from);
        }
        venue_flush(venue, !any);
    }
    return NULL;
}

static struct venue *venue_open(void)
{
    struct venue *venue = calloc(1, sizeof(*venue));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000001)};
    socklen_t size = sizeof(address);
    int buffer = 16 << 20;
    venue->fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(venue->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
    cr_assert_eq(bind(venue->fd, (void *)&address, size), 0);
    getsockname(venue->fd, (void *)&address, &size);
    venue->port = ntohs(address.sin_port);
    venue->matcher = matcher_open(1, VENUE_SESSIONS);
    venue->matcher->sink = (struct event_sink){venue->matcher->events, venue->matcher->events + 256,
                                               venue_events, venue};
    cr_assert_leq(symbols_memory_size(1), sizeof(venue->symbols_memory));
    symbols_init(&venue->symbols, venue->symbols_memory, 1);
    symbols_add(&venue->symbols, "ACME    ");
    for (int i = 0; i < VENUE_SESSIONS; i++) {
        venue->sessions[i].messages = calloc(VENUE_HISTORY, sizeof(*venue->sessions[i].messages));
        venue->sessions[i].next = venue->sessions[i].sent = 1;
    }
    return venue;
}

// Once how it is to err is set.
static void venue_start(struct venue *venue)
{
    if (!venue->started)
        cr_assert_eq(pthread_create(&venue->thread, NULL, venue_main, venue), 0);
    venue->started = true;
}

static void venue_close(struct venue *venue)
{
    venue->stop = true;
    if (venue->started)
        pthread_join(venue->thread, NULL);
    close(venue->fd);
    for (int i = 0; i < VENUE_SESSIONS; i++)
        free(venue->sessions[i].messages);
    matcher_close(venue->matcher);
    free(venue);
}

static struct venue *venue;
static json_t *report;  // of the last run; NULL: it had none
static char said[1024]; // … on stderr

static void set_up(void)
{
    venue = venue_open();
}

static void tear_down(void)
{
    json_decref(report);
    venue_close(venue);
}

TestSuite(load, .init = set_up, .fini = tear_down);

static FILE *redirect(int fd, int *kept)
{
    FILE *file = tmpfile();
    fflush(NULL);
    *kept = dup(fd);
    dup2(fileno(file), fd);
    return file;
}

static void restore(int fd, int kept)
{
    fflush(NULL);
    dup2(kept, fd);
    close(kept);
}

// `sluice load --json --to the venue ARGUMENTS` ends with `status`.
__attribute__((format(printf, 2, 3))) static void expect_run(int status, const char *format, ...)
{
    char arguments[512], text[600];
    char *argv[64];
    int argc = 0, kept_out, kept_err;
    va_list values;
    va_start(values, format);
    vsnprintf(arguments, sizeof(arguments), format, values);
    va_end(values);
    snprintf(text, sizeof(text), "load --json --to 127.0.0.1:%u %s", venue->port, arguments);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    venue_start(venue);
    FILE *out = redirect(STDOUT_FILENO, &kept_out);
    FILE *err = redirect(STDERR_FILENO, &kept_err);
    int ended = verb_load(argc, argv);
    restore(STDOUT_FILENO, kept_out);
    restore(STDERR_FILENO, kept_err);
    rewind(out);
    rewind(err);
    said[fread(said, 1, sizeof(said) - 1, err)] = '\0';
    json_decref(report);
    report = json_loadf(out, 0, NULL);
    fclose(out);
    fclose(err);
    cr_assert_eq(ended, status, "\"%s\" ends with %d and says \"%s\"", arguments, ended, said);
}

static json_int_t member(json_t *run, const char *object, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(run, object), name));
}

static void expect_whole_run(json_t *run, json_int_t count)
{
    cr_assert_eq(json_integer_value(json_object_get(run, "sent")), count);
    cr_assert_eq(member(run, "enters", "sent") + member(run, "cancels", "sent") +
                     member(run, "replaces", "sent"),
                 count);
    cr_assert_eq(member(run, "enters", "accepted"), member(run, "enters", "sent"));
    cr_assert_gt(member(run, "executions", "removed_shares"), 0);
    cr_assert_eq(member(run, "latency_ns", "count"),
                 member(run, "enters", "accepted") + member(run, "cancels", "answered") +
                     member(run, "replaces", "replaced") +
                     member(run, "replaces", "refused_by_canceling"));
}

Test(load, an_open_loop_run_accounts_for_every_order, .timeout = 30)
{
    expect_run(0, "--user USER0:A --user USER1:B --user USER2:C --rate 50000 --count 30000 "
                  "--seed 4");
    expect_whole_run(report, 30000);
    cr_assert_str_eq(json_string_value(json_object_get(report, "loop")), "open");
    // Again: the book has orders of the run before, and the sessions go on from their numbers.
    expect_run(0, "--user USER2:A --user USER0:B --user USER1:B --rate 100000 --count 5000");
    cr_assert_eq(json_integer_value(json_object_get(report, "sent")), 5000);
}

Test(load, a_run_may_be_random_and_change_its_rate, .timeout = 30)
{
    expect_run(0, "--user USER0:A --user USER1:B --rate 2000:18000 --arrivals poisson "
                  "--count 10000");
    expect_whole_run(report, 10000);
    cr_assert_str_eq(json_string_value(json_object_get(report, "arrivals")), "poisson");
    cr_assert_eq(json_integer_value(json_object_get(report, "rate_asked_to")), 18000);
    cr_assert_float_eq(json_real_value(json_object_get(report, "rate_achieved")), 10000, 1500);
}

Test(load, a_sweep_is_a_run_for_each_rate, .timeout = 60)
{
    expect_run(0, "--user USER0:A --user USER1:B --sweep 5000:20000:7500 --count 3000");
    cr_assert_eq(json_array_size(report), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *run = json_array_get(report, i);
        expect_whole_run(run, 3000);
        cr_assert_eq(json_integer_value(json_object_get(run, "rate_asked")),
                     (json_int_t)(5000 + 7500 * i));
    }
}

Test(load, options_that_make_no_sense_together_are_refused_with_a_line)
{
    static const struct {
        const char *arguments, *line;
    } refusals[] = {
        {"--user A:B --rate 10:20:30", "--rate 10:20:30: want messages a second, or FROM:TO"},
        {"--user A:B --rate 10:", "--rate 10:: want messages a second, or FROM:TO"},
        {"--user A:B --rate 0 --arrivals poisson", "a closed loop has no --arrivals"},
        {"--user A:B --arrivals tape", "--tape FILE"},
        {"--user A:B --arrivals bursts", "want fixed, poisson or tape"},
        {"--user A:B --sweep 100:10:10", "want FROM:TO:STEP"},
        {"--user A:B --sweep 100:200", "want FROM:TO:STEP"},
        {"--user A:B --sweep 100:200:0", "want FROM:TO:STEP"},
        {"--user A:B --sweep 1:100:1", "with 64 rates at most"},
        {"--user A:B --rate 5 --sweep 1:2:1", "without --rate"},
        {"--user A:B --sweep 1:2:1 --rate 5", "those of --sweep"},
        {"--user A:B --stamps wall", "want software, kernel or hardware"},
        {"--user A:B --stamps hardware", "of which NIC? --interface NAME"},
        {"--user A:B --sweep 1:2:1 --hgrm x", "without --hgrm and --config"},
    };
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        expect_run(2, "%s", refusals[i].arguments);
        cr_assert(strstr(said, refusals[i].line) != NULL, "%s", said);
    }
}

Test(load, a_closed_loop_run_waits_for_each_answer_and_is_labelled, .timeout = 30)
{
    char line[64] = "";
    write_tape("", 0);
    expect_run(0, "--user USER0:A --user USER1:B --rate 0 --count 3000 --hgrm %s", tape_path);
    FILE *hgrm = fopen(tape_path, "r");
    cr_assert(hgrm != NULL && fgets(line, sizeof(line), hgrm) != NULL);
    cr_assert(strstr(line, "Percentile") != NULL, "%s", line);
    fclose(hgrm);
    unlink(tape_path);
    cr_assert_str_eq(json_string_value(json_object_get(report, "loop")), "closed");
    expect_whole_run(report, 3000);
}

Test(load, answers_lost_on_the_way_are_fetched_again, .timeout = 30)
{
    venue->lose_downstream = 7;
    expect_run(0, "--user USER0:A --user USER1:B --rate 20000 --count 10000");
    expect_whole_run(report, 10000);
    cr_assert_gt(member(report, "stream", "retransmit_requests"), 0);
}

Test(load, orders_lost_on_the_way_are_found_out_and_fail_the_run, .timeout = 30)
{
    venue->lose_upstream = 50;
    expect_run(1, "--user USER0:A --user USER1:B --rate 20000 --count 10000");
    cr_assert(strstr(said, "lost on the way") != NULL, "%s", said);
    cr_assert_gt(member(report, "enters", "lost"), 0);
    cr_assert_eq(member(report, "enters", "sent"),
                 member(report, "enters", "accepted") + member(report, "enters", "lost"));
    cr_assert_eq(member(report, "orders", "impossible"), 0);
}

Test(load, a_venue_that_tells_only_one_side_of_a_trade_fails_the_run, .timeout = 30)
{
    venue->one_side_only = true;
    expect_run(1, "--user USER0:A --rate 20000 --count 3000");
    cr_assert(strstr(said, "one side only") != NULL, "%s", said);
}

Test(load, the_venues_end_in_the_middle_stops_the_run_with_a_report, .timeout = 30)
{
    venue->end_after = 500;
    expect_run(1, "--user USER0:A --rate 0 --count 3000");
    cr_assert(strstr(said, "ended its day after 50") != NULL, "%s", said);
    cr_assert_lt(json_integer_value(json_object_get(report, "sent")), 510);
}

Test(load, rejected_orders_are_counted_by_reason, .timeout = 30)
{
    expect_run(0, "--user USER0:A --rate 20000 --count 500 --symbol NOSUCH");
    cr_assert_eq(member(report, "enters", "rejected"), member(report, "enters", "sent"));
    cr_assert_eq(member(report, "rejected_by_reason", "0x0017"), member(report, "enters", "sent"));
}

Test(load, a_refused_login_is_told_at_once, .timeout = 30)
{
    expect_run(1, "--user MALLET:A");
    cr_assert(strstr(said, "session MALLET: the venue refused the login") != NULL, "%s", said);
}

Test(load, a_tape_is_played_in_its_order_and_every_execution_comes_true, .timeout = 30)
{
    char lines[65536];
    size_t size = 0;
    uint32_t executed = 0;
    // Each order is entered behind the one that is executed next: out of turn, it would not trade.
    for (uint32_t i = 1; i <= 500; i++) {
        size += (size_t)sprintf(lines + size, "1.0,1,%u,10,%u,1\n", i, 500000 + 100 * (i % 3));
        size += (size_t)sprintf(lines + size, "1.0,4,%u,%u,%u,1\n", i, i % 10 + 1,
                                500000 + 100 * (i % 3));
        size += (size_t)sprintf(lines + size, "1.0,3,%u,1,500000,1\n", i);
        executed += i % 10 + 1;
    }
    write_tape(lines, size);
    expect_run(0,
               "--user USER0:A --user USER1:B --user USER2:B --rate 20000 --tape %s --symbol ACME",
               tape_path);
    unlink(tape_path);
    cr_assert_eq(member(report, "executions", "removed_shares"), executed);
    cr_assert_eq(member(report, "orders", "resting"), 0);
    cr_assert_eq(member(report, "orders", "canceled_partly_executed"), 450);
}

Test(load, a_wrong_option_is_one_line_and_status_2)
{
    static const char *const wrong[] = {
        "",
        "--user NAME",
        "--user TOOLONGNAME:A",
        "--user A:ELEVENCHARSX",
        "--user :A",
        "--user A:B --rate x",
        "--user A:B --rate -1",
        "--user A:B --rate 100000001",
        "--user A:B --count 0",
        "--user A:B --count 99999999999999999999",
        "--user A:B --seed 1x",
        "--user A:B --symbol NINECHARS",
        "--user A:B --symbol A --symbol A",
        "--user A:B --core 9999",
        "--user A:B --timeout-s 0",
        "--user A:B --bind nowhere",
        "--user A:B --to 127.0.0.1",
        "--user A:B --to 127.0.0.1:0",
        "--user A:B --to :9",
        "--user A:B --unknown",
        "--user A:B --count",
        "--user A:B --json=1",
        "--user A:B extra",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        expect_run(2, "%s", wrong[i]);
        cr_assert(strncmp(said, "sluice: ", 8) == 0, "\"%s\" says \"%s\"", wrong[i], said);
        cr_assert(strchr(said, '\n') == said + strlen(said) - 1, "\"%s\" says \"%s\"", wrong[i],
                  said);
    }
}
