// SPDX-License-Identifier: MIT
//
// The day that `sluice load` generates: its mix, and what becomes of it in a book.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "dataplane/load_flow.h"
#include "tests/unit/load_parts.h"

static struct load_day generate(uint64_t seed, uint64_t count, uint32_t session_count,
                                uint32_t symbol_count)
{
    static char symbols[LOAD_NAMED_SYMBOLS_MAX][8];
    struct load_flow_options options = {
        .seed = seed,
        .count = count,
        .session_count = session_count,
        .symbol_count = symbol_count,
        .symbols = (const char(*)[8])symbols,
    };
    struct load_day day;
    struct error error;
    for (uint32_t i = 0; i < symbol_count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "S%-7u", i);
        memcpy(symbols[i], name, 8);
    }
    cr_assert_eq(load_flow_generate(&options, &day, &error), 0);
    return day;
}

static bool same_steps(const struct load_day *a, const struct load_day *b, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct load_step *x = &a->steps[i], *y = &b->steps[i];
        if (x->ref != y->ref || x->orig_ref != y->orig_ref || x->quantity != y->quantity ||
            x->price != y->price || x->symbol != y->symbol || x->session != y->session ||
            x->kind != y->kind || x->side != y->side || x->time_in_force != y->time_in_force)
            return false;
    }
    return true;
}

Test(load_flow, a_seed_always_gives_the_same_day_and_a_longer_one_begins_with_the_shorter)
{
    struct load_day day = generate(7, 20000, 3, 5);
    struct load_day again = generate(7, 20000, 3, 5);
    struct load_day shorter = generate(7, 5000, 3, 5);
    struct load_day other = generate(8, 20000, 3, 5);
    cr_assert_eq(day.count, 20000);
    cr_assert(same_steps(&day, &again, 20000));
    cr_assert(same_steps(&day, &shorter, 5000));
    cr_assert_not(same_steps(&day, &other, 20000));
    load_day_free(&day);
    load_day_free(&again);
    load_day_free(&shorter);
    load_day_free(&other);
}

Test(load_flow, the_mix_is_that_of_an_equities_venue)
{
    struct load_day day = generate(1, 200000, 4, 3);
    double adds = 0, cancels = 0, replaces = 0, crosses = 0;
    for (uint64_t i = 0; i < day.count; i++) {
        const struct load_step *step = &day.steps[i];
        bool ioc = step->kind == LOAD_ENTER && step->time_in_force == LOAD_TIF_IOC;
        crosses += ioc;
        adds += step->kind == LOAD_ENTER && !ioc; // a third of the crossing orders among them
        cancels += step->kind == LOAD_CANCEL;
        replaces += step->kind == LOAD_REPLACE;
    }
    double count = (double)day.count;
    cr_assert(adds / count > 0.46 && adds / count < 0.52, "%f", adds / count);
    cr_assert(cancels / count > 0.40 && cancels / count < 0.46, "%f", cancels / count);
    cr_assert(replaces / count > 0.04 && replaces / count < 0.06, "%f", replaces / count);
    cr_assert(crosses / count > 0.025 && crosses / count < 0.045, "%f", crosses / count);
    load_day_free(&day);
}

static void matcher_step(struct matcher *matcher, const struct load_step *step)
{
    struct command command = load_step_command(step);
    matcher_apply(matcher, &command);
}

Test(load_flow, the_book_neither_empties_nor_grows_and_few_cancels_come_too_late)
{
    struct load_day day = generate(3, 300000, 4, 2);
    struct matcher *matcher = matcher_open(2, 4);
    struct book_summary summary;
    uint64_t cancels = 0;
    for (uint64_t i = 0; i < day.count; i++) {
        matcher_step(matcher, &day.steps[i]);
        cancels += day.steps[i].kind == LOAD_CANCEL;
        book_summarise(matcher->book, &summary);
        if (i > 20000)
            cr_assert(summary.order_count > 100 && summary.order_count < 800,
                      "%u orders after %lu messages", summary.order_count, i);
    }
    uint64_t late = cancels - matcher->canceled;
    cr_assert(late > 0 && late * 20 < cancels, "%lu of %lu cancels came too late", late, cancels);
    cr_assert_gt(matcher->executions, 5000);
    cr_assert_gt(matcher->replaced, 10000);
    cr_assert(matcher->same_session * 3 < matcher->executions, "%lu of %lu", matcher->same_session,
              matcher->executions);
    matcher_close(matcher);
    load_day_free(&day);
}

// What a client knows of its own orders.
struct known {
    uint32_t total;
    uint16_t symbol;
    bool over;
};

Test(load_flow, every_message_names_an_order_of_its_session_and_never_asks_for_the_impossible)
{
    struct load_day day = generate(11, 100000, 3, 4);
    struct known *known[3];
    uint32_t next[3] = {1, 1, 1};
    for (int i = 0; i < 3; i++)
        known[i] = calloc(day.refs[i] + 1, sizeof(struct known));
    for (uint64_t i = 0; i < day.count; i++) {
        const struct load_step *step = &day.steps[i];
        struct known *mine = known[step->session];
        cr_assert_lt(step->session, 3);
        cr_assert_lt(step->symbol, 4);
        if (step->kind != LOAD_CANCEL) {
            cr_assert_eq(step->ref, next[step->session]++);
            cr_assert(step->quantity >= 1 && step->quantity <= QUANTITY_MAX);
            cr_assert(step->price >= 1 && step->price <= PRICE_MAX && step->price % 100 == 0);
            mine[step->ref] = (struct known){step->quantity, step->symbol, false};
        } else {
            cr_assert_lt(step->quantity, mine[step->ref].total);
            mine[step->ref].total = step->quantity;
        }
        uint32_t named = step->kind == LOAD_CANCEL ? step->ref : step->orig_ref;
        if (step->kind == LOAD_ENTER)
            continue;
        cr_assert(named > 0 && named < next[step->session]);
        cr_assert_not(mine[named].over, "step %lu names an order that it cancelled or replaced", i);
        cr_assert_eq(mine[named].symbol, step->symbol);
        mine[named].over = step->kind == LOAD_REPLACE || step->quantity == 0;
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(next[i] - 1, day.refs[i]);
        free(known[i]);
    }
    load_day_free(&day);
}
