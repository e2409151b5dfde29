// SPDX-License-Identifier: MIT
#include "dataplane/load_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "numa/thread.h"

#define RATE_DEFAULT  10000u
#define RATE_MAX      100000000u
#define RATE_NONE     UINT64_MAX
#define TIMEOUT_S_MAX 3600u

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

static int parse_user(const char *text, struct load_options *options, struct error *error)
{
    const char *colon = strchr(text, ':');
    size_t name_size = colon == NULL ? 0 : (size_t)(colon - text);
    if (options->user_count == LOAD_SESSIONS_MAX)
        return bad(error, "user", text, "there are 64 already, the most that one run logs in");
    struct load_user *user = &options->users[options->user_count];
    if (name_size == 0 || name_size >= sizeof(user->name) ||
        strlen(colon + 1) >= sizeof(user->password))
        return bad(error, "user", text,
                   "want NAME:PASSWORD, a name of 1 to 6 and a password of up to 10 characters");
    memcpy(user->name, text, name_size);
    strcpy(user->password, colon + 1);
    options->user_count++;
    return 0;
}

static int parse_symbol(const char *text, struct load_options *options, struct error *error)
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

// Whole numbers with a colon between them, from 1 on: how many there are, up to `max`.
static uint32_t split_rates(const char *text, uint64_t *rates, uint32_t max)
{
    char one[24];
    for (uint32_t count = 0; count < max; text++) {
        size_t size = strcspn(text, ":");
        if (size >= sizeof(one))
            return 0;
        memcpy(one, text, size);
        one[size] = '\0';
        if (parse_count("rate", one, 1, RATE_MAX, &rates[count++], NULL) != 0)
            return 0;
        text += size;
        if (*text == '\0')
            return count;
    }
    return 0;
}

static int parse_rate(const char *text, struct load_options *options, struct error *error)
{
    uint64_t rates[2];
    if (strchr(text, ':') == NULL) {
        int status = parse_count("rate", text, 0, RATE_MAX, &options->rate, error);
        options->rate_to = options->rate;
        return status;
    }
    if (split_rates(text, rates, 2) != 2)
        return bad(error, "rate", text, "want messages a second, or FROM:TO, as 1000:50000");
    options->rate = rates[0];
    options->rate_to = rates[1];
    return 0;
}

static int parse_sweep(const char *text, struct load_options *options, struct error *error)
{
    uint64_t rates[3];
    if (split_rates(text, rates, 3) != 3 || rates[0] > rates[1] ||
        (rates[1] - rates[0]) / rates[2] >= LOAD_SWEEP_MAX)
        return bad(error, "sweep", text,
                   "want FROM:TO:STEP in messages a second, as 10000:100000:10000, with 64 rates "
                   "at most");
    options->rate = rates[0];
    options->rate_to = rates[1];
    options->sweep_step = rates[2];
    return 0;
}

static int parse_arrivals(const char *text, enum load_arrivals *arrivals, struct error *error)
{
    static const char *const names[] = LOAD_ARRIVALS_NAMES;
    for (uint32_t i = 0; i < LOAD_ARRIVALS_COUNT; i++) {
        if (strcmp(text, names[i]) == 0) {
            *arrivals = i;
            return 0;
        }
    }
    return bad(error, "arrivals", text, "want fixed, poisson or tape");
}

static int parse_stamps(const char *text, enum port_stamps *stamps, struct error *error)
{
    static const char *const names[] = PORT_STAMPS_NAMES;
    for (uint32_t i = 0; i < PORT_STAMPS_COUNT; i++) {
        if (strcmp(text, names[i]) == 0) {
            *stamps = i;
            return 0;
        }
    }
    return bad(error, "stamps", text, "want software, kernel or hardware");
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
    OPTION_INTERFACE,
    OPTION_USER,
    OPTION_RATE,
    OPTION_SWEEP,
    OPTION_ARRIVALS,
    OPTION_STAMPS,
    OPTION_COUNT,
    OPTION_SEED,
    OPTION_SYMBOL,
    OPTION_TAPE,
    OPTION_HGRM,
    OPTION_CONFIG,
    OPTION_JSON,
    OPTION_CORE,
    OPTION_PROGRESS,
    OPTION_TIMEOUT_S,
    OPTION_LIST,
};

static const struct option option_list[] = {
    {"to", required_argument, NULL, OPTION_TO},
    {"bind", required_argument, NULL, OPTION_BIND},
    {"interface", required_argument, NULL, OPTION_INTERFACE},
    {"user", required_argument, NULL, OPTION_USER},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"sweep", required_argument, NULL, OPTION_SWEEP},
    {"arrivals", required_argument, NULL, OPTION_ARRIVALS},
    {"stamps", required_argument, NULL, OPTION_STAMPS},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"symbol", required_argument, NULL, OPTION_SYMBOL},
    {"tape", required_argument, NULL, OPTION_TAPE},
    {"hgrm", required_argument, NULL, OPTION_HGRM},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"json", no_argument, NULL, OPTION_JSON},
    {"core", required_argument, NULL, OPTION_CORE},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"timeout-s", required_argument, NULL, OPTION_TIMEOUT_S},
    {"list", no_argument, NULL, OPTION_LIST},
    {NULL, 0, NULL, 0},
};

// `argument` is the one that `number` was found in.
static int take_option(struct load_options *options, int number, const char *argument,
                       struct error *error)
{
    switch (number) {
    case OPTION_TO:
        return parse_to(optarg, &options->to, error);
    case OPTION_BIND:
        if (inet_pton(AF_INET, optarg, &options->bind.sin_addr) != 1)
            return bad(error, "bind", optarg, "want an IPv4 address of this host");
        return 0;
    case OPTION_INTERFACE:
        options->interface = optarg;
        return 0;
    case OPTION_USER:
        return parse_user(optarg, options, error);
    case OPTION_RATE:
        if (options->sweep_step > 0)
            return bad(error, "rate", optarg, "the rates are those of --sweep");
        return parse_rate(optarg, options, error);
    case OPTION_SWEEP:
        if (options->rate != RATE_NONE)
            return bad(error, "sweep", optarg, "once, and without --rate");
        return parse_sweep(optarg, options, error);
    case OPTION_ARRIVALS:
        return parse_arrivals(optarg, &options->arrivals, error);
    case OPTION_STAMPS:
        return parse_stamps(optarg, &options->stamps, error);
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
    case OPTION_CONFIG:
        options->config = optarg;
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

// What is missing, or does not go together.
static int check_options(const struct load_options *options, struct error *error)
{
    if (options->to.sin_port == 0)
        return error_set(error, "load: say which shard: --to ADDRESS:PORT");
    if (options->user_count == 0)
        return error_set(error, "load: say who logs in: --user NAME:PASSWORD");
    if (options->arrivals == LOAD_TAPE && options->tape == NULL)
        return bad(error, "arrivals", "tape", "of which? --tape FILE");
    if (options->arrivals != LOAD_FIXED && options->rate == 0)
        return bad(error, "rate", "0", "a closed loop has no --arrivals");
    if (options->stamps == PORT_STAMPS_HARDWARE && options->interface == NULL)
        return bad(error, "stamps", "hardware", "of which NIC? --interface NAME");
    if (options->sweep_step > 0 && (options->hgrm != NULL || options->config != NULL))
        return error_set(error, "load: --sweep is of many runs: without --hgrm and --config");
    return 0;
}

int load_options_parse(int argc, char **argv, struct load_options *options, struct error *error)
{
    *options = (struct load_options){
        .bind = {.sin_family = AF_INET},
        .rate = RATE_NONE,
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
    if (options->rate == RATE_NONE)
        options->rate = options->rate_to = RATE_DEFAULT;
    return check_options(options, error);
}
