// SPDX-License-Identifier: MIT
//
// A lane over a disk in memory: its snapshots, which segments they let go, and what its streams no
// longer keep.
#include "tests/unit/memory_lane.h"

#define FIRST          "segment-0000000000000001"
#define SEGMENT_BLOCKS (JOURNAL_SEGMENT_BYTES_MIN / JOURNAL_BLOCK_SIZE)

static struct error error;
static struct config_instrument instruments[1] = {{.symbol = "ABC     ", .round_lot = 100}};
static struct config_session sessions[1] = {{.user = "ALICE ", .firm = "ALFA"}};
static const struct config config = {.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN,
                                     .spare_count = 1,
                                     .keep_segments = 1,
                                     .orders_max = 64,
                                     .history_count = 64,
                                     .in_flight_count = 256,
                                     .port_count = 1,
                                     .shard_count = 1,
                                     .instrument_count = 1,
                                     .session_count = 1,
                                     .instruments = instruments,
                                     .sessions = sessions};

static struct lane *open_lane(struct memory_disk *memory)
{
    return primed_lane_on(memory, 0, &config);
}

// One command a block; spares are made and segments sealed in time.
static void go_on(struct lane *lane, uint32_t blocks)
{
    for (uint32_t i = 0; i < blocks; i++) {
        *(struct command *)ring_write_slot(lane->commands, 0) =
            (struct command){.type = COMMAND_CLOCK, .time_ns = START_NS};
        ring_commit(lane->commands, 1);
        cr_assert(lane_pump(lane, 0));
        lane_make_spare(lane);
        lane_seal(lane);
    }
}

static void take_snapshot(struct lane *lane)
{
    cr_assert_eq(lane_take_snapshot(lane, &error), 0, "%s", error.text);
    cr_assert_eq(lane->snapshot_seq, atomic_load(&lane->gate.progress->durable_seq));
}

// Two snapshots, the first one's last record in the middle of the first segment; then another round
// in which nothing is new.
static struct lane *lane_with_two_snapshots(struct memory_disk *memory)
{
    struct lane *lane = open_lane(memory);
    go_on(lane, SEGMENT_BLOCKS / 2);
    take_snapshot(lane);
    go_on(lane, 2 * SEGMENT_BLOCKS);
    take_snapshot(lane);
    take_snapshot(lane);
    go_on(lane, 3 * SEGMENT_BLOCKS);
    return lane;
}

Test(lane, a_round_without_a_new_snapshot_gives_no_segment_up)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = lane_with_two_snapshots(memory);
    cr_assert_not_null(memory_find(memory, FIRST), "one snapshot alone has its last records");
    take_snapshot(lane);
    go_on(lane, SEGMENT_BLOCKS);
    cr_assert_null(memory_find(memory, FIRST), "two have them");
    end_lane(lane);
    memory_free(memory);
}

static void find_newest(void *context, const char *name)
{
    char *newest = context;
    if (strncmp(name, "snapshot-", 9) == 0 && strcmp(name, newest) > 0)
        snprintf(newest, 32, "%s", name);
}

static void damage_newest_snapshot(struct memory_disk *memory)
{
    char name[32] = "";
    files_list(&memory->files, find_newest, name);
    memory_find(memory, name)->bytes[5000] ^= 1;
}

Test(lane, a_shard_comes_back_from_the_older_snapshot_when_the_newer_one_is_damaged)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = lane_with_two_snapshots(memory);
    uint64_t snapshot_seq = lane->snapshot_seq;
    uint64_t count = atomic_load(&lane->gate.progress->durable_seq);
    uint64_t hash = book_hash(lane->shard.book);
    end_lane(lane);
    damage_newest_snapshot(memory);
    lane = open_lane(memory);
    cr_assert_lt(lane->snapshot_seq, snapshot_seq);
    cr_assert_eq(lane->recovered_count, count);
    cr_assert_eq(lane->recovered_hash, hash);
    end_lane(lane);
    memory_free(memory);
}

// --- What the streams no longer keep

#define ASKED_MAX 200000u

static struct event told[ASKED_MAX + 1]; // by number, as it was released at first
static uint64_t now_ns;

// Answers one after another, one command a block.
static void answer(struct lane *lane, uint32_t count, uint64_t *number)
{
    for (uint32_t i = 0; i < count; i++) {
        *(struct command *)ring_write_slot(lane->commands, 0) =
            (struct command){.type = COMMAND_QUERY, .time_ns = START_NS};
        ring_commit(lane->commands, 1);
        cr_assert(lane_pump(lane, 0));
        lane_make_spare(lane);
        lane_seal(lane);
        const struct stream *stream = &lane->entry.sessions[0].stream;
        while (*number + 1 < stream->next) {
            ++*number;
            told[*number] = *stream_event(stream, *number);
        }
    }
}

// What can be read of the first session's stream, from event `first` to `last`, is what was told at
// first; how many there were.
static uint64_t read_again(struct lane *lane, uint64_t first, uint64_t last)
{
    uint64_t count = 0;
    now_ns += 3600000000000ull;
    for (uint64_t number = first; number <= last; number++) {
        bool later = true;
        const struct stream *stream = NULL;
        while (later) {
            stream = history_find(&lane->history, 0, &lane->entry.sessions[0].stream, number,
                                  ++now_ns, &later);
            if (later)
                cr_assert(lane_fetch_history(lane), "event %lu", number);
        }
        if (!stream)
            continue;
        cr_assert_arr_eq(stream_event(stream, number), &told[number], sizeof(struct event));
        count++;
    }
    return count;
}

Test(lane, a_stream_can_be_read_from_its_first_event_while_the_journal_goes_on)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    uint64_t number = 0;
    answer(lane, 300, &number);
    cr_assert_gt(number, 299);
    cr_assert_null(stream_event(&lane->entry.sessions[0].stream, 1), "it is not kept");
    cr_assert_eq(read_again(lane, 1, number / 2), number / 2);
    uint64_t so_far = number;
    answer(lane, 300, &number);
    cr_assert_eq(read_again(lane, so_far / 2, number), number - so_far / 2 + 1);
    cr_assert_eq(read_again(lane, 1, number), number, "and once more");
    end_lane(lane);
    memory_free(memory);
}

Test(lane, a_stream_can_be_read_from_its_first_event_after_a_restart)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    uint64_t number = 0;
    answer(lane, 300, &number);
    end_lane(lane);
    lane = open_lane(memory);
    cr_assert_eq(read_again(lane, 1, number), number);
    end_lane(lane);
    memory_free(memory);
}

Test(lane, of_a_journal_whose_beginning_was_used_again_what_is_there_is_read)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    uint64_t number = 0;
    answer(lane, 2 * SEGMENT_BLOCKS, &number);
    take_snapshot(lane);
    uint64_t there = number - 63; // from the older snapshot's last messages on
    answer(lane, SEGMENT_BLOCKS, &number);
    take_snapshot(lane);
    answer(lane, SEGMENT_BLOCKS, &number);
    cr_assert_null(memory_find(memory, FIRST));
    cr_assert_eq(read_again(lane, 1, number), number - there + 1);
    cr_assert_eq(read_again(lane, there, number), number - there + 1);
    end_lane(lane);
    memory_free(memory);
}

Test(lane, a_replay_that_a_segment_is_taken_from_begins_again)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    uint64_t number = 0;
    answer(lane, 200, &number);
    cr_assert_eq(read_again(lane, 1, 100), 100, "the replay stands in the first segment");
    answer(lane, 2 * SEGMENT_BLOCKS, &number);
    take_snapshot(lane);
    answer(lane, SEGMENT_BLOCKS, &number);
    take_snapshot(lane);
    answer(lane, SEGMENT_BLOCKS, &number);
    cr_assert_null(memory_find(memory, FIRST));
    cr_assert_eq(read_again(lane, number - 100, number), 101);
    end_lane(lane);
    memory_free(memory);
}

Test(lane, the_feed_is_read_again_as_sessions_are)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    bool later;
    for (uint32_t i = 0; i < 200; i++) {
        *(struct command *)ring_write_slot(lane->commands, 0) =
            (struct command){.type = COMMAND_TRADING,
                             .session = ANY_SESSION,
                             .time_ns = START_NS,
                             .trading.state = i % 2 ? 'T' : 'H'};
        ring_commit(lane->commands, 1);
        cr_assert(lane_pump(lane, 0));
    }
    const struct stream *kept = &lane->feed.stream;
    cr_assert_null(stream_event(kept, 1));
    cr_assert_null(history_find(&lane->history, FEED_SESSION, kept, 1, START_NS, &later));
    cr_assert(later && lane_fetch_history(lane));
    const struct stream *stream =
        history_find(&lane->history, FEED_SESSION, kept, 1, START_NS, &later);
    for (uint64_t number = kept->next - 64; number < kept->next; number++)
        cr_assert_arr_eq(stream_event(stream, number), stream_event(kept, number),
                         sizeof(struct event));
    end_lane(lane);
    memory_free(memory);
}

Test(lane, a_session_for_which_the_day_has_no_room_is_told_of)
{
    struct memory_disk *memory = memory_new();
    end_lane(open_lane(memory));
    struct config_session many[LANE_SESSIONS_ROOM + 2] = {{.user = "ALICE ", .firm = "ALFA"}};
    for (uint32_t i = 1; i < LANE_SESSIONS_ROOM + 2; i++)
        snprintf(many[i].user, sizeof(many[i].user), "U%04u", i);
    for (uint32_t more = LANE_SESSIONS_ROOM; more <= LANE_SESSIONS_ROOM + 1; more++) {
        struct config later = config;
        later.sessions = many;
        later.session_count = 1 + more;
        struct lane *lane = lane_on(memory, 0, &later);
        bool room = lane_prime(lane, START_NS, &error) == 0;
        cr_expect_eq(room, more == LANE_SESSIONS_ROOM);
        cr_expect(room || strstr(error.text, "66 sessions are configured, and the day was begun "
                                             "with room for 65"),
                  "%s", error.text);
        lane_close(lane);
        free(lane);
    }
    memory_free(memory);
}

// The port's watch: a packet with one order, whose stages are measured from now on.
static void enter_watched(struct lane *lane, const struct tsc_clock *clock, bool expected)
{
    lane->clock = lane->shard.clock = clock;
    lane->entry.port->watch = (struct port_watch){.of = &lane->entry,
                                                  .awaited_seq = lane_commanded(lane) + 1,
                                                  .at[TRANSIT_PORT] = clock_ns(clock)};
    lane_time_next(lane);
    if (!expected)
        atomic_fetch_add(&lane->shard.timing.wanted, 2);
    *(struct command *)ring_write_slot(lane->commands, 0) =
        (struct command){.type = COMMAND_ENTER,
                         .time_ns = START_NS,
                         .order = {.user_ref_num = 1, .quantity = 100, .price = 10000}};
    ring_commit(lane->commands, 1);
    cr_assert(lane_pump(lane, 0));
}

Test(lane, the_command_that_is_watched_is_timed_through_shard_and_gate)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    struct tsc_clock clock;
    clock_calibrate(&clock, 10);
    const uint64_t *at = lane->entry.port->watch.at;
    enter_watched(lane, &clock, true);
    cr_assert(at[TRANSIT_PORT] <= at[TRANSIT_TAKEN] && at[TRANSIT_TAKEN] <= at[TRANSIT_APPLIED] &&
              at[TRANSIT_APPLIED] <= at[TRANSIT_PASSED] && at[TRANSIT_PASSED] <= clock_ns(&clock));
    cr_assert_eq(atomic_load(&lane->shard.timing.timed), atomic_load(&lane->shard.timing.wanted));
    end_lane(lane);
    memory_free(memory);
}

// As when its events are seen before the shard is done with it.
Test(lane, a_command_that_was_not_timed_has_no_stages)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    struct tsc_clock clock;
    clock_calibrate(&clock, 10);
    enter_watched(lane, &clock, false);
    cr_assert_eq(lane->entry.port->watch.at[TRANSIT_PORT], 0);
    cr_assert_eq(lane->entry.port->watch.at[TRANSIT_PASSED], 0);
    cr_assert_eq(atomic_load(&lane->shard.timing.timed), 0);
    end_lane(lane);
    memory_free(memory);
}

// --- What an operator has it do

static struct lane *asked_lane;
static uint64_t asked_number;
static uint32_t asked_count, early_count;
static void (*relieve)(void *context);

// Writes the journal, as the lane's own does, and asks then.
static void relieve_and_ask(void *context)
{
    relieve(context);
    asked_count++;
    early_count += lane_orders_done(asked_lane, asked_number);
}

// The events of a kill overflow their ring: by the time it is durable it is half done.
Test(lane, what_an_operator_ordered_is_done_when_it_is_applied_too)
{
    struct memory_disk *memory = memory_new();
    struct config narrow = config;
    narrow.in_flight_count = 4;
    struct lane *lane = primed_lane_on(memory, 0, &narrow);
    for (uint32_t n = 1; n <= narrow.orders_max; n++) {
        *(struct command *)ring_write_slot(lane->commands, 0) =
            (struct command){.type = COMMAND_ENTER,
                             .time_ns = START_NS,
                             .order = {.user_ref_num = n, .quantity = 100, .price = 10000}};
        ring_commit(lane->commands, 1);
        cr_assert(lane_pump(lane, 0));
    }
    struct command kill = {.type = COMMAND_MASS_CANCEL,
                           .session = ANY_SESSION,
                           .instrument = NO_INSTRUMENT,
                           .mass.session = ANY_SESSION,
                           .mass.side = ANY_SIDE,
                           .mass.reason = 'U'};
    asked_lane = lane;
    relieve = lane->shard.relieve;
    lane->shard.relieve = relieve_and_ask;
    asked_number = lane_give_orders(lane, &kill, 1);
    cr_assert_neq(asked_number, 0);
    cr_assert(!lane_orders_done(lane, asked_number));
    cr_assert_eq(lane_take_orders(lane, START_NS), 1);
    cr_assert(lane_pump(lane, 0));
    cr_assert_gt(asked_count, 0);
    cr_assert_eq(early_count, 0, "%u of %u times it was done before it was applied", early_count,
                 asked_count);
    cr_assert(lane_orders_done(lane, asked_number));
    struct book_summary summary;
    book_summarise(lane->shard.book, &summary);
    cr_assert_eq(summary.order_count, 0);
    end_lane(lane);
    memory_free(memory);
}

// Two who have orders for a lane: the second's wait for the first's, and each asks for his own.
Test(lane, who_gives_orders_knows_when_his_own_are_done)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    const struct command clock = {.type = COMMAND_CLOCK};
    uint64_t first = lane_give_orders(lane, &clock, 1);
    cr_assert_neq(first, 0);
    cr_assert_eq(lane_give_orders(lane, &clock, 1), 0, "the first are not taken yet");
    cr_assert_eq(lane_take_orders(lane, START_NS), 1);
    cr_assert_eq(lane_give_orders(lane, &clock, 1), 0, "the first are not done yet");
    cr_assert(lane_pump(lane, 0));
    uint64_t second = lane_give_orders(lane, &clock, 1);
    cr_assert_neq(second, 0);
    cr_assert(lane_orders_done(lane, first), "though others were given since");
    cr_assert(!lane_orders_done(lane, second));
    cr_assert_eq(lane_take_orders(lane, START_NS), 1);
    cr_assert(lane_pump(lane, 0));
    cr_assert(lane_orders_done(lane, second) && lane_orders_done(lane, second), "whoever asks");
    end_lane(lane);
    memory_free(memory);
}

// The book would have gone on with the old firm, and the port with the new one.
Test(lane, a_session_that_has_changed_its_firm_during_the_day_is_refused)
{
    struct memory_disk *memory = memory_new();
    struct config_session moved = {.user = "ALICE ", .firm = "BETA"};
    struct config other = config;
    end_lane(open_lane(memory));
    other.sessions = &moved;
    struct lane *lane = lane_on(memory, 0, &other);
    cr_assert_eq(lane_prime(lane, START_NS, &error), -1);
    cr_assert_str_eq(error.text, "the session \"ALICE \" is of the firm \"BETA\", and in the "
                                 "journal's day of \"ALFA\": put it back until the day has ended");
    end_lane(lane);
    end_lane(open_lane(memory));
    memory_free(memory);
}

// --- After a start

static void send(struct lane *lane, struct command command)
{
    command.time_ns = START_NS;
    *(struct command *)ring_write_slot(lane->commands, 0) = command;
    ring_commit(lane->commands, 1);
    cr_assert(lane_pump(lane, 0));
}

static struct command order(uint32_t number, enum side side)
{
    return (struct command){.type = COMMAND_ENTER,
                            .side = (uint8_t)side,
                            .order = {.user_ref_num = number, .quantity = 100, .price = 510000}};
}

// The shard pauses by itself; the clock used to be wanted only where something waited already.
Test(lane, a_pause_that_begins_after_a_start_tells_its_imbalance_every_second)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    send(lane,
         (struct command){.type = COMMAND_TRADING, .trading = {.reference = 500000, .band = 100}});
    end_lane(lane);
    lane = open_lane(memory);
    send(lane, order(1, SIDE_SELL));
    send(lane, order(2, SIDE_BUY));
    cr_assert_eq(book_phase(lane->shard.book, 0), 'P');
    lane_tick(lane, 0, START_NS + 1000000000);
    cr_assert(lane_pump(lane, 0));
    const struct stream *stream = &lane->feed.stream;
    cr_assert_eq(stream_event(stream, stream->next - 1)->type, EVENT_FEED_IMBALANCE);
    end_lane(lane);
    memory_free(memory);
}

// --- Days

#define DAY_NS (24 * 3600 * 1000000000ull)

static void end_day(struct lane *lane)
{
    send(lane, (struct command){.type = COMMAND_CLOSE});
}

// A lane's day began at 10:30 UTC.
static void check_over(const struct lane *lane, bool ended, uint64_t to_midnight_ns)
{
    cr_expect_not(lane_day_over(lane, START_NS));
    cr_expect_not(lane_day_over(lane, START_NS + to_midnight_ns - 1));
    cr_expect_eq(lane_day_over(lane, START_NS + to_midnight_ns), ended);
    cr_expect_not(lane_day_over(lane, START_NS - DAY_NS), "the clock was set back");
}

Test(lane, a_day_is_over_once_it_has_ended_and_its_date_has_passed)
{
    static const struct {
        const char *zone;
        uint64_t to_midnight_ns;
    } hosts[] = {
        {"UTC0", DAY_NS / 48 * 27}, {"EAST-5", DAY_NS / 48 * 17}, {"WEST5", DAY_NS / 48 * 37}};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        setenv("TZ", hosts[i].zone, 1);
        tzset();
        struct memory_disk *memory = memory_new();
        struct lane *lane = lane_on(memory, 0, &config);
        check_over(lane, false, hosts[i].to_midnight_ns);
        end_lane(lane);
        lane = open_lane(memory);
        check_over(lane, false, hosts[i].to_midnight_ns);
        end_day(lane);
        check_over(lane, true, hosts[i].to_midnight_ns);
        end_lane(lane);
        lane = open_lane(memory);
        check_over(lane, true, hosts[i].to_midnight_ns);
        end_lane(lane);
        memory_free(memory);
    }
}

// Of a day that is over, and of no other, may be missing in the configuration what it had.
static void check_left_out(const struct config *left, const char *what, bool snapshot)
{
    struct memory_disk *memory = memory_new();
    struct lane *lane = open_lane(memory);
    go_on(lane, 10);
    if (snapshot)
        take_snapshot(lane);
    end_lane(lane);
    static struct lane refused;
    cr_expect_eq(lane_open(&refused, 0, left, &memory->disk, &error), -1);
    cr_expect(strstr(error.text, what), "%s", error.text);
    lane_stop(&refused, &error);
    lane_close(&refused);
    lane = open_lane(memory);
    end_day(lane);
    if (snapshot)
        take_snapshot(lane);
    uint64_t hash = book_hash(lane->shard.book);
    end_lane(lane);
    lane = lane_on(memory, 0, left);
    cr_expect_eq(lane->recovered_from > 0, snapshot);
    cr_expect_eq(lane->recovered_hash, hash);
    cr_expect(lane_day_over(lane, START_NS + DAY_NS));
    cr_expect_eq(lane_prime(lane, START_NS, &error), -1);
    cr_expect(strstr(error.text, what), "%s", error.text);
    end_lane(lane);
    memory_free(memory);
}

Test(lane, what_a_day_that_is_over_had_may_be_left_out_of_the_configuration)
{
    struct config_session another = {.user = "BOB   ", .firm = "BETA"};
    struct config no_alice = config, no_abc = config;
    no_alice.sessions = &another;
    no_abc.instrument_count = 0;
    for (int snapshot = 0; snapshot < 2; snapshot++) {
        check_left_out(&no_alice, "has the session \"ALICE \"", snapshot);
        check_left_out(&no_abc, "has the instrument \"ABC     \"", snapshot);
    }
}
