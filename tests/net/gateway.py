# SPDX-License-Identifier: MIT
"""A gateway in the lab that a test starts, kills and starts again, and what has to hold after it.

The sessions are kill9.py's, and so are the checks.
"""

import json
import os
import shutil
import signal
import subprocess
import time

import checks
import kill9
import ouch
import trader
import ufo

READY_S = 60.0
USERS = [("LOAD0", "SECRET"), ("LOAD1", "SECRET"), ("LOAD2", "SECRET")]


def arguments(description):
    """A parser with what the programs here need."""
    parser = trader.arguments(description)
    parser.add_argument("--gateway", required=True, help="the binary")
    parser.add_argument("--config", required=True)
    parser.add_argument("--journal", required=True, help="the folder that the configuration names")
    parser.add_argument("--work", required=True, help="folder for its output")
    parser.add_argument("--seed", type=int, default=1)
    return parser


class Gateway:
    """The process, in the lab's other namespace."""

    def __init__(self, options):
        self.options = options
        self.process = None
        self.log = os.path.join(options.work, "gateway.log")
        self.error_log = os.path.join(options.work, "gateway.err")

    def start(self, **environment):
        """Start it and wait; whether it became ready, which one that ends before does not."""
        command = ["ip", "netns", "exec", os.environ["LAB"] + "-gw", self.options.gateway, "run"]
        command += ["--config", self.options.config, "--json"]
        with open(self.log, "wb") as log, open(self.error_log, "wb") as error_log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                command, stdout=log, stderr=error_log, env={**os.environ, **environment}
            )
        deadline = time.monotonic() + READY_S
        while not self.dead and time.monotonic() < deadline:
            if self.messages("ready"):
                return True
            time.sleep(0.005)
        return False

    def start_again(self):
        """Start it as an operator does; anything but a normal start is a failure."""
        if not self.start():
            raise checks.Failure(f"it does not start again: status {self.wait(0)}, {self.errors()}")
        return self.messages("ready")[0]["shards"][0]["recovered"]

    @property
    def dead(self):
        """Whether it has ended."""
        return self.process.poll() is not None

    def send_signal(self, number):
        """Send a signal, as kill does."""
        self.process.send_signal(number)

    def wait(self, seconds):
        """Its exit status: -9 after a SIGKILL. None: it still runs."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self):
        """Make sure that it is gone."""
        if self.process and not self.dead:
            self.send_signal(signal.SIGKILL)
            self.wait(READY_S)

    def messages(self, event):
        """What it has said of one kind."""
        with open(self.log, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if line["event"] == event]

    def lines(self, beginning):
        """Lines of its standard error that begin so."""
        with open(self.error_log, encoding="utf-8") as file:
            return [line.rstrip() for line in file if line.startswith(beginning)]

    def errors(self):
        """Its standard error, without warnings and what fail_pwrite.c has to say."""
        aside = self.lines("sluice: warning: ") + self.lines("disk: ")
        return [line for line in self.lines("") if line not in aside]

    def vm_rss_kib(self):
        """Memory in use."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def forget(self):
        """Remove the journal: the next start begins a day."""
        shutil.rmtree(self.options.journal, ignore_errors=True)


class Until:
    """A stop for kill9.trade: the gateway is gone, or the time is over."""

    def __init__(self, gateway, seconds):
        self.gateway = gateway
        self.deadline = time.monotonic() + seconds

    @property
    def due(self):
        """Whether to stop."""
        return self.gateway.dead or time.monotonic() > self.deadline


class Ended(Exception):
    """The gateway was gone."""

    def __str__(self):
        return "the gateway has ended"


# What a check that fails raises.
WRONG = (checks.Failure, kill9.Lost, ufo.UfoError, ouch.OuchError, Ended)


class Worker(kill9.Worker):
    """A session that waits for nothing when the gateway is gone."""

    def __init__(self, gateway, user, seed):
        self.gateway = gateway
        super().__init__(gateway.options, user, seed)

    def poll(self, timeout=0.0):
        """Take in what has arrived."""
        if self.gateway.dead:
            raise Ended
        return super().poll(timeout)

    def _reconnect(self):
        """Not where there is nobody: what ended may have been silent for a while before."""
        if self.gateway.dead:
            raise Ended
        super()._reconnect()


def log_in(gateway, seed):
    """New sessions, which read their streams from the first message on."""
    return [Worker(gateway, user, f"{seed}/{user[0]}") for user in USERS]


def log_off(workers):
    """Give the sockets back."""
    for worker in workers:
        worker.client.close()


def trade(workers, stop, rate):
    """Trade until the gateway is gone or the stop is due; `rate` actions a second."""
    try:
        kill9.trade(workers, stop, rate)
    except Ended:
        for worker in workers:  # what came before it ended
            kill9.Worker.poll(worker)


def check_all(workers):
    """Every answer that there will be, and kill9's checks; the first that fails raises."""
    kill9.finish(workers)
    for name, test in list(vars(kill9).items()):
        if name.startswith("test_"):
            test(workers)
