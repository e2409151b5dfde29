#!/bin/bash
# sluice replay --interface: a recording goes back on the wire, whole, in order, at the pace asked for.
. "$(dirname "$0")/lib.sh"
not_on_dpdk "a recording on the wire: no gateway has a part in it"
lab_up
python3 - "$work/orders.pcap" <<'PYTHON'
import random, struct, sys
random.seed(3)
out = open(sys.argv[1], "wb")
out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))  # nanoseconds
at = 1_700_000_000_000_000_000
for n in range(2000):
    at += random.randint(1_000, 1_000_000)
    payload = struct.pack(">I", n) + bytes(random.randrange(256) for _ in range(random.randint(14, 1400)))
    udp = struct.pack(">HHHH", 40000, 26400, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes((10, 77, 0, 2)), bytes((10, 77, 0, 1)))
    total = sum(struct.unpack(">10H", ip))
    ip = ip[:10] + struct.pack(">H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + ip[12:]
    frame = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x08\0" + ip + udp
    out.write(struct.pack("<IIII", at // 10**9, at % 10**9, len(frame), len(frame)) + frame)
PYTHON
tshark_start sl-gw 'udp port 26400' "$work/back.pcap"
$in_cl "$sluice" replay --json --interface sl-cl --hgrm "$work/late.hgrm" "$work/orders.pcap" >"$work/recorded.json" 2>"$work/err"
tshark_end
check "it sends every packet" test "$(field packets <"$work/recorded.json")" = 2000
check "they arrive, whole and in order" sh -c "[ \"\$(tshark -r '$work/back.pcap' -T fields -e udp.payload 2>/dev/null | md5sum)\" = \"\$(tshark -r '$work/orders.pcap' -T fields -e udp.payload 2>/dev/null | md5sum)\" ]"
check "it takes no less than the recorded second" \
    python3 -c "import json; r = json.load(open('$work/recorded.json')); assert r['seconds'] >= r['seconds_asked'] > 0.9"
check "how late they were is a histogram" grep -q 'Total count *= *2000' "$work/late.hgrm"
echo "note $(cat "$work/recorded.json")"

$in_cl "$sluice" replay --json --interface sl-cl --pace 10 --loops 3 "$work/orders.pcap" >"$work/fast.json"
check "ten times the pace, three times over" \
    python3 -c "import json; r = json.load(open('$work/fast.json')); assert r['packets'] == 6000 and r['seconds'] >= r['seconds_asked'] and 0.27 < r['seconds_asked'] < 0.33"
$in_cl "$sluice" replay --json --interface sl-cl --pace full --loops 20 "$work/orders.pcap" >"$work/full.json"
check "as fast as it goes" test "$(field packets <"$work/full.json")" = 40000
echo "note $(cat "$work/full.json")"
# To somebody else, from somebody else.
tshark_start sl-gw 'udp port 26400' "$work/other.pcap"
$in_cl "$sluice" replay --json --interface sl-cl --pace full --source 02:00:0a:4d:00:02,10.77.0.9:41000 \
    --destination 02:00:0a:4d:00:01,10.77.0.1 "$work/orders.pcap" >"$work/rewritten.json"
tshark_end
ends() { tshark -r "$1" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -T fields -e eth.src -e eth.dst -e ip.src \
    -e ip.dst -e udp.srcport -e udp.dstport -e ip.checksum.status -e udp.checksum.status 2>/dev/null | sort | uniq -c; }
check "addresses are rewritten, checksums with them" test "$(ends "$work/other.pcap" | tr -s ' \t' ' ')" = \
    " 2000 02:00:0a:4d:00:02 02:00:0a:4d:00:01 10.77.0.9 10.77.0.1 41000 26400 1 1"
check "and what they carry stays" sh -c "[ \"\$(tshark -r '$work/other.pcap' -T fields -e udp.payload 2>/dev/null | md5sum)\" = \"\$(tshark -r '$work/orders.pcap' -T fields -e udp.payload 2>/dev/null | md5sum)\" ]"
check "an end that is none is refused" sh -c "! '$sluice' replay --interface lo --source 10.77 '$work/orders.pcap' 2>/dev/null"
check "an interface that is not there is refused" \
    sh -c "! $in_cl '$sluice' replay --interface nosuch0 '$work/orders.pcap' 2>/dev/null"
for pace in fast nan inf 0 -1 1e-300; do
    check "a pace of $pace is refused" sh -c "! '$sluice' replay --interface lo --pace $pace '$work/orders.pcap' 2>/dev/null"
done
finish
