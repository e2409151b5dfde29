# SPDX-License-Identifier: MIT
"""A day of phases, as clients and the feed see it: pre-open, opening cross, trading, halt, quotation,
halt cross, restricted sales short, a pause, late period, closing cross, closed.

    ip netns exec sluice-cl python3 tests/net/phases.py --config FILE --sluice build/sluice
"""

import sys

import checks
import ctl
import trader
from checks import equal, fields, true

PRICE = 500_000
HALTED, CLOSED, INVALID_CROSS, SHORT_RESTRICTED = 0x07, 0x02, 0x14, 0x23
CANCEL_PENDING, LATE_TOO_AGGRESSIVE = 0x0B, 0x19


class Day:
    """Two traders, the feed, and an operator."""

    def __init__(self, options):
        self.one, self.two = (
            trader.Trader(options.server, user, password, options.local, options.symbol)
            for user, password in trader.users(options)[:2]
        )
        self.feed = trader.open_feed(options)
        self.market = trader.Market([self.one, self.two], self.feed)
        self.operator = ctl.Operator(options)
        self.symbol = options.symbol
        checks.until(lambda: self.feed.poll(0.1) or self.feed.sequencer.session, 5, "the feed")

    def phase(self, phase):
        """The operator says so; both traders know what came of it, and the feed agrees."""
        self.operator.tell("phase", phase, self.symbol)
        self.market.settle()

    def heard(self, kind):
        """All messages of a type on the feed so far, of the symbol."""
        return [m for m in self.feed.messages if m.type == kind and m.stock == self.symbol]


def enter(one, side, quantity, price, answer="A", **details):
    """Enter an order, which has to be answered so; its number."""
    urn = one.enter(side, quantity, price, **details)
    equal(ctl.answered(one, urn), answer, f"{one.name}'s order")
    return urn


def test_before_the_opening_orders_wait_and_the_imbalance_is_told(day):
    day.operator.tell("phase", "preopen", day.symbol)  # its reference is the configuration's
    enter(day.one, "B", 300, PRICE + 100)
    enter(day.one, "B", 100, PRICE, cross="O")
    enter(day.two, "S", 200, PRICE - 100)
    told = lambda: day.feed.poll(0.1) and day.symbol in day.feed.book.imbalances and \
        day.feed.book.imbalances[day.symbol].paired == 200
    checks.until(told, 5, "an imbalance")
    fields(day.feed.book.imbalances[day.symbol], "imbalance", imbalance=100, direction="B",
           near=PRICE + 1, far=PRICE + 1, reference=PRICE, cross="O", variation="L")
    equal(day.feed.book.states[day.symbol], "Q", "trading state")
    equal(day.feed.book.orders, {}, "displayed orders")


def test_the_opening_cross_trades_and_the_rest_joins_the_book(day):
    day.phase("trading")
    fields(day.heard("Q")[-1], "the cross", shares=200, price=PRICE + 1, cross="O")
    equal(sorted(order.open for order in day.one.live()), [100], "what is left")
    equal(day.feed.book.states[day.symbol], "T", "trading state")
    equal(day.feed.book.top(day.feed.book.locate(day.symbol), "B", 1), [(PRICE + 100, 100)], "book")


def test_trading_goes_on_in_the_book(day):
    enter(day.two, "S", 50, PRICE)
    day.market.settle()
    equal([order.open for order in day.one.live()], [50], "what is left")
    enter(day.one, "B", 1, PRICE, INVALID_CROSS, cross="O")


def test_in_a_halt_nothing_is_entered_and_in_quotation_orders_wait(day):
    day.phase("halted")
    enter(day.two, "S", 10, PRICE, HALTED)
    day.phase("quotation")
    enter(day.two, "S", 80, PRICE)
    enter(day.two, "S", 20, PRICE, cross="H")


def test_the_halt_cross_takes_orders_of_the_book_which_are_not_printed_twice(day):
    day.phase("trading")
    fields(day.heard("Q")[-1], "the cross", shares=50, price=PRICE + 1, cross="H")
    fields([m for m in day.feed.messages if m.type == "C"][-1], "the book's order", shares=50,
           printable="N")
    equal([order.open for order in day.two.live()], [30], "what joined the book")


def test_restricted_sales_short_are_above_the_displayed_purchase(day):
    enter(day.one, "B", 100, PRICE - 1000)
    day.operator.tell("ssr", "on", day.symbol)
    enter(day.two, "T", 10, PRICE - 1000, SHORT_RESTRICTED)
    enter(day.two, "T", 10, PRICE + 1000)
    day.market.settle()
    equal(day.feed.book.short_sales[day.symbol], "1", "the restriction on the feed")
    day.operator.tell("ssr", "off", day.symbol)


def test_an_order_that_would_trade_beyond_the_band_pauses_trading(day):
    day.operator.tell("reference", "50.00", day.symbol)
    day.operator.tell("band", "1", day.symbol)
    enter(day.two, "S", 10, PRICE + 10_000)
    enter(day.one, "B", 500, PRICE + 10_000)
    day.market.settle()
    equal(day.feed.book.states[day.symbol], "P", "trading state")
    fields(day.heard("J")[-1], "collar", reference=PRICE, upper=PRICE + 5000, lower=PRICE - 5000)
    day.operator.tell("band", "off", day.symbol)
    checks.until(lambda: day.feed.poll(0.1) and day.feed.book.states[day.symbol] == "T", 8, "the pause's end")
    fields(day.heard("Q")[-1], "the cross", cross="H")
    day.market.settle()


def test_late_orders_for_the_close_are_not_canceled_before_it(day):
    urn = enter(day.one, "B", 60, 0x7FFFFFFF, cross="C")
    enter(day.two, "S", 40, PRICE - 500, cross="C")
    day.operator.tell("phase", "late", day.symbol)
    day.one.cancel(urn, 50)
    day.one.cancel(urn, 0)
    day.one.cancel(urn, 0)
    new = day.one.replace(urn, 100, PRICE)
    answers = []
    checks.until(lambda: answers.extend(day.one.poll(0.1)) or any(a.type == "J" for a in answers), 5, "a rejection")
    equal([(a.type, a.urn) for a in answers], [("I", urn), ("P", urn), ("J", new)], "answers")
    equal(answers[-1].reason, CANCEL_PENDING, "reason")
    enter(day.two, "B", 10, 2 * PRICE, LATE_TOO_AGGRESSIVE, cross="C")


def test_the_closing_cross_takes_on_close_orders_and_the_book(day):
    told = lambda: day.feed.poll(0.1) and day.feed.book.imbalances[day.symbol].cross == "C"
    checks.until(told, 5, "an imbalance of the close")
    day.phase("closed")
    fields(day.heard("Q")[-1], "the cross", shares=50, price=PRICE + 10_000, cross="C")
    equal((day.one.live(), day.two.live(), day.feed.book.orders), ([], [], {}), "orders left")
    enter(day.one, "B", 10, PRICE, CLOSED)
    true(all(day.heard(kind) for kind in "HQIYJ"), "the feed has every kind of message")


def main():
    """All tests."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--sluice", required=True)
    day = Day(parser.parse_args())
    report = checks.Report()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            report.run(test, day)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
