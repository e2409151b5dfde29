// SPDX-License-Identifier: MIT
//
// UFO told a second time, plainly: which messages each stream has, to whom its session is bound,
// what a datagram is counted as, which packets leave for whom. For fuzz_session.c, whose house does
// the same in earnest; every packet that leaves it is held against this. What is around the
// datagrams of signed sessions is told in signed_story.h.
#ifndef SLUICE_TESTS_FUZZ_UFO_STORY_H
#define SLUICE_TESTS_FUZZ_UFO_STORY_H

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/entry.h"
#include "dataplane/itch.h"
#include "dataplane/mold.h"
#include "journal/journal.h"
#include "numa/invariant.h"
#include "tests/fuzz/signed_story.h"

#define PLAIN        3u             // sessions with a password
#define SESSIONS     5u             // … and signed ones
#define STREAMS      (SESSIONS + 1) // the last is the feed's
#define CLIENTS      6u
#define HISTORY      64u
#define COMMANDS     16u  // slots of the ring
#define ARCHIVE      256u // more than any stream keeps
#define NOBODY       UINT32_MAX
#define SECOND_NS    1000000000ull
#define HEARTBEAT_NS SECOND_NS

static const char session_id[10] = {'D', 'A', 'Y', '0', '0', '0', '0', '0', '0', '1'};
static const char firms[SESSIONS][5] = {"ALFA", "BRAV", "ALFA", "BRAV", "ALFA"};

// Of the house.
static struct symbols symbols;
static struct journal_progress progress;
static uint64_t now_ns;

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
static struct signed_story signed_stories[SESSIONS - PLAIN];

enum answer_type {
    ANSWER_ACCEPT,
    ANSWER_REJECT,
    ANSWER_MESSAGES,
    ANSWER_COOKIE,
    ANSWER_SIGNED_ACCEPT,
    ANSWER_SIGNED_REJECT
};

// A packet that has to leave in answer to a datagram.
struct answer {
    enum answer_type type;
    uint8_t reason;
    uint32_t session; // that it is sent to as one of its own packets, or NOBODY
    uint64_t first, count_max;
    const uint8_t *to; // the signed datagram that is answered
};

enum phase { PHASE_QUIET, PHASE_ANSWER, PHASE_FLUSH, PHASE_TICK, PHASE_REQUEST };

static enum phase phase;
static struct answer answers[PACKET_SIZE_MAX];
static uint32_t answer_count, answered, asking; // `asking`: the client
static uint32_t frames_free;
static bool beaten[STREAMS]; // in this tick
static uint64_t given, sent_packets, sent_messages, requests, retransmitted, unserved, waiting;
static uint64_t logins, logoffs, timeouts, displaced, verdicts[ENTRY_VERDICT_COUNT];
static uint64_t strangers_sent[CLIENTS], strangers_got[CLIENTS]; // payload bytes, while not bound

static struct endpoint house, request_house, group;

// Clients 0 and 1 share a port, 1 and 2 an address, 3 is 2 behind a VLAN tag. 0, 1 and 4 have the
// same home in entry's table of addresses, and 5 the next one, so that they are in each other's
// way.
static inline struct endpoint client_endpoint(uint32_t client)
{
    static const uint16_t ports[CLIENTS] = {40000, 40000, 40001, 40001, 2, 40007};
    static const uint8_t hosts[CLIENTS] = {2, 18, 18, 18, 4, 5};
    return (struct endpoint){.mac = {2, 0, 0, 0, 1, (uint8_t)client},
                             .address = htonl(0x0A4D0000u + hosts[client]),
                             .port = htons(ports[client]),
                             .vlan = client == 3 ? 100 : PACKET_NO_VLAN};
}

static inline bool same_client(uint32_t a, uint32_t b)
{
    struct endpoint one = client_endpoint(a), other = client_endpoint(b);
    return same_end(&one, &other);
}

static inline uint32_t session_of(uint32_t client)
{
    for (uint32_t s = 0; s < SESSIONS; s++)
        if (stories[s].client != NOBODY && same_client(stories[s].client, client))
            return s;
    return NOBODY;
}

static inline struct signed_story *signed_story_of(uint32_t session)
{
    return session >= PLAIN && session < SESSIONS ? &signed_stories[session - PLAIN] : NULL;
}

static inline void leave(uint32_t session)
{
    struct story *story = &stories[session];
    struct signed_story *own = signed_story_of(session);
    story->client = NOBODY;
    story->heard = story->next; // nobody is told
    if (own)
        own->now.keyed = own->next.keyed = own->logged_in = false;
}

static inline const struct message *kept(uint32_t stream, uint64_t number)
{
    const struct story *story = &stories[stream];
    if (number == 0 || number >= story->next || story->next - number > HISTORY)
        return NULL;
    return &story->messages[number % ARCHIVE];
}

// --- What happens

// A client's numbers go up only, channel by channel, whatever was sent twice or out of order.
static inline void check_refs(struct story *story, const struct event *event)
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

static inline void archive(const struct event *event)
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

// --- What leaves

// The blocks of a packet are messages of the stream, whole, in order, as they were released, safe
// on disk, and as many as fit.
static inline void check_blocks(uint32_t stream, uint64_t first, uint32_t count, uint64_t count_max,
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
    size_t size_max = UFO_PAYLOAD_MAX - (signed_story_of(stream) ? SIGNED_OVERHEAD : 0);
    INVARIANT(size <= size_max);
    INVARIANT(count == count_max || !next || size + 2 + next->size > size_max);
}

// What a packet to session `s` says, without what is around it in a signed one.
static inline const uint8_t *check_around(uint32_t s, const uint8_t *payload, size_t *size)
{
    struct signed_story *own = signed_story_of(s);
    return own ? check_sealed(own, s, payload, size) : payload;
}

static inline void check_handshake(const struct answer *answer, const uint8_t *payload, size_t size)
{
    struct endpoint source = client_endpoint(asking);
    if (answer->type == ANSWER_COOKIE)
        check_cookie(payload, size, answer->to, &source, now_ns);
    else if (answer->type == ANSWER_SIGNED_REJECT)
        check_signed_reject(payload, size, answer->to, answer->reason);
    else
        check_accept(signed_story_of(answer->session), payload, size);
}

static inline void check_answer(const uint8_t *payload, size_t size)
{
    INVARIANT(answered < answer_count);
    const struct answer *answer = &answers[answered++];
    if (answer->type >= ANSWER_COOKIE) {
        check_handshake(answer, payload, size);
        return;
    }
    payload = check_around(answer->session, payload, &size);
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
static inline void check_flushed(uint32_t s, const uint8_t *payload, size_t size)
{
    struct story *story = &stories[s];
    payload = check_around(s, payload, &size);
    const struct ufo_sequenced *header = (const struct ufo_sequenced *)payload;
    INVARIANT(size > sizeof(*header) && header->type == UFO_SEQUENCED);
    INVARIANT(be32_load(header->sequence) == story->heard);
    check_blocks(s, story->heard, be16_load(header->count), UINT16_MAX, payload, sizeof(*header),
                 size);
    story->heard += be16_load(header->count);
    story->spoke_ns = now_ns;
    sent_messages += be16_load(header->count);
}

static inline void check_heartbeat(uint32_t s, const uint8_t *payload, size_t size)
{
    const struct story *story = &stories[s];
    INVARIANT(story->heard == story->next && now_ns - story->spoke_ns >= HEARTBEAT_NS);
    INVARIANT(!beaten[s]);
    beaten[s] = true;
    payload = check_around(s, payload, &size);
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
static inline void check_feed(const struct packet *packet)
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
static inline void check_entry(const struct packet *packet)
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

// --- What a datagram is worth, told a second time

static inline uint32_t plain_user(const struct ufo_login *login)
{
    for (uint32_t s = 0; s < PLAIN; s++) {
        char name[] = "USER0 ";
        name[4] = (char)('0' + s);
        if (strncasecmp(login->user_name, name, 6) == 0)
            return s;
    }
    return NOBODY;
}

static inline bool login_known(const struct ufo_login *login, uint32_t s)
{
    return s != NOBODY && plain_user(login) == s &&
           strncasecmp(login->password, "SECRET    ", 10) == 0;
}

static inline bool is_current(const char session[10])
{
    return memcmp(session, "          ", 10) == 0 || memcmp(session, session_id, 10) == 0;
}

static inline void expect_answer(struct answer answer)
{
    answers[answer_count++] = answer;
}

// Blocks back to back to the very end, each of a known type and its size; how many, 0 when not.
static inline uint32_t count_blocks(const uint8_t *payload, size_t size)
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
static inline uint32_t judge_login(const uint8_t *payload, enum entry_verdict *verdict)
{
    const struct ufo_login *login = (const struct ufo_login *)(payload + 2);
    uint32_t s = plain_user(login);
    *verdict = ENTRY_NOT_BOUND;
    if (login->type != UFO_LOGIN)
        return NOBODY;
    *verdict = ENTRY_BOUND_ELSEWHERE;
    if (s != NOBODY && stories[s].client != NOBODY)
        return NOBODY;
    *verdict = ENTRY_LOGIN_REFUSED;
    if (!login_known(login, s)) {
        expect_answer((struct answer){.type = ANSWER_REJECT, .reason = 'A', .session = NOBODY});
        return NOBODY;
    }
    if (is_current(login->session) && !stories[s].ended)
        return s;
    expect_answer((struct answer){.type = ANSWER_REJECT, .reason = 'S', .session = NOBODY});
    return NOBODY;
}

// Orders are taken all or none, as far as a logoff.
static inline bool orders_fit(uint32_t s, const uint8_t *payload, size_t size, uint32_t *count,
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

static inline void expect_messages(uint32_t s, const struct ufo_retransmit *request)
{
    uint64_t first = be32_load(request->sequence);
    uint16_t count = be16_load(request->count);
    requests++;
    if (count > 0 && kept(s, first) && answer_count < frames_free)
        expect_answer((struct answer){
            .type = ANSWER_MESSAGES, .session = s, .first = first, .count_max = count});
    else
        unserved++;
}

// What follows a login, and everything else that is answered; true when it ended with a logoff.
static inline bool expect_blocks(uint32_t s, const uint8_t *payload, size_t size)
{
    size_t length;
    uint32_t asked = 0;
    for (size_t at = 0; at < size; at += 2 + length) {
        length = (size_t)(payload[at] << 8 | payload[at + 1]);
        const uint8_t *message = payload + at + 2;
        if (message[0] == 'O')
            return true;
        if (message[0] == 'T' && ++asked <= 8)
            expect_messages(s, (const struct ufo_retransmit *)message);
        else if (message[0] == 'T')
            requests++, unserved++;
        if (message[0] != 'L')
            continue;
        const struct ufo_login *login = (const struct ufo_login *)message;
        if (!login_known(login, s))
            expect_answer((struct answer){.type = ANSWER_REJECT, .reason = 'A', .session = s});
        else if (!is_current(login->session))
            expect_answer((struct answer){.type = ANSWER_REJECT, .reason = 'S', .session = s});
        else
            expect_answer((struct answer){.type = ANSWER_ACCEPT, .session = s});
    }
    return false;
}

// A datagram that is UFO, or should be, of session `s`, or NOBODY where it has to say whose it is.
static inline enum entry_verdict foresee_ufo(uint32_t client, uint32_t s, const uint8_t *payload,
                                             size_t size, uint32_t *count, uint32_t *off)
{
    enum entry_verdict verdict = ENTRY_TAKEN;
    if (count_blocks(payload, size) == 0)
        return ENTRY_BAD_UFO;
    if (s == NOBODY) {
        s = session_of(client);
        if (signed_story_of(s))
            return ENTRY_UNSIGNED;
    }
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

// A signed session's keys are no use where it is bound to somebody else, or its client to another
// signed one.
static inline bool bound_to_another(uint32_t s, uint32_t client)
{
    return stories[s].client != NOBODY ? !same_client(stories[s].client, client)
                                       : signed_story_of(session_of(client)) != NULL;
}

static inline enum entry_verdict expect_signed_reject(const struct signed_login *login,
                                                      uint8_t reason)
{
    expect_answer((struct answer){
        .type = ANSWER_SIGNED_REJECT, .reason = reason, .to = (const uint8_t *)login});
    return ENTRY_LOGIN_REFUSED;
}

static inline enum entry_verdict expect_signed_accept(uint32_t s)
{
    expect_answer((struct answer){.type = ANSWER_SIGNED_ACCEPT, .session = s});
    return ENTRY_HANDSHAKE;
}

static inline uint32_t signed_user(const char user_name[6])
{
    for (uint32_t s = PLAIN; s < SESSIONS; s++) {
        char name[] = "USER0 ";
        name[4] = (char)('0' + s);
        if (strncasecmp(user_name, name, 6) == 0)
            return s;
    }
    return NOBODY;
}

static inline enum entry_verdict foresee_signed_login(uint32_t client, const uint8_t *payload)
{
    const struct signed_login *login = (const struct signed_login *)payload;
    struct endpoint source = client_endpoint(client);
    if (!cookie_was_given(login, &source, now_ns))
        return ENTRY_BAD_COOKIE;
    uint32_t s = signed_user(login->user_name);
    if (s == NOBODY)
        return expect_signed_reject(login, 'A');
    struct signed_story *own = signed_story_of(s);
    const struct story *story = &stories[s];
    if (bound_to_another(s, client))
        return ENTRY_BOUND_ELSEWHERE;
    if (own->logged_in && memcmp(&own->login, login, sizeof(*login)) == 0)
        return expect_signed_accept(s);
    if (taken_before(own, login))
        return ENTRY_REPLAYED;
    if (!login_proves(login, &house))
        return expect_signed_reject(login, 'A');
    if (!is_current(login->session) || (story->ended && story->client == NOBODY))
        return expect_signed_reject(login, 'S');
    uint64_t following = story->client == NOBODY ? story->next : story->heard;
    struct signed_accept accept = {.head = {.version = 1, .type = 'A'},
                                   .number = be16_of((uint16_t)s),
                                   .sequence = be32_of((uint32_t)following)};
    memcpy(accept.session, session_id, sizeof(accept.session));
    login_taken(own, login, &source, &accept);
    return expect_signed_accept(s);
}

static inline enum entry_verdict foresee_signed_data(uint32_t client, const uint8_t *payload,
                                                     size_t size, uint32_t *count, uint32_t *off)
{
    const struct signed_data *data = (const struct signed_data *)payload;
    struct endpoint source = client_endpoint(client);
    uint32_t s = be16_load(data->number);
    struct signed_story *own = signed_story_of(s);
    if (!own || (!keys_are_of(&own->now, &source) && !keys_are_of(&own->next, &source)))
        return ENTRY_NOT_BOUND;
    const struct story_keys *by = tag_told(own, payload, size, &source);
    if (!by)
        return ENTRY_BAD_TAG;
    if (bound_to_another(s, client))
        return ENTRY_BOUND_ELSEWHERE;
    if (by == &own->next)
        come_into_force(own);
    if (!sequence_is_new(&own->now, be64_load(data->sequence)))
        return ENTRY_REPLAYED;
    uint32_t claimer = session_of(client);
    if (claimer != NOBODY && claimer != s) {
        leave(claimer);
        displaced++;
    }
    return foresee_ufo(client, s, payload + sizeof(*data), size - SIGNED_OVERHEAD, count, off);
}

// Brings the stories up to date with a datagram and lists the answers that are due. `off`: the
// session that logs off with it. `count`: commands that come of it.
static inline enum entry_verdict foresee(uint32_t client, const uint8_t *payload, size_t size,
                                         uint32_t *count, uint32_t *off)
{
    *off = NOBODY;
    *count = 0;
    if (size < 2 || payload[0] != 0 || payload[1] != 0)
        return foresee_ufo(client, NOBODY, payload, size, count, off);
    switch (signed_kind(payload, size)) {
    case 'H':
        expect_answer((struct answer){.type = ANSWER_COOKIE, .to = payload});
        return ENTRY_HANDSHAKE;
    case 'L':
        return foresee_signed_login(client, payload);
    case 'D':
        return foresee_signed_data(client, payload, size, count, off);
    default:
        return ENTRY_BAD_SIGNED;
    }
}

#endif
