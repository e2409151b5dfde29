#!/bin/bash
# A journal's state at a record or a time of day (sluice replay --until, --at), on the golden journal; and the bar that
# sluice journal verify draws on a terminal.
. "$(dirname "$0")/lib.sh"
mkdir "$work/golden"
tar -xzf tests/golden/journal-v1.tar.gz -C "$work/golden"
make -s -j2 B="$B" "$B/sluice" || exit 1

refused() { # PATTERN ARGUMENT…: with a line that fits the pattern
    ! "$B/sluice" replay "${@:2}" >"$work/out" 2>&1 && grep -q "$1" "$work/out" && [ "$(wc -l <"$work/out")" = 1 ] ||
        { cat "$work/out" >&2 && return 1; }
}
replay() { # ARGUMENT…: commands, the events' hash and the state's
    "$B/sluice" replay --json "$@" "$work/golden" | python3 -c 'import json, sys
result = json.load(sys.stdin)
print(result["commands"], result["event_hash"], result["state_hash"])'
}
same() { # A B: and something
    [ -n "$1" ] && [ "$1" = "$2" ] || { echo "'$1' and '$2'" >&2 && return 1; }
}
events() { # ARGUMENT…: a line each, the number of the command first
    "$B/sluice" replay --events --json "$@" "$work/golden" | grep -v '^{'
}

all=$(replay)
count=${all%% *}
events >"$work/events"
"$B/sluice" journal dump --json "$work/golden" >"$work/dump"
state() { cut -d' ' -f3 <<<"$1"; }

until_is_a_prefix() { # SEQ
    events --until "$1" >"$work/until"
    awk -v last="$1" '$1 <= last' "$work/events" >"$work/prefix"
    [ -s "$work/prefix" ] && cmp "$work/until" "$work/prefix" && [ "$(replay --until "$1" | cut -d' ' -f1)" = "$1" ]
}
check "--until gives the events of the records up to it, and no other" until_is_a_prefix 1000
check "… of the first record but one too" until_is_a_prefix 2
check "--until the last record is the whole day" same "$(replay --until "$count")" "$all"
check "… and so is one beyond it" same "$(replay --until $((count + 1)))" "$all"
check "one record fewer is another state" test "$(state "$(replay --until $((count - 1)))")" != "$(state "$all")"

# Record 1000's time of day and the nanosecond before it, and the number of the last record that came no later than each.
read -r at last before last_before < <(python3 - "$work/dump" <<'END'
import json, sys
times = [json.loads(line)["time_ns"] for line in open(sys.argv[1])]
day = 86400 * 10**9  # the journal's midnight is that of UTC
text = lambda ns: "%02d:%02d:%02d.%09d" % (ns // 3600 // 10**9, ns // 60 // 10**9 % 60, ns // 10**9 % 60, ns % 10**9)
time = times[999]
print(text(time % day), sum(t <= time for t in times), text(time % day - 1), sum(t < time for t in times))
END
)
check "--at gives the state of the last record that came no later" same "$(replay --at "$at")" "$(replay --until "$last")"
check "… and not a nanosecond before it" same "$(replay --at "$before")" "$(replay --until "$last_before")"
check "--at a whole second leaves out what came after it" same "$(replay --at 10:30:00 | cut -d' ' -f1)" \
    "$(grep -c '"time_ns":1767609000000000000,' "$work/dump")"
check "--at the end of the day is the whole day" same "$(replay --at 23:59:59)" "$all"
check "the earlier of --until and --at counts" same "$(replay --at 23:59:59 --until 1000)" "$(replay --until 1000)"

check "--until 0 is refused" refused 'give the number of a record' --until 0 "$work/golden"
check "--until without a number is refused" refused 'give the number of a record' --until 10x "$work/golden"
for time in 24:00:00 10:30 10:30:60 10:30:00. 10:30:00.1234567890; do
    check "--at $time is refused" refused 'give a time of day' --at $time "$work/golden"
done
echo tape >"$work/tape"
check "what is not a journal has no --until" refused '^sluice: .*--until and --at are for journals' --until 5 "$work/tape"

cp -r "$work/golden" "$work/later"
rm "$work/later/segment-0000000000000001"
check "a journal whose beginning is gone is refused" refused 'records from 1 on are missing' "$work/later"

# Python's pty gives the verb a terminal for its errors.
cat >"$work/terminal.py" <<'END'
import os, pty, re, subprocess, sys
ours, theirs = pty.openpty()
verb = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=theirs)
os.close(theirs)
shown = b""
try:
    while piece := os.read(ours, 4096):
        shown += piece
except OSError:  # the other end is closed
    pass
out = verb.stdout.read().decode()
assert verb.wait() == 0, shown
shown = shown.decode()
bars = re.findall(r"\r\[(#*) *\] +(\d+) % of (\d+) MB", shown)
percents = [int(percent) for _, percent, _ in bars]
assert percents and percents == sorted(set(percents)) and percents[-1] == 100, shown
assert all(len(bar) == percent // 2 for (bar, _, _), percent in zip(bars, percents)), shown
assert re.sub(r"\r\[#* *\] +\d+ % of \d+ MB", "", shown).strip("\r\n") == "" and shown.endswith("\n"), shown
assert "every block is sound" in out and "[" not in out, out
END
check "verify draws a bar on a terminal, up to 100 %" python3 "$work/terminal.py" "$B/sluice" journal verify "$work/golden"
no_bar() { "$B/sluice" journal verify "$work/golden" >"$work/out" 2>"$work/shown" && [ ! -s "$work/shown" ]; }
check "… and none elsewhere" no_bar
finish
