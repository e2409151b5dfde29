// SPDX-License-Identifier: MIT
#include "dataplane/entry.h"

#include "numa/crash.h"
#include "numa/invariant.h"

#define HEARTBEAT_NS 1000000000ull  // UFO leaves the interval open: one second
#define TIMEOUT_NS   10000000000ull // UFO section 4.3

#define SECOND_NS    1000000000ull

#define NOBODY       UINT32_MAX

static uint32_t bound_slots(uint32_t session_max)
{
    uint32_t slots = 16;
    while (slots < 2 * session_max)
        slots *= 2;
    return slots;
}

size_t entry_memory_size(uint32_t session_max)
{
    return session_max * sizeof(struct entry_session) + bound_slots(session_max) * sizeof(uint16_t);
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
    entry->sessions = memory;
    entry->bound = (uint16_t *)(entry->sessions + session_max);
    entry->bound_mask = bound_slots(session_max) - 1;
    memset(entry->bound, 0, (entry->bound_mask + 1) * sizeof(*entry->bound));
}

void entry_add_session(struct entry *entry, const struct config_session *who, void *memory,
                       uint32_t history_count)
{
    INVARIANT(entry->session_count < entry->session_max);
    struct entry_session *session = &entry->sessions[entry->session_count++];
    *session = (struct entry_session){.who = *who};
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
    session->client = *source;
    stream_skip(&session->stream); // what came before is asked for with a retransmission request
    entry->bound[bound_slot(entry, source)] = (uint16_t)(index + 1);
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
    entry->sessions[index].bound = false;
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

static void send_accept(struct entry *entry, uint32_t index)
{
    struct ufo_login_accept accept = {.type = UFO_LOGIN_ACCEPT};
    memcpy(accept.session, entry->session_id, sizeof(accept.session));
    accept.sequence = be32_of((uint32_t)entry->sessions[index].stream.sent);
    send_to(entry, &entry->sessions[index].client, &accept, sizeof(accept));
}

static void send_reject(struct entry *entry, const struct endpoint *client, uint8_t reason)
{
    struct ufo_login_reject reject = {.type = UFO_LOGIN_REJECT, .reason = reason};
    send_to(entry, client, &reject, sizeof(reject));
}

// Whether the answer that the port's watch waits for is among these. Events come in the order of
// the commands that caused them, each session's and all of them.
static void note_watched(const struct entry *entry, const struct entry_session *session,
                         uint64_t first, uint64_t count)
{
    struct port_watch *watch = &entry->port->watch;
    if (watch->of != entry || watch->left)
        return;
    for (uint64_t number = first; number < first + count; number++) {
        uint64_t seq = stream_event(&session->stream, number)->seq;
        watch->leaving |= seq == watch->awaited_seq;
        watch->unanswered |= seq > watch->awaited_seq && !watch->leaving;
    }
}

// Sequenced messages from `first` on, up to `count_max`, as many as fit one packet; how many were
// sent.
static uint16_t send_messages(struct entry *entry, const struct entry_session *session,
                              uint64_t first, uint64_t count_max)
{
    uint8_t *frame = entry->port->operations->claim(entry->port);
    if (!frame)
        return 0;
    uint8_t *payload = frame + packet_payload_offset(&session->client);
    size_t size = sizeof(struct ufo_sequenced);
    uint16_t count = stream_pack(&session->stream, first, count_max, ouch_encode, entry->symbols,
                                 payload, &size, UFO_PAYLOAD_MAX);
    if (count == 0)
        return 0;
    struct ufo_sequenced *header = (struct ufo_sequenced *)payload;
    header->type = UFO_SEQUENCED;
    header->sequence = be32_of((uint32_t)first);
    header->count = be16_of(count);
    note_watched(entry, session, first, count);
    CRASH_POINT(packet_unsent);
    port_send(entry->port, frame,
              packet_write_headers(frame, &entry->source, &session->client, size));
    CRASH_POINT(packet_sent);
    entry->counters.sent_packets++;
    entry->counters.sent_messages += count;
    return count;
}

static void retransmit(struct entry *entry, const struct entry_session *session,
                       const struct ufo_retransmit *request)
{
    entry->counters.retransmit_requests++;
    uint16_t count =
        send_messages(entry, session, be32_load(request->sequence), be16_load(request->count));
    entry->counters.retransmitted_messages += count;
    if (count == 0)
        entry->counters.retransmit_unserved++;
}

static uint32_t find_user(const struct entry *entry, const struct ufo_login *login)
{
    for (uint32_t i = 0; i < entry->session_count; i++) {
        const struct config_session *who = &entry->sessions[i].who;
        if (ufo_same_name(login->user_name, who->user, sizeof(who->user)) &&
            ufo_same_name(login->password, who->password, sizeof(who->password)))
            return i;
    }
    return NOBODY;
}

// A login of session `index` (NOBODY: unknown user or wrong password): 0 when it may go ahead, else
// the reason of the refusal.
static uint8_t login_refusal(const struct entry *entry, uint32_t index,
                             const struct ufo_login *login)
{
    static const char current[10] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    if (index == NOBODY)
        return UFO_REJECT_NOT_AUTHORISED;
    bool session_fits = memcmp(login->session, current, sizeof(current)) == 0 ||
                        memcmp(login->session, entry->session_id, sizeof(current)) == 0;
    bool over = entry->sessions[index].ended && !entry->sessions[index].bound; // UFO section 4.9
    return session_fits && !over ? 0 : UFO_REJECT_INVALID_SESSION;
}

// Remembers how long the book wants to be told the time for the sake of this command. What is
// refused elsewhere, or dropped with its datagram, costs some clock commands and nothing else.
static void mind_expiry(struct entry *entry, const struct command *command)
{
    bool enters = command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE;
    if (!enters || command->order.attributes.time_in_force != TIF_GTT ||
        command->order.expire_seconds > EXPIRE_SECONDS_MAX)
        return;
    uint64_t from_ns =
        command->time_ns > entry->commanded_ns ? command->time_ns : entry->commanded_ns;
    uint64_t until_ns = (from_ns / SECOND_NS + command->order.expire_seconds + 1) * SECOND_NS;
    if (until_ns > entry->timed_until_ns)
        entry->timed_until_ns = until_ns;
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
        count++;
    }
    *verdict = ENTRY_TAKEN;
    return (int)count;
}

// What is not an order, block by block. The session is bound when this begins.
static void serve_blocks(struct entry *entry, uint32_t index, const struct packet *packet,
                         uint32_t block_count)
{
    const uint8_t *cursor = packet->payload;
    for (uint32_t i = 0; i < block_count; i++) {
        struct ufo_block block = ufo_next(&cursor);
        switch (block.message[0]) {
        case UFO_LOGIN:
            if (find_user(entry, (const struct ufo_login *)block.message) != index)
                send_reject(entry, &packet->source, UFO_REJECT_NOT_AUTHORISED);
            else
                send_accept(entry, index);
            break;
        case UFO_RETRANSMIT:
            retransmit(entry, &entry->sessions[index],
                       (const struct ufo_retransmit *)block.message);
            break;
        case UFO_LOGOFF:
            entry->counters.logoffs++;
            unbind_session(entry, index);
            return;
        }
    }
}

// Whose datagram this is: the session bound to its source, or the one that its first block logs in.
static uint32_t find_session(struct entry *entry, const struct packet *packet,
                             enum entry_verdict *verdict)
{
    uint16_t bound = entry->bound[bound_slot(entry, &packet->source)];
    if (bound)
        return bound - 1u;
    const uint8_t *cursor = packet->payload;
    struct ufo_block block = ufo_next(&cursor);
    *verdict = ENTRY_NOT_BOUND;
    if (block.message[0] != UFO_LOGIN)
        return NOBODY;
    const struct ufo_login *login = (const struct ufo_login *)block.message;
    uint32_t index = find_user(entry, login);
    *verdict = ENTRY_BOUND_ELSEWHERE; // UFO section 4.2: no answer
    if (index != NOBODY && entry->sessions[index].bound)
        return NOBODY;
    *verdict = ENTRY_LOGIN_REFUSED;
    uint8_t refusal = login_refusal(entry, index, login);
    if (!refusal)
        return index;
    send_reject(entry, &packet->source, refusal);
    return NOBODY;
}

static enum entry_verdict receive(struct entry *entry, const struct packet *packet, uint64_t now_ns,
                                  uint64_t time_ns, uint32_t *count)
{
    uint32_t block_count = 0;
    if (!packet_checksum_valid(packet))
        return ENTRY_BAD_CHECKSUM;
    enum ufo_fault fault = ufo_check(packet->payload, packet->payload_size, &block_count);
    if (fault) {
        entry->counters.ufo_faults[fault]++;
        return ENTRY_BAD_UFO;
    }
    enum entry_verdict verdict;
    uint32_t index = find_session(entry, packet, &verdict);
    if (index == NOBODY)
        return verdict;
    int decoded = decode_orders(entry, index, packet, block_count, time_ns, &verdict);
    if (decoded < 0)
        return verdict;
    if (!entry->sessions[index].bound)
        bind_session(entry, index, &packet->source);
    entry->sessions[index].heard_ns = now_ns;
    if (decoded != (int)block_count)
        serve_blocks(entry, index, packet, block_count);
    ring_commit(entry->commands, (uint32_t)decoded);
    if (decoded > 0 && time_ns > entry->commanded_ns)
        entry->commanded_ns = time_ns;
    *count = (uint32_t)decoded;
    return ENTRY_TAKEN;
}

uint32_t entry_receive(struct entry *entry, const struct packet *packet, uint64_t now_ns,
                       uint64_t time_ns)
{
    uint32_t count = 0;
    entry->counters.datagrams[receive(entry, packet, now_ns, time_ns, &count)]++;
    entry->counters.commands += count;
    return count;
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

bool entry_release(struct entry *entry, const struct event *event)
{
    INVARIANT(event->session < entry->session_count);
    struct entry_session *session = &entry->sessions[event->session];
    if (!session->bound)
        stream_skip(&session->stream);
    if (stream_full(&session->stream))
        return false;
    stream_append(&session->stream, event);
    if (event->type == EVENT_SYSTEM && event->code == 'E')
        session->ended = true;
    return true;
}

void entry_flush(struct entry *entry, uint64_t now_ns)
{
    for (uint32_t i = 0; i < entry->session_count; i++) {
        struct entry_session *session = &entry->sessions[i];
        while (session->bound && session->stream.sent < session->stream.next) {
            uint16_t count = send_messages(entry, session, session->stream.sent, UINT16_MAX);
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
        send_to(entry, &session->client, &end, sizeof(end));
    else
        send_to(entry, &session->client, &beat, sizeof(beat));
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
