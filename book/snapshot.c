// SPDX-License-Identifier: MIT
//
// The state of a book as a stream of records, out and in.
#include "book/trade.h"

enum {
    RECORD_LIMITS = 1,
    RECORD_COUNTS = 2,
    RECORD_SESSION = 3,
    RECORD_NUMBERS = 4,
    RECORD_INSTRUMENT = 5,
    RECORD_ORDER = 6, // by instrument, side and priority
    RECORD_TIMER = 7, // of the orders that expire: first to go first
    RECORD_BARS = 9,  // of version 2
    // Of version 3: members and what is known of them, before the orders.
    RECORD_LIMITS_OF = 10, // of a member (session: its number) or an instrument
    RECORD_ACCOUNT = 11,
    RECORD_BUCKETS = 20,
    RECORD_HASH = 21, // of a sighting, up to version 4: not used any more
    RECORD_POSITION = 22,
    RECORD_SIGHTING = 23, // of version 5
};

// And 5, which had no bars of a firm in an instrument nor of LIMIT_EXECUTIONS; 4, which had no
// phases of a calendar, no rate of what goes over all orders, and hashes for sightings; 3, which
// had no shares of limits and no late periods; 2, which had no limits, random reserves, pegs and
// crosses; and 1, which had no halts and no bars.
#define VERSION 6
#define NUMBERS 12u // channels in a record
#define BARS    6u  // bars in a record

struct record {
    uint8_t type;
    uint8_t version;  // LIMITS
    uint16_t session; // SESSION, NUMBERS, ORDER, TIMER
    union {
        uint32_t first;  // NUMBERS: channel
        uint8_t channel; // ORDER, TIMER
    };
    union {
        struct {
            struct book_limits limits;
            uint16_t shard;
            uint8_t state;
            char session_id[10];
        } day;
        struct {
            uint64_t seq, midnight_ns, last_time_ns, next_second_ns, feed_next, match_count,
                slice_count;
        } counts;
        struct {
            uint64_t stream_next;
            char user_name[6];
            char firm[4];
            uint64_t pass_bucket; // of version 5
        } member;
        uint32_t numbers[NUMBERS];
        struct {
            uint32_t count;
            struct bar bars[BARS];
        } bars;
        struct {
            char symbol[8];
            uint32_t round_lot, step, base;
            uint8_t phase;      // of version 2: 0, or 1 for halted
            uint8_t short_sale; // this and what follows: of version 3
            uint32_t last_price;
            uint32_t reference, band;
            uint32_t late_price; // this and what follows: of version 4
            uint8_t late;
            uint8_t day, source; // of version 5
        } listing;
        struct {
            uint64_t value;
            uint16_t instrument; // or NO_INSTRUMENT: of the member
            uint8_t kind;
            uint64_t total; // of version 4
        } limit;
        struct {
            uint64_t traded_value[2][2]; // by side; lower half first
            uint64_t orders, executions;
        } account;
        struct {
            uint64_t order, cancel, execution;
        } buckets;
        struct {
            struct sighting is;
            uint8_t place;
        } sighting;
        struct {
            int64_t traded;
            uint16_t instrument;
            uint8_t unknown, barred; // of version 6
        } position;
        struct {
            uint64_t ref;
            uint32_t user_ref_num, open, price, executed;
            uint32_t max_floor, reserve, expire_seconds;
            char firm[4];
            uint16_t instrument;
            struct order_attributes attributes;
            uint8_t side;
            uint8_t has_extra;
            uint16_t random_reserve; // this and what follows: of version 3
            uint32_t limit;
            int16_t peg_offset;
            uint8_t cross;
            uint8_t late; // of version 4
        } order;
        struct {
            uint32_t user_ref_num;
            uint32_t seconds; // from the book's clock
        } timer;
        uint64_t hash; // END
        uint8_t bytes[56];
    };
};
static_assert(sizeof(struct record) == sizeof(struct book_record), "one is the other");

// --- Out

struct writer {
    bool (*write)(void *context, const struct book_record *record);
    void *context;
};

static bool put(const struct writer *writer, const struct record *record)
{
    struct book_record out;
    memcpy(&out, record, sizeof(out));
    return writer->write(writer->context, &out);
}

static bool save_day(const struct book *book, const struct writer *writer)
{
    struct record limits = {.type = RECORD_LIMITS, .version = VERSION};
    limits.day.limits = book->limits;
    limits.day.shard = book->shard;
    limits.day.state = (uint8_t)book->state;
    memcpy(limits.day.session_id, book->session_id, sizeof(book->session_id));
    struct record counts = {.type = RECORD_COUNTS};
    counts.counts.seq = book->seq;
    counts.counts.midnight_ns = book->midnight_ns;
    counts.counts.last_time_ns = book->last_time_ns;
    counts.counts.next_second_ns = book->next_second_ns;
    counts.counts.feed_next = book->feed_next;
    counts.counts.match_count = book->match_count;
    counts.counts.slice_count = book->slice_count;
    return put(writer, &limits) && put(writer, &counts);
}

static bool save_session(const struct book *book, const struct writer *writer, uint16_t index)
{
    const struct session *session = &book->sessions[index];
    struct record record = {.type = RECORD_SESSION, .session = index};
    record.member.stream_next = session->stream_next;
    record.member.pass_bucket = session->pass_bucket;
    memcpy(record.member.user_name, session->user_name, sizeof(session->user_name));
    memcpy(record.member.firm, session->firm, sizeof(session->firm));
    if (!put(writer, &record))
        return false;
    for (uint32_t first = 0; first < 256; first += NUMBERS) {
        struct record group = {.type = RECORD_NUMBERS, .session = index, .first = first};
        uint32_t any = 0;
        for (uint32_t i = 0; i < NUMBERS && first + i < 256; i++)
            any |= group.numbers[i] = session->last_user_ref_num[first + i];
        if (any != 0 && !put(writer, &group))
            return false;
    }
    return true;
}

static bool save_order(const struct book *book, const struct writer *writer,
                       const struct order *order)
{
    struct record record = {
        .type = RECORD_ORDER, .session = order->session, .channel = order->user_ref_index};
    record.order.ref = order->ref;
    record.order.user_ref_num = order->user_ref_num;
    record.order.open = order->open;
    record.order.price = order->price;
    record.order.executed = order->executed;
    record.order.instrument = order->instrument;
    record.order.attributes = order->attributes;
    record.order.side = order->side;
    if (order->extra != NONE) {
        const struct extra *extra = &book->extras[order->extra];
        record.order.has_extra = 1;
        record.order.max_floor = extra->max_floor;
        record.order.reserve = extra->reserve;
        record.order.expire_seconds = extra->expire_seconds;
        record.order.random_reserve = extra->random_reserve;
        record.order.limit = extra->limit;
        record.order.peg_offset = extra->peg_offset;
        memcpy(record.order.firm, extra->firm, sizeof(extra->firm));
        record.order.cross = extra->cross;
        record.order.late = extra->late;
    }
    return put(writer, &record);
}

static bool save_queue(const struct book *book, const struct writer *writer,
                       const struct level *level)
{
    for (uint32_t at = level->head; at != NONE; at = book->orders[at].next)
        if (!save_order(book, writer, &book->orders[at]))
            return false;
    return true;
}

static bool save_tree(const struct book *book, const struct writer *writer, const struct tree *tree)
{
    for (uint32_t index = tree->best; index != NONE; index = tree_after(book, index))
        if (!save_queue(book, writer, &book->far_levels[index].level))
            return false;
    return true;
}

static bool save_side(const struct book *book, const struct writer *writer,
                      const struct instrument *listing, enum side side)
{
    uint32_t rank = listing->best[side];
    for (; rank != RANK_NONE; rank = rank_after(book, listing, side, rank))
        if (!save_queue(book, writer, level_at(book, listing, side, rank_of(side, rank))))
            return false;
    return save_tree(book, writer, &listing->hidden[side]) &&
           save_tree(book, writer, &listing->midpoint[side]) &&
           save_tree(book, writer, &listing->auction[side]) &&
           save_tree(book, writer, &listing->closing[side]);
}

static bool save_instrument(const struct writer *writer, const struct instrument *listing)
{
    struct record record = {.type = RECORD_INSTRUMENT};
    memcpy(record.listing.symbol, listing->symbol, sizeof(listing->symbol));
    record.listing.round_lot = listing->round_lot;
    record.listing.step = listing->step;
    record.listing.base = listing->base;
    record.listing.phase = listing->phase;
    record.listing.last_price = listing->last_price;
    record.listing.reference = listing->reference;
    record.listing.band = listing->band;
    record.listing.short_sale = listing->short_sale;
    record.listing.late_price = listing->late_price;
    record.listing.late = listing->late;
    record.listing.day = listing->day;
    record.listing.source = listing->source;
    return put(writer, &record);
}

static bool save_limit(const struct writer *writer, uint16_t member, uint16_t instrument,
                       uint8_t kind, uint64_t value, uint64_t total)
{
    struct record record = {.type = RECORD_LIMITS_OF, .session = member};
    record.limit.value = value;
    record.limit.total = total;
    record.limit.instrument = instrument;
    record.limit.kind = kind;
    return value == 0 || put(writer, &record);
}

static bool save_account(const struct book *book, const struct writer *writer, uint16_t index)
{
    const struct member *member = &book->members[index];
    struct record account = {.type = RECORD_ACCOUNT, .session = index};
    for (enum side side = SIDE_BUY; side <= SIDE_SELL; side++) {
        account.account.traded_value[side][0] = (uint64_t)member->traded_value[side];
        account.account.traded_value[side][1] = (uint64_t)(member->traded_value[side] >> 64);
    }
    account.account.orders = member->orders;
    account.account.executions = member->executions;
    struct record buckets = {.type = RECORD_BUCKETS, .session = index};
    buckets.buckets.order = member->order_bucket;
    buckets.buckets.cancel = member->cancel_bucket;
    buckets.buckets.execution = member->execution_bucket;
    return put(writer, &account) && put(writer, &buckets);
}

static bool save_sightings(const struct book *book, const struct writer *writer, uint16_t index)
{
    for (uint8_t place = 0; place < SIGHTINGS; place++) {
        const struct sighting *sighting = &book->members[index].sightings[place];
        struct record record = {.type = RECORD_SIGHTING, .session = index};
        record.sighting.is = *sighting;
        record.sighting.place = place;
        if (sighting->shares != 0 && !put(writer, &record))
            return false;
    }
    return true;
}

static bool save_positions(const struct book *book, const struct writer *writer, uint16_t index)
{
    for (uint16_t i = 0; i < book->instrument_count; i++) {
        const struct position *position = &book->members[index].positions[i];
        struct record record = {.type = RECORD_POSITION, .session = index};
        record.position.traded = position->traded;
        record.position.instrument = i;
        record.position.unknown = !position->known;
        record.position.barred = position->barred;
        if ((position->known || position->barred) && !put(writer, &record))
            return false;
    }
    return true;
}

static bool save_members(const struct book *book, const struct writer *writer)
{
    for (uint16_t i = 0; i < book->member_count; i++) {
        const struct member *member = &book->members[i];
        for (uint8_t kind = LIMIT_QUANTITY; kind < LIMIT_MEMBER_END; kind++)
            if (!save_limit(writer, i, NO_INSTRUMENT, kind, member->limits[kind],
                            limit_held(kind) ? member->totals[kind - LIMIT_OPEN_ORDERS] : 0))
                return false;
        if (member->watched && !(save_account(book, writer, i) && save_sightings(book, writer, i)))
            return false;
        if ((member->watched || member->barred_count > 0) && !save_positions(book, writer, i))
            return false;
    }
    for (uint16_t i = 0; i < book->instrument_count; i++)
        for (uint8_t kind = LIMIT_TICK; kind < LIMIT_INSTRUMENT_END; kind++)
            if (!save_limit(writer, 0, i, kind, book->instruments[i].limits[kind - LIMIT_TICK], 0))
                return false;
    return true;
}

static bool save_bars(const struct book *book, const struct writer *writer)
{
    for (uint32_t first = 0; first < book->bar_count; first += BARS) {
        struct record record = {.type = RECORD_BARS};
        uint32_t left = book->bar_count - first;
        record.bars.count = left < BARS ? left : BARS;
        memcpy(record.bars.bars, book->bars + first, record.bars.count * sizeof(struct bar));
        if (!put(writer, &record))
            return false;
    }
    return true;
}

static bool save_timer(void *context, const struct order *order, uint32_t seconds)
{
    struct record record = {
        .type = RECORD_TIMER, .session = order->session, .channel = order->user_ref_index};
    record.timer.user_ref_num = order->user_ref_num;
    record.timer.seconds = seconds;
    return put(context, &record);
}

bool book_save(const struct book *book,
               bool (*write)(void *context, const struct book_record *record), void *context)
{
    struct writer writer = {write, context};
    if (!save_day(book, &writer))
        return false;
    for (uint16_t i = 0; i < book->session_count; i++)
        if (!save_session(book, &writer, i))
            return false;
    for (uint16_t i = 0; i < book->instrument_count; i++)
        if (!save_instrument(&writer, &book->instruments[i]))
            return false;
    if (!save_members(book, &writer))
        return false;
    for (uint16_t i = 0; i < book->instrument_count; i++)
        for (enum side side = SIDE_BUY; side <= SIDE_SELL; side++)
            if (!save_side(book, &writer, &book->instruments[i], side))
                return false;
    struct record end = {.type = BOOK_RECORD_END};
    end.hash = book_hash(book);
    return save_bars(book, &writer) && timers_each(book, save_timer, &writer) && put(&writer, &end);
}

// --- In

static const char *load_limits(struct book *book, const struct record *record)
{
    if (record->version < 1 || record->version > VERSION)
        return "a snapshot of another version";
    if (record->day.limits.orders_max != book->limits.orders_max ||
        record->day.limits.instruments_max != book->limits.instruments_max ||
        record->day.limits.sessions_max != book->limits.sessions_max)
        return "a snapshot of a book with other limits";
    if (record->day.state > BOOK_CLOSED)
        return "no such state";
    book->shard = record->day.shard;
    book->loading_state = record->day.state;
    memcpy(book->session_id, record->day.session_id, sizeof(book->session_id));
    return NULL;
}

static const char *load_counts(struct book *book, const struct record *record)
{
    if (record->counts.next_second_ns == 0 || record->counts.next_second_ns % 1000000000 != 0)
        return "no such time";
    book->seq = record->counts.seq;
    book->midnight_ns = record->counts.midnight_ns;
    book->last_time_ns = record->counts.last_time_ns;
    book->next_second_ns = record->counts.next_second_ns;
    book->feed_next = record->counts.feed_next;
    book->match_count = record->counts.match_count;
    book->slice_count = record->counts.slice_count;
    return NULL;
}

static const char *load_session(struct book *book, const struct record *record)
{
    if (record->session != book->session_count || book->session_count == book->limits.sessions_max)
        return "a session out of turn";
    struct session *session = &book->sessions[book->session_count++];
    session->stream_next = record->member.stream_next;
    session->pass_bucket = record->member.pass_bucket;
    memcpy(session->user_name, record->member.user_name, sizeof(session->user_name));
    memcpy(session->firm, record->member.firm, sizeof(session->firm));
    return member_join(book, session) ? NULL : "a member too many";
}

static const char *load_numbers(struct book *book, const struct record *record)
{
    if (record->session >= book->session_count || record->first >= 256)
        return "numbers of no session";
    for (uint32_t i = 0; i < NUMBERS && record->first + i < 256; i++)
        book->sessions[record->session].last_user_ref_num[record->first + i] = record->numbers[i];
    return NULL;
}

static const char *load_instrument(struct book *book, const struct record *record)
{
    if (book->instrument_count == book->limits.instruments_max)
        return "an instrument too many";
    if (record->listing.step == 0 || record->listing.step > PRICE_STEP_MAX ||
        record->listing.base % 64 != 0 ||
        record->listing.base > PRICE_MARKET / record->listing.step)
        return "no such price step";
    if (record->listing.phase > PHASE_CLOSED || record->listing.day > 1 + PHASE_CLOSED ||
        record->listing.source > TRADING_RISK || record->listing.reference > PRICE_MAX)
        return "a phase that cannot be";
    uint8_t short_sale = record->listing.short_sale;
    if (short_sale != 0 && short_sale != '1' && short_sale != '2')
        return "a restriction that cannot be";
    if (record->listing.late > 1 || record->listing.late_price > PRICE_MAX)
        return "a late period that cannot be";
    if (record->listing.band > BAND_MAX)
        return "a band that cannot be";
    uint16_t index = book->instrument_count++;
    memcpy(book->instruments[index].symbol, record->listing.symbol, 8);
    book->instruments[index].round_lot = record->listing.round_lot;
    book->instruments[index].phase = record->listing.phase;
    book->instruments[index].last_price = record->listing.last_price;
    book->instruments[index].reference = record->listing.reference;
    book->instruments[index].short_sale = short_sale;
    book->instruments[index].band = record->listing.band;
    book->instruments[index].late_price = record->listing.late_price;
    book->instruments[index].late = record->listing.late;
    book->instruments[index].day = record->listing.day;
    book->instruments[index].source = record->listing.source;
    mind(&book->instruments[index]);
    levels_open(book, index, record->listing.step, record->listing.base);
    return NULL;
}

static const char *load_limit(struct book *book, const struct record *record)
{
    uint8_t kind = record->limit.kind;
    uint64_t value = record->limit.value;
    if (record->limit.instrument == NO_INSTRUMENT)
        return limit_member(book, record->session, kind, value, record->limit.total)
                   ? NULL
                   : "a limit of no member";
    if (record->limit.instrument >= book->instrument_count)
        return "a limit of no instrument";
    uint32_t last_price = book->instruments[record->limit.instrument].last_price;
    if (!limit_instrument(book, record->limit.instrument, kind, value))
        return "no such limit";
    book->instruments[record->limit.instrument].last_price = last_price;
    hold_prices(&book->instruments[record->limit.instrument]);
    return NULL;
}

static struct member *loading_member(struct book *book, const struct record *record)
{
    return record->session < book->member_count ? &book->members[record->session] : NULL;
}

static const char *load_account(struct book *book, const struct record *record)
{
    struct member *member = loading_member(book, record);
    if (!member)
        return "an account of no member";
    watch(book, record->session); // also of one whose limits were lifted again
    for (enum side side = SIDE_BUY; side <= SIDE_SELL; side++)
        member->traded_value[side] = (value_t)record->account.traded_value[side][1] << 64 |
                                     record->account.traded_value[side][0];
    member->orders = record->account.orders;
    member->executions = record->account.executions;
    return NULL;
}

static const char *load_buckets(struct book *book, const struct record *record)
{
    struct member *member = loading_member(book, record);
    if (!member)
        return "buckets of no member";
    member->order_bucket = record->buckets.order;
    member->cancel_bucket = record->buckets.cancel;
    member->execution_bucket = record->buckets.execution;
    return NULL;
}

static const char *load_sighting(struct book *book, const struct record *record)
{
    struct member *member = loading_member(book, record);
    if (!member || record->sighting.place >= SIGHTINGS)
        return "a sighting of no member";
    member->sightings[record->sighting.place] = record->sighting.is;
    return NULL;
}

static const char *load_position(struct book *book, const struct record *record)
{
    struct member *member = loading_member(book, record);
    if (!member || record->position.instrument >= book->instrument_count)
        return "a position of no member";
    if (record->position.unknown > 1 || record->position.barred > 1)
        return "a position that cannot be";
    struct position *position = &member->positions[record->position.instrument];
    position->known = !record->position.unknown;
    position->traded = record->position.traded;
    bar_position(book, member, record->position.instrument, record->position.barred);
    return NULL;
}

static const char *load_bars(struct book *book, const struct record *record)
{
    if (record->bars.count < 1 || record->bars.count > BARS ||
        record->bars.count > BOOK_BARS_MAX - book->bar_count)
        return "bars too many";
    for (uint32_t i = 0; i < record->bars.count; i++) {
        const struct bar *bar = &record->bars.bars[i];
        if (bar->by > BAR_EXECUTIONS || bar->unused != 0)
            return "a bar that cannot be";
        book->bars[book->bar_count++] = *bar;
    }
    bars_spread(book);
    return NULL;
}

static bool cross_known(const struct record *record)
{
    uint8_t cross = record->order.cross;
    if (record->order.late > (cross == CROSS_NONE ? 0 : LATE_PENDING | LATE_REFUSED))
        return false;
    return cross == CROSS_NONE ||
           ((cross == CROSS_OPENING || cross == CROSS_CLOSING || cross == CROSS_HALT) &&
            record->order.has_extra && record->order.attributes.auction);
}

static const char *order_problem(const struct book *book, const struct record *record)
{
    struct order_attributes attributes = record->order.attributes;
    if (record->session >= book->session_count ||
        record->order.instrument >= book->instrument_count ||
        record->order.side > SIDE_SELL_SHORT_EXEMPT)
        return "an order of nobody, or of nothing";
    uint64_t total = (uint64_t)record->order.open + record->order.reserve + record->order.executed;
    bool market = record->order.price == PRICE_MARKET && attributes.auction;
    if (record->order.open == 0 || total > QUANTITY_MAX ||
        (record->order.price - 1 >= PRICE_MAX && !market) ||
        attributes.display > DISPLAY_ATTRIBUTABLE ||
        (attributes.peg != PEG_NONE &&
         (attributes.display != DISPLAY_HIDDEN || attributes.auction)))
        return "an order that cannot be";
    if (!cross_known(record))
        return "a cross that cannot be";
    if (record->order.reserve > 0 && (record->order.max_floor == 0 ||
                                      attributes.display == DISPLAY_HIDDEN || attributes.auction))
        return "a reserve that cannot be";
    if (record->order.random_reserve > 0 && record->order.random_reserve >= record->order.max_floor)
        return "a random reserve that cannot be";
    if (follows(attributes) ? !record->order.has_extra || record->order.limit - 1 >= PRICE_MAX
                            : (record->order.limit | (uint16_t)record->order.peg_offset) != 0)
        return "a peg that cannot be";
    if (order_find(book, record->session, record->channel, record->order.user_ref_num) != NONE)
        return "an order twice";
    const struct instrument *listing = &book->instruments[record->order.instrument];
    if (follows(attributes) && listing->peg_count == BOOK_PEGS_MAX)
        return "a peg too many";
    enum side side = book_side(record->order.side), other = opposite_of(side);
    if (attributes.peg != PEG_MIDPOINT && !attributes.auction &&
        listing->best[other] <= rank_of(other, record->order.price))
        return "orders that cross";
    if (book->order_slots.count == book->limits.orders_max ||
        (record->order.has_extra && !extra_available(book)))
        return "an order too many";
    return NULL;
}

static const char *load_order(struct book *book, const struct record *record)
{
    const char *problem = order_problem(book, record);
    if (problem)
        return problem;
    uint32_t index = order_take(book);
    struct order *order = &book->orders[index];
    *order = (struct order){
        .ref = record->order.ref,
        .user_ref_num = record->order.user_ref_num,
        .open = record->order.open,
        .price = record->order.price,
        .session = record->session,
        .instrument = record->order.instrument,
        .executed = record->order.executed,
        .side = record->order.side,
        .user_ref_index = record->channel,
        .attributes = record->order.attributes,
    };
    if (record->order.has_extra) {
        struct extra *extra = extra_new(book, order);
        *extra = (struct extra){
            .max_floor = record->order.max_floor,
            .reserve = record->order.reserve,
            .expire_seconds = record->order.expire_seconds,
            .random_reserve = record->order.random_reserve,
            .peg_offset = record->order.peg_offset,
            .limit = record->order.limit,
            .cross = record->order.cross,
            .late = record->order.late,
        };
        memcpy(extra->firm, record->order.firm, sizeof(extra->firm));
    }
    if (!order_link(book, &book->instruments[order->instrument], index))
        return "a price level too many";
    if (follows(order->attributes))
        peg_join(book, index);
    table_add(book, user_ref_head(book, order->session, order->user_ref_index, order->user_ref_num),
              index);
    if (watched(book, order)) {
        account_open(book, order);
        account_add(book, order, order_reserve(book, order));
    }
    return NULL;
}

static const char *load_timer(struct book *book, const struct record *record)
{
    uint32_t index = order_find(book, record->session, record->channel, record->timer.user_ref_num);
    if (index == NONE || book->orders[index].extra == NONE)
        return "an end of no order";
    if (book->extras[book->orders[index].extra].timer_bucket != 0 || record->timer.seconds == 0 ||
        record->timer.seconds >= WHEEL_SECONDS)
        return "an end that cannot be";
    timer_add(book, index, record->timer.seconds);
    return NULL;
}

const char *book_load(struct book *book, const struct book_record *in)
{
    struct record record;
    memcpy(&record, in, sizeof(record));
    if (book->state != BOOK_NEW)
        return "a record after the end";
    switch (record.type) {
    case RECORD_LIMITS:
        return load_limits(book, &record);
    case RECORD_COUNTS:
        return load_counts(book, &record);
    case RECORD_SESSION:
        return load_session(book, &record);
    case RECORD_NUMBERS:
        return load_numbers(book, &record);
    case RECORD_INSTRUMENT:
        return load_instrument(book, &record);
    case RECORD_ORDER:
        return load_order(book, &record);
    case RECORD_TIMER:
        return load_timer(book, &record);
    case RECORD_BARS:
        return load_bars(book, &record);
    case RECORD_LIMITS_OF:
        return load_limit(book, &record);
    case RECORD_ACCOUNT:
        return load_account(book, &record);
    case RECORD_BUCKETS:
        return load_buckets(book, &record);
    case RECORD_HASH:
        return NULL;
    case RECORD_SIGHTING:
        return load_sighting(book, &record);
    case RECORD_POSITION:
        return load_position(book, &record);
    case BOOK_RECORD_END:
        book->state = book->loading_state;
        return book_hash(book) == record.hash ? NULL : "the state's hash differs";
    default:
        return "no such record";
    }
}
