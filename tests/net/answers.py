#!/usr/bin/env python3
"""answers.py LIVE.pcap TAPE.pcap: the UFO streams of both, by session, hold the same messages.

LIVE is what passed a client's interface, TAPE what a tape port sent. Packets may be cut differently, so messages are
compared by their sequence numbers, without their time stamps."""
import struct
import subprocess
import sys
from collections import defaultdict

ORDER_PORT = 26400


def streams(path):
    fields = subprocess.run(["tshark", "-r", path, "-Y", f"udp.srcport == {ORDER_PORT}", "-T", "fields", "-e",
                             "udp.dstport", "-e", "udp.payload"], capture_output=True, text=True, check=True).stdout
    found = defaultdict(dict)
    for line in fields.splitlines():
        client, payload = line.split("\t")
        payload = bytes.fromhex(payload.replace(":", ""))
        if payload[:1] != b"S":
            continue
        sequence, count = struct.unpack(">IH", payload[1:7])
        at = 7
        for number in range(sequence, sequence + count):
            size = struct.unpack(">H", payload[at:at + 2])[0]
            message = payload[at + 2:at + 2 + size]
            found[client][number] = message[:1] + message[9:]  # OUCH: type, time stamp (8), the rest
            at += 2 + size
    return found


live, tape = streams(sys.argv[1]), streams(sys.argv[2])
assert live and live.keys() == tape.keys(), (live.keys(), tape.keys())
for client, messages in live.items():
    assert messages == tape[client], next(
        (client, number, message, tape[client].get(number))
        for number, message in messages.items() if message != tape[client].get(number))
    assert len(messages) > 1000
