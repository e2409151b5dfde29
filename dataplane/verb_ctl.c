// SPDX-License-Identifier: MIT
//
// sluice ctl: tell a running gateway what to do, through its control socket.
#include "dataplane/verbs.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/control.h"
#include "dataplane/report.h"

static int usage(void)
{
    fprintf(stderr,
            "sluice: usage: sluice ctl --config FILE [--json] stats | close-day |\n"
            "       halt [SYMBOL] | resume [SYMBOL] | reference PRICE [SYMBOL] |\n"
            "       phase preopen|trading|halted|quotation|paused|closed|late [SYMBOL] |\n"
            "       ssr on|off [SYMBOL] | band PERCENT|off [SYMBOL] |\n"
            "       kill session USER | kill firm MPID | kill symbol SYMBOL | kill all |\n"
            "       disable session USER | disable firm MPID | disable all |\n"
            "       allow session USER | allow firm MPID | allow symbol SYMBOL | allow all |\n"
            "       kill firm MPID symbol SYMBOL | disable … | allow … |\n"
            "       limit firm MPID NAME VALUE | limit symbol SYMBOL NAME VALUE\n");
    return 2;
}

// The request that the words say, or NULL.
static json_t *make_request(char **words, int count)
{
    const char *verb = count > 0 ? words[0] : "";
    bool scoped =
        strcmp(verb, "kill") == 0 || strcmp(verb, "disable") == 0 || strcmp(verb, "allow") == 0;
    if (count == 1 && strcmp(verb, "stats") == 0)
        return json_pack("{s:s}", "do", "stats");
    if (count == 1 && strcmp(verb, "close-day") == 0)
        return json_pack("{s:s}", "do", "close_day");
    if ((strcmp(verb, "halt") == 0 || strcmp(verb, "resume") == 0) && count <= 2)
        return count == 1 ? json_pack("{s:s}", "do", verb)
                          : json_pack("{s:s, s:s}", "do", verb, "symbol", words[1]);
    bool valued = strcmp(verb, "phase") == 0 || strcmp(verb, "reference") == 0 ||
                  strcmp(verb, "ssr") == 0 || strcmp(verb, "band") == 0;
    if (valued && count == 2)
        return json_pack("{s:s, s:s}", "do", verb, "value", words[1]);
    if (valued && count == 3)
        return json_pack("{s:s, s:s, s:s}", "do", verb, "value", words[1], "symbol", words[2]);
    if (scoped && count == 2 && strcmp(words[1], "all") == 0)
        return json_pack("{s:s, s:b}", "do", verb, "all", 1);
    if (scoped && count == 3)
        return json_pack("{s:s, s:s}", "do", verb, words[1], words[2]);
    if (scoped && count == 5 && strcmp(words[1], "firm") == 0 && strcmp(words[3], "symbol") == 0)
        return json_pack("{s:s, s:s, s:s}", "do", verb, "firm", words[2], "symbol", words[4]);
    if (count == 5 && strcmp(verb, "limit") == 0)
        return json_pack("{s:s, s:s, s:s, s:s}", "do", "limit", words[1], words[2], "limit",
                         words[3], "value", words[4]);
    return NULL;
}

static int run(const char *config_path, const json_t *request, bool json)
{
    struct error error;
    json_t *answer = NULL;
    struct config *config = config_load(config_path, &error);
    int failed = config ? 0 : -1;
    if (!failed && !config->control.socket[0])
        failed = error_set(&error, "%s has no control socket: control = { socket = \"…\"; };",
                           config_path);
    if (!failed)
        failed = control_ask(config->control.socket, request, &answer, &error);
    config_free(config);
    bool ok = !failed && json_is_true(json_object_get(answer, "ok"));
    if (!failed && json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        printf("\n");
    } else if (ok) {
        report_print(json_object_get(answer, "stats"), stdout);
    }
    if (!ok)
        fprintf(stderr, "sluice: ctl: %s\n",
                failed ? error.text : json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
    return ok ? 0 : 1;
}

int verb_ctl(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'}, {0}};
    const char *config = NULL;
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (option == '?')
            return 2;
        if (option == 'c')
            config = optarg;
        else
            json = true;
    }
    json_t *request = make_request(argv + optind, argc - optind);
    if (!config || !request) {
        json_decref(request);
        return usage();
    }
    int status = run(config, request, json);
    json_decref(request);
    return status;
}
