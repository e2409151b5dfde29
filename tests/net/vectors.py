# SPDX-License-Identifier: MIT
"""Holds this folder's codecs against bytes that others made: the examples of the protocols'
documents and real exchange traffic. What these tests say of the gateway is worth what the codecs
are worth.

    python3 tests/net/vectors.py
"""

import random
import sys

import checks
import itch
import ouch
import ufo
from checks import equal, fields, true

OUCH_ENTER = (
    "4F0000007154000000E143564C54202020200000000000099DB83059414E4E48384655423849562020202020200006"
    "05024C494D45"
)
OUCH_ACCEPTED = (
    "410000289B4D64AF8700753A8D4200000028414442452020202000000000"
    "0048E7483559000000000F56B4F5414E4E4C373638323730312020202020202000"
    "0905024D4C524F021230"
)
OUCH_CANCELED = "430000289B4D68131700753A8D0000002855"
ITCH = (
    "41159800001F1ACED85306000000000166B53E420000064049564F4F20202020000D55AC",
    "4606CA00001F1ACED99936000000000120BE75530000006443415359202020200026FD40464C5455",
    "45092900021F1ACED8F061000000000166929A00000019000000000003E63B",
    "4313E400011F1ACEEBB03B00000000013113DE0000133E000000000003E65D4E00036E20",
    "5824C500001F1ACEFE785D0000000002041A0000000064",
    "440D1900001F1ACED840ED000000000165B51A",
    "551DB300001F1ACED771E90000000000E6897F000000000145F2C700000064001036C8",
    "50119300021F1ACEE462A900000000000000004200000064474F4F474C202020001399F8000000000003E642",
    "5103D700011F1ACEE1500300000000000000004241432D5120202000000000000000000003E63E4F",
    "53000000001F1ACEDB02F051",
    "482C3D00001F1E7036E4655A585A5A5420202050204C554450",
)  # fmt: skip
MOLD = "00000000000000000000000000000000000100010013440D1900001F1ACED840ED000000000165B51A"


def raises(error, function, *arguments):
    """The call is refused with the given error."""
    try:
        result = function(*arguments)
    except error:
        return
    raise checks.Failure(f"{function.__name__}{arguments} gave {result}")


def test_ufo_messages_are_those_of_the_document():
    login = ufo.block(ufo.login_message("USER", "PASS"))
    equal(login.hex().upper(), "001B4C55534552202050415353" + "20" * 16, "login")
    order = ufo.block(ufo.unsequenced(ouch.cancel(2)))
    equal(order.hex().upper(), "000A55580000000200000000", "cancel")
    equal(ufo.block(ufo.request_message(1, 2)).hex().upper(), "000754000000010002", "request")
    blocks = bytes.fromhex("000A5300001F1AF5E2A07B53")
    (event,) = ufo.split_blocks(blocks, 0, 1)
    fields(ouch.decode(event), "system event", type="S", code="S")
    for size in range(len(blocks)):
        raises(ufo.UfoError, ufo.split_blocks, blocks[:size], 0, 1)
    raises(ufo.UfoError, ufo.split_blocks, blocks + b"\x00", 0, 1)


def test_ouch_messages_are_those_of_the_exchange():
    made = ouch.enter(
        113, "T", 225, "CVLT", 630_200, client_id="H8FUB8IV", tags={ouch.FIRM: "LIME"}
    )
    equal(made.hex().upper(), OUCH_ENTER, "enter")
    equal(ouch.cancel(7_679_601).hex().upper(), "5800752E7100000000", "cancel")
    fields(
        ouch.decode(bytes.fromhex(OUCH_ACCEPTED)), "accepted", urn=7_682_701, side="B", quantity=40,
        symbol="ADBE", price=4_777_800, tif="5", display="Y", ref=257_340_661, capacity="A",
        sweep="N", cross="N", state="L", client_id="7682701", tags={2: "MLRO", 18: "0"},
        time=44_647_483_486_087,
    )  # fmt: skip
    canceled = ouch.decode(bytes.fromhex(OUCH_CANCELED))
    fields(canceled, "canceled", urn=7_682_701, quantity=40, reason="U", tags={})


def test_ouch_mass_cancels_and_restatements_are_those_of_the_tables():
    made = ouch.mass_cancel(7, "ALFA", "ACME", {ouch.SIDE: "S"})
    equal(made.hex().upper(), "4300000007414C464141434D452020202000" + "03021B53", "mass cancel")
    equal(ouch.mass_cancel(7).hex().upper(), "4300000007" + "20" * 12 + "0000", "of everything")
    time = "0000289B4D681317"
    restated = ouch.decode(
        bytes.fromhex(f"52{time}00753A8D520010051600000028" + "09018000000000000005")
    )
    tags = {ouch.DISPLAY_QUANTITY: 40, ouch.SECONDARY_REF: 1 << 63 | 5}
    fields(restated, "restated", urn=7_682_701, reason="R", tags=tags)
    response = ouch.decode(
        bytes.fromhex(f"58{time}00753A8D" + "20" * 4 + "41434D4520202020000302" + "1B45")
    )
    tags = {ouch.SIDE: "E"}
    fields(response, "response", urn=7_682_701, firm="", symbol="ACME", tags=tags)


def test_ouch_messages_of_any_other_length_are_refused():
    for text in (OUCH_ACCEPTED, OUCH_CANCELED):
        message = bytes.fromhex(text)
        for size in range(len(message)):
            raises(ouch.OuchError, ouch.decode, message[:size])
        raises(ouch.OuchError, ouch.decode, message + b"\x00")
        raises(ouch.OuchError, ouch.decode, message + b"\x00\x00")
    channel = bytes.fromhex(OUCH_CANCELED) + b"\x00\x03\x02\x1c\x07"
    equal(ouch.decode(channel).tags, {ouch.USER_REF_INDEX: 7}, "channel")


def test_itch_messages_are_those_of_the_exchange():
    messages = [bytes.fromhex(text) for text in ITCH]
    equal("".join(itch.decode(message).type for message in messages), "AFECXDUPQSH", "types")
    add = itch.decode(messages[0])
    fields(add, "add", locate=0x1598, ref=0x166B53E, side="B", shares=1600, stock="IVOO",
           price=873_900)  # fmt: skip
    equal(itch.decode(messages[3]).printable, "N", "printable")
    for message in messages:
        for size in range(len(message)):
            raises(itch.FeedError, itch.decode, message[:size])
        raises(itch.FeedError, itch.decode, message + b"\x00")


def test_moldudp64_packets_are_those_of_the_exchange():
    packet = bytes.fromhex(MOLD)
    got = itch.split_packet(packet)
    equal((got.sequence, got.count, len(got.messages[0])), (1, 1, 19), "packet")
    for size in range(len(packet)):
        raises(itch.FeedError, itch.split_packet, packet[:size])
    raises(itch.FeedError, itch.split_packet, packet + b"\x00")
    end = b"SESS000001" + (16).to_bytes(8, "big") + b"\xff\xff"
    equal(itch.split_packet(end).count, itch.END_OF_SESSION, "end of session")


def mold(sequence, *messages, count=None):
    """A packet."""
    blocks = b"".join(ufo.block(message) for message in messages)
    number = len(messages) if count is None else count
    return b"SESS000001" + sequence.to_bytes(8, "big") + number.to_bytes(2, "big") + blocks


def test_the_sequencer_accounts_for_gaps_duplicates_and_the_end():
    sequencer = itch.Sequencer(expected=1)
    equal(sequencer.take(mold(1, b"a", b"b")), [(1, b"a"), (2, b"b")], "first")
    equal(sequencer.take(mold(2, b"b", b"c")), [(3, b"c")], "overlap")
    equal(sequencer.take(mold(4)), [], "heartbeat")
    equal(sequencer.take(mold(6, b"f")), [(6, b"f")], "after a gap")
    equal((sequencer.gaps, sequencer.duplicates), ([(4, 2)], 1), "gaps and duplicates")
    equal(sequencer.take(mold(9)), [], "heartbeat that reveals a gap")
    equal(sequencer.gaps, [(4, 2), (7, 2)], "gaps")
    sequencer.take(mold(9, count=0xFFFF))
    equal((sequencer.heartbeats, sequencer.ends), (2, 1), "heartbeats and ends")
    raises(itch.FeedError, sequencer.take, mold(9, b"i"))


def test_the_client_puts_a_stream_with_losses_together():
    client = ufo.Client(("127.0.0.1", 9), "USER", "PASS", "127.0.0.1")
    client.first = client.expected = 1
    packets = [(1, [b"a"]), (2, [b"b", b"c"]), (4, []), (4, [b"d"]), (5, [b"e"]), (2, [b"b", b"c"])]
    for seed in range(50):
        order = random.Random(seed).sample(packets, len(packets))
        client.expected, client.stream, client.pending = 1, [], {}
        for number, messages in order:
            client._place(number, messages)
        equal(client.stream, [b"a", b"b", b"c", b"d", b"e"], f"stream, seed {seed}")
    client.close()


def test_the_book_refuses_what_contradicts_it():
    book = itch.Book()
    add = itch.decode(bytes.fromhex(ITCH[0]))
    book.apply(add)
    equal(book.top(add.locate, "B", 5), [(873_900, 1600)], "levels")
    raises(itch.FeedError, book.apply, add)
    head = ("E", add.locate, 0, add.time)
    raises(itch.FeedError, book.apply, itch.OrderExecuted(*head, add.ref, 1601, 1))
    raises(itch.FeedError, book.apply, itch.OrderExecuted(*head, add.ref + 1, 1, 1))
    book.apply(itch.OrderExecuted(*head, add.ref, 600, 1))
    raises(itch.FeedError, book.apply, itch.OrderExecuted(*head, add.ref, 600, 1))
    replace = itch.OrderReplace("U", add.locate, 0, add.time, add.ref, 5, 300, 10)
    book.apply(replace)
    equal((book.top(add.locate, "B", 5), list(book.orders)), ([(10, 300)], [5]), "after a replace")
    book.apply(itch.OrderDelete("D", add.locate, 0, add.time, 5))
    true(not book.orders and not book.top(add.locate, "B", 5), "empty")


def main():
    """Run them all."""
    report = checks.Report()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            report.run(test)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
