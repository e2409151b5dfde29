// SPDX-License-Identifier: MIT
#include "dataplane/load_sweep.h"

#define P50 50.0
#define P99 99.0

static bool in_order(const struct load_report *report)
{
    return load_report_check(report, NULL) == 0;
}

uint32_t load_sweep_knee(const struct load_report *reports, uint32_t count)
{
    uint64_t bound = LOAD_KNEE_FACTOR * histogram_percentile(&reports[0].latency, P99);
    if (!in_order(&reports[0]))
        return count;
    for (uint32_t i = count - 1; i > 0; i--)
        if (in_order(&reports[i]) && histogram_percentile(&reports[i].latency, P99) < bound)
            return i;
    return 0;
}

int load_sweep_print(const struct load_report *reports, uint32_t count, FILE *stream)
{
    uint32_t knee = load_sweep_knee(reports, count);
    fprintf(stream, "%12s %12s %12s %12s %12s %12s\n", "asked for", "achieved", "p50 us", "p99 us",
            "max us", "late us");
    for (uint32_t i = 0; i < count; i++) {
        const struct load_report *report = &reports[i];
        struct error problem = {""};
        load_report_check(report, &problem);
        fprintf(stream, "%12llu %12.0f %12.1f %12.1f %12.1f %12.1f%s%s%s\n",
                (unsigned long long)report->rate, load_report_rate(report),
                (double)histogram_percentile(&report->latency, P50) / 1000.0,
                (double)histogram_percentile(&report->latency, P99) / 1000.0,
                (double)report->latency.max / 1000.0, (double)report->lateness_ns / 1000.0,
                i == knee ? "  the knee" : "", problem.text[0] ? "  " : "", problem.text);
    }
    return fflush(stream) == 0 && !ferror(stream) ? 0 : -1;
}

int load_sweep_print_json(const struct load_report *reports, uint32_t count, FILE *stream)
{
    uint32_t knee = load_sweep_knee(reports, count);
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *report = load_report_json(&reports[i]);
        json_object_set_new(report, "knee", json_boolean(i == knee));
        json_array_append_new(list, report);
    }
    int status = json_dumpf(list, stream, JSON_INDENT(2));
    fputc('\n', stream);
    json_decref(list);
    return status == 0 && fflush(stream) == 0 && !ferror(stream) ? 0 : -1;
}
