#!/bin/bash
# A disk that runs full: cancel-only, then the gateway stops, and nothing that was acknowledged is lost.
. "$(dirname "$0")/lib.sh"
disk=$work/disk
image() {
    truncate -s "$1" "$work/image-$1" && mkfs.ext4 -q -m 0 "$work/image-$1" && mkdir -p "$disk" &&
        mount -o loop "$work/image-$1" "$disk"
}
trap 'umount "$disk" 2>/dev/null; leave' EXIT
if ! image 24M 2>"$work/err"; then
    skip "a full disk: no loop device here ($(cat "$work/err"))"
    exit 0
fi
export SEGMENT_MIB=1 HISTORY=65536
lab_up
"$root/scripts/lab" config "$disk/journal" >"$work/lab.conf"
gateway_start || { fail "the gateway starts"; exit 1; }
pid=$gateway_pid
$in_cl python3 "$here/full_disk.py" "$work/state" || failures=$((failures + 1))
gateway_pid=
wait "$pid"
check "the gateway ends with status 70" test $? = 70
check "it says once that it is cancel-only, and why" test "$(grep -c 'Cancel-only' "$work/gateway.err")" = 1
check "its last line says what to do" grep -qiE '^sluice: shard 0: .*(full|space).*' "$work/gateway.err"
grep '^sluice' "$work/gateway.err" | sed 's/^/note /'
cp -r "$disk/journal" "$work/journal"
umount "$disk"
image 96M && cp -r "$work/journal" "$disk/"
gateway_start || { fail "it starts again where there is room"; exit 1; }
$in_cl python3 "$here/full_disk.py" "$work/state" --again || failures=$((failures + 1))
gateway_end
finish
