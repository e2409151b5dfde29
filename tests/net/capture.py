#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is in captures.

capture.py count FILE… [--to PORT] [--from PORT]     packets of all files, of UDP from or to a port
capture.py same WIRE TAP        every order and answer on the wire is in the tap, whole, in order
capture.py order TAP            times never go back, and lie within the last minute
capture.py merged TAP PORT…     both UDP ports are in it, each in order, and mixed with the other
"""

import argparse
import struct
import sys
import time

NANOSECONDS = 0xA1B23C4D
ORDER_PORT = 26400


def packets(path):
    """(ns since 1970, frame) of a nanosecond pcap, which has to be whole."""
    with open(path, "rb") as file:
        data = file.read()
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    assert (magic, major, minor, link) == (NANOSECONDS, 2, 4, 1), "a nanosecond pcap of Ethernet"
    found, at = [], 24
    while at < len(data):
        seconds, nanoseconds, captured, size = struct.unpack_from("<IIII", data, at)
        assert nanoseconds < 10**9 and captured == size and at + 16 + size <= len(data)
        found.append((seconds * 10**9 + nanoseconds, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found


def udp_ports(frame):
    """(source, destination) of a UDP packet without options, else (0, 0)."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return 0, 0
    return struct.unpack_from(">HH", frame, 34)


def count(options):
    """Packets, of certain ports."""
    total = 0
    for path in options.files:
        for _, frame in packets(path):
            source, destination = udp_ports(frame)
            total += options.to in (0, destination) and options.source in (0, source)
    print(total)


def same(options):
    """Both directions of order entry, frame by frame. The tap may begin later."""
    wire, tap = options.files
    for index, what in enumerate(("answers", "orders")):
        sides = [
            [frame for _, frame in packets(path) if udp_ports(frame)[index] == ORDER_PORT]
            for path in (wire, tap)
        ]
        assert len(sides[0]) > 1000, f"{len(sides[0])} {what} on the wire"
        assert sides[0] == sides[1], f"{what}: {len(sides[0])} on the wire, {len(sides[1])} in the tap"


def order(options):
    """The times."""
    times = [time_ns for time_ns, _ in packets(options.files[0])]
    assert times == sorted(times), "times go back"
    assert time.time_ns() - 60 * 10**9 < times[0] <= times[-1] <= time.time_ns()
    assert len({time_ns % 1000 for time_ns in times}) > 100, "not nanoseconds"


def merged(options):
    """Each port's own packets are in order; those of both are mixed, nearly in order."""
    found = packets(options.files[0])
    ports = [int(port) for port in options.files[1:]]
    for port in ports:
        times = [time_ns for time_ns, frame in found if port in udp_ports(frame)]
        assert len(times) > 1000, f"{len(times)} of port {port}"
        assert times == sorted(times), f"port {port}: times go back"
    back = sum(found[i][0] < found[i - 1][0] for i in range(1, len(found)))
    whose = [next((p for p in ports if p in udp_ports(frame)), 0) for _, frame in found]
    mixed = sum(whose[i] != whose[i - 1] for i in range(1, len(found)))
    print(f"note {len(found)} packets, {mixed} changes of port, {back} times out of order")
    assert mixed > 1000 and back < len(found) / 20


def main():
    """One of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["count", "same", "order", "merged"])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--to", type=int, default=0)
    parser.add_argument("--from", type=int, default=0, dest="source")
    options = parser.parse_args()
    globals()[options.what](options)


if __name__ == "__main__":
    sys.exit(main())
