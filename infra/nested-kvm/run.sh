#!/usr/bin/env bash
# Boots Debian's own kernel on an emulated CPU with AMD SVM (QEMU TCG), so that a real /dev/kvm is at hand where the host has
# none, and runs one command there. Needs the packages qemu-system-x86, busybox-static, cpio.
#
#   run.sh --command 'SHELL COMMAND' [--kernel ARGUMENTS] [--out DIR] [--memory MiB] [--timeout SECONDS] [--processor SECONDS]
#          [--forward HOSTPORT]... [--clock instructions]
#
# --timeout limits the real time, --processor this machine's processor time that the nested machine takes, however busy it is here.
# --clock instructions: time inside is what the processor executes, 2 ns an instruction, and idle time is skipped; what is measured in
# there then does not depend on what else this machine does.
# --kernel adds to the kernel's command line; kvm-amd.npt=0 makes KVM shadow the guest's page tables instead of nesting them.
#
# The nested machine sees this machine's files as they are, read-only (nothing is copied); /tmp is its own, /tmp/out is DIR. Its
# network is QEMU's user-mode one, restricted: it reaches nothing but the given ports of this host's loopback, as 10.0.2.100:PORT.
# Exit code: that of the command; 77 when QEMU, busybox or Debian's kernel is not to be had; 124 on time-out; 125 when the nested machine
# ended before its command did.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$here/../.." && pwd)
cache="$root/.farm/nested-kvm"
command='' kernel='' out='' memory=2048 limit=540 processor=unlimited forwards=() accelerator=tcg,thread=multi
while [ $# -gt 0 ]; do
    case "$1" in
        --command) command=$2 ;;
        --kernel) kernel=$2 ;;
        --out) out=$2 ;;
        --memory) memory=$2 ;;
        --timeout) limit=$2 ;;
        --processor) processor=$2 ;;
        --forward) forwards+=("$2") ;;
        --clock) [ "$2" != instructions ] || accelerator='tcg,thread=single -icount shift=1,sleep=off' ;;
        *) echo "nested-kvm: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
[ -n "$command" ] || { echo "nested-kvm: --command is missing" >&2; exit 2; }

for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio; do
    command -v "${tool%:*}" >/dev/null || { echo "nested-kvm: ${tool%:*} is not there: apt-get install ${tool#*:}" >&2; exit 77; }
done

mkdir -p "$cache"
if [ ! -f "$cache/vmlinuz" ]; then
    package=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')
    if [ -z "$package" ]; then
        apt-get update -q >/dev/null
        package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    fi
    (cd "$cache" && rm -rf kernel ./*.deb && apt-get download -q "$package" >/dev/null 2>&1 && dpkg-deb -x ./*.deb kernel && rm -f ./*.deb) ||
        { echo "nested-kvm: Debian's kernel package '$package' could not be had" >&2; exit 77; }
    cp "$cache"/kernel/boot/vmlinuz-* "$cache/vmlinuz.new"
    mv "$cache/vmlinuz.new" "$cache/vmlinuz"
fi

# busybox and the modules for KVM, 9P and the network, in load order.
initrd="$cache/initrd"
if [ ! -f "$initrd" ] || [ "$here/init" -nt "$initrd" ] || [ "$here/run.sh" -nt "$initrd" ]; then
    tree="$cache/tree"
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,modules}
    cp /bin/busybox "$tree/bin/busybox"
    cp "$here/init" "$tree/init"
    chmod 755 "$tree/init"
    for name in irqbypass kvm ccp kvm-amd virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover \
        virtio_net 9pnet 9pnet_virtio netfs fscache 9p; do
        file=$(find "$cache/kernel/lib/modules" -name "$name.ko" -print -quit)
        [ -n "$file" ] || continue
        cp "$file" "$tree/modules/"
        echo "$name.ko" >>"$tree/modules/order"
    done
    (cd "$tree" && find . | cpio -o -H newc --quiet) >"$initrd.new"
    mv "$initrd.new" "$initrd"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -n "$out" ] || { out="$work/out"; mkdir "$out"; }
printf '%s\n' "$command" >"$out/command"

network=user,id=n0,restrict=on
for port in ${forwards[@]+"${forwards[@]}"}; do network+=",guestfwd=tcp:10.0.2.100:$port-cmd:busybox nc 127.0.0.1 $port"; done
# Without SMAP: under it QEMU 7.2 faults on an IRETQ in user mode, which the .NET runtime uses.
set +e
# shellcheck disable=SC2086
(ulimit -S -t "$processor" && exec timeout --foreground "$limit" qemu-system-x86_64 -nodefaults -no-reboot -machine pc -accel $accelerator -cpu max,+svm,-smap -smp ${FARM_KVM_SMP:-1} -m "$memory" \
    -kernel "$cache/vmlinuz" -initrd "$initrd" -append "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off no_timer_check $kernel" \
    -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=host,mount_tag=host \
    -fsdev "local,id=out,path=$out,security_model=none" -device virtio-9p-pci,fsdev=out,mount_tag=out \
    -display none -serial stdio -monitor "${FARM_KVM_MONITOR:-none}" -netdev "$network" -device virtio-net-pci,netdev=n0 </dev/null) |
    stdbuf -o0 tr -d '\r' | tee "$work/console" | grep --line-buffered -vE '^nested-kvm: exit|reboot: Power down'
code=${PIPESTATUS[0]}
set -e
[ "$code" != 124 ] || { echo "nested-kvm: the time-out of $limit s was reached" >&2; exit 124; }
# SIGXCPU
[ "$code" != 152 ] || { echo "nested-kvm: the limit of $processor s of processor time was reached" >&2; exit 124; }
result=$(sed -n 's/.*nested-kvm: exit \([0-9]*\).*/\1/p' "$work/console" | tail -n 1)
if [ -z "$result" ]; then
    echo "nested-kvm: the nested machine ended before its command did" >&2
    exit 125
fi
exit "$result"
