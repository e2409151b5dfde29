# SPDX-License-Identifier: MIT
"""Logins in clear, good, bad and broken, and then a search of the gateway's memory for their passwords.

    password.py --pid PID --user NAME:PASSWORD [--capture PID]

With a capture that runs they are there, until it has ended.
"""

import os
import signal
import sys
import time

import checks
import trader
import ufo

WRONG = "Yj7vOp2wUm"
ROUNDS = 50


def memory_of(pid):
    """All that the process can read, region by region, but for the kernel's own rings."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            fields = line.split()
            if fields[1][0] != "r" or (len(fields) > 5 and fields[5].startswith(("[v", "socket:"))):
                continue
            start, end = (int(word, 16) for word in fields[0].split("-"))
            memory.seek(start)
            yield memory.read(end - start)


def places(pid, words):
    """How often each is in there, in capitals or not."""
    wanted = [word.upper().encode() for word in words]
    counts = [0] * len(words)
    for region in memory_of(pid):
        region = region.upper()
        counts = [count + region.count(word) for count, word in zip(counts, wanted)]
    return counts


def knock(options, name, password):
    """Logins that are refused, cut short, damaged, of nobody, and behind other blocks."""
    stranger = ufo.Client(options.server, name, WRONG, options.local)
    wrong, right = ufo.login_message(name, WRONG), ufo.login_message(name, password)
    for _ in range(ROUNDS):
        for message in wrong, right:
            stranger.send_datagram(ufo.block(message))
            stranger.send_datagram(ufo.block(message)[:-1])
            stranger.send_datagram(ufo.block(message[:-1]))
            stranger.send_datagram(ufo.block(b"R") + ufo.block(message))
        stranger.send_datagram(ufo.block(ufo.login_message("NOBODY", WRONG)))
        time.sleep(0.01)
    time.sleep(1)


def main():
    """Exit status 0 when none was found."""
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--capture", type=int)
    options, report = parser.parse_args(), checks.Report()
    name, password = trader.users(options)[0]
    session = trader.Trader(options.server, name, password, options.local, options.symbol)
    knock(options, name, password)
    session.enter("B", 100, 500_000, client_id="FIND THIS")
    checks.until(lambda: session.open, trader.ANSWER_S, "the order is taken", session.wait)
    for word in password, WRONG:
        session.client.send_datagram(ufo.block(ufo.login_message(name, word)))
    time.sleep(0.5)
    if options.capture:
        report.check(min(places(options.pid, (password, WRONG))) > 0, "passwords are in the tap that is read")
        os.kill(options.capture, signal.SIGTERM)
        time.sleep(3)  # two looks of the gateway's at who reads
    marks, good, bad = places(options.pid, ("FIND THIS", password, WRONG))
    report.check(marks > 0, f"the order is found in the gateway's memory, {marks} times")
    report.check(good == 0, "the password is not", f"{good} times")
    report.check(bad == 0, "nor is that of refused logins", f"{bad} times")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
