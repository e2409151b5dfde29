# SPDX-License-Identifier: MIT
"""What has to come of the gateway's stay in the guest. Reads the report that init has written.

    python3 tests/numa/judge.py REPORT

A line "ok NAME" or "FAIL NAME: why" for each check. Where something is, is the kernel's word: the
files of /proc and /sys that init has copied. Where it should be: the node that its interface hangs
from, and the core in `sluice check --json`.
"""

import json
import re
import sys

ARENAS_A_NODE = {"huge": 3, "small": 1}  # a port's frames, a shard's rings, its book; its lane
QUEUES = ["0", "1"]  # of each interface


class Report:
    """init's records by name: a status and lines."""

    def __init__(self, path):
        self.records = {}
        lines = None
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file.read().splitlines():
                header = re.fullmatch(r"=== (\S+) (\d+)", line)
                if header:
                    lines = []
                    self.records[header[1]] = (int(header[2]), lines)
                elif lines is not None:
                    lines.append(line)

    def status(self, name):
        """The command's exit status."""
        return self.records[name][0]

    def lines(self, name):
        """What it printed."""
        return self.records[name][1]

    def words(self, name):
        """The same, in words."""
        return [line.split() for line in self.lines(name)]

    def json(self, name):
        """One object, warnings before it aside."""
        text = "\n".join(self.lines(name))
        return json.loads(text[text.index("{") :])

    def messages(self, name):
        """Objects, one a line."""
        return [json.loads(line) for line in self.lines(name) if line.startswith("{")]


def numbers(text):
    """A list as the kernel writes them: 0-1,3."""
    found = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


class Machine:
    """The nodes of cores and interfaces. Shard N is port N's, and port N is gwN."""

    def __init__(self, report):
        rows = report.words("machine")
        self.nodes = {int(row[1]): numbers(row[2]) for row in rows if row[0] == "node"}
        self.interfaces = {row[1]: int(row[2]) for row in rows if row[0] == "interface"}
        self.devices = {row[3]: row[1] for row in rows if row[0] == "interface"}

    def node_of(self, core):
        """The node of a core."""
        return next(node for node, cores in self.nodes.items() if core in cores)

    def near(self, number):
        """The node that shard or port `number` belongs on."""
        return self.interfaces[f"gw{number}"]


def threads_astray(machine, report, run):
    """Threads of the plan that are not where it says, or not on their interface's node."""
    wrong = []
    tasks = {}
    for name, last, allowed in report.words(f"{run}-threads"):
        tasks[name] = (numbers(allowed), int(last))
    loops = {last: cores for name, (cores, last) in tasks.items() if name.startswith("loop-")}
    for planned in report.json(f"{run}-plan")["threads"]:
        kind, number = planned["thread"].split()
        core = planned["core"]
        stands = tasks.get(f"journal-{number}") if kind == "journal" else (loops.get(core), core)
        if stands != ({core}, core):
            wrong.append(f"{planned['thread']} is not on core {core} alone: {stands}")
        elif machine.node_of(core) != machine.near(number):
            wrong.append(f"{planned['thread']} stands on node {machine.node_of(core)}")
    for name, (allowed, _) in tasks.items():
        if not name.startswith("loop-") and allowed & loops.keys():
            wrong.append(f"{name} may run on a core of {sorted(loops)}, where a loop spins")
    return wrong


def arenas_astray(machine, report, run):
    """Arenas that are not whole on their node, or not as many as a port and a shard have."""
    wrong = []
    arenas = {(node, pages): 0 for node in machine.nodes for pages in ARENAS_A_NODE}
    for line in report.lines(f"{run}-memory"):
        bound = re.search(r" bind:(\S+) ", line)
        if not bound:
            continue
        arenas[int(bound[1]), "huge" if " huge " in line else "small"] += 1
        if re.findall(r" N(\d+)=", line) != [bound[1]]:
            wrong.append(line)
    for (node, pages), count in arenas.items():
        if count != ARENAS_A_NODE[pages]:
            wrong.append(f"{count} arenas of {pages} pages on node {node}")
    return wrong


def rings_astray(machine, report, run):
    """Pages of AF_XDP rings that are not on the node of their socket's interface."""
    mappings = {}
    for line in report.lines(f"{run}-memory"):
        socket = re.search(r" file=socket:\[(\d+)\] ", line)
        if socket:
            mappings.setdefault(socket[1], []).append(line)
    # The ports were opened in order, and so were their descriptors: a socket for each queue.
    rows = sorted(report.words(f"{run}-sockets"), key=lambda row: int(row[0]))
    inodes = [inode for _, inode in rows if inode in mappings]
    sockets = len(machine.interfaces) * len(QUEUES)
    wrong = [] if len(inodes) == sockets else [f"{len(inodes)} sockets have rings"]
    for index, inode in enumerate(inodes):
        port = index // len(QUEUES)
        for line in mappings[inode]:
            if re.findall(r" N(\d+)=", line) != [str(machine.near(port))]:
                wrong.append(f"port {port}: {line}")
    return wrong


def interrupts_astray(machine, report, run, before):
    """Interrupts of queues that may go elsewhere than planned, or have since `before`."""
    wrong = []
    counts_before = {row[0]: row[3:] for row in report.words(before)}
    planned = {
        (row["interface"], str(row["queue"])): row["core"]
        for row in report.json(f"{run}-plan")["interrupts"]
    }
    received = {(interface, queue): 0 for interface in machine.interfaces for queue in QUEUES}
    for irq, allowed, name, *counts in report.words(f"{run}-interrupts"):
        device, way, queue = re.fullmatch(r"(\w+)-(\w+)\.(\d+)", name).groups()
        interface = machine.devices.get(device)
        if not interface:
            continue
        if numbers(allowed) != {planned.get((interface, queue))}:
            wrong.append(f"{interface}'s {way}.{queue} may go to {allowed}, planned is {planned}")
        # The first after a move still go the old way; a queue that seldom has any may not have had them.
        settled = int(counts_before[irq][planned.get((interface, queue), 0)]) > 0
        for core, (old, new) in enumerate(zip(counts_before[irq], counts)):
            grown = int(new) - int(old)
            if way == "input":
                received[interface, queue] += grown
            if grown > (0 if settled else 2) and core not in machine.nodes[machine.interfaces[interface]]:
                wrong.append(f"{interface}'s {way}.{queue} came {grown} times on core {core}")
    return wrong + [f"{name} had none" for name, count in received.items() if not count]


class Judge:
    """The checks, and how many failed."""

    def __init__(self, path):
        self.report = Report(path)
        self.machine = Machine(self.report)
        self.failures = 0

    def check(self, name, good, why):
        """ok or FAIL by a condition."""
        self.failures += not good
        print(f"ok {name}" if good else f"FAIL {name}: {why}")

    def equal(self, name, got, wanted):
        """The two are the same."""
        self.check(name, got == wanted, f"{got}, not {wanted}")

    def none(self, name, wrong):
        """Nothing is wrong."""
        self.check(name, not wrong, "; ".join(wrong))

    def found(self, name, wrong, sign):
        """What was done wrong on purpose is among what was found."""
        self.check(name, any(sign in line for line in wrong), f'no "{sign}" in {wrong}')

    def started(self, name, run):
        """It became ready, with the mode that the configuration asks for, as the kernel has it."""
        status, lines = self.report.records[f"{run}-start"]
        self.check(name, status == 0, "; ".join(lines))
        modes = [port["mode"] for port in self.report.json(f"{run}-ready")["ports"]]
        self.equal(f"{name}: both ports are bound zero-copy", modes, ["zerocopy"] * 2)

    def traded(self, name, *loads):
        """Every order was answered, and both sides of each execution were told."""
        wrong = []
        for load in loads:
            status, lines = self.report.records[load]
            if status != 0 or self.report.json(load)["executions"]["removed"] == 0:
                wrong.append(f"{load}: {[line for line in lines if 'problem' in line] or lines}")
        self.none(name, wrong)

    def placed(self, when, run, before):
        """Nothing has crossed."""
        where = (self.machine, self.report, run)
        threads, arenas = threads_astray(*where), arenas_astray(*where)
        rings, interrupts = rings_astray(*where), interrupts_astray(*where, before)
        self.none(f"threads stand where the plan says, near their interface{when}", threads)
        self.none(f"arenas' pages are all near their port's interface{when}", arenas)
        self.none(f"AF_XDP rings are near their interface{when}", rings)
        self.none(f"each queue's interrupts are handled near its interface{when}", interrupts)

    def configured(self):
        """`sluice configure`: before the first start, and after the last."""
        for verb in ("init", "check", "fini"):
            status, lines = self.report.records[f"configure-{verb}"]
            self.check(f"sluice configure {verb} does it", status == 0, "; ".join(lines))
        before, after = (self.report.lines(f"settings-{when}") for when in ("before", "after"))
        self.none("and puts everything back", sorted(set(before) ^ set(after)))

    def queued(self, when, record):
        """The orders that each queue of an interface has brought, by the kernel's count."""
        counts = {(row[0], row[1]): int(row[2]) for row in self.report.words(record)}
        names = [(interface, queue) for interface in self.machine.interfaces for queue in QUEUES]
        idle = [f"{name}: {counts}" for name in names if counts.get(name, 0) == 0]
        self.none(f"both queues of each interface bring orders{when}", idle)
        return counts

    def first(self):
        """A port and a shard on each node."""
        self.started("a gateway starts on two nodes", "first")
        self.traded("both shards trade at once", "first-load-0", "first-load-1")
        self.queued("", "first-queues")
        self.placed("", "first", "warm-interrupts")

    def links(self):
        """gw0 went down and up twice."""
        self.traded("while one link is down the other shard trades", "down-load-1")
        self.traded("a shard trades once its link is up again", "up-load-0")
        self.traded("a link that goes down and up under load loses nothing", "flap-load-0")
        said = "\n".join(self.report.lines("flap-errors"))
        told = "gw0: the link is down" in said and "gw0: the link is up" in said
        self.check("the gateway tells of its links", told, said)
        wrong = []
        counts = self.queued(" after it", "flap-queues")
        for port in self.report.json("flap-counters")["ports"]:
            packets = port["packets"]
            losses = ("rx_dropped", "rx_ring_full", "rx_invalid", "tx_invalid")
            on_queues = sum(counts[port["interface"], queue] for queue in QUEUES)
            received = {on_queues, port["xdp"]["redirect"], packets["received"]}
            if len(received) > 1 or any(packets[key] for key in losses):
                wrong.append(f"{on_queues} on its queues; {port}")
        self.none("every packet that was steered was received, zero-copy", wrong)

    def packets(self, record):
        """What the ports had received and sent at that moment."""
        ports = [port["packets"] for port in self.report.json(record)["ports"]]
        return tuple(sum(port[way] for port in ports) for way in ("received", "sent"))

    def captured(self):
        """A capture of the first life, from before the first packet until it is told to stop."""
        self.equal("a capture begins and ends in order", self.report.status("capture-end"), 0)
        report = self.report.json("capture-report")
        self.equal("it loses nothing", report["lost"], 0)
        before, joined = (self.packets(f"capture-counters-{when}") for when in ("before", "joined"))
        last, after = self.packets("flap-counters"), self.packets("capture-counters-after")
        self.equal(
            "it has everything that was received", report["received"], last[0] - joined[0]
        )
        # There are heartbeats while it joins, and while it leaves.
        least, most = last[1] - joined[1], after[1] - before[1]
        self.check(
            "and everything that was sent",
            least <= report["sent"] <= most,
            f"{report['sent']}, not {least} to {most}",
        )
        self.equal(
            "a replay of it ends in the state of the journal",
            self.report.json("capture-replay")["state_hash"],
            self.report.messages("killed-replay")[0]["state_hash"],
        )

    def killed(self):
        """SIGKILL, and a second life."""
        self.started("a gateway that was killed starts again", "again")
        self.equal(
            "it has recovered what a replay of each journal gives",
            [shard["recovered_hash"] for shard in self.report.json("again-ready")["shards"]],
            [replay["state_hash"] for replay in self.report.messages("killed-replay")],
        )
        self.traded("both shards trade after it", "again-load-0", "again-load-1")
        self.placed(" after it", "again", "first-interrupts")

    def stopped(self):
        """SIGTERM: what is left of both lives."""
        self.equal("it stops with status 0", self.report.status("again-stopped"), 0)
        shards = self.report.messages("again-stopped")[-1]["shards"]
        self.equal(
            "each journal replays to the state of its shard",
            [replay["state_hash"] for replay in self.report.messages("again-replay")],
            [shard["state_hash"] for shard in shards],
        )
        self.equal("each journal is sound", self.report.status("again-verify"), 0)
        told = [0 for _ in shards]
        for name in self.report.records:
            load = re.fullmatch(r"(?!wrong).*-load-(\d)", name)
            if load:
                told[int(load[1])] += self.report.json(name)["executions"]["removed"]
        executed = [shard["executions"] for shard in shards]
        self.equal("each shard executed what its clients were told", executed, told)

    def wrong(self):
        """The same checks where they must not be content."""
        where = (self.machine, self.report, "wrong")
        self.traded("a shard that was put on the wrong node trades", "wrong-load-1")
        self.found("its core is found", threads_astray(*where), "shard 1 stands on node 0")
        self.found("its memory is found", arenas_astray(*where), "5 arenas of huge pages on node 0")
        astray = interrupts_astray(*where, "wrong-interrupts-before")
        self.found("an interrupt on the wrong node is found", astray, "times on core 0")
        warnings = self.report.json("wrong-plan")["warnings"]
        self.found("sluice check warns of the core", warnings, "on node 0, its interface on node 1")


def main():
    """Each part of the story by itself: one that init did not come to fails alone."""
    try:
        judge = Judge(sys.argv[1])
    except (KeyError, OSError) as error:
        print(f"FAIL the guest boots: {error!r}")
        return 1
    for part in (
        judge.configured,
        judge.first,
        judge.links,
        judge.captured,
        judge.killed,
        judge.stopped,
        judge.wrong,
    ):
        try:
            part()
        except (KeyError, ValueError, IndexError) as error:
            judge.check(f"the part \"{part.__name__}\" was played", False, repr(error))
    judge.check("the guest comes to its end", "end" in judge.report.records, "it did not")
    return 1 if judge.failures else 0


if __name__ == "__main__":
    sys.exit(main())
