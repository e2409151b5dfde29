# SPDX-License-Identifier: MIT
"""UFO 1.0 (UDP for Orders), the client's side.

Written from the protocol's document alone, so that what it accepts is what the document says and
not what the gateway happens to send. Everything is strict: a datagram that the document does not
allow raises UfoError.
"""

import select
import socket
import struct
import time

DATAGRAM_MAX = 1472  # UDP payload in 1500 bytes
HEARTBEAT_S = 1.0  # of silence before an idle client sends R
SILENCE_S = 10.0  # without a word from the server: disconnected
REQUESTS_AHEAD = 32
ANSWER_BYTES = 1300  # asked for at once: less than fits, so that no server's packing falls short
RETRY_S = 0.25  # an unanswered login or retransmission request is repeated
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not have it

_HEADER = struct.Struct(">cIH")
_ACCEPT = struct.Struct(">c10sI")
_END = struct.Struct(">cI")
_LENGTH = struct.Struct(">H")


class UfoError(Exception):
    """What arrived, or did not, breaks the protocol."""


class LoginRejected(UfoError):
    """The server answered J; `reason` is its letter."""

    def __init__(self, reason):
        super().__init__(f"login rejected: {reason}")
        self.reason = reason


def grow_buffer(udp, size):
    """A receive buffer of `size` bytes, beyond the system's limit where privileges allow it."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def block(message):
    """One upstream block: length and message."""
    return _LENGTH.pack(len(message)) + message


def login_message(user, password, session=""):
    """L, 27 bytes; a blank session asks for the current one."""
    fields = (user, 6), (password, 10), (session, 10)
    return b"L" + b"".join(text.encode("ascii").ljust(size) for text, size in fields)


def request_message(first, count):
    """T: send me `count` messages from `first`."""
    return struct.pack(">cIH", b"T", first, count)


def unsequenced(message):
    """U: carries one OUCH message upstream."""
    return b"U" + message


def split_blocks(payload, offset, count):
    """The `count` blocks of a sequenced packet, which end exactly where the datagram does."""
    messages = []
    for _ in range(count):
        if offset + 2 > len(payload):
            raise UfoError(f"block header beyond the end of a {len(payload)}-byte datagram")
        (size,) = _LENGTH.unpack_from(payload, offset)
        offset += 2
        if offset + size > len(payload):
            raise UfoError(f"block of {size} bytes beyond the datagram's end")
        messages.append(payload[offset : offset + size])
        offset += size
    if offset != len(payload):
        raise UfoError(f"{len(payload) - offset} bytes after the last block")
    return messages


class Client:
    """A session with one shard over a socket of its own.

    poll() does all the work: it reads what has arrived, answers gaps with T, sends heartbeats, and
    returns the new messages in order as (number, message). `stream` keeps all of them, `stream[0]`
    being number `first`.
    """

    def __init__(self, server, user, password, local="", session=""):
        self.server, self.user, self.password = server, user, password
        self.session = session
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        grow_buffer(self.socket, 32 << 20)
        self.socket.bind((local, 0))
        self.socket.setblocking(False)
        self.logged_in = False
        self.ended = False
        self.first = None
        self.expected = None  # number of the next message
        self.server_next = 0  # one past the last number the server has spoken of
        self.accept_next = 0  # the next number as the last login accept said
        self.expected_then = None  # what was expected next when it came
        self.stream = []
        self.pending = {}  # arrived ahead of a gap
        self.early = []  # came while the login was waited for; the next poll gives it
        self.fetched = {}  # arrived again: answers to fetch()
        self.gaps = 0
        self.duplicates = 0
        self.heartbeats = 0
        self.requests = 0
        self.datagrams = 0  # sent
        self.asked_at = 0.0
        self.asked_first = 0
        self.sent_at = self.heard_at = time.monotonic()

    # Up.

    def send_datagram(self, payload):
        """One datagram as it is, malformed ones too."""
        self.sent_at = time.monotonic()
        self.datagrams += 1
        try:
            self.socket.sendto(payload, self.server)
        except (BlockingIOError, ConnectionRefusedError):
            pass  # UDP may lose it; the protocol repeats what matters

    def send(self, *messages):
        """OUCH messages, in one datagram, in order."""
        payload = b"".join(block(unsequenced(message)) for message in messages)
        if not messages or len(payload) > DATAGRAM_MAX:
            raise ValueError(f"{len(messages)} messages, {len(payload)} bytes in one datagram")
        self.send_datagram(payload)

    def ask(self, first, count):
        """T for a range; the answer is one packet of as many messages as fit."""
        self.requests += 1
        self.send_datagram(block(request_message(first, min(count, 0xFFFF))))

    def login(self, timeout=5.0, start_at=None):
        """L until answered. Reads the stream from `start_at` (1: all of it), else from the next.

        Logging in again after a disconnection continues where the stream was left.
        """
        request = block(login_message(self.user, self.password, self.session))
        deadline = time.monotonic() + timeout
        self.logged_in = False
        while not self.logged_in:
            if time.monotonic() > deadline:
                raise UfoError(f"no answer to the login of {self.user} for {timeout} s")
            self.send_datagram(request)
            for payload in self._datagrams(RETRY_S):
                self._login_answer(payload, start_at)
        return self.session

    def _login_answer(self, payload, start_at):
        """A or J; sequenced data of an earlier binding may come in between."""
        if payload[:1] == b"J":
            if len(payload) != 2:
                raise UfoError(f"login reject of {len(payload)} bytes")
            raise LoginRejected(payload[1:].decode("ascii"))
        if payload[:1] != b"A":
            if self.expected is not None:
                self.early += self._take(payload)
            return
        following = self._take_accept(payload)
        if self.expected is None:
            self.first = self.expected = start_at or following
        self.logged_in, self.ended = True, False

    def _take_accept(self, payload):
        if len(payload) != _ACCEPT.size:
            raise UfoError(f"login accept of {len(payload)} bytes")
        _, session, following = _ACCEPT.unpack(payload)
        name = session.decode("ascii").rstrip()
        if self.expected is not None and self.session and name != self.session:
            raise UfoError(f"session {self.session} became {name}")
        if following == 0:
            raise UfoError("the next number is 0")
        self.session = name
        self.accept_next, self.expected_then = following, self.expected
        self._announce(following)
        return following

    def logoff(self):
        """O: no answer comes."""
        self.send_datagram(block(b"O"))
        self.logged_in = False

    def close(self):
        """Log off and give the socket back."""
        if self.logged_in:
            self.logoff()
        self.socket.close()

    # Down.

    def poll(self, timeout=0.0):
        """Process what has arrived, waiting up to `timeout` s for the first of it."""
        fresh, self.early = self.early, []
        for payload in self._datagrams(0.0 if fresh else timeout):
            fresh += self._take(payload)
        now = time.monotonic()
        if self.logged_in:
            if now - self.sent_at > HEARTBEAT_S:
                self.send_datagram(block(b"R"))
            self._fill_gap(now)
        return fresh

    @property
    def alive(self):
        """Whether the server has been heard within the protocol's 10 s."""
        return self.logged_in and time.monotonic() - self.heard_at < SILENCE_S

    def _datagrams(self, timeout):
        """All that has arrived; waits for the first only."""
        if timeout > 0 and not select.select([self.socket], [], [], timeout)[0]:
            return
        while True:
            try:
                payload, source = self.socket.recvfrom(65535)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if source == self.server:
                self.heard_at = time.monotonic()
                yield payload

    def _take(self, payload):
        kind = payload[:1]
        if kind == b"S":
            return self._take_sequenced(payload)
        if kind == b"E":
            if len(payload) != _END.size:
                raise UfoError(f"end of session of {len(payload)} bytes")
            self.ended = True
            self._announce(_END.unpack(payload)[1] + 1)
            return []
        if kind == b"A":
            self._take_accept(payload)
            return []
        raise UfoError(f"downstream packet of type {kind!r}")

    def _announce(self, following):
        """The server's next number, from a heartbeat or an end: reveals a lost tail."""
        if following > self.server_next:
            self.server_next = following

    def _take_sequenced(self, payload):
        if len(payload) < _HEADER.size or len(payload) > DATAGRAM_MAX:
            raise UfoError(f"sequenced packet of {len(payload)} bytes")
        _, number, count = _HEADER.unpack_from(payload)
        messages = split_blocks(payload, _HEADER.size, count)
        if number == 0:
            raise UfoError("sequenced packet numbered 0")
        if count == 0:
            self.heartbeats += 1
        self._announce(number + count)
        if number > self.expected:
            self.gaps += count > 0
        return self._place(number, messages)

    def _place(self, number, messages):
        """Put messages where they belong; the ones that are next go to the caller."""
        fresh = []
        for index, message in enumerate(messages, number):
            if index < self.expected:
                self.duplicates += 1
                self.fetched[index] = message
            elif index == self.expected:
                fresh.append((index, message))
                self.stream.append(message)
                self.pending.pop(index, None)
                self.expected += 1
            else:
                self.pending[index] = message
        while self.expected in self.pending:
            message = self.pending.pop(self.expected)
            fresh.append((self.expected, message))
            self.stream.append(message)
            self.expected += 1
        return fresh

    def _fill_gap(self, now):
        """Ask for what is missing: at once when the front has moved, else after a while."""
        if self.expected >= self.server_next:
            return
        if self.asked_first != self.expected or now - self.asked_at > RETRY_S:
            self.asked_first, self.asked_at = self.expected, now
            missing = min(self.pending, default=self.server_next) - self.expected
            self.ask(self.expected, missing)

    def fetch(self, first, count, patience=2.0):
        """Messages that were received before, once more by T; a list of `count`.

        Their sizes are known, and so is how many of them an answer can hold: many requests can be
        on their way at once.
        """
        end, position = first + count, first
        deadline = time.monotonic() + patience
        self.fetched.clear()
        while position < end:
            before, reached = position, self._ask_ahead(position, end)
            self._await_fetched(position, reached)
            while position < reached and position in self.fetched:
                position += 1
            if position > before:
                deadline = time.monotonic() + patience
            elif time.monotonic() > deadline:
                raise UfoError(f"retransmission from {first}: {position - first} of {count} came")
        result = [self.fetched[number] for number in range(first, end)]
        self.fetched.clear()
        return result

    def _ask_ahead(self, position, end):
        """Up to REQUESTS_AHEAD requests, each for what an answer can hold; where they reach to."""
        for _ in range(REQUESTS_AHEAD):
            start, room = position, ANSWER_BYTES
            while position < end:
                room -= 2 + len(self.stream[position - self.first])
                if room < 0:
                    break
                position += 1
            if position > start:
                self.ask(start, position - start)
        return position

    def _await_fetched(self, position, reached):
        """Poll until all of a range has come, or nothing of it for a while."""
        missing = set(range(position, reached))
        until = time.monotonic() + RETRY_S
        while missing and time.monotonic() < until:
            before = len(missing)
            self.poll(0.02)
            missing.difference_update(self.fetched)
            if len(missing) < before:
                until = time.monotonic() + RETRY_S
