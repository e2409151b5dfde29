#!/bin/bash
# A machine of two NUMA nodes, in QEMU, with the gateway on both: placement, several queues, zero-copy, a capture, a
# link that goes down, a kill. It needs no KVM, and root only to make a namespace with taps, which nothing leaves. What
# happens inside is in init, what has to come of it in judge.py. The emulated processors are slow and their timing
# means nothing: nothing here is gated on time.
# alone: its loads keep to a rate, on four emulated processors
#
#     node 0: cores 0 and 1 (isolated), gw0            node 1: cores 2 and 3 (isolated), gw1
#             gw0 <==== 2 queues ====> cl0                     gw1 <==== 2 queues ====> cl1
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
sluice=$root/${B:-build}/sluice
guest=$root/${B:-build}/guest # the kernel is kept there, and what the last guest has said
namespace=sluice-guest-$$
work=$(mktemp -d "${TMPDIR:-/var/tmp}/sluice-guest.XXXXXX")
qemu=
leave() {
    [ -z "$qemu" ] || { kill "$qemu" && wait "$qemu"; } 2>/dev/null
    [ ! -e "/run/netns/$namespace" ] || ip netns del "$namespace"
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' INT TERM

reason=$("$here/kernel" "$guest/kernel" 2>&1) || { echo "skip the gateway on two nodes: $reason"; exit 0; }
[ -c /dev/net/tun ] || { echo "skip the gateway on two nodes: this host has no /dev/net/tun"; exit 0; }

# The file system in memory: busybox, the gateway and its libraries, the modules, the story.
pack() {
    local files=$work/files library
    mkdir -p "$files"/{bin,dev,proc,sys,tmp,modules}
    cp "$(command -v busybox)" "$files/bin/busybox"
    for tool in $("$files/bin/busybox" --list); do ln -s busybox "$files/bin/$tool" 2>/dev/null; done
    cp "$sluice" "$files/bin/"
    cp "$(command -v ethtool)" "$files/bin/"
    for library in $(ldd "$files"/bin/{sluice,ethtool} | grep -o '/[^ ]* (' | cut -d ' ' -f 1); do
        install -D "$library" "$files$library"
    done
    cp "$guest"/kernel/modules/*.ko "$files/modules/"
    cp "$here/init" "$here/guest.conf" "$files/"
    (cd "$files" && find . | cpio --quiet -o -H newc) >"$work/initramfs"
}

# The wires, in a namespace that nothing leaves: a bridge between two taps for each interface of the gateway.
lay_wires() {
    local n card queues
    ip netns add "$namespace" || return
    ip netns exec "$namespace" sysctl -q -w net.ipv6.conf.default.disable_ipv6=1
    for n in 0 1; do
        ip -n "$namespace" link add "wire$n" type bridge mcast_snooping 0
        ip -n "$namespace" link set "wire$n" up
        for card in gw cl; do
            queues=
            [ $card = cl ] || queues=multi_queue
            ip -n "$namespace" tuntap add dev "$card$n" mode tap $queues || return
            ip -n "$namespace" link set "$card$n" master "wire$n" txqueuelen 10000 up
        done
    done
}

# The gateway's cards. The hash of the card itself (rss) spreads packets over queues: the tap's own way is to send a
# flow to the queue that the guest last sent it on, and as the gateway sends everything on its first queue, next to
# nothing came to the second (9 interrupts to 112). No more queues than the ports take: for XDP, virtio_net takes one
# more for each core where the card has them, and receives on those too, whatever the table of the hash says. With six
# queues, of which two were a port's, two thirds of the orders and more arrived where nobody takes them. What arrives
# while a link is down waits in the card's ring.
card=mq=on,vectors=6,rss=on,mrg_rxbuf=on,disable-legacy=on,iommu_platform=on,rx_queue_size=1024
# Without a header of virtio's own the taps have no offloads, with which packets come in several pieces, and Linux
# refuses zero-copy.
wire=vhost=off,vnet_hdr=off,script=no,downscript=no

# Without cx16: kernels from 6.12 on find QEMU 7.2's 16-byte compare-exchange to be wrong.
options=(-machine q35 -accel "tcg,thread=multi" -cpu "max,-cx16" -m 1024 -smp "4,sockets=2,cores=2"
    -nodefaults -display none -no-reboot -serial "file:$guest/console" -serial "file:$guest/report"
    -kernel "$guest/kernel/vmlinuz" -initrd "$work/initramfs"
    -append "console=ttyS0 quiet panic=-1 isolcpus=1,3 nohz_full=1,3 transparent_hugepage=madvise")
for n in 0 1; do
    options+=(-object "memory-backend-ram,id=memory$n,size=512M"
        -numa "node,nodeid=$n,cpus=$((2 * n))-$((2 * n + 1)),memdev=memory$n"
        -device "pxb-pcie,id=bus$n,bus=pcie.0,bus_nr=$((32 * (n + 1))),numa_node=$n"
        -device "pcie-root-port,id=slot$n,bus=bus$n,chassis=$((n + 1))"
        -netdev "tap,id=gw$n,ifname=gw$n,queues=2,$wire" -netdev "tap,id=cl$n,ifname=cl$n,$wire"
        -device "virtio-net-pci,bus=slot$n,netdev=gw$n,mac=02:00:0a:4d:0$n:01,$card"
        -device "virtio-net-pci,bus=pcie.0,netdev=cl$n,mac=02:00:0a:4d:0$n:02")
done

pack
rm -f "$guest/console" "$guest/report"
lay_wires || exit 1
timeout -k 5 420 ip netns exec "$namespace" qemu-system-x86_64 "${options[@]}" 2>"$work/qemu" &
qemu=$!
wait $qemu
qemu=
python3 "$here/judge.py" "$guest/report" && exit 0
cat "$work/qemu"
[ ! -e "$guest/console" ] || tail -n 30 "$guest/console"
exit 1
