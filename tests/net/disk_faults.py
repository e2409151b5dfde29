# SPDX-License-Identifier: MIT
"""A gateway on a disk that fails, or stalls (fail_pwrite.c), and kill9.py's checks afterwards.

    a failed write      answers stop at once, the gateway ends with one line, and starts again
    a file of no orders a spare or a snapshot that cannot be written ends nothing
    a stall             more comes than there is room for: memory stays as it is, what finds no
                        room is counted, and afterwards it goes on
"""

import random
import re
import signal
import sys
import time

import checks
import gateway as lab
import trader

RATE = 3000  # actions a second
REACHED_S = 10.0  # a write that does not come in so long does not come
AFTER_S = 0.2  # of trading after a restart
SEGMENT = "segment-????????????????"  # not one that is being made
EXIT_JOURNAL = 70
FAILED = (
    r"sluice: (?:shard 0: )?journal \S+: cannot write segment-\w+ at byte \d+: Input/output error; "
    r"nothing after record (\d+) was acknowledged; check the disk, and start again"
)

STALL_MS = 3000
STALL_AT = 300  # writes
FLOOD_DATAGRAMS = 2000  # in half of the stall: twice what there is room for
FLOOD_ORDERS = 24  # a datagram: as many as fit
RSS_GROWTH_KIB = 1024  # half of it is the spares' thread's buffer, touched for the first time
FLOOD_USER = ("LOAD9", "SECRET")
WIRE_LOST = "/sys/class/net/sl-cl/statistics/tx_dropped"  # before it reached the gateway's end


def environment(options, **disk):
    """For a gateway on such a disk."""
    return {"LD_PRELOAD": options.shim, **{f"PWRITE_{name}": str(disk[name]) for name in disk}}


def begin_day(gateway, **disk):
    """A gateway with an empty journal on such a disk, and its sessions."""
    gateway.forget()
    if not gateway.start(**environment(gateway.options, **disk)):
        raise checks.Failure(f"it does not start: {gateway.errors()}")
    return lab.log_in(gateway, gateway.options.seed)


def restart_and_check(gateway, workers):
    """A normal start, and nothing acknowledged is missing; the commands recovered."""
    recovered = gateway.start_again()
    for worker in workers:
        worker.recover()
    lab.trade(workers, lab.Until(gateway, AFTER_S), RATE)
    lab.check_all(workers)
    lab.log_off(workers)
    return recovered


# A failed write.


def last_words(gateway, status):
    """The gateway has ended with that status and one line; the last record that was durable."""
    checks.equal(gateway.wait(0), status, "exit status")
    checks.equal(gateway.lines("disk: "), ["disk: fails"], "the disk's fault")
    lines = gateway.errors()
    told = re.fullmatch(FAILED, lines[0]) if len(lines) == 1 else None
    checks.true(told is not None, f"its last words: {lines}")
    return int(told.group(1))


def fail_and_check(gateway, call, leaves):
    """The call-th write to a segment fails; what is recovered beyond the last acknowledgement."""
    workers = begin_day(gateway, FILES=SEGMENT, FAILS=call, LEAVES=leaves)
    lab.trade(workers, lab.Until(gateway, REACHED_S), RATE)
    durable = last_words(gateway, EXIT_JOURNAL)
    recovered = restart_and_check(gateway, workers)
    checks.true(recovered >= durable, f"{recovered} of {durable} commands recovered")
    if leaves == "nothing":
        checks.equal(recovered, durable, "commands recovered")
    return recovered - durable


def failed_writes(report, gateway):
    """Early and late, and with each thing that a failed write may leave."""
    draw = random.Random(gateway.options.seed)
    for low, high, leaves in (
        (60, 200, "nothing"),
        (200, 400, "half"),
        (400, 700, "all"),
        (700, 1500, "nothing"),
    ):
        call = draw.randint(low, high)
        name = f"EIO at a write that leaves {leaves}: no answer more, status 70, normal recovery"
        try:
            more = fail_and_check(gateway, call, leaves)
            report.ok(f"{name} (write {call})")
            print(f"note {more} commands recovered that were never acknowledged")
        except lab.WRONG as error:
            report.fail(name, f"write {call}: {error}")
        gateway.end()


def test_eio_at_the_very_first_write_is_no_start_and_the_next_one_is(gateway):
    """The header of the journal's first segment."""
    gateway.forget()
    disk = environment(gateway.options, FILES=SEGMENT, FAILS=1)
    checks.true(not gateway.start(**disk), "it starts")
    last_words(gateway, 1)
    checks.equal(gateway.start_again(), 0, "commands recovered")


# Files that hold no orders.


def go_on(gateway, **disk):
    """A write fails, and trading goes on."""
    workers = begin_day(gateway, **disk)
    lab.trade(workers, lab.Until(gateway, 1.0), RATE)
    checks.equal(gateway.lines("disk: "), ["disk: fails"], "the disk's fault")
    checks.true(not gateway.dead, f"it ended: {gateway.errors()}")
    for worker in workers:
        worker.recover()
    gateway.end()
    restart_and_check(gateway, workers)


def test_eio_in_a_spare_ends_nothing(gateway):
    """The next spare is made all the same."""
    go_on(gateway, FILES="segment-*.tmp", FAILS=12)


def test_eio_in_a_snapshot_ends_nothing(gateway):
    """The next snapshot is made all the same."""
    go_on(gateway, FILES="snapshot-*.tmp", FAILS=2)
    warnings = gateway.lines("sluice: warning: shard 0: no snapshot was made")
    checks.equal(warnings, [], "warnings after the restart")


# A stall.


class Flood(trader.Trader):
    """A session that sends more than there is room for."""

    def __init__(self, options):
        super().__init__(options.server, *FLOOD_USER, options.other, "AMZN")
        self.datagrams = [
            [self.order("B", 100, 10_000)[1] for _ in range(FLOOD_ORDERS)]
            for _ in range(FLOOD_DATAGRAMS)
        ]

    def fence(self):
        """Every answer that there will be. The query may find no room either: it is repeated."""
        for _ in range(5):
            self.query_count = 0
            self.query()
            deadline = time.monotonic() + 2
            while self.query_count > 0 and time.monotonic() < deadline:
                self.wait()
            if self.query_count == 0:
                return
        raise checks.Failure("no answer after the stall")

    def compare(self):
        """After a restart: every message is what it was."""
        had = list(self.client.stream)
        self.client.login()
        checks.true(self.client.accept_next > len(had), "the stream is shorter than it was")
        checks.true(self.client.fetch(1, len(had)) == had, "the stream is not what it was")


class UntilStall(lab.Until):
    """… or the disk stalls."""

    @property
    def due(self):
        """Whether to stop."""
        return super().due or bool(self.gateway.lines("disk: "))


def wire_lost():
    """Datagrams that found no room between the namespaces."""
    with open(WIRE_LOST, encoding="ascii") as file:
        return int(file.read())


class Stall:
    """Sessions that trade, a disk that stalls, and a flood while it does."""

    def __init__(self, gateway):
        self.gateway = gateway
        gateway.options.config = gateway.options.stall_config
        self.lost_before = wire_lost()
        self.workers = begin_day(gateway, FILES=SEGMENT, STALLS=STALL_AT, STALL_MS=STALL_MS)
        self.flood = Flood(gateway.options)
        lab.trade(self.workers, UntilStall(gateway, REACHED_S), RATE)
        self.rss_kib = []
        self.pour()

    def pour(self):
        """Evenly over half of the stall. There are no snapshots: they take memory, and give it back."""
        started, sent = time.monotonic(), 0
        self.rss_kib.append(self.gateway.vm_rss_kib())
        while "disk: goes on" not in self.gateway.lines("disk: "):
            checks.true(not self.gateway.dead, f"it ended: {self.gateway.errors()}")
            passed = (time.monotonic() - started) / (STALL_MS / 2000)
            checks.true(passed < REACHED_S, "the disk does not go on")
            while sent < min(passed, 1) * FLOOD_DATAGRAMS:
                self.flood.client.send(*self.flood.datagrams[sent])
                sent += 1
            self.rss_kib.append(self.gateway.vm_rss_kib())
            time.sleep(0.005)

    @property
    def datagrams(self):
        """All that were sent."""
        return sum(each.client.datagrams for each in (self.flood, *self.workers))

    def counters(self):
        """What the gateway says it has done."""
        self.gateway.send_signal(signal.SIGUSR1)
        checks.until(lambda: self.gateway.messages("counters"), 5, "counters")
        return self.gateway.messages("counters")[-1]


def test_in_a_stall_memory_does_not_grow(stall):
    """The rings are as large as they are."""
    growth = max(stall.rss_kib) - stall.rss_kib[0]
    print(f"note {growth} KiB more than the {stall.rss_kib[0]} KiB before, at most")
    checks.true(growth <= RSS_GROWTH_KIB, f"it grew by {growth} KiB")


def test_what_finds_no_room_is_counted_and_no_datagram_is_taken_in_part(stall):
    """Sent is taken and dropped; what was taken is answered."""
    stall.flood.fence()
    said, sent = stall.counters(), stall.datagrams
    dropped = said["ports"][0]["packets"]["rx_dropped"]
    verdicts = said["shards"][0]["entry"]["datagrams"]
    lost = wire_lost() - stall.lost_before
    print(f"note {sent} sent, {verdicts['taken']} taken, {dropped} dropped, {lost} lost before")
    checks.equal(sum(verdicts.values()) + dropped + lost, sent, "datagrams accounted for")
    if said["ports"][0]["mode"].startswith("dpdk"):  # the device keeps what the port has no room for
        checks.equal((dropped, lost), (0, 0), "datagrams dropped, and lost before")
    else:
        checks.true(dropped + verdicts["ring_full"] > FLOOD_DATAGRAMS // 10, "the flood found room")
    answered = {}
    for channel, urn in stall.flood.orders:
        checks.equal(channel, 0, "channel")
        datagram = (urn - 1) // FLOOD_ORDERS
        answered[datagram] = answered.get(datagram, 0) + 1
    checks.equal(set(answered.values()), {FLOOD_ORDERS}, "orders answered of a datagram")
    longest_ms = said["shards"][0]["longest_write_ns"] / 1e6
    checks.true(STALL_MS <= longest_ms < 2 * STALL_MS, f"the longest write is said to be of {longest_ms} ms")


def test_after_a_stall_it_goes_on(stall):
    """New orders are answered."""
    for worker in stall.workers:
        worker.recover()
    before = sum(len(worker.orders) for worker in stall.workers)
    lab.trade(stall.workers, lab.Until(stall.gateway, AFTER_S), RATE)
    checks.true(not stall.gateway.dead, f"it ended: {stall.gateway.errors()}")
    after = sum(len(worker.orders) for worker in stall.workers)
    checks.true(after > before + 100, f"{after - before} orders were accepted")


def test_nothing_acknowledged_before_in_or_after_a_stall_is_lost(stall):
    """By a kill -9."""
    stall.gateway.end()
    restart_and_check(stall.gateway, stall.workers)
    stall.flood.compare()


def main():
    """All of it."""
    parser = lab.arguments(__doc__.splitlines()[0])
    parser.add_argument("--shim", required=True, help="fail_pwrite.c, compiled")
    parser.add_argument("--stall-config", required=True, help="without snapshots")
    report, gateway = checks.Report(), lab.Gateway(parser.parse_args())
    try:
        failed_writes(report, gateway)
        for test in (
            test_eio_at_the_very_first_write_is_no_start_and_the_next_one_is,
            test_eio_in_a_spare_ends_nothing,
            test_eio_in_a_snapshot_ends_nothing,
        ):
            report.run(test, gateway)
            gateway.end()
        stall = Stall(gateway)
        report.run(test_in_a_stall_memory_does_not_grow, stall)
        report.run(test_what_finds_no_room_is_counted_and_no_datagram_is_taken_in_part, stall)
        report.run(test_after_a_stall_it_goes_on, stall)
        report.run(test_nothing_acknowledged_before_in_or_after_a_stall_is_lost, stall)
    finally:
        gateway.end()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
