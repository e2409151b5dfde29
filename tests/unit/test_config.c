// SPDX-License-Identifier: MIT
//
// What config_load says of files that it refuses, and what it takes where a file says nothing.
// tests/net/test_refusals.sh has the values.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/config.h"
#include "tests/password.h"

static char outer[] = "/tmp/sluice-config-XXXXXX", inner[] = "/tmp/sluice-config-XXXXXX";

static void set_up(void)
{
    close(mkstemp(outer));
    close(mkstemp(inner));
}

static void tear_down(void)
{
    unlink(outer);
    unlink(inner);
}

TestSuite(config, .init = set_up, .fini = tear_down);

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

// `text` stands in a file that another one includes on its fourth line.
static void expect_refusal(const char *text, const char *begin)
{
    char including[128], expected[256];
    struct error error = {{0}};
    snprintf(including, sizeof(including), "# one\n# two\n# three\n@include \"%s\"\n", inner);
    write_file(outer, including);
    write_file(inner, text);
    snprintf(expected, sizeof(expected), "%s%s", inner, begin);
    cr_assert_null(config_load(outer, &error));
    cr_assert_eq(strncmp(error.text, expected, strlen(expected)), 0, "%s", error.text);
}

Test(config, a_wrong_value_in_an_included_file_is_told_of_by_that_files_name_and_line)
{
    expect_refusal("\nname = 5;\n", ":2: \"name\"");
}

Test(config, a_syntax_error_in_an_included_file_is_told_of_by_that_files_name_and_line)
{
    expect_refusal("\n\nname = = ;\n", ":3: syntax error");
}

// The last lines of a file whose session is `session`.
static void expect_session_refused(const char *session, const char *what)
{
    char text[1024];
    struct error error = {{0}};
    snprintf(text, sizeof(text),
             "name = \"x\"; journal = { directory = \"/j\"; };"
             "ports = ({ interface = \"lo\"; address = \"10.77.0.1\"; });"
             "shards = ({ port = 0; udp_port = 1; feed_group = \"239.0.0.1\"; feed_port = 1; });"
             "instruments = ({ symbol = \"A\"; shard = 0; });\nsessions = ({ user = \"ALICE\";"
             " firm = \"ALFA\";\n%s });\n",
             session);
    write_file(outer, text);
    struct config *config = config_load(outer, &error);
    cr_assert_eq(config == NULL, what != NULL, "%s", error.text);
    cr_assert(!what || strstr(error.text, what), "%s", error.text);
    config_free(config);
}

Test(config, a_password_stands_in_the_file_as_a_hash_that_can_be_verified)
{
    expect_session_refused("password = \"SECRET\";", ":3: passwords do not stand here in clear");
    expect_session_refused("", "\"password_hash\" is missing");
    expect_session_refused("password_hash = \"SECRET\";", "is not a hash of a password");
    expect_session_refused("password_hash = \"$argon2id$v=19$m=8,t=1,p=1$xZoYeayYbnKC\";",
                           "is not a hash of a password");
    expect_session_refused("password_hash = \"$argon2id$v=19$m=4194304,t=1,p=1$xZoYeayYbnKCA+Pne9C"
                           "3bQ$qfd1GfU8EavQqLYeZKYUW54/igFZ4cdABzMbOgLFx2o\";",
                           "takes 4194304 KiB and 1 passes to verify; at most 1048576 and 16");
    expect_session_refused("password_hash = \"" PASSWORD_HASH "\";", NULL);
}

Test(config, a_public_key_is_one_and_stands_instead_of_a_password)
{
    static const char key[] =
        "public_key = \"03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8\";";
    char both[512];
    snprintf(both, sizeof(both), "%s password_hash = \"%s\";", key, PASSWORD_HASH);
    expect_session_refused(key, NULL);
    expect_session_refused(both, "not both");
    expect_session_refused("public_key = \"03a1\";", "is not an Ed25519 key of 64 hexadecimal");
    expect_session_refused("public_key = "
                           "\"03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531bg\";",
                           "is not an Ed25519 key of 64 hexadecimal");
    expect_session_refused("public_key = "
                           "\"0100000000000000000000000000000000000000000000000000000000000000\";",
                           "is not an Ed25519 key of 64 hexadecimal"); // of small order
}

Test(config, what_is_missing_altogether_is_told_of_by_the_name_that_was_given)
{
    struct error error = {{0}};
    write_file(outer, "");
    cr_assert_null(config_load(outer, &error));
    cr_assert_eq(strncmp(error.text, outer, strlen(outer)), 0, "%s", error.text);
    cr_assert(strstr(error.text, "\"name\" is missing"), "%s", error.text);
}

// A file with a group besides what has to be there.
static struct config *load_with_group(const char *group, struct error *error)
{
    char text[800];
    snprintf(text, sizeof(text),
             "name = \"x\"; journal = { directory = \"/j\"; }; %s"
             "ports = ( { interface = \"lo\"; address = \"10.0.0.1\"; } );"
             "shards = ( { port = 0; udp_port = 1; feed_group = \"239.0.0.1\"; feed_port = 2; } );"
             "instruments = ( { symbol = \"A\"; shard = 0; } );"
             "sessions = ( { user = \"A\"; password_hash = \"" PASSWORD_HASH
             "\"; firm = \"C\"; } );",
             group);
    write_file(outer, text);
    return config_load(outer, error);
}

static struct config *load_with_limits(const char *limits)
{
    char group[256];
    struct error error = {{0}};
    snprintf(group, sizeof(group), "limits = { %s };", limits);
    struct config *config = load_with_group(group, &error);
    cr_assert_not_null(config, "%s", error.text);
    return config;
}

static void expect_rates(const char *limits, uint32_t login_rate, uint32_t login_burst,
                         uint32_t session_rate, uint32_t session_burst, uint32_t request_rate,
                         uint32_t request_burst)
{
    struct config *config = load_with_limits(limits);
    cr_expect_eq(config->login_rate, login_rate, "%s: %u", limits, config->login_rate);
    cr_expect_eq(config->login_burst, login_burst, "%s: %u", limits, config->login_burst);
    cr_expect_eq(config->request_rate, request_rate, "%s: %u", limits, config->request_rate);
    cr_expect_eq(config->request_burst, request_burst, "%s: %u", limits, config->request_burst);
    cr_expect_eq(config->session_rate, session_rate, "%s: %u", limits, config->session_rate);
    cr_expect_eq(config->session_burst, session_burst, "%s: %u", limits, config->session_burst);
    config_free(config);
}

Test(config, a_rate_without_a_burst_has_a_seconds_worth_of_it)
{
    expect_rates("", 1000, 1000, 0, 0, 1000, 1000);
    expect_rates("login_rate = 20;", 20, 20, 0, 0, 1000, 1000);
    expect_rates("session_rate = 500;", 1000, 1000, 500, 500, 1000, 1000);
    expect_rates("session_rate = 500; session_burst = 6;", 1000, 1000, 500, 6, 1000, 1000);
    expect_rates("login_rate = 0; login_burst = 5; session_rate = 1;", 0, 0, 1, 1, 1000, 1000);
    expect_rates("request_rate = 300; request_burst = 4;", 1000, 1000, 0, 0, 300, 4);
    expect_rates("request_rate = 0;", 1000, 1000, 0, 0, 0, 0);
}

Test(config, an_ethernet_address_is_pinned_where_the_file_says_so)
{
    for (int pinned = 0; pinned <= 1; pinned++) {
        struct config *config = load_with_limits(pinned ? "pin_mac = \"on\";" : "");
        cr_expect_eq(config->pin_mac, pinned);
        config_free(config);
    }
}

static void expect_clock(const char *group, uint32_t alarm_us, uint32_t halt_us)
{
    struct error error = {{0}};
    struct config *config = load_with_group(group, &error);
    cr_assert_not_null(config, "%s", error.text);
    cr_expect_eq(config->clock.alarm_us, alarm_us, "%s: %u", group, config->clock.alarm_us);
    cr_expect_eq(config->clock.halt_us, halt_us, "%s: %u", group, config->clock.halt_us);
    config_free(config);
}

static void expect_clock_refused(const char *group, const char *what)
{
    struct error error = {{0}};
    cr_assert_null(load_with_group(group, &error), "%s", group);
    cr_expect(strstr(error.text, what), "%s", error.text);
}

Test(config, a_clock_has_limits_where_the_file_has_the_group)
{
    expect_clock("", 0, 0);
    expect_clock("clock = { };", 100, 1000);
    expect_clock("clock: { alarm_us = 20; };", 20, 200);
    expect_clock("clock = { halt_us = 101; };", 100, 101);
    expect_clock("clock = { alarm_us = 1000000; halt_us = 10000000; };", 1000000, 10000000);
    expect_clock_refused("clock = { alarm_us = 0; };",
                         "\"alarm_us\" is 0; it must be 1 to 1000000");
    expect_clock_refused("clock = { alarm_us = 1000001; };", "\"alarm_us\" is 1000001; it must be");
    expect_clock_refused("clock = { alarm_us = 500; halt_us = 500; };",
                         "\"halt_us\" is 500; it must be 501 to 10000000");
    expect_clock_refused("clock = { halt_us = 10000001; };", "it must be 101 to 10000000");
    expect_clock_refused("clock = { halt = 1000; };",
                         "unknown key \"halt\"; known here: alarm_us, halt_us");
    expect_clock_refused("clock = \"on\";", "expected a group");
}

Test(config, a_member_is_barred_from_symbols_that_there_are)
{
    struct error error = {{0}};
    struct config *config = load_with_group("members = ( { firm = \"C\"; gross = \"5\"; "
                                            "barred = [ \"A\" ]; } );",
                                            &error);
    cr_assert_not_null(config, "%s", error.text);
    cr_assert_eq(config->limit_count, 2);
    cr_expect_null(config->limits[0].limit);
    cr_expect_arr_eq(config->limits[0].firm, "C   ", 4);
    cr_expect_arr_eq(config->limits[0].symbol, "A       ", 8);
    cr_expect_not_null(config->limits[1].limit);
    config_free(config);
    static const char *const wrong[] = {"\"A\"", "[ \"B\" ]",          "[ \"\" ]",
                                        "[ 7 ]", "[ \"LONGSYMBOL\" ]", "[ \"A\", \"B\" ]"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char group[128];
        snprintf(group, sizeof(group), "members = ( { firm = \"C\"; barred = %s; } );", wrong[i]);
        cr_assert_null(load_with_group(group, &error), "%s", wrong[i]);
        cr_expect(strstr(error.text, "\"barred\""), "%s: %s", wrong[i], error.text);
    }
}
