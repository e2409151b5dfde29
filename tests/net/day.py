# SPDX-License-Identifier: MIT
"""A real day: a LOBSTER tape is played over the wire as orders, and after each of its events the
five best levels of the book rebuilt from the feed have to be the tape's.

One session has the tape's orders, another takes what the tape executed. tape.py says what is sent
and what is inferred; before each event with inferred actions the row before it must still stand, so
that nothing inferred can stand in for what the gateway has to do.

    ip netns exec sluice-cl python3 tests/net/day.py --tape FILE --symbol AMZN
    python3 tests/net/day.py --tape FILE --offline      # against the planner's own naive queues
"""

import collections
import json
import os
import sys
import time

import checks
import itch
import ouch
import tape
import trader
import ufo

WINDOW = 250  # actions that may be unanswered; below a veth queue's 256 packets
BATCH = 20  # messages in one datagram
PROGRESS = 20_000
MISTAKES_SHOWN = 5
SIDES = {tape.BUY: "B", tape.SELL: "S"}

Order = collections.namedtuple("Order", "urn executed open")


class Mistakes:
    """What differs from what it has to be."""

    def __init__(self):
        self.counts = collections.Counter()
        self.shown = []

    def add(self, kind, text):
        """Count it; keep the first few."""
        self.counts[kind] += 1
        if len(self.shown) < MISTAKES_SHOWN:
            self.shown.append(f"{kind}: {text}")

    def total(self):
        """All of them."""
        return sum(self.counts.values())


class Session:
    """One session of the replay: what was sent, and the answers that have to come, in order."""

    def __init__(self, options, user):
        self.client = ufo.Client(options.server, *user, options.local)
        self.client.login()
        self.symbol = options.symbol
        self.batch = []
        self.sent = 0  # messages
        self.awaited = collections.deque()  # (type, number, quantity)
        self.references = {}  # UserRefNum: order reference
        self.urn = self._next_urn() - 1

    def _next_urn(self):
        self.client.send(ouch.query())
        answers = []
        checks.until(
            lambda: answers, 5, "account query", lambda: answers.extend(self.client.poll(0.05))
        )
        return ouch.decode(answers[-1][1]).next_urn

    def number(self):
        """A UserRefNum."""
        self.urn += 1
        return self.urn

    def put(self, message, *awaited):
        """Into the next datagram; `awaited` are its answers."""
        self.batch.append(message)
        self.sent += 1
        self.awaited.extend(awaited)
        if len(self.batch) == BATCH:
            self.flush()

    def flush(self):
        """Send what has been put."""
        if self.batch:
            self.client.send(*self.batch)
            self.batch = []

    def poll(self, mistakes, timeout=0.0):
        """Compare what has arrived with what was awaited; how many answers."""
        fresh = self.client.poll(timeout)
        for _, message in fresh:
            answer = ouch.decode(message)
            quantity = getattr(answer, "quantity", None)
            got = answer.type, getattr(answer, "urn", 0), quantity
            wanted = self.awaited.popleft() if self.awaited else None
            if got != wanted:
                mistakes.add("answer", f"{answer}, expected {wanted}")
            if answer.type in "AU":
                self.references[answer.urn] = answer.ref
        return len(fresh)


class Replay:
    """Turns actions into messages, and notes what the feed has to say to each."""

    def __init__(self, options, feed):
        users = trader.users(options)
        self.maker, self.taker = Session(options, users[0]), Session(options, users[1])
        self.feed = feed
        self.mistakes = Mistakes()
        self.orders = {}  # the tape's id: Order
        self.awaited = []  # of the feed: (type, UserRefNum, shares, price)
        self.checks = []  # (messages before it, row)
        self.stuck = False

    def step(self, index, step):
        """One event of the tape, and what happened unseen before it."""
        for action in step.before:
            self._send(action)
        if step.before and index:
            self.checks.append((len(self.awaited), index - 1))
        if step.action:
            self._send(step.action)
        self.checks.append((len(self.awaited), index))

    def _send(self, action):
        other = self.maker if action.kind == tape.TAKE else self.taker
        other.flush()  # the order of commands is the order of datagrams
        getattr(self, "_" + action.kind)(action)
        if len(self.maker.awaited) + len(self.taker.awaited) >= WINDOW:
            self.flush()
            self.wait(WINDOW // 2)

    def _enter(self, action):
        urn = self.maker.number()
        side = SIDES[action.side]
        self.orders[action.id] = Order(urn, 0, action.size)
        message = ouch.enter(urn, side, action.size, self.maker.symbol, action.price)
        self.maker.put(message, ("A", urn, action.size))
        self.awaited.append(("A", urn, action.size, action.price))

    def _cancel(self, action):
        order = self.orders[action.id]
        gone = order.open - action.size
        intended = order.executed + action.size if action.size else 0
        self.maker.put(ouch.cancel(order.urn, intended), ("C", order.urn, gone))
        self.awaited.append(("X" if action.size else "D", order.urn, gone, action.price))
        self._keep(action.id, order._replace(open=action.size))

    def _requeue(self, action):
        order, urn = self.orders[action.id], self.maker.number()
        message = ouch.replace(order.urn, urn, order.executed + order.open, action.price)
        self.maker.put(message, ("U", urn, order.open))
        self.awaited.append(("U", urn, order.open, action.price))
        self.orders[action.id] = order._replace(urn=urn)

    def _take(self, action):
        urn = self.taker.number()
        side = SIDES[-action.side]
        message = ouch.enter(urn, side, action.size, self.taker.symbol, action.price, tif="3")
        fills = [("E", urn, shares) for _, _, shares in action.hits]
        self.taker.put(message, ("A", urn, action.size), *fills)
        for number, price, shares in action.hits:
            order = self.orders[number]
            self.maker.awaited.append(("E", order.urn, shares))
            self.awaited.append(("E", order.urn, shares, price))
            executed, left = order.executed + shares, order.open - shares
            self._keep(number, order._replace(executed=executed, open=left))

    def _keep(self, number, order):
        if order.open:
            self.orders[number] = order
        else:
            del self.orders[number]

    def flush(self):
        """Send what has been put into datagrams."""
        self.maker.flush()
        self.taker.flush()

    def wait(self, most):
        """Until no more than `most` answers are missing, or for ten seconds in vain."""
        deadline = time.monotonic() + 10
        while len(self.maker.awaited) + len(self.taker.awaited) > most:
            count = self.maker.poll(self.mistakes) + self.taker.poll(self.mistakes)
            self.feed.drain(0.0 if count else 0.0005)
            if count:
                deadline = time.monotonic() + 10
            elif time.monotonic() > deadline:
                missing = list(self.maker.awaited)[:2], list(self.taker.awaited)[:2]
                self.mistakes.add("no answer", f"for 10 s; awaited {missing}")
                self.stuck = True
                return

    @property
    def hopeless(self):
        """Nothing that follows would mean anything."""
        return self.stuck or self.mistakes.total() > 100


class Comparison:
    """Decodes the feed, holds each message against what was sent and each row against the tape."""

    def __init__(self, replay, rows, symbol):
        self.replay, self.rows, self.symbol = replay, rows, symbol
        self.book, self.sequencer = itch.Book(), itch.Sequencer()
        self.sequence = iter(replay.checks)
        self.next_check = next(self.sequence, None)
        self.seen = self.compared = self.equal = 0
        self.last_row = -1
        self.locate = None

    def take(self, payloads):
        """Packets of the feed."""
        for payload in payloads:
            for _, message in self.sequencer.take(payload):
                if message[:1] in b"AFECXDUP":
                    self._message(itch.decode(message))
        if self.sequencer.gaps:
            self.replay.mistakes.add("feed", f"gaps {self.sequencer.gaps[:3]}")

    def _message(self, message):
        self._rows()
        if self.seen == len(self.replay.awaited):
            self.replay.mistakes.add("feed", f"{message} after the last")
            return
        kind, urn, shares, price = self.replay.awaited[self.seen]
        self.seen += 1
        wanted = kind, self.replay.maker.references.get(urn), shares, price
        if self.locate is None:
            self.locate = message.locate
        got = self._facts(message)
        if got != wanted:
            self.replay.mistakes.add("feed", f"{got}, expected {wanted}")
        self.book.apply(message)

    def _facts(self, message):
        """(type, reference, shares, price) of a message, from the book where it does not say."""
        order = self.book.orders.get(message.ref, (0, 0, 0, 0))
        shares = order[3] if message.type == "D" else message.shares
        price = message.price if message.type in "AU" else order[2]
        return message.type, message.ref, shares, price

    def _rows(self):
        """Compare the rows that stand at this place of the feed."""
        while self.next_check and self.next_check[0] == self.seen:
            _, index = self.next_check
            same = all(
                self.book.top(self.locate, letter, tape.DEPTH) == self.rows[index][side]
                for side, letter in SIDES.items()
            )
            repeated = index == self.last_row
            self._row(index, same, repeated)
            self.next_check = next(self.sequence, None)

    def _row(self, index, same, repeated):
        if not repeated:
            self.compared += 1
            self.equal += same
            self.last_row = index
        if not same:
            kind = "row changed by what is inferred" if repeated else "row"
            book = [self.book.top(self.locate, letter, tape.DEPTH) for letter in "BS"]
            self.replay.mistakes.add(kind, f"{index}: {book}, the tape has {self.rows[index]}")

    def finish(self):
        """The rows after the last message; whether everything came."""
        self._rows()
        missing = len(self.replay.awaited) - self.seen
        if missing:
            self.replay.mistakes.add("feed", f"{missing} messages are missing")


def offline(planner, rows):
    """The same comparison against the planner's queues: what the method itself is worth."""
    equal = 0
    for index, _ in enumerate(planner.plan()):
        equal += all(planner.queues.top(side) == rows[index][side] for side in SIDES)
    return {"events": len(rows), "rows compared": len(rows), "rows equal": equal,
            "unexplained": len(rows) - equal}  # fmt: skip


def over_the_wire(options, planner, rows):
    """Play, then compare."""
    feed = itch.Receiver(*options.feed, options.local)
    replay = Replay(options, feed)
    started = time.monotonic()
    for index, step in enumerate(planner.plan()):
        replay.step(index, step)
        if index % PROGRESS == PROGRESS - 1:
            print(f"{index + 1} events sent, {time.monotonic() - started:.1f} s", flush=True)
        if replay.hopeless:
            break
    replay.flush()
    replay.wait(0)
    settle(feed)
    sent = time.monotonic() - started
    comparison = Comparison(replay, rows, options.symbol)
    comparison.take(feed.take())
    comparison.finish()
    for session in (replay.maker, replay.taker):
        session.client.close()
    return result(replay, comparison, len(rows), sent)


def settle(feed):
    """The feed's last messages arrive within a second of the last answer."""
    while feed.drain(0.3) and any(len(payload) > 20 for payload in feed.payloads[-3:]):
        pass


def result(replay, comparison, events, seconds):
    """What there is to say."""
    mistakes = replay.mistakes
    for text in mistakes.shown:
        print(f"  {text}")
    return {
        "events": events,
        "messages sent": replay.maker.sent + replay.taker.sent,
        "answers": len(replay.maker.client.stream) + len(replay.taker.client.stream),
        "feed messages": comparison.seen,
        "seconds": round(seconds, 1),
        "rows compared": comparison.compared,
        "rows equal": comparison.equal,
        "rows different": comparison.compared - comparison.equal,
        "unexplained": mistakes.total() + events - comparison.compared,
        "unexplained by kind": dict(mistakes.counts),
    }


def main():
    """Play the tape; 77 when there is none, which a runner takes for `skipped`."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--tape", required=True, help="LOBSTER zip with message and orderbook")
    parser.add_argument("--offline", action="store_true", help="no gateway: the method alone")
    parser.add_argument("--events", type=int, help="only so many from the beginning")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object too")
    options = parser.parse_args()
    if not os.path.exists(options.tape):
        print(f"skipped: there is no {options.tape}")
        return 77
    events, rows = tape.load(options.tape)
    if options.events:
        events, rows = events[: options.events], rows[: options.events]
    planner = tape.Planner(events, rows)
    if options.offline:
        report = offline(planner, rows)
    else:
        report = over_the_wire(options, planner, rows)
    report["causes in the tape"] = dict(sorted(planner.counts.items()))
    for name, value in report.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for cause, count in value.items():
                print(f"  {count:7} {cause}")
        else:
            print(f"{name}: {value}")
    if options.json:
        print(json.dumps(report))
    whole = report["rows equal"] == report["events"] and not report["unexplained"]
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
