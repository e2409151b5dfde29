// SPDX-License-Identifier: MIT
#include "tests/sim/oracle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/itch.h"
#include "dataplane/ouch.h"
#include "numa/array.h"
#include "tests/unit/reference_query.h"

void heard_take(struct heard *heard, uint64_t number, const void *message, size_t size,
                const char *whose)
{
    uint64_t hash = sim_hash(message, size);
    size_t before = heard->capacity;
    if (!array_reserve(&heard->hashes, &heard->capacity, number + 1, sizeof(*heard->hashes)))
        abort();
    memset(heard->hashes + before, 0, (heard->capacity - before) * sizeof(*heard->hashes));
    if (heard->hashes[number] != 0 && heard->hashes[number] != hash)
        sim_fail("message %" PRIu64 " to %.5s has changed since it was first told", number, whose);
    heard->hashes[number] = hash;
    while (heard->next < heard->capacity && heard->hashes[heard->next] != 0)
        heard->next++;
}

void oracle_init(struct oracle *oracle)
{
    *oracle = (struct oracle){0};
}

static void free_expected(struct expected *expected)
{
    free(expected->events);
    free(expected->options);
}

void oracle_free(struct oracle *oracle)
{
    free(oracle->log);
    free(oracle->cuts);
    if (oracle->book)
        reference_close(&oracle->reference);
    free(oracle->book_memory);
    for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++)
        free_expected(&oracle->sessions[i]);
    free_expected(&oracle->feed);
    free(oracle->shown);
}

void oracle_log(struct oracle *oracle, const struct command *command)
{
    if (!array_reserve(&oracle->log, &oracle->log_capacity, oracle->log_count + 1,
                       sizeof(*oracle->log)))
        abort();
    if (oracle->log_count > 0 && command->time_ns < oracle->log[oracle->log_count - 1].time_ns)
        sim_fail("command %" PRIu64 " is from before the one before it", oracle->log_count + 1);
    oracle->log[oracle->log_count++] = *command;
}

void oracle_cut(struct oracle *oracle, uint64_t count, uint64_t durable)
{
    if (count < durable)
        sim_fail("%" PRIu64 " commands were durable, and %" PRIu64 " came back", durable, count);
    if (count > oracle->log_count)
        sim_fail("%" PRIu64 " commands were sent to the disk, and %" PRIu64 " came back",
                 oracle->log_count, count);
    oracle->log_count = count;
    if (!array_reserve(&oracle->cuts, &oracle->cut_capacity, oracle->cut_count + 1u,
                       sizeof(*oracle->cuts)))
        abort();
    oracle->cuts[oracle->cut_count++] = count;
}

// --- Applying

static void expect_event(struct expected *expected, const struct event *event)
{
    if (!array_reserve(&expected->events, &expected->capacity, expected->count + 2,
                       sizeof(*expected->events)) ||
        !array_reserve(&expected->options, &expected->option_capacity, expected->count + 2,
                       sizeof(*expected->options)))
        abort();
    if (event->type == EVENT_OPTIONS) {
        expected->coming = event->options;
        return;
    }
    expected->events[++expected->count] = *event;
    expected->options[expected->count] = expected->coming;
    expected->coming = (struct order_options){0};
    if (event->stream_seq != expected->count)
        sim_fail("the reference numbers a message %" PRIu64 ", not %" PRIu64, event->stream_seq,
                 expected->count);
}

// The book beside the reference writes nowhere: what it says is compared elsewhere
// (test_book_property), here its state is.
static struct event ignored[64];

static void ignore_events(struct event_sink *sink)
{
    sink->next = ignored;
}

static void open_books(struct oracle *oracle, const struct command *open)
{
    const struct book_limits *limits = &open->open.limits;
    if (open->type != COMMAND_OPEN || book_limits_check(limits))
        sim_fail("the log does not begin with the opening of a day");
    reference_open(&oracle->reference, limits);
    size_t size = (book_memory_size(limits) + 63) & ~(size_t)63;
    oracle->book_memory = aligned_alloc(64, size);
    if (!oracle->book_memory)
        abort();
    oracle->book = book_open(oracle->book_memory, limits);
}

// --- The feed's own book

static struct shown *find_shown(struct oracle *oracle, uint64_t order_ref)
{
    for (uint32_t i = 0; i < oracle->shown_count; i++)
        if (oracle->shown[i].order_ref == order_ref)
            return &oracle->shown[i];
    sim_fail("the feed speaks of order %" PRIu64 ", which it has not added", order_ref);
}

static void add_shown(struct oracle *oracle, struct shown order)
{
    if (!array_reserve(&oracle->shown, &oracle->shown_capacity, oracle->shown_count + 1,
                       sizeof(*oracle->shown)))
        abort();
    oracle->shown[oracle->shown_count++] = order;
}

static void remove_shown(struct oracle *oracle, uint64_t order_ref, uint32_t shares)
{
    struct shown *order = find_shown(oracle, order_ref);
    if (shares > order->shares)
        sim_fail("the feed removes %u shares of order %" PRIu64 ", which shows %u", shares,
                 order_ref, order->shares);
    order->shares -= shares;
    if (order->shares == 0)
        *order = oracle->shown[--oracle->shown_count];
}

static void follow_feed(struct oracle *oracle, const uint8_t *bytes)
{
    uint16_t locate = be16_load(((const struct itch_head *)bytes)->stock_locate);
    switch (bytes[0]) {
    case ITCH_ADD:
    case ITCH_ADD_MPID: { // the second is the first and a name
        const struct itch_add *m = (const void *)bytes;
        add_shown(oracle, (struct shown){be64_load(m->order_ref), be32_load(m->shares),
                                         be32_load(m->price), locate, m->side});
        break;
    }
    case ITCH_EXECUTED: {
        const struct itch_executed *m = (const void *)bytes;
        remove_shown(oracle, be64_load(m->order_ref), be32_load(m->shares));
        break;
    }
    case ITCH_EXECUTED_PRICE: {
        const struct itch_executed_price *m = (const void *)bytes;
        remove_shown(oracle, be64_load(m->order_ref), be32_load(m->shares));
        break;
    }
    case ITCH_CANCEL: {
        const struct itch_cancel *m = (const void *)bytes;
        remove_shown(oracle, be64_load(m->order_ref), be32_load(m->shares));
        break;
    }
    case ITCH_DELETE: {
        uint64_t order_ref = be64_load(((const struct itch_delete *)bytes)->order_ref);
        remove_shown(oracle, order_ref, find_shown(oracle, order_ref)->shares);
        break;
    }
    case ITCH_REPLACE: {
        const struct itch_replace *m = (const void *)bytes;
        struct shown *order = find_shown(oracle, be64_load(m->orig_order_ref));
        order->order_ref = be64_load(m->order_ref);
        order->shares = be32_load(m->shares);
        order->price = be32_load(m->price);
        break;
    }
    }
}

static void check_level(const struct oracle *oracle, uint16_t instrument, enum side side,
                        const struct book_level *level)
{
    uint64_t shares = 0;
    uint32_t orders = 0;
    for (uint32_t i = 0; i < oracle->shown_count; i++) {
        const struct shown *order = &oracle->shown[i];
        bool same_side = (order->side == 'B') == (side == SIDE_BUY);
        if (order->locate != instrument + 1 || !same_side || order->price != level->price)
            continue;
        shares += order->shares;
        orders++;
    }
    if (shares != level->quantity || orders != level->order_count)
        sim_fail("instrument %u at %u: the feed shows %u orders for %" PRIu64
                 " shares, the book has %u for %" PRIu64,
                 instrument, level->price, orders, shares, level->order_count, level->quantity);
}

static void check_feed_book(const struct oracle *oracle)
{
    const struct reference *reference = &oracle->reference;
    struct book_level *levels = calloc(reference->order_count + 1, sizeof(*levels));
    uint32_t orders = 0;
    if (!levels)
        abort();
    for (uint16_t instrument = 0; instrument < reference->instrument_count; instrument++)
        for (int side = 0; side < 2; side++) {
            uint32_t count = reference_depth(reference, instrument, side ? SIDE_SELL : SIDE_BUY,
                                             levels, reference->order_count + 1);
            for (uint32_t i = 0; i < count; i++) {
                check_level(oracle, instrument, side ? SIDE_SELL : SIDE_BUY, &levels[i]);
                orders += levels[i].order_count;
            }
        }
    free(levels);
    if (orders != oracle->shown_count)
        sim_fail("the feed shows %u orders, the book has %u", oracle->shown_count, orders);
}

void oracle_advance(struct oracle *oracle, uint64_t seq, const struct symbols *symbols)
{
    uint8_t bytes[STREAM_MESSAGE_SIZE_MAX];
    for (; oracle->applied < seq; oracle->applied++) {
        const struct command *command = &oracle->log[oracle->applied];
        if (!oracle->book)
            open_books(oracle, command);
        struct event_sink sink = {ignored, ignored + 64, ignore_events, NULL};
        reference_apply(&oracle->reference, command);
        book_apply(oracle->book, command, &sink);
        for (uint32_t i = 0; i < oracle->reference.event_count; i++) {
            const struct event *event = &oracle->reference.events[i];
            if (event->session != FEED_SESSION) {
                expect_event(&oracle->sessions[event->session], event);
                continue;
            }
            expect_event(&oracle->feed, event);
            itch_encode(event, symbols, bytes);
            follow_feed(oracle, bytes);
        }
    }
    if (oracle->book)
        check_feed_book(oracle);
}

// --- Checking

static void check_stream(const struct stream *stream, const struct expected *expected,
                         const char *whose)
{
    if (stream->next != expected->count + 1)
        sim_fail("the stream of %.5s goes on with %" PRIu64 ", not with %" PRIu64, whose,
                 stream->next, expected->count + 1);
    for (uint64_t number = 1; number <= expected->count; number++) {
        const struct event *event = stream_event(stream, number);
        if (event && (memcmp(event, &expected->events[number], sizeof(*event)) != 0 ||
                      memcmp(stream_options(stream, number), &expected->options[number],
                             sizeof(struct order_options)) != 0))
            sim_fail("message %" PRIu64 " of %.5s is not what follows from the log", number, whose);
    }
}

void oracle_check_lane(struct oracle *oracle, const struct lane *lane)
{
    for (uint32_t i = 0; i < lane->entry.session_count; i++)
        check_stream(&lane->entry.sessions[i].stream, &oracle->sessions[i],
                     lane->entry.sessions[i].who.user);
    check_stream(&lane->feed.stream, &oracle->feed, "feed");
    uint64_t hash = lane->shard.book ? book_hash(lane->shard.book) : 0;
    uint64_t expected = oracle->book ? book_hash(oracle->book) : 0;
    if (hash != expected)
        sim_fail("the book's state after %" PRIu64 " commands is %016" PRIx64 ", not %016" PRIx64,
                 oracle->applied, hash, expected);
}

void oracle_check_heard(struct expected *expected, const struct heard *heard,
                        stream_encode_fn *encode, const struct symbols *symbols, const char *whose)
{
    uint8_t bytes[STREAM_MESSAGE_SIZE_MAX];
    for (uint64_t number = expected->count + 1; number < heard->capacity; number++)
        if (heard->hashes[number] != 0)
            sim_fail("%.5s was told message %" PRIu64 ", and the house remembers %" PRIu64, whose,
                     number, expected->count);
    for (uint64_t number = 1; number <= expected->count && number < heard->capacity; number++) {
        if (heard->hashes[number] == 0 || number < expected->checked)
            continue;
        size_t size = encode(&expected->events[number], symbols, bytes);
        size = ouch_add_options(&expected->events[number], &expected->options[number], bytes, size);
        if (heard->hashes[number] != sim_hash(bytes, size))
            sim_fail("%.5s was told another message %" PRIu64 " than follows from the log", whose,
                     number);
    }
    expected->checked = heard->next;
}

static void check_open(const struct oracle *oracle, const struct client *client)
{
    const struct reference *reference = &oracle->reference;
    uint64_t open = 0, resting = 0;
    for (uint32_t number = 1; number <= client->user_ref_num; number++)
        open += client->orders[number].open;
    for (uint32_t i = 0; i < reference->order_count; i++) {
        const struct reference_order *order = &reference->orders[i];
        if (order->session != client->index)
            continue;
        resting += order->quantity;
        if (client->orders[order->user_ref_num].open != order->quantity)
            sim_fail("client %u believes order %u to have %u shares open, the book %u",
                     client->index, order->user_ref_num, client->orders[order->user_ref_num].open,
                     order->quantity);
    }
    if (open != resting)
        sim_fail("client %u believes %" PRIu64 " shares to be open, the book %" PRIu64,
                 client->index, open, resting);
}

// --- What was sent

static bool was_cut(const struct oracle *oracle, uint64_t at)
{
    for (uint32_t i = 0; i < oracle->cut_count; i++)
        if (oracle->cuts[i] == at)
            return true;
    return false;
}

// But for its time, and for the refusal of what adds risk when the disk is full.
static bool is_command(const struct command *logged, struct command sent)
{
    sent.time_ns = logged->time_ns;
    if (sent.verdict == REJECT_NONE && logged->verdict == REJECT_PROCESSING_ERROR)
        sent.verdict = REJECT_PROCESSING_ERROR;
    return memcmp(logged, &sent, sizeof(sent)) == 0;
}

static struct command *decode_sent(const struct oracle *oracle, const struct client *client,
                                   const struct symbols *symbols)
{
    const char *firm = oracle->reference.sessions[client->index].firm;
    struct command *sent = calloc(client->sent_count + 1, sizeof(*sent));
    if (!sent)
        abort();
    for (size_t i = 0; i < client->sent_count; i++) {
        const struct client_message *message = &client->sent[i];
        if (ouch_decode(message->bytes + 1, message->size - 1u, symbols, firm, &sent[i]))
            sim_fail("client %u sends what is no OUCH", client->index);
        sent[i].session = (uint16_t)client->index;
        if (sent[i].type == COMMAND_MASS_CANCEL)
            sent[i].mass.session = sent[i].session;
    }
    return sent;
}

// Around what has a number stands the datagram that it came in.
static void check_datagram(const struct oracle *oracle, const struct client *client,
                           const struct command *sent, uint64_t at)
{
    uint32_t number = oracle->log[at].order.user_ref_num;
    if (number == 0 || number > client->user_ref_num)
        sim_fail("client %u has entered %u orders, and the log has its order %u", client->index,
                 client->user_ref_num, number);
    size_t own = client->orders[number].sent, first = client->sent[own].first;
    at -= own - first;
    for (size_t i = first; i < client->sent_count && client->sent[i].first == first; i++, at++) {
        if (i > own && was_cut(oracle, at))
            return;
        if (at >= oracle->log_count || !is_command(&oracle->log[at], sent[i]))
            sim_fail(
                "message %zu of client %u is not in the log beside its datagram, as it was sent",
                i + 1, client->index);
    }
}

static void check_cancel(const struct oracle *oracle, const struct client *client,
                         const struct command *sent, uint64_t at)
{
    for (size_t i = 0; i < client->sent_count; i++)
        if (is_command(&oracle->log[at], sent[i]))
            return;
    sim_fail("command %" PRIu64 " is a cancel that client %u has not sent", at + 1, client->index);
}

static void check_sent(const struct oracle *oracle, const struct client *client,
                       const struct symbols *symbols)
{
    struct command *sent = decode_sent(oracle, client, symbols);
    for (uint64_t at = 0; at < oracle->log_count; at++) {
        const struct command *command = &oracle->log[at];
        if (command->session != client->index || command->type < COMMAND_ENTER ||
            command->type > COMMAND_MASS_CANCEL)
            continue;
        if (command->type == COMMAND_CANCEL)
            check_cancel(oracle, client, sent, at);
        else
            check_datagram(oracle, client, sent, at);
    }
    free(sent);
}

void oracle_check_client(const struct oracle *oracle, const struct client *client,
                         const struct symbols *symbols)
{
    check_open(oracle, client);
    check_sent(oracle, client, symbols);
}
