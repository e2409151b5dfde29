"""The end of the day, as a client and a listener see it: the resting order is canceled, System Event E closes the
stream, End of Session takes the place of heartbeats, orders are ignored, retransmission still works, and the
feed ends with ITCH C and end-of-session packets. Prints "ready" when the day may end."""
import sys
import time

import itch
import ouch
import ufo

failures = 0


def check(name, condition, why=""):
    """One line of the report."""
    global failures
    failures += not condition
    print(f"ok {name}" if condition else f"FAIL {name}: {why}", flush=True)


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


def main():
    """The day's last minute."""
    client = ufo.Client(("10.77.0.1", 26400), "LOAD5", "SECRET", "10.77.0.3")
    feed = Listener()
    client.login()
    client.send(ouch.enter(1, "B", 100, "ACME", 10000))
    check("an order rests before the end", wait_for(client.poll, lambda: len(client.stream) == 1))
    print("ready", flush=True)

    check("End of Session takes the place of heartbeats",
          wait_for(client.poll, lambda: client.ended))
    wait_for(client.poll, lambda: len(client.stream) == 3)
    types = "".join(chr(message[0]) for message in client.stream)
    check("the stream ends with the order's cancel and a System Event", types == "ACS", types)
    check("it is the end of the day", client.stream[-1][9:] == b"E", client.stream[-1])
    check("the end counts the session's messages", client.server_next == client.expected)

    client.send(ouch.enter(2, "B", 100, "ACME", 10000))
    wait_for(client.poll, lambda: len(client.stream) > 3, 1.5)
    check("orders are ignored after the end", len(client.stream) == 3, client.stream[3:])
    last = client.expected - 1
    check("retransmission still works", client.fetch(last, 1) == [client.stream[-1]])
    check("the feed ends with end-of-session packets",
          wait_for(feed.poll, lambda: feed.sequencer.ends > 0))
    check("its last message is the end of messages", feed.last and feed.last.code == "C", feed.last)
    return 1 if failures else 0


sys.exit(main())
