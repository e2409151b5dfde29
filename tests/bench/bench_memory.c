// SPDX-License-Identifier: MIT
//
// bench_memory: the house's pool of places and its growable array on the pattern of the tape's
// orders (book_tape.h): 64-byte objects taken and freed as orders are entered and cancelled,
// 200,000 and more at a time, in huge pages as the book has them and in normal ones, against malloc
// and, where it is installed, mimalloc; and a million
// commands added one by one, against std::vector. Rounds alternate; medians of ROUNDS, lowest and
// highest beside them, a line of JSON each.
#include <dlfcn.h>
#include <stdint.h>

#include "numa/arena.h"
#include "numa/array.h"
#include "numa/clock.h"
#include "numa/slots.h"
#include "tests/bench/book_tape.h"
#include "tests/bench/measure.h"
#include "tests/bench/peer_vector.h"
#include "tests/bench/row.h"

#define RESTING  200000u
#define COMMANDS 1000000u
#define ROUNDS   9u
#define SEED     20261101u
#define OBJECT   64u // bytes

static struct command *commands;
static uint32_t command_count;
static void **objects; // by order number; NULL: not there
static uint64_t operation_count;

static uint32_t order_number(uint16_t session, uint32_t user_ref_num)
{
    return user_ref_num * 16 + session;
}

// Those of the house.

struct places {
    struct arena arena;
    struct slots slots;
    unsigned char *first;
};

static struct places huge, normal;
static struct places *places; // those that are measured

static void *take_place(size_t size)
{
    return places->first + size * slots_take(&places->slots, places->first, size);
}

static void give_place(void *object)
{
    size_t offset = (size_t)((unsigned char *)object - places->first);
    slots_give(&places->slots, object, (uint32_t)(offset / OBJECT));
}

static void open_places(struct places *pool, uint32_t max, bool hot)
{
    struct error error;
    size_t size = (max + 1ull) * OBJECT;
    INVARIANT(arena_open(&pool->arena, "places", size, ARENA_ANY_NODE, hot, &error) == 0);
    pool->first = arena_take(&pool->arena, size, 64);
    pool->slots = (struct slots){.fresh = 1, .max = max};
}

struct allocator {
    const char *name;
    void *(*take)(size_t size);
    void (*give)(void *object);
    struct places *places; // the house's
};

static void order_born(const struct allocator *allocator, uint32_t number)
{
    objects[number] = allocator->take(OBJECT);
    *(uint64_t *)objects[number] = number; // an order is written when it is entered
    operation_count++;
}

static void order_died(const struct allocator *allocator, uint32_t number)
{
    if (!objects[number])
        return; // a cancel that comes too late
    allocator->give(objects[number]);
    objects[number] = NULL;
    operation_count++;
}

static double play_orders(const struct allocator *allocator)
{
    operation_count = 0;
    places = allocator->places;
    uint64_t start_ns = clock_raw_ns();
    for (uint32_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        uint32_t number = order_number(command->session, command->order.user_ref_num);
        if (command->type == COMMAND_REPLACE)
            order_died(allocator, order_number(command->session, command->order.orig_user_ref_num));
        if (command->type == COMMAND_ENTER || command->type == COMMAND_REPLACE)
            order_born(allocator, number);
        else if (command->type == COMMAND_CANCEL)
            order_died(allocator, number);
    }
    double ns = (double)(clock_raw_ns() - start_ns) / (double)operation_count;
    for (uint32_t i = 0; i < 2 * (RESTING + COMMANDS); i++)
        order_died(allocator, i);
    return ns;
}

static double play_array(void)
{
    struct command *array = NULL;
    size_t capacity = 0;
    uint64_t start_ns = clock_raw_ns();
    for (uint32_t i = 0; i < command_count; i++) {
        INVARIANT(array_reserve(&array, &capacity, i + 1, sizeof(*array)));
        array[i] = commands[i];
    }
    double ns = (double)(clock_raw_ns() - start_ns) / command_count;
    free(array);
    return ns;
}

static double play_vector(void)
{
    uint64_t start_ns = clock_raw_ns();
    void *vector = peer_vector_fill(commands, command_count);
    double ns = (double)(clock_raw_ns() - start_ns) / command_count;
    peer_vector_free(vector);
    return ns;
}

static void print_samples(const char *name, double *ns, const char *const peers[ROW_PEERS])
{
    struct row row = {.name = name, .unit = "ns", .samples = (uint64_t)ROUNDS * command_count};
    for (uint32_t i = 0; peers && i < ROW_PEERS; i++)
        row.peers[i] = peers[i];
    row_print(&row, ns, ROUNDS);
}

// A library of its own name space: linked with, it would be malloc for all.
static bool find_mimalloc(struct allocator *allocator)
{
    void *library = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
    void *take = dlsym(library, "mi_malloc"), *give = dlsym(library, "mi_free");
    memcpy(&allocator->take, &take, sizeof(take));
    memcpy(&allocator->give, &give, sizeof(give));
    return take && give;
}

#define ALLOCATORS 4u

static void measure_orders(void)
{
    struct allocator allocators[ALLOCATORS] = {
        {"orders: slots", take_place, give_place, &huge},
        {"orders: slots, normal pages", take_place, give_place, &normal},
        {"orders: malloc", malloc, free, NULL},
        {"orders: mimalloc", NULL, NULL, NULL}};
    double ns[ALLOCATORS][ROUNDS];
    size_t count = find_mimalloc(&allocators[3]) ? 4 : 3;
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < count; i++)
            ns[i][round] = play_orders(&allocators[i]);
    const char *const peers[ROW_PEERS] = {allocators[1].name, allocators[2].name,
                                          count > 3 ? allocators[3].name : NULL};
    for (size_t i = 0; i < count; i++)
        print_samples(allocators[i].name, ns[i], i == 0 ? peers : NULL);
    if (count < ALLOCATORS)
        row_missing(allocators[3].name, "apt-get install libmimalloc2.0");
}

static void measure_growth(void)
{
    double array_ns[ROUNDS], vector_ns[ROUNDS];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        array_ns[round] = play_array();
        vector_ns[round] = play_vector();
    }
    const char *const peers[ROW_PEERS] = {"growth: std::vector"};
    print_samples("growth: array", array_ns, peers);
    print_samples(peers[0], vector_ns, NULL);
}

int main(void)
{
    struct tape_shape shape = {.instruments = 100, .resting = RESTING, .commands_max = COMMANDS};
    struct tape *tape = tape_open(&shape, SEED);
    uint32_t places_max = 2 * RESTING + COMMANDS;
    for (uint32_t i = tape_lead_count(&shape) - RESTING; i > 0; i--)
        tape_next(tape, &(struct command){0}); // the day's listing
    command_count = RESTING + COMMANDS;
    commands = memory_map(command_count * sizeof(*commands));
    for (uint32_t i = 0; i < command_count; i++)
        tape_next(tape, &commands[i]);
    tape_close(tape);
    objects = memory_map(2ull * (RESTING + COMMANDS) * sizeof(*objects));
    open_places(&huge, places_max, true);
    open_places(&normal, places_max, false);
    measure_orders();
    measure_growth();
    return 0;
}
