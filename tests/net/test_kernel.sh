#!/bin/bash
# What is not for a shard is the kernel's as before: ARP, ICMP, TCP, other UDP ports.
. "$(dirname "$0")/lib.sh"
not_on_dpdk "what is not for a shard: a DPDK device has everything, and gives nothing to the kernel"
lab_up
gateway_start || { fail "the gateway starts"; exit 1; }
$in_gw python3 -c '
import socket
s = socket.create_server(("10.77.0.1", 2222)); s.settimeout(10)
c, _ = s.accept(); c.sendall(c.recv(100).upper())' &
server=$!
for _ in $(seq 100); do $in_gw ss -Htln 'sport = 2222' | grep -q . && break; sleep 0.1; done
check "a TCP connection to the same address works" $in_cl python3 -c '
import socket
c = socket.create_connection(("10.77.0.1", 2222), 5); c.sendall(b"ssh"); assert c.recv(100) == b"SSH"'
wait $server
check "another UDP port answers with ICMP port unreachable" $in_cl python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect(("10.77.0.1", 9)); s.send(b"x")
try:
    s.recv(10); raise SystemExit(1)
except ConnectionRefusedError:
    pass'
ip -n $LAB-cl neigh del 10.77.0.1 dev sl-cl
check "ARP is answered" $in_cl python3 -c '
import socket, subprocess
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("10.77.0.1", 9))
import time; time.sleep(0.5)
out = subprocess.run(["ip", "neigh", "show", "10.77.0.1"], capture_output=True, text=True).stdout
assert "lladdr 02:00:0a:4d:00:01" in out, out'
gateway_end || fail "the gateway stops with status 0"
passed_up=$(message stopped ports 0 xdp pass_protocol)
check "the program counted them ($passed_up)" test "$passed_up" -gt 3
finish
