// SPDX-License-Identifier: MIT
#include "dataplane/load_report.h"

#include <inttypes.h>

#include "book/book.h"

typedef unsigned long long ull;

// OUCH 5.0 section 8, those that a gateway of this house gives.
static const char *reason_name(uint32_t reason)
{
    switch (reason) {
    case REJECT_QUOTE_UNAVAILABLE:
        return "quote unavailable";
    case REJECT_DESTINATION_CLOSED:
        return "destination closed";
    case REJECT_INVALID_DISPLAY:
        return "invalid display";
    case REJECT_INVALID_MAX_FLOOR:
        return "invalid max floor";
    case REJECT_INVALID_PEG:
        return "invalid peg type";
    case REJECT_HALTED:
        return "halted";
    case REJECT_INVALID_SIDE:
        return "invalid side";
    case REJECT_PROCESSING_ERROR:
        return "processing error";
    case REJECT_FIRM_NOT_AUTHORIZED:
        return "firm not authorized";
    case REJECT_INVALID_MIN_QUANTITY:
        return "invalid min quantity";
    case REJECT_OTHER:
        return "other";
    case REJECT_PEGGING_NOT_ALLOWED:
        return "pegging not allowed";
    case REJECT_INVALID_QUANTITY:
        return "invalid quantity";
    case REJECT_INVALID_CROSS:
        return "invalid cross order";
    case REJECT_ROUTING_NOT_ALLOWED:
        return "routing not allowed";
    case REJECT_INVALID_SYMBOL:
        return "invalid symbol";
    case REJECT_RETAIL_NOT_ALLOWED:
        return "retail not allowed";
    case REJECT_INVALID_PRICE:
        return "invalid price";
    default:
        return "reason without a name here";
    }
}

void load_report_add(struct load_report *report, const struct load_client *client)
{
    load_client_account(client, report->settled, &report->fates);
    for (uint32_t reason = 0; reason < LOAD_REJECT_REASONS; reason++)
        report->rejected[reason] += client->rejected[reason];
    report->added_count += client->added_count;
    report->removed_count += client->removed_count;
    report->added_shares += client->added_shares;
    report->removed_shares += client->removed_shares;
    report->match_sum += client->match_sum;
    report->earlier_orders += client->earlier_orders;
    report->retransmit_requests += client->retransmit_requests;
    report->duplicates += client->duplicates;
    report->beyond_window += client->beyond_window;
    report->malformed += client->malformed;
}

static uint64_t sent(const struct load_report *report)
{
    return report->fates.enters + report->fates.replaces + report->fates.cancels;
}

static uint64_t lost(const struct load_fates *fates)
{
    return fates->enters_lost + fates->replaces_lost + fates->cancels_lost;
}

static uint64_t unanswered(const struct load_fates *fates)
{
    return fates->enters_unanswered + fates->replaces_unanswered + fates->cancels_unanswered;
}

static uint64_t rejected(const struct load_report *report)
{
    uint64_t sum = 0;
    for (uint32_t reason = 0; reason < LOAD_REJECT_REASONS; reason++)
        sum += report->rejected[reason];
    return sum;
}

static bool sums_hold(const struct load_report *report)
{
    return load_fates_hold(&report->fates) &&
           rejected(report) == report->fates.enters_rejected + report->fates.replaces_rejected;
}

static bool sides_agree(const struct load_report *report)
{
    return report->added_count == report->removed_count &&
           report->added_shares == report->removed_shares && report->match_sum == 0;
}

int load_report_check(const struct load_report *report, struct error *error)
{
    const struct load_fates *fates = &report->fates;
    if (report->failure.text[0] != '\0')
        return error_set(error, "load: %s", report->failure.text);
    if (!report->settled)
        return error_set(error,
                         "load: the venue's answers were not complete in time: %llu messages have "
                         "no known fate; lower --rate or raise --timeout-s",
                         (ull)unanswered(fates));
    if (!sums_hold(report))
        return error_set(error,
                         "load: the answers contradict one another (%llu orders): the venue, or "
                         "this program, is wrong",
                         (ull)fates->impossible);
    if (!sides_agree(report))
        return error_set(error,
                         "load: %llu shares traded passively and %llu aggressively: an execution "
                         "was told to one side only, or others traded at the venue meanwhile",
                         (ull)report->added_shares, (ull)report->removed_shares);
    if (lost(fates) > 0)
        return error_set(error,
                         "load: %llu messages (%llu Enters) were lost on the way to the venue; "
                         "lower --rate, or see its counters for where",
                         (ull)lost(fates), (ull)fates->enters_lost);
    return 0;
}

double load_report_rate(const struct load_report *report)
{
    return report->sending_ns == 0 ? 0.0 : (double)sent(report) * 1e9 / (double)report->sending_ns;
}

static double in_us(uint64_t ns)
{
    return (double)ns / 1000.0;
}

static const struct {
    const char *name;
    double percentile;
} percentiles[] = {{"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p99.9", 99.9}};
#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

static void print_source(const struct load_report *report, FILE *stream)
{
    const struct load_tape_counts *tape = &report->tape_read;
    if (report->tape == NULL)
        fprintf(stream, "day           generated, seed %llu", (ull)report->seed);
    else
        fprintf(stream, "day           tape %s", report->tape);
    fprintf(stream, ", %u symbols, %u sessions\n", report->symbol_count, report->session_count);
    if (report->tape != NULL)
        fprintf(stream,
                "tape          %llu messages read; skipped: %llu about unknown orders, %llu of "
                "other symbols, %llu without an order, %llu malformed; %llu fitted, %llu orders "
                "cancelled that had vanished\n",
                (ull)tape->messages, (ull)tape->unknown_order, (ull)tape->other_symbol,
                (ull)tape->no_order, (ull)tape->malformed, (ull)tape->fitted, (ull)tape->vanished);
}

static void print_wire(const struct load_report *report, FILE *stream)
{
    const struct load_wire_counters *wire = &report->wire;
    if (report->wire_mode != NULL)
        fprintf(
            stream,
            "wire          AF_XDP, %s; dropped on the way out: %llu; on the way in: %llu for want "
            "of room, %llu of a wrong checksum, %llu of strangers\n",
            report->wire_mode, (ull)wire->not_sent, (ull)wire->no_room, (ull)wire->bad_checksum,
            (ull)wire->strangers);
    else
        fprintf(stream, "wire          sockets\n");
}

static const char *arrivals_name(const struct load_report *report)
{
    static const char *const names[] = LOAD_ARRIVALS_NAMES;
    return names[report->arrivals];
}

static void print_open_loop(const struct load_report *report, FILE *stream)
{
    fprintf(stream, "rate          open loop, arrivals %s: %llu", arrivals_name(report),
            (ull)report->rate);
    if (report->rate_to != report->rate)
        fprintf(stream, " to %llu", (ull)report->rate_to);
    fprintf(stream, " a second asked for, %.0f achieved; the generator was at most %.1f us late\n",
            load_report_rate(report), in_us(report->lateness_ns));
}

static void print_sending(const struct load_report *report, FILE *stream)
{
    const struct load_fates *fates = &report->fates;
    fprintf(stream, "sent          %llu of %llu orders: %llu enters, %llu cancels, %llu replaces\n",
            (ull)sent(report), (ull)report->planned, (ull)fates->enters, (ull)fates->cancels,
            (ull)fates->replaces);
    if (report->closed_loop)
        fprintf(stream, "rate          closed loop, one order at a time: %.0f a second\n",
                load_report_rate(report));
    else
        print_open_loop(report, stream);
}

static void print_fates(const struct load_report *report, FILE *stream)
{
    const struct load_fates *f = &report->fates;
    fprintf(stream,
            "enters        %llu = %llu accepted + %llu rejected + %llu lost + %llu unanswered\n",
            (ull)f->enters, (ull)f->enters_accepted, (ull)f->enters_rejected, (ull)f->enters_lost,
            (ull)f->enters_unanswered);
    for (uint32_t reason = 0; reason < LOAD_REJECT_REASONS; reason++) {
        if (report->rejected[reason] > 0)
            fprintf(stream, "  rejected    %llu: 0x%04X %s\n", (ull)report->rejected[reason],
                    reason, reason_name(reason));
    }
    fprintf(stream,
            "cancels       %llu = %llu answered + %llu without effect + %llu lost + %llu "
            "unanswered\n",
            (ull)f->cancels, (ull)f->cancels_answered, (ull)f->cancels_no_effect,
            (ull)f->cancels_lost, (ull)f->cancels_unanswered);
    fprintf(stream,
            "replaces      %llu = %llu replaced + %llu rejected + %llu refused by cancelling + "
            "%llu without effect + %llu lost + %llu unanswered\n",
            (ull)f->replaces, (ull)f->replaces_replaced, (ull)f->replaces_rejected,
            (ull)f->replaces_refused, (ull)f->replaces_no_effect, (ull)f->replaces_lost,
            (ull)f->replaces_unanswered);
    fprintf(stream,
            "orders        %llu = %llu executed + %llu cancelled + %llu cancelled after a part "
            "executed + %llu replaced + %llu open, partly executed + %llu resting\n",
            (ull)f->enters_accepted + f->replaces_replaced, (ull)f->executed_fully,
            (ull)f->canceled, (ull)f->canceled_partly_executed, (ull)f->replaced,
            (ull)f->open_partly_executed, (ull)f->resting);
    fprintf(stream,
            "executions    %llu of %llu shares, told to both sides%s; %llu orders executed; %llu "
            "shares rest\n",
            (ull)report->removed_count, (ull)report->removed_shares,
            sides_agree(report) ? "" : " NOT ALIKE", (ull)f->executed_orders,
            (ull)f->resting_shares);
}

static void print_percentiles(const struct histogram *histogram, FILE *stream)
{
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        fprintf(stream, " %s %.1f ", percentiles[i].name,
                in_us(histogram_percentile(histogram, percentiles[i].percentile)));
    fprintf(stream, " max %.1f  (%llu ", in_us(histogram->max), (ull)histogram->total_count);
}

static void print_stamped(const struct load_report *report, FILE *stream)
{
    if (report->stamps == PORT_STAMPS_SOFTWARE)
        return;
    fprintf(stream, "stamped us   ");
    print_percentiles(&report->stamped, stream);
    fprintf(stream,
            "enters, one at a time, from departure to the answer's arrival, by the %s clock)\n",
            report->stamps == PORT_STAMPS_KERNEL ? "kernel's" : "NIC's");
}

static void print_latency(const struct load_report *report, FILE *stream)
{
    fprintf(stream, "latency us   ");
    print_percentiles(&report->latency, stream);
    fprintf(stream, "answers, from the %s send, by the generator's clock)\n",
            report->closed_loop ? "actual" : "intended");
    print_stamped(report, stream);
    fprintf(
        stream,
        "noise floor   in %.1f s of spinning, gaps above 1 us: %llu, 10 us: %llu, 100 us: %llu; "
        "largest %.1f us; the generator %s\n",
        (double)report->noise.duration_ns / 1e9, (ull)report->noise.above_1us,
        (ull)report->noise.above_10us, (ull)report->noise.above_100us,
        in_us(report->noise.largest_ns), report->spin ? "spun" : "slept when idle");
    fprintf(stream,
            "stream        %llu retransmission requests, %llu duplicates, %llu beyond the window, "
            "%llu malformed, %llu about earlier orders\n",
            (ull)report->retransmit_requests, (ull)report->duplicates, (ull)report->beyond_window,
            (ull)report->malformed, (ull)report->earlier_orders);
}

// What the gateway has measured since its start, for whomever.
static void print_stages(const struct load_report *report, FILE *stream)
{
    size_t index;
    json_t *stage;
    if (report->stages != NULL && json_array_size(report->stages) == 0)
        fprintf(stream, "stages        none: the gateway's port has stamps = \"off\"\n");
    json_array_foreach(report->stages, index, stage)
    {
        const char *name;
        json_int_t count, mean, p50, p99, max;
        if (json_unpack(stage, "{s:s, s:I, s:I, s:I, s:I, s:I}", "name", &name, "count", &count,
                        "mean", &mean, "p50", &p50, "p99", &p99, "max", &max) == 0)
            fprintf(stream,
                    "stage us      %-13s mean %.1f  p50 %.1f  p99 %.1f  max %.1f  (%lld orders)\n",
                    name, in_us((uint64_t)mean), in_us((uint64_t)p50), in_us((uint64_t)p99),
                    in_us((uint64_t)max), (long long)count);
    }
}

int load_report_print(const struct load_report *report, FILE *stream)
{
    print_source(report, stream);
    print_wire(report, stream);
    print_sending(report, stream);
    print_fates(report, stream);
    print_latency(report, stream);
    print_stages(report, stream);
    return fflush(stream) == 0 && !ferror(stream) ? 0 : -1;
}

static json_t *json_count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

struct json_member {
    const char *name;
    uint64_t value;
};

static json_t *json_counts(const struct json_member *members, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, members[i].name, json_count(members[i].value));
    return object;
}

#define JSON_COUNTS(...)                                                                           \
    json_counts((const struct json_member[]){__VA_ARGS__},                                         \
                sizeof((const struct json_member[]){__VA_ARGS__}) / sizeof(struct json_member))

static json_t *json_fates(const struct load_fates *f)
{
    json_t *enters = JSON_COUNTS({"sent", f->enters}, {"accepted", f->enters_accepted},
                                 {"rejected", f->enters_rejected}, {"lost", f->enters_lost},
                                 {"unanswered", f->enters_unanswered});
    json_t *cancels = JSON_COUNTS({"sent", f->cancels}, {"answered", f->cancels_answered},
                                  {"no_effect", f->cancels_no_effect}, {"lost", f->cancels_lost},
                                  {"unanswered", f->cancels_unanswered});
    json_t *replaces = JSON_COUNTS({"sent", f->replaces}, {"replaced", f->replaces_replaced},
                                   {"rejected", f->replaces_rejected},
                                   {"refused_by_canceling", f->replaces_refused},
                                   {"no_effect", f->replaces_no_effect}, {"lost", f->replaces_lost},
                                   {"unanswered", f->replaces_unanswered});
    json_t *orders = JSON_COUNTS(
        {"executed_fully", f->executed_fully}, {"canceled", f->canceled},
        {"canceled_partly_executed", f->canceled_partly_executed}, {"replaced", f->replaced},
        {"open_partly_executed", f->open_partly_executed}, {"resting", f->resting},
        {"with_executions", f->executed_orders}, {"executed_shares", f->executed_shares},
        {"resting_shares", f->resting_shares}, {"impossible", f->impossible});
    return json_pack("{s:o, s:o, s:o, s:o}", "enters", enters, "cancels", cancels, "replaces",
                     replaces, "orders", orders);
}

static json_t *json_rejected(const struct load_report *report)
{
    json_t *object = json_object();
    for (uint32_t reason = 0; reason < LOAD_REJECT_REASONS; reason++) {
        char name[8];
        snprintf(name, sizeof(name), "0x%04X", reason & 0xFFFF);
        if (report->rejected[reason] > 0)
            json_object_set_new(object, name, json_count(report->rejected[reason]));
    }
    return object;
}

static json_t *json_histogram(const struct histogram *histogram)
{
    json_t *object = JSON_COUNTS({"count", histogram->total_count});
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        json_object_set_new(object, percentiles[i].name,
                            json_count(histogram_percentile(histogram, percentiles[i].percentile)));
    json_object_set_new(object, "max", json_count(histogram->max));
    json_object_set_new(object, "mean", json_real(histogram_mean(histogram)));
    return object;
}

static json_t *json_source(const struct load_report *report)
{
    const struct load_tape_counts *tape = &report->tape_read;
    json_t *source =
        JSON_COUNTS({"symbols", report->symbol_count}, {"sessions", report->session_count});
    if (report->tape == NULL) {
        json_object_set_new(source, "seed", json_count(report->seed));
        return source;
    }
    json_object_set_new(source, "tape", json_string(report->tape));
    json_object_set_new(
        source, "read",
        JSON_COUNTS({"messages", tape->messages}, {"unknown_order", tape->unknown_order},
                    {"other_symbol", tape->other_symbol}, {"no_order", tape->no_order},
                    {"malformed", tape->malformed}, {"fitted", tape->fitted},
                    {"vanished", tape->vanished}, {"packets_other", tape->packets_other}));
    return source;
}

static json_t *json_wire(const struct load_report *report)
{
    const struct load_wire_counters *wire = &report->wire;
    if (report->wire_mode == NULL)
        return json_pack("{s:s}", "by", "sockets");
    json_t *object =
        JSON_COUNTS({"not_sent", wire->not_sent}, {"no_room", wire->no_room},
                    {"bad_checksum", wire->bad_checksum}, {"strangers", wire->strangers});
    json_object_set_new(object, "by", json_string("AF_XDP"));
    json_object_set_new(object, "mode", json_string(report->wire_mode));
    return object;
}

json_t *load_report_json(const struct load_report *report)
{
    static const char *const stamps[] = PORT_STAMPS_NAMES;
    const struct load_noise *noise = &report->noise;
    struct error error = {""};
    bool good = load_report_check(report, &error) == 0;
    json_t *object = json_fates(&report->fates);
    json_object_set_new(object, "ok", json_boolean(good));
    json_object_set_new(object, "problem", good ? json_null() : json_string(error.text));
    json_object_set_new(object, "loop", json_string(report->closed_loop ? "closed" : "open"));
    json_object_set_new(object, "day", json_source(report));
    json_object_set_new(object, "wire", json_wire(report));
    json_object_set_new(object, "planned", json_count(report->planned));
    json_object_set_new(object, "sent", json_count(sent(report)));
    json_object_set_new(object, "arrivals", json_string(arrivals_name(report)));
    json_object_set_new(object, "rate_asked", json_count(report->rate));
    json_object_set_new(object, "rate_asked_to", json_count(report->rate_to));
    json_object_set_new(object, "rate_achieved", json_real(load_report_rate(report)));
    json_object_set_new(object, "lateness_max_ns", json_count(report->lateness_ns));
    json_object_set_new(object, "settled", json_boolean(report->settled));
    json_object_set_new(object, "rejected_by_reason", json_rejected(report));
    json_object_set_new(object, "executions",
                        JSON_COUNTS({"added", report->added_count},
                                    {"removed", report->removed_count},
                                    {"added_shares", report->added_shares},
                                    {"removed_shares", report->removed_shares}));
    json_object_set_new(object, "sides_agree", json_boolean(sides_agree(report)));
    json_object_set_new(object, "latency_ns", json_histogram(&report->latency));
    json_object_set_new(object, "intervals_ns", load_intervals_json(&report->intervals));
    json_object_set_new(object, "stamps", json_string(stamps[report->stamps]));
    if (report->stamps != PORT_STAMPS_SOFTWARE)
        json_object_set_new(object, "stamped_ns", json_histogram(&report->stamped));
    if (report->stages != NULL)
        json_object_set(object, "stages", report->stages);
    json_object_set_new(
        object, "noise",
        JSON_COUNTS({"duration_ns", noise->duration_ns}, {"above_1us", noise->above_1us},
                    {"above_10us", noise->above_10us}, {"above_100us", noise->above_100us},
                    {"largest_ns", noise->largest_ns}));
    json_object_set_new(object, "generator_spun", json_boolean(report->spin));
    json_object_set_new(
        object, "stream",
        JSON_COUNTS({"retransmit_requests", report->retransmit_requests},
                    {"duplicates", report->duplicates}, {"beyond_window", report->beyond_window},
                    {"malformed", report->malformed}, {"earlier_orders", report->earlier_orders}));
    return object;
}

int load_report_print_json(const struct load_report *report, FILE *stream)
{
    json_t *object = load_report_json(report);
    int status = json_dumpf(object, stream, JSON_INDENT(2));
    fputc('\n', stream);
    json_decref(object);
    return status == 0 && fflush(stream) == 0 && !ferror(stream) ? 0 : -1;
}
