#!/bin/bash
# sluice ctl: who may do what, what it does to those who trade, and that it is journaled with the name of who did it.
. "$(dirname "$0")/lib.sh"
lab_up
sed -i 's|^control = .*|control = { socket = "'"$work"'/ctl"; viewers = "games"; operators = "adm"; risk = "staff"; };|' "$work/lab.conf"
sed -i 's|user = "LOAD0"; |&cancel_on_disconnect = "on"; |' "$work/lab.conf"
chmod 755 "$work"
gateway_start || exit 1
ctl() { "$sluice" ctl --config "$work/lab.conf" "$@"; }
# as GROUP WORDS…: as nobody, who is in that group.
as() {
    local group=$1
    shift
    setpriv --reuid 65534 --regid 65534 --groups "$(getent group "$group" | cut -d: -f3)" "$sluice" ctl \
        --config "$work/lab.conf" "$@" 2>"$work/ctl.err"
}
refused() { # NAME PATTERN COMMAND…
    local name=$1 pattern=$2
    shift 2
    if "$@" 2>"$work/ctl.err" >/dev/null; then fail "$name: it was not refused"; return; fi
    check "$name" grep -q "$pattern" "$work/ctl.err"
}

client ctl.py --config "$work/lab.conf" --sluice "$sluice" --user LOAD0:SECRET --user LOAD1:SECRET

as games stats >"$work/stats" || true
check "a viewer sees the counters" grep -q durable_seq "$work/stats"
refused "and may not halt" 'not one of the operators' as games halt
check "an operator may" as adm halt ACME
check "and resume" as adm resume ACME
refused "but not kill" 'in charge of risk' as adm kill all
check "risk may kill" as staff kill session LOAD9
refused "and may not halt either" 'not one of the operators' as staff halt
refused "who is in none of the groups may nothing" 'in none of the groups' as mail stats
refused "nor whatever else he asks for" 'in none of the groups' as mail kill all
python3 - "$work/ctl" <<'PYTHON' && ok "and is told so before he has asked"
import os, socket, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
    s.connect(sys.argv[1])
    assert b"in none of the groups" in s.recv(1000)
PYTHON
[ $? = 0 ] || fail "and is told so before he has asked"
refused "a symbol that there is not" 'no symbol "NONE" here' ctl halt NONE
refused "a session that there is not" 'no session "NOBODY" here' ctl kill session NOBODY
refused "a kill of a firm that there is not" 'no session is of the firm "alfa"' ctl kill firm alfa
refused "a session in a symbol" 'usage' ctl kill session LOAD0 symbol ACME
refused "a firm in a symbol that there is not" 'no symbol "NONE" here' ctl disable firm ALFA symbol NONE
refused "a limit that there is not" 'no limit of a firm' ctl limit firm ALFA speed 3
refused "a limit of a firm that there is not" 'no session is of the firm' ctl limit firm NONE gross 3
refused "a limit for a symbol that is a firm's" 'no limit of a symbol' ctl limit symbol ACME gross 3
refused "a limit below nothing" 'an amount like' ctl limit firm ALFA gross -3
refused "a switch that is neither on nor off" 'is 0 or 1' ctl limit firm ALFA no_short 2
check "risk may set limits" as staff limit firm ALFA orders_per_trade 1000
refused "and operators may not" 'in charge of risk' as adm limit firm ALFA gross 3
refused "a kill of nothing" 'usage' ctl kill
refused "a firm that is too long" '1 to 4 characters' ctl kill firm ABCDE
refused "a scope that is none" 'does not go with' ctl kill colour red
check "counters are JSON as well" sh -c "'$sluice' ctl --config '$work/lab.conf' --json stats | python3 -c 'import json, sys; assert json.load(sys.stdin)[\"stats\"][\"shards\"]'"
python3 - "$work/ctl" <<'PYTHON' && ok "what is not a request is answered with why, and the next one is served"
import json, socket, sys
for request in (b"", b"\xff" * 4096, b"{", b"[]", b'{"do": 7}', b'{"do": "kill"}', b'{"do": "halt", "symbol": {}}',
                b'{"do": "stats", "do": "kill", "all": true}', b'{"do": "kill", "all": true, "firm": "ALFA"}',
                b'{"do": "kill", "session": "LOAD9", "all": 1}'):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(sys.argv[1])
        s.send(request)
        answer = s.recv(65536) if request else b'{"ok": false}'
        assert json.loads(answer)["ok"] is False, (request, answer)
PYTHON
[ $? = 0 ] || fail "what is not a request is answered with why"
check "a symbol is closed" ctl phase closed AMZN
refused "and cannot be resumed" 'AMZN is closed' ctl resume AMZN
refused "and comes to no late period" 'AMZN is closed' ctl phase late AMZN
# If it waited a second for each of them, it would wait for forty.
python3 - "$work/ctl" "$sluice" "$work/lab.conf" <<'PYTHON' && ok "those who say nothing keep nobody waiting"
import socket, subprocess, sys, time
began, silent = time.monotonic(), []
for _ in range(40):
    silent.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    silent[-1].connect(sys.argv[1])
subprocess.run([sys.argv[2], "ctl", "--config", sys.argv[3], "halt", "ACME"], check=True)
assert time.monotonic() - began < 20
PYTHON
[ $? = 0 ] || fail "those who say nothing keep nobody waiting"
check "the day is closed" ctl close-day
refused "and nothing resumes" 'the day of shard 0 is over' ctl resume
gateway_end
check "its orders ended with it" test "$(message stopped shards 0 resting_orders)" = 0
"$sluice" journal dump "$work/journal/shard-0" >"$work/dump"
check "the usage has every phase" sh -c "'$sluice' ctl 2>&1 | grep -q 'preopen|trading|halted|quotation|paused|closed|late'"
check "who did it is journaled" grep -q 'trading instrument 0 state H by uid 65534, pid' "$work/dump"
check "and of a kill" grep -qE 'mass_cancel session 65535 .* by uid 65534, pid' "$work/dump"
check "and of the day's end" grep -q ' close by uid 0, pid' "$work/dump"
check "and of a limit" grep -qE 'limit firm ALFA gross [0-9]+ by uid 0, pid' "$work/dump"
check "and of a cancel on disconnect" grep -qE 'mass_cancel .* by cancel on disconnect' "$work/dump"
check "each reason of a rejection is counted" test "$(message stopped shards 0 entry rejected 0x0031)" = 1
check "and the cancels of who was gone" test "$(message stopped shards 0 entry disconnect_cancels)" -ge 1
check "the journal replays to the gateway's state" test "$(replay | field state_hash)" = "$(message stopped shards 0 state_hash)"
refused "a gateway that does not run" 'does the gateway run' ctl stats
finish
