// SPDX-License-Identifier: MIT
//
// Who may not trade: instruments that are halted, and sessions and firms that may enter no orders.
#include "book/events.h"
#include "book/trade.h"

static const char any_firm[4];

// --- Halts

static void set_trading(struct book *book, struct event_sink *sink, uint16_t index, bool halted)
{
    struct instrument *listing = &book->instruments[index];
    if (listing->halted == halted)
        return;
    listing->halted = halted;
    struct event *event = emit_rare(book, sink, EVENT_FEED_ACTION, FEED_SESSION);
    event->instrument = index;
    event->code = halted ? 'H' : 'T';
    memcpy(event->listing.symbol, listing->symbol, sizeof(event->listing.symbol));
    if (!halted)
        settle(book, sink, listing); // what midpoints would have done meanwhile
}

void apply_trading(struct book *book, const struct command *command, struct event_sink *sink)
{
    bool halted = command->trading.state == 'H';
    if (book->state == BOOK_CLOSED || (!halted && command->trading.state != 'T'))
        return;
    if (command->instrument < book->instrument_count)
        set_trading(book, sink, command->instrument, halted);
    else if (command->instrument == NO_INSTRUMENT)
        for (uint16_t index = 0; index < book->instrument_count; index++)
            set_trading(book, sink, index, halted);
}

// --- Bars

static bool bar_concerns(const struct bar *bar, uint16_t session)
{
    return bar->session == ANY_SESSION || bar->session == session;
}

bool entry_barred(const struct book *book, uint16_t session, const char firm[4])
{
    for (uint32_t i = 0; i < book->bar_count; i++) {
        const struct bar *bar = &book->bars[i];
        if (bar_concerns(bar, session) &&
            (memcmp(bar->firm, any_firm, 4) == 0 || memcmp(bar->firm, firm, 4) == 0))
            return true;
    }
    return false;
}

void bars_spread(struct book *book)
{
    for (uint16_t index = 0; index < book->session_count; index++) {
        book->sessions[index].restricted = false;
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
    uint32_t room = bar.by_operator ? BOOK_BARS_MAX - 1 : BOOK_BARS_MAX / 4 * 3;
    uint32_t place = bar_place(book, &bar);
    if (bar_at(book, place, &bar))
        return true;
    if (book->bar_count >= room && !bar.by_operator)
        return false;
    if (book->bar_count >= room) {
        bar = (struct bar){.session = ANY_SESSION, .by_operator = true};
        place = bar_place(book, &bar);
        if (bar_at(book, place, &bar))
            return true;
    }
    memmove(book->bars + place + 1, book->bars + place, (book->bar_count - place) * sizeof(bar));
    book->bars[place] = bar;
    book->bar_count++;
    return true;
}

void bar_firm(struct book *book, const char firm[4])
{
    struct bar bar = {.session = ANY_SESSION, .by_operator = true};
    memcpy(bar.firm, firm, sizeof(bar.firm));
    if (bar_at(book, bar_place(book, &bar), &bar))
        return;
    bar_add(book, bar);
    bars_spread(book);
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

void apply_entry(struct book *book, const struct command *command, struct event_sink *sink)
{
    bool by_operator = command->session == ANY_SESSION;
    struct bar bar = {.session = command->entry.session, .by_operator = by_operator};
    memcpy(bar.firm, command->entry.firm, sizeof(bar.firm));
    if (!by_operator) {
        if (!consume_user_ref(book, command))
            return;
        enum reject_reason reason = entry_check(book, command);
        if (reason == REJECT_NONE && !command->entry.allowed && !bar_add(book, bar))
            reason = REJECT_PROCESSING_ERROR;
        if (reason != REJECT_NONE) {
            reject(book, command, sink, reason);
            return;
        }
        answer_entry(book, command, sink);
    } else if (command->verdict != REJECT_NONE) {
        return;
    } else if (!command->entry.allowed) {
        bar_add(book, bar);
    }
    if (command->entry.allowed)
        bar_remove(book, &bar);
    bars_spread(book);
}
