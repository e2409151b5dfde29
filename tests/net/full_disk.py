"""A client while the journal's disk runs full: orders are accepted, then refused while cancels still work, then
the gateway is gone. With --again, after a restart: everything it was told is still there.

The two runs share a state file, which holds every message received."""
import json
import sys
import time

import ouch
import ufo

PROCESSING_ERROR = 0x0A
failures = 0


def check(name, condition, why=""):
    """One line of the report."""
    global failures
    failures += not condition
    print(f"ok {name}" if condition else f"FAIL {name}: {why}", flush=True)


def ask(client, message, seconds=3.0):
    """Send one message and return the first answer to it, or None."""
    had = len(client.stream)
    client.send(message)
    deadline = time.monotonic() + seconds
    while len(client.stream) == had and time.monotonic() < deadline:
        client.poll(0.1)
    return ouch.decode(client.stream[had]) if len(client.stream) > had else None


def fill(client):
    """Orders until nobody answers: accepted, refused, and whether a cancel worked in between."""
    accepted = refused = 0
    canceled = None
    for urn in range(1, 100_000):
        answer = ask(client, ouch.enter(urn, "B", 100, "ACME", 10_000))
        if answer is None:
            break
        if answer.type == "A":
            accepted += 1
        elif answer.type == "J" and answer.reason == PROCESSING_ERROR:
            refused += 1
            if canceled is None:
                canceled = ask(client, ouch.cancel(1))
    return accepted, refused, canceled


def main():
    """First run: fill the disk. Second run: compare."""
    state_file = sys.argv[1]
    client = ufo.Client(("10.77.0.1", 26400), "LOAD0", "SECRET", "10.77.0.2")
    client.login(start_at=1)
    if "--again" in sys.argv:
        with open(state_file, encoding="ascii") as file:
            before = [bytes.fromhex(text) for text in json.load(file)]
        deadline = time.monotonic() + 20
        while len(client.stream) < len(before) and time.monotonic() < deadline:
            client.poll(0.1)  # asks for all from 1, as a client does that was away
        check("after a restart on a larger disk every message is the same",
              client.stream[: len(before)] == before, f"{len(client.stream)} of {len(before)}")
        return 1 if failures else 0
    accepted, refused, canceled = fill(client)
    check(f"orders are accepted while there is room ({accepted})", accepted > 100)
    check(f"then they are refused ({refused})", refused > 0)
    check("while a cancel still works", canceled is not None and canceled.type == "C", canceled)
    with open(state_file, "w", encoding="ascii") as file:
        json.dump([message.hex() for message in client.stream], file)
    return 1 if failures else 0


sys.exit(main())
