# SPDX-License-Identifier: MIT
"""Datagrams of as many messages as one holds, and an order behind them, all of which wait at once.

    full_ring.py --pid GATEWAY
"""

import os
import signal
import sys

import checks
import ouch
import trader
import ufo

PRICE = 500_000
DATAGRAMS = 200


def test_an_order_behind_others_full_datagrams_is_taken(options, one, two):
    block = ufo.block(ufo.unsequenced(ouch.query()))
    full = block * (ufo.DATAGRAM_MAX // len(block))
    os.kill(options.pid, signal.SIGSTOP)
    try:
        for _ in range(DATAGRAMS):
            one.client.socket.sendto(full, options.to)
        urn = two.enter("B", 100, PRICE)
    finally:
        os.kill(options.pid, signal.SIGCONT)
    checks.until(lambda: urn in [o.urn for o in two.live()], 5, "the order", two.wait)


def main():
    """The two sessions."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--pid", type=int, required=True)
    options, report = parser.parse_args(), checks.Report()
    options.to = options.server
    traders = [
        trader.Trader(options.server, user, password, options.local, options.symbol)
        for user, password in trader.users(options)[:2]
    ]
    report.run(test_an_order_behind_others_full_datagrams_is_taken, options, *traders)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
