// SPDX-License-Identifier: MIT
#include "dataplane/rebalance.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/limits.h"
#include "numa/fault.h"

#define ACTOR      "rebalance"
#define BARRED_BY  "execution throttle"
#define EVERYTHING INT64_MAX // is no limit's value

typedef unsigned __int128 sum_t; // of as many values as there are lanes

static struct rebalance_limit *limit_in_hand(struct rebalance *rebalance)
{
    return &rebalance->member->limits[rebalance->kind - LIMIT_OPEN_ORDERS];
}

// --- Opening

static struct rebalance_member *find_member(const struct rebalance *rebalance, const char firm[4])
{
    for (uint32_t i = 0; i < rebalance->member_count; i++)
        if (memcmp(rebalance->members[i].firm, firm, 4) == 0)
            return &rebalance->members[i];
    return NULL;
}

// The first session of the member on a lane, or ANY_SESSION.
static uint16_t session_of(const struct lane *lane, const char firm[4])
{
    for (uint32_t i = 0; i < lane->entry.session_count; i++)
        if (memcmp(lane->entry.sessions[i].who.firm, firm, 4) == 0)
            return (uint16_t)i;
    return ANY_SESSION;
}

static bool lane_has(const struct rebalance *rebalance, uint32_t lane)
{
    return session_of(rebalance->lanes[lane], rebalance->member->firm) != ANY_SESSION;
}

// What the books know of a limit.
static void read_limit(struct rebalance *rebalance, const struct rebalance_member *member,
                       uint8_t kind, struct rebalance_limit *limit)
{
    sum_t shares = 0;
    uint64_t least = UINT64_MAX, most = 0;
    bool shared = false;
    for (uint32_t i = 0; i < rebalance->lane_count; i++) {
        const struct book *book = rebalance->lanes[i]->shard.book;
        uint16_t session = session_of(rebalance->lanes[i], member->firm);
        if (session == ANY_SESSION)
            continue;
        uint64_t total = book_limit_total(book, session, kind);
        uint64_t share = book_limit(book, session, kind);
        share = share == LIMIT_NOTHING ? 0 : share;
        shares += share;
        shared |= total != 0;
        if (total == 0)
            total = share; // of a lane that has begun its day alone
        least = total < least ? total : least;
        most = total > most ? total : most;
    }
    if (!shared)
        return;
    limit->exceeded = shares > most;
    rebalance->exceeded += limit->exceeded;
    if (limit->exceeded)
        warn("the shares of %s of %.4s are more than the limit together, since a shard has begun "
             "its day after others: they are split anew",
             limit_by_kind(kind)->name, member->firm);
    else if (least != most)
        warn("the limit %s of %.4s was being set when the gateway ended, and not all shards know "
             "it: its shares stay as they are until it is set again",
             limit_by_kind(kind)->name, member->firm);
    limit->total = least == most || limit->exceeded ? most : 0;
    limit->free = limit->total > shares ? limit->total - (uint64_t)shares : 0;
}

static uint64_t all_lanes(const struct rebalance *rebalance)
{
    return UINT64_MAX >> (64 - rebalance->lane_count);
}

// Too many rather than one too few: also where a crash came while an operator allowed him again.
static void read_bars(const struct rebalance *rebalance, struct rebalance_member *member)
{
    uint64_t barred = 0;
    for (uint32_t i = 0; i < rebalance->lane_count; i++)
        if (book_bars_firm(rebalance->lanes[i]->shard.book, member->firm))
            barred |= 1ull << i;
    member->to_bar = barred != 0 ? all_lanes(rebalance) & ~barred : 0;
}

static void list_members(struct rebalance *rebalance, const struct config *config)
{
    for (uint32_t i = 0; i < config->session_count; i++)
        if (!find_member(rebalance, config->sessions[i].firm))
            memcpy(rebalance->members[rebalance->member_count++].firm, config->sessions[i].firm, 4);
}

int rebalance_open(struct rebalance *rebalance, struct lane *const *lanes, uint32_t lane_count,
                   struct bell *bell, struct error *error)
{
    *rebalance = (struct rebalance){.lanes = lanes, .lane_count = lane_count};
    const struct config *config = lanes[0]->config;
    rebalance->members = calloc(config->session_count, sizeof(*rebalance->members));
    if (!rebalance->members)
        return error_set(error, "no memory for the members' limits");
    list_members(rebalance, config);
    for (uint32_t i = 0; i < rebalance->member_count; i++) {
        read_bars(rebalance, &rebalance->members[i]);
        for (uint8_t kind = 0; kind < LIMIT_HELD_COUNT; kind++)
            read_limit(rebalance, &rebalance->members[i], LIMIT_OPEN_ORDERS + kind,
                       &rebalance->members[i].limits[kind]);
    }
    for (uint32_t i = 0; i < lane_count; i++)
        lane_tell_shares(lanes[i], bell);
    return 0;
}

void rebalance_close(struct rebalance *rebalance)
{
    free(rebalance->members);
    rebalance->members = NULL;
}

// --- What lanes tell

static void take_want(struct rebalance *rebalance, uint32_t lane, const struct book_share *share)
{
    struct rebalance_member *member = find_member(rebalance, share->firm);
    if (!member)
        return;
    struct rebalance_limit *limit = &member->limits[share->kind - LIMIT_OPEN_ORDERS];
    bool settled = lane == limit->raised && share->seq < limit->raised_seq;
    if (limit->total == 0 || settled)
        return;
    limit->wanted = true;
    limit->asker = lane;
    limit->missing = share->amount;
}

static void take_bar(struct rebalance *rebalance, uint32_t lane, const struct book_share *share)
{
    struct rebalance_member *member = find_member(rebalance, share->firm);
    if (member)
        member->to_bar |= all_lanes(rebalance) & ~(1ull << lane);
}

static void take_told(struct rebalance *rebalance)
{
    for (uint32_t i = 0; i < rebalance->lane_count; i++) {
        struct ring *ring = rebalance->lanes[i]->shares;
        for (uint32_t count = ring_readable(ring, LANE_SHARE_SLOTS); count > 0; count--) {
            const struct book_share *share = ring_read_slot(ring, 0);
            if (share->type == COMMAND_ENTER) {
                take_want(rebalance, i, share);
            } else if (share->type == COMMAND_ENTRY) {
                take_bar(rebalance, i, share);
            } else if (rebalance->given != 0 && i == rebalance->at) {
                rebalance->answer = *share;
                rebalance->answered = true;
            }
            ring_release(ring, 1);
        }
    }
}

// --- Telling a lane

static void name_actor(struct rebalance *rebalance, const char *actor)
{
    memset(rebalance->actor, 0, sizeof(rebalance->actor));
    memcpy(rebalance->actor, actor, strnlen(actor, sizeof(rebalance->actor)));
}

static void tell(struct rebalance *rebalance, enum rebalance_state state, uint32_t lane,
                 uint8_t type, uint64_t value, uint64_t total)
{
    rebalance->state = state;
    rebalance->at = lane;
    rebalance->given = 0;
    rebalance->answered = false;
    rebalance->command = (struct command){.type = type,
                                          .session = ANY_SESSION,
                                          .side = rebalance->kind,
                                          .limit = {.value = value, .total = total}};
    memcpy(rebalance->command.limit.firm, rebalance->member->firm, 4);
    memcpy(rebalance->command.limit.actor, rebalance->actor, sizeof(rebalance->actor));
}

// Whether the lane has done what it was told, and will have done so after any crash.
static bool is_done(struct rebalance *rebalance)
{
    struct lane *lane = rebalance->lanes[rebalance->at];
    if (rebalance->given == 0)
        rebalance->given = lane_give_orders(lane, &rebalance->command, 1);
    return rebalance->answered &&
           (lane_orders_done(lane, rebalance->given) || FAULT(SHARE_RAISED_EARLY));
}

// Lanes are told beside what is in hand, each as soon as it takes orders: one that is stuck keeps
// it from no other.
static void tell_bar(struct rebalance *rebalance, struct rebalance_member *member)
{
    struct command bar = {.type = COMMAND_ENTRY,
                          .session = ANY_SESSION,
                          .entry = {.session = ANY_SESSION, .actor = BARRED_BY}};
    memcpy(bar.entry.firm, member->firm, sizeof(bar.entry.firm));
    for (uint32_t i = 0; i < rebalance->lane_count; i++) {
        uint64_t wanted = member->to_bar >> i & 1;
        uint64_t given = wanted ? lane_give_orders(rebalance->lanes[i], &bar, 1) : 0;
        if (given == 0)
            continue;
        rebalance->barred[i] = given;
        member->to_bar &= ~(1ull << i);
    }
}

// Whether a lane has not done what it was told, or is still to be told.
static bool tell_bars(struct rebalance *rebalance)
{
    bool any = false;
    for (uint32_t i = 0; i < rebalance->member_count; i++) {
        if (rebalance->members[i].to_bar != 0)
            tell_bar(rebalance, &rebalance->members[i]);
        any |= rebalance->members[i].to_bar != 0;
    }
    for (uint32_t i = 0; i < rebalance->lane_count; i++)
        any |= !lane_orders_done(rebalance->lanes[i], rebalance->barred[i]);
    return any;
}

// --- A round: what others leave unused goes to the lane that lacked it

static void rest_until(struct rebalance *rebalance, uint64_t next_ns)
{
    rebalance->state = REBALANCE_IDLE;
    limit_in_hand(rebalance)->next_ns = next_ns;
}

// Lanes are asked in turn, from the one behind the asker on: `lane` is the next.
static void ask(struct rebalance *rebalance, uint32_t lane, uint64_t now_ns)
{
    struct rebalance_limit *limit = limit_in_hand(rebalance);
    uint32_t asker = rebalance->asker;
    while (lane != asker && !lane_has(rebalance, lane))
        lane = (lane + 1) % rebalance->lane_count;
    if (limit->free < rebalance->missing && lane != asker) {
        tell(rebalance, REBALANCE_ASKING, lane, COMMAND_YIELD, rebalance->missing - limit->free, 0);
    } else if (limit->free == 0) {
        rest_until(rebalance, now_ns + REBALANCE_EVERY_EMPTY_NS);
    } else {
        tell(rebalance, REBALANCE_RAISING, asker, COMMAND_RAISE, limit->free, 0);
        limit->free = 0;
    }
}

static void raised(struct rebalance *rebalance, uint64_t now_ns)
{
    struct rebalance_limit *limit = limit_in_hand(rebalance);
    limit->raised = rebalance->at;
    limit->raised_seq = rebalance->answer.seq;
    if (limit->wanted && limit->asker == rebalance->at)
        limit->wanted = false; // of an order from before
    rest_until(rebalance, now_ns + REBALANCE_EVERY_NS);
}

static void begin_round(struct rebalance *rebalance, uint64_t now_ns)
{
    for (uint32_t i = 0; i < rebalance->member_count; i++) {
        uint32_t place = (rebalance->next_member + i) % rebalance->member_count;
        struct rebalance_member *member = &rebalance->members[place];
        for (uint8_t kind = 0; kind < LIMIT_HELD_COUNT; kind++) {
            struct rebalance_limit *limit = &member->limits[kind];
            if (limit->exceeded) {
                rebalance_set(rebalance, member->firm, LIMIT_OPEN_ORDERS + kind, limit->total,
                              ACTOR);
                return;
            }
            if (!limit->wanted || now_ns < limit->next_ns)
                continue;
            rebalance->next_member = place + 1;
            rebalance->member = member;
            rebalance->kind = LIMIT_OPEN_ORDERS + kind;
            rebalance->asker = limit->asker;
            rebalance->missing = limit->missing;
            limit->wanted = false;
            name_actor(rebalance, ACTOR);
            ask(rebalance, (limit->asker + 1) % rebalance->lane_count, now_ns);
            return;
        }
    }
}

// --- Setting a limit: all lanes keep what is used, and the rest is split equally

// Where more is used than the limit allows nobody keeps more than that, and nobody has any unused.
static void split(struct rebalance *rebalance)
{
    uint32_t count = rebalance->lane_count;
    sum_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        used += rebalance->used[i];
    uint64_t left = rebalance->total;
    uint64_t rest = used < left ? left - (uint64_t)used : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t kept = rebalance->used[i] < left ? rebalance->used[i] : left;
        left -= kept;
        rebalance->wanted[i] = kept + rest / count + (i < rest % count);
    }
}

// Those that get less go before those that get more, so that all together never have too much.
static bool is_lowered(const struct rebalance *rebalance, uint32_t lane)
{
    return rebalance->wanted[lane] <= rebalance->share[lane];
}

static void set_next(struct rebalance *rebalance, uint32_t lane, uint64_t now_ns)
{
    struct rebalance_limit *limit = limit_in_hand(rebalance);
    for (; lane < rebalance->lane_count; lane++) {
        bool its_turn = is_lowered(rebalance, lane) == (rebalance->state == REBALANCE_LOWERING);
        uint64_t share = rebalance->wanted[lane];
        if (its_turn && lane_has(rebalance, lane)) {
            tell(rebalance, rebalance->state, lane, COMMAND_LIMIT,
                 share == 0 && rebalance->total != 0 ? LIMIT_NOTHING : share, rebalance->total);
            return;
        }
        if (its_turn)
            limit->free += share;
    }
    if (rebalance->state == REBALANCE_LOWERING) {
        rebalance->state = REBALANCE_SETTING;
        set_next(rebalance, 0, now_ns);
        return;
    }
    limit->total = rebalance->total;
    limit->wanted = false; // of orders from before
    rebalance->set_count++;
    rest_until(rebalance, now_ns);
}

// From `lane` on; the lanes before it have answered.
static void collect(struct rebalance *rebalance, uint32_t lane, uint64_t now_ns)
{
    for (; lane < rebalance->lane_count; lane++) {
        if (rebalance->total == 0 || !lane_has(rebalance, lane))
            continue;
        tell(rebalance, REBALANCE_COLLECTING, lane, COMMAND_YIELD, EVERYTHING, 0);
        return;
    }
    split(rebalance);
    rebalance->state = REBALANCE_LOWERING;
    set_next(rebalance, 0, now_ns);
}

static void collected(struct rebalance *rebalance, uint64_t now_ns)
{
    rebalance->used[rebalance->at] = rebalance->answer.used;
    rebalance->share[rebalance->at] = rebalance->answer.share;
    collect(rebalance, rebalance->at + 1, now_ns);
}

bool rebalance_set(struct rebalance *rebalance, const char firm[4], uint8_t kind, uint64_t value,
                   const char *actor)
{
    rebalance->member = find_member(rebalance, firm);
    if (!rebalance->member)
        return false;
    rebalance->kind = kind;
    rebalance->total = value;
    name_actor(rebalance, actor);
    memset(rebalance->used, 0, sizeof(rebalance->used));
    memset(rebalance->share, 0, sizeof(rebalance->share));
    struct rebalance_limit *limit = limit_in_hand(rebalance);
    rebalance->exceeded -= limit->exceeded;
    limit->exceeded = limit->wanted = false;
    limit->free = 0;
    collect(rebalance, 0, 0);
    return true;
}

// --- Steps

static void go_on(struct rebalance *rebalance, uint64_t now_ns)
{
    switch (rebalance->state) {
    case REBALANCE_IDLE:
        return;
    case REBALANCE_ASKING:
        limit_in_hand(rebalance)->free += rebalance->answer.amount;
        ask(rebalance, (rebalance->at + 1) % rebalance->lane_count, now_ns);
        return;
    case REBALANCE_RAISING:
        raised(rebalance, now_ns);
        return;
    case REBALANCE_COLLECTING:
        collected(rebalance, now_ns);
        return;
    case REBALANCE_LOWERING:
    case REBALANCE_SETTING:
        set_next(rebalance, rebalance->at + 1, now_ns);
        return;
    }
}

bool rebalance_step(struct rebalance *rebalance, uint64_t now_ns)
{
    take_told(rebalance);
    bool bars = tell_bars(rebalance);
    if (rebalance->state == REBALANCE_IDLE)
        begin_round(rebalance, now_ns);
    else if (is_done(rebalance))
        go_on(rebalance, now_ns);
    return bars || rebalance->exceeded > 0 || rebalance->state != REBALANCE_IDLE;
}

bool rebalance_waits(const struct rebalance *rebalance)
{
    for (uint32_t i = 0; i < rebalance->member_count; i++)
        for (uint32_t kind = 0; kind < LIMIT_HELD_COUNT; kind++)
            if (rebalance->members[i].limits[kind].wanted)
                return true;
    return false;
}
