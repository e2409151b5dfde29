#!/bin/bash
# 100,000 malformed packets of every kind from a raw socket: each is counted by what was wrong with it, none is
# answered, a stranger's do not reach the gateway, and a good session trades undisturbed meanwhile.
. "$(dirname "$0")/lib.sh"
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
client garbage.py --seed "${SEED:-$RANDOM}" --user LOAD0:SECRET --user LOAD1:SECRET
gateway_end || fail "the gateway stops with status 0"
python3 - "$work/garbage.log" "$work/gateway.log" <<'PYTHON' || failures=$((failures + 1))
import json, sys
sent = next(json.loads(line) for line in open(sys.argv[1]) if line.startswith("{"))
stopped = next(value for value in map(json.loads, open(sys.argv[2])) if value["event"] == "stopped")
# Over DPDK there is no program: the port receives everything, the parser gives the same verdicts, and order entry
# finds out who is not bound.
dpdk = stopped["ports"][0]["mode"].startswith("dpdk")
xdp = stopped["ports"][0]["parsed" if dpdk else "xdp"]
received = sum(xdp.values()) if dpdk else xdp["redirect"]
# net_af_packet has the kernel put fragments together (PACKET_FANOUT_FLAG_DEFRAG): a lone one never comes.
never_came = sent["reasons"]["drop_fragment"] if dpdk else 0
datagrams = stopped["shards"][0]["entry"]["datagrams"]
dropped = sum(n for name, n in xdp.items() if name.startswith("drop_"))
refused = sum(n for name, n in datagrams.items() if name != "taken")
strangers = sent["xdp_stranger"]
to_drop, to_refuse = sent["xdp_drop"] - never_came, sent["redirected_bad"]
if dpdk:
    to_refuse += strangers
else:
    to_drop += strangers
failed = 0
for name, got, wanted in (
        ("every packet that was to be dropped before the gateway's own protocols was, and counted", dropped, to_drop),
        ("every bad datagram that reached the gateway was refused, and counted", refused, to_refuse),
        ("a stranger's packets were dropped as such", xdp["drop_not_bound"], 0 if dpdk else strangers),
        ("none of them reached order entry", 0 if dpdk else datagrams["not_bound"], 0),
        ("every packet received has its verdict" if dpdk else "every redirected packet was received",
         stopped["ports"][0]["packets"]["received"], received),
        ("nothing was lost for want of room", stopped["ports"][0]["packets"]["rx_dropped"], 0)):
    failed += got != wanted
    print(f"ok {name} ({got})" if got == wanted else f"FAIL {name}: {got}, expected {wanted}")
print("note xdp", {name: n for name, n in xdp.items() if n})
print("note entry", {name: n for name, n in datagrams.items() if n})
sys.exit(failed)
PYTHON
finish
