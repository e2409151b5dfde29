# SPDX-License-Identifier: MIT
"""The client's half of the crash test: trades without pause while somebody kills the gateway.

Whenever the gateway falls silent each session logs in until it is answered, fetches what it lacks,
fetches everything once more from number 1 and compares it byte for byte with what it had before the
crash, asks by Account Query which orders arrived, and sends the others again under new numbers. At
the end nothing acknowledged may be missing, and nothing may have been executed twice.

    ip netns exec sluice-cl python3 tests/net/kill9.py --duration 60 --seed 1
"""

import json
import random
import signal
import sys
import time

import checks
import ouch
import trader
import ufo

PRICE, TICK = 500_000, 100
SPREAD = 8  # ticks around PRICE in which orders are placed, so that many cross
SILENCE_S = 0.6  # an order without an answer for so long: ask whether the gateway is there
HEARTBEAT_S = 2.5  # nothing at all for so long: likewise
PATIENCE_S = 60.0  # how long a restart may take
COUNTS = (
    "sent", "accepted", "rejected", "canceled", "replaced", "outages", "refetched", "lost",
    "resent", "dropped",
)  # fmt: skip
LIVE_MAX = 200  # open orders a session keeps
UNANSWERED_MAX = 100


class Lost(Exception):
    """The gateway went away in the middle of something."""


class Worker(trader.Trader):
    """A session that trades at random and knows what has not been answered."""

    def __init__(self, options, user, seed):
        self.random = random.Random(seed)
        self.accounted = 0  # messages of the stream that the account has taken in
        self.unanswered = {}  # UserRefNum: (when, side, quantity, price, details) of orders
        self.given_up = set()  # numbers taken for lost: no answer may ever come
        self.counts = dict.fromkeys(COUNTS, 0)
        self.failures = []
        super().__init__(options.server, *user, options.local, options.symbol)

    def apply(self, answer):
        """Account for one answer; one to a number that was taken for lost is a failure."""
        if answer.type in "AUJ" and (answer.urn in self.given_up):
            self.failures.append(f"{self.name}: {answer} though its number was not processed")
        super().apply(answer)
        if answer.type in "AUJ":
            self.unanswered.pop(answer.urn, None)
        kinds = {"A": "accepted", "J": "rejected", "C": "canceled", "U": "replaced"}
        if answer.type in kinds:
            self.counts[kinds[answer.type]] += 1
        self.fresh.clear()

    # Trading.

    def place(self, side, quantity, price, **details):
        """Enter an order and remember it until it is answered."""
        urn, message = self.order(side, quantity, price, **details)
        self.unanswered[urn] = (time.monotonic(), side, quantity, price, details)
        self.counts["sent"] += 1
        return message

    def act(self):
        """One random thing: mostly an order, else a cancel or a replacement of a live one."""
        live = self.live()
        choice = self.random.random()
        if live and (choice < 0.25 or len(live) > LIVE_MAX):
            order = self.random.choice(live)
            total = order.executed + order.open
            wanted = 0 if choice < 0.15 or len(live) > LIVE_MAX else self.random.randrange(total)
            self.cancel(order.urn, wanted)
        elif live and choice < 0.35:
            order = self.random.choice(live)
            total = order.executed + order.open
            self.replace(order.urn, total + self.random.randrange(100), self._price())
            self.counts["sent"] += 1
        else:
            messages = [self._random_order() for _ in range(self.random.choice((1, 1, 1, 5)))]
            self.client.send(*messages)

    def _price(self):
        return PRICE + self.random.randint(-SPREAD, SPREAD) * TICK

    def _random_order(self):
        tif = "3" if self.random.random() < 0.1 else "0"
        display = "N" if self.random.random() < 0.1 else "Y"
        side, quantity = self.random.choice("BS"), self.random.randint(1, 500)
        return self.place(side, quantity, self._price(), tif=tif, display=display)

    @property
    def silent(self):
        """Whether it looks as if the gateway were gone."""
        now = time.monotonic()
        oldest = min((entry[0] for entry in self.unanswered.values()), default=now)
        return now - oldest > SILENCE_S or now - self.client.heard_at > HEARTBEAT_S

    # After a crash.

    def recover(self):
        """Back in the same stream, with what was lost sent again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._reconnect()
                self._compare()
                self._ask_what_arrived()
                return
            except (Lost, ufo.UfoError) as error:
                if time.monotonic() > deadline:
                    raise checks.Failure(f"{self.name}: no recovery: {error}") from error

    def _reconnect(self):
        client = self.client
        client.login(timeout=5)
        if client.expected_then and client.accept_next < client.expected_then:
            raise checks.Failure(
                f"{self.name}: {client.expected_then - 1} messages were received, "
                f"the gateway knows of {client.accept_next - 1}"
            )
        self._until(lambda: client.expected >= client.accept_next, "the rest of the stream")

    def _until(self, condition, what, timeout=5.0):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise Lost(what)
            self.wait()

    def _compare(self):
        """Everything received, fetched again, is the same bytes."""
        client = self.client
        had = list(client.stream)
        again = client.fetch(1, len(had))
        self._account()
        self.counts["refetched"] += len(again)
        for number, (before, after) in enumerate(zip(had, again), 1):
            if before != after:
                text = f"{self.name}: message {number} was {before.hex()}, is {after.hex()}"
                raise checks.Failure(text)

    def _ask_what_arrived(self):
        """An order from next_urn on never arrived; one below it that has no answer was dropped.

        Either is sent again under a number that was never used, so that an answer to the old one
        would show.
        """
        self.query_count = 0
        self.query()
        self._until(lambda: self.query_count <= 0, "the answer to an account query")
        self.query_count = 0
        pending, self.unanswered = self.unanswered, {}
        self.used[0] = max(self.used.get(0, 0), self.next_urn - 1)
        self.given_up.update(pending)
        for urn, (_, side, quantity, price, details) in sorted(pending.items()):
            self.counts["lost" if urn >= self.next_urn else "dropped"] += 1
            self.client.send(self.place(side, quantity, price, **details))
            self.counts["resent"] += 1

    def poll(self, timeout=0.0):
        """Take in what has arrived."""
        self.client.poll(timeout)
        self._account()
        return []

    def _account(self):
        """What the client has received, whoever polled it: fetch() does so too."""
        for message in self.client.stream[self.accounted :]:
            self.accounted += 1
            self.apply(ouch.decode(message))


class Stop:
    """SIGTERM, SIGINT, or the time is up."""

    def __init__(self, duration):
        self.until = time.monotonic() + duration if duration else None
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signal)

    def _signal(self, *_):
        self.asked = True

    @property
    def due(self):
        """Whether to stop."""
        return self.asked or (self.until is not None and time.monotonic() > self.until)


def trade(workers, stop, rate):
    """Until told to stop; `rate` actions a second, all sessions together."""
    due = time.monotonic()
    while not stop.due:
        for worker in workers:
            if worker.silent:
                worker.counts["outages"] += 1
                worker.recover()
            elif len(worker.unanswered) < UNANSWERED_MAX:
                worker.act()
            due = max(due + 1 / rate, time.monotonic() - 0.1)  # what was missed is not made up for
            worker.poll()
            while time.monotonic() < due:
                worker.poll(due - time.monotonic())


def finish(workers):
    """Every answer there will be: two rounds, as the second session's orders may hit the first."""
    for _ in range(2):
        for worker in workers:
            worker.recover()


# What has to hold at the end.


def test_every_stream_is_whole(workers):
    """Every stream was received from 1 without a hole, and nothing went wrong on the way."""
    for worker in workers:
        checks.equal(worker.failures, [], worker.name)
        checks.equal(worker.client.first, 1, f"{worker.name}'s first message")
        checks.equal(worker.client.expected, len(worker.client.stream) + 1, f"{worker.name}'s next")
        checks.equal(worker.unanswered, {}, f"{worker.name}'s orders without an answer")


def test_no_order_executed_more_than_it_was_for(workers):
    """No order executed more than it was for."""
    for worker in workers:
        for order in worker.orders.values():
            total = order.executed + order.open
            what = f"{worker.name}: {order.executed} executed, {order.open} open, order {order.urn}"
            checks.true(total <= min(order.accepted, ouch.QUANTITY_MAX), what)


def test_every_match_has_a_buyer_and_a_seller_once(workers):
    """Each match number stands on two sides, a buyer's and a seller's, and nowhere else."""
    sides = {}
    for worker in workers:
        for match, side, symbol, quantity, price in worker.executions:
            sides.setdefault(match, []).append((side, symbol, quantity, price))
    for match, both in sides.items():
        checks.equal("".join(sorted(side for side, *_ in both)), "BS", f"sides of match {match}")
        checks.equal(both[0][1:], both[1][1:], f"terms of match {match}")


def test_the_book_by_the_answers_is_not_crossed(workers):
    """What is open by the answers is not crossed."""
    orders = [order for worker in workers for order in worker.live()]
    bids = [order.price for order in orders if order.feed_side == "B"]
    asks = [order.price for order in orders if order.feed_side == "S"]
    if bids and asks:
        checks.true(max(bids) < min(asks), f"bid {max(bids)}, ask {min(asks)}")


def test_the_gateway_has_the_shares_open_that_the_answers_tell_of(workers):
    """The gateway has the very shares open that the answers tell of: cancel them and see."""
    for worker in workers:
        wanted = sorted((order.urn, order.open) for order in worker.live())
        start = worker.accounted
        worker.cancel_all()
        worker.query()
        checks.until(lambda w=worker: w.query_count == 0, 10, "cancels", worker.wait)
        answers = [ouch.decode(message) for message in worker.client.stream[start:]]
        got = sorted((answer.urn, answer.quantity) for answer in answers if answer.type == "C")
        checks.equal(got, wanted, f"{worker.name}: shares canceled")
        checks.equal(worker.live(), [], f"{worker.name}: open after all is canceled")


def test_something_was_traded(workers):
    """The test has tested something."""
    checks.true(any(worker.executions for worker in workers), "nothing was traded")


def summary(workers, seed):
    """For a program to read."""
    matches = {execution[0] for worker in workers for execution in worker.executions}
    return {
        "seed": seed,
        "matches": len(matches),
        "sessions": {
            worker.name: {
                **worker.counts,
                "messages": len(worker.client.stream),
                "orders": len(worker.orders),
                "executions": len(worker.executions),
                "gaps": worker.client.gaps,
                "requests": worker.client.requests,
            }
            for worker in workers
        },
    }


def main():
    """Trade, recover, check."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--duration", type=float, help="seconds; without it until SIGTERM")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2000, help="actions a second")
    options = parser.parse_args()
    report, stop = checks.Report(), Stop(options.duration)
    users = trader.users(options)
    workers = [Worker(options, user, f"{options.seed}/{user[0]}") for user in users]
    print("all have logged in", flush=True)
    try:
        trade(workers, stop, options.rate)
        finish(workers)
        report.ok("every crash is recovered from, and nothing acknowledged is missing")
    except (checks.Failure, Lost, ufo.UfoError, ouch.OuchError) as error:
        report.fail("every crash is recovered from, and nothing acknowledged is missing", error)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            report.run(test, workers)
    print(json.dumps(summary(workers, options.seed)))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
