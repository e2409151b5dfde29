// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "dataplane/mold.h"
#include "tests/unit/recorded.h"

Test(mold, a_header_reads_as_the_bytes_of_a_real_packet)
{
    uint8_t bytes[64];
    size_t size = from_hex("00000000000000000000 0000000000000001 0001"
                           "0013 440D1900001F1ACED840ED000000000165B51A",
                           bytes, sizeof(bytes));
    const struct mold_header *header = (const struct mold_header *)bytes;
    cr_assert_eq(be64_load(header->sequence), 1);
    cr_assert_eq(be16_load(header->count), 1);
    be16 length;
    memcpy(&length, bytes + sizeof(*header), sizeof(length));
    cr_assert_eq(be16_load(length), 19);
    cr_assert_eq(sizeof(*header) + sizeof(length) + be16_load(length), size);
}

Test(mold, heartbeat_and_end_of_session_are_headers_with_a_count_of_their_own)
{
    uint8_t expected[20];
    from_hex("53455353303030303031 0000000000000010 0000", expected, sizeof(expected));
    struct mold_header header = {
        .session = "SESS000001",
        .sequence = be64_of(16),
        .count = be16_of(MOLD_COUNT_HEARTBEAT),
    };
    cr_assert_arr_eq(&header, expected, sizeof(expected));

    from_hex("53455353303030303031 0000000000000010 FFFF", expected, sizeof(expected));
    header.count = be16_of(MOLD_COUNT_END_OF_SESSION);
    cr_assert_arr_eq(&header, expected, sizeof(expected));
}

Test(mold, a_request_reads_as_written)
{
    uint8_t bytes[20];
    size_t size = from_hex("53455353303030303031 0000000000000003 0004", bytes, sizeof(bytes));
    cr_assert_eq(size, sizeof(struct mold_request));
    const struct mold_request *request = (const struct mold_request *)bytes;
    cr_assert_arr_eq(request->session, "SESS000001", 10);
    cr_assert_eq(be64_load(request->sequence), 3);
    cr_assert_eq(be16_load(request->count), 4);
}

Test(mold, field_types_keep_every_bit)
{
    cr_assert_eq(be16_load(be16_of(0xFEDC)), 0xFEDC);
    cr_assert_eq(be32_load(be32_of(0xFEDCBA98)), 0xFEDCBA98);
    cr_assert_eq(be48_load(be48_of(0xFEDCBA987654)), 0xFEDCBA987654);
    cr_assert_eq(be48_load(be48_of(0xFFFFFEDCBA987654)), 0xFEDCBA987654, "the low 48 bits");
    cr_assert_eq(be64_load(be64_of(0xFEDCBA9876543210)), 0xFEDCBA9876543210);
    cr_assert_arr_eq(be48_of(0x010203040506).bytes, "\1\2\3\4\5\6", 6);
}

struct feed {
    uint64_t expected; // sequence
    unsigned message_count;
};

static void follow(const uint8_t *payload, size_t size, void *context)
{
    struct feed *feed = context;
    cr_assert_geq(size, sizeof(struct mold_header));
    const struct mold_header *header = (const struct mold_header *)payload;
    cr_assert_arr_eq(header->session, "000006853B", 10);
    uint64_t sequence = be64_load(header->sequence);
    cr_assert(feed->expected == 0 || sequence == feed->expected, "no gap");
    size_t offset = sizeof(*header);
    for (unsigned i = 0; i < be16_load(header->count); i++) {
        be16 length;
        cr_assert_leq(offset + sizeof(length), size);
        memcpy(&length, payload + offset, sizeof(length));
        offset += sizeof(length) + be16_load(length);
    }
    cr_assert_eq(offset, size, "the blocks fill the packet");
    feed->expected = sequence + be16_load(header->count);
    feed->message_count += be16_load(header->count);
}

Test(mold, every_packet_of_a_recorded_feed_is_filled_by_its_blocks_and_follows_the_one_before)
{
    SKIP_WITHOUT_RECORDINGS();
    struct feed feed = {0};
    cr_assert_eq(recorded_packets("nasdaq-itch50-20141111-1200.pcap", follow, &feed), 9181);
    cr_assert_eq(feed.message_count, 10937);
    cr_assert_eq(feed.expected, 114805226 + 10937);
}
