# SPDX-License-Identifier: MIT
"""Trading sessions and the market they make, as their own answers tell it.

A Trader keeps an account of its orders from OUCH answers alone. A Market holds several of them and
the feed, and demands that both tell the same story: the same displayed orders, the same trades.
"""

import argparse
import time

import checks
import itch
import ouch
import ufo

ANSWER_S = 5.0  # an answer that takes longer is lost


class Order:
    """One accepted order as the answers tell it. `floor`: displays so many shares at a time."""

    __slots__ = (
        "urn", "ref", "side", "symbol", "price", "open", "executed", "display", "accepted",
        "floor", "shown",
    )  # fmt: skip

    def __init__(self, answer, executed=0, floor=0):
        self.urn, self.ref, self.side = answer.urn, answer.ref, answer.side
        self.symbol, self.price, self.display = answer.symbol, answer.price, answer.display
        self.open = answer.quantity if answer.state == "L" else 0
        self.accepted = answer.quantity + executed  # what its chain may execute in all
        self.executed = executed
        self.floor = floor or ouch.QUANTITY_MAX
        self.shown = min(self.floor, self.open)  # of the open shares, on the feed

    @property
    def displayed(self):
        """Whether the feed has to show it."""
        return self.shown > 0 and self.display in "YA"

    @property
    def feed_side(self):
        """The feed knows B and S only."""
        return "B" if self.side == "B" else "S"


class Trader:
    """A UFO session and the orders it has."""

    client_class = ufo.Client

    def __init__(self, server, user, password, local, symbol="", start_at=1, client=None):
        self.client = client or self.client_class(server, user, password, local)
        self.client.login(start_at=start_at)
        self.symbol = symbol
        self.orders = {}  # (channel, UserRefNum): Order
        self.open = {}  # those of them with open shares
        self.executions = []  # (match, side, symbol, quantity, price)
        self.rejects = {}  # (channel, UserRefNum): reason
        self.used = {}  # channel: last UserRefNum sent
        self.floors = {}  # (channel, UserRefNum): maximum floor asked for
        self.query_count = 0
        self.next_urn = None  # as the last query said
        self.fresh = []  # answers since the last settle(), queries aside
        if start_at == 1:
            self._catch_up()

    @property
    def name(self):
        """For messages."""
        return self.client.user

    def _catch_up(self):
        """The stream from its beginning, then the next number to use."""
        client = self.client
        what = f"{self.name}: the stream so far"
        checks.until(lambda: client.expected >= client.server_next, 60, what, self.wait)
        self.query_count = 0  # answers to earlier queries were among it
        self.query()
        checks.until(lambda: self.query_count == 0, ANSWER_S, f"{self.name}: query", self.wait)
        self.used[0] = self.next_urn - 1
        self.fresh.clear()

    def wait(self):
        """Some time passes."""
        self.poll(0.05)

    # Sending. Each returns the number used; `hold` gives the message instead of sending it.

    def number(self, channel=0):
        """The next UserRefNum."""
        self.used[channel] = self.used.get(channel, 0) + 1
        return self.used[channel]

    def order(self, side, quantity, price, tags=None, **details):
        """(number, encoded Enter Order), not sent."""
        urn = details.pop("urn", None)
        if urn is None:
            urn = self.number((tags or {}).get(ouch.USER_REF_INDEX, 0))
        self._note_floor(urn, tags)
        symbol = details.pop("symbol", self.symbol)
        details.setdefault("client_id", f"{self.name}-{urn}")
        return urn, ouch.enter(urn, side, quantity, symbol, price, tags=tags, **details)

    def _note_floor(self, urn, tags):
        if tags and tags.get(ouch.MAX_FLOOR):
            self.floors[tags.get(ouch.USER_REF_INDEX, 0), urn] = tags[ouch.MAX_FLOOR]

    def enter(self, side, quantity, price, tags=None, **details):
        """Enter an order; its number."""
        urn, message = self.order(side, quantity, price, tags, **details)
        self.client.send(message)
        return urn

    def replace(self, orig_urn, quantity, price, **details):
        """Replace an order; the new number."""
        urn = details.pop("urn", None)
        if urn is None:
            urn = self.number()
        self._note_floor(urn, details.get("tags"))
        details.setdefault("client_id", f"{self.name}-{urn}")
        self.client.send(ouch.replace(orig_urn, urn, quantity, price, **details))
        return urn

    def cancel(self, urn, quantity=0, tags=None):
        """Cancel down to an intended total."""
        self.client.send(ouch.cancel(urn, quantity, tags))

    def modify(self, urn, side, quantity):
        """Change the side among sells, or reduce to an intended total."""
        self.client.send(ouch.modify(urn, side, quantity))

    def mass_cancel(self, firm="", symbol="", tags=None):
        """Cancel all that fits; the number used."""
        urn = self.number((tags or {}).get(ouch.USER_REF_INDEX, 0))
        self.client.send(ouch.mass_cancel(urn, firm, symbol, tags))
        return urn

    def query(self, tags=None):
        """Account Query: also the fence that all earlier answers come before."""
        self.query_count += 1
        self.client.send(ouch.query(tags))

    # Receiving.

    def poll(self, timeout=0.0):
        """Take in what has arrived; the new answers, decoded."""
        answers = [ouch.decode(message) for _, message in self.client.poll(timeout)]
        for answer in answers:
            self.apply(answer)
        self.fresh += [answer for answer in answers if answer.type != "Q"]
        return answers

    def find(self, answer):
        """The live order an answer is about; there must be one."""
        order = self.open.get((answer.tags.get(ouch.USER_REF_INDEX, 0), answer.urn))
        if order is None:
            raise checks.Failure(f"{self.name}: {answer} is about no live order")
        return order

    def apply(self, answer):
        """Bring the account up to date with one answer."""
        channel = answer.tags.get(ouch.USER_REF_INDEX, 0)
        if answer.type == "A":
            self._add(channel, answer, Order(answer, 0, self.floors.get((channel, answer.urn), 0)))
        elif answer.type == "U":
            self._replace(channel, answer)
        elif answer.type == "J":
            self.rejects[channel, answer.urn] = answer.reason
        elif answer.type == "Q":
            self.query_count -= 1
            self.next_urn = answer.next_urn
        elif answer.type == "R":
            self._restate(self.find(answer), answer)
        elif answer.type in "ECM":
            order = self.find(answer)
            self._change(order, answer)
            if order.open == 0:
                del self.open[channel, answer.urn]
        elif answer.type in "PI":
            self.find(answer)
        elif answer.type not in "SX":
            raise checks.Failure(f"{self.name}: {answer} was not to be expected")

    def _add(self, channel, answer, order):
        if (channel, answer.urn) in self.orders or (channel, answer.urn) in self.rejects:
            raise checks.Failure(f"{self.name}: {answer} uses a number again")
        self.orders[channel, answer.urn] = order
        if order.open:
            self.open[channel, answer.urn] = order

    def _replace(self, channel, answer):
        old = self.open.pop((channel, answer.orig_urn), None)
        if old is None:
            raise checks.Failure(f"{self.name}: {answer} replaces no live order")
        old.open = 0
        floor = self.floors.get((channel, answer.urn), 0)
        self._add(channel, answer, Order(answer, old.executed, floor))

    def _restate(self, order, answer):
        """A slice is used up, and the next one displayed."""
        slice_size, ref = answer.tags[ouch.DISPLAY_QUANTITY], answer.tags[ouch.SECONDARY_REF]
        known = order.floor < ouch.QUANTITY_MAX  # else it was another program's order
        wrong = order.shown or slice_size != min(order.floor, order.open)
        if (known and wrong) or ref < 1 << 63:
            raise checks.Failure(f"{self.name}: {answer} with {order.shown} of {order.open} shown")
        order.shown, order.ref = slice_size, ref

    def _change(self, order, answer):
        if answer.type == "M":
            if answer.quantity > order.open:
                raise checks.Failure(f"{answer} after {order.open} open")
            order.open, order.side = answer.quantity, answer.side
            order.shown = min(order.shown, order.open)
            return
        if answer.quantity == 0 or answer.quantity > order.open:
            raise checks.Failure(f"{self.name}: {answer} of {order.open} open")
        order.open -= answer.quantity
        resting = answer.type == "E" and answer.liquidity not in "Rm"
        # Incoming it is not displayed yet; resting its slice trades, or its reserve; a cancel takes
        # from the reserve first.
        if resting:
            order.shown -= 0 if answer.liquidity == "u" else answer.quantity
        else:
            order.shown = min(order.shown, order.open)
        if order.shown < 0:
            raise checks.Failure(f"{self.name}: {answer} is more than the slice")
        if answer.type == "E":
            order.executed += answer.quantity
            side = order.feed_side
            self.executions.append(
                (answer.match, side, order.symbol, answer.quantity, answer.price)
            )

    def live(self):
        """Orders with open shares."""
        return list(self.open.values())

    def cancel_all(self):
        """Cancel every open order."""
        for channel, urn in self.open:
            self.cancel(urn, tags={ouch.USER_REF_INDEX: channel} if channel else None)


class Market:
    """Traders and the feed. settle() waits for every answer and compares the two stories."""

    def __init__(self, traders, feed):
        self.traders, self.feed = traders, feed
        self.prints = []  # feed messages since the settle() before the last

    def settle(self):
        """All answers to what was sent have come, and the feed agrees with them.

        Returns the answers of each trader since the last time.
        """
        for trader in self.traders:
            trader.query()
        for trader in self.traders:
            what = f"{trader.name}: answers"
            checks.until(lambda t=trader: t.query_count == 0, ANSWER_S, what, trader.wait)
        for trader in self.traders:  # what another's command caused may still be on its way
            trader.poll(0.002)
        self.agree()
        answers = [trader.fresh for trader in self.traders]
        for trader in self.traders:
            trader.fresh = []
        return answers

    def agree(self):
        """The feed's book and trades become what the answers say, soon."""
        self.prints = []
        deadline = time.monotonic() + ANSWER_S
        while True:
            for trader in self.traders:
                trader.poll()
            self.prints += self.feed.poll(0.02)
            difference = self.difference()
            if not difference:
                return
            if time.monotonic() > deadline:
                raise checks.Failure(f"feed and answers differ: {difference}")

    def difference(self):
        """What the feed shows and the answers do not, or the other way round."""
        told = {}
        for trader in self.traders:
            for order in trader.live():
                if order.displayed:
                    told[order.ref] = (order.symbol, order.feed_side, order.price, order.shown)
        book = self.feed.book
        shown = {
            ref: (book.symbols[locate], side, price, shares)
            for ref, (locate, side, price, shares, _) in book.orders.items()
        }
        if told != shown:
            return {"answers": told.items() - shown.items(), "feed": shown.items() - told.items()}
        return self._trade_difference()

    def _trade_difference(self):
        sides = {}
        for trader in self.traders:
            for match, side, symbol, quantity, price in trader.executions:
                both = sides.setdefault(match, {})  # of a cross, all its orders
                both[side, symbol, price] = both.get((side, symbol, price), 0) + quantity
        first = min(self.feed.book.trades, default=None)
        for match, both in sides.items():
            if first is None or match < first:
                continue  # before we listened
            what = self.feed.book.trades.get(match)
            told = sorted((side, (symbol, both[side, symbol, price], price))
                          for side, symbol, price in both)
            if told != [("B", what), ("S", what)]:
                return {"match": match, "answers": told, "feed": what}
        silent = self.feed.book.trades.keys() - sides.keys()
        return {"on the feed alone": silent} if silent else None


def address(text):
    """HOST:PORT."""
    host, port = text.rsplit(":", 1)
    return host, int(port)


def user(text):
    """USER:PASSWORD."""
    name, password = text.split(":", 1)
    return name, password


def arguments(description):
    """A parser with what every program here needs; the defaults are the lab's."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--server", type=address, default=("10.77.0.1", 26400))
    parser.add_argument("--feed", type=address, default=("239.77.0.1", 26477))
    parser.add_argument("--request", type=address, default=("10.77.0.1", 26401), help="MoldUDP64")
    parser.add_argument("--local", default="10.77.0.2", help="address to send and listen on")
    parser.add_argument("--other", default="10.77.0.3", help="a second local address")
    parser.add_argument("--symbol", default="ACME")
    parser.add_argument(
        "--user", type=user, action="append", help="USER:PASSWORD, once per session wanted"
    )
    return parser


def users(options):
    """The given users, or the two of the example configuration."""
    return options.user or [("ALICE", "SECRET"), ("BOB", "SECRET")]


def open_feed(options):
    """The feed, joined."""
    return itch.Feed(*options.feed, options.local)
