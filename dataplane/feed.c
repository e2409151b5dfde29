// SPDX-License-Identifier: MIT
#include "dataplane/feed.h"

#include "dataplane/itch.h"
#include "dataplane/mold.h"

#define HEARTBEAT_NS 1000000000ull

static void note_phase(struct feed *feed, const struct event *event)
{
    // Relaxed: nothing else is read with it.
    if (event->instrument < feed->symbols->count)
        atomic_store_explicit(&feed->paused_ns[event->instrument],
                              event->code == 'P' ? event->time_ns | 1 : 0, memory_order_relaxed);
}

void feed_release(struct feed *feed, const struct event *event)
{
    stream_append(&feed->stream, event);
    if (event->type == EVENT_FEED_ACTION)
        note_phase(feed, event);
    if (event->type == EVENT_FEED_SYSTEM && event->code == 'C')
        feed->ended = true;
}

static void write_header(const struct feed *feed, uint8_t *payload, uint64_t sequence,
                         uint16_t count)
{
    struct mold_header *header = (struct mold_header *)payload;
    memcpy(header->session, feed->session, sizeof(header->session));
    header->sequence = be64_of(sequence);
    header->count = be16_of(count);
}

// Messages of `stream` from `first` on, up to `count_max` of them, as they fit one packet: the
// number written. A packet with none is not sent.
static uint16_t send_messages(struct feed *feed, const struct stream *stream,
                              const struct endpoint *source, const struct endpoint *destination,
                              uint64_t first, uint64_t count_max)
{
    uint8_t *frame = feed->port->operations->claim(feed->port);
    if (!frame)
        return 0;
    uint8_t *payload = frame + packet_payload_offset(destination);
    size_t size = sizeof(struct mold_header);
    uint16_t count = stream_pack(stream, first, count_max, itch_encode, feed->symbols, payload,
                                 &size, STEER_PAYLOAD_MAX);
    if (count == 0)
        return 0;
    write_header(feed, payload, first, count);
    port_send(feed->port, frame, packet_write_headers(frame, source, destination, size));
    return count;
}

void feed_flush(struct feed *feed, uint64_t now_ns)
{
    struct stream *stream = &feed->stream;
    while (stream->sent < stream->next) {
        uint16_t count =
            send_messages(feed, stream, &feed->source, &feed->group, stream->sent, UINT16_MAX);
        if (count == 0)
            return;
        stream->sent += count;
        feed->packets++;
        feed->messages += count;
        feed->spoke_ns = now_ns;
    }
}

void feed_tick(struct feed *feed, uint64_t now_ns)
{
    if (now_ns - feed->spoke_ns < HEARTBEAT_NS || feed->stream.sent < feed->stream.next)
        return;
    uint8_t *frame = feed->port->operations->claim(feed->port);
    if (!frame)
        return;
    write_header(feed, frame + packet_payload_offset(&feed->group), feed->stream.next,
                 feed->ended ? MOLD_COUNT_END_OF_SESSION : MOLD_COUNT_HEARTBEAT);
    port_send(feed->port, frame,
              packet_write_headers(frame, &feed->source, &feed->group, sizeof(struct mold_header)));
    feed->heartbeats++;
    feed->spoke_ns = now_ns;
}

void feed_request(struct feed *feed, const struct packet *packet, uint64_t now_ns)
{
    const struct mold_request *request = (const struct mold_request *)packet->payload;
    bool valid = packet->payload_size == sizeof(*request) &&
                 memcmp(request->session, feed->session, sizeof(request->session)) == 0;
    const struct stream *stream = NULL;
    uint64_t first = valid ? be64_load(request->sequence) : 0;
    bool later = false;
    if (valid)
        stream = history_find(feed->history, FEED_SESSION, &feed->stream, first, now_ns, &later);
    feed->requests++;
    feed->requests_later += later;
    if (!later && (!stream || send_messages(feed, stream, &feed->request_source, &packet->source,
                                            first, be16_load(request->count)) == 0))
        feed->requests_unserved++;
}
