# SPDX-License-Identifier: MIT
"""Whole packets of those who must not be heard, or not so often.

    stranger.py logins --seconds 2    logins with a wrong password, from spoofed sources
    stranger.py orders --seconds 2    good orders, from spoofed sources
    stranger.py request --seconds 2   requests for messages of the feed, from spoofed sources
    stranger.py session --seconds 2   good orders, from a session that is logged in
    stranger.py mac                   good orders in its name, from other Ethernet addresses

All but the last at RATE packets a second.

Prints how many were sent, and for how many the wire (the veth's queue) had no room, as one JSON object.
"""

import errno
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


def pour(options, send, prepared):
    """The same packets again and again until the time is over; how many left, and how many found the queue full."""
    tried, full, began = 0, 0, time.monotonic()
    while (late := time.monotonic() - began) < options.seconds:
        if tried > late * RATE:
            time.sleep(0.0001)
            continue
        for packet in prepared[tried % PREPARED : tried % PREPARED + BURST]:
            try:
                send(packet)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                full += 1
        tried += BURST
    return {"sent": tried - full, "full": full}


def flood(options):
    """From nobody."""
    frames = frames_of(options, ("0.0.0.0", 0), own_mac(options.interface))
    login = ufo.block(ufo.login_message("NOBODY", "WRONG"))
    request = itch.request_packet(b"YESTERDAY ", 1, 1)
    payloads = {"logins": lambda: login, "orders": frames.good_payload, "request": lambda: request}
    port = options.request[1] if options.what == "request" else None
    prepared = [frames.whole(payloads[options.what](), port=port) for _ in range(PREPARED)]
    return pour(options, open_raw(options.interface).send, prepared)


def flood_session(options):
    """From a session. Orders that come again are ignored."""
    session = trader.Trader(options.server, *trader.users(options)[0], options.local, options.symbol)
    orders = [session.order("B", 100, 500_000)[1] for _ in range(PREPARED)]
    prepared = [ufo.block(ufo.unsequenced(order)) for order in orders]
    session.client.socket.setblocking(True)
    session.client.socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)  # else ENOBUFS is kept from us
    return pour(options, lambda order: session.client.socket.sendto(order, options.to), prepared)


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
