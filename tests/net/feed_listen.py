# SPDX-License-Identifier: MIT
"""A third party on the feed: stores packets until told to stop, then says what they tell.

Storing and decoding are apart, so that a burst costs one recv per packet: the socket's buffer and
a list take it in, and all decoding is done at the end.

    ip netns exec sluice-cl python3 tests/net/feed_listen.py --idle 3 --json
"""

import argparse
import json
import os
import select
import signal
import sys
import time

import itch
import trader

DOLLAR = 10_000  # prices have four implied decimals


class Stop:
    """What ends the listening: SIGTERM or SIGINT, a pipe or a file, silence, or time."""

    def __init__(self, options):
        self.options = options
        self.asked = False
        self.started = time.monotonic()
        self.heard = None  # when the last message came; silence before the first does not count
        self.pipe = sys.stdin if options.stop_stdin else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signal)

    def _signal(self, *_):
        self.asked = True

    def due(self, new_messages):
        """Whether to stop now; `new_messages` says whether anything but heartbeats came."""
        now, options = time.monotonic(), self.options
        if new_messages:
            self.heard = now
        if self.pipe and select.select([self.pipe], [], [], 0)[0]:
            return True
        return (
            self.asked
            or bool(options.stop_file and os.path.exists(options.stop_file))
            or bool(options.idle and self.heard and now - self.heard > options.idle)
            or bool(options.duration and now - self.started > options.duration)
        )


def is_heartbeat(payload):
    """A packet without messages, which does not count as life."""
    return len(payload) == 20


def listen(receiver, stop, ready):
    """Store packets until told to stop, and what is still in the socket's buffer then."""
    if ready:
        with open(ready, "w", encoding="ascii") as file:
            file.write("ready\n")
    while True:
        count = receiver.drain(0.05)
        alive = any(not is_heartbeat(p) for p in receiver.payloads[-count:]) if count else False
        if stop.due(alive):
            receiver.drain()
            return receiver.take()


def dropped_by_kernel(receiver):
    """Packets that the socket's buffer had no room for, from /proc/net/udp."""
    inode = os.fstat(receiver.socket.fileno()).st_ino
    with open("/proc/net/udp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            columns = line.split()
            if int(columns[9]) == inode:
                return int(columns[12])
    return None


def rebuild(payloads, first):
    """Sequence and book from stored packets; what is wrong, if anything, as text."""
    sequencer, book = itch.Sequencer(first), itch.Book()
    try:
        for payload in payloads:
            for number, message in sequencer.take(payload):
                if sequencer.gaps:
                    continue  # the book would contradict itself; the gap is what matters
                try:
                    book.apply(itch.decode(message))
                except itch.FeedError as error:
                    raise itch.FeedError(f"message {number}: {error}") from error
    except itch.FeedError as error:
        return sequencer, book, str(error)
    return sequencer, book, None


def summary(payloads, sequencer, book, error):
    """The report as data."""
    symbols = {}
    for locate, stock in sorted(book.symbols.items()):
        prints = [trade for trade in book.trades.values() if trade[0] == stock]
        symbols[stock] = {
            "bid": (book.top(locate, "B", 1) or [None])[0],
            "ask": (book.top(locate, "S", 1) or [None])[0],
            "state": book.states.get(stock),
            "trades": len(prints),
            "shares": sum(shares for _, shares, _ in prints),
            "orders": sum(1 for order in book.orders.values() if order[0] == locate),
        }
    return {
        "session": sequencer.session.decode("ascii").rstrip() if sequencer.session else None,
        "packets": sequencer.packets,
        "bytes": sum(len(payload) for payload in payloads),
        "messages": sum(book.counts.values()),
        "next": sequencer.expected,
        "by_type": dict(sorted(book.counts.items())),
        "heartbeats": sequencer.heartbeats,
        "ended": sequencer.ends > 0,
        "events": book.events,
        "gaps": sequencer.gaps,
        "duplicates": sequencer.duplicates,
        "trades": len(book.trades),
        "executed_shares": book.volume,
        "symbols": symbols,
        "error": error,
    }


def level(best):
    """A level for people."""
    return f"{best[1]} @ {best[0] / DOLLAR:.4f}" if best else "none"


def show(report):
    """The report for people."""
    types = " ".join(f"{name} {count}" for name, count in report["by_type"].items())
    print(f"feed session {report['session']}, next message {report['next']}")
    print(f"  packets     {report['packets']} ({report['heartbeats']} heartbeats)")
    print(f"  messages    {report['messages']} ({types})")
    print(f"  gaps        {len(report['gaps'])} {report['gaps'][:5] if report['gaps'] else ''}")
    print(f"  duplicates  {report['duplicates']}")
    print(f"  executed    {report['executed_shares']} shares in {report['trades']} trades")
    for stock, book in report["symbols"].items():
        print(
            f"  {stock:8}    bid {level(book['bid'])}, ask {level(book['ask'])}, "
            f"{book['orders']} orders, {book['shares']} shares in {book['trades']} trades"
        )
    if report["error"]:
        print(f"  error       {report['error']}")


def options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--feed", type=trader.address, default=("239.77.0.1", 26477))
    parser.add_argument("--local", default="10.77.0.2", help="address whose interface joins")
    parser.add_argument("--first", type=int, help="number the first message has to have")
    parser.add_argument("--idle", type=float, help="stop when so many seconds have no message")
    parser.add_argument("--duration", type=float, help="stop after so many seconds")
    parser.add_argument("--stop-file", help="stop when this file exists")
    parser.add_argument("--stop-stdin", action="store_true", help="stop when stdin ends or speaks")
    parser.add_argument("--ready-file", help="written once the group is joined")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    return parser.parse_args()


def main():
    """Listen, then report; fails on gaps and contradictions."""
    chosen = options()
    receiver = itch.Receiver(*chosen.feed, chosen.local)
    payloads = listen(receiver, Stop(chosen), chosen.ready_file)
    lost = dropped_by_kernel(receiver)
    receiver.close()
    report = summary(payloads, *rebuild(payloads, chosen.first))
    report["dropped_by_kernel"] = lost
    if chosen.json:
        print(json.dumps(report))
    else:
        show(report)
    return 1 if report["gaps"] or report["error"] or not payloads else 0


if __name__ == "__main__":
    sys.exit(main())
