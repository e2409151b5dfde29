// SPDX-License-Identifier: MIT
//
// sluice load: an open-loop load generator and latency probe over plain UDP sockets.
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/load_client.h"
#include "dataplane/load_flow.h"
#include "dataplane/load_report.h"
#include "dataplane/load_tape.h"
#include "dataplane/verbs.h"
#include "numa/clock.h"
#include "numa/thread.h"

#define COUNT_DEFAULT       100000u
#define RATE_DEFAULT        10000u
#define RATE_MAX            100000000u
#define TIMEOUT_S_MAX       3600u
#define LOGIN_PATIENCE_NS   10000000000ull
#define NOISE_NS            500000000ull
#define SOCKET_BUFFER_BYTES (16 << 20)
#define RECEIVE_BATCH       32u
#define CONTROL_INTERVAL_NS 50000u
#define PROGRESS_NS         1000000000ull
// Unless pinned to a core of its own, the generator sleeps when nothing has happened for a while
// and nothing is due for longer than it is worth; it wakes as much earlier as waking up takes.
#define SPIN_NS             20000u
#define SLEEP_WORTH_NS      60000u
#define WAKE_UP_NS          30000u
#define SLEEP_MAX_NS        1000000u
// Closed loop: how long to wait for an answer before asking whether there will be one.
#define ASK_AFTER_NS        20000000u

struct user {
    char name[7];
    char password[11];
};

struct options {
    struct sockaddr_in to;
    struct sockaddr_in bind;
    struct user users[LOAD_SESSIONS_MAX];
    uint32_t user_count;
    uint64_t rate;
    uint64_t count; // 0: not given
    uint64_t seed;
    char symbols[LOAD_NAMED_SYMBOLS_MAX][8];
    uint32_t symbol_count;
    const char *tape;
    const char *hgrm;
    int core;
    uint64_t timeout_s;
    bool json, progress, list;
};

struct run {
    const struct options *options;
    struct load_day day;
    struct load_report *report;
    struct tsc_clock clock;
    struct load_client *clients;
    int sockets[LOAD_SESSIONS_MAX];
    int epoll;
    uint64_t next; // step
    uint64_t start_ns, last_send_ns, last_receive_ns, control_ns, progress_ns;
    struct mmsghdr messages[RECEIVE_BATCH];
    struct iovec vectors[RECEIVE_BATCH];
    uint8_t buffers[RECEIVE_BATCH][2048];
};

// Options.

static int bad(struct error *error, const char *option, const char *value, const char *wanted)
{
    return error_set(error, "load: --%s %s: %s", option, value, wanted);
}

static int parse_count(const char *option, const char *text, uint64_t min, uint64_t max,
                       uint64_t *value, struct error *error)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || *value < min ||
        *value > max)
        return error_set(error, "load: --%s %s: want a whole number from %llu to %llu", option,
                         text, (unsigned long long)min, (unsigned long long)max);
    return 0;
}

static int parse_to(const char *text, struct sockaddr_in *to, struct error *error)
{
    char address[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t size = colon == NULL ? 0 : (size_t)(colon - text);
    uint64_t port;
    *to = (struct sockaddr_in){.sin_family = AF_INET};
    if (size == 0 || size >= sizeof(address))
        return bad(error, "to", text, "want an IPv4 address and port, as 10.0.0.1:9000");
    memcpy(address, text, size);
    address[size] = '\0';
    if (inet_pton(AF_INET, address, &to->sin_addr) != 1 ||
        parse_count("to", colon + 1, 1, 65535, &port, NULL) != 0)
        return bad(error, "to", text, "want an IPv4 address and port, as 10.0.0.1:9000");
    to->sin_port = htons((uint16_t)port);
    return 0;
}

static int parse_user(const char *text, struct options *options, struct error *error)
{
    const char *colon = strchr(text, ':');
    size_t name_size = colon == NULL ? 0 : (size_t)(colon - text);
    if (options->user_count == LOAD_SESSIONS_MAX)
        return bad(error, "user", text, "there are 64 already, the most that one run logs in");
    struct user *user = &options->users[options->user_count];
    if (name_size == 0 || name_size >= sizeof(user->name) ||
        strlen(colon + 1) >= sizeof(user->password))
        return bad(error, "user", text,
                   "want NAME:PASSWORD, a name of 1 to 6 and a password of up to 10 characters");
    memcpy(user->name, text, name_size);
    strcpy(user->password, colon + 1);
    options->user_count++;
    return 0;
}

static int parse_symbol(const char *text, struct options *options, struct error *error)
{
    size_t size = strlen(text);
    if (options->symbol_count == LOAD_NAMED_SYMBOLS_MAX)
        return bad(error, "symbol", text, "there are 256 already, the most that one run trades");
    char *symbol = options->symbols[options->symbol_count];
    if (size == 0 || size > sizeof(options->symbols[0]))
        return bad(error, "symbol", text, "want 1 to 8 characters");
    memset(symbol, ' ', sizeof(options->symbols[0]));
    memcpy(symbol, text, size);
    for (uint32_t i = 0; i < options->symbol_count; i++) {
        if (memcmp(options->symbols[i], symbol, sizeof(options->symbols[0])) == 0)
            return bad(error, "symbol", text, "is given twice");
    }
    options->symbol_count++;
    return 0;
}

static int parse_core(const char *text, int *core, struct error *error)
{
    uint64_t number;
    if (parse_count("core", text, 0, 65535, &number, error) != 0)
        return -1;
    *core = (int)number;
    return thread_core_usable(*core, error);
}

enum option_number {
    OPTION_TO = 1,
    OPTION_BIND,
    OPTION_USER,
    OPTION_RATE,
    OPTION_COUNT,
    OPTION_SEED,
    OPTION_SYMBOL,
    OPTION_TAPE,
    OPTION_HGRM,
    OPTION_JSON,
    OPTION_CORE,
    OPTION_PROGRESS,
    OPTION_TIMEOUT_S,
    OPTION_LIST,
};

static const struct option option_list[] = {
    {"to", required_argument, NULL, OPTION_TO},
    {"bind", required_argument, NULL, OPTION_BIND},
    {"user", required_argument, NULL, OPTION_USER},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"symbol", required_argument, NULL, OPTION_SYMBOL},
    {"tape", required_argument, NULL, OPTION_TAPE},
    {"hgrm", required_argument, NULL, OPTION_HGRM},
    {"json", no_argument, NULL, OPTION_JSON},
    {"core", required_argument, NULL, OPTION_CORE},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"timeout-s", required_argument, NULL, OPTION_TIMEOUT_S},
    {"list", no_argument, NULL, OPTION_LIST},
    {NULL, 0, NULL, 0},
};

// `argument` is the one that `number` was found in.
static int take_option(struct options *options, int number, const char *argument,
                       struct error *error)
{
    switch (number) {
    case OPTION_TO:
        return parse_to(optarg, &options->to, error);
    case OPTION_BIND:
        if (inet_pton(AF_INET, optarg, &options->bind.sin_addr) != 1)
            return bad(error, "bind", optarg, "want an IPv4 address of this host");
        return 0;
    case OPTION_USER:
        return parse_user(optarg, options, error);
    case OPTION_RATE:
        return parse_count("rate", optarg, 0, RATE_MAX, &options->rate, error);
    case OPTION_COUNT:
        return parse_count("count", optarg, 1, LOAD_COUNT_MAX, &options->count, error);
    case OPTION_SEED:
        return parse_count("seed", optarg, 0, INT64_MAX, &options->seed, error);
    case OPTION_SYMBOL:
        return parse_symbol(optarg, options, error);
    case OPTION_TAPE:
        options->tape = optarg;
        return 0;
    case OPTION_HGRM:
        options->hgrm = optarg;
        return 0;
    case OPTION_JSON:
        options->json = true;
        return 0;
    case OPTION_CORE:
        return parse_core(optarg, &options->core, error);
    case OPTION_PROGRESS:
        options->progress = true;
        return 0;
    case OPTION_LIST:
        options->list = true;
        return 0;
    case OPTION_TIMEOUT_S:
        return parse_count("timeout-s", optarg, 1, TIMEOUT_S_MAX, &options->timeout_s, error);
    default:
        return error_set(error,
                         "load: %s is not an option, or it lacks its value or has one too many",
                         argument);
    }
}

static int parse_options(int argc, char **argv, struct options *options, struct error *error)
{
    *options = (struct options){
        .bind = {.sin_family = AF_INET},
        .rate = RATE_DEFAULT,
        .seed = 1,
        .core = THREAD_ANY_CORE,
        .timeout_s = 10,
    };
    int number;
    optind = 0;
    opterr = 0;
    while ((number = getopt_long(argc, argv, "", option_list, NULL)) != -1) {
        if (take_option(options, number, argv[optind - 1], error) != 0)
            return -1;
    }
    if (optind < argc)
        return error_set(error, "load: %s: options only, each beginning with --", argv[optind]);
    if (options->list)
        return options->tape ? 0 : error_set(error, "load: --list is of a tape: --tape FILE");
    if (options->to.sin_port == 0)
        return error_set(error, "load: say which shard: --to ADDRESS:PORT");
    if (options->user_count == 0)
        return error_set(error, "load: say who logs in: --user NAME:PASSWORD");
    return 0;
}

static int read_day(struct run *run, struct error *error)
{
    const struct options *options = run->options;
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

// Sockets.

static void enlarge_buffer(int socket, int forced, int plain)
{
    int size = SOCKET_BUFFER_BYTES;
    // Forcing takes CAP_NET_ADMIN; without it the kernel gives as much as its limit allows.
    if (setsockopt(socket, SOL_SOCKET, forced, &size, sizeof(size)) != 0)
        setsockopt(socket, SOL_SOCKET, plain, &size, sizeof(size));
}

static int open_socket(struct run *run, uint32_t index, struct error *error)
{
    const struct options *options = run->options;
    char text[INET_ADDRSTRLEN];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    run->sockets[index] = fd;
    if (fd < 0)
        return error_set(error, "load: cannot open a UDP socket: %s", strerror(errno));
    enlarge_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    if (bind(fd, (const void *)&options->bind, sizeof(options->bind)) != 0)
        return error_set(error, "load: --bind %s: %s; name an address of this host",
                         inet_ntop(AF_INET, &options->bind.sin_addr, text, sizeof(text)),
                         strerror(errno));
    if (connect(fd, (const void *)&options->to, sizeof(options->to)) != 0)
        return error_set(error, "load: --to %s: %s; see `ip route get %s`",
                         inet_ntop(AF_INET, &options->to.sin_addr, text, sizeof(text)),
                         strerror(errno), text);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return error_set(error, "load: epoll_ctl: %s", strerror(errno));
    return 0;
}

static int run_open(struct run *run, struct error *error)
{
    const struct options *options = run->options;
    for (uint32_t i = 0; i < RECEIVE_BATCH; i++) {
        run->vectors[i] = (struct iovec){run->buffers[i], sizeof(run->buffers[i])};
        run->messages[i].msg_hdr = (struct msghdr){.msg_iov = &run->vectors[i], .msg_iovlen = 1};
    }
    memset(run->sockets, -1, sizeof(run->sockets));
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->clients = calloc(run->day.session_count, sizeof(*run->clients));
    if (run->epoll < 0 || run->clients == NULL)
        return error_set(error, "load: cannot begin: %s", strerror(errno));
    for (uint32_t i = 0; i < run->day.session_count; i++) {
        struct load_client_options client = {
            .user_name = options->users[i].name,
            .password = options->users[i].password,
            .ref_count = run->day.refs[i],
            .cancel_count = run->day.cancels[i],
            .latency = &run->report->latency,
        };
        if (load_client_open(&run->clients[i], &client, error) != 0 ||
            open_socket(run, i, error) != 0)
            return -1;
    }
    return 0;
}

static void run_close(struct run *run)
{
    for (uint32_t i = 0; run->clients != NULL && i < run->day.session_count; i++) {
        load_client_close(&run->clients[i]);
        if (run->sockets[i] >= 0)
            close(run->sockets[i]);
    }
    if (run->epoll >= 0)
        close(run->epoll);
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

// A socket reports "connection refused" when an earlier datagram met no listener: that is silence
// too, and whoever waits for an answer finds out by the clock.
static bool worth_reporting(int error)
{
    return error != EAGAIN && error != EINTR && error != ENOBUFS && error != ECONNREFUSED;
}

// Sends what waits for one session; false while some of it still does, the socket being full.
static bool flush(struct run *run, uint32_t index)
{
    struct load_client *client = &run->clients[index];
    while (client->datagram_count > 0) {
        struct mmsghdr messages[LOAD_DATAGRAMS_MAX];
        struct iovec vectors[LOAD_DATAGRAMS_MAX];
        uint32_t count;
        const struct load_datagram *datagrams = load_client_waiting(client, &count);
        for (uint32_t i = 0; i < count; i++) {
            vectors[i] = (struct iovec){(void *)datagrams[i].bytes, datagrams[i].size};
            messages[i] = (struct mmsghdr){
                .msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1},
            };
        }
        int sent = sendmmsg(run->sockets[index], messages, count, MSG_DONTWAIT);
        uint64_t now = clock_ns(&run->clock);
        if (sent < 0 && worth_reporting(errno))
            error_set(&run->report->failure, "cannot send: %s; see `ip route` and the firewall",
                      strerror(errno));
        if (sent < 0)
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

static void receive_from(struct run *run, uint32_t index)
{
    int count = recvmmsg(run->sockets[index], run->messages, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
    if (count <= 0)
        return;
    uint64_t now = clock_ns(&run->clock);
    run->last_receive_ns = now;
    for (int i = 0; i < count; i++)
        load_client_receive(&run->clients[index], run->buffers[i], run->messages[i].msg_len, now);
}

static void receive(struct run *run)
{
    struct epoll_event events[LOAD_SESSIONS_MAX];
    int count = epoll_wait(run->epoll, events, LOAD_SESSIONS_MAX, 0);
    for (int i = 0; i < count; i++)
        receive_from(run, events[i].data.u32);
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
        while ((size = load_client_poll(&run->clients[i], now, out)) > 0) {
            // What does not leave now is repeated by its timer.
            if (send(run->sockets[i], out, size, MSG_DONTWAIT) < 0 && worth_reporting(errno))
                error_set(&run->report->failure, "cannot send: %s; see `ip route` and the firewall",
                          strerror(errno));
        }
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
    struct pollfd ready = {.fd = run->epoll, .events = POLLIN};
    struct timespec timeout = {.tv_nsec = (long)sleep_ns};
    ppoll(&ready, 1, &timeout, NULL);
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
            error_set(&run->report->failure,
                      "no answer to the login from %s:%u in 10 s; see whether the gateway runs "
                      "there, and whether another client holds the session (it is free again 10 s "
                      "after that one falls silent)",
                      inet_ntop(AF_INET, &to->sin_addr, text, sizeof(text)), ntohs(to->sin_port));
        turn(run, now + SLEEP_MAX_NS);
    }
}

static uint64_t intended_ns(const struct run *run, uint64_t index)
{
    uint64_t rate = run->options->rate;
    return run->start_ns + index / rate * 1000000000u + index % rate * 1000000000u / rate;
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
    while (run->next < run->day.count && intended_ns(run, run->next) <= now) {
        uint32_t session = run->day.steps[run->next].session;
        if (!may_send(run, session) || !load_client_room(&run->clients[session]))
            break;
        send_step(run, intended_ns(run, run->next));
        bool last = run->next == run->day.count || run->day.steps[run->next].session != session;
        if (run->day.ordered && last && !flush(run, session))
            return;
    }
    flush_all(run);
}

static void play_open_loop(struct run *run)
{
    run->start_ns = clock_ns(&run->clock) + 1000000;
    while (!failed(run) && run->next < run->day.count) {
        send_due(run);
        turn(run, run->next < run->day.count ? intended_ns(run, run->next) : 0);
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
    run->start_ns = clock_ns(&run->clock);
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
            (void)!send(run->sockets[i], out, size, MSG_DONTWAIT);
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

static int make_report(struct run *run, struct error *error)
{
    const struct options *options = run->options;
    struct load_report *report = run->report;
    for (uint32_t i = 0; i < run->day.session_count; i++)
        load_report_add(report, &run->clients[i]);
    int printed =
        options->json ? load_report_print_json(report, stdout) : load_report_print(report, stdout);
    if (printed != 0)
        return error_set(error, "load: cannot write the report: %s", strerror(errno));
    if (options->hgrm != NULL && write_hgrm(report, options->hgrm, error) != 0)
        return -1;
    return load_report_check(report, error);
}

// --list: the symbols that a venue has to list before the tape can be played to it.
static void list_symbols(const struct load_day *day)
{
    for (uint32_t i = 0; i < day->symbol_count; i++)
        printf("%.8s\n", day->symbols[i]);
}

static int load(const struct options *options, struct run *run, struct error *error)
{
    struct load_report *report = run->report;
    if (read_day(run, error) != 0)
        return -1;
    if (options->list) {
        list_symbols(&run->day);
        return 0;
    }
    report->closed_loop = options->rate == 0;
    report->spin = options->core != THREAD_ANY_CORE;
    report->tape = options->tape;
    report->seed = options->seed;
    report->session_count = run->day.session_count;
    report->symbol_count = run->day.symbol_count;
    report->planned = run->day.count;
    report->rate = options->rate;
    histogram_reset(&report->latency);
    clock_calibrate(&run->clock, 50);
    if (run_open(run, error) != 0 || run_on_core(run, error) != 0)
        return -1;
    return make_report(run, error);
}

int verb_load(int argc, char **argv)
{
    struct options options;
    struct error error = {""};
    if (parse_options(argc, argv, &options, &error) != 0) {
        fprintf(stderr, "sluice: %s\n", error.text);
        return 2;
    }
    struct run *run = calloc(1, sizeof(*run));
    struct load_report *report = calloc(1, sizeof(*report));
    int status = -1;
    if (run == NULL || report == NULL) {
        error_set(&error, "load: no memory");
    } else {
        *run = (struct run){.options = &options, .report = report, .epoll = -1};
        status = load(&options, run, &error);
        run_close(run);
    }
    free(run);
    free(report);
    if (status != 0)
        fprintf(stderr, "sluice: %s\n", error.text);
    return status == 0 ? 0 : 1;
}
