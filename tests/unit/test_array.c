// SPDX-License-Identifier: MIT
//
// The linker gives calls of the allocator to the functions here (see the Makefile), which can fail
// any of them. tests/unit/test_valgrind.sh runs this under valgrind: nothing may leak either.
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "dataplane/load_tape.h"
#include "numa/array.h"
#include "tests/unit/random.h"

#define NEVER UINT32_MAX

static uint32_t left_to_failure = NEVER; // allocations that succeed before one fails

static bool fails(void)
{
    return left_to_failure != NEVER && left_to_failure-- == 0;
}

// What the linker calls in place of malloc, calloc and realloc, and those themselves.
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t count, size_t size);
extern void *__real_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

struct element {
    uint64_t value, complement;
    char filling[24];
};

struct list {
    struct element *elements;
    size_t count, capacity;
};

static bool add(struct list *list, uint64_t value)
{
    if (!array_reserve(&list->elements, &list->capacity, list->count + 1, sizeof(*list->elements)))
        return false;
    list->elements[list->count++] = (struct element){.value = value, .complement = ~value};
    return true;
}

Test(array, holds_what_a_fixed_array_would_under_random_operations)
{
    enum { MOST = 20000 };
    static uint64_t model[MOST];
    struct random random = {1};
    struct list list = {0};
    for (int step = 0; step < 3000; step++) {
        size_t add_count = random_below(&random, 64), reserve = random_below(&random, MOST);
        for (size_t i = 0; i < add_count && list.count < MOST; i++) {
            model[list.count] = random_bits(&random);
            cr_assert(add(&list, model[list.count]));
        }
        if (random_percent(&random, 2))
            cr_assert(
                array_reserve(&list.elements, &list.capacity, reserve, sizeof(*list.elements)));
        if (random_percent(&random, 60) && list.count > 0)
            list.count -= random_below(&random, (uint32_t)list.count);
        cr_assert_leq(list.count, list.capacity);
        for (size_t i = 0; i < list.count; i++)
            cr_assert(list.elements[i].value == model[i] &&
                      list.elements[i].complement == ~model[i]);
    }
    free(list.elements);
}

Test(array, doubles_so_that_adding_one_by_one_takes_few_growths)
{
    struct list list = {0};
    uint32_t growths = 0;
    for (uint64_t i = 0; i < 1000000; i++) {
        size_t before = list.capacity;
        cr_assert(add(&list, i));
        growths += list.capacity != before;
    }
    cr_assert_leq(growths, 15);
    free(list.elements);
}

Test(array, leaves_everything_as_it_was_at_each_failure)
{
    struct list list = {0};
    for (uint64_t i = 0; i < 5000; i++) {
        struct list before = list;
        left_to_failure = 0;
        bool added = add(&list, i);
        cr_assert_eq(added, before.count < before.capacity);
        if (added)
            list.count--;
        left_to_failure = NEVER;
        cr_assert(list.elements == before.elements && list.count == before.count &&
                  list.capacity == before.capacity);
        for (uint64_t j = 0; !added && j < i; j++)
            cr_assert(list.elements[j].value == j && list.elements[j].complement == ~j);
        cr_assert(add(&list, i));
    }
    free(list.elements);
}

Test(array, refuses_a_size_that_does_not_fit)
{
    struct list list = {0};
    cr_assert(add(&list, 7));
    struct list before = list;
    for (size_t wanted = SIZE_MAX; wanted > SIZE_MAX / sizeof(struct element); wanted /= 2)
        cr_assert_not(
            array_reserve(&list.elements, &list.capacity, wanted, sizeof(*list.elements)));
    cr_assert(list.elements == before.elements && list.capacity == before.capacity &&
              list.elements[0].value == 7);
    free(list.elements);
}

// Reads a tape with so many allocations before one fails; whether none had to.
static bool read_tape(const char *path, uint32_t allocations)
{
    static const char acme[][8] = {"ACME    "};
    struct load_tape_options options = {.session_count = 4, .symbol_count = 1, .symbols = acme};
    struct load_tape_counts counts;
    struct load_day day = {0};
    struct error error = {0};
    left_to_failure = allocations;
    int status = load_tape_read(path, &options, &day, &counts, &error);
    bool failed = left_to_failure == NEVER;
    left_to_failure = NEVER;
    cr_assert_eq(status, failed ? -1 : 0, "after %u allocations: %s", allocations, error.text);
    cr_assert(!failed || strstr(error.text, "no memory"), "%s", error.text);
    load_day_free(&day);
    return !failed;
}

Test(array, a_tape_is_refused_whichever_allocation_fails)
{
    char path[] = "/tmp/sluice-array-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    // Entered by the tape, and cancelled as one that was entered before it, so that all grows.
    for (int i = 1; i <= 300; i++)
        fprintf(file, "34200.%09d,1,%d,100,%d,%d\n", i, 1000 + i, 500000 + i * 100, i % 2 ? 1 : -1);
    for (int i = 1; i <= 300; i++)
        fprintf(file, "34201.%09d,3,%d,100,%d,%d\n", i, i, 400000 + i * 100, i % 2 ? 1 : -1);
    fclose(file);
    uint32_t allocations = 0;
    while (!read_tape(path, allocations))
        allocations++;
    cr_assert_geq(allocations, 10, "only %u allocations", allocations);
    unlink(path);
}
