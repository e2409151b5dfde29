# SPDX-License-Identifier: MIT
"""Whole packets of those who must not be heard, or not so often.

    stranger.py logins --seconds 2    logins with a wrong password, from spoofed sources
    stranger.py orders --seconds 2    good orders, from spoofed sources
    stranger.py request --seconds 2   requests for messages of the feed, from spoofed sources
    stranger.py session --seconds 2   good orders, from a session that is logged in, a message a datagram
    stranger.py session --full        … as many messages as a datagram holds
    stranger.py mac                   good orders in its name, from other Ethernet addresses

All but the last at --rate packets a second.

Prints how many were sent, and for how many the wire (the veth's queue) had no room, as one JSON object.
"""

import errno
import itertools
import json
import random
import socket
import sys
import time

import checks
import garbage
import itch
import ouch
import trader
import ufo

PREPARED = 4000  # packets that are sent over and over
BURST = 8
RATE = 100_000
PRICE = 500_000
HOLE = b"\xfe\xfe\xfe"  # where the first three bytes of a UserRefNum go; found nowhere else in a message
IP_RECVERR = 11  # linux/in.h


def own_mac(interface):
    """Of the clients' end."""
    with open(f"/sys/class/net/{interface}/address", encoding="ascii") as file:
        return bytes.fromhex(file.read().strip().replace(":", ""))


def frames_of(options, bound, ethernet_source):
    """A builder of frames from that Ethernet address."""
    rng = random.Random(options.seed)
    sources = [(f"192.0.2.{rng.randrange(1, 255)}", rng.randrange(1024, 65536)) for _ in range(500)]
    macs = garbage.gateway_mac(options), ethernet_source
    return garbage.Frames(options, macs, sources, bound, rng)


def open_raw(interface):
    """A socket that sends frames as they are."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((interface, 0))
    return raw


def pour(options, send, packets):
    """Packet after packet until the time is over; how many left, and how many found the queue full."""
    tried, full, began = 0, 0, time.monotonic()
    while (late := time.monotonic() - began) < options.seconds:
        if tried > late * options.rate:
            time.sleep(0.0001)
            continue
        for packet in itertools.islice(packets, BURST):
            try:
                send(packet)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                full += 1
        tried += BURST
    return {"sent": tried - full, "full": full}


def flood(options):
    """From nobody: the same packets again and again."""
    frames = frames_of(options, ("0.0.0.0", 0), own_mac(options.interface))
    login = ufo.block(ufo.login_message("NOBODY", "WRONG"))
    request = itch.request_packet(b"YESTERDAY ", 1, 1)
    payloads = {"logins": lambda: login, "orders": frames.good_payload, "request": lambda: request}
    port = options.request[1] if options.what == "request" else None
    prepared = [frames.whole(payloads[options.what](), port=port) for _ in range(PREPARED)]
    return pour(options, open_raw(options.interface).send, itertools.cycle(prepared))


def hostile_messages(index, symbol):
    """What gives a shard work: an order that rests, one that trades with it, another, its replacement, and its cancel.

    As blocks, with four UserRefNums of which only the last byte is there yet.
    """
    numbers = [int.from_bytes(HOLE + bytes([4 * index + n]), "big") for n in range(1, 5)]
    sold, bought, rests, replaced = numbers
    messages = [
        ouch.enter(sold, "S", 100, symbol, PRICE, client_id="FLOOD"),
        ouch.enter(bought, "B", 100, symbol, PRICE, client_id="FLOOD"),
        ouch.enter(rests, "B", 100, symbol, PRICE - 1000, client_id="FLOOD"),
        ouch.replace(rests, replaced, 200, PRICE - 2000),
        ouch.cancel(replaced),
    ]
    return [ufo.block(ufo.unsequenced(message)) for message in messages]


def hostile_datagrams(options, following):
    """These messages without end, each UserRefNum used once: of a client that means harm, and knows that others do none.

    The numbers of a datagram, or of five that have a message each, begin with the same three bytes, which are put between
    what never changes: that takes a microsecond or two.
    """
    groups = [hostile_messages(0, options.symbol)]
    size = sum(len(block) for block in groups[0])
    if options.full:
        groups = [hostile_messages(index, options.symbol) for index in range(ufo.DATAGRAM_MAX // size)]
        groups = [[b"".join(block for group in groups for block in group)]]
    pieces = [datagram.split(HOLE) for datagram in groups[0]]
    for number in itertools.count((following >> 8) + 1):
        first = number.to_bytes(3, "big")
        for between in pieces:
            yield first.join(between)


def flood_session(options):
    """From a session: (datagrams, of so many messages each)."""
    client = ufo.Client(options.server, *trader.users(options)[0], options.local)
    client.login()
    client.send(ouch.query())
    answers = []
    checks.until(lambda: answers, trader.ANSWER_S, "query", lambda: answers.extend(client.poll(0.05)))
    following = ouch.decode(answers[-1][1]).next_urn
    client.socket.setblocking(True)
    client.socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)  # else ENOBUFS is kept from us
    datagrams = hostile_datagrams(options, following)
    return pour(options, lambda data: client.socket.sendto(data, options.to), datagrams)


def spoof_mac(options, report):
    """Orders in the name of a session that is logged in; how many."""
    user = trader.users(options)[0]
    session = trader.Trader(options.server, *user, options.local, options.symbol)
    bound = session.client.socket.getsockname()
    right = own_mac(options.interface)
    raw, sent = open_raw(options.interface), 0
    for byte in range(6):
        wrong = bytearray(right)
        wrong[byte] ^= 4  # in the first byte neither multicast nor local
        frames = frames_of(options, bound, bytes(wrong))
        for _ in range(100):
            raw.send(frames.whole(frames.good_payload(), bound))
            raw.send(frames.whole(ufo.block(b"O"), bound))
            sent += 2
            time.sleep(0.0002)
    garbage.finish(session)
    report.check(not session.fresh, "orders from other Ethernet addresses have no effect")
    report.check(session.client.logged_in, "and logoffs from there end no session")
    urn = session.enter("B", 100, 500_000)
    garbage.finish(session)
    report.check(urn in [order.urn for order in session.open.values()], "whose own orders are taken")
    session.cancel_all()
    garbage.finish(session)
    session.client.close()
    return sent


def main():
    """What was asked for."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("what", choices=("logins", "orders", "request", "session", "mac"))
    parser.add_argument("--interface", default="sl-cl")
    parser.add_argument("--gateway-mac", help="default: from the neighbour table")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=trader.address, help="where a session's go, once it is logged in; default: --server")
    options, report = parser.parse_args(), checks.Report()
    options.to = options.to or options.server
    if options.what != "mac":
        print(json.dumps(flood_session(options) if options.what == "session" else flood(options)))
        return 0
    try:
        print(json.dumps({"sent": spoof_mac(options, report)}))
    except (checks.Failure, ufo.UfoError, ouch.OuchError, OSError) as error:
        report.fail("the session lives through it", error)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
