#!/usr/bin/env bash
# Boots Debian's own kernel on an emulated CPU with AMD SVM (QEMU TCG), so that a real /dev/kvm is at hand where the host has
# none, and runs one command there. Needs the packages qemu-system-x86, busybox-static, cpio.
#
#   run.sh --payload DIR --command 'SHELL COMMAND' [--memory MiB] [--timeout SECONDS] [--forward HOSTPORT]...
#
# DIR is copied into the nested machine as /payload (self-contained programs; the C library comes along). The network is QEMU's
# user-mode one, restricted: the nested machine reaches nothing but the given ports of this host's loopback, as 10.0.2.100:PORT.
# Exit code: that of the command; 124 on time-out.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$here/../.." && pwd)
cache="$root/.farm/nested-kvm"
payload='' command='' memory=2048 limit=540 forwards=()
while [ $# -gt 0 ]; do
    case "$1" in
        --payload) payload=$2 ;;
        --command) command=$2 ;;
        --memory) memory=$2 ;;
        --timeout) limit=$2 ;;
        --forward) forwards+=("$2") ;;
        *) echo "nested-kvm: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
[ -n "$command" ] || { echo "nested-kvm: --command is missing" >&2; exit 2; }

mkdir -p "$cache"
if [ ! -f "$cache/vmlinuz" ]; then
    package=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')
    if [ -z "$package" ]; then
        apt-get update -q >/dev/null
        package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    fi
    (cd "$cache" && rm -rf kernel ./*.deb && apt-get download -q "$package" >/dev/null 2>&1 && dpkg-deb -x ./*.deb kernel && rm -f ./*.deb)
    cp "$cache"/kernel/boot/vmlinuz-* "$cache/vmlinuz.new"
    mv "$cache/vmlinuz.new" "$cache/vmlinuz"
fi

# The base initramfs: busybox, the KVM and network modules in load order, the C library that .NET programs need.
base="$cache/base.cpio"
if [ ! -f "$base" ] || [ "$here/init" -nt "$base" ] || [ "$here/run.sh" -nt "$base" ]; then
    tree="$cache/tree"
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,modules,lib/x86_64-linux-gnu,lib64}
    cp /bin/busybox "$tree/bin/busybox"
    cp "$here/init" "$tree/init"
    chmod 755 "$tree/init"
    for name in irqbypass kvm ccp kvm-amd failover net_failover virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_net; do
        file=$(find "$cache/kernel/lib/modules" -name "$name.ko" -print -quit)
        [ -n "$file" ] || continue
        cp "$file" "$tree/modules/"
        echo "$name.ko" >>"$tree/modules/order"
    done
    cp -L /lib64/ld-linux-x86-64.so.2 "$tree/lib64/"
    for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libgcc_s.so.1 libstdc++.so.6 libz.so.1; do
        file=$(ldconfig -p | awk -v l="$library" '$1 == l && /x86-64/ { print $NF; exit }')
        [ -n "$file" ] && cp -L "$file" "$tree/lib/x86_64-linux-gnu/"
    done
    (cd "$tree" && find . | cpio -o -H newc --quiet) >"$base"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/payload"
[ -z "$payload" ] || cp -a "$payload/." "$work/tree/payload/"
printf '%s\n' "$command" >"$work/tree/payload/command"
(cd "$work/tree" && find . | cpio -o -H newc --quiet) >"$work/payload.cpio"
cat "$base" "$work/payload.cpio" >"$work/initrd"

network=(-netdev "user,id=n0,restrict=on")
for port in "${forwards[@]}"; do network[1]+=",guestfwd=tcp:10.0.2.100:$port-cmd:busybox nc 127.0.0.1 $port"; done
# Without SMAP: under it QEMU 7.2 faults on an IRETQ in user mode, which the .NET runtime uses.
set +e
timeout --foreground "$limit" qemu-system-x86_64 -nodefaults -no-reboot -machine pc -accel tcg,thread=multi -cpu max,+svm,-smap -smp 2 -m "$memory" \
    -kernel "$cache/vmlinuz" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off" \
    -display none -serial stdio -monitor none "${network[@]}" -device virtio-net-pci,netdev=n0 </dev/null | tr -d '\r' | tee "$work/console" | grep -v '^nested-kvm: exit'
code=${PIPESTATUS[0]}
set -e
[ "$code" != 124 ] || { echo "nested-kvm: the time-out of $limit s was reached" >&2; exit 124; }
result=$(sed -n 's/.*nested-kvm: exit \([0-9]*\).*/\1/p' "$work/console" | tail -n 1)
if [ -z "$result" ]; then
    echo "nested-kvm: the nested machine ended before its command did" >&2
    exit 1
fi
exit "$result"
