// SPDX-License-Identifier: MIT
#include "dataplane/load_client.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "book/book.h"
#include "dataplane/ouch.h"
#include "numa/invariant.h"

// Messages in one answer to a retransmission request: at most 1463 / (2 + 10), so asking for more
// at a time is useless.
#define REQUEST_MAX 122u

// Memory that is touched now, so that no page fault delays an order.
static void *populate(size_t count, size_t size)
{
    void *memory = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void depopulate(void *memory, size_t size)
{
    if (memory != NULL)
        munmap(memory, size);
}

static void copy_padded(char *field, size_t size, const char *text)
{
    memset(field, ' ', size);
    memcpy(field, text, strnlen(text, size));
}

int load_client_open(struct load_client *client, const struct load_client_options *options,
                     struct error *error)
{
    *client = (struct load_client){
        .state = LOAD_LOGGING_IN,
        .ref_count = options->ref_count,
        .cancel_count_max = options->cancel_count,
        .latency = options->latency,
        .intervals = options->intervals,
        .orders = populate((size_t)options->ref_count + 1, sizeof(*client->orders)),
        .cancels = populate((size_t)options->cancel_count + 1, sizeof(*client->cancels)),
        .window = populate(LOAD_WINDOW / 64, sizeof(*client->window)),
    };
    copy_padded(client->user_name, sizeof(client->user_name), options->user_name);
    copy_padded(client->password, sizeof(client->password), options->password);
    if (client->orders == NULL || client->cancels == NULL || client->window == NULL)
        return error_set(error,
                         "load: no memory for the %u orders of session %s: %s; ask for a smaller "
                         "--count",
                         options->ref_count, options->user_name, strerror(errno));
    return 0;
}

void load_client_close(struct load_client *client)
{
    depopulate(client->orders, ((size_t)client->ref_count + 1) * sizeof(*client->orders));
    depopulate(client->cancels, ((size_t)client->cancel_count_max + 1) * sizeof(*client->cancels));
    depopulate(client->window, LOAD_WINDOW / 64 * sizeof(*client->window));
    *client = (struct load_client){.state = LOAD_FAILED};
}

static void fail(struct load_client *client, enum load_client_state state, const char *failure)
{
    client->state = state;
    client->failure = failure;
}

// What is sent.

// A block with `size` bytes of `message` at out; returns the size with the length in front.
static size_t write_block(uint8_t *out, const void *message, size_t size)
{
    be16 length = be16_of((uint16_t)size);
    memcpy(out, &length, sizeof(length));
    memcpy(out + sizeof(length), message, size);
    return sizeof(length) + size;
}

static size_t write_login(const struct load_client *client, uint8_t *out)
{
    struct ufo_login login = {.type = UFO_LOGIN};
    memcpy(login.user_name, client->user_name, sizeof(login.user_name));
    memcpy(login.password, client->password, sizeof(login.password));
    memset(login.session, ' ', sizeof(login.session));
    return write_block(out, &login, sizeof(login));
}

size_t load_client_logoff(uint8_t out[UFO_PAYLOAD_MAX])
{
    struct ufo_logoff logoff = {.type = UFO_LOGOFF};
    return write_block(out, &logoff, sizeof(logoff));
}

static bool arrived(const struct load_client *client, uint32_t number)
{
    uint32_t bit = number % LOAD_WINDOW;
    return client->window[bit / 64] >> (bit % 64) & 1;
}

static size_t write_request(struct load_client *client, uint8_t *out)
{
    uint32_t count = 1; // expected itself is missing
    while (count < REQUEST_MAX && client->expected + count < client->end &&
           !arrived(client, client->expected + count))
        count++;
    struct ufo_retransmit request = {
        .type = UFO_RETRANSMIT,
        .sequence = be32_of(client->expected),
        .count = be16_of((uint16_t)count),
    };
    client->request_from = client->expected;
    client->retransmit_requests++;
    return write_block(out, &request, sizeof(request));
}

// `last_ns` is 0 for never.
static bool due(uint64_t last_ns, uint64_t interval_ns, uint64_t now_ns)
{
    return last_ns == 0 || now_ns - last_ns >= interval_ns;
}

static size_t write_due(struct load_client *client, uint64_t now_ns, uint8_t *out)
{
    if (client->state == LOAD_LOGGING_IN) {
        if (!due(client->last_login_ns, LOAD_LOGIN_INTERVAL_NS, now_ns))
            return 0;
        client->last_login_ns = now_ns;
        return write_login(client, out);
    }
    // What did not fit into the last answer is asked for as soon as that one is here.
    if (!load_client_complete(client) &&
        (client->request_from != client->expected ||
         due(client->last_request_ns, LOAD_RETRANSMIT_INTERVAL_NS, now_ns))) {
        client->last_request_ns = now_ns;
        return write_request(client, out);
    }
    if (client->query_wanted && client->state != LOAD_ENDED &&
        due(client->last_query_ns, LOAD_QUERY_INTERVAL_NS, now_ns)) {
        static const uint8_t query[] = {UFO_UNSEQUENCED, OUCH_QUERY};
        client->last_query_ns = now_ns;
        client->queries_sent++;
        return write_block(out, query, sizeof(query));
    }
    if (due(client->last_sent_ns, LOAD_HEARTBEAT_NS, now_ns)) {
        static const uint8_t heartbeat[] = {UFO_HEARTBEAT};
        return write_block(out, heartbeat, sizeof(heartbeat));
    }
    return 0;
}

size_t load_client_poll(struct load_client *client, uint64_t now_ns, uint8_t out[UFO_PAYLOAD_MAX])
{
    if (client->state == LOAD_REFUSED || client->state == LOAD_FAILED)
        return 0;
    if (client->state != LOAD_LOGGING_IN && now_ns > client->last_heard_ns &&
        now_ns - client->last_heard_ns > LOAD_SILENCE_MAX_NS) {
        fail(client, LOAD_FAILED,
             "nothing was heard of the venue for 10 s; see whether it still runs");
        return 0;
    }
    size_t size = write_due(client, now_ns, out);
    if (size > 0)
        client->last_sent_ns = now_ns;
    return size;
}

// The longest message of an order, in its block.
#define ORDER_BLOCK_MAX (sizeof(be16) + 1 + sizeof(struct ouch_enter))

static bool datagram_room(const struct load_datagram *datagram)
{
    return datagram->count < LOAD_DATAGRAM_MESSAGES_MAX &&
           datagram->size + ORDER_BLOCK_MAX <= UFO_PAYLOAD_MAX;
}

static struct load_datagram *last_datagram(const struct load_client *client)
{
    uint32_t last = client->datagram_first + client->datagram_count - 1;
    return (struct load_datagram *)&client->datagrams[last % LOAD_DATAGRAMS_MAX];
}

bool load_client_room(const struct load_client *client)
{
    return client->datagram_count < LOAD_DATAGRAMS_MAX || datagram_room(last_datagram(client));
}

// Where the next message goes, with its UFO type in front.
static void append(struct load_client *client, const void *message, size_t size,
                   uint64_t intended_ns)
{
    INVARIANT(load_client_room(client));
    if (client->datagram_count == 0 || !datagram_room(last_datagram(client))) {
        client->datagram_count++;
        struct load_datagram *fresh = last_datagram(client);
        fresh->first_ns = intended_ns;
        fresh->first_ref = 0;
        fresh->size = fresh->count = 0;
    }
    struct load_datagram *datagram = last_datagram(client);
    be16 length = be16_of((uint16_t)(size + 1));
    memcpy(datagram->bytes + datagram->size, &length, sizeof(length));
    datagram->bytes[datagram->size + sizeof(length)] = UFO_UNSEQUENCED;
    memcpy(datagram->bytes + datagram->size + sizeof(length) + 1, message, size);
    datagram->size += (uint16_t)(sizeof(length) + 1 + size);
    datagram->count++;
}

static void send_enter(struct load_client *client, const struct load_step *step, const char *symbol,
                       uint64_t intended_ns)
{
    struct ouch_enter enter = {
        .type = OUCH_ENTER,
        .user_ref_num = be32_of(client->base + step->ref),
        .side = step->side == SIDE_BUY ? 'B' : 'S',
        .quantity = be32_of(step->quantity),
        .price = be64_of(step->price),
        .time_in_force = step->time_in_force,
        .display = 'Y',
        .capacity = 'P',
        .sweep = 'N',
        .cross_type = 'N',
        .client_order_id = "              ",
    };
    memcpy(enter.symbol, symbol, sizeof(enter.symbol));
    client->orders[step->ref].sent_ns = intended_ns;
    client->sent_enters++;
    append(client, &enter, sizeof(enter), intended_ns);
    if (last_datagram(client)->count == 1)
        last_datagram(client)->first_ref = step->ref;
}

static void send_replace(struct load_client *client, const struct load_step *step,
                         uint64_t intended_ns)
{
    struct ouch_replace replace = {
        .type = OUCH_REPLACE,
        .orig_user_ref_num = be32_of(client->base + step->orig_ref),
        .user_ref_num = be32_of(client->base + step->ref),
        .quantity = be32_of(step->quantity),
        .price = be64_of(step->price),
        .time_in_force = LOAD_TIF_DAY,
        .display = 'Y',
        .sweep = 'N',
        .client_order_id = "              ",
    };
    INVARIANT(step->orig_ref > 0 && step->orig_ref < step->ref);
    client->orders[step->ref].sent_ns = intended_ns;
    client->orders[step->ref].orig_ref = step->orig_ref;
    client->orders[step->orig_ref].replacement = step->ref;
    client->sent_replaces++;
    append(client, &replace, sizeof(replace), intended_ns);
}

static void send_cancel(struct load_client *client, const struct load_step *step,
                        uint64_t intended_ns)
{
    struct ouch_cancel cancel = {
        .type = OUCH_CANCEL,
        .user_ref_num = be32_of(client->base + step->ref),
        .quantity = be32_of(step->quantity),
    };
    INVARIANT(client->sent_cancels < client->cancel_count_max);
    uint32_t number = (uint32_t)++client->sent_cancels;
    client->cancels[number] =
        (struct load_cancel){.sent_ns = intended_ns, .ref = step->ref, .quantity = step->quantity};
    uint32_t *link = &client->orders[step->ref].first_cancel;
    while (*link != 0)
        link = &client->cancels[*link].next;
    *link = number;
    append(client, &cancel, sizeof(cancel), intended_ns);
}

void load_client_send(struct load_client *client, const struct load_step *step, const char *symbol,
                      uint64_t intended_ns)
{
    INVARIANT(client->state == LOAD_READY && intended_ns > 0);
    INVARIANT(step->ref > 0 && step->ref <= client->ref_count);
    if (step->kind == LOAD_ENTER)
        send_enter(client, step, symbol, intended_ns);
    else if (step->kind == LOAD_REPLACE)
        send_replace(client, step, intended_ns);
    else
        send_cancel(client, step, intended_ns);
}

const struct load_datagram *load_client_waiting(const struct load_client *client, uint32_t *count)
{
    uint32_t in_a_row = LOAD_DATAGRAMS_MAX - client->datagram_first;
    *count = client->datagram_count < in_a_row ? client->datagram_count : in_a_row;
    return &client->datagrams[client->datagram_first];
}

void load_client_sent(struct load_client *client, uint32_t count, uint64_t now_ns)
{
    INVARIANT(count <= client->datagram_count);
    client->datagram_first = (client->datagram_first + count) % LOAD_DATAGRAMS_MAX;
    client->datagram_count -= count;
    client->last_sent_ns = now_ns;
}

// What arrives.

static uint64_t elapsed(uint64_t from_ns, uint64_t now_ns)
{
    return now_ns > from_ns ? now_ns - from_ns : 0;
}

// The order that the venue's number names, or NULL when this run did not send it.
static struct load_order *find_order(struct load_client *client, be32 user_ref_num)
{
    uint32_t number = be32_load(user_ref_num);
    uint32_t ref = number - client->base;
    if (client->state == LOAD_ASKING || number <= client->base || ref > client->ref_count ||
        client->orders[ref].sent_ns == 0) {
        client->earlier_orders++;
        return NULL;
    }
    return &client->orders[ref];
}

static void record(struct load_client *client, uint64_t sent_ns, uint64_t now_ns)
{
    uint64_t latency_ns = elapsed(sent_ns, now_ns);
    histogram_record(client->latency, latency_ns);
    if (client->intervals)
        load_intervals_record(client->intervals, sent_ns - client->start_ns, latency_ns);
}

static void answer(struct load_client *client, struct load_order *order, enum load_fate fate,
                   uint64_t now_ns)
{
    if (order->fate != LOAD_UNANSWERED) {
        order->contradicted = true;
        return;
    }
    order->fate = (uint8_t)fate;
    client->answered++;
    if (order == &client->orders[client->watched])
        client->watched = 0;
    record(client, order->sent_ns, now_ns);
}

static void on_accepted(struct load_client *client, const struct ouch_accepted *accepted,
                        uint64_t now_ns)
{
    struct load_order *order = find_order(client, accepted->user_ref_num);
    if (order == NULL)
        return;
    answer(client, order, LOAD_ACCEPTED, now_ns);
    order->quantity = be32_load(accepted->quantity);
    order->dead = accepted->order_state == 'D';
}

static void on_replaced(struct load_client *client, const struct ouch_replaced *replaced,
                        uint64_t now_ns)
{
    struct load_order *order = find_order(client, replaced->user_ref_num);
    if (order == NULL)
        return;
    answer(client, order, LOAD_REPLACED, now_ns);
    order->quantity = be32_load(replaced->quantity);
    order->dead = replaced->order_state == 'D';
    struct load_order *old = find_order(client, replaced->orig_user_ref_num);
    if (old == NULL)
        return;
    old->contradicted |= old->replaced;
    old->replaced = true;
}

static void on_rejected(struct load_client *client, const struct ouch_rejected *rejected,
                        uint64_t now_ns)
{
    struct load_order *order = find_order(client, rejected->user_ref_num);
    if (order == NULL)
        return;
    uint16_t reason = be16_load(rejected->reason);
    client->rejected[reason < LOAD_REJECT_REASONS ? reason : 0]++;
    answer(client, order, LOAD_REJECTED, now_ns);
}

// A user's cancel answers the earliest open Cancel of the order; without one, the Replace that the
// venue could not grant (OUCH 5.0 section 6, outcome 2).
static void on_canceled(struct load_client *client, const struct ouch_canceled *canceled,
                        uint64_t now_ns)
{
    struct load_order *order = find_order(client, canceled->user_ref_num);
    if (order == NULL)
        return;
    order->canceled += be32_load(canceled->quantity);
    if (canceled->reason != 'U')
        return;
    if (order->first_cancel != 0) {
        struct load_cancel *cancel = &client->cancels[order->first_cancel];
        order->first_cancel = cancel->next;
        cancel->answered = true;
        client->answered++;
        record(client, cancel->sent_ns, now_ns);
    } else if (order->replacement != 0) {
        answer(client, &client->orders[order->replacement], LOAD_CANCELED_OLD, now_ns);
    }
}

// MurmurHash3's finaliser over what both sides of a trade are told alike.
static uint64_t match_hash(const struct ouch_executed *executed)
{
    uint64_t word = be64_load(executed->match_number) * 0x9E3779B97F4A7C15ull;
    word ^= (uint64_t)be32_load(executed->quantity) << 32 ^ be64_load(executed->price);
    word ^= word >> 33;
    word *= 0xFF51AFD7ED558CCDull;
    word ^= word >> 33;
    word *= 0xC4CEB9FE1A85EC53ull;
    return word ^ word >> 33;
}

// Trades of orders from before this run are told twice as well, so they count here too.
static void on_executed(struct load_client *client, const struct ouch_executed *executed)
{
    uint32_t quantity = be32_load(executed->quantity);
    bool removed = executed->liquidity_flag == 'R' || executed->liquidity_flag == 'm';
    if (removed) {
        client->removed_count++;
        client->removed_shares += quantity;
        client->match_sum -= match_hash(executed);
    } else {
        client->added_count++;
        client->added_shares += quantity;
        client->match_sum += match_hash(executed);
    }
    struct load_order *order = find_order(client, executed->user_ref_num);
    if (order != NULL)
        order->executed += quantity;
}

static void on_query_response(struct load_client *client,
                              const struct ouch_query_response *response)
{
    uint32_t next = be32_load(response->next_user_ref_num);
    client->query_responses++;
    if (client->query_responses > client->query_mark)
        client->query_wanted = false;
    if (client->state != LOAD_ASKING)
        return;
    client->base = next - 1;
    client->state = LOAD_READY;
    if (next == 0 || UINT32_MAX - client->base < client->ref_count)
        fail(
            client, LOAD_FAILED,
            "its UserRefNums are used up for today; begin a new trading day, or send fewer orders");
}

static bool is_system_event(const uint8_t *message, size_t size)
{
    return message[0] == OUCH_SYSTEM_EVENT && size == sizeof(struct ouch_system_event);
}

// An order that rests since before this run may be one of a kind that is not sent here.
static bool is_of_another_run(const uint8_t *message, size_t size)
{
    return message[0] == OUCH_RESTATED && size >= sizeof(struct ouch_restated);
}

static void take_message(struct load_client *client, const uint8_t *message, size_t size,
                         uint64_t now_ns)
{
    const void *fields = message;
    if (message[0] == OUCH_ACCEPTED && size >= sizeof(struct ouch_accepted))
        on_accepted(client, fields, now_ns);
    else if (message[0] == OUCH_REPLACED && size >= sizeof(struct ouch_replaced))
        on_replaced(client, fields, now_ns);
    else if (message[0] == OUCH_REJECTED && size >= sizeof(struct ouch_rejected))
        on_rejected(client, fields, now_ns);
    else if (message[0] == OUCH_CANCELED && size >= sizeof(struct ouch_canceled))
        on_canceled(client, fields, now_ns);
    else if (message[0] == OUCH_EXECUTED && size >= sizeof(struct ouch_executed))
        on_executed(client, fields);
    else if (message[0] == OUCH_QUERY_RESPONSE && size >= sizeof(struct ouch_query_response))
        on_query_response(client, fields);
    else if (!is_system_event(message, size) && !is_of_another_run(message, size))
        client->malformed++;
}

// Whether message `number` is new; it is not from then on.
static bool take_number(struct load_client *client, uint32_t number)
{
    if (number < client->expected) {
        client->duplicates++;
        return false;
    }
    if (number - client->expected >= LOAD_WINDOW) {
        client->beyond_window++;
        return false;
    }
    if (arrived(client, number)) {
        client->duplicates++;
        return false;
    }
    client->window[number % LOAD_WINDOW / 64] |= 1ull << number % 64;
    while (arrived(client, client->expected)) {
        client->window[client->expected % LOAD_WINDOW / 64] &= ~(1ull << client->expected % 64);
        client->expected++;
    }
    return true;
}

static void extend(struct load_client *client, uint32_t next)
{
    if (next > client->end)
        client->end = next;
}

// The blocks are `count`, none of them empty, and fill the packet exactly.
static bool blocks_valid(const uint8_t *blocks, size_t size, uint32_t count)
{
    size_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        be16 length;
        if (size - offset < sizeof(length))
            return false;
        memcpy(&length, blocks + offset, sizeof(length));
        offset += sizeof(length);
        if (be16_load(length) == 0 || size - offset < be16_load(length))
            return false;
        offset += be16_load(length);
    }
    return offset == size;
}

static void on_sequenced(struct load_client *client, const uint8_t *bytes, size_t size,
                         uint64_t now_ns)
{
    const struct ufo_sequenced *header = (const void *)bytes;
    const uint8_t *cursor = bytes + sizeof(*header);
    uint32_t sequence = be32_load(header->sequence);
    uint32_t count = be16_load(header->count);
    if (sequence == 0 || sequence > UINT32_MAX - count ||
        !blocks_valid(cursor, size - sizeof(*header), count)) {
        client->malformed++;
        return;
    }
    extend(client, sequence + count);
    for (uint32_t i = 0; i < count; i++) {
        struct ufo_block block = ufo_next(&cursor);
        if (take_number(client, sequence + i))
            take_message(client, block.message, block.size, now_ns);
    }
}

static void on_login_accept(struct load_client *client, const struct ufo_login_accept *accept)
{
    uint32_t sequence = be32_load(accept->sequence);
    if (sequence == 0) {
        client->malformed++;
    } else if (client->state == LOAD_LOGGING_IN) {
        memcpy(client->session, accept->session, sizeof(client->session));
        client->expected = client->end = sequence;
        client->state = LOAD_ASKING;
        load_client_query(client);
    } else if (memcmp(client->session, accept->session, sizeof(client->session)) != 0) {
        fail(client, LOAD_FAILED, "the venue began another session; start again");
    } else {
        extend(client, sequence);
    }
}

static void on_login_reject(struct load_client *client)
{
    if (client->state == LOAD_LOGGING_IN)
        fail(client, LOAD_REFUSED,
             "the venue refused the login: unknown name or wrong password; compare --user with the "
             "sessions in the venue's configuration");
}

static void on_end(struct load_client *client, const struct ufo_end *end)
{
    uint32_t message_count = be32_load(end->message_count);
    if (message_count != UINT32_MAX)
        extend(client, message_count + 1);
    if (client->state == LOAD_ASKING || client->state == LOAD_READY)
        client->state = LOAD_ENDED;
}

void load_client_receive(struct load_client *client, const uint8_t *bytes, size_t size,
                         uint64_t now_ns)
{
    if (client->state == LOAD_REFUSED || client->state == LOAD_FAILED)
        return;
    client->last_heard_ns = now_ns;
    uint8_t type = size == 0 ? 0 : bytes[0];
    bool logged_in = client->state != LOAD_LOGGING_IN;
    if (type == UFO_SEQUENCED && size >= sizeof(struct ufo_sequenced)) {
        if (logged_in)
            on_sequenced(client, bytes, size, now_ns);
    } else if (type == UFO_LOGIN_ACCEPT && size == sizeof(struct ufo_login_accept)) {
        on_login_accept(client, (const void *)bytes);
    } else if (type == UFO_LOGIN_REJECT && size == sizeof(struct ufo_login_reject)) {
        on_login_reject(client);
    } else if (type == UFO_END && size == sizeof(struct ufo_end)) {
        if (logged_in)
            on_end(client, (const void *)bytes);
    } else {
        client->malformed++;
    }
}

// Questions.

bool load_client_complete(const struct load_client *client)
{
    return client->expected == client->end;
}

void load_client_query(struct load_client *client)
{
    INVARIANT(client->datagram_count == 0);
    client->query_mark = client->queries_sent;
    client->query_wanted = true;
    client->last_query_ns = 0;
}

bool load_client_settled(const struct load_client *client)
{
    return load_client_complete(client) &&
           (client->state == LOAD_ENDED || (client->state == LOAD_READY && !client->query_wanted));
}

static bool order_lived(const struct load_order *order)
{
    return order->fate == LOAD_ACCEPTED || order->fate == LOAD_REPLACED;
}

static uint32_t order_open(const struct load_order *order)
{
    uint64_t gone = (uint64_t)order->executed + order->canceled;
    if (!order_lived(order) || order->replaced || order->dead || gone >= order->quantity)
        return 0;
    return order->quantity - (uint32_t)gone;
}

bool load_client_order_gone(const struct load_client *client, uint32_t ref)
{
    const struct load_order *order = &client->orders[ref];
    return order->fate != LOAD_UNANSWERED && order_open(order) == 0;
}

static bool order_impossible(const struct load_order *order)
{
    uint64_t gone = (uint64_t)order->executed + order->canceled;
    return order->contradicted || gone > (order_lived(order) ? order->quantity : 0) ||
           (order->replaced && !order_lived(order)) ||
           (order->fate == LOAD_ACCEPTED && order->orig_ref != 0) ||
           (order->fate == LOAD_REPLACED && order->orig_ref == 0);
}

static void account_life(const struct load_order *order, struct load_fates *fates)
{
    uint32_t open = order_open(order);
    bool executed = order->executed > 0;
    uint64_t *fate;
    if (order->replaced)
        fate = &fates->replaced;
    else if (open > 0)
        fate = executed ? &fates->open_partly_executed : &fates->resting;
    else if (order->canceled > 0 || order->dead)
        fate = executed ? &fates->canceled_partly_executed : &fates->canceled;
    else
        fate = &fates->executed_fully;
    (*fate)++;
    fates->executed_orders += executed;
    fates->executed_shares += order->executed;
    fates->resting_shares += open;
}

static void account_enter(const struct load_order *order, bool settled, struct load_fates *fates)
{
    if (order->fate == LOAD_ACCEPTED)
        fates->enters_accepted++;
    else if (order->fate == LOAD_REJECTED)
        fates->enters_rejected++;
    else if (settled)
        fates->enters_lost++;
    else
        fates->enters_unanswered++;
}

// Silence to a Replace means that the old order was gone by then. As it is still there, the Replace
// never came to the venue.
static void account_replace(const struct load_client *client, const struct load_order *order,
                            bool settled, struct load_fates *fates)
{
    if (order->fate == LOAD_REPLACED)
        fates->replaces_replaced++;
    else if (order->fate == LOAD_REJECTED)
        fates->replaces_rejected++;
    else if (order->fate == LOAD_CANCELED_OLD)
        fates->replaces_refused++;
    else if (!settled)
        fates->replaces_unanswered++;
    else if (order_open(&client->orders[order->orig_ref]) > 0)
        fates->replaces_lost++;
    else
        fates->replaces_no_effect++;
}

// What the order and those that it replaced executed, as the intended total of a Cancel counts it.
static uint64_t executed_in_all(const struct load_client *client, uint32_t ref)
{
    uint64_t executed = 0;
    for (; ref != 0; ref = client->orders[ref].orig_ref)
        executed += client->orders[ref].executed;
    return executed;
}

static void account_cancel(const struct load_client *client, const struct load_cancel *cancel,
                           bool settled, struct load_fates *fates)
{
    uint32_t open = order_open(&client->orders[cancel->ref]);
    if (cancel->answered)
        fates->cancels_answered++;
    else if (!settled)
        fates->cancels_unanswered++;
    else if (open > 0 && executed_in_all(client, cancel->ref) + open > cancel->quantity)
        fates->cancels_lost++;
    else
        fates->cancels_no_effect++;
}

void load_client_account(const struct load_client *client, bool settled, struct load_fates *fates)
{
    fates->enters += client->sent_enters;
    fates->replaces += client->sent_replaces;
    fates->cancels += client->sent_cancels;
    for (uint32_t ref = 1; ref <= client->ref_count; ref++) {
        const struct load_order *order = &client->orders[ref];
        if (order->sent_ns == 0)
            continue;
        if (order->orig_ref == 0)
            account_enter(order, settled, fates);
        else
            account_replace(client, order, settled, fates);
        if (order_lived(order))
            account_life(order, fates);
        fates->impossible += order_impossible(order) && (settled || order_lived(order));
    }
    for (uint64_t i = 1; i <= client->sent_cancels; i++)
        account_cancel(client, &client->cancels[i], settled, fates);
}

bool load_fates_hold(const struct load_fates *f)
{
    uint64_t orders = f->enters_accepted + f->replaces_replaced;
    return f->impossible == 0 &&
           f->enters ==
               f->enters_accepted + f->enters_rejected + f->enters_lost + f->enters_unanswered &&
           f->replaces == f->replaces_replaced + f->replaces_rejected + f->replaces_refused +
                              f->replaces_no_effect + f->replaces_lost + f->replaces_unanswered &&
           f->cancels == f->cancels_answered + f->cancels_no_effect + f->cancels_lost +
                             f->cancels_unanswered &&
           orders == f->executed_fully + f->canceled + f->canceled_partly_executed + f->replaced +
                         f->open_partly_executed + f->resting &&
           f->replaced == f->replaces_replaced;
}
