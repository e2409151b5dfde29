# SPDX-License-Identifier: MIT
"""Signed sessions, the client's side: the reference for docs/signed-sessions.md.

Written from that page alone. Ed25519 and X25519 are libsodium's, by way of Debian's python3-nacl;
SipHash is here, so that somebody else's agrees with the gateway's.

    python3 tests/net/signed.py docs/signed-sessions.md     check the page's worked example
"""

import hashlib
import hmac
import os
import re
import struct
import sys
import time

import nacl.bindings
import nacl.exceptions
import nacl.signing

import ufo

HELLO, LOGIN, COOKIE, ACCEPT, REJECT, DATA = b"H", b"L", b"C", b"A", b"J", b"D"
TAG_SIZE = 16
OVERHEAD = 16 + TAG_SIZE
WINDOW = 64
_MASK = (1 << 64) - 1


def _rotate(word, bits):
    return (word << bits | word >> (64 - bits)) & _MASK


def siphash(key, data):
    """SipHash-2-4 with 128 bits of result."""
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(count):
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & _MASK
            v2 = (v2 + v3) & _MASK
            v1, v3 = _rotate(v1, 13) ^ v0, _rotate(v3, 16) ^ v2
            v0 = _rotate(v0, 32)
            v2 = (v2 + v1) & _MASK
            v0 = (v0 + v3) & _MASK
            v1, v3 = _rotate(v1, 17) ^ v2, _rotate(v3, 21) ^ v0
            v2 = _rotate(v2, 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xEE
    rounds(4)
    low = v0 ^ v1 ^ v2 ^ v3
    v1 ^= 0xDD
    rounds(4)
    return struct.pack("<QQ", low, v0 ^ v1 ^ v2 ^ v3)


def head(kind):
    """The four bytes that each signed datagram begins with."""
    return b"\0\0\1" + kind


def context(words):
    """What is signed or hashed begins with words of its own, filled up with zeros to 32 bytes."""
    return words.encode("ascii").ljust(32, b"\0")


def hello(user, random):
    """The datagram that asks for a cookie."""
    return head(HELLO) + user.encode("ascii").ljust(6) + bytes(6) + random


def login(user, session, cookie, random, public, server, signing_key):
    """The datagram that asks for keys; `server` is where it is sent."""
    names = user.encode("ascii").ljust(6) + session.encode("ascii").ljust(10)
    unsigned = head(LOGIN) + names + bytes(4) + cookie + random + public
    where = bytes(map(int, server[0].split("."))) + struct.pack(">H", server[1])
    text = context("sluice signed login 1") + where + unsigned
    return unsigned + signing_key.sign(text).signature


def agree(secret, sent, accept):
    """(key up, key down) of a login that was sent, and what it was answered."""
    shared = nacl.bindings.crypto_scalarmult(secret, accept[24:56])
    text = shared + context("sluice signed keys 1") + sent + accept[:56]
    keys = hashlib.blake2b(text, digest_size=32).digest()
    return keys[:16], keys[16:]


def accept_signed(accept, sent, gateway_key):
    """Whether the gateway's own signature is right."""
    text = context("sluice signed accept 1") + sent + accept[:56]
    try:
        gateway_key.verify(text, accept[56:120])
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def tagged(key, datagram):
    """A datagram with its tag behind it."""
    return datagram + siphash(key, datagram)


def tag_valid(key, datagram):
    """Whether a datagram ends with the right tag."""
    return hmac.compare_digest(siphash(key, datagram[:-TAG_SIZE]), datagram[-TAG_SIZE:])


def data(key, number, sequence, payload):
    """A datagram of data."""
    return tagged(key, head(DATA) + struct.pack(">HHQ", number, 0, sequence) + payload)


class Client(ufo.Client):
    """A signed session: ufo.Client with each datagram sealed and opened.

    `gateway_key` is the gateway's public key; None where it has none.
    """

    def __init__(self, server, user, signing_key, local="", gateway_key=None):
        super().__init__(server, user, "", local)
        self.signing_key, self.gateway_key = signing_key, gateway_key
        self.up = self.down = None
        self.number = self.sent_sequence = 0
        self.highest, self.seen = 0, set()  # sequences received
        self.last_sent = b""

    # Logging in.

    def login(self, timeout=5.0, start_at=None):
        """Hello, cookie, login, accept; then a heartbeat, which shows that we have the keys."""
        deadline = time.monotonic() + timeout
        self.logged_in = False
        random = os.urandom(16)
        answer = self._ask(hello(self.user, random), (COOKIE,), random, deadline)
        secret = os.urandom(32)
        public = nacl.bindings.crypto_scalarmult_base(secret)
        request = login(
            self.user, self.session, answer[8:16], random, public, self.server, self.signing_key
        )
        answer = self._ask(request, (ACCEPT, REJECT), random, deadline)
        if answer[3:4] == REJECT:
            raise ufo.LoginRejected(answer[4:5].decode("ascii"))
        self._take_keys(secret, request, answer)
        self._login_answer(b"A" + answer[4:14] + answer[16:20], start_at)
        self.send_datagram(ufo.block(b"R"))
        return self.session

    def _ask(self, request, kinds, random, deadline):
        """Repeat a request until one of `kinds` comes that belongs to it."""
        while time.monotonic() < deadline:
            self.send_raw(request)
            for answer in super()._datagrams(ufo.RETRY_S):
                mine = answer[:2] == b"\0\0" and answer[2] == 1 and answer[3:4] in kinds
                if mine and (answer[3:4] == ACCEPT or answer[16:32] == random):
                    if len(answer) > len(request):
                        raise ufo.UfoError(f"{len(answer)} bytes in answer to {len(request)}")
                    return answer
        raise ufo.UfoError(f"no answer to {request[3:4]} of {self.user}")

    def _take_keys(self, secret, request, answer):
        up, down = agree(secret, request, answer)
        if not tag_valid(down, answer):
            raise ufo.UfoError("the accept's tag is wrong")
        if self.gateway_key and not accept_signed(answer, request, self.gateway_key):
            raise ufo.UfoError("the accept is not signed by the gateway")
        self.up, self.down = up, down
        (self.number,) = struct.unpack(">H", answer[14:16])
        self.sent_sequence, self.highest, self.seen = 0, 0, set()

    # Data.

    def send_raw(self, datagram):
        """As it is."""
        super().send_datagram(datagram)

    def send_datagram(self, payload):
        """UFO, sealed."""
        self.sent_sequence += 1
        self.last_sent = data(self.up, self.number, self.sent_sequence, payload)
        self.send_raw(self.last_sent)

    def _fresh(self, sequence):
        if sequence + WINDOW <= self.highest or sequence in self.seen:
            return False
        self.highest = max(self.highest, sequence)
        self.seen = {one for one in self.seen | {sequence} if one + WINDOW > self.highest}
        return True

    def _datagrams(self, timeout):
        """What is sealed, opened; all else is dropped."""
        for datagram in super()._datagrams(timeout):
            whole = len(datagram) >= OVERHEAD and datagram[:4] == head(DATA)
            if not whole or not self.down or not tag_valid(self.down, datagram):
                continue
            number, _, sequence = struct.unpack_from(">HHQ", datagram, 4)
            if number == self.number and self._fresh(sequence):
                yield datagram[16:-TAG_SIZE]


# The worked example.


def example():
    """Each value of the page's example, by name, made from the numbers it begins with."""
    run = lambda first, size: bytes(range(first, first + size))  # noqa: E731
    client, gateway = nacl.signing.SigningKey(run(0, 32)), nacl.signing.SigningKey(run(32, 32))
    secret, gateway_secret = run(64, 32), run(96, 32)
    cookie, random = run(128, 8), run(144, 16)
    public, gateway_public = (
        nacl.bindings.crypto_scalarmult_base(one) for one in (secret, gateway_secret)
    )
    server = ("10.77.0.1", 26400)
    sent = login("ALICE", "", cookie, random, public, server, client)
    opened = head(ACCEPT) + b"DAY0000001" + struct.pack(">HII", 3, 1, 0) + gateway_public
    text = context("sluice signed accept 1") + sent + opened
    up, down = agree(secret, sent, opened)
    accept = tagged(down, opened + gateway.sign(text).signature)
    return {
        "client_public_key": bytes(client.verify_key),
        "gateway_public_key": bytes(gateway.verify_key),
        "hello": hello("ALICE", random),
        "cookie": head(COOKIE) + bytes(4) + cookie + random,
        "login": sent,
        "accept": accept,
        "key_up": up,
        "key_down": down,
        "data_up": data(up, 3, 1, ufo.block(b"R")),
        "data_down": data(down, 3, 1, struct.pack(">cIH", b"S", 1, 0)),
    }


def stated(path):
    """The values that the page states: NAME and its bytes in hexadecimal, over several lines."""
    with open(path, encoding="utf-8") as page:
        found = re.findall(r"^    (\w+) *((?:[0-9a-f]{2,} ?\n?(?: {5,})?)+)$", page.read(), re.M)
    return {name: bytes.fromhex("".join(digits.split())) for name, digits in found}


def main():
    """Compare the page with what is made here."""
    wanted = example()
    if len(sys.argv) == 1:
        for name, value in wanted.items():
            lines = [value[at : at + 32].hex() for at in range(0, len(value), 32)]
            print(f"    {name:<19}" + ("\n" + " " * 23).join(lines))
        return 0
    page = stated(sys.argv[1])
    wrong = [name for name in wanted if page.get(name) != wanted[name]]
    for name in wrong:
        print(f"FAIL {name} of the worked example: {page.get(name, b'').hex()}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
