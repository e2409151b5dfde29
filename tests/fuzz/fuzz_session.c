// SPDX-License-Identifier: MIT
//
// The sessions of a lane under a clock of the fuzzer's own: an input is a list of steps (a datagram
// from one of several clients, in clear or signed, time that passes, a round of the shard, the disk
// or the port, frames that run out, a disk that is full, the end of the day), which go through
// entry, shard, book, gate and feed as the gateway wires them. A second, plain telling of UFO
// (ufo_story.h) and of signed sessions (signed_story.h) says what each datagram is counted as and
// which packets leave for whom; every packet that leaves is held against it.
#include <stdlib.h>

#include "dataplane/feed.h"
#include "dataplane/gate.h"
#include "dataplane/shard.h"
#include "tests/fuzz/ufo_story.h"

#define EVENTS      64u // slots of the ring
#define TIMEOUT_NS  (10 * SECOND_NS)
#define MIDNIGHT_NS 1700006400000000000ull
#define PLENTY      1000000u // frames

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// --- The house

static struct entry entry;
static struct logins door;
static struct feed feed;
static _Atomic uint64_t paused_ns[2];
static struct shard shard;
static struct gate gate;
static struct bell bell;
static _Atomic bool cancel_only;
static struct ring *commands, *to_journal, *events;
static struct event *streams[STREAMS];
static void *sessions_memory, *book_memory, *symbols_memory;
static const struct book_limits limits = {
    .orders_max = 16, .instruments_max = 2, .sessions_max = SESSIONS};

static uint64_t written_seq, journal_time_ns;

// The signed clients' own: how many datagrams each has sealed, and the last that any has sent.
static uint64_t sealed[SESSIONS - PLAIN];
static uint32_t login_count;
static uint8_t last_datagram[STEER_PAYLOAD_MAX];
static size_t last_size;

// --- The port

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

// --- Datagrams

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
    for (size_t i = 0; verdict != ENTRY_TAKEN && i < size; i++)
        INVARIANT(frame[offset + i] == 0); // there may have been a password
    check_taken(from, taken);
    waiting += taken;
    if (off != NOBODY) {
        logoffs++;
        leave(off);
    }
    free(frame);
}

// --- Rounds of the house

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
            leave(s);
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
    logins_init(&door);
    make_client_keys();
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
    memset(signed_stories, 0, sizeof(signed_stories));
    memset(sealed, 0, sizeof(sealed));
    cookie_count = login_count = 0;
    last_size = 0;
    memset(verdicts, 0, sizeof(verdicts));
    memset(strangers_sent, 0, sizeof(strangers_sent));
    memset(strangers_got, 0, sizeof(strangers_got));
    for (uint32_t i = 0; i < STREAMS; i++)
        stories[i].next = stories[i].heard = 1, stories[i].client = NOBODY;
    given = sent_packets = sent_messages = requests = retransmitted = unserved = waiting = 0;
    logins = logoffs = timeouts = displaced = written_seq = journal_time_ns = 0;
    now_ns = 9 * 3600 * SECOND_NS;
    stories[SESSIONS].spoke_ns = 0;
    frames_free = PLENTY;
    atomic_store(&cancel_only, false);
}

// As if it had been verified before, which would take longer than everything else here.
static void prove_password(struct entry_session *session)
{
    static const struct ufo_login login = {.password = "SECRET    "};
    logins_proof(&door, &login, session->proof);
    session->proven = true;
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
                           .logins = &door,
                           .commands = ring_init(commands, COMMANDS),
                           .cancel_only = &cancel_only};
    door.house = (struct signed_house){.address = house.address, .port = house.port};
    memcpy(entry.session_id, session_id, sizeof(session_id));
    entry_init(&entry, sessions_memory, SESSIONS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct config_session who = {.user = "USER0 "};
        who.user[4] = (char)('0' + i);
        memcpy(who.firm, firms[i], 4);
        memcpy(who.public_key, client_public, sizeof(who.public_key));
        who.is_signed = i >= PLAIN;
        entry_add_session(&entry, &who, streams[i], HISTORY);
        if (i < PLAIN)
            prove_password(&entry.sessions[i]);
    }
    feed = (struct feed){.port = &port,
                         .symbols = &symbols,
                         .paused_ns = paused_ns,
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
    login.user_name[4] = (char)('0' + (how & 3)); // the last has no password
    if ((how & 0xF0) == 0xB0)
        login.user_name[0] = 'N'; // nobody
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

// --- Signed clients

static void give_signed(uint32_t client, const void *bytes, size_t size)
{
    last_size = size;
    memcpy(last_datagram, bytes, size);
    deliver(client, last_datagram, size, false);
}

static void name_user(char user_name[6], uint32_t session, uint8_t twist)
{
    memcpy(user_name, twist & 64 ? "user0 " : "USER0 ", 6);
    user_name[4] = (char)('0' + session); // 5 and 6 are nobody
}

static void step_hello(uint32_t client, uint32_t session, uint8_t twist)
{
    struct signed_hello hello = {.head = {.version = SIGNED_VERSION, .type = SIGNED_HELLO}};
    name_user(hello.user_name, session, twist);
    memset(hello.random, twist, sizeof(hello.random));
    if (twist == 255)
        hello.zeros[5] = 1;
    give_signed(client, &hello, sizeof(hello) - (twist == 254));
}

// The last one that the client was given for that user, or anybody.
static const struct story_cookie *find_cookie(uint32_t client, const char user_name[6], bool any)
{
    struct endpoint source = client_endpoint(client);
    for (uint32_t i = cookie_count; i > 0; i--)
        if (any || (same_end(&cookies[i - 1].source, &source) &&
                    strncasecmp(cookies[i - 1].user_name, user_name, 6) == 0))
            return &cookies[i - 1];
    return NULL;
}

// Beside what is right: old bytes again, somebody else's cookie, a key that proves nothing, another
// session of the day, a signature over something else, zeros that are none, less than all of it.
static void step_signed_login(uint32_t client, uint32_t session, uint8_t twist)
{
    struct signed_login login = {.head = {.version = SIGNED_VERSION, .type = SIGNED_LOGIN}};
    uint8_t wrong = twist >= 128 ? twist & 7 : 0;
    const struct signed_story *own = signed_story_of(session);
    name_user(login.user_name, session, twist);
    const struct story_cookie *cookie = find_cookie(client, login.user_name, wrong == 1);
    if (cookie)
        memcpy(login.cookie, cookie->bytes, sizeof(login.cookie));
    memcpy(login.session, wrong == 2 || twist & 32 ? session_id : "          ", 10);
    login.session[9] ^= wrong == 2;
    memset(login.random, (int)++login_count, sizeof(login.random));
    if (wrong != 3)
        memcpy(login.key, client_key, sizeof(login.key));
    struct signed_text text = login_text(&login, wrong == 4 ? &request_house : &house);
    crypto_sign_detached(login.signature, NULL, (const uint8_t *)&text, sizeof(text),
                         client_signing);
    login.zeros[3] = wrong == 5;
    if (wrong == 6 && own && own->logged_in)
        login = own->login;
    give_signed(client, &login, sizeof(login) - (wrong == 7));
}

// The UFO datagram made last, sealed by the client's newest keys, and what may be wrong about that.
static void seal(uint32_t client, uint32_t session, uint8_t twist)
{
    static uint8_t bytes[STEER_PAYLOAD_MAX];
    const struct signed_story *own = &signed_stories[session - PLAIN];
    const struct story_keys *keys = own->next.known ? &own->next : &own->now;
    uint64_t *sent = &sealed[session - PLAIN], sequence = ++*sent;
    uint8_t wrong = twist >= 128 ? twist & 7 : 0;
    struct signed_data data = {.head = {.version = SIGNED_VERSION, .type = SIGNED_DATA}};
    if (wrong == 1)
        sequence -= 1 + (twist >> 3 & 15) * 8;
    if (wrong == 2)
        sequence = *sent += (uint64_t)(twist >> 3 & 15) * 16;
    if (wrong == 3)
        keys = &own->before;
    if (wrong == 4)
        keys = &own->now;
    data.number = be16_of((uint16_t)(wrong == 5 ? session + 1 : session));
    data.zeros[1] = twist == 254;
    data.sequence = be64_of(sequence);
    size_t size = sizeof(data) + datagram_size;
    if (size + SIGNED_TAG_SIZE > sizeof(bytes))
        return;
    memcpy(bytes, &data, sizeof(data));
    memcpy(bytes + sizeof(data), datagram, datagram_size);
    crypto_shorthash_siphashx24(bytes + size, bytes, size, keys->up);
    size += SIGNED_TAG_SIZE;
    bytes[size - 1] ^= wrong == 6;
    give_signed(client, bytes, size - (wrong == 7));
}

static void step_signed(struct input *input, uint8_t how)
{
    uint32_t client = how % CLIENTS, session = PLAIN + how / CLIENTS % 2;
    uint8_t kind = next_byte(input), twist = next_byte(input);
    switch (kind % 8) {
    case 0:
        step_hello(client, kind >= 224 ? kind % 7u : session, twist);
        break;
    case 1:
        step_signed_login(client, kind >= 224 ? kind % 7u : session, twist);
        break;
    case 2: // the last one again, as it was, perhaps from elsewhere
        deliver(client, last_datagram, last_size, twist >= 224);
        break;
    default:
        datagram_size = 0;
        for (uint32_t i = 0; i <= (kind >> 3 & 3u); i++)
            add_any_block(input, client);
        seal(client, session, twist);
    }
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
    feed_request(&feed, &packet, now_ns);
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
    if (what >= 192) {
        step_signed(input, how);
        return;
    }
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
    INVARIANT(bound == logins - logoffs - timeouts - displaced);
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
