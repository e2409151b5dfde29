// SPDX-License-Identifier: MIT
//
// An operator's orders over three shards, each with its journal on a disk in memory, one of which
// is stuck: it keeps them from no other, and what was told is not told again. Each test of that
// waits as long as an operator would: ten seconds. And what the calendar leaves alone of them, and
// a clock that is wrong.
#include <time.h>

#include "dataplane/calendar.h"
#include "dataplane/clock_watch.h"
#include "tests/unit/three_lanes.h"

#define STUCK 1u

static struct gateway gateway = {.config = &config, .lock = PTHREAD_MUTEX_INITIALIZER};
static pthread_t shards;
static _Atomic bool stop, all_go;

// The ports' threads and the shards' and the journals', of all but the one that is stuck.
static void *shards_main(void *argument)
{
    while (!atomic_load(&stop)) {
        for (uint32_t i = 0; i < LANES; i++) {
            if (i == STUCK && !atomic_load(&all_go))
                continue;
            lane_take_orders(lanes[i], START_NS);
            cr_assert(lane_pump(lanes[i], 0));
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return argument;
}

static void start_shards(void)
{
    start_lanes(&gateway.shares.rebalance);
    memcpy(gateway.lanes, lanes, sizeof(lanes));
    atomic_store(&stop, false);
    cr_assert_eq(pthread_create(&shards, NULL, shards_main, NULL), 0);
}

static void stop_shards(void)
{
    atomic_store(&stop, true);
    pthread_join(shards, NULL);
    stop_lanes(&gateway.shares.rebalance);
}

static void set_up(void)
{
    clock_calibrate(&gateway.clock, 10);
    config.calendar_count = 1;
    config.calendar[0] = (struct config_entry){.second = 0, .state = 'T'};
    gateway.shares.lock = &gateway.lock;
    gateway.shares.clock = &gateway.clock;
    new_disks();
    start_shards();
}

static void tear_down(void)
{
    stop_shards();
    free_disks();
}

TestSuite(operator, .init = set_up, .fini = tear_down);

static struct command halt(void)
{
    return (struct command){.type = COMMAND_TRADING,
                            .session = ANY_SESSION,
                            .instrument = NO_INSTRUMENT,
                            .trading.state = 'H'};
}

static uint32_t make_halt(void *context, const struct lane *lane, struct command *commands)
{
    (void)context;
    (void)lane;
    commands[0] = halt();
    return 1;
}

static uint32_t make_order(void *context, const struct lane *lane, struct command *commands)
{
    (void)lane;
    commands[0] = *(const struct command *)context;
    return 1;
}

static void wait_for(uint32_t lane, uint64_t number)
{
    while (!lane_orders_done(lanes[lane], number))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static uint8_t phase(uint32_t lane)
{
    return book_phase(lanes[lane]->shard.book, 0);
}

Test(operator, a_shard_that_does_not_answer_is_named_and_the_others_obey)
{
    bool given[CONFIG_SHARDS_MAX];
    cr_assert_eq(gateway_order(&gateway, make_halt, NULL, given, &error), -1);
    cr_assert_str_eq(error.text, "shard 1 does not answer: it is not known whether it has done it; "
                                 "the others have done it");
    cr_assert(given[0] && given[STUCK] && given[2]);
    cr_assert(phase(0) == 'H' && phase(STUCK) == 'T' && phase(2) == 'H');
    atomic_store(&all_go, true);
    wait_for(STUCK, lanes[STUCK]->orders.number);
    cr_assert_eq(phase(STUCK), 'H', "it has been given it, and does it when it can");
    cr_assert_eq(gateway_order(&gateway, make_halt, NULL, NULL, &error), 0, "%s", error.text);
}

// It used to keep the order from those behind it, and say nothing of those before it.
Test(operator, a_shard_that_is_still_at_something_keeps_an_order_from_no_other)
{
    bool given[CONFIG_SHARDS_MAX];
    struct command before = halt();
    cr_assert_neq(lane_give_orders(lanes[STUCK], &before, 1), 0);
    cr_assert_eq(gateway_order(&gateway, make_halt, NULL, given, &error), -1);
    cr_assert_str_eq(error.text, "shard 1 has not done what it was told before: this it was not "
                                 "told; the others have done it");
    cr_assert(given[0] && !given[STUCK] && given[2]);
    cr_assert(phase(0) == 'H' && phase(2) == 'H');
    uint64_t began_ns = clock_ns(&gateway.clock);
    cr_assert_eq(gateway_order(&gateway, make_halt, NULL, given, &error), -1);
    cr_assert_lt(clock_ns(&gateway.clock) - began_ns, 5000000000, "nobody waits for it again");
}

// It used to be told again and again, and undid what an operator had done since.
Test(operator, an_entry_of_the_calendar_is_not_repeated_for_the_sake_of_a_shard_that_is_stuck)
{
    static struct calendar calendar;
    struct command order = halt();
    order.trading.state = 'P';
    calendar = (struct calendar){.gateway = &gateway};
    uint64_t before = lane_give_orders(lanes[STUCK], &order, 1);
    cr_assert_neq(before, 0);
    calendar_tick(&calendar, START_NS);
    cr_assert(calendar.next[0] == 1 && calendar.next[STUCK] == 0 && calendar.next[2] == 1);
    uint64_t number = lane_give_orders(lanes[0], &order, 1);
    atomic_store(&all_go, true);
    wait_for(STUCK, before);
    wait_for(0, number);
    calendar_tick(&calendar, START_NS);
    cr_assert_eq(calendar.next[STUCK], 1);
    cr_assert(phase(0) == 'P' && phase(STUCK) == 'T');
}

// Of those that are not stuck.
static uint32_t make_halt_of_others(void *context, const struct lane *lane,
                                    struct command *commands)
{
    return lane == lanes[STUCK] ? 0 : make_halt(context, lane, commands);
}

static _Atomic bool set_ended;

static void *set_limit(void *argument)
{
    struct error why;
    cr_assert_eq(share_keeper_set(&gateway.shares, "ALFA", LIMIT_GROSS, 1000000, "test", &why), -1);
    cr_assert_str_eq(why.text, "shard 1 does not answer: it is not known whether it was done");
    atomic_store(&set_ended, true);
    return argument;
}

static bool waits_for_the_stuck(void)
{
    const struct rebalance *rebalance = &gateway.shares.rebalance;
    pthread_mutex_lock(&gateway.lock);
    bool waits = rebalance->at == STUCK && rebalance->given != 0;
    pthread_mutex_unlock(&gateway.lock);
    return waits;
}

// It used to hold the lock until the shard answered.
Test(operator, shares_that_wait_for_a_stuck_shard_keep_an_order_from_no_other)
{
    pthread_t setter;
    cr_assert_eq(pthread_create(&setter, NULL, set_limit, NULL), 0);
    while (!waits_for_the_stuck())
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert_eq(gateway_order(&gateway, make_halt_of_others, NULL, NULL, &error), 0);
    cr_assert(!atomic_load(&set_ended) && phase(0) == 'H' && phase(2) == 'H');
    pthread_join(setter, NULL);
    cr_assert(atomic_load(&set_ended));
}

// --- What the calendar leaves alone

static struct calendar calendar;

// An entry of this very second, so that a restart says it again.
static void due_now(uint8_t state)
{
    uint64_t midnight_ns;
    struct book_summary summary;
    book_summarise(lanes[0]->shard.book, &summary);
    midnight_ns = summary.midnight_ns;
    config.calendar[config.calendar_count++] = (struct config_entry){
        .second = (uint32_t)((START_NS - midnight_ns) / 1000000000ull), .state = state};
}

static void begin_day(void)
{
    atomic_store(&all_go, true);
    config.calendar[0].state = 'O';
    calendar_open(&calendar, &gateway);
    cr_assert_eq(calendar_tick(&calendar, START_NS), 0);
    cr_assert_eq(phase(0), 'O');
}

// It used to end the halt, in the calendar's name.
Test(operator, an_entry_of_the_calendar_does_not_end_a_halt)
{
    begin_day();
    cr_assert_eq(gateway_order(&gateway, make_halt, NULL, NULL, &error), 0);
    due_now('T');
    cr_assert_eq(calendar_tick(&calendar, START_NS), 0);
    cr_assert_eq(calendar.next[0], 2);
    cr_assert_eq(phase(0), 'H');
    due_now('C');
    cr_assert_eq(calendar_tick(&calendar, START_NS), 0);
    cr_assert_eq(phase(0), 'C');
}

static uint32_t make_pause(void *context, const struct lane *lane, struct command *commands)
{
    make_halt(context, lane, commands);
    commands[0].trading.state = 'P';
    return 1;
}

// A start within two seconds used to end by the entry what had come after it.
Test(operator, an_entry_of_the_calendar_that_is_said_again_after_a_restart_has_no_effect)
{
    begin_day();
    due_now('T');
    cr_assert_eq(calendar_tick(&calendar, START_NS), 0);
    cr_assert_eq(phase(0), 'T');
    cr_assert_eq(gateway_order(&gateway, make_pause, NULL, NULL, &error), 0);
    stop_shards();
    start_shards();
    calendar_open(&calendar, &gateway);
    cr_assert_eq(calendar.next[0], 1, "it is said again");
    cr_assert_eq(calendar_tick(&calendar, START_NS), 0);
    cr_assert_eq(phase(0), 'P');
}

// --- A clock that is wrong

static const struct clock_health wrong = {.from_host_ns = 2000000}, right;

static void order_all(uint8_t state)
{
    bool given[CONFIG_SHARDS_MAX];
    struct command order = halt();
    order.trading.state = state;
    cr_assert_eq(gateway_order(&gateway, make_order, &order, given, &error), 0, "%s", error.text);
}

static void expect_phases(const char *expected)
{
    for (uint32_t i = 0; i < LANES; i++)
        cr_expect_eq(phase(i), expected[i], "shard %u: %c", i, phase(i));
}

Test(operator, a_clock_that_is_wrong_halts_all_once_until_it_has_been_right_again)
{
    struct clock_watch watch = {.gateway = &gateway};
    atomic_store(&all_go, true);
    config.clock = (struct config_clock){100, 1000};
    cr_expect_eq(clock_watch_look(&watch, &right), 0);
    expect_phases("TTT");
    cr_expect_eq(clock_watch_look(&watch, &wrong), 0);
    expect_phases("HHH");
    order_all('R');
    cr_expect_eq(clock_watch_look(&watch, &wrong), 0);
    expect_phases("TTT"); // who resumes has decided so
    cr_expect_eq(clock_watch_look(&watch, &right), 0);
    expect_phases("TTT");
    cr_expect_eq(clock_watch_look(&watch, &wrong), 0);
    expect_phases("HHH");
    cr_expect_eq(clock_watch_look(&watch, &right), 0);
    expect_phases("HHH"); // nobody but an operator resumes them
    calendar = (struct calendar){.gateway = &gateway};
    calendar_tick(&calendar, START_NS);
    expect_phases("HHH");
}

Test(operator, a_clock_is_let_be_where_the_configuration_has_no_limits)
{
    struct clock_watch watch = {.gateway = &gateway};
    config.clock = (struct config_clock){0};
    cr_expect_eq(clock_watch_look(&watch, &wrong), 0);
    expect_phases("TTT");
}

Test(operator, a_halt_of_the_clocks_is_said_again_to_those_shards_only_that_were_not_told)
{
    struct clock_watch watch = {.gateway = &gateway};
    struct command before = halt();
    before.trading.state = 'T';
    config.clock = (struct config_clock){100, 1000};
    uint64_t number = lane_give_orders(lanes[STUCK], &before, 1);
    cr_assert_neq(number, 0);
    cr_expect_eq(clock_watch_look(&watch, &wrong), -1);
    expect_phases("HTH");
    atomic_store(&all_go, true);
    wait_for(STUCK, number);
    struct command resume = halt();
    resume.trading.state = 'R';
    wait_for(0, lane_give_orders(lanes[0], &resume, 1));
    cr_expect_eq(clock_watch_look(&watch, &wrong), 0);
    expect_phases("THH");
}
