// SPDX-License-Identifier: MIT
#include "dataplane/lane.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/recover.h"
#include "numa/crash.h"
#include "numa/invariant.h"
#include "numa/probe.h"
#include "numa/sandbox.h"
#include "numa/thread.h"

#define JOURNAL_IDLE_NS   10000000ull // quiet for this long: prove the tail durable
#define HISTORY_LOOK_NS   5000000u    // between looks at whether anything is asked for
#define CANCEL_ONLY_BELOW 2u          // segments ready
#define EXIT_JOURNAL      70          // EX_SOFTWARE of sysexits.h

// --- Memory

static uint32_t instruments_of(const struct config *config, uint32_t shard)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->instrument_count; i++)
        count += config->instruments[i].shard == shard;
    return count;
}

size_t lane_memory_size(const struct config *config, uint32_t index)
{
    uint32_t streams = config->session_count + 1; // and the feed's
    return ring_memory_size(LANE_COMMAND_RING_SLOTS) + ring_memory_size(config->in_flight_count) +
           ring_memory_size(config->in_flight_count * LANE_EVENTS_A_COMMAND) +
           ring_memory_size(LANE_SHARE_SLOTS) +
           symbols_memory_size((uint16_t)instruments_of(config, index)) +
           instruments_of(config, index) * sizeof(uint64_t) + // feed.paused_ns
           entry_memory_size(config->session_count) + history_memory_size(config->session_count) +
           streams * (entry_stream_size(config->history_count) + 64) + 4096;
}

static struct ring *take_ring(struct lane *lane, uint32_t capacity)
{
    return ring_init(arena_take(&lane->memory, ring_memory_size(capacity), 128), capacity);
}

void *lane_take_stream(struct lane *lane)
{
    return arena_take(&lane->memory, entry_stream_size(lane->config->history_count), 64);
}

static int lay_out(struct lane *lane, struct error *error)
{
    const struct config *config = lane->config;
    if (arena_open(&lane->memory, "rings and streams", lane_memory_size(config, lane->index),
                   lane->place->node, lane->huge_pages, error))
        return -1;
    lane->commands = take_ring(lane, LANE_COMMAND_RING_SLOTS);
    lane->to_journal = take_ring(lane, config->in_flight_count);
    lane->events = take_ring(lane, config->in_flight_count * LANE_EVENTS_A_COMMAND);
    lane->shares = take_ring(lane, LANE_SHARE_SLOTS);
    uint16_t instruments = (uint16_t)instruments_of(config, lane->index);
    symbols_init(&lane->symbols, arena_take(&lane->memory, symbols_memory_size(instruments), 64),
                 instruments);
    logins_init(&lane->logins);
    lane->entry = (struct entry){
        .symbols = &lane->symbols, .commands = lane->commands, .logins = &lane->logins};
    entry_init(&lane->entry,
               arena_take(&lane->memory, entry_memory_size(config->session_count), 64),
               config->session_count);
    lane->feed = (struct feed){.symbols = &lane->symbols};
    lane->feed.paused_ns = arena_take(&lane->memory, instruments * sizeof(uint64_t), 64);
    history_init(&lane->history,
                 arena_take(&lane->memory, history_memory_size(config->session_count), 64),
                 config->session_count);
    stream_init(&lane->feed.stream, lane_take_stream(lane), config->history_count);
    lane->shard = (struct shard){.index = lane->index,
                                 .commands = lane->commands,
                                 .journal = lane->to_journal,
                                 .events = lane->events,
                                 .journal_bell = &lane->journal_bell};
    return 0;
}

// --- Opening

static void open_gate(struct lane *lane, const struct journal_progress *progress)
{
    lane->gate = (struct gate){
        .events = lane->events, .progress = progress, .entry = &lane->entry, .feed = &lane->feed};
    lane->entry.cancel_only = &lane->cancel_only;
}

struct disk *lane_disk(const struct config *config, uint32_t index, struct error *error)
{
    char directory[320];
    snprintf(directory, sizeof(directory), "%s/shard-%u", config->journal_directory, index);
    if (mkdir(config->journal_directory, 0750) && errno != EEXIST) {
        error_set(error,
                  "cannot make the folder %s: %s; make it, or choose another as journal.directory",
                  config->journal_directory, strerror(errno));
        return NULL;
    }
    return disk_open_directory(directory, error);
}

static int open_journal(struct lane *lane, struct error *error)
{
    if (recover_journal(lane, error) < 0)
        return -1;
    lane->shard.seq = lane->recovered_count;
    open_gate(lane, journal_progress(lane->journal));
    lane->entry.history = lane->feed.history = &lane->history;
    if (lane->unlisted.text[0] && !book_over(lane->shard.book))
        return error_set(error, "%s", lane->unlisted.text);
    return 0;
}

int lane_open(struct lane *lane, uint32_t index, const struct config *config, struct disk *disk,
              struct error *error)
{
    *lane = (struct lane){.config = config,
                          .index = index,
                          .place = &config->shards[index],
                          .disk = disk,
                          .huge_pages = config->huge_pages};
    lane->journal_spins = config->ports[lane->place->port].spin;
    return bell_open(&lane->journal_bell, error) || lay_out(lane, error) ||
                   open_journal(lane, error)
               ? -1
               : 0;
}

int lane_open_offline(struct lane *lane, uint32_t index, const struct config *config,
                      struct error *error)
{
    *lane = (struct lane){.config = config, .index = index, .place = &config->shards[index]};
    if (bell_open(&lane->journal_bell, error) || lay_out(lane, error))
        return -1;
    open_gate(lane, &lane->last_progress);
    return 0;
}

void lane_place(struct lane *lane, struct port *port)
{
    const struct config_shard *place = lane->place;
    struct endpoint local = {.address = lane->config->ports[place->port].address,
                             .vlan = PACKET_NO_VLAN};
    memcpy(local.mac, port->mac, sizeof(local.mac));
    lane->entry.port = lane->feed.port = port;
    lane->logins.house = (struct signed_house){
        .address = local.address,
        .port = htons(place->udp_port),
        .signing_key = lane->config->has_signing_key ? lane->config->signing_key : NULL};
    lane->entry.source = lane->feed.source = lane->feed.request_source = local;
    lane->entry.source.port = htons(place->udp_port);
    lane->feed.source.port = htons(place->feed_port);
    lane->feed.request_source.port = htons(place->request_port);
    lane->feed.group = (struct endpoint){
        .address = place->feed_group, .port = htons(place->feed_port), .vlan = PACKET_NO_VLAN};
    packet_multicast_mac(place->feed_group, lane->feed.group.mac);
}

uint32_t lane_receive(struct lane *lane, const struct packet *packet, uint64_t now_ns,
                      uint64_t time_ns)
{
    if (packet->destination.port == lane->entry.source.port)
        return entry_receive(&lane->entry, packet, now_ns, time_ns);
    feed_request(&lane->feed, packet, now_ns);
    return 0;
}

// --- The day's listing

// Without a journal what would have been written is durable as it stands.
static int write_or_pass(struct lane *lane)
{
    if (lane->journal)
        return journal_write(lane->journal, lane->to_journal);
    uint32_t count = ring_readable(lane->to_journal, lane->config->in_flight_count);
    ring_release(lane->to_journal, count);
    atomic_fetch_add(&lane->last_progress.durable_seq, count);
    return (int)count;
}

bool lane_pump(struct lane *lane, uint64_t now_ns)
{
    shard_poll(&lane->shard);
    int written = write_or_pass(lane);
    lane_release(lane, now_ns);
    lane->entry.port->operations->flush(lane->entry.port);
    return written >= 0;
}

static void pump_relieve(void *context)
{
    struct lane *lane = context;
    INVARIANT(write_or_pass(lane) >= 0);
    lane_release(lane, 0);
}

static int submit(struct lane *lane, const struct command *command, uint64_t time_ns,
                  struct error *error)
{
    if (recover_control(lane, command, error))
        return -1;
    struct command *slot = ring_write_slot(lane->commands, 0);
    *slot = *command;
    slot->time_ns = time_ns;
    ring_commit(lane->commands, 1);
    while (ring_writable(lane->commands, LANE_COMMAND_RING_SLOTS) < LANE_COMMAND_RING_SLOTS)
        if (!lane_pump(lane, 0))
            return error_set(error, "%s", journal_error(lane->journal));
    CRASH_POINT(prime_submitted);
    return 0;
}

// Midnight before now, by the host's time zone, ns since 1970 UTC.
static uint64_t midnight_ns(uint64_t now_ns)
{
    time_t now = (time_t)(now_ns / 1000000000ull);
    struct tm local;
    localtime_r(&now, &local);
    local.tm_hour = local.tm_min = local.tm_sec = 0;
    return (uint64_t)mktime(&local) * 1000000000ull;
}

// Ten characters: the date, the shard, and two that change with the moment, so that a day begun
// twice is not taken for one.
static void name_session(struct lane *lane, uint64_t now_ns, char id[10])
{
    static const char digits[] = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    time_t now = (time_t)(now_ns / 1000000000ull);
    uint64_t salt = now_ns / 1000;
    char text[16];
    struct tm local;
    localtime_r(&now, &local);
    strftime(text, sizeof(text), "%y%m%d", &local);
    snprintf(text + 6, sizeof(text) - 6, "%02X%c%c", lane->index & 0xFF,
             digits[salt % (sizeof(digits) - 1)],
             digits[salt / (sizeof(digits) - 1) % (sizeof(digits) - 1)]);
    memcpy(id, text, 10);
}

static uint16_t with_room(uint32_t count, uint32_t room, uint32_t max)
{
    return (uint16_t)(count + room < max ? count + room : max);
}

// Room for some more to come during the day, and no more: a book has a window of levels for each
// instrument, and the fewer there are the wider they can be.
struct book_limits lane_book_limits(const struct config *config, uint32_t shard)
{
    return (struct book_limits){
        .orders_max = config->orders_max,
        .instruments_max =
            with_room(instruments_of(config, shard), LANE_INSTRUMENTS_ROOM, BOOK_INSTRUMENTS_MAX),
        .sessions_max = with_room(config->session_count, LANE_SESSIONS_ROOM, CONFIG_SESSIONS_MAX)};
}

static int open_day(struct lane *lane, uint64_t time_ns, struct error *error)
{
    struct command open = {
        .type = COMMAND_OPEN,
        .open = {.midnight_ns = midnight_ns(time_ns),
                 .limits = lane_book_limits(lane->config, lane->index),
                 .shard = (uint16_t)lane->index},
    };
    if (lane->session_name[0])
        memcpy(open.open.session_id, lane->session_name, sizeof(lane->session_name));
    else
        name_session(lane, time_ns, open.open.session_id);
    return submit(lane, &open, time_ns, error);
}

static int check_room(const struct lane *lane, const char *what, uint32_t count, uint32_t max,
                      struct error *error)
{
    return count <= max
               ? 0
               : error_set(error,
                           "shard %u: %u %s are configured, and the day was begun with room for "
                           "%u: list the others tomorrow",
                           lane->index, count, what, max);
}

static int list_instruments(struct lane *lane, uint64_t time_ns, struct error *error)
{
    const struct config *config = lane->config;
    struct book_summary summary;
    book_summarise(lane->shard.book, &summary);
    if (check_room(lane, "instruments", instruments_of(config, lane->index),
                   summary.limits.instruments_max, error))
        return -1;
    for (uint32_t i = 0; i < config->instrument_count; i++) {
        const struct config_instrument *instrument = &config->instruments[i];
        if (instrument->shard != lane->index ||
            symbols_find(&lane->symbols, instrument->symbol) != NO_INSTRUMENT)
            continue;
        struct command command = {.type = COMMAND_INSTRUMENT,
                                  .instrument = lane->symbols.count,
                                  .listing.round_lot = instrument->round_lot};
        memcpy(command.listing.symbol, instrument->symbol, sizeof(command.listing.symbol));
        if (submit(lane, &command, time_ns, error))
            return -1;
    }
    return 0;
}

static bool has_session(const struct lane *lane, const struct config_session *who)
{
    for (uint32_t i = 0; i < lane->entry.session_count; i++)
        if (memcmp(lane->entry.sessions[i].who.user, who->user, sizeof(who->user)) == 0)
            return true;
    return false;
}

// The book knows the firms that the day began with, and the port those of the configuration.
static int check_firms(const struct lane *lane, struct error *error)
{
    for (uint32_t i = 0; i < lane->entry.session_count; i++) {
        const struct config_session *who = &lane->entry.sessions[i].who;
        const char *firm = book_session_firm(lane->shard.book, (uint16_t)i);
        if (memcmp(firm, who->firm, sizeof(who->firm)) != 0)
            return error_set(error,
                             "the session \"%.6s\" is of the firm \"%.4s\", and in the journal's "
                             "day of \"%.4s\": put it back until the day has ended",
                             who->user, who->firm, firm);
    }
    return 0;
}

static int admit_sessions(struct lane *lane, uint64_t time_ns, struct error *error)
{
    struct book_summary summary;
    book_summarise(lane->shard.book, &summary);
    if (check_room(lane, "sessions", lane->config->session_count, summary.limits.sessions_max,
                   error))
        return -1;
    for (uint32_t i = 0; i < lane->config->session_count; i++) {
        const struct config_session *who = &lane->config->sessions[i];
        if (has_session(lane, who))
            continue;
        struct command command = {.type = COMMAND_SESSION,
                                  .session = (uint16_t)lane->entry.session_count};
        memcpy(command.member.user_name, who->user, sizeof(command.member.user_name));
        memcpy(command.member.firm, who->firm, sizeof(command.member.firm));
        if (submit(lane, &command, time_ns, error))
            return -1;
    }
    return 0;
}

static int set_references(struct lane *lane, uint64_t time_ns, struct error *error)
{
    for (uint32_t i = 0; i < lane->config->instrument_count; i++) {
        const struct config_instrument *instrument = &lane->config->instruments[i];
        struct command command = {
            .type = COMMAND_TRADING,
            .session = ANY_SESSION,
            .instrument = symbols_find(&lane->symbols, instrument->symbol),
            .trading = {.reference = instrument->reference, .actor = "configuration"},
        };
        if (instrument->reference != 0 && command.instrument != NO_INSTRUMENT &&
            submit(lane, &command, time_ns, error))
            return -1;
    }
    return 0;
}

static struct command limit_command(const struct lane *lane, const struct config_limit *limit)
{
    uint32_t shard_count = lane->config->shard_count;
    struct command command = {
        .type = COMMAND_LIMIT,
        .session = ANY_SESSION,
        .side = limit->limit->kind,
        .limit = {.value = limit_share(limit->limit, limit->value, lane->index, shard_count),
                  .actor = "configuration",
                  .total = limit_total(limit->limit, limit->value, shard_count)},
    };
    memcpy(command.limit.firm, limit->firm, sizeof(limit->firm));
    return command;
}

static struct command bar_command(const struct config_limit *limit)
{
    struct command command = {
        .type = COMMAND_ENTRY,
        .session = ANY_SESSION,
        .entry = {.session = ANY_SESSION, .in_symbol = 1, .actor = "configuration"},
    };
    memcpy(command.entry.firm, limit->firm, sizeof(limit->firm));
    return command;
}

// The configuration's limits hold from the day's beginning: later they are what the journal says.
static int set_limits(struct lane *lane, uint64_t time_ns, struct error *error)
{
    const struct config *config = lane->config;
    for (uint32_t i = 0; i < config->limit_count; i++) {
        const struct config_limit *limit = &config->limits[i];
        uint16_t instrument = symbols_find(&lane->symbols, limit->symbol);
        struct command command = limit->limit ? limit_command(lane, limit) : bar_command(limit);
        command.instrument = instrument;
        bool elsewhere = limit->symbol[0] && instrument == NO_INSTRUMENT;
        if (!elsewhere && submit(lane, &command, time_ns, error))
            return -1;
    }
    return 0;
}

// What the port holds orders against is the book's to know.
static void take_limits(struct lane *lane)
{
    for (uint32_t i = 0; i < lane->entry.session_count; i++)
        for (uint8_t kind = LIMIT_QUANTITY; kind < LIMIT_MEMBER_END; kind++)
            entry_limit(&lane->entry, i, kind, book_limit(lane->shard.book, (uint16_t)i, kind));
}

static void name_date(uint64_t midnight_ns, char date[16])
{
    time_t midnight = (time_t)(midnight_ns / 1000000000ull);
    struct tm local;
    strftime(date, 16, "%Y-%m-%d", localtime_r(&midnight, &local));
}

static void tell_of_earlier_day(const struct lane *lane, const struct book_summary *summary,
                                uint64_t time_ns)
{
    char date[16];
    if (summary->midnight_ns >= midnight_ns(time_ns))
        return;
    name_date(summary->midnight_ns, date);
    warn("shard %u: its day of %s has not ended and goes on, as session %s: `sluice ctl close-day` "
         "ends it",
         lane->index, date, summary->session_id);
}

int lane_prime(struct lane *lane, uint64_t time_ns, struct error *error)
{
    lane->shard.relieve = pump_relieve;
    lane->shard.relieve_context = lane;
    if (!lane->shard.book && open_day(lane, time_ns, error))
        return -1;
    struct book_summary summary;
    book_summarise(lane->shard.book, &summary);
    if (summary.state == BOOK_CLOSED) {
        if (lane->unlisted.text[0])
            return error_set(error, "%s", lane->unlisted.text);
        warn("shard %u: the trading day in this journal has ended: sessions are refused. The next "
             "start on a later date begins another day; move %s/shard-%u away to begin one now",
             lane->index, lane->config->journal_directory, lane->index);
        return 0;
    }
    tell_of_earlier_day(lane, &summary, time_ns);
    if (check_firms(lane, error) || list_instruments(lane, time_ns, error) ||
        admit_sessions(lane, time_ns, error) ||
        (summary.state == BOOK_PREOPEN &&
         (set_references(lane, time_ns, error) || set_limits(lane, time_ns, error))))
        return -1;
    take_limits(lane);
    CRASH_POINT(prime_unstarted);
    struct command start = {.type = COMMAND_START};
    return summary.state == BOOK_TRADING ? 0 : submit(lane, &start, time_ns, error);
}

// --- A day that is over

bool lane_day_over(const struct lane *lane, uint64_t time_ns)
{
    struct book_summary summary;
    if (!lane->shard.book)
        return false;
    book_summarise(lane->shard.book, &summary);
    return summary.state == BOOK_CLOSED && summary.midnight_ns < midnight_ns(time_ns);
}

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return result;
}

int lane_put_aside(const struct lane *lane, struct error *error)
{
    char aside[PATH_MAX], date[16];
    struct book_summary summary;
    book_summarise(lane->shard.book, &summary);
    snprintf(aside, sizeof(aside), "%s-%s", lane->disk->path, summary.session_id);
    if (rename(lane->disk->path, aside) || sync_folder(lane->config->journal_directory))
        return error_set(error,
                         "shard %u: the day that has ended cannot be put aside as %s: %s; see that "
                         "nothing is there and that its folder can be written, and start again",
                         lane->index, aside, strerror(errno));
    name_date(summary.midnight_ns, date);
    warn("shard %u: the day of %s has ended and is put aside as %s; another begins", lane->index,
         date, aside);
    return 0;
}

// --- The journal's threads

// Nothing more can be acknowledged, and nobody is told anything that was not: the process ends
// here.
__attribute__((noreturn)) static void journal_failed(const struct lane *lane)
{
    fprintf(stderr, "sluice: shard %u: %s\n", lane->index, journal_error(lane->journal));
    _exit(EXIT_JOURNAL);
}

static void note_write(struct lane *lane, uint64_t took_ns)
{
    if (took_ns > atomic_load_explicit(&lane->longest_write_ns, memory_order_relaxed))
        atomic_store_explicit(&lane->longest_write_ns, took_ns, memory_order_relaxed);
}

// Orders that come while an idle block is being written wait for it as for any other.
static void journal_wait(struct lane *lane, uint64_t quiet_ns)
{
    if (quiet_ns >= JOURNAL_IDLE_NS) {
        uint64_t began_ns = clock_ns(lane->clock);
        if (journal_idle(lane->journal) < 0)
            journal_failed(lane);
        note_write(lane, clock_ns(lane->clock) - began_ns);
    }
    // On a shared core it sleeps at once: while it looked for more, the client that the answer is
    // for may be waiting for this very core (20 us of looking cost the round trip as much, measured
    // in the lab).
    if (lane->journal_spins)
        return;
    bell_doze(&lane->journal_bell);
    if (ring_readable(lane->to_journal, 1) == 0)
        bell_wait(&lane->journal_bell, (int)(JOURNAL_IDLE_NS / 1000000));
    else
        bell_wake(&lane->journal_bell);
}

static void *journal_main(void *argument)
{
    struct lane *lane = argument;
    struct error error;
    if (!lane->journal_spins && thread_go_first(false, &error))
        warn("%s", error.text);
    sandbox_thread(SANDBOX_JOURNAL);
    uint64_t busy_ns = clock_ns(lane->clock);
    for (;;) {
        uint64_t began_ns = clock_ns(lane->clock);
        int written = journal_write(lane->journal, lane->to_journal);
        if (written < 0)
            journal_failed(lane);
        uint64_t now_ns = clock_ns(lane->clock);
        if (written > 0) {
            note_write(lane, now_ns - began_ns);
            bell_ring(lane->port_bell);
            busy_ns = now_ns;
        } else if (atomic_load_explicit(&lane->journal_stop, memory_order_acquire)) {
            return NULL; // pairs with the release in lane_stop: the ring was drained before
        } else {
            journal_wait(lane, now_ns - busy_ns);
        }
    }
}

// No new segment can be made: the last ones are kept for cancels, and then for nothing.
static void space_low(struct lane *lane, int made)
{
    uint32_t spares = atomic_load_explicit(&lane->gate.progress->spare_count, memory_order_relaxed);
    if (spares >= CANCEL_ONLY_BELOW || atomic_load(&lane->cancel_only))
        return;
    atomic_store_explicit(&lane->cancel_only, true, memory_order_relaxed);
    warn("shard %u: no new journal segment in %s: %s. Cancel-only from here on; when the segments "
         "in hand are "
         "full the gateway stops. Free space now",
         lane->index, lane->config->journal_directory, strerror(-made));
}

bool lane_make_spare(struct lane *lane)
{
    int made = journal_make_spare(lane->journal);
    if (made < 0)
        space_low(lane, made);
    else if (made == 1)
        atomic_store_explicit(&lane->cancel_only, false, memory_order_relaxed);
    return made == 1;
}

bool lane_seal(struct lane *lane)
{
    int sealed = journal_seal(lane->journal);
    if (sealed < 0 && sealed != lane->seal_failure)
        warn("shard %u: a closed segment cannot be sealed: %s; it is tried again", lane->index,
             strerror(-sealed));
    lane->seal_failure = sealed;
    return sealed == 1;
}

static void *spare_main(void *argument)
{
    struct lane *lane = argument;
    sandbox_thread(SANDBOX_FILES);
    while (!atomic_load_explicit(&lane->spare_stop, memory_order_relaxed)) {
        if (!lane_make_spare(lane) && !lane_seal(lane))
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return NULL;
}

static void *snapshot_main(void *argument)
{
    struct lane *lane = argument;
    struct error error;
    uint64_t next = lane->snapshot_seq + lane->config->snapshot_every;
    sandbox_thread(SANDBOX_FILES);
    while (!atomic_load_explicit(&lane->snapshot_stop, memory_order_relaxed)) {
        uint64_t durable =
            atomic_load_explicit(&lane->gate.progress->durable_seq, memory_order_relaxed);
        if (durable < next) {
            nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
            continue;
        }
        if (lane_take_snapshot(lane, &error) < 0 &&
            !atomic_load_explicit(&lane->snapshot_stop, memory_order_relaxed))
            warn("shard %u: no snapshot was made: %s", lane->index, error.text);
        next = durable + lane->config->snapshot_every;
    }
    return NULL;
}

static void *history_main(void *argument)
{
    struct lane *lane = argument;
    uint32_t quiet = 0; // rounds
    sandbox_thread(SANDBOX_FILES);
    while (!atomic_load_explicit(&lane->history_stop, memory_order_relaxed)) {
        quiet = lane_fetch_history(lane) ? 0 : quiet + 1;
        if (quiet == LANE_PAST_KEPT_S * (1000000000u / HISTORY_LOOK_NS))
            lane_forget_past(lane);
        if (quiet > 0)
            nanosleep(&(struct timespec){.tv_nsec = HISTORY_LOOK_NS}, NULL);
    }
    return NULL;
}

int lane_start(struct lane *lane, const struct tsc_clock *clock, struct error *error)
{
    char name[16];
    lane->clock = lane->shard.clock = clock;
    snprintf(name, sizeof(name), "journal-%u", lane->index);
    if (thread_start(&lane->journal_thread, name, lane->place->journal_core, journal_main, lane,
                     error))
        return -1;
    snprintf(name, sizeof(name), "spares-%u", lane->index);
    if (thread_start(&lane->spare_thread, name, THREAD_ANY_CORE, spare_main, lane, error))
        return -1;
    snprintf(name, sizeof(name), "history-%u", lane->index);
    if (thread_start(&lane->history_thread, name, THREAD_ANY_CORE, history_main, lane, error))
        return -1;
    if (lane->config->snapshot_every == 0)
        return 0;
    snprintf(name, sizeof(name), "snapshot-%u", lane->index);
    return thread_start(&lane->snapshot_thread, name, THREAD_ANY_CORE, snapshot_main, lane, error);
}

int lane_stop(struct lane *lane, struct error *error)
{
    if (lane->snapshot_thread) {
        atomic_store_explicit(&lane->snapshot_stop, true, memory_order_relaxed);
        pthread_join(lane->snapshot_thread, NULL);
        lane->snapshot_thread = 0;
    }
    if (lane->history_thread) {
        atomic_store_explicit(&lane->history_stop, true, memory_order_relaxed);
        pthread_join(lane->history_thread, NULL);
        lane->history_thread = 0;
    }
    if (lane->journal_thread) {
        atomic_store_explicit(&lane->spare_stop, true, memory_order_relaxed);
        pthread_join(lane->spare_thread, NULL);
        atomic_store_explicit(&lane->journal_stop, true, memory_order_release);
        bell_ring(&lane->journal_bell);
        pthread_join(lane->journal_thread, NULL);
        lane->journal_thread = 0;
    }
    CRASH_POINT(stop_unmarked);
    struct journal *journal = lane->journal;
    if (!journal)
        return 0;
    lane->journal = NULL;
    atomic_store(&lane->last_progress.durable_seq, atomic_load(&lane->gate.progress->durable_seq));
    atomic_store(&lane->last_progress.spare_count, atomic_load(&lane->gate.progress->spare_count));
    lane->gate.progress = &lane->last_progress;
    return journal_close(journal, error);
}

// --- The port's side

void lane_time_next(struct lane *lane)
{
    // Relaxed: the ring's release follows.
    atomic_store_explicit(&lane->shard.timing.wanted, lane_commanded(lane) + 1,
                          memory_order_relaxed);
}

// What the shard has noted of the command that is watched. False when it has not: its events were
// more than their ring had room for, and are seen before it is done.
static bool take_shard_times(const struct lane *lane, struct port_watch *watch)
{
    const struct shard_timing *timing = &lane->shard.timing;
    // Acquire pairs with the release in note_applied of shard.c.
    if (atomic_load_explicit(&timing->timed, memory_order_acquire) !=
        atomic_load_explicit(&timing->wanted, memory_order_relaxed))
        return false;
    watch->at[TRANSIT_TAKEN] = timing->taken_ns;
    watch->at[TRANSIT_APPLIED] = timing->applied_ns;
    return true;
}

// The gate has let events pass: whether that of the packet whose stages are measured was among
// them.
static void note_passed(struct lane *lane)
{
    struct port_watch *watch = &lane->entry.port->watch;
    if (watch->of != &lane->entry || watch->at[TRANSIT_PORT] == 0 ||
        watch->at[TRANSIT_PASSED] != 0 || lane->gate.released_seq < watch->awaited_seq)
        return;
    if (take_shard_times(lane, watch))
        watch->at[TRANSIT_PASSED] = clock_ns(lane->clock);
    else
        watch->at[TRANSIT_PORT] = 0;
}

uint32_t lane_release(struct lane *lane, uint64_t now_ns)
{
    uint32_t count = gate_release(&lane->gate);
    uint64_t released_seq = lane->gate.released_seq;
    if (count > 0) {
        note_passed(lane);
        PROBE(released, lane->index, 1, released_seq);
    }
    if (!entry_idle(&lane->entry))
        entry_flush(&lane->entry, now_ns);
    feed_flush(&lane->feed, now_ns);
    if (count > 0)
        PROBE(tx, lane->index, 1, released_seq);
    return count;
}

uint64_t lane_give_orders(struct lane *lane, const struct command *commands, uint32_t count)
{
    struct lane_orders *orders = &lane->orders;
    INVARIANT(count >= 1 && count <= LANE_ORDERS_MAX);
    if (!lane_orders_done(lane, orders->number))
        return 0;
    memcpy(orders->commands, commands, count * sizeof(*commands));
    orders->count = count;
    // Release pairs with the acquire in lane_orders_given.
    atomic_store_explicit(&orders->given, true, memory_order_release);
    if (lane->port_bell)
        bell_ring(lane->port_bell);
    return ++orders->number;
}

// Others are given only when those before them are done. The shard gives a command's slot back once
// it has applied it.
bool lane_orders_done(const struct lane *lane, uint64_t number)
{
    const struct lane_orders *orders = &lane->orders;
    if (number < orders->number)
        return true;
    // Acquire pairs with the releases of lane_take_orders, the journal and the shard.
    return !atomic_load_explicit(&orders->given, memory_order_acquire) &&
           atomic_load_explicit(&lane->gate.progress->durable_seq, memory_order_acquire) >=
               orders->seq &&
           lane->recovered_count +
                   atomic_load_explicit(&lane->commands->consumer.head, memory_order_acquire) >=
               orders->seq;
}

// Most of the ring is for bars, one of each member, and for what was asked for, of which there is
// one at a time, so that who is refused again and again cannot keep those out. The shard's thread.
static void note_share(void *context, const struct book_share *share)
{
    static_assert(sizeof(*share) <= RING_SLOT_SIZE, "one to a slot");
    struct lane *lane = context;
    bool wants = share->type == COMMAND_ENTER;
    uint32_t room = wants ? LANE_SHARE_SLOTS - LANE_SHARE_WANTS + 1 : 1;
    if (ring_writable(lane->shares, room) < room)
        return;
    *(struct book_share *)ring_write_slot(lane->shares, 0) = *share;
    ring_commit(lane->shares, 1);
    if (lane->share_bell)
        bell_ring(lane->share_bell);
}

void lane_tell_shares(struct lane *lane, struct bell *bell)
{
    lane->share_bell = bell;
    book_tell_shares(lane->shard.book, note_share, lane);
}

// The port's half of a limit, from the next order on as the book's.
static void take_limit(struct lane *lane, const struct command *command)
{
    for (uint32_t i = 0; i < lane->entry.session_count; i++)
        if (memcmp(lane->entry.sessions[i].who.firm, command->limit.firm, 4) == 0)
            entry_limit(&lane->entry, i, command->side, command->limit.value);
}

uint32_t lane_take_orders(struct lane *lane, uint64_t time_ns)
{
    struct lane_orders *orders = &lane->orders;
    if (!lane_orders_given(lane) || ring_writable(lane->commands, orders->count) < orders->count)
        return 0;
    for (uint32_t i = 0; i < orders->count; i++) {
        struct command *command = ring_write_slot(lane->commands, i);
        *command = orders->commands[i];
        command->time_ns = time_ns;
        if (command->type == COMMAND_CLOSE)
            lane->entry.timed_until_ns = 0; // no order is left
        if (command->type == COMMAND_TRADING)
            entry_want_clock(&lane->entry, time_ns, EXPIRE_SECONDS_MAX); // a cross may build
        if (command->type == COMMAND_LIMIT)
            take_limit(lane, command);
    }
    ring_commit(lane->commands, orders->count);
    orders->seq = lane_commanded(lane);
    atomic_store_explicit(&orders->given, false, memory_order_release);
    if (lane->shard_bell)
        bell_ring(lane->shard_bell);
    return orders->count;
}

uint64_t lane_commanded(const struct lane *lane)
{
    return lane->recovered_count +
           atomic_load_explicit(&lane->commands->producer.tail, memory_order_relaxed);
}

uint32_t lane_take_logins(struct lane *lane, uint64_t now_ns, uint64_t time_ns)
{
    uint32_t count = entry_take_logins(&lane->entry, now_ns, time_ns);
    if (count > 0 && lane->shard_bell)
        bell_ring(lane->shard_bell);
    return count;
}

void lane_tick(struct lane *lane, uint64_t now_ns, uint64_t time_ns)
{
    entry_tick(&lane->entry, now_ns);
    uint32_t count = entry_sweep(&lane->entry, now_ns, time_ns);
    count += entry_clock(&lane->entry, time_ns);
    if (count > 0 && lane->shard_bell)
        bell_ring(lane->shard_bell);
    feed_tick(&lane->feed, now_ns);
}

static bool ring_drained(const struct ring *ring)
{
    return atomic_load_explicit(&ring->producer.tail, memory_order_acquire) ==
           atomic_load_explicit(&ring->consumer.head, memory_order_acquire);
}

// In the order of the way: once a ring is empty and its producer's input was, it stays so.
bool lane_drained(const struct lane *lane)
{
    return ring_drained(lane->commands) && ring_drained(lane->to_journal) &&
           ring_drained(lane->events);
}

void lane_close(struct lane *lane)
{
    lane_forget_past(lane);
    bell_close(&lane->journal_bell);
    arena_close(&lane->memory);
    arena_close(&lane->book_memory);
}
