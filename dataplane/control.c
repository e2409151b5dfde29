// SPDX-License-Identifier: MIT
#include "dataplane/control.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/report.h"
#include "numa/sandbox.h"
#include "numa/thread.h"

#define CLIENTS_MAX 8u // that have connected and said nothing yet
#define BACKLOG     64
#define GROUPS_MAX  256
#define NO_GROUP    ((gid_t)-1)

enum role { ROLE_VIEWER = 1, ROLE_OPERATOR = 2, ROLE_RISK = 4 };

struct control {
    struct gateway *gateway;
    const struct config_control *place;
    int listener;
    int stop_event;
    gid_t viewers, operators, risk; // NO_GROUP: only root
    int clients[CLIENTS_MAX];       // who came first is first
    uint32_t client_count;
    pthread_t thread;
    bool bound, started;
    char request[CONTROL_REQUEST_MAX];
};

// One request, and who makes it.
struct wish {
    const json_t *request;
    uint32_t roles;
    char actor[CONTROL_ACTOR_SIZE];
    const char *symbol, *session, *firm;
    bool all;
    const struct limit_name *limit;
    uint64_t value; // of all shards together
    uint32_t shard_count;
    struct command trading; // COMMAND_TRADING: what it says of the symbol, or of all
};

// --- Who

// Names are looked up at the start: later no file can be opened.
static int find_group(const char *name, gid_t *group, struct error *error)
{
    *group = NO_GROUP;
    if (!name[0])
        return 0;
    const struct group *found = getgrnam(name);
    if (!found)
        return error_set(error, "control: there is no group \"%s\" on this host", name);
    *group = found->gr_gid;
    return 0;
}

static bool in_group(gid_t group, const gid_t *groups, int count)
{
    for (int i = 0; i < count && group != NO_GROUP; i++)
        if (groups[i] == group)
            return true;
    return false;
}

static uint32_t roles_of(const struct control *control, const struct ucred *peer,
                         const gid_t *groups, int count)
{
    if (peer->uid == 0)
        return ROLE_VIEWER | ROLE_OPERATOR | ROLE_RISK;
    uint32_t roles = in_group(control->viewers, groups, count) ? ROLE_VIEWER : 0;
    if (in_group(control->operators, groups, count))
        roles |= ROLE_OPERATOR | ROLE_VIEWER;
    if (in_group(control->risk, groups, count))
        roles |= ROLE_RISK | ROLE_VIEWER;
    return roles;
}

void control_actor(char actor[CONTROL_ACTOR_SIZE], uid_t user, pid_t process)
{
    memset(actor, 0, CONTROL_ACTOR_SIZE);
    snprintf(actor, CONTROL_ACTOR_SIZE, "uid %u, pid %d", (unsigned)user, (int)process);
}

static int identify(const struct control *control, int fd, struct wish *wish, struct error *error)
{
    struct ucred peer;
    gid_t groups[GROUPS_MAX + 1];
    socklen_t size = sizeof(peer), groups_size = GROUPS_MAX * sizeof(groups[0]);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ||
        getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_size))
        return error_set(error, "it is not known who asks: %s", strerror(errno));
    int count = (int)(groups_size / sizeof(groups[0]));
    groups[count++] = peer.gid;
    wish->roles = roles_of(control, &peer, groups, count);
    control_actor(wish->actor, peer.uid, peer.pid);
    return 0;
}

// --- What

static void copy_padded(char *field, size_t size, const char *text)
{
    size_t length = strnlen(text, size);
    memset(field, ' ', size);
    memcpy(field, text, length);
}

// Of the lane's, or NO_INSTRUMENT.
static uint16_t find_instrument(const struct lane *lane, const char *symbol)
{
    char name[8];
    copy_padded(name, sizeof(name), symbol);
    return symbols_find(&lane->symbols, name);
}

static uint16_t find_session(const struct lane *lane, const char *user)
{
    char name[6];
    copy_padded(name, sizeof(name), user);
    for (uint32_t i = 0; i < lane->entry.session_count; i++)
        if (ufo_same_name(lane->entry.sessions[i].who.user, name, sizeof(name)))
            return (uint16_t)i;
    return ANY_SESSION;
}

static uint32_t order_trading(const struct wish *wish, const struct lane *lane,
                              struct command *command)
{
    *command = wish->trading;
    command->type = COMMAND_TRADING;
    command->instrument = NO_INSTRUMENT;
    memcpy(command->trading.actor, wish->actor, sizeof(command->trading.actor));
    if (wish->symbol)
        command->instrument = find_instrument(lane, wish->symbol);
    return wish->symbol && command->instrument == NO_INSTRUMENT ? 0 : 1;
}

static uint32_t order_entry(const struct wish *wish, const struct lane *lane,
                            struct command *command, bool allowed)
{
    command->type = COMMAND_ENTRY;
    command->session = ANY_SESSION;
    command->entry.session = ANY_SESSION;
    command->entry.allowed = allowed;
    memcpy(command->entry.actor, wish->actor, sizeof(command->entry.actor));
    if (wish->firm)
        copy_padded(command->entry.firm, sizeof(command->entry.firm), wish->firm);
    if (wish->session)
        command->entry.session = find_session(lane, wish->session);
    command->instrument = wish->symbol ? find_instrument(lane, wish->symbol) : NO_INSTRUMENT;
    command->entry.in_symbol = wish->symbol != NULL;
    bool elsewhere = wish->symbol && command->instrument == NO_INSTRUMENT;
    return elsewhere || (wish->session && command->entry.session == ANY_SESSION) ? 0 : 1;
}

// Cancels what the command before it stops.
static void order_cancel(const struct wish *wish, const struct command *stop,
                         struct command *command)
{
    bool entry = stop->type == COMMAND_ENTRY;
    command->type = COMMAND_MASS_CANCEL;
    command->session = ANY_SESSION;
    command->instrument = stop->instrument;
    command->mass.session = entry ? stop->entry.session : ANY_SESSION;
    command->mass.side = ANY_SIDE;
    command->mass.reason = 'S';
    if (entry)
        memcpy(command->mass.firm, stop->entry.firm, sizeof(command->mass.firm));
    memcpy(command->mass.actor, wish->actor, sizeof(command->mass.actor));
}

static uint32_t make_trading(void *context, const struct lane *lane, struct command *commands)
{
    return order_trading(context, lane, &commands[0]);
}

static uint32_t make_kill(void *context, const struct lane *lane, struct command *commands)
{
    const struct wish *wish = context;
    bool halts = wish->symbol && !wish->firm;
    uint32_t count = halts ? order_trading(wish, lane, &commands[0])
                           : order_entry(wish, lane, &commands[0], false);
    if (count == 0)
        return 0;
    if (halts)
        commands[0].trading.source = TRADING_RISK;
    order_cancel(wish, &commands[0], &commands[1]);
    return 2;
}

static uint32_t make_disable(void *context, const struct lane *lane, struct command *commands)
{
    return order_entry(context, lane, &commands[0], false);
}

// A symbol that was killed goes on as when it is resumed.
static uint32_t make_allow(void *context, const struct lane *lane, struct command *commands)
{
    const struct wish *wish = context;
    if (!wish->symbol || wish->firm)
        return order_entry(wish, lane, &commands[0], true);
    uint32_t count = order_trading(wish, lane, &commands[0]);
    commands[0].trading.source = TRADING_RISK;
    return count;
}

static uint32_t make_limit(void *context, const struct lane *lane, struct command *commands)
{
    const struct wish *wish = context;
    struct command *command = &commands[0];
    command->type = COMMAND_LIMIT;
    command->session = ANY_SESSION;
    command->side = wish->limit->kind;
    command->limit.value = limit_share(wish->limit, wish->value, lane->index, wish->shard_count);
    memcpy(command->limit.actor, wish->actor, sizeof(command->limit.actor));
    if (wish->firm)
        copy_padded(command->limit.firm, sizeof(command->limit.firm), wish->firm);
    if (wish->symbol)
        command->instrument = find_instrument(lane, wish->symbol);
    return wish->symbol && command->instrument == NO_INSTRUMENT ? 0 : 1;
}

// Whether there is what the wish names, on any shard: a mistyped name must not look like success.
static int check_names(const struct gateway *gateway, const struct wish *wish, struct error *error)
{
    bool symbol = !wish->symbol, session = !wish->session;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        const struct lane *lane = gateway->lanes[i];
        symbol |= wish->symbol && find_instrument(lane, wish->symbol) != NO_INSTRUMENT;
        session |= wish->session && find_session(lane, wish->session) != ANY_SESSION;
    }
    if (!symbol)
        return error_set(error, "there is no symbol \"%s\" here", wish->symbol);
    if (!session)
        return error_set(error, "there is no session \"%s\" here", wish->session);
    char firm[4];
    if (wish->firm)
        copy_padded(firm, sizeof(firm), wish->firm);
    if (wish->firm && !config_has_firm(gateway->config, firm))
        return error_set(error, "no session is of the firm \"%s\"", wish->firm);
    return 0;
}

// Whether the book has done what was said of instruments. It passes over what the day or a phase
// does not allow: that must not look like success either.
static int check_trading(const struct gateway *gateway, const struct wish *wish,
                         struct error *error)
{
    uint8_t wanted = wish->trading.trading.state;
    for (uint32_t i = 0; i < gateway->config->shard_count; i++) {
        const struct book *book = gateway->lanes[i]->shard.book;
        uint16_t instrument =
            wish->symbol ? find_instrument(gateway->lanes[i], wish->symbol) : NO_INSTRUMENT;
        if (wish->symbol && instrument == NO_INSTRUMENT)
            continue;
        if (book_over(book))
            return error_set(error, "the day of shard %u is over", i);
        if (!wish->symbol || wanted == 0)
            continue;
        uint8_t phase = book_phase(book, instrument);
        bool any = wanted == 'L' || wanted == 'R'; // but these two
        if (any ? phase == 'H' || phase == 'C' : phase != wanted)
            return error_set(error, "%s is %s", wish->symbol, config_phase_name(phase));
    }
    return 0;
}

// --- What is said of an instrument, or a member

static int read_halt(struct wish *wish, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    wish->trading.trading.state = 'H';
    return 0;
}

static int read_resume(struct wish *wish, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    wish->trading.trading.state = 'R';
    return 0;
}

static int read_phase(struct wish *wish, const char *value, struct error *error)
{
    wish->trading.trading.state = config_phase(value);
    if (wish->trading.trading.state == 0)
        return error_set(error, "the phase must be preopen, trading, halted, quotation, paused, "
                                "closed or late");
    return 0;
}

static int read_reference(struct wish *wish, const char *value, struct error *error)
{
    uint32_t price;
    const char *problem = price_parse(value, &price);
    if (problem)
        return error_set(error, "the reference %s", problem);
    wish->trading.trading.reference = price;
    return 0;
}

static int read_band(struct wish *wish, const char *value, struct error *error)
{
    char *end;
    double percent = strtod(value, &end);
    if (strcmp(value, "off") == 0) {
        wish->trading.trading.band = UINT32_MAX;
        return 0;
    }
    if (*end || !(percent >= 0.01 && percent <= 100))
        return error_set(error, "the band must be 0.01 to 100 percent, or off");
    wish->trading.trading.band = (uint32_t)(percent * 100 + 0.5);
    return 0;
}

static int read_short_sale(struct wish *wish, const char *value, struct error *error)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        return error_set(error, "the restriction of sales short must be on or off");
    wish->trading.trading.short_sale = strcmp(value, "on") == 0 ? '1' : '0';
    return 0;
}

// What a limit has besides its scope.
static int read_limit(struct wish *wish, const char *value, struct error *error)
{
    const char *name = json_string_value(json_object_get(wish->request, "limit"));
    wish->limit = name ? limit_by_name(name) : NULL;
    if (!wish->limit || limit_of_member(wish->limit) != !!wish->firm ||
        !limit_of_member(wish->limit) != !!wish->symbol)
        return error_set(error, "\"%s\" is no limit of a %s", name ? name : "",
                         wish->symbol ? "symbol" : "firm");
    const char *problem = limit_parse(wish->limit, value, wish->shard_count, &wish->value);
    return problem ? error_set(error, "%s %s", name, problem) : 0;
}

// --- Requests

static const struct action {
    const char *name;
    enum role role;
    gateway_order_fn *make; // NULL: another way
    uint32_t scopes_min, scopes_max;
    bool by_session_or_firm, by_symbol;
    bool valued; // has to have a "value"
    int (*read)(struct wish *wish, const char *value, struct error *error);
} actions[] = {
    {"stats", ROLE_VIEWER, NULL, 0, 0, false, false, false, NULL},
    {"halt", ROLE_OPERATOR, make_trading, 0, 1, false, true, false, read_halt},
    {"resume", ROLE_OPERATOR, make_trading, 0, 1, false, true, false, read_resume},
    {"phase", ROLE_OPERATOR, make_trading, 0, 1, false, true, true, read_phase},
    {"reference", ROLE_OPERATOR, make_trading, 0, 1, false, true, true, read_reference},
    {"ssr", ROLE_OPERATOR, make_trading, 0, 1, false, true, true, read_short_sale},
    {"band", ROLE_OPERATOR, make_trading, 0, 1, false, true, true, read_band},
    {"close_day", ROLE_OPERATOR, NULL, 0, 0, false, false, false, NULL},
    {"kill", ROLE_RISK, make_kill, 1, 1, true, true, false, read_halt},
    {"disable", ROLE_RISK, make_disable, 1, 1, true, false, false, NULL},
    {"allow", ROLE_RISK, make_allow, 1, 1, true, true, false, read_resume},
    {"limit", ROLE_RISK, make_limit, 1, 1, true, true, true, read_limit},
};

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

static const char *text_of(const json_t *request, const char *key, size_t length_max,
                           struct error *error)
{
    const char *text = json_string_value(json_object_get(request, key));
    if (json_object_get(request, key) && (!text || !text[0] || strlen(text) > length_max)) {
        error_set(error, "\"%s\" must have 1 to %zu characters", key, length_max);
        return NULL;
    }
    return text;
}

static int read_scope(const struct action *action, struct wish *wish, struct error *error)
{
    const char *key;
    json_t *value;
    error->text[0] = 0;
    wish->symbol = text_of(wish->request, "symbol", 8, error);
    wish->session = text_of(wish->request, "session", 6, error);
    wish->firm = text_of(wish->request, "firm", 4, error);
    const json_t *all = json_object_get(wish->request, "all");
    wish->all = json_is_true(all);
    if (all && !wish->all)
        error_set(error, "\"all\" can only be true");
    const char *said = text_of(wish->request, "value", 32, error);
    bool both = action->by_session_or_firm && !action->valued; // a firm in a symbol
    if (error->text[0])
        return -1;
    if (action->valued && !said)
        return error_set(error, "\"%s\" wants a \"value\"", action->name);
    json_object_foreach((json_t *)(uintptr_t)wish->request, key, value)
    {
        bool known =
            strcmp(key, "do") == 0 ||
            (strcmp(key, "symbol") == 0 && (action->by_symbol || (both && wish->firm))) ||
            (strcmp(key, "value") == 0 && action->valued) ||
            (strcmp(key, "limit") == 0 && action->make == make_limit) ||
            (action->by_session_or_firm &&
             (strcmp(key, "session") == 0 || strcmp(key, "firm") == 0 || strcmp(key, "all") == 0));
        if (!known)
            return error_set(error, "\"%s\" does not go with \"%s\"", key, action->name);
    }
    uint32_t scopes = !!wish->symbol + !!wish->session + !!wish->firm + wish->all -
                      (both && wish->symbol && wish->firm);
    if (scopes < action->scopes_min || scopes > action->scopes_max)
        return error_set(error, "say what to %s: one of session, firm%s, all%s", action->name,
                         action->by_symbol ? ", symbol" : "",
                         both ? "; or a firm in a symbol" : "");
    return action->read ? action->read(wish, said, error) : 0;
}

static json_t *refusal(const char *why)
{
    return json_pack("{s:b, s:s}", "ok", 0, "error", why);
}

static int order_all(struct gateway *gateway, const struct action *action, struct wish *wish,
                     struct error *error)
{
    char firm[4];
    if (!action->make)
        return gateway_close_day(gateway, wish->actor, error);
    if (!wish->limit || !limit_held(wish->limit->kind) || wish->shard_count == 1)
        return gateway_order(gateway, action->make, wish, NULL, error);
    copy_padded(firm, sizeof(firm), wish->firm);
    return share_keeper_set(&gateway->shares, firm, wish->limit->kind, wish->value, wish->actor,
                            error);
}

static json_t *carry_out(struct control *control, struct wish *wish)
{
    struct error error;
    const char *name = json_string_value(json_object_get(wish->request, "do"));
    wish->shard_count = control->gateway->config->shard_count;
    const struct action *action = name ? find_action(name) : NULL;
    if (!action)
        return refusal(
            "\"do\" must be stats, halt, resume, phase, reference, ssr, band, close_day, "
            "kill, disable, allow or limit");
    if (!(wish->roles & action->role))
        return refusal(action->role == ROLE_VIEWER ? "you are not one of the viewers"
                       : action->role == ROLE_OPERATOR
                           ? "you are not one of the operators"
                           : "you are not one of those in charge of risk");
    if (read_scope(action, wish, &error) || check_names(control->gateway, wish, &error))
        return refusal(error.text);
    if (action->role == ROLE_VIEWER)
        return json_pack("{s:b, s:o}", "ok", 1, "stats", report_gateway(control->gateway));
    bool failed = order_all(control->gateway, action, wish, &error) != 0 ||
                  (action->make == make_trading && check_trading(control->gateway, wish, &error));
    return failed ? refusal(error.text) : json_pack("{s:b}", "ok", 1);
}

static json_t *answer_to(struct control *control, int fd, size_t size)
{
    struct error error;
    json_error_t where;
    json_t *request = json_loadb(control->request, size, JSON_REJECT_DUPLICATES, &where);
    struct wish wish = {.request = request};
    json_t *answer;
    if (!json_is_object(request))
        answer = refusal("not a JSON object");
    else if (identify(control, fd, &wish, &error))
        answer = refusal(error.text);
    else
        answer = carry_out(control, &wish);
    json_decref(request);
    return answer;
}

static void send_answer(int fd, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    if (text && send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        warn("control: an answer could not be sent: %s", strerror(errno));
    free(text);
    json_decref(answer);
}

static void serve(struct control *control, int fd)
{
    ssize_t size = recv(fd, control->request, sizeof(control->request), MSG_DONTWAIT);
    if (size > 0)
        send_answer(fd, answer_to(control, fd, (size_t)size));
}

// Whatever it wants: it keeps nobody waiting. No request is left to be read when it is closed,
// which would take the place of the answer.
static void turn_away(struct control *control, int fd)
{
    shutdown(fd, SHUT_RD);
    while (recv(fd, control->request, sizeof(control->request), MSG_DONTWAIT) > 0)
        ;
    send_answer(fd, refusal("you are in none of the groups of the configuration's \"control\""));
    close(fd);
}

static void forget(struct control *control, uint32_t place)
{
    close(control->clients[place]);
    control->client_count--;
    memmove(&control->clients[place], &control->clients[place + 1],
            (control->client_count - place) * sizeof(control->clients[0]));
}

// Where there are too many who say nothing, the one who has for longest goes.
static void admit(struct control *control)
{
    struct wish wish;
    struct error error;
    int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (identify(control, fd, &wish, &error) || wish.roles == 0) {
        turn_away(control, fd);
        return;
    }
    if (control->client_count == CLIENTS_MAX)
        forget(control, 0);
    control->clients[control->client_count++] = fd;
}

static void *control_main(void *argument)
{
    struct control *control = argument;
    struct pollfd fds[2 + CLIENTS_MAX] = {{.fd = control->listener, .events = POLLIN},
                                          {.fd = control->stop_event, .events = POLLIN}};
    sandbox_thread(SANDBOX_CONTROL);
    for (;;) {
        for (uint32_t i = 0; i < control->client_count; i++)
            fds[2 + i] = (struct pollfd){.fd = control->clients[i], .events = POLLIN};
        if (poll(fds, 2 + control->client_count, -1) < 0) {
            if (errno != EINTR)
                return NULL;
            continue;
        }
        if (fds[1].revents)
            return NULL;
        // From behind: those whose turn is still to come keep their places.
        for (uint32_t i = control->client_count; i-- > 0;)
            if (fds[2 + i].revents) {
                serve(control, control->clients[i]);
                forget(control, i);
            }
        if (fds[0].revents)
            admit(control);
    }
}

// --- Opening

// A socket that somebody listens on is somebody's; any other was left behind.
static int remove_stale(const struct sockaddr_un *address, struct error *error)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int result = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)address, sizeof(*address));
    if (fd >= 0)
        close(fd);
    if (result == 0)
        return error_set(error, "control.socket: %s: another gateway listens there",
                         address->sun_path);
    unlink(address->sun_path);
    return 0;
}

static int listen_on(struct control *control, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = control->place->socket;
    memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path) - 1));
    if (remove_stale(&address, error))
        return -1;
    control->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    control->stop_event = eventfd(0, EFD_CLOEXEC);
    control->bound = control->listener >= 0 && control->stop_event >= 0 &&
                     bind(control->listener, (struct sockaddr *)&address, sizeof(address)) == 0;
    // Whoever may connect is asked for his name; the file's mode decides nothing.
    if (!control->bound || chmod(path, 0666) || listen(control->listener, BACKLOG))
        return error_set(error, "control.socket: cannot listen on %s: %s; its folder must exist",
                         path, strerror(errno));
    return 0;
}

struct control *control_open(struct gateway *gateway, struct error *error)
{
    struct control *control = calloc(1, sizeof(*control));
    if (!control) {
        error_set(error, "no memory for the control socket");
        return NULL;
    }
    control->gateway = gateway;
    control->place = &gateway->config->control;
    control->listener = control->stop_event = -1;
    const struct config_control *place = control->place;
    if (find_group(place->viewers, &control->viewers, error) == 0 &&
        find_group(place->operators, &control->operators, error) == 0 &&
        find_group(place->risk, &control->risk, error) == 0 && listen_on(control, error) == 0)
        return control;
    control_close(control);
    return NULL;
}

int control_start(struct control *control, struct error *error)
{
    if (thread_start(&control->thread, "control", THREAD_ANY_CORE, control_main, control, error))
        return -1;
    control->started = true;
    return 0;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    if (control->started) {
        eventfd_write(control->stop_event, 1);
        pthread_join(control->thread, NULL);
    }
    while (control->client_count > 0)
        forget(control, 0);
    if (control->bound)
        unlink(control->place->socket);
    if (control->listener >= 0)
        close(control->listener);
    if (control->stop_event >= 0)
        close(control->stop_event);
    free(control);
}

int control_ask(const char *path, const json_t *request, json_t **answer, struct error *error)
{
    static char text[CONTROL_ANSWER_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path) - 1));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    char *asked = json_dumps(request, JSON_COMPACT);
    ssize_t size = -1;
    // Who has no role is answered before he has asked, and may find the other end closed.
    if (fd >= 0 && asked && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        (send(fd, asked, strlen(asked), MSG_NOSIGNAL) >= 0 || errno == EPIPE))
        size = recv(fd, text, sizeof(text), 0);
    int why = errno;
    free(asked);
    if (fd >= 0)
        close(fd);
    if (size < 0)
        return error_set(error, "%s: %s: does the gateway run?", path, strerror(why));
    *answer = json_loadb(text, (size_t)size, 0, NULL);
    return *answer ? 0 : error_set(error, "%s: no answer; the gateway may have ended", path);
}
