// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "book/book.h"
#include "dataplane/symbols.h"

static void open_table(struct symbols *symbols, uint16_t count_max)
{
    void *memory = malloc(symbols_memory_size(count_max));
    cr_assert_not_null(memory);
    symbols_init(symbols, memory, count_max);
}

static void close_table(struct symbols *symbols)
{
    free(symbols->names);
}

static void name_of(char name[8], unsigned number)
{
    char text[16];
    snprintf(text, sizeof(text), "SYM%-5u", number);
    memcpy(name, text, 8);
}

Test(symbols, a_name_is_found_under_the_index_it_was_given)
{
    struct symbols symbols;
    open_table(&symbols, 2);
    cr_assert_eq(symbols_add(&symbols, "ACME    "), 0);
    cr_assert_eq(symbols_add(&symbols, "AAPL    "), 1);
    cr_assert_eq(symbols_find(&symbols, "ACME    "), 0);
    cr_assert_eq(symbols_find(&symbols, "AAPL    "), 1);
    cr_assert_arr_eq(symbols_name(&symbols, 1), "AAPL    ", 8);
    close_table(&symbols);
}

Test(symbols, a_name_is_its_eight_bytes_case_and_padding_included)
{
    struct symbols symbols;
    open_table(&symbols, 4);
    symbols_add(&symbols, "ACME    ");
    cr_assert_eq(symbols_find(&symbols, "acme    "), NO_INSTRUMENT);
    cr_assert_eq(symbols_find(&symbols, " ACME   "), NO_INSTRUMENT);
    cr_assert_eq(symbols_find(&symbols, "ACME\0\0\0"), NO_INSTRUMENT);
    cr_assert_eq(symbols_find(&symbols, "        "), NO_INSTRUMENT);
    close_table(&symbols);
}

Test(symbols, an_index_that_is_not_in_use_is_named_by_spaces)
{
    struct symbols symbols;
    open_table(&symbols, 2);
    symbols_add(&symbols, "ACME    ");
    cr_assert_arr_eq(symbols_name(&symbols, 1), "        ", 8);
    cr_assert_arr_eq(symbols_name(&symbols, NO_INSTRUMENT), "        ", 8);
    close_table(&symbols);
}

Test(symbols, a_name_is_added_once)
{
    struct symbols symbols;
    open_table(&symbols, 2);
    symbols_add(&symbols, "ACME    ");
    cr_assert_eq(symbols_add(&symbols, "ACME    "), NO_INSTRUMENT);
    cr_assert_eq(symbols.count, 1);
    close_table(&symbols);
}

Test(symbols, a_full_table_takes_no_more_and_keeps_what_it_has)
{
    struct symbols symbols;
    open_table(&symbols, 1);
    symbols_add(&symbols, "ACME    ");
    cr_assert_eq(symbols_add(&symbols, "AAPL    "), NO_INSTRUMENT);
    cr_assert_eq(symbols_find(&symbols, "AAPL    "), NO_INSTRUMENT);
    cr_assert_eq(symbols_find(&symbols, "ACME    "), 0);
    close_table(&symbols);
}

Test(symbols, an_empty_table_has_no_names)
{
    struct symbols symbols;
    open_table(&symbols, 0);
    cr_assert_eq(symbols_find(&symbols, "ACME    "), NO_INSTRUMENT);
    cr_assert_eq(symbols_add(&symbols, "ACME    "), NO_INSTRUMENT);
    close_table(&symbols);
}

Test(symbols, the_largest_table_finds_each_of_its_names_and_no_other)
{
    struct symbols symbols;
    open_table(&symbols, BOOK_INSTRUMENTS_MAX);
    char name[8];
    for (unsigned i = 0; i < BOOK_INSTRUMENTS_MAX; i++) {
        name_of(name, i);
        cr_assert_eq(symbols_add(&symbols, name), i);
    }
    for (unsigned i = 0; i < BOOK_INSTRUMENTS_MAX; i++) {
        name_of(name, i);
        cr_assert_eq(symbols_find(&symbols, name), i);
        cr_assert_arr_eq(symbols_name(&symbols, (uint16_t)i), name, 8);
    }
    for (unsigned i = BOOK_INSTRUMENTS_MAX; i < 99999; i++) {
        name_of(name, i);
        cr_assert_eq(symbols_find(&symbols, name), NO_INSTRUMENT);
    }
    close_table(&symbols);
}

// Names that differ only in their last letters must not pile up: at half load and with a good hash
// runs of used slots stay below about 40 in a table of this size.
Test(symbols, names_that_differ_in_their_last_letters_are_spread_over_the_table)
{
    struct symbols symbols;
    open_table(&symbols, 4096);
    char name[8];
    for (unsigned i = 0; i < 4096; i++) {
        name_of(name, 10000 + i);
        symbols_add(&symbols, name);
    }
    unsigned run = 0, longest = 0;
    for (uint32_t i = 0; i <= symbols.slot_mask; i++) {
        run = symbols.slots[i] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    cr_assert_lt(longest, 100, "%u slots in a row are used", longest);
    close_table(&symbols);
}
