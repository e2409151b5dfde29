// SPDX-License-Identifier: MIT
#include "dataplane/calendar.h"

#include <string.h>

#define NS_PER_SECOND 1000000000ull
#define AGAIN_SECONDS 2u // commands of one second may be journaled in any order
#define ACTOR         "calendar"
#define RESUMED_BY    "pause"

struct due {
    struct calendar *calendar;
    uint64_t time_ns;
};

static uint64_t midnight_of(const struct lane *lane)
{
    struct book_summary summary;
    book_summarise(lane->shard.book, &summary);
    return summary.midnight_ns;
}

// When they began is not known any more.
static void count_pauses_anew(struct lane *lane, uint64_t now_ns)
{
    for (uint16_t i = 0; i < lane->symbols.count; i++)
        atomic_store_explicit(&lane->feed.paused_ns[i],
                              book_phase(lane->shard.book, i) == 'P' ? now_ns | 1 : 0,
                              memory_order_relaxed); // the threads are started later
}

void calendar_open(struct calendar *calendar, struct gateway *gateway)
{
    uint64_t time_ns = clock_wall_ns(&gateway->clock);
    const struct config *config = gateway->config;
    *calendar = (struct calendar){.gateway = gateway};
    for (uint32_t i = 0; i < config->shard_count; i++) {
        struct lane *lane = gateway->lanes[i];
        uint64_t midnight_ns = midnight_of(lane);
        count_pauses_anew(lane, time_ns > midnight_ns ? time_ns - midnight_ns : 0);
        calendar->midnight_ns[i] = midnight_ns;
        while (calendar->next[i] < config->calendar_count &&
               midnight_ns + (config->calendar[calendar->next[i]].second + AGAIN_SECONDS) *
                                 NS_PER_SECOND <=
                   lane->recovered_ns)
            calendar->next[i]++;
    }
}

static uint32_t lane_index(const struct calendar *calendar, const struct lane *lane)
{
    uint32_t index = 0;
    while (calendar->gateway->lanes[index] != lane)
        index++;
    return index;
}

// The lane's next entry, if it is due and of an instrument that the lane has.
static uint32_t make_due(void *context, const struct lane *lane, struct command *commands)
{
    const struct due *due = context;
    struct calendar *calendar = due->calendar;
    const struct config *config = calendar->gateway->config;
    uint32_t index = lane_index(calendar, lane), *next = &calendar->next[index];
    for (; *next < config->calendar_count; (*next)++) {
        const struct config_entry *entry = &config->calendar[*next];
        if (calendar->midnight_ns[index] + entry->second * NS_PER_SECOND > due->time_ns)
            return 0;
        commands[0] = (struct command){
            .type = COMMAND_TRADING,
            .instrument = NO_INSTRUMENT,
            .trading = {.state = entry->state, .source = TRADING_CALENDAR, .actor = ACTOR}};
        if (entry->symbol[0])
            commands[0].instrument = symbols_find(&lane->symbols, entry->symbol);
        if (entry->symbol[0] && commands[0].instrument == NO_INSTRUMENT)
            continue; // another shard's
        return 1;
    }
    return 0;
}

// The ends of those of the lane's pauses that have lasted, as many as can be told it at once. They
// end nothing that an operator has begun meanwhile.
static uint32_t make_resumed(void *context, const struct lane *lane, struct command *commands)
{
    const struct due *due = context;
    struct calendar *calendar = due->calendar;
    uint32_t index = lane_index(calendar, lane), *looked = &calendar->looked[index], count = 0;
    uint64_t length_ns = calendar->gateway->config->pause_seconds * NS_PER_SECOND;
    for (; *looked < lane->symbols.count && count < LANE_ORDERS_MAX; (*looked)++) {
        uint64_t since_ns =
            atomic_load_explicit(&lane->feed.paused_ns[*looked], memory_order_relaxed);
        if (since_ns == 0 || calendar->midnight_ns[index] + since_ns + length_ns > due->time_ns)
            continue;
        commands[count++] =
            (struct command){.type = COMMAND_TRADING,
                             .instrument = (uint16_t)*looked,
                             .trading = {.state = 'T', .from = 'P', .actor = RESUMED_BY}};
    }
    calendar->resumed |= count > 0;
    return count;
}

static void end_pauses(struct due *due)
{
    struct calendar *calendar = due->calendar;
    struct error error;
    memset(calendar->looked, 0, sizeof(calendar->looked));
    do {
        calendar->resumed = false;
        if (gateway_order(calendar->gateway, make_resumed, due, NULL, &error)) {
            warn("the end of a pause: %s", error.text);
            return;
        }
    } while (calendar->resumed);
}

static int begin_phases(struct due *due)
{
    struct calendar *calendar = due->calendar;
    struct error error;
    bool given[CONFIG_SHARDS_MAX], any;
    int result;
    do {
        result = gateway_order(calendar->gateway, make_due, due, given, &error);
        if (result)
            warn("the calendar: %s", error.text);
        any = false;
        for (uint32_t i = 0; i < calendar->gateway->config->shard_count; i++) {
            calendar->next[i] += given[i];
            any |= given[i];
        }
    } while (any);
    return result;
}

int calendar_tick(struct calendar *calendar, uint64_t time_ns)
{
    struct due due = {calendar, time_ns};
    int result = begin_phases(&due);
    if (calendar->gateway->config->pause_seconds > 0)
        end_pauses(&due);
    return result;
}
