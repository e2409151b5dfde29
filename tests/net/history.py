# SPDX-License-Identifier: MIT
"""Streams that are longer than what the gateway keeps in memory, asked for from their beginning.

What comes then is read from the journal, and has to be what was sent at first, byte for byte: while
another client trades, when two ask at once, after a SIGKILL, and from the feed's request server. Of
a journal whose beginning was used again what is there is served, and the rest is said to be gone.
"""

import signal
import socket
import sys
import time

import checks
import gateway as lab
import itch
import ouch
import ufo

LONG, SHORT = 100_000, 20_000  # orders, of two messages each
ORDERS_A_DATAGRAM = 20
UNANSWERED_MAX = 400  # orders
PRICE = 500_000
PATIENCE_S = 60.0
PING_S = 0.01  # between orders of who trades meanwhile
ANSWER_MAX_S = 1.0  # all of it on cores that everybody here shares
KEPT = 1024  # HISTORY of test_history.sh
SNAPSHOT_S = 0.5  # enough for one of SHORT orders


def order(urn, side="B", tif="3"):
    """Nothing is there to trade with: Accepted, and with IOC Canceled."""
    return ouch.enter(urn, side, 100, "ACME", PRICE, tif=tif)


def log_in(options, user):
    """A client that has its stream from the first message on."""
    client = ufo.Client(options.server, *user, options.local)
    client.login(start_at=1)
    return client


def fill(client, count, used=0):
    """`count` IOC orders with the numbers after `used`, and their answers."""
    begun, sent, deadline = client.expected, 0, time.monotonic() + PATIENCE_S
    while client.expected < begun + 2 * count:
        if time.monotonic() > deadline:
            raise checks.Failure(f"{client.user}: {client.expected} messages have come")
        while sent < count and sent - (client.expected - begun) // 2 < UNANSWERED_MAX:
            urns = range(sent + 1, min(sent + ORDERS_A_DATAGRAM, count) + 1)
            client.send(*[order(used + urn) for urn in urns])
            sent = urns[-1]
        client.poll(0.01)


class Pinger:
    """Trades all the while: an order that rests, and its cancel; how long each answer took."""

    def __init__(self, options, user):
        self.client = log_in(options, user)
        self.urn = 0
        self.sent_at = None
        self.took = []

    def step(self):
        """One order at a time."""
        fresh = self.client.poll()
        now = time.monotonic()
        if self.sent_at and any(message[:1] == b"A" for _, message in fresh):
            self.took.append(now - self.sent_at)
            self.sent_at = None
            self.client.send(ouch.cancel(self.urn))
        if self.sent_at is None and (not self.took or now - self.client.sent_at > PING_S):
            self.urn += 1
            self.client.send(order(self.urn, tif="0"))
            self.sent_at = now


def read_again(options, originals, step=lambda: None):
    """New clients of the same users read from 1, all at a time: what came is what had come."""
    for one in originals:
        one.logoff()
    again = [log_in(options, (one.user, one.password)) for one in originals]
    deadline = time.monotonic() + PATIENCE_S
    while any(client.expected < client.server_next for client in again):
        for client in again:
            client.poll(0.0005)
        step()
        if time.monotonic() > deadline:
            where = [(client.user, client.expected, client.server_next) for client in again]
            raise checks.Failure(f"not within {PATIENCE_S} s: {where}")
    for client, one in zip(again, originals):
        checks.equal(len(client.stream), len(one.stream), f"{client.user}: messages")
        checks.true(client.stream == one.stream, f"{client.user}: the same bytes")
        client.close()


class Scene:
    """A gateway, two long streams, and the feed as it came."""

    def __init__(self, options):
        self.options = options
        self.gateway = lab.Gateway(options)
        self.gateway.start_again()
        self.feed = itch.Feed(*options.feed, options.local)
        self.pinger = None
        self.streams = [log_in(options, (user, "SECRET")) for user in ("LOAD0", "LOAD2")]

    def restart(self):
        """SIGKILL, and a start."""
        self.gateway.send_signal(signal.SIGKILL)
        self.gateway.wait(lab.READY_S)
        self.gateway.start_again()

    def entry(self):
        """Order entry's counters, once the gateway has stopped in good order."""
        self.gateway.send_signal(signal.SIGTERM)
        checks.equal(self.gateway.wait(lab.READY_S), 0, "exit status")
        return self.gateway.messages("stopped")[-1]["shards"][0]["entry"]


def test_two_streams_become_longer_than_what_is_kept(scene):
    for client, count in zip(scene.streams, (LONG, SHORT)):
        fill(client, count)
        checks.equal(client.first, 1, "first message")


def test_a_stream_is_read_from_1_while_another_client_trades(scene):
    scene.pinger = Pinger(scene.options, ("LOAD1", "SECRET"))
    read_again(scene.options, scene.streams[:1], scene.pinger.step)
    took = sorted(scene.pinger.took)
    print(f"note {len(took)} orders meanwhile, p50 {took[len(took) // 2] * 1e3:.1f} ms, "
          f"longest {took[-1] * 1e3:.1f} ms")  # fmt: skip
    checks.true(took[-1] < ANSWER_MAX_S, f"an answer took {took[-1]} s")


def test_two_clients_read_from_1_at_once(scene):
    read_again(scene.options, scene.streams, scene.pinger.step)


def test_the_feed_is_read_from_1_by_requests(scene):
    pinger = scene.pinger
    checks.until(lambda: len(pinger.took) > KEPT, PATIENCE_S, "orders on the feed", pinger.step)
    scene.feed.poll(0.2)
    first, end = min(scene.feed.raw), scene.feed.sequencer.expected
    checks.true(end - first > KEPT, f"{end - first} messages on the feed")
    check_feed(scene, first, end)


def check_feed(scene, first, end):
    """Messages of the feed from the request server are those that came at first."""
    session = scene.feed.sequencer.session
    deadline = time.monotonic() + PATIENCE_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as requests:
        requests.connect(scene.options.request)
        requests.settimeout(ufo.RETRY_S)
        number = first
        while number < end:
            requests.send(itch.request_packet(session, number, 1000))
            try:
                packet = itch.split_packet(requests.recv(65535))
            except TimeoutError:
                checks.true(time.monotonic() < deadline, f"no answer to a request of {number}")
                continue
            if packet.sequence != number:
                continue  # an answer to what was asked twice
            for number, message in enumerate(packet.messages, number):
                if number < end:
                    checks.equal(message, scene.feed.raw[number], f"message {number}")
            number += 1


def test_all_is_read_from_1_after_a_SIGKILL_and_a_start(scene):
    scene.restart()
    read_again(scene.options, scene.streams)
    check_feed(scene, min(scene.feed.raw), scene.feed.sequencer.expected)


def test_the_counters_tell_where_it_came_from(scene):
    entry = scene.entry()
    from_journal = entry["retransmitted_from_journal"]
    checks.true(from_journal >= 2 * (LONG + SHORT) - 2 * KEPT, f"{from_journal} from the journal")
    checks.true(entry["retransmit_later"] > 0, "requests waited")
    checks.equal(entry["retransmit_unserved"], 0, "unserved")


def test_what_a_journal_has_no_longer_is_unserved_and_the_rest_is_there(scene):
    options = scene.options
    scene.gateway.forget()
    options.config = options.recycling_config
    scene.gateway = lab.Gateway(options)
    scene.gateway.start_again()
    original = log_in(options, ("LOAD0", "SECRET"))
    for used in range(0, LONG, SHORT):
        fill(original, SHORT, used)
        time.sleep(SNAPSHOT_S)
    original.logoff()
    client = ufo.Client(options.server, "LOAD0", "SECRET", options.local)
    client.login(start_at=1)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        checks.equal(len(client.poll(0.1)), 0, "messages from the beginning, which is gone")
    client.expected = client.first = client.server_next - 3 * KEPT
    what = "messages from before what is kept"
    checks.until(lambda: client.expected == client.server_next, 30, what, lambda: client.poll(0.01))
    checks.true(client.stream == original.stream[-3 * KEPT :], what)
    client.close()
    checks.true(scene.entry()["retransmit_unserved"] > 0, "unserved requests are counted")


def main():
    """The streams, and each way to read them."""
    parser = lab.arguments(__doc__.splitlines()[0])
    parser.add_argument("--recycling-config", required=True, help="… that keeps few segments")
    scene = Scene(parser.parse_args())
    report = checks.Report()
    try:
        for name, test in list(globals().items()):
            if name.startswith("test_"):
                report.run(test, scene)
    finally:
        scene.gateway.end()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
