// SPDX-License-Identifier: MIT
#include "dataplane/history.h"

size_t history_memory_size(uint32_t session_max)
{
    return stream_memory_size(HISTORY_EVENTS) + (session_max + 1) * sizeof(uint64_t);
}

void history_init(struct history *history, void *memory, uint32_t session_max)
{
    uint8_t *events = memory;
    *history =
        (struct history){.gone = (uint64_t *)(void *)(events + stream_memory_size(HISTORY_EVENTS)),
                         .session_max = session_max};
    stream_init(&history->window, events, HISTORY_EVENTS);
    history->first = history->window.next;
}

// --- The port's side

static uint64_t *gone_of(struct history *history, uint16_t session)
{
    return &history->gone[session == FEED_SESSION ? history->session_max : session];
}

static bool in_window(const struct history *history, const struct history_request *request)
{
    return request->session == history->session && request->number >= history->first &&
           request->number < history->window.next;
}

// Its reader has read it to the end, and wants what follows.
static bool goes_on(const struct history *history, const struct history_request *request)
{
    return request->session == history->session && request->number == history->window.next;
}

static bool is_empty(const struct history *history)
{
    return history->window.next == history->first;
}

static void look_at_answer(struct history *history, uint64_t now_ns)
{
    if (!history->fresh)
        return;
    history->fresh = false;
    history->read_ns = history->brought_ns = now_ns;
    if (history->turn_ns == 0)
        history->turn_ns = now_ns;
    if (history->failed)
        history->rest_until_ns = now_ns + HISTORY_REST_NS;
    else if (is_empty(history))
        *gone_of(history, history->session) =
            history->begins ? history->begins : history->first + 1;
}

// Somebody who waits and has not been heard of for a while has given up.
static bool waits(const struct history *history, uint64_t now_ns)
{
    return history->line.made_ns != 0 && now_ns - history->line.made_ns < 2 * HISTORY_PATIENCE_NS;
}

// Who reads it keeps it, but not from others by reading the same again and again.
static bool being_read(const struct history *history, uint64_t now_ns)
{
    return !is_empty(history) && now_ns - history->read_ns < HISTORY_PATIENCE_NS &&
           !(waits(history, now_ns) && now_ns - history->brought_ns >= HISTORY_HELD_NS);
}

static void stand_in_line(struct history *history, const struct history_request *request)
{
    if (!waits(history, request->made_ns) || history->line.session == request->session)
        history->line = *request;
}

static void ask(struct history *history, const struct history_request *request)
{
    if (history->line.session == request->session)
        history->line.made_ns = 0;
    history->session = request->session;
    history->first = request->number;
    // Release pairs with the acquire in history_wanted.
    atomic_store_explicit(&history->asked, true, memory_order_release);
}

// The window is ours and has not got what is wanted: whose turn is it?
static void ask_in_turn(struct history *history, struct history_request request)
{
    uint64_t now_ns = request.made_ns;
    bool continued = goes_on(history, &request);
    if (now_ns < history->rest_until_ns)
        return;
    if (!continued && being_read(history, now_ns)) {
        stand_in_line(history, &request);
        return;
    }
    if (!continued || now_ns - history->turn_ns >= HISTORY_TURN_NS) {
        history->turn_ns = 0;
        if (waits(history, now_ns) && history->line.session != request.session) {
            struct history_request next = history->line;
            history->line = request;
            request = next;
        }
    }
    ask(history, &request);
}

const struct stream *history_find(struct history *history, uint16_t session,
                                  const struct stream *kept, uint64_t number, uint64_t now_ns,
                                  bool *later)
{
    bool was_kept = number >= 1 && number < kept->next;
    *later = false;
    if (!history || !was_kept || stream_event(kept, number))
        return kept;
    struct history_request request = {.session = session, .number = number, .made_ns = now_ns};
    // Acquire pairs with the release in history_answer.
    if (atomic_load_explicit(&history->asked, memory_order_acquire)) {
        if (session != history->session || number != history->first)
            stand_in_line(history, &request);
        *later = true;
        return NULL;
    }
    look_at_answer(history, now_ns);
    if (number < *gone_of(history, session))
        return NULL;
    if (in_window(history, &request)) {
        history->read_ns = now_ns;
        return &history->window;
    }
    ask_in_turn(history, request);
    *later = true;
    return NULL;
}

// --- History's thread

bool history_wanted(const struct history *history)
{
    // Acquire pairs with the release in ask.
    return atomic_load_explicit(&history->asked, memory_order_acquire);
}

void history_begin(struct history *history)
{
    history->window.next = history->window.sent = history->first;
    history->window.coming = (struct order_options){0};
    history->begins = 0;
}

void history_take(struct history *history, const struct event *event)
{
    struct stream *window = &history->window;
    if (event->session != history->session || event->stream_seq < window->next)
        return;
    if (event->stream_seq == window->next && !stream_full(window))
        stream_append(window, event);
    else if (is_empty(history) && history->begins == 0)
        history->begins = event->stream_seq;
}

void history_answer(struct history *history, bool failed)
{
    if (failed)
        history_begin(history);
    history->fresh = true;
    history->failed = failed;
    // Release pairs with the acquire in history_find.
    atomic_store_explicit(&history->asked, false, memory_order_release);
}
