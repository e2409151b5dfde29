// SPDX-License-Identifier: MIT
#include "dataplane/entry.h"

#include <sodium.h>

#include "numa/crash.h"
#include "numa/invariant.h"

#define HEARTBEAT_NS    1000000000ull  // UFO leaves the interval open: one second
#define TIMEOUT_NS      10000000000ull // UFO section 4.3

#define SECOND_NS       1000000000ull

// Requests of one datagram that are served. Each is answered with a packet, and the client asks
// again for what it lacks.
#define RETRANSMITS_MAX 8u

#define NOBODY          UINT32_MAX
#define LONG_AGO        UINT64_MAX // heard_ns of a session that has logged off

static uint32_t bound_slots(uint32_t session_max)
{
    uint32_t slots = 16;
    while (slots < 2 * session_max)
        slots *= 2;
    return slots;
}

size_t entry_memory_size(uint32_t session_max)
{
    return session_max * (sizeof(struct entry_signed) + sizeof(struct entry_session)) +
           symbols_memory_size((uint16_t)session_max) + bound_slots(session_max) * sizeof(uint16_t);
}

size_t entry_stream_size(uint32_t history_count)
{
    return stream_memory_size(history_count);
}

void entry_init(struct entry *entry, void *memory, uint32_t session_max)
{
    memset(&entry->counters, 0, sizeof(entry->counters));
    entry->session_count = 0;
    entry->session_max = session_max;
    entry->has_signed = false;
    entry->signed_sessions = memory;
    entry->sessions = (struct entry_session *)(entry->signed_sessions + session_max);
    uint8_t *users = (uint8_t *)(entry->sessions + session_max);
    symbols_init(&entry->users, users, (uint16_t)session_max);
    entry->bound = (uint16_t *)(users + symbols_memory_size((uint16_t)session_max));
    entry->bound_mask = bound_slots(session_max) - 1;
    memset(entry->bound, 0, (entry->bound_mask + 1) * sizeof(*entry->bound));
}

// As `users` has it: capitals, filled up with spaces.
static void name_user(const char user_name[6], char name[8])
{
    memcpy(name, user_name, 6);
    memset(name + 6, ' ', 2);
    ufo_upper(name, 6);
}

void entry_add_session(struct entry *entry, const struct config_session *who, void *memory,
                       uint32_t history_count)
{
    char name[8];
    name_user(who->user, name);
    INVARIANT(symbols_add(&entry->users, name) == entry->session_count);
    entry->has_signed |= who->is_signed;
    entry->signed_sessions[entry->session_count] = (struct entry_signed){0};
    struct entry_session *session = &entry->sessions[entry->session_count++];
    *session = (struct entry_session){.who = *who, .orders_to_go = who->cancel_on_disconnect};
    stream_init(&session->stream, memory, history_count);
}

static uint32_t bound_home(const struct entry *entry, const struct endpoint *source)
{
    uint64_t key = (uint64_t)source->address << 16 | source->port;
    return (uint32_t)(key * 0x9E3779B97F4A7C15ull >> 40) & entry->bound_mask;
}

static bool same_source(const struct endpoint *a, const struct endpoint *b)
{
    return a->address == b->address && a->port == b->port;
}

static uint32_t bound_slot(const struct entry *entry, const struct endpoint *source)
{
    uint32_t slot = bound_home(entry, source);
    while (entry->bound[slot] &&
           !same_source(&entry->sessions[entry->bound[slot] - 1].client, source))
        slot = (slot + 1) & entry->bound_mask;
    return slot;
}

static void bind_session(struct entry *entry, uint32_t index, const struct endpoint *source)
{
    struct entry_session *session = &entry->sessions[index];
    session->bound = true;
    session->orders_to_go = session->who.cancel_on_disconnect;
    session->client = *source;
    stream_skip(&session->stream); // what came before is asked for with a retransmission request
    entry->bound[bound_slot(entry, source)] = (uint16_t)(index + 1);
    port_bind(entry->port, &entry->source, source, index);
    entry->counters.logins++;
}

static void unbind_session(struct entry *entry, uint32_t index)
{
    uint32_t hole = bound_slot(entry, &entry->sessions[index].client);
    INVARIANT(entry->bound[hole] == index + 1);
    for (uint32_t at = (hole + 1) & entry->bound_mask; entry->bound[at];
         at = (at + 1) & entry->bound_mask) {
        uint32_t home = bound_home(entry, &entry->sessions[entry->bound[at] - 1].client);
        if (((at - home) & entry->bound_mask) >= ((at - hole) & entry->bound_mask)) {
            entry->bound[hole] = entry->bound[at];
            hole = at;
        }
    }
    entry->bound[hole] = 0;
    port_unbind(entry->port, &entry->source, &entry->sessions[index].client);
    entry->sessions[index].bound = false;
    sodium_memzero(&entry->signed_sessions[index], offsetof(struct entry_signed, taken));
}

// The client is where it was, and has proven who it is: there may be another way to it now.
static void follow(struct entry *entry, uint32_t index, const struct endpoint *source)
{
    struct endpoint *client = &entry->sessions[index].client;
    if (likely(memcmp(client->mac, source->mac, sizeof(client->mac)) == 0 &&
               client->vlan == source->vlan))
        return;
    port_unbind(entry->port, &entry->source, client);
    *client = *source;
    port_bind(entry->port, &entry->source, client, index);
}

static void send_to(struct entry *entry, const struct endpoint *client, const void *message,
                    size_t size)
{
    uint8_t *frame = entry->port->operations->claim(entry->port);
    if (!frame)
        return; // the client asks again: only answers that are repeatable come this way
    memcpy(frame + packet_payload_offset(client), message, size);
    port_send(entry->port, frame, packet_write_headers(frame, &entry->source, client, size));
    entry->counters.sent_packets++;
}

// Where a UFO packet to a session is written in its frame: a signed one stands behind a header.
static uint8_t *packet_to(const struct entry_session *session, uint8_t *frame)
{
    return frame + packet_payload_offset(&session->client) +
           (session->who.is_signed ? sizeof(struct signed_data) : 0);
}

// Sends the frame in which such a packet of `size` bytes stands.
static void send_packet(struct entry *entry, const struct entry_session *session, uint8_t *frame,
                        size_t size)
{
    if (session->who.is_signed) {
        uint32_t index = (uint32_t)(session - entry->sessions);
        size = signed_seal(&entry->signed_sessions[index].peer.channel, (uint16_t)index,
                           frame + packet_payload_offset(&session->client), size);
    }
    port_send(entry->port, frame,
              packet_write_headers(frame, &entry->source, &session->client, size));
    entry->counters.sent_packets++;
}

static void send_message(struct entry *entry, const struct entry_session *session,
                         const void *message, size_t size)
{
    uint8_t *frame = entry->port->operations->claim(entry->port);
    if (!frame)
        return; // as in send_to
    memcpy(packet_to(session, frame), message, size);
    send_packet(entry, session, frame, size);
}

static void send_accept(struct entry *entry, uint32_t index)
{
    struct ufo_login_accept accept = {.type = UFO_LOGIN_ACCEPT};
    memcpy(accept.session, entry->session_id, sizeof(accept.session));
    accept.sequence = be32_of((uint32_t)entry->sessions[index].stream.sent);
    send_message(entry, &entry->sessions[index], &accept, sizeof(accept));
}

static void send_reject(struct entry *entry, const struct endpoint *client, uint8_t reason)
{
    struct ufo_login_reject reject = {.type = UFO_LOGIN_REJECT, .reason = reason};
    send_to(entry, client, &reject, sizeof(reject));
}

// Whether the answer that the port's watch waits for is among these. Events come in the order of
// the commands that caused them, each session's and all of them.
static void note_watched(const struct entry *entry, const struct stream *stream, uint64_t first,
                         uint64_t count)
{
    struct port_watch *watch = &entry->port->watch;
    if (watch->of != entry || watch->left)
        return;
    for (uint64_t number = first; number < first + count; number++) {
        uint64_t seq = stream_event(stream, number)->seq;
        watch->leaving |= seq == watch->awaited_seq;
        watch->unanswered |= seq > watch->awaited_seq && !watch->leaving;
    }
}

// Sequenced messages of `stream` from `first` on, up to `count_max`, as many as fit one packet; how
// many were sent.
static uint16_t send_messages(struct entry *entry, const struct entry_session *session,
                              const struct stream *stream, uint64_t first, uint64_t count_max)
{
    uint8_t *frame = entry->port->operations->claim(entry->port);
    if (!frame)
        return 0;
    uint8_t *payload = packet_to(session, frame);
    size_t size = sizeof(struct ufo_sequenced);
    size_t size_max = UFO_PAYLOAD_MAX - (session->who.is_signed ? SIGNED_OVERHEAD : 0);
    uint16_t count = stream_pack(stream, first, count_max, ouch_encode, entry->symbols, payload,
                                 &size, size_max);
    if (count == 0)
        return 0;
    struct ufo_sequenced *header = (struct ufo_sequenced *)payload;
    header->type = UFO_SEQUENCED;
    header->sequence = be32_of((uint32_t)first);
    header->count = be16_of(count);
    note_watched(entry, stream, first, count);
    CRASH_POINT(packet_unsent);
    send_packet(entry, session, frame, size);
    CRASH_POINT(packet_sent);
    entry->counters.sent_messages += count;
    return count;
}

static void retransmit(struct entry *entry, uint32_t index, const struct ufo_retransmit *request)
{
    const struct entry_session *session = &entry->sessions[index];
    struct entry_counters *counters = &entry->counters;
    uint64_t first = be32_load(request->sequence);
    bool later;
    const struct stream *stream = history_find(entry->history, (uint16_t)index, &session->stream,
                                               first, session->heard_ns, &later);
    uint16_t count =
        stream ? send_messages(entry, session, stream, first, be16_load(request->count)) : 0;
    counters->retransmitted_messages += count;
    counters->retransmitted_from_journal += stream == &session->stream ? 0 : count;
    counters->retransmit_later += later;
    counters->retransmit_unserved += count == 0 && !later;
}

static uint32_t find_user(const struct entry *entry, const char user_name[6])
{
    char name[8];
    name_user(user_name, name);
    uint16_t found = symbols_find(&entry->users, name);
    return found == NO_INSTRUMENT ? NOBODY : found;
}

// The password is the one that was proven to be the session's.
static bool password_fits(const struct entry *entry, const struct entry_session *session,
                          const struct ufo_login *login)
{
    uint8_t proof[LOGINS_PROOF_SIZE];
    logins_proof(entry->logins, login, proof);
    return session->proven && sodium_memcmp(proof, session->proof, sizeof(proof)) == 0;
}

// A login of session `index` (NOBODY: unknown user or wrong password) to session `wanted`: 0 when
// it may go ahead, else the reason of the refusal.
static uint8_t login_refusal(const struct entry *entry, uint32_t index, const char wanted[10])
{
    static const char current[10] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    if (index == NOBODY)
        return UFO_REJECT_NOT_AUTHORISED;
    bool session_fits = memcmp(wanted, current, sizeof(current)) == 0 ||
                        memcmp(wanted, entry->session_id, sizeof(current)) == 0;
    bool over = entry->sessions[index].ended && !entry->sessions[index].bound; // UFO section 4.9
    return session_fits && !over ? 0 : UFO_REJECT_INVALID_SESSION;
}

void entry_want_clock(struct entry *entry, uint64_t from_ns, uint32_t seconds)
{
    uint64_t until_ns = (from_ns / SECOND_NS + seconds + 1) * SECOND_NS;
    if (until_ns > entry->timed_until_ns)
        entry->timed_until_ns = until_ns;
}

// Remembers how long the book wants to be told the time for the sake of this command. What is
// refused elsewhere, or dropped with its datagram, costs some clock commands and nothing else.
static void mind_expiry(struct entry *entry, const struct command *command)
{
    bool enters = command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE;
    bool crosses = command->type == COMMAND_ENTER && command->order.cross != CROSS_NONE;
    bool expires = command->order.attributes.time_in_force == TIF_GTT &&
                   command->order.expire_seconds <= EXPIRE_SECONDS_MAX;
    if (likely(!enters || !(crosses || expires)))
        return;
    uint64_t from_ns =
        command->time_ns > entry->commanded_ns ? command->time_ns : entry->commanded_ns;
    entry_want_clock(entry, from_ns, crosses ? EXPIRE_SECONDS_MAX : command->order.expire_seconds);
}

// Decodes each U block into the ring's next slots, uncommitted, up to a logoff. The number of
// commands, or -1 with the verdict that drops the whole datagram.
static int decode_orders(struct entry *entry, uint32_t index, const struct packet *packet,
                         uint32_t block_count, uint64_t time_ns, enum entry_verdict *verdict)
{
    const struct entry_session *session = &entry->sessions[index];
    uint32_t room = ring_writable(entry->commands, block_count);
    // A hint, ordered with nothing: what is taken in spite of it is as safe as before.
    bool cancel_only = atomic_load_explicit(entry->cancel_only, memory_order_relaxed);
    const uint8_t *cursor = packet->payload;
    uint32_t count = 0;
    for (uint32_t i = 0; i < block_count; i++) {
        struct ufo_block block = ufo_next(&cursor);
        if (block.message[0] == UFO_LOGOFF)
            break;
        if (block.message[0] != UFO_UNSEQUENCED || session->ended)
            continue;
        *verdict = ENTRY_RING_FULL;
        if (count == room)
            return -1;
        struct command *command = ring_write_slot(entry->commands, count);
        enum ouch_fault fault = ouch_decode(block.message + 1, block.size - 1u, entry->symbols,
                                            session->who.firm, command);
        if (fault) {
            entry->counters.ouch_faults[fault]++;
            *verdict = ENTRY_BAD_OUCH;
            return -1;
        }
        command->session = (uint16_t)index;
        command->time_ns = time_ns;
        if (command->type == COMMAND_MASS_CANCEL)
            command->mass.session = (uint16_t)index; // nobody else's orders
        if (command->type == COMMAND_ENTRY)
            command->entry.session = (uint16_t)index;
        mind_expiry(entry, command);
        bool adds_risk = command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE;
        if (cancel_only && adds_risk && command->verdict == REJECT_NONE)
            command->verdict = REJECT_PROCESSING_ERROR;
        if (unlikely(session->guarded) && adds_risk && command->verdict == REJECT_NONE)
            command->verdict = precheck_verdict(&session->precheck, command);
        count++;
    }
    *verdict = ENTRY_TAKEN;
    return (int)count;
}

static bool is_login_of(const struct entry *entry, uint32_t index, const struct ufo_login *login)
{
    return find_user(entry, login->user_name) == index &&
           password_fits(entry, &entry->sessions[index], login);
}

// A login of a session that is bound already, from where it is.
static void log_in_again(struct entry *entry, uint32_t index, const struct ufo_login *login,
                         const struct endpoint *source)
{
    uint32_t who = is_login_of(entry, index, login) ? index : NOBODY;
    struct ufo_login_reject reject = {.type = UFO_LOGIN_REJECT,
                                      .reason = login_refusal(entry, who, login->session)};
    if (reject.reason != 0) {
        send_message(entry, &entry->sessions[index], &reject, sizeof(reject));
        return;
    }
    follow(entry, index, source);
    send_accept(entry, index);
}

// What is not an order, block by block. The session is bound when this begins.
static void serve_blocks(struct entry *entry, uint32_t index, const struct packet *packet,
                         uint32_t block_count)
{
    uint32_t retransmit_count = 0;
    const uint8_t *cursor = packet->payload;
    for (uint32_t i = 0; i < block_count; i++) {
        struct ufo_block block = ufo_next(&cursor);
        switch (block.message[0]) {
        case UFO_LOGIN:
            log_in_again(entry, index, (const struct ufo_login *)block.message, &packet->source);
            break;
        case UFO_RETRANSMIT:
            entry->counters.retransmit_requests++;
            if (retransmit_count++ < RETRANSMITS_MAX)
                retransmit(entry, index, (const struct ufo_retransmit *)block.message);
            else
                entry->counters.retransmit_unserved++;
            break;
        case UFO_LOGOFF:
            entry->counters.logoffs++;
            unbind_session(entry, index);
            entry->sessions[index].heard_ns = LONG_AGO;
            return;
        }
    }
}

// Whose datagram this is: the session bound to its source, or the one that its first block logs in.
static uint32_t find_session(struct entry *entry, const struct packet *packet,
                             enum entry_verdict *verdict)
{
    uint16_t bound = entry->bound[bound_slot(entry, &packet->source)];
    *verdict = ENTRY_UNSIGNED;
    if (bound)
        return entry->sessions[bound - 1].who.is_signed ? NOBODY : bound - 1u;
    const uint8_t *cursor = packet->payload;
    struct ufo_block block = ufo_next(&cursor);
    *verdict = ENTRY_NOT_BOUND;
    if (block.message[0] != UFO_LOGIN)
        return NOBODY;
    const struct ufo_login *login = (const struct ufo_login *)block.message;
    uint32_t index = find_user(entry, login->user_name);
    if (index != NOBODY && entry->sessions[index].who.is_signed)
        index = NOBODY; // it has no password
    // UFO section 4.2: no answer, not even to a wrong password.
    *verdict = ENTRY_BOUND_ELSEWHERE;
    if (index != NOBODY && entry->sessions[index].bound)
        return NOBODY;
    if (index != NOBODY && !entry->sessions[index].proven) {
        bool waits = logins_give(entry->logins, index, &entry->sessions[index].who, packet, NULL);
        *verdict = waits ? ENTRY_LOGIN_WAITS : ENTRY_LOGIN_BUSY;
        return NOBODY;
    }
    if (index != NOBODY && !password_fits(entry, &entry->sessions[index], login))
        index = NOBODY;
    *verdict = ENTRY_LOGIN_REFUSED;
    uint8_t refusal = login_refusal(entry, index, login->session);
    if (!refusal)
        return index;
    send_reject(entry, &packet->source, refusal);
    return NOBODY;
}

static bool cancel_orders(struct entry *entry, uint32_t index, uint64_t time_ns)
{
    if (ring_writable(entry->commands, 1) == 0)
        return false;
    *(struct command *)ring_write_slot(entry->commands, 0) =
        (struct command){.type = COMMAND_MASS_CANCEL,
                         .time_ns = time_ns,
                         .session = ANY_SESSION,
                         .instrument = NO_INSTRUMENT,
                         .mass = {.session = (uint16_t)index,
                                  .side = ANY_SIDE,
                                  .reason = 'S',
                                  .actor = "cancel on disconnect"}};
    ring_commit(entry->commands, 1);
    entry->counters.disconnect_cancels++;
    return true;
}

// The orders of a session that is not bound are cancelled where it wants that and is gone: 1, 0
// when there is nothing to do, -1 when there is no room for the command.
static int sweep_session(struct entry *entry, uint32_t index, uint64_t now_ns, uint64_t time_ns)
{
    struct entry_session *session = &entry->sessions[index];
    bool logged_off = session->heard_ns == LONG_AGO;
    if (likely(!session->orders_to_go) || session->ended || session->heard_ns == 0 ||
        (!logged_off && now_ns - session->heard_ns <= TIMEOUT_NS))
        return 0;
    if (!cancel_orders(entry, index, time_ns))
        return -1;
    session->orders_to_go = false;
    return 1;
}

// Logins have passwords in clear: of a datagram that may hold one nothing is left, once it was
// read, in the frame that the port has lent to this thread.
static void wipe(const struct packet *packet)
{
    sodium_memzero((uint8_t *)packet->payload, packet->payload_size);
}

// What is UFO, of session `index`, or NOBODY where the packet has to say whose it is.
static enum entry_verdict receive_ufo(struct entry *entry, uint32_t index,
                                      const struct packet *packet, uint64_t now_ns,
                                      uint64_t time_ns, uint32_t *count)
{
    uint32_t block_count = 0;
    enum ufo_fault fault = ufo_check(packet->payload, packet->payload_size, &block_count);
    if (fault) {
        entry->counters.ufo_faults[fault]++;
        return ENTRY_BAD_UFO;
    }
    enum entry_verdict verdict;
    if (index == NOBODY)
        index = find_session(entry, packet, &verdict);
    if (index == NOBODY)
        return verdict;
    // What it had before it left goes before anything that it sends now.
    struct entry_session *session = &entry->sessions[index];
    int swept = session->bound ? 0 : sweep_session(entry, index, now_ns, time_ns);
    if (swept < 0)
        return ENTRY_RING_FULL;
    *count = (uint32_t)swept;
    int decoded = decode_orders(entry, index, packet, block_count, time_ns, &verdict);
    if (decoded < 0)
        return verdict;
    if (!session->bound)
        bind_session(entry, index, &packet->source);
    session->heard_ns = now_ns;
    if (decoded != (int)block_count) {
        serve_blocks(entry, index, packet, block_count);
        wipe(packet);
    }
    ring_commit(entry->commands, (uint32_t)decoded);
    if (decoded > 0 && time_ns > entry->commanded_ns)
        entry->commanded_ns = time_ns;
    *count += (uint32_t)decoded;
    return ENTRY_TAKEN;
}

// --- Signed sessions

static enum entry_verdict answer_hello(struct entry *entry, const struct packet *packet,
                                       uint64_t now_ns)
{
    const struct signed_hello *hello = (const struct signed_hello *)packet->payload;
    struct signed_cookie answer = {.head = {.version = SIGNED_VERSION, .type = SIGNED_COOKIE}};
    memcpy(answer.random, hello->random, sizeof(answer.random));
    signed_make_cookie(entry->logins->secret, packet->source.address, packet->source.port,
                       hello->user_name, now_ns / SIGNED_MINUTE_NS, answer.cookie);
    send_to(entry, &packet->source, &answer, sizeof(answer));
    return ENTRY_HANDSHAKE;
}

static enum entry_verdict refuse_signed(struct entry *entry, const struct endpoint *client,
                                        const struct signed_login *login, uint8_t reason)
{
    struct signed_reject reject = {.head = {.version = SIGNED_VERSION, .type = SIGNED_REJECT},
                                   .reason = reason};
    memcpy(reject.random, login->random, sizeof(reject.random));
    send_to(entry, client, &reject, sizeof(reject));
    return ENTRY_LOGIN_REFUSED;
}

// The session is bound to another source, or the source to another signed session. One without a
// signature has not proven that the source is its own.
static bool bound_elsewhere(const struct entry *entry, uint32_t index,
                            const struct endpoint *source)
{
    const struct entry_session *session = &entry->sessions[index];
    if (session->bound)
        return !same_source(&session->client, source);
    uint16_t other = entry->bound[bound_slot(entry, source)];
    return other != 0 && entry->sessions[other - 1].who.is_signed;
}

// A client has proven that the source is its own: whoever else is bound to it goes.
static void claim_source(struct entry *entry, uint32_t index, const struct endpoint *source)
{
    uint16_t other = entry->bound[bound_slot(entry, source)];
    if (unlikely(other != 0 && other - 1u != index))
        unbind_session(entry, other - 1u);
    if (entry->sessions[index].bound)
        follow(entry, index, source);
}

static bool was_taken(const struct entry_signed *own, const struct signed_login *login)
{
    for (uint32_t i = 0; i < ENTRY_TAKEN_KEPT; i++)
        if (memcmp(own->taken[i], login->signature, sizeof(own->taken[i])) == 0)
            return true;
    return false;
}

// Nothing is believed before the cookie is right, and nothing costly is done here.
static enum entry_verdict receive_signed_login(struct entry *entry, const struct packet *packet,
                                               uint64_t now_ns)
{
    const struct signed_login *login = (const struct signed_login *)packet->payload;
    if (!signed_cookie_valid(entry->logins->secret, packet->source.address, packet->source.port,
                             login, now_ns / SIGNED_MINUTE_NS))
        return ENTRY_BAD_COOKIE;
    uint32_t index = find_user(entry, login->user_name);
    if (index == NOBODY || !entry->sessions[index].who.is_signed)
        return refuse_signed(entry, &packet->source, login, UFO_REJECT_NOT_AUTHORISED);
    const struct entry_session *session = &entry->sessions[index];
    const struct entry_signed *own = &entry->signed_sessions[index];
    if (bound_elsewhere(entry, index, &packet->source))
        return ENTRY_BOUND_ELSEWHERE;
    if (memcmp(login, &own->login, sizeof(*login)) == 0) { // its answer was lost
        send_to(entry, &packet->source, &own->accept, sizeof(own->accept));
        return ENTRY_HANDSHAKE;
    }
    if (was_taken(own, login))
        return ENTRY_REPLAYED;
    // What an unbound one was not sent counts as sent once it is bound.
    uint64_t following = session->bound ? session->stream.sent : session->stream.next;
    struct signed_accept offer = {.number = be16_of((uint16_t)index),
                                  .sequence = be32_of((uint32_t)following)};
    memcpy(offer.session, entry->session_id, sizeof(offer.session));
    return logins_give(entry->logins, index, &session->who, packet, &offer) ? ENTRY_LOGIN_WAITS
                                                                            : ENTRY_LOGIN_BUSY;
}

// The signature was verified, or not.
static enum entry_verdict resume_signed_login(struct entry *entry, const struct login *verified)
{
    const struct signed_login *login = (const struct signed_login *)verified->datagram;
    struct entry_signed *own = &entry->signed_sessions[verified->index];
    uint8_t refusal = verified->valid ? login_refusal(entry, verified->index, login->session)
                                      : UFO_REJECT_NOT_AUTHORISED;
    if (refusal)
        return refuse_signed(entry, &verified->source, login, refusal);
    if (bound_elsewhere(entry, verified->index, &verified->source))
        return ENTRY_BOUND_ELSEWHERE;
    memcpy(own->taken[own->taken_count++ % ENTRY_TAKEN_KEPT], login->signature,
           sizeof(own->taken[0]));
    own->login = *login;
    own->accept = verified->accept;
    own->next = (struct entry_peer){.channel = verified->channel,
                                    .address = verified->source.address,
                                    .port = verified->source.port,
                                    .keyed = true};
    send_to(entry, &verified->source, &own->accept, sizeof(own->accept));
    return ENTRY_HANDSHAKE;
}

static bool is_from(const struct entry_peer *peer, const struct endpoint *source)
{
    return peer->keyed && peer->address == source->address && peer->port == source->port;
}

// Whose keys the tag of a client at its source is by: those in force, or those of a later login.
// NULL: nobody's.
static struct entry_peer *sealed_by(struct entry_signed *own, const struct packet *packet)
{
    if (is_from(&own->peer, &packet->source) &&
        signed_tag_valid(&own->peer.channel, packet->payload, packet->payload_size))
        return &own->peer;
    if (is_from(&own->next, &packet->source) &&
        signed_tag_valid(&own->next.channel, packet->payload, packet->payload_size))
        return &own->next;
    return NULL;
}

// The keys of a later login are used, and so in force.
static void put_in_force(struct entry_signed *own)
{
    own->peer = own->next;
    sodium_memzero(&own->next, sizeof(own->next));
}

static enum entry_verdict receive_signed_data(struct entry *entry, const struct packet *packet,
                                              uint64_t now_ns, uint64_t time_ns, uint32_t *count)
{
    const struct signed_data *data = (const struct signed_data *)packet->payload;
    uint32_t index = be16_load(data->number);
    if (index >= entry->session_count)
        return ENTRY_NOT_BOUND;
    struct entry_signed *own = &entry->signed_sessions[index];
    if (!is_from(&own->peer, &packet->source) && !is_from(&own->next, &packet->source))
        return ENTRY_NOT_BOUND;
    const struct entry_peer *by = sealed_by(own, packet);
    if (!by)
        return ENTRY_BAD_TAG;
    // Before its keys are in force: they would be another's than the one who is bound.
    if (bound_elsewhere(entry, index, &packet->source))
        return ENTRY_BOUND_ELSEWHERE;
    if (by == &own->next)
        put_in_force(own);
    if (!signed_fresh(&own->peer.channel, be64_load(data->sequence)))
        return ENTRY_REPLAYED;
    claim_source(entry, index, &packet->source);
    struct packet inside = *packet;
    inside.payload += sizeof(*data);
    inside.payload_size -= (uint16_t)SIGNED_OVERHEAD;
    return receive_ufo(entry, index, &inside, now_ns, time_ns, count);
}

static enum entry_verdict receive(struct entry *entry, const struct packet *packet, uint64_t now_ns,
                                  uint64_t time_ns, uint32_t *count)
{
    if (!entry->has_signed || !signed_begins(packet->payload, packet->payload_size))
        return receive_ufo(entry, NOBODY, packet, now_ns, time_ns, count);
    switch (signed_check(packet->payload, packet->payload_size)) {
    case SIGNED_DATA:
        return receive_signed_data(entry, packet, now_ns, time_ns, count);
    case SIGNED_HELLO:
        return answer_hello(entry, packet, now_ns);
    case SIGNED_LOGIN:
        return receive_signed_login(entry, packet, now_ns);
    default:
        return ENTRY_BAD_SIGNED;
    }
}

uint32_t entry_receive(struct entry *entry, const struct packet *packet, uint64_t now_ns,
                       uint64_t time_ns)
{
    uint32_t count = 0;
    enum entry_verdict verdict = packet_checksum_valid(packet)
                                     ? receive(entry, packet, now_ns, time_ns, &count)
                                     : ENTRY_BAD_CHECKSUM;
    if (unlikely(verdict != ENTRY_TAKEN))
        wipe(packet);
    if (verdict == ENTRY_LOGIN_WAITS)
        return entry_take_logins(entry, now_ns, time_ns);
    entry->counters.datagrams[verdict]++;
    entry->counters.commands += count;
    return count;
}

// A wrong password is refused here; with a right one the datagram takes the usual way.
static enum entry_verdict resume_login(struct entry *entry, const struct login *login,
                                       uint64_t now_ns, uint64_t time_ns, uint32_t *count)
{
    struct entry_session *session = &entry->sessions[login->index];
    struct packet packet = {
        .source = login->source, .payload = login->datagram, .payload_size = login->size};
    if (session->who.is_signed)
        return resume_signed_login(entry, login);
    if (!login->valid) {
        send_reject(entry, &login->source, UFO_REJECT_NOT_AUTHORISED);
        return ENTRY_LOGIN_REFUSED;
    }
    logins_proof(entry->logins, (const struct ufo_login *)(login->datagram + sizeof(be16)),
                 session->proof);
    session->proven = true;
    return receive_ufo(entry, NOBODY, &packet, now_ns, time_ns, count);
}

uint32_t entry_take_logins(struct entry *entry, uint64_t now_ns, uint64_t time_ns)
{
    struct login *login;
    uint32_t commands = 0;
    while ((login = logins_take(entry->logins))) {
        uint32_t count = 0;
        enum entry_verdict verdict = resume_login(entry, login, now_ns, time_ns, &count);
        logins_done(entry->logins, login);
        entry->counters.datagrams[verdict]++;
        entry->counters.commands += count;
        commands += count;
    }
    return commands;
}

// The book counts seconds from the day's midnight, which is a whole number of them since 1970.
bool entry_clock(struct entry *entry, uint64_t time_ns)
{
    if (entry->commanded_ns >= entry->timed_until_ns ||
        time_ns / SECOND_NS <= entry->commanded_ns / SECOND_NS ||
        ring_writable(entry->commands, 1) == 0)
        return false;
    *(struct command *)ring_write_slot(entry->commands, 0) =
        (struct command){.type = COMMAND_CLOCK, .time_ns = time_ns};
    ring_commit(entry->commands, 1);
    entry->commanded_ns = time_ns;
    return true;
}

void entry_limit(struct entry *entry, uint32_t session, uint8_t kind, uint64_t value)
{
    static const struct precheck nothing;
    struct entry_session *guarded = &entry->sessions[session];
    precheck_set(&guarded->precheck, kind, value);
    guarded->guarded = memcmp(&guarded->precheck, &nothing, sizeof(nothing)) != 0;
}

uint32_t entry_sweep(struct entry *entry, uint64_t now_ns, uint64_t time_ns)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < entry->session_count; i++) {
        struct entry_session *session = &entry->sessions[i];
        if (session->bound)
            continue;
        if (session->heard_ns == 0)
            session->heard_ns = now_ns; // it has ten seconds from the start on
        count += sweep_session(entry, i, now_ns, time_ns) == 1;
    }
    return count;
}

bool entry_release(struct entry *entry, const struct event *event)
{
    INVARIANT(event->session < entry->session_count);
    struct entry_session *session = &entry->sessions[event->session];
    if (!session->bound)
        stream_skip(&session->stream);
    if (stream_full(&session->stream))
        return false;
    stream_append(&session->stream, event);
    entry->counters.rejected[event->code] += event->type == EVENT_REJECTED;
    entry->counters.cancels_rejected += event->type == EVENT_CANCEL_REJECTED;
    if (event->type == EVENT_REJECTED || event->type == EVENT_CANCEL_REJECTED)
        entry->counters.limits[event->limit]++; // 0: of none
    if (event->type == EVENT_SYSTEM && event->code == 'E')
        session->ended = true;
    return true;
}

void entry_flush(struct entry *entry, uint64_t now_ns)
{
    for (uint32_t i = 0; i < entry->session_count; i++) {
        struct entry_session *session = &entry->sessions[i];
        while (session->bound && session->stream.sent < session->stream.next) {
            uint16_t count =
                send_messages(entry, session, &session->stream, session->stream.sent, UINT16_MAX);
            if (count == 0)
                return;
            session->stream.sent += count;
            session->spoke_ns = now_ns;
        }
    }
}

static void heartbeat(struct entry *entry, struct entry_session *session, uint64_t now_ns)
{
    uint32_t next = (uint32_t)session->stream.next;
    struct ufo_sequenced beat = {.type = UFO_SEQUENCED, .sequence = be32_of(next)};
    struct ufo_end end = {.type = UFO_END, .message_count = be32_of(next - 1)};
    if (session->ended)
        send_message(entry, session, &end, sizeof(end));
    else
        send_message(entry, session, &beat, sizeof(beat));
    session->spoke_ns = now_ns;
}

void entry_tick(struct entry *entry, uint64_t now_ns)
{
    for (uint32_t i = 0; i < entry->session_count; i++) {
        struct entry_session *session = &entry->sessions[i];
        if (!session->bound)
            continue;
        if (now_ns - session->heard_ns > TIMEOUT_NS) {
            entry->counters.timeouts++;
            unbind_session(entry, i);
        } else if (now_ns - session->spoke_ns >= HEARTBEAT_NS &&
                   session->stream.sent == session->stream.next) {
            heartbeat(entry, session, now_ns);
        }
    }
}

bool entry_idle(const struct entry *entry)
{
    for (uint32_t i = 0; i < entry->session_count; i++) {
        const struct entry_session *session = &entry->sessions[i];
        if (session->bound && session->stream.sent < session->stream.next)
            return false;
    }
    return true;
}
