#!/usr/bin/python3
# Plays ethtool(8) for a NIC with everything: 8 channels, ntuple filters, an RSS table of 16 entries, coalescing. It keeps
# its state beside itself in nic.json, prints what ethtool 6.1 prints, and has the habits of real drivers: the table is
# made anew when channels change and when ntuple is switched on, channels that a rule or a table uses cannot be taken
# away, and rules go when ntuple is switched off.
import json
import os
import sys

STATE = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "nic.json")
SIZE = 16


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def default(count):
    return [i % count for i in range(SIZE)]


def show(nic, what):
    if what == "-l":
        print("Channel parameters for nic:\nPre-set maximums:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t8")
        print("Current hardware settings:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t%d" % nic["channels"])
    elif what == "-k":
        print("Features for nic:")
        for name, value in nic["features"].items():
            print("%s: %s" % (name, value))
    elif what == "-c":
        print("Coalesce parameters for nic:\nAdaptive RX: %s  TX: off\nstats-block-usecs: n/a\n" % nic["adaptive-rx"])
        print("rx-usecs: %s\nrx-frames: n/a\n" % nic["rx-usecs"])
    elif what == "-n":
        print("%d RX rings available\nTotal %d rules\n" % (nic["channels"], len(nic["rules"])))
        for place, (address, port, queue) in sorted(nic["rules"].items(), key=lambda rule: int(rule[0])):
            print("Filter: %s\n\tRule Type: UDP over IPv4\n\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255" % place)
            print("\tDest IP addr: %s mask: 0.0.0.0\n\tTOS: 0x0 mask: 0xff\n\tSrc port: 0 mask: 0xffff" % address)
            print("\tDest port: %s mask: 0x0\n\tAction: Direct to queue %s\n" % (port, queue))
    elif what == "-x":
        print("RX flow hash indirection table for nic with %d RX ring(s):" % nic["channels"])
        for i in range(0, SIZE, 8):
            print("%5d: %s" % (i, "".join(" %5d" % queue for queue in nic["table"][i:i + 8])))
        print("RSS hash key:\nOperation not supported\nRSS hash function:\n    toeplitz: on")
    else:
        fail("ethtool: bad command line argument(s)")


def set_channels(nic, words):
    count = int(words[words.index("combined") + 1])
    if nic["table"] != default(nic["channels"]) and max(nic["table"]) >= count:
        fail("netlink error: requested channel counts are too low for existing indirection table settings")
    if any(rule[2] >= count for rule in nic["rules"].values()):
        fail("netlink error: requested channel counts are too low for existing ntuple filter settings")
    nic["channels"], nic["table"] = count, default(count)


def set_feature(nic, name, value):
    full = {"gro": "generic-receive-offload", "lro": "large-receive-offload", "rxvlan": "rx-vlan-offload",
            "ntuple": "ntuple-filters"}.get(name, name)
    if "fixed" in nic["features"][full]:
        fail("Actual changes:\nCould not change any device features")
    nic["features"][full] = value
    if full == "ntuple-filters" and value == "off":
        nic["rules"] = {}
    if full == "ntuple-filters" and value == "on":
        nic["table"] = default(nic["channels"])


def set_rule(nic, words):
    if nic["features"]["ntuple-filters"] != "on":
        fail("rmgr: Cannot insert RX class rule: Operation not supported")
    if words[0] == "delete":
        del nic["rules"][words[1]]
        return
    value = dict(zip(words[0::2], words[1::2]))
    assert value["flow-type"] == "udp4"
    place = value.get("loc") or str(max(i for i in range(1024) if str(i) not in nic["rules"]))
    if int(value["action"]) >= nic["channels"] or place in nic["rules"]:
        fail("rmgr: Cannot insert RX class rule: Invalid argument")
    nic["rules"][place] = [value["dst-ip"], value["dst-port"], int(value["action"])]
    print("Added rule with ID " + place)


def set_table(nic, words):
    if words[0] == "default":
        nic["table"] = default(nic["channels"])
    elif words[0] == "equal":
        start = int(words[3]) if len(words) > 2 else 0
        nic["table"] = [start + i % int(words[1]) for i in range(SIZE)]
    else:
        weights = [int(word) for word in words[1:]]
        assert sum(weights) <= SIZE
        queue, partial = -1, 0
        for i in range(SIZE):
            while i >= SIZE * partial // sum(weights):
                queue += 1
                partial += weights[queue]
            nic["table"][i] = queue
    if max(nic["table"]) >= nic["channels"]:
        fail("Cannot set RX flow hash configuration: Invalid argument")


def main():
    what, words = sys.argv[1], sys.argv[3:]
    with open(STATE) as file:
        nic = json.load(file)
    if what in ("-L", "-K", "-C", "-N", "-X"):
        if what == "-L":
            set_channels(nic, words)
        elif what == "-K":
            set_feature(nic, *words)
        elif what == "-C":
            if words[0] == "rx-usecs" and nic["adaptive-rx"] == "on":
                fail("netlink error: Operation not permitted")
            nic[words[0]] = words[1]
        elif what == "-N":
            set_rule(nic, words)
        else:
            set_table(nic, words)
        with open(STATE, "w") as file:
            json.dump(nic, file)
    else:
        show(nic, what)


main()
