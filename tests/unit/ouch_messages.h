// SPDX-License-Identifier: MIT
//
// What the tests of both directions of OUCH have in common: the symbols that are listed, and the
// recorded messages.
#ifndef SLUICE_TESTS_UNIT_OUCH_MESSAGES_H
#define SLUICE_TESTS_UNIT_OUCH_MESSAGES_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/ouch.h"
#include "tests/unit/recorded.h"

#define CHANNEL "0003 02 1C 09" // an appendage that names channel 9
#define ACME    3u              // its index among the listed

static char symbol_memory[4096] __attribute__((aligned(8)));

static inline struct symbols listed(void)
{
    struct symbols symbols;
    cr_assert_leq(symbols_memory_size(8), sizeof(symbol_memory));
    symbols_init(&symbols, symbol_memory, 8);
    symbols_add(&symbols, "AAPL    ");
    symbols_add(&symbols, "CVLT    ");
    symbols_add(&symbols, "ADBE    ");
    cr_assert_eq(symbols_add(&symbols, "ACME    "), ACME);
    return symbols;
}

// Recorded messages. They come in SoupBinTCP: a length, a type and, for data, an OUCH message.

struct soup {
    uint8_t type;
    uint8_t message[128];
    size_t size;
};

static inline void take_soup(const uint8_t *payload, size_t size, void *context)
{
    struct soup *soup = context;
    cr_assert_geq(size, 3);
    cr_assert_eq(size, 2u + (payload[0] << 8 | payload[1]));
    soup->type = payload[2];
    soup->size = size - 3;
    cr_assert_leq(soup->size, sizeof(soup->message));
    memcpy(soup->message, payload + 3, soup->size);
}

static inline struct soup recorded(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "packets/ouch50/%s.pcap", name);
    struct soup soup = {0};
    cr_assert_eq(recorded_packets(path, take_soup, &soup), 1);
    return soup;
}

#endif
