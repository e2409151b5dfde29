# SPDX-License-Identifier: MIT
"""The functional test: two sessions trade, every answer is checked field by field, and after every
step the book rebuilt from the feed has to be the one that the answers tell of.

Run it in the client's namespace against a gateway with an empty book for the symbol:
    ip netns exec sluice-cl python3 tests/net/trade.py
"""

import socket
import sys
import time

import checks
import itch
import ouch
import trader
import ufo
from checks import equal, fields, true

PRICE = 500_000  # 50.0000; the tests trade around it
TICK = 100
VERIFY_S = 3  # for a password to be verified, on a machine that has other things to do


class Scene:
    """What a test works with: sellers and buyers A and B, the market they make, raw sockets."""

    def __init__(self, options):
        self.options = options
        self.users = trader.users(options)
        self.a = self.b = self.market = None

    def open(self):
        """Log both in, clear what an earlier run has left, then listen to the feed."""
        for field, (name, password) in zip("ab", self.users):
            one = trader.Trader(
                self.options.server, name, password, self.options.local, self.options.symbol
            )
            setattr(self, field, one)
            one.cancel_all()
            one.query()
            checks.until(lambda t=one: t.query_count == 0, 5, "clearing", one.wait)
            one.fresh.clear()
            true(not one.live(), "orders are left after cancelling all")
        feed = trader.open_feed(self.options)
        checks.until(lambda: feed.sequencer.packets, 5, "a feed heartbeat", lambda: feed.poll(0.1))
        self.market = trader.Market([self.a, self.b], feed)

    def settle(self, a=None, b=None):
        """Wait for all answers; check how many came for whom, and return them as one tuple."""
        answers_a, answers_b = self.market.settle()
        for wanted, got, name in ((a, answers_a, "A"), (b, answers_b, "B")):
            if wanted is not None:
                equal("".join(answer.type for answer in got), wanted, f"answers to {name}")
        for one in (self.a, self.b):
            equal(one.next_urn, one.used.get(0, 0) + 1, f"{one.name}'s next UserRefNum")
        return (*answers_a, *answers_b)

    def prints(self):
        """Types of the feed's messages since the last settle()."""
        return "".join(message.type for message in self.market.prints)

    def clear(self):
        """No order is left for the next test."""
        for one in (self.a, self.b):
            one.cancel_all()
        self.market.settle()
        true(not self.market.feed.book.orders, "the feed's book is empty")

    def raw(self, local=None, server=None):
        """A socket that is nobody's session."""
        raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw.bind((local or self.options.local, 0))
        raw.connect(server or self.options.server)
        return raw

    def listed(self):
        """The book after what the feed began with, before it was listened to."""
        first = min(self.market.feed.raw, default=self.market.feed.sequencer.expected)
        book = itch.Book()
        for message in self.feed_again(1, first - 1).values():
            book.apply(itch.decode(message))
        return book

    def feed_again(self, first, count):
        """Messages of the feed from the re-request server, packet by packet; {number: bytes}."""
        session = self.market.feed.sequencer.session
        again = {}
        with self.raw(server=self.options.request) as raw:
            while len(again) < count:
                start = first + len(again)
                raw.send(itch.request_packet(session, start, min(count - len(again), 1000)))
                packet = itch.split_packet(answers_to(raw, 2)[0])
                equal((packet.session, packet.sequence), (session, start), "answer")
                equal(packet.count, len(packet.messages), "messages in the answer")
                true(0 < packet.count <= count - len(again), f"{packet.count} messages")
                again |= dict(enumerate(packet.messages, start))
        return again


def answers_to(raw, wait=0.4):
    """What a raw socket hears within a while; nothing more is waited for after the first."""
    raw.settimeout(wait)
    try:
        first = raw.recv(65535)
    except (TimeoutError, ConnectionRefusedError):
        return []
    return [first]


def login_block(user, password, session=""):
    """A login as a whole datagram."""
    return ufo.block(ufo.login_message(user, password, session))


# Before anybody is logged in.


def test_a_wrong_password_is_answered_J_A(scene):
    name, _ = scene.users[0]
    with scene.raw() as raw:
        for user, password in ((name, "WRONG"), ("NOBODY", "SECRET"), (name, "")):
            raw.send(login_block(user, password))
            equal(answers_to(raw, VERIFY_S), [b"JA"], f"answer to {user} with {password!r}")


def test_a_wrong_session_is_answered_J_S(scene):
    with scene.raw() as raw:
        raw.send(login_block(*scene.users[0], "NOTTODAY"))
        equal(answers_to(raw, VERIFY_S), [b"JS"], "answer")


def test_messages_before_a_login_are_discarded(scene):
    order = ouch.enter(1_000_000, "B", 100, scene.options.symbol, PRICE)
    with scene.raw() as raw:
        for message in (ufo.unsequenced(order), b"R", b"O", ufo.request_message(1, 10)):
            raw.send(ufo.block(message))
        equal(answers_to(raw), [], "answers")


def test_a_login_is_accepted_in_any_case_and_each_time(scene):
    name, password = scene.users[0]
    with scene.raw() as raw:
        raw.send(login_block(name.lower(), password.lower()))
        (first,) = answers_to(raw, VERIFY_S)
        equal((len(first), first[:1]), (15, b"A"), "login accept")
        session = first[1:11].decode("ascii")
        raw.send(login_block(name, password, session))
        again = next(p for p in iter(lambda: raw.recv(65535), b"") if p[:1] == b"A")
        equal(again, first, "second accept")
        raw.send(ufo.block(b"O"))


def test_after_a_logoff_another_address_may_log_in(scene):
    name, password = scene.users[0]
    for local in (scene.options.local, scene.options.other):
        with scene.raw(local) as raw:
            raw.send(login_block(name, password))
            true(answers_to(raw)[0][:1] == b"A", f"accepted from {local}")
            raw.send(ufo.block(b"O"))
            time.sleep(0.05)


# Sessions.


def test_a_second_login_while_bound_is_discarded(scene):
    for local in (scene.options.local, scene.options.other):
        with scene.raw(local) as raw:
            raw.send(login_block(*scene.users[0]))
            equal(answers_to(raw), [], f"answers to a login from {local}")
    urn = scene.a.enter("B", 100, PRICE)
    scene.settle("A", "")
    scene.a.cancel(urn)
    scene.settle("C", "")


def test_a_bound_sessions_orders_from_another_port_are_discarded(scene):
    urn, order = scene.a.order("B", 100, PRICE)
    with scene.raw() as raw:
        raw.send(ufo.block(ufo.unsequenced(order)))
        equal(answers_to(raw), [], "answers")
    scene.a.used[0] = urn - 1
    scene.settle("", "")


def test_both_sessions_and_the_feed_have_the_same_session_name(scene):
    names = {one.client.session for one in (scene.a, scene.b)}
    names.add(scene.market.feed.sequencer.session.decode("ascii").rstrip())
    equal(len(names), 1, f"names {names}")


def test_a_silent_server_sends_heartbeats(scene):
    client, feed = scene.a.client, scene.market.feed
    before, feed_before = client.heartbeats, feed.sequencer.heartbeats
    until = time.monotonic() + 2.6
    while time.monotonic() < until:
        for one in (scene.a, scene.b):
            one.poll(0.05)
        feed.poll(0.05)
    true(2 <= client.heartbeats - before <= 4, f"{client.heartbeats - before} session heartbeats")
    count = feed.sequencer.heartbeats - feed_before
    true(2 <= count <= 4, f"{count} feed heartbeats")


# Orders.


def test_an_accepted_order_echoes_every_field(scene):
    for side in "BSTE":
        price = PRICE - TICK if side == "B" else PRICE + TICK
        for display in "YNA":
            for capacity in "APRO":
                sweep = "Y" if capacity == "A" else "N"
                urn = scene.a.enter(
                    side, 300, price, display=display, capacity=capacity, sweep=sweep
                )
                (accepted,) = scene.settle("A", "")
                fields(
                    accepted, "accepted", urn=urn, side=side, quantity=300, price=price, tif="0",
                    symbol=scene.options.symbol, display=display, capacity=capacity, sweep=sweep,
                    cross="N", state="L", client_id=f"{scene.a.name}-{urn}", tags={},
                )  # fmt: skip
                wanted = {"Y": "A", "A": "F", "N": ""}[display]
                equal(scene.prints(), wanted, f"feed after an order with display {display}")


def test_order_references_are_never_used_twice(scene):
    for one in (scene.a, scene.b):
        one.enter("B", 100, PRICE)
    references = [answer.ref for answer in scene.settle("A", "A")]
    known = [order.ref for one in (scene.a, scene.b) for order in one.orders.values()]
    true(references[0] != references[1] and len(set(known)) == len(known), "unique references")


def test_a_firm_is_echoed_and_attributed(scene):
    firm = scene.market.feed  # the default firm shows on the feed when the order names none
    scene.a.enter("S", 100, PRICE, display="A")
    (accepted,) = scene.settle("A", "")
    default = firm.book.orders[accepted.ref][4]
    true(len(default) == 4, f"attribution {default!r}")
    scene.a.enter("S", 100, PRICE, display="A", tags={ouch.FIRM: default})
    (accepted,) = scene.settle("A", "")
    equal(accepted.tags, {ouch.FIRM: default}, "appendage")
    equal(firm.book.orders[accepted.ref][4], default, "attribution")


def test_two_orders_at_one_price_trade_with_one_match_number(scene):
    sell = scene.a.enter("S", 100, PRICE)
    scene.settle("A", "")
    buy = scene.b.enter("B", 100, PRICE)
    resting, _, aggressor = scene.settle("E", "AE")
    fields(resting, "resting", urn=sell, quantity=100, price=PRICE, liquidity="A", tags={})
    fields(aggressor, "aggressor", urn=buy, quantity=100, price=PRICE, liquidity="R", tags={})
    equal(resting.match, aggressor.match, "match number")
    equal(resting.time, aggressor.time, "time of the match")
    true("E" in scene.prints(), "the feed prints an execution")


def test_the_rest_of_a_partial_fill_stays(scene):
    scene.a.enter("S", 500, PRICE)
    for quantity in (100, 150):
        buy = scene.b.enter("B", quantity, PRICE)
        resting, _, aggressor = scene.settle(None, "AE")[-3:]
        equal((resting.quantity, aggressor.quantity), (quantity, quantity), "shares")
        equal(scene.b.orders[0, buy].open, 0, "left of the aggressor")
    big = scene.b.enter("B", 400, PRICE)
    resting, _, aggressor = scene.settle("E", "AE")
    equal((resting.quantity, aggressor.quantity), (250, 250), "shares")
    equal(scene.b.orders[0, big].open, 150, "left of the aggressor, resting")
    locate = scene.market.feed.book.locate(scene.options.symbol)
    equal(scene.market.feed.book.top(locate, "B", 5), [(PRICE, 150)], "bids")


def test_an_aggressor_trades_at_the_resting_price(scene):
    scene.a.enter("S", 100, PRICE)
    scene.b.enter("B", 100, PRICE + 10 * TICK)
    resting, _, aggressor = scene.settle("AE", "AE")[1:]
    equal((resting.price, aggressor.price), (PRICE, PRICE), "price for a buyer")
    scene.b.enter("B", 100, PRICE)
    scene.settle("", "A")
    scene.a.enter("S", 100, PRICE - 10 * TICK)
    _, aggressor, resting = scene.settle("AE", "E")
    equal((resting.price, aggressor.price), (PRICE, PRICE), "price for a seller")


def test_better_prices_come_first_and_then_earlier_orders(scene):
    late_but_best = (scene.a, "S", 100, PRICE - TICK)
    first, second = (scene.a, "S", 100, PRICE), (scene.b, "S", 100, PRICE)
    urns = []
    for one, side, quantity, price in (first, second, late_but_best):
        urns.append((one, one.enter(side, quantity, price)))
        scene.settle()
    buy = scene.b.enter("B", 250, PRICE)
    answers = scene.settle("EE", "AEEEE")
    mine = [answer for answer in answers[2:] if answer.type == "E"]
    equal([e.price for e in mine if e.urn == buy], [PRICE - TICK, PRICE, PRICE], "prices")
    equal([e.quantity for e in mine if e.urn == buy], [100, 100, 50], "shares")
    equal([answer.urn for answer in answers[:2]], [urns[2][1], urns[0][1]], "A's fills, in order")
    partial = next(answer for answer in mine if answer.urn == urns[1][1])
    equal(partial.quantity, 50, "the later order at the price gets what is left")


def test_what_an_ioc_order_leaves_is_canceled_I(scene):
    scene.a.enter("S", 60, PRICE)
    scene.settle("A", "")
    urn = scene.b.enter("B", 100, PRICE, tif="3")
    _, accepted, _, canceled = scene.settle("E", "AEC")
    equal((accepted.tif, accepted.state), ("3", "L"), "accepted")
    fields(canceled, "canceled", urn=urn, quantity=40, reason="I", tags={})
    urn = scene.b.enter("B", 100, PRICE, tif="3")
    _, canceled = scene.settle("", "AC")
    fields(canceled, "canceled at once", urn=urn, quantity=100, reason="I")
    equal(scene.prints(), "", "an order that never rests is not on the feed")


def test_a_market_order_takes_every_price(scene):
    prices = (PRICE, PRICE + 50 * TICK, 10 * PRICE)
    for spelling in (ouch.PRICE_MARKET, 0x77359400, 0xFFFFFFFFFFFFFFFF):
        for price in prices:
            scene.a.enter("S", 100, price)
        scene.settle("AAA", "")
        scene.b.enter("B", 350, spelling, tif="3")
        answers = scene.settle("EEE", "AEEEC")[3:]
        true(answers[0].price in (spelling, ouch.PRICE_MARKET), f"price {answers[0].price:#x}")
        equal([e.price for e in answers[1:4]], list(prices), "prices")
        equal(answers[4].quantity, 50, "shares canceled")


def test_a_market_sell_takes_every_bid(scene):
    scene.b.enter("B", 100, PRICE)
    scene.b.enter("B", 100, 1)
    scene.a.enter("S", 200, ouch.PRICE_MARKET, tif="3")
    answers = scene.settle("AEE", "AAEE")
    equal([e.price for e in answers[1:3]], [PRICE, 1], "prices")


def test_a_hidden_order_trades_after_displayed_ones_and_prints_as_P(scene):
    hidden = scene.a.enter("S", 100, PRICE, display="N")
    scene.settle("A", "")
    equal(scene.prints(), "", "feed after a hidden order")
    shown = scene.a.enter("S", 100, PRICE)
    scene.settle("A", "")
    scene.b.enter("B", 150, PRICE)
    first, second, _, *fills = scene.settle("EE", "AEE")
    fields(first, "first fill", urn=shown, quantity=100, liquidity="A")
    fields(second, "second fill", urn=hidden, quantity=50)
    true(second.liquidity in "AJ", f"liquidity flag {second.liquidity}")
    printed = scene.market.prints
    equal(scene.prints(), "EP", "feed")
    fields(printed[1], "print", ref=0, side="B", shares=50, price=PRICE, match=fills[1].match)


def test_a_better_hidden_price_trades_before_a_displayed_one(scene):
    shown = scene.a.enter("S", 100, PRICE)
    hidden = scene.a.enter("S", 100, PRICE - TICK, display="N")
    scene.b.enter("B", 150, PRICE)
    answers = scene.settle("AAEE", "AEE")
    equal([(e.urn, e.price) for e in answers[2:4]], [(hidden, PRICE - TICK), (shown, PRICE)],
          "fills")  # fmt: skip
    equal(scene.prints(), "APE", "feed")


def test_a_cancel_to_a_quantity_counts_what_has_executed(scene):
    urn = scene.a.enter("S", 500, PRICE)
    scene.b.enter("B", 100, PRICE)
    scene.settle("AE", "AE")
    scene.a.cancel(urn, 300)
    (canceled,) = scene.settle("C", "")
    fields(canceled, "canceled", urn=urn, quantity=200, reason="U", tags={})
    equal(scene.prints(), "X", "feed after a part is canceled")
    for superfluous in (300, 400, 500, 999_999):
        scene.a.cancel(urn, superfluous)
        scene.settle("", "")
    scene.a.cancel(urn, 100)
    (canceled,) = scene.settle("C", "")
    equal((canceled.quantity, canceled.reason), (200, "U"), "the rest, as 100 have executed")
    equal(scene.prints(), "D", "feed after the rest is canceled")


def test_a_cancel_of_an_unknown_or_dead_order_is_ignored(scene):
    urn = scene.a.enter("S", 100, PRICE)
    scene.settle("A", "")
    scene.a.cancel(urn)
    (canceled,) = scene.settle("C", "")
    fields(canceled, "canceled", urn=urn, quantity=100, reason="U")
    for unknown in (urn, urn + 1, urn + 1_000_000, 0, 0xFFFFFFFF):
        scene.a.cancel(unknown)
        scene.settle("", "")


def test_a_cancel_of_another_sessions_order_is_ignored(scene):
    urn = max(one.number() for one in (scene.a, scene.b)) + 10
    scene.a.used[0] = urn
    scene.a.enter("S", 100, PRICE, urn=urn)
    scene.b.enter("B", 100, PRICE - TICK, urn=urn - 1)
    scene.b.used[0] = urn - 1
    scene.settle("A", "A")
    scene.b.cancel(urn)
    scene.b.modify(urn, "T", 50)
    scene.settle("", "")


def test_a_partial_cancel_keeps_priority(scene):
    first = scene.a.enter("S", 300, PRICE)
    scene.a.enter("S", 300, PRICE)
    scene.a.cancel(first, 200)
    scene.b.enter("B", 200, PRICE)
    answers = scene.settle("AACE", "AE")
    equal((answers[3].urn, answers[3].quantity), (first, 200), "who is filled")


def test_modify_moves_a_sale_to_short_and_keeps_priority(scene):
    first = scene.a.enter("S", 300, PRICE)
    scene.a.enter("S", 300, PRICE)
    scene.a.modify(first, "T", 300)
    modified = scene.settle("AAM", "")[2]
    fields(modified, "modified", urn=first, side="T", quantity=300, tags={})
    scene.a.modify(first, "T", 200)
    (modified,) = scene.settle("M", "")
    fields(modified, "modified", urn=first, side="T", quantity=200)
    equal(scene.prints(), "X", "feed")
    scene.b.enter("B", 100, PRICE)
    filled = scene.settle("E", "AE")[0]
    equal(filled.urn, first, "who is filled")
    scene.a.modify(first, "T", 150)
    (modified,) = scene.settle("M", "")
    equal(modified.quantity, 50, "150 intended, 100 executed: open")


def test_a_modify_that_is_not_allowed_is_ignored(scene):
    sell = scene.a.enter("S", 300, PRICE)
    exempt = scene.a.enter("E", 300, PRICE + TICK)
    buy = scene.b.enter("B", 300, PRICE - TICK)
    scene.settle("AA", "A")
    scene.a.modify(sell, "B", 300)
    scene.a.modify(sell, "S", 400)
    scene.a.modify(sell, "T", 400)
    scene.a.modify(exempt, "S", 300)
    scene.a.modify(exempt + 5, "T", 100)
    scene.b.modify(buy, "S", 300)
    scene.settle("", "")
    scene.a.modify(exempt, "T", 300)
    scene.a.modify(sell, "E", 300)
    scene.settle("MM", "")
    scene.a.modify(sell, "E", 0)
    (last,) = scene.settle(None, "")
    true(last.type in "MC", f"a modify to 0 cancels: {last}")
    equal(scene.a.orders[0, sell].open, 0, "open after a modify to 0")


def test_replace_counts_the_chain_and_loses_priority(scene):
    old = scene.a.enter("S", 500, PRICE)
    behind = scene.a.enter("S", 100, PRICE)
    scene.b.enter("B", 100, PRICE)
    before = scene.settle("AAE", "AE")[0]
    new = scene.a.replace(old, 500, PRICE)
    (replaced,) = scene.settle("U", "")
    fields(
        replaced, "replaced", orig_urn=old, urn=new, side="S", quantity=400, price=PRICE, tif="0",
        symbol=scene.options.symbol, display="Y", capacity="A", sweep="N", cross="N", state="L",
        client_id=f"{scene.a.name}-{new}", tags={},
    )  # fmt: skip
    true(replaced.ref != before.ref, "a new order reference")
    equal(scene.prints(), "U", "feed")
    scene.b.enter("B", 150, PRICE)
    first, second, *_ = scene.settle("EE", "AEE")
    equal((first.urn, first.quantity), (behind, 100), "who is filled first")
    equal((second.urn, second.quantity), (new, 50), "who is filled second")
    scene.a.cancel(old)
    scene.settle("", "")
    scene.a.cancel(new, 300)
    (canceled,) = scene.settle("C", "")
    equal(canceled.quantity, 200, "300 in all intended, 150 executed, 350 open")


def test_replace_keeps_the_capacity_which_it_cannot_speak_of(scene):
    urn = scene.a.enter("S", 100, PRICE, capacity="P")
    scene.settle("A", "")
    for _ in range(2):
        urn = scene.a.replace(urn, 100, PRICE)
        (replaced,) = scene.settle("U", "")
        equal(replaced.capacity, "P", "the capacity of a replaced order")
    scene.a.cancel(urn)
    scene.settle("C", "")


def test_replace_changes_price_quantity_display_and_time_in_force(scene):
    urn = scene.a.enter("S", 100, PRICE)
    scene.settle("A", "")
    steps = (
        ("price", 100, PRICE + TICK, {}, "U"),
        ("quantity", 700, PRICE + TICK, {}, "U"),
        ("hidden", 700, PRICE + TICK, {"display": "N"}, "D"),
        ("shown", 700, PRICE + 2 * TICK, {"display": "Y"}, "A"),
    )
    for what, quantity, price, details, printed in steps:
        urn, old = scene.a.replace(urn, quantity, price, **details), urn
        (replaced,) = scene.settle("U", "")
        fields(replaced, what, orig_urn=old, quantity=quantity, price=price, state="L")
        equal(replaced.display, details.get("display", "Y"), what)
        equal(scene.prints(), printed, f"feed after {what}")


def test_a_replace_that_crosses_trades(scene):
    scene.b.enter("B", 100, PRICE)
    urn = scene.a.enter("S", 300, PRICE + TICK)
    scene.settle("A", "A")
    new = scene.a.replace(urn, 300, PRICE)
    replaced, aggressor, resting = scene.settle("UE", "E")
    equal(replaced.urn, new, "replaced")
    fields(aggressor, "aggressor", urn=new, quantity=100, price=PRICE, liquidity="R")
    fields(resting, "resting", quantity=100, price=PRICE, liquidity="A", match=aggressor.match)
    equal(scene.a.orders[0, new].open, 200, "left, resting")


def test_a_replace_to_ioc_leaves_nothing(scene):
    scene.b.enter("B", 100, PRICE)
    urn = scene.a.enter("S", 300, PRICE + TICK)
    scene.settle("A", "A")
    new = scene.a.replace(urn, 300, PRICE, tif="3")
    _, _, canceled, _ = scene.settle("UEC", "E")
    fields(canceled, "canceled", urn=new, quantity=200, reason="I")


def test_a_replace_of_a_dead_order_is_ignored_and_uses_no_number(scene):
    urn = scene.a.enter("S", 100, PRICE)
    scene.a.cancel(urn)
    scene.settle("AC", "")
    scene.a.replace(urn, 100, PRICE, urn=urn + 1)
    scene.settle("", "")
    live = scene.a.enter("S", 100, PRICE)
    equal(live, urn + 1, "number")
    scene.settle("A", "")
    scene.a.replace(live, 200, PRICE, urn=live)
    scene.a.replace(live, 200, PRICE, urn=live - 1)
    scene.settle("", "")


def test_a_replace_with_a_bad_quantity_cancels_the_order_and_uses_no_number(scene):
    for quantity in (0, 1_000_000):
        urn = scene.a.enter("S", 100, PRICE)
        scene.settle("A", "")
        scene.a.replace(urn, quantity, PRICE, urn=urn + 1)
        (canceled,) = scene.settle("C", "")
        fields(canceled, "canceled", urn=urn, quantity=100, reason="U")


def test_a_replace_to_no_more_than_executed_ends_the_order(scene):
    urn = scene.a.enter("S", 500, PRICE)
    scene.b.enter("B", 200, PRICE)
    scene.settle("AE", "AE")
    scene.a.replace(urn, 200, PRICE, urn=urn + 1)
    scene.market.settle()
    true(not scene.a.live(), "nothing is open")
    scene.a.used[0] = scene.a.next_urn - 1


def test_a_number_used_before_is_ignored(scene):
    urn = scene.a.enter("B", 100, PRICE)
    scene.settle("A", "")
    for again in (urn, urn - 1, 1, 0):
        scene.a.enter("B", 200, PRICE, urn=again)
        scene.settle("", "")
    scene.a.enter("B", 100, PRICE, urn=urn + 10)
    scene.a.used[0] = urn + 10
    scene.settle("A", "")
    scene.a.enter("B", 100, PRICE, urn=urn + 5)
    scene.settle("", "")


def test_a_rejected_number_is_used(scene):
    urn = scene.a.enter("B", 0, PRICE)
    (rejected,) = scene.settle("J", "")
    equal(rejected.urn, urn, "number")
    scene.a.enter("B", 100, PRICE, urn=urn)
    scene.settle("", "")


def expect_reject(scene, reason, what, **changes):
    """One bad field, one reason; the number is used, the book is not touched."""
    tags = changes.pop("tags", None)
    order = {"side": "B", "quantity": 100, "price": PRICE, **changes}
    urn = scene.a.enter(order.pop("side"), order.pop("quantity"), order.pop("price"), tags, **order)
    (rejected,) = scene.settle("J", "")
    client_id = f"{scene.a.name}-{urn}"
    fields(rejected, what, urn=urn, reason=reason, client_id=client_id, tags={})
    equal(scene.prints(), "", f"feed after {what}")


def test_a_bad_symbol_is_rejected_0x17(scene):
    for symbol in ("NOSUCH", "", scene.options.symbol.lower(), scene.options.symbol + "X"):
        expect_reject(scene, 0x17, f"symbol {symbol!r}", symbol=symbol)


def test_a_bad_side_is_rejected_0x09(scene):
    for side in ("X", "b", " ", "\x00"):
        expect_reject(scene, 0x09, f"side {side!r}", side=side)


def test_a_bad_quantity_is_rejected_0x13(scene):
    for quantity in (0, 1_000_000, 0x80000000, 0xFFFFFFFF):
        expect_reject(scene, 0x13, f"quantity {quantity}", quantity=quantity)
    scene.a.enter("B", 999_999, PRICE)
    scene.settle("A", "")


def test_a_bad_price_is_rejected_0x1D(scene):
    for price in (0x7735939D, 0x77359401, 0x7FFFFFFE, 0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 63):
        expect_reject(scene, 0x1D, f"price {price:#x}", price=price)
    scene.a.enter("S", 100, ouch.PRICE_MAX)
    scene.settle("A", "")


def test_a_bad_display_is_rejected_0x03(scene):
    for display in ("Z", "Q", "y", " "):
        expect_reject(scene, 0x03, f"display {display!r}", display=display)


def test_a_bad_cross_is_rejected_0x14(scene):
    for cross in ("O", "H", "Z", "n"):
        expect_reject(scene, 0x14, f"cross {cross!r}", cross=cross)


def test_a_bad_time_in_force_capacity_or_sweep_is_rejected_0x0F(scene):
    for change in ({"tif": "Z"}, {"capacity": "Z"}, {"sweep": "Z"}):
        expect_reject(scene, 0x0F, str(change), **change)


def test_a_min_quantity_is_rejected_0x0D(scene):
    expect_reject(scene, 0x0D, "min quantity", tags={ouch.MIN_QTY: 100})


def test_a_max_floor_of_what_displays_nothing_is_rejected_0x04(scene):
    for change in ({"tif": "3"}, {"display": "N"}, {"price": ouch.PRICE_MARKET}):
        expect_reject(scene, 0x04, f"max floor, {change}", tags={ouch.MAX_FLOOR: 100}, **change)


def test_a_price_type_that_is_not_served_is_rejected_0x05(scene):
    for price_type in "QZ":
        expect_reject(scene, 0x05, f"price type {price_type}", tags={ouch.PRICE_TYPE: price_type})


def test_a_midpoint_order_that_is_displayed_or_has_no_limit_is_rejected(scene):
    midpoint = {ouch.PRICE_TYPE: "M"}
    expect_reject(scene, 0x03, "displayed midpoint", tags=midpoint)
    market = {"price": ouch.PRICE_MARKET, "display": "N"}
    expect_reject(scene, 0x1D, "midpoint without a limit", tags=midpoint, **market)


def test_seconds_to_live_that_do_not_fit_are_rejected_0x0F(scene):
    for seconds in (0, 86_400, 0xFFFFFFFF):
        tags = {ouch.EXPIRE_TIME: seconds}
        expect_reject(scene, 0x0F, f"{seconds} s to live", tags=tags, tif="6")
    expect_reject(scene, 0x0F, "good till no time", tif="6")
    expect_reject(scene, 0x0F, "a day order of 60 s", tags={ouch.EXPIRE_TIME: 60})


def test_a_bad_firm_is_rejected_0x0C(scene):
    for firm in ("bad1", "al a"):
        expect_reject(scene, 0x0C, f"firm {firm!r}", tags={ouch.FIRM: firm})


# Reserve, midpoint, good till time.


def test_a_reserve_order_displays_one_slice_after_the_other(scene):
    scene.a.enter("S", 350, PRICE, {ouch.MAX_FLOOR: 100})
    (accepted,) = scene.settle("A", "")
    equal((accepted.quantity, accepted.tags), (350, {ouch.MAX_FLOOR: 100}), "accepted")
    equal(scene.prints(), "A", "feed")
    fields(scene.market.prints[0], "first slice", ref=accepted.ref, shares=100, price=PRICE)
    scene.b.enter("B", 60, PRICE)
    scene.settle("E", "AE")
    scene.b.enter("B", 40, PRICE)
    _, restated, *_ = scene.settle("ER", "AE")
    fields(restated, "restated", urn=accepted.urn, reason="R")
    ref = restated.tags.pop(ouch.SECONDARY_REF)
    equal(restated.tags, {ouch.DISPLAY_QUANTITY: 100}, "restated")
    true(ref >> 63 == 1, f"reference of a slice {ref:#x}")
    equal(scene.prints(), "EA", "feed")
    fields(scene.market.prints[1], "second slice", ref=ref, side="S", shares=100, price=PRICE)
    scene.b.enter("B", 300, PRICE)
    shown, reserve, *_ = scene.settle("EE", "AEE")
    fields(shown, "slice", quantity=100, liquidity="A")
    fields(reserve, "reserve", quantity=150, liquidity="u")
    equal(scene.prints(), "EPA", "feed, and what is left of the purchase")


def test_a_refreshed_slice_stands_behind_and_gives_way_to_a_cancel_last(scene):
    urn = scene.a.enter("S", 300, PRICE, {ouch.MAX_FLOOR: 100})
    other = scene.a.enter("S", 100, PRICE)
    scene.b.enter("B", 100, PRICE)
    scene.settle("AAER", "AE")
    scene.b.enter("B", 150, PRICE)
    first, second, *_ = scene.settle("EE", "AEE")
    equal((first.urn, first.quantity), (other, 100), "who is filled first")
    equal((second.urn, second.quantity), (urn, 50), "who is filled second")
    scene.a.cancel(urn, 200)
    (canceled,) = scene.settle("C", "")
    equal((canceled.quantity, scene.prints()), (100, ""), "the reserve is canceled unseen")
    scene.a.cancel(urn, 180)
    (canceled,) = scene.settle("C", "")
    equal((canceled.quantity, scene.prints()), (20, "X"), "then the slice")
    new = scene.a.replace(urn, 500, PRICE, tags={ouch.MAX_FLOOR: 70})
    (replaced,) = scene.settle("U", "")
    equal((replaced.urn, replaced.quantity), (new, 350), "replaced")
    equal(replaced.tags, {ouch.MAX_FLOOR: 70}, "options of the replacement")
    equal(scene.prints(), "U", "feed")
    equal(scene.market.prints[0].shares, 70, "shown of the replacement")


def test_the_options_of_an_order_are_echoed(scene):
    options = {ouch.MAX_FLOOR: 100, ouch.RANDOM_RESERVES: 20, ouch.EXPIRE_TIME: 3600}
    urn = scene.a.enter("S", 80, PRICE, options, tif="6")
    (accepted,) = scene.settle("A", "")
    fields(accepted, "accepted", urn=urn, tags=options)
    scene.b.enter("B", 100, PRICE, {ouch.MIN_QTY: 90}, tif="3")
    scene.settle("", "AC")
    options.pop(ouch.RANDOM_RESERVES)  # which Replaced has not
    urn = scene.a.replace(urn, 80, PRICE, tif="6", tags=options)
    (replaced,) = scene.settle("U", "")
    equal(replaced.tags, options, "replaced")
    urn = scene.a.replace(urn, 70, PRICE, tif="6")
    (replaced,) = scene.settle("U", "")
    equal(replaced.tags, options, "replaced by an order that says nothing of them")
    scene.a.replace(urn, 70, PRICE, tags={ouch.MAX_FLOOR: 0})
    (replaced,) = scene.settle("U", "")
    equal(replaced.tags, {}, "replaced by a day order that switches its reserve off")
    scene.prints()


def quote(scene, distance=2 * TICK):
    """A displayed market of A's around PRICE; the sale's number."""
    scene.a.enter("B", 100, PRICE - distance)
    ask = scene.a.enter("S", 100, PRICE + distance)
    scene.settle("AA", "")
    return ask


def test_a_midpoint_order_trades_in_the_middle_of_the_displayed_market(scene):
    quote(scene)
    midpoint = {ouch.PRICE_TYPE: "M"}
    sell = scene.a.enter("S", 100, PRICE - TICK, midpoint, display="N")
    (accepted,) = scene.settle("A", "")
    fields(accepted, "accepted", price=PRICE - TICK, display="N", tags=midpoint)
    equal(scene.prints(), "", "feed after a midpoint order")
    for letter, price in (("", PRICE + TICK), ("m", PRICE)):
        tags, display = ({ouch.PRICE_TYPE: letter}, "N") if letter else ({}, "Y")
        buy = scene.b.enter("B", 50, price, tags, display=display)
        resting, taken, aggressor = scene.settle("E", "AE")
        equal(taken.tags, midpoint if letter else {}, "accepted")
        fields(resting, "resting", urn=sell, quantity=50, price=PRICE, liquidity="k")
        fields(aggressor, "aggressor", urn=buy, quantity=50, price=PRICE, liquidity="m")
        equal(scene.prints(), "P", "feed")
        fields(scene.market.prints[0], "print", ref=0, side="B", price=PRICE, match=resting.match)


def test_a_primary_peg_follows_the_best_displayed_price_within_its_limit(scene):
    quote(scene, 8 * TICK)
    peg = {ouch.PRICE_TYPE: "R", ouch.PEG_OFFSET: TICK}
    buy = scene.a.enter("B", 300, PRICE, peg, display="N")
    (accepted,) = scene.settle("A", "")
    fields(accepted, "accepted", price=PRICE, display="N", tags=peg)
    equal(scene.prints(), "", "feed after a peg")
    for best, price in ((None, PRICE - 7 * TICK), (PRICE - 4 * TICK, PRICE - 3 * TICK), (PRICE - TICK, PRICE)):
        if best:
            scene.a.enter("B", 100, best)
            scene.settle("A", "")
        scene.b.enter("S", 50, price)
        taken, *_ = scene.settle("E", "AE")
        fields(taken, "the peg", urn=buy, price=price, liquidity="J")
    scene.prints()


def test_a_market_peg_needs_something_to_follow(scene):
    peg = {ouch.PRICE_TYPE: "P"}
    expect_reject(scene, 0x01, "nothing to follow", tags=peg, display="N")
    expect_reject(scene, 0x03, "displayed peg", tags=peg)


def test_midpoint_orders_meet_when_the_market_moves(scene):
    ask = quote(scene)
    midpoint = {"tags": {ouch.PRICE_TYPE: "M"}, "display": "N"}
    scene.a.enter("S", 100, PRICE + TICK, **midpoint)
    scene.b.enter("B", 100, PRICE + TICK, **midpoint)
    scene.settle("A", "A")
    scene.a.replace(ask, 100, PRICE + 4 * TICK)
    _, resting, aggressor = scene.settle("UE", "E")
    fields(resting, "the earlier", price=PRICE + TICK, quantity=100, liquidity="k")
    fields(aggressor, "the later", price=PRICE + TICK, quantity=100, liquidity="m")
    equal(scene.prints(), "UP", "feed")


def pause(scene, one, urn, timeout=5):
    """Until an order of `one` is over, sending nothing but heartbeats; the last answer."""
    answers = []

    def step():
        answers.extend(one.poll(0.05))
        scene.market.feed.poll()

    checks.until(lambda: (0, urn) not in one.open, timeout, f"the end of {urn}", step)
    return answers[-1]


def test_an_order_is_over_after_its_seconds_though_nobody_sends_anything(scene):
    timed = {"tif": "6", "tags": {ouch.EXPIRE_TIME: 1}}
    replaced = scene.a.enter("B", 100, PRICE - TICK, **timed)
    kept = scene.a.replace(replaced, 100, PRICE - TICK)
    urn = scene.a.enter("B", 100, PRICE, **timed)
    accepted = scene.settle("AUA", "")[2]
    fields(accepted, "accepted", urn=urn, tif="6", tags=timed["tags"])
    canceled = pause(scene, scene.a, urn)
    fields(canceled, "canceled", urn=urn, quantity=100, reason="T")
    lived = (canceled.time - accepted.time) / 1e9
    true(1 <= lived < 4, f"it lived {lived} s")
    scene.settle("C", "")
    equal([order.urn for order in scene.a.live()], [kept], "a replacement is by its own time")


# Mass cancel.


def other_symbol(scene):
    """A listed instrument beside the one that is traded."""
    others = [name for name in scene.listed().symbols.values() if name != scene.options.symbol]
    true(others, "the configuration has a second instrument")
    return others[0]


def test_a_mass_cancel_takes_what_fits_and_is_answered_first(scene):
    other = other_symbol(scene)
    buy, sell = scene.a.enter("B", 100, PRICE), scene.a.enter("S", 100, PRICE + 2 * TICK)
    short, late = scene.a.enter("T", 50, PRICE + TICK), scene.a.enter("S", 200, PRICE + TICK)
    away = scene.a.enter("S", 300, PRICE, symbol=other, display="N")
    hers = scene.b.enter("B", 100, PRICE)
    scene.settle("AAAAA", "A")
    urn = scene.a.mass_cancel(symbol=scene.options.symbol, tags={ouch.SIDE: "S"})
    response, *canceled = scene.settle("XCC", "")
    tags = {ouch.SIDE: "S"}
    fields(response, "side", urn=urn, firm="", symbol=scene.options.symbol, tags=tags)
    equal([(c.urn, c.quantity, c.reason) for c in canceled], [(sell, 100, "U"), (late, 200, "U")],
          "canceled")  # fmt: skip
    equal(scene.prints(), "DD", "feed")
    scene.a.mass_cancel(symbol=other)
    response, canceled = scene.settle("XC", "")
    equal((response.symbol, response.tags, canceled.urn), (other, {}, away), "symbol")
    scene.a.mass_cancel()
    response, *canceled = scene.settle("XCC", "")
    equal((response.firm, response.symbol), ("", ""), "all")
    equal([c.urn for c in canceled], [buy, short], "canceled")
    equal([order.urn for order in scene.b.live()], [hers], "another session's orders stay")
    scene.a.mass_cancel()
    scene.settle("X", "")


def test_a_mass_cancel_may_name_the_firm_and_a_channel(scene):
    attributed = scene.a.enter("B", 100, PRICE, display="A")
    (accepted,) = scene.settle("A", "")
    firm = scene.market.feed.book.orders[accepted.ref][4]
    scene.a.query({ouch.USER_REF_INDEX: 9})
    checks.until(lambda: scene.a.query_count == 0, 5, "channel query", scene.a.wait)
    scene.a.used[9] = scene.a.next_urn - 1
    urn = scene.a.mass_cancel(firm, tags={ouch.USER_REF_INDEX: 9})
    response, canceled = scene.settle("XC", "")
    fields(response, "response", urn=urn, firm=firm, symbol="", tags={ouch.USER_REF_INDEX: 9})
    equal((canceled.urn, canceled.tags), (attributed, {}), "an order of any channel")


def test_a_mass_cancel_that_cannot_be_served_is_rejected_and_cancels_nothing(scene):
    scene.a.enter("B", 100, PRICE)
    scene.settle("A", "")
    for reason, request in (
        (0x17, {"symbol": "NOSUCH"}),
        (0x09, {"tags": {ouch.SIDE: "X"}}),
        (0x0C, {"firm": "bad1"}),
        (0x0F, {"tags": {ouch.GROUP_ID: 1}}),
    ):
        urn = scene.a.mass_cancel(**request)
        (rejected,) = scene.settle("J", "")
        fields(rejected, str(request), urn=urn, reason=reason, client_id="", tags={})
    scene.a.client.send(ouch.mass_cancel(urn))
    scene.settle("", "")
    equal(len(scene.a.live()), 1, "orders, after a number used before")
    scene.a.mass_cancel(tags={ouch.GROUP_ID: 0})
    scene.settle("XC", "")


# Channels, queries, retransmission.


def test_a_channel_has_numbers_of_its_own_and_names_itself_in_every_answer(scene):
    tags = {ouch.USER_REF_INDEX: 7}
    scene.a.query(tags)
    checks.until(lambda: scene.a.query_count == 0, 5, "channel query", scene.a.wait)
    scene.a.used[7] = scene.a.next_urn - 1
    urn = scene.a.enter("S", 300, PRICE, tags)
    (accepted,) = scene.settle("A", "")
    equal((accepted.urn, accepted.tags), (urn, tags), "accepted")
    scene.b.enter("B", 100, PRICE)
    executed = scene.settle("E", "AE")[0]
    equal((executed.urn, executed.tags), (urn, tags), "executed")
    scene.a.cancel(urn)
    scene.settle("", "")
    scene.a.cancel(urn, 200, tags)
    scene.a.cancel(urn, 0, tags)
    for canceled in scene.settle("CC", ""):
        equal((canceled.urn, canceled.quantity, canceled.tags), (urn, 100, tags), "canceled")
    scene.a.enter("S", 0, PRICE, tags)
    (rejected,) = scene.settle("J", "")
    equal(rejected.tags, tags, "rejected")


def test_an_account_query_tells_the_next_number(scene):
    urn = scene.a.enter("B", 100, PRICE)
    scene.settle("A", "")
    equal(scene.a.next_urn, urn + 1, "next")
    scene.a.client.send(ouch.query())
    scene.a.client.send(ouch.query() + b"\x00\x00")
    scene.a.query_count += 2
    checks.until(lambda: scene.a.query_count == 0, 5, "both forms of a query", scene.a.wait)
    equal(scene.a.next_urn, urn + 1, "next")


def test_the_whole_stream_comes_again_byte_for_byte(scene):
    for one in (scene.a, scene.b):
        client = one.client
        true(client.first == 1 and client.gaps == 0, "received from 1 without a gap")
        count = len(client.stream)
        again = client.fetch(1, count)
        equal(len(again), count, "messages")
        different = [i + 1 for i in range(count) if again[i] != client.stream[i]]
        equal(different, [], f"{one.name}: numbers of messages that differ")
        middle = count // 2
        equal(client.fetch(middle, 1), client.stream[middle - 1 : middle], "one from the middle")


def test_a_retransmission_gives_no_more_than_was_asked_for(scene):
    client = scene.a.client
    for first, count in ((1, 1), (2, 3)):
        client.fetched.clear()
        client.ask(first, count)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            client.poll(0.05)
        equal(sorted(client.fetched), list(range(first, first + count)), "messages")


def test_a_retransmission_request_for_nothing_is_ignored(scene):
    client = scene.a.client
    duplicates = client.duplicates
    for first, count in ((0, 5), (client.expected, 5), (0xFFFFFFFF, 1), (1, 0)):
        client.ask(first, count)
    scene.settle("", "")
    equal(client.duplicates, duplicates, "messages that came again")


def test_the_feed_comes_again_byte_for_byte(scene):
    feed = scene.market.feed
    again = scene.feed_again(1, feed.sequencer.expected - 1)
    different = [number for number, message in feed.raw.items() if again[number] != message]
    equal(different, [], "numbers of messages that differ")


def test_the_feed_begins_with_the_days_events_and_listings(scene):
    first = min(scene.market.feed.raw)
    book = itch.Book()
    spin = [itch.decode(message) for message in scene.feed_again(1, first - 1).values()]
    for message in spin:
        book.apply(message)
    types = "".join(message.type for message in spin)
    equal(types[0], "S", "the first message's type")
    equal(spin[0].code, "O", "the first event")
    true(book.events[:3] == "OSQ", f"events {book.events}")
    locate = book.locate(scene.options.symbol)
    equal(locate, scene.market.feed.book.locate(scene.options.symbol), "stock locate")
    listing = next(m for m in spin if m.type == "R" and m.stock == scene.options.symbol)
    equal((listing.locate, listing.round_lot), (locate, 100), "locate and round lot")
    equal(book.states[scene.options.symbol], "T", "trading state")
    equal(types.rfind("R") < types.find("A") or "A" not in types, True, "listings before orders")


def test_a_feed_request_for_nothing_is_ignored(scene):
    feed = scene.market.feed.sequencer
    good = itch.request_packet(feed.session, 1, 1)
    bad = (
        itch.request_packet(b"NOTTODAY  ", 1, 1),
        itch.request_packet(feed.session, feed.expected + 1000, 1),
        itch.request_packet(feed.session, 0, 1),
        itch.request_packet(feed.session, 1, 0),
        good[:19],
        good + b"\x00",
        b"",
    )
    with scene.raw(server=scene.options.request) as raw:
        for request in bad:
            raw.send(request)
        equal(answers_to(raw), [], "answers")
        raw.send(good)
        equal(len(answers_to(raw)), 1, "answers to a good one")


# Datagrams.


def test_many_orders_in_one_datagram_are_taken_in_order(scene):
    orders = [scene.a.order("B", 100 + i, PRICE - i * TICK) for i in range(25)]
    scene.a.client.send(*[message for _, message in orders])
    answers = scene.settle("A" * 25, "")
    equal([answer.urn for answer in answers], [urn for urn, _ in orders], "order of the answers")
    equal([answer.quantity for answer in answers], [100 + i for i in range(25)], "quantities")
    scene.a.client.send(*[ouch.cancel(urn) for urn, _ in orders])
    answers = scene.settle("C" * 25, "")
    equal([answer.urn for answer in answers], [urn for urn, _ in orders], "order of the cancels")


def test_an_order_and_its_cancel_in_one_datagram_both_count(scene):
    urn, message = scene.a.order("B", 100, PRICE)
    scene.a.client.send(message, ouch.cancel(urn), message)
    scene.settle("AC", "")


def bad_datagrams(scene):
    """(what, datagram): each holds a good order before what is wrong."""
    good = ufo.block(ufo.unsequenced(scene.a.order("B", 100, PRICE)[1]))
    order = scene.a.order("B", 100, PRICE)[1]

    def with_ouch(message):
        return good + ufo.block(ufo.unsequenced(message))

    return (
        ("an unknown OUCH type", with_ouch(b"Z" + bytes(46))),
        ("an outbound OUCH type", with_ouch(b"A" + bytes(63))),
        ("an empty OUCH message", with_ouch(b"")),
        ("a short enter", with_ouch(order[:-1])),
        ("an enter without its appendage length", with_ouch(order[:45])),
        ("a long enter", with_ouch(order + b"\x00")),
        ("an appendage beyond the message", with_ouch(order[:45] + b"\x00\x06\x05\x02AL")),
        ("an element beyond the appendage", with_ouch(order[:45] + b"\x00\x03\x05\x02A")),
        ("an element of length 0", with_ouch(order[:45] + b"\x00\x01\x00")),
        ("a firm of three letters", with_ouch(order[:45] + b"\x00\x05\x04\x02ABC")),
        ("a short cancel", with_ouch(b"X" + bytes(7))),
        ("a cancel with half a length", with_ouch(b"X" + bytes(9))),
        ("a block beyond the datagram", good + b"\x00\x30U" + order[:20]),
        ("a block of length 0", good + b"\x00\x00"),
        ("half a block header", good + b"\x00"),
        ("an unknown UFO type", good + ufo.block(b"Z")),
        ("a downstream UFO type", good + ufo.block(b"S" + bytes(6))),
        ("a long heartbeat", good + ufo.block(b"RR")),
        ("a short request", good + ufo.block(b"T" + bytes(5))),
        ("a long login", good + ufo.block(ufo.login_message("A", "B") + b" ")),
    )


def test_a_datagram_with_one_bad_message_is_dropped_whole(scene):
    for what, datagram in bad_datagrams(scene):
        used = dict(scene.a.used)
        scene.a.used[0] = scene.a.next_urn - 1
        scene.a.client.send_datagram(datagram)
        try:
            scene.settle("", "")
        except checks.Failure as failure:
            scene.a.used = used
            raise checks.Failure(f"{what}: {failure}") from failure


def test_a_silent_client_is_disconnected_after_ten_seconds(scene):
    with scene.raw(scene.options.other) as raw:
        scene.b.client.logoff()
        time.sleep(0.1)
        raw.send(login_block(*scene.users[1]))
        true(answers_to(raw)[0][:1] == b"A", "accepted")
        until = time.monotonic() + 8
        while time.monotonic() < until:
            scene.a.poll(0.1)
            scene.market.feed.poll(0.1)
        scene.b.client.send_datagram(login_block(*scene.users[1]))
        scene.b.client.poll(0.3)
        scene.b.client.logged_in = False
        scene.b.client.login(timeout=6)  # refused until the other has been silent for 10 s
    scene.settle("", "")


BEFORE_LOGIN = (
    test_a_wrong_password_is_answered_J_A,
    test_a_wrong_session_is_answered_J_S,
    test_messages_before_a_login_are_discarded,
    test_a_login_is_accepted_in_any_case_and_each_time,
    test_after_a_logoff_another_address_may_log_in,
)
SLOW = (test_a_silent_client_is_disconnected_after_ten_seconds,)


def tests():
    """Every test that needs the market open, as they stand above."""
    return [
        value
        for name, value in globals().items()
        if name.startswith("test_") and value not in BEFORE_LOGIN + SLOW
    ]


def run(report, scene, test):
    """One test, and a clean book after it, so that a test that fails does not take others along.

    Raises Failure when there is no clean book to be had: nothing after it would mean anything.
    """
    report.run(test, scene)
    scene.clear()
    for one in (scene.a, scene.b):
        one.used[0] = one.next_urn - 1


def main():
    """Run the tests, all or those whose names hold a given text."""
    parser = trader.arguments(__doc__)
    parser.add_argument("--slow", action="store_true", help="also what takes ten seconds")
    parser.add_argument("--only", default="", help="tests whose names hold this text")
    options = parser.parse_args()
    report, scene = checks.Report(), Scene(options)
    for test in BEFORE_LOGIN:
        if options.only in test.__name__:
            report.run(test, scene)
    try:
        scene.open()
        for test in tests() + (list(SLOW) if options.slow else []):
            if options.only in test.__name__:
                run(report, scene, test)
    except (checks.Failure, ufo.UfoError, itch.FeedError, ouch.OuchError, OSError) as error:
        report.fail("the market stays in step, the tests after this one are not run", error)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
