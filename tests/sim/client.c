// SPDX-License-Identifier: MIT
#include "tests/sim/client.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ouch.h"
#include "dataplane/ufo.h"
#include "numa/array.h"
#include "numa/invariant.h"

#define RESEND_NS    20000000u // at most
#define HEARTBEAT_NS 1000000000ull
#define SILENCE_NS   3000000000ull // of the house: log in again
#define ASK_NS       10000000ull
#define ORDERS_MAX   200000u

void client_init(struct client *client, uint32_t index, uint64_t seed, struct network *network,
                 const struct endpoint *house)
{
    *client = (struct client){.index = index, .random = {seed}, .network = network};
    client->house = *house;
    client->first_port = (uint16_t)(40000 + index * 1000);
    client->local = (struct endpoint){.mac = {2, 0, 0, 0, 1, (uint8_t)index},
                                      .address = htonl(0x0A4D0002 + index),
                                      .port = htons(client->first_port),
                                      .vlan = PACKET_NO_VLAN};
    memcpy(client->user, "USER0 ", 6);
    client->user[4] = (char)('0' + index);
    memcpy(client->password, "SECRET    ", 10);
    client->heard.next = 1;
    client->patience_ns = random_percent(&client->random, 50)
                              ? RESEND_NS
                              : 30000 + random_below(&client->random, RESEND_NS / 20);
}

void client_free(struct client *client)
{
    free(client->orders);
    free(client->sent);
    free(client->heard.hashes);
}

// --- Sending

static void send_datagram(struct client *client, const uint8_t *payload, size_t size)
{
    uint8_t frame[PACKET_SIZE_MAX];
    memcpy(frame + packet_payload_offset(&client->house), payload, size);
    size_t frame_size = packet_write_headers(frame, &client->local, &client->house, size);
    network_send(client->network, frame, frame_size, sim_now_ns);
    client->sent_ns = sim_now_ns;
}

static size_t put_block(uint8_t *payload, size_t size, const void *message, size_t message_size)
{
    payload[size] = (uint8_t)(message_size >> 8);
    payload[size + 1] = (uint8_t)message_size;
    memcpy(payload + size + 2, message, message_size);
    return size + 2 + message_size;
}

static void send_block(struct client *client, const void *message, size_t size)
{
    uint8_t payload[64];
    send_datagram(client, payload, put_block(payload, 0, message, size));
}

static void log_in(struct client *client)
{
    struct ufo_login login = {.type = UFO_LOGIN};
    memcpy(login.user_name, client->user, 6);
    memcpy(login.password, client->password, 10);
    memset(login.session, ' ', sizeof(login.session));
    send_block(client, &login, sizeof(login));
    client->asked_ns = sim_now_ns;
}

static void ask_again(struct client *client)
{
    if (sim_now_ns - client->asked_ns < ASK_NS)
        return;
    struct ufo_retransmit request = {.type = UFO_RETRANSMIT,
                                     .sequence = be32_of((uint32_t)client->heard.next),
                                     .count = be16_of(UINT16_MAX)};
    send_block(client, &request, sizeof(request));
    client->asked_ns = sim_now_ns;
}

void client_vanish(struct client *client, uint64_t duration_ns)
{
    client->away_until_ns = sim_now_ns + duration_ns;
    client->logged_in = false;
    uint16_t port = ntohs(client->local.port);
    client->local.port =
        htons(port == client->first_port + 900 ? client->first_port : (uint16_t)(port + 1));
    sim_trace("client %u vanishes", client->index);
}

// --- Orders

static struct client_order *order_of(struct client *client, uint32_t user_ref_num)
{
    if (user_ref_num == 0 || user_ref_num > client->user_ref_num)
        sim_fail("client %u is told of its order %u, and has entered only %u", client->index,
                 user_ref_num, client->user_ref_num);
    return &client->orders[user_ref_num];
}

static uint32_t next_number(struct client *client)
{
    uint32_t number = ++client->user_ref_num;
    INVARIANT(number < ORDERS_MAX);
    size_t before = client->orders_capacity;
    if (!array_reserve(&client->orders, &client->orders_capacity, number + 1u,
                       sizeof(*client->orders)))
        abort();
    memset(client->orders + before, 0,
           (client->orders_capacity - before) * sizeof(*client->orders));
    return number;
}

// One more block of the datagram that is made, which is kept.
static void put_message(struct client *client, const void *message, size_t size)
{
    if (!array_reserve(&client->sent, &client->sent_capacity, client->sent_count + 1,
                       sizeof(*client->sent)))
        abort();
    size_t number = client->sent_count++;
    struct client_message *sent = &client->sent[number];
    INVARIANT(size <= sizeof(sent->bytes));
    sent->size = (uint8_t)size;
    sent->first = client->pending_size == 0 ? number : sent[-1].first;
    memcpy(sent->bytes, message, size);
    client->pending_size = put_block(client->pending, client->pending_size, message, size);
}

// … one that has a number.
static void put_numbered(struct client *client, uint32_t number, const void *message, size_t size)
{
    client->orders[number].sent = client->sent_count;
    client->pending_last = number;
    put_message(client, message, size);
}

static size_t put_option(uint8_t *appendage, size_t size, enum ouch_tag tag, uint32_t value,
                         uint8_t width)
{
    appendage[size++] = (uint8_t)(1 + width);
    appendage[size++] = (uint8_t)tag;
    for (uint8_t i = width; i-- > 0;)
        appendage[size++] = (uint8_t)(value >> 8 * i);
    return size;
}

static uint32_t some_price(struct client *client)
{
    return 1000000 + 100 * (random_below(&client->random, 41) - 20u);
}

// Any order that the book knows, and some that it refuses.
static void put_enter(struct client *client)
{
    struct random *random = &client->random;
    uint8_t message[CLIENT_MESSAGE_MAX];
    struct ouch_enter enter = {
        .type = OUCH_ENTER, .capacity = 'P', .sweep = 'N', .cross_type = 'N'};
    uint32_t number = next_number(client), quantity = 1 + random_below(random, 500);
    enter.user_ref_num = be32_of(number);
    enter.side = random_percent(random, 50) ? 'B' : 'S';
    enter.quantity = be32_of(quantity);
    memcpy(enter.symbol, "SIM0    ", 8);
    enter.symbol[3] = (char)('0' + random_below(random, SIM_INSTRUMENTS));
    enter.price = be64_of(some_price(client));
    enter.time_in_force = (uint8_t) "0003"[random_below(random, 4)];
    enter.display = (uint8_t) "YYYYYANN"[random_below(random, 8)];
    memset(enter.client_order_id, ' ', sizeof(enter.client_order_id));
    uint8_t *appendage = message + 1 + sizeof(enter);
    size_t size = 0;
    if (random_percent(random, 15))
        size =
            put_option(appendage, size, OUCH_TAG_AIQ_STRATEGY, "NODB"[random_below(random, 4)], 1);
    if (random_percent(random, 10))
        size = put_option(appendage, size, OUCH_TAG_MAX_FLOOR, 1 + random_below(random, 100), 4);
    if (random_percent(random, 5))
        size = put_option(appendage, size, OUCH_TAG_POST_ONLY, 'P', 1);
    if (random_percent(random, 5))
        size = put_option(appendage, size, OUCH_TAG_MIN_QUANTITY, 1 + random_below(random, 200), 4);
    if (random_percent(random, 10)) {
        enter.time_in_force = '6';
        size = put_option(appendage, size, OUCH_TAG_EXPIRE_TIME, 1 + random_below(random, 20), 4);
    }
    if (enter.display == 'N' && random_percent(random, 50))
        size = put_option(appendage, size, OUCH_TAG_PRICE_TYPE, 'M', 1);
    enter.appendage_size = be16_of((uint16_t)size);
    message[0] = UFO_UNSEQUENCED;
    memcpy(message + 1, &enter, sizeof(enter));
    client->orders[number].entered = quantity;
    put_numbered(client, number, message, 1 + sizeof(enter) + size);
}

// An order that the client believes to be open, or 0.
static uint32_t some_order(struct client *client)
{
    for (int i = 0; i < 12 && client->user_ref_num > 0; i++) {
        uint32_t range = client->user_ref_num < 60 ? client->user_ref_num : 60;
        uint32_t number = client->user_ref_num - random_below(&client->random, range);
        if (client->orders[number].open > 0)
            return number;
    }
    return 0;
}

static void put_replace(struct client *client, uint32_t original)
{
    struct random *random = &client->random;
    struct {
        uint8_t type;
        struct ouch_replace replace;
    } message = {.type = UFO_UNSEQUENCED};
    uint32_t number = next_number(client);
    uint32_t quantity = 1 + random_below(random, 600);
    message.replace = (struct ouch_replace){.type = OUCH_REPLACE,
                                            .orig_user_ref_num = be32_of(original),
                                            .user_ref_num = be32_of(number),
                                            .quantity = be32_of(quantity),
                                            .price = be64_of(some_price(client)),
                                            .time_in_force = '0',
                                            .display = 'Y',
                                            .sweep = 'N'};
    memset(message.replace.client_order_id, ' ', sizeof(message.replace.client_order_id));
    client->orders[number].entered = quantity;
    client->orders[number].replaces = original;
    put_numbered(client, number, &message, sizeof(message));
}

static void put_cancel(struct client *client, uint32_t number)
{
    struct {
        uint8_t type;
        struct ouch_cancel cancel;
    } message = {.type = UFO_UNSEQUENCED};
    uint32_t total = random_percent(&client->random, 70) ? 0 : random_below(&client->random, 300);
    message.cancel = (struct ouch_cancel){
        .type = OUCH_CANCEL, .user_ref_num = be32_of(number), .quantity = be32_of(total)};
    put_message(client, &message, sizeof(message));
}

static void put_mass_cancel(struct client *client)
{
    struct {
        uint8_t type;
        struct ouch_mass_cancel mass;
    } message = {.type = UFO_UNSEQUENCED};
    message.mass = (struct ouch_mass_cancel){.type = OUCH_MASS_CANCEL};
    uint32_t number = next_number(client);
    message.mass.user_ref_num = be32_of(number);
    memset(message.mass.firm, ' ', sizeof(message.mass.firm));
    memset(message.mass.symbol, ' ', sizeof(message.mass.symbol));
    put_numbered(client, number, &message, sizeof(message));
}

static void make_orders(struct client *client)
{
    struct random *random = &client->random;
    client->pending_size = 0;
    client->pending_last = 0;
    client->pending_is_sent = false;
    uint32_t original = random_percent(random, 15) ? some_order(client) : 0;
    if (original) {
        put_replace(client, original);
        return;
    }
    if (random_percent(random, 1)) {
        put_mass_cancel(client);
        return;
    }
    uint32_t many = random_percent(random, 10) ? 15 : 4;
    for (uint32_t count = 1 + random_below(random, many); count > 0; count--) {
        uint32_t victim = random_percent(random, 45) ? some_order(client) : 0;
        if (victim)
            put_cancel(client, victim);
        else
            put_enter(client);
    }
}

// Nothing comes of a replacement of what is gone.
static bool in_vain(const struct client *client, uint32_t number)
{
    uint32_t original = client->orders[number].replaces;
    return original != 0 && client->orders[original].open == 0;
}

static bool answered(const struct client *client)
{
    if (client->ended) // what has not been taken before is not taken any more
        return true;
    if (client->pending_last == 0) // cancels alone: nothing need come of them
        return client->pending_is_sent;
    return client->answered >= client->pending_last || in_vain(client, client->pending_last);
}

static void trade(struct client *client, bool more)
{
    if (client->pending_size > 0 && answered(client))
        client->pending_size = 0;
    if (client->pending_size == 0) {
        if (!more || client->ended)
            return;
        make_orders(client);
    } else if (sim_now_ns - client->pending_sent_ns < client->patience_ns) {
        return;
    }
    send_datagram(client, client->pending, client->pending_size);
    client->pending_sent_ns = sim_now_ns;
    client->pending_is_sent = true;
}

void client_act(struct client *client, bool more)
{
    if (sim_now_ns < client->away_until_ns)
        return;
    if (client->logged_in && sim_now_ns - client->heard_ns > SILENCE_NS) {
        client->logged_in = false;
        sim_trace("client %u hears nothing", client->index);
    }
    if (!client->logged_in) {
        if (sim_now_ns - client->asked_ns > ASK_NS)
            log_in(client);
        return;
    }
    trade(client, more);
    if (sim_now_ns - client->sent_ns > HEARTBEAT_NS) {
        struct ufo_heartbeat beat = {.type = UFO_HEARTBEAT};
        send_block(client, &beat, sizeof(beat));
    }
}

bool client_idle(const struct client *client)
{
    return client->logged_in && (client->pending_size == 0 || answered(client));
}

// --- What it is told

// What has a number is answered, in the order of the numbers: all below `number` have been.
static void check_answered(const struct client *client, uint32_t number)
{
    for (uint32_t missed = client->answered + 1; missed < number; missed++)
        if (!in_vain(client, missed))
            sim_fail("client %u: order %u is never answered", client->index, missed);
}

static void answer(struct client *client, uint32_t number)
{
    if (number <= client->answered)
        sim_fail("client %u: order %u is answered after order %u", client->index, number,
                 client->answered);
    check_answered(client, number);
    client->answered = number;
}

void client_check(const struct client *client)
{
    size_t last = client->sent_count > 0 ? client->sent[client->sent_count - 1].first : 0;
    uint32_t end = client->user_ref_num + 1;
    while (client->ended && end > 1 && client->orders[end - 1].sent >= last)
        end--;
    check_answered(client, end);
}

static void remove_shares(struct client *client, uint32_t number, uint32_t shares, const char *how)
{
    struct client_order *order = order_of(client, number);
    if (shares > order->open)
        sim_fail("client %u: %u shares of order %u are %s, and only %u were open", client->index,
                 shares, number, how, order->open);
    order->open -= shares;
}

static void take_message(struct client *client, const uint8_t *bytes)
{
    switch (bytes[0]) {
    case OUCH_ACCEPTED: {
        const struct ouch_accepted *m = (const void *)bytes;
        uint32_t number = be32_load(m->user_ref_num), quantity = be32_load(m->quantity);
        struct client_order *order = order_of(client, number);
        if (quantity != order->entered)
            sim_fail("client %u: order %u is accepted for %u shares, not %u", client->index, number,
                     quantity, order->entered);
        answer(client, number);
        order->open = m->order_state == 'D' ? 0 : quantity;
        break;
    }
    case OUCH_REPLACED: {
        const struct ouch_replaced *m = (const void *)bytes;
        uint32_t number = be32_load(m->user_ref_num);
        struct client_order *order = order_of(client, number);
        order_of(client, be32_load(m->orig_user_ref_num))->open = 0;
        answer(client, number);
        order->open = m->order_state == 'D' ? 0 : be32_load(m->quantity);
        break;
    }
    case OUCH_REJECTED: {
        uint32_t number = be32_load(((const struct ouch_rejected *)bytes)->user_ref_num);
        order_of(client, number);
        answer(client, number);
        break;
    }
    case OUCH_MASS_CANCELED: {
        uint32_t number = be32_load(((const struct ouch_mass_canceled *)bytes)->user_ref_num);
        order_of(client, number);
        answer(client, number);
        break;
    }
    case OUCH_EXECUTED: {
        const struct ouch_executed *m = (const void *)bytes;
        remove_shares(client, be32_load(m->user_ref_num), be32_load(m->quantity), "executed");
        break;
    }
    case OUCH_CANCELED: {
        const struct ouch_canceled *m = (const void *)bytes;
        remove_shares(client, be32_load(m->user_ref_num), be32_load(m->quantity), "canceled");
        break;
    }
    case OUCH_AIQ_CANCELED: {
        const struct ouch_aiq_canceled *m = (const void *)bytes;
        remove_shares(client, be32_load(m->user_ref_num), be32_load(m->decrement), "decremented");
        break;
    }
    case OUCH_SYSTEM_EVENT:
        client->ended |= ((const struct ouch_system_event *)bytes)->code == 'E';
        break;
    }
}

static void take_sequenced(struct client *client, const uint8_t *payload, size_t size)
{
    const struct ufo_sequenced *header = (const void *)payload;
    uint64_t number = be32_load(header->sequence);
    uint16_t count = be16_load(header->count);
    if (number > client->heard.next) {
        ask_again(client);
        return;
    }
    const uint8_t *cursor = payload + sizeof(*header);
    for (uint16_t i = 0; i < count; i++, number++) {
        struct ufo_block block = ufo_next(&cursor);
        bool fresh = number == client->heard.next;
        if (cursor > payload + size)
            sim_fail("client %u: a packet ends within message %llu", client->index,
                     (unsigned long long)number);
        heard_take(&client->heard, number, block.message, block.size, client->user);
        if (fresh)
            take_message(client, block.message);
    }
}

static int mine(void *context, uint32_t address, uint16_t port)
{
    const struct client *client = context;
    return address == client->local.address && port == client->local.port ? 0 : -1;
}

bool client_receive(struct client *client, const uint8_t *frame, size_t size)
{
    struct packet packet;
    uint32_t index;
    if (packet_parse(frame, size, mine, client, &packet, &index) != STEER_REDIRECT ||
        !packet_checksum_valid(&packet))
        return false;
    if (sim_now_ns < client->away_until_ns)
        return true;
    client->heard_ns = sim_now_ns;
    const uint8_t *payload = packet.payload;
    switch (payload[0]) {
    case UFO_LOGIN_ACCEPT: {
        uint64_t next = be32_load(((const struct ufo_login_accept *)payload)->sequence);
        if (!client->logged_in)
            sim_trace("client %u is logged in, next %llu", client->index, (unsigned long long)next);
        client->logged_in = true;
        if (next > client->heard.next) {
            client->asked_ns = 0;
            ask_again(client);
        }
        break;
    }
    case UFO_LOGIN_REJECT:
        if (!client->ended)
            sim_fail("client %u is refused: %c", client->index, payload[1]);
        break;
    case UFO_SEQUENCED:
        take_sequenced(client, payload, packet.payload_size);
        break;
    case UFO_END: // in place of heartbeats: what is missing now is not told of otherwise
        if (be32_load(((const struct ufo_end *)payload)->message_count) >= client->heard.next)
            ask_again(client);
        break;
    }
    return true;
}
