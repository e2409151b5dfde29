// SPDX-License-Identifier: MIT
#include "tests/sim/sim.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/itch.h"
#include "dataplane/mold.h"
#include "dataplane/ouch.h"
#include "journal/block.h"
#include "journal/snapshot.h"
#include "numa/fault.h"
#include "numa/invariant.h"
#include "tests/password.h"
#include "tests/sim/client.h"
#include "tests/sim/oracle.h"
#include "tests/sim/supervisor.h"

#define SECOND_NS     1000000000ull
#define START_NS      1767609000000000000ull // a Monday morning
#define TICK_NS       50000000ull
#define ORDERS_MAX    256u
#define HISTORY_LONG  8192u
#define HISTORY_SHORT 8u // what clients ask for comes from the journal
#define SEGMENT_BYTES (1ull << 20)
#define QUIET_ROUNDS  60000u

bool sim_tracing;
uint64_t sim_now_ns;

struct house {
    struct lane lane;
    struct port port;
    uint8_t frame[PACKET_SIZE_MAX];
    bool up, starting;
    uint64_t ticked_ns;
};

// Who hears the feed, and asks for what it missed.
struct listener {
    struct endpoint local;
    struct heard heard;
    uint64_t asked_ns;
};

struct sim {
    struct house house;
    struct sim_plan plan;
    struct random random;
    struct sim_disk disk;
    struct network network;
    struct oracle oracle;
    struct client clients[SIM_CLIENTS_MAX];
    struct listener listener;
    struct config config;
    struct config_instrument instruments[SIM_INSTRUMENTS];
    struct config_session sessions[SIM_CLIENTS_MAX];
    struct endpoint order_entry, requests;
    struct supervisor supervisor;
    struct random supervisors_random;
    bool has_supervisor;
    bool calm;              // the end: nothing goes wrong any more
    uint32_t journal_share; // of 1000 steps: the fewer, the more waits for each write
    uint32_t snapshot_share; // … and 10 times as many: the fewer, the more segments lie between two
    uint64_t wall_offset_ns; // the wall clock is so far behind
    struct sim_report report;
};

static struct sim sim;

void sim_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, SIM_BROKEN);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

void sim_trace(const char *format, ...)
{
    if (!sim_tracing)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%12.6f  ", (double)(sim_now_ns - START_NS) / 1e9);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

static bool may(enum sim_fault fault)
{
    return !sim.calm && (sim.plan.faults >> fault & 1);
}

// The worst of all, both ways.
static void raise_storm(struct network_faults *faults)
{
    faults->loss_percent = may(SIM_LOSS) ? 30 : 0;
    faults->duplication_percent = may(SIM_DUPLICATION) ? 30 : 0;
    faults->delay_max_ns = may(SIM_DELAY) ? 30000000 : 0;
}

static uint64_t wall_ns(void)
{
    return sim_now_ns - sim.wall_offset_ns;
}

// --- The port

static uint8_t *claim(struct port *port)
{
    (void)port;
    return may(SIM_FRAMES) && random_percent(&sim.random, 10) ? NULL : sim.house.frame;
}

static void send_frame(struct port *port, size_t size)
{
    (void)port;
    network_send(&sim.network, sim.house.frame, size, sim_now_ns);
}

static void flush(struct port *port)
{
    (void)port;
}

static const struct port_operations port_operations = {
    .claim = claim, .send = send_frame, .flush = flush};

static int house_lookup(void *context, uint32_t address, uint16_t port)
{
    (void)context;
    bool ours = address == sim.order_entry.address &&
                (port == sim.order_entry.port || port == sim.requests.port);
    return ours ? 0 : -1;
}

// What the gateway does with a frame from its port.
static void house_receive(const uint8_t *frame, size_t size)
{
    struct lane *lane = &sim.house.lane;
    struct packet packet;
    uint32_t shard;
    if (!sim.house.up ||
        packet_parse(frame, size, house_lookup, NULL, &packet, &shard) != STEER_REDIRECT)
        return;
    lane_receive(lane, &packet, sim_now_ns, wall_ns());
}

// --- The listener

static int listener_lookup(void *context, uint32_t address, uint16_t port)
{
    const struct listener *listener = context;
    bool group = address == htonl(0xEF000001);
    bool answer = address == listener->local.address && port == listener->local.port;
    return group || answer ? 0 : -1;
}

static void listener_ask(struct listener *listener, const struct mold_header *header)
{
    uint8_t frame[PACKET_SIZE_MAX];
    if (sim_now_ns - listener->asked_ns < 20000000)
        return;
    struct mold_request *request = (void *)(frame + packet_payload_offset(&sim.requests));
    memcpy(request->session, header->session, sizeof(request->session));
    request->sequence = be64_of(listener->heard.next);
    request->count = be16_of(UINT16_MAX);
    size_t size = packet_write_headers(frame, &listener->local, &sim.requests, sizeof(*request));
    network_send(&sim.network, frame, size, sim_now_ns);
    listener->asked_ns = sim_now_ns;
}

static bool listener_receive(struct listener *listener, const uint8_t *frame, size_t size)
{
    struct packet packet;
    uint32_t index;
    if (packet_parse(frame, size, listener_lookup, listener, &packet, &index) != STEER_REDIRECT ||
        !packet_checksum_valid(&packet))
        return false;
    const struct mold_header *header = (const void *)packet.payload;
    uint64_t number = be64_load(header->sequence);
    uint16_t count = be16_load(header->count);
    if (count == MOLD_COUNT_END_OF_SESSION)
        count = 0;
    const uint8_t *cursor = packet.payload + sizeof(*header);
    for (uint16_t i = 0; i < count; i++) {
        struct ufo_block block = ufo_next(&cursor);
        heard_take(&listener->heard, number++, block.message, block.size, "feed");
    }
    if (number > listener->heard.next)
        listener_ask(listener, header);
    return true;
}

// --- Delivery

static void deliver(void)
{
    uint8_t frame[PACKET_SIZE_MAX];
    size_t size;
    for (int i = 0; i < 16 && (size = network_receive(&sim.network, sim_now_ns, frame)) > 0; i++) {
        bool taken = listener_receive(&sim.listener, frame, size);
        for (uint32_t c = 0; c < sim.plan.clients && !taken; c++)
            taken = client_receive(&sim.clients[c], frame, size);
        if (!taken)
            house_receive(frame, size);
    }
}

// --- The house's threads, a round of each

static void tap(uint32_t count)
{
    struct ring *ring = sim.house.lane.to_journal;
    uint64_t tail = atomic_load_explicit(&ring->producer.tail, memory_order_relaxed);
    for (uint64_t at = tail - count; at < tail; at++)
        oracle_log(&sim.oracle, ring_slot(ring, at));
    sim.report.commands += count;
}

static bool events_have_room(void)
{
    struct ring *events = sim.house.lane.events;
    uint32_t wanted = (uint32_t)(events->constant.mask + 1) * 3 / 4;
    return ring_writable(events, wanted) >= wanted;
}

static void shard_round(void)
{
    if (events_have_room())
        tap(shard_poll(&sim.house.lane.shard));
}

static void release_round(void)
{
    lane_take_orders(&sim.house.lane, wall_ns());
    lane_release(&sim.house.lane, sim_now_ns);
}

static void tick_round(void)
{
    if (sim_now_ns - sim.house.ticked_ns < TICK_NS)
        return;
    sim.house.ticked_ns = sim_now_ns;
    lane_tick(&sim.house.lane, sim_now_ns, wall_ns());
}

// There is always room: see events_have_room.
static void relieve(void *context)
{
    (void)context;
    sim_fail("the event ring is full");
}

// While a write is in the kernel the other threads go on.
static void meanwhile(void *context, uint64_t duration_ns)
{
    (void)context;
    uint32_t rounds = random_below(&sim.random, duration_ns > 1000000 ? 60 : 4);
    for (uint32_t i = 0; i < rounds && !sim.house.starting; i++) {
        sim_now_ns += duration_ns / rounds;
        deliver();
        for (uint32_t c = 0; c < sim.plan.clients; c++)
            client_act(&sim.clients[c], !sim.calm);
        shard_round();
        release_round();
        tick_round();
    }
}

static uint64_t time_now(void *context)
{
    (void)context;
    return wall_ns();
}

// --- Up and down

static void place_lane(void)
{
    struct lane *lane = &sim.house.lane;
    lane->entry.port = lane->feed.port = &sim.house.port;
    lane->entry.source = lane->feed.source = sim.order_entry;
    lane->feed.request_source = sim.requests;
    lane->feed.source.port = htons(26500);
    lane->feed.group = (struct endpoint){
        .address = htonl(0xEF000001), .port = htons(26500), .vlan = PACKET_NO_VLAN};
    packet_multicast_mac(lane->feed.group.address, lane->feed.group.mac);
}

static void check_heard(void)
{
    const struct symbols *symbols = &sim.house.lane.symbols;
    for (uint32_t i = 0; i < sim.plan.clients; i++)
        oracle_check_heard(&sim.oracle.sessions[i], &sim.clients[i].heard, ouch_encode, symbols,
                           sim.clients[i].user);
    oracle_check_heard(&sim.oracle.feed, &sim.listener.heard, itch_encode, symbols, "feed");
}

struct compared {
    uint64_t count;
};

static bool same_record(void *context, uint64_t seq, const void *record)
{
    struct compared *compared = context;
    if (seq != ++compared->count || seq > sim.oracle.log_count)
        sim_fail("the journal has a record %" PRIu64 ", and %" PRIu64 " were sent", seq,
                 sim.oracle.log_count);
    if (memcmp(record, &sim.oracle.log[seq - 1], JOURNAL_RECORD_SIZE) != 0)
        sim_fail("record %" PRIu64 " of the journal is not what was sent to it", seq);
    return true;
}

// The last record before the oldest segment that is still there.
static uint64_t oldest_from(struct sim_disk *disk)
{
    struct journal_stat stat;
    struct error error;
    disk->inspected = true;
    if (journal_scan(&disk->disk, JOURNAL_OLDEST, NULL, NULL, &stat, &error) != 0)
        sim_fail("the journal cannot be read: %s", error.text);
    disk->inspected = false;
    return stat.oldest_seq > 0 ? stat.oldest_seq - 1 : 0;
}

static void check_journal(struct sim_disk *disk)
{
    uint64_t from = oldest_from(disk);
    struct compared compared = {from};
    struct journal_stat stat;
    struct error error;
    if (from > sim.house.lane.snapshot_seq)
        sim_fail("records up to %" PRIu64 " are gone, and the snapshot has only %" PRIu64, from,
                 sim.house.lane.snapshot_seq);
    disk->inspected = true;
    if (journal_scan(&disk->disk, from, same_record, &compared, &stat, &error) != 0)
        sim_fail("the journal cannot be read: %s", error.text);
    disk->inspected = false;
    if (compared.count < sim.oracle.log_count)
        sim_fail("the journal has %" PRIu64 " records, and %" PRIu64 " are durable", compared.count,
                 sim.oracle.log_count);
}

// What came back is held against what went in, before anything new happens.
static void check_recovery(uint64_t durable)
{
    struct lane *lane = &sim.house.lane;
    oracle_cut(&sim.oracle, lane->recovered_count, durable);
    oracle_advance(&sim.oracle, lane->recovered_count, &lane->symbols);
    check_journal(&sim.disk);
    oracle_check_lane(&sim.oracle, lane);
    check_heard();
    sim.report.recoveries++;
}

// The disk does what it is to do wrong at one of its next operations.
static void plan_disk(void)
{
    struct sim_disk *disk = &sim.disk;
    disk->cut_at = disk->error_at = disk->stall_at = disk->read_error_at = 0;
    uint64_t next = disk->operation_count + 1;
    if (may(SIM_CUT) && random_percent(&sim.random, 70))
        disk->cut_at = next + random_below(&sim.random, 60);
    disk->cut_large_percent = may(SIM_CUT) ? 80 : 0;
    if (may(SIM_ERROR) && random_percent(&sim.random, 20))
        disk->error_at = next + random_below(&sim.random, 60);
    if (may(SIM_ERROR) && random_percent(&sim.random, 20))
        disk->read_error_at = disk->read_count + 1 + random_below(&sim.random, 40);
    if (may(SIM_STALL) && random_percent(&sim.random, 30))
        disk->stall_at = next + random_below(&sim.random, 60);
    if (may(SIM_FULL))
        disk->bytes_max = SEGMENT_BYTES * (sim.disk.files.count + random_below(&sim.random, 4));
    else
        disk->bytes_max = UINT64_MAX;
}

static bool excused(void)
{
    return sim.disk.off || sim.disk.failed || sim.disk.refused;
}

// What a start may fail for, and how.
static void check_refusal(const struct error *error)
{
    sim_trace("the house does not start: %s", error->text);
    if (!excused())
        sim_fail("the house does not start: %s", error->text);
    if (sim.disk.failed && strstr(error->text, "damaged"))
        sim_fail("what the disk did not give is called damaged: %s", error->text);
    sim.report.refusals += sim.disk.failed;
}

// False when the house did not come up, for a reason that was planned.
static bool house_start(uint64_t durable)
{
    struct house *house = &sim.house;
    struct error error;
    house->starting = true;
    if (lane_open(&house->lane, 0, &sim.config, &sim.disk.disk, &error) != 0) {
        check_refusal(&error);
        return false;
    }
    sim.disk.failed = false; // a snapshot could not be read, and another one was there
    check_recovery(durable);
    place_lane();
    house->up = true;
    uint64_t tail = atomic_load(&house->lane.to_journal->producer.tail);
    int primed = lane_prime(&house->lane, wall_ns(), &error);
    tap((uint32_t)(atomic_load(&house->lane.to_journal->producer.tail) - tail));
    if (primed != 0) {
        check_refusal(&error);
        return false;
    }
    house->lane.shard.relieve = relieve;
    house->starting = false;
    sim_trace("the house is up, %" PRIu64 " commands", house->lane.recovered_count);
    return true;
}

// Nothing more reaches the disk; what the process had in memory is gone. Returns how many commands
// it had called durable, `durable` when it did not come so far.
static uint64_t house_die(uint64_t durable)
{
    struct house *house = &sim.house;
    struct error ignored;
    if (house->lane.gate.progress)
        durable = atomic_load(&house->lane.gate.progress->durable_seq);
    sim.disk.off = true;
    lane_stop(&house->lane, &ignored);
    lane_close(&house->lane);
    memset(&house->lane, 0, sizeof(house->lane));
    house->up = false;
    return durable;
}

// --- Damage

static uint64_t block_of(const struct sim_write *write, uint64_t offset)
{
    return write->offset + offset / JOURNAL_BLOCK_SIZE * JOURNAL_BLOCK_SIZE;
}

static const char *damage(struct sim_disk *disk, const struct sim_write *write)
{
    struct random *random = &sim.random;
    unsigned char *bytes = disk->files.at[write->file].bytes;
    uint64_t at = block_of(write, random_bits(random) % write->length);
    unsigned char *block = bytes + at;
    const struct sim_write *other = &sim.disk.writes[random_below(random, sim.disk.write_count)];
    unsigned char *strange = disk->files.at[other->file].bytes + block_of(other, 0);
    uint32_t bit = random_below(random, JOURNAL_BLOCK_SIZE * 8);
    switch (random_below(random, 5)) {
    case 0:
        memset(block, 0, JOURNAL_BLOCK_SIZE);
        return "a block is what it was before it was written";
    case 1:
        if (strange == block)
            break;
        memcpy(block, strange, JOURNAL_BLOCK_SIZE);
        return "a block holds another one";
    case 2:
        memset(block + bit / 4096 * SIM_SECTOR_SIZE, 0, SIM_SECTOR_SIZE);
        if (memcmp(block, sim.disk.files.at[write->file].bytes + at, JOURNAL_BLOCK_SIZE) != 0)
            return "a sector is lost";
        break;
    }
    block[bit / 8] ^= (unsigned char)(1u << bit % 8);
    return "a bit has flipped";
}

// On a copy: whatever was durable before the last write must be missed, and nothing may be read
// that was never written.
static void rot(void)
{
    if (sim.disk.write_count < 3)
        return;
    struct sim_disk copy;
    uint64_t from = oldest_from(&sim.disk);
    sim_disk_copy(&copy, &sim.disk);
    uint32_t which = random_below(&sim.random, sim.disk.write_count);
    const struct sim_write *write = &sim.disk.writes[which];
    const char *how = damage(&copy, write);
    struct journal_options options = {
        .segment_bytes = SEGMENT_BYTES, .spares = 1, .from_seq = from};
    struct compared compared = {from};
    struct error error;
    struct journal *journal = journal_open(&copy.disk, &options, same_record, &compared, &error);
    bool last = which == sim.disk.write_count - 1;
    if (journal && !last)
        sim_fail("%s at byte %" PRIu64 " of %s, and the house starts all the same", how,
                 write->offset, copy.files.at[write->file].name);
    if (journal)
        journal_close(journal, NULL);
    sim_disk_free(&copy);
    sim.report.rots++;
}

// A snapshot is damaged, and the one before it is there: nobody notices but the operator.
static void rot_snapshot(void)
{
    uint64_t seqs[SNAPSHOTS_MAX];
    char name[32];
    if (snapshot_list(&sim.disk.disk, seqs, NULL) < 2)
        return;
    snprintf(name, sizeof(name), "snapshot-%016" PRIx64, seqs[0]);
    struct file *file = files_find(&sim.disk.files, name);
    // Not in the zeros behind the trailer's hash, which mean nothing.
    uint64_t bit = random_bits(&sim.random) % ((file->size - JOURNAL_BLOCK_SIZE + 40) * 8);
    file->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    sim_trace("%s is damaged", name);
}

// --- What happens

static void go_down(const char *why)
{
    sim_trace("%s, %" PRIu64 " commands logged", why, sim.oracle.log_count);
    supervisor_lost(&sim.supervisor);
    uint64_t durable = house_die(0);
    for (;;) {
        sim_now_ns += random_below(&sim.random, 1000000000);
        sim.disk.off = sim.disk.failed = sim.disk.refused = false;
        if (may(SIM_ROT) && random_percent(&sim.random, 40))
            rot();
        if (may(SIM_ROT) && random_percent(&sim.random, 25))
            rot_snapshot();
        plan_disk();
        if (house_start(durable))
            return;
        durable = house_die(durable);
    }
}

static void journal_round(void)
{
    struct lane *lane = &sim.house.lane;
    uint32_t spares = atomic_load(&lane->gate.progress->spare_count);
    if (spares == 0)
        lane_make_spare(lane); // its thread has not slept for five seconds
    if (journal_write(lane->journal, lane->to_journal) < 0 ||
        (random_percent(&sim.random, 20) && journal_idle(lane->journal) < 0)) {
        if (!excused())
            sim_fail("the journal fails: %s", journal_error(lane->journal));
        go_down(sim.disk.off ? "the power goes" : "the disk fails");
    }
    sim.disk.failed = false; // the house goes on, and excuses nothing that comes later with it
}

// Beside everything else: what it writes, others write in between.
static void snapshot_round(void)
{
    struct error error;
    struct lane *lane = &sim.house.lane;
    if (lane_take_snapshot(lane, &error) == 0)
        sim_trace("a snapshot of %" PRIu64 " commands", lane->snapshot_seq);
    else if (!excused())
        sim_fail("no snapshot is made: %s", error.text);
    sim.disk.failed = false;
    sim.report.snapshots++;
}

static void history_round(void)
{
    sim.report.fetches += lane_fetch_history(&sim.house.lane);
    sim.disk.failed = false;
}

static void spare_round(void)
{
    if (!lane_make_spare(&sim.house.lane))
        lane_seal(&sim.house.lane);
    sim.disk.failed = false;
}

static void some_client(void)
{
    struct client *client = &sim.clients[random_below(&sim.random, sim.plan.clients)];
    if (may(SIM_VANISH) && random_below(&sim.random, 2000) == 0 && client->logged_in)
        client_vanish(client, random_bits(&sim.random) % (15 * SECOND_NS));
    client_act(client, !sim.calm);
}

static void supervisor_round(void)
{
    if (sim.has_supervisor && sim.house.up)
        supervisor_act(&sim.supervisor, &sim.supervisors_random, &sim.house.lane, &sim.oracle,
                       !sim.calm);
}

static void step(void)
{
    uint32_t what = random_below(&sim.random, 1000);
    sim_now_ns += random_below(&sim.random, 200000);
    if (random_below(&sim.random, 400) == 0)
        sim_now_ns += random_bits(&sim.random) % SECOND_NS;
    deliver();
    tick_round();
    supervisor_round();
    if (what < 400)
        some_client();
    else if (what < 600)
        shard_round();
    else if (what < 600 + sim.journal_share)
        journal_round();
    else if (what < 970)
        release_round();
    else if (what < 980)
        spare_round();
    else if (what < 990)
        history_round();
    else if (what == 990 && may(SIM_KILL))
        go_down("the process is killed");
    else if (what == 992 && may(SIM_CLOCK))
        sim.wall_offset_ns = random_bits(&sim.random) % (3 * SECOND_NS);
    else if (what == 991 && may(SIM_CUT))
        go_down("the power goes between two writes");
    else if (what >= 993 && what < 996 && random_below(&sim.random, 30) < sim.snapshot_share)
        snapshot_round();
    if (sim.disk.off) // during the making of a spare, or of a snapshot
        go_down("the power goes");
}

static void round_of_all(bool trade)
{
    sim_now_ns += 1000000;
    deliver();
    for (uint32_t i = 0; i < sim.plan.clients; i++)
        client_act(&sim.clients[i], trade);
    shard_round();
    journal_round();
    history_round();
    release_round();
    supervisor_round();
    tick_round();
}

static bool all_quiet(void)
{
    if (!lane_drained(&sim.house.lane) || !entry_idle(&sim.house.lane.entry) ||
        sim.supervisor.state != SUPERVISOR_IDLE ||
        sim.listener.heard.next != sim.house.lane.feed.stream.next)
        return false;
    for (uint32_t i = 0; i < sim.plan.clients; i++) {
        const struct client *client = &sim.clients[i];
        const struct entry_session *session = &sim.house.lane.entry.sessions[i];
        if (!client_idle(client) || !session->bound || client->heard.next != session->stream.next)
            return false;
    }
    return true;
}

static bool orders_wait(void)
{
    const struct lane *lane = &sim.house.lane;
    return !lane_orders_done(lane, lane->orders.number);
}

static bool settled(void)
{
    return all_quiet() && !orders_wait();
}

static bool all_present(void)
{
    for (uint32_t i = 0; i < sim.plan.clients; i++)
        if (!sim.clients[i].logged_in || !sim.house.lane.entry.sessions[i].bound)
            return false;
    return !orders_wait();
}

static void play_until(bool (*reached)(void), bool trade)
{
    uint32_t rounds = 0;
    while (!reached()) {
        if (++rounds > QUIET_ROUNDS)
            sim_fail("a minute has passed, and somebody still waits");
        round_of_all(trade);
    }
}

static void close_day(void)
{
    const struct command close = {.type = COMMAND_CLOSE};
    lane_give_orders(&sim.house.lane, &close, 1);
}

// While all who are there trade on, and the network is at its worst: they hear of it, and of all
// that came before. Who was away would be told nothing any more.
static void close_in_storm(struct random *random)
{
    play_until(all_present, false);
    for (uint32_t rounds = random_below(random, 100); rounds > 0; rounds--)
        round_of_all(true);
    play_until(all_present, true);
    close_day();
    play_until(settled, true);
    for (uint32_t i = 0; i < sim.plan.clients; i++)
        if (!sim.clients[i].ended)
            sim_fail("client %u has not heard that the day has ended", i);
    sim_trace("the day has ended in a storm");
}

// Nothing goes wrong any more: everybody gets what he asks for, and the books agree.
static void calm_down(void)
{
    struct random random = {sim.plan.seed ^ 0xC105Eull};
    bool storm = random_percent(&random, 20);
    if (storm)
        raise_storm(&sim.network.faults);
    sim.calm = true;
    plan_disk();
    if (storm)
        close_in_storm(&random);
    sim.network.faults = (struct network_faults){0};
    play_until(settled, false);
    for (uint32_t i = 0; i < sim.plan.clients; i++)
        client_check(&sim.clients[i]);
    if (!storm && random_percent(&sim.random, 30)) {
        close_day();
        play_until(settled, false);
    }
    struct lane *lane = &sim.house.lane;
    oracle_advance(&sim.oracle, sim.oracle.log_count, &lane->symbols);
    oracle_check_lane(&sim.oracle, lane);
    check_heard();
    for (uint32_t i = 0; i < sim.plan.clients; i++)
        oracle_check_client(&sim.oracle, &sim.clients[i], &lane->symbols);
}

// A stop in good order, and a last start.
static void stop_and_start(void)
{
    struct error error;
    if (lane_stop(&sim.house.lane, &error) != 0)
        sim_fail("the journal cannot be closed: %s", error.text);
    uint64_t durable = house_die(0);
    sim.disk.off = false;
    if (!house_start(durable))
        sim_fail("the house does not start again");
    house_die(0);
}

static void set_up(void)
{
    struct config *config = &sim.config;
    bool brief = random_percent(&sim.random, 15); // then the journal is kept whole
    uint64_t keep = 1 + random_below(&sim.random, 3);
    if (FAULT(RECYCLED_EARLY)) { // in a house in which it can be seen
        brief = false;
        keep = 1;
    }
    *config = (struct config){.segment_bytes = SEGMENT_BYTES,
                              .spare_count = 1,
                              .keep_segments = brief || sim.plan.save ? 0 : keep,
                              .orders_max = ORDERS_MAX,
                              .history_count = brief ? HISTORY_SHORT : HISTORY_LONG,
                              .in_flight_count = 1024,
                              .port_count = 1,
                              .shard_count = 1,
                              .instrument_count = SIM_INSTRUMENTS,
                              .session_count = sim.plan.clients,
                              .instruments = sim.instruments,
                              .sessions = sim.sessions};
    for (uint32_t i = 0; i < SIM_INSTRUMENTS; i++) {
        sim.instruments[i] = (struct config_instrument){.symbol = "SIM0    ", .round_lot = 100};
        sim.instruments[i].symbol[3] = (char)('0' + i);
    }
    sim.order_entry = (struct endpoint){.mac = {2, 0, 0, 0, 0, 1},
                                        .address = htonl(0x0A4D0001),
                                        .port = htons(26400),
                                        .vlan = PACKET_NO_VLAN};
    sim.requests = sim.order_entry;
    sim.requests.port = htons(26600);
    sim.listener.local = (struct endpoint){.mac = {2, 0, 0, 0, 2, 0},
                                           .address = htonl(0x0A4D0080),
                                           .port = htons(30000),
                                           .vlan = PACKET_NO_VLAN};
    sim.listener.heard.next = 1;
    sim.house.port.operations = &port_operations;
    sim.snapshot_share = random_percent(&sim.random, 50) ? 30 : 1 + random_below(&sim.random, 10);
    sim.journal_share = random_percent(&sim.random, 50) ? 180 : 2 + random_below(&sim.random, 20);
    sim.supervisors_random = (struct random){~sim.plan.seed};
    sim.has_supervisor = sim.plan.supervised || random_percent(&sim.supervisors_random, 30);
    if (sim.has_supervisor) // who waits for the disk
        sim.journal_share = 180;
    network_init(&sim.network, random_bits(&sim.random));
    bool storm = random_percent(&sim.random, 20);
    sim.network.faults = (struct network_faults){
        .loss_percent = may(SIM_LOSS) && !storm ? random_below(&sim.random, 31) : 0,
        .duplication_percent = may(SIM_DUPLICATION) && !storm ? random_below(&sim.random, 31) : 0,
        .corruption_percent = may(SIM_CORRUPTION) ? random_below(&sim.random, 11) : 0,
        .delay_max_ns = may(SIM_DELAY) && !storm ? 1 + random_below(&sim.random, 30000000) : 0,
    };
    if (storm)
        raise_storm(&sim.network.faults);
    for (uint32_t i = 0; i < sim.plan.clients; i++) {
        struct client *client = &sim.clients[i];
        client_init(client, i, random_bits(&sim.random), &sim.network, &sim.order_entry);
        memcpy(sim.sessions[i].user, client->user, 6);
        strcpy(sim.sessions[i].password_hash, PASSWORD_HASH);
        memcpy(sim.sessions[i].firm, i < 2 ? "ALFA" : "BETA", 4);
    }
    oracle_init(&sim.oracle);
    sim_disk_init(&sim.disk, random_bits(&sim.random), UINT64_MAX);
    sim.disk.meanwhile = meanwhile;
    sim.disk.now_ns = time_now;
}

void sim_run(const struct sim_plan *plan, struct sim_report *report)
{
    memset(&sim, 0, sizeof(sim));
    sim.plan = *plan;
    sim.random = (struct random){plan->seed};
    sim_tracing = plan->trace;
    sim_now_ns = START_NS;
    set_up();
    if (!house_start(0))
        sim_fail("the house does not start");
    plan_disk();
    for (uint32_t i = 0; i < plan->steps; i++)
        step();
    calm_down();
    stop_and_start();
    if (plan->save && sim_disk_save(&sim.disk, plan->save) != 0)
        sim_fail("cannot write the disk's files into %s", plan->save);
    sim.report.steps = plan->steps;
    sim.report.kills = sim.supervisor.kill_count;
    sim.report.races = sim.supervisor.race_count;
    for (uint32_t i = 0; i < plan->clients; i++) {
        sim.report.messages += sim.clients[i].heard.next - 1;
        client_free(&sim.clients[i]);
    }
    free(sim.listener.heard.hashes);
    oracle_free(&sim.oracle);
    network_free(&sim.network);
    sim_disk_free(&sim.disk);
    *report = sim.report;
}
