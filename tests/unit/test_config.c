// SPDX-License-Identifier: MIT
//
// What config_load says of files that it refuses. tests/net/test_refusals.sh has the values.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/config.h"

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

Test(config, what_is_missing_altogether_is_told_of_by_the_name_that_was_given)
{
    struct error error = {{0}};
    write_file(outer, "");
    cr_assert_null(config_load(outer, &error));
    cr_assert_eq(strncmp(error.text, outer, strlen(outer)), 0, "%s", error.text);
    cr_assert(strstr(error.text, "\"name\" is missing"), "%s", error.text);
}
