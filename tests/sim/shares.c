// SPDX-License-Identifier: MIT
#include "tests/sim/shares.h"

#include <inttypes.h>
#include <string.h>

#include "dataplane/limits.h"
#include "dataplane/rebalance.h"
#include "tests/unit/null_port.h"

#define LANES_MAX     3u
#define PRICE         500000u // orders have from half of it to one and a half
#define NUMBERS       30u     // of the last orders, which are canceled and replaced
#define QUIET_ROUNDS  2000u
#define SEGMENT_BYTES (1ull << 20)

struct market {
    struct lane lanes[LANES_MAX];
    struct lane *lane_list[LANES_MAX];
    struct sim_disk disks[LANES_MAX];
    struct rebalance rebalance;
    struct port port;
    struct config config;
    struct config_instrument instruments[LANES_MAX];
    struct config_session sessions[2];
    struct config_limit limit;
    struct random random;
    uint32_t lane_count;
    uint32_t slow; // a lane whose journal is written to more rarely
    uint32_t numbers[LANES_MAX];
    bool may_crash, has_operator;
    uint64_t total;  // the limit that is in force
    uint64_t wanted; // … that the operator is setting, or has not seen set; 0: none
    uint64_t most;   // that shares may be together
    bool lowered;    // more may have been used than the limit allows now
    uint64_t used[LANES_MAX], share[LANES_MAX]; // at the last step
    uint64_t moves;
};

static struct market market;

// --- What is held

static uint64_t share_of(uint32_t lane)
{
    uint64_t limit = book_limit(market.lanes[lane].shard.book, 0, market.limit.limit->kind);
    return limit == LIMIT_NOTHING ? 0 : limit;
}

static uint64_t beyond(uint64_t value, uint64_t other)
{
    return value > other ? value - other : 0;
}

static uint64_t used_of(uint32_t lane)
{
    struct book_account account;
    book_find_account(market.lanes[lane].shard.book, 0, &account);
    uint64_t buys = account.open_value[SIDE_BUY] + account.traded_value[SIDE_BUY];
    uint64_t sells = account.open_value[SIDE_SELL] + account.traded_value[SIDE_SELL];
    uint64_t ahead = beyond(buys, account.traded_value[SIDE_SELL]);
    uint64_t behind = beyond(sells, account.traded_value[SIDE_BUY]);
    switch (market.limit.limit->kind) {
    case LIMIT_OPEN_ORDERS:
        return account.open_orders;
    case LIMIT_GROSS:
        return buys + sells;
    case LIMIT_NET:
        return ahead > behind ? ahead : behind;
    default:
        return ahead;
    }
}

static struct rebalance_limit *limit_of(void)
{
    return &market.rebalance.members[0].limits[market.limit.limit->kind - LIMIT_OPEN_ORDERS];
}

static void check(void)
{
    uint64_t shares = 0, used = 0;
    for (uint32_t i = 0; i < market.lane_count; i++) {
        uint64_t share = share_of(i), now = used_of(i);
        uint64_t room = share > market.share[i] ? share : market.share[i];
        if (now > market.used[i] && now > room)
            sim_fail("lane %u lets %" PRIu64 " be used, and its share is %" PRIu64, i, now, room);
        market.share[i] = share;
        market.used[i] = now;
        shares += share;
        used += now;
    }
    if (shares > market.most)
        sim_fail("the shares are %" PRIu64 " together, and the limit is %" PRIu64, shares,
                 market.most);
    if (!market.lowered && used > market.most)
        sim_fail("%" PRIu64 " are used together, and the limit is %" PRIu64, used, market.most);
    if (market.rebalance.state == REBALANCE_IDLE && limit_of()->total != 0 &&
        shares + limit_of()->free != limit_of()->total)
        sim_fail("of a limit of %" PRIu64 " the shares are %" PRIu64 " and %" PRIu64 " are free",
                 limit_of()->total, shares, limit_of()->free);
}

// --- Up and down

static bool power_is_off(void)
{
    for (uint32_t i = 0; i < market.lane_count; i++)
        if (market.disks[i].off)
            return true;
    return false;
}

static void die(void)
{
    struct error ignored;
    rebalance_close(&market.rebalance);
    for (uint32_t i = 0; i < market.lane_count; i++) {
        market.disks[i].off = true;
        lane_stop(&market.lanes[i], &ignored);
        lane_close(&market.lanes[i]);
        memset(&market.lanes[i], 0, sizeof(market.lanes[i]));
    }
}

// There is always room: see shard_round.
static void relieve(void *context)
{
    (void)context;
    sim_fail("the event ring is full");
}

static bool start_lane(uint32_t index)
{
    struct lane *lane = &market.lanes[index];
    struct error error;
    if (lane_open(lane, index, &market.config, &market.disks[index].disk, &error) == 0) {
        lane->entry.port = lane->feed.port = &market.port;
        if (lane_prime(lane, sim_now_ns, &error) == 0) {
            lane->shard.relieve = relieve;
            return true;
        }
    }
    if (!market.disks[index].off)
        sim_fail("lane %u does not start: %s", index, error.text);
    return false;
}

// What the lanes know of the limit now is what is in force, where they agree.
static void note_total(void)
{
    uint64_t known = limit_of()->total;
    if (known == 0)
        return; // the operator has to say it again
    if (known != market.total && known != market.wanted)
        sim_fail("the limit is %" PRIu64 " after a crash, and was %" PRIu64, known, market.total);
    market.lowered |= known < market.total;
    market.total = market.most = known;
    market.wanted = 0;
}

static bool start(void)
{
    struct error error;
    for (uint32_t i = 0; i < market.lane_count; i++)
        if (!start_lane(i))
            return false;
    if (rebalance_open(&market.rebalance, market.lane_list, market.lane_count, NULL, &error) != 0)
        sim_fail("%s", error.text);
    note_total();
    memset(market.used, 0xFF, sizeof(market.used)); // it may be less than before
    check();
    return true;
}

static void crash(void)
{
    sim_trace("the power goes");
    for (;;) {
        die();
        for (uint32_t i = 0; i < market.lane_count; i++) {
            struct sim_disk *disk = &market.disks[i];
            disk->off = false;
            disk->cut_at = random_percent(&market.random, 20)
                               ? disk->operation_count + 1 + random_below(&market.random, 60)
                               : 0;
        }
        if (start())
            return;
    }
}

// --- What happens

static void send_order(uint32_t index, struct command command)
{
    struct lane *lane = &market.lanes[index];
    if (ring_readable(lane->commands, 500) >= 500)
        return;
    command.time_ns = sim_now_ns;
    *(struct command *)ring_write_slot(lane->commands, 0) = command;
    ring_commit(lane->commands, 1);
}

static struct command purchase(uint32_t lane, uint32_t quantity)
{
    return (struct command){
        .type = COMMAND_ENTER,
        .order = {.user_ref_num = ++market.numbers[lane], .quantity = quantity, .price = PRICE}};
}

// What executes at another price than that of the order: a market order, and purchases that follow
// a price; sales that do may come to more than they counted for (docs/rules.md).
static void vary(struct command *command)
{
    uint32_t what = random_below(&market.random, 100);
    command->order.price = PRICE / 2 + PRICE / 100 * random_below(&market.random, 100);
    if (what < 30)
        command->order.attributes.display = DISPLAY_HIDDEN;
    if (what < 15 && command->type == COMMAND_ENTER && command->side == SIDE_BUY)
        command->order.attributes.peg = PEG_PRIMARY;
    if (what >= 85)
        command->order.price = PRICE_MARKET;
}

static void some_order(void)
{
    struct random *random = &market.random;
    uint32_t lane = random_below(random, market.lane_count);
    struct command command = purchase(lane, 1 + random_below(random, 60));
    uint32_t what = random_below(random, 100), earlier = random_below(random, NUMBERS) + 1;
    command.session = random_percent(random, 75) ? 0 : 1;
    command.side = random_percent(random, 65) ? SIDE_BUY : SIDE_SELL;
    if (what >= 60 && earlier < command.order.user_ref_num) {
        command.type = what < 85 ? COMMAND_CANCEL : COMMAND_REPLACE;
        command.order.orig_user_ref_num = command.order.user_ref_num - earlier;
        if (command.type == COMMAND_CANCEL) {
            command.order.user_ref_num = command.order.orig_user_ref_num;
            command.order.quantity /= 4;
        }
    }
    vary(&command);
    send_order(lane, command);
}

static void shard_round(uint32_t index)
{
    struct lane *lane = &market.lanes[index];
    uint32_t wanted = (uint32_t)(lane->events->constant.mask + 1) * 3 / 4;
    lane_take_orders(lane, sim_now_ns);
    if (ring_writable(lane->events, wanted) >= wanted)
        shard_poll(&lane->shard);
}

// False when the power went.
static bool journal_round(uint32_t index)
{
    struct lane *lane = &market.lanes[index];
    if (atomic_load(&lane->gate.progress->spare_count) == 0)
        lane_make_spare(lane);
    bool written = journal_write(lane->journal, lane->to_journal) >= 0 &&
                   (random_percent(&market.random, 80) || journal_idle(lane->journal) >= 0);
    if (!written && !market.disks[index].off)
        sim_fail("the journal fails: %s", journal_error(lane->journal));
    lane_release(lane, sim_now_ns);
    return written && !power_is_off();
}

static void rebalance_round(void)
{
    bool raising = market.rebalance.state == REBALANCE_RAISING;
    if (rebalance_step(&market.rebalance, sim_now_ns))
        return;
    market.moves += raising;
    if (market.wanted != 0 && limit_of()->total == market.wanted)
        note_total();
}

static uint64_t random_limit(void)
{
    uint64_t unit = market.limit.limit->kind == LIMIT_OPEN_ORDERS ? 1 : 20ull * PRICE;
    return unit * (1 + random_below(&market.random, 30));
}

static void set_limit(void)
{
    if (market.rebalance.state != REBALANCE_IDLE)
        return;
    // Where a crash came while a limit was set, some lanes may have their shares of that one.
    uint64_t before = limit_of()->total != 0 ? market.total : market.most;
    market.wanted = random_limit();
    market.most = market.wanted > market.most ? market.wanted : market.most;
    market.lowered |= market.wanted < before;
    sim_trace("a limit of %" PRIu64 " is to be %" PRIu64, market.total, market.wanted);
    rebalance_set(&market.rebalance, "ALFA", market.limit.limit->kind, market.wanted, "simulated");
}

static void step(void)
{
    struct random *random = &market.random;
    uint32_t what = random_below(random, 100), lane = random_below(random, market.lane_count);
    bool alive = true;
    sim_now_ns += random_below(random, 500000);
    if (random_below(random, 300) == 0)
        sim_now_ns += random_bits(random) % 1000000000;
    if (what < 30)
        some_order();
    else if (what < 60)
        shard_round(lane);
    else if (what < 75)
        alive = (lane == market.slow && what < 74) || journal_round(lane);
    else
        rebalance_round();
    if (market.has_operator && random_below(random, 200) == 0)
        set_limit();
    check();
    if (!alive || (market.may_crash && random_below(random, 1500) == 0))
        crash();
}

// --- The end

static void settle(void)
{
    uint32_t rounds = 0;
    bool busy;
    do {
        if (++rounds > QUIET_ROUNDS)
            sim_fail("a share still waits, and nothing happens any more");
        sim_now_ns += 10000000;
        busy = false;
        for (uint32_t i = 0; i < market.lane_count; i++) {
            shard_round(i);
            journal_round(i);
            busy |= !lane_drained(&market.lanes[i]);
        }
        rebalance_round();
        busy |= market.rebalance.state != REBALANCE_IDLE || rebalance_waits(&market.rebalance);
        check();
    } while (busy);
}

// Nothing goes wrong any more: all that nobody uses can be had on one lane.
static void calm_down(void)
{
    for (uint32_t i = 0; i < market.lane_count; i++)
        market.disks[i].cut_at = 0;
    settle();
    if (limit_of()->total == 0)
        set_limit();
    settle();
    bool count = market.limit.limit->kind == LIMIT_OPEN_ORDERS;
    for (uint64_t i = 0; i <= (count ? 2 * market.total : 0); i++) { // half of them find no room
        struct command command = purchase(0, count ? 1 : QUANTITY_MAX);
        command.order.price = PRICE / 4; // nobody sells for that
        send_order(0, command);
        settle();
    }
    if (limit_of()->free != 0)
        sim_fail("%" PRIu64 " of the limit are in no share", limit_of()->free);
    for (uint32_t i = 1; i < market.lane_count; i++)
        if (used_of(i) < share_of(i))
            sim_fail("%" PRIu64 " are unused on lane %u and were not given",
                     share_of(i) - used_of(i), i);
}

static void stop_and_start(void)
{
    uint64_t hashes[LANES_MAX];
    struct error error;
    for (uint32_t i = 0; i < market.lane_count; i++) {
        hashes[i] = book_hash(market.lanes[i].shard.book);
        if (lane_stop(&market.lanes[i], &error) != 0)
            sim_fail("the journal cannot be closed: %s", error.text);
    }
    crash();
    for (uint32_t i = 0; i < market.lane_count; i++)
        if (market.lanes[i].recovered_hash != hashes[i])
            sim_fail("lane %u comes to another state from its journal", i);
    die();
}

static void set_up(const struct sim_plan *plan)
{
    static const char *const kinds[] = {"open_orders", "gross", "net", "credit"};
    struct config *config = &market.config;
    market = (struct market){.random = {plan->seed ^ 0x5A4E5ull}};
    struct random *random = &market.random;
    market.lane_count = 2 + random_below(random, LANES_MAX - 1);
    market.slow = random_below(random, LANES_MAX + 1);
    market.may_crash = plan->faults >> SIM_CUT & 1;
    market.has_operator = random_percent(random, 50);
    market.limit = (struct config_limit){.limit = limit_by_name(kinds[random_below(random, 4)]),
                                         .firm = "ALFA"};
    market.limit.value = market.total = market.most = random_limit();
    *config = (struct config){.segment_bytes = SEGMENT_BYTES,
                              .spare_count = 1,
                              .orders_max = 256,
                              .history_count = 64,
                              .in_flight_count = 1024,
                              .port_count = 1,
                              .shard_count = market.lane_count,
                              .instrument_count = market.lane_count,
                              .session_count = 2,
                              .limit_count = 1,
                              .instruments = market.instruments,
                              .sessions = market.sessions,
                              .limits = &market.limit};
    market.sessions[0] = (struct config_session){.user = "ALICE ", .firm = "ALFA"};
    market.sessions[1] = (struct config_session){.user = "BOB   ", .firm = "BETA"};
    market.port.operations = &null_operations;
    for (uint32_t i = 0; i < market.lane_count; i++) {
        market.instruments[i] =
            (struct config_instrument){.symbol = "SIM0    ", .round_lot = 100, .shard = i};
        market.instruments[i].symbol[3] = (char)('0' + i);
        market.lane_list[i] = &market.lanes[i];
        sim_disk_init(&market.disks[i], random_bits(random), UINT64_MAX);
    }
}

void shares_run(const struct sim_plan *plan, struct sim_report *report)
{
    set_up(plan);
    start();
    sim_trace("a limit of %s over %u lanes: %" PRIu64, market.limit.limit->name, market.lane_count,
              market.total);
    for (uint32_t i = 0; i < plan->steps / 2; i++)
        step();
    calm_down();
    stop_and_start();
    for (uint32_t i = 0; i < market.lane_count; i++)
        sim_disk_free(&market.disks[i]);
    report->moves += market.moves;
}
