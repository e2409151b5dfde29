// SPDX-License-Identifier: MIT
//
// What a client sends, for the tests of those who read it.
#ifndef SLUICE_TESTS_UNIT_ORDER_ENTRY_H
#define SLUICE_TESTS_UNIT_ORDER_ENTRY_H

#include <string.h>

#include "dataplane/ouch.h"
#include "dataplane/ufo.h"

struct order_message {
    uint8_t ufo_type;
    struct ouch_enter order;
};

// Each text as long as its field: 6, 10 and 10 characters.
static inline struct ufo_login login_message(const char *user, const char *password,
                                             const char *session)
{
    struct ufo_login login = {.type = UFO_LOGIN};
    memcpy(login.user_name, user, sizeof(login.user_name));
    memcpy(login.password, password, sizeof(login.password));
    memcpy(login.session, session, sizeof(login.session));
    return login;
}

// A purchase of 100 ACME for 1.00.
static inline struct order_message order_message(uint32_t user_ref_num)
{
    struct order_message message = {.ufo_type = UFO_UNSEQUENCED};
    struct ouch_enter *order = &message.order;
    order->type = OUCH_ENTER;
    order->user_ref_num = be32_of(user_ref_num);
    order->side = 'B';
    order->quantity = be32_of(100);
    memcpy(order->symbol, "ACME    ", 8);
    order->price = be64_of(10000);
    order->time_in_force = '0';
    order->display = 'Y';
    order->capacity = 'P';
    order->sweep = 'N';
    order->cross_type = 'N';
    return message;
}

#endif
