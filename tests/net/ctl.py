# SPDX-License-Identifier: MIT
"""What an operator's switches do to those who trade: `sluice ctl` against live sessions.

    ip netns exec sluice-cl python3 tests/net/ctl.py --config FILE --sluice build/sluice [--races 100]
"""

import json
import random
import subprocess
import sys

import checks
import trader
from checks import equal, true

PRICE = 500_000
HALTED, BARRED = 0x07, 0x0C
RISK_OPEN, RISK_NOTIONAL, RISK_QUANTITY, INVALID_PRICE, OTHER = 0x20, 0x30, 0x31, 0x1D, 0x0F


class Operator:
    """`sluice ctl`, as this user."""

    def __init__(self, options):
        self.command = [options.sluice, "ctl", "--config", options.config]

    def tell(self, *words):
        """One order; it has to be carried out."""
        done = subprocess.run(self.command + list(words), capture_output=True, text=True, timeout=30)
        equal((done.returncode, done.stderr), (0, ""), " ".join(words))

    def broken(self):
        """How many have broken each limit so far, by its name."""
        done = subprocess.run(self.command + ["--json", "stats"], capture_output=True, text=True, timeout=30)
        (shard,) = json.loads(done.stdout)["stats"]["shards"]
        return shard["entry"]["limits"]


def answered(one, urn):
    """What became of an order: 'A', or the reason of its rejection."""
    found = lambda: (0, urn) in one.orders or (0, urn) in one.rejects
    checks.until(found, trader.ANSWER_S, f"{one.name}: the answer to {urn}", one.wait)
    return "A" if (0, urn) in one.orders else one.rejects[0, urn]


def buys(one, price=PRICE - 10_000, **details):
    """Enter a purchase; what became of it."""
    return answered(one, one.enter("B", 100, price, **details))


def is_gone(*traders):
    """None of them has a live order."""
    for one in traders:
        checks.until(lambda: not one.live(), trader.ANSWER_S, f"{one.name}: its orders' end", one.wait)


def test_a_halt_rejects_orders_until_trading_resumes(operator, one, two):
    equal(buys(one), "A", "before the halt")
    operator.tell("halt", one.symbol)
    equal(buys(one), HALTED, "in the halt")
    operator.tell("resume", one.symbol)
    equal(buys(two), "A", "after it")
    operator.tell("halt")
    equal(buys(two), HALTED, "in a halt of everything")
    operator.tell("resume")


def test_a_killed_session_has_no_orders_and_enters_none(operator, one, two):
    equal((buys(one), buys(two)), ("A", "A"), "before")
    operator.tell("kill", "session", one.name)
    is_gone(one)
    equal((buys(one), buys(two)), (BARRED, "A"), "after")
    true(two.live(), "another session's orders stay")
    operator.tell("allow", "session", one.name)
    equal(buys(one), "A", "when it is allowed again")


def test_a_disabled_session_enters_no_orders_and_keeps_those_it_has(operator, one, two):
    equal((buys(one), buys(two)), ("A", "A"), "before")
    live = len(one.live())
    operator.tell("disable", "session", one.name)
    equal((buys(one), buys(two)), (BARRED, "A"), "after")
    equal(len(one.live()), live, "its orders")
    operator.tell("allow", "session", one.name)
    equal(buys(one), "A", "when it is allowed again")


def test_a_killed_firm_has_no_orders_and_enters_none(operator, one, two):
    equal((buys(one), buys(two)), ("A", "A"), "before")
    operator.tell("kill", "firm", "BETA")
    is_gone(two)
    equal((buys(one), buys(two)), ("A", BARRED), "after")
    operator.tell("allow", "firm", "BETA")
    equal(buys(two), "A", "when it is allowed again")


def test_a_firm_killed_in_a_symbol_is_gone_from_it(operator, one, two):
    equal((buys(one), buys(two)), ("A", "A"), "before")
    operator.tell("kill", "firm", "BETA", "symbol", two.symbol)
    is_gone(two)
    equal((buys(one), buys(two)), ("A", BARRED), "after")
    operator.tell("allow", "firm", "BETA")
    equal(buys(two), BARRED, "after another bar's end")
    operator.tell("allow", "firm", "BETA", "symbol", two.symbol)
    equal(buys(two), "A", "when it is allowed again")


def test_a_killed_symbol_is_empty_and_halted(operator, one, two):
    equal((buys(one), buys(two)), ("A", "A"), "before")
    operator.tell("kill", "symbol", one.symbol)
    is_gone(one, two)
    equal((buys(one), buys(two)), (HALTED, HALTED), "after")
    operator.tell("resume")  # all but what was killed
    equal(buys(two), HALTED, "after all was resumed")
    operator.tell("allow", "symbol", one.symbol)
    equal(buys(two), "A", "when it is allowed again")


def test_killing_all_leaves_nothing(operator, one, two):
    equal((buys(one), buys(two)), ("A", "A"), "before")
    operator.tell("kill", "all")
    is_gone(one, two)
    equal((buys(one), buys(two)), (BARRED, BARRED), "after")
    operator.tell("allow", "all")
    equal((buys(one), buys(two)), ("A", "A"), "when all are allowed again")


def test_after_a_kill_is_acknowledged_no_order_lives_whatever_it_raced_with(operator, one, two, races):
    rng = random.Random(7)
    fills = 0
    for _ in range(races):
        before = len(one.executions)
        process = subprocess.Popen(operator.command + ["kill", "session", one.name])
        while process.poll() is None:  # orders, and fills of them, until it is acknowledged
            one.enter("B", rng.randint(1, 500), PRICE + 100 * rng.randint(0, 5))
            two.enter("S", rng.randint(1, 500), PRICE + 100 * rng.randint(0, 5))
            one.poll(0)
            two.poll(0)
        equal(process.returncode, 0, "the kill")
        equal(buys(one), BARRED, "an order after the acknowledgement")  # all before it is answered
        equal([order.urn for order in one.live()], [], "orders that live after it")
        told = len(one.executions)
        two.enter("S", 100, PRICE - 100_000)  # would meet whatever were left
        one.wait()
        equal(len(one.executions), told, "executions after it")
        fills += told - before
        operator.tell("allow", "session", one.name)
        operator.tell("kill", "session", two.name)
        operator.tell("allow", "session", two.name)
        is_gone(two)
    true(fills > 0, "the kills raced with fills")


def test_limits_change_while_it_runs(operator, one, two):
    operator.tell("limit", "firm", "ALFA", "quantity", "99")  # looked at by the port
    equal((buys(one), buys(two)), (RISK_QUANTITY, "A"), "a limit of quantity")
    operator.tell("limit", "firm", "ALFA", "quantity", "100")
    equal(buys(one), "A", "a limit that the order just keeps to")
    operator.tell("limit", "firm", "ALFA", "quantity", "0")
    open_value = sum(order.open * (PRICE - 10_000) for order in one.live())
    operator.tell("limit", "firm", "ALFA", "gross", f"{(open_value + 100 * (PRICE - 10_000)) / 10_000:.4f}")  # by the book
    equal((buys(one), buys(one)), ("A", RISK_OPEN), "a limit of exposure, with what was open before")
    operator.tell("limit", "firm", "ALFA", "gross", "0")
    operator.tell("limit", "symbol", one.symbol, "tick", "0.01")
    equal((buys(one, PRICE - 10_001), buys(two, PRICE - 10_001)), (INVALID_PRICE, INVALID_PRICE), "a tick")
    operator.tell("limit", "symbol", one.symbol, "tick", "0")
    equal(buys(one, PRICE - 10_001), "A", "no tick")


def test_each_limit_has_a_counter_of_its_own(operator, one, two):
    equal(buys(two), "A", "before")
    before = operator.broken()
    for limit in ("symbol_orders", "open_orders"):  # of one reason
        operator.tell("limit", "firm", "BETA", limit, "1")
        equal((buys(one), buys(two)), ("A", OTHER), f"with {limit}")
        operator.tell("limit", "firm", "BETA", limit, "0")
    equal(buys(two), "A", "after")
    after = operator.broken()
    equal({name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)},
          {"symbol_orders": 1, "open_orders": 1}, "what was counted")


def test_a_session_that_logs_off_has_no_orders_where_it_wants_so(_, one, two):
    equal((buys(one), buys(two)), ("A", "A"), "before")
    live = len(two.live())
    one.client.logoff()
    one.client.login()
    is_gone(one)
    two.wait()
    equal(len(two.live()), live, "another session's orders stay")
    equal(buys(one), "A", "when it is back")


def main():
    """All tests."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--races", type=int, default=100)
    options = parser.parse_args()
    traders = [
        trader.Trader(options.server, user, password, options.local, options.symbol)
        for user, password in trader.users(options)[:2]
    ]
    operator = Operator(options)
    report = checks.Report()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            report.run(test, operator, *traders, *([options.races] if "raced" in name else []))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
