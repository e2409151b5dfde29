# SPDX-License-Identifier: MIT
"""Clients that lose three datagrams in ten both ways, and have others doubled and out of order.

Each keeps one datagram of orders outstanding, sends it again under the same UserRefNums until all
are answered, and asks for what it missed. In the end every order was placed once, and each stream
is complete: a client that loses nothing reads the same.
"""

import random
import sys
import time

import checks
import kill9
import trader
import ufo

LOSS, DOUBLED, LATE = 0.3, 0.3, 0.3
LATE_MAX = 4  # datagrams that may overtake one
RESEND_S = 0.01
PATIENCE_S = 120.0
PRICE, TICK, SPREAD = 500_000, 100, 4
ufo.RETRY_S = 0.01  # a lost request is the rule here


class Weather:
    """What happens to the datagrams of one direction."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.late = []  # [datagrams to let pass, datagram]
        self.counts = dict.fromkeys(("sent", "lost", "doubled", "late"), 0)

    def carry(self, datagram):
        """What arrives when `datagram` is sent, in that order."""
        self.counts["sent"] += 1
        arrived = self._overtaken()
        for _ in range(1 + self._happens(DOUBLED, "doubled")):
            if self._happens(LOSS, "lost"):
                continue
            if self._happens(LATE, "late"):
                self.late.append([self.random.randint(1, LATE_MAX), datagram])
            else:
                arrived.insert(0, datagram)
        return arrived

    def _happens(self, share, what):
        happens = self.random.random() < share
        self.counts[what] += happens
        return happens

    def _overtaken(self):
        for entry in self.late:
            entry[0] -= 1
        arrived = [datagram for left, datagram in self.late if left <= 0]
        self.late = [entry for entry in self.late if entry[0] > 0]
        return arrived


class Client(ufo.Client):
    """A client on such a network."""

    def __init__(self, server, user, *rest):
        super().__init__(server, user, *rest)
        self.up, self.down = Weather(f"{seed()}/{user}/up"), Weather(f"{seed()}/{user}/down")

    def send_datagram(self, payload):
        """What of it is carried."""
        for datagram in self.up.carry(payload):
            super().send_datagram(datagram)

    def _datagrams(self, timeout):
        for payload in super()._datagrams(timeout):
            yield from self.down.carry(payload)


def seed():
    """Of this run."""
    return OPTIONS.seed


class Trader(trader.Trader):
    """One datagram of orders at a time, until it is answered."""

    client_class = Client

    def __init__(self, options, user):
        self.random = random.Random(f"{options.seed}/{user[0]}")
        self.pending, self.sent_at, self.resent = [], 0.0, 0
        super().__init__(options.server, *user, options.local, options.symbol)

    def query(self, tags=None):
        """Nobody repeats it: it is not asked here."""

    def _catch_up(self):
        pass

    def act(self, orders_left):
        """The next datagram, or the same again; how many new orders it has."""
        now, answered = time.monotonic(), self.orders.keys() | self.rejects.keys()
        if all((0, urn) in answered for urn, _ in self.pending):
            count = min(self.random.randint(1, 8), orders_left)
            self.pending = [self._some_order() for _ in range(count)]
        elif now - self.sent_at < RESEND_S:
            return 0
        else:
            count = 0
            self.resent += 1
        if self.pending:
            self.client.send(*[message for _, message in self.pending])
        self.sent_at = now
        return count

    def _some_order(self):
        price = PRICE + self.random.randint(-SPREAD, SPREAD) * TICK
        return self.order(self.random.choice("BS"), self.random.randint(1, 500), price)


def trade(traders, orders):
    """So many orders of each, and an answer to every one."""
    left = dict.fromkeys(traders, orders)
    deadline = time.monotonic() + PATIENCE_S
    while any(left[one] or one.pending for one in traders):
        for one in traders:
            left[one] -= one.act(left[one])
            one.poll(0.001)
        if time.monotonic() > deadline:
            raise checks.Failure(f"{left}: orders were not placed within {PATIENCE_S} s")


def settle(traders):
    """What the others' orders caused has come too: nothing is missing, and nobody says more."""
    deadline, quiet_until = time.monotonic() + PATIENCE_S, 0.0
    quiet_until = time.monotonic() + 3.0  # heartbeats enough that one arrives
    while time.monotonic() < quiet_until:
        for one in traders:
            one.poll(0.005)
            if one.client.expected < one.client.server_next:
                quiet_until = time.monotonic() + 3.0
        if time.monotonic() > deadline:
            raise checks.Failure("streams are not complete")


def test_every_order_is_placed_once(scene):
    trade(scene.traders, scene.options.orders)
    settle(scene.traders)
    for one in scene.traders:
        placed = sorted(urn for _, urn in one.orders)  # one that is accepted twice raises
        checks.equal(one.rejects, {}, f"{one.name}: rejected")
        checks.equal(placed, list(range(1, scene.options.orders + 1)), f"{one.name}: placed")


def test_the_streams_tell_one_story(scene):
    kill9.test_no_order_executed_more_than_it_was_for(scene.traders)
    kill9.test_every_match_has_a_buyer_and_a_seller_once(scene.traders)
    kill9.test_the_book_by_the_answers_is_not_crossed(scene.traders)
    kill9.test_something_was_traded(scene.traders)


def test_a_client_that_loses_nothing_reads_the_same_streams(scene):
    for one, user in zip(scene.traders, scene.users):
        clear = ufo.Client(scene.options.server, *user, scene.options.local)
        ufo.Client.send_datagram(one.client, ufo.block(b"O"))  # a logoff that arrives
        clear.login(start_at=1)
        what = f"{one.name}: the stream again"
        checks.until(
            lambda c=clear: c.expected >= c.server_next, 30, what, lambda c=clear: c.poll(0.01)
        )
        checks.true(clear.stream == one.client.stream, what)
        clear.close()


def test_much_was_lost_both_ways(scene):
    for one in scene.traders:
        for way, weather in (("up", one.client.up), ("down", one.client.down)):
            counts = weather.counts
            print(f"note {one.name} {way}: {counts}, {one.resent} sent again")
            checks.true(counts["lost"] > counts["sent"] / 5, f"{one.name} {way}: lost")
            checks.true(counts["doubled"] and counts["late"], f"{one.name} {way}")


class Scene:
    """Traders that are logged in."""

    def __init__(self, options):
        self.options, self.users = options, trader.users(options)
        self.traders = [Trader(options, user) for user in self.users]


def main():
    """Trade in bad weather."""
    scene, report = Scene(OPTIONS), checks.Report()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            report.run(test, scene)
    return report.finish()


def arguments():
    """The command line."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders", type=int, default=500, help="of each session")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = arguments()
    sys.exit(main())
