// SPDX-License-Identifier: MIT
//
// load_tape's readers of ITCH 5.0: a BinaryFILE, and MoldUDP64 in a pcap.
#include <pcap/pcap.h>
#include <string.h>

#include "book/book.h"
#include "dataplane/itch.h"
#include "dataplane/load_tape_steps.h"
#include "dataplane/mold.h"
#include "dataplane/packet.h"

// The symbol's index, or NO_INSTRUMENT when it was not asked for.
static uint16_t tape_symbol(struct tape *tape, const char name[8])
{
    uint16_t symbol = symbols_find(&tape->symbols, name);
    if (symbol == NO_INSTRUMENT && tape->options->symbol_count == 0)
        symbol = symbols_add(&tape->symbols, name);
    return symbol;
}

static void itch_add(struct tape *tape, const struct itch_add *add)
{
    uint16_t symbol = tape_symbol(tape, add->stock);
    if (symbol == NO_INSTRUMENT) {
        tape->other_locate[be16_load(add->head.stock_locate)] = true;
        tape->counts->other_symbol++;
        return;
    }
    if (add->side != 'B' && add->side != 'S') {
        tape->counts->malformed++;
        return;
    }
    tape_enter(tape, be64_load(add->order_ref), add->side == 'B' ? SIDE_BUY : SIDE_SELL,
               be32_load(add->shares), be32_load(add->price), symbol);
}

// E, C, X, D and U have the order's reference in the same place.
static void itch_change(struct tape *tape, const uint8_t *message)
{
    const struct itch_delete *any = (const void *)message;
    const struct itch_executed *executed = (const void *)message;
    const struct itch_cancel *canceled = (const void *)message;
    const struct itch_replace *replaced = (const void *)message;
    struct tape_order *order = order_table_find(&tape->orders, be64_load(any->order_ref));
    if (order == NULL) {
        if (tape->other_locate[be16_load(any->head.stock_locate)])
            tape->counts->other_symbol++;
        else
            tape->counts->unknown_order++;
        return;
    }
    if (message[0] == ITCH_DELETE)
        tape_cancel(tape, order, order->open);
    else if (message[0] == ITCH_CANCEL)
        tape_cancel(tape, order, be32_load(canceled->shares));
    else if (message[0] == ITCH_REPLACE)
        tape_replace(tape, order, be64_load(replaced->order_ref), be32_load(replaced->shares),
                     be32_load(replaced->price));
    else
        tape_execute(tape, order, be32_load(executed->shares));
}

static void itch_message(struct tape *tape, const uint8_t *message)
{
    tape->counts->messages++;
    tape_time(tape, be48_load(((const struct itch_head *)message)->time_ns));
    switch (message[0]) {
    case ITCH_ADD:
    case ITCH_ADD_MPID: // the attribution comes behind the fields of the other
        itch_add(tape, (const void *)message);
        break;
    case ITCH_EXECUTED:
    case ITCH_EXECUTED_PRICE:
    case ITCH_CANCEL:
    case ITCH_DELETE:
    case ITCH_REPLACE:
        itch_change(tape, message);
        break;
    default:
        tape->counts->no_order++;
    }
}

static bool itch_size_right(const uint8_t *message, size_t size)
{
    return size > 0 && itch_message_size(message[0]) == size;
}

// The message that begins with its length at `offset`, and the offset behind it; false at a cut.
static bool next_block(struct bytes file, size_t *offset, struct bytes *message)
{
    be16 size;
    if (file.size - *offset < sizeof(size))
        return false;
    memcpy(&size, file.start + *offset, sizeof(size));
    *message = (struct bytes){file.start + *offset + sizeof(size), be16_load(size)};
    if (file.size - *offset - sizeof(size) < message->size)
        return false;
    *offset += sizeof(size) + message->size;
    return true;
}

bool tape_is_binary_file(struct bytes file)
{
    size_t offset = 0;
    struct bytes first = {file.start, 0};
    return next_block(file, &offset, &first) && itch_size_right(first.start, first.size);
}

int tape_read_binary_file(struct tape *tape, struct bytes file, struct error *error)
{
    struct bytes message;
    for (size_t offset = 0; offset < file.size && !tape_full(tape);) {
        size_t start = offset;
        if (!next_block(file, &offset, &message))
            return error_set(error,
                             "load: %s: the ITCH file is cut off at byte %zu; fetch it again",
                             tape->path, start);
        if (message.size == 0)
            continue;
        if (!itch_size_right(message.start, message.size))
            return error_set(error,
                             "load: %s: at byte %zu, a message of %zu bytes and type 0x%02X "
                             "is not ITCH 5.0",
                             tape->path, start, message.size, message.start[0]);
        itch_message(tape, message.start);
    }
    return 0;
}

// MoldUDP64 in pcap.

struct mold_stream {
    bool found;
    char session[10];
    uint64_t expected;
};

static int any_shard(void *context, uint32_t address, uint16_t port)
{
    (void)context, (void)address, (void)port;
    return 0;
}

// The payload is a whole packet of MoldUDP64 data with ITCH in it.
static bool mold_valid(struct bytes payload, const struct mold_header *header)
{
    uint32_t count = be16_load(header->count);
    size_t offset = sizeof(*header);
    struct bytes message;
    if (count == MOLD_COUNT_HEARTBEAT || count == MOLD_COUNT_END_OF_SESSION)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!next_block(payload, &offset, &message))
            return false;
        if (message.size != 0 && !itch_size_right(message.start, message.size))
            return false;
    }
    return offset == payload.size;
}

static void mold_packet(struct tape *tape, struct mold_stream *stream, struct bytes payload)
{
    const struct mold_header *header = (const void *)payload.start;
    if (payload.size < sizeof(*header) || !mold_valid(payload, header)) {
        tape->counts->packets_other++;
        return;
    }
    if (!stream->found) {
        stream->found = true;
        memcpy(stream->session, header->session, sizeof(stream->session));
    }
    uint64_t sequence = be64_load(header->sequence);
    uint32_t count = be16_load(header->count);
    if (memcmp(stream->session, header->session, sizeof(stream->session)) != 0 ||
        sequence + count <= stream->expected) {
        tape->counts->packets_other++;
        return;
    }
    size_t offset = sizeof(*header);
    struct bytes message;
    for (uint64_t i = sequence; i < sequence + count && !tape_full(tape); i++) {
        if (!next_block(payload, &offset, &message))
            break;
        if (i >= stream->expected && message.size > 0)
            itch_message(tape, message.start);
    }
    stream->expected = sequence + count;
}

static int read_pcap_packets(struct tape *tape, pcap_t *pcap, struct error *error)
{
    struct mold_stream stream = {.found = false};
    struct pcap_pkthdr *header;
    const uint8_t *frame;
    int status;
    while (!tape_full(tape) && (status = pcap_next_ex(pcap, &header, &frame)) != PCAP_ERROR_BREAK) {
        if (status != 1)
            return error_set(error, "load: %s: %s; capture it again", tape->path,
                             pcap_geterr(pcap));
        struct packet packet;
        uint32_t shard;
        if (packet_parse(frame, header->caplen, any_shard, NULL, &packet, &shard) !=
            STEER_REDIRECT) {
            tape->counts->packets_other++;
            continue;
        }
        mold_packet(tape, &stream, (struct bytes){packet.payload, packet.payload_size});
    }
    return 0;
}

int tape_read_pcap(struct tape *tape, struct error *error)
{
    char reason[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline(tape->path, reason);
    if (pcap == NULL)
        return error_set(error, "load: cannot read the pcap: %s", reason);
    int status = -1;
    if (pcap_datalink(pcap) != DLT_EN10MB)
        error_set(error,
                  "load: %s: its packets are not Ethernet frames; capture from an interface "
                  "rather than from 'any'",
                  tape->path);
    else
        status = read_pcap_packets(tape, pcap, error);
    pcap_close(pcap);
    return status;
}
