# SPDX-License-Identifier: MIT
"""A LOBSTER tape turned into orders that make a matching engine go through the same day.

The tape (one instrument, one day) has every event that touched the five best levels, and these
levels after each of them. What happened beyond the fifth level is not on it, so that three kinds of
orders have to be inferred; each inference is confined to prices that the reference row before it
does not show, which `Planner` asserts:

- An order that a later event names without the tape ever having entered it. Order ids rise with
  time, so its id dates its entry between two events of the tape; at that time its price lies beyond
  the fifth level in each of the 7,935 cases of AMZN, 2012-06-21.
- A level that comes into view with more shares than the known orders have: the rest is one order
  that nobody names. With fewer: orders that are never named again have left, unseen.
- The orders that were there before the tape: the first row's.

Executions name the order they hit. Where that order is not the first of its price's queue here, the
ones before it are sent to the back (a replacement without change): 33 times in 8,974 executions on
that day. 24 have the higher id, nearly all of the opening, which the tape lists in another sequence
than that of its ids; 8 are elders that the tape itself passes over; one is an inferred order.
"""

import bisect
import collections
import io
import zipfile

BUY, SELL = 1, -1
NEW, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, HALT = 1, 2, 3, 4, 5, 7
KIND_NAMES = {
    NEW: "new order", REDUCE: "partial cancel", DELETE: "deletion", EXECUTE: "execution",
    EXECUTE_HIDDEN: "hidden execution, nothing sent", HALT: "halt, nothing sent",
}  # fmt: skip
NO_PRICE = 9_999_999_999  # what an empty level shows; negative for bids
DEPTH = 5

Event = collections.namedtuple("Event", "time kind id size price side")
# What a session has to do. `size`: of an order entered or taken; what a reduced order has left.
Action = collections.namedtuple("Action", "kind id side price size hits")
Step = collections.namedtuple("Step", "before action")

ENTER, CANCEL, REQUEUE, TAKE = "enter", "cancel", "requeue", "take"


class TapeError(Exception):
    """The tape is not what this program knows how to play."""


def load(path):
    """(events, rows) of the folder's or zip's two files; a row is {side: [(price, size), …]}."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        message = next(name for name in names if "message" in name)
        book = next(name for name in names if "orderbook" in name)
        events = [_event(line) for line in io.TextIOWrapper(archive.open(message))]
        rows = [_row(line) for line in io.TextIOWrapper(archive.open(book))]
    if len(events) != len(rows):
        raise TapeError(f"{len(events)} events, {len(rows)} rows")
    return events, rows


def _event(line):
    time, kind, number, size, price, side = line.split(",")
    return Event(float(time), int(kind), int(number), int(size), int(price), int(side))


def _row(line):
    """Asks and bids, best first, without the levels that are empty."""
    values = [int(text) for text in line.split(",")]
    asks, bids = zip(values[0::4], values[1::4]), zip(values[2::4], values[3::4])
    return {
        SELL: [level for level in asks if level[0] != NO_PRICE],
        BUY: [level for level in bids if level[0] != -NO_PRICE],
    }


def is_beyond(row, side, price):
    """The price is behind the fifth level, where the tape is blind."""
    levels = row[side]
    return len(levels) == DEPTH and (price - levels[-1][0]) * side < 0


class Queues:
    """Orders in price-time order: the simplest thing that can be right."""

    def __init__(self):
        self.levels = {BUY: {}, SELL: {}}  # side: {price: {id: size}}
        self.prices = {BUY: [], SELL: []}  # rising
        self.orders = {}  # id: (side, price)

    def enter(self, number, side, price, size):
        """To the back of its price's queue."""
        if number in self.orders:
            raise TapeError(f"order {number} entered twice")
        if price not in self.levels[side]:
            self.levels[side][price] = {}
            bisect.insort(self.prices[side], price)
        self.levels[side][price][number] = size
        self.orders[number] = side, price

    def reduce(self, number, size):
        """Take shares off an order, and off the book with its last."""
        side, price = self.orders[number]
        level = self.levels[side][price]
        if size > level[number]:
            raise TapeError(f"{size} shares of order {number}, which has {level[number]}")
        level[number] -= size
        if level[number] == 0:
            del level[number], self.orders[number]
            if not level:
                del self.levels[side][price]
                self.prices[side].remove(price)

    def size(self, number):
        """Open shares of an order, 0 when it is not there."""
        if number not in self.orders:
            return 0
        side, price = self.orders[number]
        return self.levels[side][price][number]

    def top(self, side):
        """The best five levels as (price, shares), best first."""
        prices = self.prices[side]
        best = prices[:DEPTH] if side == SELL else prices[: -DEPTH - 1 : -1]
        return [(price, sum(self.levels[side][price].values())) for price in best]

    def take(self, side, price, size):
        """Execute against `side` down to `price`; [(id, price, shares)]."""
        hits = []
        while size and self.prices[side]:
            best = self.prices[side][0 if side == SELL else -1]
            if (best - price) * side < 0:
                break
            number, there = next(iter(self.levels[side][best].items()))
            shares = min(size, there)
            hits.append((number, best, shares))
            self.reduce(number, shares)
            size -= shares
        return hits


class Planner:
    """Goes through the tape once and says, event by event, what has to be sent.

    plan() gives a Step per event: what happened unseen before it, and the event's own action.
    """

    def __init__(self, events, rows):
        self.events, self.rows = events, rows
        self.queues = Queues()
        self.counts = collections.Counter()
        self.named = collections.defaultdict(list)  # id: the events that name it, but for its entry
        self.entered = {event.id for event in events if event.kind == NEW}
        self.unnamed_count = 0
        self.unseen = collections.defaultdict(list)  # event: ids to enter before it
        self.before = []
        self._index()
        self._date_unseen()

    def _index(self):
        for index, event in enumerate(self.events):
            if event.kind in (REDUCE, DELETE, EXECUTE):
                self.named[event.id].append(index)

    def _future(self, number, index):
        """Shares that events from `index` on take off an order."""
        events = self.named.get(number, ())
        later = events[bisect.bisect_left(events, index) :]
        return sum(self.events[i].size for i in later)

    # Orders that the tape names and does not enter.

    def _date_unseen(self):
        running, opening_end = 0, -1
        for index, event in enumerate(self.events):  # the opening is not in the order of ids
            if event.kind == NEW:
                if event.id < running:
                    opening_end = index
                running = max(running, event.id)
        entries = [(e.id, i) for i, e in enumerate(self.events) if e.kind == NEW]
        dated = [entry for entry in entries if entry[1] > opening_end]
        for number in sorted(self.named.keys() - self.entered):
            self._date(number, dated)

    def _date(self, number, dated):
        """Enter it at the first time its id allows at which its price is beyond the fifth level."""
        place = bisect.bisect(dated, (number, 0))
        first = self.named[number][0]
        event = self.events[first]
        low = dated[place - 1][1] if place else -1
        high = min(dated[place][1] if place < len(dated) else first, first)
        if low < 0 and self._fits_first_row(number, event):
            self.unseen[0].append(number)
            return
        for row in range(max(low, 0), high):
            if is_beyond(self.rows[row], event.side, event.price):
                self.unseen[row + 1].append(number)
                return
        raise TapeError(f"order {number} was never entered, and its price always in view")

    def _fits_first_row(self, number, event):
        """Older than the tape: the first row has room for it beside the others."""
        if is_beyond(self.rows[0], event.side, event.price):
            return True
        there = dict(self.rows[0][event.side]).get(event.price, 0)
        others = [self.events[self.named[other][0]] for other in self.unseen[0]]
        taken = sum(
            self._future(other.id, 0)
            for other in others
            if (other.side, other.price) == (event.side, event.price)
        )
        return taken + self._future(number, 0) <= there

    # What happens unseen.

    def _enter(self, number, side, price, size, cause):
        self.counts[cause] += 1
        self.queues.enter(number, side, price, size)
        self.before.append(Action(ENTER, number, side, price, size, ()))

    def _leave(self, number, size, cause):
        """An order loses shares unseen, or all of them."""
        self.counts[cause] += 1
        side, price = self.queues.orders[number]
        left = self.queues.size(number) - size
        self.queues.reduce(number, size)
        self.before.append(Action(CANCEL, number, side, price, left, ()))

    def _enter_unseen(self, index):
        for number in self.unseen.pop(index, ()):
            event = self.events[self.named[number][0]]
            cause = "entered beyond the fifth level, named later" if index else "older, named"
            size = self._future(number, 0)
            self._enter(number, event.side, event.price, size, cause)

    def _come_into_view(self, index):
        """Levels that the row after the event shows and the one before did not."""
        now, event = self.rows[index], self.events[index]
        for side in (BUY, SELL):
            shown = dict(now[side])
            if event.kind == NEW and event.side == side:
                shown[event.price] -= event.size
            for price in self._newly_in_view(index, side, shown):
                self._settle_level(index, side, price, shown.get(price, 0))

    def _newly_in_view(self, index, side, shown):
        """Prices, the row's and the queues', beyond the fifth level before and not any more."""
        prices = self.queues.prices[side]
        if index:
            last, now = self.rows[index - 1][side], self.rows[index][side]
            if len(last) < DEPTH or (len(now) == DEPTH and (now[-1][0] - last[-1][0]) * side >= 0):
                return []
            edge = bisect.bisect_left(prices, last[-1][0])
            hidden = prices[:edge] if side == BUY else prices[edge:]
            known = set(hidden) | shown.keys()
            known = {p for p in known if is_beyond(self.rows[index - 1], side, p)}
        else:
            known = set(prices) | shown.keys()
        return sorted(p for p in known if not is_beyond(self.rows[index], side, p))

    def _settle_level(self, index, side, price, wanted):
        """Make a level, still out of view, what it is when it comes into view."""
        level = self.queues.levels[side].get(price, {})
        surplus = sum(level.values()) - wanted
        for number in list(level):
            if surplus > 0 and self._future(number, index) == 0:
                size = level[number]
                self._leave(number, size, "left beyond the fifth level")
                surplus -= size
        for number in list(level):
            excess = min(surplus, self.queues.size(number) - self._future(number, index))
            if excess > 0:
                self._leave(number, excess, "reduced beyond the fifth level")
                surplus -= excess
        if surplus > 0:
            raise TapeError(f"event {index}: {surplus} shares too many at {price}")
        if surplus < 0:
            self.unnamed_count += 1
            cause = "entered beyond the fifth level, never named" if index else "older, never named"
            self._enter(-self.unnamed_count, side, price, -surplus, cause)

    # Events.

    def _make_first(self, event):
        """Orders ahead of the one that the tape executes go behind it."""
        level = self.queues.levels[event.side][event.price]
        for number in list(level):
            if number == event.id:
                return
            if number < 0:
                cause = "sent back: inferred, of unknown age"
            elif number > event.id:
                cause = "sent back: the higher id"
            else:
                cause = "sent back: an elder that the tape passes over"
            self.counts[cause] += 1
            level[number] = level.pop(number)
            self.before.append(Action(REQUEUE, number, event.side, event.price, level[number], ()))

    def _action(self, event):
        if event.kind == NEW:
            self.queues.enter(event.id, event.side, event.price, event.size)
            return Action(ENTER, event.id, event.side, event.price, event.size, ())
        if event.kind in (REDUCE, DELETE):
            left = self.queues.size(event.id) - event.size
            self.queues.reduce(event.id, event.size)
            return Action(CANCEL, event.id, event.side, event.price, left, ())
        if event.kind == EXECUTE:
            hits = self.queues.take(event.side, event.price, event.size)
            return Action(TAKE, event.id, event.side, event.price, event.size, tuple(hits))
        return None

    def plan(self):
        """The steps, one per event."""
        for index, event in enumerate(self.events):
            self.before = []
            self._enter_unseen(index)
            self._come_into_view(index)
            if event.kind == EXECUTE:
                self._make_first(event)
            self.counts[f"tape: {KIND_NAMES[event.kind]}"] += 1
            yield Step(self.before, self._action(event))
