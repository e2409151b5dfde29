# SPDX-License-Identifier: MIT
"""MoldUDP64 and TotalView-ITCH 5.0, received: packets, messages, and the book they build.

Strict throughout: what the documents do not allow raises FeedError, and so does a message that
contradicts the book (an execution larger than its order, a reference that is not there).
"""

import bisect
import select
import socket
import struct
from collections import namedtuple

import ufo

HEARTBEAT, END_OF_SESSION = 0, 0xFFFF
DATAGRAM_MAX = 1472

IP_MULTICAST_ALL = 49  # linux/in.h


class FeedError(Exception):
    """The feed is not MoldUDP64, not ITCH 5.0, or contradicts itself."""


# Messages. Type: name, format after the common eleven bytes, fields, letters of one-letter fields.

_LAYOUTS = {
    "S": ("SystemEvent", "c", "code", {"code": "OSQMEC"}),
    "R": ("Directory", "8sccIcc2scccccIc",
          "stock category financial round_lot round_lots_only issue_class issue_sub_type "
          "authenticity short_sale ipo luld_tier etp leverage inverse",
          {"category": "QGSNAPMZV ", "financial": "DEQSGHJKCN ", "round_lots_only": "YN",
           "issue_class": "ABCFILNOPQRSTUVW", "authenticity": "PT", "short_sale": "YN ",
           "ipo": "YNZ ", "luld_tier": "12 ", "etp": "YN ", "inverse": "YN"}),
    "H": ("TradingAction", "8scc4s", "stock state reserved reason", {"state": "HPQT"}),
    "Y": ("RegSho", "8sc", "stock action", {"action": "012"}),
    "L": ("Participant", "4s8sccc", "mpid stock primary mode state",
          {"primary": "YN", "mode": "NPSRL", "state": "AEWSD"}),
    "V": ("MwcbLevel", "QQQ", "level1 level2 level3", {}),
    "W": ("MwcbStatus", "c", "level", {"level": "123"}),
    "K": ("IpoQuoting", "8sIcI", "stock release_s qualifier price", {"qualifier": "AC"}),
    "J": ("LuldCollar", "8sIIII", "stock reference upper lower extension", {}),
    "h": ("OperationalHalt", "8scc", "stock market action", {"market": "QBX", "action": "HT"}),
    "A": ("Add", "QcI8sI", "ref side shares stock price", {"side": "BS"}),
    "F": ("AddAttributed", "QcI8sI4s", "ref side shares stock price mpid", {"side": "BS"}),
    "E": ("OrderExecuted", "QIQ", "ref shares match", {}),
    "C": ("OrderExecutedPrice", "QIQcI", "ref shares match printable price", {"printable": "YN"}),
    "X": ("OrderCancel", "QI", "ref shares", {}),
    "D": ("OrderDelete", "Q", "ref", {}),
    "U": ("OrderReplace", "QQII", "orig_ref ref shares price", {}),
    "P": ("Trade", "QcI8sIQ", "ref side shares stock price match", {"side": "B"}),
    "Q": ("CrossTrade", "Q8sIQc", "shares stock price match cross", {"cross": "OCHI"}),
    "B": ("BrokenTrade", "Q", "match", {}),
    "I": ("Imbalance", "QQc8sIIIcc",
          "paired imbalance direction stock far near reference cross variation",
          {"direction": "BSNOP", "cross": "OCHA", "variation": "L123456789ABC "}),
    "N": ("RetailInterest", "8sc", "stock interest", {"interest": "BSAN"}),
    "O": ("DirectListing", "8scIIIQII",
          "stock eligible minimum maximum near near_time lower upper", {"eligible": "NY"}),
}  # fmt: skip

# The document's own table of lengths, typed in a second time: a slip in a layout shows at import.
LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21,
    "A": 36, "F": 40, "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19,
    "I": 50, "N": 20, "O": 48,
}  # fmt: skip


def _compile():
    table = {}
    for letter, (name, fields, names, letters) in _LAYOUTS.items():
        record = namedtuple(name, f"type locate tracking time {names}")
        globals()[name] = record
        layout = struct.Struct(">cHHHI" + fields)
        assert layout.size == LENGTHS[letter], letter
        allowed = [(record._fields.index(field), text) for field, text in letters.items()]
        table[ord(letter)] = (layout, record, allowed)
    return table


_DECODE = _compile()
NS_PER_DAY = 86_400 * 10**9


def decode(message):
    """The named tuple of one ITCH message; alpha fields as text without their padding."""
    if not message or message[0] not in _DECODE:
        raise FeedError(f"ITCH type {message[:1]!r}")
    layout, record, letters = _DECODE[message[0]]
    if len(message) != layout.size:
        raise FeedError(f"ITCH {chr(message[0])} of {len(message)} bytes, not {layout.size}")
    kind, locate, tracking, high, low, *rest = layout.unpack(message)
    values = [kind.decode("ascii"), locate, tracking, high << 32 | low]
    values += [v.decode("ascii") if isinstance(v, bytes) else v for v in rest]
    if values[3] >= NS_PER_DAY:
        raise FeedError(f"timestamp {values[3]} is beyond the day")
    for index, text in letters:
        if values[index] not in text:
            raise FeedError(f"{record._fields[index]} {values[index]!r} in {chr(message[0])}")
    return record(*[v.rstrip() if isinstance(v, str) else v for v in values])


# MoldUDP64.

_MOLD = struct.Struct(">10sQH")
_LENGTH = struct.Struct(">H")
Packet = namedtuple("Packet", "session sequence count messages")


def split_packet(payload):
    """A downstream packet: its header and its messages, which end exactly where it does."""
    if len(payload) < _MOLD.size or len(payload) > DATAGRAM_MAX:
        raise FeedError(f"MoldUDP64 packet of {len(payload)} bytes")
    session, sequence, count = _MOLD.unpack_from(payload)
    messages, offset = [], _MOLD.size
    for _ in range(0 if count == END_OF_SESSION else count):
        if offset + 2 > len(payload):
            raise FeedError("MoldUDP64 block header beyond the packet's end")
        (size,) = _LENGTH.unpack_from(payload, offset)
        offset += 2
        if offset + size > len(payload):
            raise FeedError(f"MoldUDP64 block of {size} bytes beyond the packet's end")
        messages.append(payload[offset : offset + size])
        offset += size
    if offset != len(payload):
        raise FeedError(f"{len(payload) - offset} bytes after the last MoldUDP64 block")
    return Packet(session, sequence, count, messages)


def request_packet(session, first, count):
    """20 bytes for the re-request server; the answer is one ordinary packet."""
    return _MOLD.pack(session, first, count)


class Sequencer:
    """Puts packets in order and keeps account of gaps, duplicates, heartbeats and the end.

    It asks nobody to fill a gap, so a gap is final: `gaps` lists (first missing, count).
    """

    def __init__(self, expected=None):
        self.session = None
        self.expected = expected  # None: begin with what comes first
        self.gaps = []
        self.packets = self.duplicates = self.heartbeats = self.ends = 0

    def take(self, payload):
        """The new messages of one packet as (number, bytes)."""
        packet = split_packet(payload)
        self.packets += 1
        if self.session is None:
            self.session = packet.session
        if packet.session != self.session:
            raise FeedError(f"session {self.session} became {packet.session}")
        if packet.sequence == 0:
            raise FeedError("MoldUDP64 packet numbered 0")
        if self.ends and packet.messages:
            raise FeedError("data after the end of the session")
        self.heartbeats += packet.count == HEARTBEAT
        self.ends += packet.count == END_OF_SESSION
        return self._place(packet.sequence, packet.messages)

    def _place(self, sequence, messages):
        if self.expected is None:
            self.expected = sequence
        if sequence > self.expected:
            self.gaps.append((self.expected, sequence - self.expected))
            self.expected = sequence
        known = self.expected - sequence
        if known and messages:
            self.duplicates += 1
        fresh = list(enumerate(messages[known:], sequence + known))
        self.expected += len(fresh)
        return fresh


class Receiver:
    """The multicast socket. drain() only moves packets from the kernel into a list: decoding waits
    until there is time, and a large kernel buffer bridges what the caller does meanwhile."""

    def __init__(self, group, port, local, buffer_bytes=256 << 20):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ufo.grow_buffer(self.socket, buffer_bytes)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        self.socket.bind((group, port))
        membership = socket.inet_aton(group) + socket.inet_aton(local)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self.socket.setblocking(False)
        self.payloads = []

    def drain(self, timeout=0.0):
        """Store what has arrived, waiting up to `timeout` s for the first; how many packets."""
        if timeout > 0 and not select.select([self.socket], [], [], timeout)[0]:
            return 0
        before, receive, store = len(self.payloads), self.socket.recv, self.payloads.append
        try:
            while True:
                store(receive(65535))
        except BlockingIOError:
            return len(self.payloads) - before

    def take(self):
        """The packets stored so far; the caller's from now on."""
        payloads, self.payloads = self.payloads, []
        return payloads

    def close(self):
        """Leave the group."""
        self.socket.close()


# The book.


class Side:
    """One side of one instrument: shares and order count by price, prices in rising order."""

    __slots__ = ("prices", "shares", "orders")

    def __init__(self):
        self.prices, self.shares, self.orders = [], {}, {}

    def change(self, price, shares, orders):
        """Add to, or with negative numbers take from, the level at `price`."""
        if price not in self.shares:
            bisect.insort(self.prices, price)
            self.shares[price] = self.orders[price] = 0
        self.shares[price] += shares
        self.orders[price] += orders
        if self.orders[price] == 0:
            if self.shares[price] != 0:
                raise FeedError(f"{self.shares[price]} shares and no order at {price}")
            del self.shares[price], self.orders[price]
            del self.prices[bisect.bisect_left(self.prices, price)]


class Book:
    """Every displayed order of every instrument, by reference, and the levels they make."""

    def __init__(self):
        self.orders = {}  # reference: [locate, side, price, shares, mpid]
        self.sides = {}  # (locate, 'B' or 'S'): Side
        self.symbols = {}  # locate: stock
        self.states = {}  # stock: trading state
        self.short_sales = {}  # stock: Reg SHO action
        self.imbalances = {}  # stock: the last one told
        self.trades = {}  # match number: (stock, shares, price)
        self.counts = {}  # message type: how many
        self.events = ""  # system event codes, in order
        self.volume = 0
        self.time = 0
        self._handlers = {
            "S": self._system, "R": self._directory, "H": self._action, "A": self._add,
            "F": self._add, "E": self._executed, "C": self._executed_price, "X": self._cancel,
            "D": self._delete, "U": self._replace, "P": self._trade, "Q": self._cross,
            "Y": self._short_sale, "I": self._imbalance,
        }  # fmt: skip

    def apply(self, message):
        """One decoded message. Types that a plain continuous book has no use for are counted."""
        self.counts[message.type] = self.counts.get(message.type, 0) + 1
        if message.time < self.time:
            raise FeedError(f"time runs backwards: {message}")
        self.time = message.time
        handler = self._handlers.get(message.type)
        if handler:
            handler(message)

    def side(self, locate, side):
        """The levels of one side."""
        key = (locate, side)
        if key not in self.sides:
            self.sides[key] = Side()
        return self.sides[key]

    def top(self, locate, side, count):
        """The best levels as (price, shares), best first."""
        levels = self.side(locate, side)
        prices = levels.prices[:count] if side == "S" else levels.prices[: -count - 1 : -1]
        return [(price, levels.shares[price]) for price in prices]

    def locate(self, stock):
        """The Stock Locate of a symbol, None when the feed has not named it."""
        return next((number for number, name in self.symbols.items() if name == stock), None)

    def _name(self, locate, stock):
        if locate == 0 or self.symbols.setdefault(locate, stock) != stock:
            raise FeedError(f"locate {locate} is {self.symbols.get(locate)} and {stock}")

    def _system(self, message):
        self.events += message.code

    def _directory(self, message):
        self._name(message.locate, message.stock)

    def _action(self, message):
        self._name(message.locate, message.stock)
        self.states[message.stock] = message.state

    def _add(self, message):
        self._name(message.locate, message.stock)
        mpid = message.mpid if message.type == "F" else ""
        self._insert(
            message.ref, message.locate, message.side, message.price, message.shares, mpid
        )

    def _insert(self, ref, locate, side, price, shares, mpid):
        if ref in self.orders or shares == 0:
            raise FeedError(f"order {ref} added twice, or with {shares} shares")
        self.orders[ref] = [locate, side, price, shares, mpid]
        self.side(locate, side).change(price, shares, 1)

    def _reduce(self, message, shares):
        order = self.orders.get(message.ref)
        if order is None or order[0] != message.locate:
            raise FeedError(f"no such order: {message}")
        if shares == 0 or shares > order[3]:
            raise FeedError(f"{shares} of {order[3]} shares: {message}")
        order[3] -= shares
        self.side(order[0], order[1]).change(order[2], -shares, -(order[3] == 0))
        if order[3] == 0:
            del self.orders[message.ref]
        return order

    def _print(self, match, stock, shares, price):
        if match in self.trades:
            raise FeedError(f"match number {match} printed twice")
        self.trades[match] = (stock, shares, price)
        self.volume += shares

    def _executed(self, message):
        order = self._reduce(message, message.shares)
        self._print(message.match, self.symbols[order[0]], message.shares, order[2])

    def _executed_price(self, message):
        order = self._reduce(message, message.shares)
        if message.printable == "Y":
            self._print(message.match, self.symbols[order[0]], message.shares, message.price)

    def _cancel(self, message):
        self._reduce(message, message.shares)

    def _delete(self, message):
        if message.ref not in self.orders:
            raise FeedError(f"no such order: {message}")
        self._reduce(message, self.orders[message.ref][3])

    def _replace(self, message):
        order = self.orders.get(message.orig_ref)
        if order is None or order[0] != message.locate:
            raise FeedError(f"no such order: {message}")
        locate, side, price, shares, mpid = self.orders.pop(message.orig_ref)
        self.side(locate, side).change(price, -shares, -1)
        self._insert(message.ref, locate, side, message.price, message.shares, mpid)

    def _cross(self, message):
        self._name(message.locate, message.stock)
        if message.shares:
            self._print(message.match, message.stock, message.shares, message.price)

    def _short_sale(self, message):
        self._name(message.locate, message.stock)
        self.short_sales[message.stock] = message.action

    def _imbalance(self, message):
        self._name(message.locate, message.stock)
        self.imbalances[message.stock] = message

    def _trade(self, message):
        if message.ref != 0:
            raise FeedError(f"a trade names its order: {message}")
        self._name(message.locate, message.stock)
        self._print(message.match, message.stock, message.shares, message.price)


class Feed:
    """Receiver, Sequencer and Book in one: poll() brings the book up to date."""

    def __init__(self, group, port, local):
        self.receiver = Receiver(group, port, local)
        self.sequencer = Sequencer()
        self.book = Book()
        self.messages = []  # all of them, decoded
        self.raw = {}  # and as they came, by number

    def poll(self, timeout=0.0):
        """Take in what has arrived; the new messages."""
        self.receiver.drain(timeout)
        fresh = []
        for payload in self.receiver.take():
            for number, message in self.sequencer.take(payload):
                self.raw[number] = message
                fresh.append(decode(message))
                self.book.apply(fresh[-1])
        if self.sequencer.gaps:
            raise FeedError(f"lost on the feed: {self.sequencer.gaps}")
        self.messages += fresh
        return fresh

    def close(self):
        """Leave the group."""
        self.receiver.close()
