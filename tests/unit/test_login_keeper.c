// SPDX-License-Identifier: MIT
//
// Whose login is verified first.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/login_keeper.h"
#include "tests/password.h"

#define LANES     2u
#define CLEAR_MAX (LOGINS_WAITING_MAX / 2) // that may wait in a lane

static const struct config_session in_clear = {.user = "CLEAR ", .password_hash = PASSWORD_HASH};
static const struct config_session is_signed = {.user = "SIGNED", .is_signed = true};
static struct logins lanes[LANES];
static struct login_keeper keeper;

static void set_up(void)
{
    struct error error;
    keeper = (struct login_keeper){.count = LANES};
    for (uint32_t i = 0; i < LANES; i++) {
        logins_init(&lanes[i]);
        keeper.logins[i] = &lanes[i];
    }
    cr_assert_eq(login_keeper_open(&keeper, &error), 0, "%s", error.text);
}

static void tear_down(void)
{
    login_keeper_close(&keeper);
}

TestSuite(login_keeper, .init = set_up, .fini = tear_down);

static bool give(uint32_t lane, uint32_t index, const struct config_session *who)
{
    static const uint8_t datagram[sizeof(struct signed_login)];
    const struct packet packet = {
        .source.address = htonl(0x0A4D0002), .payload = datagram, .payload_size = sizeof(datagram)};
    const struct signed_accept offer = {.sequence = be32_of(1)};
    return logins_give(&lanes[lane], index, who, &packet, who->is_signed ? &offer : NULL);
}

// How many have their verdict, in all lanes; they are done with.
static uint32_t answered(const struct config_session *who)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < LANES; i++)
        for (uint32_t j = 0; j < LOGINS_WAITING_MAX; j++) {
            struct login *login = &lanes[i].waiting[j];
            if (atomic_load(&login->state) != LOGIN_ANSWERED || login->who != who)
                continue;
            logins_done(&lanes[i], login);
            count++;
        }
    return count;
}

Test(login_keeper, a_signed_login_waits_for_one_in_clear_at_most)
{
    cr_assert(give(1, CLEAR_MAX, &is_signed)); // in the place that is looked at last
    for (uint32_t i = 0; i < CLEAR_MAX; i++)
        cr_assert(give(0, i, &in_clear) && give(1, i, &in_clear));
    cr_assert(login_keeper_serve(&keeper));
    cr_expect_eq(answered(&is_signed), 1);
    cr_expect_eq(answered(&in_clear), 1);
}

Test(login_keeper, signed_logins_that_do_not_end_keep_none_in_clear_out)
{
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(give(0, i, &in_clear));
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < CLEAR_MAX; i++)
            cr_assert(give(0, 100 + i, &is_signed) && give(1, 100 + i, &is_signed));
        cr_assert(login_keeper_serve(&keeper));
        cr_expect_eq(answered(&is_signed), LOGINS_WAITING_MAX);
        cr_expect_eq(answered(&in_clear), 1);
    }
    cr_assert_not(login_keeper_serve(&keeper));
}

// A place that is taken again at once is not served before the others.
Test(login_keeper, whoever_comes_again_at_once_keeps_nobody_waiting)
{
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(give(0, i, &in_clear));
    for (uint32_t round = 0; round < 3; round++) {
        cr_assert(give(0, 100, &is_signed));
        cr_assert(login_keeper_serve(&keeper));
        cr_expect_eq(answered(&is_signed), 1);
        for (uint32_t j = 0; j < LOGINS_WAITING_MAX; j++) {
            struct login *login = &lanes[0].waiting[j];
            if (atomic_load(&login->state) != LOGIN_ANSWERED)
                continue;
            cr_expect_lt(login->index, 3, "one of those that wait");
            logins_done(&lanes[0], login);
            cr_assert(give(0, 10 + round, &in_clear));
        }
    }
}
