# SPDX-License-Identifier: MIT
"""An order of each user, which is answered as expected.

    ip netns exec sluice-cl python3 tests/net/order.py accepted|REASON

REASON is that of a rejection, as 0x07.
"""

import sys

import checks
import ctl
import trader
from checks import equal


def test_an_order_is_answered_as_expected(options):
    expected = "A" if options.expected == "accepted" else int(options.expected, 0)
    for user, password in trader.users(options):
        one = trader.Trader(options.server, user, password, options.local, options.symbol)
        equal(ctl.buys(one), expected, f"the answer to an order of {user}")
        one.client.close()


def main():
    """One test."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("expected")
    options, report = parser.parse_args(), checks.Report()
    report.run(test_an_order_is_answered_as_expected, options)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
