# SPDX-License-Identifier: MIT
"""Good-till-time orders over a crash: `enter` leaves them behind, `watch` is a client after the
restart that sends no order and finds them over, one while the gateway was gone and one afterwards.

    ip netns exec sluice-cl python3 tests/net/expiry.py enter
    (kill -9, restart)
    ip netns exec sluice-cl python3 tests/net/expiry.py watch
"""

import sys

import checks
import ouch
import trader
from checks import equal, true

PRICE = 500_000
SHORT_S, LONG_S = 1, 6  # to live
NS_PER_S = 10**9


def enter(one):
    """Two orders that end, and one that does not."""
    for seconds in (SHORT_S, LONG_S):
        one.enter("B", 100 * seconds, PRICE, {ouch.EXPIRE_TIME: seconds}, tif="6")
    one.enter("B", 1, PRICE)
    checks.until(lambda: len(one.orders) == 3, 5, "acceptances", one.wait)


def stream(one):
    """All that the session was ever told."""
    return [ouch.decode(message) for message in one.client.stream]


def test_both_orders_end_after_their_seconds(one):
    checks.until(lambda: len(one.live()) == 1, LONG_S + 10, "the end of both orders", one.wait)
    accepted = {answer.quantity: answer for answer in stream(one) if answer.type == "A"}
    canceled = [answer for answer in stream(one) if answer.type == "C"]
    equal([c.quantity for c in canceled], [100 * SHORT_S, 100 * LONG_S], "shares canceled")
    equal([c.reason for c in canceled], ["T", "T"], "reasons")
    for answer, seconds in zip(canceled, (SHORT_S, LONG_S)):
        order = accepted[answer.quantity]
        equal(answer.urn, order.urn, "order")
        lived = answer.time - order.time
        true(lived >= seconds * NS_PER_S, f"{lived} ns instead of {seconds} s")


def test_the_day_order_stays(one):
    equal([order.open for order in one.live()], [1], "shares of live orders")


def main():
    """One half or the other."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("half", choices=("enter", "watch"))
    options = parser.parse_args()
    user, password = trader.users(options)[0]
    one = trader.Trader(options.server, user, password, options.local, options.symbol)
    if options.half == "enter":
        enter(one)
        return 0
    report = checks.Report()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            report.run(test, one)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
