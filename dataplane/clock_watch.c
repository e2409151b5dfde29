// SPDX-License-Identifier: MIT
#include "dataplane/clock_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTOR "clock"

uint64_t clock_divergence_ns(const struct clock_health *health)
{
    return (uint64_t)llabs(health->from_host_ns) + health->estimated_ns;
}

static uint32_t turn(bool *was, bool is, uint32_t begins, uint32_t ends)
{
    uint32_t change = *was == is ? 0 : is ? begins : ends;
    *was = is;
    return change;
}

uint32_t clock_judge(struct clock_state *state, const struct config_clock *limits,
                     const struct clock_health *health)
{
    uint64_t divergence_ns = clock_divergence_ns(health);
    return turn(&state->far, divergence_ns > limits->alarm_us * 1000ull, CLOCK_FAR, CLOCK_NEAR) |
           turn(&state->blind, !health->estimated, CLOCK_BLIND, CLOCK_SEEN) |
           turn(&state->wrong, divergence_ns > limits->halt_us * 1000ull, CLOCK_WRONG, 0);
}

// Rounded up: what is beyond a limit is shown as more than it.
static unsigned long long in_us(uint64_t ns)
{
    return (ns + 999) / 1000;
}

static void say(uint32_t changes, const struct config_clock *limits,
                const struct clock_health *health)
{
    unsigned long long divergence_us = in_us(clock_divergence_ns(health));
    char host[64] = "";
    if (health->estimated)
        snprintf(host, sizeof(host), ", which is off by an estimated %llu us",
                 in_us(health->estimated_ns));
    if (changes & CLOCK_FAR)
        warn("clock: %llu us from UTC, more than alarm_us = %u: %llu us %s the host's%s",
             divergence_us, limits->alarm_us, in_us((uint64_t)llabs(health->from_host_ns)),
             health->from_host_ns < 0 ? "behind" : "ahead of", host);
    if (changes & CLOCK_NEAR)
        warn("clock: %llu us from UTC, no more than alarm_us = %u again", divergence_us,
             limits->alarm_us);
    if (changes & CLOCK_BLIND)
        warn("clock: how far the host's is from UTC is not known: %s",
             health->steered ? "who steers it tells the kernel of no error (phc2sys does not, "
                               "chronyd and ntpd do)"
                             : "nobody steers it, or tells the kernel so (chronyd does with "
                               "rtcsync)");
    if (changes & CLOCK_SEEN)
        warn("clock: how far the host's is from UTC is known again");
    if (changes & CLOCK_WRONG)
        warn("clock: %llu us from UTC, more than halt_us = %u: all instruments are halted, until "
             "`sluice ctl resume`",
             divergence_us, limits->halt_us);
}

static uint32_t make_halt(void *context, const struct lane *lane, struct command *commands)
{
    const struct clock_watch *watch = context;
    if (watch->halted[lane->index])
        return 0;
    commands[0] =
        (struct command){.type = COMMAND_TRADING,
                         .instrument = NO_INSTRUMENT,
                         .trading = {.state = 'H', .source = TRADING_OPERATOR, .actor = ACTOR}};
    return 1;
}

static int halt(struct clock_watch *watch)
{
    struct error error;
    bool given[CONFIG_SHARDS_MAX];
    int result = gateway_order(watch->gateway, make_halt, watch, given, &error);
    if (result)
        warn("the clock's halt: %s", error.text);
    for (uint32_t i = 0; i < watch->gateway->config->shard_count; i++)
        watch->halted[i] |= given[i];
    return result;
}

int clock_watch_look(struct clock_watch *watch, const struct clock_health *health)
{
    const struct config_clock *limits = &watch->gateway->config->clock;
    if (limits->halt_us == 0)
        return 0;
    say(clock_judge(&watch->state, limits, health), limits, health);
    if (watch->state.wrong)
        return halt(watch);
    memset(watch->halted, 0, sizeof(watch->halted));
    return 0;
}

int clock_watch_tick(struct clock_watch *watch)
{
    struct gateway *gateway = watch->gateway;
    struct clock_health health;
    clock_follow(&gateway->clock, &health);
    pthread_mutex_lock(&gateway->lock);
    gateway->clock_health = health;
    pthread_mutex_unlock(&gateway->lock);
    return clock_watch_look(watch, &health);
}
