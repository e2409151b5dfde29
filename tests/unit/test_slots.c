// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "numa/slots.h"
#include "tests/unit/random.h"

#define MOST 300u

struct object {
    uint64_t value;
    uint32_t link;
    uint32_t index_again;
};

// Behind place 0, which is nobody's.
static struct object objects[MOST + 1];

static uint32_t take(struct slots *slots)
{
    return slots_take(slots, &objects[0].link, sizeof(objects[0]));
}

Test(slots, give_each_place_once_and_then_none)
{
    struct slots slots = {.fresh = 1, .max = MOST};
    for (uint32_t i = 1; i <= MOST; i++)
        cr_assert_eq(take(&slots), i);
    struct slots before = slots;
    cr_assert_eq(take(&slots), 0);
    cr_assert_arr_eq(&slots, &before, sizeof(slots), "what was refused has changed nothing");
}

Test(slots, give_the_last_one_given_back_first)
{
    struct slots slots = {.fresh = 1, .max = MOST};
    for (uint32_t i = 1; i <= 3; i++)
        take(&slots);
    slots_give(&slots, &objects[2].link, 2);
    slots_give(&slots, &objects[1].link, 1);
    cr_assert_eq(slots.count, 1);
    cr_assert_eq(take(&slots), 1);
    cr_assert_eq(take(&slots), 2);
    cr_assert_eq(take(&slots), 4);
}

Test(slots, are_as_a_list_of_who_is_in_under_random_operations)
{
    struct slots slots = {.fresh = 1, .max = MOST};
    struct random random = {1};
    uint32_t in_use[MOST], count = 0;
    for (uint64_t step = 0; step < 200000; step++) {
        if (random_percent(&random, step / 5000 % 2 ? 45 : 55)) {
            uint32_t index = take(&slots);
            cr_assert_eq(index == 0, count == MOST);
            if (index == 0)
                continue;
            for (uint32_t i = 0; i < count; i++)
                cr_assert_neq(in_use[i], index);
            objects[index] = (struct object){.value = step, .link = ~0u, .index_again = index};
            in_use[count++] = index;
        } else if (count > 0) {
            uint32_t at = random_below(&random, count), index = in_use[at];
            cr_assert_eq(objects[index].index_again, index);
            slots_give(&slots, &objects[index].link, index);
            in_use[at] = in_use[--count];
        }
        cr_assert_eq(slots.count, count);
    }
}
