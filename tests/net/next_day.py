# SPDX-License-Identifier: MIT
"""A day that ends and the next one, as a member sees them, step by step; the gateway is started anew in between.

    next_day.py leave|go_on|end|begin|refused --session FILE
"""

import os
import signal
import sys

import checks
import ouch
import trader
import ufo
from checks import equal, true

PRICE = 500_000


def log_in(options, index=0, session=""):
    """One of the users, with the stream from its first message."""
    name, password = trader.users(options)[index]
    client = ufo.Client(options.server, name, password, options.local, session)
    return trader.Trader(
        options.server, name, password, options.local, options.symbol, client=client
    )


def log_off(*several):
    """For the next step to log in."""
    for one in several:
        one.client.close()


def named(options):
    """The session that `leave` was in."""
    with open(options.session, encoding="ascii") as file:
        return file.read()


def answers(one):
    """All that the session was ever told, but for answers to queries."""
    return [a for a in (ouch.decode(message) for message in one.client.stream) if a.type != "Q"]


def rejected(options, session):
    """The reason that a login to this session is rejected for, if it is."""
    name, password = trader.users(options)[0]
    try:
        ufo.Client(options.server, name, password, options.local, session).login()
    except ufo.LoginRejected as error:
        return error.reason
    return None


def test_leave_an_order_open_after_a_trade(options):
    one, two = log_in(options), log_in(options, 1)
    one.enter("B", 400, PRICE)
    checks.until(lambda: one.live(), trader.ANSWER_S, "the order is taken", one.wait)
    two.enter("S", 100, PRICE)
    checks.until(lambda: one.executions, trader.ANSWER_S, "they trade", one.wait)
    with open(options.session, "w", encoding="ascii") as file:
        file.write(one.client.session)
    log_off(one, two)


def test_go_on_in_the_same_session_with_the_order_that_was_left(options):
    one = log_in(options, session=named(options))
    equal([order.open for order in one.live()], [300], "shares of live orders")
    log_off(one)


def test_end_of_the_day(options):
    one = log_in(options, session=named(options))
    os.kill(options.pid, signal.SIGUSR2)
    checks.until(lambda: one.client.ended, 10, "End of Session", one.wait)
    checks.until(
        lambda: one.client.expected == one.client.server_next, 10, "the last messages", one.wait
    )
    equal(one.live(), [], "live orders")
    canceled, ended = answers(one)[-2:]
    equal((canceled.type, canceled.reason), ("C", "E"), "the order's end")
    equal((ended.type, ended.code), ("S", "E"), "the stream's last message")


def test_begin_another_day(options):
    before = named(options)
    equal(rejected(options, before), "S", "a login to the session of the day before")
    one = log_in(options)
    true(one.client.session != before, f"the session is {before} again")
    equal(one.client.first, 1, "the first message's number")
    told = answers(one)
    equal([(a.type, a.code) for a in told], [("S", "S")], "the stream so far")
    equal(one.next_urn, 1, "the next UserRefNum")
    urn = one.enter("S", 100, PRICE, tif="3")  # against the order that was left the day before
    equal(urn, 1, "UserRefNum")
    checks.until(lambda: len(answers(one)) == 3, trader.ANSWER_S, "answers", one.wait)
    accepted, canceled = answers(one)[1:]
    equal((accepted.type, accepted.urn), ("A", 1), "the first answer")
    equal((canceled.type, canceled.reason), ("C", "I"), "the second, as there is no order")
    log_off(one)


def test_refused_whichever_session_is_asked_for(options):
    equal(rejected(options, ""), "S", "a login to the current session")
    equal(rejected(options, named(options)), "S", "a login to the session by name")


def main():
    """One step."""
    steps = {
        "leave": test_leave_an_order_open_after_a_trade,
        "go_on": test_go_on_in_the_same_session_with_the_order_that_was_left,
        "end": test_end_of_the_day,
        "begin": test_begin_another_day,
        "refused": test_refused_whichever_session_is_asked_for,
    }
    parser = trader.arguments(__doc__.splitlines()[0])
    parser.add_argument("step", choices=steps)
    parser.add_argument("--session", required=True, help="file for the session's name")
    parser.add_argument("--pid", type=int, help="the gateway, which is told to end the day")
    options, report = parser.parse_args(), checks.Report()
    report.run(steps[options.step], options)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
