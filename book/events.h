// SPDX-License-Identifier: MIT
//
// Events, written field by field into the sink's next slot: each is a line that the core has not
// read, and is written once.
#ifndef SLUICE_BOOK_EVENTS_H
#define SLUICE_BOOK_EVENTS_H

#include "book/internal.h"

// The next event of a stream. The caller sets the rest of its fields.
static inline struct event *emit_next(const struct book *book, struct event_sink *sink,
                                      uint64_t *stream_next, uint16_t session, uint8_t type)
{
    if (unlikely(sink->next == sink->end))
        sink->more(sink);
    struct event *event = sink->next++;
    uint64_t stream_seq = (*stream_next)++;
    event->seq = book->seq;
    event->stream_seq = stream_seq;
    event->time_ns = book->event_time_ns;
    event->session = session;
    event->type = type;
    return event;
}

// One that is rare: what the caller does not set is zero.
static inline struct event *emit_rare(struct book *book, struct event_sink *sink, uint8_t type,
                                      uint16_t session)
{
    uint64_t *stream_next =
        session == FEED_SESSION ? &book->feed_next : &book->sessions[session].stream_next;
    struct event *event = emit_next(book, sink, stream_next, session, type);
    *event = (struct event){.seq = event->seq,
                            .stream_seq = event->stream_seq,
                            .time_ns = event->time_ns,
                            .session = session,
                            .type = type};
    return event;
}

// An event of an order for its session, without the last 20 bytes.
static inline struct event *emit_order(struct book *book, struct event_sink *sink, uint8_t type,
                                       const struct order *order, uint32_t quantity, uint32_t price,
                                       uint8_t code)
{
    uint32_t user_ref_num = order->user_ref_num;
    uint16_t session = order->session, instrument = order->instrument;
    uint8_t side = order->side, user_ref_index = order->user_ref_index;
    struct event *event =
        emit_next(book, sink, &book->sessions[session].stream_next, session, type);
    event->user_ref_num = user_ref_num;
    event->quantity = quantity;
    event->price = price;
    event->instrument = instrument;
    event->side = side;
    event->code = code;
    event->user_ref_index = user_ref_index;
    return event;
}

static inline void emit_executed(struct book *book, struct event_sink *sink,
                                 const struct order *order, uint32_t quantity, uint32_t price,
                                 uint8_t code, uint64_t order_ref, uint64_t match_number)
{
    struct event *event = emit_order(book, sink, EVENT_EXECUTED, order, quantity, price, code);
    event->prevented = 0;
    event->trade.order_ref = order_ref;
    event->trade.match_number = match_number;
}

// CANCELED, MODIFIED and RESTATED.
static inline void emit_changed(struct book *book, struct event_sink *sink, uint8_t type,
                                const struct order *order, uint32_t quantity, uint8_t code)
{
    uint64_t ref = order->ref;
    struct event *event = emit_order(book, sink, type, order, quantity, order->price, code);
    event->prevented = 0;
    event->trade.order_ref = ref;
    event->trade.match_number = 0;
}

// All of a resting order, or what is left of an incoming one, goes.
static inline void emit_canceled(struct book *book, struct event_sink *sink,
                                 const struct order *order, char reason)
{
    emit_changed(book, sink, EVENT_CANCELED, order, order->open + order_reserve(book, order),
                 (uint8_t)reason);
}

// ACCEPTED and REPLACED: echoes what the client called the order.
static inline struct event *emit_entered(struct book *book, struct event_sink *sink, uint8_t type,
                                         const struct command *command, uint16_t instrument,
                                         uint8_t side, uint32_t open,
                                         struct order_attributes attributes)
{
    struct event *event = emit_next(book, sink, &book->sessions[command->session].stream_next,
                                    command->session, type);
    event->user_ref_num = command->order.user_ref_num;
    event->quantity = open;
    event->price = command->order.price;
    event->instrument = instrument;
    event->side = side;
    event->code = 0;
    event->user_ref_index = command->user_ref_index;
    event->orig_user_ref_num = command->order.orig_user_ref_num; // or the firm
    memcpy(&event->order, &command->order.client_order_id, sizeof(event->order));
    event->order.attributes = attributes;
    return event;
}

// An event of a displayed order for the feed.
static inline struct event *emit_feed(struct book *book, struct event_sink *sink, uint8_t type,
                                      uint16_t instrument, enum side side, uint32_t quantity,
                                      uint32_t price, uint64_t order_ref, uint64_t match_number)
{
    struct event *event = emit_next(book, sink, &book->feed_next, FEED_SESSION, type);
    event->user_ref_num = 0;
    event->quantity = quantity;
    event->price = price;
    event->instrument = instrument;
    event->side = (uint8_t)side;
    event->code = 0;
    event->user_ref_index = 0;
    event->prevented = 0;
    event->trade.order_ref = order_ref;
    event->trade.match_number = match_number;
    return event;
}

#endif
