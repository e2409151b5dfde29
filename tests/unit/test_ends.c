// SPDX-License-Identifier: MIT
//
// The ends that `sluice replay` puts in place of recorded addresses, and the drivers that zero-copy
// is taken from.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "dataplane/nic.h"
#include "dataplane/replay_wire.h"

static const uint8_t mac[6] = {0x02, 0, 0x0a, 0x4d, 0, 0x01};

Test(ends, a_mac_an_address_and_a_port)
{
    struct replay_wire_end end = {0};
    cr_assert(replay_wire_parse("02:00:0a:4d:00:01,10.77.0.1:26400", &end));
    cr_assert_eq(memcmp(end.mac, mac, 6), 0);
    cr_assert_eq(end.address, inet_addr("10.77.0.1"));
    cr_assert_eq(end.port, htons(26400));
}

Test(ends, each_part_that_is_not_given_stays_as_it_was_recorded)
{
    struct replay_wire_end end = {0};
    cr_assert(replay_wire_parse("10.77.0.1", &end));
    cr_assert_eq(end.port, 0);
    cr_assert_eq(end.mac[0], 0);
    end = (struct replay_wire_end){0};
    cr_assert(replay_wire_parse("02:00:0a:4d:00:01", &end));
    cr_assert_eq(memcmp(end.mac, mac, 6), 0);
    cr_assert_eq(end.address, 0);
}

Test(ends, what_is_none_is_refused)
{
    static const char *const bad[] = {
        "",          "host",           "10.77.0",           "10.77.0.256",
        "10.0.0.1:", "10.0.0.1:0",     "10.0.0.1:65536",    "10.0.0.1:80x",
        "10.0.0.1 ", "02:00:0a:4d:00", "02:00:0a:4d:00:",   "02:00:0a:4d:00:01,",
        ":80",       "10.0.0.1:80:80", "zz:00:0a:4d:00:01", "02:00:0a:4d:00:01;10.0.0.1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct replay_wire_end end = {0};
        cr_expect_not(replay_wire_parse(bad[i], &end), "\"%s\"", bad[i]);
    }
}

Test(drivers, zero_copy_begins_with_the_kernel_of_the_table)
{
    cr_assert(nic_zerocopy("virtio_net", 6, 11));
    cr_assert(nic_zerocopy("virtio_net", 7, 0));
    cr_assert_not(nic_zerocopy("virtio_net", 6, 10));
    cr_assert_not(nic_zerocopy("virtio_net", 5, 19));
    cr_assert(nic_zerocopy("mlx5_core", 6, 1));
    cr_assert_not(nic_zerocopy("mlx5_core", 6, 0));
}

Test(drivers, a_driver_that_is_not_in_the_table_copies)
{
    cr_assert_not(nic_zerocopy("ice", 6, 18));
    cr_assert_not(nic_zerocopy("veth", 7, 2));
    cr_assert_not(nic_zerocopy("", 7, 2));
}

Test(drivers, the_loopback_has_no_driver_and_a_name_that_is_not_there_is_an_error)
{
    char driver[32];
    uint8_t address[6];
    struct error error;
    nic_driver("lo", driver);
    cr_assert_not(nic_zerocopy_here("lo"));
    cr_assert_eq(nic_mac("nosuch0", address, &error), -1);
    cr_assert(strstr(error.text, "nosuch0"), "%s", error.text);
    cr_assert_not(nic_up("nosuch0"));
    cr_assert_eq(nic_rx_queues("nosuch0"), 0);
}
