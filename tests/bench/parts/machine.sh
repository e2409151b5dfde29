#!/bin/bash
. "$(dirname "$0")/../lib.sh"
fact() { python3 -c 'import json, sys; print(json.dumps({"fact": sys.argv[1], "value": sys.argv[2]}))' "$1" "$2"; }
of() { lscpu | sed -n "s/^ *$1: *//p" | head -n 1; }
here() { # FILE: what the kernel says in it
    [ -e "$1" ] && { read -r line <"$1" && [ -n "$line" ] && echo "$line" || echo none; } || echo "not told here"
}
first() { "$@" 2>/dev/null | head -n 1; }

title "what this machine is, and how long it keeps a thread that only spins from running (sluice load's noise floor)"
fact "CPU" "$(of 'Model name'), $(of 'Hypervisor vendor' | sed 's/$/ guest, /')NUMA nodes: $(of 'NUMA node(s)')"
fact "cores" "$(nproc) online, threads a core: $(of 'Thread(s) per core'), isolated: $(here /sys/devices/system/cpu/isolated)"
fact "caches" "L1d $(of 'L1d cache'), L2 $(of 'L2 cache'), L3 $(of 'L3 cache')"
fact "memory" "$(awk '/^MemTotal/ {printf "%.1f GiB", $2 / 1048576}' /proc/meminfo), transparent huge pages $(here /sys/kernel/mm/transparent_hugepage/enabled)"
fact "kernel" "$(uname -sr)"
fact "clocksource" "$(here /sys/devices/system/clocksource/clocksource0/current_clocksource)"
fact "governor" "$(here /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)"
device=$(findmnt -n -o SOURCE -T "$work")
disk=$(lsblk -n -s -o NAME -l "$device" 2>/dev/null | tail -n 1) || true
fact "disk" "$device, $(findmnt -n -o FSTYPE -T "$work"), cache: $(here "/sys/block/$disk/queue/write_cache")"
fact "versions" "$(first gcc --version), $(first clang --version), libxdp $(pkg-config --modversion libxdp), libbpf $(pkg-config --modversion libbpf), DPDK $(pkg-config --modversion libdpdk || echo none)"
fact "others' load" "$(cut -d' ' -f1-3 /proc/loadavg) runnable on average in 1, 5 and 15 minutes"

# With a gateway that has nothing to do, on the cores that the lab's configuration and its clients use.
lab
start_gateway
for core in $(printf '%s\n' 0 1 $(($(nproc) - 1)) | sort -nu | awk -v cores="$(nproc)" '$1 < cores'); do
    for _ in 1 2 3 4 5; do
        load "noise, core $core" --rate 1000 --count 1 --core "$core"
        python3 -c 'import json, sys
noise = json.load(sys.stdin)["noise"]
print(*(noise[key] * 1e9 / noise["duration_ns"] for key in ("above_1us", "above_10us", "above_100us")), noise["largest_ns"] / 1000,
      noise["above_1us"], noise["above_10us"], noise["above_100us"])' <"$work/load.json" >>"$work/noise-$core"
    done
    column() { cut -d' ' -f"$1" "$work/noise-$core"; }
    column 1 | row "core $core, gaps above 1 us" /s "$(column 5 | sum)"
    column 2 | row "core $core, gaps above 10 us" /s "$(column 6 | sum)"
    column 3 | row "core $core, gaps above 100 us" /s "$(column 7 | sum)"
    column 4 | row "core $core, largest gap" us 5
done
stop_gateway
