# SPDX-License-Identifier: MIT
"""A client while the journal's disk runs full.

Orders are accepted, then refused while cancels still work, then the gateway is gone. With --again,
after a restart: everything it was told is still there. The two runs share a state file, which holds
every message received.
"""

import json
import sys
import time

import checks
import ouch
import ufo

PROCESSING_ERROR = 0x0A


def ask(client, message, seconds=3.0):
    """Send one message and return the first answer to it, or None."""
    had = len(client.stream)
    client.send(message)
    deadline = time.monotonic() + seconds
    while len(client.stream) == had and time.monotonic() < deadline:
        client.poll(0.1)
    return ouch.decode(client.stream[had]) if len(client.stream) > had else None


def fill(client):
    """Orders until nobody answers: accepted, refused, and the answer to a cancel in between."""
    accepted = refused = 0
    canceled = None
    for urn in range(1, 100_000):
        answer = ask(client, ouch.enter(urn, "B", 100, "ACME", 10_000))
        if answer is None:
            break
        accepted += answer.type == "A"
        if answer.type == "J" and answer.reason == PROCESSING_ERROR:
            refused += 1
            canceled = canceled or ask(client, ouch.cancel(1))
    return accepted, refused, canceled


def run_full(report, client, state_file):
    """The first run."""
    accepted, refused, canceled = fill(client)
    report.check(accepted > 100, f"orders are accepted while there is room ({accepted})")
    report.check(refused > 0, f"then they are refused ({refused})")
    works = canceled is not None and canceled.type == "C"
    report.check(works, "while a cancel still works", canceled)
    with open(state_file, "w", encoding="ascii") as file:
        json.dump([message.hex() for message in client.stream], file)


def compare(report, client, state_file):
    """The second: the client asks for all from 1, as one does that was away."""
    with open(state_file, encoding="ascii") as file:
        before = [bytes.fromhex(text) for text in json.load(file)]
    deadline = time.monotonic() + 20
    while len(client.stream) < len(before) and time.monotonic() < deadline:
        client.poll(0.1)
    same = client.stream[: len(before)] == before
    why = f"{len(client.stream)} of {len(before)}"
    report.check(same, "after a restart on a larger disk every message is the same", why)


def main():
    """One of the two runs."""
    report = checks.Report()
    client = ufo.Client(("10.77.0.1", 26400), "LOAD0", "SECRET", "10.77.0.2")
    client.login(start_at=1)
    step = compare if "--again" in sys.argv else run_full
    step(report, client, sys.argv[1])
    return report.finish()


sys.exit(main())
