# SPDX-License-Identifier: MIT
"""A small test runner: named functions, `ok NAME` or `FAIL NAME: why`, a last line of totals."""

import time
import traceback


class Failure(Exception):
    """A check did not hold."""


def equal(got, wanted, what):
    """The two are the same."""
    if got != wanted:
        raise Failure(f"{what}: got {got!r}, expected {wanted!r}")


def true(condition, what):
    """The condition holds."""
    if not condition:
        raise Failure(what)


def fields(record, what, **wanted):
    """Every named field of a decoded message has the given value."""
    for name, value in wanted.items():
        equal(getattr(record, name), value, f"{what}: {name} of {record}")


def until(condition, timeout, what, step=lambda: time.sleep(0.01)):
    """Repeat `step` until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {timeout} s")
        step()


def _name(test):
    return test.__name__.removeprefix("test_").replace("_", " ")


class Report:
    """Counts what passed and what failed, and says so."""

    def __init__(self):
        self.passed = self.failed = 0

    def ok(self, name):
        """A test passed."""
        self.passed += 1
        print(f"ok {name}", flush=True)

    def fail(self, name, why):
        """A test failed."""
        self.failed += 1
        print(f"FAIL {name}: {why}", flush=True)

    def check(self, condition, name, why=""):
        """ok or FAIL by a condition."""
        if condition:
            self.ok(name)
        else:
            self.fail(name, why)

    def run(self, test, *arguments):
        """One test function; its name is its sentence."""
        try:
            test(*arguments)
        except Exception as error:  # whatever it is, the next test runs all the same
            frame = traceback.extract_tb(error.__traceback__)
            place = next((f for f in reversed(frame) if f.name == test.__name__), frame[-1])
            self.fail(_name(test), f"{type(error).__name__}: {error} (line {place.lineno})")
        else:
            self.ok(_name(test))

    def finish(self):
        """The last line; the exit status."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0
