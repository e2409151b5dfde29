# SPDX-License-Identifier: MIT
"""Kills the gateway at each place of numa/crash.h and checks what kill9.py checks.

Each place has a journal of its own. What leads there is one of: the load, the day's first start, a
start on an existing journal, the load after such a start, the stop.
"""

import random
import signal
import sys
import time

import checks
import gateway as lab
import ufo

RATE = 3000  # actions a second
SLOW_RATE = 40  # … and so few that the journal has nothing to do between them
REACHED_S = 30.0  # a place that is not reached in so long is not reached
AFTER_S = 0.2  # of trading after the restart
STARTS = 5  # until one has as much to recover: a snapshot may have had nearly all

# What leads to places that plain load does not lead to.
WAYS = {
    "mark_unwritten": "slow load",
    "prime_submitted": "first start",
    "prime_unstarted": "first start",
    "recover_loaded": "next start",
    "recover_record": "next start",
    "recover_done": "next start",
    "recycle_cleared": "load after a start",  # a segment that is full has no tail to clear
    "stop_unmarked": "stop",
    "close_marked": "stop",
}

# How often places are passed before it is the last time, where it is not the first time; a number
# between these. The start counts as well: a day's listing is a dozen batches.
VISITS = {
    "mark_unwritten": (20, 40),
    "prime_submitted": (1, 12),
    "recover_record": (1, 100),
    "rename_unsynced": (1, 4),
    "snapshot_unfinished": (1, 1),
    **dict.fromkeys(("segment_unwritten", "segment_started"), (2, 5)),
    **dict.fromkeys(("spare_unmade", "spare_made"), (4, 7)),
    **dict.fromkeys(("create_allocated", "create_unnamed", "create_unsynced"), (4, 7)),
    **dict.fromkeys(("recycle_unrenamed", "recycle_renamed"), (1, 4)),
}
FREQUENT = ("batch_", "commands_", "event", "packet_")  # once a command, more or less
FREQUENT_VISITS = (100, 600)
SNAPSHOT_VISITS = (1, 3)


def visits_to(place, seed):
    """The visit that ends the gateway."""
    visits = (1, 1)
    if place in VISITS:
        visits = VISITS[place]
    elif place.startswith(FREQUENT):
        visits = FREQUENT_VISITS
    elif place.startswith("snapshot_"):
        visits = SNAPSHOT_VISITS
    return random.Random(f"{seed}/{place}").randint(*visits)


def must_die(gateway, seconds):
    """It ends within that time, by SIGKILL."""
    status = gateway.wait(seconds)
    if status is None:
        raise checks.Failure("the place was not reached")
    if status != -signal.SIGKILL:
        raise checks.Failure(f"it ended with status {status}: {gateway.errors()}")


def crash_in_start(gateway, crash):
    """A start that ends there."""
    if gateway.start(**crash):
        raise checks.Failure("the place was not reached")
    must_die(gateway, 0)


def log_in(gateway, seed):
    """Sessions; None when it died meanwhile."""
    try:
        return lab.log_in(gateway, seed)
    except (lab.Ended, ufo.UfoError):
        if not gateway.dead:
            raise
        return None


def trade_again(gateway, workers, seconds):
    """After a restart."""
    for worker in workers:
        worker.recover()
    lab.trade(workers, lab.Until(gateway, seconds), RATE)


def crash_by_the_way(gateway, way, crash, seed):
    """Until the gateway has died; the sessions that there are then."""
    if way == "first start":
        crash_in_start(gateway, crash)
        return None
    if not gateway.start(**({} if way.endswith(" start") else crash)):
        raise checks.Failure(f"it does not start: {gateway.errors()}")
    workers = log_in(gateway, seed)
    if workers is None or way in ("load", "slow load"):
        rate = RATE if way == "load" else SLOW_RATE
        lab.trade(workers or [], lab.Until(gateway, REACHED_S), rate)
        must_die(gateway, 0)
        return workers
    lab.trade(workers, lab.Until(gateway, 0.4), RATE)
    if way == "stop":
        gateway.send_signal(signal.SIGTERM)
        must_die(gateway, REACHED_S)
        return workers
    time.sleep(0.1)  # the snapshot of what was traded
    gateway.end()
    if way == "next start":
        for _ in range(STARTS):
            if not gateway.start(**crash):
                must_die(gateway, 0)
                return workers
            trade_again(gateway, workers, 0.1)
            gateway.end()
        raise checks.Failure("the place was not reached")
    if not gateway.start(**crash):
        raise checks.Failure(f"it does not start again: {gateway.errors()}")
    trade_again(gateway, workers, REACHED_S)
    must_die(gateway, 0)
    return workers


def crash_and_check(gateway, place, visits, options):
    """One place; what it says of itself."""
    seed = f"{options.seed}/{place}"
    gateway.forget()
    way = WAYS.get(place, "load")
    crash = {"SLUICE_CRASH": f"{place}:{visits}"}
    workers = crash_by_the_way(gateway, way, crash, seed)
    recovered = gateway.start_again()
    if workers is None:
        workers = lab.log_in(gateway, seed)
    for worker in workers:
        worker.recover()
    lab.trade(workers, lab.Until(gateway, AFTER_S), RATE)
    if gateway.dead:
        raise checks.Failure(f"it ended after the recovery: {gateway.errors()}")
    lab.check_all(workers)
    lab.log_off(workers)
    return f"{way}, visit {visits}, {recovered} commands recovered"


def main():
    """All places given."""
    parser = lab.arguments(__doc__.splitlines()[0])
    parser.add_argument("places", nargs="+", metavar="PLACE")
    options = parser.parse_args()
    report, gateway = checks.Report(), lab.Gateway(options)
    for place in options.places:
        visits = visits_to(place, options.seed)
        name = f"killed at {place}, it loses nothing that was acknowledged"
        started = time.monotonic()
        try:
            told = crash_and_check(gateway, place, visits, options)
            report.ok(f"{name} ({told}, {time.monotonic() - started:.1f} s)")
        except lab.WRONG as error:
            report.fail(name, f"visit {visits}: {error}")
        finally:
            gateway.end()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
