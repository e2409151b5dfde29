# SPDX-License-Identifier: MIT
"""The end of the day, as a client and a listener see it.

The resting order is canceled, System Event E closes the stream, End of Session takes the place of
heartbeats, orders are ignored, retransmission still works, and the feed ends with ITCH C and
end-of-session packets. Prints "ready" when the day may end.
"""

import sys
import time

import checks
import itch
import ouch
import ufo


def wait_for(poll, condition, seconds=10.0):
    """Poll until the condition holds; whether it did."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        poll(0.05)
    return condition()


class Listener:
    """The feed's last message and its ends; joined in mid-day, so without a book."""

    def __init__(self):
        self.receiver = itch.Receiver("239.77.0.1", 26477, "10.77.0.2")
        self.sequencer = itch.Sequencer()
        self.last = None

    def poll(self, timeout):
        """Take in what has arrived."""
        self.receiver.drain(timeout)
        for payload in self.receiver.take():
            for _, message in self.sequencer.take(payload):
                self.last = itch.decode(message)


def check_stream(report, client):
    """What the session is told."""
    ended = wait_for(client.poll, lambda: client.ended)
    report.check(ended, "End of Session takes the place of heartbeats")
    wait_for(client.poll, lambda: len(client.stream) == 3)
    types = "".join(chr(message[0]) for message in client.stream)
    report.check(types == "ACS", "the stream ends with the cancel and a System Event", types)
    report.check(client.stream[-1][9:] == b"E", "it is the end of the day", client.stream[-1])
    counted = client.server_next == client.expected
    report.check(counted, "the end counts the session's messages", client.server_next)


def check_afterwards(report, client):
    """What is still served."""
    client.send(ouch.enter(2, "B", 100, "ACME", 10000))
    wait_for(client.poll, lambda: len(client.stream) > 3, 1.5)
    report.check(len(client.stream) == 3, "orders are ignored after the end", client.stream[3:])
    again = client.fetch(client.expected - 1, 1)
    report.check(again == [client.stream[-1]], "retransmission still works", again)


def main():
    """The day's last minute."""
    report = checks.Report()
    client = ufo.Client(("10.77.0.1", 26400), "LOAD5", "SECRET", "10.77.0.3")
    feed = Listener()
    client.login()
    client.send(ouch.enter(1, "B", 100, "ACME", 10000))
    rests = wait_for(client.poll, lambda: len(client.stream) == 1)
    report.check(rests, "an order rests before the end")
    print("ready", flush=True)
    check_stream(report, client)
    check_afterwards(report, client)
    over = wait_for(feed.poll, lambda: feed.sequencer.ends > 0)
    report.check(over, "the feed ends with end-of-session packets")
    last = feed.last
    report.check(last and last.code == "C", "its last message is the end of messages", last)
    return report.finish()


sys.exit(main())
