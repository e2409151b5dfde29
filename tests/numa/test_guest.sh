#!/bin/bash
# A machine of two NUMA nodes, in QEMU, with the gateway on both: placement, zero-copy, a link that goes down, a kill.
# It needs neither KVM nor root, and nothing leaves it. What happens inside is in init, what has to come of it in
# judge.py. The emulated processors are slow and their timing means nothing: nothing here is gated on time.
#
#     node 0: cores 0 and 1 (isolated), gw0          node 1: cores 2 and 3 (isolated), gw1
#             gw0 <---- hub 0 ----> cl0                      gw1 <---- hub 1 ----> cl1
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
sluice=$root/${B:-build}/sluice
guest=$root/${B:-build}/guest # the kernel is kept there, and what the last guest has said
work=$(mktemp -d "${TMPDIR:-/var/tmp}/sluice-guest.XXXXXX")
qemu=
leave() {
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' INT TERM

reason=$("$here/kernel" "$guest/kernel" 2>&1) || { echo "skip the gateway on two nodes: $reason"; exit 0; }

# The file system in memory: busybox, the gateway and its libraries, the modules, the story.
pack() {
    local files=$work/files library
    mkdir -p "$files"/{bin,dev,proc,sys,tmp,modules}
    cp "$(command -v busybox)" "$files/bin/busybox"
    for tool in $("$files/bin/busybox" --list); do ln -s busybox "$files/bin/$tool" 2>/dev/null; done
    cp "$sluice" "$files/bin/"
    for library in $(ldd "$sluice" | grep -o '/[^ ]*'); do
        install -D "$library" "$files$library"
    done
    cp "$guest"/kernel/modules/*.ko "$files/modules/"
    cp "$here/init" "$here/guest.conf" "$files/"
    (cd "$files" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
}

# What QEMU's virtio has to leave out so that Linux binds it zero-copy: offloads that make packets of several pieces.
card=mq=on,vectors=12,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off
card=$card,host_tso4=off,host_tso6=off,mrg_rxbuf=on,disable-legacy=on,iommu_platform=on
# What arrives while a link is down waits in the card's ring; beyond it QEMU's hub would keep packets, and let later
# ones overtake them.
card=$card,rx_queue_size=1024

# Without cx16: kernels from 6.12 on find QEMU 7.2's 16-byte compare-exchange to be wrong. The huge pages are as many
# as `sluice check` wants on each node, and some.
options=(-machine q35 -accel "tcg,thread=multi" -cpu "max,-cx16" -m 1024 -smp "4,sockets=2,cores=2"
    -nodefaults -display none -no-reboot -serial "file:$guest/console" -serial "file:$guest/report"
    -kernel "$guest/kernel/vmlinuz" -initrd "$work/initramfs"
    -append "console=ttyS0 quiet panic=-1 isolcpus=1,3 nohz_full=1,3 hugepages=0:56,1:56")
for n in 0 1; do
    options+=(-object "memory-backend-ram,id=memory$n,size=512M"
        -numa "node,nodeid=$n,cpus=$((2 * n))-$((2 * n + 1)),memdev=memory$n"
        -device "pxb-pcie,id=bus$n,bus=pcie.0,bus_nr=$((32 * (n + 1))),numa_node=$n"
        -device "pcie-root-port,id=slot$n,bus=bus$n,chassis=$((n + 1))"
        -netdev "hubport,id=gw$n,hubid=$n" -netdev "hubport,id=cl$n,hubid=$n"
        -device "virtio-net-pci,bus=slot$n,netdev=gw$n,mac=02:00:0a:4d:0$n:01,$card"
        -device "virtio-net-pci,bus=pcie.0,netdev=cl$n,mac=02:00:0a:4d:0$n:02")
done

pack
rm -f "$guest/console" "$guest/report"
timeout -k 5 420 qemu-system-x86_64 "${options[@]}" 2>"$work/qemu" &
qemu=$!
wait $qemu
qemu=
python3 "$here/judge.py" "$guest/report" && exit 0
cat "$work/qemu"
[ ! -e "$guest/console" ] || tail -n 30 "$guest/console"
exit 1
