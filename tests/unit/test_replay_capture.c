// SPDX-License-Identifier: MIT
//
// Captures of a few packets, made here, played through a lane.
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/packet.h"
#include "dataplane/replay.h"
#include "tests/password.h"
#include "tests/unit/order_entry.h"

#define SECOND_NS 1000000000ull
#define MORNING_S 1700042400 // of the recording

static char folder[] = "/tmp/sluice-replay-XXXXXX";
static char config_path[64], tape_path[64];
static pcap_t *format;
static pcap_dumper_t *tape;
static struct replay replay;

static void set_up(void)
{
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(config_path, sizeof(config_path), "%s/conf", folder);
    snprintf(tape_path, sizeof(tape_path), "%s/pcap", folder);
    FILE *config = fopen(config_path, "w");
    fputs("name = \"test\"; journal = { directory = \"/nowhere\"; };"
          "limits = { orders = 64; history = 1024; in_flight = 1024; };"
          "ports = ({ interface = \"lo\"; address = \"10.77.0.1\"; });"
          "shards = ({ port = 0; udp_port = 26400; feed_group = \"239.77.0.1\";"
          " feed_port = 26477; });"
          "instruments = ({ symbol = \"ACME\"; shard = 0; });"
          "sessions = ({ user = \"ALICE\"; password_hash = \"" PASSWORD_HASH
          "\"; firm = \"ALFA\"; });",
          config);
    fclose(config);
    format = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 65535, PCAP_TSTAMP_PRECISION_NANO);
    tape = pcap_dump_open(format, tape_path);
    cr_assert(tape != NULL);
}

static void tear_down(void)
{
    replay_close(&replay);
    unlink(config_path);
    unlink(tape_path);
    rmdir(folder);
}

TestSuite(replay_capture, .init = set_up, .fini = tear_down);

// A datagram of one block, so long after the recording's begin.
static void record(int64_t offset_ns, const void *message, size_t size)
{
    const struct endpoint client = {
        .address = inet_addr("10.77.0.2"), .port = htons(40001), .vlan = PACKET_NO_VLAN};
    const struct endpoint shard = {
        .address = inet_addr("10.77.0.1"), .port = htons(26400), .vlan = PACKET_NO_VLAN};
    uint8_t frame[PACKET_SIZE_MAX];
    size_t offset = packet_payload_offset(&shard);
    frame[offset] = 0;
    frame[offset + 1] = (uint8_t)size;
    memcpy(frame + offset + 2, message, size);
    uint64_t time_ns = MORNING_S * SECOND_NS + (uint64_t)offset_ns;
    struct pcap_pkthdr header = {.ts = {.tv_sec = (time_t)(time_ns / SECOND_NS),
                                        .tv_usec = (suseconds_t)(time_ns % SECOND_NS)}};
    header.len = header.caplen =
        (bpf_u_int32)packet_write_headers(frame, &client, &shard, 2 + size);
    pcap_dump((u_char *)tape, &header, frame);
}

static void record_login(int64_t offset_ns)
{
    struct ufo_login login = login_message("ALICE ", "SECRET    ", "          ");
    record(offset_ns, &login, sizeof(login));
}

static void record_order(int64_t offset_ns, uint32_t user_ref_num)
{
    struct order_message message = order_message(user_ref_num);
    record(offset_ns, &message, sizeof(message));
}

static uint32_t orders_after_replay(void)
{
    struct book_summary summary;
    pcap_dump_close(tape);
    pcap_close(format);
    replay_init(&replay, false);
    cr_assert_eq(replay_capture(&replay, tape_path, config_path, NULL), 0, "%s", replay.error.text);
    book_summarise(replay.book, &summary);
    return summary.order_count;
}

Test(replay_capture, orders_of_a_session_that_logged_in_rest_in_the_book)
{
    record_login(0);
    record_order(1000, 1);
    record_order(2000, 2);
    cr_assert_eq(orders_after_replay(), 2);
}

// A packet that is a nanosecond older than the one before it in the file, as packets of two queues
// are, and all of them after a clock was set back, used to time the session out.
Test(replay_capture, a_packet_older_than_the_one_before_it_ends_no_session)
{
    record_login(0);
    record_order(1000, 1);
    record_order(999, 2);
    record_order(-3600 * (int64_t)SECOND_NS, 3);
    record_order(2000, 4);
    cr_assert_eq(orders_after_replay(), 4);
}

Test(replay_capture, ten_seconds_of_silence_end_a_session)
{
    record_login(0);
    record_order(1000, 1);
    record_order(10 * (int64_t)SECOND_NS + 1001, 2);
    cr_assert_eq(orders_after_replay(), 1);
}
