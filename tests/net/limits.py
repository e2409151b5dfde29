# SPDX-License-Identifier: MIT
"""A member's limit over two shards: what he leaves unused on one he can use on the other.

    ip netns exec sluice-cl python3 tests/net/limits.py use|again|more --user LOAD0:SECRET

`use` uses the whole limit on the first shard; `again`, after a crash, finds that it is used, and
uses what is canceled there on the second; `more` uses a limit that was set higher.
"""

import sys
import time

import checks
import trader
from checks import equal
from ctl import answered

PRICE = 500_000  # 50.00; the limit is 1,000 shares of it
RISK_OPEN = 0x20
FAR_PORT, FAR_SYMBOL = 26500, "AMZN"


def buys(one, quantity):
    """Enter a purchase; what became of it."""
    return answered(one, one.enter("B", quantity, PRICE))


def in_time(one, quantity):
    """A purchase that is sent until it is accepted."""
    checks.until(lambda: buys(one, quantity) == "A", 5, f"{quantity} shares: room", lambda: time.sleep(0.02))


def never(*traders):
    """Whatever is sent for more than a round or two, it is refused."""
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        for one in traders:
            equal(buys(one, 1), RISK_OPEN, f"a share more on {one.symbol}")
        time.sleep(0.01)


def use(near, far):
    """The whole limit on one shard."""
    equal(buys(near, 600), RISK_OPEN, "more than half of the limit, at first")
    in_time(near, 600)
    in_time(near, 400)
    never(near, far)


def again(near, far):
    """It is used up after a crash too, until something is canceled."""
    never(near, far)
    last = max(near.live(), key=lambda order: order.urn)
    equal(last.open, 400, "what is canceled")
    near.cancel(last.urn, 0)
    in_time(far, 400)
    never(near, far)


def more(near, far):
    """A limit that is higher by 200 shares."""
    in_time(far, 200)
    never(near, far)


def main():
    """One of the three."""
    steps = {"use": use, "again": again, "more": more}
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("step", choices=steps)
    options = parser.parse_args()
    user, password = trader.users(options)[0]
    near = trader.Trader(options.server, user, password, options.local, options.symbol)
    far_server = (options.server[0], FAR_PORT)
    far = trader.Trader(far_server, user, password, options.local, FAR_SYMBOL)
    report = checks.Report()
    report.run(steps[options.step], near, far)
    near.client.logoff()
    far.client.logoff()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
