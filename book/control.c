// SPDX-License-Identifier: MIT
//
// When an instrument trades, and which sessions and firms may enter no orders.
#include "book/events.h"
#include "book/trade.h"

static const char any_firm[4];

// --- Phases

// Of each phase: the letter of its command, and ITCH's trading state.
static const struct {
    uint8_t state, told;
} phases[] = {
    [PHASE_TRADING] = {'T', 'T'},   [PHASE_HALTED] = {'H', 'H'}, [PHASE_PREOPEN] = {'O', 'Q'},
    [PHASE_QUOTATION] = {'Q', 'Q'}, [PHASE_PAUSED] = {'P', 'P'}, [PHASE_CLOSED] = {'C', 'H'}};

static int find_phase(uint8_t state)
{
    for (int phase = PHASE_TRADING; phase <= PHASE_CLOSED; phase++)
        if (phases[phase].state == state)
            return phase;
    return -1;
}

bool book_over(const struct book *book)
{
    return __atomic_load_n(&book->state, __ATOMIC_RELAXED) == BOOK_CLOSED;
}

uint8_t book_phase(const struct book *book, uint16_t instrument)
{
    if (instrument >= book->instrument_count)
        return 0;
    return phases[__atomic_load_n(&book->instruments[instrument].phase, __ATOMIC_RELAXED)].state;
}

// With a phase or a band a plain order takes the way of special ones, so that the usual way has
// nothing to look at.
void mind(struct instrument *listing)
{
    bool trades = listing->phase != PHASE_TRADING || listing->band != 0;
    bool entry = listing->short_sale != 0 || listing->guarded;
    listing->special_count += (uint32_t)trades - (listing->minded & MIND_TRADES);
    listing->minded = (trades ? MIND_TRADES : 0) | (entry ? MIND_ENTRY : 0);
}

// The cross that a change of phase brings, or CROSS_NONE.
static uint8_t cross_before(const struct instrument *listing, enum phase phase)
{
    bool waiting = (listing->auction[SIDE_BUY].best | listing->auction[SIDE_SELL].best) != NONE;
    if (phase == PHASE_CLOSED)
        return listing->phase == PHASE_HALTED ? CROSS_NONE : CROSS_CLOSING;
    if (phase != PHASE_TRADING || !(collects(listing) || waiting))
        return CROSS_NONE;
    return listing->phase == PHASE_PREOPEN ? CROSS_OPENING : CROSS_HALT;
}

static void set_phase(struct book *book, struct event_sink *sink, uint16_t index, enum phase phase)
{
    struct instrument *listing = &book->instruments[index];
    if (listing->phase == phase || listing->phase == PHASE_CLOSED)
        return;
    uint8_t cross = cross_before(listing, phase);
    if (cross != CROSS_NONE)
        cross_trade(book, sink, listing, cross);
    __atomic_store_n(&listing->phase, (uint8_t)phase, __ATOMIC_RELAXED); // others may ask
    listing->late = false;
    listing->late_price = 0;
    mind(listing);
    struct event *event = emit_rare(book, sink, EVENT_FEED_ACTION, FEED_SESSION);
    event->instrument = index;
    event->code = phases[phase].told;
    memcpy(event->listing.symbol, listing->symbol, sizeof(event->listing.symbol));
    if (cross != CROSS_NONE)
        cross_release(book, sink, listing);
    if (phase == PHASE_CLOSED)
        cancel_instrument(book, sink, index);
}

// Before a cross that can come: the opening, a halt's or the closing one.
static void begin_late(struct instrument *listing)
{
    if (listing->late || !(collects(listing) || listing->phase == PHASE_TRADING))
        return;
    listing->late = true;
    listing->late_price = cross_reference(listing);
}

static void set_short_sale(struct book *book, struct event_sink *sink, uint16_t index, uint8_t code)
{
    struct instrument *listing = &book->instruments[index];
    uint8_t restricted = code == '0' ? 0 : code;
    if (listing->short_sale == restricted)
        return;
    listing->short_sale = restricted;
    mind(listing);
    struct event *event = emit_rare(book, sink, EVENT_FEED_SHORT_SALE, FEED_SESSION);
    event->instrument = index;
    event->code = code;
    memcpy(event->listing.symbol, listing->symbol, sizeof(event->listing.symbol));
}

uint32_t band_edge(const struct instrument *listing, enum side side)
{
    uint64_t width = (uint64_t)listing->reference * listing->band / BAND_MAX;
    if (listing->band == 0 || listing->reference == 0)
        return 0;
    uint64_t edge = side == SIDE_BUY ? listing->reference + width : listing->reference - width;
    return edge == 0 ? 1 : edge > PRICE_MAX ? PRICE_MAX : (uint32_t)edge;
}

void pause_instrument(struct book *book, struct event_sink *sink, struct instrument *listing)
{
    struct event *event = emit_rare(book, sink, EVENT_FEED_COLLAR, FEED_SESSION);
    uint16_t index = (uint16_t)(listing - book->instruments);
    event->instrument = index;
    event->price = listing->reference;
    event->quantity = band_edge(listing, SIDE_BUY);
    event->low_price = band_edge(listing, SIDE_SELL);
    memcpy(event->listing.symbol, listing->symbol, sizeof(event->listing.symbol));
    set_phase(book, sink, index, PHASE_PAUSED);
}

// Whether a halt, or the quotation after it, stands against who wants another phase.
static bool is_kept(const struct instrument *listing, const struct command *command)
{
    uint8_t source = command->trading.source;
    bool killed = listing->phase == PHASE_HALTED && listing->source == TRADING_RISK;
    bool halted = listing->phase == PHASE_HALTED || listing->phase == PHASE_QUOTATION;
    if (killed || (source == TRADING_RISK && command->trading.state == 'R'))
        return !killed || source != TRADING_RISK;
    return halted && source == TRADING_CALENDAR && listing->source != TRADING_CALENDAR;
}

// The phase that is to begin, or -1.
static int next_phase(struct instrument *listing, const struct command *command)
{
    uint8_t state = command->trading.state, source = command->trading.source;
    int day = listing->day == 0 ? PHASE_TRADING : listing->day - 1;
    int phase = state == 'R' ? day : find_phase(state);
    bool again = source == TRADING_CALENDAR && listing->day == 1 + phase;
    if (phase >= 0 && source == TRADING_CALENDAR)
        listing->day = (uint8_t)(1 + phase);
    if (phase < 0 || again || (phase != PHASE_CLOSED && is_kept(listing, command)))
        return -1;
    bool scheduled = source == TRADING_CALENDAR || (state == 'R' && listing->day != 0);
    bool kills = source == TRADING_RISK && state == 'H';
    listing->source = scheduled ? TRADING_CALENDAR : kills ? TRADING_RISK : TRADING_OPERATOR;
    return phase;
}

static void control_instrument(struct book *book, const struct command *command,
                               struct event_sink *sink, uint16_t index)
{
    struct instrument *listing = &book->instruments[index];
    bool ends = command->trading.from == 0 || command->trading.from == book_phase(book, index);
    int phase = ends ? next_phase(listing, command) : -1;
    uint32_t reference = command->trading.reference;
    if (reference != 0 && reference <= PRICE_MAX) {
        listing->reference = reference;
        hold_prices(listing);
    }
    if (command->trading.band != 0) {
        listing->band = command->trading.band <= BAND_MAX ? command->trading.band : 0;
        mind(listing);
    }
    if (command->trading.short_sale >= '0' && command->trading.short_sale <= '2')
        set_short_sale(book, sink, index, command->trading.short_sale);
    if (ends && command->trading.state == 'L' && !is_kept(listing, command))
        begin_late(listing);
    if (phase >= 0)
        set_phase(book, sink, index, (enum phase)phase);
    settle(book, sink, listing); // what midpoints would have done meanwhile, and pegs in this band
}

void apply_trading(struct book *book, const struct command *command, struct event_sink *sink)
{
    if (book->state == BOOK_CLOSED)
        return;
    if (command->instrument < book->instrument_count)
        control_instrument(book, command, sink, command->instrument);
    else if (command->instrument == NO_INSTRUMENT)
        for (uint16_t index = 0; index < book->instrument_count; index++)
            control_instrument(book, command, sink, index);
}

// --- Bars

static bool bar_concerns(const struct bar *bar, uint16_t session)
{
    return bar->session == ANY_SESSION || bar->session == session;
}

static bool barred_in(const struct book *book, uint16_t session, uint16_t instrument,
                      const char firm[4])
{
    const struct member *member = book->sessions[session].member;
    if (memcmp(member->firm, firm, 4) == 0)
        return member->positions[instrument].barred;
    for (uint32_t i = 0; i < book->member_count; i++)
        if (memcmp(book->members[i].firm, firm, 4) == 0)
            return book->members[i].positions[instrument].barred;
    return false;
}

refusal_t entry_refusal(const struct book *book, uint16_t session, uint16_t instrument,
                        const char firm[4])
{
    refusal_t refusal =
        barred_in(book, session, instrument, firm) ? REJECT_FIRM_NOT_AUTHORIZED : REJECT_NONE;
    for (uint32_t i = 0; i < book->bar_count; i++) {
        const struct bar *bar = &book->bars[i];
        if (!bar_concerns(bar, session) ||
            (memcmp(bar->firm, any_firm, 4) != 0 && memcmp(bar->firm, firm, 4) != 0))
            continue;
        if (bar->by == BAR_EXECUTIONS)
            return refusal_of(REJECT_FIRM_NOT_AUTHORIZED, LIMIT_EXECUTIONS);
        refusal = REJECT_FIRM_NOT_AUTHORIZED;
    }
    return refusal;
}

void bars_spread(struct book *book)
{
    bool all = false; // an order may name any firm
    for (uint32_t i = 0; i < book->member_count; i++)
        all |= book->members[i].barred_count > 0;
    for (uint16_t index = 0; index < book->session_count; index++) {
        book->sessions[index].restricted = all;
        for (uint32_t i = 0; i < book->bar_count; i++)
            book->sessions[index].restricted |= bar_concerns(&book->bars[i], index);
    }
}

// Bars are kept in the order of their bytes: which ones there are is all that counts. The place of
// one, or where it belongs.
static uint32_t bar_place(const struct book *book, const struct bar *bar)
{
    uint32_t place = 0;
    while (place < book->bar_count && memcmp(&book->bars[place], bar, sizeof(*bar)) < 0)
        place++;
    return place;
}

static bool bar_at(const struct book *book, uint32_t place, const struct bar *bar)
{
    return place < book->bar_count && memcmp(&book->bars[place], bar, sizeof(*bar)) == 0;
}

// The last quarter of the table is the operator's, so that clients cannot use it up. Whom there is
// no room to bar is barred with everybody: better too many than one too few.
static bool bar_add(struct book *book, struct bar bar)
{
    bool client = bar.by == BAR_CLIENT;
    uint32_t room = client ? BOOK_BARS_MAX / 4 * 3 : BOOK_BARS_MAX - 1;
    uint32_t place = bar_place(book, &bar);
    if (bar_at(book, place, &bar))
        return true;
    if (book->bar_count >= room && client)
        return false;
    if (book->bar_count >= room) {
        bar = (struct bar){.session = ANY_SESSION, .by = BAR_OPERATOR};
        place = bar_place(book, &bar);
        if (bar_at(book, place, &bar))
            return true;
    }
    memmove(book->bars + place + 1, book->bars + place, (book->bar_count - place) * sizeof(bar));
    book->bars[place] = bar;
    book->bar_count++;
    return true;
}

static struct bar bar_of(const char firm[4], enum bar_by by)
{
    struct bar bar = {.session = ANY_SESSION, .by = (uint8_t)by};
    memcpy(bar.firm, firm, sizeof(bar.firm));
    return bar;
}

bool book_bars_firm(const struct book *book, const char firm[4])
{
    struct bar operators = bar_of(firm, BAR_OPERATOR), limits = bar_of(firm, BAR_EXECUTIONS);
    return bar_at(book, bar_place(book, &operators), &operators) ||
           bar_at(book, bar_place(book, &limits), &limits);
}

void bar_firm(struct book *book, const char firm[4])
{
    struct book_share told = {.seq = book->seq, .type = COMMAND_ENTRY, .kind = LIMIT_EXECUTIONS};
    if (book_bars_firm(book, firm))
        return;
    bar_add(book, bar_of(firm, BAR_EXECUTIONS));
    bars_spread(book);
    memcpy(told.firm, firm, sizeof(told.firm));
    if (book->told)
        book->told(book->told_context, &told);
}

static void bar_remove(struct book *book, const struct bar *bar)
{
    uint32_t place = bar_place(book, bar);
    if (!bar_at(book, place, bar))
        return;
    book->bar_count--;
    memmove(book->bars + place, book->bars + place + 1, (book->bar_count - place) * sizeof(*bar));
}

static enum reject_reason entry_check(const struct book *book, const struct command *command)
{
    if (command->verdict != REJECT_NONE)
        return command->verdict;
    return book->state == BOOK_TRADING ? REJECT_NONE : REJECT_DESTINATION_CLOSED;
}

static void answer_entry(struct book *book, const struct command *command, struct event_sink *sink)
{
    uint8_t type = command->entry.allowed ? EVENT_ENTRY_ENABLED : EVENT_ENTRY_DISABLED;
    struct event *event = emit_rare(book, sink, type, command->session);
    event->user_ref_num = command->entry.user_ref_num;
    event->user_ref_index = command->user_ref_index;
    memcpy(event->firm, command->entry.firm, sizeof(event->firm));
}

void bar_position(struct book *book, struct member *member, uint16_t instrument, bool barred)
{
    struct position *position = &member->positions[instrument];
    if (position->barred == barred)
        return;
    position->barred = barred;
    member->barred_count += barred ? 1 : -1;
    bars_spread(book);
}

static void bar_in_symbol(struct book *book, const struct command *command)
{
    if (command->instrument >= book->instrument_count)
        return;
    for (uint32_t i = 0; i < book->member_count; i++)
        if (memcmp(book->members[i].firm, command->entry.firm, 4) == 0)
            bar_position(book, &book->members[i], command->instrument, !command->entry.allowed);
}

void apply_entry(struct book *book, const struct command *command, struct event_sink *sink)
{
    bool by_operator = command->session == ANY_SESSION;
    struct bar bar = {.session = command->entry.session,
                      .by = by_operator ? BAR_OPERATOR : BAR_CLIENT};
    memcpy(bar.firm, command->entry.firm, sizeof(bar.firm));
    if (!by_operator) {
        if (!consume_user_ref(book, command))
            return;
        enum reject_reason reason = entry_check(book, command);
        if (reason == REJECT_NONE && !pass_allowed(book, command->session))
            reason = REJECT_RISK_RATE;
        if (reason == REJECT_NONE && !command->entry.allowed && !bar_add(book, bar))
            reason = REJECT_PROCESSING_ERROR;
        if (reason != REJECT_NONE) {
            reject(book, command, sink, reason);
            return;
        }
        answer_entry(book, command, sink);
    } else if (command->verdict != REJECT_NONE || book->state == BOOK_NEW) {
        return;
    } else if (command->entry.in_symbol == 1) {
        bar_in_symbol(book, command);
        return;
    } else if (!command->entry.allowed) {
        bar_add(book, bar);
    }
    if (command->entry.allowed) {
        bar_remove(book, &bar);
        bar.by = BAR_EXECUTIONS;
        if (by_operator)
            bar_remove(book, &bar);
    }
    bars_spread(book);
}
