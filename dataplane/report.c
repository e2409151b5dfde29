// SPDX-License-Identifier: MIT
#include "dataplane/report.h"

#include <inttypes.h>
#include <time.h>

#define WAIT_MS 1000

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *named(const char *const *names, const uint64_t *values, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, names[i], number(values[i]));
    return object;
}

// By the codes of OUCH 5.0 section 8, those that came.
static json_t *rejected(const uint64_t counts[UINT8_MAX + 1])
{
    json_t *object = json_object();
    for (uint32_t code = 0; code <= UINT8_MAX; code++) {
        char name[8];
        snprintf(name, sizeof(name), "0x%04X", code);
        if (counts[code] > 0)
            json_object_set_new(object, name, number(counts[code]));
    }
    return object;
}

// By what limits are called, those that were broken.
static json_t *limits(const uint64_t counts[LIMIT_INSTRUMENT_END])
{
    json_t *object = json_object();
    const struct limit_name *limit;
    for (uint32_t i = 0; (limit = limit_at(i)); i++)
        if (counts[limit->kind] > 0)
            json_object_set_new(object, limit->name, number(counts[limit->kind]));
    return object;
}

static json_t *report_entry(const struct entry_counters *counters)
{
    static const char *const verdicts[] = ENTRY_VERDICT_NAMES;
    static const char *const ufo_faults[] = UFO_FAULT_NAMES;
    static const char *const ouch_faults[] = OUCH_FAULT_NAMES;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o}",
        "datagrams", named(verdicts, counters->datagrams, ENTRY_VERDICT_COUNT), "ufo_faults",
        named(ufo_faults + 1, counters->ufo_faults + 1, UFO_FAULT_COUNT - 1), "ouch_faults",
        named(ouch_faults + 1, counters->ouch_faults + 1, OUCH_FAULT_COUNT - 1), "commands",
        number(counters->commands), "logins", number(counters->logins), "logoffs",
        number(counters->logoffs), "timeouts", number(counters->timeouts), "sent_packets",
        number(counters->sent_packets), "sent_messages", number(counters->sent_messages),
        "retransmit_requests", number(counters->retransmit_requests), "retransmitted_messages",
        number(counters->retransmitted_messages), "retransmitted_from_journal",
        number(counters->retransmitted_from_journal), "retransmit_later",
        number(counters->retransmit_later), "retransmit_unserved",
        number(counters->retransmit_unserved), "rejected", rejected(counters->rejected),
        "cancels_rejected", number(counters->cancels_rejected), "limits", limits(counters->limits),
        "disconnect_cancels", number(counters->disconnect_cancels));
}

static json_t *report_feed(const struct feed *feed)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "packets", number(feed->packets),
                     "messages", number(feed->messages), "heartbeats", number(feed->heartbeats),
                     "requests", number(feed->requests), "requests_later",
                     number(feed->requests_later), "requests_unserved",
                     number(feed->requests_unserved), "next", number(feed->stream.next));
}

static json_t *report_lane(const struct lane *lane, const struct lane_snapshot *snapshot)
{
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "shard",
                     (int)lane->index, "entry", report_entry(&snapshot->entry), "feed",
                     report_feed(&snapshot->feed), "events_released", number(snapshot->released),
                     "durable_seq", number(atomic_load(&lane->gate.progress->durable_seq)),
                     "spare_segments", number(atomic_load(&lane->gate.progress->spare_count)),
                     "events_stalls", number(atomic_load(&lane->shard.events_stalls)),
                     "journal_stalls", number(atomic_load(&lane->shard.journal_stalls)),
                     "longest_write_ns", number(atomic_load(&lane->longest_write_ns)), "recovered",
                     number(lane->recovered_count));
}

static json_t *report_packets(const struct port_counters *counters)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "received",
        number(counters->received_packets), "received_bytes", number(counters->received_bytes),
        "sent", number(counters->sent_packets), "sent_bytes", number(counters->sent_bytes),
        "no_frame", number(counters->no_frame), "kicks", number(counters->kicks), "kick_busy",
        number(counters->kick_busy), "rx_dropped", number(counters->rx_dropped), "rx_ring_full",
        number(counters->rx_ring_full), "rx_fill_empty", number(counters->rx_fill_empty),
        "rx_invalid", number(counters->rx_invalid), "tx_invalid", number(counters->tx_invalid),
        "unlisted", number(counters->unlisted));
}

json_t *report_queues(const struct config_port *place)
{
    json_t *queues = json_array();
    for (uint32_t i = 0; i < place->queue_count; i++)
        json_array_append_new(queues, json_integer(place->queues[i]));
    return queues;
}

// Those that anything was counted in.
static json_t *report_times(const char *const *names, const struct house_times *times, size_t count)
{
    json_t *all = json_object();
    for (size_t i = 0; i < count; i++) {
        const struct house_times *found = &times[i];
        if (found->count > 0)
            json_object_set_new(all, names[i],
                                json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "count",
                                          number(found->count), "mean", number(found->mean_ns),
                                          "p50", number(found->p50_ns), "p90",
                                          number(found->p90_ns), "p99", number(found->p99_ns),
                                          "max", number(found->max_ns)));
    }
    return all;
}

// Ports that share an interface all tell of its one program.
static json_t *report_port(const struct house_port *house)
{
    static const char *const verdicts[] = STEER_VERDICT_NAMES;
    static const char *const clocks[] = PORT_STAMPS_NAMES; // both ends of a turnaround are of one
    static const char *const stages[] = TRANSIT_STAGE_NAMES;
    uint64_t steered[STEER_VERDICT_COUNT] = {0};
    struct error ignored;
    if (house->interface)
        steer_counters(house->interface->steer, steered, &ignored);
    return json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "interface",
                     house->place->interface, "queues", report_queues(house->place), "mode",
                     house->port->mode, "xdp", named(verdicts, steered, STEER_VERDICT_COUNT),
                     "packets", report_packets(&house->snapshot.packets), "parsed",
                     named(verdicts, house->snapshot.verdicts, STEER_VERDICT_COUNT),
                     "turnaround_ns",
                     report_times(clocks, house->snapshot.turnaround, PORT_STAMPS_COUNT),
                     "stages_ns", report_times(stages, house->snapshot.stages, TRANSIT_STAGES));
}

static json_t *report_clock(const struct clock_health *health)
{
    return json_pack("{s:I, s:o, s:b}", "from_host_ns", (json_int_t)health->from_host_ns,
                     "estimated_ns", health->estimated ? number(health->estimated_ns) : json_null(),
                     "steered", health->steered);
}

json_t *report_gateway(struct gateway *gateway)
{
    pthread_mutex_lock(&gateway->lock);
    gateway_snapshot(gateway, WAIT_MS);
    json_t *ports = json_array(), *shards = json_array();
    for (uint32_t i = 0; i < gateway->config->port_count; i++)
        json_array_append_new(ports, report_port(&gateway->ports[i]));
    for (uint32_t i = 0; i < gateway->config->shard_count; i++)
        json_array_append_new(shards, report_lane(gateway->lanes[i], &gateway->lanes[i]->snapshot));
    json_t *clock = report_clock(&gateway->clock_health);
    pthread_mutex_unlock(&gateway->lock);
    return json_pack("{s:o, s:o, s:o}", "ports", ports, "shards", shards, "clock", clock);
}

static void print_member(const char *name, const json_t *value, FILE *stream, int depth);

static void print_children(const json_t *value, FILE *stream, int depth)
{
    const char *name;
    json_t *member;
    size_t index;
    if (json_is_array(value)) {
        json_array_foreach(value, index, member) print_children(member, stream, depth);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
        print_member(name, member, stream, depth);
}

static void print_member(const char *name, const json_t *value, FILE *stream, int depth)
{
    if (json_is_object(value) || json_is_array(value)) {
        fprintf(stream, "%*s%s\n", depth * 2, "", name);
        print_children(value, stream, depth + 1);
    } else if (json_is_string(value)) {
        fprintf(stream, "%*s%s: %s\n", depth * 2, "", name, json_string_value(value));
    } else if (json_is_real(value)) {
        fprintf(stream, "%*s%s: %.3f\n", depth * 2, "", name, json_real_value(value));
    } else if (json_is_boolean(value)) {
        fprintf(stream, "%*s%s: %s\n", depth * 2, "", name, json_is_true(value) ? "yes" : "no");
    } else if (json_integer_value(value) != 0) {
        fprintf(stream, "%*s%s: %" JSON_INTEGER_FORMAT "\n", depth * 2, "", name,
                json_integer_value(value));
    }
}

void report_print(const json_t *value, FILE *stream)
{
    print_children(value, stream, 1);
}

json_t *report_hash(uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof(text), "%016" PRIx64, hash);
    return json_string(text);
}
