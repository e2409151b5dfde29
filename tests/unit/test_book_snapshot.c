// SPDX-License-Identifier: MIT
//
// Snapshots: what is saved and loaded behaves as the book it came from, whatever the way; and bytes
// that are no snapshot are refused without harm.
#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"

#define RECORDS_MAX 4096u

static const struct book_limits limits = {
    .orders_max = 600, .instruments_max = 3, .sessions_max = 4};

struct house {
    struct book *book;
    struct event_sink sink;
    struct event events[256];
    uint64_t hash; // of all events
};

struct saved {
    uint32_t count;
    struct book_record records[RECORDS_MAX];
};

static void hash_events(struct event_sink *sink)
{
    struct house *house = sink->context;
    const unsigned char *bytes = (const unsigned char *)house->events;
    size_t size = (size_t)((const unsigned char *)sink->next - bytes);
    for (size_t i = 0; i < size; i++)
        house->hash = (house->hash ^ bytes[i]) * 0x100000001B3ull;
    sink->next = house->events;
}

static struct house *house_open(void)
{
    struct house *house = calloc(1, sizeof(*house));
    house->book = book_open(aligned_alloc(64, book_memory_size(&limits)), &limits);
    house->sink = (struct event_sink){house->events, house->events + 256, hash_events, house};
    return house;
}

static void house_close(struct house *house)
{
    free(house->book); // the memory it was opened in
    free(house);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15ull); // SplitMix64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

static uint32_t below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(next_random(state) >> 32) % limit;
}

static uint64_t midnight_ns = 1800000000000000000ull;

static void start(struct house *house)
{
    struct command commands[10] = {{.type = COMMAND_OPEN}};
    commands[0].open.limits = limits;
    commands[0].open.midnight_ns = midnight_ns;
    memcpy(commands[0].open.session_id, "SESSION001", 10);
    for (uint16_t i = 0; i < 3; i++) {
        commands[1 + i] = (struct command){.type = COMMAND_INSTRUMENT, .instrument = i};
        commands[1 + i].listing.round_lot = 100;
        commands[1 + i].listing.symbol[0] = (char)('A' + i);
    }
    for (uint16_t i = 0; i < 4; i++) {
        commands[4 + i] = (struct command){.type = COMMAND_SESSION, .session = i};
        commands[4 + i].member.firm[0] = (char)('F' + i / 2);
    }
    commands[8] = (struct command){.type = COMMAND_START};
    for (int i = 0; i < 9; i++) {
        commands[i].time_ns = midnight_ns;
        book_apply(house->book, &commands[i], &house->sink);
    }
}

// The i-th command of a stream with everything in it.
static struct command flow_command(uint64_t *random, uint32_t i)
{
    struct command command = {
        .time_ns = midnight_ns + i * 40000000ull,
        .type = (uint8_t)(COMMAND_ENTER + below(random, 4)),
        .session = (uint16_t)below(random, 4),
        .instrument = (uint16_t)below(random, 3),
        .side = (uint8_t)below(random, 3),
        .user_ref_index = below(random, 8) == 0,
    };
    if (below(random, 3) != 0)
        command.type = COMMAND_ENTER;
    bool names = command.type == COMMAND_CANCEL || command.type == COMMAND_MODIFY;
    command.order.user_ref_num = names ? below(random, i + 1) : i + 1;
    if (command.type == COMMAND_REPLACE)
        command.order.orig_user_ref_num = below(random, i + 1);
    else if (below(random, 9) == 0)
        memcpy(command.order.firm, "NAME", 4);
    command.order.quantity = 1 + below(random, 600);
    command.order.price = 500000 + below(random, 60) * (below(random, 9) ? 100 : 12345);
    switch (below(random, 8)) {
    case 0:
        command.order.max_floor = 1 + below(random, 100);
        command.order.random_reserve = (uint16_t)below(random, command.order.max_floor);
        break;
    case 1:
        command.order.attributes.time_in_force = TIF_GTT;
        command.order.expire_seconds = 1 + below(random, 9);
        break;
    case 2:
        command.order.attributes.display = DISPLAY_HIDDEN;
        command.order.attributes.peg = below(random, 4) & 3;
        if (command.order.attributes.peg >= PEG_PRIMARY)
            command.order.peg_offset = (int16_t)(below(random, 601) - 300);
        break;
    case 3:
        command.order.attributes.display = DISPLAY_ATTRIBUTABLE;
        break;
    }
    return command;
}

static void play(struct house *house, uint64_t *random, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        struct command command = flow_command(random, i);
        book_apply(house->book, &command, &house->sink);
    }
    hash_events(&house->sink);
}

static bool keep(void *context, const struct book_record *record)
{
    struct saved *saved = context;
    if (saved->count == RECORDS_MAX)
        return false;
    saved->records[saved->count++] = *record;
    return true;
}

static struct saved *save(const struct house *house)
{
    struct saved *saved = calloc(1, sizeof(*saved));
    cr_assert(book_save(house->book, keep, saved));
    return saved;
}

static const char *load(struct house *house, const struct saved *saved)
{
    const char *problem = NULL;
    for (uint32_t i = 0; i < saved->count && !problem; i++)
        problem = book_load(house->book, &saved->records[i]);
    return problem;
}

Test(book_snapshot, a_loaded_book_goes_on_as_the_one_that_was_saved)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct house *first = house_open(), *second = house_open();
        uint64_t random = seed;
        start(first);
        play(first, &random, 0, 400);
        struct saved *saved = save(first);
        cr_assert_null(load(second, saved));
        cr_assert_eq(book_hash(first->book), book_hash(second->book));
        struct book_summary one, two;
        book_summarise(first->book, &one);
        book_summarise(second->book, &two);
        cr_assert_arr_eq(&one, &two, sizeof(one));
        uint64_t same = random;
        first->hash = second->hash = 0;
        play(first, &random, 400, 1200);
        play(second, &same, 400, 1200);
        cr_assert_eq(first->hash, second->hash, "seed %lu", (unsigned long)seed);
        cr_assert_eq(book_hash(first->book), book_hash(second->book));
        house_close(first);
        house_close(second);
        free(saved);
    }
}

static void enter_buy(struct house *house, uint32_t number, enum peg peg)
{
    struct command command = {.time_ns = midnight_ns,
                              .type = COMMAND_ENTER,
                              .order = {.user_ref_num = number, .quantity = 100, .price = 500000}};
    command.order.attributes.peg = peg & 3;
    command.order.attributes.display = peg == PEG_NONE ? DISPLAY_VISIBLE : DISPLAY_HIDDEN;
    book_apply(house->book, &command, &house->sink);
}

Test(book_snapshot, an_instrument_has_so_many_pegs_and_no_more)
{
    struct house *first = house_open(), *second = house_open();
    struct book_order order;
    start(first);
    for (uint32_t number = 1; number <= BOOK_PEGS_MAX + 2; number++)
        enter_buy(first, number, number == 1 ? PEG_NONE : PEG_PRIMARY);
    cr_assert(book_find_user_ref(first->book, 0, 0, BOOK_PEGS_MAX + 1, &order));
    cr_assert_not(book_find_user_ref(first->book, 0, 0, BOOK_PEGS_MAX + 2, &order));
    struct saved *saved = save(first);
    cr_assert_null(load(second, saved));
    enter_buy(second, BOOK_PEGS_MAX + 3, PEG_PRIMARY);
    cr_assert_not(book_find_user_ref(second->book, 0, 0, BOOK_PEGS_MAX + 3, &order));
    struct command cancel = {
        .time_ns = midnight_ns, .type = COMMAND_CANCEL, .order.user_ref_num = 2};
    book_apply(second->book, &cancel, &second->sink);
    enter_buy(second, BOOK_PEGS_MAX + 4, PEG_PRIMARY);
    cr_assert(book_find_user_ref(second->book, 0, 0, BOOK_PEGS_MAX + 4, &order));
    house_close(first);
    house_close(second);
    free(saved);
}

static bool is_taken(struct house *house, uint32_t number, uint8_t side, uint32_t price)
{
    struct command command = {.time_ns = midnight_ns, .type = COMMAND_ENTER, .side = side};
    struct book_order order;
    command.order.user_ref_num = number;
    command.order.quantity = 100;
    command.order.price = price;
    book_apply(house->book, &command, &house->sink);
    return book_find_user_ref(house->book, 0, 0, number, &order);
}

Test(book_snapshot, a_loaded_book_keeps_prices_near_the_last_one)
{
    struct house *first = house_open(), *second = house_open();
    struct command limit = {.time_ns = midnight_ns,
                            .type = COMMAND_LIMIT,
                            .session = ANY_SESSION,
                            .side = LIMIT_FAT_FINGER,
                            .limit.value = 100};
    start(first);
    book_apply(first->book, &limit, &first->sink);
    cr_assert(is_taken(first, 1, SIDE_SELL, 500000));
    cr_assert_not(is_taken(first, 2, SIDE_BUY, 500000)); // trades
    struct saved *saved = save(first);
    cr_assert_null(load(second, saved));
    cr_assert(is_taken(second, 3, SIDE_BUY, 495000));
    cr_assert_not(is_taken(second, 4, SIDE_BUY, 494900));
    house_close(first);
    house_close(second);
    free(saved);
}

Test(book_snapshot, saving_what_was_loaded_gives_the_same_bytes)
{
    struct house *first = house_open(), *second = house_open();
    uint64_t random = 77;
    start(first);
    play(first, &random, 0, 900);
    struct saved *saved = save(first);
    cr_assert_null(load(second, saved));
    struct saved *again = save(second);
    cr_assert_eq(saved->count, again->count);
    cr_assert_arr_eq(saved->records, again->records, saved->count * sizeof(saved->records[0]));
    house_close(first);
    house_close(second);
    free(saved);
    free(again);
}

Test(book_snapshot, a_snapshot_that_is_not_written_to_the_end_is_noticed)
{
    struct house *house = house_open();
    start(house);
    struct saved *saved = calloc(1, sizeof(*saved));
    saved->count = RECORDS_MAX - 5;
    cr_assert_not(book_save(house->book, keep, saved));
    house_close(house);
    free(saved);
}

Test(book_snapshot, a_book_with_other_limits_refuses_it)
{
    struct house *house = house_open();
    start(house);
    struct saved *saved = save(house);
    struct book_limits others = limits;
    others.orders_max++;
    void *memory = aligned_alloc(64, book_memory_size(&others));
    cr_assert_str_eq(book_load(book_open(memory, &others), &saved->records[0]),
                     "a snapshot of a book with other limits");
    free(memory);
    house_close(house);
    free(saved);
}

Test(book_snapshot, any_changed_byte_that_counts_is_refused)
{
    struct house *house = house_open();
    uint64_t random = 5;
    start(house);
    play(house, &random, 0, 300);
    struct saved *saved = save(house);
    uint64_t hash = book_hash(house->book);
    uint32_t refused = 0;
    for (int i = 0; i < 3000; i++) {
        struct house *other = house_open();
        unsigned char *byte = (unsigned char *)saved->records +
                              below(&random, saved->count * sizeof(saved->records[0]));
        unsigned char old = *byte;
        *byte ^= (unsigned char)(1 + below(&random, 255));
        if (load(other, saved))
            refused++;
        else // padding, a ladder's place, the time of the last command: no part of the hash
            cr_assert_eq(book_hash(other->book), hash);
        *byte = old;
        house_close(other);
    }
    cr_assert_gt(refused, 1000);
    house_close(house);
    free(saved);
}

Test(book_snapshot, records_in_any_order_and_of_any_bytes_do_no_harm)
{
    struct house *source = house_open();
    uint64_t random = 9;
    start(source);
    play(source, &random, 0, 300);
    struct saved *saved = save(source);
    for (int round = 0; round < 300; round++) {
        struct house *house = house_open();
        for (int i = 0; i < 200; i++) {
            struct book_record record = saved->records[below(&random, saved->count)];
            if (below(&random, 3) == 0)
                ((unsigned char *)&record)[below(&random, 64)] = (unsigned char)below(&random, 256);
            if (record.type != BOOK_RECORD_END)
                (void)book_load(house->book, &record);
        }
        struct book_record end = {.type = BOOK_RECORD_END};
        (void)book_load(house->book, &end);
        play(house, &random, 1000, 1200);
        struct command close = {.type = COMMAND_CLOSE, .time_ns = midnight_ns * 2};
        book_apply(house->book, &close, &house->sink);
        house_close(house);
    }
    house_close(source);
    free(saved);
}
