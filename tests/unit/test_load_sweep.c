// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/load_sweep.h"

#define RATES 5u

static struct load_report reports[RATES];

// Runs in which p99 was that.
static void run(const uint64_t p99_us[RATES])
{
    memset(reports, 0, sizeof(reports));
    for (uint32_t i = 0; i < RATES; i++) {
        reports[i].settled = true;
        reports[i].rate = 1000 * (i + 1);
        for (uint32_t j = 0; j < 100; j++)
            histogram_record(&reports[i].latency, p99_us[i] * 1000);
    }
}

static void lose(uint32_t index)
{
    reports[index].fates.enters = reports[index].fates.enters_lost = 1;
}

Test(load_sweep, the_knee_is_the_last_rate_whose_p99_is_below_three_times_the_first)
{
    run((uint64_t[]){50, 60, 149, 150, 4000});
    cr_assert_eq(load_sweep_knee(reports, RATES), 2);
    run((uint64_t[]){50, 200, 100, 400, 4000}); // one that was disturbed
    cr_assert_eq(load_sweep_knee(reports, RATES), 2);
    run((uint64_t[]){50, 200, 300, 400, 4000});
    cr_assert_eq(load_sweep_knee(reports, RATES), 0);
    cr_assert_eq(load_sweep_knee(reports, 1), 0);
}

Test(load_sweep, a_rate_that_loses_is_no_knee)
{
    run((uint64_t[]){50, 50, 50, 50, 50});
    lose(4);
    reports[3].settled = false;
    cr_assert_eq(load_sweep_knee(reports, RATES), 2);
    lose(0);
    cr_assert_eq(load_sweep_knee(reports, RATES), RATES);
}

Test(load_sweep, each_run_is_told_whole_and_the_knee_marked)
{
    char *text = NULL;
    size_t size;
    run((uint64_t[]){50, 50, 500, 500, 500});
    FILE *stream = open_memstream(&text, &size);
    cr_assert_eq(load_sweep_print_json(reports, RATES, stream), 0);
    fclose(stream);
    json_t *list = json_loads(text, 0, NULL);
    cr_assert_eq(json_array_size(list), RATES);
    for (size_t i = 0; i < RATES; i++) {
        json_t *one = json_array_get(list, i);
        cr_assert_eq(json_is_true(json_object_get(one, "knee")), i == 1);
        cr_assert_eq(json_integer_value(json_object_get(one, "rate_asked")),
                     (json_int_t)(1000 * (i + 1)));
        cr_assert(json_is_object(json_object_get(one, "latency_ns")));
    }
    json_decref(list);
    free(text);
    stream = open_memstream(&text, &size);
    cr_assert_eq(load_sweep_print(reports, RATES, stream), 0);
    fclose(stream);
    cr_assert_not_null(strstr(text, "the knee"));
    free(text);
}
