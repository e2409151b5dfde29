// SPDX-License-Identifier: MIT
//
// The sessions of a lane under a clock of the fuzzer's own: an input is a list of steps (a datagram
// from one of several clients, time that passes, a round of the shard, the disk or the port, frames
// that run out, a disk that is full, the end of the day), which go through entry, shard, book, gate
// and feed as the gateway wires them. A second, plain telling of UFO says what each datagram is
// counted as and which packets leave for whom; every packet that leaves is held against it.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/entry.h"
#include "dataplane/feed.h"
#include "dataplane/gate.h"
#include "dataplane/itch.h"
#include "dataplane/mold.h"
#include "dataplane/shard.h"
#include "numa/invariant.h"

#define SESSIONS     3u
#define STREAMS      (SESSIONS + 1) // the last is the feed's
#define CLIENTS      6u
#define HISTORY      64u
#define COMMANDS     16u // slots of the rings
#define EVENTS       64u
#define ARCHIVE      256u // more than any stream keeps
#define NOBODY       UINT32_MAX
#define SECOND_NS    1000000000ull
#define HEARTBEAT_NS SECOND_NS
#define TIMEOUT_NS   (10 * SECOND_NS)
#define MIDNIGHT_NS  1700006400000000000ull
#define PLENTY       1000000u // frames

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char session_id[10] = {'D', 'A', 'Y', '0', '0', '0', '0', '0', '0', '1'};
static const char firms[SESSIONS][5] = {"ALFA", "BRAV", "ALFA"};

// --- The house

static struct symbols symbols;
static struct entry entry;
static struct feed feed;
static struct shard shard;
static struct gate gate;
static struct journal_progress progress;
static struct bell bell;
static _Atomic bool cancel_only;
static struct ring *commands, *to_journal, *events;
static struct event *streams[STREAMS];
static void *sessions_memory, *book_memory, *symbols_memory;
static const struct book_limits limits = {
    .orders_max = 16, .instruments_max = 2, .sessions_max = SESSIONS};

static uint64_t now_ns, written_seq, journal_time_ns;

// --- What is known to have happened

struct message {
    uint64_t seq; // of the command that caused it
    uint64_t number;
    size_t size;
    uint8_t bytes[STREAM_MESSAGE_SIZE_MAX];
};

// One stream as its reader has to see it.
struct story {
    uint64_t next;  // number of the next to be released
    uint64_t heard; // number of the next to be sent unasked
    struct message messages[ARCHIVE];
    struct order_options coming; // of the next message
    bool ended;
    uint32_t client; // that its session is bound to, or NOBODY
    uint64_t heard_ns, spoke_ns;
    uint32_t last_ref[256]; // UserRefNum, by channel
};

static struct story stories[STREAMS];

enum answer_type { ANSWER_ACCEPT, ANSWER_REJECT, ANSWER_MESSAGES };

// A packet that has to leave in answer to a datagram.
struct answer {
    enum answer_type type;
    uint8_t reason;
    uint32_t session;
    uint64_t first, count_max;
};

enum phase { PHASE_QUIET, PHASE_ANSWER, PHASE_FLUSH, PHASE_TICK, PHASE_REQUEST };

static enum phase phase;
static struct answer answers[PACKET_SIZE_MAX];
static uint32_t answer_count, answered, asking; // `asking`: the client
static uint32_t frames_free;
static bool beaten[STREAMS]; // in this tick
static uint64_t given, sent_packets, sent_messages, requests, retransmitted, unserved, waiting;
static uint64_t logins, logoffs, timeouts, verdicts[ENTRY_VERDICT_COUNT];
static uint64_t strangers_sent[CLIENTS], strangers_got[CLIENTS]; // payload bytes, while not bound

static struct endpoint house, request_house, group;

// Clients 0 and 1 share a port, 1 and 2 an address, 3 is 2 behind a VLAN tag. 0, 1 and 4 have the
// same home in entry's table of addresses, and 5 the next one, so that they are in each other's
// way.
static struct endpoint client_endpoint(uint32_t client)
{
    static const uint16_t ports[CLIENTS] = {40000, 40000, 40001, 40001, 2, 40007};
    static const uint8_t hosts[CLIENTS] = {2, 18, 18, 18, 4, 5};
    return (struct endpoint){.mac = {2, 0, 0, 0, 1, (uint8_t)client},
                             .address = htonl(0x0A4D0000u + hosts[client]),
                             .port = htons(ports[client]),
                             .vlan = client == 3 ? 100 : PACKET_NO_VLAN};
}

static bool same_end(const struct endpoint *a, const struct endpoint *b)
{
    return a->address == b->address && a->port == b->port;
}

static bool same_client(uint32_t a, uint32_t b)
{
    struct endpoint one = client_endpoint(a), other = client_endpoint(b);
    return same_end(&one, &other);
}

static uint32_t session_of(uint32_t client)
{
    for (uint32_t s = 0; s < SESSIONS; s++)
        if (stories[s].client != NOBODY && same_client(stories[s].client, client))
            return s;
    return NOBODY;
}

static void leave(struct story *story)
{
    story->client = NOBODY;
    story->heard = story->next; // nobody is told
}

static const struct message *kept(uint32_t stream, uint64_t number)
{
    const struct story *story = &stories[stream];
    if (number == 0 || number >= story->next || story->next - number > HISTORY)
        return NULL;
    return &story->messages[number % ARCHIVE];
}

// --- What leaves

// The blocks of a packet are messages of the stream, whole, in order, as they were released, safe
// on disk, and as many as fit.
static void check_blocks(uint32_t stream, uint64_t first, uint32_t count, uint64_t count_max,
                         const uint8_t *payload, size_t at, size_t size)
{
    uint64_t durable = atomic_load(&progress.durable_seq);
    for (uint64_t number = first; number < first + count; number++) {
        const struct message *message = kept(stream, number);
        INVARIANT(message && message->number == number && message->seq <= durable);
        INVARIANT(size - at >= 2 && (size_t)(payload[at] << 8 | payload[at + 1]) == message->size);
        INVARIANT(size - at - 2 >= message->size);
        INVARIANT(memcmp(payload + at + 2, message->bytes, message->size) == 0);
        at += 2 + message->size;
    }
    INVARIANT(at == size && count > 0 && count <= count_max);
    const struct message *next = kept(stream, first + count);
    INVARIANT(count == count_max || !next || size + 2 + next->size > UFO_PAYLOAD_MAX);
}

static void check_answer(const uint8_t *payload, size_t size)
{
    INVARIANT(answered < answer_count);
    const struct answer *answer = &answers[answered++];
    if (answer->type == ANSWER_REJECT) {
        INVARIANT(size == 2 && payload[0] == UFO_LOGIN_REJECT && payload[1] == answer->reason);
    } else if (answer->type == ANSWER_ACCEPT) {
        const struct ufo_login_accept *accept = (const struct ufo_login_accept *)payload;
        INVARIANT(size == sizeof(*accept) && accept->type == UFO_LOGIN_ACCEPT);
        INVARIANT(memcmp(accept->session, session_id, sizeof(session_id)) == 0);
        INVARIANT(be32_load(accept->sequence) == stories[answer->session].heard);
    } else {
        const struct ufo_sequenced *header = (const struct ufo_sequenced *)payload;
        INVARIANT(size > sizeof(*header) && header->type == UFO_SEQUENCED);
        INVARIANT(be32_load(header->sequence) == answer->first);
        check_blocks(answer->session, answer->first, be16_load(header->count), answer->count_max,
                     payload, sizeof(*header), size);
        sent_messages += be16_load(header->count);
        retransmitted += be16_load(header->count);
    }
}

// Unasked, to whoever is bound: the very next messages.
static void check_flushed(uint32_t s, const uint8_t *payload, size_t size)
{
    struct story *story = &stories[s];
    const struct ufo_sequenced *header = (const struct ufo_sequenced *)payload;
    INVARIANT(size > sizeof(*header) && header->type == UFO_SEQUENCED);
    INVARIANT(be32_load(header->sequence) == story->heard);
    check_blocks(s, story->heard, be16_load(header->count), UINT16_MAX, payload, sizeof(*header),
                 size);
    story->heard += be16_load(header->count);
    story->spoke_ns = now_ns;
    sent_messages += be16_load(header->count);
}

static void check_heartbeat(uint32_t s, const uint8_t *payload, size_t size)
{
    const struct story *story = &stories[s];
    INVARIANT(story->heard == story->next && now_ns - story->spoke_ns >= HEARTBEAT_NS);
    INVARIANT(!beaten[s]);
    beaten[s] = true;
    if (story->ended) {
        const struct ufo_end *end = (const struct ufo_end *)payload;
        INVARIANT(size == sizeof(*end) && end->type == UFO_END);
        INVARIANT(be32_load(end->message_count) == story->next - 1);
        return;
    }
    const struct ufo_sequenced *beat = (const struct ufo_sequenced *)payload;
    INVARIANT(size == sizeof(*beat) && beat->type == UFO_SEQUENCED);
    INVARIANT(be32_load(beat->sequence) == story->next && be16_load(beat->count) == 0);
}

// To the group, or the answer to a request.
static void check_feed(const struct packet *packet)
{
    struct story *story = &stories[SESSIONS];
    const struct mold_header *header = (const struct mold_header *)packet->payload;
    INVARIANT(packet->payload_size >= sizeof(*header));
    INVARIANT(memcmp(header->session, session_id, sizeof(session_id)) == 0);
    uint64_t sequence = be64_load(header->sequence);
    uint16_t count = be16_load(header->count);
    if (phase == PHASE_TICK) {
        INVARIANT(sequence == story->next && story->heard == story->next);
        INVARIANT(now_ns - story->spoke_ns >= HEARTBEAT_NS && !beaten[SESSIONS]);
        INVARIANT(packet->payload_size == sizeof(*header));
        INVARIANT(count == (story->ended ? MOLD_COUNT_END_OF_SESSION : MOLD_COUNT_HEARTBEAT));
        beaten[SESSIONS] = true;
        story->spoke_ns = now_ns;
        return;
    }
    uint64_t count_max = UINT16_MAX;
    if (phase == PHASE_REQUEST) {
        INVARIANT(answered < answer_count && sequence == answers[0].first);
        count_max = answers[answered++].count_max;
    } else {
        INVARIANT(phase == PHASE_FLUSH && sequence == story->heard);
        story->heard += count;
        story->spoke_ns = now_ns;
    }
    check_blocks(SESSIONS, sequence, count, count_max, packet->payload, sizeof(*header),
                 packet->payload_size);
}

// Nothing leaves for an address that is not bound, but answers to what just came from there.
static void check_entry(const struct packet *packet)
{
    uint32_t s = NOBODY;
    sent_packets++;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct endpoint bound = client_endpoint(stories[i].client % CLIENTS);
        if (stories[i].client != NOBODY && same_end(&bound, &packet->destination))
            s = i;
    }
    if (phase == PHASE_ANSWER) {
        struct endpoint asker = client_endpoint(asking);
        INVARIANT(same_end(&asker, &packet->destination));
        INVARIANT(asker.vlan == packet->destination.vlan || s != NOBODY);
        check_answer(packet->payload, packet->payload_size);
        if (s == NOBODY)
            strangers_got[asking] += packet->payload_size;
        INVARIANT(strangers_got[asking] <= strangers_sent[asking]);
        return;
    }
    INVARIANT(s != NOBODY);
    if (phase == PHASE_FLUSH)
        check_flushed(s, packet->payload, packet->payload_size);
    else
        check_heartbeat(s, packet->payload, packet->payload_size);
}

static int anybody(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    (void)address;
    (void)port;
    return 0;
}

static uint8_t frame_out[PACKET_SIZE_MAX];

static uint8_t *claim(struct port *port)
{
    (void)port;
    return frames_free ? frame_out : NULL;
}

static void send_frame(struct port *port, size_t size)
{
    struct packet packet;
    uint32_t nobody;
    (void)port;
    INVARIANT(frames_free > 0 && size <= sizeof(frame_out) && phase != PHASE_QUIET);
    frames_free--;
    // A copy of its own size: reading beyond what was sent is seen.
    uint8_t *frame = malloc(size);
    memcpy(frame, frame_out, size);
    INVARIANT(packet_parse(frame, size, anybody, NULL, &packet, &nobody) == STEER_REDIRECT);
    INVARIANT(packet_checksum_valid(&packet));
    if (same_end(&packet.source, &house)) {
        check_entry(&packet);
    } else {
        struct endpoint asker = client_endpoint(asking);
        bool answer = phase == PHASE_REQUEST;
        INVARIANT(same_end(&packet.source, answer ? &request_house : &feed.source));
        INVARIANT(same_end(&packet.destination, answer ? &asker : &group));
        check_feed(&packet);
    }
    free(frame);
}

static const struct port_operations operations = {.claim = claim, .send = send_frame};
static struct port port = {.operations = &operations};

// --- What a datagram is worth, told a second time

static bool login_known(const struct ufo_login *login, uint32_t *session)
{
    char user[7] = {0}, password[11] = {0};
    memcpy(user, login->user_name, 6);
    memcpy(password, login->password, 10);
    for (uint32_t s = 0; s < SESSIONS; s++) {
        char name[] = "USER0 ";
        name[4] = (char)('0' + s);
        if (strcasecmp(user, name) == 0 && strcasecmp(password, "SECRET    ") == 0) {
            *session = s;
            return true;
        }
    }
    return false;
}

static void expect_answer(struct answer answer)
{
    answers[answer_count++] = answer;
}

// Blocks back to back to the very end, each of a known type and its size; how many, 0 when not.
static uint32_t count_blocks(const uint8_t *payload, size_t size)
{
    uint32_t count = 0;
    size_t length;
    for (size_t at = 0; at < size; at += 2 + length, count++) {
        if (size - at < 3)
            return 0;
        length = (size_t)(payload[at] << 8 | payload[at + 1]);
        if (length == 0 || length > size - at - 2)
            return 0;
        uint8_t type = payload[at + 2];
        bool sound = (type == 'L' && length == 27) || (type == 'T' && length == 7) ||
                     ((type == 'R' || type == 'O') && length == 1) || (type == 'U' && length > 1);
        if (!sound)
            return 0;
    }
    return count;
}

// The first block of an unbound client: whose it is, or the verdict on it.
static uint32_t judge_login(const uint8_t *payload, enum entry_verdict *verdict)
{
    const struct ufo_login *login = (const struct ufo_login *)(payload + 2);
    uint32_t s = NOBODY;
    *verdict = ENTRY_NOT_BOUND;
    if (login->type != UFO_LOGIN)
        return NOBODY;
    if (!login_known(login, &s)) {
        *verdict = ENTRY_LOGIN_REFUSED;
        expect_answer((struct answer){ANSWER_REJECT, 'A', NOBODY, 0, 0});
        return NOBODY;
    }
    *verdict = ENTRY_BOUND_ELSEWHERE;
    if (stories[s].client != NOBODY)
        return NOBODY;
    bool current = memcmp(login->session, "          ", 10) == 0 ||
                   memcmp(login->session, session_id, 10) == 0;
    *verdict = ENTRY_LOGIN_REFUSED;
    if (current && !stories[s].ended)
        return s;
    expect_answer((struct answer){ANSWER_REJECT, 'S', NOBODY, 0, 0});
    return NOBODY;
}

// Orders are taken all or none, as far as a logoff.
static bool orders_fit(uint32_t s, const uint8_t *payload, size_t size, uint32_t *count,
                       enum entry_verdict *verdict)
{
    size_t length;
    for (size_t at = 0; at < size; at += 2 + length) {
        length = (size_t)(payload[at] << 8 | payload[at + 1]);
        struct command ignored;
        if (payload[at + 2] == 'O')
            break;
        if (payload[at + 2] != 'U' || stories[s].ended)
            continue;
        *verdict = ENTRY_RING_FULL;
        if (waiting + *count == COMMANDS)
            return false;
        *verdict = ENTRY_BAD_OUCH;
        if (ouch_decode(payload + at + 3, length - 1, &symbols, firms[s], &ignored) != OUCH_OK)
            return false;
        ++*count;
    }
    *verdict = ENTRY_TAKEN;
    return true;
}

static void expect_messages(uint32_t s, const struct ufo_retransmit *request)
{
    uint64_t first = be32_load(request->sequence);
    uint16_t count = be16_load(request->count);
    requests++;
    if (count > 0 && kept(s, first) && answer_count < frames_free)
        expect_answer((struct answer){ANSWER_MESSAGES, 0, s, first, count});
    else
        unserved++;
}

// What follows a login, and everything else that is answered; true when it ended with a logoff.
static bool expect_blocks(uint32_t s, const uint8_t *payload, size_t size)
{
    size_t length;
    for (size_t at = 0; at < size; at += 2 + length) {
        length = (size_t)(payload[at] << 8 | payload[at + 1]);
        const uint8_t *message = payload + at + 2;
        uint32_t user = NOBODY;
        if (message[0] == 'O')
            return true;
        if (message[0] == 'T')
            expect_messages(s, (const struct ufo_retransmit *)message);
        if (message[0] != 'L')
            continue;
        if (login_known((const struct ufo_login *)message, &user) && user == s)
            expect_answer((struct answer){ANSWER_ACCEPT, 0, s, 0, 0});
        else
            expect_answer((struct answer){ANSWER_REJECT, 'A', NOBODY, 0, 0});
    }
    return false;
}

// Brings the stories up to date with a datagram and lists the answers that are due. `off`: the
// session that logs off with it. `count`: commands that come of it.
static enum entry_verdict foresee(uint32_t client, const uint8_t *payload, size_t size,
                                  uint32_t *count, uint32_t *off)
{
    enum entry_verdict verdict = ENTRY_TAKEN;
    uint32_t s = session_of(client);
    *off = NOBODY;
    *count = 0;
    if (count_blocks(payload, size) == 0)
        return ENTRY_BAD_UFO;
    if (s == NOBODY)
        s = judge_login(payload, &verdict);
    if (s == NOBODY)
        return verdict;
    if (!orders_fit(s, payload, size, count, &verdict)) {
        *count = 0;
        return verdict;
    }
    struct story *story = &stories[s];
    if (story->client == NOBODY) {
        logins++;
        story->client = client;
        story->heard = story->next;
    }
    story->heard_ns = now_ns;
    if (expect_blocks(s, payload, size))
        *off = s;
    return ENTRY_TAKEN;
}

// What the book is given of a session: its own orders, none that adds risk while the disk is full.
static void check_taken(uint32_t s, uint32_t count)
{
    uint32_t readable = ring_readable(commands, COMMANDS);
    INVARIANT(readable == waiting + count && readable <= COMMANDS);
    for (uint32_t i = readable - count; i < readable; i++) {
        const struct command *command = ring_read_slot(commands, i);
        bool adds_risk = command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE;
        INVARIANT(command->type >= COMMAND_ENTER && command->type <= COMMAND_MASS_CANCEL);
        INVARIANT(command->session == s && command->time_ns == MIDNIGHT_NS + now_ns);
        INVARIANT(command->type != COMMAND_MASS_CANCEL || command->mass.session == s);
        INVARIANT(!adds_risk || !cancel_only || command->verdict != REJECT_NONE);
    }
}

static void deliver(uint32_t client, const uint8_t *payload, size_t size, bool damaged)
{
    if (size == 0 || size > STEER_PAYLOAD_MAX)
        return;
    struct endpoint source = client_endpoint(client);
    struct endpoint destination = house;
    destination.vlan = source.vlan;
    size_t offset = packet_payload_offset(&destination);
    uint8_t *frame = malloc(offset + size);
    memcpy(frame + offset, payload, size);
    size_t frame_size = packet_write_headers(frame, &source, &destination, size);
    if (damaged)
        frame[offset + size - 1] ^= 0x55;
    struct packet packet;
    uint32_t to, count = 0, off = NOBODY;
    INVARIANT(packet_parse(frame, frame_size, anybody, NULL, &packet, &to) == STEER_REDIRECT);
    asking = client;
    if (session_of(client) == NOBODY)
        strangers_sent[client] += size;
    answer_count = answered = 0;
    enum entry_verdict verdict =
        damaged ? ENTRY_BAD_CHECKSUM : foresee(client, payload, size, &count, &off);
    uint32_t from = session_of(client);
    uint32_t leaving = answer_count < frames_free ? answer_count : frames_free;
    given++;
    verdicts[verdict]++;
    phase = PHASE_ANSWER;
    uint32_t taken = entry_receive(&entry, &packet, now_ns, MIDNIGHT_NS + now_ns);
    phase = PHASE_QUIET;
    INVARIANT(taken == count && answered == leaving);
    INVARIANT(memcmp(verdicts, entry.counters.datagrams, sizeof(verdicts)) == 0);
    check_taken(from, taken);
    waiting += taken;
    if (off != NOBODY) {
        logoffs++;
        leave(&stories[off]);
    }
    free(frame);
}

// --- Rounds of the house

// A client's numbers go up only, channel by channel, whatever was sent twice or out of order.
static void check_refs(struct story *story, const struct event *event)
{
    uint32_t *last = &story->last_ref[event->user_ref_index];
    switch (event->type) {
    case EVENT_ACCEPTED:
    case EVENT_REPLACED:
    case EVENT_REJECTED:
    case EVENT_MASS_CANCELED:
        INVARIANT(event->user_ref_num > *last);
        *last = event->user_ref_num;
        break;
    case EVENT_QUERY_RESPONSE:
        INVARIANT(event->user_ref_num == *last + 1);
        break;
    default:
        break;
    }
}

static void archive(const struct event *event)
{
    uint32_t s = event->session == FEED_SESSION ? SESSIONS : event->session;
    INVARIANT(s < STREAMS);
    struct story *story = &stories[s];
    struct message *message = &story->messages[story->next % ARCHIVE];
    INVARIANT(event->stream_seq == story->next);
    if (event->type == EVENT_OPTIONS) {
        story->coming = event->options;
        return;
    }
    message->seq = event->seq;
    message->number = story->next++;
    message->size = s == SESSIONS ? itch_encode(event, &symbols, message->bytes)
                                  : ouch_encode(event, &symbols, message->bytes);
    message->size = ouch_add_options(event, &story->coming, message->bytes, message->size);
    story->coming = (struct order_options){0};
    if (s == SESSIONS) {
        story->ended |= event->type == EVENT_FEED_SYSTEM && event->code == 'C';
        return;
    }
    story->ended |= event->type == EVENT_SYSTEM && event->code == 'E';
    if (story->client == NOBODY)
        story->heard = story->next;
    check_refs(story, event);
}

static void flush(void)
{
    phase = PHASE_FLUSH;
    entry_flush(&entry, now_ns);
    feed_flush(&feed, now_ns);
    phase = PHASE_QUIET;
}

// Lets through what is durable, and tells the stories first what that is.
static void release(void)
{
    static struct event seen[EVENTS];
    uint32_t ready = ring_readable(events, EVENTS);
    uint64_t durable = atomic_load(&progress.durable_seq);
    for (uint32_t i = 0; i < ready; i++)
        seen[i] = *(const struct event *)ring_read_slot(events, i);
    uint32_t count = gate_release(&gate);
    INVARIANT(count <= ready);
    for (uint32_t i = 0; i < count; i++) {
        INVARIANT(seen[i].seq <= durable);
        archive(&seen[i]);
    }
    flush();
}

static void write_journal(uint32_t count_max)
{
    uint32_t count = ring_readable(to_journal, COMMANDS);
    count = count < count_max ? count : count_max;
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = ring_read_slot(to_journal, i);
        INVARIANT(command->time_ns >= journal_time_ns);
        journal_time_ns = command->time_ns;
    }
    ring_release(to_journal, count);
    written_seq += count;
    atomic_store(&progress.durable_seq, written_seq);
}

// The event ring is full in the middle of a command: the disk and the port go on.
static void relieve(void *context)
{
    (void)context;
    uint32_t frames = frames_free;
    frames_free = PLENTY;
    write_journal(COMMANDS);
    release();
    frames_free = frames;
}

static void apply(void)
{
    uint32_t count = shard_poll(&shard);
    INVARIANT(count <= waiting);
    waiting -= count;
}

static void tick(void)
{
    memset(beaten, 0, sizeof(beaten));
    waiting += entry_clock(&entry, MIDNIGHT_NS + now_ns);
    uint32_t before = frames_free;
    for (uint32_t s = 0; s < SESSIONS; s++)
        if (stories[s].client != NOBODY && now_ns - stories[s].heard_ns > TIMEOUT_NS) {
            leave(&stories[s]);
            timeouts++;
        }
    phase = PHASE_TICK;
    entry_tick(&entry, now_ns);
    feed_tick(&feed, now_ns);
    phase = PHASE_QUIET;
    uint32_t due = 0;
    for (uint32_t s = 0; s < SESSIONS; s++) {
        struct story *story = &stories[s];
        bool quiet = story->heard == story->next && now_ns - story->spoke_ns >= HEARTBEAT_NS;
        if (story->client == NOBODY || !quiet)
            continue;
        INVARIANT(beaten[s] == (due < before));
        due++;
        story->spoke_ns = now_ns;
    }
    const struct story *market = &stories[SESSIONS];
    INVARIANT(market->heard < market->next || now_ns - market->spoke_ns < HEARTBEAT_NS ||
              due >= before);
}

static void drain(void)
{
    frames_free = PLENTY;
    while (waiting > 0 || ring_readable(to_journal, 1) > 0 || ring_readable(events, 1) > 0) {
        apply();
        write_journal(COMMANDS);
        release();
    }
    flush();
}

// --- Setting up

static void *take(size_t size)
{
    void *memory = aligned_alloc(128, (size + 127) & ~(size_t)127);
    INVARIANT(memory != NULL);
    return memory;
}

static void take_memory(void)
{
    struct error error;
    INVARIANT(bell_open(&bell, &error) == 0);
    commands = take(ring_memory_size(COMMANDS));
    to_journal = take(ring_memory_size(COMMANDS));
    events = take(ring_memory_size(EVENTS));
    sessions_memory = take(entry_memory_size(SESSIONS));
    symbols_memory = take(symbols_memory_size(2));
    book_memory = take(book_memory_size(&limits));
    for (uint32_t i = 0; i < STREAMS; i++)
        streams[i] = take(entry_stream_size(HISTORY));
}

static void give_command(struct command command)
{
    command.time_ns = MIDNIGHT_NS + now_ns;
    INVARIANT(ring_writable(commands, 1) > 0);
    *(struct command *)ring_write_slot(commands, 0) = command;
    ring_commit(commands, 1);
    waiting++;
    drain();
}

static void open_day(void)
{
    struct command open = {.type = COMMAND_OPEN,
                           .open = {.midnight_ns = MIDNIGHT_NS, .limits = limits}};
    memcpy(open.open.session_id, session_id, sizeof(session_id));
    give_command(open);
    for (uint16_t i = 0; i < 2; i++) {
        struct command list = {
            .type = COMMAND_INSTRUMENT, .instrument = i, .listing.round_lot = 100};
        memcpy(list.listing.symbol, symbols_name(&symbols, i), 8);
        give_command(list);
    }
    for (uint16_t i = 0; i < SESSIONS; i++) {
        struct command admit = {.type = COMMAND_SESSION, .session = i};
        memcpy(admit.member.user_name, entry.sessions[i].who.user, 6);
        memcpy(admit.member.firm, firms[i], 4);
        give_command(admit);
    }
    give_command((struct command){.type = COMMAND_START});
}

static void forget(void)
{
    memset(stories, 0, sizeof(stories));
    memset(verdicts, 0, sizeof(verdicts));
    memset(strangers_sent, 0, sizeof(strangers_sent));
    memset(strangers_got, 0, sizeof(strangers_got));
    for (uint32_t i = 0; i < STREAMS; i++)
        stories[i].next = stories[i].heard = 1, stories[i].client = NOBODY;
    given = sent_packets = sent_messages = requests = retransmitted = unserved = waiting = 0;
    logins = logoffs = timeouts = written_seq = journal_time_ns = 0;
    now_ns = 9 * 3600 * SECOND_NS;
    stories[SESSIONS].spoke_ns = 0;
    frames_free = PLENTY;
    atomic_store(&cancel_only, false);
}

static void set_up(void)
{
    house = (struct endpoint){
        .address = htonl(0x0A4D0001), .port = htons(26400), .vlan = PACKET_NO_VLAN};
    request_house = house;
    request_house.port = htons(26500);
    group = (struct endpoint){
        .address = htonl(0xEF4D0001), .port = htons(26477), .vlan = PACKET_NO_VLAN};
    symbols_init(&symbols, memset(symbols_memory, 0, symbols_memory_size(2)), 2);
    symbols_add(&symbols, "ACME    ");
    symbols_add(&symbols, "EMCA    ");
    entry = (struct entry){.port = &port,
                           .source = house,
                           .symbols = &symbols,
                           .commands = ring_init(commands, COMMANDS),
                           .cancel_only = &cancel_only};
    memcpy(entry.session_id, session_id, sizeof(session_id));
    entry_init(&entry, sessions_memory, SESSIONS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct config_session who = {.user = "USER0 ", .password = "SECRET    "};
        who.user[4] = (char)('0' + i);
        memcpy(who.firm, firms[i], 4);
        entry_add_session(&entry, &who, streams[i], HISTORY);
    }
    feed = (struct feed){.port = &port,
                         .symbols = &symbols,
                         .source = house,
                         .group = group,
                         .request_source = request_house};
    feed.source.port = group.port;
    memcpy(feed.session, session_id, sizeof(session_id));
    stream_init(&feed.stream, streams[SESSIONS], HISTORY);
    progress = (struct journal_progress){.durable_seq = 0};
    gate = (struct gate){
        .events = ring_init(events, EVENTS), .progress = &progress, .entry = &entry, .feed = &feed};
    shard = (struct shard){.book = book_open(book_memory, &limits),
                           .commands = commands,
                           .journal = ring_init(to_journal, COMMANDS),
                           .events = events,
                           .journal_bell = &bell,
                           .relieve = relieve};
    forget();
    open_day();
}

// --- Steps, from the input's bytes

struct input {
    const uint8_t *at, *end;
};

static uint8_t next_byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static uint8_t datagram[STEER_PAYLOAD_MAX];
static size_t datagram_size;

static void add_block(const void *message, size_t size)
{
    if (datagram_size + 2 + size > sizeof(datagram))
        return;
    datagram[datagram_size] = (uint8_t)(size >> 8);
    datagram[datagram_size + 1] = (uint8_t)size;
    memcpy(datagram + datagram_size + 2, message, size);
    datagram_size += 2 + size;
}

static void add_login(uint8_t how)
{
    struct ufo_login login = {.type = UFO_LOGIN};
    memcpy(login.user_name, how & 4 ? "user0 " : "USER0 ", 6);
    login.user_name[4] = (char)('0' + (how & 3)); // the last is nobody
    memcpy(login.password, how >= 224 ? "WRONG     " : how & 8 ? "secret    " : "SECRET    ", 10);
    memcpy(login.session, how & 16 ? session_id : "          ", 10);
    if ((how & 0xF0) == 0xD0)
        login.session[9] = '2';
    add_block(&login, sizeof(login));
}

static void add_retransmit(struct input *input)
{
    uint8_t how = next_byte(input), back = next_byte(input), count = next_byte(input);
    const struct story *story = &stories[how % STREAMS];
    uint64_t first = how & 4 ? story->next - back : how & 8 ? back : story->heard;
    struct ufo_retransmit request = {
        .type = UFO_RETRANSMIT,
        .sequence = be32_of((uint32_t)first << (how >= 240 ? 24 : 0)),
        .count = be16_of(count == 255 ? UINT16_MAX : count),
    };
    add_block(&request, sizeof(request));
}

// A new number as a client gives them, or an old one again.
static uint32_t pick_ref(uint32_t client, uint8_t channel, uint8_t byte)
{
    static const uint32_t edges[] = {0, UINT32_MAX, UINT32_MAX - 1, 1};
    uint32_t s = session_of(client);
    uint32_t last = stories[s == NOBODY ? 0 : s].last_ref[channel];
    return byte < 16 ? last - byte : byte >= 252 ? edges[byte - 252] : last + byte - 15;
}

static void add_message(uint8_t *message, size_t fixed_size, const uint8_t *elements, size_t size)
{
    memcpy(message + fixed_size, elements, size);
    message[fixed_size - 2] = 0;
    message[fixed_size - 1] = (uint8_t)size;
    add_block(message, fixed_size + size);
}

static size_t add_element(uint8_t *elements, size_t at, uint8_t tag, uint32_t value, size_t size)
{
    be32 bytes = be32_of(value);
    elements[at] = (uint8_t)(1 + size);
    elements[at + 1] = tag;
    memcpy(elements + at + 2, bytes.bytes + 4 - size, size);
    return at + 2 + size;
}

static size_t pick_elements(uint8_t how, uint8_t channel, uint8_t *elements)
{
    size_t size = 0;
    if (channel)
        size = add_element(elements, size, OUCH_TAG_USER_REF_INDEX, channel, 1);
    if ((how & 0x30) == 0x30)
        size = add_element(elements, size, OUCH_TAG_EXPIRE_TIME, 1 + (how & 7), 4);
    if ((how & 0xC0) == 0xC0)
        size = add_element(elements, size, OUCH_TAG_MAX_FLOOR, 100, 4);
    if ((how & 0xC0) == 0x80)
        size = add_element(elements, size, OUCH_TAG_AIQ_STRATEGY, (uint8_t) "*NOBD"[how % 5], 1);
    return size;
}

static void add_order(struct input *input, uint32_t client)
{
    struct {
        uint8_t ufo_type;
        struct ouch_enter order;
        uint8_t room[32];
    } message = {.ufo_type = UFO_UNSEQUENCED};
    uint8_t elements[32], ref = next_byte(input), how = next_byte(input), what = next_byte(input);
    uint8_t channel = what >= 192 ? what & 3 : 0;
    struct ouch_enter *order = &message.order;
    order->type = OUCH_ENTER;
    order->user_ref_num = be32_of(pick_ref(client, channel, ref));
    order->side = (uint8_t) "BSTE"[what & 3];
    order->quantity = be32_of(what == 128 ? 0 : 100u * (1 + (what >> 2 & 7)));
    memcpy(order->symbol, what & 32 ? "EMCA    " : what == 31 ? "NONE    " : "ACME    ", 8);
    order->price = be64_of(500000 + 100 * (how & 15));
    order->time_in_force = (uint8_t) "0036"[how >> 4 & 3];
    order->display = how & 8 ? 'N' : 'Y';
    order->capacity = 'P';
    order->sweep = 'N';
    order->cross_type = 'N';
    memset(order->client_order_id, 'c', sizeof(order->client_order_id));
    add_message((uint8_t *)&message, 1 + sizeof(*order), elements,
                pick_elements(how, channel, elements));
}

static void add_replace(struct input *input, uint32_t client)
{
    struct {
        uint8_t ufo_type;
        struct ouch_replace order;
        uint8_t room[32];
    } message = {.ufo_type = UFO_UNSEQUENCED};
    uint8_t elements[32], ref = next_byte(input), how = next_byte(input), what = next_byte(input);
    struct ouch_replace *order = &message.order;
    order->type = OUCH_REPLACE;
    order->orig_user_ref_num = be32_of(pick_ref(client, 0, what & 15));
    order->user_ref_num = be32_of(pick_ref(client, 0, ref));
    order->quantity = be32_of(50u * (what >> 4));
    order->price = be64_of(500000 + 100 * (how & 15));
    order->time_in_force = (uint8_t) "0036"[how >> 4 & 3];
    order->display = 'Y';
    order->sweep = 'N';
    memset(order->client_order_id, 'r', sizeof(order->client_order_id));
    add_message((uint8_t *)&message, 1 + sizeof(*order), elements, pick_elements(how, 0, elements));
}

static void add_other(struct input *input, uint32_t client)
{
    uint8_t kind = next_byte(input), ref = next_byte(input);
    be32 number = be32_of(pick_ref(client, 0, ref)), quantity = be32_of(10u * (kind >> 2));
    uint8_t message[32] = {UFO_UNSEQUENCED};
    memset(message + 6, ' ', 12);
    memcpy(message + 2, number.bytes, 4);
    switch (kind & 3) {
    case 0:
        message[1] = OUCH_CANCEL;
        memcpy(message + 6, quantity.bytes, 4);
        add_block(message, 1 + sizeof(struct ouch_cancel));
        break;
    case 1:
        message[1] = OUCH_MODIFY;
        message[6] = (uint8_t) "BSTE"[ref & 3];
        memcpy(message + 7, quantity.bytes, 4);
        add_block(message, 1 + sizeof(struct ouch_modify));
        break;
    case 2:
        message[1] = OUCH_MASS_CANCEL;
        add_block(message, 1 + sizeof(struct ouch_mass_cancel));
        break;
    default:
        message[1] = OUCH_QUERY;
        add_block(message, 1 + sizeof(struct ouch_query));
    }
}

static void add_raw(struct input *input)
{
    uint8_t bytes[64], size = 1 + next_byte(input) % sizeof(bytes);
    for (uint8_t i = 0; i < size; i++)
        bytes[i] = next_byte(input);
    add_block(bytes, size);
}

static void add_any_block(struct input *input, uint32_t client)
{
    switch (next_byte(input) % 12) {
    case 0:
    case 1:
        add_login(next_byte(input));
        break;
    case 2:
        add_block("R", 1);
        break;
    case 3:
        if (next_byte(input) >= 128)
            add_block("O", 1);
        break;
    case 4:
        add_retransmit(input);
        break;
    case 5:
        add_raw(input);
        break;
    case 6:
        add_replace(input, client);
        break;
    case 7:
        add_other(input, client);
        break;
    default:
        add_order(input, client);
    }
}

static void step_datagram(struct input *input, uint8_t how)
{
    uint32_t client = how % CLIENTS;
    uint8_t shape = next_byte(input);
    datagram_size = 0;
    for (uint32_t i = 0; i <= (shape & 7u); i++)
        add_any_block(input, client);
    if (shape >= 248 && datagram_size > 0)
        datagram_size--;
    deliver(client, datagram, datagram_size, (shape & 0xF8) == 0xF0);
}

static void step_raw(struct input *input, uint8_t how)
{
    size_t left = (size_t)(input->end - input->at), size = next_byte(input);
    size = size < left ? size : left;
    for (size_t i = 0; i < size; i++)
        datagram[i] = next_byte(input);
    deliver(how % CLIENTS, datagram, size, false);
}

static void step_request(struct input *input, uint8_t how)
{
    const struct story *story = &stories[SESSIONS];
    struct mold_request request = {.count = be16_of(next_byte(input))};
    uint64_t first = how & 64 ? next_byte(input) : story->next - next_byte(input);
    memcpy(request.session, session_id, sizeof(session_id));
    request.sequence = be64_of(first);
    if (how & 128)
        request.session[0]++;
    struct packet packet = {.source = client_endpoint(how % CLIENTS),
                            .destination = request_house,
                            .payload = (const uint8_t *)&request,
                            .payload_size = sizeof(request)};
    uint64_t count = be16_load(request.count);
    asking = how % CLIENTS;
    answers[0] = (struct answer){.first = first, .count_max = count};
    answer_count = !(how & 128) && count > 0 && kept(SESSIONS, first) && frames_free > 0;
    answered = 0;
    uint64_t unserved_before = feed.requests_unserved;
    phase = PHASE_REQUEST;
    feed_request(&feed, &packet);
    phase = PHASE_QUIET;
    INVARIANT(answered == answer_count);
    INVARIANT(feed.requests_unserved == unserved_before + !answer_count);
}

static void step_time(uint8_t how)
{
    static const uint64_t steps_ns[] = {0,
                                        1,
                                        1000000,
                                        100000000,
                                        HEARTBEAT_NS - 1,
                                        HEARTBEAT_NS,
                                        3 * SECOND_NS,
                                        TIMEOUT_NS - 1,
                                        TIMEOUT_NS,
                                        TIMEOUT_NS + 1,
                                        60 * SECOND_NS,
                                        3600 * SECOND_NS};
    now_ns += steps_ns[how % 12];
    tick();
}

static void step_frames(uint8_t how)
{
    static const uint32_t frames[] = {0, 1, 2, 3, 8, PLENTY, PLENTY, PLENTY};
    frames_free = frames[how % 8];
}

static void step_close(uint8_t how)
{
    if (how < 192 || ring_writable(commands, 1) == 0)
        return;
    *(struct command *)ring_write_slot(commands, 0) =
        (struct command){.type = COMMAND_CLOSE, .time_ns = MIDNIGHT_NS + now_ns};
    ring_commit(commands, 1);
    waiting++;
}

static void step(struct input *input)
{
    uint8_t what = next_byte(input), how = next_byte(input);
    switch (what % 16) {
    case 7:
        step_time(how);
        break;
    case 8:
        apply();
        break;
    case 9:
        write_journal(how % 8);
        break;
    case 10:
        release();
        break;
    case 11:
        step_frames(how);
        break;
    case 12:
        atomic_store(&cancel_only, how & 1);
        break;
    case 13:
        step_request(input, how);
        break;
    case 14:
        step_raw(input, how);
        break;
    case 15:
        step_close(how);
        break;
    case 6: // a round of everything
        apply();
        write_journal(COMMANDS);
        release();
        tick();
        break;
    default:
        step_datagram(input, how);
    }
}

static void check_counters(void)
{
    const struct entry_counters *c = &entry.counters;
    uint64_t all = 0, ufo = 0, ouch = 0, bound = 0;
    for (int i = 0; i < ENTRY_VERDICT_COUNT; i++)
        all += c->datagrams[i];
    for (int i = 0; i < UFO_FAULT_COUNT; i++)
        ufo += c->ufo_faults[i];
    for (int i = 0; i < OUCH_FAULT_COUNT; i++)
        ouch += c->ouch_faults[i];
    for (uint32_t s = 0; s < SESSIONS; s++) {
        INVARIANT(entry.sessions[s].bound == (stories[s].client != NOBODY));
        bound += entry.sessions[s].bound;
    }
    INVARIANT(all == given && ufo == c->datagrams[ENTRY_BAD_UFO]);
    INVARIANT(ouch == c->datagrams[ENTRY_BAD_OUCH]);
    INVARIANT(c->logins == logins && c->logoffs == logoffs && c->timeouts == timeouts);
    INVARIANT(bound == logins - logoffs - timeouts);
    INVARIANT(c->sent_packets == sent_packets && c->sent_messages == sent_messages);
    INVARIANT(c->retransmit_requests == requests && c->retransmit_unserved == unserved);
    INVARIANT(c->retransmitted_messages == retransmitted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!commands)
        take_memory();
    set_up();
    struct input input = {data, data + size};
    while (input.at < input.end)
        step(&input);
    check_counters();
    drain();
    INVARIANT(entry_idle(&entry));
    for (uint32_t s = 0; s < STREAMS; s++)
        INVARIANT(stories[s].heard == stories[s].next);
    check_counters();
    return 0;
}
