#!/bin/bash
# A client written from the specifications alone trades with the gateway and checks each answer; tshark's own
# MoldUDP64 dissector reads the feed.
. "$(dirname "$0")/lib.sh"
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
tshark_start sl-cl 'udp port 26477' "$work/feed.pcap"
sleep 0.5
client trade.py --user LOAD0:SECRET --user LOAD1:SECRET --slow
tshark_end
gateway_end || fail "the gateway stops with status 0"

released=$(message stopped shards 0 feed messages)
tshark -r "$work/feed.pcap" -d udp.port==26477,moldudp64 -T fields -e moldudp64.count \
    -e _ws.malformed -e _ws.expert.severity >"$work/dissected" 2>/dev/null
bad=$(awk -F'\t' '$2 != "" || $3 != ""' "$work/dissected" | wc -l)
seen=$(awk -F'\t' '{sum += $1} END {print sum + 0}' "$work/dissected")
check "tshark reads $(wc -l <"$work/dissected") feed packets without an error" \
    test "$bad" = 0 -a -s "$work/dissected"
# What went out before tshark listened is the day's listing: 7 messages with two symbols, sent at the start.
check "tshark counts the messages that the gateway sent ($seen of $released)" \
    test "$seen" -ge $((released - 7)) -a "$seen" -le "$released"
finish
