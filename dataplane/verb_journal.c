// SPDX-License-Identifier: MIT
//
// sluice journal: read a journal without changing it.
#include "dataplane/verbs.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "book/book.h"
#include "dataplane/limits.h"
#include "dataplane/report.h"
#include "journal/journal.h"
#include "journal/verify.h"

static const char *const command_names[] = {
    [COMMAND_OPEN] = "open",
    [COMMAND_INSTRUMENT] = "instrument",
    [COMMAND_SESSION] = "session",
    [COMMAND_START] = "start",
    [COMMAND_CLOSE] = "close",
    [COMMAND_ENTER] = "enter",
    [COMMAND_REPLACE] = "replace",
    [COMMAND_CANCEL] = "cancel",
    [COMMAND_MODIFY] = "modify",
    [COMMAND_QUERY] = "query",
    [COMMAND_MASS_CANCEL] = "mass_cancel",
    [COMMAND_CLOCK] = "clock",
    [COMMAND_TRADING] = "trading",
    [COMMAND_ENTRY] = "entry",
    [COMMAND_LIMIT] = "limit",
    [COMMAND_YIELD] = "yield",
    [COMMAND_RAISE] = "raise",
};

#define COMMAND_NAME_COUNT (sizeof(command_names) / sizeof(command_names[0]))

static json_t *order_json(const struct command *command)
{
    struct order_attributes attributes = command->order.attributes;
    bool replaces = command->type == COMMAND_REPLACE;
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:i, s:i, s:b, s:I, s:I, s:I, s:i, s:i, s:i}",
        "session", command->session, "instrument", command->instrument, "side", command->side,
        "verdict", command->verdict, "user_ref_num", (json_int_t)command->order.user_ref_num,
        "orig_user_ref_num", (json_int_t)command->order.orig_user_ref_num, "quantity",
        (json_int_t)command->order.quantity, "price", (json_int_t)command->order.price,
        "time_in_force", (int)attributes.time_in_force, "display", (int)attributes.display,
        "midpoint", (int)(attributes.peg == PEG_MIDPOINT), replaces ? "kept" : "min_quantity",
        (json_int_t)command->order.min_quantity, "max_floor", (json_int_t)command->order.max_floor,
        "expire_seconds", (json_int_t)command->order.expire_seconds, "random_reserve",
        (int)command->order.random_reserve, "peg", (int)attributes.peg, "peg_offset",
        (int)command->order.peg_offset);
}

// Without what it does not restrict.
static json_t *mass_json(const struct command *command)
{
    json_t *object = json_pack("{s:i, s:I, s:i, s:s%}", "session", command->session, "user_ref_num",
                               (json_int_t)command->mass.user_ref_num, "verdict", command->verdict,
                               "reason", (const char *)&command->mass.reason, (size_t)1);
    if (command->mass.session != ANY_SESSION)
        json_object_set_new(object, "of_session", json_integer(command->mass.session));
    if (command->instrument != NO_INSTRUMENT)
        json_object_set_new(object, "instrument", json_integer(command->instrument));
    if (command->mass.side != ANY_SIDE)
        json_object_set_new(object, "side", json_integer(command->mass.side));
    if (command->mass.firm[0])
        json_object_set_new(object, "firm", json_stringn(command->mass.firm, 4));
    return object;
}

static json_t *entry_json(const struct command *command)
{
    json_t *object = json_pack("{s:i, s:I, s:i, s:b}", "session", command->session, "user_ref_num",
                               (json_int_t)command->entry.user_ref_num, "verdict", command->verdict,
                               "allowed", command->entry.allowed != 0);
    if (command->entry.session != ANY_SESSION)
        json_object_set_new(object, "of_session", json_integer(command->entry.session));
    if (command->entry.in_symbol)
        json_object_set_new(object, "instrument", json_integer(command->instrument));
    if (command->entry.firm[0])
        json_object_set_new(object, "firm", json_stringn(command->entry.firm, 4));
    return object;
}

static json_t *trading_json(const struct command *command)
{
    json_t *object = json_object();
    if (command->trading.source == TRADING_CALENDAR)
        json_object_set_new(object, "source", json_string("calendar"));
    if (command->trading.source == TRADING_RISK)
        json_object_set_new(object, "source", json_string("risk"));
    if (command->trading.state)
        json_object_set_new(object, "state",
                            json_stringn((const char *)&command->trading.state, 1));
    if (command->trading.from)
        json_object_set_new(object, "from", json_stringn((const char *)&command->trading.from, 1));
    if (command->trading.short_sale)
        json_object_set_new(object, "short_sale",
                            json_stringn((const char *)&command->trading.short_sale, 1));
    if (command->trading.reference)
        json_object_set_new(object, "reference", json_integer(command->trading.reference));
    if (command->trading.band)
        json_object_set_new(object, "band", json_integer(command->trading.band));
    if (command->instrument != NO_INSTRUMENT)
        json_object_set_new(object, "instrument", json_integer(command->instrument));
    return object;
}

static bool is_limit(const struct command *command)
{
    return command->type >= COMMAND_LIMIT && command->type <= COMMAND_RAISE;
}

// Who did it, of what an operator does, and how many characters that has; else NULL.
static const char *actor_of(const struct command *command, size_t *length)
{
    bool acts = command->type == COMMAND_TRADING || command->type == COMMAND_CLOSE ||
                is_limit(command) ||
                (command->session == ANY_SESSION &&
                 (command->type == COMMAND_MASS_CANCEL || command->type == COMMAND_ENTRY));
    const char *actor = command->trading.actor;
    *length = strnlen(actor, is_limit(command) ? sizeof(command->limit.actor)
                                               : sizeof(command->trading.actor));
    return acts && *length > 0 ? actor : NULL;
}

// A share of nothing is 0, as no limit is: what tells them apart is the total.
static uint64_t limit_value(const struct command *command)
{
    return command->limit.value == LIMIT_NOTHING ? 0 : command->limit.value;
}

static json_t *limit_json(const struct command *command)
{
    const struct limit_name *limit = limit_by_kind(command->side);
    json_t *object = json_pack("{s:s, s:I}", "limit", limit ? limit->name : "unknown", "value",
                               (json_int_t)limit_value(command));
    if (command->limit.total != 0)
        json_object_set_new(object, "total", json_integer((json_int_t)command->limit.total));
    if (limit && limit_of_member(limit))
        json_object_set_new(object, "firm", json_stringn(command->limit.firm, 4));
    else
        json_object_set_new(object, "instrument", json_integer(command->instrument));
    return object;
}

static json_t *command_json(uint64_t seq, const struct command *command)
{
    json_t *object;
    if (command->type >= COMMAND_ENTER && command->type <= COMMAND_QUERY)
        object = order_json(command);
    else if (command->type == COMMAND_MASS_CANCEL)
        object = mass_json(command);
    else if (command->type == COMMAND_ENTRY)
        object = entry_json(command);
    else if (command->type == COMMAND_TRADING)
        object = trading_json(command);
    else if (is_limit(command))
        object = limit_json(command);
    else if (command->type == COMMAND_OPEN)
        object = json_pack("{s:s%, s:I}", "session_id", command->open.session_id, (size_t)10,
                           "orders_max", (json_int_t)command->open.limits.orders_max);
    else if (command->type == COMMAND_INSTRUMENT)
        object = json_pack("{s:s%, s:i}", "symbol", command->listing.symbol, (size_t)8, "index",
                           command->instrument);
    else if (command->type == COMMAND_SESSION)
        object = json_pack("{s:s%, s:i}", "user", command->member.user_name, (size_t)6, "index",
                           command->session);
    else
        object = json_object();
    const char *name = command->type < COMMAND_NAME_COUNT ? command_names[command->type] : NULL;
    json_object_set_new(object, "seq", json_integer((json_int_t)seq));
    json_object_set_new(object, "time_ns", json_integer((json_int_t)command->time_ns));
    json_object_set_new(object, "command", json_string(name ? name : "unknown"));
    size_t length;
    const char *actor = actor_of(command, &length);
    if (actor)
        json_object_set_new(object, "actor", json_stringn(actor, length));
    return object;
}

static void print_order(const struct command *command)
{
    static const char *const peg_names[] = {"", " midpoint", " primary", " market"};
    struct order_attributes attributes = command->order.attributes;
    printf(" session %u instrument %u urn %u orig %u side %u qty %u price %u verdict %u",
           command->session, command->instrument, command->order.user_ref_num,
           command->order.orig_user_ref_num, command->side, command->order.quantity,
           command->order.price, command->verdict);
    if (command->order.cross)
        printf(" cross %c", command->order.cross);
    printf(" tif %u display %u%s offset %d %s %u floor %u random %u seconds %u",
           attributes.time_in_force, attributes.display, peg_names[attributes.peg],
           command->order.peg_offset, command->type == COMMAND_REPLACE ? "kept" : "min",
           command->order.min_quantity, command->order.max_floor, command->order.random_reserve,
           command->order.expire_seconds);
}

static void print_mass(const struct command *command)
{
    printf(" session %u urn %u of session %u instrument %u side %u firm %.4s reason %c verdict %u",
           command->session, command->mass.user_ref_num, command->mass.session, command->instrument,
           command->mass.side, command->mass.firm, command->mass.reason, command->verdict);
}

static void print_entry(const struct command *command)
{
    printf(" session %u urn %u of session %u firm %.4s allowed %u verdict %u", command->session,
           command->entry.user_ref_num, command->entry.session, command->entry.firm,
           command->entry.allowed, command->verdict);
    if (command->entry.in_symbol)
        printf(" instrument %u", command->instrument);
}

static void print_limit(const struct command *command)
{
    const struct limit_name *limit = limit_by_kind(command->side);
    if (limit && limit_of_member(limit))
        printf(" firm %.4s", command->limit.firm);
    else
        printf(" instrument %u", command->instrument);
    printf(" %s %" PRIu64, limit ? limit->name : "unknown", limit_value(command));
    if (command->limit.total != 0)
        printf(" of %" PRIu64, command->limit.total);
}

static void print_trading(const struct command *command)
{
    printf(" instrument %u", command->instrument);
    if (command->trading.source == TRADING_CALENDAR)
        printf(" scheduled");
    if (command->trading.source == TRADING_RISK)
        printf(" risk");
    if (command->trading.state)
        printf(" state %c", command->trading.state);
    if (command->trading.from)
        printf(" from %c", command->trading.from);
    if (command->trading.short_sale)
        printf(" short_sale %c", command->trading.short_sale);
    if (command->trading.reference)
        printf(" reference %u", command->trading.reference);
    if (command->trading.band)
        printf(" band %u", command->trading.band);
}

static void dump_text(uint64_t seq, const struct command *command)
{
    const char *name = command->type < COMMAND_NAME_COUNT ? command_names[command->type] : NULL;
    printf("%" PRIu64 " %" PRIu64 ".%09" PRIu64 " %s", seq, command->time_ns / 1000000000,
           command->time_ns % 1000000000, name ? name : "unknown");
    if (command->type >= COMMAND_ENTER && command->type <= COMMAND_QUERY)
        print_order(command);
    else if (command->type == COMMAND_MASS_CANCEL)
        print_mass(command);
    else if (command->type == COMMAND_ENTRY)
        print_entry(command);
    else if (command->type == COMMAND_TRADING)
        print_trading(command);
    else if (is_limit(command))
        print_limit(command);
    else if (command->type == COMMAND_OPEN)
        printf(" %.10s", command->open.session_id);
    else if (command->type == COMMAND_INSTRUMENT)
        printf(" %u %.8s", command->instrument, command->listing.symbol);
    else if (command->type == COMMAND_SESSION)
        printf(" %u %.6s", command->session, command->member.user_name);
    size_t length;
    const char *actor = actor_of(command, &length);
    if (actor)
        printf(" by %.*s", (int)length, actor);
    printf("\n");
}

static bool dump_record(void *context, uint64_t seq, const void *record)
{
    const bool *json = context;
    if (!*json) {
        dump_text(seq, record);
        return true;
    }
    json_t *object = command_json(seq, record);
    json_dumpf(object, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(object);
    return true;
}

static json_t *stat_json(const struct journal_stat *stat)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:i}", "segments",
        (json_int_t)stat->segment_count, "spares", (json_int_t)stat->spare_count, "blocks",
        (json_int_t)stat->block_count, "idle_blocks", (json_int_t)stat->idle_block_count, "records",
        (json_int_t)stat->record_count, "durable_upto", (json_int_t)stat->durable_upto, "epochs",
        (json_int_t)stat->epoch_count, "torn_blocks", (json_int_t)stat->torn_block_count, "bytes",
        (json_int_t)stat->bytes, "clean", stat->clean, "shard", (int)stat->shard);
}

static void print_object(json_t *object, bool json)
{
    if (json) {
        json_dumpf(object, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        report_print(object, stdout);
    }
    json_decref(object);
}

static int scan(struct disk *disk, bool dump, bool json, struct error *error)
{
    struct journal_stat stat;
    if (journal_scan(disk, JOURNAL_OLDEST, dump ? dump_record : NULL, &json, &stat, error) < 0)
        return -1;
    if (!dump)
        print_object(stat_json(&stat), json);
    return 0;
}

// A bar on a terminal, at most every hundredth.
static void show_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    int *shown = context;
    int percent = (int)(done_bytes * 100 / total_bytes);
    if (percent == *shown)
        return;
    *shown = percent;
    fprintf(stderr, "\r[%-50.*s] %3d %% of %" PRIu64 " MB", percent / 2,
            "##################################################", percent, total_bytes / 1000000);
    if (percent == 100)
        fprintf(stderr, "\n");
}

static int verify(struct disk *disk, bool json, struct error *error)
{
    struct journal_verification result;
    int shown = -1;
    if (journal_verify(disk, 0, isatty(STDERR_FILENO) ? show_progress : NULL, &shown, &result,
                       error) < 0)
        return -1;
    char seal[2 * JOURNAL_SEAL_SIZE + 1] = "";
    for (size_t i = 0; result.sealed > 0 && i < JOURNAL_SEAL_SIZE; i++)
        snprintf(seal + 2 * i, 3, "%02x", result.seal[i]);
    if (!json)
        printf("every block is sound\n");
    json_t *object = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "segments", (json_int_t)result.segment_count,
        "sealed", (json_int_t)result.sealed_count, "unsealed", (json_int_t)result.unsealed_count,
        "records", (json_int_t)result.stat.record_count, "torn_blocks",
        (json_int_t)result.stat.torn_block_count, "newest_seal_of_segment",
        (json_int_t)result.sealed, "newest_seal", seal);
    json_object_set_new(object, "clean", json_boolean(result.stat.clean));
    print_object(object, json);
    return 0;
}

static int read_journal(const char *action, const char *directory, bool json)
{
    struct error error;
    struct disk *disk = disk_open_read_only(directory, &error);
    int result = -1;
    if (disk)
        result = strcmp(action, "verify") == 0
                     ? verify(disk, json, &error)
                     : scan(disk, strcmp(action, "dump") == 0, json, &error);
    if (disk)
        disk_close(disk);
    if (result)
        fprintf(stderr, "sluice: %s\n", error.text);
    return result ? 1 : 0;
}

int verb_journal(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return 2;
        json = true;
    }
    const char *action = optind < argc ? argv[optind] : "";
    bool known =
        strcmp(action, "dump") == 0 || strcmp(action, "verify") == 0 || strcmp(action, "stat") == 0;
    if (!known || optind + 2 != argc) {
        fprintf(stderr, "sluice: usage: sluice journal dump|verify|stat [--json] DIRECTORY\n");
        return 2;
    }
    return read_journal(action, argv[optind + 1], json);
}
