# SPDX-License-Identifier: MIT
"""Two signed sessions trade, and somebody else tries what he can.

    /usr/bin/python3 tests/net/signed_trade.py trade --keys FOLDER
    /usr/bin/python3 tests/net/signed_trade.py crash --keys FOLDER    (kill -9 and restart meanwhile)

FOLDER holds LOAD8.key, LOAD9.key and gateway.key, as `sluice make-key` made them.
"""

import os
import random
import socket
import sys
import time

import nacl.signing

import checks
import signed
import trader
import ufo
from checks import equal, true

PRICE = 500_000
ON_THEIR_WAY = 128
HELLOS = 20_000
FORGED_LOGINS = 2_000
SILENCE_S = 2.5


def key_of(options, name):
    """A key from its file."""
    with open(os.path.join(options.keys, name + ".key"), encoding="ascii") as file:
        return nacl.signing.SigningKey(bytes.fromhex(file.read()))


def make_trader(options, name, start_at=1):
    """A session with a key of its own."""
    client = signed.Client(
        options.server,
        name,
        key_of(options, name),
        options.local,
        key_of(options, "gateway").verify_key,
    )
    return trader.Trader(
        options.server, name, "", options.local, options.symbol, start_at, client=client
    )


class Scene:
    """Both sessions and the feed."""

    def __init__(self, options):
        self.options = options
        self.a, self.b = (make_trader(options, name) for name in ("LOAD8", "LOAD9"))
        feed = trader.open_feed(options)
        checks.until(lambda: feed.sequencer.packets, 5, "a feed heartbeat", lambda: feed.poll(0.1))
        self.market = trader.Market([self.a, self.b], feed)

    def settle(self, a, b):
        """Wait for all answers and check their types."""
        answers = self.market.settle()
        for wanted, got in zip((a, b), answers):
            equal("".join(answer.type for answer in got), wanted, "answers")
        for one in (self.a, self.b):
            equal(one.next_urn, one.used.get(0, 0) + 1, f"{one.name}'s next UserRefNum")

    def stranger(self):
        """A socket that is nobody's session."""
        raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ufo.grow_buffer(raw, 32 << 20)
        raw.bind((self.options.other, 0))
        raw.connect(self.options.server)
        raw.settimeout(0.4)
        return raw


def heard(raw):
    """All that has arrived at a stranger's."""
    found = []
    while True:
        try:
            found.append(raw.recv(65535))
        except (TimeoutError, ConnectionRefusedError):
            return found


def test_two_signed_sessions_trade_with_each_other(scene):
    for _ in range(50):
        scene.a.enter("B", 100, PRICE)
        scene.b.enter("S", 100, PRICE)
    scene.settle("AE" * 50, "AE" * 50)


def test_what_was_told_is_sent_again_packed_as_full_as_datagrams_can_be(scene):
    had = list(scene.a.client.stream)
    equal(scene.a.client.fetch(1, len(had)), had, "messages from the first on")


def test_a_datagram_with_a_bit_changed_is_dropped_wherever_it_is(scene):
    client = scene.a.client
    urn, order = scene.a.order("B", 100, PRICE)
    client.send(order)
    scene.settle("A", "")
    scene.a.cancel(urn)
    scene.settle("C", "")
    _, order = scene.a.order("B", 100, PRICE)
    client.sent_sequence += 1
    payload = ufo.block(ufo.unsequenced(order))
    whole = signed.data(client.up, client.number, client.sent_sequence, payload)
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        client.send_raw(bytes(changed))
    scene.a.used[0] -= 1
    scene.settle("", "")
    scene.a.used[0] += 1
    client.send_raw(whole)
    scene.settle("A", "")
    scene.a.cancel_all()
    scene.settle("C", "")


def test_a_datagram_that_is_sent_again_is_dropped(scene):
    scene.a.enter("B", 100, PRICE)
    again = scene.a.client.last_sent
    scene.settle("A", "")
    for _ in range(10):
        scene.a.client.send_raw(again)
    with scene.stranger() as raw:
        raw.send(again)
        equal(heard(raw), [], "answers")
    scene.settle("", "")
    scene.a.cancel_all()
    scene.settle("C", "")


def test_a_login_in_clear_is_refused(scene):
    with scene.stranger() as raw:
        raw.send(ufo.block(ufo.login_message("LOAD8", "SECRET")))
        equal(heard(raw), [b"JA"], "answers")


def test_orders_in_clear_from_the_sessions_own_address_are_dropped(scene):
    _, order = scene.a.order("B", 100, PRICE)
    scene.a.client.send_raw(ufo.block(ufo.unsequenced(order)))
    scene.a.used[0] -= 1
    scene.settle("", "")


def test_a_flood_of_hellos_gets_cookies_and_nothing_else(scene):
    request = signed.hello("LOAD8", os.urandom(16))
    answers = []
    with scene.stranger() as raw:
        raw.settimeout(2)
        for count in range(HELLOS):
            raw.send(request)
            if count >= ON_THEIR_WAY:  # more, and a busy host loses packets before the gateway has them
                answers.append(raw.recv(65535))
            if count % 1000 == 0:
                scene.a.enter("B", 100, PRICE - 100)
        raw.settimeout(0.4)
        answers += heard(raw)
    true(len(answers) > HELLOS // 2, f"{len(answers)} answers")
    equal({(one[3:4], len(one)) for one in answers}, {(b"C", len(request))}, "kinds of answers")
    scene.settle("A" * (HELLOS // 1000), "")
    scene.a.cancel_all()
    scene.settle("C" * (HELLOS // 1000), "")


def test_logins_with_cookies_that_were_made_up_are_not_answered(scene):
    key = nacl.signing.SigningKey.generate()
    server = scene.options.server
    with scene.stranger() as raw:
        for _ in range(FORGED_LOGINS):
            cookie, public = os.urandom(8), os.urandom(32)
            raw.send(signed.login("LOAD8", "", cookie, bytes(16), public, server, key))
        equal(heard(raw), [], "answers")


def test_a_login_by_another_key_is_refused(scene):
    scene.a.client.close()
    thief = signed.Client(scene.options.server, "LOAD8", nacl.signing.SigningKey.generate())
    try:
        thief.login()
        raise checks.Failure("somebody else's key was taken")
    except ufo.LoginRejected as rejected:
        equal(rejected.reason, "A", "reason")


def test_a_gateway_with_another_key_is_not_believed(scene):
    options = scene.options
    wrong = nacl.signing.SigningKey.generate().verify_key
    client = signed.Client(
        options.server, "LOAD8", key_of(options, "LOAD8"), options.local, gateway_key=wrong
    )
    try:
        client.login()
        raise checks.Failure("the client believes anybody")
    except ufo.LoginRejected:
        raise
    except ufo.UfoError as error:
        true("not signed by the gateway" in str(error), str(error))
    scene.a = make_trader(options, "LOAD8")
    scene.market.traders[0] = scene.a


def test_a_second_login_gives_new_keys_and_the_old_ones_are_over(scene):
    client = scene.a.client
    old, number = client.up, client.number
    client.login()
    true(client.up != old, "the key is another one")
    scene.a.enter("B", 100, PRICE)
    scene.settle("A", "")
    _, order = scene.a.order("B", 100, PRICE)
    client.send_raw(signed.data(old, number, 1000, ufo.block(ufo.unsequenced(order))))
    scene.a.used[0] -= 1
    scene.settle("", "")
    scene.a.cancel_all()
    scene.settle("C", "")


def test_after_a_logoff_another_address_may_log_in(scene):
    scene.b.client.close()
    time.sleep(0.1)
    scene.b = make_trader(scene.options, "LOAD9")
    scene.market.traders[1] = scene.b
    scene.b.enter("S", 100, PRICE)
    scene.settle("", "A")
    scene.b.cancel_all()
    scene.settle("", "C")


def trade(options):
    """All tests."""
    report, scene = checks.Report(), Scene(options)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            report.run(test, scene)
    for one in (scene.a, scene.b):
        one.client.close()
    return report.finish()


def crash(options):
    """Orders before a kill -9 are there after the restart, in the same stream."""
    report = checks.Report()
    one = make_trader(options, "LOAD8")
    client = one.client
    for _ in range(300):
        one.enter(random.choice("BS"), 100, PRICE + random.randint(-10, 10) * 100)
    checks.until(lambda: len(one.live()) + len(one.executions) >= 300, 10, "answers", one.wait)
    print("entered", flush=True)
    while time.monotonic() - client.heard_at < SILENCE_S:
        one.poll(0.1)
    before, old = list(client.stream), client.last_sent
    client.login(timeout=30)
    report.check(client.fetch(1, len(before)) == before, "every message is there after a kill -9")
    client.send_raw(old)
    one.enter("B", 100, PRICE)
    one.query()
    checks.until(lambda: one.query_count == 0, 10, "the answer to a query", one.wait)
    report.check(one.next_urn == one.used[0] + 1, "and no order but a new one has come in")
    client.close()
    return report.finish()


def main():
    """One or the other."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("what", choices=("trade", "crash"))
    parser.add_argument("--keys", required=True, help="folder of the key files")
    options = parser.parse_args()
    return trade(options) if options.what == "trade" else crash(options)


if __name__ == "__main__":
    sys.exit(main())
