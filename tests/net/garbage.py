# SPDX-License-Identifier: MIT
"""100,000 malformed packets of every kind, while a good session trades undisturbed.

Garbage goes out through a raw socket, so that every header can be wrong, from spoofed sources and
from the address of a session that is really logged in. None of it may be answered or have any
effect; of the good session's orders every one has to be accepted. Prints what was sent, by kind and
by what has to become of it, as one JSON object to compare the gateway's counters with.

    ip netns exec sluice-cl python3 tests/net/garbage.py --seed 1

What becomes of a packet: `xdp_pass` is left to the kernel's stack, as it is not for a shard or does
not say so; `xdp_drop` is for a shard and no whole IPv4 and UDP packet; `xdp_stranger` is whole, and
no login, from a source that is not logged in; `redirected_bad` reaches the gateway, which discards
it. Packets for the kernel are made such that it has no reason to answer.
"""

import collections
import ipaddress
import json
import random
import socket
import struct
import subprocess
import sys
import time

import checks
import ouch
import trader
import ufo

ETH_P_ALL, ETH_P_IP = 3, 0x0800
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23  # linux/if_packet.h
MTU, MTU_FOR_TOO_LONG = 1500, 1504  # 4 bytes more than the gateway's interface still takes in
BURST = 8  # packets between two looks at the good session; a veth queue has room for 256
GOOD_EVERY_S = 0.001
GOOD_OPEN = 50  # orders the good session keeps open
PRICE, TICK = 500_000, 100
UNUSED_URN = 3_000_000_000  # garbage that passes for an order would use up numbers; none does

PASS, DROP, STRANGER, BAD = "xdp_pass", "xdp_drop", "xdp_stranger", "redirected_bad"


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\x00"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address):
    """Four bytes."""
    return ipaddress.IPv4Address(address).packed


class Frames:
    """Builds frames. Each kind_… method gives one that is wrong in one way only."""

    def __init__(self, options, macs, sources, bound, rng):
        self.options, self.rng = options, rng
        self.server = options.server
        self.ethernet = macs[0] + macs[1]
        self.sources = sources  # [(address, port)] of nobody
        self.bound = bound  # (address, port) of the session that is logged in

    def source(self):
        """Somebody's address: now nobody's, now that of the bound session."""
        return self.bound if self.rng.random() < 0.3 else self.rng.choice(self.sources)

    def is_bounds(self, frame):
        """Whether a frame without a VLAN tag has the bound session's source."""
        return frame[26:30] == packed(self.bound[0]) and frame[34:36] == struct.pack(">H", self.bound[1])

    # Layers, right unless told otherwise.

    def order(self):
        """A good Enter Order."""
        urn = UNUSED_URN + self.rng.randrange(1 << 30)
        return ouch.enter(urn, "B", 100, self.options.symbol, PRICE)

    def good_payload(self):
        """A good UFO datagram."""
        return ufo.block(ufo.unsequenced(self.order()))

    def udp(self, payload, source, length=None, check=None, port=None):
        """UDP header and payload."""
        port = self.server[1] if port is None else port
        size = 8 + len(payload) if length is None else length
        header = struct.pack(">HHHH", source[1], port, size, 0)
        if check is None:
            pseudo = packed(source[0]) + packed(self.server[0]) + struct.pack(">HH", 17, size)
            check = checksum(pseudo + header + payload) or 0xFFFF
        return header[:6] + struct.pack(">H", check) + payload

    def ip(self, body, source, **change):
        """IPv4 header and body; `change` overrides its fields."""
        options = change.get("options", b"")
        first = change.get("version", 4) << 4 | change.get("ihl", 5 + len(options) // 4)
        header = struct.pack(
            ">BBHHHBBH4s4s", first, 0, change.get("total", 20 + len(options) + len(body)),
            self.rng.randrange(1 << 16), change.get("fragment", 0x4000), 64,
            change.get("protocol", 17), 0, packed(source[0]),
            packed(change.get("destination", self.server[0])),
        ) + options  # fmt: skip
        check = checksum(header) ^ change.get("spoil", 0)
        return header[:10] + struct.pack(">H", check) + header[12:] + body

    def frame(self, packet, ethertype=ETH_P_IP):
        """Ethernet around it."""
        return self.ethernet + struct.pack(">H", ethertype) + packet

    def whole(self, payload, source=None, **udp):
        """A right packet with any payload."""
        source = source or self.rng.choice(self.sources)
        return self.frame(self.ip(self.udp(payload, source, **udp), source))

    def spoiled_ip(self, **change):
        """A good order in an IPv4 packet with something changed."""
        source = self.source()
        return self.frame(self.ip(self.udp(self.good_payload(), source), source, **change))

    # Left to the kernel.

    def kind_runt(self):
        """A VLAN tag that the frame has no room for."""
        return self.frame(self.rng.randbytes(self.rng.randrange(4)), 0x8100)

    def kind_not_ipv4(self):
        """IPv6, LLDP, local experiments, a second VLAN tag."""
        ethertype = self.rng.choice((0x86DD, 0x88CC, 0x88B5, 0x88B6))
        if self.rng.random() < 0.3:
            inner = struct.pack(">HHHH", 5, 0x8100, 6, ETH_P_IP)
            source = self.source()
            return self.frame(inner + self.ip(self.udp(b"x", source), source), 0x8100)
        return self.frame(self.rng.randbytes(self.rng.randrange(46, 200)), ethertype)

    def kind_ip_cut(self):
        """The frame ends inside the IPv4 header."""
        return self.spoiled_ip()[: 14 + self.rng.randrange(20)]

    def kind_ip_version(self):
        """Not version 4."""
        return self.spoiled_ip(version=self.rng.choice((0, 1, 3, 5, 6, 15)))

    def kind_ip_header_length_below_20(self):
        """IHL from 0 to 4."""
        return self.spoiled_ip(ihl=self.rng.randrange(5))

    def kind_not_udp(self):
        """Another protocol; a spoiled checksum keeps the kernel from answering."""
        protocol = self.rng.choice((0, 1, 2, 6, 47, 50, 132, 253, 255))
        return self.spoiled_ip(protocol=protocol, spoil=0x1234)

    def kind_later_fragment(self):
        """A fragment that has no UDP header."""
        offset, more = self.rng.randrange(1, 180), self.rng.choice((0, 0x2000))
        return self.spoiled_ip(fragment=more | offset)

    def kind_udp_cut(self):
        """The frame ends inside the UDP header."""
        return self.spoiled_ip()[: 34 + self.rng.randrange(8)]

    def kind_another_port(self):
        """Not a shard's port; the wrong UDP checksum keeps the kernel from answering."""
        source, port = self.source(), self.rng.choice((0, 1, 53, 26_399, 26_499, 65_535))
        return self.frame(self.ip(self.udp(b"garbage", source, check=1, port=port), source))

    def kind_another_address(self):
        """Not the shard's address."""
        source = self.source()
        body = self.udp(self.good_payload(), source, check=1)
        return self.frame(self.ip(body, source, destination="10.77.0.201"))

    # Dropped in the kernel.

    def kind_ip_options(self):
        """A longer header, good in itself."""
        return self.spoiled_ip(options=b"\x01" * 4 * self.rng.randrange(1, 11))

    def kind_first_fragment(self):
        """The first of several."""
        return self.spoiled_ip(fragment=0x2000)

    def kind_ip_checksum(self):
        """Any other checksum. 0 and 0xFFFF are the same number: never one bit pattern of it."""
        return self.spoiled_ip(spoil=self.rng.randrange(1, 0xFFFF))

    def kind_ip_total_beyond_the_frame(self):
        """Total length more than there is."""
        return self.spoiled_ip(total=self.rng.choice((200, 1500, 65_535)))

    def kind_ip_total_below_28(self):
        """Total length without room for UDP."""
        return self.spoiled_ip(total=self.rng.randrange(28))

    def kind_frame_cut(self):
        """The frame ends inside the payload."""
        whole = self.spoiled_ip()
        return whole[: self.rng.randrange(42, len(whole))]

    def kind_udp_length(self):
        """UDP length that is not IP's."""
        source, payload = self.source(), self.good_payload()
        right = 8 + len(payload)
        wrong = self.rng.choice((0, 7, 8, right - 1, right + 1, right + 100, 65_535))
        return self.frame(self.ip(self.udp(payload, source, length=wrong), source))

    def kind_empty(self):
        """No payload."""
        return self.whole(b"", self.source())

    def kind_too_long(self):
        """More payload than 1472 bytes."""
        return self.whole(bytes(self.rng.randrange(1473, 1477)), self.source())

    # Discarded by the gateway, whoever sent it.

    def kind_udp_checksum(self):
        """A good order whose UDP checksum is wrong; 0 would mean `none`."""
        source, payload = self.source(), self.good_payload()
        right = struct.unpack_from(">H", self.udp(payload, source), 6)[0]
        wrong = right ^ self.rng.randrange(1, 0x10000)
        if wrong == 0 or (wrong, right) in ((0xFFFF, 0), (0, 0xFFFF)):
            wrong = right ^ 0x0100
        return self.frame(self.ip(self.udp(payload, source, check=wrong), source))

    def kind_good_order_from_nobody(self):
        """Valid framing, an order, from a source that is not logged in."""
        return self.whole(self.good_payload() * self.rng.randint(1, 5))

    def kind_session_messages_from_nobody(self):
        """Heartbeats, logoffs, requests and queries without a session."""
        messages = (b"R", b"O", ufo.request_message(1, 100), ufo.unsequenced(ouch.query()))
        return self.whole(ufo.block(self.rng.choice(messages)))

    def kind_random_payload(self):
        """Noise. The first block's length is beyond the datagram, so that it cannot be good."""
        return self.whole(b"\xff" + self.rng.randbytes(self.rng.randrange(1, 300)), self.source())

    def kind_block_of_zero(self):
        """A good order, then a block of length 0."""
        return self.whole(self.good_payload() + b"\x00\x00", self.source())

    def kind_block_overrun(self):
        """The last block is longer than what is left."""
        payload = self.good_payload() + struct.pack(">H", 60) + b"U"
        return self.whole(payload + self.order()[: self.rng.randrange(40)], self.source())

    def kind_half_a_block_header(self):
        """One byte too many."""
        return self.whole(self.good_payload() + b"\x00", self.source())

    def kind_unknown_ufo_type(self):
        """A type that no client sends."""
        kind = bytes([self.rng.choice([c for c in range(256) if c not in b"LTURO"])])
        message = kind + self.rng.randbytes(self.rng.randrange(30))
        return self.whole(self.good_payload() + ufo.block(message), self.source())

    def kind_ufo_message_of_another_length(self):
        """A heartbeat, logoff, request or login that is too long or too short."""
        bad = (b"RR", b"O ", b"T" + bytes(5), b"T" + bytes(7), b"L" + bytes(25), b"L" + bytes(27))
        return self.whole(ufo.block(self.rng.choice(bad)) + self.good_payload(), self.source())

    def bad_ouch(self, message):
        """After a good order, a bad message."""
        payload = self.good_payload() + ufo.block(ufo.unsequenced(message))
        return self.whole(payload, self.source())

    def kind_unknown_ouch_type(self):
        """Neither known inbound nor anything at all."""
        kind = bytes([self.rng.choice([c for c in range(256) if c not in b"OUXMCDEQ"])])
        return self.bad_ouch(kind + self.rng.randbytes(self.rng.randrange(60)))

    def kind_ouch_cut(self):
        """A message shorter than its fixed part."""
        good = self.rng.choice((self.order(), ouch.cancel(1), ouch.modify(1, "T", 1),
                                ouch.replace(1, UNUSED_URN, 100, PRICE)))  # fmt: skip
        least = {ord("O"): 47, ord("U"): 40, ord("X"): 9, ord("M"): 10}[good[0]]
        return self.bad_ouch(good[: self.rng.randrange(1, least)])

    def kind_appendage_length(self):
        """Appendage Length that is not what follows."""
        wrong = self.rng.choice((1, 5, 7, 100, 65_535))
        elements = ouch.element(ouch.FIRM, "ABCD")
        return self.bad_ouch(self.order()[:45] + struct.pack(">H", wrong) + elements)

    def kind_element_overrun(self):
        """An element that is longer than its appendage, or has length 0."""
        bad = self.rng.choice((b"\x06\x02ABCD", b"\xff\x02ABCD", b"\x00", b"\x05\x02ABCD\x00"))
        return self.bad_ouch(self.order()[:45] + struct.pack(">H", len(bad)) + bad)

    def kind_element_size(self):
        """A value of another size than its tag's."""
        bad = self.rng.choice((b"\x04\x02ABC", b"\x02\x03\x01", b"\x03\x1c\x00\x01", b"\x01\x06"))
        return self.bad_ouch(self.order()[:45] + struct.pack(">H", len(bad)) + bad)

    def kind_bytes_after_the_message(self):
        """A message that goes on after its end."""
        message = self.rng.choice((self.order(), ouch.cancel(1) + bytes(2)))
        return self.bad_ouch(message + bytes(self.rng.randint(1, 9)))


# Kind: what becomes of it, and for which reason.
FATES = {
    "runt": (PASS, "pass_runt"), "not_ipv4": (PASS, "pass_ethertype"),
    "ip_cut": (PASS, "pass_ip_header"), "ip_version": (PASS, "pass_ip_header"),
    "ip_header_length_below_20": (PASS, "pass_ip_header"), "not_udp": (PASS, "pass_protocol"),
    "later_fragment": (PASS, "pass_fragment"), "udp_cut": (PASS, "pass_udp_header"),
    "another_port": (PASS, "pass_destination"), "another_address": (PASS, "pass_destination"),
    "ip_options": (DROP, "drop_ip_options"), "first_fragment": (DROP, "drop_fragment"),
    "ip_checksum": (DROP, "drop_ip_checksum"),
    "ip_total_beyond_the_frame": (DROP, "drop_ip_length"),
    "ip_total_below_28": (DROP, "drop_ip_length"), "frame_cut": (DROP, "drop_ip_length"),
    "udp_length": (DROP, "drop_udp_length"), "empty": (DROP, "drop_empty"),
    "too_long": (DROP, "drop_too_long"),
}  # fmt: skip


def fate(kind, bound):
    """(group, reason) of a kind from the bound session's source or another's."""
    return FATES.get(kind, (BAD, "redirect") if bound else (STRANGER, "drop_not_bound"))


class Sniffer:
    """Sees every frame that arrives, and sorts out those that nobody should have been sent."""

    def __init__(self, interface, server, known):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        ufo.grow_buffer(self.socket, 64 << 20)
        self.socket.bind((interface, ETH_P_ALL))
        self.socket.setblocking(False)
        self.server = packed(server[0]), server[1]
        self.known = {(packed(address), port) for address, port in known}
        self.counts = collections.Counter()
        self.strays = []

    def poll(self):
        """Look at what has arrived."""
        try:
            while True:
                self._look(self.socket.recv(2048))
        except BlockingIOError:
            pass

    def _look(self, frame):
        if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[26:30] != self.server[0]:
            return
        destination, protocol = frame[30:34], frame[23]
        if destination[0] >> 4 == 14:
            self.counts["feed"] += 1
            return
        ports = struct.unpack(">HH", frame[34:38])
        if protocol == 17 and ports[0] == self.server[1]:
            if (destination, ports[1]) in self.known:
                self.counts["to sessions"] += 1
                return
        self.counts["stray"] += 1
        if len(self.strays) < 5:
            self.strays.append(frame[14:74].hex())


class Good:
    """The session that trades through it all: an order a millisecond, a cancel for each later."""

    def __init__(self, session):
        self.session = session
        self.due = time.monotonic()
        self.open = collections.deque()
        self.sent = 0

    def step(self):
        """What is due."""
        session = self.session
        if time.monotonic() >= self.due:
            self.due = max(self.due + GOOD_EVERY_S, time.monotonic())
            side, price = ("B", PRICE - TICK) if self.sent % 2 else ("S", PRICE + TICK)
            self.open.append(session.enter(side, 100, price))
            self.sent += 1
            if len(self.open) > GOOD_OPEN:
                session.cancel(self.open.popleft())
        session.poll()


def gateway_mac(options):
    """Of the gateway's interface: given, or from the neighbour table."""
    text = options.gateway_mac
    if not text:
        with open("/proc/net/arp", encoding="ascii") as table:
            entries = [line.split() for line in table.readlines()[1:]]
        text = next((e[3] for e in entries if e[0] == options.server[0]), None)
    if not text:
        sys.exit(f"no neighbour entry for {options.server[0]}; give --gateway-mac")
    return bytes.fromhex(text.replace(":", ""))


def statistic(interface, name):
    """A counter of the interface."""
    with open(f"/sys/class/net/{interface}/statistics/{name}", encoding="ascii") as file:
        return int(file.read())


def set_mtu(interface, mtu):
    """So that a packet can be too long by a few bytes."""
    subprocess.run(["ip", "link", "set", interface, "mtu", str(mtu)], check=True)


def kinds(frames):
    """Every kind's name and builder."""
    names = [name for name in dir(frames) if name.startswith("kind_")]
    return {name.removeprefix("kind_"): getattr(frames, name) for name in sorted(names)}


def pour(options, frames, good, idle, sniffer):
    """The garbage, in bursts, the good session in between; how many of each (kind, bound)."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((options.interface, 0))
    builders, sent = kinds(frames), collections.Counter()
    names = [name for name in builders if name in options.only] or list(builders)
    started = time.monotonic()
    while sent.total() < options.count:
        for _ in range(min(BURST, options.count - sent.total())):
            name = frames.rng.choice(names)
            frame = builders[name]()
            raw.send(frame)
            sent[name, frames.is_bounds(frame)] += 1
        good.step()
        idle.poll()
        sniffer.poll()
        while time.monotonic() - started < sent.total() / options.rate:
            good.step()
            time.sleep(0.0002)
    raw.close()
    return sent


def finish(session):
    """The answers to all that a session has sent."""
    session.query()
    checks.until(lambda: session.query_count == 0, 10, f"{session.name}: answers", session.wait)


def totals(sent):
    """By fate and by reason."""
    groups, reasons = dict.fromkeys((PASS, DROP, STRANGER, BAD), 0), collections.Counter()
    for (kind, bound), count in sent.items():
        group, reason = fate(kind, bound)
        groups[group] += count
        reasons[reason] += count
    return groups, dict(sorted(reasons.items()))


def judge(report, good, bystander, sniffer, executed_before):
    """What has to hold."""
    session = good.session
    answers = collections.Counter(answer.type for answer in session.fresh)
    canceled = good.sent - len(good.open)
    report.check(
        answers == {"A": good.sent, "C": canceled},
        "every order and cancel of the good session is answered",
        f"{good.sent} orders, {canceled} cancels, answers {dict(answers)}",
    )
    report.check(len(session.live()) == len(good.open), "its book is what it has to be")
    report.check(not bystander.fresh, "garbage in a session's name has no effect",
                 str(bystander.fresh[:3]))  # fmt: skip
    report.check(bystander.next_urn == bystander.used[0] + 1, "and uses no number",
                 f"next is {bystander.next_urn}")  # fmt: skip
    report.check(bystander.client.logged_in and bystander.query_count == 0, "and the session lives")
    report.check(not sniffer.counts["stray"], "nothing comes back to anybody else",
                 str(sniffer.strays))  # fmt: skip
    report.check(len(session.executions) == executed_before, "nobody traded")


def command_line():
    """The options."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--interface", default="sl-cl")
    parser.add_argument("--gateway-mac", help="default: from the neighbour table")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=6000, help="packets a second")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", nargs="*", default=[], help="kinds")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {options.seed}", flush=True)
    return options


def run(options, report, good, bystander):
    """Pour, finish, judge; what to print."""
    session = good.session
    bound = bystander.client.socket.getsockname()
    rng = random.Random(options.seed)
    with open(f"/sys/class/net/{options.interface}/address", encoding="ascii") as file:
        own_mac = bytes.fromhex(file.read().strip().replace(":", ""))
    taken = {session.client.socket.getsockname(), bound}
    spoofed = [(f"10.77.0.{n}", rng.randrange(1024, 65536)) for n in range(2, 11)]
    spoofed += [(f"192.0.2.{rng.randrange(1, 255)}", rng.randrange(1, 65536)) for _ in range(200)]
    spoofed = [source for source in spoofed if source not in taken]
    frames = Frames(options, (gateway_mac(options), own_mac), spoofed, bound, rng)
    sniffer = Sniffer(options.interface, options.server, taken)
    executed, before = len(session.executions), statistic(options.interface, "tx_dropped")
    started = time.monotonic()
    set_mtu(options.interface, MTU_FOR_TOO_LONG)
    try:
        sent = pour(options, frames, good, bystander, sniffer)
    finally:
        set_mtu(options.interface, MTU)
    finish(session)
    finish(bystander)
    sniffer.poll()
    judge(report, good, bystander, sniffer, executed)
    groups, reasons = totals(sent)
    kinds_sent = collections.Counter()
    for (kind, _), count in sent.items():
        kinds_sent[kind] += count
    return {
        "seed": options.seed, "seconds": round(time.monotonic() - started, 1),
        **groups, "reasons": reasons, "kinds": dict(sorted(kinds_sent.items())), "sent": sent.total(),
        "good_orders": good.sent, "heard": dict(sniffer.counts),
        "good_datagrams": session.client.datagrams + bystander.client.datagrams,
        "tx_dropped": statistic(options.interface, "tx_dropped") - before,
    }  # fmt: skip


def main():
    """Two sessions, garbage, and a verdict."""
    options, report = command_line(), checks.Report()
    sessions = [
        trader.Trader(options.server, *user, options.local, options.symbol)
        for user in trader.users(options)[:2]
    ]
    good = Good(sessions[0])
    try:
        summary = run(options, report, good, sessions[1])
    except (checks.Failure, ufo.UfoError, ouch.OuchError, OSError) as error:
        report.fail("the sessions live through it", error)
        return report.finish()
    sessions[0].cancel_all()
    finish(sessions[0])
    for session in sessions:
        session.client.close()
    summary["good_datagrams"] = sum(session.client.datagrams for session in sessions)
    print(json.dumps(summary))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
